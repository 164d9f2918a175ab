"""0009 — the clients that are registered, their tokens, and what was spent for one.

https://hl7.org/fhir/R4/security.html#authentication
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"

STATEMENTS = {
    "sqlite": """
CREATE TABLE client (
  id TEXT NOT NULL,
  facts TEXT NOT NULL,
  changed INTEGER NOT NULL,
  revoked INTEGER NOT NULL,
  PRIMARY KEY (id)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE token (
  digest BLOB NOT NULL,
  kind TEXT NOT NULL,
  client TEXT NOT NULL,
  facts TEXT NOT NULL,
  issued INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  PRIMARY KEY (digest)
)
 WITHOUT ROWID,
 STRICT;
CREATE INDEX token_by_client ON token (client);
CREATE INDEX token_by_end ON token (expires);
CREATE TABLE spent (
  digest BLOB NOT NULL,
  until INTEGER NOT NULL,
  PRIMARY KEY (digest)
)
 WITHOUT ROWID,
 STRICT;
CREATE INDEX spent_by_end ON spent (until);
""",
    "postgresql": """
CREATE TABLE client (
  id TEXT COLLATE "C" NOT NULL,
  facts TEXT COLLATE "C" NOT NULL,
  changed BIGINT NOT NULL,
  revoked BIGINT NOT NULL,
  PRIMARY KEY (id)
);
CREATE TABLE token (
  digest BYTEA NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  client TEXT COLLATE "C" NOT NULL,
  facts TEXT COLLATE "C" NOT NULL,
  issued BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  PRIMARY KEY (digest)
);
CREATE INDEX token_by_client ON token (client);
CREATE INDEX token_by_end ON token (expires);
CREATE TABLE spent (
  digest BYTEA NOT NULL,
  until BIGINT NOT NULL,
  PRIMARY KEY (digest)
);
CREATE INDEX spent_by_end ON spent (until);
""",
}


def upgrade() -> None:
    for statement in STATEMENTS[op.get_context().dialect.name].split(";"):
        if statement.strip():
            op.execute(statement)
