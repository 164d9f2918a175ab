"""Criteria on one date are one range of it, and still say the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.foundation.primitive import interval
from fhir_server.search.evaluate import holds
from fhir_server.search.merging import merged
from fhir_server.store.contract import AllOf, AnyOf, IndexRows, Interval, KeyIs

from .ask import query

MOMENTS = [-(2**62), 0, 5, 6, 7, 10, 11, 2**62]
bounds = st.none() | st.sampled_from(MOMENTS)
intervals = st.builds(Interval, st.just(None), bounds, bounds, bounds, bounds)
asked = st.one_of(
    intervals,
    st.builds(AnyOf, st.lists(intervals, min_size=1, max_size=3).map(tuple)),
    st.builds(AnyOf, st.just((Interval(7), Interval(None, 5)))),
    st.just(KeyIs(5)),
)


@given(st.lists(asked, max_size=4), st.sampled_from(MOMENTS), st.sampled_from(MOMENTS))
def test_what_is_merged_finds_what_was_asked(conditions, one, other) -> None:
    lo, hi = sorted((one, other))
    rows = IndexRows(main=(lo, hi if lo < hi else lo + 1))
    was, now = AllOf(tuple(conditions)), AllOf(merged(conditions))
    assert holds(was, rows, rid=1, updated=0) is holds(now, rows, rid=1, updated=0)


def parts(text: str, type: str = "Encounter") -> tuple:
    where = query(type, text).where
    return where.conditions if isinstance(where, AllOf) else (where,)


FIFTH, SIXTH = interval("2024-05-05")

# what is asked                         the least beginning  the end of beginnings
RANGES = [
    ("date=2024-05-05", FIFTH, SIXTH),
    ("date=ge2024-05-05&date=le2024-05-05", None, SIXTH),
    ("date=ge2024-05-05&date=lt2024-05-06", None, SIXTH),
    ("date=sa2024-05-04&date=lt2024-05-06", FIFTH, SIXTH),
    ("date=sa2024-05-04&date=eb2024-05-06", FIFTH, SIXTH),
    ("date=le2024-05-05", None, SIXTH),
    ("date=ge2024-05-05", None, None),
]


@pytest.mark.parametrize(("text", "start", "end"), RANGES)
def test_a_day_of_visits_is_one_range_of_the_index(text, start, end) -> None:
    first = parts(text)[0]
    if start is end is None:
        assert isinstance(first, AnyOf)
        return
    assert isinstance(first, Interval)
    assert first.lo_from == start
    assert first.lo_to is not None and end - 1 <= first.lo_to <= end


def test_dates_that_are_no_periods_are_bounded_on_both_sides() -> None:
    # a birth date is at most a year
    first = parts("birthdate=ge2024-05-05&birthdate=le2024-05-05", "Patient")[0]
    assert first.lo_to == SIXTH
    assert first.lo_from > interval("2023-05-03")[0]


def test_what_cannot_be_is_nothing() -> None:
    assert parts("date=sa2024-05-05&date=eb2024-05-05") == (AnyOf(),)


def test_other_criteria_stay_as_they_are() -> None:
    others = [KeyIs(1), AnyOf((Interval(7),)), Interval(None, 1), Interval(7, 3)]
    assert merged(others)[1:] == (KeyIs(1), AnyOf((Interval(7),)), Interval(7, 3))
    assert merged(others[:2]) == tuple(others[:2])
