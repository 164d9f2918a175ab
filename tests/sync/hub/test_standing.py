"""Where a node stands is in its cursor, which is short, and its own.

https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

from dataclasses import asdict

import pytest

from fhir_server.foundation.outcome import Invalid
from fhir_server.search.page import seal
from fhir_server.sync.hub.standing import Standing, opened

SECRET = b"s" * 32
LOG = "1.2147483647.1884120.1.0"
PLACES = {
    "the beginning": Standing(LOG),
    "what everybody has": Standing(LOG, 7, 1, edge=(19000, -5, "x"), bound="a.b"),
    "a patient of many": Standing(
        LOG, 7, 0, "patients", patient=2**62, sending=True, last=-(2**62)
    ),
    "the first of a patient": Standing(LOG, 7, 0, "patients", patient=5, sending=True, last=0),
    "those outside": Standing(LOG, 7, 0, "outside", mark=0, passed=12),
    "the log": Standing(LOG, 1884120, 3, "following", passed=90000),
    "a patient who comes": Standing(LOG, 1884120, 3, "following", patient=9, sending=True),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_cursor_holds_the_place_it_is_of(place):
    text = place.sealed(SECRET, to="a")
    assert opened(SECRET, text, to="a") == place
    assert place.sealed(SECRET, to="a") == text


def test_who_follows_the_log_carries_a_cursor_of_a_hundred_letters():
    place = Standing(LOG, 1884120, 3, "following", passed=90000, patient=2**62)
    text = place.sealed(SECRET, to="a")
    assert len(text) <= 100
    assert opened(SECRET, text, to="a").at == place.at


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_cursor_of_before_cursors_were_short_is_read(place):
    told = {name: value for name, value in asdict(place).items() if value or name in ("last",)}
    assert opened(SECRET, seal(SECRET, {"v": 1, "s": told}, to="a"), to="a").at == place.at


def cursors():
    text = PLACES["the log"].sealed(SECRET, to="a")
    yield "another's", PLACES["the log"].sealed(SECRET, to="b")
    yield "another hub's", PLACES["the log"].sealed(b"t" * 32, to="a")
    yield "cut", text[:-4]
    yield "longer", text + "AAAA"
    yield "changed", ("B" if text[0] == "A" else "A") + text[1:]
    yield "long", "A" * 100_000
    yield "no letters", "é"
    yield "short", "AA"


@pytest.mark.parametrize(
    "text", [text for _, text in cursors()], ids=[what for what, _ in cursors()]
)
def test_a_cursor_that_was_not_given_to_this_node_is_refused(text):
    with pytest.raises(Invalid):
        opened(SECRET, text, to="a")
