"""push — a chunk of versions as a history Bundle, oldest first, and read again.

https://hl7.org/fhir/R4/bundle.html#history

A version's name is not sent: who receives it computes it, so that a body that is not what was
named cannot come.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_server.foundation import wire
from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import ID, Key, Resource
from fhir_server.store.codec import digest_of
from fhir_server.store.contract import version_id
from fhir_server.sync.lineage import Parents, Rev, next_generation
from fhir_server.sync.words import Push, Pushed, Stubbed, entry, extension
from fhir_server.sync.words.extension import Parts, Value

MOST_PARENTS = 64
MOST_STUBS = 1000  # that are told with one version: the nearest
BY_SERVER = ("versionId", "lastUpdated")


def written(push: Push) -> bytes:
    """The Bundle as JSON."""
    parts: list[tuple[str, Value]] = [
        ("node", push.node),
        ("incarnation", push.incarnation),
        ("first", push.first),
        ("sent", push.sent),
    ]
    parts += [(name, said) for name, said in _said(push) if said]
    meta = extension.extension(extension.PUSH, parts)
    return entry.bundle("history", meta, [_written(one) for one in push.entries])


def _said(push: Push) -> tuple[tuple[str, str], ...]:
    return ("before", push.before), ("shown", push.shown)


def _written(one: Pushed) -> bytes:
    parts: list[tuple[str, Value]] = [("group", one.group)]
    parts += [("parent", parent) for parent in one.parents]
    parts += [("stub", entry.stub_text(stub)) for stub in one.stubs]
    said = {
        "extension": [extension.extension(extension.VERSION, parts)],
        **entry.done(one.key, one.method, one.recorded),
    }
    return entry.written(said, None if one.body is None else wire.render(one.body))


def read(bundle: Any) -> Push:
    """Raises Invalid, naming the entry."""
    found = entry.entries(bundle, "history")
    if not found:
        raise Invalid("The Bundle has no entries: there is nothing to push.")
    said = Parts(bundle["meta"], extension.PUSH, where="Bundle.meta")
    first = said.number("first")
    entries = tuple(_read(one, first + at, f"entry[{at}]") for at, one in enumerate(found))
    _demand_whole(entries)
    before = said.text("before", "")
    return Push(
        node=_name(said.text("node"), "node"),
        incarnation=_name(said.text("incarnation"), "incarnation"),
        first=first,
        before=entry.rev(before, "Bundle.meta") if before else "",
        entries=entries,
        sent=said.number("sent"),
        shown=said.text("shown", ""),
    )


def _read(one: dict[str, Any], number: int, where: str) -> Pushed:
    said = Parts(one, extension.VERSION, where=where)
    method, key = entry.request(one, where)
    parents = tuple(entry.rev(text, where) for text in said.texts("parent"))
    if len(parents) > MOST_PARENTS or len(set(parents)) < len(parents):
        raise Invalid(f"`{where}` has a parent twice, or more than {MOST_PARENTS}.")
    body = _body(one, method, key, where)
    return Pushed(
        number=number,
        group=said.number("group"),
        key=key,
        rev=named(key, parents, body),
        parents=parents,
        method=method,
        recorded=entry.moment(one, where),
        body=body,
        stubs=tuple(_stubs(said, where)),
    )


def _stubs(said: Parts, where: str) -> Iterator[Stubbed]:
    """What the node, too, knows by name alone of the version's past. Raises Invalid."""
    told = said.texts("stub")
    if len(told) > MOST_STUBS:
        raise Invalid(f"`{where}` tells of more than {MOST_STUBS} versions by name alone.")
    for one in (entry.stub(text, where) for text in told):
        if len(one.parents) > MOST_PARENTS or not one.rev.startswith(
            f"{next_generation(one.parents)}-"
        ):
            raise Invalid(f"`{where}` tells of `{one.rev}` by parents that it cannot have.")
        yield one


def named(key: Key, parents: Parents, body: Resource | None) -> Rev:
    """What a version is called that says this. body None: a deletion."""
    digest = digest_of(key.type, key.id, parents, deleted=body is None, resource=body)
    return version_id(next_generation(parents), digest)


def plain(resource: Resource) -> Resource:
    """The resource without what only a server says of it."""
    meta = {name: one for name, one in resource.get("meta", {}).items() if name not in BY_SERVER}
    rest = {name: one for name, one in resource.items() if name != "meta"}
    return {**rest, "meta": meta} if meta else rest


def _body(one: dict[str, Any], method: str, key: Key, where: str) -> Resource | None:
    found = one.get("resource")
    if method == "DELETE":
        if found is not None:
            raise Invalid(f"`{where}` deletes, and has a resource. Leave it out.")
        return None
    if not isinstance(found, dict) or (found.get("resourceType"), found.get("id")) != key:
        raise Invalid(f"`{where}.resource` is not the `{key}` that its request names.")
    meta = found.get("meta", {})
    if not isinstance(meta, dict) or any(name in meta for name in BY_SERVER):
        raise Invalid(
            f"`{where}.resource.meta` has a versionId or a lastUpdated. Leave them out: the first"
            " follows from what it says, the second is told by whoever stores it."
        )
    return found


def _demand_whole(entries: tuple[Pushed, ...]) -> None:
    """A group's entries are neighbours. Raises Invalid."""
    seen: set[int] = set()
    last = None
    for one in entries:
        if one.group != last and one.group in seen:
            raise Invalid(f"Group {one.group} is in two places. Send its entries together.")
        seen.add(one.group)
        last = one.group


def _name(text: str, what: str) -> str:
    if not ID.fullmatch(text):
        raise Invalid(f"The `{what}` of `Bundle.meta` is not 1 to 64 of `A-Za-z0-9-.`.")
    return text
