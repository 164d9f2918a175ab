"""questions — criteria drawn at random from a world's own values, most of which find something."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from tests.oracle.definitions import COMPOSITES, HIERARCHIES, PARAMETERS, Parameter
from tests.oracle.evaluate import PREFIXES, codes, values_of
from tests.oracle.filtering import Comparison, Filter, Joined
from tests.oracle.world import DATES, DAYS, UCUM, World

Pair = tuple[str, str]


class Question(NamedTuple):
    """results: what is said of the answer. walked: its pages are read one after the other."""

    type: str
    criteria: list[Pair]
    results: list[Pair]
    walked: bool = False

    def given(self, name: str) -> list[Pair]:
        return [pair for pair in self.results if pair[0].startswith(name)]


class Questions:
    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)

    def one(self) -> Question:
        """A type, one to three criteria of it, and at times how the answer is to be."""
        type = self.random.choice(list(PARAMETERS))
        number = self.random.choice((1, 1, 1, 2, 2, 3))
        criteria = [self.criterion(type, 0) for _ in range(number)]
        draw, results = self.random.random(), []
        if draw < 0.04:
            return Question(type, criteria, [("_summary", "count")])
        if 0.04 <= draw < 0.25:
            results += self.sort(type)
        if 0.2 <= draw < 0.4:
            results += [self.include(type) for _ in range(self.random.choice((1, 1, 2)))]
        return Question(type, criteria, results, walked=0.1 <= draw < 0.14 or draw > 0.98)

    def sort(self, type: str) -> list[Pair]:
        codes = self.random.sample([*PARAMETERS[type], "_id"], self.random.choice((1, 1, 2, 3)))
        return [("_sort", ",".join(self.random.choice(("", "-")) + code for code in codes))]

    def include(self, type: str) -> Pair:
        iterate = self.random.choice(("", "", ":iterate"))
        sources = [one for one in (PARAMETERS if iterate else [type]) if _links(one)]
        if sources and self.random.random() < 0.5:
            source = self.random.choice(sources)
            code, target = self.link(source, "")
            return f"_include{iterate}", f"{source}:{code}{target}"
        to = self.random.choice(list(PARAMETERS)) if iterate else type
        sources = [one for one in PARAMETERS if any(to in p.targets for _, p in _links(one))]
        if not sources:  # nothing refers to a List
            return self.include(type)
        source = self.random.choice(sources)
        code, target = self.link(source, to)
        return f"_revinclude{iterate}", f"{source}:{code}{target}"

    def link(self, source: str, to: str) -> Pair:
        """A reference of the type, to that type if one is given, or any of them."""
        code, known = self.random.choice([
            (code, known) for code, known in _links(source) if not to or to in known.targets
        ])  # fmt: skip
        if self.random.random() < 0.2:
            return "*", ""
        target = to or self.random.choice(known.targets)
        return code, f":{target}" if self.random.random() < 0.3 else ""

    def criterion(self, type: str, depth: int) -> Pair:
        draw = self.random.random()
        if depth == 0 and draw > 0.9:
            return "_filter", Filter.of(self.filter(type, 2))
        if depth == 0 and draw > 0.88:
            lists = [one for one in self.world.of["List"] if self.random.random() < 0.1]
            own = [one for one in self.world.of["List"] if f"'{type}/" in str(one.get("entry"))]
            ids = {one["id"] for one in [*lists, self.random.choice(own or self.world.of["List"])]}
            return "_list", ",".join(sorted(ids))
        if type == "Location" and draw > 0.8:
            return "near", self.near()
        if depth < 2 and draw < 0.15 and (found := self.reverse(type, depth)):
            return found
        if depth < 3 and draw < 0.35 and (found := self.chain(type, depth)):
            return found
        if type == "Observation" and draw < 0.5:
            return self.composite()
        code = self.random.choice(list(PARAMETERS[type]))
        return self.plain(type, code, PARAMETERS[type][code])

    def chain(self, type: str, depth: int) -> Pair | None:
        links = _links(type)
        if not links:
            return None
        code, known = self.random.choice(links)
        targets = [target for target in known.targets if target in PARAMETERS]
        target = self.random.choice(targets)
        name, value = self.criterion(target, depth + 1)
        typed = f":{target}" if len(known.targets) > 1 else ""
        return f"{code}{typed}.{name}", value

    def reverse(self, type: str, depth: int) -> Pair | None:
        links = [
            (other, code)
            for other, known in PARAMETERS.items()
            for code, parameter in known.items()
            if type in parameter.targets
        ]
        if not links:
            return None
        other, code = self.random.choice(links)
        name, value = self.criterion(other, depth + 1)
        return f"_has:{other}:{code}:{name}", value

    def composite(self) -> Pair:
        code = self.random.choice(list(COMPOSITES))
        places, parts = COMPOSITES[code]
        place = self.random.choice(list(_places(self.world, places)))
        values = [self.value(part, list(values_of(place, part.paths))) for part in parts]
        # a pair that repeats in a resource is found by its code, not by its system alone
        values = [f"{one}x" if one.endswith("|") and places != ("",) else one for one in values]
        return code, "$".join(value.replace("$", "\\$") for value in values)

    def plain(self, type: str, code: str, known: Parameter) -> Pair:
        if self.random.random() < 0.08:
            return f"{code}:missing", self.random.choice(("true", "false"))
        owner = self.random.choice(self.world.of[type])
        values = list(values_of(owner, known.paths))
        if known.kind == "string" and self.random.random() < 0.4:
            modifier = self.random.choice(("exact", "contains"))
            return f"{code}:{modifier}", self.text(values, modifier)
        if known.kind == "token" and self.random.random() < 0.2:
            return f"{code}:not", self.value(known, values)
        if known.kind == "token" and known.paths == ("identifier",) and self.random.random() < 0.3:
            kind, number = self.random.choice(["MR", "PP"]), self.random.randint(0, 8)
            return f"{code}:of-type", f"urn:x:kind|{kind}|{number}"
        levels = [one for one in known.targets if one in HIERARCHIES]
        # `patient` is no way to a hierarchy, though it shares its place with one
        if levels and len(known.targets) > (type == "Encounter") and self.random.random() < 0.3:
            return self.level(code, levels, values)
        if known.kind == "reference" and self.random.random() < 0.15:
            return f"{code}:identifier", f"urn:x:ref|{self.random.randint(0, 9)}"
        types = [one for one in known.targets if one in self.world.of]
        if len(types) > 1 and self.random.random() < 0.15:
            type = self.random.choice(types)
            return f"{code}:{type}", self.random.choice(self.world.of[type])["id"]
        several = [self.value(known, values) for _ in range(self.random.choice((1, 1, 1, 2, 3)))]
        return code, ",".join(several)

    def value(self, known: Parameter, values: list[Any]) -> str:
        match known.kind:
            case "string":
                return self.text(values, "")
            case "token":
                return self.token(known, values)
            case "date":
                text = self.random.choice(DAYS if known.paths == ("birthDate",) else DATES)
                return self.prefix() + text
            case "quantity":
                return self.quantity()
        return self.reference(known, values)

    def prefix(self) -> str:
        return self.random.choice(("", "", *PREFIXES))

    def text(self, values: list[Any], modifier: str) -> str:
        text = self.random.choice(values or ["Văn"])
        if modifier == "contains":
            start = self.random.randrange(len(text))
            part = text[start : start + self.random.randint(1, 4)].strip(" '-")
            return escaped(part or "an")
        if modifier == "exact":
            return escaped(text if self.random.random() < 0.7 else text.upper())
        words = text.split()
        self.random.shuffle(words)
        kept = [word[: self.random.randint(1, len(word))] for word in words[:2]]
        return escaped(" ".join(kept))

    def token(self, known: Parameter, values: list[Any]) -> str:
        found = [pair for one in values for pair in codes(one, known)]
        system, code, _ = self.random.choice(found or [(None, "true", ())])
        forms = [code]
        if system is not None:
            forms += [f"{system}|{code}", f"|{code}"] + ([f"{system}|"] if system else [])
        return self.random.choice(forms)

    def quantity(self) -> str:
        return self.prefix() + self.measure()

    def measure(self) -> str:
        number = self.random.choice(["60", "72", "120", "120.0", "120.5", "1e3", "0.004", "-3"])
        unit = self.random.choice(["", "", f"|{UCUM}|/min", "||beats/min", "||mm", "||mm[Hg]"])
        return number + unit

    def level(self, code: str, types: list[str], values: list[Any]) -> Pair:
        """What lies beneath something or above it, mostly with what is named among it."""
        modifier = self.random.choice(("below", "above"))
        own = [text for one in values if (text := one["reference"]).partition("/")[0] in types]
        if own and self.random.random() < 0.8:
            type, _, id = self.near_by(self.random.choice(own), modifier).partition("/")
        else:
            type = self.random.choice(types)
            id = self.random.choice(self.world.of[type])["id"]
        return f"{code}:{modifier}", self.random.choice((id, f"{type}/{id}"))

    def near_by(self, key: str, modifier: str) -> str:
        """A whole of it, or a part."""
        type = key.partition("/")[0]
        element = HIERARCHIES[type]
        around = {
            (f"{type}/{one['id']}", one[element]["reference"])
            for one in self.world.of[type]
            if element in one
        }
        if modifier == "below":
            found = [whole for part, whole in around if part == key]
        else:
            found = [part for part, whole in around if whole == key]
        return str(self.random.choice(sorted([key, *found])))

    def near(self) -> str:
        places = [one["position"] for one in self.world.of["Location"] if "position" in one]
        place = self.random.choice(places or [{"latitude": 10.0, "longitude": 105.7}])
        north = place["latitude"] + self.random.choice((0, 0.01, -0.02))
        far = self.random.choice(("3", "12|km", "25000|m", "10|[mi_i]", "15000|km", "0"))
        return f"{north:.4f}|{place['longitude']}|{far}"

    def filter(self, type: str, depth: int) -> Comparison | Joined:
        word = self.random.choice(("", "", "and", "or", "not")) if depth else ""
        if word:
            number = 1 if word == "not" else self.random.randint(2, 3)
            return Joined(word, tuple(self.filter(type, depth - 1) for _ in range(number)))
        path, onward = "", [(c, p.targets[0]) for c, p in _links(type) if len(p.targets) == 1]
        if onward and self.random.random() < 0.3:
            code, type = self.random.choice(onward)
            path = f"{code}."
        code, known = self.random.choice(list(PARAMETERS[type].items()))
        if self.random.random() < 0.1:
            return Comparison(path + code, "pr", self.random.choice(("true", "false")))
        values = list(values_of(self.random.choice(self.world.of[type]), known.paths))
        return Comparison(path + code, *self.compared(known, values))

    def compared(self, known: Parameter, values: list[Any]) -> Pair:
        match known.kind:
            case "string":
                text = self.random.choice(values or ["Văn"])
                start = self.random.choice((0, 0, len(text) // 2))
                end = self.random.choice((start + 3, len(text), len(text)))
                part = text[start:end].strip(" '-") or "an"
                return self.random.choice(("eq", "co", "sw", "ew")), part
            case "token":
                return "eq", self.token(known, values)
            case "date":
                days = DAYS if known.paths == ("birthDate",) else DATES
                return self.random.choice((*PREFIXES, "po")), self.random.choice(days)
            case "quantity":
                return self.random.choice(PREFIXES), self.measure()
        return "re", self.reference(known, values)

    def reference(self, known: Parameter, values: list[Any]) -> str:
        type = self.random.choice([t for t in known.targets if t in self.world.of])
        target = self.random.choice(self.world.of[type])
        if values and self.random.random() < 0.8:
            own = self.random.choice(values)["reference"]
            if own.partition("/")[0] in known.targets:
                return str(own) if self.random.random() < 0.6 else str(own.partition("/")[2])
        return f"{type}/{target['id']}"


def _links(type: str) -> list[tuple[str, Parameter]]:
    return [(code, one) for code, one in PARAMETERS[type].items() if one.kind == "reference"]


def _places(world: World, places: tuple[str, ...]) -> Any:
    return [place for one in world.of["Observation"] for place in values_of(one, places)]


def escaped(text: str) -> str:
    for sign in ("\\", ",", "|", "$"):
        text = text.replace(sign, f"\\{sign}")
    return text
