"""tls — HTTPS by a certificate and its key, TLS 1.2 or 1.3 and nothing older.

https://hl7.org/fhir/R4/security.html#http

A certificate that is replaced in its file is used from the next connection on: those of most
authorities are good for weeks, and a server is not begun anew for that.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fhir_server.cli.exits import Exit, Refused, refuse
from fhir_server.settings import Settings

log = logging.getLogger(__name__)
LOOK_AGAIN = 1.0  # seconds until the files are looked at again
MINIMA = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Locked(Exception):
    """The key has a password, and nobody is there to type it."""


def context(settings: Settings) -> ssl.SSLContext | None:
    """How connections are made secret; None where they are not. Refuses what cannot be used."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if not certificate:
        return None
    for name, file in (("tls_certificate", certificate), ("tls_key", key)):
        try:
            Path(file).read_bytes()
        except OSError as error:
            refuse(Exit.MISUSED, f"`{name}` is `{file}`, which cannot be read: {error.strerror}.")
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.minimum_version = MINIMA[settings.tls_minimum]
    found.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # TLS 1.3 has no weak ones; of 1.2, those with a key of their own each time, authenticated.
    found.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    found.set_alpn_protocols(["http/1.1"])
    try:
        found.load_cert_chain(certificate, key, password=_locked)
    except Locked:
        refuse(
            Exit.MISUSED,
            f"`tls_key` is `{key}`, which has a password: write it without one"
            " (`openssl pkey -in KEY -out PLAIN`), readable by the server's user alone.",
        )
    except ssl.SSLError as error:
        refuse(Exit.MISUSED, _why(error, certificate, key))
    return found


class Renewed:
    """A context that goes with its files: each handshake asks whether they have changed.

    Files that cannot be used, such as one of a pair that is half written, change nothing but a
    line in the log.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        made = context(settings)
        assert made is not None, "there is a certificate"
        self.first = self._current = made
        self._settings = settings
        self._clock = clock
        self._looked = clock()
        self._state = self._now()
        # OpenSSL calls it at each handshake, whether a name is asked for or not.
        self.first.sni_callback = self._chosen

    def _chosen(self, connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        if self._clock() - self._looked >= LOOK_AGAIN:
            self._look()
        connection.context = self._current

    def _look(self) -> None:
        self._looked = self._clock()
        state = self._now()
        if state == self._state:
            return
        self._state = state
        try:
            made = context(self._settings)
        except Refused as refusal:
            log.warning("The certificate stays as it was. %s", refusal)
            return
        assert made is not None
        self._current = made
        log.info("The certificate was read anew.")

    def _now(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(f) for f in (self._settings.tls_certificate, self._settings.tls_key))


def _stamp(file: str) -> tuple[int, int, int] | None:
    """What changes when a file is replaced or written; None: it is not there."""
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def renewed(settings: Settings) -> ssl.SSLContext | None:
    """The context a server listens with; None where connections are not secret."""
    return Renewed(settings).first if settings.tls_certificate else None


def loop(seconds: float) -> asyncio.AbstractEventLoop:
    """A loop whose servers end a handshake that takes longer: one who connects and says nothing
    is no request yet, so no other bound holds."""
    import uvloop

    made = uvloop.new_event_loop()
    brisk: Any = made
    brisk.create_server = partial(made.create_server, ssl_handshake_timeout=seconds)
    return made


def _locked() -> str:
    raise Locked


def _why(error: ssl.SSLError, certificate: str, key: str) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"`tls_key` is `{key}`, which is not the key of the certificate in `{certificate}`."
    return (
        f"`tls_certificate` is `{certificate}` and `tls_key` is `{key}`: one of them is not PEM"
        f" ({(error.reason or 'damaged').lower().replace('_', ' ')})."
    )
