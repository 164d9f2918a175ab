"""hub_key — the hub's public key, for which a node seals its copy.

https://hl7.org/fhir/R4/security.html
"""

from __future__ import annotations

import httpx

from fhir_server.security.tokens.keys import BadKeys, Jwk
from fhir_server.sync.copy.piece import sealing_key


async def hub_key(asking: httpx.AsyncClient, hub: str) -> Jwk | None:
    """None: it cannot be had at the moment, or the hub is of before there were copies."""
    try:
        response = await asking.get(
            f"{hub}/oauth/copy-keys",
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )
        return sealing_key(response.content) if response.is_success else None
    except (httpx.HTTPError, BadKeys):
        return None
