"""posts — a hub with health posts that pull, each remembering what it was told.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from fhir_server.operation.call import Call, Given
from fhir_server.security.agreeing import SILENCE, agreed
from fhir_server.security.caller import Caller
from fhir_server.security.decision import decide
from fhir_server.security.policy_file import built_in
from fhir_server.sync.hub import homes, pulling
from fhir_server.sync.words import Kind, page
from tests.interaction.conftest import BY_ANYBODY, put

POLICY = built_in()


def organization(id):
    return {"resourceType": "Organization", "id": id, "name": f"Trạm Y tế {id}"}


def person(id, at=None, **more):
    place = {"managingOrganization": {"reference": f"Organization/{at}"}} if at else {}
    return {"resourceType": "Patient", "id": id, **place, **more}


def visit(id, of, at=None, status="finished", **more):
    place = {"serviceProvider": {"reference": f"Organization/{at}"}} if at else {}
    return {
        "resourceType": "Encounter", "id": id, "status": status, "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/{of}"}, **place, **more,
    }  # fmt: skip


def measured(id, of, value=5):
    return {
        "resourceType": "Observation", "id": id, "status": "final", "code": {"text": "Mạch"},
        "subject": {"reference": f"Patient/{of}"}, "valueQuantity": {"value": value},
    }  # fmt: skip


def denial(id, of, at, *types):
    actor = {
        "role": {"coding": [{"code": "PRCP"}]},
        "reference": {"reference": f"Organization/{at}"},
    }
    told = [{"system": "http://hl7.org/fhir/resource-types", "code": type} for type in types]
    return {
        "resourceType": "Consent", "id": id, "status": "active",
        "scope": {"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/consentscope",
            "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{of}"},
        "policyRule": {"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}]},
        "provision": {"type": "deny", "actor": [actor], **({"class": told} if told else {})},
    }  # fmt: skip


@dataclass
class Post:
    """A health post. seen: what it shows, by reference; told: every row it was given."""

    server: object
    facility: str
    incarnation: str = "7f3c"
    cursor: str = ""
    seen: dict = field(default_factory=dict)
    whose: dict = field(default_factory=dict)
    told: list = field(default_factory=list)
    consents: tuple = ()

    @property
    def caller(self):
        roles = frozenset({"node"})
        return Caller(f"post-{self.facility}", facility=self.facility, roles=roles, purpose="TREAT")

    @property
    def circumstances(self):
        now = self.server.store._clock() if hasattr(self.server.store, "_clock") else None
        agreement = SILENCE
        if self.consents:
            agreement = agreed(self.consents, self.caller, "TREAT", POLICY, now or 0)
        access = decide(POLICY, self.caller, agreement, moment=now)
        return replace(BY_ANYBODY, caller=self.caller, access=access)

    async def ask(self, **asked):
        """A page, as it was sent."""
        told = {"cursor": self.cursor, "incarnation": self.incarnation, **asked}
        given = tuple(Given(name, value) for name, value in told.items() if value)
        call = Call("sync-pull", "system", "GET", given=given)
        answer = await pulling.pull(self.server, call, self.circumstances)
        return page.read(json.loads(answer.body))

    async def pull(self):
        """Ask until there is no more, and keep what is told."""
        pages = 0
        while True:
            found = await self.ask()
            assert found.cursor == self.cursor
            self.take(found)
            pages += 1
            assert pages < 200, "it has no end"
            if not (found.more or found.entering):
                return self

    def take(self, found):
        self.cursor = found.next
        for row in found.rows:
            self.told.append(row)
            name = str(row.key)
            if row.kind is Kind.LEFT_RECORD:
                for one in [one for one, of in self.whose.items() if of == row.key.id]:
                    self.seen.pop(one, None)
            elif row.kind is Kind.LEFT_RESOURCE:
                self.seen.pop(name, None)
            else:
                self.whose[name] = row.patient
                if row.kind is Kind.VERSION:
                    self.seen[name] = row
                if row.method == "DELETE":
                    self.seen.pop(name, None)

    @property
    def shows(self):
        return sorted(name for name in self.seen if not name.startswith("Organization/"))


async def kept(server, policy=None):
    """Have the homes kept up with all that was written."""
    await homes.begin(server)
    keeper = homes.Keeper(server, policy)
    while await keeper.look():
        pass


async def written(server, *resources, policy=None):
    await put(server, BY_ANYBODY, *resources)
    await kept(server, policy)
