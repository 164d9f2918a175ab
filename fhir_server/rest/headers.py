"""headers — every header FHIR speaks, in and out.

https://hl7.org/fhir/R4/http.html#ops
https://hl7.org/fhir/R4/http.html#concurrency
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple

from fhir_server.foundation.outcome import HeadersTooLarge, Invalid
from fhir_server.foundation.resource import ID, Key
from fhir_server.interaction.context import Answer, Once

Headers = dict[bytes, bytes]  # names in lower case
ANY = "*"

# RFC 9110 8.8.3:  [ W/ ] " opaque-tag "   - and, as many clients send it, the bare version id
ENTITY_TAG = re.compile(rf'(?:W/)?"(?P<tag>[^"]*)"|(?P<bare>{ID.pattern})')
# A UUID, with dashes or without. The log tells it, so it must have no room for a patient's number.
REQUEST_ID = re.compile(rb"[0-9A-Fa-f]{8}(?:-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}")
PRINTABLE = re.compile(rb"[ -~]{1,256}")
IDEMPOTENCY_KEY = re.compile(r'"?(?P<key>[!#-\[\]-~]{1,255})"?')
MAX_TAGS = 64
SINGLE = frozenset(
    b"host content-type content-length content-encoding idempotency-key if-modified-since"
    b" if-none-exist x-security-context authorization".split()
)


def collected(raw: list[tuple[bytes, bytes]], *, bound: int) -> Headers:
    """The headers by name; those that came more than once joined as RFC 9110 5.3 says."""
    headers = dict(raw)
    size = 0
    for name, value in raw:
        size += len(name) + len(value)
    if size > bound:
        raise HeadersTooLarge(
            f"The headers are {size} bytes; `max_header` allows {bound}. Send fewer or shorter."
        )
    if len(headers) == len(raw):
        return headers
    headers.clear()
    for name, value in raw:
        if name in headers and name in SINGLE and headers[name] != value:
            raise Invalid(f"The header `{name.decode('latin-1')}` came twice. Send it once.")
        headers[name] = value if name not in headers else headers[name] + b", " + value
    return headers


def text(headers: Headers, name: bytes) -> str | None:
    """A header as text, or None. Raises Invalid where it is not UTF-8."""
    value = headers.get(name)
    if value is None:
        return None
    try:
        return value.decode().strip()
    except UnicodeDecodeError:
        raise Invalid(
            f"The header `{name.decode('latin-1')}` is not UTF-8. Percent-encode what is not ASCII."
        ) from None


# --- versions and dates --------------------------------------------------------------------------


def etag(version_id: str) -> bytes:
    """R4 http#versioning: the version id as a weak entity tag."""
    return b'W/"%b"' % version_id.encode()


@lru_cache(maxsize=1024)
def entity_tags(value: bytes, name: str) -> tuple[str, ...]:
    """The version ids an If-Match or If-None-Match names; `("*",)` for any."""
    told = value.decode("latin-1").strip()
    if told == ANY:
        return (ANY,)
    tags: list[str] = []
    for part in told.split(","):
        found = ENTITY_TAG.fullmatch(part.strip())
        if found is None or len(tags) == MAX_TAGS:
            raise Invalid(
                f'`{name}` must be the ETag of a version, such as `W/"1-abc"`, a list of at most'
                f" {MAX_TAGS} of them, or `*`.",
                expression=f"http.{name}",
            )
        tags.append(found["tag"] if found["tag"] is not None else found["bare"])
    return tuple(tags)


@lru_cache(maxsize=4096)
def _http_date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()


