"""serving — `fhir-server serve` as a process of its own, to be stopped, killed and looked at."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
STARTS_WITHIN = 60.0  # seconds; a loaded machine is slow, and a test is no benchmark
LEAP = 2.0  # seconds: who slept longer than this beyond what was asked for, was stopped


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Patience:
    """Seconds that may pass while this process runs: one that is stopped and continued from outside
    has not waited meanwhile."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def wait(self, pause: float) -> None:
        begun = time.monotonic()
        time.sleep(pause)
        self.spend(begun, pause)

    def spend(self, since: float, at_least: float = 0.0) -> None:
        """So much has passed since then, of what was waited."""
        self.left -= min(time.monotonic() - since, at_least + LEAP)


class Serving:
    """One server on one port; it may be started again and again."""

    program: tuple[str, ...] = ("fhir_server", "serve")  # a module, and what it is told
    trust: ssl.SSLContext | None = None  # whose certificate it shows, where it speaks TLS

    def __init__(self, url: str, folder: Path, **settings: Any) -> None:
        self.url = url
        self.port = free_port()
        self.errors = folder / f"stderr-{self.port}"
        self.settings = {"log_requests": "false", "profiles": "off", **settings}
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start, and do not wait."""
        told = {f"FHIR_{name.upper()}": str(value) for name, value in self.settings.items()}
        told |= {"FHIR_DATABASE_URL": self.url, "FHIR_PORT": str(self.port)}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_")}
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.program], cwd=ROOT, env=kept | told | self.beside(),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                start_new_session=True,
            )  # fmt: skip

    def beside(self) -> dict[str, str]:
        """What else its environment has."""
        return {}

    def start(self) -> float:
        """Start, and wait until it is ready. The seconds that took."""
        begun = time.monotonic()
        self.begin()
        self.await_ready()
        return time.monotonic() - begun

    def await_ready(self) -> None:
        assert self.process is not None
        patience = Patience(STARTS_WITHIN)
        begun = time.monotonic()
        while self.ready()[0] != 200:
            ended = self.process.poll()
            assert ended is None, f"it ended with {ended}: {self.told()}"
            patience.spend(begun)
            assert patience.left > 0, f"it is not ready: {self.told()}"
            begun = time.monotonic()
            time.sleep(0.02)

    @property
    def root(self) -> str:
        """Without the base path."""
        return f"http://127.0.0.1:{self.port}"

    def ready(self) -> tuple[int, Any]:
        """What /readyz says; 0 where nobody answers."""
        try:
            with urllib.request.urlopen(
                f"{self.root}/readyz", timeout=20, context=self.trust
            ) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)
        except OSError:
            return 0, None

    def kill(self) -> None:
        """SIGKILL to all its processes at once."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, *, within: float = 60.0) -> int:
        """SIGTERM, as a service manager stops it; its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within)

    def end(self) -> None:
        """Leave nothing behind, whatever has happened."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def family(self) -> list[int]:
        """Its processes that live."""
        assert self.process is not None
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[3]) == self.process.pid and fields[0] != "Z":  # the session's
                    found.append(int(entry.name))
        return found

    def resident(self) -> int:
        """Bytes of memory its processes hold that no other does."""
        total = 0
        for pid in self.family():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(("Private_Clean:", "Private_Dirty:")):
                    total += int(line.split()[1]) * 1024
        return total

    def told(self) -> str:
        """What it wrote to stderr."""
        return self.errors.read_text("utf-8", "replace") if self.errors.exists() else ""
