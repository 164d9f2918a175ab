"""near: Locations by their distance from a position."""

from __future__ import annotations

import pytest

from fhir_server.foundation.earth import distance
from fhir_server.foundation.outcome import Invalid
from fhir_server.search.kinds.special import METRES, around

from .ask import found, indexer, query


def at(latitude: float | None, longitude: float | None) -> dict:
    position = {"latitude": latitude, "longitude": longitude}
    told = {name: value for name, value in position.items() if value is not None}
    return {"resourceType": "Location", "position": told}


HANOI, SAIGON = at(21.028, 105.854), at(10.776, 106.701)  # 1,144 km apart
BACH_MAI = at(21.0003, 105.8412)  # a hospital 3.3 km from the first
FIJI, SAMOA = at(-17.0, 179.99), at(-17.0, -179.99)
POLE, OTHER_SIDE = at(89.99, 10.0), at(89.99, -170.0)

# what is stored    what is asked                  found?
TABLE = [
    (HANOI, "21.028|105.854", True),
    (HANOI, "21.028|105.854|0", True),
    (HANOI, "21.028|105.854|0|km", True),
    (BACH_MAI, "21.028|105.854", True),
    (SAIGON, "21.028|105.854", False),
    (BACH_MAI, "21.028|105.854|3|km", False),
    (BACH_MAI, "21.028|105.854|4|km", True),
    (BACH_MAI, "21.028|105.854|4", True),
    (BACH_MAI, "21.028|105.854||m", True),
    (BACH_MAI, "21.028|105.854||parsec", True),
    (BACH_MAI, "21.028|105.854|4|m", False),
    (BACH_MAI, "21.028|105.854|4000|m", True),
    (BACH_MAI, "21.028|105.854|2.2|[mi_us]", True),
    (BACH_MAI, "21.028|105.854|2.0|[mi_i]", False),
    (BACH_MAI, "21.028|105.854|1.9|[nmi_i]", True),
    (BACH_MAI, "21.028|105.854|12000|[ft_i]", True),
    (SAIGON, "21.028|105.854|1130|km", False),
    (SAIGON, "21.028|105.854|1150|km", True),
    (SAIGON, "21.028|105.854|5,10.776|106.701|5", True),
    (SAMOA, "-17|179.99|3|km", True),
    (SAMOA, "-17|179.99|1|km", False),
    (FIJI, "-17|-179.99|3|km", True),
    (FIJI, "-17|180|3|km", True),
    (FIJI, "-17|-180|3|km", True),
    (OTHER_SIDE, "89.99|10|3|km", True),
    (OTHER_SIDE, "89.99|10|2|km", False),
    (POLE, "90|-30|2|km", True),
    (at(-90, 0), "90|0|20100|km", True),
    (at(0, 285.5), "0|-74.5|1|km", True),
    (at(21.0, None), "21|105|100", False),
    (at(121.0, 105.0), "21|105|100", False),
    ({"resourceType": "Location"}, "21|105|20000", False),
]


@pytest.mark.parametrize(("resource", "asked", "is_found"), TABLE)
def test_a_location_is_near_within_the_distance(resource, asked, is_found) -> None:
    assert found(resource, f"near={asked}") is is_found


def test_a_location_without_a_position_is_missing_one() -> None:
    assert found({"resourceType": "Location"}, "near:missing=true")
    assert found(HANOI, "near:missing=false")


def test_a_position_is_one_row() -> None:
    assert len(indexer().rows(HANOI).quantities) == 1


@pytest.mark.parametrize(
    "asked",
    ["", "21", "21|", "|105", "x|105", "91|105", "21|181", "21|105|-1", "21|105|x", "21|105|1|km|x",
     "21|105|5|parsec", "NaN|105", "21|105|1e999"],
)  # fmt: skip
def test_what_is_no_position_is_refused(asked) -> None:
    with pytest.raises(Invalid):
        query("Location", f"near={asked}")


def test_a_unit_that_is_unknown_is_answered_with_those_that_are_known() -> None:
    with pytest.raises(Invalid) as refused:
        query("Location", "near=21|105|5|parsec")
    assert all(f"`{unit}`" in str(refused.value) for unit in METRES)


@pytest.mark.parametrize(("given", "meant"), [(0, 0), (180, 180), (-180, -180), (190, -170),
                                             (-190, 170), (360, 0), (285.5, -74.5)])  # fmt: skip
def test_a_meridian_has_one_number(given, meant) -> None:
    assert around(given) == meant


def test_the_distance_is_that_of_a_great_circle() -> None:
    assert distance(0, 0, 0, 90) == pytest.approx(10_007_557, abs=1)
    assert distance(21.028, 105.854, 10.776, 106.701) == pytest.approx(1_143_500, rel=0.005)
