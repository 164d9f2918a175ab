"""record — what one request was told and did, gathered while it is answered.

https://hl7.org/fhir/R4/auditevent.html

A Record travels with the Circumstances of a request, through a Bundle's entries and operations
too. Who puts a stored resource into an answer tells it here; what is written takes its entry from
here into the same transaction; what is left over is written down before the answer is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

from fhir_server.security.audit.said import MOST_URL, Said, entry
from fhir_server.security.caller import Caller
from fhir_server.security.decision import NEEDS, Access
from fhir_server.store.contract import Entry, NewVersion, Stored, version_id
from fhir_server.store.contract.version import LEFT

BY_METHOD = {
    "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", LEFT: "delete"
}  # fmt: skip
MANY = frozenset({"batch", "transaction"})
SHOWN = {each: each for each in NEEDS} | {"search-compartment": "search-type"}
MOST_USES = 50  # types and interactions whose rules one entry names
WRITTEN = 200  # the status of what was committed: an answer has its own only afterwards

Told = tuple[str, str, str]  # type, id, version id
Asked = tuple[str, str, int, str]  # interaction, url, status, issue type


def now() -> int:
    return time.time_ns() // 1_000_000


def named(stored: Stored) -> Told:
    return stored.key.type, stored.key.id, stored.version_id


class Record:
    """Of one request. url and request: as the entry names them."""

    __slots__ = (
        "_committed",
        "_refused",
        "_told",
        "_were",
        "access",
        "address",
        "clock",
        "interaction",
        "request",
        "type",
        "url",
    )

    def __init__(
        self,
        interaction: str,
        url: str = "",
        request: str = "",
        *,
        address: str = "",
        access: Access | None = None,
        type: str = "",
        clock: Callable[[], int] = now,
    ) -> None:
        """address: where it came from. access: by what right. type: that of the URL, if any."""
        self.interaction = interaction
        self.address = address
        self.access = access
        self.type = type
        self.url = url[:MOST_URL]
        self.request = request
        self.clock = clock
        self._committed = False  # a commit has taken its entry along
        self._told: dict[Told, int] = {}
        self._were: dict[Told, int] = {}
        self._refused: list[Asked] = []

    def tell(self, versions: Iterable[Stored]) -> None:
        """These stand in the answer, whole or in part."""
        for stored in versions:
            self._told[named(stored)] = stored.owner

    def was(self, stored: Stored, owner: int) -> None:
        """An old version says itself that it is another's than its resource is today."""
        self._were[named(stored)] = owner

    def refuse(self, interaction: str, url: str, status: int, code: str) -> None:
        """An entry of a batch was refused."""
        self._refused.append((interaction, url[:MOST_URL], status, code))

    def written(self, caller: Caller, versions: Sequence[NewVersion]) -> Entry:
        """The entry of a commit. Raises nothing, so that a write is never lost for it."""
        told: dict[Told, int] = {}
        also: list[int] = []
        uses: dict[tuple[str, str], None] = {}
        for new in versions:
            owner = new.rows.owner or new.before.owner
            for row in new.earlier:
                told[(*new.key, version_id(row.generation, row.digest))] = owner
            told[(*new.key, version_id(new.generation, new.digest))] = owner
            uses[(BY_METHOD[new.method], new.key.type)] = None
            if new.before.owner != owner:
                also.append(new.before.owner)  # it was his before
        name = self.interaction
        if name == "batch":
            name = BY_METHOD[versions[0].method] if len(versions) == 1 else "transaction"
        return self._entry(
            caller, (name, self.url, WRITTEN, ""), told, also, rules=self._rules(uses)
        )

    def committed(self) -> None:
        """What was written is written down; what was told is left."""
        self._committed = True

    def entries(self, caller: Caller, status: int, code: str = "") -> tuple[Entry, ...]:
        """What is left to be written down when the request is answered."""
        found = [self._entry(caller, refused, {}) for refused in self._refused]
        if self._told or not self._committed:
            whole = (self.interaction, self.url, status, code)
            uses = dict.fromkeys(
                (SHOWN.get(self.interaction, "read"), one[0]) for one in self._told
            )
            rules = self._rules(uses or {(self.interaction, self.type): None})
            # The entries of a batch are done at once: which was done first is nobody's business.
            order = sorted(self._told) if self.interaction in MANY else self._told
            told = {one: self._were.get(one, self._told[one]) for one in order}
            today = (self._told[one] for one in order if one in self._were)
            found.append(self._entry(caller, whole, told, today, rules=rules))
        return tuple(found)

    def _entry(
        self,
        caller: Caller,
        asked: Asked,
        told: Mapping[Told, int],
        also: Iterable[int] = (),
        rules: tuple[str, ...] = (),
    ) -> Entry:
        interaction, url, status, code = asked
        owners = dict.fromkeys(owner for owner in (*told.values(), *also) if owner)
        place = {0: 0, **{owner: at for at, owner in enumerate(owners, start=1)}}
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
            purpose=self.access.purpose if self.access else caller.purpose,
            basis=caller.basis,
            reason=caller.reason,
            token=caller.token,
            address=caller.address or self.address,
            resources=tuple([(*one, place[owner]) for one, owner in told.items()]),
            patients=tuple(owners),
            rules=rules,
        )
        return entry(said, self.clock())

    def _rules(self, uses: Mapping[tuple[str, str], None]) -> tuple[str, ...]:
        """The names of the rules by which these types were reached."""
        if self.access is None:
            return ()
        names = (
            rule
            for interaction, type in islice(uses, MOST_USES)
            if interaction in NEEDS and type
            for rule in self.access.basis(interaction, type).rules
        )
        return tuple(dict.fromkeys(names))
