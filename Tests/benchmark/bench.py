"""What every measure uses: servers, rounds and their repetition, the progress bar, the results."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self, TypeVar

from tqdm import tqdm

from .load import Traffic, alert
from .machine import Moment
from .servers import Bare, Sandboxed, Served, Window, ours, ours_by_tls, ours_each, peer, version

STEADY = 0.2  # rounds that differ by more than this share of their median are repeated
ATTEMPTS = 3  # at most; the steadiest counts
# Of a run, after which nothing is repeated: a whole run on a restless machine ends within 20
# minutes.
REPEAT_SECONDS = 700
T = TypeVar("T")
S = TypeVar("S", bound=Served)


@dataclass(frozen=True)
class Row:
    """One line of the table; `figure`, `bar` and `aim` are in the same unit.

    spread: by how much the rounds differ, as a share of their median.
    attempts: how often the rounds were made.
    bar: None if there is nothing to reach.
    """

    measure: str
    figure: float
    unit: str
    bar: float | None = None
    aim: float | None = None
    at_least: bool = False
    detail: str = ""
    spread: float = 0.0
    attempts: int = 1

    @property
    def met(self) -> str:
        """Which of bar and aim is reached, at the precision that is shown."""
        if self.bar is None:
            return ""
        if self.aim is not None and self._reaches(self.aim):
            return "aim"
        return "bar" if self._reaches(self.bar) else "SHORT"

    def _reaches(self, limit: float) -> bool:
        figure = float(f"{self.figure:.3g}")
        return figure >= limit if self.at_least else figure <= limit


@dataclass
class Result:
    """What a measure found. others: the share of all cores that other processes used meanwhile."""

    rows: list[Row] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    others: float = 0.0


@dataclass(frozen=True)
class Measure:
    """A measure, its command-line name, and the seconds of a full run without repetition."""

    name: str
    seconds: int
    run: Callable[["Bench"], Result]


@dataclass(frozen=True)
class Rounds:
    """The windows of several servers, by server and round."""

    windows: dict[str, list[Window]]

    def middle(self, server: Served, of: Callable[[Window], float]) -> float:
        """Return the median over the rounds."""
        return median(map(of, self.windows[server.name]))

    def ratios(self, one: Served, other: Served, of: Callable[[Window], float]) -> list[float]:
        """Return the ratio of two servers for each round."""
        return [of(a) / of(b) for a, b in zip(self.windows[one.name], self.windows[other.name])]

    def figures(self) -> dict[str, Any]:
        """Return every round of every server for the JSON."""
        return {
            server: [
                {
                    "requests_per_second": rate(window),
                    "p50_seconds": window.load.p50,
                    "p99_seconds": p99(window),
                    "cpu_microseconds": window.cpu_microseconds,
                }
                for window in rounds
            ]
            for server, rounds in self.windows.items()
        }


class Bench:
    """The servers, each started when first needed, and all durations; a context manager."""

    def __init__(self, quick: bool, bar: "tqdm[Any]", compare: Sequence[Path] = ()) -> None:
        self.quick = quick
        self.small = alert()
        self._bar = bar
        self._end = 0.0  # of the measure in progress, on the progress bar
        self._stack = contextlib.ExitStack()
        self._started: list[Served] = []
        self._compare = compare
        self._begun = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start(self, server: S) -> S:
        self._started.append(self._stack.enter_context(server))
        return server

    @cached_property
    def ours(self) -> Sandboxed:
        """The integration."""
        return self._start(ours())

    @cached_property
    def ours_each(self) -> Sandboxed:
        """The integration with an incident for each event."""
        return self._start(ours_each())

    @cached_property
    def ours_by_tls(self) -> Sandboxed:
        """The integration with a certificate."""
        return self._start(ours_by_tls())

    @cached_property
    def peer(self) -> Sandboxed:
        """The peer pattern."""
        return self._start(peer())

    @cached_property
    def bare(self) -> Bare:
        """The bare pywsgi."""
        return self._start(Bare())

    @cached_property
    def bare_by_tls(self) -> Bare:
        """The bare pywsgi with a certificate."""
        return self._start(Bare("bare pywsgi, TLS", tls=True))

    @cached_property
    def versions(self) -> list[Sandboxed]:
        """The versions of the integration to compare; the one of this tree if none are named."""
        if not self._compare:
            return [self.ours]
        alike = len({code.stem for code in self._compare}) < len(self._compare)
        return [
            self._start(version(str(code) if alike else code.stem, code, self._folder()))
            for code in self._compare
        ]

    def _folder(self) -> Path:
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))

    def moment(self) -> Moment:
        """Return what machine and servers have used so far."""
        return Moment.now(server.pid for server in self._started)

    def seconds(self, full: float) -> float:
        """Return a window's length: a fifth in a quick run, but at least one second."""
        return max(1.0, full / 5) if self.quick else full

    def rounds(self, full: int) -> int:
        """Return how many rounds to make: one in a quick run."""
        return 1 if self.quick else full

    # ---- the progress bar

    def say(self, text: str) -> None:
        """Print a line above the progress bar."""
        self._bar.unit = text
        self._bar.refresh()

    @contextlib.contextmanager
    def progress(self, measure: "Measure") -> Iterator[None]:
        """Move the bar by a measure: in small steps during it, and to its end after it."""
        self._end = self._bar.n + measure.seconds
        self._bar.set_description_str(measure.name)
        try:
            yield
        finally:
            self.advance(measure.seconds)

    def advance(self, seconds: float) -> None:
        """Move the bar by `seconds`, at most to the end of the measure in progress."""
        self._bar.update(max(0.0, min(seconds, self._end - self._bar.n)))

    # ---- windows and rounds

    def window(
        self,
        server: Served,
        traffic: Traffic,
        full_seconds: float,
        latency: float = 0.0,
        requests: int = 0,
    ) -> Window:
        """Send one window of load to a server."""
        self.say(f"{server.name}, {traffic.connections} connections")
        window = server.load(traffic, self.seconds(full_seconds), latency, requests)
        self.advance(full_seconds)
        return window

    def interleaved(
        self,
        servers: Sequence[Served],
        traffic: Traffic,
        full_seconds: float,
        rounds: int = 3,
        latency: float = 0.0,
        requests: int = 0,
    ) -> Rounds:
        """Send load to each server in turn, in several rounds."""
        windows: dict[str, list[Window]] = {server.name: [] for server in servers}
        for _ in range(self.rounds(rounds)):
            for server in servers:
                windows[server.name].append(
                    self.window(server, traffic, full_seconds, latency, requests)
                )
        return Rounds(windows)

    def warm(self, servers: Sequence[Served], traffic: Traffic) -> None:
        """Send each server a short window that does not count."""
        for server in servers:
            self.window(server, traffic, 1.0)

    def steady(
        self, attempt: Callable[[], T], figures: Callable[[T], Sequence[Sequence[float]]]
    ) -> tuple[T, dict[str, Any]]:
        """Repeat a set of rounds while one of its figures differs too much between rounds.

        Returns the steadiest attempt, and its spread and the number of attempts for a Row.
        """
        attempts: list[tuple[float, T]] = []
        while not attempts or (
            self._may_repeat(len(attempts)) and all(spread > STEADY for spread, _ in attempts)
        ):
            made = attempt()
            attempts.append((max(map(spread_of, figures(made))), made))
        spread, steadiest = min(attempts, key=lambda pair: pair[0])
        return steadiest, {"spread": spread, "attempts": len(attempts)}

    def _may_repeat(self, attempts: int) -> bool:
        return attempts < ATTEMPTS and time.monotonic() - self._begun < REPEAT_SECONDS


def spread_of(rounds: Sequence[float]) -> float:
    """Return by how much rounds differ, as a share of their median."""
    return (max(rounds) - min(rounds)) / median(rounds) if median(rounds) else 0.0


def rate(window: Window) -> float:
    """Return the requests per second of a window."""
    return window.load.rate


def p99(window: Window) -> float:
    """Return the 99th percentile of a window's latency in seconds."""
    return window.load.p99
