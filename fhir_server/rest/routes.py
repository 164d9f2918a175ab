"""routes — the URL grammar of the RESTful API, in the order of the specification.

https://hl7.org/fhir/R4/http.html#summary
https://hl7.org/fhir/R4/search.html#searchinputs

One slash at the end is tolerated, since R4 itself writes `[base]/[type]/?...`; an empty segment
within is not a path.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from fhir_server.foundation.outcome import Invalid, MethodNotAllowed, NotFound, UnknownType
from fhir_server.foundation.resource import ID, Key

Pairs = list[tuple[str, str]]


class Row(NamedTuple):
    """One way to ask for an interaction; `parameters` None: the interaction judges them."""

    method: str
    shape: str
    interaction: str  # R4 valueset-type-restful-interaction, system-restful-interaction
    parameters: tuple[str, ...] | None = ()  # beside R4's general ones


# R4 http#summary, line by line. `search-type` by compartment is R4's own name for it, too.
ROWS = (
    Row("GET", "[type]/[id]", "read"),
    Row("GET", "[type]/[id]/_history/[vid]", "vread"),
    Row("PUT", "[type]/[id]", "update"),
    Row("PUT", "[type]", "update", None),
    Row("PATCH", "[type]/[id]", "patch"),
    Row("PATCH", "[type]", "patch", None),
    Row("DELETE", "[type]/[id]", "delete"),
    Row("DELETE", "[type]", "delete", None),
    Row("POST", "[type]", "create"),
    Row("GET", "[type]", "search-type", None),
    Row("POST", "[type]/_search", "search-type", None),
    Row("GET", "[base]", "search-system", None),
    Row("POST", "_search", "search-system", None),
    Row("GET", "[type]/[id]/[type]", "search-compartment", None),
    Row("POST", "[type]/[id]/[type]/_search", "search-compartment", None),
    Row("POST", "[type]/[id]/_search", "search-compartment", None),
    Row("GET", "metadata", "capabilities", ("mode",)),
    Row("POST", "[base]", "transaction"),
    Row("GET", "[type]/[id]/_history", "history-instance", None),
    Row("GET", "[type]/_history", "history-type", None),
    Row("GET", "_history", "history-system", None),
    # R4 operations#executing. Which operations there are, and where, fhir_server/operation says.
    Row("GET", "$[operation]", "operation", None),
    Row("POST", "$[operation]", "operation", None),
    Row("DELETE", "$[operation]", "operation", None),
    Row("GET", "[type]/$[operation]", "operation", None),
    Row("POST", "[type]/$[operation]", "operation", None),
    Row("GET", "[type]/[id]/$[operation]", "operation", None),
    Row("POST", "[type]/[id]/$[operation]", "operation", None),
    Row("DELETE", "[type]/[id]/$[operation]", "operation", None),
)


def _table() -> Mapping[str, Mapping[str, Row]]:
    table: dict[str, dict[str, Row]] = {}
    for row in ROWS:
        table.setdefault(row.shape, {})[row.method] = row
        if row.method == "GET":  # R4 http#head: HEAD is GET without the body
            table[row.shape]["HEAD"] = row
    return table


TABLE = _table()


class Place(NamedTuple):
    """What a path names: its shape, and the parts of it."""

    shape: str
    type: str | None = None
    id: str | None = None
    last: str | None = None  # the version, the compartment's type (`*`: all), or the operation

    @property
    def key(self) -> Key:
        assert self.type is not None and self.id is not None
        return Key(self.type, self.id)


NOWHERE = Place("")
NOTHING = Row("", "", "none")


def allowed(shape: str) -> str:
    """The value of Allow for a shape."""
    return ", ".join([*TABLE[shape], "OPTIONS"])


def row(place: Place, method: str) -> Row:
    """The line of the table a request means. Raises MethodNotAllowed."""
    found = TABLE[place.shape].get(method)
    if found is None:
        raise MethodNotAllowed(
            f"`{method[:20]}` cannot be used on `{place.shape}`. It takes {allowed(place.shape)}.",
            headers={"Allow": allowed(place.shape)},
        )
    return found


class Grammar:
    """Takes a path apart.

    types: the resource types there are. compartments: for each, the types it holds.
    """

    def __init__(self, types: Collection[str], compartments: Mapping[str, Collection[str]]) -> None:
        self.types = types
        self.compartments = compartments

    def place(self, path: bytes) -> Place:
        """The place a path below the base's slash names. Raises NotFound, UnknownType, Invalid."""
        if b"%" in path:  # decoded after it is split: `%2F` is no slash
            segments = [decoded(segment, "the path") for segment in path.split(b"/")]
        else:
            segments = decoded(path, "the path").split("/")
        if segments[-1] == "":  # one slash at the end
            del segments[-1]
        match segments:
            case [type, id] if type in self.types and id[:1] not in ("_", "$", ""):
                return Place("[type]/[id]", type, id)
            case [type] if type in self.types:
                return Place("[type]", type)
            case []:
                return Place("[base]")
            case ["metadata" | "_history" | "_search" as word]:
                return Place(word)
            case [type, *rest] if type in self.types and rest and "" not in rest:
                return self._below(type, rest, segments)
        return self._other(segments)

    def _other(self, segments: list[str]) -> Place:
        if len(segments) == 1 and segments[0][:1] == "$":
            return Place("$[operation]", last=segments[0][1:])
        return self._unknown(segments)

    def _below(self, type: str, rest: list[str], segments: list[str]) -> Place:
        found: Place | None = None
        match rest:
            case [operation] if operation[:1] == "$":
                found = Place("[type]/$[operation]", type, last=operation[1:])
            case [id, operation] if operation[:1] == "$":
                found = Place("[type]/[id]/$[operation]", type, id, operation[1:])
            case ["_history" | "_search" as word]:
                found = Place(f"[type]/{word}", type)
            case [id, "_history"]:
                found = Place("[type]/[id]/_history", type, id)
            case [id, "_history", version]:
                found = Place("[type]/[id]/_history/[vid]", type, id, version)
            case [id, "_search"]:
                found = self._compartment(Place("[type]/[id]/_search", type, id, "*"))
            case [id, inner] if inner == "*" or inner in self.types:
                found = self._compartment(Place("[type]/[id]/[type]", type, id, inner))
            case [id, inner, "_search"] if inner == "*" or inner in self.types:
                found = self._compartment(Place("[type]/[id]/[type]/_search", type, id, inner))
        return found or self._unknown(segments)

    def _compartment(self, place: Place) -> Place:
        """R4 compartmentdefinition: five types have compartments, each holding some types."""
        held = self.compartments.get(place.type or "")
        if held is None:
            known = ", ".join(f"`{type}`" for type in sorted(self.compartments))
            raise NotFound(f"`{place.type}` has no compartment in R4. These have: {known}.")
        if place.last != "*" and place.last not in held:
            raise NotFound(f"The {place.type} compartment of R4 holds no `{place.last}`.")
        return place

    def _unknown(self, segments: list[str]) -> Place:
        """Refuse, naming the part that is not known."""
        first = segments[0]
        if first not in self.types and first and first[0] not in "_$":
            near = _near(first, self.types)
            raise UnknownType(f"`{first[:64]}` is not a resource type of R4.{near}")
        for segment in segments:
            if segment.startswith("$"):
                raise UnknownType(
                    f"The operation `{segment[:64]}` is not supported at this place: it follows"
                    " the base, a type, or a type and an id. `metadata` lists those there are."
                )
        raise NotFound(
            f"`{'/'.join(segments)[:100]}` is not a path of the RESTful API. It knows"
            " `[type]`, `[type]/[id]`, `[type]/[id]/_history/[vid]` and those of `metadata`."
        )


