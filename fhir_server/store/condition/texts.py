"""texts — a condition on the index of words.

https://hl7.org/fhir/R4/search.html#text

SQLite keeps a version's terms under its seq, PostgreSQL under the resource's number.
"""

from __future__ import annotations

from fhir_server.store.condition.context import Context
from fhir_server.store.condition.part import NO, YES, Part
from fhir_server.store.contract import TextHas
from fhir_server.store.dialect import Dialect

SQLITE = (
    "{rid} in (select tv.rid from index_text tt cross join version tv on tv.seq = tt.rowid"
    " where tt.index_text match ?)"
)
POSTGRESQL = "{rid} in (select tt.rid from index_text tt where tt.terms @@ %s::tsquery)"


def text_has(context: Context, asked: TextHas) -> Part:
    if not asked.lists:
        return YES
    if not all(asked.lists):
        return NO
    told = POSTGRESQL if context.dialect.postgresql else SQLITE
    return Part(told.format(rid=context.rid), (query(asked, context.dialect),))


def query(asked: TextHas, dialect: Dialect) -> str:
    """The question in the words of the database's own text search."""
    both, either = (" & ", " | ") if dialect.postgresql else (" AND ", " OR ")
    term = _lexeme if dialect.postgresql else _token
    return both.join(f"({either.join(map(term, some))})" for some in asked.lists)


def _token(told: str) -> str:
    return f'"{_word(told)}"{" *" if told[-1] == "*" else ""}'


def _lexeme(told: str) -> str:
    return f"'{_word(told)}'{':*' if told[-1] == '*' else ''}"


def _word(told: str) -> str:
    """Search made the term of letters and digits; anything else could be an operator."""
    word = told.removesuffix("*")
    if not word or any(c.isascii() and not c.isalnum() for c in word):
        raise ValueError(f"{told!r} is no term of the index of words")
    return word
