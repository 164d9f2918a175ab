"""page: the next page, from an opaque token."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.foundation.outcome import Invalid
from fhir_server.search.page import seal, unseal

SECRET = b"s" * 32
PAYLOAD = {"q": "Patient?name=ly", "p": [5, "Patient", "1"], "b": "77"}


def test_what_is_sealed_comes_back() -> None:
    token = seal(SECRET, PAYLOAD, to="a")
    assert unseal(SECRET, token, to="a") == PAYLOAD
    assert token.replace("-", "").replace("_", "").isalnum()


@given(st.text())
def test_what_another_wrote_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        unseal(SECRET, text, to="a")


@given(st.integers(min_value=0, max_value=len(seal(SECRET, PAYLOAD, to="a")) - 1), st.characters())
def test_a_token_with_one_letter_changed_is_refused(place: int, letter: str) -> None:
    token = seal(SECRET, PAYLOAD, to="a")
    changed = token[:place] + letter + token[place + 1 :]
    if changed != token:
        with pytest.raises(Invalid) as refusal:
            unseal(SECRET, changed, to="a")
        assert refusal.value.issues[0].expression == "http._cursor"


def test_another_servers_token_is_refused() -> None:
    with pytest.raises(Invalid, match="another server"):
        unseal(b"t" * 32, seal(SECRET, PAYLOAD, to="a"), to="a")


def test_a_token_opens_for_nobody_else() -> None:
    with pytest.raises(Invalid, match="somebody else"):
        unseal(SECRET, seal(SECRET, PAYLOAD, to="a"), to="b")


def test_a_token_tells_nothing_of_what_it_holds() -> None:
    held = {**PAYLOAD, "p": ["Nguyễn Văn An", 5]}
    letters = seal(SECRET, held, to="a")
    opened = base64.urlsafe_b64decode(letters + "=" * (-len(letters) % 4))
    assert "Nguyễn".encode() not in opened
    assert b"Nguy" not in opened


def test_the_same_place_is_never_sealed_alike() -> None:
    assert seal(SECRET, PAYLOAD, to="a") != seal(SECRET, PAYLOAD, to="a")


def test_a_token_is_no_longer_where_more_was_written() -> None:
    """The bound counts everybody's versions."""
    sizes = {len(seal(SECRET, {**PAYLOAD, "b": "9" * n}, to="a")) for n in range(1, 100)}
    assert len(sizes) == 1


def test_an_endless_token_is_refused() -> None:
    with pytest.raises(Invalid):
        unseal(SECRET, "A" * 1_000_000, to="a")
