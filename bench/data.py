"""data — what the benchmarks send: the same bytes to every server, with their sha256.

https://hl7.org/fhir/R4/http.html

    python -m bench.data FOLDER --patients 1000 --seed 1

    facilities.ndjson        transactions every server is given before anything is measured
    w1-<way>-<size>/         W1: transactions of visits, one a line, in 32 lanes. What somebody's
      lane-00.ndjson ...     visits need of one another is in one lane, so a client takes lanes
                             whole and in order, and any number of clients up to 32 may run at once
    base/00001.json ...      transactions of the same world under ids of its own, for W2
    w2.ndjson                W2: one request a line, over what `base` has
    manifest.json            how it was made, how many lines, and the sha256 of each file

`w1_requests` and `w2_requests` give the same kinds of work as requests without end, for a run that
starts from an empty database.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.drive import request
from fhir_server.demo import Way, facility_bundles, files, generate
from fhir_server.demo.draw import Draw, Weighted
from fhir_server.demo.facility import organization_id
from fhir_server.demo.records import events
from fhir_server.demo.visit import entries_of, transaction
from fhir_server.demo.world import World
from fhir_server.foundation import wire

Resource = dict[str, Any]
LANES = 32
SIZES = (5, 50, 500)  # entries of a transaction; 5: a visit each, as it comes
RESENT, RECENT = 0.1, 20  # share that is sent again, and how far back it is taken from

OPERATIONS = Weighted([("create", 10.0), ("read", 60.0), ("update", 25.0), ("delete", 5.0)])
SHARES = (
    ("Patient", 30.0),
    ("Encounter", 40.0),
    ("MedicationRequest", 25.0),
    ("Organization", 5.0),
)
TYPES = Weighted(SHARES)
POOL = 4000  # resources of each type that W2 speaks of
DELETED = 0.25  # share of the pool that only deletes speak of, so that reads find what they read


# --- W1 ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Lane:
    """Visits waiting to be sent together, and what was sent lately."""

    size: int
    draw: Draw
    waiting: list[Resource]
    lately: deque[Resource]

    def add(self, entries: list[Resource], *, resend: bool) -> Iterator[Resource]:
        """What is sent now that this visit has come."""
        full = len(self.waiting) + len(entries) > self.size
        if self.waiting and (full or self.clashes(entries)):
            yield from self.send(resend=resend)
        self.waiting += _within(entries, self.waiting)
        if self.size <= SIZES[0]:
            yield from self.send(resend=resend)

    def clashes(self, entries: list[Resource]) -> bool:
        """R4 refuses a transaction that speaks of the same resource, or of one fullUrl, twice."""
        names = {name for entry in self.waiting for name in (_target(entry), entry["fullUrl"])}
        return any(_target(e) in names or e["fullUrl"] in names for e in entries)

    def send(self, *, resend: bool) -> Iterator[Resource]:
        if not self.waiting:
            return
        told = transaction(self.waiting)
        self.waiting = []
        self.lately.append(told)
        yield told
        if resend and self.draw.chance(RESENT):
            yield self.draw.pick(self.lately)


def _target(entry: Resource) -> str:
    """What an entry stores, however it is named: by id, by identifier, or new."""
    request: dict[str, str] = entry["request"]
    if "ifNoneExist" in request:
        return f"{request['url']}?{request['ifNoneExist']}"
    return str(entry["fullUrl"]) if request["method"] == "POST" else request["url"]


def _within(entries: list[Resource], waiting: list[Resource]) -> list[Resource]:
    """The entries, naming by urn a Patient whom the same transaction creates."""
    new = {
        _target(entry): entry["fullUrl"] for entry in waiting if "ifNoneExist" in entry["request"]
    }
    found = []
    for entry in entries:
        told = entry
        for element in ("subject", "encounter"):
            reference = entry.get("resource", {}).get(element, {}).get("reference")
            if reference in new:
                resource = told["resource"] | {element: {"reference": new[reference]}}
                told = told | {"resource": resource}
        found.append(told)
    return found


def w1(patients: int, seed: int, way: Way, size: int) -> Iterator[tuple[int, Resource]]:
    """Transactions with their lanes. Plain POST is never sent again: it would make new records."""
    lanes = [
        Lane(size, Draw(seed, way.value, size, number), [], deque(maxlen=RECENT))
        for number in range(LANES)
    ]
    resend = way is not Way.POST
    world = World(patients, seed)
    for event in events(world, history=True):
        number = event.care.visit.person.count % LANES
        entries = entries_of(world, event, way, history=True)
        for told in lanes[number].add(entries, resend=resend):
            yield number, told
    for number, lane in enumerate(lanes):
        for told in lane.send(resend=False):
            yield number, told


# --- W2 ------------------------------------------------------------------------------------------


def pools(patients: int, seed: int) -> dict[str, list[Resource]]:
    """So many of each type, each as likely as another (reservoir sampling)."""
    draw, seen = Draw(seed, "pools"), dict.fromkeys(("Patient", "Encounter"), 0)
    found: dict[str, list[Resource]] = {}
    for resource in generate(patients, seed):
        type = resource["resourceType"]
        pool, seen[type] = found.setdefault(type, []), seen.get(type, 0) + 1
        if len(pool) < POOL:
            pool.append(resource)
        elif (at := draw.below(seen[type])) < POOL:
            pool[at] = resource
    return found


def w2(patients: int, seed: int, requests: int) -> Iterator[Resource]:
    """Create 10, read 60, update 25, delete 5 of a hundred, over four types."""
    pool, draw = pools(patients, seed), Draw(seed, "w2")
    for number in range(requests):
        type, operation = TYPES.pick(draw), OPERATIONS.pick(draw)
        kept = max(1, int(len(pool[type]) * (1 - DELETED)))
        at = draw.between(kept, len(pool[type]) - 1) if operation == "delete" else draw.below(kept)
        yield _request(operation, type, pool[type][at % len(pool[type])], number)


def _request(operation: str, type: str, resource: Resource, number: int) -> Resource:
    path = f"{type}/{resource['id']}"
    match operation:
        case "create":
            new = {name: value for name, value in resource.items() if name != "id"}
            body = _marked(new, f"c{number}")
            return {"method": "POST", "path": type, "body": body}
        case "update":
            return {"method": "PUT", "path": path, "body": _marked(resource, f"u{number}")}
        case "delete":
            return {"method": "DELETE", "path": path}
    return {"method": "GET", "path": path}


def _marked(resource: Resource, mark: str) -> Resource:
    """The same record with one more identifier: a true change."""
    own = {"system": "https://cantho.fhir-server.example/sid/bench", "value": mark}
    return resource | {"identifier": [*resource.get("identifier", ()), own]}


# --- requests without end ------------------------------------------------------------------------

AHEAD = 10_000  # made before the clock starts, so that the generator's work is not measured
W1_ENTRIES = 5.04  # of a bundle, on the average: a Patient, an Encounter and the drugs
FHIR = "/fhir"


def w1_requests(patients: int, seed: int, *, ahead: int = AHEAD) -> Iterator[bytes]:
    """First visits, POSTed whole: they need nothing of one another, so any order will do."""
    endless = _first_visits(patients, seed)
    return itertools.chain(list(itertools.islice(endless, ahead)), endless)


def _first_visits(patients: int, seed: int) -> Iterator[bytes]:
    for number in itertools.count(seed):
        world = World(patients, number)
        for event in events(world, history=False):
            if event.care.visit.first:
                entries = entries_of(world, event, Way.POST, history=False)
                whole = transaction([_whole(entry) for entry in entries])
                yield request("POST", FHIR, wire.render(whole))


def _whole(entry: Resource) -> Resource:
    """The same entry, made whatever is there, its facility named by the id it would have."""
    return {
        "fullUrl": entry["fullUrl"],
        "resource": entry["resource"] | _named(entry["resource"]),
        "request": {"method": "POST", "url": entry["request"]["url"]},
    }


def _named(resource: Resource) -> Resource:
    found = {}
    for element in ("serviceProvider", "managingOrganization"):
        reference = resource.get(element, {}).get("reference", "")
        if code := reference.partition("|")[2]:
            found[element] = {"reference": f"Organization/{organization_id(code)}"}
    return found


def w2_requests(keys: Sequence[str], seed: int, *, ahead: int = AHEAD) -> Iterator[bytes]:
    """The CRUD mix over these resources (`Patient/1`), each of the types W1 makes.

    Deletes take a quarter of the keys first, then what creates under ids of their own have made;
    reads and updates never speak of those, so none of them can fail.
    """
    endless = _mix(keys, seed)
    return itertools.chain(list(itertools.islice(endless, ahead)), endless)


def _mix(keys: Sequence[str], seed: int) -> Iterator[bytes]:
    draw, bodies = Draw(seed, "mix"), pools(500, seed)
    order = sorted(keys, key=lambda key: hashlib.sha256(key.encode()).digest())
    cut = int(len(order) * DELETED)
    kept, doomed = order[cut:], deque(order[:cut])
    by_type = {type: [key for key in kept if key.startswith(f"{type}/")] for type, _ in SHARES}
    types = Weighted([(type, share) for type, share in SHARES if by_type[type]])
    for number in itertools.count():
        type, operation = types.pick(draw), OPERATIONS.pick(draw)
        key, body = draw.pick(by_type[type]), draw.pick(bodies[type])
        if operation == "create" and number % 2:
            key, operation = f"{type}/bench-{seed}-{number}", "update"
            doomed.append(key)
        if operation == "delete":
            key = doomed.popleft() if len(doomed) > 64 else f"{type}/bench-none"
        told = _request(operation, type, body | {"id": key.partition("/")[2]}, number)
        content = wire.render(told["body"]) if "body" in told else b""
        yield request(told["method"], f"{FHIR}/{told['path']}", content)


# --- files ---------------------------------------------------------------------------------------


def _lines(path: Path, values: Iterable[Resource]) -> int:
    count = 0
    with path.open("wb") as out:
        for value in values:
            out.write(wire.render(value) + b"\n")
            count += 1
    return count


def _lanes(folder: Path, told: Iterable[tuple[int, Resource]]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with ExitStack() as opened:
        names = (folder / f"lane-{number:02}.ndjson" for number in range(LANES))
        lanes = [opened.enter_context(name.open("wb")) for name in names]
        for number, bundle in told:
            lanes[number].write(wire.render(bundle) + b"\n")
            count += 1
    return count


def write(folder: Path, *, patients: int, seed: int, requests: int) -> Resource:
    """Write everything; answers the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = {"facilities": _lines(folder / "facilities.ndjson", facility_bundles())}
    for way in Way:
        for size in SIZES:
            name = f"w1-{way.value}-{size}"
            lines[name] = _lanes(folder / name, w1(patients, seed, way, size))
    counts = files.write(folder / "base", patients=patients, seed=seed, format="bundle")
    lines["w2"] = _lines(folder / "w2.ndjson", w2(patients, seed, requests))
    manifest = {
        "patients": patients,
        "seed": seed,
        "resources": counts,
        "lines": lines,
        "sha256": {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != "manifest.json"
        },
    }
    (folder / "manifest.json").write_bytes(wire.render_pretty(manifest) + b"\n")
    return manifest


def main() -> None:
    asked = argparse.ArgumentParser(description="Write what the benchmarks send.")
    asked.add_argument("folder", type=Path)
    asked.add_argument("--patients", type=int, default=1000)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--requests", type=int, default=20_000, help="how many requests W2 has")
    told = asked.parse_args()
    made = write(told.folder, patients=told.patients, seed=told.seed, requests=told.requests)
    print(wire.render_pretty({name: made[name] for name in ("resources", "lines")}).decode())


if __name__ == "__main__":
    main()
