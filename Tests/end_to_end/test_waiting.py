"""Senders that cannot wait: 202 after a while, and the incidents are created later.

It does not matter how long XSOAR is away.
"""

import json
import time
from typing import Any

from Tests.end_to_end.hostile import MIB, ask, connect, post, read_answer, sandboxed
from Tests.end_to_end.sender import await_that
from Tests.sandbox import Sandbox

PARAMS = {"answer_seconds": "0.5"}


def numbers(sandbox: Sandbox) -> list[int]:
    return sorted(json.loads(incident["rawJSON"])["n"] for incident in sandbox.incidents())


def accepted(sandbox: Sandbox, body: bytes) -> dict[str, Any]:
    """Post while XSOAR is away and return the 202."""
    started = time.monotonic()
    answer = ask(sandbox, post(body), 20)
    assert answer.status == 202, answer
    assert 0.4 < time.monotonic() - started < 5
    return dict(answer.json)


def test_a_sender_that_is_answered_in_time_gets_200() -> None:
    with sandboxed(params=PARAMS) as sandbox:
        assert ask(sandbox, post(b'{"n": 1}')).status == 200
        time.sleep(0.8)
        assert numbers(sandbox) == [1]


def test_after_its_time_a_sender_gets_202_and_the_incidents_follow() -> None:
    with sandboxed(params=PARAMS, constants={"WITHDRAW_SECONDS": 1}) as sandbox:
        sandbox.faults.hang.set()
        first = accepted(sandbox, b'{"n": 1}')
        answer = accepted(sandbox, b'[{"n": 2}, {"n": 3}]')
        assert (first["accepted"], answer["accepted"]) == (1, 2)
        assert first["request"] != answer["request"]
        time.sleep(2.5)  # otherwise they would have been withdrawn by now
        sandbox.faults.hang.clear()
        await_that(lambda: numbers(sandbox) == [1, 2, 3])


def test_an_outage_of_any_length_loses_nothing_that_was_answered_202() -> None:
    with sandboxed(
        params=PARAMS, constants={"WITHDRAW_SECONDS": 1, "LONE_RETRY_SECONDS": 1}
    ) as sandbox:
        sandbox.faults.outage = True
        accepted(sandbox, b'{"n": 1}')
        time.sleep(3)
        sandbox.faults.outage = False
        await_that(lambda: numbers(sandbox) == [1])
        await_that(lambda: not sandbox.health)


def test_a_retry_meets_the_duplication_key_while_the_first_one_is_queued() -> None:
    with sandboxed(params={**PARAMS, "duplication_key": "n"}) as sandbox:
        sandbox.faults.hang.set()
        accepted(sandbox, b'{"n": 1}')
        accepted(sandbox, b'{"n": 1}')
        sandbox.faults.hang.clear()
        await_that(lambda: numbers(sandbox) == [1])
        assert ask(sandbox, post(b'{"n": 1}')).json[0]["duplicate"] is True
        assert numbers(sandbox) == [1]


def test_what_was_promised_survives_a_stop_and_is_created_once() -> None:
    with sandboxed(
        params={**PARAMS, "duplication_key": "n"},
        constants={"DRAIN_SECONDS": 1, "FLUSH_SECONDS": 0.2},
    ) as sandbox:
        sandbox.faults.outage = True
        names = [accepted(sandbox, b'{"n": %d}' % number)["request"] for number in (1, 2)]
        sandbox.terminate()
        assert sandbox.wait_exit(10) == 0
        promised = json.loads(sandbox.context()["promised"])
        assert sorted(entry["request"] for entry in promised) == sorted(names)
        sandbox.faults.outage = False
        sandbox.restart()
        await_that(lambda: numbers(sandbox) == [1, 2])
        await_that(lambda: "promised" not in sandbox.context())
        sandbox.restart()
        time.sleep(0.5)
        assert numbers(sandbox) == [1, 2]
        assert ask(sandbox, post(b'{"n": 1}')).json[0]["duplicate"] is True


def test_what_does_not_fit_in_the_context_is_named_in_the_log() -> None:
    constants = {"MAX_PROMISED_BYTES": 2 * MIB}
    with sandboxed(params=PARAMS, constants=constants) as sandbox:
        sandbox.faults.outage = True
        large = json.dumps({"n": 1, "text": "x" * 1_500_000}).encode()
        names = [accepted(sandbox, large)["request"] for _ in range(2)]
        sandbox.terminate()
        assert sandbox.wait_exit(10) == 0
        [kept] = json.loads(sandbox.context()["promised"])
        lost = next(name for name in names if name != kept["request"])
        await_that(lambda: any(level == "error" and lost in text for level, text in sandbox.logs))


def test_a_promise_that_cannot_be_kept_is_reported_in_health_and_log() -> None:
    with sandboxed(params=PARAMS) as sandbox:
        sandbox.faults.hang.set()
        sandbox.faults.reject = "unwanted"
        name = accepted(sandbox, b'[{"n": 1, "name": "unwanted"}, {"n": 2}]')["request"]
        sandbox.faults.hang.clear()
        await_that(lambda: numbers(sandbox) == [2])
        await_that(lambda: name in sandbox.health)
        assert any(level == "error" and name in text for level, text in sandbox.logs)


def test_a_full_queue_is_503_and_no_promise() -> None:
    with sandboxed(params=PARAMS, constants={"MAX_QUEUED_INCIDENTS": 2}) as sandbox:
        sandbox.faults.hang.set()
        accepted(sandbox, b'{"n": 1}')
        accepted(sandbox, b'{"n": 2}')
        answer = ask(sandbox, post(b'{"n": 3}'))
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        sandbox.faults.hang.clear()
        await_that(lambda: numbers(sandbox) == [1, 2])


def test_the_connection_of_a_202_takes_the_next_request() -> None:
    with sandboxed(params=PARAMS) as sandbox:
        sandbox.faults.hang.set()
        with connect(sandbox) as connection:
            connection.sendall(post(b'{"n": 1}'))
            first = read_answer(connection)
            sandbox.faults.hang.clear()
            connection.sendall(post(b'{"n": 2}'))
            second = read_answer(connection)
        assert [first and first.status, second and second.status] == [202, 200]
        assert numbers(sandbox) == [1, 2]
