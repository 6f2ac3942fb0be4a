"""Bytes on a socket: hypothesis makes nearly correct requests, and the server must survive."""

import contextlib
import json
import random
import socket
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from Tests.end_to_end.hostile import ask, connect, memory_mib
from Tests.end_to_end.sender import Answer
from Tests.sandbox import Sandbox

VARIANTS = 9  # of each input by plain mutation, which is ten times as fast
ROUND = 5000  # hypothesis remembers what it tried: rounds keep its own memory small
HANG_SECONDS = 5.0
MEMORY_MIB = 300.0
CALM = {200, *range(400, 432), 502, 503}
INTERIM = 100

METHODS = st.sampled_from([*b"POST POST POST GET HEAD PUT OPTIONS post PRI".split(), b"", b"P\0ST"])
TARGETS = st.one_of(
    st.sampled_from(
        [*b"/ / / /health * http://a/ // /?a=1&a=2 /%2e%2e/ /%ff /?%".split(), b"/\xe9", b""]
    ),
    st.binary(max_size=20),
)
VERSIONS = st.sampled_from(
    [*[b"HTTP/1.1"] * 6, b"HTTP/1.0", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/1.", b"", b"http/1.1"]
)
TYPES = (
    *b"application/json application/x-www-form-urlencoded application/x-ndjson".split(),
    *b"application/cloudevents+json text/xml".split(),
    *(
        b"text/plain; charset=" + charset
        for charset in b"utf-16 \xff shift_jis utf-7 idna zlib us-ascii".split()
    ),
    b"multipart/form-data; boundary=x",
    b"multipart/form-data",
    b"application/json; charset=utf-16",
    b"a; b*0=c; b*1=d",
    b'x; y="',
)
NAMES = st.sampled_from(
    [
        *b"Content-Type Content-Encoding Authorization Expect Connection".split(),
        *b"X-A Cookie Transfer-Encoding Content-Length".split(),
        *b"Host Accept Upgrade Forwarded".split(),
        *(b"X\0", b" X", b"X ", b""),
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        [
            *TYPES,
            *b"gzip deflate br chunked 100-continue close keep-alive identity".split(),
            *b"0 5 -1 99999999999 h2c utf-8''%e2".split(),
            *(b"", b"Basic dTpw"),
        ]
    ),
    st.binary(max_size=30),
)
FIELDS = st.sampled_from(
    [
        "name",
        "type",
        "occurred",
        "raw_json",
        "rawJson",
        "severity",
        "labels",
        "details",
        "customFields",
    ]
)
JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(
                st.sampled_from(
                    [
                        "name",
                        "type",
                        "occurred",
                        "raw_json",
                        "rawJson",
                        "severity",
                        "labels",
                        "details",
                        "customFields",
                    ]
                ),
                st.text(max_size=5),
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)
DATES = st.sampled_from(
    [
        *("2024-05-01T12:00:00Z", "2024-W01", "20240501", "T", "2024-05-01T12:00:00.1+00:00:01"),
        *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:60-23:59"),
    ]
)
ENVELOPES = st.fixed_dictionaries(
    {"raw_json": JSON_VALUES},
    optional={
        "name": JSON_VALUES,
        "occurred": st.one_of(DATES, JSON_VALUES),
        "severity": JSON_VALUES,
        "labels": JSON_VALUES,
        "customFields": JSON_VALUES,
        "details": JSON_VALUES,
        "type": JSON_VALUES,
        "owner": JSON_VALUES,
    },
)
PART = (
    b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n'
    b"Content-Type: text/plain\r\n\r\n1\r\n--x--\r\n"
)
BODIES = st.one_of(
    st.one_of(JSON_VALUES, ENVELOPES).map(lambda value: json.dumps(value).encode()),
    st.one_of(JSON_VALUES, ENVELOPES).map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=60),
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(
        [
            PART,
            b"a=1&b=%ff&a",
            b'{"a":1}\n{"b":2}\n',
            b"\xff\xfe{\0}\0",
            b"<a/>",
            b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
        ]
    ),
    st.sampled_from(
        [b"[" * 300, b'payload={"a":1}', b'{"a": 1e999}', b'"\\ud800"', b'{"a": NaN}', b"9" * 400]
    ),
)


