"""What open alerts cost: `python -m Tests.benchmark.alerts` takes about a minute.

An instance remembers 5,000 open alerts, and each call of XSOAR takes 10 ms. Six senders post new
incidents all the time: first while no alert ends, then while 20 other senders post the ends of 200
alerts, each of which is noted in the War Room of its incident.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from statistics import median, quantiles

from Tests.sandbox import Sandbox

from .load import LoadError, alert
from .servers import Sandboxed, connection, request

OPEN, ENDED, IN_A_POST = 5_000, 200, 100
POSTERS, ENDERS = 6, 20
CALL_SECONDS = 0.01
QUIET_SECONDS = 10  # without ends
STORED_SECONDS = 5  # until the integration context has what happened last
NOTED_SECONDS = 120
NEW = alert(300)


def delivery(numbers: range, status: str = "firing") -> bytes:
    """Return alerts as Alertmanager posts them."""
    alerts = [
        {
            "status": status,
            "labels": {"alertname": "DiskFull", "instance": f"host{number}", "severity": "warning"},
            "annotations": {"summary": f"The disk of host{number} is full"},
            "startsAt": "2024-05-01T12:00:00Z",
            "fingerprint": f"{number:016x}",
        }
        for number in numbers
    ]
    return json.dumps({"receiver": "xsoar", "groupLabels": {}, "alerts": alerts}).encode()


def post(
    url: str, bodies: Iterator[bytes], until: Callable[[], bool] = lambda: False
) -> list[float]:
    """Post one body after another, each once the one before is answered; return the seconds."""
    seconds = []
    with connection(url) as client:
        for body in bodies:
            status, took = request(client, "POST", "/", body)
            if status != 200:
                raise LoadError(f"A request was answered {status}.")
            seconds.append(took)
            if until():
                break
    return seconds


@contextmanager
def new_incidents(url: str) -> Iterator[list[float]]:
    """Post new incidents until the block ends, and then give how long their answers took."""
    ended = threading.Event()
    seconds: list[float] = []
    with ThreadPoolExecutor(POSTERS) as posters:
        posting = [
            posters.submit(post, url, (NEW for _ in count()), ended.is_set) for _ in range(POSTERS)
        ]
        try:
            yield seconds
        finally:
            ended.set()
        for poster in posting:
            seconds += poster.result()


def end_alerts(url: str) -> list[float]:
    """Post the ends of ENDED alerts by ENDERS senders; return how long their answers took."""
    with ThreadPoolExecutor(ENDERS) as enders:
        shares = [range(first, ENDED, ENDERS) for first in range(ENDERS)]
        ending = [
            enders.submit(post, url, (delivery(range(one, one + 1), "resolved") for one in share))
            for share in shares
        ]
        return [took for ender in ending for took in ender.result()]


def context_bytes(sandbox: Sandbox) -> int:
    """Return the size of the integration context, once it has what happened last."""
    time.sleep(STORED_SECONDS)
    return len(json.dumps(sandbox.context()))


def await_notes(sandbox: Sandbox, notes: int) -> None:
    """Wait until so many War Room entries have been added."""
    until = time.monotonic() + NOTED_SECONDS
    while sandbox.calls["addEntry"] < notes:
        if time.monotonic() > until:
            raise LoadError(f"Not all War Room entries were added in {NOTED_SECONDS} s.")
        time.sleep(0.05)


def p99(seconds: list[float]) -> float:
    """Return the time within which 99 of 100 answers came."""
    return quantiles(seconds, n=100)[-1]


def open_alerts(server: Sandboxed) -> tuple[float, float]:
    """Open OPEN alerts; return the context's bytes for each, and the process's MiB for all."""
    posts = OPEN // IN_A_POST
    ordinary = b"[" + b",".join([NEW] * IN_A_POST) + b"]"
    post(server.url, iter([ordinary] * posts))
    post(server.url, iter([delivery(range(IN_A_POST))]))
    few, before = context_bytes(server.sandbox), server.resident_kib()
    starts = range(IN_A_POST, OPEN, IN_A_POST)
    post(server.url, (delivery(range(start, start + IN_A_POST)) for start in starts))
    more = context_bytes(server.sandbox) - few
    return more / (OPEN - IN_A_POST), (server.resident_kib() - before) / 1024


def main() -> None:
    """Measure, and print the table of docs/performance.md."""
    with Sandboxed("the integration") as server:
        each, memory = open_alerts(server)
        calls = ("createIncidents", "addEntry", "getIntegrationContext", "setIntegrationContext")
        server.sandbox.faults.latency = dict.fromkeys(calls, CALL_SECONDS)
        with new_incidents(server.url) as quiet:
            time.sleep(QUIET_SECONDS)
        with new_incidents(server.url) as busy:
            started = time.monotonic()
            ends = end_alerts(server.url)
            await_notes(server.sandbox, ENDED)
            noted = time.monotonic() - started
        lone = post(
            server.url,
            (delivery(range(one, one + 1), "resolved") for one in range(ENDED, ENDED + 10)),
        )
    for figure, value in (
        ("integration context", f"{each * OPEN / 1000:,.0f} KB more, {each:.0f} bytes an alert"),
        ("memory of the process", f"{memory:.0f} MiB more"),
        ("answer to a new incident, p99, while no alert ends", f"{p99(quiet) * 1000:.0f} ms"),
        (f"the same while {ENDED} alerts end", f"{p99(busy) * 1000:.0f} ms"),
        (
            "answer to an end meanwhile, median and p99",
            f"{median(ends):.1f} s and {p99(ends):.1f} s",
        ),
        (f"all {ENDED} War Room entries added", f"after {noted:.0f} s"),
        ("answer to an end while nothing else is posted, median", f"{median(lone) * 1000:.0f} ms"),
    ):
        print(f"| {figure} | {value} |")


if __name__ == "__main__":
    main()
