"""table — every setting once: its name, its default, one line of help.

Each has an environment name (`FHIR_PORT`) and a command-line option (`--port`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fhir_server.settings.values import (
    DATABASE_URL,
    FLAG,
    FOLDER,
    GI,
    HOST,
    HOSTS,
    KI,
    MI,
    ORIGINS,
    PATH,
    SECRET,
    WEB_URL,
    ZONE,
    Kind,
    choice,
    seconds,
    size,
    whole,
)

Value = TypeVar("Value")

PREFIX = "FHIR_"


@dataclass(frozen=True, slots=True)
class Told:
    """What the table tells of a setting beside its default."""

    help: str
    kind: Kind[Any]
    option: str | None = None  # where the option is not the name with dashes


def setting(default: Value, help: str, kind: Kind[Value], *, option: str | None = None) -> Value:
    found: Value = field(default=default, metadata={"told": Told(help, kind, option)})
    return found


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server may be told, whichever way it is told."""

    database_url: str = setting(
        "sqlite:///./data/fhir.db",
        "Where the records are: sqlite:///PATH, or postgresql://USER:PASSWORD@HOST/NAME.",
        DATABASE_URL,
    )
    migrate: bool = setting(
        True,
        "Bring the database's schema up to date when the server starts.",
        FLAG,
    )
    pool_size: int = setting(
        8,
        "PostgreSQL: connections a worker process may hold to read, and as many to write.",
        whole(1, 500),
    )
    host: str = setting("127.0.0.1", "The address to listen on.", HOST)
    port: int = setting(8000, "The port to listen on; 0: any that is free.", whole(0, 65535))
    allow_open: bool = setting(
        False,
        "Listen on an address others can reach, though anyone who reaches it may read and write.",
        FLAG,
        option="--open",
    )
    access: str = setting(
        "off",
        "Whether callers must show who they are: on or off.",
        choice("off", "on"),
    )
    access_policy: str = setting(
        "",
        "The file that says who may reach what; empty: the one that `fhir-server access policy`"
        " prints.",
        FOLDER,
    )
    matching: str = setting(
        "",
        "The file that says by which numbers two Patients are one person; empty: the one that"
        " `fhir-server matching rules` prints; off: nobody is linked.",
        FOLDER,
    )
    match_writes: bool = setting(
        False,
        "Link the Patients that clients write, too, and not only those that nodes send.",
        FLAG,
    )
    provider: str = setting(
        "",
        "The issuer of an outside OpenID provider whose access tokens are taken, too.",
        WEB_URL,
    )
    provider_keys: str = setting(
        "",
        "Its key set: a file, or an https URL; empty: where its own configuration says.",
        FOLDER,
    )
    provider_configuration: str = setting(
        "",
        "Its OpenID configuration, whose endpoints clients are told: a file, or an https URL;"
        " empty: at the issuer; off: they are told this server's own.",
        FOLDER,
    )
    provider_audience: str = setting(
        "",
        "The audience its tokens for this server name; empty: the base URL.",
        FOLDER,
    )
    refresh_days: int = setting(
        30,
        "Days an application may go on without asking its person again; 0: none may.",
        whole(0, 366),
    )
    private_keys_urls: bool = setting(
        False,
        "Key sets may be fetched from addresses of private networks, too.",
        FLAG,
    )
    audit: bool = setting(
        False,
        "Write down every access, reads and refusals too, before it is answered. With `access` on"
        " it always is.",
        FLAG,
    )
    audit_anchors: str = setting(
        "",
        "The file outside the database that proves the audit was not made anew; empty: one beside"
        " a SQLite database, and none for PostgreSQL.",
        FOLDER,
    )
    audit_anchor_seconds: float = setting(
        60.0, "How often the ends of the audit's chains go to that file.", seconds(0.1, 86_400)
    )
    workers: int = setting(1, "Server processes. More than one needs PostgreSQL.", whole(1, 256))
    base_path: str = setting("/fhir", "The path of the FHIR base URL.", PATH)
    public_base_url: str = setting(
        "",
        "The base URL as clients see it, behind a proxy; empty: as each request says. Another"
        " one needs `fhir-server reindex`.",
        WEB_URL,
    )
    allowed_hosts: tuple[str, ...] = setting(
        (),
        "Names a request's Host may have beside this machine's own and that of public_base_url;"
        " empty: any name, but not on a loopback address. `*`: any name, there too.",
        HOSTS,
    )
    tls_certificate: str = setting(
        "",
        "A PEM file with the certificate and those between it and its root: then the server speaks"
        " HTTPS alone. One that replaces it is used from the next connection on.",
        FOLDER,
    )
    tls_key: str = setting(
        "", "The PEM file of the certificate's private key, without a password.", FOLDER
    )
    tls_minimum: str = setting(
        "1.2", "The oldest version of TLS that is spoken: 1.2 or 1.3.", choice("1.2", "1.3")
    )
    hsts: int = setting(
        31_536_000,
        "Seconds browsers that came by https come by nothing else; 0: they are not told so.",
        whole(0, 63_072_000),
    )
    trust_proxy: bool = setting(
        False,
        "Believe the Forwarded and X-Forwarded-* headers of a proxy in front.",
        FLAG,
    )
    cors_origins: tuple[str, ...] = setting(
        (),
        "Web pages from these origins may call the server: a list with commas, or `*`.",
        ORIGINS,
    )
    zone: str = setting(
        "+07:00",
        "The zone of dates and times that name none. Another one needs `fhir-server reindex`.",
        ZONE,
    )
    profiles: str = setting(
        "",
        "The folder of the local profiles and their policy.toml; empty: those that come with the"
        " program; `off`: R4 alone.",
        FOLDER,
    )
    terminology_folder: str = setting(
        "./data/terminology",
        "The folder of the large code systems that `terminology load` makes files of.",
        FOLDER,
    )
    reindex_rate: int = setting(
        1000,
        "Resources a second that `$reindex` works on at most, beside what is asked of the server.",
        whole(1, 1_000_000),
    )
    text_index: bool = setting(
        False,
        "Keep an index of the words in all records, for _text, _content and :text.",
        FLAG,
    )
    hub: str = setting(
        "",
        "The base URL of the hub this server is a node of; empty: it is none. Enrol it first:"
        " `fhir-server sync enrol`.",
        WEB_URL,
    )
    hub_key: str = setting(
        "",
        "The file of the key it is enrolled with; empty: one beside a SQLite database, and"
        " `./data/hub-key.json` for PostgreSQL.",
        FOLDER,
    )
    hub_copy: str = setting(
        "",
        "A folder on another disk or a USB stick, where a node keeps a sealed copy of what its hub"
        " has not confirmed; empty: it keeps none. The folder must be there.",
        FOLDER,
    )
    hub_key_days: int = setting(
        365,
        "Days after which a node makes another key, and has its hub know it by that. 0: never.",
        whole(0, 3650),
    )
    page_size: int = setting(
        50, "Entries a page of a search or history holds without _count.", whole(1, 10_000)
    )
    max_page_size: int = setting(
        1000, "The most entries a page holds, whatever _count asks.", whole(1, 10_000)
    )
    included: int = setting(
        1000, "The most resources _include and _revinclude add to a page.", whole(1, 10_000)
    )
    include_levels: int = setting(
        10, "How many steps from the matches _include:iterate goes.", whole(1, 100)
    )
    bundle_entries: int = setting(
        10_000, "The most entries of one batch or transaction.", whole(1, 100_000)
    )
    conditional_references: int = setting(
        1000, "The most conditional references of one transaction.", whole(1, 100_000)
    )
    max_body: int = setting(32 * MI, "The largest request body, as sent.", size(KI, 2 * GI))
    max_decompressed: int = setting(
        64 * MI, "The largest request body once decompressed.", size(KI, 2 * GI)
    )
    max_ratio: int = setting(
        200, "How many times larger than it was sent a body may become.", whole(2, 10_000)
    )
    max_buffered: int = setting(
        512 * MI, "All request bodies a worker process holds at once.", size(MI, 64 * GI)
    )
    max_url: int = setting(
        16 * KI, "The longest URL; longer searches are posted to _search.", size(KI, MI)
    )
    max_header: int = setting(32 * KI, "All header fields of a request.", size(KI, MI))
    max_parameters: int = setting(
        1000, "The most parameters of a URL and a form together.", whole(1, 100_000)
    )
    many_deletes: bool = setting(
        False,
        "A conditional delete that matches several resources deletes them all.",
        FLAG,
    )
    conditional_delete: int = setting(
        1000, "The most resources one conditional delete may delete.", whole(1, 100_000)
    )
    reference_targets: str = setting(
        "error",
        "What a reference to a type its element does not allow is: error, warning or off.",
        choice("error", "warning", "off"),
    )
    attempts: int = setting(
        64, "How often a write that met another begins again before it answers 409.", whole(1, 1000)
    )
    idempotency_days: int = setting(
        7,
        "Days the answer given under an Idempotency-Key is kept, and a search's links lead on.",
        whole(1, 3650),
    )
    concurrency: int = setting(
        256, "Requests a worker process works on at once; more are told 429.", whole(1, 100_000)
    )
    client_concurrency: int = setting(
        64,
        "Requests of one client a worker process works on at once; more are told 429. 0: no bound"
        " of its own. Who is not known is told by its address, this machine's own is free.",
        whole(0, 100_000),
    )
    client_rate: int = setting(
        100,
        "Requests a second one client may ask a worker process for long; more are told 429. 0: any"
        " number.",
        whole(0, 1_000_000),
    )
    client_burst: int = setting(
        1000, "Requests one client may ask at once before client_rate holds.", whole(1, 1_000_000)
    )
    max_connections: int = setting(
        1000,
        "Connections a worker process holds. A new one takes the place of the one that is idle"
        " longest; where none is idle it is told 503.",
        whole(4, 100_000),
    )
    request_timeout: float = setting(
        60.0, "Seconds a read or search may take.", seconds(0.1, 86_400)
    )
    body_timeout: float = setting(
        60.0, "Seconds a request's body may take to arrive.", seconds(0.1, 86_400)
    )
    header_timeout: float = setting(
        20.0,
        "Seconds a request's head, and a TLS handshake, may take to arrive.",
        seconds(0.1, 3600),
    )
    send_timeout: float = setting(
        30.0,
        "Seconds a client may take for each 64 kB of its answer; then it is hung up on.",
        seconds(0.1, 3600),
    )
    idle_timeout: float = setting(
        130.0,
        "Seconds a connection may be idle; longer than a proxy in front keeps it.",
        seconds(0.1, 86_400),
    )
    stop_timeout: float = setting(
        30.0, "Seconds that requests under way are given when the server stops.", seconds(1, 3600)
    )
    compression_minimum: int = setting(
        KI, "Answers smaller than this are not compressed.", size(0, GI)
    )
    log_requests: bool = setting(True, "Log one line for each interaction.", FLAG)
    log_level: str = setting(
        "info",
        "How much is logged: debug, info, warning or error.",
        choice("debug", "info", "warning", "error"),
    )
    secret: str = setting(
        "",
        "Signs the links to next pages; empty: made once and kept in the database.",
        SECRET,
    )

    @property
    def zone_minutes(self) -> int:
        """The zone as minutes east of UTC."""
        minutes = int(self.zone[1:3]) * 60 + int(self.zone[4:6])
        return -minutes if self.zone[0] == "-" else minutes


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table, for the command line and the documents."""

    name: str
    default: Any
    told: Told

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    @property
    def file_variable(self) -> str:
        """Names a file that holds the value, for what may be secret."""
        return f"{self.variable}_FILE"

    @property
    def has_option(self) -> bool:
        """A secret has none: what a process was started with is shown to the whole machine."""
        return not self.told.kind.is_secret

    @property
    def option(self) -> str:
        return self.told.option or "--" + self.name.replace("_", "-")

    @property
    def is_flag(self) -> bool:
        return isinstance(self.default, bool)

    def shown(self, value: Any) -> str:
        return self.told.kind.show(value)


TABLE: tuple[Line, ...] = tuple(
    Line(each.name, each.default, each.metadata["told"]) for each in dataclasses.fields(Settings)
)
