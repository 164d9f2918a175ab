"""people — who write at posts and at the hub, and remember what they were told was kept.

Each keeps to a seed: what they choose is the same each time, only when it happens is not.
"""

from __future__ import annotations

import base64
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.sync.real.place import Place, Refused

MARK = "urn:x-mark"  # the system of identifiers by which a record is known again
GENDERS = ("male", "female", "other", "unknown")
DRUGS = ("Paracetamol 500 mg", "Amoxicillin 500 mg", "Metformin 850 mg", "Amlodipin 5 mg")
SCAN = 150_000  # bytes
# Somebody else was first; there is too much to do; the disk does not answer, or is full.
LATER = (409, 412, 429, 503, 507)


@dataclass(frozen=True)
class Written:
    """What a server said it kept. version: empty for a deletion that told none. phone: that was
    added to a Patient by it."""

    place: str
    facility: str
    key: str
    version: str
    mark: str = ""
    phone: str = ""
    deleted: bool = False


@dataclass
class Book:
    """What all of them remember. invalid: what no hub takes; lost: what no disk holds any more,
    since each that had it came back from a backup of before; before: what others had left apart."""

    written: list[Written] = field(default_factory=list)
    invalid: list[Written] = field(default_factory=list)
    patients: dict[str, list[str]] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)
    lost: set[tuple[str, str]] = field(default_factory=set)
    before: set[tuple[str, str]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Worker:
    """One who writes at one place, for one facility."""

    def __init__(
        self, place: Place, facility: str, book: Book, seed: str, *, at_post: bool
    ) -> None:
        self.place, self.facility, self.book, self.at_post = place, facility, book, at_post
        self.name = "post" if at_post else "hub"
        self.draw = random.Random(f"{seed} {facility} {self.name}")
        self.count = 0
        self.round = "".join(one for one in seed if one.isalnum()) + "-"
        self.drugs: list[str] = []  # that are there to be deleted
        acts: list[tuple[Callable[[], None], int]] = [
            (self.admit, 5), (self.visit, 3), (self.prescribe, 4), (self.phone, 5),
            (self.gender, 4),
        ]  # fmt: skip
        if at_post:
            acts += [(self.remove, 1), (self.wrong, 1)]
        self._acts = [act for act, weight in acts for _ in range(weight)]

    def work(self, over: threading.Event, pause: float, most: int) -> None:
        """most: things that are done, however long it takes until it is over."""
        for _ in range(most):
            if over.is_set():
                return
            self.step()
            over.wait(self.draw.uniform(0, 2 * pause))

    def step(self) -> None:
        try:
            self.draw.choice(self._acts)()
        except httpx.HTTPError:
            self.book.told["unanswered"] += 1
        except Refused as refusal:
            self.book.told[f"no token {refusal.status}"] += 1
            if refusal.status not in LATER:
                self.book.odd.append(f"{self.name} of {self.facility}: {refusal}")

    # --- what they do ---

    def admit(self) -> None:
        """A new patient, with a visit and a prescription, all or nothing."""
        id = f"{self.facility}.{self.name}-{self.mark()}"
        patient = self.person(id)
        subject = {"reference": f"Patient/{id}"}
        visit, drug = self.encounter(f"{id}v", subject), self.drug(subject)
        visit_at = {"reference": f"Encounter/{id}v"}
        bundle = {
            "resourceType": "Bundle", "type": "transaction",
            "entry": [
                {"resource": patient, "request": {"method": "PUT", "url": f"Patient/{id}"}},
                {"resource": visit, "request": {"method": "PUT", "url": f"Encounter/{id}v"}},
                {"resource": {**drug, "encounter": visit_at},
                 "request": {"method": "POST", "url": "MedicationRequest"}},
            ],
        }  # fmt: skip
        answer = self.place.ask("POST", "", bundle)
        if not self.is_kept(answer, "admit"):
            return
        for sent, told in zip((patient, visit, drug), answer.json()["entry"], strict=True):
            type, id_of, _, version = told["response"]["location"].split("/")[-4:]
            self.note(f"{type}/{id_of}", version, mark=mark_of(sent), phone=phone_of(sent))
        with self.book.lock:
            self.book.patients.setdefault(self.facility, []).append(id)

    def visit(self) -> None:
        if (id := self.known()) is not None:
            name = f"{self.facility}.{self.name}-{self.mark()}v"
            body = self.encounter(name, {"reference": f"Patient/{id}"})
            self.put(body, "visit")

    def prescribe(self) -> None:
        if (id := self.known()) is not None:
            body = self.drug({"reference": f"Patient/{id}"})
            answer = self.place.ask("POST", "MedicationRequest", body)
            if self.is_kept(answer, "prescribe"):
                made = answer.json()
                self.drugs.append(made["id"])
                self.noted(made)

    def phone(self) -> None:
        """Nobody takes a number away: each that was told must be there in the end."""
        if (found := self.read()) is not None:
            number = self.number()
            before = found.get("telecom", [])
            found["telecom"] = [*before, {"system": "phone", "value": number}]
            self.put(found, "phone", seen=True, phone=number)

    def gender(self) -> None:
        if (found := self.read()) is not None:
            found["gender"] = self.draw.choice(GENDERS)
            self.put(found, "gender", seen=True)

    def remove(self) -> None:
        if not self.drugs:
            return
        id = self.drugs.pop(self.draw.randrange(len(self.drugs)))
        answer = self.place.ask("DELETE", f"MedicationRequest/{id}")
        version = answer.headers.get("etag", "")[3:-1]
        # None: it was not there. A post that was restored is brought it again, and keeps it.
        if self.is_kept(answer, "remove") and version:
            self.note(f"MedicationRequest/{id}", version, deleted=True)

    def wrong(self) -> None:
        """What this post's program takes, and the hub's does not."""
        if (id := self.known()) is not None:
            body = {
                **self.drug({"reference": f"Patient/{id}"}),
                "requester": {"reference": "Location/kho-thuoc"},
            }
            answer = self.place.ask("POST", "MedicationRequest", body)
            if self.is_kept(answer, "wrong"):
                made = answer.json()
                with self.book.lock:
                    self.book.invalid.append(self.as_written(made))

    def scan(self) -> int:
        """A document of some size, which no coding makes smaller; the status, 0: there is none."""
        if (id := self.known()) is None:
            return 0
        data = base64.b64encode(self.draw.randbytes(SCAN)).decode()
        name = f"{self.facility}.{self.name}-{self.mark()}s"
        body = {
            "resourceType": "DocumentReference", "id": name,
            "identifier": self.identifier(), "status": "current",
            "subject": {"reference": f"Patient/{id}"},
            "content": [{"attachment": {"contentType": "application/pdf", "data": data}}],
        }  # fmt: skip
        answer = self.place.ask("PUT", f"DocumentReference/{name}", body)
        if self.is_kept(answer, "scan"):
            self.noted(answer.json())
        return answer.status_code

    # --- with what ---

    def mark(self) -> str:
        self.count += 1
        return f"{self.round}{self.count}"

    def number(self) -> str:
        return f"09{self.draw.randrange(10**8):08d}"

    def identifier(self) -> list[dict[str, str]]:
        return [{"system": MARK, "value": f"{self.facility}-{self.name}-{self.mark()}"}]

    def person(self, id: str) -> dict[str, Any]:
        return {
            "resourceType": "Patient", "id": id, "identifier": self.identifier(),
            "name": [{"text": f"Người {id}"}], "gender": self.draw.choice(GENDERS),
            "telecom": [{"system": "phone", "value": self.number()}],
            "managingOrganization": {"reference": f"Organization/{self.facility}"},
        }  # fmt: skip

    def encounter(self, id: str, subject: dict[str, str]) -> dict[str, Any]:
        return {
            "resourceType": "Encounter", "id": id, "identifier": self.identifier(),
            "status": "finished", "class": {"code": "AMB"}, "subject": subject,
            "serviceProvider": {"reference": f"Organization/{self.facility}"},
        }  # fmt: skip

    def drug(self, subject: dict[str, str]) -> dict[str, Any]:
        return {
            "resourceType": "MedicationRequest", "identifier": self.identifier(),
            "status": "active", "intent": "order", "subject": subject,
            "medicationCodeableConcept": {"text": self.draw.choice(DRUGS)},
        }  # fmt: skip

    def known(self) -> str | None:
        """A patient this place has, too; None: it has not the one that was chosen."""
        found = self.read()
        return None if found is None else found["id"]

    def read(self) -> dict[str, Any] | None:
        with self.book.lock:
            ids = list(self.book.patients.get(self.facility, ()))
        if not ids:
            return None
        # the newest are more often asked for: two places edit them at one time
        id = self.draw.choice(ids[-4:] if self.draw.random() < 0.6 else ids)
        answer = self.place.ask("GET", f"Patient/{id}")
        return answer.json() if answer.status_code == 200 else None

    # --- what was said of it ---

    def put(self, body: dict[str, Any], what: str, *, seen: bool = False, phone: str = "") -> None:
        path = f"{body['resourceType']}/{body['id']}"
        headers = {"If_Match": f'W/"{body["meta"]["versionId"]}"'} if seen else {}
        answer = self.place.ask("PUT", path, body, **headers)
        if self.is_kept(answer, what):
            self.noted(answer.json(), phone=phone)

    def is_kept(self, answer: httpx.Response, what: str) -> bool:
        self.book.told[f"{self.name} {what} {answer.status_code}"] += 1
        if answer.status_code in (200, 201) and not answer.content:
            self.book.odd.append(f"{self.name} {what}: nothing was said, {answer.headers}")
            return False
        if answer.status_code >= 400 and answer.status_code not in LATER:
            self.book.odd.append(f"{self.name} {what}: {answer.status_code} {answer.text[:600]}")
        return answer.status_code < 300

    def as_written(self, made: dict[str, Any], phone: str = "") -> Written:
        key = f"{made['resourceType']}/{made['id']}"
        version = made["meta"]["versionId"]
        return Written(self.name, self.facility, key, version, mark_of(made), phone)

    def noted(self, made: dict[str, Any], phone: str = "") -> None:
        with self.book.lock:
            self.book.written.append(self.as_written(made, phone))

    def note(self, key: str, version: str, **more: Any) -> None:
        with self.book.lock:
            self.book.written.append(Written(self.name, self.facility, key, version, **more))


def mark_of(resource: dict[str, Any]) -> str:
    return next((one["value"] for one in resource.get("identifier", ())), "")


def phone_of(resource: dict[str, Any]) -> str:
    return next((one["value"] for one in resource.get("telecom", ())), "")
