"""processes — the server under measurement, and what it and its database use.

Each database is a fresh one; the PostgreSQL is started by the tests' own starter.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(database_url: str, *, workers: int = 1) -> Iterator[tuple[int, int]]:
    """`fhir-server serve` in a process of its own: (its process id, its port)."""
    port = free_port()
    settings = {
        "FHIR_DATABASE_URL": database_url,
        "FHIR_PORT": str(port),
        "FHIR_WORKERS": str(workers),
        "FHIR_LOG_LEVEL": "warning",
        "FHIR_CLIENT_RATE": "0",  # what is measured is the server, not its patience
        "FHIR_CLIENT_CONCURRENCY": "0",
    }
    command = [sys.executable, "-m", "fhir_server", "serve"]
    process = subprocess.Popen(
        command, env={**os.environ, **settings}, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        await_ready(port, process)
        yield process.pid, port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def await_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(400):
        if process.poll() is not None:
            sys.exit("The server stopped before it served.")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1).read()
        except OSError:
            time.sleep(0.05)
        else:
            return
    sys.exit("The server did not become ready in 20 seconds.")


def family(pid: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting.extend(children.get(found[-1], []))
    return found


def cpu_of(pids: list[int]) -> float:
    """Seconds of CPU, user and system, these processes and their ended children have used."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15]))
    return total / TICK


def resident(pids: list[int]) -> int:
    """Bytes of memory that are theirs (proportional share)."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total
