"""options — what the HTTP side of a server may be told; every bound a client can meet stands here.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from dataclasses import dataclass

KI, MI = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Options:
    """Where the API stands and how much it takes. Each refusal names the bound it met."""

    base_path: str = "/fhir"
    public_base_url: str | None = None  # None: as each request says
    trust_proxy: bool = False  # believe Forwarded and X-Forwarded-*
    cors_origins: tuple[str, ...] = ()  # `*`: every page may call; empty: none
    max_body: int = 32 * MI  # as sent
    max_decompressed: int = 64 * MI
    max_ratio: int = 200  # how many times larger than it was sent a body may become
    max_buffered: int = 512 * MI  # all bodies this process holds at once
    max_url: int = 16 * KI  # R4 wants long searches possible; longer ones go to `_search`
    max_header: int = 32 * KI  # all names and values together
    max_parameters: int = 1000  # of one URL and form body together
    concurrency: int = 256  # requests worked on at once
    client_concurrency: int = 64  # of one client; 0: as many as there may be at all
    client_rate: int = 100  # requests a second one client may go on asking; 0: any number
    client_burst: int = 1000  # and how many of them at once
    allowed_hosts: tuple[str, ...] = ()  # names it may be asked for by; empty: by any
    hsts: int = 31_536_000  # seconds browsers remember to come by https alone; 0: untold
    request_timeout: float = 60.0  # seconds a read or search may take
    body_timeout: float = 60.0  # seconds a body may take to arrive
    header_timeout: float = 20.0  # seconds a request's head may take to arrive
    stop_timeout: float = 30.0  # seconds that requests under way are given on stopping
    compression_minimum: int = 1024  # bytes; smaller answers are not compressed
    log_requests: bool = True
