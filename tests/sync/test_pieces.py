"""A piece of a copy: what anybody reads of it, what only the hub does, what nobody changes."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, replace

import pytest
from joserfc import jwe, jwk

from fhir_server.sync import wire
from fhir_server.sync.copy import folder as folders
from fhir_server.sync.copy import piece
from fhir_server.sync.copy.piece import BadPiece, Head
from fhir_server.sync.node.key import made

BODY = b'{"resourceType":"Bundle","note":"bi mat"}' * 9
HEAD = Head("tyt-hue", "c1", 3, 2, 7, 2, 1_767_225_600_999, -20)
PUBLIC = ("kty", "crv", "x", "y", "kid")


def a_hub(kid="h1"):
    return jwk.generate_key("EC", "P-256", {"kid": kid, "use": "enc"})


def sealing(hub):
    told = hub.as_dict(private=False)
    return {name: told[name] for name in PUBLIC}


HUB, NODE, OTHER = a_hub(), made(), made()


def sealed(head=HEAD, body=BODY, key=NODE, hub=HUB):
    return piece.sealed(head, body, dict(key.as_dict(private=True)), sealing(hub))


def read(line, hub=HUB, *keys):
    one = piece.opened(line, hub)
    return piece.verified(one, [key.as_dict(private=False) for key in keys or (NODE,)])


def test_a_piece_says_whose_it_is_and_its_hub_alone_what_is_in_it():
    line = sealed()
    assert piece.head_of(line) == (HEAD, "h1")
    assert read(line) == BODY
    assert read(line, HUB, OTHER, NODE) == BODY, "whichever of its keys"


def test_nobody_but_the_hub_reads_a_piece():
    line = sealed()
    assert all(b"bi mat" not in plain(part) for part in line.split("."))
    for key in (a_hub(), jwk.generate_key("EC", "P-256", {"kid": "h1"})):
        with pytest.raises(BadPiece, match="opened"):
            piece.opened(line, key)


def plain(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def with_header(**said):
    """As somebody would send it who has changed what it says outside."""
    head, *rest = sealed().split(".")
    told = {**json.loads(plain(head)), **said}
    text = base64.urlsafe_b64encode(json.dumps(told).encode()).rstrip(b"=").decode()
    return ".".join((text, *rest))


def resealed(head, inside, hub=HUB, **more):
    """What a node has signed, sealed again by somebody else under another header."""
    signed = piece.opened(sealed(inside), HUB).signed
    told = {"alg": piece.ALGORITHM, "enc": piece.CONTENT, "typ": piece.OUTSIDE, **more}
    told |= {"kid": sealing(hub)["kid"], **asdict(head)}
    key = jwk.import_key({**sealing(hub), "use": "enc"})
    used = [piece.ALGORITHM, piece.CONTENT, "DEF"]
    registry = jwe.JWERegistry(algorithms=used, strict_check_header=False)
    return jwe.encrypt_compact(told, signed.encode(), key, registry=registry)


def bomb():
    """Small on the line, and signed by the node."""
    return sealed(body=b"\0" * (piece.UNPACKED + 1))


FORGED = [
    # what somebody brings                                                    what is said of it
    (lambda: "", "no piece"),
    (lambda: "a.b.c.d.e", "no piece"),
    (lambda: "." * 4, "no piece"),
    (lambda: sealed()[:-20], "changed or cut"),
    (lambda: sealed()[:60], "no piece"),
    (lambda: sealed() + ".x", "no piece"),
    (lambda: sealed() + "é", "no piece"),
    (lambda: with_header(node="tyt-khac"), "changed or cut"),
    (lambda: with_header(piece=4), "changed or cut"),
    (lambda: with_header(piece=-4), "no piece"),
    (lambda: with_header(piece=True), "no piece"),
    (lambda: with_header(piece=2**60), "no piece"),
    (lambda: with_header(piece="3"), "no piece"),
    (lambda: with_header(node="a/../b"), "no piece"),
    (lambda: with_header(copy=["c1"]), "no piece"),
    (lambda: with_header(alg="dir"), "no piece"),
    (lambda: with_header(alg="none"), "no piece"),
    (lambda: with_header(enc="A128CBC-HS256"), "no piece"),
    (lambda: with_header(typ="JWT"), "no piece"),
    (lambda: with_header(zip="DEF"), "changed or cut"),
    (lambda: with_header(crit=["zip"]), "changed or cut"),
    (lambda: with_header(epk={"kty": "oct"}), "changed or cut"),
    (lambda: with_header(deep="[" * 900), "changed or cut"),
    (lambda: sealed(key=OTHER), "No key"),
    (lambda: resealed(HEAD, replace(HEAD, node="tyt-khac")), "outside"),
    (lambda: resealed(HEAD, replace(HEAD, copy="c2")), "outside"),
    (lambda: resealed(HEAD, replace(HEAD, piece=9)), "outside"),
    (lambda: resealed(HEAD, replace(HEAD, first=1)), "outside"),
    (lambda: resealed(HEAD, replace(HEAD, at=1)), "outside"),
    (lambda: resealed(HEAD, HEAD, zip="DEF"), "changed or cut"),
    (bomb, "more than"),
    (lambda: "a" * (piece.MOST + 1), "longer"),
]  # fmt: skip


@pytest.mark.parametrize(("made_so", "said"), FORGED, ids=[f"{n:02}" for n in range(len(FORGED))])
def test_a_piece_that_is_not_as_its_node_made_it_is_refused_with_a_sentence(made_so, said):
    with pytest.raises(BadPiece, match=said) as refused:
        read(made_so())
    assert refused.value.why.vietnamese


def test_what_was_signed_for_one_hub_is_not_good_at_another():
    """A hub that opens a piece could seal what is in it for another."""
    other = a_hub("h2")
    with pytest.raises(BadPiece, match="outside"):
        read(resealed(HEAD, HEAD, other), other)


def test_what_is_no_dictionary_of_ours_cannot_be_read(monkeypatch):
    monkeypatch.setattr(wire, "packed", lambda body: wire.MAGIC + b"\0" * 32 + body)
    line = sealed()
    with pytest.raises(BadPiece, match="damaged"):
        read(line)


# --- what lies on a stick ------------------------------------------------------------------------


def on(stick, *numbers, low=1, copy="c1", file="000001"):
    path = stick / "tyt-hue" / copy / f"{file}.pieces"
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        folders.appended(path, sealed(replace(HEAD, piece=number, low=low, copy=copy)))
    return path


def test_what_is_missing_or_torn_is_told_without_the_key(tmp_path):
    first = on(tmp_path, 1, 2)
    last = on(tmp_path, 5, low=2, file="000002")
    with last.open("ab") as opened:
        opened.write(sealed(replace(HEAD, piece=6)).encode()[:200])
    (tmp_path / "letter.txt").write_text("something else")
    first.with_name("000003.pieces").write_bytes(b"\xff\xfe\n" + b"a\n")
    (copy,) = folders.found(tmp_path).copies
    assert [each.head.piece for each in copy.pieces] == [1, 2, 5]
    assert copy.missing == [3, 4]
    torn = [name.rpartition("/")[2] for name in folders.found(tmp_path).torn]
    assert torn == ["000002.pieces:2", "000003.pieces:1", "000003.pieces:2"]


def test_a_piece_that_lies_there_twice_is_one_and_two_copies_are_two(tmp_path):
    line = on(tmp_path, 1).read_bytes()
    (tmp_path / "again.pieces").write_bytes(line)
    on(tmp_path, 1, copy="c2")
    copies = folders.found(tmp_path).copies
    assert [(copy.name, len(copy.pieces)) for copy in copies] == [("c1", 1), ("c2", 1)]


def test_what_was_removed_because_the_hub_has_it_is_not_missed(tmp_path):
    on(tmp_path, 8, 9, low=8)
    (copy,) = folders.found(tmp_path).copies
    assert copy.missing == []


@pytest.mark.parametrize("low", [1, 2**52])
def test_a_number_somebody_made_up_takes_no_time(tmp_path, low):
    on(tmp_path, 2**52, low=low)
    (copy,) = folders.found(tmp_path).copies
    assert copy.missing == ([1] if low == 1 else [])


def test_a_folder_that_is_none_is_told(tmp_path):
    with pytest.raises(folders.Unreadable, match="no folder"):
        folders.found(tmp_path / "nothing")
