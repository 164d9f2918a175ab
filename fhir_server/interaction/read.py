"""read and vread — a resource as it is now, or as it was at one version.

https://hl7.org/fhir/R4/http.html#read
https://hl7.org/fhir/R4/http.html#vread
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.conformance.subset import Shape, shaped
from fhir_server.foundation.outcome import Gone, NotFound
from fhir_server.foundation.resource import Key
from fhir_server.foundation.wire import render
from fhir_server.interaction import auditing
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.interaction.disguising import meant, shown
from fhir_server.interaction.reaching import those_within
from fhir_server.store.codec import resource_of, whole
from fhir_server.store.contract import Stored


@dataclass(frozen=True, slots=True)
class Ask:
    key: Key
    version_id: str | None = None


async def read(server: Server, ask: Ask, circumstances: Circumstances) -> Answer:
    """Raises NotFound; Gone, with the deletion's ETag."""
    if ask.key.type == auditing.TYPE:
        return await auditing.read(server, ask.key.id, ask.version_id, circumstances)
    if ask.version_id is None:
        key = await meant(server, circumstances, ask.key)
        stored = (await server.store.newest((key,), circumstances.reach("read"))).get(key)
        name = f"`{ask.key}`"
    else:
        stored = await _at_version(server, ask.key, ask.version_id, circumstances)
        name = f"Version `{ask.version_id}` of `{ask.key}`"
    if stored is None:
        raise NotFound(f"{name} is not here.")
    if stored.deleted:
        etag = {"ETag": f'W/"{stored.version_id}"'}
        raise Gone(f"{name} was deleted. A PUT brings it back to life.", headers=etag)
    circumstances.tell(stored)
    body = in_shape(server, circumstances, stored, circumstances.shape)
    if not circumstances.access.sees_whole:
        # An ETag is made of a hash of the whole, and Last-Modified tells the second of a visit.
        return Answer(status=200, body=body, key=ask.key)
    return Answer(
        status=200,
        body=body,
        key=stored.key,
        version_id=stored.version_id,
        updated=stored.updated,
    )


async def _at_version(
    server: Server, key: Key, version_id: str, circumstances: Circumstances
) -> Stored | None:
    """An old version is within reach where the resource is, and where it was one when it said so:
    a record that was another patient's then is that patient's still."""
    stored = await server.store.at_version(key, version_id, circumstances.reach("vread"))
    found = [stored] if stored is not None else []
    return next(iter(await those_within(server, circumstances, "vread", found)), None)


def in_shape(server: Server, circumstances: Circumstances, stored: Stored, shape: Shape) -> bytes:
    """The stored bytes, or the part of them `_summary` or `_elements` asks for, as far as the
    caller may see them."""
    if shape.is_whole and circumstances.access.sees_whole:
        return whole(stored)
    seen = shown(server, circumstances, resource_of(stored))
    return render(shaped(server.definitions, seen, shape))
