"""special — parameters with a meaning of their own: `near`, which finds Locations by position.

https://hl7.org/fhir/R4/search.html#special
https://hl7.org/fhir/R4/location.html#search
"""

# ruff: noqa: ARG001 - every kind has the same functions
from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fhir_server.foundation.outcome import Invalid
from fhir_server.search.escape import split, unescape
from fhir_server.search.parameters import Parameter
from fhir_server.search.site import HERE, Site
from fhir_server.store.contract import Condition, Interval, Near, QuantityRow

MODIFIERS: frozenset[str] = frozenset()
TYPES = frozenset({"BackboneElement"})  # Location.position

NUMBER = re.compile(r"[+-]?[0-9]{1,9}(?:\.[0-9]{1,20})?")
# R4 Location search, near: "If the distance is omitted, then the server can use its own
# discretion", "If the units are omitted, then kms should be assumed"
AROUND, KILOMETRE = 10.0, "km"
METRES = {  # UCUM's lengths, as maps and people use them
    "m": 1.0,
    "km": 1000.0,
    "[mi_i]": 1609.344,
    "[mi_us]": 1609.3472186944,
    "[nmi_i]": 1852.0,
    "[ft_i]": 0.3048,
    "[yd_i]": 0.9144,
    "cm": 0.01,
}
FARTHEST = 20_038_000.0  # metres: half around the equator; nothing is farther away

Writer = Callable[[Any], Sequence[QuantityRow]]


def writer(parameter: Parameter, type: str, site: Site, system: str | None = None) -> Writer | None:
    """A position: its latitude and longitude, in degrees."""
    number = parameter.number

    def of_position(value: Mapping[str, Any]) -> Sequence[QuantityRow]:
        latitude, longitude = value.get("latitude"), value.get("longitude")
        if latitude is None or longitude is None or not -90 <= latitude <= 90:
            return ()
        if not -360 <= longitude <= 360:
            return ()
        return (QuantityRow(number, 0, float(latitude), around(float(longitude))),)

    return of_position if type in TYPES else None


def around(longitude: float) -> float:
    """The same meridian, from -180 to 180."""
    return longitude if -180 <= longitude <= 180 else (longitude + 180) % 360 - 180


def where(parameter: Parameter, text: str, modifier: str | None, site: Site = HERE) -> Condition:
    # R4 Location search:  [latitude]|[longitude]|[distance]|[units]
    parts = [unescape(part).strip() for part in split(text, "|")]
    latitude, longitude, distance, unit = (*parts, "", "", "", "")[:4]
    numbers = [latitude, longitude, distance or str(AROUND)]
    if len(parts) > 4 or not all(NUMBER.fullmatch(number) for number in numbers):
        raise _no_position(parameter, text)
    north, east, far = map(float, numbers)
    if not -90 <= north <= 90 or not -180 <= east <= 180 or far < 0:
        raise _no_position(parameter, text)
    metres = METRES.get(unit or KILOMETRE) if distance else METRES[KILOMETRE]
    if metres is None:
        raise Invalid(
            f"`{parameter.code}` is given a distance in `{unit[:40]}`. A unit of length is one of "
            f"{', '.join(f'`{one}`' for one in METRES)}; without one it is in `km`."
        )
    return Near(parameter.number, north, east, min(far * metres, FARTHEST))


def _no_position(parameter: Parameter, text: str) -> Invalid:
    return Invalid(
        f"`{parameter.code}` is given `{text[:80]}`. It takes a latitude from -90 to 90, a "
        "longitude from -180 to 180, and perhaps a distance and its unit: "
        f"`{parameter.code}=21.028|105.854|5|km`."
    )


def present(parameter: Parameter) -> Condition:
    return Interval(parameter.number, unit=0)
