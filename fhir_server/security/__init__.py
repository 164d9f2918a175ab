"""Access: who asks, what a policy lets them reach, and by what right.

https://hl7.org/fhir/R4/security.html#authorization%2Faccess-control
"""
