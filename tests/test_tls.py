"""HTTPS by a certificate of one's own: what is spoken, what is not, and what cannot be used.

https://hl7.org/fhir/R4/security.html
"""

from __future__ import annotations

import json
import socket
import ssl
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from time import sleep

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fhir_server.cli import tls
from fhir_server.cli.exits import Exit, Refused
from fhir_server.settings import Settings
from tests.test_cli import fhir_server, serving

NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


def written(folder: Path, name: str, *, password: bytes | None = None) -> tuple[str, str]:
    """A certificate this machine signed for itself, and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .sign(key, hashes.SHA256())
    )
    locked = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    files = folder / f"{name}.pem", folder / f"{name}.key"
    files[0].write_bytes(certificate.public_bytes(PEM))
    files[1].write_bytes(key.private_bytes(PEM, PKCS8, locked))
    return str(files[0]), str(files[1])


def trusting(certificate: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


def spoken(port: int, client: ssl.SSLContext) -> str | None:
    """The version of TLS that both agree on."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        client.wrap_socket(plain, server_hostname="localhost") as made,
    ):
        return made.version()


def test_v5_0_0_12_2_1_a_self_signed_certificate_serves_https_alone(tmp_path: Path) -> None:
    certificate, key = written(tmp_path, "own")
    words = ("--tls-certificate", certificate, "--tls-key", key)
    with serving(*words, at=tmp_path) as (_, base):
        assert base.startswith("https://127.0.0.1:")
        port = int(base.split("/")[2].rpartition(":")[2])
        client = trusting(certificate)
        with urllib.request.urlopen(f"{base}/metadata", context=client, timeout=30) as answer:
            assert json.load(answer)["implementation"]["url"] == base
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert spoken(port, client) == "TLSv1.3"
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        assert spoken(port, client) == "TLSv1.2"
        with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
            plain.sendall(b"GET /fhir/metadata HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert not plain.recv(1000).startswith(b"HTTP"), "no way round it"


@pytest.mark.parametrize(
    ("minimum", "oldest"), [("1.2", ssl.TLSVersion.TLSv1_2), ("1.3", ssl.TLSVersion.TLSv1_3)]
)
def test_v5_0_0_12_1_1_nothing_older_than_the_setting_is_spoken(
    tmp_path: Path, minimum: str, oldest: ssl.TLSVersion
) -> None:
    certificate, key = written(tmp_path, "own")
    made = tls.context(Settings(tls_certificate=certificate, tls_key=key, tls_minimum=minimum))
    assert made is not None
    assert made.minimum_version == oldest


def test_v5_0_0_12_1_2_each_connection_has_a_key_of_its_own(tmp_path: Path) -> None:
    certificate, key = written(tmp_path, "own")
    made = tls.context(Settings(tls_certificate=certificate, tls_key=key))
    assert made is not None
    older = [each["name"] for each in made.get_ciphers() if each["protocol"] == "TLSv1.2"]
    assert older
    assert all(name.startswith("ECDHE-") for name in older)
    assert all("GCM" in name or "CHACHA20" in name for name in older)


def serial(client: ssl.SSLContext, port: int) -> int:
    """The number of the certificate that is shown."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        client.wrap_socket(plain, server_hostname="localhost") as made,
    ):
        shown = made.getpeercert(binary_form=True)
    assert shown
    return x509.load_der_x509_certificate(shown).serial_number


def test_who_connects_and_says_nothing_is_hung_up_on_and_a_new_certificate_is_used(
    tmp_path: Path,
) -> None:
    certificate, key = written(tmp_path, "own")
    words = ("--tls-certificate", certificate, "--tls-key", key, "--header-timeout", "1")
    with serving(*words, at=tmp_path) as (_, base):
        port = int(base.split("/")[2].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as silent:
            assert silent.recv(1) == b"", "its handshake never came"
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        first = serial(client, port)
        assert serial(client, port) == first
        newer, its_key = written(tmp_path, "newer")
        Path(newer).replace(certificate)
        sleep(1.1)
        assert serial(client, port) == first, "the key is not its own yet"
        Path(its_key).replace(key)
        sleep(1.1)
        assert serial(client, port) != first


def test_files_that_cannot_be_used_change_nothing(tmp_path: Path) -> None:
    certificate, key = written(tmp_path, "own")
    moments = iter(range(0, 1000, 10))
    kept = tls.Renewed(
        Settings(tls_certificate=certificate, tls_key=key), clock=lambda: float(next(moments))
    )
    first = shown_by(kept)
    for text in ("", "no certificate"):
        Path(certificate).write_text(text)
        assert shown_by(kept) == first
    Path(certificate).unlink()
    assert shown_by(kept) == first
    newer, its_key = written(tmp_path, "newer")
    Path(newer).replace(certificate)
    Path(its_key).replace(key)
    assert shown_by(kept) != first


def shown_by(kept: tls.Renewed) -> bytes | None:
    """The certificate of a handshake that goes through memory alone."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(back, there, server_hostname="localhost")
    server = kept.first.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for each in (client, server):
            with suppress(ssl.SSLWantReadError):
                each.do_handshake()
    return client.getpeercert(binary_form=True)


def test_without_a_certificate_there_is_no_tls() -> None:
    assert tls.context(Settings()) is None


def test_what_cannot_be_used_is_refused_with_its_reason(tmp_path: Path) -> None:
    certificate, key = written(tmp_path, "own")
    _, another = written(tmp_path, "another")
    locked_certificate, locked = written(tmp_path, "locked", password=b"hidden")
    (tmp_path / "empty").write_text("")
    for one, other, said in (
        (certificate, another, "not the key of the certificate"),
        (certificate, str(tmp_path / "none"), "`tls_key`"),
        (str(tmp_path / "empty"), key, "is not PEM"),
        (locked_certificate, locked, "has a password"),
        (str(tmp_path), key, "cannot be read"),
    ):
        with pytest.raises(Refused, match=said) as refused:
            tls.context(Settings(tls_certificate=one, tls_key=other))
        assert refused.value.status == Exit.MISUSED


def test_a_server_with_a_bad_certificate_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "own.pem").write_text("no certificate")
    words = ("--tls-certificate", "own.pem", "--tls-key", "own.pem", "--port", "0")
    ran = fhir_server("serve", *words, at=tmp_path)
    assert ran.returncode == Exit.MISUSED
    assert "is not PEM" in ran.stderr
    assert not (tmp_path / "data").exists()
