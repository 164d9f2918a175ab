"""matching — one citizen who was registered twice is found by their numbers, and linked.

https://hl7.org/fhir/R4/patient.html#linking

Both Patients are kept and name each other (`linker`, `linking`); a person may link them, or say
that they are two (`deciding`). Who only may be one person is listed (`listing`).
"""
