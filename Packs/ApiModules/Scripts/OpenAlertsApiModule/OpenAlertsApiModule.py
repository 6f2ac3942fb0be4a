"""Alerts from their start to their end: which are open, and what their incidents are to be told.

What it is for: bookkeeping that survives a restart. An alert is an identity and the time at which
it began; the same identity with another start is another alert, so that an end that was lost
swallows no later alert. It knows nothing of payloads and senders, of how the integration context is
fetched and written, or of Cortex XSOAR's calls.

| section | what it does |
| --- | --- |
| Open alerts | what is known of each alert, what an end ends, what other containers know |
| Notes | War Room entries that wait, in their order |
| Mirroring | incidents to close and to open again, until a command hands them over |
"""

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

DAY_SECONDS = 24 * 3600
Encode = Callable[[Any], str]  # as compact JSON, without what the platform cannot read

# -------------------------------------------------------------------------------------------------
# Open alerts
# -------------------------------------------------------------------------------------------------

OPEN_KEY = "open_alerts"  # a list with a list for each alert, KnownAlert's fields in their order
MAX_OPEN_ALERTS = 5000
MAX_ENDED_ALERTS = 2000  # which may begin again, or end again, within DAY_SECONDS
MAX_OF_IDENTITY = 20  # open at once; a sender whose times change opens one with each event

ANSWERED = ("id", "name", "type", "occurred")  # of an incident, to who repeats or ends its alert
OPEN, ENDED, UNKNOWN_START = 1, 0, 2  # the last: an end that nobody knew the start of


class Alert(NamedTuple):
    """What an event says of an alert."""

    identity: str
    start: str  # RFC 3339; of an end without a fixed start, the time of the end
    ended: bool = False
    fixed_start: bool = False  # the start is in the event that ends it, too
    link: str = ""  # at which the sender shows it


class KnownAlert:
    """What is known of an alert whose incident exists."""

    __slots__ = (
        "_text",
        "changed",
        "end",
        "identity",
        "incident",
        "mark",
        "metadata",
        "severity",
        "start",
        "state",
    )

    def __init__(
        self,
        identity: str,
        start: str,
        mark: str,
        incident: str,
        severity: int | float,
        changed: float,
        state: int = OPEN,
        end: str = "",
    ) -> None:
        self.identity = identity
        self.start = start
        self.mark = mark  # the delivery's, which its incident bears
        self.incident = incident  # its ID
        self.severity = severity  # the highest that was reported
        self.changed = changed  # epoch seconds
        self.state = state
        self.end = end  # the time in the event that ended it
        self.metadata: dict[str, Any] = {"id": incident}  # what senders are answered
        self._text = ""

    @property
    def key(self) -> tuple[str, str]:
        """The identity and the start."""
        return self.identity, self.start

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.state == OPEN

    @property
    def is_lone_end(self) -> bool:
        """Whether its incident is that of an end, whose start nobody knew."""
        return self.state == UNKNOWN_START

    def text(self, encode: Encode) -> str:
        """Return the alert as JSON, encoded once for each change: all are written with each."""
        if not self._text:
            values = [
                *(self.identity, self.start, self.mark, self.incident, self.severity),
                *(round(self.changed, 3), self.state, self.end),
            ]
            self._text = encode(values)
        return self._text

    def finish(self, now: float, end: str) -> None:
        """The alert has ended, by an event with that time; ``now`` is in epoch seconds."""
        self._change(now, ENDED, end)

    def begin_again(self, now: float, severity: int | float) -> None:
        """The alert is active, with a severity that may be higher."""
        self.severity = max(self.severity, severity)
        self._change(now, OPEN, "")

    def _change(self, now: float, state: int, end: str) -> None:
        self.state, self.end = state, end
        # Of two containers' views the later one counts, whatever their clocks say.
        self.changed = max(now, self.changed + 0.001)
        self._text = ""


