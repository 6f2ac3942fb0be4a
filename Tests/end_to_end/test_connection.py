"""The connection to XSOAR: whatever it brings, no sender gets another one's incident.

We create none twice either.
"""

import contextlib
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from Tests.end_to_end.hostile import ask, connect, in_parallel, post, read_answer, sandboxed
from Tests.end_to_end.sender import Answer, await_that
from Tests.sandbox import Sandbox
from Tests.sandbox.store import Incident


def event(number: int, **fields: Any) -> bytes:
    return post(json.dumps({"name": f"event {number}", "n": number, **fields}).encode())


def numbers_by_id(sandbox: Sandbox) -> dict[str, int]:
    """Return the event of each incident that exists."""
    return {
        incident["id"]: json.loads(incident["rawJSON"])["n"] for incident in sandbox.incidents()
    }


def acknowledged(answer: Answer | None) -> list[str]:
    """Return the IDs that a sender was answered with 200."""
    return (
        [created["id"] for created in answer.json]
        if answer is not None and answer.status == 200
        else []
    )


class Senders:
    """Senders of numbered events, each on its own connection, again as soon as it is answered."""

    def __init__(self, sandbox: Sandbox, senders: int, numbers: "itertools.count[int]") -> None:
        self.sandbox = sandbox
        self.answers: dict[int, Answer | None] = {}
        self._numbers = numbers
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(senders)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        connection = None
        while not self._over.is_set():
            number = next(self._numbers)
            self.answers[number] = None
            try:
                connection = connection or connect(self.sandbox, timeout=30)
                connection.sendall(event(number))
                self.answers[number] = read_answer(connection)
            except OSError:
                self.answers[number] = None
            if self.answers[number] is None:
                if connection:
                    connection.close()
                connection = None
                time.sleep(0.02)
        if connection:
            connection.close()

    def finish(self) -> None:
        """Wait until all are answered."""
        self._over.set()
        for thread in self._threads:
            thread.join(40)
            assert not thread.is_alive(), "a sender was not answered"


def assert_nobody_got_a_stranger_s(sandbox: Sandbox, answers: dict[int, Answer | None]) -> None:
    exists = numbers_by_id(sandbox)
    pairs = [
        (number, identifier)
        for number, answer in answers.items()
        for identifier in acknowledged(answer)
    ]
    assert [
        (number, identifier) for number, identifier in pairs if exists.get(identifier) != number
    ] == []
    assert [
        identifier
        for identifier, count in Counter(identifier for _, identifier in pairs).items()
        if count > 1
    ] == []


SURPLUS: dict[str, Callable[[bytes], bytes]] = {
    "the answer again": lambda line: line + line,
    "a blank line behind it": lambda line: line + b"\n",
    "a blank line before it": lambda line: b"\n" + line,
    "a line break within it": lambda line: line.replace(b'"name"', b'\n"name"', 1),
    "somebody else's answer before it": lambda line: (
        b'[{"id":"9999","name":"a stranger","rawJSON":"{}"}]\n' + line
    ),
    "two lines of nothing": lambda line: line + b"null\nnull\n",
}


@pytest.mark.parametrize("name", SURPLUS)
def test_a_line_nobody_asked_for_ends_the_process_and_nobody_gets_a_strangers_incident(
    name: str,
) -> None:
    with sandboxed(params={"duplication_key": "n"}) as sandbox:
        senders = Senders(sandbox, 8, itertools.count(1))
        await_that(lambda: len(senders.answers) > 50)
        broken = threading.Event()

        def once(line: bytes) -> bytes:
            if broken.is_set():
                return line
            broken.set()
            return SURPLUS[name](line)

        sandbox.faults.wire = once
        await_that(lambda: sandbox.exited, 10)
        await_that(lambda: "out of step" in sandbox.health)
        senders.finish()
        assert {answer.status for answer in senders.answers.values() if answer} <= {200, 502, 503}
        assert_nobody_got_a_stranger_s(sandbox, senders.answers)
        found = json.loads((sandbox.context() or {}).get("found_ids", "{}"))
        exists = numbers_by_id(sandbox)
        assert all(
            exists[identifier] == int(key.rpartition(":")[2]) for key, identifier in found.items()
        )
        sandbox.restart()
        assert ask(sandbox, event(0)).status == 200
        await_that(lambda: not sandbox.health)


