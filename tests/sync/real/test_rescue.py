"""A post's laptop is lost while its line is down, as processes: a stick has what it never sent.

The hub is on PostgreSQL, the post on SQLite.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from fhir_server.security.tokens import enrolment
from fhir_server.store.upkeep import access
from fhir_server.sync.copy.folder import found
from tests.acceptance.serving import Patience
from tests.sync.real.place import Place
from tests.sync.real.province import Post, Province

FACILITY = "nhon-ai"
VISITS = 30
PEOPLE = f"{FACILITY}.lost-"


def test_a_laptop_that_is_lost_is_made_again_from_the_hub_and_a_stick(province: Province) -> None:
    here, hub = province.at_post[FACILITY], province.at_hub[FACILITY]
    post = next(each for each in province.posts if each.facility == FACILITY)
    for name in ("an", "ba"):
        must(here, "PUT", f"Patient/{PEOPLE}{name}", person(name, gender="unknown"))
    gone = must(here, "PUT", "Observation/lost-pulse", pulse("lost-pulse", "an"))
    until(lambda: hub.ask("GET", gone.partition("/_history")[0]).status_code == 200)
    until(lambda: waiting(post) == 0)  # it has been told that they are there

    post.line.cut()
    must(hub, "PUT", f"Patient/{PEOPLE}ba", person("ba", gender="female"))
    acknowledged = [must(here, "PUT", f"Patient/{PEOPLE}ba", person("ba", gender="male"))]
    for at in range(VISITS):
        id = f"lost-{at}"
        acknowledged += [
            must(here, "PUT", f"Encounter/{id}", visit(id)),
            must(here, "PUT", f"Observation/{id}", pulse(id, "an", f"Encounter/{id}")),
        ]
    bad = {"requester": {"reference": "Location/kho-thuoc"}}
    parked = must(here, "PUT", "MedicationRequest/lost-bad", drug("lost-bad", **bad))
    deleted = here.ask("DELETE", "Observation/lost-pulse")
    assert deleted.status_code in (200, 204)
    standing = post.standing()
    assert standing is not None and standing.copy is not None
    assert not standing.copy.failing

    lose(province, post)
    (copy,) = found(post.stick).copies
    assert not copy.missing, "as far as can be told without the key it is whole"
    post.line.mend()
    begin_anew(province, post)
    until(lambda: here.ask("GET", f"Patient/{PEOPLE}an").status_code == 200)
    first = post.command("sync", "rescue", str(post.stick))
    assert first.returncode == 1, "there is something for a person to look at"
    stored = re.search(r"([\d,]+) stored", first.stdout)
    assert stored is not None, first.stdout + first.stderr
    # What the hub had before the line was cut, of other tests too, may be in the copy still.
    assert int(stored[1].replace(",", "")) >= 2 * VISITS + 1, first.stdout
    for version, outcome in ((acknowledged[0], "conflict"), (parked, "parked")):
        assert f"{version}  {outcome}" in first.stdout, first.stdout
    assert "Location" in first.stdout
    url = province.hub.settings.get("public_base_url", "")  # as its index was made
    told = ("--public-base-url", url) if url else ()
    operators = province.hub.command("rescue", str(post.stick), *told)
    assert outcomes(operators.stdout) == outcomes(first.stdout), operators.stdout + operators.stderr

    for version in acknowledged:
        until(lambda version=version: both(here, hub, version, 200))  # type: ignore[misc] # a default of a lambda
    until(lambda: both(here, hub, "Observation/lost-pulse", 410))
    assert hub.ask("GET", parked).status_code == 404, "it is kept apart there"
    until(lambda: whole(here, hub, f"Patient/{PEOPLE}ba"))


def waiting(post: Post) -> int:
    standing = post.standing()
    return -1 if standing is None else standing.waiting


def lose(province: Province, post: Post) -> None:
    """The laptop, with all that is on it."""
    post.kill()
    home = Path(post.url.removeprefix("sqlite:///")).parent
    for path in home.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copy(province.folder / "template.db", home / "node.db")


def begin_anew(province: Province, post: Post) -> None:
    """Another one, for the same client."""
    code, now = enrolment.new_code(), int(time.time() * 1000)
    access.issue(province.hub.url, enrolment.kept(code, post.id, now, minutes=60))
    post.enrol(code)
    post.begin()
    post.await_ready()


def must(place: Place, method: str, path: str, body: dict[str, Any]) -> str:
    """The version that was acknowledged."""
    answer = place.ask(method, path, body)
    assert answer.status_code in (200, 201), answer.text
    return f"{path}/_history/{answer.headers['etag'][3:-1]}"


def both(here: Place, hub: Place, path: str, status: int) -> bool:
    return {place.ask("GET", path).status_code for place in (here, hub)} == {status}


def whole(here: Place, hub: Place, path: str) -> bool:
    """Both have both versions that were written apart; what they were made from, a new laptop
    knows by name alone."""
    mine, hers = (versions(place.ask("GET", f"{path}/_history")) for place in (here, hub))
    return len(hers) == 3 and mine == {each for each in hers if not each.startswith("1-")}


def versions(answer: httpx.Response) -> set[str]:
    return {entry["resource"]["meta"]["versionId"] for entry in answer.json().get("entry", ())}


def outcomes(told: str) -> set[str]:
    """How many versions became what, of each copy."""
    return {line for line in told.splitlines() if " stored" in line}


def person(name: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient", "id": f"{PEOPLE}{name}", "name": [{"text": name}],
        "managingOrganization": {"reference": f"Organization/{FACILITY}"}, **more,
    }  # fmt: skip


def visit(id: str) -> dict[str, Any]:
    return {
        "resourceType": "Encounter", "id": id, "status": "finished", "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/{PEOPLE}an"},
        "serviceProvider": {"reference": f"Organization/{FACILITY}"},
    }  # fmt: skip


def pulse(id: str, of: str, encounter: str = "") -> dict[str, Any]:
    within = {"encounter": {"reference": encounter}} if encounter else {}
    return {
        "resourceType": "Observation", "id": id, "status": "final", "code": {"text": "Mạch"},
        "subject": {"reference": f"Patient/{PEOPLE}{of}"}, "valueQuantity": {"value": 72}, **within,
    }  # fmt: skip


def drug(id: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest", "id": id, "status": "active", "intent": "order",
        "subject": {"reference": f"Patient/{PEOPLE}an"},
        "medicationCodeableConcept": {"text": "Paracetamol"}, **more,
    }  # fmt: skip


def until(is_so: Callable[[], bool]) -> None:
    patience = Patience(60)
    while not is_so():
        assert patience.left > 0, "it has not come to that"
        patience.wait(0.2)
