"""base_url — the server's base URL as the client sees it.

https://hl7.org/fhir/R4/http.html#general
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from fhir_server.foundation.outcome import Invalid
from fhir_server.rest.headers import Headers
from fhir_server.rest.options import Options

# RFC 3986 3.2.2:  host [ ":" port ]
HOST = re.compile(r"(?:[A-Za-z0-9._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/?")
SCHEMES = frozenset({"http", "https"})
FORWARDED = (b"forwarded", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix")


def base_url(
    options: Options, headers: Headers, *, scheme: str, server: tuple[str, int | None] | None
) -> str:
    """The base URL of this request, without a slash at its end."""
    if options.public_base_url:
        return options.public_base_url.rstrip("/")
    if options.trust_proxy:
        told = tuple(headers.get(name) for name in FORWARDED)
        if any(told):
            return _forwarded(told, headers.get(b"host"), scheme, options.base_path)
    host = headers.get(b"host")
    if not host:  # HTTP/1.0 may leave it out
        name, port = server or ("localhost", None)
        host = f"{name}:{port}".encode() if port else name.encode()
    return _direct(scheme, host, options.base_path)


@lru_cache(maxsize=256)
def _direct(scheme: str, host: bytes, base_path: str) -> str:
    return f"{scheme}://{_host(host.decode('latin-1'))}{base_path}"


@lru_cache(maxsize=256)
def _forwarded(
    told: tuple[bytes | None, ...], host: bytes | None, scheme: str, base_path: str
) -> str:
    """What the nearest client said to the first proxy. RFC 7239 before the older names."""
    forwarded, proto, x_host, prefix = (value.decode("latin-1") if value else "" for value in told)
    pairs = _first(forwarded)
    scheme = pairs.get("proto") or proto.partition(",")[0].strip() or scheme
    name = pairs.get("host") or x_host.partition(",")[0].strip()
    name = name or (host or b"localhost").decode("latin-1")
    before = prefix.partition(",")[0].strip()
    if scheme.lower() not in SCHEMES or not PREFIX.fullmatch(before):
        raise Invalid(
            "The proxy's `X-Forwarded-Proto` must be `http` or `https`, and `X-Forwarded-Prefix`"
            " a path such as `/records`."
        )
    return f"{scheme.lower()}://{_host(name)}{before.rstrip('/')}{base_path}"


def _first(forwarded: str) -> Mapping[str, str]:
    """RFC 7239 4:  [ token "=" ( token | quoted-string ) ] *( ";" ... )  of the first element."""
    pairs = (pair.partition("=") for pair in forwarded.partition(",")[0].split(";"))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def _host(told: str) -> str:
    if not HOST.fullmatch(told):
        raise Invalid("The header `Host` must be a host name or address and, perhaps, a port.")
    return told
