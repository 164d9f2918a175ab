"""folding: text as string search compares it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.foundation.folding import WORD_LENGTH, fold, words

# what is written          what it is compared as
TABLE = [
    ("Nguyễn Văn Đức", "nguyen van duc"),
    ("hoà", "hoa"),
    ("hòa", "hoa"),
    ("ĐẶNG", "dang"),
    ("Ư Ơ ư ơ", "u o u o"),
    ("O'Brien-Smith,  Jr.", "o brien smith jr"),
    ("Straße", "strasse"),
    ("İstanbul", "istanbul"),
    ("ΣΊΣΥΦΟΣ", "σισυφοσ"),
    ("phường 12/3", "phuong 12 3"),
    ("日本 語", "日本 語"),
    ("— … !", ""),
    ("", ""),
]


@pytest.mark.parametrize(("text", "folded"), TABLE)
def test_case_tones_marks_and_punctuation_are_nothing(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text())
def test_folding_does_not_care_how_unicode_composes(text: str) -> None:
    assert fold(unicodedata.normalize("NFC", text)) == fold(unicodedata.normalize("NFD", text))


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_words_are_distinct_and_of_bounded_length() -> None:
    assert words("An an ÁN Bình") == ("an", "binh")
    assert words("a" * 1000) == ("a" * WORD_LENGTH,)
