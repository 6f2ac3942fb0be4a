"""How throughput depends on createIncidents' latency and on the number of connections."""

from dataclasses import asdict, dataclass
from statistics import median

from .bench import Bench, Measure, Result
from .load import SilentError, Traffic
from .servers import Sandboxed

LATENCIES = (0.0, 0.001, 0.005, 0.02, 0.05, 0.2, 1.0)  # seconds of createIncidents
CONNECTIONS = (1, 8, 64, 256, 1024)
SHORTEST_SECONDS = 3.0
CALLS = 10  # a window has at least this many: it ends within one, which then does not count


@dataclass(frozen=True)
class Cell:
    """One measured point: latency and p99 in seconds, requests per second, incidents in a call.

    The incidents are a median.
    """

    version: str
    latency: float
    connections: int
    rate: float
    batch: float
    p99: float


def gathering(bench: Bench) -> Result:
    """Measure every cell, each version in turn."""
    bench.warm(bench.versions, Traffic(64, bench.small))
    cells = [
        cell(bench, server, latency, connections)
        for latency in LATENCIES
        for connections in CONNECTIONS
        for server in bench.versions
    ]
    return Result(figures={"cells": [asdict(found) for found in cells]})


def cell(bench: Bench, server: Sandboxed, latency: float, connections: int) -> Cell:
    """Measure one cell; a server that answers nothing within the window has a rate of 0."""
    try:
        window = bench.window(
            server,
            Traffic(connections, bench.small),
            max(SHORTEST_SECONDS, CALLS * latency),
            latency,
        )
    except SilentError:
        return Cell(server.name, latency, connections, 0.0, 0.0, 0.0)
    return Cell(
        server.name, latency, connections, window.load.rate, median(window.batches), window.load.p99
    )


GATHERING = (Measure("gathering", 195, gathering),)
