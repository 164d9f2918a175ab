"""keys — the public keys of a client or a provider: read, judged, and one chosen among them.

https://hl7.org/fhir/R4/security.html#authentication

RFC 7517. A set is read key by key: what is no key this server verifies with is left out of what is
fetched, where others may stand for other uses, and refused in what an operator registers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from joserfc import jwk

Jwk = Mapping[str, Any]

TYPE_OF = {"RS256": "RSA", "RS384": "RSA", "ES256": "EC", "ES384": "EC"}
CURVE_OF = {"ES256": "P-256", "ES384": "P-384"}
ASSERTION = ("RS384", "ES384")  # SMART 2.2: what a client signs with
MAX_TEXT = 64 * 1024
MAX_KEYS = 20
MAX_KID = 128
SMALLEST, LARGEST = 2048, 8192  # bits of an RSA modulus
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class BadKeys(ValueError):
    """A set of keys that cannot be used: which key, and what would be right."""


class Strict(json.JSONDecoder):
    """JSON without names given twice and without numbers that are none (`NaN`)."""

    def __init__(self, **told: Any) -> None:
        super().__init__(parse_constant=_refuse, object_pairs_hook=_once, **told)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def read(text: str | bytes) -> list[Any]:
    """The members of a JWK Set, not judged yet. Raises BadKeys."""
    if len(text) > MAX_TEXT:
        raise BadKeys(f"The key set is {len(text)} bytes; at most {MAX_TEXT} are read.")
    try:
        told = json.loads(text, cls=Strict)
    except (ValueError, RecursionError):
        raise BadKeys('The key set is not JSON such as `{"keys": [...]}`.') from None
    found = told.get("keys") if isinstance(told, dict) else None
    if not isinstance(found, list):
        raise BadKeys('The key set is not as `{"keys": [...]}` (RFC 7517, section 5).')
    if len(found) > MAX_KEYS:
        raise BadKeys(f"The key set has {len(found)} keys; at most {MAX_KEYS} are taken.")
    return found


def registered(text: str | bytes) -> tuple[Jwk, ...]:
    """A key set as an operator or an enrolling client brings it. Raises BadKeys."""
    found = tuple(_judged(one, ASSERTION) for one in read(text))
    if not found:
        raise BadKeys(
            "The key set is empty. Put the public key in it that assertions are signed by."
        )
    kids = [key["kid"] for key in found]
    if len(set(kids)) != len(kids):
        raise BadKeys(
            "Two keys have the same `kid`. Each needs its own, so that one can be chosen."
        )
    return found


def fetched(text: str | bytes, algorithms: Sequence[str]) -> tuple[Jwk, ...]:
    """Those of a published key set that can be used. Raises BadKeys where it is none."""
    found = []
    for one in read(text):
        try:
            found.append(_judged(one, algorithms))
        except BadKeys:
            continue
    return tuple(found)


def chosen(keys: Sequence[Jwk], header: Mapping[str, Any], algorithms: Sequence[str]) -> jwk.Key:
    """The one key that header means. Raises BadKeys where there is none, or more than one."""
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in algorithms or not isinstance(kid, str):
        raise BadKeys("The header names no algorithm and key that are used here.")
    fit = [key for key in keys if key["kid"] == kid and _fits(key, algorithm)]
    if len(fit) != 1:
        raise BadKeys(f"{len(fit)} keys have this `kid` and fit the algorithm; one must.")
    return jwk.import_key(dict(fit[0]))


def _fits(key: Jwk, algorithm: str) -> bool:
    return (
        key["kty"] == TYPE_OF[algorithm]
        and key.get("crv") == CURVE_OF.get(algorithm)
        and key.get("alg", algorithm) == algorithm
    )


def _judged(one: Any, algorithms: Sequence[str]) -> Jwk:
    """The public members of a key. Raises BadKeys."""
    if not isinstance(one, dict):
        raise BadKeys("A key of the set is not a JSON object.")
    kid = one.get("kid")
    if not isinstance(kid, str) or not 1 <= len(kid) <= MAX_KID:
        raise BadKeys(f"A key has no `kid` of 1 to {MAX_KID} signs, by which assertions name it.")
    if PRIVATE & one.keys():
        raise BadKeys(
            f"The key `{kid}` holds private members. They belong to nobody but the client: make a"
            " new key, and give the public part of it alone."
        )
    if one.get("use", "sig") != "sig":
        raise BadKeys(f"The key `{kid}` is not for signatures: its `use` must be `sig`.")
    if not any(one.get("kty") == TYPE_OF[name] and _fits(one, name) for name in algorithms):
        raise BadKeys(
            f"The key `{kid}` fits none of {', '.join(algorithms)}: it must be RSA, or EC on the"
            " curve that goes with the algorithm (P-384 for ES384)."
        )
    return _imported(one, kid)


def _imported(one: dict[str, Any], kid: str) -> Jwk:
    size = len(one["n"]) * 6 if one["kty"] == "RSA" and isinstance(one.get("n"), str) else SMALLEST
    if not SMALLEST - 6 <= size <= LARGEST + 12:
        raise BadKeys(f"The key `{kid}` is not of {SMALLEST} to {LARGEST} bits.")
    wanted = ("kty", "kid", "use", "alg", "n", "e", "crv", "x", "y")
    public = {name: one[name] for name in wanted if name in one}
    try:
        made = jwk.import_key(public)
    except Exception:  # a library's, for what a stranger wrote: whatever it is, the key is bad
        raise BadKeys(f"The members of the key `{kid}` make no key.") from None
    if isinstance(made, jwk.RSAKey) and made.public_key.key_size < SMALLEST:
        raise BadKeys(f"The key `{kid}` has fewer than {SMALLEST} bits.")
    return public
