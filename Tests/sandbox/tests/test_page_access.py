"""The page's files, and who may read them and call its API."""

import json

import pytest

from Tests.sandbox.tests.page_api import INSTANCE, JSON, Api, ask

# ---- files


@pytest.mark.parametrize(
    "path, kind",
    [("/", "text/html"), ("/page/page.css", "text/css"), ("/page/main.js", "text/javascript")],
)
def test_the_page_s_files_have_a_strict_policy(api: Api, path: str, kind: str) -> None:
    status, headers, content = ask(api.port, "GET", path)
    assert (status, headers["content-type"]) == (200, f"{kind}; charset=utf-8")
    assert content
    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == (
        "nosniff",
        "no-referrer",
    )
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/page/../web.py",
        "/page/%2e%2e/web.py",
        "/page/..%2fweb.py",
        "/page/",
        "/web.py",
        "/page//etc/passwd",
    ],
)
def test_nothing_else_is_a_file(api: Api, path: str) -> None:
    status, headers, content = ask(api.port, "GET", path)
    assert (status, headers["content-type"]) == (404, "application/json")
    assert "error" in json.loads(content)
    assert headers["content-security-policy"].startswith("default-src 'none'")


# ---- who may call


def test_only_this_machine_s_own_names_are_answered(api: Api) -> None:
    own = api.port
    for host in (f"127.0.0.1:{own}", f"localhost:{own}", f"LOCALHOST:{own}", f"[::1]:{own}"):
        assert ask(own, "GET", "/api/health", host=host)[0] == 200, host
    for host in (
        f"example.com:{own}",
        "example.com:8080",
        "127.0.0.1",
        f"127.0.0.1:{own + 1}",
        f"localhost.example.com:{own}",
    ):
        for path in ("/", "/page/main.js", "/api/instance", "/api/events"):
            status, _, content = ask(own, "GET", path, host=host)
            assert status == 403, host
            assert "open it at http://127.0.0.1:" in json.loads(content)["error"]


def test_the_page_s_own_port_refuses_requests(api: Api) -> None:
    front = api.sandbox._front
    assert front
    assert front.page_port
    assert ask(front.page_port, "GET", "/api/instance")[0] == 403


@pytest.mark.parametrize(
    "headers, status",
    [
        ({**JSON}, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({**JSON, "Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}, 200),
        ({**JSON, "Sec-Fetch-Site": "none"}, 200),
        ({**JSON, "Origin": "null"}, 403),
        ({**JSON, "Origin": "http://example.com"}, 403),
        ({**JSON, "Origin": "http://example.com:{port}"}, 403),
        ({**JSON, "Origin": "http://127.0.0.1:1"}, 403),
        ({**JSON, "Origin": "https://127.0.0.1:{port}"}, 403),
        # It is the same page's other name, but not the one in Host.
        (
            {**JSON, "Origin": "http://localhost:{port}"},
            403,
        ),
        ({**JSON, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**JSON, "Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({}, 415),
    ],
    ids=str,
)
def test_only_the_page_itself_may_write(api: Api, headers: dict[str, str], status: int) -> None:
    given = {name: value.format(port=api.port) for name, value in headers.items()}
    before = api.sandbox.faults.latency.get("createIncidents", 0)
    found, _, content = ask(api.port, "POST", "/api/faults", b'{"latencyMs": 0}', given)
    assert found == status, content
    assert api.sandbox.faults.latency.get("createIncidents", 0) == before
    assert ask(api.port, "PUT", "/api/faults", b"{}", given)[0] == 405


def test_a_large_refused_call_gets_its_answer(api: Api) -> None:
    assert ask(api.port, "POST", "/api/send", b" " * 900_000, {**JSON, "Origin": "null"})[0] == 403


def test_the_instance_s_own_path_takes_any_host_as_before(api: Api) -> None:
    assert ask(api.port, "POST", INSTANCE, b"{}", host="soar.example.com")[0] == 401
