"""console — the examples of the documents: what is asked, what is printed, and whether it is so.

A block that runs has the line `<!-- runs -->` before it. Its commands are `curl`; what follows a
command is the answer. Ids, versions, times and cursors may be others than printed, each the same
wherever it is printed. Whatever is left out is said by `...`: members of an object, items of a
list, a piece of a text. Headers that are not printed are not compared. A client that is told to
come back later does.

A page whose examples ask other than an empty server has the line `<!-- starts -->` before the
commands that start it: `fhir-server demo`, which fills it, and `fhir-server serve`.
"""

from __future__ import annotations

import argparse
import fnmatch
import http.client
import json
import re
import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

ROOT = Path(__file__).parents[2]
BASE = "http://127.0.0.1:8000/fhir"  # where the documents say the server is
BLOCK = re.compile(r"^<!-- runs -->\n```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
STARTING = re.compile(r"^<!-- starts -->\n```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.+)\n?", re.MULTILINE)
OUTCOME = re.compile(r'\{\s*"resourceType": "OperationOutcome"')
LATER = 600  # looks at an answer that is not there yet
CUT = "\N{HORIZONTAL ELLIPSIS}"

# What one server chooses otherwise than another.
CHOSEN = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"  # ids
    r"|\b[0-9]{1,6}-[a-z2-7]{26}\b"  # versions
    r"|(?<=_cursor=)[\w-]+"
)
TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3}Z|\+00:00)|\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"
)


@dataclass(frozen=True)
class Example:
    command: str
    printed: str


@dataclass(frozen=True)
class Answer:
    status: int
    reason: str
    headers: dict[str, str]
    body: str


def examples(page: Path) -> list[Example]:
    """Every command of a page that runs, with what is printed after it."""
    found = []
    for block in BLOCK.findall(page.read_text("utf-8")):
        commands = list(COMMAND.finditer(block))
        ends = [command.start() for command in commands[1:]] + [len(block)]
        for command, end in zip(commands, ends, strict=True):
            found.append(Example(command[1], block[command.end() : end].strip()))
    return found


@dataclass(frozen=True)
class Start:
    """What stands behind `fhir-server demo`, if anything does, and behind `fhir-server serve`."""

    demo: tuple[str, ...] = ()
    serve: tuple[str, ...] = ()


def start(page: Path) -> Start:
    """How the server of a page's examples is started."""
    block = STARTING.search(page.read_text("utf-8"))
    if block is None:
        return Start()
    commands = [shlex.split(command[1]) for command in COMMAND.finditer(block[1])]
    assert all(words[0] == "fhir-server" for words in commands), commands
    given = {words[1]: tuple(words[1:]) for words in commands}
    assert given.keys() <= {"demo", "serve"}, given
    return Start(given.get("demo", ()), given.get("serve", ())[1:])


# --- curl, as far as the documents use it --------------------------------------------------------


class _Curl(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise AssertionError(f"the examples do without this of curl: {message}")


def _curl() -> argparse.ArgumentParser:
    parser = _Curl(prog="curl", add_help=False, allow_abbrev=False)
    parser.add_argument("url")
    parser.add_argument("-i", dest="include", action="store_true")
    parser.add_argument("-I", dest="head", action="store_true")
    parser.add_argument("-G", dest="get", action="store_true")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="data", action="append", default=[])
    parser.add_argument("--data-urlencode", dest="encoded", action="append", default=[])
    parser.add_argument("--data-binary", dest="binary")
    return parser


def curl(command: str, base: str) -> Answer:
    """What curl would do, on any machine. `base` is the server's, in the place of BASE."""
    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == "curl", command
    asked = _curl().parse_args(words[1:])
    url = asked.url.replace(BASE, base)
    assert url.startswith(base), f"{BASE} is where the documents say the server is"
    assert re.fullmatch(r"[!-~]+", url) and not set(url) & set("[]{}"), (
        "curl reads [] and {} itself"
    )
    pairs = [
        name + "=" + quote(value) for name, _, value in (e.partition("=") for e in asked.encoded)
    ]
    body = "&".join([*(_data(each) for each in asked.data), *pairs]).encode()
    if asked.binary is not None:
        body = asked.binary.encode()
    headers = dict(each.split(": ", 1) for each in asked.headers)
    if asked.get:
        url, body = f"{url}?{body.decode()}", b""
    if body:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    method = asked.method or ("HEAD" if asked.head else "POST" if body else "GET")
    return _sent(method, url, body or None, headers)


