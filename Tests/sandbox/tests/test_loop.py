"""The stand-in for the platform's script loop, driven through its pipes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from Tests.sandbox.descriptor import ROOT
from Tests.sandbox.tests.probe import MARKER

LOOP = ROOT / "Tests/sandbox/loop.py"


class Pipes:
    """The server's end of a loop's pipes."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(LOOP)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
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
def pipes() -> Iterator[Pipes]:
    opened = Pipes()
    with opened.process:
        yield opened
        opened.process.kill()


def test_a_ping_is_answered_and_end_of_file_ends_the_loop(pipes: Pipes) -> None:
    pipes.send("ping")
    assert pipes.read() == {"type": "pong"}
    assert pipes.close() == 0


def test_native_false_waits_for_the_next_command_and_native_true_ends(pipes: Pipes) -> None:
    script = "import sys\ndemisto.results(demisto.command())\nsys.exit(3)"
    for command, native in (("one", False), ("two", True)):
        pipes.send({"script": script, "command": command, "native": native})
        assert pipes.read()["results"] == [
            {"Type": 1, "Contents": command, "ContentsFormat": "text"}
        ]
        assert pipes.read() == {"type": "completed"}
    assert pipes.process.wait(5) == 0  # without end of file: native, and SystemExit is silent


def test_a_script_runs_as_builtins_in_a_new_namespace_each_time(pipes: Pipes) -> None:
    for _ in range(2):
        pipes.send({"script": "print(__name__, 'seen' in globals())\nseen = True", "command": "x"})
        assert pipes.read() == {"type": "entryLog", "args": {"message": "builtins False"}}
        assert pipes.read() == {"type": "completed"}


def test_an_exception_is_reported_before_completed(pipes: Pipes) -> None:
    pipes.send({"script": "def f():\n    raise KeyError('gone')\nf()", "command": "x"})
    lines = pipes.read()["args"]["exception"]
    assert lines[-1] == "KeyError: 'gone'"
    assert any("line 2" in line for line in lines)
    assert pipes.read() == {"type": "completed"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (f'{{"name": "x{MARKER}y"}}', 'ValueError: y"}'),
        (f"{MARKER} database down", "ValueError: database down"),
        ("no json", "JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        ("", "JSONDecodeError: Expecting value: line 2 column 1 (char 1)"),
    ],
)
def test_a_marked_or_unreadable_answer_raises(pipes: Pipes, answer: str, error: str) -> None:
    script = (
        "try:\n    demisto.info('x')\n"
        "except ValueError as error:\n    print(f'{type(error).__name__}: {error}')"
    )
    pipes.send({"script": script, "command": "x"})
    assert pipes.read() == {"type": "log", "command": "info", "args": {"args": ["x"]}}
    pipes.send(answer)
    assert pipes.read()["args"]["message"] == error


def test_end_of_file_raises_a_json_error(pipes: Pipes) -> None:
    pipes.send({"script": "demisto.createIncidents([])", "command": "x"})
    assert pipes.read()["command"] == "createIncidents"
    pipes.close()
    assert "JSONDecodeError" in pipes.read()["args"]["exception"][-1]


def test_the_lock_of_many_threads_is_made_once(pipes: Pipes) -> None:
    script = (
        "demisto.enable_multithreading()\nlock = demisto._lock\n"
        "demisto.enable_multithreading()\nprint(lock is demisto._lock)"
    )
    pipes.send({"script": script, "command": "x"})
    assert pipes.read()["args"]["message"] == "True"
