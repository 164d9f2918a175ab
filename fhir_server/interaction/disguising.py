"""disguising — records told without whose they are, and found again by what they were told as.

https://hl7.org/fhir/R4/secpriv-module.html#deident
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.foundation.outcome import NotFound
from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.security.deidentify import Means, is_nobodys
from fhir_server.security.pseudonym import Pseudonyms


def shown(server: Server, circumstances: Circumstances, resource: Resource) -> Resource:
    """The resource as the caller may see it; itself where all of it may be seen."""
    access = circumstances.access
    return resource if access.sees_whole else access.shown(means(server, circumstances), resource)


def name_of(server: Server, circumstances: Circumstances, key: Key) -> Key:
    """The record's key as the caller is told it."""
    if not circumstances.access.has_pseudonyms:
        return key
    return Key(key.type, means(server, circumstances).id_of(key))


async def meant(
    server: Server, circumstances: Circumstances, key: Key, interaction: str = "read"
) -> Key:
    """The record's own key. Raises NotFound: who is told pseudonyms finds nothing by another id."""
    if not circumstances.access.has_pseudonyms or is_nobodys(server.definitions, key.type):
        return key
    number = _pseudonyms(server, circumstances).number(key.id)
    if number is not None:
        for stored in await server.store.by_rid([number], circumstances.reach(interaction)):
            if stored.key.type == key.type:
                return stored.key
    raise NotFound(f"`{key}` is not here.")


def means(server: Server, circumstances: Circumstances) -> Means:
    """What it takes to tell a record so."""
    site = server.indexer.site
    here = replace(site, base_urls=(circumstances.base, *site.base_urls))

    def own(reference: str) -> Key | None:
        found = here.own(reference)
        return None if found is None else found.key

    return Means(
        server.definitions,
        server.knowledge.current.terms,
        _pseudonyms(server, circumstances),
        own,
    )


def _pseudonyms(server: Server, circumstances: Circumstances) -> Pseudonyms:
    return Pseudonyms(server.secret, circumstances.caller.client)
