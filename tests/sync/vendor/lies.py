"""lies — what a node may say that is not so, or is no protocol at all, as tables of cases.

A whole request that is refused: LIES, each with the status and a word of the sentence that are
told. What is said of one version alone: RECORDS, each with what becomes of it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from tests.sync.vendor.node import URL

MADE_UP = "1-" + "a" * 25 + "a"
DEEP = 100_000
MUCH = 36 * 1024 * 1024  # bytes; a server takes 32 MiB of one request
WHO = {"resourceType": "Patient", "id": "hue.x"}
DCZ = bytes.fromhex("5e2a4d1820000000")  # RFC 9842, 5
DICTIONARY = Path(__file__).parents[3] / "fhir_server/sync/dictionaries/1.zstd-dict"


def part(url: str, value: Any) -> Any:
    return {"url": url, ("valueInteger" if isinstance(value, int) else "valueString"): value}


def chunk(node: str, *entries: Any, **of_push: Any) -> Any:
    """A chunk with something else in its head."""
    told = {"node": node, "incarnation": "lie", "first": 1, "sent": "1767225600999"} | of_push
    parts = [part(name, value) for name, value in told.items() if value is not None]
    meta = {"extension": [{"url": f"{URL}sync-push", "extension": parts}]}
    return {"resourceType": "Bundle", "meta": meta, "type": "history", "entry": list(entries)}


def entry(resource: Any, url: str = "", parents: tuple[str, ...] = (), group: Any = 1) -> Any:
    told = [part("group", group), *(part("parent", one) for one in parents)]
    return {
        "extension": [{"url": f"{URL}sync-version", "extension": told}],
        "request": {"method": "PUT", "url": url or f"{resource['resourceType']}/{resource['id']}"},
        "response": {"status": "200", "lastModified": "2026-03-02T01:14:05.000Z"},
        "resource": resource,
    }


def body(node: str, resource: Any = WHO, **more: Any) -> bytes:
    return json.dumps(chunk(node, entry(resource), **more)).encode()


@dataclass(frozen=True)
class Lie:
    """made: the body, for a node's id. told: a pattern of what is said of it."""

    name: str
    made: Callable[[str], bytes]
    status: int
    told: str
    headers: tuple[tuple[str, str], ...] = ()


def _swapped(old: str, new: str) -> Callable[[str], bytes]:
    """A chunk in which letters are others."""
    return lambda node: body(node).replace(old.encode(), new.encode())


def _bomb(encoding: str) -> Callable[[str], bytes]:
    def made(_: str) -> bytes:
        much = b'{"resourceType":"Bundle"' + b" " * MUCH + b"}"
        if encoding == "gzip":
            return gzip.compress(much)
        if encoding == "deflate":
            return zlib.compress(much)
        if encoding == "zstd":
            return zstandard.compress(much)
        kept = DICTIONARY.read_bytes()
        packed = zstandard.ZstdCompressor(dict_data=zstandard.ZstdCompressionDict(kept))
        return DCZ + hashlib.sha256(kept).digest() + packed.compress(much)

    return made


def _in(encoding: str) -> tuple[tuple[str, str], ...]:
    return (("Content-Encoding", encoding),)


def _deep(node: str) -> bytes:
    inner: Any = {"url": "http://x.example", "valueString": "x"}
    for _ in range(200):
        inner = {"url": "http://x.example", "extension": [inner]}
    return body(node, WHO | {"extension": [inner]})


