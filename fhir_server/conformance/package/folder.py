"""folder — the deployment's own definitions: everything that lies in `profiles/`, `terminology/`.

https://hl7.org/fhir/R4/packages.html
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fhir_server.conformance.definitions import Definitions, load
from fhir_server.conformance.package.archive import Bounds, Broken, Member
from fhir_server.conformance.package.reading import (
    MANIFEST,
    Package,
    Reader,
    is_resource_file,
    one_file,
    read_package,
)

EXAMPLES = "examples"  # resources that are no definitions


def folder_of_definitions(
    path: Path, definitions: Definitions | None = None, bounds: Bounds | None = None
) -> list[Package]:
    """The packages of a folder, those that were dropped in first, then its loose files as one.

    Loose JSON and XML files are taken from its folders too, but not from those named `examples`
    nor from hidden ones. A `package.json` at its top names the loose ones. Whatever else lies
    there (CSV, TOML, Markdown) is for others.
    """
    bounds = bounds or Bounds()
    definitions = definitions or load()
    dropped: list[Path] = []
    reader = Reader(path.name, definitions, bounds)
    try:
        reader.add_all(_loose(path, dropped, bounds))
    except OSError as error:
        reader.tell("package-unreadable.system", path.name, reason=error.strerror or "?")
    packages = [read_package(place, definitions, bounds) for place in dropped]
    loose = reader.package(may_be_empty=True)
    return [*packages, loose] if loose.entries or loose.problems else packages


def _loose(top: Path, dropped: list[Path], bounds: Bounds) -> Iterator[Member]:
    """The loose files; the packages met on the way are told to `dropped`."""
    count = 0
    for folder, below, names in os.walk(top):
        here = Path(folder)
        if here != top and ((here / MANIFEST).is_file() or (here / "package" / MANIFEST).is_file()):
            dropped.append(here)
            below.clear()
            continue
        below[:] = sorted(name for name in below if name != EXAMPLES and name[0] != ".")
        for name in sorted(names):
            file = here / name
            if name.endswith((".tgz", ".tar.gz")) and not name.startswith("."):
                dropped.append(file)
            elif is_resource_file(name):
                count += 1
                if count > bounds.files:
                    raise Broken("package-too-large.files", most=bounds.files)
                yield one_file(file, file.relative_to(top).as_posix(), bounds)
