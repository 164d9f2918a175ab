"""openapi — the RESTful API told in OpenAPI, from the same table the dispatcher reads.

https://hl7.org/fhir/R4/http.html#summary
"""

from __future__ import annotations

from typing import Any

from fhir_server.rest.routes import ROWS

NAMES = {
    "[type]": "{type}",
    "[id]": "{id}",
    "[vid]": "{vid}",
    "[base]": "",
    "$[operation]": "${operation}",
}


def document(base: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document. Which types and parameters there are, `metadata` tells."""
    paths: dict[str, dict[str, Any]] = {}
    for row in ROWS:
        path, parameters = _path(row.shape)
        operation: dict[str, Any] = {
            "operationId": f"{row.interaction}-{row.method.lower()}{path.replace('/', '-')}",
            "summary": row.interaction,
            "externalDocs": {"url": "https://hl7.org/fhir/R4/http.html"},
            "responses": {
                "default": {"description": "A resource, a Bundle or an OperationOutcome"}
            },
        }
        if parameters:
            operation["parameters"] = [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in parameters
            ]
        paths.setdefault(path, {})[row.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "FHIR R4 RESTful API", "version": "4.0.1"},
        "servers": [{"url": base}],
        "paths": paths,
    }


def _path(shape: str) -> tuple[str, list[str]]:
    """A shape as an OpenAPI path; the second `[type]` of a compartment search is `member`."""
    parts, parameters = [], []
    for part in shape.split("/"):
        name = NAMES.get(part, part)
        if name == "{type}" and "type" in parameters:
            name = "{member}"
        if name.endswith("}"):
            parameters.append(name.strip("${}"))
        parts.append(name)
    return "/" + "/".join(part for part in parts if part), parameters
