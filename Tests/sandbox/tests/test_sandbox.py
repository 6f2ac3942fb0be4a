"""The sandbox itself, shown with small scripts of its own: real processes, pipes and sockets."""

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from Tests.sandbox import CommandError, ContainerError, DescriptorError, Faults, Sandbox, free_port
from Tests.sandbox.descriptor import INTEGRATION, ROOT, load
from Tests.sandbox.reroute import Exchange
from Tests.sandbox.server import Screen
from Tests.sandbox.store import open_store

MARKER = "[ERROR-fd5a7750-7182-4b38-90ba-091824478903]"
LOOP = ROOT / "Tests/sandbox/loop.py"
Make = Callable[..., Sandbox]

# An integration that evaluates what is posted to it, and shows what reaches it on other paths.
PROBE = """
import demistomock as demisto  # noqa: F401
from CommonServerPython import *  # noqa: F401,F403

import os, signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GO = threading.Event()
LABEL = {"type": "a", "value": "b"}
INCIDENT = {"name": "n", "type": "t", "occurred": "2024-01-02T03:04:05Z", "rawJSON": "{}", "labels": [LABEL]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "keep-alive, X-Private")
        self.send_header("X-Private", "between us")
        self.send_header("X-Public", "for all")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        body = self.body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.answer({"method": self.command, "path": self.path, "headers": headers, "length": len(body)})

    do_PUT = do_PATCH = do_DELETE = do_BREW = do_GET

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", "4711")
        self.end_headers()

    def do_POST(self):
        try:
            value = {"value": eval(self.body(), globals())}
        except Exception as error:
            value = {"error": type(error).__name__, "text": str(error)}
        self.answer(value)

    def do_STREAM(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"3\\r\\none\\r\\n")
        GO.wait(10)
        self.wfile.write(b"3\\r\\ntwo\\r\\n0\\r\\n\\r\\n")

    def do_TASTE(self):
        self.answer(self.rfile.read(5).decode())
        self.rfile.read(int(self.headers["Content-Length"]) - 5)

    def do_EARLY(self):
        self.answer("too large", 413)
        self.close_connection = True

    def do_HANGUP(self):
        self.close_connection = True


def main():
    if demisto.command() == "test-module":
        if demisto.params()["credentials"]["identifier"] == "context":
            demisto.getIntegrationContext()
        if demisto.params()["credentials"]["identifier"] == "bad":
            return_error("bad user")
        return_results("ok")
    elif demisto.command() == "fetch-incidents":
        demisto.incidents(json.loads(get_integration_context().get("sample_events", "[]")))
    else:
        ThreadingHTTPServer.request_queue_size = 64  # twenty threads connect at once
        ThreadingHTTPServer(("0.0.0.0", int(demisto.params()["longRunningPort"].split(":")[-1])), Handler).serve_forever()


if __name__ in ("__main__", "__builtin__", "builtins"):
    main()
"""


@pytest.fixture
def probe(tmp_path: Path) -> Path:
    path = tmp_path / "probe.py"
    path.write_text(PROBE)
    return path


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Return a pack whose unified integration is the probe."""
    path = tmp_path / "Probe.zip"
    descriptor = {
        "script": {"script": PROBE},
        "configuration": [
            {"name": "longRunningPort", "type": 0},
            {"name": "credentials", "type": 9},
            {"name": "hiddenOne", "type": 8, "hidden": True, "defaultvalue": "true"},
        ],
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("Integrations/integration-Probe.yml", yaml.safe_dump(descriptor))
    return path


def ask(sandbox: Sandbox, code: str) -> Any:
    """Evaluate code inside the container and return its value, or its error as a dict."""
    answer = requests.post(sandbox.container_url, data=code.encode(), timeout=20).json()
    return answer.get("value", answer)


def create(**fields: Any) -> str:
    """Return the code that creates one good incident with some fields replaced."""
    return f"demisto.createIncidents([{{**INCIDENT, **{fields!r}}}])"


def until(condition: Callable[[], Any], seconds: float = 5.0) -> bool:
    """Return whether a condition came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


# ---- the loop, spoken to directly


