"""index — what search will find a resource by, and what can be asked of it.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fhir_server.store.contract.number import UNDATED

WHOLE_TEXT = 1 << 14  # beside a parameter's number: the row is of a whole value
CUT = 128  # folded letters of a whole value that stand in its row
FIRST, LAST = 1, 2  # beside the hash of a whole value: where it stands among its parameter's


class KeyRow(NamedTuple):
    """A token, reference or uri, as two integers.

    v: parameter number << 50 | 50 bits of the value's hash. A reference: 50 low bits of its rid.
    w: token: 32 bits of the system's hash (0: no system) << 32 | 32 more bits of the code's hash,
       as a signed 64-bit integer. Reference: the target's whole rid. Uri: 63 more bits.
    dominant: 0, or so common a value (status=finished) that the store keeps it as a bit beside
       the resource instead of in the index: 1 + the number of that bit, below 62. What a bit
       means goes by the resource's type.
    """

    v: int
    w: int
    dominant: int = 0


class StringRow(NamedTuple):
    """A string, folded (no marks, no case): one of its words, or all of it.

    param: the parameter's number; + WHOLE_TEXT where `word` is the whole of a value of several
    words, parted by one space, or the first of it where it is long.
    whole: 0 for a word of several, or a further piece of a long value. Else the row stands for a
    whole value: 28 bits of a hash of the value as it was written << 2, + FIRST where it is the
    smallest of the parameter's values in the resource, + LAST where it is the greatest (of
    folded, then of whole).
    """

    param: int
    word: str
    whole: int = 0


class DateRow(NamedTuple):
    """An interval in milliseconds since 1970 UTC: lo <= t < hi; MISSING/-MISSING where open."""

    param: int
    lo: int
    hi: int


class QuantityRow(NamedTuple):
    """A number or quantity; unit: 0 for a number, else 63 bits of a hash of system|code.

    A quantity with a coded unit and a display unit has a row for each way to ask.
    """

    param: int
    unit: int
    lo: float
    hi: float


class UriRow(NamedTuple):
    """The text behind the key row (v, w) of a uri, kept once for all resources that have it."""

    param: int
    uri: str
    v: int
    w: int


NO_DATE = (UNDATED, UNDATED)


@dataclass(frozen=True, slots=True)
class IndexRows:
    """All rows of one resource. `main` is the type's main date (Encounter.date), NO_DATE if none.

    The main date's own rows are not in `dates` but in `main`, where it is a single interval.
    `owner` is the rid of the patient whose compartment holds the resource, or 0.
    """

    keys: frozenset[KeyRow] = frozenset()
    strings: frozenset[StringRow] = frozenset()
    dates: frozenset[DateRow] = frozenset()
    quantities: frozenset[QuantityRow] = frozenset()
    main: tuple[int, int] = NO_DATE
    owner: int = 0
    uris: frozenset[UriRow] = frozenset()


NO_ROWS = IndexRows()


# --- conditions: what can be asked of the index --------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyIs:
    """A key row with this v and, under `mask`, this w (mask 0: any w).

    dominant: as the row has it, or 0. A dominant row is met only by a condition that says so, and
    that is about the whole row (mask -1) of resources of the type `of`, whose bit it is.
    """

    v: int
    w: int = 0
    mask: int = 0  # -1: all of w; the low or high half for a code or a system alone
    dominant: int = 0
    of: str = ""


@dataclass(frozen=True, slots=True)
class KeyBetween:
    """A key row with lo <= v < hi (any value of one parameter) and, under `mask`, this w.

    It meets no dominant row: who wants them asks for each.
    """

    lo: int
    hi: int
    w: int = 0
    mask: int = 0


def slots(text: str, numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Under which numbers the rows of folded values stand that are like `text`, in so far as they
    are of one word or of several."""
    return tuple(number + WHOLE_TEXT for number in numbers) if " " in text else numbers


@dataclass(frozen=True, slots=True)
class WordStarts:
    """A string row whose word begins with `prefix` (already folded).

    It is of the parameter, or of one of those in `also`, under which some of its words stand.
    spelt: other words that are the same, each as a whole (`mi` for `my`, not `minh`).
    """

    param: int
    prefix: str
    also: tuple[int, ...] = ()
    spelt: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Whole:
    """A string row of a whole value, `text` when folded, with these 28 bits of its hash."""

    param: int
    text: str
    digest: int
    also: tuple[int, ...] = ()

    @property
    def params(self) -> tuple[int, ...]:
        """What the row's `param` may be."""
        return slots(self.text, (self.param, *self.also))


