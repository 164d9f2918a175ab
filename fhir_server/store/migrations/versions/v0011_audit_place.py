"""0011 — what one transaction tells is one row, and a file keeps up to where it can be found.

https://hl7.org/fhir/R4/auditevent.html

What was written down before stays as it is: a row for each entry, all of which can be found.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"

STATEMENTS = """
CREATE TABLE audit_place (
  one INTEGER NOT NULL,
  chain INTEGER NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (one)
)
 STRICT;
INSERT INTO audit_place
  SELECT 1, chain, number FROM audit ORDER BY chain DESC, number DESC LIMIT 1;
"""


def upgrade() -> None:
    if op.get_context().dialect.name != "sqlite":
        return
    for statement in STATEMENTS.split(";"):
        if statement.strip():
            op.execute(statement)
