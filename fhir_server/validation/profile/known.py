"""known — the profiles that are known, each compiled when it is first asked for.

https://hl7.org/fhir/R4/profiling.html
https://hl7.org/fhir/R4/structuredefinition.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fhir_server.conformance.canonicals import Canonicals
from fhir_server.conformance.definitions import Definitions
from fhir_server.conformance.snapshot.broken import BrokenProfile
from fhir_server.foundation.outcome import FhirError, Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.messages import issue
from fhir_server.validation.profile.binding import TermsLike
from fhir_server.validation.profile.compiled import Compiler
from fhir_server.validation.profile.member import Check
from fhir_server.validation.profile.plan import InvariantsLike, Planner, Value
from fhir_server.validation.profile.scope import AROUND, MAX_DEPTH, Scope, boxed
from fhir_server.validation.profile.tree import R4_TYPE, Node, tree
from fhir_server.validation.profile.walk import Walk

KIND = "StructureDefinition"
NOT_USABLE = (
    BrokenProfile,
    FhirError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


class SnapshotsLike(Protocol):
    """The elements of a snapshot, carried or made: conformance.snapshot.Snapshots has them."""

    def elements(self, url: str) -> tuple[dict[str, Any], ...]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """A profile, ready to be asked."""

    url: str
    type: str
    structure: Resource
    root: Node
    plan: Value
    holds: Check
    walk: Walk
    weight: int  # the steps it takes to ask, but for the lists within

    @property
    def is_abstract(self) -> bool:
        return self.structure.get("abstract") is True


@dataclass(frozen=True, slots=True)
class Unusable:
    """A profile that is known and cannot be used, and why."""

    url: str
    why: str


class Profiles:
    """All profiles. One for all threads: two that compile the same one make the same."""

    def __init__(
        self,
        definitions: Definitions,
        canonicals: Canonicals,
        snapshots: SnapshotsLike,
        *,
        terms: TermsLike | None = None,
        invariants: InvariantsLike | None = None,
        before_making: Callable[[], None] = lambda: None,
    ) -> None:
        self._before_making = before_making
        self.definitions = definitions
        self.canonicals = canonicals
        self.snapshots = snapshots
        self.terms = terms
        self.invariants = invariants
        self._profiles: dict[str, Profile | Unusable | None] = {}
        self._roots: dict[str, Node | None] = {}
        self._ready: dict[str, Profile] = {}

    # --- what is known ---------------------------------------------------------------------------

    def is_base(self, url: str) -> bool:
        """Whether it is a type of R4 itself, of which nothing is left to ask."""
        url = url.partition("|")[0]
        return url.startswith(R4_TYPE) and url[len(R4_TYPE) :] in self.definitions.all_types

    def is_known(self, url: str) -> bool:
        return self.canonicals.entry(url, KIND) is not None

    def type_of(self, url: str) -> str | None:
        """The type a profile is of; None where it is not known."""
        if self.is_base(url):
            return url.partition("|")[0].removeprefix(R4_TYPE)
        structure = self.canonicals.get(url, KIND)
        type = structure.get("type") if structure else None
        return type.removeprefix(R4_TYPE) if isinstance(type, str) else None

    def is_a(self, type: str, general: str) -> bool:
        """Whether a type is another, or derives from it."""
        if type == general:
            return True
        try:
            return general in self.definitions.ancestors(type)
        except KeyError:
            return False

    def root(self, url: str) -> Node | None:
        """The tree of a profile; None where there is none to be had."""
        if self.is_base(url):
            return Node(url.partition("|")[0].removeprefix(R4_TYPE), "")
        if url not in self._roots:
            try:
                whole = tree(self.snapshots.elements(url.partition("#")[0]))
                self._roots[url] = _element(whole, url)
            except NOT_USABLE:
                self._roots[url] = None
        return self._roots[url]

    def profile(self, url: str) -> Profile | Unusable | None:
        """The profile a canonical names; None where it is not known."""
        if url not in self._profiles:
            if not self.is_known(url):
                return None  # and not kept: clients would fill the table
            self._before_making()
            self._profiles[url] = self._made(url)
        return self._profiles[url]

    def ready(self, url: str) -> Profile | None:
        """A profile that was asked before, whose type is not one of R4's own, nor abstract."""
        return self._ready.get(url)

    def _made(self, url: str) -> Profile | Unusable:
        structure = self.canonicals.get(url, KIND)
        type = self.type_of(url)
        if structure is None or type not in self.definitions.all_types:
            return Unusable(url, f"`{type}` is not a type of R4")
        bare = url.partition("|")[0].partition("#")[0]
        try:
            whole = tree(self.snapshots.elements(url.partition("#")[0]))
            root = _element(whole, url)
            is_carried = "snapshot" in structure
            plan = Planner(self, bare, root, whole, is_carried=is_carried).plan(type)
            compiler = Compiler(self.conforms)
            holds, walk = compiler.value(plan), Walk(self, bare, compiler)
            return Profile(bare, type, structure, root, plan, holds, walk, plan.weight())
        except NOT_USABLE as broken:
            return Unusable(bare, _why(broken))
        except RecursionError:
            return Unusable(bare, "it goes too deep")

    # --- asking ----------------------------------------------------------------------------------

    def conforms(self, value: Any, url: str, scope: Scope) -> bool:
        """Whether a value surely is as a profile asks. What cannot be asked is not refused."""
        profile = self._ready.get(url)
        if profile is None:
            if self.is_base(url):
                return self._is_of_type(value, url)
            found = self.profile(url)
            if not isinstance(found, Profile):
                return True
            profile = found
            if not profile.is_abstract:
                self._ready[url] = profile
        scope.spend(profile.weight)
        if value.__class__ is not dict:
            if profile.type not in self.definitions.primitive_types:
                return False
            return profile.holds(boxed(value), scope)
        if "resourceType" not in value:
            return profile.holds(value, scope)
        return self._resource_conforms(value, profile, scope)

    def _resource_conforms(self, value: Resource, profile: Profile, scope: Scope) -> bool:
        scope.touched |= AROUND  # it is looked at no more while it is being looked at
        around = scope.around
        key = id(value), profile.url
        known = around.memo.get(key)
        if known is not None:
            return known
        if not self.is_a(value["resourceType"], profile.type):
            return False
        if around.depth >= MAX_DEPTH:
            return True
        around.memo[key] = True  # so it is, unless it is refused: profiles may be circular
        around.depth += 1
        try:
            found = around.memo[key] = profile.holds(value, scope)
        finally:
            around.depth -= 1
        return found

    def _is_of_type(self, value: Any, url: str) -> bool:
        type = value.get("resourceType") if isinstance(value, dict) else None
        return not isinstance(type, str) or self.is_a(type, self.type_of(url) or "")

    def issues(self, value: Any, url: str, scope: Scope, path: str) -> Iterator[Issue]:
        """What is wrong with a value against a profile; each value is told of once."""
        is_r4 = self.is_base(url)
        if is_r4 and not (scope.around.thorough and self.is_known(url)):
            if not self._is_of_type(value, url):
                type = value.get("resourceType")
                said = {"found": type, "wanted": self.type_of(url), "url": url}
                yield issue("profile-of-type", path, profile=url, **said)
            return
        profile = self.profile(url)
        if isinstance(profile, Unusable):
            yield issue("profile-unusable", path, profile=profile.url, url=url, why=profile.why)
            return
        if profile is None:
            if scope.around.thorough:
                yield issue("profile-unknown.type", path, profile=url, url=url)
            return
        type = value.get("resourceType") if isinstance(value, dict) else None
        if isinstance(type, str) and not self.is_a(type, profile.type):
            said = {"found": type, "wanted": profile.type, "url": url}
            yield issue("profile-of-type", path, profile=profile.url, **said)
            return
        if profile.type in self.definitions.primitive_types:
            value = boxed(value)
        around, key = scope.around, (id(value), profile.url)
        if key in around.told or around.depth >= MAX_DEPTH:
            return
        is_resource = isinstance(type, str)
        if is_resource:
            around.told.add(key)
        around.depth += 1
        try:
            yield from profile.walk.value(profile.plan, value, scope, path)
        finally:
            around.depth -= 1


def _element(whole: Node, url: str) -> Node:
    """The tree of a profile, or of the one element that a fragment names."""
    id = url.partition("#")[2]
    found = whole if not id else next((n for n in whole.walk() if n.id == id), None)
    if found is None:
        raise ValueError(f"it has no element `{id[:80]}`")
    return found


def _why(broken: Exception) -> str:
    why = getattr(broken, "why", None)
    if isinstance(why, str):
        return why.rstrip(".")
    if isinstance(broken, KeyError | TypeError | AttributeError):
        return "an ElementDefinition of it is not as R4 asks"
    return str(broken).rstrip(".")


def claimed(resource: Mapping[str, Any]) -> list[str]:
    """The profiles a resource says it is of."""
    meta = resource.get("meta")
    listed = meta.get("profile") if isinstance(meta, dict) else None
    return [url for url in listed if isinstance(url, str)] if isinstance(listed, list) else []
