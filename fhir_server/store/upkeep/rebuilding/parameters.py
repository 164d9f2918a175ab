"""parameters — which of those that are not R4's own have a whole index, once it is made anew.

https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fhir_server.store.contract.parameter import BUILDING, GONE, READY, REMOVED

# The newest change stays, so that none is counted twice.
FORGET = (
    f"DELETE FROM parameter WHERE state IN ('{GONE}', '{REMOVED}')"
    " AND change < (SELECT max(change) FROM parameter)"
)
UNKNOWN = (
    f"UPDATE parameter SET state = '{BUILDING}', began = 0, done = 0, reached_type = 0,"
    " reached_seq = 0, reached_num = -1, horizon = (SELECT coalesce(max(seq), 0) FROM version)"
    f" WHERE state = '{READY}' AND number NOT IN ({{numbers}})"
)
INDEXED = (
    f"UPDATE parameter SET state = '{READY}', began = 0, done = 0, total = 0, refused = 0"
    f" WHERE state = '{BUILDING}' AND number IN ({{numbers}})"
)


def settled(numbers: Iterable[int]) -> Iterator[str]:
    """The statements after which just these are ready; others wait, and what is gone is not there.

    numbers: of the parameters that rows were made for."""
    listed = ", ".join(f"{number:d}" for number in numbers) or "-1"
    yield FORGET
    yield UNKNOWN.format(numbers=listed)
    yield INDEXED.format(numbers=listed)
