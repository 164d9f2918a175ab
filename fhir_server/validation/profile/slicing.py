"""slicing — which slice a value belongs to, by the discriminators of its element.

https://hl7.org/fhir/R4/profiling.html#slicing
https://hl7.org/fhir/R4/profiling.html#discriminator
https://hl7.org/fhir/R4/valueset-discriminator-type.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from fhir_server.conformance.definitions import Field
from fhir_server.terminology.terms import Standing
from fhir_server.validation.profile.binding import CODES, Membership, TermsLike
from fhir_server.validation.profile.fixed import effort_of, fits, is_fixed
from fhir_server.validation.profile.path import (
    Found,
    Steps,
    Unreadable,
    defined,
    reached,
    steps,
    urls_of,
)
from fhir_server.validation.profile.scope import Box, Scope, bare
from fhir_server.validation.profile.tree import Bound, Discriminator, Node, Slicing

Match = Callable[[Any, Scope], bool]
Condition = Callable[[Found, Scope], bool]


class ProfilesLike(Protocol):
    """What is asked of all profiles."""

    @property
    def terms(self) -> TermsLike | None: ...
    def root(self, url: str) -> Node | None: ...
    def type_of(self, url: str) -> str | None: ...
    def is_base(self, url: str) -> bool: ...
    def conforms(self, value: Any, url: str, scope: Scope) -> bool: ...
    def is_a(self, type: str, general: str) -> bool: ...


class Key(NamedTuple):
    """A match that is nothing but a property of the value: `url`, `system`."""

    name: str
    value: str


class Matcher(NamedTuple):
    """Whether a value is of one slice. key: where that is a table's question."""

    match: Match
    key: Key | None = None


def never(_value: Any, _scope: Scope) -> bool:
    return False


def matcher(slicing: Slicing, node: Node, field: Field, profiles: ProfilesLike) -> Matcher | None:
    """How values of a field are known to be of a slice; None where only the slice's whole
    definition can tell (R4: a slicing without discriminators).

    Raises Unreadable where the slice says nothing by which it could be known.
    """
    if not slicing.discriminators:
        return None
    tests: list[Match] = []
    keys: list[Key | None] = []
    for discriminator in slicing.discriminators:
        found = _test(discriminator, node, field, profiles)
        if found is not None:
            tests.append(found.match)
            keys.append(found.key)
    if not tests:
        said = ", ".join(f"{d.type}:{d.path}" for d in slicing.discriminators)
        raise Unreadable(
            f"the slice `{node.slice_name}` of `{node.path}` says nothing at {said[:200]}"
        )
    if len(tests) == 1:
        return Matcher(tests[0], keys[0])
    return Matcher(lambda value, scope: all(test(value, scope) for test in tests))


def _test(told: Discriminator, node: Node, field: Field, profiles: ProfilesLike) -> Matcher | None:
    path = steps(told.path)
    match told.type:
        case "value" | "pattern":
            return _by_value(path, node, field, profiles)
        case "exists":
            return _by_existence(path, node, profiles)
        case "type":
            return _by_type(path, node, field, profiles)
        case "profile":
            return _by_profile(path, node, profiles)
    raise Unreadable(f"`{told.type[:40]}` is no type of discriminator")


# --- value and pattern ----------------------------------------------------------------------------


def _by_value(path: Steps, node: Node, field: Field, profiles: ProfilesLike) -> Matcher | None:
    if (url := _extension_url(path, node, profiles)) is not None:
        return _keyed("url", url)
    places = defined(node, path, profiles.root)
    told = [(n, c) for n in places if (c := _of(n, field, profiles))]
    if not told or all(each.max == 0 for each in places):
        return _by_existence(path, node, profiles)
    conditions = [condition for _, condition in told]
    if not path and len(told) == 1 and (key := _only(told[0][0])) is not None:
        return _keyed(*key)
    if len(path) == 1 and path[0].kind == "child" and len(told) == 1:
        [(only, _)] = told
        fixed = only.fixed or only.pattern
        if fixed is not None and isinstance(fixed.value, str) and not only.is_choice:
            return _keyed(path[0].said, fixed.value)

    def match(value: Any, scope: Scope) -> bool:
        values = reached(value, path, scope)
        scope.spend(len(values))
        return any(condition(found, scope) for found in values for condition in conditions)

    return Matcher(match)


def _only(node: Node) -> Key | None:
    """A pattern of one property that is a text: `{"system": "..."}`."""
    wanted = node.pattern.value if node.pattern and not node.fixed else None
    if not isinstance(wanted, dict) or len(wanted) != 1:
        return None
    [(name, value)] = wanted.items()
    return Key(name, value) if isinstance(value, str) else None


def _keyed(name: str, wanted: str) -> Matcher:
    def match(value: Any, _scope: Scope) -> bool:
        return isinstance(value, dict) and value.get(name) == wanted

    return Matcher(match, Key(name, wanted))


def _extension_url(path: Steps, node: Node, profiles: ProfilesLike) -> str | None:
    """The url of an extension's slice, which its definition tells even where it is not known."""
    if len(path) != 1 or path[0] != ("child", "url"):
        return None
    found = urls_of(node, profiles.root)
    return next(iter(found)) if len(found) == 1 else None