def _near(word: str, types: Collection[str]) -> str:
    """R4 types are case sensitive; say so to who wrote `patient`."""
    found = [type for type in types if type.lower() in (word.lower(), word.lower().rstrip("s"))]
    return f" Did you mean `{found[0]}`?" if found else ""


def refuse_id(place: Place, method: str) -> None:
    """Refuse what cannot be an id: 400 for a new one, 404 for one that cannot exist."""
    if place.id is None or ID.fullmatch(place.id):
        return
    sentence = (
        f"`{place.id[:70]}` cannot be an id: an id is 1 to 64 of the signs A-Z, a-z, 0-9, `-`"
        " and `.`."
    )
    if method == "PUT":
        raise Invalid(sentence, expression=f"{place.type}.id")
    raise NotFound(sentence)


# --- percent-encoding and parameters -------------------------------------------------------------

BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
ESCAPES = re.compile(rb"%([0-9A-Fa-f]{2})")
BYTES = {b"%02x" % n: bytes([n]) for n in range(256)}


def decoded(raw: bytes, where: str) -> str:
    """Percent-decoding as RFC 3986 has it, and UTF-8; nothing is guessed."""
    try:
        if b"%" in raw:
            if BAD_PERCENT.search(raw.decode("latin-1")):
                raise Invalid(
                    f"In {where}, `%` must be followed by two hexadecimal digits; write `%25`"
                    " for the sign itself."
                )
            raw = ESCAPES.sub(lambda found: BYTES[found[1].lower()], raw)
        text = raw.decode()
    except UnicodeDecodeError:
        raise Invalid(f"In {where} there are bytes that are not UTF-8.") from None
    if "\0" in text:
        raise Invalid(f"In {where} there is the character U+0000, which no value may have.")
    return text


def pairs(raw: bytes, *, where: str, bound: int) -> Pairs:
    """The parameters of a query or a form, in their order, decoded."""
    if not raw:
        return []
    if raw.count(b"&") >= bound:
        raise Invalid(
            f"{where[0].upper()}{where[1:]} has more than {bound} parameters (`max_parameters`)."
            " Join values with commas, or ask in parts."
        )
    found = []
    for part in raw.split(b"&"):
        if part:
            name, _, value = part.replace(b"+", b" ").partition(b"=")
            found.append((decoded(name, where), decoded(value, where)))
    return found
