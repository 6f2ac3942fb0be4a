"""One function for each row, or few rows, of the bar's table."""

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from Tests.sandbox import Sandbox
from Tests.sandbox.descriptor import INTEGRATION

from .bench import Bench, Measure, Result, Row, Window, middle, p99, rate
from .load import LoadError, alert, send
from .servers import PARAMS, START_SECONDS, Sandboxed, Served, connection, ours, request

MIB_IN_KIB = 1024
ENTRY = "\n    main()\n"  # the integration's last line; without it the script only imports


def figures_of(windows: dict[str, list[Window]]) -> dict[str, Any]:
    """Return every round of every server for the JSON."""
    return {
        server: [
            {"requests_per_second": rate(window), "p50_seconds": window.load.p50, "p99_seconds": p99(window)} for window in rounds
        ]
        for server, rounds in windows.items()
    }


def per_second(ours_rate: float, other_name: str, other_rate: float) -> str:
    """Return the two rates behind a ratio."""
    return f"{ours_rate:,.0f} and {other_rate:,.0f} req/s ({other_name})"


# ---- throughput


def throughput_instant(bench: Bench) -> Result:
    """64 connections, createIncidents instant: ours, the peer pattern, bare pywsgi; and the calls ours made meanwhile."""
    windows = bench.interleaved([bench.ours, bench.peer, bench.bare], 64, 3, rounds=5)
    mine, theirs, bare = (middle(windows[server.name], rate) for server in (bench.ours, bench.peer, bench.bare))
    by_round = [rate(ours) / rate(peer) for ours, peer in zip(windows["ours"], windows["peer pattern"])]
    to_bare = [rate(ours) / rate(bare) for ours, bare in zip(windows["ours"], windows["bare pywsgi"])]
    what = "64 connections, createIncidents instant: throughput"
    rows = [
        Row(f"{what} / peer pattern", 25, median(by_round), "x", True, per_second(mine, "peer", theirs)),
        Row(f"{what} / bare pywsgi", 0.8, median(to_bare), "x", True, per_second(mine, "bare", bare)),
        calls_per_request(windows),
    ]
    return Result(rows, figures=figures_of(windows))


def calls_per_request(windows: dict[str, list[Window]]) -> Row:
    """Calls to XSOAR of every kind per incident, in the round that had most."""
    window = max(windows["ours"], key=lambda window: window.calls.total() / window.incidents)
    peers = windows["peer pattern"][-1]
    detail = f"{window.calls.total():,} for {window.incidents:,}; {peers.calls.total() / max(1, peers.incidents):.1f} (peer)"
    return Row("64 connections: calls to XSOAR per request", 0.1, window.calls.total() / window.incidents, "", detail=detail)


def other_calls(windows: list[Window]) -> Row:
    """Calls that are no createIncidents, which must not grow with the requests, in the round that had most."""
    calls = sum((window.calls for window in windows), Counter[str]())
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(calls.items()) if kind != "createIncidents") or "none"
    most = max((window.calls.total() - window.calls["createIncidents"]) / window.load.seconds for window in windows)
    incidents = sum(window.incidents for window in windows)
    return Row("the same: calls but createIncidents per second", 2, most, "/s", detail=f"{kinds} for {incidents:,} incidents")


def throughput_20ms(bench: Bench) -> Result:
    """256 connections, createIncidents takes 20 ms: ours and the peer pattern, p99 over windows of the same length."""
    windows = bench.interleaved([bench.ours, bench.peer], 256, 10, rounds=3, latency=0.02)
    pairs = list(zip(windows["ours"], windows["peer pattern"]))
    mine, theirs = (middle(windows[name], rate) for name in ("ours", "peer pattern"))
    mine_p99, theirs_p99 = (middle(windows[name], p99) for name in ("ours", "peer pattern"))
    ratio, p99_ratio = median(rate(a) / rate(b) for a, b in pairs), median(p99(a) / p99(b) for a, b in pairs)
    what = "256 connections, createIncidents 20 ms:"
    rows = [
        Row(f"{what} throughput / peer pattern", 90, ratio, "x", True, per_second(mine, "peer", theirs)),
        Row(f"{what} p99 / peer pattern", 0.035, p99_ratio, "x", False, f"{mine_p99 * 1000:.0f} and {theirs_p99 * 1000:,.0f} ms"),
        other_calls(windows["ours"]),
    ]
    return Result(rows, figures=figures_of(windows))