class OpenAlerts:
    """What is known of each alert: of the open ones the newest, of the ended ones for a day."""

    def __init__(self, encode: Encode = json.dumps) -> None:
        self._encode = encode
        # each by identity and start, the one that changed last at the end
        self._open: OrderedDict[tuple[str, str], KnownAlert] = OrderedDict()
        self._ended: OrderedDict[tuple[str, str], KnownAlert] = OrderedDict()
        self._starts: dict[str, list[str]] = {}  # of each identity, of open and ended ones
        self._merged = ""  # the text that was merged or written last
        self._written: str | None = None  # None once something has changed

    def __len__(self) -> int:
        return len(self._open)

    def find(self, identity: str, start: str) -> KnownAlert | None:
        """Return what is known of an alert."""
        return self._open.get((identity, start)) or self._ended.get((identity, start))

    def ended_by(self, alert: Alert) -> list[KnownAlert]:
        """Return the open alerts that an end ends, the newest last.

        With a fixed start that is the alert of that start. Without one the event's time is that of
        the end: it ends all alerts of its identity that began before, and none that began after it,
        for the end may be late.
        """
        exact = self._open.get((alert.identity, alert.start))
        if alert.fixed_start or exact is not None:
            return [exact] if exact is not None else []
        until = epoch_of(alert.start)
        found = [self._open.get((alert.identity, start)) for start in self._starts_of(alert)]
        ended = [one for one in found if one is not None and epoch_of(one.start) <= until]
        return sorted(ended, key=lambda one: epoch_of(one.start))

    def repeated_end(self, alert: Alert) -> KnownAlert | None:
        """Return the alert that an earlier event with the same end has ended, None without one."""
        for start in self._starts_of(alert):
            known = self._ended.get((alert.identity, start))
            if known is not None and (known.end or known.start) == alert.start:
                return known
        return None

    def _starts_of(self, alert: Alert) -> list[str]:
        return self._starts.get(alert.identity, [])

    def add(self, alert: Alert, mark: str, created: dict[str, Any], severity: int | float) -> None:
        """Note that an event's incident exists, by what XSOAR has created.

        A lone end does not replace the start that was created at the same time.
        """
        if alert.ended and (alert.identity, alert.start) in self._open:
            return
        known = KnownAlert(
            *(alert.identity, alert.start, mark, str(created["id"]), severity, time.time()),
            UNKNOWN_START if alert.ended else OPEN,
        )
        known.metadata = {name: created[name] for name in ANSWERED if name in created}
        self.put(known)

    def put(self, known: KnownAlert) -> None:
        """Note an alert, new or changed; of too many the oldest are forgotten."""
        self._remove(known.key)
        (self._open if known.state == OPEN else self._ended)[known.key] = known
        starts = self._starts.setdefault(known.identity, [])
        starts.append(known.start)
        self._written = None
        if len(starts) > MAX_OF_IDENTITY:
            self._remove((known.identity, starts[0]))
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        for kept, most in ((self._open, MAX_OPEN_ALERTS), (self._ended, MAX_ENDED_ALERTS)):
            while len(kept) > most:
                self._remove(next(iter(kept)))

    def _remove(self, key: tuple[str, str]) -> None:
        if self._open.pop(key, None) is None and self._ended.pop(key, None) is None:
            return
        starts = self._starts[key[0]]
        starts.remove(key[1])
        if not starts:
            del self._starts[key[0]]
        self._written = None

    def forget(self) -> None:
        """Forget all alerts."""
        self._open.clear()
        self._ended.clear()
        self._starts.clear()
        self._merged, self._written = "", None

    def merge(self, context: dict[str, Any], damages: list[str]) -> None:
        """Take over what the integration context holds and is not known here, or is newer.

        What is wrong with it is appended to ``damages``.
        """
        text = context.get(OPEN_KEY)
        if not text or text == self._merged:
            return
        found = [known for row in read_rows(OPEN_KEY, text, damages) if (known := as_known(row))]
        for known in reversed(found):  # they are older than what is known here: put before it
            ours = self.find(*known.key)
            if ours is not None and ours.changed >= round(known.changed, 3) - 0.0005:
                continue
            self._remove(known.key)
            kept = self._open if known.state == OPEN else self._ended
            kept[known.key] = known
            if ours is None:
                kept.move_to_end(known.key, last=False)
            self._starts.setdefault(known.identity, []).insert(0, known.start)
            self._written = None
        self._forget_oldest()
        self._merged = text if isinstance(text, str) else ""

    def write(self, context: dict[str, Any], now: float) -> None:
        """Put all alerts into the context, without those that ended more than a day ago."""
        while self._ended and now - next(iter(self._ended.values())).changed > DAY_SECONDS:
            self._remove(next(iter(self._ended)))
        if self._written is None:
            alerts = (*self._ended.values(), *self._open.values())
            self._written = f"[{','.join([known.text(self._encode) for known in alerts])}]"
        self._merged = context[OPEN_KEY] = self._written
        if not self._starts:
            del context[OPEN_KEY]


