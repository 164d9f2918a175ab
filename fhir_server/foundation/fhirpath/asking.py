"""asking — the functions whose answer only the layers above know: profiles, codes, narratives.

https://hl7.org/fhir/R4/fhirpath.html#functions
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fhir_server.foundation.fhirpath.items import Item, made, plain
from fhir_server.foundation.fhirpath.scope import Evaluated, Scope, Services, one, value_of
from fhir_server.foundation.outcome import Invalid

Args = tuple[Evaluated, ...]
Body = Callable[[Scope, list[Item], Args], list[Item]]
Answer = TypeVar("Answer")
TRUE, FALSE = ([made(truth)] for truth in (True, False))


def _services(scope: Scope, name: str) -> Services:
    if scope.run.services is None:
        raise Invalid(f"FHIRPath: `{name}()` cannot be answered here.")
    scope.run.spend(100)  # each is far more than a step
    return scope.run.services


def _told(answer: Answer | None, what: str) -> Answer:
    # R4: what cannot be resolved is an error, since no answer is neither yes nor no
    if answer is None:
        raise Invalid(f"FHIRPath: {what}.")
    return answer


def _argument(scope: Scope, arg: Evaluated, name: str) -> str:
    value = value_of(arg(scope), f"`{name}()`")
    if not isinstance(value, str):
        raise Invalid(f"FHIRPath: `{name}()` needs a text.")
    return value


def _member_of(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    item = one(focus, "`memberOf()`")
    value_set = _argument(scope, args[0], "memberOf")
    if item is None:
        return []
    answer = _services(scope, "memberOf").member_of(value_set, item)
    return [made(_told(answer, f"it cannot be told what is in `{value_set[:200]}`"))]


def _conforms_to(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    item = one(focus, "`conformsTo()`")
    profile = _argument(scope, args[0], "conformsTo")
    if item is None:
        return []
    answer = _services(scope, "conformsTo").conforms_to(item, profile)
    return [made(_told(answer, f"the profile `{profile[:200]}` is not known"))]


def _html_checks(scope: Scope, focus: list[Item], _: Args) -> list[Item]:
    # R4: undefined for anything but one xhtml; txt-1 and txt-2 are asked of the element itself
    if len(focus) != 1 or focus[0].type != "xhtml" or not isinstance(focus[0].value, str):
        return []
    return [made(not _services(scope, "htmlChecks").html_problems(focus[0].value))]


def _subsumption(name: str, *, swapped: bool) -> Body:
    def told(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
        item, other = one(focus, f"`{name}()`"), one(args[0](scope), f"`{name}()`")
        if item is None or other is None:
            return []
        pairs = [
            (one_system, code, another)
            for one_system, code in _codings(item)
            for other_system, another in _codings(other)
            if one_system == other_system
        ]
        services = _services(scope, name)
        for system, code, another in pairs:
            scope.run.spend(100)
            upper, lower = (another, code) if swapped else (code, another)
            answer = services.subsumes(system, upper, lower)
            if _told(answer, f"it cannot be told which code of `{system[:200]}` is above which"):
                return TRUE
        return FALSE

    return told


def _codings(item: Item) -> list[tuple[str, str]]:
    """System and code of a Coding, or of each coding of a CodeableConcept."""
    value: Any = item.value
    if not isinstance(value, dict) or item.type not in ("Coding", "CodeableConcept"):
        raise Invalid("FHIRPath: `subsumes()` is for a Coding or a CodeableConcept.")
    listed = value.get("coding") if item.type == "CodeableConcept" else [value]
    codings = [coding for coding in listed or () if isinstance(coding, dict)]
    pairs = [(coding.get("system"), coding.get("code")) for coding in codings]
    return [(s, c) for s, c in pairs if isinstance(s, str) and isinstance(c, str)]


def _element_definition(scope: Scope, focus: list[Item], _: Args) -> list[Item]:
    found = []
    for item in focus:
        definition = _services(scope, "elementDefinition").element_definition(item)
        if definition is not None:
            found.append(Item(definition, "ElementDefinition", "ElementDefinition"))
    return found


def _slice(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    structure, name = (_argument(scope, arg, "slice") for arg in args)
    services, found = _services(scope, "slice"), []
    for item in focus:
        answer = services.in_slice(item, structure, name)
        if _told(answer, f"`{structure[:200]}` with a slice `{name[:50]}` is not known"):
            found.append(item)
    return found


def _check_modifiers(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    allowed = {plain(item) for arg in args for item in arg(scope)}
    for item in focus:
        for extension in scope.run.model.child(item, "modifierExtension"):
            value: Any = extension.value
            url = value.get("url") if isinstance(value, dict) else None
            if url not in allowed:
                raise Invalid(f"FHIRPath: the modifier extension `{str(url)[:200]}` is unknown.")
    return focus


FUNCTIONS: dict[str, tuple[Body, int, int]] = {
    "memberOf": (_member_of, 1, 1),
    "conformsTo": (_conforms_to, 1, 1),
    "htmlChecks": (_html_checks, 0, 0),
    "subsumes": (_subsumption("subsumes", swapped=False), 1, 1),
    "subsumedBy": (_subsumption("subsumedBy", swapped=True), 1, 1),
    "elementDefinition": (_element_definition, 0, 0),
    "slice": (_slice, 2, 2),
    "checkModifiers": (_check_modifiers, 0, 20),
}
