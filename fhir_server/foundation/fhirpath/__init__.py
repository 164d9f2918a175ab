"""FHIRPath — expressions over resources: parsed once, compiled once, evaluated often.

http://hl7.org/fhirpath/N1
https://hl7.org/fhir/R4/fhirpath.html
"""
