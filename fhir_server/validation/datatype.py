"""datatype — values of complex types that contradict themselves.

https://hl7.org/fhir/R4/datatypes.html#Attachment
https://hl7.org/fhir/R4/datatypes.html#Identifier
https://hl7.org/fhir/R4/datatypes.html#Coding

What R4 says of a type's elements together, in words and not as an invariant. `Rules.holds` answers
yes or no for the fast pass, `Rules.issues` says what is wrong.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.primitive import is_oid, is_uuid
from fhir_server.foundation.resource import Resource
from fhir_server.terminology.terms import Terms
from fhir_server.validation.messages import issue

URI_SYSTEM = "urn:ietf:rfc:3986"
USUAL = ("http://", "https://", "urn:")
ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+").fullmatch
# Systems whose codes HL7 publishes apart from R4, and goes on adding to
GROWING = ("http://terminology.hl7.org/", "http://snomed.info/", "http://loinc.org")
MAX_SYSTEMS = 1_000
URNS: dict[str, Callable[[Any], bool]] = {"urn:oid:": is_oid, "urn:uuid:": is_uuid}

Rule = Callable[[Resource, str], Iterator[Issue]]
Holds = Callable[[Resource], bool]


class Rules:
    """The rules of datatypes. codes: what is known of code systems, where anything is."""

    def __init__(self, codes: Codes | None = None) -> None:
        self.codes = codes
        self.holds: dict[str, Holds] = dict(HOLDS)
        if codes is not None:
            self.holds["Coding"] = codes.hold

    def issues(self, node: str, value: Resource, path: str) -> Iterator[Issue]:
        """What is wrong with a value of a type; nothing for types that have no such rules."""
        yield from issues(node, value, path)
        if node == "Coding" and self.codes is not None:
            yield from self.codes.issues(value, path)


class Codes:
    """The codes of every system that is known in full.

    R4 Coding.code: "a symbol in syntax defined by the system". What is not one of a system's is no
    such symbol, whatever the element is bound to. Systems that HL7 maintains elsewhere have grown
    since, so a code of theirs that is not known here may well be one.
    """

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._known: dict[str, frozenset[str] | None] = {}

    def of(self, system: str) -> frozenset[str] | None:
        """All codes of a system, in any of its versions; None where there may be more."""
        if system in self._known:
            return self._known[system]
        if len(self._known) >= MAX_SYSTEMS:
            self._known.clear()  # clients name systems as they like
        found = self._known[system] = self._all(system)
        return found

    def _all(self, system: str) -> frozenset[str] | None:
        if system.startswith(GROWING):
            return None
        entries = [e for e in self._terms.canonicals.versions(system) if e.type == "CodeSystem"]
        if not entries or any(not _is_whole(entry.load()) for entry in entries):
            return None
        versions = self._terms.systems.versions(system)
        listed = [one.codes() for one in versions]
        if not versions or None in listed:
            return None
        return frozenset(code for codes in listed for code in codes or ())

    def hold(self, value: Resource) -> bool:
        system = value.get("system")
        if system is None:
            return True
        known = self.of(system)
        if known is None:
            return _coding_holds(value)
        code = value.get("code")
        return code is None or code in known

    def issues(self, value: Resource, path: str) -> Iterator[Issue]:
        system, code, version = (value.get(name) for name in ("system", "code", "version"))
        if not isinstance(system, str) or not isinstance(code, str) or not self.of(system):
            return
        its = self._terms.systems.versions(system)
        named = [one for one in its if version is None or one.version == version]
        if named and all(one.find(code) is None and one.lacks(code) for one in named):
            yield issue("coding-code", f"{path}.code", profile=system, code=code, system=system)


def _is_whole(system: Resource) -> bool:
    return system.get("content") == "complete" and system.get("compositional") is not True


def issues(node: str, value: Resource, path: str) -> Iterator[Issue]:
    """What is wrong with a value of a type; nothing for types that have no such rules."""
    rule = RULES.get(node)
    if rule is not None:
        yield from rule(value, path)


# --- Coding ------------------------------------------------------------------------------------


def _coding_holds(value: Resource) -> bool:
    system = value.get("system")
    return system is None or system.startswith(USUAL) or ABSOLUTE(system) is not None


def _coding(value: Resource, path: str) -> Iterator[Issue]:
    """R4 CodeSystem.url: an absolute URI, and what `Coding.system` names."""
    system = value.get("system")
    if isinstance(system, str) and system and not ABSOLUTE(system):
        yield issue("coding-system", f"{path}.system", system=system)


# --- Identifier --------------------------------------------------------------------------------


def _identifier_holds(value: Resource) -> bool:
    return value.get("system") != URI_SYSTEM


def _identifier(value: Resource, path: str) -> Iterator[Issue]:
    """R4 identifier-registry: with this system, the value is a whole URI, an OID's its URN. Only
    a warning: the registry asks for it without a SHALL, and HL7's own examples do otherwise."""
    text = value.get("value")
    if value.get("system") != URI_SYSTEM or not isinstance(text, str):
        return
    place = f"{path}.value"
    if not ABSOLUTE(text):
        yield issue("identifier-uri", place, value=text)
        return
    for start, is_valid in URNS.items():
        if text.startswith(start) and not is_valid(text):
            yield issue("identifier-urn", place, value=text, kind=start[4:-1].upper())


# --- Attachment --------------------------------------------------------------------------------


def _attachment_holds(value: Resource) -> bool:
    return "data" not in value or ("size" not in value and "hash" not in value)


def _attachment(value: Resource, path: str) -> Iterator[Issue]:
    """R4: `size` and `hash` are those of the data before they were written in base64."""
    data = value.get("data")
    if not isinstance(data, str) or _attachment_holds(value):
        return
    try:
        content = binascii.a2b_base64(data)
    except ValueError:
        return  # told of `data` itself
    size, told = value.get("size"), value.get("hash")
    if isinstance(size, int) and size != len(content):
        yield issue("attachment-size", f"{path}.size", size=size, found=len(content))
    if isinstance(told, str):
        digest = hashlib.sha1(content, usedforsecurity=False).digest()
        if "".join(told.split()) != binascii.b2a_base64(digest, newline=False).decode():
            yield issue("attachment-hash", f"{path}.hash")


RULES: dict[str, Rule] = {
    "Coding": _coding,
    "Identifier": _identifier,
    "Attachment": _attachment,
}
# Whether a value of valid shape surely keeps the rules.
HOLDS: dict[str, Holds] = {
    "Coding": _coding_holds,
    "Identifier": _identifier_holds,
    "Attachment": _attachment_holds,
}
