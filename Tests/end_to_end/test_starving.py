"""One sender keeps neither the worker thread nor the queue to itself, and a stop loses no promise.

Senders are told apart by their addresses of the loopback interface. What is compared is who is
served first, and times only with generous bounds, because the machine may be busy.
"""

import contextlib
import gzip
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from Tests.end_to_end.hostile import (
    KIB,
    MIB,
    ask,
    memory_mib,
    port_of,
    post,
    read_answer,
    sandboxed,
)
from Tests.end_to_end.sender import Answer, await_that
from Tests.sandbox import Sandbox

JSON = b"Content-Type: application/json"
GZIP = b"Content-Encoding: gzip"
ALL_TO_ITSELF, OTHER = "127.0.0.2", "127.0.0.3"


def packed(body: bytes, *headers: bytes) -> bytes:
    return post(gzip.compress(body, 6, mtime=0), GZIP, *(headers or (JSON,)))


def connect_from(sandbox: Sandbox, address: str) -> socket.socket:
    return socket.create_connection(
        ("127.0.0.1", port_of(sandbox)), timeout=120, source_address=(address, 0)
    )


def ask_from(sandbox: Sandbox, address: str, request: bytes) -> Answer:
    with connect_from(sandbox, address) as connection:
        connection.sendall(request)
        answer = read_answer(connection)
    assert answer is not None
    return answer


@contextlib.contextmanager
def hogging(sandbox: Sandbox, requests: list[bytes]) -> Iterator[list[tuple[float, int]]]:
    """Send requests of one address at once; yield when, in monotonic time, each was answered."""
    answered: list[tuple[float, int]] = []

    def send(request: bytes) -> None:
        with connect_from(sandbox, ALL_TO_ITSELF) as connection:
            connection.sendall(request)
            answer = read_answer(connection)  # none where the process ends meanwhile
        answered.append((time.monotonic(), answer.status if answer else 0))

    threads = [threading.Thread(target=send, args=(one,), daemon=True) for one in requests]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive()


def numbers(sandbox: Sandbox) -> list[int]:
    return [json.loads(incident["rawJSON"])["n"] for incident in sandbox.incidents()]


# ---- the worker thread and the queue

FLOATS = b'{"a":[' + b"1.5," * 1_990_000 + b"1]}"  # more numbers are refused
WORK = {
    "many floats": FLOATS,
    "many strings": b'{"a":[' + b'"b",' * 1_900_000 + b'"b"]}',
    "many keys": b"{" + b",".join(b'"%d":1' % number for number in range(450_000)) + b"}",
}


@pytest.mark.parametrize("name", WORK)
def test_a_body_of_another_sender_waits_for_one_body_at_most(name: str) -> None:
    small = post(json.dumps({"name": "small", "text": "x" * 40 * KIB}).encode(), JSON)
    with sandboxed() as sandbox, hogging(sandbox, [packed(WORK[name])] * 6) as answered:
        await_that(lambda: sandbox.calls["createIncidents"], 120)
        sent = time.monotonic()
        answer = ask_from(sandbox, OTHER, small)
        done = time.monotonic()
        assert answer.status == 200
        # Two were waiting for XSOAR, one was being read, one more may have begun meanwhile. Without
        # fair turns all six would have been first.
        assert sum(sent < moment < done for moment, _ in answered) <= 4


def test_an_incident_of_another_sender_does_not_wait_for_a_full_queue() -> None:
    many = json.dumps([{"name": "many", "i": number} for number in range(9_990)]).encode()
    with sandboxed() as sandbox:
        sandbox.faults.latency["createIncidents"] = 0.4
        with hogging(sandbox, [packed(many)] * 2) as answered:
            await_that(lambda: len(sandbox.incidents()) >= 1000, 60)
            answer = ask_from(sandbox, OTHER, post(b'{"name": "single"}', JSON))
            assert answer.status == 200
            stored = [incident["name"] for incident in sandbox.incidents()]
            assert not answered  # both of the many are still in the queue
            # It shared the second call of those that began once it was there.
            assert stored.index("single") <= 5000
        assert sorted(status for _, status in answered) == [200, 200]
        assert len(sandbox.incidents()) == 2 * 9_990 + 1


