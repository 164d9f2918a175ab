"""aiming — which resources a write is about, and which of them its caller may write.

https://hl7.org/fhir/R4/http.html#ops
https://hl7.org/fhir/R4/security.html#AccessDenied

What a caller does not reach is as if it did not exist. What it may see, but not write, it is told
of: 403. So an answer never depends on a resource that is not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fhir_server.foundation.outcome import (
    Conflict,
    Forbidden,
    MethodNotAllowed,
    MultipleMatches,
    NotSupported,
    PreconditionFailed,
)
from fhir_server.foundation.resource import Key
from fhir_server.interaction.asking import understood
from fhir_server.interaction.context import Circumstances, Pairs, Server
from fhir_server.search.owner import may_be_owned
from fhir_server.store.condition import texts_in
from fhir_server.store.contract import EVERYTHING, Assumption, Select, Stale, Stored

WHOLE = ("read", "create", "update")
NONE_CHOSEN = "you choose no ids"
ALLOWED = {"Allow": "GET, HEAD, POST, OPTIONS"}


# --- by id ---------------------------------------------------------------------------------------


async def newest(
    server: Server, circumstances: Circumstances, key: Key, interaction: str
) -> Stored | None:
    return (await all_newest(server, circumstances, (key,), interaction)).get(key)


async def all_newest(
    server: Server, circumstances: Circumstances, keys: Sequence[Key], interaction: str
) -> dict[Key, Stored]:
    """The newest versions of what the interaction may touch. Raises Forbidden for what may be seen
    and not be written.

    A patch is tried on what is there, and tells by that: it may touch only what may be read, too.
    """
    reach, read = circumstances.reach(interaction), circumstances.reach("read")
    found = await server.store.newest(keys, reach)
    if reach == read or not circumstances.access.sees_whole:  # who writes nothing is told nothing
        return found
    seen = await server.store.newest(keys, read)
    for key, stored in seen.items():
        if key not in found and not stored.deleted:
            raise _forbidden(interaction, key)
    if interaction == "patch":
        return {key: stored for key, stored in found.items() if key in seen}
    return found


def _forbidden(interaction: str, key: Key) -> Forbidden:
    return Forbidden(
        f"You may see `{key}`, and not {interaction} it.",
        vietnamese=f"Bạn được xem `{key}`, nhưng không có quyền {interaction}.",
    )


async def demand_new(server: Server, circumstances: Circumstances, key: Key) -> None:
    """Whether an update may create what is not there under an id of the client's own choosing.

    Who does not see all there is could try ids, and learn from the answer which ones are taken. So
    they choose ids in their own facility's name space alone, `<facility>.<no other dot>`, where
    nobody else chooses any: `hue.b.1` is of the facility `hue.b`, and not of `hue`. Another id is
    refused, taken or free, before anything is looked up. Who keeps the directory sees all of its
    types, and chooses: an Organization's id should be short.
    """
    if circumstances.reach("update").is_free or _sees_all(server, circumstances, key.type):
        return
    facility = circumstances.caller.facility
    if not facility or key.id.rpartition(".")[0] != facility:
        own = f"one you choose is `{facility}.` with no dot after it" if facility else NONE_CHOSEN
        raise MethodNotAllowed(
            f"`{key}` is not here, and {own}. Create it by POST, with `If-None-Exist` where it must"
            " not be created twice, or by a conditional update.",
            headers=ALLOWED,
        )
    if (await server.store.newest((key,), EVERYTHING)).get(key):
        # An id your own facility chose, of something that is another's by now.
        raise Conflict(f"The id of `{key}` was used before. Choose another one.")


def _sees_all(server: Server, circumstances: Circumstances, type: str) -> bool:
    """Whether whatever is there of the type is read, created and updated by this caller."""
    if may_be_owned(server.parameters, type):
        return all(circumstances.reach(each).holds_all_of(type) for each in WHOLE)
    return all(circumstances.reach(each).holds_all_of(type, of_nobody=True) for each in WHOLE)


# --- by criteria ---------------------------------------------------------------------------------


class Matches(NamedTuple):
    """What a condition found, and the assumption that it still finds just that."""

    found: tuple[int, ...]
    assumption: Assumption


async def matches(
    server: Server,
    circumstances: Circumstances,
    type: str,
    condition: Pairs,
    *,
    at_most: int = 2,
) -> Matches:
    """Who meets the criteria of a conditional interaction; unknown criteria are always refused."""
    circumstances.access.demand("search", type)
    if not circumstances.access.sees_whole:
        raise Forbidden("Who is not shown all of a record writes none, and finds none to write.")
    query = await understood(server, circumstances, (type,), condition)
    if not query.has_criteria:
        raise PreconditionFailed(
            "A conditional interaction needs at least one search parameter, "
            "such as `identifier=system|value`."
        )
    if texts_in(query.where):
        raise NotSupported(
            "`_text`, `_content` and `:text` cannot decide what is written, because the index of "
            "words follows what is written a moment later. Give other parameters, such as "
            "`identifier=system|value`."
        )
    select = Select((type,), query.where, restriction=circumstances.reach("search"))
    found = tuple(await server.store.find(select, at_most=at_most))
    return Matches(found, Assumption(select, found, at_most, query.locks))


async def the_match(
    server: Server, circumstances: Circumstances, type: str, condition: Pairs, interaction: str
) -> tuple[Stored | None, Assumption]:
    """The one resource that meets the criteria, if any. Raises MultipleMatches, Forbidden."""
    found, assumption = await matches(server, circumstances, type, condition)
    if len(found) > 1:
        raise MultipleMatches(
            f"More than one {type} matches `{told(condition)}`. Give criteria only one can meet."
        )
    stored = await matched(server, circumstances, found, interaction)
    return (stored[0] if stored else None), assumption


async def matched(
    server: Server, circumstances: Circumstances, found: Sequence[int], interaction: str
) -> list[Stored]:
    """What was found by criteria, to be written. Raises Forbidden where one of it may not be."""
    if not found:
        return []
    reach = circumstances.reach("search")
    stored = list(await server.store.by_rid(found, reach))
    if len(stored) != len(found):  # it went away between the two looks
        raise Stale
    for needed in NEEDED[interaction]:
        if circumstances.reach(needed) == reach:
            continue
        there = await server.store.by_rid(found, circumstances.reach(needed))
        may = {each.key for each in there}
        for each in stored:
            if each.key not in may:
                raise _forbidden(interaction, each.key)
    return stored


# What a resource that was found must be within, besides. A create only says that it is there.
NEEDED = {
    "create": (),
    "update": ("update",),
    "patch": ("patch", "read"),
    "delete": ("delete",),
}


def told(condition: Pairs) -> str:
    return "&".join(f"{name}={value}" for name, value in condition)
