"""Whatever is asked of whichever route, the server answers; what it refuses changes nothing.

https://hl7.org/fhir/R4/http.html#Status-Codes

FHIR_FUZZ_SEED=7 runs one seed; a failure tells the seed, the number of the request and all of it.
"""

from __future__ import annotations

import os
from collections import Counter
from functools import cache
from random import Random

import pytest

from fhir_server.interaction.text_following import TextFollowing
from fhir_server.rest.app import create_app
from fhir_server.rest.log import Log
from fhir_server.rest.options import Options
from fhir_server.search.texts import Texts
from fhir_server.security.tokens.authority import Authority
from tests.access.worlds import CALLERS, WRITERS, Doors
from tests.attack import times
from tests.fuzz.asking import World, asked, parameters
from tests.fuzz.running import Counting, Run
from tests.interaction.conftest import server_on
from tests.rest.client import Client
from tests.rest.conftest import Lines

SEEDS = [int(os.environ["FHIR_FUZZ_SEED"])] if "FHIR_FUZZ_SEED" in os.environ else list(
    range(1, 1 + times(1, 40))
)  # fmt: skip
REQUESTS = times(800, 10_000)


@cache
def texts():
    return Texts(parameters())


def made(store, clock, *, access: bool, seed: int) -> Run:
    counting, lines = Counting(store), Lines()
    guarded = {"gate": Doors(clock), "authority": Authority(store, clock=clock), "audit": True}
    words = TextFollowing(texts(), counting)
    server = server_on(counting, texts=words, **(guarded if access else {}))
    client = Client(create_app(server, Options(client_rate=0), write_log=lines))
    tokens = [*CALLERS, *WRITERS, *["all"] * 6] if access else []
    return Run(client, counting, lines, seed, tokens)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("access", [False, True], ids=["open", "access"])
async def test_no_request_is_an_error_of_the_server(store, clock, access, seed, tell):
    run = made(store, clock, access=access, seed=seed)
    await run.run(REQUESTS)
    assert not run.failures, f"{len(run.failures)} failures\n" + "\n\n".join(run.failures[:5])
    told = Counter(run.statuses)
    tell("fuzz by mutation: requests", told.total())
    tell("fuzz by mutation: refused", sum(told[s] for s in told if s >= 400))
    tell("fuzz by mutation: server errors", 0)


class Wrong:
    """What no request may be answered with."""

    log = Log(lambda _: None)

    async def __call__(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def test_an_error_of_the_server_is_told_with_its_seed_and_all_of_the_request(store):
    run = Run(Client(Wrong()), Counting(store), Lines(), seed=5)
    await run.run(3)
    told = [each for each in run.failures if each.startswith("FHIR_FUZZ_SEED=5, request ")]
    assert len(told) == 3
    assert all("headers: " in each and "body: " in each for each in told)


def test_a_seed_makes_the_same_requests_again():
    first, again = (
        [str(asked(draw, World(), [])) for _ in range(200)] for draw in (Random(3), Random(3))
    )
    assert first == again
    assert len(set(first)) > 190
