"""0010 — what is written down of every access, in chains, and what it is found by.

https://hl7.org/fhir/R4/auditevent.html
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"

STATEMENTS = {
    "sqlite": """
CREATE TABLE audit (
  chain INTEGER NOT NULL,
  number INTEGER NOT NULL,
  at INTEGER NOT NULL,
  seal BLOB NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (chain, number)
)
 WITHOUT ROWID,
 STRICT;
CREATE INDEX audit_by_time ON audit (at);
CREATE TABLE audit_subject (
  subject INTEGER NOT NULL,
  at INTEGER NOT NULL,
  chain INTEGER NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (subject, at, chain, number)
)
 WITHOUT ROWID,
 STRICT;
""",
    "postgresql": """
CREATE TABLE audit (
  chain BIGINT NOT NULL,
  number BIGINT NOT NULL,
  at BIGINT NOT NULL,
  seal BYTEA NOT NULL,
  body BYTEA NOT NULL,
  PRIMARY KEY (chain, number)
);
CREATE INDEX audit_by_time ON audit (at);
CREATE TABLE audit_subject (
  subject BIGINT NOT NULL,
  at BIGINT NOT NULL,
  chain BIGINT NOT NULL,
  number BIGINT NOT NULL,
  PRIMARY KEY (subject, at, chain, number)
);
""",
}


def upgrade() -> None:
    for statement in STATEMENTS[op.get_context().dialect.name].split(";"):
        if statement.strip():
            op.execute(statement)
