"""result — the parameters that say how the answer is to look, and not what is found.

https://hl7.org/fhir/R4/search.html#summary-table
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fhir_server.foundation.outcome import Invalid, NotSupported
from fhir_server.search import include, sort
from fhir_server.search.apart import refuse_apart
from fhir_server.search.closest import closest
from fhir_server.search.wanted import Wanted

TOTALS = ("none", "estimate", "accurate")
CONTAINED = ("true", "false", "both")
CONTAINED_TYPES = ("container", "contained")
SUMMARIES = ("true", "text", "data", "count", "false")


def understood(wanted: Wanted, name: str, value: str) -> str:
    """Take in a result parameter, and say how the self link tells it."""
    code, _, modifier = name.partition(":")
    if modifier and code not in MODIFIED:
        raise Invalid(f"`{code}` has no modifier, and `:{modifier[:40]}` is none of its.")
    told = (
        MODIFIED[code](wanted, modifier, value) if code in MODIFIED else PLAIN[code](wanted, value)
    )
    return value if told is None else told


# --- one by one ----------------------------------------------------------------------------------


def _count(wanted: Wanted, value: str) -> str:
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise Invalid(f"`_count` is given `{value[:40]}`. It takes a whole number, such as `50`.")
    # R4 search#count: the server may return fewer, "but SHALL NOT return more"
    wanted.count = min(int(value), wanted.at_most)
    return str(wanted.count)


def _cursor(wanted: Wanted, value: str) -> None:
    wanted.cursor = value


def _total(wanted: Wanted, value: str) -> None:
    wanted.total = _one_of("_total", value, TOTALS)


def _summary(wanted: Wanted, value: str) -> None:
    wanted.summary = _one_of("_summary", value, SUMMARIES)


def _elements(wanted: Wanted, value: str) -> None:
    names = tuple(name.strip() for name in value.split(","))
    if not all(name.replace(".", "").isalnum() for name in names):
        raise Invalid("`_elements` takes names of elements parted by commas: `name,birthDate`.")
    wanted.elements = names


def _type(wanted: Wanted, value: str) -> None:
    if wanted.types:
        raise Invalid(
            "`_type` is for searches of the whole server (`GET [base]?_type=...`); "
            f"this one is of {' and '.join(wanted.types[:5])} already."
        )
    known = wanted.parameters.definitions.resource_types
    types = tuple(dict.fromkeys(name.strip() for name in value.split(",")))
    for name in types:
        if name not in known:
            hint = closest(name, sorted(known))
            raise Invalid(f"`_type` names `{name[:64]}`, which is no resource type of R4.{hint}")
    refuse_apart(types, f"_type={value}")
    wanted.types = types


def _contained(wanted: Wanted, value: str) -> None:  # noqa: ARG001 - as all of them
    # R4 search#contained:  true | both | false
    if _one_of("_contained", value, CONTAINED) != "false":
        raise NotSupported(
            f"`_contained={value}` is not supported: resources within others are not searched. "
            "`_contained=false` is; search the type that contains them by its own parameters."
        )


def _contained_type(wanted: Wanted, value: str) -> None:  # noqa: ARG001 - as all of them
    """It says how contained resources are returned, and none are."""
    _one_of("_containedType", value, CONTAINED_TYPES)


def _told_elsewhere(wanted: Wanted, value: str) -> None:
    """`_format` and `_pretty` are for whoever writes the answer."""


def _one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        told = ", ".join(f"`{one}`" for one in allowed)
        raise Invalid(f"`{name}` is given `{value[:40]}`. It takes one of {told}.")
    return value


PLAIN: dict[str, Callable[[Wanted, str], str | None]] = {
    "_contained": _contained,
    "_containedType": _contained_type,
    "_count": _count,
    "_cursor": _cursor,
    "_elements": _elements,
    "_format": _told_elsewhere,
    "_pretty": _told_elsewhere,
    sort.NAME: sort.sort,
    "_summary": _summary,
    "_total": _total,
    "_type": _type,
}

# Those whose name may go on: `_include:iterate`.
MODIFIED: dict[str, Callable[[Wanted, str, str], str | None]] = {
    include.FORWARD: include.include,
    include.REVERSE: include.revinclude,
}

REPEATED = frozenset(MODIFIED)  # they may be given more than once
RESULT = frozenset({*PLAIN, *MODIFIED})
