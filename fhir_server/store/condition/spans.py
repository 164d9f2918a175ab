"""spans — conditions on intervals: dates, numbers, quantities, and when a version was made.

https://hl7.org/fhir/R4/search.html#date
https://hl7.org/fhir/R4/search.html#quantity
"""

from __future__ import annotations

from fhir_server.store.condition.context import Context
from fhir_server.store.condition.keys import among
from fhir_server.store.condition.part import WHOLE, YES, Part, both, whole, within
from fhir_server.store.contract import Interval, UpdatedWithin


def interval(context: Context, asked: Interval) -> Part:
    mark = context.dialect.mark
    if asked.param is not None and asked.unit is not None:
        return _quantity(context, asked)
    lo = (whole(asked.lo_from), whole(asked.lo_to))
    hi = (whole(asked.hi_from), whole(asked.hi_to))
    if asked.param is None:
        end = f"{context.row}.main_hi"
        dated = Part(f"{end} <> {context.row}.main_lo")  # NO_DATE is none
        return both([*within(context.main, *lo, mark), *within(end, *hi, mark), dated])
    row = [Part(f"x.param = {mark}", (asked.param,))]
    row += [*within("x.lo", *lo, mark), *within("x.hi", *hi, mark)]
    return among(context, "index_date", both(row))


def _quantity(context: Context, asked: Interval) -> Part:
    mark = context.dialect.mark
    row = [Part(f"x.param = {mark}", (asked.param,))]
    if asked.unit is not None and asked.unit != -1:
        row += _unit(asked.unit, asked.mask, mark)
    for column, start, end in (
        ("x.lo", asked.lo_from, asked.lo_to),
        ("x.hi", asked.hi_from, asked.hi_to),
    ):
        row += within(
            column,
            None if start is None else float(start),
            None if end is None else float(end),
            mark,
        )
    return among(context, "index_quantity", both(row))


def _unit(unit: int, mask: int, mark: str) -> list[Part]:
    """The bits at the top, so far as the mask is whole there, are a range of the index."""
    if mask == -1:
        return [Part(f"x.unit = {mark}", (unit,))]
    free = (1 << (~mask & WHOLE).bit_length()) - 1  # from the first bit that does not count
    least = unit & WHOLE & ~free
    found = [Part(f"x.unit between {mark} and {mark}", (least, least | free))]
    if mask & free:
        found.append(Part(f"(x.unit & {mark}) = {mark}", (mask & WHOLE, unit & mask & WHOLE)))
    return found


def updated(context: Context, asked: UpdatedWithin) -> Part:
    times = within("u.updated", whole(asked.start), whole(asked.end), context.dialect.mark)
    if not times:
        return YES
    row = context.row
    version = (
        f"u.rid = {row}.rid and u.seq = {row}.seq"
        if context.dialect.postgresql
        else f"u.seq = {row}.seq"
    )
    told = both([Part(version), *times])
    fence = context.dialect.fence
    return Part(f"exists (select 1 from version u where {told.text}{fence})", told.values)
