"""What a hub and a node say to each other is what the other one hears."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.foundation import wire
from fhir_server.foundation.outcome import Invalid, Issue
from fhir_server.foundation.resource import Key
from fhir_server.sync.epochs import Epoch, Place
from fhir_server.sync.words import (
    NEVER,
    Answer,
    Kind,
    Outcome,
    Page,
    Push,
    Pushed,
    Receipt,
    Refused,
    Row,
    Stubbed,
    answer,
    page,
    push,
)

KEY = Key("Patient", "0b7e")
FIRST = push.named(KEY, (), {"resourceType": "Patient", "id": "0b7e"})
OTHER = push.named(KEY, (), None)
SECOND = push.named(KEY, (FIRST, OTHER), None)
EPOCHS = (Epoch("k3f", Place(1, 884120)), Epoch("m2qa"))


def parsed(body: bytes) -> Any:
    return wire.parse(body)


def pushed(number: int, group: int, text: str, *parents: str) -> Pushed:
    body = wire.parse(text.encode()) if text else None
    key = Key(body["resourceType"], body["id"]) if body else KEY
    method = "PUT" if body else "DELETE"
    rev = push.named(key, parents, body)
    return Pushed(number, group, key, rev, parents, method, 1_767_225_600_123, body)


DECIMALS = '{"resourceType":"Observation","id":"o","valueQuantity":{"value":1.50}}'
NAMED = '{"resourceType":"Patient","id":"0b7e","meta":{"tag":[{"code":"x"}]},"gender":"male"}'
PLAIN = '{"resourceType":"Patient","id":"0b7e"}'
CHUNK = Push(
    node="tyt-92001",
    incarnation="7f3c",
    first=41,
    before=FIRST,
    entries=(
        pushed(41, 17, NAMED, FIRST),
        pushed(42, 17, DECIMALS),
        pushed(43, 18, "", FIRST, OTHER),
        pushed(44, 19, PLAIN, SECOND)._replace(
            stubs=(Stubbed(SECOND, (FIRST, OTHER)), Stubbed(FIRST, ()))
        ),
    ),
    sent=1_767_225_600_999,
    shown="a.b.c",
)


def test_a_chunk_is_heard_as_it_was_said() -> None:
    heard = push.read(parsed(push.written(CHUNK)))
    assert heard == CHUNK
    assert str(heard.entries[1].body["valueQuantity"]["value"]) == "1.50"  # type: ignore[index]  # it has a body


def test_the_name_of_a_version_follows_from_what_it_says() -> None:
    changed = push.written(CHUNK).replace(b'"male"', b'"female"')
    heard = push.read(parsed(changed))
    assert heard.entries[0].rev != CHUNK.entries[0].rev
    assert heard.entries[1:] == CHUNK.entries[1:]


def whole() -> dict[str, Any]:
    return dict(parsed(push.written(CHUNK)))


def edited(path: str, value: Any) -> dict[str, Any]:
    bundle = whole()
    at: Any = bundle
    *way, last = [int(step) if step.isdecimal() else step for step in path.split("/")]
    for step in way:
        at = at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return bundle


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("type", "transaction"),
        ("meta", None),
        ("meta/extension/0/url", "https://example.org/other"),
        ("meta/extension/0/extension/0/valueString", "not an id"),
        ("meta/extension/0/extension/2/valueInteger", -1),
        ("meta/extension/0/extension/2", {"url": "first", "valueString": "x" * 30}),
        ("entry", []),
        ("entry", {"a": 1}),
        ("entry/0/extension", []),
        ("entry/0/extension/0/extension/1/valueString", "3-nonsense"),
        ("entry/0/extension/0/extension/0", {"url": "group"}),
        ("entry/0/request/method", "GET"),
        ("entry/0/request/url", "https://elsewhere/Patient/0b7e"),
        ("entry/0/request/url", "Patient/another"),
        ("entry/0/resource", None),
        ("entry/0/resource/meta/versionId", "1"),
        ("entry/0/resource/meta", "x"),
        ("entry/0/response/lastModified", "2026-01-01"),
        ("entry/2/resource", {"resourceType": "Patient", "id": "0b7e"}),
        ("entry/1/extension/0/extension/0/valueInteger", 99),
        ("entry/2/extension/0/extension/2/valueString", FIRST),
        ("entry/3/extension/0/extension/2/valueString", f"{SECOND} {SECOND}"),
        ("entry/3/extension/0/extension/3/valueString", SECOND),
        ("entry/3/extension/0/extension/3/valueString", "x"),
    ],
)
def test_what_is_no_chunk_is_refused(path: str, value: Any) -> None:
    bundle = edited(path, value)
    if path.endswith("extension/0/valueInteger"):  # 17, 99, 17: a group in two places
        bundle["entry"][2]["extension"][0]["extension"][0]["valueInteger"] = 17
    with pytest.raises(Invalid):
        push.read(bundle)


MERGED = Issue("information", "informational", "M", rule="sync-merged", vietnamese="Đã gộp.")
RECEIPTS = (
    Receipt(41, FIRST, Outcome.STORED, Place(2, 901, 3)),
    Receipt(42, OTHER, Outcome.MERGED, Place(2, 901, 4), (MERGED,)),
    Receipt(43, FIRST, Outcome.PARKED, NEVER, (Issue("error", "invalid", "No.", "Patient.name"),)),
    Receipt(44, FIRST, Outcome.WARNED, Place(2, 901, 5)),
)  # fmt: skip


def test_an_answer_is_heard_as_it_was_said() -> None:
    said = answer.said_of(RECEIPTS)
    told = Answer(RECEIPTS, 44, EPOCHS, 5, None, f"head {said}", "signature")
    revs = {one.number: one.rev for one in RECEIPTS}
    assert answer.read(parsed(answer.written(told)), revs, said) == told


@pytest.mark.parametrize("reason", list(Refused))
def test_that_nothing_was_looked_at_is_told(reason: Refused) -> None:
    told = Answer((), 40, EPOCHS, 5, reason)
    assert answer.read(parsed(answer.written(told)), {}, "") == told


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Outcome)),
            st.one_of(
                st.just(NEVER),
                st.builds(Place, st.integers(1, 3), st.integers(1, 3), st.integers(0, 3)),
            ),
        ),
        max_size=8,
    )
)  # fmt: skip
def test_receipts_as_a_text_are_read_as_they_were(drawn: list[tuple[Outcome, Place]]) -> None:
    receipts = tuple(Receipt(at, FIRST, *one) for at, one in enumerate(drawn, 7))
    revs = {one.number: one.rev for one in receipts}
    assert answer.receipts_of(answer.said_of(receipts), revs) == receipts


@pytest.mark.parametrize("text", ["9 stored 1.1.1", "41 lost -", "41 stored here", "41", "x"])
def test_what_is_no_receipt_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        answer.receipts_of(text, {41: FIRST})


BODY = f'{{"resourceType":"Patient","id":"0b7e","meta":{{"versionId":"{FIRST}"}}}}'.encode()
PAGE = Page(
    rows=(
        Row(Kind.VERSION, KEY, Place(2, 901, 4), FIRST, (), "PUT", 0, "0b7e", BODY),
        Row(Kind.ECHO, KEY, Place(2, 902), OTHER, (FIRST,), "PUT", 1_767_225_600_000, "0b7e"),
        Row(Kind.VERSION, KEY, Place(2, 903), OTHER, (), "DELETE", 5, stubs=(Stubbed(FIRST, ()),)),
        Row(Kind.LEFT_RECORD, Key("Patient", "77aa"), Place(2, 904)),
        Row(Kind.LEFT_RESOURCE, Key("Encounter", "e"), Place(2, 905)),
    ),
    cursor="c1",
    next="c2",
    read=Place(2, 905),
    epochs=EPOCHS,
    now=7,
    stored=(OTHER,),
    entering=True,
)


def test_a_page_is_heard_as_it_was_said() -> None:
    body = page.written(PAGE, self_url="https://hub/a", next_url="https://hub/b")
    assert page.read(parsed(body)) == PAGE
    assert (
        page.read(parsed(page.written(replace(PAGE, rows=()), self_url="a", next_url="b"))).rows
        == ()
    )


def test_a_body_that_is_not_what_its_version_names_is_refused() -> None:
    body = page.written(PAGE, self_url="https://hub/a", next_url="https://hub/b")
    with pytest.raises(Invalid, match="damaged"):
        page.read(parsed(body.replace(b'"}}', b'"},"active":true}', 1)))


def test_a_modifier_nobody_knows_is_not_passed_over() -> None:
    body = page.written(PAGE, self_url="https://hub/a", next_url="https://hub/b")
    with pytest.raises(Invalid, match="modifierExtension"):
        page.read(parsed(body.replace(b'"record"', b'"perhaps"')))
