"""places — where things stand in the hub's log, and what a hub that came back has lost.

docs/sync.md, "Places and epochs".
"""

from __future__ import annotations

Place = tuple[int, int, int]  # epoch, seq, num
Epochs = list[tuple[str, Place | None]]  # the name of each, and where it ended
OPEN = (2**62, 0, 0)  # after every place


def place(text: str) -> Place:
    epoch, seq, num = text.split(".")
    return int(epoch), int(seq), int(num)


def next_of(before: Place) -> Place:
    return before[0], before[1], before[2] + 1


def epochs(text: str) -> Epochs:
    """`k3f@1.884120.0 m2qa`: two, of which the first has ended."""
    told = (one.partition("@") for one in text.split())
    return [(name, place(end) if end else None) for name, _, end in told]


def fork(ours: Epochs, theirs: Epochs) -> Place | None:
    """From where on the two histories of the hub are not the same; None where they are."""
    if not ours or ours == theirs:
        return None
    shared = [
        (a[1] or OPEN, b[1] or OPEN) for a, b in zip(ours, theirs, strict=False) if a[0] == b[0]
    ]
    return min(shared[-1]) if shared else (0, 0, 0)
