"""test_packages — a package's definitions are stored, take effect, are listed and go away again.

https://hl7.org/fhir/R4/packages.html
"""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from fhir_server.conformance.package import layered, read_package
from fhir_server.conformance.r4_resources import canonicals_of_r4
from fhir_server.exchange import packages
from fhir_server.foundation.outcome import Conflict, NotFound
from fhir_server.interaction import create
from fhir_server.terminology.terms import Terms
from fhir_server.validation.validator import Validator
from tests.interaction.conftest import BY_ANYBODY

BASE = "http://hospital.example"


def value_set(id, **more):
    url = f"{BASE}/ValueSet/{id}"
    return {"resourceType": "ValueSet", "id": id, "url": url, "status": "active", **more}


def profile(id="ward-patient", **more):
    return {
        "resourceType": "StructureDefinition",
        "id": id,
        "url": f"{BASE}/StructureDefinition/{id}",
        "name": "WardPatient",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "derivation": "constraint",
        "differential": {"element": [{"id": "Patient.birthDate", "path": "Patient.birthDate"}]},
        **more,
    }


def package(folder, name="vn.wards", version="1.0.0", resources=(), needs=None):
    """A package as a registry gives it, read."""
    manifest = {
        "name": name,
        "version": version,
        "fhirVersions": ["4.0.1"],
        "dependencies": {"hl7.fhir.r4.core": "4.0.1", **(needs or {})},
    }
    files = {"package.json": manifest}
    files |= {f"{r['resourceType']}-{r['id']}.json": r for r in resources}
    path = folder / f"{name}-{version}.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for file, content in files.items():
            body = json.dumps(content).encode()
            member = tarfile.TarInfo(f"package/{file}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return read_package(path)


async def test_what_is_added_is_known_and_listed(server, tmp_path):
    added = package(tmp_path, resources=[value_set("a"), value_set("b")])
    assert added.problems == ()
    assert await packages.add(server, added) == packages.Added(stored=2)
    assert server.knowledge.current.canonicals.get(f"{BASE}/ValueSet/a")
    [found] = await packages.installed(server)
    assert (found.label, found.definitions) == ("vn.wards#1.0.0", 2)
    assert found.needs == (("hl7.fhir.r4.core", "4.0.1"),)


async def test_what_is_not_valid_is_told_and_the_rest_is_added(server, tmp_path):
    broken = value_set("b", status="nearly")
    added = await packages.add(server, package(tmp_path, resources=[value_set("a"), broken]))
    assert added.stored == 1
    [(which, [found])] = added.refused.items()
    assert (which, found.expression) == ("ValueSet/b", "ValueSet.status")


async def test_a_naming_system_has_no_url_and_is_added_all_the_same(server, tmp_path):
    naming = {
        "resourceType": "NamingSystem",
        "id": "wards",
        "name": "Wards",
        "status": "active",
        "kind": "identifier",
        "date": "2026-01-01",
        "uniqueId": [{"type": "uri", "value": f"{BASE}/sid/ward", "preferred": True}],
    }
    assert (await packages.add(server, package(tmp_path, resources=[naming]))).stored == 1


async def test_adding_again_changes_nothing(server, tmp_path):
    added = package(tmp_path, resources=[value_set("a")])
    await packages.add(server, added)
    before = await server.store.census()
    await packages.add(server, added)
    assert await server.store.census() == before
    [stored] = [s async for s in packages.each(server, {"ValueSet"})]
    assert stored.generation == 1


async def test_two_packages_may_use_one_id_for_different_things(server, tmp_path):
    other = value_set("a") | {"url": "http://other.example/ValueSet/a"}
    await packages.add(server, package(tmp_path, resources=[value_set("a")]))
    await packages.add(server, package(tmp_path, name="other", resources=[other]))
    canonicals = server.knowledge.current.canonicals
    assert canonicals.get(f"{BASE}/ValueSet/a")["url"] == f"{BASE}/ValueSet/a"
    assert canonicals.get("http://other.example/ValueSet/a")["id"].startswith("a-")


async def test_what_is_removed_is_known_no_more(server, tmp_path):
    await packages.add(server, package(tmp_path, resources=[value_set("a")]))
    await packages.add(server, package(tmp_path, name="other", resources=[value_set("b")]))
    assert await packages.remove(server, "vn.wards") == 1
    canonicals = server.knowledge.current.canonicals
    assert canonicals.get(f"{BASE}/ValueSet/a") is None
    assert canonicals.get(f"{BASE}/ValueSet/b")
    assert [one.name for one in await packages.installed(server)] == ["other"]


async def test_a_package_another_one_needs_stays(server, tmp_path):
    await packages.add(server, package(tmp_path, resources=[value_set("a")]))
    above = package(tmp_path, "above", resources=[value_set("b")], needs={"vn.wards": "1.0.0"})
    await packages.add(server, above)
    with pytest.raises(Conflict, match=r"needed by `above#1\.0\.0`"):
        await packages.remove(server, "vn.wards")
    assert await packages.remove(server, "vn.wards", even_if_needed=True) == 1


async def test_of_two_versions_one_must_be_named(server, tmp_path):
    for version in ("1.0.0", "2.0.0"):
        resource = value_set(f"a-{version[0]}", version=version)
        await packages.add(server, package(tmp_path, version=version, resources=[resource]))
    with pytest.raises(Conflict, match="Say which"):
        await packages.remove(server, "vn.wards")
    assert await packages.remove(server, "vn.wards#1.0.0") == 1
    with pytest.raises(NotFound, match=r"There are: `vn\.wards#2\.0\.0`"):
        await packages.remove(server, "vn.wards#1.0.0")


async def test_a_profile_is_tried_on_what_is_stored_before_it_is_switched_on(
    server,
    tmp_path,
):
    strict = profile(
        differential={"element": [{"id": "p", "path": "Patient.birthDate", "min": 1}]},
    )
    tried = package(tmp_path, resources=[strict])
    for number in range(6):
        patient = {"resourceType": "Patient", "name": [{"text": "Lý"}], "active": True}
        if number < 2:
            patient["birthDate"] = "1990-01-01"
        await create.create(server, create.Ask("Patient", patient), BY_ANYBODY)
    canonicals = layered(canonicals_of_r4(), [tried])
    validator = Validator(server.definitions, canonicals=canonicals, terms=Terms(canonicals))
    profiles = packages.profiles_of(canonicals, tried)
    [result] = await packages.against_stored(server, validator, profiles)
    assert (result.type, result.looked_at, result.refused) == ("Patient", 6, 4)
    assert sum(result.rules.values()) == 4
    [few] = await packages.against_stored(server, validator, profiles, at_most=3)
    assert few.looked_at == 3
