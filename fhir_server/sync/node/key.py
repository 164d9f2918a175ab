"""key — by which a node proves to its hub who it is: made here, and never sent.

https://hl7.org/fhir/R4/security.html#authentication

The file holds the private key and what the hub said when it was enrolled. Nobody else may read it.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from joserfc import jwk, jwt

from fhir_server.security.tokens.keys import BadKeys, Jwk, fetched
from fhir_server.sync.receipts import ALGORITHM as OF_RECEIPTS

ALGORITHM = "ES384"
LIVES = 240  # seconds an assertion is good for
LARGEST = 64 * 1024  # bytes of the file


class BadKey(Exception):
    """There is no key that can be used: why, and what to do."""


@dataclass(frozen=True, slots=True)
class NodeKey:
    """hub: its base URL. client: what the hub calls this node. token_url: where it gives tokens,
    for what `scope` says at most. jwk: the private key."""

    hub: str
    client: str
    token_url: str
    scope: str
    jwk: dict[str, Any]
    made: float = 0.0  # seconds since 1970 UTC, by this machine's clock; 0: nobody wrote it down
    seal: dict[str, Any] = field(default_factory=dict)  # the hub's, for which copies are sealed
    # By which the hub signs for this node, as it said when it was enrolled: none later is believed.
    receipt_keys: list[Jwk] = field(default_factory=list)

    @property
    def thumbprint(self) -> str:
        """SHA-256, as RFC 7638 says."""
        return jwk.import_key(self.jwk).thumbprint()

    def assertion(self, now: float, **claimed: str) -> str:
        """Who this is, signed, for the hub's token endpoint. now: seconds, by the hub's clock."""
        key = jwk.import_key(self.jwk)
        claims = {
            "iss": self.client,
            "sub": self.client,
            "aud": self.token_url,
            "iat": int(now),
            "exp": int(now) + LIVES,
            "jti": secrets.token_urlsafe(16),
            **claimed,
        }
        head = {"alg": ALGORITHM, "kid": self.jwk["kid"], "typ": "JWT"}
        return jwt.encode(head, claims, key, algorithms=[ALGORITHM])


def made() -> jwk.ECKey:
    """A new private key."""
    kid = f"node-{int(time.time())}-{secrets.token_hex(4)}"
    found = jwk.generate_key("EC", "P-384", {"kid": kid, "use": "sig", "alg": ALGORITHM})
    assert isinstance(found, jwk.ECKey)
    return found


def public(key: jwk.ECKey) -> str:
    """The key set that is sent."""
    return json.dumps({"keys": [key.as_dict(private=False)]})


def follower(path: Path, key: NodeKey) -> NodeKey:
    """The key that follows: the one of an earlier attempt, if there was one, whose answer may have
    been lost; else a new one, which is on the disk before it is sent. Raises OSError."""
    beside = _beside(path)
    try:
        found = read(beside)
        if (found.hub, found.client) == (key.hub, key.client):
            return found
    except BadKey:
        pass
    found = replace(key, jwk=dict(made().as_dict(private=True)), made=time.time())
    write(beside, found)
    return found


def follow(path: Path, key: NodeKey) -> None:
    """It takes the place of the one before. Raises OSError."""
    write(path, key)
    _beside(path).unlink(missing_ok=True)


def of_receipts(told: Any) -> tuple[Jwk, ...]:
    """The keys of a set that verify receipts; none where it is no set."""
    try:
        return fetched(json.dumps(told), (OF_RECEIPTS,))
    except (BadKeys, ValueError, TypeError):
        return ()


def pinned(path: Path | None, key: NodeKey) -> Sequence[Jwk]:
    """The hub's keys for receipts that this node has known from the first."""
    if key.receipt_keys or path is None:
        return key.receipt_keys
    try:
        told = json.loads(_first_seen(path).read_bytes()[:LARGEST])
    except (OSError, ValueError):
        return ()
    match told:
        case {"hub": key.hub, "client": key.client, "keys": list(keys)}:
            return of_receipts({"keys": keys})
    return ()


def pin(path: Path, key: NodeKey, keys: Sequence[Jwk]) -> None:
    """Those that the hub publishes, for a node that was told none when it was enrolled. Those it
    has are never replaced. Raises OSError."""
    if keys and not pinned(path, key):
        told = {"hub": key.hub, "client": key.client, "keys": list(keys)}
        _write(_first_seen(path), told)


def erase(path: Path) -> None:
    """The key, and all that is beside it. Raises OSError."""
    for each in (_beside(path), path.with_name(f"{path.name}.new"), _first_seen(path), path):
        each.unlink(missing_ok=True)


def _first_seen(path: Path) -> Path:
    return path.with_name(f"{path.name}.receipt-keys")


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def write(path: Path, key: NodeKey) -> None:
    """Nobody else may read it, not even while it is written; the one before it is lost only when
    this one is whole. Raises OSError."""
    _write(path, asdict(key))


def _write(path: Path, told: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(partial, flags, 0o600), "w") as opened:
        json.dump(told, opened)
        opened.flush()
        os.fsync(opened.fileno())
    partial.replace(path)


def read(path: Path) -> NodeKey:
    """Raises BadKey."""
    try:
        with path.open("rb") as opened:
            told = json.loads(opened.read(LARGEST))
        found = NodeKey(**told)
        jwk.import_key(found.jwk)
    except FileNotFoundError:
        raise BadKey(
            f"This node has no key (`{path}`). Ask the hub's operator for a code, and run"
            " `fhir-server sync enrol --code CODE`."
        ) from None
    except Exception as error:  # whatever a damaged file makes a library raise
        raise BadKey(f"The key in `{path}` cannot be read: {type(error).__name__}.") from None
    return found
