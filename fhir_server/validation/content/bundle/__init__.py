"""bundle — what the entries of a Bundle must be to one another.

https://hl7.org/fhir/R4/bundle.html
https://hl7.org/fhir/R4/bundle-definitions.html#Bundle.entry.fullUrl

What R4 has as invariants (bdl-1 to bdl-12) is told by those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.content.bundle.document import document
from fhir_server.validation.content.bundle.message import message
from fhir_server.validation.content.bundle.request import request
from fhir_server.validation.content.question import Question
from fhir_server.validation.content.within import RESTFUL
from fhir_server.validation.messages import issue

ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+").fullmatch
# Results of operations may have no identity; what is POSTed has none yet.
NEEDS_FULL_URL = frozenset({"document", "message", "history"})
ASKING = frozenset({"batch", "transaction"})


def bundle(resource: Resource, path: str, question: Question) -> list[Issue]:
    """The issues of a Bundle itself, not those of its entries' resources."""
    type, entries = resource.get("type"), resource.get("entry") or []
    found = [one for index, entry in enumerate(entries) for one in _entry(
        entry, f"{path}.entry[{index}]", type, question
    )]  # fmt: skip
    if type == "document":
        found.extend(document(resource, path))
    elif type == "message":
        found.extend(message(resource, path))
    return found


def _entry(entry: Resource, path: str, type: Any, question: Question) -> Iterator[Issue]:
    content, full_url = entry.get("resource"), entry.get("fullUrl")
    if full_url is not None:
        yield from _full_url(full_url, entry, path, question)
    elif content is not None and type in NEEDS_FULL_URL and not _is_post(entry):
        yield issue("bundle-full-url.missing", path, type=type)
    if type in ASKING and isinstance(entry.get("request"), dict):
        yield from request(entry, path, question)


def _full_url(full_url: str, entry: Resource, path: str, question: Question) -> Iterator[Issue]:
    """R4 bundle-definitions#fullUrl: absolute, and consistent with Resource.id."""
    if not ABSOLUTE(full_url):
        yield issue("bundle-full-url.relative", f"{path}.fullUrl", url=full_url)
        return
    content = entry.get("resource")
    if content is None or not full_url.startswith(("http://", "https://")):
        return
    type, id = content.get("resourceType"), content.get("id")
    restful = RESTFUL.fullmatch(full_url)
    if restful and restful["type"] in question.definitions.resource_types:
        if restful["type"] != type:
            yield issue("bundle-full-url.type", f"{path}.fullUrl", url=full_url, type=type)
        elif id is None and not _is_post(entry):
            yield issue("bundle-full-url.no-id", f"{path}.resource", url=full_url, id=restful["id"])
        elif id is not None and id != restful["id"]:
            yield issue("bundle-full-url.id", f"{path}.fullUrl", url=full_url, id=id)
    elif id is not None and full_url.rpartition("/")[2] != id:
        yield issue("bundle-full-url.id", f"{path}.fullUrl", url=full_url, id=id)


def _is_post(entry: Resource) -> bool:
    asked = entry.get("request")
    return isinstance(asked, dict) and asked.get("method") == "POST"
