"""kinds — which type of value answers an item of a given type.

https://hl7.org/fhir/R4/valueset-item-type.html
https://hl7.org/fhir/R4/questionnaire-definitions.html#Questionnaire.item.type
"""

from __future__ import annotations

from fhir_server.foundation.resource import Resource

OPTIONS = ("Integer", "Date", "Time", "String", "Coding", "Reference")  # answerOption.value[x]

# Questionnaire.item.type -> the types its answers have, as `value[x]` spells them
ANSWERS: dict[str, tuple[str, ...]] = {
    "boolean": ("Boolean",),
    "decimal": ("Decimal",),
    "integer": ("Integer",),
    "date": ("Date",),
    "dateTime": ("DateTime",),
    "time": ("Time",),
    "string": ("String",),
    "text": ("String",),
    "url": ("Uri",),
    "choice": ("Coding",),
    "open-choice": ("Coding", "String"),
    "attachment": ("Attachment",),
    "reference": ("Reference",),
    "quantity": ("Quantity",),
    "group": (),
    "display": (),
}
CHOICES = frozenset({"choice", "open-choice"})
# What a decimal or a url is tested against: there is no answerUri, and 5 is a decimal too.
TESTED = {"decimal": ("Decimal", "Integer"), "url": ("String",)}
ORDERED = frozenset({"decimal", "integer", "date", "dateTime", "time", "quantity"})


def value_of(element: Resource, name: str = "value") -> tuple[str, object] | None:
    """The type and the value of a `value[x]`, or of another choice."""
    for key, value in element.items():
        if key.startswith(name) and len(key) > len(name) and key[len(name)].isupper():
            return key[len(name) :], value
    return None


def answers_of(item: Resource) -> tuple[str, ...]:
    """The types of value that answer an item; none for groups and displays."""
    type = item.get("type")
    types = ANSWERS.get(type, ()) if isinstance(type, str) else ()
    if type not in CHOICES:
        return types
    offered = {found[0] for option in item.get("answerOption") or () if (found := value_of(option))}
    if not offered:
        return types
    return (*sorted(offered), "String") if type == "open-choice" else tuple(sorted(offered))
