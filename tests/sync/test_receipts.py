"""A receipt says what was signed, and nothing else can be read out of it."""

from __future__ import annotations

import pytest
from joserfc import jwk

from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Key
from fhir_server.security.tokens.ring import DAY, Ring
from fhir_server.store.contract import Store
from fhir_server.sync import receipts
from fhir_server.sync.epochs import Place
from fhir_server.sync.words import NEVER, Outcome, Push, Pushed, Receipt, push
from fhir_server.sync.words.answer import receipts_of

KEY = jwk.generate_key("EC", "P-256", {"kid": "k", "use": "sig", "alg": "ES256"})
PUBLIC = [dict(KEY.as_dict(private=False))]
BODY = {"resourceType": "Patient", "id": "a"}
REV = push.named(Key("Patient", "a"), (), BODY)
ENTRY = Pushed(1, 1, Key("Patient", "a"), REV, (), "PUT", 5, BODY)
CHUNK = Push("post", "life", 1, "", (ENTRY,), 6)
TAKEN = (Receipt(1, REV, Outcome.STORED, Place(1, 7)), Receipt(2, REV, Outcome.PARKED, NEVER))
TEXT = receipts.said(CHUNK, TAKEN, epoch="e1", now=9, before=receipts.FIRST)
SIGNED = receipts.signed(TEXT, KEY)


def test_what_was_signed_is_read_from_it() -> None:
    said = receipts.verified(TEXT, SIGNED, PUBLIC)
    assert (said.node, said.incarnation, said.epoch, said.now, said.before) == (
        "post", "life", "e1", 9, "",
    )  # fmt: skip
    assert said.revs == receipts.revs_of([(1, REV), (2, REV)])
    assert receipts_of(said.receipts, {1: REV, 2: REV}) == TAKEN


def test_the_hash_tells_one_signature_from_another() -> None:
    assert receipts.hash_of(SIGNED) != receipts.hash_of(receipts.signed(TEXT, KEY))


OTHER = jwk.generate_key("EC", "P-256", {"kid": "k", "use": "sig", "alg": "ES256"})


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        (TEXT.replace("stored", "merged"), SIGNED),
        (TEXT.replace('"post"', '"other"'), SIGNED),
        (TEXT, receipts.signed(TEXT, OTHER)),
        (TEXT, SIGNED[:-2] + "AA"),
        (TEXT, "eyJhbGciOiJub25lIn0.."),
        (TEXT, ""),
        (TEXT, "é..é"),
        ("", SIGNED),
    ],
    ids=["outcome", "node", "key", "signature", "none", "empty", "letters", "nothing"],
)
def test_what_was_not_signed_by_the_hub_is_no_receipt(text: str, signature: str) -> None:
    with pytest.raises(Invalid):
        receipts.verified(text, signature, PUBLIC)


def test_what_is_signed_and_is_no_receipt_is_refused() -> None:
    text = '{"node":"post"}'
    with pytest.raises(Invalid, match="no receipt"):
        receipts.verified(text, receipts.signed(text, KEY), PUBLIC)


async def test_the_key_of_years_ago_still_verifies(store: Store) -> None:
    now = 1_767_225_600_000
    ring = Ring(store, b"s" * 32, receipts.KEYS)
    old = receipts.signed(TEXT, await ring.newest(now))
    later = now + 9 * 365 * DAY
    for year in range(1, 9):
        await ring.newest(now + year * 365 * DAY)
    newest = await ring.newest(later)
    keys = (await ring.published(later))["keys"]
    assert receipts.verified(TEXT, old, keys).node == "post"
    assert receipts.verified(TEXT, receipts.signed(TEXT, newest), keys).node == "post"
    assert all("d" not in key for key in keys)
