"""alive — what a connection to the hub asks of the system, so that one that is no more is noticed.

https://hl7.org/fhir/R4/http.html

RFC 9293 3.8.3, 3.8.4. A line that vanished, a modem that was set back and a machine that is gone
tell nobody. Whoever waits for an answer there waits as long as for any: more than a minute.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

ASKED = {
    "TCP_KEEPIDLE": 10,  # seconds in which nothing is said
    "TCP_KEEPALIVE": 10,  # the same where it has this name
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 2,
    "TCP_USER_TIMEOUT": 20_000,  # milliseconds in which nothing of what was said arrives
}


def asked() -> list[tuple[int, int, int]]:
    """What this system knows of it."""
    known = {name: value for name, value in ASKED.items() if hasattr(socket, name)}
    found = [(socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in known.items()]
    return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *found]


def is_proxied(url: str) -> bool:
    """Whether the environment says that it is asked by a proxy."""
    parts = urlsplit(url)
    told = getproxies()
    return (parts.scheme in told or "all" in told) and not proxy_bypass(parts.hostname or "")
