"""openapi — the RESTful API told in OpenAPI, from the same tables the dispatcher reads.

https://hl7.org/fhir/R4/http.html#summary

Which search parameters a type has, `metadata` tells: here stand those that every search takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fhir_server.foundation import outcome
from fhir_server.foundation.outcome import FhirError
from fhir_server.foundation.resource import ID
from fhir_server.interaction.context import GENERAL, Server
from fhir_server.operation.call import Operation
from fhir_server.operation.table import methods
from fhir_server.rest import authorization
from fhir_server.rest.formats import FHIR_JSON, FHIR_XML
from fhir_server.rest.routes import ROWS, Row
from fhir_server.search.result import RESULT
from fhir_server.sync.operations import OPERATIONS

Told = dict[str, Any]
FORM, JSON, JSON_PATCH = authorization.FORM, "application/json", "application/json-patch+json"
R4 = "https://hl7.org/fhir/R4/"
PARTS = {"[type]": "{type}", "[id]": "{id}", "[vid]": "{vid}", "[base]": ""}
# What an interaction answers when it is done; `default` of R4 http#summary.
DONE: dict[str, tuple[int, ...]] = {
    "read": (200, 304),
    "vread": (200, 304),
    "create": (200, 201),
    "update": (200, 201),
    "patch": (200,),
    "delete": (200, 204),
    "operation": (200, 202, 204),
}
HEADERS: dict[str, tuple[str, ...]] = {
    "read": ("If-None-Match", "If-Modified-Since"),
    "create": ("If-None-Exist", "Prefer", "Idempotency-Key"),
    "update": ("If-Match", "Prefer", "Idempotency-Key"),
    "patch": ("If-Match", "Prefer", "Idempotency-Key"),
    "delete": ("If-Match", "Idempotency-Key"),
    "transaction": ("Prefer", "Idempotency-Key"),
}
PARAMETERS: dict[str, tuple[str, ...]] = {
    "history": ("_count", "_since", "_at", "_sort", "_type", "_cursor"),
    "capabilities": ("mode",),
}
TEXT: Told = {"type": "string"}
# Others are strings, judged by what they are asked of.
VALUES: dict[str, Told] = {
    "_count": {"type": "integer", "minimum": 0},
    "_pretty": {"type": "boolean"},
    "_summary": {"enum": ["true", "text", "data", "count", "false"]},
    "_total": {"enum": ["none", "estimate", "accurate"]},
    "mode": {"enum": ["full", "normative", "terminology"]},
}
BODIES: dict[str, dict[str, str]] = {
    "create": {FHIR_JSON: "Resource", FHIR_XML: "Xml"},
    "update": {FHIR_JSON: "Resource", FHIR_XML: "Xml"},
    "transaction": {FHIR_JSON: "Bundle", FHIR_XML: "Xml"},
    "patch": {JSON_PATCH: "JsonPatch", FHIR_JSON: "Parameters", FHIR_XML: "Xml"},
    "operation": {FHIR_JSON: "Resource", FHIR_XML: "Xml"},
}
PAGES = {"/livez": JSON, "/readyz": JSON, "/metrics": "text/plain", "/openapi.json": JSON}
RESOURCE: Told = {
    "type": "object",
    "required": ["resourceType"],
    "properties": {"resourceType": {"type": "string"}, "id": {"type": "string"}},
}


def _typed(name: str, **properties: Told) -> Told:
    return {
        "type": "object",
        "required": ["resourceType", *properties],
        "properties": {"resourceType": {"const": name}, **properties},
    }


SCHEMAS: Told = {
    "Resource": RESOURCE,
    "Bundle": _typed("Bundle", type={"type": "string"}),
    "Parameters": _typed("Parameters"),
    "OperationOutcome": _typed("OperationOutcome", issue={"type": "array", "minItems": 1}),
    "JsonPatch": {"type": "array", "items": {"type": "object", "required": ["op", "path"]}},
    "Xml": {"type": "string"},
    "OAuthError": {"type": "object", "required": ["error"]},
}


def document(server: Server, base: str) -> Told:
    """An OpenAPI 3.1 document of what this server serves."""
    paths: dict[str, Told] = {}
    for row in ROWS:
        if row.interaction != "operation":
            path = "/" + "/".join(filter(None, _parts(row.shape)))
            paths.setdefault(path, {})[row.method.lower()] = _interaction(server, row, path)
    for operation in OPERATIONS:
        for path in _places(operation):
            paths[path] = {
                method.lower(): _operation(server, operation, path, method)
                for method in methods(operation)
            }
    if server.authority is not None:
        paths |= {f"/{path.decode()}": _of_tokens(path) for path in sorted(authorization.PATHS)}
    origin = "/".join(base.split("/")[:3])
    for path, media in PAGES.items():
        got = _answers({200: media, 401: FHIR_JSON, 403: FHIR_JSON, 503: JSON}, server)
        paths[path] = {"servers": [{"url": origin}], "get": _told("page", path, "get", got)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "FHIR R4 RESTful API", "version": "4.0.1"},
        "servers": [{"url": base}],
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def _told(summary: str, path: str, method: str, responses: Told) -> Told:
    return {
        "operationId": f"{summary}-{method}{path.replace('/', '-')}",
        "summary": summary,
        "externalDocs": {"url": f"{R4}http.html"},
        "responses": responses,
    }


# --- the routes ----------------------------------------------------------------------------------


def _interaction(server: Server, row: Row, path: str) -> Told:
    name = row.interaction
    kind = name.partition("-")[0]
    told = _told(name, path, row.method, _answered(server, DONE.get(kind, (200,))))
    criteria = row.parameters is None and kind not in ("history", "operation")
    searched = {*server.parameters.everywhere(), *RESULT} - {*GENERAL}
    known = sorted(searched) if criteria else PARAMETERS.get(kind, ())
    form = path.endswith("_search")
    told["parameters"] = [
        *_of_path(server, path),
        *_named("query", () if form else (*known, *GENERAL)),
        *_named("header", HEADERS.get(kind, ())),
    ]
    if form:
        fields = {name: VALUES.get(name, TEXT) for name in (*known, *GENERAL)}
        told["requestBody"] = {"content": {FORM: {"schema": _object(fields)}}}
    elif kind in BODIES:
        told["requestBody"] = _body(BODIES[kind], required=True)
    return told


def _operation(server: Server, operation: Operation, path: str, method: str) -> Told:
    told = _told("operation", path, method.lower(), _answered(server, DONE["operation"]))
    query = () if method == "POST" else sorted(operation.parameters or ())
    told["parameters"] = [*_of_path(server, path), *_named("query", (*query, *GENERAL))]
    told["externalDocs"] = {"url": f"{R4}operations.html#executing"}
    if method == "POST":
        told["requestBody"] = _body(BODIES["operation"], required=False)
    return told


def _places(operation: Operation) -> Iterable[str]:
    """The paths an operation stands at."""
    types = sorted(operation.types) if operation.types else ["{type}"]
    for level in sorted(operation.levels):
        if level == "system":
            yield f"/${operation.name}"
            continue
        for type in types:
            yield f"/{type}{'/{id}' if level == 'instance' else ''}/${operation.name}"


def _of_tokens(path: bytes) -> Told:
    """An endpoint of OAuth: what is sent to it, and its refusals, are OAuth's own."""
    told: Told = {}
    for method in authorization.METHODS.get(path, ("POST",)):
        if method == "HEAD":
            continue
        answers = {"default": {"description": "OAuth's JSON, a page or a way back"}}
        one = _told("tokens", f"/{path.decode()}", method.lower(), answers)
        one["externalDocs"] = {"url": f"{R4}security.html#authentication"}
        if method == "POST":
            one["requestBody"] = {"content": {FORM: {"schema": _object({})}}}
        told[method.lower()] = one
    return told


