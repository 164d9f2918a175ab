"""python -m bench.guarded — what access control costs: W1 and W2 open, audited, and with a token.

    python -m bench.guarded [--databases sqlite,postgresql] [--seconds 6] [--rounds 3]

The token's role reaches and writes all there is, as the province's exchange does, but by a rule and
not for want of one: it is looked up, decided by and written down with each request, and its reach
is part of each question. What reach costs a facility is told by bench.access.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench import data
from bench.__main__ import AHEAD, Run, database
from bench.audit import Figures, asked_for, endless, figures, variable
from bench.drive import request
from bench.processes import serving
from fhir_server.security.tokens import client
from fhir_server.security.tokens.client import Client
from fhir_server.security.tokens.issued import ACCESS, digest_of, new_token
from fhir_server.store.contract.access import Issued
from fhir_server.store.upkeep import access

POLICY = """
[[purpose]]
code = "TREAT"
basis = "rule"
law = "bench"

[[role]]
name = "exchange"
title = "bench"
purposes = ["TREAT"]

[[group]]
name = "directory"
types = ["Organization"]

[[rule]]
name = "exchange"
roles = ["exchange"]
letters = "cruds"
types = ["*"]
reach = "all"

[consent]
honoured = ["TREAT"]

[break_glass]
reason = 20

[deidentified]
parameters = ["code"]
"""
WAYS: Mapping[str, Mapping[str, str]] = {
    "open": {"FHIR_ACCESS": "off", "FHIR_AUDIT": "false"},
    "audited": {"FHIR_ACCESS": "off", "FHIR_AUDIT": "true"},
    "access": {"FHIR_ACCESS": "on", "FHIR_AUDIT": "true"},
}


def main() -> None:
    asked = asked_for(__doc__)
    for name in asked.databases.split(","):
        tell(name, [{way: measured(name, asked, way) for way in WAYS} for _ in range(asked.rounds)])


def measured(name: str, asked: argparse.Namespace, way: str) -> Figures:
    workers = asked.workers if name == "postgresql" else 1
    found: Figures = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        (folder / "access.toml").write_text(POLICY)
        settings = dict(WAYS[way])
        if way == "access":
            settings["FHIR_ACCESS_POLICY"] = str(folder / "access.toml")
        for setting, value in settings.items():
            stack.enter_context(variable(setting, value))
        url, servers, _ = stack.enter_context(database(name))
        run = Guarded(name, url, servers, asked, workers)
        run.pid, run.port = stack.enter_context(serving(url, workers=workers))
        run.token = registered(url) if way == "access" else ""
        found["W1 bundles"] = figures(run, data.w1_requests(asked.patients, 1, ahead=AHEAD // 3))
        keys = run.keys()
        reads = (request("GET", f"/fhir/{key}") for key in endless(keys))
        found["read by id"] = figures(run, reads)
        found["W2 mix"] = figures(run, data.w2_requests(keys, seed=2))
    return found


class Guarded(Run):
    """Sends its token with each request. The ids it chooses begin with its facility's."""

    token = ""

    def told(self, requests: Iterator[bytes]) -> Iterator[bytes]:
        bearer = f"\r\nAuthorization: Bearer {self.token}" if self.token else ""
        for each in requests:
            own = each.replace(b"/bench-", b"/bench.").replace(b'"bench-', b'"bench.')
            yield own.replace(b"\r\n", bearer.encode() + b"\r\n", 1) if bearer else own


def registered(url: str) -> str:
    """A token of a client that may all the policy lets it."""
    whose = Client(
        id="exchange", scopes="system/*.cruds", roles=("exchange",), facility="bench", changed=1
    )
    if not access.register(url, client.row(whose)):
        raise SystemExit("The client was not registered.")
    token, now = new_token(), int(time.time() * 1000)
    told = json.dumps({"scope": "system/*.cruds", "purpose": "TREAT"})
    lasting = Issued(digest_of(token), ACCESS, "exchange", told, now, now + 86_400_000)
    if not access.issue(url, lasting):
        raise SystemExit("The token was not issued.")
    return token


def tell(name: str, rounds: list[dict[str, Figures]]) -> None:
    print(f"\n{name}: {', '.join(WAYS)}; the last two against the first")
    for work in rounds[0]["open"]:
        for place, unit in ((0, "/s"), (1, "us of CPU each")):
            by = {way: median(one[way][work][place] for one in rounds) for way in WAYS}
            shares = (f"{by[way] / by['open'] - 1:+7.1%}" for way in ("audited", "access"))
            told = "".join(f"{one:9,.0f}" for one in by.values())
            print(f"  {work:<12}{told} {unit:<15}{''.join(shares)}", flush=True)


if __name__ == "__main__":
    main()
