"""granted — what a person let an application do, how long, and the tokens that come of it.

https://hl7.org/fhir/R4/security.html#authentication

RFC 6749 4.1 and 6, RFC 7636, RFC 9700 4.14. A grant is one row: every token of the application's
that comes of it names it, and ends with it. A refresh token is the grant's number and a secret that
is another after each use; of the secret of now the row keeps the digest. So one that was used
before is told apart without remembering any, and whoever shows one ends the grant: either it was
stolen, or it was stolen from them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.security import scope
from fhir_server.security.tokens.client import Client
from fhir_server.security.tokens.issued import ACCESS, SIGNS, digest_of, new_token
from fhir_server.security.tokens.oauth import OAuthError, needed
from fhir_server.store.contract.access import AccessTable, Issued

GRANT, CODE, USED = "grant", "code", "used"
CODE_LIVES = 60_000  # milliseconds, as all times here
LIVES = 3_600_000  # an access token of an application
ONLINE_LIVES = 12 * 3_600_000  # a grant by `online_access`: a day's work, or a night's
DAY = 24 * 3_600_000
OFFLINE, ONLINE = "offline_access", "online_access"
VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 4.1
TOLD = ("patient", "encounter", "need_patient_banner")  # the context, beside a token


@dataclass(frozen=True, slots=True)
class Granted:
    """What an application is given. facts: of the grant; fresh: a person was there just now."""

    answer: Mapping[str, Any]
    facts: Mapping[str, Any]
    issued: int
    fresh: bool


async def coded(
    table: AccessTable, whose: Client, facts: Mapping[str, Any], now: int, *, days: int
) -> str:
    """A code for what a person allowed. facts: who, for what, by which challenge; to where."""
    words = scope.words(facts["scope"])
    lives = days * DAY if OFFLINE in words else ONLINE_LIVES if ONLINE in words else LIVES
    told = {**facts, "lives": lives, "when": now}
    code = new_token()
    await table.issue(Issued(digest_of(code), CODE, whose.id, _json(told), now, now + CODE_LIVES))
    return code


async def exchanged(
    table: AccessTable, form: Mapping[str, str], whose: Client, now: int
) -> Granted:
    """The tokens for a code. One that comes twice ends the grant it was exchanged for; one that
    comes with something wrong is none from then on. Raises OAuthError."""
    digest = digest_of(needed(form, "code"))
    verifier = needed(form, "code_verifier") if "code_verifier" in form else ""
    found = await table.issued(digest)
    if found is None or found[0].kind != CODE:
        await _used_twice(table, digest)
        raise _bad()
    code = found[0]
    facts: dict[str, Any] = json.loads(code.facts)
    to, challenge, ends = facts.pop("redirect"), facts.pop("challenge"), now + facts.pop("lives")
    if (
        code.client != whose.id
        or now >= code.expires
        or form.get("redirect_uri") != to
        or not _fits(verifier, challenge)
    ):
        await table.take(digest, CODE)
        raise _bad()
    family, secret = new_token(), ""
    if {OFFLINE, ONLINE} & set(scope.words(facts["scope"])):
        secret = new_token()
        facts["secret"] = _hex(secret)
    grant = Issued(digest_of(family), GRANT, whose.id, _json(facts), now, ends)
    token, new = _access(grant, facts, facts["scope"], now)
    used = replace(code, kind=USED, facts=_json({"grant": grant.digest.hex()}), expires=ends)
    if not await table.exchange(code, used, [grant, new]):
        await _used_twice(table, digest)
        raise _bad()
    return Granted(_answer(token, new, family + secret if secret else ""), facts, now, fresh=True)


async def refreshed(
    table: AccessTable, form: Mapping[str, str], whose: Client, now: int
) -> Granted:
    """The tokens for a refresh token, and the next refresh token. Raises OAuthError."""
    told = needed(form, "refresh_token")
    grant = await _grant(table, told, now)
    if grant is None:
        raise _bad_refresh()
    facts: dict[str, Any] = json.loads(grant.facts)
    if grant.client != whose.id or not _is(told[SIGNS:], facts):
        await table.take(grant.digest, GRANT)
        raise _bad_refresh()
    words = _narrowed(facts["scope"], form.get("scope"), whose)
    secret = new_token()
    facts["secret"] = _hex(secret)
    token, new = _access(grant, facts, words, now)
    if not await table.exchange(grant, replace(grant, facts=_json(facts)), [new]):
        await table.take(grant.digest, GRANT)  # another used the same at the same moment
        raise _bad_refresh()
    return Granted(_answer(token, new, told[:SIGNS] + secret), facts, now, fresh=False)


async def holds(table: AccessTable, facts: Mapping[str, Any], now: int) -> bool:
    """Whether the grant still is that a token comes of; one that comes of none needs none."""
    if "grant" not in facts:
        return True
    found = await table.issued(bytes.fromhex(facts["grant"]))
    return found is not None and found[0].kind == GRANT and now < found[0].expires


async def of_refresh(table: AccessTable, token: str, now: int) -> Issued | None:
    """The grant whose refresh token of now, or of before, this is."""
    return await _grant(table, token, now)


async def _grant(table: AccessTable, told: str, now: int) -> Issued | None:
    if len(told) != 2 * SIGNS:
        return None
    found = await table.issued(digest_of(told[:SIGNS]))
    if found is None or found[0].kind != GRANT or now >= found[0].expires:
        return None
    return found[0] if "secret" in json.loads(found[0].facts) else None


def _narrowed(granted: str, asked: str | None, whose: Client) -> str:
    """What is left of the grant, and of that what is asked for. RFC 6749 6: never more."""
    try:
        left = scope.grant(granted, whose.scopes)  # it may have been narrowed since
        if not {OFFLINE, ONLINE} & set(scope.words(left)):
            raise _bad_refresh()
        if asked is None:
            return left
        found = scope.grant(asked, left)
        if set(scope.words(found)) != set(scope.words(asked)):
            raise OAuthError("invalid_scope", "More is asked for than was granted.")
    except scope.BadScope as error:
        raise OAuthError("invalid_scope", str(error)) from None
    return found


def _access(grant: Issued, facts: Mapping[str, Any], words: str, now: int) -> tuple[str, Issued]:
    kept = ("user", "purpose", "basis", "reason", *TOLD)
    told = {name: facts[name] for name in kept if name in facts}
    told |= {"scope": words, "grant": grant.digest.hex()}
    token, ends = new_token(), min(now + LIVES, grant.expires)
    return token, Issued(digest_of(token), ACCESS, grant.client, _json(told), now, ends)


def _answer(token: str, new: Issued, refresh: str) -> dict[str, Any]:
    facts = json.loads(new.facts)
    answer = {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": (new.expires - new.issued) // 1000,
        "scope": facts["scope"],
    }
    if refresh:
        answer["refresh_token"] = refresh
    return answer | {name: facts[name] for name in TOLD if name in facts}


async def _used_twice(table: AccessTable, digest: bytes) -> None:
    """RFC 6749 4.1.2: whoever has the code has stolen it, or it was stolen from them."""
    used = await table.take(digest, USED)
    if used is not None:
        await table.take(bytes.fromhex(json.loads(used.facts)["grant"]), GRANT)


def _fits(verifier: str, challenge: str) -> bool:
    if not VERIFIER.fullmatch(verifier):
        return False
    made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    return hmac.compare_digest(made, challenge.encode())


def _is(secret: str, facts: Mapping[str, Any]) -> bool:
    return hmac.compare_digest(_hex(secret), facts.get("secret", ""))


def _hex(secret: str) -> str:
    return digest_of(secret).hex()


def _json(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, ensure_ascii=False)


def _bad() -> OAuthError:
    return OAuthError(
        "invalid_grant", "The code, its redirect_uri or its code_verifier is not accepted."
    )


def _bad_refresh() -> OAuthError:
    return OAuthError(
        "invalid_grant",
        "The refresh token is not accepted: it may be over, taken back, or used before. Ask the"
        " person again.",
    )
