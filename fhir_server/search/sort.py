"""sort — the order of the matches: by which parameters, and what a resource's value of one is.

https://hl7.org/fhir/R4/search.html#sort

Strings are compared folded, without marks and case; tokens by code, then system; references and
URIs by their text; dates by their beginning; numbers and quantities by their number, whatever the
unit. What has no value comes last in both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.outcome import Invalid, NotSupported
from fhir_server.search.closest import closest
from fhir_server.search.extract import compiled, unfolded
from fhir_server.search.kinds import KINDS
from fhir_server.search.kinds.token import PLAIN
from fhir_server.search.parameters import Parameter, Parameters
from fhir_server.search.site import Site
from fhir_server.search.wanted import SortKey, Wanted
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import Stored, Value

NAME = "_sort"
MAX_KEYS = 5
LONGEST = 400  # characters of a text that are compared
UPDATED = "_lastUpdated"
Values = Callable[[Any], Iterable[Value]]


# --- what is asked -------------------------------------------------------------------------------


def sort(wanted: Wanted, value: str) -> None:
    # R4 search#sort:  [-][parameter](,[-][parameter])*
    texts = [text.strip() for text in value.split(",")]
    if len(texts) > MAX_KEYS:
        raise Invalid(f"`_sort` has {len(texts)} parameters; at most {MAX_KEYS}.")
    keys = [_key(wanted, text) for text in texts]
    codes = [key.code for key in keys]
    if twice := next((code for code in codes if codes.count(code) > 1), None):
        raise Invalid(f"`_sort` names `{twice}` twice. The first of them decides: leave one out.")
    wanted.sort = tuple(keys)


def _key(wanted: Wanted, text: str) -> SortKey:
    code = text.removeprefix("-")
    if code == "_score":
        raise NotSupported(
            "`_score` is no order of this server: a resource matches or it does not, and none "
            f"matches better. {_instead(wanted)}"
        )
    wanted.parameters.demand_ready(wanted.types, code)
    found = [known.get(code) for known in _known(wanted)]
    parameters = tuple(parameter for parameter in found if parameter is not None)
    if len(parameters) < len(found):
        raise Invalid(_unknown(wanted, code))
    kinds = {parameter.type for parameter in parameters}
    if not kinds <= READ.keys() or not all(p.paths or p.code == UPDATED for p in parameters):
        raise NotSupported(f"`{code}` has no value of its own to sort by. {_instead(wanted)}")
    if len(kinds) > 1:
        told = " and ".join(sorted(kinds))
        raise Invalid(f"`{code}` is a {told} of these types, which cannot be put in one order.")
    return SortKey(code, parameters, descending=text.startswith("-"))


def _known(wanted: Wanted) -> list[dict[str, Parameter]]:
    if not wanted.types:
        return [wanted.parameters.everywhere()]
    return [wanted.parameters.of(type) for type in wanted.types]


def _unknown(wanted: Wanted, code: str) -> str:
    wanted.parameters.demand_ready(wanted.types, code)
    codes = set.intersection(*(set(known) for known in _known(wanted)))
    whose = " and ".join(wanted.types[:5]) or "all types; give `_type`"
    if not code:
        return "`_sort` takes parameters parted by commas: `-date,status`."
    hint = closest(code, sorted(codes))
    return f"`_sort` names `{code[:64]}`, which is no parameter of {whose}.{hint}"


def _instead(wanted: Wanted) -> str:
    return instead(wanted.parameters, wanted.types)


def instead(parameters: Parameters, types: Sequence[str]) -> str:
    """Which orders there are for any number of matches."""
    known = [parameters.of(type) for type in types]
    main = {next((p.code for p in of.values() if p.main), "") for of in known}
    codes = [f"`-{code}`" for code in main if code and len(main) == 1]
    return f"Sort by {' or '.join([*codes, f'`-{UPDATED}`'])}."


# --- what a version's values are -----------------------------------------------------------------


def keys_of(
    keys: Sequence[SortKey], definitions: Definitions, site: Site
) -> Callable[[Stored], tuple[Value, ...]]:
    """A function that tells a version's value of each key."""
    plain = site.zone_minutes, site.base_urls
    known: dict[str, list[Callable[[Mapping[str, Any], list[Value]], list[Value]]]] = {}

    def told(version: Stored) -> tuple[Value, ...]:
        type = version.key.type
        if type not in known:
            known[type] = [_values(of_type(key, type), definitions, *plain) for key in keys]
        resource = resource_of(version) if version.tail is not None else {}
        return tuple(
            version.updated if key.code == UPDATED else _first(key, values(resource, []))
            for key, values in zip(keys, known[type], strict=True)
        )

    return told