def as_known(row: Any) -> KnownAlert | None:
    """Return the alert in a list of the integration context, None where it is not one."""
    kinds: tuple[Any, ...] = (str, str, str, str, (int, float), (int, float), int, str)
    if not isinstance(row, list) or len(row) != len(kinds):
        return None
    if not all(isinstance(value, kind) for value, kind in zip(row, kinds)):
        return None
    return KnownAlert(*row)


def epoch_of(text: str) -> float:
    """Return the epoch seconds of an RFC 3339 text, 0 for any other."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def read_rows(key: str, text: Any, damages: list[str]) -> list[Any]:
    """Return the list in a context's text; what is wrong with it is appended to ``damages``."""
    try:
        rows = json.loads(text) if isinstance(text, str) and text else text or []
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list):
        damages.append(f"{key} is not a list")
        return []
    return rows


# -------------------------------------------------------------------------------------------------
# Notes: War Room entries that wait
# -------------------------------------------------------------------------------------------------

NOTES_KEY = "alert_notes"  # a list with a list for each: mark, incident's ID, text, epoch seconds
MAX_NOTES_BYTES = 3 * 1024 * 1024
MAX_WORDS_CHARACTERS = 1000  # of the sender's own words in a note
MAX_NOTE_FAILURES = 3  # of one entry, before the log says so
MAX_NOTE_ATTEMPTS = 10  # of one entry, while XSOAR takes others
NOTE_PAUSE_SECONDS = 1.0  # after a failure; where nothing is taken, later NOTE_LONG_PAUSE_SECONDS
NOTE_LONG_PAUSE_SECONDS = 60.0


class AlertNote:
    """An entry for an incident's War Room."""

    __slots__ = ("added", "failed_at", "failures", "incident", "made", "mark", "text")

    def __init__(self, mark: str, incident: str, text: str, made: float) -> None:
        self.mark = mark  # of the event that it tells of
        self.incident = incident
        self.text = text
        self.made = made  # epoch seconds
        self.failures = 0
        self.failed_at = 0.0  # monotonic seconds, of the first failure
        self.added = False


