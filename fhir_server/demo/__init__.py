"""Records of people who do not exist, as believable as those of a province that does."""

from fhir_server.demo.records import expected, generate
from fhir_server.demo.visit import Way, facility_bundles, visits

__all__ = ["Way", "expected", "facility_bundles", "generate", "visits"]
