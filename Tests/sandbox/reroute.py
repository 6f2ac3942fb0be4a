"""The server's HTTP front: streams requests for an instance to the container's port and back.

It serves /instance/execute/<instance>[/path]. If the server has pages on their own port, every
other path is forwarded to that port unchanged.
"""

import contextlib
import json
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from io import BufferedReader
from typing import NamedTuple
from urllib.parse import unquote

PREFIX = "/instance/execute/"
PIECE = 64 * 1024  # bytes moved at a time: a body is never held whole
OBSERVED_BYTES = 64 * 1024  # of a body and of an answer for the observer, unless it wants more
LINE_BYTES = 1024 * 1024  # Go's limit for a request's head
DRAIN_SECONDS = (
    2.0  # how long an early answer (401, 413) has to reach a sender that is still sending
)
# RFC 9110, section 7.6.1, and the two older names that proxies drop as well
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
Headers = list[tuple[str, str]]


class BadMessageError(Exception):
    """A request or an answer whose framing cannot be followed."""


# ---- messages


@dataclass
class Head:
    """The first line and the headers of a request or an answer."""

    first: list[str]
    headers: Headers

    def values(self, name: str) -> list[str]:
        """Return the values of a header, with the members of a list separated."""
        found = (value for key, value in self.headers if key.lower() == name)
        return [member.strip() for value in found for member in value.split(",") if member.strip()]

    def end_to_end(self) -> Headers:
        """Return the headers that are not only for this connection."""
        dropped = (
            HOP_BY_HOP | {name.lower() for name in self.values("connection")} | {"content-length"}
        )
        return [(name, value) for name, value in self.headers if name.lower() not in dropped]

    def length(self) -> int | None:
        """Return the body's length, None if it is chunked or undeclared.

        Raises BadMessageError for anything ambiguous.
        """
        lengths, codings = (
            set(self.values("content-length")),
            [coding.lower() for coding in self.values("transfer-encoding")],
        )
        if codings and (lengths or codings != ["chunked"]):
            raise BadMessageError("ambiguous framing")
        if not lengths:
            return None
        text = lengths.pop()
        if lengths or not re.fullmatch(r"[0-9]{1,18}", text):
            raise BadMessageError("an invalid Content-Length")
        return int(text)

    @property
    def status(self) -> int:
        """The status of an answer; 0 if the first line has none."""
        return (
            int(self.first[1])
            if len(self.first) > 1 and re.fullmatch(r"[1-9][0-9]{2}", self.first[1])
            else 0
        )

    @property
    def chunked(self) -> bool:
        """Whether the body is chunked."""
        return bool(self.values("transfer-encoding"))


def read_head(stream: BufferedReader) -> Head | None:
    """Read a head; None if the other side closed instead."""
    first = read_line(stream)
    if not first:
        return None
    headers: Headers = []
    left = LINE_BYTES
    while line := read_line(stream, left):
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadMessageError("a header without a name")
        headers.append((name, value.strip()))
        left -= len(line)
    return Head(first.split(" ", 2), headers)


def read_line(stream: BufferedReader, limit: int = LINE_BYTES) -> str:
    """Read a line without its end; '' for an empty one and for the end of the stream."""
    line = stream.readline(max(limit, 1))
    if line and not line.endswith(b"\n"):
        raise BadMessageError("a line without an end")
    return line.rstrip(b"\r\n").decode("latin-1")


def read_exactly(stream: BufferedReader, size: int) -> Iterator[bytes]:
    """Yield `size` bytes as they arrive."""
    while size > 0:
        piece = stream.read1(min(size, PIECE))
        if not piece:
            raise BadMessageError("an incomplete body")
        size -= len(piece)
        yield piece


def local_path(target: str) -> str:
    """Return path and query string of a request's target, which may also name the server."""
    return re.sub(r"^https?://[^/?]*", "", target, flags=re.IGNORECASE)


def read_chunks(stream: BufferedReader) -> Iterator[bytes]:
    """Yield the content of a chunked body as it arrives; trailers are dropped."""
    while True:
        size = read_line(stream).partition(";")[0].strip()
        if not re.fullmatch(r"[0-9A-Fa-f]{1,15}", size):
            raise BadMessageError("a chunk without a size")
        if int(size, 16) == 0:
            while read_line(stream):
                pass
            return
        yield from read_exactly(stream, int(size, 16))
        if read_line(stream):
            raise BadMessageError("a chunk longer than its size")


