"""Rows other than throughput: single requests, memory, start, idle connections, large bodies."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from Tests.sandbox import Sandbox
from Tests.sandbox.descriptor import INTEGRATION

from .bench import Bench, Measure, Result, Row, rate
from .load import LoadError, Traffic, alert, send
from .servers import PARAMS, START_SECONDS, Sandboxed, Served, Window, connection, ours, request

MIB_IN_KIB = 1024
ENTRY = "\n    main()\n"  # the integration's last line; without it the script only imports
MEMORY_SECONDS = 240  # for either number of requests
SMALL_BYTES = 300  # of the POSTs next to large bodies


# ---- single requests


def posted(bench: Bench, client: Any) -> float:
    """Send the small body and return how many seconds its answer took."""
    status, seconds = request(client, "POST", "/", bench.small)
    if status != 200:
        raise LoadError(f"A lone request was answered {status}.")
    return seconds


def lone_request(bench: Bench) -> Result:
    """A request on an idle server, and one that directly follows the answers of a burst."""
    idle, steadiness = bench.steady(
        lambda: [idle_extra(bench) for _ in range(bench.rounds(3))], lambda rounds: [rounds]
    )
    bench.say("lone requests after a burst")
    bench.ours.set_latency(0.2)
    after = [(after_burst(bench) / 0.2 - 1) * 100 for _ in range(2 if bench.quick else 7)]
    bench.ours.set_latency(0.0)
    rows = [
        Row("a lone request, idle server: beyond its call", median(idle), "ms", 2.4, **steadiness),
        Row(
            "a lone request after a burst: beyond its call",
            median(after),
            "%",
            detail=f"worst of {len(after)}: {max(after):.1f}",
        ),
    ]
    return Result(rows, figures={"idle_extra_ms": idle, "after_burst_extra_percent": after})


def idle_extra(bench: Bench, call: float = 0.02) -> float:
    """Return the median of what requests on an idle server add to their call, in ms."""
    bench.say("lone requests")
    bench.ours.set_latency(call)
    extra = []
    with connection(bench.ours.url) as client:
        for _ in range(10 if bench.quick else 20):
            time.sleep(0.05)
            extra.append((posted(bench, client) - call) * 1000)
    bench.ours.set_latency(0.0)
    return median(extra)


def after_burst(bench: Bench, senders: int = 64) -> float:
    """Let many senders post at once, one of them twice; return the seconds of its second answer."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connection(bench.ours.url)) for _ in range(senders)]
        posting = [
            threading.Thread(target=posted, args=(bench, client), daemon=True)
            for client in clients[1:]
        ]
        for thread in posting:
            thread.start()
        posted(bench, clients[0])
        seconds = posted(bench, clients[0])
        for thread in posting:
            thread.join()
    return seconds


def health(bench: Bench) -> Result:
    """GET /health on new connections while createIncidents takes 4 s."""
    bench.say("health while createIncidents takes 4 s")
    bench.ours.set_latency(4.0)
    with connection(bench.ours.url) as sender:
        posting = threading.Thread(target=posted, args=(bench, sender), daemon=True)
        posting.start()
        time.sleep(0.3)  # the call is in progress
        seconds = []
        for _ in range(20):
            with connection(bench.ours.url) as client:
                seconds.append(request(client, "GET", "/health")[1] * 1000)
            time.sleep(0.05)
        if not posting.is_alive():
            raise LoadError("createIncidents did not take 4 s.")
        posting.join()
    bench.ours.set_latency(0.0)
    text = "GET /health while createIncidents takes 4 s: slowest"
    row = Row(text, max(seconds), "ms", detail=f"median {median(seconds):.1f}")
    return Result([row], figures={"health_ms": seconds})


# ---- memory and start


def memory(bench: Bench) -> Result:
    """Resident memory of a new container after 20,000 and after 200,000 requests."""
    few, many = (2_000, 20_000) if bench.quick else (20_000, 200_000)
    with ours() as server:
        early, late = (resident_after(bench, server, target) / MIB_IN_KIB for target in (few, many))
    detail = f"{early:.1f} MiB after {few:,}, {late:.1f} MiB after {many:,}"
    row = Row(
        f"memory after {many:,} requests / after {few:,}", late / early, "x", 1.02, detail=detail
    )
    return Result([row], figures={"early_mib": early, "late_mib": late})


def resident_after(bench: Bench, server: Sandboxed, target: int) -> float:
    """Load the server until it has created `target` incidents; return its memory in KiB."""
    until = time.monotonic() + MEMORY_SECONDS
    while (created := sum(server.sandbox.batches)) < target:
        if time.monotonic() > until:
            raise LoadError(f"Only {created:,} of {target:,} incidents within {MEMORY_SECONDS} s.")
        bench.say(f"memory: {created:,} of {target:,} requests")
        server.load(Traffic(64, bench.small), 20, requests=min(40_000, target - created))
        bench.advance(8)
    time.sleep(3.5)  # the samples' flush is over
    return server.resident_kib()


def start(bench: Bench) -> Result:
    """From the container's start to an open port, without the time of a run that only imports."""
    bench.say("start of the container")
    whole, imports = [], []
    code = INTEGRATION.read_text(encoding="utf-8")
    if ENTRY not in code:
        raise LoadError("The integration does not end with its call of main().")
    with TemporaryDirectory(prefix="bench-") as folder:
        script = Path(folder, "import_only.py")
        script.write_text(code.replace(ENTRY, "\n    pass\n"), encoding="utf-8")
        for _ in range(2 if bench.quick else 5):
            imports.append(seconds_until_completed(script))
            whole.append(seconds_until_listening())
    extra = median(a - b for a, b in zip(whole, imports))
    detail = f"{median(whole):.2f} s in total, {median(imports):.2f} s for importing"
    return Result(
        [Row("start to listening, on top of importing", extra, "s", detail=detail)],
        figures={"s": [whole, imports]},
    )


