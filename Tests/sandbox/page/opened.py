"""The lists of requests and incidents, and what is shown of one that is opened."""

import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..descriptor import Descriptor, Parameter
from ..store import Incident
from .calls import MAX_NUMBER, Refusal
from .form import label
from .masking import Secrets
from .preview import Preview, PreviewError
from .traffic import MAX_OPENED, Recorded, Traffic, as_content, is_number

if TYPE_CHECKING:
    from .. import Sandbox

# how the integration writes what has become of an alert
LONE_END, HAS_ENDED, ACTIVE_AGAIN = "Ended: ", "The alert has ended", "The alert is active again"
# what gave a field, where no parameter did
GIVEN_BY = {
    "": "The payload's own field",
    "usual": "Usual field name",
    "end": "An end whose beginning never came",
}


class Opened:
    """What the view Requests calls."""

    def __init__(
        self, sandbox: "Sandbox", secrets: Secrets, traffic: Traffic, preview: Preview
    ) -> None:
        self._sandbox = sandbox
        self._secrets = secrets
        self._traffic = traffic
        self._preview = preview

    def requests(self, before: int, limit: int, words: str, kind: str) -> dict[str, Any]:
        """Return a page of the requests, newest first."""
        found = self._traffic.requests(before, limit, words, kind)
        rows = [{**row, "path": self._secrets.hide_proof(row["path"], [])[0]} for row in found.rows]
        return {"requests": self._secrets.hide(rows), "more": found.more, "total": found.total}

    def request(self, number: int) -> dict[str, Any]:
        """Return a request as it arrived, and what became of it."""
        old = self.recorded(number)
        cut = old.body_bytes > len(old.body)
        path, headers = self._secrets.hide_proof(old.row["path"], old.headers)
        opened = {
            "id": number,
            **old.row,
            "path": path,
            "headers": headers,
            "body": as_content(self._secrets.hide_bytes(old.body), cut),
            "bodyBytes": old.body_bytes,
            "bodyCut": cut,
            "answer": {
                "status": old.row["status"],
                "headers": old.answer_headers,
                "body": old.answer.decode("utf-8", "replace"),
            },
            "incidents": self._incidents_of(old),
        }
        return dict(self._secrets.hide(opened))

    def recorded(self, number: int) -> Recorded:
        """Return a request as it is kept; raises Refusal."""
        found = self._traffic.request(min(number, MAX_NUMBER))
        if found is None:
            raise Refusal(404, f"There is no request {number} any more; load the list again.")
        return found

    def _incidents_of(self, old: Recorded) -> list[dict[str, Any]]:
        shown = [
            (int(number), is_to)
            for number, is_to in old.incidents[:MAX_OPENED]
            if is_number(number)
        ]
        stored = {
            int(incident["id"]): incident
            for incident in self._sandbox.store.find(number for number, _ in shown)
        }
        made = self._made(old)
        same_order = len(made) == len(old.incidents)
        return [
            {
                **self._shown(stored[number], made[place] if same_order else {}),
                "isTo": is_to,
            }
            for place, (number, is_to) in enumerate(shown)
            if number in stored
        ]

    def _made(self, old: Recorded) -> list[dict[str, Any]]:
        """Return what the integration makes of a request with the parameters in force then.

        The list is empty if that cannot be determined.
        """
        if old.body_bytes > len(old.body) or not old.incidents:
            return []
        with contextlib.suppress(PreviewError):
            [found] = self._preview.incidents(old.settings, [old])
            return list(found["incidents"])
        return []

    def _shown(self, incident: Incident, made: Mapping[str, Any]) -> dict[str, Any]:
        """Return an incident with the sources of the fields that are stored as they were made."""
        stored = {name: value for name, value in incident.items() if name != "rawJSON"}
        raw = None
        with contextlib.suppress(ValueError):
            raw = json.loads(incident.get("rawJSON") or "null")
        sources = {
            name: described(where, self._sandbox.descriptor)
            for name, where in (made.get("sources") or {}).items()
            if name not in stored or stored[name] == made.get(name)
        }
        shown = {
            name: incident.get(name)
            for name in ("id", "name", "type", "severity", "occurred", "details", "created")
        }
        return {
            **shown,
            "isTo": "",
            "ended": is_ended(incident),
            "fields": stored,
            "raw": raw,
            "recognizedAs": made.get("recognizedAs"),
            "sources": sources,
        }

    def incidents(self, before: int, limit: int, words: str) -> dict[str, Any]:
        """Return a page of the incidents, newest first."""
        rows, more, total = self._traffic.incidents(before, limit, words)
        names = ("id", "created", "name", "type", "severity", "status")
        shown = [
            {**{name: row.get(name) for name in names}, "ended": is_ended(row)} for row in rows
        ]
        return {"incidents": self._secrets.hide(shown), "more": more, "total": total}

    def incident(self, number: int) -> dict[str, Any]:
        """Return an incident, and where its fields come from."""
        found = self._sandbox.store.find([min(number, MAX_NUMBER)])
        if not found:
            raise Refusal(404, f"There is no incident {number} any more; load the list again.")
        origin = self._traffic.origin(number)
        old = self._traffic.request(origin) if origin else None
        if old:
            for incident in self._incidents_of(old):
                if incident["id"] == str(number):
                    return dict(self._secrets.hide({**incident, "requestId": origin}))
        return dict(self._secrets.hide({**self._shown(found[0], {}), "requestId": None}))


def described(where: Mapping[str, str], descriptor: Descriptor) -> dict[str, str]:
    """Return where a field comes from, with the name that the form has for it."""
    name = where["parameter"]
    parameter: Parameter | None = descriptor.parameters.get(name)
    return {**where, "display": label(parameter) if parameter else GIVEN_BY.get(name, name)}


def is_ended(incident: Incident) -> bool:
    """Return whether an incident's alert has ended, as its name and its War Room say."""
    ended = False
    if str(incident.get("name") or "").startswith(LONE_END):  # or somebody's own name begins so
        with contextlib.suppress(ValueError, AttributeError):
            raw = json.loads(incident.get("rawJSON") or "{}")
            ended = raw.get("request_webhook", raw.get("webhook")).get("status") == "closed"
    for entry in incident.get("entries", ()):
        if entry["text"].startswith((HAS_ENDED, ACTIVE_AGAIN)):
            ended = entry["text"].startswith(HAS_ENDED)
    return ended
