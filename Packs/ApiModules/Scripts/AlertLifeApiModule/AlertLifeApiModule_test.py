"""Unit tests of AlertLifeApiModule.py."""

import json
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import AlertLifeApiModule as life
import gevent
import OpenAlertsApiModule
import pytest
from OpenAlertsApiModule import (
    Alert,
    AlertNotes,
    MirrorChanges,
    OpenAlerts,
    pending_changes,
)

NOON, ONE = "2024-05-01T12:00:00Z", "2024-05-01T13:00:00Z"


class Result(NamedTuple):
    status: int
    created: dict[str, Any] | None = None
    reason: str = ""


DROPPED, REFUSED = Result(200), Result(502, reason="refused")
UNKNOWN, OUTAGE, STOPPING = (Result(code, reason=str(code)) for code in (504, 503, 599))


class Event:
    """An event as the integration has them."""

    def __init__(self, alert: Alert | None, **fields: Any) -> None:
        self.alert = alert
        self.fields = {"name": "High CPU", **fields}
        self.mark = f"mark of {id(self)}"
        self.is_duplicate = False
        self.outcome: Any = None
        self.delivery = SimpleNamespace(accepted_at=time.monotonic())

    @property
    def answer(self) -> Any:
        """What its sender is answered; None before."""
        return self.outcome and (self.outcome.created or self.outcome.status)


def start(identity: str = "a", at: str = NOON, **fields: Any) -> Event:
    return Event(Alert(identity, at, fixed_start=True), **fields)


def end(identity: str = "a", at: str = NOON, fixed: bool = True, **fields: Any) -> Event:
    return Event(Alert(identity, at, True, fixed, "https://example.com/a"), **fields)


