"""request — what an entry of a batch or transaction may ask.

https://hl7.org/fhir/R4/http.html#transaction
https://hl7.org/fhir/R4/bundle-definitions.html#Bundle.entry.request
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import ID, Resource
from fhir_server.validation.content.question import Question
from fhir_server.validation.messages import issue

BODY = {"POST": True, "PUT": True, "PATCH": True, "GET": False, "HEAD": False, "DELETE": False}
# R4 http#transaction:  [type]  |  [type]/[id]  |  [type]?[parameters], from the server's base on
ADDRESSED = re.compile(
    rf"/?(?P<type>[A-Z][A-Za-z]+)(?:/(?P<id>{ID.pattern}))?(?P<query>\?\S*)?"
).fullmatch
CONDITIONS = {
    "ifNoneExist": ("POST",),
    "ifMatch": ("PUT", "PATCH", "DELETE"),
    "ifNoneMatch": ("GET", "HEAD", "PUT"),
    "ifModifiedSince": ("GET", "HEAD"),
}


def request(entry: Resource, path: str, question: Question) -> Iterator[Issue]:
    """The issues of an entry's request; an operation's address (`$name`) is its own affair."""
    asked, content = entry["request"], entry.get("resource")
    method, url = asked.get("method"), asked.get("url")
    if method not in BODY or not isinstance(url, str):
        return  # its shape is wrong, and told
    if "$" in url.partition("?")[0]:
        return
    if BODY[method] and content is None:
        yield issue("bundle-request.no-resource", path, method=method)
    elif not BODY[method] and content is not None:
        yield issue("bundle-request.resource", f"{path}.resource", method=method)
    for name, methods in CONDITIONS.items():
        if name in asked and method not in methods:
            yield issue(
                "bundle-request.condition", f"{path}.request.{name}", name=name,
                method=method, methods=methods,
            )  # fmt: skip
    if method not in ("GET", "HEAD"):
        yield from _address(method, url, content, path, question)


def _address(
    method: str, url: str, content: Resource | None, path: str, question: Question
) -> Iterator[Issue]:
    place = f"{path}.request.url"
    found = ADDRESSED(url)
    if found is None or found["type"] not in question.definitions.resource_types:
        yield issue("bundle-request.url", place, url=url)
        return
    if method == "POST":
        if found["id"] or found["query"]:
            yield issue("bundle-request.post", place, url=url, type=found["type"])
    elif not found["id"] and not found["query"]:
        yield issue("bundle-request.no-id", place, url=url, method=method)
    if content is None or method == "PATCH":
        return
    if content.get("resourceType") != found["type"]:
        yield issue("bundle-request.type", place, url=url, type=content.get("resourceType"))
    elif method == "PUT" and found["id"] and content.get("id") not in (None, found["id"]):
        yield issue("bundle-request.id", place, url=url, id=content.get("id"))