def _of(node: Node, field: Field | None, profiles: ProfilesLike) -> Condition | None:
    """What a definition wants of the value at a discriminator's path."""
    if node.fixed is not None or node.pattern is not None:
        typed = node.fixed or node.pattern
        assert typed is not None
        test = is_fixed(typed.value) if node.fixed else fits(typed.value)
        effort = None if node.fixed else effort_of(typed.value)
        if effort is None:
            return lambda found, _scope: test(bare(found.value))
        return lambda found, scope: (
            _spent(scope, effort(bare(found.value))) and test(bare(found.value))
        )
    if node.binding and node.binding.strength == "required":
        codes = [type.code for type in node.types if type.code in CODES]
        type = field.type.code if field and field.type.code in codes else None
        if profiles.terms is not None and codes:
            return _member(profiles.terms, node.binding, type or codes[0])
    return _of_parts(node, profiles)


def _spent(scope: Scope, steps: int) -> bool:
    scope.spend(steps)
    return True


def _member(terms: TermsLike, bound: Bound, type: str) -> Condition:
    membership = Membership(terms, bound.value_set, type)

    def condition(found: Found, scope: Scope) -> bool:
        value = bare(found.value)
        if value is None:
            return False
        standing = membership.verdict(value, scope)[0].standing
        return standing in (Standing.MEMBER, Standing.THEN)

    return condition


def _of_parts(node: Node, profiles: ProfilesLike) -> Condition | None:
    """A definition that fixes its children, or one of whose slices must be there."""
    parts: list[tuple[str, Condition]] = []
    needed = [s for s in node.slices if s.min and (c := _of(s, None, profiles))]
    if needed:
        wanted = [c for s in needed if (c := _of(s, None, profiles))]
        return lambda found, scope: any(c(found, scope) for c in wanted)
    for child in node.children:
        if child.max != 0 and (found := _of(child, None, profiles)) is not None:
            parts.append((child.name, found))
    if not parts:
        return None
    told = [(steps(name), condition) for name, condition in parts]

    def condition(found: Found, scope: Scope) -> bool:
        return all(
            any(test(below, scope) for below in reached(found.value, path, scope))
            for path, test in told
        )

    return condition


# --- exists, type, profile ------------------------------------------------------------------------


def _by_existence(path: Steps, node: Node, profiles: ProfilesLike) -> Matcher | None:
    """R4: the slices differ in whether the element is there, as min and max tell."""
    found = defined(node, path, profiles.root)
    if not path or not found:
        return None
    if all(each.max == 0 for each in found):
        return Matcher(lambda value, scope: not reached(value, path, scope))
    if any(each.min > 0 for each in found):
        return Matcher(lambda value, scope: bool(reached(value, path, scope)))
    return None


def _by_type(path: Steps, node: Node, field: Field, profiles: ProfilesLike) -> Matcher | None:
    found = defined(node, path, profiles.root)
    wanted = {type.code for each in found for type in each.types}
    wanted |= {each.path for each in found if "." not in each.path}  # the root of a profile
    if not wanted:
        return None
    if not path:
        return _of_field(field, wanted, profiles)

    def match(value: Any, scope: Scope) -> bool:
        return any(_is_of(each, wanted, profiles) for each in reached(value, path, scope))

    return Matcher(match)


def _of_field(field: Field, wanted: set[str], profiles: ProfilesLike) -> Matcher:
    if field.type.code == "Resource":
        return Matcher(lambda value, _scope: _is_of(Found(value), wanted, profiles))
    is_wanted = field.type.code in wanted
    return Matcher(lambda _value, _scope: is_wanted)


def _is_of(found: Found, wanted: set[str], profiles: ProfilesLike) -> bool:
    value = found.value
    type = value.get("resourceType") if isinstance(value, dict) else None
    if isinstance(type, str):
        return any(profiles.is_a(type, each) for each in wanted)
    if found.suffix:
        return found.suffix in {each[0].upper() + each[1:] for each in wanted if each}
    return _scalar_is(value, wanted)


def _scalar_is(value: Any, wanted: set[str]) -> bool:
    """A value whose name does not tell its type: its JSON type must be possible."""
    if value.__class__ is Box:
        return True
    if isinstance(value, dict):
        return any(each[:1].isupper() for each in wanted)
    return any(each[:1].islower() for each in wanted)


def _by_profile(path: Steps, node: Node, profiles: ProfilesLike) -> Matcher | None:
    urls = _profiles_at(path, node, profiles)
    if not urls:
        return _by_type_at_resolve(path, node, profiles)

    def match(value: Any, scope: Scope) -> bool:
        for found in reached(value, path, scope):
            inner = scope
            if isinstance(found.value, dict) and "resourceType" in found.value:
                if len(found.value) == 1:
                    if any(found.value["resourceType"] == profiles.type_of(u) for u in urls):
                        return True
                    continue
                inner = scope.inner(found.value)
            if any(profiles.conforms(found.value, url, inner) for url in urls):
                return True
        return False

    return Matcher(match)


def _profiles_at(path: Steps, node: Node, profiles: ProfilesLike) -> list[str]:
    """The profiles named where a path ends: of the types, or of the targets of resolve()."""
    if path and path[-1].kind == "resolve":
        before = defined(node, path[:-1], profiles.root)
        return [url for each in before for type in each.types for url in type.targets]
    found = defined(node, path, profiles.root)
    return [url for each in found for type in each.types for url in type.profiles]


def _by_type_at_resolve(path: Steps, node: Node, profiles: ProfilesLike) -> Matcher | None:
    """A profile's place that names only a type: the type tells, where there could be another."""
    found = defined(node, path, profiles.root)
    wanted = {type.code for each in found for type in each.types}
    could_differ = any(each.is_choice for each in found) or any(
        profiles.is_a(code, "Resource") for code in wanted
    )
    if not path or not could_differ:
        return None
    return Matcher(
        lambda value, scope: any(
            _is_of(each, wanted, profiles) for each in reached(value, path, scope)
        )
    )
