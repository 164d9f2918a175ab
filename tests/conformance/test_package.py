"""Packages, folders and loose files of definitions are read, whatever is in them.

https://hl7.org/fhir/R4/packages.html
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from fhir_server.conformance.canonicals import Canonicals, of_resource
from fhir_server.conformance.package import (
    Bounds,
    Package,
    folder_of_definitions,
    in_dependency_order,
    layered,
    read_package,
    unresolved,
)
from fhir_server.conformance.package.order import satisfies
from fhir_server.conformance.package.shelf import Shelf
from fhir_server.conformance.r4_resources import canonicals_of_r4
from fhir_server.validation.messages import catalogue, issue

BASE = "http://example.org/"
MANIFEST = {
    "name": "example.fhir.clinic",
    "version": "1.2.0",
    "fhirVersions": ["4.0.1"],
    "dependencies": {"hl7.fhir.r4.core": "4.0.1"},
}


def value_set(id, **more):
    url = f"{BASE}ValueSet/{id}"
    return {"resourceType": "ValueSet", "id": id, "url": url, "status": "active", **more}


def profile(id, base="http://hl7.org/fhir/StructureDefinition/Patient", **more):
    return {
        "resourceType": "StructureDefinition",
        "id": id,
        "url": f"{BASE}StructureDefinition/{id}",
        "name": id.title(),
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": base,
        "derivation": "constraint",
        "differential": {"element": [{"id": "Patient", "path": "Patient"}]},
        **more,
    }


def content(value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def packed(files, *, format=tarfile.PAX_FORMAT):
    """A .tgz of names and what they hold; a TarInfo stands for itself."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz", format=format) as archive:
        for name, held in files:
            if isinstance(held, tarfile.TarInfo):
                archive.addfile(held)
                continue
            member = tarfile.TarInfo(name)
            member.size = len(content(held))
            archive.addfile(member, io.BytesIO(content(held)))
    return written.getvalue()


def package_of(*files, **manifest):
    return packed([("package/package.json", {**MANIFEST, **manifest}), *files])


@pytest.fixture
def read(tmp_path):
    def reading(held, name="clinic.tgz", bounds=None):
        path = tmp_path / name
        path.write_bytes(content(held))
        found = read_package(path, bounds=bounds)
        tellable(found.problems)
        return found

    return reading


def tellable(problems):
    """Every problem has its sentences, with all they name."""
    for problem in problems:
        told = issue(problem.key, file=problem.file, **problem.said)
        assert told.diagnostics
        assert told.vietnamese
        json.dumps(told.diagnostics).encode()


def keys(problems):
    return [problem.key for problem in problems]


def urls(package):
    return [entry.url.removeprefix(BASE) for entry in package.entries]


# --- good packages -------------------------------------------------------------------------------


def test_a_package_gives_its_definitions_and_nothing_else(read):
    found = read(
        package_of(
            ("package/ValueSet-a.json", value_set("a", version="1")),
            ("package/StructureDefinition-b.json", profile("b")),
            ("package/Patient-example.json", {"resourceType": "Patient", "id": "x"}),
            ("package/.index.json", {"files": []}),
            ("package/example/ValueSet-c.json", value_set("c")),
            ("package/other/ig-r4.json", [1]),
            ("package/openapi/x.json", {"openapi": "3"}),
            ("package/xml/ValueSet-d.xml", b"<x/>"),
            ("package/ValueSet-e.xml", b"<x/>"),
            ("README.md", b"hello"),
        )
    )
    assert (found.name, found.version, found.fhir_versions) == (
        "example.fhir.clinic",
        "1.2.0",
        ("4.0.1",),
    )
    assert found.identity == "example.fhir.clinic#1.2.0"
    assert found.dependencies == {"hl7.fhir.r4.core": "4.0.1"}
    assert found.problems == ()
    assert urls(found) == ["ValueSet/a", "StructureDefinition/b"]
    assert found.entries[0].version == "1"
    assert {entry.source for entry in found.entries} == {"example.fhir.clinic#1.2.0"}
    assert found.entries[1].load() == profile("b")


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_every_way_of_writing_a_tar_is_read_long_names_too(read, format):
    name = f"package/ValueSet-{'x' * (70 if format == tarfile.USTAR_FORMAT else 150)}.json"
    files = [("package/package.json", MANIFEST), (name, value_set("a"))]
    assert urls(read(packed(files, format=format))) == ["ValueSet/a"]


