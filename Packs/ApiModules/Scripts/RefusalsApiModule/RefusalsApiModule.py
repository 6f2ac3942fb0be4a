"""Which deliveries were refused lately, and why: for whoever looks for them in Cortex XSOAR.

What it is for: refusals go in, each with its status, its sentence, and the names of what came and
of what was expected; the last of them come out, and a sentence about an address whose deliveries
are refused in a row. It knows nothing of how a sender is authenticated, of HTTP, of Cortex XSOAR,
or of incidents.

Nothing of it grows with what strangers send: an address has a few refusals a minute, the addresses
are counted, and whoever was refused first stays in the sentence.
"""

import itertools
import math
import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import NamedTuple

MAX_REFUSALS = 20  # that are kept
REFUSALS_A_MINUTE = 10  # of one address; the others are only counted
REFUSALS_IN_A_ROW = 5  # of one address, until its deliveries are said to be refused
# How often the health, and with it the log, changes at most: for another address, and for one whose
# deliveries have been accepted meanwhile.
OTHER_ADDRESS_SECONDS = 60.0
SAME_ADDRESS_SECONDS = 600.0
REFUSED_SECONDS = 3600.0  # after the last one, until nothing is said of them any more
MAX_REFUSED_ADDRESSES = 1024
MAX_LOOKED_AT = 10  # of them, for one that can be forgotten
MAX_PATH_CHARACTERS = 100
MAX_HEADERS_NAMED = 5
MAX_HEADER_CHARACTERS = 60
# A part of a path that may be a token of another system, such as /services/T0/B0/<token>.
PATH_TOKEN = re.compile(r"(?<=/)(?=[^/]{0,200}[0-9])[^/]{16,}")


class Refusal(NamedTuple):
    """A refused request; no field holds anything that could be a secret."""

    at: str  # in UTC, RFC 3339
    status: int
    address: str
    request: str  # method and path
    sentence: str  # of the answer
    came: str  # names of headers that look like credentials
    expected: str  # where credentials were expected
    reason: str  # what is wrong with the sender's deliveries


class Run:
    """The refusals of an address since its last success."""

    __slots__ = ("count", "last", "minute", "reason", "told")

    def __init__(self, now: float) -> None:
        self.count = 0
        self.last = now
        self.minute, self.told = now, 0  # how many are kept of the minute that began then
        self.reason = ""


class Refusals:
    """The last refusals, and the addresses whose deliveries are refused in a row."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: deque[Refusal] = deque(maxlen=MAX_REFUSALS)
        self.refused: OrderedDict[str, Run] = OrderedDict()  # the first one stands first
        # what the health says
        self._said = ""  # of which address
        self._next = -math.inf  # when it may say something of another one
        self._accepted: OrderedDict[str, float] = OrderedDict()  # since it was said: when

    def add(self, address: str, describe: Callable[[], Refusal], is_delivery: bool = True) -> None:
        """Count a refusal; ``describe`` is called where it is kept.

        is_delivery: what the health says of the address counts it. Strangers who look around
        with other methods are everywhere.
        """
        now = self._clock()
        run = self.refused.get(address)
        if run is None or now - run.last > REFUSED_SECONDS:
            self.refused.pop(address, None)
            if len(self.refused) >= MAX_REFUSED_ADDRESSES:
                self._make_room()
            run = self.refused[address] = Run(now)
        run.count += is_delivery
        run.last = now
        if now - run.minute >= 60:
            run.minute, run.told = now, 0
        if run.told < REFUSALS_A_MINUTE:
            run.told += 1
            refusal = describe()
            if is_delivery and address != self._said:
                run.reason = refusal.reason
            self._kept.append(refusal)

    def succeeded(self, address: str) -> None:
        """Note that a delivery of an address was accepted."""
        self.refused.pop(address, None)
        if address == self._said:
            self._said = ""
            self._accepted[address] = self._clock()
            if len(self._accepted) > MAX_REFUSED_ADDRESSES:
                self._accepted.popitem(last=False)

    def problem(self) -> str:
        """Return what the instance's health says of refused deliveries, empty without any."""
        now = self._clock()
        run = self.refused.get(self._said)
        if run is None or now - run.last > REFUSED_SECONDS:
            self._said = self._find(now) if now >= self._next else ""
            run = self.refused.get(self._said)
            if run is None:
                return ""
            self._next = now + OTHER_ADDRESS_SECONDS
        return f"Deliveries from {self._said} are refused: {run.reason}"

    def _find(self, now: float) -> str:
        """Return the first address of which something is to be said, empty without one."""
        for address, run in self.refused.items():
            silent = now - self._accepted.get(address, -math.inf) < SAME_ADDRESS_SECONDS
            is_due = run.count >= REFUSALS_IN_A_ROW and now - run.last <= REFUSED_SECONDS
            if is_due and not silent:
                return address
        return ""

    def rows(self) -> list[dict[str, str | int]]:
        """Return the refusals that are kept, the last one first."""
        return [
            {
                "Time": refusal.at,
                "Status": refusal.status,
                "Address": refusal.address,
                "Request": refusal.request,
                "Sentence": refusal.sentence,
                "Came": refusal.came,
                "Expected": refusal.expected,
            }
            for refusal in reversed(self._kept)
        ]

    def _make_room(self) -> None:
        """Forget an address: one of which nothing is said, or else the last one."""
        oldest = itertools.islice(self.refused.items(), MAX_LOOKED_AT)
        silent = (address for address, run in oldest if run.count < REFUSALS_IN_A_ROW)
        del self.refused[next(silent, next(reversed(self.refused)))]


def describe_refusal(
    status: int,
    address: str,
    request: tuple[str, str],
    sentence: str,
    came: Iterable[str] = (),
    expected: str = "",
) -> Refusal:
    """Return a refusal of now.

    request: its method and path. came, expected: names of headers that look like credentials, and
    where they were expected, if the request was refused for want of them.
    """
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    method, path = request
    names = shown_headers(came)
    reason = f"{expected} is missing, {names or 'nothing that could be credentials'} came."
    return Refusal(
        at,
        status,
        address,
        f"{method} {shown_path(path)}",
        sentence,
        names,
        expected,
        reason if expected else sentence,
    )


def shown_path(path: str) -> str:
    """Return a path without parts that may be a token, and not too long."""
    shown = PATH_TOKEN.sub("***", path[: 4 * MAX_PATH_CHARACTERS])
    return shown if len(shown) <= MAX_PATH_CHARACTERS else f"{shown[:MAX_PATH_CHARACTERS]}..."


def shown_headers(names: Iterable[str]) -> str:
    """Return the names of headers, which are in lower case, as people know them."""
    shown = [
        "-".join(part.capitalize() for part in name[:MAX_HEADER_CHARACTERS].split("-"))
        for name in names
    ]
    more = len(shown) - MAX_HEADERS_NAMED
    return ", ".join(shown[:MAX_HEADERS_NAMED]) + (f" and {more} others" if more > 0 else "")
