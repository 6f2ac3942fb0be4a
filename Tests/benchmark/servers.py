"""Start what is measured: ours and the peer pattern in a sandbox each, and a bare pywsgi as the upper limit."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from Tests.sandbox import Sandbox

from .load import AUTHORIZATION, PASSWORD, USER, Load, LoadError, send

HERE = Path(__file__).parent
PEER = HERE / "peer" / "GenericWebhookPeer.py"
PARAMS = {"credentials": f"{USER}:{PASSWORD}", "store_samples": True}
START_SECONDS = 20.0
DRAIN_SECONDS = 15.0
KIB = 1024


@dataclass(frozen=True)
class Window:
    """One window of load and what it made the server do: calls to XSOAR and incidents created."""

    load: Load
    calls: Counter[str]
    incidents: int


class Served:
    """A server under measurement; used as a context manager."""

    name = ""
    url = ""

    def load(self, connections: int, seconds: float, body: bytes, latency: float = 0.0) -> Window:
        """Send one window of load and wait until nothing of it is left."""
        return Window(send(f"{self.url}/", connections, seconds, body), Counter(), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop the server."""


class Sandboxed(Served):
    """A server in a sandbox: incidents in memory, nothing printed, load straight to the container's port."""

    def __init__(self, name: str, script: Path | None = None, replaceable: bool = False) -> None:
        self.name = name
        self.script = script
        self.replaceable = replaceable

    def __enter__(self) -> Self:
        self.sandbox = Sandbox(PARAMS, store=":memory:", script=self.script, quiet=True, wait=START_SECONDS)
        self.sandbox.start()
        self.url = self.sandbox.container_url
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.set_latency(0.0)
        self.sandbox.stop(grace=2.0)

    def set_latency(self, seconds: float) -> None:
        """Let createIncidents take so long from now on."""
        self.sandbox.faults.latency = {"createIncidents": seconds} if seconds else {}

    def load(self, connections: int, seconds: float, body: bytes, latency: float = 0.0) -> Window:
        """Send one window of load and wait until nothing of it is left; what was created is forgotten."""
        self.set_latency(latency)
        calls, batches = Counter(self.sandbox.calls), len(self.sandbox.batches)
        try:
            load = send(f"{self.url}/", connections, seconds, body)
            spent = Counter(self.sandbox.calls)  # before the rest of the last requests: the window's own
            spent.subtract(calls)
            incidents = sum(self.sandbox.batches[batches:])
        finally:
            self.set_latency(0.0)
            self.drain()
        return Window(load, +spent, incidents)

    def drain(self) -> float:
        """Wait until what the load generator left behind is done, then forget all that was created; return the seconds it took.

        Raises LoadError where that takes more than DRAIN_SECONDS, or starts a new sandbox in place of a replaceable one: a call
        still under way in the old one may bring back what was forgotten.
        """
        started = time.monotonic()
        while not self.is_idle():
            if time.monotonic() - started > DRAIN_SECONDS:
                if not self.replaceable:
                    raise LoadError(f"{self.name} is still busy {DRAIN_SECONDS:.0f} s after the load's end.")
                self.sandbox.kill()
                self.sandbox.stop()
                self.__enter__()
                break
        self.sandbox.reset()
        return time.monotonic() - started

    def is_idle(self) -> bool:
        """Tell whether the server neither creates incidents nor computes for a moment, and then answers a GET at once."""
        created, spent = self.sandbox.calls["createIncidents"], self.cpu_seconds()
        time.sleep(0.3)
        if self.sandbox.calls["createIncidents"] != created or self.cpu_seconds() - spent > 0.05:
            return False
        with contextlib.suppress(OSError, http.client.HTTPException), connection(self.url, timeout=1.0) as client:
            return request(client, "GET", "/health")[0] == 200
        return False

    def cpu_seconds(self) -> float:
        """Return the processor time that the container's process has taken so far."""
        fields = Path(f"/proc/{self.sandbox.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # user and system time, proc(5)

    def resident_kib(self) -> int:
        """Return the container process's resident memory in KiB."""
        for line in Path(f"/proc/{self.sandbox.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise LoadError("The container's memory cannot be read: /proc has no VmRSS.")


class Bare(Served):
    """bare.py as a process of its own."""

    name = "bare pywsgi"

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen([sys.executable, str(HERE / "bare.py"), str(port)])
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
                return self
            time.sleep(0.05)
        self.__exit__(None, None, None)
        raise LoadError("The bare pywsgi did not start.")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def ours() -> Sandboxed:
    """Return the integration, not yet started."""
    return Sandboxed("ours")


def peer() -> Sandboxed:
    """Return the peer pattern, not yet started."""
    return Sandboxed("peer pattern", PEER, replaceable=True)  # samples of 5 MB keep it busy for minutes


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ---- single requests, where the time of one is what is measured


@contextlib.contextmanager
def connection(url: str, timeout: float = 30.0) -> Iterator[http.client.HTTPConnection]:
    """Open a connection that is kept alive until the block ends."""
    host, _, port = url.removeprefix("http://").partition(":")
    client = http.client.HTTPConnection(host, int(port), timeout=timeout)
    try:
        client.connect()
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # http.client sends headers and body apart
        yield client
    finally:
        client.close()


def request(client: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> tuple[int, float]:
    """Send one request and return its status and how many seconds its answer took."""
    headers: dict[str, Any] = {"Authorization": AUTHORIZATION, "Content-Type": "application/json"}
    started = time.perf_counter()
    client.request(method, path, body, headers)
    response = client.getresponse()
    response.read()
    return response.status, time.perf_counter() - started
