"""questions — criteria drawn at random from a world's own values, most of which find something."""

from __future__ import annotations

import random
from typing import Any

from tests.oracle.definitions import COMPOSITES, PARAMETERS, Parameter
from tests.oracle.evaluate import PREFIXES, _values, codes
from tests.oracle.world import DATES, DAYS, UCUM, World

Pair = tuple[str, str]


class Questions:
    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)

    def one(self) -> tuple[str, list[Pair]]:
        """A type, and one to three criteria of it."""
        type = self.random.choice(list(PARAMETERS))
        number = self.random.choice((1, 1, 1, 2, 2, 3))
        return type, [self.criterion(type, 0) for _ in range(number)]

    def criterion(self, type: str, depth: int) -> Pair:
        draw = self.random.random()
        if depth < 2 and draw < 0.15 and (found := self.reverse(type, depth)):
            return found
        if depth < 3 and draw < 0.35 and (found := self.chain(type, depth)):
            return found
        if type == "Observation" and draw < 0.5:
            return self.composite()
        code = self.random.choice(list(PARAMETERS[type]))
        return self.plain(type, code, PARAMETERS[type][code])

    def chain(self, type: str, depth: int) -> Pair | None:
        links = [(c, p) for c, p in PARAMETERS[type].items() if p.kind == "reference"]
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
        values = [self.value(part, list(_values(place, part.paths))) for part in parts]
        # a pair that repeats in a resource is found by its code, not by its system alone
        values = [f"{one}x" if one.endswith("|") and places != ("",) else one for one in values]
        return code, "$".join(value.replace("$", "\\$") for value in values)

    def plain(self, type: str, code: str, known: Parameter) -> Pair:
        if self.random.random() < 0.08:
            return f"{code}:missing", self.random.choice(("true", "false"))
        owner = self.random.choice(self.world.of[type])
        values = list(_values(owner, known.paths))
        if known.kind == "string" and self.random.random() < 0.4:
            modifier = self.random.choice(("exact", "contains"))
            return f"{code}:{modifier}", self.text(values, modifier)
        if known.kind == "token" and self.random.random() < 0.2:
            return f"{code}:not", self.value(known, values)
        if known.kind == "token" and known.paths == ("identifier",) and self.random.random() < 0.3:
            kind, number = self.random.choice(["MR", "PP"]), self.random.randint(0, 8)
            return f"{code}:of-type", f"urn:x:kind|{kind}|{number}"
        if known.kind == "reference" and self.random.random() < 0.15:
            return f"{code}:identifier", f"urn:x:ref|{self.random.randint(0, 9)}"
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
        number = self.random.choice(["60", "72", "120", "120.0", "120.5", "1e3", "0.004", "-3"])
        unit = self.random.choice(["", "", f"|{UCUM}|/min", "||beats/min", "||mm", "||mm[Hg]"])
        return f"{self.prefix()}{number}{unit}"

    def reference(self, known: Parameter, values: list[Any]) -> str:
        type = self.random.choice([t for t in known.targets if t in self.world.of])
        target = self.random.choice(self.world.of[type])
        if values and self.random.random() < 0.8:
            own = self.random.choice(values)["reference"]
            if own.partition("/")[0] in known.targets:
                return str(own) if self.random.random() < 0.6 else str(own.partition("/")[2])
        return f"{type}/{target['id']}"


def _places(world: World, places: tuple[str, ...]) -> Any:
    return [place for one in world.of["Observation"] for place in _values(one, places)]


def escaped(text: str) -> str:
    for sign in ("\\", ",", "|", "$"):
        text = text.replace(sign, f"\\{sign}")
    return text
