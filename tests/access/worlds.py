"""worlds — two facilities that share nothing but one patient, and the callers of the first.

https://hl7.org/fhir/R4/security.html

Everything of the second bears marks, and its ids begin with `hanoi.`. What each has refers to what
the other has, too: that leads nowhere. One patient of the second was referred to the first.
"""

from __future__ import annotations

from base64 import b64encode

from fhir_server.foundation.outcome import Unauthorized
from fhir_server.interaction.consenting import Consenting
from fhir_server.interaction.context import EVERYBODY, Admitted
from fhir_server.interaction.granting import Granting
from fhir_server.security.agreeing import SILENCE
from fhir_server.security.caller import Caller
from fhir_server.security.decision import decide
from fhir_server.security.policy_file import built_in
from fhir_server.security.scope import parse

NAME, WORD, NUMBER, OTHER = "zorrino", "zanzibar", "zz4711", "zebulon"
STREET, PHONE, SHOWN, KEPT = "zinnia", "0909zz", "zirconia", "zeppelin"
BORN, DONE = "1983-11-27", "2026-02-17"
MARKS = (NAME, WORD, NUMBER, OTHER, STREET, PHONE, SHOWN, KEPT, BORN, DONE)
IDS = "hanoi."
LIST = "http://marks.example/tags"
IN_HUE = {"facility": "hue"}
DOCTOR = {"user": "Practitioner/d", "roles": frozenset({"doctor"}), **IN_HUE}

CALLERS = {
    "doctor": Caller("his", **DOCTOR),
    "clerk": Caller("his", user="Practitioner/c", roles=frozenset({"clerk"}), **IN_HUE),
    "analyst": Caller(
        "bi", user="Practitioner/a", roles=frozenset({"analyst"}), basis="Decision 12/QD-SYT"
    ),
    "citizen": Caller("app", user="Patient/hue.p", patient="hue.p", roles=frozenset({"citizen"})),
    "system": Caller(
        "lis",
        roles=frozenset({"system"}),
        purpose="TREAT",
        scopes=parse("system/Patient.rs system/Observation.cruds"),
        **IN_HUE,
    ),
    "granular": Caller(
        "view",
        scopes=parse(
            "user/Encounter.rs?class=AMB user/Patient.rs?gender=male "
            "user/Observation.cruds?code=http://loinc.org|1-1"
        ),
        **DOCTOR,
    ),
    "app": Caller(
        "app",
        user="Patient/hue.p",
        patient="hue.p",
        roles=frozenset({"citizen"}),
        scopes=parse("patient/Encounter.rs?class=AMB patient/Patient.rs patient/List.rs"),
    ),
    "glass": Caller(
        "his", purpose="BTG", patient="hue.p", reason="Brought in unconscious, alone", **DOCTOR
    ),
    "researcher": Caller(
        "bi", user="Practitioner/r", roles=frozenset({"researcher"}), purpose="HRESCH", **IN_HUE
    ),
    "pharmacist": Caller("his", user="Practitioner/f", roles=frozenset({"pharmacist"}), **IN_HUE),
    "statistician": Caller(
        "bi", user="Practitioner/s", roles=frozenset({"statistician"}), basis="Decision 12/QD-SYT"
    ),
    "node": Caller("post", roles=frozenset({"node"}), purpose="TREAT", **IN_HUE),
    "operator": Caller("ops", roles=frozenset({"operator"})),
    "stranger": Caller("new", user="Practitioner/x", facility="nowhere", roles=DOCTOR["roles"]),
    "roleless": Caller("new", **IN_HUE),
}
WRITERS = {
    where: Caller("his", user="Practitioner/w", facility=where, roles=frozenset({"doctor"}))
    for where in ("hue", "hanoi")
}
NOBODY = "nobody"
# They ask of the whole province, de-identified: what is in it changes the answer, as it should.
WHOLE_PROVINCE = ("analyst", "statistician")