class Wire:
    """The server's end of a loop's pipes."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(LOOP)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def send(self, line: str | dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
        self.process.stdin.flush()

    def read(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def close(self) -> int:
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(5)


@pytest.fixture
def wire() -> Iterator[Wire]:
    opened = Wire()
    with opened.process:
        yield opened
        opened.process.kill()


def test_a_ping_is_answered_and_end_of_file_ends_the_loop(wire: Wire) -> None:
    wire.send("ping")
    assert wire.read() == {"type": "pong"}
    assert wire.close() == 0


def test_native_false_waits_for_the_next_command_and_native_true_ends(wire: Wire) -> None:
    script = "import sys\ndemisto.results(demisto.command())\nsys.exit(3)"
    for command, native in (("one", False), ("two", True)):
        wire.send({"script": script, "command": command, "native": native})
        assert wire.read()["results"] == [{"Type": 1, "Contents": command, "ContentsFormat": "text"}]
        assert wire.read() == {"type": "completed"}
    assert wire.process.wait(5) == 0  # without end of file: native, and SystemExit is silent


def test_a_script_runs_as_builtins_in_a_new_namespace_each_time(wire: Wire) -> None:
    for _ in range(2):
        wire.send({"script": "print(__name__, 'seen' in globals())\nseen = True", "command": "x"})
        assert wire.read() == {"type": "entryLog", "args": {"message": "builtins False"}}
        assert wire.read() == {"type": "completed"}


def test_an_exception_is_reported_before_completed(wire: Wire) -> None:
    wire.send({"script": "def f():\n    raise KeyError('gone')\nf()", "command": "x"})
    lines = wire.read()["args"]["exception"]
    assert lines[-1] == "KeyError: 'gone'"
    assert any("line 2" in line for line in lines)
    assert wire.read() == {"type": "completed"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (f'{{"name": "x{MARKER}y"}}', 'ValueError: y"}'),
        (f"{MARKER} database down", "ValueError: database down"),
        ("no json", "JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        ("", "JSONDecodeError: Expecting value: line 2 column 1 (char 1)"),
    ],
)
def test_a_marked_or_unreadable_answer_raises(wire: Wire, answer: str, error: str) -> None:
    script = "try:\n    demisto.info('x')\nexcept ValueError as error:\n    print(f'{type(error).__name__}: {error}')"
    wire.send({"script": script, "command": "x"})
    assert wire.read() == {"type": "log", "command": "info", "args": {"args": ["x"]}}
    wire.send(answer)
    assert wire.read()["args"]["message"] == error


def test_end_of_file_raises_a_json_error(wire: Wire) -> None:
    wire.send({"script": "demisto.createIncidents([])", "command": "x"})
    assert wire.read()["command"] == "createIncidents"
    wire.close()
    assert "JSONDecodeError" in wire.read()["args"]["exception"][-1]


def test_the_lock_of_many_threads_is_made_once(wire: Wire) -> None:
    script = (
        "demisto.enable_multithreading()\nlock = demisto._lock\ndemisto.enable_multithreading()\nprint(lock is demisto._lock)"
    )
    wire.send({"script": script, "command": "x"})
    assert wire.read()["args"]["message"] == "True"


# ---- the container


def test_an_incident_is_created_and_comes_back_with_its_id(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe)
    first, second = ask(sandbox, "demisto.createIncidents([{**INCIDENT, 'own': 1}, {'name': '\\u00fc\\U0001f600'}])")
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


def test_heartbeats_come_while_the_script_runs(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe, heartbeat_interval=0.05)
    assert until(lambda: sandbox.calls["heartbeat"] >= 3)
    assert make_sandbox(script=probe, heartbeat_interval=0).calls["heartbeat"] == 0


def test_a_call_that_keeps_the_line_too_long_ends_the_heartbeat_thread(make_sandbox: Make, probe: Path) -> None:
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
    assert ask(sandbox, "(demisto.enable_multithreading(), demisto.enable_multithreading())") == [None, None]
    answers: dict[int, Any] = {}
    threads = [threading.Thread(target=lambda n=n: answers.update({n: ask(sandbox, create(name=str(n)))})) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: answer[0]["name"] for n, answer in answers.items()} == {n: str(n) for n in range(20)}


def test_a_stray_byte_on_stdout_is_recorded_and_shown(probe: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert until(lambda: len(sandbox.logs) == 4)  # print wants no answer: it may still be on its way
    assert sandbox.logs == [("info", "a 1"), ("debug", "b"), ("error", "c"), ("print", "d 2")]
    ask(sandbox, "(demisto.updateModuleHealth('ill'), demisto.updateModuleHealth(''))")
    assert [text for _, text in sandbox.health_history] == ["ill", ""]
    assert sandbox.health == ""
    assert ask(sandbox, "(demisto.integrationInstance(), is_demisto_version_ge('6.0.0'), demisto.demistoUrls()['server'])") == [
        "other one",
        True,
        "https://127.0.0.1",
    ]
    assert ask(sandbox, "demisto._execute('fly', {})")["text"].startswith("Unsupported command fly")


def test_sigterm_sigkill_and_a_broken_pipe_reach_the_container(make_sandbox: Make, probe: Path) -> None:
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
    script.write_text("import demistomock as demisto\nfrom CommonServerPython import *  # noqa\n\nreturn_results(1 / 0)\n")
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


# ---- the server's strictness


@pytest.mark.parametrize(
    "field",
    [
        {"name": 7},
        {"type": ["x"]},
        {"rawJSON": {"a": 1}},
        {"details": False},
        {"owner": {}},
        {"severity": "high"},
        {"severity": True},
        {"labels": {"type": "a", "value": "b"}},
        {"labels": ["a"]},
        {"labels": [{"type": "a", "value": 1}]},
        {"customFields": []},
        {"occurred": "yesterday"},
        {"occurred": ""},
        {"occurred": "2024-01-02 03:04:05Z"},
        {"occurred": "2024-01-02T03:04:05"},
        {"occurred": "2024-13-02T03:04:05Z"},
        {"customFields": {"a": float("nan")}},
        {"customFields": {"a": float("-inf")}},
        {"customFields": {"a": 10**400}},
    ],
    ids=str,
)
def test_a_wrong_field_fails_the_whole_call(shared: Sandbox, field: dict[str, Any]) -> None:
    before = len(shared.incidents())
    code = repr(field).replace("nan", "float('nan')").replace("-inf", "float('-inf')")
    answer = ask(shared, f"demisto.createIncidents([INCIDENT, {{**INCIDENT, **{code}}}])")
    assert answer["error"] == "ValueError"
    assert answer["text"].startswith("json: ")
    assert len(shared.incidents()) == before


def test_good_fields_pass(shared: Sandbox) -> None:
    fields = {"severity": 0.5, "customFields": {"a": [1]}, "labels": [], "owner": None, "details": "d"}
    for occurred in ("2024-02-29T23:59:59.123456789+05:30", "2024-01-02T03:04:05Z"):
        created = ask(shared, create(**fields, occurred=occurred))[0]
        assert created["occurred"] == occurred
        assert created["severity"] == 0.5


def test_no_list_of_incidents_fails(shared: Sandbox) -> None:
    assert ask(shared, "demisto.createIncidents({'name': 'x'})")["error"] == "ValueError"
    assert ask(shared, "demisto.createIncidents(['x'])")["error"] == "ValueError"
    assert ask(shared, "demisto.createIncidents([])") == []


def test_a_lone_surrogate_becomes_the_replacement_character(shared: Sandbox) -> None:
    created = ask(shared, "demisto.createIncidents([{'name': 'a' + chr(0xd800) + 'b' + chr(0x1f600)}])")[0]
    assert created["name"] == "a\ufffdb\U0001f600"


def test_an_echo_of_the_marker_looks_like_an_error(shared: Sandbox) -> None:
    before = len(shared.incidents())
    assert ask(shared, create(name=f"x{MARKER}y"))["error"] == "ValueError"
    assert len(shared.incidents()) == before + 1  # it was created all the same: the trap


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Return one sandbox for the tests that leave nothing behind but incidents."""
    script = tmp_path_factory.mktemp("shared") / "probe.py"
    script.write_text(PROBE)
    with Sandbox(script=script) as sandbox:
        yield sandbox
    assert sandbox.protocol_errors == []


