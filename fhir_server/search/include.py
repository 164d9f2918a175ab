"""include — `_include` and `_revinclude`: which other resources come with the matches.

https://hl7.org/fhir/R4/search.html#include
https://hl7.org/fhir/R4/search.html#revinclude
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_server.foundation.outcome import Invalid
from fhir_server.search.apart import refuse_apart
from fhir_server.search.closest import closest, some
from fhir_server.search.parameters import Parameter, Parameters
from fhir_server.search.wanted import Include, Wanted

MAX_INCLUDES = 20  # of one search, both kinds together
EVERY = "*"
FORWARD, REVERSE = "_include", "_revinclude"


def include(wanted: Wanted, modifier: str, value: str) -> None:
    """Raises Invalid where it cannot be, naming what would be right."""
    _take(wanted, FORWARD, modifier, value)


def revinclude(wanted: Wanted, modifier: str, value: str) -> None:
    """Raises Invalid where it cannot be, naming what would be right."""
    _take(wanted, REVERSE, modifier, value)


def _take(wanted: Wanted, name: str, modifier: str, value: str) -> None:
    _demand_modifier(name, modifier)
    if wanted.summary == "text":
        # R4 search#summary: they "cannot be mixed with _summary=text"
        raise Invalid(f"`{name}` cannot be given with `_summary=text`. Leave one of them out.")
    found = _understood(wanted.parameters, name, value, iterate=bool(modifier))
    if not found.iterate:
        _demand_start(wanted, name, found)
    if found in wanted.includes:
        return
    if len(wanted.includes) >= MAX_INCLUDES:
        raise Invalid(
            f"The search has more than {MAX_INCLUDES} `{FORWARD}` and `{REVERSE}`. Ask in several "
            "searches, or for all references of a type with `*`."
        )
    wanted.includes = (*wanted.includes, found)


def _demand_modifier(name: str, modifier: str) -> None:
    # R4 search#include:  _include(:iterate)?  |  _revinclude(:iterate)?
    if modifier in ("", "iterate"):
        return
    earlier = " `:recurse` is of earlier versions of FHIR." if modifier == "recurse" else ""
    raise Invalid(
        f"`:{modifier[:40]}` is no modifier of `{name}`. What works with it: `:iterate`, which "
        f"goes on from what was included.{earlier}"
    )


def _understood(parameters: Parameters, name: str, value: str, *, iterate: bool) -> Include:
    # R4 search#include:  [source]:[parameter](:[target])?  ; the parameter may be *
    source, *rest = value.split(":")
    if not 1 <= len(rest) <= 2 or not all(rest) or "," in value:
        raise Invalid(_form(name, value))
    known = parameters.definitions.resource_types
    for type in (source, *rest[1:]):
        if type not in known:
            hint = closest(type, sorted(known))
            raise Invalid(f"`{name}` names `{type[:64]}`, which is no resource type of R4.{hint}")
    refuse_apart((source, *rest[1:]), f"{name}={value}")
    found = Include(name == REVERSE, source, rest[0], rest[1] if rest[1:] else None, iterate)
    if rest[0] != EVERY and rest[0] not in references(parameters, source):
        raise Invalid(_no_reference(parameters, name, found))
    if found.target and not followed(parameters, found):
        raise Invalid(
            f"`{name}` is given `{value[:200]}`, but `{rest[0]}` of {source} never refers to "
            f"`{found.target}`. It refers to {some(_targets(parameters, found))}."
        )
    return found


def _form(name: str, value: str) -> str:
    told = (
        f"`{name}` is given `{value[:80]}`. It is written `[source type]:[search parameter]`, and "
        f"`:[target type]` after it where only that type is wanted: `{name}=Encounter:subject` or "
        f"`{name}=Encounter:subject:Patient`."
    )
    if "," in value:
        told += f" For several, give `{name}` several times."
    return f"{told} For all references of a type, write `{name}=Encounter:*`."


def _no_reference(parameters: Parameters, name: str, asked: Include) -> str:
    """The parameter is not there, or is of another kind."""
    parameters.demand_ready((asked.source,), asked.code)
    there = sorted(references(parameters, asked.source))
    told = f"`{asked.code[:64]}` is no reference parameter of {asked.source}, as `{name}` needs."
    near = closest(asked.code, there)
    return f"{told}{near} It has {some([*there, EVERY])}." if there else f"{told} It has none."


def _demand_start(wanted: Wanted, name: str, asked: Include) -> None:
    """It must lead from the matches, or to them; only `:iterate` goes on from what is included."""
    if not wanted.types:
        return
    those = " and ".join(wanted.types[:5])
    if not asked.reverse and asked.source not in wanted.types:
        raise Invalid(
            f"`{name}={asked.source}:{asked.code}` begins at {asked.source}, and this search finds "
            f"{those}. To go on from what is included, write `{name}:iterate`."
        )
    if asked.reverse and asked.target and asked.target not in wanted.types:
        raise Invalid(
            f"`{name}={asked.source}:{asked.code}:{asked.target}` is about references to "
            f"{asked.target}, and this search finds {those}. To go on from what is included, write "
            f"`{name}:iterate`."
        )
    if asked.reverse and not any(
        leads_to(parameter, type)
        for parameter in followed(wanted.parameters, asked)
        for type in wanted.types
    ):
        raise Invalid(
            f"`{name}={asked.source}:{asked.code}` never refers to {those}, which this search "
            f"finds, but to {some(_targets(wanted.parameters, asked))}. To go on from what is "
            f"included, write `{name}:iterate`."
        )


# --- which parameters ----------------------------------------------------------------------------


def references(parameters: Parameters, type: str) -> dict[str, Parameter]:
    """The reference parameters of a type, by code."""
    found = parameters.of(type).items()
    return {code: one for code, one in found if one.type == "reference" and one.supported}


def followed(parameters: Parameters, asked: Include) -> tuple[Parameter, ...]:
    """The parameters an include goes by; those that never refer to its target are left out."""
    there = references(parameters, asked.source)
    if asked.code == EVERY:
        # a narrower one (`patient` of `subject`) says nothing the wider one does not
        found: Iterable[Parameter] = (one for one in there.values() if not one.narrowed)
    else:
        found = [there[asked.code]] if asked.code in there else []
    by_number = {one.number: one for one in found if leads_to(one, asked.target)}
    return tuple(by_number.values())


def leads_to(parameter: Parameter, type: str | None) -> bool:
    return type is None or not parameter.targets or type in parameter.targets


def _targets(parameters: Parameters, asked: Include) -> list[str]:
    found = {
        type
        for parameter in followed(parameters, asked._replace(target=None))
        for type in parameter.targets
    }
    return sorted(found)
