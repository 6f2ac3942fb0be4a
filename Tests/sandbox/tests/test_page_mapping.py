"""Samples, and what requests would have become with other parameters."""

from Tests.end_to_end.sender import PACK, await_that
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
    assert [request["id"] for request in made] == [4, 3, 2, 1]
    handshake, unsigned, several, alert = made
    assert "does not become an incident" in handshake["error"]
    assert (unsigned["incidents"], "signature" in unsigned["error"]) == ([], True)
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
    assert (
        fresh.post("/api/preview", {"params": {}})["requests"][-1]["incidents"][0]["sources"] == {}
    )
    assert "no parameter" in fresh.refused("/api/preview", {"params": {"nosuch": ""}})
    assert fresh.sandbox.calls["createIncidents"] == before
    assert fresh.get("/api/requests")["total"] == 4


RECOGNIZED = "known senders and usual field names"
ALERTMANAGER = {
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
        assert unknown[0]["sources"] == {}, "a usual field name gave the name, not the field `name`"
        assert native[0]["recognizedAs"] is None
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
