"""Scope — what a token lets its client ask for, in SMART's words.

https://hl7.org/fhir/R4/security.html#authorization%2Faccess-control

SMART App Launch 2.2.0, scopes for requesting FHIR resources:

    ("patient" | "user" | "system") "/" (type | "*") "." letters ["?" name=value *("&" name=value)]
    letters: some of `cruds`, in this order; or v1's `read` (rs), `write` (cud), `*` (cruds)

A scope delegates and never adds: what is reached is what the policy lets this caller reach *and*
what one of its scopes names. What is not understood grants nothing, so it is refused in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote

LETTERS = "cruds"
CONTEXTS = ("patient", "user", "system")
OF_VERSION_1 = {"read": "rs", "write": "cud", "*": LETTERS}
MAX_TEXT = 8192  # what a request's headers hold
MAX_SCOPES = 200
MAX_GRANULAR = 20  # scopes with parameters: each is a condition in every query
MAX_PARAMETERS = 8
# Of the parameters of every resource those that a record tells of itself.
COMMON = frozenset({"_id", "_profile", "_security", "_tag"})

# What is said beside the scopes of resources: identity, launch, and how long.
BESIDE = frozenset({"openid", "fhirUser", "profile", "launch", "offline_access", "online_access"})
LAUNCH = re.compile(r"launch/[a-z]+(\?role=[!#-\[\]-~]+)?")

WORD = re.compile(r"[!#-\[\]-~]+")  # RFC 6749, scope-token
SHAPE = re.compile(r"(patient|user|system)/(\*|[A-Z][A-Za-z]*)\.([a-z]+|\*)(?:\?(.*))?")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


class BadScope(ValueError):
    """A scope that is not understood: which one, and what would be."""


@dataclass(frozen=True, slots=True)
class Scope:
    """`patient/Observation.rs?category=laboratory`: one permission that was delegated."""

    context: str  # patient | user | system
    type: str  # a type of R4, or `*`: all there are
    letters: frozenset[str]  # of `cruds`: create, read, update, delete, search
    parameters: tuple[tuple[str, str], ...] = ()  # all of them hold for what is reached

    def __str__(self) -> str:
        letters = "".join(letter for letter in LETTERS if letter in self.letters)
        told = "&".join(f"{name}={quote(value, safe=SAFE)}" for name, value in self.parameters)
        return f"{self.context}/{self.type}.{letters}{'?' if told else ''}{told}"


SAFE = "|,:/$!*'();@?-._~"  # what RFC 6749 lets stand in a scope and a query does not part at


def parse(text: str) -> tuple[Scope, ...]:
    """The scopes of resources in a space-delimited text. Raises BadScope."""
    return _bounded(_scope(word) for word in words(text) if not is_beside(word))


def words(text: str) -> list[str]:
    """The words of a text of scopes, each once, in the order they were said. Raises BadScope."""
    if len(text) > MAX_TEXT:
        raise BadScope(f"The scopes are {len(text)} signs; at most {MAX_TEXT} are read.")
    found = list(dict.fromkeys(word for word in text.split(" ") if word))
    if len(found) > MAX_SCOPES:
        raise BadScope(f"There are {len(found)} scopes; at most {MAX_SCOPES} are read.")
    return found


def is_beside(word: str) -> bool:
    """Whether the word is known and says nothing of resources: `openid`, `launch/patient`."""
    return word in BESIDE or LAUNCH.fullmatch(word) is not None


def granted(asked: Iterable[Scope], allowed: Iterable[Scope]) -> tuple[Scope, ...]:
    """What is both asked for and allowed; the parameters of both hold."""
    bounds = tuple(allowed)
    met = (each for scope in asked for bound in bounds if (each := _meet(scope, bound)))
    return _bounded(_widest(met))


def grant(asked: str, allowed: str) -> str:
    """The words of `asked` as far as `allowed` has them, to be told in a token's answer.

    A word that is granted whole is told as it was asked, so one of version 1 stays one. What is
    beside the scopes of resources is granted where `allowed` has the same word.
    """
    bounds, others = parse(allowed), set(words(allowed))
    told: list[str] = []
    for word in words(asked):
        if is_beside(word):
            told += [word] if word in others else []
        else:
            scope = _scope(word)
            found = granted([scope], bounds)
            told += [word] if scope in found else map(str, found)
    return " ".join(dict.fromkeys(told))


def _bounded(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    found = tuple(scopes)
    if len(found) > MAX_SCOPES:
        raise BadScope(f"There are {len(found)} scopes; ask for {MAX_SCOPES} at most.")
    if sum(bool(scope.parameters) for scope in found) > MAX_GRANULAR:
        raise BadScope(f"There are more than {MAX_GRANULAR} scopes with parameters; ask for fewer.")
    return found


def _scope(word: str) -> Scope:
    if not WORD.fullmatch(word):
        raise BadScope(f"`{_shown(word)}` has signs that no scope has (RFC 6749, section 3.3).")
    shape = SHAPE.fullmatch(word)
    if shape is None:
        raise BadScope(
            f"`{_shown(word)}` is not a scope; write it as `user/Patient.rs`, with `patient`, "
            "`user` or `system` before a type of R4 or `*`."
        )
    context, type, letters, query = shape.groups()
    found = OF_VERSION_1.get(letters, letters)
    if [each for each in LETTERS if each in found] != list(found):
        raise BadScope(
            f"`.{_shown(letters)}` of `{_shown(word)}` is not understood; write some of `cruds` "
            "in this order, or `read`, `write` or `*`."
        )
    parameters = () if query is None else tuple(_parameters(word, type, query))
    return Scope(context, type, frozenset(found), parameters)


def _parameters(word: str, type: str, query: str) -> Iterator[tuple[str, str]]:
    """Only what surely narrows: a modifier or a chain that were passed over would widen."""
    parts = query.split("&")
    if type == "*":
        raise BadScope(f"`{_shown(word)}` has parameters; name the type they are of.")
    if len(parts) > MAX_PARAMETERS:
        raise BadScope(f"`{_shown(word)}` has more than {MAX_PARAMETERS} parameters.")
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or not (NAME.fullmatch(name) or name in COMMON):
            raise BadScope(
                f"`{_shown(part)}` of `{_shown(word)}` is not understood; write "
                "`parameter=value`, without a modifier or a chain."
            )
        yield name, _value(word, value)


def _value(word: str, text: str) -> str:
    """Decoded once. A bare `+` is a space to some and a plus to others, so it is neither."""
    escapes = re.sub("%[0-9A-Fa-f]{2}", "", text)
    try:
        value = unquote(text, errors="strict")
    except UnicodeDecodeError:
        value = ""
    if not value.strip() or "+" in text or "%" in escapes or not value.isprintable():
        raise BadScope(
            f"The value `{_shown(text)}` of `{_shown(word)}` is not understood; it is UTF-8, "
            "percent-encoded, not empty, with `%20` for a space and `%2B` for a plus."
        )
    return value


def _meet(one: Scope, other: Scope) -> Scope | None:
    types = {one.type, other.type} - {"*"}
    letters = one.letters & other.letters
    if one.context != other.context or len(types) > 1 or not letters:
        return None
    parameters = tuple(dict.fromkeys((*one.parameters, *other.parameters)))
    if parameters and not types:
        return None
    return Scope(one.context, types.pop() if types else "*", letters, parameters)


def _widest(scopes: Iterable[Scope]) -> Iterator[Scope]:
    """Each once, letters of the same type and parameters together."""
    letters: dict[tuple[str, str, tuple[tuple[str, str], ...]], frozenset[str]] = {}
    for scope in scopes:
        at = (scope.context, scope.type, scope.parameters)
        letters[at] = letters.get(at, frozenset()) | scope.letters
    for (context, type, parameters), found in letters.items():
        yield Scope(context, type, found, parameters)


def _shown(text: str) -> str:
    """As much of what a client sent as an answer may repeat."""
    return "".join(sign if sign.isprintable() and sign != "`" else "?" for sign in text[:80])
