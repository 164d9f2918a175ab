"""What a person granted an application goes on by refresh tokens: each good once, one that comes
twice ends all of it, and nothing lasts longer or reaches further than was granted.

RFC 6749 section 6, RFC 9700 section 4.14."""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.foundation.outcome import Unauthorized
from fhir_server.security.tokens import client
from fhir_server.security.tokens.authority import DAYS, Authority
from fhir_server.security.tokens.credentials import Credentials
from fhir_server.security.tokens.granted import DAY, GRANT, LIVES, ONLINE_LIVES
from fhir_server.security.tokens.issued import ACCESS, digest_of
from fhir_server.security.tokens.launching import Returned
from fhir_server.store.contract.access import Issued
from tests.attack import times

from .signing import BASE, form, key, public, register, registered, said, signed
from .test_launching import allow, app, asked, code_of, exchange, invited, refused, told_by, wanted

WORDS = "launch/patient patient/*.rs offline_access"
SCOPES = {"scopes": "launch/patient patient/*.rs user/*.rs offline_access online_access"}


@pytest.fixture
def authority(store, clock):
    return Authority(store, base=BASE, clock=clock)


async def granted(store, authority, clock, scope=WORDS, **changes):
    """The first answer to an application that was given leave."""
    await app(store, **SCOPES | changes)
    code = await code_of(authority, store, clock, scope=scope)
    return await authority.token(exchange(code), BASE)


def refresh(token, **changes):
    told = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "app"} | changes
    return [(name, value) for name, value in told.items() if value is not None]


async def over(authority, clock, token):
    """Whether an access token is none any more, once every worker has looked again."""
    clock.now += 5000
    try:
        await asked(authority, token)
    except Unauthorized:
        return True
    return False


async def test_an_application_goes_on_without_its_person_v5_0_0_10_4_5(store, authority, clock):
    first = await granted(store, authority, clock)
    assert first["scope"] == WORDS
    clock.now += LIVES
    second = await authority.token(refresh(first["refresh_token"]), BASE)
    assert (second["token_type"], second["expires_in"], second["patient"]) == ("Bearer", 3600, "p1")
    assert second["scope"] == WORDS
    assert second["refresh_token"] != first["refresh_token"], "rotated"
    caller = await asked(authority, second["access_token"])
    assert (caller.client, caller.user, caller.patient) == ("app", "Patient/p1", "p1")
    third = await authority.token(refresh(second["refresh_token"]), BASE)
    assert await asked(authority, third["access_token"])


async def test_a_refresh_token_that_comes_twice_ends_the_whole_grant_v5_0_0_10_4_5(
    store, authority, clock
):
    first = await granted(store, authority, clock)
    second = await authority.token(refresh(first["refresh_token"]), BASE)
    assert await refused(authority.token(refresh(first["refresh_token"]), BASE)) == "invalid_grant"
    for answer in (first, second):
        assert await over(authority, clock, answer["access_token"])
        again = authority.token(refresh(answer["refresh_token"]), BASE)
        assert await refused(again) == "invalid_grant"


async def test_used_twice_at_once_it_ends_the_grant_whichever_worker_v5_0_0_15_4_2(
    store, authority, clock, tell
):
    workers = [authority, Authority(store, base=BASE, clock=clock)]
    await app(store, **SCOPES)
    for _ in range(times(2, 50)):
        code = await code_of(authority, store, clock, scope=WORDS)
        first = await authority.token(exchange(code), BASE)
        doing = [each.token(refresh(first["refresh_token"]), BASE) for each in workers * 2]
        found = await asyncio.gather(*doing, return_exceptions=True)
        given = [each for each in found if isinstance(each, dict)]
        assert len(given) <= 1
        for each in [first, *given]:
            assert await over(authority, clock, each["access_token"])
        tell("token attacks: refresh tokens used at once", len(doing))


@pytest.mark.parametrize("change", ["family", "secret", "short", "long", "access", "code"])
async def test_what_is_no_refresh_token_is_refused_v5_0_0_9_2_2(store, authority, clock, change):
    first = await granted(store, authority, clock)
    whole = first["refresh_token"]
    guess = {
        "family": "A" * 43 + whole[43:],
        "secret": whole[:43] + "A" * 43,
        "short": whole[:43],
        "long": whole + "A",
        "access": first["access_token"],
        "code": await code_of(authority, store, clock, scope=WORDS),
    }[change]
    assert await refused(authority.token(refresh(guess), BASE)) == "invalid_grant"
    kept = change != "secret"  # who knows half of it has seen an older one
    assert await over(authority, clock, first["access_token"]) != kept


