"""Every row, step and note of the webhook's given documentation, over real HTTP and TLS."""

import base64
import contextlib
import json
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from Tests.end_to_end.sender import Answer, Sender, await_that, raw_of, running, send, talk
from Tests.sandbox import Faults, free_port
from Tests.sandbox.descriptor import INTEGRATION

CURL = (
    """curl -POST http://127.0.0.1:8080/instance/execute/webhook -H "Authorization: token" """
    """-d '{"name":"incident created via generic webhook","""
    """"raw_json":{"some_field":"some_value"}}'"""
)


@pytest.fixture(scope="module")
def webhook() -> Iterator[Sender]:
    with running(params={"incidentType": "Default type"}) as sender:
        yield sender


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def credentials(username: str, password: str) -> dict[str, Any]:
    return {"credentials": {"identifier": username, "password": password}}


# ---- the configuration's table


@pytest.mark.parametrize(
    "name, kind, required",
    [
        ("longRunning", 8, False),
        ("longRunningPort", 0, True),
        ("credentials", 9, False),
        ("certificate", 12, False),
        ("key", 14, False),
        ("incidentType", 13, False),
        ("store_samples", 8, False),
    ],
)
def test_the_form_has_every_documented_parameter(name: str, kind: int, required: bool) -> None:
    form = {
        row["name"]: row
        for row in yaml.safe_load(INTEGRATION.with_suffix(".yml").read_text())["configuration"]
    }
    assert (form[name]["type"], form[name]["required"]) == (kind, required)


def test_the_listen_port_may_be_a_mapping() -> None:
    port = free_port()
    with running(params={"longRunningPort": f"443:{port}"}) as sender:
        assert send(f"http://127.0.0.1:{port}/", b"{}").status == 200
        assert sender.post(b"{}").status == 200


def test_an_empty_port_is_shown_in_the_health_until_xsoar_assigns_one() -> None:
    with running(params={"longRunningPort": ""}) as sender:
        assert "Listen Port" in await_that(lambda: sender.sandbox.health)


# ---- usage: the documented fields


def test_the_documented_curl_line_works_as_it_stands(webhook: Sender) -> None:
    """curl then sends it as application/x-www-form-urlencoded; only the address differs."""
    line = CURL.replace("http://127.0.0.1:8080/instance/execute/webhook", webhook.sandbox.url)
    done = subprocess.run(
        ["bash", "-c", f"{line} -sS -w '\\n%{{http_code}}'"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    body, _, status = done.stdout.rpartition("\n")
    assert (status, done.returncode) == ("200", 0), done
    [created] = json.loads(body)
    [incident] = [one for one in webhook.sandbox.incidents() if one["id"] == created["id"]]
    assert created["name"] == incident["name"] == "incident created via generic webhook"
    assert incident["type"] == "Default type"
    assert raw_of(incident) == {"some_field": "some_value"}
    headers = json.loads(incident["rawJSON"])["headers"]
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert "token" not in json.dumps(headers)


def test_name_type_occurred_and_raw_json_become_incident_fields(webhook: Sender) -> None:
    body = {
        "name": "n",
        "type": "Phishing",
        "occurred": "2024-05-01T12:00:00Z",
        "raw_json": {"field1": "value1", "field2": 2},
    }
    fields = webhook.fields(json.dumps(body), "application/json")
    assert (fields["name"], fields["type"], fields["occurred"]) == (
        "n",
        "Phishing",
        "2024-05-01T12:00:00Z",
    )
    assert raw_of(fields) == {"field1": "value1", "field2": 2}


def test_all_fields_are_optional(webhook: Sender) -> None:
    before = datetime.now(UTC)
    fields = webhook.fields(b'{"raw_json":{}}')
    assert fields["name"] == "Generic webhook triggered incident"
    assert fields["type"] == "Default type"
    assert before <= datetime.fromisoformat(fields["occurred"]) <= datetime.now(UTC)
    assert raw_of(fields) == {}


def test_without_the_parameter_there_is_no_type() -> None:
    with running() as sender:
        assert "type" not in sender.fields(b"{}")


def test_the_answer_is_an_array_with_the_incident_s_metadata_once_it_exists(
    webhook: Sender,
) -> None:
    answer = webhook.post(b'{"name":"n","raw_json":{}}')
    [created] = answer.json
    assert created["name"] == "n"
    assert created["id"] in [incident["id"] for incident in webhook.sandbox.incidents()]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_answer_is_an_empty_array_when_a_rule_dropped_the_incident() -> None:
    with running(faults=Faults(drop="unwanted")) as sender:
        assert (sender.post(b'{"a":"unwanted"}').json, sender.sandbox.incidents()) == ([], [])


@pytest.mark.parametrize("path", ["", "/"])
def test_the_instance_s_url_is_rerouted_to_its_port(webhook: Sender, path: str) -> None:
    assert webhook.sandbox.url.endswith("/instance/execute/webhook")
    assert webhook.post(b"{}", path=path).status == 200


def test_another_instance_s_name_is_an_instance_of_its_own() -> None:
    with running(instance="second webhook") as sender:
        url = sender.sandbox.url.replace("second webhook", "second%20webhook")
        assert send(url, b"{}").status == 200


# ---- methods, paths, health


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "HEAD", "BREW"])
def test_other_methods_are_405_with_allow_and_json(webhook: Sender, method: str) -> None:
    before = len(webhook.sandbox.incidents())
    answer = send(
        f"{webhook.sandbox.url}?host=db1", b'{"a":1}' if method != "HEAD" else b"", method=method
    )
    assert answer.status == 405
    assert "POST" in answer.headers["allow"].replace(" ", "").split(",")
    assert answer.body == b"" if method == "HEAD" else "POST" in answer.error
    assert len(webhook.sandbox.incidents()) == before


