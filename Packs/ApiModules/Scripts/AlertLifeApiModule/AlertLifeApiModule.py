"""One incident for each alert, from its start to its end.

1. The first event of an alert that is not an end is its start, and becomes an incident. While that
   is being created, all that is posted of the alert waits, in its order.
2. The same again while the alert is open makes no second incident; its sender gets the first one's
   metadata. A higher severity is noted in the incident.
3. An end makes no incident either: it is noted in the alert's, which is closed where the instance
   says so. Its sender is answered once the note has been added, or is in the integration context.
4. An end that nobody knows the start of becomes an incident of its own, an informational one.
5. The same start after the end opens the alert again, in its incident.

What was not created is not remembered: the next event of the alert is its start.

It knows nothing of how events are made, of how incidents are created and the integration context
is written, or of an instance's parameters; the bookkeeping is handed in.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import gevent
from gevent.event import Event as WorkSignal

NOTES_A_SECOND = 20
NOTE_PATIENCE_SECONDS = 1.0  # for which a note lets incidents go first
GATHER_NOTES_SECONDS = 0.5  # from an end to the integration context, for others to share the write
# From one such write to the next: with 5,000 open alerts each keeps incidents waiting for 50 ms.
NOTES_REST_SECONDS = 5.0
NOTES_BETWEEN_WRITES = 200  # that were added: after a kill they would be added again
UNSAFE_SECONDS = 50.0  # that an end waits for its note to be safe
CLOSING_WORDS_CHARACTERS = 300  # of the sender's words: they wait in the context
INFORMATIONAL = 0.5
ENDED_PREFIX = "Ended: "
KEPT_NAME_CHARACTERS = 300  # of a lone end; a longer name has been cut to what XSOAR takes
NO_ROOM_REASON = "too many War Room entries wait for XSOAR"
NEVER_SAFE_REASON = "XSOAR did not take the War Room entry in time"


class FollowedEvent(Protocol):
    """An event that may report an alert."""

    alert: Any  # its Alert, None without one
    fields: dict[str, Any]  # as createIncidents takes them
    is_duplicate: bool
    outcome: Any
    delivery: Any  # it has accepted_at, monotonic seconds

    @property
    def mark(self) -> str: ...


class AlertHooks(NamedTuple):
    """What an alert's life needs of its surroundings."""

    create: Callable[[list[Any]], None]  # events of a request; event_settled is called for each
    make_outcome: Callable[..., Any]  # of an HTTP status, an incident's metadata, and a reason
    leaves_alert_free: Callable[[Any], bool]  # the outcome of an event without an incident
    may_exist: Callable[[Any], bool]  # the outcome of an event of which nobody knows
    stopping: Any  # the outcome of what is open at a stop
    add_entry: Callable[[str, str], Any]  # to an incident's War Room; raises for a failure
    is_busy: Callable[[], bool]  # whether incidents wait
    add_count: Callable[..., None]  # to a counter
    report: Callable[[str], None]  # in the log


