"""access — the statements behind the clients and tokens, the same on both databases.

https://hl7.org/fhir/R4/security.html#authentication
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.store.asking import Asking
from fhir_server.store.contract.access import Issued, Registered, Spent
from fhir_server.store.dialect import Dialect
from fhir_server.store.select import Rendered

FORGOTTEN = 100  # rows of a table that one issue forgets
OWNER = "c.id, c.facts, c.changed, c.revoked"
KEPT = "digest, kind, client, facts, issued, expires"

CLIENTS = f"select {OWNER} from client c order by c.id"
ONE = f"select {OWNER} from client c where c.id = ?"
ADD = (
    "insert into client (id, facts, changed, revoked) values (?,?,?,?) on conflict do nothing"
    " returning 1"
)
CHANGE = (
    "update client set facts = ?, changed = ?, revoked = ? where id = ? and changed = ? returning 1"
)
WITHDRAW = "delete from token where client = ? returning 1"
SPEND = "insert into spent (digest, until) values (?,?) on conflict do nothing returning 1"
ISSUE = f"insert into token ({KEPT}) values (?,?,?,?,?,?) on conflict do nothing returning 1"
ISSUED = (
    f"select t.digest, t.kind, t.client, t.facts, t.issued, t.expires, {OWNER}"
    " from token t join client c on c.id = t.client where t.digest = ?"
)
TAKE = f"delete from token where digest = ? and kind = ? returning {KEPT}"
EXCHANGE = (
    "update token set kind = ?, facts = ?, expires = ? where digest = ? and kind = ? and facts = ?"
    " returning 1"
)
OF_CLIENT = f"select {KEPT} from token where client = ? and kind = ? order by issued, digest"
KEEP = "insert into setting (name, value) values (?,?) on conflict do nothing returning 1"
REPLACE = "update setting set value = ? where name = ? and value = ? returning 1"
LOOK = "select value from setting where name = ?"
FORGET = (("token", "expires"), ("spent", "until"))


def asked(text: str, values: tuple[Any, ...], dialect: Dialect) -> Rendered:
    return Rendered(text.replace("?", dialect.mark), values)


def registered(row: Sequence[Any]) -> Registered:
    return Registered(*row)


def issued(row: Sequence[Any]) -> Issued:
    return Issued(bytes(row[0]), *row[1:])


def both(rows: Sequence[Sequence[Any]]) -> tuple[Issued, Registered] | None:
    """The token and its client, of what ISSUED found."""
    return (issued(rows[0][:6]), registered(rows[0][6:])) if rows else None


def register(client: Registered, replaces: int, dialect: Dialect) -> Asking[bool]:
    """See AccessTable.register."""
    if replaces:
        new = (client.facts, client.changed, client.revoked, client.id, replaces)
        done = yield asked(CHANGE, new, dialect)
    else:
        done = yield asked(ADD, (client.id, client.facts, client.changed, client.revoked), dialect)
    if done and client.revoked:
        yield asked(WITHDRAW, (client.id,), dialect)
    return bool(done)


def issue(new: Issued, spent: Spent | None, dialect: Dialect) -> Asking[bool]:
    """See AccessTable.issue."""
    if spent is not None and not (yield asked(SPEND, spent, dialect)):
        return False
    for table, column in FORGET:
        yield _forget(table, column, new.issued, dialect)
    told = (new.digest, new.kind, new.client, new.facts, new.issued, new.expires)
    return bool((yield asked(ISSUE, told, dialect)))


def exchange(
    old: Issued, becomes: Issued, also: Sequence[Issued], dialect: Dialect
) -> Asking[bool]:
    """See AccessTable.exchange."""
    there = (old.digest, old.kind, old.facts)
    if not (yield asked(EXCHANGE, (becomes.kind, becomes.facts, becomes.expires, *there), dialect)):
        return False
    for new in also:
        yield from issue(new, None, dialect)
    return True


def keep(name: str, value: str, replaces: str, dialect: Dialect) -> Asking[str]:
    """See AccessTable.keep."""
    if replaces:
        yield asked(REPLACE, (value, name, replaces), dialect)
    else:
        yield asked(KEEP, (name, value), dialect)
    found = yield asked(LOOK, (name,), dialect)
    return str(found[0][0]) if found else ""


def _forget(table: str, column: str, before: int, dialect: Dialect) -> Rendered:
    """Some of what is over. What another process is about to forget is left to it."""
    which = f"select digest from {table} where {column} < ? order by {column} limit {FORGOTTEN}"
    if dialect.postgresql:
        text = f"delete from {table} where digest = any(array({which} for update skip locked))"
    else:
        text = f"delete from {table} where digest in ({which})"
    return asked(f"{text} returning 1", (before,), dialect)
