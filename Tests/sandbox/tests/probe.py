"""A small integration that evaluates what is posted to it, and functions that use it."""

import time
from collections.abc import Callable
from typing import Any

import requests

from Tests.sandbox import Sandbox

Make = Callable[..., Sandbox]
MARKER = "[ERROR-fd5a7750-7182-4b38-90ba-091824478903]"


# This integration evaluates what is posted to it. With other methods it shows what it received.
PROBE = """
import demistomock as demisto  # noqa: F401
from CommonServerPython import *  # noqa: F401,F403

import os, signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GO = threading.Event()
LABEL = {"type": "a", "value": "b"}
INCIDENT = {"name": "n", "type": "t", "occurred": "2024-01-02T03:04:05Z"}
INCIDENT |= {"rawJSON": "{}", "labels": [LABEL]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "keep-alive, X-Private")
        self.send_header("X-Private", "between us")
        self.send_header("X-Public", "for all")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        body = self.body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = {"method": self.command, "path": self.path, "headers": headers}
        self.answer({**seen, "length": len(body)})

    do_PUT = do_PATCH = do_DELETE = do_BREW = do_GET

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", "4711")
        self.end_headers()

    def do_POST(self):
        try:
            value = {"value": eval(self.body(), globals())}
        except Exception as error:
            value = {"error": type(error).__name__, "text": str(error)}
        self.answer(value)

    def do_STREAM(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"3\\r\\none\\r\\n")
        GO.wait(10)
        self.wfile.write(b"3\\r\\ntwo\\r\\n0\\r\\n\\r\\n")

    def do_TASTE(self):
        self.answer(self.rfile.read(5).decode())
        self.rfile.read(int(self.headers["Content-Length"]) - 5)

    def do_EARLY(self):
        self.answer("too large", 413)
        self.close_connection = True

    def do_HANGUP(self):
        self.close_connection = True


def main():
    if demisto.command() == "test-module":
        if demisto.params()["credentials"]["identifier"] == "context":
            demisto.getIntegrationContext()
        if demisto.params()["credentials"]["identifier"] == "bad":
            return_error("bad user")
        return_results("ok")
    elif demisto.command() == "fetch-incidents":
        demisto.incidents(json.loads(get_integration_context().get("sample_events", "[]")))
    else:
        ThreadingHTTPServer.request_queue_size = 64  # twenty threads connect at once
        port = int(demisto.params()["longRunningPort"].split(":")[-1])
        ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()


if __name__ in ("__main__", "__builtin__", "builtins"):
    main()
"""


def ask(sandbox: Sandbox, code: str) -> Any:
    """Evaluate code inside the container and return its value, or its error as a dict."""
    answer = requests.post(sandbox.container_url, data=code.encode(), timeout=20).json()
    return answer.get("value", answer)


def create(**fields: Any) -> str:
    """Return the code that creates one good incident with some fields replaced."""
    return f"demisto.createIncidents([{{**INCIDENT, **{fields!r}}}])"


def until(condition: Callable[[], Any], seconds: float = 5.0) -> bool:
    """Return whether a condition became true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