class Doors:
    """Knows some tokens by heart, and decides as the real gate does; of a server: by its Consents
    and its search parameters, too."""

    def __init__(self, clock, server=None) -> None:
        self.clock, self.policy = clock, built_in()
        self.consenting = self.granting = None
        if server is not None:
            self.consenting = Consenting(server.store, server.live, self.policy)
            self.granting = Granting(server.live, server.knowledge)

    async def admitted(self, credentials):
        told = (credentials.authorization or "").removeprefix("Bearer ")
        if told == "all":
            return EVERYBODY
        caller = CALLERS.get(told) or WRITERS.get(told)
        if caller is None:
            raise Unauthorized("Who asks?", headers={"WWW-Authenticate": "Bearer"})
        now = self.clock()
        if self.consenting is None:
            return Admitted(caller, decide(self.policy, caller, SILENCE, moment=now))
        agreement = await self.consenting.about(caller, now)
        told = decide(self.policy, caller, agreement, meaning=self.granting, moment=now)
        return Admitted(caller, told)


def person(where, id, name, number, *, born="1990-02-03", **more):
    return {
        "resourceType": "Patient", "id": f"{where}.{id}", "active": True, "gender": "male",
        "managingOrganization": {"reference": f"Organization/{where}"}, "birthDate": born,
        "name": [{"family": name}], "identifier": [{"system": "urn:x", "value": number}],
        "text": {"status": "generated", "div":
                 f"<div xmlns='http://www.w3.org/1999/xhtml'>{name}</div>"},
        "meta": {"tag": [{"system": LIST, "code": "watched"}]}, **more,
    }  # fmt: skip


def visit(where, id, whose, word, *, on="2026-01-05", **more):
    return {
        "resourceType": "Encounter", "id": f"{where}.{id}", "status": "finished",
        "class": {"code": "AMB"}, "reasonCode": [{"text": word}],
        "subject": {"reference": f"Patient/{where}.{whose}"},
        "serviceProvider": {"reference": f"Organization/{where}"},
        "period": {"start": on}, **more,
    }  # fmt: skip


def measured(where, id, whose, word, value=5, *, on="2026-01-05", **more):
    return {
        "resourceType": "Observation", "id": f"{where}.{id}", "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "1-1"}], "text": word},
        "subject": {"reference": f"Patient/{where}.{whose}"}, "effectiveDateTime": on,
        "valueQuantity": {"value": value, "code": "kg", "system": "http://unitsofmeasure.org"},
        "note": [{"text": word}], **more,
    }  # fmt: skip


def listed(where, id, whose, word, *items):
    return {
        "resourceType": "List", "id": f"{where}.{id}", "status": "current", "mode": "working",
        "subject": {"reference": f"Patient/{where}.{whose}"}, "title": word,
        "entry": [{"item": {"reference": item}} for item in items],
    }  # fmt: skip


def diagnosed(where, id, whose, word, *, on="2026-01-05", shown="Flu"):
    return {
        "resourceType": "Condition", "id": f"{where}.{id}", "recordedDate": on,
        "subject": {"reference": f"Patient/{where}.{whose}"},
        "encounter": {"reference": f"Encounter/{where}.e"},
        "code": {"coding": [{"system": "urn:c", "code": "J10", "display": shown}], "text": word},
    }  # fmt: skip


