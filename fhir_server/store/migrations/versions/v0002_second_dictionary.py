"""0002 — a second compression dictionary, made of records that meet the local profiles.

https://hl7.org/fhir/R4/json.html

They carry more identifiers, extensions and codes than those the first one was made of. What is
stored stays as it is, and names the first; what is written from now on is packed with this one.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy.dialects import postgresql, sqlite

from fhir_server.store.codec import shipped_dictionaries
from fhir_server.store.schema import SQLITE
from fhir_server.store.tables import tables

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    dialect = op.get_context().dialect.name
    dictionary = tables(dialect).tables["dictionary"]
    values = [{"id": 2, "body": shipped_dictionaries()[2]}]
    # A server of this program may have put it in already.
    if dialect == SQLITE:
        op.execute(sqlite.insert(dictionary).values(values).on_conflict_do_nothing())
    else:
        op.execute(postgresql.insert(dictionary).values(values).on_conflict_do_nothing())
