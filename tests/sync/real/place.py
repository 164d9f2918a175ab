"""place — where people write: a server, and who they are there."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from fhir_server.sync.node import key as node_key
from tests.sync.real.spaces import Space, within

KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TOKEN_LIVES = 240.0  # seconds a token is used


class Refused(Exception):
    """A server that is there does not want what it was asked."""

    def __init__(self, why: str, status: int) -> None:
        super().__init__(f"{why}: {status}")
        self.status = status


class Place:
    """Where people write: a server's base URL, and who they are there. space: the network from
    which they reach it."""

    def __init__(
        self,
        name: str,
        base: str,
        key: node_key.NodeKey | None = None,
        space: Space | None = None,
    ) -> None:
        self.name, self.base, self.key, self.space = name, base, key, space
        trust = space.trust if space else None
        self._http = httpx.Client(timeout=20, trust_env=False, verify=trust or True)
        self._token, self._until = "", 0.0

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Raises httpx.HTTPError where nobody answers."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        with within(self.space):
            return self._ask(method, f"{self.base}/{path}" if path else self.base, body, told)

    def _ask(self, method: str, url: str, body: Any, told: dict[str, str]) -> httpx.Response:
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
