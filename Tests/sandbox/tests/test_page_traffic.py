"""What the page stores: 100,000 rows, a limit, and the requests of an earlier run."""

import contextlib
import functools
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from Tests.sandbox.page.traffic import DUPLICATE, Recorded, Traffic
from Tests.sandbox.store import SQLiteStore, open_store
from Tests.sandbox.tests.page_api import Api, paged

ROWS = 100_000


@contextlib.contextmanager
def crowded(folder: Path) -> Iterator[tuple[Traffic, SQLiteStore]]:
    """Fill tables with 100,000 requests and incidents.

    A hundredth of the requests are refused, one holds a rare word.
    """
    store = open_store(folder / "store.sqlite3", "webhook")
    assert isinstance(store, SQLiteStore)
    traffic = Traffic(folder / "page.sqlite3", store)
    for start in range(1, ROWS, 5000):
        numbers = range(start, start + 5000)
        store.create(
            [
                {"name": f"disk {number} full", "rawJSON": f'{{"host":"db{number}"}}'}
                for number in numbers
            ]
        )
        traffic.add([recorded(number) for number in numbers])
    while traffic.index_incidents():
        pass
    yield traffic, store
    traffic.close()
    store.close()


def recorded(number: int, word: str = "common") -> Recorded:
    row: dict[str, Any] = dict.fromkeys(("time", "path", "readAs", "sender", "error"), "")
    row |= {
        "method": "POST",
        "status": 404 if number % 100 == 0 else 200,
        "milliseconds": 1.0,
        "incidentCount": 1,
        "createdCount": 1,
    }
    row["incidents"] = [
        {
            "id": str(number),
            "name": f"disk {number} full",
            "type": "",
            "isTo": is_to(number),
        }
    ]
    body = b"zebra" if number == 500 else word.encode()
    return Recorded(row, [], body, len(body), [], b"[]", [(str(number), is_to(number))], PARAMS)


def is_to(number: int) -> str:
    return DUPLICATE if number % 1000 == 1 else ""


PARAMS: dict[str, Any] = {}


def steps(db: sqlite3.Connection, call: Any) -> int:
    """Return how many steps SQLite's virtual machine takes for a call, to the nearest 100.

    Steps show what is touched, however long it takes.
    """
    seen = [0]

    def count() -> int:
        seen[0] += 100
        return 0

    db.set_progress_handler(count, 100)
    try:
        call()
    finally:
        db.set_progress_handler(None, 0)
    return seen[0]


def test_100_000_rows_are_paged_and_searched_along_their_indexes(tmp_path: Path) -> None:
    with crowded(tmp_path) as (traffic, store):
        a_page_of_requests_touches_a_page(traffic)
        a_common_word_is_counted_up_to_a_bound(traffic)
        no_list_scans_or_sorts(traffic, store)
        a_page_of_incidents_touches_a_page(traffic, store)


