"""host — by which names this server may be asked for.

https://hl7.org/fhir/R4/http.html#root

A web page can give its own name the address 127.0.0.1 and then read what a server on the visitor's
machine answers: the browser takes both for one site (DNS rebinding). Only the name gives it away.
"""

from __future__ import annotations

from functools import lru_cache

from fhir_server.foundation.outcome import Invalid

ANY = "*"


def refuse_host(allowed: tuple[str, ...], told: bytes | str | None) -> None:
    """Raise Invalid for a name that is not one of these; none of these: every name is."""
    if allowed and told and not _is_one_of(allowed, told):
        raise Invalid(
            "The server is not asked for by this name. Send a `Host` that it knows, or have the"
            " name added to `allowed_hosts`.",
            expression="http.Host",
        )


@lru_cache(maxsize=256)
def _is_one_of(allowed: tuple[str, ...], told: bytes | str) -> bool:
    return name_of(told if isinstance(told, str) else told.decode("latin-1")) in allowed


def name_of(host: str) -> str:
    """`[::1]:8000` is `[::1]`, `Example.VN.:80` is `example.vn`."""
    head, bracket, _ = host.partition("]")
    name = head + bracket if bracket else host.partition(":")[0]
    return name.strip().rstrip(".").lower()
