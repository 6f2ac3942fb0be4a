"""The server's incoming mirroring: each minute it asks an instance which incidents have changed.

For each instance that has `isremotesyncin` it runs `get-modified-remote-data`, and for each ID that
this names `get-remote-data`, each in a container of its own. What comes back closes an incident,
opens it again, or becomes a War Room entry. Only incidents are mirrored that have `dbotMirrorId`,
`dbotMirrorDirection` and `dbotMirrorInstance`, as createIncidents took them or as the mapper made
them of rawJSON.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from .server import MarkedError, Server
from .store import Incident, now

ACTIVE, CLOSED = 1, 2  # an incident's status, as the platform numbers them
ERROR_ENTRY = 4
QUIET_ERRORS = ("skip update", "API rate limit")  # they stop a round without harm
MAPPED = {  # what the incoming mapper makes of rawJSON
    "dbotMirrorId": "mirror_id",
    "dbotMirrorDirection": "mirror_direction",
    "dbotMirrorInstance": "mirror_instance",
}
Run = Callable[[str, Mapping[str, Any]], list[Any]]


class Mirroring:
    """One instance's mirroring job."""

    def __init__(self, server: Server, instance: str, run: Run) -> None:
        self._server = server
        self._instance = instance
        self._run = run
        self._asked = now()
        self._updated: dict[str, str] = {}  # when each incident was mirrored last
        self._one_at_a_time = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, seconds: float) -> None:
        """Mirror again and again, with that many seconds in between."""

        def work() -> None:
            while not self._stop.wait(seconds):
                self.run_once()

        self._thread = threading.Thread(target=work, daemon=True, name="mirroring")
        self._thread.start()

    def stop(self) -> None:
        """End the job, after a round that is in progress."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(30)

    def run_once(self) -> list[str]:
        """Mirror each incident that has changed, and return the IDs that were asked for."""
        with self._one_at_a_time:
            last, self._asked = self._asked, now()
            results = self._run("get-modified-remote-data", {"lastUpdate": last})
            if self._failed(results):
                return []
            wanted = [str(one) for one in results[0].get("Contents") or ()] if results else []
            mirrored = self._mirrored_incidents() if wanted else {}
            for mark in wanted:
                if mark in mirrored and not self._mirror(mark, mirrored[mark]):
                    break
            return wanted

    def _mirror(self, mark: str, incident: Incident) -> bool:
        """Return whether the round goes on."""
        last = self._updated.get(mark, str(incident.get("created")))
        results = self._run("get-remote-data", {"id": mark, "lastUpdate": last})
        if self._failed(results):
            return False
        self._updated[mark] = now()
        for entry in results[1:]:
            self._apply(str(incident["id"]), entry)
        return True

    def _failed(self, results: list[Any]) -> bool:
        errors = [str(one.get("Contents")) for one in results if one.get("Type") == ERROR_ENTRY]
        for error in errors:
            if not any(word in error for word in QUIET_ERRORS):
                self._server.logs.append(("error", f"mirroring: {error}"))
        return bool(errors)

    def _apply(self, number: str, entry: dict[str, Any]) -> None:
        contents = entry.get("Contents")
        change: dict[str, Any] = contents if isinstance(contents, dict) else {}
        changes: dict[str, Any] = {}
        if change.get("dbotIncidentClose"):
            reason, notes = change.get("closeReason"), change.get("closeNotes")
            text = f"Closed by mirroring: {reason}. {notes}"
            changes = {"status": CLOSED, "closeReason": reason, "closeNotes": notes}
        elif change.get("dbotIncidentReopen"):
            text, changes = "Opened again by mirroring.", {"status": ACTIVE, "closeReason": ""}
        else:
            text = str(contents)
        try:
            self._server.write_entry(number, text, **changes)
        except MarkedError as error:
            self._server.logs.append(("error", f"mirroring: {error}"))

    def _mirrored_incidents(self) -> dict[str, Incident]:
        found = {}
        for incident in self._server.store.incidents():
            fields = mapped(incident)
            if fields["dbotMirrorDirection"] == "In" and (
                fields["dbotMirrorInstance"] == self._instance
            ):
                found[str(fields["dbotMirrorId"])] = incident
        return found


def mapped(incident: Incident) -> dict[str, Any]:
    """Return an incident's mirroring fields, as the server has them behind the mapper."""
    raw: Any = {}
    if not all(name in incident for name in MAPPED):
        raw = json.loads(incident.get("rawJSON") or "{}")
    return {name: incident.get(name, raw.get(field)) for name, field in MAPPED.items()}
