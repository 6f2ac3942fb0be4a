"""A sender of real bytes to a sandbox, and a reader of what they became; shared by many tests."""

import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from Tests.sandbox import Sandbox

TIMEOUT_SECONDS = 20.0
# The tests can also run on the built zip instead of the source tree.
PACK = os.environ.get("GENERIC_WEBHOOK_PACK") or None
# The containers may run another Python, such as the image's.
PYTHON = os.environ.get("GENERIC_WEBHOOK_PYTHON") or sys.executable


@dataclass(frozen=True)
class Answer:
    """What a sender receives: status, headers (lower-case names) and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which is JSON whatever the status."""
        assert self.headers["content-type"].startswith("application/json"), self
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The sentence of an answer that is not 200."""
        assert list(self.json) == ["error"], self
        return self.json["error"]


def send(
    url: str,
    body: bytes = b"",
    headers: Mapping[str, str | bytes] | None = None,
    method: str = "POST",
    context: ssl.SSLContext | None = None,
) -> Answer:
    """Send a request with exactly these headers, in addition to Host and Content-Length.

    Each request has its own connection. There is no Content-Length of ours if the headers frame the
    body.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    connection = (
        http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    given = dict(headers or {})
    framed = {name.lower() for name in given} & {"content-length", "transfer-encoding"}
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in given.items():
            connection.putheader(name, value)
        if not framed:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            response.read(),
        )
    finally:
        connection.close()


def talk(port: int, data: bytes, wait: float = 5.0) -> bytes:
    """Send raw bytes to a port of this machine and return what arrives first; nothing is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.sendall(data)
        return connection.recv(65536)


def await_that(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Return the condition's value once it is true; AssertionError if that takes over `seconds`."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.02)
    return value


class Sender:
    """Posts to a sandbox that tests share: each reads only its own incidents, by their IDs."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def post(
        self,
        body: bytes | str = b"",
        content_type: str = "",
        path: str = "",
        **headers: str | bytes,
    ) -> Answer:
        """Post a body; a keyword `x_token` is the header x-token."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if content_type:
            named["Content-Type"] = content_type
        return send(
            self.sandbox.sender_url + path, body.encode() if isinstance(body, str) else body, named
        )

    def create(self, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
        """Post and return the incidents as XSOAR has them, in the order of the answer."""
        answer = self.post(*args, **kwargs)
        assert answer.status == 200, answer
        stored = {incident["id"]: incident for incident in self.sandbox.incidents()}
        return [stored[created["id"]] for created in answer.json]

    def fields(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Post and return the fields of the one incident, without those that XSOAR adds."""
        [incident] = self.create(*args, **kwargs)
        return {name: value for name, value in incident.items() if name not in ("id", "created")}

    def raws(self, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
        """Post and return each incident's rawJSON, parsed and without the request's headers."""
        return [raw_of(incident) for incident in self.create(*args, **kwargs)]

    def refused(self, *args: Any, **kwargs: Any) -> tuple[int, str]:
        """Post and return status and sentence of a refusal, for which nothing was created."""
        before = len(self.sandbox.incidents())
        answer = self.post(*args, **kwargs)
        assert answer.status != 200, answer
        assert len(self.sandbox.incidents()) == before
        return answer.status, answer.error


def raw_of(incident: dict[str, Any]) -> dict[str, Any]:
    """Return an incident's rawJSON, parsed, without what every incident has.

    These are the request's headers, its source address and the delivery's mark.
    """
    raw = json.loads(incident["rawJSON"])
    del raw["headers"]
    assert raw.pop("source_address") == "127.0.0.1"
    assert re.fullmatch("[0-9a-f]{12}/[0-9]+", raw.pop("webhook")["delivery"])
    return raw


@contextlib.contextmanager
def running(**arguments: Any) -> Iterator[Sender]:
    """Run a sandbox and yield its sender; the protocol must stay unbroken and stderr empty."""
    sandbox = Sandbox(**{"pack": PACK, "python": PYTHON, **arguments})
    sandbox.start()
    try:
        yield Sender(sandbox)
    finally:
        sandbox.stop()
    assert not sandbox.protocol_errors
    assert not sandbox.stderr


def leaves(value: Any) -> Iterator[str]:
    """Yield each scalar and each empty container in a value, as JSON."""
    if isinstance(value, (dict, list)) and value:
        for child in value.values() if isinstance(value, dict) else value:
            yield from leaves(child)
    else:
        yield json.dumps(value)
