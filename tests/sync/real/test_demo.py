"""`make demo-sync` tells a true story: whoever follows it sees what it says."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
from contextlib import suppress

import httpx
import pytest

from tests.acceptance.serving import ROOT
from tests.sync.real.province import Province
from tests.sync.real.test_chaos import ROUNDS
from tools.demo_sync import Demo

STAYS = "until you press Enter"


@pytest.mark.skipif(ROUNDS > 0, reason="the long form runs")
def test_the_story_of_the_demo_holds(
    province: Province, capsys: pytest.CaptureFixture[str]
) -> None:
    demo = Demo(province)
    demo.tell()
    demo.resolve()
    told = capsys.readouterr().out
    assert "Urgent:      1 prescriptions and referrals among them" in told
    assert "Đã chọn xong" in told


@pytest.mark.skipif(ROUNDS == 0, reason="`make chaos` runs it")
def test_the_demo_runs_as_a_user_has_it() -> None:
    """At a terminal it stays: what it prints is typed, and then Enter."""
    here, there = pty.openpty()
    demo = subprocess.Popen(
        [sys.executable, "-m", "tools.demo_sync"], cwd=ROOT, stdin=there, stdout=there,
        stderr=there, start_new_session=True,
    )  # fmt: skip
    os.close(there)
    told = read(here, STAYS)
    hub = re.search(r"hub +(http://\S+)/fhir", told)
    assert hub is not None
    _, _, choice = told.rpartition("# 1955-03-12")
    words = shlex.split(choice.strip().splitlines()[0])
    assert words[0] == "curl"
    kind = {"Content-Type": "application/fhir+json"}
    answer = httpx.post(words[-1], content=words[words.index("-d") + 1], headers=kind, timeout=60)
    assert answer.status_code == 200, answer.text
    os.write(here, b"\n")
    told = read(here, "")
    assert demo.wait(60) == 0, told
    assert "born on 1955-03-12" in told
    with pytest.raises(httpx.ConnectError):
        httpx.get(hub[1])


def read(terminal: int, until: str) -> str:
    """What is told up to these words; empty: to the end."""
    told = b""
    with suppress(OSError):  # which is how a terminal ends
        while part := os.read(terminal, 4096):
            told += part
            if until and until.encode() in told:
                break
    assert until.encode() in told, told.decode()
    return told.decode().replace("\r\n", "\n")
