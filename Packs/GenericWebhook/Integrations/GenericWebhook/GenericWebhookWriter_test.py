"""Unit tests of GenericWebhook.py: the writer, and what waits for it."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import demistomock as demisto
import GenericWebhook as webhook
import gevent
import gevent.event
import gevent.socket
import pytest
from test_data.helpers import await_that, delivery_of

# ---- what waits


def waiting(sender: str, *names: str, size: int = 100) -> webhook.Delivery:
    return delivery_of(*names, sender=sender, size=size)


class TestBacklog:
    @pytest.mark.parametrize("bounds", ["MAX_QUEUED_INCIDENTS", "MAX_QUEUED_BYTES"])
    def test_it_is_bounded_by_count_and_by_bytes(
        self, bounds: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a queue for sixteen incidents, or for 1,600 bytes
        When: a sender fills it, another one with nothing in it comes, and a third
        Then: the first finds no more room, the spare eighth takes two more, and what was refused
            leaves nothing behind; once an event is settled, there is room again
        """
        monkeypatch.setattr(webhook, bounds, 16 if bounds == "MAX_QUEUED_INCIDENTS" else 1600)
        backlog = webhook.Backlog()
        full = waiting("a", *map(str, range(16)))
        backlog.add(full)
        for delivery in (waiting("a", "x"), waiting("b", "x", "y", "z")):
            with pytest.raises(webhook.ServiceUnavailable, match="the queue is full"):
                backlog.add(delivery)
        assert (backlog.incidents, backlog.bytes) == (16, 1600)
        backlog.add(waiting("b", "x"))
        with pytest.raises(webhook.ServiceUnavailable):
            backlog.add(waiting("b", "y"))  # it has one in the queue now
        backlog.add(waiting("c", "x"))
        with pytest.raises(webhook.ServiceUnavailable):
            backlog.add(waiting("d", "x"))  # the spare part is full as well
        assert (backlog.incidents, backlog.bytes) == (18, 1800)
        for event in full.events[:3]:
            backlog.remove(event)
        backlog.add(waiting("a", "x"))
        assert (backlog.incidents, backlog.bytes) == (16, 1600)

    def test_an_empty_one_takes_any_request(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webhook, "MAX_QUEUED_INCIDENTS", 2)
        monkeypatch.setattr(webhook, "MAX_QUEUED_BYTES", 200)
        backlog = webhook.Backlog()
        large = waiting("a", *"abcdefgh", size=1000)
        backlog.add(large)
        assert (backlog.incidents, backlog.bytes) == (8, 8000)
        for event in large.events:
            backlog.remove(event)
        assert (backlog.incidents, backlog.bytes) == (0, 0)
        backlog.add(large)

    def test_a_sender_whose_events_are_settled_has_nothing_in_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a full queue
        When: a sender has one event in it, and that is settled
        Then: the sender finds room in the spare part again
        """
        monkeypatch.setattr(webhook, "MAX_QUEUED_INCIDENTS", 8)
        backlog = webhook.Backlog()
        backlog.add(waiting("a", *"abcdefgh"))
        one = waiting("b", "x")
        backlog.add(one)
        with pytest.raises(webhook.ServiceUnavailable):
            backlog.check_room("b")
        backlog.remove(one.events[0])
        backlog.check_room("b")

    def test_before_the_body_is_read_one_event_without_bytes_is_asked_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook, "MAX_QUEUED_INCIDENTS", 2)
        backlog = webhook.Backlog()
        backlog.check_room("a")
        backlog.add(waiting("a", "x"))
        backlog.check_room("a")
        backlog.add(waiting("a", "y"))
        with pytest.raises(webhook.ServiceUnavailable):
            backlog.check_room("a")


def test_a_request_larger_than_a_call_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given: events of which a call takes three, or 250 bytes
    When: they are cut
    Then: each piece fits, unless it is a single event, and none is lost
    """
    events = waiting("a", *"1234567").events
    monkeypatch.setattr(webhook, "MAX_CALL_INCIDENTS", 3)
    assert [len(piece) for piece in webhook.cut(events)] == [3, 3, 1]
    monkeypatch.setattr(webhook, "MAX_CALL_BYTES", 250)
    assert [len(piece) for piece in webhook.cut(events)] == [2, 2, 2, 1]
    monkeypatch.setattr(webhook, "MAX_CALL_BYTES", 99)
    assert [event for piece in webhook.cut(events) for event in piece] == events
    assert [len(piece) for piece in webhook.cut(events)] == [1] * 7


# ---- the writer


