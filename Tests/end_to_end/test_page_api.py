"""The HTTP side of the sandbox's page: every call, over real sockets, to a real instance."""

import base64
import contextlib
import functools
import http.client
import json
import os
import re
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from Tests.end_to_end.sender import PACK, PYTHON, await_that
from Tests.sandbox import Sandbox, free_port, recorder, web
from Tests.sandbox.descriptor import INTEGRATION, ROOT, parse_yaml
from Tests.sandbox.examples import DELIVERIES
from Tests.sandbox.store import SQLiteStore, open_store
from Tests.sandbox.traffic import Recorded, Traffic

SECRET = "s3cret-5d1c-of-the-sender"
SIGNED = "_hmac:X-Hub-Signature-256"
INSTANCE = "/instance/execute/webhook"
SECONDS = 60.0  # until a condition has to be true: generous, for a machine that has other work
JSON = {"Content-Type": "application/json"}
Pair = tuple[int, Any]


def ask(
    port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, host: str = ""
) -> tuple[int, dict[str, str], bytes]:
    """Send a request with exactly these headers, Host and Content-Length besides."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": host or f"127.0.0.1:{port}", **(headers or {}), "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
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
        status, headers, content = ask(self.port, method, path, body, JSON if method == "POST" else {})
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
        self, body: Any, sign: bool = True, path: str = "", headers: dict[str, str] | None = None, method: str = "POST"
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
        """Return a request as it is shown when it is opened."""
        return dict(self.get(f"/api/requests/{number}"))


@contextlib.contextmanager
def paged(params: dict[str, Any] | None = None, **arguments: Any) -> Iterator[Api]:
    """Run a sandbox with its page; at the end the protocol must be unbroken and stderr empty."""
    with Sandbox(params, page=True, pack=PACK, python=PYTHON, **arguments) as sandbox:
        yield Api(sandbox)
    assert not sandbox.protocol_errors
    assert not sandbox.stderr


def credentials(username: str = SIGNED, password: str = SECRET) -> dict[str, Any]:
    return {"credentials": {"identifier": username, "password": password}}


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with paged(credentials()) as found:
        yield found


@pytest.fixture
def fresh(api: Api) -> Api:
    """The same page, with nothing in its lists."""
    api.post("/api/faults", {"clear": True})
    api.post("/api/reset")
    return api


# ---- files


@pytest.mark.parametrize("path, kind", [("/", "text/html"), ("/page/page.css", "text/css"), ("/page/main.js", "text/javascript")])
def test_the_page_s_files_come_with_a_strict_policy(api: Api, path: str, kind: str) -> None:
    status, headers, content = ask(api.port, "GET", path)
    assert (status, headers["content-type"]) == (200, f"{kind}; charset=utf-8")
    assert content
    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/page/../web.py", "/page/%2e%2e/web.py", "/page/..%2fweb.py", "/page/", "/web.py", "/page//etc/passwd"]
)
def test_nothing_else_is_a_file(api: Api, path: str) -> None:
    status, headers, content = ask(api.port, "GET", path)
    assert (status, headers["content-type"]) == (404, "application/json")
    assert "error" in json.loads(content)
    assert headers["content-security-policy"].startswith("default-src 'none'")


# ---- who may call


def test_only_this_machine_s_own_names_are_answered(api: Api) -> None:
    own = api.port
    for host in (f"127.0.0.1:{own}", f"localhost:{own}", f"LOCALHOST:{own}", f"[::1]:{own}"):
        assert ask(own, "GET", "/api/health", host=host)[0] == 200, host
    for host in (f"example.com:{own}", "example.com:8080", "127.0.0.1", f"127.0.0.1:{own + 1}", f"localhost.example.com:{own}"):
        for path in ("/", "/page/main.js", "/api/instance", "/api/events"):
            status, _, content = ask(own, "GET", path, host=host)
            assert status == 403, host
            assert "open it at http://127.0.0.1:" in json.loads(content)["error"]


def test_the_page_s_own_port_is_no_way_in(api: Api) -> None:
    front = api.sandbox._front
    assert front
    assert front.elsewhere
    assert ask(front.elsewhere, "GET", "/api/instance")[0] == 403


@pytest.mark.parametrize(
    "headers, status",
    [
        ({**JSON}, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({**JSON, "Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}, 200),
        ({**JSON, "Sec-Fetch-Site": "none"}, 200),
        ({**JSON, "Origin": "null"}, 403),
        ({**JSON, "Origin": "http://example.com"}, 403),
        ({**JSON, "Origin": "http://example.com:{port}"}, 403),
        ({**JSON, "Origin": "http://127.0.0.1:1"}, 403),
        ({**JSON, "Origin": "https://127.0.0.1:{port}"}, 403),
        ({**JSON, "Origin": "http://localhost:{port}"}, 403),  # of the same page by its other name: not the one that was asked
        ({**JSON, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**JSON, "Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({}, 415),
    ],
    ids=str,
)
def test_only_the_page_itself_may_write(api: Api, headers: dict[str, str], status: int) -> None:
    given = {name: value.format(port=api.port) for name, value in headers.items()}
    before = api.sandbox.faults.latency.get("createIncidents", 0)
    found, _, content = ask(api.port, "POST", "/api/faults", b'{"latencyMs": 0}', given)
    assert found == status, content
    assert api.sandbox.faults.latency.get("createIncidents", 0) == before
    assert ask(api.port, "PUT", "/api/faults", b"{}", given)[0] == 405


def test_a_large_call_that_is_refused_is_told_so(api: Api) -> None:
    assert ask(api.port, "POST", "/api/send", b" " * 900_000, {**JSON, "Origin": "null"})[0] == 403


def test_the_instance_s_own_path_takes_any_host_as_before(api: Api) -> None:
    assert ask(api.port, "POST", INSTANCE, b"{}", host="soar.example.com")[0] == 401


# ---- instance


def test_the_form_is_the_descriptor_s(api: Api) -> None:
    parsed = parse_yaml(INTEGRATION.with_suffix(".yml").read_bytes())
    rows = [row for row in parsed["configuration"] if not row.get("hidden")]
    form = api.get("/api/instance")
    assert (form["name"], form["canRestart"]) == ("webhook", True)
    assert form["integration"].startswith(parsed["display"])  # a built pack says more
    assert form["url"] == api.sandbox.url
    assert form["sections"] == parsed["sectionorder"]
    for field, row in zip(form["parameters"], rows, strict=True):
        told = [field[name] for name in ("name", "display", "type", "section", "help", "required", "advanced", "options")]
        declared = [row[name] for name in ("name", "display", "type", "section")]
        assert told == [
            *declared,
            row.get("additionalinfo", ""),
            row.get("required", False),
            row.get("advanced", False),
            [str(option) for option in row.get("options", [])],
        ]
    kinds = {field["name"]: field["kind"] for field in form["parameters"]}
    assert set(kinds.values()) == {
        "text",
        "checkbox",
        "credentials",
        "textarea",
        "secret",
        "incidentType",
        "select",
        "multiselect",
    }
    by_name = {field["name"]: field for field in form["parameters"]}
    assert by_name["longRunningPort"]["value"] == str(api.sandbox.container_port)
    assert (by_name["handshakes"]["value"], by_name["other_methods"]["value"]) == (True, [])
    assert by_name["credentials"]["value"] == {"identifier": SIGNED}
    assert (by_name["credentials"]["isSet"], by_name["credentials"]["displayPassword"]) == (True, "Password")
    assert (by_name["key"]["kind"], by_name["key"]["value"], by_name["key"]["isSet"]) == ("secret", None, False)
    if not PACK:
        assert form["description"] == INTEGRATION.with_name("GenericWebhook_description.md").read_text(encoding="utf-8")


def test_the_test_button_tells_what_the_integration_says(api: Api) -> None:
    assert api.post("/api/instance/test", {"params": {}}) == {"ok": True, "text": "ok"}
    told = api.post("/api/instance/test", {"params": {"longRunningPort": "eighty"}})
    assert told["ok"] is False
    assert told["text"].startswith("Listen Port: enter a number")
    told = api.post("/api/instance/test", {"params": credentials(SIGNED, "")})
    assert told["text"].startswith("Password: it is empty")
    assert api.sandbox.params["longRunningPort"] == str(api.sandbox.container_port)


@pytest.mark.parametrize("path", ["/api/instance/test", "/api/instance"])
@pytest.mark.parametrize(
    "params, sentence",
    [
        ({"nosuch": "1"}, "There is no parameter 'nosuch'."),
        ({"handshakes": "perhaps"}, "The parameter 'handshakes' is a checkbox"),
        ({"handshakes": 3}, "Answer handshakes: it is a checkbox"),
        ({"longRunningPort": ""}, "Listen Port: it is required"),
        ({"name_from": ["a"]}, "Incident name: give a text"),
        ({"mirror_direction": "Sideways"}, "Mirroring direction: choose of None, Incoming"),
        ({"other_methods": ["DELETE"]}, "Also accept: choose of GET, PUT, PATCH"),
        ({"credentials": "user:password"}, "Username (see Security): give an identifier"),
        ([], 'Send {"params": {...}}'),
    ],
    ids=str,
)
def test_a_wrong_form_is_one_sentence(api: Api, path: str, params: Any, sentence: str) -> None:
    pid = api.sandbox.pid
    assert api.refused(path, {"params": params}).startswith(sentence)
    assert api.sandbox.pid == pid


def test_a_value_is_no_file_s_name(api: Api, tmp_path: Path) -> None:
    """
    Given: the command line, where @file stands for a file's text
    When: the page gives such a value
    Then: it is the text itself, and no file is read
    """
    file = tmp_path / "secret.txt"
    file.write_text("severity")
    told = api.post("/api/instance/test", {"params": {"severity_map": f"@{file}"}})
    assert "is not an entry" in told["text"]
    assert str(file)[:20] in told["text"]


def test_saving_restarts_the_container_on_another_port_and_keeps_the_secret() -> None:
    with paged(credentials()) as api:
        first, port = api.sandbox.pid, free_port()
        api.save(longRunningPort=str(port), credentials={"identifier": SIGNED}, key=None, store_samples=True)
        assert api.sandbox.pid != first
        assert api.sandbox.container_port == port
        assert api.sandbox.params["credentials"]["password"] == SECRET
        assert api.send({"a": 1})["status"] == 200
        shown = {field["name"]: field["value"] for field in api.get("/api/instance")["parameters"]}
        assert (shown["longRunningPort"], shown["store_samples"]) == (str(port), True)
        assert api.get("/api/health")["container"] == "up"


def test_a_parameter_the_integration_cannot_use_is_told_in_the_health_and_mended() -> None:
    with paged() as api, events(api) as stream:
        port = api.sandbox.container_port
        api.save(longRunningPort="eighty")
        await_that(lambda: api.get("/api/health")["health"].startswith("Listen Port: enter a number"), SECONDS)
        assert api.send({})["status"] == 502
        api.save(longRunningPort=str(port))
        assert api.get("/api/health")["health"] == ""
        assert api.send({"a": 1})["status"] == 200
        states = [event for name, event in stream.until(lambda seen: seen[-1][0] == "request" and seen[-1][1]["status"] == 200)]
        assert any("Listen Port" in str(state.get("health")) for state in states)
        assert any(state.get("container") == "restarting" for state in states)
        texts = [text for _, text in api.get("/api/health")["history"]]
        assert texts[-1] == ""
        assert any("Listen Port" in text for text in texts)


# ---- sending


def test_the_examples_are_the_documentation_s_and_every_delivery(api: Api) -> None:
    found = api.get("/api/examples")
    assert found[0]["body"] == '{"name":"incident created via generic webhook","raw_json":{"some_field":"some_value"}}'
    files = sorted(DELIVERIES.glob("*.http"))
    assert [example["id"] for example in found[1:]] == [file.stem for file in files]
    by_id = {example["id"]: example for example in found}
    schemes = {"github-push": SIGNED, "slack-event": "_slack", "stripe-event": "_stripe:Stripe-Signature", "auth0-json-array": ""}
    assert {name: by_id[name]["signature"] for name in schemes} == schemes
    assert by_id["github-push"]["params"]["duplication_key"] == "headers.x-github-delivery"
    assert all(set(example) == set(found[0]) for example in found)


def test_every_example_is_accepted_once_it_is_signed(fresh: Api) -> None:
    numbers = []
    for example in fresh.get("/api/examples"):
        answer = fresh.post("/api/send", {**example, "sign": True})
        assert (answer["status"], answer["reason"]) == (200, "OK"), (example["id"], answer)
        numbers.append(answer["requestId"])
    assert numbers == sorted(set(numbers))
    unsigned = fresh.post("/api/send", {**fresh.get("/api/examples")[0], "sign": False})
    assert unsigned["status"] == 401
    assert "signature header is missing" in json.loads(unsigned["body"])["error"]
    assert fresh.get("/api/requests?limit=1")["total"] == len(numbers) + 1


def expected_of(example: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the incidents that a delivery must become with its own parameters, see test_deliveries.py."""
    return list(json.loads((DELIVERIES / f"{example['id']}.expected.json").read_text(encoding="utf-8"))["incidents"])


