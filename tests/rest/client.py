"""client — a tiny ASGI client: requests in, responses out, with nothing in between.

`await client.get("/fhir/Patient/1", headers={"Accept": "..."})`. The body may be bytes, a resource,
or an iterable of chunks that arrive one by one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

FHIR_JSON = "application/fhir+json"

# For what is settled before a database is asked: one of them is enough.
on_one_database = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes
    raw_headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def issue(self) -> dict[str, Any]:
        """The first issue of the OperationOutcome that was answered."""
        outcome = self.json
        assert outcome["resourceType"] == "OperationOutcome", outcome
        return outcome["issue"][0]

    @property
    def version(self) -> str:
        """The version id its ETag names."""
        return self.headers["etag"].removeprefix('W/"').removesuffix('"')


class Client:
    """Speaks to an ASGI application in this process."""

    def __init__(
        self,
        app: Any,
        *,
        host: str = "test",
        scheme: str = "http",
        address: str = "127.0.0.1",
    ) -> None:
        self.app = app
        self.host = host
        self.scheme = scheme
        self.address = address

    async def request(
        self,
        method: str,
        url: str | bytes,
        body: Any = None,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        gone: bool = False,
    ) -> Response:
        """`gone`: the client hangs up after what was sent of the body."""
        raw = url if isinstance(url, bytes) else url.encode()
        path, _, query = raw.partition(b"?")
        sent = list(headers.items() if isinstance(headers, Mapping) else headers)
        names = {name.lower() for name, _ in sent}
        if isinstance(body, dict | list):
            body = json.dumps(body, ensure_ascii=False).encode()
            if "content-type" not in names:
                sent.append(("Content-Type", FHIR_JSON))
        chunks = [body or b""] if isinstance(body, bytes | None) else body
        if "host" not in names:
            sent.append(("Host", self.host))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": self.scheme,
            "path": path.decode("latin-1"),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [
                (n.lower().encode(), v.encode("utf-8", "surrogateescape")) for n, v in sent
            ],
            "client": (self.address, 5),
            "server": (self.host, 80),
        }
        messages = self._messages(chunks, gone=gone)
        answers: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return next(messages)

        async def send(message: dict[str, Any]) -> None:
            answers.append(message)

        await self.app(scope, receive, send)
        return self._response(answers)

    @staticmethod
    def _messages(chunks: Iterable[bytes], *, gone: bool) -> Any:
        waiting: bytes | None = None
        for chunk in chunks:
            if waiting is not None:
                yield {"type": "http.request", "body": waiting, "more_body": True}
            waiting = chunk
        yield {"type": "http.request", "body": waiting or b"", "more_body": gone}
        while True:
            yield {"type": "http.disconnect"}

    @staticmethod
    def _response(answers: list[dict[str, Any]]) -> Response:
        if not answers:
            return Response(0, {}, b"")
        start, *rest = answers
        raw = list(start["headers"])
        headers: dict[str, str] = {}
        for name, value in raw:
            assert name == name.lower(), f"{name!r} is not in lower case"
            told = value.decode("latin-1")
            headers[name.decode()] = told
        body = b"".join(message.get("body", b"") for message in rest)
        return Response(start["status"], headers, body, raw)

    async def get(self, url: str | bytes, **named: Any) -> Response:
        return await self.request("GET", url, **named)

    async def head(self, url: str, **named: Any) -> Response:
        return await self.request("HEAD", url, **named)

    async def options(self, url: str, **named: Any) -> Response:
        return await self.request("OPTIONS", url, **named)

    async def post(self, url: str, body: Any = None, **named: Any) -> Response:
        return await self.request("POST", url, body, **named)

    async def put(self, url: str, body: Any = None, **named: Any) -> Response:
        return await self.request("PUT", url, body, **named)

    async def patch(self, url: str, body: Any = None, **named: Any) -> Response:
        return await self.request("PATCH", url, body, **named)

    async def delete(self, url: str, **named: Any) -> Response:
        return await self.request("DELETE", url, **named)

    async def form(self, url: str, body: bytes, **named: Any) -> Response:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} | named.pop("headers", {})
        return await self.request("POST", url, body, headers=headers, **named)
