"""uri_text — a uri's text as it is kept, so that uris can be found by how they begin.

https://hl7.org/fhir/R4/search.html#uri
"""

from __future__ import annotations

from fhir_server.store.contract import hash128

LONGEST = 600  # characters: four bytes each, and a hash, are what a page of an index still holds


def kept(uri: str) -> str:
    """The text; of a very long one its beginning, told apart from others by a hash."""
    return uri if len(uri) <= LONGEST else f"{uri[:LONGEST]} {hash128(uri):032x}"
