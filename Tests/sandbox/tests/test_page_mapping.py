"""Samples, and what requests would have become with other parameters."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from Tests.end_to_end.sender import PACK, await_that
from Tests.sandbox.page.preview import Preview, PreviewError
from Tests.sandbox.tests.page_api import JSON, SECONDS, Api, paged


def test_samples_are_what_the_mapping_wizard_gets() -> None:
    with paged(
        params={"store_samples": False}, constants=None if PACK else {"FLUSH_SECONDS": 0.1}
    ) as api:
        none = api.post("/api/samples")
        assert none["samples"] == []
        assert "tick Store sample events for mapping" in none["hint"]
        api.save(store_samples=True)
        assert "There are no samples yet" in api.post("/api/samples")["hint"]
        api.send({"name": "first", "alert": {"id": 1}})
        found = await_that(
            lambda: (answer := api.post("/api/samples"))["samples"] and answer, SECONDS
        )
        assert found["hint"] == ""
        assert found["samples"][0]["name"] == "first"
        assert found["samples"][0]["raw"]["alert"] == {"id": 1}


def test_a_preview_shows_what_the_last_requests_would_have_become(fresh: Api) -> None:
    fresh.send({"alert": {"title": "Disk full", "level": "critical"}, "id": "e1"})
    fresh.send({"alerts": [{"n": 1}, {"n": 2}]})
    fresh.send({"x": 1}, sign=False)
    fresh.send('{"challenge":"3eZbrw1a"}')
    before = fresh.sandbox.calls["createIncidents"]
    params = {
        "name_from": "alert.title",
        "severity_from": "alert.level",
        "duplication_key": "id",
        "events_path": "alerts",
    }
    made = fresh.post("/api/preview", {"params": params})["requests"]
    assert [request["id"] for request in made] == [4, 2, 1], "a refused request is left out"
    handshake, several, alert = made
    assert handshake["error"] == "monday.com's handshake, which does not become an incident."
    assert [incident["name"] for incident in several["incidents"]] == [
        "Generic webhook triggered incident"
    ] * 2
    assert several["incidents"][0]["sources"]["events"]["path"] == "alerts"
    [incident] = alert["incidents"]
    assert (incident["name"], incident["severity"], incident["duplicationKey"]) == (
        "Disk full",
        4,
        "id:e1",
    )
    assert incident["sources"]["severity"] == {
        "parameter": "severity_from",
        "display": "Severity from",
        "path": "alert.level",
    }
    [wrong] = fresh.post("/api/preview", {"params": {"name_from": "a..b"}})["requests"][-1:]
    assert "'a..b' is not a path" in wrong["error"]
    [off] = fresh.post("/api/preview", {"params": {"recognize": "off"}})["requests"][-1:]
    assert off["incidents"][0]["sources"] == {}
    assert "no parameter" in fresh.refused("/api/preview", {"params": {"nosuch": ""}})
    assert fresh.sandbox.calls["createIncidents"] == before
    assert fresh.get("/api/requests")["total"] == 4


RECOGNIZED = "known senders and usual field names"
ALERTMANAGER: dict[str, Any] = {
    "receiver": "soc",
    "groupLabels": {"alertname": "DiskFull"},
    "alerts": [
        {
            "labels": {"alertname": "DiskFull", "severity": "critical"},
            "annotations": {"summary": "db1 is full"},
            "startsAt": "2024-05-01T12:00:00Z",
        },
        {"labels": {"alertname": "DiskSlow"}},
    ],
}
CODE_SCANNING = {
    "action": "created",
    "repository": {"full_name": "example-org/shop"},
    "alert": {
        "created_at": "2024-05-01T12:00:00Z",
        "rule": {"description": "SQL injection", "security_severity_level": "high"},
    },
}


def usual(path: str) -> dict[str, str]:
    return {"parameter": "usual", "display": "Usual field name", "path": path}


def by_row(path: str) -> dict[str, str]:
    return {"parameter": "recognize", "display": "Recognize senders", "path": path}


def test_a_preview_shows_who_was_recognized_and_the_paths_of_the_row() -> None:
    with paged({"recognize": RECOGNIZED}) as api:
        api.send(ALERTMANAGER)
        sent = api.send(CODE_SCANNING, headers={**JSON, "X-GitHub-Event": "code_scanning_alert"})
        api.send({"title": "Disk full", "name": "disk-monitor"})
        api.send({"name": "n", "raw_json": {}})
        requests = api.post("/api/preview", {"params": {}})["requests"]
        native, unknown, github, grafana = (request["incidents"] for request in requests)
        assert [made["recognizedAs"] for made in grafana] == [
            "Prometheus Alertmanager, Grafana Alerting"
        ] * 2
        assert grafana[0]["sources"] == {
            "name": by_row("labels.alertname, annotations.summary"),
            "severity": by_row("labels.severity"),
            "occurred": by_row("startsAt"),
            "events": by_row("alerts"),
        }
        assert grafana[1]["sources"] == {
            "name": by_row("labels.alertname"),
            "events": by_row("alerts"),
        }
        assert github[0]["recognizedAs"] == "GitHub code scanning alert"
        assert github[0]["sources"]["name"] == by_row(
            "repository.full_name, alert.rule.description"
        )
        assert (unknown[0]["name"], unknown[0]["recognizedAs"]) == ("Disk full", "")
        assert unknown[0]["sources"] == {"name": usual("title")}, "not the field `name`"
        assert native[0]["recognizedAs"] is None
        assert "row" not in native[0] and "row" not in unknown[0]
        assert {name: github[0]["row"][name] for name in ("severity", "occurred")} == {
            "severity": "alert.rule.security_severity_level, alert.rule.severity",
            "occurred": "alert.created_at, alert.updated_at",
        }
        [opened] = api.row(sent["requestId"])["incidents"]
        assert opened["recognizedAs"] == "GitHub code scanning alert"
        assert opened["sources"]["severity"] == by_row("alert.rule.security_severity_level")


def test_a_parameter_that_is_set_stays_the_source_and_off_recognizes_nobody() -> None:
    with paged({"recognize": RECOGNIZED}) as api:
        api.send(ALERTMANAGER)
        params = {"name_from": "annotations.summary", "events_path": "alerts"}
        [request] = api.post("/api/preview", {"params": params})["requests"]
        first, second = request["incidents"]
        assert first["sources"]["name"]["parameter"] == "name_from"
        assert first["sources"]["events"]["parameter"] == "events_path"
        assert first["sources"]["severity"] == by_row("labels.severity")
        assert second["sources"]["name"] == by_row("labels.alertname")
        [request] = api.post("/api/preview", {"params": {"recognize": "off"}})["requests"]
        [whole] = request["incidents"]
        assert (whole["recognizedAs"], whole["sources"]) == (None, {})


def test_a_preview_says_what_identifies_an_alert_and_whether_it_is_open(fresh: Api) -> None:
    alert = {**ALERTMANAGER["alerts"][0], "fingerprint": "c0ffee", "status": "resolved"}
    fresh.send({**ALERTMANAGER, "alerts": [alert, ALERTMANAGER["alerts"][1]]})
    [request] = fresh.post("/api/preview", {"params": {}})["requests"]
    ended, started = request["incidents"]
    assert (ended["identity"], ended["status"]) == ("alertmanager:c0ffee", "closed")
    assert started["status"] == "open"
    assert ended["row"]["closed"] == "status=resolved"


@pytest.mark.parametrize(
    ("body", "sources"),
    [
        (
            {"data": {"alertName": " Port scan on db1 ", "level": "high"}, "id": 5},
            {"name": usual("data.alertName"), "severity": usual("data.level")},
        ),
        (
            {"event": {"severity": {"name": "low"}, "created_at": "2024-05-01T12:00:00Z"}},
            {"severity": usual("event.severity"), "occurred": usual("event.created_at")},
        ),
        ({"message": "login", "subject": "Login from 192.0.2.7"}, {"name": usual("subject")}),
        ({"anything": "Port scan"}, {}),
    ],
)
def test_a_guessed_field_says_which_usual_name_gave_it(
    fresh: Api, body: dict[str, Any], sources: dict[str, Any]
) -> None:
    sent = fresh.send(body)
    [request] = fresh.post("/api/preview", {"params": {}})["requests"]
    [made] = request["incidents"]
    assert (made["recognizedAs"], made["sources"]) == ("", sources)
    assert fresh.row(sent["requestId"])["incidents"][0]["sources"] == sources


def test_xml_of_an_unknown_sender_says_which_element_gave_its_name(fresh: Api) -> None:
    text = "<alert><title>Port scan on db1</title></alert>"
    fresh.send(text, headers={"Content-Type": "application/xml"})
    [request] = fresh.post("/api/preview", {"params": {}})["requests"]
    [made] = request["incidents"]
    assert made["name"] == "Port scan on db1"
    assert made["sources"] == {"name": usual("xml.alert.title")}


def test_a_preview_leaves_ignored_events_out_and_names_the_rule(fresh: Api) -> None:
    fresh.send([{"title": "first", "kind": "test"}, {"title": "second"}])
    params = {"ignore_when": "kind=test"}
    [request] = fresh.post("/api/preview", {"params": params})["requests"]
    assert request["ignored"] == [{"rule": "kind=test", "count": 1}]
    [made] = request["incidents"]
    assert (made["name"], made["sources"]) == ("second", {"name": usual("title")})


def test_a_request_is_a_sample_though_none_is_stored(fresh: Api) -> None:
    sent = fresh.send(ALERTMANAGER, path="/soc?team=a")
    found = fresh.get(f"/api/requests/{sent['requestId']}/sample")
    assert (found["events"], found["items"]) == ("alerts", 1)
    raw = found["raw"]
    assert raw["alerts"] == ALERTMANAGER["alerts"]
    assert (raw["query"], raw["path"]) == ({"team": "a"}, "/soc")
    assert raw["headers"]["content-type"] == "application/json"
    assert "x-hub-signature-256" not in raw["headers"]
    several = fresh.send([{"headers": "its own"}, {"n": 2}])
    found = fresh.get(f"/api/requests/{several['requestId']}/sample")
    assert (found["raw"]["headers"], found["items"], found["events"]) == ("its own", 2, "")
    assert "no request 99" in fresh.refused("/api/requests/99/sample", status=404, method="GET")
    nothing = fresh.send("", headers={"Content-Type": "text/plain"})
    assert nothing["status"] == 400
    fresh.refused(f"/api/requests/{nothing['requestId']}/sample", status=502, method="GET")


def test_a_preview_that_was_stopped_starts_no_process_again(tmp_path: Path) -> None:
    preview = Preview("", sys.executable, os.environ, tmp_path)
    with pytest.raises(PreviewError, match="cannot be read"):
        preview.senders()
    preview.stop()
    with pytest.raises(PreviewError, match="the page has stopped"):
        preview.senders()
    assert preview._process is None
