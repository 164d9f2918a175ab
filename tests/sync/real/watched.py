"""watched — the program as it is, in a process that tells on SIGUSR1 what it is doing.

    python -m tests.sync.real.watched serve

Each thread's frames are written to stderr, then each task's of the loop.
"""

from __future__ import annotations

import asyncio
import faulthandler
import signal
import sys
from types import FrameType

from fhir_server.cli import main

MARK = "--- what it is doing ---"


def tell(number: int, frame: FrameType | None) -> None:
    print(MARK, file=sys.stderr, flush=True)
    faulthandler.dump_traceback(sys.stderr)
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:  # there is no loop yet, or no more
        tasks = set()
    for task in tasks:
        task.print_stack(limit=12, file=sys.stderr)
    sys.stderr.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell)
    main()
