"""auditing — what is written down before an answer is sent, and AuditEvents read and searched.

https://hl7.org/fhir/R4/auditevent.html
https://hl7.org/fhir/R4/security.html#audit

AuditEvents are this server's own: nobody writes them, and they lie in no table of resources, so no
search of anything else meets them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import time

from fhir_server.conformance.subset import SUMMARIES, Shape, shaped
from fhir_server.foundation import bundle
from fhir_server.foundation.bundle import Entry, instant
from fhir_server.foundation.outcome import (
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    NotSupported,
)
from fhir_server.foundation.primitive import interval
from fhir_server.foundation.resource import Key, Resource
from fhir_server.foundation.wire import render
from fhir_server.interaction.context import GENERAL, Answer, Circumstances, Pairs, Server
from fhir_server.interaction.paging import STRANGE, question_of, url
from fhir_server.search.page import seal, unseal
from fhir_server.security.audit import said
from fhir_server.security.audit.event import audit_event
from fhir_server.security.audit.naming import id_of, place
from fhir_server.security.audit.record import Record
from fhir_server.security.caller import Caller
from fhir_server.security.operator import operator
from fhir_server.store.contract import Before, Entered, Restriction, Sought, Unit

TYPE = "AuditEvent"
WRITERS = "AuditEvents are written by the server itself, of every access; nobody else writes them."
ALLOWED = "GET, HEAD, OPTIONS"
VERSION = "1"
PARAMETERS = (
    ("agent", "AuditEvent-agent", "reference"),
    ("altid", "AuditEvent-altid", "token"),
    ("date", "AuditEvent-date", "date"),
    ("patient", "AuditEvent-patient", "reference"),
)
PREFIXES = ("eq", "ge", "gt", "le", "lt", "sa", "eb")


async def written_down(
    server: Server, caller: Caller, record: Record, status: int, code: str = ""
) -> None:
    """What no commit has taken along is durable after this. Raises what a commit does."""
    if entries := record.entries(caller, status, code):
        await server.store.commit(Unit((), audit=entries))


def of_file(server: Server, circumstances: Circumstances, name: str, file: str) -> Circumstances:
    """What a command stores from a file is written down as such, with each transaction, as done
    by the user who runs it."""
    record = Record(name, file) if server.audit else None
    return replace(circumstances, caller=operator(), record=record)


def refuse_write(type: str) -> None:
    """Raises MethodNotAllowed where somebody would write an AuditEvent."""
    if type == TYPE:
        raise MethodNotAllowed(WRITERS, headers={"Allow": ALLOWED})


def is_whole(restriction: Restriction) -> bool:
    """Whether all of the audit is within reach: it is nobody's own, so a part of it is not."""
    if restriction.is_free:
        return True
    return any(
        (ground.types is None or TYPE in ground.types)
        and ground.owners is None
        and ground.facility is None
        and ground.in_care_of is None
        and ground.where is None
        and not ground.barred
        for ground in restriction.grounds or ()
    )


def may_read(circumstances: Circumstances, interaction: str) -> bool:
    """Whether the caller may read the audit. Who is shown records without names is shown none of
    it: it says whose they are."""
    return circumstances.access.sees_whole and is_whole(circumstances.reach(interaction))


def refuse_part(circumstances: Circumstances) -> None:
    """Raises Forbidden where rule or scope give a part of the audit: it would be told as empty."""
    grounds = circumstances.reach("search").grounds or ()
    if any(ground.types is not None and TYPE in ground.types for ground in grounds):
        raise Forbidden(
            "AuditEvents are reached all or none: a scope with parameters, or a rule that reaches "
            "less than `all`, opens none of them. Ask for `AuditEvent.rs`."
        )


# --- read and search -----------------------------------------------------------------------------


def refuse_compartment(compartment: Key | None) -> None:
    """Who may see a record may not see who saw it, so AuditEvents are in no compartment here."""
    if compartment is not None:
        raise NotSupported(
            f"AuditEvents are in no compartment here. Ask `{compartment}/$who-viewed`."
            if compartment.type == "Patient"
            else "AuditEvents are in no compartment here. Search `AuditEvent`."
        )


