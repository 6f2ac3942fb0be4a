"""What the sandbox's server refuses, as XSOAR does: bad incidents and contexts."""

from pathlib import Path
from typing import Any

import pytest

from Tests.sandbox import Faults, Sandbox
from Tests.sandbox.tests.probe import MARKER, Make, ask, create


@pytest.mark.parametrize(
    "field",
    [
        {"name": 7},
        {"type": ["x"]},
        {"rawJSON": {"a": 1}},
        {"details": False},
        {"owner": {}},
        {"severity": "high"},
        {"severity": True},
        {"labels": {"type": "a", "value": "b"}},
        {"labels": ["a"]},
        {"labels": [{"type": "a", "value": 1}]},
        {"customFields": []},
        {"occurred": "yesterday"},
        {"occurred": ""},
        {"occurred": "2024-01-02 03:04:05Z"},
        {"occurred": "2024-01-02T03:04:05"},
        {"occurred": "2024-13-02T03:04:05Z"},
        {"customFields": {"a": float("nan")}},
        {"customFields": {"a": float("-inf")}},
        {"customFields": {"a": 10**400}},
    ],
    ids=str,
)
def test_a_wrong_field_fails_the_whole_call(shared: Sandbox, field: dict[str, Any]) -> None:
    before = len(shared.incidents())
    code = repr(field).replace("nan", "float('nan')").replace("-inf", "float('-inf')")
    answer = ask(shared, f"demisto.createIncidents([INCIDENT, {{**INCIDENT, **{code}}}])")
    assert answer["error"] == "ValueError"
    assert answer["text"].startswith("json: ")
    assert len(shared.incidents()) == before


def test_good_fields_pass(shared: Sandbox) -> None:
    fields = {
        "severity": 0.5,
        "customFields": {"a": [1]},
        "labels": [],
        "owner": None,
        "details": "d",
    }
    for occurred in ("2024-02-29T23:59:59.123456789+05:30", "2024-01-02T03:04:05Z"):
        created = ask(shared, create(**fields, occurred=occurred))[0]
        assert created["occurred"] == occurred
        assert created["severity"] == 0.5


def test_something_other_than_a_list_of_incidents_fails(shared: Sandbox) -> None:
    assert ask(shared, "demisto.createIncidents({'name': 'x'})")["error"] == "ValueError"
    assert ask(shared, "demisto.createIncidents(['x'])")["error"] == "ValueError"
    assert ask(shared, "demisto.createIncidents([])") == []


def test_a_lone_surrogate_becomes_the_replacement_character(shared: Sandbox) -> None:
    created = ask(
        shared, "demisto.createIncidents([{'name': 'a' + chr(0xd800) + 'b' + chr(0x1f600)}])"
    )[0]
    assert created["name"] == "a\ufffdb\U0001f600"


def test_an_echo_of_the_marker_looks_like_an_error(shared: Sandbox) -> None:
    before = len(shared.incidents())
    assert ask(shared, create(name=f"x{MARKER}y"))["error"] == "ValueError"
    assert len(shared.incidents()) == before + 1  # it was created all the same: that is the trap


# ---- integration context


def test_a_stale_version_is_refused(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe, context={"a": "1"})
    version = ask(sandbox, "demisto.getIntegrationContextVersioned(True)")["version"]
    assert (
        ask(sandbox, f"demisto.setIntegrationContextVersioned({{'a': '2'}}, {version}, True)") == {}
    )
    answer = ask(sandbox, f"demisto.setIntegrationContextVersioned({{'a': '3'}}, {version})")
    assert answer["error"] == "ValueError"
    assert "stale" in answer["text"]
    assert sandbox.context() == {"a": "2"}
    ask(sandbox, "demisto.setIntegrationContext({'a': '4'})")  # without a version it always works
    assert sandbox.context() == {"a": "4"}


@pytest.mark.parametrize("value", ["{'a': 1}", "{'a': None}", "[]", "'text'"])
def test_the_context_takes_text_only(shared: Sandbox, value: str) -> None:
    assert ask(shared, f"demisto.setIntegrationContext({value})")["error"] == "ValueError"
    assert shared.context() == {}


def test_a_damaged_context_is_handed_over_as_it_is(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe, context=["damaged", 1])
    assert ask(sandbox, "demisto.getIntegrationContext()") == ["damaged", 1]
    sandbox.set_context({"sample_events": "{broken"})
    assert ask(sandbox, "demisto.getIntegrationContext()") == {"sample_events": "{broken"}


def test_a_version_clash_is_retried_by_common_server_python(
    make_sandbox: Make, probe: Path
) -> None:
    sandbox = make_sandbox(script=probe, context={"kept": "yes"}, faults=Faults(stale=2))
    assert ask(sandbox, "set_to_integration_context_with_retries({'new': [1]})") is None
    assert sandbox.context() == {"kept": "yes", "new": "[1]"}
    assert sandbox.calls["setIntegrationContext"] == 3
