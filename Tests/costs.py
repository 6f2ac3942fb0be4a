"""What work costs in processor time, for tests that bound it: a busy machine changes nothing."""

import math
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

TRACED = 10 if sys.gettrace() else 1  # how much slower measuring coverage makes a line


def cpu_milliseconds(work: Callable[[], object], enough: float = 0.0) -> float:
    """Return the processor time of a call, the least of several.

    It is not tried again once it takes less than ``enough``.
    """
    least = math.inf
    for _ in range(7):
        before = time.thread_time()
        work()
        least = min(least, (time.thread_time() - before) * 1000 / TRACED)
        if least < enough:
            break
    return least


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
