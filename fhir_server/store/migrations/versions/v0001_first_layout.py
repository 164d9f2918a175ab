"""0001 — the first layout: versions, the newest of each, and the rows they are found by.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import insert

from fhir_server.store.codec import shipped_dictionaries
from fhir_server.store.tables import tables

revision = "0001"
down_revision = None

STATEMENTS = {
    "sqlite": """
CREATE TABLE current (
  rid INTEGER NOT NULL,
  owner INTEGER NOT NULL,
  born INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  main_lo INTEGER NOT NULL,
  main_hi INTEGER NOT NULL,
  keys INTEGER NOT NULL,
  type INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  PRIMARY KEY (rid)
)
 STRICT;
CREATE INDEX current_by_date ON current (type, main_lo, rid);
CREATE TABLE dictionary (
  id INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (id)
)
 STRICT;
CREATE TABLE epoch (
  number INTEGER NOT NULL,
  mark INTEGER NOT NULL,
  start INTEGER NOT NULL,
  base INTEGER DEFAULT 0 NOT NULL,
  system_identifier INTEGER DEFAULT 0 NOT NULL,
  PRIMARY KEY (number)
)
 STRICT;
CREATE TABLE idempotency (
  "key" TEXT NOT NULL,
  digest BLOB NOT NULL,
  at INTEGER NOT NULL,
  answer BLOB NOT NULL,
  PRIMARY KEY ("key")
)
 WITHOUT ROWID,
 STRICT;
CREATE INDEX idempotency_by_time ON idempotency (at);
CREATE TABLE index_date (
  param INTEGER NOT NULL,
  lo INTEGER NOT NULL,
  hi INTEGER NOT NULL,
  rid INTEGER NOT NULL,
  PRIMARY KEY (param, lo, hi, rid)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE index_key (
  v INTEGER NOT NULL,
  main INTEGER NOT NULL,
  rid INTEGER NOT NULL,
  w INTEGER NOT NULL,
  PRIMARY KEY (v, main, rid, w)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE index_quantity (
  param INTEGER NOT NULL,
  unit INTEGER NOT NULL,
  lo REAL NOT NULL,
  hi REAL NOT NULL,
  rid INTEGER NOT NULL,
  PRIMARY KEY (param, unit, lo, hi, rid)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE index_string (
  param INTEGER NOT NULL,
  word TEXT NOT NULL,
  rid INTEGER NOT NULL,
  PRIMARY KEY (param, word, rid)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE moved (
  seq INTEGER NOT NULL,
  rid INTEGER NOT NULL,
  main_lo INTEGER NOT NULL,
  PRIMARY KEY (seq, rid)
)
 WITHOUT ROWID,
 STRICT;
CREATE INDEX moved_by_resource ON moved (rid);
CREATE TABLE setting (
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (name)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE tally (
  type INTEGER NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (type)
)
 STRICT;
CREATE TABLE version (
  seq INTEGER NOT NULL,
  rid INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  digest_hi INTEGER NOT NULL,
  digest_lo INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  type INTEGER NOT NULL,
  dictionary INTEGER NOT NULL,
  method INTEGER NOT NULL,
  id BLOB NOT NULL,
  body BLOB,
  PRIMARY KEY (seq)
)
 STRICT;
CREATE INDEX version_by_resource ON version (rid);
CREATE INDEX version_by_type ON version (type);
""",
    "postgresql": """
CREATE TABLE current (
  rid BIGINT NOT NULL,
  owner BIGINT NOT NULL,
  born BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  main_lo BIGINT NOT NULL,
  main_hi BIGINT NOT NULL,
  keys BIGINT NOT NULL,
  num INTEGER NOT NULL,
  type SMALLINT NOT NULL,
  deleted BOOLEAN NOT NULL,
  PRIMARY KEY (rid)
)
 WITH (fillfactor = 90);
CREATE INDEX current_by_date ON current (type, main_lo, rid);
CREATE TABLE dictionary (
  id SMALLINT NOT NULL,
  body BYTEA NOT NULL,
  PRIMARY KEY (id)
);
CREATE TABLE epoch (
  number INTEGER NOT NULL,
  mark BIGINT NOT NULL,
  start BIGINT NOT NULL,
  base BIGINT DEFAULT 0 NOT NULL,
  system_identifier BIGINT DEFAULT 0 NOT NULL,
  PRIMARY KEY (number)
);
CREATE TABLE idempotency (
  key TEXT COLLATE "C" NOT NULL,
  digest BYTEA NOT NULL,
  at BIGINT NOT NULL,
  answer BYTEA NOT NULL,
  PRIMARY KEY (key)
);
CREATE INDEX idempotency_by_time ON idempotency (at);
CREATE TABLE index_date (
  param INTEGER NOT NULL,
  lo BIGINT NOT NULL,
  hi BIGINT NOT NULL,
  rid BIGINT NOT NULL,
  PRIMARY KEY (param, lo, hi, rid)
);
CREATE TABLE index_key (
  v BIGINT NOT NULL,
  main BIGINT NOT NULL,
  rid BIGINT NOT NULL,
  w BIGINT NOT NULL,
  PRIMARY KEY (v, main, rid, w)
);
CREATE TABLE index_quantity (
  param INTEGER NOT NULL,
  unit BIGINT NOT NULL,
  lo DOUBLE PRECISION NOT NULL,
  hi DOUBLE PRECISION NOT NULL,
  rid BIGINT NOT NULL,
  PRIMARY KEY (param, unit, lo, hi, rid)
);
CREATE TABLE index_string (
  param INTEGER NOT NULL,
  word TEXT COLLATE "C" NOT NULL,
  rid BIGINT NOT NULL,
  PRIMARY KEY (param, word, rid)
);
CREATE TABLE moved (
  seq BIGINT NOT NULL,
  rid BIGINT NOT NULL,
  main_lo BIGINT NOT NULL,
  PRIMARY KEY (seq, rid)
);
CREATE INDEX moved_by_resource ON moved (rid);
CREATE TABLE setting (
  name TEXT COLLATE "C" NOT NULL,
  value TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (name)
);
CREATE TABLE version (
  rid BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  updated BIGINT NOT NULL,
  digest_hi BIGINT NOT NULL,
  digest_lo BIGINT NOT NULL,
  num INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  type SMALLINT NOT NULL,
  dictionary SMALLINT NOT NULL,
  method SMALLINT NOT NULL,
  id BYTEA NOT NULL,
  body BYTEA,
  PRIMARY KEY (rid, seq)
);
CREATE INDEX version_by_position ON version (seq);
CREATE INDEX version_by_type ON version (type, seq);
""",
}


def upgrade() -> None:
    dialect = op.get_context().dialect.name
    for statement in STATEMENTS[dialect].split(";"):
        if statement.strip():
            op.execute(statement)
    dictionary = tables(dialect).tables["dictionary"]
    op.execute(insert(dictionary).values([{"id": 1, "body": shipped_dictionaries()[1]}]))