@dataclass(frozen=True, slots=True)
class Contains:
    """A value that has `text` (already folded) anywhere in it: where it is of one word, a word;
    where it is of several, a row of a whole value of several words, or a piece of one.

    A space before or behind the text means that a word begins or ends there.
    """

    param: int
    text: str
    also: tuple[int, ...] = ()

    @property
    def params(self) -> tuple[int, ...]:
        """What the row's `param` may be."""
        return slots(self.text.strip(), (self.param, *self.also))


@dataclass(frozen=True, slots=True)
class WholeLike:
    """A string row of a whole value shorter than CUT that, folded, is `text`, or begins or ends
    with it."""

    param: int
    text: str
    how: str  # is | begins | ends
    also: tuple[int, ...] = ()

    @property
    def params(self) -> tuple[int, ...]:
        """What the row's `param` may be: a value of several words may begin with one."""
        numbers = (self.param, *self.also)
        several = tuple(number + WHOLE_TEXT for number in numbers)
        if " " in self.text:
            return several
        return numbers if self.how == "is" else (*numbers, *several)


@dataclass(frozen=True, slots=True)
class UriStarts:
    """A uri of the parameter that begins with `prefix`."""

    param: int
    prefix: str


@dataclass(frozen=True, slots=True)
class TextHas:
    """The index of words has, of each of these lists, at least one term for the resource.

    A term is made of letters and digits; with a `*` after it it stands for all that begin so.
    many: so many have them that each resource had better be asked.
    """

    lists: tuple[tuple[str, ...], ...]
    many: bool = False


@dataclass(frozen=True, slots=True)
class Near:
    """A position (the quantity row's lo is its latitude, hi its longitude, in degrees; unit 0) at
    most so many metres away."""

    param: int
    latitude: float
    longitude: float
    metres: float


@dataclass(frozen=True, slots=True)
class Interval:
    """A row whose lo and hi lie within these half-open bounds; None: unbounded.

    lo_from <= lo < lo_to and hi_from <= hi < hi_to.
    param None: the main date; else index_date, or index_quantity where `unit` is not None
    (unit -1: any unit). mask: the bits of a row's unit that must be those of `unit`; -1: all.
    """

    param: int | None
    lo_from: float | None = None
    lo_to: float | None = None
    hi_from: float | None = None
    hi_to: float | None = None
    unit: int | None = None
    mask: int = -1


@dataclass(frozen=True, slots=True)
class UpdatedWithin:
    """meta.lastUpdated from <= t < to, in milliseconds since 1970 UTC."""

    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class RidIn:
    """One of these resources."""

    rids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of these; an empty AllOf is true of every resource."""

    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of these; an empty AnyOf is true of none."""

    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    condition: Condition


@dataclass(frozen=True, slots=True)
class Refers:
    """One of these reference parameters names a resource of `types` that meets `where`.

    owned: whenever the reference is to a Patient, that is the resource's owner, so that the row
    of `current` tells it. many: so many meet `where` that each resource had better be asked whose
    it is, instead of each of them what refers to it.
    """

    numbers: tuple[int, ...]
    types: tuple[str, ...]
    where: Condition
    owned: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True)
class ReferredBy:
    """A resource of `types` that meets `where` names this one by one of these parameters.

    owned: as of Refers, of the resources that refer. many: as of Refers.
    """

    numbers: tuple[int, ...]
    types: tuple[str, ...]
    where: Condition
    owned: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True)
class Beneath:
    """The reference parameter `number` names one of `roots`, or what lies beneath one.

    parts: the parameters by which a part names its whole (Location.partof). above: not what lies
    beneath, but what a root is a part of, and that in turn. A part or whole that the caller may
    not reach leads no further.
    """

    number: int
    roots: tuple[int, ...]
    parts: tuple[int, ...]
    above: bool = False


Condition = (
    KeyIs
    | KeyBetween
    | WordStarts
    | Whole
    | Contains
    | WholeLike
    | UriStarts
    | TextHas
    | Near
    | Interval
    | UpdatedWithin
    | RidIn
    | AllOf
    | AnyOf
    | Not
    | Refers
    | ReferredBy
    | Beneath
)
