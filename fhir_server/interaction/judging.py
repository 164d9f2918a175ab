"""judging — the validator asked so that nobody else waits for its answer.

https://hl7.org/fhir/R4/validation.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.interaction.context import Server

Found = TypeVar("Found", list[Issue], list[Issue] | None)

LONG_WORK = 64 * 1024  # bytes of a body whose judging takes milliseconds: others go first


async def judged(
    server: Server,
    resource: Resource,
    text: tuple[bytes, str] | None,
    *,
    expected_type: str | None = None,
    profiles: Sequence[str] = (),
    thorough: bool = False,
) -> list[Issue]:
    """What the validator finds. Where that takes long, other requests are served meanwhile.

    text: what the resource was read from, whose length tells at once.
    """

    def judge(check: Callable[..., Found]) -> Found:
        return check(resource, expected_type=expected_type, profiles=profiles, thorough=thorough)

    validator = server.validator
    is_long = text is not None and len(text[0]) >= LONG_WORK
    found = None if is_long else judge(validator.check_soon)
    return await asyncio.to_thread(judge, validator.check) if found is None else found
