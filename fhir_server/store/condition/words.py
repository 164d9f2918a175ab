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
    here, fence = f"x.rid = {context.rid}", dialect.fence
    if isinstance(asked, Whole) or not storable(_text(asked)):
        row = word_row([asked], dialect)
    elif dialect.postgresql:
        found = _distinct(asked, dialect)
        same = f"x.param = a.param and x.word = a.word and {here}{fence}"
        text = (
            f"exists (select 1 from ({found.text}{fence}) a"
            f" cross join lateral (select 1 from index_string x where {same}) y{fence})"
        )
        return Part(text, found.values)
    else:
        row = _few_words(asked, dialect)
    if row is NO:
        return NO
    text = f"exists (select 1 from index_string x where {row.text} and {here}{fence})"
    return Part(text, row.values)


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
    return both([*row, *_begun("x.word", asked.prefix, dialect)])


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
    if _is_narrow(asked):
        return _few_words(asked, dialect)
    return both([member("x.param", asked.params, dialect), _has("x.word", asked.text, dialect)])


_ROWS: dict[type, Callable[[Any, Dialect], Part]] = {
    WordStarts: _word_starts,
    Whole: _whole,
    Contains: _contains,
}


def _few_words(asked: WordStarts | Contains, dialect: Dialect) -> Part:
    """By the distinct words that are asked for, found once a question."""
    found = _distinct(asked, dialect)
    sign = "= any (array({}))" if dialect.postgresql else "in ({})"
    text = sign.format(f"select a.word from ({found.text}) a")
    return both([member("x.param", _params(asked), dialect), Part(f"x.word {text}", found.values)])


def _begun(column: str, text: str, dialect: Dialect) -> list[Part]:
    prefix = text[:LONGEST]
    if not prefix:
        return []
    after = successor(prefix)
    parts = [Part(f"{column} >= {dialect.mark}", (prefix,))]
    return parts if after is None else [*parts, Part(f"{column} < {dialect.mark}", (after,))]


def _has(column: str, text: str, dialect: Dialect) -> Part:
    where = "strpos" if dialect.postgresql else "instr"
    padded = column if text == text.strip() else f"' ' || {column} || ' '"
    return Part(f"{where}({padded}, {dialect.mark}) > 0", (text,))


def _params(asked: WordStarts | Contains) -> tuple[int, ...]:
    return (asked.param, *asked.also)


def _text(asked: WordStarts | Contains) -> str:
    return asked.prefix if isinstance(asked, WordStarts) else asked.text


# --- distinct words ------------------------------------------------------------------------------


def _distinct(asked: WordStarts | Contains, dialect: Dialect) -> Part:
    """(param, word): the parameters' distinct words that are asked for.

    Each is found from the one before: SELECT DISTINCT would read every row. Of those that begin
    alike no others are looked at.
    """
    bounds, kept, spelt = [], Part("true"), []
    if isinstance(asked, WordStarts):
        bounds = _begun("x.word", asked.prefix, dialect)
        spelt = [word[:LONGEST] for word in asked.spelt if storable(word)]
    else:
        kept = _has("w.word", asked.text, dialect)
    first = both([Part("x.param = p.value"), *bounds])
    next = both([Part("x.param = w.param and x.word > w.word"), *bounds[1:]])
    given = _given(_params(asked), dialect)
    least = "(select x.word from index_string x where {} order by x.word limit 1)"
    return joined(
        " ",
        [
            Part(f"with recursive w(param, word) as (select p.value, {least.format(first.text)}"),
            Part("", first.values),
            Part(f"from {given.text} union all", given.values),
            Part(f"select w.param, {least.format(next.text)}", next.values),
            Part("from w where w.word is not null)"),
            Part("select w.param, w.word from w where w.word is not null and"),
            kept,
            *(
                Part(
                    f"union all select p.value, {dialect.mark} from {given.text}",
                    (word, *given.values),
                )
                for word in spelt
            ),
        ],
    )


def _given(params: tuple[int, ...], dialect: Dialect) -> Part:
    if dialect.postgresql:
        return Part(f"unnest({dialect.mark}) p(value)", (Bigints(params),))
    return Part(f"json_each({dialect.mark}) p", (json.dumps(params),))
