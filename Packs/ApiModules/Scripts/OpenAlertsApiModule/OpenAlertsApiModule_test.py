"""Unit tests of OpenAlertsApiModule.py."""

import json
import time
from collections.abc import Callable
from typing import Any

import OpenAlertsApiModule as alerts
import pytest

NOON, ONE, TWO = (f"2024-05-01T{hour}:00:00Z" for hour in (12, 13, 14))
CREATED = {"id": "7", "name": "n", "type": "t", "occurred": NOON, "rawJSON": "{}"}


def opened(*keys: tuple[str, str], known: Any = None) -> alerts.OpenAlerts:
    """Return open alerts, each with an incident whose ID is its place."""
    known = known or alerts.OpenAlerts()
    for place, (identity, start) in enumerate(keys):
        known.add(alerts.Alert(identity, start), f"{place}", {"id": str(place)}, 2)
    return known


def context_of(known: alerts.OpenAlerts, now: float | None = None) -> dict[str, Any]:
    context: dict[str, Any] = {}
    known.write(context, time.time() if now is None else now)
    return context


def read_again(context: dict[str, Any]) -> alerts.OpenAlerts:
    """Return what another container finds in a context."""
    known, damages = alerts.OpenAlerts(), []
    known.merge(context, damages)
    assert damages == []
    return known


class TestOpenAlerts:
    def test_an_alert_is_an_identity_and_a_start(self) -> None:
        known = opened(("a", NOON))
        assert known.find("a", NOON) is not None
        assert known.find("a", ONE) is None
        assert known.find("b", NOON) is None
        assert len(known) == 1

    def test_what_senders_are_answered_is_the_incident_s_metadata(self) -> None:
        known = alerts.OpenAlerts()
        known.add(alerts.Alert("a", NOON), "mark", CREATED, 2)
        found = known.find("a", NOON)
        assert found is not None
        assert found.metadata == {"id": "7", "name": "n", "type": "t", "occurred": NOON}

    def test_an_end_with_a_fixed_start_ends_the_alert_of_that_start_alone(self) -> None:
        """
        Given: three alerts of one identity
        When: ends with a fixed start arrive
        Then: each ends its own alert, and one of another start ends none
        """
        known = opened(("a", NOON), ("a", ONE), ("b", NOON))
        for start in (NOON, ONE):
            end = alerts.Alert("a", start, ended=True, fixed_start=True)
            assert [one.key for one in known.ended_by(end)] == [("a", start)]
        assert known.ended_by(alerts.Alert("a", TWO, ended=True, fixed_start=True)) == []

    @pytest.mark.parametrize(
        "end, ended",
        [(TWO, [NOON, ONE]), (ONE, [ONE]), ("2024-05-01T12:30:00.5Z", [NOON])],
    )
    def test_another_end_ends_what_began_before_it(self, end: str, ended: list[str]) -> None:
        """
        Given: a sender whose times are those of its events, and two open alerts
        When: an end arrives, perhaps late
        Then: it ends the alerts that began before; one with a start's very time is that alert's
        """
        known = opened(("a", ONE), ("a", NOON))
        found = known.ended_by(alerts.Alert("a", end, ended=True))
        assert [one.start for one in found] == ended

    def test_an_ended_alert_is_not_ended_again(self) -> None:
        known = opened(("a", NOON))
        [one] = known.ended_by(alerts.Alert("a", TWO, ended=True))
        one.finish(time.time(), TWO)
        known.put(one)
        assert len(known) == 0
        assert known.ended_by(alerts.Alert("a", TWO, ended=True)) == []
        assert known.repeated_end(alerts.Alert("a", TWO, ended=True)) is one
        assert known.repeated_end(alerts.Alert("a", ONE, ended=True)) is None
        assert known.repeated_end(alerts.Alert("b", TWO, ended=True)) is None
        one.begin_again(time.time(), 4)
        known.put(one)
        assert (len(known), one.severity, one.is_open) == (1, 4, True)
        assert known.repeated_end(alerts.Alert("a", TWO, ended=True)) is None

    def test_a_lone_end_is_no_alert_that_is_open(self) -> None:
        known = alerts.OpenAlerts()
        end = alerts.Alert("a", NOON, ended=True)
        known.add(end, "mark", CREATED, 0.5)
        found = known.repeated_end(end)
        assert found is not None
        assert (found.is_lone_end, found.is_open, len(known)) == (True, False, 0)

    def test_a_lone_end_does_not_replace_a_start_that_was_created_meanwhile(self) -> None:
        known = opened(("a", NOON))
        known.add(alerts.Alert("a", NOON, ended=True), "mark", CREATED, 0.5)
        found = known.find("a", NOON)
        assert found is not None
        assert found.is_open

    def test_of_too_many_the_oldest_are_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(alerts, "MAX_OPEN_ALERTS", 3)
        monkeypatch.setattr(alerts, "MAX_ENDED_ALERTS", 2)
        known = opened(*((name, NOON) for name in "abcde"))
        assert [name for name in "abcde" if known.find(name, NOON)] == ["c", "d", "e"]
        for name in "cde":
            [one] = known.ended_by(alerts.Alert(name, NOON, ended=True))
            one.finish(time.time(), NOON)
            known.put(one)
        assert [name for name in "abcde" if known.find(name, NOON)] == ["d", "e"]

    def test_an_identity_that_opens_alert_after_alert_leaves_the_others_their_room(self) -> None:
        most = alerts.MAX_OF_IDENTITY
        known = opened(("b", NOON), *(("a", f"2024-05-{day:02}") for day in range(1, most + 5)))
        assert known.find("b", NOON) is not None
        assert known.find("a", "2024-05-04") is None
        assert len(known) == most + 1

    def test_what_ended_more_than_a_day_ago_is_not_written(self) -> None:
        known = opened(("a", NOON), ("b", NOON))
        [one] = known.ended_by(alerts.Alert("a", NOON, ended=True))
        one.finish(time.time(), NOON)
        known.put(one)
        assert len(json.loads(context_of(known)[alerts.OPEN_KEY])) == 2
        later = context_of(known, time.time() + alerts.DAY_SECONDS + 1)
        assert [row[0] for row in json.loads(later[alerts.OPEN_KEY])] == ["b"]
        assert known.find("a", NOON) is None

    def test_forgotten_is_forgotten(self) -> None:
        known = opened(("a", NOON))
        known.forget()
        assert len(known) == 0
        assert context_of(known) == {}


