"""uri — a URI, whole and exactly as written.

https://hl7.org/fhir/R4/search.html#uri
"""

# ruff: noqa: ARG001 - every kind has the same functions
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fhir_server.search.escape import unescape
from fhir_server.search.parameters import Parameter
from fhir_server.search.site import HERE, Site
from fhir_server.store.contract import (
    HASH_MASK,
    PARAM_SHIFT,
    Condition,
    KeyBetween,
    KeyIs,
    KeyRow,
    hash128,
)

MODIFIERS: frozenset[str] = frozenset()
TYPES = frozenset({"uri", "url", "canonical", "oid", "uuid"})

Writer = Callable[[Any], Sequence[KeyRow]]


def _key(number: int, uri: str) -> KeyRow:
    digest = hash128(uri)
    return KeyRow(number << PARAM_SHIFT | digest & HASH_MASK, digest >> 65)


def writer(parameter: Parameter, type: str, site: Site, system: str | None = None) -> Writer | None:
    number = parameter.number
    if type == "canonical":
        return lambda value: [_key(number, uri) for uri in {value, value.partition("|")[0]}]
    if type in TYPES:
        return lambda value: (_key(number, value),)
    return None


def where(parameter: Parameter, text: str, modifier: str | None, site: Site = HERE) -> Condition:
    v, w, _ = _key(parameter.number, unescape(text))
    return KeyIs(v, w, mask=-1)


def present(parameter: Parameter) -> Condition:
    return KeyBetween(parameter.number << PARAM_SHIFT, (parameter.number + 1) << PARAM_SHIFT)
