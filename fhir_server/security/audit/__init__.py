"""Audit: who saw and did what, written down before it is answered, and proof that it stays so.

https://hl7.org/fhir/R4/auditevent.html
"""