class AlertNotes:
    """Notes that wait for XSOAR, the oldest first."""

    def __init__(self, encode: Encode = json.dumps) -> None:
        self._encode = encode
        self._waiting: OrderedDict[tuple[str, str, str], AlertNote] = OrderedDict()
        self._bytes = 0
        self._not_before = 0.0  # monotonic seconds
        self._accepted_at = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def has_room(self) -> bool:
        """Return whether there is room for one more."""
        return self._bytes < MAX_NOTES_BYTES

    def put(self, mark: str, incident: str, text: str) -> AlertNote:
        """Let a note wait, and return it; an equal one that waits already does not do so twice."""
        return self._wait(AlertNote(mark, incident, text, time.time()))

    def _wait(self, note: AlertNote) -> AlertNote:
        key = (note.mark, note.incident, note.text)
        if key not in self._waiting:
            self._waiting[key] = note
            self._bytes += len(note.text)
        return self._waiting[key]

    def next(self, now: float) -> AlertNote | None:
        """Return the note whose turn it is, None where none waits or a pause is on."""
        if now < self._not_before:
            return None
        return next(iter(self._waiting.values()), None)

    def seconds_left(self, now: float) -> float:
        """Return how long the pause after a failure still lasts."""
        return max(0.0, self._not_before - now)

    def was_added(self, note: AlertNote, now: float) -> None:
        """XSOAR has taken a note."""
        self._accepted_at = now
        note.added = True
        self._remove(note)

    def was_refused(self, note: AlertNote, now: float) -> bool:
        """Return whether this is the failure of a note that the log has to tell.

        Where XSOAR took another one since the first failure, the note itself is what it does not
        take, and is given up. Else nothing is taken at the moment, and all notes wait.
        """
        note.failures += 1
        note.failed_at = note.failed_at or now
        others_are_taken = self._accepted_at >= note.failed_at
        is_outage = not others_are_taken and note.failures >= MAX_NOTE_FAILURES
        self._not_before = now + (NOTE_LONG_PAUSE_SECONDS if is_outage else NOTE_PAUSE_SECONDS)
        if others_are_taken and note.failures >= MAX_NOTE_ATTEMPTS:
            self._remove(note)
        else:
            self._waiting.move_to_end((note.mark, note.incident, note.text))
        return note.failures == MAX_NOTE_FAILURES

    def _remove(self, note: AlertNote) -> None:
        if self._waiting.pop((note.mark, note.incident, note.text), None) is not None:
            self._bytes -= len(note.text)

    def load(self, context: dict[str, Any], damages: list[str]) -> None:
        """Put what an earlier start has left in the context before what waits."""
        waiting, self._waiting, self._bytes = self._waiting, OrderedDict(), 0
        for row in read_rows(NOTES_KEY, context.get(NOTES_KEY), damages):
            kinds: tuple[Any, ...] = (str, str, str, (int, float))
            is_note = isinstance(row, list) and len(row) == len(kinds)
            if is_note and all(isinstance(value, kind) for value, kind in zip(row, kinds)):
                self._wait(AlertNote(*row))
        for note in waiting.values():
            self._wait(note)

    def write(self, context: dict[str, Any]) -> None:
        """Put all notes into the context."""
        context.pop(NOTES_KEY, None)
        if self._waiting:
            notes = self._waiting.values()
            rows = [[one.mark, one.incident, one.text, round(one.made, 3)] for one in notes]
            context[NOTES_KEY] = self._encode(rows)

    @staticmethod
    def text(headline: str, words: str, link: str) -> str:
        """Return what a person reads: what has happened, when, the sender's words, the link."""
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        if len(words) > MAX_WORDS_CHARACTERS:
            words = f"{words[:MAX_WORDS_CHARACTERS]} ..."
        lines = (headline, f"Reported at {when}.", words, link if link not in words else "")
        return "\n".join(filter(None, lines))


# -------------------------------------------------------------------------------------------------
# Mirroring: incidents to close and to open again
#
# The running container notes a change, and the platform's commands, which run in containers of
# their own, hand it over and note that. Each side writes a value of its own, so that neither undoes
# what the other has written; a change is pending while it is later than what was handed over.
# -------------------------------------------------------------------------------------------------

CHANGES_KEY = "alert_changes"  # {delivery mark: [epoch seconds, close or reopen, the text]}
HANDED_KEY = "alert_changes_handed_over"  # {delivery mark: epoch seconds of the change}
MAX_CHANGES = 2000
MAX_HANDED_AT_ONCE = 100  # incidents in a round: a container runs for each


class MirrorChange(NamedTuple):
    """What an incident is to become."""

    at: float  # epoch seconds
    closes: bool  # else it is opened again
    text: str


