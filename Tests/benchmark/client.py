"""A load generator that opens a new connection for each request, with resumed TLS sessions.

It also replaces wrk if that is not installed. wrk resumes no session, and counts it as an error
that pywsgi closes a connection without announcing it. Run it as `python client.py ORDER`, where
ORDER is JSON as load.py writes it; SIGINT ends it early. TLS runs in memory, so that a flight of
records is one system call.
"""

import contextlib
import itertools
import json
import select
import signal
import socket
import ssl
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHUNK_BYTES = 65_536
WARM_SECONDS = (
    20.0  # at most, before the window: until each sender was answered once and has a session
)
PLACE = b"@request-id@"
Steps = Generator[None, None, None]  # stops where it waits until its connection is readable
Received = Generator[None, None, bytes]


class Connection:
    """A connection, with TLS if there is a context for it; `session` is what to resume."""

    def __init__(
        self, address: tuple[str, int], tls: ssl.SSLContext | None, session: ssl.SSLSession | None
    ) -> None:
        # On one machine neither connecting nor sending blocks for long.
        self.socket = socket.create_connection(address)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (
            tls.wrap_bio(self._in, self._out, server_hostname=address[0], session=session)
            if tls
            else None
        )

    def shake_hands(self) -> Steps:
        """Bring up TLS, if any; what is left to send is sent with the first request."""
        while self.tls is not None:
            try:
                self.tls.do_handshake()
                return
            except ssl.SSLWantReadError:
                self.socket.sendall(self._out.read())
                self._in.write((yield from self._received()))

    def send(self, data: bytes) -> None:
        """Send a request."""
        if self.tls is not None:
            self.tls.write(data)
            data = self._out.read()
        self.socket.sendall(data)

    def receive(self) -> Received:
        """Return what arrived next, which in TLS 1.3 may include a session's tickets."""
        while self.tls is not None:
            with contextlib.suppress(ssl.SSLWantReadError):
                return self.tls.read(CHUNK_BYTES)
            self._in.write((yield from self._received()))
        return (yield from self._received())

    def _received(self) -> Received:
        yield
        data = self.socket.recv(CHUNK_BYTES)
        if not data:
            raise ConnectionResetError(
                "The server closed the connection before its answer was complete."
            )
        return data

    def read_answer(self) -> Generator[None, None, int]:
        """Read one answer, which has a Content-Length, and return its status."""
        data = yield from self.receive()
        while b"\r\n\r\n" not in data:
            data += yield from self.receive()
        head, _, body = data.partition(b"\r\n\r\n")
        left = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]) - len(body)
        while left > 0:
            left -= len((yield from self.receive()))
        return int(head.split(b" ", 2)[1])