class Xsoar:
    """createIncidents as a test wants it; each call notes the names it was given."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.created: list[str] = []
        self.refused: Callable[[list[str]], bool] = lambda names: False
        self.dropped: set[str] = set()
        self.entered = threading.Event()
        self.hold = threading.Event()
        self.hold.set()

    def create(
        self, incidents: list[dict[str, Any]], lastRun: Any = None, userID: Any = None
    ) -> Any:
        names = [incident["name"] for incident in incidents]
        self.calls.append(names)
        self.entered.set()
        assert self.hold.wait(10)
        if self.refused(names):
            raise ValueError("no, thank you")
        kept = [incident for incident in incidents if incident["name"] not in self.dropped]
        self.created += [incident["name"] for incident in kept]
        return [{**incident, "id": f"id of {incident['name']}"} for incident in kept]


class Desk:
    """A running writer before an XSOAR, and senders that wait for its answers."""

    def __init__(self, xsoar: Xsoar) -> None:
        self.xsoar = xsoar
        self.client = webhook.XsoarClient()
        self.writer = webhook.Writer(self.client)
        self.writer.settled = self.settled
        self.results: dict[webhook.Delivery, gevent.event.AsyncResult] = {}
        self.running = gevent.spawn(self.writer.run)

    def settled(self, event: webhook.Event) -> None:
        """Do what Webhook does with an event that is settled."""
        delivery = event.delivery
        self.writer.backlog.remove(event)
        delivery.open -= 1
        if not delivery.open:
            self.results[delivery].set(webhook.outcomes_of(delivery.events))

    def submit(
        self, *names: str, size: int = 100, sender: str = "192.0.2.1"
    ) -> list[webhook.Outcome]:
        """Submit events of these names as one request and return their outcomes."""
        delivery = delivery_of(*names, size=size, sender=sender)
        result = self.results[delivery] = gevent.event.AsyncResult()
        try:
            self.writer.backlog.add(delivery)
        except webhook.ServiceUnavailable as error:
            return [webhook.Outcome(error.status, reason=error.sentence)] * len(names)
        self.writer.put(delivery.events)
        outcomes: list[webhook.Outcome] = result.get()
        return outcomes

    def send(self, *names: str, size: int = 100, sender: str = "192.0.2.1") -> gevent.Greenlet:
        """Submit events of these names as one request; the greenlet returns their outcomes."""
        greenlet = gevent.spawn(self.submit, *names, size=size, sender=sender)
        gevent.sleep(0)
        return greenlet

    def send_behind_a_call(self, *requests: str, size: int = 100) -> list[gevent.Greenlet]:
        """Submit requests, their names separated by spaces, while a call is in flight.

        That call's own request is the first.
        """
        self.xsoar.hold.clear()
        first = self.send("first")
        await_that(self.xsoar.entered.is_set)
        behind = [self.send(*names.split(), size=size) for names in requests]
        self.xsoar.hold.set()
        return [first, *behind]

    def slow_down(self) -> None:
        """Let calls take half a second, and only a gap of 0.2 s end a wait for senders.

        So it does not matter how busy this machine is.
        """
        wait = self.writer._gathered.wait

        def slow(incidents: list[dict[str, Any]], *_: Any) -> Any:
            self.xsoar.entered.set()
            time.sleep(0.5)  # on the native thread
            return self.xsoar.create(incidents)

        demisto.createIncidents = slow
        self.writer._gathered.wait = lambda seconds: wait(0.2)  # type: ignore[method-assign]

    def send_one_by_one(self, names: str) -> list[gevent.Greenlet]:
        """Send a request for each name, 4 ms after the one before."""
        senders = []
        for name in names:
            senders.append(self.send(name))
            gevent.sleep(0.004)
        return senders

    def problems(self) -> str:
        """The instance's health as it would be shown."""
        return " ".join(self.client._problems.values())

    def logged(self) -> list[str]:
        """The log lines that wait to be sent."""
        return [text for lines in self.client._lines.values() for _, text in lines]


def outcomes_of(sender: gevent.Greenlet) -> list[webhook.Outcome]:
    outcomes: list[webhook.Outcome] = sender.get(timeout=10)
    return outcomes