def test_the_manifest_may_come_last_and_name_its_versions_otherwise(read):
    manifest = {"name": "x.y", "version": "1.0.0", "fhir-version-list": ["3.0.2", "4.0.0"]}
    found = read(packed([("package/a.json", value_set("a")), ("package/package.json", manifest)]))
    assert (found.identity, found.fhir_versions) == ("x.y#1.0.0", ("3.0.2", "4.0.0"))
    assert urls(found) == ["ValueSet/a"]


def test_numbers_keep_their_digits(read):
    concept = b'{"code":"a","property":[{"code":"p","valueDecimal":1.50}]}'
    body = b'{"resourceType":"CodeSystem","url":"http://example.org/c","concept":[%s]}' % concept
    [entry] = read(package_of(("package/c.json", body))).entries
    assert str(entry.load()["concept"][0]["property"][0]["valueDecimal"]) == "1.50"


def test_an_unpacked_package_is_a_package(tmp_path):
    (tmp_path / "package" / "example").mkdir(parents=True)
    for name, held in (("package.json", MANIFEST), ("a.json", value_set("a"))):
        (tmp_path / "package" / name).write_bytes(content(held))
    (tmp_path / "package" / "example" / "b.json").write_bytes(content(value_set("b")))
    for place in (tmp_path, tmp_path / "package"):
        found = read_package(place)
        assert (found.identity, urls(found)) == ("example.fhir.clinic#1.2.0", ["ValueSet/a"])
        assert found.problems == ()


def test_a_loose_file_is_a_definition_or_a_bundle_of_them(read):
    assert urls(read(value_set("a"), "a.json")) == ["ValueSet/a"]
    xml = '<ValueSet xmlns="http://hl7.org/fhir"><url value="http://example.org/ValueSet/x"/>'
    assert urls(read(f"{xml}<status value='active'/></ValueSet>".encode(), "a.xml")) == [
        "ValueSet/x"
    ]
    entries = [{"resource": value_set("a")}, {"resource": {"resourceType": "Patient"}}, {}]
    entries += ["x", {"resource": 5}, {"resource": profile("b")}]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    assert urls(read(bundle, "bundle.json")) == ["ValueSet/a", "StructureDefinition/b"]


def test_a_naming_system_is_known_by_the_system_it_is_about(read):
    ids = [{"type": "oid", "value": "1.2"}, {"type": "uri", "value": "http://example.org/id"}]
    naming = {"resourceType": "NamingSystem", "status": "active", "uniqueId": ids}
    assert urls(read(naming, "n.json")) == ["id"]


# --- folders -------------------------------------------------------------------------------------


def test_a_folder_gives_its_packages_first_then_all_that_lies_loose(tmp_path):
    top = tmp_path / "profiles"
    for name, held in (
        ("b.json", profile("b")),
        ("deeper/still/a.json", value_set("a")),
        ("examples/c.json", value_set("c")),
        ("deeper/examples/d.json", value_set("d")),
        (".hidden/e.json", value_set("e")),
        ("README.md", b"# hello"),
        ("list.csv", b"a,b"),
        ("list.json", [{"key": "a"}]),
        ("policy.toml", b"x = 1"),
        ("clinic.tgz", package_of(("package/p.json", value_set("p")))),
        ("unpacked/package/package.json", {**MANIFEST, "name": "other"}),
        ("unpacked/package/q.json", value_set("q")),
    ):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content(held))
    found = folder_of_definitions(top)
    assert [(package.name, urls(package)) for package in found] == [
        ("example.fhir.clinic", ["ValueSet/p"]),
        ("other", ["ValueSet/q"]),
        ("profiles", ["StructureDefinition/b", "ValueSet/a"]),
    ]
    assert [package.problems for package in found] == [(), (), ()]


