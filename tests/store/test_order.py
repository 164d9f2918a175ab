"""The orders of a search at the store itself: what an interaction cannot show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_server.foundation.outcome import TooCostly
from fhir_server.store import arranging
from fhir_server.store.contract import (
    EVERYTHING,
    FIRST,
    LAST,
    WHOLE_TEXT,
    ByMain,
    ByRow,
    ByUpdated,
    Collected,
    History,
    IndexRows,
    Place,
    Select,
    StringRow,
    rid,
)
from fhir_server.store.postgresql import PostgresqlStore
from tests.store.world import newest, rows, unit, version

PATIENTS = Select(("Patient",), restriction=EVERYTHING)
NAME = 7


def ids(page):
    return "".join(version.key.id for version in page.rows)


async def test_last_updated_is_an_order_of_time_though_writers_clocks_differ(
    postgresql_url, run, clock
):
    """Whose transaction came later may name an earlier time."""
    early, late = (
        PostgresqlStore(postgresql_url, clock=lambda plus=plus: clock.now + plus)
        for plus in (0, 5000)
    )
    await early.open()
    await late.open()
    try:
        for n, store in enumerate((late, early, late, early, early)):
            clock.now += 1
            await store.commit(unit(version(f"Patient/{n}"), version(f"Encounter/{n}")))
        for store in (early, late):
            assert ids(await store.search(PATIENTS, limit=9, order=ByUpdated(False))) == "13402"
            assert ids(await store.search(PATIENTS, limit=9, order=ByUpdated(True))) == "20431"
            for types in (("Patient",), ("Patient", "Encounter"), ()):
                whole = await store.search(
                    Select(types, restriction=EVERYTHING), limit=99, order=ByUpdated(True)
                )
                met, page = [], None
                while page is None or page.more:
                    after, bound = (page.edge, page.bound) if page else (None, None)
                    page = await store.search(
                        Select(types, restriction=EVERYTHING),
                        limit=2,
                        order=ByUpdated(True),
                        after=after,
                        bound=bound,
                    )
                    met += page.rows
                assert met == list(whole.rows)
        page = await early.history(History(types=("Patient",), limit=2, restriction=EVERYTHING))
        assert ids(page) == "20"
        after = page.rows[-1].position
        further = History(types=("Patient",), after=after, bound=page.bound, restriction=EVERYTHING)
        assert ids(await early.history(further)) == "431"
        upward = History(types=("Patient",), ascending=True, limit=3, restriction=EVERYTHING)
        assert ids(await early.history(upward)) == "134"
    finally:
        await early.close()
        await late.close()


async def test_a_resource_without_a_main_date_comes_last_in_both_directions(store):
    days = {"a": -9000, "b": 0, "c": 3}  # 0: none
    for id, day in days.items():
        await store.commit(unit(version(f"Patient/{id}", rows=rows(day=day))))
    assert ids(await store.search(PATIENTS, limit=9)) == "cab"
    assert ids(await store.search(PATIENTS, limit=9, order=ByMain(descending=False))) == "acb"


def named(*texts):
    """As helper code of a kind writes them: each whole value, the first and last of them told."""
    found = []
    for text in texts:
        flags = FIRST * (text == min(texts)) | LAST * (text == max(texts))
        param = NAME + WHOLE_TEXT if " " in text else NAME
        found.append(StringRow(param, text, 1 << 2 | flags))
    return IndexRows(strings=frozenset(found))


async def test_who_changed_a_name_stands_where_the_first_page_had_them(store):
    names = {"a": ("an",), "b": ("binh", "an vu"), "c": (), "d": ("dung",), "e": ("em",)}
    told = {rid(version(f"Patient/{id}").key): min(n, default=None) for id, n in names.items()}
    by_name = ByRow("string", (NAME,), False, lambda version: told[rid(version.key)])
    for id, texts in names.items():
        await store.commit(unit(version(f"Patient/{id}", rows=named(*texts))))
    assert ids(await store.search(PATIENTS, limit=9, order=by_name)) == "abdec"
    page = await store.search(PATIENTS, limit=2, order=by_name)
    for id, texts in (("e", ("aaa",)), ("a", ("zzz",)), ("c", ("x",)), ("d", ())):
        was = await newest(store, f"Patient/{id}")
        new = version(
            f"Patient/{id}", "b", rows=named(*texts), before=named(*names[id]), follows=was
        )
        await store.commit(unit(new))
    met = ids(page)
    while page.more:
        page = await store.search(
            PATIENTS, limit=2, order=by_name, after=page.edge, bound=page.bound
        )
        met += ids(page)
    assert met == "abdec"
    assert ids(await store.search(PATIENTS, limit=9, order=by_name)) == "ebcad"


async def test_more_than_can_be_put_in_order_is_refused(store, monkeypatch):
    monkeypatch.setattr("fhir_server.store.paging.COLLECTED", 4)
    await store.commit(unit(*(version(f"Patient/{n}") for n in range(5))))
    by_id = Collected(lambda version: (version.key.id,), (True,))
    with pytest.raises(TooCostly):
        await store.search(PATIENTS, limit=2, order=by_id)
    few = Select(("Patient",), restriction=EVERYTHING)
    monkeypatch.setattr("fhir_server.store.paging.COLLECTED", 5)
    assert ids(await store.search(few, limit=9, order=by_id)) == "43210"


async def test_a_long_sort_is_done_in_a_thread(database, run, clock):
    """And answers the same."""
    options = {"inline": 0.0} if database.product == "sqlite" else {}
    store = database.store(clock=clock, **options)
    await store.open()
    try:
        for start in range(0, 1200, 400):
            new = (version(f"Patient/{n}") for n in range(start, start + 400))
            await store.commit(unit(*new))
        by_id = Collected(lambda version: (int(version.key.id),), (False,))
        page = await store.search(PATIENTS, limit=3, order=by_id)
        assert [version.key.id for version in page.rows] == ["0", "1", "2"]
        page = await store.search(
            PATIENTS, limit=2, order=by_id, after=page.edge, bound=page.bound, backward=True
        )
        assert [version.key.id for version in page.rows] == ["1", "2"]
    finally:
        await store.close()


def test_a_place_may_be_of_a_resource_that_is_gone():
    items = [arranging.Item(Place((n,), n), None) for n in (1, 3, 5)]
    for after, backward, expected in ((2, False, [3, 5]), (3, False, [5]), (3, True, [1, 3])):
        page = arranging.arranged(
            items, (False,), after=Place((after,), after), backward=backward, limit=9
        )
        assert [item.place.rid for item in page.items] == expected


async def test_each_row_of_a_page_is_told_where_it_stands(store):
    """So that a page may begin behind any of them, in whichever order."""
    names = {"a": "an", "b": "", "c": "binh", "d": "an", "e": ""}
    for day, (id, name) in enumerate(names.items()):
        found = replace(named(*[name] * bool(name)), main=rows(day=day % 3).main)
        await store.commit(unit(version(f"Patient/{id}", rows=found)))
    orders = (
        ByMain(),
        ByMain(descending=False),
        ByUpdated(True),
        ByRow("string", (NAME,), False, lambda version: names[version.key.id] or None),
        Collected(lambda version: (names[version.key.id] or None,), (True,)),
    )
    for order in orders:
        whole = await store.search(PATIENTS, limit=9, order=order)
        assert [place.rid for place in whole.places] == [rid(row.key) for row in whole.rows]
        for n, place in enumerate(whole.places):
            where = {"limit": 9, "order": order, "after": place, "bound": whole.bound}
            assert ids(await store.search(PATIENTS, **where)) == ids(whole)[n + 1 :]
            assert ids(await store.search(PATIENTS, backward=True, **where)) == ids(whole)[: n + 1]
