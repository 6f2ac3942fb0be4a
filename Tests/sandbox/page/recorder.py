"""Stores what passes the reroute, and sends it to the page's listeners."""

import contextlib
import json
import queue
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ..reroute import Exchange
from ..screen import body_kind
from ..store import Store
from .masking import Secrets
from .preview import Preview, PreviewError
from .traffic import (
    DUPLICATE,
    ENDS,
    ENDS_AGAIN,
    MAX_SHOWN,
    REPEATS,
    Recorded,
    Traffic,
    is_number,
    now,
)

NAMED = ("id", "name", "type")  # of an incident, in the list of requests
NEWEST_LOOKED_AT = 200  # incidents, for those of an answer that names none
OBSERVED_BYTES = 4 * 1024 * 1024  # of a body, and of an answer
MAX_WAITING = 10_000  # requests to be stored
MAX_WAITING_BYTES = 256 * 1024 * 1024
WRITTEN_AT_A_TIME = 100
EXPLAINED_BYTES = 1024 * 1024  # of the bodies that the integration's code explains at a time
MAX_RULES = 3  # in a request's row
REPORTED_A_SECOND = 50  # requests; of more than that, listeners get only the number
# Events of a listener that reads too slowly: it is disconnected, and connects again.
MAX_UNREAD = 1000


class Event(NamedTuple):
    """What listeners get: a name, and a JSON value."""

    name: str
    value: Any


class Listeners:
    """Everybody who gets events as they happen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[queue.Queue[Event | None]] = set()

    def notify(self, name: str, value: Any) -> None:
        """Send an event to all listeners; one that has not read for long is disconnected."""
        with self._lock:
            for listener in list(self._open):
                if listener.qsize() >= MAX_UNREAD:
                    self._open.discard(listener)
                    listener.put(None)
                else:
                    listener.put(Event(name, value))

    @contextlib.contextmanager
    def listening(self) -> Iterator["queue.Queue[Event | None]"]:
        """Yield a queue of events; None in it is the end."""
        listener: queue.Queue[Event | None] = queue.Queue()
        with self._lock:
            self._open.add(listener)
        try:
            yield listener
        finally:
            with self._lock:
                self._open.discard(listener)

    def close(self) -> None:
        """Disconnect all listeners."""
        with self._lock:
            for listener in self._open:
                listener.put(None)
            self._open.clear()


class Recorder:
    """Receives exchanges from the reroute's threads and stores them in its own."""

    def __init__(
        self,
        traffic: Traffic,
        store: Store,
        secrets: Secrets,
        listeners: Listeners,
        preview: Preview,
    ) -> None:
        self._traffic = traffic
        self._store = store
        self._secrets = secrets
        self._listeners = listeners
        self._preview = preview
        # The mapping parameters in force are stored with each request.
        self.settings: Mapping[str, Any] = {}

        # exchanges that are not stored yet
        self._waiting: deque[Exchange] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._arrived = threading.Event()
        self._expected: dict[int, queue.SimpleQueue[int]] = {}  # by the sender's port
        self._ended = False

        # requests of the current second
        self._second = 0
        self._reported = 0
        self._left_out = 0

        self._thread = threading.Thread(target=self._run, daemon=True, name="page-recorder")

    def start(self) -> None:
        """Begin to store."""
        self._thread.start()

    def stop(self) -> None:
        """Store what is left, and end."""
        self._ended = True
        self._arrived.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def take(self, exchange: Exchange) -> None:
        """Receive an exchange; the oldest are left out if more arrive than can be stored."""
        size = len(exchange.begins) + len(exchange.answer)
        with self._lock:
            self._waiting.append(exchange)
            self._bytes += size
            while len(self._waiting) > MAX_WAITING or (
                self._bytes > MAX_WAITING_BYTES and len(self._waiting) > 1
            ):
                left_out = self._waiting.popleft()
                self._bytes -= len(left_out.begins) + len(left_out.answer)
        self._arrived.set()

    @contextlib.contextmanager
    def expecting(self, port: int) -> Iterator[Callable[[], int | None]]:
        """Yield a function that waits for the number of the request from a port of this machine.

        It returns None if the request does not arrive.
        """
        found: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._expected[port] = found

        def number() -> int | None:
            with contextlib.suppress(queue.Empty):
                return found.get(timeout=5)
            return None

        try:
            yield number
        finally:
            self._expected.pop(port, None)

    def _run(self) -> None:
        while not self._ended or self._waiting:
            self._arrived.wait(0.5)
            self._arrived.clear()
            try:
                while batch := self._take_batch():
                    self._write(batch)
                while self._traffic.index_incidents() and not self._ended and not self._waiting:
                    pass
            except Exception:  # a full disk, a damaged file: the next requests are tried again
                traceback.print_exc()
            self._report_left_out()

    def _take_batch(self) -> list[Exchange]:
        with self._lock:
            batch = [
                self._waiting.popleft() for _ in range(min(len(self._waiting), WRITTEN_AT_A_TIME))
            ]
            self._bytes -= sum(len(exchange.begins) + len(exchange.answer) for exchange in batch)
        return batch

    def _write(self, batch: list[Exchange]) -> None:
        records = [self._record(exchange) for exchange in batch]
        self._explain(records)
        for number, exchange, record in zip(self._traffic.add(records), batch, records):
            expected = self._expected.get(exchange.port)
            if expected is not None:
                expected.put(number)
            self._report({"id": number, **record.row})

    def _record(self, exchange: Exchange) -> Recorded:
        created, error = outcome(exchange.answer)
        created = created or self._named_by_header(exchange)
        path, headers = self._secrets.hide_proof(exchange.path, list(exchange.headers))
        shown = created[:MAX_SHOWN]
        numbers = [int(item["id"]) for item in shown if is_number(item["id"])]
        known = {str(incident["id"]): incident for incident in self._store.find(numbers)}
        for item in shown:  # what repeats or ends an alert is answered with the ID alone
            item["name"] = item["name"] or str(known.get(item["id"], {}).get("name") or "")
        first = known.get(shown[0]["id"]) if shown else None
        row = {
            "time": now(),
            "method": exchange.method,
            "path": path,
            "status": exchange.status,
            "readAs": body_kind(first, exchange) if first else "",
            "sender": exchange.sender,
            "milliseconds": round(exchange.seconds * 1000, 2),
            "incidents": shown,
            "incidentCount": len(created),
            "createdCount": sum(not item["isTo"] for item in created),
            "error": error,
            "handshake": "",
            "ignored": [],
        }
        incidents = [(item["id"], item["isTo"]) for item in created]
        answer_headers = list(exchange.answer_headers)
        return Recorded(
            row,
            headers,
            exchange.begins,
            exchange.size,
            answer_headers,
            exchange.answer,
            incidents,
            self.settings,
        )

    def _named_by_header(self, exchange: Exchange) -> list[dict[str, Any]]:
        """Return the incidents of a request whose sender reads an answer of its own."""
        headers = {name.lower(): value for name, value in exchange.answer_headers}
        if exchange.status != 200 or "x-request-id" not in headers:
            return []
        mark = f'"delivery":"{headers["x-request-id"]}/'
        newest = self._store.page(2**62, NEWEST_LOOKED_AT)
        found = [incident for incident in newest if mark in (incident.get("rawJSON") or "")]
        return [
            {**{name: str(one.get(name) or "") for name in NAMED}, "isTo": ""}
            for one in reversed(found)
        ]

    def _explain(self, records: list[Recorded]) -> None:
        """Add to rows what answers do not say: a handshake's vendor, what ignored or repeats."""
        asked, size = [], 0
        for record in filter(self._needs_explanation, records):
            size += len(record.body)
            if size <= EXPLAINED_BYTES:
                asked.append(record)
        if not asked or self._ended:  # at a stop, nobody waits for it
            return
        with contextlib.suppress(PreviewError):
            for record, found in zip(asked, self._preview.incidents(self.settings, asked)):
                explain(record, found)

    def _needs_explanation(self, record: Recorded) -> bool:
        is_whole = record.body_bytes == len(record.body)
        is_event = record.row["status"] == 200 and not record.is_handshake
        may_be_ignored = is_event and bool(self.settings.get("ignore_when"))
        return is_whole and (record.is_handshake or record.duplicate or may_be_ignored)

    def _report(self, row: dict[str, Any]) -> None:
        self._report_left_out()
        self._reported += 1
        if self._reported <= REPORTED_A_SECOND:
            self._listeners.notify("request", row)
        else:
            self._left_out += 1

    def _report_left_out(self) -> None:
        second = int(time.time())
        if second != self._second:
            if self._left_out:
                self._listeners.notify("more", {"requests": self._left_out})
            self._second, self._reported, self._left_out = second, 0, 0


