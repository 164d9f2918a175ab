"""copy — what a hub has not confirmed, kept a second time where only the hub can read it.

https://hl7.org/fhir/R4/security.html
"""
