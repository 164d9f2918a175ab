"""train_dictionary — make the compression dictionary that bodies are stored with.

https://hl7.org/fhir/R4/json.html

    python tools/train_dictionary.py OUT FILE...

Each FILE is one resource as JSON, or NDJSON with one a line. The same input gives the same bytes.
Both dictionaries are made of HL7's R4 examples and the NDJSON of a demo of 600 patients, seed 7:
the first as the demo was, the second since its records meet the local profiles. One that was
released is never made again: a new one gets the next number, and a migration puts it in.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import zstandard

from fhir_server.foundation import wire
from fhir_server.foundation.resource import Resource
from fhir_server.store.codec import LEVEL, tail_of

SIZE = 32 * 1024
OF_EACH_TYPE = 200  # so that the commonest types do not crowd out the rest
PIECE, PIECES = 1000, 4  # of one resource: a few huge examples would fill the dictionary


def resources(paths: list[Path]) -> Iterator[Resource]:
    for path in paths:
        text = path.read_bytes()
        for document in text.splitlines() if path.suffix == ".ndjson" else [text]:
            if document.strip():
                yield wire.parse(document)


def samples(paths: list[Path]) -> list[bytes | bytearray | memoryview]:
    by_type: dict[str, list[bytes]] = defaultdict(list)
    for resource in resources(paths):
        kept = by_type[resource["resourceType"]]
        if len(kept) < OF_EACH_TYPE:
            kept.append(tail_of(resource))
    return [piece for name in sorted(by_type) for tail in by_type[name] for piece in pieces(tail)]


def pieces(tail: bytes) -> list[bytes]:
    return [tail[at : at + PIECE] for at in range(0, min(len(tail), PIECE * PIECES), PIECE)]


def main(out: str, *files: str) -> None:
    found = samples(sorted(map(Path, files), key=lambda path: path.name))
    made = zstandard.train_dictionary(SIZE, found, level=LEVEL)
    Path(out).write_bytes(made.as_bytes())
    sys.stdout.write(f"{out}: {len(made)} bytes from {len(found)} samples\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
