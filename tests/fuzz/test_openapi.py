"""What the server says of itself in OpenAPI is true of whatever may be asked by it.

https://hl7.org/fhir/R4/http.html#summary
https://spec.openapis.org/oas/v3.1.0

Schemathesis makes the requests from the document, good ones and bad ones, and judges the answers:
no error of the server, no status, no media type and no shape that the document does not tell.
"""

from __future__ import annotations

import os
import warnings
from random import Random
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.transport import Response as Judged
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from fhir_server.security.tokens.authority import Authority
from tests.access.worlds import Doors
from tests.attack import times
from tests.fuzz.running import unpacked
from tests.interaction.conftest import server_on
from tests.rest.client import Client, Response, on_one_database
from tests.rest.conftest import Lines

SEED = int(os.environ.get("FHIR_FUZZ_SEED", "1"))
EACH = times(4, 100)  # requests of each operation and each mode
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
TOKENS = ["all", "hue", "doctor", "citizen", "analyst", "system", "nobody", ""]


def made(store, clock, lines, *, access: bool) -> Client:
    guarded = {"gate": Doors(clock), "authority": Authority(store, clock=clock), "audit": True}
    server = server_on(store, **(guarded if access else {}))
    return Client(create_app(server, Options(client_rate=0), write_log=lines))


def judged(client: Client, run, case: Any, token: str) -> None:
    """Ask what a case says, and hold the answer against the document."""
    told = case.as_transport_kwargs(base_url=case.operation.base_url)
    told = {name: told.get(name) for name in ("method", "url", "params", "headers", "json", "data")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sent = requests.Request(**told).prepare()
    headers = {str(name): str(value) for name, value in sent.headers.items()}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body
    url = (sent.path_url if isinstance(sent.path_url, str) else sent.path_url.decode()).encode()
    answer = run(client.request(sent.method, url, body, headers=headers))
    heads = {name: [value] for name, value in answer.headers.items()}
    found = Judged(answer.status, heads, unpacked(answer), sent, 0.1, verify=True)
    case.validate_response(found, checks=CHECKS)


def operations(client: Client, run) -> list[Any]:
    document = run(client.get("/openapi.json")).json
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=document["servers"][0]["url"])
    return [found.ok() for found in schema.get_all_operations()]


@on_one_database
@pytest.mark.parametrize("access", [False, True], ids=["open", "access"])
def test_every_operation_of_the_document_answers_as_the_document_says(
    store, clock, run, access, tell
):
    lines = Lines()
    client = made(store, clock, lines, access=access)
    asked, failures, draw = 0, [], Random(SEED)
    for operation in operations(client, run):
        for mode in GenerationMode:
            asked += tried(client, run, operation, mode, draw if access else None, failures)
    client.app.log.flush()
    trouble = [line for line in lines if b'"error"' in line]
    assert not trouble, trouble[:5]
    assert not failures, f"{len(failures)} failures, seed {SEED}\n" + "\n\n".join(failures[:6])
    tell("fuzz by schemathesis: requests", asked)
    tell("fuzz by schemathesis: server errors", 0)


def tried(client, run, operation, mode, draw, failures) -> int:
    """How many requests of one operation were made."""
    asked = 0

    @seed(SEED)
    @settings(
        max_examples=EACH,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case):
        nonlocal asked
        asked += 1
        judged(client, run, case, draw.choice(TOKENS) if draw else "")

    try:
        one()
    except Unsatisfiable:
        pass  # every string is a good one there: nothing can be wrong with it
    except FailureGroup as found:
        told = "\n".join(str(each) for each in found.exceptions)
        failures.append(f"{operation.label} ({mode.value}): {told}"[:3000])
    except Exception as error:
        failures.append(f"{operation.label} ({mode.value}): {error}"[:3000])
    return asked


class Wrong:
    """Answers as the server does of itself, and else as no document says."""

    def __init__(self, client: Client, status: int, media: str, body: bytes) -> None:
        self.client, self.status, self.media, self.body = client, status, media, body

    async def get(self, url: str) -> Response:
        return await self.client.get(url)

    async def request(self, *_: Any, **__: Any) -> Response:
        return Response(self.status, {"content-type": self.media}, self.body)


@on_one_database
@pytest.mark.parametrize(
    ("status", "media", "body"),
    [
        (500, "application/fhir+json", b'{"resourceType":"OperationOutcome","issue":[{}]}'),
        (418, "application/fhir+json", b'{"resourceType":"OperationOutcome","issue":[{}]}'),
        (400, "text/html", b"<p>no</p>"),
        (400, "application/fhir+json", b'{"resourceType":"Patient"}'),
    ],
)
def test_what_the_document_does_not_say_is_a_failure(store, clock, run, status, media, body):
    wrong: Any = Wrong(made(store, clock, Lines(), access=False), status, media, body)
    found = next(each for each in operations(wrong, run) if each.label == "POST /{type}")
    failures: list[str] = []
    tried(wrong, run, found, GenerationMode.POSITIVE, None, failures)
    assert failures
