"""Who asks: what belongs to one caller belongs to no other, and not to one token alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_server.security.caller import OPEN, OPERATOR, RESERVED, Caller
from fhir_server.security.scope import parse

ONE = Caller("his", user="Practitioner/1", facility="a", patient="p")


@pytest.mark.parametrize(
    "other",
    [
        replace(ONE, client="emr"),
        replace(ONE, user="Practitioner/2"),
        replace(ONE, facility="b"),
        replace(ONE, patient="q"),
        Caller("his", user="Practitioner/1a", patient="p"),
        Caller('his","Practitioner/1', facility="a", patient="p"),
        OPEN,
        OPERATOR,
    ],
)
def test_another_caller_has_another_identity_v5_0_0_8_4_1(other: Caller) -> None:
    assert other.identity != ONE.identity


def test_a_later_token_of_the_same_caller_has_the_same_identity() -> None:
    later = replace(ONE, token="2", address="::1", scopes=parse("user/*.rs"), purpose="TREAT")
    assert later.identity == ONE.identity


def test_a_client_that_calls_itself_so_is_not_the_operator() -> None:
    for name in RESERVED:
        assert Caller(name).identity not in (OPEN.identity, OPERATOR.identity)
        assert not Caller(name).everything


def test_who_says_nothing_has_no_rights() -> None:
    assert Caller("his").roles == frozenset()
