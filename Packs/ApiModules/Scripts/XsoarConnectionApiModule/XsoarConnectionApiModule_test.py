"""Unit tests of XsoarConnectionApiModule.py."""

import io
import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import demistomock as demisto
import gevent
import gevent.threadpool
import pytest
import XsoarConnectionApiModule as connection

from Tests.costs import assert_linear
from Tests.xsoar_end import XsoarEnd, ask

DOUBT = "may have been created"
FOREIGN = "ffffffffffff/0"


# ---- whose incident is it?


@dataclass
class Incident:
    """An incident with a mark, as the integration writes it."""

    fields: dict[str, Any]
    mark: str


def incidents_named(*names: str) -> list[Incident]:
    """Return an incident for each name, each with a mark of its own."""
    delivery = os.urandom(6).hex()
    incidents = []
    for index, name in enumerate(names):
        mark = f"{delivery}/{index}"
        raw = json.dumps({"n": name, "headers": {}, "webhook": {"delivery": mark}})
        incidents.append(Incident({"name": name, "occurred": "2024-05-01", "rawJSON": raw}, mark))
    return incidents


def incidents_of(sent: list[Incident]) -> list[dict[str, Any]]:
    """Return what XSOAR answers where it creates all incidents as they were sent."""
    return [{**one.fields, "id": f"id of {one.fields['name']}"} for one in sent]


def matched(sent: list[Incident], answer: Any) -> list[Any]:
    """Return for each incident its ID, None where it was dropped, or DOUBT."""
    found, in_doubt = connection.match_incidents(sent, answer)
    missing = DOUBT if in_doubt else None
    return [found[place]["id"] if place in found else missing for place in range(len(sent))]


def reordered(raw: str) -> str:
    """Return a rawJSON as a rule may write it anew: sorted, indented, with a new field."""
    return json.dumps({**json.loads(raw), "added by a rule": 1}, indent=1, sort_keys=True)


REWRITES: dict[str, Callable[[str], str]] = {
    "as sent": str,
    "reordered": reordered,
    "mark alone": lambda raw: json.dumps({"webhook": json.loads(raw)["webhook"]}),
}


