"""cors — web pages of other origins, as far as the settings let them in.

https://hl7.org/fhir/R4/security.html#cors
"""

from __future__ import annotations

from collections.abc import Collection

from fhir_server.foundation.outcome import Forbidden
from fhir_server.rest.headers import Headers

RawHeaders = list[tuple[bytes, bytes]]

CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
ASKED = (
    b"Accept, Accept-Language, Authorization, Content-Encoding, Content-Type, Idempotency-Key,"
    b" If-Match, If-Modified-Since, If-None-Exist, If-None-Match, Prefer, X-Correlation-Id,"
    b" X-Request-Id, X-Security-Context"
)
EXPOSED = (
    b"Allow, Content-Location, ETag, Idempotent-Replayed, Last-Modified, Location,"
    b" Preference-Applied, Retry-After, X-Correlation-Id, X-Request-Id, X-Security-Context"
)


def origin(origins: Collection[str], headers: Headers) -> bytes | None:
    """What Access-Control-Allow-Origin says, or None where the page is not let in.

    origins: those that are let in; `*`: every one.
    Never with credentials: a cookie of the browser's is no reason to give out records.
    """
    told = headers.get(b"origin")
    if told is None or not origins:
        return None
    if "*" in origins:
        return b"*"
    return told if told.decode("latin-1") in origins else None


def refuse_foreign(origins: Collection[str], headers: Headers, *, method: str, base: str) -> None:
    """Raise Forbidden for what a page that is not let in would have done.

    A browser hides the answer from such a page, but some requests it sends without asking first:
    a POST without a body of a type of its own. Who is no browser sends no Origin.
    """
    told = headers.get(b"origin")
    if told is None or method not in CHANGING or origin(origins, headers) is not None:
        return
    if told.decode("latin-1") != "/".join(base.split("/", 3)[:3]):
        raise Forbidden(
            "This page is of another origin and is not let in. Have its origin added to"
            " `cors_origins`.",
            expression="http.Origin",
        )


def exposed(origins: Collection[str], headers: Headers) -> RawHeaders:
    """The headers of an answer to a page of another origin."""
    allowed = origin(origins, headers)
    if allowed is None:
        return []
    return [(b"access-control-allow-origin", allowed), (b"access-control-expose-headers", EXPOSED)]


def preflight(origins: Collection[str], headers: Headers) -> RawHeaders | None:
    """The headers that answer a preflight; None where the request is none, or not let in."""
    if b"access-control-request-method" not in headers:
        return None
    allowed = origin(origins, headers)
    if allowed is None:
        return None
    return [
        (b"access-control-allow-origin", allowed),
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", ASKED),
        (b"access-control-max-age", b"600"),
    ]
