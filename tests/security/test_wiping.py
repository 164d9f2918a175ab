"""A node that is revoked, and to be wiped, is told so; nobody else is, and it is given no token."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_server.security.tokens import client, wiping
from fhir_server.security.tokens.authority import Authority
from fhir_server.security.tokens.client import SINCE, UNTIL
from fhir_server.security.tokens.oauth import OAuthError
from fhir_server.sync.hub import keying
from fhir_server.sync.hub.keying import Keyed

from .signing import BASE, form, key, public, register, registered, said, signed

OLD, OTHER = key("ES384", "post-0"), key("ES384", "other")
LOST = {"roles": ("node",), "revoked": 5, "wipe": 7}
ENDED = tuple({**one, UNTIL: 6} for one in public(OLD))


@pytest.fixture
def authority(store, clock):
    return Authority(store, base=BASE, clock=clock)


async def refusal(doing):
    with pytest.raises(OAuthError) as found:
        await doing
    return found.value


async def kept(store):
    return client.of(await store.access.client("his-1"))


@pytest.mark.parametrize("by", [key(), OLD, key("ES384", "former")], ids=lambda one: one.kid)
async def test_who_has_one_of_its_keys_is_told_and_given_nothing(store, authority, by):
    keys = (*ENDED, *public(key()))
    await register(store, **LOST, keys=keys, former=tuple(public(key("ES384", "former"))))
    found = await refusal(authority.token(form(signed(said(), by=by)), BASE))
    assert isinstance(found, wiping.Revoked)
    assert (found.client.id, found.key) == ("his-1", by.thumbprint())
    assert (found.status, found.error) == (401, "invalid_client")


# what the client is,     what is brought
OTHERS = {
    "one that was only revoked": ({"wipe": 0}, {}),
    "a key of somebody else": ({}, {"by": OTHER}),
    "another key of its name": ({}, {"by": key("ES384", "k1-of-another"), "kid": "k1"}),
    "one that is over": ({}, {"exp": 1}),
    "one for another server": ({}, {"aud": "https://other.example/oauth/token"}),
    "one of another client": ({}, {"sub": "his-2"}),
}


@pytest.mark.parametrize("what", OTHERS)
async def test_nobody_else_is_told(store, authority, what):
    changes, brought = OTHERS[what][0], dict(OTHERS[what][1])
    await register(store, **{**LOST, **changes})
    by, kid = brought.pop("by", key()), brought.pop("kid", None)
    header = {"kid": kid} if kid else {}
    found = await refusal(authority.token(form(signed(said(**brought), by=by, **header)), BASE))
    assert not isinstance(found, wiping.Revoked)
    assert found.error == "invalid_client"
    assert "wipe" not in found.told


async def test_an_assertion_that_was_overheard_is_told_nothing(store, authority):
    await register(store, **LOST)
    once = form(signed(said()))
    assert isinstance(await refusal(authority.token(once, BASE)), wiping.Revoked)
    assert not isinstance(await refusal(authority.token(once, BASE)), wiping.Revoked)


async def test_that_it_was_told_is_written_down_before_and_kept_as_it_was_first(store, clock):
    await register(store, **LOST)
    told = await wiping.taken(store.access, "his-1", clock.now)
    assert told == await kept(store)
    assert told.word == clock.now
    assert await wiping.taken(store.access, "his-1", clock.now + 1) == told
    back = replace(told, wipe=0, word=0, changed=told.changed + 1)
    assert await store.access.register(client.row(back), replaces=told.changed)
    found = await refusal(wiping.taken(store.access, "his-1", clock.now))
    assert found.error == "invalid_client", "it was taken back in time"


def confirming(**claims):
    return form(signed(said(**claims)), grant_type=None, scope=None)


# what the assertion claims,   what becomes of it
CONFIRMED = [({"wiped": "7"}, ""), ({}, "invalid_request"), ({"wiped": "8"}, "invalid_request")]
CONFIRMED += [({"wiped": 7}, "invalid_request"), ({"wiped": ["7"]}, "invalid_request")]


@pytest.mark.parametrize(("claims", "error"), CONFIRMED, ids=str)
async def test_it_says_which_order_was_followed(store, authority, clock, claims, error):
    await register(store, **LOST)
    if error:
        assert (await refusal(authority.wiped(confirming(**claims), BASE))).error == error
        assert not (await kept(store)).wiped
        return
    assert (await authority.wiped(confirming(**claims), BASE)).client == "his-1"
    assert (await kept(store)).wiped == clock.now
    clock.now += 1000
    assert await authority.wiped(confirming(**claims), BASE)
    assert (await kept(store)).wiped == clock.now - 1000


async def test_who_was_told_nothing_confirms_nothing(store, authority):
    await register(store)
    found = await refusal(authority.wiped(confirming(wiped="7"), BASE))
    assert found.error == "invalid_request"


# the keys,                                                      brought when, and until when
AGES = [
    ((), None),
    (({"kid": "a"},), Keyed("n")),
    (({"kid": "a", SINCE: 3},), Keyed("n", key=3)),
    (({"kid": "a", SINCE: 3, UNTIL: 9}, {"kid": "b", SINCE: 4}), Keyed("n", key=4, before=9)),
]


@pytest.mark.parametrize(("keys", "expected"), AGES, ids=str)
def test_the_age_of_a_node_is_that_of_its_newest_key(keys, expected):
    node = registered(id="n", roles=("node",), keys=keys)
    others = registered(id="his", keys=({"kid": "a"},))
    found = keying.of([client.row(node), client.row(others)])
    assert found == ({"n": expected} if expected else {})