class TestMatchCreated:
    @pytest.mark.parametrize("rewrite", REWRITES.values(), ids=REWRITES)
    @pytest.mark.parametrize("dropped", [(), (1,), (0, 2), (2,), (0,), (0, 1, 2)])
    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
    def test_each_gets_its_own_whatever_is_answered(
        self, rewrite: Callable[[str], str], dropped: tuple[int, ...], order: tuple[int, ...]
    ) -> None:
        """
        Given: three events, of which rules drop some, change names and write rawJSON anew
        When: the answer, in whatever order, is matched
        Then: each event has its own incident, or None where it was dropped
        """
        sent = incidents_named("a", "b", "c")
        created = incidents_of(sent)
        answer = [
            {
                "id": created[place]["id"],
                "name": "same",
                "rawJSON": rewrite(created[place]["rawJSON"]),
            }
            for place in order
            if place not in dropped
        ]
        assert matched(sent, answer) == [
            None if place in dropped else f"id of {'abc'[place]}" for place in range(3)
        ]

    def test_equal_events_have_marks_of_their_own(self) -> None:
        """
        Given: two events that are equal but for their marks, of which the second comes back
        When: the answer is matched
        Then: the first was dropped, and the second has the incident
        """
        sent = incidents_named("same", "same")
        assert matched(sent, incidents_of(sent)[1:]) == [None, "id of same"]

    @pytest.mark.parametrize("answer", [None, []])
    def test_nothing_created_is_none_for_each(self, answer: Any) -> None:
        assert matched(incidents_named("a", "b"), answer) == [None, None]

    def test_a_lone_object_is_a_list_of_one(self) -> None:
        assert matched(incidents_named("a"), {"id": "1"}) == ["1"]

    def test_without_marks_as_many_objects_as_events_are_in_order(self) -> None:
        """
        Given: an answer without rawJSON, with names, with changed names, or with nothing but IDs
        When: as many objects come back as events were sent
        Then: they are in order
        """
        sent = incidents_named("a", "b")
        for names in ([{}, {}], [{"name": "a"}, {"name": "b"}], [{"name": "new"}, {"name": "b"}]):
            answer = [{"id": str(number), **fields} for number, fields in enumerate(names)]
            assert matched(sent, answer) == ["0", "1"]

    @pytest.mark.parametrize(
        "answer",
        [
            [{"id": "1"}],
            [{"id": "1", "name": "a"}],
            [{"id": "1", "name": "new"}, {"id": "2", "name": "a"}],
            [{"id": "1", "name": "a"}, {"id": "1", "name": "b"}],
            [{"id": "1"}, {"id": "2"}, {"id": "3"}],
            [{"id": "1", "rawJSON": "{}"}, {"id": "2"}],
        ],
        ids=[
            *("fewer", "fewer with a name", "the name of another"),
            *("an ID twice", "more", "an empty rawJSON"),
        ],
    )
    def test_without_marks_everything_else_is_a_doubt(self, answer: list[dict[str, Any]]) -> None:
        """
        Given: an answer without marks that cannot be that of two events in their order
        When: it is matched
        Then: nobody gets an incident that may be somebody else's
        """
        assert matched(incidents_named("a", "b"), answer) == [DOUBT, DOUBT]

    @pytest.mark.parametrize("raw", [{}, {"rawJSON": None}, {"rawJSON": "{}"}])
    def test_without_marks_names_that_are_there_once_tell_events_apart(
        self, raw: dict[str, Any]
    ) -> None:
        """
        Given: an answer without marks, with the name of each event once, in another order
        When: it is matched
        Then: each event has the incident of its name
        """
        answer = [{"id": "1", "name": "b", **raw}, {"id": "2", "name": "a", **raw}]
        assert matched(incidents_named("a", "b"), answer) == ["2", "1"]

    def test_a_null_raw_json_is_one_that_is_not_there(self) -> None:
        answer = [{"id": "1", "rawJSON": None}, {"id": "2"}]
        assert matched(incidents_named("a", "b"), answer) == ["1", "2"]

    def test_events_of_one_name_are_in_order_without_marks(self) -> None:
        answer = [{"id": "1", "name": "same"}, {"id": "2", "name": "same"}]
        assert matched(incidents_named("same", "same"), answer) == ["1", "2"]

    def test_a_lone_event_has_the_lone_object_unless_a_rule_changed_all_of_it(self) -> None:
        """
        Given: a lone object without a mark, whose name or rawJSON a rule has changed, or both
        When: the answer to a lone event is matched
        Then: it is the event's while one of the two still is; else it may answer another call
        """
        for changed in ({"name": "renamed"}, {}):
            assert matched(incidents_named("a"), [{"id": "1", **changed}]) == ["1"]
        for raw in ("{}", '{"a":"not JSON'):
            answer = [{"id": "1", "name": "a", "rawJSON": raw}]
            assert matched(incidents_named("a"), answer) == ["1"]
            with pytest.raises(connection.ForeignAnswer):
                matched(incidents_named("a"), [{**answer[0], "name": "renamed"}])

    def test_what_bears_no_mark_next_to_what_does_is_a_doubt(self) -> None:
        """
        Given: three events, one of which comes back with its mark, and one or two without
        When: the answer is matched
        Then: the others may have been created: nobody is told that a rule dropped theirs
        """
        sent = incidents_named("a", "b", "c")
        changed = [{"id": "8", "name": "renamed"}, {"id": "9", "name": "renamed"}]
        for left in (changed[:1], changed):
            answer = [*left, incidents_of(sent)[0]]
            assert matched(sent, answer) == ["id of a", DOUBT, DOUBT]

    def test_a_mark_that_is_there_twice_proves_itself_once(self) -> None:
        """
        Given: an answer with one event's mark twice
        When: it is matched
        Then: the event has the first incident, and of the others that are missing nothing is known
        """
        sent = incidents_named("a", "b")
        first = incidents_of(sent)[0]
        assert matched(sent, [first, {**first, "id": "9"}]) == ["id of a", DOUBT]
        assert matched(sent, [*incidents_of(sent), {**first, "id": "9"}]) == [
            "id of a",
            "id of b",
        ]

    @pytest.mark.parametrize("answer", [[None], ["5"], [{}], "created", 7, {"error": "x"}])
    def test_an_answer_that_is_not_a_list_of_incidents_proves_nothing(self, answer: Any) -> None:
        """
        Given: an answer in which something is not an incident
        When: it is matched
        Then: it cannot be read: neither "created" nor "dropped by a rule" would be true for certain
        """
        with pytest.raises(connection.UnreadableAnswer):
            connection.match_incidents(incidents_named("a"), answer)

    @pytest.mark.parametrize(
        "raw",
        [
            {"a": 1, "webhook": {"delivery": FOREIGN}},
            {"webhook": "own", "request_webhook": {"delivery": FOREIGN, "status": "new"}},
        ],
    )
    def test_a_foreign_mark_is_another_call_s_answer(self, raw: dict[str, Any]) -> None:
        """
        Given: an object with the mark of an event that was not sent
        When: the answer is matched
        Then: it is that to another call, with certainty
        """
        sent = incidents_named("a", "b")
        foreign = {"id": "1", "rawJSON": json.dumps(raw)}
        for answer in ([foreign], [*incidents_of(sent), foreign]):
            with pytest.raises(connection.ForeignAnswer):
                connection.match_incidents(sent, answer)

    @pytest.mark.parametrize(
        "forged",
        [
            {"text": FOREIGN},
            {"text": f'"webhook":{{"delivery":"{FOREIGN}"}}'},
            {"deep": {"webhook": {"delivery": FOREIGN}}},
            {"webhooks": {"delivery": FOREIGN}},
            {"webhook": FOREIGN},
            {"webhook": [{"delivery": FOREIGN}]},
            {"webhook": {"id": FOREIGN}},
        ],
    )
    @pytest.mark.parametrize("rewrite", REWRITES.values(), ids=REWRITES)
    def test_what_a_sender_writes_is_not_a_mark(
        self, forged: dict[str, Any], rewrite: Callable[[str], str]
    ) -> None:
        """
        Given: payloads that hold what looks like a mark, wherever a sender may write it
        When: the answer, as sent or written anew, is matched, and where a rule has removed our mark
        Then: each event has its own incident, and without our mark the order counts
        """
        sent = incidents_named("a", "b")
        for one in sent:
            raw = {**forged, **json.loads(one.fields["rawJSON"])}
            raw["request_webhook"] = raw.pop("webhook")
            one.fields["rawJSON"] = json.dumps({**forged, **raw})
        answer = [
            {**created, "rawJSON": reordered(created["rawJSON"])}
            if rewrite is reordered
            else created
            for created in incidents_of(sent)
        ]
        assert matched(sent, answer[::-1]) == ["id of a", "id of b"]
        assert matched(sent, answer[1:]) == [None, "id of b"]
        unmarked = [{"id": "1", "name": "a", "rawJSON": json.dumps(forged)}]
        assert matched(incidents_named("a"), unmarked) == ["1"]

    def test_a_large_raw_json_without_a_known_mark_bears_none(self) -> None:
        """
        Given: a rawJSON that is too large to be parsed here, with a mark that is not known, and one
            that nests too deeply to be parsed
        When: the answer to a lone event is matched
        Then: it is taken for the event's, for a sender may have written the mark
        """
        text = "x" * connection.MAX_MARKED_CHARACTERS
        large = json.dumps({"text": text, "webhook": {"delivery": FOREIGN}})
        deep = "[" * 20_000 + f'"{FOREIGN}"' + "]" * 20_000
        listed = json.dumps([{"webhook": {"delivery": FOREIGN}}])
        for raw in (large, deep, f'{{"webhook": {{"delivery": "{FOREIGN}"', listed):
            assert matched(incidents_named("a"), [{"id": "1", "name": "a", "rawJSON": raw}]) == [
                "1"
            ]
        sent = incidents_named("a", "b")
        sent[0].fields["rawJSON"] = json.dumps(
            {"text": text, "webhook": {"delivery": sent[0].mark}}
        )
        answer = [
            {**created, "rawJSON": reordered(created["rawJSON"])} for created in incidents_of(sent)
        ]
        assert matched(sent, answer[::-1]) == ["id of a", "id of b"]