@st.composite
def whole(draw: st.DrawFn) -> bytes:
    """Return the bytes of a request with correct framing, so that its content is what is tested."""
    body = draw(BODIES)
    query = draw(st.sampled_from([b"", b"", b"?a=1&b=%ff", b"?a&a&a=2", b"?%00=%0d%0a"]))
    headers = [b"Content-Length: %d" % len(body), b"Content-Type: " + draw(st.sampled_from(TYPES))]
    if draw(st.integers(0, 5)) == 0:
        headers.append(
            b"Content-Encoding: " + draw(st.sampled_from([b"gzip", b"deflate", b"br", b"identity"]))
        )
    return b"\r\n".join([b"POST /" + query + b" HTTP/1.1", b"Host: a", *headers, b"", b""]) + body


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return the bytes of one request, whole or with something wrong with it."""
    body = draw(BODIES)
    headers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=4))
    framing = draw(st.sampled_from(["length", "length", "length", "chunks", "none", "wrong"]))
    if framing == "length":
        headers.append((b"Content-Length", b"%d" % len(body)))
    elif framing == "wrong":
        headers.append((b"Content-Length", b"%d" % draw(st.integers(-2, 100))))
    elif framing == "chunks":
        headers.append((b"Transfer-Encoding", b"chunked"))
        size = draw(
            st.one_of(
                st.just(b"%x" % len(body)),
                st.sampled_from([b"g", b"0", b"", b"ffffffff", b"5;a=b", b"-1"]),
            )
        )
        body = (
            size
            + b"\r\n"
            + body
            + b"\r\n0\r\n"
            + draw(st.sampled_from([b"\r\n", b"A: b\r\n\r\n", b"", b" x\r\n\r\n"]))
        )
    end = draw(st.sampled_from([b"\r\n"] * 8 + [b"\n", b"\r", b"\r\n ", b"\0\r\n"]))
    first = b" ".join((draw(METHODS), draw(TARGETS), draw(VERSIONS)))
    return end.join([first, *(name + b": " + value for name, value in headers), b"", b""]) + body


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return one or two requests in which bytes were cut, doubled or replaced."""
    data = b"".join(draw(st.lists(st.one_of(requests(), whole()), min_size=1, max_size=2)))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 8))
        data = (
            data[:place]
            + draw(st.one_of(st.binary(max_size=6), st.just(data[place : place + length] * 2)))
            + data[place + length :]
        )
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 2)) == 0 else data


BODY_SPICES = b'{}[]",:\\u0d8Z-.eE &=%+\r\n\0\x1b\x80\xc3\xff'
SPICES = (
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\0",
    b"\xff",
    b":",
    b" ",
    b"%",
    b"{",
    b"[",
    b'"',
    b"0\r\n\r\n",
    b"POST / HTTP/1.1\r\n",
)
INPUTS = st.one_of(whole(), whole(), requests(), mutated(), st.binary(max_size=200))


def variants(data: bytes) -> Iterator[bytes]:
    """Yield the input, and some more with a few bytes changed, always the same ones."""
    yield data
    chance = random.Random(zlib.crc32(data))
    body = data.find(b"\r\n\r\n") + 4
    for number in range(VARIANTS):
        changed = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            # Within the body and of the same length: the framing stays right.
            if number % 2 and 3 < body < len(data):
                changed[chance.randrange(body, len(data))] = chance.choice(BODY_SPICES)
                continue
            place = chance.randint(0, len(changed))
            changed[place : place + chance.choice((0, 0, 1, 1, 4, 30))] = chance.choice(
                (b"", chance.randbytes(1), chance.choice(SPICES), changed[place : place + 5] * 2)
            )
        yield bytes(changed)