def agreed(where, id, whose, kind, *, to=None, purpose=None):
    provision = {"type": kind}
    if purpose:
        provision["purpose"] = [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": purpose}
        ]
    if to:
        role = {"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
                "code": "PRCP"}  # fmt: skip
        provision["actor"] = [{"role": {"coding": [role]}, "reference": {"reference": to}}]
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope",
             "code": "patient-privacy"}  # fmt: skip
    rule = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}
    return {
        "resourceType": "Consent", "id": f"{where}.{id}", "status": "active",
        "scope": {"coding": [scope]}, "category": [{"coding": [{"code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{where}.{whose}"},
        "policyRule": {"coding": [rule]}, "provision": provision,
    }  # fmt: skip


def kept(where, id, word):
    return {
        "resourceType": "Binary", "id": f"{where}.{id}", "contentType": "text/plain",
        "data": b64encode(word.encode()).decode(),
    }  # fmt: skip


def _refers(type, id):
    return {"reference": f"{type}/{id}"}


def _all_of_it(name, word):
    """What tells a person beside name, number and birth date."""
    return {
        "address": [{"text": STREET, "line": [STREET], "city": STREET, "postalCode": "zinnia1"}],
        "telecom": [{"system": "phone", "value": PHONE}],
        "contact": [{"name": {"text": name}, "telecom": [{"system": "phone", "value": PHONE}]}],
        "maritalStatus": {"coding": [{"system": "urn:m", "code": "M", "display": SHOWN}]},
        "photo": [{"title": KEPT, "contentType": "image/png", "data": "AAAA"}],
        "extension": [{"url": "urn:e", "valueString": KEPT}],
        "contained": [{"resourceType": "Organization", "id": "k", "name": word}],
        "generalPractitioner": [{"reference": "#k", "display": SHOWN}],
    }


ORGANIZATIONS = [
    {"resourceType": "Organization", "id": where, "name": where} for where in ("hue", "hanoi")
]
MINE = [
    person("hue", "p", "Ours", "1", link=[{"other": _refers("Patient", "hanoi.p"),
                                           "type": "seealso"}]),
    person("hue", "q", "Ours", "2"),
    visit("hue", "e", "p", "ward"),
    visit("hue", "f", "p", "ward", partOf=_refers("Encounter", "hanoi.e")),
    measured("hue", "o", "p", "liver", encounter=_refers("Encounter", "hanoi.e")),
    measured("hue", "r", "p", "liver", 7, performer=[_refers("Patient", "hanoi.p")],
             hasMember=[_refers("Observation", "hanoi.o")]),
    listed("hue", "l", "p", "ours", "Patient/hanoi.p", "Patient/hue.p", "Encounter/hanoi.e"),
    diagnosed("hue", "c", "p", "flu"),
    kept("hue", "b", "ours"),
    person("hue", "d", "Ours", "3"),
    measured("hue", "od", "d", "liver"),
    agreed("hue", "cd", "d", "deny"),
    agreed("hue", "cp", "p", "permit", purpose="HRESCH"),
]  # fmt: skip
# Referred from the second to the first: what is the patient's may be seen there, and nothing else.
SHARED = [
    person("hanoi", "s", "Shared", "4"),
    visit("hanoi", "se", "s", "shared"),
    measured("hanoi", "so", "s", "shared", 6),
    {
        "resourceType": "ServiceRequest", "id": "hanoi.sr", "status": "active", "intent": "order",
        "subject": _refers("Patient", "hanoi.s"), "performer": [_refers("Organization", "hue")],
        "requester": _refers("Organization", "hanoi"),
    },
]  # fmt: skip


def theirs(name=NAME, word=WORD, number=NUMBER, many=1, value=5):
    """The world of the other: refers to ours wherever it may."""
    back = [_refers("Patient", "hue.p")]
    more = [
        one
        for n in range(1, many)
        for one in (
            person("hanoi", f"p{n}", name, f"{number}{n}", born=BORN),
            visit("hanoi", f"e{n}", f"p{n}", word, partOf=_refers("Encounter", "hue.e"), on=DONE),
            measured("hanoi", f"o{n}", f"p{n}", word, n, performer=back, on=DONE),
        )
    ]
    return [
        person("hanoi", "p", name, number, born=BORN, **_all_of_it(name, word),
               link=[{"other": _refers("Patient", "hue.p"), "type": "seealso"}]),
        visit("hanoi", "e", "p", word, partOf=_refers("Encounter", "hue.e"), on=DONE),
        measured("hanoi", "o", "p", word, value, performer=back, on=DONE,
                 encounter=_refers("Encounter", "hue.e"),
                 hasMember=[_refers("Observation", "hue.o")]),
        listed("hanoi", "l", "p", word, "Patient/hue.p", "Observation/hue.o", "Patient/hanoi.p"),
        diagnosed("hanoi", "c", "p", word, on=DONE, shown=SHOWN),
        kept("hanoi", "b", word),
        agreed("hanoi", "cp", "p", "deny", to="Organization/hue"),
        agreed("hanoi", "cq", "p", "permit", to="Organization/hanoi", purpose="HRESCH"),
        *more,
    ]  # fmt: skip


# What the other's world is: the answers to ours are to be the same over each.
WORLDS = {
    "nothing": [],
    "one": theirs(),
    "more": [*theirs(), *theirs(OTHER, OTHER, OTHER, 6, 9)],
}
