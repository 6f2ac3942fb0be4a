"""What XSOAR stores: incidents with integer IDs and the versioned integration context.

It is kept in SQLite or in memory.
"""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

Incident = dict[str, Any]
MEMORY = ":memory:"


class StaleVersionError(Exception):
    """The integration context has changed since the version was read."""


class Store(Protocol):
    """What the server needs of a store; one instance's view of it."""

    def create(self, incidents: list[Incident]) -> list[Incident]:
        """Store the incidents, all or none, and return them with `id` and `created`."""

    def change(self, number: int, make: Callable[[Incident], Incident]) -> bool:
        """Replace an incident by what is made of it; return whether there is one with this ID."""

    def incidents(self) -> list[Incident]:
        """Return all incidents by ID."""

    def find(self, numbers: Iterable[int]) -> list[Incident]:
        """Return the incidents with these IDs that exist, in the order asked for."""

    def page(self, before: int, limit: int) -> list[Incident]:
        """Return the newest incidents with an ID below `before`, the newest first."""

    def after(self, number: int, limit: int) -> list[Incident]:
        """Return the oldest incidents with an ID above `number`, the oldest first."""

    def count(self) -> int:
        """Return how many incidents there are."""

    def context(self) -> tuple[Any, int]:
        """Return the integration context and its version."""

    def set_context(self, value: Any, version: int | None = None) -> int:
        """Replace the context, return its new version; StaleVersionError for an old `version`."""

    def reset(self) -> None:
        """Forget everything."""

    def close(self) -> None:
        """Close files."""


def open_store(where: str | Path | None, instance: str) -> Store:
    """Return the store for an instance: a SQLite file, or memory for None and ':memory:'."""
    if where is None or str(where) == MEMORY:
        return MemoryStore()
    return SQLiteStore(Path(where), instance)


def beside(store: Path, instance: str, name: str) -> Path:
    """Return the path of an instance's file next to the store."""
    return store.with_name(f"{store.stem}-{quote(instance, safe='')}-{name}")


def now() -> str:
    """Return the time as RFC 3339 text."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


class MemoryStore:
    """Keeps everything in the process: for tests and benchmarks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._incidents: list[Incident] = []
        self._forgotten = 0  # incidents before the last reset
        self._context: str = "{}"
        self._version = 0

    def create(self, incidents: list[Incident]) -> list[Incident]:
        """Store the incidents, all or none, and return them with `id` and `created`."""
        created = now()
        with self._lock:
            first = self._forgotten + len(self._incidents) + 1
            made = [
                {**incident, "id": str(number), "created": created}
                for number, incident in enumerate(incidents, first)
            ]
            self._incidents += made
        return made

    def change(self, number: int, make: Callable[[Incident], Incident]) -> bool:
        """Replace an incident by what is made of it; return whether there is one with this ID."""
        with self._lock:
            place = number - self._forgotten - 1
            if not 0 <= place < len(self._incidents):
                return False
            self._incidents[place] = make(self._incidents[place])
            return True

    def incidents(self) -> list[Incident]:
        """Return all incidents by ID."""
        with self._lock:
            return [dict(incident) for incident in self._incidents]

    def find(self, numbers: Iterable[int]) -> list[Incident]:
        """Return the incidents with these IDs that exist, in the order asked for."""
        with self._lock:
            places = [number - self._forgotten - 1 for number in numbers]
            return [
                dict(self._incidents[place])
                for place in places
                if 0 <= place < len(self._incidents)
            ]

    def page(self, before: int, limit: int) -> list[Incident]:
        """Return the newest incidents with an ID below `before`, the newest first."""
        with self._lock:
            end = max(min(before - 1 - self._forgotten, len(self._incidents)), 0)
            return [
                dict(incident) for incident in reversed(self._incidents[max(end - limit, 0) : end])
            ]

    def after(self, number: int, limit: int) -> list[Incident]:
        """Return the oldest incidents with an ID above `number`, the oldest first."""
        with self._lock:
            start = max(number - self._forgotten, 0)
            return [dict(incident) for incident in self._incidents[start : start + limit]]

    def count(self) -> int:
        """Return how many incidents there are."""
        return len(self._incidents)

    def context(self) -> tuple[Any, int]:
        """Return the integration context and its version."""
        with self._lock:
            return json.loads(self._context), self._version

    def set_context(self, value: Any, version: int | None = None) -> int:
        """Replace the context, return its new version; StaleVersionError for an old `version`."""
        text = json.dumps(value)
        with self._lock:
            if version is not None and version != self._version:
                raise StaleVersionError
            self._context = text
            self._version += 1
            return self._version

    def reset(self) -> None:
        """Forget everything but the last ID.

        An ID that occurs again would look to a running integration like a second answer.
        """
        with self._lock:
            self._forgotten += len(self._incidents)
            self._incidents, self._context, self._version = [], "{}", 0

    def close(self) -> None:
        """Do nothing; what was created can still be read."""


