"""renewing — the policy of who may reach what is read again when its file has changed.

https://hl7.org/fhir/R4/security.html#authorization%2Faccess-control

Each process looks at the file for itself. One that cannot be understood changes nothing but a line
in the log. One that can holds from the next request on, whatever was given before it: tokens,
cursors and ETags say who asks and where from, and never what may be reached.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fhir_server.security.audit.record import Record
from fhir_server.security.operator import operator
from fhir_server.security.policy import Policy
from fhir_server.security.policy_file import BadFile, of_text
from fhir_server.store.contract import Store, Unit

log = logging.getLogger(__name__)

LOOK_AGAIN = 1.0  # seconds
DONE = 200

State = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Reading:
    """A file as it was read, and what it said."""

    policy: Policy
    digest: str  # SHA-256 of its bytes
    state: State


def reading(file: Path) -> Reading:
    """Raises BadFile."""
    state = _state(file)  # before it is read: what is written meanwhile is seen at the next look
    try:
        content = file.read_bytes()
        text = content.decode()
    except (OSError, UnicodeDecodeError) as wrong:
        raise BadFile(f"`{file}` cannot be read as UTF-8 text: {wrong}.") from wrong
    return Reading(of_text(text, str(file)), sha256(content).hexdigest(), state)


def _state(file: Path) -> State:
    """What changes when it is replaced or written; None: it is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class Renewing:
    """Looks at the file of a policy, and hands on what it says now."""

    def __init__(
        self, file: Path, first: Reading, take: Callable[[Policy], None], store: Store
    ) -> None:
        """take: puts a policy in the place of the one before, as a whole."""
        self._file = file
        self._digest = first.digest
        self._read = self._seen = first.state
        self._take = take
        self._store = store

    async def work(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_AGAIN)
            try:
                await self.look()
            except Exception:  # the store is away for a while: it is tried again
                log.warning("The access policy could not be read anew yet.", exc_info=True)

    async def look(self) -> None:
        """A file is read when it has stood still from one look to the next: the half of one that
        is being written may be a policy, too, and allow more than the whole."""
        state = await asyncio.to_thread(_state, self._file)
        still, self._seen = state == self._seen, state
        if state == self._read or not still:
            return
        try:
            found = await asyncio.to_thread(reading, self._file)
        except BadFile as wrong:
            self._read = state
            log.warning("The access policy stays as it was. %s", wrong)
            return
        if found.digest != self._digest:
            await self._renew(found)
        self._read = found.state

    async def _renew(self, found: Reading) -> None:
        """It is written down first: a policy of which the audit knows nothing never holds."""
        record = Record("access-policy", f"{self._file} sha256:{found.digest}")
        await self._store.commit(Unit((), audit=record.entries(operator(), DONE)))
        self._take(found.policy)
        self._digest = found.digest
        log.info("The access policy was read anew: `%s`, SHA-256 %s.", self._file, found.digest)
