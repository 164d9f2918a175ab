"""Where two histories of a hub part, and how they travel."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.sync.epochs import START, Epoch, Malformed, Place, fork, place, read, told

HERE = (Epoch("a"),)
RESTORED = (Epoch("a", Place(1, 50)), Epoch("b"))
AGAIN = (Epoch("a", Place(1, 50)), Epoch("b", Place(2, 9)), Epoch("c"))
EARLIER = (Epoch("a", Place(1, 20)), Epoch("d"))  # another backup, older
FORKS = {
    "the same": (HERE, HERE, None),
    "restored since": (HERE, RESTORED, Place(1, 50)),
    "twice since": (HERE, AGAIN, Place(1, 50)),
    "once more": (RESTORED, AGAIN, Place(2, 9)),
    "from two backups": (RESTORED, EARLIER, Place(1, 20)),
    "from two backups, the older one known": (EARLIER, AGAIN, Place(1, 20)),
    "another hub": (HERE, (Epoch("z"),), START),
}


@pytest.mark.parametrize(("mine", "theirs", "parted"), FORKS.values(), ids=FORKS)
def test_two_histories_part_where_the_last_epoch_they_share_first_ended(
    mine: tuple[Epoch, ...], theirs: tuple[Epoch, ...], parted: Place | None
) -> None:
    assert fork(mine, theirs) == parted
    assert fork(theirs, mine) == parted


@pytest.mark.parametrize("epochs", [HERE, RESTORED, AGAIN, EARLIER])
def test_epochs_travel_as_text(epochs: tuple[Epoch, ...]) -> None:
    assert read(told(epochs)) == epochs


MALFORMED = {
    "nothing": "",
    "an end that is no place": "a@1 b",
    "the last has an end": "a@1.2.3",
    "another has none": "a b",
    "an end in a later epoch": "a@2.1.0 b",
    "a name twice": "a@1.2.3 a",
    "a name of other letters": "A",
    "leading zeros": "a@1.02.3 b",
    "more than a database can count": "a@1.99999999999999999999.0 b",
    "a thousand and one": " ".join(f"e{n}@1.1.1" for n in range(1001)),
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_list_of_epochs_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        read(text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for reading in (read, place):
        try:
            reading(text)
        except Malformed:
            continue