@pytest.mark.parametrize(
    "path, kept",
    [
        ("/other", "/other"),
        ("//", "//"),
        ("/a/b?c=d", "/a/b"),
        ("/..%2f", "/../"),
        ("/gr%C3%B6%C3%9Fe", "/größe"),
    ],
)
def test_any_path_after_the_url_makes_an_incident_that_keeps_it(
    webhook: Sender, path: str, kept: str
) -> None:
    assert webhook.post(b"{}", path=path).status == 200
    assert json.loads(webhook.sandbox.incidents()[-1]["rawJSON"])["path"] == kept


def test_only_the_health_and_the_metrics_are_not_somebody_s_path(webhook: Sender) -> None:
    for path in ("/healthy", "/healthcare/alerts", "/health/", "/metrics/x", "/a%0Ab"):
        [incident] = webhook.create(b'{"n": 1}', path=path)
        assert json.loads(incident["rawJSON"])["path"] == urllib.parse.unquote(path)
    for path in ("/health", "/metrics"):
        status, error = webhook.refused(b"{}", path=path)
        assert status == 405
        assert "POST" in error


@pytest.mark.parametrize("params", [credentials("user", "pass"), credentials("user", "")])
def test_health_answers_without_credentials_and_reveals_nothing(params: dict[str, Any]) -> None:
    with running(params={**params, "incidentType": "Secret type"}, instance="private") as sender:
        answer = send(f"{sender.sandbox.url}/health", method="GET")
        assert answer.status == 200
        assert isinstance(answer.json, dict)
        said = str(answer.headers) + answer.body.decode()
        for private in (
            "private",
            str(sender.sandbox.container_port),
            "Secret type",
            "user",
            "Python",
            "gevent",
            "bottle",
        ):
            assert private.lower() not in said.lower()
        posted = send(f"{sender.sandbox.url}/health", b"{}")
        assert posted.status == 405
        assert "GET" in posted.headers["allow"]


# ---- security: Basic authentication and the header


