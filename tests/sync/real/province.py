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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx

from fhir_server.security.tokens import client as clients
from fhir_server.security.tokens import enrolment
from fhir_server.store.migrate import migrate
from fhir_server.store.upkeep import access
from fhir_server.store.upkeep.side import Beside
from fhir_server.sync.node import key as node_key
from fhir_server.sync.node.line import enrol
from fhir_server.sync.node.standing import Standing, standing
from tests.acceptance.serving import ROOT, Serving
from tests.sync.real.clock import Clock, built
from tests.sync.real.disk import Disk
from tests.sync.real.line import Line

KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TOKEN_LIVES = 240.0  # seconds a token is used


class Refused(Exception):
    """A server that is there does not want what it was asked."""

    def __init__(self, why: str, status: int) -> None:
        super().__init__(f"{why}: {status}")
        self.status = status


class Place:
    """Where people write: a server's base URL, and who they are there."""

    def __init__(self, name: str, base: str, key: node_key.NodeKey | None = None) -> None:
        self.name, self.base, self.key = name, base, key
        self._http = httpx.Client(timeout=20, trust_env=False)
        self._token, self._until = "", 0.0

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Raises httpx.HTTPError where nobody answers."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.base}/{path}" if path else self.base
        for turn in range(2):
            if self.key is not None:
                told["Authorization"] = f"Bearer {self.token()}"
            answer = self._http.request(method, url, json=body, headers=told)
            if answer.status_code != 401 or turn:
                break
            self._until = 0.0  # the server's clock was set: what it gave has ended
        return answer

    def token(self) -> str:
        """Asked for by the server's clock if ours does not do. Raises Refused."""
        key = self.key
        assert key is not None
        if time.monotonic() > self._until:
            answer = self._of_token(key, time.time())
            for _ in range(3):
                if answer.status_code not in (400, 401) or "date" not in answer.headers:
                    break  # in its first moment a server tells no time
                time.sleep(0.5)  # what a server says of its time is up to a second old
                hers = parsedate_to_datetime(answer.headers["date"]).timestamp()
                answer = self._of_token(key, hers)
            if answer.status_code != 200:
                raise Refused(f"no token for {self.name}, {answer.text}", answer.status_code)
            self._token = answer.json()["access_token"]
            self._until = time.monotonic() + TOKEN_LIVES
        return self._token

    def _of_token(self, key: node_key.NodeKey, now: float) -> httpx.Response:
        form = {
            "grant_type": "client_credentials",
            "scope": key.scope,
            "client_assertion_type": KIND,
            "client_assertion": key.assertion(now),
        }
        return self._http.post(key.token_url, data=form)

    def close(self) -> None:
        self._http.close()


class Fallible(Serving):
    """A server that can lose its clock, the room on its disk, and what was written since a backup.

    disk: None: the machine's own. Its `clock` is right until it is set."""

    program = ("tests.sync.real.watched", "serve")
    name = ""

    def __init__(
        self,
        url: str,
        folder: Path,
        disk: Disk | None = None,
        library: Path | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(url, folder, **settings)
        self.disk = disk
        self.clock = Clock(folder / f"clock-{self.port}", library)

    def beside(self) -> dict[str, str]:
        return self.clock.environment

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One that an operator types."""
        told = {name: text for name, text in os.environ.items() if not name.startswith("FHIR_")}
        told |= {"FHIR_DATABASE_URL": self.url, "FHIR_HUB": self.settings.get("hub", "")}
        return subprocess.run(
            [sys.executable, "-m", "fhir_server", *words],
            cwd=ROOT, env=told | {"FHIR_PROFILES": "off"},
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
        disk: Disk | None = None,
        library: Path | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(url, folder, disk, library, access="on", **settings)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/fhir"

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
        key = asyncio.run(enrol(self.base, self.code(id, role, facility, purpose)))
        return Place(id, self.base, key)


class Post(Fallible):
    """A health post: a node with a database of its own, behind its own line."""

    def __init__(self, facility: str, folder: Path, hub: Hub, seed: int, found: Found) -> None:
        self.facility = self.name = facility
        self.line = Line(hub.port, seed)
        self.base = ""
        home = folder / facility
        disk = Disk(home) if found.disks else None
        if disk is None:
            home.mkdir()
        shutil.copy(found.template, home / "node.db")
        url = f"sqlite:///{home}/node.db"
        of_hub = f"http://127.0.0.1:{self.line.port}/fhir"
        super().__init__(
            url, folder, disk, found.clocks,
            hub=of_hub, reference_targets="off", text_index="false",
        )  # fmt: skip
        self.base = f"http://127.0.0.1:{self.port}/fhir"

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
    """What the servers of a province are made of. template: a database that is migrated, to save
    the time. disks: each has its own. clocks: what is loaded for a clock of its own."""

    template: Path
    disks: bool
    clocks: Path | None


def organization(id: str) -> dict[str, Any]:
    code = f"92{zlib.crc32(id.encode()) % 1000:03d}"
    return {
        "resourceType": "Organization", "id": id, "name": f"Trạm Y tế {id}",
        "identifier": [{"system": "http://fhir.hl7.org.vn/core/sid/ma-cskcb", "value": code}],
    }  # fmt: skip


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
        **of_hub: Any,
    ) -> None:
        """url: empty: the hub's database is a file. whole: each server has a disk and a clock of
        its own. of_hub: settings of the hub."""
        found = Found(folder / "template.db", whole, built(folder) if whole else None)
        migrate(f"sqlite:///{found.template}")
        disk = None
        if not url:
            disk = Disk(folder / "hub") if whole else None
            (folder / "hub").mkdir(exist_ok=True)
            shutil.copy(found.template, folder / "hub" / "hub.db")
            url = f"sqlite:///{folder}/hub/hub.db"
        self.folder = folder
        self.hub = Hub(url, folder, disk, found.clocks, **of_hub)
        self.posts = [
            Post(facility, folder, self.hub, seed * 100 + n, found)
            for n, facility in enumerate(posts)
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
            self.at_post[post.facility] = Place(post.id, post.base)
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
