"""plan — what a profile asks beyond the R4 type it is of: the tree, read against the base.

https://hl7.org/fhir/R4/profiling.html
https://hl7.org/fhir/R4/elementdefinition.html

The structure's check has seen that a resource is valid R4, so most of a snapshot need not be
asked again: of 200 elements a profile constrains perhaps 20. What is left is a Place (what is
asked of an object), its Members (of an element) and their Values (of one value of one type).
compiled.py answers a plan with yes or no, walk.py tells what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from fhir_server.conformance.definitions import Binding, Definitions, Element, Field, TypeChoice
from fhir_server.conformance.sound import MAX_RULES, MAX_SAID
from fhir_server.validation.invariant import Invariant
from fhir_server.validation.profile import binding, constraint, fixed, reference
from fhir_server.validation.profile.path import Unreadable
from fhir_server.validation.profile.resource_type import type_leaf
from fhir_server.validation.profile.scope import Leaf
from fhir_server.validation.profile.slicing import Matcher, ProfilesLike, matcher
from fhir_server.validation.profile.tree import DEFAULT, Node, Slicing


class InvariantsLike(Protocol):
    """What is asked of invariants: validation.invariant.Invariants answers it."""

    def compiled(
        self, constraint: Mapping[str, Any], type_of_focus: str, *, source: str | None = None
    ) -> Invariant: ...


class Known(ProfilesLike, Protocol):
    """What a plan is made with."""

    @property
    def definitions(self) -> Definitions: ...
    @property
    def invariants(self) -> InvariantsLike | None: ...
    def is_known(self, url: str) -> bool: ...


@dataclass(slots=True, eq=False)
class Place:
    """What is asked of an object: a resource, a datatype, a BackboneElement."""

    members: list[Member] = field(default_factory=list)
    dated: bool = False  # its `period` says when its codes were said


@dataclass(slots=True, eq=False)
class Value:
    """What is asked of one value."""

    leaves: list[Leaf] = field(default_factory=list)
    place: Place | None = None
    profiles: tuple[str, ...] = ()  # of which it must meet one
    boxed: bool = False  # a primitive whose `_name` is asked about, too
    is_resource: bool = False  # within another: what is below it stands in it

    def __bool__(self) -> bool:
        return bool(self.leaves or self.place or self.profiles)

    def weight(self) -> int:
        """The steps it takes to ask all of this of one value, but for the lists within."""
        return _weight(self, set())


@dataclass(slots=True, eq=False)
class Slice:
    """One slice: how it is known, how often it may be there, and what is asked of it."""

    name: str
    min: int
    max: int | None
    values: dict[str, Value]  # by the field's JSON name; a field that is not there is never of it
    matchers: dict[str, Matcher | None]  # None: by its whole definition
    sliced: Sliced | None = None
    must_support: bool = False


@dataclass(slots=True, eq=False)
class Sliced:
    """The slices of an element."""

    rules: str
    ordered: bool
    slices: list[Slice]
    default: Slice | None  # R4's `@default`: what is of no other slice

    def all_values(self) -> Iterator[tuple[str, Value]]:
        for each in (*self.slices, *([self.default] if self.default else [])):
            yield from each.values.items()
            if each.sliced is not None:
                yield from each.sliced.all_values()


@dataclass(slots=True, eq=False)
class Member:
    """What is asked of one element of an object."""

    name: str
    fields: list[Field]  # what JSON may call it; several for a choice
    forbidden: frozenset[str] = frozenset()  # the types of a choice that are not allowed here
    allowed: tuple[str, ...] = ()  # their types, for the message
    min: int = 0
    max: int | None = None
    values: dict[str, Value] = field(default_factory=dict)
    sliced: Sliced | None = None
    must_support: bool = False
    boxed: frozenset[str] = frozenset()  # the fields whose values are asked in a Box

    def all_values(self) -> Iterator[tuple[str, Value]]:
        yield from self.values.items()
        if self.sliced is not None:
            yield from self.sliced.all_values()

    def box(self) -> None:
        """A field's values are all in boxes where one of those who ask needs it."""
        self.boxed = frozenset(name for name, value in self.all_values() if value.boxed)
        for name, value in self.all_values():
            value.boxed = name in self.boxed

    @property
    def asks(self) -> bool:
        has_value = any(self.values.values())
        return bool(
            self.forbidden
            or self.min
            or self.max is not None
            or has_value
            or self.sliced
            or self.must_support
        )


