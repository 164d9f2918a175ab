"""A dependency that is known to be vulnerable stops `make check`; who cannot be asked does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "tools/audit_dependencies.py"
FLAW = {
    "id": "PYSEC-0000-1",
    "aliases": ["CVE-0000-1"],
    "summary": "It opens every door.",
    "affected": [
        {
            "package": {"name": "leaky", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}],
        }
    ],
}


@contextmanager
def service(status: int, known: bytes | None = None) -> Iterator[str]:
    """An advisory service that knows one flaw, of `leaky` 1.0."""

    class Advisories(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            met = (asked["package"]["name"], asked["version"]) == ("leaky", "1.0")
            body = known or json.dumps({"vulns": [FLAW]} if met else {}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Advisories) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()
            thread.join()


def audited(url: str, folder: Path, **environment: str) -> tuple[int, str]:
    told = {**os.environ, "FHIR_AUDIT_URL": url, "NO_PROXY": "127.0.0.1", **environment}
    run = [sys.executable, str(SCRIPT), "--path", str(folder)]
    done = subprocess.run(run, env=told, capture_output=True, text=True, check=False, timeout=120)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def installed(folder: Path, *packages: tuple[str, str]) -> Path:
    for name, version in packages:
        told = folder / f"{name}-{version}.dist-info"
        told.mkdir()
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder


def test_a_known_vulnerability_fails_and_is_named(tmp_path: Path) -> None:
    folder = installed(tmp_path, ("leaky", "1.0"), ("sound", "1.0"))
    with service(200) as url:
        status, said = audited(url, folder)
    assert status == 1
    assert "leaky 1.0: PYSEC-0000-1 CVE-0000-1; mended in 2.0" in said
    assert "2 packages audited, 1 known vulnerabilities" in said


def test_where_none_is_known_it_says_how_many_were_looked_at(tmp_path: Path) -> None:
    folder = installed(tmp_path, ("leaky", "2.0"), ("sound", "1.0"))
    with service(200) as url:
        assert audited(url, folder) == (0, "2 packages audited, 0 known vulnerabilities\n")


@pytest.mark.parametrize(("status", "known"), [(503, None), (403, None), (200, b"<p>no</p>")])
def test_a_service_that_does_not_answer_is_told_and_fails_only_who_is_strict(
    tmp_path: Path, status: int, known: bytes | None
) -> None:
    with service(status, known) as url:
        for strict in ("", "1"):
            done, said = audited(url, tmp_path, FHIR_AUDIT_STRICT=strict)
            assert done == (1 if strict else 0)
            assert said.startswith("The dependencies were not audited: ")
            assert url in said


def test_who_cannot_be_reached_is_told(tmp_path: Path) -> None:
    with service(200) as url:
        pass  # and gone
    status, said = audited(url, tmp_path)
    assert (status, "not audited" in said) == (0, True)


def test_nobody_is_asked_in_the_clear(tmp_path: Path) -> None:
    status, said = audited("http://advisories.example/v1/query", tmp_path)
    assert (status, "https alone" in said) == (0, True)