class MirrorChanges:
    """The newest change of each incident, for a day."""

    def __init__(self, encode: Encode = json.dumps) -> None:
        self._encode = encode
        self._changes: OrderedDict[str, MirrorChange] = OrderedDict()

    def __len__(self) -> int:
        return len(self._changes)

    def put(self, mark: str, closes: bool, text: str, now: float) -> None:
        """Note a change of the incident with a mark; of too many the oldest are forgotten."""
        before = self._changes.pop(mark, None)
        at = round(max(now, before.at + 0.001 if before else 0), 3)
        self._changes[mark] = MirrorChange(at, closes, text)
        while len(self._changes) > MAX_CHANGES:
            self._changes.popitem(last=False)

    def merge(self, context: dict[str, Any], damages: list[str]) -> None:
        """Take over the changes of another container that are newer than ours."""
        for mark, change in read_changes(context.get(CHANGES_KEY), damages).items():
            ours = self._changes.get(mark)
            if ours is None or ours.at < change.at:
                self._changes[mark] = change

    def write(self, context: dict[str, Any], now: float) -> None:
        """Put the changes of the last day into a context, and forget older ones in it."""
        handed = read_handed(context.get(HANDED_KEY), [])
        fresh = {mark: at for mark, at in handed.items() if now - at < DAY_SECONDS}
        for mark in [mark for mark, one in self._changes.items() if now - one.at > DAY_SECONDS]:
            del self._changes[mark]
        for mark, at in fresh.items():  # the text of what was handed over is not needed again
            change = self._changes.get(mark)
            if change is not None and change.at <= at and change.text:
                self._changes[mark] = change._replace(text="")
        texts = {
            CHANGES_KEY: {mark: [*change] for mark, change in self._changes.items()},
            HANDED_KEY: fresh,
        }
        for key, values in texts.items():
            context.pop(key, None)
            if values:
                context[key] = self._encode(values)


def read_changes(text: Any, damages: list[str]) -> dict[str, MirrorChange]:
    """Return the changes in a context's text, by mark."""
    found = read_object(CHANGES_KEY, text, damages)
    return {
        mark: MirrorChange(float(row[0]), row[1], row[2])
        for mark, row in found.items()
        if isinstance(row, list)
        and len(row) == 3
        and isinstance(row[0], (int, float))
        and isinstance(row[1], bool)
        and isinstance(row[2], str)
    }


def read_handed(text: Any, damages: list[str]) -> dict[str, float]:
    """Return what was handed over, by mark: the time of the change."""
    found = read_object(HANDED_KEY, text, damages)
    return {mark: float(at) for mark, at in found.items() if isinstance(at, (int, float))}


def read_object(key: str, text: Any, damages: list[str]) -> dict[str, Any]:
    """Return the object in a context's text; what is wrong with it is appended to ``damages``."""
    try:
        found = json.loads(text) if isinstance(text, str) and text else text or {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        damages.append(f"{key} is not an object")
        return {}
    return found


def pending_changes(context: dict[str, Any]) -> dict[str, MirrorChange]:
    """Return what no command has handed over yet, the oldest first."""
    handed = read_handed(context.get(HANDED_KEY), [])
    changes = read_changes(context.get(CHANGES_KEY), [])
    pending = {mark: one for mark, one in changes.items() if one.at > handed.get(mark, 0)}
    oldest = sorted(pending.items(), key=lambda item: item[1].at)
    return dict(oldest[:MAX_HANDED_AT_ONCE])


def hand_over(context: dict[str, Any], mark: str) -> MirrorChange | None:
    """Return an incident's pending change and note in the context that it was handed over."""
    handed = read_handed(context.get(HANDED_KEY), [])
    change = read_changes(context.get(CHANGES_KEY), []).get(mark)
    if change is None or change.at <= handed.get(mark, 0):
        return None
    handed[mark] = change.at
    context[HANDED_KEY] = json.dumps(handed)
    return change