BLANK = dict.fromkeys(("events_path", "type_from", "incidentType", "severity_map", "severity_from"), "")


def test_every_delivery_is_shown_with_its_own_parameters(fresh: Api) -> None:
    for example in fresh.get("/api/examples")[1:]:
        fresh.post("/api/send", {**example, "sign": True})
        made = fresh.post("/api/preview", {"params": {**BLANK, **example["params"]}})["requests"][0]
        expected = expected_of(example)
        assert made["error"] == ""
        assert [incident["name"] for incident in made["incidents"]] == [incident["name"] for incident in expected]
        for incident, wanted in zip(made["incidents"], expected):
            told = {**incident, "key": incident["duplicationKey"]}
            assert {name: told[name] for name in wanted} == wanted, example["id"]


@pytest.mark.parametrize("part", range(2))
def test_a_delivery_is_accepted_once_its_own_parameters_are_saved(part: int) -> None:
    with paged(credentials()) as api:
        for example in api.get("/api/examples")[1 + part :: 12]:
            api.save(**{**BLANK, "name_from": "name", "occurred_from": "occurred", **example["params"]})
            answer = api.post("/api/send", {**example, "sign": True})
            assert answer["status"] == 200, (example["id"], answer)
            opened, expected = api.row(answer["requestId"]), expected_of(example)
            assert [shown["name"] for shown in opened["incidents"]] == [wanted["name"] for wanted in expected]
            for shown, wanted in zip(opened["incidents"], expected):
                assert ("duplicationKey" in shown["sources"]) == (wanted["key"] is not None)
                assert ("severity" in shown["sources"]) == ("severity" in wanted)


