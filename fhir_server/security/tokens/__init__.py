"""Tokens: which clients are registered, how they prove it, what they are given, and for how long.

https://hl7.org/fhir/R4/security.html#authentication
"""
