"""custom — a SearchParameter that somebody stores, as a parameter of this server, or why not.

https://hl7.org/fhir/R4/searchparameter.html
https://hl7.org/fhir/R4/search.html#all

R4's rules for the resource are the validator's. These are this server's own: what it indexes by
must be a set of ways through a resource, lead to values of its kind, and have a name nobody has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.outcome import Invalid, Issue
from fhir_server.foundation.resource import Resource
from fhir_server.search.composite import answerable
from fhir_server.search.extract import unfolded
from fhir_server.search.kinds import KINDS
from fhir_server.search.parameters import Parameters
from fhir_server.search.path import Get, Path, Unfollowable, paths
from fhir_server.store.contract.parameter import (
    BUILDING,
    FIRST_CUSTOM,
    LAST_CUSTOM,
    READY,
    Declaration,
    Declared,
)

RULE = "search-parameter"  # the rule of an issue: R4 allows it, and this server cannot do it
MAX_BASES = 40  # of one definition: each has a number of its own
MAX_EXPRESSION = 4000  # characters
MAX_WAYS, MAX_STEPS, MAX_LISTS = 200, 24, 12  # ways of one type; steps, and lists, of a way
CODE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
FORMS = (
    "Followed are `Type.element.element`, `element[0]`, `.where(element = 'value')`,"
    " `.where(resolve() is Type)`, `.extension('url')`, `as Type`, `.ofType(Type)`, `.exists()`,"
    " and several of these joined by `|`."
)


class Refused(Exception):
    """Why a definition cannot be indexed by; `element` of SearchParameter is to be changed."""

    def __init__(self, element: str, told: str) -> None:
        super().__init__(told)
        self.element = element


def issues(
    parameters: Parameters,
    resource: Resource,
    declared: Sequence[Declared],
    source: str | None = None,
) -> list[Issue]:
    """What keeps this server from searching by a definition that is to be in force.

    declared: the parameters there are already. source: who declares it, if not the resource.
    """
    if not in_force(parameters, resource):
        return []
    try:
        found = _declarations(parameters.official, resource)
        source = source or f"SearchParameter/{resource.get('id')}"
        _demand_free(parameters.official, found, source, declared)
    except Refused as refusal:
        place = f"SearchParameter.{refusal.element}"
        return [Issue("error", "business-rule", str(refusal), place, rule=RULE)]
    return []


def declarations(parameters: Parameters, resource: Resource) -> tuple[Declaration, ...]:
    """What a definition declares, one for each base; nothing where it is not in force or cannot
    be indexed by."""
    if not in_force(parameters, resource):
        return ()
    try:
        return tuple(_declarations(parameters.official, resource))
    except (Refused, KeyError, TypeError):  # stored by a program that did not ask
        return ()


def imagined(parameters: Parameters, resource: Resource) -> tuple[Declared, ...]:
    """What there would be besides, were the definition stored."""
    source = f"SearchParameter/{resource.get('id')}"
    return tuple(
        Declared(0, source, one.base, one.code, one.facts, BUILDING, 0, 0)
        for one in declarations(parameters, resource)
    )


def in_force(parameters: Parameters, resource: Resource) -> bool:
    """Whether it is active, and none of R4's own, which are what they are."""
    own = {fact["url"] for fact in parameters.definitions.search_parameters}
    return resource.get("status") == "active" and resource.get("url") not in own


def facts_of(declared: Declared) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(declared.facts)
    return found


def types_of(parameters: Parameters, base: str) -> tuple[str, ...]:
    """The resource types that have what is declared for `base`."""
    definitions = parameters.definitions
    return tuple(
        type for type in sorted(definitions.resource_types) if base in definitions.ancestors(type)
    )


def usable(parameters: Parameters, facts: dict[str, Any]) -> bool:
    """Whether this program can index by what another may have declared."""
    try:
        _demand_followed(parameters.official, facts, types_of(parameters, facts["base"][0]))
    except Refused:
        return False
    return True


# --- what it declares ----------------------------------------------------------------------------


def _declarations(official: Parameters, resource: Resource) -> list[Declaration]:
    _demand_form(resource)
    found = []
    for base in dict.fromkeys(resource["base"]):
        types = types_of(official, base)
        if not types:
            raise Refused("base", f"`{base[:64]}` is no base that has resources in R4.")
        facts = _facts(resource, base)
        _demand_followed(official, facts, types)
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        found.append(Declaration(base, facts["code"], text, types))
    return found


def _facts(resource: Resource, base: str) -> dict[str, Any]:
    return {
        "base": [base],
        "code": resource["code"],
        "component": [
            [one["definition"].partition("|")[0], one["expression"]]
            for one in resource.get("component", ())
        ],
        "expression": resource["expression"],
        "target": list(resource.get("target", ())),
        "type": resource["type"],
        "url": resource["url"],
    }


