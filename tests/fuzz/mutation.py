"""mutation — a good document, header, query or path made worse, the same for the same seed.

https://hl7.org/fhir/R4/json.html
https://hl7.org/fhir/R4/xml.html
"""

from __future__ import annotations

import copy
import gzip
import json
import random
import re
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import zstandard

Path = tuple[Any, ...]

# What no JSON library writes is put in as a word, and the word is replaced in the text.
RAW = {
    "@@nan@@": "NaN",
    "@@infinity@@": "-Infinity",
    "@@exponent@@": "1e999999999",
    "@@tiny@@": "1e-999999999",
    "@@precise@@": "0." + "1" * 500,
    "@@zeros@@": "00012",
    "@@plus@@": "+1",
    "@@digits@@": "9" * 4400,
    "@@high@@": r'"\ud800"',
    "@@low@@": r'"a\udc00b"',
    "@@nul@@": r'"a\u0000b"',
    "@@escape@@": r'"\x41"',
    "@@nothing@@": "",
    "@@arrays@@": "[" * 400 + "]" * 400,
    "@@objects@@": '{"extension":' * 300 + "1" + "}" * 300,
    "@@twice@@": '{"value":1,"value":2}',
    "@@open@@": "[{",
}
TWICE = "@@again@@"  # a name that is to be said twice

TEXTS = [
    "", " ", "\t\n", "a" * 300, "é" * 5000, "\u202eabc", "💩", "\ufeff", "\u2028", "İ", "ﬀ",
    "ß" * 70,
    "e\u0301" * 40, "'", '"', "' OR 1=1 --", "%", "%s", "_", "\\", "$", "|", ",", "\\,", "\\|",
    "$$", "a|b|c",
    "http://", "urn:uuid:x", "urn:oid:1.2.", "http://[::1", "http://a:b:c/d", "//x", "Patient/",
    "/Patient/a",
    "Patient/a/_history/", "Patient/a/_history/1", "Patient/a#b", "#", "#a",
    "Patient?identifier=1|2",
    "Patient?", "Shoe/1", "../../etc/passwd", "javascript:alert(1)",
    "http://127.0.0.1/fhir/Patient/a",
    "2020", "2020-02-30", "2020-13", "0000", "0000-00-00", "9999-12-31T23:59:60Z",
    "2020-01-01T24:00:00Z",
    "2020-01-01T00:00:00+99:99", "2020-01-01T00:00:00.123456789012345678Z", "-0001-01-01",
    "0001-01-01",
    "9999-12-31", "2020-01-01T00:00Z", "20200101", "12:00:00", "25:61:61", "gt2020", "P1D", "NaN",
    "-0", "1e400",
    "0x10", "1_000", "٣", "true", "null", "undefined", "__proto__", "constructor", "=1+1", "a=",
    "AA==", "!!!!",
    "<div>", "<div xmlns='http://www.w3.org/1999/xhtml'><script/></div>", "<a b='&c;'/>", "]]>",
    "&lt;",
    "Bundle.entry[0]", "%resource", "iif(true, 1, 2)", "(" * 60, "Patient.name.where(family = 'a')",
]  # fmt: skip
VALUES: list[Any] = [
    *TEXTS, *RAW, None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**40, 0.1,
    -0.0, 1e300,
    [], {}, [[]], [None], [{}], {"": ""}, {"a": None}, {"resourceType": "Patient"},
    {"reference": "#"},
    {"reference": {}}, {"value": 1}, ["a", 1, {}], [["a"]], {"extension": [{"url": "a",
    "valueCode": 1}]},
    {"resourceType": "Bundle", "type": "transaction"}, {"coding": {}}, {"system": 1, "code": []},
]  # fmt: skip
NAMES = [
    "", "_", "__proto__", "resourceType", "id", "meta", "text", "contained", "extension",
    "_extension", "value",
    "valueString", "valueShoe", "value[x]", "shoe", "fhir_comments", "_id", "_birthDate", "entry",
    "resource",
    "reference", "é", "a b", "a.b", "name" * 90, "$ref", "@type", "modifierExtension",
    "implicitRules",
]  # fmt: skip


