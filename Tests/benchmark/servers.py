"""Starts what is measured: our versions and the peer pattern in a sandbox each, and bare pywsgi.

The bare pywsgi is the upper limit. A sandbox's container runs Tests/sandbox/loop.py, which costs
what the platform's loop costs.
"""

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from Tests.end_to_end.hostile import certificate
from Tests.end_to_end.proxies import pem_file
from Tests.sandbox import Sandbox, free_port
from Tests.sandbox.descriptor import INTEGRATION

from .client import unverified
from .load import HEADERS, PASSWORD, USER, Load, LoadError, Traffic, send

HERE = Path(__file__).parent
PEER = HERE / "peer" / "GenericWebhookPeer.py"
PARAMS = {"credentials": f"{USER}:{PASSWORD}", "store_samples": True}
START_SECONDS = 20.0
DRAIN_SECONDS = 15.0
KIB = 1024


@dataclass(frozen=True)
class Window:
    """One window of load and what it made the server do.

    That is: calls to XSOAR, the incidents of each createIncidents call and, with the rest that was
        drained, the server's processor time in seconds and the number of requests for it.
    """

    load: Load
    calls: Counter[str]
    batches: list[int]
    cpu_seconds: float
    requests: int

    @property
    def cpu_microseconds(self) -> float:
        """The server's processor time for each request."""
        return self.cpu_seconds / self.requests * 1e6 if self.requests else 0.0


class Served:
    """A server that is measured; a context manager."""

    name = ""
    url = ""
    pid = 0

    def load(
        self, traffic: Traffic, seconds: float, latency: float = 0.0, requests: int = 0
    ) -> Window:
        """Send one window of load and wait until nothing of it is left.

        `requests`, if given, end it early.
        """
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server."""

    def cpu_seconds(self) -> float:
        """Return the processor time that the server's process has used so far."""
        return cpu_seconds(self.pid)


