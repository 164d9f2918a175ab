"""copying — what a second copy of each write costs a node: with and without `hub_copy`, by turns.

https://hl7.org/fhir/R4/http.html#update

    python -m bench.copying [--writes 400] [--folder /media/stick/fhir-copy]

The line is down all the time. Without --folder the copy is on the disk of the database, whose fsync
it pays twice.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from joserfc import jwk

from bench.processes import cpu_of, family
from fhir_server.store.migrate import migrate
from fhir_server.sync.node import key as node_key
from tests.acceptance.serving import Serving

NOWHERE = "http://127.0.0.1:9/fhir"  # nobody listens there


def serving(home: Path, copy: Path | None) -> Serving:
    url = f"sqlite:///{home}/node.db"
    migrate(url)
    sealing = jwk.generate_key("EC", "P-256", {"kid": "hub"}).as_dict(private=False)
    seal = {name: sealing[name] for name in ("kty", "crv", "x", "y", "kid")}
    own = dict(node_key.made().as_dict(private=True))
    key = node_key.NodeKey(NOWHERE, "n1", NOWHERE, "system/*.cruds", own, seal=seal)
    node_key.write(home / "key.json", key)
    told = {"hub_copy": str(copy)} if copy else {}
    return Serving(url, home, hub=NOWHERE, hub_key=str(home / "key.json"), **told)


def measured(server: Serving, writes: int, writers: int) -> tuple[float, float, float]:
    """Milliseconds of a write: the median, and of the slowest of twenty; writes a second."""
    base = f"{server.root}/fhir"

    def work(writer: int) -> list[float]:
        found = []
        with httpx.Client(timeout=30, trust_env=False) as client:
            for at in range(writes // writers):
                id = f"o{writers}-{writer}-{at}"
                body = {
                    "resourceType": "Observation", "id": id, "status": "final",
                    "code": {"text": "Mạch"}, "valueQuantity": {"value": at},
                }  # fmt: skip
                began = time.perf_counter()
                client.put(f"{base}/Observation/{id}", json=body).raise_for_status()
                found.append((time.perf_counter() - began) * 1000)
        return found

    began = time.perf_counter()
    with ThreadPoolExecutor(writers) as threads:
        told = [each for some in threads.map(work, range(writers)) for each in some]
    seconds = time.perf_counter() - began
    return statistics.median(told), statistics.quantiles(told, n=20)[-1], len(told) / seconds


def main() -> None:
    told = argparse.ArgumentParser()
    told.add_argument("--writes", type=int, default=400)
    told.add_argument("--folder", type=Path)
    asked = told.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}")
    for name in ("without", "with", "without", "with"):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            copy = asked.folder or home / "copy"
            copy.mkdir(exist_ok=True)
            server = serving(home, copy if name == "with" else None)
            try:
                server.start()
                time.sleep(2)
                assert server.process is not None
                pids = family(server.process.pid)
                for writers in (1, 8):
                    before = cpu_of(pids)
                    middle, slow, rate = measured(server, asked.writes, writers)
                    cpu = (cpu_of(pids) - before) / asked.writes * 1000
                    print(
                        f"{name:8} {writers} writers: median {middle:.1f} ms, slowest of 20"
                        f" {slow:.1f} ms, {rate:.0f} writes/s, {cpu:.1f} ms of CPU each"
                    )
                octets = sum(path.stat().st_size for path in copy.rglob("*.pieces"))
                if octets:
                    print(f"copy: {octets / (2 * asked.writes):.0f} bytes a version")
            finally:
                server.end()


if __name__ == "__main__":
    main()
