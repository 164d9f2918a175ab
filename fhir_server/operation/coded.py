"""coded — the code an operation is asked about, the day, and where its definitions come from.

https://hl7.org/fhir/R4/operations.html#request
https://hl7.org/fhir/R4/terminology-service.html
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from fhir_server.conformance.canonicals import of_resource
from fhir_server.foundation.outcome import Invalid, NotSupported
from fhir_server.foundation.primitive import is_date, is_date_time
from fhir_server.foundation.resource import Key, Resource
from fhir_server.foundation.wire import parse
from fhir_server.interaction import read
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.operation.call import Call, Given
from fhir_server.terminology.element import objects, text
from fhir_server.terminology.moment import first_day
from fhir_server.terminology.terms import Concept, Terms

MAX_CODINGS = 50  # of one CodeableConcept
FLAGS = {"true": True, "false": False}
OF_THE_REQUEST = "the request"  # the source of a definition that came with it


@dataclass(frozen=True, slots=True)
class Coded:
    """A code as it was given. system: None where none was."""

    code: str
    system: str | None = None
    version: str | None = None
    display: str | None = None


def codes(call: Call, *, system: str = "system", version: str = "version") -> list[Coded]:
    """The codes asked about: of `code`, `coding` or `codeableConcept`, of which one must be given.

    system, version: what the parameters beside `code` are called.
    """
    given = [name for name in ("code", "coding", "codeableConcept") if call.all(name)]
    if len(given) != 1:
        raise Invalid(
            "Give one of `code`, `coding` and `codeableConcept`"
            + (f"; there are {' and '.join(f'`{each}`' for each in given)}." if given else "."),
            expression="http.code",
        )
    if given[0] == "code":
        code = call.text_of("code") or ""
        return [Coded(code, call.text_of(system), call.text_of(version), call.text_of("display"))]
    value = complex_value(call, given[0])
    if given[0] == "coding":
        return [coding(value, "coding")]
    codings = objects(value.get("coding"))
    if not codings or len(codings) > MAX_CODINGS:
        raise Invalid(
            f"`codeableConcept` must have from 1 to {MAX_CODINGS} codings.",
            expression="http.codeableConcept",
        )
    return [coding(each, "codeableConcept") for each in codings]


def coding(value: Resource, name: str) -> Coded:
    code = text(value.get("code"))
    if code is None:
        raise Invalid(f"A coding of `{name}` has no `code`.", expression=f"http.{name}")
    told = (text(value.get(each)) for each in ("system", "version", "display"))
    return Coded(code, *told)


def complex_value(call: Call, name: str) -> Resource:
    """A parameter that is a Coding or CodeableConcept. Raises Invalid."""
    found = call.one(name)
    if found is None:
        return {}
    if not isinstance(found.value, dict):
        raise Invalid(
            f"`{name}` is not a simple value: POST it in a Parameters resource.",
            expression=f"http.{name}",
        )
    return found.value


def flag(call: Call, name: str) -> bool | None:
    """A boolean. Raises Invalid."""
    found = call.one(name)
    if found is None:
        return None
    value = found.value if isinstance(found.value, bool) else FLAGS.get(str(found.value))
    if value is None:
        raise Invalid(f"`{name}` must be `true` or `false`.", expression=f"http.{name}")
    return value


def whole(call: Call, name: str) -> int | None:
    """A number from 0. Raises Invalid."""
    found = call.one(name)
    if found is None:
        return None
    value = found.value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Invalid(f"`{name}` must be a whole number from 0.", expression=f"http.{name}")
    return value


def day(call: Call) -> dt.date | None:
    """The day of `date`; None where none is given. Raises Invalid."""
    value = call.text_of("date")
    if value is None:
        return None
    found = first_day(value) if is_date(value) or is_date_time(value) else None
    if found is None:
        raise Invalid(
            f"`date` is `{value[:40]}`; say a date such as `2025-07-01`.", expression="http.date"
        )
    return found


def refuse(call: Call, names: tuple[str, ...]) -> None:
    """Parameters R4 has and this server does not act upon. Raises NotSupported."""
    for name in names:
        if call.all(name):
            raise NotSupported(
                f"`{name}` is not supported by `${call.name}` here.", expression=f"http.{name}"
            )


# --- definitions ---------------------------------------------------------------------------------


async def definition(
    server: Server, call: Call, circumstances: Circumstances, name: str
) -> Resource | None:
    """The definition at hand: the instance the operation is asked on, or what came with it.

    name: the parameter that may hold it. Raises Invalid where there is more than one.
    """
    given = call.one(name)
    sent = given.resource if given is not None else call.body
    if given is not None and sent is None:
        raise Invalid(f"`{name}` must be a resource.", expression=f"http.{name}")
    type = name[0].upper() + name[1:]
    if sent is not None and sent.get("resourceType") != type:
        raise Invalid(f"`{name}` must be a {type}.", expression=f"http.{name}")
    if call.level != "instance":
        if sent is not None and call.all("url"):
            raise Invalid(f"Give `url` or `{name}`, not both.", expression="http.url")
        return sent
    if sent is not None or call.all("url"):
        raise Invalid(
            f"The {type} is the one asked at: leave `{name}` and `url` out.", expression="http.url"
        )
    found = await read.read(server, read.Ask(Key(type, call.id or "")), circumstances)
    return parse(found.body or b"")


def canonical(call: Call, version: str, *, needed: str) -> str:
    """`url`, with the version a parameter of that name gives. Raises Invalid."""
    url = call.text_of("url")
    if url is None:
        raise Invalid(f"Give {needed}.", expression="http.url")
    said = call.text_of(version)
    return f"{url}|{said}" if said and "|" not in url else url


def knowing(terms: Terms, resource: Resource | None) -> Terms:
    """The terms, with a definition at hand among them where it is not the one known already."""
    if resource is None:
        return terms
    entry = of_resource(resource, OF_THE_REQUEST)
    if entry is None:
        raise Invalid(
            f"The {resource.get('resourceType')} needs a `url` to be found by.",
            expression="http.url",
        )
    if terms.canonicals.get(f"{entry.url}|{entry.version or ''}", entry.type) == resource:
        return terms
    return terms.with_one(entry)


# --- answers -------------------------------------------------------------------------------------


def boolean(name: str, value: bool) -> Given:  # noqa: FBT001 - it is the value told
    return Given(name, value, "boolean")


def string(name: str, value: str) -> Given:
    return Given(name, value, "string")


def as_coding(concept: Concept) -> Resource:
    """A concept as a Coding."""
    told = {
        "system": concept.system,
        "version": concept.version,
        "code": concept.code,
        "display": concept.display,
    }
    return {name: value for name, value in told.items() if value}


def named(concept: Concept) -> str:
    """A concept for people: `00004` (Phường Ba Đình)."""
    return f"`{concept.code}`" + (f" ({concept.display})" if concept.display else "")
