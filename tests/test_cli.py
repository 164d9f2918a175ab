"""The command line, run as a person runs it: what it says, what it serves, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fhir_server.cli.app import COMMANDS
from fhir_server.cli.doctor import is_exposed
from fhir_server.cli.exits import Exit
from tests.conftest import Database

PROGRAM = [sys.executable, "-c", "from fhir_server.cli import main; main()"]
PATIENT = {"resourceType": "Patient", "name": [{"family": "Nguyễn", "given": ["An"]}]}
NAMES = [command.__name__ for command in COMMANDS]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_")}
    # What a command does to records is shown with records of three lines, which no profile allows.
    return {**kept, "FHIR_PROFILES": "off", **more}


def fhir_server(*words: str, at: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *words],
        cwd=at,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def serving(*words: str, at: Path, **more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server that answers, on a port that was free, and its base URL."""
    server = subprocess.Popen(
        [*PROGRAM, "serve", "--port", "0", *words],
        cwd=at,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout
        banner = ""
        for line in server.stdout:
            banner += line
            if "Ctrl+C" in line:
                break
        found = re.search(r"Base URL +(\S+)", banner)
        assert found, f"it did not serve: {banner}"
        (at / "banner").write_text(banner)
        yield server, found[1]
    finally:
        server.kill()
        server.communicate()


def ask(url: str, body: Any = None, method: str | None = None) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/fhir+json"} if data else {}
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.status, answer.read()


def until_it_answers(url: str) -> None:
    for _ in range(300):
        try:
            ask(url)
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"{url} does not answer")


def stop(server: subprocess.Popen[str]) -> tuple[int, str]:
    server.send_signal(signal.SIGTERM)
    out, _ = server.communicate(timeout=60)
    return server.returncode, out


# --- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_command_teaches_by_an_example(name: str, tmp_path: Path) -> None:
    ran = fhir_server(name, "--help", at=tmp_path)
    assert ran.returncode == Exit.DONE
    assert re.search(rf"Examples?:\n.*fhir-server {name}", ran.stdout)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_command_is_refused(tmp_path: Path) -> None:
    assert fhir_server("sevre", at=tmp_path).returncode == Exit.MISUSED


