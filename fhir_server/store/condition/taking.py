"""taking — a Condition taken apart: what must all hold, how much it asks, what can drive it.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from fhir_server.foundation.outcome import Invalid
from fhir_server.store.contract import (
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
    TextHas,
    UriStarts,
    WholeLike,
    WordStarts,
)

MAX_DEPTH = 32
MAX_CONDITIONS = 2000
LINK = 5  # of the depth of a statement's parts
MAX_KEYS = 20_000  # in lists: a list of any length is one probe, with one bound value


def every(condition: Condition) -> list[Condition]:
    """The conditions that must all hold, nested ones laid flat."""
    if isinstance(condition, AllOf):
        return [inner for c in condition.conditions for inner in every(c)]
    return [condition]


def check(condition: Condition) -> None:
    """Refuse what is too deep or too much to be asked of a database."""
    number, keys, todo = 0, 0, [(condition, 0)]
    while todo:
        this, depth = todo.pop()
        number += 1
        if depth > MAX_DEPTH or number > MAX_CONDITIONS:
            raise Invalid(
                f"The search asks for too much at once: at most {MAX_CONDITIONS} conditions,"
                f" nested {MAX_DEPTH} deep. Give fewer parameters or fewer values."
            )
        match this:
            case AnyOf(conditions):
                others = [inner for inner in conditions if not isinstance(inner, KeyIs)]
                keys += len(conditions) - len(others)
                todo.extend((inner, depth + 1) for inner in others)
                if keys > MAX_KEYS:
                    raise Invalid(
                        f"The search asks for {keys} codes at once; at most {MAX_KEYS}. Ask for "
                        "less, or in several searches."
                    )
            case AllOf(conditions):
                todo.extend((inner, depth + 1) for inner in conditions)
            case Not(inner) | Refers(_, _, inner) | ReferredBy(_, _, inner):
                todo.append((inner, depth + 1))


def depth(condition: Condition) -> int:
    """How deep its conditions are nested, a link as deep as what it takes to follow one."""
    match condition:
        case AllOf(conditions) | AnyOf(conditions):
            return 1 + max(map(depth, conditions), default=0)
        case Not(inner):
            return 1 + depth(inner)
        case Refers(_, _, inner) | ReferredBy(_, _, inner):
            return LINK + depth(inner)
    return 0


def leaves(condition: Condition) -> Iterator[Condition]:
    """The conditions that it is made of, however deep they stand."""
    match condition:
        case AllOf(conditions) | AnyOf(conditions):
            for inner in conditions:
                yield from leaves(inner)
        case Not(inner) | Refers(_, _, inner) | ReferredBy(_, _, inner):
            yield from leaves(inner)
        case _:
            yield condition


def texts_in(condition: Condition) -> set[TextHas]:
    """What it asks of the index of words."""
    return {leaf for leaf in leaves(condition) if isinstance(leaf, TextHas)}


def wide_in(condition: Condition) -> list[Beneath | UriStarts]:
    """What stands for many keys, each once."""
    found = (leaf for leaf in leaves(condition) if isinstance(leaf, Beneath | UriStarts))
    return list(dict.fromkeys(found))


def replaced(condition: Condition, told: Mapping[Condition, Condition]) -> Condition:
    """The same with these conditions in place of those, however deep they stand. Lists within
    lists are laid flat, so that a store sees all keys at once."""
    match condition:
        case AllOf(conditions):
            return AllOf(tuple(replaced(inner, told) for inner in conditions))
        case AnyOf(conditions):
            lists = (replaced(inner, told) for inner in conditions)
            return AnyOf(tuple(one for inner in lists for one in _alternatives(inner)))
        case Not(inner):
            return Not(replaced(inner, told))
        case Refers(_, _, inner) | ReferredBy(_, _, inner):
            return replace(condition, where=replaced(inner, told))
    return told.get(condition, condition)


def _alternatives(condition: Condition) -> tuple[Condition, ...]:
    return condition.conditions if isinstance(condition, AnyOf) else (condition,)


def in_index(condition: Condition) -> bool:
    """Whether it is answered by index_key: dominant values are bits of `current`."""
    return isinstance(condition, KeyIs) and not condition.dominant


def only_keys(condition: Condition) -> bool:
    return (
        isinstance(condition, AnyOf)
        and bool(condition.conditions)
        and all(in_index(c) for c in condition.conditions)
    )


def has_range(condition: Condition) -> bool:
    """Whether the best plan depends on the values, not only on the shape."""
    match condition:
        case AllOf(conditions) | AnyOf(conditions):
            return any(has_range(inner) for inner in conditions)
        case Not(inner):
            return has_range(inner)
        case KeyBetween() | WordStarts() | Contains() | WholeLike() | UriStarts():
            return True
        case TextHas() | Near() | Refers() | ReferredBy() | Beneath():
            return True
        case Interval():
            return condition.param is not None
    return False
