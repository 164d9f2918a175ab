"""position — where in the text that was sent an element stands: its line and its column.

https://hl7.org/fhir/R4/operationoutcome-definitions.html#OperationOutcome.issue.expression

A body is read into a resource without its places, which costs nothing; only where issues are to be
told is the text gone through once more, for their expressions alone. What is found is a help for
people: text of any kind, expressions of any kind, and the answer may always be that nothing was
found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple
from xml.parsers import expat

from fhir_server.foundation.outcome import Issue

MAX_TEXT = 16 * 1024 * 1024  # bytes: longer ones take seconds, and nobody looks at a line of them
MAX_EXPRESSION = 1000  # characters
MAX_EXPRESSIONS = 2000
MAX_STEPS = 40

BOM = b"\xef\xbb\xbf"
# A step as issues write it: `given`, `given[1]`, `extension('url')`, `ofType(Quantity)`.
STEP = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:\[(?P<index>\d{1,7})\])?(?=\.|$)")
# R4 formats#choice: the type a value[x] adds to its name.
TYPES = (
    "Base64Binary|Boolean|Canonical|Code|Date|DateTime|Decimal|Id|Instant|Integer|Markdown|Oid|"
    "PositiveInt|String|Time|UnsignedInt|Uri|Url|Uuid|Address|Age|Annotation|Attachment|"
    "CodeableConcept|Coding|ContactPoint|Count|Distance|Duration|HumanName|Identifier|Money|Period|"
    "Quantity|Range|Ratio|Reference|SampledData|Signature|Timing|ContactDetail|Contributor|"
    "DataRequirement|Expression|ParameterDefinition|RelatedArtifact|TriggerDefinition|UsageContext|"
    "Dosage|Meta"
)
SUFFIX = re.compile(TYPES)


class Position(NamedTuple):
    """Both from 1; a column counts characters."""

    line: int
    column: int


def located(
    issues: Iterable[Issue], text: bytes, kind: str, place: str | None = None
) -> list[Issue]:
    """The issues with their lines and columns.

    kind: `json` or `xml`. place: where in the text the resource is that the issues speak of, such
    as `Parameters.parameter[0].resource`; None where it is the text itself.
    """
    told = list(issues)
    sought = {issue: _seen(issue.expression, place) for issue in told if issue.line is None}
    found = positions(text, kind, [one for one in sought.values() if one])
    return [
        issue
        if (at := found.get(sought.get(issue) or "")) is None
        else replace(issue, line=at.line, column=at.column)
        for issue in told
    ]


def _seen(expression: str | None, place: str | None) -> str | None:
    if place is None:
        return expression
    rest = (expression or "").partition(".")[2]
    return f"{place}.{rest}" if rest else place


def positions(text: bytes, kind: str, expressions: Iterable[str]) -> dict[str, Position]:
    """Where the value of each element begins; of one that is missing, the nearest around it."""
    wanted = _Wanted()
    for expression in expressions:
        wanted.add(expression)
    if not wanted.nodes or len(text) > MAX_TEXT:
        return {}
    if kind == "xml":
        _Xml(text, wanted).read()
    else:
        _json(text, wanted)
    offsets = {expression: node.nearest for expression, node in wanted.nodes.items()}
    places = _counted(text, {offset for offset in offsets.values() if offset is not None})
    return {e: places[offset] for e, offset in offsets.items() if offset is not None}


# --- what is looked for --------------------------------------------------------------------------


class _Node:
    """An element that is looked for, or one around it."""

    __slots__ = ("above", "below", "offset", "rank")

    def __init__(self, above: _Node | None) -> None:
        self.above = above
        self.below: dict[str, dict[int | None, _Node]] = {}  # by name, then by index
        self.offset: int | None = None
        self.rank = 3  # how well what was found answers to the name: see _rank

    def child(self, name: str, index: int | None) -> _Node:
        indexes = self.below.setdefault(name, {})
        if index not in indexes:
            indexes[index] = _Node(self)
        return indexes[index]

    @property
    def nearest(self) -> int | None:
        node: _Node | None = self
        while node is not None and node.offset is None:
            node = node.above
        return node.offset if node else None

    def forget(self) -> None:
        """What was found below a name that another one answers to better."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            node.offset, node.rank = None, 3
            waiting += [n for indexes in node.below.values() for n in indexes.values()]


