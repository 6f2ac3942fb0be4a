"""XSOAR's end of the connection, for unit tests: descriptors 0 and 1 are pipes to it."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.socket
import pytest


class XsoarEnd:
    """XSOAR's end of the connection: once it is open, descriptors 0 and 1 are pipes to it.

    A test opens it itself: pytest puts descriptors of its own there between a fixture and its test.
    """

    def __init__(self) -> None:
        self._kept = os.dup(0), os.dup(1)
        self._in = self._out = -1
        self._read = b""
        self._running: list[gevent.Greenlet] = []

    def open(self) -> None:
        theirs, self._out = os.pipe()
        self._in, ours = os.pipe()
        os.dup2(theirs, 0)
        os.dup2(ours, 1)
        os.close(theirs)
        os.close(ours)

    def answer(self, *answers: bytes) -> gevent.Greenlet:
        """Answer the next lines; the greenlet returns them."""

        def answer() -> list[bytes]:
            lines = []
            for data in answers:
                lines.append(self.read_line())
                self.write(data)
            return lines

        self._running.append(gevent.spawn(answer))
        return self._running[-1]

    def read_line(self) -> bytes:
        """Return the next line the integration has written, empty once there will be none."""
        while b"\n" not in self._read:
            gevent.socket.wait_read(self._in, timeout=10, timeout_exc=TimeoutError())
            part = os.read(self._in, 100_000)
            if not part:
                return b""
            self._read += part
        line, newline, self._read = self._read.partition(b"\n")
        return line + newline

    def is_silent(self, seconds: float = 0.02) -> bool:
        """Return whether the integration writes nothing within that time."""
        try:
            gevent.socket.wait_read(self._in, timeout=seconds, timeout_exc=TimeoutError())
        except TimeoutError:
            return not self._read
        return False

    def write(self, data: bytes) -> None:
        os.write(self._out, data)

    def close_writing(self) -> None:
        """Close what the integration reads from."""
        os.close(self._out)
        self._out = -1

    def close(self) -> None:
        """Close this end."""
        gevent.killall(self._running)
        for end in (self._in, self._out):
            with contextlib.suppress(OSError):  # it is closed, or was never open
                os.close(end)
        self._in = self._out = -1

    def restore(self) -> None:
        for descriptor, kept in enumerate(self._kept):
            os.dup2(kept, descriptor)
            os.close(kept)


def ask(text: str = "?") -> Any:
    """Call XSOAR as the platform's demisto object does."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    return json.loads(sys.stdin.readline())


@pytest.fixture
def xsoar_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[XsoarEnd]:
    """XSOAR's end of the connection; sys.stdin and sys.stdout are given back at the end."""
    monkeypatch.setattr(sys, "stdin", sys.stdin)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    end = XsoarEnd()
    yield end
    end.close()
    end.restore()
