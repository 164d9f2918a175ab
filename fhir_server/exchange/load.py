"""load — files of resources into a server, by the same interactions a client would use.

https://hl7.org/fhir/R4/nd-json.html
https://hl7.org/fhir/R4/http.html#transaction

A resource with an id is an update, one without is a create, so that a load that was broken off
can be done again. Resources are stored a few hundred at a time; where one of them is refused, its
part is done again one by one, and only that one is left out.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import file_digest
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from fhir_server.foundation import wire
from fhir_server.foundation.outcome import FhirError, Invalid, TooLarge, Unavailable
from fhir_server.foundation.resource import Resource
from fhir_server.interaction import auditing, bundle, create, update
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.interaction.sourcing import Source

ENTRIES = 250  # stored at once, or not at all
LONGEST = 64 * 1024 * 1024  # bytes of one line, or of one file that is not NDJSON
WHOLE = ("batch", "transaction")  # Bundles that are done as they say
COLLECTIONS = ("collection", "searchset")  # Bundles whose resources are meant


class Item(NamedTuple):
    """A resource and where it stands, such as `Patient.ndjson:12`."""

    place: str
    resource: Resource


class Refusal(NamedTuple):
    place: str
    sentence: str


@dataclass(slots=True)
class Loaded:
    """How many were stored, and how many refused."""

    stored: int = 0
    refused: int = 0


Refused = Callable[[Refusal], None]
Progress = Callable[[int], None]  # bytes read of all files, as they lie


async def load(
    server: Server,
    files: list[Path],
    *,
    refused: Refused,
    progress: Progress,
    circumstances: Circumstances,
    provenance: bool = True,
) -> Loaded:
    """Load files in their order. What is refused is told and left out; the rest is stored.

    provenance: with each transaction a Provenance tells which file it came from.
    """
    loaded = Loaded()

    def refuse(place: str, error: FhirError) -> None:
        loaded.refused += 1
        issues = "; ".join(
            f"{issue.expression}: {issue.diagnostics}" if issue.expression else issue.diagnostics
            for issue in error.issues[:5]
        )
        refused(Refusal(place, issues))

    before = 0
    for file in files:
        with file.open("rb") as opened:
            source = source_of(file, opened) if provenance else None
            items = read(file, opened, refuse)
            while part := list(islice(items, ENTRIES)):
                each = auditing.of_file(server, circumstances, "load", writable(str(file)))
                await store(server, part, loaded, refuse, replace(each, source=source))
                progress(before + opened.tell())
            before += opened.tell()
    return loaded


def source_of(file: Path, opened: BufferedReader) -> Source:
    """The file by its name and its hash."""
    digest = file_digest(opened, "sha256").hexdigest()
    opened.seek(0)
    return Source(writable(file.name), digest)


def writable(name: str) -> str:
    """A file's name, of which no byte need be a letter, as it can stand in JSON."""
    return os.fsencode(name).decode(errors="replace")


async def store(
    server: Server,
    part: list[Item],
    loaded: Loaded,
    refuse: Callable[[str, FhirError], None],
    circumstances: Circumstances,
) -> None:
    """A part as one transaction, else each resource by itself."""
    if not any(done_as_it_says(resource) for _, resource in part):
        entries = [entry(item.resource) for item in part]
        whole: Resource = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        try:
            await bundle.bundle(server, bundle.Ask(whole), circumstances)
        except Unavailable:
            raise
        except FhirError:
            pass
        else:
            loaded.stored += len(part)
            return
    for place, resource in part:
        try:
            loaded.stored += await alone(server, resource, circumstances)
        except Unavailable:
            raise
        except FhirError as error:
            refuse(place, error)


def done_as_it_says(resource: Resource) -> bool:
    return resource.get("resourceType") == "Bundle" and resource.get("type") in WHOLE


def entry(resource: Resource) -> Resource:
    type, id = resource.get("resourceType"), resource.get("id")
    request = (
        {"method": "PUT", "url": f"{type}/{id}"} if id else {"method": "POST", "url": f"{type}"}
    )
    return {"resource": resource, "request": request}


async def alone(server: Server, resource: Resource, circumstances: Circumstances) -> int:
    """Store one resource, or do one Bundle; how many were stored."""
    if done_as_it_says(resource):
        await bundle.bundle(server, bundle.Ask(resource), circumstances)
        return len(resource.get("entry", []))
    type, id = str(resource.get("resourceType")), resource.get("id")
    if type not in server.definitions.resource_types:
        raise Invalid(f"`{type}` is not a type of resource of R4.", expression="resourceType")
    if id:
        await update.update(server, update.Ask(type, str(id), resource), circumstances)
    else:
        await create.create(server, create.Ask(type, resource), circumstances)
    return 1


# --- reading -------------------------------------------------------------------------------------


def read(file: Path, opened: BinaryIO, refuse: Callable[[str, FhirError], None]) -> Iterator[Item]:
    """The resources of a file: NDJSON, one resource, or a Bundle; also compressed by gzip."""
    name = file.name.removesuffix(".gz")
    plain = cast(BinaryIO, gzip.GzipFile(fileobj=opened)) if file.suffix == ".gz" else opened
    pieces = lines(plain) if name.endswith((".ndjson", ".jsonl")) else one(plain)
    try:
        for number, text in pieces:
            place = f"{file}:{number}" if number else str(file)
            try:
                if len(text) > LONGEST:
                    raise TooLarge(f"This is longer than {LONGEST:,} bytes: send it in parts.")
                yield from items(place, wire.parse(text))
            except FhirError as error:
                refuse(place, error)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        refuse(str(file), Invalid(f"The file is not whole: {error}."))


def lines(opened: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Each line that is not empty, with its number; a line without end is cut at its bound."""
    number = 0
    while text := opened.readline(LONGEST + 1):
        number += 1
        if text.strip():
            yield number, text
        while len(text) > LONGEST and not text.endswith(b"\n"):
            text = opened.readline(LONGEST + 1)


def one(opened: BinaryIO) -> Iterator[tuple[int, bytes]]:
    yield 0, opened.read(LONGEST + 1)


def items(place: str, resource: Resource) -> Iterator[Item]:
    """The resource itself, or those a collection holds; a batch or transaction stays whole."""
    if resource.get("resourceType") != "Bundle" or resource.get("type") not in COLLECTIONS:
        yield Item(place, resource)
        return
    held = resource.get("entry")
    for number, each in enumerate(held if isinstance(held, list) else []):
        if isinstance(each, dict) and isinstance(each.get("resource"), dict):
            yield Item(f"{place} entry[{number}]", each["resource"])
