"""The line between two networks fails as it is told to, and leaves nothing behind."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.sync.real.line import PHASES, Weather
from tests.sync.real.net import HUB, Net
from tests.sync.real.packets import ACK, SYN, Segment, resets, segment
from tests.sync.real.spaces import Space, are_allowed
from tests.sync.real.wire import Cut, Wire

SHORT, LONG = 0.3, 20.0  # seconds after which whoever hears nothing gives up
needs = pytest.mark.skipif(not are_allowed(), reason="networks of their own may not be had here")
WHOLE = b"x" * 50_000


class Post:
    """One who speaks over the line, to a hub that says everything again."""

    def __init__(self, space: Space, wire: Wire, port: int) -> None:
        self.space, self.wire, self.port = space, wire, port

    def connected(self, timeout: float = LONG) -> socket.socket:
        with self.space.inside():
            return socket.create_connection((HUB, self.port), timeout)

    def say(self, text: bytes, on: socket.socket | None = None) -> bytes:
        with on or self.connected() as line:
            line.sendall(text)
            found = b""
            while len(found) < len(text) and (part := line.recv(65_536)):
                found += part
            return found


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    net = Net(tmp_path)
    space, wire = net.join(0, 1)
    with net.hub.inside():
        listening = socket.create_server((HUB, 0))
    threading.Thread(target=answer, args=(listening,), daemon=True).start()
    yield Post(space, wire, listening.getsockname()[1])
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    wire.end()
    net.end()


def answer(listening: socket.socket) -> None:
    with suppress(OSError):  # which is how it ends
        while True:
            talk, _ = listening.accept()
            threading.Thread(target=say_again, args=(talk,), daemon=True).start()


def say_again(talk: socket.socket) -> None:
    with suppress(OSError), talk:
        while heard := talk.recv(65_536):
            talk.sendall(heard)


@needs
def test_what_is_said_arrives_from_one_network_in_the_other(post: Post) -> None:
    assert post.say(WHOLE) == WHOLE
    assert min(post.wire.passed) > len(WHOLE)


@needs
def test_networks_know_of_each_other_and_of_nothing_else(post: Post) -> None:
    machine = {name for _, name in socket.if_nameindex()}
    with post.space.inside():
        assert {name for _, name in socket.if_nameindex()} == {"lo", "line"}
        with pytest.raises(OSError, match="unreachable"):
            socket.create_connection(("192.0.2.1", 80), 5)
    assert {name for _, name in socket.if_nameindex()} == machine
    assert "line" not in machine


@needs
@pytest.mark.parametrize(
    "weather",
    [
        Weather(loss=0.1), Weather(late=0.5, again=0.5), Weather(rate=400_000, delay=0.01),
    ],
    ids=["some are lost", "late and twice", "slow"],
)  # fmt: skip
def test_what_is_lost_late_or_twice_is_whole_all_the_same(post: Post, weather: Weather) -> None:
    post.wire.weather = weather
    assert post.say(WHOLE) == WHOLE


# how it is cut,   what one who connects is told,   what one who is connected is told
CUTS = [
    (Cut.RESET, ConnectionRefusedError, ConnectionResetError),
    (Cut.SILENT, TimeoutError, TimeoutError),
    (Cut.MUTE, TimeoutError, TimeoutError),
    (Cut.DEAF, TimeoutError, TimeoutError),
    (Cut.DOWN, OSError, TimeoutError),
]


def patience(told: type[OSError]) -> float:
    return SHORT if told is TimeoutError else LONG


@needs
@pytest.mark.parametrize(("how", "new", "old"), CUTS, ids=[how.value for how, *_ in CUTS])
def test_a_line_that_is_cut_says_so_or_says_nothing(
    post: Post, how: Cut, new: type[OSError], old: type[OSError]
) -> None:
    before, quiet = post.connected(), post.connected()
    post.wire.cut(how)
    with pytest.raises(new):
        post.connected(patience(new))
    before.settimeout(patience(old))
    with pytest.raises(old):
        post.say(b"x", before)
    post.wire.mend()
    assert post.say(b"y") == b"y"
    assert post.say(b"z", quiet) == b"z", "who said nothing meanwhile has noticed nothing"


@needs
def test_a_connection_that_is_forgotten_is_heard_no_more_and_a_new_one_is(post: Post) -> None:
    before = post.connected()
    post.wire.forget()
    before.settimeout(SHORT)
    with pytest.raises(TimeoutError):
        post.say(b"x", before)
    assert post.say(WHOLE) == WHOLE


@needs
@pytest.mark.parametrize("way", (0, 1), ids=["to the hub", "from it"])
def test_a_talk_breaks_off_or_is_heard_no_more_and_others_are_not_touched(
    post: Post, way: int
) -> None:
    for phase in PHASES:
        if phase.way != way:
            continue
        other = post.connected()
        post.wire.break_at(phase)
        talk = post.connected()
        talk.settimeout(LONG if phase.half else SHORT)
        with pytest.raises(OSError, match="reset" if phase.half else "timed out"):
            assert post.say(b"x" * 20_000, talk) == b"x" * 20_000
            raise OSError("it did not break off")
        assert post.say(b"y", other) == b"y"
        post.wire.mend()
    assert post.wire.broken == 4


def test_a_reset_answers_what_was_said_and_tells_the_other_end_too() -> None:
    of, to = (bytes([10, 0, 0, 1]), 5), (bytes([10, 0, 0, 2]), 6)
    # flags,  what it carries,  the number that the sender is told has arrived, and the next one
    for flags, size, follows, said in ((SYN, 0, 101, 0), (ACK, 10, 110, 7)):
        to_sender, to_other = resets(Segment(of, to, 100, 7, flags, size))
        back, on = segment(to_sender), segment(to_other)
        assert back is not None
        assert on is not None
        assert (back.of, back.to, back.seq, back.ack) == (to, of, said, follows)
        assert (on.of, on.to, on.seq) == (of, to, 100)
