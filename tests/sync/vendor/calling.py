"""calling — a node's way to the hub: it brings its key, asks for tokens, and asks.

docs/sync.md, "Coming in".
"""

from __future__ import annotations

import gzip
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from joserfc import jwk, jwt

from tests.sync.vendor import written

SCOPE = "system/*.cruds"
KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JSON = "application/fhir+json"


class Told(Exception):
    """The hub has refused the whole request: its status, and what it says."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status, body)
        self.status, self.body = status, body


@dataclass
class Hub:
    """The hub, as one client sees it."""

    base: str
    client: str = ""
    key: jwk.ECKey = field(
        default_factory=lambda: jwk.generate_key(
            "EC", "P-384", {"kid": uuid.uuid4().hex, "alg": "ES384", "use": "sig"}
        )
    )
    basis: str = ""  # by which an auditor asks
    token: str = ""
    until: float = 0.0

    def __post_init__(self) -> None:
        self.http = httpx.Client(timeout=60, trust_env=False)

    def close(self) -> None:
        self.http.close()

    def enrol(self, code: str) -> None:
        """Bring the public part of the key, with the code that was read out on the telephone."""
        keys = written.write({"keys": [self.key.as_dict(private=False)]})
        answer = self.http.post(f"{self.base}/oauth/enrol", data={"code": code, "jwks": keys})
        if answer.status_code != 200:
            raise Told(answer.status_code, answer.json())
        self.client = answer.json()["client_id"]

    def bearer(self) -> str:
        if time.monotonic() > self.until:
            url = f"{self.base}/oauth/token"
            claims: dict[str, Any] = {
                "iss": self.client, "sub": self.client, "aud": url, "jti": uuid.uuid4().hex,
                "exp": int(time.time()) + 240,
            }  # fmt: skip
            if self.basis:
                claims["fhir_context"] = {"basis": self.basis}
            head = {"alg": "ES384", "kid": self.key.kid, "typ": "JWT"}
            signed = jwt.encode(head, claims, self.key, algorithms=["ES384"])
            form = {
                "grant_type": "client_credentials", "scope": SCOPE,
                "client_assertion_type": KIND, "client_assertion": signed,
            }  # fmt: skip
            answer = self.http.post(url, data=form)
            if answer.status_code != 200:
                raise Told(answer.status_code, answer.json())
            self.token = answer.json()["access_token"]
            self.until = time.monotonic() + answer.json()["expires_in"] - 30
        return self.token

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        asked: dict[str, str] | None = None,
        **headers: str,
    ) -> httpx.Response:
        told = {"Accept": JSON}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            told = {"Content-Type": JSON} | told
        url = f"{self.base}/{path}"
        answer = self._request(method, url, asked, body, told)
        if answer.status_code == 401:  # the token is not known any more: once with another
            before, self.until = self.until, 0.0
            with suppress(Told):
                return self._request(method, url, asked, body, told)
            self.until = before  # it is revoked: there is no other
        return answer

    def _request(
        self,
        method: str,
        url: str,
        asked: dict[str, str] | None,
        body: bytes | None,
        headers: dict[str, str],
    ) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {self.bearer()}"}
        return self.http.request(method, url, params=asked, content=body, headers=bearer | headers)

    def push(self, chunk: Any) -> Any:
        """A chunk, compressed; what the hub answers. Raises Told."""
        body = gzip.compress(written.write(chunk).encode())
        return _told(self.ask("POST", "$sync-push", body, Content_Encoding="gzip"))

    def pull(self, **asked: str) -> Any:
        if "shown" in asked:  # too long for a URL
            listed = [{"name": name, "valueString": value} for name, value in asked.items()]
            told = written.write({"resourceType": "Parameters", "parameter": listed})
            return _told(self.ask("POST", "$sync-pull", told.encode()))
        return _told(self.ask("GET", "$sync-pull", asked=asked))

    def receipt_keys(self) -> dict[str, Any]:
        """Asked for once, without a token, and kept for ten years."""
        found: dict[str, Any] = self.http.get(f"{self.base}/oauth/receipt-keys").json()
        return found


def _told(answer: httpx.Response) -> Any:
    if answer.status_code != 200:
        raise Told(answer.status_code, written.read(answer.content))
    return written.read(answer.content)
