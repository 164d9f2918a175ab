"""texts — a condition on the index of words.

https://hl7.org/fhir/R4/search.html#text

SQLite keeps a version's terms under its seq, PostgreSQL under the resource's number.
"""

from __future__ import annotations

from fhir_server.store.condition.context import Context
from fhir_server.store.condition.part import NO, YES, Part
from fhir_server.store.contract import TextHas
from fhir_server.store.dialect import Dialect

PROGRESS = "text index"  # the setting that tells how far the index has come
FOUND = {
    True: "select tt.rid from index_text tt where tt.terms @@ %s::tsquery",
    False: "select tv.rid from index_text tt cross join version tv on tv.seq = tt.rowid"
    " where tt.index_text match ?",
}
REACHED = f"(select json_extract(value, '$.reached') from setting where name = '{PROGRESS}')"
# SQLite reads a word's seqs at 50 million a second, but one seq among them by reading those before
# it: it takes them all, once, as a set. What was not read yet stands there by what it replaced.
ASKED = {
    True: "exists (select 1 from index_text tt where tt.rid = {rid} and tt.terms @@ %s::tsquery"
    " offset 0)",
    False: f"case when {{row}}.seq <= {REACHED} then {{row}}.seq else (select max(tv.seq)"
    f" from version tv where tv.rid = {{rid}} and tv.seq <= {REACHED}) end"
    " in (select tt.rowid from index_text tt where tt.index_text match ?)",
}


def text_has(context: Context, asked: TextHas) -> Part:
    if not asked.lists:
        return YES
    if not all(asked.lists):
        return NO
    dialect = context.dialect
    found = "{rid} in (" + FOUND[dialect.postgresql] + ")"
    text = ASKED[dialect.postgresql] if asked.many else found
    return Part(text.format(rid=context.rid, row=context.row), (query(asked, dialect),))


def text_rids(asked: TextHas, dialect: Dialect, at_most: int) -> Part:
    """The resources, of whatever type."""
    found = FOUND[dialect.postgresql]
    return Part(f"{found} limit {at_most:d}", (query(asked, dialect),))


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
