"""tls — HTTPS by a certificate and its key, TLS 1.2 or 1.3 and nothing older.

https://hl7.org/fhir/R4/security.html#http
"""

from __future__ import annotations

import ssl
from pathlib import Path

from fhir_server.cli.exits import Exit, refuse
from fhir_server.settings import Settings

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


def _locked() -> str:
    raise Locked


def _why(error: ssl.SSLError, certificate: str, key: str) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"`tls_key` is `{key}`, which is not the key of the certificate in `{certificate}`."
    return (
        f"`tls_certificate` is `{certificate}` and `tls_key` is `{key}`: one of them is not PEM"
        f" ({(error.reason or 'damaged').lower().replace('_', ' ')})."
    )
