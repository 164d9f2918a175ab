"""compare — the operators of a filter, by the type of the parameter.

https://hl7.org/fhir/R4/search_filter.html#ops

Values are compared as the parameter itself compares them: strings without case and marks, codes
as they are written. (R4 says of a filter that values are "never case sensitive"; the same code in
a filter and beside it should not find different things.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fhir_server.foundation.folding import every_word
from fhir_server.foundation.outcome import Invalid, NotSupported
from fhir_server.search.criterion import any_of
from fhir_server.search.escape import split
from fhir_server.search.kinds import date
from fhir_server.search.link import no_parameter, not_of_all
from fhir_server.search.parameters import Parameter
from fhir_server.search.scope import Scope
from fhir_server.store.contract import CUT, AllOf, Condition, Not, WholeLike

# R4:  "the codes "loinc", "snomed", "rxnorm" and "ucum" are predefined"
SYSTEMS = {
    "loinc": "http://loinc.org",
    "snomed": "http://snomed.info/sct",
    "rxnorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "ucum": "http://unitsofmeasure.org",
}


class Asked(NamedTuple):
    """A comparison: the parameter as each of the scope's types has it, and the value."""

    scope: Scope
    parameters: tuple[Parameter, ...]
    operator: str
    value: str

    @property
    def code(self) -> str:
        return self.parameters[0].code

    def as_criterion(self, value: str, modifier: str = "") -> Condition:
        """What the criterion of that name and value asks; a comma in it is a comma."""
        name = f"{self.code}:{modifier}" if modifier else self.code
        return self.scope.condition(name, "\\,".join(split(value, ",")))


def compared(scope: Scope, code: str, operator: str, value: str) -> Condition:
    """Raises Invalid, NotSupported."""
    if scope.types:
        found = [scope.parameters.of(type).get(code) for type in scope.types]
    else:
        found = [scope.parameters.everywhere().get(code)]
    known = tuple(parameter for parameter in found if parameter is not None)
    if len(known) < len(found) and not scope.types:
        raise Invalid(not_of_all(code))
    if len(known) < len(found):
        raise Invalid(no_parameter(scope, code, scope.types))
    asked = Asked(scope, known, operator, value)
    if operator == "pr":
        return _present(asked)
    types = {parameter.type for parameter in known}
    if len(types) > 1:
        raise Invalid(f"`{code}` is not the same type of parameter in all types. Name one type.")
    operators = OPERATORS.get(types.pop(), {})
    if operator not in operators:
        raise NotSupported(_no_operator(asked, tuple(operators)))
    return operators[operator](asked)


def _no_operator(asked: Asked, operators: tuple[str, ...]) -> str:
    type = asked.parameters[0].type
    told = ", ".join(f"`{one}`" for one in (*operators, "pr"))
    hint = " What refers to a resource is found by `re`." if "re" in operators else ""
    return (
        f"`{asked.operator}` cannot be asked of `{asked.code}`, which is a {type} parameter. "
        f"What can be: {told}.{hint}"
    )


# --- one by one ----------------------------------------------------------------------------------


def _present(asked: Asked) -> Condition:
    """R4: "the set is empty or not (value is false or true)"."""
    if asked.value not in ("true", "false"):
        raise Invalid(f"`pr` takes `true` or `false`, not `{asked.value[:40]}`.")
    return asked.as_criterion("false" if asked.value == "true" else "true", "missing")


def _prefixed(asked: Asked) -> Condition:
    if asked.value[:1].isalpha():
        type = asked.parameters[0].type
        raise Invalid(
            f"`{asked.code}` is compared with `{asked.value[:40]}`, and a {type} begins with no "
            "letter. The operator stands before it, parted by a space."
        )
    return asked.as_criterion(asked.operator + _system(asked.value, at=1))


def _whole(how: str) -> Callable[[Asked], Condition]:
    def ask(asked: Asked) -> Condition:
        text = " ".join(every_word(asked.value))
        if not text:
            raise Invalid(f"`{asked.code}` needs a letter or a digit to be compared with.")
        if len(text) >= CUT:
            raise Invalid(
                f"`{asked.code}` is compared with {len(text)} letters; at most {CUT - 1}."
            )
        return any_of(WholeLike(p.number, text, how, p.also) for p in asked.parameters)

    return ask


def _contains(asked: Asked) -> Condition:
    value = asked.value
    for sign in ("\\", "|", "$"):
        value = value.replace(sign, f"\\{sign}")
    return asked.as_criterion(value, "contains")


def _token(modifier: str = "") -> Callable[[Asked], Condition]:
    return lambda asked: asked.as_criterion(_system(asked.value), modifier)


def _plain(asked: Asked) -> Condition:
    return asked.as_criterion(asked.value)


def _unequal(equal: Callable[[Asked], Condition]) -> Callable[[Asked], Condition]:
    def ask(asked: Asked) -> Condition:
        """R4: "an item in the set has an unequal value", which is known of one that is alone."""
        if any(parameter.many for parameter in asked.parameters):
            raise NotSupported(
                f"`{asked.code}` may have several values, and whether one of them is another is "
                f"not indexed. Write `not ({asked.code} eq ...)` for those that have no such value."
            )
        there = asked.as_criterion("false", "missing")
        return AllOf((there, Not(equal(asked))))

    return ask


def _dated(asked: Asked) -> Condition:
    if asked.code == "_lastUpdated":
        raise NotSupported("`_lastUpdated` is a moment and no period. Ask with `eq`.")
    site = asked.scope.site
    conditions = []
    for parameter in asked.parameters:
        prefix, lo, hi = date.asked(parameter, asked.value, site)
        if prefix != "eq":
            raise Invalid(f"`{asked.operator}` takes a date without a prefix before it.")
        conditions.append(date.compared(parameter, asked.operator, lo, hi, site))
    return any_of(conditions)


def _system(value: str, at: int = 0) -> str:
    """The value with its system, the part `at`, written out."""
    parts = value.split("|")
    if len(parts) > at + 1 and parts[at] in SYSTEMS:
        parts[at] = SYSTEMS[parts[at]]
    return "|".join(parts)


Operators = dict[str, Callable[[Asked], Condition]]
PREFIXES: Operators = dict.fromkeys(
    ("eq", "ne", "gt", "lt", "ge", "le", "ap", "sa", "eb"), _prefixed
)

# What R4's table gives a type and this index can tell. It cannot tell how precisely a number was
# written (`co` of a number), and R4's order of strings (`gt`) goes by their first letter.
OPERATORS: dict[str, Operators] = {
    "string": {
        "eq": _whole("is"),
        "ne": _unequal(_whole("is")),
        "co": _contains,
        "sw": _whole("begins"),
        "ew": _whole("ends"),
    },
    "number": PREFIXES,
    "quantity": PREFIXES,
    "date": {**PREFIXES, "co": _dated, "po": _dated},
    "token": {
        "eq": _token(),
        "ne": _unequal(_token()),
        "ss": _token("below"),  # the value subsumes a concept
        "sb": _token("above"),  # it is subsumed by one
        "in": lambda asked: asked.as_criterion(asked.value, "in"),
        "ni": lambda asked: asked.as_criterion(asked.value, "not-in"),
    },
    "uri": {"eq": _plain, "ne": _unequal(_plain)},
    "reference": {"re": _plain},
}
