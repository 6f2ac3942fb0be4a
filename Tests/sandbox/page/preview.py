"""What requests would become with other parameters, by the integration's own code in a process.

The process (preview_worker.py) lives as long as the page, so it reads the integration's code once.
"""

import base64
import json
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from .traffic import Recorded

WORKER = Path(__file__).with_name("preview_worker.py")
ANSWER_SECONDS = 20.0


class PreviewError(Exception):
    """The integration's code did not answer; the text says why."""


class Preview:
    """A process that makes incidents but creates none; calls wait for each other."""

    def __init__(
        self, script: str, python: str, environment: Mapping[str, str], folder: Path
    ) -> None:
        self._script, self._python, self._environment, self._folder = (
            script,
            python,
            dict(environment),
            folder,
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def stop(self) -> None:
        """End the process; whoever asks afterwards gets PreviewError."""
        with self._lock:
            self._stopped = True
            self._end()

    def incidents(
        self, params: Mapping[str, Any], requests: list[Recorded]
    ) -> list[dict[str, Any]]:
        """Return for each request its incidents, `ignored` and `error`; raises PreviewError.

        An incident has its fields, its duplication key, and `sources`: which parameter and path
        gave which field. `ignored` are the rules that ignored events, `error` is a sentence. A
        handshake has its vendor as `handshake`.
        """
        question = {
            "params": dict(params),
            "requests": [as_question(request) for request in requests],
        }
        return list(self._answer(question)["requests"])

    def ended(self, params: Mapping[str, Any], request: Recorded) -> str:
        """Return a request's body as its sender reports the end of an alert.

        It is empty if nobody knows how; raises PreviewError.
        """
        question = {"params": dict(params), "ending": as_question(request)}
        return str(self._answer(question)["body"])

    def sample(self, params: Mapping[str, Any], request: Recorded) -> dict[str, Any]:
        """Return what the paths of parameters lead into; raises PreviewError."""
        return self._answer({"params": dict(params), "sample": as_question(request)})

    def senders(self) -> list[dict[str, str]]:
        """Return the rows of the known senders, each with its category; raises PreviewError."""
        return list(self._answer({"params": {}, "senders": True})["senders"])

    def _answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            try:
                answer = self._ask(json.dumps(question).encode() + b"\n")
            except (OSError, ValueError, PreviewError) as error:
                self._end()
                raise PreviewError(f"The integration's code does not answer: {error}") from error
        if "error" in answer:
            raise PreviewError(str(answer["error"]))
        return answer

    def _ask(self, line: bytes) -> dict[str, Any]:
        if self._stopped:
            raise PreviewError("the page has stopped.")
        process = self._process
        if process is None or process.poll() is not None:
            process = self._process = self._start()
        timer = threading.Timer(ANSWER_SECONDS, process.kill)
        timer.start()
        try:
            stdin, stdout = pipe(process.stdin), pipe(process.stdout)
            stdin.write(line)
            stdin.flush()
            answer = stdout.readline()
        finally:
            timer.cancel()
        if not answer:
            raise PreviewError("it ended, or took too long.")
        parsed: dict[str, Any] = json.loads(answer)
        return parsed

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [self._python, "-P", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
            cwd=self._folder,
            start_new_session=True,
        )
        stdin = pipe(process.stdin)
        stdin.write(json.dumps(self._script).encode() + b"\n")
        stdin.flush()
        return process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(5)
            for stream in (process.stdin, process.stdout):
                pipe(stream).close()


def pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """Return one of the process's pipes."""
    assert stream is not None  # each was opened as a pipe
    return stream


def as_question(request: Recorded) -> dict[str, Any]:
    """Return a request as the worker expects it."""
    return {
        "method": request.row["method"],
        "target": request.row["path"],
        "headers": request.headers,
        "body": base64.b64encode(request.body).decode(),
        "sender": request.row["sender"],
        "time": request.row["time"],
        "isHandshake": request.is_handshake,
        "isTo": [is_to for _, is_to in request.incidents],
    }
