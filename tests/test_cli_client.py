"""Clients are registered, enrolled, rotated and revoked from the command line."""

from __future__ import annotations

import json
import re
import shutil
import stat
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pytest
from joserfc import jwk, jwt

from fhir_server.cli.exits import Exit
from fhir_server.security.tokens import client
from fhir_server.security.tokens.assertion import KIND
from fhir_server.security.tokens.granted import GRANT
from fhir_server.security.tokens.keys import registered
from fhir_server.store.contract.access import Issued
from fhir_server.store.migrate import migrate
from fhir_server.store.upkeep import access
from tests.test_cli import fhir_server, serving

ADD = ("--scope", "system/*.rs", "--role", "system", "--facility", "bv-1", "--purpose", "TREAT")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a database, and a key of a client; nothing is registered."""
    made = tmp_path_factory.mktemp("place")
    migrate(f"sqlite:///{made}/data/fhir.db")
    assert fhir_server("client", "key", "his", at=made).returncode == 0
    return made


@pytest.fixture
def at(place, tmp_path):
    """A copy of it."""
    return shutil.copytree(place, tmp_path / "at")


def run(at, *words):
    return fhir_server("client", *words, at=at)


def kept(at, id="his-1"):
    return client.of(access.client(f"sqlite:///{at}/data/fhir.db", id))


def test_a_key_is_made_whose_private_part_is_its_owners_alone(at):
    private = at / "his.pem"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    (public,) = registered((at / "his.jwks.json").read_bytes())
    key = jwk.import_key(private.read_bytes(), "EC", {"kid": public["kid"]})
    token = jwt.encode({"alg": "ES384"}, {"a": 1}, key, algorithms=["ES384"])
    opened = jwt.decode(token, jwk.import_key(dict(public)), algorithms=["ES384"])
    assert opened.claims == {"a": 1}
    again = run(at, "key", "his")
    assert (again.returncode, "there already" in again.stderr) == (Exit.MISUSED, True)
    assert private.read_bytes() == key.as_pem(private=True)


def test_a_client_is_added_listed_rotated_and_revoked(at):
    added = run(at, "add", "his-1", *ADD, "--jwks", "his.jwks.json")
    assert added.returncode == 0, added.stderr
    told = kept(at)
    assert (told.scopes, told.roles, told.facility) == ("system/*.rs", ("system",), "bv-1")
    assert run(at, "key", "new").returncode == 0
    both = run(at, "rotate", "his-1", "--jwks", "new.jwks.json", "--keep-old")
    assert (both.returncode, len(kept(at).keys)) == (0, 2)
    assert run(at, "rotate", "his-1", "--jwks", "new.jwks.json").returncode == 0
    assert len(kept(at).keys) == 1
    assert "his-1" in run(at, "list").stdout
    assert run(at, "revoke", "his-1").returncode == 0
    assert "REVOKED" in run(at, "list").stdout
    again = run(at, "rotate", "his-1", "--jwks", "new.jwks.json")
    assert (again.returncode, "revoked" in again.stderr) == (Exit.MISUSED, True)


def test_a_code_is_printed_once_and_kept_by_its_digest(at):
    told = run(at, "enrol", "tram-1", *ADD)
    assert told.returncode == 0, told.stderr
    code = re.search(r"\b([A-Z2-7]{4}-){5}[A-Z2-7]{4}\b", told.stdout)
    assert code
    assert kept(at, "tram-1").keys == ()
    for file in (at / "data").iterdir():
        assert code[0].encode() not in file.read_bytes()


def test_a_person_is_invited_into_an_application(at):
    app = ("--scope", "patient/*.rs", "--role", "citizen", "--redirect", "https://app.vn/done")
    assert run(at, "add", "app", *app).returncode == 0
    told = run(at, "invite", "app", "--user", "Patient/an", "--patient", "an")
    assert re.search(r"\b([A-Z2-7]{4}-){5}[A-Z2-7]{4}\b", told.stdout), told.stderr
    wrong = run(at, "invite", "app", "--user", "an")
    assert (wrong.returncode, "cannot be a user" in wrong.stderr) == (Exit.MISUSED, True)


REFUSED = [
    (("add", "his-1", *ADD), "how the client proves itself"),
    (("add", "his-1", "--jwks", "his.jwks.json"), "--scope"),
    (("add", "operator", *ADD, "--jwks", "his.jwks.json"), "cannot be a client's id"),
    (("add", "a b", *ADD, "--jwks", "his.jwks.json"), "cannot be a client's id"),
    (("add", "his-1", *ADD, "--jwks", "gone.json"), "cannot be read"),
    (("add", "his-1", *ADD, "--jwks", "his.pem"), "not JSON"),
    (("add", "his-1", *ADD, "--jwks-url", "http://his.example/"), "https://"),
    (("add", "his-1", *ADD, "--jwks", "his.jwks.json", "--provider"), "one only"),
    (("add", "his-1", "--scope", "system/*.sr", "--provider"), "cruds"),
    (("add", "his-1", *ADD, "--user", "Device/1", "--provider"), "cannot be a user"),
    (("rotate", "nobody", "--jwks", "his.jwks.json"), "No client `nobody`"),
    (("revoke", "nobody"), "No client `nobody`"),
    (("enrol", "nobody"), "No client `nobody`"),
    (("invite", "nobody", "--user", "Patient/1"), "No client `nobody`"),
    (("add", "app", "--scope", "user/*.rs", "--redirect", "http://app.vn/"), "redirect URI"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED, ids=lambda told: " ".join(told)[:50])
def test_what_cannot_be_meant_is_refused_in_words(place, words, said):
    told = run(place, *words)
    assert told.returncode == Exit.MISUSED
    assert said in told.stderr
    assert "Traceback" not in told.stderr


def test_a_client_is_not_registered_over_another(at):
    assert run(at, "add", "his-1", *ADD, "--jwks", "his.jwks.json").returncode == 0
    told = run(at, "add", "his-1", *ADD, "--provider")
    assert (told.returncode, "registered already" in told.stderr) == (Exit.MISUSED, True)


def test_what_is_registered_is_kept_as_json_of_its_own(at):
    run(at, "add", "his-1", *ADD, "--jwks", "his.jwks.json", "--name", "Bệnh viện")
    row = access.client(f"sqlite:///{at}/data/fhir.db", "his-1")
    assert json.loads(row.facts)["name"] == "Bệnh viện"


def posted(url, told):
    body = urllib.parse.urlencode(told).encode()
    with urllib.request.urlopen(url, body, timeout=30) as answer:
        return json.loads(answer.read())


def fetched(url, token=None):
    asked = urllib.request.Request(url)
    if token is not None:
        asked.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_from_a_key_to_the_first_search_and_to_the_end_of_it(at):
    """What a vendor does on the first day, and an operator on the last."""
    added = run(at, "add", "his-1", "--scope", "system/*.rs", "--role", "system",
                "--facility", "bv-1", "--purpose", "TREAT", "--jwks", "his.jwks.json")  # fmt: skip
    assert added.returncode == 0, added.stderr
    kid = json.loads((at / "his.jwks.json").read_text())["keys"][0]["kid"]
    key = jwk.import_key((at / "his.pem").read_bytes(), "EC", {"kid": kid})
    with serving("--access", "on", at=at) as (_, base):
        assert fetched(f"{base}/Patient") == 401
        token_url = f"{base}/oauth/token"
        claims = {"iss": "his-1", "sub": "his-1", "aud": token_url, "jti": str(uuid.uuid4())}
        claims["exp"] = int(time.time()) + 240
        head = {"alg": "ES384", "kid": kid, "typ": "JWT"}
        assertion = jwt.encode(head, claims, key, algorithms=["ES384"])
        answer = posted(
            token_url,
            {
                "grant_type": "client_credentials",
                "scope": "system/*.rs",
                "client_assertion_type": KIND,
                "client_assertion": assertion,
            },
        )
        token = answer["access_token"]
        assert fetched(f"{base}/Patient", token) == 200
        assert fetched(f"{base}/Patient", token + "x") == 401
        assert run(at, "revoke", "his-1").returncode == 0
        until = time.monotonic() + 60
        while fetched(f"{base}/Patient", token) == 200 and time.monotonic() < until:
            time.sleep(0.5)
        assert fetched(f"{base}/Patient", token) == 401


def test_with_access_on_the_base_url_must_be_told_and_nobody_is_let_in_unasked(at):
    told = fhir_server("serve", "--access", "on", "--host", "0.0.0.0", at=at)
    assert (told.returncode, "--public-base-url" in told.stderr) == (Exit.MISUSED, True)
    told = fhir_server("serve", "--host", "0.0.0.0", at=at)
    assert (told.returncode, "--access on" in told.stderr) == (Exit.MISUSED, True)
    here = ("--host", "0.0.0.0", "--public-base-url", "http://127.0.0.1/fhir")
    with serving("--access", "on", *here, at=at):
        assert "callers show who they are" in (at / "banner").read_text()
    lost = ("--provider", "https://idp.vn", "--provider-keys", "gone.json", "--access", "on")
    told = fhir_server("serve", *here, *lost, at=at)
    assert (told.returncode, "`provider_keys`" in told.stderr) == (Exit.MISUSED, True)


def test_what_a_person_granted_is_ended_for_that_person_alone_v5_0_0_7_4_5(at):
    told = ("--scope", "patient/*.rs offline_access", "--role", "citizen")
    added = run(at, "add", "app", *told, "--redirect", "https://app.vn/done")
    assert added.returncode == 0, added.stderr
    url, now = f"sqlite:///{at}/data/fhir.db", time.time_ns() // 1_000_000
    for n, user in enumerate(("Patient/an", "Patient/an", "Patient/binh")):
        facts = json.dumps({"user": user, "secret": "x", "scope": "patient/*.rs"})
        assert access.issue(url, Issued(bytes([n]) * 32, GRANT, "app", facts, now, now + 10**6))
    ended = run(at, "end", "app", "--user", "Patient/an")
    assert ended.stdout == "2 grants of Patient/an to `app` ended.\n"
    (left,) = access.of_client(url, "app", GRANT)
    assert json.loads(left.facts)["user"] == "Patient/binh"
    assert run(at, "end", "app").stdout == "1 tokens of `app` ended.\n"
    assert run(at, "add", "emr", *ADD, "--jwks", "his.jwks.json", "--launches").returncode == 0
    assert kept(at, "emr").launches
