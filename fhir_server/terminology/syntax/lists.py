"""lists — countries, currencies and time zones: short lists of standards.

https://hl7.org/fhir/R4/iso3166.html
https://hl7.org/fhir/R4/valueset-currencies.html
https://hl7.org/fhir/R4/valueset-timezones.html
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from zoneinfo import available_timezones

from fhir_server.terminology.code_system import ListedSystem

TABLES = Path(__file__).parent / "tables"


@cache
def table(name: str) -> tuple[dict[str, str], ...]:
    """The rows of `tables/<name>.csv`; every value is text."""
    with (TABLES / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        return tuple(csv.DictReader(lines))


def _listed(url: str, name: str, concepts: Iterable[tuple[str, str]]) -> ListedSystem:
    return ListedSystem(
        {
            "url": url,
            "name": name,
            "content": "complete",
            "concept": [{"code": code, "display": display} for code, display in concepts],
        }
    )


@cache
def countries() -> ListedSystem:
    """ISO 3166-1: each country by its two letters, its three and its number."""
    columns = ("alpha2", "alpha3", "numeric")
    concepts = [(row[column], row["name"]) for column in columns for row in table("countries")]
    return _listed("urn:iso:std:iso:3166", "ISO3166Part1", concepts)


@cache
def currencies() -> ListedSystem:
    """ISO 4217: the currencies in use, by their three letters."""
    concepts = [(row["code"], row["name"]) for row in table("currencies")]
    return _listed("urn:iso:std:iso:4217", "ISO4217", concepts)


@cache
def time_zones() -> ListedSystem | None:
    """The zones this machine's time zone database has; None where it has none."""
    zones = sorted(available_timezones())
    if not zones:
        return None
    return _listed("https://www.iana.org/time-zones", "IANATimeZones", [(z, z) for z in zones])