def test_a_folder_without_definitions_is_no_problem(tmp_path):
    (tmp_path / "list.csv").write_text("a,b")
    assert folder_of_definitions(tmp_path) == []


def test_a_folder_that_links_to_itself_ends(tmp_path):
    (tmp_path / "a.json").write_bytes(content(value_set("a")))
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere.json")
    os.mkfifo(tmp_path / "pipe.json")
    [found] = folder_of_definitions(tmp_path)
    assert urls(found) == ["ValueSet/a"]
    assert sorted(keys(found.problems)) == ["package-unreadable.no-file"] * 2
    assert urls(read_package(tmp_path)) == ["ValueSet/a"]


def test_what_was_read_is_there_when_the_file_is_gone(tmp_path):
    path = tmp_path / "clinic.tgz"
    path.write_bytes(package_of(("package/a.json", value_set("a"))))
    [entry] = read_package(path).entries
    path.unlink()
    assert entry.load() == value_set("a")


def test_a_large_package_does_not_sit_in_memory():
    shelf = Shelf(in_memory=1_000)
    loads = [
        shelf.put(content(value_set(f"v{number}", title=os.urandom(200).hex())))
        for number in range(300)
    ]
    assert sum(len(place) for place in shelf._places if isinstance(place, bytes)) <= 1_000
    for number in (0, 299, 150, 1):
        assert loads[number]()["id"] == f"v{number}"


# --- bad packages --------------------------------------------------------------------------------


def link(name, target, kind=tarfile.SYMTYPE):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return name, member


# a file in the package                                        what is told
UNSAFE = [
    (("../x.json", value_set("x")), "package-unsafe.path"),
    (("package/../../x.json", value_set("x")), "package-unsafe.path"),
    (("/etc/x.json", value_set("x")), "package-unsafe.path"),
    (("package\\..\\..\\x.json", value_set("x")), "package-unsafe.path"),
    (("C:/x.json", value_set("x")), "package-unsafe.path"),
    (link("package/x.json", "/etc/passwd"), "package-unsafe.kind"),
    (link("package/x.json", "package/a.json", tarfile.LNKTYPE), "package-unsafe.kind"),
    (link("package/x.json", "", tarfile.CHRTYPE), "package-unsafe.kind"),
    (link("package/x.json", "", tarfile.FIFOTYPE), "package-unsafe.kind"),
    (("package/x.json", b"{"), "package-file.unreadable"),
    (("package/x.json", b""), "package-file.unreadable"),
    (("package/x.json", b"\xff\xfe{"), "package-file.unreadable"),
    (("package/x.json", b'{"resourceType":"ValueSet","a":1,"a":2}'), "package-file.unreadable"),
    (("package/x.json", b"[" * 100_000), "package-file.unreadable"),
    (("package/x.json", b'{"a":' * 5_000 + b"1" + b"}" * 5_000), "package-file.unreadable"),
    (("package/x.json", b'{"resourceType":"ValueSet","url":"\\u0000"}'), "package-file.unreadable"),
    (("package/x.json", {"name": "no resource"}), "package-file.no-resource"),
    (("package/x.json", [1, 2]), "package-file.no-resource"),
    (("package/x.json", 5), "package-file.no-resource"),
    (("package/x.json", {"resourceType": 5}), "package-file.no-resource"),
    (("package/x.json", {"resourceType": "Rumpelstiltskin"}), "package-file.type"),
    (("package/x.json", {"resourceType": "ValueSet"}), "package-url"),
    (("package/x.json", value_set("x", url=5)), "package-shape.text"),
    (("package/x.json", value_set("x", compose=[])), "package-shape.object"),
    (("package/x.json", value_set("x", compose={"include": {}})), "package-shape.list"),
    (("package/x.json", value_set("x", compose={"include": [None]})), "package-shape.object"),
    (("package/x.json", value_set("x", experimental="no")), "package-shape.boolean"),
    (("package/x.json", value_set("x", contained=[{"a": 1}])), "package-shape.resource"),
    (("package/x.json", value_set("x", _title="no")), "package-shape.object"),
    (
        ("package/x.json", value_set("x", expansion={"timestamp": "2020", "total": True})),
        "package-shape.number",
    ),
    (
        ("package/x.json", profile("x", differential={"element": [{"path": ["Patient"]}]})),
        "package-shape.text",
    ),
    (("package/x.json", profile("x", fhirVersion="5.0.0")), "package-fhir-version.definition"),
    (("package/x.json", value_set("a")), "package-duplicate"),
]


