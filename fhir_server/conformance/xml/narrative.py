"""narrative — XHTML within a resource's XML, kept as it was written.

https://hl7.org/fhir/R4/xml.html
https://hl7.org/fhir/R4/narrative.html#xhtml
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.entities import name2codepoint
from xml.parsers import expat

XHTML = "http://www.w3.org/1999/xhtml"
XHTML_DIV = f"{XHTML} div"
XML_PREFIX = "http://www.w3.org/XML/1998/namespace "

# XML 1.0, production 2 (Char), and what an attribute's value would lose when it is normalized
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)
TEXT_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# XML itself declares five names; those of HTML mean nothing in it
ENTITY = re.compile("&(?!(?:amp|lt|gt|quot|apos);)([A-Za-z][A-Za-z0-9]*);")
START_TAG = re.compile(r"<[^/](?s:.*)(?<!/)>\Z")  # one that has not ended yet
DIV_START = re.compile(r"<div(?![^\s/>])")


def division(value: str) -> str | None:
    """The narrative's `div` as it may stand in a document, or None where it may not."""
    value = ENTITY.sub(_character, value.strip())
    if not DIV_START.match(value):
        return None
    if is_division(value):
        return value
    value = f'<div xmlns="{XHTML}"' + value.removeprefix("<div")
    return value if is_division(value) else None


def _character(found: re.Match[str]) -> str:
    code = name2codepoint.get(found[1])
    return found[0] if code is None else f"&#{code};"


def is_division(text: str) -> bool:
    """Whether the text is one well-formed XHTML div, with nothing before or after it."""
    outermost: list[str] = []
    depth = 0

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal depth
        if depth == 1:
            outermost.append(name)
        depth += 1

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def characters(_: str) -> None:
        if depth == 1:
            outermost.append("text")

    parser = expat.ParserCreate("utf-8", " ")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = characters
    try:
        # within an element nothing can be declared: no DOCTYPE, so no entities
        parser.Parse(f"<text>{text}</text>".encode(), True)  # noqa: FBT003 - expat has no name for it
    except (expat.ExpatError, UnicodeEncodeError):
        return False
    return outermost == [XHTML_DIV]


class Division:
    """A div that is being read, from its first tag to its last.

    What was written is kept to the letter where it can stand alone; where it leans on namespaces
    declared around it (`<h:div>`), it is written anew without prefixes.
    """

    def __init__(self, begin: int) -> None:
        self.begin = begin  # where its `<` is in the body
        self.depth = 0
        self.parts: list[str] = []
        self.foreign: str | None = None  # the first name that is not XHTML's

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self.depth += 1
        told = [f"<{self._local(name, XHTML + ' ', '')}"]
        for key, value in attributes.items():
            local = self._local(key, XML_PREFIX, "xml:") if " " in key else key
            told.append(f' {local}="{value.translate(ESCAPES)}"')
        if self.depth == 1:
            told.insert(1, f' xmlns="{XHTML}"')
        self.parts.append("".join(told) + ">")

    def _local(self, name: str, namespace: str, prefix: str) -> str:
        if not name.startswith(namespace):
            self.foreign = self.foreign or name.rpartition(" ")[2]
        return prefix + name.removeprefix(namespace)

    def characters(self, text: str) -> None:
        self.parts.append(text.translate(TEXT_ESCAPES))

    def end(self, name: str) -> bool:
        """An element has ended; whether it was the div itself."""
        self.depth -= 1
        if START_TAG.match(self.parts[-1]):
            self.parts[-1] = self.parts[-1].removesuffix(">") + "/>"
        else:
            self.parts.append(f"</{name.rpartition(' ')[2]}>")
        return self.depth == 0

    def text(self, body: bytes, end: int) -> str | None:
        """The whole div; `end` is where expat stood when it ended. None: not XHTML alone."""
        written = body[self.begin : end]
        # at the `<` of its last tag, or past the `/>` of its only one
        if len(self.parts) > 1 or not written.endswith(b"/>"):
            written = body[self.begin : body.find(b">", end) + 1]
        found = written.decode()
        if DIV_START.match(found) and is_division(found):
            return found
        return None if self.foreign else "".join(self.parts)