def _demand_form(resource: Resource) -> None:
    code, type = resource["code"], resource["type"]
    if not CODE.fullmatch(code):
        raise Refused(
            "code",
            f"`{code[:80]}` cannot be the name of a parameter here: a letter first, then letters,"
            " digits, `-` and `_`, at most 64.",
        )
    if type == "special":
        raise Refused(
            "type", "What a `special` parameter finds no expression says. Use another type."
        )
    if type == "composite" and not resource.get("component"):
        raise Refused("component", "A `composite` parameter needs its components.")
    if len(resource["base"]) > MAX_BASES:
        raise Refused(
            "base",
            f"It has {len(resource['base'])} base types, and {MAX_BASES} may be. Define it twice,"
            " or for `Resource`.",
        )
    if not resource.get("expression"):
        told = " An XPath alone cannot be followed." if resource.get("xpath") else ""
        raise Refused("expression", f"It has no `expression` to be indexed by.{told}")
    if len(resource["expression"]) > MAX_EXPRESSION:
        raise Refused("expression", f"The expression has more than {MAX_EXPRESSION} characters.")
    if resource.get("xpathUsage", "normal") != "normal":
        raise Refused("xpathUsage", "Only the usage `normal` is supported.")


# --- where it leads ------------------------------------------------------------------------------


def _demand_followed(official: Parameters, facts: dict[str, Any], types: Sequence[str]) -> None:
    """Every type that the base stands for must have ways, if it is one type; some, if it is all."""
    found = {type: _ways(official, facts, type) for type in types}
    ways = [way for each in found.values() for way in each]
    if not ways:
        raise Refused(
            "expression", f"The expression leads nowhere in `{facts['base'][0]}`. {FORMS}"
        )
    if facts["type"] == "composite":
        _demand_parts(official, facts, types)
        return
    kind = KINDS[facts["type"]]
    ends = {end.type for way in ways for end in unfolded(official.definitions, way, kind.TYPES)}
    if not ends & kind.TYPES:
        named = ", ".join(f"`{end}`" for end in sorted(ends)[:5])
        raise Refused(
            "expression",
            f"The expression leads to {named}, and a parameter of type `{facts['type']}` is of"
            f" {', '.join(f'`{type}`' for type in sorted(kind.TYPES))}.",
        )


@lru_cache(maxsize=4096)  # it is asked when a definition is judged, declared, and taken in
def _followed(definitions: Definitions, expression: str, type: str) -> tuple[Path, ...]:
    return paths(definitions, expression, type)


def _ways(official: Parameters, facts: dict[str, Any], type: str) -> tuple[Path, ...]:
    try:
        found = _followed(official.definitions, facts["expression"], type)
    except Unfollowable as error:
        raise Refused("expression", f"{error}, as this server understands them. {FORMS}") from error
    except Invalid as error:
        raise Refused("expression", str(error)) from error
    every = [*found, *_within(found)]
    if len(every) > MAX_WAYS:
        raise Refused("expression", f"The expression leads {len(every)} ways; {MAX_WAYS} may be.")
    for way in every:
        lists = sum(isinstance(step, Get) and step.many for step in way.steps)
        if len(way.steps) > MAX_STEPS or lists > MAX_LISTS:
            raise Refused(
                "expression",
                f"The expression goes {len(way.steps)} steps deep, through {lists} lists;"
                f" {MAX_STEPS} and {MAX_LISTS} may be.",
            )
    return found


def _within(ways: Iterable[Path]) -> Iterator[Path]:
    """The ways that questions about a resource go."""
    waiting = [way.test for way in ways if way.test]
    while waiting:
        test = waiting.pop()
        yield from test.paths
        waiting += [*test.parts, *(path.test for path in test.paths if path.test)]


def _demand_parts(official: Parameters, facts: dict[str, Any], types: Sequence[str]) -> None:
    """R4's own parameters are what a composite is put together from."""
    alone = official.extended({FIRST_CUSTOM: facts})
    for type in types:
        known = {one.url for one in official.of(type).values()}
        for definition, _ in facts["component"]:
            if definition not in known:
                raise Refused(
                    "component",
                    f"`{definition[:200]}` is no parameter of {type} in R4. A composite is put"
                    " together from R4's own.",
                )
        if not all(answerable(official, one) for one in alone.indexed(type)):
            raise Refused(
                "component",
                f"The components lead nowhere in {type}, or are of kinds that do not go together.",
            )


# --- whether its name is free --------------------------------------------------------------------


def _demand_free(
    official: Parameters, found: Sequence[Declaration], source: str, declared: Sequence[Declared]
) -> None:
    alive = [row for row in declared if row.state in (BUILDING, READY) and row.source != source]
    urls = {json.loads(one.facts)["url"] for one in found}
    alive = [row for row in alive if facts_of(row)["url"] not in urls]  # it may be the same one
    for one in found:
        for type in one.types:
            if (own := official.of(type).get(one.code)) is not None:
                raise Refused(
                    "code",
                    f"`{one.code}` of {type} is R4's own (`{own.url}`). Choose another code.",
                )
        for row in alive:
            if row.code == one.code and set(types_of(official, row.base)) & set(one.types):
                raise Refused(
                    "code",
                    f"`{one.code}` of {row.base} is declared already, by `{row.source}`. Choose"
                    " another code, or retire that one first.",
                )
    had = {(row.base, row.facts) for row in declared if row.source == source}
    new = sum((one.base, one.facts) not in had for one in found)
    if len(declared) + new > LAST_CUSTOM - FIRST_CUSTOM + 1:
        raise Refused(
            "base",
            "There are no numbers left for parameters in the index. Stop the server and run"
            " `fhir-server reindex`, which takes back those of definitions that are gone.",
        )
