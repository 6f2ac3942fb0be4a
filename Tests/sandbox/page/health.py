"""How the instance is doing, and the faults that the sandbox can set."""

import contextlib
import json
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..server import Faults
from .calls import amount
from .masking import Secrets
from .monitor import Monitor
from .traffic import is_number

if TYPE_CHECKING:
    from .. import Sandbox

MAX_ALERTS = 50  # that the page shows
OPEN_STATE = 1  # of an alert in the integration context
MAX_LATENCY_MS, MAX_REFUSALS, MAX_STOP_SECONDS = 60_000, 10_000, 60.0
CALL = "createIncidents"


class Health:
    """What the view Health calls."""

    def __init__(self, sandbox: "Sandbox", secrets: Secrets, monitor: Monitor) -> None:
        self._sandbox = sandbox
        self._secrets = secrets
        self._monitor = monitor
        self._timer: threading.Timer | None = None

    def stop(self) -> None:
        """Forget a stop of the server that is to end later."""
        if self._timer:
            self._timer.cancel()

    def health(self) -> dict[str, Any]:
        """Return the instance's health, with its figures of the last two minutes."""
        context = self._sandbox.context()
        alerts = open_alerts(context)
        numbers = [int(alert["incident"]) for alert in alerts if is_number(alert["incident"])]
        names = {one["id"]: one.get("name") for one in self._sandbox.store.find(numbers)}
        found = {
            "alerts": [{**alert, "name": names.get(alert["incident"], "")} for alert in alerts],
            "ignored": ignored_events(context),
            "refusals": status_of(context).get("refusals") or [],
        }
        return {**self._monitor.everything(), **self._secrets.hide(found)}

    def set_faults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Set faults, or clear all of them."""
        latency = amount(given, "latencyMs", MAX_LATENCY_MS)
        refusals = amount(given, "refuseNext", MAX_REFUSALS)
        seconds = amount(given, "stopSeconds", MAX_STOP_SECONDS)
        faults = self._sandbox.faults
        if given.get("clear") is True:
            self._end_stop()
            faults.latency.pop(CALL, None)
            faults.fail.pop(CALL, None)
            faults.outage = False
        if latency is not None:
            faults.latency[CALL] = latency / 1000
        if refusals is not None:
            faults.fail[CALL] = int(refusals)
        if seconds:
            self._end_stop()
            faults.stopped.set()
            self._timer = threading.Timer(seconds, self._end_stop)
            self._timer.daemon = True
            self._timer.start()
        self._monitor.report_state()
        return faults_of(self._sandbox.faults)

    def _end_stop(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._sandbox.faults.stopped.clear()
        self._monitor.report_state()


def open_alerts(context: Any) -> list[dict[str, str]]:
    """Return the newest alerts that have not ended, as the integration context has them."""
    rows: Any = []
    with contextlib.suppress(ValueError, TypeError):
        rows = json.loads(context.get("open_alerts") or "[]")
    found = [
        {"identity": row[0], "start": row[1], "incident": row[3]}
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, list) and len(row) > 6 and row[6] == OPEN_STATE
    ]
    return found[: -MAX_ALERTS - 1 : -1]


def status_of(context: Any) -> dict[str, Any]:
    """Return what generic-webhook-status reads of the integration context."""
    status: Any = {}
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        status = json.loads(context.get("status") or "{}")
    return status if isinstance(status, dict) else {}


def ignored_events(context: Any) -> list[dict[str, Any]]:
    """Return how many events each rule of *Ignore events where* has taken since the start."""
    counts = status_of(context).get("ignored") or {}
    return [{"rule": rule, "count": count} for rule, count in counts.items() if count]


def faults_of(faults: Faults) -> dict[str, Any]:
    """Return the faults that are set, as the page shows them."""
    return {
        "latencyMs": {CALL: round(faults.latency.get(CALL, 0.0) * 1000)},
        "fail": {CALL: faults.fail.get(CALL, 0)},
        "outage": faults.outage,
    }
