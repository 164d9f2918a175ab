"""xml — resources as XML, both ways, driven by the definitions.

https://hl7.org/fhir/R4/xml.html
"""

from __future__ import annotations

from fhir_server.conformance.xml.read import from_xml
from fhir_server.conformance.xml.write import to_xml

__all__ = ["from_xml", "to_xml"]
