"""evaluate — whether a resource meets a criterion, by going through it as R4's text says.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from tests.oracle.dates import interval
from tests.oracle.definitions import COMPOSITES, HIERARCHIES, PARAMETERS, Parameter
from tests.oracle.filtering import Comparison, Filter, Joined, overlaps, whole

Resource = dict[str, Any]
NEVER, EVER = float("-inf"), float("inf")
PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb")


class Oracle:
    def __init__(self, records: list[Resource]) -> None:
        self.by_key = {f"{one['resourceType']}/{one['id']}": one for one in records}

    def find(self, type: str, pairs: list[tuple[str, str]]) -> set[str]:
        """The ids of all that meet every criterion."""
        return {
            one["id"]
            for one in self.by_key.values()
            if one["resourceType"] == type and all(self.meets(one, *pair) for pair in pairs)
        }

    def meets(self, it: Resource, name: str, value: str) -> bool:
        type = it["resourceType"]
        if name.startswith("_has:"):
            _, other, code, rest = name.split(":", 3)
            return any(
                one["resourceType"] == other
                and self.refers(one, PARAMETERS[other][code], it)
                and self.meets(one, rest, value)
                for one in self.by_key.values()
            )
        head, dot, rest = name.partition(".")
        code, _, modifier = head.partition(":")
        if dot:
            known = PARAMETERS[type][code]
            wanted = (modifier,) if modifier else known.targets
            return any(
                target is not None
                and target["resourceType"] in wanted
                and rest.partition(":")[0].partition(".")[0] in known_of(target)
                and self.meets(target, rest, value)
                for target in self.targets(it, known)
            )
        if code in SPECIAL:
            return SPECIAL[code](self, it, value)
        if code in COMPOSITES:
            return any(_composite(it, code, one) for one in split(value, ","))
        known = PARAMETERS[type][code]
        values = list(values_of(it, known.paths))
        if modifier == "missing":
            return (not any(_means(known, one) for one in values)) == (value == "true")
        if modifier in ("below", "above"):
            return any(self.lies(one, modifier, value, known) for one in values)
        found = any(self.value_meets(known, values, modifier, one) for one in split(value, ","))
        return not found if modifier == "not" else found

    def value_meets(self, known: Parameter, values: list[Any], modifier: str, asked: str) -> bool:
        match known.kind:
            case "string":
                return string(values, modifier, unescape(asked))
            case "token":
                return any(token(pair, asked) for one in values for pair in codes(one, known))
            case "date":
                return any(date(span, unescape(asked)) for one in values for span in spans(one))
            case "quantity":
                return any(quantity(one, asked) for one in values)
        return any(reference(one, modifier, asked, known) for one in values)

    def lies(self, value: Any, modifier: str, asked: str, known: Parameter) -> bool:
        """R4 search#recursive: what is asked for, and what is a part of it or of which it is."""
        type, _, id = asked.rpartition("/")
        roots = {f"{type}/{id}"} if type else {f"{one}/{id}" for one in known.targets}
        named = value["reference"]
        if modifier == "above":
            return any(named in self.wholes(root) for root in roots)
        return not roots.isdisjoint(self.wholes(named))

    def wholes(self, key: str) -> set[str]:
        """It, what it is a part of, what that is a part of, ..."""
        found: set[str] = set()
        while key and key not in found:
            found.add(key)
            it = self.by_key.get(key, {})
            key = it.get(HIERARCHIES.get(key.partition("/")[0], ""), {}).get("reference", "")
        return found

    def filtered(self, it: Resource, asked: Joined | Comparison) -> bool:
        if isinstance(asked, Joined):
            parts = (self.filtered(it, part) for part in asked.parts)
            if asked.word == "and":
                return all(parts)
            return any(parts) == (asked.word == "or")
        first, dot, rest = asked.path.partition(".")
        known = PARAMETERS[it["resourceType"]][first]
        if dot:
            onward = asked._replace(path=rest)
            return any(to and self.filtered(to, onward) for to in self.targets(it, known))
        values = list(values_of(it, known.paths))
        if asked.operator == "pr":
            return any(_means(known, one) for one in values) == (asked.value == "true")
        if known.kind == "string":
            text = folded(asked.value)
            return any(whole(asked.operator, folded(one), text) for one in values)
        if asked.operator == "po":
            return any(overlaps(span, asked.value) for one in values for span in spans(one))
        prefix = asked.operator if known.kind in ("date", "quantity") else ""
        return self.value_meets(known, values, "", prefix + asked.value)

    def listed(self, it: Resource, value: str) -> bool:
        """R4 search#list"""
        lists = (self.by_key.get(f"List/{id}", {}) for id in value.split(","))
        items = values_of({"list": list(lists)}, ("list.entry.item.reference",))
        return f"{it['resourceType']}/{it['id']}" in items

    def targets(self, it: Resource, known: Parameter) -> list[Resource | None]:
        found = (one.get("reference", "") for one in values_of(it, known.paths))
        return [self.by_key.get(text) for text in found if text.partition("/")[0] in known.targets]

    def refers(self, it: Resource, known: Parameter, to: Resource) -> bool:
        return to["resourceType"] in known.targets and any(
            one is to for one in self.targets(it, known)
        )


