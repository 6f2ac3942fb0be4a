"""The calls of the page's API over real sockets; shared by the page's tests."""

import contextlib
import http.client
import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from Tests.end_to_end.sender import PACK, PYTHON
from Tests.sandbox import Sandbox
from Tests.sandbox.page.examples import DELIVERIES

SECRET = "s3cret-5d1c-of-the-sender"
SIGNED = "_hmac:X-Hub-Signature-256"
INSTANCE = "/instance/execute/webhook"
SECONDS = 60.0  # until a condition has to be true: generous, for a machine that has other work
JSON = {"Content-Type": "application/json"}
Pair = tuple[int, Any]


def ask(
    port: int,
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    host: str = "",
) -> tuple[int, dict[str, str], bytes]:
    """Send a request with exactly these headers, in addition to Host and Content-Length."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {
            "Host": host or f"127.0.0.1:{port}",
            **(headers or {}),
            "Content-Length": str(len(body)),
        }.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return (
            answer.status,
            {name.lower(): value for name, value in answer.getheaders()},
            answer.read(),
        )
    finally:
        connection.close()


class Api:
    """The calls of a sandbox's page."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.port = int(sandbox.page_url.rstrip("/").rpartition(":")[2])

    def call(self, method: str, path: str, value: Any = None) -> Pair:
        """Make a call and return status and value of its answer."""
        body = json.dumps({} if value is None else value).encode() if method == "POST" else b""
        status, headers, content = ask(
            self.port, method, path, body, JSON if method == "POST" else {}
        )
        assert headers["content-type"] == "application/json", content
        return status, json.loads(content)

    def get(self, path: str) -> Any:
        """Return the value of a call that has to succeed."""
        status, value = self.call("GET", path)
        assert status == 200, value
        return value

    def post(self, path: str, value: Any = None) -> Any:
        """Return the value of a call that has to succeed."""
        status, answer = self.call("POST", path, value)
        assert status == 200, answer
        return answer

    def refused(self, path: str, value: Any = None, status: int = 400, method: str = "POST") -> str:
        """Return the sentence of a call that has to fail."""
        found, answer = self.call(method, path, value)
        assert (found, list(answer)) == (status, ["error"])
        return str(answer["error"])

    def save(self, **params: Any) -> None:
        """Save the instance with changed parameters."""
        assert self.post("/api/instance", {"params": params}) == {"ok": True}

    def send(
        self,
        body: Any,
        sign: bool = True,
        path: str = "",
        headers: dict[str, str] | None = None,
        method: str = "POST",
    ) -> Any:
        """Send a request to the instance, as the page does."""
        text = body if isinstance(body, str) else json.dumps(body)
        given = {
            "method": method,
            "path": INSTANCE + path,
            "headers": list((headers or JSON).items()),
            "body": text,
            "sign": sign,
        }
        return self.post("/api/send", given)

    def row(self, number: int) -> dict[str, Any]:
        """Return a request as the page shows it when it is opened."""
        return dict(self.get(f"/api/requests/{number}"))


@contextlib.contextmanager
def paged(params: dict[str, Any] | None = None, **arguments: Any) -> Iterator[Api]:
    """Run a sandbox with its page; afterwards the protocol must be unbroken and stderr empty."""
    with Sandbox(params, page=True, pack=PACK, python=PYTHON, **arguments) as sandbox:
        yield Api(sandbox)
    assert not sandbox.protocol_errors
    assert not sandbox.stderr


def credentials(username: str = SIGNED, password: str = SECRET) -> dict[str, Any]:
    return {"credentials": {"identifier": username, "password": password}}


def expected_of(example: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a delivery must become with its own parameters, see test_deliveries.py."""
    return list(
        json.loads((DELIVERIES / f"{example['id']}.expected.json").read_text(encoding="utf-8"))[
            "incidents"
        ]
    )


BLANK = dict.fromkeys(
    (
        *("events_path", "type_from", "incidentType", "severity_map", "severity_from"),
        "alert_updates",
    ),
    "",
)


def shell(line: str, secret: str) -> str:
    """Run a line of curl and return what it printed."""
    env = {**os.environ, "WEBHOOK_SECRET": secret}
    done = subprocess.run(
        ["sh", "-c", line.replace("curl ", "curl -sS ", 1)],
        capture_output=True,
        env=env,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def everything_reported(api: Api) -> str:
    """Return what every call of the page answers, refusals too."""
    answers = [
        api.call("GET", path)
        for path in (
            "/api/instance",
            "/api/instance/export",
            "/api/examples",
            "/api/health",
            "/api/requests",
            "/api/incidents",
        )
    ]
    numbers = [row["id"] for row in api.get("/api/requests?limit=200")["requests"]]
    answers += [api.call("GET", f"/api/requests/{number}") for number in numbers]
    answers += [
        api.call("GET", f"/api/incidents/{incident['id']}") for incident in api.sandbox.incidents()
    ]
    answers += [api.call("POST", f"/api/requests/{number}/send") for number in numbers[-1:]]
    attempt = {"method": "POST", "path": INSTANCE, "headers": [], "body": "{}", "sign": True}
    answers += [api.call("POST", path, attempt) for path in ("/api/send", "/api/curl")]
    forms: list[Any] = [
        {},
        {"longRunningPort": "x"},
        {"nosuch": 1},
        {"credentials": {"identifier": "_slak"}},
    ]
    for path in ("/api/instance/test", "/api/preview", "/api/instance"):
        answers += [
            api.call("POST", path, {"params": form})
            for form in (forms if path != "/api/instance" else forms[2:3])
        ]
    answers += [api.call("POST", path) for path in ("/api/samples", "/api/faults")]
    return json.dumps(answers, ensure_ascii=False)


# ---- events


class Stream:
    """The events of a page as they arrive."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer

    def next(self) -> tuple[str, Any]:
        """Wait for the next event and return its name and value."""
        name = ""
        while line := self._answer.readline().decode().rstrip("\n"):
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                value = json.loads(line.removeprefix("data: "))
        return (name, value) if name else ("", None)

    def until(self, condition: Any) -> list[tuple[str, Any]]:
        """Return the events up to the one with which the condition on all of them becomes true."""
        seen: list[tuple[str, Any]] = []
        ends = time.monotonic() + SECONDS
        while not seen or not condition(seen):
            assert time.monotonic() < ends, seen
            event = self.next()
            if event[0]:
                seen.append(event)
        return seen


@contextlib.contextmanager
def events(api: Api) -> Iterator[Stream]:
    """Listen to a page through the reroute."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=15)
    try:
        connection.request("GET", "/api/events")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
        assert answer.readline() == b": connected\n"
        assert answer.readline() == b"\n"
        yield Stream(answer)
    finally:
        connection.close()


def is_request(name: str) -> Any:
    """Return a condition: the newest event is a request whose first incident has this name."""
    return lambda seen: (
        seen[-1][0] == "request"
        and seen[-1][1]["incidents"][:1]
        and seen[-1][1]["incidents"][0]["name"] == name
    )
