"""earth — how far two positions are apart.

https://hl7.org/fhir/R4/location.html#Location.position
"""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt

RADIUS = 6_371_008.8  # metres: the mean radius of WGS 84


def distance(latitude: float, longitude: float, other_latitude: float, other: float) -> float:
    """Metres along a great circle between two positions in degrees (the haversine formula)."""
    here, there = radians(latitude), radians(other_latitude)
    half = sin((there - here) / 2) ** 2
    half += cos(here) * cos(there) * sin(radians(other - longitude) / 2) ** 2
    return 2 * RADIUS * asin(min(1.0, sqrt(half)))
