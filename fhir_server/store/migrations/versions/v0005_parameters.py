"""0005 — the SearchParameters that are not R4's own, and how far their index has come.

https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = {
    "sqlite": """
CREATE TABLE parameter (
  number INTEGER NOT NULL,
  source TEXT NOT NULL,
  base TEXT NOT NULL,
  code TEXT NOT NULL,
  facts TEXT NOT NULL,
  state TEXT NOT NULL,
  change INTEGER NOT NULL,
  horizon INTEGER NOT NULL,
  reached_type INTEGER NOT NULL,
  reached_seq INTEGER NOT NULL,
  reached_num INTEGER NOT NULL,
  done INTEGER NOT NULL,
  total INTEGER NOT NULL,
  refused INTEGER NOT NULL,
  began INTEGER NOT NULL,
  rate REAL NOT NULL,
  PRIMARY KEY (number)
)
 STRICT;
CREATE INDEX parameter_by_change ON parameter (change);
""",
    "postgresql": """
CREATE TABLE parameter (
  number INTEGER NOT NULL,
  source TEXT COLLATE "C" NOT NULL,
  base TEXT COLLATE "C" NOT NULL,
  code TEXT COLLATE "C" NOT NULL,
  facts TEXT COLLATE "C" NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  change BIGINT NOT NULL,
  horizon BIGINT NOT NULL,
  reached_type SMALLINT NOT NULL,
  reached_seq BIGINT NOT NULL,
  reached_num INTEGER NOT NULL,
  done BIGINT NOT NULL,
  total BIGINT NOT NULL,
  refused BIGINT NOT NULL,
  began BIGINT NOT NULL,
  rate DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (number)
);
CREATE INDEX parameter_by_change ON parameter (change);
""",
}


def upgrade() -> None:
    for statement in STATEMENTS[op.get_context().dialect.name].split(";"):
        if statement.strip():
            op.execute(statement)
