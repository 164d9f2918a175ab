"""spaces — networks of their own for a hub and its posts, which nothing joins but what we pass on.

A network namespace without a name (namespaces(7)): it lives as long as somebody is in it or holds
it, so that nothing is left behind, however a test ends, and nothing of the machine's own network is
touched. What is needed is root, and /dev/net/tun; no program.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import os
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

OWN = "/proc/thread-self/ns/net"
TUN = Path("/dev/net/tun")
# linux/sched.h, linux/sockios.h, linux/if_tun.h, linux/if.h
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFDSTADDR, SIOCSIFNETMASK = 0x8914, 0x8916, 0x8918, 0x891C
TUNSETIFF, IFF_TUN, IFF_NO_PI, IFF_UP = 0x400454CA, 0x0001, 0x1000, 0x0001
_libc = ctypes.CDLL(None, use_errno=True)


class Space:
    """A network. trust: whose certificates who calls from here believes in."""

    def __init__(self, trust: ssl.SSLContext | None = None) -> None:
        """Raises OSError where none may be had."""
        self.trust = trust
        found: list[int | OSError] = []
        thread = threading.Thread(target=_leave, args=(found,))
        thread.start()
        thread.join()
        if isinstance(found[0], OSError):
            raise found[0]
        self._file = found[0]
        with self.inside():
            switch("lo", up=True)  # which is down in a new one

    @contextmanager
    def inside(self) -> Iterator[None]:
        """What this thread opens and starts meanwhile, sockets and processes, is in it."""
        before = os.open(OWN, os.O_RDONLY)
        try:
            _call(_libc.setns(self._file, CLONE_NEWNET))
            try:
                yield
            finally:
                _call(_libc.setns(before, CLONE_NEWNET))
        finally:
            os.close(before)

    def end(self) -> None:
        os.close(self._file)


def within(space: Space | None) -> AbstractContextManager[None]:
    """None: the machine's own network."""
    return nullcontext() if space is None else space.inside()


def _leave(found: list[int | OSError]) -> None:
    """For a network of this thread's own."""
    try:
        _call(_libc.unshare(CLONE_NEWNET))
        found.append(os.open(OWN, os.O_RDONLY))
    except OSError as error:
        found.append(error)


def _call(failed: int) -> None:
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


# --- devices -------------------------------------------------------------------------------------


def tunnel(name: str, own: str, other: str) -> int:
    """A device in the network this thread is in: what is sent to the other address is read from the
    file, and what is written to it has come from there."""
    file = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    try:
        asked = _name(name) + struct.pack("H22x", IFF_TUN | IFF_NO_PI)
        fcntl.ioctl(file, TUNSETIFF, asked)
        for what, address in (
            (SIOCSIFADDR, own), (SIOCSIFDSTADDR, other), (SIOCSIFNETMASK, "255.255.255.255")
        ):  # fmt: skip
            _set(what, name, struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address)))
        switch(name, up=True)
    except OSError:
        os.close(file)
        raise
    return file


def switch(name: str, *, up: bool) -> None:
    """A device on, or off."""
    _set(SIOCSIFFLAGS, name, struct.pack("H14x", IFF_UP if up else 0))


def _set(what: int, name: str, told: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        fcntl.ioctl(asking, what, _name(name) + told)


def _name(name: str) -> bytes:
    return name.encode().ljust(16, b"\0")


# --- where they may be had -----------------------------------------------------------------------


@functools.cache
def are_allowed() -> bool:
    """Says so once where they are not. FHIR_CHAOS_PORTS asks for none."""
    if os.environ.get("FHIR_CHAOS_PORTS"):
        return False
    try:
        space = Space()
        try:
            with space.inside():
                os.close(tunnel("try", "10.77.0.1", "10.77.0.2"))
        finally:
            space.end()
    except (OSError, AttributeError) as error:  # AttributeError: no Linux
        print(
            f"Networks of their own cannot be had here ({error}): hub and posts are on ports of"
            " this machine, behind a proxy.",
            file=sys.stderr,
        )
        return False
    return True
