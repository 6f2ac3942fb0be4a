"""XSOAR is slow, refuses, lies, hangs or dies, and so does the machine.

Nothing acknowledged is lost, and nothing is created twice.
"""

import ast
import contextlib
import itertools
import json
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from Tests.end_to_end.hostile import (
    MIB,
    ask,
    certificate,
    connect,
    in_parallel,
    memory_mib,
    post,
    read_answer,
    sandboxed,
    seconds_of,
    shell_limited,
    watching,
)
from Tests.end_to_end.sender import PACK, Answer, await_that
from Tests.sandbox import Faults, Sandbox, free_port
from Tests.sandbox.descriptor import API_MODULES, load
from Tests.sandbox.store import Incident

MARKER = "[ERROR-fd5a7750-7182-4b38-90ba-091824478903]"
LOOP = Path(__file__).resolve().parents[1] / "sandbox" / "loop.py"
OUTAGE_SECONDS = (1, 5)  # and 20 in the soak


# ---- senders that keep account


class Account:
    """Senders of numbered events, each on its own connection, and their answers."""

    def __init__(self, sandbox: Sandbox, senders: int = 16) -> None:
        self.sandbox = sandbox
        self.answers: dict[int, Answer | None] = {}
        self.waited: dict[int, float] = {}
        self._senders = senders
        self._next = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def _take(self, most: int) -> int | None:
        with self._lock:
            if self._next >= most or self._over.is_set():
                return None
            self._next += 1
            return self._next

    def _send(self, most: int) -> None:
        connection: socket.socket | None = None
        while (number := self._take(most)) is not None:
            started = time.monotonic()
            self.answers[number] = None
            try:
                connection = connection or connect(self.sandbox, timeout=90)
                connection.sendall(post(b'{"name": "event %d", "n": %d}' % (number, number)))
                answer = read_answer(connection)
            except (OSError, AssertionError):
                answer = None
            self.answers[number] = answer
            self.waited[number] = time.monotonic() - started
            if answer is None or answer.headers.get("connection") == "close":
                if connection:
                    connection.close()
                connection = None
                time.sleep(0.005)  # nobody listens, or not for long
        if connection:
            connection.close()

    def start(self, most: int = 1_000_000) -> None:
        """Post up to `most` events in the background."""
        self._threads = [
            threading.Thread(target=self._send, args=(most,), daemon=True)
            for _ in range(self._senders)
        ]
        for thread in self._threads:
            thread.start()

    def finish(self, stop: bool = True, seconds: float = 90) -> None:
        """Wait until the events are posted or, to stop, until those in progress are answered."""
        if stop:
            self._over.set()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0))
            assert not thread.is_alive(), "a sender was not answered"

    def statuses(self) -> Counter[int]:
        """Return how often each status was answered; 0 counts those without an answer."""
        return Counter(answer.status if answer else 0 for answer in self.answers.values())

    def acknowledged(self) -> set[int]:
        """Return the events answered 200; each answer must name the sender's own incident."""
        stored = {
            incident["id"]: json.loads(incident["rawJSON"])["n"]
            for incident in self.sandbox.incidents()
        }
        for number, answer in self.answers.items():
            if answer and answer.status == 200:
                [created] = answer.json
                assert stored[created["id"]] == number, "somebody else's incident"
        return {
            number for number, answer in self.answers.items() if answer and answer.status == 200
        }

    def created(self) -> set[int]:
        """Return the events whose incident exists, none of them twice."""
        numbers = Counter(
            json.loads(incident["rawJSON"])["n"] for incident in self.sandbox.incidents()
        )
        assert not [number for number, count in numbers.items() if count > 1], "created twice"
        return set(numbers)

    def balances(self) -> None:
        """Assert that exactly the acknowledged events exist."""
        assert self.acknowledged() == self.created()


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with sandboxed() as sandbox:
        yield sandbox


@pytest.fixture
def webhook(shared: Sandbox) -> Iterator[Sandbox]:
    """Return the shared sandbox, empty and without faults before and after."""
    shared.reset()
    yield shared
    for name, value in vars(Faults()).items():
        if name not in ("hang", "_lock"):
            setattr(shared.faults, name, value)
    shared.faults.hang.clear()
    await_that(lambda: ask(shared, post()).status == 200)
    await_that(lambda: not shared.health)


def numbered(*numbers: int) -> bytes:
    return json.dumps([{"name": f"event {number}", "n": number} for number in numbers]).encode()


def numbers_of(incidents: list[Incident]) -> list[int]:
    return [json.loads(incident["rawJSON"])["n"] for incident in incidents]


def is_number(number: int) -> Callable[[Incident], bool]:
    return lambda incident: json.loads(incident["rawJSON"]).get("n") == number


# ---- overload


