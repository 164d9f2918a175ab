"""answer — what became of each version of a chunk, as a Bundle, and read again.

https://hl7.org/fhir/R4/bundle.html#collection
https://hl7.org/fhir/R4/operationoutcome.html

The receipts stand in one text, which is what was signed; an entry with an OperationOutcome is there
for each version of which there is something to be said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from fhir_server.foundation.outcome import Invalid, Issue, operation_outcome
from fhir_server.sync import epochs
from fhir_server.sync.epochs import Epochs
from fhir_server.sync.words import NEVER, Answer, Outcome, Receipt, Refused, entry, extension
from fhir_server.sync.words.extension import Parts, Value

MOST_ISSUES = 200  # of one version
SEVERITIES = frozenset({"fatal", "error", "warning", "information"})


def written(answer: Answer) -> bytes:
    """The Bundle as JSON. The receipts travel in `said`, in the words `said_of` gives them."""
    parts: list[tuple[str, Value]] = [
        ("reached", answer.reached),
        ("epochs", epochs.told(answer.epochs)),
        ("now", answer.now),
    ]
    if answer.refused is not None:
        parts.append(("refused", answer.refused.value))
    if answer.said:
        parts += [("said", answer.said), ("signed", answer.signed)]
    meta = extension.extension(extension.ANSWER, parts)
    entries = [_written(one) for one in answer.receipts if one.issues]
    return entry.bundle("collection", meta, entries)


def _written(one: Receipt) -> bytes:
    told = extension.extension(extension.RECEIPT, [("number", one.number)])
    outcome = operation_outcome(one.issues)
    return entry.written({"extension": [told]}, orjson.dumps(outcome))


def said_of(receipts: Sequence[Receipt]) -> str:
    """The receipts as a text: `41 stored 2.901.3`, one after the other; what was not stored has
    no place. That a place is that of the one before but for its last number is said by `+`."""
    words = []
    last = NEVER
    for one in receipts:
        place = str(one.place) if one.place != NEVER else "-"
        if one.place != NEVER and one.place[:2] == last[:2] and one.place.num == last.num + 1:
            place = "+"
        words.append(f"{one.number} {one.outcome.value} {place}")
        last = one.place
    return ",".join(words)


def receipts_of(text: str, revs: dict[int, str]) -> tuple[Receipt, ...]:
    """The receipts of such a text. revs: the versions of the numbers, as they were sent.

    Raises Invalid."""
    receipts = []
    last = NEVER
    for word in text.split(",") if text else ():
        number, _, rest = word.partition(" ")
        outcome, _, where = rest.partition(" ")
        if not number.isdecimal() or int(number) not in revs:
            raise Invalid(f"A receipt is for number `{number[:20]}`, which was not sent.")
        if where == "+":
            place = last._replace(num=last.num + 1)
        else:
            place = NEVER if where == "-" else entry.place_of(where, f"receipt {number}")
        receipts.append(Receipt(int(number), revs[int(number)], _outcome(outcome), place))
        last = place
    return tuple(receipts)


def _outcome(text: str) -> Outcome:
    try:
        return Outcome(text)
    except ValueError:
        raise Invalid(f"`{text[:20]}` is no outcome of a push.") from None


def read(bundle: Any, revs: dict[int, str], told: str) -> Answer:
    """An answer to what was sent. told: the receipts' text, once what was signed has been verified
    (see receipts); empty where nothing is. Raises Invalid."""
    found = entry.entries(bundle, "collection")
    said = Parts(bundle["meta"], extension.ANSWER, where="Bundle.meta")
    issues = dict(_issues(one, f"entry[{at}]") for at, one in enumerate(found))
    receipts = tuple(
        one._replace(issues=issues.get(one.number, ())) for one in receipts_of(told, revs)
    )
    refused = said.text("refused", "")
    return Answer(
        receipts=receipts,
        reached=said.number("reached"),
        epochs=epochs_of(said.text("epochs")),
        now=said.number("now"),
        refused=_refused(refused) if refused else None,
        said=said.text("said", ""),
        signed=said.text("signed", ""),
    )


def epochs_of(text: str) -> Epochs:
    """Raises Invalid."""
    try:
        return epochs.read(text)
    except epochs.Malformed as error:
        raise Invalid(str(error)) from error


def _refused(text: str) -> Refused:
    try:
        return Refused(text)
    except ValueError:
        raise Invalid(f"`{text[:20]}` is no reason to refuse a push.") from None


def _issues(one: dict[str, Any], where: str) -> tuple[int, tuple[Issue, ...]]:
    number = Parts(one, extension.RECEIPT, where=where).number("number")
    outcome = one.get("resource")
    listed = outcome.get("issue") if isinstance(outcome, dict) else None
    if not isinstance(listed, list) or len(listed) > MOST_ISSUES:
        raise Invalid(f"`{where}.resource` is no OperationOutcome of at most {MOST_ISSUES} issues.")
    return number, tuple(issue(each, where) for each in listed)


def issue(said: Any, where: str) -> Issue:
    """An issue of an OperationOutcome, as far as a node shows it. Raises Invalid."""
    if not isinstance(said, dict) or said.get("severity") not in SEVERITIES:
        raise Invalid(f"An issue of `{where}` has no severity of R4.")
    expression, rule = said.get("expression"), None
    first = expression[0] if isinstance(expression, list) and expression else None
    match said.get("details"):
        case {"coding": [{"code": str(code)}]}:
            rule = code
    return Issue(
        severity=said["severity"],
        code=str(said.get("code", "processing")),
        diagnostics=str(said.get("diagnostics", "")),
        expression=first if isinstance(first, str) else None,
        rule=rule,
        vietnamese=_translated(said.get("_diagnostics")),
    )


def _translated(extended: Any) -> str | None:
    match extended:
        case {"extension": [{"extension": [{"url": "lang"}, {"valueString": str(text)}]}]}:
            return text
    return None
