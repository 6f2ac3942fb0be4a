"""Unit tests of GenericWebhook.py: seen events, and the integration context."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import demistomock as demisto
import GenericWebhook as webhook
import gevent
import gevent.event
import pytest
from test_data.helpers import (
    HeldWriter,
    RecordingClient,
    await_that,
    delivery_of,
    event_named,
    settings,
)

# ---- seen events


class Seeing:
    """Seen events before a writer that settles when a test says so."""

    def __init__(self, forget_seconds: float | None = None) -> None:
        self.writer, self.counters = HeldWriter(RecordingClient()), webhook.Counters()
        self.writer.waits = True
        self.events = webhook.SeenEvents(self.writer, self.counters, forget_seconds)
        self.settled: list[webhook.Event] = []
        self.events.settled = self.settled.append

    def send(self, *keys: str | None) -> list[webhook.Event]:
        """Submit a request with events of these keys, and return the events."""
        delivery = delivery_of(*map(str, keys), keys=keys)
        self.events.submit(delivery.events)
        return delivery.events

    def settle(self, outcome: webhook.Outcome) -> None:
        """Settle the events of the oldest request that the writer was given."""
        self.writer.settle(outcome)

    @property
    def asked(self) -> list[str]:
        """The names of all events the writer was given."""
        return [event.fields["name"] for event in self.writer.taken]


def became(events: list[webhook.Event]) -> list[Any]:
    """Return the ID of each event's incident, marked where it is a duplicate, or its outcome."""
    return [
        outcome
        if (outcome := event.outcome) is None or outcome.created is None
        else f"{outcome.created['id']}{', a duplicate' if event.is_duplicate else ''}"
        for event in events
    ]


def created_as(number: str) -> webhook.Outcome:
    return webhook.Outcome(200, {"id": number, "name": "n", "rawJSON": "{}", "severity": 3})


DUPLICATE = "7, a duplicate"


