"""What passed the reroute: requests and their answers in a bounded SQLite table.

The page's tables are in their own file, so that they never keep the server's store waiting. Every
list is read along an index, newest first, and every search uses a full-text index: 100,000 rows
cost what 50 do.
"""

import base64
import contextlib
import json
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ..store import Incident, Store
from .signing import Headers

MAX_REQUESTS = 100_000
MAX_BYTES = 512 * 1024 * 1024  # of bodies and answers together
MAX_SHOWN = 3  # incidents in a request's row
MAX_OPENED = 200  # incidents of one request that are shown when it is opened
MAX_COUNTED = 10_000  # matches of a search
SEARCHED_CHARACTERS = 600  # of a body or a raw JSON
INDEXED_AT_A_TIME = 500
MAX_DIGITS = 18  # of a number that SQLite accepts
KINDS = ("2xx", "4xx", "5xx", "duplicate")
# what an event is to an incident
DUPLICATE, REPEATS, ENDS, ENDS_AGAIN = "duplicate of", "repeats", "ends", "repeats the end of"

SCHEMA = """
create table if not exists request (
    id integer primary key autoincrement, kind text not null, duplicate integer not null,
    size integer not null, row text not null
);
create index if not exists request_kind on request (kind, id);
create index if not exists request_duplicate on request (id) where duplicate;
create table if not exists content (
    id integer primary key, headers text not null, body blob not null, body_bytes integer not null,
    answer_headers text not null, answer blob not null, incidents text not null,
    settings integer not null
);
create table if not exists origin (incident integer primary key, request integer not null);
create table if not exists settings (id integer primary key, params text not null unique);
create table if not exists tally (name text primary key, number integer not null) without rowid;
create virtual table if not exists request_text using fts5(words, content='', tokenize='unicode61');
create virtual table if not exists incident_text
    using fts5(words, content='', tokenize='unicode61');
"""

# Files of older sandboxes say only whether an event had been seen before.
OF_OLDER_FILES = {True: DUPLICATE, False: ""}


class Found(NamedTuple):
    """A page of a list: rows, whether older ones follow, and how many there are in all."""

    rows: list[dict[str, Any]]
    more: bool
    total: int


