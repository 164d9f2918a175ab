"""What is written of a resource when versions of it come: in any order, and however often.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Key
from fhir_server.sync.hub.tree import Tree, Version
from fhir_server.sync.lineage import Known, Lineage, State
from fhir_server.sync.words.push import named
from tests.interaction.conftest import parts

DEFINITIONS = parts()["definitions"]
AN = Key("Patient", "an")


def patient(**told):
    return {"resourceType": "Patient", "id": "an", **told}


def version(body, *parents):
    found = tuple(one.rev for one in parents)
    return Version(named(AN, found, body), found, "DELETE" if body is None else "PUT", body)


FIRST = version(patient(gender="female"))
MALE = version(patient(gender="male"), FIRST)
OTHER = version(patient(gender="other"), FIRST)
BORN = version(patient(gender="female", birthDate="1980"), FIRST)
GONE = version(None, FIRST)
CHOSEN = version(patient(gender="male"), MALE, OTHER)


def grown(*versions, tree=None, valid=lambda _: True):
    """The tree after these came at once, as a hub takes them."""
    tree = tree or Tree(AN)
    for one in versions:
        if not tree.knows(one.rev):
            tree.add(one)
    while (made := tree.merge(DEFINITIONS)) is not None:
        if valid(made.body):
            tree.add_merge(made)
        else:
            tree.leave(made, (Issue("error", "invariant", "It is not so."),))
    tree.finish()
    return tree


def later(tree):
    """The same tree, when the next versions come: contents are read again as they are needed."""
    return Tree(AN, tree.lineage, tree.last, dict(tree.bodies))


CASES = {
    # name: what comes, the rows that are written (m: a merge), and what became of each
    "a create": ([FIRST], [FIRST], ["stored"]),
    "a history": ([FIRST, MALE], [FIRST, MALE], ["stored", "stored"]),
    "two changes of different places": (
        [FIRST, MALE, BORN], [FIRST, MALE, BORN, "m"], ["stored", "merged", "merged"],
    ),
    "two changes of one place": (
        [FIRST, MALE, OTHER], None, ["stored", "conflict", "conflict"],
    ),
    "a choice": ([FIRST, MALE, OTHER, CHOSEN], [FIRST, MALE, OTHER, CHOSEN],
                 ["stored", "merged", "merged", "stored"]),
    "a deletion against a change": ([FIRST, MALE, GONE], [FIRST, MALE, GONE, MALE],
                                    ["stored", "conflict", "conflict"]),
    "a deletion": ([FIRST, GONE], [FIRST, GONE], ["stored", "stored"]),
}  # fmt: skip


@pytest.mark.parametrize("come, rows, outcomes", CASES.values(), ids=CASES)
def test_what_comes_is_written_and_told(come, rows, outcomes):
    tree = grown(*come)
    if rows is not None:
        merges = [one.rev for one in tree.merges]
        expected = [merges.pop(0) if one == "m" else one.rev for one in rows]
        assert [row.rev for row in tree.rows] == expected
    assert tree.rows[-1].rev == tree.lineage.heads()[0]
    assert [tree.outcome(one.rev).value for one in come] == outcomes


def test_a_merge_has_what_both_sides_changed_and_both_as_parents():
    (made,) = grown(FIRST, MALE, BORN).merges
    assert made.body == patient(gender="male", birthDate="1980")
    assert set(made.parents) == {MALE.rev, BORN.rev}


def test_a_merge_that_is_not_valid_is_left_to_a_person_and_says_why():
    tree = grown(FIRST, MALE, BORN, valid=lambda body: len(body) < 4)
    assert tree.merges == []
    assert tree.is_apart
    assert [issue.diagnostics for issue in tree.issues] == ["It is not so."]


def test_an_older_version_that_comes_late_changes_nothing_that_is_shown():
    known = {MALE.rev: Known(MALE.parents), FIRST.rev: Known((), State.STUB)}
    tree = Tree(AN, Lineage(known), MALE.rev, {MALE.rev: MALE.body})
    tree.add(FIRST)
    assert tree.missing() == set()
    assert tree.finish().rev == MALE.rev
    assert [row.rev for row in tree.rows] == [FIRST.rev, MALE.rev]


def test_where_what_was_before_is_not_known_both_must_say_the_same():
    tree = Tree(AN)
    tree.add_stub(FIRST.rev, ())
    assert grown(MALE, BORN, tree=tree).is_apart


def test_contents_are_asked_for_only_where_there_is_something_to_be_made_one():
    known = {one.rev: Known(one.parents) for one in (FIRST, MALE)}
    tree = Tree(AN, Lineage(known), MALE.rev)
    tree.add(version(patient(gender="male", active=True), MALE))
    assert tree.missing() == set()
    tree = Tree(AN, Lineage(known), MALE.rev)
    tree.add(BORN)
    assert tree.missing() == {FIRST.rev, MALE.rev}


def test_what_became_of_a_long_history_of_choices_is_told_in_passing(monkeypatch):
    """Each version is made from the two before it, as no person writes: who asks what became of
    all of them has the lineage looked through once, and not once for each choice."""
    versions = {FIRST.rev: Known(()), MALE.rev: Known(MALE.parents)}
    revs = [FIRST.rev, MALE.rev]
    for number in range(300):
        body = patient(gender="male", multipleBirthInteger=number)
        parents = tuple(revs[-2:])
        revs.append(named(AN, parents, body))
        versions[revs[-1]] = Known(parents)
    looks = []
    past = Lineage.past
    monkeypatch.setattr(Lineage, "past", lambda self, rev: looks.append(rev) or past(self, rev))
    tree = Tree(AN, Lineage(versions), revs[-1])
    assert {tree.outcome(rev).value for rev in revs[1:-2]} == {"merged"}
    assert tree.outcome(revs[-1]).value == "stored"
    assert len(looks) <= 1


# --- by chance ------------------------------------------------------------------------------------


@st.composite
def histories(draw):
    """Versions, each made from some of those before it; and an order in which they may come."""
    made = [FIRST]
    for _ in range(draw(st.integers(1, 6))):
        numbers = st.lists(st.integers(0, len(made) - 1), min_size=1, max_size=2, unique=True)
        parents = [made[number] for number in draw(numbers)]
        told = {
            name: value
            for name in ("gender", "birthDate", "active")
            if (value := draw(st.sampled_from((None, *VALUES[name])))) is not None
        }
        body = None if draw(st.integers(0, 9)) == 0 else patient(**told)
        one = version(body, *parents)
        if one.rev not in {each.rev for each in made}:
            made.append(one)
    return made, draw(st.lists(st.integers(1, 3), min_size=1, max_size=6))


VALUES = {"gender": ("male", "female"), "birthDate": ("1980", "1981"), "active": (True, False)}


@given(histories())
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost_and_nothing_is_left_that_could_be_one(found):
    made, sizes = found
    tree, ahead = Tree(AN), list(made)
    while ahead:
        size = sizes[len(ahead) % len(sizes)]
        tree = grown(*ahead[:size], tree=later(tree))
        del ahead[:size]
        heads = tree.lineage.heads()
        assert heads == Lineage(tree.lineage.versions).heads(), "found with each, and anew"
        assert tree.last == heads[0]
        assert all(tree.knows(rev) for rev in heads)
    for one in made:
        assert any(tree.lineage.follows(head, one.rev) for head in tree.lineage.heads())
    again = grown(*made, tree=later(tree))
    assert again.rows == [], "sent again, nothing is written"
    assert again.lineage.heads() == tree.lineage.heads()
