"""The platform's script loop, spoken to directly."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from Tests.sandbox.descriptor import ROOT
from Tests.sandbox.tests.probe import MARKER

LOOP = ROOT / "Tests/sandbox/loop.py"


class Wire:
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
        assert wire.read()["results"] == [
            {"Type": 1, "Contents": command, "ContentsFormat": "text"}
        ]
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
    script = "demisto.enable_multithreading()\nlock = demisto._lock\ndemisto.enable_multithreading()\nprint(lock is demisto._lock)"
    wire.send({"script": script, "command": "x"})
    assert wire.read()["args"]["message"] == "True"
