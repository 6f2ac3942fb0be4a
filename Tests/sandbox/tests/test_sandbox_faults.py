"""The faults that can be set for the container's calls."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from Tests.end_to_end.hostile import seconds_of
from Tests.sandbox import Faults
from Tests.sandbox.tests.probe import Make, ask, create


def test_latency_and_hang_delay_a_call(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe, faults=Faults(latency={"createIncidents": 0.2}))
    started, passed = time.monotonic(), seconds_of(sandbox)
    ask(sandbox, create())
    assert passed() < 1
    assert time.monotonic() - started >= 0.2
    sandbox.faults.latency.clear()
    sandbox.faults.hang.set()
    answers: list[Any] = []
    caller = threading.Thread(target=lambda: answers.append(ask(sandbox, create())))
    caller.start()
    time.sleep(0.2)
    assert answers == []
    sandbox.faults.hang.clear()
    caller.join(5)
    assert len(answers) == 1


def test_the_next_calls_fail_then_no_more(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe, faults=Faults(fail={"createIncidents": 2, "info": 1}))
    assert ask(sandbox, "demisto.info('x')")["error"] == "ValueError"
    outcomes = ["error" in ask(sandbox, create()) for _ in range(3)]
    assert outcomes == [True, True, False]
    assert len(sandbox.incidents()) == 1


def test_an_outage_lasts_until_it_is_over(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe, faults=Faults(outage=True))
    assert "error" in ask(sandbox, create())
    sandbox.faults.outage = False
    assert ask(sandbox, create())[0]["id"] == "1"


@pytest.mark.parametrize(
    "match", ["poison", lambda incident: incident["name"] == "poison"], ids=["text", "function"]
)
def test_rejected_and_dropped_incidents(make_sandbox: Make, probe: Path, match: Any) -> None:
    sandbox = make_sandbox(script=probe, faults=Faults(reject=match))
    batch = "demisto.createIncidents([{'name': 'a'}, {'name': 'poison'}, {'name': 'b'}])"
    assert ask(sandbox, batch)["error"] == "ValueError"
    assert sandbox.incidents() == []
    sandbox.faults.reject, sandbox.faults.drop = None, match
    assert [incident["name"] for incident in ask(sandbox, batch)] == ["a", "b"]
    assert [incident["name"] for incident in sandbox.incidents()] == ["a", "b"]


@pytest.mark.parametrize(
    ("rewrite", "seen"),
    [
        (lambda created: created[:1], ["a"]),
        (lambda created: created[::-1], ["b", "a"]),
        (lambda created: [*created, {"name": "c"}], ["a", "b", "c"]),
        (lambda created: None, None),
        (lambda created: {"oops": True}, {"oops": True}),
        (lambda created: "not\njson", "JSONDecodeError"),
    ],
    ids=["shorter", "reordered", "longer", "null", "object", "no JSON"],
)
def test_a_rewritten_answer_does_not_change_what_was_created(
    make_sandbox: Make, probe: Path, rewrite: Any, seen: Any
) -> None:
    sandbox = make_sandbox(script=probe, faults=Faults(answer=rewrite))
    answer = ask(sandbox, "demisto.createIncidents([{'name': 'a'}, {'name': 'b'}])")
    if isinstance(answer, list):
        answer = [incident["name"] for incident in answer]
    elif isinstance(answer, dict):
        answer = answer.get("error", answer)
    assert answer == seen
    assert [incident["name"] for incident in sandbox.incidents()] == ["a", "b"]


def test_random_failures_repeat_with_their_seed(make_sandbox: Make, probe: Path) -> None:
    def outcomes() -> list[bool]:
        sandbox = make_sandbox(script=probe, faults=Faults(random_failure=(0.5, 7)))
        failed = ["error" in ask(sandbox, create()) for _ in range(30)]
        assert len(sandbox.incidents()) == failed.count(False)
        return failed

    first = outcomes()
    assert 0 < sum(first) < 30
    assert outcomes() == first
