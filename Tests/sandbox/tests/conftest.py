"""Fixtures of the sandbox's own tests: sandboxes that stop with the test and fail it where the protocol was broken."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

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
