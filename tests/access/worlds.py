"""worlds — two facilities that share nothing, and the callers of the first.

https://hl7.org/fhir/R4/security.html

Everything of the second bears marks, and its ids begin with `hanoi.`. What each has refers to what
the other has, too: that leads nowhere.
"""

from __future__ import annotations

from fhir_server.foundation.outcome import Unauthorized
from fhir_server.interaction.context import EVERYBODY, Admitted
from fhir_server.security.agreeing import SILENCE
from fhir_server.security.caller import Caller
from fhir_server.security.decision import decide
from fhir_server.security.policy_file import built_in
from fhir_server.security.scope import parse

NAME, WORD, NUMBER, OTHER = "zorrino", "zanzibar", "zz4711", "zebulon"
MARKS = (NAME, WORD, NUMBER, OTHER)
IDS = "hanoi."
LIST = "http://marks.example/tags"
IN_HUE = {"facility": "hue"}

CALLERS = {
    "doctor": Caller("his", user="Practitioner/d", roles=frozenset({"doctor"}), **IN_HUE),
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
}
WRITERS = {
    where: Caller("his", user="Practitioner/w", facility=where, roles=frozenset({"doctor"}))
    for where in ("hue", "hanoi")
}
NOBODY = "nobody"
# Asks of the whole province, de-identified: what is in it changes the answer, as it should.
WHOLE_PROVINCE = "analyst"


class Doors:
    """Knows some tokens by heart, and decides as the real gate does."""

    def __init__(self, clock) -> None:
        self.clock, self.policy = clock, built_in()

    async def admitted(self, credentials):
        told = (credentials.authorization or "").removeprefix("Bearer ")
        if told == "all":
            return EVERYBODY
        caller = CALLERS.get(told) or WRITERS.get(told)
        if caller is None:
            raise Unauthorized("Who asks?", headers={"WWW-Authenticate": "Bearer"})
        return Admitted(caller, decide(self.policy, caller, SILENCE, moment=self.clock()))


def person(where, id, name, number, **more):
    return {
        "resourceType": "Patient", "id": f"{where}.{id}", "active": True, "gender": "male",
        "managingOrganization": {"reference": f"Organization/{where}"}, "birthDate": "1990-02-03",
        "name": [{"family": name}], "identifier": [{"system": "urn:x", "value": number}],
        "text": {"status": "generated", "div":
                 f"<div xmlns='http://www.w3.org/1999/xhtml'>{name}</div>"},
        "meta": {"tag": [{"system": LIST, "code": "watched"}]}, **more,
    }  # fmt: skip


def visit(where, id, whose, word, **more):
    return {
        "resourceType": "Encounter", "id": f"{where}.{id}", "status": "finished",
        "class": {"code": "AMB"}, "reasonCode": [{"text": word}],
        "subject": {"reference": f"Patient/{where}.{whose}"},
        "serviceProvider": {"reference": f"Organization/{where}"},
        "period": {"start": "2026-01-05"}, **more,
    }  # fmt: skip


def measured(where, id, whose, word, value=5, **more):
    return {
        "resourceType": "Observation", "id": f"{where}.{id}", "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "1-1"}], "text": word},
        "subject": {"reference": f"Patient/{where}.{whose}"}, "effectiveDateTime": "2026-01-05",
        "valueQuantity": {"value": value, "code": "kg", "system": "http://unitsofmeasure.org"},
        "note": [{"text": word}], **more,
    }  # fmt: skip


def listed(where, id, whose, word, *items):
    return {
        "resourceType": "List", "id": f"{where}.{id}", "status": "current", "mode": "working",
        "subject": {"reference": f"Patient/{where}.{whose}"}, "title": word,
        "entry": [{"item": {"reference": item}} for item in items],
    }  # fmt: skip


def _refers(type, id):
    return {"reference": f"{type}/{id}"}


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
]  # fmt: skip


def theirs(name=NAME, word=WORD, number=NUMBER, many=1, value=5):
    """The world of the other: refers to ours wherever it may."""
    back = [_refers("Patient", "hue.p")]
    more = [
        one
        for n in range(1, many)
        for one in (
            person("hanoi", f"p{n}", name, f"{number}{n}"),
            visit("hanoi", f"e{n}", f"p{n}", word, partOf=_refers("Encounter", "hue.e")),
            measured("hanoi", f"o{n}", f"p{n}", word, n, performer=back),
        )
    ]
    return [
        person("hanoi", "p", name, number,
               link=[{"other": _refers("Patient", "hue.p"), "type": "seealso"}]),
        visit("hanoi", "e", "p", word, partOf=_refers("Encounter", "hue.e")),
        measured("hanoi", "o", "p", word, value, performer=back,
                 encounter=_refers("Encounter", "hue.e"),
                 hasMember=[_refers("Observation", "hue.o")]),
        listed("hanoi", "l", "p", word, "Patient/hue.p", "Observation/hue.o"),
        *more,
    ]  # fmt: skip


# What the other's world is: the answers to ours are to be the same over each.
WORLDS = {
    "nothing": [],
    "one": theirs(),
    "more": [*theirs(), *theirs(OTHER, OTHER, OTHER, 6, 9)],
}