def test_one_object_twice_is_one_incident_s_and_the_other_one_is_in_doubt() -> None:
    with sandboxed() as sandbox:
        sandbox.faults.answer = lambda created: [created[0], created[0]]
        answer = ask(sandbox, post(b'[{"name": "a", "n": 1}, {"name": "b", "n": 2}]'))
        assert answer.status == 502
        assert answer.error.startswith("[1]: ")
        assert "may have been created" in answer.error
        assert "Created: 1." in answer.error
        sandbox.faults.answer = None
        assert ask(sandbox, event(3)).status == 200


def linked(created: list[Incident]) -> list[Incident]:
    """Link every second incident to the very first one."""
    return [
        {"id": "1", "name": "event 1", "rawJSON": '{"n":1}'} if number % 2 else one
        for number, one in enumerate(created)
    ]


HONEST: dict[str, Callable[[list[Incident]], Any]] = {
    "rawJSON written anew": lambda created: [
        {**one, "rawJSON": json.dumps(json.loads(one["rawJSON"]), indent=1, sort_keys=True)}
        for one in created
    ],
    "names trimmed": lambda created: [{**one, "name": one["name"][:5]} for one in created],
    "names escaped": lambda created: [
        {**one, "name": one["name"].replace(" ", "&nbsp;")} for one in created
    ],
    "rawJSON dropped": lambda created: [
        {key: value for key, value in one.items() if key != "rawJSON"} for one in created
    ],
    "nothing but IDs": lambda created: [{"id": one["id"]} for one in created],
    "a field added to rawJSON": lambda created: [
        {**one, "rawJSON": json.dumps({**json.loads(one["rawJSON"]), "added": 1})}
        for one in created
    ],
}


@pytest.mark.parametrize("name", HONEST)
def test_a_server_that_writes_answers_its_own_way_is_understood(name: str) -> None:
    with sandboxed() as sandbox:
        sandbox.faults.answer = HONEST[name]
        senders = Senders(sandbox, 8, itertools.count(1))
        await_that(lambda: sum(answer is not None for answer in senders.answers.values()) > 150, 20)
        senders.finish()
        assert not sandbox.exited
        assert {answer.status for answer in senders.answers.values() if answer} == {200}
        assert_nobody_got_a_stranger_s(sandbox, senders.answers)


def test_a_rule_that_changes_an_incident_or_links_it_to_an_older_one_does_not_end_the_process() -> (
    None
):
    with sandboxed() as sandbox:
        assert ask(sandbox, event(1)).status == 200
        for rewrite in (
            linked,
            lambda created: [
                {"id": one["id"], "name": "renamed", "rawJSON": "{}"} for one in created
            ],
        ):
            sandbox.faults.answer = rewrite
            for number in range(2, 8):
                answer = ask(sandbox, event(number))
                assert answer.status == 200
                assert len(answer.json) == 1
            sandbox.faults.answer = None
        sandbox.faults.answer = lambda created: [
            {"id": "1", "name": "event 1", "rawJSON": '{"n":1}'}
        ]
        answers = [ask(sandbox, event(number)) for number in range(10, 16)]
        assert [answer.json[0]["id"] for answer in answers] == ["1"] * 6
        assert not sandbox.exited
        assert not sandbox.health


def test_what_only_order_tells_apart_is_in_doubt_where_the_order_is_not_kept() -> None:
    items = [
        {"name": "alike", "occurred": "2024-05-01T12:00:00Z", "raw_json": {"n": number}}
        for number in (1, 2)
    ]
    items.append({"name": "another", "occurred": "2024-05-01T12:00:00Z", "raw_json": {"n": 3}})
    with sandboxed() as sandbox:
        sandbox.faults.answer = lambda created: [
            {key: value for key, value in one.items() if key != "rawJSON"} for one in created[::-1]
        ]
        answer = ask(sandbox, post(json.dumps(items).encode()))
        assert answer.status == 502
        assert answer.error.startswith("[0], [1], [2]: ")
        assert "may have been created" in answer.error


def test_bytes_in_an_id_that_are_not_utf_8_lose_no_answer() -> None:
    with sandboxed() as sandbox:
        sandbox.faults.reject = "unwanted"
        sandbox.faults.wire = lambda line: line.replace(b'"id":"', b'"id":"\xff\xfe')
        answer = ask(sandbox, post(b'[{"name": "good", "n": 1}, {"name": "unwanted", "n": 2}]'))
        assert answer.status == 502
        assert "Created: " in answer.error
        sandbox.faults.reject = None
        assert ask(sandbox, event(3)).status == 200


