"""binary — raw content in and out of Binary, without a resource around it.

https://hl7.org/fhir/R4/binary.html#rest
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from fhir_server.foundation.outcome import Invalid, NotAcceptable
from fhir_server.foundation.resource import Resource
from fhir_server.foundation.wire import parse
from fhir_server.rest import formats
from fhir_server.rest.formats import JSON

if TYPE_CHECKING:
    from fhir_server.rest.request import Request

# RFC 9110 8.3.1:  type "/" subtype *( ";" parameter )
TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - RFC 9110's word
MIME = re.compile(rf'{TOKEN}/{TOKEN}(?:\s*;\s*{TOKEN}=(?:{TOKEN}|"[^"\x00-\x1f\\]*"))*')
EXPLICIT = frozenset({formats.FHIR_JSON, formats.FHIR_XML, *(m for m in formats.MIMES if "+" in m)})


def is_resource(body: bytes, kind: str) -> bool:
    """Whether JSON or XML sent to Binary is the resource itself rather than its content."""
    if kind != JSON:
        return b"<Binary" in body[:4096] and b"http://hl7.org/fhir" in body[:4096]
    return b'"resourceType"' in body and b'"Binary"' in body


def from_raw(request: Request, body: bytes) -> Resource:
    """The Binary a raw body is stored as. R4 binary#rest."""
    told = request.header(b"content-type") or ""
    if not MIME.fullmatch(told) or len(told) > 255:
        raise Invalid("`Content-Type` is not a MIME type.", expression="Binary.contentType")
    found: Resource = {"resourceType": "Binary", "contentType": told}
    context = request.header(b"x-security-context")
    if context:
        found["securityContext"] = {"reference": context}
    if body:
        found["data"] = base64.b64encode(body).decode()
    return found


class Raw:
    """A Binary's content, as it goes out."""

    __slots__ = ("body", "content_type", "security_context")

    def __init__(self, body: bytes, content_type: bytes, security_context: bytes | None) -> None:
        self.body, self.content_type = body, content_type
        self.security_context = security_context


@lru_cache(maxsize=256)
def wants_resource(accept: bytes) -> bool:
    """R4 binary#rest: the resource is for those who name a FHIR type, and for no one else."""
    return any(
        mime in EXPLICIT and formats.quality(parameters.get("q", "1")) > 0
        for mime, parameters, *_ in formats.ranges(accept)
    )


def raw(body: bytes, accept: bytes | None) -> Raw | None:
    """The content of a Binary for this Accept; None where the resource is to be sent."""
    if accept is not None and wants_resource(accept):
        return None
    resource = parse(body)
    told, data = resource.get("contentType"), resource.get("data", "")
    if not isinstance(told, str) or not MIME.fullmatch(told) or not isinstance(data, str):
        return None
    if accept is not None and not _accepts(accept, formats.media(told).type):
        if formats.generic(accept):
            return None
        raise NotAcceptable(
            f"This Binary is `{told}`, which `Accept` does not name. Ask for that, or for"
            f" `{formats.FHIR_JSON}`.",
            expression="http.Accept",
        )
    try:
        content = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    context = (resource.get("securityContext") or {}).get("reference")
    safe = context.encode() if isinstance(context, str) and context.isprintable() else None
    return Raw(content, told.encode("latin-1", "replace"), safe)


def _accepts(accept: bytes, mime: str) -> bool:
    main = mime.partition("/")[0]
    return any(
        name in (mime, f"{main}/*", "*/*", "") and formats.quality(parameters.get("q", "1")) > 0
        for name, parameters, *_ in formats.ranges(accept)
    )
