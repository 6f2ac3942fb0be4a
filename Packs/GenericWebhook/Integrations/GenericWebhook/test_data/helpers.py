"""What the unit tests of GenericWebhook.py share: settings, events, parts that a test controls."""

import base64
import contextlib
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import GenericWebhook as webhook
import gevent
import gevent.socket
import pytest

NOW = "2024-05-01T12:00:00.250000Z"
DELIVERY = "0123456789ab"
NO_REQUEST = webhook.RequestContext({}, {})


# ---- settings and events


def settings(**params: Any) -> webhook.Settings:
    """Return the settings for an instance's parameters."""
    return webhook.Settings.from_params({"longRunningPort": "8000", **params})


def credentials(username: str, password: str) -> dict[str, str]:
    return {"identifier": username, "password": password}


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def event_named(name: str, size: int = 0, key: str | None = None) -> webhook.Event:
    """Return the only event of a delivery of its own, with a rawJSON as the integration writes it.

    size: how many bytes it counts, 0 for what it really takes.
    """
    return delivery_of(name, size=size, keys=(key,)).events[0]


def delivery_of(
    *names: str,
    size: int = 0,
    sender: str = "192.0.2.1",
    keys: tuple[str | None, ...] = (),
) -> webhook.Delivery:
    """Return a delivery with an event for each name."""
    delivery_id = webhook.new_delivery_id()
    events = []
    for index, (name, key) in enumerate(zip(names, keys or (None,) * len(names))):
        raw = {"n": name, "headers": {}, "webhook": {"delivery": f"{delivery_id}/{index}"}}
        fields = {
            "name": name,
            "occurred": "2024-05-01T12:00:00Z",
            "rawJSON": webhook.compact_json(raw),
        }
        event = webhook.Event(fields, key, index)
        event.size = size or event.size
        events.append(event)
    delivery = webhook.Delivery(delivery_id, None, events)
    delivery.sender = sender
    return delivery


def await_that(condition: Callable[[], Any], seconds: float = 10) -> None:
    """Let the other greenlets run until something is true."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come true"
        gevent.sleep(0.002)


# ---- parts that a test controls


class RecordingClient(webhook.XsoarClient):
    """A client that calls in the caller's greenlet, or raises what a test has laid out."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = None
        self.failures: list[Exception] = []  # of the next calls
        self.calls = 0
        self.unanswered: list[tuple[str, dict[str, Any]]] = []

    def send_unanswered(self, command: str, args: dict[str, Any]) -> None:
        self.unanswered.append((command, args))

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return super().call(function, *args)

    @property
    def logged(self) -> list[str]:
        """The log lines that wait to be sent."""
        return [text for lines in self._lines.values() for _, text in lines]

    @property
    def problems(self) -> dict[str, str]:
        """What the instance's health shows, by subject."""
        return self._problems


class HeldWriter(webhook.Writer):
    """A writer that settles its events at once, or, where it ``waits``, when a test says so."""

    def __init__(self, client: webhook.XsoarClient) -> None:
        super().__init__(client)
        self.created = 0
        self.taken: list[webhook.Event] = []
        self.later: list[list[webhook.Event]] = []  # by request
        self.waits = False
        self.waited = 0.0  # seconds for which a request counts as having waited when it arrives
        self.outcome: Callable[[int], webhook.Outcome] = lambda number: webhook.Outcome(
            200, {"id": str(number), "name": "n", "rawJSON": "{}"}
        )

    def put(self, events: list[webhook.Event]) -> None:
        events[0].delivery.accepted_at -= self.waited
        self.taken += events
        self._open.update(dict.fromkeys(events))
        self.later.append(events)
        if not self.waits:
            self.settle()

    def settle(self, outcome: webhook.Outcome | None = None) -> None:
        """Settle the oldest request's events, with their numbers' outcomes or the one given."""
        for event in self.later.pop(0):
            self.created += 1
            self._settle(event, outcome or self.outcome(self.created))


