"""journal — what the program says of itself, so that nothing in it is of anybody's health.

A record of `logging` is written with the words of this program and of the libraries named below.
Of an exception only its class and where it was raised are told: its words may quote a record, or
the values of a statement. Of other libraries only what stands in their code, nothing they fill in.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import Any

import orjson

# Whose sentences hold no data of records: our own (a test plants marks and looks for them), and
# those on sockets, starts and stops, and on connections to the database.
SPEAKING = ("fhir_server", "uvicorn", "psycopg.pool", "py.warnings")
MOST = 40  # frames
LONGEST = 2000  # signs of one sentence


def told(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def frames(error: BaseException) -> list[str]:
    """Where it was raised, and where what caused it was; outermost first."""
    found = [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        found += [f"caused by {told(cause)}", *frames(cause)]
    return found[-MOST:]


def sentence(record: logging.LogRecord) -> str:
    """What the record says, as far as it may be written down."""
    if record.name.partition(".")[0] in SPEAKING or record.name in SPEAKING:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # the words do not fit the sentence
            text = str(record.msg)
    else:
        text = str(record.msg).partition("\n")[0]
    return text.strip()[:LONGEST]


def error_of(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if isinstance(record.exc_info, tuple) else None


class Lines(logging.Formatter):
    """One line of JSON a record: no sign of what it says can begin another line."""

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "from": record.name,
            "message": sentence(record),
        }
        error = error_of(record)
        if error is not None:
            facts |= {"error": told(error), "traceback": frames(error)}
        return orjson.dumps(facts).decode()


class Plain(logging.Formatter):
    """A sentence for who sits at the command line."""

    def format(self, record: logging.LogRecord) -> str:
        error = error_of(record)
        end = f" ({told(error)})" if error is not None else ""
        return f"{record.levelname.capitalize()}: {' '.join(sentence(record).split())}{end}"


def begin(level: str = "warning", *, lines: bool) -> None:
    """Set it up, once for a process: everything that is logged goes to standard error this way."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines() if lines else Plain())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("fhir_server").setLevel(level.upper())
    logging.raiseExceptions = False  # what cannot be written is not printed with its data
    logging.captureWarnings(capture=True)
    threading.excepthook = _of_thread
    sys.unraisablehook = _unraisable


def _of_thread(given: threading.ExceptHookArgs) -> None:
    error = given.exc_value
    if error is not None:
        log.error("A thread ended.", exc_info=(type(error), error, error.__traceback__))


def _unraisable(given: sys.UnraisableHookArgs) -> None:
    error = given.exc_value
    if error is not None:
        log.error("Raised where it cannot go.", exc_info=(type(error), error, error.__traceback__))


log = logging.getLogger(__name__)
