"""shell — pages that are followed in a terminal: their commands are run by a real shell.

A block that runs has the line `<!-- shell -->` before it, and its commands share one shell, in
their order, in an empty folder that holds `docs` as the repository does. A block with the line
`<!-- second terminal -->` is typed into another one; what it ends with is a server, which goes on
while the rest is done. What follows a command is what it prints, and `...` says that something was
left out, as in console.py. Each command succeeds, or the page is wrong. The port is another than
is printed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.docs.console import COMMAND, ROOT, Example, Page
from tests.test_cli import environment

TYPED = re.compile(
    r"^<!-- (shell|second terminal) -->\n```console\n(.*?)^```", re.MULTILINE | re.DOTALL
)
PORT = "8000"  # where the documents say the server is
DONE = "-- the command is done --"
NEEDED = ("bash", "curl", "openssl")
MISSING = [name for name in NEEDED if shutil.which(name) is None]


@dataclass(frozen=True)
class Typed:
    """What is typed into one terminal, without a pause."""

    is_second: bool
    examples: tuple[Example, ...]


def typed(page: Path) -> list[Typed]:
    found = []
    for terminal, block in TYPED.findall(page.read_text("utf-8")):
        commands = list(COMMAND.finditer(block))
        ends = [command.start() for command in commands[1:]] + [len(block)]
        told = [
            Example(command[1], block[command.end() : end].strip())
            for command, end in zip(commands, ends, strict=True)
        ]
        found.append(Typed(terminal != "shell", tuple(told)))
    return found


def follow(page: Path, at: Path) -> None:
    """Do what the page says. Raises AssertionError where something else happens."""
    (at / "docs").symlink_to(ROOT / "docs")
    port = free_port()
    told = Page(f"http://127.0.0.1:{port}/fhir")
    with _shell(at, port) as first, _shell(at, port) as second:
        for block in typed(page):
            for example in block.examples:
                last = example is block.examples[-1]
                try:
                    if block.is_second and last:
                        second.begin(example.command)
                        until_it_listens(port)
                    else:
                        shell = second if block.is_second else first
                        compared(told, example, shell.run(told.chosen(example.command)))
                except AssertionError as wrong:
                    raise AssertionError(f"$ {example.command}\n{wrong}") from wrong


def compared(told: Page, example: Example, printed: str) -> None:
    if not example.printed:
        assert not printed, f"it prints: {printed}"
    else:
        told.compare(example.printed, printed)


def free_port() -> int:
    with closing(socket.socket()) as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def until_it_listens(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with closing(socket.socket()) as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("it does not listen")


class Shell:
    """A bash that is told one command after another."""

    def __init__(self, told: IO[str], said: IO[str], port: int) -> None:
        self._told, self._said, self._port = told, said, port

    def begin(self, command: str) -> None:
        self._told.write(command.replace(f":{PORT}/", f":{self._port}/") + "\n")
        self._told.flush()

    def run(self, command: str) -> str:
        """What it prints. Raises AssertionError where it fails."""
        self.begin(f"{command}\nprintf '\\n%s %s\\n' '{DONE}' $?")
        lines: list[str] = []
        for line in self._said:
            if line.startswith(DONE):
                printed = "".join(lines).strip()
                assert line.split()[-1] == "0", f"it fails: {printed}"
                return printed
            lines.append(line)
        raise AssertionError(f"the shell ended: {''.join(lines)}")


@contextmanager
def _shell(at: Path, port: int) -> Iterator[Shell]:
    given = environment(FHIR_PORT=str(port), PATH=_path(), PYTHONPATH=str(ROOT))
    given.pop("FHIR_PROFILES")  # as it is for whoever follows the page
    ran = subprocess.Popen(
        ["bash", "--noprofile", "--norc"],
        cwd=at,
        env=given,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that what it has begun ends with it
    )
    try:
        assert ran.stdin
        assert ran.stdout
        yield Shell(ran.stdin, ran.stdout, port)
    finally:
        os.killpg(ran.pid, signal.SIGKILL)
        ran.communicate()


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
