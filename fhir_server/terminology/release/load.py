"""load — a release made into a file of concepts, from where it was broken off.

https://hl7.org/fhir/R4/terminologies-systems.html
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fhir_server.store.concepts import ConceptWriter, Damaged, file_name
from fhir_server.terminology.release.source import BadRelease, Release


def load(release: Release, folder: Path, progress: Callable[[str, int], None]) -> Path:
    """The file it was made into. progress: the part that is worked on, and how many of its rows
    are done. Raises BadRelease, and Unwritable where the disk does not take it."""
    about = release.about
    file = folder / file_name(about.url, about.version)
    with ConceptWriter(file, about, release.identity) as writer:
        for part in release.parts:
            writer.take(part.name, part.rows(), progress)
        try:
            return writer.finish(progress)
        except Damaged as damaged:
            raise BadRelease(f"`{about.source}`: {damaged}") from damaged
