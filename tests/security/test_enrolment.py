"""A health post brings its own key, once, with the code it was told."""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.security.tokens import enrolment
from fhir_server.security.tokens.authority import Authority
from fhir_server.security.tokens.oauth import OAuthError

from .signing import BASE, TOKEN_URL, form, key, key_set, register, said, signed

NEW = key("ES384", "post-1")


@pytest.fixture
def authority(store, clock):
    return Authority(store, base=BASE, clock=clock)


async def code_for(store, clock, id="his-1", minutes=10):
    code = enrolment.new_code()
    await store.access.issue(enrolment.kept(code, id, clock.now, minutes=minutes))
    return code


def brought(code, keys=NEW):
    return [("code", code), ("jwks", key_set(keys) if keys is NEW else keys)]


async def refused(doing):
    with pytest.raises(OAuthError) as found:
        await doing
    return found.value.error


async def test_a_post_is_known_by_the_key_it_brings(store, authority, clock):
    await register(store, keys=())
    told = await authority.enrol(brought(await code_for(store, clock)), BASE)
    assert (told["client_id"], told["token_endpoint"]) == ("his-1", TOKEN_URL)
    assert await authority.token(form(signed(said(), by=NEW)), BASE)


async def test_a_code_may_be_written_as_people_write(store, authority, clock):
    await register(store, keys=())
    code = (await code_for(store, clock)).lower().replace("-", " ")
    assert await authority.enrol(brought(f" {code} "), BASE)


async def test_a_code_is_good_once_v5_0_0_6_5_1(store, authority, clock):
    await register(store, keys=())
    code = await code_for(store, clock)
    told = await asyncio.gather(
        *(authority.enrol(brought(code), BASE) for _ in range(6)), return_exceptions=True
    )
    assert [each.error for each in told if isinstance(each, OAuthError)] == ["invalid_grant"] * 5


async def test_a_code_that_is_over_is_good_no_more_v5_0_0_6_5_5(store, authority, clock):
    await register(store, keys=())
    code = await code_for(store, clock)
    clock.now += 600_000
    assert await refused(authority.enrol(brought(code), BASE)) == "invalid_grant"


async def test_a_revoked_client_does_not_come_back_by_a_code(store, authority, clock):
    await register(store, revoked=5)
    code = await code_for(store, clock)
    assert await refused(authority.enrol(brought(code), BASE)) == "invalid_grant"


async def test_keys_that_cannot_be_taken_do_not_cost_the_code(store, authority, clock):
    await register(store, keys=())
    code = await code_for(store, clock)
    for keys in ("{}", key_set(key("RS256", "x")), '{"keys": []}'):
        assert await refused(authority.enrol(brought(code, keys), BASE)) == "invalid_request"
    assert await authority.enrol(brought(code), BASE)


async def test_an_access_token_is_no_code_and_a_code_no_access_token_v5_0_0_9_2_2(
    store, authority, clock
):
    await register(store)
    token = (await authority.token(form(), BASE))["access_token"]
    assert await refused(authority.enrol(brought(token), BASE)) == "invalid_grant"
    code = await code_for(store, clock)
    plain = code.replace("-", "")
    assert await authority._recognising.look(plain) is None


@pytest.mark.parametrize("code", ["", "AAAA", "x" * 10_000, "' or 1=1 --", "\0"])
async def test_a_guess_is_no_code(store, authority, code):
    await register(store)
    error = await refused(authority.enrol(brought(code), BASE))
    assert error == ("invalid_grant" if code else "invalid_request")


def test_codes_hold_enough_chance_and_can_be_read_out_v5_0_0_6_4_1():
    codes = {enrolment.new_code() for _ in range(100)}
    assert len(codes) == 100
    for code in codes:
        assert len(code) == 29
        assert not set("0189") & set(code)
