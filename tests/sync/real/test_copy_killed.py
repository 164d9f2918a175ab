"""A node is killed at any moment while people write: what was acknowledged is in its copy.

Only `make chaos` plays it, FHIR_CHAOS times, at most 20.
"""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import httpx
import orjson
import pytest
from joserfc import jwk

from fhir_server.store.migrate import migrate
from fhir_server.sync.copy import piece
from fhir_server.sync.copy.folder import found
from fhir_server.sync.node import key as node_key
from fhir_server.sync.words import push
from tests.acceptance.serving import Serving
from tests.sync.real.conftest import SEED

NOWHERE = "http://127.0.0.1:9/fhir"  # nobody listens there
ROUNDS = min(int(os.environ.get("FHIR_CHAOS", "0")), 20)
WRITERS = 4

pytestmark = pytest.mark.skipif(not ROUNDS, reason="make chaos plays it")


def test_what_was_acknowledged_before_a_node_was_killed_is_in_its_copy(tmp_path: Path) -> None:
    hub = jwk.generate_key("EC", "P-256", {"kid": "hub"})
    own, stick = node_key.made(), tmp_path / "stick"
    stick.mkdir()
    public = hub.as_dict(private=False)
    seal = {name: public[name] for name in ("kty", "crv", "x", "y", "kid")}
    key = node_key.NodeKey(NOWHERE, "n1", NOWHERE, "", dict(own.as_dict(private=True)), seal=seal)
    node_key.write(tmp_path / "key.json", key)
    url = f"sqlite:///{tmp_path}/node.db"
    migrate(url)
    settings = {"hub": NOWHERE, "hub_key": str(tmp_path / "key.json"), "hub_copy": str(stick)}
    server = Serving(url, tmp_path, **settings)
    acknowledged: set[str] = set()
    for number in range(ROUNDS):
        server.start()
        try:
            until_copying(stick)
            acknowledged |= written(server, random.Random(SEED + number), number)
        finally:
            server.end()
        copied = versions(stick, hub, own)
        assert acknowledged <= copied, f"round {number}: {sorted(acknowledged - copied)[:5]}"


def until_copying(stick: Path) -> None:
    """A copy has been begun since the server was: before that nobody waits for it."""
    began = time.time()
    while not any(path.stat().st_mtime > began for path in stick.rglob("*.pieces")):
        time.sleep(0.05)
        assert time.time() < began + 30
    time.sleep(0.5)


def written(server: Serving, chance: random.Random, number: int) -> set[str]:
    """By several at once, until the server is killed."""
    told: set[str] = set()
    threads = [
        threading.Thread(target=write, args=(server, told, f"{number}-{at}"))
        for at in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    time.sleep(chance.uniform(0.2, 2.0))
    server.kill()
    for thread in threads:
        thread.join()
    return told


def write(server: Serving, told: set[str], name: str) -> None:
    with httpx.Client(timeout=20, trust_env=False) as client:
        for at in range(10_000):
            body = {
                "resourceType": "Observation", "id": f"o-{name}-{at}", "status": "final",
                "code": {"text": "Mạch"},
            }  # fmt: skip
            try:
                url = f"{server.root}/fhir/Observation/o-{name}-{at}"
                answer = client.put(url, json=body).raise_for_status()
            except httpx.HTTPError:
                return
            told.add(f"{body['id']} {answer.headers['etag'][3:-1]}")


def versions(stick: Path, hub: jwk.ECKey, own: jwk.ECKey) -> set[str]:
    return {
        f"{one.key.id} {one.rev}"
        for copy in found(stick).copies
        for lies in copy.pieces
        if lies.head.count
        for one in push.read(
            orjson.loads(
                piece.verified(piece.opened(lies.line(), hub), [own.as_dict(private=False)])
            )
        ).entries
    }
