"""The page's lists of requests and incidents."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from Tests.end_to_end.sender import await_that
from Tests.sandbox.tests.page_api import (
    INSTANCE,
    JSON,
    SECONDS,
    Api,
    ask,
    credentials,
    paged,
)


@pytest.fixture(scope="module")
def open_api() -> Iterator[Api]:
    """Return the page of an instance without credentials."""
    with paged() as found:
        yield found


def test_requests_are_listed_newest_first_in_pages_with_filters(fresh: Api) -> None:
    for number in range(7):
        fresh.send({"name": f"disk d{number} full", "kind": "storage"})
    fresh.send({"a": 1}, sign=False)
    fresh.send({"raw_json": {}, "severity": "broken"})
    first = fresh.get("/api/requests?limit=4")
    assert (first["total"], first["more"]) == (9, True)
    assert [row["status"] for row in first["requests"]] == [400, 401, 200, 200]
    rest = fresh.get(f"/api/requests?limit=50&before={first['requests'][-1]['id']}")
    assert (len(rest["requests"]), rest["more"]) == (5, False)
    row = rest["requests"][0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", row["time"])
    assert (row["method"], row["path"], row["readAs"], row["sender"]) == (
        "POST",
        INSTANCE,
        "JSON",
        "127.0.0.1",
    )
    assert row["incidents"] == [
        {"id": row["incidents"][0]["id"], "name": "disk d4 full", "type": "", "isTo": ""}
    ]
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
        assert (listed["total"], len(listed["requests"]), listed["more"]) == (
            found,
            found,
            False,
        ), query
    paged_search = fresh.get("/api/requests?q=disk&limit=5")
    assert (len(paged_search["requests"]), paged_search["more"], paged_search["total"]) == (
        5,
        True,
        7,
    )
    before = paged_search["requests"][-1]["id"]
    assert len(fresh.get(f"/api/requests?q=disk&limit=5&before={before}")["requests"]) == 2


@pytest.mark.parametrize("query", ["limit=x", "before=-1", "status=3xx"])
def test_a_wrong_request_for_a_list_says_so(api: Api, query: str) -> None:
    assert api.refused(f"/api/requests?{query}", status=400, method="GET")


def test_an_opened_request_shows_what_arrived_and_what_became_of_it() -> None:
    params = {
        "name_from": "{alert.title} on {host, hosts.0}",
        "severity_from": "level, alert.level",
        "duplication_key": "nosuch, alert.id",
        "events_path": "alerts",
        "occurred_from": "at",
        "incidentType": "Storage",
    }
    event = {
        "alert": {"title": "Disk full", "level": "high", "id": 7},
        "hosts": ["db1"],
        "at": "2024-05-01T12:00:00Z",
    }
    with paged({**params, **credentials()}) as api:
        sent = api.send({"alerts": [event, {"note": 1}]})
        opened = api.row(sent["requestId"])
        assert opened["body"] == {"text": json.dumps({"alerts": [event, {"note": 1}]})}
        assert (opened["bodyBytes"], opened["bodyCut"]) == (len(opened["body"]["text"]), False)
        assert ["Content-Type", "application/json"] in opened["headers"]
        assert (opened["answer"]["status"], opened["answer"]["body"]) == (200, sent["body"])
        assert ["Content-Type", "application/json"] in opened["answer"]["headers"]
        first, second = opened["incidents"]
        assert (first["name"], first["severity"], first["type"], first["isTo"]) == (
            "Disk full on db1",
            3,
            "Storage",
            "",
        )
        assert first["occurred"] == first["fields"]["occurred"] == "2024-05-01T12:00:00Z"
        assert first["raw"]["alert"] == event["alert"]
        assert "rawJSON" not in first["fields"]
        assert first["sources"] == {
            "name": {
                "parameter": "name_from",
                "display": "Incident name",
                "path": "alert.title, hosts.0",
            },
            "severity": {
                "parameter": "severity_from",
                "display": "Severity from",
                "path": "alert.level",
            },
            "occurred": {"parameter": "occurred_from", "display": "Occurred from", "path": "at"},
            "duplicationKey": {
                "parameter": "duplication_key",
                "display": "Duplication key",
                "path": "alert.id",
            },
            "events": {"parameter": "events_path", "display": "Events in", "path": "alerts"},
            "type": {"parameter": "incidentType", "display": "Incident type", "path": ""},
        }
        assert set(second["sources"]) == {"events", "type"}
        assert api.get(f"/api/incidents/{first['id']}") == {**first, "requestId": sent["requestId"]}
        api.save(name_from="nosuch")
        # The sources follow from the parameters in force then.
        assert api.row(sent["requestId"])["incidents"][0]["sources"] == first["sources"]
        again = api.post(f"/api/requests/{sent['requestId']}/send")
        assert [item.get("duplicate", False) for item in json.loads(again["body"])] == [True, False]
        assert api.row(again["requestId"])["incidents"][0]["isTo"] == "duplicate of"
        assert [row["id"] for row in api.get("/api/requests?status=duplicate")["requests"]] == [
            again["requestId"]
        ]


ALERT = {
    "status": "firing",
    "labels": {"alertname": "DiskFull"},
    "startsAt": "2024-05-01T12:00:00Z",
    "fingerprint": "c0ffee",
}
ENDED = {**ALERT, "status": "resolved"}


def alerts(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"receiver": "soc", "groupLabels": {}, "alerts": list(elements)}


def test_a_row_says_what_became_of_an_event_without_an_incident_of_its_own() -> None:
    rules = "kind=test\nkind=drill, level!=high"
    with paged({"duplication_key": "key", "ignore_when": rules}) as api:
        other = {**ALERT, "fingerprint": "b0b", "startsAt": "2024-05-01T13:00:00Z"}
        bodies: list[Any] = [
            {"key": "k1"},
            {"key": "k1"},
            alerts(ALERT),
            alerts(ALERT, other, other),
            alerts(ENDED),
            {"kind": "test"},
            [{"kind": "drill"}, {"kind": "real", "key": "k1"}, {"kind": "test"}, {"kind": "Test"}],
            {"challenge": "3eZbrw1a"},
            {"type": "url_verification", "challenge": "3eZbrw1a", "token": "t"},
        ]
        sent = [api.send(body)["requestId"] for body in bodies]
        got = ask(api.port, "GET", f"{INSTANCE}/health")
        assert got[0] == 200
        listed = await_that(
            lambda: len(rows := api.get("/api/requests")["requests"]) == 10 and rows, SECONDS
        )
        rows = listed[::-1]
        assert [[(one["isTo"], one["id"]) for one in row["incidents"]] for row in rows] == [
            [("", "1")],
            [("duplicate of", "1")],
            [("", "2")],
            [("repeats", "2"), ("", "3"), ("repeats", "3")],
            [("ends", "2")],
            [],
            [("duplicate of", "1")],
            *([], [], []),
        ]
        drill, test = "kind=drill, level!=high", "kind=test"
        assert [row["ignored"] for row in rows[5:]] == [
            [{"rule": test, "count": 1}],
            [{"rule": test, "count": 2}, {"rule": drill, "count": 1}],
            *([], [], []),
        ]
        handshakes = ["monday.com's handshake", "Slack's handshake", ""]
        assert [row["handshake"] for row in rows] == [*([""] * 7), *handshakes]
        opened = api.row(sent[4])
        assert [(one["isTo"], one["id"]) for one in opened["incidents"]] == [("ends", "2")]
        for query, numbers in (
            ("status=duplicate", [sent[6], sent[3], sent[1]]),
            ("q=handshake", [sent[8], sent[7]]),
            ("q=drill", [sent[6]]),
        ):
            found = api.get(f"/api/requests?{query}")["requests"]
            assert [row["id"] for row in found] == numbers, query


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "wanted"),
    [
        ("GET", "?challenge=abc", {}, "", "Dropbox's handshake"),
        ("GET", "", {"X-Okta-Verification-Challenge": "abc"}, "", "Okta's handshake"),
        ("GET", "?ssl_check=1", {}, "", "Slack's SSL check"),
        ("HEAD", "", {}, "", "URL check"),
        ("OPTIONS", "", {"WebHook-Request-Origin": "e.example.com"}, "", "CloudEvents's handshake"),
        ("POST", "?validationToken=abc", JSON, "", "Microsoft Graph's handshake"),
        ("POST", "", {"X-Hook-Secret": "0123456789abcdef"}, "{}", "Asana's handshake"),
        (
            *("POST", "", {**JSON, "X-GitHub-Event": "ping"}),
            *('{"zen":"z","hook_id":1}', "GitHub's handshake"),
        ),
    ],
)
def test_a_handshake_is_called_by_its_vendor(
    open_api: Api, method: str, path: str, headers: dict[str, str], body: str, wanted: str
) -> None:
    sent = open_api.send(body, method=method, path=path, headers=headers, sign=False)
    assert open_api.row(sent["requestId"])["handshake"] == wanted, sent


def test_a_signed_handshake_is_called_by_its_vendor_too() -> None:
    with paged(credentials("_zoom", "zoom-secret")) as api:
        asked = {"event": "endpoint.url_validation", "payload": {"plainToken": "abc"}}
        assert api.row(api.send(asked)["requestId"])["handshake"] == "Zoom's handshake"
        assert api.send(asked, sign=False)["status"] == 401
        assert api.get("/api/requests")["requests"][0]["handshake"] == ""


@pytest.mark.parametrize(
    ("body", "kind"),
    [('{"body": "hello", "n": 1}', "JSON"), ("[2024] hello", "text"), ('{"title": "cut', "text")],
)
def test_json_with_a_field_body_is_json(open_api: Api, body: str, kind: str) -> None:
    sent = open_api.send(body)
    assert open_api.row(sent["requestId"])["readAs"] == kind, sent


def test_an_event_in_the_native_format_names_its_own_fields(fresh: Api) -> None:
    sent = fresh.send({"name": "n", "severity": "high", "raw_json": {"a": 1}})
    [incident] = fresh.row(sent["requestId"])["incidents"]
    own = {"parameter": "", "display": "The payload's own field"}
    assert incident["sources"] == {
        "name": {**own, "path": "name"},
        "severity": {**own, "path": "severity"},
    }


def test_bytes_that_are_not_text_are_shown_as_base64(fresh: Api) -> None:
    status, _, _ = ask(
        fresh.port, "POST", INSTANCE, b"\x00\xff\x01", {"Content-Type": "application/octet-stream"}
    )
    assert status == 401
    row = await_that(lambda: fresh.get("/api/requests")["requests"], SECONDS)[0]
    assert fresh.row(row["id"])["body"] == {"base64": base64.b64encode(b"\x00\xff\x01").decode()}


def test_a_body_longer_than_what_is_kept_says_so() -> None:
    with paged() as api:
        body = json.dumps(
            {"name": "long", "text": "\u00fc" * 2_500_000}, ensure_ascii=False
        ).encode()
        assert ask(api.port, "POST", INSTANCE, body, JSON)[0] == 200
        row = await_that(lambda: api.get("/api/requests")["requests"], SECONDS)[0]
        opened = api.row(row["id"])
        assert (opened["bodyCut"], opened["bodyBytes"]) == (True, len(body))
        assert opened["body"]["text"].startswith('{"name": "long"')
        assert opened["incidents"][0]["sources"] == {}
        assert "longer than what is kept" in api.refused(f"/api/requests/{row['id']}/send")
        assert (
            "longer than what is kept"
            in api.post("/api/preview", {"params": {}})["requests"][0]["error"]
        )


def test_incidents_are_listed_searched_and_opened(fresh: Api) -> None:
    sent = [
        fresh.send({"name": f"disk {n} full", "type": "Storage", "host": f"db{n}"})
        for n in range(5)
    ]
    ids = [json.loads(answer["body"])[0]["id"] for answer in sent]
    listed = fresh.get("/api/incidents?limit=2")
    assert (listed["total"], listed["more"], [row["id"] for row in listed["incidents"]]) == (
        5,
        True,
        [ids[4], ids[3]],
    )
    shown = {"id", "created", "name", "type", "severity", "status", "ended"}
    assert set(listed["incidents"][0]) == shown
    assert [row["id"] for row in fresh.get(f"/api/incidents?before={ids[3]}")["incidents"]] == ids[
        2::-1
    ]
    found = await_that(
        lambda: (hit := fresh.get("/api/incidents?q=db3"))["total"] == 1 and hit, SECONDS
    )
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
