"""GET /metrics as Prometheus reads it, and the Grafana dashboard that shows it."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from Tests.end_to_end.hostile import connect, sandboxed
from Tests.end_to_end.proxies import CONFIGURATIONS, CREDENTIALS, GOOD, WRONG
from Tests.end_to_end.sender import Answer, await_that, send
from Tests.sandbox import Sandbox

METRICS = {**CREDENTIALS, "metrics": True, "duplication_key": "key"}
AUTHORIZED = {"Authorization": GOOD}
PREFIX = "generic_webhook_"


@pytest.fixture
def webhook() -> Iterator[Sandbox]:
    with sandboxed(params=METRICS) as sandbox:
        yield sandbox


def ask_metrics(sandbox: Sandbox, headers: dict[str, str] | None = None) -> Answer:
    return send(
        sandbox.container_url + "/metrics",
        headers=AUTHORIZED if headers is None else headers,
        method="GET",
    )


def scrape(sandbox: Sandbox) -> dict[str, Metric]:
    """Return the metrics by name without the prefix, as Prometheus' own parser reads them."""
    answer = ask_metrics(sandbox)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        metric.name.removeprefix(PREFIX): metric
        for metric in text_string_to_metric_families(answer.body.decode("ascii"))
    }


def values(metric: Metric, suffix: str = "") -> dict[str, float]:
    """Return a metric's samples by the value of their one label; a histogram's by a suffix."""
    name = metric.name + (suffix or ("_total" if metric.type == "counter" else ""))
    return {
        next(iter(sample.labels.values()), ""): sample.value
        for sample in metric.samples
        if sample.name == name
    }


def post_status(sandbox: Sandbox, body: bytes = b"{}", path: str = "/", **headers: str) -> int:
    return send(sandbox.container_url + path, body, {**AUTHORIZED, **headers}).status


def test_metrics_are_off_unless_asked_for() -> None:
    with sandboxed(params=CREDENTIALS) as sandbox:
        assert ask_metrics(sandbox).status == 404


def test_metrics_need_the_credentials_of_the_instance(webhook: Sandbox) -> None:
    assert ask_metrics(webhook, {}).status == 401
    assert ask_metrics(webhook, {"Authorization": WRONG}).status == 401
    assert ask_metrics(webhook).status == 200


def test_metrics_need_credentials_or_allowed_sources() -> None:
    with sandboxed(params={"metrics": True}) as sandbox:
        assert ask_metrics(sandbox).status == 404
        await_that(lambda: "Serve metrics" in sandbox.health)
        assert send(sandbox.container_url + "/", b"{}").status == 200
        [entry] = sandbox.run("test-module")
        assert (
            "Serve metrics for Prometheus: set Allowed sources, or a Username and Password"
            in entry["Contents"]
        )


def test_requests_incidents_duplicates_and_failed_logins_are_counted(webhook: Sandbox) -> None:
    assert [
        post_status(webhook, b'{"key":"a"}'),
        post_status(webhook, b'{"key":"a"}'),
        post_status(webhook, b'[{"key":"b"},{"key":"c"}]'),
    ] == [200] * 3
    assert [
        post_status(webhook, Authorization=WRONG),
        post_status(webhook, path="/health"),
        post_status(webhook, b"[]"),
    ] == [401, 405, 400]
    metrics = scrape(webhook)
    assert values(metrics["requests"]) == {"200": 3, "400": 1, "401": 1, "405": 1}
    assert values(metrics["incidents_created"]) == {"": 3}
    assert values(metrics["duplicates"]) == {"": 1}
    assert values(metrics["failed_logins"]) == {"": 1}
    assert values(scrape(webhook)["requests"])["200"] == 4  # the second scrape counts the first


