"""apart — AuditEvents, which lie in no index: a question that leads through them is refused.

https://hl7.org/fhir/R4/search.html#errors

Without the refusal it would find nothing, as if nobody had seen anything.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_server.foundation.outcome import NotSupported

APART = "AuditEvent"


def refuse_apart(types: Iterable[str | None], asked: str) -> None:
    """asked: the parameter, as it was written. Raises NotSupported."""
    if APART in types:
        raise NotSupported(
            f"`{asked[:200]}` leads through AuditEvents, which are searched by themselves alone. "
            "Ask `AuditEvent?patient=Patient/123` first, then for what its entries name."
        )
