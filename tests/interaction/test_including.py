"""https://hl7.org/fhir/R4/search.html#include and #revinclude"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Key
from fhir_server.interaction import delete, read, search
from fhir_server.interaction.context import Limits
from fhir_server.store.contract import rid
from fhir_server.store.contract.reach import only
from tests.interaction.conftest import BASE, patient, put, searched, server_on, told, within


def made(type, id, /, **more):
    return {"resourceType": type, "id": id, **more}


def ref(text):
    return {"reference": text}


def visit(id, of, **more):
    where = {"status": "finished", "class": {"code": "AMB"}, "subject": ref(of)}
    return made("Encounter", id, **where, **more)


def finding(id, of, members=(), **more):
    told = {"status": "final", "code": {"text": "x"}, "subject": ref(of)}
    if members:
        told["hasMember"] = [ref(f"Observation/{member}") for member in members]
    return made("Observation", id, **told, **more)


def plan(id, url, version=None, library=()):
    told = {"url": url, "status": "draft", **({"version": version} if version else {})}
    if library:
        told["library"] = list(library)
    return made("PlanDefinition", id, **told)


def library(id, url, version):
    type = {"coding": [{"code": "logic-library"}]}
    return made("Library", id, url=url, version=version, status="draft", type=type)


WORLD = [
    made("Organization", "top", name="top"),
    made("Organization", "mid", name="mid", partOf=ref("Organization/top")),
    made("Organization", "low", name="low", partOf=ref("Organization/mid")),
    made("Location", "l", managingOrganization=ref("Organization/low")),
    patient("p", managingOrganization=ref("Organization/low")),
    patient("q", managingOrganization=ref(f"{BASE}/Organization/low")),
    patient("r", link=[{"other": ref("Patient/p"), "type": "seealso"}]),
    visit("e1", "Patient/p", location=[{"location": ref("Location/l")}]),
    visit("e2", "Patient/q", partOf=ref("Encounter/e1"), serviceProvider=ref("Organization/mid")),
    visit("gone", "Patient/nobody"),
    visit("far", "http://elsewhere.example/fhir/Patient/p"),
    visit(
        "held", "#a", contained=[patient("a")], serviceProvider=ref("urn:uuid:1"),
    ),
    finding("o1", "Patient/p", ["o2"], encounter=ref("Encounter/e1")),
    finding("o2", "Patient/p", ["o3"]),
    finding("o3", "Patient/q", ["o1"]),  # a circle
    made("Group", "g", type="person", actual=True, member=[{"entity": ref("Patient/p")}]),
    finding("og", "Group/g"),
    plan("a", "http://x.example/a", "1", ["http://x.example/lib|2", "http://x.example/none"]),
    plan("b", "http://x.example/b", None, ["http://x.example/lib"]),
    plan("c", "http://x.example/c", None, ["http://x.example/lib|9", "Library/lib3"]),
    library("lib1", "http://x.example/lib", "1"),
    library("lib2", "http://x.example/lib", "2"),
    library("lib3", "http://x.example/other", "1"),
]  # fmt: skip


def of(bundle, mode):
    entries = [e for e in bundle.get("entry", ()) if e["search"]["mode"] == mode]
    return " ".join(sorted(e.get("fullUrl", "?").removeprefix(f"{BASE}/") for e in entries))


# of what        what is asked                                            what is included
INCLUDED = [
    ("Encounter", "_id=e1&_include=Encounter:subject", "Patient/p"),
    ("Encounter", "_id=e1&_include=Encounter:patient", "Patient/p"),
    ("Encounter", "_id=e1,e2&_include=Encounter:subject", "Patient/p Patient/q"),
    ("Encounter", "_id=e1&_include=Encounter:subject:Patient", "Patient/p"),
    ("Encounter", "_id=e1&_include=Encounter:subject:Group", ""),
    ("Observation", "_id=og,o1&_include=Observation:subject:Group", "Group/g"),
    ("Observation", "_id=og,o1&_include=Observation:patient", "Patient/p"),
    ("Encounter", "_id=e1&_include=Encounter:*", "Location/l Patient/p"),
    ("Encounter", "_id=e2&_include=Encounter:*", "Encounter/e1 Organization/mid Patient/q"),
    ("Encounter", "_id=e2&_include=Encounter:*:Organization", "Organization/mid"),
    ("Encounter", "_id=e2&_include=Encounter:part-of", "Encounter/e1"),
    ("Encounter", "_id=e1,e2&_include=Encounter:part-of", ""),  # a match is no include
    ("Encounter", "_id=e1&_include=Encounter:subject&_include=Encounter:location",
     "Location/l Patient/p"),
    ("Encounter", "_id=e1&_include=Encounter:subject&_include:iterate=Patient:organization",
     "Organization/low Patient/p"),
    ("Patient", "_id=q&_include=Patient:organization", "Organization/low"),
    ("Organization", "_id=low&_include=Organization:partof", "Organization/mid"),
    ("Organization", "_id=low&_include:iterate=Organization:partof",
     "Organization/mid Organization/top"),
    ("Observation", "_id=o1&_include=Observation:has-member", "Observation/o2"),
    ("Observation", "_id=o1&_include:iterate=Observation:has-member",
     "Observation/o2 Observation/o3"),
    ("Encounter", "_id=gone&_include=Encounter:subject", ""),
    ("Encounter", "_id=far&_include=Encounter:subject", ""),
    ("Encounter", "_id=held&_include=Encounter:*", ""),
    ("", "_id=e1&_type=Encounter,Patient&_include=Encounter:subject", "Patient/p"),
    ("", "_id=e1&_include=Encounter:subject", "Patient/p"),
    # by what refers to them
    ("Patient", "_id=p&_revinclude=Encounter:subject", "Encounter/e1"),
    ("Patient", "_id=p&_revinclude=Encounter:patient:Patient", "Encounter/e1"),
    ("Patient", "_id=p&_revinclude=Observation:*", "Observation/o1 Observation/o2"),
    ("Patient", "_id=p&_revinclude=Patient:link", "Patient/r"),
    ("Patient", "_id=p,q&_revinclude=Encounter:subject&_revinclude=Group:member",
     "Encounter/e1 Encounter/e2 Group/g"),
    ("Patient", "_id=p&_revinclude=Encounter:subject&_revinclude:iterate=Observation:encounter",
     "Encounter/e1 Observation/o1"),
    ("Patient", "_id=p&_revinclude=Encounter:subject&_include:iterate=Encounter:location"
     "&_include:iterate=Location:organization", "Encounter/e1 Location/l Organization/low"),
    ("Organization", "_id=top&_revinclude:iterate=Organization:partof",
     "Organization/low Organization/mid"),
    ("Organization", "_id=low&_revinclude=Patient:organization", "Patient/p Patient/q"),
    ("Observation", "_id=o1&_revinclude:iterate=Observation:has-member",
     "Observation/o2 Observation/o3"),
    # definitions by their url
    ("PlanDefinition", "_id=a&_include=PlanDefinition:depends-on", "Library/lib2"),
    ("PlanDefinition", "_id=b&_include=PlanDefinition:depends-on", "Library/lib1 Library/lib2"),
    ("PlanDefinition", "_id=c&_include=PlanDefinition:*", "Library/lib3"),
    ("PlanDefinition", "_id=a&_include=PlanDefinition:depends-on:Library", "Library/lib2"),
    ("PlanDefinition", "_id=a&_include=PlanDefinition:depends-on:Measure", ""),
    ("Library", "_id=lib2&_revinclude=PlanDefinition:depends-on",
     "PlanDefinition/a PlanDefinition/b"),
    ("Library", "_id=lib1&_revinclude=PlanDefinition:depends-on", "PlanDefinition/b"),
    ("Library", "_id=lib3&_revinclude=PlanDefinition:depends-on", "PlanDefinition/c"),
]  # fmt: skip


async def test_what_is_asked_for_is_included_once_and_marked_so(world, here):
    for type, text, expected in INCLUDED:
        bundle = await searched(world, here, type, text)
        assert of(bundle, "include") == expected, text
        assert of(bundle, "outcome") == "", text
        matches = [e for e in bundle["entry"] if e["search"]["mode"] == "match"]
        assert bundle["total"] == len(matches), text
        modes = [entry["search"]["mode"] for entry in bundle["entry"]]
        assert modes == sorted(modes, reverse=True), text  # matches come first


async def test_a_page_brings_what_belongs_to_its_own_matches(world, here):
    seen, pairs = [], [("_id", "e1,e2"), ("_count", "1"), ("_include", "Encounter:subject")]
    while pairs:
        answer = await search.search(world, search.Ask(("Encounter",), pairs), here)
        bundle = told(answer)
        seen.append((of(bundle, "match"), of(bundle, "include")))
        onward = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        pairs = parse_qsl(urlsplit(onward[0]).query) if onward else None
    assert sorted(seen) == [("Encounter/e1", "Patient/p"), ("Encounter/e2", "Patient/q")]


async def test_what_is_deleted_is_not_included(world, here):
    await delete.delete(world, delete.Ask("Patient", "p"), here)
    await delete.delete(world, delete.Ask("Observation", "o2"), here)
    bundle = await searched(world, here, "Encounter", "_id=e1&_include=Encounter:subject")
    assert of(bundle, "include") == ""
    bundle = await searched(world, here, "Patient", "_id=q&_revinclude=Observation:subject")
    assert of(bundle, "include") == "Observation/o3"


async def test_a_versioned_reference_brings_the_version_it_names(server, here):
    first = (await put(server, here, patient("p", "Cũ"))).version_id
    second = (await put(server, here, patient("p", "Mới"))).version_id
    old = visit("old", f"Patient/p/_history/{first}")
    new = visit("new", f"{BASE}/Patient/p/_history/{second}")
    none = visit("none", "Patient/p/_history/9-nothing")
    await put(server, here, old, new, visit("plain", "Patient/p"), none)

    async def families(ids):
        text = f"_id={ids}&_include=Encounter:subject"
        bundle = await searched(server, here, "Encounter", text)
        found = [e["resource"] for e in bundle["entry"] if e["search"]["mode"] == "include"]
        return sorted((one["name"][0]["family"], one["meta"]["versionId"]) for one in found)

    assert await families("old") == [("Cũ", first)]
    assert await families("new") == [("Mới", second)]
    assert await families("plain,new") == [("Mới", second)]
    assert await families("old,plain") == [("Cũ", first), ("Mới", second)]
    assert await families("none") == []
    await delete.delete(server, delete.Ask("Patient", "p"), here)
    assert await families("old,plain") == [("Cũ", first)]
    text = "_id=p&_revinclude=Encounter:subject"
    await put(server, here, patient("p", "Lại"))
    bundle = await searched(server, here, "Patient", text)
    every = {"Encounter/new", "Encounter/old", "Encounter/plain", "Encounter/none"}
    assert set(of(bundle, "include").split()) == every


async def test_nothing_beyond_a_callers_reach_is_included(world, here):
    reach = only(owners=frozenset({rid(Key("Patient", "p"))}))
    mine = within(here, reach)
    both = "_include=Encounter:*&_revinclude=Observation:encounter"
    bundle = await searched(world, mine, "Encounter", both)
    assert of(bundle, "match") == "Encounter/e1"
    assert of(bundle, "include") == "Observation/o1 Patient/p"  # no Location: it is nobody's
    bundle = await searched(world, mine, "Observation", "_include:iterate=Observation:has-member")
    assert of(bundle, "match") == "Observation/o1 Observation/o2"
    assert of(bundle, "include") == ""  # o3 is another's
    types = only(types=frozenset({"Encounter"}))
    narrow = within(here, types)
    bundle = await searched(world, narrow, "Encounter", "_include=Encounter:*")
    assert of(bundle, "include") == ""


async def test_an_old_version_of_what_is_out_of_reach_is_not_included(server, here):
    await put(server, here, patient("p"), patient("q"))
    version = (await read.read(server, read.Ask(Key("Patient", "q")), here)).version_id
    seen = made(
        "Observation", "o", status="final", code={"text": "x"}, subject=ref("Patient/p"),
        focus=[ref(f"Patient/q/_history/{version}")],
    )  # fmt: skip
    await put(server, here, seen)
    reach = only(owners=frozenset({rid(Key("Patient", "p"))}))
    mine = within(here, reach)
    bundle = await searched(server, mine, "Observation", "_include=Observation:*")
    assert of(bundle, "include") == "Patient/p"
    bundle = await searched(server, here, "Observation", "_include=Observation:*")
    assert of(bundle, "include") == "Patient/p Patient/q"


# --- bounds --------------------------------------------------------------------------------------

BOUNDED = [
    # included  levels  what is asked                                                  how many
    (2, 10, "Patient?_id=p&_revinclude=Observation:subject&_revinclude=Encounter:subject", 2),
    (1, 10, "Encounter?_id=e2&_include=Encounter:*", 1),
    (1, 10, "Organization?_id=low&_include:iterate=Organization:partof", 1),
    (1, 10, "PlanDefinition?_id=b&_include=PlanDefinition:depends-on", 1),
    (50, 1, "Organization?_id=low&_include:iterate=Organization:partof", 1),
    (50, 1, "Organization?_id=top&_revinclude:iterate=Organization:partof", 1),
]


async def test_beyond_its_bounds_a_page_says_what_it_left_out(world, store, here):
    for most, levels, url, number in BOUNDED:
        small = server_on(store, limits=Limits(included=most, include_levels=levels))
        type, _, text = url.partition("?")
        bundle = await searched(small, here, type, text)
        assert len(of(bundle, "include").split()) == number, url
        (outcome,) = (e for e in bundle["entry"] if e["search"]["mode"] == "outcome")
        (issue,) = outcome["resource"]["issue"]
        assert (issue["severity"], issue["code"]) == ("warning", "too-costly")
        bound = "`included`" if levels > 1 else "`include_levels`"
        assert bound in issue["diagnostics"]
        assert str(most if levels > 1 else levels) in issue["diagnostics"]


async def test_exactly_as_many_as_the_bound_are_not_too_many(world, store, here):
    small = server_on(store, limits=Limits(included=2, include_levels=3))
    text = "_id=low&_include:iterate=Organization:partof"
    bundle = await searched(small, here, "Organization", text)
    assert of(bundle, "include") == "Organization/mid Organization/top"
    assert of(bundle, "outcome") == ""


async def test_a_level_asks_the_store_a_fixed_number_of_questions(world, here, monkeypatch):
    """However many matches and references there are."""
    questions = []
    for name in ("by_rid", "search", "at_versions", "newest", "at_version", "find"):
        real = getattr(world.store, name)

        async def counted(*args, real=real, name=name, **more):
            questions.append(name)
            return await real(*args, **more)

        monkeypatch.setattr(world.store, name, counted)
    await searched(world, here, "Encounter", "_include=Encounter:*&_revinclude=Observation:*")
    assert questions == ["search", "by_rid", "search"]
    questions.clear()
    await searched(world, here, "PlanDefinition", "_include=PlanDefinition:*")
    assert questions == ["search", "by_rid", "search"]


# --- with other result parameters ----------------------------------------------------------------


async def test_counting_includes_nothing(world, here):
    for text in ("_summary=count", "_count=0"):
        bundle = await searched(world, here, "Encounter", f"{text}&_include=Encounter:subject")
        assert "entry" not in bundle


async def test_elements_are_of_the_matches_and_a_summary_is_of_all(world, here):
    text = "_id=e1&_include=Encounter:subject&_elements=status"
    bundle = await searched(world, here, "Encounter", text)
    match, include = (entry["resource"] for entry in bundle["entry"])
    assert "subject" not in match
    assert include["managingOrganization"]
    assert "tag" not in include["meta"]
    text = "_id=q&_revinclude=Encounter:subject&_summary=true"
    bundle = await searched(world, here, "Patient", text)
    match, include = (entry["resource"] for entry in bundle["entry"])
    assert match["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert include["meta"]["tag"][0]["code"] == "SUBSETTED"
    with pytest.raises(Invalid, match="_summary=text"):
        await searched(world, here, "Patient", "_revinclude=Encounter:subject&_summary=text")


async def test_lenient_handling_leaves_out_each_wrong_include_and_says_so(world, here):
    lenient = replace(here, strict=False)
    text = "_id=e1&_include=Encounter:subjct&_include=Encounter:location&_include=Encountr:x"
    bundle = await searched(world, lenient, "Encounter", text)
    assert of(bundle, "include") == "Location/l"
    (self,) = (link["url"] for link in bundle["link"] if link["relation"] == "self")
    assert parse_qsl(urlsplit(self).query) == [("_id", "e1"), ("_include", "Encounter:location")]
    issues = bundle["entry"][-1]["resource"]["issue"]
    assert [("subjct" in i["diagnostics"], "Encountr" in i["diagnostics"]) for i in issues] == [
        (True, False),
        (False, True),
    ]
