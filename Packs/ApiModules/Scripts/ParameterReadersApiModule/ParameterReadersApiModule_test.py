"""Unit tests of ParameterReadersApiModule.py."""

from collections.abc import Callable
from typing import Any

import ParameterReadersApiModule as readers
import pytest

from Tests.costs import assert_patterns_are_linear


def read(reader: Any, value: Any, **named: Any) -> tuple[Any, list[str]]:
    """Return what a reader makes of a value, and what it reports."""
    problems: list[str] = []
    return reader(value, problems.append, **named), problems


PORT_HELP = "enter a number from 1 to 65535, or <host port>:<container port>, such as 8000."
HOURS_HELP = "enter a number of hours above 0, such as 3 or 0.5, or leave it empty."


@pytest.mark.parametrize(
    "value, port",
    [("8000", 8000), (8000, 8000), (" 8000 ", 8000), ("443:8443", 8443), ("65535", 65535)],
)
def test_a_port_is_the_container_s(value: Any, port: int) -> None:
    assert read(readers.read_port, value) == (port, [])


@pytest.mark.parametrize("value", ["", None, " "])
def test_a_port_may_be_assigned_later(value: Any) -> None:
    assert read(readers.read_port, value) == (None, [])


@pytest.mark.parametrize("value", ["0", "65536", "x", "8000:", ":1", "1:2:3", "-1", "8000.0", "²"])
def test_what_is_no_port_is_reported(value: str) -> None:
    assert read(readers.read_port, value) == (None, [PORT_HELP])


@pytest.mark.parametrize("value, text", [(" a ", "a"), (None, ""), (5, "5"), ("", "")])
def test_a_text_is_read_without_white_space_around_it(value: Any, text: str) -> None:
    assert read(readers.read_text, value) == (text, [])


@pytest.mark.parametrize(
    "value, methods",
    [
        ("", set()),
        (None, set()),
        ([], set()),
        ("None", set()),
        ("GET", {"GET"}),
        ("get, put", {"GET", "PUT"}),
        (["GET", " patch "], {"GET", "PATCH"}),
    ],
)
def test_methods_are_read_from_a_list_or_a_text(value: Any, methods: set[str]) -> None:
    assert read(readers.read_methods, value) == (methods, [])


def test_another_method_is_reported() -> None:
    assert read(readers.read_methods, "GET,DELETE") == (
        {"GET"},
        ["choose from GET, PATCH, PUT, or leave it empty."],
    )


@pytest.mark.parametrize(
    "value, seconds",
    [(None, None), ("", None), (" ", None), ("1", 3600.0), (0.5, 1800.0), (" 1.5 ", 5400.0)],
)
def test_a_duration_is_a_number_of_units(value: Any, seconds: float | None) -> None:
    assert read(readers.read_duration, value, unit="hours", seconds=3600) == (seconds, [])


@pytest.mark.parametrize("value", ["0", "0.0", "-1", "x", "1h", "1e9", "1.", ".5", "1" * 10, "²"])
def test_what_is_no_duration_is_reported(value: str) -> None:
    assert read(readers.read_duration, value, unit="hours", seconds=3600) == (None, [HOURS_HELP])


@pytest.mark.parametrize(
    "value, chosen, problems",
    [
        ("Left", "l", []),
        (" right ", "r", []),
        (None, "r", []),
        ("", "r", []),
        ("up", "r", ["choose one of: left, right."]),
    ],
)
def test_a_choice_is_what_its_text_stands_for(value: Any, chosen: str, problems: list[str]) -> None:
    choices = {"left": "l", "right": "r"}
    found = read(readers.read_choice, value, choices=choices, missing="right")
    assert found == (chosen, problems)


WORST_CASES: dict[str, Callable[[int], str]] = {
    "PORT_NUMBER": lambda n: "1" * n,
    "DURATION_NUMBER": lambda n: "1." * n,
}


def test_each_regular_expression_is_linear_in_its_worst_case() -> None:
    assert_patterns_are_linear(readers, WORST_CASES)
