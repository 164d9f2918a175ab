"""A client brings the key that follows its own; whoever has the one before has it for a while."""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.security.tokens.authority import Authority
from fhir_server.security.tokens.oauth import OAuthError
from fhir_server.security.tokens.rotation import DAY, KEPT, MOST

from .signing import BASE, form, key, key_set, public, register, said, signed

NEW, OTHER = key("ES384", "post-2"), key("ES384", "post-3")


@pytest.fixture
def authority(store, clock):
    return Authority(store, base=BASE, clock=clock)


def bringing(new=NEW, by=None, clock=None, **changes):
    """The form: proven by the key before, of the moment."""
    claims = said() if clock is None else said(iat=clock.now // 1000, exp=clock.now // 1000 + 200)
    claims = {"next_key": new.thumbprint()} | claims
    proof = dict(form(signed(claims, by=by) if by else signed(claims)))
    told = {name: proof[name] for name in ("client_assertion", "client_assertion_type")}
    return list((told | {"jwks": key_set(new)} | changes).items())


def asking(by, clock):
    claims = said(iat=clock.now // 1000, exp=clock.now // 1000 + 200)
    return form(signed(claims, by=by))


async def refused(doing):
    with pytest.raises(OAuthError) as found:
        await doing
    return found.value.error


async def test_both_keys_are_good_for_a_while_and_then_the_new_one_alone_v5_0_0_13_3_4(
    store, authority, clock
):
    await register(store)
    told, caller = await authority.rotate(bringing(), BASE)
    assert (told["client_id"], told["kid"]) == ("his-1", "post-2")
    assert told["until"] == (clock.now + KEPT) // 1000
    assert caller.client == "his-1"
    old = key()
    clock.now += KEPT - DAY
    assert await authority.token(asking(old, clock), BASE)
    assert await authority.token(asking(NEW, clock), BASE)
    clock.now += DAY
    assert await refused(authority.token(asking(old, clock), BASE)) == "invalid_client"
    assert await authority.token(asking(NEW, clock), BASE)


async def test_who_was_not_answered_brings_the_same_again(store, authority, clock):
    await register(store)
    first, _ = await authority.rotate(bringing(), BASE)
    clock.now += DAY
    again, _ = await authority.rotate(bringing(clock=clock), BASE)
    by_the_new, _ = await authority.rotate(bringing(by=NEW, clock=clock), BASE)
    assert first == again == by_the_new, "and the one before lives no longer for it"


async def test_a_key_that_has_ended_brings_no_other(store, authority, clock):
    await register(store)
    await authority.rotate(bringing(), BASE)
    clock.now += KEPT
    stolen = bringing(OTHER, clock=clock)
    assert await refused(authority.rotate(stolen, BASE)) == "invalid_client"
    assert await authority.rotate(bringing(OTHER, by=NEW, clock=clock), BASE)


BAD = {
    "no key": {"jwks": '{"keys": []}'},
    "two keys": {"jwks": key_set(NEW, OTHER)},
    "no JSON": {"jwks": "{"},
    "none": {"jwks": ""},
    "a private one": {"jwks": '{"keys": [{"kty": "EC", "kid": "x", "d": "AA"}]}'},
    "a kid that is known": {"jwks": key_set(key("RS384", key().kid))},
}


@pytest.mark.parametrize("changes", BAD.values(), ids=BAD.keys())
async def test_what_is_no_key_that_follows_is_refused(store, authority, clock, changes):
    await register(store)
    assert await refused(authority.rotate(bringing(**changes), BASE)) == "invalid_request"
    assert await authority.token(form(), BASE), "and the one before is good as ever"


async def test_a_key_that_was_followed_brings_no_other(store, authority, clock):
    """Who found a disk that was thrown away would be the node for ever."""
    await register(store)
    await authority.rotate(bringing(), BASE)
    clock.now += 10 * DAY
    thief = bringing(OTHER, clock=clock)
    assert await refused(authority.rotate(thief, BASE)) == "invalid_grant"
    clock.now += 25 * DAY
    assert await authority.token(asking(NEW, clock), BASE)
    assert await refused(authority.token(asking(OTHER, clock), BASE)) == "invalid_client"


async def test_an_assertion_that_was_made_to_get_a_token_brings_no_key(store, authority):
    await register(store)
    for claimed in ({}, {"next_key": OTHER.thumbprint()}, {"next_key": 5}):
        proof = dict(form(signed(said(**claimed)), jwks=key_set(NEW)))
        told = [pair for pair in proof.items() if pair[0] not in ("grant_type", "scope")]
        assert await refused(authority.rotate(told, BASE)) == "invalid_request"


async def test_a_proof_is_good_once_and_of_this_client(store, authority, clock):
    await register(store)
    told = bringing()
    assert await authority.rotate(told, BASE)
    assert await refused(authority.rotate(told, BASE)) == "invalid_client"
    assert await refused(authority.rotate(bringing(by=OTHER), BASE)) == "invalid_client"
    await register(store, id="gone", revoked=5)
    gone = [("jwks", key_set(NEW)), *form(signed(said(iss="gone", sub="gone")))]
    told = [pair for pair in gone if pair[0] not in ("grant_type", "scope")]
    assert await refused(authority.rotate(told, BASE)) == "invalid_client"


async def test_there_are_never_more_keys_than_the_bound(store, authority, clock):
    await register(store, keys=tuple(public(key())))
    before = key()
    for number in range(2, MOST + 1):
        new = key("ES384", f"k-{number}")
        await authority.rotate(bringing(new, by=before), BASE)
        before = new
    more = bringing(OTHER, by=before)
    assert await refused(authority.rotate(more, BASE)) == "invalid_request"
    clock.now += KEPT
    last = key("ES384", f"k-{MOST}")
    assert await authority.rotate(bringing(OTHER, by=last, clock=clock), BASE)


async def test_of_two_that_rotate_at_once_one_does(store, authority):
    await register(store)
    told = await asyncio.gather(
        *(authority.rotate(bringing(each), BASE) for each in (NEW, OTHER, NEW, OTHER)),
        return_exceptions=True,
    )
    assert sorted(getattr(each, "error", "") for each in told) == ["", ""] + ["invalid_grant"] * 2
