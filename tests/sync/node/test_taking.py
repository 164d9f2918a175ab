"""What a page of the hub changes, resource by resource."""

from __future__ import annotations

import pytest

from fhir_server.foundation.resource import Key
from fhir_server.store.contract import rid
from fhir_server.sync.epochs import Place
from fhir_server.sync.lineage import Known, Lineage, State
from fhir_server.sync.node.taking import Change, Here, Strange, changed, displayed, told
from fhir_server.sync.words import Kind, Row, Stubbed
from tests.sync.node.conftest import a_patient, a_row

AT = Place(1, 1, 0)
BASE = a_row(a_patient(gender="unknown"), AT)
MALE = a_row(a_patient(gender="male"), AT, BASE.rev)
FEMALE = a_row(a_patient(gender="female"), AT, BASE.rev)
JOINED = a_row(a_patient(gender="other"), AT, MALE.rev, FEMALE.rev)
GONE = a_row(a_patient(), AT, BASE.rev, deleted=True)


def here(*rows, own=(), shown="", left=False, stubs=()):
    versions = {row.rev: Known(row.parents, State.ALIVE) for row in rows}
    versions |= {row.rev: Known(row.parents, State.STUB) for row in stubs}
    return Here(versions, frozenset(row.rev for row in own), shown and shown.rev, left)


def echo(row):
    return row._replace(kind=Kind.ECHO, body=None)


def change(*new, shown, stubs=(), left=False):
    return Change(tuple(new), tuple(stubs), shown.rev, left)


WITH_STUB = JOINED._replace(stubs=(Stubbed(MALE.rev, (BASE.rev,)),))
NOTHING = here()
GREATER = max(MALE, FEMALE, key=lambda row: row.rev)
LESSER = min(MALE, FEMALE, key=lambda row: row.rev)
SHOWS = here(BASE, shown=BASE)
HIDDEN = here(BASE, shown=BASE, left=True)
CASES = {
    "what is new is written": (NOTHING, [BASE], False, change(BASE, shown=BASE)),
    "several versions come in their order": (
        NOTHING, [BASE, MALE], False, change(BASE, MALE, shown=MALE)),
    "what is there is not written again": (SHOWS, [BASE], False, None),
    "an echo of what is shown writes nothing": (SHOWS, [echo(BASE)], False, None),
    "of two heads the greater is shown": (
        here(BASE, LESSER, shown=LESSER), [GREATER], False, change(GREATER, shown=GREATER)),
    "a head that is not to be shown is kept behind the one that is": (
        here(BASE, GREATER, shown=GREATER), [LESSER], False, change(LESSER, shown=GREATER)),
    "alive goes before deleted": (
        here(BASE, MALE, shown=MALE), [GONE], False, change(GONE, shown=MALE)),
    "unsent work stays in front": (
        here(BASE, LESSER, own=[LESSER], shown=LESSER), [GREATER], False,
        change(GREATER, shown=LESSER)),
    "once it is at the hub the hub's order holds": (
        here(BASE, LESSER, GREATER, own=[LESSER], shown=LESSER), [echo(LESSER)], False,
        change(shown=GREATER)),
    "what joins both is shown": (
        here(BASE, MALE, FEMALE, shown=GREATER), [JOINED], False, change(JOINED, shown=JOINED)),
    "a body takes a stub's place": (
        here(MALE, stubs=[BASE], shown=MALE), [BASE], False, change(BASE, shown=MALE)),
    "a stub never takes a body's": (
        here(BASE, MALE, shown=MALE),
        [MALE._replace(stubs=(Stubbed(BASE.rev, ()),))], False, None),
    "stubs that are new are kept": (
        NOTHING, [WITH_STUB], False,
        change(WITH_STUB, shown=JOINED, stubs=[Stubbed(MALE.rev, (BASE.rev,))])),
    "what leaves is hidden": (SHOWS, [], True, change(shown=BASE, left=True)),
    "what left is hidden once": (HIDDEN, [], True, None),
    "what was never here need not leave": (NOTHING, [], True, None),
    "what comes back is shown again": (HIDDEN, [BASE], False, change(shown=BASE)),
    "what comes and leaves in one page is kept, and hidden": (
        NOTHING, [BASE], True, change(BASE, shown=BASE, left=True)),
    "a version twice in one page is written once": (
        NOTHING, [BASE, BASE], False, change(BASE, shown=BASE)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_resource_changes_as_the_page_says(name):
    before, rows, left, expected = CASES[name]
    assert changed(before, rows, left=left) == expected


@pytest.mark.parametrize("before", [NOTHING, here(stubs=[MALE])], ids=["unknown", "a stub"])
def test_an_echo_of_what_is_not_here_tells_that_the_disk_was_set_back(before):
    with pytest.raises(Strange):
        changed(before, [echo(MALE)], left=False)


def test_the_last_of_several_own_heads_is_shown():
    versions = {row.rev: Known(row.parents) for row in (BASE, GREATER, LESSER)}
    assert displayed(Lineage(versions), {GREATER.rev, LESSER.rev}) == LESSER.rev
    assert displayed(Lineage(versions), set()) == GREATER.rev
    assert displayed(Lineage({}), set()) == ""


def test_a_long_history_is_gone_through_once():
    rows = [BASE]
    for number in range(1500):
        rows.append(a_row(a_patient(multipleBirthInteger=number), AT, rows[-1].rev))
    versions = {row.rev: Known(row.parents) for row in rows}
    assert displayed(Lineage(versions), set()) == rows[-1].rev


def number(said):
    return rid(Key(*said.split("/")))


def leaving(said, kind=Kind.LEFT_RECORD):
    return Row(kind, Key(*said.split("/")), AT)


def coming(said, patient):
    type, id = said.split("/")
    return a_row({"resourceType": type, "id": id}, AT, patient=patient)


KNOWN = {"Patient/p": {"Encounter/e", "Observation/o"}}
PAGES = {
    "a record leaves with all that is known as the patient's": (
        [leaving("Patient/p")],
        {"Patient/p": True, "Encounter/e": True, "Observation/o": True},
    ),
    "what the same page says is another's stays": (
        [coming("Observation/o", "q"), leaving("Patient/p")],
        {"Patient/p": True, "Encounter/e": True, "Observation/o": False},
    ),
    "what the same page says is theirs goes with them": (
        [coming("Condition/c", "p"), leaving("Patient/p")],
        {"Patient/p": True, "Encounter/e": True, "Observation/o": True, "Condition/c": True},
    ),
    "what comes after is here again": (
        [leaving("Patient/p"), coming("Patient/p", "p"), coming("Encounter/e", "p")],
        {"Patient/p": False, "Encounter/e": False, "Observation/o": True},
    ),
    "one resource leaves alone": (
        [leaving("Observation/o", Kind.LEFT_RESOURCE)],
        {"Observation/o": True},
    ),
}


@pytest.mark.parametrize("name", PAGES)
def test_who_is_here_in_the_end_follows_the_order_of_the_page(name):
    rows, expected = PAGES[name]
    known = {number(one): set(map(number, of)) for one, of in KNOWN.items()}
    assert told(rows, known).left == {number(one): left for one, left in expected.items()}
