"""tables — every version of every resource, the newest of each, and the rows it is found by.

https://hl7.org/fhir/R4/http.html#versioning

One layout for both databases. Nothing here needs a sequence, a trigger or a foreign key, and the
primary key of every large table contains the resource's number, so that the tables can be spread
over several machines by it. `tables("sqlite")` and `tables("postgresql")` give the same tables in
each dialect's best form; migrations/versions holds the statements that were released.
"""

from __future__ import annotations

from functools import cache

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, Table, text
from sqlalchemy.dialects.postgresql import TSVECTOR

from fhir_server.store.form import Form, Kind, column
from fhir_server.store.schema import SQLITE
from fhir_server.store.side_tables import side_tables

REFERENCE_TABLES = frozenset(
    {"dictionary", "idempotency", "setting", "epoch", "tally", "uri", "parameter"}
    | {"audit_place"}
    | {"client", "token", "spent"}
    | {"life", "node_state", "apart"}
)
# all other large tables: rid
SPREAD_BY = {
    "audit": "chain",
    "audit_subject": "subject",
    "care": "patient",
    "receipt": "node",
    "packed": "incarnation",
}


@cache
def tables(dialect: str) -> MetaData:
    """All tables as this database should hold them."""
    metadata = MetaData()
    form = Form(metadata, sqlite=dialect == SQLITE)
    _version(form)
    _current(form)
    _index_rows(form)
    _reference_tables(form)
    _uris(form)
    _parameters(form)
    _care(form)
    _access(form)
    _audit(form)
    side_tables(form)
    if form.sqlite:
        _of_the_one_writer(form)
    else:
        _texts(form)
    return metadata


def _version(form: Form) -> None:
    """Append-only: seq (and num within one transaction) is the order of the change log.

    SQLite has one writer, whose counter is the rowid; PostgreSQL's seq is the transaction's.
    digest_hi and digest_lo are the halves of the version's hash, as signed integers.
    updated is in milliseconds since 1970 UTC; body NULL is a deletion. id is row.packed_id: a
    UUID is its 16 bytes, which saves 20 a version. One commit may hold several rows of a resource.
    """
    order = (
        [column("seq", form.big, key=True), column("rid", form.big)]
        if form.sqlite
        else [
            column("rid", form.big, key=True),
            column("seq", form.big, key=True),
        ]
    )
    version = form.table(
        "version",
        *order,
        column("updated", form.big),
        column("digest_hi", form.big),
        column("digest_lo", form.big),
        # Wide columns first: no padding.
        *([] if form.sqlite else [column("num", Integer, key=True)]),
        column("generation", Integer),
        column("type", form.small),
        column("dictionary", form.small),
        column("method", form.small),
        column("id", LargeBinary),
        column("body", LargeBinary, null=True),
    )
    if form.sqlite:
        Index("version_by_resource", version.c.rid)
        Index("version_by_type", version.c.type)
    else:
        # Without num, versions of one transaction share an entry: a third of the size. So they do
        # by time, which is the same for all of one transaction.
        Index("version_by_position", version.c.seq)
        Index("version_by_type", version.c.type, version.c.updated)


def _current(form: Form) -> None:
    """The newest version of each resource, and what a search is ordered and restricted by.

    born is the seq of the first version, or of the one that brought it back after a deletion.
    keys has a bit for each dominant row; which bit goes by the type (search/dominant.py).
    moved remembers who changed their place in an order that a search walks, and where they stood
    in that of main dates before, so that a walk meets each once (promise 7 of the architecture).
    owner and facility are what a caller's reach goes by (contract/reach.py).
    """
    current = form.table(
        "current",
        column("rid", form.big, key=True),
        column("owner", form.big),
        column("born", form.big),
        column("seq", form.big),
        column("main_lo", form.big),
        column("main_hi", form.big),
        column("keys", form.big),
        *([] if form.sqlite else [column("num", Integer)]),
        column("type", form.small),
        column("deleted", form.flag),
        Column("facility", form.big, nullable=False, server_default=text("0")),
    )
    if not form.sqlite:
        current.dialect_options["postgresql"]["with"] = {"fillfactor": 90}
    _current_indexes(form, current)
    moved = form.table(
        "moved",
        column("seq", form.big, key=True),
        column("rid", form.big, key=True),
        column("main_lo", form.big),
        rowid=False,
    )
    Index("moved_by_resource", moved.c.rid)


def _current_indexes(form: Form, current: Table) -> None:
    """What is common is counted from an index alone: on SQLite the one by date, whose entries are
    no larger for it; PostgreSQL's keeps equal ones together, so that one of its own is smaller."""
    by_date = (current.c.type, current.c.main_lo, current.c.rid)
    if form.sqlite:
        Index("current_by_date", *by_date, current.c["keys"], current.c.deleted)
    else:
        Index("current_by_date", *by_date)
        living = text("NOT deleted")
        Index("current_by_keys", current.c.type, current.c["keys"], postgresql_where=living)
    for fact in (current.c.owner, current.c.facility):
        somebodys = text(f"{fact.name} <> 0")
        Index(
            f"current_by_{fact.name}",
            *(fact, *by_date),
            sqlite_where=somebodys,
            postgresql_where=somebodys,
        )