def refuse_history(type: str | None) -> None:
    if type == TYPE:
        raise MethodNotAllowed(
            "An AuditEvent is never changed: read it, or search for it.", headers={"Allow": ALLOWED}
        )


async def read(
    server: Server, id: str, version_id: str | None, circumstances: Circumstances
) -> Answer:
    """Raises NotFound, for what is out of reach too."""
    where = place(server.secret, id) if version_id in (None, VERSION) else None
    found = None
    if where is not None and may_read(circumstances, "read"):
        found = await server.store.audit.entered(*where)
    if found is None:
        raise NotFound(f"`{TYPE}/{id}` is not here.")
    (body,) = await rendered(server, [found], circumstances.base, circumstances.shape)
    return Answer(200, body, Key(TYPE, id), VERSION, found.at)


async def search(server: Server, pairs: Pairs, circumstances: Circumstances) -> Answer:
    """Newest first. Raises Invalid, NotSupported."""
    sought = understood(server, pairs)
    shape_of(pairs)
    if not may_read(circumstances, "search"):
        refuse_part(circumstances)
        return _bundle(circumstances, TYPE, pairs, [], None)
    return await page(server, sought, pairs, circumstances, TYPE)


async def page(
    server: Server,
    sought: Sought,
    pairs: Pairs,
    circumstances: Circumstances,
    path: str,
    *,
    only: int | None = None,
) -> Answer:
    """A page of entries as a searchset. only: what is told is of this patient alone."""
    kept = [pair for pair in pairs if pair[0] != "_cursor"]
    question = question_of(path, kept)
    identity = circumstances.caller.identity
    if cursor := dict(pairs).get("_cursor"):
        sought = resumed(unseal(server.secret, cursor, to=identity), question, sought)
    found = list(await server.store.audit.found(replace(sought, limit=sought.limit + 1)))
    onward = None
    if len(found) > sought.limit:
        last = found[sought.limit - 1]
        behind = [last.at, last.chain, last.number]
        onward = seal(server.secret, {"q": question, "p": behind}, to=identity)
    shown = found[: sought.limit]
    bodies = await rendered(server, shown, circumstances.base, shape_of(pairs), only=only)
    ids = [id_of(server.secret, one) for one in shown]
    return _bundle(circumstances, path, pairs, list(zip(ids, bodies, strict=True)), onward)


def resumed(held: dict[str, object], question: str, sought: Sought) -> Sought:
    match held:
        case {"q": asked, "p": [int(at), int(chain), int(number)]} if asked == question:
            return replace(sought, before=Before(at, chain, number))
    raise Invalid(STRANGE, expression="http._cursor")


async def rendered(
    server: Server, found: Sequence[Entered], base: str, shape: Shape, *, only: int | None = None
) -> list[bytes]:
    """Each as an AuditEvent. Raises nothing for one that was damaged: `audit verify` tells."""
    told = []
    for entered in found:
        try:
            one = said.read(entered.body)
        except said.Unreadable:
            one = said.Said("unreadable", 500)
        told.append(one if only is None else one.of(only))
    numbers = {number for one in told for number in one.patients}
    names = await server.store.audit.keys(list(numbers)) if numbers else {}
    return [
        render(
            shaped(
                server.definitions,
                audit_event(id_of(server.secret, entered), entered, one, names, base),
                shape,
            )
        )
        for entered, one in zip(found, told, strict=True)
    ]


def _bundle(
    circumstances: Circumstances,
    path: str,
    pairs: Pairs,
    told: Sequence[tuple[str, bytes]],
    onward: str | None,
) -> Answer:
    links = [("self", url(circumstances, path, pairs))]
    if onward is not None:
        kept = [pair for pair in pairs if pair[0] != "_cursor"]
        links.append(("next", url(circumstances, path, [*kept, ("_cursor", onward)])))
    entries = [
        Entry(f"{circumstances.base}/{TYPE}/{id}", body, {"mode": "match"}) for id, body in told
    ]
    now = instant(int(time() * 1000))
    return Answer(200, bundle.rendered("searchset", entries, timestamp=now, links=links))


