"""telling — what a search was understood to ask, in words.

https://hl7.org/fhir/R4/search.html#conformance
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from fhir_server.foundation.outcome import Invalid
from fhir_server.search.parameters import Parameters
from fhir_server.search.scope import Scope
from fhir_server.search.wanted import Include, SortKey
from fhir_server.store.contract import (
    PARAM_SHIFT,
    AllOf,
    AnyOf,
    Beneath,
    Condition,
    Contains,
    Interval,
    KeyBetween,
    KeyIs,
    Near,
    Not,
    ReferredBy,
    Refers,
    RidIn,
    TextHas,
    UpdatedWithin,
    UriStarts,
    Whole,
    WholeLike,
    WordStarts,
)

SHOWN = 5  # of many that would be said alike
START = datetime(1970, 1, 1, tzinfo=UTC)
HOW = {"is": "is", "begins": "begins with", "ends": "ends with"}


def told(parameters: Parameters, types: Sequence[str], condition: Condition, code: str = "") -> str:
    """A sentence without its full stop. code: what to call a value of an unknown number."""
    return _Teller(names(parameters, types), parameters, code or "it").tell(condition)


def refused(scope: Scope, name: str, value: str) -> Condition:  # noqa: ARG001 - as all criteria
    """`_explain` is no parameter of a search: its answer would be no searchset."""
    type = f"{scope.types[0]}/" if len(scope.types) == 1 else ""
    raise Invalid(
        f"`_explain` is not a search parameter. Ask the operation `$explain` with the same "
        f"parameters: `GET [base]/{type}$explain?...` tells how they are understood and what they "
        "cost."
    )


def names(parameters: Parameters, types: Sequence[str]) -> dict[int, str]:
    """The codes of parameters, by number. Where one number has two, the wider's."""
    found: dict[int, str] = {}
    for type in types or ("Basic",):
        for code, parameter in parameters.of(type).items():
            if not parameter.narrowed:
                found.setdefault(parameter.number, code)
    return found


@dataclass(frozen=True, slots=True)
class _Teller:
    """codes: by number, of the resources a condition is about."""

    codes: Mapping[int, str]
    parameters: Parameters
    code: str

    def tell(self, condition: Condition) -> str:
        return TELLERS[type(condition)](self, condition)

    def name(self, number: int | None) -> str:
        return f"`{self.codes.get(number or 0, self.code)}`"

    def of(self, types: Sequence[str]) -> _Teller:
        return replace(self, codes=names(self.parameters, types))


# --- values --------------------------------------------------------------------------------------


def _key(teller: _Teller, it: KeyIs) -> str:
    if it.dominant:
        known = teller.parameters.of(it.of).values()
        if marked := [one.code for one in known if one.narrowed and one.bit == it.dominant]:
            return f"`{marked[0]}` has any value"
    what = "one value" if it.mask == -1 else "one code, of whichever system"
    return f"{teller.name(it.v >> PARAM_SHIFT)} has {what}"


def _between(teller: _Teller, it: KeyBetween) -> str:
    what = "any code of one system" if it.mask else "any value"
    return f"{teller.name(it.lo >> PARAM_SHIFT)} has {what}"


def _word(teller: _Teller, it: WordStarts) -> str:
    spelt = f" or is {_some(it.spelt)}" if it.spelt else ""
    return f"a word of {teller.name(it.param)} begins with `{it.prefix}`{spelt}, without its marks"


def _whole(teller: _Teller, it: Whole) -> str:
    return f"{teller.name(it.param)} is the value as given, each sign and mark"


def _contains(teller: _Teller, it: Contains) -> str:
    return f"{teller.name(it.param)} has `{it.text}` anywhere, without its marks"


def _like(teller: _Teller, it: WholeLike) -> str:
    return f"{teller.name(it.param)} {HOW.get(it.how, it.how)} `{it.text}`, without its marks"


def _uri(teller: _Teller, it: UriStarts) -> str:
    return f"{teller.name(it.param)} begins with `{it.prefix}`"


def _text(teller: _Teller, it: TextHas) -> str:  # noqa: ARG001 - as all of them
    lists = " and ".join(f"any of {_some(some)}" for some in it.lists[:SHOWN])
    return f"its text has {lists}"


def _near(teller: _Teller, it: Near) -> str:
    place = f"{it.latitude:g}, {it.longitude:g}"
    return f"{teller.name(it.param)} is at most {it.metres:g} m from {place}"


def _interval(teller: _Teller, it: Interval) -> str:
    told = _quantity if it.unit is not None else _instant
    bounds = (
        ("begins at or after", it.lo_from),
        ("begins before", it.lo_to),
        ("ends at or after", it.hi_from),
        ("ends before", it.hi_to),
    )
    parts = [f"{verb} {told(bound)}" for verb, bound in bounds if bound is not None]
    name = "the main date" if it.param is None else teller.name(it.param)
    return f"{name} {' and '.join(parts) or 'is there'}"


