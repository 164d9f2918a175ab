"""answer — what an answer holds beside the matches: their order, and what is included.

https://hl7.org/fhir/R4/search.html#sort
https://hl7.org/fhir/R4/search.html#include
https://hl7.org/fhir/R4/search.html#revinclude
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

from tests.oracle.definitions import PARAMETERS, Parameter
from tests.oracle.evaluate import Oracle, codes, folded, spans, values_of

Resource = dict[str, Any]
Pair = tuple[str, str]


# --- _sort ---------------------------------------------------------------------------------------


def in_order(found: list[Resource], sort: str) -> bool:
    """Whether each stands where its values put it; those that are alike may stand in any order."""
    keys = [(key.removeprefix("-"), key.startswith("-")) for key in sort.split(",")]
    places = [[_place(one, *key) for key in keys] for one in found]
    return all(_may_follow(a, b, keys) for a, b in pairwise(places))


def _may_follow(first: list[Any], second: list[Any], keys: list[tuple[str, bool]]) -> bool:
    for a, b, (_, descending) in zip(first, second, keys, strict=True):
        if a != b:
            if a is None or b is None:  # what has no value comes last
                return b is None
            return bool(a > b if descending else a < b)
    return True


def _place(it: Resource, code: str, descending: bool) -> Any:
    """R4: of several values "the item ... that comes earliest in the specified sort order"."""
    known = PARAMETERS[it["resourceType"]].get(code)
    values = list(_told(it, known)) if known else [it["id"]]
    return (max(values) if descending else min(values)) if values else None


def _told(it: Resource, known: Parameter) -> Iterator[Any]:
    for value in values_of(it, known.paths):
        match known.kind:
            case "string":
                yield folded(value)
            case "token":
                yield from ((code, system or "") for system, code, _ in codes(value, known))
            case "date":
                yield from (start for start, _ in spans(value))
            case "quantity":
                yield Decimal(str(value["value"]))
            case "reference" if value["reference"].partition("/")[0] in known.targets:
                yield value["reference"]


# --- _include, _revinclude -----------------------------------------------------------------------


def included(oracle: Oracle, matches: Iterable[str], asked: list[Pair]) -> set[str]:
    """What comes with the matches, by `type/id`; `:iterate` goes on from what came."""
    have, level = set(matches), list(matches)
    found: set[str] = set()
    while level and asked:
        level = [
            key for key in oracle.by_key if key not in have and _comes(oracle, key, level, asked)
        ]
        have.update(level)
        found.update(level)
        asked = [pair for pair in asked if pair[0].endswith(":iterate")]
    return found


def _comes(oracle: Oracle, key: str, level: list[str], asked: list[Pair]) -> bool:
    """Whether one of the includes leads from the level to it."""
    for name, value in asked:
        source, code, *target = value.split(":")
        if name.startswith("_include"):
            starts = [oracle.by_key[one] for one in level if one.startswith(f"{source}/")]
            if any(key in _names(one, code, target) for one in starts):
                return True
        elif key.startswith(f"{source}/"):
            named = _names(oracle.by_key[key], code, target)
            if any(one in named for one in level):
                return True
    return False


def _names(it: Resource, code: str, target: list[str]) -> set[str]:
    """What it refers to by the parameter, or by any."""
    if code == "*":
        found = set(_every(it))
    else:
        known = PARAMETERS[it["resourceType"]][code]
        texts = (value["reference"] for value in values_of(it, known.paths))
        found = {text for text in texts if text.partition("/")[0] in known.targets}
    return {text for text in found if not target or text.startswith(f"{target[0]}/")}


def _every(it: Any) -> Iterator[str]:
    if isinstance(it, list):
        for one in it:
            yield from _every(one)
    if isinstance(it, dict):
        if "reference" in it:
            yield it["reference"]
        for one in it.values():
            yield from _every(one)
