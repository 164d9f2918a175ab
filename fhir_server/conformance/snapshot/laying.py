"""laying — a differential laid over the tree of its base.

https://hl7.org/fhir/R4/profiling.html#snapshot
https://hl7.org/fhir/R4/profiling.html#slicing
https://hl7.org/fhir/R4/profiling.html#reslicing

From the root downward: first what is said of the element itself, then its slices, each a copy of
what it slices, then the children. Where the differential goes deeper than the base, the children
come from the profile or the type the element has, or from the element its content is that of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.conformance.snapshot import choice
from fhir_server.conformance.snapshot.broken import BrokenProfile
from fhir_server.conformance.snapshot.differential import Wish
from fhir_server.conformance.snapshot.merging import merged, of_slice
from fhir_server.conformance.snapshot.tree import (
    MAX_DEPTH,
    MAX_ELEMENTS,
    Definition,
    Node,
)

R4_TYPES = "http://hl7.org/fhir/StructureDefinition/"
SYSTEM_TYPES = "http://hl7.org/fhirpath/"  # the value of a primitive, which has no children
BY_URL = {"type": "value", "path": "url"}
NO_ELEMENTS = {"Resource"}  # what is no Element, and has none of its constraints
EXTENSIONS = {"extension", "modifierExtension"}


@dataclass(slots=True)
class Laying:
    """One snapshot in the making.

    adds: a new type may add elements; a profile may not. tree_of: a fresh tree of a canonical's
    snapshot, None where it is not known; it is told at what depth it is asked. root_of: the root
    of such a snapshot, without making it.
    """

    url: str
    type: str
    adds: bool
    tree_of: Callable[[str, int], Node | None]
    root_of: Callable[[str], Definition | None]
    room: int = MAX_ELEMENTS

    def lay(self, node: Node, wish: Wish, depth: int) -> None:
        """What is wished of a place and of all beneath it."""
        if depth > MAX_DEPTH:
            raise self.broken(f"`{wish.id[:80]}` is nested more than {MAX_DEPTH} levels deep.")
        if wish.definition:
            before = _codes(node)
            node.definition = merged(node.definition, wish.definition, self.url)
            self._obey_profile(node, wish)
            if node.children and before != _codes(node):
                self._retype(node, wish, depth)
        if wish.children and not node.children:
            self._open(node, wish, depth)
        for child, children in self._grouped(node, wish):
            self._lay_slices(node, child, children, depth)

    def _grouped(self, node: Node, wish: Wish) -> list[tuple[Node, list[Wish]]]:
        """The children spoken of, each with the wishes for it and for its slices."""
        groups: dict[int, tuple[Node, list[Wish]]] = {}
        for asked in wish.children.values():
            child = node.child(asked.name) or choice.choice_of(node, asked.name)
            child = child or choice.renamed(node, asked.name)
            if child is None:
                child = self._added(node, asked)
            groups.setdefault(id(child), (child, []))[1].append(asked)
        return list(groups.values())

    def _added(self, node: Node, asked: Wish) -> Node:
        """A new type's own element."""
        if not self.adds or asked.slice or not asked.definition:
            raise self.broken(self._unknown(node, asked))
        own = asked.definition
        bounds = {name: own[name] for name in ("min", "max") if name in own}
        new = Node(asked.name, None, {"base": {"path": own["path"], **bounds}})
        if constraints := self._of_type(own.get("type") or ()):
            new.definition["constraint"] = constraints
        node.children.append(new)
        self._take(1)
        return new

    def _of_type(self, types: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The constraints an element has from being an Element, or an Extension (R4 element.html,
        extensibility.html). Those of other types stand at the types themselves."""
        codes = {type["code"] for type in types}
        if codes & NO_ELEMENTS or any(code.startswith(SYSTEM_TYPES) for code in codes):
            return []
        known = self.root_of(R4_TYPES + ("Extension" if codes == {"Extension"} else "Element"))
        return list((known or {}).get("constraint") or ())

    def _unknown(self, node: Node, asked: Wish) -> str:
        types = sorted(_codes(node))
        if len(types) > 1:
            listed = ", ".join(types[:5])
            return f"`{asked.id}` is not an element of all its types ({listed}). Name one of them."
        return f"there is no element `{asked.id}`."

    def _lay_slices(self, parent: Node, child: Node, asked: list[Wish], depth: int) -> None:
        """An element and its slices. A new slice begins as the base has the element: what this
        profile asks of the element is asked of each of its values already, slices or not."""
        whole = [wish for wish in asked if wish.slice is None and wish.name == child.name]
        template = child if self.adds or len(whole) == len(asked) else child.copy()
        for wish in whole:
            self.lay(child, wish, depth + 1)
        rest = [wish for wish in asked if wish not in whole]
        slices: list[tuple[str, Wish]] = []
        for wish in rest:
            if _is_but_a_name(child, wish, len(rest)):
                self.lay(child, wish, depth + 1)
            else:
                slices.append((wish.slice or wish.name, wish))
        if not slices:
            return
        self._slice(child, slices)
        for slice, wish in slices:
            node = parent.child(child.name, slice) or self._same_type(parent, child, wish)
            node = node or self._new_slice(parent, child, template, (slice, wish), depth)
            self.lay(node, wish, depth + 1)
        if child.is_choice and choice.is_by_type(child.definition):
            choice.close(child, parent.slices(child.name))

    def _slice(self, child: Node, slices: list[tuple[str, Wish]]) -> None:
        """How an element is sliced, where R4 lets a differential leave that unsaid."""
        if child.definition.get("slicing"):
            return
        if child.name in EXTENSIONS:
            by = BY_URL
        elif child.is_choice:
            by = choice.BY_TYPE
        else:
            name, wish = slices[0]
            raise self.broken(
                f"`{wish.id}` is the slice `{name}`, but nothing says how its element is sliced. "
                "Give the element `slicing` with a discriminator."
            )
        slicing = {"discriminator": [by], "ordered": False, "rules": "open"}
        child.definition = {**child.definition, "slicing": slicing}

    def _new_slice(
        self, parent: Node, child: Node, template: Node, of: tuple[str, Wish], depth: int
    ) -> Node:
        """A slice that the base does not have, behind its neighbors."""
        slice, wish = of
        code = choice.type_in(child, slice) if child.is_choice else None
        if not wish.definition and code is None:
            raise self.broken(
                f"`{wish.id}` is a slice that neither this profile nor its base defines."
            )
        outer = parent.child(child.name, slice.rpartition("/")[0]) if "/" in slice else None
        if outer and not outer.definition.get("slicing"):
            # R4 reslicing: `a/b` slices `a` again; by what `a` is told by, if nothing is said.
            slicing = {**child.definition["slicing"], "rules": "open"}
            outer.definition = {**outer.definition, "slicing": slicing}
        template = outer or template
        new = template.copy()
        self._take(new.size())
        new.slice, new.definition = slice, of_slice(template.definition, slice)
        if code and not wish.definition.get("type"):
            new.definition = choice.narrowed(new.definition, code)
            if new.children:
                self._retype(new, wish, depth)
        parent.children.insert(_behind(parent, child.name, outer), new)
        return new

    def _same_type(self, parent: Node, child: Node, wish: Wish) -> Node | None:
        """The base's slice that is meant by `valueQuantity`, by whatever name."""
        if wish.slice is not None:
            return None
        code = choice.type_in(child, wish.name)
        for slice in parent.slices(child.name):
            if [type["code"] for type in slice.types] == [code]:
                return slice
        return None

    def _obey_profile(self, node: Node, wish: Wish) -> None:
        """What a profile on the element's type asks of its root is asked of the element. Of an
        extension that is also how often it may be there (R4 defining-extensions#cardinality)."""
        profile = _one_profile(wish.definition.get("type"))
        root = self.root_of(profile) if profile and not self.adds else None
        if profile is None or root is None:
            return
        asked: Definition = {"constraint": root.get("constraint") or []}
        if node.name in EXTENSIONS and "max" not in wish.definition:
            asked["max"] = root.get("max", "*")
        node.definition = merged(node.definition, asked, profile)

    def _retype(self, node: Node, wish: Wish, depth: int) -> None:
        """Children of a type that is no longer the element's give way to those of its new type;
        what was asked of them stays."""
        before, node.children = node.children, []
        self._open(node, wish, depth)
        names = {child.name for child in before}
        rest = [child for child in node.children if child.name not in names]
        node.children = before + rest

    def _open(self, node: Node, wish: Wish, depth: int) -> None:
        """Give a node the children its type has."""
        if node.definition.get("contentReference"):
            self._follow(node, wish, depth)
            return
        known = self._content(node, wish, depth)
        self._take(known.size())
        node.children = known.children

    def _content(self, node: Node, wish: Wish, depth: int) -> Node:
        profile = _one_profile(node.types)
        if profile and (known := self.tree_of(profile, depth + 1)):
            return known
        codes = _codes(node)
        code = codes.pop() if len(codes) == 1 else "Element"
        if code.startswith(SYSTEM_TYPES) or (not node.types and not self.adds):
            raise self.broken(f"`{wish.id}` has no elements within it.")
        known = self.tree_of(_canonical(code), depth + 1)
        if known is None:
            raise self.broken(f"`{wish.id}` has the type `{code}`, which is not known.")
        return known

    def _follow(self, node: Node, wish: Wish, depth: int) -> None:
        """R4 contentReference: the content is that of another element of the same type, as the
        type itself defines it."""
        reference: str = node.definition["contentReference"]
        type, _, path = reference.rpartition("#")
        found = self.tree_of(type or _canonical(self.type), depth + 1)
        for name in path.split(".")[1:]:
            found = found and found.child(*_step(name))
        if found is None:
            raise self.broken(f"`{wish.id}` is to be as `{reference}`, which is not known.")
        self._take(found.size())
        own = {k: v for k, v in node.definition.items() if k != "contentReference"}
        node.definition = {**own, "type": found.types}
        node.children = found.children

    def _take(self, elements: int) -> None:
        self.room -= elements
        if self.room < 0:
            raise self.broken(f"its snapshot would have more than {MAX_ELEMENTS} elements.")

    def broken(self, why: str) -> BrokenProfile:
        return BrokenProfile(self.url, why)


def _codes(node: Node) -> set[str]:
    return {type["code"] for type in node.types}


def _is_but_a_name(child: Node, wish: Wish, wishes: int) -> bool:
    """What is written as a slice but is the element itself: `valueQuantity` where only Quantity is
    left, and a name given to an element that is there once and not sliced."""
    if child.definition.get("slicing"):
        return False
    if wish.slice is None:
        return len(child.types) == 1
    return wishes == 1 and not child.is_choice and child.definition.get("max") == "1"


def _one_profile(types: list[dict[str, Any]] | None) -> str | None:
    """The profile an element's content conforms to, where it is one only."""
    if not types or len(types) > 1:
        return None
    profiles = types[0].get("profile") or []
    return profiles[0] if len(profiles) == 1 and isinstance(profiles[0], str) else None


def _canonical(code: str) -> str:
    """R4 ElementDefinition.type.code: relative to R4's types unless it is a URL."""
    return code if "://" in code else R4_TYPES + code


def _step(part: str) -> tuple[str, str | None]:
    name, _, slice = part.partition(":")
    return name, slice or None


def _behind(parent: Node, name: str, outer: Node | None) -> int:
    """The place behind an element and its slices; of a slice sliced again, behind its own."""
    last = 0
    for place, child in enumerate(parent.children):
        if child.name != name:
            continue
        mine = outer is None or child is outer or (child.slice or "").startswith(f"{outer.slice}/")
        last = place + 1 if mine else last
    return last