class TestMerging:
    def test_what_was_written_is_found_again(self) -> None:
        known = opened(("a", NOON), ("b", NOON), ("c", NOON))
        [one] = known.ended_by(alerts.Alert("b", NOON, ended=True))
        one.finish(time.time(), ONE)
        known.put(one)
        again = read_again(context_of(known))
        assert len(again) == 2
        found = again.find("a", NOON)
        assert found is not None
        assert (found.mark, found.incident, found.severity) == ("0", "0", 2)
        assert found.metadata == {"id": "0"}
        assert again.repeated_end(alerts.Alert("b", ONE, ended=True)) is not None
        assert context_of(again) == context_of(known)

    @pytest.mark.parametrize("is_ours_later", [True, False])
    def test_of_two_containers_views_the_later_one_counts(self, is_ours_later: bool) -> None:
        """
        Given: two containers that know of the same alert
        When: one of them learns of its end, and both write their views
        Then: it has ended, whoever writes first
        """
        context = context_of(opened(("a", NOON)))
        ended, other = read_again(context), read_again(context)
        [one] = ended.ended_by(alerts.Alert("a", NOON, ended=True))
        one.finish(time.time(), NOON)
        ended.put(one)
        first, second = (other, ended) if is_ours_later else (ended, other)
        for known in (first, second):
            known.merge(context, [])
            known.write(context, time.time())
        assert len(read_again(context)) == 0

    def test_what_only_the_other_one_knows_is_kept_and_is_the_oldest(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        context = context_of(opened(("theirs", NOON), ("both", NOON)))
        known = read_again(context_of(opened(("both", NOON), ("ours", NOON))))
        known.merge(context, [])
        assert {row[0] for row in json.loads(context_of(known)[alerts.OPEN_KEY])} == {
            *("theirs", "both", "ours")
        }
        monkeypatch.setattr(alerts, "MAX_OPEN_ALERTS", 2)
        opened(("new", NOON), known=known)
        assert known.find("theirs", NOON) is None

    def test_the_same_text_is_read_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        known = opened(("a", NOON))
        context = context_of(known)
        monkeypatch.setattr(alerts, "read_rows", lambda *_: pytest.fail("it was read again"))
        known.merge(context, [])
        known.merge({}, [])
        assert context_of(known) == context

    @pytest.mark.parametrize("text", ["{", "{}", "5", "[" * 100_000])
    def test_damage_is_reported(self, text: str) -> None:
        known, damages = alerts.OpenAlerts(), []
        known.merge({alerts.OPEN_KEY: text}, damages)
        assert damages == ["open_alerts is not a list"]
        assert len(known) == 0

    @pytest.mark.parametrize("row", [5, [], ["a"] * 8, ["a", NOON, "m", 7, 2, 1.5, 1, ""]])
    def test_a_row_that_is_not_an_alert_is_left_out(self, row: Any) -> None:
        good = json.loads(context_of(opened(("a", NOON)))[alerts.OPEN_KEY])
        known = read_again({alerts.OPEN_KEY: json.dumps([row, *good])})
        assert len(known) == 1

    @pytest.mark.parametrize("text", ["", "yesterday", "9999-99-99T00:00:00Z"])
    def test_a_time_that_cannot_be_read_is_the_earliest(self, text: str) -> None:
        assert alerts.epoch_of(text) == 0


class TestNotes:
    def test_they_wait_in_their_order_and_each_once(self) -> None:
        notes = alerts.AlertNotes()
        first = notes.put("m", "1", "ended")
        assert notes.put("m", "1", "ended") is first
        second = notes.put("m", "2", "ended")
        assert len(notes) == 2
        assert notes.next(0) is first
        notes.was_added(first, 1)
        assert first.added
        assert notes.next(1) is second

    def test_a_note_that_is_refused_while_others_are_taken_is_given_up(self) -> None:
        """
        Given: a note about an incident that is not there any more, and another one
        When: XSOAR refuses the first again and again, and takes the other
        Then: at the third failure the log is told, and at the tenth the note is given up
        """
        notes = alerts.AlertNotes()
        bad, good = notes.put("m", "1", "x"), notes.put("m", "2", "x")
        assert not notes.was_refused(bad, 10)
        assert notes.next(10.5) is None
        assert notes.seconds_left(10.5) == 0.5
        assert notes.next(11) is good
        notes.was_added(good, 11)
        assert not notes.was_refused(bad, 12)
        assert notes.was_refused(bad, 14)
        for now in range(15, 21):
            assert not notes.was_refused(bad, now)
            assert notes.next(now + 1) is bad
        notes.was_refused(bad, 21)
        assert len(notes) == 0

    def test_where_nothing_is_taken_all_wait_and_the_log_is_told_once(self) -> None:
        notes = alerts.AlertNotes()
        note = notes.put("m", "1", "x")
        assert [notes.was_refused(note, now) for now in (0, 1, 2, 62, 122)] == [
            *(False, False, True, False, False)
        ]
        assert notes.next(181) is None
        assert notes.next(182) is note

    def test_there_is_room_for_3_mib(self) -> None:
        notes = alerts.AlertNotes()
        assert notes.has_room()
        first = notes.put("m", "1", "x" * 2 * 1024**2)
        assert notes.has_room()
        notes.put("m", "2", "x" * 1024**2)
        assert not notes.has_room()
        notes.was_added(first, 0)
        assert notes.has_room()

    def test_they_are_found_again_before_newer_ones(self) -> None:
        notes, damages, context = alerts.AlertNotes(), [], {"other": "x"}
        notes.write(context)
        assert context == {"other": "x"}
        notes.put("m", "1", "first")
        notes.write(context)
        again = alerts.AlertNotes()
        again.put("m", "2", "second")
        again.put("m", "1", "first")
        again.load(context, damages)
        assert damages == []
        assert len(again) == 2
        note = again.next(0)
        assert note is not None
        assert (note.incident, note.text) == ("1", "first")

    def test_what_is_not_a_note_is_left_out(self) -> None:
        notes, damages = alerts.AlertNotes(), []
        rows = [5, [1], ["m", "1", "x", "now"], ["m", "1", "x", 1.5]]
        notes.load({alerts.NOTES_KEY: json.dumps(rows)}, damages)
        assert (len(notes), damages) == (1, [])
        notes.load({alerts.NOTES_KEY: "{"}, damages)
        assert damages == ["alert_notes is not a list"]

    def test_a_note_says_what_when_the_sender_s_words_and_the_link(self) -> None:
        text = alerts.AlertNotes.text("It has ended: a", "status: ok", "https://example.com/a")
        lines = text.split("\n")
        assert lines[0] == "It has ended: a"
        assert lines[1].startswith("Reported at 20")
        assert lines[2:] == ["status: ok", "https://example.com/a"]
        link = "https://example.com/a"
        assert alerts.AlertNotes.text("x", f"Link: {link}", link).count(link) == 1
        assert len(alerts.AlertNotes.text("x", "y" * 5000, "")) < 1100


class TestChanges:
    def put(self, *changes: tuple[str, bool], now: float = 1000.0) -> dict[str, Any]:
        """Return a context with changes: marks, and whether they close."""
        kept, context = alerts.MirrorChanges(), {}
        for mark, closes in changes:
            kept.put(mark, closes, f"text of {mark}", now)
        kept.write(context, now)
        return context

    def test_each_change_is_handed_over_once(self) -> None:
        context = self.put(("a", True), ("b", True))
        assert list(alerts.pending_changes(context)) == ["a", "b"]
        assert alerts.hand_over(context, "a") == (1000.0, True, "text of a")
        assert alerts.hand_over(context, "a") is None
        assert alerts.hand_over(context, "c") is None
        assert list(alerts.pending_changes(context)) == ["b"]

    def test_a_later_change_of_the_same_incident_is_handed_over(self) -> None:
        """
        Given: an incident whose close has been handed over
        When: its alert returns in the same millisecond
        Then: the opening is handed over, too, and nothing of the close is left
        """
        kept, context = alerts.MirrorChanges(), {}
        kept.put("a", True, "ended", 1000.0)
        kept.write(context, 1000.0)
        assert alerts.hand_over(context, "a") is not None
        kept.put("a", False, "again", 1000.0)
        kept.merge(context, [])
        kept.write(context, 1000.0)
        change = alerts.hand_over(context, "a")
        assert change is not None
        assert (change.closes, change.text) == (False, "again")
        assert alerts.pending_changes(context) == {}

    def test_a_return_before_the_close_was_handed_over_replaces_it(self) -> None:
        context = self.put(("a", True), ("a", False))
        assert [one.closes for one in alerts.pending_changes(context).values()] == [False]

    def test_it_is_forgotten_after_a_day(self) -> None:
        kept, context = alerts.MirrorChanges(), {}
        kept.put("a", True, "ended", 1000.0)
        kept.write(context, 1000.0)
        alerts.hand_over(context, "a")
        kept.write(context, 1000.0 + alerts.DAY_SECONDS - 1)
        assert json.loads(context[alerts.CHANGES_KEY]) == {"a": [1000.0, True, ""]}
        assert alerts.pending_changes(context) == {}
        kept.write(context, 1000.0 + alerts.DAY_SECONDS + 1)
        assert context == {}
        assert len(kept) == 0

    def test_what_another_container_has_noted_is_kept(self) -> None:
        context = self.put(("theirs", True), ("both", True))
        kept = alerts.MirrorChanges()
        kept.put("both", False, "newer", 2000.0)
        kept.put("ours", True, "x", 2000.0)
        kept.merge(context, [])
        kept.write(context, 2000.0)
        assert {mark: one.closes for mark, one in alerts.pending_changes(context).items()} == {
            **{"theirs": True, "both": False, "ours": True}
        }

    def test_of_too_many_the_oldest_are_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(alerts, "MAX_CHANGES", 2)
        assert list(alerts.pending_changes(self.put(("a", True), ("b", True), ("c", True)))) == [
            *("b", "c")
        ]

    def test_a_round_has_at_most_100(self) -> None:
        context = self.put(*((f"{number:03}", True) for number in range(150)))
        assert list(alerts.pending_changes(context)) == [f"{number:03}" for number in range(100)]
        for mark in alerts.pending_changes(context):
            alerts.hand_over(context, mark)
        assert len(alerts.pending_changes(context)) == 50

    @pytest.mark.parametrize("text", ["{", "[]", '"x"'])
    @pytest.mark.parametrize("read", [alerts.read_changes, alerts.read_handed])
    def test_damage_is_reported(self, read: Callable[..., Any], text: str) -> None:
        damages: list[str] = []
        assert read(text, damages) == {}
        assert len(damages) == 1
        assert damages[0].endswith("is not an object")

    def test_what_is_not_a_change_is_left_out(self) -> None:
        rows = {"a": 5, "b": [1], "c": ["x", True, ""], "d": [1, 1, ""], "e": [1, True, 5]}
        assert alerts.read_changes(json.dumps(rows), []) == {}
        assert alerts.read_handed(json.dumps({"a": "x"}), []) == {}