# --- documents -----------------------------------------------------------------------------------


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where everything in a document stands."""
    yield path
    match value:
        case dict():
            for name in value:
                yield from places(value[name], (*path, name))
        case list():
            for index in range(len(value)):
                yield from places(value[index], (*path, index))


def at(document: Any, path: Path) -> Any:
    for step in path:
        document = document[step]
    return document


def document(draw: random.Random, good: Any, others: list[Any]) -> bytes:
    """The text of a document with a few things wrong in it."""
    bad = copy.deepcopy(good)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        where = [path for path in places(bad) if path]
        if not where:
            break
        path = draw.choice(where)
        draw.choice(CHANGES)(draw, at(bad, path[:-1]), path[-1], others)
    return text_of(bad)


def _replaced(draw: random.Random, inside: Any, step: Any, others: list[Any]) -> None:
    inside[step] = copy.deepcopy(draw.choice(VALUES))


def _gone(draw: random.Random, inside: Any, step: Any, others: list[Any]) -> None:
    del inside[step]


def _renamed(draw: random.Random, inside: Any, step: Any, others: list[Any]) -> None:
    if isinstance(inside, dict):
        inside[draw.choice(NAMES)] = inside.pop(step)


def _added(draw: random.Random, inside: Any, step: Any, others: list[Any]) -> None:
    value = copy.deepcopy(draw.choice(VALUES))
    if isinstance(inside, dict):
        inside[draw.choice([*NAMES, f"_{step}", f"{step}x"])] = value
    else:
        inside.insert(step, value)


def _said_twice(draw: random.Random, inside: Any, step: Any, others: list[Any]) -> None:
    if isinstance(inside, dict):
        inside[f"{step}{TWICE}"] = copy.deepcopy(draw.choice([inside[step], *VALUES]))


def _wrapped(draw: random.Random, inside: Any, step: Any, others: list[Any]) -> None:
    times = draw.choice((1, 1, 2, 60))
    for _ in range(times):
        inside[step] = [inside[step]] if draw.random() < 0.5 else {"extension": inside[step]}


def _unwrapped(draw: random.Random, inside: Any, step: Any, others: list[Any]) -> None:
    match inside[step]:
        case [first, *_]:
            inside[step] = first
        case dict() as held if held:
            inside[step] = next(iter(held.values()))


def _many(draw: random.Random, inside: Any, step: Any, others: list[Any]) -> None:
    if isinstance(inside[step], list) and len(str(inside[step])) < 3000:
        inside[step] = inside[step] * draw.choice((2, 3, 50))


def _from_elsewhere(draw: random.Random, inside: Any, step: Any, others: list[Any]) -> None:
    other = draw.choice(others)
    found = at(other, draw.choice(list(places(other))))
    inside[step] = copy.deepcopy(found)


def _text_changed(draw: random.Random, inside: Any, step: Any, others: list[Any]) -> None:
    if isinstance(inside[step], str):
        inside[step] = text(draw, inside[step])
    elif isinstance(inside[step], int | float):
        inside[step] = -inside[step] * 10**9


CHANGES = (
    _replaced, _replaced, _replaced, _gone, _renamed, _added, _said_twice, _wrapped, _unwrapped,
    _many,
    _from_elsewhere, _from_elsewhere, _text_changed, _text_changed,
)  # fmt: skip


def text_of(value: Any) -> bytes:
    told = json.dumps(value, ensure_ascii=False, default=str)
    if "@@" in told:
        told = told.replace(TWICE, "")
        for word, raw in RAW.items():
            told = told.replace(f'"{word}":', '"raw":').replace(f'"{word}"', raw)
    return told.encode("utf-8", "surrogatepass")


def text(draw: random.Random, good: str) -> str:
    """A text with something put in, taken out or said again."""
    place = draw.randrange(len(good) + 1)
    until = min(len(good), place + draw.randrange(1, 9))
    return draw.choice((
        lambda: good[:place] + draw.choice(TEXTS) + good[place:],
        lambda: good[:place] + good[until:],
        lambda: good[:until] + good[place:],
        lambda: good[:place] + good[place:until].swapcase() + good[until:],
        lambda: good[::-1],
        lambda: draw.choice(TEXTS),
    ))()  # fmt: skip


# --- bytes ---------------------------------------------------------------------------------------

PIECES = [
    b"\0", b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"{",
    b"}", b"[", b"]",
    b'"', b":", b",", b"\\u", b"\\ud83d", b"/*", b"<", b">", b"&", b"&#0;", b"&#xD800;", b"&a;",
    b"<!DOCTYPE a>",
    b"<!DOCTYPE a [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>", b"<![CDATA[", b"<!--",
    b"<?xml version='1.1'?>",
    b"<?xml encoding='utf-16'?>", b"xmlns='urn:x' ", b"<contained>" * 70, b"<div>", b"null",
    b"1e99999", b"\r\n\r\n",
]  # fmt: skip


def octets(draw: random.Random, good: bytes) -> bytes:
    """Bytes with a few of them other ones."""
    bad = bytearray(good)
    for _ in range(draw.choice((1, 1, 2, 5))):
        place = draw.randrange(len(bad) + 1)
        until = min(len(bad), place + draw.choice((1, 1, 4, 40, 400)))
        match draw.randrange(5):
            case 0:
                bad[place:until] = b""
            case 1:
                bad[place:place] = draw.choice(PIECES)
            case 2:
                bad[place:place] = bad[place:until]
            case 3 if bad:
                bad[min(place, len(bad) - 1)] ^= 1 << draw.randrange(8)
            case 4:
                del bad[until:]
    return bytes(bad)


_gzip = partial(gzip.compress, mtime=0)  # the hour is no part of a seed


def coded(draw: random.Random, body: bytes) -> tuple[str, bytes]:
    """A Content-Encoding and the body in it, or said to be in it."""
    coding = draw.choice(
        ("gzip", "deflate", "zstd", "gzip", "br", "identity", "gzip, gzip", "x", "")
    )
    packed = {"gzip": _gzip, "deflate": zlib.compress, "zstd": zstandard.compress}
    done = packed.get(coding, bytes)(body)
    return coding, octets(draw, done) if draw.random() < 0.5 else done


# --- what stands in a head -----------------------------------------------------------------------

UNSAFE = re.compile(rb"[^!-~]|[#?]")


def escaped(url: str) -> bytes:
    """As it goes over the wire: no spaces and no control characters in a request line."""
    raw = url.encode("utf-8", "surrogatepass")
    return UNSAFE.sub(
        lambda found: b"%%%02X" % found[0][0] if found[0] not in b"?#" else found[0], raw
    )


SEGMENTS = [
    "", ".", "..", "%2e%2e", "%2E", "%00", "%2F", "%5C", "\\", "%", "%zz", "%C0%AF", "%ED%A0%80",
    "é", "*", "$", "_",
    "_history", "_search", "metadata", "$validate", "$expand", "$explain", "$reindex",
    "$reindex-status", "$lookup",
    "$who-viewed", "$shoe", "Patient", "patient", "Shoe", "a", "1", "a" * 65, "a" * 5000, "oauth",
    "token", "Bundle",
    "AuditEvent", ".well-known", ";a=b", "a;b", "a:b", "a@b", "%0d%0aX: y", "$validate;x",
    "__proto__",
]  # fmt: skip


def path(draw: random.Random, good: str) -> str:
    """A path with a segment more, less or other."""
    segments = good.split("/")
    for _ in range(draw.choice((1, 1, 2, 4))):
        place = draw.randrange(len(segments)) if segments else 0
        match draw.randrange(5):
            case 0:
                segments.insert(place, draw.choice(SEGMENTS))
            case 1 if segments:
                segments[place] = draw.choice(SEGMENTS)
            case 2 if segments:
                del segments[place]
            case 3 if segments:
                segments[place] = text(draw, segments[place])
            case 4:
                segments += draw.choice(
                    ([""], ["_history"], ["_history", "1"], [draw.choice(SEGMENTS)])
                )
    return "/".join(segments)


def header(draw: random.Random, good: str) -> str:
    """A header's value; what an HTTP parser lets through of it."""
    bad = draw.choice(
        (text, text, lambda _, good: f"{good}, {good}", lambda *_: draw.choice(TEXTS))
    )(draw, good)
    return re.sub(r"[\x00-\x08\x0a-\x1f\x7f]", "", bad)[:6000]