class Sandboxed(Served):
    """A server in a sandbox that prints nothing; the load is sent to the container's port."""

    def __init__(
        self,
        name: str,
        script: Path | None = None,
        replaceable: bool = False,
        params: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.script = script
        self.replaceable = replaceable
        self.params = {**PARAMS, **(params or {})}

    def __enter__(self) -> Self:
        self.sandbox = Sandbox(
            self.params, store=":memory:", script=self.script, quiet=True, wait=START_SECONDS
        )
        self.sandbox.start()
        self.url, self.pid = self.sandbox.container_url, self.sandbox.pid
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.set_latency(0.0)
        self.sandbox.stop(grace=2.0)

    def set_latency(self, seconds: float) -> None:
        """Set createIncidents' latency from now on."""
        self.sandbox.faults.latency = {"createIncidents": seconds} if seconds else {}

    def load(
        self, traffic: Traffic, seconds: float, latency: float = 0.0, requests: int = 0
    ) -> Window:
        """Send one window of load and wait until nothing of it is left; forget what was created."""
        self.set_latency(latency)
        calls, first, cpu, pid = (
            Counter(self.sandbox.calls),
            len(self.sandbox.batches),
            self.cpu_seconds(),
            self.pid,
        )
        batches = self.sandbox.batches
        try:
            load = send(
                f"{self.url}/",
                traffic,
                seconds,
                reached(batches, first, requests) if requests else None,
            )
            # These are the window's own calls, before the rest of the last requests.
            spent = Counter(self.sandbox.calls)
            spent.subtract(calls)
            within = batches[first:]
        finally:
            self.set_latency(0.0)
            self.drain()
        replaced = pid != self.pid  # the processor time went with the old process
        return Window(
            load,
            +spent,
            within,
            0.0 if replaced else self.cpu_seconds() - cpu,
            sum(batches[first:]),
        )

    def drain(self) -> float:
        """Wait until the load's rest is done, forget what was created; return the seconds.

        Raises LoadError if that takes more than DRAIN_SECONDS, or replaces a replaceable sandbox by
        a new one: a call that is still in progress in the old one may bring back what was
        forgotten.
        """
        started = time.monotonic()
        while not self.is_idle():
            if time.monotonic() - started > DRAIN_SECONDS:
                if not self.replaceable:
                    raise LoadError(
                        f"{self.name} is still busy {DRAIN_SECONDS:.0f} s after the load's end."
                    )
                self.sandbox.kill()
                self.sandbox.stop()
                self.__enter__()
                break
        self.sandbox.reset()
        return time.monotonic() - started

    def is_idle(self) -> bool:
        """Return whether the server is idle for a moment and then answers a GET at once."""
        created, spent = self.sandbox.calls["createIncidents"], self.cpu_seconds()
        time.sleep(0.3)
        if self.sandbox.calls["createIncidents"] != created or self.cpu_seconds() - spent > 0.05:
            return False
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            connection(self.url, timeout=1.0) as client,
        ):
            return request(client, "GET", "/health")[0] == 200
        return False

    def resident_kib(self) -> int:
        """Return the container process's resident memory in KiB."""
        for line in Path(f"/proc/{self.sandbox.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise LoadError("The container's memory cannot be read: /proc has no VmRSS.")


class Bare(Served):
    """bare.py as a process of its own."""

    def __init__(self, name: str = "bare pywsgi", tls: bool = False) -> None:
        self.name = name
        self.tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        port = free_port()
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{port}"
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        pair = [str(pem_file(folder, certificate().params))] if self.tls else []
        self._process = subprocess.Popen([sys.executable, str(HERE / "bare.py"), str(port), *pair])
        self.pid = self._process.pid
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
                return self
            time.sleep(0.05)
        self.__exit__(None, None, None)
        raise LoadError("The bare pywsgi did not start.")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def load(
        self, traffic: Traffic, seconds: float, latency: float = 0.0, requests: int = 0
    ) -> Window:
        """Send one window of load.

        There are no calls to XSOAR, and nothing counts requests, so it takes the whole window.
        """
        cpu = self.cpu_seconds()
        load = send(f"{self.url}/", traffic, seconds)
        return Window(load, Counter(), [], self.cpu_seconds() - cpu, load.requests + load.before)


def reached(batches: list[int], first: int, requests: int) -> Callable[[], bool]:
    """Return a function that returns whether `requests` incidents were created since a call."""
    return lambda: sum(batches[first:]) >= requests


def cpu_seconds(pid: int) -> float:
    """Return a process's processor time so far, threads included; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    # These fields are the user and system time, see proc(5).
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ours() -> Sandboxed:
    """Return the integration, not yet started."""
    return Sandboxed("the integration")


def ours_each() -> Sandboxed:
    """Return the integration as the form's defaults make it, but with an incident for each event.

    The same deliveries, again and again, would else be repetitions of the first ones' alerts.
    """
    return Sandboxed(
        "the integration, an incident for each event",
        params={"alert_updates": "Incident for each event"},
    )


def ours_by_tls() -> Sandboxed:
    """Return the integration with a certificate, not yet started."""
    return Sandboxed("the integration, TLS", params=dict(certificate().params))


def peer() -> Sandboxed:
    """Return the peer pattern, not yet started."""
    # Samples of 5 MB would keep it busy for minutes.
    return Sandboxed("peer pattern", PEER, replaceable=True)


def version(name: str, code: Path, folder: Path) -> Sandboxed:
    """Return another version of the integration, not yet started.

    Its descriptor is the one next to it, or else today's.
    """
    script = folder / code.name
    shutil.copy(code, script)
    descriptor = code.with_suffix(".yml")
    shutil.copy(
        descriptor if descriptor.exists() else INTEGRATION.with_suffix(".yml"),
        script.with_suffix(".yml"),
    )
    return Sandboxed(name, script)


# ---- single requests whose time is measured


@contextlib.contextmanager
def connection(url: str, timeout: float = 30.0) -> Iterator[http.client.HTTPConnection]:
    """Open a connection that is kept alive until the block ends."""
    scheme, _, place = url.partition("://")
    host, _, port = place.partition(":")
    if scheme == "https":
        client: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, int(port), timeout=timeout, context=unverified()
        )
    else:
        client = http.client.HTTPConnection(host, int(port), timeout=timeout)
    try:
        client.connect()
        # http.client sends headers and body separately.
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client
    finally:
        client.close()


def request(
    client: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
) -> tuple[int, float]:
    """Send one request and return its status and how many seconds its answer took."""
    started = time.perf_counter()
    client.request(method, path, body, HEADERS)
    response = client.getresponse()
    response.read()
    return response.status, time.perf_counter() - started
