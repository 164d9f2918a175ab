"""feeding — every version from a cursor on, oldest first: the change log, for whoever follows it.

https://hl7.org/fhir/R4/http.html#history

R4 knows a history, newest first, of which `_since` asks by time. Time is no order here: what is
written by several at once is seen in another order than it was begun in. So a follower asks with a
cursor: it meets every version once, those of a resource in the order of its history, and nobody's
clock has a part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fhir_server.foundation.outcome import Gone, Invalid, NotSupported
from fhir_server.interaction import auditing
from fhir_server.interaction.context import GENERAL, Circumstances, Pairs, Server
from fhir_server.interaction.paging import STRANGE, question_of
from fhir_server.interaction.reaching import note_owners, those_within
from fhir_server.search.page import seal, unseal
from fhir_server.store.contract import EpochEnded, Stored

LOOKS = 50  # at the store for one page: what was another's once is passed over
PARAMETERS = ("_cursor", "_count", "_type")
INSTANCE = (
    "A feed is of a type or of everything: `GET [base]/[type]/_history?_cursor=` or "
    "`GET [base]/_history?_cursor=`. Of one resource ask for the history, without `_cursor`."
)
ENDED = (
    "This `_cursor` is of a time before the server was restored from a backup: what it had read "
    "since may not be here. Begin again with `{again}`, and keep of what you have only what the "
    "feed, read to its end, has told again.",
    "`_cursor` này thuộc về thời gian trước khi máy chủ được khôi phục từ bản sao lưu: những gì đã"
    " đọc sau đó có thể không còn. Hãy bắt đầu lại với `{again}`, và chỉ giữ những gì được kể lại"
    " khi đọc đến cuối.",
)


@dataclass(frozen=True, slots=True)
class Walk:
    """Where a follower stands. path, used: what was asked; after: the store's cursor, None: at the
    beginning."""

    path: str
    types: tuple[str, ...]
    after: str | None
    limit: int
    used: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Fed:
    """What is new, and the cursor to go on with."""

    rows: Sequence[Stored]
    cursor: str


class Seen(NamedTuple):
    """A page as its caller sees it, and where the store goes on."""

    rows: Sequence[Stored]
    after: str


def walk(server: Server, circumstances: Circumstances, path: str, pairs: Pairs) -> Walk | None:
    """What a follower asks; None: it is a history that is asked for, or a page of one.

    Raises Invalid, NotSupported."""
    cursor = dict(pairs).get("_cursor")
    if cursor is None:
        return None
    held = unsealed(server, circumstances, cursor) if cursor else {"f": None}
    if "f" not in held:
        return None
    refuse_strange(pairs, circumstances)
    if path.count("/") > 1:
        raise NotSupported(INSTANCE, expression="http._cursor")
    asked = dict(pairs)
    types = _types(server, path, asked.get("_type"))
    found = Walk(
        path=path,
        types=types,
        after=None,
        limit=_count(server, asked.get("_count")),
        used=tuple(pair for pair in pairs if pair[0] in PARAMETERS),
    )
    if not cursor:
        return found
    match held:
        case {"q": question, "f": str(after)} if question == _question(found):
            return replace(found, after=after)
        case {"q": _, "f": str()}:
            raise Invalid(
                "This `_cursor` belongs to another feed. Follow the `next` link as it was given.",
                expression="http._cursor",
            )
    raise Invalid(STRANGE, expression="http._cursor")


async def fed(server: Server, circumstances: Circumstances, asked: Walk, interaction: str) -> Fed:
    """The next page; where there is nothing new, it waits as long as was asked.

    Raises Gone where the cursor is of a history that ended with a restore."""
    page = await _page(server, circumstances, asked, interaction)

    async def look() -> bool:
        nonlocal page
        page = await _page(server, circumstances, replace(asked, after=page.after), interaction)
        return bool(page.rows)

    if not page.rows and circumstances.wait > 0:
        await server.waiting.until(look, circumstances.wait)
    rows = await _with_owners(server, circumstances, page.rows, interaction)
    return Fed(rows, _sealed(server, circumstances, asked, page.after))


async def _page(
    server: Server, circumstances: Circumstances, asked: Walk, interaction: str
) -> Seen:
    """Of what is within reach now the versions that were so then; as many as if there were no
    others, since how many a page holds would tell of them."""
    rows: list[Stored] = []
    after = asked.after
    reach = circumstances.reach(interaction)
    for _ in range(LOOKS):
        wanted = asked.limit - len(rows)
        try:
            page = await server.store.feed(
                after, types=asked.types, restriction=reach, limit=wanted
            )
        except EpochEnded:
            raise _ended(circumstances, asked) from None
        rows += await those_within(server, circumstances, interaction, page.rows)
        after = page.next
        if len(page.rows) < wanted or len(rows) == asked.limit:
            break
    assert after is not None
    return Seen(rows, after)


async def _with_owners(
    server: Server, circumstances: Circumstances, rows: Sequence[Stored], interaction: str
) -> Sequence[Stored]:
    """For the audit: whose records they are now, which a deletion does not say itself."""
    if circumstances.record is None or not rows:
        return rows
    reach = circumstances.reach(interaction)
    newest = await server.store.newest(tuple({row.key for row in rows}), reach)
    found = [
        replace(row, owner=newest[row.key].owner) if row.key in newest else row for row in rows
    ]
    note_owners(server, circumstances, found)
    return found


def _ended(circumstances: Circumstances, asked: Walk) -> Gone:
    again = f"{circumstances.base}/{asked.path}?_cursor="
    english, vietnamese = ENDED
    return Gone(
        english.format(again=again),
        expression="http._cursor",
        vietnamese=vietnamese.format(again=again),
    )


# --- cursors --------------------------------------------------------------------------------------


def lasting(server: Server) -> bytes:
    return server.lasting_secret or server.secret


def unsealed(server: Server, circumstances: Circumstances, cursor: str) -> dict[str, object]:
    """A follower's cursor outlives the program that gave it; a page's does not."""
    to = circumstances.caller.identity
    try:
        return unseal(lasting(server), cursor, to=to)
    except Invalid:
        return unseal(server.secret, cursor, to=to)


def _sealed(server: Server, circumstances: Circumstances, asked: Walk, after: str) -> str:
    payload = {"q": _question(asked), "f": after}
    return seal(lasting(server), payload, to=circumstances.caller.identity)


def _question(asked: Walk) -> str:
    """What a cursor is bound to. How many a page holds may change on the way."""
    return question_of(asked.path, [("_type", type) for type in asked.types])


# --- parameters -----------------------------------------------------------------------------------


def refuse_strange(pairs: Pairs, circumstances: Circumstances) -> None:
    names = [name for name, _ in pairs]
    for name in names:
        if name not in PARAMETERS and name not in GENERAL and circumstances.strict:
            known = ", ".join(f"`{one}`" for one in PARAMETERS)
            raise NotSupported(
                f"`{name[:64]}` is not a parameter of a feed, which `_cursor` asks for. {known} "
                "are.",
                expression=f"http.{name[:64]}",
            )
        if names.count(name) > 1:
            raise Invalid(f"`{name[:64]}` may be given once in a feed.", expression=f"http.{name}")


def _count(server: Server, value: str | None) -> int:
    if value is None:
        return server.limits.page_size
    if not value.isascii() or not value.isdecimal() or len(value) > 9 or not int(value):
        raise Invalid(f"`_count={value[:40]}` is not a number from 1.", expression="http._count")
    return min(int(value), server.limits.max_page_size)


def _types(server: Server, path: str, value: str | None) -> tuple[str, ...]:
    """Of `[type]/_history` the type; of `_history` those of `_type`, or all: none are named."""
    of_path = path.rpartition("/")[0]
    if value is None:
        return (of_path,) if of_path else ()
    if of_path:
        raise NotSupported(
            "`_type` is for the feed of everything; this one is of a type.",
            expression="http._type",
        )
    return types_of(server, value)


def types_of(server: Server, value: str) -> tuple[str, ...]:
    """Those that `_type` names. Raises Invalid."""
    types = tuple(sorted({name.strip() for name in value.split(",")}))
    for type in types:
        auditing.refuse_history(type)
        if type not in server.definitions.resource_types:
            raise Invalid(f"`{type[:64]}` is not a resource type of R4.", expression="http._type")
    return types
