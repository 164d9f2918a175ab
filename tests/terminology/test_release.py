"""Releases of large code systems: read, written to a file, asked, and refused where damaged.

The samples are invented: their codes and names are nobody's.
"""

from __future__ import annotations

import datetime as dt
import gzip
import shutil
import zipfile
from pathlib import Path

import pytest

from fhir_server.store.concepts import ConceptFile, ConceptWriter, Damaged, Unwritable, write
from fhir_server.terminology.large import Folder, LargeSystem
from fhir_server.terminology.release import BadRelease, Told, load, release_of
from fhir_server.terminology.release import source as source_module
from fhir_server.terminology.terms import Standing
from tests.terminology.known import system, terms, value_set, where

SAMPLES = Path(__file__).parent / "samples"
SNOMED, LOINC, ICD = "http://snomed.info/sct", "http://loinc.org", "http://hl7.org/fhir/sid/icd-10"
LARGE = "http://example.org/large"
NOTHING = Told()
TABLE = Told(version="2026-07-01", since=dt.date(2026, 7, 1))


def quiet(_part, _done) -> None:
    pass


def zipped(folder: Path, to: Path) -> Path:
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{folder.name}/{file.relative_to(folder).as_posix()}")
    return to


@pytest.fixture
def folder(tmp_path):
    """A folder of files of concepts, that are closed in the end."""
    found = Folder(tmp_path / "terminology")
    yield found
    found.close()


def taken(folder: Folder, path: Path, told: Told = NOTHING):
    """Load a release into the folder, and what is known then."""
    load(release_of(path, told), folder.path, quiet)
    folder._next_look = 0
    return terms(files=folder)


# --- what is taken from each kind ----------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_snomed_ct_is_its_concepts_names_and_hierarchy(folder, tmp_path, packed) -> None:
    release = SAMPLES / "snomed"
    known = taken(folder, zipped(release, tmp_path / "release.zip") if packed else release)
    found = known.lookup(SNOMED, "900000012")
    assert found.version == "http://snomed.info/sct/900000000000207008/version/20260101"
    assert found.display == "High fever of tests"
    assert [value for _, _, value in found.designations] == [
        "High fever of tests (invented finding)",
        '"Burning" of tests',
    ]
    assert known.lookup(SNOMED, "900000014").inactive
    assert known.subsumes(SNOMED, "900000001", "900000012") == "subsumes"
    assert known.subsumes(SNOMED, "900000015", "900000013") == "subsumed-by"
    assert known.subsumes(SNOMED, "900000012", "900000013") == "not-subsumed"
    below = known.expand(f"{SNOMED}?fhir_vs=isa/900000011")
    assert [each.code for each in below.contains] == ["900000011", "900000012", "900000015"]
    assert [
        each.code for each in known.expand(f"{SNOMED}?fhir_vs", filter="burn tes").contains
    ] == ["900000012"]


# value set                                                        code          how it stands
STANDINGS = [
    (f"{SNOMED}?fhir_vs=isa/900000011", "900000015", "member"),
    (f"{SNOMED}?fhir_vs=isa/900000011", "900000013", "not-member"),
    (f"{SNOMED}?fhir_vs=isa/900000011", "999999999", "not-member"),
    (f"{SNOMED}?fhir_vs", "900000011:363698007=900000013", "unknown"),
    (f"{SNOMED}?fhir_vs=refset/900000011", "900000011", "unknown"),
    (f"{SNOMED}/900000000000207008?fhir_vs", "900000011", "member"),
    (f"{SNOMED}/999?fhir_vs", "900000011", "unknown"),
]


@pytest.mark.parametrize(("its", "code", "standing"), STANDINGS)
def test_a_code_stands_to_a_value_set_of_snomed_ct(folder, its, code, standing) -> None:
    known = taken(folder, SAMPLES / "snomed")
    assert known.standing(its, code, SNOMED).standing.value == standing


