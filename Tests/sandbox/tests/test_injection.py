"""What the sandbox injects into a script: other constants and functions, without moving a line."""

import time
from pathlib import Path
from typing import Any

import pytest

from Tests.sandbox import ContainerError, InjectionError, Sandbox
from Tests.sandbox.injection import inject

CODE = """\
import time

FEW = 3  # of something; für Menschen
MANY = (
    FEW
    * 10
)


class Box:
    most = MANY

    def told(self, most=FEW):
        return f"{most} of {self.most}"


def answer():
    return Box().told()


if __name__ == "__main__":  # an embedded module's
    raise SystemExit

SEEN = []
if __name__ in ("__main__", "builtins"):
    SEEN.append(answer())
"""


def run(code: str) -> str:
    namespace: dict[str, Any] = {"__name__": "builtins"}
    exec(compile(code, "<test>", "exec"), namespace)
    return namespace["SEEN"][0]


def test_a_constant_reaches_whatever_is_derived_from_it_and_moves_no_line() -> None:
    injected = inject(CODE, {"FEW": 4}, {})
    assert run(injected) == "4 of 40"
    assert len(injected.splitlines()) == len(CODE.splitlines())
    assert "FEW = 3; FEW = 4  # of something; für Menschen" in injected
    assert run(inject(CODE, {"MANY": 5, "FEW": 4}, {})) == "4 of 5"


@pytest.mark.parametrize(
    ("name", "expression", "seen"),
    [
        ("answer", "lambda: original() + '!'", "3 of 30!"),
        ("Box.told", "lambda self: original(self, 9)", "9 of 30"),
        ("Box.__str__", "lambda self: 'inherited'", "3 of 30"),
        ("time.time", "lambda: 0", "3 of 30"),
    ],
)
def test_a_function_is_replaced_before_the_script_begins(
    name: str, expression: str, seen: str
) -> None:
    before = time.time
    try:
        assert run(inject(CODE, {}, {name: expression})) == seen
        assert (time.time() == 0) == (name == "time.time")
    finally:
        time.time = before


@pytest.mark.parametrize(
    ("constants", "replacements", "name"),
    [
        ({"FEWER": 1}, {}, "FEWER"),
        ({"answer": 1}, {}, "answer"),
        ({}, {"question": "1"}, "question"),
        ({}, {"os.sep": "1"}, "os.sep"),
    ],
)
def test_a_name_the_script_does_not_have_is_an_error(
    constants: dict[str, int], replacements: dict[str, str], name: str
) -> None:
    with pytest.raises(InjectionError, match=name):
        inject(CODE, constants, replacements)


def test_a_script_without_an_entry_guard_takes_no_replacement() -> None:
    with pytest.raises(InjectionError, match="entry guard"):
        inject("def answer(): ...\n", {}, {"answer": "1"})


def test_behind_a_replacement_the_lines_are_the_files_own(tmp_path: Path) -> None:
    script = tmp_path / "probe.py"
    script.write_text(CODE)
    line = len(CODE.splitlines())
    with pytest.raises(
        ContainerError,
        match=rf'(?s)File "{script}", line {line},.*File "<injected>", line 2.*ZeroDivisionError',
    ):
        Sandbox(script=script, replacements={"answer": "lambda: 1 / 0"}, wait=5).start()
