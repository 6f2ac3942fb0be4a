"""Rows of throughput: the integration against the peer pattern and bare pywsgi, in turn."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import NamedTuple

from Tests.sandbox.page.examples import DELIVERIES

from .bench import Bench, Measure, Result, Rounds, Row, p99, rate
from .load import Traffic
from .servers import Served, Window

CPU_REQUESTS = 10_000
CPU_ROUNDS = 7
CPU_SECONDS = 30.0  # a window ends at the latest after these, whatever was reached


class Compared(NamedTuple):
    """What a row compares: ours with another server in one quantity, and the row's bar and aim."""

    text: str
    other: Served
    bar: float
    aim: float
    of: Callable[[Window], float] = rate


def compared(
    bench: Bench,
    mine: Served,
    traffic: Traffic,
    rows: Sequence[Compared],
    seconds: float,
    latency: float = 0.0,
) -> tuple[list[Row], Rounds]:
    """Return a row for each comparison, and the rounds that all of them use."""
    servers = [mine, *dict.fromkeys(row.other for row in rows)]
    bench.warm(servers, traffic)
    rounds, steadiness = bench.steady(
        lambda: bench.interleaved(servers, traffic, seconds, latency=latency),
        lambda made: [made.ratios(mine, row.other, row.of) for row in rows],
    )
    return [
        Row(
            f"{row.text} / {row.other.name}",
            median(rounds.ratios(mine, row.other, row.of)),
            "x",
            row.bar,
            row.aim,
            at_least=row.of is rate,
            detail=behind(rounds, mine, row),
            **steadiness,
        )
        for row in rows
    ], rounds


def behind(rounds: Rounds, mine: Served, row: Compared) -> str:
    """Return the two figures behind a ratio, ours first."""
    one, other = (rounds.middle(server, row.of) for server in (mine, row.other))
    return (
        f"{one:,.0f} and {other:,.0f} req/s"
        if row.of is rate
        else f"{one * 1000:,.0f} and {other * 1000:,.0f} ms"
    )


def instant(bench: Bench) -> Result:
    """64 connections, createIncidents instant; and the calls that ours made meanwhile."""
    text = "64 connections, createIncidents instant: throughput"
    rows = [Compared(text, bench.peer, 55, 100), Compared(text, bench.bare, 1.6, 2.5)]
    found, rounds = compared(bench, bench.ours, Traffic(64, bench.small), rows, 3)
    return Result([*found, calls_per_request(rounds.windows[bench.ours.name])], rounds.figures())


def calls_per_request(windows: list[Window]) -> Row:
    """Calls to XSOAR of every kind per incident, in the round with the most."""
    most = max(windows, key=lambda window: window.calls.total() / sum(window.batches))
    calls, incidents = most.calls.total(), sum(most.batches)
    return Row(
        "the same: calls to XSOAR for each request",
        calls / incidents,
        "",
        detail=f"{calls:,} for {incidents:,} requests",
    )


def latency_20ms(bench: Bench) -> Result:
    """256 connections, createIncidents takes 20 ms; p99 over windows of the same length."""
    text = "256 connections, createIncidents 20 ms:"
    rows = [
        Compared(f"{text} throughput", bench.peer, 110, 140),
        Compared(f"{text} p99", bench.peer, 0.03, 0.02, p99),
    ]
    found, rounds = compared(bench, bench.ours, Traffic(256, bench.small), rows, 8, latency=0.02)
    return Result([*found, other_calls(rounds.windows[bench.ours.name])], rounds.figures())


def other_calls(windows: list[Window]) -> Row:
    """Calls other than createIncidents, which must not grow with the requests; the worst round."""
    calls = sum((window.calls for window in windows), Counter[str]())
    kinds = (
        ", ".join(
            f"{number} {kind}"
            for kind, number in sorted(calls.items())
            if kind != "createIncidents"
        )
        or "none"
    )
    most = max(
        (window.calls.total() - window.calls["createIncidents"]) / window.load.seconds
        for window in windows
    )
    incidents = sum(sum(window.batches) for window in windows)
    return Row(
        "the same: calls other than createIncidents",
        most,
        "/s",
        detail=f"{kinds} for {incidents:,} requests",
    )


def latency_200ms(bench: Bench) -> Result:
    """256 connections, createIncidents takes 200 ms: the share of the limit, connections / latency.

    The first request of a window has its own call, for which all others wait; in a long window this
    counts for little.
    """
    connections, latency = 256, 0.2
    traffic, limit = Traffic(connections, bench.small), connections / latency
    bench.warm([bench.ours], traffic)
    rounds, steadiness = bench.steady(
        lambda: bench.interleaved([bench.ours], traffic, 12, latency=latency),
        lambda made: [[rate(window) for window in made.windows[bench.ours.name]]],
    )
    mine = rounds.middle(bench.ours, rate)
    text = "256 connections, createIncidents 200 ms: share of connections / latency"
    row = Row(
        text,
        mine / limit,
        "x",
        0.82,
        0.9,
        at_least=True,
        detail=f"{mine:,.0f} of {limit:,.0f} req/s",
        **steadiness,
    )
    return Result([row], rounds.figures())


