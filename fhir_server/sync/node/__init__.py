"""node — a health post's server and its hub: what it sends, what it takes, and the line between.

https://hl7.org/fhir/R4/http.html#history
"""
