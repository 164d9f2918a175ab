"""perform — each interaction as HTTP asks for it: from a request to an Ask to an Answer.

https://hl7.org/fhir/R4/http.html#summary
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from fhir_server.conformance.subset import SUMMARIES, WHOLE, Shape, unknown_elements
from fhir_server.conformance.xml import from_xml
from fhir_server.foundation.outcome import Invalid, NotSupported, PreconditionFailed
from fhir_server.foundation.resource import Key, Resource
from fhir_server.foundation.wire import parse, parse_json
from fhir_server.interaction import (
    aiming,
    bundle,
    capabilities,
    create,
    delete,
    history,
    patch,
    read,
    search,
    update,
)
from fhir_server.interaction.context import GENERAL, Answer, Asked, Circumstances, Server
from fhir_server.operation.explain import NAME as EXPLAIN
from fhir_server.rest import binary, formats, headers, recording, routes
from fhir_server.rest.formats import FORM, JSON, JSON_PATCH, RAW, XML
from fhir_server.rest.request import LONG_WORK, Request
from fhir_server.rest.routes import Pairs, Row
from fhir_server.security.tokens.credentials import refuse_in_parameters

RESOURCE = (JSON, XML)
SAFE = ("GET", "HEAD")
WAIT = 30.0  # seconds a follower may wait for something new


def circumstances(server: Server, request: Request, body: bytes | None = None) -> Circumstances:
    """What comes with the request. `body` is given where an Idempotency-Key may be."""
    caller = request.caller
    once = None
    if body is not None and b"idempotency-key" in request.headers:
        url = b"%b?%b" % (request.raw_path, request.raw_query)
        once = headers.once(
            request.headers, client=caller.identity, method=request.method, url=url, body=body
        )
    return Circumstances(
        caller=caller,
        access=request.access,
        base=request.base,
        strict=request.preferences.strict,
        shape=request.shape,
        once=once,
        representation=request.preferences.returned == "representation",
        language=request.language,
        text=request.text,
        record=recording.record_of(request) if server.audit else None,
    )


def waiting(server: Server, request: Request) -> Circumstances:
    """The same, for who may wait. An entry of a batch may not: others wait for it."""
    wait = min(request.preferences.wait, WAIT, request.options.request_timeout / 2)
    return replace(circumstances(server, request), wait=wait)


def shape(server: Server, request: Request) -> Shape:
    """`_summary` and `_elements` of a read or a history; a search reads its own."""
    asked = dict(request.pairs)
    summary = asked.get("_summary") or None
    elements = tuple(name.strip() for name in asked.get("_elements", "").split(",") if name.strip())
    if request.interaction.startswith("search") or is_explained(request):
        return WHOLE
    if summary is not None and (summary not in SUMMARIES or summary == "count"):
        raise Invalid(
            f"`_summary={summary[:40]}` is not one of `true`, `text`, `data` and `false`"
            " (`count` is for a search).",
            expression="http._summary",
        )
    if elements and request.preferences.strict:
        types = (request.place.type,) if request.place.type else ()
        if unknown := unknown_elements(server.definitions, types, elements):
            raise Invalid(
                f"`_elements` names `{unknown[0][:80]}`, which is no element of"
                f" {request.place.type or 'any type'}.",
                expression="http._elements",
            )
    return Shape(summary, elements)


def is_explained(request: Request) -> bool:
    """Whether its parameters are those of a search, R4's general ones among them."""
    return request.interaction == "operation" and request.place.last == EXPLAIN


def refuse_parameters(request: Request, row: Row) -> None:
    """An unknown parameter is never passed over, unless the client is lenient about it."""
    if row.parameters is None or not request.preferences.strict:
        return
    for name, _ in request.pairs:
        if name not in row.parameters and name not in GENERAL:
            known = ", ".join(f"`{known}`" for known in (*row.parameters, *GENERAL))
            raise NotSupported(
                f"`{name[:80]}` is not a parameter of {row.interaction}. {known} are. To have it"
                " passed over, send `Prefer: handling=lenient`.",
                expression=f"http.{name[:80]}",
            )