SCHEMES = {
    "someone": SECRET,
    "_header:X-Token": SECRET,
    "_header:Authorization": f"Bearer {SECRET}",
    "_query:token": SECRET,
    "_hmac:X-Sum": SECRET,
    "_hmac-sha1:X-Sum": SECRET,
    "_hmac-sha512:X-Sum": SECRET,
    "_slack": SECRET,
    "_zoom": SECRET,
    "_stripe:Stripe-Signature": SECRET,
    "_standard-webhooks": "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode(),
}
AWKWARD = '{"a": "it\'s 100 % \\\\ \\" $HOME `id` \u00fc\u20ac",\n\t"b": [1]}\n'


def shell(line: str, secret: str) -> str:
    """Run a line of curl and return what it printed."""
    env = {**os.environ, "WEBHOOK_SECRET": secret}
    done = subprocess.run(
        ["sh", "-c", line.replace("curl ", "curl -sS ", 1)], capture_output=True, env=env, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@pytest.mark.parametrize("username", SCHEMES)
def test_what_is_sent_is_proven_and_so_is_the_line_for_a_shell(api: Api, username: str) -> None:
    """
    Given: an instance with each scheme of credentials
    When: a request is sent with and without its proof, and by the line for a shell
    Then: it is 200, 401 and 200, with the same event, and neither the answers nor the line hold the secret
    """
    secret = SCHEMES[username]
    api.save(**credentials(username, secret))
    assert api.send(AWKWARD, sign=False)["status"] == 401
    sent = api.send(AWKWARD, path="/x?y=1")
    assert sent["status"] == 200, sent
    attempt = {"method": "POST", "path": f"{INSTANCE}/x?y=1", "headers": list(JSON.items()), "body": AWKWARD, "sign": True}
    line = api.post("/api/curl", attempt)["curl"]
    assert "\n" not in line
    assert SECRET not in line
    made = json.loads(shell(line, secret))
    stored = {incident["id"]: json.loads(incident["rawJSON"]) for incident in api.sandbox.incidents()}
    for identifier in (json.loads(sent["body"])[0]["id"], made[0]["id"]):
        assert {"a": stored[identifier]["a"], "b": stored[identifier]["b"]} == json.loads(AWKWARD)
        assert (stored[identifier]["path"], stored[identifier]["query"]) == ("/x", {"y": "1"})
    again = api.post(f"/api/requests/{sent['requestId']}/send")
    assert again["status"] == 200, again
    assert json.loads(again["body"])[0].get("duplicate", False) == (username == "_standard-webhooks")
    refused = next(row for row in api.get("/api/requests")["requests"] if row["status"] == 401)
    assert api.post(f"/api/requests/{refused['id']}/send")["status"] == 401
    api.save(**credentials())


def test_an_unsigned_line_is_plain_curl(api: Api) -> None:
    attempt = {"method": "PUT", "path": INSTANCE, "headers": [["Content-Type", "text/plain"]], "body": "it's", "sign": False}
    line = api.post("/api/curl", attempt)["curl"]
    assert line == f"curl -X PUT -H 'Content-Type: text/plain' {api.sandbox.url} --data-raw 'it'\\''s'"
    attempt = {"method": "GET", "path": f"{INSTANCE}?a=b&c", "headers": [], "body": "", "sign": False}
    assert api.post("/api/curl", attempt)["curl"] == f"curl -X GET '{api.sandbox.url}?a=b&c'"


@pytest.mark.parametrize("body", ["-n 'x'\n", "@/dev/null", "%s\\n\x07", ""])
def test_a_line_for_a_shell_sends_the_very_bytes(fresh: Api, body: str) -> None:
    headers = [["Content-Type", "text/plain"], ["X-Hub-Signature-256", "sha256="]]
    attempt = {"method": "POST", "path": f"{INSTANCE}/[a]{{b}}?c=d", "headers": headers, "body": body, "sign": True}
    for given in (attempt, {**attempt, "sign": False}):
        shell(fresh.post("/api/curl", given)["curl"], SECRET)
    await_that(lambda: fresh.get("/api/requests")["total"] == 2, SECONDS)
    proven, unproven = fresh.row(1), fresh.row(2)
    assert (proven["status"], unproven["status"]) == (200, 401)
    for opened in (proven, unproven):
        assert (opened["body"], opened["path"]) == ({"text": body}, attempt["path"])
    signature = next(value for name, value in proven["headers"] if name == "X-Hub-Signature-256")
    assert signature.startswith("sha256=")


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"path": "/api/reset"}, "The path has to begin with /instance/execute/webhook"),
        ({"path": f"{INSTANCE} HTTP/1.1"}, "holds no blanks"),
        ({"path": f"{INSTANCE}\r\nX: y"}, "holds no blanks"),
        ({"method": "PO ST"}, "The method is a word"),
        ({"headers": [["A\r\nB", "c"]]}, "is no name of a header"),
        ({"headers": [["A", "c\r\nB: d"]]}, "holds a line break"),
        ({"headers": ["A: b"]}, "a pair of name and value"),
        ({"body": {}}, "The body is a text"),
    ],
    ids=str,
)
def test_what_is_no_request_is_not_sent(api: Api, changed: dict[str, Any], sentence: str) -> None:
    attempt = {"method": "POST", "path": INSTANCE, "headers": [], "body": "", **changed}
    before = len(api.sandbox.incidents())
    assert sentence in api.refused("/api/send", attempt)
    assert sentence in api.refused("/api/curl", attempt)
    assert len(api.sandbox.incidents()) == before