@pytest.mark.parametrize("username, password", [("jürgen", "pä:ss:wörd €"), ("a b", ":")])
def test_basic_authentication_accepts_exactly_its_credentials(username: str, password: str) -> None:
    wrong = {
        "none": {},
        "another password": {"Authorization": basic(username, password + "x")},
        "another user": {"Authorization": basic("x" + username, password)},
        "no password": {"Authorization": basic(username, "")},
        "no colon": {"Authorization": "Basic " + base64.b64encode(username.encode()).decode()},
        "no base64": {"Authorization": "Basic !!!!"},
        "half base64": {"Authorization": "Basic dXNlcjpwYXN"},
        "no UTF-8": {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode()},
        "raw bytes": {"Authorization": b"Basic \xff\xfe\x80"},
        "nothing behind": {"Authorization": "Basic"},
        "empty": {"Authorization": ""},
        "another scheme": {"Authorization": basic(username, password).replace("Basic", "Bearer")},
    }
    with running(params=credentials(username, password)) as sender:
        # Repeated failures are delayed; sent together, the delays do not add up.
        with ThreadPoolExecutor(len(wrong)) as pool:
            answers = dict(
                zip(
                    wrong,
                    pool.map(
                        lambda headers: send(sender.sandbox.url, b"{}", headers), wrong.values()
                    ),
                )
            )
        for what, answer in answers.items():
            assert answer.status == 401, what
            assert answer.headers["www-authenticate"].lower().startswith("basic "), what
            assert answer.error, what
        assert sender.sandbox.incidents() == []
        for scheme in ("Basic", "basic", "BASIC"):
            headers = {"AUTHORIZATION": basic(username, password).replace("Basic", scheme)}
            assert send(sender.sandbox.url, b"{}", headers).status == 200


def test_curl_s_own_basic_authentication_works() -> None:
    with running(params=credentials("user", "pa:ss")) as sender:
        command = [
            "curl",
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-u",
            "user:pa:ss",
            "-d",
            "{}",
            sender.sandbox.url,
        ]
        assert subprocess.run(command, capture_output=True, text=True, timeout=20).stdout == "200"


@pytest.mark.parametrize(
    "name, value",
    [("Authorization", "Bearer XXX"), ("x_under.score", "tökén €")],
)
def test_a_header_accepts_exactly_its_value(name: str, value: str) -> None:
    wrong: list[dict[str, str | bytes]] = [
        {},
        {name: b""},
        {name: value.encode() + b"x"},
        {name: value.encode()[:-1]},
        {name: value.swapcase().encode()},
        {"X-Other": value.encode()},
    ]
    with running(params=credentials(f"_header:{name}", value)) as sender:
        for spelling in (name, name.lower(), name.upper()):
            assert send(sender.sandbox.url, b"{}", {spelling: value.encode()}).status == 200
        with ThreadPoolExecutor(len(wrong)) as pool:
            answers = list(
                pool.map(lambda headers: send(sender.sandbox.url, b"{}", headers), wrong)
            )
        assert [answer.status for answer in answers] == [401] * len(wrong)
        assert all(answer.error and "www-authenticate" not in answer.headers for answer in answers)
        assert len(sender.sandbox.incidents()) == 3


@pytest.mark.parametrize(
    "username, password, parameter",
    [
        ("user", "", "Password"),
        ("", "pass", "Username"),
        ("_header:Bad Name", "x", "Username"),
    ],
)
def test_half_credentials_authenticate_nobody_and_the_health_says_why(
    username: str, password: str, parameter: str
) -> None:
    with running(params=credentials(username, password)) as sender:
        assert await_that(lambda: sender.sandbox.health).startswith(f"{parameter}: ")
        headers: list[dict[str, str]] = [
            {},
            {"Authorization": basic(username, password)},
            {"Bad-Name": "x", "X-Token": "x"},
        ]
        for one in headers:
            answer = send(sender.sandbox.url, b"{}", one)
            assert answer.status == 401
            assert "www-authenticate" not in answer.headers
        assert sender.sandbox.incidents() == []
        [entry] = sender.sandbox.run("test-module")
        assert entry["Type"] == 4
        assert entry["Contents"].startswith(f"{parameter}: ")


