"""explain — a search told from within: what was understood, how it was done, what it cost.

https://hl7.org/fhir/R4/operationdefinition.html
https://hl7.org/fhir/R4/parameters.html

It takes the parameters of a search, and answers

    query        the search as it was understood: the self link of its answer
    type         each type that is searched; none: all
    understood   for each criterion: parameter, value, meaning
    order        how the matches are ordered
    include      what each `_include` and `_revinclude` brings
    ignored      what was left out under lenient handling
    step         name, found, milliseconds, and each statement: text with marks, values (only of
                 which type), use of indexes, rows-returned, rows-read or work, milliseconds
    milliseconds all together
"""

from __future__ import annotations

from decimal import Decimal

from fhir_server.foundation.outcome import Invalid
from fhir_server.interaction import explaining
from fhir_server.interaction.context import Answer, Circumstances, Pairs, Server
from fhir_server.interaction.search import Ask
from fhir_server.operation.call import Call, Given, Operation
from fhir_server.operation.parameters import answer, parameters
from fhir_server.store.contract.watch import Statement, Step

NAME = "explain"
MOST_TYPES = 100  # of the values of one statement


async def explain(server: Server, call: Call, circumstances: Circumstances) -> Answer:
    """Raises what the search does, and Invalid for a parameter that is no text."""
    types = (call.type,) if call.type else ()
    found = await explaining.explained(server, Ask(types, pairs(call)), circumstances)
    given = [Given("query", found.query, "string")]
    given += [Given("type", type, "code") for type in found.types]
    given += [understood(criterion) for criterion in found.criteria]
    given.append(text("order", found.sort))
    given += [text("include", include) for include in found.includes]
    given += [text("ignored", issue.diagnostics) for issue in found.ignored]
    given += [step(each) for each in found.steps]
    given.append(milliseconds(found.milliseconds))
    return answer(parameters(given))


def pairs(call: Call) -> Pairs:
    """A search's parameters are texts; in a Parameters resource numbers and truths will do."""
    found = []
    for given in call.given:
        value = given.value
        if isinstance(value, bool):
            value = "true" if value else "false"
        if not isinstance(value, (str, int, Decimal)):
            raise Invalid(
                f"`{given.name[:64]}` must be a text, as it would stand in the URL of a search.",
                expression=f"http.{given.name[:64]}",
            )
        found.append((given.name, str(value)))
    return found


def understood(criterion: explaining.Criterion) -> Given:
    return Given(
        "understood",
        parts=(
            text("parameter", criterion.name),
            text("value", criterion.value),
            text("meaning", criterion.meaning),
        ),
    )


def step(step: Step) -> Given:
    parts = [text("name", step.name)]
    if step.found is not None:
        parts.append(number("found", step.found))
    parts += [statement(each) for each in step.statements]
    return Given("step", parts=(*parts, milliseconds(step.milliseconds)))


def statement(told: Statement) -> Given:
    parts = [text("text", told.text)]
    if told.types:
        parts.append(text("values", ", ".join(told.types[:MOST_TYPES])))
    parts += [text("use", use) for use in told.uses]
    parts.append(number("rows-returned", told.returned))
    if told.read is not None:
        parts.append(number("rows-read", told.read))
    if told.work is not None:
        parts.append(number("work", told.work))
    return Given("statement", parts=(*parts, milliseconds(told.milliseconds)))


def text(name: str, value: str) -> Given:
    return Given(name, value, "string")


def number(name: str, value: int) -> Given:
    return Given(name, value, "integer")


def milliseconds(value: float) -> Given:
    return Given("milliseconds", Decimal(f"{value:.3f}"), "decimal")


OPERATIONS = (
    Operation(
        name=NAME,
        definition="https://fhir-server.example/OperationDefinition/explain",
        levels=frozenset(["system", "type"]),
        types=None,
        parameters=None,
        perform=explain,
        ability="explain",
    ),
)
