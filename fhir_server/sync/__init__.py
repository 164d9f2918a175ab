"""sync — records of many places meet: a hub, its nodes, and a line that fails.

https://hl7.org/fhir/R4/http.html#history
"""