@pytest.mark.parametrize(("file", "told"), UNSAFE)
def test_a_bad_file_is_told_and_passed_over_and_the_rest_is_used(read, tmp_path, file, told):
    found = read(package_of(("package/a.json", value_set("a")), file))
    assert keys(found.problems) == [told]
    assert urls(found) == ["ValueSet/a"]
    assert [path.name for path in tmp_path.iterdir()] == ["clinic.tgz"]


def header(type=b"0", size=0, name="package/a.json"):
    member = tarfile.TarInfo(name)
    member.type, member.size = type, size
    return member.tobuf(tarfile.GNU_FORMAT)


def record(name, value):
    return f"{len(name) + len(value) + 5:02} {name}={value}\n".encode()


GOOD = package_of(("package/a.json", value_set("a")))
# what pretends to be a package                               what is told
BROKEN = [
    (b"", "package-unreadable.not-gzip"),
    (b"PK\x03\x04", "package-unreadable.not-gzip"),
    (b"\x1f\x8b", "package-unreadable.damaged"),
    (b"\x1f\x8b\x08\x00" + b"\xff" * 100, "package-unreadable.damaged"),
    (GOOD[: len(GOOD) // 2], "package-unreadable.damaged"),
    (GOOD[:-8] + b"\0" * 8, "package-unreadable.damaged"),
    (gzip.compress(b"x" * 5_000), "package-unreadable.damaged"),
    (gzip.compress(header(size=10**9)), "package-too-large.file"),
    (gzip.compress(header(size=2**60)), "package-too-large.file"),
    (gzip.compress(header(b"L", 10**9) + b"x" * 2_000), "package-unreadable.damaged"),
    (gzip.compress(header(b"x", 10**9) + b"x" * 2_000), "package-unreadable.damaged"),
    (gzip.compress(header(b"x", 512) + b"9" * 512), "package-unreadable.damaged"),
    (gzip.compress(header(b"x", 512) + b"0 a=b" * 100 + b"x" * 512), "package-unreadable.damaged"),
    (
        gzip.compress(header(b"x", 18) + record("size", "99999999").ljust(512, b"\0")),
        "package-unreadable.damaged",
    ),
    (
        gzip.compress(header(b"x", 23) + record("GNU.sparse.major", "1").ljust(512, b"\0")),
        "package-unreadable.damaged",
    ),
]


@pytest.mark.parametrize(("held", "told"), BROKEN)
def test_what_cannot_be_unpacked_is_told(read, held, told):
    found = read(held)
    assert told in keys(found.problems)
    assert set(keys(found.problems)) <= {told, "package-empty", "package-unreadable.damaged"}


def test_no_byte_of_a_package_can_crash_the_reading(read):
    raw = bytearray(gzip.decompress(GOOD))
    for place in [*range(0, 700, 7), *range(1024, 2600, 13)]:
        for byte in (0, 0x2F, 0x78, 0xFF):
            bad = bytes(raw[:place]) + bytes([byte]) + bytes(raw[place + 1 :])
            read(gzip.compress(bad, 1))


def test_a_bomb_goes_off_nowhere(read):
    for bomb in (header(size=10**8, name="package/a.txt"), header(), b""):
        found = read(gzip.compress(bomb + b"\0" * 10**8, 1))
        assert "package-too-large.unpacked" in keys(found.problems)
    found = read(GOOD, bounds=Bounds(unpacked=100))
    assert keys(found.problems) == ["package-too-large.unpacked", "package-empty"]


def test_more_files_than_the_bound_are_not_read(read, tmp_path):
    files = [(f"package/{n}.json", value_set(f"v{n}")) for n in range(20)]
    found = read(package_of(*files), bounds=Bounds(files=10))
    assert keys(found.problems) == ["package-too-large.files"]
    loose = tmp_path / "loose"
    loose.mkdir()
    for name, held in files:
        (loose / Path(name).name).write_bytes(content(held))
    assert "package-too-large.files" in keys(read_package(loose, bounds=Bounds(files=10)).problems)


def test_a_file_larger_than_the_bound_is_not_read(read, tmp_path):
    large = value_set("large", title="x" * 5_000)
    files = [("package/l.json", large), ("package/a.json", value_set("a"))]
    found = read(package_of(*files), bounds=Bounds(file=2_000))
    assert (keys(found.problems), urls(found)) == (["package-too-large.file"], ["ValueSet/a"])
    found = read(large, "large.json", bounds=Bounds(file=2_000))
    assert keys(found.problems) == ["package-too-large.file", "package-empty"]


def test_a_thousand_problems_are_two_hundred_and_a_count(read):
    found = read(package_of(*[(f"package/{n}.json", [n]) for n in range(1_000)]))
    assert len(found.problems) == 201
    assert found.problems[-1].key == "package-more"
    assert found.problems[-1].said == {"count": 801}  # with the one that says it is empty


# a manifest                                  name, version        what is told
MANIFESTS = [
    ({"name": "../../etc"}, "clinic.tgz#1.2.0", ["package-unsafe.name"]),
    ({"name": "a\nb"}, "clinic.tgz#1.2.0", ["package-unsafe.name"]),
    ({"name": ["a"]}, "clinic.tgz#1.2.0", ["package-unsafe.name"]),
    ({"name": "x" * 1_000}, "clinic.tgz#1.2.0", ["package-unsafe.name"]),
    ({"version": "1/2"}, "example.fhir.clinic", ["package-unsafe.name"]),
    ({"name": "@clinic/profiles"}, "@clinic/profiles#1.2.0", []),
    ({"fhirVersions": "4.0.1"}, "example.fhir.clinic#1.2.0", []),
    ({"fhirVersions": []}, "example.fhir.clinic#1.2.0", []),
    ({"dependencies": ["x"]}, "example.fhir.clinic#1.2.0", []),
    ({"dependencies": {"a": 5, "": "1"}}, "example.fhir.clinic#1.2.0", []),
]


@pytest.mark.parametrize(("manifest", "identity", "told"), MANIFESTS)
def test_a_manifest_is_taken_with_care(read, manifest, identity, told):
    found = read(package_of(("package/a.json", value_set("a")), **manifest))
    assert (found.identity, keys(found.problems)) == (identity, told)
    assert urls(found) == ["ValueSet/a"]


@pytest.mark.parametrize("versions", [["5.0.0"], ["4.3.0", "3.0.2"], "4.1.0", [{}], 5])
def test_a_package_for_another_fhir_is_refused_as_a_whole(read, versions):
    found = read(package_of(("package/a.json", value_set("a")), fhirVersions=versions))
    assert keys(found.problems) == ["package-fhir-version"]
    assert found.entries == ()


def test_what_is_not_there_is_told(tmp_path):
    for path in (tmp_path / "none.tgz", tmp_path / "none.json"):
        found = read_package(path)
        tellable(found.problems)
        assert found.problems[0].key.startswith("package-unreadable")
    found = folder_of_definitions(tmp_path / "none")
    assert found == []


# --- order ---------------------------------------------------------------------------------------


def named(name, version="1.0.0", entries=(), **dependencies):
    wanted = {of.replace("_", "."): what for of, what in dependencies.items()}
    return Package(name, version, ("4.0.1",), wanted, tuple(entries), ())


# name -> what it depends on                                          the order, what is told
ORDERS = [
    ({"a": [], "b": []}, "ab", []),
    ({"a": ["b"], "b": ["c"], "c": []}, "cba", []),
    ({"a": ["b", "c"], "b": ["c"], "c": [], "d": ["a"]}, "cbad", []),
    ({"a": ["b"], "b": ["a"], "c": []}, "bac", ["package-circle"]),
    ({"a": ["a"]}, "a", ["package-circle"]),
    ({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["b"]}, "cbad", ["package-circle"]),
    ({"a": ["z"]}, "a", ["package-dependency"]),
    ({"a": ["hl7.fhir.r4.core", "hl7.fhir.core"]}, "a", []),
    ({"a": ["hl7.terminology.r4"]}, "a", ["package-dependency"]),
]


@pytest.mark.parametrize(("given", "order", "told"), ORDERS)
def test_packages_come_after_what_they_depend_on(given, order, told):
    packages = [
        Package(name, "1.0.0", ("4.0.1",), dict.fromkeys(needs, "1.0.0"), (), ())
        for name, needs in given.items()
    ]
    ordered, problems = in_dependency_order(packages)
    tellable(problems)
    assert ("".join(package.name for package in ordered), keys(problems)) == (order, told)


def test_five_thousand_packages_in_a_row_are_no_recursion():
    packages = [Package(f"p{n}", "1.0.0", (), {f"p{n + 1}": "1.0.0"}, (), ()) for n in range(5_000)]
    ordered, problems = in_dependency_order(packages)
    assert [package.name for package in ordered[:2]] == ["p4999", "p4998"]
    assert keys(problems) == ["package-dependency"]


def test_the_same_package_twice_is_used_once_and_newer_versions_lie_on_top():
    packages = [named("a", "1.10.0"), named("a", "1.9.0"), named("a", "1.10.0")]
    ordered, problems = in_dependency_order(packages)
    assert [package.version for package in ordered] == ["1.9.0", "1.10.0"]
    assert keys(problems) == ["package-twice"]
    tellable(problems)


def test_another_version_than_is_asked_for_is_used_and_told():
    ordered, problems = in_dependency_order([named("a", b="2.0.x"), named("b", "1.4.0")])
    assert [package.name for package in ordered] == ["b", "a"]
    [problem] = problems
    assert problem.key == "package-dependency.version"
    assert problem.said == {"name": "b", "version": "2.0.x", "found": ["1.4.0"]}
    tellable(problems)


# there        is asked for     good?
VERSIONS = [
    ("1.2.3", "1.2.3", True),
    ("1.2.3", "1.2.x", True),
    ("1.2.3", "1.x", True),
    ("1.2.3", "1.2.*", True),
    ("1.2.3", "1.x.x", True),
    ("1.20.3", "1.2.x", False),
    ("1.2.3", "1.2.4", False),
    ("1.2.3", "1.2", False),
    ("1.2.3", "current", True),
    ("1.2.3", "latest", True),
    ("1.2.3", "dev", True),
    ("1.2.3", "", True),
    ("1.2.3", "*", True),
    ("1.2.3", "^1.1.0", True),
    ("1.2.3", "^1.10.0", False),
    ("2.0.0", "^1.1.0", False),
    ("1.2.3", "~1.2.0", True),
    ("1.3.0", "~1.2.0", False),
    ("1.2.3", ">=1.0.0 <2.0.0", True),
    ("1.2.3", "1.0.0 - 2.0.0", True),
    ("1.2.3", "...", False),
]


@pytest.mark.parametrize(("there", "wanted", "good"), VERSIONS)
def test_a_version_is_what_is_asked_for(there, wanted, good):
    assert satisfies(there, wanted) is good


def test_packages_lie_over_what_is_known_the_last_on_top(read):
    first = read(package_of(("package/a.json", value_set("a", title="first"))))
    second = read(package_of(("package/a.json", value_set("a", title="second"))), "other.tgz")
    known = layered(canonicals_of_r4(), [first, second])
    assert known.get(f"{BASE}ValueSet/a")["title"] == "second"
    assert known.get("http://hl7.org/fhir/StructureDefinition/Patient")["type"] == "Patient"
    assert layered(known, []) is known


# --- what is not known ---------------------------------------------------------------------------


def told_of(*resources, systems=()):
    entries = [entry for r in resources for entry in read_loose(r)]
    problems = unresolved(canonicals_of_r4().above(entries), entries, systems)
    tellable(problems)
    return [(problem.key, problem.said["url"]) for problem in problems]


def read_loose(resource):
    return [of_resource(resource, "test")]


def element(**more):
    return {"element": [{"id": "Patient", "path": "Patient"}, {"path": "Patient.name", **more}]}


PATIENT = "http://hl7.org/fhir/StructureDefinition/Patient"
# a definition                                                          what is told
REFERENCES = [
    (profile("a"), []),
    (profile("a", base=f"{PATIENT}|4.0.1"), []),
    (profile("a", base=f"{PATIENT}|3.0"), [("unresolved.version", f"{PATIENT}|3.0")]),
    (profile("a", base="http://x/y"), [("unresolved.structure", "http://x/y")]),
    (
        profile(
            "a",
            differential=element(
                type=[
                    {"code": "Nonsense", "profile": ["http://x/p", "#inner"]},
                    {"code": "Reference", "targetProfile": [PATIENT, "http://x/t"]},
                    {"code": "http://hl7.org/fhirpath/System.String"},
                ],
                binding={
                    "strength": "required",
                    "valueSet": "http://x/v",
                    "extension": [
                        {
                            "url": "http://hl7.org/fhir/StructureDefinition/"
                            "elementdefinition-maxValueSet",
                            "valueCanonical": "http://x/max",
                        }
                    ],
                },
            ),
        ),
        [
            ("unresolved.structure", "http://hl7.org/fhir/StructureDefinition/Nonsense"),
            ("unresolved.structure", "http://x/p"),
            ("unresolved.structure", "http://x/t"),
            ("unresolved.codes", "http://x/max"),
            ("unresolved.codes", "http://x/v"),
        ],
    ),
    (
        value_set(
            "a",
            compose={
                "include": [
                    {"system": "http://hl7.org/fhir/administrative-gender"},
                    {"system": "http://x/s", "version": "2"},
                    {"system": "http://x/listed", "concept": [{"code": "a"}]},
                    {"valueSet": ["http://x/v", "#inner"]},
                ],
                "exclude": [{"system": "http://x/e"}],
            },
        ),
        [
            ("unresolved.codes", "http://x/e"),
            ("unresolved.displays", "http://x/listed"),
            ("unresolved.codes", "http://x/s|2"),
            ("unresolved.codes", "http://x/v"),
        ],
    ),
    (
        {"resourceType": "CodeSystem", "url": "http://x/c", "supplements": "http://x/s"},
        [("unresolved.codes", "http://x/s")],
    ),
    (
        {
            "resourceType": "ConceptMap",
            "url": "http://x/m",
            "sourceCanonical": "http://x/v",
            "group": [{"source": "http://x/s", "target": "http://snomed.info/sct"}],
        },
        [("unresolved.map", "http://x/s"), ("unresolved.map", "http://x/v")],
    ),
    ({"resourceType": "SearchParameter", "url": "http://x/p"}, []),
]


@pytest.mark.parametrize(("resource", "told"), REFERENCES)
def test_what_a_definition_refers_to_and_is_not_known_is_named(resource, told):
    assert sorted(told_of(resource)) == sorted(told)


def test_what_is_referred_to_many_times_is_told_once_and_what_is_in_the_package_not_at_all():
    found = told_of(profile("a", base="http://x/y"), profile("b", base="http://x/y"))
    assert found == [("unresolved.structure", "http://x/y")]
    assert told_of(profile("a"), profile("b", base=profile("a")["url"])) == []


def test_a_system_known_otherwise_is_known():
    languages = value_set("a", compose={"include": [{"system": "urn:ietf:bcp:47"}]})
    assert told_of(languages, systems={"urn:ietf:bcp:47"}) == []
    assert told_of(languages) == [("unresolved.codes", "urn:ietf:bcp:47")]


def test_a_package_that_refers_to_thousands_of_unknowns_is_told_briefly():
    includes = [{"system": f"http://x/{n}"} for n in range(1_000)]
    entries = read_loose(value_set("a", compose={"include": includes}))
    problems = unresolved(Canonicals(entries), entries)
    assert len(problems) == 201
    assert problems[-1].said == {"count": 800}


def test_every_message_of_packages_and_definitions_has_both_languages():
    mine = [
        m for k, m in catalogue().items() if k.startswith(("package-", "unresolved", "unsound"))
    ]
    assert len(mine) > 40
    for message in mine:
        assert message.en.strip().endswith((".", "}", "`"))
        assert message.vi != message.en
