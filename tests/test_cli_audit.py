"""What a database's audit says is proved and summed up from the command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import urllib.request
from contextlib import closing
from pwd import getpwuid

import pytest
from typer.testing import CliRunner

from fhir_server.cli.app import app
from fhir_server.cli.exits import Exit, Refused
from fhir_server.security.audit import said
from fhir_server.store.contract import Sought
from fhir_server.store.upkeep.audit import trail
from tests.test_cli import PATIENT, fhir_server, serving

ANCHORS = "fhir.db-anchors.jsonl"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A server wrote a patient, was asked for it, and stopped."""
    made = tmp_path_factory.mktemp("place")
    with serving(at=made, FHIR_AUDIT="true") as (server, base):
        body = json.dumps({**PATIENT, "id": "an"}).encode()
        put = urllib.request.Request(f"{base}/Patient/an", body, method="PUT")
        put.add_header("Content-Type", "application/fhir+json")
        urllib.request.urlopen(put, timeout=20).read()
        urllib.request.urlopen(f"{base}/Patient/an?_elements=name", timeout=20).read()
        server.send_signal(signal.SIGTERM)
        server.wait(20)
    return made


@pytest.fixture
def at(place, tmp_path):
    """A copy of it."""
    return shutil.copytree(place, tmp_path / "at")


def changed(at, sql):
    with closing(sqlite3.connect(at / "data" / "fhir.db")) as connection:
        connection.execute(sql)
        connection.commit()


def test_an_audit_that_is_as_it_was_written_is_said_to_be(at):
    ran = fhir_server("audit", "verify", at=at)
    assert ran.returncode == Exit.DONE, ran.stderr
    assert "Read 2 entries in 1 chains, and 1 anchors." in ran.stdout
    assert "Every entry is as it was written." in ran.stdout


# what is done to it                                                     what is said
EDITS = [
    ("update audit set at = at + 1 where number = 2", "is not what its seal says"),
    ("delete from audit where number = 1", "1 are missing"),
    ("delete from audit where number = 2", "tells of 2 entries"),
    ("delete from audit", "is not there"),
    ("delete from audit_subject where number = 2", "can no longer be found"),
]


@pytest.mark.parametrize(("sql", "said"), EDITS)
def test_what_was_done_to_it_is_found(at, sql, said):
    changed(at, sql)
    ran = fhir_server("audit", "verify", at=at)
    assert ran.returncode == Exit.FOUND
    assert said in ran.stderr


def test_without_anchors_it_says_what_it_cannot_tell(at):
    (at / "data" / ANCHORS).unlink()
    ran = fhir_server("audit", "verify", at=at)
    assert ran.returncode == Exit.DONE
    assert "cannot be told" in ran.stderr


def test_anchors_that_were_damaged_are_told_by_their_line(at):
    (at / "data" / ANCHORS).write_text("nonsense\n")
    ran = fhir_server("audit", "verify", at=at)
    assert ran.returncode == Exit.FOUND
    assert f"{ANCHORS}:1" in ran.stderr


def test_a_report_tells_whose_records_were_told_and_which_fields(at):
    ran = fhir_server("audit", "report", "--client", "anyone", "--json", at=at)
    told = json.loads(ran.stdout)
    assert told["entries"] == 2
    assert told["interactions"] == {"update": 1, "read": 1}
    assert told["patients"] == {"Patient/an": 2}
    assert {"type": "Patient", "fields": "name", "told": 1} in told["fields"]
    assert told["addresses"] == {"127.0.0.1": 2}
    ran = fhir_server("audit", "report", "--patient", "an", at=at)
    assert "Patient/an" in ran.stdout
    assert "Patient: name" in ran.stdout


@pytest.mark.parametrize("words", [("--client", "nobody"), ("--to", "2020"), ("--from", "2199")])
def test_a_report_of_nothing_says_so(at, words):
    ran = fhir_server("audit", "report", *words, at=at)
    assert "Nothing was written down" in ran.stdout


def test_a_report_of_no_date_is_refused(at):
    ran = fhir_server("audit", "report", "--from", "yesterday", at=at)
    assert ran.returncode == Exit.MISUSED
    assert "2026-11-01" in ran.stderr


def reported(at, *words):
    ran = fhir_server("audit", "report", *words, "--json", at=at)
    assert ran.returncode == Exit.DONE, ran.stderr
    return json.loads(ran.stdout)


