"""The port of several workers: held for them, shared out among them, refused to anybody else."""

from __future__ import annotations

import pickle
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from fhir_server.cli.exits import Exit, Refused
from fhir_server.cli.port import DEALS_OUT, bound
from fhir_server.settings import Settings

pytestmark = pytest.mark.skipif(not DEALS_OUT, reason="workers share one socket here")

CLIENTS = 64


@pytest.fixture(params=["127.0.0.1", "::1"])
def holding(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    with bound(replace(Settings(), host=request.param, port=0, workers=2)) as held:
        yield held


def given(held: socket.socket) -> socket.socket:
    """What a worker has of a socket: it comes to it pickled."""
    found = pickle.loads(pickle.dumps(held, protocol=5))
    assert isinstance(found, socket.socket)
    return found


def same(held: socket.socket, workers: int) -> Settings:
    host, port = held.getsockname()[:2]
    return replace(Settings(), host=host, port=port, workers=workers)


def test_connections_that_come_at_once_are_dealt_out_among_the_workers(
    holding: socket.socket,
) -> None:
    with given(holding) as one, given(holding) as other, ExitStack() as clients:
        address = holding.getsockname()[:2]
        for _ in range(CLIENTS):
            clients.enter_context(socket.create_connection(address))
        taken = [0, 0]
        while sum(taken) < CLIENTS:
            ready, _, _ = select.select([one, other], [], [])
            for listening in ready:
                listening.accept()[0].close()
                taken[listening is other] += 1
    assert min(taken) > CLIENTS // 8


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("listening", [False, True])
def test_nobody_else_is_given_the_port(
    holding: socket.socket, workers: int, *, listening: bool
) -> None:
    with ExitStack() as stack:
        if listening:
            stack.enter_context(given(holding))
        with pytest.raises(Refused, match="is taken") as refused:
            bound(same(holding, workers))
    assert refused.value.status == Exit.PORT


def test_the_port_is_free_once_it_is_let_go(holding: socket.socket) -> None:
    settings = same(holding, workers=1)
    with given(holding) as one, socket.create_connection(holding.getsockname()[:2]):
        one.accept()[0].close()  # what it leaves behind does not hold the port
    holding.close()
    bound(settings).close()
