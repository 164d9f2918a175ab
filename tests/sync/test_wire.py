"""What hub and node send is small, and comes out as it went in."""

from __future__ import annotations

import pytest

from fhir_server.sync import wire

TEXT = b'{"resourceType":"Bundle","type":"history","entry":[]}' * 50


def test_what_was_packed_is_unpacked() -> None:
    assert wire.unpacked(wire.packed(TEXT), at_most=len(TEXT)) == TEXT


def test_more_than_is_wanted_is_not_unpacked() -> None:
    with pytest.raises(ValueError, match="larger"):
        wire.unpacked(wire.packed(TEXT), at_most=len(TEXT) - 1)


def test_what_is_damaged_is_not_taken() -> None:
    with pytest.raises(ValueError, match="not whole"):
        wire.unpacked(wire.packed(TEXT)[:60] + b"\xff" * 20, at_most=10_000)


def test_a_released_dictionary_stays_as_it_is() -> None:
    first = next(iter(wire.dictionaries()))
    assert first.hex() == "3dd851ba821fada9a4b4ad8473b85d0080c79b7427cf81060bd0a88b1aea344e"