def known_of(resource: Resource) -> set[str]:
    own = PARAMETERS[resource["resourceType"]]
    composites = COMPOSITES if resource["resourceType"] == "Observation" else ()
    return {*own, *composites, "_has", *SPECIAL}


def values_of(it: Any, paths: tuple[str, ...]) -> Iterator[Any]:
    for path in paths:
        found = [it]
        for step in path.split(".") if path else ():
            found = [
                inner
                for one in found
                if isinstance(one, dict) and step in one
                for inner in (one[step] if isinstance(one[step], list) else [one[step]])
            ]
        yield from found


def _means(known: Parameter, value: Any) -> bool:
    """Whether there is anything to search by."""
    if known.kind == "reference":
        return value["reference"].partition("/")[0] in known.targets
    return value not in (None, {}, "")


# --- string --------------------------------------------------------------------------------------


def folded(text: str) -> str:
    """No case, no marks, đ as d; what is no letter and no digit parts words."""
    bare = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "d"))
    kept = (c for c in bare.lower() if unicodedata.category(c) != "Mn")
    return " ".join(re.sub(r"[^\w]|_", " ", "".join(kept)).split())


def string(values: list[Any], modifier: str, asked: str) -> bool:
    if modifier == "exact":
        plain = unicodedata.normalize("NFC", asked)
        return any(unicodedata.normalize("NFC", one) == plain for one in values)
    if modifier == "contains":
        return any(folded(asked) in folded(one) for one in values)
    words = [word for one in values for word in folded(one).split()]
    return all(any(word.startswith(part) for word in words) for part in folded(asked).split())


# --- token ---------------------------------------------------------------------------------------


def codes(value: Any, known: Parameter) -> Iterator[tuple[str | None, str, Any]]:
    """System (None: the value has none and can have none), code, and an Identifier's types."""
    if isinstance(value, bool):
        yield None, "true" if value else "false", ()
    elif isinstance(value, str):
        yield known.system, value, ()
    elif "coding" in value:
        for coding in value["coding"]:
            yield coding.get("system", ""), coding["code"], ()
    elif "code" in value:
        yield value.get("system", ""), value["code"], ()
    elif "value" in value and value.get("system") in ("phone", "email"):
        yield None, value["value"], ()
    elif "value" in value:
        types = [(c.get("system", ""), c["code"]) for c in value.get("type", {}).get("coding", ())]
        yield value.get("system", ""), value["value"], types


def token(pair: tuple[str | None, str, Any], asked: str) -> bool:
    system, code, types = pair
    parts = [unescape(part) for part in split(asked, "|")]
    if len(parts) == 3:
        return parts[2] == code and (parts[0], parts[1]) in types
    if len(parts) == 1:
        return parts[0] == code
    if not parts[1]:
        return system == parts[0]
    return code == parts[1] and system == parts[0]


# --- date, quantity: prefixes --------------------------------------------------------------------


def spans(value: Any) -> Iterator[tuple[float, float]]:
    if isinstance(value, str):
        yield interval(value)
        return
    start = interval(value["start"])[0] if "start" in value else NEVER
    end = interval(value["end"])[1] if "end" in value else EVER
    if start < end:
        yield start, end


