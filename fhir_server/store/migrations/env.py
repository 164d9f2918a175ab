"""env — what alembic runs: the steps, in one transaction, on the connection migrate.py made.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
