"""address — where a request came from: the connection's other end, or what the proxy tells of it.

https://hl7.org/fhir/R4/security.html
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from fhir_server.foundation.outcome import Invalid
from fhir_server.rest.headers import Headers
from fhir_server.rest.options import Options

UNKNOWN = "unknown"
# RFC 7239 6:  IPv4address | "[" IPv6address "]" | "unknown" | obfnode, and perhaps a port
NODE = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<v4>[0-9.]{7,15})|(?P<hidden>_[A-Za-z0-9._-]{1,63}))"
    r"(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]{1,63}))?"
)
SITE = 64  # bits of an IPv6 address that one customer has; he chooses the others as he likes


def address(options: Options, headers: Headers, client: tuple[str, int] | None) -> str:
    """Where the request came from, as it is counted and written down.

    Of what proxies tell only the last is believed: the one in front of this server wrote it, and
    anyone could have written those before. Raises Invalid where two headers contradict.
    """
    if options.trust_proxy:
        told = {
            node(last)
            for name, last in (
                (b"forwarded", _for(headers.get(b"forwarded"))),
                (b"x-forwarded-for", _last(headers.get(b"x-forwarded-for"))),
            )
            if name in headers
        }
        if len(told) > 1:  # the proxy writes one of them, the client has written the other
            raise Invalid(
                "`Forwarded` and `X-Forwarded-For` name different clients. Let the proxy remove"
                " the one that it does not write."
            )
        if told:
            return told.pop()
    return client[0] if client else UNKNOWN


def _last(value: bytes | None) -> str:
    return (value or b"").decode("latin-1").rpartition(",")[2].strip()


def _for(value: bytes | None) -> str:
    """RFC 7239 4:  forwarded-pair *( ";" forwarded-pair )  of the last element."""
    pairs = (pair.partition("=") for pair in _last(value).split(";"))
    told = {name.strip().lower(): said.strip().strip('"') for name, _, said in pairs}
    return told.get("for", "")


@lru_cache(maxsize=4096)
def node(told: str) -> str:
    """The address without its port, in its one spelling; `unknown` where it is none."""
    found = NODE.fullmatch(told)
    plain = told if found is None else found["v6"] or found["v4"] or found["hidden"]
    if plain.startswith("_"):
        return plain
    try:
        return str(ipaddress.ip_address(plain))
    except ValueError:
        return UNKNOWN


@lru_cache(maxsize=4096)
def counted(told: str) -> str:
    """By what an address is told from others that are limited; empty for this machine's own.

    Whoever asks from this machine is a person at a laptop, or a proxy whose headers are not
    believed: that would be everybody, and one of them could keep the others out.
    """
    try:
        found = ipaddress.ip_address(told.partition("%")[0])
    except ValueError:
        return told
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            site = ipaddress.ip_network((found, SITE), strict=False)
            return "" if found.is_loopback else str(site)
        found = found.ipv4_mapped
    return "" if found.is_loopback else str(found)
