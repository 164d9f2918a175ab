"""history — every version of a resource, of a type, or of all, newest first.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import time
from typing import NamedTuple

from fhir_server.foundation import bundle
from fhir_server.foundation.bundle import Entry, instant, status_line
from fhir_server.foundation.outcome import Invalid, Issue, NotFound, NotSupported, operation_outcome
from fhir_server.foundation.primitive import interval
from fhir_server.foundation.resource import Key
from fhir_server.foundation.wire import render
from fhir_server.interaction import auditing, feeding
from fhir_server.interaction.context import Answer, Circumstances, Pairs, Server
from fhir_server.interaction.paging import STRANGE, question_of, url
from fhir_server.interaction.reaching import those_within
from fhir_server.interaction.read import in_shape
from fhir_server.search.page import seal, unseal
from fhir_server.store.contract import History, Position, Stored
from fhir_server.store.contract.version import LEFT

PRESENTATION = ("_format", "_pretty", "_summary", "_elements")
LOOKS = 50  # at the store for one page: what was another's once is passed over
SORTS = {"-_lastUpdated": False, "_lastUpdated": True}  # -> ascending


@dataclass(frozen=True, slots=True)
class Ask:
    """type and id: an instance; type alone: a type; neither: the whole system."""

    type: str | None
    id: str | None
    pairs: Pairs = ()


async def history(server: Server, ask: Ask, circumstances: Circumstances) -> Answer:
    """Raises NotFound where an instance never existed; Invalid for a malformed parameter."""
    auditing.refuse_history(ask.type)
    path = "/".join(part for part in (ask.type, ask.id, "_history") if part)
    walk = feeding.walk(server, circumstances, path, ask.pairs)
    if walk is not None:
        return await _feed(server, ask, circumstances, walk)
    asked = History(
        key=Key(ask.type, ask.id) if ask.type and ask.id else None,
        types=(ask.type,) if ask.type else (),
        restriction=circumstances.reach(by_name(ask)),
        limit=server.limits.page_size,
    )
    asked, used, ignored, cursor = understood(server, asked, ask.pairs, strict=circumstances.strict)
    kept = [pair for pair in used if pair[0] != "_cursor"]
    question = question_of(path, kept)
    if cursor is not None:
        asked = resumed(server, circumstances, asked, question, cursor)
    page = await _page(server, circumstances, asked, by_name(ask))
    if asked.key and not page.rows and not await _existed(server, asked):
        raise NotFound(f"`{asked.key}` is not here and never was.")
    total = await _total(server, asked, page) if cursor is None else None
    links = [("self", url(circumstances, path, used)), ("first", url(circumstances, path, kept))]
    if page.more:
        onward = {"q": question, "p": list(page.ended), "b": page.bound}
        sealed = seal(server.secret, onward, to=circumstances.caller.identity)
        links.append(("next", url(circumstances, path, [*kept, ("_cursor", sealed)])))
    entries = [_entry(server, circumstances, stored) for stored in page.rows]
    circumstances.tell(*page.rows)
    if ignored:
        entries.append(
            Entry(resource=render(operation_outcome(ignored)), search={"mode": "outcome"})
        )
    now = instant(int(time() * 1000))
    body = bundle.rendered("history", entries, timestamp=now, total=total, links=links)
    return Answer(status=200, body=body)


async def _feed(
    server: Server, ask: Ask, circumstances: Circumstances, walk: feeding.Walk
) -> Answer:
    """Oldest first. There is always a next page: what is written later stands in it."""
    found = await feeding.fed(server, circumstances, walk, by_name(ask))
    kept = [pair for pair in walk.used if pair[0] != "_cursor"]
    links = [
        ("self", url(circumstances, walk.path, walk.used)),
        ("next", url(circumstances, walk.path, [*kept, ("_cursor", found.cursor)])),
    ]
    entries = [_entry(server, circumstances, stored) for stored in found.rows]
    circumstances.tell(*found.rows)
    now = instant(int(time() * 1000))
    return Answer(200, bundle.rendered("history", entries, timestamp=now, links=links))


def by_name(ask: Ask) -> str:
    """The interaction, as R4 names it."""
    return "history-instance" if ask.id else "history-type" if ask.type else "history-system"


class Seen(NamedTuple):
    """A page as its caller sees it. ended: where the next one goes on."""

    rows: list[Stored]
    more: bool
    bound: str
    ended: Position


async def _page(
    server: Server, circumstances: Circumstances, asked: History, interaction: str
) -> Seen:
    """Of what is within reach now the versions that were so then; as many as if there were no
    others, since how many a page holds would tell of them."""
    rows: list[Stored] = []
    at, bound, more = asked.after or Position(0, 0), asked.bound or "", asked.limit > 0
    for _ in range(LOOKS):
        if not more or len(rows) > asked.limit:
            break
        page = await server.store.history(asked)
        rows += await those_within(server, circumstances, interaction, page.rows)
        more, bound = page.more, page.bound
        if page.rows:
            at = page.rows[-1].position
            asked = replace(asked, after=at, bound=bound)
        if asked.restriction.is_free:
            break
    if len(rows) > asked.limit:
        rows, more = rows[: asked.limit], True
        at = rows[-1].position
    return Seen(rows, more, bound, at)


async def _total(server: Server, asked: History, page: Seen) -> int | None:
    """Told where it costs little: a page that holds everything, one resource, or when asked. Not
    where some of what is counted may have been another's once."""
    if not page.more and asked.limit:
        return len(page.rows)
    if not asked.restriction.is_free:
        return None
    return await server.store.count_history(asked) if asked.key or not asked.limit else None