def parse_answers(data: bytes) -> list[int]:
    """Return the status of each answer in a stream; ValueError unless all are whole and ours."""
    statuses = []
    while data:
        head, blank, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        version, status, _ = first.split(" ", 2)
        if not blank or version != "HTTP/1.1":
            raise ValueError("no head")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        if int(status) == INTERIM:
            data = rest
            continue
        # A length of 0 is the answer to a HEAD.
        length = 0 if not rest or rest.startswith(b"HTTP/1.1 ") else int(headers["content-length"])
        if length:
            value = Answer(int(status), headers, rest[:length]).json
            if int(status) != 200 and list(value) != ["error"]:
                raise ValueError("no error in JSON")
        data = rest[length:]
        statuses.append(int(status))
    return statuses


def exchange(sandbox: Sandbox, data: bytes) -> bytes:
    """Send bytes and the stream's end; return all answers; TimeoutError if that takes too long."""
    back = b""
    with connect(sandbox, timeout=HANG_SECONDS) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(65536):
            back += piece
    return back


class Fuzz:
    """A number of inputs against one sandbox, in rounds."""

    def __init__(
        self, sandbox: Sandbox, inputs: int, start: int, say: Callable[[str], None]
    ) -> None:
        self.statuses: Counter[int] = Counter()
        self.sent = 0
        self.slowest = 0.0
        self._sandbox, self._inputs, self._start, self._say = sandbox, inputs, start, say

    def run(self) -> list[str]:
        """Run the rounds until the first failure, report progress, and return what went wrong."""
        started = said = time.monotonic()
        for number in range(-(-self._inputs // ROUND)):
            try:
                self._round(min(ROUND, self._inputs - number * ROUND), self._start + number)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                notes = " ".join(getattr(error, "__notes__", []))
                return [
                    f"seed {self._start + number}: {type(error).__name__}: {error} {notes}"[:3000]
                ]
            if wrong := self._look():
                return [f"seed {self._start + number}: {text}" for text in wrong]
            self._sandbox.reset()
            if time.monotonic() - said > 10 or self.sent >= self._inputs:
                said = time.monotonic()
                rate = self.sent / (said - started)
                self._say(
                    f"{self.sent} of {self._inputs} inputs, {rate:.0f}/s, "
                    f"memory {memory_mib(self._sandbox):.0f} MiB"
                )
        return []

    def _round(self, count: int, start: int) -> None:
        @seed(start)
        @settings(
            max_examples=-(-count // (VARIANTS + 1)),
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        )
        @given(INPUTS)
        def calm(data: bytes) -> None:
            for variant in variants(data):
                before = time.monotonic()
                statuses = parse_answers(exchange(self._sandbox, variant))
                self.slowest = max(self.slowest, time.monotonic() - before)
                self.sent += 1
                self.statuses.update(statuses)
                assert set(statuses) <= CALM, (variant, statuses)

        calm()

    def _look(self) -> list[str]:
        sandbox = self._sandbox
        if sandbox.exited:
            return [f"the process ended: {sandbox.stderr[-5:]}"]
        wrong = [f"stderr: {line}" for line in sandbox.stderr[:5]]
        wrong += [f"protocol: {line}" for line in sandbox.protocol_errors[:5]]
        wrong += [
            f"log: {text[:300]}"
            for level, text in sandbox.logs
            if level not in ("info", "debug")
            and "Deliveries from 127.0.0.1 are refused" not in text
        ][:5]
        if memory_mib(sandbox) > MEMORY_MIB:
            wrong.append(f"memory: {memory_mib(sandbox):.0f} MiB")
        if ask(sandbox).status != 200:
            wrong.append("the health check fails")
        return wrong

    def figures(self) -> list[str]:
        """Return the results, a line each."""
        counts = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        return [
            f"fuzzed inputs: {self.sent} (answers: {counts})",
            f"slowest of them: {self.slowest:.2f} s",
        ]
