"""side_tables — what sync keeps, as tables: lineage, and those of contract/side.py.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

from sqlalchemy import Index, Integer, LargeBinary

from fhir_server.store.contract.side import HELD, TABLES
from fhir_server.store.form import Form, Kind, column

NARROW = frozenset({"generation", "num", "kind"})


def side_tables(form: Form) -> None:
    _lineage(form)
    kinds: dict[str, Kind] = {"int": form.big, "str": form.text, "bytes": LargeBinary}
    for table in TABLES:
        columns = [
            column(name, Integer if name in NARROW else kinds[kind], key=name in table.key)
            for name, kind in zip(table.columns, table.kinds, strict=True)
        ]
        # A row with a body is long, and is read by an index that leads to it.
        made = form.table(table.name, *columns, rowid=table is HELD)
        for name, indexed in table.indexes.items():
            Index(f"{table.name}_{name}", *(made.c[one] for one in indexed))


def _lineage(form: Form) -> None:
    """The parents of a version, where they are not the row before it; a version that has no row is
    a stub. parents: row.packed_revs."""
    form.table(
        "lineage",
        column("rid", form.big, key=True),
        column("digest_hi", form.big, key=True),
        column("digest_lo", form.big, key=True),
        column("generation", Integer, key=True),
        column("parents", LargeBinary),
        rowid=False,
    )
