"""formats — JSON and XML, as asked and as sent.

https://hl7.org/fhir/R4/http.html#mime-type
https://hl7.org/fhir/R4/http.html#parameters
"""

from __future__ import annotations

from email.message import Message
from functools import lru_cache
from typing import NamedTuple

from fhir_server.foundation.outcome import NotAcceptable, UnsupportedMedia

JSON, XML, JSON_PATCH, FORM, RAW = "json", "xml", "json-patch", "form", "raw"

FHIR_JSON, FHIR_XML = "application/fhir+json", "application/fhir+xml"
# R4 http#mime-type: generic types are answered with themselves.
MIMES = {
    FHIR_JSON: JSON,
    "application/json": JSON,
    "text/json": JSON,
    "application/json+fhir": JSON,  # DSTU2's name, still sent
    FHIR_XML: XML,
    "application/xml": XML,
    "text/xml": XML,
    "application/xml+fhir": XML,
}
SHORT = {"json": FHIR_JSON, "xml": FHIR_XML}  # what `_format` may say beside the MIME types
BODIES = MIMES | {
    "application/json-patch+json": JSON_PATCH,
    "application/x-www-form-urlencoded": FORM,
}
# R4 http#version-parameter: `fhirVersion` is major.minor
VERSIONS = frozenset({"4.0", "4.0.1"})
MAX_ACCEPT = 4096
WANTED = f"Ask for `{FHIR_JSON}` or `{FHIR_XML}`."


class Format(NamedTuple):
    """What an answer is written in, and what its Content-Type says."""

    kind: str  # json | xml
    content_type: bytes


class Media(NamedTuple):
    """A MIME type taken apart; parameters' names in lower case."""

    type: str
    parameters: dict[str, str]


def media(value: str) -> Media:
    """The email package reads the grammar, quoted strings included."""
    message = Message()
    message["content-type"] = value.replace("\r", " ").replace("\n", " ")
    found = message.get_params() or [("", "")]
    return Media(found[0][0].lower(), {name.lower(): told for name, told in found[1:]})


def content_type(mime: str, fhir_version: str | None = None) -> bytes:
    version = f"; fhirVersion={fhir_version}" if fhir_version else ""
    return f"{mime}{version}; charset=utf-8".encode()


DEFAULT = Format(JSON, content_type(FHIR_JSON))


@lru_cache(maxsize=1024)
def wanted(accept: bytes | None, format: str | None) -> Format:
    """The format to answer in: `_format` before Accept before JSON. Raises NotAcceptable."""
    if format is not None:
        return _by_parameter(format)
    if accept is None or not accept.strip():
        return DEFAULT
    best: tuple[float, int, Format] | None = None
    for mime, parameters, quality, place in ranges(accept):
        found = _format(mime, parameters)
        if found and quality > 0 and (best is None or (quality, -place) > best[:2]):
            best = (quality, -place, found)
    if best is None:
        raise NotAcceptable(
            f"Nothing `Accept` names is spoken here: `{_shown(accept)}`. {WANTED}",
            expression="http.Accept",
        )
    return best[2]


def _by_parameter(format: str) -> Format:
    # R4 http#parameters: `+` in a URL means a blank, so `fhir json` was meant as `fhir+json`.
    asked = media(format.strip().replace("fhir ", "fhir+"))
    mime = SHORT.get(asked.type, asked.type)
    found = _format(mime, asked.parameters) if mime in MIMES else None
    if found is None:
        raise NotAcceptable(
            f"`_format` is `{format[:100]}`; it may be `json`, `xml`, `{FHIR_JSON}` or"
            f" `{FHIR_XML}`, in FHIR version 4.0.",
            expression="http._format",
        )
    return found


def ranges(accept: bytes) -> list[tuple[str, dict[str, str], float, int]]:
    """The media ranges of an Accept header with their weights, in the order they came."""
    found = []
    for place, part in enumerate(accept[:MAX_ACCEPT].decode("latin-1").split(",")):
        mime, parameters = media(part.strip())
        found.append((mime, parameters, quality(parameters.get("q", "1")), place))
    return found


def quality(told: str) -> float:
    try:
        value = float(told)
    except ValueError:
        return 0.0
    return value if 0 <= value <= 1 else 0.0


def _format(mime: str, parameters: dict[str, str]) -> Format | None:
    version = parameters.get("fhirversion")
    if version is not None and version not in VERSIONS:
        return None
    if parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        return None
    if mime in ("*/*", "application/*", ""):
        mime = FHIR_JSON
    elif mime == "text/*":
        mime = "text/json"
    kind = MIMES.get(mime)
    if kind is None:
        return None
    if version or mime != FHIR_JSON:
        return Format(kind, content_type(mime, version))
    return DEFAULT


@lru_cache(maxsize=256)
def charset_refused(accept_charset: bytes) -> bool:
    """R4 http#mime-type: UTF-8, and nothing else."""
    for part in accept_charset.decode("latin-1").split(","):
        name, parameters = media(part.strip())
        if name in ("utf-8", "utf8", "*") and quality(parameters.get("q", "1")) > 0:
            return False
    return True


# --- what was sent -------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def sent(content_type: bytes | None, accepted: tuple[str, ...]) -> str:
    """What a body is written in; RAW where that is accepted too. Raises UnsupportedMedia."""
    if content_type is None:
        raise UnsupportedMedia(
            f"`Content-Type` is missing. {_accepting(accepted)}", headers=_accept(accepted)
        )
    told = media(content_type.decode("latin-1"))
    kind = BODIES.get(told.type)
    if kind not in accepted:
        kind = RAW if RAW in accepted else None
    if kind is None:
        raise UnsupportedMedia(
            f"`Content-Type` is `{_shown(content_type)}`. {_accepting(accepted)}",
            headers=_accept(accepted),
        )
    charset = told.parameters.get("charset", "utf-8").lower()
    if kind != RAW and charset not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMedia(f"The charset `{charset[:40]}` is not spoken: FHIR is UTF-8.")
    version = told.parameters.get("fhirversion", "4.0")
    if kind != RAW and version not in VERSIONS:
        raise UnsupportedMedia(
            f"`fhirVersion={version[:20]}` is not spoken here: send FHIR R4, `fhirVersion=4.0`."
        )
    return kind


def _mimes(accepted: tuple[str, ...]) -> list[str]:
    return [
        mime for mime, kind in BODIES.items() if kind in accepted and not mime.endswith("+fhir")
    ]


def _accepting(accepted: tuple[str, ...]) -> str:
    return "Send one of " + ", ".join(f"`{mime}`" for mime in _mimes(accepted)) + "."


def _accept(accepted: tuple[str, ...]) -> dict[str, str]:
    """RFC 9110 15.5.16 and RFC 5789 2.2: say what would have been taken."""
    name = "Accept-Patch" if JSON_PATCH in accepted else "Accept"
    return {name: ", ".join(_mimes(accepted))}


def _shown(value: bytes) -> str:
    return value[:100].decode("latin-1").encode("ascii", "replace").decode()


@lru_cache(maxsize=256)
def generic(accept: bytes) -> bool:
    """Whether an Accept names JSON or XML, FHIR's or any."""
    return any(mime in MIMES for mime, *_ in ranges(accept))