def test_framing_is_the_connection_s_own(fresh: Api) -> None:
    given = {"Content-Length": "3", "Transfer-Encoding": "chunked", "Host": "x.example.com", "X-Mine": "\u00fc", **JSON}
    sent = fresh.send({"a": 1}, headers=given)
    assert sent["status"] == 200
    headers = {name.lower(): value for name, value in fresh.row(sent["requestId"])["headers"]}
    assert headers["content-length"] == "8"
    assert "transfer-encoding" not in headers
    assert json.loads(fresh.sandbox.incidents()[-1]["rawJSON"])["headers"]["x-mine"] == "\u00fc"


def test_a_certificate_is_met_at_the_container_s_own_port() -> None:
    from Tests.end_to_end.hostile import certificate

    with paged({**certificate().params, **credentials("someone")}) as api:
        sent = api.send({"a": 1}, path="/x")
        assert (sent["status"], sent["requestId"]) == (200, None)
        assert json.loads(api.sandbox.incidents()[0]["rawJSON"])["path"] == "/x"
        line = api.post("/api/curl", {"path": INSTANCE, "headers": [], "body": "{}", "sign": True})["curl"]
        assert json.loads(shell(line, SECRET))[0]["id"] == "2"
        assert "PRIVATE KEY" not in json.dumps(api.get("/api/instance"))


# ---- requests and incidents


