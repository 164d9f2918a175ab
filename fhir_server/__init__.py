"""fhir_server — an HL7 FHIR R4 server on SQLite and PostgreSQL.

https://hl7.org/fhir/R4/
"""

RELEASED = "2026-11-22"
