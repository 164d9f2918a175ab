"""words — conditions on index_string: how words begin, what whole values are, what they contain.

https://hl7.org/fhir/R4/search.html#string
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fhir_server.store.condition.context import Context
from fhir_server.store.condition.keys import among
from fhir_server.store.condition.part import (
    LONGEST,
    NO,
    YES,
    Part,
    both,
    either,
    joined,
    member,
    storable,
    successor,
)
from fhir_server.store.contract import AnyOf, Condition, Contains, Whole, WordStarts
from fhir_server.store.dialect import Bigints, Dialect

Asked = WordStarts | Whole | Contains
ASKED = (WordStarts, Whole, Contains)


def words(context: Context, asked: Asked) -> Part:
    row = word_row([asked], context.dialect)
    return NO if row is NO else among(context, "index_string", row)


def any_of(context: Context, asked: Sequence[Asked]) -> list[Part]:
    """Any of these: one look into the index, however many they are, unless rows are walked."""
    if len(asked) < 2 or context.writers[type(asked[0])] is not words:
        return [context.write(one) for one in asked]
    return [among(context, "index_string", word_row(asked, context.dialect))]


def word_row(asked: Sequence[Asked], dialect: Dialect) -> Part:
    """Any of these is true of the row x of index_string."""
    return either(_ROWS[type(one)](one, dialect) for one in asked)


def word_probe(context: Context, asked: Asked) -> Part:
    """The same as `words`, for rows that are walked one after another until there are enough.

    The distinct words that begin so are few, even where the resources that have one are many.
    They are collected once; each walked row is then a probe of a whole primary key for each.
    """
    if not _is_narrow(asked):
        return words(replace(context, walked=True), asked)
    dialect = context.dialect
    row = word_row([asked], dialect)
    if isinstance(asked, WordStarts) and row is not NO:
        row = _few_words(asked, dialect)
    text = f"exists (select 1 from index_string x where {row.text} and x.rid = {context.rid}"
    return NO if row is NO else Part(f"{text}{dialect.fence})", row.values)


def walked(context: Context) -> Context:
    """The same, of rows that are walked."""
    writers = {**context.writers, **dict.fromkeys(ASKED, word_probe)}
    return replace(context, walked=True, writers=writers)


def alternatives(condition: Condition) -> tuple[Asked, ...]:
    """What the condition asks of words, one or any of several, where that is all it asks and
    their rows are found by their words."""
    inner = condition.conditions if isinstance(condition, AnyOf) else (condition,)
    found = tuple(c for c in inner if isinstance(c, ASKED) and _is_narrow(c))
    return found if len(found) == len(inner) else ()


def _is_narrow(asked: Asked) -> bool:
    """Not so what has any word, and texts of several words that a value contains."""
    match asked:
        case WordStarts():
            return bool(asked.prefix)
        case Contains():
            return " " not in asked.text.strip()
    return True


# --- rows of index_string, named x ---------------------------------------------------------------


def _word_starts(asked: WordStarts, dialect: Dialect) -> Part:
    if not storable(asked.prefix):
        return NO
    if asked.spelt and asked.prefix:  # `or` would keep SQLite from the index
        return _few_words(asked, dialect)
    row = [member("x.param", (asked.param, *asked.also), dialect)]
    return both([*row, *_begun("x.word", asked, dialect)])


def _few_words(asked: WordStarts, dialect: Dialect) -> Part:
    """The same, by the distinct words that begin so."""
    params = (asked.param, *asked.also)
    found = _one_of(params, YES, dialect, within=asked)
    return both([member("x.param", params, dialect), found])


def _begun(column: str, asked: WordStarts, dialect: Dialect) -> list[Part]:
    prefix = asked.prefix[:LONGEST]
    if not prefix:
        return []
    after = successor(prefix)
    parts = [Part(f"{column} >= {dialect.mark}", (prefix,))]
    return parts if after is None else [*parts, Part(f"{column} < {dialect.mark}", (after,))]


def _whole(asked: Whole, dialect: Dialect) -> Part:
    """Whatever flags stand beside the hash."""
    if not storable(asked.text):
        return NO
    mark, lowest = dialect.mark, asked.digest << 2
    return both(
        [
            member("x.param", asked.params, dialect),
            Part(f"x.word = {mark}", (asked.text[:LONGEST],)),
            Part(f"x.whole >= {mark} and x.whole <= {mark}", (max(lowest, 1), lowest + 3)),
        ]
    )


def _contains(asked: Contains, dialect: Dialect) -> Part:
    """A word is looked for among the distinct words, a text among all values of several words."""
    if not storable(asked.text):
        return NO
    params = asked.params
    if " " in asked.text.strip():
        return both([member("x.param", params, dialect), _has("x.word", asked.text, dialect)])
    kept = _has("w.word", asked.text, dialect)
    return both([member("x.param", params, dialect), _one_of(params, kept, dialect)])


_ROWS: dict[type, Callable[[Any, Dialect], Part]] = {
    WordStarts: _word_starts,
    Whole: _whole,
    Contains: _contains,
}


def _has(column: str, text: str, dialect: Dialect) -> Part:
    where = "strpos" if dialect.postgresql else "instr"
    padded = column if text == text.strip() else f"' ' || {column} || ' '"
    return Part(f"{where}({padded}, {dialect.mark}) > 0", (text,))


# --- distinct words ------------------------------------------------------------------------------


def _one_of(
    params: tuple[int, ...], kept: Part, dialect: Dialect, *, within: WordStarts | None = None
) -> Part:
    """x.word is one of the parameters' distinct words that are kept, found once a question.

    Each is found from the one before: SELECT DISTINCT would read every row. within: only words
    that begin so, or are spelt so, are looked at.
    """
    mark = dialect.mark
    bounds = _begun("x.word", within, dialect) if within else []
    first = both([Part("x.param = p.value"), *bounds])
    next = both([Part("x.param = w.param and x.word > w.word"), *bounds[1:]])
    given = Part("unnest(%s) p(value)", (Bigints(params),))
    if not dialect.postgresql:
        given = Part("json_each(?) p", (json.dumps(params),))
    least = "(select x.word from index_string x where {} order by x.word limit 1)"
    found = joined(
        " ",
        [
            Part(f"with recursive w(param, word) as (select p.value, {least.format(first.text)}"),
            Part("", first.values),
            Part(f"from {given.text} union all", given.values),
            Part(f"select w.param, {least.format(next.text)}", next.values),
            Part("from w where w.word is not null)"),
            Part(f"select w.word from w where w.word is not null and {kept.text}", kept.values),
            *(Part(f"union all select {mark}", (word,)) for word in _spelt(within)),
        ],
    )
    sign = "= any (array({}))" if dialect.postgresql else "in ({})"
    return Part(f"x.word {sign.format(found.text)}", found.values)


def _spelt(asked: WordStarts | None) -> list[str]:
    return [word[:LONGEST] for word in asked.spelt if storable(word)] if asked else []
