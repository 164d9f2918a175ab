"""chain — a criterion on what a resource refers to: `subject:Patient.name=duc`.

https://hl7.org/fhir/R4/search.html#chaining

Where a reference may be to several types, all of those are asked that know the parameter named
next. R4 would have a server refuse a chain whose reference names by its id alone resources of
several types; here a reference is its target's type and id, so there is nothing to mistake.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.foundation.outcome import Invalid
from fhir_server.search import has
from fhir_server.search.apart import APART
from fhir_server.search.criterion import any_of
from fhir_server.search.link import followable, known_type, leads_on, no_parameter, through
from fhir_server.search.parameters import Parameter
from fhir_server.search.scope import Scope
from fhir_server.store.contract import Condition

EVERYWHERE = frozenset({"_filter", "_list", "_text", "_content"})  # what every type can be asked


def chained(scope: Scope, name: str, value: str) -> Condition:
    # R4 search#chaining:  [name](:[type])?.[name]
    head, _, rest = name.partition(".")
    code, colon, type = head.partition(":")
    if not code or not rest or (colon and not type):
        raise Invalid(
            f"`{name[:80]}` is no chain. A chain is written `subject.name`, or with the type it "
            "leads to, `subject:Patient.name`."
        )
    links = followable(scope, code, scope.types)
    types = knowing(scope, targets(scope, links, type or None, name), rest, code)
    return any_of(
        through(scope, links, some, lambda inner: inner.condition(rest, value))
        for some in _alike(scope, types, rest)
    )


def targets(
    scope: Scope, links: Sequence[Parameter], type: str | None = None, asked: str = ""
) -> tuple[str, ...]:
    """The types a reference may be to that are searched; where one is named (in the criterion
    `asked`), that one. Raises Invalid, NotSupported."""
    everything = sorted(scope.parameters.definitions.resource_types)
    types = {target for link in links for target in link.targets or everything}
    if type is None:
        return tuple(sorted(types - {APART}))
    if known_type(scope, type, asked) not in types:
        shown = ", ".join(f"`{one}`" for one in sorted(types)[:8])
        raise Invalid(
            f"`{links[0].code}` of {links[0].of} cannot refer to `{type}`; it refers to {shown}"
            f"{'' if len(types) <= 8 else f' and {len(types) - 8} more'}."
        )
    return (type,)


def knowing(scope: Scope, types: Sequence[str], rest: str, code: str) -> tuple[str, ...]:
    """Those of the types that can be asked what comes next. Raises Invalid where none can."""
    following = _first(rest)
    if following == has.NAME:
        return has.referred(scope, rest, types)
    if following in EVERYWHERE:
        return tuple(types)
    scope.parameters.demand_ready(types, following)
    found = tuple(type for type in types if following in scope.parameters.of(type))
    if not found:
        told = no_parameter(scope, following, types)
        raise Invalid(f"`{code}` cannot be followed by `.{following[:64]}`. {told}")
    if "." in rest:  # the chain goes on, and in some types it may not
        onward = tuple(
            type for type in found if leads_on(scope.parameters.of(type)[following]) is None
        )
        return onward or found
    return found


def _first(rest: str) -> str:
    """The code of the parameter named next."""
    return rest.partition(".")[0].partition(":")[0]


def _alike(scope: Scope, types: Sequence[str], rest: str) -> list[tuple[str, ...]]:
    """The types that can be asked together: a main date has its own place in the index."""
    code = _first(rest)
    of = scope.parameters.of
    main = tuple(type for type in types if code in of(type) and of(type)[code].main)
    others = tuple(type for type in types if type not in main)
    return [some for some in (main, others) if some]
