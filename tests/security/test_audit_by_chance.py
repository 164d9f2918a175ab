"""Edits of the audit that nobody thought of: planted by chance, and found, each of them.

https://hl7.org/fhir/R4/security.html#audit
"""

from __future__ import annotations

import random

import pytest

from fhir_server.security.audit import verification
from tests.attack import times

from .test_audit import BINH, other, together, world


def flipped(chance, value: bytes) -> bytes:
    """With one bit the other way."""
    at = chance.randrange(len(value) * 8)
    changed = bytearray(value)
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed)


def change_bytes(chance, trail):
    place = chance.randrange(len(trail.entries))
    one, name = trail.entries[place], chance.choice(("body", "seal"))
    trail.entries[place] = other(one, **{name: flipped(chance, getattr(one, name))})


def change_number(chance, trail):
    place = chance.randrange(len(trail.entries))
    one, name = trail.entries[place], chance.choice(("chain", "number", "at"))
    trail.entries[place] = other(one, **{name: getattr(one, name) + chance.choice((-1, 1, 7))})


def remove(chance, trail):
    for _ in range(chance.randrange(1, len(trail.entries))):
        del trail.entries[chance.randrange(len(trail.entries))]


def swap(chance, trail):
    """The contents of two, each under the other's number."""
    one, two = chance.sample(range(len(trail.entries)), 2)
    first, second = trail.entries[one], trail.entries[two]
    trail.entries[one] = other(first, body=second.body, seal=second.seal)
    trail.entries[two] = other(second, body=first.body, seal=first.seal)


def repeat(chance, trail):
    one = chance.choice(trail.entries)
    trail.entries.append(other(one, number=max(each.number for each in trail.entries) + 1))


def hide(chance, trail):
    early = [row for row in sorted(trail.found_by) if row[2:] <= trail.late]
    trail.found_by.remove(chance.choice(early))


def show(chance, trail):
    """Found by somebody it is not about: all are about another."""
    one = chance.choice(trail.entries)
    trail.found_by.add((BINH, one.at, one.chain, one.number))


EDITS = (change_bytes, change_number, remove, swap, repeat, hide, show)


@pytest.mark.parametrize("seed", range(1, times(2, 21)))
def test_v5_0_0_16_4_2_edits_by_chance_are_found(seed, tell):
    chance, planted = random.Random(seed), 0
    for _ in range(500):
        trail, told = together(2, 3, 4, 1) if chance.random() < 0.5 else world(5, 4)
        before = list(trail.entries), set(trail.found_by)
        for _ in range(chance.choice((1, 1, 1, 2, 5))):
            if len(trail.entries) > 1 and trail.found_by:
                chance.choice(EDITS)(chance, trail)
        if (trail.entries, trail.found_by) == before:
            continue
        planted += 1
        assert verification.verify(trail, told).wrong, (seed, planted)
    tell("audit: edits planted by chance, all found", planted)