async def test_a_refresh_token_opens_nothing_by_itself_v5_0_0_9_2_2(store, authority, clock):
    token = (await granted(store, authority, clock))["refresh_token"]
    for part in (token, token[:43], token[43:]):
        with pytest.raises(Unauthorized):
            await asked(authority, part)
    await register(store)
    told = await authority.introspect(form(token=token), Credentials(None), BASE)
    assert told == {"active": False}


async def test_it_is_of_the_client_it_was_given_to_v5_0_0_10_4_5(store, authority, clock):
    first = await granted(store, authority, clock)
    await app(store, id="other", **SCOPES)
    stolen = refresh(first["refresh_token"], client_id="other")
    assert await refused(authority.token(stolen, BASE)) == "invalid_grant"
    assert await over(authority, clock, first["access_token"]), "it was stolen: nothing is left"


async def test_a_client_with_a_key_proves_itself_each_time_v5_0_0_10_4_10(store, authority, clock):
    await app(store, **SCOPES, keys=tuple(public(key())))

    def proof():
        told = dict(form(signed(said(iss="app", sub="app"))))
        return {name: told[name] for name in ("client_assertion", "client_assertion_type")}

    code = await code_of(authority, store, clock, scope=WORDS)
    first = await authority.token(exchange(code, **proof()), BASE)
    named = refresh(first["refresh_token"])
    assert await refused(authority.token(named, BASE)) == "invalid_client"
    proven = refresh(first["refresh_token"], client_id=None, **proof())
    assert (await authority.token(proven, BASE))["refresh_token"]


async def test_it_is_kept_by_digests_alone_v5_0_0_6_5_2(store, authority, clock):
    token = (await granted(store, authority, clock))["refresh_token"]

    row, _ = await store.access.issued(digest_of(token[:43]))
    assert row.kind == GRANT
    assert not any(part in row.facts for part in (token[:43], token[43:]))
    assert len(set(token)) > 20, "of chance"


NARROWED = [
    ("patient/Observation.rs", "patient/Observation.rs"),
    ("patient/*.r offline_access", "patient/*.r offline_access"),
    (None, WORDS),
]


@pytest.mark.parametrize(("asked_for", "given"), NARROWED, ids=str)
async def test_less_may_be_asked_for_and_the_grant_stays_what_it_was(
    store, authority, clock, asked_for, given
):
    first = await granted(store, authority, clock)
    told = await authority.token(refresh(first["refresh_token"], scope=asked_for), BASE)
    assert told["scope"] == given
    again = await authority.token(refresh(told["refresh_token"]), BASE)
    assert again["scope"] == WORDS


WIDENED = ["patient/*.cruds", "user/*.rs", "system/*.rs", f"{WORDS} openid", "patient/*.dus", "x/y"]


@pytest.mark.parametrize("words", WIDENED)
async def test_more_than_was_granted_is_refused_and_costs_nothing_v5_0_0_10_4_11(
    store, authority, clock, words
):
    first = await granted(store, authority, clock)
    told = refresh(first["refresh_token"], scope=words)
    assert await refused(authority.token(told, BASE)) == "invalid_scope"
    assert await authority.token(refresh(first["refresh_token"]), BASE), "it was not used"


LASTS = [("offline_access", DAYS * DAY), ("online_access", ONLINE_LIVES)]


@pytest.mark.parametrize(("word", "lasts"), LASTS)
async def test_it_ends_at_last_however_often_it_was_used_v5_0_0_10_4_8(
    store, authority, clock, word, lasts
):
    told = await granted(store, authority, clock, scope=f"patient/*.rs {word}")
    begun = clock.now
    for part in (3, 2):
        clock.now = begun + lasts - lasts // part
        told = await authority.token(refresh(told["refresh_token"]), BASE)
    clock.now = begun + lasts - 60_000
    told = await authority.token(refresh(told["refresh_token"]), BASE)
    assert told["expires_in"] == 60, "nor does an access token outlive it"
    clock.now = begun + lasts
    assert await refused(authority.token(refresh(told["refresh_token"]), BASE)) == "invalid_grant"


