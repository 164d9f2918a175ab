"""entry — one Bundle.entry understood: which interaction it asks for, of which resource.

https://hl7.org/fhir/R4/bundle.html#transaction
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from fhir_server.foundation.outcome import FhirError, Invalid, UnknownType
from fhir_server.foundation.resource import ID, Resource
from fhir_server.interaction import auditing
from fhir_server.interaction.context import Pairs, Server

# R4 http#trules: the order in which the entries of a transaction are processed.
ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3, "HEAD": 3}
READS = ("GET", "HEAD")
OPERATED = (*READS, "POST")
CONDITIONS = ("ifNoneMatch", "ifModifiedSince", "ifMatch", "ifNoneExist")


@dataclass(frozen=True, slots=True)
class Request:
    """What one entry asks. `path` is that of the URL, taken apart; `pairs` its query."""

    index: int
    method: str
    path: tuple[str, ...]
    pairs: Pairs
    resource: Resource | None
    full_url: str | None
    if_match: str | None
    if_none_match: str | None
    if_none_exist: str | None

    @property
    def place(self) -> str:
        return f"Bundle.entry[{self.index}]"

    @property
    def type(self) -> str:
        return self.path[0]

    @property
    def id(self) -> str | None:
        return self.path[1] if len(self.path) == 2 else None

    @property
    def is_operation(self) -> bool:
        return bool(self.path) and self.path[-1][:1] == "$" and self.method in OPERATED

    @property
    def writes(self) -> bool:
        """Operations change nothing, however they are asked for."""
        return self.method not in READS and not self.is_operation

    @property
    def order(self) -> int:
        return ORDER[self.method] if self.writes else ORDER["GET"]

    @property
    def condition(self) -> Pairs | None:
        """The criteria of a conditional update, patch or delete."""
        return self.pairs if self.writes and len(self.path) == 1 else None


def understood(server: Server, index: int, entry: Any, base: str) -> Request:
    """Raises Invalid, located at the entry."""
    place = f"Bundle.entry[{index}]"
    if not isinstance(entry, dict) or not isinstance(entry.get("request"), dict):
        raise Invalid(
            "Every entry of a batch or transaction needs a `request` with `method` and `url`.",
            expression=f"{place}.request",
        )
    asked = entry["request"]
    method, url = asked.get("method"), asked.get("url")
    if not isinstance(method, str) or method not in ORDER:
        known = ", ".join(ORDER)
        raise Invalid(f"`{method}` is none of {known}.", expression=f"{place}.request.method")
    if not isinstance(url, str):
        raise Invalid("`request.url` is missing.", expression=f"{place}.request.url")
    refuse_other_than_text(entry, ("fullUrl",), place)
    refuse_other_than_text(asked, CONDITIONS, f"{place}.request")
    path, pairs = parted(url, base, place)
    request = Request(
        index=index,
        method=method,
        path=path,
        pairs=pairs,
        resource=entry.get("resource"),
        full_url=entry.get("fullUrl"),
        if_match=bare(asked.get("ifMatch")),
        if_none_match=bare(asked.get("ifNoneMatch")),
        if_none_exist=asked.get("ifNoneExist"),
    )
    if request.writes:
        demand_write(server, request)
    return request


def refuse_other_than_text(given: dict[str, Any], names: tuple[str, ...], place: str) -> None:
    """A condition that cannot be read must not be passed over: what it guards would be written."""
    for name in names:
        if name in given and not isinstance(given[name], str):
            raise Invalid(f"`{name}` must be a string.", expression=f"{place}.{name}")


def parted(url: str, base: str, place: str) -> tuple[tuple[str, ...], Pairs]:
    """The path and the query of `Patient/1?x=y`, which may be absolute at this server's base."""
    relative = url.removeprefix(base).lstrip("/")
    path, question, query = relative.partition("?")
    if ":" in path:
        raise Invalid(
            f"`{url[:200]}` is not at this server; give a URL relative to `{base}`.",
            expression=f"{place}.request.url",
        )
    pairs: Pairs = ()
    if question:
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        except ValueError as error:
            raise Invalid(
                f"The query of `{url[:200]}` is malformed.", expression=f"{place}.request.url"
            ) from error
    if "%" in path:
        path = "/".join(unquote(part).replace("/", "%2F") for part in path.split("/"))
    return tuple(part for part in path.split("/") if part), pairs


def bare(tag: Any) -> str | None:
    """`W/"1-abc"` -> `1-abc`."""
    if not isinstance(tag, str):
        return None
    return tag.removeprefix("W/").strip('"')


def demand_write(server: Server, request: Request) -> None:
    """A write names a type we know, one resource or a condition, and brings what it writes."""
    where = f"{request.place}.request.url"
    to_type = len(request.path) == 1 and (request.method == "POST") != bool(request.pairs)
    to_instance = len(request.path) == 2 and request.method != "POST" and not request.pairs
    if not (to_type or to_instance):
        raise Invalid(
            f"A {request.method} cannot be sent to `{'/'.join(request.path)}`: POST goes to a "
            "type, PUT, PATCH and DELETE to `Type/id` or to `Type?criteria`.",
            expression=where,
        )
    if request.type not in server.definitions.resource_types:
        raise UnknownType(f"`{request.type}` is not a resource type of R4.", expression=where)
    auditing.refuse_write(request.type)
    if request.id is not None and not ID.fullmatch(request.id):
        raise Invalid(f"`{request.id[:80]}` is not an id.", expression=where)
    if request.method != "DELETE" and not isinstance(request.resource, dict):
        raise Invalid(
            f"A {request.method} needs a `resource` in its entry.",
            expression=f"{request.place}.resource",
        )


def all_understood(server: Server, entries: list[Any], base: str) -> list[Request]:
    """Every entry, or one Invalid with the issues of all that are malformed."""
    requests, refusals = [], []
    for index, entry in enumerate(entries):
        try:
            requests.append(understood(server, index, entry, base))
        except FhirError as refusal:
            refusals.append(refusal)
    if refusals:
        issues = [issue for refusal in refusals for issue in refusal.issues]
        raise Invalid("The Bundle cannot be processed.", issues=issues[:100])
    return requests
