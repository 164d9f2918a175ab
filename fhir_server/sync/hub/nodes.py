"""nodes — what a hub knows of each of its nodes: when it was heard, and how far it is.

https://hl7.org/fhir/R4/parameters.html

Read from the tables, so that a command beside a server tells the same as the server.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import orjson

from fhir_server.foundation.outcome import Forbidden
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.store.contract import Unit
from fhir_server.store.contract.side import (
    CONFLICT,
    HELD,
    LIFE,
    STATE,
    LifeRow,
    Put,
    SideTables,
    StateRow,
)
from fhir_server.sync.words import Page

NODE = "node"  # the role
PULL = "pull "  # and the node: the row that tells of its last pull
DOUBT = "doubt "  # and the node: of a receipt it showed, by a key that is not here
READ = 1000  # rows of one look


def demand_node(circumstances: Circumstances, operation: str) -> None:
    """Raises Forbidden for who is no node."""
    caller = circumstances.caller
    if NODE not in caller.roles or not caller.facility:
        raise Forbidden(
            f"`${operation}` is for nodes: clients with the role `node`, registered for a"
            " facility.",
            vietnamese=f"`${operation}` chỉ dành cho nút đồng bộ: phần mềm có vai trò `node`, đăng"
            " ký cho một cơ sở.",
        )


@dataclass(frozen=True, slots=True)
class Known:
    """A node. Times are in milliseconds since 1970 UTC, 0: never.

    pushed, pulled: when it was heard last. reached: how many versions of its present life have
    come. waiting: how many it has still to send, as it said in its last pull; None: it did not.
    behind: whether there was more for it then. entering: whether everything, or a record, was
    being sent whole. offset: milliseconds its clock is ahead. held: versions kept apart.
    lives: of its disk. alarm: since when two disks have been speaking under its name. doubt: when
    it showed a receipt by a key that is not here: it is forged, or this database was set back.
    """

    node: str
    pushed: int
    pulled: int
    reached: int
    waiting: int | None
    behind: bool
    entering: bool
    offset: int
    held: int
    lives: int
    alarm: int
    doubt: int

    @property
    def heard(self) -> int:
        return max(self.pushed, self.pulled)


async def pulled(server: Server, node: str, page: Page, waiting: int | None) -> None:
    """Keep that a node has asked, and how far it is."""
    told = {
        "at": time.time_ns() // 1_000_000,
        "behind": page.more,
        "entering": page.entering,
        "waiting": waiting,
    }
    row = StateRow(PULL + node, orjson.dumps(told).decode())
    await server.store.commit(Unit((), side=(Put(STATE, (row,)),)))


async def known(side: SideTables) -> list[Known]:
    """All nodes that were ever heard, by name."""
    lives: dict[str, list[LifeRow]] = {}
    rows = await _all_lives(side)
    for node, of_node in groupby(rows, key=lambda row: row.node):
        lives[node] = list(of_node)
    pulls = await _rows(side, PULL)
    doubts = await _rows(side, DOUBT)
    return [
        _known(
            node,
            lives.get(node, []),
            pulls.get(node, {}),
            doubts.get(node, {}),
            await side.count(HELD, (node,), BY),
        )
        for node in sorted({*lives, *pulls})
    ]


BY = "by_node"


def _known(
    node: str, lives: list[LifeRow], pull: Mapping[str, Any], doubt: Mapping[str, Any], held: int
) -> Known:
    facts = [orjson.loads(life.facts) for life in lives]
    of_now = max(lives, key=lambda life: not life.retired, default=None)
    newest: Mapping[str, Any] = max(facts, key=lambda one: one.get("at", 0), default={})
    return Known(
        node=node,
        pushed=newest.get("at", 0),
        pulled=pull.get("at", 0),
        reached=of_now.reached if of_now else 0,
        waiting=pull.get("waiting"),
        behind=bool(pull.get("behind")),
        entering=bool(pull.get("entering")),
        offset=newest.get("offset", 0),
        held=held,
        lives=len(lives),
        alarm=max((one.get("alarm", 0) for one in facts), default=0),
        doubt=doubt.get("at", 0),
    )


async def conflicts(side: SideTables) -> int:
    """How many resources have several heads."""
    return await side.count(CONFLICT)


async def _all_lives(side: SideTables) -> list[LifeRow]:
    found: list[LifeRow] = []
    while True:
        beyond = LIFE.place(found[-1]) if found else None
        rows = await side.range(LIFE, beyond=beyond, limit=READ)
        found += rows
        if len(rows) < READ:
            return found


async def _rows(side: SideTables, what: str) -> dict[str, Mapping[str, Any]]:
    """By node."""
    found: dict[str, Mapping[str, Any]] = {}
    beyond: tuple[str, ...] = (what,)
    while True:
        rows = await side.range(STATE, beyond=beyond, limit=READ)
        for row in rows:
            if row.name.startswith(what):
                found[row.name.removeprefix(what)] = orjson.loads(row.value)
        if len(rows) < READ or not rows[-1].name.startswith(what):
            return found
        beyond = (rows[-1].name,)
