"""page — what changed at the hub, as a history Bundle, oldest first, and read again.

https://hl7.org/fhir/R4/bundle.html#history

The hub puts stored bytes between a little JSON. That a record left the catchment is a modifier: who
does not know it must not take the entry for a deletion.
"""

from __future__ import annotations

from typing import Any

from fhir_server.foundation import wire
from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Key, Resource
from fhir_server.sync import epochs
from fhir_server.sync.lineage import Rev
from fhir_server.sync.words import Kind, Page, Row, entry, extension
from fhir_server.sync.words.answer import epochs_of
from fhir_server.sync.words.extension import Parts, Value
from fhir_server.sync.words.push import named, plain

LEAVING = {Kind.LEFT_RECORD.value: Kind.LEFT_RECORD, Kind.LEFT_RESOURCE.value: Kind.LEFT_RESOURCE}


def written(page: Page, *, self_url: str, next_url: str) -> bytes:
    """The Bundle as JSON. The urls carry the cursors."""
    # At the beginning there is none, and a string of FHIR is never empty.
    parts: list[tuple[str, Value]] = [("cursor", page.cursor)] if page.cursor else []
    parts += [
        ("next", page.next),
        ("read", str(page.read)),
        ("epochs", epochs.told(page.epochs)),
        ("now", page.now),
    ]
    parts += [("stored", rev) for rev in page.stored]
    parts += [(name, True) for name in ("entering", "more") if getattr(page, name)]
    links = (("self", self_url), ("next", next_url))
    meta = extension.extension(extension.PAGE, parts)
    return entry.bundle("history", meta, [_written(row) for row in page.rows], links)


def _written(row: Row) -> bytes:
    if row.kind is Kind.VERSION and row.body is not None and not row.stubs:
        return _whole(row, row.body)
    if row.kind in (Kind.LEFT_RECORD, Kind.LEFT_RESOURCE):
        said = entry.done(row.key, "DELETE")
        left = {"url": extension.LEFT, "valueCode": row.kind.value}
        place = extension.extension(extension.VERSION, [("position", str(row.place))])
        return entry.written({"extension": [place], "modifierExtension": [left], **said})
    parts: list[tuple[str, Value]] = [("position", str(row.place))]
    parts += [("parent", parent) for parent in row.parents]
    parts += [("patient", row.patient)] if row.patient else []
    parts += [("stub", entry.stub_text(stub)) for stub in row.stubs]
    parts += [("echo", True)] if row.kind is Kind.ECHO else []
    told = extension.extension(extension.VERSION, parts)
    named = row.rev if row.body is None else ""  # a body says its version itself
    said = entry.done(row.key, row.method, row.updated if row.body is None else None, named)
    return entry.written({"extension": [told], **said}, row.body)


def _whole(row: Row, body: bytes) -> bytes:
    """What nearly all rows are, put together as text: none of its parts has a letter that JSON
    would write otherwise."""
    said = "".join([PART % ("parent", parent) for parent in row.parents])
    if row.patient:
        said += PART % ("patient", row.patient)
    number, seq, num = row.place
    type, id = row.key
    status = entry.STATUS.get(row.method, "200")
    head = HEAD % (number, seq, num, said, row.method, type, id, status)
    return head.encode() + body + b"}"


PART = ',{"url":"%s","valueString":"%s"}'
HEAD = (
    '{"extension":[{"url":"' + extension.VERSION + '","extension":['
    '{"url":"position","valueString":"%d.%d.%d"}%s]}],"request":{"method":"%s","url":"%s/%s"},'
    '"response":{"status":"%s"},"resource":'
)


def read(bundle: Any) -> Page:
    """Raises Invalid, naming the entry."""
    return heard(bundle)[0]


def heard(bundle: Any) -> tuple[Page, dict[Rev, Resource]]:
    """The page, and by their names what its versions say, so that nothing is parsed again. Raises
    Invalid, naming the entry."""
    resources: dict[Rev, Resource] = {}
    found = entry.entries(bundle, "history")
    said = Parts(bundle["meta"], extension.PAGE, where="Bundle.meta")
    page = Page(
        rows=tuple(_read(one, f"entry[{at}]", resources) for at, one in enumerate(found)),
        cursor=next(iter(said.texts("cursor")), ""),
        next=said.text("next"),
        read=entry.place_of(said.text("read"), "Bundle.meta"),
        epochs=epochs_of(said.text("epochs")),
        now=said.number("now"),
        stored=tuple(entry.rev(text, "Bundle.meta") for text in said.texts("stored")),
        entering=said.truth("entering"),
        more=said.truth("more"),
    )
    return page, resources


def _read(one: dict[str, Any], where: str, resources: dict[Rev, Resource]) -> Row:
    said = Parts(one, extension.VERSION, where=where)
    method, key = entry.request(one, where)
    place = entry.place_of(said.text("position"), where)
    if "modifierExtension" in one:
        return Row(_leaving(one["modifierExtension"], where), key, place)
    body = one.get("resource")
    echo = said.truth("echo")
    rev = _rev(one, key, where)
    parents = tuple(entry.rev(text, where) for text in said.texts("parent"))
    if body is not None:
        resource = resources[rev] = plain(body)
        if named(key, parents, resource) != rev:
            raise Invalid(f"`{where}.resource` is not what `{rev}` names: it was damaged.")
    return Row(
        kind=Kind.ECHO if echo else Kind.VERSION,
        key=key,
        place=place,
        rev=rev,
        parents=parents,
        method=method,
        updated=0 if body is not None else entry.moment(one, where),
        patient=said.text("patient", ""),
        body=None if body is None or echo else wire.render(body),
        stubs=tuple(entry.stub(text, where) for text in said.texts("stub")),
    )


def _rev(one: dict[str, Any], key: Key, where: str) -> str:
    body = one.get("resource")
    if body is None:
        etag = str(entry.response(one).get("etag", ""))
        return entry.rev(etag.removeprefix('W/"').removesuffix('"'), where)
    meta = body.get("meta") if isinstance(body, dict) else None
    if (
        not isinstance(meta, dict)
        or not isinstance(meta.get("versionId"), str)
        or (body.get("resourceType"), body.get("id")) != key
    ):
        raise Invalid(f"`{where}.resource` is not the `{key}` that its request names.")
    return entry.rev(meta["versionId"], where)


def _leaving(modifiers: Any, where: str) -> Kind:
    match modifiers:
        case [{"url": extension.LEFT, "valueCode": str(code)}] if code in LEAVING:
            return LEAVING[code]
    raise Invalid(f"`{where}` has a modifierExtension that is not known here.")