class Desk:
    """An alert's surroundings, which a test controls."""

    def __init__(self, closes: bool = False) -> None:
        self.waiting: list[Event] = []  # for XSOAR
        self.entries: list[tuple[str, str]] = []
        self.failures: list[Exception] = []
        self.reported: list[str] = []
        self.counts: dict[str, int] = {}
        self.settled: list[Event] = []
        self.busy = False
        self.created = 0
        self.writes = 0
        self.context: dict[str, Any] = {}
        hooks = life.AlertHooks(
            create=self.waiting.extend,
            make_outcome=Result,
            leaves_alert_free=lambda outcome: outcome in (DROPPED, REFUSED),
            may_exist=lambda outcome: outcome == UNKNOWN,
            stopping=STOPPING,
            add_entry=self.add_entry,
            is_busy=lambda: self.busy,
            add_count=self.add_count,
            report=self.reported.append,
        )
        changes = MirrorChanges() if closes else None
        self.alerts = life.AlertLife(hooks, OpenAlerts(), AlertNotes(), changes)
        self.alerts.settled = self.settled.append
        self.alerts.urgent = self.count_write
        self._writing: gevent.Greenlet | None = None

    def add_entry(self, incident: str, text: str) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.entries.append((incident, text))

    def add_count(self, name: str, number: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + number

    def count_write(self) -> None:
        self.writes += 1

    def post(self, *events: Event) -> None:
        self.alerts.submit([*events])

    def settle(self, outcome: Result | None = None) -> None:
        """XSOAR decides about the oldest event that waits: an incident, or what is given."""
        event = self.waiting.pop(0)
        self.created += 1
        event.outcome = outcome or Result(200, {"id": str(self.created), "name": "n"})
        self.alerts.event_settled(event)

    def post_and_create(self, *events: Event) -> None:
        self.post(*events)
        while self.waiting:
            self.settle()

    def write(self) -> None:
        """The integration context is written."""
        self.alerts.write(self.context, True)
        self.alerts.written()

    def run(self) -> None:
        self._writing = gevent.spawn(self.alerts.write_notes)

    def close(self) -> None:
        if self._writing is not None:
            self._writing.kill()


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.close()


def await_that(condition: Callable[[], Any]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "it did not come true"
        gevent.sleep(0.005)


class TestStarts:
    def test_an_event_without_an_alert_is_handed_on(self, desk: Desk) -> None:
        event = Event(None)
        desk.post_and_create(event)
        assert desk.settled == [event]
        assert event.answer == {"id": "1", "name": "n"}
        assert desk.context == {}

    def test_the_same_again_makes_no_second_incident(self, desk: Desk) -> None:
        first, second = start(), start()
        desk.post_and_create(first)
        desk.post(second)
        assert desk.waiting == []
        assert second.answer == {"id": "1", "name": "n", "duplicate": True}
        assert second.is_duplicate
        assert not first.is_duplicate
        assert desk.counts == {"duplicates": 1}

    def test_two_at_once_make_one_incident(self, desk: Desk) -> None:
        first, second, other = start(), start(), start("b")
        desk.post(first, second)
        desk.post(other)
        assert desk.waiting == [first, other]
        desk.settle()
        assert second.answer == {"id": "1", "name": "n", "duplicate": True}

    def test_another_start_is_another_alert(self, desk: Desk) -> None:
        desk.post_and_create(start(), start(at=ONE))
        assert desk.created == 2

    @pytest.mark.parametrize("outcome", [DROPPED, REFUSED])
    def test_what_xsoar_does_not_create_leaves_its_alert_to_the_next(
        self, desk: Desk, outcome: Result
    ) -> None:
        """
        Given: three equal starts, of which a rule drops the first, or XSOAR refuses it
        When: XSOAR creates the second
        Then: it is the alert's incident, and the third repeats it
        """
        first, second, third = start(), start(), start()
        desk.post(first, second, third)
        desk.settle(outcome)
        assert desk.waiting == [second]
        desk.settle()
        assert (first.outcome, third.answer["id"]) == (outcome, "2")

    @pytest.mark.parametrize("outcome", [UNKNOWN, OUTAGE])
    def test_what_is_not_decided_is_not_remembered(self, desk: Desk, outcome: Result) -> None:
        """
        Given: two equal starts at once
        When: nobody knows what became of the first, or XSOAR takes nothing
        Then: the second has the same outcome, and what arrives later is a start again
        """
        first, second, later = start(), start(), start()
        desk.post(first, second)
        desk.settle(outcome)
        assert second.outcome == outcome
        desk.post(later)
        assert desk.waiting == [later]

    def test_a_higher_severity_is_noted_once(self, desk: Desk) -> None:
        desk.post_and_create(start(severity=2))
        worse, again, lower = start(severity=3), start(severity=3), start(severity=1)
        desk.post(worse)
        assert worse.outcome is None
        desk.write()
        desk.post(again, lower)
        assert [event.answer for event in (worse, again, lower)] == [
            {"id": "1", "name": "n", "duplicate": True}
        ] * 3
        note = desk.alerts.notes.next(0)
        assert note.text.startswith("The severity has risen to 3: High CPU")
        assert len(desk.alerts.notes) == 1


class TestEnds:
    def test_an_end_is_noted_in_the_alert_s_incident(self, desk: Desk) -> None:
        desk.run()
        desk.post_and_create(start())
        event = end(details="status: resolved")
        desk.post(event)
        await_that(lambda: event.outcome)
        assert event.answer == {"id": "1", "name": "n", "ended": True}
        [(incident, text)] = desk.entries
        assert incident == "1"
        assert text.startswith("The alert has ended: High CPU\nReported at ")
        assert text.endswith("status: resolved\nhttps://example.com/a")
        assert desk.counts == {"alerts ended": 1}

    def test_its_sender_is_answered_once_the_context_has_the_note(self, desk: Desk) -> None:
        """
        Given: an end whose note has not been added yet
        When: the integration context is written
        Then: the sender is answered, the context has the note, and another start adds it
        """
        desk.post_and_create(start())
        event = end()
        desk.post(event)
        assert event.outcome is None
        await_that(lambda: desk.writes)
        desk.write()
        assert event.answer == {"id": "1", "name": "n", "ended": True}
        next_start = Desk()
        assert next_start.alerts.load(desk.context) == []
        next_start.run()
        await_that(lambda: next_start.entries)
        next_start.close()
        repeated = end()
        next_start.post(repeated)
        assert repeated.answer == {"id": "1", "duplicate": True}

    def test_the_same_end_again_is_not_noted_again(self, desk: Desk) -> None:
        desk.post_and_create(start())
        first, second = end(), end()
        desk.post(first, second)
        assert second.answer == {"id": "1", "name": "n", "duplicate": True}
        desk.write()
        assert len(desk.alerts.notes) == 1

    def test_an_end_waits_for_its_start(self, desk: Desk) -> None:
        first, last = start(), end()
        desk.post(first, last)
        assert desk.waiting == [first]
        desk.settle()
        desk.write()
        assert last.answer == {"id": "1", "name": "n", "ended": True}

    def test_an_end_without_a_fixed_start_waits_for_any_start_of_its_identity(
        self, desk: Desk
    ) -> None:
        desk.post(start(), end(at=ONE, fixed=False))
        assert len(desk.waiting) == 1
        desk.post(end("b", fixed=False))
        assert len(desk.waiting) == 2

    def test_an_end_of_another_start_does_not_wait(self, desk: Desk) -> None:
        desk.post(start(), end(at=ONE))
        assert len(desk.waiting) == 2

    def test_an_end_nobody_knows_the_start_of_is_an_informational_incident(
        self, desk: Desk
    ) -> None:
        """
        Given: an end, twice at once, whose start was never sent
        When: XSOAR creates its incident
        Then: it says that it is an end, the second repeats it, and a start is no repetition of it
        """
        first, second = end(severity=4), end(severity=4)
        desk.post(first, second)
        assert desk.waiting == [first]
        assert (first.fields["name"], first.fields["severity"]) == ("Ended: High CPU", 0.5)
        desk.settle()
        assert second.answer == {"id": "1", "name": "n", "duplicate": True}
        desk.post_and_create(start())
        assert desk.created == 2

    @pytest.mark.parametrize("outcome", [DROPPED, REFUSED, UNKNOWN])
    def test_an_end_whose_start_does_not_exist_is_one_of_its_own(
        self, desk: Desk, outcome: Result
    ) -> None:
        last = end()
        desk.post(start(), last)
        desk.settle(outcome)
        assert desk.waiting == [last]
        assert last.fields["severity"] == 0.5

    def test_an_end_in_an_outage_is_sent_again_as_its_start_is(self, desk: Desk) -> None:
        first, last = start(), end()
        desk.post(first, last)
        desk.settle(OUTAGE)
        assert last.outcome == OUTAGE
        assert desk.waiting == []

    def test_the_name_of_a_lone_end_keeps_its_size_and_says_it_once(self) -> None:
        fields = {"name": "x" * 600}
        for _ in range(2):
            life.describe_lone_end(fields)
        assert fields["name"] == f"Ended: {'x' * 593}"

    def test_the_same_start_after_its_end_opens_the_alert_again(self, desk: Desk) -> None:
        desk.post_and_create(start())
        desk.post(end())
        again, repeated, last = start(), start(), end()
        desk.post(again, repeated, last)
        desk.write()
        assert [event.answer for event in (again, repeated, last)] == [
            {"id": "1", "name": "n", "duplicate": True},
            {"id": "1", "name": "n", "duplicate": True},
            {"id": "1", "name": "n", "ended": True},
        ]
        texts = [row[2].partition(":")[0] for row in rows_of(desk)]
        assert texts == ["The alert has ended", "The alert is active again", "The alert has ended"]
        assert desk.created == 1

    def test_where_notes_have_no_room_the_sender_is_asked_to_come_again(self, desk: Desk) -> None:
        desk.post_and_create(start())
        desk.alerts.notes.put("m", "1", "x" * 4 * 1024**2)
        first, again = end(), start(severity=4)
        desk.post(first, again)
        assert (first.outcome.status, again.outcome.status) == (503, 503)
        assert "too many War Room entries" in first.outcome.reason
        known = desk.alerts.known.find("a", NOON)
        assert known.is_open

    def test_writes_are_shared_and_rest_in_between(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: an end whose note has just been written
        When: further ends arrive, and the webhook stops
        Then: they do not ask for a write of their own at once, but at the stop they do
        """
        later: list[float] = []
        monkeypatch.setattr(life.gevent, "spawn_later", lambda seconds, _: later.append(seconds))
        desk.post_and_create(*(start(name) for name in "abc"))
        desk.alerts.hurry()
        assert desk.writes == 0
        desk.post(end("a"))
        desk.alerts._write_soon()
        assert desk.writes == 1
        desk.write()
        desk.post(end("b"), end("c"))
        assert [round(seconds, 1) for seconds in later] == [0.5, 5.0]
        desk.alerts.hurry()
        assert desk.writes == 2
        desk.write()
        desk.alerts._write_soon()
        assert desk.writes == 2  # nothing waits for it

    def test_what_is_not_safe_in_time_is_503_and_at_a_stop_too(self, desk: Desk) -> None:
        desk.post_and_create(start(), start("b"))
        first, second = end(), end("b")
        desk.post(first, second)
        desk.alerts.withdraw(time.monotonic())
        assert first.outcome is None
        second.delivery.accepted_at += 1000
        desk.alerts.withdraw(time.monotonic() + life.UNSAFE_SECONDS)
        assert (first.outcome.status, second.outcome) == (503, None)
        desk.alerts.close()
        assert second.outcome == STOPPING
        desk.write()
        assert len(rows_of(desk)) == 2


def rows_of(desk: Desk) -> list[Any]:
    """Return the notes that a context holds."""
    return json.loads(desk.context["alert_notes"])


class TestClosing:
    def test_an_end_closes_and_a_return_opens(self) -> None:
        desk = Desk(closes=True)
        first = start()
        desk.post_and_create(first)
        desk.post(end(details="status: resolved"))
        desk.write()
        [(mark, change)] = changes_of(desk).items()
        assert (mark, change.closes) == (first.mark, True)
        assert "status: resolved\nhttps://example.com/a" in change.text
        desk.post(start())
        desk.write()
        [change] = changes_of(desk).values()
        assert not change.closes

    def test_an_earlier_start_s_changes_are_kept(self) -> None:
        desk, other = Desk(closes=True), Desk(closes=True)
        desk.post_and_create(start())
        desk.post(end())
        desk.write()
        assert other.alerts.load(desk.context) == []
        other.write()
        assert changes_of(other) == changes_of(desk)


def changes_of(desk: Desk) -> dict[str, Any]:
    return pending_changes(desk.context)


class TestNotes:
    def test_incidents_go_first_for_a_second(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(life, "NOTE_PATIENCE_SECONDS", 5.0)
        desk.busy = True
        desk.run()
        desk.post_and_create(start())
        desk.post(end())
        gevent.sleep(0.1)
        assert desk.entries == []
        desk.busy = False
        await_that(lambda: desk.entries)
        desk.busy = True
        monkeypatch.setattr(life, "NOTE_PATIENCE_SECONDS", 0.05)
        desk.post(start())
        await_that(lambda: len(desk.entries) == 2)

    def test_at_most_20_a_second(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        pauses: list[float] = []
        sleep = gevent.sleep
        monkeypatch.setattr(
            life.gevent, "sleep", lambda seconds=0: (pauses.append(seconds), sleep(0))
        )
        names = [str(number) for number in range(30)]
        desk.post_and_create(*(start(name) for name in names))
        desk.post(*(end(name) for name in names))
        desk.run()
        until = time.monotonic() + 10
        while len(desk.entries) < 30 and time.monotonic() < until:
            sleep(0.005)
        assert sum(pauses) >= 29 / life.NOTES_A_SECOND

    def test_a_note_that_fails_three_times_is_in_the_log_once(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("NOTE_PAUSE_SECONDS", "NOTE_LONG_PAUSE_SECONDS"):
            monkeypatch.setattr(OpenAlertsApiModule, name, 0.01)
        desk.failures = [ValueError("no such incident")] * 4
        desk.run()
        desk.post_and_create(start())
        desk.post(end())
        await_that(lambda: desk.entries)
        assert len(desk.reported) == 1
        assert "incident 1 lacks it" in desk.reported[0]
        assert "no such incident" in desk.reported[0]

    def test_two_notes_of_one_end_settle_it_together(self, desk: Desk) -> None:
        desk.post_and_create(start(), start(at=ONE))
        last = end(at="2024-05-01T14:00:00Z", fixed=False)
        desk.post(last)
        desk.failures = []
        desk.run()
        await_that(lambda: desk.entries)
        assert last.outcome is None or len(desk.entries) == 2
        await_that(lambda: last.outcome)
        assert {incident for incident, _ in desk.entries} == {"1", "2"}
        assert last.answer["id"] == "2"


def test_notes_are_not_written_before_those_that_were_there_are_known(desk: Desk) -> None:
    desk.context = {"alert_notes": '[["m","9","left",1.5]]'}
    desk.post_and_create(start())
    desk.post(end())
    desk.alerts.write(desk.context, False)
    assert [row[1] for row in rows_of(desk)] == ["9"]
