"""files — a world's records in a folder: NDJSON, a file for each type, or transaction Bundles.

https://hl7.org/fhir/R4/nd-json.html
https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from fhir_server.demo.records import expected, generate
from fhir_server.demo.visit import put, transaction
from fhir_server.foundation import wire
from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Resource

FORMATS = ("ndjson", "bundle")
ENTRIES = 500  # a file's Bundle has at most so many
EVERY = 200  # resources between two tellings of how far it is

Progress = Callable[[int, int], None]  # resources done, and how many are expected


def write(
    folder: str | Path,
    *,
    patients: int,
    seed: int = 1,
    format: str = "ndjson",
    progress: Progress | None = None,
) -> dict[str, int]:
    """Write a world's records; answers how many there are of each type.

    ndjson: `Patient.ndjson` and so on. bundle: `00001.json`, `00002.json`, ...: transactions
    to be sent in the order of their names.
    """
    if format not in FORMATS:
        raise Invalid(f"`{format}` is not a format to write. Choose one of {', '.join(FORMATS)}.")
    into = Path(folder)
    into.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    told = watched(generate(patients, seed), expected(patients), progress)
    (_ndjson if format == "ndjson" else _bundles)(into, _counted(told, counts))
    return dict(counts)


def watched(
    records: Iterable[Resource], total: int, progress: Progress | None
) -> Iterator[Resource]:
    """The same records, telling now and then, and at the end, how far it is."""
    done = 0
    for done, resource in enumerate(records, 1):
        yield resource
        if progress and done % EVERY == 0:
            progress(done, max(total, done))
    if progress:
        progress(done, done)


def _counted(records: Iterable[Resource], counts: Counter[str]) -> Iterator[Resource]:
    for resource in records:
        counts[resource["resourceType"]] += 1
        yield resource


def _ndjson(folder: Path, records: Iterable[Resource]) -> None:
    with ExitStack() as opened:
        files: dict[str, BinaryIO] = {}
        for resource in records:
            type = resource["resourceType"]
            if type not in files:
                files[type] = opened.enter_context((folder / f"{type}.ndjson").open("wb"))
            files[type].write(wire.render(resource) + b"\n")


def _bundles(folder: Path, records: Iterable[Resource]) -> None:
    entries, number = (put(resource) for resource in records), 0
    while part := list(islice(entries, ENTRIES)):
        number += 1
        (folder / f"{number:05}.json").write_bytes(wire.render(transaction(part)))
