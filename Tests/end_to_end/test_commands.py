"""The integration's commands, each in its own container next to the running one."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from Tests.end_to_end.hostile import ask, post, sandboxed
from Tests.end_to_end.sender import await_that
from Tests.sandbox import Sandbox
from Tests.sandbox.descriptor import ROOT

PARAMS = {"duplication_key": "n", "store_samples": True}
SOON = {"KEEPER_SECONDS": 0.5, "FLUSH_SECONDS": 0.1}


def outputs(sandbox: Sandbox, command: str, **args: str) -> dict[str, Any]:
    """Return the context outputs of a command."""
    [entry] = sandbox.run(command, args)
    [(prefix, values)] = entry["EntryContext"].items()
    assert (
        prefix
        == {
            "generic-webhook-reset": "GenericWebhook.Reset",
            "generic-webhook-status": "GenericWebhook.Status",
        }[command]
    )
    assert entry["HumanReadable"].startswith("### ")
    return dict(values)


def is_duplicate(sandbox: Sandbox, number: int) -> bool:
    answer = ask(sandbox, post(b'{"n": "%d"}' % number))
    assert answer.status == 200
    return bool(answer.json[0].get("duplicate"))


def stored(sandbox: Sandbox, key: str) -> Any:
    return json.loads((sandbox.context() or {}).get(key) or "null")


@pytest.mark.parametrize("what", ["samples", "events"])
def test_a_reset_is_obeyed_by_the_running_container(what: str) -> None:
    with sandboxed(params=PARAMS, constants=SOON) as sandbox:
        assert not is_duplicate(sandbox, 1)
        await_that(lambda: stored(sandbox, "found_ids") and stored(sandbox, "sample_events"))
        reported = outputs(sandbox, "generic-webhook-reset", what=what)
        assert reported == {
            "What": what,
            "Samples": int(what != "events"),
            "Events": int(what != "samples"),
        }
        await_that(lambda: "reset" not in sandbox.context())
        assert len(sandbox.run("fetch-incidents")) == (1 if what == "events" else 0)
        assert is_duplicate(sandbox, 1) == (what == "samples")
        await_that(lambda: any("generic-webhook-reset" in text for _, text in sandbox.logs))


def test_a_reset_without_a_running_container_holds_for_the_next_start() -> None:
    with sandboxed(params=PARAMS, constants=SOON) as sandbox:
        assert not is_duplicate(sandbox, 1)
        await_that(lambda: stored(sandbox, "found_ids"))
        sandbox.terminate()
        assert sandbox.wait_exit(10) == 0
        assert outputs(sandbox, "generic-webhook-reset")["Events"] == 1
        sandbox.restart()
        await_that(lambda: "reset" not in sandbox.context())
        assert not is_duplicate(sandbox, 1)


def test_resets_and_events_at_the_same_time_lose_neither() -> None:
    with sandboxed(
        params=PARAMS, constants={"KEEPER_SECONDS": 0.2, "FLUSH_SECONDS": 0.05}
    ) as sandbox:
        for number in range(10):
            assert not is_duplicate(sandbox, number)
            if number % 3 == 0:
                outputs(sandbox, "generic-webhook-reset", what="events")
        await_that(lambda: "reset" not in sandbox.context())
        assert not is_duplicate(sandbox, 0)
        assert not is_duplicate(sandbox, 100)
        await_that(lambda: "n:100" in (stored(sandbox, "found_ids") or {}))
        assert is_duplicate(sandbox, 100)


def test_a_reset_of_something_else_is_an_error_that_names_the_choice() -> None:
    with sandboxed() as sandbox:
        [entry] = sandbox.run("generic-webhook-reset", {"what": "everything"})
        assert entry["Type"] == 4
        assert "samples, events, all" in entry["Contents"]
        [entry] = sandbox.run("generic-webhook-nothing")
        assert (entry["Type"], "no command" in entry["Contents"]) == (4, True)


def test_the_status_shows_what_the_running_container_counts() -> None:
    with sandboxed(params={**PARAMS, "credentials": "user:s3cret"}, constants=SOON) as sandbox:
        for number in (1, 1, 2):
            assert (
                ask(
                    sandbox, post(b'{"n": "%d"}' % number, b"Authorization: Basic dXNlcjpzM2NyZXQ=")
                ).status
                == 200
            )
        assert ask(sandbox, post()).status == 401
        await_that(lambda: (stored(sandbox, "status") or {}).get("answers", {}).get("401") == 1)
        status = outputs(sandbox, "generic-webhook-status")
        assert (
            status["IncidentsCreated"],
            status["Duplicates"],
            status["FailedAuthentications"],
        ) == (2, 1, 1)
        assert status["Answers"] == {"200": 3, "401": 1}
        assert (status["QueuedIncidents"], status["QueuedBytes"]) == (0, 0)
        assert status["Since"] <= status["Updated"]
        assert "s3cret" not in json.dumps(sandbox.context()["status"])
        assert [row["Status"] for row in status["Refusals"]] == [401]


def test_an_idle_container_writes_nothing() -> None:
    with sandboxed(constants=SOON) as sandbox:
        assert ask(sandbox, post()).status == 200
        await_that(lambda: stored(sandbox, "status"))
        time.sleep(1.2)
        before = sandbox.calls["setIntegrationContext"]
        time.sleep(1.5)
        assert sandbox.calls["setIntegrationContext"] == before


def test_before_the_first_start_the_status_says_so() -> None:
    with Sandbox(start=False) as sandbox:
        [entry] = sandbox.run("generic-webhook-status")
        assert "There are no figures yet" in entry["HumanReadable"]


def test_the_sandboxs_command_line_runs_them(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "Tests.sandbox",
        "--store",
        str(tmp_path / "store"),
        "--port",
        "0",
    ]
    done = subprocess.run(
        [*command, "reset", "--what", "all"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "### Forgotten"), done
    done = subprocess.run(
        [*command, "status"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "There are no figures yet" in done.stdout) == (0, True), done
