"""https://hl7.org/fhir/R4/http.html#history"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

from fhir_server.foundation.outcome import Invalid, MethodNotAllowed, NotFound, NotSupported
from fhir_server.interaction import delete, history, update
from tests.interaction.conftest import patient, told


async def world(server, here):
    """Two patients and an organization: a a b o a(deleted)."""
    for resource in (
        patient("a"),
        patient("a", family="Lê"),
        patient("b"),
        {"resourceType": "Organization", "id": "o", "name": "Trạm Y tế"},
    ):
        asked = update.Ask(resource["resourceType"], resource["id"], resource)
        await update.update(server, asked, here)
    await delete.delete(server, delete.Ask("Patient", "a"), here)


def urls(bundle):
    return [entry["fullUrl"].rpartition("fhir/")[2] for entry in bundle.get("entry", [])]


LEVELS = [
    (("Patient", "a"), ["Patient/a"] * 3),
    (("Patient", None), ["Patient/a", "Patient/b", "Patient/a", "Patient/a"]),
    ((None, None), ["Patient/a", "Organization/o", "Patient/b", "Patient/a", "Patient/a"]),
]


@pytest.mark.parametrize(("level", "expected"), LEVELS)
async def test_newest_first_at_every_level(server, here, level, expected):
    await world(server, here)
    bundle = told(await history.history(server, history.Ask(*level), here))
    assert bundle["type"] == "history"
    assert urls(bundle) == expected
    assert bundle["total"] == len(expected)
    oldest = history.Ask(*level, [("_sort", "_lastUpdated")])
    assert urls(told(await history.history(server, oldest, here))) == expected[::-1]


async def test_entries_say_what_was_asked_and_what_became_of_it(server, here):
    await world(server, here)
    bundle = told(await history.history(server, history.Ask("Patient", "a"), here))
    methods = [
        (entry["request"]["method"], entry["response"]["status"]) for entry in bundle["entry"]
    ]
    assert methods == [("DELETE", "204 No Content"), ("PUT", "200 OK"), ("PUT", "201 Created")]
    assert all("etag" in entry["response"] for entry in bundle["entry"])


@pytest.mark.parametrize("level", [level for level, _ in LEVELS])
async def test_pages_meet_every_version_once(server, here, level):
    await world(server, here)
    whole = urls(told(await history.history(server, history.Ask(*level), here)))
    seen, pairs = [], [("_count", "2")]
    while pairs is not None:
        bundle = told(await history.history(server, history.Ask(*level, pairs), here))
        seen += urls(bundle)
        onward = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        pairs = parse_qsl(urlsplit(onward[0]).query) if onward else None
        await update.update(  # what comes later is not in this walk
            server, update.Ask("Patient", "z", patient("z", family=f"Họ{len(seen)}")), here
        )
    assert seen == whole


async def test_since_and_at(server, here):
    await world(server, here)
    for name in ("_since", "_at"):
        before = history.Ask("Patient", None, [(name, "2000-01-01")])
        after = history.Ask("Patient", None, [(name, "2200-01-01")])
        since_before = told(await history.history(server, before, here))
        at_end = told(await history.history(server, after, here))
        expected = (4, 0) if name == "_since" else (0, 2)
        assert (len(urls(since_before)), len(urls(at_end))) == expected, name


OF_TYPES = [
    ("Organization", ["Organization/o"]),
    ("Patient", ["Patient/a", "Patient/b", "Patient/a", "Patient/a"]),
    ("Location", []),
    ("Patient,Organization", LEVELS[2][1]),
]


@pytest.mark.parametrize(("types", "expected"), OF_TYPES)
async def test_a_history_of_everything_is_of_some_types_where_these_are_asked_for(
    server, here, types, expected
):
    await world(server, here)
    for more in ([], [("_since", "2000-01-01")], [("_sort", "_lastUpdated")]):
        pairs = [("_type", types), *more]
        bundle = told(await history.history(server, history.Ask(None, None, pairs), here))
        assert urls(bundle) == (expected[::-1] if "_sort" in dict(pairs) else expected)
        assert bundle["total"] == len(expected)
    seen, pairs = [], [("_type", types), ("_count", "1")]
    while pairs is not None:
        bundle = told(await history.history(server, history.Ask(None, None, pairs), here))
        seen += urls(bundle)
        onward = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        pairs = parse_qsl(urlsplit(onward[0]).query) if onward else None
    assert seen == expected


OF_NO_TYPES = [
    ((None, None), "Shoe", Invalid),
    ((None, None), "", Invalid),
    ((None, None), "Patient,,", Invalid),
    ((None, None), "AuditEvent", MethodNotAllowed),
    (("Patient", None), "Patient", NotSupported),
    (("Patient", "a"), "Patient", NotSupported),
]


@pytest.mark.parametrize(("level", "types", "refusal"), OF_NO_TYPES)
async def test_types_that_cannot_be_asked_for_are_refused(server, here, level, types, refusal):
    with pytest.raises(refusal, match=r"`_type`|resource type|AuditEvent"):
        await history.history(server, history.Ask(*level, [("_type", types)]), here)


BAD = [
    (("_since", "yesterday"), Invalid),
    (("_count", "-1"), Invalid),
    (("_count", "x"), Invalid),
    (("_sort", "name"), Invalid),
    (("_cursor", "forged"), Invalid),
    (("shoe", "43"), NotSupported),
]


@pytest.mark.parametrize(("pair", "refusal"), BAD)
async def test_what_is_malformed_is_refused(server, here, pair, refusal):
    await world(server, here)
    with pytest.raises(refusal):
        await history.history(server, history.Ask("Patient", None, [pair]), here)


async def test_an_instance_that_never_was_has_no_history(server, here):
    with pytest.raises(NotFound):
        await history.history(server, history.Ask("Patient", "never"), here)
    empty = told(await history.history(server, history.Ask("Patient", None), here))
    assert "entry" not in empty
