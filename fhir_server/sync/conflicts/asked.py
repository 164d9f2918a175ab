"""asked — what the commands ask of conflicts, also of a server that has the database for itself.

https://hl7.org/fhir/R4/http.html#concurrency

A SQLite database has one writer. So a command that meets a server beside it leaves its question in
a table, and the server answers there, by what the command's user may: all. A question that is asked
again is answered again; a choice that is made again is the version it made.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import orjson

from fhir_server.foundation.outcome import FhirError, Invalid
from fhir_server.foundation.resource import Key
from fhir_server.foundation.wire import parse
from fhir_server.interaction import search
from fhir_server.interaction.auditing import of_file, written_down
from fhir_server.interaction.context import BY_OPERATOR, Circumstances, Server
from fhir_server.search.owner import CONFLICT, TASKS
from fhir_server.store.contract import Stale, Unit
from fhir_server.store.contract.side import STATE, Drop, Expect, Put, StateRow
from fhir_server.sync.conflicts.conflict import Conflict, Differing, differing, lineage_of
from fhir_server.sync.conflicts.operation import seen
from fhir_server.sync.conflicts.resolving import Choice, resolved
from fhir_server.sync.conflicts.saying import place_said, value_said
from fhir_server.sync.conflicts.task import OPEN, described, id_of

log = logging.getLogger(__name__)

QUESTION = "asked of conflicts "  # and a name: the row of a question
ANSWER = "told of conflicts "  # and the name: the row of its answer
LOOK = 1.0  # seconds between two looks for questions
AT_ONCE = 5  # questions of one look
STALE = 600_000  # milliseconds after which nobody comes for an answer any more
DONE = 200  # what the audit says of what was not refused
Told = Mapping[str, Any]


class Said(NamedTuple):
    """lines: the answer. found: there is a conflict. refused: why there is no answer."""

    lines: tuple[str, ...] = ()
    found: bool = False
    refused: str = ""


async def answered(server: Server, by: Circumstances, asked: Told) -> Said:
    """The answer to `list`, `show` or `resolve`, whose parameters stand beside it. Raises what the
    interactions do."""
    return await ANSWERS[asked["what"]](server, by, asked)


async def _list(server: Server, by: Circumstances, asked: Told) -> Said:
    pairs = [("code", f"{TASKS}|{CONFLICT}"), ("status", OPEN), ("_count", str(asked["most"]))]
    answer = await search.search(server, search.Ask(("Task",), pairs), by)
    bundle = parse(answer.body or b"{}")
    tasks = [entry["resource"] for entry in bundle.get("entry", ())]
    lines = [f"{task['focus']['reference']}\n    {task['description']}" for task in tasks]
    return Said(tuple(lines), bool(lines))


async def _show(server: Server, by: Circumstances, asked: Told) -> Said:
    conflict = await seen(server, _key(asked), by)
    return Said() if conflict is None else Said(tuple(_told(server, conflict)), found=True)


def _told(server: Server, conflict: Conflict) -> list[str]:
    found = differing(server.definitions, conflict)
    lines = [*described(conflict, found), ""]
    lines += (
        f"  version {at}: {head.rev}{' (deleted)' if head.resource is None else ''}"
        for at, head in enumerate(conflict.heads, 1)
    )
    lines += (f"  both come from {base.rev}" for base in conflict.bases)
    for place in found:
        lines += ["", *_side_by_side(conflict, place)]
    id = id_of(conflict.key, conflict.revs)
    command = f"fhir-server conflicts resolve {conflict.key} --task {id}"
    lines += ["", "Choose one:"]
    lines += (f"  {command} --choose {head.rev}" for head in conflict.heads)
    return [*lines, "or write it anew:", f"  {command} --file mended.json"]


def _side_by_side(conflict: Conflict, place: Differing) -> list[str]:
    mark = "*" if place.is_apart else " "
    lines = [
        f"{mark} {place.path} ({place_said(place.path)})",
        f"    before: {value_said(place.base)}",
    ]
    for at, (head, value) in enumerate(zip(conflict.heads, place.heads, strict=True), 1):
        said = "(đã xóa)" if head.resource is None else value_said(value)
        lines.append(f"    {at}:      {said}")
    return lines


async def _resolve(server: Server, by: Circumstances, asked: Told) -> Said:
    """Between the versions that the Task names, which are those there are now."""
    key, choose = _key(asked), asked["choose"]
    heads = (await lineage_of(server, key)).heads()
    if id_of(key, heads) != asked["task"]:
        raise Invalid(f"{key} has other versions than those you saw. Look again.")
    if choose and choose not in heads:
        raise Invalid(f"`{choose[:64]}` is none of the versions: {', '.join(heads)}.")
    whole = parse(asked["resource"].encode()) if asked["resource"] else None
    choice = Choice(key, frozenset(heads), choose or None, whole)
    rev = (await resolved(server, choice, by)).version_id or ""
    return Said((f"{key} is now version {rev}.",))


def _key(asked: Told) -> Key:
    return Key(*asked["key"].split("/", 1))


ANSWERS: Mapping[str, Callable[[Server, Circumstances, Told], Awaitable[Said]]] = {
    "list": _list,
    "show": _show,
    "resolve": _resolve,
}


# --- by way of a table ----------------------------------------------------------------------------


def question(name: str, asked: Told, user: str) -> StateRow:
    return StateRow(f"{QUESTION}{name}", orjson.dumps({**asked, "user": user}).decode())


def answer_of(row: StateRow) -> Said:
    told = orjson.loads(row.value)
    return Said(tuple(told["lines"]), told["found"], told["refused"])


async def keep(server: Server) -> None:
    """Answer, until cancelled."""
    while True:
        await asyncio.sleep(LOOK)
        try:
            await look(server)
        except (FhirError, Stale) as error:  # the store is away, or whoever asked has gone
            log.debug("A question of a command was not answered: %s", error)
        except Exception:  # whatever it was, the next look may do better
            log.warning("A question of a command could not be answered.", exc_info=True)


async def look(server: Server) -> int:
    """Answer what is asked; how many there were."""
    rows = await server.store.side.range(STATE, beyond=(QUESTION,), limit=AT_ONCE)
    asked = [row for row in rows if row.name.startswith(QUESTION)]
    for row in asked:
        told = orjson.loads(row.value)
        by = of_file(server, BY_OPERATOR, f"conflicts-{told['what']}", told.get("key", ""))
        by = replace(by, caller=replace(by.caller, user=told["user"]))
        try:
            said = await answered(server, by, told)
        except FhirError as error:
            said = Said(refused=" ".join(issue.diagnostics for issue in error.issues))
        if by.record is not None and not said.refused:
            await written_down(server, by.caller, by.record, DONE)
        name = row.name.removeprefix(QUESTION)
        value = orjson.dumps({**said._asdict(), "at": _now()}).decode()
        put = Put(STATE, (StateRow(f"{ANSWER}{name}", value),))
        gone = Drop(STATE, ((row.name,), *await _forgotten(server)))
        expects = (Expect(STATE, (row.name,), row),)
        await server.store.commit(Unit((), side=(put, gone), expects=expects))
    return len(asked)


async def _forgotten(server: Server) -> list[tuple[str]]:
    """Answers that nobody came for."""
    rows = await server.store.side.range(STATE, beyond=(ANSWER,), limit=AT_ONCE)
    return [
        (row.name,)
        for row in rows
        if row.name.startswith(ANSWER) and orjson.loads(row.value)["at"] < _now() - STALE
    ]


def _now() -> int:
    return time.time_ns() // 1_000_000
