"""Clients and tokens are kept the same on both databases, and what is spent is spent once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fhir_server.store.contract import Issued, Registered, Spent
from fhir_server.store.upkeep import access

A = Registered("his-1", '{"name":"Bệnh viện"}', changed=1000)
TOKEN = Issued(b"\x01" * 32, "access", "his-1", "{}", issued=1000, expires=2000)


def test_a_client_is_found_as_it_was_registered_and_under_no_other_id(store, run):
    assert run(store.access.register(A))
    assert run(store.access.client("his-1")) == A
    assert run(store.access.client("HIS-1")) is None
    assert run(store.access.clients()) == [A]


def test_a_client_is_never_registered_over_another(store, run):
    assert run(store.access.register(A))
    assert not run(store.access.register(replace(A, facts='{"name":"other"}')))
    assert run(store.access.client("his-1")) == A


def test_a_change_is_made_to_what_was_read_or_not_at_all(store, run):
    run(store.access.register(A))
    assert run(store.access.register(replace(A, facts="{}", changed=1001), replaces=1000))
    assert not run(store.access.register(replace(A, facts="[]", changed=1002), replaces=1000))
    assert run(store.access.client("his-1")).facts == "{}"


def test_a_token_is_found_with_whose_it_is(store, run):
    run(store.access.register(A))
    assert run(store.access.issue(TOKEN))
    assert run(store.access.issued(TOKEN.digest)) == (TOKEN, A)
    assert run(store.access.issued(b"\x02" * 32)) is None


def test_a_token_of_no_client_is_none(store, run):
    run(store.access.issue(TOKEN))
    assert run(store.access.issued(TOKEN.digest)) is None


def test_revoking_a_client_ends_its_tokens_and_nobody_elses_v5_0_0_7_4_2(store, run):
    other = replace(TOKEN, digest=b"\x02" * 32, client="his-2")
    for client in (A, replace(A, id="his-2")):
        run(store.access.register(client))
    for token in (TOKEN, other):
        run(store.access.issue(token))
    run(store.access.register(replace(A, changed=1500, revoked=1500), replaces=1000))
    assert run(store.access.issued(TOKEN.digest)) is None
    assert run(store.access.issued(other.digest)) is not None


def test_withdrawing_ends_all_tokens_of_a_client(store, run):
    run(store.access.register(A))
    run(store.access.issue(TOKEN))
    assert run(store.access.withdraw("his-1")) == 1
    assert run(store.access.issued(TOKEN.digest)) is None


def test_of_many_who_spend_the_same_one_is_given_a_token_v5_0_0_15_4_2(store, run):
    async def together():
        tokens = [replace(TOKEN, digest=bytes([n]) * 32) for n in range(8)]
        return await asyncio.gather(
            *(store.access.issue(one, Spent(b"jti", 5000)) for one in tokens)
        )

    run(store.access.register(A))
    assert sorted(run(together())) == [False] * 7 + [True]


def test_what_is_taken_is_taken_once_and_as_what_it_is_v5_0_0_6_4_1(store, run):
    async def together():
        return await asyncio.gather(*(store.access.take(TOKEN.digest, "access") for _ in range(8)))

    run(store.access.issue(TOKEN))
    assert run(store.access.take(TOKEN.digest, "enrolment")) is None
    found = run(together())
    assert found.count(None) == 7
    assert TOKEN in found


def test_what_is_over_is_forgotten_and_what_is_not_is_kept(store, run):
    run(store.access.register(A))
    run(store.access.issue(TOKEN, Spent(b"old", 1500)))
    later = replace(TOKEN, digest=b"\x02" * 32, issued=1900, expires=2900)
    assert run(store.access.issue(later, Spent(b"new", 9000)))
    assert run(store.access.issued(TOKEN.digest)) is not None
    last = replace(later, digest=b"\x03" * 32, issued=2500)
    assert run(store.access.issue(last, Spent(b"old", 9000)))
    assert run(store.access.issued(TOKEN.digest)) is None
    assert not run(store.access.issue(last, Spent(b"new", 9000)))


HOSTILE = ["' or 1=1 --", '"; drop table client; --', "%s", "$1", "?", "a" * 4000, "Ngô\t"]


@pytest.mark.parametrize("id", HOSTILE)
def test_an_id_is_bound_and_never_part_of_a_statement_v5_0_0_1_2_4(store, run, id):
    run(store.access.register(replace(A, id=id)))
    assert run(store.access.client(id)).id == id
    assert run(store.access.withdraw(id)) == 0


def test_a_command_registers_and_revokes_beside_a_running_server(store, database, run):
    assert access.register(database.url, A)
    assert run(store.access.client("his-1")) == A
    assert access.issue(database.url, TOKEN)
    assert run(store.access.issued(TOKEN.digest)) == (TOKEN, A)
    assert access.clients(database.url) == [A]
    assert access.client(database.url, "his-2") is None
    revoked = replace(A, changed=1600, revoked=1600)
    assert access.register(database.url, revoked, replaces=1000)
    assert run(store.access.issued(TOKEN.digest)) is None
    run(store.access.issue(TOKEN))
    assert access.withdraw(database.url, "his-1") == 1


def test_a_token_is_exchanged_as_it_was_thought_to_be_or_not_at_all(store, run):
    run(store.access.register(A))
    run(store.access.issue(TOKEN))
    used = replace(TOKEN, kind="used", facts='{"n":1}', expires=3000)
    new = replace(TOKEN, digest=b"\x02" * 32)
    assert run(store.access.exchange(TOKEN, used, [new]))
    assert run(store.access.issued(TOKEN.digest))[0] == used
    assert run(store.access.issued(new.digest))[0] == new
    third = replace(new, digest=b"\x03" * 32)
    for other in (TOKEN, replace(used, facts="{}"), replace(used, digest=b"\x09" * 32)):
        assert not run(store.access.exchange(other, used, [third]))
    assert run(store.access.issued(third.digest)) is None


def test_of_many_who_exchange_a_token_one_does(store, run):
    run(store.access.register(A))
    run(store.access.issue(TOKEN))

    async def all_at_once():
        each = [store.access.exchange(TOKEN, replace(TOKEN, facts=str(n)), []) for n in range(8)]
        return await asyncio.gather(*each)

    assert sorted(run(all_at_once())) == [False] * 7 + [True]


def test_under_a_name_all_keep_what_the_first_kept_until_it_is_replaced(store, run):
    assert run(store.access.keep("x", "a")) == "a"
    assert run(store.access.keep("x", "b")) == "a"
    assert run(store.access.keep("x", "c", replaces="b")) == "a"
    assert run(store.access.keep("x", "c", replaces="a")) == "c"


def test_a_command_finds_and_ends_tokens_of_a_client(store, run, database):
    run(store.access.register(A))
    run(store.access.issue(TOKEN))
    assert access.of_client(database.url, "his-1", "access") == [TOKEN]
    assert access.of_client(database.url, "his-1", "code") == []
    assert not access.take(database.url, TOKEN.digest, "code")
    assert access.take(database.url, TOKEN.digest, "access")
    assert not access.take(database.url, TOKEN.digest, "access")
