"""wiping — a node that is told to wipe its disk: by its hub and nobody else, and then at once.

https://hl7.org/fhir/R4/security.html

The mark is written first, so that whatever ends the program, the next one goes on; then nothing is
answered any more, and the server ends. What is erased, and how, is told in cli/wiping.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import time
from pathlib import Path

import orjson

from fhir_server.foundation.outcome import Invalid
from fhir_server.interaction.context import Server
from fhir_server.store.upkeep import wiping as store_wiping
from fhir_server.sync.node.key import NodeKey, pinned
from fhir_server.sync.node.refusing import SMALL, Refusal
from fhir_server.sync.wiping import Word, verified

log = logging.getLogger(__name__)

UNAUTHORIZED = 401
ENGLISH = (
    "This machine was lost to its hub, and is being wiped as the hub ordered: nothing is answered"
    " here any more."
)
VIETNAMESE = (
    "Máy này đã bị tuyến trên thu hồi và đang được xóa dữ liệu theo lệnh: không còn trả lời yêu cầu"
    " nào nữa."
)


class ToldToWipe(Refusal):
    """The hub refuses this node, and says that it is to wipe its disk."""

    def __init__(self, word: Word) -> None:
        super().__init__("The hub has revoked this node, and orders its disk wiped.", UNAUTHORIZED)
        self.word = word


def told_to_wipe(status: int, body: bytes, key: NodeKey, file: Path | None) -> ToldToWipe | None:
    """What a refusal says of it; None: nothing that is to be believed."""
    if status != UNAUTHORIZED:
        return None
    try:
        told = orjson.loads(body[:SMALL])
    except ValueError:
        return None
    if not isinstance(told, dict) or "wipe" not in told:
        return None
    try:
        keys = pinned(file, key)
        word = verified(told["wipe"], keys, node=key.client, key=key.thumbprint)
    except Invalid as refusal:
        log.warning("Somebody tells this node to wipe its disk, and is not believed: %s", refusal)
        return None
    return ToldToWipe(word)


async def begin(url: str, file: Path, key: NodeKey, word: Word) -> None:
    """Write down that it is to be done, durably. Again does no harm."""
    if await asyncio.to_thread(store_wiping.marked, url) is not None:
        return
    facts = {
        "client": key.client,
        "hub": key.hub,
        "key": word.key,
        "key_file": str(file.absolute()),
        "ordered": word.at,
        "told": int(time.time() * 1000),
        "done": 0,
    }
    await asyncio.to_thread(store_wiping.mark, url, facts)


def close(server: Server) -> None:
    """Nothing is answered from here on."""
    log.warning("%s", ENGLISH)
    server.closing.because(ENGLISH, VIETNAMESE)


def stop() -> None:
    """End the server with all its processes, as a service manager does. Who started it erases."""
    if multiprocessing.parent_process() is not None:
        os.kill(os.getppid(), signal.SIGTERM)
    else:
        signal.raise_signal(signal.SIGTERM)
