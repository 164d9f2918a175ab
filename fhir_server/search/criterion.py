"""criterion — one parameter of a search, as a Condition.

https://hl7.org/fhir/R4/search.html#combining
https://hl7.org/fhir/R4/search.html#modifiers
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from fhir_server.foundation.outcome import Invalid, NotSupported
from fhir_server.foundation.resource import ID, Key
from fhir_server.search import composite
from fhir_server.search.escape import split, unescape
from fhir_server.search.index import marker
from fhir_server.search.kinds import KINDS, date, reference, token
from fhir_server.search.parameters import MAIN_DATE, Parameter, Parameters
from fhir_server.search.site import Site
from fhir_server.store.contract import (
    AllOf,
    AnyOf,
    Condition,
    KeyIs,
    Not,
    RidIn,
    hash128,
    rid,
)

MAX_VALUES = 500  # alternatives of one parameter

# https://hl7.org/fhir/R4/valueset-search-modifier-code.html and search.html#modifiers
R4_MODIFIERS = frozenset(
    {"above", "below", "contains", "exact", "identifier", "in", "missing", "not", "not-in"}
    | {"of-type", "text", "type"}
)
NEGATIVE = frozenset({"not", "not-in"})  # of all values together, not of each
MAX_SETS = 10  # values of one parameter that stand for many codes each
OF_MANY = frozenset({"above", "below", "in", "not-in"})
# What the datatypes of a parameter leave of its kind's modifiers
FITTING = {"reference": reference.modifiers_of, "token": token.modifiers_of}
EVERYTHING, NOTHING = AllOf(), AnyOf()


class Criterion(NamedTuple):
    """A parameter as it was asked. parameters: what it is for each of the types (none given: for
    all of them at once)."""

    code: str
    modifier: str | None
    value: str
    parameters: tuple[Parameter, ...]
    types: tuple[str, ...]


def condition(criterion: Criterion, parameters: Parameters, site: Site) -> Condition:
    """What must hold. Raises Invalid, NotSupported."""
    for parameter in criterion.parameters:
        _allowed(parameter, criterion.modifier)
    _one_main_date(criterion)
    if criterion.modifier == "missing":
        return _missing(criterion, parameters)
    texts = split(criterion.value, ",")
    if len(texts) > MAX_VALUES:
        raise Invalid(f"`{criterion.code}` is given {len(texts)} values; at most {MAX_VALUES}.")
    if criterion.modifier in OF_MANY and len(texts) > MAX_SETS:
        raise Invalid(
            f"`{criterion.code}:{criterion.modifier}` is given {len(texts)} values; at most "
            f"{MAX_SETS}, because each stands for many."
        )
    if not all(texts):
        raise Invalid(
            f"`{criterion.code}` has an empty value between commas. Write a `,` that belongs to a "
            "value as `\\,`."
        )
    found = any_of(
        _one(one, text, criterion, parameters, site)
        for parameter in criterion.parameters
        for one in divided(parameter, parameters)
        for text in texts
    )
    return Not(found) if criterion.modifier in NEGATIVE else found


def divided(parameter: Parameter, parameters: Parameters) -> tuple[Parameter, ...]:
    """The parameters that have its rows: itself, but where narrower ones have them all."""
    if not parameter.also or parameter.type == "string":
        return (parameter,)
    known = parameters.official.of(parameter.of).values()
    return tuple(one for one in known if one.number in parameter.also)


def _one(
    parameter: Parameter, text: str, criterion: Criterion, parameters: Parameters, site: Site
) -> Condition:
    match parameter.code:
        case "_id":
            id = unescape(text)
            if not ID.fullmatch(id):
                raise Invalid(
                    f"`_id` is given `{id[:80]}`. An id is 1 to 64 of the characters "
                    "`A-Z a-z 0-9 - .`."
                )
            every = parameters.definitions.resource_types
            types = (parameter.of,) if criterion.types else every
            return RidIn(tuple(sorted(rid(Key(type, id)) for type in types)))
        case "_lastUpdated":
            return date.updated(parameter, text, site)
        case "url" if not criterion.modifier and "version" in parameters.official.of(parameter.of):
            return _canonical(parameter, text, parameters, site)
    if parameter.type == "composite":
        return composite.where(parameters, parameter, text, site)
    asked: Condition = KINDS[parameter.type].where(parameter, text, criterion.modifier, site)
    return asked


def _canonical(parameter: Parameter, text: str, parameters: Parameters, site: Site) -> Condition:
    """R4 search#uri: of the URLs of definitions a `|[version]` is "a search on the version"."""
    url, *version = split(text, "|")
    named: Condition = KINDS[parameter.type].where(parameter, url, None, site)
    if not version:
        return named
    its = parameters.official.of(parameter.of)["version"]
    asked: Condition = KINDS[its.type].where(its, r"\|".join(version), None, site)
    return AllOf((named, asked))


