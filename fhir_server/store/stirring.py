"""stirring — whom new rows of the log may concern, as a question to either database.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from fhir_server.store.contract import EpochEnded
from fhir_server.store.contract.log import HOME_IN, HOME_OUT, OUTSIDE, OWNER, VERSION, Stirred
from fhir_server.store.dialect import Dialect
from fhir_server.store.log import START, Edge, Rows, cursor_of, looked_at
from fhir_server.store.select import Rendered

EVERYBODY = 0  # no facility's number


def stirred_sql(after: Edge, limit: int, dialect: Dialect, horizon: str) -> Rendered:
    """The horizon, how many rows were looked at, the last of them, and each facility."""
    looked = looked_at(after, limit, dialect)
    text = (
        f"with h as materialized (select {horizon} as horizon),"
        f" looked as materialized ({looked.text}),"
        " owners as materialized (select distinct c.owner from looked k"
        f" join current c on c.rid = k.rid where k.kind = {VERSION})"
        " select h.horizon, n.n, e.seq, e.num, e.what, w.whom"
        " from h cross join (select count(*) as n from looked) n"
        " left join (select seq, num, what from looked order by seq desc, num desc, what desc"
        " limit 1) e on true left join ("
        f"select whom from looked where kind in ({HOME_IN}, {HOME_OUT}, {OUTSIDE})"
        f" union select {EVERYBODY} from looked where kind = {OWNER}"
        f" union select {EVERYBODY} from owners where owner = 0"
        " union select m.whom from owners o join mark m on m.rid = o.owner"
        f" and m.kind in ({HOME_IN}, {HOME_OUT})) w on true"
    )
    return Rendered(text, looked.values)


def read_stirred(rows: Rows, epochs: Rows, after: Edge, limit: int) -> Stirred:
    """What `stirred_sql` found. Raises EpochEnded where the cursor is of what is not here."""
    horizon, looked = rows[0][:2]
    if after.seq >= horizon and after != START:
        raise EpochEnded
    edge = Edge(*rows[0][2:5]) if looked else after
    whom = {row[5] for row in rows if row[5] is not None}
    return Stirred(
        frozenset(whom - {EVERYBODY}),
        EVERYBODY in whom,
        cursor_of(edge, epochs),
        looked >= limit,
    )