class Client:
    """Sends what an order asks for and counts the results."""

    def __init__(self, order: dict[str, Any]) -> None:
        parts = urlsplit(order["url"])
        self.address = (parts.hostname or "", parts.port or 0)
        self.tls = unverified() if parts.scheme == "https" else None
        self.closing: bool = order["closing"]
        self.before, _, self.after = request_of(order, parts.path or "/").partition(PLACE)
        self.numbers: Iterator[int] | None = itertools.count() if order["distinct"] else None
        self.senders: list[Steps] = []
        self.before_window = 0  # requests
        self.poll = select.epoll()
        self.waiting: dict[int, int] = {}  # descriptor: number of its sender
        self.warm: set[int] = set()  # numbers of the senders that were answered
        self.latencies: list[float] = []  # seconds
        self.resumed = self.refused = self.broken = 0
        self.started = self.cpu_started = 0.0

    def forget(self) -> None:
        """Begin a window: only the number of earlier requests is kept."""
        self.before_window = len(self.latencies)
        self.latencies = []
        self.resumed = self.refused = self.broken = 0
        self.started, self.cpu_started = time.perf_counter(), time.process_time()

    def run(self, connections: int, seconds: float) -> None:
        """Send until every sender is warm, then for a window."""
        self.senders = [self.sender(number) for number in range(connections)]
        for steps in self.senders:
            next(steps)
        self.go_on(WARM_SECONDS, lambda: len(self.warm) == connections)
        self.forget()
        self.go_on(seconds, lambda: False)

    def go_on(self, seconds: float, enough: Any) -> None:
        """Let the senders send for `seconds`, or until there are enough requests."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until and not enough():
            for descriptor, _ in self.poll.poll(0.1):
                next(self.senders[self.waiting[descriptor]])

    def sender(self, number: int) -> Steps:
        """Send one request after the other, each on its own connection if the order says so."""
        session: ssl.SSLSession | None = None
        while True:
            started = time.perf_counter()
            # A server that is not there ends this process.
            connection = self.connect(number, session)
            try:
                session = yield from self.exchange(number, connection, session, started)
            except OSError:
                self.broken += 1

    def connect(self, number: int, session: ssl.SSLSession | None) -> Connection:
        """Open a sender's connection."""
        connection = Connection(self.address, self.tls, session)
        self.waiting[connection.socket.fileno()] = number
        self.poll.register(connection.socket, select.EPOLLIN)
        return connection

    def exchange(
        self, number: int, connection: Connection, session: ssl.SSLSession | None, started: float
    ) -> Generator[None, None, ssl.SSLSession | None]:
        """Send requests on a connection until it is to be closed; return a session to resume."""
        with contextlib.closing(connection.socket):
            yield from connection.shake_hands()
            while True:
                connection.send(self.request())
                status = yield from connection.read_answer()
                self.count(time.perf_counter() - started, status, connection)
                self.warm.add(number)
                if self.closing:
                    return session or resumable(connection)
                started = time.perf_counter()

    def request(self) -> bytes:
        """Return the next request."""
        return (
            self.before
            if self.numbers is None
            else b"%b%010d%b" % (self.before, next(self.numbers), self.after)
        )

    def count(self, seconds: float, status: int, connection: Connection) -> None:
        """Count an answer."""
        self.latencies.append(seconds)
        self.refused += status >= 400
        self.resumed += connection.tls is not None and bool(connection.tls.session_reused)

    def figures(self) -> dict[str, float]:
        """Return the window's figures, as load.py reads them."""
        seconds, cpu = time.perf_counter() - self.started, time.process_time() - self.cpu_started
        ordered = sorted(self.latencies) or [0.0]
        p50, p99 = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99))
        counts = {
            "requests": len(self.latencies),
            "resumed": self.resumed,
            "refused": self.refused,
            "broken": self.broken,
        }
        return {
            "seconds": seconds,
            "p50": p50,
            "p99": p99,
            "slowest": ordered[-1],
            "cpu_seconds": cpu,
            **counts,
            "before": self.before_window,
        }


def resumable(connection: Connection) -> ssl.SSLSession | None:
    """Return a connection's session if it has a ticket.

    Getting it costs more than a handshake, so this is done once per sender.
    """
    session = connection.tls.session if connection.tls is not None else None
    return session if session is not None and session.has_ticket else None


def request_of(order: dict[str, Any], path: str) -> bytes:
    """Return an order's request, with PLACE for a request ID of its own."""
    body = Path(order["body"]).read_bytes()
    headers = {
        "Host": urlsplit(order["url"]).netloc,
        **order["headers"],
        "Content-Length": str(len(body)),
    }
    if order["distinct"]:
        headers["X-Request-Id"] = f"request-{PLACE.decode()}"
    lines = [
        f"{order['method']} {path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def unverified() -> ssl.SSLContext:
    """Return a client's context that accepts any certificate: the load stays on this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def main() -> None:
    """Send for the order's seconds, or until SIGINT; print the figures as a line of JSON."""
    order = json.loads(sys.argv[1])
    client = Client(order)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        client.run(order["connections"], order["seconds"])
    print(json.dumps(client.figures()))


if __name__ == "__main__":
    main()