def _index_rows(form: Form) -> None:
    """One table a kind, clustered by the question. No index by rid: an update knows its old rows.

    index_key carries the resource's main date, so that "newest first" is the order of the index.
    """
    questions: dict[str, list[tuple[str, Kind]]] = {
        "index_key": [("v", form.big), ("main", form.big), ("rid", form.big), ("w", form.big)],
        "index_string": [
            ("param", Integer),
            ("word", form.text),
            ("rid", form.big),
            ("whole", Integer),
        ],
        "index_date": [
            ("param", Integer),
            ("lo", form.big),
            ("hi", form.big),
            ("rid", form.big),
        ],
        "index_quantity": [
            ("param", Integer),
            ("unit", form.big),
            ("lo", form.real),
            ("hi", form.real),
            ("rid", form.big),
        ],
    }
    for name, columns in questions.items():
        form.table(name, *(column(c, type, key=True) for c, type in columns), rowid=False)


def _reference_tables(form: Form) -> None:
    """Small tables, the same for all: settings, dictionaries, answers kept, the feed's epochs.

    epoch: a row for each history this database has had. `number` counts restores; `mark` is
    random, so that two restores of one backup are told apart; `start` is the last seq before it.
    """
    form.table(
        "dictionary",
        column("id", form.small, key=True),
        column("body", LargeBinary),
    )
    idempotency = form.table(
        "idempotency",
        column("key", form.text, key=True),
        column("digest", LargeBinary),
        column("at", form.big),
        column("answer", LargeBinary),
        rowid=False,
    )
    Index("idempotency_by_time", idempotency.c.at)
    form.table(
        "setting",
        column("name", form.text, key=True),
        column("value", form.text),
        rowid=False,
    )
    form.table(
        "epoch",
        column("number", Integer, key=True),
        column("mark", form.big),
        column("start", form.big),
        Column("base", form.big, nullable=False, server_default=text("0")),
        Column("system_identifier", form.big, nullable=False, server_default=text("0")),
    )


def _uris(form: Form) -> None:
    """The texts behind the key rows (v, w) of uris, each once; none is ever taken away."""
    form.table(
        "uri",
        column("param", Integer, key=True),
        column("uri", form.text, key=True),
        column("v", form.big),
        column("w", form.big),
        rowid=False,
    )


def _parameters(form: Form) -> None:
    """The parameters that are not R4's own (contract/parameter.py)."""
    parameter = form.table(
        "parameter",
        column("number", Integer, key=True),
        column("source", form.text),
        column("base", form.text),
        column("code", form.text),
        column("facts", form.text),
        column("state", form.text),
        column("change", form.big),
        column("horizon", form.big),
        column("reached_type", form.small),
        column("reached_seq", form.big),
        column("reached_num", Integer),
        column("done", form.big),
        column("total", form.big),
        column("refused", form.big),
        column("began", form.big),
        column("rate", form.real),
    )
    Index("parameter_by_change", parameter.c.change)


def _care(form: Form) -> None:
    """Which facility has which patient in its care, and until when (contract/reach.py)."""
    care = form.table(
        "care",
        column("basis", form.big, key=True),
        column("patient", form.big, key=True),
        column("facility", form.big, key=True),
        column("until", form.big),
        rowid=False,
    )
    Index("care_by_patient", care.c.patient, care.c.facility, care.c.until)
    Index("care_by_facility", care.c.facility, care.c.patient, care.c.until)


def _access(form: Form) -> None:
    """The clients that are registered, their tokens, and what was spent for one
    (contract/access.py). digest: a token itself is kept nowhere."""
    form.table(
        "client",
        column("id", form.text, key=True),
        column("facts", form.text),
        column("changed", form.big),
        column("revoked", form.big),
        rowid=False,
    )
    token = form.table(
        "token",
        column("digest", LargeBinary, key=True),
        column("kind", form.text),
        column("client", form.text),
        column("facts", form.text),
        column("issued", form.big),
        column("expires", form.big),
        rowid=False,
    )
    Index("token_by_client", token.c.client)
    Index("token_by_end", token.c.expires)
    spent = form.table(
        "spent",
        column("digest", LargeBinary, key=True),
        column("until", form.big),
        rowid=False,
    )
    Index("spent_by_end", spent.c.until)


def _audit(form: Form) -> None:
    """What is written down of every access, in chains (contract/audit.py), and what it is found
    by. It is never changed and never forgotten."""
    audit = form.table(
        "audit",
        column("chain", form.big, key=True),
        column("number", form.big, key=True),
        column("at", form.big),
        column("seal", LargeBinary),
        column("body", LargeBinary),
        rowid=False,
    )
    Index("audit_by_time", audit.c.at)
    form.table(
        "audit_subject",
        column("subject", form.big, key=True),
        column("at", form.big, key=True),
        column("chain", form.big, key=True),
        column("number", form.big, key=True),
        rowid=False,
    )


def _of_the_one_writer(form: Form) -> None:
    """tally: how many current resources there are of a type. audit_place: up to where the audit has
    its rows of audit_subject (sqlite_late)."""
    form.table("tally", column("type", form.small, key=True), column("n", form.big))
    form.table(
        "audit_place",
        column("one", form.small, key=True),
        column("chain", form.big),
        column("number", form.big),
    )


def _texts(form: Form) -> None:
    """The index of words. SQLite's is a virtual table, made where one is wanted (sqlite_texts).

    Without fastupdate a search never has a list of what is still to be sorted in to read.
    """
    texts = form.table("index_text", column("rid", form.big, key=True), column("terms", TSVECTOR))
    Index(
        "index_text_by_term",
        texts.c.terms,
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
    )