# ---- before and after the event loop makes the calls


class Thread:
    """A native thread."""

    def __init__(self) -> None:
        self._pool = gevent.threadpool.ThreadPool(1)

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return self._pool.spawn(function, *args).get()


def new_connection(secrets: tuple[bytes, ...] = ()) -> connection.XsoarConnection:
    return connection.XsoarConnection(demisto, Thread, str, secrets)


def taken_over(end: XsoarEnd) -> connection.XsoarConnection:
    """Open XSOAR's end and return a connection that has taken it over."""
    end.open()
    client = new_connection((b"s3cret-value",))
    client.take_over()
    server = end.answer(b'"one"\n')
    assert client.call(ask, "first") == "one"
    assert server.get(timeout=10) == [b"first\n"]
    return client


class TestTurns:
    @pytest.mark.parametrize("is_its_turn", [False, True])
    def test_who_stops_waiting_leaves_the_turn_to_the_next_one(self, is_its_turn: bool) -> None:
        """
        Given: three greenlets that want a lock, one after the other
        When: the second is killed while it waits, or when the lock was passed to it already
        Then: the third one gets it, and afterwards it is free
        """
        turns, taken = connection.Turns(), []

        def take(name: str) -> None:
            with turns:
                taken.append(name)
                gevent.sleep(0.01)
                if name == "first" and is_its_turn:
                    second.kill(block=False)  # takes effect behind the end of this turn

        first, second, third = (gevent.spawn(take, name) for name in ("first", "second", "third"))
        gevent.sleep(0)
        if not is_its_turn:
            second.kill()
        gevent.joinall([first, second, third], timeout=10)
        take("last")
        assert taken == ["first", "third", "last"]


