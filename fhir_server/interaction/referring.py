"""referring — what resources refer to by reference parameters, read from the resources themselves.

https://hl7.org/fhir/R4/references.html#literal
https://hl7.org/fhir/R4/search.html#reference
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from fhir_server.interaction.context import Server
from fhir_server.search.extract import compiled
from fhir_server.search.kinds import reference
from fhir_server.search.parameters import Parameter
from fhir_server.search.site import Site
from fhir_server.store.codec import elements_of
from fhir_server.store.contract import KeyRow, Stored


def targets(
    server: Server, numbers: tuple[int, ...], rows: Mapping[int, Stored]
) -> dict[int, set[int]]:
    """The numbers of what each refers to by the parameters of these numbers."""
    readers: dict[str, list[Any]] = {}
    found: dict[int, set[int]] = {}
    for rid, stored in rows.items():
        type = stored.key.type
        if type not in readers:
            readers[type] = [
                _reader(one, server.indexer.site) for one in _of(server, type, numbers)
            ]
        there: list[KeyRow] = []
        resource = elements_of(stored)
        for read in readers[type]:
            read(resource, there)
        found[rid] = {row.w for row in there if row.w > 0}  # what names an identifier is below
    return found


def _of(server: Server, type: str, numbers: tuple[int, ...]) -> Iterable[Parameter]:
    """A narrowed parameter's values are among those of a wider one of its number."""
    for parameter in server.parameters.of(type).values():
        if parameter.number in numbers and not parameter.narrowed:
            yield parameter


@lru_cache(maxsize=1 << 10)
def _reader(parameter: Parameter, site: Site) -> Any:
    """Takes the rows of a reference parameter out of a resource."""
    names: dict[str, Any] = {}
    ways = []
    for path in parameter.paths:
        if write := reference.writer(parameter, path.type, site, path.system):
            names[f"w{len(names)}"] = write
            ways.append((path, [f"rows += w{len(names) - 1}({{v}})"]))
    return compiled("read(r, rows)", ways, names)