class Planner:
    """Makes the plan of one profile."""

    def __init__(
        self, known: Known, url: str, root: Node, whole: Node, *, is_carried: bool
    ) -> None:
        self.known = known
        self.url = url
        self.root = root
        # A profile's rules for `item` are not those of the items within, unless its own snapshot
        # says so by a contentReference without the base's URL: so those who make them agreed.
        self.is_carried = is_carried
        self.whole = whole  # the tree the root is of: itself, but for one element of a profile
        self.of_r4 = known.is_base(url)  # then bindings that only warn are what is left to ask
        self._places: dict[tuple[int, str], Place] = {}
        self._rules = self._said = 0  # invariants, and their characters
        self._making: list[Place] = []  # what is within itself by a contentReference is not empty

    def plan(self, type: str) -> Value:
        """What is asked of a resource, datatype or element of the profile's type."""
        element = self.known.definitions.type(type).elements[0]
        whole = Field(type, element, TypeChoice(type), type)
        for name in self.root.path.split(".")[1:]:  # one element of a profile stands for it
            whole = self.known.definitions.children(whole.node)[name.removesuffix("[x]")]
        return self._value(self.root, whole, is_root=True)

    # --- values ----------------------------------------------------------------------------------

    def _value(
        self, node: Node, of: Field, *, is_root: bool = False, is_told: bool = False
    ) -> Value:
        """is_told: by its pattern, without which it would not be of its slice."""
        value = Value()
        code = of.type.code
        is_primitive = code in self.known.definitions.primitive_types
        value.leaves += fixed.values(replace(node, pattern=None) if is_told else node, self.url)
        value.leaves += self._bindings(node, of)
        for told in node.types:
            if told.code == code and code == "Reference":
                value.leaves += reference.leaves(self.known, told, self.url, of.type.targets)
        if code == "Resource" and not is_root:
            value.is_resource = True
            value.leaves += type_leaf(self.known, node.types, self.url)
        self._bound(node)
        value.leaves += constraint.leaves(self.known, node, of, self.url)
        value.profiles = self._profiles(node, of, is_root=is_root)
        value.place = self._place_of(node, of)
        asks_beside = value.place is not None or any(leaf.whole for leaf in value.leaves)
        value.boxed = is_primitive and (asks_beside or is_root)
        return value

    def _bound(self, node: Node) -> None:
        """A profile may not make the server compile without end. Raises Unreadable."""
        for told in constraint.own(self.known, node):
            self._rules += 1
            self._said += len(str(told["expression"]))
        if self._rules > MAX_RULES or self._said > MAX_SAID:
            raise Unreadable(
                f"it has more than {MAX_RULES:,} invariants, or more than {MAX_SAID:,} characters"
                " of them"
            )

    def _bindings(self, node: Node, of: Field) -> list[Leaf]:
        bound, base = node.binding, of.element.binding
        if bound is None:
            return []
        same = (
            base is not None
            and bound.value_set.partition("|")[0] == base.value_set.partition("|")[0]
        )
        is_told = same and base is not None and bound.strength == base.strength
        if is_told and not (bound.most or bound.also or (self.of_r4 and base and not _must(base))):
            return []
        return binding.leaves(self.known.terms, bound, of.type.code, self.url)

    def _profiles(self, node: Node, of: Field, *, is_root: bool) -> tuple[str, ...]:
        """The profiles one of which the value must meet. Those of extensions are left to
        extension.py, which asks every known extension for its own definition."""
        code = of.type.code
        if is_root:
            return ()
        mine = [t for t in node.types if code in (t.code, "Resource")]
        if not all(t.profiles for t in mine):
            return ()
        urls = tuple(url for t in mine for url in t.profiles)
        if any(self.known.is_base(url) and self.known.type_of(url) == code for url in urls):
            return ()
        if code == "Extension" and len(urls) == 1 and self.known.is_known(urls[0]):
            return ()
        return urls

    # --- places ----------------------------------------------------------------------------------

    def _place_of(self, node: Node, of: Field) -> Place | None:
        base = of.node
        if node.content_reference and not node.children:
            node = self._referred(node.content_reference) or node
        if of.type.code == "Resource":
            base = next((t.code for t in node.types if len(node.types) == 1), "Resource")
        if not node.children:
            return None
        place = self._place(node, base)
        return place if place.members or place in self._making else None

    def _referred(self, told: str) -> Node | None:
        url, _, path = told.partition("#")
        if (url and url != self.url) or not self.is_carried:
            return None  # R4's own element: the profile asks nothing of what is within it
        return next((node for node in self.whole.walk() if node.path == path), None)

    def _place(self, node: Node, base: str) -> Place:
        known = self._places.get((id(node), base))
        if known is not None:
            return known
        place = self._places[id(node), base] = Place()
        self._making.append(place)
        groups: dict[str, list[Field]] = {}
        fields = self.known.definitions.children(base)
        for each in fields.values():
            groups.setdefault(each.element.name, []).append(each)
        place.dated = "period" in fields and fields["period"].type.code == "Period"
        for child in node.children:
            group = groups.get(child.name)
            if group is None and child.name in fields:  # `valueQuantity` for a choice made
                group = [fields[child.name]]
            if group is None:
                raise Unreadable(f"`{child.path}` is no element of `{base}`")
            member = self._member(child, group)
            if member.asks:
                place.members.append(member)
        self._making.remove(place)
        return place

    # --- members ---------------------------------------------------------------------------------

    def _member(self, node: Node, group: list[Field]) -> Member:
        base = group[0].element
        codes = {type.code for type in node.types}
        is_choice = len(group) > 1
        fields = [f for f in group if f.type.code in codes] if is_choice and codes else group
        kept = {f.name for f in fields}
        out = [f.name for f in group if f.name not in kept]
        member = Member(
            base.name,
            fields,
            frozenset(out) | {f"_{name}" for name in out},
            tuple(f.type.code for f in fields),
            min=node.min if node.min > base.min else 0,
            max=_narrower(node, base),
            must_support=node.must_support,
        )
        if member.max == 0:
            member.fields = group
            return member
        for each in fields:
            member.values[each.name] = self._value(node, each)
        if node.slicing and node.slices:
            member.sliced = self._sliced(node, node.slicing, fields)
            if _is_idle(member.sliced):
                member.sliced = None
        member.box()
        return member

    def _sliced(self, node: Node, slicing: Slicing, fields: list[Field]) -> Sliced:
        slices = [self._slice(each, slicing, fields) for each in node.slices]
        return Sliced(
            slicing.rules,
            slicing.ordered,
            [s for s in slices if s.name != DEFAULT],
            next((s for s in slices if s.name == DEFAULT), None),
        )

    def _slice(self, node: Node, slicing: Slicing, fields: list[Field]) -> Slice:
        codes = {type.code for type in node.types}
        mine = [f for f in fields if not codes or f.type.code in codes or len(fields) == 1]
        made = Slice(node.slice_name, node.min, node.max, {}, {}, must_support=node.must_support)
        for each in mine:
            if node.slice_name != DEFAULT:
                made.matchers[each.name] = matcher(slicing, node, each, self.known)
            is_told = node.slice_name != DEFAULT and _is_told(slicing, node)
            made.values[each.name] = self._value(node, each, is_told=is_told)
            made.values[each.name].boxed |= self._is_boxed(slicing, each)
        if node.slicing and node.slices:
            made.sliced = self._sliced(node, node.slicing, mine)
        return made

    def _is_boxed(self, slicing: Slicing, of: Field) -> bool:
        is_primitive = of.type.code in self.known.definitions.primitive_types
        return is_primitive and any(d.path not in ("$this", "") for d in slicing.discriminators)