# ---- integration context


def test_a_stale_version_is_refused(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe, context={"a": "1"})
    version = ask(sandbox, "demisto.getIntegrationContextVersioned(True)")["version"]
    assert ask(sandbox, f"demisto.setIntegrationContextVersioned({{'a': '2'}}, {version}, True)") == {}
    answer = ask(sandbox, f"demisto.setIntegrationContextVersioned({{'a': '3'}}, {version})")
    assert answer["error"] == "ValueError"
    assert "stale" in answer["text"]
    assert sandbox.context() == {"a": "2"}
    ask(sandbox, "demisto.setIntegrationContext({'a': '4'})")  # without a version: always
    assert sandbox.context() == {"a": "4"}


@pytest.mark.parametrize("value", ["{'a': 1}", "{'a': None}", "[]", "'text'"])
def test_the_context_takes_text_only(shared: Sandbox, value: str) -> None:
    assert ask(shared, f"demisto.setIntegrationContext({value})")["error"] == "ValueError"
    assert shared.context() == {}


def test_a_damaged_context_is_handed_over_as_it_is(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe, context=["damaged", 1])
    assert ask(sandbox, "demisto.getIntegrationContext()") == ["damaged", 1]
    sandbox.set_context({"sample_events": "{broken"})
    assert ask(sandbox, "demisto.getIntegrationContext()") == {"sample_events": "{broken"}