class TestSeenEvents:
    def test_all_that_arrive_while_the_first_is_in_progress_get_its_incident(self) -> None:
        seeing = Seeing()
        first, second, third = seeing.send("a"), seeing.send("a"), seeing.send("b", "a", "a")
        assert became([*first, *second, *third]) == [None] * 5
        seeing.settle(created_as("7"))
        assert became([*first, *second, *third]) == ["7", DUPLICATE, None, DUPLICATE, DUPLICATE]
        assert second[0].outcome == webhook.Outcome(
            200, {"id": "7", "name": "n", "duplicate": True}
        )
        assert first[0].outcome == created_as("7")
        seeing.settle(created_as("8"))
        assert became(third) == ["8", DUPLICATE, DUPLICATE]
        assert became(seeing.send("a")) == [DUPLICATE]  # at once
        assert seeing.asked == ["a", "b"]
        assert seeing.counters.total("duplicates") == 4
        assert len(seeing.settled) == len(set(seeing.settled)) == 6

    def test_an_event_without_a_key_is_always_new(self) -> None:
        seeing = Seeing()
        first, second = seeing.send(None), seeing.send(None, None)
        seeing.settle(created_as("1"))
        seeing.settle(created_as("2"))
        assert became([*first, *second]) == ["1", "2", "2"]
        assert not seeing.events.seen

    @pytest.mark.parametrize("outcome", [webhook.REJECTED, webhook.DROPPED])
    def test_what_xsoar_did_not_take_is_tried_by_the_next_request(
        self, outcome: webhook.Outcome
    ) -> None:
        """
        Given: a request with an event twice, and three others that wait for the same event
        When: XSOAR does not take the first one's, nor the second one's
        Then: both of the first request's share the outcome; each other request tries in its turn,
            and the last one has the third one's incident
        """
        seeing = Seeing()
        first, second = seeing.send("a", "a"), seeing.send("a")
        third, last = seeing.send("a"), seeing.send("a")
        seeing.settle(outcome)
        assert became([*first, *second, *third, *last]) == [outcome, outcome, None, None, None]
        assert seeing.asked == ["a", "a"]
        seeing.settle(outcome)
        assert became([*second, *third, *last]) == [outcome, None, None]
        seeing.settle(created_as("7"))
        assert became([*third, *last]) == ["7", DUPLICATE]
        assert became(seeing.send("a")) == [DUPLICATE]
        assert len(seeing.settled) == len(set(seeing.settled)) == 6

    def test_after_an_outage_the_next_request_tries_once(self) -> None:
        """
        Given: a request with an event twice, whose content XSOAR refuses, and others with the same
            key and another content
        When: the first meets an outage, as a lone refused event does, and the next one is created
        Then: the outage is the first request's alone, and the others have the incident
        """
        seeing = Seeing()
        first, second, third = seeing.send("a", "a"), seeing.send("a"), seeing.send("a")
        second[0].fields["details"] = "another content"
        seeing.settle(webhook.OUTAGE)
        assert became([*first, *second, *third]) == [webhook.OUTAGE, webhook.OUTAGE, None, None]
        assert seeing.writer.taken[-1] is second[0]
        seeing.settle(created_as("7"))
        assert became([*second, *third]) == ["7", DUPLICATE]

    def test_a_second_outage_is_that_of_all_that_wait(self) -> None:
        seeing = Seeing()
        first, second = seeing.send("a"), seeing.send("a")
        third, last = seeing.send("a"), seeing.send("a")
        seeing.settle(webhook.OUTAGE)
        seeing.settle(webhook.OUTAGE)
        assert became([*first, *second, *third, *last]) == [webhook.OUTAGE] * 4
        assert seeing.asked == ["a", "a"]
        assert became(seeing.send("a")) == [None]  # nothing is remembered, so the next one is new

    @pytest.mark.parametrize(
        "outcome",
        [
            *(webhook.MAYBE_CREATED, webhook.STOPPED_IN_FLIGHT, webhook.NOT_SENT),
            *(webhook.WITHDRAWN, webhook.STOPPING),
        ],
    )
    def test_what_is_true_of_the_first_is_true_of_all_that_wait(
        self, outcome: webhook.Outcome
    ) -> None:
        seeing = Seeing()
        sent = [*seeing.send("a"), *seeing.send("a"), *seeing.send("a")]
        seeing.settle(outcome)
        assert became(sent) == [outcome] * 3
        seeing.send("a")
        assert seeing.asked == ["a", "a"]  # nothing is remembered, so the next one is new

    def test_a_request_that_has_waited_too_long_is_not_the_next_to_try(self) -> None:
        seeing = Seeing()
        seeing.send("a")
        late, in_time = seeing.send("a"), seeing.send("a")
        late[0].delivery.accepted_at -= webhook.WITHDRAW_SECONDS
        seeing.settle(webhook.REJECTED)
        assert became([*late, *in_time]) == [webhook.WITHDRAWN, None]
        seeing.settle(created_as("7"))
        assert became(in_time) == ["7"]

    def test_an_event_is_forgotten_after_its_time(self, at: Callable[[float], None]) -> None:
        seeing = Seeing(forget_seconds=60)
        at(1000.0)
        seeing.send("a")
        seeing.settle(created_as("7"))
        at(1059.0)
        assert became(seeing.send("a")) == [DUPLICATE]
        at(1060.0)
        assert became(seeing.send("a")) == [None]
        assert seeing.asked == ["a", "a"]

    def test_a_time_of_a_clock_that_was_ahead_counts_from_now(
        self, at: Callable[[float], None]
    ) -> None:
        """
        Given: an event that was created when the clock was a year ahead
        When: the clock is right again
        Then: the event is seen, and forgotten its time after that, not a year later
        """
        seeing = Seeing(forget_seconds=60)
        at(1000.0 + 365 * 86_400)
        seeing.send("a")
        seeing.settle(created_as("7"))
        at(1000.0)
        assert became(seeing.send("a")) == [DUPLICATE]
        at(1059.0)
        assert became(seeing.send("a")) == [DUPLICATE]
        at(1060.0)
        assert became(seeing.send("a")) == [None]

    def test_the_oldest_of_too_many_is_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webhook, "MAX_FOUND_IDS", 2)
        seeing = Seeing()
        for key in "abc":
            seeing.send(key)
            seeing.settle(created_as(key))
        assert list(seeing.events.seen) == ["b", "c"]


# ---- samples and the integration context