class TestXsoarConnection:
    def test_a_platform_that_reads_in_its_own_way_is_reported_and_works(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a script loop that does not read its answers from sys.stdin
        When: the first call is answered
        Then: the files are given back, the health says so, and calls go on, on a native thread
        """
        threads: list[int] = []
        monkeypatch.setattr(demisto, "info", lambda text: threads.append(threading.get_ident()))
        client = new_connection()
        before = sys.stdin, sys.stdout
        client.take_over()
        assert sys.stdin is not before[0]
        client.call(demisto.info, "first")
        assert (sys.stdin, sys.stdout) == before
        client.call(demisto.info, "second")
        assert threads[0] == threading.get_ident() != threads[1]
        assert "reads XSOAR's answers in an unknown way" in client._problems["Connection"]
        monkeypatch.setattr(demisto, "createIncidents", lambda incidents: [{"id": "7"}] * 2)
        with pytest.raises(connection.UnreadableAnswer):
            client.call(json.loads, "{")  # nothing can be waited for on a thread
        assert client.create(incidents_named("a")) == ({}, True)

    def test_a_secret_is_in_no_log_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        logged: list[str] = []
        monkeypatch.setattr(demisto, "error", logged.append)
        client = new_connection((b"pass", b"password-1", b"abc"))
        client.error("the password-1 is no pass, and abc is too short to be one")
        client.flush()
        assert logged == ["the <secret> is no <secret>, and abc is too short to be one"]

    def test_a_flood_of_one_kind_leaves_the_others_their_room(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a flood of log lines that a stranger causes, between lines of requests answered 502
        When: the log is sent
        Then: of the flood the newest lines are in it, all of the others, and what has no kind
        """
        logged: dict[str, list[str]] = {"info": [], "error": []}
        monkeypatch.setattr(demisto, "info", lambda text: logged["info"].extend(text.split("\n")))
        monkeypatch.setattr(demisto, "error", lambda text: logged["error"].extend(text.split()))
        client = new_connection()
        for number in range(1000):
            client.error(f"flood-{number}", "stranger")
            if number % 100 == 0:
                client.info(f"Request {number} was answered 502.", "502")
        client.info("listens")
        client.flush()
        most = connection.MAX_LINES_OF_A_KIND
        assert logged["error"] == [f"flood-{number}" for number in range(1000 - most, 1000)]
        assert logged["info"] == [
            *(f"Request {number} was answered 502." for number in range(0, 1000, 100)),
            "listens",
        ]
        client.flush()
        assert len(logged["error"]) == most  # each line is sent once


# ---- the event loop makes the calls


class TestConnection:
    def test_calls_are_made_in_turn_and_each_gets_its_answer(self, xsoar_end: XsoarEnd) -> None:
        """
        Given: two calls at the same moment
        When: XSOAR answers the first one late
        Then: the second is sent after that, and the other greenlets go on meanwhile
        """
        client = taken_over(xsoar_end)
        calls = [gevent.spawn(client.call, ask, text) for text in ("a", "b")]
        assert xsoar_end.read_line() == b"a\n"
        gevent.sleep(0.02)
        assert xsoar_end.is_silent()
        server = xsoar_end.answer(b'"B"\n')
        xsoar_end.write(b'"A')
        gevent.sleep(0.01)
        xsoar_end.write(b'"\n')
        assert [call.get(timeout=10) for call in calls] == ["A", "B"]
        assert server.get(timeout=10) == [b"b\n"]
        assert client._problems == {}

    def test_who_calls_without_a_pause_keeps_nobody_waiting(self, xsoar_end: XsoarEnd) -> None:
        """
        Given: a greenlet that makes one call after the other, as the writer does under load
        When: two others have a call to make
        Then: each waits for the calls of those who asked before, and for no others
        """
        client = taken_over(xsoar_end)
        server = xsoar_end.answer(*[b'"done"\n'] * 6)

        def call(text: str, times: int) -> None:
            for _ in range(times):
                client.call(ask, text)

        callers = [gevent.spawn(call, *row) for row in (("busy", 4), ("log", 1), ("context", 1))]
        gevent.joinall(callers, timeout=10, raise_error=True)
        lines = server.get(timeout=10)
        assert lines == [b"busy\n", b"log\n", b"context\n", *[b"busy\n"] * 3]

    def test_the_last_lines_have_left_when_the_log_was_sent(
        self, xsoar_end: XsoarEnd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: log lines on their way, which wait for their turn behind a call that XSOAR holds
        When: the log is sent once more, as it is at the end of the process
        Then: that returns only once these lines have left, too
        """
        monkeypatch.setattr(demisto, "info", ask)
        monkeypatch.setattr(demisto, "updateModuleHealth", ask)
        client = taken_over(xsoar_end)
        call = gevent.spawn(client.call, ask, "call")
        assert xsoar_end.read_line() == b"call\n"
        client.info("Generic Webhook stops.")
        first = gevent.spawn(client.flush)
        gevent.sleep(0)
        last = gevent.spawn(client.flush)
        gevent.sleep(0.02)
        assert not first.ready() and not last.ready()
        xsoar_end.write(b"1\n")
        assert call.get(timeout=10) == 1
        assert xsoar_end.read_line() == b"Generic Webhook stops.\n"
        gevent.sleep(0.02)
        assert not last.ready()
        server = xsoar_end.answer(b"2\n")
        xsoar_end.write(b"3\n")
        last.get(timeout=10)
        assert first.ready()
        server.get(timeout=10)

    def test_a_large_line_is_read_while_it_is_written(self, xsoar_end: XsoarEnd) -> None:
        client = taken_over(xsoar_end)
        server = xsoar_end.answer(b"5\n", b"6\n")
        assert client.call(ask, "x" * 3_000_000) == 5

        def beat() -> None:
            sys.stdout.write("y" * 3_000_000 + "\n")
            sys.stdout.flush()

        # The platform's heartbeat writes its line on a native thread.
        gevent.threadpool.ThreadPool(1).spawn(beat).get()
        first, second = server.get(timeout=10)
        assert (len(first), len(second), second[:1]) == (3_000_001, 3_000_001, b"y")

    @pytest.mark.parametrize(
        "failure, wanted",
        [
            (ValueError("no; s3cret-value"), connection.XsoarRefused),
            (RuntimeError("no lock; s3cret-value"), connection.XsoarRefused),
            (KeyError("s3cret-value"), connection.UnreadableAnswer),
            (RecursionError("s3cret-value"), connection.UnreadableAnswer),
        ],
    )
    def test_a_failed_call_is_refused_or_unknown(
        self, xsoar_end: XsoarEnd, failure: Exception, wanted: type[Exception]
    ) -> None:
        client = taken_over(xsoar_end)

        def fail() -> None:
            raise failure

        with pytest.raises(wanted, match="<secret>"):
            client.call(fail)
        assert client.out_of_step == ""

    def test_an_answer_that_is_not_json_is_unreadable(self, xsoar_end: XsoarEnd) -> None:
        client = taken_over(xsoar_end)
        server = xsoar_end.answer(b"<html>\n", b'"still there"\n')
        with pytest.raises(connection.UnreadableAnswer, match="JSONDecodeError"):
            client.call(ask)
        assert client.call(ask) == "still there"
        server.get(timeout=10)

    def test_an_answer_of_two_lines_leaves_the_connection_out_of_step(
        self, xsoar_end: XsoarEnd
    ) -> None:
        client = taken_over(xsoar_end)
        xsoar_end.answer(b"<html>\n</html>\n")
        with pytest.raises(connection.UnreadableAnswer):
            client.call(ask)
        assert client.out_of_step == "a call was answered by more than one line"
        with pytest.raises(connection.XsoarRefused, match="out of step"):
            client.call(ask, "never sent")
        assert "starts again" in client._problems["Connection"]
        client.report_desynchronized()
        health = json.loads(xsoar_end.read_line())
        assert (health["type"], health["command"]) == ("executeCommand", "updateModuleHealth")
        assert "out of step" in health["args"]["err"]

    @pytest.mark.parametrize("pings", [1, 2, 3])
    def test_pings_between_two_calls_are_answered(self, xsoar_end: XsoarEnd, pings: int) -> None:
        """
        Given: one or more lines ``ping`` between two calls
        When: the next call is made
        Then: each is answered before it, and the call has its own answer
        """
        client = taken_over(xsoar_end)
        xsoar_end.write(b"ping\n" * pings)
        server = xsoar_end.answer(*[b""] * pings, b"7\n")
        assert client.call(ask, "next") == 7
        assert server.get(timeout=10) == [b'{"type": "pong"}\n'] * pings + [b"next\n"]
        assert client.out_of_step == ""

    @pytest.mark.parametrize("lines", [b'"an answer to nothing"\n', b'ping\n"an answer"\n'])
    def test_an_answer_to_no_call_leaves_the_connection_out_of_step(
        self, xsoar_end: XsoarEnd, lines: bytes
    ) -> None:
        client = taken_over(xsoar_end)
        xsoar_end.write(lines)
        with pytest.raises(connection.XsoarRefused, match="a line arrived that answers no call"):
            client.call(ask)

    def test_the_end_of_the_connection_is_noticed(self, xsoar_end: XsoarEnd) -> None:
        client = taken_over(xsoar_end)
        assert not client.is_broken()
        assert (sys.stdin.fileno(), sys.stdout.fileno()) == (0, 1)
        xsoar_end.close()
        assert client.is_broken()
        with pytest.raises(connection.XsoarRefused, match="closed the connection"):
            client.call(lambda: json.loads(sys.stdin.readline()))  # nothing is sent

    def test_files_without_a_descriptor_are_not_a_broken_connection(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        assert not new_connection().is_broken()

    def test_a_line_in_the_middle_of_another_is_not_sent(self, xsoar_end: XsoarEnd) -> None:
        """
        Given: a line that has left in part, because XSOAR does not read on
        When: a last command is to be sent without an answer
        Then: it is not, for it would garble both
        """
        client = taken_over(xsoar_end)
        calling = gevent.spawn(client.call, ask, "x" * 5_000_000)
        gevent.sleep(0.05)
        client.send_unanswered("updateModuleHealth", {"err": "late"})
        server = xsoar_end.answer(b"1\n")
        assert calling.get(timeout=10) == 1
        assert server.get(timeout=10) == [b"x" * 5_000_000 + b"\n"]
        assert xsoar_end.is_silent()

    def test_a_long_call_is_followed_by_heartbeats_of_ours(
        self, xsoar_end: XsoarEnd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = taken_over(xsoar_end)
        beats: list[str] = []
        monkeypatch.setattr(demisto, "heartbeat", beats.append)
        client.call(int)
        client.beat(1000.0)
        assert beats == []  # the platform's own thread lives
        clock = iter((0.0, 56.0))
        monkeypatch.setattr(connection.time, "monotonic", lambda: next(clock, 100.0))
        client.call(int)
        for now in (1000.0, 1029.0, 1030.0):
            client.beat(now)
        assert beats == ["the webhook is alive"] * 2

    def test_problems_are_in_the_health_until_they_are_over(
        self, xsoar_end: XsoarEnd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = taken_over(xsoar_end)
        health: list[str] = []
        lines: list[str] = []
        failures: list[Exception] = [ValueError("not now")]

        def show(text: str) -> None:
            if failures:
                raise failures.pop()
            health.append(text)

        monkeypatch.setattr(demisto, "updateModuleHealth", show)
        monkeypatch.setattr(demisto, "error", lines.append)
        monkeypatch.setattr(demisto, "info", lambda text: lines.append(text))
        for _ in range(3):
            client.report("Server", "It does not listen.")
            client.flush()
        client.report("Other", "And s3cret-value.")
        client.report("Server", "")
        client.flush()
        assert health == ["It does not listen.", "And <secret>."]
        assert sorted(lines) == ["And <secret>.", "It does not listen.", "Server: recovered"]


class TestForeignAnswers:
    """createIncidents is answered with the mark of an event that was not in the call."""

    @pytest.fixture(autouse=True)
    def create(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(demisto, "createIncidents", lambda incidents: ask("create"))

    @staticmethod
    def line(*objects: dict[str, Any]) -> bytes:
        return json.dumps(objects).encode() + b"\n"

    @staticmethod
    def foreign() -> dict[str, Any]:
        """Return the incident of another call's event."""
        return {**incidents_named("other")[0].fields, "id": "7"}

    def test_to_several_events_it_is_another_call_s(self, xsoar_end: XsoarEnd) -> None:
        """
        Given: a call with two events
        When: its answer has the mark of an event that was not sent
        Then: nothing is known of the two, and the connection is out of step: nothing more is sent
        """
        client = taken_over(xsoar_end)
        sent = incidents_named("a", "b")
        xsoar_end.answer(self.line(*incidents_of(sent)[:1], self.foreign()))
        with pytest.raises(connection.UnreadableAnswer, match="belonged to another call"):
            client.create(sent)
        assert client.out_of_step == "an answer belonged to another call"
        with pytest.raises(connection.XsoarRefused, match="out of step"):
            client.create(sent)
        assert xsoar_end.is_silent()

    def test_a_lone_event_may_be_linked_to_an_older_incident(self, xsoar_end: XsoarEnd) -> None:
        """
        Given: a lone event, which a rule links to an older incident
        When: XSOAR answers with that incident, and no other line arrives
        Then: it is the event's, again and again
        """
        client = taken_over(xsoar_end)
        older = self.foreign()
        for _ in range(3):
            xsoar_end.answer(self.line(older))
            sent = incidents_named("a")
            assert client.create(sent) == ({0: older}, True)
        assert client.out_of_step == ""

    def test_a_lone_event_is_not_linked_to_several_incidents(self, xsoar_end: XsoarEnd) -> None:
        """
        Given: a lone event
        When: it is answered with two incidents, one of them another call's
        Then: the connection is out of step
        """
        client = taken_over(xsoar_end)
        sent = incidents_named("a")
        xsoar_end.answer(self.line(self.foreign(), *incidents_of(sent)))
        with pytest.raises(connection.UnreadableAnswer):
            client.create(sent)
        assert client.out_of_step

    @pytest.mark.parametrize("pings", [0, 1, 2])
    def test_another_line_shows_that_it_answers_an_earlier_call(
        self,
        xsoar_end: XsoarEnd,
        pings: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        Given: a lone event, answered with another call's incident
        When: its own answer follows, perhaps behind a ping
        Then: nothing is known of the event, and the connection is out of step
        """
        client = taken_over(xsoar_end)
        monkeypatch.setattr(connection, "REST_SECONDS", 5.0)
        sent = incidents_named("a")
        xsoar_end.answer(self.line(self.foreign()))
        calling = gevent.spawn(client.create, sent)
        gevent.sleep(0.05)
        for _ in range(pings):
            xsoar_end.write(b"ping\n")
            gevent.sleep(0.02)
        xsoar_end.write(self.line(*incidents_of(sent)))
        with pytest.raises(connection.UnreadableAnswer):
            calling.get(timeout=10)
        assert client.out_of_step

    def test_pings_behind_it_are_answered_and_prove_nothing(
        self,
        xsoar_end: XsoarEnd,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        Given: a lone event, answered with an older incident
        When: two pings follow in one piece
        Then: both are answered, and the incident is the event's
        """
        client = taken_over(xsoar_end)
        monkeypatch.setattr(connection, "REST_SECONDS", 0.3)
        older = self.foreign()
        xsoar_end.answer(self.line(older) + b"ping\nping\n")
        assert client.create(incidents_named("a")) == ({0: older}, True)
        assert [xsoar_end.read_line() for _ in range(2)] == [b'{"type": "pong"}\n'] * 2
        assert client.out_of_step == ""


# ---- costs

WORST_CASES: dict[str, Callable[[int], str]] = {
    "MARK": lambda n: '"0123456789ab/' * n + '"' * n,
    "OUR_OBJECT": lambda n: "request_" * n,
}


@pytest.mark.parametrize("name, way", [("MARK", "findall"), ("OUR_OBJECT", "fullmatch")])
def test_each_regular_expression_is_linear(name: str, way: str) -> None:
    assert_linear(getattr(connection, name), way, WORST_CASES[name])
