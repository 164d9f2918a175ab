"""The sync protocol holds in the model, and every rule that is broken is seen."""

from __future__ import annotations

import pytest

from tests.sync.model.schedules import MUTANTS, OF_A_COPY, run, schedule, with_losses

STEPS = 200
# The first seed that shows each broken rule, so that the checks are known to see it.
CAUGHT_BY: dict[str, int] = {
    "position-first": 0,
    "answer-before-commit": 2,
    "cursor-first": 297,
    "no-epoch": 18,
    "confirmations-kept": 14,
    "epoch-ends-at-last-row": 643,
    "receipt-not-looked-at": 24,
    "only-beyond-the-newest": 38,
    "epoch-ends-where-noticed": 49,
    "number-alone": 119,
    "life-believed": 1430,
    "cursor-only-rewound": 3069,
    "no-horizon": 10,
    "transaction-id-before-lock": 0,
    "no-backfill": 0,
    "no-left-mark": 2,
    "audience-at-write": 474,
    "snapshot-joins-at-its-end": 9,
    "no-echo-suppression": 0,
    "not-idempotent": 1,
    "reused-number-trusted": 6,
    "own-body-presumed": 5,
    "last-writer-wins": 0,
    "merge-shortens": 0,
    "merge-not-validated": 810,
    "merge-forgets-parent": 0,
    "poison-blocks": 1,
    "dependants-forgotten": 16,
    "display-not-repeated": 0,
}
SEEDS = 120


@pytest.mark.parametrize("first", range(0, SEEDS, 30))
def test_every_schedule_ends_with_everybody_agreeing(first: int) -> None:
    broken = {seed: run(schedule(seed, STEPS)) for seed in range(first, first + 30)}
    assert not {seed: told for seed, told in broken.items() if told}


def test_what_a_lost_disk_had_is_brought_from_its_copy_whenever_and_however_often() -> None:
    broken = {seed: run(with_losses(seed, STEPS)) for seed in range(40)}
    assert not {seed: told for seed, told in broken.items() if told}
    assert run(with_losses(0, STEPS), OF_A_COPY)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_protocol_that_breaks_a_rule_is_caught(mutant: str) -> None:
    assert run(schedule(CAUGHT_BY[mutant], STEPS), mutant)
