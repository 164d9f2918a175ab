"""province — a hub and its posts as processes of their own, each post behind a line that fails."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhir_server.security.tokens import client as clients
from fhir_server.security.tokens import enrolment
from fhir_server.store.migrate import migrate
from fhir_server.store.upkeep import access
from fhir_server.store.upkeep.side import Beside
from fhir_server.sync.node.line import enrol
from fhir_server.sync.node.standing import Standing, standing
from tests.acceptance.serving import ROOT, Serving
from tests.sync.real.clock import Clock, built
from tests.sync.real.disk import Disk, Fills
from tests.sync.real.line import Line
from tests.sync.real.net import HUB, POSTS, Net
from tests.sync.real.place import Place
from tests.sync.real.spaces import Space, are_allowed, within
from tests.sync.real.wire import Wire


class Fallible(Serving):
    """A server that can lose its clock, the room on its disk, and what was written since a backup.

    disk: None: the machine's own. space: None: the machine's own network. Its `clock` is right
    until it is set."""

    program = ("tests.sync.real.watched", "serve")
    name = ""

    def __init__(
        self,
        url: str,
        folder: Path,
        disk: Fills | None = None,
        library: Path | None = None,
        net: Net | None = None,
        space: Space | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(url, folder, **settings)
        self.disk, self.net, self.space = disk, net, space
        self.clock = Clock(folder / f"clock-{self.port}", library)

    @property
    def base(self) -> str:
        return f"{self.root}/fhir"

    def begin(self) -> None:
        with within(self.space):
            super().begin()

    def ready(self) -> tuple[int, Any]:
        with within(self.space):
            return super().ready()

    def beside(self) -> dict[str, str]:
        return self.clock.environment | self._trusted

    @property
    def _trusted(self) -> dict[str, str]:
        return self.net.trusted if self.net else {}

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One that an operator types."""
        told = {name: text for name, text in os.environ.items() if not name.startswith("FHIR_")}
        told |= {"FHIR_DATABASE_URL": self.url, "FHIR_HUB": self.settings.get("hub", "")}
        with within(self.space):
            return subprocess.run(
                [sys.executable, "-m", "fhir_server", *words],
                cwd=ROOT, env=told | {"FHIR_PROFILES": "off"} | self._trusted,
                capture_output=True, text=True, timeout=3600, check=False,
            )  # fmt: skip

    def must(self, *words: str) -> None:
        done = self.command(*words)
        assert done.returncode == 0, f"{self.name} {words}: {done.stdout + done.stderr}"

    def again(self) -> None:
        """Up, whatever has ended it."""
        assert self.process is not None
        if self.process.poll() is not None:
            self.begin()

    def doing(self) -> str:
        """What it is doing, and has told."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)
            time.sleep(0.5)
        return f"{self.name}: ready {self.ready()}\n{self.told()[-12_000:]}"

    def end(self) -> None:
        super().end()
        if self.disk is not None:
            self.disk.end()


class Hub(Fallible):
    """The province's server."""

    name = "hub"

    def __init__(
        self,
        url: str,
        folder: Path,
        disk: Fills | None = None,
        library: Path | None = None,
        net: Net | None = None,
        **settings: Any,
    ) -> None:
        space = net.hub if net else None
        super().__init__(url, folder, disk, library, net, space, access="on", **settings)
        if net is not None:
            self.trust = net.own.trust
            self.settings |= {
                "host": "0.0.0.0", "public_base_url": self.base,
                "tls_certificate": net.own.certificate, "tls_key": net.own.key,
            }  # fmt: skip

    @property
    def root(self) -> str:
        return f"https://{HUB}:{self.port}" if self.net else super().root

    def code(self, id: str, role: str, facility: str = "", purpose: str = "TREAT") -> str:
        """Register a client; the code it is enrolled with."""
        now = int(time.time() * 1000)
        new = clients.Client(
            id=id, scopes="system/*.cruds", roles=(role,), facility=facility,
            purposes=(purpose,), changed=now,
        )  # fmt: skip
        assert access.register(self.url, clients.row(new))
        code = enrolment.new_code()
        access.issue(self.url, enrolment.kept(code, id, now, minutes=60))
        return code

    def place(self, id: str, role: str, facility: str = "", purpose: str = "TREAT") -> Place:
        """Somebody who works at the hub itself."""
        code = self.code(id, role, facility, purpose)
        with within(self.space), believing(self._trusted):
            key = asyncio.run(enrol(self.base, code))
        return Place(id, self.base, key, self.space)


