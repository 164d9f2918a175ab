"""restoring — a server's backup is brought back by the commands, and what is lost by that is known.

What was written since the backup is on the disks of others, or nowhere. Only what is nowhere may be
missing afterwards.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.sync.real.people import Book, Written
from tests.sync.real.province import Hub, Post, Province
from tests.sync.real.seeing import Seen, key_of, opened, seen


def restore(province: Province, book: Book, server: Hub | Post, after: float) -> int:
    """Make a backup while it serves, wait, stop it, bring the backup back, and begin again; how
    many writes no disk holds any more."""
    file = province.folder / f"{server.name}.backup"
    file.unlink(missing_ok=True)
    server.must("backup", str(file))
    time.sleep(after)
    server.kill()
    server.must("restore", str(file), "--replace", "--no-verify")
    for replaced in Path(file.parent / server.name).glob("*.replaced*"):
        replaced.unlink()
    with book.lock:
        written = list(book.written) + list(book.invalid)
    hub = of(province.hub)
    lost = 0
    for post in province.posts:
        if server in (post, province.hub):
            mine = [one for one in written if one.facility == post.facility]
            lost += lose(book, mine, hub, of(post))
    server.begin()
    return lost


def of(server: Hub | Post) -> Seen:
    async def look() -> Seen:
        async with opened(server.url) as store:
            return await seen(store)

    return asyncio.run(look())


def lose(book: Book, written: list[Written], *disks: Seen) -> int:
    """Note what none of these disks has."""
    with book.lock:
        before = len(book.lost)
        for one in written:
            if not any(has(disk, one) for disk in disks):
                book.lost.add((one.key, one.version))
        return len(book.lost) - before


def has(disk: Seen, one: Written) -> bool:
    key = key_of(one.key)
    if one.deleted:
        return not disk.is_alive(key) and key in disk.newest
    return (key, one.version) in disk.bodies or (key, one.version) in disk.held
