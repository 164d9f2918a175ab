"""limits — how much of a worker process one client may take: how often, and how much at once.

https://hl7.org/fhir/R4/http.html#Status-Codes

A client is told by its registered id; who is not known, by the address. The rate is kept as one
moment for each client: when all it has asked would have been asked at the rate that is allowed.
A burst is how far that moment may lie ahead (the generic cell rate algorithm).
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NoReturn

from fhir_server.foundation.outcome import TooMany
from fhir_server.rest.address import counted
from fhir_server.rest.options import Options

MOST = 20_000  # clients remembered; who asked longest ago is forgotten first
ROUNDING = 1e-6  # seconds that come of adding many small ones
ANYONE = "anyone"  # the client of a Caller that nobody has made out


class Limits:
    """What each client has asked lately, and asks now."""

    def __init__(self, options: Options, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._clock = clock
        self._ahead: OrderedDict[str, float] = OrderedDict()
        self._under_way: dict[str, int] = {}

    def look(self, address: str) -> None:
        """Refuse an address that was refused too often, before it is asked who it is."""
        who = counted(address)
        if who and (wait := self._wait(who)) > ROUNDING:
            self._refuse_rate(wait)

    def failed(self, address: str) -> None:
        """It was refused before it was known who asks; `take` counts the others."""
        who = counted(address)
        if who and self._options.client_rate:
            self._count(who)

    def take(self, client: str, address: str) -> str:
        """Count one request, or refuse it by TooMany. What is given back is for `done`."""
        who = counted(address) if client == ANYONE else f"client {client}"
        if not who:
            return ""
        under_way = self._under_way.get(who, 0)
        bound = self._options.client_concurrency
        if bound and under_way >= bound:
            raise TooMany(
                f"{under_way} of your requests are being worked on already (`client_concurrency`)."
                " Wait for an answer before you ask more.",
                headers={"Retry-After": "1"},
            )
        if self._options.client_rate:
            if (wait := self._wait(who)) > ROUNDING:
                self._refuse_rate(wait)
            self._count(who)
        self._under_way[who] = under_way + 1
        return who

    def done(self, who: str) -> None:
        if not who:
            return
        left = self._under_way[who] - 1
        if left:
            self._under_way[who] = left
        else:
            del self._under_way[who]

    def _wait(self, who: str) -> float:
        """Seconds until this client may ask again; none or less: now."""
        rate = self._options.client_rate
        if not rate:
            return 0.0
        ahead = self._ahead.get(who, 0.0) - self._clock()
        return ahead - (max(self._options.client_burst, 1) - 1) / rate

    def _count(self, who: str) -> None:
        now = self._clock()
        self._ahead[who] = max(self._ahead.get(who, 0.0), now) + 1 / self._options.client_rate
        self._ahead.move_to_end(who)
        if len(self._ahead) > MOST:
            self._ahead.popitem(last=False)

    def _refuse_rate(self, wait: float) -> NoReturn:
        seconds = math.ceil(wait)
        raise TooMany(
            f"You have asked more than {self._options.client_burst} requests at once"
            f" (`client_burst`) and {self._options.client_rate} a second after that"
            f" (`client_rate`). Try again in {seconds} s, and send what belongs together as one"
            " Bundle.",
            headers={"Retry-After": str(seconds)},
        )
