"""What the page shows of alerts, and how it sends their ends."""

import json
from typing import Any

import pytest

from Tests.end_to_end.sender import await_that
from Tests.sandbox.page import web
from Tests.sandbox.page.preview_worker import put
from Tests.sandbox.tests.page_api import SECONDS, Api

ALERT = {
    "status": "firing",
    "labels": {"alertname": "DiskFull", "severity": "warning"},
    "annotations": {"summary": "web1 has no space left"},
    "startsAt": "2024-05-01T12:00:00Z",
    "fingerprint": "c0ffee",
}
NOTIFICATION = {"receiver": "xsoar", "groupLabels": {}, "alerts": [ALERT]}


def test_an_alert_is_sent_again_as_its_sender_reports_the_end(fresh: Api) -> None:
    """
    Given: an alert that was sent from the page
    When: it is sent again as resolved
    Then: its incident shows the entry, and the alert is open only before
    """
    sent = fresh.send(NOTIFICATION)
    [opened] = await_that(lambda: fresh.get("/api/health")["alerts"], SECONDS)
    assert opened == {
        "identity": "alertmanager:c0ffee",
        "start": "2024-05-01T12:00:00Z",
        "incident": "1",
    }
    ended = fresh.post(f"/api/requests/{sent['requestId']}/end", {})
    assert ended["status"] == 200
    assert json.loads(ended["body"])[0]["ended"]
    entries = await_that(lambda: fresh.get("/api/incidents/1")["fields"].get("entries"), SECONDS)
    assert entries[0]["text"].startswith("The alert has ended: DiskFull")
    await_that(lambda: fresh.get("/api/health")["alerts"] == [], SECONDS)


def test_the_health_says_which_rule_has_ignored_how_many_events(fresh: Api) -> None:
    fresh.save(ignore_when="kind=test\nkind=drill, level!=high")
    for payload in ({"kind": "test"}, {"kind": "drill"}, {"kind": "TEST"}, {"kind": "real"}):
        assert fresh.send(payload)["status"] == 200
    assert len(fresh.get("/api/incidents")["incidents"]) == 1
    wanted = [{"rule": "kind=test", "count": 2}, {"rule": "kind=drill, level!=high", "count": 1}]
    await_that(lambda: fresh.get("/api/health")["ignored"] == wanted, 30.0)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ignored": null}', "{}", 1, None])
def test_a_context_without_rules_has_none(text: Any) -> None:
    assert web.ignored_events({"status": text}) == []


def test_where_nobody_knows_the_end_the_page_says_so(fresh: Api) -> None:
    sent = fresh.send({"anything": 1})
    sentence = fresh.refused(f"/api/requests/{sent['requestId']}/end")
    assert "not known how this sender reports the end" in sentence


@pytest.mark.parametrize(
    "value, path, wanted",
    [
        ({"status": "open"}, "status", {"status": "x"}),
        ({"a": {"b": 1, "c": 2}}, "a.b", {"a": {"b": "x", "c": 2}}),
        ({"a.b": 1}, "a.b", {"a.b": "x"}),
        ({"a.b": {"c": 1}}, "a.b.c", {"a.b": {"c": "x"}}),
        ({}, "a.b", {"a": {"b": "x"}}),
        ({"a": 5}, "a.b", {"a": {"b": "x"}}),
    ],
)
def test_an_end_is_put_where_its_path_leads(value: Any, path: str, wanted: Any) -> None:
    put(value, path, "x")
    assert value == wanted


@pytest.mark.parametrize("text", [None, "", "{", "5", "[5]", "[[1]]"])
def test_a_context_without_alerts_has_none(text: Any) -> None:
    assert web.open_alerts({"open_alerts": text}) == []
