"""table — the extended operations this server has, and the way from a request to one of them.

https://hl7.org/fhir/R4/operations.html#executing
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from fhir_server.foundation.outcome import (
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotSupported,
    UnknownType,
    within,
)
from fhir_server.foundation.resource import Resource
from fhir_server.interaction.context import Answer, Asked, Circumstances, Server
from fhir_server.interaction.judging import LONG_WORK
from fhir_server.operation import (
    expand,
    explain,
    lookup,
    reindex,
    subsumes,
    translate,
    validate,
    validate_code,
    who_viewed,
)
from fhir_server.operation.call import Call, Given, Operation
from fhir_server.operation.parameters import of_query, of_resource

OPERATIONS: tuple[Operation, ...] = (
    *validate.OPERATIONS,
    *lookup.OPERATIONS,
    *subsumes.OPERATIONS,
    *validate_code.OPERATIONS,
    *expand.OPERATIONS,
    *translate.OPERATIONS,
    *reindex.OPERATIONS,
    *explain.OPERATIONS,
    *who_viewed.OPERATIONS,
)

PLACEHOLDER: Resource = {"resourceType": "Basic", "code": {"text": "-"}}  # for a resource within


class Table:
    """Finds the operation a request means and performs it."""

    def __init__(self, operations: Iterable[Operation] = OPERATIONS) -> None:
        self.offered: Sequence[Operation] = tuple(operations)

    async def perform(self, server: Server, asked: Asked, circumstances: Circumstances) -> Answer:
        """Raises what the operation does, and UnknownType, MethodNotAllowed, NotSupported."""
        operation = self.found(asked)
        if ("GET" if asked.method == "HEAD" else asked.method) not in methods(operation):
            allowed = " or ".join(methods(operation))
            raise MethodNotAllowed(
                f"`${operation.name}` must be asked by {allowed}.",
                headers={"Allow": ", ".join([*methods(operation), "OPTIONS"])},
            )
        if operation.ability and not circumstances.access.able(operation.ability):
            raise Forbidden(
                f"`${operation.name}` is for who runs this server: none of your roles can "
                f"`{operation.ability}`."
            )
        if asked.unreadable is not None and not operation.judges:
            raise asked.unreadable
        short = asked.text is None or len(asked.text[0]) < LONG_WORK
        call = (
            called(server, operation, asked)
            if short
            else await asyncio.to_thread(called, server, operation, asked)
        )
        return await operation.perform(
            server, known_only(operation, call, circumstances), circumstances
        )

    def found(self, asked: Asked) -> Operation:
        """The line of the table a request means. Raises UnknownType."""
        level = level_of(asked)
        for operation in self.offered:
            if operation.name == asked.name and is_at(operation, level, asked.type):
                return operation
        raise self._unknown(asked, level)

    def _unknown(self, asked: Asked, level: str) -> UnknownType:
        name = asked.name[:64]
        elsewhere = [operation for operation in self.offered if operation.name == asked.name]
        if elsewhere:
            told = "; ".join(where(operation) for operation in elsewhere)
            return UnknownType(f"The operation `${name}` is not supported here. It is {told}.")
        known = sorted({o.name for o in self.offered if is_at(o, level, asked.type)})
        here = f"of {asked.type}" if asked.type else "of the whole system"
        told = f"Those {here} are {', '.join(f'`${name}`' for name in known)}"
        return UnknownType(
            f"The operation `${name}` is not supported."
            f" {told if known else f'There are none {here}'}; `metadata` lists all."
        )


def methods(operation: Operation) -> list[str]:
    """How it may be asked."""
    offered = (("POST", True), ("GET", operation.get), ("DELETE", operation.delete))
    return [method for method, is_offered in offered if is_offered]


def level_of(asked: Asked) -> str:
    return "instance" if asked.id is not None else "type" if asked.type else "system"


def is_at(operation: Operation, level: str, type: str | None) -> bool:
    of_type = operation.types is None or type is None or type in operation.types
    return level in operation.levels and of_type


def where(operation: Operation) -> str:
    """`at the type level of CodeSystem`"""
    levels = " and ".join(sorted(operation.levels, reverse=True))
    types = "any type" if operation.types is None else " or ".join(sorted(operation.types))
    return f"at the {levels} level" + (f" of {types}" if operation.levels != {"system"} else "")


# --- what it is given ----------------------------------------------------------------------------


def called(server: Server, operation: Operation, asked: Asked) -> Call:
    """The request with its parameters told apart. Raises Invalid, NotSupported."""
    given = of_query(asked.pairs)
    body = asked.resource
    if body is not None and is_parameters(operation, asked, body):
        given += of_resource(body)
        if not operation.judges:
            refuse_malformed(server, body)
        body = None
    elif body is not None:
        refuse_body(server, operation, body)
    return Call(
        name=operation.name,
        level=level_of(asked),
        method=asked.method,
        type=asked.type,
        id=asked.id,
        given=given,
        body=body,
        text=asked.text,
        unreadable=asked.unreadable,
    )


def is_parameters(operation: Operation, asked: Asked, body: Resource) -> bool:
    """Whether a body holds parameters. A Parameters may itself be what `$validate` is to judge."""
    if body.get("resourceType") != "Parameters":
        return False
    if asked.type != "Parameters" or not operation.judges:
        return True
    listed = body.get("parameter")
    names = (
        [one.get("name") for one in listed if isinstance(one, dict)]
        if isinstance(listed, list)
        else []
    )
    return any(name in (operation.parameters or ()) for name in names)


def refuse_body(server: Server, operation: Operation, body: Resource) -> None:
    """R4 operations#request: a resource alone may be POSTed where an operation takes one."""
    if operation.judges:
        return
    type = body.get("resourceType")
    if type not in operation.bodies:
        known = ", ".join(f"`{name}`" for name in ("Parameters", *sorted(operation.bodies)))
        raise Invalid(
            f"`${operation.name}` takes {known}, not a `{str(type)[:64]}`.",
            expression="resourceType",
        )
    refuse_errors(server, body, None)


def refuse_malformed(server: Server, body: Resource) -> None:
    """The values must be R4's, and the resources among them, so that operations can rely on it."""
    listed = body.get("parameter", [])
    for index, one in enumerate(listed):
        if "resource" in one:
            refuse_errors(server, one["resource"], f"Parameters.parameter[{index}].resource")
    bare = [{**one, "resource": PLACEHOLDER} if "resource" in one else one for one in listed]
    refuse_errors(server, {**body, "parameter": bare} if listed else body, None)


def refuse_errors(server: Server, resource: Resource, place: str | None) -> None:
    issues = server.validator.check(resource)
    if any(issue.severity in ("error", "fatal") and issue.profile is None for issue in issues):
        told = [within(place, issue) for issue in issues] if place else issues
        raise Invalid("A parameter is not valid R4.", issues=told)


def known_only(operation: Operation, call: Call, circumstances: Circumstances) -> Call:
    """An unknown parameter is never passed over, unless the client is lenient about it."""
    if operation.parameters is None:
        return call
    unknown = [one for one in call.given if one.name not in operation.parameters]
    if not unknown:
        return call
    if circumstances.strict:
        name = unknown[0].name[:64]
        known = ", ".join(f"`{known}`" for known in sorted(operation.parameters)) or "none"
        raise NotSupported(
            f"`{name}` is not a parameter of `${operation.name}` here. These are: {known}. To have"
            " it passed over, send `Prefer: handling=lenient`.",
            expression=f"http.{name}",
        )
    kept: tuple[Given, ...] = tuple(one for one in call.given if one not in unknown)
    return replace(call, given=kept)
