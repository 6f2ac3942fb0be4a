"""Other methods, requests without a body, and parameters whose paths find nothing."""

import json
from collections.abc import Iterator

import pytest

from Tests.end_to_end.hostile import ask, post, sandboxed
from Tests.end_to_end.sender import await_that, send
from Tests.sandbox import Sandbox


def last(sandbox: Sandbox) -> dict[str, object]:
    """Return the newest incident's rawJSON."""
    return dict(json.loads(sandbox.incidents()[-1]["rawJSON"]))


@pytest.mark.parametrize(
    "method, params",
    [
        ("PUT", {}),
        ("PATCH", {}),
        ("GET", {"accept_get": True}),
        ("GET", {"other_methods": "GET,PUT"}),
    ],
)
def test_put_and_patch_and_get_where_the_instance_says_so_are_handled_as_post(
    method: str, params: dict[str, object]
) -> None:
    with sandboxed(params=params) as sandbox:
        url = f"{sandbox.container_url}/firewall?host=db1"
        assert send(url, b'{"n": 1}', {"Content-Type": "application/json"}, method).status == 200
        assert last(sandbox) | {"headers": 0, "webhook": 0} == {
            "n": 1,
            "headers": 0,
            "query": {"host": "db1"},
            "path": "/firewall",
            "source_address": "127.0.0.1",
            "webhook": 0,
        }
        events = {"POST", "PUT", "PATCH", method}
        for other in {"GET", "DELETE"} - {method}:
            refused = send(url, b"{}", {}, other)
            assert refused.status == 405
            # GET, HEAD and OPTIONS have a route, for vendors' handshakes.
            probes = {"GET", "HEAD", "OPTIONS"} if other != "GET" else set()
            assert set(refused.headers["allow"].split(", ")) == events | probes
        assert send(f"{sandbox.container_url}/health", method="GET").json == {"status": "ok"}


def test_without_a_body_the_query_is_the_incident() -> None:
    with sandboxed(params={"accept_get": True}) as sandbox:
        for method in ("POST", "GET"):
            assert (
                send(f"{sandbox.container_url}/?id=down&value=true", b"", {}, method).status == 200
            )
            assert last(sandbox)["id"] == "down"
            assert last(sandbox)["query"] == {"id": "down", "value": "true"}
        assert send(f"{sandbox.container_url}/", b"", {}, "POST").status == 400
        # Credentials are not part of an event.
        assert send(f"{sandbox.container_url}/?token=secret", b"", {}, "POST").status == 400


def test_what_cannot_be_read_is_kept_unless_the_instance_says_otherwise() -> None:
    with sandboxed() as sandbox:  # on in new instances
        assert ask(sandbox, post(b'{"a": ', b"Content-Type: application/json")).status == 200
        assert last(sandbox)["body"] == '{"a": '
        assert "line 1, column 6" in str(last(sandbox)["problem"])
    with sandboxed(params={"keep_unreadable": False}) as sandbox:
        assert ask(sandbox, post(b'{"a": ', b"Content-Type: application/json")).status == 400


def test_an_event_is_new_again_after_a_while() -> None:
    with sandboxed(params={"duplication_key": "n", "duplicate_hours": "0.0005"}) as sandbox:
        assert "duplicate" not in ask(sandbox, post(b'{"n": "1"}')).json[0]
        assert ask(sandbox, post(b'{"n": "1"}')).json[0]["duplicate"] is True
        sandbox.restart()  # the time is remembered too
        await_that(lambda: "duplicate" not in ask(sandbox, post(b'{"n": "1"}')).json[0])
        assert len(sandbox.incidents()) == 2
        assert set(json.loads(sandbox.context()["found_times"])) == {"n:1"}


def test_paths_that_find_nothing_are_reported_once() -> None:
    params = {"duplication_key": "id", "severity_from": "level", "name_from": "rule.name"}
    with sandboxed(params=params) as sandbox:
        for number in range(3):
            body = json.dumps([{"rule": {"name": "r"}, "level": None}] * 99).encode()
            assert (
                ask(
                    sandbox,
                    post(
                        body if number else b'[{"rule": {"name": "r"}, "level": "high", "id": "1"}]'
                    ),
                ).status
                == 200
            )
        await_that(lambda: any("the last 100 events" in text for _, text in sandbox.logs))
        reported = [
            text
            for _, texts in sandbox.logs
            for text in texts.splitlines()
            if "the last 100 events" in text
        ]
        assert sorted(text.partition(":")[0] for text in reported) == [
            "Duplication key",
            "Severity from",
        ]


def test_duplicates_and_events_without_a_key_are_in_the_minutes_line() -> None:
    with sandboxed(params={"duplication_key": "n"}, constants={"REPORT_SECONDS": 1}) as sandbox:
        assert (
            ask(sandbox, post(b'[{"n": "1"}, {"n": "1"}, {"m": 1}, {"m": 2}, {"m": 3}]')).status
            == 200
        )
        await_that(
            lambda: any(
                "1 duplicate," in text and "3 events without a key" in text
                for _, text in sandbox.logs
            )
        )


@pytest.fixture(scope="module")
def anyone() -> Iterator[Sandbox]:
    """An instance without parameters."""
    with sandboxed() as sandbox:
        yield sandbox


@pytest.mark.parametrize("path", ["/a%0Ab", "/%0A", "/%0Ahealth", "/health%0Ax"])
def test_a_path_with_a_line_feed_is_a_path_like_any_other(anyone: Sandbox, path: str) -> None:
    assert ask(anyone, post(b'{"n": 1}', target=path.encode())).status == 200
    assert last(anyone)["path"] == path.replace("%0A", "\n")
