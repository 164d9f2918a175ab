"""What the program says of itself is one line, and holds nothing of anybody's health."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable

import orjson
import pytest

from fhir_server.foundation.journal import LONGEST, Lines, Plain

SECRET = "Nguyễn Thị Bí-mật"


def fail() -> None:
    raise ValueError(SECRET) from KeyError(SECRET)


def record(name: str, message: str, *given: object, error: bool = False) -> logging.LogRecord:
    info = None
    if error:
        try:
            fail()
        except ValueError:
            info = sys.exc_info()
    return logging.LogRecord(name, logging.WARNING, __file__, 1, message, given, info)


def test_our_own_sentences_are_told_as_they_are() -> None:
    told = json.loads(Lines().format(record("fhir_server.store", "`%s` is full.", "disk")))
    assert (told["level"], told["from"]) == ("warning", "fhir_server.store")
    assert told["message"] == "`disk` is full."
    assert set(told) == {"time", "level", "from", "message"}


def test_v5_0_0_16_2_5_of_an_exception_only_its_class_and_its_way_are_told() -> None:
    written = Lines().format(record("fhir_server.x", "It failed.", error=True))
    told = json.loads(written)
    assert told["error"] == "builtins.ValueError"
    assert any("test_journal" in frame for frame in told["traceback"])
    assert "caused by builtins.KeyError" in told["traceback"]
    assert "mật" not in written


@pytest.mark.parametrize("name", ["asyncio", "sqlalchemy.engine", "fastapi", "fhir_serverless"])
def test_of_what_libraries_fill_in_nothing_is_told(name: str) -> None:
    for message, given in (
        ("Parameters: %s", (SECRET,)),
        (f"Task exception was never retrieved\nfuture: <Task exception=E('{SECRET}')>", ()),
    ):
        for form in (Lines(), Plain()):
            assert "mật" not in form.format(record(name, message, *given, error=True))


@pytest.mark.parametrize("form", [Lines, Plain])
def test_v5_0_0_16_4_1_no_sign_begins_another_line(form: Callable[[], logging.Formatter]) -> None:
    odd = 'x\r\n{"level": "error"}\u2028\x85\x00' + "y" * 10_000
    written = form().format(record("fhir_server", "%s", odd))
    assert "\n" not in written
    assert "\r" not in written
    assert len(written) < LONGEST + 300


def test_a_line_is_json_whatever_is_said() -> None:
    told = orjson.loads(Lines().format(record("fhir_server", "%s %s", "lacks one")))
    assert told["level"] == "warning"