def ids_of(sender: gevent.Greenlet) -> list[str]:
    """Return the ids a sender is answered, all of them with 200."""
    outcomes = outcomes_of(sender)
    assert [outcome.status for outcome in outcomes] == [200] * len(outcomes)
    return [outcome.created["id"] for outcome in outcomes if outcome.created]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    xsoar = Xsoar()
    monkeypatch.setattr(demisto, "createIncidents", xsoar.create)
    monkeypatch.setattr(webhook, "RETRY_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(webhook, "LONE_RETRY_SECONDS", 0.3)
    desk = Desk(xsoar)
    yield desk
    xsoar.hold.set()
    desk.running.kill()


class TestWriter:
    def test_a_lone_request_is_a_call_of_its_own(self, desk: Desk) -> None:
        """
        Given: an idle writer
        When: requests come one after the other
        Then: each is one call with its own incidents, and gets these back in its order
        """
        assert ids_of(desk.send("a", "b")) == ["id of a", "id of b"]
        assert ids_of(desk.send("c")) == ["id of c"]
        assert desk.xsoar.calls == [["a", "b"], ["c"]]

    def test_what_arrives_during_a_call_goes_in_the_next_one(self, desk: Desk) -> None:
        """
        Given: a call in flight
        When: four requests come, two of them with several incidents
        Then: the next call takes them all in order, and each sender gets exactly its own
        """
        senders = desk.send_behind_a_call("a", "b c", "d", "e f")
        assert [ids_of(sender) for sender in senders[1:]] == [
            ["id of a"],
            ["id of b", "id of c"],
            ["id of d"],
            ["id of e", "id of f"],
        ]
        assert desk.xsoar.calls == [["first"], ["a", "b", "c", "d", "e", "f"]]

    def test_a_call_is_bounded_by_count_and_a_request_stays_in_one_call(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: calls of at most three incidents
        When: requests of one to five incidents wait
        Then: a call takes whole requests up to exactly three; only a larger one is cut
        """
        monkeypatch.setattr(webhook, "MAX_CALL_INCIDENTS", 3)
        for sender in desk.send_behind_a_call("a b", "c", "d e", "f g", "h i j k l"):
            ids_of(sender)
        assert desk.xsoar.calls == [
            ["first"],
            ["a", "b", "c"],
            ["d", "e"],
            ["f", "g"],
            ["h", "i", "j"],
            ["k", "l"],
        ]

    def test_a_call_is_bounded_by_bytes(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Given: calls of at most 1,000 bytes
        When: requests of incidents of 500 bytes wait, and one of incidents of 1,001
        Then: a call takes exactly 1,000 bytes, and what is larger goes alone
        """
        monkeypatch.setattr(webhook, "MAX_CALL_BYTES", 1000)
        for sender in desk.send_behind_a_call("a", "b", "c", "d e f", size=500):
            ids_of(sender)
        assert desk.xsoar.calls == [["first"], ["a", "b"], ["c"], ["d", "e"], ["f"]]
        assert ids_of(desk.send("g", "h", size=1001)) == ["id of g", "id of h"]
        assert desk.xsoar.calls[5:] == [["g"], ["h"]]

    @pytest.mark.parametrize("bad", [{"c"}, {"a"}, {"h"}, {"b", "g"}, {"c", "d"}])
    def test_a_refused_batch_is_split_until_the_bad_ones_stand_alone(
        self, desk: Desk, bad: set[str]
    ) -> None:
        """
        Given: eight requests in one batch, one or two of which XSOAR refuses
        When: they are written
        Then: the bad ones are 502, all others 200, and nothing is created twice
        """
        desk.xsoar.refused = lambda names: bool(bad & set(names))
        senders = desk.send_behind_a_call(*"abcdefgh")
        statuses = {name: outcomes_of(sender)[0] for name, sender in zip("abcdefgh", senders[1:])}
        assert {name for name, outcome in statuses.items() if outcome == webhook.REJECTED} == bad
        assert {name for name, outcome in statuses.items() if outcome.status == 200} == set(
            "abcdefgh"
        ) - bad
        assert sorted(desk.xsoar.created) == sorted({"first", *"abcdefgh"} - bad)
        assert desk.problems() == ""

    def test_an_array_refused_in_part_tells_its_parts_apart(self, desk: Desk) -> None:
        """
        Given: one request with four incidents, the third of which XSOAR refuses
        When: it is written
        Then: three are created, one is bad, in the request's order
        """
        desk.xsoar.refused = lambda names: "c" in names
        outcomes = outcomes_of(desk.send("a", "b", "c", "d"))
        assert [outcome.status for outcome in outcomes] == [200, 200, 502, 200]
        assert outcomes[2] == webhook.REJECTED

    def test_a_bad_incident_is_found_in_few_calls(self, desk: Desk) -> None:
        """
        Given: 128 incidents in one batch, one of them bad
        When: they are written
        Then: it takes two calls for each halving, not one for each incident
        """
        names = [f"n{number}" for number in range(128)]
        desk.xsoar.refused = lambda called: "n77" in called
        outcomes = outcomes_of(desk.send(*names))
        assert [place for place, outcome in enumerate(outcomes) if outcome.status != 200] == [77]
        assert len(desk.xsoar.calls) <= 1 + 2 * 7
        senders = desk.send_behind_a_call(*names)[1:]
        assert [
            place
            for place, sender in enumerate(senders)
            if outcomes_of(sender) == [webhook.REJECTED]
        ] == [77]
        assert len(desk.xsoar.calls) <= 2 * (1 + 2 * 7) + 1

    def test_a_lone_refused_incident_is_retried_for_a_while_and_then_503(self, desk: Desk) -> None:
        """
        Given: a lone incident that XSOAR refuses, which may be bad or meet an outage
        When: nothing else comes
        Then: it is retried with growing pauses, shown in the health, and answered 503
            after LONE_RETRY_SECONDS
        """
        desk.xsoar.refused = lambda names: True
        started = time.monotonic()
        sender = desk.send("a")
        await_that(lambda: desk.problems() != "")
        assert (
            desk.problems() == "XSOAR refuses to create incidents; they are retried: no, thank you"
        )
        assert outcomes_of(sender) == [webhook.OUTAGE]
        assert time.monotonic() - started >= 0.3
        assert 3 <= len(desk.xsoar.calls) <= 7  # 0.02 + 0.04 + 0.08 + 0.16 s, and the last one
        gevent.sleep(0.1)
        assert len(desk.xsoar.calls) <= 7  # nothing waits for it any more

    def test_a_lone_refused_incident_that_was_answered_202_is_retried_with_pauses(
        self, desk: Desk
    ) -> None:
        """Its sender does not wait, so nothing ends the retries but an XSOAR that takes it."""
        desk.xsoar.refused = lambda names: True
        sender = desk.send("a")
        await_that(lambda: desk.xsoar.calls)
        [event] = desk.writer._open
        event.delivery.answered_early = True
        gevent.sleep(0.8)  # over twice LONE_RETRY_SECONDS
        assert not sender.ready()
        assert len(desk.xsoar.calls) < 12
        desk.xsoar.refused = lambda names: False
        assert ids_of(sender) == ["id of a"]

    def test_in_an_outage_nobody_is_bad_and_all_are_created_once_it_is_over(
        self, desk: Desk
    ) -> None:
        """
        Given: an XSOAR that refuses everything
        When: six incidents wait for longer than a lone one would, and then it recovers
        Then: all are created, once, and the health shows the outage and clears
        """
        desk.xsoar.refused = lambda names: True
        senders = [desk.send(name) for name in "abcdef"]
        gevent.sleep(0.5)
        assert not any(sender.ready() for sender in senders)
        assert desk.problems().startswith("XSOAR refuses to create incidents")
        assert len(desk.xsoar.calls) < 40  # six or seven an attempt, and the pauses grow
        desk.xsoar.refused = lambda names: False
        assert [ids_of(sender) for sender in senders] == [[f"id of {name}"] for name in "abcdef"]
        assert sorted(desk.xsoar.created) == list("abcdef")
        assert desk.problems() == ""
        assert desk.writer._pause == webhook.RETRY_PAUSE_SECONDS

    def test_the_first_success_makes_those_still_refused_bad(self, desk: Desk) -> None:
        """
        Given: two bad incidents that XSOAR refuses, which for itself looks like an outage
        When: a good one comes
        Then: it is created at once, and the two are 502
        """
        desk.xsoar.refused = lambda names: bool({"x", "y"} & set(names))
        bad = desk.send("x"), desk.send("y")
        await_that(lambda: desk.problems() != "")
        assert ids_of(desk.send("good")) == ["id of good"]
        assert [outcomes_of(sender) for sender in bad] == [[webhook.REJECTED], [webhook.REJECTED]]
        assert desk.problems() == ""

    def test_an_answer_that_is_none_settles_all_as_unknown(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: an answer that is no JSON, or no list of incidents
        When: two incidents were in the call
        Then: both may exist: 502, nothing is sent again, the next request is served
        """
        for answer in (json.JSONDecodeError("no JSON", "", 0), 7):
            calls: list[int] = []

            def create(
                incidents: list[dict[str, Any]], answer: Any = answer, calls: list[int] = calls
            ) -> Any:
                calls.append(len(incidents))
                if isinstance(answer, Exception):
                    raise answer
                return answer

            monkeypatch.setattr(demisto, "createIncidents", create)
            assert outcomes_of(desk.send("a", "b")) == [
                webhook.MAYBE_CREATED,
                webhook.MAYBE_CREATED,
            ]
            gevent.sleep(0.01)
            assert calls == [2]
            assert desk.problems() == ""  # that is no outage
        assert any("createIncidents of 2 incidents" in text for text in desk.logged())
        monkeypatch.setattr(demisto, "createIncidents", desk.xsoar.create)
        assert ids_of(desk.send("c")) == ["id of c"]

    def test_what_a_rule_drops_is_created_for_nobody(self, desk: Desk) -> None:
        """
        Given: a pre-processing rule that drops one incident of three
        When: they are written
        Then: its sender gets 200 and no incident, the others theirs
        """
        desk.xsoar.dropped = {"b"}
        assert outcomes_of(desk.send("a", "b", "c"))[1] == webhook.Outcome(200, None)
        assert desk.xsoar.created == ["a", "c"]

    def test_a_full_queue_refuses_at_once(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a queue bounded to four incidents, or to 400 bytes, and a call in flight
        When: more come than fit
        Then: exactly what fits is taken, the rest is refused for now, and then there is room again
        """
        for bounds in ({"MAX_QUEUED_INCIDENTS": 4}, {"MAX_QUEUED_BYTES": 400}):
            with monkeypatch.context() as patched:
                for name, value in bounds.items():
                    patched.setattr(webhook, name, value)
                desk.xsoar.entered.clear()
                desk.xsoar.hold.clear()
                taken = [desk.send("first")]
                await_that(desk.xsoar.entered.is_set)
                taken += [desk.send("a", "b")]
                assert [
                    "queue is full" in outcome.reason
                    for outcome in outcomes_of(desk.send("c", "d"))
                ] == [True, True]
                taken += [desk.send("e")]
                assert "queue is full" in outcomes_of(desk.send("f"))[0].reason
                desk.xsoar.hold.set()
                assert [len(ids_of(sender)) for sender in taken] == [1, 2, 1]
                assert (
                    len(ids_of(desk.send(*"ghijklmn"))) == 8
                )  # an idle writer takes a request of any size
        assert (desk.writer.backlog.incidents, desk.writer.backlog.bytes) == (0, 0)
        assert not desk.writer._open

    def test_what_waits_too_long_is_withdrawn_and_what_is_sent_is_awaited(self, desk: Desk) -> None:
        """
        Given: an incident in flight and two requests that wait, one of which came later
        When: the time is up for all but the last, and then for all
        Then: those that wait are answered 503, each in its time, and never sent
        """
        desk.xsoar.hold.clear()
        in_flight = desk.send("a")
        await_that(desk.xsoar.entered.is_set)
        waiting = desk.send("b", "c")
        gevent.sleep(0.05)
        late = desk.send("d")
        first_arrival = min(event.queued_at for event in desk.writer._open)
        desk.writer.withdraw(first_arrival + webhook.WITHDRAW_SECONDS - 0.001)
        assert not waiting.ready()
        assert len(desk.writer._queue) == 2
        desk.writer.withdraw(first_arrival + webhook.WITHDRAW_SECONDS + 0.04)
        assert outcomes_of(waiting) == [webhook.WITHDRAWN, webhook.WITHDRAWN]
        assert not in_flight.ready()
        desk.writer.withdraw(first_arrival + webhook.WITHDRAW_SECONDS + 1)
        assert outcomes_of(late) == [webhook.WITHDRAWN]
        assert not desk.writer._queue
        desk.xsoar.hold.set()
        assert ids_of(in_flight) == ["id of a"]
        assert ids_of(desk.send("e")) == ["id of e"]
        assert desk.xsoar.calls == [["a"], ["e"]]

    def test_what_an_outage_kept_too_long_is_withdrawn_as_that(self, desk: Desk) -> None:
        """
        Given: two incidents that XSOAR refuses
        When: their time is up
        Then: 503 that names the outage, and they are not sent any more
        """
        desk.xsoar.refused = lambda names: True
        senders = desk.send("a"), desk.send("b")
        await_that(lambda: sum(map(len, desk.writer._refused)) == 2)
        desk.writer.withdraw(time.monotonic() + webhook.WITHDRAW_SECONDS)
        assert [outcomes_of(sender) for sender in senders] == [[webhook.OUTAGE], [webhook.OUTAGE]]
        desk.xsoar.refused = lambda names: False
        assert ids_of(desk.send("c")) == ["id of c"]
        assert desk.xsoar.created == ["c"]

    def test_nobody_waits_behind_all_of_a_busy_sender(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a sender with ten requests that wait, and calls of two events
        When: two other senders come
        Then: both are in one of the next two calls
        """
        monkeypatch.setattr(webhook, "MAX_CALL_INCIDENTS", 2)
        desk.xsoar.hold.clear()
        busy = [desk.send("first")]
        await_that(desk.xsoar.entered.is_set)
        busy += [desk.send(f"busy{number}") for number in range(10)]
        others = [desk.send(name, sender=f"192.0.2.{name}") for name in ("7", "8")]
        desk.xsoar.hold.set()
        for sender in [*busy, *others]:
            ids_of(sender)
        assert {"7", "8"} < {*desk.xsoar.calls[1], *desk.xsoar.calls[2]}

    def test_an_outcome_that_cannot_be_reported_stops_nobody(self, desk: Desk) -> None:
        """
        Given: a failure of ours while an outcome is reported
        When: other events are in the same call
        Then: the failure is logged, and the others are answered
        """
        report = desk.writer.settled

        def fail(event: webhook.Event) -> None:
            report(event)
            if event.fields["name"] == "a":
                raise KeyError("s3cret-value")

        desk.writer.settled = fail
        senders = desk.send_behind_a_call("a", "b")
        assert [ids_of(sender) for sender in senders[1:]] == [["id of a"], ["id of b"]]
        assert desk.logged() == ["An outcome could not be reported: KeyError"]

    def test_closing_settles_everything(self, desk: Desk) -> None:
        """
        Given: an incident in flight and one that waits
        When: the writer closes
        Then: the first may have been created, the second was not, and so is whatever comes later
        """
        desk.xsoar.hold.clear()
        in_flight = desk.send("a")
        await_that(desk.xsoar.entered.is_set)
        waiting = desk.send("b")
        desk.writer.close()
        assert outcomes_of(in_flight) == [webhook.STOPPED_IN_FLIGHT]
        assert outcomes_of(waiting) == [webhook.STOPPING]
        assert [
            (outcome.status, "stopping" in outcome.reason)
            for outcome in outcomes_of(desk.send("c"))
        ] == [(503, True)]
        desk.xsoar.hold.set()
        gevent.sleep(0.05)
        assert desk.xsoar.calls == [["a"]]

    def test_a_failure_of_ours_settles_what_it_met_and_the_writer_goes_on(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a failure nobody foresaw, while XSOAR's answer is read
        When: the writer meets it, with another request in the queue
        Then: what was in flight may have been created, what waited was not sent and may be sent
            again, the failure is logged, and later requests are served
        """

        def fail(sent: Any, answer: Any) -> Any:
            monkeypatch.undo()
            raise KeyError("unforeseen")

        monkeypatch.setattr(webhook, "created_outcomes", fail)
        monkeypatch.setattr(demisto, "createIncidents", desk.xsoar.create)
        senders = desk.send_behind_a_call("a")
        assert outcomes_of(senders[0]) == [webhook.MAYBE_CREATED]
        monkeypatch.setattr(demisto, "createIncidents", desk.xsoar.create)
        assert outcomes_of(senders[1]) == [webhook.NOT_SENT]
        assert ids_of(desk.send("b")) == ["id of b"]
        assert desk.xsoar.calls == [["first"], ["b"]]
        assert (desk.writer.backlog.incidents, len(desk.writer._open)) == (0, 0)
        assert "The incident writer failed: KeyError" in desk.logged()

    @pytest.mark.parametrize(
        "outcome, status",
        [
            *(("REJECTED", 502), ("MAYBE_CREATED", 502), ("STOPPED_IN_FLIGHT", 502)),
            *(("OUTAGE", 503), ("WITHDRAWN", 503), ("STOPPING", 503), ("NOT_SENT", 503)),
        ],
    )
    def test_an_outcome_has_the_status_a_retry_understands(self, outcome: str, status: int) -> None:
        """
        Given: the ways an incident can fail
        When: its sender is answered
        Then: 502 where the same again would fail or double it, 503 where it may succeed later
        """
        assert getattr(webhook, outcome).status == status

    def test_the_end_of_an_outage_makes_nobody_bad(self, desk: Desk) -> None:
        """
        Given: an outage that ends between the call with new arrivals and the one with the others
        When: the others are created
        Then: the arrivals are tried again, and are created too
        """
        desk.xsoar.refused = lambda names: (
            "old" not in desk.xsoar.created and ("old" not in names or len(desk.xsoar.calls) < 4)
        )
        old = desk.send("old")
        await_that(lambda: desk.problems() != "")
        arrivals = [desk.send(name) for name in "abcdef"]
        assert ids_of(old) == ["id of old"]
        assert [ids_of(sender) for sender in arrivals] == [[f"id of {name}"] for name in "abcdef"]

    def test_an_array_of_bad_ones_makes_room_for_arrivals(self, desk: Desk) -> None:
        """
        Given: an array of 60 bad incidents, which takes 120 calls to find out
        When: a good one arrives after each call
        Then: it never waits for more calls than CALLS_IN_A_ROW
        """
        desk.xsoar.refused = lambda names: any(name.startswith("bad") for name in names)
        assert ids_of(desk.send("first"))
        array = desk.send(*(f"bad{number}" for number in range(60)), "good one of the array")
        waited: list[int] = []
        while not array.ready():
            before = len(desk.xsoar.calls)
            assert ids_of(desk.send(f"good{before}"))
            waited.append(len(desk.xsoar.calls) - before)
        assert [outcome.status for outcome in outcomes_of(array)] == [502] * 60 + [200]
        assert (
            max(waited[1:]) <= webhook.CALLS_IN_A_ROW + 2
        )  # and that of its own, and one that was in progress

    def test_under_a_steady_load_with_bad_ones_nobody_waits_long(self, desk: Desk) -> None:
        """
        Given: 64 senders that post again as soon as they are answered, every twentieth incident bad
        When: each posts 40 times
        Then: all are answered rightly, and nobody waits for many calls without them
        """
        desk.xsoar.refused = lambda names: any(name.startswith("bad") for name in names)
        longest = 0

        def post_again(sender: int) -> None:
            nonlocal longest
            for turn in range(40):
                number = turn * 64 + sender
                name = f"{'bad' if number % 20 == 7 else 'good'} {number}"
                before = len(desk.xsoar.calls)
                [outcome] = desk.submit(name)
                longest = max(longest, len(desk.xsoar.calls) - before)
                assert outcome.status == (502 if name.startswith("bad") else 200)

        gevent.joinall(
            [gevent.spawn(post_again, sender) for sender in range(64)], timeout=60, raise_error=True
        )
        assert len(desk.xsoar.created) == len(set(desk.xsoar.created)) == 64 * 40 * 19 / 20
        assert longest < 150  # a batch of 64 takes up to 40

    def test_an_array_of_bad_ones_is_parted_from_others_first(self, desk: Desk) -> None:
        """
        Given: a batch of an array of 60 bad incidents and of one good one
        When: nothing else comes
        Then: the good one is created in the first attempt
        """
        desk.xsoar.refused = lambda names: any(name.startswith("bad") for name in names)
        _, array, good = desk.send_behind_a_call(
            " ".join(f"bad{number}" for number in range(60)), "good"
        )
        assert ids_of(good) == ["id of good"]
        place = next(place for place, names in enumerate(desk.xsoar.calls) if names == ["good"])
        assert place <= 14
        assert {outcome.status for outcome in outcomes_of(array)} == {502}

    def test_a_lone_refused_incident_is_answered_in_time_though_the_pause_is_longer(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a pause between attempts that is longer than LONE_RETRY_SECONDS
        When: XSOAR refuses a lone incident
        Then: it is answered after LONE_RETRY_SECONDS, not after the pause
        """
        desk.writer._pause = 5.0
        desk.xsoar.refused = lambda names: True
        started = time.monotonic()
        assert outcomes_of(desk.send("a")) == [webhook.OUTAGE]
        assert time.monotonic() - started < 2
        assert len(desk.xsoar.calls) == 2

    def test_arrivals_of_an_outage_are_not_split_before_their_time(self, desk: Desk) -> None:
        """
        Given: incidents that wait for the end of an outage, their next attempt far away
        When: four more arrive together and are refused
        Then: that costs one call, and the others are not tried either
        """
        desk.writer._pause = 5.0
        desk.xsoar.refused = lambda names: True
        desk.send("x"), desk.send("y")
        await_that(lambda: sum(map(len, desk.writer._refused)) == 2)
        calls, retry_at = len(desk.xsoar.calls), desk.writer._retry_at
        desk.send("a", "b", "c", "d")
        await_that(lambda: sum(map(len, desk.writer._refused)) == 6)
        assert desk.xsoar.calls[calls:] == [["a", "b", "c", "d"]]
        assert desk.writer._retry_at == retry_at

    def test_senders_that_come_back_one_by_one_are_not_waited_for_long(self, desk: Desk) -> None:
        """
        Given: a burst that was answered
        When: others arrive in a trickle that never leaves a quiet gap
        Then: the next call leaves within MAX_GATHER_SECONDS all the same
        """
        senders = desk.send_behind_a_call(*(f"n{number}" for number in range(300)))
        for sender in senders:
            outcomes_of(sender)
        started = time.monotonic()
        calls = len(desk.xsoar.calls)
        number = 0
        while len(desk.xsoar.calls) == calls:
            desk.send(f"trickle{number}")
            number += 1
            gevent.sleep(0)
        assert time.monotonic() - started < 1

    def test_senders_that_come_back_at_once_share_the_next_call(self, desk: Desk) -> None:
        """
        Given: eight senders, each of which posts again as soon as it is answered
        When: each posts five times
        Then: after the first call they travel together, not one ahead of seven
        """

        def post_again(name: str) -> None:
            for turn in range(5):
                assert len(desk.submit(f"{name}{turn}")) == 1
                gevent.sleep(0)

        senders = [gevent.spawn(post_again, name) for name in "abcdefgh"]
        gevent.joinall(senders, timeout=10, raise_error=True)
        assert len(desk.xsoar.created) == 40
        assert len(desk.xsoar.calls) <= 7

    @pytest.mark.parametrize(
        ("work_seconds", "taken"), [(0.03, 10), (10.0, 5)], ids=["a long call", "a short one"]
    )
    def test_a_long_call_is_followed_by_one_for_all_and_a_short_one_by_one_for_half(
        self, desk: Desk, work_seconds: float, taken: int
    ) -> None:
        """
        Given: ten senders, answered by a call that is shorter or longer than our own work for them
        When: each posts again, some milliseconds after the one before
        Then: the next call takes them all, or half of them
        """
        senders = desk.send_behind_a_call(*"abcdefghij")[1:]
        desk.slow_down()
        for sender in senders:
            outcomes_of(sender)
        gevent.joinall([desk.send(name) for name in "klmnopqrst"], timeout=10)
        desk.writer._request_seconds = work_seconds
        again = len(desk.xsoar.calls)
        gevent.joinall([desk.send(name) for name in "KLMNOPQRST"], timeout=10)
        more = desk.send_one_by_one("0123456789")
        for sender in more:
            outcomes_of(sender)
        assert len(desk.xsoar.calls[again + 1]) == taken

    def test_who_came_during_a_long_call_travels_with_those_it_answered(self, desk: Desk) -> None:
        """
        Given: a long call for five senders, and five others who have come meanwhile
        When: the first five post again, some milliseconds after one another
        Then: one call takes all ten, where two groups in turn would each wait for the other's call
        """
        desk.slow_down()
        first = desk.send("first")
        await_that(desk.xsoar.entered.is_set)
        five = [desk.send(name) for name in "abcde"]
        outcomes_of(first)
        await_that(lambda: desk.writer.is_calling)
        others = [desk.send(name) for name in "fghij"]
        desk.writer._request_seconds = 0.03
        for sender in five:
            outcomes_of(sender)
        for sender in [*desk.send_one_by_one("01234"), *others]:
            outcomes_of(sender)
        assert [len(call) for call in desk.xsoar.calls] == [1, 5, 10]

    def test_work_for_those_who_come_during_a_call_is_not_held_against_it(self, desk: Desk) -> None:
        """
        Given: the call of a lone sender, during which two hundred others are read
        When: the writer measures what a request takes it
        Then: it is the work for one of all those, not for all of them
        """
        desk.xsoar.hold.clear()
        first = desk.send("first")
        await_that(desk.xsoar.entered.is_set)
        others = [desk.send(f"n{number}") for number in range(200)]
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass
        desk.xsoar.hold.set()
        assert ids_of(first) == ["id of first"]
        await_that(lambda: all(other.ready() for other in others))
        assert desk.writer._request_seconds < 0.3 / webhook.WORK_MEMORY / 10

    def test_a_call_of_one_sender_is_followed_at_once(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a writer whose call had one sender
        When: that sender posts again and again
        Then: it never waits for others to come back
        """
        waits: list[float] = []
        monkeypatch.setattr(desk.writer._gathered, "wait", waits.append)
        for turn in range(5):
            assert len(ids_of(desk.send(f"a{turn}"))) == 1
        assert waits == []

    def test_a_good_incident_between_bad_ones_is_created(self, desk: Desk) -> None:
        """
        Given: a batch in which good incidents are among bad ones, so that each half is refused
        When: nothing else comes that could tell bad ones from an outage
        Then: each gets its turn alone, the good ones are created and the bad ones 502
        """
        desk.xsoar.refused = lambda names: any(name.startswith("bad") for name in names)
        names = ["bad1", "bad2", "good1", "bad3", "bad4", "good2", "bad5"]
        senders = desk.send_behind_a_call(*names)[1:]
        statuses = [outcomes_of(sender)[0].status for sender in senders]
        assert statuses == [502, 502, 200, 502, 502, 200, 502]
