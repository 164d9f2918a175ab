"""uri — a URI, whole and exactly as written, or by the path that leads to it.

https://hl7.org/fhir/R4/search.html#uri

A row is a hash; the text behind it is kept once for all resources that have it, so that `:below`
can find what begins alike.
"""

# ruff: noqa: ARG001 - every kind has the same functions
from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from fhir_server.foundation.outcome import Invalid
from fhir_server.search.escape import unescape
from fhir_server.search.parameters import Parameter
from fhir_server.search.site import HERE, Site
from fhir_server.search.uri_text import LONGEST, kept
from fhir_server.store.contract import (
    HASH_MASK,
    PARAM_SHIFT,
    AnyOf,
    Condition,
    KeyBetween,
    KeyIs,
    KeyRow,
    UriRow,
    UriStarts,
    hash128,
)

MODIFIERS = frozenset({"above", "below"})
TYPES = frozenset({"uri", "url", "canonical", "oid", "uuid"})
MAX_STEPS = 100  # of the path of a URL that is asked `:above` of
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*://[^/?#\s]*)\S*")

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


def noter(parameter: Parameter, type: str) -> Callable[[str], Sequence[UriRow]] | None:
    """The text of each value; a canonical's begins with its URL."""
    number = parameter.number
    return (lambda value: _noted(number, value)) if type in TYPES else None


@lru_cache(maxsize=1 << 12)
def _noted(number: int, uri: str) -> tuple[UriRow]:
    key = _key(number, uri)
    return (UriRow(number, kept(uri), key.v, key.w),)


# --- what is asked -------------------------------------------------------------------------------


def where(parameter: Parameter, text: str, modifier: str | None, site: Site = HERE) -> Condition:
    text = unescape(text)
    if modifier is None:
        return exactly(parameter, text)
    # R4 search#uri: "the :above and :below modifiers only apply to URLs, and not URNs such as OIDs"
    found = URL.fullmatch(text)
    if found is None:
        raise Invalid(
            f"`{parameter.code}:{modifier}` is given `{text[:80]}`. It takes a URL, such as "
            "`http://acme.org/fhir/`; a URN has nothing above or below it."
        )
    if modifier == "above":
        return AnyOf(tuple(exactly(parameter, uri) for uri in _above(parameter, text, found[1])))
    if len(text) > LONGEST:
        raise Invalid(f"`{parameter.code}:below` takes at most {LONGEST} characters.")
    return UriStarts(parameter.number, text)


def exactly(parameter: Parameter, uri: str) -> KeyIs:
    """The very URI: no sign in it is taken for an escape."""
    v, w, _ = _key(parameter.number, uri)
    return KeyIs(v, w, mask=-1)


def _above(parameter: Parameter, url: str, host: str) -> list[str]:
    """The URL, and those of which it is a part: with a `/` at their end, and without."""
    found = dict.fromkeys((url, url.partition("#")[0], url.partition("?")[0]))
    rest = url.partition("#")[0].partition("?")[0].rstrip("/")
    if rest.count("/") > MAX_STEPS:
        raise Invalid(
            f"`{parameter.code}:above` is given a URL of more than {MAX_STEPS} steps; that is more "
            "than one search follows."
        )
    while len(rest) >= len(host):
        found |= dict.fromkeys((rest, f"{rest}/"))
        rest = rest.rpartition("/")[0]
    return list(found)


def present(parameter: Parameter) -> Condition:
    return KeyBetween(parameter.number << PARAM_SHIFT, (parameter.number + 1) << PARAM_SHIFT)
