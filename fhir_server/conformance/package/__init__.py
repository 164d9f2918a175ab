"""FHIR packages and loose definitions: read with bounds, put in order, laid over one another."""

from fhir_server.conformance.package.archive import Bounds
from fhir_server.conformance.package.folder import folder_of_definitions
from fhir_server.conformance.package.order import in_dependency_order, layered
from fhir_server.conformance.package.reading import Package, read_package
from fhir_server.conformance.package.unresolved import unresolved
from fhir_server.conformance.problem import Problem

__all__ = [
    "Bounds",
    "Package",
    "Problem",
    "folder_of_definitions",
    "in_dependency_order",
    "layered",
    "read_package",
    "unresolved",
]