async def test_who_did_not_ask_or_may_not_is_given_none(store, clock):
    authority = Authority(store, base=BASE, clock=clock, days=0)
    answer = await granted(store, authority, clock)
    assert "refresh_token" not in answer
    assert answer["scope"] == "launch/patient patient/*.rs"


async def test_what_the_registration_loses_a_refresh_loses_v5_0_0_8_3_2(store, authority, clock):
    first = await granted(store, authority, clock)
    told = {"id": "app", "keys": (), "redirects": ("https://app.example.vn/done",)}
    less = registered(**told, scopes="patient/Observation.rs offline_access", changed=2)
    assert await store.access.register(client.row(less), replaces=1)
    second = await authority.token(refresh(first["refresh_token"]), BASE)
    assert second["scope"] == "patient/Observation.rs offline_access"
    none = registered(**told, scopes="patient/Observation.rs", changed=3)
    assert await store.access.register(client.row(none), replaces=2)
    told = authority.token(refresh(second["refresh_token"]), BASE)
    assert await refused(told) == "invalid_grant"


async def test_revoked_clients_refresh_nothing_v5_0_0_7_4_2(store, authority, clock):
    first = await granted(store, authority, clock)
    gone = registered(id="app", keys=(), **SCOPES, changed=2, revoked=clock.now)
    assert await store.access.register(client.row(gone), replaces=1)
    told = authority.token(refresh(first["refresh_token"]), BASE)
    assert await refused(told) == "invalid_client"


async def test_taking_back_a_refresh_token_ends_all_on_every_worker_v5_0_0_7_4_1(
    store, authority, clock
):
    first = await granted(store, authority, clock)
    other = Authority(store, base=BASE, clock=clock)
    for each in (authority, other):
        assert await asked(each, first["access_token"])
    back = [("token", first["refresh_token"]), ("client_id", "app")]
    await authority.revoke(back, BASE)
    with pytest.raises(Unauthorized):
        await asked(authority, first["access_token"])
    assert await over(other, clock, first["access_token"])
    assert await refused(other.token(refresh(first["refresh_token"]), BASE)) == "invalid_grant"
    await authority.revoke(back, BASE)


async def test_nobody_takes_back_what_is_anothers_v5_0_0_10_4_10(store, authority, clock):
    first = await granted(store, authority, clock)
    await app(store, id="other")
    back = [("token", first["refresh_token"]), ("client_id", "other")]
    assert await refused(authority.revoke(back, BASE)) == "invalid_request"
    assert await asked(authority, first["access_token"])


async def test_a_code_that_comes_twice_ends_the_refresh_token_too_v5_0_0_10_4_2(
    store, authority, clock
):
    await app(store, **SCOPES)
    code = await code_of(authority, store, clock, scope=WORDS)
    first = await authority.token(exchange(code), BASE)
    assert await refused(authority.token(exchange(code), BASE)) == "invalid_grant"
    assert await refused(authority.token(refresh(first["refresh_token"]), BASE)) == "invalid_grant"
    assert await over(authority, clock, first["access_token"])


async def test_a_code_exchanged_twice_at_once_leaves_nothing_v5_0_0_10_4_2(store, authority, clock):
    await app(store, **SCOPES)
    code = await code_of(authority, store, clock, scope=WORDS)
    doing = [authority.token(exchange(code), BASE) for _ in range(4)]
    found = await asyncio.gather(*doing, return_exceptions=True)
    for each in found:
        if isinstance(each, dict):
            assert await over(authority, clock, each["access_token"])


async def test_a_scope_that_became_unreadable_lets_nobody_in_v5_0_0_16_5_3(store, authority, clock):
    await register(store)
    facts = '{"scope": "system/*.dus"}'

    bad = Issued(digest_of("t" * 43), ACCESS, "his-1", facts, clock.now, clock.now + 1000)
    await store.access.issue(bad)
    with pytest.raises(Unauthorized):
        await asked(authority, "t" * 43)


async def test_the_answer_tells_who_answers_so_it_is_no_mix_up(store, authority, clock):
    """RFC 9207: an application that knows several servers sends no code to the wrong one."""
    await app(store, **SCOPES)
    launch = await authority.launch(wanted(), BASE)
    assert told_by(launch.back(error="access_denied"))["iss"] == BASE
    back = await allow(authority, launch, await invited(store, clock))
    assert told_by(back)["iss"] == BASE
    with pytest.raises(Returned) as found:
        await authority.launch(wanted(scope="x"), BASE)
    assert told_by(found.value.url)["iss"] == BASE