def test_a_version_clash_is_retried_by_common_server_python(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe, context={"kept": "yes"}, faults=Faults(stale=2))
    assert ask(sandbox, "set_to_integration_context_with_retries({'new': [1]})") is None
    assert sandbox.context() == {"kept": "yes", "new": "[1]"}
    assert sandbox.calls["setIntegrationContext"] == 3


# ---- SQLite


def test_incidents_and_context_outlive_the_sandbox(make_sandbox: Make, probe: Path, tmp_path: Path) -> None:
    store = tmp_path / "folder" / "xsoar.sqlite3"
    first = make_sandbox(script=probe, store=store)
    ask(first, "demisto.createIncidents([INCIDENT, {'name': 'two'}])")
    ask(first, "demisto.setIntegrationContext({'k': 'v'})")
    kept = first.incidents()
    first.stop()
    second = make_sandbox(script=probe, store=store)
    assert second.incidents() == kept
    assert second.context() == {"k": "v"}
    assert ask(second, create())[0]["id"] == "3"
    assert make_sandbox(script=probe, store=store, instance="another").context() == {}
    second.reset()
    assert (second.incidents(), second.context()) == ([], {})
    assert ask(second, create())[0]["id"] == "4"  # an ID that came again would tell the integration of a second answer


def test_a_refused_call_leaves_nothing_in_sqlite(make_sandbox: Make, probe: Path, tmp_path: Path) -> None:
    sandbox = make_sandbox(script=probe, store=tmp_path / "xsoar.sqlite3")
    version = ask(sandbox, "demisto.getIntegrationContextVersioned()")["version"]
    ask(sandbox, "demisto.setIntegrationContext({'a': '1'})")
    assert ask(sandbox, f"demisto.setIntegrationContextVersioned({{}}, {version})")["error"] == "ValueError"
    assert ask(sandbox, "demisto.createIncidents([INCIDENT, {'name': 1}])")["error"] == "ValueError"
    assert (sandbox.incidents(), sandbox.context()) == ([], {"a": "1"})


def test_a_call_that_breaks_half_way_leaves_nothing_in_sqlite(tmp_path: Path) -> None:
    store = open_store(tmp_path / "xsoar.sqlite3", "webhook")
    with pytest.raises(TypeError):
        store.create([{"name": "whole"}, {"name": object()}])
    assert store.incidents() == []
    assert store.create([{"name": "next"}])[0]["name"] == "next"
    store.close()


# ---- faults


def test_latency_and_hang_delay_a_call(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe, faults=Faults(latency={"createIncidents": 0.2}))
    started = time.monotonic()
    ask(sandbox, create())
    assert 0.2 <= time.monotonic() - started < 1
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


@pytest.mark.parametrize("match", ["poison", lambda incident: incident["name"] == "poison"], ids=["text", "function"])
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
def test_a_rewritten_answer_does_not_change_what_was_created(make_sandbox: Make, probe: Path, rewrite: Any, seen: Any) -> None:
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


# ---- commands


def test_commands_run_in_a_container_of_their_own(probe: Path) -> None:
    sandbox = Sandbox(script=probe, start=False, context={"sample_events": '[{"name": "sample"}]'})
    assert sandbox.run("test-module") == [{"Type": 1, "Contents": "ok", "ContentsFormat": "text"}]
    assert sandbox.run("fetch-incidents") == [{"name": "sample"}]
    assert sandbox.protocol_errors == []
    sandbox.stop()


def test_commands_run_beside_the_long_running_one(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe)
    pid = sandbox.pid
    assert sandbox.run("test-module")[0]["Contents"] == "ok"
    assert (sandbox.pid, ask(sandbox, "demisto.command()")) == (pid, "long-running-execution")