class Post(Fallible):
    """A health post: a node with a database of its own, behind its own line."""

    def __init__(self, facility: str, folder: Path, hub: Hub, number: int, found: Found) -> None:
        self.facility = self.name = facility
        self.line, space, of_hub = joined(hub, number, found)
        home = folder / facility
        disk = Disk(home) if found.disks else None
        if disk is None:
            home.mkdir()
        shutil.copy(found.template, home / "node.db")
        url = f"sqlite:///{home}/node.db"
        self.stick = folder / f"stick-{facility}"
        self.stick.mkdir()
        super().__init__(
            url, folder, disk, found.clocks, found.net, space, hub=of_hub, hub_copy=self.stick,
            reference_targets="off", text_index="false",
        )  # fmt: skip

    @property
    def id(self) -> str:
        return f"tyt-{self.facility}"

    def enrol(self, code: str) -> None:
        """With the command that an operator types."""
        self.must("sync", "enrol", "--code", code)

    @property
    def side(self) -> Beside:
        return Beside(self.url)

    def standing(self) -> Standing | None:
        return asyncio.run(standing(self.side))

    def end(self) -> None:
        super().end()
        self.line.end()


@dataclass(frozen=True, slots=True)
class Found:
    """What the servers of a province are made of. seed: of what happens on its lines. template: a
    database that is migrated, to save the time. disks: each has its own. clocks: what is loaded for
    a clock of its own. net: networks of their own."""

    seed: int
    template: Path
    disks: bool
    clocks: Path | None
    net: Net | None


def joined(hub: Hub, number: int, found: Found) -> tuple[Line | Wire, Space | None, str]:
    """A post's line, its network, and what the hub is called there. Where posts have a network,
    each second one speaks to the hub by itself, and the others through a proxy at their end."""
    seed = found.seed * 100 + number
    if found.net is None:
        line = Line(hub.port, seed)
        return line, None, f"http://127.0.0.1:{line.port}/fhir"
    space, wire = found.net.join(number, seed)
    if number % 2 == 0:
        return wire, space, hub.base
    wire.proxy = found.net.proxied(space, number, hub.port, seed)
    return wire, space, f"https://{POSTS[number]}:{wire.proxy.port}/fhir"


@contextmanager
def believing(told: dict[str, str]) -> Iterator[None]:
    """As programs are told by their environment, so is this one."""
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, text in before.items():
            if text is None:
                del os.environ[name]
            else:
                os.environ[name] = text


def organization(id: str) -> dict[str, Any]:
    code = f"92{zlib.crc32(id.encode()) % 1000:03d}"
    return {
        "resourceType": "Organization", "id": id, "name": f"Trạm Y tế {id}",
        "identifier": [{"system": "http://fhir.hl7.org.vn/core/sid/ma-cskcb", "value": code}],
    }  # fmt: skip


def is_reached(url: str) -> bool:
    """Also from another network: a file, or a database by a socket that is one."""
    return not url.startswith("postgresql") or "host=/" in url


class Province:
    """All of it: `with Province(...) as one:`."""

    def __init__(
        self,
        url: str,
        folder: Path,
        seed: int,
        posts: tuple[str, ...],
        *,
        whole: bool = False,
        apart: bool = False,
        drives: Fills | None = None,
        **of_hub: Any,
    ) -> None:
        """url: empty: the hub's database is a file. whole: each server has a disk and a clock of
        its own. apart: and a network, where that may be had and the database be reached from
        it. drives: which the hub's database is on. of_hub: settings of the hub."""
        self.net = Net(folder) if apart and is_reached(url) and are_allowed() else None
        clocks = built(folder) if whole else None
        found = Found(seed, folder / "template.db", whole, clocks, self.net)
        migrate(f"sqlite:///{found.template}")
        disk: Fills | None = drives
        if not url:
            disk = Disk(folder / "hub") if whole else None
            (folder / "hub").mkdir(exist_ok=True)
            shutil.copy(found.template, folder / "hub" / "hub.db")
            url = f"sqlite:///{folder}/hub/hub.db"
        self.folder = folder
        self.hub = Hub(url, folder, disk, clocks, self.net, **of_hub)
        self.posts = [
            Post(facility, folder, self.hub, n, found) for n, facility in enumerate(posts)
        ]
        self.at_hub: dict[str, Place] = {}
        self.at_post: dict[str, Place] = {}

    def __enter__(self) -> Province:
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _begin(self) -> None:
        for server in (self.hub, *self.posts):
            server.begin()
        self.hub.await_ready()
        codes = []
        operator = self.hub.place("tin", "operator", purpose="HSYSADMIN")
        for post in self.posts:
            answer = operator.ask(
                "PUT", f"Organization/{post.facility}", organization(post.facility)
            )
            assert answer.status_code == 201, answer.text
            self.at_hub[post.facility] = self.hub.place(
                f"his-{post.facility}", "system", post.facility
            )
            codes.append(self.hub.code(post.id, "node", post.facility))
            self.at_post[post.facility] = Place(post.id, post.base, space=post.space)
        operator.close()
        with ThreadPoolExecutor() as threads:
            list(threads.map(Post.enrol, self.posts, codes))
        for post in self.posts:
            post.await_ready()

    @property
    def servers(self) -> list[Hub | Post]:
        return [self.hub, *self.posts]

    def __exit__(self, *_: object) -> None:
        for place in (*self.at_hub.values(), *self.at_post.values()):
            place.close()
        for server in (*self.posts, self.hub):
            server.end()
        if self.net is not None:
            self.net.end()
