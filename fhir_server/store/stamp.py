"""stamp — by which rules the index of a database was made, so that other rules are noticed.

https://hl7.org/fhir/R4/search.html

An update removes a resource's old rows by computing them again. Under other rules it would look
for rows that are not there, leave those that are, and searches would find what is no longer so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from fhir_server.store.contract import Position

NAME = "index"  # of the setting the stamp is kept as
REMEDY = "Stop the server and run `fhir-server reindex`; or set the settings back, if they changed."


class IndexDiffers(Exception):
    """The index was made by other rules. Its message says which, and what to run."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """The rules: two that a person sets, and a hash of those that are the program's.

    after: how far a rebuilding by these rules has come; None where it is done.
    """

    extraction: str
    zone: str
    base_urls: tuple[str, ...] = ()
    after: Position | None = None

    @property
    def text(self) -> str:
        """As it is kept; the same text is the same stamp."""
        told: dict[str, object] = {
            "extraction": self.extraction,
            "zone": self.zone,
            "base_urls": self.base_urls,
        }
        if self.after is not None:
            told["after"] = self.after
        return json.dumps(told)

    def broken_off(self, kept: str | None) -> Position | None:
        """How far a rebuilding by these rules had come, if one was broken off."""
        had = parse(kept)
        return had.after if had is not None and had.reached(None) == self else None

    def reached(self, after: Position | None) -> Stamp:
        return replace(self, after=after)


def zone(minutes: int) -> str:
    """Minutes east of UTC as people write a zone."""
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02d}:{rest:02d}"


def parse(text: str | None) -> Stamp | None:
    """A kept stamp, or None for what is none of ours."""
    try:
        told = json.loads(text or "")
        after = told.get("after")
        return Stamp(
            str(told["extraction"]),
            str(told["zone"]),
            tuple(map(str, told["base_urls"])),
            None if after is None else Position(*map(int, after)),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def checked(stamp: Stamp, kept: str | None, place: str) -> None:
    """Raise IndexDiffers unless the database has this stamp."""
    if (told := difference(stamp, kept)) is not None:
        raise IndexDiffers(f"The index of `{place}` {told}. {REMEDY}")


def difference(stamp: Stamp | None, kept: str | None) -> str | None:
    """What is wrong with an index that has this stamp, if anything (no stamp: any is right)."""
    if stamp is None or kept == stamp.text:
        return None
    had = parse(kept)
    if had is None:
        return "does not say by which rules it was made"
    if had.after is not None:
        return "is half made: a `fhir-server reindex` was broken off"
    return f"was made otherwise than this server would: {'; '.join(_reasons(stamp, had))}"


def _reasons(stamp: Stamp, had: Stamp) -> Iterator[str]:
    if had.zone != stamp.zone:
        yield (
            f"dates and times that name no zone were read in {had.zone}, and `zone` is now"
            f" {stamp.zone}"
        )
    if had.base_urls != stamp.base_urls:
        yield (
            f"its own base URL was {_listed(had.base_urls)}, and `public_base_url` is now"
            f" {_listed(stamp.base_urls)}"
        )
    if had.extraction != stamp.extraction:
        yield "it was made by a version of the program that indexes by other rules"


def _listed(urls: tuple[str, ...]) -> str:
    return ", ".join(f"`{url}`" for url in urls) or "not set"