def test_a_commands_failure_is_seen(probe: Path) -> None:
    sandbox = Sandbox({"credentials": "context:"}, script=probe, start=False)
    with pytest.raises(CommandError, match="there is no integration context in test-module"):
        sandbox.run("test-module")
    bad = Sandbox({"credentials": "bad:"}, script=probe, start=False, native=True)
    assert [(entry["Type"], entry["Contents"]) for entry in bad.run("test-module")] == [(4, "bad user")]
    for each in (sandbox, bad):
        each.stop()


# ---- parameters


def test_defaults_come_from_the_descriptor_the_hidden_ones_too() -> None:
    declared = yaml.safe_load(INTEGRATION.with_suffix(".yml").read_text())["configuration"]
    sandbox = Sandbox(start=False)
    assert set(sandbox.params) == {row["name"] for row in declared}
    assert sandbox.params["longRunning"] is True
    assert sandbox.params["store_samples"] is False
    assert sandbox.params["credentials"] == {"identifier": "", "password": "", "passwordChanged": False}
    assert 0 < int(sandbox.params["longRunningPort"]) < 65536
    sandbox.stop()


@pytest.mark.parametrize(
    ("text", "identifier", "password"),
    [
        ("user:pass:word", "user", "pass:word"),
        ("_header:Authorization:Bearer a:b", "_header:Authorization", "Bearer a:b"),
        ("_header:X", "_header:X", ""),
        ("user", "user", ""),
        (":word", "", "word"),
        ("@nofile:x", "@nofile", "x"),
    ],
)
def test_credentials_split_as_the_forms_fields(probe: Path, text: str, identifier: str, password: str) -> None:
    credentials = load(probe).params({"credentials": text})["credentials"]
    assert (credentials["identifier"], credentials["password"]) == (identifier, password)


def test_values_follow_their_types(probe: Path, tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("PEM\n")
    params = load(probe).params(
        {"store_samples": "true", "longRunning": False, "certificate": f"@{tmp_path / 'cert.pem'}", "own": 1}
    )
    assert (params["store_samples"], params["longRunning"], params["certificate"], params["own"]) == (True, False, "PEM\n", 1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"stor_samples": "true"}, r"no parameter 'stor_samples'.*longRunningPort.*store_samples"),
        ({"store_samples": "maybe"}, r"'store_samples' is a checkbox"),
        ({"certificate": "@/no/such/file"}, r"'certificate' names a file"),
    ],
)
def test_a_wrong_parameter_says_which_and_why(given: dict[str, str], words: str) -> None:
    with pytest.raises(DescriptorError, match=words):
        Sandbox(given, start=False)


def test_a_built_pack_runs_with_its_own_parameters(make_sandbox: Make, pack: Path, tmp_path: Path) -> None:
    sandbox = make_sandbox(pack=pack)
    assert ask(sandbox, "demisto.params()['hiddenOne']") is True
    assert set(sandbox.params) == {"longRunningPort", "credentials", "hiddenOne"}
    outer = tmp_path / "uploadable_packs.zip"
    with zipfile.ZipFile(outer, "w") as archive:
        archive.write(pack, "Probe.zip")
    assert load(pack=outer).code == PROBE
    with pytest.raises(DescriptorError, match="cannot be read"):
        load(pack=tmp_path / "none.zip")


# ---- the reroute


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "BREW"])
def test_any_method_path_and_query_arrive(shared: Sandbox, method: str) -> None:
    seen = requests.request(method, f"{shared.url}/a/b%20c?d=e&f=%3F", data=b"12345", timeout=5).json()
    assert (seen["method"], seen["path"], seen["length"]) == (method, "/a/b%20c?d=e&f=%3F", 5)
    assert requests.request(method, shared.url, timeout=5).json()["path"] == "/"


