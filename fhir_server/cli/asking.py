"""asking — a command asks the interactions of its own server, as who runs the command."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from fhir_server.cli.database import prepare, reaching
from fhir_server.cli.exits import Exit, refuse

if TYPE_CHECKING:
    from fhir_server.foundation.resource import Key
    from fhir_server.interaction.context import Circumstances, Server
    from fhir_server.settings import Gathered

Told = TypeVar("Told")
DONE = 200  # what the audit says of what was not refused


def ask(
    gathered: Gathered,
    interaction: str,
    asking: Callable[[Server, Circumstances], Awaitable[Told]],
    what: str = "",
) -> Told:
    """What is answered. A refusal ends the command with its sentences; what was done, or seen, is
    written down where there is an audit. A SQLite database that a server has open is refused."""
    from fhir_server.foundation.outcome import FhirError

    settings = prepare(gathered.settings, migrating=gathered.settings.migrate)

    async def asked() -> Told:
        from fhir_server.cli.running import opened
        from fhir_server.interaction.auditing import of_file, written_down
        from fhir_server.interaction.context import BY_OPERATOR

        async with opened(settings) as server:
            by = of_file(server, BY_OPERATOR, interaction, what)
            try:
                answer = await asking(server, by)
            except FhirError as error:
                refuse(Exit.MISUSED, " ".join(issue.diagnostics for issue in error.issues))
            if by.record is not None:
                await written_down(server, by.caller, by.record, DONE)
            return answer

    with reaching(settings):
        return asyncio.run(asked())


def key_of(text: str) -> Key:
    """`Patient/an`. Refuses what is none."""
    from fhir_server.foundation.resource import literal

    found = literal(text)
    if found is None or found.base or found.version:
        refuse(Exit.MISUSED, f"`{text[:80]}` names no resource; write it as `Patient/an`.")
    return found.key