def throughput_200ms(bench: Bench) -> Result:
    """256 connections, createIncidents takes 200 ms, 10 s: the share of the limit, connections / latency."""
    windows = bench.interleaved([bench.ours], 256, 10, rounds=2, latency=0.2)
    mine = middle(windows["ours"], rate)
    what = "256 connections, createIncidents 200 ms: throughput / its limit"
    return Result([Row(what, 0.75, mine / (256 / 0.2), "x", True, f"{mine:,.0f} of 1,280 req/s")], figures=figures_of(windows))


def one_connection(bench: Bench) -> Result:
    """One keep-alive connection, createIncidents instant."""
    windows = bench.interleaved([bench.ours, bench.peer], 1, 2, rounds=5)
    ratio = median(rate(a) / rate(b) for a, b in zip(windows["ours"], windows["peer pattern"]))
    mine, theirs = (middle(windows[name], rate) for name in ("ours", "peer pattern"))
    row = Row("one keep-alive connection: throughput / peer pattern", 8, ratio, "x", True, per_second(mine, "peer", theirs))
    return Result([row], figures=figures_of(windows))


# ---- single requests


def posted(bench: Bench, client: Any) -> float:
    """Send the small body and return how many seconds its answer took."""
    status, seconds = request(client, "POST", "/", bench.small)
    if status != 200:
        raise LoadError(f"A lone request was answered {status}.")
    return seconds


def lone_request(bench: Bench) -> Result:
    """A request on an idle server, and one that follows the answers of a burst at once."""
    call = 0.02
    bench.say("lone requests")
    bench.ours.set_latency(call)
    idle = []
    with connection(bench.ours.url) as client:
        for _ in range(10 if bench.quick else 40):
            time.sleep(0.05)
            idle.append((posted(bench, client) - call) * 1000)
    bench.ours.set_latency(0.2)
    after = [(after_burst(bench) / 0.2 - 1) * 100 for _ in range(2 if bench.quick else 7)]
    bench.ours.set_latency(0.0)
    rows = [
        Row(
            "lone request, idle server: beyond its call",
            10,
            median(idle),
            "ms",
            detail=f"slowest of {len(idle)}: {max(idle):.1f}",
        ),
        Row(
            "lone request after a burst: beyond its call",
            10,
            median(after),
            "%",
            detail=f"worst of {len(after)}: {max(after):.1f}",
        ),
    ]
    return Result(rows, figures={"idle_extra_ms": idle, "after_burst_extra_percent": after})


def after_burst(bench: Bench, senders: int = 64) -> float:
    """Let many senders post at once and one of them again as soon as it is answered; return that answer's seconds."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connection(bench.ours.url)) for _ in range(senders)]
        posting = [threading.Thread(target=posted, args=(bench, client), daemon=True) for client in clients[1:]]
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
        time.sleep(0.3)  # the call is under way
        seconds = []
        for _ in range(20):
            with connection(bench.ours.url) as client:
                seconds.append(request(client, "GET", "/health")[1] * 1000)
            time.sleep(0.05)
        if not posting.is_alive():
            raise LoadError("createIncidents did not take 4 s.")
        posting.join()
    bench.ours.set_latency(0.0)
    row = Row(
        "GET /health while createIncidents takes 4 s: slowest", 50, max(seconds), "ms", detail=f"median {median(seconds):.1f}"
    )
    return Result([row], figures={"health_ms": seconds})


# ---- memory and start


def memory(bench: Bench) -> Result:
    """Resident memory of a new container after 20,000 and after 200,000 requests."""
    few, many = (2_000, 20_000) if bench.quick else (20_000, 200_000)
    with ours() as server:
        early, late = (resident_after(bench, server, target) / MIB_IN_KIB for target in (few, many))
    detail = f"{early:.1f} MiB after {few:,}, {late:.1f} MiB after {many:,}"
    row = Row(f"memory after {many:,} requests / after {few:,}", 1.1, late / early, "x", detail=detail)
    return Result([row], figures={"early_mib": early, "late_mib": late})


def resident_after(bench: Bench, server: Sandboxed, target: int) -> float:
    """Load the server until it created so many incidents in all and return its resident memory in KiB."""
    until = time.monotonic() + 120
    while (created := sum(server.sandbox.batches)) < target:
        if time.monotonic() > until:
            raise LoadError(f"Only {created:,} of {target:,} incidents within 120 s.")
        bench.say(f"memory: {created:,} of {target:,} requests")
        window = 2 if target - created < 40_000 else 8
        server.load(64, window, bench.small)
        bench.advance(window)
    time.sleep(3.5)  # the samples' flush is over
    return server.resident_kib()


def start(bench: Bench) -> Result:
    """From the container's start to an open port, less what a run that only imports takes."""
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
    detail = f"{median(whole):.2f} s in all, {median(imports):.2f} s for importing"
    return Result([Row("start to listening, on top of importing", 1, extra, "s", detail=detail)], figures={"s": [whole, imports]})


