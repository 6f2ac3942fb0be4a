"""The load generator: Debian's `wrk`, or locust where wrk is absent.

wrk is written in C, so it leaves nearly all of two cores to what is measured, and it reports percentiles. locust (from PyPI)
is well kept too, but in Python: it takes more time per request than the server it measures, so its ratios come out too low.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HERE = Path(__file__).parent
USER, PASSWORD = "webhook", "benchmark"
AUTHORIZATION = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
ANSWER_SECONDS = 60  # an answer slower than this counts as an error of the load generator; nothing here is
GRACE_SECONDS = 30  # for the load generator to end by itself
NO_WRK = (
    "wrk is not installed (Debian: apt-get install wrk), so locust sends the load. It takes more time per request than "
    "the server does: throughput and ratios come out too low."
)


class LoadError(Exception):
    """The load generator failed, or requests did."""


class SilentError(LoadError):
    """No request was answered within the window."""


@dataclass(frozen=True)
class Load:
    """What came of one window of load; times in seconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    slowest: float

    @property
    def rate(self) -> float:
        """Requests answered per second."""
        return self.requests / self.seconds


@cache
def generator() -> str:
    """Return which load generator there is."""
    return "wrk" if shutil.which("wrk") else "locust"


def alert(size: int = 300) -> bytes:
    """Return a JSON body of exactly `size` bytes: an envelope with events of a few fields, as monitoring sends them."""
    event = {"host": "web-01", "disk": "/var", "used": 97, "tags": ["disk", "production"], "note": "above 95 %"}
    raw: dict[str, Any] = {"events": [], "padding": ""}
    envelope = {"name": "Disk full on web-01", "type": "Monitoring", "raw_json": raw}
    length = len(json.dumps(envelope).encode())
    raw["events"] = [event] * max(0, (size - length) // (len(json.dumps(event)) + 2))
    raw["padding"] = "x" * (size - len(json.dumps(envelope).encode()))
    return json.dumps(envelope).encode()


def send(url: str, connections: int, seconds: float, body: bytes | None, method: str = "POST") -> Load:
    """Send requests over so many keep-alive connections for so long, each again as soon as it is answered.

    Goes to this machine only. Raises LoadError where a request was refused or a connection broke.
    """
    if urlsplit(url).hostname != "127.0.0.1":
        raise LoadError(f"{url} is not on this machine.")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder, "body.json")
        file.write_bytes(body or b"")
        run = by_wrk if generator() == "wrk" else by_locust
        return run(url, connections, seconds, method, str(file) if body else "")


def by_wrk(url: str, connections: int, seconds: float, method: str, body: str) -> Load:
    """Run wrk with one thread: a second one would take a core from what is measured."""
    shape = ["--threads", "1", "--connections", str(connections), "--duration", f"{max(1, round(seconds))}s"]
    command = ["wrk", *shape, "--timeout", f"{ANSWER_SECONDS}s", "--script", str(HERE / "load.lua"), url, "--", method]
    printed = run_bounded([*command, AUTHORIZATION, *filter(None, [body])], seconds, {})
    figures = json.loads(printed.splitlines()[-1])
    if figures["refused"] or figures["broken"]:
        raise LoadError(f"{url}: {figures['refused']} requests refused, {figures['broken']} connections broken.")
    if not figures["requests"]:
        raise SilentError(f"{url}: no request was answered within {seconds} s.")
    return Load(figures["requests"], figures["seconds"], figures["p50"], figures["p99"], figures["max"])


def by_locust(url: str, connections: int, seconds: float, method: str, body: str) -> Load:
    """Run locust without its web page, all users at once."""
    parts = urlsplit(url)
    shape = ["-u", str(connections), "-r", str(connections), "-t", f"{max(1, round(seconds))}s", "--stop-timeout", "0"]
    printed = run_bounded(
        [
            *(sys.executable, "-m", "locust", "-f", str(HERE / "locustfile.py"), "--headless", "--json", "--skip-log"),
            *shape,
            *("--host", f"{parts.scheme}://{parts.netloc}"),
        ],
        seconds,
        {"METHOD": method, "TARGET": parts.path or "/", "AUTHORIZATION": AUTHORIZATION, "BODY": body},
    )
    (figures,) = json.loads(printed) or [{"num_requests": 0, "num_failures": 0}]
    if figures["num_failures"]:
        raise LoadError(f"{url}: {figures['num_failures']} requests failed.")
    if not figures["num_requests"]:
        raise SilentError(f"{url}: no request was answered within {seconds} s.")
    spent = figures["last_request_timestamp"] - figures["start_time"]
    p50, p99 = (percentile(figures["response_times"], share) for share in (0.5, 0.99))
    return Load(figures["num_requests"], max(spent, 0.001), p50, p99, figures["max_response_time"] / 1000)


def percentile(histogram: Mapping[str, int], share: float) -> float:
    """Return in seconds the latency below which a share of the requests lies; the histogram's keys are milliseconds."""
    left = share * sum(histogram.values())
    for milliseconds, count in sorted((float(key), count) for key, count in histogram.items()):
        left -= count
        if left <= 0:
            return milliseconds / 1000
    return 0.0


def run_bounded(command: list[str], seconds: float, env: Mapping[str, str]) -> str:
    """Run a load generator to its end and return what it printed; raises LoadError."""
    try:
        done = subprocess.run(
            command, env={**os.environ, **env}, capture_output=True, text=True, timeout=seconds + GRACE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"{command[0]} did not end by itself.") from error
    if not done.stdout.strip():
        raise LoadError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
