"""The Consents about a caller are found whatever the caller reaches, and no others are."""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import TooCostly
from fhir_server.interaction import consenting
from fhir_server.interaction.consenting import KNOWN_MS, Consenting
from fhir_server.security.agreeing import SILENCE
from fhir_server.security.caller import OPERATOR, Caller
from fhir_server.security.decision import decide
from fhir_server.security.policy_file import built_in
from tests.interaction.conftest import put, searched, within

NOW = 1_795_000_000_000
DOCTOR = Caller("his", user="Practitioner/x", facility="a", roles=frozenset({"doctor"}))
RESEARCHER = Caller("study", facility="a", roles=frozenset({"researcher"}))
CITIZEN = Caller("app", user="Patient/p", patient="p", roles=frozenset({"citizen"}))


def consent(
    id: str, of: str, *actors: str, status: str = "active", scope: str = "patient-privacy"
) -> dict:
    code = {"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}
    privacy = {"system": "http://terminology.hl7.org/CodeSystem/consentscope"}
    provision: dict = {"type": "deny"}
    if actors:
        role = {"coding": [{"code": "PRCP"}]}
        provision["actor"] = [{"role": role, "reference": {"reference": each}} for each in actors]
    return {
        "resourceType": "Consent",
        "id": id,
        "status": status,
        "scope": {"coding": [privacy | {"code": scope}]},
        "category": [code],
        "patient": {"reference": f"Patient/{of}"},
        "policy": [{"uri": "http://law.example"}],
        "provision": provision,
    }


def patient(id: str, facility: str) -> dict:
    place = {"reference": f"Organization/{facility}"}
    return {"resourceType": "Patient", "id": id, "managingOrganization": place}


def about(server) -> Consenting:
    return Consenting(server.store, server.live, built_in())


WORLD = [
    *(patient("p", "a"), patient("q", "b"), patient("r", "b")),
    consent("of-ours", "p"),
    consent("ended", "p", status="inactive"),
    consent("names-us", "q", "Organization/a"),
    consent("names-x", "r", "Practitioner/x"),
    consent("names-others", "q", "Organization/b"),
    consent("of-theirs", "r"),
    consent("to-be-treated", "p", scope="treatment"),
    consent("for-a-study", "p", scope="research"),
    consent("of-its-own-kind", "p", scope="local"),
]


@pytest.mark.parametrize(
    ("caller", "found"),
    [
        (DOCTOR, {"of-ours", "of-its-own-kind", "names-us", "names-x"}),
        (RESEARCHER, {"of-ours", "of-its-own-kind", "names-us", "for-a-study"}),
        (Caller("his", facility="c", roles=DOCTOR.roles), set()),
        (Caller("his", user="https://idp.example|1", roles=DOCTOR.roles), set()),
        (Caller("his", roles=DOCTOR.roles, patient="q"), {"names-us", "names-others"}),
    ],
    ids=["doctor", "researcher", "another", "outside", "in context"],
)
def test_those_about_the_caller_are_found(world, run, caller, found) -> None:
    purpose = "HRESCH" if caller is RESEARCHER else "TREAT"
    told = run(about(world).consents(caller, purpose, NOW))
    assert {each["id"] for each in told} == found


@pytest.mark.parametrize("caller", [CITIZEN, OPERATOR], ids=["citizen", "operator"])
def test_nobody_s_denial_keeps_a_citizen_from_the_own_record(world, run, caller) -> None:
    assert run(about(world).about(caller, NOW)) == SILENCE


def test_a_consent_counts_after_some_seconds_at_most_v5_0_0_8_3_2(world, here, run) -> None:
    known = about(world)
    before = run(known.about(DOCTOR, NOW))
    for id in ("of-ours", "of-its-own-kind"):
        run(put(world, here, consent(id, "p", status="inactive")))
    assert run(known.about(DOCTOR, NOW + KNOWN_MS - 1)) == before
    assert run(known.about(DOCTOR, NOW + KNOWN_MS)) != before


def test_more_than_a_query_holds_are_refused_by_their_number(world, run, monkeypatch) -> None:
    monkeypatch.setattr(consenting, "MAX_CONSENTS", 2)
    with pytest.raises(TooCostly, match="More than 2 Consents"):
        run(about(world).about(DOCTOR, NOW))


def test_who_denied_is_not_found_and_nothing_else_is_missing(world, here, run) -> None:
    agreement = run(about(world).about(DOCTOR, NOW))
    denied = decide(built_in(), DOCTOR, agreement, moment=NOW).reach("search")
    unasked = decide(built_in(), DOCTOR, SILENCE, moment=NOW).reach("search")
    assert run(searched(world, within(here, unasked), "Patient", ""))["total"] == 1
    assert run(searched(world, within(here, denied), "Patient", ""))["total"] == 0
