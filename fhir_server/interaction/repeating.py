"""repeating — the same request sent again is answered again, and done once.

https://hl7.org/fhir/R4/http.html#ops

An answer is kept under its Idempotency-Key in the transaction of the write. Given again, it is
judged again: who may read less by now is told less.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from fhir_server.foundation.outcome import Unprocessable
from fhir_server.foundation.resource import Key
from fhir_server.interaction.context import Answer, Circumstances, Once, Server
from fhir_server.interaction.reaching import note_owners, readable_entries
from fhir_server.store.codec import whole
from fhir_server.store.contract import Remember, Unit

REPLAYED = {"Idempotent-Replayed": "true"}


def remembering(unit: Unit, answer: Any, once: Once | None) -> Unit:
    """The unit with what is to be kept of its answer; answer: given the time of the commit."""
    if once is None:
        return unit
    return replace(unit, remember=Remember(once.key, once.digest, lambda now: kept(answer(now))))


def kept(answer: Answer) -> bytes:
    """An answer as it is kept: a resource's bytes are in the store already."""
    return orjson.dumps(
        {
            "status": answer.status,
            "key": list(answer.key) if answer.key else None,
            "version": answer.version_id,
            "updated": answer.updated,
            "created": answer.created,
            "body": None if answer.key or answer.body is None else answer.body.decode(),
        }
    )


async def replayed(server: Server, circumstances: Circumstances, once: Once) -> Answer | None:
    """The answer already given under this Idempotency-Key, if any."""
    remembered = await server.store.remembered(once.key)
    if remembered is None:
        return None
    if remembered.digest != once.digest:
        raise Unprocessable(
            "This `Idempotency-Key` was used before with another body. Use a new key for a new "
            "request, and the same key only to send the same request again.",
            expression="http.Idempotency-Key",
        )
    facts = orjson.loads(remembered.answer)
    key = Key(*facts["key"]) if facts["key"] else None
    body = facts["body"].encode() if facts["body"] is not None else None
    if key and facts["version"]:
        stored = await server.store.at_version(key, facts["version"], circumstances.reach("read"))
        body = whole(stored) if stored and not stored.deleted else None
        if stored and body is not None:
            note_owners(server, circumstances, [stored])
            circumstances.tell(stored)
    elif body is not None:
        body = await readable_entries(server, circumstances.reach("read"), body)
    return Answer(
        status=facts["status"],
        body=body,
        key=key,
        version_id=facts["version"],
        updated=facts["updated"],
        created=facts["created"],
        headers=dict(REPLAYED),
    )
