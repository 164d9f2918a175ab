"""folding — text as searches compare it: no case, no tones, no marks, no punctuation.

https://hl7.org/fhir/R4/search.html#string

Vietnamese is written in two ways in Unicode (NFC, NFD) and places tones in two ways (hoà, hòa):
all become `hoa`. đ has no decomposition in Unicode and is made d by hand.

i and y are one sound at the end of some syllables, and families write it as they like (Mỹ, Mĩ).
Folding leaves them as they are written; `other_spelling` says what else a word may be.
"""

from __future__ import annotations

from functools import lru_cache
from unicodedata import category, normalize

WORD_LENGTH = 64  # characters of a word that are kept
KEPT = 0x3000  # a table of the letters below (Latin with all its marks) is kept, no more

# Letters that Unicode does not take apart: đ, and those of other languages whose capitals look like
# Đ, so that some keyboards and old fonts have left them in its place.
ALONE = dict.fromkeys("đĐ\u00f0\u00d0\u0256\u0189", "d")

# QĐ 1989/QĐ-BGDĐT (2018), Điều 9: schoolbooks write the sound i after a first consonant with i (hi,
# kỉ, lí, mĩ, sĩ, tỉ); people keep the y of their names, or not. Only where both are in use for
# one and the same name: Thy is no Thi, Thúy no Thúi, Huỳnh no Huình.
ONE_SOUND = {
    "i": "y", "hi": "hy", "ki": "ky", "li": "ly", "mi": "my", "ni": "ny", "si": "sy", "ti": "ty",
    "vi": "vy", "qui": "quy", "quinh": "quynh", "quit": "quyt", "quich": "quych",
}  # fmt: skip
_OTHER = ONE_SOUND | {y: i for i, y in ONE_SOUND.items()}


class _Folded(dict[int, str]):
    """What each character becomes: letters and digits without marks, a space for the rest."""

    def __missing__(self, point: int) -> str:
        became = _character(chr(point))
        if point < KEPT:
            self[point] = became
        return became


def _character(character: str) -> str:
    if character in ALONE:
        return ALONE[character]
    kind = category(character)
    if kind in ("Mn", "Me"):
        return ""
    if kind[0] not in "LNM":
        return " "
    bare = _unmarked(character).casefold()
    return _unmarked(bare)  # the small letter of İ brings its dot back


def _unmarked(text: str) -> str:
    return "".join(c for c in normalize("NFD", text) if category(c) not in ("Mn", "Me"))


_FOLDED = _Folded()


def fold(text: str) -> str:
    """`Nguyễn Văn Đức` -> `nguyen van duc`; words are parted by one space."""
    return " ".join(text.translate(_FOLDED).split())


def every_word(text: str) -> list[str]:
    """The folded words of a text, as often and in the order it has them, each cut."""
    return [word[:WORD_LENGTH] for word in text.translate(_FOLDED).split()]


def other_spelling(word: str) -> str | None:
    """A folded word as others write it: `my` for `mi` and the other way."""
    return _OTHER.get(word)


@lru_cache(maxsize=1 << 13)
def words(text: str) -> tuple[str, ...]:
    """The distinct folded words of a text, in order, each cut to WORD_LENGTH."""
    return tuple(dict.fromkeys(every_word(text)))
