"""Mixed traffic: good, bad, slow and interrupted senders, while XSOAR fails at random."""

import contextlib
import gzip
import json
import random
import re
import socket
import statistics
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from Tests.end_to_end.hostile import (
    KIB,
    MIB,
    ask,
    chunked,
    connect,
    ended,
    memory_mib,
    post,
    read_answer,
)
from Tests.end_to_end.sender import Answer
from Tests.sandbox import Sandbox

from .ledger import Ledger

GOOD_SENDERS = 8
BAD_SENDERS = 2
SLOW_SENDERS = 12
CUT_OFF_SENDERS = 2
OUTAGE_SECONDS = 20.0  # the longest
# Of a good sender between two requests: 100 a second in total, so that the sandbox's own memory
# stays small.
PAUSE_SECONDS = 0.06
SETTLE_SECONDS = 65.0  # until every request is answered once the faults are over
GROWTH_MIB = 40.0  # from the second quarter to the last, where memory should be flat
FILLING_SECONDS = 60.0  # until then every kind of body has come, and memory still fills
# The log may say this while XSOAR fails, and about senders; any other line at level error is our
# fault.
EXPECTED_ERRORS = re.compile(
    r"XSOAR refuses to create incidents|[Ii]ntegration context|createIncidents of \d+ incidents: "
    r"|Deliveries from 127\.0\.0\.1 are refused: "
)


