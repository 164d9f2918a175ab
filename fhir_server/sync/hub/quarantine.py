"""quarantine — versions that a hub keeps apart: why, whose they are, and what they wait for.

https://hl7.org/fhir/R4/operationoutcome.html

They are not in the store and nobody reads them: they are not valid, or refer to what is not there.
What waits is looked at again when that is stored, whoever brings it, with the rights that the node
has then.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from fhir_server.foundation import wire
from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Key, Resource
from fhir_server.security.caller import Caller
from fhir_server.security.scope import parse
from fhir_server.store.contract import parse_version_id, rid, version_id
from fhir_server.store.contract.side import (
    HELD,
    WAITING,
    Drop,
    HeldRow,
    Put,
    Side,
    Values,
    WaitingRow,
)
from fhir_server.sync.lineage import Parents, Rev
from fhir_server.sync.words import Pushed
from fhir_server.sync.words.entry import stub, stub_text

MOST = 20_000  # versions of one node that are kept apart
MOST_OCTETS = 256 * 1024 * 1024  # bytes of these
MEASURED = ("parents", "body", "issues", "waits")  # what of a row is long
MOST_ISSUES = 50  # of one version that are kept
MOST_WAITS = 20  # resources that one version waits for
MOST_TEXT = 1000  # characters of what an issue says
TOLD = ("severity", "code", "diagnostics", "expression", "rule", "vietnamese", "profile")
WHO = ("client", "user", "facility", "purpose", "patient", "basis", "reason", "token")


@dataclass(frozen=True, slots=True)
class Held:
    """A version that is kept apart. waits: for what; empty: it is to be mended. offset:
    milliseconds the node's clock was ahead when it was sent."""

    pushed: Pushed
    node: str
    incarnation: str
    caller: Caller
    issues: tuple[Issue, ...]
    waits: tuple[Key, ...] = ()
    offset: int = 0


def version_key(key: Key, rev: Rev) -> tuple[int, int, bytes]:
    """By which a version is found in the tables."""
    return (rid(key), *parsed(rev))


@lru_cache(maxsize=1 << 12)
def parsed(rev: Rev) -> tuple[int, bytes]:
    """The generation and digest of a version."""
    found = parse_version_id(rev)
    assert found is not None, "a version id is made by this server, or was checked"
    return found


def row_of(held: Held) -> HeldRow:
    one = held.pushed
    number, generation, digest = version_key(one.key, one.rev)
    facts = {
        "for": [str(key) for key in held.waits],
        "method": one.method,
        "recorded": one.recorded,
        "offset": held.offset,
        "caller": _told_of(held.caller),
    }
    if one.stubs:
        facts["stubs"] = [stub_text(stub) for stub in one.stubs]
    return HeldRow(
        rid=number,
        generation=generation,
        digest=digest,
        type=one.key.type,
        id=one.key.id,
        parents=orjson.dumps(one.parents),
        body=b"" if one.body is None else wire.render(one.body),
        issues=written(held.issues),
        waits=orjson.dumps(facts),
        node=held.node,
        incarnation=held.incarnation,
        number=one.number,
        at=time.time_ns() // 1_000_000,
    )


def octets(row: HeldRow) -> int:
    return sum(len(getattr(row, name)) for name in MEASURED)


def of_row(row: HeldRow) -> Held:
    facts = orjson.loads(row.waits)
    body: Resource | None = wire.parse(row.body) if row.body else None
    pushed = Pushed(
        number=row.number,
        group=row.number,
        key=Key(row.type, row.id),
        rev=version_id(row.generation, row.digest),
        parents=parents_of(row),
        method=facts["method"],
        recorded=facts["recorded"],
        body=body,
        stubs=tuple(stub(text, "HELD") for text in facts.get("stubs", ())),
    )
    waits = waits_of(row)
    caller = _caller(facts["caller"])
    issues, offset = read(row.issues), facts.get("offset", 0)
    return Held(pushed, row.node, row.incarnation, caller, issues, waits, offset)


def waits_of(row: HeldRow) -> tuple[Key, ...]:
    return tuple(Key(*text.split("/", 1)) for text in orjson.loads(row.waits)["for"])


def parents_of(row: HeldRow) -> Parents:
    return tuple(orjson.loads(row.parents))


def kept(held: Held, before: HeldRow | None) -> list[Side]:
    """Keep it apart; before: what was kept of it."""
    row = row_of(held)
    gone = [] if before is None else [Drop(WAITING, tuple(waiting_keys(before)))]
    waiting = tuple(WaitingRow(rid(key), *row[:3]) for key in held.waits[:MOST_WAITS])
    put: list[Side] = [*gone, Put(HELD, (row,))]
    return [*put, Put(WAITING, waiting)] if waiting else put


def dropped(row: HeldRow) -> list[Side]:
    """It is stored, or mended."""
    waiting = tuple(waiting_keys(row))
    gone: list[Side] = [Drop(HELD, (tuple(row[:3]),))]
    return [*gone, Drop(WAITING, waiting)] if waiting else gone


def waiting_keys(row: HeldRow) -> Iterable[Values]:
    for text in orjson.loads(row.waits)["for"][:MOST_WAITS]:
        yield (rid(Key(*text.split("/", 1))), *row[:3])


# --- issues --------------------------------------------------------------------------------------


def written(issues: Sequence[Issue]) -> bytes:
    return orjson.dumps([said(issue) for issue in issues[:MOST_ISSUES]])


def said(issue: Issue) -> dict[str, str]:
    told = ((name, getattr(issue, name)) for name in TOLD)
    return {name: value[:MOST_TEXT] for name, value in told if value is not None}


def read(body: bytes | str) -> tuple[Issue, ...]:
    return tuple(issue(each) for each in orjson.loads(body))


def issue(told: dict[str, Any]) -> Issue:
    return Issue(**told)


# --- whose it is ---------------------------------------------------------------------------------


def _told_of(caller: Caller) -> dict[str, Any]:
    told: dict[str, Any] = {name: getattr(caller, name) for name in WHO}
    scopes = None if caller.scopes is None else " ".join(map(str, caller.scopes))
    return {**told, "roles": sorted(caller.roles), "scopes": scopes}


def _caller(told: dict[str, Any]) -> Caller:
    scopes = None if told["scopes"] is None else parse(told["scopes"])
    named = {name: told[name] for name in WHO}
    return Caller(**named, roles=frozenset(told["roles"]), scopes=scopes)