def explain(record: Recorded, found: Mapping[str, Any]) -> None:
    """Add to a row what the integration's code says of its request."""
    row, made = record.row, found["incidents"]
    vendor = found.get("handshake", "")
    is_check = vendor.endswith("check")  # "Slack's SSL check" says itself what it is
    row["handshake"] = f"{vendor}'s handshake" if vendor and not is_check else vendor
    row["ignored"] = counted(found["ignored"])
    if len(made) == len(record.incidents):
        record.incidents = [
            (number, repetition(event) if is_to == DUPLICATE else is_to)
            for (number, is_to), event in zip(record.incidents, made)
        ]
        for item, (_, is_to) in zip(row["incidents"], record.incidents):
            item["isTo"] = is_to


def repetition(event: Mapping[str, Any]) -> str:
    """Return what an event is to the incident that an earlier one created."""
    return (ENDS_AGAIN if event["isEnd"] else REPEATS) if event["isAlert"] else DUPLICATE


def counted(rules: list[str]) -> list[dict[str, Any]]:
    """Return the rules that ignored most events, each with how many."""
    return [{"rule": rule, "count": n} for rule, n in Counter(rules).most_common(MAX_RULES)]


def outcome(answer: bytes) -> tuple[list[dict[str, Any]], str]:
    """Return the incidents that an answer names, and the sentence of a refusal."""
    try:
        value = json.loads(answer or b"null")
    except ValueError:
        return [], ""
    if isinstance(value, dict):
        return [], str(value.get("error") or "")
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return [], ""
    names = [{name: str(item.get(name) or "") for name in NAMED} for item in value]
    return [
        {**named, "isTo": DUPLICATE if item.get("duplicate") else ENDS if item.get("ended") else ""}
        for named, item in zip(names, value)
    ], ""
