"""The kinds of search parameter: each says what a value writes and what a question asks.

https://hl7.org/fhir/R4/search.html#ptypes

Every kind has the same names:

    TYPES        the datatypes it can index
    MODIFIERS    what may follow the parameter's name, beside `missing`
    writer       (parameter, type, site, system) -> a function from a value to its rows
    where        (parameter, text, modifier, site) -> Condition
    present      (parameter) -> Condition: there is any row

composite is put together from these; see search/composite.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from fhir_server.search.kinds import date, number, quantity, reference, special, string, token, uri
from fhir_server.search.parameters import Parameter
from fhir_server.search.site import HERE, Site
from fhir_server.store.contract import DateRow, KeyRow, QuantityRow, StringRow

KINDS: dict[str, ModuleType] = {
    "date": date,
    "number": number,
    "quantity": quantity,
    "reference": reference,
    "special": special,
    "string": string,
    "token": token,
    "uri": uri,
}

Row = KeyRow | StringRow | DateRow | QuantityRow


def rows(
    parameter: Parameter, value: Any, type: str, site: Site = HERE, system: str | None = None
) -> Sequence[Row]:
    """What one value of that datatype leaves in the index; the Indexer asks the writers itself."""
    write = KINDS[parameter.type].writer(parameter, type, site, system)
    found: Sequence[Row] = write(value) if write else ()
    return found