def test_past_the_queues_bounds_it_is_503_at_once() -> None:
    constants = {"MAX_QUEUED_INCIDENTS": 10}
    with sandboxed(constants=constants) as sandbox, contextlib.ExitStack() as stack:
        sandbox.faults.hang.set()
        waiting = [stack.enter_context(connect(sandbox, timeout=30)) for _ in range(10)]
        for number, connection in enumerate(waiting):
            connection.sendall(post(numbered(number)))
        time.sleep(0.3)
        passed = seconds_of(sandbox)
        answer = ask(sandbox, post(numbered(99)))
        assert passed() < 0.5
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert "queue is full" in answer.error
        sandbox.faults.hang.clear()
        for connection in waiting:
            got = read_answer(connection)
            assert got and got.status == 200
        assert sorted(numbers_of(sandbox.incidents())) == list(range(10))
        assert ask(sandbox, post()).status == 200


def test_the_queue_is_bounded_in_bytes_too() -> None:
    with sandboxed(constants={"MAX_QUEUED_BYTES": 4 * MIB}) as sandbox:
        sandbox.faults.hang.set()
        large = post(json.dumps({"text": "x" * MIB}).encode())
        results: list[int] = []
        threads = [
            threading.Thread(target=lambda: results.append(ask(sandbox, large, 30).status))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        await_that(lambda: results.count(503) >= 5)
        sandbox.faults.hang.clear()
        for thread in threads:
            thread.join(30)
        assert Counter(results) == {200: 3, 503: 5}
        assert len(sandbox.incidents()) == 3


def test_what_xsoar_did_not_get_in_time_is_withdrawn_and_what_it_has_is_awaited() -> None:
    with sandboxed(constants={"WITHDRAW_SECONDS": 1}) as sandbox:
        sandbox.faults.hang.set()
        with connect(sandbox, timeout=30) as in_flight:
            in_flight.sendall(post(numbered(1)))
            await_that(lambda: sandbox.calls["createIncidents"])
            started, passed = time.monotonic(), seconds_of(sandbox)
            late = in_parallel([partial(ask, sandbox, post(numbered(number))) for number in (2, 3)])
            assert passed() < 3.5
            assert time.monotonic() - started > 0.5
            assert [answer.status for answer in late] == [503, 503]
            assert all(int(answer.headers["retry-after"]) for answer in late)
            time.sleep(0.5)
            sandbox.faults.hang.clear()
            answer = read_answer(in_flight)
            assert answer and answer.status == 200
        time.sleep(0.3)
        assert numbers_of(sandbox.incidents()) == [1]  # what was withdrawn is not sent later


def test_the_part_of_an_array_that_xsoar_did_not_get_in_time_is_withdrawn() -> None:
    # One request needs two calls.
    constants = {
        "WITHDRAW_SECONDS": 1,
        "MAX_CALL_BYTES": 1 * MIB,
    }
    with sandboxed(constants=constants) as sandbox, connect(sandbox) as connection:
        sandbox.faults.hang.set()
        connection.sendall(
            post(json.dumps([{"n": number, "text": "x" * MIB} for number in (1, 2)]).encode())
        )
        await_that(lambda: sandbox.calls["createIncidents"])
        time.sleep(2.5)
        sandbox.faults.hang.clear()
        answer = read_answer(connection)
        # If it were sent again as a whole, the first one would exist twice.
        assert answer and answer.status == 502
        assert answer.error.startswith("[1]: XSOAR did not get to it in time. Created: 1. Request ")
        assert "retry-after" not in answer.headers
        assert ask(sandbox, post(numbered(3))).status == 200
        assert numbers_of(sandbox.incidents()) == [1, 3]
        assert sandbox.calls["createIncidents"] == 2


def test_a_hanging_xsoar_does_not_fill_the_memory() -> None:
    with sandboxed(constants={"WITHDRAW_SECONDS": 1, "MAX_QUEUED_BYTES": 48 * MIB}) as sandbox:
        sandbox.faults.hang.set()
        with connect(sandbox, timeout=60) as first:
            first.sendall(post(numbered(1)))
            large = post(json.dumps({"text": "x" * (10 * MIB)}).encode())
            after = []
            for _ in range(5):
                assert set(
                    in_parallel([lambda: ask(sandbox, large, 30).status for _ in range(6)])
                ) == {503}
                after.append(memory_mib(sandbox))
            # A queue that kept what was withdrawn would grow by 40 MiB each time. How much a round
            # leaves behind depends on how many bodies arrive together, so several are compared.
            assert min(after[3:]) - max(after[:2]) < 55, after
            sandbox.faults.hang.clear()
            answer = read_answer(first)
            assert answer and answer.status == 200


def test_a_health_check_does_not_wait_for_xsoar(webhook: Sandbox) -> None:
    webhook.faults.latency["createIncidents"] = 1.5
    with watching(webhook) as waits:
        assert ask(webhook, post()).status == 200
    assert max(waits) < 0.5


# ---- refusals


def test_one_bad_among_hundreds_fails_alone_and_at_once(webhook: Sandbox) -> None:
    webhook.faults.reject = is_number(137)
    webhook.faults.latency["createIncidents"] = 0.02
    account = Account(webhook, senders=64)
    account.start(400)
    account.finish(stop=False)
    assert account.statuses() == {200: 399, 502: 1}
    bad = account.answers[137]
    assert bad and bad.status == 502
    assert "Request " in bad.error
    assert account.waited[137] < 5
    account.balances()


def test_an_array_refused_in_part_names_the_places_and_what_was_created(webhook: Sandbox) -> None:
    webhook.faults.reject = lambda incident: json.loads(incident["rawJSON"])["n"] in (4, 8)
    answer = ask(webhook, post(numbered(*range(10))))
    assert answer.status == 502
    assert "[4], [8]:" in answer.error
    created = [incident["id"] for incident in webhook.incidents()]
    assert len(created) == 8
    for number in created:
        assert number in answer.error
    assert sorted(numbers_of(webhook.incidents())) == [0, 1, 2, 3, 5, 6, 7, 9]


def test_when_the_first_of_an_event_is_refused_the_next_request_with_it_is_created() -> None:
    with sandboxed(params={"duplication_key": "n"}) as sandbox:
        sandbox.faults.reject = "unwanted"
        sandbox.faults.latency = {"createIncidents": 0.2}
        with connect(sandbox) as bad, connect(sandbox) as good:
            bad.sendall(post(b'[{"n": 1, "name": "unwanted"}, {"n": 2}]'))
            await_that(lambda: sandbox.calls["createIncidents"])
            good.sendall(post(b'{"n": 1, "name": "good"}'))
            first, second = read_answer(bad), read_answer(good)
        assert first and second and (first.status, second.status) == (502, 200)
        assert first.error.startswith("[0]: XSOAR refuses it. Created: ")
        assert sorted(numbers_of(sandbox.incidents())) == [1, 2]
        assert ask(sandbox, post(b'{"n": 1}')).json[0]["duplicate"] is True


def test_a_thousand_equal_events_of_one_request_cost_one_call() -> None:
    with sandboxed(
        params={"duplication_key": "n"}, constants={"LONE_RETRY_SECONDS": 0.5}
    ) as sandbox:
        sandbox.faults.reject = lambda incident: True
        answer = ask(sandbox, post(json.dumps([{"n": 1}] * 1000).encode()))
        assert answer.status in (502, 503)
        # A lone refused one is tried again for LONE_RETRY_SECONDS.
        assert sandbox.calls["createIncidents"] <= 20
        sandbox.faults.reject = None
        assert len(ask(sandbox, post(json.dumps([{"n": 1}, {"n": 1}]).encode())).json) == 2
        assert numbers_of(sandbox.incidents()) == [1]


def test_a_502_can_be_looked_up_by_its_request_id(webhook: Sandbox) -> None:
    webhook.faults.reject = "unwanted"
    answer = ask(webhook, post(b'[{"name": "unwanted"}, {"name": "good"}]'))
    found = re.search(r"Request ([0-9a-f]{12})\.$", answer.error)
    assert answer.status == 502 and found
    await_that(
        lambda: any(
            f"Request {found[1]} was answered 502. [0]: XSOAR refuses it." in text
            for _, text in webhook.logs
        )
    )


def test_a_large_array_of_bad_ones_holds_up_nobody(webhook: Sandbox) -> None:
    webhook.faults.reject = "unwanted"
    webhook.faults.latency = {"createIncidents": 0.01}
    bad = json.dumps([{"name": f"unwanted {number}"} for number in range(400)]).encode()
    with connect(webhook, timeout=60) as connection:
        assert ask(webhook, post()).status == 200
        connection.sendall(post(bad))
        most = 0
        for _ in range(20):
            before = webhook.calls["createIncidents"]
            assert ask(webhook, post(b'{"name": "good"}')).status == 200
            most = max(most, webhook.calls["createIncidents"] - before)
        answer = read_answer(connection)
    assert answer and answer.status == 502
    assert most < 100  # finding all bad ones takes 800 calls


def test_a_good_incident_behind_an_array_of_bad_ones_is_created(webhook: Sandbox) -> None:
    webhook.faults.reject = "unwanted"
    webhook.faults.latency = {"createIncidents": 0.3}
    bad = json.dumps([{"name": f"unwanted {number}"} for number in range(300)]).encode()
    calls = webhook.calls["createIncidents"]
    with connect(webhook, timeout=60) as first, connect(webhook, timeout=60) as second:
        with connect(webhook) as before:
            before.sendall(post())
            await_that(lambda: webhook.calls["createIncidents"] > calls)
            second.sendall(post(bad))
            time.sleep(0.1)
            first.sendall(post(b'{"name": "good"}'))  # in one call with the array
            started = time.monotonic()
            time.sleep(0.1)
            webhook.faults.latency = {}
            answer = read_answer(first)
            assert answer and answer.status == 200
            assert time.monotonic() - started < 5
        refused = read_answer(second)
    assert refused and refused.status == 502


def test_a_lone_refused_incident_is_503_after_a_few_seconds() -> None:
    with sandboxed(constants={"LONE_RETRY_SECONDS": 1.5}) as sandbox:
        sandbox.faults.outage = True
        started, passed = time.monotonic(), seconds_of(sandbox)
        answer = ask(sandbox, post(numbered(1)))
        assert passed() < 3
        assert time.monotonic() - started > 1.3
        assert answer.status == 503
        assert int(answer.headers["retry-after"])
        time.sleep(1.2)
        await_that(lambda: sandbox.health)  # health shows it already, for nothing has worked since
        sandbox.faults.outage = False
        assert ask(sandbox, post(numbered(2))).status == 200
        await_that(lambda: not sandbox.health)
        assert numbers_of(sandbox.incidents()) == [2]


@pytest.mark.parametrize("seconds", OUTAGE_SECONDS)
def test_an_outage_under_load_loses_nothing_and_shows_in_the_health(
    webhook: Sandbox, seconds: int
) -> None:
    account = Account(webhook, senders=24)
    account.start()
    time.sleep(0.3)
    calls = webhook.calls["createIncidents"]
    webhook.faults.outage = True
    time.sleep(seconds)
    assert await_that(lambda: "XSOAR" in webhook.health, 2)
    attempts = webhook.calls["createIncidents"] - calls
    webhook.faults.outage = False
    passed = seconds_of(webhook)
    last = max(account.answers)
    await_that(lambda: max(account.answers) > last + 24, 20)
    assert passed() < 3.5  # the pauses grow, but not beyond 2 s
    time.sleep(0.3)
    account.finish()
    # The outage ended within their deadline.
    assert account.statuses()[503] + account.statuses()[502] == 0, account.statuses()
    assert attempts < 30 * seconds + 20  # few calls
    account.balances()
    await_that(lambda: not webhook.health)


def test_arrivals_do_not_wait_for_the_retries_of_others() -> None:
    with sandboxed(
        constants={"RETRY_PAUSE_SECONDS": 10.0, "MAX_RETRY_PAUSE_SECONDS": 10.0}
    ) as sandbox:
        sandbox.faults.reject = is_number(1)
        with connect(sandbox, timeout=30) as bad:
            bad.sendall(post(numbered(1)))
            await_that(lambda: sandbox.calls["createIncidents"])
            time.sleep(0.1)
            started = time.monotonic()
            assert ask(sandbox, post(numbered(2))).status == 200
            answer = read_answer(bad)
            # The first success of anybody proves the refused one bad.
            assert time.monotonic() - started < 8
            assert answer and answer.status == 502


def test_random_failures_over_thousands_of_requests_balance(webhook: Sandbox) -> None:
    webhook.faults.random_failure = (0.5, 20240501)
    account = Account(webhook, senders=48)
    account.start(3000)
    account.finish(stop=False)
    assert set(account.statuses()) <= {200, 502, 503}
    assert account.statuses()[200] > 500
    assert account.statuses()[502] > 0  # or the faults would not have reached anybody
    account.balances()


def test_random_drops_rejects_and_outages_balance(webhook: Sandbox) -> None:
    chance = random.Random(7)
    webhook.faults.drop = lambda incident: json.loads(incident["rawJSON"])["n"] % 7 == 0
    webhook.faults.reject = lambda incident: json.loads(incident["rawJSON"])["n"] % 31 == 0
    account = Account(webhook, senders=32)
    account.start()
    for _ in range(8):
        webhook.faults.outage = True
        time.sleep(chance.uniform(0, 0.3))
        webhook.faults.outage = False
        time.sleep(chance.uniform(0, 0.3))
    account.finish()
    webhook.faults.drop = webhook.faults.reject = None
    dropped = {
        number
        for number, answer in account.answers.items()
        if answer and answer.status == 200 and answer.json == []
    }
    assert dropped and all(number % 7 == 0 for number in dropped)
    for number in dropped:
        del account.answers[number]
    assert all(number % 31 for number in account.acknowledged())
    account.balances()


# ---- strange answers


def answered(
    sandbox: Sandbox, rewrite: Callable[[list[Incident]], Any], events: int = 40
) -> Account:
    """Post events together while createIncidents' answers are rewritten."""
    sandbox.faults.latency["createIncidents"] = 0.05  # so that many of them share a call
    sandbox.faults.answer = rewrite
    account = Account(sandbox, senders=events)
    account.start(events)
    account.finish(stop=False)
    assert max(sandbox.batches) > 5
    return account


REWRITES: dict[str, Callable[[list[Incident]], Any]] = {
    "reordered": lambda created: created[::-1],
    "shuffled": lambda created: random.Random(1).sample(created, len(created)),
    "longer": lambda created: [
        *created,
        {"id": "9999", "name": "a stranger", "rawJSON": '{"n": -1}'},
    ],
    "longer in front": lambda created: [
        {"id": "9999", "name": "a stranger", "rawJSON": '{"n": -1}'},
        *created,
    ],
    "without rawJSON": lambda created: [{**incident, "rawJSON": ""} for incident in created[::-1]],
    "without names": lambda created: [{**incident, "name": ""} for incident in created[::-1]],
    "ids and names": lambda created: [
        {"id": incident["id"], "name": incident["name"]} for incident in created[::-1]
    ],
}


@pytest.mark.parametrize("rewrite", REWRITES.values(), ids=REWRITES)
def test_each_sender_gets_exactly_its_own_incident(
    webhook: Sandbox, rewrite: Callable[[list[Incident]], Any]
) -> None:
    account = answered(webhook, rewrite)
    assert account.statuses() == {200: 40}
    ids = {
        number: incident["id"]
        for incident, number in zip(webhook.incidents(), numbers_of(webhook.incidents()))
    }
    assert {
        number: [created["id"] for created in answer.json]
        for number, answer in account.answers.items()
        if answer
    } == {number: [ids[number]] for number in account.answers}


def test_only_the_sender_whose_incident_a_rule_dropped_gets_an_empty_array(
    webhook: Sandbox,
) -> None:
    webhook.faults.drop = lambda incident: json.loads(incident["rawJSON"])["n"] % 3 == 0
    account = answered(webhook, lambda created: created[::-1])
    stored = {
        incident["id"]: number
        for incident, number in zip(webhook.incidents(), numbers_of(webhook.incidents()))
    }
    for number, answer in account.answers.items():
        assert answer and answer.status == 200
        numbers = [stored[created["id"]] for created in answer.json]
        assert numbers == ([] if number % 3 == 0 else [number])


UNREADABLE: dict[str, Callable[[list[Incident]], Any]] = {
    "text": lambda _: "this is not JSON",
    "nested too deep": lambda _: "[" * 100_000,
    "half an array": lambda created: json.dumps(created)[:-20],
    "an empty line": lambda _: "",
    "an object": lambda created: {"data": created},
    "a number": lambda _: 5,
    "a string": lambda _: '"created"',
    "true": lambda _: True,
    "ids only": lambda created: [incident["id"] for incident in created],
    "nulls": lambda created: [None for _ in created],
    "empty objects": lambda created: [{} for _ in created],
}


@pytest.mark.parametrize("rewrite", UNREADABLE.values(), ids=UNREADABLE)
def test_an_answer_that_says_nothing_is_502_and_nothing_is_sent_again(
    webhook: Sandbox, rewrite: Callable[[list[Incident]], Any]
) -> None:
    account = answered(webhook, rewrite, events=20)
    assert account.statuses() == {502: 20}
    assert all(
        "may have been created" in answer.error for answer in account.answers.values() if answer
    )
    assert len(account.created()) == 20  # each once


@pytest.mark.parametrize("text", ["null", "[]"])
def test_no_incident_at_all_is_an_empty_array_for_everyone(webhook: Sandbox, text: str) -> None:
    webhook.faults.drop = ""  # every name holds it: a rule drops them all
    account = answered(webhook, lambda _: text, events=10)
    assert account.statuses() == {200: 10}
    assert all(answer.json == [] for answer in account.answers.values() if answer)
    assert webhook.incidents() == []


def test_one_incident_as_an_object_of_its_own_is_an_answer(webhook: Sandbox) -> None:
    webhook.faults.answer = lambda created: created[0]
    answered_with = [incident["id"] for incident in ask(webhook, post(numbered(1))).json]
    assert answered_with == [incident["id"] for incident in webhook.incidents()]


def test_what_nothing_tells_apart_is_not_guessed(webhook: Sandbox) -> None:
    webhook.faults.answer = lambda created: [{"id": incident["id"]} for incident in created[1:]]
    answer = ask(webhook, post(numbered(1, 2, 3)))
    assert answer.status == 502
    assert len(webhook.incidents()) == 3


def test_twins_of_which_one_is_dropped_are_not_both_acknowledged_with_an_id(
    webhook: Sandbox,
) -> None:
    seen: list[Incident] = []

    def first_only(incident: Incident) -> bool:
        seen.append(incident)
        return len(seen) == 1

    webhook.faults.drop = first_only
    twin = b'{"name": "twin", "occurred": "2024-05-01T12:00:00Z", "n": 1}'
    webhook.faults.latency["createIncidents"] = 0.2
    answers = in_parallel([lambda: ask(webhook, post(twin)) for _ in range(6)])
    ids = [created["id"] for answer in answers for created in answer.json]
    assert len(ids) == len(set(ids)) == len(webhook.incidents()) == 5


# ---- the server's error marker


def test_the_error_marker_anywhere_is_no_error_and_stays_whole_in_raw_json(
    webhook: Sandbox,
) -> None:
    posts = [
        post(
            json.dumps(
                {"name": f"a {MARKER} b", "type": MARKER, MARKER: [MARKER, {"x": MARKER * 2}]}
            ).encode()
        ),
        post(
            json.dumps(
                {"name": MARKER, "details": MARKER, "owner": MARKER, "raw_json": {"x": MARKER}}
            ).encode()
        ),
        post(
            json.dumps(
                {
                    "raw_json": json.dumps({"x": MARKER}),
                    "labels": [{"type": MARKER, "value": MARKER}],
                }
            ).encode()
        ),
        post(
            json.dumps(
                {"raw_json": {"x": MARKER}, "customFields": {MARKER: {MARKER: [MARKER]}}}
            ).encode()
        ),
        post(json.dumps({"x": "[\\ud83d\\ude00" + MARKER}).encode()),
        post(('{"x": "\\\\' + MARKER + '"}').encode()),
        post(b"{}", b"X-Marker: " + MARKER.encode(), target=b"/?q=" + MARKER.encode()),
        post(b"{}", b"User-Agent: " + MARKER.encode()),
        post(f"plain text {MARKER}".encode(), b"Content-Type: text/plain"),
        post(f"a={MARKER}&{MARKER}=b".encode(), b"Content-Type: application/x-www-form-urlencoded"),
        post(json.dumps({"x": MARKER}).replace("[", "\\u005b").encode()),
    ]
    for data in posts:
        answer = ask(webhook, data)
        assert answer.status == 200, answer
        incident = webhook.incidents()[-1]
        assert MARKER in json.dumps(json.loads(incident["rawJSON"]), ensure_ascii=False)
    assert webhook.health == ""


# ---- the connection to XSOAR


def test_heartbeats_go_on_after_a_call_that_killed_the_platforms() -> None:
    constants = {"HEARTBEAT_SECONDS": 1, "HEARTBEAT_LOCK_SECONDS": 6}
    with Sandbox(constants=constants, heartbeat_interval=0.5, lock_timeout=1) as sandbox:
        await_that(lambda: sandbox.calls["heartbeat"] > 1)
        sandbox.faults.latency["createIncidents"] = 2.5
        assert ask(sandbox, post()).status == 200
        beats = sandbox.calls["heartbeat"]
        await_that(lambda: sandbox.calls["heartbeat"] >= beats + 2, 20)
        # The platform's thread is dead, as it would be.
        assert any("RuntimeError" in line for line in sandbox.stderr)
        assert not sandbox.protocol_errors


def last_words(sandbox: Sandbox) -> str:
    assert sandbox.wait_exit(8) not in (None, 0)
    assert not sandbox.protocol_errors
    [line] = [line for line in sandbox.stderr if line]
    return line


def test_a_connection_that_closes_while_idle_ends_the_process_with_a_sentence() -> None:
    with Sandbox() as sandbox:
        started = time.monotonic()
        sandbox.break_pipe()
        assert "closed the connection" in last_words(sandbox)
        assert time.monotonic() - started < 5


def test_a_connection_that_closes_in_a_call_answers_502_and_ends_the_process() -> None:
    with Sandbox() as sandbox:
        sandbox.faults.hang.set()
        with connect(sandbox) as connection:
            connection.sendall(post())
            await_that(lambda: sandbox.calls["createIncidents"])
            sandbox.break_pipe()
            answer = read_answer(connection)
        assert answer and answer.status == 502
        assert "may have been created" in answer.error
        assert "closed the connection" in last_words(sandbox)


@contextlib.contextmanager
def bare_connection() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the integration without a sandbox; yield its process and port once it listens."""
    port = free_port()
    descriptor = load()
    params = descriptor.params({"longRunningPort": str(port)})
    command = {
        "script": descriptor.script(),
        "command": "long-running-execution",
        "params": params,
        "integration": True,
    }
    with subprocess.Popen(
        [sys.executable, "-P", str(LOOP)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdin and process.stdout
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
            while "listens" not in process.stdout.readline():
                process.stdin.write('{"context": {}, "version": {"version": 0}}\n')
                process.stdin.flush()
            process.stdin.write("{}\n")
            process.stdin.flush()
            yield process, port
        finally:
            process.kill()


def test_a_connection_whose_other_half_closes_ends_the_process_too() -> None:
    with bare_connection() as (process, port):
        assert process.stdout and process.stderr
        process.stdout.close()  # stdin stays open
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(post())
            answer = read_answer(connection)
        assert answer and answer.status == 503  # nothing was sent, so it may be repeated
        assert process.wait(8) not in (None, 0)
        assert "closed the connection" in process.stderr.read()


# ---- integration context

DAMAGES: dict[str, Any] = {
    "no object": [1, 2],
    "wrong values": {
        "sample_events": '[{"rawJSON": 5, "name": []}]',
        "found_ids": '{"n:1": {"deep": [1]}}',
    },
    "bottomless": {"sample_events": "[" * 100_000, "found_ids": '{"a":' * 50_000},
    "huge": {
        "sample_events": json.dumps([{"name": "x" * 1000}] * 500),
        "found_ids": json.dumps([f"n:{n}" for n in range(20_000)]),
    },
}


def survive(damage: Any) -> None:
    with sandboxed(
        constants={"FLUSH_SECONDS": 0.2},
        context=damage,
        params={"store_samples": True, "duplication_key": "n"},
    ) as sandbox:
        for number in (50_001, 50_002):
            assert ask(sandbox, post(b'{"name": "new", "n": %d}' % number)).status == 200
        repeated = ask(sandbox, post(b'{"name": "new", "n": 50001}')).json
        assert repeated[0]["duplicate"] is True

        def replaced() -> bool:
            context = sandbox.context()
            if not isinstance(context, dict) or not all(
                isinstance(text, str) for text in context.values()
            ):
                return False
            with contextlib.suppress(ValueError, RecursionError, AttributeError):
                names = [sample.get("name") for sample in json.loads(context["sample_events"])]
                return names[-2:] == ["new", "new"] and "n,json:50002" in json.loads(
                    context["found_ids"]
                )
            return False

        await_that(replaced, 30)
        assert [sample["name"] for sample in sandbox.run("fetch-incidents")[-2:]] == ["new", "new"]
        time.sleep(1.2)
        assert sum("damaged" in text for _, text in sandbox.logs) <= 1
        assert not sandbox.health


def test_a_damaged_context_harms_no_request_and_is_replaced() -> None:
    def survive_it(name: str) -> None:
        try:
            survive(DAMAGES[name])
        except BaseException as error:
            error.add_note(f"the context was: {name}")
            raise

    in_parallel([partial(survive_it, name) for name in DAMAGES])


def test_a_version_clash_is_retried_behind_the_requests() -> None:
    with sandboxed(constants={"FLUSH_SECONDS": 0.2}, params={"store_samples": True}) as sandbox:
        sandbox.faults.stale = 3
        passed = seconds_of(sandbox)
        assert ask(sandbox, post(b'{"name": "kept"}')).status == 200
        assert passed() < 0.2
        await_that(lambda: "kept" in sandbox.context().get("sample_events", ""), 30)
        await_that(lambda: not sandbox.health)


def test_a_context_that_cannot_be_reached_costs_no_incident() -> None:
    faults = Faults(fail={"getIntegrationContext": 4})
    params = {"store_samples": True, "duplication_key": "n"}
    with sandboxed(constants={"FLUSH_SECONDS": 0.2}, params=params, faults=faults) as sandbox:
        assert ask(sandbox, post(b'{"n": 1, "name": "kept"}')).status == 200
        assert ask(sandbox, post(b'{"n": 1}')).json[0]["duplicate"] is True
        await_that(lambda: "kept" in sandbox.context().get("sample_events", ""), 30)
        await_that(lambda: not sandbox.health)


def test_requests_wait_for_the_seen_events_only_so_long() -> None:
    faults = Faults(latency={"getIntegrationContext": 30})
    constants = {"WITHDRAW_SECONDS": 1}
    with Sandbox(constants=constants, params={"duplication_key": "n"}, faults=faults) as sandbox:
        answer = ask(sandbox, post(b'{"n": 1}'), timeout=5)
        assert answer.status == 503
        sandbox.stop(grace=3)


# ---- the process


def test_sigterm_in_the_middle_of_load_cuts_nobody_off() -> None:
    with Sandbox(constants={"DRAIN_SECONDS": 2}) as sandbox:
        sandbox.faults.latency["createIncidents"] = 0.1
        account = Account(sandbox, senders=32)
        account.start()
        with connect(sandbox) as uploading, connect(sandbox) as beginning:
            uploading.sendall(post(b'{"n": ', length=1000))
            beginning.sendall(b"POST / HTTP/1.1\r\nHost:")
            time.sleep(0.7)
            refused: list[Answer | None] = []
            sandbox.terminate()
            started = time.monotonic()
            refused = [read_answer(uploading), read_answer(beginning)]
        assert sandbox.wait_exit() == 0
        assert time.monotonic() - started < 10
        account.finish()
        assert [answer and answer.status for answer in refused] == [503, 503]
        account.balances()
        assert account.statuses()[200] > 32
        assert not sandbox.protocol_errors
        assert not sandbox.stderr


def test_sigterm_also_answers_requests_that_wait_for_the_first_of_their_event() -> None:
    with sandboxed(constants={"DRAIN_SECONDS": 1}, params={"duplication_key": "n"}) as sandbox:
        sandbox.faults.hang.set()
        with connect(sandbox) as first, connect(sandbox) as second:
            first.sendall(post(b'{"n": 1}'))
            await_that(lambda: sandbox.calls["createIncidents"])
            second.sendall(post(b'{"n": 1}'))
            time.sleep(0.2)
            sandbox.terminate()
            answers = [read_answer(first), read_answer(second)]
        assert [answer and answer.status for answer in answers] == [502, 502]
        assert all(answer and "may have been created" in answer.error for answer in answers)
        sandbox.faults.hang.clear()  # nobody waits for XSOAR's answer
        assert sandbox.wait_exit(5) == 0
        assert numbers_of(sandbox.incidents()) == [1]


def test_samples_and_seen_events_of_the_last_moment_survive_sigterm() -> None:
    with sandboxed(params={"store_samples": True, "duplication_key": "n"}) as sandbox:
        assert ask(sandbox, post(b'{"n": 1, "name": "the last one"}')).status == 200
        sandbox.restart()
        assert [sample["name"] for sample in sandbox.run("fetch-incidents")] == ["the last one"]
        assert ask(sandbox, post(b'{"n": 1}')).json[0]["duplicate"] is True
        assert len(sandbox.incidents()) == 1


def test_sigkill_loses_at_most_what_was_not_answered() -> None:
    with Sandbox() as sandbox:
        account = Account(sandbox, senders=32)
        account.start()
        time.sleep(0.7)
        sandbox.kill()
        sandbox.wait_exit(5)
        time.sleep(0.1)
        account.finish()
        assert account.acknowledged() <= account.created()
        assert len(account.acknowledged()) > 100
        lost = account.created() - account.acknowledged()
        assert all(account.answers[number] is None for number in lost)
        sandbox.restart()
        assert ask(sandbox, post()).status == 200


def test_a_sender_that_breaks_off_is_not_our_failure(webhook: Sandbox) -> None:
    before = len(webhook.logs)
    reset = struct.pack("ii", 1, 0)
    for data in (
        b"",
        b"POST / HT",
        post(b'{"a": ', length=99),
        post(b"{}", b"X: " + b"x" * 100),
        post(b"", length=10**9),
    ):
        for _ in range(4):
            connection = connect(webhook)
            connection.sendall(data)
            time.sleep(0.01)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            connection.close()
    time.sleep(1.3)
    assert not [text for level, text in webhook.logs[before:] if level == "error"]
    assert ask(webhook, post()).status == 200


# ---- the machine


def test_without_a_place_for_temporary_files_everything_that_can_work_works(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    with sandboxed(
        env={"TMPDIR": nowhere},
        python=shell_limited(tmp_path, "-f 0"),
        params={"store_samples": True},
    ) as sandbox:
        for data in (post(), post(b"x" * (5 * MIB), b"Content-Type: text/plain")):
            assert ask(sandbox, data).status == 200
        upload = (
            b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
            + b"y" * MIB
            + b"\r\n--x--\r\n"
        )
        assert (
            ask(sandbox, post(upload, b"Content-Type: multipart/form-data; boundary=x")).status
            == 200
        )


def test_a_full_disk_says_so_for_a_certificate_and_recovery_needs_no_restart(
    tmp_path: Path,
) -> None:
    pair = certificate()
    blocked = tmp_path / "tmp"
    blocked.write_text("in the way")  # no folder: nothing can be written in it
    with Sandbox(
        params=pair.params,
        env={"TMPDIR": str(blocked), "TMP": str(blocked), "TEMP": str(blocked)},
        python=shell_limited(tmp_path, "-f 0"),
        wait=0,
    ) as sandbox:
        health = await_that(lambda: sandbox.health)
        assert "Certificate" in health
        assert "disk" in health
        assert "Traceback" not in health
        assert not sandbox.exited


def test_a_certificate_is_looked_at_again_while_the_webhook_runs(tmp_path: Path) -> None:
    # Once this file exists, the container's clock runs ten days ahead.
    later = tmp_path / "ten days later"
    shifted = f"lambda: original() + (864000 if os.path.exists({str(later)!r}) else 0)"
    params = certificate(timedelta(days=20)).params
    with sandboxed(
        constants={"CERTIFICATE_CHECK_SECONDS": 1},
        replacements={"time.time": shifted},
        params=params,
    ) as sandbox:
        await_that(lambda: any("listens" in text for _, text in sandbox.logs))
        assert not sandbox.health
        later.touch()
        await_that(lambda: "expires in" in sandbox.health, 30)


# ---- our own failures


def test_a_failure_over_a_request_is_500_and_its_place_is_logged() -> None:
    failing = "lambda body, *more: original(body if b'confidence' not in body else None, *more)"
    with sandboxed(replacements={"read_payload": failing}) as sandbox:
        failed = ask(sandbox, post(b'{"told": "in confidence"}'))
        assert failed.status == 500
        assert "its log says why" in failed.error
        assert ask(sandbox, post(b"no JSON")).status == 200
        logged = re.compile(
            r"A request failed in read_payload, line (\d+): (?:Attribute|Type)Error"
        )
        [line] = await_that(
            lambda: [int(found[1]) for _, text in sandbox.logs if (found := logged.fullmatch(text))]
        )
        assert PACK or line in lines_of("read_payload")
        assert "confidence" not in str(sandbox.logs)


def lines_of(function: str) -> range:
    """Return the numbers of the lines that a function occupies in its module's file."""
    bodies = (
        ast.parse(file.read_text(encoding="utf-8")).body
        for file in API_MODULES.rglob("*ApiModule.py")
    )
    [found] = [
        node
        for node in itertools.chain.from_iterable(bodies)
        if isinstance(node, ast.FunctionDef) and node.name == function
    ]
    return range(found.lineno, (found.end_lineno or 0) + 1)


def test_a_failure_of_the_writer_costs_the_incidents_it_was_at() -> None:
    failing = "lambda sent, answer: original(sent, answer) if answer != 5 else len(answer)"
    with sandboxed(replacements={"match_incidents": failing}) as sandbox:
        sandbox.faults.answer = lambda _: "5"
        failed = ask(sandbox, post(numbered(1)))
        assert failed.status == 502
        assert "may have been created" in failed.error
        sandbox.faults.answer = None
        assert ask(sandbox, post(numbered(2))).status == 200
        assert numbers_of(sandbox.incidents()) == [1, 2]
        await_that(lambda: "The incident writer failed: TypeError" in str(sandbox.logs))


def test_a_server_that_ends_is_started_again() -> None:
    stopped = (
        "lambda self, first=iter([1]): "
        "(original(self), next(first, 0) and gevent.spawn_later(1, self.stop))"
    )
    with sandboxed(replacements={"Server.start": stopped}) as sandbox:
        await_that(
            lambda: ("error", "The server ended unexpectedly and is started again.") in sandbox.logs
        )
        await_that(lambda: "Server: recovered" in str(sandbox.logs))
        assert ask(sandbox, post()).status == 200
