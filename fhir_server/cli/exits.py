"""exits — what each exit status of the command line means, and how a command ends with one."""

from __future__ import annotations

from enum import IntEnum
from typing import NoReturn


class Exit(IntEnum):
    """The exit statuses; TOLD has a sentence for each, and docs/commands.md is made from it."""

    DONE = 0
    FOUND = 1
    MISUSED = 2
    DATABASE = 3
    SCHEMA = 4
    PORT = 5
    BACKUP = 6
    INDEX = 7
    WIPED = 8
    STOPPED = 130


TOLD: dict[Exit, str] = {
    Exit.DONE: "Done.",
    Exit.FOUND: "Something was found: `doctor` met what is unsafe, `load` met a refused resource,"
    " `validate` met an error, `conflicts` tells of one.",
    Exit.MISUSED: "An option, argument or setting cannot be meant; nothing was done.",
    Exit.DATABASE: "The database cannot be reached or used.",
    Exit.SCHEMA: "The database has a schema this program does not know.",
    Exit.PORT: "The port is taken, or the address is not this machine's.",
    Exit.BACKUP: "The backup is damaged, or what was restored is not what was backed up.",
    Exit.INDEX: "The index was made by other rules than this server's: run `fhir-server reindex`.",
    Exit.WIPED: "The hub had this node wiped: nothing is here, until it is enrolled anew.",
    Exit.STOPPED: "Stopped by Ctrl+C before the end; what was acknowledged is kept.",
}


class Refused(Exception):
    """A command ends with this sentence on standard error, and this exit status."""

    def __init__(self, status: Exit, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def refuse(status: Exit, sentence: str) -> NoReturn:
    raise Refused(status, sentence)