LIES = (
    Lie("another node's name", lambda _: body("node-ninh-0"), 403, "node"),
    Lie("no name", lambda n: body(n).replace(b'"node"', b'"mode"'), 400, "node"),
    Lie("a name with a NUL", lambda _: body("a\0b"), 400, "NUL"),
    Lie("a name of 65 letters", lambda _: body("a" * 65), 400, "node"),
    Lie("an incarnation with a NUL", lambda n: body(n, incarnation="a\0"), 400, "NUL"),
    Lie("an incarnation of 65", lambda n: body(n, incarnation="a" * 65), 400, "incarnation"),
    Lie("a half letter", lambda n: body(n, incarnation="\ud800"), 400, ""),
    Lie("numbers from 0", lambda n: body(n, first=0), 400, "first"),
    Lie("numbers below 0", lambda n: body(n, first=-1), 400, "first"),
    Lie("a number of 30 digits", lambda n: body(n, first=10**30), 400, "first"),
    Lie("a number of 5000 digits", _swapped('"valueInteger": 1', f'"valueInteger": {"9" * 5000}'),
        400, ""),
    Lie("a number past every double", _swapped('"valueInteger": 1', '"valueInteger": 1e999'),
        400, ""),
    Lie("a number that is none", _swapped('"valueInteger": 1', '"valueInteger": NaN'), 400, ""),
    Lie("a clock of 5000 digits", lambda n: body(n, sent="9" * 5000), 400, "sent"),
    Lie("a group past every number", lambda n: json.dumps(
        chunk(n, entry(WHO, group=10**25))).encode(), 400, "group"),
    Lie("no group", lambda n: body(n).replace(b"group", b"grope"), 400, "group"),
    Lie("groups that are no neighbours", lambda n: json.dumps(chunk(
        n, entry(WHO, group=1), entry(WHO | {"id": "hue.y"}, group=2),
        entry(WHO | {"id": "hue.z"}, group=1))).encode(), 400, "Group 1"),
    Lie("a name twice in JSON", _swapped('"type": "history"', '"type":"history","type":"history"'),
        400, "twice|once|more"),
    Lie("what is no JSON", lambda _: b"{", 400, "JSON"),
    Lie("nothing", lambda _: b"", 400, ""),
    Lie("what is no UTF-8", lambda _: b'{"a":"\xff\xfe"}', 400, "UTF-8|JSON"),
    Lie("another coding", lambda n: body(n).decode().encode("utf-16"), 400, "UTF-8|JSON"),
    Lie("a list", lambda _: b"[]", 400, ""),
    Lie("lists in lists", lambda _: b"[" * DEEP, 400, ""),
    Lie("objects in objects", lambda _: b'{"a":' * DEEP, 400, ""),
    Lie("a deep record", _deep, 400, "deep|level"),
    Lie("another resource", lambda _: json.dumps(WHO).encode(), 400, "Bundle"),
    Lie("another kind of Bundle", _swapped('"history"', '"transaction"'), 400, "history"),
    Lie("an entry that is none", lambda n: json.dumps(chunk(n, 5)).encode(), 400, "entry"),
    Lie("entries that are none", lambda n: json.dumps(
        chunk(n) | {"entry": {"0": entry(WHO)}}).encode(), 400, "entry"),
    Lie("too many entries", lambda n: json.dumps(
        chunk(n, *(entry(WHO | {"id": f"x{i}"}, group=i) for i in range(5001)))).encode(),
        400, "5000"),
    Lie("a parent that is no version", lambda n: json.dumps(
        chunk(n, entry(WHO, parents=("1",)))).encode(), 400, "parent|version"),
    Lie("a generation of 5000 digits", lambda n: json.dumps(
        chunk(n, entry(WHO, parents=("9" * 5000 + MADE_UP[1:],)))).encode(), 400, "version"),
    Lie("a past longer than any", lambda n: json.dumps(
        chunk(n, entry(WHO, parents=(f"999999999{MADE_UP[1:]}",)))).encode(), 400, "history"),
    Lie("65 parents", lambda n: json.dumps(chunk(n, entry(WHO, parents=tuple(
        f"{i}{MADE_UP[1:]}" for i in range(1, 66))))).encode(), 400, "64|parents"),
    Lie("a place elsewhere", _swapped("Patient/hue.x", "https://a.example/Patient/x"), 400, "type"),
    Lie("a place above", _swapped("Patient/hue.x", "Patient/../Patient/x"), 400, "type"),
    Lie("no place", _swapped("Patient/hue.x", "Patient"), 400, "type"),
    Lie("a type that is none", _swapped('Patient/hue.x', "Ghost/x"), 400, "Ghost"),
    Lie("another method", _swapped('"PUT"', '"BREW"'), 400, "method"),
    Lie("gzip bomb", _bomb("gzip"), 413, "larger|times", _in("gzip")),
    Lie("zstd bomb", _bomb("zstd"), 413, "larger|times", _in("zstd")),
    Lie("dcz bomb", _bomb("dcz"), 413, "larger|times", _in("dcz")),
    Lie("another dictionary", lambda _: DCZ + bytes(32), 415, "dictionary", _in("dcz")),
    Lie("half of gzip", lambda n: gzip.compress(body(n))[:-20], 400, "gzip", _in("gzip")),
    Lie("half of zstd", lambda n: zstandard.compress(body(n))[:-9], 400, "", _in("zstd")),
    Lie("no gzip", body, 400, "gzip", _in("gzip")),
    Lie("no zstd", body, 400, "zstd", _in("zstd")),
    Lie("dcz without its head", lambda n: zstandard.compress(body(n)), 400, "dcz", _in("dcz")),
    Lie("compressed twice", lambda n: gzip.compress(gzip.compress(body(n))), 415, "",
        _in("gzip, gzip")),
    Lie("compressed somehow", body, 415, "", _in("br")),
    Lie("another format", body, 415, "", (("Content-Type", "text/plain"),)),
)  # fmt: skip


OBSERVED = {"resourceType": "Observation", "id": "hue.x", "status": "final", "code": {"text": "x"}}
UNREADABLE = {
    "a NUL in a text": json.dumps(WHO | {"name": [{"text": "a\0b"}]}),
    "half a letter": json.dumps(WHO | {"name": [{"text": "\ud800"}]}),
    "a number of 5000 digits": json.dumps(OBSERVED | {"valueInteger": 7}).replace("7", "9" * 5000),
    "another id inside": json.dumps(WHO | {"id": "hue.other"}),
    "another type inside": json.dumps(OBSERVED),
    "no type inside": json.dumps({"id": "hue.x"}),
}
RECORDS = {
    "a number past every double": (
        json.dumps(OBSERVED | {"valueQuantity": {"value": 7}}).replace("7", "1e999"), (), "parked"),
    "a facility's own directory": (
        json.dumps({"resourceType": "Organization", "id": "ninh", "name": "Ours"}), (), "refused"),
    "an entry of the audit": (
        json.dumps({"resourceType": "AuditEvent", "id": "hue.x"}), (), "refused"),
    "a rule for everybody": (
        json.dumps({"resourceType": "StructureDefinition", "id": "hue.x"}), (), "refused"),
    "a version of a made up past": (json.dumps(WHO), (MADE_UP,), "parked"),
}  # fmt: skip


def outcomes(answer: Any) -> list[str]:
    """What became of each number of an answer."""
    (said,) = re.findall(r'"said","valueString":"(.*?[^\\\\])"', answer)
    told = json.loads(json.loads(f'"{said}"'))["receipts"]
    return [one.split()[1] for one in told.split(",")]
