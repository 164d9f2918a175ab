"""Every edit, removal and reorder is found; what is told is R4's AuditEvent by IHE's shapes."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

import msgspec
import pytest

from fhir_server.conformance import definitions
from fhir_server.foundation.resource import Key
from fhir_server.security.audit import anchors, event, naming, reporting, said, verification
from fhir_server.security.audit.anchors import Anchor, Anchors
from fhir_server.security.audit.record import Record
from fhir_server.security.audit.said import Said
from fhir_server.security.caller import Caller
from fhir_server.store import block
from fhir_server.store.audit import FIRST, Lane, sealed
from fhir_server.store.contract import (
    Entered,
    Entry,
    Head,
    IndexRows,
    NewVersion,
    Position,
    Stored,
    rid,
)
from fhir_server.validation.knowledge import base_knowledge

AN, BINH = rid(Key("Patient", "an")), rid(Key("Patient", "binh"))
NAMES = {AN: Key("Patient", "an")}
BASE = "https://fhir.example.vn/fhir"
DOCTOR = Caller(
    "his-ct",
    user="Practitioner/bs",
    facility="hau-giang",
    roles=frozenset({"doctor"}),
    purpose="TREAT",
    basis="own-records",
    token="t-1",
    address="203.0.113.7",
)


# --- a trail that can be tampered with -----------------------------------------------------------


@dataclass
class Trail:
    entries: list[Entered] = field(default_factory=list)
    found_by: set[tuple[int, int, int, int]] = field(default_factory=set)
    late: tuple[int, int] = (1 << 62, 0)  # what comes after need not be found yet

    def parts(self):
        ordered = sorted(self.entries, key=lambda one: one[:2])
        for start in range(0, len(ordered), 3):
            yield ordered[start : start + 3]

    def place(self):
        return self.late

    def there(self, pointers):
        return len(self.found_by & set(pointers))

    def pointers(self):
        return len(self.found_by)


def world(*lengths: int) -> tuple[Trail, list[Anchor]]:
    """Chains of so many entries, each anchored at its end."""
    trail, told = Trail(), []
    for chain, length in enumerate(lengths, start=1):
        lane = Lane(chain)
        for number in range(length):
            new = said.entry(Said("read", 200, client=f"c{number}", patients=(AN,)), at=number)
            rows, lane = lane.onward([new])
            trail.entries += [Entered(*row) for row in rows.entries]
            trail.found_by |= set(rows.subjects)
        told.append(Anchor(chain, lane.head(ended=True)))
    return trail, told


def together(*lengths: int) -> tuple[Trail, list[Anchor]]:
    """One chain, whose transactions wrote so many entries each; the last has no rows to be found
    by yet."""
    trail, lane = Trail(), Lane(1)
    for at, length in enumerate(lengths):
        new = [
            said.entry(Said("read", 200, client="c", user=f"u{n}", patients=(AN,)), at)
            for n in range(length)
        ]
        rows, lane = lane.onward(new)
        trail.late = trail.entries[-1][:2] if trail.entries else (0, 0)
        trail.entries += [Entered(*row) for row in rows.entries]
        if at + 1 < len(lengths):
            trail.found_by |= set(rows.subjects)
    return trail, [Anchor(1, lane.head(ended=True))]


def packed_anew(trail, place, change):
    row = trail.entries[place]
    parts = block.parts(row.body)
    change(parts)
    body = block.packed([Entry(0, subjects, body) for subjects, body in parts])
    trail.entries[place] = other(row, body=body)


def one_of_several_removed(trail):
    packed_anew(trail, 1, lambda parts: parts.pop(1))


def one_of_several_removed_and_sealed(trail):
    one_of_several_removed(trail)
    for place in range(1, 4):
        one, before = trail.entries[place], trail.entries[place - 1]
        number = before.number + block.count(one)
        seal = sealed(before.seal, one.chain, number, one.at, one.body)
        trail.entries[place] = other(one, number=number, seal=seal)


def two_of_several_swapped(trail):
    packed_anew(trail, 1, lambda parts: parts.reverse())


def not_found_by_one_of_several(trail):
    packed_anew(trail, 1, lambda parts: parts.__setitem__(0, ((), parts[0][1])))


def damaged_block(trail):
    trail.entries[1] = other(trail.entries[1], body=trail.entries[1].body[:-9])


def no_longer_found(trail):
    trail.found_by.remove((AN, 1, *trail.entries[1][:2]))


def found_too_early(trail):
    """What waits to be found may be found already, but by nobody else."""
    trail.found_by.add((BINH, 3, *trail.entries[3][:2]))


EDITS_OF_SEVERAL = [
    (one_of_several_removed, "1 are missing"),
    (one_of_several_removed_and_sealed, "ends with 9, but line 1"),
    (two_of_several_swapped, "is not what its seal says"),
    (not_found_by_one_of_several, "is not what its seal says"),
    (damaged_block, "are missing"),
    (no_longer_found, "can no longer be found by"),
    (found_too_early, "found by somebody they are not about"),
]


@pytest.mark.parametrize(
    ("edit", "sentence"), EDITS_OF_SEVERAL, ids=lambda one: getattr(one, "__name__", "")
)
def test_v5_0_0_16_4_2_every_edit_within_what_was_written_at_once_is_found(edit, sentence):
    trail, told = together(2, 3, 4, 1)
    found = verification.verify(trail, told)
    assert (found.wrong, found.entries) == ([], 10)
    edit(trail)
    assert any(sentence in wrong for wrong in verification.verify(trail, told).wrong)


def other(entered: Entered, **changes) -> Entered:
    return entered._replace(**changes)


def changed_body(trail):
    trail.entries[2] = other(trail.entries[2], body=said.entry(Said("read", 404), 0).body)


def changed_time(trail):
    trail.entries[2] = other(trail.entries[2], at=99)


def changed_body_and_seal(trail):
    body = said.entry(Said("delete", 200), 0).body
    one = trail.entries[2]
    seal = sealed(trail.entries[1].seal, one.chain, one.number, one.at, body)
    trail.entries[2] = other(one, body=body, seal=seal)


def changed_to_the_end(trail):
    """The whole chain from there on is made anew, as only its anchor can tell."""
    changed_body_and_seal(trail)
    for place in range(3, 5):
        one = trail.entries[place]
        seal = sealed(trail.entries[place - 1].seal, one.chain, one.number, one.at, one.body)
        trail.entries[place] = other(one, seal=seal)


def removed(trail):
    del trail.entries[2]


def removed_first(trail):
    del trail.entries[0]


def removed_last(trail):
    del trail.entries[4]


def removed_and_closed_up(trail):
    del trail.entries[2]
    for place in (2, 3):
        trail.entries[place] = other(trail.entries[place], number=place + 1)


def removed_chain(trail):
    trail.entries = [one for one in trail.entries if one.chain != 1]


def swapped(trail):
    one, two = trail.entries[1], trail.entries[2]
    trail.entries[1:3] = [other(two, number=one.number), other(one, number=two.number)]


def moved_to_another_chain(trail):
    trail.entries[7] = other(trail.entries[2], chain=2, number=3)


def added(trail):
    one = trail.entries[4]
    body = said.entry(Said("read", 200, client="c"), 9).body
    seal = sealed(one.seal, one.chain, 6, 9, body)
    trail.entries.append(Entered(one.chain, 6, 9, seal, body))
    trail.found_by.add((said.of_client("c"), 9, one.chain, 6))


def hidden(trail):
    trail.found_by.remove((AN, 2, 1, 3))


def found_by_another(trail):
    trail.found_by.add((BINH, 2, 1, 3))


def first_seal_lost(trail):
    trail.entries[0] = other(trail.entries[0], seal=FIRST)


def not_readable(trail):
    trail.entries[3] = other(trail.entries[3], body=b"\x28\xb5\x2f\xfd nothing")


EDITS = [
    (changed_body, "is not what its seal says"),
    (changed_time, "is not what its seal says"),
    (changed_body_and_seal, "is not what its seal says"),
    (changed_to_the_end, "the chain was made anew"),
    (removed, "1 are missing"),
    (removed_first, "1 are missing"),
    (removed_last, "tells of 5 entries"),
    (removed_and_closed_up, "is not what its seal says"),
    (removed_chain, "The chain 1 is not there"),
    (swapped, "is not what its seal says"),
    (moved_to_another_chain, "is not what its seal says"),
    (added, "had ended with 5, but goes on to 6"),
    (hidden, "can no longer be found by"),
    (found_by_another, "found by somebody they are not about"),
    (first_seal_lost, "is not what its seal says"),
    (not_readable, "cannot be read"),
]


@pytest.mark.parametrize(("edit", "sentence"), EDITS, ids=lambda one: getattr(one, "__name__", ""))
def test_v5_0_0_16_4_2_every_edit_removal_and_reorder_is_found(edit, sentence):
    trail, told = world(5, 4)
    assert verification.verify(trail, told).wrong == []
    edit(trail)
    assert any(sentence in wrong for wrong in verification.verify(trail, told).wrong)


def test_the_audit_of_a_server_that_goes_on_is_whole():
    """The anchors tell of what was there, and more has come since."""
    trail, _ = world(5, 4, 7)
    early = [
        Anchor(n, Head(one.chain, one.number, one.seal))
        for n, one in enumerate(trail.entries, start=1)
        if one.number == 2
    ]
    found = verification.verify(trail, early)
    assert (found.wrong, found.entries, found.chains, found.anchors) == ([], 16, 3, 3)
    assert verification.verify(Trail(), []).wrong == []


def test_anchors_that_contradict_one_another_are_told():
    trail, told = world(5)
    forged = told[0].head._replace(seal=bytes(32))
    wrong = verification.verify(trail, [*told, Anchor(9, forged)]).wrong
    assert "Lines 1 and 9 of the anchors contradict one another." in wrong


# --- anchors -------------------------------------------------------------------------------------


def test_an_anchor_is_written_once_and_read_back(tmp_path):
    file = tmp_path / "new" / "anchors.jsonl"
    writer = Anchors(file)
    head = Head(5, 3, bytes(range(32)))
    assert writer.tell([head]) == 1
    assert writer.tell([head]) == 0
    assert writer.tell([head._replace(number=4), Head(6, 1, bytes(32))]) == 2
    assert writer.tell([head._replace(number=4, ended=True), Head(6, 1, bytes(32))]) == 1
    assert Anchors(file).tell([head]) == 1  # another process knows nothing of this one's
    heads = [anchor.head for anchor in anchors.read(file)]
    assert [(h.chain, h.number, h.ended) for h in heads] == [
        (5, 3, False),
        (5, 4, False),
        (6, 1, False),
        (5, 4, True),
        (5, 3, False),
    ]
    assert heads[0] == head
    assert file.stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("line", [b"nonsense", b"{}", b'{"chain": 5}', b"[]", b'{"a":' * 300])
def test_a_line_that_is_no_anchor_is_told_by_its_place(tmp_path, line):
    file = tmp_path / "anchors"
    file.write_bytes(b"\n" + line + b"\n")
    with pytest.raises(anchors.BadAnchors, match="anchors:2"):
        list(anchors.read(file))


# --- what an entry says --------------------------------------------------------------------------


def stored(name: str, owner: int, generation: int = 1) -> Stored:
    key = Key(*name.split("/"))
    return Stored(key, Position(1), generation, bytes(16), 1, "PUT", b"{}", owner=owner)


def new(name: str, owner: int, before: int = 0, method: str = "PUT") -> NewVersion:
    key = Key(*name.split("/"))
    rows, was = IndexRows(owner=owner), IndexRows(owner=before)
    return NewVersion(key, 1, bytes(16), method, b"{}", rows, was)


def read(entry) -> Said:
    return said.read(entry.body)


def test_what_was_told_is_said_once_with_whose_it_is():
    record = Record("search-type", "/fhir/Observation?code=x", "r-1", clock=lambda: 42)
    record.tell([stored("Observation/1", AN), stored("Observation/2", BINH)])
    record.tell([stored("Observation/1", AN), stored("Location/3", 0)])
    (entry,) = record.entries(DOCTOR, 200)
    told = read(entry)
    assert [(one[0], one[1], one[3]) for one in told.resources] == [
        ("Observation", "1", 1),
        ("Observation", "2", 2),
        ("Location", "3", 0),
    ]
    assert told.patients == (AN, BINH)
    assert (told.client, told.user, told.facility) == ("his-ct", "Practitioner/bs", "hau-giang")
    assert (told.purpose, told.basis, told.token) == ("TREAT", "own-records", "t-1")
    assert entry.at == 42
    people = (said.of_client("his-ct"), said.of_user("Practitioner/bs"))
    assert entry.subjects == (*people, AN, BINH)


def test_what_is_moved_from_one_patient_to_another_is_of_both():
    entry = Record("update").written(DOCTOR, [new("Observation/1", AN, before=BINH)])
    assert read(entry).patients == (AN, BINH)
    assert {AN, BINH} <= set(entry.subjects)


# asked as        methods            said as
WRITES = [
    ("create", ["POST"], "create"),
    ("transaction", ["POST"], "transaction"),
    ("batch", ["POST"], "create"),
    ("batch", ["PATCH"], "patch"),
    ("batch", ["DELETE"], "delete"),
]


@pytest.mark.parametrize(("asked", "methods", "name"), WRITES)
def test_an_entry_of_a_batch_is_said_by_its_own_name(asked, methods, name):
    versions = [new(f"Basic/{n}", 0, method=method) for n, method in enumerate(methods)]
    assert read(Record(asked).written(DOCTOR, versions)).interaction == name


def test_a_request_whose_commit_took_its_entry_along_needs_no_other():
    record = Record("create")
    record.committed()
    assert record.entries(DOCTOR, 201) == ()
    record.tell([stored("Patient/an", AN)])  # a GET in a transaction
    assert len(record.entries(DOCTOR, 200)) == 1


def test_a_refusal_is_said_with_its_reason_and_each_of_a_batch():
    record = Record("batch", "/fhir")
    record.refuse("read", "Patient/x", 404, "not-found")
    one, whole = map(read, record.entries(DOCTOR, 200))
    assert (one.interaction, one.status, one.code, one.url) == (
        "read",
        404,
        "not-found",
        "Patient/x",
    )
    assert (whole.interaction, whole.status) == ("batch", 200)


def test_long_entries_are_packed_and_read_back():
    many = tuple(("Observation", f"o{n}", "1-abc", 0) for n in range(500))
    entry = said.entry(Said("search-type", 200, resources=many), 1)
    assert len(entry.body) < 4000
    assert read(entry).resources == many


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"[1,2]", b"\xff", b"\x28\xb5\x2f\xfd", b"["])
def test_bytes_that_are_no_entry_are_refused(body):
    with pytest.raises(said.Unreadable):
        said.read(body)


def test_what_one_patient_is_told_names_no_other_and_not_how_it_was_asked():
    told = Said(
        "search-type",
        200,
        url="/fhir/Observation?patient.identifier=123",
        resources=(("Observation", "1", "v", 1), ("Observation", "2", "v", 2)),
        patients=(AN, BINH),
    )
    own = told.of(BINH)
    assert own.resources == (("Observation", "2", "v", 1),)
    assert (own.patients, own.url) == ((BINH,), "")
    assert told.of(99).resources == ()


# --- AuditEvents ---------------------------------------------------------------------------------

READ = Said(
    "read",
    200,
    url="/fhir/Observation/o1",
    request="r-1",
    client="his-ct",
    user="Practitioner/bs",
    facility="hau-giang",
    roles=("doctor",),
    purpose="TREAT",
    basis="own-records",
    token="7f0c2d",
    address="203.0.113.7",
    resources=(("Observation", "o1", "3-abc", 1),),
    patients=(AN,),
)
ENTERED = Entered(0x18C, 7, 1_800_000_000_123, bytes(32), b"")


def changed(**changes) -> Said:
    return msgspec.structs.replace(READ, **changes)


# what was said                                                        the profile it claims
CLAIMED = [
    (READ, "PatientRead"),
    (changed(patients=()), "Read"),
    (changed(interaction="create"), "PatientCreate"),
    (changed(interaction="patch"), "PatientUpdate"),
    (changed(interaction="delete"), "PatientDelete"),
    (changed(interaction="search-type"), "PatientQuery"),
    (changed(interaction="search-system", patients=()), "Query"),
    (changed(interaction="search-type", patients=(AN, BINH)), "Query"),
    (changed(interaction="transaction"), None),
    (changed(interaction="operation"), None),
    (changed(status=404, code="not-found"), None),
    (changed(address=""), None),
    (changed(client="anyone", user="", facility="", roles=(), purpose=""), "PatientRead"),
    (changed(user="https://idp.example|u-93"), "PatientRead"),
    (changed(basis="Consent/c1", reason="unconscious"), "PatientRead"),
    (Said("load", 200, client="operator"), None),
    (Said("unreadable", 500), None),
]


@pytest.mark.parametrize(("told", "profile"), CLAIMED)
def test_an_audit_event_is_valid_r4_and_claims_only_what_it_is(told, profile):
    resource = event.audit_event("1", ENTERED, told, NAMES, BASE)
    issues = base_knowledge(definitions.load()).current.validator.check(resource)
    assert [issue for issue in issues if issue.severity in ("error", "fatal")] == []
    claimed = resource["meta"].get("profile", [None])[0]
    assert claimed == (profile and event.PROFILE + profile)
    demand_shape(resource, profile)


def demand_shape(resource, profile):
    """What IHE asks of all ten profiles (Basic Audit 1.1.4)."""
    agents = resource["agent"]
    assert sum(agent["requestor"] for agent in agents) == 1
    if profile is None:
        return
    assert resource["outcome"] == "0"
    assert all("who" in agent and "type" in agent for agent in agents)
    assert all(agent["network"]["address"] for agent in agents[:2])
    assert all("network" not in agent for agent in agents[2:])
    roles = [entity.get("role", {}).get("code") for entity in resource["entity"]]
    assert roles.count("1") == (1 if profile.startswith("Patient") else roles.count("1"))
    if profile.endswith("Query"):
        (query,) = [one for one in resource["entity"] if one.get("role", {}).get("code") == "24"]
        assert base64.b64decode(query["query"])
        assert not {"name", "what", "detail", "lifecycle"} & query.keys()
    else:
        assert roles.count("4") == 1


def test_a_refusal_says_how_grave_it_was():
    told = {status: event.outcome(status) for status in (200, 304, 401, 404, 499, 500, 503)}
    assert told == {200: "0", 304: "0", 401: "4", 404: "4", 499: "4", 500: "8", 503: "8"}
    resource = event.audit_event("1", ENTERED, changed(status=403, code="forbidden"), NAMES, BASE)
    assert (resource["outcome"], resource["outcomeDesc"]) == ("4", "403 forbidden")


def test_an_id_names_one_entry_and_tells_neither_its_place_nor_how_many_there_are():
    secret = b"a secret of the server"
    ids = [naming.id_of(secret, ENTERED._replace(number=number)) for number in range(1, 300)]
    assert [naming.place(secret, id) for id in ids] == [(0x18C, n) for n in range(1, 300)]
    assert len(set(ids)) == 299
    assert len({id[:4] for id in ids} | {id[-4:] for id in ids}) > 500  # no part is common to all
    assert naming.id_of(secret, ENTERED) == naming.id_of(secret, ENTERED._replace(at=9, body=b""))
    assert naming.place(b"another secret", ids[0]) != (0x18C, 1)


# Of these none can be made from a place: other lengths, other letters, the ids there were before.
@pytest.mark.parametrize("id", ["", "7", "18c-7", "f" * 31, "f" * 33, "g" * 32, "F" * 32, "é" * 32])
def test_what_is_no_id_names_no_entry(id):
    assert naming.place(b"a secret of the server", id) is None


def test_a_patient_who_is_not_stored_here_is_told_by_number():
    resource = event.audit_event("1", ENTERED, changed(patients=(BINH,)), NAMES, BASE)
    (who,) = [one["what"] for one in resource["entity"] if one["type"]["code"] == "1"]
    assert who["identifier"]["value"] == str(BINH)


# --- reports -------------------------------------------------------------------------------------


def test_a_report_sums_up_whose_records_and_which_fields_were_told():
    entries = [
        READ,
        changed(url="/fhir/Observation?_elements=code,status&x=1", patients=(AN, BINH)),
        changed(url="/fhir/Observation?_summary=text"),
        changed(status=404, code="not-found", resources=(), patients=()),
        changed(interaction="operation", url="/fhir/$export?_type=Patient", resources=()),
    ]
    lane, found = Lane(1), []
    for at, one in enumerate(entries, start=1):
        rows, lane = lane.onward([said.entry(one, at)])
        found += [one for row in rows.entries for one in block.entries(Entered(*row))]
    told = reporting.report([*found, found[0]._replace(body=b"?")])
    assert (told.entries, told.unreadable, told.first, told.last) == (6, 1, 1, 5)
    assert told.patients == {AN: 4, BINH: 1}
    assert told.types == {"Observation": 3}
    assert told.fields == {
        ("Observation", reporting.ALL): 1,
        ("Observation", "code, status"): 1,
        ("Observation", "summary: text"): 1,
    }
    assert told.refused == {"404 not-found": 1}
    assert [url for _, url in told.exports] == ["/fhir/$export?_type=Patient"]
