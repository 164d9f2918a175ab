"""near — a condition on positions: a box that the index finds, and the distance itself within it.

https://hl7.org/fhir/R4/location.html#search
"""

from __future__ import annotations

from math import asin, cos, degrees, radians, sin

from fhir_server.foundation.earth import RADIUS
from fhir_server.store.condition.context import Context
from fhir_server.store.condition.keys import among
from fhir_server.store.condition.part import YES, Part, both, either
from fhir_server.store.contract import Near

SLACK = 1e-6  # degrees, a hand's breadth: the box may be too large and never too small
DISTANCE = "distance"  # a function of SQLite's connections; see sqlite_connection


def near(context: Context, asked: Near) -> Part:
    mark = context.dialect.mark
    box = [Part(f"x.param = {mark} and x.unit = 0", (asked.param,)), _latitudes(asked, mark)]
    row = both([*box, _longitudes(asked, mark), _distance(context, asked)])
    return among(context, "index_quantity", row)


def _latitudes(asked: Near, mark: str) -> Part:
    reach = degrees(asked.metres / RADIUS) + SLACK
    lo, hi = asked.latitude - reach, asked.latitude + reach
    return Part(f"x.lo between {mark} and {mark}", (lo, hi))


def _longitudes(asked: Near, mark: str) -> Part:
    """All meridians where a pole is within reach; two ranges where the date line is."""
    reach = asked.metres / RADIUS
    if abs(asked.latitude) + degrees(reach) + SLACK >= 90:
        return YES
    aside = degrees(asin(min(1.0, sin(reach) / cos(radians(asked.latitude))))) + SLACK
    west, east = asked.longitude - aside, asked.longitude + aside
    between = [(west, east)]
    if west < -180:
        between = [(-180.0 - SLACK, east), (west + 360, 180.0 + SLACK)]
    elif east > 180:
        between = [(west, 180.0 + SLACK), (-180.0 - SLACK, east - 360)]
    return either(Part(f"x.hi between {mark} and {mark}", pair) for pair in between)


def _distance(context: Context, asked: Near) -> Part:
    """foundation/earth's formula; PostgreSQL has what it needs."""
    mark, here = context.dialect.mark, (asked.latitude, asked.longitude)
    if not context.dialect.postgresql:
        told = f"{DISTANCE}({mark}, {mark}, x.lo, x.hi) <= {mark}"
        return Part(told, (*here, asked.metres))
    half = (
        f"sin(radians(x.lo - {mark}) / 2) ^ 2 + cos(radians({mark}::float8))"
        f" * cos(radians(x.lo)) * sin(radians(x.hi - {mark}) / 2) ^ 2"
    )
    told = f"2 * {RADIUS!r}::float8 * asin(least(1, sqrt({half}))) <= {mark}"
    return Part(told, (here[0], here[0], here[1], asked.metres))
