"""narrative — the XHTML a resource may carry for people: an allow-list, read by expat.

https://hl7.org/fhir/R4/narrative.html
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from xml.parsers import expat

XHTML = "http://www.w3.org/1999/xhtml"
XML = "http://www.w3.org/XML/1998/namespace"
MAX_PROBLEMS = 10  # of one narrative


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# R4 narrative#Narrative, txt-1: what its XPath lists.
ELEMENTS = _words(
    "a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em"
    " h1 h2 h3 h4 h5 h6 hr i img li ol p pre q samp small span strong sub sup"
    " table tbody td tfoot th thead tr tt ul var"
)
ATTRIBUTES = _words(
    "abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign"
    " char charoff charset cite class colspan compact coords dir frame headers height href"
    " hreflang hspace id lang longdesc name nowrap rel rev rowspan rules scope shape span src"
    " start style summary tabindex title type valign value vspace width"
) | {f"{XML} lang", f"{XML} space"}
LINKS = {"href", "src", "cite", "longdesc"}
SCHEMES = {
    "href": {"http", "https", "mailto", "tel", "urn", "ftp"},
    "src": {"http", "https", "data", "cid"},
    "cite": {"http", "https", "urn"},
    "longdesc": {"http", "https"},
}
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp|bmp)[;,]", re.IGNORECASE)
INNER_LINK = re.compile(r"""\b(?:src|href)\s*=\s*["'](#[^"'\s]+)["']""")
INVISIBLE = re.compile("[\x00-\x20\x7f-\x9f\u200b-\u200f\u2028\u2029]+")  # browsers skip these
# What makes a style do more than show: old browsers ran scripts from it, others fetch from it.
ACTIVE_STYLE = re.compile(
    r"expression\s*\(|javascript:|vbscript:|behaviou?r\s*:|-moz-binding|@import|url\s*\(|\\",
    re.IGNORECASE,
)
PLAIN = re.compile(r'<div xmlns="http://www\.w3\.org/1999/xhtml">([^<&\]]*)</div>').fullmatch


class Problem(NamedTuple):
    """One thing wrong with a narrative: the message's key (of txt-1 or txt-2), and what it says."""

    key: str
    said: dict[str, Any]


def is_allowed(div: str) -> bool:
    """Whether a text, known to be a string without control characters, may be a Narrative.div."""
    if (plain := PLAIN(div)) and not plain[1].isspace():
        return plain[1] != ""
    return not problems(div)


def inner_links(div: str) -> list[str]:
    """The `#id` that images and links name: a contained Binary, or a place in the narrative."""
    return INNER_LINK.findall(div)


def problems(div: str) -> list[Problem]:
    """What is wrong with a narrative, at most ten things."""
    reading = _Reading()
    try:
        reading.parser.Parse(div.encode("utf-8", "replace"), True)  # noqa: FBT003 - its signature
    except expat.ExpatError as error:
        reading.malformed(error)
    else:
        if not reading.shown:
            reading.add("txt-2")
    return reading.found


UNDEFINED_ENTITY = expat.errors.codes[expat.errors.XML_ERROR_UNDEFINED_ENTITY]


class _Reading:
    """One narrative as expat goes through it."""

    def __init__(self) -> None:
        self.found: list[Problem] = []
        self.shown = False
        self.depth = 0
        self.parser = parser = expat.ParserCreate("utf-8", " ")
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text
        parser.StartDoctypeDeclHandler = self.doctype
        parser.ProcessingInstructionHandler = self.instruction
        parser.XmlDeclHandler = self.declaration

    def add(self, key: str, **said: Any) -> None:
        if len(self.found) < MAX_PROBLEMS:
            self.found.append(Problem(key, said))

    def malformed(self, error: expat.ExpatError) -> None:
        key = "txt-1.entity" if error.code == UNDEFINED_ENTITY else "txt-1.malformed"
        reason = expat.ErrorString(error.code)
        self.add(key, reason=reason, line=error.lineno, column=error.offset + 1)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        if self.depth == 0 and local != "div":
            self.add("txt-1.not-div", element=local[:50])
        elif namespace != XHTML:
            if self.depth == 0 or namespace:
                self.add("txt-1.namespace", element=local[:50])
        elif local not in ELEMENTS:
            self.add("txt-1.element", element=local[:50])
        self.depth += 1
        self.shown = self.shown or (local == "img" and "src" in attributes)
        for attribute, value in attributes.items():
            self.attribute(local, attribute, value)

    def attribute(self, element: str, name: str, value: str) -> None:
        if name not in ATTRIBUTES:
            self.add("txt-1.attribute", element=element[:50], name=name.rpartition(" ")[2])
        elif name == "style" and ACTIVE_STYLE.search(value):
            self.add("txt-1.style", found=value)
        elif name in LINKS:
            scheme = SCHEME.match(bare := INVISIBLE.sub("", value))
            if scheme is None:
                return
            said = scheme[1].lower()
            if said not in SCHEMES[name] or (said == "data" and not IMAGE.match(bare)):
                self.add("txt-1.link", name=name, found=bare, schemes=sorted(SCHEMES[name]))

    def end(self, _name: str) -> None:
        self.depth -= 1

    def text(self, characters: str) -> None:
        self.shown = self.shown or not characters.isspace()

    def doctype(self, *_: object) -> None:
        self.add("txt-1.doctype")

    def instruction(self, *_: object) -> None:
        self.add("txt-1.instruction")

    def declaration(self, *_: object) -> None:
        self.add("txt-1.declaration")