class AlertLife:
    """Hands on the starts of alerts; what repeats or ends one is settled by its incident."""

    def __init__(self, hooks: AlertHooks, known: Any, notes: Any, changes: Any = None) -> None:
        self._hooks = hooks
        # what is known; changes are None where incidents are not closed
        self.known = known
        self.notes = notes
        self.changes = changes
        # by identity, start and whether it is an end: what waits for the event that is in progress
        self._claims: dict[tuple[str, str, bool], deque[Any]] = {}
        self._starting: dict[str, list[str]] = {}  # the starts in progress of each identity
        # events that are settled once their notes are safe
        self._unsafe: dict[Any, tuple[Any, list[Any]]] = {}
        self._being_written: list[Any] = []
        self._work = WorkSignal()
        self._is_urgent = False
        self._wrote_at = 0.0  # monotonic seconds
        self._added = 0  # notes since the last write
        # called with each event that is settled
        self.settled: Callable[[Any], None] = lambda event: None
        self.changed: Callable[[], None] = lambda: None  # called when something new is known
        self.urgent: Callable[[], None] = lambda: None  # called when it is to be written at once

    def submit(self, events: list[Any]) -> None:
        """Create what is new of a request's events; each is settled once, perhaps at once."""
        if len(events) == 1 and events[0].alert is None:
            self._hooks.create(events)
            return
        fresh = [one for one in events if one.alert is None or self._place(one, one.alert)]
        if fresh:
            self._hooks.create(fresh)

    # ---- what an event is: a start, a repetition, an end

    def _place(self, event: FollowedEvent, alert: Any) -> bool:
        """Return whether an event is to become an incident; any other one is taken care of."""
        claim = self._claim_before(alert)
        if claim is not None:
            claim.append(event)
            return False
        if alert.ended:
            ended = self.known.ended_by(alert)
            repeated = self.known.repeated_end(alert) if not ended else None
            if ended:
                self._end(event, alert, ended)
            elif repeated is not None:
                self._settle_duplicate(event, repeated)
            else:
                describe_lone_end(event.fields)
                self._claims[alert.identity, alert.start, True] = deque()
                return True
            return False
        known = self.known.find(alert.identity, alert.start)
        if known is not None and not known.is_lone_end:
            self._repeat(event, alert, known)
            return False
        self._starting.setdefault(alert.identity, []).append(alert.start)
        self._claims[alert.identity, alert.start, False] = deque()
        return True

    def _claim_before(self, alert: Any) -> deque[Any] | None:
        """Return what an event has to wait in, None where nothing of its alert is in progress.

        An end waits for the starts that it may end, whatever becomes of them.
        """
        starting = self._starting.get(alert.identity) if alert.ended else None
        if starting and (alert.start in starting or not alert.fixed_start):
            start = alert.start if alert.start in starting else starting[-1]
            return self._claims[alert.identity, start, False]
        return self._claims.get((alert.identity, alert.start, alert.ended))

    def _repeat(self, event: FollowedEvent, alert: Any, known: Any) -> None:
        severity = event.fields.get("severity", 0)
        is_again = not known.is_open
        if not is_again and severity <= known.severity:
            self._settle_duplicate(event, known)
            return
        if not self.notes.has_room():
            self._settle(event, self._hooks.make_outcome(503, None, NO_ROOM_REASON))
            return
        name, now = event.fields["name"], time.time()
        headline = f"The severity has risen to {severity}: {name}"
        if is_again:
            headline = f"The alert is active again: {name}"
            if self.changes is not None:
                self.changes.put(known.mark, False, headline, now)
        known.begin_again(now, severity)
        self.known.put(known)
        self._hooks.add_count("duplicates")
        self._note(event, alert, headline, [known], {"duplicate": True})

    def _end(self, event: FollowedEvent, alert: Any, ended: list[Any]) -> None:
        if not self.notes.has_room():
            self._settle(event, self._hooks.make_outcome(503, None, NO_ROOM_REASON))
            return
        now = time.time()
        headline = f"The alert has ended: {event.fields['name']}"
        words = event.fields.get("details", "")[:CLOSING_WORDS_CHARACTERS]
        for known in ended:
            known.finish(now, alert.start)
            self.known.put(known)
            if self.changes is not None:
                closing = self.notes.text(headline, words, alert.link)
                self.changes.put(known.mark, True, closing, now)
        self._hooks.add_count("alerts ended", len(ended))
        self._note(event, alert, headline, ended, {"ended": True})

    def _note(
        self,
        event: FollowedEvent,
        alert: Any,
        headline: str,
        alerts: list[Any],
        added: dict[str, bool],
    ) -> None:
        """Note something in the incidents of alerts; its event is settled once that is safe."""
        text = self.notes.text(headline, event.fields.get("details", ""), alert.link)
        notes = [self.notes.put(event.mark, known.incident, text) for known in alerts]
        event.is_duplicate = True  # it makes no incident
        outcome = self._hooks.make_outcome(200, {**alerts[-1].metadata, **added})
        self._unsafe[event] = outcome, notes
        self._work.set()
        if not self._is_urgent:
            self._is_urgent = True
            rest = self._wrote_at + NOTES_REST_SECONDS - time.monotonic()
            gevent.spawn_later(max(GATHER_NOTES_SECONDS, rest), self._write_soon)

    def _write_soon(self) -> None:
        self._is_urgent = False
        if self._unsafe:  # else all notes have been added
            self._wrote_at = time.monotonic()
            self.urgent()

    def hurry(self) -> None:
        """Write at once what waits for the next write: the webhook stops."""
        if self._unsafe:
            self.urgent()

    # ---- what becomes of it

    def event_settled(self, event: FollowedEvent) -> None:
        """Note what became of an event, and let go what has waited for it."""
        alert, outcome = event.alert, event.outcome
        if alert is None:
            self.settled(event)
            return
        waiting = self._release(alert)
        if outcome.created is not None:
            severity = event.fields.get("severity", 0)
            self.known.add(alert, event.mark, outcome.created, severity)
            self.changed()
        self.settled(event)
        for other in waiting:
            is_free = outcome.created is not None or self._hooks.leaves_alert_free(outcome)
            if is_free or (other.alert.ended and self._hooks.may_exist(outcome)):
                self.submit([other])
            else:  # what is true of the first one is true of all that wait for it
                self._settle(other, outcome)

    def _release(self, alert: Any) -> deque[Any]:
        """Return what has waited for an event that is settled."""
        if not alert.ended:
            starting = self._starting[alert.identity]
            starting.remove(alert.start)
            if not starting:
                del self._starting[alert.identity]
        return self._claims.pop((alert.identity, alert.start, alert.ended))

    def _settle(self, event: FollowedEvent, outcome: Any) -> None:
        event.outcome = outcome
        self.settled(event)

    def _settle_duplicate(self, event: FollowedEvent, known: Any) -> None:
        self._hooks.add_count("duplicates")
        event.is_duplicate = True
        self._settle(event, self._hooks.make_outcome(200, {**known.metadata, "duplicate": True}))

    # ---- notes

    def write_notes(self) -> None:
        """Add the notes that wait to their incidents, for ever."""
        while True:
            now = time.monotonic()
            note = self.notes.next(now)
            if note is None:
                self._work.clear()
                self._work.wait(self.notes.seconds_left(now) or None)
                continue
            self._let_incidents_go_first()
            try:
                self._hooks.add_entry(note.incident, note.text)
            except Exception as error:
                if self.notes.was_refused(note, time.monotonic()):
                    self._hooks.report(
                        f"A note about an alert failed {note.failures} times; "
                        f"incident {note.incident} lacks it for now, and it is tried again: {error}"
                    )
            else:
                self.notes.was_added(note, time.monotonic())
                self._settle_added()
                self._added += 1
                if not len(self.notes) or self._added >= NOTES_BETWEEN_WRITES:
                    self._added = 0
                    self.changed()
            gevent.sleep(1 / NOTES_A_SECOND)

    def _let_incidents_go_first(self) -> None:
        until = time.monotonic() + NOTE_PATIENCE_SECONDS
        while self._hooks.is_busy() and time.monotonic() < until:
            gevent.sleep(0.01)

    def _settle_added(self) -> None:
        if self.changes is not None:
            return  # what mirroring hands over has to be in the context, too
        for event, (_, notes) in list(self._unsafe.items()):
            if all(note.added for note in notes):
                self._settle_note(event)

    def _settle_note(self, event: FollowedEvent) -> None:
        found = self._unsafe.pop(event, None)
        if found is not None:
            self._settle(event, found[0])

    def withdraw(self, now: float) -> None:
        """Settle 503 what is not safe within UNSAFE_SECONDS; ``now`` is monotonic."""
        outcome = self._hooks.make_outcome(503, None, NEVER_SAFE_REASON)
        for event in list(self._unsafe):
            if now - event.delivery.accepted_at >= UNSAFE_SECONDS:
                del self._unsafe[event]
                self._settle(event, outcome)

    def close(self) -> None:
        """Settle as stopping what is not safe; the last write of the context has its notes."""
        for event in list(self._unsafe):
            del self._unsafe[event]
            self._settle(event, self._hooks.stopping)

    # ---- the integration context

    def load(self, context: dict[str, Any]) -> list[str]:
        """Take over what an earlier start has left; return what is damaged in it."""
        damages: list[str] = []
        self.known.merge(context, damages)
        self.notes.load(context, damages)
        if self.changes is not None:
            self.changes.merge(context, damages)
        self._work.set()
        return damages

    def write(self, context: dict[str, Any], has_read: bool) -> None:
        """Put what is known into the context; notes only once those that were there are known."""
        now = time.time()
        self.known.merge(context, [])
        self.known.write(context, now)
        if self.changes is not None:
            self.changes.merge(context, [])
            self.changes.write(context, now)
        if has_read:
            self.notes.write(context)
            self._being_written = list(self._unsafe)

    def written(self) -> None:
        """The context holds what was put into it."""
        events, self._being_written = self._being_written, []
        for event in events:
            self._settle_note(event)


def describe_lone_end(fields: dict[str, Any]) -> None:
    """Let an incident say that it is the end of an alert whose start nobody knows."""
    name = fields["name"]
    if not name.startswith(ENDED_PREFIX):  # a later attempt has it already
        fields["name"] = f"{ENDED_PREFIX}{name}"[: max(len(name), KEPT_NAME_CHARACTERS)]
    fields["severity"] = INFORMATIONAL
