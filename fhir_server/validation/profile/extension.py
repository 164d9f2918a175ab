"""extension — every extension against its own definition, and whether it may stand where it does.

https://hl7.org/fhir/R4/extensibility.html
https://hl7.org/fhir/R4/defining-extensions.html#context

An extension that is not known is allowed: anyone may add one. A modifierExtension that is not
known is a warning: R4 extensibility#modifierExtension asks of an application that *processes* the
data to refuse what it does not understand, but lets one that only stores and hands on the
resource do so; this server keeps the whole resource, so it tells and does not refuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson

from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.fhirpath.evaluate import compile
from fhir_server.foundation.outcome import Invalid, Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.messages import issue
from fhir_server.validation.profile.context import contexts_of, is_named, names_of, node_of
from fhir_server.validation.profile.kept import Kept, text_of
from fhir_server.validation.profile.known import Profile, Profiles
from fhir_server.validation.profile.scope import AROUND, Scope

MODIFIER = "modifierExtension"
EXTENSIONS = {"extension", MODIFIER}
WRITTEN = b'xtension":'  # either of them, as JSON
OF_RESOURCES = {"Bundle", "Parameters"}  # in which others stand, which are looked at for themselves
MAX_KEPT = 10_000  # answers kept for places and urls: a client can nest without end
MAX_TOLD = 12
STEPS_OF_EXPRESSION = 20  # that is asked, whatever it takes


class Use(NamedTuple):
    """One extension where it stands.

    owner: the object whose extension it is. place: the path of that without indices, beginning
    with a type. within: the url of the extension it is part of, or ''.
    """

    extension: dict[str, Any]
    owner: dict[str, Any]
    place: str
    name: str
    within: str


class _Listed(NamedTuple):
    """The extensions of one object, all of one name."""

    extensions: list[Any]
    owner: dict[str, Any]
    place: str
    name: str
    within: str


class Extensions:
    """What is asked of all extensions of a resource."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles
        self._definitions = profiles.definitions
        self._fine: dict[tuple[str, str, str, str], Profile | None] = {}
        self._kept = Kept(self._hold_all)
        self._usual: dict[str, tuple[str, ...]] = {}  # the elements that had some, by type

    # --- the fast answer -------------------------------------------------------------------------

    def hold(self, resource: Resource, scope: Scope) -> bool:
        """Whether all extensions of a resource are as they should be."""
        type = resource["resourceType"]
        left = _count(_shell(resource) if type == "Bundle" else resource)
        if left is None or (left and type in OF_RESOURCES):
            return self._scan(resource, type, "", scope)
        if not left:
            return True
        if "period" in resource:
            scope.periods = resource["period"], scope.periods
        usual = self._usual.get(type, ())
        unseen = self._look(resource, usual, left, scope)
        if unseen:
            others = [name for name in resource if name not in usual]
            unseen = self._look(resource, others, unseen, scope)
        return unseen is not None

    def _look(
        self, resource: dict[str, Any], names: Iterable[str], left: int, scope: Scope
    ) -> int | None:
        """How many extensions there are but in these elements; None where one is not good."""
        type = resource["resourceType"]
        for name in names:
            value = resource.get(name)
            if value.__class__ is not dict and value.__class__ is not list:
                continue
            count = (_count(value) or 0) + (name in EXTENSIONS)
            if not count:
                continue
            if not self._member(resource, name, value, (type, ""), scope):
                return None
            if name not in self._usual.get(type, ()):
                self._usual[type] = (*self._usual.get(type, ()), name)
            left -= count
            if not left:
                break
        return left

    def _scan(self, owner: dict[str, Any], place: str, within: str, scope: Scope) -> bool:
        if "period" not in owner:
            return self._members(owner, place, within, scope)
        before = scope.periods
        scope.periods = owner["period"], before
        try:
            return self._members(owner, place, within, scope)
        finally:
            scope.periods = before

    def _members(self, owner: dict[str, Any], place: str, within: str, scope: Scope) -> bool:
        for name, value in owner.items():
            kind = value.__class__
            if (kind is dict or kind is list) and not self._member(
                owner, name, value, (place, within), scope
            ):
                return False
        return True

    def _member(
        self, owner: dict[str, Any], name: str, value: Any, at: tuple[str, str], scope: Scope
    ) -> bool:
        place, within = at
        if value.__class__ is dict:
            return "resourceType" in value or self._scan(value, f"{place}.{name}", "", scope)
        if name in EXTENSIONS:
            return self._listed(_Listed(value, owner, place, name, within), scope)
        there = f"{place}.{name}"
        for each in value:
            if (
                each.__class__ is dict
                and "resourceType" not in each
                and not self._scan(each, there, "", scope)
            ):
                return False
        return True

    def _listed(self, told: _Listed, scope: Scope) -> bool:
        """All extensions of one place. Most are there as they were in another resource."""
        text = text_of(told.extensions)
        if text is None:
            return self._hold_all(told, scope)
        return self._kept.holds((told.place, told.within, told.name, text), told, scope)

    def _hold_all(self, told: _Listed, scope: Scope) -> bool:
        listed, owner, place, name, within = told
        scope.spend(len(listed))
        for extension in listed:
            url = extension.get("url") if extension.__class__ is dict else None
            if url.__class__ is not str:
                continue
            key = place, within, name, url
            if key in self._fine:
                profile = self._fine[key]
            else:
                use = Use(extension, owner, place, name, within)
                profile = self._profile(url)
                if next(self._of_use(use, profile, scope, ""), None) is not None:
                    return False
                if self._depends(profile):
                    scope.touched |= AROUND
                else:
                    self._keep(key, profile)
            if profile is not None and not _is_good(profile, extension, listed, scope):
                return False
            if not self._inner(extension, place, name, url, scope):
                return False
        return True

    def _inner(
        self, extension: dict[str, Any], place: str, name: str, url: str, scope: Scope
    ) -> bool:
        """What is within an extension: its own parts, and the extensions of its value."""
        for value in extension.values():
            if value.__class__ is not str:
                return self._scan(extension, f"{place}.{name}", url, scope)
        return True

    def _keep(self, key: tuple[str, str, str, str], profile: Profile | None) -> None:
        if len(self._fine) >= MAX_KEPT:
            self._fine.clear()
        self._fine[key] = profile

    def _profile(self, url: str) -> Profile | None:
        """The definition of an extension; relative urls are parts of the one around them."""
        if ":" not in url:
            return None
        found = self._profiles.profile(url)
        return found if isinstance(found, Profile) and found.type == "Extension" else None

    # --- the use of one --------------------------------------------------------------------------

    def _of_use(
        self, use: Use, profile: Profile | None, scope: Scope, path: str
    ) -> Iterator[Issue]:
        """What is wrong with where an extension stands."""
        url = use.extension["url"]
        if profile is None:
            if ":" not in url:
                return
            if use.name == MODIFIER:
                yield issue("modifier-unknown", path, url=url)
            elif scope.around.thorough:
                yield issue("extension-unknown", path, url=url)
            return
        is_modifier = _is_modifier(profile)
        if is_modifier != (use.name == MODIFIER):
            key = "extension-modifier" if is_modifier else "extension-modifier.not"
            yield issue(key, path, profile=profile.url, url=url)
        if not self._is_in_context(use, profile, scope):
            contexts = [text for _, text in contexts_of(profile.structure)]
            yield issue(
                "extension-context",
                path,
                profile=profile.url,
                url=url,
                place=use.within or use.place,
                contexts=contexts[:MAX_TOLD],
            )
        yield from self._invariants(use, profile, scope, path)

    def _depends(self, profile: Profile | None) -> bool:
        """Whether its use depends on more than the place."""
        if profile is None:
            return False
        if profile.structure.get("contextInvariant"):
            return True
        return any(type == "fhirpath" for type, _ in contexts_of(profile.structure))

    def _is_in_context(self, use: Use, profile: Profile, scope: Scope) -> bool:
        contexts = contexts_of(profile.structure)
        if not contexts:
            return True
        scope.spend(len(contexts))
        names = names_of(self._definitions, use.place, is_within=bool(use.within))
        for type, expression in contexts:
            match type:
                case "element":
                    if expression.rpartition("#")[2] in names or is_named(expression, names):
                        return True
                case "extension":
                    if use.within and expression.partition("#")[0] == use.within:
                        return True
                case "fhirpath":
                    if self._selects(expression, use.owner, scope):
                        return True
                case _:
                    return True  # not of R4: nothing can be said
        return False

    def _selects(self, expression: str, owner: dict[str, Any], scope: Scope) -> bool:
        try:
            compiled = compile(expression, self._definitions)
            scope.spend(STEPS_OF_EXPRESSION)
            found = compiled.evaluate(scope.resource, meter=scope.env.meter)
        except Invalid:
            return True
        truths = [item.value for item in found if item.type == "System.Boolean"]
        if truths:
            return bool(truths == [True])
        return any(item.value is owner or item.beside is owner for item in found)

    def _invariants(self, use: Use, profile: Profile, scope: Scope, path: str) -> Iterator[Issue]:
        told = profile.structure.get("contextInvariant")
        for expression in told if isinstance(told, list) else ():
            try:
                compiled = compile(expression, self._definitions)
                item = _item_of(scope, use.owner, self._definitions)
                given = {"extension": use.extension}
                holds = compiled.is_true(item, variables=given, meter=scope.env.meter)
            except Invalid:
                continue  # what cannot be asked is not refused
            if not holds:
                said = {"url": use.extension["url"], "condition": expression}
                yield issue("extension-context.invariant", path, profile=profile.url, **said)

    # --- the walk --------------------------------------------------------------------------------

    def issues(self, resource: Resource, scope: Scope, path: str) -> Iterator[Issue]:
        """Everything that is wrong with the extensions of a resource."""
        yield from self._walk(resource, resource["resourceType"], "", scope, path)

    def _walk(
        self, owner: dict[str, Any], place: str, within: str, scope: Scope, path: str
    ) -> Iterator[Issue]:
        before = scope.periods
        if "period" in owner:
            scope.periods = owner["period"], before
        for name, value in owner.items():
            below = f"{path}.{self._said(place, name)}"
            if name in EXTENSIONS and isinstance(value, list):
                yield from self._walk_listed(owner, value, (place, name, within), scope, below)
            elif isinstance(value, list):
                for index, each in enumerate(value):
                    if isinstance(each, dict) and "resourceType" not in each:
                        inner = f"{below}[{index}]"
                        yield from self._walk(each, f"{place}.{name}", "", scope, inner)
            elif isinstance(value, dict) and "resourceType" not in value:
                yield from self._walk(value, f"{place}.{name}", "", scope, below)
        scope.periods = before

    def _said(self, place: str, name: str) -> str:
        """The name of a property as FHIRPath has it: `value` for `valueQuantity`."""
        bare = name.removeprefix("_")
        found = node_of(self._definitions, place)
        field = self._definitions.children(found).get(bare) if found else None
        return field.element.name if field else bare

    def _walk_listed(
        self,
        owner: dict[str, Any],
        extensions: list[Any],
        at: tuple[str, str, str],
        scope: Scope,
        path: str,
    ) -> Iterator[Issue]:
        place, name, within = at
        seen: set[str] = set()
        for index, extension in enumerate(extensions):
            url = extension.get("url") if isinstance(extension, dict) else None
            if not isinstance(url, str):
                continue
            there, profile = f"{path}[{index}]", self._profile(url)
            use = Use(extension, owner, place, name, within)
            yield from self._of_use(use, profile, scope, there)
            if profile is not None:
                if url in seen and _is_single(profile):
                    yield issue("extension-max", there, profile=profile.url, url=url)
                yield from self._profiles.issues(extension, url, scope, there)
            seen.add(url)
            yield from self._walk(extension, f"{place}.{name}", url, scope, there)