def test_a_ping_between_two_calls_is_answered() -> None:
    with sandboxed() as sandbox:
        assert ask(sandbox, event(1)).status == 200
        session = sandbox._living.session
        session.pong.clear()
        sandbox._living.write(b"ping\n")
        time.sleep(0.2)
        assert ask(sandbox, event(2)).status == 200
        assert session.pong.wait(5)
        assert not sandbox.health


# ---- a body that keeps the worker thread


def test_a_stuck_parser_is_503_in_time_and_ends_the_process_in_order() -> None:
    stuck = (
        "lambda *args: __import__('time').sleep(60) if len(args[0]) > 100_000 else original(*args)"
    )
    constants = {"PARSER_SECONDS": 1.0, "PARSER_STUCK_SECONDS": 8.0}
    with sandboxed(constants=constants, replacements={"read_payload": stuck}) as sandbox:
        large = post(json.dumps({"text": "x" * 200_000}).encode())
        started = time.monotonic()
        statuses = in_parallel([lambda: ask(sandbox, large, 20).status for _ in range(3)])
        assert statuses == [503] * 3
        assert time.monotonic() - started < 7.5  # before the process ends
        assert ask(sandbox, event(1)).status == 200  # small ones are not affected
        await_that(lambda: "keeps the webhook busy" in sandbox.health)
        assert sandbox.wait_exit(20) == 0
        assert sandbox.incidents()


# ---- a ledger


def at_random(seed: int) -> Callable[[bytes], bytes]:
    """Return a fault that now and then changes answers, or sends one line too many.

    It repeats, reorders, garbles, delays or replaces them.
    """
    chance = random.Random(seed)
    earlier: list[bytes] = [b"[]\n"]

    def rewrite(line: bytes) -> bytes:
        kind = chance.random()
        earlier.append(line)
        if kind < 0.02:
            return line + chance.choice(
                [b"\n", line, b"{}\n", earlier[chance.randrange(len(earlier))]]
            )
        if kind < 0.05:
            return chance.choice(
                [b"garbled\n", line[: len(line) // 2] + b"\n", b"null\n", b'{"x":1}\n']
            )
        if kind < 0.15:
            time.sleep(0.05)
        created = json.loads(line) if kind < 0.35 and line.startswith(b"[") else None
        if not created:
            return line
        if kind < 0.2:
            created.reverse()
        elif kind < 0.25:
            created[-1] = created[0]
        elif kind < 0.3:
            created = [
                {key: value for key, value in one.items() if key != "rawJSON"} for one in created
            ]
        return json.dumps(created).encode() + b"\n"

    return rewrite


@pytest.mark.parametrize("seed", [4711, 4712])
def test_a_ledger_of_sixteen_senders_balances_whatever_the_wire_does(seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    numbers = itertools.count(1)
    answers: dict[int, Answer | None] = {}
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(sandboxed(params={"duplication_key": "n"}))
        sandbox.faults.wire = at_random(seed)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            senders = Senders(sandbox, 16, numbers)
            ends = time.monotonic() + chance.uniform(1, 3)
            sandbox.faults.random_failure = (0.05, chance.randrange(1000))
            while time.monotonic() < ends and not sandbox.exited:
                time.sleep(0.02)
            if not sandbox.exited and chance.random() < 0.5:
                sandbox.terminate()
                sandbox.wait_exit(15)
            senders.finish()
            answers |= senders.answers
            if sandbox.exited:
                sandbox.restart()
        sandbox.faults.wire = sandbox.faults.random_failure = None
        assert {answer.status for answer in answers.values() if answer} <= {200, 502, 503}
        assert_nobody_got_a_stranger_s(sandbox, answers)
        twice = [
            number
            for number, count in Counter(numbers_by_id(sandbox).values()).items()
            if count > 1
        ]
        assert twice == []
        unsure = {
            number for number, answer in answers.items() if answer is None or answer.status == 502
        }
        made = set(numbers_by_id(sandbox).values())
        assert {
            number for number, answer in answers.items() if answer and answer.status == 503
        } & made == set()
        assert made <= {
            number for number, answer in answers.items() if acknowledged(answer)
        } | unsure | {
            number for number, answer in answers.items() if answer and answer.status == 200
        }


def test_gevent_s_other_loop_serves_as_well() -> None:
    with sandboxed(env={"GEVENT_LOOP": "libuv"}) as sandbox:
        senders = Senders(sandbox, 32, itertools.count(1))
        await_that(lambda: len(senders.answers) > 1000, 30)
        senders.finish()
        assert {answer.status for answer in senders.answers.values() if answer} == {200}
        assert sorted(numbers_by_id(sandbox).values()) == sorted(senders.answers)
        assert max(sandbox.batches) > 2