def prefixed(asked: str) -> tuple[str, str]:
    return (asked[:2], asked[2:]) if asked[:2] in PREFIXES else ("eq", asked)


def date(span: tuple[float, float], asked: str) -> bool:
    """R4 search#prefix, where the value of the resource is [a, b) and what is asked [lo, hi)."""
    prefix, text = prefixed(asked)
    (lo, hi), (a, b) = interval(text), span
    within = lo <= a and b <= hi
    return {
        "eq": within,
        "ne": not within,
        "gt": b > hi,
        "lt": a < lo,
        "ge": b > hi or within,
        "le": a < lo or within,
        "sa": a >= hi,
        "eb": b <= lo,
    }[prefix]


def quantity(value: Any, asked: str) -> bool:
    parts = [unescape(part) for part in split(asked, "|")]
    if len(parts) == 3 and parts[2]:
        if parts[1] and (value.get("system"), value.get("code")) != (parts[1], parts[2]):
            return False
        if not parts[1] and parts[2] not in (value.get("code"), value.get("unit")):
            return False
    prefix, text = prefixed(parts[0])
    exact, it = Decimal(text), Decimal(str(value["value"]))
    half = Decimal(5).scaleb(int(exact.as_tuple().exponent) - 1)
    within = exact - half <= it < exact + half
    return {
        "eq": within,
        "ne": not within,
        "gt": it > exact,
        "lt": it < exact,
        "ge": it >= exact,
        "le": it <= exact,
        "sa": it > exact,
        "eb": it < exact,
    }[prefix]


# --- reference, composite ------------------------------------------------------------------------


def reference(value: Any, modifier: str, asked: str, known: Parameter) -> bool:
    type, _, id = value.get("reference", "").partition("/")
    if known.targets and type not in known.targets:
        return False
    if modifier == "identifier":
        given = value.get("identifier")
        return bool(given) and any(token(pair, asked) for pair in codes(given, known))
    if modifier:
        return (type, id) == (modifier, asked)
    return asked in (id, f"{type}/{id}")


def _composite(it: Resource, code: str, asked: str) -> bool:
    places, parts = COMPOSITES[code]
    values = split(asked, "$")
    for place in values_of(it, places):
        found = [
            Oracle([]).value_meets(part, list(values_of(place, part.paths)), "", value)
            for part, value in zip(parts, values, strict=True)
        ]
        if all(found):
            return True
    return False


# --- near ----------------------------------------------------------------------------------------

EARTH = 6_371_008.8  # metres
METRES = {"": 1000.0, "km": 1000.0, "m": 1.0, "[mi_i]": 1609.344}


def near(it: Resource, asked: str) -> bool:
    """R4 Location search:  [latitude]|[longitude]|[distance]|[units]"""
    latitude, longitude, distance, unit = [*asked.split("|"), ""][:4]
    place = it.get("position")
    if place is None:
        return False
    here = _direction(float(latitude), float(longitude))
    there = _direction(place["latitude"], place["longitude"])
    angle = 2 * math.asin(min(1.0, math.dist(here, there) / 2))
    return EARTH * angle <= float(distance) * METRES[unit]


def _direction(latitude: float, longitude: float) -> tuple[float, float, float]:
    north, east = math.radians(latitude), math.radians(longitude)
    return math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)


# --- what is no plain parameter ------------------------------------------------------------------


def _filtered(oracle: Oracle, it: Resource, value: str) -> bool:
    assert isinstance(value, Filter)
    return oracle.filtered(it, value.tree)


SPECIAL: dict[str, Callable[[Oracle, Resource, str], bool]] = {
    "_id": lambda oracle, it, value: it["id"] in value.split(","),
    "_list": Oracle.listed,
    "_filter": _filtered,
    "near": lambda oracle, it, value: any(near(it, one) for one in split(value, ",")),
}


# --- escapes -------------------------------------------------------------------------------------


def split(text: str, sign: str) -> list[str]:
    return re.split(rf"(?<!\\){re.escape(sign)}", text)


def unescape(text: str) -> str:
    return re.sub(r"\\([\\,|$])", r"\1", text)