def _shell(bundle: dict[str, Any]) -> dict[str, Any]:
    """A Bundle without what its entries hold, which is looked at for itself."""
    entries = bundle.get("entry") or ()
    return {**bundle, "entry": [{**entry, "resource": None} for entry in entries]}


def _count(value: Any) -> int | None:
    """How many `extension`s there are in a value, or more. It is a tenth of looking for them."""
    try:
        return orjson.dumps(value, default=str).count(WRITTEN)
    except TypeError:  # a number too large, or deeper than orjson goes
        return None


# --- definitions ----------------------------------------------------------------------------------


def _is_modifier(profile: Profile) -> bool:
    return profile.root.is_modifier


def _is_single(profile: Profile) -> bool:
    """Whether the definition lets it stand but once in a place."""
    return profile.root.max == 1


def _is_good(profile: Profile, extension: dict[str, Any], listed: list[Any], scope: Scope) -> bool:
    """Whether an extension is as its definition asks, and not there too often."""
    if not profile.holds(extension, scope):
        return False
    return len(listed) == 1 or not _is_single(profile) or not _is_repeated(listed, profile.url)


def _is_repeated(extensions: list[Any], url: str) -> bool:
    return len([e for e in extensions if isinstance(e, dict) and e.get("url") == url]) > 1


def _item_of(scope: Scope, owner: dict[str, Any], definitions: Definitions) -> Any:
    """The owner as an item that knows what it stands in; found by looking for it."""
    everything = compile("descendants()", definitions)
    scope.spend(STEPS_OF_EXPRESSION)
    for item in everything.evaluate(scope.resource, meter=scope.env.meter):
        if item.value is owner or item.beside is owner:
            return item
    return scope.resource
