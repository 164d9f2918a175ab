"""gather — the settings as they are told: options, then the environment, then the defaults."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhir_server.settings.table import PREFIX, TABLE, Line, Settings

MAX_FILE = 64 * 1024  # signs a file with one secret may have


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
            values[line.name] = given if isinstance(given, bool) else optional(line, given)
            sources[line.name] = line.option
        elif found := variable_of(line, environment):
            sources[line.name], text = found
            values[line.name] = read(line, sources[line.name], text)
    settings = Settings(**values)
    refuse_together(settings, sources)
    return Gathered(settings, sources, strangers(environment))


def variable_of(line: Line, environment: Mapping[str, str]) -> tuple[str, str] | None:
    """The variable that tells the setting, and what it says or what stands in its file."""
    plain, file = line.variable, line.file_variable
    if not line.told.kind.may_be_secret or file not in environment:
        return (plain, environment[plain]) if plain in environment else None
    if plain in environment:
        raise SettingRefused(f"`{plain}` and `{file}` are both set: leave one of them out.")
    try:
        with Path(environment[file]).open(encoding="utf-8") as opened:
            text = opened.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is not text"
        raise SettingRefused(
            f"`{file}` is `{environment[file]}`, which cannot be read: {why}."
        ) from None
    if len(text) > MAX_FILE or not text.strip():
        raise SettingRefused(
            f"`{file}` is `{environment[file]}`, which is empty or longer than {MAX_FILE} signs:"
            " write the value into it, and nothing else."
        )
    return file, text.strip()


def optional(line: Line, given: str) -> Any:
    refuse_in_plain_sight(line, given)
    return read(line, line.option, given)


def refuse_in_plain_sight(line: Line, given: str) -> None:
    """What a process was started with is shown to everybody on the machine, and kept by shells."""
    if line.told.kind.has_secret(given):
        raise SettingRefused(
            f"`{line.option}` holds a secret, and what a program is started with is shown to"
            f" everybody on the machine: say `{line.variable}`, or the name of a file that holds it"
            f" as `{line.file_variable}`."
        )


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
    if settings.provider and not settings.public_base_url:
        raise SettingRefused(
            f"`{name('provider')}` needs `{name('public_base_url')}`, which its tokens are for."
        )
    keyless = settings.provider and not settings.provider_keys
    if keyless and settings.provider_configuration == "off":
        raise SettingRefused(
            f"`{name('provider_configuration')}` is `off`, so `{name('provider')}` needs"
            f" `{name('provider_keys')}`: the file or https URL of its key set."
        )
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        missing = "tls_key" if settings.tls_certificate else "tls_certificate"
        raise SettingRefused(
            f"`{name(missing)}` is empty: HTTPS needs the certificate and its key, plain HTTP"
            " neither."
        )
    if settings.secret and len(settings.secret) < 16:
        raise SettingRefused(
            f"`{name('secret')}` is shorter than 16 characters and could be guessed: leave it empty"
            " to have one made."
        )


def strangers(environment: Mapping[str, str]) -> tuple[str, ...]:
    known = [line.variable for line in TABLE]
    known += [line.file_variable for line in TABLE if line.told.kind.may_be_secret]
    told = []
    for variable in sorted(environment):
        near = difflib.get_close_matches(variable, known, 1, 0.85)
        if variable.startswith(PREFIX) and variable not in known and near:
            told.append(f"`{variable}` is not a setting. Did you mean `{near[0]}`?")
    return tuple(told)