def read_rest(stream: BufferedReader) -> Iterator[bytes]:
    """Yield everything up to the end of the stream."""
    while piece := stream.read1(PIECE):
        yield piece


def write_head(first: str, headers: Headers) -> bytes:
    """Return a head as bytes."""
    lines = [first, *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def as_chunk(piece: bytes) -> bytes:
    """Return a piece of content as one chunk."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


# ---- the life of one request


class Upload(threading.Thread):
    """Sends the request's body to the container, whose answer may already be arriving."""

    def __init__(
        self,
        head: Head,
        length: int | None,
        client: BufferedReader,
        container: socket.socket,
        observed_bytes: int,
    ) -> None:
        super().__init__(daemon=True, name="reroute-upload")
        # Once the body was read to its end, the connection can take another request.
        self.done = not (head.chunked or length)
        self._pieces = read_chunks(client) if head.chunked else read_exactly(client, length or 0)
        self._chunked = head.chunked
        self._container = container

        # for the observer
        self._observed_bytes = observed_bytes
        self.body = bytearray()  # its first `observed_bytes`
        self.size = 0

    def start(self) -> None:
        """Move the body in a thread, if there is a body."""
        if not self.done:
            super().start()

    def finished(self) -> bool:
        """Return whether the body was read to its end.

        The last bytes get a moment, for the answer may have overtaken them.
        """
        if self.is_alive():
            self.join(0.05)
        return self.done

    def run(self) -> None:
        """Move the body; discard the rest once the container takes no more.

        Otherwise the sender would not get to read the answer.
        """
        try:
            for piece in self._pieces:
                if self._observed_bytes:
                    self.size += len(piece)
                    self.body += piece[: max(0, self._observed_bytes - len(self.body))]
                self._send(as_chunk(piece) if self._chunked else piece)
            if self._chunked:
                self._send(b"0\r\n\r\n")
            self.done = True
        except (BadMessageError, OSError, ValueError):
            with contextlib.suppress(OSError):
                # The container sees an incomplete body, as the sender cut it.
                self._container.shutdown(socket.SHUT_WR)

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._container.sendall(data)


class Exchange(NamedTuple):
    """A request as it arrived, and how it was answered."""

    sender: str
    method: str
    path: str
    content_type: str
    begins: bytes  # the body, up to the observer's limit
    status: int
    answer: bytes  # its beginning
    seconds: float
    port: int = 0  # the sender's
    headers: Headers | tuple[()] = ()
    size: int = 0  # of the whole body, in bytes
    answer_headers: Headers | tuple[()] = ()


class Handler(socketserver.StreamRequestHandler):
    """One sender's connection."""

    disable_nagle_algorithm = True
    server: "Reroute"
    rfile: BufferedReader
    _upload: Upload | None
    _answer_head: Head | None

    def handle(self) -> None:
        """Forward requests until either side wants the connection closed."""
        with self.server.tracked(self.connection), contextlib.suppress(OSError, ValueError):
            try:
                while (head := read_head(self.rfile)) and self._forward(head):
                    pass
            except BadMessageError as error:
                self._refuse(HTTPStatus.BAD_REQUEST, f"The request cannot be understood: {error}.")

    def _forward(self, head: Head) -> bool:
        """Forward one request, report it to the observer, and return whether another can follow."""
        self._status, self._answer, self._answer_head, self._upload = 0, bytearray(), None, None
        if len(head.first) != 3 or not head.first[2].startswith("HTTP/1."):
            raise BadMessageError("no HTTP/1 request line")
        path = local_path(head.first[1])
        if self.server.page_port is not None and not path.startswith(PREFIX):
            return self._forward_to(
                self.server.page_port, head, path, "The server's own pages do not answer."
            )
        observe = self.server.observe
        if observe is None:
            return self._forward_to_container(head, path)
        started = time.perf_counter()
        with self.server.counted():
            try:
                return self._forward_to_container(head, path)
            finally:
                observe(self._observed(head, time.perf_counter() - started))

    def _observed(self, head: Head, seconds: float) -> Exchange:
        kind, upload, answer = (
            ", ".join(head.values("content-type")),
            self._upload,
            self._answer_head,
        )
        return Exchange(
            sender=self.client_address[0],
            method=head.first[0],
            path=head.first[1],
            content_type=kind,
            begins=bytes(upload.body) if upload else b"",
            status=self._status,
            answer=bytes(self._answer),
            seconds=seconds,
            port=self.client_address[1],
            headers=head.headers,
            size=upload.size if upload else 0,
            answer_headers=answer.headers if answer else (),
        )

    def _forward_to_container(self, head: Head, path: str) -> bool:
        head.length()  # ambiguous framing is refused before anything else
        route = self.server.route(path)
        if route is None:
            return self._refuse(
                HTTPStatus.NOT_FOUND,
                f"No instance answers here; post to {PREFIX}{self.server.instance}.",
            )
        if self.server.port is None or self.server.tls:
            return self._refuse(HTTPStatus.BAD_GATEWAY, self.server.unreachable())
        return self._forward_to(self.server.port, head, route, self.server.unreachable())

    def _forward_to(self, port: int, head: Head, path: str, unreachable: str) -> bool:
        length = head.length()
        try:
            container = socket.create_connection(("127.0.0.1", port), timeout=10)
        except OSError:
            return self._refuse(HTTPStatus.BAD_GATEWAY, unreachable)
        with container, self.server.tracked(container):
            container.settimeout(None)
            container.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A container that closed at once may still have answered.
            with contextlib.suppress(OSError):
                container.sendall(self._request_head(head, path, length))
            return self._exchange(head, length, container)

    def _request_head(self, head: Head, path: str, length: int | None) -> bytes:
        before = [value for name, value in head.headers if name.lower() == "x-forwarded-for"]
        headers = [
            (name, value) for name, value in head.end_to_end() if name.lower() != "x-forwarded-for"
        ]
        headers.append(("X-Forwarded-For", ", ".join([*before, self.client_address[0]])))
        if head.chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        elif length is not None:
            headers.append(("Content-Length", str(length)))
        return write_head(f"{head.first[0]} {path} HTTP/1.1", [*headers, ("Connection", "close")])

    def _exchange(self, head: Head, length: int | None, container: socket.socket) -> bool:
        """Send the body, relay the answer, and return whether another request can follow."""
        upload = self._upload = Upload(
            head, length, self.rfile, container, self.server.observed_bytes
        )
        upload.start()
        with container.makefile("rb") as stream:
            try:
                reusable = self._relay(head, stream, upload)
            except AnswerMissingError:
                self._send_error(
                    HTTPStatus.BAD_GATEWAY, "The container closed the connection without an answer."
                )
                reusable = False
        if upload.done:
            return reusable and "close" not in [
                option.lower() for option in head.values("connection")
            ]
        self._drain(upload, container)
        return False

    def _drain(self, upload: Upload, container: socket.socket) -> None:
        """Let an early answer arrive.

        Closing with unread data would reset the connection and could destroy the answer.
        """
        with contextlib.suppress(OSError):
            # This ends an upload that is blocked by a container which reads no more.
            container.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
        upload.join(DRAIN_SECONDS)
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        upload.join()  # two threads must not use one stream: the shutdown has woken the upload

    def _relay(self, head: Head, stream: BufferedReader, upload: Upload) -> bool:
        """Relay the answer and any interim ones, and return whether another request can follow."""
        while (answer := self._read_answer(stream)).status < 200:
            self._send_head(answer, [])
        length, persistent = answer.length(), head.first[2] == "HTTP/1.1" and upload.finished()
        closing = [] if persistent else [("Connection", "close")]
        declared = [("Content-Length", str(length))] if length is not None else []
        if head.first[0] == "HEAD" or answer.status in (204, 304):
            self._send_head(answer, declared + closing)
            return persistent
        if length is not None:
            self._send_head(answer, declared + closing)
            return self._copy(read_exactly(stream, length), chunked=False) and persistent
        pieces = read_chunks(stream) if answer.chunked else read_rest(stream)
        # HTTP/1.0 has no chunks: there the end of the connection ends the body.
        chunked = head.first[2] == "HTTP/1.1"
        self._send_head(
            answer, [*closing, ("Transfer-Encoding", "chunked")] if chunked else closing
        )
        return self._copy(pieces, chunked) and persistent

    @staticmethod
    def _read_answer(stream: BufferedReader) -> Head:
        """Read an answer's head; raise AnswerMissingError if there is none."""
        try:
            answer = read_head(stream)
            if answer is None or answer.status == 0:
                raise AnswerMissingError
            answer.length()
        except (BadMessageError, OSError) as error:
            raise AnswerMissingError from error
        return answer

    def _send_head(self, answer: Head, framing: Headers) -> None:
        self._status, self._answer_head = answer.status, answer
        self.connection.sendall(
            write_head(" ".join(["HTTP/1.1", *answer.first[1:]]), [*answer.end_to_end(), *framing])
        )

    def _copy(self, pieces: Iterator[bytes], chunked: bool) -> bool:
        """Copy the answer's body piece by piece; False if the container broke off."""
        try:
            for piece in pieces:
                self._answer += piece[: max(0, self.server.observed_bytes - len(self._answer))]
                self.connection.sendall(as_chunk(piece) if chunked else piece)
        except BadMessageError:
            return False
        if chunked:
            self.connection.sendall(b"0\r\n\r\n")
        return True

    def _send_error(self, status: HTTPStatus, error: str) -> None:
        """Answer in the server's own name."""
        body = json.dumps({"error": error}).encode()
        self._status, self._answer = status.value, bytearray(body)
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        self.connection.sendall(
            write_head(f"HTTP/1.1 {status.value} {status.phrase}", headers) + body
        )

    def _refuse(self, status: HTTPStatus, error: str) -> bool:
        """Answer in the server's own name, and close, because the body was not read."""
        self._send_error(status, error)
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(DRAIN_SECONDS)
            for _ in zip(range(64), iter(lambda: self.connection.recv(PIECE), b""), strict=False):
                pass  # at most 4 MB
        return False


class AnswerMissingError(Exception):
    """The container closed the connection, or did not write HTTP."""


class Reroute(socketserver.ThreadingTCPServer):
    """The front on 127.0.0.1; `port` 0 chooses a free one."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, port: int, instance: str, container_port: int | None, tls: bool) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.instance = instance
        self.port = container_port
        self.tls = tls
        self.page_port: int | None = None  # the port of the server's own pages

        # the observer
        self.observe: Callable[[Exchange], None] | None = None
        self.observed_bytes = 0
        self.in_flight = 0  # the instance's unanswered requests, counted if there is an observer
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.05,), daemon=True, name="reroute"
        )

    def start(self) -> None:
        """Accept connections."""
        self._thread.start()

    def stop(self) -> None:
        """Accept nothing more and cut open connections."""
        self.shutdown()
        self.server_close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def tracked(self, connection: socket.socket) -> Iterator[None]:
        """Remember a connection while it is in use, for `stop`."""
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)

    def set_observer(
        self, observe: Callable[[Exchange], None], most_bytes: int = OBSERVED_BYTES
    ) -> None:
        """Call a function with each exchange from now on.

        most_bytes: how much of a body and of an answer it gets.
        """
        self.observe, self.observed_bytes = observe, most_bytes

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Count a request while it is in progress."""
        with self._lock:
            self.in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                self.in_flight -= 1

    def route(self, target: str) -> str | None:
        """Return the container's path for a request's path; None for another instance's."""
        path, question, query = target.partition("?")
        if not path.startswith(PREFIX):
            return None
        instance, _, rest = path[len(PREFIX) :].partition("/")
        return f"/{rest}{question}{query}" if unquote(instance) == self.instance else None

    def unreachable(self) -> str:
        """Say why the container cannot be reached."""
        if self.tls:
            return (
                "The server's reroute speaks plain HTTP only and this instance has a certificate: "
                "post to its own port by HTTPS."
            )
        if self.port is None:
            return "The instance has no Listen Port: nothing can be rerouted to it."
        return f"The container does not answer on port {self.port}."
