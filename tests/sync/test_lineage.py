"""Which versions follow which, and which of them stand for a resource."""

from __future__ import annotations

import pytest

from fhir_server.store.contract import version_id
from fhir_server.sync.lineage import Known, Lineage, State, generation, next_generation


def rev(length: int, letter: str) -> str:
    return version_id(length, letter.encode() * 16)


A, B, C, D, E = rev(1, "a"), rev(2, "b"), rev(2, "c"), rev(3, "d"), rev(3, "e")


def line(**states: State) -> Lineage:
    """A, then B and C beside each other, then D and E of both."""
    parents = {"A": (), "B": (A,), "C": (A,), "D": (B, C), "E": (B, C)}
    names = {"A": A, "B": B, "C": C, "D": D, "E": E}
    return Lineage(
        {names[name]: Known(parents[name], state) for name, state in states.items()},
    )


ALIVE, DELETED, STUB, PARKED = State.ALIVE, State.DELETED, State.STUB, State.PARKED
HEADS = {
    "the last of a line": (line(A=ALIVE, B=ALIVE), [B]),
    "two that follow one": (line(A=ALIVE, B=ALIVE, C=ALIVE), sorted([B, C], reverse=True)),
    "what is alive is shown before what is deleted": (line(A=ALIVE, B=ALIVE, C=DELETED), [B, C]),
    "one that follows both": (line(A=ALIVE, B=ALIVE, C=ALIVE, D=ALIVE), [D]),
    "what is parked does not stand for it": (line(A=ALIVE, B=PARKED), [A]),
    "nor does a stub": (line(A=ALIVE, B=STUB), [A]),
    "a stub between is followed all the same": (line(A=ALIVE, B=STUB, C=ALIVE, D=ALIVE), [D]),
    "what is parked between, too": (line(A=ALIVE, B=PARKED, C=ALIVE, D=ALIVE), [D]),
    "ancestors nobody knows are the end": (line(D=ALIVE, E=ALIVE), sorted([D, E], reverse=True)),
    "nothing": (line(), []),
}


@pytest.mark.parametrize(("lineage", "heads"), HEADS.values(), ids=HEADS)
def test_the_heads_are_what_nothing_follows_and_the_one_to_be_shown_is_first(
    lineage: Lineage, heads: list[str]
) -> None:
    assert lineage.heads() == heads


def test_the_longer_history_is_shown_first() -> None:
    longer = Lineage({A: Known(()), B: Known((A,)), C: Known((A,)), D: Known((C,))})
    assert longer.heads() == [D, B]


def test_the_nearest_common_ancestors_are_those_no_other_common_one_follows() -> None:
    whole = line(A=ALIVE, B=ALIVE, C=ALIVE, D=ALIVE, E=ALIVE)
    assert whole.nearest(B, C) == [A]
    assert whole.nearest(D, E) == sorted([B, C])  # two people resolved one conflict at once
    assert whole.nearest(D, B) == [B]
    assert Lineage({B: Known(()), C: Known(())}).nearest(B, C) == []  # one id created twice


def test_a_body_takes_a_stubs_place_and_never_a_stub_a_bodys() -> None:
    stub = line(A=STUB).with_version(A, Known(()))
    assert stub.versions[A].state is ALIVE
    assert stub.with_version(A, Known((), STUB)).versions[A].state is ALIVE


def test_a_version_is_one_longer_than_the_longest_it_follows() -> None:
    assert next_generation([]) == 1
    assert next_generation([A, D]) == 4
    with pytest.raises(ValueError, match="is not a version id"):
        generation("3")
