"""criteria — what narrows a search, whichever way it is written.

https://hl7.org/fhir/R4/search.html#search-parameters
"""

from __future__ import annotations

from collections.abc import Callable

from fhir_server.foundation.outcome import Invalid, NotSupported
from fhir_server.search import filter, has, listed, telling, texts_asked
from fhir_server.search.chain import chained
from fhir_server.search.closest import closest, some
from fhir_server.search.criterion import Criterion, condition, locks
from fhir_server.search.result import RESULT
from fhir_server.search.scope import Asked, Scope
from fhir_server.store.contract import Condition

# What R4 has and this server has not. https://hl7.org/fhir/R4/search.html#summary-table
NOT_YET = {
    "_score": "Matches come by their date, newest first.",
}

# Criteria that are no SearchParameter with an expression, by the name before any `:`. They are
# given the scope, the whole name and the value.
SPECIAL: dict[str, Callable[[Scope, str, str], Condition]] = {
    "_content": texts_asked.content,
    "_text": texts_asked.text,
    has.NAME: has.reverse,
    filter.NAME: filter.filtered,
    "_explain": telling.refused,
    "_list": listed.in_list,
    "_query": listed.named_query,
}


def asked(scope: Scope, name: str, value: str) -> Asked:
    """What `name=value` asks. Raises Invalid, NotSupported."""
    # R4 search#modifiers:  [name]:[modifier]
    # R4 search#chaining:  [name](:[type])?.[name]
    code, _, modifier = name.partition(":")
    if code in SPECIAL:
        return Asked(SPECIAL[code](scope, name, value))
    if code in NOT_YET:
        raise NotSupported(f"`{code}` is not supported yet. {NOT_YET[code]}")
    if "." in name:
        return Asked(chained(scope, name, value))
    criterion = plain(scope, code, modifier or None, value)
    return Asked(condition(criterion, scope.parameters, scope.site), tuple(locks(criterion)))


def plain(scope: Scope, code: str, modifier: str | None, value: str) -> Criterion:
    """A parameter of each of the types. Raises Invalid where one has none of that name."""
    found = [scope.parameters.of(type).get(code) for type in scope.types]
    if not scope.types:
        found = [scope.parameters.everywhere().get(code)]
    known = tuple(parameter for parameter in found if parameter is not None)
    if not known or len(known) < len(found):
        raise Invalid(unknown(scope, code))
    return Criterion(code, modifier, value, known, scope.types)


def unknown(scope: Scope, code: str) -> str:
    """Why there is no such parameter, and which one may be meant."""
    scope.parameters.demand_ready(scope.types, code)
    if not scope.types:
        codes, whose = set(scope.parameters.everywhere()), "all types; give `_type`"
    else:
        of = [set(scope.parameters.of(type)) for type in scope.types]
        codes, whose = set.intersection(*of), " and ".join(scope.types[:5])
    known = sorted(codes | RESULT | SPECIAL.keys())
    hint = closest(code, known) or f" There are {some(_in_order(codes))}; `metadata` tells of each."
    return f"`{code[:64]}` is not a search parameter of {whose}.{hint}"


def _in_order(codes: set[str]) -> list[str]:
    """A type's own before those that every type has."""
    return sorted(codes, key=lambda code: (code.startswith("_"), code))
