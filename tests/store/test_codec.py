"""A body comes back as it came in, small while it lies, and named by what it says."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from fhir_server.foundation import wire
from fhir_server.foundation.resource import Key, Resource
from fhir_server.store.codec import (
    MAGIC,
    Codec,
    Damaged,
    digest_of,
    instant,
    resource_of,
    shipped_dictionaries,
    tail_of,
    whole,
)
from fhir_server.store.contract import Position, Stored

EXAMPLES = Path(__file__).parents[2].parent / "shared" / "testdata" / "r4-examples"
VERSION = "1-aeaqcaibaeaqcaibaeaqcaibae"
HEAD = f'"meta":{{"versionId":"{VERSION}","lastUpdated":"2026-11-22T01:02:03.004Z"'


def lying(resource: Resource, tail: bytes | None = None) -> Stored:
    key = Key(resource["resourceType"], resource["id"])
    body = tail_of(resource) if tail is None else tail
    return Stored(key, Position(1), 1, b"\x01" * 16, 1795309323004, "PUT", body)


# what was put                                       what is sent, after the id
TAILS = [
    ({}, HEAD + "}}"),
    ({"meta": {}}, HEAD + "}}"),
    ({"meta": {"versionId": "x", "lastUpdated": "y"}}, HEAD + "}}"),
    ({"meta": {"tag": [{"code": "a"}]}}, HEAD + ',"tag":[{"code":"a"}]}}'),
    ({"active": True}, HEAD + '},"active":true}'),
    ({"meta": {"source": "s"}, "active": True}, HEAD + ',"source":"s"},"active":true}'),
    ({"_id": {"extension": [{"url": "u"}]}}, HEAD + '},"_id":{"extension":[{"url":"u"}]}}'),
    ({"name": [{"text": "Ngô Thị Đào"}]}, HEAD + '},"name":[{"text":"Ngô Thị Đào"}]}'),
]


@pytest.mark.parametrize(("content", "sent"), TAILS)
def test_a_body_is_sent_with_its_head_spliced_on(content, sent):
    resource = {"resourceType": "Patient", "id": "1", **content}
    assert whole(lying(resource)).decode() == '{"resourceType":"Patient","id":"1",' + sent


def test_a_deletion_has_nothing_to_send():
    with pytest.raises(ValueError, match="Patient/1"):
        whole(Stored(Key("Patient", "1"), Position(1), 2, b"\x01" * 16, 0, "DELETE", None))


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1795309323004, "2026-11-22T01:02:03.004Z"),
        (1795309323999, "2026-11-22T01:02:03.999Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_an_instant_is_utc_to_the_millisecond(milliseconds, text):
    assert instant(milliseconds) == text


@pytest.mark.parametrize("number", ["1.50", "1.0", "0.00000001", "1e-7", "100.00", "-3.10"])
def test_numbers_keep_their_digits(number):
    body = f'{{"resourceType":"Observation","id":"1","valueQuantity":{{"value":{number}}}}}'
    stored = lying(wire.parse(body.encode()))
    assert f'"value":{number}}}'.encode() in whole(stored)
    assert f'"value":{number}}}'.encode() in wire.render(resource_of(stored))


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="HL7's examples are not on this machine")
def test_every_example_of_hl7_comes_back_as_it_went_in():
    codec = Codec()
    for path in sorted(EXAMPLES.glob("*.json")):
        resource = wire.parse(path.read_bytes())
        stored = lying(resource, codec.unpack(*codec.pack(tail_of(resource))))
        back = resource_of(stored)
        for each in (back, resource):
            meta = {k: v for k, v in each.pop("meta", {}).items() if k[:4] not in ("vers", "last")}
            each["meta"] = meta
        assert json.loads(wire.render(back)) == json.loads(wire.render(resource)), path.name
        assert list(back["meta"]) == list(resource["meta"]), path.name


# --- names ---------------------------------------------------------------------------------------


def name(resource: Resource | None, parents: tuple[str, ...] = (), **what) -> bytes:
    told = {"type": "Patient", "id": "1", "deleted": resource is None, **what}
    return digest_of(told["type"], told["id"], parents, deleted=told["deleted"], resource=resource)


ONE = {"resourceType": "Patient", "id": "1", "active": True, "meta": {"source": "s"}}
SAME = [
    {"meta": {"source": "s"}, "active": True, "id": "1", "resourceType": "Patient"},
    {**ONE, "meta": {"source": "s", "versionId": "7", "lastUpdated": "2026-01-01T00:00:00Z"}},
]
OTHER = [
    {**ONE, "active": False},
    {**ONE, "meta": {}},
    {**ONE, "name": [{"family": "Ngô"}]},
]


@pytest.mark.parametrize("resource", SAME)
def test_one_content_has_one_name_however_it_is_written(resource):
    assert name(resource) == name(ONE)


@pytest.mark.parametrize("resource", OTHER)
def test_another_content_has_another_name(resource):
    assert name(resource) != name(ONE)


def test_a_name_tells_type_id_parents_and_deletion():
    names = [
        name(ONE),
        name(ONE, type="Person"),
        name(ONE, id="2"),
        name(ONE, ("1-a",)),
        name(ONE, ("1-a", "1-b")),
        name(None),
    ]
    assert len(set(names)) == len(names)
    assert name(ONE, ("1-a", "1-b")) == name(ONE, ("1-b", "1-a"))
    assert all(len(each) == 16 for each in names)


def test_the_name_of_a_version_never_changes():
    # Another result here means that every server disagrees with every database there is.
    assert name(ONE, ("1-a",)).hex() == "756df48e1c276e9f48525a7f29e43acd"


@pytest.mark.parametrize(("one", "other"), [("1.5", "1.50"), ("1e-7", "0.0000001"), ("1", "1.0")])
def test_numbers_are_told_apart_by_their_text(one, other):
    def named(number: str) -> bytes:
        return name(wire.parse(b'{"resourceType":"Basic","x":%s}' % number.encode()))

    assert named(one) != named(other)
    assert named(one) == named(one)


def test_an_integer_beyond_64_bits_has_a_name():
    assert name({"b": 2**70, "a": [2**70]}) == name({"a": [2**70], "b": 2**70})


# --- packing -------------------------------------------------------------------------------------

BODIES = [b"}}", b'},"active":true}', "Đặng".encode() * 10_000, bytes(range(256)) * 40, b""]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("dictionaries", [{}, None], ids=["bare", "shipped"])
def test_what_is_packed_is_unpacked(dictionaries, body):
    codec = Codec(dictionaries)
    assert codec.unpack(*codec.pack(body)) == body


def test_a_body_names_its_dictionary_and_later_ones_change_nothing():
    first = shipped_dictionaries()[1]
    before = Codec({1: first})
    number, packed = before.pack(b'},"status":"finished"}')
    after = Codec({1: first, 2: b"finished" * 99})
    assert (number, after.newest) == (1, 2)
    assert after.unpack(number, packed) == b'},"status":"finished"}'
    assert after.unpack(*after.pack(b"x" * 50)) == b"x" * 50


def test_a_missing_dictionary_is_said():
    with pytest.raises(Damaged, match="dictionary 9"):
        Codec({}).unpack(9, Codec({}).pack(b"x")[1])


@pytest.mark.parametrize(
    "bytes_",
    [b"", b"nonsense", b"\x00", b"\xff" * 40, b"\xe0" + (2**40).to_bytes(8, "little") + b"x"],
    ids=["empty", "text", "zero", "ones", "claims a terabyte"],
)
def test_damage_is_refused_without_using_memory(bytes_):
    with pytest.raises(Damaged):
        Codec({}).unpack(0, bytes_)


def test_a_truncated_body_is_damage():
    codec = Codec()
    number, packed = codec.pack(b'},"status":"finished","x":"' + bytes(range(65, 90)) * 9)
    with pytest.raises(Damaged):
        codec.unpack(number, packed[:-3])


def test_the_magic_number_is_not_kept():
    assert not Codec().pack(b"x" * 100)[1].startswith(MAGIC)


def test_threads_share_a_codec():
    codec, wrong = Codec(), []

    def work(letter: bytes) -> None:
        for size in range(1, 400):
            if codec.unpack(*codec.pack(letter * size)) != letter * size:
                wrong.append(letter)

    threads = [threading.Thread(target=work, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