def test_the_rest_of_the_queue_is_for_those_who_have_nothing_in_it() -> None:
    many = json.dumps([{"i": number} for number in range(900)]).encode()
    with sandboxed(constants={"MAX_QUEUED_INCIDENTS": 1000}) as sandbox:
        sandbox.faults.hang.set()
        with hogging(sandbox, [packed(many)]) as answered:
            await_that(lambda: sandbox.calls["createIncidents"], 30)
            assert ask_from(sandbox, ALL_TO_ITSELF, packed(many)).status == 503
            with connect_from(sandbox, OTHER) as other:
                other.sendall(post(b'{"name": "single"}'))
                time.sleep(0.5)
                sandbox.faults.hang.clear()
                answer = read_answer(other)
                assert answer is not None and answer.status == 200
        assert [status for _, status in answered] == [200]


# ---- what the events of a request share is read once

LONG = "y" * 4_000_000
MANY = [{"id": str(number)} for number in range(3000)]
SHARED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a known sender's identity": (
        {},
        {
            "project": {"name": "x", "id": LONG},
            "org": {"id": "o"},
            "newIssues": [{**one, "issueData": {"title": "t"}, "pkgName": "p"} for one in MANY],
            "removedIssues": [],
        },
    ),
    "a text as duplication key": (
        {"events_path": "a", "duplication_key": "parent.k"},
        {"a": MANY, "k": LONG},
    ),
    "an array as duplication key": (
        {"events_path": "a", "duplication_key": "parent.k+id"},
        {"a": MANY, "k": ["z"] * 400_000},
    ),
    "an array in a condition": (
        {"events_path": "a", "ignore_when": "parent.k=x, id!=2"},
        {"a": MANY, "k": ["z"] * 400_000},
    ),
    "the ID of a delivery of Firehose": (
        {},
        {"requestId": LONG, "timestamp": 1, "records": [{"data": "eyJhIjoxfQ=="}] * 3000},
    ),
}


@pytest.mark.parametrize("name", SHARED)
def test_what_events_share_is_read_once(name: str) -> None:
    params, payload = SHARED[name]
    with sandboxed(params=params) as sandbox:
        before = processor_seconds(sandbox)
        request = packed(json.dumps(payload).encode())
        with connect_from(sandbox, OTHER) as connection:
            connection.sendall(request)
            answer = read_answer(connection)
        assert answer is not None and answer.status == 200
        # Of 3,000 events; read once for each of them, it would be 30 s and more.
        assert processor_seconds(sandbox) - before < 10.0
        assert peak(sandbox) < LIMIT_MIB


# ---- what costs a stranger little

REFUSAL_MILLISECONDS = 3.0


