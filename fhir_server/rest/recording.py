"""recording — each request and what became of it is written down before it is answered.

https://hl7.org/fhir/R4/security.html#audit

What says nothing of anyone is not written down: the CapabilityStatement, and what the server offers
(OPTIONS). Nor is a request that was turned away because there were too many: its number is counted,
and to write each down would help whoever sends them.
"""

from __future__ import annotations

import logging
from urllib.parse import urlencode

from fhir_server.foundation.outcome import FhirError
from fhir_server.interaction import auditing
from fhir_server.interaction.context import Server
from fhir_server.rest.request import Request
from fhir_server.security.audit.record import Record
from fhir_server.security.decision import Access
from fhir_server.store.contract import Stale

OPEN_TO_ALL = frozenset({"capabilities", "options", "smart-configuration"})
THROTTLED = 429
UNKNOWN = "none"  # the interaction of a request whose place or method is not known
ATTEMPT = "attempt"

log = logging.getLogger(__name__)


def record_of(request: Request) -> Record:
    """The Record of a request, made where it is first needed."""
    if request.record is None:
        name = request.interaction
        request.record = Record(
            ATTEMPT if name == UNKNOWN else name,
            url_of(request),
            request.id.decode("latin-1"),
            address=request.address,
            access=request.access if isinstance(request.access, Access) else None,
            type=request.place.type or "",
        )
    return request.record


def url_of(request: Request) -> str:
    """Path and query; of a search by POST, with what its form says."""
    path = request.raw_path.decode("latin-1")
    if request.method == "POST" and request.interaction.startswith("search"):
        return f"{path}?{urlencode(request.pairs)}" if request.pairs else path
    return f"{path}?{request.raw_query.decode('latin-1')}" if request.raw_query else path


async def done(server: Server, request: Request, status: int) -> None:
    """What was done is written down, or nothing is answered. Raises Unavailable, OutOfSpace."""
    if server.audit and request.interaction not in OPEN_TO_ALL:
        record = record_of(request)
        await auditing.written_down(server, request.caller, record, status)


async def refused(server: Server, request: Request, status: int, code: str) -> None:
    """That it was refused is written down, where it can be: the refusal tells nothing of anyone."""
    if not server.audit or request.interaction in OPEN_TO_ALL or status == THROTTLED:
        return
    try:
        await auditing.written_down(server, request.caller, record_of(request), status, code)
    except (FhirError, Stale) as error:
        log.warning("a refused request was not written down: %s", type(error).__name__)
