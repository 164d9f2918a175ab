"""One decision: what a caller reaches is what a rule and a scope allow, and a Consent leaves."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.foundation.outcome import Forbidden, TooCostly
from fhir_server.foundation.resource import Key, Resource
from fhir_server.security import agreeing, decision
from fhir_server.security.agreeing import SILENCE, agreed
from fhir_server.security.caller import OPEN, OPERATOR, Caller
from fhir_server.security.consent import RESOURCE_TYPES, SCOPES
from fhir_server.security.decision import NEEDS, Access, Basis, Meaning, weighed_for
from fhir_server.security.policy import Policy
from fhir_server.security.policy_file import built_in, of_text
from fhir_server.security.scope import LETTERS, Scope, parse
from fhir_server.store.contract.index import AllOf, KeyIs
from fhir_server.store.contract.number import rid
from fhir_server.store.contract.reach import EVERYTHING, NOTHING, Ground, Restriction
from tests.security.disguise import MEANS

NOW = 1_795_000_000_000
REASON = "Bệnh nhân bất tỉnh, cần tiền sử dị ứng"


def patient(id: str) -> int:
    return rid(Key("Patient", id))


def place(id: str) -> int:
    return rid(Key("Organization", id))


@dataclass(frozen=True)
class Record:
    """What a store knows of a record, by the names of this world."""

    type: str
    of: str = ""  # a patient
    by: str = ""  # a facility


# Facility `a` has `an` in its care, `b` has `binh`; `cuc` is in nobody's.
CARE = {("a", "an"), ("b", "binh")}
CARED = {(place(facility), patient(id)) for facility, id in CARE}


def within(restriction: Restriction, record: Record) -> bool:
    """What the store would say."""
    return restriction.grounds is None or any(holds(g, record) for g in restriction.grounds)


def holds(ground: Ground, record: Record) -> bool:
    owner = patient(record.of) if record.of else 0
    by = place(record.by) if record.by else 0
    return (
        (ground.types is None or record.type in ground.types)
        and (ground.owners is None or owner in ground.owners)
        and owner not in ground.barred
        and (ground.facility is None or by == ground.facility)
        and (ground.in_care_of is None or (ground.in_care_of[0], owner) in CARED)
        and ground.where is None
    )


def decide(
    policy: Policy,
    caller: Caller,
    *,
    consents: Iterable[Resource] = (),
    moment: int = NOW,
    **more: Any,
) -> Access:
    """As it is decided where these are all the Consents there are."""
    purpose = weighed_for(policy, caller)
    found = agreed(consents, caller, purpose, policy, moment) if purpose else SILENCE
    return decision.decide(policy, caller, found, moment=moment, **more)


def caller(role: str, **more: Any) -> Caller:
    told: dict[str, Any] = {"client": "his", "user": "Practitioner/x", "facility": "a"}
    return Caller(**(told | {"roles": frozenset(role.split())} | more))


def access(role: str, **more: Any) -> Access:
    return decide(built_in(), caller(role, **more), moment=NOW)


MINE, THEIRS = Record("Condition", "an", "a"), Record("Condition", "binh", "b")
AT_OTHERS = Record("Condition", "an", "b")  # of a patient in our care, recorded elsewhere
ENDED = Record("Condition", "cuc", "a")  # recorded by us; the care has ended
ELSEWHERE = Record("Condition", "cuc", "b")
DIRECTORY, DEFINITION = Record("Organization", by="b"), Record("ValueSet", by="b")
OUR_TASK, THEIR_TASK = Record("Task", by="a"), Record("Task", by="b")
NEW_PATIENT = Record("Patient", "new", "a")
CARD, DRUG = Record("Coverage", "an", "b"), Record("MedicationRequest", "an", "b")
DISPENSE, DISPENSED = Record("MedicationDispense", "an", "a"), Record("MedicationDispense", "an")
AUDIT = Record("AuditEvent", "an", "a")
OWN_CONSENT, OTHERS_CONSENT = Record("Consent", "an"), Record("Consent", "binh")
RECORDS = [
    *(MINE, THEIRS, AT_OTHERS, ENDED, ELSEWHERE, DIRECTORY, DEFINITION, OUR_TASK, THEIR_TASK),
    *(NEW_PATIENT, CARD, DRUG, DISPENSE, DISPENSED, AUDIT, OWN_CONSENT, OTHERS_CONSENT),
]
BTG = {"purpose": "BTG", "reason": REASON, "patient": "binh"}
CITIZEN = {"user": "Patient/an", "facility": "", "patient": "an"}
ORDER = {"basis": "Quyết định 12/QĐ-SYT"}

SHARED = {DIRECTORY, DEFINITION}
IN_CARE = {MINE, AT_OTHERS, CARD, DRUG, DISPENSE, DISPENSED, OWN_CONSENT}
DOCTORS = IN_CARE | SHARED | {ENDED, OUR_TASK, NEW_PATIENT}
ANS = IN_CARE
PROVINCE = {MINE, THEIRS, AT_OTHERS, ENDED, ELSEWHERE, NEW_PATIENT, CARD, DRUG, DISPENSE, DISPENSED}

CASES: list[tuple[str, dict[str, Any], str, set[Record]]] = [
    ("doctor", {}, "read", DOCTORS),
    ("doctor", {}, "search", DOCTORS),
    ("doctor", {}, "history", DOCTORS),
    ("doctor", {}, "create", {MINE, DISPENSE, OUR_TASK, NEW_PATIENT}),
    ("doctor", {}, "delete", set()),
    ("doctor", {"facility": ""}, "read", SHARED),
    ("doctor", {"facility": "c"}, "search", SHARED),
    ("doctor", BTG, "search", DOCTORS | {THEIRS, OTHERS_CONSENT}),
    ("doctor", BTG, "update", {MINE, DISPENSE, OUR_TASK, NEW_PATIENT}),
    ("doctor", {"patient": "binh"}, "search", DOCTORS),
    ("nurse", {}, "search", DOCTORS),
    ("system", {"user": ""}, "search", DOCTORS),
    ("pharmacist", {}, "search", {DRUG, DISPENSE, DISPENSED, CARD} | SHARED),
    ("pharmacist", {}, "create", {DISPENSE}),
    ("clerk", {}, "search", {CARD, OUR_TASK} | SHARED),
    ("clerk", {}, "create", {OUR_TASK, NEW_PATIENT}),
    ("clerk pharmacist", {"purpose": "TREAT"}, "create", {DISPENSE}),
    ("citizen", CITIZEN, "search", ANS | SHARED),
    ("citizen", CITIZEN, "create", {OWN_CONSENT}),
    ("citizen", CITIZEN | {"patient": ""}, "search", SHARED),
    ("analyst", ORDER, "search", PROVINCE | SHARED),
    ("analyst", ORDER, "vread", set()),
    ("analyst", ORDER, "history", set()),
    ("analyst", ORDER, "create", set()),
    ("analyst", ORDER, "operation", set()),
    ("researcher", {}, "search", SHARED),
    ("operator", {"facility": ""}, "search", SHARED),
    ("operator", {"facility": ""}, "delete", SHARED),
    ("auditor", ORDER, "search", {AUDIT}),
    ("auditor", ORDER, "read", {AUDIT}),
]


@pytest.mark.parametrize(("role", "more", "interaction", "reached"), CASES)
def test_a_role_reaches_what_its_rules_say_v5_0_0_8_2_2(
    role: str, more: dict[str, Any], interaction: str, reached: set[Record]
) -> None:
    restriction = access(role, **more).reach(interaction)
    assert {record for record in RECORDS if within(restriction, record)} == reached


@pytest.mark.parametrize("role", sorted(built_in().roles))
def test_no_role_reaches_another_facility_s_patients_v5_0_0_8_4_1(role: str) -> None:
    told = decide(built_in(), caller(role, basis="x"), moment=NOW)
    for interaction in NEEDS:
        if not told.deidentify:
            for record in (THEIRS, ELSEWHERE, OTHERS_CONSENT, THEIR_TASK):
                assert not within(told.reach(interaction), record), interaction


@pytest.mark.parametrize(
    ("role", "more", "said"),
    [
        ("", {}, "has no role"),
        ("wizard", {}, "has no role"),
        ("doctor", {"purpose": "HRESCH"}, "`TREAT`, `BTG`"),
        ("doctor", {"purpose": "treat"}, "is no purpose of your role"),
        ("doctor clerk", {}, "several purposes"),
        ("doctor", {"purpose": "BTG", "patient": "binh"}, "a reason of at least 20 signs"),
        ("doctor", BTG | {"reason": " " * 30}, "a reason of at least 20 signs"),
        ("doctor", BTG | {"patient": ""}, "name the patient"),
        ("analyst", {}, "needs a basis"),
        ("analyst", {"basis": " "}, "needs a basis"),
        ("auditor", {}, "needs a basis"),
        ("citizen", {"purpose": "BTG", "reason": REASON}, "is no purpose of your role"),
    ],
)
def test_without_role_purpose_or_basis_all_is_refused(
    role: str, more: dict[str, Any], said: str
) -> None:
    with pytest.raises(Forbidden, match=said):
        access(role, **more)


def test_who_names_no_purpose_has_the_first_of_the_role() -> None:
    assert access("doctor").purpose == "TREAT"
    assert access("clerk", purpose="HPAYMT").purpose == "HPAYMT"
    assert access("doctor system").purpose == "TREAT"


def test_a_broken_glass_is_flagged_and_recorded_with_its_reason() -> None:
    told = access("doctor", **BTG)
    assert told.flagged
    assert not access("doctor").flagged
    basis = told.basis("read", "Condition")
    assert (basis.purpose, basis.reason) == ("BTG", REASON)
    assert "break glass" in basis.rules


def test_a_disclosure_names_the_rule_and_the_law() -> None:
    basis = access("doctor").basis("search", "Condition")
    assert basis.rules == ("care", "own records")
    assert "Luật 91/2025" in basis.law
    assert access("analyst", **ORDER).basis("read", "Patient").told == ORDER["basis"]


def test_care_is_asked_at_the_second_of_the_request() -> None:
    for moment, second in ((NOW, NOW), (NOW + 999, NOW), (NOW + 1000, NOW + 1000)):
        told = decide(built_in(), caller("doctor"), moment=moment).reach("read")
        assert {ground.in_care_of for ground in told.grounds or () if ground.in_care_of} == {
            (place("a"), second)
        }


def test_only_the_operator_and_an_open_server_reach_everything() -> None:
    for free in (OPERATOR, OPEN):
        told = decide(built_in(), free)
        assert told.reach("delete") == EVERYTHING
        assert told.able("reindex")
        assert told.may_ask("identifier")
        assert told.basis("read", "Patient") == Basis("")
    with pytest.raises(Forbidden):
        Access.open(Caller("operator"))
    with pytest.raises(Forbidden):
        decide(built_in(), Caller("anyone"))


def test_abilities_are_those_of_the_role() -> None:
    assert access("operator").able("metrics")
    assert not access("operator").able("audit")
    assert access("auditor", **ORDER).able("audit")
    assert not access("doctor").able("metrics")


def test_what_no_record_could_change_is_refused_in_words() -> None:
    told = access("doctor", scopes=parse("user/Patient.r"))
    told.demand("read", "Patient")
    for interaction, type in (("search", "Patient"), ("read", "Condition"), ("delete", "Patient")):
        with pytest.raises(Forbidden, match="scope"):
            told.demand(interaction, type)


def test_a_deidentified_caller_searches_by_nothing_that_tells_people_apart() -> None:
    told = access("analyst", **ORDER)
    assert "names" in told.deidentify
    assert told.may_ask("gender")
    for parameter in ("name", "identifier", "birthdate", "_id", "patient", "phone", "_content"):
        assert not told.may_ask(parameter)


def test_a_record_is_shown_as_the_caller_may_see_it() -> None:
    whole = {"resourceType": "Patient", "id": "an", "birthDate": "1987-06-05", "gender": "male"}
    assert access("doctor").shown(MEANS, whole) is whole
    told = access("analyst", **ORDER).shown(MEANS, whole)
    assert (told["birthDate"], told["gender"]) == ("1987", "male")


def test_a_role_that_is_deidentified_makes_the_whole_answer_so() -> None:
    policy = of_text(
        """
        purpose = [{ code = "TREAT", basis = "rule", law = "x" }]
        role = [
            { name = "doctor", purposes = ["TREAT"] },
            { name = "analyst", purposes = ["TREAT"], deidentify = ["names"] },
        ]
        rule = [{ name = "r", roles = ["doctor"], letters = "rs", types = ["*"], reach = "all" }]
        """
    )
    assert decide(policy, caller("doctor analyst")).deidentify == ("names",)
    assert decide(policy, caller("doctor")).deidentify == ()


def test_who_is_told_numbers_reads_no_record_whatever_the_rules_say() -> None:
    policy = of_text(
        """
        purpose = [{ code = "TREAT", basis = "rule", law = "x" }]
        role = [{ name = "counter", purposes = ["TREAT"], deidentify = ["records"] }]
        rule = [{ name = "r", roles = ["counter"], letters = "rs", types = ["*"], reach = "all" }]
        """
    )
    told = decide(policy, caller("counter"))
    assert told.reach("read") == told.reach("history") == NOTHING
    assert told.reach("search") != NOTHING


# --- scopes ---------------------------------------------------------------------------------------

USER, BACKEND = {"patient": "an"}, {"user": ""}


@pytest.mark.parametrize(
    ("scopes", "more", "interaction", "reached"),
    [
        ("user/*.cruds", {}, "read", DOCTORS),
        ("user/*.cruds", {}, "delete", set()),
        ("user/Condition.rs", {}, "search", {MINE, AT_OTHERS, ENDED}),
        ("user/Condition.r", {}, "search", set()),
        ("user/Condition.r", {}, "history-instance", {MINE, AT_OTHERS, ENDED}),
        ("user/Condition.r", {}, "history", set()),
        ("user/Condition.r user/Condition.s", {}, "history", {MINE, AT_OTHERS, ENDED}),
        ("user/Condition.r user/*.s", {}, "history", {MINE, AT_OTHERS, ENDED}),
        ("user/Condition.s", {}, "read", set()),
        ("user/Condition.c", {}, "create", {MINE}),
        ("user/Condition.c", {}, "read", set()),
        ("patient/*.rs", USER, "read", ANS | {DIRECTORY}),
        ("patient/*.rs", {"patient": "binh"}, "read", {DIRECTORY}),
        ("patient/*.rs", {}, "read", set()),
        ("patient/Condition.rs", USER, "read", {MINE, AT_OTHERS}),
        ("patient/Coverage.rs user/Condition.rs", USER, "read", {CARD, MINE, AT_OTHERS, ENDED}),
        ("system/*.cruds", {}, "read", set()),
        ("user/*.cruds", BACKEND, "read", set()),
        ("system/Condition.rs", BACKEND, "read", {MINE, AT_OTHERS, ENDED}),
        ("user/AuditEvent.rs", {}, "search", set()),
        ("", {}, "read", set()),
        ("openid fhirUser", {}, "read", set()),
    ],
)
def test_a_scope_narrows_and_never_adds_v5_0_0_10_3_2(
    scopes: str, more: dict[str, Any], interaction: str, reached: set[Record]
) -> None:
    told = decide(built_in(), caller("system", scopes=parse(scopes), **more), moment=NOW)
    found = {record for record in RECORDS if within(told.reach(interaction), record)}
    assert found == reached


def test_a_client_without_a_scope_reaches_nothing() -> None:
    assert access("doctor", scopes=()).reach("read") == NOTHING


CLASS = KeyIs(1)


def meaning(type: str, parameters: tuple[tuple[str, str], ...]) -> KeyIs | None:
    return CLASS if (type, parameters) == ("Encounter", (("class", "AMB"),)) else None


def grounds(scopes: str, meaning: Meaning = meaning, interaction: str = "read") -> list[Ground]:
    told = decide(built_in(), caller("doctor", scopes=parse(scopes)), meaning=meaning, moment=NOW)
    return list(told.reach(interaction).grounds or ())


def test_a_granular_scope_is_part_of_every_ground() -> None:
    found = grounds("user/Encounter.rs?class=AMB")
    assert len(found) == 2
    assert {ground.where for ground in found} == {CLASS}
    assert {ground.types for ground in found} == {frozenset({"Encounter"})}


def test_a_granular_scope_that_is_not_understood_grants_nothing() -> None:
    assert grounds("user/Encounter.rs?class=IMP") == []
    assert grounds("user/Encounter.rs?class=AMB&status=finished") == []


def test_a_granular_scope_beside_a_whole_one_adds_nothing() -> None:
    assert grounds("user/Encounter.rs user/Encounter.rs?class=AMB") == grounds("user/Encounter.rs")


def test_granular_scopes_join_letters_with_whole_ones() -> None:
    assert grounds("user/Encounter.r?class=AMB user/Encounter.s", interaction="history") == (
        grounds("user/Encounter.rs?class=AMB", interaction="history")
    )


# --- consent --------------------------------------------------------------------------------------


def consent(of: str, kind: str, *types: str, facility: str = "a") -> Resource:
    role = {"coding": [{"code": "PRCP"}]}
    provision: Resource = {
        "type": kind,
        "actor": [{"role": role, "reference": {"reference": f"Organization/{facility}"}}],
    }
    if types:
        provision["class"] = [{"system": RESOURCE_TYPES, "code": type} for type in types]
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"system": SCOPES, "code": "patient-privacy"}]},
        "patient": {"reference": f"Patient/{of}"},
        "provision": provision,
    }


OPENS, BARS = "permit", "deny"


@pytest.mark.parametrize(
    ("role", "more", "consents", "reached"),
    [
        ("doctor", {}, [consent("binh", OPENS)], DOCTORS),  # care is what opens here
        ("doctor", {}, [consent("an", BARS)], DOCTORS - ANS),
        ("doctor", {}, [consent("an", BARS, facility="b")], DOCTORS),
        ("doctor", {}, [consent("an", BARS, "Condition")], DOCTORS - {MINE, AT_OTHERS}),
        ("doctor", {}, [consent("cuc", BARS)], DOCTORS - {ENDED}),
        (
            "doctor",
            {},
            [consent("cuc", BARS), consent("an", BARS, "Condition", "Coverage")],
            DOCTORS - {ENDED, MINE, AT_OTHERS, CARD},
        ),
        ("doctor", BTG, [consent("binh", BARS)], DOCTORS | {THEIRS, OTHERS_CONSENT}),
        ("citizen", CITIZEN, [consent("an", BARS)], ANS | SHARED),
        ("researcher", {}, [consent("cuc", OPENS)], {ENDED, ELSEWHERE} | SHARED),
        ("researcher", {}, [consent("an", OPENS, "Patient")], SHARED),
        ("researcher", {}, [consent("an", OPENS), consent("an", BARS)], SHARED),
        ("researcher", {}, [consent("an", OPENS)], {MINE, AT_OTHERS, DRUG} | SHARED),
    ],
)
def test_consents_open_and_bar(
    role: str, more: dict[str, Any], consents: list[Resource], reached: set[Record]
) -> None:
    told = decide(built_in(), caller(role, **more), consents=consents, moment=NOW)
    assert {record for record in RECORDS if within(told.reach("search"), record)} == reached


def test_more_consents_than_a_query_holds_are_refused_by_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agreeing, "MAX_CONSENTS", 2)
    many = [consent(each, BARS) for each in ("an", "binh", "cuc")]
    with pytest.raises(TooCostly, match="More than 2 Consents"):
        decide(built_in(), caller("doctor"), consents=many)


# --- all of it together ---------------------------------------------------------------------------

ROLES = st.frozensets(st.sampled_from(["doctor", "clerk", "pharmacist", "system"]), min_size=1)
CONTEXTS, TYPES = ("patient", "user"), ("*", "Condition", "Coverage", "Organization", "Task")
ONE_SCOPE = st.builds(
    Scope,
    st.sampled_from(CONTEXTS),
    st.sampled_from(TYPES),
    st.frozensets(st.sampled_from(LETTERS), min_size=1),
)
ALL_SCOPES = st.none() | st.lists(ONE_SCOPE, max_size=4).map(tuple)
KINDS = st.sampled_from([OPENS, BARS])
CONSENTS = st.lists(
    st.builds(
        lambda of, kind, types: consent(of, kind, *types),
        st.sampled_from(["an", "binh", "cuc"]),
        KINDS,
        st.lists(st.sampled_from(["Condition", "Coverage"]), max_size=2),
    ),
    max_size=3,
)


def plainly(asker: Caller, needs: str, record: Record, denied: Collection[tuple[str, str]]) -> bool:
    """The same by the words of the policy, one record at a time."""
    policy = built_in()
    facts = {
        "facility": record.by == asker.facility,
        "care": (asker.facility, record.of) in CARE,
        "patient": bool(record.of) and record.of == asker.patient,
        "nobody": not record.of,
        "all": True,
        "consent": False,
    }
    by_rule = any(
        set(needs) <= rule.letters
        and record.type in rule.types
        and all(facts[each] for each in rule.reach)
        for rule in policy.rules
        for name in asker.roles
        if rule.serves(policy.roles[name], asker.purpose)
    )

    def lent(letter: str, context: str) -> bool:
        return any(
            letter in scope.letters and scope.context == context
            for scope in asker.scopes or ()
            if scope.type in ("*", record.type)
        )

    mine = record.of == asker.patient or (not record.of and record.type in policy.directory)
    by_scope = asker.scopes is None or any(
        all(lent(letter, context) for letter in needs)
        for context in CONTEXTS
        if context == "user" or mine
    )
    return by_rule and by_scope and (record.of, record.type) not in denied


@given(ROLES, ALL_SCOPES, CONSENTS, st.sampled_from(sorted(NEEDS)))
def test_what_is_reached_is_what_the_words_of_the_policy_say_of_each_record(
    roles: frozenset[str],
    scopes: tuple[Scope, ...] | None,
    consents: list[Resource],
    interaction: str,
) -> None:
    purpose = "TREAT" if roles & {"doctor", "pharmacist"} else "HPAYMT"
    asker = replace(
        caller("x", patient="an", purpose=purpose, scopes=scopes), roles=frozenset(roles)
    )
    denied = {
        (each["patient"]["reference"].partition("/")[2], type)
        for each in consents
        if each["provision"]["type"] == BARS
        for type in (
            [told["code"] for told in each["provision"].get("class", ())]
            or {record.type for record in RECORDS}
        )
    }
    told = decide(built_in(), asker, consents=consents, moment=NOW)
    for record, letters in itertools.product(RECORDS, [NEEDS[interaction]]):
        assert within(told.reach(interaction), record) == plainly(asker, letters, record, denied)


def test_what_is_reached_is_told_in_few_grounds() -> None:
    for role in built_in().roles:
        told = decide(built_in(), caller(role, basis="x", patient="an"), moment=NOW)
        for interaction in NEEDS:
            assert len(told.reach(interaction).grounds or ()) <= 4, (role, interaction)


def test_two_conditions_of_one_ground_both_hold() -> None:
    where = AllOf((KeyIs(1), KeyIs(2)))
    found = grounds("user/Encounter.rs?class=AMB", lambda *_: where)
    assert {ground.where for ground in found} == {where}