# --- bodies --------------------------------------------------------------------------------------


async def resource(server: Server, body: bytes, kind: str) -> Resource:
    """The resource a body holds."""
    if kind == XML:
        return await _read(from_xml, len(body), server.definitions, body)
    return await _read(parse, len(body), body)


async def _read(reader: Callable[..., Resource], size: int, *given: Any) -> Resource:
    if size < LONG_WORK:
        return reader(*given)
    return await asyncio.to_thread(reader, *given)


def sent(request: Request, accepted: tuple[str, ...]) -> str:
    request.media = formats.sent(request.headers.get(b"content-type"), accepted)
    return request.media


async def resource_sent(server: Server, request: Request) -> tuple[Resource, bytes]:
    """The resource of a create or an update, and the bytes it came as."""
    if request.place.type == "Binary":
        kind = sent(request, (*RESOURCE, RAW))
        body = await request.body()
        if kind == RAW or not binary.is_resource(body, kind):
            return binary.from_raw(request, body), body
    else:
        kind = sent(request, RESOURCE)
        body = await request.body()
    refuse_empty(body)
    request.text = body, kind
    return await resource(server, body, kind), body


def refuse_empty(body: bytes) -> None:
    if not body.strip():
        raise Invalid("The body is empty; a resource was expected.")


def condition(request: Request) -> Pairs:
    """The criteria of a conditional interaction. R4 http#ccreate."""
    found = [pair for pair in request.pairs if pair[0] not in GENERAL]
    if not found:
        raise Invalid(
            f"`{request.method}` on `{request.place.type}` needs an id in the path, or search"
            " parameters that say which resource is meant, such as `identifier=system|value`."
        )
    return found


async def if_match(server: Server, request: Request) -> str | None:
    """The version the client saw. Of a list, the one the resource is at now, if it is among it."""
    value = request.headers.get(b"if-match")
    if value is None:
        return None
    wanted = headers.entity_tags(value, "If-Match")
    if len(wanted) == 1:
        return wanted[0]
    if request.place.id is None:
        raise Invalid(
            "`If-Match` may name one version where criteria say which resource is meant.",
            expression="http.If-Match",
        )
    key = request.place.key
    stored = await aiming.newest(server, circumstances(server, request), key, request.interaction)
    if stored is None or stored.version_id not in wanted:
        raise PreconditionFailed(f"`{key}` is at none of the versions `If-Match` names.")
    return stored.version_id


def refuse_if_none_match(request: Request) -> None:
    """R4 has no If-None-Match on writes; to pass it over would write what should not be."""
    if b"if-none-match" in request.headers:
        raise NotSupported(
            "`If-None-Match` is not used with writes in R4. To create only what is not there,"
            " POST with `If-None-Exist: <search parameters>`.",
            expression="http.If-None-Match",
        )


# --- the interactions ----------------------------------------------------------------------------


async def _read_one(server: Server, request: Request) -> Answer:
    ask = read.Ask(request.place.key, request.place.last)
    return await read.read(server, ask, circumstances(server, request))


async def _update(server: Server, request: Request) -> Answer:
    refuse_if_none_match(request)
    type, id = request.place.type or "", request.place.id
    criteria = None if id else condition(request)
    content, body = await resource_sent(server, request)
    if request.media == RAW and id:
        content = {**content, "id": id}
    ask = update.Ask(type, id, content, await if_match(server, request), criteria)
    return await update.update(server, ask, circumstances(server, request, body))


async def _patch(server: Server, request: Request) -> Answer:
    refuse_if_none_match(request)
    type, id = request.place.type or "", request.place.id
    criteria = None if id else condition(request)
    kind = sent(request, (JSON_PATCH, *RESOURCE))
    body = await request.body()
    refuse_empty(body)
    document: Any
    if kind == JSON_PATCH:
        document = parse_json(body)
    else:
        document = await resource(server, body, kind)
        if document.get("resourceType") != "Parameters":
            raise Invalid(
                f"A PATCH with a resource must be a `Parameters` (FHIRPath Patch), not a"
                f" `{str(document.get('resourceType'))[:64]}`. For JSON Patch, send"
                " `Content-Type: application/json-patch+json`.",
                expression="resourceType",
            )
    name = "json-patch" if kind == JSON_PATCH else "fhirpath"
    ask = patch.Ask(type, id, document, name, await if_match(server, request), criteria)
    return await patch.patch(server, ask, circumstances(server, request, body))


