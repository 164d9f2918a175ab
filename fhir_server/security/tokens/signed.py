"""signed — a JSON Web Token verified: its signature first, then what it says.

https://hl7.org/fhir/R4/security.html#authentication

RFC 7515, RFC 7519. The algorithms are those of the purpose, never those of the token; keys are
those known before, never any that the token brings along; one key, or none.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from joserfc import jwt

from fhir_server.security.tokens.keys import BadKeys, Jwk, Strict, chosen

MAX_TEXT = 8192
LEEWAY = 30  # seconds that two clocks may differ
SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
BROUGHT = ("jwk", "x5c", "x5u", "crit")  # keys a token brings, and rules it makes

Claims = Mapping[str, Any]


class BadToken(Exception):
    """A token that proves nothing. Why is for the log; who sent it may not be who it says."""


class BadClaim(BadToken):
    """It is signed by whom it says, and says what is not accepted: that may be told."""


def told(token: str) -> Claims:
    """What a token says of itself, nothing of it verified: only to find whose keys to look for."""
    return _json(_parts(token)[1])


def header(token: str) -> Claims:
    """What it says of its key and algorithm, as little verified."""
    return _json(_parts(token)[0])


def verified(token: str, keys: Sequence[Jwk], algorithms: Sequence[str]) -> Claims:
    """What it says, signed by one of these keys. Raises BadToken."""
    _parts(token)
    head = header(token)
    if any(name in head for name in BROUGHT):
        raise BadToken("its header brings keys or rules of its own")
    try:
        key = chosen(keys, head, algorithms)
        found = jwt.decode(token, key, algorithms=list(algorithms), decoder_cls=Strict).claims
    except BadKeys as error:
        raise BadToken(str(error)) from None
    except Exception as error:  # the library raises what it meets: nothing is proven by it
        raise BadToken(type(error).__name__) from None
    if not isinstance(found, dict):
        raise BadToken("its payload is not an object")
    return found


def demand_times(claims: Claims, now: int, *, at_most: int) -> None:
    """exp, nbf and iat, in seconds. at_most: how far in the future it may end. Raises BadClaim."""
    ends = claims.get("exp")
    if type(ends) is not int:
        raise BadClaim("`exp` must be a whole number of seconds since 1970 UTC.")
    if ends + LEEWAY <= now:
        raise BadClaim("`exp` is over: make a new token for each request, and check the clock.")
    if ends > now + at_most + LEEWAY:
        raise BadClaim(f"`exp` is more than {at_most} seconds in the future.")
    for name in ("nbf", "iat"):
        moment = claims.get(name)
        if moment is None:
            continue
        if type(moment) not in (int, float) or not moment <= now + LEEWAY:
            raise BadClaim(f"`{name}` is in the future, or no number of seconds.")


def text(claims: Claims, name: str, *, longest: int = 255) -> str:
    """A claim that must be a text. Raises BadClaim."""
    found = claims.get(name)
    if not isinstance(found, str) or not 1 <= len(found) <= longest or not found.isprintable():
        raise BadClaim(f"`{name}` must be a text of 1 to {longest} printable signs.")
    return found


def audiences(claims: Claims) -> Collection[str]:
    """aud as a list. Raises BadClaim."""
    found = claims.get("aud")
    each = [found] if isinstance(found, str) else found
    if not isinstance(each, list) or not each or not all(isinstance(one, str) for one in each):
        raise BadClaim("`aud` must be a text, or a list of them.")
    return each


def _parts(token: str) -> list[str]:
    if len(token) > MAX_TEXT:
        raise BadToken(f"it is longer than {MAX_TEXT} signs")
    if not SHAPE.fullmatch(token):
        raise BadToken("it is not three parts of base64url with dots between")
    return token.split(".")


def _json(part: str) -> Claims:
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), cls=Strict)
    except (ValueError, RecursionError):
        raise BadToken("a part of it is not JSON") from None
    if not isinstance(found, dict):
        raise BadToken("a part of it is not an object")
    return found
