"""Fixtures of the end-to-end tests: sandboxes that stop with the test and fail it where the protocol was broken."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for `Tests`, whatever folder pytest was started in

from Tests.sandbox import Sandbox


@pytest.fixture
def make_sandbox() -> Iterator[Callable[..., Sandbox]]:
    """Return a function that starts a sandbox; its arguments are Sandbox's."""
    started: list[Sandbox] = []

    def make(*args: Any, **kwargs: Any) -> Sandbox:
        sandbox = Sandbox(*args, **kwargs)
        started.append(sandbox)
        return sandbox.start()

    yield make
    for sandbox in started:
        sandbox.stop()
    broken = [line for sandbox in started for line in sandbox.protocol_errors]
    assert not broken, f"the container wrote to stdout what is no message: {broken}"