async def _existed(server: Server, asked: History) -> bool:
    assert asked.key is not None
    return bool(await server.store.newest((asked.key,), asked.restriction))


def resumed(
    server: Server, circumstances: Circumstances, asked: History, question: str, cursor: str
) -> History:
    held = unseal(server.secret, cursor, to=circumstances.caller.identity)
    if held.get("q") != question:
        raise Invalid(
            "This `_cursor` belongs to another history. Follow the `next` link as it was given.",
            expression="http._cursor",
        )
    match held:
        case {"p": [int(seq), int(num)], "b": str(bound)}:
            return replace(asked, after=Position(seq, num), bound=bound)
    raise Invalid(STRANGE, expression="http._cursor")


# --- parameters ----------------------------------------------------------------------------------


def understood(
    server: Server, asked: History, pairs: Pairs, *, strict: bool
) -> tuple[History, list[tuple[str, str]], list[Issue], str | None]:
    """What was asked, the parameters it was understood from, what was left out, the cursor."""
    used: list[tuple[str, str]] = []
    ignored: list[Issue] = []
    cursor: str | None = None
    for name, value in pairs:
        if name in {told for told, _ in used}:
            raise Invalid(f"`{name}` may be given once in a history.", expression=f"http.{name}")
        if name == "_cursor":
            cursor = value
        elif name in READERS:
            asked = READERS[name](server, asked, value)
        elif name not in PRESENTATION:
            refusal = unknown(name)
            if strict:
                raise refusal
            ignored.append(Issue("warning", refusal.code, str(refusal), f"http.{name}"))
            continue
        used.append((name, value))
    return asked, used, ignored, cursor


def unknown(name: str) -> NotSupported:
    known = ", ".join(f"`{name}`" for name in READERS)
    return NotSupported(
        f"`{name}` is not a parameter of history here. {known} are.", expression=f"http.{name}"
    )


def _count(server: Server, asked: History, value: str) -> History:
    if not value.isascii() or not value.isdecimal() or len(value) > 9:
        raise Invalid(f"`_count={value[:40]}` is not a number.", expression="http._count")
    return replace(asked, limit=min(int(value), server.limits.max_page_size))


def _since(server: Server, asked: History, value: str) -> History:
    return replace(asked, since=_moment(server, "_since", value)[0])


def _type(server: Server, asked: History, value: str) -> History:
    if asked.key or asked.types:
        raise NotSupported(
            "`_type` is for the history of everything; this one is of a type or a resource.",
            expression="http._type",
        )
    return replace(asked, types=feeding.types_of(server, value))


def _at(server: Server, asked: History, value: str) -> History:
    return replace(asked, at=_moment(server, "_at", value))


def _sort(_server: Server, asked: History, value: str) -> History:
    if value not in SORTS:
        raise Invalid(
            f"`_sort={value[:40]}` is not an order of history: `_lastUpdated` (oldest first) and "
            "`-_lastUpdated` (newest first, the default) are.",
            expression="http._sort",
        )
    return replace(asked, ascending=SORTS[value])


def _moment(server: Server, name: str, value: str) -> tuple[int, int]:
    try:
        return interval(value, server.indexer.site.zone_minutes)
    except ValueError as error:
        raise Invalid(
            f"`{name}={value[:40]}` is not a date or instant such as `2026-11-22T07:00:00+07:00`.",
            expression=f"http.{name}",
        ) from error


READERS: dict[str, Callable[[Server, History, str], History]] = {
    "_count": _count,
    "_since": _since,
    "_type": _type,
    "_at": _at,
    "_sort": _sort,
}


# --- entries -------------------------------------------------------------------------------------


def _entry(server: Server, circumstances: Circumstances, stored: Stored) -> Entry:
    """R4 http#history: what was asked of the server, and what became of it."""
    url = stored.key.type if stored.method == "POST" else str(stored.key)
    created = stored.method == "POST" or stored.generation == 1
    status = 204 if stored.deleted else 201 if created else 200
    method = stored.method
    if method == LEFT:  # of a node: gone from here, and deleted nowhere
        method, status = "DELETE", 410
    return Entry(
        full_url=f"{circumstances.base}/{stored.key}",
        resource=None
        if stored.deleted
        else in_shape(server, circumstances, stored, circumstances.shape),
        request={"method": method, "url": url},
        response={
            "status": status_line(status),
            "etag": f'W/"{stored.version_id}"',
            "lastModified": instant(stored.updated),
        },
    )
