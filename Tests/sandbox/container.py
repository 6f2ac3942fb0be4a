"""The container: a process that runs loop.py, and the server's end of its connection to XSOAR."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from .screen import plain
from .server import Server, Session, StrayLineError

LOOP = Path(__file__).with_name("loop.py")
PING_SECONDS = 10.0
# The beginning of a message whose process was stopped while it wrote: not stray text.
CUT_OFF = b'{"type"'


class ContainerError(Exception):
    """The container did not start."""


class CommandError(Exception):
    """A command ended with an exception, or with an error instead of a result."""


class Container:
    """One container, from its first ping to its end; its own thread answers its calls."""

    def __init__(
        self, server: Server, session: Session, python: str, env: Mapping[str, str], folder: Path
    ) -> None:
        self.session = session
        self.stderr: list[str] = []
        self.protocol_errors: list[str] = []
        self._server = server
        self._writing = threading.Lock()
        # -P keeps the sandbox's own folder off the integration's path. The container gets its own
        # session, so that ctrl-C in a terminal reaches only the sandbox, which then stops the
        # container as the platform does.
        self._process = subprocess.Popen(  # the interpreter is the caller's choice
            [python, "-P", str(LOOP)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            cwd=folder,
            start_new_session=True,
        )
        self._threads = [
            threading.Thread(target=target, daemon=True, name=f"{target.__name__}-{self.pid}")
            for target in (self._serve, self._collect_stderr, self._await_exit)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """The process ID."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How the process ended; None while it runs."""
        return self._process.poll()

    def run(self, command: dict[str, Any]) -> None:
        """Ping the loop, then hand it a command."""
        self.write(b"ping\n")
        if not self.session.pong.wait(PING_SECONDS):
            raise ContainerError(
                "The container's loop does not answer a ping.\n" + "\n".join(self.stderr)
            )
        self.write(json.dumps(command).encode() + b"\n")

    def write(self, line: bytes) -> None:
        """Write a line to the container; a broken connection shows in the container's end."""
        with self._writing, contextlib.suppress(OSError, ValueError):
            stdin = self._pipe(self._process.stdin)
            stdin.write(line)
            stdin.flush()

    def break_pipe(self) -> None:
        """Close the server's end of the container's stdin: the container reads end of file."""
        with self._writing, contextlib.suppress(OSError):
            self._pipe(self._process.stdin).close()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process if it runs."""
        self._process.send_signal(number)

    def wait_exit(self, timeout: float) -> int | None:
        """Return how the process ended, or None if it is still running after `timeout` seconds."""
        if not self.session.exited.wait(timeout):
            return None
        for thread in self._threads:
            thread.join(10.0)  # so that its last lines are read
        return self.returncode

    def stop(self, grace: float) -> None:
        """Stop the process as the platform does: SIGTERM, then SIGKILL."""
        self.send_signal(signal.SIGTERM)
        if self.wait_exit(grace) is None:
            self.send_signal(signal.SIGKILL)
            self.wait_exit(5.0)
        self.break_pipe()

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None  # all three were opened as pipes
        return pipe

    def _serve(self) -> None:
        with self._pipe(self._process.stdout) as stdout:
            for line in stdout:
                if line.endswith(b"\n") or not line.startswith(CUT_OFF):
                    self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            answer = self._server.handle(line, self.session)
        except StrayLineError as error:
            self._stray(line, str(error))
            return
        except Exception as error:
            # A test's fault function or the store failed: the test must fail too.
            self._stray(line, f"the sandbox failed: {error!r}")
            return
        if answer is not None:
            self.write(answer)

    def _stray(self, line: bytes, reason: str) -> None:
        """Record a line that breaks the protocol and show it in red.

        Here it is a failure; on the platform nobody would learn the reason.
        """
        text = plain(line[:500].decode("utf-8", "replace").rstrip("\n"))
        self.protocol_errors.append(text)
        colour, end = ("\x1b[31m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
        print(
            f"{colour}protocol broken by the container's stdout ({plain(reason)}): {text}{end}",
            file=sys.stderr,
            flush=True,
        )

    def _collect_stderr(self) -> None:
        with self._pipe(self._process.stderr) as stderr:
            for line in stderr:
                text = line.decode("utf-8", "replace").rstrip("\n")
                self.stderr.append(text)
                if not self._server.screen.quiet:
                    self._server.screen.show(f"stderr: {plain(text)}", "dim")

    def _await_exit(self) -> None:
        self._process.wait()
        self.session.exited.set()


def environment(extra: Mapping[str, str | None]) -> dict[str, str]:
    """Return the container's environment: ours with `extra`, where None removes a name."""
    # With PYTHONUNBUFFERED in the environment of whoever runs the tests, each fragment of a line
    # would be a write, and throughput a fifth.
    merged: dict[str, str | None] = {**os.environ, "PYTHONUNBUFFERED": None, **extra}
    return {name: value for name, value in merged.items() if value is not None}
