"""client — a registered client: its keys, and the most it may ever ask for.

https://hl7.org/fhir/R4/security.html#authentication

A client's own registration is the ceiling: roles, facility and scopes of a token are never more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from fhir_server.security import scope
from fhir_server.security.caller import RESERVED
from fhir_server.security.tokens.keys import Jwk
from fhir_server.store.contract.access import Registered

# R4 datatypes#id is what an Organization and a Patient are told by.
ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")
ROLE = re.compile(r"[a-z][a-z0-9-]{0,63}")
PURPOSE = re.compile(r"[A-Z]{2,20}")
USER = re.compile(
    r"(?:Practitioner|PractitionerRole|Patient|RelatedPerson|Person)/[A-Za-z0-9\-.]{1,64}"
)


class BadClient(ValueError):
    """A registration that cannot be meant: what is wrong, and what would be right."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client. Its keys are given, or published at keys_url, or those of the outside provider."""

    id: str
    name: str = ""  # for people
    scopes: str = ""
    roles: tuple[str, ...] = ()
    facility: str = ""  # the id of its Organization
    user: str = ""  # whom it acts for where a token says nobody
    purposes: tuple[str, ...] = ()  # the first is meant where a token says none
    patient: str = ""  # the Patient it is all about: a citizen's own application
    keys: tuple[Jwk, ...] = ()
    former: tuple[Jwk, ...] = ()  # it had before: they prove nobody, but what they have signed
    keys_url: str = ""
    redirects: tuple[str, ...] = ()  # where a person's browser may be led back to, exactly
    provider: bool = False  # its tokens come from the outside OpenID provider
    introspects: bool = False  # may ask about the tokens of others
    launches: bool = False  # opens applications for its users, about a patient (see launched)
    changed: int = 0
    revoked: int = 0
    # Of a node that is revoked, times too: it is to wipe what it has; was first told; says it did.
    wipe: int = 0
    word: int = 0
    wiped: int = 0


UNTIL = "until"  # of a key that another has followed: milliseconds since 1970 UTC
SINCE = "since"  # of a key: when it was brought, as UNTIL
FORMER = 24  # keys of before that are kept
OWN = ("id", "changed", "revoked")  # columns; the rest is in `facts`


def of(row: Registered) -> Client:
    """The client of a row."""
    facts: dict[str, Any] = json.loads(row.facts)
    for name in ("roles", "purposes", "keys", "former", "redirects"):
        facts[name] = tuple(facts.get(name, ()))
    known = {name: facts[name] for name in Client.__slots__ if name in facts}
    return Client(id=row.id, changed=row.changed, revoked=row.revoked, **known)


def row(client: Client) -> Registered:
    """The row of a client."""
    facts = {
        name: value
        for name in Client.__slots__
        if name not in OWN and (value := getattr(client, name))
    }
    told = json.dumps(facts, ensure_ascii=False, sort_keys=True)
    return Registered(client.id, told, client.changed, client.revoked)


def checked(client: Client) -> Client:
    """The same client. Raises BadClient where its registration cannot be meant."""
    if not CLIENT_ID.fullmatch(client.id) or client.id in RESERVED:
        raise BadClient(
            f"`{client.id[:70]}` cannot be a client's id: it is 1 to 64 of the signs A-Z, a-z, 0-9,"
            f" `.`, `_`, `~` and `-`, and none of {', '.join(sorted(RESERVED))}."
        )
    try:
        if not scope.parse(client.scopes):
            raise BadClient("Say what the client may ask for, such as `--scope system/*.rs`.")
    except scope.BadScope as error:
        raise BadClient(str(error)) from None
    _each("role", ROLE, client.roles, "small letters, digits and `-`, as `doctor`")
    _each("purpose", PURPOSE, client.purposes, "a code of v3-PurposeOfUse, as `TREAT`")
    _each("facility", ID, (client.facility,), "the id of an Organization")
    _each("patient", ID, (client.patient,), "the id of a Patient")
    _each("user", USER, (client.user,), "a reference such as `Practitioner/123`")
    for uri in client.redirects:
        if not is_redirect(uri):
            raise BadClient(
                f"`{uri[:100]}` cannot be a redirect URI: it is a whole https URL without a"
                " fragment, or one of http on this machine, as `http://127.0.0.1:3000/done`."
            )
    if len(client.name) > 200 or not client.name.isprintable():
        raise BadClient("A client's name is at most 200 printable signs.")
    ways = [bool(client.keys), bool(client.keys_url), client.provider]
    if ways.count(True) > 1:
        raise BadClient("A client has its keys by file, or by URL, or is the provider's: one only.")
    return client


def is_redirect(uri: str) -> bool:
    """Whether people may be led back there: to nobody who listens on the way."""
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    known = parts.scheme == "https" or (
        parts.scheme == "http" and host in ("127.0.0.1", "localhost")
    )
    plain = uri.isascii() and uri.isprintable() and not set(" \"'<>;,\\*") & set(uri)
    return bool(known and host and plain and len(uri) <= 500) and not (
        parts.fragment or parts.username or "#" in uri
    )


def rotated(client: Client, keys: Sequence[Jwk], *, keep: bool) -> Client:
    """With these keys; keep: beside those of before, until the next rotation."""
    kids = {key["kid"] for key in keys}
    before = tuple(key for key in client.keys if key["kid"] not in kids)
    kept, gone = (before, ()) if keep else ((), before)
    former = remembered(client, gone)
    return replace(client, keys=(*kept, *keys), former=former, keys_url="", provider=False)


def remembered(client: Client, gone: Iterable[Jwk]) -> tuple[Jwk, ...]:
    """Its former keys, with these."""
    return (*client.former, *map(bare, gone))[-FORMER:]


def living(keys: Iterable[Jwk], now: int) -> tuple[Jwk, ...]:
    """The keys that are good at the moment, in milliseconds since 1970 UTC."""
    return tuple(bare(key) for key in keys if now < key.get(UNTIL, now + 1))


def bare(key: Jwk) -> Jwk:
    """The key itself, without what is kept beside it."""
    return {name: value for name, value in key.items() if name not in (UNTIL, SINCE)}


def brought(keys: Iterable[Jwk], now: int) -> tuple[Jwk, ...]:
    """The keys, with when they came."""
    return tuple({**key, SINCE: now} for key in keys)


def purpose(client: Client, told: str | None) -> str:
    """What is told where the client may say it; else the client's own first."""
    if told in client.purposes:
        return str(told)
    return client.purposes[0] if client.purposes else ""


def _each(name: str, shape: re.Pattern[str], values: Sequence[str], wanted: str) -> None:
    for value in values:
        if value and not shape.fullmatch(value):
            raise BadClient(f"`{value[:70]}` cannot be a {name}: it is {wanted}.")