def seconds_until_completed(script: Path) -> float:
    """Return how long a container takes to import everything."""
    sandbox = Sandbox(PARAMS, store=":memory:", script=script, wait=0)
    started = time.perf_counter()
    with sandbox:
        while not sandbox.completed:
            if time.perf_counter() - started > START_SECONDS or sandbox.exited:
                raise LoadError(
                    f"A run that only imports does not end: {sandbox.logs} {sandbox.stderr}"
                )
            time.sleep(0.005)
        return time.perf_counter() - started


def seconds_until_listening() -> float:
    """Return how long a container takes until its port is open."""
    sandbox = Sandbox(PARAMS, store=":memory:", wait=0)
    started = time.perf_counter()
    with sandbox:
        while time.perf_counter() - started < START_SECONDS:
            with contextlib.suppress(OSError):
                socket.create_connection(
                    ("127.0.0.1", sandbox.container_port or 0), timeout=0.5
                ).close()
                return time.perf_counter() - started
            time.sleep(0.005)
    raise LoadError("The container does not listen.")


# ---- idle connections

IDLE_CONNECTIONS = 1000


def idle_connections(bench: Bench) -> Result:
    """Memory of 1,000 silent kept-alive connections, and throughput with and without them."""
    without: list[Window] = []
    with_idle: list[Window] = []
    memories: list[float] = []
    traffic = Traffic(64, bench.small)
    with ours() as server:
        bench.window(server, traffic, 2)
        before = server.resident_kib()
        for _ in range(bench.rounds(3)):
            without.append(bench.window(server, traffic, 2))
            with kept_alive(server, IDLE_CONNECTIONS):
                memories.append((server.resident_kib() - before) / MIB_IN_KIB)
                with_idle.append(bench.window(server, traffic, 2))
    loss = median((1 - rate(b) / rate(a)) * 100 for a, b in zip(without, with_idle))
    rates = (
        f"{median(map(rate, with_idle)):,.0f}, without them {median(map(rate, without)):,.0f} req/s"
    )
    rows = [
        Row("1,000 idle connections: memory", max(memories), "MiB", 18),
        Row("1,000 idle connections: loss of throughput", loss, "%", detail=rates),
    ]
    return Result(
        rows,
        figures={
            "memory_mib": memories,
            "without": [*map(rate, without)],
            "beside": [*map(rate, with_idle)],
        },
    )


@contextlib.contextmanager
def kept_alive(server: Served, number: int) -> Iterator[None]:
    """Hold `number` connections open, each of which has been answered once."""
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            client = stack.enter_context(connection(server.url))
            if request(client, "GET", "/health")[0] != 200:
                raise LoadError("An idle connection's first request was refused.")
        yield


# ---- large bodies next to small ones

STREAMS = {"alone": 0, "next to 64 KB": 64_000, "next to 5 MB": 5_000_000}  # bytes
P99_LIMITS = {"next to 64 KB": (15, 8), "next to 5 MB": (150, 60)}  # bar and aim, ms


def large_next_to_small(bench: Bench) -> Result:
    """p99 of small POSTs and GET /health: alone, next to 64 KB and next to 5 MB bodies."""
    bench.window(bench.ours, Traffic(32, alert(SMALL_BYTES)), 1)
    found, steadiness = bench.steady(
        lambda: next_to_streams(bench),
        lambda made: [[one["small_p99_ms"] for one in made[name]] for name in P99_LIMITS],
    )
    middle = {
        name: {key: median(one[key] for one in rounds) for key in rounds[0]}
        for name, rounds in found.items()
    }
    rows = [
        Row(
            f"p99 of {SMALL_BYTES}-byte POSTs {name} bodies",
            middle[name]["small_p99_ms"],
            "ms",
            *limits,
            detail=f"alone {middle['alone']['small_p99_ms']:.0f} ms; "
            f"{middle[name]['large_per_second']:.1f} large ones per second",
            **steadiness,
        )
        for name, limits in P99_LIMITS.items()
    ]
    return Result(rows, figures={"large_bodies": middle})


def next_to_streams(bench: Bench) -> dict[str, list[dict[str, float]]]:
    """Return the figures of each stream, round by round."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in STREAMS}
    for _ in range(bench.rounds(3)):
        for name, size in STREAMS.items():
            bench.say(f"small bodies {name}")
            found[name].append(small_ones(bench, size))
            bench.advance(7)
    return found


def small_ones(bench: Bench, size: int) -> dict[str, float]:
    """Measure small requests while large bodies, if any, arrive on two other connections."""
    url, seconds = bench.ours.url, bench.seconds(3) + bench.seconds(2) + 2
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(send, f"{url}/", Traffic(2, alert(size)), seconds) if size else None
        time.sleep(0.5)
        small = send(f"{url}/", Traffic(32, alert(SMALL_BYTES)), bench.seconds(3))
        health = send(f"{url}/health", Traffic(4, None, "GET"), bench.seconds(2))
        large_rate = stream.result().rate if stream else 0.0
    return {
        "small_p99_ms": small.p99 * 1000,
        "small_per_second": small.rate,
        "health_p99_ms": health.p99 * 1000,
        "large_per_second": large_rate,
        "busy_afterwards_seconds": bench.ours.drain(),
    }


SINGLES = (
    Measure("lone", 10, lone_request),
    Measure("health", 5, health),
    Measure("memory", 65, memory),
    Measure("start", 12, start),
    Measure("idle", 30, idle_connections),
    Measure("large", 75, large_next_to_small),
)
