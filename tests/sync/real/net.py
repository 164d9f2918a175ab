"""net — the networks of a province: the hub's, and each post's, with a line to the hub's.

Beyond a machine's own loopback a node rightly demands TLS, so the hub has a certificate here.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.sync.real.line import Line, Where
from tests.sync.real.spaces import Space
from tests.sync.real.wire import Passing, Wire

HUB = "10.77.0.1"
POSTS = tuple(f"10.77.0.{number}" for number in range(2, 12))
# Clocks go a year wrong here. What that means to certificates is not what these tests look at.
VALID = timedelta(days=3 * 365)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files of the hub and of the proxies, which signed it by itself."""

    certificate: str
    key: str

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)

    @property
    def shown(self) -> ssl.SSLContext:
        found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        found.load_cert_chain(self.certificate, self.key)
        return found


class Net:
    """Of one province."""

    def __init__(self, folder: Path) -> None:
        self.own = certified(folder)
        self.hub = Space(self.own.trust)
        self._spaces = [self.hub]
        self._passing = Passing()

    def join(self, number: int, seed: int) -> tuple[Space, Wire]:
        """A post's network, and its line."""
        space = Space(self.own.trust)
        self._spaces.append(space)
        wire = Wire(self.hub, space, (HUB, POSTS[number]), seed)
        self._passing.take(wire)
        return space, wire

    def proxied(self, space: Space, number: int, port: int, seed: int) -> Line:
        """A proxy at the post's end of its line."""
        return Line(port, seed, Where(POSTS[number], HUB, space, self.own.shown))

    @property
    def trusted(self) -> dict[str, str]:
        """What a program is told, so that it believes the hub, and asks no proxy of the machine."""
        return {"SSL_CERT_FILE": self.own.certificate, "NO_PROXY": "*", "no_proxy": "*"}

    def end(self) -> None:
        self._passing.end()
        for space in self._spaces:
            space.end()


def certified(folder: Path) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.IPAddress(ip_address(one)) for one in (HUB, *POSTS)]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID)
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName(names), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "hub.pem", folder / "hub.key"
    pem = serialization.Encoding.PEM
    files[0].write_bytes(made.public_bytes(pem))
    told = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )  # fmt: skip
    files[1].write_bytes(told)
    return Certificate(str(files[0]), str(files[1]))
