"""index — the rows a resource leaves behind, so that search can find it again.

https://hl7.org/fhir/R4/search.html

The rows follow from the resource's body alone; its version and the time it was stored have no
part in them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable
from copy import copy
from typing import Any, TypeVar

from fhir_server.foundation.folding import WORD_LENGTH
from fhir_server.foundation.outcome import TooLarge, UnknownType, Unprocessable
from fhir_server.foundation.resource import Key, Resource
from fhir_server.search import composite
from fhir_server.search.dominant import TABLE as DOMINANT_TABLE
from fhir_server.search.extract import Way, compiled, unfolded
from fhir_server.search.kinds import KINDS, reference, string, uri
from fhir_server.search.owner import tells_records
from fhir_server.search.owner import ways as owner_ways
from fhir_server.search.pairing import pairings
from fhir_server.search.parameters import MAIN_DATE, PARTS, Parameter, Parameters
from fhir_server.search.path import Get, Path
from fhir_server.search.site import Site
from fhir_server.store.contract import (
    NO_DATE,
    PARAM_SHIFT,
    DateRow,
    IndexRows,
    KeyRow,
    QuantityRow,
    StringRow,
    UriRow,
    rid,
)
from fhir_server.store.stamp import Stamp, zone

EDITION = 4  # to be raised when a kind writes other rows than before
MAX_ROWS = 50_000  # of one resource
MAX_WORDS = 200  # of one parameter of one resource

SINKS = {
    "date": "dates",
    "number": "quantities",
    "quantity": "quantities",
    "reference": "keys",
    "special": "quantities",
    "string": "strings",
    "token": "keys",
    "uri": "keys",
}
NOTED = {"reference": reference.noter, "uri": uri.noter}  # those whose texts are kept as well

Row = TypeVar("Row")
Write = Callable[
    [
        Resource,
        list[KeyRow],
        list[StringRow],
        list[DateRow],
        list[QuantityRow],
        list[DateRow],
        list[UriRow],
    ],
    None,
]


def marker(number: int, bit: int = 0) -> KeyRow:
    """Says that a parameter has a value, where the value itself leaves no row.

    So that `code:missing=true` does not find a code that is told by its text alone."""
    return KeyRow(number << PARAM_SHIFT, 0, bit)


class Indexer:
    """Makes rows. Each type's functions are compiled when its first resource comes.

    stamp: changes whenever the same resource would leave other rows.
    """

    def __init__(
        self,
        parameters: Parameters,
        *,
        zone_minutes: int = 420,
        base_urls: tuple[str, ...] = (),
    ) -> None:
        self.parameters = parameters
        self.site = Site(zone_minutes, base_urls)
        self.stamp = self._stamp()
        self._write: dict[str, Write] = {}
        self._owner: dict[str, Callable[[Resource], int]] = {}
        self._custom: dict[str, Write] = {}
        self._made: dict[tuple[Parameter, ...], Write] = {}  # of custom ones, now and before

    def renewed(self, parameters: Parameters) -> Indexer:
        """The same with other custom parameters. What is compiled is kept: R4's own rows do not
        depend on them, and those of a type whose custom ones stay are made as before."""
        found = copy(self)
        found.parameters, found._custom = parameters, {}
        return found

    def rows(self, resource: Resource) -> IndexRows:
        """Raises Unprocessable where the resource is none of R4's, TooLarge beyond MAX_ROWS."""
        type = resource.get("resourceType")
        if not isinstance(type, str) or type not in self.parameters.definitions.resource_types:
            raise UnknownType(f"R4 has no resource type `{str(type)[:64]}`.")
        write = self._write.get(type)
        if write is None:
            write = self._learn(type)
        keys: list[KeyRow] = []
        strings: list[StringRow] = []
        dates: list[DateRow] = []
        quantities: list[QuantityRow] = []
        main: list[DateRow] = []
        uris: list[UriRow] = []
        try:
            write(resource, keys, strings, dates, quantities, main, uris)
            if custom := self.parameters.indexed(type):
                write = self._custom.get(type) or self._customs(type, custom)
                write(resource, keys, strings, dates, quantities, dates, uris)
            owner = self._owner[type](resource)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unprocessable(
                f"This {type} cannot be indexed, because a value in it is not of the type R4 gives "
                "it."
            ) from error
        if len(strings) > MAX_WORDS:
            strings = _fewer(strings)
        if len(strings) > 1:
            string.place(strings)
        return IndexRows(
            _bounded(type, keys),
            _bounded(type, strings),
            _bounded(type, dates if len(main) < 2 else dates + main),
            _bounded(type, quantities),
            min(main)[1:] if main else NO_DATE,
            owner,
            _bounded(type, uris),
        )

    def owner(self, resource: Resource) -> int:
        """The patient whose it is, as its rows say. Raises what they do."""
        type = resource["resourceType"]
        if type not in self._owner:
            self._learn(type)
        return self._owner[type](resource)

    def _learn(self, type: str) -> Write:
        own = self.parameters.official.of(type).values()
        self._owner[type] = self._owners(type)
        self._write[type] = self._compiled(own)
        return self._write[type]

    def _customs(self, type: str, custom: tuple[Parameter, ...]) -> Write:
        found = self._made.get(custom)
        if found is None:
            found = self._made[custom] = self._compiled(custom)
        self._custom[type] = found
        return found

    def _compiled(self, parameters: Collection[Parameter]) -> Write:
        names: dict[str, Any] = {}
        ways: list[Way] = []
        numbers: set[int] = set()
        for parameter in parameters:
            if parameter.type == "composite":
                continue
            if parameter.narrowed:
                mark = f"m{parameter.number}n{parameter.bit}"
                names[mark] = (marker(parameter.number, parameter.bit),)
                ways += ((path, [f"keys += {mark}"]) for path in parameter.paths)
            elif parameter.stored and parameter.number not in numbers:
                numbers.add(parameter.number)
                ways += self._ways(parameter, names)
        ways += self._pairs(parameters, names)
        signature = "write(r, keys, strings, dates, quantities, main, uris)"
        write: Write = compiled(signature, ways, names)
        return write

    def _ways(self, parameter: Parameter, names: dict[str, Any]) -> list[Way]:
        """The parameter's paths, each with what is done with the value at its end."""
        kind = KINDS[parameter.type]
        ways: list[Way] = []
        sink = "main" if parameter.main else SINKS[parameter.type]
        mark = f"m{parameter.number}"
        names[mark] = (marker(parameter.number),)
        for path in parameter.paths:
            if path.steps in parameter.elsewhere:
                continue  # a narrower parameter writes it
            ways.append((path, self._end(parameter, path, sink, mark, names)))
            for inner in unfolded(self.parameters.definitions, path, kind.TYPES):
                if inner is not path:
                    ways.append((inner, self._end(parameter, inner, sink, mark, names)))
        return ways

    def _pairs(self, parameters: Iterable[Parameter], names: dict[str, Any]) -> list[Way]:
        """Where the parts of composites stand together; what several ask for is written once."""
        ways: dict[object, Way] = {}
        for parameter in parameters:
            if parameter.type == "composite" and composite.answerable(self.parameters, parameter):
                for pairing in pairings(self.parameters, parameter):
                    key = (pairing.number, pairing.key)
                    if pairing.paired and key not in ways:
                        write = f"w{len(names)}"
                        names[write] = composite.writer(
                            self.parameters, pairing, self.site, MAX_ROWS
                        )
                        rows = composite.sink([part.type for part in pairing.paired])
                        ways[key] = (pairing.place, [f"{write}({{v}}, {rows})"])
        return list(ways.values())

    def _end(
        self, parameter: Parameter, path: Path, sink: str, mark: str, names: dict[str, Any]
    ) -> list[str]:
        kind = KINDS[parameter.type]
        if left := [part for part in PARTS.get(path.type, ()) if _leaves(parameter, path, part)]:
            write = f"w{len(names)}"
            names[write] = string.of_rest(parameter.number, path.type, left, names[mark][0])
            return [f"{write}({{v}}, strings, keys)"]
        writer = kind.writer(parameter, path.type, self.site, path.system)
        if writer is None:
            return [f"keys += {mark}"]
        write = f"w{len(names)}"
        names[write] = writer
        if sink == "keys":
            lines = [f"keys += {write}({{v}}) or {mark}"]
            note = NOTED[parameter.type](parameter, path.type) if parameter.type in NOTED else None
            if note is not None:
                names[f"n{len(names)}"] = note
                lines.append(f"uris += n{len(names) - 1}({{v}})")
            return lines
        return [f"x = {write}({{v}})", f"if x: {sink} += x", f"else: keys += {mark}"]

    def _owners(self, type: str) -> Callable[[Resource], int]:
        """The patient in whose compartment a resource is: the first its parameters name."""
        if type == "Patient":
            return lambda resource: rid(Key("Patient", resource["id"])) if "id" in resource else 0
        if type == "Task":
            return lambda task: self._patient(task.get("for", {})) if tells_records(task) else 0
        end = ["x = owner({v})", "if x: return x"]
        ways = [(path, end) for path in owner_ways(self.parameters, type)]
        return compiled("first(r)", ways, {"owner": self._patient}, last="return 0")

    def _patient(self, reference: dict[str, Any]) -> int:
        text = reference.get("reference")
        if not text or "Patient/" not in text:
            return 0
        found = self.site.own(text)
        return rid(found.key) if found and found.key.type == "Patient" else 0

    def _stamp(self) -> Stamp:
        told = [
            EDITION,
            MAX_WORDS,
            WORD_LENGTH,
            self.parameters.stamp,
            sorted(MAIN_DATE.items()),
            DOMINANT_TABLE,
        ]
        extraction = hashlib.blake2b(json.dumps(told).encode(), digest_size=8).hexdigest()
        return Stamp(extraction, zone(self.site.zone_minutes), self.site.base_urls)


def _leaves(parameter: Parameter, path: Path, part: str) -> bool:
    """Whether a narrower parameter has this part of what stands at the path's end."""
    return any(
        steps[:-1] == path.steps and isinstance(steps[-1], Get) and steps[-1].key == part
        for steps in parameter.elsewhere
    )


def _bounded(type: str, rows: list[Row]) -> frozenset[Row]:
    if len(rows) > MAX_ROWS:
        raise TooLarge(
            f"This {type} would need {len(rows)} index entries, more than {MAX_ROWS}. "
            "Divide it into several resources."
        )
    return frozenset(rows)


def _fewer(strings: list[StringRow]) -> list[StringRow]:
    """The first MAX_WORDS words of each parameter, and the first MAX_WORDS of its long values."""
    kept: dict[int, dict[StringRow, None]] = {}
    for row in strings:
        words = kept.setdefault(row.param, {})
        if len(words) < MAX_WORDS:
            words[row] = None
    return [row for words in kept.values() for row in words]
