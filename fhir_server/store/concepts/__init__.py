"""concepts — a large code system in a file of its own: written once, then only read.

https://hl7.org/fhir/R4/terminologies-systems.html

Such systems may not be shipped with the program, and no record is in them. A file holds one
version of one system; it has its name only once it is whole.
"""

from __future__ import annotations

from fhir_server.store.concepts.layout import SUFFIX, About, Damaged, Unwritable, file_name
from fhir_server.store.concepts.read import ConceptFile
from fhir_server.store.concepts.write import ConceptWriter, Name, Parent, Property, Row, Written

__all__ = [
    "SUFFIX",
    "About",
    "ConceptFile",
    "ConceptWriter",
    "Damaged",
    "Name",
    "Parent",
    "Property",
    "Row",
    "Unwritable",
    "Written",
    "file_name",
]
