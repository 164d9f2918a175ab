"""0008 — whose records are found by their patient and by their facility, and who is in whose care.

https://hl7.org/fhir/R4/security.html#authorization%2Faccess-control
"""

from __future__ import annotations

from alembic import op

from fhir_server.store.schema import SQLITE

revision = "0008"
down_revision = "0007"

# What no facility is known to have recorded is reached on other grounds.
STATEMENTS = (
    "ALTER TABLE current ADD COLUMN facility {big} DEFAULT 0 NOT NULL",
    "CREATE INDEX current_by_owner ON current (owner, type, main_lo, rid) WHERE owner <> 0",
    "CREATE INDEX current_by_facility ON current (facility, type, main_lo, rid)"
    " WHERE facility <> 0",
    "CREATE TABLE care (basis {big} NOT NULL, patient {big} NOT NULL, facility {big} NOT NULL,"
    " until {big} NOT NULL, PRIMARY KEY (basis, patient, facility)){ending}",
    "CREATE INDEX care_by_patient ON care (patient, facility, until)",
)


def upgrade() -> None:
    sqlite = op.get_context().dialect.name == SQLITE
    big, ending = ("INTEGER", " WITHOUT ROWID, STRICT") if sqlite else ("BIGINT", "")
    for statement in STATEMENTS:
        op.execute(statement.format(big=big, ending=ending))