def test_requests_are_listed_newest_first_in_pages_with_filters(fresh: Api) -> None:
    for number in range(7):
        fresh.send({"name": f"disk d{number} full", "kind": "storage"})
    fresh.send({"a": 1}, sign=False)
    fresh.send("[broken")
    first = fresh.get("/api/requests?limit=4")
    assert (first["total"], first["more"]) == (9, True)
    assert [row["status"] for row in first["requests"]] == [400, 401, 200, 200]
    rest = fresh.get(f"/api/requests?limit=50&before={first['requests'][-1]['id']}")
    assert (len(rest["requests"]), rest["more"]) == (5, False)
    row = rest["requests"][0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", row["time"])
    assert (row["method"], row["path"], row["readAs"], row["sender"]) == ("POST", INSTANCE, "JSON", "127.0.0.1")
    assert row["incidents"] == [{"id": row["incidents"][0]["id"], "name": "disk d4 full", "type": "", "duplicate": False}]
    assert (row["incidentCount"], row["error"]) == (1, "")
    assert row["milliseconds"] > 0
    assert "signature" in first["requests"][1]["error"]
    for query, found in (
        ("status=2xx", 7),
        ("status=4xx", 2),
        ("status=5xx", 0),
        ("status=duplicate", 0),
        ("status=all", 9),
        ("q=disk", 7),
        ("q=disk%20d3%20fu", 1),
        ("q=stor", 7),
        ("q=stor&status=4xx", 0),
        ("q=broken&status=4xx", 1),
        ("q=%22*%20XOR", 0),
        ("q=%3D", 0),
    ):
        listed = fresh.get(f"/api/requests?{query}")
        assert (listed["total"], len(listed["requests"]), listed["more"]) == (found, found, False), query
    paged_search = fresh.get("/api/requests?q=disk&limit=5")
    assert (len(paged_search["requests"]), paged_search["more"], paged_search["total"]) == (5, True, 7)
    before = paged_search["requests"][-1]["id"]
    assert len(fresh.get(f"/api/requests?q=disk&limit=5&before={before}")["requests"]) == 2


@pytest.mark.parametrize("query", ["limit=x", "before=-1", "status=3xx"])
def test_a_list_that_is_asked_for_wrongly_says_so(api: Api, query: str) -> None:
    assert api.refused(f"/api/requests?{query}", status=400, method="GET")


def test_an_opened_request_shows_what_came_and_what_became_of_it() -> None:
    params = {
        "name_from": "{alert.title} on {host, hosts.0}",
        "severity_from": "level, alert.level",
        "duplication_key": "nosuch, alert.id",
        "events_path": "alerts",
        "occurred_from": "at",
        "incidentType": "Storage",
    }
    event = {"alert": {"title": "Disk full", "level": "high", "id": 7}, "hosts": ["db1"], "at": "2024-05-01T12:00:00Z"}
    with paged({**params, **credentials()}) as api:
        sent = api.send({"alerts": [event, {"note": 1}]})
        opened = api.row(sent["requestId"])
        assert opened["body"] == {"text": json.dumps({"alerts": [event, {"note": 1}]})}
        assert (opened["bodyBytes"], opened["bodyCut"]) == (len(opened["body"]["text"]), False)
        assert ["Content-Type", "application/json"] in opened["headers"]
        assert (opened["answer"]["status"], opened["answer"]["body"]) == (200, sent["body"])
        assert ["Content-Type", "application/json"] in opened["answer"]["headers"]
        first, second = opened["incidents"]
        assert (first["name"], first["severity"], first["type"], first["duplicate"]) == ("Disk full on db1", 3, "Storage", False)
        assert first["occurred"] == first["fields"]["occurred"] == "2024-05-01T12:00:00Z"
        assert first["raw"]["alert"] == event["alert"]
        assert "rawJSON" not in first["fields"]
        assert first["sources"] == {
            "name": {"parameter": "name_from", "display": "Incident name", "path": "alert.title, hosts.0"},
            "severity": {"parameter": "severity_from", "display": "Severity from", "path": "alert.level"},
            "occurred": {"parameter": "occurred_from", "display": "Occurred from", "path": "at"},
            "duplicationKey": {"parameter": "duplication_key", "display": "Duplication key", "path": "alert.id"},
            "events": {"parameter": "events_path", "display": "Events in", "path": "alerts"},
            "type": {"parameter": "incidentType", "display": "Incident type", "path": ""},
        }
        assert set(second["sources"]) == {"events", "type"}
        assert api.get(f"/api/incidents/{first['id']}") == {**first, "requestId": sent["requestId"]}
        api.save(name_from="nosuch")
        assert api.row(sent["requestId"])["incidents"][0]["sources"] == first["sources"]  # by the parameters of its time
        again = api.post(f"/api/requests/{sent['requestId']}/send")
        assert [item.get("duplicate", False) for item in json.loads(again["body"])] == [True, False]
        assert api.row(again["requestId"])["incidents"][0]["duplicate"] is True
        assert [row["id"] for row in api.get("/api/requests?status=duplicate")["requests"]] == [again["requestId"]]


def test_an_event_of_our_own_format_names_its_own_fields(fresh: Api) -> None:
    sent = fresh.send({"name": "n", "severity": "high", "raw_json": {"a": 1}})
    [incident] = fresh.row(sent["requestId"])["incidents"]
    own = {"parameter": "", "display": "The payload's own field"}
    assert incident["sources"] == {"name": {**own, "path": "name"}, "severity": {**own, "path": "severity"}}


def test_bytes_that_are_no_text_are_shown_as_base64(fresh: Api) -> None:
    status, _, _ = ask(fresh.port, "POST", INSTANCE, b"\x00\xff\x01", {"Content-Type": "application/octet-stream"})
    assert status == 401
    row = await_that(lambda: fresh.get("/api/requests")["requests"], SECONDS)[0]
    assert fresh.row(row["id"])["body"] == {"base64": base64.b64encode(b"\x00\xff\x01").decode()}


def test_a_body_longer_than_what_is_kept_says_so() -> None:
    with paged() as api:
        body = json.dumps({"name": "long", "text": "\u00fc" * 2_500_000}, ensure_ascii=False).encode()
        assert ask(api.port, "POST", INSTANCE, body, JSON)[0] == 200
        row = await_that(lambda: api.get("/api/requests")["requests"], SECONDS)[0]
        opened = api.row(row["id"])
        assert (opened["bodyCut"], opened["bodyBytes"]) == (True, len(body))
        assert opened["body"]["text"].startswith('{"name": "long"')
        assert opened["incidents"][0]["sources"] == {}
        assert "longer than what is kept" in api.refused(f"/api/requests/{row['id']}/send")
        assert "longer than what is kept" in api.post("/api/preview", {"params": {}})["requests"][0]["error"]


def test_incidents_are_listed_searched_and_opened(fresh: Api) -> None:
    sent = [fresh.send({"name": f"disk {n} full", "type": "Storage", "host": f"db{n}"}) for n in range(5)]
    ids = [json.loads(answer["body"])[0]["id"] for answer in sent]
    listed = fresh.get("/api/incidents?limit=2")
    assert (listed["total"], listed["more"], [row["id"] for row in listed["incidents"]]) == (5, True, [ids[4], ids[3]])
    assert set(listed["incidents"][0]) == {"id", "created", "name", "type", "severity"}
    assert [row["id"] for row in fresh.get(f"/api/incidents?before={ids[3]}")["incidents"]] == ids[2::-1]
    found = await_that(lambda: (hit := fresh.get("/api/incidents?q=db3"))["total"] == 1 and hit, SECONDS)
    assert found["incidents"][0]["name"] == "disk 3 full"
    assert fresh.get(f"/api/incidents/{ids[3]}")["raw"]["host"] == "db3"
    assert "no incident 9999" in fresh.refused("/api/incidents/9999", status=404, method="GET")
    assert "no request 99" in fresh.refused("/api/requests/99", status=404, method="GET")


def test_reset_forgets_all_and_counts_requests_from_1_again(fresh: Api) -> None:
    fresh.send({"name": "first"})
    fresh.sandbox.set_context({"kept": "1"})
    assert fresh.post("/api/reset") == {"ok": True}
    assert fresh.get("/api/requests") == {"requests": [], "more": False, "total": 0}
    assert fresh.get("/api/incidents") == {"incidents": [], "more": False, "total": 0}
    assert fresh.get("/api/requests?q=first")["total"] == 0
    assert "kept" not in fresh.sandbox.context()
    assert fresh.send({"name": "second"})["requestId"] == 1
    await_that(lambda: fresh.get("/api/incidents?q=second")["total"] == 1, SECONDS)
    assert fresh.get("/api/incidents?q=first")["total"] == 0


def test_what_a_stranger_posts_stays_text(fresh: Api) -> None:
    vector = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    sent = fresh.send({"name": vector}, headers={**JSON, "X-Evil": vector})
    opened = fresh.row(sent["requestId"])
    assert opened["incidents"][0]["name"] == vector
    for path in ("/api/requests", f"/api/requests/{sent['requestId']}", "/api/incidents"):
        _, headers, _ = ask(fresh.port, "GET", path)
        assert headers["content-type"] == "application/json"
        assert headers["x-content-type-options"] == "nosniff"


# ---- 100,000 rows


ROWS = 100_000


@contextlib.contextmanager
def crowded(folder: Path) -> Iterator[tuple[Traffic, SQLiteStore]]:
    """Fill tables of 100,000 requests and incidents; a hundredth of the requests is refused, one holds a rare word."""
    store = open_store(folder / "store.sqlite3", "webhook")
    assert isinstance(store, SQLiteStore)
    traffic = Traffic(folder / "page.sqlite3", store)
    for start in range(1, ROWS, 5000):
        numbers = range(start, start + 5000)
        store.create([{"name": f"disk {number} full", "rawJSON": f'{{"host":"db{number}"}}'} for number in numbers])
        traffic.add([recorded(number) for number in numbers])
    while traffic.index_incidents():
        pass
    yield traffic, store
    traffic.close()
    store.close()


def recorded(number: int, word: str = "common") -> Recorded:
    row: dict[str, Any] = dict.fromkeys(("time", "path", "readAs", "sender", "error"), "")
    row |= {"method": "POST", "status": 404 if number % 100 == 0 else 200, "milliseconds": 1.0, "incidentCount": 1}
    row["incidents"] = [{"id": str(number), "name": f"disk {number} full", "type": "", "duplicate": number % 1000 == 1}]
    body = b"zebra" if number == 500 else word.encode()
    return Recorded(row, [], body, len(body), [], b"[]", [(str(number), number % 1000 == 1)], PARAMS)


PARAMS: dict[str, Any] = {}


def steps(db: sqlite3.Connection, call: Any) -> int:
    """Return how many steps SQLite's machine takes for a call, to the nearest 100: what is touched, not how long it takes."""
    seen = [0]

    def count() -> int:
        seen[0] += 100
        return 0

    db.set_progress_handler(count, 100)
    try:
        call()
    finally:
        db.set_progress_handler(None, 0)
    return seen[0]


def test_100_000_rows_are_paged_and_searched_along_their_indexes(tmp_path: Path) -> None:
    with crowded(tmp_path) as (traffic, store):
        a_page_of_requests_touches_a_page(traffic)
        a_common_word_is_counted_up_to_a_bound(traffic)
        no_list_scans_or_sorts(traffic, store)
        a_page_of_incidents_touches_a_page(traffic, store)


def a_page_of_requests_touches_a_page(traffic: Traffic) -> None:
    for words, kind in (("", ""), ("", "2xx"), ("", "4xx"), ("", "duplicate"), ("zebra", ""), ("disk 77 fu", "")):
        for before in (2**62, ROWS // 2, 600):
            assert traffic.requests(before, 50, words, kind).total
            touched = steps(traffic._reader, functools.partial(traffic.requests, before, 50, words, kind))
            assert touched < 20_000, (words, kind, before)


def a_common_word_is_counted_up_to_a_bound(traffic: Traffic) -> None:
    found = traffic.requests(2**62, 50, "common", "2xx")
    assert (len(found.rows), found.more, found.total) == (50, True, 10_000)
    assert traffic.requests(2**62, 50, "common", "4xx").total == ROWS // 100 - 1
    assert steps(traffic._reader, functools.partial(traffic.requests, 2**62, 50, "common", "")) < 200_000  # of more than 500,000


def no_list_scans_or_sorts(traffic: Traffic, store: SQLiteStore) -> None:
    asked: list[str] = []
    traffic._reader.set_trace_callback(asked.append)
    store._db.set_trace_callback(asked.append)
    try:
        for words in ("", "zebra"):
            for kind in ("", "2xx", "duplicate"):
                traffic.requests(2**62, 50, words, kind)
            traffic.incidents(2**62, 50, words)
        traffic.request(5)
        traffic.origin(5)
    finally:
        traffic._reader.set_trace_callback(None)
        store._db.set_trace_callback(None)
    for query in {query for query in asked if query.startswith("select") and "sqlite_" not in query}:
        db = store._db if re.search(r"from incident\b", query) else traffic._reader
        plan = [row[3] for row in db.execute(f"explain query plan {query}")]
        sorts = [line for line in plan if "TEMP B-TREE" in line]
        scans = [
            line for line in plan if line.startswith("SCAN") and "VIRTUAL TABLE INDEX" not in line and "subquery" not in line
        ]
        limited = "duplicate" in query or "max(id)" in query  # along an index, from its end
        assert not sorts, (query, plan)
        assert not scans or limited or "CONSTANT" in scans[0], (query, plan)


def a_page_of_incidents_touches_a_page(traffic: Traffic, store: SQLiteStore) -> None:
    for words in ("", "db99", "disk"):
        rows, more, total = traffic.incidents(ROWS // 2, 50, words)
        assert rows
        assert total
        assert steps(traffic._reader, functools.partial(traffic.incidents, ROWS // 2, 50, words)) < 200_000
        assert steps(store._db, functools.partial(traffic.incidents, ROWS // 2, 50, words)) < 20_000
        assert more == (len(rows) == 50)


def test_the_oldest_requests_make_room(tmp_path: Path) -> None:
    traffic = Traffic(tmp_path / "page.sqlite3", open_store(None, "webhook"), most=10)
    for number in range(1, 26):
        traffic.add([recorded(number, word=f"word{number}")])
    found = traffic.requests(2**62, 50, "", "")
    assert ([row["id"] for row in found.rows], found.total) == (list(range(25, 15, -1)), 10)
    assert traffic.requests(2**62, 50, "word3", "").total == 0
    assert traffic.requests(2**62, 50, "word20", "").total == 1
    assert (traffic.origin(3), traffic.origin(20), traffic.request(3)) == (None, 20, None)
    traffic.close()


def test_a_later_run_finds_the_requests_of_an_earlier_one(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite3"
    with paged(store=store) as api:
        api.send({"name": "kept"})
    with paged(store=store) as api:
        assert api.get("/api/requests?q=kept")["total"] == 1
        assert api.send({"name": "new"})["requestId"] == 2
        assert api.get("/api/incidents/1")["requestId"] == 1


@pytest.mark.parametrize("text", ['"', "a*", "-a", "a AND", "(", "NEAR(a b)", "\u65e5\u672c", "col:x", "'"])
def test_no_search_is_an_error(api: Api, text: str) -> None:
    for path in ("/api/requests?status=2xx&", "/api/requests?", "/api/incidents?"):
        assert "total" in api.get(f"{path}q={quote(text)}")


@pytest.mark.parametrize("path", ["/api/requests/", "/api/incidents/"])
@pytest.mark.parametrize("number", ["0", "-1", "9" * 30, "99999999"])
def test_a_number_that_nothing_has_is_404(api: Api, path: str, number: str) -> None:
    assert "load the list again" in api.refused(path + number, status=404, method="GET")


def test_half_a_character_is_kept_too(fresh: Api) -> None:
    sent = fresh.send('{"name": "half \\ud800 of it"}')
    assert fresh.get("/api/requests?q=half")["total"] == 1
    assert fresh.row(sent["requestId"])["incidents"][0]["name"].startswith("half ")


# ---- mapping


def test_samples_are_what_the_mapping_wizard_gets() -> None:
    with paged(constants=None if PACK else {"FLUSH_SECONDS": 0.1}) as api:
        none = api.post("/api/samples")
        assert none["samples"] == []
        assert "tick Store sample events for mapping" in none["hint"]
        api.save(store_samples=True)
        assert "There are no samples yet" in api.post("/api/samples")["hint"]
        api.send({"name": "first", "alert": {"id": 1}})
        found = await_that(lambda: (told := api.post("/api/samples"))["samples"] and told, SECONDS)
        assert found["hint"] == ""
        assert found["samples"][0]["name"] == "first"
        assert found["samples"][0]["raw"]["alert"] == {"id": 1}


def test_a_preview_tells_what_the_last_requests_would_have_become(fresh: Api) -> None:
    fresh.send({"alert": {"title": "Disk full", "level": "critical"}, "id": "e1"})
    fresh.send({"alerts": [{"n": 1}, {"n": 2}]})
    fresh.send({"x": 1}, sign=False)
    fresh.send('{"challenge":"3eZbrw1a"}')
    before = fresh.sandbox.calls["createIncidents"]
    params = {"name_from": "alert.title", "severity_from": "alert.level", "duplication_key": "id", "events_path": "alerts"}
    made = fresh.post("/api/preview", {"params": params})["requests"]
    assert [request["id"] for request in made] == [4, 3, 2, 1]
    handshake, unsigned, several, alert = made
    assert "no incident" in handshake["error"]
    assert (unsigned["incidents"], "signature" in unsigned["error"]) == ([], True)
    assert [incident["name"] for incident in several["incidents"]] == ["Generic webhook triggered incident"] * 2
    assert several["incidents"][0]["sources"]["events"]["path"] == "alerts"
    [incident] = alert["incidents"]
    assert (incident["name"], incident["severity"], incident["duplicationKey"]) == ("Disk full", 4, "id:e1")
    assert incident["sources"]["severity"] == {"parameter": "severity_from", "display": "Severity from", "path": "alert.level"}
    [wrong] = fresh.post("/api/preview", {"params": {"name_from": "a..b"}})["requests"][-1:]
    assert "'a..b' is not a path" in wrong["error"]
    assert fresh.post("/api/preview", {"params": {}})["requests"][-1]["incidents"][0]["sources"] == {}
    assert "no parameter" in fresh.refused("/api/preview", {"params": {"nosuch": ""}})
    assert fresh.sandbox.calls["createIncidents"] == before
    assert fresh.get("/api/requests")["total"] == 4


# ---- health


class Stream:
    """The events of a page, as they come."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer

    def next(self) -> tuple[str, Any]:
        """Return the next event's name and value, waiting for it."""
        name = ""
        while line := self._answer.readline().decode().rstrip("\n"):
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                value = json.loads(line.removeprefix("data: "))
        return (name, value) if name else ("", None)

    def until(self, condition: Any) -> list[tuple[str, Any]]:
        """Return all events up to the one at which the condition, of all events so far, is true."""
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
    """Listen to a page, through the reroute."""
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
    return lambda seen: seen[-1][0] == "request" and seen[-1][1]["incidents"][:1] and seen[-1][1]["incidents"][0]["name"] == name


def test_events_stream_through_the_reroute_while_they_happen(fresh: Api) -> None:
    with events(fresh) as stream, events(fresh) as another:
        for name in ("first", "second"):  # each is read before the next is sent: nothing waits in a buffer
            sent = fresh.send({"name": name})
            seen = stream.until(is_request(name))
            listed = fresh.get("/api/requests?limit=1")["requests"][0]
            assert seen[-1] == ("request", listed)
            assert listed["id"] == sent["requestId"]
        metrics = stream.until(lambda seen: seen[-1][0] == "metrics" and seen[-1][1]["requests"])[-1][1]
        assert set(metrics) == {"t", "requests", "p50", "p99", "batches", "incidents", "inFlight", "waiting"}
        fresh.post("/api/faults", {"latencyMs": 5})
        faults = stream.until(lambda seen: seen[-1][0] == "faults")[-1][1]
        assert faults["latencyMs"] == {"createIncidents": 5}
        another.until(is_request("second"))


def batches_of(health: dict[str, Any]) -> list[int]:
    """Return the sizes of all batches that the figures tell."""
    return [size for second in health["metrics"] for size in second["batches"]]


def test_health_has_figures_logs_and_faults(fresh: Api) -> None:
    for _ in range(3):
        fresh.send([{"name": "a"}, {"name": "b"}])
    health = await_that(lambda: (told := fresh.get("/api/health")) and batches_of(told)[-3:] == [2, 2, 2] and told, SECONDS)
    assert (health["health"], health["container"], health["serverStopped"]) == ("", "up", False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", health["since"])
    busy = [second for second in health["metrics"] if second["requests"]]
    assert all(second["p99"] >= second["p50"] > 0 for second in busy)
    await_that(lambda: sum(second["incidents"] for second in fresh.get("/api/health")["metrics"]) >= 6, SECONDS)
    assert any(line["level"] == "info" and "listens on port" in line["text"] for line in health["logs"])
    assert health["faults"] == {"latencyMs": {"createIncidents": 0}, "fail": {"createIncidents": 0}, "outage": False}


def test_the_integration_rides_through_refusals(fresh: Api) -> None:
    """
    Given: a page and somebody who watches its events
    When: XSOAR refuses two calls and is slow
    Then: the request becomes its incident, and the events tell what went wrong and that it is over
    """
    with events(fresh) as stream:
        assert fresh.post("/api/faults", {"refuseNext": 2, "latencyMs": 20})["fail"] == {"createIncidents": 2}
        sent = fresh.send({"name": "refused twice"})
        assert sent["status"] == 200
        assert sent["milliseconds"] > 60  # three calls of 20 ms
        assert fresh.get("/api/health")["faults"]["fail"] == {"createIncidents": 0}
        told = stream.until(lambda seen: seen[-1][0] == "faults" and not seen[-1][1]["fail"]["createIncidents"])
        assert any(name == "faults" and value["fail"]["createIncidents"] == 2 for name, value in told)
        assert fresh.post("/api/faults", {"clear": True})["latencyMs"] == {"createIncidents": 0}
    assert [incident["name"] for incident in fresh.sandbox.incidents()] == ["refused twice"]


def test_the_integration_rides_through_a_stopped_server(fresh: Api) -> None:
    """
    Given: a server that answers nothing
    When: requests arrive, and the server goes on
    Then: they are told as in flight and waiting, the first of them is answered 200 after that, and the events tell all of it
    """
    with events(fresh) as stream:
        fresh.post("/api/faults", {"stopSeconds": 60})
        assert fresh.get("/api/health")["serverStopped"] is True
        with ThreadPoolExecutor() as pool:
            sent = pool.submit(fresh.send, {"name": "while it was down"})
            stream.until(lambda seen: seen[-1][0] == "metrics" and seen[-1][1]["inFlight"] == 1)
            assert not sent.done()
            assert not fresh.sandbox.incidents()
            fresh.post("/api/faults", {"clear": True})
            assert sent.result(SECONDS)["status"] == 200
        stream.until(lambda seen: seen[-1][0] == "metrics" and seen[-1][1]["inFlight"] == seen[-1][1]["waiting"] == 0)
    with events(fresh) as stream:
        fresh.post("/api/faults", {"stopSeconds": 0.3})
        told = stream.until(lambda seen: seen[-1][0] == "health" and not seen[-1][1]["serverStopped"])
        assert any(name == "health" and value["serverStopped"] for name, value in told)
    assert [incident["name"] for incident in fresh.sandbox.incidents()] == ["while it was down"]


def test_what_waits_is_told(fresh: Api) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3):  # a body without its last byte: the integration has it, and hands nothing over
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", fresh.port), timeout=10))
            connection.sendall(f"POST {INSTANCE} HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: {'0' * 64}\r\n".encode())
            connection.sendall(b"Content-Length: 3\r\n\r\n{}")
        waits = {"inFlight": 3, "waiting": 3}  # an earlier test's last call may still be under way for a second
        await_that(lambda: any(waits.items() <= told.items() for told in fresh.get("/api/health")["metrics"][-1:]), SECONDS)
    await_that(lambda: fresh.get("/api/health")["metrics"][-1]["inFlight"] == 0, SECONDS)


def test_many_requests_are_told_as_a_number(fresh: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "TOLD_A_SECOND", 0)
    with events(fresh) as stream:
        fresh.send({"name": "one of many"})
        told = stream.until(lambda seen: seen[-1][0] == "more")
    assert told[-1][1] == {"requests": 1}
    assert "request" not in [name for name, _ in told]


@pytest.mark.parametrize(
    "fault", [{"latencyMs": -1}, {"latencyMs": "5"}, {"refuseNext": 1e9}, {"stopSeconds": True}, []], ids=str
)
def test_a_fault_that_is_none_is_refused(api: Api, fault: Any) -> None:
    assert api.refused("/api/faults", fault)


def test_a_listener_who_leaves_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "COMMENT_SECONDS", 0.05)
    with paged() as api:
        page = api.sandbox._page
        assert page
        with events(api):
            assert len(page._listeners._open) == 1
        await_that(lambda: not page._listeners._open, SECONDS)


# ---- secrets


def everything_told(api: Api) -> str:
    """Return what every call of the page answers, refusals too."""
    answers = [
        api.call("GET", path) for path in ("/api/instance", "/api/examples", "/api/health", "/api/requests", "/api/incidents")
    ]
    numbers = [row["id"] for row in api.get("/api/requests?limit=200")["requests"]]
    answers += [api.call("GET", f"/api/requests/{number}") for number in numbers]
    answers += [api.call("GET", f"/api/incidents/{incident['id']}") for incident in api.sandbox.incidents()]
    answers += [api.call("POST", f"/api/requests/{number}/send") for number in numbers[-1:]]
    attempt = {"method": "POST", "path": INSTANCE, "headers": [], "body": "{}", "sign": True}
    answers += [api.call("POST", path, attempt) for path in ("/api/send", "/api/curl")]
    forms: list[Any] = [{}, {"longRunningPort": "x"}, {"nosuch": 1}, {"credentials": {"identifier": "_slak"}}]
    for path in ("/api/instance/test", "/api/preview", "/api/instance"):
        answers += [api.call("POST", path, {"params": form}) for form in (forms if path != "/api/instance" else forms[2:3])]
    answers += [api.call("POST", path) for path in ("/api/samples", "/api/faults")]
    return json.dumps(answers, ensure_ascii=False)


@pytest.mark.parametrize("username", ["someone", "_header:Authorization", "_query:token", SIGNED])
def test_no_secret_reaches_the_page(username: str) -> None:
    """
    Given: an instance with each kind of credentials, and senders that prove themselves with them in all ways there are
    When: every call of the page is made, and its events are listened to
    Then: the secret is in none of the answers, not as base64 or percent-encoded either, and neither is an older one
    """
    secrets = ["old/S3cret+of=today", "new:s3cret \u00fc&more"]
    telling = [form for secret in secrets for form in (secret, base64.b64encode(f"{username}:{secret}".encode()).decode())]
    telling += ["s3cret%20", "S3cret%2B", "new%3As3cret", "s3cret+%C3%BC"]
    with paged({**credentials(username, secrets[0]), "store_samples": True}) as api, events(api) as stream:
        told = ""
        for secret in secrets:
            api.save(**credentials(username, secret))
            assert api.send({"name": "proven"})["status"] == 200
            latin = secret.encode().decode("latin-1")
            basic = "Basic " + base64.b64encode(f"{username}:{secret}".encode()).decode()
            for headers in ({"Authorization": basic}, {"Authorization": latin}, {"X-Token": latin}, {"X-Other": latin}):
                ask(api.port, "POST", INSTANCE, json.dumps({"text": f"it is {secret}."}).encode(), {**JSON, **headers})
            ask(api.port, "POST", f"{INSTANCE}?token={quote(secret)}")
            ask(api.port, "POST", f"{INSTANCE}?token={quote_plus(secret)}")
        told += everything_told(api)
        api.send({"name": "the last"})
        told += json.dumps(stream.until(is_request("the last")), ensure_ascii=False)
    found = [form for form in telling if form in told or json.dumps(form)[1:-1] in told]
    assert not found
    assert "proven" in told


def test_events_and_errors_tell_no_secret_either(tmp_path: Path) -> None:
    """
    Given: a page that is listened to, and a secret that no header and no curl line can carry as it is
    When: the secret is posted in a name, as a method and in other spellings, and a request is to be proven with it
    Then: neither the events nor an error nor an opened request hold it; the files that do are the owner's alone
    """
    secret = "half-S3cret\nof <us> & you/me"
    by_go = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
    spelled = [part for line in secret.splitlines() for part in (line, line.translate(by_go), line.replace("/", "\\/"))]
    store = tmp_path / "xsoar.sqlite3"
    with paged({**credentials("_header:X-Token", secret)}, store=store) as api, events(api) as stream:
        sentence = api.refused("/api/send", {"path": INSTANCE, "headers": [], "body": "{}", "sign": True}, status=502)
        ask(api.port, "half-S3cret", INSTANCE)
        body = "".join(f'{{"name": "it is {part}", "by": "' for part in spelled).encode() + b"\xff"
        ask(api.port, "POST", INSTANCE, body, {**JSON, "X-Token": "wrong"})
        told = json.dumps(stream.until(lambda seen: sum(name == "request" for name, _ in seen) == 2), ensure_ascii=False)
        opened = api.row(2)
    shown = base64.b64decode(opened["body"]["base64"]).decode("utf-8", "replace")
    for part in ("S3cret", "<us>", "u003cus", "\\/me"):
        assert part not in sentence + told + shown + json.dumps(opened, ensure_ascii=False)
    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("xsoar*")} == {0}


def test_no_other_page_may_even_ask(api: Api) -> None:
    for site in ("cross-site", "same-site"):
        headers = {"Sec-Fetch-Site": site}
        assert ask(api.port, "GET", "/api/requests?q=a", b"", headers)[0] == 403
        assert ask(api.port, "GET", "/api/events", b"", headers)[0] == 403
        assert ask(api.port, "GET", "/", b"", headers)[0] == 200  # a link to the page
    assert ask(api.port, "GET", "/api/requests", b"", {"Sec-Fetch-Site": "same-origin"})[0] == 200


def test_the_line_for_a_shell_goes_where_the_page_does(api: Api) -> None:
    line = api.post("/api/curl", {"path": f"{INSTANCE}/../../../api/reset", "headers": [["X-E", "\u00e9"]], "body": "{}"})["curl"]
    assert "--path-as-is" in line
    assert "'X-E: \u00e9'" in line
    assert "no #" in api.refused("/api/curl", {"path": f"{INSTANCE}/#there", "headers": [], "body": "{}"})


def test_a_private_key_is_never_told() -> None:
    from Tests.end_to_end.hostile import certificate

    pair = certificate()
    with paged() as api:
        assert api.post("/api/instance/test", {"params": pair.params})["ok"] is True
        api.save(**pair.params)
        assert {field["name"]: field["isSet"] for field in api.get("/api/instance")["parameters"]}["key"] is True
        told = everything_told(api)
    lines = [line for line in pair.params["key"].splitlines() if "-----" not in line]
    assert not [line for line in lines if line in told]


# ---- the command line


def test_serve_tells_the_page_s_address(tmp_path: Path) -> None:
    port = free_port()
    command = [PYTHON, "-m", "Tests.sandbox", "--port", str(port), "--store", str(tmp_path / "store.sqlite3")]
    command += ["--param", f"longRunningPort={free_port()}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        try:
            lines = iter(process.stdout.readline, "")
            line = next(line for line in lines if "listens at" in line)
            assert f"See it at http://127.0.0.1:{port}/" in line
            assert ask(port, "GET", "/")[0] == 200
            status, _, content = ask(port, "POST", "/api/instance", b'{"params": {"store_samples": true}}', JSON)
            assert (status, json.loads(content)) == (200, {"ok": True})
            assert ask(port, "POST", INSTANCE, b'{"name": "shown"}')[0] == 200
            assert any("#1 - shown" in line for line in lines)
        finally:
            process.terminate()
            assert process.wait(15) == 0