def a_page_of_requests_touches_a_page(traffic: Traffic) -> None:
    for words, kind in (
        ("", ""),
        ("", "2xx"),
        ("", "4xx"),
        ("", "duplicate"),
        ("zebra", ""),
        ("disk 77 fu", ""),
    ):
        for before in (2**62, ROWS // 2, 600):
            assert traffic.requests(before, 50, words, kind).total
            touched = steps(
                traffic._reader, functools.partial(traffic.requests, before, 50, words, kind)
            )
            assert touched < 20_000, (words, kind, before)


def a_common_word_is_counted_up_to_a_bound(traffic: Traffic) -> None:
    found = traffic.requests(2**62, 50, "common", "2xx")
    assert (len(found.rows), found.more, found.total) == (50, True, 10_000)
    assert traffic.requests(2**62, 50, "common", "4xx").total == ROWS // 100 - 1
    # Without the bound it would be more than 500,000.
    assert (
        steps(traffic._reader, functools.partial(traffic.requests, 2**62, 50, "common", ""))
        < 200_000
    )


def no_list_scans_or_sorts(traffic: Traffic, store: SQLiteStore) -> None:
    asked: list[str] = []
    traffic._reader.set_trace_callback(asked.append)
    store._db.set_trace_callback(asked.append)
    try:
        for words in ("", "zebra"):
            for kind in ("", "2xx", "duplicate"):
                traffic.requests(2**62, 50, words, kind)
            traffic.incidents(2**62, 50, words)
        traffic.request(5)
        traffic.origin(5)
    finally:
        traffic._reader.set_trace_callback(None)
        store._db.set_trace_callback(None)
    for query in {
        query for query in asked if query.startswith("select") and "sqlite_" not in query
    }:
        db = store._db if re.search(r"from (incident|total)\b", query) else traffic._reader
        plan = [row[3] for row in db.execute(f"explain query plan {query}")]
        sorts = [line for line in plan if "TEMP B-TREE" in line]
        scans = [
            line
            for line in plan
            if line.startswith("SCAN")
            and "VIRTUAL TABLE INDEX" not in line
            and "subquery" not in line
        ]
        limited = "duplicate" in query  # along an index, from its end
        assert not sorts, (query, plan)
        assert not scans or limited or "CONSTANT" in scans[0], (query, plan)


def a_page_of_incidents_touches_a_page(traffic: Traffic, store: SQLiteStore) -> None:
    for words in ("", "db99", "disk"):
        rows, more, total = traffic.incidents(ROWS // 2, 50, words)
        assert rows
        assert total
        assert (
            steps(traffic._reader, functools.partial(traffic.incidents, ROWS // 2, 50, words))
            < 200_000
        )
        assert steps(store._db, functools.partial(traffic.incidents, ROWS // 2, 50, words)) < 20_000
        assert more == (len(rows) == 50)


def test_a_file_of_an_older_sandbox_still_says_what_was_a_duplicate(tmp_path: Path) -> None:
    traffic = Traffic(tmp_path / "page.sqlite3", open_store(None, "webhook"))
    [number] = traffic.add([recorded(1)])
    with traffic._transaction() as db:
        db.execute('update content set incidents = \'[["1", true], ["2", false]]\'')
    found = traffic.request(number)
    assert found and found.incidents == [("1", "duplicate of"), ("2", "")]
    traffic.close()


def test_the_oldest_requests_make_room(tmp_path: Path) -> None:
    traffic = Traffic(tmp_path / "page.sqlite3", open_store(None, "webhook"), most=10)
    for number in range(1, 26):
        traffic.add([recorded(number, word=f"word{number}")])
    found = traffic.requests(2**62, 50, "", "")
    assert ([row["id"] for row in found.rows], found.total) == (list(range(25, 15, -1)), 10)
    assert traffic.requests(2**62, 50, "word3", "").total == 0
    assert traffic.requests(2**62, 50, "word20", "").total == 1
    assert (traffic.origin(3), traffic.origin(20), traffic.request(3)) == (None, 20, None)
    traffic.close()


def test_a_later_run_finds_the_requests_of_an_earlier_one(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite3"
    with paged(store=store) as api:
        api.send({"name": "kept"})
    with paged(store=store) as api:
        assert api.get("/api/requests?q=kept")["total"] == 1
        assert api.send({"name": "new"})["requestId"] == 2
        assert api.get("/api/incidents/1")["requestId"] == 1


@pytest.mark.parametrize(
    "text", ['"', "a*", "-a", "a AND", "(", "NEAR(a b)", "\u65e5\u672c", "col:x", "'"]
)
def test_no_search_is_an_error(api: Api, text: str) -> None:
    for path in ("/api/requests?status=2xx&", "/api/requests?", "/api/incidents?"):
        assert "total" in api.get(f"{path}q={quote(text)}")


@pytest.mark.parametrize("path", ["/api/requests/", "/api/incidents/"])
@pytest.mark.parametrize("number", ["0", "-1", "9" * 30, "99999999"])
def test_a_number_that_nothing_has_is_404(api: Api, path: str, number: str) -> None:
    assert "load the list again" in api.refused(path + number, status=404, method="GET")


def test_half_a_character_is_kept_too(fresh: Api) -> None:
    sent = fresh.send('{"name": "half \\ud800 of it"}')
    assert fresh.get("/api/requests?q=half")["total"] == 1
    assert fresh.row(sent["requestId"])["incidents"][0]["name"].startswith("half ")
