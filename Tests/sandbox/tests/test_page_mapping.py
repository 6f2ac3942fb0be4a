"""Samples, and what requests would have become with other parameters."""

from Tests.end_to_end.sender import PACK, await_that
from Tests.sandbox.tests.page_api import SECONDS, Api, paged


def test_samples_are_what_the_mapping_wizard_gets() -> None:
    with paged(constants=None if PACK else {"FLUSH_SECONDS": 0.1}) as api:
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
