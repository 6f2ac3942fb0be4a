"""The page's events and figures, and the faults that it can set."""

import contextlib
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from Tests.end_to_end.sender import await_that
from Tests.sandbox.page import recorder, web
from Tests.sandbox.tests.page_api import INSTANCE, SECONDS, Api, events, is_request, paged


def test_events_stream_through_the_reroute_while_they_happen(fresh: Api) -> None:
    with events(fresh) as stream, events(fresh) as another:
        # Each is read before the next is sent: nothing waits in a buffer.
        for name in (
            "first",
            "second",
        ):
            sent = fresh.send({"name": name})
            seen = stream.until(is_request(name))
            listed = fresh.get("/api/requests?limit=1")["requests"][0]
            assert seen[-1] == ("request", listed)
            assert listed["id"] == sent["requestId"]
        metrics = stream.until(lambda seen: seen[-1][0] == "metrics" and seen[-1][1]["requests"])[
            -1
        ][1]
        assert set(metrics) == {
            "t",
            "requests",
            "p50",
            "p99",
            "batches",
            "incidents",
            "inFlight",
            "waiting",
        }
        fresh.post("/api/faults", {"latencyMs": 5})
        faults = stream.until(lambda seen: seen[-1][0] == "faults")[-1][1]
        assert faults["latencyMs"] == {"createIncidents": 5}
        another.until(is_request("second"))


def batches_of(health: dict[str, Any]) -> list[int]:
    """Return the sizes of all batches in the figures."""
    return [size for second in health["metrics"] for size in second["batches"]]


def test_health_has_figures_logs_and_faults(fresh: Api) -> None:
    for _ in range(3):
        fresh.send([{"name": "a"}, {"name": "b"}])
    health = await_that(
        lambda: (
            (answer := fresh.get("/api/health")) and batches_of(answer)[-3:] == [2, 2, 2] and answer
        ),
        SECONDS,
    )
    assert (health["health"], health["container"], health["serverStopped"]) == ("", "up", False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", health["since"])
    busy = [second for second in health["metrics"] if second["requests"]]
    assert all(second["p99"] >= second["p50"] > 0 for second in busy)
    await_that(
        lambda: sum(second["incidents"] for second in fresh.get("/api/health")["metrics"]) >= 6,
        SECONDS,
    )
    assert any(
        line["level"] == "info" and "listens on port" in line["text"] for line in health["logs"]
    )
    assert health["faults"] == {
        "latencyMs": {"createIncidents": 0},
        "fail": {"createIncidents": 0},
        "outage": False,
    }


def test_the_integration_rides_through_refusals(fresh: Api) -> None:
    """Given: a page, and a listener to its events
    When: XSOAR refuses two calls and is slow
    Then: the request becomes its incident, and the events report the faults and their end
    """
    with events(fresh) as stream:
        assert fresh.post("/api/faults", {"refuseNext": 2, "latencyMs": 20})["fail"] == {
            "createIncidents": 2
        }
        sent = fresh.send({"name": "refused twice"})
        assert sent["status"] == 200
        assert sent["milliseconds"] > 60  # three calls of 20 ms
        assert fresh.get("/api/health")["faults"]["fail"] == {"createIncidents": 0}
        answer = stream.until(
            lambda seen: seen[-1][0] == "faults" and not seen[-1][1]["fail"]["createIncidents"]
        )
        assert any(
            name == "faults" and value["fail"]["createIncidents"] == 2 for name, value in answer
        )
        assert fresh.post("/api/faults", {"clear": True})["latencyMs"] == {"createIncidents": 0}
    assert [incident["name"] for incident in fresh.sandbox.incidents()] == ["refused twice"]


def test_the_integration_rides_through_a_stopped_server(fresh: Api) -> None:
    """Given: a server that answers nothing
    When: requests arrive, and the server continues
    Then: they are shown as in flight and waiting, the first is then answered 200, and the events
        report all of it
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
        stream.until(
            lambda seen: (
                seen[-1][0] == "metrics" and seen[-1][1]["inFlight"] == seen[-1][1]["waiting"] == 0
            )
        )
    with events(fresh) as stream:
        fresh.post("/api/faults", {"stopSeconds": 0.3})
        answer = stream.until(
            lambda seen: seen[-1][0] == "health" and not seen[-1][1]["serverStopped"]
        )
        assert any(name == "health" and value["serverStopped"] for name, value in answer)
    assert [incident["name"] for incident in fresh.sandbox.incidents()] == ["while it was down"]


def test_waiting_requests_are_shown(fresh: Api) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3):  # a body without its last byte: the integration waits for it
            connection = stack.enter_context(
                socket.create_connection(("127.0.0.1", fresh.port), timeout=10)
            )
            connection.sendall(
                f"POST {INSTANCE} HTTP/1.1\r\nHost: x\r\n"
                f"X-Hub-Signature-256: {'0' * 64}\r\n".encode()
            )
            connection.sendall(b"Content-Length: 3\r\n\r\n{}")
        # An earlier test's last call may still be in progress for a second.
        waits = {
            "inFlight": 3,
            "waiting": 3,
        }
        await_that(
            lambda: any(
                waits.items() <= answer.items()
                for answer in fresh.get("/api/health")["metrics"][-1:]
            ),
            SECONDS,
        )
    await_that(lambda: fresh.get("/api/health")["metrics"][-1]["inFlight"] == 0, SECONDS)


def test_many_requests_are_reported_as_a_number(
    fresh: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "REPORTED_A_SECOND", 0)
    with events(fresh) as stream:
        fresh.send({"name": "one of many"})
        answer = stream.until(lambda seen: seen[-1][0] == "more")
    assert answer[-1][1] == {"requests": 1}
    assert "request" not in [name for name, _ in answer]


@pytest.mark.parametrize(
    "fault",
    [{"latencyMs": -1}, {"latencyMs": "5"}, {"refuseNext": 1e9}, {"stopSeconds": True}, []],
    ids=str,
)
def test_an_invalid_fault_is_refused(api: Api, fault: Any) -> None:
    assert api.refused("/api/faults", fault)


def test_a_listener_who_leaves_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "COMMENT_SECONDS", 0.05)
    with paged() as api:
        page = api.sandbox._page
        assert page
        with events(api):
            assert len(page._listeners._open) == 1
        await_that(lambda: not page._listeners._open, SECONDS)
