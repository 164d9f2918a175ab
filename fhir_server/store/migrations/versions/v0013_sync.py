"""0013 — versions of many places: whom they follow, marks in the log, and what sync keeps.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"

STATEMENTS = {
    "sqlite": """
CREATE TABLE lineage (
  rid INTEGER NOT NULL,
  digest_hi INTEGER NOT NULL,
  digest_lo INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  parents BLOB NOT NULL,
  PRIMARY KEY (rid, digest_hi, digest_lo, generation)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE mark (
  seq INTEGER NOT NULL,
  num INTEGER NOT NULL,
  rid INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  whom INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (seq, num, rid)
)
 WITHOUT ROWID,
 STRICT;
CREATE INDEX mark_by_rid ON mark (rid, kind, seq, num);
CREATE INDEX mark_by_whom ON mark (whom, rid, seq, num);
CREATE TABLE life (
  node TEXT NOT NULL,
  incarnation TEXT NOT NULL,
  reached INTEGER NOT NULL,
  retired INTEGER NOT NULL,
  facts TEXT NOT NULL,
  PRIMARY KEY (node, incarnation)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE receipt (
  node TEXT NOT NULL,
  incarnation TEXT NOT NULL,
  number INTEGER NOT NULL,
  rid INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  digest BLOB NOT NULL,
  outcome TEXT NOT NULL,
  seq INTEGER NOT NULL,
  num INTEGER NOT NULL,
  at INTEGER NOT NULL,
  facts TEXT NOT NULL,
  PRIMARY KEY (node, incarnation, number)
)
 WITHOUT ROWID,
 STRICT;
CREATE INDEX receipt_by_version ON receipt (rid, generation, digest);
CREATE TABLE held (
  rid INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  digest BLOB NOT NULL,
  type TEXT NOT NULL,
  id TEXT NOT NULL,
  parents BLOB NOT NULL,
  body BLOB NOT NULL,
  issues BLOB NOT NULL,
  waits BLOB NOT NULL,
  node TEXT NOT NULL,
  incarnation TEXT NOT NULL,
  number INTEGER NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (rid, generation, digest)
)
 STRICT;
CREATE INDEX held_by_node ON held (node, at);
CREATE TABLE waiting (
  rid_for INTEGER NOT NULL,
  rid INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  digest BLOB NOT NULL,
  PRIMARY KEY (rid_for, rid, generation, digest)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE "conflict" (
  rid INTEGER NOT NULL,
  since INTEGER NOT NULL,
  task TEXT NOT NULL,
  facts TEXT NOT NULL,
  PRIMARY KEY (rid)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE place (
  rid INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  digest BLOB NOT NULL,
  state TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  num INTEGER NOT NULL,
  incarnation TEXT NOT NULL,
  number INTEGER NOT NULL,
  at INTEGER NOT NULL,
  facts BLOB NOT NULL,
  PRIMARY KEY (rid, generation, digest)
)
 WITHOUT ROWID,
 STRICT;
CREATE INDEX place_by_hub ON place (epoch, seq, num);
CREATE INDEX place_by_state ON place (state, at);
CREATE TABLE packed (
  incarnation TEXT NOT NULL,
  number INTEGER NOT NULL,
  rid INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  digest BLOB NOT NULL,
  grp INTEGER NOT NULL,
  sent INTEGER NOT NULL,
  PRIMARY KEY (incarnation, number)
)
 WITHOUT ROWID,
 STRICT;
CREATE INDEX packed_by_version ON packed (rid, generation, digest);
CREATE TABLE whose (
  rid INTEGER NOT NULL,
  patient INTEGER NOT NULL,
  PRIMARY KEY (rid)
)
 WITHOUT ROWID,
 STRICT;
CREATE INDEX whose_by_patient ON whose (patient);
CREATE TABLE node_state (
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (name)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE apart (
  one INTEGER NOT NULL,
  other INTEGER NOT NULL,
  at INTEGER NOT NULL,
  facts TEXT NOT NULL,
  PRIMARY KEY (one, other)
)
 WITHOUT ROWID,
 STRICT;
""",
    "postgresql": """
ALTER TABLE version DROP CONSTRAINT version_pkey;
ALTER TABLE version ADD PRIMARY KEY (rid, seq, num);
CREATE TABLE lineage (
  rid BIGINT NOT NULL,
  digest_hi BIGINT NOT NULL,
  digest_lo BIGINT NOT NULL,
  generation INTEGER NOT NULL,
  parents BYTEA NOT NULL,
  PRIMARY KEY (rid, digest_hi, digest_lo, generation)
);
CREATE TABLE mark (
  seq BIGINT NOT NULL,
  num INTEGER NOT NULL,
  rid BIGINT NOT NULL,
  kind INTEGER NOT NULL,
  whom BIGINT NOT NULL,
  body BYTEA NOT NULL,
  PRIMARY KEY (seq, num, rid)
);
CREATE INDEX mark_by_rid ON mark (rid, kind, seq, num);
CREATE INDEX mark_by_whom ON mark (whom, rid, seq, num);
CREATE TABLE life (
  node TEXT COLLATE "C" NOT NULL,
  incarnation TEXT COLLATE "C" NOT NULL,
  reached BIGINT NOT NULL,
  retired BIGINT NOT NULL,
  facts TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (node, incarnation)
);
CREATE TABLE receipt (
  node TEXT COLLATE "C" NOT NULL,
  incarnation TEXT COLLATE "C" NOT NULL,
  number BIGINT NOT NULL,
  rid BIGINT NOT NULL,
  generation INTEGER NOT NULL,
  digest BYTEA NOT NULL,
  outcome TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  num INTEGER NOT NULL,
  at BIGINT NOT NULL,
  facts TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (node, incarnation, number)
);
CREATE INDEX receipt_by_version ON receipt (rid, generation, digest);
CREATE TABLE held (
  rid BIGINT NOT NULL,
  generation INTEGER NOT NULL,
  digest BYTEA NOT NULL,
  type TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  parents BYTEA NOT NULL,
  body BYTEA NOT NULL,
  issues BYTEA NOT NULL,
  waits BYTEA NOT NULL,
  node TEXT COLLATE "C" NOT NULL,
  incarnation TEXT COLLATE "C" NOT NULL,
  number BIGINT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (rid, generation, digest)
);
CREATE INDEX held_by_node ON held (node, at);
CREATE TABLE waiting (
  rid_for BIGINT NOT NULL,
  rid BIGINT NOT NULL,
  generation INTEGER NOT NULL,
  digest BYTEA NOT NULL,
  PRIMARY KEY (rid_for, rid, generation, digest)
);
CREATE TABLE conflict (
  rid BIGINT NOT NULL,
  since BIGINT NOT NULL,
  task TEXT COLLATE "C" NOT NULL,
  facts TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (rid)
);
CREATE TABLE place (
  rid BIGINT NOT NULL,
  generation INTEGER NOT NULL,
  digest BYTEA NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  epoch BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  num INTEGER NOT NULL,
  incarnation TEXT COLLATE "C" NOT NULL,
  number BIGINT NOT NULL,
  at BIGINT NOT NULL,
  facts BYTEA NOT NULL,
  PRIMARY KEY (rid, generation, digest)
);
CREATE INDEX place_by_hub ON place (epoch, seq, num);
CREATE INDEX place_by_state ON place (state, at);
CREATE TABLE packed (
  incarnation TEXT COLLATE "C" NOT NULL,
  number BIGINT NOT NULL,
  rid BIGINT NOT NULL,
  generation INTEGER NOT NULL,
  digest BYTEA NOT NULL,
  grp BIGINT NOT NULL,
  sent BIGINT NOT NULL,
  PRIMARY KEY (incarnation, number)
);
CREATE INDEX packed_by_version ON packed (rid, generation, digest);
CREATE TABLE whose (
  rid BIGINT NOT NULL,
  patient BIGINT NOT NULL,
  PRIMARY KEY (rid)
);
CREATE INDEX whose_by_patient ON whose (patient);
CREATE TABLE node_state (
  name TEXT COLLATE "C" NOT NULL,
  value TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (name)
);
CREATE TABLE apart (
  one BIGINT NOT NULL,
  other BIGINT NOT NULL,
  at BIGINT NOT NULL,
  facts TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (one, other)
);
""",
}


def upgrade() -> None:
    for statement in STATEMENTS[op.get_context().dialect.name].split(";"):
        if statement.strip():
            op.execute(statement)
