"""A key set comes from its registered URL, is kept as long as its publisher says, and no longer."""

from __future__ import annotations

import asyncio
import datetime as dt
import http.server
import ipaddress
import ssl
import threading
from contextlib import contextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fhir_server.security.tokens.fetching import (
    AGAIN,
    LONGEST,
    SHORTEST,
    USUAL,
    Fetched,
    Https,
    Unfetched,
    UrlKeys,
    demand_url,
)
from fhir_server.security.tokens.keys import BadKeys

from .signing import key, key_set

ONE, TWO = key_set(key()), key_set(key(), key("ES384", "k2"))
SET = ONE.encode()
URL = "https://his.example/jwks"


class Publisher:
    """Answers with what it is told to, and counts."""

    def __init__(self, body=ONE, lives=USUAL):
        self.body, self.lives, self.asked = body, lives, 0

    def __call__(self, url):
        assert url == URL
        self.asked += 1
        if self.body is None:
            raise Unfetched("gone")
        return Fetched(self.body.encode(), self.lives)


class Seconds:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def seconds():
    return Seconds()


def keys_at(publisher, seconds):
    return UrlKeys(URL, ("ES384",), publisher, seconds)


async def kids(keys, kid="k1"):
    return [each["kid"] for each in await keys.having(kid)]


async def test_a_set_is_fetched_once_for_all_who_ask(seconds):
    publisher = Publisher()
    keys = keys_at(publisher, seconds)
    assert await asyncio.gather(*(kids(keys) for _ in range(20))) == [["k1"]] * 20
    seconds.now += USUAL - 1
    await kids(keys)
    assert publisher.asked == 1


async def test_it_is_kept_no_longer_than_its_publisher_says(seconds):
    publisher = Publisher(lives=60)
    keys = keys_at(publisher, seconds)
    await kids(keys)
    publisher.body = TWO
    seconds.now += 60
    assert await kids(keys) == ["k1", "k2"]


async def test_a_key_that_is_not_there_is_looked_for_once_a_minute(seconds):
    publisher = Publisher()
    keys = keys_at(publisher, seconds)
    await kids(keys)
    publisher.body = TWO
    assert await kids(keys, "k2") == ["k1"], "an attacker's kids make no requests"
    assert publisher.asked == 1
    seconds.now += AGAIN
    assert await kids(keys, "k2") == ["k1", "k2"]
    assert publisher.asked == 2


async def test_a_failed_fetch_leaves_the_set_of_before_until_its_time_is_over(seconds):
    publisher = Publisher()
    keys = keys_at(publisher, seconds)
    await kids(keys)
    publisher.body = None
    seconds.now += AGAIN
    assert await kids(keys, "k2") == ["k1"]
    seconds.now += USUAL
    with pytest.raises(BadKeys):
        await kids(keys)
    asked = publisher.asked
    with pytest.raises(BadKeys):
        await kids(keys)
    assert publisher.asked == asked, "one that is down is not asked at each request"
    publisher.body = ONE
    seconds.now += SHORTEST
    assert await kids(keys) == ["k1"]


async def test_a_set_that_is_none_is_no_set(seconds):
    with pytest.raises(BadKeys):
        await kids(keys_at(Publisher("<html>"), seconds))


URLS = [
    "http://his.example/jwks",
    "ftp://his.example/jwks",
    "file:///etc/passwd",
    "https://",
    "https://user:password@his.example/jwks",
    "https://his.example/jwks#x",
    "https://his.example:0/jwks",
    "https://his.example:99999/jwks",
    "https://his.example/a b",
    "https://his.example/\r\nX: y",
    "https://hís.example/",
    "https://his.example/" + "x" * 1000,
    "//his.example/jwks",
    "his.example/jwks",
    "",
]


@pytest.mark.parametrize("url", URLS)
def test_only_https_urls_are_called_v5_0_0_12_2_1(url):
    with pytest.raises(Unfetched, match="https://"):
        demand_url(url)


INSIDE = ["127.0.0.1", "[::1]", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254"]
INSIDE += ["0.0.0.0", "[fe80::1]", "[fc00::1]", "[::ffff:127.0.0.1]", "100.64.0.1", "224.0.0.1"]


@pytest.mark.parametrize("host", INSIDE)
def test_an_address_of_the_inside_is_not_called_v5_0_0_1_3_6(host):
    with pytest.raises(Unfetched, match="not called"):
        Https()(f"https://{host}/jwks")


@pytest.mark.parametrize("host", ["169.254.169.254", "0.0.0.0", "[fe80::1]", "224.0.0.1"])
def test_not_even_where_private_networks_are_allowed(host):
    with pytest.raises(Unfetched, match="not called"):
        Https(inside=True)(f"https://{host}/jwks")


# --- over TLS ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1, and its key, in one file."""
    made = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "here")])
    now = dt.datetime.now(dt.UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(made.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(made, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "here.pem"
    file.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + made.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file


@contextmanager
def publishing(certificate, status=200, headers=(), body=SET):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *told):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}/jwks"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def trusting(certificate):
    return Https(inside=True, context=ssl.create_default_context(cafile=str(certificate)))


LIVES = [
    ((), USUAL),
    ([("Cache-Control", "max-age=30")], 30),
    ([("Cache-Control", "public, MAX-AGE=30")], 30),
    ([("Cache-Control", "max-age=999999999")], LONGEST),
    ([("Cache-Control", "no-store")], SHORTEST),
    ([("Cache-Control", "s-maxage=9, max-age=40")], 40),
    ([("Cache-Control", "nonsense")], USUAL),
]


@pytest.mark.parametrize(("headers", "lives"), LIVES)
def test_a_set_is_fetched_with_how_long_it_may_be_kept(certificate, headers, lives):
    with publishing(certificate, headers=headers) as url:
        assert trusting(certificate)(url) == (ONE.encode(), lives)


def test_a_certificate_nobody_vouches_for_is_refused_v5_0_0_12_3_2(certificate):
    with publishing(certificate) as url, pytest.raises(Unfetched, match="SSLCert"):
        Https(inside=True)(url)


def test_a_redirect_is_not_followed_v5_0_0_15_3_2(certificate):
    away = [("Location", "https://127.0.0.1/other")]
    with publishing(certificate, 302, away) as url, pytest.raises(Unfetched, match="302"):
        trusting(certificate)(url)


def test_no_more_is_read_than_a_set_may_have(certificate):
    with (
        publishing(certificate, body=b"x" * 70_000) as url,
        pytest.raises(Unfetched, match="65536"),
    ):
        trusting(certificate)(url)


def test_who_does_not_answer_is_told_as_such():
    with pytest.raises(Unfetched, match="could not be fetched"):
        Https(inside=True)("https://127.0.0.1:9/jwks")