def _weight(value: Value, met: set[int]) -> int:
    found = 1 + len(value.leaves)
    if value.place is None or id(value.place) in met:
        return found
    met.add(id(value.place))
    for member in value.place.members:
        single = [f.name for f in member.fields if not f.element.many and f.name in member.values]
        found += 1 + sum(_weight(member.values[name], met) for name in single)
    return found


def _is_told(slicing: Slicing, node: Node) -> bool:
    """Whether the pattern of a slice is all that tells it."""
    if len(slicing.discriminators) != 1 or node.fixed or any(t.profiles for t in node.types):
        return False
    [only] = slicing.discriminators
    return only.type in ("value", "pattern") and only.path in ("$this", "")


def _must(base: Binding) -> bool:
    return base.strength == "required"


def _narrower(node: Node, base: Element) -> int | None:
    if node.max is None or (base.max is not None and node.max >= base.max):
        return None
    return node.max


def _is_idle(sliced: Sliced) -> bool:
    """Slices that are only named: nothing is asked of them, and anything may stand beside them."""
    return (
        sliced.rules == "open"
        and not sliced.ordered
        and sliced.default is None
        and all(
            not s.min
            and s.max is None
            and not s.must_support
            and not s.sliced
            and not any(s.values.values())
            for s in sliced.slices
        )
    )
