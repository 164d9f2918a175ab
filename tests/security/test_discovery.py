"""Where an outside provider gives the tokens, clients are told its endpoints, from its own mouth.

OpenID Connect Discovery 1.0; SMART 2.2, conformance. The provider is a server of this test's own.
"""

from __future__ import annotations

import http.server
import json
import ssl
import threading

import pytest

from fhir_server.foundation.outcome import Unauthorized
from fhir_server.security.tokens.authority import Authority
from fhir_server.security.tokens.credentials import Credentials
from fhir_server.security.tokens.discovery import DiscoveredKeys, Discovery, checked
from fhir_server.security.tokens.fetching import Fetched, Https, Unfetched
from fhir_server.security.tokens.keys import BadKeys
from fhir_server.security.tokens.provider import ALGORITHMS, Provider
from tests.rest.client import on_one_database

from .signing import BASE, NOW, key, key_set, register, signed
from .test_fetching import certificate as certificate_of_localhost
from .test_fetching import trusting

ISSUER = "https://idp.example.vn"
KEY = key("RS256", "idp-1")


def document(issuer=ISSUER, at=None, **changes):
    at = at or issuer
    told = {
        "issuer": issuer,
        "authorization_endpoint": f"{at}/auth",
        "token_endpoint": f"{at}/token",
        "introspection_endpoint": f"{at}/introspect",
        "jwks_uri": f"{at}/jwks",
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["plain", "S256"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post", "none"],
        "device_authorization_endpoint": f"{at}/device",
    } | changes
    return {name: value for name, value in told.items() if value is not None}


def text(**changes):
    return json.dumps(document(**changes)).encode()


def test_the_endpoints_and_what_they_take_are_read():
    told = checked(text(), ISSUER)
    assert told["token_endpoint"] == f"{ISSUER}/token"
    assert "device_authorization_endpoint" not in told


MIXED_UP = [
    text(issuer="https://evil.example"),
    text(issuer=f"{ISSUER}/"),
    text(issuer=f"{ISSUER}.evil.example"),
    json.dumps(document() | {"issuer": None}).encode(),
    json.dumps({k: v for k, v in document().items() if k != "issuer"}).encode(),
    text(token_endpoint=None),
    text(jwks_uri=None),
    text(authorization_endpoint=None),
    text(token_endpoint="http://idp.example.vn/token"),
    text(token_endpoint="javascript:alert(1)"),
    text(token_endpoint=["x"]),
    text(jwks_uri="file:///etc/passwd"),
    text(jwks_uri="https://user@idp.example.vn/"),
    text(grant_types_supported="all"),
    text(scopes_supported=["x"] * 201),
    text()[:-1] + b', "issuer": "https://evil.example"}',
    b"[]",
    b"",
    b"\xff",
    b"[" * 50_000,
    b" " * 70_000,
]


@pytest.mark.parametrize("body", MIXED_UP, ids=range(len(MIXED_UP)))
def test_a_configuration_of_another_or_of_nobody_is_not_believed_v5_0_0_10_5_3(body):
    with pytest.raises(Unfetched):
        checked(body, ISSUER)


class Idp(http.server.BaseHTTPRequestHandler):
    """A provider: its configuration, its keys."""

    def do_GET(self):
        here = f"https://127.0.0.1:{self.server.server_port}"
        told = {
            "/.well-known/openid-configuration": json.dumps(document(here)).encode(),
            "/jwks": key_set(KEY).encode(),
        }.get(self.path)
        self.send_response(200 if told else 404)
        self.end_headers()
        self.wfile.write(told or b"")

    def log_message(self, *_):
        pass


certificate = certificate_of_localhost


@pytest.fixture
def idp(certificate):
    """Where it is, and what fetches from it."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Idp)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}", trusting(certificate)
    server.shutdown()
    thread.join()
    server.server_close()


@on_one_database
async def test_from_the_providers_configuration_to_its_token_taken_here(store, clock, idp):
    issuer, fetch = idp
    discovery = Discovery(issuer, "", fetch)
    keys = DiscoveredKeys(discovery, ALGORITHMS, fetch)
    outside = Provider(issuer, keys, BASE, discovery)
    authority = Authority(store, base=BASE, outside=outside, clock=clock, fetch=fetch)
    told = await authority.configuration(BASE)
    assert told["authorization_endpoint"] == f"{issuer}/auth"
    assert told["token_endpoint"] == f"{issuer}/token"
    assert (told["issuer"], told["jwks_uri"]) == (issuer, f"{issuer}/jwks")
    assert told["code_challenge_methods_supported"] == ["S256"], "plain is never told"
    assert {"client-public", "client-confidential-asymmetric", "client-confidential-symmetric",
            "sso-openid-connect", "permission-offline"} <= set(told["capabilities"])  # fmt: skip
    await register(
        store, id="viewer", keys=(), provider=True, scopes="user/*.rs", roles=("doctor",)
    )
    claims = {"iss": issuer, "sub": "u-1", "aud": BASE, "azp": "viewer", "exp": NOW + 600}
    claims |= {"scope": "user/*.rs", "roles": ["doctor"]}
    bearer = Credentials(f"Bearer {signed(claims, by=KEY)}")
    assert (await authority.authenticate(bearer)).user == f"{issuer}|u-1"
    stranger = signed(claims, by=key("RS256", "idp-2"))
    with pytest.raises(Unauthorized):
        await authority.authenticate(Credentials(f"Bearer {stranger}"))


class Seconds:
    now = 1000.0

    def __call__(self):
        return self.now


async def test_it_is_kept_as_long_as_its_publisher_says_and_asked_for_by_one():
    asked, seconds, told = [], Seconds(), [text()]

    def fetch(url):
        asked.append(url)
        if told[0] is None:
            raise Unfetched("gone")
        return Fetched(told[0], 60)

    discovery = Discovery(ISSUER, "", fetch, seconds)
    for _ in range(3):
        assert (await discovery.told())["issuer"] == ISSUER
    assert asked == [f"{ISSUER}/.well-known/openid-configuration"]
    told[0] = None
    seconds.now += 59
    assert await discovery.told()
    seconds.now += 1
    for _ in range(3):
        with pytest.raises(Unfetched):
            await discovery.told()
    assert len(asked) == 2, "nor is a provider that is gone called at each request"
    with pytest.raises(BadKeys):
        await DiscoveredKeys(discovery, ALGORITHMS, fetch).having("k")
    told[0] = text()
    seconds.now += 10
    assert await discovery.told()


async def test_a_file_may_stand_for_it_where_there_is_no_network(tmp_path):
    file = tmp_path / "idp.json"
    file.write_bytes(text())
    assert (await Discovery(ISSUER, str(file), Https()).told())["issuer"] == ISSUER
    with pytest.raises(Unfetched):
        await Discovery(ISSUER, str(tmp_path / "none.json"), Https()).told()