def test_hop_by_hop_headers_stay_on_their_hop(shared: Sandbox) -> None:
    given = {"Connection": "keep-alive, X-Mine", "X-Mine": "1", "TE": "trailers", "Keep-Alive": "5", "Upgrade": "h2c"}
    kept: dict[str, str | bytes] = {
        "X-Kept": "caf\u00e9".encode(),
        "Authorization": "token",
        "Host": "some.where",
        "X-Forwarded-For": "10.0.0.1",
    }
    answer = requests.get(shared.url, headers={**given, **kept}, timeout=5)
    seen = answer.json()["headers"]
    assert {"x-mine", "te", "keep-alive", "upgrade", "proxy-authorization"} & set(seen) == set()
    assert seen["connection"] == "close"
    assert seen["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"
    assert (seen["host"], seen["authorization"], "x-kept" in seen) == ("some.where", "token", True)
    assert answer.headers["X-Public"] == "for all"
    assert "X-Private" not in answer.headers
    assert "Connection" not in answer.headers


def test_other_instances_are_404(shared: Sandbox) -> None:
    root = shared.url.rpartition("/")[0]
    for path in (f"{root}/other", f"{root}/webhooks", shared.url.replace("/instance/", "/"), f"{root}/"):
        answer = requests.get(path, timeout=5)
        assert answer.status_code == 404
        assert "error" in answer.json()


def talk(url: str) -> tuple[socket.socket, str]:
    """Return a connection to the front and the path to ask for."""
    port, path = re.fullmatch(r"http://127.0.0.1:(\d+)(/.*)", url).groups()  # type: ignore[union-attr]
    return socket.create_connection(("127.0.0.1", int(port)), timeout=5), path


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Read up to and including some bytes, or to the end of the stream."""
    seen = b""
    while end not in seen and (piece := connection.recv(65536)):
        seen += piece
    return seen


def test_an_answer_streams_through(shared: Sandbox) -> None:
    connection, path = talk(shared.url)
    with connection:
        connection.sendall(f"STREAM {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b"\r\none" in read_until(connection, b"one")
        ask(shared, "GO.set()")  # the container waits for it: the first half came before
        assert read_until(connection, b"0\r\n\r\n").endswith(b"two\r\n0\r\n\r\n")


def test_a_request_streams_through(shared: Sandbox) -> None:
    connection, path = talk(shared.url)
    with connection:
        connection.sendall(f"TASTE {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfirst".encode())
        assert b'"first"' in read_until(connection, b'"first"')  # answered while the rest is still to come
        connection.sendall(b"later")


def test_chunked_requests_stay_chunked_and_connections_stay_open(shared: Sandbox) -> None:
    connection, path = talk(shared.url)
    with connection:
        for _ in range(3):
            head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.sendall(head.encode() + b"3;ext=1\r\nabc\r\n4\r\ndefg\r\n0\r\nTrailer: x\r\n\r\n")
            answer = read_until(connection, b'"length": 7}')
            assert b'"transfer-encoding": "chunked"' in answer
            assert b"content-length" not in answer.partition(b"\r\n\r\n")[2]


def test_an_answer_before_the_body_was_read_arrives(shared: Sandbox) -> None:
    connection, path = talk(shared.url)
    with connection:
        connection.sendall(f"EARLY {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 300000000\r\n\r\n".encode())
        with contextlib.suppress(OSError):
            for _ in range(100):
                connection.sendall(bytes(65536))
        answer = read_until(connection, b'"too large"')
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in answer


def test_an_interim_answer_passes_the_front(shared: Sandbox) -> None:
    connection, path = talk(shared.url)
    with connection:
        head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")  # the container's own: nothing was sent yet
        connection.sendall(b"abc")
        assert b'"length": 3}' in read_until(connection, b'"length": 3}')


def test_head_and_http_1_0_get_answers_they_can_read(shared: Sandbox) -> None:
    assert requests.head(shared.url, timeout=5).headers["Content-Length"] == "4711"
    ask(shared, "GO.set()")
    connection, path = talk(shared.url)
    with connection:
        connection.sendall(f"STREAM {path} HTTP/1.0\r\n\r\n".encode())
        answer = read_until(connection, b"no end but the connection's")
    assert answer.endswith(b"\r\n\r\nonetwo")
    assert b"Transfer-Encoding" not in answer


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Content-Length: -1",
        b"Content-Length: 1\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Broken : 1",
        b"nothing",
    ],
)
def test_ambiguous_framing_is_400_at_the_front(shared: Sandbox, framing: bytes) -> None:
    connection, path = talk(shared.url)
    with connection:
        connection.sendall(f"PUT {path} HTTP/1.1\r\nHost: x\r\n".encode() + framing + b"\r\n\r\n")
        assert read_until(connection, b"nothing else").startswith(b"HTTP/1.1 400 ")


def test_a_container_that_does_not_answer_is_502(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe)
    assert requests.request("HANGUP", sandbox.url, timeout=5).status_code == 502
    sandbox.kill()
    sandbox.wait_exit(5)
    answer = requests.post(sandbox.url, data=b"x" * 100_000, timeout=5)
    assert answer.status_code == 502
    assert str(sandbox.container_port) in answer.json()["error"]


def test_the_reroute_is_plain_http_only(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox({"certificate": "PEM", "key": "PEM", "longRunningPort": f"7:{free_port()}"}, script=probe)
    assert sandbox.container_url == f"https://127.0.0.1:{sandbox.container_port}"
    answer = requests.get(sandbox.url, timeout=5)
    assert answer.status_code == 502
    assert "plain HTTP only" in answer.json()["error"]


# ---- the command line


def command_line(*words: object) -> list[str]:
    return [sys.executable, "-m", "Tests.sandbox", *map(str, words)]


@contextlib.contextmanager
def serving(*words: object) -> "Iterator[subprocess.Popen[str]]":
    """Run the command line beside the test, and never longer than it."""
    with subprocess.Popen(command_line(*words), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(12)
            except subprocess.TimeoutExpired:
                process.kill()


def run(*words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command_line(*words), cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


def test_serve_shows_what_happens_and_stops_on_sigterm(pack: Path, tmp_path: Path) -> None:
    port, store = free_port(), tmp_path / "store.sqlite3"
    options = ("--param", "credentials=_header:X-Key:it's", "--latency", "createIncidents=5ms")
    with serving("--pack", pack, "--port", port, "--store", store, *options) as process:
        assert process.stdout
        assert f"http://127.0.0.1:{port}/instance/execute/webhook" in process.stdout.readline()
        pasted = process.stdout.readline()
        assert pasted.startswith(f"curl -X POST http://127.0.0.1:{port}/instance/execute/webhook -H 'X-Key: it'\"'\"'s'")
        url = f"http://127.0.0.1:{port}/instance/execute/webhook"
        requests.post(url, data=create(name="evil \x1b[2J\x07name"), timeout=5)
        line = process.stdout.readline()
        shown = re.fullmatch(r"\d\d:\d\d:\d\d  POST /instance/execute/webhook  200  .*from 127\.0\.0\.1  (\d+\.\d) ms\n", line)
        assert shown, line
        assert float(shown[1]) >= 5
        requests.post(url, data="(demisto.updateModuleHealth('ill'), demisto.updateModuleHealth('ill'))", timeout=5)
        assert process.stdout.readline() == "health: ill\n"
        process.stdout.readline()
        requests.post(url, data="demisto.updateModuleHealth('')", timeout=5)
        assert process.stdout.readline() == "health: ok\n"
        process.stdout.readline()
        requests.post(url + "/\x1b[2J", data="1", timeout=5)
        assert "\x1b" not in process.stdout.readline()
        child = requests.post(url, data="os.getpid()", timeout=5).json()["value"]
        process.terminate()
        assert process.wait(12) == 0
        assert "Stopped" in process.stdout.read()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def exchange(told: Any, **fields: Any) -> Exchange:
    values = {"sender": "192.0.2.1", "method": "POST", "path": "/p", "content_type": "", "begins": b"", "status": 200}
    values["seconds"] = 0.0123
    return Exchange(**{**values, "answer": json.dumps(told).encode(), **fields})


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        (exchange([{"id": "1", "type": "T", "name": "n"}]), "POST /p  200  JSON  #1 T n  from 192.0.2.1  12.3 ms"),
        (exchange([{"id": "2", "name": "n", "duplicate": True}]), "POST /p  200  text  #2 - n (duplicate)  from"),
        (exchange([{"id": "1", "name": "n"}], content_type="multipart/form-data"), "200  form  #1 - n  from"),
        (exchange([{"id": "1"}], content_type="x-www-form-urlencoded", begins=b' {"n":1'), "200  JSON  #1 - -  from"),
        (exchange([{"id": str(number), "name": "n"} for number in range(5)]), "#0 - n, #1 - n, #2 - n and 2 more  from"),
        (exchange([]), "200  no incident: a rule dropped it  from"),
        (exchange({"error": "Send the password.\x1b[2J"}, status=401), "401  Send the password.\ufffd[2J  from"),
        (exchange({"accepted": 1, "request": "abc"}, status=202), "202  abc  from"),
        (exchange(None, answer=b"[{", status=502), "POST /p  502  from"),
        (exchange(None, answer=b"", status=0), "POST /p  no answer  from"),
    ],
)
def test_a_request_is_one_line(seen: Exchange, shown: str) -> None:
    out = io.StringIO()
    Screen(out=out).request(seen, {"1": {"rawJSON": '{"n":1}'}, "2": {"rawJSON": '{"body":"x"}'}, "0": {}})
    assert shown in out.getvalue()
    assert out.getvalue().count("\n") == 1


def test_the_newest_incidents_can_be_read_by_a_person(tmp_path: Path) -> None:
    with Sandbox(store=tmp_path / "store", start=False) as sandbox:
        for number in range(3):
            sandbox._store.create([{"name": f"n{number}", "rawJSON": '{"a":[1]}'}])
    done = run("incidents", "--store", tmp_path / "store", "--last", 2, "--pretty")
    assert (done.returncode, done.stderr) == (0, "")
    assert [name for name in ("n0", "n1", "n2") if name in done.stdout] == ["n1", "n2"]
    assert '"rawJSON": {\n    "a": [' in done.stdout
    assert run("incidents", "--last", 0).returncode == 2


def test_samples_says_when_they_are_off(tmp_path: Path) -> None:
    done = run("samples", "--store", tmp_path / "store", "--port", free_port())
    assert (done.returncode, done.stdout) == (0, "[]\n")
    assert "store_samples=true" in done.stderr


class Terminal(io.StringIO):
    """A stand-in for a terminal."""

    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_only() -> None:
    terminal, file = Terminal(), io.StringIO()
    for out in (terminal, file):
        Screen(out=out).health("ill")
    assert terminal.getvalue() == "\x1b[33mhealth: ill\x1b[0m\n"
    assert file.getvalue() == "health: ill\n"


def test_reset_forgets_what_an_earlier_run_kept(pack: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite3"
    kept = Sandbox(pack=pack, start=False, store=store, context={"sample_events": '[{"name": "kept"}]'})
    kept.stop()
    words = ("samples", "--pack", pack, "--store", store)
    assert json.loads(run(*words).stdout) == [{"name": "kept"}]
    assert json.loads(run(*words, "--reset").stdout) == []
    assert json.loads(run(*words).stdout) == []


def test_the_incidents_subcommand_prints_what_is_stored(pack: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite3"
    kept = open_store(store, "webhook")
    kept.create([{"name": "kept", "rawJSON": '{"note":"grüße"}'}, {"name": "too"}])
    kept.close()
    done = run("incidents", "--pack", pack, "--store", store)
    assert done.returncode == 0
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == ["kept", "too"]


def test_the_test_subcommand_is_the_test_button(pack: Path) -> None:
    good, bad, broken = (
        run("test", "--pack", pack, "--store", ":memory:", "--param", f"credentials={user}:") for user in ("", "bad", "context")
    )
    assert (good.returncode, good.stdout) == (0, "ok\n")
    assert (bad.returncode, bad.stdout) == (1, "bad user\n")
    assert broken.returncode == 1
    assert "no integration context" in broken.stdout


def test_a_taken_port_is_one_sentence(pack: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("--pack", pack, "--port", port, "--store", ":memory:")
    assert (done.returncode, done.stderr) == (2, f"Port {port} is in use: choose another one with --port.\n")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--param", "nosuch=1"), "no parameter 'nosuch'"),
        (("--param", "nosuch"), "'nosuch' is not NAME=VALUE"),
        (("--latency", "createIncidents=20"), "write 500us, 20ms or 1.5s"),
        (("--latency", "createIncident=20ms"), "no call 'createIncident'; the calls are createIncidents"),
        (("--fail", "createIncidents=-1"), "no count"),
        (("--pack", "nosuch.zip"), "nosuch.zip cannot be read"),
    ],
    ids=str,
)
def test_a_wrong_command_line_says_so(words: tuple[str, ...], error: str) -> None:
    done = run(*words, "--store", ":memory:")
    assert done.returncode == 2
    assert error in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_ends_when_the_container_does(pack: Path) -> None:
    port = free_port()
    with serving("--pack", pack, "--port", port, "--store", ":memory:") as process:
        assert process.stdout
        process.stdout.readline()
        with contextlib.suppress(requests.RequestException):
            requests.post(f"http://127.0.0.1:{port}/instance/execute/webhook", data="os._exit(7)", timeout=5)
        assert process.wait(10) == 1
        assert "exit code 7" in process.stdout.read()
