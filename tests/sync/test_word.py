"""The hub's word to wipe is believed from the hub alone, by the node and for the key it names.

https://hl7.org/fhir/R4/signatures.html
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from joserfc import jwk, jws

from fhir_server.foundation.outcome import Invalid
from fhir_server.security.tokens.ring import Ring
from fhir_server.sync import receipts, wiping
from fhir_server.sync.node import key as keys
from fhir_server.sync.node.key import NodeKey
from fhir_server.sync.node.wiping import told_to_wipe
from fhir_server.sync.wiping import TYPE, Word

HUB = "https://tinh.example.vn/fhir"


def of_hub(kid="hub-1"):
    return jwk.generate_key("EC", "P-256", {"kid": kid, "use": "sig", "alg": "ES256"})


def public(*several):
    return [each.as_dict(private=False) for each in several]


OWN, ANOTHER = keys.made(), keys.made()
HUBS, STRANGER = of_hub(), of_hub()  # of one name
NODE = NodeKey(
    HUB, "tyt-hue", f"{HUB}/oauth/token", "system/*.cruds", dict(OWN.as_dict(private=True)),
    receipt_keys=public(HUBS),
)  # fmt: skip
WORD = Word("tyt-hue", NODE.thumbprint, 1_767_225_600_999)


def by(key, payload, **header):
    head = {"alg": "ES256", "kid": key.kid, "typ": TYPE, **header}
    head = {name: value for name, value in head.items() if value is not None}
    return jws.serialize_compact(head, json.dumps(payload).encode(), key, algorithms=["ES256"])


SAID = {"node": WORD.node, "key": WORD.key, "at": WORD.at}
GOOD = wiping.signed(WORD, HUBS)
RECEIPT = {"node": "tyt-hue", "incarnation": "7f3c", "revs": "", "receipts": "", "epoch": "m2qa"}
RECEIPT |= {"now": 1, "before": "", "key": WORD.key, "at": 1}

# what comes                                 what the refusal holds
LIES = {
    "somebody else's key of the same name": [wiping.signed(WORD, STRANGER)],
    "a key it brings along": [by(STRANGER, SAID, jwk=public(STRANGER)[0])],
    "another node's": [wiping.signed(replace(WORD, node="tyt-hanoi"), HUBS)],
    "of before it was enrolled anew": [
        wiping.signed(replace(WORD, key=ANOTHER.thumbprint()), HUBS)
    ],
    "a receipt": [by(HUBS, RECEIPT, typ=None)],
    "what says of another type": [by(HUBS, SAID, typ="JWT")],
    "one letter changed": [GOOD[:-9] + ("A" if GOOD[-9] != "A" else "B") + GOOD[-8:]],
    "without its signature": [GOOD.rpartition(".")[0] + "."],
    "no algorithm": ["eyJhbGciOiJub25lIn0." + GOOD.split(".")[1] + "."],
    "less than a word": [by(HUBS, {"node": WORD.node, "key": WORD.key})],
    "a text": GOOD,
    "none": [],
    "what is no text": [7, None, {}, [GOOD]],
    "more than are looked at": ["x"] * 20 + [GOOD],
    "far too long": ["x" * 60_000],
}  # fmt: skip


def said(told, key=NODE, file=None, status=401):
    return told_to_wipe(status, json.dumps({"wipe": told}).encode(), key, file)


@pytest.mark.parametrize("what", LIES)
def test_nobody_is_believed_but_the_hub_that_was_known_before(what):
    assert said(LIES[what]) is None
    with pytest.raises(Invalid):
        wiping.verified(LIES[what], NODE.receipt_keys, node=NODE.client, key=NODE.thumbprint)


def test_the_hub_is_believed():
    found = said([wiping.signed(WORD, of_hub("hub-2")), GOOD])
    assert found is not None
    assert found.word == WORD


OTHERS = [(200, b"{}"), (401, b"{"), (401, b"[]"), (401, b"{}"), (403, b'{"wipe":[]}')]


@pytest.mark.parametrize(("status", "body"), OTHERS)
def test_other_refusals_say_nothing_of_it(status, body):
    assert told_to_wipe(status, body, NODE, None) is None


def test_a_word_is_no_receipt():
    head, _, last = GOOD.split(".")
    text = json.dumps(RECEIPT)
    signed = receipts.signed(text, HUBS)
    assert receipts.verified(text, signed, public(HUBS)).node == "tyt-hue"
    typed = by(HUBS, RECEIPT)
    head, _, last = typed.split(".")
    with pytest.raises(Invalid):
        receipts.verified(json.dumps(RECEIPT), f"{head}..{last}", public(HUBS))


def test_the_first_keys_a_node_has_seen_are_the_only_ones_it_believes(tmp_path):
    """Of a node that was told none when it was enrolled."""
    file, node = tmp_path / "hub-key.json", replace(NODE, receipt_keys=[])
    assert said([GOOD], node, file) is None
    keys.pin(file, node, public(HUBS))
    keys.pin(file, node, public(STRANGER))
    assert said([GOOD], node, file) is not None
    assert said([wiping.signed(WORD, STRANGER)], node, file) is None
    assert said([GOOD], replace(node, hub="https://other.example.vn/fhir"), file) is None
    keys.write(file, node)
    keys.erase(file)
    assert list(tmp_path.iterdir()) == []


async def test_the_word_is_signed_by_each_key_the_hub_has_had(store):
    ring = Ring(store, b"secret", receipts.KEYS)
    day = 24 * 3_600_000
    first = await ring.published(day)
    later = 400 * day
    words = await wiping.words(ring, WORD, later)
    assert len(words) == 2
    node = replace(NODE, receipt_keys=first["keys"])
    found = said(words, node)
    assert found is not None
    assert said(words[:1], node) is None, "an old node knows no new key"
    assert len(await wiping.words(Ring(store, b"another", receipts.KEYS), WORD, later)) == 1
