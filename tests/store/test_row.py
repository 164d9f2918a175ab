"""A row is what was written: ids of every form, and a bit for each dominant row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.store.contract import KeyRow
from fhir_server.store.row import bits, id_of, packed_id

UUID = "018b883d-9860-7480-95ab-eb71e7fdee54"
IDS = [
    # id                    bytes
    (UUID, 16),
    (UUID.upper(), 36),
    (UUID.replace("-", ""), 32),
    ("sixteen-letters-", 17),
    ("fifteen-letters", 15),
    ("a", 1),
    ("a" * 17, 17),
    ("a" * 64, 64),
]


@pytest.mark.parametrize(("id", "length"), IDS)
def test_an_id_is_kept_in_few_bytes_and_read_back_as_it_was(id, length):
    assert len(packed_id(id)) == length
    assert id_of(packed_id(id)) == id


@given(st.from_regex(r"[A-Za-z0-9\-.]{1,64}", fullmatch=True), st.uuids())
def test_no_two_ids_are_kept_alike(id, uuid):
    assert id_of(packed_id(id)) == id
    assert id_of(packed_id(str(uuid))) == str(uuid)
    assert packed_id(id) != packed_id(str(uuid))


def test_an_id_that_is_damaged_can_still_be_told():
    assert id_of(b"\xff\xfe") == "\ufffd\ufffd"


def test_each_dominant_row_is_a_bit_and_no_other_row_is():
    rows = [KeyRow(1, 1), KeyRow(2, 2, 1), KeyRow(3, 3, 3), KeyRow(4, 4, 62)]
    assert bits(rows) == 0b101 | 1 << 61
    assert bits([]) == 0
