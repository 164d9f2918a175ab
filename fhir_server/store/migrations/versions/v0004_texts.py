"""0004 — the index of words, where a server is told to keep one.

https://hl7.org/fhir/R4/search.html#text

SQLite's is a virtual table that is made when it is first fed (store/sqlite_texts.py).
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = {
    "sqlite": "",
    "postgresql": """
CREATE TABLE index_text (
  rid BIGINT NOT NULL,
  terms TSVECTOR NOT NULL,
  PRIMARY KEY (rid)
);
CREATE INDEX index_text_by_term ON index_text USING gin (terms) WITH (fastupdate = off);
""",
}


def upgrade() -> None:
    for statement in STATEMENTS[op.get_context().dialect.name].split(";"):
        if statement.strip():
            op.execute(statement)
