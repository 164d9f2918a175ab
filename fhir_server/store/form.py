"""form — how a table and its columns are written in each database's dialect.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.types import TypeEngine

Kind = TypeEngine[Any] | type[TypeEngine[Any]]


class Form:
    """How a table and its columns are written in one dialect."""

    def __init__(self, metadata: MetaData, *, sqlite: bool) -> None:
        self.metadata = metadata
        self.sqlite = sqlite
        self.big: Kind = Integer if sqlite else BigInteger
        self.small: Kind = Integer if sqlite else SmallInteger
        self.flag: Kind = Integer if sqlite else Boolean
        self.real: Kind = Real if sqlite else Double
        # PostgreSQL compares "C" text by bytes, as SQLite does: prefixes become ranges.
        self.text: Kind = Text() if sqlite else Text(collation="C")

    def table(self, name: str, *columns: Column[Any], rowid: bool = True) -> Table:
        """STRICT on SQLite; without a rowid where the primary key is how the table is read."""
        return Table(
            name,
            self.metadata,
            *columns,
            sqlite_strict=True,
            sqlite_with_rowid=rowid,
        )


class Real(Double[float]):
    """A STRICT table knows REAL, and no other name for it."""

    __visit_name__ = "REAL"


def column(name: str, type: Kind, *, key: bool = False, null: bool = False) -> Column[Any]:
    return Column(name, type, primary_key=key, nullable=null, autoincrement=False)