def processor_seconds(sandbox: Sandbox) -> float:
    fields = Path(f"/proc/{sandbox.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cost_of(sandbox: Sandbox, request: bytes, status: int, count: int = 100) -> float:
    """Return the processor milliseconds of a request that is answered with a status.

    It is the least of three rounds, because a busy machine makes caches slower.
    """
    costs = []
    for _ in range(3):
        before = processor_seconds(sandbox)
        for _ in range(count):
            assert ask(sandbox, request).status == status
        costs.append((processor_seconds(sandbox) - before) * 1000 / count)
    return min(costs)


CREDENTIALS = {"credentials": {"identifier": "_hmac:X-Sign", "password": "fU8-secret"}}
STRANGERS: dict[str, tuple[dict[str, Any], bytes, int]] = {
    "no proof": (CREDENTIALS, post(b"{}" * 4000), 401),
    "many signatures": (CREDENTIALS, post(b"{}", b"X-Sign: " + b"sha256=ab, " * 1400), 401),
    "a wrong signature": (CREDENTIALS, post(b"{}" * 4000, b"X-Sign: sha256=ab"), 401),
    "many proxies": (
        {"trusted_proxies": "127.0.0.0/8, 10.0.0.0/8", "allowed_sources": "192.0.2.0/24"},
        post(b"{}", b"X-Forwarded-For: " + b", ".join([b"10.0.0.1"] * 1500)),
        403,
    ),
    "JSON that ends early": ({"keep_unreadable": False}, post(b'{"a":' * 90, JSON), 400),
    "many headers": ({}, post(b"{}", *[b"X-%d: a" % number for number in range(300)]), 431),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_refusal_is_cheap(name: str) -> None:
    params, request, status = STRANGERS[name]
    # The pause after many wrong proofs costs no processor time, but would take minutes.
    with sandboxed(params=params, replacements={"FailedLogins.add": "lambda *_: 0.0"}) as sandbox:
        assert cost_of(sandbox, request, status) < REFUSAL_MILLISECONDS


def test_a_refusal_is_cheap_while_the_queue_is_full() -> None:
    """Given: a queue with room for one more event of this sender, then with none
    When: requests of one event and of many are sent, large and small, JSON lines and arrays
    Then: each is refused before its events are made
    """
    several = [json.dumps([{"i": number} for number in range(count)]) for count in (300, 900)]
    arrays = [post(body.encode(), JSON) for body in several]
    packed_arrays = [packed(body.encode()) for body in several]
    nested = post(b'{"alerts":' + several[0].encode() + b"}", JSON)
    # On a busy machine it takes longer than events wait for XSOAR, and the queue has to stay full.
    constants = {"MAX_QUEUED_INCIDENTS": 1000, "WITHDRAW_SECONDS": 600}
    with sandboxed(constants=constants) as sandbox:
        sandbox.faults.hang.set()
        with hogging(sandbox, [packed_arrays[1]]), connect_from(sandbox, OTHER) as last:
            await_that(lambda: sandbox.calls["createIncidents"], 30)
            try:
                for request in (*arrays, *packed_arrays, nested):
                    assert cost_of(sandbox, request, 503, 100) < REFUSAL_MILLISECONDS
                last.sendall(packed(json.dumps([{"i": 1}] * 225).encode()))
                await_that(lambda: ask(sandbox, packed_arrays[0]).status == 503)
                for request in (arrays[1], packed(b"[" + b" " * MIB + b"1]")):
                    assert cost_of(sandbox, request, 503, 100) < REFUSAL_MILLISECONDS
            finally:
                sandbox.faults.hang.clear()
            answer = read_answer(last)
            assert answer is not None and answer.status == 200


# ---- a stop while something hangs


def accepted(sandbox: Sandbox, number: int) -> None:
    answer = ask(sandbox, post(b'{"n": %d}' % number))
    assert answer.status == 202, answer


def test_a_stop_while_xsoar_hangs_loses_no_promise() -> None:
    """Only what XSOAR has been given, and perhaps creates, may be created again."""
    with sandboxed(params={"answer_seconds": "0.5"}) as sandbox:
        sandbox.faults.hang.set()
        for number in range(4):
            accepted(sandbox, number)
        started = time.monotonic()
        sandbox.terminate()
        assert sandbox.wait_exit(10) == 0, "SIGKILL would have been next"
        assert time.monotonic() - started < 10
        await_that(lambda: "promised" in sandbox.context())
        sandbox.faults.hang.clear()
        sandbox.restart()
        await_that(lambda: set(numbers(sandbox)) == set(range(4)))
        await_that(lambda: "promised" not in sandbox.context())
        assert all(numbers(sandbox).count(number) == 1 for number in (1, 2, 3))


def test_a_stop_while_large_bodies_are_read_loses_no_promise() -> None:
    constants = {"DRAIN_SECONDS": 4}  # of the 10 s until SIGKILL, as a busy machine needs the rest
    with sandboxed(params={"answer_seconds": "0.5"}, constants=constants) as sandbox:
        sandbox.faults.outage = True
        accepted(sandbox, 1)
        with hogging(sandbox, [packed(FLOATS)] * 6):
            time.sleep(1)
            accepted(sandbox, 2)
            sandbox.terminate()
            assert sandbox.wait_exit(10) == 0, "SIGKILL would have been next"
        sandbox.faults.outage = False
        sandbox.restart()
        await_that(lambda: {1, 2} <= {json.loads(raw).get("n") for raw in raws(sandbox)})


def test_a_body_that_is_not_read_when_the_webhook_stops_is_503() -> None:
    with sandboxed(constants={"DRAIN_SECONDS": 1}) as sandbox:
        sandbox.faults.hang.set()
        with hogging(sandbox, [packed(body) for body in WORK.values()] * 3) as answered:
            time.sleep(1)
            sandbox.terminate()
            assert sandbox.wait_exit(10) == 0
        # None is closed without an answer; one is in flight, so that nobody knows, or none is yet.
        statuses = sorted(status for _, status in answered)
        assert statuses in ([503] * 9, [502] + [503] * 8)


def raws(sandbox: Sandbox) -> list[str]:
    return [incident["rawJSON"] for incident in sandbox.incidents()]


@pytest.mark.parametrize("failures", [1, 2, 5])
def test_a_context_that_cannot_be_read_at_first_keeps_its_promises(failures: int) -> None:
    constants = {"DRAIN_SECONDS": 1, "FLUSH_SECONDS": 0.3}
    with sandboxed(params={"answer_seconds": "0.5"}, constants=constants) as sandbox:
        sandbox.faults.outage = True
        accepted(sandbox, 1)
        sandbox.terminate()
        assert sandbox.wait_exit(10) == 0
        sandbox.faults.outage = False
        sandbox.faults.fail["getIntegrationContext"] = failures
        sandbox.restart()
        assert ask(sandbox, post(b'{"n": 2}')).status in (200, 202)
        await_that(lambda: sorted(numbers(sandbox)) == [1, 2], 20)


def test_a_stop_before_the_context_could_be_read_leaves_its_promises() -> None:
    with sandboxed(params={"answer_seconds": "0.5"}, constants={"DRAIN_SECONDS": 1}) as sandbox:
        sandbox.faults.outage = True
        accepted(sandbox, 1)
        sandbox.terminate()
        assert sandbox.wait_exit(10) == 0
        sandbox.faults.fail["getIntegrationContext"] = 1000
        sandbox.restart()
        time.sleep(0.5)
        sandbox.terminate()
        assert sandbox.wait_exit(10) == 0
        sandbox.faults.fail.clear()
        sandbox.faults.outage = False
        sandbox.restart()
        await_that(lambda: numbers(sandbox) == [1])


# ---- memory

LIMIT_MIB = 600


def peak(sandbox: Sandbox) -> float:
    return memory_mib(sandbox, peak=True)


def test_base64_with_blanks_between_is_small() -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="f"\r\nContent-Transfer-Encoding: base64'
    body = head + b"\r\n\r\n" + b" A" * 12_000_000 + b"\r\n--b--\r\n"
    with sandboxed() as sandbox:
        ask(sandbox, packed(body, b"Content-Type: multipart/form-data; boundary=b"), 120)
        assert peak(sandbox) < LIMIT_MIB


def test_waiting_requests_with_equal_keys_are_counted() -> None:
    body = json.dumps({"k": 1, "text": "x" * 30_000}).encode()
    with sandboxed(params={"duplication_key": "k"}) as sandbox, contextlib.ExitStack() as stack:
        sandbox.faults.hang.set()
        waiting = [stack.enter_context(connect_from(sandbox, OTHER)) for _ in range(700)]
        for connection in waiting:
            connection.sendall(post(body))
        time.sleep(1)
        assert peak(sandbox) < 200
        sandbox.faults.hang.clear()
        assert {answer.status for one in waiting if (answer := read_answer(one))} <= {200, 503}
        assert len(sandbox.incidents()) == 1


@pytest.mark.parametrize("text", ["t", "\U0001f600"], ids=["ascii", "emoji"])
@pytest.mark.parametrize("field", ["type", "name", "details", "owner"])
def test_a_field_of_megabytes_is_counted_or_cut(field: str, text: str) -> None:
    event = json.dumps(
        {field: text * (20 * MIB // len(text.encode())), "raw_json": {}}, ensure_ascii=False
    )
    request = packed(event.encode())
    # What glibc keeps of what the integration has freed does not count, see mallopt(3).
    returned = {"MALLOC_TRIM_THRESHOLD_": str(16 * MIB)}
    with sandboxed(params={"store_samples": True}, env=returned) as sandbox:
        for _ in range(8):
            assert ask(sandbox, request, 120).status in (200, 400)
        assert peak(sandbox) < LIMIT_MIB
        await_that(lambda: memory_mib(sandbox) < 130, 60)


def test_what_is_answered_early_is_freed_when_it_is_created() -> None:
    request = packed(json.dumps({"name": "large", "text": "x" * (20 * MIB)}).encode())
    with sandboxed(params={"answer_seconds": "60"}) as sandbox:
        for _ in range(12):
            assert ask(sandbox, request, 120).status == 200
        assert peak(sandbox) < LIMIT_MIB
        await_that(lambda: memory_mib(sandbox) < 200, 60)


def test_a_text_of_control_characters_is_bounded() -> None:
    """ESC and BEL count as text, and take seven bytes each on the way to XSOAR."""
    with sandboxed() as sandbox:
        status = ask(sandbox, packed(b"\x1b" * (25 * MIB), b"Content-Type: text/plain"), 120).status
        assert status in (200, 413)
        assert peak(sandbox) < LIMIT_MIB