def test_calls_of_create_incidents_are_counted_timed_and_sized(webhook: Sandbox) -> None:
    webhook.faults.latency["createIncidents"] = 0.03
    assert [post_status(webhook, b"[1,2,3]"), post_status(webhook)] == [200, 200]
    webhook.faults.fail["createIncidents"] = 1
    assert post_status(webhook) == 200
    metrics = scrape(webhook)
    assert values(metrics["create_incidents_calls"]) == {
        "accepted": 3,
        "refused": 1,
        "unreadable": 0,
    }
    seconds = values(metrics["create_incidents_seconds"], "_bucket")
    assert seconds["0.02"] == 0
    assert seconds["+Inf"] == values(metrics["create_incidents_seconds"], "_count")[""] == 4
    assert values(metrics["create_incidents_seconds"], "_sum")[""] > 0.12
    batches = values(metrics["create_incidents_batch"], "_bucket")
    assert (batches["1.0"], batches["2.0"], batches["5.0"], batches["1000.0"]) == (3, 3, 4, 4)
    assert values(metrics["create_incidents_batch"], "_sum")[""] == 6


def test_waiting_events_and_connections_are_shown(webhook: Sandbox) -> None:
    with connect(webhook), connect(webhook):
        webhook.faults.hang.set()
        with connect(webhook) as waiting:
            waiting.sendall(
                b"POST / HTTP/1.1\r\nHost: a\r\nAuthorization: %b\r\nContent-Length: 5\r\n\r\n[1,2]"
                % GOOD.encode()
            )
            await_that(lambda: values(scrape(webhook)["queue_incidents"]) == {"": 2})
            connections = values(scrape(webhook)["connections"])
            assert values(scrape(webhook)["queue_bytes"])[""] > 0
            webhook.faults.hang.clear()
            assert waiting.recv(1000).startswith(b"HTTP/1.1 200 ")
    # The connection that asks is one of the three.
    assert (connections["arriving"], connections["working"]) == (
        3,
        1,
    )
    assert set(connections) == {"arriving", "idle", "discarding", "reading", "working"}
    assert values(scrape(webhook)["queue_incidents"]) == {"": 0}


def test_counters_go_on_when_the_minutes_line_is_written() -> None:
    with sandboxed(params=METRICS, constants={"REPORT_SECONDS": 1}) as sandbox:
        assert post_status(sandbox) == 200
        await_that(lambda: any("1 incident created" in text for _, text in sandbox.logs))
        time.sleep(0.1)
        assert post_status(sandbox) == 200
        assert values(scrape(sandbox)["incidents_created"]) == {"": 2}


def test_no_label_holds_what_a_sender_posted(webhook: Sandbox) -> None:
    marked = f"{webhook.container_url}/marked?marked=marked"
    for method in ("POST", "MARKED"):
        for url in (marked, webhook.container_url + "/"):
            send(
                url,
                b'{"key":"marked","type":"marked"}',
                {**AUTHORIZED, "marked": "marked", "Host": "marked"},
                method,
            )
    send(
        webhook.container_url + "/",
        b"marked",
        {"Authorization": "marked", "X-Forwarded-For": "marked"},
    )
    answer = ask_metrics(webhook)
    assert answer.status == 200
    assert b"marked" not in answer.body.lower()


# ---- the dashboard

DASHBOARD: dict[str, Any] = json.loads(
    (CONFIGURATIONS / "grafana-dashboard.json").read_text(encoding="utf-8")
)
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def same(mine: Any, loaded: Any, place: str = "dashboard") -> None:
    """Assert that the file's values are still in place after Grafana's own classes have read it."""
    if isinstance(mine, dict):
        assert mine.keys() <= loaded.keys(), (
            f"{place}: {mine.keys() - loaded.keys()} is not in Grafana's schema"
        )
        for key, value in mine.items():
            same(value, loaded[key], f"{place}.{key}")
    elif isinstance(mine, list):
        assert len(mine) == len(loaded), place
        for number, value in enumerate(mine):
            same(value, loaded[number], f"{place}[{number}]")
    else:
        assert mine == loaded, place


def test_the_dashboard_is_what_grafanas_schema_knows() -> None:
    register_default_plugins()
    same(DASHBOARD, json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD))))


def test_the_dashboard_shows_every_metric_and_none_that_is_not_there(webhook: Sandbox) -> None:
    post_status(webhook)
    there = {sample.name for metric in scrape(webhook).values() for sample in metric.samples}
    shown = set(re.findall(rf"\b{PREFIX}\w+", " ".join(EXPRESSIONS)))
    assert shown <= there
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in there} == {
        re.sub("_(bucket|sum|count)$", "", name) for name in shown
    }


def test_the_panels_stand_side_by_side() -> None:
    taken = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
