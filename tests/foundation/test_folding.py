"""folding: text as string search compares it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.foundation.folding import (
    ONE_SOUND,
    WORD_LENGTH,
    every_word,
    fold,
    other_spelling,
    words,
)

# what is written          what it is compared as
TABLE = [
    ("Nguyễn Văn Đức", "nguyen van duc"),
    ("hoà", "hoa"),
    ("hòa", "hoa"),
    ("ĐẶNG", "dang"),
    ("\u00d0\u1ea0T \u00f0\u00ea m, \u0189\u0256", "dat de m dd"),  # not Đ, but taken for it
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


def test_every_word_is_told_as_often_as_it_stands_there() -> None:
    assert every_word("An an ÁN Bình") == ["an", "an", "an", "binh"]


@pytest.mark.parametrize(("i", "y"), ONE_SOUND.items())
def test_i_and_y_stand_for_each_other_in_syllables_that_are_written_either_way(i, y) -> None:
    assert (other_spelling(i), other_spelling(y)) == (y, i)
    assert fold(i) == i
    assert y == "".join(reversed("".join(reversed(i)).replace("i", "y", 1)))


@pytest.mark.parametrize(
    "word", ["thi", "thy", "thuy", "thui", "huynh", "minh", "nhi", "hay", "di"]
)
def test_no_other_syllable_has_another_spelling(word) -> None:
    assert other_spelling(word) is None
