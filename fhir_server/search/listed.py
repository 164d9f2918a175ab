"""listed — a criterion on the List a resource is in: `_list=42`.

https://hl7.org/fhir/R4/search.html#list
https://hl7.org/fhir/R4/lifecycle.html#lists
"""

from __future__ import annotations

from fhir_server.foundation.outcome import Invalid, NotSupported
from fhir_server.foundation.resource import ID, Key
from fhir_server.search.criterion import MAX_VALUES
from fhir_server.search.escape import split, unescape
from fhir_server.search.scope import Scope
from fhir_server.store.contract import Condition, ReferredBy, RidIn, rid


def in_list(scope: Scope, name: str, value: str) -> Condition:
    """The resource is an item of one of these Lists; of a List that is not there, none is."""
    if name != "_list":
        raise Invalid(f"`_list` has no modifier, and `{name[:64]}` gives it one.")
    texts = split(value, ",")
    if len(texts) > MAX_VALUES:
        raise Invalid(f"`_list` is given {len(texts)} values; at most {MAX_VALUES}.")
    scope.linked(("List",))  # it is a link as any other
    lists = tuple(sorted({rid(Key("List", _id(scope, unescape(text)))) for text in texts}))
    item = scope.parameters.of("List")["item"]
    return ReferredBy((item.number,), ("List",), RidIn(lists))


def _id(scope: Scope, text: str) -> str:
    # R4 search#list:  [id]  |  $[functional list]
    if text.startswith("$"):
        raise NotSupported(
            f"`{text[:64]}` is a functional list, and this server makes none. Search for what "
            "would be in it, such as `AllergyIntolerance?patient=42&clinical-status=active`, or "
            "name a List by its id."
        )
    here = scope.site.own(text)
    id = here.key.id if here is not None and here.key.type == "List" else text
    if not ID.fullmatch(id):
        raise Invalid(f"`_list` is given `{text[:80]}`. It takes the id of a List: `_list=42`.")
    return id


def named_query(scope: Scope, name: str, value: str) -> Condition:  # noqa: ARG001 - as all criteria
    """R4 search#query: servers "SHALL refuse to process a search request if they do not recognize
    the _query parameter value"."""
    raise NotSupported(
        f"`_query` names `{value[:64]}`, and this server defines no query of its own. Write what "
        "it stands for as parameters, or as a `_filter`."
    )
