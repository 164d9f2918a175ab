"""Every condition finds exactly what it says, on every database: the oracle is plain Python."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.foundation.resource import Key
from fhir_server.store import choosing
from fhir_server.store.contract import (
    FIRST,
    FOREVER,
    LAST,
    MISSING,
    WHOLE_TEXT,
    AllOf,
    AnyOf,
    Care,
    Contains,
    DateRow,
    Facts,
    Ground,
    IndexRows,
    Interval,
    KeyBetween,
    KeyIs,
    KeyRow,
    Near,
    Not,
    Place,
    QuantityRow,
    Restriction,
    RidIn,
    Select,
    StringRow,
    UpdatedWithin,
    Whole,
    WholeLike,
    WordStarts,
    rid,
)
from fhir_server.store.select import page as page_module
from fhir_server.store.select import weighing
from fhir_server.store.select.weighing import COMMON as WALK
from fhir_server.store.select.weighing import Hoped, rarest
from tests.search.evaluate import holds
from tests.store.world import newest, unit, version

TYPES = ("Patient", "Encounter", "Observation")
KEYS = [Key(type, str(n)) for type in TYPES for n in range(16)]
VALUES = [param << 50 | value for param in (1, 2) for value in (1, 2, 3)]
OTHERS = [system << 32 | code for system in (-3, 0, 7) for code in (0, 5, 0xFFFFFFFF)]
# The first and the last bit of two types, which mean one thing in the one and another in the other.
COMMON = {
    type: [
        KeyRow(param << 50 | value, 5, dominant) for value, dominant in ((1, 1), (2, 2), (3, 62))
    ]
    for param, type in ((3, "Patient"), (4, "Encounter"))
}
WORDS = ["", "n", "ng", "ngo", "ngô", "nz", "n\U0010ffff", "o", "\ud7ff", "\ue000", "z" * 9]
TEXTS = ["n o", "ng o", "o ng", "o ng n", "ngo ng", "100% n_o", "o n'o"]
INNER = [" n", "n ", " o ", "o n", "g o", "%", "_", "'", " ng "]
DIGESTS = [1, 2, 2**28 - 1]
TIMES = [MISSING, -5, 0, 10, 11, 20, 30, -MISSING]
UNITS = [0, 4, 5, 2**62, 2**62 + 4, 2**63 - 1]
UNIT_MASKS = [-1, 4, 2**62, 2**62 + 4, 2**63 - 4, 2**63 - 1, 0]
MERIDIANS = [-180.0, -179.999, -75.5, 0.0, 105.85, 105.851, 179.999, 180.0]
PARALLELS = [-90.0, -89.999, -17.0, 0.0, 21.02, 21.021, 89.999, 90.0]
FACILITIES = (7, 8)
MOMENTS = (5, 10, 15)
METRES = [0.5, 130.0, 1_234.0, 250_000.0, 9_000_000.0, 20_037_000.0]


def key_row(draw, type):
    if type in COMMON and draw.random() < 0.5:
        return draw.choice(COMMON[type])
    return KeyRow(draw.choice(VALUES), draw.choice(OTHERS))


def string_row(draw):
    """A word, a whole value of one or of several, or a piece of a long one."""
    param, flags = draw.choice((1, 2)), draw.choice((0, FIRST, LAST, FIRST | LAST))
    whole = draw.choice((0, draw.choice(DIGESTS) << 2 | flags))
    if draw.random() < 0.3:
        return StringRow(param + WHOLE_TEXT, draw.choice(TEXTS), whole)
    return StringRow(param, draw.choice(WORDS), whole)


def quantity_row(draw):
    """A range of a number or quantity, or a position."""
    if draw.random() < 0.4:
        return QuantityRow(3, 0, draw.choice(PARALLELS), draw.choice(MERIDIANS))
    values = span(draw, [-1.5, 0.0, 0.1, 2.0, 1e300])
    return QuantityRow(draw.choice((1, 2)), draw.choice(UNITS), *values)


def span(draw, values):
    lo, hi = sorted(draw.sample(values, 2))
    return lo, hi


def some(draw, most, make):
    return frozenset(make() for _ in range(draw.randrange(most + 1)))


def made(draw, type):
    """The rows of one resource, from few enough values that they meet often."""
    return IndexRows(
        some(draw, 4, lambda: key_row(draw, type)),
        some(draw, 4, lambda: string_row(draw)),
        some(draw, 3, lambda: DateRow(draw.choice((1, 2)), *span(draw, TIMES))),
        some(draw, 4, lambda: quantity_row(draw)),
        draw.choice([(0, 0), *(span(draw, TIMES) for _ in range(3))]),
        draw.choice((0, 1, 2)),
    )


# --- conditions ----------------------------------------------------------------------------------

masks = st.sampled_from([0, -1, 0xFFFFFFFF, -(1 << 32)])
alsos = st.sampled_from([(), (2,), (1, 2, 9)])
bounds = st.none() | st.sampled_from([*TIMES, 10.5, -0.5, float("inf"), float("-inf"), 1e300])


DOMINANT = [
    KeyIs(row.v, row.w, -1, row.dominant, type) for type, rows in COMMON.items() for row in rows
]


leaves = st.one_of(
    st.builds(KeyIs, st.sampled_from(VALUES), st.sampled_from(OTHERS), masks),
    st.sampled_from(DOMINANT),
    st.builds(
        KeyBetween,
        st.sampled_from([0, *VALUES]),
        st.sampled_from([*VALUES, 9 << 50]),
        st.sampled_from(OTHERS),
        masks,
    ),
    st.builds(
        WordStarts,
        st.sampled_from((1, 2)),
        st.sampled_from(WORDS),
        alsos,
        st.lists(st.sampled_from(WORDS), max_size=2).map(tuple),
    ),
    st.builds(
        Whole,
        st.sampled_from((1, 2)),
        st.sampled_from([*WORDS, *TEXTS]),
        st.sampled_from([0, *DIGESTS]),
        alsos,
    ),
    st.builds(
        WholeLike,
        st.sampled_from((1, 2)),
        st.sampled_from([*WORDS[1:], *TEXTS, *INNER]),
        st.sampled_from(("is", "begins", "ends")),
        alsos,
    ),
    st.builds(
        Contains,
        st.sampled_from((1, 2)),
        st.sampled_from([*WORDS[1:], *TEXTS, *INNER]),
        alsos,
    ),
    st.builds(Interval, st.sampled_from((None, 1, 2)), bounds, bounds, bounds, bounds),
    st.builds(
        Interval,
        st.sampled_from((1, 2)),
        bounds,
        bounds,
        bounds,
        bounds,
        st.sampled_from([*UNITS, -1]),
        st.sampled_from(UNIT_MASKS),
    ),
    st.builds(
        Near,
        st.sampled_from((3, 4)),
        st.sampled_from(PARALLELS),
        st.sampled_from(MERIDIANS),
        st.sampled_from(METRES),
    ),
    st.builds(
        UpdatedWithin,
        st.none() | st.integers(1_800_000_000_000, 1_800_000_000_100),
        st.none() | st.integers(1_800_000_000_000, 1_800_000_000_100),
    ),
    st.builds(RidIn, st.lists(st.sampled_from([rid(k) for k in KEYS]), max_size=5).map(tuple)),
)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(AllOf, st.lists(inner, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=8,
)
owners = st.none() | st.frozensets(st.integers(0, 3), max_size=2)
facts = {
    "owners": owners,
    "facility": st.none() | st.sampled_from(FACILITIES),
    "in_care_of": st.none() | st.tuples(st.sampled_from(FACILITIES), st.sampled_from(MOMENTS)),
    "barred": st.frozensets(st.integers(0, 3), max_size=2),
}
grounds = st.one_of(
    st.builds(
        Ground,
        st.none() | st.frozensets(st.sampled_from([*TYPES, "Basic"]), max_size=2),
        **facts,
    ),
    st.builds(
        Ground,
        st.frozensets(st.sampled_from(TYPES), min_size=1, max_size=1),
        where=conditions,
        **facts,
    ),
)
restrictions = st.builds(Restriction, st.none() | st.lists(grounds, max_size=3).map(tuple))


@dataclass(frozen=True)
class Population:
    """What the resources are now; the cares that each of them, a deleted one too, tells of."""

    rows: dict[Key, IndexRows] = field(default_factory=dict)
    facility: dict[Key, int] = field(default_factory=dict)
    cares: dict[Key, tuple[Care, ...]] = field(default_factory=dict)

    def facts(self, key, updated, moment):
        rows = self.rows[key]
        return Facts(
            key.type,
            rows.owner,
            self.facility[key],
            self.cared_by(rows.owner, moment),
            lambda condition: holds(condition, rows, rid=rid(key), updated=updated),
        )

    def cared_by(self, patient, moment):
        told = (care for cares in self.cares.values() for care in cares)
        return frozenset(c.facility for c in told if c.patient == patient and c.until > moment)

    def reaches(self, restriction, key, updated):
        """Of each ground by itself, since each is of a moment of its own."""
        return restriction.is_free or any(
            ground.holds(self.facts(key, updated, (ground.in_care_of or (0, 0))[1]))
            for ground in restriction.grounds
        )


def cares_of(draw, key):
    """What a resource says of care: nothing, or in whose it is that whom are."""
    if draw.random() < 0.6:
        return None
    pairs = [(patient, facility) for patient in (1, 2, 3) for facility in FACILITIES]
    some = draw.sample(pairs, draw.randrange(3))
    return tuple(Care(rid(key), *pair, draw.choice((10, 20, FOREVER))) for pair in some)


@pytest.fixture
def population(store, run, clock):
    """Resources that were written, changed and deleted; and what is known of them now."""
    draw, there = random.Random(7), Population()
    now = there.rows

    async def live():
        for step in range(140):
            key = draw.choice(KEYS)
            was, rows = await newest(store, str(key)), made(draw, key.type)
            facility, cares = draw.choice((0, *FACILITIES)), cares_of(draw, key)
            gone = step > 60 and draw.random() < 0.2 and key in now
            new = version(
                str(key),
                "deleted" if gone else "a",
                rows=rows,
                before=now.get(key, IndexRows()),
                follows=was,
            )
            clock.now += 1
            await store.commit(unit(replace(new, facility=facility, cares=cares)))
            now[key] = rows
            there.facility[key] = facility or there.facility.get(key, 0)
            if cares is not None:
                there.cares[key] = cares
            if gone:
                del now[key]

    run(live())
    return there


def hoping(found, weights, size, page, dialect):
    """A walk is tried first wherever it can be."""
    first = rarest(found, weights)
    return Hoped(first) if size and first != WALK else first


@pytest.mark.parametrize(
    ("rare", "reach"), [(weighing.RARE, weighing.REACH), (2, weighing.REACH), (99, 6), (99, 99)]
)
def test_a_condition_finds_exactly_what_it_says(store, run, population, monkeypatch, rare, reach):
    """However rare a word must be for a search to begin with those who have it, and however far
    it is walked before."""
    monkeypatch.setattr(weighing, "RARE", rare)
    monkeypatch.setattr(weighing, "RARE_TOGETHER", rare)
    if rare == 99:
        monkeypatch.setattr(page_module, "REACH", reach)
        monkeypatch.setattr(choosing, "for_page", hoping)
    places = {key: run(newest(store, str(key))) for key in population.rows}

    @settings(
        max_examples=200,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        conditions,
        st.lists(st.sampled_from(TYPES), max_size=2, unique=True),
        restrictions,
        st.data(),
    )
    def law(condition, types, restriction, data):
        found = {
            key
            for key, rows in population.rows.items()
            if (not types or key.type in types)
            and population.reaches(restriction, key, places[key].updated)
            and holds(condition, rows, rid=rid(key), updated=places[key].updated)
        }
        select = Select(tuple(types), condition, restriction=restriction)
        numbers = sorted(rid(key) for key in found)
        assert list(run(store.find(select, at_most=100))) == numbers
        some = [rid(key) for key in KEYS[::2]]
        assert sorted(run(store.meeting(some, select))) == sorted({*some} & {*numbers})
        assert run(store.count(select)) == len(found)
        assert run(store.count(select, at_most=3)) == min(3, len(found))
        order = sorted(((places[k].main, rid(k)) for k in found), reverse=True)
        page = run(store.search(select, limit=4))
        met, bound = [Place(p.main, rid(p.key)) for p in page.rows], page.bound
        while page.more:
            page = run(store.search(select, limit=4, after=met[-1], bound=bound))
            met += [Place(p.main, rid(p.key)) for p in page.rows]
        assert met == order
        seen = run(store.newest(KEYS, restriction))
        assert {key for key in seen if key in population.rows} == {
            key
            for key in population.rows
            if population.reaches(restriction, key, places[key].updated)
        }

    law()


def test_in_whose_care_a_patient_is_goes_by_what_was_said_last(store, run, population):
    assert any(population.cares.values())
    patients = (0, 1, 2, 3)
    for moment in MOMENTS:
        told = run(store.cared_by(patients, moment))
        assert told == {patient: population.cared_by(patient, moment) for patient in patients}