class _Wanted:
    """The expressions as a tree of the elements on the way to them."""

    def __init__(self) -> None:
        self.root = _Node(None)
        self.nodes: dict[str, _Node] = {}

    def add(self, expression: str) -> None:
        if expression in self.nodes or expression.startswith("http.") or not expression:
            return
        if len(self.nodes) >= MAX_EXPRESSIONS:
            return
        node = self.root
        for place, (name, index) in enumerate(_steps(expression)):
            if place or not name[0].isupper():  # the first names the resource's type
                node = node.child(name, index)
        self.nodes[expression] = node


def _steps(expression: str) -> Iterator[tuple[str, int | None]]:
    """The steps of an expression, as far as they are names and indices."""
    at = 0
    for _ in range(MAX_STEPS):
        found = STEP.match(expression, at, MAX_EXPRESSION)
        if found is None:
            return
        yield found["name"], int(found["index"]) if found["index"] else None
        at = found.end() + 1


def _rank(wanted: str, name: str) -> int:
    """How well a member answers to an element's name: 0 best, 3 not at all."""
    if name == wanted:
        return 0
    if name.startswith(wanted) and SUFFIX.fullmatch(name, len(wanted)):
        return 1
    bare = name[1:] if name[:1] == "_" else ""
    return 2 if bare and _rank(wanted, bare) < 2 else 3


def _meet(nodes: list[_Node], name: str) -> list[_Meeting]:
    """The children that a member of this name may be."""
    return [
        _Meeting(child, index, rank)
        for node in nodes
        for wanted, indexes in node.below.items()
        if (rank := _rank(wanted, name)) < 3
        for index, child in indexes.items()
    ]


class _Meeting(NamedTuple):
    node: _Node
    item: int | None
    rank: int

    def take(self, offset: int) -> bool:
        """Note the place, unless a better name or the same one was met before."""
        if self.rank >= self.node.rank:
            return False
        self.node.forget()
        self.node.rank, self.node.offset = self.rank, offset
        return True


class _Broken(Exception):
    """The text is not what it should be; what was found until here is good."""


# --- JSON ----------------------------------------------------------------------------------------

BLANK = re.compile(rb"[ \t\r\n]*+")
# An end that is missing is the text's: each quote is looked at once, whatever the text.
STRING = re.compile(rb'"((?:[^"\\]++|\\.)*+)(?:"|\Z)', re.DOTALL)
SCALAR = re.compile(rb"[^\s,\]}]++")
BRACKET = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)
OPENING, CLOSING = frozenset(b"[{"), frozenset(b"]}")
OBJECT, ARRAY, QUOTE, COLON, COMMA = b"{"[0], b"["[0], b'"'[0], b":"[0], b","[0]


def _json(text: bytes, wanted: _Wanted) -> None:
    reading = _Json(text)
    try:
        at = reading.blank(len(BOM) if text.startswith(BOM) else 0)
        wanted.root.offset = at
        reading.inside(at, [wanted.root])
    except (_Broken, IndexError):
        return


