"""A deployment's own policy is the one that holds, and a wrong one stops the server at its line."""

from __future__ import annotations

import json
import time
import uuid

from joserfc import jwk, jwt

from fhir_server.cli.exits import Exit
from fhir_server.security.tokens.assertion import KIND
from fhir_server.store.migrate import migrate
from tests.test_cli import fhir_server, serving
from tests.test_cli_client import fetched, posted

OWN = """
[[purpose]]
code = "TREAT"
basis = "rule"
law = "a law"

[[role]]
name = "librarian"
purposes = ["TREAT"]

[[rule]]
name = "places"
roles = ["librarian"]
letters = "rs"
types = ["Organization"]
reach = "all"
"""


def token(at, base):
    """What a client is given for its signature."""
    kid = json.loads((at / "own.jwks.json").read_text())["keys"][0]["kid"]
    key = jwk.import_key((at / "own.pem").read_bytes(), "EC", {"kid": kid})
    url = f"{base}/oauth/token"
    claims = {"iss": "own-1", "sub": "own-1", "aud": url, "jti": str(uuid.uuid4())}
    claims["exp"] = int(time.time()) + 240
    head = {"alg": "ES384", "kid": kid, "typ": "JWT"}
    told = {
        "grant_type": "client_credentials",
        "scope": "system/*.rs",
        "client_assertion_type": KIND,
        "client_assertion": jwt.encode(head, claims, key, algorithms=["ES384"]),
    }
    return posted(url, told)["access_token"]


def test_a_policy_of_ones_own_is_the_one_that_holds_v5_0_0_8_1_1(tmp_path):
    migrate(f"sqlite:///{tmp_path}/data/fhir.db")
    (tmp_path / "own.toml").write_text(OWN, "utf-8")
    told = fhir_server("client", "key", "own", at=tmp_path)
    assert told.returncode == 0, told.stderr
    told = fhir_server(
        *("client", "add", "own-1", "--scope", "system/*.rs", "--role", "librarian"),
        *("--purpose", "TREAT", "--jwks", "own.jwks.json"),
        at=tmp_path,
        FHIR_ACCESS_POLICY="own.toml",
    )
    assert told.returncode == 0, told.stderr
    with serving("--access", "on", "--access-policy", "own.toml", at=tmp_path) as (_, base):
        # The role is none of the policy that is built in, which lets nobody in by it.
        given = token(tmp_path, base)
        assert fetched(f"{base}/Organization/none", given) == 404
        # What it says next holds without a new start, for the token of before, too.
        (tmp_path / "next.toml").write_text(OWN.replace("librarian", "porter"), "utf-8")
        (tmp_path / "next.toml").replace(tmp_path / "own.toml")
        until = time.monotonic() + 20
        while fetched(f"{base}/Organization/none", given) != 403 and time.monotonic() < until:
            time.sleep(0.2)
        assert fetched(f"{base}/Organization/none", given) == 403


def test_a_policy_that_is_wrong_stops_the_server_and_names_the_line(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text(OWN.replace('"Organization"', '"Organisation"'), "utf-8")
    told = fhir_server("serve", "--access", "on", "--access-policy", "own.toml", at=tmp_path)
    assert told.returncode == Exit.MISUSED
    line = OWN.splitlines().index('types = ["Organization"]') + 1
    assert f"`own.toml`, line {line}: `Organisation`" in told.stderr, told.stderr
    told = fhir_server("serve", "--access", "on", "--access-policy", "gone.toml", at=tmp_path)
    assert (told.returncode, "gone.toml" in told.stderr) == (Exit.MISUSED, True)