def _data(told: str) -> str:
    """`@file` is read, without its line ends, as curl does."""
    if not told.startswith("@"):
        return told
    return (ROOT / told[1:]).read_text("utf-8").replace("\n", "")


def _sent(method: str, url: str, body: bytes | None, headers: dict[str, str]) -> Answer:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, answer.reason, told, answer.read().decode())
    finally:
        connection.close()


# --- whether it is what is printed ---------------------------------------------------------------


@dataclass
class Page:
    """The examples of one page, run in their order on one server."""

    base: str
    known: dict[str, str] = field(default_factory=dict)  # as printed -> as this server chose

    def run(self, example: Example) -> None:
        """Raises AssertionError where the answer is another than is printed."""
        command = self.chosen(example.command)
        answer = self._answer(command, example.printed)
        words = shlex.split(command.replace("\\\n", " "))
        printed = example.printed
        if "-i" in words or "-I" in words:
            head, _, printed = printed.partition("\n\n")
            self._head(head, answer)
        else:
            is_refusal = OUTCOME.match(printed) is not None
            assert (answer.status >= 400) == is_refusal, f"{answer.status} {answer.body}"
        self.compare(printed.strip(), answer.body)

    def chosen(self, command: str) -> str:
        """The command with what this server chose in the place of what is printed."""
        for printed, chosen in self.known.items():
            command = command.replace(printed, chosen)
        return command

    def _answer(self, command: str, printed: str) -> Answer:
        """The answer; that it comes later is not waited for where it is what is printed."""
        for _ in range(LATER):
            answer = curl(command, self.base)
            is_later = answer.status == 503 and "retry-after" in answer.headers
            if not is_later or printed.startswith("HTTP/1.1 503"):
                return answer
            time.sleep(0.1)
        raise AssertionError(f"no answer: {answer}")

    def _head(self, printed: str, answer: Answer) -> None:
        first, *lines = printed.splitlines()
        assert first == f"HTTP/1.1 {answer.status} {answer.reason}", answer
        for line in lines:
            name, _, value = line.partition(": ")
            self._text(value, answer.headers[name], name)

    def compare(self, printed: str, body: str) -> None:
        """Raises AssertionError where the body is another than is printed."""
        if printed[:1] in ("{", "["):
            self._json(json.loads(marked(printed)), json.loads(body), "")
        else:
            self._text(printed, body.strip(), "the body")

    def _json(self, printed: Any, real: Any, where: str) -> None:
        assert type(printed) is type(real), f"{where}: {real}"
        if isinstance(printed, dict):
            left_out = printed.pop(CUT, None) is not None
            assert printed.keys() == real.keys() or left_out, f"{where}: {list(real)}"
            for name, value in printed.items():
                assert name in real, f"{where}.{name} is not there: {list(real)}"
                self._json(value, real[name], f"{where}.{name}")
        elif isinstance(printed, list):
            self._list(printed, real, where)
        elif isinstance(printed, str):
            self._text(printed, real, where)
        else:
            assert printed == real, where

    def _list(self, printed: list[Any], real: list[Any], where: str) -> None:
        """`...` ends the comparison, so it is printed at the end of a list."""
        if CUT in printed:
            printed = printed[: printed.index(CUT)]
            assert len(printed) < len(real), f"{where}: nothing is left out"
        else:
            assert len(printed) == len(real), f"{where}: {len(real)} items"
        for index, value in enumerate(printed):
            self._json(value, real[index], f"{where}[{index}]")

    def _text(self, printed: str, real: str, where: str) -> None:
        real = TIME.sub("(time)", real.replace(self.base, BASE))
        wanted = TIME.sub("(time)", printed)
        pattern = CHOSEN.sub("(chosen)", wanted).replace("[", "[[]").replace("...", "*")
        assert fnmatch.fnmatchcase(CHOSEN.sub("(chosen)", real), pattern), f"{where}: {real}"
        if "..." in printed:
            return
        for name, chosen in zip(CHOSEN.findall(wanted), CHOSEN.findall(real), strict=True):
            assert self.known.setdefault(name, chosen) == chosen, f"{where}: {name} is {chosen}"


def marked(printed: str) -> str:
    """JSON with `...` in it as JSON."""
    told, within = [], [""]
    for token in re.findall(r'"(?:\\.|[^"\\])*"|\.\.\.|.', printed, re.DOTALL):
        if token in "{[":
            within.append(token)
        elif token in "}]":
            within.pop()
        told.append(token if token != "..." else _cut(within[-1]))
    return "".join(told)


def _cut(within: str) -> str:
    return f'"{CUT}": 0' if within == "{" else f'"{CUT}"'
