"""What the page shows of alerts, and how it sends their ends."""

import json
from typing import Any

import pytest

from Tests.end_to_end.sender import await_that
from Tests.sandbox.mirroring import CLOSED
from Tests.sandbox.page import health
from Tests.sandbox.page.preview_worker import put
from Tests.sandbox.tests.page_api import JSON, SECONDS, Api, events

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
        "name": "DiskFull: web1 has no space left",
    }
    ended = fresh.post(f"/api/requests/{sent['requestId']}/end", {})
    assert ended["status"] == 200
    assert json.loads(ended["body"])[0]["ended"]
    entries = await_that(lambda: fresh.get("/api/incidents/1")["fields"].get("entries"), SECONDS)
    assert entries[0]["text"].startswith("The alert has ended: DiskFull")
    await_that(lambda: fresh.get("/api/health")["alerts"] == [], SECONDS)


def test_an_incident_shows_that_its_alert_has_ended_and_was_closed(fresh: Api) -> None:
    """
    Given: an alert, whose repetition and whose end were sent
    When: the server mirrors, and the alert begins again
    Then: incident and list say that it has ended, is closed, and is neither any more; a listener
        hears of each change
    """
    fresh.save(alert_updates="Close the incident")
    with events(fresh) as heard:
        sent = fresh.send(NOTIFICATION)
        number = sent["requestId"]
        [began] = fresh.row(number)["incidents"]
        assert (began["ended"], listed(fresh)["ended"]) == (False, False)
        ended = fresh.post(f"/api/requests/{number}/end", {})
        heard.until(lambda seen: seen[-1] == ("incident", {"id": began["id"]}))
        assert fresh.row(number)["incidents"][0]["ended"]
        again = fresh.post(f"/api/requests/{number}/end", {})
        of_ends = [fresh.row(one["requestId"])["incidents"][0] for one in (ended, again)]
        assert [one["isTo"] for one in of_ends] == ["ends", "repeats the end of"]
        await_that(lambda: fresh.sandbox.mirror() and listed(fresh)["status"] == CLOSED, SECONDS)
        assert listed(fresh)["ended"]
        fresh.post(f"/api/requests/{number}/send")
        await_that(lambda: not listed(fresh)["ended"], SECONDS)
    fresh.save(alert_updates="Note in the incident")


def listed(api: Api) -> dict[str, Any]:
    """Return the newest incident as the list has it."""
    return dict(api.get("/api/incidents")["incidents"][0])


def test_an_end_alone_is_shown_as_it_is_in_xsoar(fresh: Api) -> None:
    """
    Given: the end of an alert that never began here
    When: the request and its preview are shown
    Then: both have the name and the severity of the stored incident, and say why
    """
    alert = {**ALERT, "status": "resolved", "fingerprint": "a10ne"}
    sent = fresh.send({**NOTIFICATION, "alerts": [alert]})
    [stored] = fresh.sandbox.incidents()
    assert stored["name"].startswith("Ended: DiskFull")
    [opened] = fresh.row(sent["requestId"])["incidents"]
    [previewed] = fresh.post("/api/preview", {"params": {}})["requests"][0]["incidents"]
    for shown in (opened, previewed):
        assert (shown["name"], shown["severity"]) == (stored["name"], stored["severity"])
        assert shown["sources"]["severity"]["display"] == "An end whose beginning never came"
        assert shown["sources"]["name"]["display"] == "Recognize senders"
    assert opened["ended"] and listed(fresh)["ended"]
    fresh.send({"name": "Ended: not at all", "raw_json": {}})
    assert not listed(fresh)["ended"], "a name alone says nothing"


def test_an_end_of_what_began_here_is_previewed_as_what_it_is_to_its_incident(fresh: Api) -> None:
    fresh.send(NOTIFICATION)
    fresh.send({**NOTIFICATION, "alerts": [{**ALERT, "status": "resolved"}]})
    shown = fresh.post("/api/preview", {"params": {}})["requests"]
    assert [one["incidents"][0]["name"] for one in shown] == [
        "DiskFull: web1 has no space left",
        "DiskFull: web1 has no space left",
    ]


def test_the_health_lists_the_refusals_of_the_command(fresh: Api) -> None:
    """
    Given: a request whose credentials are in another header than the instance's
    When: the health is read
    Then: it lists the refusal as generic-webhook-status does, with what came and what was expected
    """
    assert fresh.get("/api/health")["refusals"] == []
    refused = fresh.send({"a": 1}, sign=False, path="/x", headers={**JSON, "X-Token": "0ld"})
    assert refused["status"] == 401
    [shown] = await_that(lambda: fresh.get("/api/health")["refusals"], SECONDS)
    wanted = {
        "Status": 401,
        "Address": "127.0.0.1",
        "Request": "POST /x",
        "Came": "X-Token",
        "Expected": "X-Hub-Signature-256",
    }
    assert {name: shown[name] for name in wanted} == wanted
    [entry] = fresh.sandbox.run("generic-webhook-status")
    assert entry["EntryContext"]["GenericWebhook.Status"]["Refusals"] == [shown]


def test_the_health_says_which_rule_has_ignored_how_many_events(fresh: Api) -> None:
    fresh.save(ignore_when="kind=test\nkind=drill, level!=high")
    for payload in ({"kind": "test"}, {"kind": "drill"}, {"kind": "TEST"}, {"kind": "real"}):
        assert fresh.send(payload)["status"] == 200
    assert len(fresh.get("/api/incidents")["incidents"]) == 1
    wanted = [{"rule": "kind=test", "count": 2}, {"rule": "kind=drill, level!=high", "count": 1}]
    await_that(lambda: fresh.get("/api/health")["ignored"] == wanted, 30.0)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ignored": null}', "{}", 1, None])
def test_a_context_without_rules_has_none(text: Any) -> None:
    assert health.ignored_events({"status": text}) == []


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
    assert health.open_alerts({"open_alerts": text}) == []
