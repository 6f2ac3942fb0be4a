"""The container: processes, signals, heartbeats, stdout, and containers for commands."""

import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from Tests.sandbox import CommandError, ContainerError, Sandbox
from Tests.sandbox.tests.probe import Make, ask, create, until


def test_an_incident_is_created_and_comes_back_with_its_id(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe)
    first, second = ask(
        sandbox, "demisto.createIncidents([{**INCIDENT, 'own': 1}, {'name': '\\u00fc\\U0001f600'}])"
    )
    assert first.pop("created").endswith("Z")
    assert first == {
        "id": "1",
        "name": "n",
        "type": "t",
        "occurred": "2024-01-02T03:04:05Z",
        "rawJSON": "{}",
        "labels": [{"type": "a", "value": "b"}],
        "own": 1,
    }
    assert (second["id"], second["name"]) == ("2", "\u00fc\U0001f600")
    assert [incident["id"] for incident in sandbox.incidents()] == ["1", "2"]
    assert (sandbox.calls["createIncidents"], sandbox.batches) == (1, [2])


def test_heartbeats_are_sent_while_the_script_runs(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe, heartbeat_interval=0.05)
    assert until(lambda: sandbox.calls["heartbeat"] >= 3)
    assert make_sandbox(script=probe, heartbeat_interval=0).calls["heartbeat"] == 0


def test_a_call_that_keeps_the_connection_too_long_ends_the_heartbeat_thread(
    make_sandbox: Make, probe: Path
) -> None:
    sandbox = make_sandbox(script=probe, heartbeat_interval=0.05, lock_timeout=0.2)
    sandbox.faults.hang.set()
    caller = threading.Thread(target=ask, args=(sandbox, create()))
    caller.start()
    assert until(lambda: any(line.startswith("RuntimeError") for line in sandbox.stderr))
    sandbox.faults.hang.clear()
    caller.join(5)
    before = sandbox.calls["heartbeat"]
    time.sleep(0.2)
    assert sandbox.calls["heartbeat"] == before
    assert len(sandbox.incidents()) == 1


def test_calls_of_many_threads_keep_their_answers(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe)
    assert ask(sandbox, "(demisto.enable_multithreading(), demisto.enable_multithreading())") == [
        None,
        None,
    ]
    answers: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda n=n: answers.update({n: ask(sandbox, create(name=str(n)))}))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: answer[0]["name"] for n, answer in answers.items()} == {n: str(n) for n in range(20)}


