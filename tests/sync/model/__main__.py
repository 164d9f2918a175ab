"""python -m tests.sync.model — run schedules of the model."""

from __future__ import annotations

import argparse
import time

from tests.sync.model import __doc__ as manual
from tests.sync.model.schedules import (
    HARMLESS,
    MUTANTS,
    OF_A_COPY,
    run,
    schedule,
    shrink,
    with_losses,
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=manual, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2000, help="how many schedules to run")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, default=200, help="how long a schedule is")
    parser.add_argument("--seed", type=int, help="run one schedule only")
    parser.add_argument(
        "--mutant", choices=(*MUTANTS, HARMLESS, OF_A_COPY), default="", help="break a rule"
    )
    parser.add_argument("--mutants", action="store_true", help="break every rule in turn")
    parser.add_argument("--losses", action="store_true", help="disks are lost, and have copies")
    parser.add_argument("--trace", action="store_true", help="print every step")
    asked = parser.parse_args()
    if asked.seed is not None:
        return one(asked)
    failed = 0
    for mutant in MUTANTS if asked.mutants else (asked.mutant,):
        caught = several(asked, mutant)
        failed += caught != bool(mutant)
    return int(bool(failed))


def one(asked: argparse.Namespace) -> int:
    steps = (with_losses if asked.losses else schedule)(asked.seed, asked.steps)
    broken = run(steps, asked.mutant)
    if broken:
        steps = shrink(steps, asked.mutant)
        broken = run(steps, asked.mutant, trace=asked.trace)
        print(f"{broken}\nafter {len(steps)} steps: {[name for name, _ in steps]}")
    return int(bool(broken))


def several(asked: argparse.Namespace, mutant: str) -> bool:
    """Whether one of the schedules broke."""
    name, began = mutant or "the protocol", time.monotonic()
    for seed in range(asked.first, asked.first + asked.seeds):
        steps = (with_losses if asked.losses else schedule)(seed, asked.steps)
        if run(steps, mutant):
            took = time.monotonic() - began
            steps = shrink(steps, mutant)
            told = " ".join(action for action, _ in steps)
            print(f"{name}: seed {seed} in {took:.1f} s, {len(steps)} steps {told}: ", end="")
            print(run(steps, mutant), flush=True)
            return True
    took = time.monotonic() - began
    print(f"{name}: {asked.seeds} schedules of {asked.steps} steps held, {took:.0f} s", flush=True)
    return False


if __name__ == "__main__":
    raise SystemExit(main())