async def _delete(server: Server, request: Request) -> Answer:
    refuse_if_none_match(request)
    id = request.place.id
    criteria = None if id else condition(request)
    ask = delete.Ask(request.place.type or "", id, criteria, await if_match(server, request))
    return await delete.delete(server, ask, circumstances(server, request, b""))


async def _create(server: Server, request: Request) -> Answer:
    content, body = await resource_sent(server, request)
    exists = request.header(b"if-none-exist")
    ask = create.Ask(request.place.type or "", content, exists)
    return await create.create(server, ask, circumstances(server, request, body))


async def _search(server: Server, request: Request) -> Answer:
    """By GET and by POST: the parameters of URL and form are one list. R4 search#searchinputs."""
    if request.method == "POST":
        await form(request)
    place = request.place
    if place.last is not None:
        types = () if place.last == "*" else (place.last,)
        ask = search.Ask(types, request.pairs, Key(place.type or "", place.id or ""))
    else:
        ask = search.Ask((place.type,) if place.type else (), request.pairs)
    return await search.search(server, ask, circumstances(server, request))


async def form(request: Request) -> None:
    """Add the form's parameters to those of the URL. A search may also have no body at all."""
    if b"content-type" in request.headers:
        sent(request, (FORM,))
    body = await request.body()
    if body:
        sent(request, (FORM,))
        bound = request.options.max_parameters - len(request.pairs)
        told = routes.pairs(body.strip(), where="the form", bound=bound)
        refuse_in_parameters(told)
        request.pairs += told
        if any(name in GENERAL for name, _ in told):
            request.negotiate()


async def _capabilities(server: Server, request: Request) -> Answer:
    ask = capabilities.Ask(dict(request.pairs).get("mode", "full"))
    return await capabilities.capabilities(server, ask, circumstances(server, request))


async def _bundle(server: Server, request: Request) -> Answer:
    kind = sent(request, RESOURCE)
    body = await request.body()
    refuse_empty(body)
    request.text = body, kind
    content = await resource(server, body, kind)
    if content.get("type") == "batch":
        request.interaction = "batch"
    return await bundle.bundle(server, bundle.Ask(content), circumstances(server, request, body))


async def _history(server: Server, request: Request) -> Answer:
    ask = history.Ask(request.place.type, request.place.id, request.pairs)
    return await history.history(server, ask, waiting(server, request))


async def _operation(server: Server, request: Request) -> Answer:
    """A body that cannot be read goes along with the reason: an operation may be asked to judge."""
    place = request.place
    told: Resource | None = None
    text: tuple[bytes, str] | None = None
    unreadable: Invalid | None = None
    body = await request.body() if request.method == "POST" else b""
    if body.strip():
        text = body, sent(request, RESOURCE)
        try:
            told = await resource(server, *text)
        except Invalid as refusal:
            unreadable = refusal
    asked = Asked(
        name=place.last or "",
        method=request.method,
        type=place.type,
        id=place.id,
        pairs=[p for p in request.pairs if p[0] not in GENERAL or is_explained(request)],
        resource=told,
        text=text,
        unreadable=unreadable,
    )
    return await server.operations.perform(server, asked, waiting(server, request))


PERFORM: dict[str, Callable[[Server, Request], Coroutine[Any, Any, Answer]]] = {
    "read": _read_one,
    "vread": _read_one,
    "update": _update,
    "patch": _patch,
    "delete": _delete,
    "create": _create,
    "search-type": _search,
    "search-system": _search,
    "search-compartment": _search,
    "capabilities": _capabilities,
    "transaction": _bundle,
    "history-instance": _history,
    "history-type": _history,
    "history-system": _history,
    "operation": _operation,
}
