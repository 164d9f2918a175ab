"""key — by which a node proves to its hub who it is: made here, and never sent.

https://hl7.org/fhir/R4/security.html#authentication

The file holds the private key and what the hub said when it was enrolled. Nobody else may read it.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from joserfc import jwk, jwt

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


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def write(path: Path, key: NodeKey) -> None:
    """Nobody else may read it, not even while it is written; the one before it is lost only when
    this one is whole. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(partial, flags, 0o600), "w") as opened:
        json.dump(asdict(key), opened)
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
