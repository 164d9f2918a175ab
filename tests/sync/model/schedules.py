"""Schedules: what happens, in which order; how one is run, and made short where it breaks."""

from __future__ import annotations

from random import Random

from tests.sync.model.checks import Checks
from tests.sync.model.words import Broken
from tests.sync.model.world import World

# An action, and the seed from which everything it does follows; so a schedule replays.
Schedule = list[tuple[str, int]]
ACTIONS = {
    "write": 30,
    "push": 22,
    "pull": 22,
    "deliver": 60,
    "drop": 4,
    "double": 4,
    "hub_begin": 9,
    "hub_commit": 8,
    "crash_hub": 1,
    "backup": 4,
    "restore": 2,
    "clone": 0.3,
    "follow": 4,
}
# Each breaks one rule of docs/sync.md.
MUTANTS = (
    "position-first",
    "answer-before-commit",
    "cursor-first",
    "no-epoch",
    "confirmations-kept",
    "epoch-ends-at-last-row",
    "receipt-not-looked-at",
    "only-beyond-the-newest",
    "epoch-ends-where-noticed",
    "number-alone",
    "life-believed",
    "cursor-only-rewound",
    "no-horizon",
    "transaction-id-before-lock",
    "no-backfill",
    "no-left-mark",
    "audience-at-write",
    "snapshot-joins-at-its-end",
    "no-echo-suppression",
    "not-idempotent",
    "reused-number-trusted",
    "own-body-presumed",
    "last-writer-wins",
    "merge-shortens",
    "merge-not-validated",
    "merge-forgets-parent",
    "poison-blocks",
    "dependants-forgotten",
    "display-not-repeated",
)
# Breaks the rule of a copy, and shows in schedules with losses alone.
OF_A_COPY = "copy-lets-go-of-what-is-sent"
# Numbers, the cursor and epochs make late answers harmless already.
HARMLESS = "late-answers-believed"


LOSSES = 3  # disks that are lost for ever, and copies that are brought, in a schedule that has any


def with_losses(seed: int, steps: int) -> Schedule:
    """A schedule in which laptops are lost, and their copies brought."""
    found, random = schedule(seed, steps), Random(-seed - 1)
    for action in ("lose", "rescue"):
        for _ in range(LOSSES):
            found.insert(random.randrange(len(found)), (action, random.getrandbits(32)))
    return found


def schedule(seed: int, steps: int) -> Schedule:
    random = Random(seed)
    names = random.choices(list(ACTIONS), list(ACTIONS.values()), k=steps)
    return [(name, random.getrandbits(30)) for name in names]


def run(steps: Schedule, mutant: str = "", *, trace: bool = False) -> str | None:
    """Run one schedule to the end; what broke, if anything did."""
    world = World(mutant, trace=trace)
    try:
        for action, seed in steps:
            world.step(action, seed)
        world.random = Random(len(steps))
        world.heal()
        Checks(world, resolved=False).all()
        world.people_finish()
        Checks(world, resolved=True).all()
    except Broken as broken:
        return str(broken)
    return None


def shrink(steps: Schedule, mutant: str) -> Schedule:
    """Leave out steps, in ever smaller pieces, as long as something still breaks."""
    size = len(steps) // 2
    while size:
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if run(fewer, mutant):
                steps = fewer
            else:
                at += size
        size //= 2
    return steps