def _updated(teller: _Teller, it: UpdatedWithin) -> str:  # noqa: ARG001 - as all of them
    bounds = (("at or after", it.start), ("before", it.end))
    parts = [f"{word} {_instant(bound)}" for word, bound in bounds if bound is not None]
    return f"it was last changed {' and '.join(parts) or 'at any time'}"


def _instant(milliseconds: float) -> str:
    try:
        moment = START + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return "the end of time" if milliseconds > 0 else "the beginning of time"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _quantity(number: float) -> str:
    return f"{number:.12g}"


# --- links ---------------------------------------------------------------------------------------


def _refers(teller: _Teller, it: Refers) -> str:
    codes = _listed([teller.name(number) for number in it.numbers])
    types = " or ".join(it.types[:SHOWN]) or "resource"
    return f"{codes} refers to some {types} of which: {teller.of(it.types).tell(it.where)}"


def _referred(teller: _Teller, it: ReferredBy) -> str:
    there = teller.of(it.types)
    codes = _listed([there.name(number) for number in it.numbers])
    types = " or ".join(it.types[:SHOWN]) or "resource"
    return f"some {types} refers to it by {codes}, of which: {there.tell(it.where)}"


def _beneath(teller: _Teller, it: Beneath) -> str:
    what = "what one of them is part of" if it.above else "what is part of one of them"
    return f"{teller.name(it.number)} refers to one of {len(it.roots)}, or to {what}"


# --- together ------------------------------------------------------------------------------------


def _all(teller: _Teller, it: AllOf) -> str:
    return " and ".join(_bracketed(teller, it.conditions)) or "nothing is demanded"


def _any(teller: _Teller, it: AnyOf) -> str:
    """Many keys of one parameter are told by their number."""
    keys: dict[str, int] = {}
    others: list[Condition] = []
    for condition in it.conditions:
        if isinstance(condition, KeyIs):
            name = teller.name(condition.v >> PARAM_SHIFT)
            keys[name] = keys.get(name, 0) + 1
        else:
            others.append(condition)
    parts = [f"{name} has {_count(number, 'value')}" for name, number in keys.items()]
    return " or ".join([*parts, *_bracketed(teller, others)]) or "nothing can meet it"


def _bracketed(teller: _Teller, conditions: Sequence[Condition]) -> list[str]:
    found = [
        f"({teller.tell(each)})" if isinstance(each, (AllOf, AnyOf)) else teller.tell(each)
        for each in conditions[:SHOWN]
    ]
    more = len(conditions) - SHOWN
    return [*found, f"{more} more like these"] if more > 0 else found


def _count(number: int, what: str) -> str:
    return f"one {what}" if number == 1 else f"one of {number} {what}s"


def _some(words: Sequence[str]) -> str:
    shown = ", ".join(f"`{word}`" for word in words[:SHOWN])
    return f"{shown} and {len(words) - SHOWN} more" if len(words) > SHOWN else shown


def _listed(names: Sequence[str]) -> str:
    return " or ".join(dict.fromkeys(names))


TELLERS: Mapping[type, Callable[[_Teller, Any], str]] = {
    KeyIs: _key,
    KeyBetween: _between,
    WordStarts: _word,
    Whole: _whole,
    Contains: _contains,
    WholeLike: _like,
    UriStarts: _uri,
    TextHas: _text,
    Near: _near,
    Interval: _interval,
    UpdatedWithin: _updated,
    RidIn: lambda _, it: f"it is {_count(len(it.rids), 'resource')} known by id",
    AllOf: _all,
    AnyOf: _any,
    Not: lambda teller, it: f"not ({teller.tell(it.condition)})",
    Refers: _refers,
    ReferredBy: _referred,
    Beneath: _beneath,
}


# --- result parameters ---------------------------------------------------------------------------


def sorted_by(sort: Sequence[SortKey]) -> str:
    if not sort:
        return "the main date of each type, newest first"
    keys = [f"`{key.code}`, {'greatest' if key.descending else 'smallest'} first" for key in sort]
    return "; then ".join(keys)


def included(include: Include) -> str:
    """What an `_include` or `_revinclude` brings."""
    what = "any reference parameter" if include.code == "*" else f"`{include.code}`"
    of = f" of type {include.target}" if include.target else ""
    start = "the matches and of what is included" if include.iterate else "the matches"
    if include.reverse:
        return f"each {include.source} that refers by {what} to one of {start}{of}"
    return f"whatever each {include.source} of {start} refers to by {what}{of}"
