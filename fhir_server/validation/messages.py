"""messages — what validation says, in English and in Vietnamese, from one catalogue.

https://hl7.org/fhir/R4/operationoutcome.html
https://hl7.org/fhir/R4/valueset-issue-type.html

The catalogue is the folder `catalogue/`, a TOML file for each area. An entry:

    ["slice-min"]
    severity = "error"          # unless it is error
    code = "required"           # R4 issue type
    en = "`{name}` needs {min:plain} of the slice {slice}; {found:plain} found. Add one."
    vi = "..."

A key is the rule's; where a rule has several sentences they are `rule.variant`. `{name}` puts a
value in backticks, `{name:plain}` as it is, `{name:or}` and `{name:and}` a list of values. Every
value is cut to what a reader can use, and cleaned of what cannot be told.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from fhir_server.foundation.outcome import Issue

FOLDER = Path(__file__).parent / "catalogue"
UNTELLABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
MAX_VALUE, MAX_PLAIN, MAX_LISTED = 50, 300, 12
JOINED = {"en": {"or": "or", "and": "and"}, "vi": {"or": "hoặc", "and": "và"}}
MORE = {"en": "{} more", "vi": "{} mục khác"}


class Message(NamedTuple):
    """An entry of the catalogue."""

    key: str
    severity: str
    code: str
    en: str
    vi: str

    @property
    def rule(self) -> str:
        return self.key.partition(".")[0]


@cache
def catalogue() -> dict[str, Message]:
    """Every message by its key."""
    found: dict[str, Message] = {}
    for file in sorted(FOLDER.glob("*.toml")):
        for key, entry in tomllib.loads(file.read_text(encoding="utf-8")).items():
            if key in found:
                raise ValueError(f"`{key}` is in the catalogue twice, the second in {file.name}.")
            severity = entry.get("severity", "error")
            found[key] = Message(key, severity, entry["code"], entry["en"], entry["vi"])
    return found


def issue(
    key: str,
    expression: str | None = None,
    *,
    severity: str | None = None,
    rule: str | None = None,
    profile: str | None = None,
    **said: Any,
) -> Issue:
    """An Issue whose sentences are the catalogue's. Raises KeyError where it has no such key."""
    message = catalogue()[key]
    return Issue(
        severity or message.severity,
        message.code,
        _told(message.en, "en", said),
        expression,
        rule or message.rule,
        vietnamese=_told(message.vi, "vi", said),
        profile=profile,
    )


def _told(template: str, language: str, said: dict[str, Any]) -> str:
    return template.format_map({name: _Value(value, language) for name, value in said.items()})


class _Value:
    """A value within a sentence."""

    __slots__ = ("language", "value")

    def __init__(self, value: Any, language: str) -> None:
        self.value = value
        self.language = language

    def __format__(self, way: str) -> str:
        match way:
            case "plain":
                return tellable(str(self.value), MAX_PLAIN)
            case "or" | "and":
                return listed(self.value, JOINED[self.language][way], MORE[self.language])
            case _:
                return shown(self.value)


def tellable(text: str, most: int = MAX_VALUE) -> str:
    """A client's text as a sentence can hold it."""
    clean = UNTELLABLE.sub("\ufffd", text[: most + 10])
    return f"{clean[:most]}…" if len(text) > most else clean


def shown(value: Any) -> str:
    """Enough of a client's value to know it by, in backticks."""
    match value:
        case bool():
            return "`true`" if value else "`false`"
        case None:
            return "`null`"
        case dict():
            return "`{…}`"
        case list() | tuple():
            return "`[…]`"
        case int() if not -(10**40) < value < 10**40:
            return "`…`"
        case _:
            return f"`{tellable(str(value))}`"


def listed(values: Iterable[Any], joined: str, more: str) -> str:
    """`a`, `b` or `c`; a long list ends with how many more there are."""
    everything = list(values)
    told = [shown(value) for value in everything[:MAX_LISTED]]
    if len(everything) > MAX_LISTED:
        told.append(more.format(len(everything) - MAX_LISTED))
    if len(told) < 2:
        return "".join(told)
    return f"{', '.join(told[:-1])} {joined} {told[-1]}"
