"""reference — another resource: by id, by type and id, or by URL.

https://hl7.org/fhir/R4/search.html#reference
https://hl7.org/fhir/R4/search.html#versions

A resource here is known by its rid, whichever way the reference is written; anything else by 63
bits of its URL's hash, which stand in the rid's place.
"""

# ruff: noqa: ARG001 - every kind has the same functions
from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import ID, Key
from fhir_server.search.escape import unescape
from fhir_server.search.parameters import Parameter
from fhir_server.search.site import HERE, Site
from fhir_server.store.contract import (
    HASH_MASK,
    PARAM_SHIFT,
    AnyOf,
    Condition,
    KeyBetween,
    KeyIs,
    KeyRow,
    hash128,
    rid,
)

MODIFIERS: frozenset[str] = frozenset()  # beside the names of the parameter's target types
TYPES = frozenset({"Reference", "canonical", "uri", "Resource"})
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+")

Writer = Callable[[Any], Sequence[KeyRow]]


# --- what is written -----------------------------------------------------------------------------


def _number(url: str) -> int:
    return hash128(url) >> 65


def _row(number: int, target: int) -> KeyRow:
    return KeyRow(number << PARAM_SHIFT | target & HASH_MASK, target)


@lru_cache(maxsize=1 << 15)
def targets(reference: str, site: Site) -> tuple[int, ...]:
    """The numbers a reference is found by; none for a contained resource."""
    if reference.startswith("#"):
        return ()
    here = site.own(reference)
    if here is None:
        return (_number(reference),)
    if here.version is None:
        return (rid(here.key),)
    # Search works on current versions: a versioned reference is also one to the resource.
    return (rid(here.key), _number(f"{here.key}/_history/{here.version}"))


def canonical_targets(canonical: str, site: Site) -> tuple[int, ...]:
    """A canonical with a version is found by its URL alone, and by both."""
    url, bar, _ = canonical.partition("|")
    return (*targets(url, site), _number(canonical)) if bar else targets(url, site)


def writer(parameter: Parameter, type: str, site: Site, system: str | None = None) -> Writer | None:
    number = parameter.number

    def of_reference(value: Mapping[str, Any]) -> Sequence[KeyRow]:
        reference = value.get("reference")
        return [_row(number, one) for one in targets(reference, site)] if reference else ()

    def of_canonical(value: str) -> Sequence[KeyRow]:
        return [_row(number, one) for one in canonical_targets(value, site)]

    def of_resource(value: Mapping[str, Any]) -> Sequence[KeyRow]:
        """R4 Bundle search: `composition` and `message` are nested resources."""
        id = value.get("id")
        return (_row(number, rid(Key(value["resourceType"], id))),) if id else ()

    writers: dict[str, Writer] = {
        "Reference": of_reference,
        "canonical": of_canonical,
        "uri": of_canonical,
        "Resource": of_resource,
    }
    return writers.get(type)


# --- what is asked -------------------------------------------------------------------------------


def where(parameter: Parameter, text: str, modifier: str | None, site: Site = HERE) -> Condition:
    # R4 search#reference:  [id]  |  [type]/[id]  |  [url]  |  :[type]=[id]
    text = unescape(text)
    if modifier is not None:
        text = _of_type(parameter, text, modifier)
    here = site.own(text)
    if here is not None:
        _may_be(parameter, here.key.type)
        if here.version is not None:
            return _is(parameter, _number(f"{here.key}/_history/{here.version}"))
        local = _is(parameter, rid(here.key))
        if text.startswith(here.key.type):
            return local
        # Indexed before this address was known to be ours, it is the row of a URL.
        return AnyOf((local, _is(parameter, _number(text))))
    if ID.fullmatch(text):
        if not parameter.targets:
            raise _unreadable(parameter, text)
        asked = tuple(_is(parameter, rid(Key(type, text))) for type in parameter.targets)
        return asked[0] if len(asked) == 1 else AnyOf(asked)
    if not URL.fullmatch(text):
        raise _unreadable(parameter, text)
    return _elsewhere(parameter, text, site)


def _elsewhere(parameter: Parameter, url: str, site: Site) -> Condition:
    """A URL that is no resource of this server, perhaps a canonical with its version."""
    bare, bar, _ = url.partition("|")
    if parameter.narrowed:
        # Its rows are those of a wider parameter, and only a RESTful URL tells the target's type.
        type = bare.rstrip("/").split("/")[-2:-1]
        if not type or type[0] not in parameter.targets:
            return AnyOf()
    if not bar and (here := site.own(bare)):
        return _is(parameter, rid(here.key))
    return _is(parameter, _number(url))


def _is(parameter: Parameter, target: int) -> KeyIs:
    v, w, _ = _row(parameter.number, target)
    return KeyIs(v, w, mask=-1)


def _of_type(parameter: Parameter, text: str, type: str) -> str:
    _may_be(parameter, type)
    id = text.removeprefix(f"{type}/")
    if not ID.fullmatch(id):
        raise Invalid(
            f"`{parameter.code}:{type}` takes the id of a {type}, such as "
            f"`{parameter.code}:{type}=23`, not `{text[:80]}`."
        )
    return f"{type}/{id}"


def _may_be(parameter: Parameter, type: str) -> None:
    if parameter.targets and type not in parameter.targets:
        raise Invalid(
            f"`{parameter.code}` of {parameter.of} cannot refer to `{type}`; it refers to "
            f"{_listed(parameter.targets)}."
        )


def _unreadable(parameter: Parameter, text: str) -> Invalid:
    type = parameter.targets[0] if parameter.targets else "Patient"
    return Invalid(
        f"`{parameter.code}` is given `{text[:80]}`. A reference is written as an id (`23`), a "
        f"type and an id (`{type}/23`), or an absolute URL."
    )


def _listed(types: Sequence[str]) -> str:
    shown = ", ".join(f"`{type}`" for type in types[:8])
    return f"{shown} and {len(types) - 8} more" if len(types) > 8 else shown


def present(parameter: Parameter) -> Condition:
    return KeyBetween(parameter.number << PARAM_SHIFT, (parameter.number + 1) << PARAM_SHIFT)
