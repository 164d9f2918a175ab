"""province — a hub and its posts as processes of their own, each post behind a line that fails."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
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
from tests.sync.real.line import Line

KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TOKEN_LIVES = 240.0  # seconds a token is used


class Refused(Exception):
    """A server that is there does not want what it was asked."""


class Place:
    """Where people write: a server's base URL, and who they are there."""

    def __init__(self, name: str, base: str, key: node_key.NodeKey | None = None) -> None:
        self.name, self.base, self.key = name, base, key
        self._http = httpx.Client(timeout=20, trust_env=False)
        self._token, self._until = "", 0.0

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Raises httpx.HTTPError where nobody answers."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.key is not None:
            told["Authorization"] = f"Bearer {self.token()}"
        url = f"{self.base}/{path}" if path else self.base
        return self._http.request(method, url, json=body, headers=told)

    def token(self) -> str:
        key = self.key
        assert key is not None
        if time.monotonic() > self._until:
            form = {
                "grant_type": "client_credentials",
                "scope": key.scope,
                "client_assertion_type": KIND,
                "client_assertion": key.assertion(time.time()),
            }
            answer = self._http.post(key.token_url, data=form)
            if answer.status_code != 200:
                raise Refused(f"no token for {self.name}: {answer.text}")
            self._token = answer.json()["access_token"]
            self._until = time.monotonic() + TOKEN_LIVES
        return self._token

    def close(self) -> None:
        self._http.close()


class Hub(Serving):
    """The province's server."""

    def __init__(self, url: str, folder: Path, **settings: Any) -> None:
        super().__init__(url, folder, access="on", **settings)

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


class Post(Serving):
    """A health post: a node with a database of its own, behind its own line."""

    def __init__(
        self, facility: str, folder: Path, hub: Hub, seed: int, template: Path | None = None
    ) -> None:
        """template: a database that is migrated, to save the time."""
        self.facility = facility
        self.line = Line(hub.port, seed)
        self.base = ""
        home = folder / facility
        home.mkdir()
        if template is not None:
            shutil.copy(template, home / "node.db")
        url = f"sqlite:///{home}/node.db"
        of_hub = f"http://127.0.0.1:{self.line.port}/fhir"
        super().__init__(url, home, hub=of_hub, reference_targets="off", text_index="false")
        self.base = f"http://127.0.0.1:{self.port}/fhir"

    @property
    def id(self) -> str:
        return f"tyt-{self.facility}"

    def enrol(self, code: str) -> None:
        """With the command that an operator types."""
        done = self.command("sync", "enrol", "--code", code)
        assert done.returncode == 0, done.stdout + done.stderr

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        told = {name: text for name, text in os.environ.items() if not name.startswith("FHIR_")}
        told |= {"FHIR_DATABASE_URL": self.url, "FHIR_HUB": self.settings["hub"]}
        return subprocess.run(
            [sys.executable, "-m", "fhir_server", *words],
            cwd=ROOT, env=told | {"FHIR_PROFILES": "off"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    @property
    def side(self) -> Beside:
        return Beside(self.url)

    def standing(self) -> Standing | None:
        return asyncio.run(standing(self.side))

    def end(self) -> None:
        super().end()
        self.line.end()


def organization(id: str) -> dict[str, Any]:
    code = f"92{zlib.crc32(id.encode()) % 1000:03d}"
    return {
        "resourceType": "Organization", "id": id, "name": f"Trạm Y tế {id}",
        "identifier": [{"system": "http://fhir.hl7.org.vn/core/sid/ma-cskcb", "value": code}],
    }  # fmt: skip


class Province:
    """All of it: `with Province(...) as one:`."""

    def __init__(
        self, url: str, folder: Path, seed: int, posts: tuple[str, ...], **of_hub: Any
    ) -> None:
        """of_hub: settings of the hub."""
        self.hub = Hub(url, folder, **of_hub)
        template = folder / "template.db"
        migrate(f"sqlite:///{template}")
        self.posts = [
            Post(facility, folder, self.hub, seed * 100 + n, template)
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

    def __exit__(self, *_: object) -> None:
        for place in (*self.at_hub.values(), *self.at_post.values()):
            place.close()
        for server in (*self.posts, self.hub):
            server.end()
