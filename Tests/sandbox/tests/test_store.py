"""What SQLite stores, and that refused calls leave nothing there."""

from pathlib import Path

import pytest

from Tests.sandbox.store import open_store
from Tests.sandbox.tests.probe import Make, ask, create


def test_incidents_and_context_outlive_the_sandbox(
    make_sandbox: Make, probe: Path, tmp_path: Path
) -> None:
    store = tmp_path / "folder" / "xsoar.sqlite3"
    first = make_sandbox(script=probe, store=store)
    ask(first, "demisto.createIncidents([INCIDENT, {'name': 'two'}])")
    ask(first, "demisto.setIntegrationContext({'k': 'v'})")
    kept = first.incidents()
    first.stop()
    second = make_sandbox(script=probe, store=store)
    assert second.incidents() == kept
    assert second.context() == {"k": "v"}
    assert ask(second, create())[0]["id"] == "3"
    assert make_sandbox(script=probe, store=store, instance="another").context() == {}
    second.reset()
    assert (second.incidents(), second.context()) == ([], {})
    # An ID that occurs again would look to the integration like a second answer.
    assert ask(second, create())[0]["id"] == "4"


def test_a_refused_call_leaves_nothing_in_sqlite(
    make_sandbox: Make, probe: Path, tmp_path: Path
) -> None:
    sandbox = make_sandbox(script=probe, store=tmp_path / "xsoar.sqlite3")
    version = ask(sandbox, "demisto.getIntegrationContextVersioned()")["version"]
    ask(sandbox, "demisto.setIntegrationContext({'a': '1'})")
    assert (
        ask(sandbox, f"demisto.setIntegrationContextVersioned({{}}, {version})")["error"]
        == "ValueError"
    )
    assert ask(sandbox, "demisto.createIncidents([INCIDENT, {'name': 1}])")["error"] == "ValueError"
    assert (sandbox.incidents(), sandbox.context()) == ([], {"a": "1"})


def test_a_call_that_breaks_half_way_leaves_nothing_in_sqlite(tmp_path: Path) -> None:
    store = open_store(tmp_path / "xsoar.sqlite3", "webhook")
    with pytest.raises(TypeError):
        store.create([{"name": "whole"}, {"name": object()}])
    assert store.incidents() == []
    assert store.create([{"name": "next"}])[0]["name"] == "next"
    store.close()
