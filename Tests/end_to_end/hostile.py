"""A sender that breaks the rules, and measures of the damage; shared by several tests."""

import contextlib
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import trustme

from Tests.end_to_end.sender import PACK, PYTHON, Answer
from Tests.end_to_end.watcher import Moment, caused
from Tests.sandbox import Sandbox

KIB = 1024
MIB = 1024 * KIB
GET = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


# ---- sandboxes


def shell_limited(folder: Path, limit: str) -> str:
    """Return an interpreter that runs ours under a limit of `ulimit`, such as `-n 160`."""
    wrapper = folder / "limited-python"
    # Coverage is off there: its report would complain about files that it cannot write whole.
    wrapper.write_text(
        f'#!/bin/sh\nunset COVERAGE_PROCESS_CONFIG\nulimit {limit}\nexec "{sys.executable}" "$@"\n'
    )
    wrapper.chmod(0o755)
    return str(wrapper)


@contextlib.contextmanager
def sandboxed(**arguments: Any) -> Iterator[Sandbox]:
    """Run a sandbox; afterwards the connection to XSOAR must be unbroken and stderr empty.

    Nothing that a sender does may appear on stderr.
    """
    if "script" not in arguments:
        arguments["pack"] = PACK
    with Sandbox(**{"python": PYTHON, **arguments}) as sandbox:
        yield sandbox
    assert not sandbox.protocol_errors
    assert not sandbox.stderr


def unread_bytes(sandbox: Sandbox) -> int:
    """Return how many bytes are between senders and the container: sent, and not read by it."""
    port = f":{port_of(sandbox):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    waiting = 0
    for _, local, remote, _, queues, *_ in rows:
        sent, received = (int(size, 16) for size in queues.split(":"))
        waiting += sent if remote.endswith(port) else 0
        waiting += received if local.endswith(port) else 0
    return waiting


def port_of(sandbox: Sandbox) -> int:
    """Return the port on which the container itself listens.

    The reroute would correct malformed requests.
    """
    assert sandbox.container_port
    return sandbox.container_port


# ---- one connection


def connect(sandbox: Sandbox, timeout: float = 10.0) -> socket.socket:
    """Return a new connection to the container."""
    return socket.create_connection(("127.0.0.1", port_of(sandbox)), timeout=timeout)


def post(
    body: bytes = b"{}", *headers: bytes, target: bytes = b"/", length: int | None = None
) -> bytes:
    """Return the bytes of a POST with a Content-Length, by default the body's."""
    size = len(body) if length is None else length
    lines = [
        b"POST %b HTTP/1.1" % target,
        b"Host: a",
        b"Content-Length: %d" % size,
        *headers,
        b"",
        b"",
    ]
    return b"\r\n".join(lines) + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """Return the bytes of a POST whose body consists of these chunks."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def read_answer(connection: socket.socket, method: str = "POST") -> Answer | None:
    """Read exactly one answer; None if the connection ends or breaks before it begins."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        try:
            byte = connection.recv(1)
        except ConnectionError:
            byte = b""
        if not byte:
            assert not head, f"an answer cut short: {head!r}"
            return None
        head += byte
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    left = int(headers.get("content-length", 0)) if method != "HEAD" else 0
    body = b""
    while len(body) < left:
        piece = connection.recv(left - len(body))
        assert piece, "an answer's body cut short"
        body += piece
    return Answer(int(first.split()[1]), headers, body)


def answers_to(
    sandbox: Sandbox, data: bytes, half_close: bool = False, timeout: float = 5.0
) -> list[Answer]:
    """Send bytes on a new connection and return all answers up to its end.

    Raises TimeoutError if the connection stays open.
    """
    with connect(sandbox, timeout) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        return list(iter(lambda: read_answer(connection), None))


def ask(sandbox: Sandbox, data: bytes = GET, timeout: float = 20.0) -> Answer:
    """Send a request on a new connection and return its answer."""
    with connect(sandbox, timeout) as connection:
        connection.sendall(data)
        answer = read_answer(connection)
        assert answer is not None, "the connection was closed without an answer"
        return answer


def ended(connection: socket.socket, seconds: float) -> bool:
    """Return whether the other side closes a connection within `seconds`; discard what it sends."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        connection.settimeout(max(left, 0.001))
        try:
            if not connection.recv(65536):
                return True
        except TimeoutError:
            return False
        except OSError:
            return True
    return False


# ---- many of them


def in_parallel(functions: list[Callable[[], Any]], seconds: float = 60.0) -> list[Any]:
    """Run functions in a thread each and return their results; raise the first exception of one."""
    results: list[Any] = [None] * len(functions)
    errors: list[BaseException] = []

    def run(place: int, function: Callable[[], Any]) -> None:
        try:
            results[place] = function()
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=run, args=item, daemon=True) for item in enumerate(functions)
    ]
    until = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0))
        assert not thread.is_alive(), f"not done within {seconds} s"
    if errors:
        raise errors[0]
    return results


def seconds_of(sandbox: Sandbox) -> Callable[[], float]:
    """Return a function that returns how many seconds from now the container is the cause of.

    Where it may take a certain time at most, what other processes take does not count.
    """
    before = Moment(sandbox.pid)
    return lambda: caused(before, Moment(sandbox.pid))


@contextlib.contextmanager
def watching(sandbox: Sandbox) -> Iterator[list[float]]:
    """Request the health every 20 ms, from a process of its own.

    In the end the list holds the longest time in seconds that the container took for an answer: a
    stall of the whole process shows here.
    """
    script = str(Path(__file__).with_name("watcher.py"))
    command = [sys.executable, script, str(sandbox.container_port), str(sandbox.pid)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as watcher:
        assert watcher.stdin and watcher.stdout and watcher.stdout.readline() == "ready\n"
        longest: list[float] = []
        try:
            yield longest
        finally:
            watcher.stdin.close()
            longest.append(float(watcher.stdout.read()))


def memory_mib(sandbox: Sandbox, peak: bool = False) -> float:
    """Return the container's resident memory in MiB, now or at its highest."""
    status = Path(f"/proc/{sandbox.pid}/status").read_text()
    found = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / KIB


def descriptors(sandbox: Sandbox) -> int:
    """Return how many files and sockets the container holds open."""
    return sum(1 for _ in Path(f"/proc/{sandbox.pid}/fd").iterdir())


# ---- TLS


class Pair(NamedTuple):
    """A certificate and key as the instance's parameters, and a client's context that trusts it."""

    params: Mapping[str, str]
    trusting: ssl.SSLContext


def certificate(valid_for: timedelta = timedelta(days=90)) -> Pair:
    """Return a certificate for 127.0.0.1 from our own CA that expires after `valid_for`."""
    authority = trustme.CA()
    now = datetime.now(UTC)
    issued = authority.issue_cert(
        "127.0.0.1", not_before=now - timedelta(days=400), not_after=now + valid_for
    )
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems).decode()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return Pair({"certificate": chain, "key": issued.private_key_pem.bytes().decode()}, trusting)
