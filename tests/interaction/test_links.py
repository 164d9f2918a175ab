"""Chains, reverse chains and lists find what a slow and simple reading of the resources finds.

https://hl7.org/fhir/R4/search.html#chaining
https://hl7.org/fhir/R4/search.html#has
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from fhir_server.foundation.outcome import FhirError, TooCostly
from fhir_server.foundation.resource import Key
from fhir_server.interaction import (
    delete,
    holding,
    resolving,
    search,
    sorting,
    stretches,
)
from fhir_server.store.contract import EVERYTHING, rid
from fhir_server.store.contract.reach import Facts, only
from tests.interaction.conftest import BASE, patient, put, told, within

FAMILIES = ("Nguyễn", "Trần", "Lê")
CODES = ("8480-6", "8462-4")
LOINC = "http://loinc.org"
AMB = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}

# Where each type refers to: the parameter, the element, and what it may refer to.
LINKS = {
    "Patient": {"organization": ("managingOrganization", ("Organization",))},
    "Organization": {"partof": ("partOf", ("Organization",))},
    "Encounter": {
        "subject": ("subject", ("Patient", "Group")),
        "patient": ("subject", ("Patient",)),
        "service-provider": ("serviceProvider", ("Organization",)),
        "part-of": ("partOf", ("Encounter",)),
    },
    "Observation": {
        "subject": ("subject", ("Patient", "Group")),
        "patient": ("subject", ("Patient",)),
        "encounter": ("encounter", ("Encounter",)),
        "performer": ("performer", ("Patient", "Organization")),
    },
    "Group": {"member": ("member", ("Patient",))},
}


def born(resource, value):
    year = int(resource["birthDate"][:4])
    return year >= int(value[2:]) if value.startswith("ge") else year == int(value)


# What is asked at the end of a chain, and whether a resource meets it.
ENDS = {
    "Patient": [
        ("family", FAMILIES, lambda r, v: r["name"][0]["family"] == v),
        ("gender", ("male", "female"), lambda r, v: r.get("gender") == v),
        ("gender:not", ("male",), lambda r, v: r.get("gender") != v),
        ("gender:missing", ("true",), lambda r, _: "gender" not in r),
        ("birthdate", ("1990", "ge1995"), born),
    ],
    "Organization": [("name", ("Trạm", "Viện"), lambda r, v: r["name"] == v)],
    "Encounter": [("status", ("finished", "planned"), lambda r, v: r["status"] == v)],
    "Observation": [("code", CODES, lambda r, v: r["code"]["coding"][0]["code"] == v)],
    "Group": [("type", ("person", "animal"), lambda r, v: r["type"] == v)],
}


# --- what is asked -------------------------------------------------------------------------------


@dataclass(frozen=True)
class To:
    """`of` refers to a resource of one of these types that meets `rest`."""

    code: str
    types: tuple[str, ...]
    named: bool
    rest: object


@dataclass(frozen=True)
class By:
    """A resource of `type` that meets `rest` refers to it."""

    type: str
    code: str
    rest: object


@dataclass(frozen=True)
class End:
    code: str
    value: str


def drawn(draw, type, links):
    """A criterion on a type, through so many links."""
    if links == 0:
        code, values, _ = draw.choice(ENDS[type])
        return End(code, draw.choice(values))
    back = [(t, c) for t, codes in LINKS.items() for c in codes if type in codes[c][1]]
    if LINKS[type] and (not back or draw.random() < 0.6):
        code = draw.choice(sorted(LINKS[type]))
        target = draw.choice(LINKS[type][code][1])
        return To(code, (target,), True, drawn(draw, target, links - 1))
    source, code = draw.choice(back)
    return By(source, code, drawn(draw, source, links - 1))


def written(asked):
    """The name of the parameter, and its value."""
    if isinstance(asked, End):
        return asked.code, asked.value
    name, value = written(asked.rest)
    if isinstance(asked, By):
        return f"_has:{asked.type}:{asked.code}:{name}", value
    return f"{asked.code}:{asked.types[0]}.{name}", value


class World:
    """All resources as they are now, and what a caller may see of them."""

    def __init__(self, server, restriction=EVERYTHING):
        self.server, self.restriction, self.resources = server, restriction, {}

    def seen(self):
        for key, resource in self.resources.items():
            owner = self.server.indexer.rows(resource).owner
            if self.restriction.allows(Facts(key.type, owner)):
                yield key, resource

    def find(self, type, asked):
        return sorted(k.id for k, r in self.seen() if k.type == type and self.meets(k, r, asked))

    def meets(self, key, resource, asked):
        if isinstance(asked, End):
            holds = next(holds for code, _, holds in ENDS[key.type] if code == asked.code)
            return holds(resource, asked.value)
        if isinstance(asked, To):
            targets = refers(resource, LINKS[key.type][asked.code][0])
            return any(
                k in targets and k.type in asked.types and self.meets(k, r, asked.rest)
                for k, r in self.seen()
            )
        return any(
            k.type == asked.type
            and key in refers(r, LINKS[k.type][asked.code][0])
            and key.type in LINKS[k.type][asked.code][1]
            and self.meets(k, r, asked.rest)
            for k, r in self.seen()
        )


def refers(resource, element):
    value = resource.get(element) or []
    texts = [(one.get("entity") or one)["reference"] for one in (
        value if isinstance(value, list) else [value]
    )]  # fmt: skip
    return {
        Key(*text.removeprefix(f"{BASE}/").split("/")[:2])
        for text in texts
        if text.startswith(BASE) or "://" not in text
    }


def peopled(draw):
    """Resources that refer to one another in every way a reference is written."""
    patients = [f"Patient/p{n}" for n in range(10)]
    organizations = [f"Organization/o{n}" for n in range(3)]
    groups = ["Group/g0", "Group/g1"]
    encounters = [f"Encounter/e{n}" for n in range(16)]

    def to(*targets):
        text = draw.choice(targets)
        form = draw.choice(("{}", "{}", "{}", BASE + "/{}", "{}/_history/1", "http://x.org/{}"))
        return {"reference": form.format(text)}

    for name in organizations:
        whole = {"partOf": to(*organizations)} if draw.random() < 0.5 else {}
        yield {**named(name), "name": draw.choice(("Trạm", "Viện")), **whole}
    for name in patients:
        more = {"gender": draw.choice(("male", "female"))} if draw.random() < 0.8 else {}
        if draw.random() < 0.7:
            more["managingOrganization"] = to(*organizations)
        year = str(draw.choice((1990, 1995, 2000)))
        yield patient(name.split("/")[1], draw.choice(FAMILIES), birthDate=year, **more)
    for name in groups:
        members = [{"entity": to(*patients)} for _ in range(3)]
        kind = draw.choice(("person", "animal"))
        yield {**named(name), "type": kind, "actual": True, "member": members}
    for name in encounters:
        more = {"partOf": to(*encounters)} if draw.random() < 0.4 else {}
        yield {
            **named(name),
            "status": draw.choice(("finished", "planned")),
            "class": AMB,
            "subject": to(*patients, *patients, *groups, "Patient/nobody"),
            "serviceProvider": to(*organizations),
            **more,
        }
    for n in range(20):
        more = {"subject": to(*patients, *groups)} if draw.random() < 0.7 else {}
        yield {
            **named(f"Observation/b{n}"),
            "status": "final",
            "code": {"coding": [{"system": LOINC, "code": draw.choice(CODES)}]},
            "encounter": to(*encounters),
            "performer": [to(*patients, *organizations)],
            **more,
        }


def named(name):
    type, id = name.split("/")
    return {"resourceType": type, "id": id}


@pytest.fixture
def world(server, here, run):
    """Some of it changed and some deleted since."""
    draw, made = random.Random(11), World(server)

    async def live():
        resources = list(peopled(draw))
        for resource in resources:
            await put(server, here, resource)
            made.resources[Key(resource["resourceType"], resource["id"])] = resource
        for resource in peopled(random.Random(12)):
            if draw.random() < 0.3:
                await put(server, here, resource)
                made.resources[Key(resource["resourceType"], resource["id"])] = resource
        for key in ("Patient/p3", "Encounter/e5", "Organization/o2", "Observation/b7"):
            gone = Key(*key.split("/"))
            await delete.delete(server, delete.Ask(*gone), here)
            del made.resources[gone]

    run(live())
    return made


REACH = {
    "everything": EVERYTHING,
    "two patients": only(owners=frozenset({rid(Key("Patient", i)) for i in ("p0", "p1")})),
    "two patients and what is nobody's": only(
        owners=frozenset({0, *(rid(Key("Patient", i)) for i in ("p2", "p4"))})
    ),
    "no Organization": only(types=frozenset(LINKS) - {"Organization"}),
}
# How many at the end of a link are few, how many of them are read, and how long a stretch is.
PLANS = {
    "few": (1000, 300, 500),
    "many": (0, 0, 500),
    "many, in stretches of three": (0, 0, 3),
    "few of them owned": (1000, 0, 500),
    "more than two": (2, 1, 2),
}


@pytest.fixture
def planned(monkeypatch):
    def plan(name):
        few, read, stretch = PLANS[name]
        monkeypatch.setattr(resolving, "FEW", few)
        monkeypatch.setattr(resolving, "READ", read)
        monkeypatch.setattr(stretches, "LONGEST", stretch)
        monkeypatch.setattr(holding, "AT_ONCE", min(stretch, 4))

    return plan


async def found(server, here, type, *pairs):
    answer = await search.search(server, search.Ask((type,), [*pairs, ("_count", "500")]), here)
    return sorted(e["resource"]["id"] for e in told(answer).get("entry", []))


@pytest.mark.parametrize("reach", REACH)
@pytest.mark.parametrize("plan", PLANS)
async def test_links_find_what_a_slow_reading_finds(server, here, world, planned, plan, reach):
    planned(plan)
    world.restriction = REACH[reach]
    here = within(here, REACH[reach])
    draw, met = random.Random(f"{plan} {reach}"), 0
    for _ in range(40):
        type = draw.choice(sorted(LINKS))
        asked = drawn(draw, type, draw.choice((1, 1, 2, 2, 3)))
        expected = world.find(type, asked)
        assert await found(server, here, type, written(asked)) == expected, written(asked)
        met += bool(expected)
    assert met > 1


async def test_links_that_are_not_resolved_find_the_same(server, here, world, monkeypatch):
    """As a write transaction asks them: in one statement."""

    async def as_asked(_, select):
        return select

    monkeypatch.setattr(search, "resolved", as_asked)
    draw = random.Random(5)
    for _ in range(60):
        type = draw.choice(sorted(LINKS))
        asked = drawn(draw, type, draw.choice((1, 2, 3)))
        expected = world.find(type, asked)
        assert await found(server, here, type, written(asked)) == expected, written(asked)


async def test_criteria_with_links_are_combined(server, here, world):
    draw = random.Random(6)
    for _ in range(30):
        asked = [drawn(draw, "Encounter", draw.choice((0, 1, 2))) for _ in range(2)]
        both = set.intersection(*(set(world.find("Encounter", one)) for one in asked))
        assert await found(server, here, "Encounter", *map(written, asked)) == sorted(both)


async def test_links_are_denied_and_alternatives(server, here, world, planned):
    planned("many, in stretches of three")
    one = To("service-provider", ("Organization",), True, End("name", "Viện"))
    other = To("part-of", ("Encounter",), True, End("status", "planned"))
    one, other = (set(world.find("Encounter", asked)) for asked in (one, other))
    every = {key.id for key in world.resources if key.type == "Encounter"}
    late = {id for id in every if world.resources[Key("Encounter", id)]["status"] == "planned"}
    a, b, c = 'service-provider.name eq "Viện"', "part-of.status eq planned", "status eq planned"
    for text, expected in (
        (f"not ({a})", every - one),
        (f"{a} or {b}", one | other),
        (f"{a} or {c}", one | late),
        (f"({a} or {b}) and {c}", (one | other) & late),
        (f"not ({a} or not ({b} and {c}))", (other & late) - one),
    ):
        assert set(await found(server, here, "Encounter", ("_filter", text))) == expected, text


async def test_a_chain_through_several_types_asks_all_that_know_the_rest(server, here, world):
    people = set(world.find("Encounter", To("subject", ("Patient",), True, End("family", "Lê"))))
    assert set(await found(server, here, "Encounter", ("subject.family", "Lê"))) == people
    either = {
        key.id
        for key, resource in world.seen()
        if key.type == "Observation"
        for link in refers(resource, "subject")
        if link in world.resources
    }
    asked = ("subject._lastUpdated", "gt2000")
    assert set(await found(server, here, "Observation", asked)) == either


# --- lists ---------------------------------------------------------------------------------------


async def test_a_list_finds_its_items(server, here, world):
    items = ["Patient/p0", f"{BASE}/Patient/p1", "Encounter/e0", "Patient/p3", "Patient/none"]
    listed = {
        **named("List/42"),
        "status": "current",
        "mode": "working",
        "entry": [{"item": {"reference": item}} for item in items],
    }
    await put(server, here, listed)
    for number in (300, 0):
        resolving.READ, before = number, resolving.READ
        try:
            assert await found(server, here, "Patient", ("_list", "42")) == ["p0", "p1"]
            assert await found(server, here, "Encounter", ("_list", "42,43")) == ["e0"]
            assert await found(server, here, "Patient", ("_list", "43")) == []
            assert await found(server, here, "Encounter", ("patient._list", "42")) == sorted(
                k.id
                for k, r in world.resources.items()
                if k.type == "Encounter"
                and refers(r, "subject") & {Key("Patient", "p0"), Key("Patient", "p1")}
            )
        finally:
            resolving.READ = before
    await delete.delete(server, delete.Ask("List", "42"), here)
    assert await found(server, here, "Patient", ("_list", "42")) == []


# --- filters -------------------------------------------------------------------------------------


async def test_a_filter_in_brackets_is_met_by_the_resource_that_meets_the_rest(server, here):
    for id, family, gender in (("a", "Lê", "male"), ("b", "Trần", "female")):
        await put(server, here, patient(id, family, gender=gender))
    members = [{"entity": {"reference": f"Patient/{id}"}} for id in "ab"]
    group = {**named("Group/g"), "type": "person", "actual": True, "member": members}
    await put(server, here, group)
    for text, expected in (
        ('member.family eq "Lê" and member.gender eq female', ["g"]),
        ('member[gender eq female].family eq "Lê"', []),
        ('member[gender eq male].family eq "le"', ["g"]),
        ('not (member[gender eq male].family eq "Lê")', []),
    ):
        assert await found(server, here, "Group", ("_filter", text)) == expected


# --- pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["patient.family", "service-provider.name"])
@pytest.mark.parametrize("plan", PLANS)
async def test_a_walk_meets_every_match_once_whatever_comes_meanwhile(
    server, here, planned, plan, link
):
    planned(plan)

    async def visit(id, of, start="2024-01-01", at="Organization/here"):
        encounter = {**named(f"Encounter/{id}"), "status": "finished", "class": AMB}
        encounter |= {"subject": {"reference": of}, "period": {"start": start}}
        await put(server, here, encounter | {"serviceProvider": {"reference": at}})

    for id, name in (("here", "Le"), ("there", "Tran")):
        await put(server, here, {**named(f"Organization/{id}"), "name": name})
    await put(server, here, patient("other", "Trần"))
    for n in range(4):
        await put(server, here, patient(f"p{n}", "Lê"))
        for visited in range(5):
            await visit(f"e{n}{visited}", f"Patient/p{n}", f"2024-0{n + 1}-1{visited}")
            day = f"2024-0{n + 1}-0{visited + 1}"
            await visit(f"x{n}{visited}", "Patient/other", day, "Organization/there")
    pairs, seen, pages = [(link, "le"), ("_count", "4")], [], 0
    while pairs is not None:
        bundle = told(await search.search(server, search.Ask(("Encounter",), pairs), here))
        seen += [entry["resource"]["id"] for entry in bundle.get("entry", [])]
        pages += 1
        await put(server, here, patient("p1", "Lê", gender="male" if pages % 2 else "female"))
        await put(server, here, patient(f"new{pages}", "Lê"))
        await visit(f"new{pages}", "Patient/p2", "2024-02-20")
        await visit("e12", "Patient/p1", f"2023-01-{pages:02}")
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        pairs = parse_qsl(urlsplit(links["next"]).query) if "next" in links else None
    assert sorted(seen) == sorted(f"e{n}{visited}" for n in range(4) for visited in range(5))


SORTS = ("", "-date", "date", "-_lastUpdated", "_lastUpdated", "status", "-status,date")


@pytest.mark.parametrize("few", [0, 250], ids=["walked", "collected"])
@pytest.mark.parametrize("sort", SORTS)
async def test_pages_of_stretches_are_those_of_one_statement(
    server, here, planned, monkeypatch, sort, few
):
    """Forward to the last page and back to the first, in every order."""
    for name in ("Viện", "Trạm"):
        await put(server, here, {**named(f"Organization/{name[0]}"), "name": name})
    for n in range(21):
        visit = {**named(f"Encounter/e{n}"), "status": ("finished", "planned")[n % 2]}
        visit |= {"period": {"start": f"2024-01-{n // 2 + 1:02}"}} if n % 7 else {}
        at = {"reference": f"Organization/{'TVV'[n % 3]}"}
        await put(server, here, visit | {"class": AMB, "serviceProvider": at})
    monkeypatch.setattr(sorting, "FEW", few)
    monkeypatch.setattr(sorting, "FEW_TIMES", few)
    asked = [("service-provider.name", "Viện"), ("status", "finished,planned"), ("_count", "2")]
    asked += [("_sort", sort)] if sort else []

    async def walked():
        pages, pairs, onward = [], asked, "next"
        while pairs is not None:
            bundle = told(await search.search(server, search.Ask(("Encounter",), pairs), here))
            links = {link["relation"]: link["url"] for link in bundle["link"]}
            found = [entry["resource"]["id"] for entry in bundle.get("entry", [])]
            pages.append((found, sorted(links)))
            onward = onward if onward in links else "previous"
            pairs = parse_qsl(urlsplit(links[onward]).query) if onward in links else None
        return pages

    planned("many, in stretches of three")
    in_stretches = await walked()
    monkeypatch.setattr(stretches, "parted", lambda where: holding.Parted(where, None))
    assert in_stretches == await walked()
    assert [len(found) for found, _ in in_stretches] == [2] * 13  # seven onward, six back


async def test_where_few_are_linked_to_many_the_store_gathers_them(
    server, here, world, planned, monkeypatch
):
    planned("many, in stretches of three")
    asked = To("service-provider", ("Organization",), True, End("name", "Viện"))
    expected = world.find("Encounter", asked)
    for bound in ((stretches, "LOOK", 3), (stretches, "WALKED", 3), (holding, "PATIENCE", -1.0)):
        monkeypatch.setattr(*bound)
        assert await found(server, here, "Encounter", written(asked)) == expected


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [(stretches, "WALKED", 3), (holding, "PATIENCE", -1.0)])
async def test_a_link_that_is_followed_too_far_is_named(
    server, here, world, planned, monkeypatch, bound
):
    planned("many, in stretches of three")
    monkeypatch.setattr(*bound)
    monkeypatch.setattr(stretches, "GATHERED", 0)
    with pytest.raises(TooCostly, match=r"`service-provider\.name` leads .* a patient") as refused:
        await found(server, here, "Encounter", ("service-provider.name", "Viện"))
    assert ("3 resources were asked" in str(refused.value)) is (bound[1] == "WALKED")
    through = ("encounter.service-provider.name", "Viện")
    with pytest.raises(TooCostly, match=r"`encounter\.service-provider\.name` leads"):
        await found(server, here, "Observation", through)


async def test_what_takes_too_long_says_which_criterion_it_was(server, here, monkeypatch):
    async def long(*_, **__):
        raise TooCostly("The database needed too long.")

    monkeypatch.setattr(resolving._Resolving, "of", long)
    with pytest.raises(TooCostly, match=r"`patient\.family` leads through too many"):
        await found(server, here, "Encounter", ("patient.family", "Lê"))


async def test_a_named_query_is_refused_however_lenient(server, here):
    with pytest.raises(FhirError, match="`_query` names `x`"):
        await found(server, replace(here, strict=False), "Patient", ("_query", "x"))