def test_loinc_is_its_terms_parts_and_answers(folder, tmp_path) -> None:
    known = taken(folder, zipped(SAMPLES / "Loinc_0.01", tmp_path / "Loinc_0.01.zip"))
    found = known.lookup(LOINC, "90001-1")
    assert (found.version, found.display) == ("0.01", "Inventium [Mass/volume] in Serum")
    assert found.definition == "An invented substance,\r\nin two lines"
    assert ("SCALE_TYP", "Qn") in found.properties
    assert known.lookup(LOINC, "90003-7").inactive
    documents = value_set(None, where(LOINC, "SCALE_TYP = Doc"))
    assert [each.code for each in known.expand(documents).contains] == ["90002-9"]
    below = value_set(None, where(LOINC, "parent = LP90002-8"))
    assert [each.code for each in known.expand(below).contains] == ["90001-1", "90003-7"]
    assert known.subsumes(LOINC, "LP90001-0", "90001-1") == "subsumes"
    for code, standing in (
        ("90001-1", Standing.MEMBER),
        ("LA90001-2", Standing.MEMBER),
        ("99999-9", Standing.NOT_MEMBER),
        ("LP1-1", Standing.UNKNOWN),
    ):
        assert known.standing("http://loinc.org/vs", code, LOINC).standing is standing


def test_icd_10_is_the_classes_of_its_claml(folder) -> None:
    known = taken(folder, SAMPLES / "icd10.xml")
    found = known.lookup(ICD, "X90.1")
    assert (found.version, found.display) == ("2026", "Invented disease of two lines")
    assert [value for _, use, value in found.designations if use] == ["Tester's disease"]
    assert dict(found.properties) == {"kind": "category", "usage": "dagger"}
    assert known.lookup(ICD, "X90").display == "Invented & tested disease"
    assert known.lookup(ICD, "X90-X99").abstract
    assert known.subsumes(ICD, "X", "X90.1") == "subsumes"


def test_icd_10_is_the_table_of_the_circular(folder) -> None:
    known = taken(folder, SAMPLES / "icd10-table.csv", TABLE)
    found = known.lookup(ICD, "X90.0")
    assert found.display == "Bệnh bịa có dấu dao găm"
    assert found.in_language("en") == "Invented disease, daggered"
    assert dict(found.properties) == {"mark": "dagger"}
    assert known.lookup(ICD, "X90").abstract
    assert dict(known.lookup(ICD, "X90.1").properties) == {"not-main": True, "mark": "asterisk"}
    assert known.lookup(ICD, "X90.9").display == "Bệnh bịa in sai"
    every = value_set(None, system(ICD))
    assert known.standing(every, "X90.1", ICD).standing is Standing.MEMBER
    assert known.standing(every, "X91", ICD).standing is Standing.NOT_MEMBER
    before = known.standing(every, "X90.1", ICD, at=dt.date(2026, 6, 30))
    assert before.standing is Standing.THEN
    main = value_set(None, system(ICD), exclude=[where(ICD, "not-main = true")])
    assert [each.code for each in known.expand(main).contains] == ["X90", "X90.0", "X90.9"]
    assert known.expand(every, filter="bia DAO gam").total == 1


