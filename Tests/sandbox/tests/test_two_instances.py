"""Two processes side by side on one store, each with an instance and a page of its own."""

import json
from pathlib import Path
from typing import Any

import requests

from Tests.sandbox import free_port
from Tests.sandbox.store import beside
from Tests.sandbox.tests.page_api import JSON, paged
from Tests.sandbox.tests.page_api import ask as call
from Tests.sandbox.tests.test_command_line import run, serving
from Tests.sandbox.tests.test_saved import Run


def get(port: int, path: str) -> Any:
    status, _, answer = call(port, "GET", path)
    assert status == 200, answer
    return json.loads(answer)


def names(port: int, words: str = "") -> tuple[list[str], list[str], int]:
    """Return the incidents of a page's requests, those of its other list, and their number."""
    by_request = get(port, f"/api/requests?q={words}")["requests"]
    listed = get(port, f"/api/incidents?q={words}")
    return (
        [one["name"] for row in by_request for one in row["incidents"]],
        [one["name"] for one in listed["incidents"]],
        listed["total"],
    )


def test_two_instances_do_not_see_each_other(tmp_path: Path) -> None:
    """Given: two processes on one store, as `--instance` and `--port` make them
    When: each gets requests and a saved parameter, and one forgets all
    Then: lists, searches, previews, parameters and `incidents` show each its own
    """
    store = tmp_path / "store.sqlite3"
    ports = {"first": free_port(), "second": free_port()}
    words = {name: ("--store", store, "--instance", name) for name in ports}
    with (
        serving(*words["first"], "--port", ports["first"]) as one,
        serving(*words["second"], "--port", ports["second"]) as other,
    ):
        runs = [Run(one, ports["first"]), Run(other, ports["second"])]
        runs[0].save(type_from="kind of first")
        for name, port in (*ports.items(), *ports.items()):
            url = f"http://127.0.0.1:{port}/instance/execute/{name}"
            assert requests.post(url, json={"name": f"of {name}"}, timeout=30).status_code == 200
        for name, port in ports.items():
            assert names(port) == ([f"of {name}"] * 2, [f"of {name}"] * 2, 2)
            status, _, answer = call(port, "POST", "/api/preview", b"{}", JSON)
            shown = json.loads(answer)["requests"]
            found = [made["name"] for row in shown for made in row["incidents"]]
            assert (status, found) == (200, [f"of {name}"] * 2)
        assert runs[0].params()["type_from"] == "kind of first"
        assert runs[1].params()["type_from"] == ""
        assert get(ports["first"], "/api/incidents/1")["requestId"] == 1
        assert call(ports["second"], "GET", "/api/incidents/1")[0] == 404
        printed = run("incidents", *words["second"]).stdout
        assert [json.loads(line)["name"] for line in printed.splitlines()] == ["of second"] * 2
        assert call(ports["second"], "POST", "/api/reset", b"{}", JSON)[0] == 200
        assert names(ports["second"]) == ([], [], 0)
        assert names(ports["first"])[2] == 2
        for each in runs:
            each.end()


def test_the_requests_of_an_older_sandbox_are_still_there(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite3"
    with paged(store=store) as api:
        api.send({"name": "kept"})
    beside(store, "webhook", "page.sqlite3").rename(tmp_path / "store-page.sqlite3")
    with paged(store=store) as api:
        assert [row["id"] for row in api.get("/api/requests")["requests"]] == [1]
        assert api.get("/api/incidents/1")["requestId"] == 1
    with paged(store=store, instance="another") as api:
        assert api.get("/api/requests")["requests"] == []
