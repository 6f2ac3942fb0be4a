"""The load generators: Debian's `wrk`, and client.py.

client.py is used if wrk is absent, or if each request is to have its own connection.
"""

import base64
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from Tests.sandbox.page.examples import INSTANCE, read_delivery

HERE = Path(__file__).parent
USER, PASSWORD = "webhook", "benchmark"
AUTHORIZATION = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
ANSWER_SECONDS = (
    60  # a slower answer counts as an error of the load generator; nothing here is that slow
)
GRACE_SECONDS = 30  # for the load generator to end by itself
POLL_SECONDS = 0.01
NO_WRK = (
    "wrk is not installed (Debian: apt-get install wrk), so client.py sends the load. "
    "It takes about as much time per request as "
    "the server does: throughput and ratios come out too low."
)
# These headers of a monitoring tool's request pass a proxy; with Host and Content-Length there are
# ten.
HEADERS = {
    "X-Real-IP": "192.0.2.10",
    "X-Forwarded-For": "192.0.2.10",
    "X-Forwarded-Proto": "https",
    "User-Agent": "monitoring/2.1 (alerts)",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Authorization": AUTHORIZATION,
    "Content-Type": "application/json",
}
BODY_BYTES = 800


class LoadError(Exception):
    """The load generator or requests failed."""


class SilentError(LoadError):
    """No request was answered within the window."""


@dataclass(frozen=True)
class Load:
    """What one window of load resulted in; times in seconds.

    resumed: requests whose connection resumed a TLS session. cpu_seconds, before: client.py's
        processor time in the window, and its requests before it; wrk does not report the former and
        has none of the latter.
    """

    requests: int
    seconds: float
    p50: float
    p99: float
    slowest: float
    resumed: int = 0
    cpu_seconds: float = 0.0
    before: int = 0

    @property
    def rate(self) -> float:
        """Requests answered per second."""
        return self.requests / self.seconds


@dataclass(frozen=True)
class Traffic:
    """What is sent on a number of connections, each of which sends again as soon as it is answered.

    closing: each request has its own connection, with a resumed TLS session. distinct: each head
        has its own request ID. deliveries: files with what vendors post, sent in turn instead of
        the body; this needs wrk.
    """

    connections: int
    body: bytes | None
    method: str = "POST"
    closing: bool = False
    distinct: bool = False
    deliveries: tuple[Path, ...] = ()

    @property
    def headers(self) -> dict[str, str]:
        """The headers but Host, Content-Length and the request ID."""
        return {**HEADERS, "Connection": "close"} if self.closing else HEADERS

    def content(self, url: str) -> bytes:
        """Return what the load generator reads: a body, or requests behind their lengths."""
        requests = [written_request(url, file) for file in self.deliveries]
        return b"".join(b"%d\n%b" % (len(request), request) for request in requests) or (
            self.body or b""
        )


def written_request(url: str, file: Path) -> bytes:
    """Return the request of a delivery's file, with the benchmark's credentials."""
    method, path, headers, body = read_delivery(file)
    own = {
        "Host": urlsplit(url).netloc,
        "Authorization": AUTHORIZATION,
        "Content-Length": str(len(body)),
    }
    kept = [(name, value) for name, value in headers if name.title() not in {*own, "Connection"}]
    lines = [
        f"{method} /{path.removeprefix(INSTANCE).lstrip('/')} HTTP/1.1",
        *(f"{name}: {value}" for name, value in [*own.items(), *kept]),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


@cache
def generator() -> str:
    """Return which load generator there is."""
    return "wrk" if shutil.which("wrk") else "client.py"


def alert(size: int = BODY_BYTES) -> bytes:
    """Return a JSON body of `size` bytes: the native format with events of a monitoring tool."""
    event = {
        "host": "web-01",
        "disk": "/var",
        "used": 97,
        "tags": ["disk", "production"],
        "note": "above 95 %",
    }
    raw: dict[str, Any] = {"events": [], "padding": ""}
    envelope = {"name": "Disk full on web-01", "type": "Monitoring", "raw_json": raw}
    length = len(json.dumps(envelope).encode())
    raw["events"] = [event] * max(0, (size - length) // (len(json.dumps(event)) + 2))
    raw["padding"] = "x" * (size - len(json.dumps(envelope).encode()))
    return json.dumps(envelope).encode()


def send(
    url: str, traffic: Traffic, seconds: float, enough: Callable[[], bool] | None = None
) -> Load:
    """Send traffic to this machine for some seconds, or until there was enough of it.

    Raises LoadError if a request was refused, a connection broke, or a new TLS connection did not
    resume a session.
    """
    if urlsplit(url).hostname != "127.0.0.1":
        raise LoadError(f"{url} is not on this machine.")
    resuming = url.startswith("https:") and traffic.closing
    if traffic.deliveries and generator() != "wrk":
        raise LoadError("Only wrk sends deliveries in turn (Debian: apt-get install wrk).")
    command = by_client if traffic.closing or generator() != "wrk" else by_wrk
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder, "body.json")
        file.write_bytes(traffic.content(url))
        printed = run_bounded(command(url, traffic, max(1, round(seconds)), file), seconds, enough)
    figures = json.loads(printed.splitlines()[-1])
    refused, broken = figures.pop("refused"), figures.pop("broken")
    load = Load(**figures)
    if refused or broken:
        raise LoadError(f"{url}: {refused} requests refused, {broken} connections broken.")
    if not load.requests:
        raise SilentError(f"{url}: no request was answered within {seconds} s.")
    if resuming and load.resumed != load.requests:
        raise LoadError(
            f"{url}: only {load.resumed} of {load.requests} connections resumed a TLS session."
        )
    return load


def by_wrk(url: str, traffic: Traffic, seconds: int, file: Path) -> list[str]:
    """Return wrk's command, with one thread: a second one would take a core from the server."""
    shape = [
        "--threads",
        "1",
        "--connections",
        str(traffic.connections),
        "--duration",
        f"{seconds}s",
    ]
    script = ["--timeout", f"{ANSWER_SECONDS}s", "--script", str(HERE / "load.lua")]
    heads = "distinct" if traffic.distinct else "turn" if traffic.deliveries else "same"
    headers = [f"{name}: {value}" for name, value in traffic.headers.items()]
    return ["wrk", *shape, *script, url, "--", traffic.method, heads, str(file), *headers]


def by_client(url: str, traffic: Traffic, seconds: int, file: Path) -> list[str]:
    """Return the command of client.py."""
    order = {
        "url": url,
        "method": traffic.method,
        "headers": traffic.headers,
        "body": str(file),
        "connections": traffic.connections,
        "seconds": seconds,
        "closing": traffic.closing,
        "distinct": traffic.distinct,
    }
    return [sys.executable, str(HERE / "client.py"), json.dumps(order)]


def run_bounded(command: list[str], seconds: float, enough: Callable[[], bool] | None) -> str:
    """Run a load generator until it ends or there was enough, and return its output.

    Raises LoadError."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        if enough is not None:
            interrupt_when(enough, process, seconds)
        try:
            printed, errors = process.communicate(timeout=seconds + GRACE_SECONDS)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise LoadError(f"{command[0]} did not end by itself.") from error
    if not printed.strip():
        raise LoadError(f"{Path(command[0]).name} failed: {errors.strip()[-500:]}")
    return printed


def interrupt_when(
    enough: Callable[[], bool], process: subprocess.Popen[str], seconds: float
) -> None:
    """Interrupt a load generator as soon as there was enough; it then prints its figures."""
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        if enough():
            process.send_signal(signal.SIGINT)
            return
        time.sleep(POLL_SECONDS)
