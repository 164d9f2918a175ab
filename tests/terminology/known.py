"""A small world of invented terminology, and a short way to know definitions."""

from __future__ import annotations

import datetime as dt

from fhir_server.conformance.canonicals import Canonicals, of_resource
from fhir_server.terminology.terms import Terms

TODAY = dt.date(2026, 11, 22)
BASE = "http://example.org/"
COLOR, PLACE, KIND = BASE + "color", BASE + "place", BASE + "kind"
PERIOD = "http://hl7.org/fhir/StructureDefinition/resource-effectivePeriod"
STANDARD = "http://hl7.org/fhir/concept-properties#"


def terms(*resources, below=None, **more) -> Terms:
    """Terms that know these resources, on a day that does not change."""
    entries = [of_resource(each, "test") for each in resources]
    known = Canonicals(entries) if below is None else below.above(entries)
    return Terms(known, **{"today": lambda: TODAY, **more})


def code_system(url, *concepts, **more):
    return {
        "resourceType": "CodeSystem",
        "url": url,
        "status": "active",
        "content": "complete",
        "caseSensitive": True,
        "concept": [{"code": each} if isinstance(each, str) else each for each in concepts],
        **more,
    }


def value_set(url, *includes, exclude=(), **compose):
    made = {"include": list(includes), **compose}
    if exclude:
        made["exclude"] = list(exclude)
    return {"resourceType": "ValueSet", "url": url, "status": "active", "compose": made}


def system(url, *codes, **more):
    """An include of a system: of all of it, or of these codes."""
    return {"system": url, **({"concept": [{"code": c} for c in codes]} if codes else {}), **more}


def where(url, *filters):
    """An include of what filters admit, each a text: `concept is-a warm`."""
    names = ("property", "op", "value")
    told = [dict(zip(names, each.split(" ", 2), strict=True)) for each in filters]
    return {"system": url, "filter": told}


def of(*value_sets, **more):
    return {"valueSet": list(value_sets), **more}


def in_force(start=None, end=None):
    period = {name: day for name, day in (("start", start), ("end", end)) if day}
    return [{"url": PERIOD, "valuePeriod": period}]


def when(code, since=None, until=None, **more):
    """A concept with its days."""
    days = (("effectiveDate", since), ("retirementDate", until))
    return {
        "code": code,
        "property": [{"code": name, "valueDateTime": day} for name, day in days if day],
        **more,
    }


COLORS = code_system(
    COLOR,
    {
        "code": "warm",
        "property": [{"code": "notSelectable", "valueBoolean": True}],
        "concept": [
            {
                "code": "red",
                "display": "Red",
                "designation": [{"language": "vi", "value": "Đỏ"}],
                "concept": [{"code": "crimson", "display": "Deep Red"}],
            },
            {"code": "yellow", "display": "Yellow"},
        ],
    },
    {"code": "blue", "display": "Blue", "property": [{"code": "depth", "valueInteger": 7}]},
    {"code": "mauve", "property": [{"code": "status", "valueCode": "retired"}]},
    {
        "code": "orange",
        "display": "Orange",
        "property": [
            {"code": "parent", "valueCode": "red"},
            {"code": "parent", "valueCode": "yellow"},
        ],
    },
    language="en",
    property=[
        {"code": "depth", "type": "integer"},
        {"code": "notSelectable", "type": "boolean"},
        {"code": "status", "type": "code"},
        {"code": "parent", "uri": STANDARD + "parent", "type": "code"},
    ],
)
KINDS = code_system(
    KIND,
    "01",
    when("11", since="2026-08-01", display="Of late"),
    when("09", until="2025-07-01", display="Of old"),
    {"code": "10", "display": "Always"},
)
# A place's code means another place since July 2025
OLD_PLACES = code_system(
    PLACE,
    {"code": "A", "display": "Phường An Hòa"},
    {"code": "B", "display": "Xã Bình Thủy"},
    {"code": "C", "display": "Xã Châu Thành"},
    version="2025-06-30",
    extension=in_force(end="2025-06-30"),
)
NEW_PLACES = code_system(
    PLACE,
    {"code": "A", "display": "Phường Ninh Kiều"},
    {"code": "D", "display": "Phường Cái Răng"},
    version="2025-07-01",
    extension=in_force(start="2025-07-01"),
)
PLACES_MAP = {
    "resourceType": "ConceptMap",
    "url": BASE + "map",
    "status": "active",
    "group": [
        {
            "source": PLACE,
            "sourceVersion": "2025-06-30",
            "target": PLACE,
            "targetVersion": "2025-07-01",
            "element": [
                {"code": "A", "target": [{"code": "A", "equivalence": "wider"}]},
                {
                    "code": "B",
                    "target": [
                        {"code": "A", "equivalence": "inexact", "comment": "the north"},
                        {"code": "D", "equivalence": "inexact", "comment": "the south"},
                    ],
                },
                {"code": "C", "target": [{"equivalence": "unmatched"}]},
            ],
        }
    ],
}
WORLD = (
    COLORS,
    KINDS,
    OLD_PLACES,
    NEW_PLACES,
    PLACES_MAP,
    value_set(BASE + "vs/place", system(PLACE)),
    value_set(BASE + "vs/kind", system(KIND)),
)
