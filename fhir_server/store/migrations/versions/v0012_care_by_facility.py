"""0012 — whom a facility has in its care is found by the facility.

https://hl7.org/fhir/R4/security.html#authorization%2Faccess-control
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute("CREATE INDEX care_by_facility ON care (facility, patient, until)")