def one_connection(bench: Bench) -> Result:
    """One kept-alive connection, createIncidents instant."""
    rows = [Compared("one kept-alive connection: throughput", bench.peer, 14, 20)]
    found, rounds = compared(bench, bench.ours, Traffic(1, bench.small), rows, 2)
    return Result(found, rounds.figures())


def new_connections(bench: Bench) -> Result:
    """A new connection for each request, 64 at a time."""
    rows = [
        Compared(
            "a new connection for each request, 64 at a time: throughput", bench.bare, 1.2, 1.5
        )
    ]
    return closing(bench, bench.ours, rows)


def new_tls_connections(bench: Bench) -> Result:
    """A new TLS connection for each request, each resuming a session, 64 at a time."""
    rows = [
        Compared(
            "the same by TLS, each resuming a session: throughput", bench.bare_by_tls, 1.0, 1.2
        )
    ]
    return closing(bench, bench.ours_by_tls, rows)


def closing(bench: Bench, mine: Served, rows: list[Compared]) -> Result:
    """Compare servers with one connection per request, and show a request's processor time."""
    found, rounds = compared(bench, mine, Traffic(64, bench.small, closing=True), rows, 4)
    return Result(
        [replace(row, detail=f"{row.detail}; {costs(rounds)}") for row in found], rounds.figures()
    )


def costs(rounds: Rounds) -> str:
    """Return each server's processor time for a request, and the load generator's share of a core.

    The load generator is the limit if its share is near 100 %.
    """
    times = [
        f"{median(window.cpu_microseconds for window in windows):,.0f}"
        for windows in rounds.windows.values()
    ]
    busy = max(
        window.load.cpu_seconds / window.load.seconds
        for windows in rounds.windows.values()
        for window in windows
    )
    return f"processor time {' and '.join(times)} µs; load generator busy {busy * 100:.0f} %"


def distinct_heads(bench: Bench) -> Result:
    """64 connections, each head with its own request ID."""
    rows = [Compared("64 connections, each head different: throughput", bench.bare, 1.0, 1.3)]
    found, rounds = compared(bench, bench.ours, Traffic(64, bench.small, distinct=True), rows, 3)
    return Result(found, rounds.figures())


def deliveries(bench: Bench) -> Result:
    """64 connections, on which what the vendors post is sent in turn, with nothing configured."""
    files = tuple(sorted(DELIVERIES.glob("*.http")))
    text = f"64 connections, {len(files)} deliveries of vendors in turn: throughput"
    traffic = Traffic(64, None, deliveries=files)
    found, rounds = compared(
        bench, bench.ours_each, traffic, [Compared(text, bench.bare, 1.0, 1.2)], 3
    )
    return Result(found, rounds.figures())


def processor_time(bench: Bench) -> Result:
    """The container's processor time per request, over a fixed number, for each version."""
    servers: list[Served] = [*bench.versions, bench.bare]
    requests = CPU_REQUESTS // 5 if bench.quick else CPU_REQUESTS
    traffic = Traffic(64, bench.small)
    bench.warm(servers, traffic)
    made, steadiness = bench.steady(
        lambda: cpu_rounds(bench, servers, traffic, requests),
        lambda made: (
            [to_first(made, server.name) for server in bench.versions[1:]]
            or [made[servers[0].name]]
        ),
    )
    rows = [
        Row(
            f"processor time for each request, 64 connections: {name}",
            median(rounds),
            "µs",
            detail=f"{min(rounds):.0f} to {max(rounds):.0f}; "
            f"{median(to_first(made, name)):.2f} of {servers[0].name}",
            **steadiness,
        )
        for name, rounds in made.items()
    ]
    return Result(rows, {"cpu_microseconds": made})


def to_first(made: dict[str, list[float]], name: str) -> list[float]:
    """Return for each round a server's figure relative to the first server's."""
    first = next(iter(made.values()))
    return [mine / theirs for mine, theirs in zip(made[name], first)]


def cpu_rounds(
    bench: Bench, servers: Sequence[Served], traffic: Traffic, requests: int
) -> dict[str, list[float]]:
    """Return each server's microseconds of processor time for a request, round by round."""
    made: dict[str, list[float]] = {server.name: [] for server in servers}
    for _ in range(bench.rounds(CPU_ROUNDS)):
        for server in servers:
            seconds = 3 if server is bench.bare else CPU_SECONDS
            made[server.name].append(
                bench.window(server, traffic, seconds, requests=requests).cpu_microseconds
            )
    return made


THROUGHPUT = (
    Measure("instant", 45, instant),
    Measure("20ms", 65, latency_20ms),
    Measure("200ms", 42, latency_200ms),
    Measure("one", 18, one_connection),
    Measure("new", 34, new_connections),
    Measure("tls", 34, new_tls_connections),
    Measure("heads", 26, distinct_heads),
    Measure("deliveries", 26, deliveries),
    Measure("cpu", 50, processor_time),
)
