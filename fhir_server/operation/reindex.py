"""reindex — the index of new search parameters is filled from what is stored already.

https://hl7.org/fhir/R4/async.html
https://hl7.org/fhir/R4/searchparameter.html

It is asked for by POST and answered at once; the place that Content-Location names tells how far it
is, and DELETE there breaks it off. The work itself is interaction/reindexing.py's.
"""

from __future__ import annotations

import time

from fhir_server.foundation.outcome import Issue, NotFound, Unprocessable, operation_outcome
from fhir_server.foundation.resource import Key
from fhir_server.foundation.wire import render
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.operation.call import Call, Given, Operation
from fhir_server.operation.parameters import parameters
from fhir_server.search import custom
from fhir_server.search.live import AGAIN, progress, seconds_left
from fhir_server.store.contract import Restriction
from fhir_server.store.contract.parameter import BUILDING, READY, Declared, Parameterised

STATUS = "reindex-status"
BEGUN = (
    "The index of {count} search parameter{s} is being filled. `{place}` tells how far it is.",
    "Đang lập chỉ mục cho {count} tham số tìm kiếm. `{place}` cho biết tiến độ.",
)
DONE = (
    "The index of every search parameter is filled. `{place}` tells of each.",
    "Mọi tham số tìm kiếm đã được lập chỉ mục. `{place}` cho biết từng tham số.",
)
BROKEN_OFF = (
    "It is broken off. What is filled is kept, and `$reindex` goes on from there.",
    "Đã dừng. Phần đã lập chỉ mục được giữ lại; `$reindex` sẽ làm tiếp từ đó.",
)


async def reindex(server: Server, call: Call, circumstances: Circumstances) -> Answer:
    """Raises NotFound, Unprocessable where the definition declares no parameter here."""
    table = await server.store.parameters.all()
    waiting = [
        row
        for row in await meant(server, call, table, circumstances.reach("read"))
        if row.state == BUILDING
    ]
    if any(not row.began for row in waiting):
        await ask(server, [row for row in waiting if not row.began])
    place = status_place(call, circumstances)
    if server.following.declaring is not None:
        await server.following.declaring.refresh()
    english, vietnamese = BEGUN if waiting else DONE
    told = {"count": len(waiting), "s": "s" * (len(waiting) != 1), "place": place}
    issue = Issue(
        "information",
        "informational",
        english.format(**told),
        vietnamese=vietnamese.format(**told),
    )
    body = render(operation_outcome([issue], circumstances.language))
    return Answer(status=202, body=body, headers={"Content-Location": place})


async def ask(server: Server, rows: list[Declared]) -> None:
    census = await server.store.census()
    began = time.time_ns() // 1_000_000
    for base in {row.base for row in rows}:
        total = sum(census.get(type, 0) for type in custom.types_of(server.parameters, base))
        numbers = [row.number for row in rows if row.base == base]
        await server.store.parameters.ask(numbers, began=began, total=total)


async def meant(
    server: Server, call: Call, table: Parameterised, restriction: Restriction
) -> list[Declared]:
    """The parameters of the definition, or all. Raises NotFound, Unprocessable."""
    alive = [row for row in table.rows if row.state in (BUILDING, READY)]
    if call.id is None:
        return alive
    source = f"SearchParameter/{call.id}"
    found = [row for row in alive if row.source == source]
    if not found:
        key = Key("SearchParameter", call.id)
        stored = (await server.store.newest((key,), restriction)).get(key)
        if stored is None or stored.deleted:
            raise NotFound(f"`{source}` is not here.")
        raise Unprocessable(
            f"`{source}` declares no search parameter here: its status is not `active`, it is R4's"
            " own, or another definition has its code."
        )
    return found


async def status(server: Server, call: Call, circumstances: Circumstances) -> Answer:
    """How far it is: 202 while it goes on, 200 when it is done. By DELETE it is broken off."""
    table = await server.store.parameters.all()
    rows = await meant(server, call, table, circumstances.reach("read"))
    running = [row for row in rows if row.state == BUILDING and row.began]
    if call.method == "DELETE":
        await server.store.parameters.cancel([row.number for row in running])
        english, vietnamese = BROKEN_OFF
        issue = Issue("information", "informational", english, vietnamese=vietnamese)
        return Answer(202, render(operation_outcome([issue], circumstances.language)))
    if not running and any(row.state == BUILDING for row in rows):
        place = status_place(call, circumstances).removesuffix("-status")
        raise NotFound(f"Nothing is being indexed here. `POST {place}` begins it.")
    body = render(parameters([told(row) for row in rows]))
    if not running:
        return Answer(200, body)
    headers = {
        "X-Progress": "; ".join(f"{row.code}: {progress(row)}" for row in running)[:100],
        "Retry-After": str(AGAIN),
    }
    return Answer(202, body, headers=headers)


def told(row: Declared) -> Given:
    """A parameter as the status tells of it."""
    parts = [
        Given("code", row.code, "code"),
        Given("base", row.base, "code"),
        Given("definition", row.source, "string"),
        Given("state", state(row), "code"),
        Given("done", row.done, "integer"),
        Given("total", max(row.total, row.done), "integer"),
    ]
    if row.refused:
        parts.append(Given("refused", row.refused, "integer"))
    left = seconds_left(row)
    if row.began and left is not None:
        parts.append(Given("resourcesPerSecond", round(row.rate), "integer"))
        parts.append(Given("secondsLeft", left, "integer"))
    return Given("parameter", parts=tuple(parts))


def state(row: Declared) -> str:
    if row.state == READY:
        return "ready"
    return "indexing" if row.began else "waiting"


def status_place(call: Call, circumstances: Circumstances) -> str:
    within = f"SearchParameter/{call.id}/" if call.id is not None else ""
    return f"{circumstances.base}/{within}${STATUS}"


OPERATIONS = (
    Operation(
        name="reindex",
        definition="https://fhir-server.example/OperationDefinition/reindex",
        levels=frozenset(["system", "instance"]),
        types=frozenset(["SearchParameter"]),
        parameters=frozenset(),
        perform=reindex,
        get=False,
        ability="reindex",
    ),
    Operation(
        name=STATUS,
        definition="https://fhir-server.example/OperationDefinition/reindex-status",
        levels=frozenset(["system", "instance"]),
        types=frozenset(["SearchParameter"]),
        parameters=frozenset(),
        perform=status,
        delete=True,
        ability="reindex",
    ),
)
