"""What every measure works with: the servers, the rounds, the progress bar, and what comes out."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from .load import alert
from .servers import Bare, Sandboxed, Served, Window, ours, peer


@dataclass(frozen=True)
class Row:
    """One line of the bar's table; `figure` and `bar` are in the same unit."""

    measure: str
    bar: float
    figure: float
    unit: str
    at_least: bool = False
    detail: str = ""

    @property
    def passes(self) -> bool:
        """Whether the bar is met."""
        return self.figure >= self.bar if self.at_least else self.figure <= self.bar


@dataclass(frozen=True)
class Point:
    """One measured point of a growth curve; latency in seconds, `x` in the curve's own unit."""

    server: str
    x: float
    rate: float
    p99: float


@dataclass
class Result:
    """What a measure found out."""

    rows: list[Row] = field(default_factory=list)
    growth: dict[str, list[Point]] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """A measure, its name on the command line, and about how many seconds it takes in a full run."""

    name: str
    seconds: int
    run: Callable[["Bench"], Result]


class Bench:
    """The servers, each started when first asked for, and the length of everything; used as a context manager."""

    def __init__(self, quick: bool, bar: "tqdm[Any]") -> None:
        self.quick = quick
        self.small = alert()
        self._bar = bar
        self._end = 0.0  # of the measure under way, on the progress bar
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    @cached_property
    def ours(self) -> Sandboxed:
        """The integration."""
        return self._stack.enter_context(ours())

    @cached_property
    def peer(self) -> Sandboxed:
        """The peer pattern."""
        return self._stack.enter_context(peer())

    @cached_property
    def bare(self) -> Served:
        """The bare pywsgi."""
        return self._stack.enter_context(Bare())

    def seconds(self, full: float) -> float:
        """Return a window's length: a fifth of it in a quick run, at least one second."""
        return max(1.0, full / 5) if self.quick else full

    def rounds(self, full: int) -> int:
        """Return how many rounds to make: one in a quick run."""
        return 1 if self.quick else full

    def say(self, text: str) -> None:
        """Show what is going on beside the progress bar."""
        self._bar.unit = text
        self._bar.refresh()

    @contextlib.contextmanager
    def progress(self, measure: "Measure") -> Iterator[None]:
        """Move the bar by a measure, in small steps inside it and to its end after it."""
        self._end = self._bar.n + measure.seconds
        self._bar.set_description_str(measure.name)
        try:
            yield
        finally:
            self.advance(measure.seconds)

    def advance(self, seconds: float) -> None:
        """Move the bar by so many seconds, at most to the end of the measure under way."""
        self._bar.update(min(seconds, self._end - self._bar.n))

    def window(
        self, server: Served, connections: int, full_seconds: float, *, latency: float = 0.0, body: bytes | None = None
    ) -> Window:
        """Send one window of load to a server."""
        self.say(f"{server.name}, {connections} connections")
        window = server.load(connections, self.seconds(full_seconds), body or self.small, latency)
        self.advance(full_seconds)
        return window

    def interleaved(
        self, servers: list[Served], connections: int, full_seconds: float, rounds: int, latency: float = 0.0
    ) -> dict[str, list[Window]]:
        """Send load to each server in turn, several rounds of it, after a short window that warms each up."""
        for server in servers:
            self.window(server, connections, 1.0)
        windows: dict[str, list[Window]] = {server.name: [] for server in servers}
        for _ in range(self.rounds(rounds)):
            for server in servers:
                windows[server.name].append(self.window(server, connections, full_seconds, latency=latency))
        return windows


def middle(windows: list[Window], of: Callable[[Window], float]) -> float:
    """Return the median over the rounds."""
    return median(of(window) for window in windows)


def rate(window: Window) -> float:
    """Requests per second of a window."""
    return window.load.rate


def p99(window: Window) -> float:
    """99th percentile of a window's latency in seconds."""
    return window.load.p99
