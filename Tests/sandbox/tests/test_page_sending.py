"""Requests that the page sends to the instance, and the same requests as curl lines."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from Tests.end_to_end.hostile import certificate
from Tests.end_to_end.known_senders.index import rows_with_comments, table
from Tests.end_to_end.sender import await_that
from Tests.sandbox.page.examples import DELIVERIES
from Tests.sandbox.page.sending import NONE_FIT
from Tests.sandbox.tests.page_api import (
    BLANK,
    INSTANCE,
    JSON,
    SECONDS,
    SECRET,
    SIGNED,
    Api,
    credentials,
    expected_of,
    paged,
    shell,
)


def test_the_examples_are_the_documentation_s_and_every_delivery(api: Api) -> None:
    found = api.get("/api/examples")
    assert (
        found[0]["body"]
        == '{"name":"incident created via generic webhook","raw_json":{"some_field":"some_value"}}'
    )
    assert [example["id"] for example in found[1:]] == sorted(
        file.stem for file in DELIVERIES.glob("*.http")
    )
    by_id = {example["id"]: example for example in found}
    schemes = {
        "github-push": SIGNED,
        "slack-event": "_slack",
        "stripe-event": "_stripe:Stripe-Signature",
        "auth0-json-array": "",
    }
    assert {name: by_id[name]["signature"] for name in schemes} == schemes
    assert by_id["github-push"]["params"]["duplication_key"] == "headers.x-github-delivery"
    assert all(set(example) == set(found[0]) for example in found)


def test_the_examples_have_their_senders_category_and_titles_without_the_sender(api: Api) -> None:
    found = {one["id"]: one for one in api.get("/api/examples")}
    categories = api.get("/api/examples/categories")
    wanted = {
        "documentation": "",
        "github-push": "Code and application security",
        "okta-event-hook": "Identity",
    }
    assert {name: categories[name] for name in wanted} == wanted
    assert set(categories) == set(found)
    formats = ("cloudevents-batch", "cloudevents-binary", "cloudevents-structured", "own-format")
    of_nobody = {"documentation", "proofpoint-like-gateway-xml", "sendgrid-inbound-parse", *formats}
    assert {name for name, category in categories.items() if not category} == of_nobody
    titles = {name: found[name]["title"] for name in TITLES}
    assert titles == TITLES


TITLES = {
    "github-dependabot-alert": "Dependabot alert",
    "suricata-eve-array": "EVE array",
    "auth0-json-object": "JSON object",
    "slack-slash-command": "Slash command",
    "grafana-alert": "",
}


def test_the_known_senders_are_the_integration_s_own_rows_with_their_categories(api: Api) -> None:
    rows = api.get("/api/senders")["senders"]
    known = {row.id: row for row in table.KNOWN_SENDERS}
    assert [row["id"] for row in rows] == list(known)
    assert {row["id"]: row["category"] for row in rows} == {
        identifier: category for identifier, category, _ in rows_with_comments()
    }
    assert rows[0]["category"] == "EDR, XDR"
    for name in ("title", "when", "name", "severity", "occurred", "identity", "closed"):
        assert all(row[name] == getattr(known[row["id"]], name) for row in rows), name


def test_every_example_is_accepted_once_it_is_signed(fresh: Api) -> None:
    numbers = []
    for example in fresh.get("/api/examples"):
        answer = fresh.post("/api/send", {**example, "sign": True})
        assert (answer["status"], answer["reason"]) == (200, "OK"), (example["id"], answer)
        numbers.append(answer["requestId"])
    assert numbers == sorted(set(numbers))
    unsigned = fresh.post("/api/send", {**fresh.get("/api/examples")[0], "sign": False})
    assert unsigned["status"] == 401
    assert (
        "The signature in X-Hub-Signature-256 is missing" in json.loads(unsigned["body"])["error"]
    )
    assert fresh.get("/api/requests?limit=1")["total"] == len(numbers) + 1


def test_the_first_example_of_a_tool_begins_something() -> None:
    """An end without a beginning is no first example: "resolved" ends what was sent before."""
    with paged() as api:
        first: dict[str, Any] = {}
        for example in api.get("/api/examples"):
            first.setdefault(example["sender"], example)
        for example in first.values():
            api.post("/api/send", {**example, "sign": False})
        raws = [json.loads(incident["rawJSON"]) for incident in api.sandbox.incidents()]
        statuses = {raw.get("webhook", {}).get("status") for raw in raws}
        assert "open" in statuses and "closed" not in statuses


def test_every_delivery_is_shown_with_its_own_parameters(fresh: Api) -> None:
    for example in fresh.get("/api/examples")[1:]:
        fresh.post("/api/send", {**example, "sign": True})
        made = fresh.post("/api/preview", {"params": {**BLANK, **example["params"]}})["requests"][0]
        expected = expected_of(example)
        assert made["error"] == ""
        assert [incident["name"] for incident in made["incidents"]] == [
            incident["name"] for incident in expected
        ]
        for incident, wanted in zip(made["incidents"], expected):
            compared = {**incident, "key": incident["duplicationKey"]}
            assert {name: compared[name] for name in wanted} == wanted, example["id"]


@pytest.mark.parametrize("part", range(2))
def test_a_delivery_is_accepted_once_its_own_parameters_are_saved(part: int) -> None:
    with paged(credentials()) as api:
        for example in api.get("/api/examples")[1 + part :: 12]:
            api.save(
                **{**BLANK, "name_from": "name", "occurred_from": "occurred", **example["params"]}
            )
            answer = api.post("/api/send", {**example, "sign": True})
            assert answer["status"] == 200, (example["id"], answer)
            opened, expected = api.row(answer["requestId"]), expected_of(example)
            assert [shown["name"] for shown in opened["incidents"]] == [
                wanted["name"] for wanted in expected
            ]
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
    "_rootly": SECRET,
    "_paddle": SECRET,
    "_standard-webhooks": "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode(),
}
AWKWARD = '{"a": "it\'s 100 % \\\\ \\" $HOME `id` \u00fc\u20ac",\n\t"b": [1]}\n'


@pytest.fixture(scope="module")
def changed() -> Iterator[Api]:
    """A page whose instance has the credentials of the last test."""
    with paged(credentials()) as found:
        yield found


@pytest.mark.parametrize("username", SCHEMES)
def test_requests_and_curl_lines_carry_the_credentials(changed: Api, username: str) -> None:
    """Given: an instance with each scheme of credentials
    When: a request is sent with and without its credentials, and by its curl line
    Then: it is 200, 401 and 200, with the same event, and neither answers nor line hold the secret
    """
    api, secret = changed, SCHEMES[username]
    api.save(**credentials(username, secret))
    assert api.send(AWKWARD, sign=False)["status"] == 401
    sent = api.send(AWKWARD, path="/x?y=1")
    assert sent["status"] == 200, sent
    attempt = {
        "method": "POST",
        "path": f"{INSTANCE}/x?y=1",
        "headers": list(JSON.items()),
        "body": AWKWARD,
        "sign": True,
    }
    line = api.post("/api/curl", attempt)["curl"]
    assert "\n" not in line
    assert SECRET not in line
    made = json.loads(shell(line, secret))
    stored = {
        incident["id"]: json.loads(incident["rawJSON"]) for incident in api.sandbox.incidents()
    }
    for identifier in (json.loads(sent["body"])[0]["id"], made[0]["id"]):
        assert {"a": stored[identifier]["a"], "b": stored[identifier]["b"]} == json.loads(AWKWARD)
        assert (stored[identifier]["path"], stored[identifier]["query"]) == ("/x", {"y": "1"})
    again = api.post(f"/api/requests/{sent['requestId']}/send")
    assert again["status"] == 200, again
    assert json.loads(again["body"])[0].get("duplicate", False) == (
        username == "_standard-webhooks"
    )
    refused = next(row for row in api.get("/api/requests")["requests"] if row["status"] == 401)
    assert api.post(f"/api/requests/{refused['id']}/send")["status"] == 200
    api.save(**credentials("_header:X-New", "another-5ecret"))
    for number in (sent["requestId"], refused["id"]):
        answer = api.post(f"/api/requests/{number}/send")
        assert answer["status"] == 200, "it has the credentials of now, not those of then"


def test_of_more_credentials_those_are_sent_that_count_for_the_request() -> None:
    lines = (
        "_header:X-All all-5ecret",
        "_slack slack-5ecret",
        "/okta _header:Authorization okta-5ecret",
        "/okta/eu someone eu-5ecret",
    )
    with paged({"more_credentials": "\n".join(lines)}) as api:
        slack = {**JSON, "X-Slack-Signature": "old"}
        for path, headers, name in (
            ("", JSON, "x-all"),
            ("", slack, "x-slack-signature"),
            ("/okta?a=b", JSON, "authorization"),
            ("/okta/eu/x", JSON, "authorization"),
            ("/oktagon", JSON, "x-all"),
        ):
            assert api.send({"a": path}, path=path, headers=headers, sign=False)["status"] == 401
            sent = api.send({"a": path}, path=path, headers=headers)
            assert sent["status"] == 200, (path, sent)
            opened = api.row(sent["requestId"])
            assert name in {header.lower() for header, _ in opened["headers"]}, path
            assert api.post(f"/api/requests/{sent['requestId']}/send")["status"] == 200
            attempt = {"path": INSTANCE + path, "headers": list(headers.items()), "body": "{}"}
            line = api.post("/api/curl", {**attempt, "sign": True})["curl"]
            assert name in line.lower() or "-u someone:" in line, line
        assert "5ecret" not in json.dumps([api.row(n) for n in range(1, 16)])


LINES = """# tool secret
_header:X-Alarm-Key one-5ecret
_query:sig two-5ecret
_slack three-5ecret
_hmac:X-Hub-Signature-256 four-5ecret
alertmanager five-5ecret
"""


@pytest.mark.parametrize(
    "example, path, headers, sent_with",
    [
        ("slack-event", "", {}, "line 4, _slack"),
        ("github-secret-scanning", "", {}, "line 5, _hmac:X-Hub-Signature-256"),
        ("prometheus-alertmanager", "", {}, "line 6, alertmanager"),
        ("documentation", "", {}, "line 6, alertmanager"),
        ("documentation", "", {"X-Alarm-Key": "old"}, "line 2, _header:X-Alarm-Key"),
        ("documentation", "?sig=old", {}, "line 3, _query:sig"),
        ("documentation", "", {"Authorization": "Basic b2xk"}, "line 6, alertmanager"),
    ],
)
def test_each_request_is_sent_with_the_line_of_its_sender_which_the_answer_names(
    more_lines: Api, example: str, path: str, headers: dict[str, str], sent_with: str
) -> None:
    [found] = [one for one in more_lines.get("/api/examples") if one["id"] == example]
    attempt = {
        **{key: found[key] for key in ("method", "body")},
        **{"path": found["path"] + path, "headers": [*found["headers"], *headers.items()]},
        "sign": True,
    }
    sent = more_lines.post("/api/send", attempt)
    assert (sent["status"], sent["sentWith"]) == (200, sent_with)
    raw = json.loads(more_lines.sandbox.incidents()[-1]["rawJSON"])
    assert raw["webhook"]["credential"] == sent_with.partition(", ")[2]
    assert more_lines.post("/api/curl", attempt)["sentWith"] == sent_with
    again = more_lines.post(f"/api/requests/{sent['requestId']}/send")
    assert (again["status"], again["sentWith"]) == (200, sent_with)


@pytest.fixture(scope="module")
def more_lines() -> Iterator[Api]:
    with paged({"more_credentials": LINES}) as found:
        yield found


def test_where_no_credentials_can_be_made_the_answer_says_so() -> None:
    with paged({"more_credentials": "_zendesk six-5ecret\n/okta someone seven-5ecret"}) as api:
        sent = api.send({"a": 1})
        assert (sent["status"], sent["sentWith"]) == (401, NONE_FIT)
        assert api.send({"a": 1}, sign=False)["sentWith"] == ""
        assert api.send({"a": 1}, path="/okta")["status"] == 200


def test_of_the_instance_s_own_credentials_and_a_basic_line_the_own_ones_come_first(
    api: Api,
) -> None:
    api.save(**credentials("someone"), more_credentials="/okta _slack x-5ecret\nother y-5ecret")
    for path, sent_with in (("", "Username and Password, someone"), ("/okta", "line 1, /okta")):
        sent = api.send({"a": 1}, path=path)
        assert (sent["status"], sent["sentWith"]) == (200, sent_with)
    api.save(**credentials("_header:X-Key"))
    assert api.send({"a": 1})["sentWith"] == "line 2, other"
    api.save(**credentials(), more_credentials="")


def test_an_unsigned_curl_line_is_plain(api: Api) -> None:
    attempt = {
        "method": "PUT",
        "path": INSTANCE,
        "headers": [["Content-Type", "text/plain"]],
        "body": "it's",
        "sign": False,
    }
    line = api.post("/api/curl", attempt)["curl"]
    assert (
        line == f"curl -X PUT -H 'Content-Type: text/plain' {api.sandbox.url} --data-raw 'it'\\''s'"
    )
    attempt = {
        "method": "GET",
        "path": f"{INSTANCE}?a=b&c",
        "headers": [],
        "body": "",
        "sign": False,
    }
    assert api.post("/api/curl", attempt)["curl"] == f"curl '{api.sandbox.url}?a=b&c'"


@pytest.mark.parametrize("sign", [False, True], ids=["plain", "signed"])
@pytest.mark.parametrize(
    "body", ["", '{"name": "a"}', '{"name":\n"a"}'], ids=["none", "one", "two"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "post"])
def test_a_curl_line_has_the_method_and_no_option_for_what_curl_does_itself(
    fresh: Api, method: str, body: str, sign: bool
) -> None:
    attempt = {"method": method, "path": INSTANCE, "headers": [], "body": body, "sign": sign}
    line = fresh.post("/api/curl", attempt)["curl"]
    chosen = "POST" if "--data-" in line else "GET"
    assert (f" -X {method} " in line) == (method != chosen)
    shell(line, SECRET)
    await_that(lambda: fresh.get("/api/requests")["total"] == 1, SECONDS)
    assert fresh.row(1)["method"] == method
    assert fresh.row(1)["body"] == {"text": body}


@pytest.mark.parametrize("sign", [False, True], ids=["plain", "signed"])
def test_a_curl_line_asks_for_the_head_without_a_body(fresh: Api, sign: bool) -> None:
    attempt = {"method": "HEAD", "path": INSTANCE, "headers": [], "body": "{}", "sign": sign}
    line = fresh.post("/api/curl", attempt)["curl"]
    assert shell(line, SECRET).startswith("HTTP/1.1 ")
    await_that(lambda: fresh.get("/api/requests")["total"] == 1, SECONDS)
    assert fresh.row(1)["method"] == "HEAD"


@pytest.mark.parametrize("body", ["-n 'x'\n", "@/dev/null", "%s\\n\x07", ""])
def test_a_curl_line_sends_exactly_the_bytes(fresh: Api, body: str) -> None:
    headers = [["Content-Type", "text/plain"], ["X-Hub-Signature-256", "sha256="]]
    attempt = {
        "method": "POST",
        "path": f"{INSTANCE}/[a]{{b}}?c=d",
        "headers": headers,
        "body": body,
        "sign": True,
    }
    for given in (attempt, {**attempt, "sign": False}):
        shell(fresh.post("/api/curl", given)["curl"], SECRET)
    await_that(lambda: fresh.get("/api/requests")["total"] == 2, SECONDS)
    proven, unproven = fresh.row(1), fresh.row(2)
    # A signature does not cover the query string, which therefore makes no event.
    assert (proven["status"], unproven["status"]) == (200 if body else 400, 401)
    for opened in (proven, unproven):
        assert (opened["body"], opened["path"]) == ({"text": body}, attempt["path"])
    signature = next(value for name, value in proven["headers"] if name == "X-Hub-Signature-256")
    assert signature.startswith("sha256=")


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"path": "/api/reset"}, "The path has to begin with /instance/execute/webhook"),
        ({"path": f"{INSTANCE} HTTP/1.1"}, "without spaces"),
        ({"path": f"{INSTANCE}\r\nX: y"}, "without spaces"),
        ({"method": "PO ST"}, "The method must be a word"),
        ({"headers": [["A\r\nB", "c"]]}, "is not a header name"),
        ({"headers": [["A", "c\r\nB: d"]]}, "holds a line break"),
        ({"headers": ["A: b"]}, "a pair of name and value"),
        ({"body": {}}, "The body must be a text"),
    ],
    ids=str,
)
def test_an_invalid_request_is_not_sent(api: Api, changed: dict[str, Any], sentence: str) -> None:
    attempt = {"method": "POST", "path": INSTANCE, "headers": [], "body": "", **changed}
    before = len(api.sandbox.incidents())
    assert sentence in api.refused("/api/send", attempt)
    assert sentence in api.refused("/api/curl", attempt)
    assert len(api.sandbox.incidents()) == before


def test_framing_is_the_connection_s_own(fresh: Api) -> None:
    given = {
        "Content-Length": "3",
        "Transfer-Encoding": "chunked",
        "Host": "x.example.com",
        "X-Mine": "\u00fc",
        **JSON,
    }
    sent = fresh.send({"a": 1}, headers=given)
    assert sent["status"] == 200
    headers = {name.lower(): value for name, value in fresh.row(sent["requestId"])["headers"]}
    assert headers["content-length"] == "8"
    assert "transfer-encoding" not in headers
    assert json.loads(fresh.sandbox.incidents()[-1]["rawJSON"])["headers"]["x-mine"] == "\u00fc"


def test_with_a_certificate_requests_go_to_the_container_s_own_port() -> None:
    own = certificate().params
    with paged({**own, **credentials("someone")}) as api:
        sent = api.send({"a": 1}, path="/x")
        assert (sent["status"], sent["requestId"]) == (200, None)
        assert json.loads(api.sandbox.incidents()[0]["rawJSON"])["path"] == "/x"
        line = api.post("/api/curl", {"path": INSTANCE, "headers": [], "body": "{}", "sign": True})[
            "curl"
        ]
        assert json.loads(shell(line, SECRET))[0]["id"] == "2"
        secret_line = str(own["key"]).splitlines()[1]
        assert secret_line not in json.dumps(api.get("/api/instance"))