# --- their parts ---------------------------------------------------------------------------------


def _parts(shape: str) -> list[str]:
    """A shape as parts of a path; the second `[type]` of a compartment search is `member`."""
    parts: list[str] = []
    for part in shape.split("/"):
        name = PARTS.get(part, part)
        parts.append("{member}" if name == "{type}" and name in parts else name)
    return parts


def _of_path(server: Server, path: str) -> list[Told]:
    types = sorted(server.definitions.resource_types)
    schemas: Told = {
        "type": {"type": "string", "enum": types},
        "member": {"type": "string", "enum": ["*", *types]},
        "id": {"type": "string", "pattern": f"^{ID.pattern}$"},
        "vid": {"type": "string", "pattern": f"^{ID.pattern}$"},
    }
    return [
        {"name": part[1:-1], "in": "path", "required": True, "schema": schemas[part[1:-1]]}
        for part in path.split("/")
        if part.startswith("{")
    ]


def _named(place: str, names: Iterable[str]) -> list[Told]:
    return [{"name": name, "in": place, "schema": VALUES.get(name, TEXT)} for name in names]


def _object(properties: Told) -> Told:
    return {"type": "object", "properties": properties}


def _schema(name: str) -> Told:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def _body(media: dict[str, str], *, required: bool) -> Told:
    content = {type: _schema(name) for type, name in media.items()}
    return {"required": required, "content": content}


def _answered(server: Server, done: tuple[int, ...]) -> Told:
    """What is done, and every refusal there is (foundation/outcome.py)."""
    told: Told = {str(status): {"description": "Done"} for status in done}
    for status in done:
        if status not in (204, 304):
            told[str(status)]["content"] = {"*/*": {}}
    return told | _refusals(server)


def _refusals(server: Server) -> Told:
    content = {FHIR_JSON: _schema("OperationOutcome"), FHIR_XML: _schema("Xml")}
    refusal = {"description": "Refused, with the reason in an OperationOutcome", "content": content}
    family = [each for each in vars(outcome).values() if isinstance(each, type)]
    statuses = {each.status for each in family if issubclass(each, FhirError)} - {500}
    if server.authority is None:
        statuses -= {401}
    return {str(status): refusal for status in sorted(statuses)}


def _answers(media: dict[int, str], server: Server) -> Told:
    """The answers of a page: those of its own, and refusals."""
    told = _refusals(server)
    for status, type in media.items():
        told[str(status)] = {"description": "An answer", "content": {type: {}}}
    return told
