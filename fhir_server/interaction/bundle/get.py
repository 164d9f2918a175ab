"""get — the reading entries of a Bundle: read, vread, history, search, capabilities, operations.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.conformance.subset import Shape
from fhir_server.foundation.outcome import Invalid, NotFound, UnknownType
from fhir_server.foundation.resource import ID, Key
from fhir_server.interaction import capabilities, history, read, search
from fhir_server.interaction.bundle.entry import Request
from fhir_server.interaction.context import (
    GENERAL,
    Answer,
    Asked,
    Circumstances,
    Pairs,
    Server,
)


async def get(server: Server, request: Request, circumstances: Circumstances) -> Answer:
    """The answer to a GET entry. Raises what the interaction itself would."""
    types = server.definitions.resource_types
    if request.is_operation:
        return await server.operations.perform(server, operation(server, request), circumstances)
    if request.path and request.path[0] in types:
        return await _typed(server, request, replace(circumstances, shape=shape(request.pairs)))
    match request.path:
        case ():
            return await search.search(server, search.Ask((), request.pairs), circumstances)
        case ("_history",):
            return await history.history(
                server, history.Ask(None, None, request.pairs), circumstances
            )
        case ("metadata",):
            return await capabilities.capabilities(server, capabilities.Ask(), circumstances)
        case _:
            raise UnknownType(
                f"`{request.path[0]}` is not a resource type of R4.",
                expression=f"{request.place}.request.url",
            )


async def _typed(server: Server, request: Request, circumstances: Circumstances) -> Answer:
    match request.path:
        case (type,):
            return await search.search(server, search.Ask((type,), request.pairs), circumstances)
        case (type, "_history"):
            return await history.history(
                server, history.Ask(type, None, request.pairs), circumstances
            )
        case (type, id):
            return await read.read(server, read.Ask(Key(type, id)), circumstances)
        case (type, id, "_history"):
            return await history.history(
                server, history.Ask(type, id, request.pairs), circumstances
            )
        case (type, id, "_history", version):
            return await read.read(server, read.Ask(Key(type, id), version), circumstances)
        case (type, id, member) if member == "*" or member in server.definitions.resource_types:
            asked = search.Ask(() if member == "*" else (member,), request.pairs, Key(type, id))
            return await search.search(server, asked, circumstances)
        case _:
            raise NotFound(
                f"Nothing is found at `{'/'.join(request.path)}`.",
                expression=f"{request.place}.request.url",
            )


def operation(server: Server, request: Request) -> Asked:
    """`$name`, `Type/$name` or `Type/id/$name`; the entry's resource is the body of a POST."""
    *where, name = request.path
    known = not where or where[0] in server.definitions.resource_types
    if len(where) > 2 or not known or (len(where) == 2 and not ID.fullmatch(where[1])):
        raise NotFound(
            f"Nothing is found at `{'/'.join(request.path)[:200]}`.",
            expression=f"{request.place}.request.url",
        )
    body = request.resource if request.method == "POST" else None
    if body is not None and not isinstance(body, dict):
        raise Invalid("`resource` must be a resource.", expression=f"{request.place}.resource")
    return Asked(
        name=name[1:],
        method=request.method,
        type=where[0] if where else None,
        id=where[1] if len(where) == 2 else None,
        pairs=[pair for pair in request.pairs if pair[0] not in GENERAL],
        resource=body,
    )


def shape(pairs: Pairs) -> Shape:
    """`_summary` and `_elements` of a read inside a Bundle."""
    asked = dict(pairs)
    elements = tuple(name for name in asked.get("_elements", "").split(",") if name)
    return Shape(summary=asked.get("_summary"), elements=elements)