TABLES = (
    "create table if not exists incident (id integer primary key autoincrement, "
    "created text not null, body text not null, instance text)",
    "create table if not exists context "
    "(instance text primary key, value text not null, version integer not null)",
    "create table if not exists total (instance text primary key, incidents integer not null)",
)
INDEX = "create index if not exists incident_instance on incident (instance, id)"


def as_incident(row: tuple[int, str, str]) -> Incident:
    """Return the incident in a row of the table."""
    return {**json.loads(row[2]), "id": str(row[0]), "created": row[1]}


class SQLiteStore:
    """Keeps everything in a file for later runs; several processes may share it.

    Each instance has its own incidents; their IDs are unique over all instances, as in XSOAR.
    """

    def __init__(self, path: Path, instance: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._instance = instance
        self._lock = threading.RLock()
        path.touch(mode=0o600)  # what was posted is for its owner alone
        self._db = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        # A local XSOAR may lose its last second in a power cut.
        self._db.execute("pragma synchronous = normal")
        self._prepare()

    def _prepare(self) -> None:
        with self._transaction() as db:
            for table in TABLES:
                db.execute(table)
            columns = [row[1] for row in db.execute("pragma table_info(incident)")]
            if "instance" not in columns:
                self._add_instances(db)
            db.execute(INDEX)

    def _add_instances(self, db: sqlite3.Connection) -> None:
        """Give the incidents of a file without instances to the one that has a context there."""
        known = [row[0] for row in db.execute("select instance from context")]
        owner = known[0] if len(known) == 1 else self._instance
        db.execute("alter table incident add column instance text")
        db.execute("update incident set instance = ?", (owner,))
        db.execute("insert into total select ?, count(*) from incident", (owner,))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("begin immediate")
            try:
                yield self._db
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")

    def create(self, incidents: list[Incident]) -> list[Incident]:
        """Store the incidents in one transaction and return them with `id` and `created`."""
        created = now()
        made = []
        with self._transaction() as db:
            for incident in incidents:
                row = db.execute(
                    "insert into incident (created, body, instance) values (?, ?, ?)",
                    (created, json.dumps(incident), self._instance),
                )
                made.append({**incident, "id": str(row.lastrowid), "created": created})
            db.execute(
                "insert into total values (?, ?) on conflict (instance) "
                "do update set incidents = incidents + excluded.incidents",
                (self._instance, len(made)),
            )
        return made

    def change(self, number: int, make: Callable[[Incident], Incident]) -> bool:
        """Replace an incident by what is made of it; return whether there is one with this ID."""
        with self._transaction() as db:
            query = "select body from incident where id = ? and instance = ?"
            row = db.execute(query, (number, self._instance)).fetchone()
            if row is None:
                return False
            body = json.dumps(make(json.loads(row[0])))
            db.execute("update incident set body = ? where id = ?", (body, number))
            return True

    def incidents(self) -> list[Incident]:
        """Return all incidents by ID."""
        return self._rows("order by id")

    def find(self, numbers: Iterable[int]) -> list[Incident]:
        """Return the incidents with these IDs that exist, in the order asked for."""
        return [row for number in numbers for row in self._rows("and id = ?", number)]

    def page(self, before: int, limit: int) -> list[Incident]:
        """Return the newest incidents with an ID below `before`, the newest first."""
        return self._rows("and id < ? order by id desc limit ?", before, limit)

    def after(self, number: int, limit: int) -> list[Incident]:
        """Return the oldest incidents with an ID above `number`, the oldest first."""
        return self._rows("and id > ? order by id limit ?", number, limit)

    def _rows(self, clause: str, *values: int) -> list[Incident]:
        with self._lock:
            rows = self._db.execute(
                f"select id, created, body from incident where instance = ? {clause}",
                (self._instance, *values),
            ).fetchall()
        return [as_incident(row) for row in rows]

    def count(self) -> int:
        """Return how many incidents there are."""
        query = "select incidents from total where instance = ?"
        with self._lock:
            found = self._db.execute(query, (self._instance,)).fetchone()
        return int(found[0]) if found else 0

    def context(self) -> tuple[Any, int]:
        """Return the integration context and its version."""
        with self._lock:
            row = self._db.execute(
                "select value, version from context where instance = ?", (self._instance,)
            ).fetchone()
        return (json.loads(row[0]), row[1]) if row else ({}, 0)

    def set_context(self, value: Any, version: int | None = None) -> int:
        """Replace the context, return its new version; StaleVersionError for an old `version`."""
        text = json.dumps(value)
        with self._transaction() as db:
            current = self.context()[1]
            if version is not None and version != current:
                raise StaleVersionError
            db.execute(
                "insert or replace into context values (?, ?, ?)",
                (self._instance, text, current + 1),
            )
        return current + 1

    def reset(self) -> None:
        """Forget everything of this instance except the last ID, for the reason above."""
        with self._transaction() as db:
            for table in ("incident", "context", "total"):
                db.execute(f"delete from {table} where instance = ?", (self._instance,))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
