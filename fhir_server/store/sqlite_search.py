"""sqlite_search — a page of a search on SQLite: all its questions see one moment.

https://hl7.org/fhir/R4/http.html#search
"""

from __future__ import annotations

import time

from fhir_server.store.arranging import absent, page_of
from fhir_server.store.asking import answered
from fhir_server.store.codec import Codec
from fhir_server.store.contract import ByMain, ByUpdated, Collected, Page
from fhir_server.store.dialect import SQLITE
from fhir_server.store.paging import Paging, Wanted
from fhir_server.store.select import Bound, Driver
from fhir_server.store.select.reached import grounds_of
from fhir_server.store.sqlite_connection import Reader, TooSlow
from fhir_server.store.sqlite_read import by_rid, driver_of, driver_of_page, last_seq


def search(reader: Reader, codec: Codec, wanted: Wanted) -> Page:
    """See contract.Store.search."""

    def look() -> None:
        if time.monotonic() > reader.deadline:
            raise TooSlow

    given = wanted.moment
    with reader.snapshot():
        bound = given or Bound(last_seq(reader) + 1)
        driver = driver_for(reader, wanted)
        asking = Paging(wanted, given, driver, SQLITE, codec, look).page()
        page = answered(asking, lambda asked: reader.rows(asked.text, asked.values))
        rids = absent(page)
        newest = by_rid(reader, codec, rids, wanted.select.restriction) if rids else ()
        return page_of(page, newest, bound)


def driver_for(reader: Reader, wanted: Wanted) -> Driver | None:
    """A walk by anything but the main date goes through the index of that, unless what the caller
    reaches is put in order."""
    match wanted.order:
        case ByMain():
            return driver_of_page(reader, wanted.select, wanted.met)
        case Collected():
            return driver_of(reader, wanted.select)
        case ByUpdated() if grounds_of(wanted.select):
            return driver_of(reader, wanted.select)
    return None