def capability() -> Resource:
    """What the CapabilityStatement tells of it."""
    definition = "http://hl7.org/fhir/SearchParameter/"
    return {
        "type": TYPE,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{TYPE}",
        "interaction": [{"code": code} for code in ("read", "vread", "search-type")],
        "versioning": "versioned",
        "readHistory": False,
        "updateCreate": False,
        "searchParam": [
            {"name": name, "definition": definition + url, "type": kind}
            for name, url, kind in PARAMETERS
        ],
    }


# --- parameters ----------------------------------------------------------------------------------


def shape_of(pairs: Pairs) -> Shape:
    """`_summary` and `_elements` of a search. Raises Invalid, NotSupported."""
    asked = dict(pairs)
    summary = asked.get("_summary") or None
    if summary == "count":
        raise NotSupported(
            f"How many {TYPE}s there are is not counted. Ask for them with `_count`, page by page, "
            "or run `fhir-server audit report`.",
            expression="http._summary",
        )
    if summary is not None and summary not in SUMMARIES:
        raise Invalid(
            f"`_summary={summary[:40]}` is not one of `true`, `text`, `data` and `false`.",
            expression="http._summary",
        )
    names = (name.strip() for name in asked.get("_elements", "").split(","))
    return Shape(summary, tuple(name for name in names if name))


def understood(server: Server, pairs: Pairs) -> Sought:
    """Raises Invalid, NotSupported: a parameter that is not known is never passed over."""
    sought = Sought(limit=server.limits.page_size)
    for name, value in pairs:
        if name in READERS:
            sought = READERS[name](server, sought, value)
        elif name not in GENERAL and name != "_cursor":
            known = ", ".join(f"`{one}`" for one in READERS)
            raise NotSupported(
                f"`{name[:64]}` is not a search parameter of {TYPE} here. These are: {known}.",
                expression=f"http.{name[:64]}",
            )
    return sought


def _date(server: Server, sought: Sought, value: str) -> Sought:
    """R4 search#prefix, of the moment it was written down."""
    prefix = value[:2] if value[:2] in PREFIXES else "eq"
    text = value.removeprefix(prefix)
    try:
        low, high = interval(text, server.indexer.site.zone_minutes)
    except ValueError as error:
        raise Invalid(
            f"`date={value[:40]}` is not a date such as `ge2026-11-22`.", expression="http.date"
        ) from error
    since, until = {
        "eq": (low, high),
        "ge": (low, sought.until),
        "gt": (high, sought.until),
        "sa": (high, sought.until),
        "lt": (sought.since, low),
        "eb": (sought.since, low),
        "le": (sought.since, high),
    }[prefix]
    return replace(sought, since=max(since, sought.since), until=min(until, sought.until))


def _patient(_server: Server, sought: Sought, value: str) -> Sought:
    id = value.rpartition("/")[2]
    if not id or ("/" in value and value.split("/")[-2] != "Patient"):
        raise Invalid(
            f"`patient={value[:80]}` is not a Patient such as `Patient/123`.",
            expression="http.patient",
        )
    return _of(sought, said.of_patient(id))


def _agent(_server: Server, sought: Sought, value: str) -> Sought:
    return _of(sought, said.of_user(value))


def _client(_server: Server, sought: Sought, value: str) -> Sought:
    return _of(sought, said.of_client(value))


def _of(sought: Sought, subject: int) -> Sought:
    if len(sought.subjects) >= 5:
        raise Invalid("More than five of `patient`, `agent` and `altid` at once cannot be asked.")
    return replace(sought, subjects=(*sought.subjects, subject))


def _count(server: Server, sought: Sought, value: str) -> Sought:
    if not value.isascii() or not value.isdecimal() or len(value) > 9 or not int(value):
        raise Invalid(f"`_count={value[:40]}` is not a number from 1.", expression="http._count")
    return replace(sought, limit=min(int(value), server.limits.max_page_size))


def _sort(_server: Server, sought: Sought, value: str) -> Sought:
    if value != "-date":
        raise NotSupported(
            f"`_sort={value[:40]}`: {TYPE}s are told newest first (`-date`).",
            expression="http._sort",
        )
    return sought


READERS: dict[str, Callable[[Server, Sought, str], Sought]] = {
    "date": _date,
    "patient": _patient,
    "agent": _agent,
    "altid": _client,
    "_count": _count,
    "_sort": _sort,
}
