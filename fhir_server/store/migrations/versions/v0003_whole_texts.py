"""0003 — strings as wholes beside their words, and the texts behind the hashes of uris.

https://hl7.org/fhir/R4/search.html#string
https://hl7.org/fhir/R4/search.html#uri

The rows of index_string are all made anew: the index is of another edition, so that a server tells
its operator to run `fhir-server reindex` before it serves.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = {
    "sqlite": """
DROP TABLE index_string;
CREATE TABLE index_string (
  param INTEGER NOT NULL,
  word TEXT NOT NULL,
  rid INTEGER NOT NULL,
  whole INTEGER NOT NULL,
  PRIMARY KEY (param, word, rid, whole)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE uri (
  param INTEGER NOT NULL,
  uri TEXT NOT NULL,
  v INTEGER NOT NULL,
  w INTEGER NOT NULL,
  PRIMARY KEY (param, uri)
)
 WITHOUT ROWID,
 STRICT;
""",
    "postgresql": """
DROP TABLE index_string;
CREATE TABLE index_string (
  param INTEGER NOT NULL,
  word TEXT COLLATE "C" NOT NULL,
  rid BIGINT NOT NULL,
  whole INTEGER NOT NULL,
  PRIMARY KEY (param, word, rid, whole)
);
CREATE TABLE uri (
  param INTEGER NOT NULL,
  uri TEXT COLLATE "C" NOT NULL,
  v BIGINT NOT NULL,
  w BIGINT NOT NULL,
  PRIMARY KEY (param, uri)
);
""",
}


def upgrade() -> None:
    for statement in STATEMENTS[op.get_context().dialect.name].split(";"):
        if statement.strip():
            op.execute(statement)
