"""What FHIR R4 says there is: types, elements, search parameters, compartments, codes."""
