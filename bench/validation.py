"""python -m bench.validation — what checking a resource costs, with profiles and terminology.

    python -m bench.validation [--seconds 1] [--patients 300]

In this process, on one core, without a server or a database: microseconds a resource, valid and
invalid, each beside floors taken in the same run over the same resources:

    parse        bytes to a resource
    visit        every value looked at once, in Python: what a check cannot well do without
    structure    R4's own rules alone (validation/structure)
    R4B models   fhir.resources' model_validate; it has no R4, no profiles and no terminology

And, in a process of its own: how long it takes until all is loaded and has checked one resource
by every local profile, and the memory that takes.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import itertools
import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import suppress
from os import getpid
from typing import Any

from bench import data
from bench.processes import resident
from fhir_server.conformance import definitions
from fhir_server.conformance.r4_resources import canonicals_of_r4
from fhir_server.demo import Way
from fhir_server.foundation import wire
from fhir_server.server import knowledge_of
from fhir_server.settings import Settings
from fhir_server.validation.knowledge import Known

Resource = dict[str, Any]
TYPES = tuple(type for type, _ in data.SHARES)
SAMPLE = 200  # resources of a type, so that no cache of one resource flatters
ENTRIES = 50

VALID_A_SECOND, INVALID_MS, LOAD_SECONDS, LOAD_MB = 8_000, 2.0, 1.5, 120

# What is wrong with the invalid ones: two faults of R4's own, and one each of most profiles.
FAULTS: dict[str, Resource] = {
    "Patient": {"gender": "nam", "birthDate": "31/12/1990", "identifier": None},
    "Encounter": {"status": None, "class": {"display": "?"}, "serviceProvider": None},
    "MedicationRequest": {"intent": "wish", "subject": None, "groupIdentifier": None},
    "Organization": {"active": "yes", "name": 7, "identifier": [{"value": "1"}]},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure")
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--load", choices=["time", "memory"], help="only this, told as JSON")
    asked = parser.parse_args()
    if asked.load:
        print(json.dumps(LOADS[asked.load]()))
        return
    report(seconds=asked.seconds, patients=asked.patients)


def report(*, seconds: float, patients: int) -> None:
    """Everything, printed."""
    print("\nvalidation, one core, profiles and terminology on (us a resource)")
    known = everything()
    each = samples(patients)
    spent = [0.0, 0.0]
    for name, resources in each.items():
        spent[0] += row(known, name, resources, seconds)
        spent[1] = max(spent[1], row(known, name, [spoiled(r) for r in resources], seconds))
    rate = 1e6 * len(each) / spent[0]
    goal("valid resources a second, all kinds alike", f"{rate:9,.0f}", rate >= VALID_A_SECOND)
    slowest = spent[1] / 1000
    goal("invalid, the slowest kind, ms", f"{slowest:9.2f}", slowest < INVALID_MS)
    print("\nloading all profiles and terminology, in a process of its own")
    timed, traced = loaded("time"), loaded("memory")
    goal("seconds", f"{timed['seconds']:9.2f}", timed["seconds"] < LOAD_SECONDS)
    goal("MB resident, beyond R4's definitions", f"{timed['mb']:9.0f}", timed["mb"] < LOAD_MB)
    print(f"  {'MB by tracemalloc, and at its peak':<44}{traced['mb']:9.0f}{traced['peak']:9.0f}")


def everything() -> Known:
    """What a server knows whose settings are the defaults."""
    return knowledge_of(Settings(), definitions.load()).current


def samples(patients: int) -> dict[str, list[Resource]]:
    """Resources of the demonstration's world: of each type, and uploads of fifty entries."""
    pools = data.pools(patients, seed=1)
    found = {type: pools[type][:SAMPLE] for type in TYPES}
    bundles = (told for _, told in data.w1(patients, 1, Way.POST, ENTRIES))
    whole = (told for told in bundles if len(told["entry"]) > ENTRIES - 10)
    found["Bundle"] = list(itertools.islice(whole, SAMPLE // 10))
    return found


def spoiled(resource: Resource) -> Resource:
    """The same resource with faults; of a Bundle every fifth entry."""
    if resource["resourceType"] == "Bundle":
        found = copy.deepcopy(resource)
        for entry in found["entry"][::5]:
            entry["resource"] = spoiled(entry["resource"])
        return found
    faults = FAULTS.get(resource["resourceType"], {})
    named = {name: value for name, value in faults.items() if value is not None}
    return {name: value for name, value in resource.items() if name not in faults} | named


# --- the figures ----------------------------------------------------------------------------------


def row(known: Known, name: str, resources: Sequence[Resource], seconds: float) -> float:
    """One line of figures; answers the microseconds of a resource. Each entry of a Bundle counts
    as a resource, since that is what it holds."""
    parts = sum(len(r.get("entry", [1])) for r in resources) / len(resources)
    validator = known.validator
    issues = [validator.check(resource) for resource in resources]
    errors = sum(any(issue.severity == "error" for issue in told) for told in issues)
    bodies = [wire.render(resource) for resource in resources]
    figures = {
        "parse": cost(wire.parse, bodies, seconds),
        "visit": cost(visit, resources, seconds),
        "structure": cost(validator.structure.check, resources, seconds),
        "R4B": cost(modelled(name), resources, seconds),
        "all": cost(validator.check, resources, seconds),
    }
    told = "  ".join(f"{key} {value / parts:7.1f}" for key, value in figures.items())
    ratio = figures["all"] / figures["visit"]
    refused = (
        f"{errors / len(issues):4.0%} refused, {sum(map(len, issues)) / len(issues):4.1f} issues"
    )
    print(f"  {name:<18}{told}  = {ratio:5.1f} visits  {refused}")
    sys.stdout.flush()
    return figures["all"] / parts


def cost(work: Callable[[Any], object], values: Sequence[Any], seconds: float) -> float:
    """Microseconds of one, the best of many rounds: what else the machine does only adds."""
    best, stop = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < stop or best == float("inf"):
        start = time.perf_counter()
        for value in values:
            work(value)
        best = min(best, time.perf_counter() - start)
    return 1e6 * best / len(values)


def visit(value: object) -> None:
    """Look at every value once."""
    if type(value) is dict:
        for each in value.values():
            visit(each)
    elif type(value) is list:
        for each in value:
            visit(each)


def modelled(type: str) -> Callable[[Resource], object]:
    """fhir.resources' check of a type."""
    module = importlib.import_module(f"fhir.resources.R4B.{type.lower()}")
    validate = getattr(module, type).model_validate

    def check(resource: Resource) -> None:
        with suppress(ValueError):  # what it says of an invalid one
            validate(resource)

    return check


def goal(name: str, value: str, reached: bool) -> None:  # noqa: FBT001 - printed beside it
    print(f"  {name:<44}{value}   {'reached' if reached else 'MISSED'}")


# --- loading --------------------------------------------------------------------------------------


def loaded(what: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.validation", "--load", what]
    told: dict[str, float] = json.loads(subprocess.check_output(command))
    return told


def used(resources: Sequence[Resource]) -> None:
    """Load everything and use it: every profile once, and what these resources need of the
    terminology, so that nothing is left to be made."""
    known = everything()
    for resource in resources:
        known.validator.check(resource)
    own = canonicals_of_r4()
    for url in known.canonicals.urls() - own.urls():
        structure = known.canonicals.get(url, "StructureDefinition") or {}
        if structure.get("kind") == "resource":
            known.validator.check({"resourceType": structure["type"]}, profiles=(url,))


def few() -> list[Resource]:
    """Some of each type, made before anything is measured."""
    return [resource for resources in samples(60).values() for resource in resources[:20]]


def load_time() -> dict[str, float]:
    resources = few()
    before, start = resident([getpid()]), time.process_time()
    used(resources)
    return {"seconds": time.process_time() - start, "mb": (resident([getpid()]) - before) / 1e6}


def load_memory() -> dict[str, float]:
    resources = few()
    tracemalloc.start()
    used(resources)
    held, peak = tracemalloc.get_traced_memory()
    return {"mb": held / 1e6, "peak": peak / 1e6}


LOADS: dict[str, Callable[[], dict[str, float]]] = {"time": load_time, "memory": load_memory}


if __name__ == "__main__":
    main()
