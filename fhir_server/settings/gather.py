"""gather — the settings as they are told: options, then the environment, then the defaults."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.settings.table import PREFIX, TABLE, Line, Settings


class SettingRefused(Exception):
    """A value that cannot be meant; the sentence names the variable or option it came by."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """The settings, and for each where it comes from: `default`, a variable, or an option."""

    settings: Settings
    sources: Mapping[str, str]
    strangers: tuple[str, ...]  # sentences on variables that look like settings and are none


def gather(
    environment: Mapping[str, str], options: Mapping[str, str | bool | None] | None = None
) -> Gathered:
    """Options before the environment before the defaults. Raises SettingRefused."""
    values: dict[str, Any] = {}
    sources = {line.name: "default" for line in TABLE}
    for line in TABLE:
        given = (options or {}).get(line.name)
        if given is not None:
            values[line.name] = given if isinstance(given, bool) else read(line, line.option, given)
            sources[line.name] = line.option
        elif line.variable in environment:
            values[line.name] = read(line, line.variable, environment[line.variable])
            sources[line.name] = line.variable
    settings = Settings(**values)
    refuse_together(settings, sources)
    return Gathered(settings, sources, strangers(environment))


def read(line: Line, source: str, given: str) -> Any:
    try:
        return line.told.kind.read(given)
    except ValueError as wants:
        raise SettingRefused(f"`{source}` is `{line.told.kind.redact(given)}`: {wants}.") from None


def refuse_together(settings: Settings, sources: Mapping[str, str]) -> None:
    """Refuse what each value allows by itself and both together do not."""

    def name(field: str) -> str:
        line = next(line for line in TABLE if line.name == field)
        return line.variable if sources[field] == "default" else sources[field]

    if settings.page_size > settings.max_page_size:
        raise SettingRefused(
            f"`{name('page_size')}` is {settings.page_size}, more than the"
            f" {settings.max_page_size} of `{name('max_page_size')}`: lower one or raise the other."
        )
    if settings.workers > 1 and settings.database_url.startswith("sqlite"):
        raise SettingRefused(
            f"`{name('workers')}` is {settings.workers}, but SQLite has one writer: say 1, or give"
            f" a PostgreSQL database by `{name('database_url')}`."
        )
    if settings.secret and len(settings.secret) < 16:
        raise SettingRefused(
            f"`{name('secret')}` is shorter than 16 characters and could be guessed: leave it empty"
            " to have one made."
        )


def strangers(environment: Mapping[str, str]) -> tuple[str, ...]:
    known = [line.variable for line in TABLE]
    told = []
    for variable in sorted(environment):
        near = difflib.get_close_matches(variable, known, 1, 0.85)
        if variable.startswith(PREFIX) and variable not in known and near:
            told.append(f"`{variable}` is not a setting. Did you mean `{near[0]}`?")
    return tuple(told)
