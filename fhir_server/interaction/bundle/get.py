"""get — the reading entries of a Bundle: read, vread, history, search and capabilities.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.conformance.subset import Shape
from fhir_server.foundation.outcome import NotFound, UnknownType
from fhir_server.foundation.resource import Key
from fhir_server.interaction import capabilities, history, read, search
from fhir_server.interaction.bundle.entry import Request
from fhir_server.interaction.context import Answer, Circumstances, Pairs, Server


async def get(server: Server, request: Request, circumstances: Circumstances) -> Answer:
    """The answer to a GET entry. Raises what the interaction itself would."""
    types = server.definitions.resource_types
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
    if request.path[-1].startswith("$"):
        raise UnknownType(
            f"There is no operation `{request.path[-1]}` here.",
            expression=f"{request.place}.request.url",
        )
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


def shape(pairs: Pairs) -> Shape:
    """`_summary` and `_elements` of a read inside a Bundle."""
    asked = dict(pairs)
    elements = tuple(name for name in asked.get("_elements", "").split(",") if name)
    return Shape(summary=asked.get("_summary"), elements=elements)
