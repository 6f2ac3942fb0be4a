"""How throughput and p99 grow with connections, body size and createIncidents' latency."""

from .bench import Bench, Measure, Point, Result
from .load import SilentError, alert
from .servers import Served

CONNECTIONS = (1, 4, 16, 64, 128, 256, 512)
BODY_BYTES = (200, 1_000, 8_000, 64_000, 500_000, 5_000_000)
LATENCIES = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5)  # seconds of createIncidents


def point(
    bench: Bench,
    server: Served,
    x: float,
    connections: int,
    seconds: float,
    body: bytes | None = None,
    latency: float = 0.0,
) -> list[Point]:
    """Measure one point of a curve; none where the server answers nothing within the window."""
    try:
        load = bench.window(server, connections, seconds, body=body, latency=latency).load
    except SilentError:
        return []
    return [Point(server.name, x, load.rate, load.p99)]


def against_connections(bench: Bench) -> Result:
    """1 to 512 connections, createIncidents instant."""
    servers = [bench.ours, bench.peer, bench.bare]
    points = [point(bench, server, number, number, 2) for number in CONNECTIONS for server in servers]
    return Result(growth={"connections": [one for found in points for one in found]})


def against_body(bench: Bench) -> Result:
    """200 bytes to 5 MB, createIncidents instant, eight connections."""
    points: list[Point] = []
    for size in BODY_BYTES:
        body = alert(size)
        for server in (bench.ours, bench.peer, bench.bare):
            points += point(bench, server, size, 8, 2 if size < 1_000_000 else 5, body)
    return Result(growth={"body": points})


def against_latency(bench: Bench) -> Result:
    """createIncidents takes 0 to 500 ms, 256 connections."""
    points = [
        point(bench, server, latency * 1000, 256, 4, latency=latency)
        for latency in LATENCIES
        for server in (bench.ours, bench.peer)
    ]
    return Result(growth={"latency": [one for found in points for one in found]})


GROWTH = (
    Measure("connections", 62, against_connections),
    Measure("body", 70, against_body),
    Measure("latency", 75, against_latency),
)