@dataclass
class Recorded:
    """A request to be stored: what its row shows, and what is shown when it is opened."""

    row: dict[str, Any]
    headers: Headers
    body: bytes
    body_bytes: int
    answer_headers: Headers
    answer: bytes
    # Each has its ID, and what the event is to it: empty for the event that created it.
    incidents: list[tuple[str, str]] = field(default_factory=list)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The filter that finds the request by its status; without an answer it is a failure."""
        return f"{self.row['status'] // 100 or 5}xx"

    @property
    def duplicate(self) -> bool:
        """Whether an event had been seen before."""
        return any(is_to in (DUPLICATE, REPEATS, ENDS_AGAIN) for _, is_to in self.incidents)

    @property
    def is_handshake(self) -> bool:
        """Whether the request was accepted, and its answer names no event."""
        names_request = any(name.lower() == "x-request-id" for name, _ in self.answer_headers)
        is_list = self.answer.lstrip().startswith(b"[")
        return self.row["status"] == 200 and not names_request and not is_list

    @property
    def size(self) -> int:
        """The stored bytes."""
        return len(self.body) + len(self.answer)

    def numbers(self) -> list[int]:
        """Return the IDs of the incidents that are numbers."""
        return [int(identifier) for identifier, _ in self.incidents if is_number(identifier)]

    def content(self) -> tuple[Any, ...]:
        """Return the row of the content table, between the number and the settings."""
        headers, answer_headers = json.dumps(self.headers), json.dumps(self.answer_headers)
        return (
            headers,
            self.body,
            self.body_bytes,
            answer_headers,
            self.answer,
            json.dumps(self.incidents),
        )

    def counts(self) -> dict[str, int]:
        """Return what the request adds to the totals."""
        return {"all": 1, self.kind: 1, "bytes": self.size, "duplicate": int(self.duplicate)}

    def words(self) -> str:
        """Return the text that a search looks in."""
        marks = [f"is{self.kind}", *(["isduplicate"] if self.duplicate else [])]
        row = self.row
        names = [f"#{item['id']} {item['type']} {item['name']}" for item in row["incidents"]]
        shown = [
            row["method"],
            row["path"],
            row["sender"],
            str(row["status"]),
            row["readAs"],
            row["error"],
            row.get("handshake", ""),
            *(ignored["rule"] for ignored in row.get("ignored", ())),
            *names,
        ]
        return searchable(
            " ".join([*marks, *shown, self.body[:SEARCHED_CHARACTERS].decode("utf-8", "replace")])
        )


class Traffic:
    """The requests, newest first, and the incidents of the server's store by their words."""

    def __init__(self, path: Path, store: Store, most: int = MAX_REQUESTS) -> None:
        self._store = store
        self._most = most
        self._settings: tuple[Mapping[str, Any], int] = {}, 0  # the last ones, and their number
        self._writing = threading.RLock()
        self._reading = threading.Lock()
        self._writer = self._connect(path)
        self._reader = self._connect(path)

    @staticmethod
    def _connect(path: Path) -> sqlite3.Connection:
        path.touch(mode=0o600)  # what was posted is for its owner alone
        db = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = off")  # what is only shown may be lost in a power cut
        db.executescript(SCHEMA)
        return db

    def close(self) -> None:
        """Close the file."""
        with self._writing, self._reading:
            self._writer.close()
            self._reader.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writing:
            self._writer.execute("begin immediate")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("rollback")
                self._settings = {}, 0  # their row may have been rolled back too
                raise
            self._writer.execute("commit")

    # ---- writing

    def add(self, requests: list[Recorded]) -> list[int]:
        """Store requests in one transaction and return their numbers; delete the oldest ones."""
        with self._transaction() as db:
            first = (
                db.execute("select seq from sqlite_sequence where name = 'request'").fetchone()
                or (0,)
            )[0] + 1
            numbered = list(enumerate(requests, first))
            rows = [
                (number, known.kind, known.duplicate, known.size, json.dumps(known.row))
                for number, known in numbered
            ]
            db.executemany(
                "insert into request (id, kind, duplicate, size, row) values (?, ?, ?, ?, ?)", rows
            )
            contents = [
                (number, *known.content(), self._settings_id(db, known.settings))
                for number, known in numbered
            ]
            db.executemany("insert into content values (?, ?, ?, ?, ?, ?, ?, ?)", contents)
            origins = [
                (identifier, number) for number, known in numbered for identifier in known.numbers()
            ]
            db.executemany("insert or ignore into origin values (?, ?)", origins)
            words = [(number, known.words()) for number, known in numbered]
            db.executemany("insert into request_text (rowid, words) values (?, ?)", words)
            counts: Counter[str] = Counter()
            for known in requests:
                counts.update(known.counts())
            self._count(db, counts)
            self._make_room(db)
        return [number for number, _ in numbered]

    def _settings_id(self, db: sqlite3.Connection, params: Mapping[str, Any]) -> int:
        if params is self._settings[0]:
            return self._settings[1]
        text = json.dumps(params, sort_keys=True)
        db.execute("insert or ignore into settings (params) values (?)", (text,))
        number = int(db.execute("select id from settings where params = ?", (text,)).fetchone()[0])
        self._settings = params, number
        return number

    @staticmethod
    def _count(db: sqlite3.Connection, counts: Mapping[str, int]) -> None:
        upsert = (
            "insert into tally values (?, ?) "
            "on conflict (name) do update set number = number + excluded.number"
        )
        db.executemany(upsert, list(counts.items()))

    def _make_room(self, db: sqlite3.Connection) -> None:
        """Delete the oldest requests."""
        while self._tally(db, "all") > self._most or (
            self._tally(db, "bytes") > MAX_BYTES and self._tally(db, "all") > 1
        ):
            number = db.execute("select id from request order by id limit 1").fetchone()[0]
            old = self._read(db, number)
            if old:
                words = (
                    "insert into request_text (request_text, rowid, words) values ('delete', ?, ?)"
                )
                db.execute(words, (number, old.words()))
                db.execute("delete from request where id = ?", (number,))
                db.execute("delete from content where id = ?", (number,))
                db.executemany(
                    "delete from origin where incident = ? and request = ?",
                    [(key, number) for key, _ in old.incidents],
                )
                self._count(db, {name: -number for name, number in old.counts().items()})

    def reset(self) -> None:
        """Forget all requests, and number them from 1 again."""
        with self._transaction() as db:
            for table in ("request", "content", "origin", "tally", "sqlite_sequence"):
                db.execute(f"delete from {table}")
            for table in ("request_text", "incident_text"):
                db.execute(f"insert into {table} ({table}) values ('delete-all')")

    def index_incidents(self) -> int:
        """Add the store's next new incidents to the index and return how many there were."""
        indexed = self._first("select number from tally where name = 'indexed'") or 0
        with self._transaction() as db:
            if indexed and not self._store.find([indexed]):  # the store was reset
                db.execute("insert into incident_text (incident_text) values ('delete-all')")
                db.execute("delete from tally where name = 'indexed'")
                indexed = 0
            new = self._store.after(indexed, INDEXED_AT_A_TIME)
            rows = [(int(incident["id"]), incident_words(incident)) for incident in new]
            db.executemany(
                "insert or replace into incident_text (rowid, words) values (?, ?)", rows
            )
            if rows:
                db.execute("insert or replace into tally values ('indexed', ?)", (rows[-1][0],))
        return len(new)

    # ---- reading

    def requests(self, before: int, limit: int, words: str, kind: str) -> Found:
        """Return a page of requests with a number below `before`, with these words, of this kind.

        kind: "" for all.
        """
        if words:
            match = f"is{kind} AND {words_query(words)}" if kind else words_query(words)
            numbers, total = self._search("request_text", match, before, limit + 1)
            rows = [row for number in numbers for row in self._rows("where id = ?", number)]
            return Found(rows[:limit], len(numbers) > limit, total)
        where = {"": "", "duplicate": "duplicate and"}.get(kind, "kind = ? and")
        values = (kind,) if kind and kind != "duplicate" else ()
        rows = self._rows(
            f"where {where} id < ? order by id desc limit ?", *values, before, limit + 1
        )
        with self._reading:
            total = self._tally(self._reader, kind or "all")
        return Found(rows[:limit], len(rows) > limit, total)

    def incidents(self, before: int, limit: int, words: str) -> tuple[list[Incident], bool, int]:
        """Return incidents with these words, whether older ones follow, and the total."""
        if not words:
            found = self._store.page(before, limit + 1)
            return found[:limit], len(found) > limit, self._store.count()
        numbers, total = self._search("incident_text", words_query(words), before, limit + 1)
        return self._store.find(numbers[:limit]), len(numbers) > limit, total

    def request(self, number: int) -> Recorded | None:
        """Return a stored request, None if there is none."""
        with self._reading:
            return self._read(self._reader, number)

    @staticmethod
    def _read(db: sqlite3.Connection, number: int) -> Recorded | None:
        query = """select row, headers, body, body_bytes, answer_headers, answer, incidents, params
            from request join content using (id) join settings on settings.id = content.settings
            where request.id = ?"""
        found = db.execute(query, (number,)).fetchone()
        if not found:
            return None
        row, headers, body, size, answer_headers, answer, incidents, params = found
        return Recorded(
            row=json.loads(row),
            headers=[(name, value) for name, value in json.loads(headers)],
            body=body,
            body_bytes=size,
            answer_headers=[(name, value) for name, value in json.loads(answer_headers)],
            answer=answer,
            incidents=[
                (identifier, OF_OLDER_FILES.get(is_to, is_to))
                for identifier, is_to in json.loads(incidents)
            ],
            settings=json.loads(params),
        )

    def origin(self, incident: int) -> int | None:
        """Return the number of the request that created an incident."""
        return self._first("select request from origin where incident = ?", incident)

    def _search(self, table: str, match: str, before: int, limit: int) -> tuple[list[int], int]:
        with self._reading:
            newest_first = (
                f"select rowid from {table} where {table} match ? and rowid < ? "
                "order by rowid desc limit ?"
            )
            numbers = [row[0] for row in self._reader.execute(newest_first, (match, before, limit))]
            counted = f"select count(*) from (select 1 from {table} where {table} match ? limit ?)"
            return numbers, self._reader.execute(counted, (match, MAX_COUNTED)).fetchone()[0]

    def _rows(self, clause: str, *values: Any) -> list[dict[str, Any]]:
        with self._reading:
            found = self._reader.execute(f"select id, row from request {clause}", values).fetchall()
        return [{"id": number, **json.loads(row)} for number, row in found]

    def _first(self, query: str, *values: Any) -> int | None:
        with self._reading:
            found = self._reader.execute(query, values).fetchone()
        return int(found[0]) if found else None

    @staticmethod
    def _tally(db: sqlite3.Connection, name: str) -> int:
        found = db.execute("select number from tally where name = ?", (name,)).fetchone()
        return int(found[0]) if found else 0


