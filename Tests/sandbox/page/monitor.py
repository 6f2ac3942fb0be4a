"""Watches the instance: its log, its health, and figures for each second."""

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from ..reroute import Exchange
from .masking import Secrets
from .recorder import Listeners
from .traffic import now

SECONDS_KEPT = 120
LOGS_KEPT = 200
HISTORY_KEPT = 50
LOG_CHARACTERS = 4000


class Monitor:
    """The instance's health: its logs, its reports, and figures for each second."""

    def __init__(
        self,
        listeners: Listeners,
        secrets: Secrets,
        in_flight: Callable[[], int],
        state: Callable[[], Any],
    ) -> None:
        self._listeners = listeners
        self._secrets = secrets
        self._in_flight = in_flight
        self._state = state
        self._lock = threading.Lock()

        # since the last figures
        self._seconds: list[float] = []  # of requests
        self._batches: list[int] = []
        self._created = 0

        # now
        self._calling = 0  # incidents in the createIncidents call in progress
        self._queued = 0  # incidents, as the instance's own status has them

        # what is shown
        self._figures: deque[dict[str, Any]] = deque(maxlen=SECONDS_KEPT)
        self._logs: deque[dict[str, str]] = deque(maxlen=LOGS_KEPT)
        self._history: deque[list[str]] = deque(maxlen=HISTORY_KEPT)
        self._reported: dict[str, Any] = {}

        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="page-monitor")
        self.started = now()

    def start(self) -> None:
        """Begin to send figures, once a second."""
        self._thread.start()

    def stop(self) -> None:
        """Stop sending figures."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def count(self, exchange: Exchange) -> None:
        """Count a request."""
        with self._lock:
            self._seconds.append(exchange.seconds)

    def see(self, kind: str, value: Any) -> None:
        """Record what the server has seen."""
        takers: dict[str, Callable[[Any], None]] = {
            "log": self._log,
            "health": self._health,
            "call": self._call,
            "created": self._count,
            "changed": lambda number: self._listeners.notify("incident", {"id": number}),
            "context": self._context,
        }
        takers[kind](value)

    def _log(self, line: tuple[str, str]) -> None:
        level, text = line
        entry = {"time": now(), "level": level, "text": self._secrets.hide(text)[:LOG_CHARACTERS]}
        with self._lock:
            self._logs.append(entry)
        self._listeners.notify("log", entry)

    def _health(self, text: str) -> None:
        with self._lock:
            if text != (self._history[-1][1] if self._history else ""):
                self._history.append([now(), self._secrets.hide(text)])
        self.report_state()

    def _call(self, incidents: int) -> None:
        with self._lock:
            self._calling = incidents
            if incidents:
                self._batches.append(incidents)

    def _count(self, incidents: int) -> None:
        with self._lock:
            self._created += incidents

    def _context(self, value: Mapping[str, str]) -> None:
        with contextlib.suppress(ValueError, AttributeError):
            self._queued = int(
                (json.loads(value.get("status") or "{}") or {}).get("queued_incidents") or 0
            )
        self._listeners.notify("context", {})

    def health(self) -> dict[str, Any]:
        """Return the instance's state."""
        with self._lock:
            since, text = self._history[-1] if self._history else (self.started, "")
        container, stopped, faults, _ = self._state()
        return {
            "health": text,
            "since": since,
            "container": container,
            "serverStopped": stopped,
            "faults": faults,
        }

    def everything(self) -> dict[str, Any]:
        """Return the state with figures, log lines and reports."""
        with self._lock:
            kept = {
                "metrics": list(self._figures),
                "logs": list(self._logs),
                "history": list(self._history),
            }
        return {**self.health(), **kept}

    def report_state(self) -> None:
        """Send the listeners what has changed in the state."""
        state = self.health()
        for name, value in (("faults", state.pop("faults")), ("health", state)):
            if self._reported.get(name) != value:
                self._reported[name] = value
                self._listeners.notify(name, value)

    def _run(self) -> None:
        while not self._ended.wait(1.0):
            figures = self._take_figures()
            self._listeners.notify("metrics", figures)
            self.report_state()

    def _take_figures(self) -> dict[str, Any]:
        with self._lock:
            seconds, self._seconds = sorted(self._seconds), []
            batches, self._batches = self._batches, []
            created, self._created = self._created, 0
            in_flight = self._in_flight()
            promised = self._queued if self._state()[3] else 0
            figures = {
                "t": int(time.time()),
                "requests": len(seconds),
                "p50": percentile(seconds, 50),
                "p99": percentile(seconds, 99),
                "batches": batches,
                "incidents": created,
                "inFlight": in_flight,
                "waiting": max(in_flight - self._calling, promised, 0),
            }
            self._figures.append(figures)
        return figures


def percentile(seconds: list[float], percent: int) -> float:
    """Return a percentile of sorted times, in milliseconds; 0 if there are none."""
    if not seconds:
        return 0.0
    place = max(0, -(-len(seconds) * percent // 100) - 1)
    return round(seconds[place] * 1000, 2)
