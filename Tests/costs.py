"""What work costs in processor time, for tests that bound it: a busy machine changes nothing."""

import math
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

REFERENCE_MILLISECONDS = 1.0  # what the reference takes on the machine that all bounds are for


def _reference() -> None:
    """Do a fixed piece of what the code under test does: calls, texts and dictionaries."""
    seen: dict[str, int] = {}
    for number in range(1700):
        word = str(number % 97).rjust(6, "x").upper()
        seen[word] = seen.get(word, 0) + len(word)


def _thread_milliseconds(work: Callable[[], object]) -> float:
    before = time.thread_time()
    work()
    return (time.thread_time() - before) * 1000


def cpu_milliseconds(work: Callable[[], object], enough: float = 0.0) -> float:
    """Return the processor time of a call, the least of several, as on one and the same machine.

    Beside it a fixed piece of work is measured, so that a machine which is slow, or whose other
    programs take part of its caches, changes nothing; coverage is not traced meanwhile. It is not
    tried again once it takes less than ``enough``.
    """
    least = reference = math.inf
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        for _ in range(7):
            reference = min(reference, *(_thread_milliseconds(_reference) for _ in range(3)))
            least = min(least, _thread_milliseconds(work))
            if least * REFERENCE_MILLISECONDS / reference < enough:
                break
    finally:
        sys.settrace(trace)
    return least * REFERENCE_MILLISECONDS / reference


def compiled_patterns(module: ModuleType) -> set[str]:
    """Return the names of a module's compiled regular expressions."""
    return {name for name, value in vars(module).items() if isinstance(value, re.Pattern)}


def assert_patterns_are_linear(
    module: ModuleType,
    worst_cases: "dict[str, Callable[[int], str]]",
    ways: tuple[str, ...] = ("search", "fullmatch", "sub"),
) -> None:
    """Check that each pattern of a module has a worst case, in which it is linear in some ways.

    worst_cases: by the pattern's name, what makes a text for a size. The module must not use
    patterns that it has not compiled.
    """
    assert compiled_patterns(module) == worst_cases.keys()
    text = Path(str(module.__file__)).read_text()
    assert not re.findall(r"re\.(?:match|search|fullmatch|sub|findall|split|finditer)\(", text)
    for name, worst in worst_cases.items():
        for way in ways:
            assert_linear(getattr(module, name), way, worst)


def assert_linear(
    pattern: "re.Pattern[Any]", way: str, worst: Callable[[int], Any], size: int = 2_000
) -> None:
    """Check that the worst text, sixteen times as long, takes about sixteen times as long.

    way: the pattern's method. worst: makes a text for a size. A quadratic pattern takes 256 times.
    """
    method = getattr(pattern, way)

    def milliseconds(text: Any) -> float:
        return cpu_milliseconds(lambda: method("", text) if way == "sub" else method(text))

    short, long = worst(size), worst(16 * size)
    assert milliseconds(long) < 64 * max(milliseconds(short), 0.05)
