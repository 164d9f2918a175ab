"""has — a criterion on what refers to a resource: `_has:Observation:patient:code=1234-5`.

https://hl7.org/fhir/R4/search.html#has
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fhir_server.foundation.outcome import Invalid
from fhir_server.search.link import followable, known_type
from fhir_server.search.owner import owned
from fhir_server.search.parameters import Parameter
from fhir_server.search.scope import Scope
from fhir_server.store.contract import Condition, ReferredBy

NAME = "_has"


class Has(NamedTuple):
    """The referring type's parameter, and what is asked of a resource of that type."""

    link: Parameter
    rest: str


def reverse(scope: Scope, name: str, value: str) -> Condition:
    asked = _parted(scope, name)
    link = asked.link
    _may_be_referred_to(link, scope.types)
    return ReferredBy(
        (link.number,),
        (link.of,),
        scope.linked((link.of,)).condition(asked.rest, value),
        owned=scope.types == ("Patient",) and owned(scope.parameters, link),
    )


def referred(scope: Scope, name: str, types: Sequence[str]) -> tuple[str, ...]:
    """Those of the types that the parameter refers to. Raises Invalid where it never does."""
    link = _parted(scope, name).link
    found = tuple(type for type in types if not link.targets or type in link.targets)
    _may_be_referred_to(link, found or types)
    return found


def _parted(scope: Scope, name: str) -> Has:
    # R4 search#has:  _has:[type]:[reference parameter]:[name]
    parts = name.split(":", 3)
    if len(parts) < 4 or parts[0] != NAME or not all(parts):
        raise Invalid(
            f"`{name[:80]}` names no criterion. `_has` is written with the type that refers, the "
            "parameter by which it does, and what is asked of it: "
            "`_has:Observation:patient:code=1234-5`."
        )
    _, type, code, rest = parts
    (link,) = followable(scope, code, (known_type(scope, type, name),))
    return Has(link, rest)


def _may_be_referred_to(link: Parameter, types: Sequence[str]) -> None:
    """A row of the index does not tell of which type its target is, so that has to be sure."""
    if not link.targets:
        return
    named = f"`{link.code}` of {link.of}"
    if not types and link.narrowed:
        raise Invalid(
            f"{named} refers to a {link.targets[0]}: search that type, not all, or say `_type`."
        )
    never = [type for type in types if type not in link.targets]
    if never:
        shown = ", ".join(f"`{type}`" for type in link.targets[:8])
        raise Invalid(f"{named} never refers to a {never[0]}; it refers to {shown}.")
