"""What is written, and what once was, is judged by what it says; and no answer depends on what its
caller does not reach.

https://hl7.org/fhir/R4/security.html#AccessDenied
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from fhir_server.foundation.outcome import (
    Conflict,
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
)
from fhir_server.foundation.resource import Key
from fhir_server.interaction import (
    bundle,
    create,
    delete,
    history,
    patch,
    reaching,
    read,
    search,
    update,
)
from fhir_server.interaction.context import Asked, Once
from fhir_server.security.agreeing import SILENCE
from fhir_server.security.caller import Caller
from fhir_server.security.decision import decide
from fhir_server.security.policy_file import built_in
from fhir_server.store.contract import EVERYTHING, NOTHING, History, Restriction, rid
from fhir_server.store.contract.reach import only
from tests.interaction.conftest import Within, ids, patient, put, told, within

A, B = Key("Patient", "a"), Key("Patient", "b")
AMBULATORY = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}
OF_A = only(owners=frozenset({rid(A)}))


def observation(of, value, id="o", **more):
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"text": value},
        "subject": {"reference": str(of)},
        **more,
    }


def encounter(of, id="e", facility=None, **more):
    told = {"resourceType": "Encounter", "id": id, "status": "in-progress", "class": AMBULATORY}
    told |= {"subject": {"reference": str(of)}, **more}
    if facility:
        told["serviceProvider"] = {"reference": f"Organization/{facility}"}
    return told


@dataclass(frozen=True)
class ByName(Within):
    """Rights that differ by interaction."""

    by: dict[str, Restriction] = field(default_factory=dict)

    def reach(self, interaction):
        return self.by.get(interaction, self.restriction)


def rights(here, restriction=EVERYTHING, **by):
    return replace(here, caller=Caller("app"), access=ByName(restriction, by))


def acting(here, facility, *roles, **told):
    """A caller of a facility, by the policy that is built in."""
    caller = Caller(f"his-{facility}", facility=facility, roles=frozenset(roles or ["system"]))
    caller = replace(caller, **{"purpose": "TREAT"} | told)
    return replace(here, caller=caller, access=decide(built_in(), caller, SILENCE))


async def answer_of(asked):
    """Status and sentence, whatever becomes of it."""
    try:
        answer = await asked
    except (MethodNotAllowed, Conflict, Forbidden, NotFound) as refusal:
        return refusal.status, str(refusal), refusal.headers
    return answer.status, answer.body, answer.headers


# --- ids of one's own choosing -------------------------------------------------------------------


async def test_an_id_that_is_taken_is_refused_as_one_that_is_free(server, here):
    await put(server, here, patient("b"), patient("gone"))
    await delete.delete(server, delete.Ask("Patient", "gone"), here)
    mine, before = (
        within(here, OF_A),
        await server.store.count_history(History(restriction=EVERYTHING)),
    )
    free = await answer_of(update.update(server, update.Ask("Patient", "f", patient("f")), mine))
    assert free[0] == 405
    for id in ("b", "gone"):
        asked = update.Ask("Patient", id, patient(id))
        taken = await answer_of(update.update(server, asked, mine))
        assert taken == (free[0], free[1].replace("Patient/f", f"Patient/{id}"), free[2])
    assert await server.store.count_history(History(restriction=EVERYTHING)) == before


async def test_the_same_in_a_transaction_and_by_criteria(server, here):
    await put(server, here, patient("b"))
    mine, told_of = within(here, OF_A), []
    for id in ("b", "f"):
        entry = {"resource": patient(id), "request": {"method": "PUT", "url": f"Patient/{id}"}}
        whole = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
        in_bundle = await answer_of(bundle.bundle(server, bundle.Ask(whole), mine))
        asked = update.Ask("Patient", None, patient(id), condition=[("identifier", "u|none")])
        by_criteria = await answer_of(update.update(server, asked, mine))
        found = [one[1].replace(f"Patient/{id}", "Patient/x") for one in (in_bundle, by_criteria)]
        told_of.append((in_bundle[0], by_criteria[0], *found))
    assert told_of[0] == told_of[1]
    assert told_of[0][:2] == (405, 405)


async def test_a_facility_chooses_ids_that_begin_with_its_own(server, here):
    await put(server, here, patient("hanoi.taken"))
    mine = acting(here, "hue")
    registered = {"managingOrganization": {"reference": "Organization/hue"}}
    new = await put(server, mine, patient("hue.17", **registered))
    assert new.status == 201
    for id in ("hanoi.taken", "hanoi.free"):
        with pytest.raises(MethodNotAllowed, match=r"`hue\.`"):
            await put(server, mine, patient(id, **registered))


async def test_of_two_facilities_of_which_one_is_called_like_ids_of_the_other_each_has_its_own(
    server, here
):
    """`hue` may not learn by trying which ids `hue.b` has given, nor take them away."""
    within_b = {"managingOrganization": {"reference": "Organization/hue.b"}}
    await put(server, acting(here, "hue.b"), patient("hue.b.taken", **within_b))
    mine = acting(here, "hue")
    for id in ("hue.b.taken", "hue.b.free"):
        with pytest.raises(MethodNotAllowed, match=r"`hue\.`"):
            await put(server, mine, patient(id))
    with pytest.raises(MethodNotAllowed, match=r"`hue\.b\.`"):
        await put(server, acting(here, "hue.b"), patient("hue.free"))


async def test_an_id_of_ones_own_that_is_anothers_by_now_is_refused_at_once(server, here):
    await put(server, here, patient("hue.1", managingOrganization={"reference": "Organization/x"}))
    before = await server.store.count_history(History(restriction=EVERYTHING))
    with pytest.raises(Conflict, match="was used before"):
        await put(server, acting(here, "hue"), patient("hue.1"))
    assert await server.store.count_history(History(restriction=EVERYTHING)) == before


async def test_who_reaches_everything_chooses_any_id(server, here):
    assert (await put(server, here, patient("any"))).status == 201


async def test_who_keeps_the_directory_chooses_ids_there_and_nowhere_else(server, here):
    keeper = acting(here, "", "operator", purpose="HSYSADMIN")
    hospital = {"resourceType": "Organization", "id": "hue", "name": "Huế"}
    assert (await put(server, keeper, hospital)).status == 201
    with pytest.raises(MethodNotAllowed, match="you choose no ids"):
        await put(server, keeper, patient("any"))
    for role in ("system", "doctor"):
        with pytest.raises(MethodNotAllowed, match=r"`hue\.`"):
            await put(server, acting(here, "hue", role), hospital | {"id": "hanoi"})


# --- what once was -------------------------------------------------------------------------------


@pytest.fixture
def moved(server, here, run):
    """An Observation that was B's, and is A's now."""
    run(put(server, here, patient("a"), patient("b"), observation(B, "secret of b")))
    old = run(read.read(server, read.Ask(Key("Observation", "o")), here)).version_id
    run(put(server, here, observation(A, "of a")))
    return old


async def test_a_version_that_was_anothers_is_not_shown(server, here, moved):
    mine = within(here, OF_A)
    for ask in (
        history.Ask("Observation", "o"),
        history.Ask("Observation", None),
        history.Ask(None, None),
    ):
        answer = await history.history(server, ask, mine)
        assert b"secret" not in answer.body
        assert moved.encode() not in answer.body
    with pytest.raises(NotFound):
        await read.read(server, read.Ask(Key("Observation", "o"), moved), mine)


async def test_a_version_that_was_anothers_is_not_included(server, here, moved):
    pointing = encounter(A, reasonReference=[{"reference": f"Observation/o/_history/{moved}"}])
    await put(server, here, pointing)
    pairs = [("_include", "Encounter:reason-reference")]
    ask = search.Ask(("Encounter",), pairs)
    assert b"secret" in (await search.search(server, ask, here)).body
    assert b"secret" not in (await search.search(server, ask, within(here, OF_A))).body


async def test_pages_of_a_history_are_as_if_what_was_anothers_had_never_been(server, here):
    await put(server, here, patient("a"), patient("b"), observation(A, "1"))
    for value in ("2", "3", "4", "5"):
        await put(server, here, observation(B, value))
    await put(server, here, observation(A, "6"), observation(A, "7"))
    ask = history.Ask("Observation", "o", [("_count", "2")])
    first = told(await history.history(server, ask, within(here, OF_A)))
    assert [entry["resource"]["code"]["text"] for entry in first["entry"]] == ["7", "6"]
    assert "total" not in first
    ask = history.Ask("Observation", "o", [("_count", "3")])
    whole = told(await history.history(server, ask, within(here, OF_A)))
    assert [entry["resource"]["code"]["text"] for entry in whole["entry"]] == ["7", "6", "1"]
    assert whole["total"] == 3
    assert [link["relation"] for link in whole["link"]] == ["self", "first"]


async def test_a_history_goes_on_for_nobody_else(server, here):
    await put(server, here, patient("a"), patient("a", "B"), patient("a", "C"))
    mine = within(here, OF_A)
    ask = history.Ask("Patient", "a", [("_count", "1")])
    page = told(await history.history(server, ask, mine))
    (cursor,) = (link["url"].rpartition("=")[2] for link in page["link"][2:])
    again = history.Ask("Patient", "a", [("_count", "1"), ("_cursor", cursor)])
    assert told(await history.history(server, again, mine))["entry"]
    for other in (within(here, OF_A, "another"), within(here, OF_A, user="Practitioner/1")):
        with pytest.raises(Invalid, match="somebody else"):
            await history.history(server, again, other)


# --- who may write, and not read -----------------------------------------------------------------


async def test_who_may_not_read_is_not_told_what_was_there(server, here):
    await put(server, here, patient("a", "Secret", identifier=[{"system": "u", "value": "1"}]))
    blind = rights(here, read=NOTHING)
    found = create.Ask("Patient", patient(family="Other"), "identifier=u|1")
    matched = await create.create(server, found, blind)
    assert (matched.status, matched.body) == (200, None)
    written = await put(server, blind, patient("a", "Written"))
    assert (written.status, written.body) == (200, None)
    assert written.version_id


async def test_a_write_that_was_followed_at_once_is_answered_whole(server, here):
    """Between the commit and its answer another may write the same resource: a node, or a merge."""
    mine = within(here, OF_A)
    first = await put(server, here, patient("a", "First"))
    await put(server, here, patient("a", "Second"))
    answer = await reaching.readable(server, mine, first)
    assert b"First" in answer.body
    await delete.delete(server, delete.Ask("Patient", "a"), here)
    assert (await reaching.readable(server, within(here, NOTHING), first)).body is None


async def test_a_patch_is_tried_only_on_what_may_be_read(server, here):
    await put(server, here, patient("a", "Secret"))
    blind = rights(here, read=NOTHING)
    for family in ("Secret", "Other"):
        test = {"op": "test", "path": "/name/0/family", "value": family}
        with pytest.raises(NotFound):
            await patch.patch(server, patch.Ask("Patient", "a", [test], "json-patch"), blind)


async def test_a_transactions_answer_has_no_resource_that_may_not_be_read(server, here):
    await put(server, here, patient("a", "Secret", identifier=[{"system": "u", "value": "1"}]))
    entry = {
        "resource": patient(family="Other"),
        "request": {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=u|1"},
    }
    whole = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    blind = replace(rights(here, read=NOTHING), representation=True)
    answer = await bundle.bundle(server, bundle.Ask(whole), blind)
    assert b"Secret" not in answer.body
    assert told(answer)["entry"][0]["response"]["status"].startswith("200")
    sees = replace(here, representation=True)
    assert b"Secret" in (await bundle.bundle(server, bundle.Ask(whole), sees)).body


async def test_what_may_be_seen_and_not_written_is_refused_in_words(server, here):
    await put(server, here, patient("a", identifier=[{"system": "u", "value": "1"}]))
    reader = rights(here, update=NOTHING, patch=NOTHING, delete=NOTHING)
    by = [("identifier", "u|1")]
    for asked in (
        update.update(server, update.Ask("Patient", "a", patient("a", "X")), reader),
        update.update(server, update.Ask("Patient", None, patient(family="X"), None, by), reader),
        patch.patch(server, patch.Ask("Patient", "a", [], "json-patch"), reader),
        patch.patch(server, patch.Ask("Patient", None, [], "json-patch", None, by), reader),
        delete.delete(server, delete.Ask("Patient", "a"), reader),
        delete.delete(server, delete.Ask("Patient", None, by), reader),
    ):
        with pytest.raises(Forbidden, match="`Patient/a`"):
            await asked


# --- the same request again ----------------------------------------------------------------------


async def test_an_answer_given_again_is_judged_again(server, here):
    entry = {"resource": patient(family="Secret"), "request": {"method": "POST", "url": "Patient"}}
    whole = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    asked = replace(here, once=Once("k", b"d"), representation=True)
    first = await bundle.bundle(server, bundle.Ask(whole), asked)
    assert b"Secret" in first.body
    narrower = replace(asked, access=Within(OF_A))
    again = await bundle.bundle(server, bundle.Ask(whole), narrower)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert b"Secret" not in again.body
    assert b"Secret" in (await bundle.bundle(server, bundle.Ask(whole), asked)).body


def test_who_asks_is_the_same_with_another_token_and_no_other():
    one = Caller("app", user="Practitioner/1", facility="hue", token="t1", roles=frozenset("a"))
    assert one.identity == replace(one, token="t2", roles=frozenset()).identity
    for other in ({"user": "Practitioner/2"}, {"facility": "hanoi"}, {"patient": "a"}):
        assert one.identity != replace(one, **other).identity


# --- facilities and care -------------------------------------------------------------------------

HUE = {"managingOrganization": {"reference": "Organization/hue"}}


async def test_what_a_facility_writes_is_its_own_and_nobody_elses(server, here):
    hue, hanoi = acting(here, "hue"), acting(here, "hanoi")
    made = await create.create(server, create.Ask("Patient", patient(family="H")), hue)
    assert (await read.read(server, read.Ask(made.key), hue)).status == 200
    with pytest.raises(NotFound):
        await read.read(server, read.Ask(made.key), hanoi)
    found = told(await search.search(server, search.Ask((), []), hanoi))
    assert ids(found) == []


async def test_a_patient_is_registered_and_visits_in_one_transaction(server, here):
    hue = acting(here, "hue")
    visit = encounter("urn:uuid:6c2cb3d9-46ed-4a4f-8b4f-1d9b7c1f3a11", facility="hue")
    entries = [
        {
            "fullUrl": "urn:uuid:6c2cb3d9-46ed-4a4f-8b4f-1d9b7c1f3a11",
            "resource": patient(family="H", **HUE),
            "request": {"method": "POST", "url": "Patient"},
        },
        {"resource": visit, "request": {"method": "POST", "url": "Encounter"}},
    ]
    whole = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = told(await bundle.bundle(server, bundle.Ask(whole), hue))
    assert [entry["response"]["status"][:3] for entry in answer["entry"]] == ["201", "201"]
    found = told(await search.search(server, search.Ask(("Encounter",), []), hue))
    assert len(found["entry"]) == 1


# what is written about another facility's patient, naming one's own as responsible
OPENING = [
    encounter(B, facility="hanoi"),
    {
        "resourceType": "ServiceRequest",
        "id": "s",
        "status": "active",
        "intent": "order",
        "subject": {"reference": str(B)},
        "performer": [{"reference": "Organization/hanoi"}],
    },
    {
        "resourceType": "Task",
        "id": "t",
        "status": "requested",
        "intent": "order",
        "for": {"reference": str(B)},
        "owner": {"reference": "Organization/hanoi"},
    },
]


@pytest.mark.parametrize("opening", OPENING, ids=lambda each: each["resourceType"])
async def test_naming_a_patient_opens_nobodys_records(server, here, opening):
    await put(server, here, patient("b", **HUE), observation(B, "secret of b"))
    hanoi = acting(here, "hanoi")
    await answer_of(create.create(server, create.Ask(opening["resourceType"], opening), hanoi))
    for key in (B, Key("Observation", "o")):
        with pytest.raises(NotFound):
            await read.read(server, read.Ask(key), hanoi)


async def test_a_referral_opens_the_records_to_whom_it_is_sent(server, here):
    await put(server, here, patient("b", **HUE), observation(B, "for hanoi"))
    hue, hanoi = acting(here, "hue"), acting(here, "hanoi")
    referral = OPENING[1]
    await create.create(server, create.Ask("ServiceRequest", referral), hue)
    for key in (B, Key("Observation", "o")):
        assert (await read.read(server, read.Ask(key), hanoi)).status == 200


# --- what is for who runs the server -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "method"),
    [("reindex", "POST"), ("reindex-status", "GET"), ("reindex-status", "DELETE")],
)
async def test_reindexing_is_for_who_runs_the_server(server, here, name, method):
    asked = Asked(name, method)
    with pytest.raises(Forbidden, match="`reindex`"):
        await server.operations.perform(server, asked, acting(here, "hue"))
    caller = Caller("ops", roles=frozenset({"operator"}))
    runs = replace(here, caller=caller, access=decide(built_in(), caller, SILENCE))
    assert (await server.operations.perform(server, asked, runs)).status in (200, 202)
