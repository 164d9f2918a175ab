"""The kinds of search parameter: each says what a value writes and what a question asks.

https://hl7.org/fhir/R4/search.html#ptypes

Every kind has the same names:

    TYPES        the datatypes it can index
    MODIFIERS    what may follow the parameter's name, beside `missing`
    writer       (parameter, type, site, system) -> a function from a value to its rows
    rows         the same, at once
    where        (parameter, text, modifier, site) -> Condition
    present      (parameter) -> Condition: there is any row

composite is put together from these and comes with the issue "Search"; special has no kind.
"""

from __future__ import annotations

from types import ModuleType

from fhir_server.search.kinds import date, number, quantity, reference, string, token, uri

KINDS: dict[str, ModuleType] = {
    "date": date,
    "number": number,
    "quantity": quantity,
    "reference": reference,
    "string": string,
    "token": token,
    "uri": uri,
}
