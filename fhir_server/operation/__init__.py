"""operation — the extended operations: `$validate`, `$expand` and the like.

https://hl7.org/fhir/R4/operations.html
"""