def of_type(key: SortKey, type: str) -> Parameter:
    """The parameter as this type has it; of a search of all types it is the same for each."""
    return next((p for p in key.parameters if p.of == type), key.parameters[0])


def _first(key: SortKey, values: Sequence[Any]) -> Value:
    """R4 search#sort: "the item ... that comes earliest in the specified sort order"."""
    if not values:
        return None
    found: Value = max(values) if key.descending else min(values)
    if not isinstance(found, str):
        return found
    return found[:LONGEST].encode(errors="replace").decode()  # half a character cannot be sent


@lru_cache(maxsize=256)
def _values(
    parameter: Parameter, definitions: Definitions, zone_minutes: int, base_urls: tuple[str, ...]
) -> Callable[[Mapping[str, Any], list[Value]], list[Value]]:
    """A function that adds a resource's values to a list, and gives it back."""
    site = Site(zone_minutes, base_urls)
    names: dict[str, Any] = {}
    ways = []
    for path in parameter.paths:
        for way in unfolded(definitions, path, KINDS[parameter.type].TYPES):
            values = READ[parameter.type](parameter, way.type, site)
            if values is not None:
                names[name := f"w{len(names)}"] = values
                ways.append((way, [f"out += {name}({{v}})"]))
    return compiled("values(r, out)", ways, names, last="return out")


def _of_rows(column: str, parameter: Parameter, type: str, site: Site) -> Values | None:
    """A value is what the index has of it."""
    write = KINDS[parameter.type].writer(parameter, type, site)
    if write is None:
        return None
    return lambda value: [getattr(row, column) for row in write(value)]


def _of_string(parameter: Parameter, type: str, site: Site) -> Values | None:
    write = KINDS[parameter.type].writer(parameter, type, site)
    if write is None:
        return None
    return lambda value: [row.word for row in write(value) if row.whole]


def _of_token(parameter: Parameter, type: str, site: Site) -> Values | None:  # noqa: ARG001 - as all of them
    return TOKENS.get(type)


def _of_link(parameter: Parameter, type: str, site: Site) -> Values | None:  # noqa: ARG001 - as all of them
    if type != "Reference":
        return lambda value: (value,)

    def of_reference(value: Mapping[str, Any]) -> Iterable[Value]:
        text = value.get("reference")
        if not text:
            return _coded(value.get("identifier") or {}, "value")
        own = site.own(text)
        return (str(own.key) if own else text,)

    return of_reference


def _coded(value: Mapping[str, Any], property: str) -> Iterable[Value]:
    """By code, then system."""
    code = value.get(property)
    return (f"{code}\0{value.get('system') or ''}",) if code else ()


def _of_concept(value: Mapping[str, Any]) -> Iterable[Value]:
    return [one for coding in value.get("coding") or () for one in _coded(coding, "code")]


TOKENS: dict[str, Values] = {
    "CodeableConcept": _of_concept,
    "Coding": lambda value: _coded(value, "code"),
    "Identifier": lambda value: _coded(value, "value"),
    "ContactPoint": lambda value: (value["value"],) if value.get("value") else (),
    "boolean": lambda value: ("true" if value else "false",),
    "string": lambda value: (value.casefold(),),
    **dict.fromkeys(PLAIN, lambda value: (value,)),
}
READ: dict[str, Callable[[Parameter, str, Site], Values | None]] = {
    "date": partial(_of_rows, "lo"),
    "number": partial(_of_rows, "lo"),
    "quantity": partial(_of_rows, "lo"),
    "reference": _of_link,
    "string": _of_string,
    "token": _of_token,
    "uri": _of_link,
}