def seconds_until_completed(script: Path) -> float:
    """Return how long a container takes to import everything."""
    sandbox = Sandbox(PARAMS, store=":memory:", script=script, wait=0)
    started = time.perf_counter()
    with sandbox:
        while not sandbox.completed:
            if time.perf_counter() - started > START_SECONDS or sandbox.exited:
                raise LoadError(f"A run that only imports does not end: {sandbox.logs} {sandbox.stderr}")
            time.sleep(0.005)
        return time.perf_counter() - started


def seconds_until_listening() -> float:
    """Return how long a container takes until its port is open."""
    sandbox = Sandbox(PARAMS, store=":memory:", wait=0)
    started = time.perf_counter()
    with sandbox:
        while time.perf_counter() - started < START_SECONDS:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", sandbox.container_port or 0), timeout=0.5).close()
                return time.perf_counter() - started
            time.sleep(0.005)
    raise LoadError("The container does not listen.")


# ---- idle connections

IDLE_CONNECTIONS = 1000


def idle_connections(bench: Bench) -> Result:
    """Memory of 1,000 kept-alive connections that are silent, and throughput with and without them."""
    without, beside, memories = [], [], []
    with ours() as server:
        bench.window(server, 64, 2)
        before = server.resident_kib()
        for _ in range(bench.rounds(5)):
            without.append(bench.window(server, 64, 2))
            with kept_alive(server, IDLE_CONNECTIONS):
                memories.append((server.resident_kib() - before) / MIB_IN_KIB)
                beside.append(bench.window(server, 64, 2))
    loss = median((1 - rate(b) / rate(a)) * 100 for a, b in zip(without, beside))
    rates = per_second(middle(beside, rate), "without", middle(without, rate))
    rows = [
        Row("1,000 idle connections: memory", 40, max(memories), "MiB"),
        Row("1,000 idle connections: loss of throughput", 10, loss, "%", detail=rates),
    ]
    return Result(rows, figures={"memory_mib": memories, **figures_of({"without": without, "beside": beside})})


@contextlib.contextmanager
def kept_alive(server: Served, number: int) -> Iterator[None]:
    """Hold so many connections open, each of which has been answered once."""
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            client = stack.enter_context(connection(server.url))
            if request(client, "GET", "/health")[0] != 200:
                raise LoadError("An idle connection's first request was refused.")
        yield


# ---- big bodies beside small ones


def big_beside_small(bench: Bench) -> Result:
    """p99 of small POSTs and of GET /health alone, beside a stream of 64 KB bodies, and beside one of 5 MB bodies."""
    streams = {"alone": None, "beside 64 KB": alert(64_000), "beside 5 MB": alert(5_000_000)}
    bench.window(bench.ours, 32, 1)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in streams}
    for _ in range(bench.rounds(2)):
        for name, big in streams.items():
            bench.say(f"small bodies {name}")
            found[name].append(small_ones(bench, big))
            bench.advance(7)
    figures = {name: {key: median(figures[key] for figures in rounds) for key in rounds[0]} for name, rounds in found.items()}
    return Result(figures={"big_bodies": figures})


def small_ones(bench: Bench, big: bytes | None) -> dict[str, float]:
    """Measure small requests while big bodies, if any, come over two other connections."""
    url, seconds = bench.ours.url, bench.seconds(3) + bench.seconds(2) + 2
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(send, f"{url}/", 2, seconds, big) if big else None
        time.sleep(0.5)
        small = send(f"{url}/", 32, bench.seconds(3), bench.small)
        health = send(f"{url}/health", 4, bench.seconds(2), None, method="GET")
        big_rate = stream.result().rate if stream else 0.0
    return {
        "small_p99_ms": small.p99 * 1000,
        "small_per_second": small.rate,
        "health_p99_ms": health.p99 * 1000,
        "big_per_second": big_rate,
        "busy_afterwards_seconds": bench.ours.drain(),
    }


BARS = (
    Measure("instant", 65, throughput_instant),
    Measure("20ms", 80, throughput_20ms),
    Measure("200ms", 35, throughput_200ms),
    Measure("lone", 8, lone_request),
    Measure("one", 26, one_connection),
    Measure("health", 5, health),
    Measure("memory", 65, memory),
    Measure("start", 12, start),
    Measure("idle", 36, idle_connections),
    Measure("big", 50, big_beside_small),
)