class Application:
    """A webhook behind a server on a free port, before a writer that a test controls."""

    def __init__(self, **params: Any) -> None:
        self.settings = settings(**params)
        self.client = RecordingClient()
        self.counters = webhook.Counters()
        self.connections = webhook.ConnectionRegistry(self.counters)
        self.writer = HeldWriter(self.client)
        self.events = webhook.SeenEvents(self.writer, self.counters, None)
        worker = webhook.WorkerThread()
        self.alerts = webhook.follow_alerts(
            self.settings, self.client, self.writer, self.events, self.counters
        )
        self.keeper = webhook.ContextKeeper(
            self.client, self.settings, webhook.Samples(worker), self.events, dict, self.alerts
        )
        self.keeper.loaded.set()
        self.webhook = webhook.Webhook(
            self.settings,
            self.client,
            self.writer,
            self.events,
            self.keeper,
            self.connections,
            self.counters,
            worker,
            self.alerts,
        )
        self.failures: list[BaseException] = []
        self.server = webhook.Server(
            ("127.0.0.1", 0),
            self.webhook.answer,
            self.connections,
            self.counters,
            self.failures.append,
        )
        self.server.start()
        self._running: list[gevent.Greenlet] = []
        self._senders: list[Sender] = []

    def close(self) -> None:
        gevent.killall(self._running)
        for sender in self._senders:
            sender.close()
        self.server.stop(timeout=0.1)

    def run(self, task: Callable[[], None]) -> None:
        """Run one of the service's tasks until the test ends."""
        self._running.append(gevent.spawn(task))

    def begin(self, data: bytes) -> "Sender":
        """Send requests on a connection of their own; the sender holds what it is answered."""
        self._senders.append(Sender(self.server.address, data))
        return self._senders[-1]

    def answers(self, data: bytes) -> bytes:
        """Send requests on a connection of their own and return what is answered up to its end."""
        return self.begin(data).answers()

    def statuses(self, data: bytes) -> list[int]:
        """Send requests on a connection of their own and return the statuses of the answers."""
        return statuses_of(self.answers(data))


class Sender:
    """A client's connection: it sends, ends its side, and reads all that is answered."""

    def __init__(self, address: tuple[str, int], data: bytes) -> None:
        self.received = b""
        self._sock = gevent.socket.create_connection(address, timeout=10)
        self._sending = gevent.spawn(self._send, data)
        self._reading = gevent.spawn(self._read)

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._sock.sendall(data)
            self._sock.shutdown(socket.SHUT_WR)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while part := self._sock.recv(65_536):
                self.received += part

    def answers(self) -> bytes:
        """Return all that is answered, once the server has ended the connection."""
        gevent.joinall([self._sending, self._reading], timeout=10)
        assert self._reading.ready(), "the connection did not end"
        self.close()
        return self.received

    def close(self) -> None:
        gevent.killall([self._sending, self._reading])
        self._sock.close()


def statuses_of(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", received)]


def content_of(received: bytes) -> Any:
    """Return the JSON of the last answer."""
    return json.loads(received.rpartition(b"\r\n\r\n")[2])


def posted(
    body: bytes = b'{"n": 1}',
    *lines: bytes,
    target: bytes = b"/",
    method: bytes = b"POST",
    version: bytes = b"1.1",
) -> bytes:
    """Return the bytes of a request."""
    head = [
        method + b" " + target + b" HTTP/" + version,
        b"Host: a",
        b"Content-Length: %d" % len(body),
        *lines,
        b"",
        b"",
    ]
    return b"\r\n".join(head) + body


# ---- fixtures, which conftest.py hands on


@pytest.fixture
def application() -> Iterator[Callable[..., Application]]:
    """Return a function that makes an application for an instance's parameters."""
    made: list[Application] = []

    def make(**params: Any) -> Application:
        made.append(Application(**params))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let each pause last a hundredth of its seconds; return the pauses asked for."""
    asked: list[float] = []
    sleep = gevent.sleep

    def nap(seconds: float = 0) -> None:
        asked.append(seconds)
        sleep(seconds / 100)

    monkeypatch.setattr(gevent, "sleep", nap)
    return asked


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that sets time.time()."""
    return lambda now: monkeypatch.setattr(time, "time", lambda: now)