def any_of(conditions: Iterable[Condition]) -> Condition:
    """Any of these, lists within lists laid flat, so that a store sees all keys at once."""
    flat: dict[Condition, None] = {}
    rids: set[int] = set()
    for condition in conditions:
        match condition:
            case AnyOf(inner):
                flat.update(dict.fromkeys(inner))
            case RidIn(some):
                rids.update(some)
            case _:
                flat[condition] = None
    if rids:
        flat[RidIn(tuple(sorted(rids)))] = None
    return next(iter(flat)) if len(flat) == 1 else AnyOf(tuple(flat))


# --- modifiers -----------------------------------------------------------------------------------


def modifiers(parameter: Parameter) -> tuple[str, ...]:
    """What may follow a parameter's name, beside a reference's target types."""
    if not parameter.supported:
        return ()
    if parameter.type == "composite":
        return ("missing",)
    fitting = FITTING.get(parameter.type)
    own: frozenset[str] = fitting(parameter) if fitting else KINDS[parameter.type].MODIFIERS
    return tuple(sorted(own | {"missing"}))


def _allowed(parameter: Parameter, modifier: str | None) -> None:
    code = parameter.code
    if not parameter.supported:
        raise NotSupported(
            f"`{code}` of {parameter.of} is a {parameter.type} parameter, and those are not "
            "supported yet."
        )
    known = modifiers(parameter)
    if modifier is None or modifier in known:
        return
    if parameter.type == "reference" and modifier not in R4_MODIFIERS:
        if modifier[:1].isupper():
            return  # a type; reference.where says whether it can be
        raise Invalid(_no_modifier(parameter, modifier, known))
    if modifier not in R4_MODIFIERS:
        raise Invalid(_no_modifier(parameter, modifier, known))
    raise NotSupported(
        f"`:{modifier}` cannot be asked of `{code}` of {parameter.of}.{_told(parameter, known)}"
    )


def _no_modifier(parameter: Parameter, modifier: str, known: Sequence[str]) -> str:
    return f"`:{modifier[:40]}` is no modifier of `{parameter.code}`.{_told(parameter, known)}"


def _told(parameter: Parameter, known: Sequence[str]) -> str:
    told = [f"`:{one}`" for one in known]
    if parameter.type == "reference":
        told.append("a type such as `:" + (parameter.targets or ("Patient",))[0] + "`")
    return f" What works with it: {', '.join(told)}." if told else " No modifier works with it."


def _missing(criterion: Criterion, parameters: Parameters) -> Condition:
    # R4 search#missing:  true | false
    if criterion.value not in ("true", "false"):
        raise Invalid(
            f"`{criterion.code}:missing` is given `{criterion.value[:40]}`. It takes `true` or "
            "`false`."
        )
    there = any_of(present(parameter, parameters) for parameter in criterion.parameters)
    if criterion.value == "false":
        return there
    return NOTHING if there == EVERYTHING else Not(there)


def present(parameter: Parameter, parameters: Parameters) -> Condition:
    """The resource has a value for it."""
    if not parameter.stored:
        return EVERYTHING
    if parameter.type == "composite":
        return composite.present(parameters, parameter, lambda part: present(part, parameters))
    if (parts := divided(parameter, parameters)) != (parameter,):
        return any_of(present(part, parameters) for part in parts)
    if parameter.narrowed:
        mark = marker(parameter.number, parameter.bit)
        return KeyIs(mark.v, mark.w, -1, mark.dominant, parameter.of)
    found: Condition = KINDS[parameter.type].present(parameter)
    marks = map(marker, (parameter.number, *parameter.also))
    return any_of((found, *(KeyIs(mark.v, mark.w, mask=-1) for mark in marks)))


def _one_main_date(criterion: Criterion) -> None:
    """The main date lies beside the resource without its parameter's number, so it must be asked
    of all the types or of none."""
    if any(parameter.main for parameter in criterion.parameters):
        others = [p.of for p in criterion.parameters if not p.main and p.of in MAIN_DATE]
        if others:
            raise NotSupported(
                f"`{criterion.code}` cannot be asked of {criterion.parameters[0].of} and "
                f"{others[0]} in one search. Search each type on its own."
            )


# --- the same question ---------------------------------------------------------------------------


def locks(criterion: Criterion) -> Iterator[int]:
    """A number for each identifier with its system that the criterion asks for."""
    if criterion.modifier is not None or criterion.parameters[0].type != "token":
        return
    for text in split(criterion.value, ","):
        for parameter in criterion.parameters:
            if named := token.identifies(parameter, text):
                yield hash128("\n".join((parameter.of, parameter.code, *named))) >> 65
