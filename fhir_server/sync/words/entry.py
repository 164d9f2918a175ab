"""entry — the entries of the Bundles of sync: which resource, what was done to it, and when.

https://hl7.org/fhir/R4/bundle.html
"""

from __future__ import annotations

from typing import Any

import orjson

from fhir_server.foundation.bundle import instant
from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.primitive import interval
from fhir_server.foundation.resource import Key, literal
from fhir_server.store.contract import parse_version_id
from fhir_server.sync.epochs import Malformed, Place, place
from fhir_server.sync.lineage import Rev
from fhir_server.sync.words import Stubbed

METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
STATUS = {"POST": "201", "DELETE": "204"}  # all others: 200
MOST = 5000  # entries of one Bundle


def bundle(
    type: str, meta: dict[str, Any], entries: list[bytes], links: tuple[tuple[str, str], ...] = ()
) -> bytes:
    """A Bundle of entries that are written already. meta: its extension."""
    told: dict[str, Any] = {"resourceType": "Bundle", "meta": {"extension": [meta]}, "type": type}
    if links:
        told["link"] = [{"relation": relation, "url": url} for relation, url in links]
    head = orjson.dumps(told)
    return head[:-1] + b',"entry":[' + b",".join(entries) + b"]}" if entries else head


def written(said: dict[str, Any], resource: bytes | None = None) -> bytes:
    """An entry, with a resource that is bytes already."""
    head = orjson.dumps(said)
    return head if resource is None else head[:-1] + b',"resource":' + resource + b"}"


def done(key: Key, method: str, updated: int | None = None, rev: Rev = "") -> dict[str, Any]:
    """What was done, as an entry says it: its request and its response."""
    response = {"status": STATUS.get(method, "200")}
    if rev:
        response["etag"] = f'W/"{rev}"'
    if updated is not None:
        response["lastModified"] = instant(updated)
    return {"request": {"method": method, "url": str(key)}, "response": response}


def entries(bundle: Any, type: str) -> list[dict[str, Any]]:
    """The entries of what somebody sent. Raises Invalid where it is no such Bundle."""
    if (
        not isinstance(bundle, dict)
        or (bundle.get("resourceType"), bundle.get("type")) != ("Bundle", type)
        or not isinstance(bundle.get("meta"), dict)
    ):
        raise Invalid(f"This is not a Bundle of type `{type}` with a `meta`.")
    found = bundle.get("entry", [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Invalid("`Bundle.entry` is not a list of entries.")
    if len(found) > MOST:
        raise Invalid(f"The Bundle has {len(found)} entries; at most {MOST}. Send it in parts.")
    return found


def request(entry: dict[str, Any], where: str) -> tuple[str, Key]:
    """The method, and which resource. Raises Invalid."""
    said = entry.get("request")
    method, url = (said.get("method"), said.get("url")) if isinstance(said, dict) else (None, None)
    found = literal(url) if isinstance(url, str) else None
    if method not in METHODS or found is None or found.base or found.version:
        raise Invalid(f"`{where}.request` is not a method and `[type]/[id]`.")
    return str(method), found.key


def response(entry: dict[str, Any]) -> dict[str, Any]:
    found = entry.get("response")
    return found if isinstance(found, dict) else {}


def moment(entry: dict[str, Any], where: str) -> int:
    """response.lastModified in milliseconds. Raises Invalid."""
    told = response(entry).get("lastModified")
    try:
        if isinstance(told, str) and "T" in told:
            return int(interval(told, 0)[0])
    except ValueError:
        pass
    raise Invalid(f"`{where}.response.lastModified` is not an instant.")


def rev(text: str, where: str) -> Rev:
    """A version id. Raises Invalid."""
    if parse_version_id(text) is None:
        raise Invalid(f"`{text[:64]}` of `{where}` is not a version id such as `3-k5f…`.")
    return text


def stub_text(stub: Stubbed) -> str:
    """A version of which only the parents are known, as one word of an extension."""
    return " ".join((stub.rev, *stub.parents))


def stub(text: str, where: str) -> Stubbed:
    """Raises Invalid."""
    found, *parents = (rev(word, where) for word in text.split(" "))
    return Stubbed(found, tuple(parents))


def place_of(text: str, where: str) -> Place:
    """Raises Invalid."""
    try:
        return place(text)
    except Malformed as error:
        raise Invalid(f"{error} It is of `{where}`.") from error
