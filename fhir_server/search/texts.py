"""texts — the words a resource is told in: its narrative, its texts, what its codes are called.

https://hl7.org/fhir/R4/search.html#text
https://hl7.org/fhir/R4/search.html#modifiers

Each word is a term of the index of words, behind letters that say where it stands:

    n...       in the narrative, for `_text`
    c...       in any text of the resource, the narrative too, for `_content`
    t12x...    in what is said for a value of the token parameter 12, for `:text`

Identifiers, addresses of phones, codes and URLs are no texts: each has its parameter, and every one
of them would be a term of its own.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.folding import WORD_LENGTH, fold, words
from fhir_server.foundation.resource import Resource
from fhir_server.search.extract import Way, compiled, unfolded
from fhir_server.search.parameters import CUSTOM, Parameter, Parameters

EDITION = 1  # to be raised when a resource gives other terms than before
MAX_TERMS = 10_000  # of one resource; the words beyond are not found
MAX_BYTES = 500_000  # of one resource's terms: PostgreSQL takes twice as many
KEPT = 200  # characters of a text whose words are worth remembering

NARRATIVE, CONTENT, TOKEN = "n", "c", "t{}x"
TEXT, XHTML, RESOURCE = "text", "xhtml", "resource"  # what a field leads to, beside a node
TEXTS = frozenset({"string", "markdown"})
NO_TEXTS = frozenset(  # strings that are not written for people
    {
        ("Coding", "version"),
        ("ContactPoint", "value"),
        ("Expression", "expression"),
        ("Identifier", "value"),
        ("Reference", "reference"),
        ("SampledData", "data"),
        ("SampledData", "lowerLimit"),
    }
)

# Tags within a word; all others part words. R4 narrative#elements
WITHIN = re.compile(r"</?(?:a|abbr|acronym|b|big|em|font|i|small|span|strong|sub|sup|tt)\b[^<>]*>")
TAG = re.compile(r"<[^<>]*>")

Said = Callable[[Resource, list[tuple[int, str]]], None]


def token_terms(number: int) -> str:
    """What the terms of a token parameter begin with."""
    return TOKEN.format(number)


def has_texts(parameter: Parameter) -> bool:
    """Whether something is said, for people, for the values of this parameter."""
    return bool(parameter.types & SAYING.keys()) and parameter.number < CUSTOM


class Texts:
    """Makes terms. Each type's part for tokens is compiled when its first resource comes.

    edition: changes whenever the same resource would give other terms.
    """

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.definitions: Definitions = parameters.definitions
        told = [EDITION, MAX_TERMS, MAX_BYTES, WORD_LENGTH, parameters.stamp]
        self.edition = hashlib.blake2b(json.dumps(told).encode(), digest_size=8).hexdigest()
        self._said: dict[str, Said] = {}
        self._fields: dict[str, dict[str, str]] = {}

    def terms(self, resource: Resource) -> list[str]:
        """The terms of a resource, those for `:text` first, each once."""
        said: list[tuple[int, str]] = []
        self._saying(resource["resourceType"])(resource, said)
        narrative: list[str] = []
        content: list[str] = []
        for is_narrative, text in self._texts(resource):
            (narrative if is_narrative else content).append(text)
        found: dict[str, None] = {}
        for number, text in said:
            found.update(dict.fromkeys(_terms(TOKEN.format(number), (text,))))
        found.update(dict.fromkeys(_terms(NARRATIVE, narrative)))
        found.update(dict.fromkeys(_terms(CONTENT, narrative)))
        found.update(dict.fromkeys(_terms(CONTENT, content)))
        return _bounded(found)

    # --- what is said for codes ------------------------------------------------------------------

    def _saying(self, type: str) -> Said:
        known = self._said.get(type)
        if known is None:
            known = self._said[type] = compiled("said(r, found)", *self._ways(type))
        return known

    def _ways(self, type: str) -> tuple[list[Way], dict[str, Any]]:
        ways: list[Way] = []
        names: dict[str, Any] = {}
        for parameter in self.parameters.of(type).values():
            if parameter.type != "token" or not parameter.stored or not has_texts(parameter):
                continue
            for path in parameter.paths:
                for way in {path, *unfolded(self.definitions, path, SAYING)}:
                    if way.type in SAYING:
                        names[way.type] = SAYING[way.type]
                        line = f"found += [({parameter.number}, x) for x in {way.type}({{v}})]"
                        ways.append((way, [line]))
        return ways, names

    # --- what is written -------------------------------------------------------------------------

    def _texts(self, resource: Resource) -> Iterator[tuple[bool, str]]:
        """Whether it is narrative, and the text, with no more than R4 says is one."""
        todo: list[tuple[str, Any]] = [(RESOURCE, resource)]
        while todo:
            node, value = todo.pop()
            if isinstance(value, list):
                todo.extend((node, one) for one in value)
            elif isinstance(value, str):
                if node == TEXT:
                    yield False, value
                elif node == XHTML:
                    yield True, plain(value)
            elif isinstance(value, dict):
                if node == RESOURCE:
                    node = str(value.get("resourceType"))
                fields = self._fields_of(node)
                todo.extend((fields[key], value[key]) for key in value if key in fields)

    def _fields_of(self, node: str) -> dict[str, str]:
        known = self._fields.get(node)
        if known is None:
            known = self._fields[node] = dict(self._leading(node))
        return known

    def _leading(self, node: str) -> Iterator[tuple[str, str]]:
        """Each property of a node, and what it leads to, unless that is nothing to read."""
        root = node.partition(".")[0]
        if root not in self.definitions.all_types:
            return
        for name, field in self.definitions.children(node).items():
            code = field.type.code
            if name == "id":
                continue
            if code == "xhtml":
                yield name, XHTML
            elif code in TEXTS and (node, name) not in NO_TEXTS:
                yield name, TEXT
            elif code in self.definitions.any_resource or code == "Resource":
                yield name, RESOURCE
            elif field.node not in self.definitions.primitive_types:
                yield name, field.node
            if field.type.code in self.definitions.primitive_types and code != "xhtml":
                yield f"_{name}", "Element"  # translations are extensions of a text


def plain(xhtml: str) -> str:
    """The text of a narrative: no tags, no comments, entities as what they stand for."""
    first, *rest = xhtml.split("<!--")
    kept = first + "".join(part.partition("-->")[2] for part in rest)
    return html.unescape(TAG.sub(" ", WITHIN.sub("", kept)))


def _terms(before: str, texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        if len(text) <= KEPT:
            yield from (before + word for word in words(text))
        else:
            yield from (before + word[:WORD_LENGTH] for word in fold(text).split())


def _bounded(found: Iterable[str]) -> list[str]:
    kept: list[str] = []
    size = 0
    for term in found:
        size += len(term.encode())
        if size > MAX_BYTES or len(kept) == MAX_TERMS:
            break
        kept.append(term)
    return kept


# --- what is said for one value -----------------------------------------------------------------
# R4 search#modifiers, `:text`: "either CodeableConcept.text, Coding.display, or
# Identifier.type.text"


def _of_concept(value: dict[str, Any]) -> list[str]:
    found = [value.get("text"), *(coding.get("display") for coding in value.get("coding") or ())]
    return [text for text in found if isinstance(text, str)]


def _of_coding(value: dict[str, Any]) -> list[str]:
    text = value.get("display")
    return [text] if isinstance(text, str) else []


def _of_identifier(value: dict[str, Any]) -> list[str]:
    text = (value.get("type") or {}).get("text")
    return [text] if isinstance(text, str) else []


SAYING: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "CodeableConcept": _of_concept,
    "Coding": _of_coding,
    "Identifier": _of_identifier,
}
