"""The commands of a node."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from fhir_server.cli.app import app
from fhir_server.cli.exits import Exit, Refused
from fhir_server.foundation.outcome import Issue
from fhir_server.server import indexer_of
from fhir_server.settings import Settings
from fhir_server.sync.node import key
from fhir_server.sync.node.copy_state import CopyState
from fhir_server.sync.words import Outcome
from tests.interaction.conftest import server_on
from tests.sync import test_pieces
from tests.sync.node.conftest import Node, a_patient


@pytest.fixture
def said(database, monkeypatch):
    """Run a command: its exit status, and what it says."""
    monkeypatch.setenv("FHIR_PROFILES", "off")
    monkeypatch.setenv("FHIR_DATABASE_URL", database.url)

    def run(*words: str) -> tuple[int, str]:
        found = CliRunner().invoke(app, ("sync", *words))
        if isinstance(found.exception, Refused):
            return found.exception.status, str(found.exception)
        return found.exit_code, found.output

    return run


@pytest.fixture
def on(database, run):
    """Do something with a node on the database."""

    def do(doing):
        async def done():
            store = database.store(stamp=indexer_of(Settings()).stamp)
            await store.open()
            try:
                return await doing(Node(server_on(store)))
            finally:
                await store.close()

        return run(done())

    return do


async def begin(node):
    await node.put(a_patient("p1"), a_patient("p2"))
    issue = Issue("error", "invalid", "The gender is missing.", vietnamese="Thiếu giới tính.")
    await node.answered(await node.chunk(), Outcome.STORED, Outcome.PARKED, issues=[issue])
    await node.put(a_patient("p3"))
    await node.noticed()


def test_a_node_tells_what_waits_and_what_is_kept_apart_and_why(said, on):
    assert said("status")[0] == Exit.MISUSED
    on(begin)
    status, told = said("status")
    assert status == Exit.FOUND
    assert "1 versions" in told
    assert "1 parked, 0 refused" in told
    status, told = said("parked")
    assert status == Exit.FOUND
    assert "Patient/p2  parked" in told
    assert "Thiếu giới tính." in told
    status, told = said("log")
    assert status == 0
    assert "sent: stored 1, parked 1" in told


def test_a_pause_is_told_and_ends(said, on):
    on(begin)
    assert said("pause")[0] == 0
    assert "Paused" in said("status")[1]
    assert said("resume")[0] == 0
    assert "Paused" not in said("status")[1]


def test_how_the_copy_stands_is_told(said, on):
    on(begin)
    for state, words in COPIES:
        on(lambda node, state=state: node.store.commit(state.unit))
        line = next(each for each in said("status")[1].splitlines() if each.startswith("Copy:"))
        assert all(word in line for word in words), line


COPIES = [
    # how it stands                                                   what is told
    (
        CopyState("/stick", at=9, versions=30, octets=2048),
        ["whole, 30 versions (2.0 KB) in /stick"],
    ),
    (CopyState("/stick", large=1), ["1 are too large"]),
    (
        CopyState("/stick", failing=9, why="Full.", missing=3),
        ["fails", "Full.", "3 versions are here"],
    ),
]


def test_a_copy_is_looked_at_without_a_key_or_a_line(said, tmp_path):
    assert said("rescue", f"{tmp_path}/none", "--check") == (
        Exit.MISUSED, f"`{tmp_path}/none` is no folder.",
    )  # fmt: skip
    assert "holds no copy" in said("rescue", f"{tmp_path}", "--check")[1]
    whole = test_pieces.on(tmp_path, 2, 3, low=2)
    status, told = said("rescue", f"{tmp_path}", "--check")
    assert status == 0
    assert "tyt-hue, copy c1: 2 versions in 2 pieces" in told
    test_pieces.on(tmp_path, 7, low=2, file="000002")
    with whole.open("ab") as opened:
        opened.write(b"ey")
    status, told = said("rescue", f"{tmp_path}", "--check")
    assert status == Exit.FOUND
    assert "Missing: pieces 4-6." in told
    assert "Not whole, and left out: 1 lines (tyt-hue/c1/000001.pieces:3)." in told
    assert said("rescue", f"{tmp_path}", "--hub-key", f"{tmp_path}/no.json")[0] == Exit.FOUND


REFUSED = {
    "no hub is said": ([], "Say which hub"),
    "the way would be open to all": (["--hub", "http://tinh.example.vn/fhir"], "https://"),
    "nobody is there": (["--hub", "http://127.0.0.1:9/fhir"], "cannot be reached"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_enrolment_that_cannot_be_is_refused_in_words(said, tmp_path, name):
    words, told = REFUSED[name]
    status, answer = said("enrol", "--code", "ABCD", "--hub-key", f"{tmp_path}/key.json", *words)
    assert status in (Exit.MISUSED, Exit.FOUND)
    assert told in answer
    assert not (tmp_path / "key.json").exists()


def test_without_a_key_nothing_is_asked(said, tmp_path):
    hub = ("--hub", "https://tinh.example.vn/fhir", "--hub-key", f"{tmp_path}/key.json")
    status, told = said("now", *hub)
    assert (status, "sync enrol" in told) == (Exit.FOUND, True)


def test_a_key_is_for_its_owner_alone_and_is_read_as_it_was_written(tmp_path):
    made = key.made()
    one = key.NodeKey("https://h", "tyt", "https://h/t", "system/*.cruds", made.as_dict())
    file = tmp_path / "below" / "key.json"
    key.write(file, one)
    assert file.stat().st_mode & 0o077 == 0
    assert key.read(file) == one
    assert '"d"' not in key.public(made)
    file.write_text("{}")
    with pytest.raises(key.BadKey):
        key.read(file)


def test_a_node_that_is_enrolled_is_told_the_next_step_and_not_the_first(
    said, tmp_path, monkeypatch
):
    monkeypatch.setenv("FHIR_HUB_KEY", str(tmp_path / "key.json"))
    assert "sync enrol` is the first step" in said("status")[1]
    own = dict(key.made().as_dict(private=True))
    key.write(
        tmp_path / "key.json", key.NodeKey("https://h.vn/fhir", "tyt-1", "https://t", "s", own)
    )
    status, told = said("status")
    assert (status, "enrolled as `tyt-1`" in told) == (Exit.MISUSED, True), told
