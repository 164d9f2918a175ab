"""port — the port that is served, held from the first, and shared out among the workers.

Where workers take connections from one socket, the first to wake takes all that wait: eight that
come at once all went to one of two workers, while the other had nothing to do. Linux deals them
out among sockets of one port (socket(7), SO_REUSEPORT), so each worker makes one of its own.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys

from fhir_server.cli.exits import Exit, refuse
from fhir_server.settings import Settings

BACKLOG = 2048
DEALS_OUT = sys.platform == "linux"  # others that know the option give everything to one


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def bound(settings: Settings) -> socket.socket:
    """The socket, listening unless each worker has its own. Bound first, so that a taken port is
    told before anything is done."""
    host, port = settings.host.strip("[]"), settings.port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
        if settings.workers < 2 or not DEALS_OUT:
            return listening
        with listening:
            address = listening.getsockname()
        return held(family, address)
    except socket.gaierror:
        refuse(Exit.PORT, f"`{host}` is not an address or a name this machine knows.")
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                told = (
                    f"Port {port} of `{host}` is taken. Stop what uses it, or say another `--port`."
                )
            case errno.EADDRNOTAVAIL:
                told = f"`{host}` is not an address of this machine."
            case errno.EACCES:
                told = f"Port {port} may not be used by this user. Say a port above 1023."
            case _:
                told = f"`{host}:{port}` cannot be listened on: {error.strerror}."
        refuse(Exit.PORT, told)


class Shared(socket.socket):
    """Holds the port for the workers, without listening. What a worker is given of it, is a socket
    of that worker's own."""

    def __reduce__(self) -> tuple[object, ...]:
        return own, (self.family, self.getsockname())


def held(family: int, address: tuple[object, ...]) -> Shared:
    holding = Shared(family, socket.SOCK_STREAM)
    try:
        _bind(holding, address)
    except OSError:
        holding.close()
        raise
    # so that whoever else asks for the port is refused it before the workers listen, too
    holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return holding


def own(family: int, address: tuple[object, ...]) -> socket.socket:
    mine = socket.socket(family, socket.SOCK_STREAM)
    _bind(mine, address)
    mine.listen(BACKLOG)
    return mine


def _bind(one: socket.socket, address: tuple[object, ...]) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if one.family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    one.bind(address)
