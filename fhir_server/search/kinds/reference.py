"""reference — another resource: by id, by type and id, by URL, or by its identifier.

https://hl7.org/fhir/R4/search.html#reference
https://hl7.org/fhir/R4/search.html#versions
https://hl7.org/fhir/R4/search.html#recursive

A resource here is known by its rid, whichever way the reference is written; anything else by 63
bits of its URL's hash, which stand in the rid's place. Reference.identifier has a row of its own,
whose w is negative, as no rid is:

    v: the parameter's number << 50 | 50 bits of the value's hash
    w: 1 (the sign) | 8 bits: the target's type, 0 if untold | 31 bits of the system's hash, 0 if
       there is none | 24 more bits of the value's
"""

# ruff: noqa: ARG001 - every kind has the same functions
from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import ID, Key, literal
from fhir_server.search.escape import split, unescape
from fhir_server.search.parameters import Parameter
from fhir_server.search.site import HERE, Site
from fhir_server.search.uri_text import LONGEST, kept
from fhir_server.store.contract import (
    HASH_MASK,
    PARAM_SHIFT,
    AnyOf,
    Beneath,
    Condition,
    KeyBetween,
    KeyIs,
    KeyRow,
    UriRow,
    UriStarts,
    hash128,
    rid,
)
from fhir_server.store.types import NUMBERS

MODIFIERS = frozenset({"above", "below", "identifier"})  # beside the names of the target types
TYPES = frozenset({"Reference", "canonical", "uri", "Resource"})
CANONICAL = frozenset({"canonical", "uri"})
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+")
# The parts of the w of an identifier's row
SIGN, VALUE = -(1 << 63), (1 << 24) - 1
SYSTEM, TYPE = (1 << 55) - (1 << 24), (1 << 63) - (1 << 55)

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
        found = [_row(number, one) for one in targets(reference, site)] if reference else []
        if "identifier" in value:
            found += _named(number, value["identifier"], _type_of(value))
        return found

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


def noter(parameter: Parameter, type: str) -> Callable[[str], Sequence[UriRow]] | None:
    """The texts of canonicals with a version, so that they can be asked for by part of it."""
    number = parameter.number

    def of_canonical(value: str) -> Sequence[UriRow]:
        if "|" not in value:
            return ()
        row = _row(number, _number(value))
        return (UriRow(number, kept(value), row.v, row.w),)

    return of_canonical if type in CANONICAL else None


def _named(number: int, identifier: Mapping[str, Any], type: str | None) -> Sequence[KeyRow]:
    value = identifier.get("value")
    if not value:
        return ()
    return (_identifier(number, identifier.get("system") or "", value, NUMBERS.get(type or "", 0)),)


def _identifier(number: int, system: str, value: str, type: int = 0) -> KeyRow:
    digest = hash128(value)
    v = number << PARAM_SHIFT | digest & HASH_MASK
    return KeyRow(v, SIGN | type << 55 | _system(system) | digest >> PARAM_SHIFT & VALUE)


def _system(system: str) -> int:
    return (hash128(system) & SYSTEM >> 24 or 1) << 24 if system else 0


def _type_of(value: Mapping[str, Any]) -> str | None:
    """The type that a Reference tells of its target."""
    found = literal(value.get("reference") or "")
    type: str | None = found.key.type if found else value.get("type")
    return type


# --- what is asked -------------------------------------------------------------------------------


def modifiers_of(parameter: Parameter) -> frozenset[str]:
    """R4 search#reference: canonicals have no identifier; only what has parts has a hierarchy."""
    types = parameter.types
    if types and types <= CANONICAL:
        return frozenset({"below"})
    if types == {"Resource"}:
        return frozenset()
    return MODIFIERS if parameter.parts else frozenset({"identifier"})


def where(parameter: Parameter, text: str, modifier: str | None, site: Site = HERE) -> Condition:
    if modifier in WHERE:
        return WHERE[modifier](parameter, text, modifier, site)
    # R4 search#reference:  :[type]=[id]
    return _literal(parameter, _of_type(parameter, unescape(text), modifier), site)


def _plain(parameter: Parameter, text: str, modifier: str | None, site: Site) -> Condition:
    return _literal(parameter, unescape(text), site)


def _literal(parameter: Parameter, text: str, site: Site) -> Condition:
    # R4 search#reference:  [id]  |  [type]/[id]  |  [url]
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
    bare, bar, _ = text.partition("|")
    if bar and parameter.types & CANONICAL and site.own(bare):
        return _is(parameter, _number(text))
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


def _by_identifier(parameter: Parameter, text: str, modifier: str | None, site: Site) -> Condition:
    """R4 search#reference: "the search value works as a token search"."""
    # R4 search#token:  [code]  |  [system]|[code]  |  |[code]  |  [system]|
    number, mask, type = parameter.number, SIGN, 0
    if parameter.narrowed:  # its rows are those of a wider parameter
        mask, type = SIGN | TYPE, NUMBERS[parameter.targets[0]]
    match [unescape(part) for part in split(text, "|")]:
        case [value] if value:
            v, w, _ = _identifier(number, "", value, type)
            return KeyIs(v, w & (mask | VALUE), mask | VALUE)
        case [system, value] if value:
            v, w, _ = _identifier(number, system, value, type)
            mask |= SYSTEM | VALUE
            return KeyIs(v, w & mask, mask)
        case [system, ""] if system:
            lo = number << PARAM_SHIFT
            w = SIGN | type << 55 | _system(system)
            return KeyBetween(lo, lo + HASH_MASK + 1, w=w, mask=mask | SYSTEM)
    raise Invalid(
        f"`{parameter.code}:identifier` is given `{text[:80]}`. An identifier is written `value`, "
        "`system|value`, `|value` (no system) or `system|` (any of it); write a `|` within one as "
        "`\\|`."
    )


def _hierarchy(parameter: Parameter, text: str, modifier: str | None, site: Site) -> Condition:
    if parameter.types and parameter.types <= CANONICAL:
        return _version(parameter, unescape(text), site)
    named = _literal(parameter, unescape(text), site)
    keys = named.conditions if isinstance(named, AnyOf) else (named,)
    roots = tuple(key.w for key in keys if isinstance(key, KeyIs))
    return Beneath(parameter.number, roots, parameter.parts, above=modifier == "above")


def _version(parameter: Parameter, text: str, site: Site) -> Condition:
    """R4 search#versions: `|1` finds `|1.0` and `|1.1`; without a version any is found."""
    exact = _literal(parameter, text, site)
    _, bar, version = text.partition("|")
    if not bar:
        return exact
    if not version:
        raise Invalid(f"`{parameter.code}:below` is given `{text[:80]}`, whose version is empty.")
    if len(text) >= LONGEST:
        raise Invalid(f"`{parameter.code}:below` takes at most {LONGEST} characters.")
    return AnyOf((exact, UriStarts(parameter.number, f"{text}.")))


WHERE: dict[str | None, Callable[[Parameter, str, str | None, Site], Condition]] = {
    None: _plain,
    "above": _hierarchy,
    "below": _hierarchy,
    "identifier": _by_identifier,
}


def _of_type(parameter: Parameter, text: str, type: str | None) -> str:
    assert type is not None
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