def http_date(milliseconds: int) -> bytes:
    return _http_date(milliseconds // 1000)


def date_of(value: bytes) -> int | None:
    """Seconds since 1970 of an HTTP date; None where it is none, which RFC 9110 has ignored."""
    try:
        found = parsedate_to_datetime(value.decode("latin-1"))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return int((found - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())


def not_modified(headers: Headers, answer: Answer) -> bool:
    """Whether the client has this version already. R4 http#cread."""
    tags = headers.get(b"if-none-match")
    if tags is not None:  # RFC 9110 13.1.3: then If-Modified-Since is not looked at
        wanted = entity_tags(tags, "If-None-Match")
        return ANY in wanted or version_of(answer) in wanted
    since = headers.get(b"if-modified-since")
    if since is None or answer.updated is None:
        return False
    moment = date_of(since)
    return moment is not None and answer.updated // 1000 <= moment


def version_of(answer: Answer) -> str | None:
    """The version an answer's ETag names; what is no resource's version brings its own."""
    if answer.version_id:
        return answer.version_id
    told = answer.headers.get("ETag")
    return told[3:-1] if told and told.startswith('W/"') else None


def located(base: str, key: Key, version_id: str | None) -> bytes:
    """[base]/[type]/[id]/_history/[vid]"""
    version = f"/_history/{version_id}" if version_id else ""
    return f"{base}/{key.type}/{key.id}{version}".encode()


# --- preferences ---------------------------------------------------------------------------------


class Preferences(NamedTuple):
    """`Prefer`, as far as FHIR speaks of it; what is unknown is ignored, as RFC 7240 says."""

    returned: str | None = None  # minimal | representation | OperationOutcome
    strict: bool = True
    applied: str | None = None  # for Preference-Applied
    wait: int = 0  # seconds


NO_PREFERENCE = Preferences()
RETURNS = {r.lower(): r for r in ("minimal", "representation", "OperationOutcome")}
HANDLINGS = {"strict": True, "lenient": False}
SECONDS = re.compile(r"[0-9]{1,9}")


@lru_cache(maxsize=256)
def preferences(value: bytes) -> Preferences:
    """R4 http#return and search#errors; RFC 7240 4.3. The first of two that contradict counts."""
    returned: str | None = None
    strict: bool | None = None
    wait: int | None = None
    applied = []
    for part in re.split("[,;]", value.decode("latin-1")):
        name, _, told = (piece.strip(' \t"') for piece in part.partition("="))
        match name.lower(), told.lower():
            case "return", wanted if returned is None and wanted in RETURNS:
                returned = RETURNS[wanted]
                applied.append(f"return={returned}")
            case "handling", wanted if strict is None and wanted in HANDLINGS:
                strict = HANDLINGS[wanted]
                applied.append(f"handling={wanted}")
            case "wait", wanted if wait is None and SECONDS.fullmatch(wanted):
                wait = int(wanted)
    return Preferences(returned, strict is not False, ", ".join(applied) or None, wait or 0)


# --- languages -----------------------------------------------------------------------------------

MAX_LANGUAGES = 32
# RFC 9110 12.5.4, RFC 4647 2.1:  language-range [ ";q=" qvalue ]
LANGUAGE_RANGE = re.compile(
    r"(?P<primary>[A-Za-z]{1,8})(?:-[A-Za-z0-9]{1,8})*\s*(?:;\s*[qQ]\s*=\s*(?P<q>[01](?:\.\d{0,3})?))?"
)
LANGUAGES = ("en", "vi")


@lru_cache(maxsize=256)
def language(value: bytes) -> str | None:
    """In which of its two languages a client wants to be told of issues; None: in both."""
    best: tuple[float, str] | None = None
    for part in value[:1024].decode("latin-1").split(",")[:MAX_LANGUAGES]:
        found = LANGUAGE_RANGE.fullmatch(part.strip())
        if found is None or found["primary"].lower() not in LANGUAGES:
            continue
        weight = float(found["q"] or 1)
        if 0 < weight <= 1 and (best is None or weight > best[0]):
            best = weight, found["primary"].lower()
    return best[1] if best else None


# --- names of requests ---------------------------------------------------------------------------


def ids() -> Iterator[bytes]:
    """Names for requests. They are random: a count would tell each client how much others ask."""
    while True:
        page = os.urandom(16 * 256)  # a page at a time: asking costs a system call
        for start in range(0, len(page), 16):
            yield page[start : start + 16].hex().encode()


def told_id(headers: Headers, name: bytes) -> bytes | None:
    """A client's own name for the request, if it may stand in the log."""
    value = headers.get(name)
    return value if value is not None and REQUEST_ID.fullmatch(value) else None


def correlation(headers: Headers, request_id: bytes) -> bytes | None:
    """R4 http#custom: the client's own name for the request, where the server uses another."""
    told = headers.get(b"x-correlation-id") or headers.get(b"x-request-id")
    if told is None or told == request_id or not PRINTABLE.fullmatch(told):
        return None
    return told


def once(headers: Headers, *, client: str, method: str, url: bytes, body: bytes) -> Once | None:
    """The Idempotency-Key of a request, told apart by who asks and what for."""
    told = headers.get(b"idempotency-key")
    if told is None:
        return None
    found = IDEMPOTENCY_KEY.fullmatch(told.decode("latin-1").strip())
    if found is None:
        raise Invalid(
            "`Idempotency-Key` must be 1 to 255 letters, digits or signs of ASCII without spaces,"
            " such as a UUID.",
            expression="http.Idempotency-Key",
        )
    apart = "\0".join((client, method, url.decode("latin-1"), found["key"]))
    key = hashlib.sha256(apart.encode()).hexdigest()
    return Once(key, hashlib.sha256(body).digest())