def test_the_columns_of_a_table_may_be_told_by_their_places(folder, tmp_path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a,b,c\nX,Bệnh bịa,X90\nY,Bệnh khác,X91\n", encoding="utf-8")
    told = Told(version="1", system="http://example.org/icd", columns={"code": 3, "display": 2})
    known = taken(folder, table, told)
    assert known.lookup("http://example.org/icd", "X91").display == "Bệnh khác"


@pytest.mark.parametrize("packed", [False, True])
def test_a_code_system_resource_is_taken_whole(folder, tmp_path, packed) -> None:
    file = SAMPLES / "code-system.json"
    if packed:
        file = tmp_path / "code-system.json.gz"
        file.write_bytes(gzip.compress((SAMPLES / "code-system.json").read_bytes()))
    known = taken(folder, file)
    assert known.lookup(LARGE, "b").in_language("en") == "Small invention"
    assert known.lookup(LARGE, "b").in_language("vi") == "Vật nhỏ bịa ra"
    for its, codes in (
        (where(LARGE, "depth = 2"), ["b"]),
        (where(LARGE, "deep = true"), ["a"]),
        (where(LARGE, "concept descendent-of a"), ["b"]),
        (where(LARGE, "code regex [ab]"), ["a", "b"]),
        (where(LARGE, "depth exists false"), ["a"]),
        (system(LARGE, "b", "a"), ["b", "a"]),
    ):
        assert [each.code for each in known.expand(value_set(None, its)).contains] == codes
    every = value_set(None, system(LARGE))
    assert known.standing(every, "c", LARGE).standing is Standing.THEN
    assert known.standing(every, "c", LARGE, at=dt.date(2025, 6, 30)).standing is Standing.MEMBER
    assert known.fast(LARGE) is None


# --- the folder ----------------------------------------------------------------------------------


def test_a_running_server_takes_up_and_lets_go_of_files_within_a_second(tmp_path) -> None:
    now = [100.0]
    folder = Folder(tmp_path, clock=lambda: now[0])
    known = terms(files=folder)
    every = value_set("http://example.org/vs", system(LARGE))
    known = terms(every, files=folder)
    assert not known.is_known(LARGE)
    file = load(release_of(SAMPLES / "code-system.json", Told()), tmp_path, quiet)
    assert not known.is_known(LARGE)  # it looks each second at most
    assert not known.is_stale()
    now[0] += 1.0
    assert known.is_known(LARGE)
    assert known.is_stale()
    assert known.expand("http://example.org/vs").total == 2
    file.unlink()
    now[0] += 1.0
    assert not known.is_known(LARGE)
    folder.close()


def test_two_versions_stand_side_by_side_the_newest_first(folder) -> None:
    taken(folder, SAMPLES / "code-system.json", Told(version="1.9"))
    known = taken(folder, SAMPLES / "code-system.json", Told(version="1.10"))
    assert [each.version for each in known.systems.versions(LARGE)] == ["1.10", "1.9"]
    assert known.lookup(LARGE, "a", "1.9").version == "1.9"


def test_a_file_that_is_none_is_passed_over(tmp_path, caplog) -> None:
    (tmp_path / "x.concepts").write_text("nothing of the kind")
    (tmp_path / "y.concepts.part").write_text("")
    folder = Folder(tmp_path)
    assert folder.versions(LARGE) == ()
    assert "`x.concepts` is not a file of concepts." in caplog.text
    folder.close()


def test_a_folder_that_is_not_there_is_empty(tmp_path) -> None:
    assert Folder(tmp_path / "nowhere").versions(LARGE) == ()


# --- broken off ----------------------------------------------------------------------------------


class Killed(BaseException):
    """As if the process had ended."""


def dying_after(steps: int):
    """A progress that ends the process at a step."""
    left = [steps]

    def progress(_part, _done) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    return progress


@pytest.mark.parametrize("sample", ["snomed", "Loinc_0.01", "icd10.xml", "code-system.json"])
def test_a_load_that_was_broken_off_anywhere_goes_on(tmp_path, monkeypatch, sample) -> None:
    monkeypatch.setattr(write, "BATCH", 2)
    path = SAMPLES / sample
    straight = load(release_of(path, Told()), tmp_path / "straight", quiet)
    broken = tmp_path / "broken"
    for steps in range(1, 200):
        try:
            file = load(release_of(path, Told()), broken, dying_after(steps))
        except Killed:
            assert not list(broken.glob("*.concepts"))
        else:
            break
    assert steps > 5
    assert [each.name for each in broken.iterdir()] == [file.name]
    assert everything(file) == everything(straight)


def everything(file: Path) -> list:
    concepts = ConceptFile(file)
    told = [
        (concepts.find(code), concepts.parents(code), list(concepts.below(code)))
        for code in concepts.codes()
    ]
    concepts.close()
    return [told, concepts.count, concepts.about]


def test_what_was_done_is_not_done_again(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(write, "BATCH", 2)
    release = release_of(SAMPLES / "snomed", Told())
    with pytest.raises(Killed):
        load(release, tmp_path, dying_after(3))
    begun = []
    load(release, tmp_path, lambda part, done: begun.append((part.partition(" ")[0], done)))
    assert begun[0] == ("concepts", 6)


def test_another_release_of_the_same_version_begins_anew(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(write, "BATCH", 2)
    copy = tmp_path / "snomed"
    shutil.copytree(SAMPLES / "snomed", copy)
    with pytest.raises(Killed):
        load(release_of(copy, Told()), tmp_path, dying_after(3))
    concepts = copy / "Snapshot/Terminology/sct2_Concept_Snapshot_INT_20260101.txt"
    concepts.write_text(concepts.read_text() + "900000099\t20260101\t1\t1\t1\n")
    file = load(release_of(copy, Told()), tmp_path, quiet)
    found = ConceptFile(file)
    assert found.count == 7
    found.close()


def test_two_runs_do_not_write_one_file(tmp_path) -> None:
    release = release_of(SAMPLES / "code-system.json", Told())
    file = tmp_path / "x.concepts"
    with ConceptWriter(file, release.about, release.identity) as first:
        first.take("a", (), quiet)
        with pytest.raises(Unwritable, match="another run"):
            ConceptWriter(file, release.about, release.identity)


def test_an_unfinished_file_is_not_opened(tmp_path) -> None:
    release = release_of(SAMPLES / "code-system.json", Told())
    with ConceptWriter(tmp_path / "x.concepts", release.about, release.identity) as writer:
        writer.take("a", release.parts[0].rows(), quiet)
    with pytest.raises(Damaged):
        ConceptFile(tmp_path / "x.concepts.part")


# --- damaged and hostile -------------------------------------------------------------------------

CLAML = '<ClaML><Title name="x" version="1"/>{}</ClaML>'
# file            what is in it                                             what is said of it
BAD = [
    ("x.txt", "hello", "no release that is known"),
    ("x.json", "{", "x.json`: The body is not well-formed JSON"),
    ("x.json", '{"resourceType": "Patient"}', "not a CodeSystem"),
    ("x.json", '{"resourceType": "CodeSystem", "url": "x"}', "no concept"),
    ("x.csv", "a,b\n1,2\n", "is the table's head"),
    ("x.csv", "", "is the table's head"),
    ("x.csv", "Mã bệnh,Khác\nX90,x\n", "line 1: no column is the display"),
    ("x.csv", "Mã bệnh,Tên bệnh\nX90,x\nY,z\n", "line 3: `Y` is no code of ICD-10"),
    ("x.csv", 'Mã bệnh,Tên bệnh\nX90,"x\n', "line 2: unexpected end of data"),
    ("x.csv", "Mã bệnh,Tên bệnh\nX90," + "x" * 2_000_000, "line 2: it is too long"),
    ("x.csv", b"M\xe3 b\xea\n", "line 1: it is not UTF-8"),
    ("Loinc.csv", "LOINC_NUM,STATUS\n1-1,ACTIVE\n", "`LONG_COMMON_NAME` is missing"),
    ("Loinc.csv", "LOINC_NUM,LONG_COMMON_NAME,STATUS\nx,y,ACTIVE\n", "line 2: `LOINC_NUM` is `x`"),
    ("Loinc.csv", "LOINC_NUM,LONG_COMMON_NAME,STATUS\n1-1,y\n", "line 2: there are 2 columns"),
    ("x.xml", "<html/>", "0 ClaML files"),
    ("x.xml", CLAML.format("<Class/>"), "line 1: a `Class` has no `code`"),
    ("x.xml", CLAML.format("<Class code='a'>"), "not well-formed"),
    ("x.xml", CLAML.format("<a>" * 100 + "</a>" * 100), "deeper than"),
    (
        "x.xml",
        '<!DOCTYPE ClaML [<!ENTITY a "aaaa">]>\n<ClaML><Title name="&a;" version="1"/></ClaML>',
        "line 1: an entity is declared",
    ),
    ("sct2_Concept_Snapshot_INT_20260101.txt", "id\n", "no snapshot of the descriptions"),
    ("x.zip", b"PK\x05\x06" + b"\0" * 18, "no release that is known"),
    ("x.json.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\xff not gzip", "is damaged"),
]


@pytest.mark.parametrize(("name", "content", "said"), BAD)
def test_a_release_that_is_not_right_is_told_with_its_place(tmp_path, name, content, said) -> None:
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadRelease) as refused:
        load(release_of(file, Told(version="1")), tmp_path / "to", quiet)
    assert said in str(refused.value)
    assert not list((tmp_path / "to").glob("*.concepts"))


def test_a_row_of_snomed_ct_that_is_cut_is_told_with_its_line(tmp_path) -> None:
    copy = tmp_path / "snomed"
    shutil.copytree(SAMPLES / "snomed", copy)
    names = copy / "Snapshot/Terminology/sct2_Description_Snapshot-en_INT_20260101.txt"
    names.write_text("\n".join([*names.read_text().split("\n")[:3], "8000\t2026"]))
    with pytest.raises(BadRelease, match=r"INT_20260101.txt`, line 4: there are 2 columns, not 9"):
        load(release_of(copy, Told()), tmp_path, quiet)


def test_a_zip_that_unpacks_to_far_too_much_is_not_unpacked(tmp_path) -> None:
    bomb = tmp_path / "Loinc_1.0.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Loinc.csv", b"0" * 30_000_000)
    with pytest.raises(BadRelease, match="would unpack to 1 files of 30 MB"):
        release_of(bomb, Told())


def test_a_gzip_that_unpacks_to_far_too_much_is_given_up(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(source_module, "MB", 1_000)
    bomb = tmp_path / "table.csv.gz"
    bomb.write_bytes(gzip.compress(b"Ma benh,Ten benh\n" + b"X90,x\n" * 200_000))
    with pytest.raises(BadRelease, match="unpacks to more than"):
        load(release_of(bomb, Told(version="1")), tmp_path, quiet)


def test_a_damaged_zip_is_told(tmp_path) -> None:
    whole = zipped(SAMPLES / "Loinc_0.01", tmp_path / "Loinc_0.01.zip")
    content = bytearray(whole.read_bytes())
    place = content.find(b"LoincTable/Loinc.csv") + 40
    content[place : place + 40] = bytes(40)
    whole.write_bytes(content)
    with pytest.raises(BadRelease):
        load(release_of(whole, Told()), tmp_path, quiet)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (Told(), "does not say its version"),
        (Told(version="1", columns={"color": 1}), "is no column"),
        (Told(version="1", columns={"code": 0}), "is no column"),
        (
            Told(version="1", since=dt.date(2026, 1, 1), until=dt.date(2026, 1, 1)),
            "must be after",
        ),
    ],
)
def test_what_a_person_says_of_a_release_must_make_sense(told, said) -> None:
    with pytest.raises(BadRelease, match=said):
        release_of(SAMPLES / "icd10-table.csv", told)


def test_a_circle_in_a_hierarchy_ends(tmp_path) -> None:
    concepts = [
        '{"code": "a", "property": [{"code": "parent", "valueCode": "b"}]}',
        '{"code": "b", "property": [{"code": "parent", "valueCode": "a"}]}',
    ]
    file = tmp_path / "x.json"
    file.write_text(
        '{"resourceType": "CodeSystem", "url": "http://example.org/x", "concept": ['
        + ",".join(concepts)
        + "]}"
    )
    found = ConceptFile(load(release_of(file, Told()), tmp_path, quiet))
    its = LargeSystem(found)
    assert its.subsumes("a", "b")
    assert its.subsumes("b", "a")
    found.close()
