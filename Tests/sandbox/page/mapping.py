"""What the last requests would become with other parameters, and the events to choose paths in."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .calls import MAX_NUMBER, Refusal
from .form import label, merged
from .instance import run_command
from .masking import Secrets
from .opened import Opened, described
from .preview import Preview, PreviewError
from .recorder import counted
from .traffic import MAX_OPENED, Recorded, Traffic

if TYPE_CHECKING:
    from .. import Sandbox

PREVIEWED = 10


class MappingPreview:
    """What the view Mapping calls."""

    def __init__(
        self,
        sandbox: "Sandbox",
        secrets: Secrets,
        traffic: Traffic,
        preview: Preview,
        opened: Opened,
    ) -> None:
        self._sandbox = sandbox
        self._secrets = secrets
        self._traffic = traffic
        self._preview = preview
        self._opened = opened

    def samples(self) -> dict[str, Any]:
        """Fetch samples as the mapping wizard does, newest first."""
        fetched = run_command(self._sandbox, self._secrets, "fetch-incidents")
        samples = [
            {
                "name": str(sample.get("name") or ""),
                "raw": json.loads(sample.get("rawJSON") or "{}"),
            }
            for sample in fetched
        ]
        hint = ""
        if not samples and not self._sandbox.params.get("store_samples"):
            parameter = self._sandbox.descriptor.parameters.get("store_samples")
            name = label(parameter) if parameter else "Store sample events for mapping"
            hint = f"The instance keeps no samples: tick {name}, save, and send something."
        elif not samples:
            hint = "There are no samples yet: send something, and fetch them a few seconds later."
        return {"samples": self._secrets.hide(samples[::-1]), "hint": hint}

    def preview(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the last accepted requests would have become with other parameters."""
        sandbox = self._sandbox
        params = merged(sandbox.descriptor, sandbox.params, given.get("params") or {})
        found = self._traffic.requests(MAX_NUMBER, PREVIEWED, "", "2xx")
        numbers = [row["id"] for row in found.rows]
        kept = [(number, old) for number in numbers if (old := self._traffic.request(number))]
        try:
            made = self._preview.incidents(params, [old for _, old in kept])
        except PreviewError as error:
            raise Refusal(502, str(error)) from error
        return {
            "requests": [
                self._previewed(number, old, found) for (number, old), found in zip(kept, made)
            ]
        }

    def _previewed(self, number: int, old: Recorded, found: Mapping[str, Any]) -> dict[str, Any]:
        error = found["error"]
        incidents: list[Any] = found["incidents"][:MAX_OPENED]
        if old.is_handshake:
            asked = old.row.get("handshake") or "A handshake or a probe"
            incidents, error = [], f"{asked}, which does not become an incident."
        elif old.body_bytes > len(old.body):
            incidents, error = [], "The body is longer than what is kept of it."
        shown = [
            {
                **made,
                "sources": {
                    key: described(at, self._sandbox.descriptor)
                    for key, at in made["sources"].items()
                },
            }
            for made in incidents
        ]
        shown_request = {"id": number, "time": old.row["time"], "incidents": shown, "error": error}
        return dict(self._secrets.hide({**shown_request, "ignored": counted(found["ignored"])}))

    def sample(self, number: int) -> dict[str, Any]:
        """Return a request as the paths of parameters see it."""
        old = self._opened.recorded(number)
        try:
            found = self._preview.sample({**self._sandbox.params, "events_path": ""}, old)
        except PreviewError as error:
            raise Refusal(502, str(error)) from error
        return dict(self._secrets.hide(found))