@dataclass
class Traffic:
    """A run of some seconds against one sandbox."""

    sandbox: Sandbox
    seconds: float
    seed: int
    say: Callable[[str], None]
    ledger: Ledger = field(default_factory=Ledger)
    memory: list[float] = field(default_factory=list)
    bad: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> list[str]:
        """Run everything, report progress, and return what went wrong."""
        roles = (
            [self._good] * GOOD_SENDERS + [self._bad] * BAD_SENDERS + [self._slow] * SLOW_SENDERS
        )
        roles += [self._cut_off] * CUT_OFF_SENDERS
        threads = [
            threading.Thread(
                target=self._keep_on,
                args=(role, random.Random(self.seed * 1000 + place)),
                daemon=True,
            )
            for place, role in enumerate(roles)
        ]
        threads.append(
            threading.Thread(target=self._fail, args=(random.Random(self.seed),), daemon=True)
        )
        for thread in threads:
            thread.start()
        self._watch()
        self._over.set()
        self._heal()
        until = time.monotonic() + SETTLE_SECONDS
        for thread in threads:
            thread.join(max(until - time.monotonic(), 0))
        wrong = ["a sender was not answered" for thread in threads if thread.is_alive()]
        return wrong + self._verdict()

    def _watch(self) -> None:
        started = time.monotonic()
        said = 0.0
        while (passed := time.monotonic() - started) < self.seconds and not self.sandbox.exited:
            self.memory.append(memory_mib(self.sandbox))
            if passed - said >= min(10.0, self.seconds / 5):
                said = passed
                counts = ", ".join(
                    f"{count} x {status}" for status, count in sorted(self.ledger.statuses.items())
                )
                self.say(
                    f"{passed:5.0f} s of {self.seconds:.0f}: good {counts}; "
                    f"memory {self.memory[-1]:.0f} MiB"
                )
            time.sleep(min(1.0, self.seconds / 60))

    def _verdict(self) -> list[str]:
        wrong = list(self.ledger.mistakes)
        if self.sandbox.exited:
            return [*wrong, f"the process ended: {self.sandbox.stderr[-5:]}"]
        if ask(self.sandbox, post(b'{"name": "the last one"}'), timeout=30).status != 200:
            wrong.append("no incident can be created after the faults")
        wrong += self.ledger.balance(self.sandbox)
        quarter = len(self.memory) // 4
        before, after = (
            statistics.median(self.memory[quarter : 2 * quarter]),
            statistics.median(self.memory[-quarter:]),
        )
        if after - before > GROWTH_MIB and self.seconds / 4 >= FILLING_SECONDS:
            wrong.append(
                f"memory grows: {before:.0f} MiB in the second quarter, {after:.0f} MiB in the last"
            )
        wrong += [f"stderr: {line}" for line in self.sandbox.stderr[:5]]
        wrong += [f"protocol: {line}" for line in self.sandbox.protocol_errors[:5]]
        unexplained = [
            line
            for level, text in self.sandbox.logs
            if level not in ("info", "debug")
            for line in text.splitlines()
            if not EXPECTED_ERRORS.search(line)
        ]
        return wrong + [f"log: {line[:300]}" for line in unexplained[:5]]

    def figures(self) -> list[str]:
        """Return the results, a line each."""
        good = self.ledger.statuses
        quarter = len(self.memory) // 4
        halves = [
            statistics.median(part)
            for part in (self.memory[quarter : 2 * quarter], self.memory[-quarter:])
        ]
        return [
            f"good requests: {good.total()} ({counted(good)})",
            f"incidents acknowledged: {self.ledger.acknowledged}, "
            f"existing: {len(self.sandbox.incidents())} "
            f"(and {self.ledger.doubtful} events of which their senders cannot know)",
            f"slowest good answer: {self.ledger.slowest:.1f} s",
            f"bad requests refused: {self.bad.total()} ({counted(self.bad)})",
            f"faults: {counted(self.faults)}",
            f"memory: {halves[0]:.0f} MiB early, {halves[1]:.0f} MiB late, "
            f"at most {max(self.memory):.0f} MiB",
        ]

    # ---- senders

    def _keep_on(self, role: Callable[[random.Random], None], chance: random.Random) -> None:
        while not self._over.is_set() and not self.sandbox.exited:
            try:
                role(chance)
            except OSError as error:
                if not self.sandbox.exited:
                    self.ledger.mistake(f"{role.__name__}: {error!r}")
                    time.sleep(0.1)
            except Exception as error:
                self.ledger.mistake(f"{role.__name__}: {error!r}")

    def _good(self, chance: random.Random) -> None:
        """Send a few requests on one connection, and wait for each answer."""
        with connect(self.sandbox, timeout=SETTLE_SECONDS) as connection:
            for _ in range(chance.choice((1, 1, 5, 20))):
                events = self.ledger.number(chance.choice((1, 1, 1, 1, 2, 7)))
                started = time.monotonic()
                connection.sendall(good_request(chance, events))
                answer = read_answer(connection)
                self.ledger.answered(events, answer, time.monotonic() - started)
                if (
                    answer is None
                    or answer.headers.get("connection") == "close"
                    or self._over.is_set()
                ):
                    return
                time.sleep(chance.uniform(0, 2 * PAUSE_SECONDS))

    def _bad(self, chance: random.Random) -> None:
        expected, data = chance.choice(BAD_REQUESTS)
        answer = ask(self.sandbox, data, timeout=SETTLE_SECONDS)
        self.bad[answer.status] += 1
        if answer.status not in expected or not is_discreet(answer):
            self.ledger.mistake(f"{data[:80]!r} got {answer.status}: {answer.body[:200]!r}")
        time.sleep(chance.uniform(0, 0.2))

    def _slow(self, chance: random.Random) -> None:
        """Send a request drop by drop; some are complete in the end."""
        events = self.ledger.number(1)
        data = good_request(chance, events, large=False)
        patience = chance.uniform(0.5, 20)
        with connect(self.sandbox, timeout=SETTLE_SECONDS) as connection:
            started = time.monotonic()
            step = max(len(data) // chance.randint(2, 40), 1)
            for place in range(0, len(data), step):
                if time.monotonic() - started > patience or self._over.is_set():
                    self.ledger.unanswered(events)
                    return  # gives up half way
                connection.sendall(data[place : place + step])
                time.sleep(chance.uniform(0, 1))
            self.ledger.answered(events, read_answer(connection), 0)

    def _cut_off(self, chance: random.Random) -> None:
        """Send a request that ends anywhere, politely or not, and do not wait for the answer."""
        events = self.ledger.number(1)
        self.ledger.unanswered(events)
        data = good_request(chance, events)
        with connect(self.sandbox) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(data[: chance.randint(0, len(data))])
                time.sleep(chance.uniform(0, 0.05))
            if chance.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif chance.random() < 0.5:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
                ended(connection, 0.5)
        time.sleep(chance.uniform(0, 0.2))

    # ---- faults

    def _fail(self, chance: random.Random) -> None:
        scale = min(self.seconds / 120, 1.0)  # a short run has short faults
        long_outage = self.seconds > 4 * OUTAGE_SECONDS  # at least one is as long as possible
        while not self._over.wait(chance.uniform(0.2, 3) * max(scale, 0.2)):
            seconds = chance.uniform(0.1, 6) * scale
            name = chance.choice(
                (
                    "latency",
                    "failures",
                    "outage",
                    "reject",
                    "hang",
                    "unreadable",
                    "context",
                    "clash",
                )
            )
            if long_outage:
                long_outage, name, seconds = False, "outage", OUTAGE_SECONDS
            self.faults[name] += 1
            self._inflict(name, chance)
            self._over.wait(seconds)
            self._heal()

    def _inflict(self, name: str, chance: random.Random) -> None:
        faults = self.sandbox.faults
        if name == "latency":
            faults.latency["createIncidents"] = chance.uniform(0.005, 1)
        elif name == "failures":
            faults.random_failure = (chance.uniform(0.05, 0.6), chance.randint(0, 10**6))
        elif name == "outage":
            faults.outage = True
        elif name == "reject":
            digit = chance.randint(0, 9)
            faults.reject = lambda incident: event_ends_with(incident, digit)
        elif name == "hang":
            faults.hang.set()
        elif name == "unreadable":
            faults.answer = chance.choice(
                (
                    lambda _: "no JSON",
                    lambda created: [None for _ in created],
                    lambda _: {"data": 1},
                )
            )
        elif name == "context":
            faults.fail.update(
                getIntegrationContext=3, setIntegrationContext=3, info=1, updateModuleHealth=1
            )
        elif name == "clash":
            faults.stale = 3

    def _heal(self) -> None:
        faults = self.sandbox.faults
        faults.latency.clear()
        faults.random_failure = faults.reject = faults.answer = None
        faults.outage = False
        faults.hang.clear()


def counted(counts: Mapping[Any, int]) -> str:
    """Return counts in the order of their names, such as `3 x 200, 1 x 503`."""
    return ", ".join(f"{count} x {name}" for name, count in sorted(counts.items()))


def event_ends_with(incident: dict[str, object], digit: int) -> bool:
    """Return whether the number of an event ends with a digit."""
    return str(json.loads(str(incident["rawJSON"])).get("n", "")).endswith(str(digit))


def good_request(chance: random.Random, events: list[int], large: bool = True) -> bytes:
    """Return the bytes of a request that deserves a 200, in any of the shapes senders use."""
    size = chance.choice(
        (0, 0, 0, 500, 5 * KIB, *((100 * KIB, MIB) if large and chance.random() < 0.1 else ()))
    )
    items = [{"n": event, "text": "x" * size, "host": f"host-{event % 7}"} for event in events]
    if len(events) == 1 and not size and chance.random() < 0.2:
        return post(
            b"n=%d&form=yes" % events[0], b"Content-Type: application/x-www-form-urlencoded"
        )
    lines = chance.random() < 0.1
    if lines:
        body = b"\n".join(json.dumps(item).encode() for item in items) + b"\n"
    else:
        body = json.dumps(items if len(items) > 1 or chance.random() < 0.2 else items[0]).encode()
    kind = b"Content-Type: application/x-ndjson" if lines else b"Content-Type: application/json"
    shape = chance.random()
    if shape < 0.15:
        return post(gzip.compress(body, 1), kind, b"Content-Encoding: gzip")
    if shape < 0.3 and not lines:
        cut = chance.randint(1, len(body) - 1)
        return chunked(body[:cut], body[cut:])
    return post(body, kind)


BAD_REQUESTS: list[tuple[tuple[int, ...], bytes]] = [
    ((400,), post(b'{"n": ', b"Content-Type: application/json")),
    ((400,), post(b"")),
    ((400,), post(gzip.compress(b"{}")[:-1], b"Content-Encoding: gzip")),
    ((400,), post(b'{"raw_json": {}, "severity": "enormous"}')),
    ((400,), post(b"{}", b"Content-Length: 3")),
    ((400,), post(b"{}", b"Transfer-Encoding: chunked")),
    ((400,), b"POST / HTTP/1.1\r\n folded: x\r\n\r\n"),
    ((400,), b"\x16\x03\x01\x02\x00\x01\x00\r\n"),
    ((400,), chunked(end=b"zz\r\n")),
    ((405,), post(b"{}", target=b"/health")),
    ((405,), b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ((413,), post(b"", length=10**9)),
    ((413,), post(b"a=1&" * 2000, b"Content-Type: application/x-www-form-urlencoded")),
    ((413,), post(gzip.compress(bytes(30 * MIB), 1), b"Content-Encoding: gzip")),
    ((414,), post(target=b"/" + b"x" * 9000)),
    ((415,), post(b"{}", b"Content-Encoding: br")),
    ((431,), post(b"{}", b"X: " + b"x" * 40_000)),
    ((400,), post(b"[" * 50_000, b"Content-Type: application/json")),
]


def is_discreet(answer: Answer) -> bool:
    """Return whether a refusal is the JSON that we promise, without a traceback."""
    return (
        bool(answer.error)
        and "Traceback" not in answer.error
        and answer.headers.get("cache-control") == "no-store"
    )
