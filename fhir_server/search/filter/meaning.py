"""meaning — what a filter asks of the resources of a scope.

https://hl7.org/fhir/R4/search_filter.html
"""

from __future__ import annotations

from fhir_server.foundation.outcome import FhirError, NotSupported
from fhir_server.search.chain import knowing, targets
from fhir_server.search.criterion import any_of
from fhir_server.search.filter.compare import compared
from fhir_server.search.filter.tree import Comparison, Filter, Joined, Negated, Step
from fhir_server.search.link import followable, through
from fhir_server.search.parameters import Parameter
from fhir_server.search.scope import Scope
from fhir_server.store.contract import AllOf, Condition, Not


def meaning(scope: Scope, filter: Filter) -> Condition:
    """Raises Invalid, NotSupported, saying where in the text."""
    match filter:
        case Joined("and", parts):
            return AllOf(tuple(meaning(scope, part) for part in parts))
        case Joined(_, parts):
            return any_of(meaning(scope, part) for part in parts)
        case Negated(inner):
            return Not(meaning(scope, inner))
        case Comparison(path):
            return _test(scope, filter, path)


def _test(scope: Scope, test: Comparison, path: tuple[Step, ...]) -> Condition:
    step, *onward = path
    if step.name.startswith("_") and not scope.parameters.of("Basic").get(step.name):
        raise _located(NotSupported(f"`{step.name}` does not stand within a filter."), step.at)
    if not onward:
        try:
            return compared(scope, step.name, test.operator, test.value)
        except FhirError as refusal:
            raise _located(refusal, step.at) from refusal
    try:
        links, types = _followed(scope, step, onward)
    except FhirError as refusal:
        raise _located(refusal, step.at) from refusal

    def asked(inner: Scope) -> Condition:
        """Of one and the same resource: the filter in brackets, and the rest of the path."""
        rest = _test(inner, test, tuple(onward))
        return rest if step.filter is None else AllOf((meaning(inner, step.filter), rest))

    return through(scope, links, types, asked)


def _followed(
    scope: Scope, step: Step, onward: list[Step]
) -> tuple[tuple[Parameter, ...], tuple[str, ...]]:
    if step.filter is not None:
        _is_reference(scope, step)
    links = followable(scope, step.name, scope.types)
    types = targets(scope, links)
    for name in (".".join(one.name for one in onward), *_first_names(step.filter)):
        types = knowing(scope, types, name, step.name)
    return links, types


def _is_reference(scope: Scope, step: Step) -> None:
    """R4's examples also filter within an element (`related[type eq x].target`)."""
    for type in scope.types:
        found = scope.parameters.of(type).get(step.name)
        if found is None or found.type != "reference":
            composites = [
                p.code for p in scope.parameters.of(type).values() if p.type == "composite"
            ]
            told = ", ".join(f"`{code}`" for code in sorted(composites))
            raise NotSupported(
                f"`{step.name}[...]` would filter within an element of {type}. Brackets follow a "
                "reference; what stands together in an element is found by a composite parameter"
                f"{f': {told}' if told else ''}."
            )


def _first_names(filter: Filter | None) -> list[str]:
    match filter:
        case None:
            return []
        case Joined(_, parts):
            return [name for part in parts for name in _first_names(part)]
        case Negated(inner):
            return _first_names(inner)
        case Comparison(path):
            return [path[0].name]


def _located(refusal: FhirError, at: int) -> FhirError:
    if "`_filter`" in str(refusal):
        return refusal
    return type(refusal)(f"`_filter`, at character {at + 1}: {refusal}")
