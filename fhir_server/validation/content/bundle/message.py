"""message — that a message holds what its MessageHeader is about.

https://hl7.org/fhir/R4/messaging.html
https://hl7.org/fhir/R4/messageheader-definitions.html#MessageHeader.focus
"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.content.within import Within
from fhir_server.validation.messages import issue


def message(resource: Resource, path: str) -> Iterator[Issue]:
    """The issues of a Bundle of type message, where a MessageHeader comes first (bdl-12)."""
    entries = resource.get("entry") or []
    header = entries[0].get("resource") if entries else None
    if not isinstance(header, dict) or header.get("resourceType") != "MessageHeader":
        return
    within = Within(resource)
    for index, focus in enumerate(header.get("focus") or ()):
        text = focus.get("reference") if isinstance(focus, dict) else None
        if not isinstance(text, str) or text.startswith("#"):
            continue
        # R4 says of focus that its data is always included in the bundle of the message
        if within.find(text, entries[0].get("fullUrl")) is None:
            place = f"{path}.entry[0].resource.focus[{index}].reference"
            yield issue("message-focus", place, reference=text)