class _Json:
    """One text gone through, no deeper than what is looked for."""

    def __init__(self, text: bytes) -> None:
        self.text = text

    def blank(self, at: int) -> int:
        found = BLANK.match(self.text, at)
        return found.end() if found else at

    def skip(self, at: int) -> int:
        """The end of the value that begins here."""
        if self.text[at] in OPENING:
            return self.rest(at + 1)
        found = (STRING if self.text[at] == QUOTE else SCALAR).match(self.text, at)
        if found is None:
            raise _Broken
        return found.end()

    def rest(self, at: int) -> int:
        """The end of the object or array this is within."""
        depth = 1
        for found in BRACKET.finditer(self.text, at):
            sign = self.text[found.start()]
            if sign in OPENING:
                depth += 1
            elif sign in CLOSING:
                depth -= 1
                if depth == 0:
                    return found.end()
        raise _Broken

    def inside(self, at: int, nodes: list[_Node]) -> int:
        """Look below these nodes within the value that begins here; its end."""
        if self.text[at] != OBJECT or not any(node.below for node in nodes):
            return self.skip(at)
        at = self.blank(at + 1)
        while self.text[at] == QUOTE:
            name, at = self.name(at)
            met = _meet(nodes, name)
            if met and self.text[at] == ARRAY:
                at = self.array(at, met)
            else:
                at = self.inside(at, [m.node for m in met if not m.item and m.take(at)])
            at = self.blank(at)
            if self.text[at] == COMMA:
                at = self.blank(at + 1)
        if self.text[at] in CLOSING:
            return at + 1
        raise _Broken

    def name(self, at: int) -> tuple[str, int]:
        """A member's name, and where its value begins."""
        found = STRING.match(self.text, at)
        assert found is not None, "a quote begins it"
        at = self.blank(found.end())
        if self.text[at] != COLON:
            raise _Broken
        raw = found[1].decode("utf-8", "replace")
        if "\\" in raw:
            try:
                raw = json.loads(found[0])
            except ValueError:
                raise _Broken from None
        return raw, self.blank(at + 1)

    def array(self, at: int, met: list[_Meeting]) -> int:
        """An element that repeats. Without an index it is the array, and its first item."""
        whole = [m.node for m in met if m.item is None and m.take(at)]
        last = max((m.item for m in met if m.item is not None), default=0)
        at = self.blank(at + 1)
        for place in range(last + 1):
            if self.text[at] in CLOSING:
                return at + 1
            nodes = [m.node for m in met if m.item == place and m.take(at)]
            at = self.blank(self.inside(at, nodes + whole if place == 0 else nodes))
            if self.text[at] == COMMA:
                at = self.blank(at + 1)
        return self.rest(at)


# --- XML -----------------------------------------------------------------------------------------


class _Level(NamedTuple):
    """An element that is open: what is looked for in it, and how often each name came."""

    nodes: list[_Node]
    counts: dict[str, int]


NOTHING = _Level([], {})


class _Xml:
    """One text as expat goes through it."""

    def __init__(self, text: bytes, wanted: _Wanted) -> None:
        self.text = text
        self.wanted = wanted
        self.open: list[_Level] = []
        self.parser = parser = expat.ParserCreate("utf-8", " ")
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.StartDoctypeDeclHandler = self.doctype

    def read(self) -> None:
        try:
            self.parser.Parse(self.text, True)  # noqa: FBT003 - its signature
        except (expat.ExpatError, _Broken):
            return

    def doctype(self, *_: object) -> None:
        raise _Broken

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        offset = self.parser.CurrentByteIndex
        if not self.open:
            self.wanted.root.offset = offset
            self.open.append(_Level([self.wanted.root], {}))
            return
        around = self.open[-1]
        if not around.nodes:
            self.open.append(NOTHING)
        elif local[:1].isupper():  # R4 xml: a resource within an element, named by its type
            self.open.append(_Level(around.nodes, {}))
        else:
            place = around.counts.get(local, 0)
            around.counts[local] = place + 1
            met = _meet(around.nodes, local)
            wanted = [m for m in met if (m.item or 0) == place]
            nodes = [m.node for m in wanted if m.take(offset)]
            self.open.append(_Level(nodes, {}) if nodes else NOTHING)

    def end(self, _name: str) -> None:
        self.open.pop()


# --- lines and columns ---------------------------------------------------------------------------

CONTINUING = bytes(range(0x80, 0xC0))  # UTF-8: they begin no character


def _counted(text: bytes, offsets: set[int]) -> dict[int, Position]:
    found: dict[int, Position] = {}
    line, column, before = 1, 1, len(BOM) if text.startswith(BOM) else 0
    for offset in sorted(offsets):
        between = text[before:offset]
        if lines := between.count(b"\n"):
            line += lines
            column = 1
            between = between[between.rfind(b"\n") + 1 :]
        column += len(between.translate(None, CONTINUING))
        found[offset] = Position(line, column)
        before = offset
    return found