def test_a_stray_byte_on_stdout_is_recorded_and_shown(
    probe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Sandbox(script=probe) as sandbox:
        for line in (b"stray \x1b[2J", b"[1]", b'{"type": "unheard of"}', b'{"no": "type"}'):
            ask(sandbox, f"os.write(1, {line!r} + bytes([10]))")
        assert until(lambda: len(sandbox.protocol_errors) == 4)
        assert sandbox.protocol_errors[:2] == ["stray \ufffd[2J", "[1]"]
        assert ask(sandbox, "demisto.info('goes on')") == {}
    shown = capsys.readouterr().err
    assert "protocol broken" in shown
    assert "\x1b[2J" not in shown


def test_the_log_the_health_and_the_versions(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe, instance="other one")
    ask(sandbox, "(demisto.info('a', 1), demisto.debug('b'), demisto.error('c'), print('d', 2))")
    # print needs no answer, so it may not have arrived yet.
    assert until(lambda: len(sandbox.logs) == 4)
    assert sandbox.logs == [("info", "a 1"), ("debug", "b"), ("error", "c"), ("print", "d 2")]
    ask(sandbox, "(demisto.updateModuleHealth('ill'), demisto.updateModuleHealth(''))")
    assert [text for _, text in sandbox.health_history] == ["ill", ""]
    assert sandbox.health == ""
    assert ask(
        sandbox,
        "(demisto.integrationInstance(), is_demisto_version_ge('6.0.0'), "
        "demisto.demistoUrls()['server'])",
    ) == [
        "other one",
        True,
        "https://127.0.0.1",
    ]
    assert ask(sandbox, "demisto._execute('fly', {})")["text"].startswith("Unsupported command fly")


def test_sigterm_sigkill_and_a_broken_pipe_reach_the_container(
    make_sandbox: Make, probe: Path
) -> None:
    sandbox = make_sandbox(script=probe)
    assert sandbox.wait_exit(0.05) is None
    sandbox.terminate()
    assert sandbox.wait_exit(5) == -signal.SIGTERM
    sandbox.restart()
    first = sandbox.pid
    sandbox.kill()
    assert sandbox.wait_exit(5) == -signal.SIGKILL
    sandbox.restart()
    assert sandbox.pid != first
    sandbox.break_pipe()
    assert ask(sandbox, "demisto.info('x')")["error"] == "JSONDecodeError"


def test_a_restart_keeps_incidents_context_and_addresses(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe)
    ask(sandbox, create())
    ask(sandbox, "demisto.setIntegrationContext({'k': 'v'})")
    before = (sandbox.url, sandbox.container_url)
    sandbox.restart()
    assert before == (sandbox.url, sandbox.container_url)
    assert ask(sandbox, create())[0]["id"] == "2"
    assert ask(sandbox, "demisto.getIntegrationContext()") == {"k": "v"}


def test_a_container_that_does_not_listen_is_reported_with_what_it_said(tmp_path: Path) -> None:
    script = tmp_path / "mute.py"
    script.write_text("demisto.updateModuleHealth('port taken')\nraise RuntimeError('gave up')\n")
    with pytest.raises(ContainerError, match=r"(?s)does not listen.*gave up.*health: port taken"):
        Sandbox(script=script, wait=5).start()


def test_a_traceback_names_the_scripts_own_file_and_lines(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text(
        "import demistomock as demisto\nfrom CommonServerPython import *  # noqa\n\n"
        "return_results(1 / 0)\n"
    )
    with pytest.raises(ContainerError, match=rf'File "{script}", line 4, in <module>'):
        Sandbox(script=script, wait=5).start()


def test_the_containers_environment_can_be_set_and_emptied(
    make_sandbox: Make, probe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    monkeypatch.setenv("SECRET_OF_OURS", "1")
    sandbox = make_sandbox(script=probe, env={"GIVEN": "yes", "SECRET_OF_OURS": None})
    names = "('PYTHONUNBUFFERED', 'GIVEN', 'SECRET_OF_OURS')"
    assert ask(sandbox, f"[os.environ.get(name) for name in {names}]") == [None, "yes", None]


def test_the_sandboxs_modules_are_not_on_the_scripts_path(shared: Sandbox) -> None:
    assert ask(shared, "str(__import__('importlib.util').util.find_spec('reroute'))") == "None"


# ---- commands


def test_commands_run_in_a_container_of_their_own(probe: Path) -> None:
    sandbox = Sandbox(script=probe, start=False, context={"sample_events": '[{"name": "sample"}]'})
    assert sandbox.run("test-module") == [{"Type": 1, "Contents": "ok", "ContentsFormat": "text"}]
    assert sandbox.run("fetch-incidents") == [{"name": "sample"}]
    assert sandbox.protocol_errors == []
    sandbox.stop()


def test_commands_run_next_to_the_long_running_one(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe)
    pid = sandbox.pid
    assert sandbox.run("test-module")[0]["Contents"] == "ok"
    assert (sandbox.pid, ask(sandbox, "demisto.command()")) == (pid, "long-running-execution")


def test_a_commands_failure_is_seen(probe: Path) -> None:
    sandbox = Sandbox({"credentials": "context:"}, script=probe, start=False)
    with pytest.raises(CommandError, match="there is no integration context in test-module"):
        sandbox.run("test-module")
    bad = Sandbox({"credentials": "bad:"}, script=probe, start=False, native=True)
    assert [(entry["Type"], entry["Contents"]) for entry in bad.run("test-module")] == [
        (4, "bad user")
    ]
    for each in (sandbox, bad):
        each.stop()
