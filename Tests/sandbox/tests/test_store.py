"""What SQLite stores, and that refused calls leave nothing there."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from Tests.sandbox.store import open_store
from Tests.sandbox.tests.probe import Make, ask, create

OLD_SCHEMA = """
create table incident (
    id integer primary key autoincrement, created text not null, body text not null
);
create table context (instance text primary key, value text not null, version integer not null);
"""


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


def test_a_file_of_an_older_sandbox_opens_with_its_incidents(tmp_path: Path) -> None:
    """Given: a file whose incidents name no instance, with the context of one
    When: another instance opens it first
    Then: the incidents are still the one's, they are counted, and IDs go on
    """
    path = tmp_path / "xsoar.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.executescript(OLD_SCHEMA)
        db.executemany("insert into incident (created, body) values ('then', ?)", [("{}",)] * 2)
        db.execute("insert into context values ('alerts', '{\"k\": 1}', 7)")
    other, owner = open_store(path, "other"), open_store(path, "alerts")
    assert (other.incidents(), other.count(), other.context()) == ([], 0, ({}, 0))
    assert other.create([{"name": "new"}])[0]["id"] == "3"
    assert [one["id"] for one in owner.incidents()] == ["1", "2"]
    assert (owner.count(), owner.context()) == (2, ({"k": 1}, 7))
    for store in (owner, other):
        store.close()
    again = open_store(path, "alerts")
    assert (again.count(), [one["id"] for one in again.page(99, 9)]) == (2, ["2", "1"])
    again.close()


def test_an_instance_neither_reads_nor_changes_another_s_incidents(tmp_path: Path) -> None:
    first, second = (open_store(tmp_path / "xsoar.sqlite3", name) for name in ("a", "b"))
    first.create([{"name": "of a"}])
    second.create([{"name": "of b"}, {"name": "of b too"}])
    second.set_context({"of": "b"})
    assert [one["name"] for one in first.page(99, 9)] == ["of a"]
    assert [one["name"] for one in second.after(0, 9)] == ["of b", "of b too"]
    assert (first.find([1, 2]), second.find([1])) == (first.incidents(), [])
    assert not first.change(2, lambda incident: {**incident, "name": "changed"})
    first.reset()
    assert (first.count(), second.count(), second.context()[0]) == (0, 2, {"of": "b"})
    assert [one["name"] for one in second.incidents()] == ["of b", "of b too"]
    for store in (first, second):
        store.close()
