"""record — what one request was told and did, gathered while it is answered.

https://hl7.org/fhir/R4/auditevent.html

A Record travels with the Circumstances of a request, through a Bundle's entries and operations
too. Who puts a stored resource into an answer tells it here; what is written takes its entry from
here into the same transaction; what is left over is written down before the answer is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from fhir_server.security.audit.said import MOST_URL, Said, entry
from fhir_server.security.caller import Caller
from fhir_server.store.contract import Entry, NewVersion, Stored, version_id

BY_METHOD = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
MANY = frozenset({"batch", "transaction"})
WRITTEN = 200  # the status of what was committed: an answer has its own only afterwards

Told = tuple[str, str, str]


def now() -> int:
    return time.time_ns() // 1_000_000


class Record:
    """Of one request. url and request: as the entry names them."""

    __slots__ = ("_patients", "_refused", "_told", "clock", "interaction", "request", "rest", "url")

    def __init__(
        self, interaction: str, url: str = "", request: str = "", clock: Callable[[], int] = now
    ) -> None:
        self.interaction = interaction
        self.url = url[:MOST_URL]
        self.request = request
        self.clock = clock
        self.rest = True  # whether something is to be written down that no commit has taken along
        self._told: dict[Told, None] = {}
        self._patients: dict[int, None] = {}
        self._refused: list[tuple[str, str, int, str]] = []

    def tell(self, versions: Iterable[Stored]) -> None:
        """These stand in the answer, whole or in part."""
        self.rest = True
        for stored in versions:
            self._told[(stored.key.type, stored.key.id, stored.version_id)] = None
            if stored.owner:
                self._patients[stored.owner] = None

    def refuse(self, interaction: str, url: str, status: int, code: str) -> None:
        """An entry of a batch was refused."""
        self._refused.append((interaction, url[:MOST_URL], status, code))

    def written(self, caller: Caller, versions: Sequence[NewVersion]) -> Entry:
        """The entry of a commit. Raises nothing, so that a write is never lost for it."""
        told, patients = [], {}
        for new in versions:
            told.append((new.key.type, new.key.id, version_id(new.generation, new.digest)))
            for owner in (new.rows.owner, new.before.owner):
                if owner:
                    patients[owner] = None
        name = self.interaction
        if name == "batch":
            name = BY_METHOD[versions[0].method] if len(versions) == 1 else "transaction"
        return self._entry(caller, name, self.url, WRITTEN, "", told, patients)

    def committed(self) -> None:
        """What was written is written down; only what is told from here on is left."""
        self.rest = False

    def entries(self, caller: Caller, status: int, code: str = "") -> tuple[Entry, ...]:
        """What is left to be written down when the request is answered."""
        found = [
            self._entry(caller, name, url, refused, why, (), ())
            for name, url, refused, why in self._refused
        ]
        if self.rest:
            told, patients = self._told, self._patients
            whole = self._entry(caller, self.interaction, self.url, status, code, told, patients)
            found.append(whole)
        return tuple(found)

    def _entry(
        self,
        caller: Caller,
        interaction: str,
        url: str,
        status: int,
        code: str,
        told: Iterable[Told],
        patients: Iterable[int],
    ) -> Entry:
        said = Said(
            interaction=interaction,
            status=status,
            code=code,
            url=url,
            request=self.request,
            client=caller.client,
            user=caller.user,
            facility=caller.facility,
            roles=tuple(sorted(caller.roles)),
            purpose=caller.purpose,
            basis=caller.basis,
            reason=caller.reason,
            token=caller.token,
            address=caller.address,
            resources=tuple(told),
            patients=tuple(patients),
        )
        return entry(said, self.clock())
