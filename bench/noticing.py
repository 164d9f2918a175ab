"""python -m bench.noticing — how long a post and its hub do not meet after their line was away.

    python -m bench.noticing [--away 10,40]

A hub and a post that speaks to it by itself, in networks of their own. What is written at the post
goes up, what is written at the hub comes down; each is timed from the moment the line is back.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.acceptance.serving import Patience
from tests.sync.real.place import Place
from tests.sync.real.province import Province
from tests.sync.real.spaces import are_allowed
from tests.sync.real.wire import Cut, Wire

POST = "my-khanh"
WITHIN = 300.0  # seconds


class Noticing:
    """Of one post."""

    def __init__(self, province: Province) -> None:
        self.here, self.hub = province.at_post[POST], province.at_hub[POST]
        line = province.posts[0].line
        assert isinstance(line, Wire)
        self.line = line
        self._written = 0
        for place, other in ((self.here, self.hub), (self.hub, self.here)):
            self.meets(other, self.write(place))

    def write(self, at: Place) -> str:
        self._written += 1
        id = f"{POST}.n{self._written}"
        body = {
            "resourceType": "Patient", "id": id, "name": [{"text": f"Người {id}"}],
            "managingOrganization": {"reference": f"Organization/{POST}"},
        }  # fmt: skip
        assert at.ask("PUT", f"Patient/{id}", body).status_code == 201
        return f"Patient/{id}"

    def meets(self, at: Place, key: str) -> float:
        """Seconds until it is there."""
        patience, begun = Patience(WITHIN), time.monotonic()
        while at.ask("GET", key).status_code != 200:
            assert patience.left > 0, f"{key} does not come"
            patience.wait(0.1)
        return time.monotonic() - begun

    def forgotten(self) -> tuple[float, float]:
        """Connections are no more, and nobody was told. Of a push, and of a pull."""
        found = []
        for place, other in ((self.here, self.hub), (self.hub, self.here)):
            self.line.forget()
            found.append(self.meets(other, self.write(place)))
            self.line.mend()
            time.sleep(2)
        return found[0], found[1]

    def away(self, how: Cut, seconds: float) -> tuple[float, float]:
        """The line is cut so long, and comes back."""
        self.line.cut(how)
        up, down = self.write(self.here), self.write(self.hub)
        time.sleep(seconds)
        self.line.mend()
        begun = time.monotonic()
        self.meets(self.hub, up)
        took = time.monotonic() - begun
        self.meets(self.here, down)
        return took, time.monotonic() - begun

    def all(self, away: list[float]) -> Iterator[str]:
        yield told("connections that are no more", *self.forgotten())
        for how in Cut:
            for seconds in away:
                yield told(f"{how.value}, away {seconds:g} s", *self.away(how, seconds))


def told(what: str, up: float, down: float) -> str:
    return f"{what:34} up after {up:5.1f} s, down after {down:5.1f} s"


def one(see: Callable[[Noticing], None]) -> None:
    assert are_allowed()
    with (
        tempfile.TemporaryDirectory() as folder,
        Province("", Path(folder), 1, (POST,), apart=True) as province,
    ):
        see(Noticing(province))


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m bench.noticing")
    asked.add_argument("--away", default="10,40", help="seconds, apart by commas")
    away = [float(each) for each in asked.parse_args().away.split(",")]

    def see(noticing: Noticing) -> None:
        for line in noticing.all(away):
            print(line, flush=True)

    one(see)


if __name__ == "__main__":
    main()
