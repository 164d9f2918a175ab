"""0006 — the versions of a type in the order of time, where several write at once.

https://hl7.org/fhir/R4/search.html#sort

PostgreSQL's seq is the transaction's, whose order is not quite that of the time it names. SQLite
has one writer, whose time never goes back.
"""

from __future__ import annotations

from alembic import op

from fhir_server.store.schema import POSTGRESQL

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    if op.get_context().dialect.name == POSTGRESQL:
        op.execute("DROP INDEX version_by_type")
        op.execute("CREATE INDEX version_by_type ON version (type, updated)")
