"""0007 — how many resources have a common value is counted from an index alone.

https://hl7.org/fhir/R4/search.html#total
"""

from __future__ import annotations

from alembic import op

from fhir_server.store.schema import POSTGRESQL

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    if op.get_context().dialect.name == POSTGRESQL:
        op.execute("CREATE INDEX current_by_keys ON current (type, keys) WHERE NOT deleted")
    else:
        op.execute("DROP INDEX current_by_date")
        op.execute("CREATE INDEX current_by_date ON current (type, main_lo, rid, keys, deleted)")
