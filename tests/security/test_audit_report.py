"""A report keeps no more than it tells, however many entries there are, and says how far it is."""

from __future__ import annotations

import gc

from fhir_server.security.audit import reporting
from fhir_server.security.audit.said import Said, entry
from fhir_server.store.contract import Entered


def entered(number, **more):
    body = entry(Said("read", 200, **more), number).body
    return Entered(1, number, number, b"", body)


def test_a_report_names_so_many_persons_and_sums_up_the_others(monkeypatch):
    monkeypatch.setattr(reporting, "MOST", 3)
    named = [entered(n, user=f"Practitioner/{n % 7}", address=f"10.0.0.{n}") for n in range(1, 71)]
    told = reporting.report(named)
    assert told.users == {
        **{f"Practitioner/{n}": 10 for n in (1, 2, 3)},
        reporting.OTHERS: 40,
    }
    assert sum(told.addresses.values()) == 70
    assert len(told.addresses) == 4


def test_a_report_counts_every_export_and_names_so_many(monkeypatch):
    monkeypatch.setattr(reporting, "MOST", 3)
    told = reporting.report(entered(n, url="/fhir/Patient/$export") for n in range(1, 11))
    assert (told.exported, len(told.exports)) == (10, 3)


def test_a_report_keeps_fields_apart_by_type_also_those_it_does_not_name(monkeypatch):
    monkeypatch.setattr(reporting, "MOST", 2)
    one = ("Patient", "a", "1-a", 1)
    told = reporting.report(
        entered(n, url=f"/fhir/Patient?_elements=e{n}", resources=(one,), patients=(5,))
        for n in range(1, 6)
    )
    others = {("Patient", "e1"): 1, ("Patient", "e2"): 1, ("Patient", reporting.OTHERS): 3}
    assert told.fields == others
    assert (told.types, told.patients) == ({"Patient": 5}, {5: 5})


def test_a_report_says_how_far_it_is_and_leaves_the_collector_as_it_was(monkeypatch):
    monkeypatch.setattr(reporting, "TOLD_EVERY", 10)
    far = []
    reporting.report((entered(n) for n in range(1, 35)), far.append)
    assert far == [10, 20, 30]
    assert gc.isenabled()