class Keeping:
    """A keeper before the integration context of the stand-in, with what it keeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, context: Any, **params: Any) -> None:
        monkeypatch.setattr(demisto, "integrationContext", context)
        monkeypatch.setattr(demisto, "integrationContextVersion", 5)
        self.client = RecordingClient()
        self.samples = webhook.Samples(webhook.WorkerThread())
        self.status = {"since": "then"}
        kept = settings(**{"store_samples": True, "duplication_key": "id", **params})
        self.events = webhook.SeenEvents(
            HeldWriter(self.client), webhook.Counters(), kept.duplicate_seconds
        )
        self.keeper = webhook.ContextKeeper(
            self.client, kept, self.samples, self.events, lambda: dict(self.status)
        )

    def load(self) -> "Keeping":
        """Let the keeper find what the context holds, and nothing more."""
        running = gevent.spawn(self.keeper.run)
        assert self.keeper.loaded.wait(10)
        running.kill()
        return self

    def see(self, key: str, incident: str, created: float = 1000.0) -> None:
        self.events.remember(key, webhook.Seen({"id": incident}, created))
        self.events.changed()

    def stored(self, key: str) -> Any:
        """What the context holds under a key; all of it has to be text."""
        assert all(isinstance(value, str) for value in demisto.integrationContext.values())
        return json.loads(demisto.integrationContext[key])


def sample_named(name: str) -> dict[str, Any]:
    return dict(event_named(name).fields)


class TestContextKeeper:
    def test_a_long_key_of_an_earlier_version_is_found_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a long key in the context, as an earlier version wrote it
        When: the context is loaded
        Then: it is known by what an event's key is shortened to
        """
        long = "a:" + "x" * 500
        keeping = Keeping(monkeypatch, {"found_ids": json.dumps([long])}).load()
        assert list(keeping.events.seen) == [webhook.shorten_key(long)]

    def test_what_the_context_held_stands_before_what_is_new(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a context with samples, seen events and another key; an incident and an event since
        When: it is loaded, and written
        Then: the older ones are known and stand first, and what is not ours stays
        """
        context = {
            "sample_events": json.dumps([sample_named(str(number)) for number in range(20)]),
            "found_ids": '{"id:1": "1", "id:2": null, "id:new": "old"}',
            "others": {"a": 1},
        }
        keeping = Keeping(monkeypatch, context)
        keeping.keeper.add_sample(event_named("new"))
        keeping.see("id:new", "3")
        keeping.load()
        assert list(keeping.events.seen) == ["id:1", "id:2", "id:new"]
        assert [seen.metadata for seen in keeping.events.seen.values()] == [
            {"id": "1"},
            {},
            {"id": "3"},
        ]
        assert keeping.keeper.flush()
        assert [sample["name"] for sample in keeping.stored("sample_events")] == [
            *map(str, range(1, 20)),
            "new",
        ]
        assert keeping.stored("found_ids") == {"id:1": "1", "id:2": None, "id:new": "3"}
        assert keeping.stored("others") == {"a": 1}
        assert keeping.stored("status")["since"] == "then"
        assert demisto.integrationContextVersion == 6

    def test_of_too_many_events_the_newest_are_loaded(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook, "MAX_FOUND_IDS", 2)
        keeping = Keeping(
            monkeypatch, {"found_ids": '{"id:1": "1", "id:2": "2", "id:3": "3"}'}
        ).load()
        assert list(keeping.events.seen) == ["id:2", "id:3"]

    def test_nothing_is_written_where_nothing_changed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keeping = Keeping(monkeypatch, {}).load()
        calls = keeping.client.calls
        assert keeping.keeper.flush()
        assert keeping.client.calls == calls
        assert demisto.integrationContextVersion == 5

    def test_only_what_the_parameters_ask_for_is_written(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keeping = Keeping(monkeypatch, {}, store_samples=False, duplication_key="").load()
        keeping.keeper.add_sample(event_named("n"))
        assert keeping.keeper.flush()
        assert set(demisto.integrationContext) == {"status"}

    def test_when_events_were_created_is_kept_where_they_are_forgotten(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        context = {
            "found_ids": '{"id:1": "1", "id:2": "2"}',
            "found_times": '{"id:1": 500, "id:2": "damaged"}',
        }
        keeping = Keeping(monkeypatch, context, duplicate_hours="1")
        started = time.time()
        keeping.load()
        first, second = keeping.events.seen.values()
        assert first.created == 500
        assert second.created >= started  # without a time it is as new as can be
        keeping.see("id:3", "3", created=1234.5)
        assert keeping.keeper.flush()
        assert keeping.stored("found_times") == {
            "id:1": 500,
            "id:2": int(second.created),
            "id:3": 1234,
        }

    def test_what_is_forgotten_in_memory_is_forgotten_in_the_context(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An event that is due again after its time would be new, and a duplicate after a start."""
        now = time.time()
        context = {
            "found_ids": '{"id:1": "1", "id:2": "2"}',
            "found_times": f'{{"id:1": {now - 7200}, "id:2": {now - 60}}}',
        }
        keeping = Keeping(monkeypatch, context, duplicate_hours="1").load()
        assert keeping.events._find("id:1") is None
        keeping.see("id:3", "3", created=now)
        assert keeping.keeper.flush()
        assert keeping.stored("found_ids") == {"id:2": "2", "id:3": "3"}
        assert keeping.stored("found_times") == {"id:2": int(now - 60), "id:3": int(now)}

    @pytest.mark.parametrize("failures", [[webhook.XsoarRefused("stale")], []])
    def test_a_version_that_is_an_old_one_is_read_again(
        self, monkeypatch: pytest.MonkeyPatch, failures: list[Exception]
    ) -> None:
        keeping = Keeping(monkeypatch, {}).load()
        keeping.see("id:1", "1")
        keeping.client.failures = failures
        assert keeping.keeper.flush()
        assert keeping.stored("found_ids") == {"id:1": "1"}
        assert keeping.client.problems == {}

    @pytest.mark.parametrize(
        "failures", [[webhook.XsoarRefused("no")] * 2, [webhook.UnreadableAnswer("what?")]]
    )
    def test_a_context_that_cannot_be_reached_is_reported_and_tried_again(
        self, monkeypatch: pytest.MonkeyPatch, failures: list[Exception]
    ) -> None:
        keeping = Keeping(monkeypatch, {}).load()
        keeping.see("id:1", "1")
        keeping.client.failures = list(failures)
        assert not keeping.keeper.flush()
        assert keeping.client.problems["Integration context"].startswith(
            "The integration context cannot be reached"
        )
        assert "found_ids" not in demisto.integrationContext
        assert keeping.keeper.flush()  # what changed is not forgotten
        assert keeping.stored("found_ids") == {"id:1": "1"}
        assert keeping.client.problems == {}

    @pytest.mark.parametrize(
        "context",
        ["no object", [1], {"found_ids": "{", "sample_events": "5", "promised": '[{"fields": 1}]'}],
    )
    def test_damaged_data_is_reported_once_and_replaced(
        self, monkeypatch: pytest.MonkeyPatch, context: Any
    ) -> None:
        keeping = Keeping(monkeypatch, context).load()
        assert not keeping.events.seen
        keeping.see("id:1", "1")
        keeping.client.failures = [webhook.XsoarRefused("no")] * 2
        assert not keeping.keeper.flush()
        assert keeping.keeper.flush()
        assert keeping.stored("found_ids") == {"id:1": "1"}
        [reported] = [line for line in keeping.client.logged if "damaged data" in line]
        for damage in ("it is no",) if not isinstance(context, dict) else context:
            assert damage in reported

    @pytest.mark.parametrize(
        "what, samples, events",
        [("samples", False, True), ("events", True, False), ("all", False, False)],
    )
    def test_what_a_command_wants_forgotten_is_forgotten_in_memory_too(
        self, monkeypatch: pytest.MonkeyPatch, what: str, samples: bool, events: bool
    ) -> None:
        keeping = Keeping(monkeypatch, {}).load()
        keeping.keeper.add_sample(event_named("small"))
        keeping.keeper.add_sample(event_named("large", 50_000))
        await_that(lambda: len(keeping.samples.items) == 2)
        keeping.see("id:1", "1")
        assert keeping.keeper.flush()
        demisto.integrationContext["reset"] = what
        keeping.keeper.add_sample(event_named("late", 50_000))
        keeping.samples.add(event_named("too late"))
        assert keeping.keeper.flush()
        assert "reset" not in demisto.integrationContext
        assert bool(keeping.stored("sample_events")) == bool(keeping.samples.items) == samples
        assert bool(keeping.stored("found_ids")) == bool(keeping.events.seen) == events
        assert keeping.client.logged == [f"generic-webhook-reset: {what} forgotten."]

    def test_large_samples_are_cut_by_the_worker_thread_and_the_newest_are_kept(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook, "MAX_LARGE_SAMPLES_BYTES", 500_000)
        keeping = Keeping(monkeypatch, {}).load()
        for number in range(3):
            raw = json.dumps({"n": number, "text": "x" * 200_000})
            keeping.keeper.add_sample(webhook.Event({"name": str(number), "rawJSON": raw}, None, 0))
        assert not keeping.samples.items
        await_that(lambda: len(keeping.samples.items) == 2)
        assert keeping.keeper.flush()
        kept = keeping.stored("sample_events")
        assert [sample["name"] for sample in kept] == ["1", "2"]
        assert all(len(json.dumps(sample)) <= webhook.MAX_SAMPLE_BYTES for sample in kept)

    def test_it_goes_on_by_itself(
        self, monkeypatch: pytest.MonkeyPatch, quick: list[float]
    ) -> None:
        """
        Given: a context that cannot be read at first, and cannot be written at the first tries
        When: the keeper runs
        Then: it reads again, writes what changed, and the status each time that has changed
        """
        monkeypatch.setattr(webhook, "KEEPER_SECONDS", 0.02)
        monkeypatch.setattr(webhook, "FLUSH_SECONDS", 0.1)
        keeping = Keeping(monkeypatch, {"found_ids": '{"id:0": "0"}'})
        keeping.client.failures = [webhook.UnreadableAnswer("what?")] * 3
        running = gevent.spawn(keeping.keeper.run)
        await_that(keeping.keeper.loaded.is_set)
        assert not keeping.keeper.read.is_set()  # it is not waited for, and read all the same
        await_that(keeping.keeper.read.is_set)
        assert "id:0" in keeping.events.seen
        keeping.client.failures = [webhook.UnreadableAnswer("what?")] * 2
        keeping.see("id:1", "1")
        await_that(lambda: "id:1" in demisto.integrationContext.get("found_ids", ""))
        keeping.status["since"] = "now"
        await_that(lambda: "now" in demisto.integrationContext["status"])
        version = demisto.integrationContextVersion
        gevent.sleep(10)  # hundredths
        assert demisto.integrationContextVersion == version  # an unchanged status is not written
        keeping.see("id:2", "2")
        gevent.sleep(1)
        keeping.see("id:3", "3")
        await_that(lambda: "id:3" in demisto.integrationContext["found_ids"])
        assert demisto.integrationContextVersion == version + 1  # one write for both
        running.kill()


# ---- early answers


class Promising(Keeping):
    """A keeper that runs, and has read the context."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, context: Any, **params: Any) -> None:
        super().__init__(monkeypatch, context, **params)
        self.running = gevent.spawn(self.keeper.run)
        await_that(self.keeper.read.is_set)

    def stop(self) -> None:
        self.running.kill()
        self.keeper.close(1.0)

    def names(self) -> list[str]:
        """The names of the promised events that the context holds."""
        if "promised" not in demisto.integrationContext:
            return []
        return [item["fields"]["name"] for item in self.stored("promised")]


@pytest.fixture
def promising(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Promising]]:
    """Return a function that starts a keeper with what the context holds."""
    started: list[Promising] = []

    def start(context: Any = None, **params: Any) -> Promising:
        started.append(Promising(monkeypatch, {} if context is None else context, **params))
        return started[-1]

    yield start
    for one in started:
        one.running.kill()


class TestPromises:
    def test_a_promise_is_in_the_context_when_it_returns(
        self, promising: Callable[..., Promising], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a delivery with three events, one of which is settled
        When: it is promised
        Then: the context holds the two others, all that is needed to create them, at once
        """
        keeping = promising()
        delivery = delivery_of("a", "b", "c", keys=("id:a", None, None))
        delivery.events[1].outcome = created_as("7")
        monkeypatch.setattr(webhook, "FLUSH_SECONDS", 1000.0)  # for which it does not wait
        assert keeping.keeper.promise(delivery.events, 10)
        a, _, c = delivery.events
        assert keeping.stored("promised") == [
            {"fields": a.fields, "key": "id:a", "request": delivery.id, "index": 0},
            {"fields": c.fields, "key": None, "request": delivery.id, "index": 2},
        ]
        assert keeping.keeper.promise([], 10)  # nothing is lost by a promise of nothing
        assert keeping.names() == ["a", "c"]

    @pytest.mark.parametrize("failure", [webhook.XsoarRefused("no"), webhook.UnreadableAnswer("?")])
    def test_without_an_answer_it_returns_in_time(
        self,
        promising: Callable[..., Promising],
        failure: Exception,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        Given: a context that cannot be written
        When: an event is promised
        Then: that is known after the time allowed, and it is written once it can be
        """
        keeping = promising()
        monkeypatch.setattr(webhook, "FLUSH_SECONDS", 0.05)
        keeping.client.failures = [failure] * 1000
        assert not keeping.keeper.promise([event_named("a")], 0.1)
        assert keeping.names() == []
        keeping.client.failures.clear()
        assert keeping.keeper.promise([event_named("b")], 10)
        assert keeping.names() == ["a", "b"]

    def test_two_promises_at_the_same_time_are_both_kept(
        self, promising: Callable[..., Promising]
    ) -> None:
        keeping = promising()
        waiting = [gevent.spawn(keeping.keeper.promise, [event_named(name)], 10) for name in "ab"]
        assert [one.get(timeout=10) for one in waiting] == [True, True]
        assert keeping.names() == ["a", "b"]

    def test_a_write_that_began_before_does_not_count(
        self, promising: Callable[..., Promising], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a write of the context that has begun
        When: an event is promised before its answer arrives
        Then: the promise returns after the next write, which holds the event
        """
        keeping = promising()
        promises: list[gevent.Greenlet] = []
        call = keeping.client.call

        def promise() -> list[str]:
            assert keeping.keeper.promise([event_named("late")], 10)
            return keeping.names()

        def slow(function: Callable[..., Any], *args: Any) -> Any:
            if promises:
                gevent.sleep(0.05)
            result = call(function, *args)
            if not promises:
                promises.append(gevent.spawn(promise))
                gevent.sleep(0.01)
            return result

        monkeypatch.setattr(keeping.client, "call", slow)
        assert keeping.keeper.promise([event_named("first")], 10)
        assert promises[0].get(timeout=10) == ["first", "late"]

    def test_what_is_settled_is_promised_no_more(self, promising: Callable[..., Promising]) -> None:
        keeping = promising()
        events = delivery_of("a", "b").events
        assert keeping.keeper.promise(events, 10)
        keeping.keeper.early_answer_settled(event_named("another"))
        keeping.keeper.early_answer_settled(events[0])
        await_that(lambda: keeping.names() == ["b"])
        keeping.keeper.early_answer_settled(events[1])
        await_that(lambda: "promised" not in demisto.integrationContext)

    def test_the_next_start_finds_it(self, promising: Callable[..., Promising]) -> None:
        """
        Given: two deliveries that were answered 202, one event of which is created by the stop
        When: the container is stopped and started again
        Then: the others are restored, under their marks, and stay in the context until settled
        """
        keeping = promising()
        first, second = delivery_of("a", "b", keys=("id:a", None)), delivery_of("c")
        assert keeping.keeper.promise([*first.events, *second.events], 10)
        keeping.keeper.early_answer_settled(first.events[0])
        keeping.stop()
        assert keeping.client.unanswered == []
        next_start = promising(demisto.integrationContext)
        restored = next_start.keeper.restored
        assert [event.fields["name"] for event in restored] == ["b", "c"]
        assert [event.mark for event in restored] == [f"{first.id}/1", f"{second.id}/0"]
        assert [event.fields for event in restored] == [
            first.events[1].fields,
            second.events[0].fields,
        ]
        assert all(event.delivery.answered_early for event in restored)
        assert all(f'"delivery":"{event.mark}"' in event.fields["rawJSON"] for event in restored)
        next_start.keeper.early_answer_settled(restored[0])
        await_that(lambda: next_start.names() == ["c"])
        next_start.keeper.early_answer_settled(restored[1])
        await_that(lambda: next_start.names() == [])

    def test_what_an_earlier_version_promised_gets_its_mark(
        self, promising: Callable[..., Promising]
    ) -> None:
        """
        Given: a context with promised events of a version whose rawJSON bore no marks
        When: the container starts
        Then: each event gets a mark of its own in its rawJSON, which is otherwise as it was
        """
        fields = {"name": "old", "rawJSON": '{"price": 1.10,"headers":{}}'}
        item = {"fields": fields, "key": "id:1", "request": "0123456789ab"}
        keeping = promising({"promised": json.dumps([item, item])})
        first, second = keeping.keeper.restored
        assert first.mark != second.mark
        for event in (first, second):
            raw = event.fields["rawJSON"]
            assert raw.startswith('{"price": 1.10,"headers":{},')
            assert json.loads(raw)["webhook"] == {"delivery": event.mark}
            assert (event.key, event.index, event.delivery.answered_early) == ("id:1", 0, True)
        created = webhook.match_incidents([first, second], [second.fields | {"id": "2"}])
        assert webhook.created_outcomes([first, second], created) == [
            webhook.DROPPED,
            webhook.Outcome(200, second.fields | {"id": "2"}),
        ]

    def test_a_context_that_could_not_be_read_keeps_its_promises(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a context with a promised event that could not be read yet, and a new promise
        When: the context is written first
        Then: the old promise stays in it, is restored, and the next write holds both
        """
        old = delivery_of("old").events[0]
        item = {"fields": old.fields, "key": None, "request": old.delivery.id, "index": 0}
        keeping = Keeping(monkeypatch, {"promised": json.dumps([item])})
        assert not keeping.keeper.promise([event_named("new")], 0.01)
        assert keeping.keeper.flush()
        assert keeping.stored("promised") == [item]
        assert [event.mark for event in keeping.keeper.restored] == [old.mark]
        keeping.events.changed()
        assert keeping.keeper.flush()
        assert sorted(item["fields"]["name"] for item in keeping.stored("promised")) == [
            "new",
            "old",
        ]

    def test_at_a_stop_without_an_answer_it_is_left_unanswered(
        self, promising: Callable[..., Promising], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a promised event, and a connection on which a call does not return any more
        When: the webhook stops
        Then: the context with the event is sent without an answer being awaited
        """
        keeping = promising({"others": "kept"})
        keeping.client.failures = [webhook.UnreadableAnswer("?")] * 1000
        assert not keeping.keeper.promise([event_named("a")], 0.01)
        hanging = gevent.event.Event()
        monkeypatch.setattr(keeping.client, "call", lambda *_: hanging.wait())
        keeping.running.kill()
        keeping.keeper.close(0.05)
        [(command, args)] = keeping.client.unanswered
        assert command == "setIntegrationContext"
        assert (args["version"], args["sync"], args["value"]["others"]) == (-1, True, "kept")
        [item] = json.loads(args["value"]["promised"])
        assert item["fields"]["name"] == "a"
        hanging.set()

    def test_nothing_is_left_where_nothing_was_promised_or_read(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keeping = Keeping(monkeypatch, {})
        keeping.keeper.promised["a/0"] = event_named("a")
        keeping.keeper.leave_promises()  # it would replace a context that is not known
        keeping.keeper.promised.clear()
        keeping.load()
        keeping.keeper.leave_promises()
        assert keeping.client.unanswered == []

    def test_promises_that_have_no_room_in_the_context_are_reported_at_the_stop(
        self, promising: Callable[..., Promising], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook, "MAX_PROMISED_BYTES", 1000)
        keeping = promising()
        small, large, last = event_named("a"), event_named("b" * 2000), event_named("c")
        assert keeping.keeper.promise([small, large, last], 10)
        assert keeping.names() == ["a", "c"]
        assert keeping.client.logged == []  # there may be room by the next write
        keeping.stop()
        assert keeping.names() == ["a", "c"]
        [lost] = keeping.client.logged
        assert lost.endswith(f"these requests are lost: {large.delivery.id}")
