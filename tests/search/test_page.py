"""page: the next page, from an opaque token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.foundation.outcome import Invalid
from fhir_server.search.page import seal, unseal

SECRET = b"s" * 32
PAYLOAD = {"q": "Patient?name=ly", "p": [5, "Patient", "1"], "b": "77"}


def test_what_is_sealed_comes_back() -> None:
    token = seal(SECRET, PAYLOAD)
    assert unseal(SECRET, token) == PAYLOAD
    assert token.replace("-", "").replace("_", "").isalnum()


@given(st.text())
def test_what_another_wrote_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        unseal(SECRET, text)


@given(st.integers(min_value=0, max_value=len(seal(SECRET, PAYLOAD)) - 1), st.characters())
def test_a_token_with_one_letter_changed_is_refused(place: int, letter: str) -> None:
    token = seal(SECRET, PAYLOAD)
    changed = token[:place] + letter + token[place + 1 :]
    try:
        opened = unseal(SECRET, changed)
    except Invalid as refusal:
        assert refusal.issues[0].expression == "http._cursor"
    else:
        # the last letter carries bits that mean nothing
        assert opened == PAYLOAD


def test_another_servers_token_is_refused() -> None:
    with pytest.raises(Invalid, match="another server's"):
        unseal(b"t" * 32, seal(SECRET, PAYLOAD))


def test_an_endless_token_is_refused() -> None:
    with pytest.raises(Invalid):
        unseal(SECRET, "A" * 1_000_000)