def words_query(text: str) -> str:
    """Return a full-text query for texts with words that begin with each of these."""
    words = re.findall(r"\w+", text)
    return " AND ".join(f'"{word}"*' for word in words) or '""'


def incident_words(incident: Mapping[str, Any]) -> str:
    """Return the text that a search for incidents looks in."""
    raw = incident.get("rawJSON") or ""
    names = [
        f"#{incident['id']}",
        *(str(incident.get(name) or "") for name in ("name", "type", "details")),
    ]
    return searchable(" ".join([*names, raw[:SEARCHED_CHARACTERS]]))


def searchable(text: str) -> str:
    """Return a text that SQLite accepts: JSON may hold a lone surrogate."""
    return text.encode("utf-8", "replace").decode()


def is_number(identifier: str) -> bool:
    """Return whether an incident's ID is one that the server's store gives."""
    return identifier.isdecimal() and len(identifier) <= MAX_DIGITS


def as_content(data: bytes, cut: bool) -> dict[str, str]:
    """Return bytes as a page can show them: as text, or else in base64."""
    for end in range(4 if cut else 1):  # the end may be in the middle of a character
        with contextlib.suppress(UnicodeDecodeError):
            text = data[: len(data) - end].decode()
            if "\0" not in text:
                return {"text": text}
    return {"base64": base64.b64encode(data).decode()}


def now() -> str:
    """Return the time as RFC 3339 text."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
