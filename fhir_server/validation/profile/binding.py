"""binding — whether a code is of the value set its element is bound to, at its date.

https://hl7.org/fhir/R4/terminologies.html#strength
https://hl7.org/fhir/R4/extension-elementdefinition-maxvalueset.html

R4 terminologies: `required` SHALL be from the value set; of `extensible` a code may stand outside
only where none within fits, which no program can tell: a warning; `preferred` and `example` ask
nothing of an instance. A code that was a member at another time is a warning that names what
takes its place: what was recorded under the old list stays true.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from fhir_server.foundation.outcome import Issue
from fhir_server.terminology.terms import Standing, Verdict
from fhir_server.validation.messages import issue
from fhir_server.validation.profile.scope import Leaf, Scope
from fhir_server.validation.profile.tree import Bound

LANGUAGES = "http://hl7.org/fhir/ValueSet/languages"
MAX_KEPT = 4096  # answers kept for one binding
STEPS_OF_ANSWER = 20  # that terminology is asked for
ALL_LANGUAGES = "http://hl7.org/fhir/ValueSet/all-languages"
BY_SYNTAX = {
    LANGUAGES,
    ALL_LANGUAGES,
}  # all of BCP 47: the structure's check knows how it is written


class TermsLike(Protocol):
    """What validation asks of terminology: terminology.terms.Terms answers it."""

    def standing(
        self,
        value_set: Any,
        code: str,
        system: str | None = None,
        version: str | None = None,
        display: str | None = None,
        at: Any = None,
    ) -> Verdict: ...

    @property
    def generation(self) -> object:
        """Another one as soon as what was answered may no longer be so."""
        ...

    def fast(self, value_set: str) -> frozenset[tuple[str, str]] | None: ...


class Code(NamedTuple):
    """A code as it stands in a value."""

    code: str
    system: str | None = None
    version: str | None = None
    display: str | None = None


Codes = Callable[[Any], list[Code]]


def _of_text(value: Any) -> list[Code]:
    return [Code(value)] if isinstance(value, str) else []


def _of_coding(value: Any) -> list[Code]:
    if not isinstance(value, dict):
        return []
    parts = [value.get(name) for name in ("code", "system", "version", "display")]
    code, *rest = [part if isinstance(part, str) else None for part in parts]
    return [Code(code, *rest)] if code else []


def _of_concept(value: Any) -> list[Code]:
    codings = value.get("coding") if isinstance(value, dict) else None
    if not isinstance(codings, list):
        return []
    return [code for coding in codings for code in _of_coding(coding)]


CODES: dict[str, Codes] = {
    "code": _of_text,
    "string": _of_text,
    "markdown": _of_text,
    "uri": _of_text,
    "url": _of_text,
    "canonical": _of_text,
    "Coding": _of_coding,
    "Quantity": _of_coding,
    "Age": _of_coding,
    "Count": _of_coding,
    "Distance": _of_coding,
    "Duration": _of_coding,
    "SimpleQuantity": _of_coding,
    "CodeableConcept": _of_concept,
}
# Worst last: of the codings of a concept the best one counts.
ORDER = (Standing.MEMBER, Standing.THEN, Standing.UNKNOWN, Standing.NOT_MEMBER)


class Membership:
    """The codes of one value set, asked often."""

    def __init__(self, terms: TermsLike, value_set: str, type: str) -> None:
        self.value_set = value_set
        self.codes = CODES[type]
        self.terms = terms
        self._plain = self.codes is _of_text
        self._pairs: frozenset[tuple[str, str]] | None = None
        self._texts: frozenset[str] = frozenset()
        self._answers: dict[tuple[str, str | None, str | None, dt.date], Verdict] = {}
        self._generation: object = None

    def surely(self, value: Any) -> bool:
        """Whether one code is always a member: asked first, it costs nothing."""
        pairs = self.terms.fast(self.value_set)
        if not pairs:
            return False
        if self._plain:
            if pairs is not self._pairs:
                self._texts, self._pairs = frozenset(code for _, code in pairs), pairs
            return value in self._texts
        codings = value.get("coding") if self.codes is _of_concept else (value,)
        for coding in codings or ():
            if (coding.get("system"), coding.get("code")) in pairs and "version" not in coding:
                return True
        return False

    def verdict(self, value: Any, scope: Scope) -> tuple[Verdict, Code | None]:
        """How the value stands: by its best code. NOT_MEMBER without a code where it has none."""
        best: tuple[Verdict, Code | None] = (Verdict(Standing.NOT_MEMBER), None)
        codes = self.codes(value)
        scope.spend(len(codes))
        for code in codes:
            found = self.standing(code, scope)
            if best[1] is None or ORDER.index(found.standing) < ORDER.index(best[0].standing):
                best = found, code
            if found.standing is Standing.MEMBER:
                break
        return best

    def standing(self, code: Code, scope: Scope) -> Verdict:
        key = code.code, code.system, code.version, scope.date
        generation = self.terms.generation
        if generation != self._generation or len(self._answers) >= MAX_KEPT:
            self._answers, self._generation = {}, generation
        answers = self._answers  # another thread may begin anew meanwhile
        found = answers.get(key)
        if found is None:
            found = self.terms.standing(self.value_set, *key[:3], None, key[3])
            answers[key] = found
            scope.spend(STEPS_OF_ANSWER + found.steps)
        return found


def leaves(terms: TermsLike | None, bound: Bound | None, type: str, profile: str) -> list[Leaf]:
    """What a binding asks of the values of one type."""
    if terms is None or bound is None or type not in CODES:
        return []
    found = []
    if bound.value_set and bound.value_set.partition("|")[0] not in BY_SYNTAX:
        membership = Membership(terms, bound.value_set, type)
        found.append(_leaf(membership, bound.strength, profile))
    if bound.most and bound.most.partition("|")[0] not in BY_SYNTAX:
        found.append(_leaf(Membership(terms, bound.most, type), "max", profile))
    found += [_leaf(Membership(terms, url, type), "required", profile) for url in bound.also]
    return found


def _leaf(membership: Membership, strength: str, profile: str) -> Leaf:
    tells = _Tells(membership, strength, profile)
    if strength not in ("required", "extensible", "max"):
        return Leaf(None, tells.lightly)
    must_have_code = strength == "required"

    def holds(value: Any, scope: Scope) -> bool:
        if value is None or membership.surely(value):
            return True
        verdict, code = membership.verdict(value, scope)
        if code is None:
            return not must_have_code
        return verdict.standing in (Standing.MEMBER, Standing.UNKNOWN)

    return Leaf(holds, tells.fully, coded=True)


class _Tells:
    """What is told of one binding."""

    def __init__(self, membership: Membership, strength: str, profile: str) -> None:
        self.membership = membership
        self.strength = strength
        self.profile = profile

    def fully(self, value: Any, scope: Scope, path: str) -> Iterator[Issue]:
        """Of required, extensible and maximum bindings."""
        if value is None:
            return
        verdict, code = self.membership.verdict(value, scope)
        if code is None:
            if self.strength == "required":
                yield self._issue("binding-required.none", path)
            return
        match verdict.standing:
            case Standing.NOT_MEMBER:
                yield self._issue(f"binding-{self.strength}", path, code)
            case Standing.THEN:
                yield self._then(path, code, verdict, scope)
            case Standing.UNKNOWN if scope.around.thorough:
                missing = verdict.missing or self.membership.value_set
                yield self._issue("binding-unchecked", path, code, missing=missing)
        if scope.around.thorough:
            yield from self._displays(value, scope, path)

    def lightly(self, value: Any, scope: Scope, path: str) -> Iterator[Issue]:
        """Of preferred bindings; an example asks for nothing."""
        if not scope.around.thorough or value is None:
            return
        if self.strength == "preferred":
            verdict, code = self.membership.verdict(value, scope)
            if code is not None and verdict.standing is Standing.NOT_MEMBER:
                yield self._issue("binding-preferred", path, code)
        yield from self._displays(value, scope, path)

    def _then(self, path: str, code: Code, verdict: Verdict, scope: Scope) -> Issue:
        successors = [
            f"{concept.code} {concept.display}" if concept.display else concept.code
            for concept in verdict.successors
        ]
        key = "code-then.successors" if successors else "code-then"
        concept = verdict.concept
        display = concept.display if concept and concept.display else code.code
        return self._issue(
            key, path, code, display=display, successors=successors, date=scope.date.isoformat()
        )

    def _displays(self, value: Any, scope: Scope, path: str) -> Iterator[Issue]:
        terms = self.membership.terms
        for code in self.membership.codes(value):
            if not code.display or not code.system:
                continue
            told = code.code, code.system, code.version, code.display
            verdict = terms.standing(self.membership.value_set, *told, scope.date)
            if verdict.wrong_display and verdict.concept and verdict.concept.display:
                right = verdict.concept.display
                yield self._issue("code-display", path, code, display=code.display, right=right)

    def _issue(self, key: str, path: str, code: Code | None = None, **said: Any) -> Issue:
        told = code.code if code else ""
        system = (code.system if code else None) or "?"
        value_set = self.membership.value_set
        return issue(
            key,
            path,
            profile=self.profile,
            code=told,
            coded=f"{system}|{told}" if code and code.system else told,
            value_set=value_set,
            **said,
        )