def test_what_commands_do_with_the_records_is_written_down_as_the_users_who_ran_them(at):
    (at / "more.ndjson").write_text(json.dumps({**PATIENT, "id": "binh"}) + "\n")
    assert fhir_server("load", "more.ndjson", at=at, FHIR_AUDIT="true").returncode == Exit.DONE
    # What follows finds that the audit was begun; no setting says so.
    assert fhir_server("backup", "copy.db", at=at).returncode == Exit.DONE
    assert fhir_server("restore", "copy.db", "--replace", at=at).returncode == Exit.DONE
    told = reported(at, "--client", "operator")
    assert told["interactions"] == {"load": 1, "backup": 1, "restore": 1}
    assert told["patients"] == {"Patient/binh": 1}
    assert told["users"] == {getpwuid(os.getuid()).pw_name: 3}
    told = reported(at, "--user", getpwuid(os.getuid()).pw_name)
    assert told["interactions"] == {"load": 1, "backup": 1, "restore": 1, "audit-report": 1}
    ran = fhir_server("audit", "verify", at=at)
    assert ran.returncode == Exit.DONE, ran.stderr
    # 2 of the server, and those of the backup are in it, too: it was written down first
    assert "Read 7 entries in 6 chains, and 6 anchors" in ran.stdout


def test_what_is_done_with_clients_and_the_index_is_written_down(at, monkeypatch):
    monkeypatch.chdir(at)  # in this process: ten beginnings of Python would take longer
    assert CliRunner().invoke(app, ["client", "key", "his"]).exit_code == Exit.DONE
    jwks = ("--jwks", "his.jwks.json")
    codes, done = [], []
    for words in (
        ("client", "add", "his", "--scope", "system/*.rs", *jwks),
        ("client", "add", "his", "--scope", "system/*.rs", *jwks),
        ("client", "enrol", "post", "--scope", "system/*.rs"),
        ("client", "enrol", "post", "--minutes", "5"),
        ("client", "rotate", "his", *jwks),
        ("client", "end", "his"),
        ("client", "revoke", "his"),
        ("reindex",),
    ):
        ran = CliRunner().invoke(app, words)
        again = isinstance(ran.exception, Refused) and "already" in str(ran.exception)
        assert again == (words in done) and (again or ran.exit_code == Exit.DONE), ran
        done.append(words)
        codes += re.findall(r"minutes: (\S+)", ran.output)
    ran = CliRunner().invoke(app, ["audit", "report", "--client", "operator", "--json"])
    told = json.loads(ran.stdout)
    once = dict.fromkeys(("client-add", "client-rotate", "client-end", "client-revoke"), 1)
    assert told["interactions"] == {**once, "client-enrol": 2, "reindex": 1}
    with trail(f"sqlite:///{at}/data/fhir.db") as found:
        bodies = [one.body for one in found.found(Sought(subjects=(said.of_client("operator"),)))]
    urls = [said.read(body).url for body in bodies]
    assert sorted(urls) == ["", "client=operator", *["his"] * 4, *["post"] * 2]
    assert {said.read(body).user for body in bodies} == {getpwuid(os.getuid()).pw_name}
    assert len(codes) == 2
    key = json.loads((at / "his.jwks.json").read_text())["keys"][0]
    for secret in (*codes, key["x"], key["y"]):
        assert not any(secret in str(said.read(body)) for body in bodies)
    assert CliRunner().invoke(app, ["audit", "verify"]).exit_code == Exit.DONE


def test_a_client_that_cannot_be_written_down_is_not_registered(at, monkeypatch):
    monkeypatch.chdir(at)
    assert CliRunner().invoke(app, ["client", "key", "his"]).exit_code == Exit.DONE
    changed(at, "drop table audit_subject")
    words = ("client", "add", "his", "--scope", "system/*.rs", "--jwks", "his.jwks.json")
    refusal = CliRunner().invoke(app, words).exception
    assert isinstance(refusal, Refused) and refusal.status == Exit.DATABASE
    assert "No client" in CliRunner().invoke(app, ["client", "list"]).output


def test_a_backup_that_cannot_be_written_down_is_not_made(at):
    changed(at, "drop table audit_subject")
    ran = fhir_server("backup", "copy.db", at=at)
    assert ran.returncode == Exit.DATABASE
    assert not (at / "copy.db").exists()


def test_what_was_seen_after_a_backup_stays_when_it_is_restored(at):
    assert fhir_server("backup", "copy.db", at=at).returncode == Exit.DONE
    (at / "more.ndjson").write_text(json.dumps({**PATIENT, "id": "binh"}) + "\n")
    assert fhir_server("load", "more.ndjson", at=at, FHIR_AUDIT="true").returncode == Exit.DONE
    assert fhir_server("restore", "copy.db", "--replace", at=at).returncode == Exit.DONE
    ran = fhir_server("audit", "verify", at=at)
    assert ran.returncode == Exit.DONE, ran.stderr
    assert "Read 5 entries in 4 chains" in ran.stdout
