"""searches — search URLs drawn at random: every parameter, every modifier, values made to hurt.

What is nearly right goes deepest, so names and chains are taken from what the server knows, and
values from lists of good, odd and huge ones.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import quote

from fhir_server.search.parameters import Parameter, Parameters

T = TypeVar("T")
GOOD = [
    "a", "ng", "Nguyễn", "Đặng Thị Hoà", "final", "male", "true", "false", "8867-4", "urn:x:a|1",
    "http://loinc.org|8867-4", "http://loinc.org|", "|8867-4", "1", "5.4", "gt1e3", "ap100",
    "5.4|http://unitsofmeasure.org|kg", "5.4||kg", "2024", "ge2023-12", "lt2024-01-05T00:30:00Z",
    "sa2023", "ap2024-02-29", "ne2024", "Patient/patient-1", "patient-1", "Patient/1/_history/2",
    "http://a/Patient/1", "http://hospital.example/fhir/Patient/patient-1", "urn:oid:1.2",
    "10.03|105.78|20|km", "89.999|0|50000000", "8867-4$gt1", "urn:x:set", "urn:x:codes|a",
    "http://terminology.hl7.org/CodeSystem/v2-0203|MR|1", "bone or gan", "(a or b) and c*",
]  # fmt: skip
ODD = [
    "\\", "a\\", "\\\\", "\\,", "a\\,", "\\|", "\\$", ",", ",,", "a,", "|", "||", "|||", "a|b|c|d",
    "$", "$$", "a$b$c", "'", '"', "';drop table version;--", "' or 1=1 --", "1) or (1=1", "%", "_",
    "%%a_", "*", "a*", "**", '"a" OR "b"', "a NEAR b", "terms : a", "a & b | !c", "a:*",
    "'a' <-> b",
    "\x00", "a\x00b", "\x01", "\x7f", "\x85", "\u00a0", "\u202e", "\ufeff", "\ufffe", "\uffff",
    "\U0010ffff", "\ud800", "a\udfffb", "İ", "ß", "ﷺ", "Ａ", "①", "٣", "१", "²", "\u0301",
    "Đa\u0323\u0306ng", "👩‍👩‍👧", "NaN", "Infinity", "-0", "1e400", "-1e-400", "1e999999999",
    "1E+99999999999999999999", "9" * 400, "0." + "0" * 400 + "1", "0x10", "1_000", "+1", "--1",
    "1.", ".5", "00", "ge", "geNaN", "gegt1", "ap0", "ap-1e308", "apInfinity", "ne1e400", "sa9999",
    "eb0001-01-01", "0001", "lt0001-01-01T00:00:00+14:00", "gt9999-12-31T23:59:59.999-14:00",
    "ap0001", "ap9999", "ap9999-12-31T23:59:59Z", "0000", "10000", "-2024", "2024-02-30", "2024-13",
    "2024-01-01T24:00:00Z", "2024-01-01T10:00:60Z", "2024-01-01T10:00:00+14:01", "2024-06-31T25",
    "2024-01-01T10:00:00." + "9" * 50 + "Z", "2147483648", "9223372036854775807",
    "9223372036854775808", "18446744073709551616", "a" * 65, "a" * 200, "a" * 5000, "a " * 50,
    "a," * 499 + "a", "a," * 501, "Patient/" + "a" * 65, "Patient/..", "Patient/", "/", "//",
    "Shoe/1", "Patient?identifier=1", "#a", "urn:uuid:x", "http://", "http://[", "http://a:b/c",
    "http://a/Patient/1|2|3", "true,false", "TRUE", "null", "[]", "{}", "-91|0", "90|180|0|km",
    "-90|-180|1e9|km", "0|0|99999999999", "0|0|1|[mi_i]", "1|2", "0|0|-1|m", "١|٢", "()", "(((",
    "(" * 60 + "a" + ")" * 60, "a or " * 60 + "a", "not a", "%00", "%ff", "%2", "&", "=", "a=b",
    " ", "\t", "\n", "a\nb", "http://x\\", "a|\\", "\\|a|", "$a", "a$",
]  # fmt: skip
MODIFIERS = ["missing", "exact", "contains", "not", "text", "in", "not-in", "above", "below",
             "of-type", "identifier", "Patient", "Shoe", "x", "", "iterate", "EXACT",
             "exact:contains", "\x00", "a" * 300]  # fmt: skip
OPERATORS = ["eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le", "ap", "sa", "eb", "pr", "po",
             "ss", "sb", "in", "ni", "re", "xx"]  # fmt: skip
RESULT = {
    "_count": ["0", "1", "3", "50", "-1", "1000000000", "9" * 30, "1.5", "a", "", "٣", "+1", "1e3"],
    "_total": ["none", "estimate", "accurate", "Accurate", "a", "accurate,none"],
    "_summary": ["true", "text", "data", "count", "false", "x"],
    "_elements": ["id", "name", "name,birthDate", "x", ",", "name.family", "a" * 3000, "*"],
    "_sort": ["_lastUpdated", "-_lastUpdated", "_id", "-_id", "x", "-", "--_id", "_id,_id", "",
              ",".join(["-_id"] * 50), "_score", "_text", "name.family", "_has:a:b:c"],
    "_type": ["Patient", "Patient,Observation", "Shoe", "", ",", "Resource", "Patient," * 200],
    "_contained": ["false", "true", "both", "x"],
    "_format": ["json", "xml", "x", "application/fhir+json"],
    "_include": ["*", "*:*", "Patient:*", "Shoe:a", "Observation:subject:Patient", ":", "::", "a:",
                 "Observation:*:Patient", "Observation:code", "Observation:subject:Shoe"],
    "_revinclude": ["*", "*:*", "Observation:*", "Observation:subject", "Provenance:target",
                    "AuditEvent:*", "List:item", "Encounter:subject:Patient"],
    "_cursor": ["", "a", "AAAA", "=" * 10, "a" * 20000, "\u00e9", "-_-_" * 30],
    "_explain": ["true", "1"], "_query": ["a"], "_score": ["1"],
    "_list": ["1", "five", "list-1", "$current-problems", "a,b", "List/list-1", "../1", "a" * 70],
}  # fmt: skip
TYPES = ["Patient", "Observation", "Encounter", "Condition", "MedicationRequest", "Organization",
         "Location", "Practitioner", "List", "ValueSet"]  # fmt: skip
DEEP = 7  # steps of the longest chains: one more than there may be

Pair = tuple[str, str]


class Searches:
    """The same for the same seed."""

    def __init__(self, parameters: Parameters, seed: int | str) -> None:
        self.random = random.Random(seed)
        self.parameters = parameters
        self.every = sorted(parameters.definitions.resource_types)

    def one(self) -> tuple[str, list[Pair]]:
        """A path and its parameters; mostly one, so that what is wrong with it is told."""
        type, draw = self.type(), self.random.random()
        path = type
        if draw < 0.03:
            path = ""
        elif draw < 0.06:
            path = f"Patient/patient-1/{self.pick(['*', type])}"
        number = self.pick([1, 1, 1, 2, 3, 5])
        return path, [self.pair(type) for _ in range(number)]

    def pick(self, some: Sequence[T]) -> T:
        return self.random.choice(some)

    def type(self) -> str:
        return self.pick(TYPES if self.random.random() < 0.8 else self.every)

    def pair(self, type: str) -> Pair:
        draw = self.random.random()
        if draw < 0.15:
            return self.result(type)
        if draw < 0.23:
            return "_filter", self.filter(type, 0)
        return self.name(type, 0), self.value()

    def name(self, type: str, depth: int) -> str:
        draw = self.random.random()
        if depth < DEEP and draw < 0.2 and (chained := self.chain(type, depth)):
            return chained
        if depth < DEEP and draw < 0.3:
            return self.reverse(type, depth)
        name = self.pick([*self.parameters.of(type), "_text", "_content", "_list", "_id"])
        if self.random.random() < 0.35:
            name += f":{self.pick(MODIFIERS)}"
        if self.random.random() < 0.03:
            name += self.pick([".", ":", ".a", "::", "|", "\\", " ", "-", "\x00", "a" * 100])
        return name

    def links(self, type: str) -> list[Parameter]:
        return [one for one in self.parameters.of(type).values() if one.type == "reference"]

    def chain(self, type: str, depth: int) -> str | None:
        if not (links := self.links(type)):
            return None
        link = self.random.choice(links)
        target = self.random.choice(list(link.targets or self.every))
        told = f":{target}" if self.random.random() < 0.6 else ""
        return f"{link.code}{told}.{self.name(target, depth + 1)}"

    def reverse(self, type: str, depth: int) -> str:
        for _ in range(20):
            source = self.type()
            found = [one for one in self.links(source) if type in one.targets]
            if found:
                code = self.random.choice(found).code
                return f"_has:{source}:{code}:{self.name(source, depth + 1)}"
        return f"_has:{self.type()}:subject:_id"

    def value(self) -> str:
        draw = self.random.random()
        if draw < 0.35:
            return self.pick(GOOD)
        if draw < 0.7:
            return self.pick(ODD)
        parts = [self.pick(GOOD + ODD) for _ in range(self.random.randint(1, 4))]
        return self.pick(["", ",", "|", "$", " "]).join(parts)

    def filter(self, type: str, depth: int) -> str:
        draw = self.random.random()
        if depth < 14 and draw < 0.5:
            one, other = self.filter(type, depth + 5), self.filter(type, depth + 1)
            return self.pick(
                [f"({one})", f"not ({one})", f"{one} and {other}", f"({one} or {other})"]
            )
        if draw < 0.03:
            return self.pick(ODD)
        value = self.value()
        told = value if self.random.random() < 0.5 else '"' + value.replace('"', '\\"') + '"'
        links = self.links(type)
        if links and draw < 0.65:
            link = self.random.choice(links)
            target = self.random.choice(list(link.targets or self.every))
            code = self.pick(list(self.parameters.of(target)))
            inner = f"[{self.filter(target, depth + 5)}]" if draw < 0.57 else ""
            return f"{link.code}{inner}.{code} {self.pick(OPERATORS)} {told}"
        code = self.pick(list(self.parameters.of(type)))
        return f"{code} {self.pick(OPERATORS)} {told}"

    def result(self, type: str) -> Pair:
        name = self.pick(list(RESULT))
        value = self.pick(RESULT[name])
        if name == "_sort" and self.random.random() < 0.7:
            codes = list(self.parameters.of(type))
            keys = [
                self.pick(["", "-"]) + self.pick(codes) for _ in range(self.random.randint(1, 4))
            ]
            value = ",".join(keys)
        if name in ("_include", "_revinclude"):
            name += self.pick(["", "", ":iterate", ":iterate", ":recurse", ":"])
            if links := self.links(type):
                value = self.pick([value, f"{type}:{self.random.choice(links).code}"])
        return name, value


def written(pairs: list[Pair]) -> str:
    """As a query; a lone surrogate as the bytes it would be."""
    return "&".join(
        f"{quote(name, safe=':.', errors='surrogatepass')}="
        f"{quote(value, safe='', errors='surrogatepass')}"
        for name, value in pairs
    )
