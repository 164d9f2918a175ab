"""test_patterns — a pattern is tried where that ends soon, and refused where it might not.

http://hl7.org/fhirpath/N1/#matchesregex--string--boolean
"""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fhir_server.foundation.fhirpath.patterns import MAX_TRIES, compiled, longest, tries
from fhir_server.foundation.outcome import Invalid

# What profiles write, and how long a text it may at least be tried on
USUAL = [
    (r"^[0-9]{12}$", 1_000_000),
    (r"^(0[1-9]|[1-4][0-9]|5[0-5]|99)$", 1_000_000),
    (r"^urn:oid:[0-2](\.(0|[1-9][0-9]*))+$", 1_000_000),
    (r"^(\d{3})(-\d{3})*$", 1_000_000),
    (r"^([A-Z]{2}[0-9]{13};)*$", 1_000_000),
    (r"(urn:uuid:)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", 1_000_000),
    (r"^\S+( \S+)*$", 2_000),
    (r"^[A-Z]+([_-][A-Z0-9]+)*$", 2_000),
    (r"[^\s]+(\s[^\s]+)*", 250),
    (r"^[^@]+@[^@]+\.[a-z]+$", 250),
]

RUNAWAY = [
    r"(a+)+$",
    r"(a|a*)*b",
    r"(a|aa)+$",
    r"(-a*a*)*b",
    r"(-(a|a))*b",
    r"^(\w+\s?)*$",
    r"([a-z]+ ?)*x",
    r"(a?){50}a{50}",
    r"(a*){10}b",
    r"((a)?)*b",
    r"(|a)*b",
    r"(a{1,5}){1,50}b",
    r"(.*,)*x",
    r"(?=a)",
    r"(a)\1",
    "(" * 60 + "a" + ")" * 60,
    "a" * 2_000,
    "(",
]


@pytest.mark.parametrize(("pattern", "at_least"), USUAL)
def test_a_usual_pattern_may_be_tried(pattern: str, at_least: int) -> None:
    bound = longest(pattern)
    assert bound is None or bound >= at_least
    assert tries(pattern, 40) <= MAX_TRIES


@pytest.mark.parametrize("pattern", RUNAWAY, ids=lambda pattern: pattern[:20])
def test_a_pattern_that_may_run_away_is_refused(pattern: str) -> None:
    with pytest.raises(Invalid):
        tries(pattern, 100)


def test_what_is_cheap_on_a_short_text_is_refused_on_a_long_one() -> None:
    pattern = r"[a-z]*[a-z]*[a-z]*[0-9]"
    bound = longest(pattern)
    assert bound is not None
    tries(pattern, bound)
    with pytest.raises(Invalid):
        tries(pattern, bound + 1)


PIECES = [
    "a",
    "b",
    "[ab]",
    "[^a]",
    ".",
    "(",
    ")",
    "|",
    "*",
    "+",
    "?",
    "{2}",
    "{1,3}",
    "^",
    "$",
    r"\s",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=12))
@example("(a|b)*")
@example("(ab?)*c")
@example("[")
@example("a**")
def test_what_may_be_tried_ends(pattern: str) -> None:
    """As far as that can be told of texts that nearly match."""
    try:
        bound = longest(pattern)
        found = compiled(pattern)
    except Invalid:
        return
    assert found.pattern == pattern
    for text in ("a" * 400 + "!", "ab" * 200 + "!", "aab" * 130 + "\n"):
        re.search(found, text if bound is None else text[: max(bound, 0)])
