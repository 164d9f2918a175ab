"""floor — what the parts below us can do on this machine, taken in the same run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bench.processes import free_port
from fhir_server.store.migrate import migrate
from tests import postgresql as starter

BODY = b'{"resourceType":"Patient"' + b" " * 875 + b"}"
PROGRAM = """
import sys, uvicorn
BODY = b'{"resourceType":"Patient"' + b" " * 875 + b"}"
HEADERS = [(b"content-type", b"application/fhir+json"), (b"content-length", b"%d" % len(BODY))]
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False, lifespan="off")
"""
SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "4GB", "fsync": "on", "autovacuum": "on"}


@contextmanager
def raw_asgi() -> Iterator[int]:
    """uvicorn with uvloop and httptools, answering ready bytes."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(port)])
    try:
        time.sleep(1.5)
        yield port
    finally:
        process.terminate()
        process.wait()


def fsyncs() -> Iterator[tuple[str, float]]:
    """How often a small write can be made durable: no store commits faster than this alone."""
    with tempfile.NamedTemporaryFile(dir=Path.cwd()) as file:
        descriptor = file.fileno()

        def once() -> None:
            os.pwrite(descriptor, BODY, 0)
            os.fdatasync(descriptor)

        yield "fdatasync of 0.9 KB", rate(once)


def rate(once: Callable[[], None], seconds: float = 1.0) -> float:
    done, stop = 0, time.perf_counter() + seconds
    while time.perf_counter() < stop:
        once()
        done += 1
    return done / seconds


@contextmanager
def postgresql(folder: Path) -> Iterator[tuple[str, int, Callable[[], int]]]:
    """A durable PostgreSQL of its own: (its URL, its process id, the bytes its tables take)."""
    with starter.cluster(SETTINGS) as cluster:
        with psycopg.connect(cluster.url, autocommit=True) as connection:
            connection.execute("create database bench")
        url = cluster.url.replace("/postgres?", "/bench?")
        migrate(url)
        assert cluster.process is not None

        def size() -> int:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("vacuum analyze")
                row = connection.execute("select pg_database_size('bench')").fetchone()
                assert row is not None
                return int(row[0])

        yield url, cluster.process.pid, size