def test_without_credentials_everybody_may_send(webhook: Sender) -> None:
    assert webhook.post(b"{}").status == 200
    assert webhook.post(b"{}", authorization="Basic !!!").status == 200


@pytest.fixture(scope="module")
def guarded() -> Iterator[Sender]:
    with running(params=credentials("user", "pass")) as sender:
        yield sender


HEAD = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"


@pytest.mark.parametrize(
    "more", ["", "Expect: 100-continue\r\n", "Content-Type: application/json\r\n"]
)
def test_the_body_is_not_read_before_the_sender_is_known(guarded: Sender, more: str) -> None:
    """Only headers are sent, which announce a body: the 401 does not wait, and no 100 is sent."""
    port = guarded.sandbox.container_port
    assert port
    answer = talk(port, f"{HEAD}{more}\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"Connection: close" in answer


def test_a_known_sender_is_asked_to_continue(guarded: Sender) -> None:
    port = guarded.sandbox.container_port
    assert port
    head = f"{HEAD}Authorization: {basic('user', 'pass')}\r\nExpect: 100-continue\r\n\r\n"
    assert talk(port, head.encode()).startswith(b"HTTP/1.1 100 ")


def test_an_unknown_sender_is_refused_through_the_reroute_while_still_uploading(
    guarded: Sender,
) -> None:
    answer = send(guarded.sandbox.url, b"x" * 2_000_000)
    assert answer.status == 401


def test_the_secret_is_in_no_incident_sample_log_or_answer() -> None:
    for username in ("user", "_header:X-Token"):
        secret = "s3cret-pass-phrase"
        given = (
            {"Authorization": basic("user", secret)} if username == "user" else {"X-Token": secret}
        )
        params = {"store_samples": True, "keep_unreadable": False}
        with running(params={**credentials(username, secret), **params}) as sender:
            answers = [
                send(sender.sandbox.url, b'{"a":1}', given),
                send(sender.sandbox.url, b"{broken", {**given, "Content-Type": "application/json"}),
                send(
                    sender.sandbox.url, b"{}", {name: value + "x" for name, value in given.items()}
                ),
            ]
            assert [answer.status for answer in answers] == [200, 400, 401]
            sandbox = sender.sandbox
            sandbox.terminate()
            sandbox.wait_exit()
            assert "sample_events" in sandbox.context()
            seen = json.dumps(
                [
                    sandbox.incidents(),
                    sandbox.context(),
                    sandbox.logs,
                    sandbox.health_history,
                    sandbox.stderr,
                ]
            )
            seen += "".join(f"{answer.headers}{answer.body!r}" for answer in answers)
            assert secret not in seen
            assert base64.b64encode(f"user:{secret}".encode()).decode() not in seen


# ---- HTTPS


class Https:
    """A certificate with an intermediate one, from an authority that only the sender trusts."""

    def __init__(self) -> None:
        self.root = trustme.CA()
        self.intermediate = self.root.create_child_ca()
        self.leaf = self.intermediate.issue_cert("localhost", "127.0.0.1")
        self.chain = "".join(blob.bytes().decode() for blob in self.leaf.cert_chain_pems)
        self.key = self.leaf.private_key_pem.bytes().decode()

    @property
    def params(self) -> dict[str, str]:
        return {"certificate": self.chain, "key": self.key}

    def client(self) -> ssl.SSLContext:
        """Return a context that trusts the root alone, so that the whole chain has to be served."""
        context = ssl.create_default_context()
        self.root.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def tls() -> Https:
    return Https()


@pytest.fixture(scope="module")
def temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("container-tmp")


@pytest.fixture(scope="module")
def https(tls: Https, temporary_folder: Path) -> Iterator[Sender]:
    with running(
        params={**tls.params, **credentials("user", "pass")}, env={"TMPDIR": str(temporary_folder)}
    ) as sender:
        yield sender


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_https_serves_the_whole_chain_by_tls_1_2_and_1_3(
    https: Sender, tls: Https, version: ssl.TLSVersion
) -> None:
    context = tls.client()
    context.minimum_version = context.maximum_version = version
    url = https.sandbox.container_url
    assert url.startswith("https://")
    answer = send(
        url, b'{"name":"by https"}', {"Authorization": basic("user", "pass")}, context=context
    )
    assert answer.json[0]["name"] == "by https"
    assert send(url, b"{}", context=context).status == 401


def test_curl_verifies_the_certificate(https: Sender, tls: Https, tmp_path: Path) -> None:
    authority = tmp_path / "authority.pem"
    tls.root.cert_pem.write_to_path(authority)
    command = [
        "curl",
        "-sS",
        "--cacert",
        str(authority),
        "-u",
        "user:pass",
        "-d",
        '{"a":1}',
        https.sandbox.container_url,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert json.loads(done.stdout)[0]["id"], done


def test_plain_http_on_the_https_port_harms_nobody(https: Sender, tls: Https) -> None:
    with contextlib.suppress(ConnectionError):
        assert b"200" not in talk(
            https.sandbox.container_port or 0, b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"
        )
    headers = {"Authorization": basic("user", "pass")}
    assert send(https.sandbox.container_url, b"{}", headers, context=tls.client()).status == 200


def test_a_silent_handshake_does_not_hold_up_others(https: Sender, tls: Https) -> None:
    with socket.create_connection(("127.0.0.1", https.sandbox.container_port or 0)):
        started = time.monotonic()
        headers = {"Authorization": basic("user", "pass")}
        assert send(https.sandbox.container_url, b"{}", headers, context=tls.client()).status == 200
        assert time.monotonic() - started < 3


def test_the_key_is_on_no_disk_once_the_server_runs(https: Sender, temporary_folder: Path) -> None:
    assert https.sandbox.params["key"]
    assert list(temporary_folder.rglob("*")) == []
    descriptors = Path(f"/proc/{https.sandbox.pid}/fd")
    if descriptors.exists():
        assert not [link for link in descriptors.iterdir() if "key" in str(link.readlink()).lower()]


def test_a_certificate_that_cannot_be_used_is_shown_in_the_health(tls: Https) -> None:
    params = {"certificate": tls.chain, "key": Https().key}
    with running(params=params, wait=0) as sender:
        health = await_that(lambda: sender.sandbox.health)
        assert health.startswith("Private Key: it does not belong to the certificate")


# ---- samples for the mapping wizard


def stored_samples(sender: Sender) -> list[dict[str, Any]]:
    """Return the samples in the integration context, which needs no further container."""
    samples: list[dict[str, Any]] = json.loads(
        (sender.sandbox.context() or {}).get("sample_events", "[]")
    )
    return samples


def names(samples: list[dict[str, Any]]) -> list[str]:
    return [sample["name"] for sample in samples]


def test_the_last_20_samples_wait_for_the_wizard_oldest_first() -> None:
    with running(params={"store_samples": True}) as sender:
        for number in range(5):
            sender.post(json.dumps({"name": f"n{number}", "a": number}))
        calls = sender.sandbox.calls["getIntegrationContext"]
        await_that(lambda: len(stored_samples(sender)) == 5, 30.0)
        assert sender.sandbox.calls["setIntegrationContext"] == 1
        samples = sender.sandbox.run("fetch-incidents")
        assert names(samples) == [f"n{number}" for number in range(5)]
        assert raw_of(samples[3]) == {"name": "n3", "a": 3}
        assert calls <= 3
        sender.post(json.dumps([{"name": f"n{number}"} for number in range(5, 23)]))
        await_that(lambda: "n22" in names(stored_samples(sender)), 30.0)
        expected = [f"n{number}" for number in range(3, 23)]
        assert names(stored_samples(sender)) == expected
        sender.sandbox.restart()
        sender.post(b'{"name":"after"}')
        sender.sandbox.restart()  # SIGTERM flushes without waiting
        assert names(sender.sandbox.run("fetch-incidents")) == [*expected[1:], "after"]


LARGE: dict[str, dict[str, Any]] = {
    "text": {"text": "x" * 300_000, "short": "kept"},
    "multibyte": {"text": "€" * 60_000, "short": "kept"},
    "list": {"list": list(range(60_000)), "short": "kept"},
    "details": {"raw_json": {"short": "kept"}, "details": "x" * 200_000},
    "customFields": {"raw_json": {"short": "kept"}, "customFields": {"notes": "x" * 200_000}},
}


@pytest.fixture(scope="module")
def large_samples() -> Iterator[dict[str, tuple[dict[str, Any], dict[str, Any]]]]:
    """Return incident and sample of each large payload."""
    with running(params={"store_samples": True}) as sender:
        for name, payload in LARGE.items():
            sender.fields(json.dumps({"name": name, **payload}, ensure_ascii=False))
        await_that(lambda: len(stored_samples(sender)) == len(LARGE), 30.0)
        samples = sender.sandbox.run("fetch-incidents")
        by_name = {sample["name"]: sample for sample in samples}
        yield {
            incident["name"]: (incident, by_name[incident["name"]])
            for incident in sender.sandbox.incidents()
        }


@pytest.mark.parametrize("name", LARGE)
def test_a_large_sample_is_cut_and_marked_and_the_incident_is_whole(
    large_samples: dict[str, tuple[dict[str, Any], dict[str, Any]]], name: str
) -> None:
    incident, sample = large_samples[name]
    assert len(json.dumps(incident, ensure_ascii=False).encode()) > 128 * 1024
    assert "[cut, " not in json.dumps(incident)
    assert len(json.dumps(sample, ensure_ascii=False).encode()) <= 64 * 1024
    assert "[cut, " in json.dumps(sample)
    assert raw_of(sample)["short"] == "kept"


def test_of_samples_too_large_to_wait_together_the_newest_is_stored() -> None:
    with running(params={"store_samples": True}) as sender:
        for name in "abc":  # of three of them, two may wait for the worker thread
            sender.fields(json.dumps({"name": name, "text": name * 12_000_000}))
        await_that(lambda: names(stored_samples(sender))[-1:] == ["c"], 60.0)
        samples = stored_samples(sender)
        assert names(samples) in (["a", "b", "c"], ["b", "c"])


def test_nothing_is_stored_where_samples_are_off() -> None:
    with running(params={"store_samples": False}) as sender:
        sender.post(b"{}")
        sender.sandbox.restart()  # whatever waits to be stored is flushed
        assert set(sender.sandbox.context()) <= {"status"}


def test_a_refused_or_dropped_incident_is_no_sample() -> None:
    faults = Faults(reject="refused", drop="dropped")
    with running(params={"store_samples": True}, faults=faults) as sender:
        assert sender.post(b'[{"name":"good"},{"name":"refused"},{"name":"dropped"}]').status == 502
        sender.sandbox.restart()  # SIGTERM flushes without waiting
        assert names(sender.sandbox.run("fetch-incidents")) == ["good"]


# ---- the Test button


def pair() -> tuple[str, str]:
    certificate = trustme.CA().issue_cert("example.com")
    return certificate.cert_chain_pems[
        0
    ].bytes().decode(), certificate.private_key_pem.bytes().decode()


CERTIFICATE, KEY = pair()


def button(params: dict[str, Any]) -> tuple[int, str]:
    """Click Test and return the entry's type and text."""
    with running(params=params, start=False) as sender:
        [entry] = sender.sandbox.run("test-module")
        return entry["Type"], entry["Contents"]


def test_the_test_button_says_ok() -> None:
    mapping = {
        "incidentType": "Phishing",
        "store_samples": True,
        "duplication_key": "a.b, c",
        "mirror_direction": "Incoming",
    }
    params = {"longRunningPort": "443:8000", "certificate": CERTIFICATE, "key": KEY, **mapping}
    assert button({**params, **credentials("_header:Authorization", "Bearer XXX")}) == (1, "ok")


def test_the_test_button_names_the_parameters_and_the_fixes() -> None:
    wrong = {"longRunningPort": "1:2:3", "certificate": CERTIFICATE, **credentials("user", "")}
    kind, text = button(wrong)
    sentences = dict(line.split(": ", 1) for line in text.splitlines())
    assert (kind, list(sentences)) == (4, ["Listen Port", "Password", "Private Key"])
    assert "<host port>:<container port>" in sentences["Listen Port"]
    assert "fill in both" in sentences["Password"]
    assert "paste" in sentences["Private Key"]


# ---- the long-running command


def test_a_taken_port_is_shown_in_the_health_until_it_is_free() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = free_port()
        other.bind(("0.0.0.0", port))
        other.listen()
        with running(params={"longRunningPort": str(port)}, wait=0) as sender:
            health = await_that(lambda: sender.sandbox.health)
            assert "Listen Port" in health
            assert str(port) in health
            assert not sender.sandbox.exited
            other.close()
            await_that(lambda: not sender.sandbox.health, 30.0)
            assert sender.post(b"{}").status == 200
            assert [text for _, text in sender.sandbox.health_history][-2:] == [health, ""]


def test_a_working_instance_reports_no_problem(webhook: Sender) -> None:
    assert webhook.sandbox.health == ""
    assert not [text for level, text in webhook.sandbox.logs if level in ("error", "exception")]


def post_later(sender: Sender, body: bytes) -> tuple[threading.Thread, list[Answer]]:
    """Post in a thread, so that the test can continue while XSOAR hangs."""
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(sender.post(body)))
    thread.start()
    return thread, answers


def test_after_sigterm_the_accepted_are_answered_and_the_later_get_503() -> None:
    faults = Faults()
    with running(params={"store_samples": True}, faults=faults) as sender:
        faults.hang.set()
        accepted = [post_later(sender, b'{"name":"accepted %d"}' % number) for number in range(5)]
        await_that(lambda: sender.sandbox.calls["createIncidents"])
        time.sleep(0.3)
        stopped = time.monotonic()
        sender.sandbox.terminate()
        time.sleep(0.3)
        later = sender.post(b'{"name":"later"}')
        assert later.status == 503
        assert int(later.headers["retry-after"]) > 0
        assert later.error
        faults.hang.clear()
        for thread, answers in accepted:
            thread.join()
            assert answers[0].status == 200
        assert sender.sandbox.wait_exit(10) == 0
        assert time.monotonic() - stopped < 10
        expected = {f"accepted {number}" for number in range(5)}
        assert {incident["name"] for incident in sender.sandbox.incidents()} == expected
        assert set(names(json.loads(sender.sandbox.context()["sample_events"]))) == expected


def test_after_sigterm_what_xsoar_does_not_finish_gets_502_and_the_process_ends_within_10_s() -> (
    None
):
    faults = Faults()
    with running(faults=faults) as sender:
        faults.hang.set()
        thread, answers = post_later(sender, b"{}")
        await_that(lambda: sender.sandbox.calls["createIncidents"])
        stopped = time.monotonic()
        sender.sandbox.terminate()
        assert sender.sandbox.wait_exit(10) == 0
        assert time.monotonic() - stopped < 10
        faults.hang.clear()
        thread.join()
        assert answers[0].status == 502
        assert "may have been created" in answers[0].error
        assert "retry-after" not in answers[0].headers


def test_an_idle_instance_stops_at_once() -> None:
    with running() as sender:
        sender.post(b"{}")
        stopped = time.monotonic()
        sender.sandbox.terminate()
        assert sender.sandbox.wait_exit(10) == 0
        assert time.monotonic() - stopped < 3
