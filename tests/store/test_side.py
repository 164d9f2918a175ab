"""Rows of the tables beside the versions are written with them or not at all, and found again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fhir_server.store.contract import Position, Stale, Unit
from fhir_server.store.contract.log import HELD, HOME_IN, Mark
from fhir_server.store.contract.side import (
    APART,
    HERE,
    LIFE,
    MARK,
    PACKED,
    PLACE,
    RECEIPT,
    STATE,
    TABLES,
    WAITING,
    WHOSE,
    Drop,
    Expect,
    HeldRow,
    LifeRow,
    MarkRow,
    PlaceRow,
    Put,
    ReceiptRow,
    StateRow,
    WaitingRow,
    WhoseRow,
)
from fhir_server.store.contract.side import (
    HELD as HELD_BODIES,
)
from tests.store.world import chained, newest, unit, version

DIGEST = bytes(range(16))
LIFE_KEY = ("tyt", "7f3c")


def life(reached):
    return LifeRow(*LIFE_KEY, reached, 0, "{}")


def receipt(number, seq=HERE, num=0, rid=1):
    return ReceiptRow(*LIFE_KEY, number, rid, 1, DIGEST, "stored", seq, num, 5, "")


def place(rid, seq, state="came"):
    return PlaceRow(rid, 1, DIGEST, state, 1, seq, 0, "7f3c", rid, 9, b"")


def beside(*side, **rest):
    return Unit((), side=side, **rest)


EXAMPLE = {"int": 3, "str": "three ở", "bytes": b"\x00\xff"}


async def test_what_is_put_is_there_until_it_is_replaced_or_dropped(store):
    for table in TABLES:
        if table is not MARK:
            await put_replaced_dropped(store, table)


async def put_replaced_dropped(store, table):
    row = table.row(*(EXAMPLE[kind] for kind in table.kinds))
    key = row[: table.keyed]
    await store.commit(beside(Put(table, (row,))))
    assert await store.side.rows(table, [key, key]) == {key: row}
    other = table.row(*key, *(EXAMPLE[kind] * 2 for kind in table.kinds[table.keyed :]))
    await store.commit(beside(Put(table, (row,)), Put(table, (other,))))
    assert await store.side.rows(table, [key]) == {key: other}
    assert type((await store.side.range(table, limit=1))[0]) is table.row
    for index in table.indexes:
        assert await store.side.range(table, index, limit=9) == [other]
        prefix = table.place(other, index)[:1]
        assert await store.side.count(table, prefix, index) == 1
    await store.commit(beside(Drop(table, (key,))))
    assert await store.side.rows(table, [key]) == {}
    assert await store.side.count(table) == 0


async def test_what_is_done_last_in_a_unit_holds(store):
    row = StateRow("cursor", "1")
    await store.commit(beside(Put(STATE, (row,)), Drop(STATE, (("cursor",),))))
    assert await store.side.count(STATE) == 0
    await store.commit(beside(Drop(STATE, (("cursor",),)), Put(STATE, (row,))))
    assert await store.side.count(STATE) == 1


async def test_pages_of_an_index_meet_each_row_once_in_its_order(store):
    all = [place(rid, seq) for rid, seq in ((5, 2), (3, 2), (9, 1), (1, 7), (4, 2))]
    await store.commit(beside(Put(PLACE, tuple(all))))
    met, beyond = [], None
    while page := await store.side.range(PLACE, "by_hub", prefix=(1,), beyond=beyond, limit=2):
        met += page
        beyond = PLACE.place(page[-1], "by_hub")[1:]
    assert [(row.seq, row.rid) for row in met] == [(1, 9), (2, 3), (2, 4), (2, 5), (7, 1)]
    page = await store.side.range(PLACE, "by_hub", prefix=(1,), beyond=(2,), limit=9)
    assert [row.rid for row in page] == [1]
    assert await store.side.count(PLACE, ("came",), "by_state") == 5
    assert await store.side.count(PLACE, ("gone",), "by_state") == 0


async def test_bytes_are_measured_without_the_rest(store):
    def held(number, node, body):
        return HeldRow(number, 1, b"d", "Patient", "an", b"[]", body, b"", b"", node, "i", 1, 1)

    rows = (held(1, "a", "Mạch".encode()), held(2, "a", bytes(100_000)), held(3, "b", b"12345"))
    await store.commit(beside(Put(HELD_BODIES, rows)))
    wanted = ("body", "parents")
    assert await store.side.octets(HELD_BODIES, wanted, ("a",), "by_node") == 6 + 100_000 + 2 * 2
    assert await store.side.octets(HELD_BODIES, ("body",)) == 6 + 100_000 + 5
    assert await store.side.octets(HELD_BODIES, wanted, ("nobody",), "by_node") == 0
    with pytest.raises(ValueError, match="bytes"):
        await store.side.octets(HELD_BODIES, ("id",))


async def test_the_first_rows_of_several_prefixes_are_read_at_once(store):
    rows = [receipt(number, seq=7, num=number, rid=number % 3) for number in range(12)]
    await store.commit(beside(Put(RECEIPT, tuple(rows))))
    found = await store.side.ranges(RECEIPT, "by_version", [(0,), (2,), (9,), (2,)], limit=3)
    assert sorted((row.rid, row.number) for row in found) == [
        (0, 0), (0, 3), (0, 6), (2, 2), (2, 5), (2, 8),
    ]  # fmt: skip
    found = await store.side.ranges(
        RECEIPT, "primary", [(*LIFE_KEY, 4), ("tyt", "gone", 4)], limit=9
    )
    assert found == [rows[4]]
    assert await store.side.ranges(RECEIPT, "by_version", [], limit=3) == []


async def test_a_receipt_names_the_place_of_the_version_it_is_written_with(store):
    new = unit(version("Patient/a"), chained("Patient/b", "x", "y"))
    receipts = Put(RECEIPT, (receipt(1, num=0), receipt(2, num=1), receipt(3, num=2)))
    committed = await store.commit(replace(new, side=(receipts,)))
    told = await store.side.range(RECEIPT, limit=9)
    assert [Position(row.seq, row.num) for row in told] == [committed.place(n) for n in range(3)]
    assert committed.positions == [committed.place(0), committed.place(2)]


async def test_marks_stand_behind_the_versions_of_their_unit_and_before_what_comes_later(store):
    marks = (Mark(HOME_IN, 7, 20), Mark(HELD, 8, 21, b"rev"))
    first = await store.commit(replace(unit(version("Patient/a")), marks=marks))
    alone = await store.commit(Unit((), marks=(Mark(HOME_IN, 9, 20),), side=(
        Put(RECEIPT, (receipt(1, num=0),)),
    )))  # fmt: skip
    later = await store.commit(unit(version("Patient/b")))
    told = await store.side.range(MARK, limit=9)
    assert told == [
        MarkRow(*first.place(1), 7, HOME_IN, 20, b""),
        MarkRow(*first.place(2), 8, HELD, 21, b"rev"),
        MarkRow(*alone.place(0), 9, HOME_IN, 20, b""),
    ]
    assert first.positions[0] < first.place(1) < alone.place(0) < later.positions[0]
    (row,) = await store.side.range(RECEIPT, limit=9)
    assert (row.seq, row.num) == alone.place(0)


def test_what_stands_last_in_the_log_keeps_its_place_after_a_start(database, run, clock):
    async def work(marks):
        store = database.store(clock=clock)
        await store.open()
        try:
            return (await store.commit(Unit((), marks=marks))).place(0)
        finally:
            await store.close()

    one, other = (run(work((Mark(HOME_IN, n, 20),))) for n in (1, 2))
    assert one < other


async def test_a_place_that_no_row_of_the_commit_has_is_a_mistake(store):
    for num in (-1, 1):
        receipts = Put(RECEIPT, (receipt(1, num=num),))
        with pytest.raises(ValueError, match="1 rows in the log"):
            await store.commit(replace(unit(version("Patient/a")), side=(receipts,)))
    with pytest.raises(ValueError, match="marks"):
        await store.commit(beside(Put(MARK, (MarkRow(1, 1, 1, 1, 1, b""),))))
    with pytest.raises(ValueError, match="guarded"):
        Expect(WHOSE, (1,), None)
    with pytest.raises(ValueError, match="key"):
        Expect(LIFE, ("tyt", "x"), life(1))


async def test_a_row_that_is_not_as_expected_lets_nothing_be_written(store):
    absent, there = Expect(LIFE, LIFE_KEY, None), Expect(LIFE, LIFE_KEY, life(1))
    put = Put(LIFE, (life(1),))
    new = replace(unit(version("Patient/a")), side=(put,))
    with pytest.raises(Stale):
        await store.commit(replace(new, expects=(there,)))
    assert await newest(store, "Patient/a") is None
    await store.commit(replace(new, expects=(absent,)))
    more = unit(version("Patient/b"))
    for wrong in (absent, Expect(LIFE, LIFE_KEY, life(2))):
        refused = replace(more, side=(Put(LIFE, (life(9),)),), expects=(there, wrong))
        with pytest.raises(Stale):
            await store.commit(refused)
    assert await newest(store, "Patient/b") is None
    assert await store.side.rows(LIFE, [LIFE_KEY]) == {LIFE_KEY: life(1)}
    await store.commit(replace(more, side=(Put(LIFE, (life(2),)),), expects=(there,)))
    assert await store.side.rows(LIFE, [LIFE_KEY]) == {LIFE_KEY: life(2)}


async def test_a_version_that_is_stale_lets_nothing_be_written_beside_it(store):
    await store.commit(unit(version("Patient/a")))
    side = (Put(STATE, (StateRow("cursor", "1"),)), Put(WHOSE, (WhoseRow(1, 2),)))
    late = replace(unit(version("Patient/a", "b")), side=side, marks=(Mark(HOME_IN, 1, 2),))
    with pytest.raises(Stale):
        await store.commit(late)
    for table in (STATE, WHOSE, MARK):
        assert await store.side.count(table) == 0


async def test_of_writers_who_count_on_one_row_each_counts_from_the_one_before(store):
    """As a hub moves `reached` of a node: sixteen chunks at once, none lost and none twice."""

    async def push(number):
        while True:
            before = (await store.side.rows(LIFE, [LIFE_KEY])).get(LIFE_KEY)
            after = life(1 if before is None else before.reached + 1)
            new = unit(version(f"Patient/p{number}"))
            side = (Put(LIFE, (after,)), Put(RECEIPT, (receipt(after.reached),)))
            try:
                await store.commit(
                    replace(new, side=side, expects=(Expect(LIFE, LIFE_KEY, before),))
                )
            except Stale:
                continue
            return after.reached

    assert sorted(await asyncio.gather(*map(push, range(16)))) == list(range(1, 17))
    assert await store.side.count(RECEIPT, LIFE_KEY) == 16


async def test_what_waits_is_found_by_what_it_waits_for(store):
    held = HeldRow(
        5, 1, DIGEST, "Observation", "o", b"", b"{}", b"", b"", "tyt", "7f3c", 3, 1
    )  # fmt: skip
    await store.commit(beside(Put(HELD_BODIES, (held,)), Put(WAITING, (WaitingRow(9, *held[:3]),))))
    (waits,) = await store.side.range(WAITING, prefix=(9,), limit=5)
    assert (await store.side.rows(HELD_BODIES, [waits[1:]]))[waits[1:]] == held
    assert await store.side.range(HELD_BODIES, "by_node", prefix=("tyt",), limit=5) == [held]


async def test_two_who_say_at_once_that_two_people_are_apart_both_succeed(store):
    def said(at):
        row = APART.row(1, 2, at, "{}")
        return beside(Put(APART, (row,)))

    await asyncio.gather(*(store.commit(said(at)) for at in (5, 6)))
    assert await store.side.count(APART, (1,)) == 1


async def test_many_rows_at_once_are_one_unit(store):
    packed = tuple(PACKED.row("7f3c", n, n, 1, DIGEST, 1, 0) for n in range(1200))
    await store.commit(beside(Put(PACKED, packed)))
    keys = [row[:2] for row in packed]
    assert len(await store.side.rows(PACKED, keys)) == 1200
    await store.commit(beside(Drop(PACKED, tuple(keys[:-1]))))
    assert await store.side.range(PACKED, prefix=("7f3c",), beyond=(5,), limit=9) == [packed[-1]]
    assert await store.side.rows(PACKED, []) == {}
