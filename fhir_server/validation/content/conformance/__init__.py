"""conformance — definitions as resources: whether they say what can be worked with.

https://hl7.org/fhir/R4/conformance-module.html
https://hl7.org/fhir/R4/resource.html#canonical
"""