def test_help_loads_no_web_server_and_no_database(tmp_path: Path) -> None:
    heavy = "fastapi,uvicorn,sqlalchemy,alembic,psycopg,fhir_server.rest,fhir_server.interaction"
    code = (
        "import sys; from fhir_server.cli import app; "
        f"print([name for name in {heavy.split(',')} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_settings_tell_where_each_comes_from(tmp_path: Path) -> None:
    ran = fhir_server("settings", "--host", "::1", at=tmp_path, FHIR_PORT="9000", FHIR_PRT="1")
    assert re.search(r"port = 9000\n.*\n +from FHIR_PORT;", ran.stdout)
    assert re.search(r"host = ::1\n.*\n +from --host;", ran.stdout)
    assert "`FHIR_PORT`?" in ran.stderr


def test_version_names_the_release_of_fhir(tmp_path: Path) -> None:
    assert "4.0.1" in fhir_server("version", at=tmp_path).stdout


# --- refusals ------------------------------------------------------------------------------------

# what is said                                   status           what the sentence says
REFUSED = [
    (["--port", "abc"], Exit.MISUSED, "`--port` is `abc`"),
    (["--workers", "2"], Exit.MISUSED, "one writer"),
    (["--host", "0.0.0.0"], Exit.MISUSED, "`--open`"),
    (["--host", "203.0.113.1", "--open"], Exit.PORT, "not an address of this machine"),
    (["--host", "no.such.host.invalid", "--open"], Exit.PORT, "no.such.host.invalid"),
    (["--database-url", "mysql://x"], Exit.MISUSED, "`--database-url`"),
    (["--database-url", "postgresql://u@127.0.0.1:1/x"], Exit.DATABASE, "FHIR_DATABASE_URL"),
    (
        ["--database-url", "postgresql://u:hidden@127.0.0.1:1/x"],
        Exit.MISUSED,
        "FHIR_DATABASE_URL_FILE",
    ),
    (["--access-policy", "file"], Exit.MISUSED, "`file` is not TOML"),
    (["--access-policy", "none"], Exit.MISUSED, "`none` cannot be read"),
    (["--tls-certificate", "file", "--tls-key", "file"], Exit.MISUSED, "is not PEM"),
    (
        ["--tls-certificate", "none", "--tls-key", "none"],
        Exit.MISUSED,
        "`tls_certificate` is `none`",
    ),
    (["--database-url", "sqlite:///file/fhir.db"], Exit.DATABASE, "file"),
    (["--database-url", "sqlite:///file"], Exit.SCHEMA, "not a SQLite database"),
    (["--no-migrate"], Exit.SCHEMA, "fhir-server migrate"),
]


@pytest.mark.parametrize(("words", "status", "said"), REFUSED)
def test_serve_refuses_with_a_sentence_and_a_status(
    tmp_path: Path, words: list[str], status: Exit, said: str
) -> None:
    (tmp_path / "file").write_text("not a database")
    port = [] if "--port" in words else ["--port", "0"]
    ran = fhir_server("serve", *port, *words, at=tmp_path)
    assert said in ran.stderr
    assert ran.returncode == status
    assert "Traceback" not in ran.stderr
    assert "hidden" not in ran.stderr


def test_a_taken_port_is_told_and_nothing_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = fhir_server("serve", at=tmp_path, FHIR_PORT=port)
    assert ran.returncode == Exit.PORT
    assert f"Port {port}" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_schema_from_the_future_is_refused(database: Database, tmp_path: Path) -> None:
    newer = "UPDATE alembic_version SET version_num = '9999'"
    if database.product == "sqlite":
        with closing(sqlite3.connect(database.url.removeprefix("sqlite:///"))) as connection:
            connection.execute(newer)
            connection.commit()
    else:
        with psycopg.connect(database.url) as reached:
            reached.execute(newer.encode())
    ran = fhir_server("serve", "--port", "0", "--database-url", database.url, at=tmp_path)
    assert ran.returncode == Exit.SCHEMA
    assert "9999" in ran.stderr


def test_a_second_server_on_one_sqlite_file_is_refused(tmp_path: Path) -> None:
    with serving(at=tmp_path):
        ran = fhir_server("serve", "--port", "0", at=tmp_path)
    assert ran.returncode == Exit.DATABASE
    assert "one writer" in ran.stderr


# --- serving -------------------------------------------------------------------------------------


def test_serve_makes_its_database_and_serves_what_it_was_given(tmp_path: Path) -> None:
    with serving(at=tmp_path) as (server, base):
        assert base.startswith("http://127.0.0.1:")
        status, body = ask(f"{base}/Patient", PATIENT)
        assert status == 201
        assert json.loads(ask(f"{base}/Patient/{json.loads(body)['id']}")[1]) == json.loads(body)
        assert ask(base.removesuffix("/fhir") + "/livez")[0] == 200
        assert ask(base.removesuffix("/fhir") + "/readyz")[0] == 200
        status, out = stop(server)
    assert status == Exit.DONE
    assert "Stopped." in out
    assert (tmp_path / "data" / "fhir.db").exists()


def test_the_banner_tells_what_is_in_it_and_three_things_to_try(tmp_path: Path) -> None:
    with serving(at=tmp_path) as (server, base):
        ask(f"{base}/Patient", PATIENT)
        assert stop(server)[0] == Exit.DONE
    with serving(at=tmp_path):
        banner = (tmp_path / "banner").read_text()
    assert re.search(r"Records +1 resource: 1 Patient\n", banner)
    assert banner.count("    curl ") == 3


def test_a_link_to_the_next_page_is_good_after_a_restart(tmp_path: Path) -> None:
    with serving(at=tmp_path) as (server, base):
        for _ in range(3):
            ask(f"{base}/Patient", PATIENT)
        page = json.loads(ask(f"{base}/Patient?_count=2")[1])
        (link,) = (each["url"] for each in page["link"] if each["relation"] == "next")
        stop(server)
    with serving(at=tmp_path) as (server, again):
        page = json.loads(ask(link.replace(base, again))[1])
        assert len(page["entry"]) == 1


def test_what_was_under_way_is_finished_when_the_server_is_told_to_stop(tmp_path: Path) -> None:
    entries = [{"resource": PATIENT, "request": {"method": "POST", "url": "Patient"}}] * 400
    body = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}).encode()
    with serving(at=tmp_path) as (server, base):
        host, port = base.split("/")[2].split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(
                b"POST /fhir HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\n"
                b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            time.sleep(0.05)
            server.send_signal(signal.SIGTERM)
            answer = b""
            while more := connection.recv(65536):
                answer += more
        assert answer.startswith(b"HTTP/1.1 200")
        assert server.wait(timeout=60) == Exit.DONE
    with serving(at=tmp_path) as (_, base):
        assert json.loads(ask(f"{base}/Patient?_summary=count")[1])["total"] == 400


def test_several_workers_serve_one_postgresql_database(postgresql_url: str, tmp_path: Path) -> None:
    words = ("--workers", "2", "--database-url", postgresql_url)
    with serving(*words, at=tmp_path) as (server, base):
        until_it_answers(base.removesuffix("/fhir") + "/readyz")
        made = [json.loads(ask(f"{base}/Patient", PATIENT)[1])["id"] for _ in range(4)]
        assert all(ask(f"{base}/Patient/{id}")[0] == 200 for id in made for _ in range(3))
        assert stop(server)[0] == Exit.DONE


# --- records -------------------------------------------------------------------------------------


def test_demo_done_again_changes_nothing(tmp_path: Path) -> None:
    first = fhir_server("demo", "--patients", "3", at=tmp_path)
    assert re.search(r"Stored [\d,]+ resources\.", first.stdout), first.stderr
    again = fhir_server("demo", "--patients", "3", at=tmp_path)
    assert "Stored 0 resources" in again.stdout


def test_what_demo_writes_load_stores(tmp_path: Path) -> None:
    for format, ending in (("ndjson", "ndjson"), ("bundle", "json")):
        folder = tmp_path / format
        words = ("demo", "--patients", "3", "--to", str(folder), "--format", format)
        wrote = fhir_server(*words, at=tmp_path)
        count = re.search(r"Wrote ([\d,]+)", wrote.stdout)
        assert count, wrote.stderr
        files = sorted(map(str, folder.glob(f"*.{ending}")))
        url = f"sqlite:///{tmp_path}/{format}.db"
        loaded = fhir_server("load", "--database-url", url, *files, at=tmp_path)
        assert f"Stored {count[1]} resources, refused 0." in loaded.stdout, loaded.stderr


def test_load_leaves_out_what_is_refused_and_names_its_place(tmp_path: Path) -> None:
    lines = [
        {"resourceType": "Patient", "id": "a"},
        {"resourceType": "Patient", "id": "b", "gender": "zzz"},
        {"resourceType": "Person", "id": "c"},
        {"resourceType": "Nobody", "id": "d"},
    ]
    text = "\n".join(map(json.dumps, lines)) + "\n\n{not json\n"
    (tmp_path / "records.ndjson").write_text(text)
    ran = fhir_server("load", "records.ndjson", at=tmp_path)
    assert ran.returncode == Exit.FOUND
    assert "Stored 2 resources, refused 3." in ran.stdout
    assert "records.ndjson:2: Patient.gender" in ran.stderr
    assert "records.ndjson:4:" in ran.stderr
    assert "records.ndjson:6:" in ran.stderr


def test_load_of_a_file_that_is_not_there_does_nothing(tmp_path: Path) -> None:
    ran = fhir_server("load", "nowhere.ndjson", at=tmp_path)
    assert ran.returncode == Exit.MISUSED
    assert list(tmp_path.iterdir()) == []


# --- care ----------------------------------------------------------------------------------------


def test_a_backup_of_a_serving_server_restores_to_the_same_bytes(
    database: Database, tmp_path: Path
) -> None:
    url = ("--database-url", database.url)
    with serving(*url, at=tmp_path) as (server, base):
        id = json.loads(ask(f"{base}/Patient", PATIENT)[1])["id"]
        before = ask(f"{base}/Patient/{id}")[1]
        made = fhir_server("backup", *url, "copy", at=tmp_path)
        assert made.returncode == Exit.DONE, made.stderr
        ask(f"{base}/Patient/{id}", method="DELETE")
        stop(server)
    refused = fhir_server("restore", *url, "copy", at=tmp_path)
    assert refused.returncode == Exit.MISUSED
    assert "--replace" in refused.stderr
    restored = fhir_server("restore", *url, "copy", "--replace", "--verify", at=tmp_path)
    assert restored.returncode == Exit.DONE, restored.stderr
    assert "Verified" in restored.stdout
    with serving(*url, at=tmp_path) as (server, base):
        assert ask(f"{base}/Patient/{id}")[1] == before


def test_what_is_not_a_backup_is_refused(database: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a backup")
    words = ("restore", "--replace", "--database-url", database.url, "file")
    ran = fhir_server(*words, at=tmp_path)
    assert ran.returncode == Exit.BACKUP
    assert "not a backup" in ran.stderr


def test_migrating_again_does_no_harm(database: Database, tmp_path: Path) -> None:
    for _ in range(2):
        ran = fhir_server("migrate", "--database-url", database.url, at=tmp_path)
        assert ran.returncode == Exit.DONE


def test_doctor_finds_a_new_laptop_safe(tmp_path: Path) -> None:
    fhir_server("migrate", at=tmp_path)
    ran = fhir_server("doctor", at=tmp_path)
    looked_at = ("database", "disk", "journal_mode", "synchronous", "access", "secret")
    assert all(re.search(rf"^\S+ +{word} ", ran.stdout, re.MULTILINE) for word in looked_at)


def test_doctor_names_what_is_unsafe(tmp_path: Path) -> None:
    fhir_server("migrate", at=tmp_path)
    ran = fhir_server("doctor", "--host", "0.0.0.0", "--cors-origins", "*", at=tmp_path)
    assert ran.returncode == Exit.FOUND
    assert re.search(r"UNSAFE +access", ran.stdout)
    assert re.search(r"UNSAFE +CORS", ran.stdout)


def test_doctor_takes_a_server_that_asks_who_calls_for_safe(tmp_path: Path) -> None:
    fhir_server("migrate", at=tmp_path)
    ran = fhir_server("doctor", "--host", "0.0.0.0", "--access", "on", at=tmp_path)
    assert re.search(r"ok +access +callers must show", ran.stdout)
    assert re.search(r"UNSAFE +TLS", ran.stdout)


# a database's URL                                            whether a network can listen in
WAYS = [
    ("sqlite:///./data/fhir.db", False),
    ("postgresql://fhir@localhost/fhir", False),
    ("postgresql://fhir@127.0.0.1/fhir", False),
    ("postgresql:///fhir?host=/var/run/postgresql", False),
    ("postgresql://fhir@db.example.vn/fhir", True),
    ("postgresql://fhir@db.example.vn/fhir?sslmode=require", True),
    ("postgresql://fhir@db.example.vn/fhir?sslmode=verify-full", False),
]


@pytest.mark.parametrize(("url", "exposed"), WAYS)
def test_v5_0_0_12_3_1_a_database_elsewhere_is_asked_for_its_certificate(
    url: str, *, exposed: bool
) -> None:
    assert is_exposed(url) is exposed


def test_doctor_tells_of_postgresql(postgresql_url: str, tmp_path: Path) -> None:
    ran = fhir_server("doctor", "--database-url", postgresql_url, at=tmp_path)
    looked_at = ("fsync", "synchronous_commit", "PostgreSQL", "connections", "clock")
    assert all(re.search(rf"^\S+ +{word} ", ran.stdout, re.MULTILINE) for word in looked_at)
    assert re.search(r"UNSAFE +fsync", ran.stdout), "the tests' own server has it off"
    assert ran.returncode == Exit.FOUND


# --- packages ------------------------------------------------------------------------------------

WARD_PATIENT = {
    "resourceType": "StructureDefinition",
    "id": "ward-patient",
    "url": "http://hospital.example/StructureDefinition/ward-patient",
    "name": "WardPatient",
    "status": "active",
    "kind": "resource",
    "abstract": False,
    "type": "Patient",
    "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
    "derivation": "constraint",
    "differential": {"element": [{"id": "b", "path": "Patient.birthDate", "min": 1}]},
}


def ward_package(at: Path) -> None:
    folder = at / "wards"
    folder.mkdir()
    manifest = {"name": "vn.wards", "version": "1.0.0", "fhirVersions": ["4.0.1"]}
    manifest["dependencies"] = {"hl7.fhir.r4.core": "4.0.1", "vn.beds": "2.0.0"}
    (folder / "package.json").write_text(json.dumps(manifest))
    (folder / "StructureDefinition-ward-patient.json").write_text(json.dumps(WARD_PATIENT))


def test_a_package_is_checked_added_listed_and_removed(tmp_path: Path) -> None:
    ward_package(tmp_path)
    (tmp_path / "p.json").write_text(json.dumps(PATIENT))
    assert fhir_server("load", "p.json", at=tmp_path).returncode == 0
    checked = fhir_server("package", "check", "wards", "--against-stored", at=tmp_path)
    assert checked.returncode == Exit.FOUND
    assert "`vn.wards#1.0.0` depends on `vn.beds` `2.0.0`, which is not here" in checked.stderr
    assert "would refuse 1 of 1 Patient (100.0 %)" in checked.stdout
    assert "profile-min, such as Patient/" in checked.stdout
    added = fhir_server("package", "add", "wards", at=tmp_path)
    assert (added.returncode, added.stdout.splitlines()[-1]) == (
        0, "Added vn.wards#1.0.0: 1 definition."
    )  # fmt: skip
    listed = fhir_server("package", "list", at=tmp_path)
    assert listed.stdout.startswith("vn.wards#1.0.0")
    claims = PATIENT | {"meta": {"profile": [WARD_PATIENT["url"]]}}
    (tmp_path / "q.json").write_text(json.dumps(claims))
    refused = fhir_server("load", "q.json", at=tmp_path)
    assert refused.returncode == Exit.FOUND
    assert "Patient.birthDate" in refused.stderr
    removed = fhir_server("package", "remove", "vn.wards", at=tmp_path)
    assert removed.stdout == "Removed vn.wards: 1 definition.\n"
    assert fhir_server("load", "q.json", at=tmp_path).returncode == 0


def test_a_package_that_is_not_there_is_told(tmp_path: Path) -> None:
    ran = fhir_server("package", "add", "nothing.tgz", at=tmp_path)
    assert (ran.returncode, ran.stderr) == (
        Exit.MISUSED, "Error: There is no file or folder `nothing.tgz`.\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("folder", "policy", "said"),
    [
        ("nowhere", None, "`profiles` is `nowhere`, which is no folder."),
        ("mine", "[[rule]]\ntype = 7", "policy.toml"),
    ],
)
def test_profiles_that_cannot_be_used_are_told_before_anything_is_served(
    tmp_path: Path, folder: str, policy: str | None, said: str
) -> None:
    if policy is not None:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "policy.toml").write_text(policy)
    ran = fhir_server("serve", "--port", "0", "--profiles", folder, at=tmp_path)
    assert ran.returncode == Exit.MISUSED
    assert said in ran.stderr
