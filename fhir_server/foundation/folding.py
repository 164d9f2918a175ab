"""folding — text as searches compare it: no case, no tones, no marks, no punctuation.

https://hl7.org/fhir/R4/search.html#string

Vietnamese is written in two ways in Unicode (NFC, NFD) and places tones in two ways (hoà, hòa):
all become `hoa`. đ has no decomposition in Unicode and is made d by hand.
"""

from __future__ import annotations

from functools import lru_cache
from unicodedata import category, normalize

WORD_LENGTH = 64  # characters of a word that are kept
KEPT = 0x3000  # a table of the letters below (Latin with all its marks) is kept, no more

ALONE = {"đ": "d", "Đ": "d"}  # letters that Unicode does not take apart


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


@lru_cache(maxsize=1 << 13)
def words(text: str) -> tuple[str, ...]:
    """The distinct folded words of a text, in order, each cut to WORD_LENGTH."""
    found = text.translate(_FOLDED).split()
    return tuple(dict.fromkeys(word[:WORD_LENGTH] for word in found))
