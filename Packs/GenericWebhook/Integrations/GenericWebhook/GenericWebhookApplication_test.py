"""Unit tests of GenericWebhook.py: the life of a request, its routes, and early answers."""

import gzip
import hmac
import json
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import bottle
import demistomock as demisto
import GenericWebhook as webhook
import gevent
import gevent.event
import HTTPServerApiModule
import pytest
import standardwebhooks
from test_data.helpers import (
    Application,
    await_that,
    content_of,
    credentials,
    delivery_of,
    posted,
    statuses_of,
)

Make = Callable[..., Application]
BASIC = b"Authorization: Basic dXNlcjpwYXNz"  # user:pass
MANY_EVENTS = json.dumps([{"n": number} for number in range(50)]).encode()
LARGE_BODY = b'{"a": "' + b"x" * 40_000 + b'"}'


def raws_of(app: Application) -> list[dict[str, Any]]:
    return [json.loads(event.fields["rawJSON"]) for event in app.writer.taken]


class TestRequest:
    def test_requests_of_one_connection_are_answered_in_order(self, application: Make) -> None:
        app = application(store_samples=True)
        received = app.answers(posted() * 20)
        assert [json.loads(part)[0]["id"] for part in re.findall(rb"\[.*?\]", received)] == [
            str(number) for number in range(1, 21)
        ]
        assert b"rawJSON" not in received
        assert app.counters.total("incidents created") == 20
        assert len(app.keeper._samples.items) == 20
        assert not app.failures
        assert (app.writer.backlog.incidents, app.writer.backlog.bytes) == (0, 0)
        assert app.connections.in_progress == 0

    def test_a_later_answer_precedes_the_next_request(self, application: Make) -> None:
        app = application()
        app.writer.waits = True
        sender = app.begin(posted() + b"broken")
        await_that(lambda: app.writer.later)
        gevent.sleep(0.02)
        assert sender.received == b""
        app.writer.settle()
        assert statuses_of(sender.answers()) == [200, 400]

    @pytest.mark.parametrize(
        ("data", "statuses"),
        [
            (posted(b"[]") + posted(), [400, 200]),
            (posted(b"{}", b"Connection: close") + posted(), [200]),
            (posted(b"{}", version=b"1.0") + posted(), [200]),
            (posted(b"{}", b"Connection: keep-alive", version=b"1.0") + posted(), [200, 200]),
            (posted(b"{}", method=b"PATCH") + posted(), [200, 200]),
            (posted(b"{}", method=b"PURGE") + posted(), [405]),
            (posted(b"", method=b"DELETE") + posted(), [405, 200]),
            (posted(b"", method=b"GET"), [200]),
            (posted(b"", target=b"/?x=1", method=b"GET"), [405]),
            (posted(b"", target=b"/deep/path?x=1"), [200]),
            (posted(b"{}", b"Content-Encoding: br"), [415]),
            (posted(b"{}", b"Expect: 100-continue"), [100, 200]),
            (posted(LARGE_BODY), [200]),
            (posted(MANY_EVENTS), [200]),
            (posted(gzip.compress(MANY_EVENTS), b"Content-Encoding: gzip"), [200]),
            (posted(b"{}") + b"GET", [200, 400]),
        ],
    )
    def test_a_request_is_answered(
        self, application: Make, data: bytes, statuses: list[int]
    ) -> None:
        app = application()
        assert app.statuses(data) == statuses
        assert not app.failures
        assert app.connections.in_progress == 0

    def test_what_became_of_an_array_is_reported(self, application: Make) -> None:
        """
        Given: an array of three events
        When: one is created, one refused, and a rule drops the third
        Then: the sender gets 502 with the index, the ID and the request, and so does the log
        """
        app = application()
        outcomes = {1: webhook.Outcome(200, {"id": "7"}), 2: webhook.REJECTED, 3: webhook.DROPPED}
        app.writer.outcome = outcomes.__getitem__
        received = app.answers(posted(b'[{"n":1},{"n":2},{"n":3}]'))
        assert statuses_of(received) == [502]
        delivery = app.writer.taken[0].delivery
        sentence = "[1]: XSOAR refuses it. Created: 7."
        assert content_of(received) == {"error": f"{sentence} Request {delivery.id}."}
        assert raws_of(app)[1]["webhook"] == {"delivery": f"{delivery.id}/1"}
        assert app.client.logged == [f"Request {delivery.id} was answered 502. {sentence}"]

    def test_what_was_not_created_at_all_may_be_sent_again(self, application: Make) -> None:
        app = application()
        app.writer.outcome = lambda _: webhook.WITHDRAWN
        received = app.answers(posted())
        assert statuses_of(received) == [503]
        assert b"Retry-After: 5" in received
        app.writer.outcome = lambda _: webhook.DROPPED
        assert app.answers(posted()).endswith(b"\r\n\r\n[]")

    def test_what_was_created_in_part_must_not_be_sent_again(self, application: Make) -> None:
        app = application()
        outcomes = {1: webhook.Outcome(200, {"id": "7"}), 2: webhook.OUTAGE}
        app.writer.outcome = outcomes.__getitem__
        assert app.statuses(posted(b'[{"n":1},{"n":2}]')) == [502]

    def test_an_unauthenticated_sender_is_refused_before_the_body(self, application: Make) -> None:
        app = application(credentials=credentials("user", "pass"))
        wrong = posted(b"{}", b"Authorization: Basic dXNlcjp3cm9uZw==")[:-2]
        assert app.statuses(wrong) == [401]
        assert app.statuses(posted(b"{}", BASIC) * 3) == [200] * 3
        assert app.counters.total("failed authentications") == 1
        assert len(app.writer.taken) == 3

    def test_who_may_not_connect_is_refused_before_all_else(self, application: Make) -> None:
        app = application(allowed_sources="198.51.100.0/24", trusted_proxies="127.0.0.1")
        assert app.statuses(posted(b"{}")) == [403]
        assert app.statuses(posted(b"{}", b"X-Forwarded-For: 198.51.100.7")) == [200]
        assert raws_of(app)[0]["source_address"] == "198.51.100.7"
        assert app.writer.taken[0].delivery.sender == "198.51.100.7"  # turns are taken by it

    def test_a_known_head_makes_the_same_incident(self, application: Make) -> None:
        app = application(mirror_direction="Incoming", mirror_instance="i")
        for number in (1, 22, 333, 1):
            request = posted(b'{"n": %d}' % number, b"X-Note: a", target=b"/p?q=1")
            assert app.statuses(request) == [200]
        raws = raws_of(app)
        assert len({raw.pop("webhook")["delivery"] for raw in raws}) == 4
        numbers = [raw.pop("n") for raw in raws]
        assert (numbers, raws) == ([1, 22, 333, 1], [raws[0]] * 4)
        assert raws[0]["headers"] == {"host": "a", "x-note": "a"}
        assert (raws[0]["path"], raws[0]["query"]) == ("/p", {"q": "1"})
        assert raws[0]["mirror_direction"] == "In"

    def test_a_duplicate_gets_the_first_one_s_incident(self, application: Make) -> None:
        app = application(duplication_key="n", store_samples=True)
        received = app.answers(posted(b'{"n": "1"}') * 2)
        assert len(app.keeper._samples.items) == 1
        assert received.count(b'"id":"1"') == 2
        assert received.count(b'"duplicate":true') == 1
        assert app.counters.total("duplicates") == 1
        assert app.writer.backlog.incidents == 0
        assert app.statuses(posted(b'[{"a": 1}, {"n": "2"}, {}]')) == [200]
        assert app.counters.total("events without a key") == 2

    def test_a_failure_of_ours_is_500_and_reported(
        self, application: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = application()
        monkeypatch.setattr(webhook.EventMaker, "make", lambda *_: 1 / 0)
        assert app.statuses(posted() * 2) == [500, 500]
        assert [type(error) for error in app.failures] == [ZeroDivisionError] * 2

    def test_while_stopping_nothing_is_taken(self, application: Make) -> None:
        app = application()
        app.connections.stopping = True
        assert app.statuses(posted(b"{}")) == [503]
        assert app.statuses(posted(b"", target=b"/health", method=b"GET")) == [503]

    def test_a_full_queue_refuses_before_the_body_is_read(
        self, application: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = application()
        monkeypatch.setattr(webhook, "MAX_QUEUED_INCIDENTS", 8)
        held = delivery_of(*"abcdefgh", sender="127.0.0.1")
        app.writer.backlog.add(held)
        received = app.answers(posted(b"x" * 1000)[:-1000])
        assert (statuses_of(received), b"the queue is full" in received) == ([503], True)
        app.writer.backlog.remove(held.events[0])
        assert app.statuses(posted(b'[{"n":1},{"n":2}]')) == [503]  # the second has no room
        assert app.statuses(posted()) == [200]
        assert len(app.writer.taken) == 1
        assert app.writer.backlog.incidents == 7

    def test_a_request_that_finds_no_room_leaves_nothing_behind(
        self, application: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: an event in progress, and a full queue
        When: the same event and a new one come in one request, and later again
        Then: the request is refused whole, and what it held is neither waiting nor in progress
        """
        app = application(duplication_key="n")
        app.writer.waits = True
        first = app.begin(posted(b'{"n": "a"}'))
        await_that(lambda: app.writer.later)
        monkeypatch.setattr(webhook, "MAX_QUEUED_INCIDENTS", 2)
        assert app.statuses(posted(b'[{"n": "a"}, {"n": "b"}, {}]')) == [503]
        monkeypatch.undo()
        app.writer.settle()
        assert statuses_of(first.answers()) == [200]
        assert app.counters.total("duplicates") == 0
        app.writer.waits = False
        assert app.statuses(posted(b'{"n": "b"}')) == [200]
        assert [event.key for event in app.writer.taken] == ["n:a", "n:b"]

    def test_a_writer_that_has_closed_refuses_for_now(self, application: Make) -> None:
        app = application()
        app.writer.close()
        received = app.answers(posted())
        assert (statuses_of(received), b"The webhook is stopping" in received) == ([503], True)

    def test_a_query_string_s_credential_is_in_no_incident(self, application: Make) -> None:
        app = application(credentials=credentials("_query:pass", "s3cret-value"))
        assert app.statuses(posted(target=b"/?pass=s3cret-value&a=1")) == [200]
        assert app.statuses(posted(target=b"/?pass=wrong&a=1")) == [401]
        assert "s3cret-value" not in app.writer.taken[0].fields["rawJSON"]
        assert raws_of(app)[0]["query"] == {"a": "1"}

    def test_a_method_that_a_parameter_allows_makes_incidents(self, application: Make) -> None:
        get = posted(b"", target=b"/?n=1", method=b"GET")
        for params in ({"accept_get": "true"}, {"other_methods": "GET, PUT"}):
            app = application(**params)
            assert app.statuses(get) == [200]
            assert [raw.get("query") for raw in raws_of(app)] == [{"n": "1"}]
        assert application(other_methods="PUT").statuses(get) == [405]

    @pytest.mark.parametrize("size", [10, 40_000])
    def test_a_signed_body_is_taken_and_a_changed_one_is_not(
        self, application: Make, size: int
    ) -> None:
        app = application(credentials=credentials("_hmac:X-Sum", "key"), store_samples=True)
        body = json.dumps({"text": "x" * size}).encode()
        proof = b"X-Sum: sha256=" + hmac.digest(b"key", body, "sha256").hex().encode()
        assert app.statuses(posted(body, proof)) == [200]
        assert app.statuses(posted(body.replace(b"x", b"y", 1), proof)) == [401]
        assert app.counters.total("failed authentications") == 1
        assert len(app.writer.taken) == 1

    def test_what_a_signature_does_not_cover_makes_no_event(self, application: Make) -> None:
        """
        Given: an instance whose senders sign the body, and one whose senders do not
        When: an empty body comes with a query string
        Then: its fields are the event only where nobody could have changed them unnoticed
        """
        app = application(credentials=credentials("_hmac:X-Sum", "key"))
        proof = b"X-Sum: " + hmac.digest(b"key", b"", "sha256").hex().encode()
        received = app.answers(posted(b"", proof, target=b"/?n=1"))
        assert (statuses_of(received), b"The body is empty" in received) == ([400], True)
        assert app.writer.taken == []
        unsigned = application(credentials=credentials("user", "pass"))
        assert unsigned.statuses(posted(b"", BASIC, target=b"/?n=1")) == [200]
        assert raws_of(unsigned)[0]["n"] == "1"

    def test_a_scheme_s_delivery_id_is_the_key_where_nothing_else_is(
        self, application: Make
    ) -> None:
        secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        app = application(credentials=credentials("_standard-webhooks", secret))
        now = datetime.now(UTC)

        def signed(message: str, body: str) -> bytes:
            proof = standardwebhooks.Webhook(secret).sign(message, now, body)
            return posted(
                body.encode(),
                f"webhook-id: {message}".encode(),
                f"webhook-timestamp: {int(now.timestamp())}".encode(),
                f"webhook-signature: {proof}".encode(),
            )

        received = app.answers(signed("msg_1", '{"n": 1}') * 2)
        assert received.count(b'"duplicate":true') == 1
        assert app.statuses(signed("msg_2", "[1, 2]")) == [200]
        assert [event.key for event in app.writer.taken] == [
            "webhook-id:msg_1",
            "webhook-id:msg_2[0]",
            "webhook-id:msg_2[1]",
        ]

    def test_with_an_empty_array_of_events_the_payload_is_one(self, application: Make) -> None:
        app = application(events_path="alerts")
        assert app.statuses(posted(b'{"alerts":[],"x":1}')) == [200]
        [event] = app.writer.taken
        assert json.loads(event.fields["rawJSON"])["x"] == 1

    def test_until_it_is_known_what_came_before_a_request_is_503(self, application: Make) -> None:
        app = application(duplication_key="n", answer_seconds="0.01")
        app.keeper.loaded.clear()
        received = app.answers(posted())
        assert statuses_of(received) == [503]
        assert b"XSOAR did not return the list of seen events" in received
        assert app.writer.backlog.incidents == 0
        app.keeper.loaded.set()
        assert app.statuses(posted()) == [200]

    def test_a_request_waits_until_it_is_known_what_came_before(self, application: Make) -> None:
        app = application(duplication_key="n")
        app.keeper.loaded.clear()
        sender = app.begin(posted(b'{"n": "a"}'))
        await_that(lambda: app.connections.in_progress)
        assert app.writer.taken == []
        app.events.remember("n:a", webhook.Seen({"id": "7"}, time.time()))
        app.keeper.loaded.set()
        assert content_of(sender.answers()) == [{"id": "7", "duplicate": True}]

    def test_the_memory_of_large_events_is_held_until_they_are_settled(
        self, application: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a compressed body that becomes many times as large
        When: its events wait for XSOAR
        Then: the memory for bodies counts them: another one like it is 503 until they are settled
        """
        app = application()
        app.writer.waits = True
        body = gzip.compress(json.dumps([{"a": "x" * 1000}] * 2000).encode())
        app.begin(posted(body, b"Content-Encoding: gzip"))
        await_that(lambda: app.writer.later)
        held = sum(event.size for event in app.writer.taken)
        monkeypatch.setattr(HTTPServerApiModule, "MAX_BODIES_BYTES", held * 3 // 2)
        assert app.statuses(posted(body, b"Content-Encoding: gzip")) == [503]
        app.writer.settle()
        app.writer.waits = False
        assert app.statuses(posted(body, b"Content-Encoding: gzip")) == [200]


class TestParametersThatFindNothing:
    """A parameter whose paths find nothing in many events in a row is reported once."""

    def test_it_is_reported_once(self, application: Make) -> None:
        app = application(name_from="title")
        events = json.dumps([{"n": number} for number in range(99)]).encode()
        app.statuses(posted(events) + posted(b'{"title": "t"}'))
        assert app.client.logged == []  # one that found it begins the row anew
        app.statuses(posted(json.dumps([{"n": number} for number in range(250)]).encode()))
        [reported] = app.client.logged
        assert reported.startswith("Incident name: the last 100 events had no value at its paths")

    @pytest.mark.parametrize(
        ("params", "display", "found"),
        [
            ({"name_from": "a"}, "Incident name", {"a": "n"}),
            ({"type_from": "b", "incidentType": "Other"}, "Incident type from", {"b": "t"}),
            ({"type_from": "b"}, "Incident type from", {"b": "t"}),
            ({"occurred_from": "c"}, "Occurred from", {"c": "2024-05-01T12:00:00Z"}),
            ({"severity_from": "d"}, "Severity from", {"d": "high"}),
            ({"duplication_key": "e"}, "Duplication key", {"e": 1}),
        ],
    )
    def test_each_parameter_with_paths_is_watched(
        self,
        application: Make,
        params: dict[str, str],
        display: str,
        found: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(webhook, "MISSES_REPORTED", 3)
        app = application(**params)
        app.statuses(posted(json.dumps([{"x": 1}] * 2 + [found] + [{"x": 1}] * 2).encode()))
        assert app.client.logged == []
        app.statuses(posted())
        [reported] = app.client.logged
        assert reported.startswith(f"{display}: the last 3 events")

    def test_without_paths_of_its_own_nothing_is_watched(
        self, application: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook, "MISSES_REPORTED", 1)
        app = application(name_from="name", type_from="none")
        app.statuses(posted())
        assert app.client.logged == []


# ---- routes


def asked(target: str, method: str = "GET", app: Application | None = None, *lines: bytes) -> bytes:
    return posted(b"", *lines, target=target.encode(), method=method.encode())


class TestRoutes:
    def test_it_is_a_bottle_application(self, application: Make) -> None:
        app = application()
        built = webhook.build_app(app.webhook, app.settings)
        assert type(built) is bottle.Bottle
        route, _ = built.match({"REQUEST_METHOD": "POST", "PATH_INFO": "/alerts"})
        assert route.callback == app.webhook.receive
        route, _ = built.match({"REQUEST_METHOD": "GET", "PATH_INFO": "/health"})
        assert route.callback == app.webhook.report_health

    @pytest.mark.parametrize("path", ["/health", "/metrics"])
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
    def test_health_and_metrics_are_ours(self, application: Make, path: str, method: str) -> None:
        app = application()
        received = app.answers(asked(path, method))
        assert statuses_of(received) == [405]
        assert b"Allow: GET, HEAD\r\n" in received
        assert app.writer.taken == []

    def test_health_says_that_the_server_lives(self, application: Make) -> None:
        app = application(credentials=credentials("user", "pass"))
        assert statuses_of(received := app.answers(asked("/health"))) == [200]
        assert received.endswith(webhook.ALIVE)
        head = app.answers(asked("/health", "HEAD"))
        assert (statuses_of(head), head.endswith(b"\r\n\r\n")) == ([200], True)

    @pytest.mark.parametrize(
        ("target", "path"),
        [
            ("/healthcare/alerts", "/healthcare/alerts"),
            ("/healthy", "/healthy"),
            ("/health/", "/health/"),
            ("/health/deep", "/health/deep"),
            ("/metrics/alerts", "/metrics/alerts"),
            ("/a/health", "/a/health"),
            ("/Health", "/Health"),
            ("/line%0Afeed", "/line\nfeed"),
            ("/%0A", "/\n"),
            ("/health%0A", "/health\n"),
            ("/health%0Aalerts", "/health\nalerts"),
            ("/a//b/<c>", "/a//b/<c>"),
            ("/gr%C3%BC%C3%9Fe", "/grüße"),
            ("/", None),
        ],
    )
    def test_any_other_path_is_an_event_s(
        self, application: Make, target: str, path: str | None
    ) -> None:
        app = application()
        assert app.statuses(posted(target=target.encode())) == [200]
        assert raws_of(app)[0].get("path") == path
        received = app.answers(asked(target + "?x=1"))
        assert statuses_of(received) == [405]
        assert b"Allow: POST, PUT, PATCH\r\n" in received
        assert b"Incidents are created by POST" in received

    @pytest.mark.parametrize(
        ("accept_get", "probed"), [("", b"POST, PUT, PATCH"), ("true", b"POST, PUT, PATCH, GET")]
    )
    def test_another_method_is_405_with_bottle_s_allow(
        self, application: Make, accept_get: str, probed: bytes
    ) -> None:
        app = application(accept_get=accept_get)
        for method in ("DELETE", "TRACE", "PROPFIND"):
            received = app.answers(asked("/x", method))
            assert statuses_of(received) == [405]
            assert b"Allow: GET, HEAD, OPTIONS, PATCH, POST, PUT\r\n" in received
        received = app.answers(asked("/x?y=1", "HEAD"))
        assert b"Allow: " + probed + b"\r\n" in received

    @pytest.mark.parametrize(
        ("body", "line"),
        [
            (b'{"challenge": "3eZbrw1a", "alert": "disk full"}', b"X-Any: 1"),
            (b'{"event": "endpoint.url_validation", "alert": "disk full"}', b"X-Any: 1"),
            (b'{"alert": "disk full"}', b"X-Hook-Secret: 0123456789abcdef"),
        ],
    )
    def test_a_get_whose_body_says_something_is_an_event(
        self, application: Make, body: bytes, line: bytes
    ) -> None:
        app = application(accept_get="true")
        assert app.statuses(posted(body, line, target=b"/x", method=b"GET")) == [200]
        assert [raw["alert"] for raw in raws_of(app)] == ["disk full"]

    def test_metrics_are_off_unless_the_instance_serves_them(self, application: Make) -> None:
        received = application().answers(asked("/metrics"))
        assert statuses_of(received) == [404]
        assert b"tick Serve metrics for Prometheus" in received

    def test_metrics_are_for_authenticated_senders(self, application: Make) -> None:
        app = application(credentials=credentials("user", "pass"), metrics=True)
        assert app.statuses(asked("/metrics")) == [401]
        app.statuses(posted(b"{}", BASIC))
        received = app.answers(posted(b"", BASIC, target=b"/metrics", method=b"GET"))
        assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in received
        lines = received.decode().splitlines()
        for line in (
            'generic_webhook_requests_total{status="200"} 1',
            "generic_webhook_incidents_created_total 1",
            "generic_webhook_failed_logins_total 1",
            "generic_webhook_queue_incidents 0",
            'generic_webhook_create_incidents_calls_total{result="accepted"} 0',
            'generic_webhook_create_incidents_seconds_bucket{le="+Inf"} 0',
        ):
            assert line in lines

    def test_a_signed_instance_shows_metrics_to_allowed_sources(self, application: Make) -> None:
        app = application(
            credentials=credentials("_hmac:X-Sum", "key"),
            metrics=True,
            allowed_sources="127.0.0.0/8",
        )
        assert b"generic_webhook_requests_total" in app.answers(asked("/metrics"))


# ---- handshakes


CODE = "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"
EVENT_GRID = [
    {
        "id": "2d1781af-3a4c-4d7c-bd0c-e34b19da4e66",
        "topic": "/subscriptions/00000000-0000-0000-0000-000000000000",
        "subject": "",
        "data": {"validationCode": CODE, "validationUrl": "https://rp.example.net/v?id=1"},
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "eventTime": "2024-05-01T12:00:00.0000000Z",
        "metadataVersion": "1",
        "dataVersion": "1",
    }
]
SLACK = {"token": "t", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY", "type": "url_verification"}


class TestHandshakes:
    def test_a_handshake_is_answered_without_an_incident(self, application: Make) -> None:
        app = application(credentials=credentials("user", "pass"))
        unsigned = app.answers(posted(json.dumps(EVENT_GRID).encode()))
        assert content_of(unsigned) == {"validationResponse": CODE}
        signed = app.answers(posted(json.dumps(SLACK).encode(), BASIC))
        assert SLACK["challenge"].encode() in signed
        # A body that is not a handshake proves nothing.
        assert app.statuses(posted(b'{"challenge": 5}')) == [401]
        assert app.writer.taken == []
        assert app.counters.total("handshakes answered") == 2

    def test_what_a_handshake_reports_is_in_the_health(
        self, application: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = application()
        reply = webhook.HandshakeReply(b"{}", vendor="Vendor", notice="Paste its secret.")
        monkeypatch.setattr(webhook, "answer_handshake", lambda *_: reply)
        assert app.statuses(asked("/")) == [200]
        assert app.client.problems == {
            "Vendor's handshake": "Vendor (from 127.0.0.1): Paste its secret."
        }

    @pytest.mark.parametrize(("is_senders_fault", "status"), [(True, 400), (False, 502)])
    def test_a_handshake_that_fails_is_refused(
        self,
        application: Make,
        is_senders_fault: bool,
        status: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def fail(*_: Any) -> None:
            raise webhook.SnsError("It cannot be confirmed.", is_senders_fault)

        monkeypatch.setattr(webhook, "answer_handshake", fail)
        received = application().answers(asked("/"))
        assert statuses_of(received) == [status]
        assert content_of(received) == {"error": "It cannot be confirmed."}

    def test_they_cannot_be_turned_off_any_more(self, application: Make) -> None:
        app = application(handshakes="false")
        assert app.settings.mistakes == ()
        assert app.statuses(posted(json.dumps(EVENT_GRID).encode())) == [200]
        assert app.writer.taken == []
        assert app.counters.total("handshakes answered") == 1

    def test_what_only_looks_like_a_handshake_is_an_event(self, application: Make) -> None:
        app = application()
        assert app.statuses(posted(json.dumps(SLACK | {"more": 1}).encode())) == [200]
        assert raws_of(app)[0]["more"] == 1

    def test_a_wrong_token_in_a_probe_is_counted_and_slowed_down(
        self, application: Make, quick: list[float]
    ) -> None:
        app = application(credentials=credentials("user", "pass"))
        probe = asked("/?hub.mode=subscribe&hub.challenge=1&hub.verify_token=guess")
        assert app.statuses(probe * 6) == [401] * 6
        assert app.counters.total("failed authentications") == 6
        assert [pause for pause in quick if pause in (0.1, 0.2, 0.4)] == [0.1, 0.2, 0.4]
        # A sender that proves nothing guesses nothing.
        assert app.statuses(asked("/?x=1")) == [405]
        assert app.counters.total("failed authentications") == 6

    def test_a_body_that_is_compressed_or_asked_for_is_no_handshake(
        self, application: Make
    ) -> None:
        app = application(credentials=credentials("user", "pass"))
        body = json.dumps(EVENT_GRID).encode()
        assert app.statuses(posted(body, b"Expect: 100-continue")) == [401]
        chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert app.statuses(chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)) == [401]


@pytest.mark.parametrize(
    ("error", "status", "header"),
    [
        (webhook.MissingCredentials("no", 'Basic realm="x"'), 401, 'Basic realm="x"'),
        (webhook.ProofError("no"), 401, None),
        (webhook.SnsError("no", True), 400, None),
        (webhook.SnsError("no", False), 502, None),
        (webhook.SnsError("no", False, 30), 503, "30"),
        (webhook.UnsupportedEncoding("no", ("gzip", "deflate")), 415, "gzip, deflate"),
        (webhook.PayloadTooLarge("no"), 413, None),
        (webhook.PayloadError("no"), 400, None),
    ],
)
def test_what_a_library_refuses_has_its_status(error: Any, status: int, header: str | None) -> None:
    answer = webhook.as_http_error(error)
    assert (answer.status, answer.sentence) == (status, "no")
    assert list(answer.headers.values()) == ([header] if header else [])


# ---- early answers


class TestEarlyAnswers:
    @pytest.fixture(autouse=True)
    def context(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(demisto, "integrationContext", {})
        monkeypatch.setattr(demisto, "integrationContextVersion", 0)

    @staticmethod
    def started(application: Make, seconds: str = "0.2") -> Application:
        """Return an application whose keeper and early answers run, and whose writer waits."""
        app = application(answer_seconds=seconds)
        app.writer.waits = True
        app.run(app.keeper.run)
        await_that(app.keeper.read.is_set)
        app.run(app.webhook.send_early_answers)
        return app

    @classmethod
    def promised_at_once(cls, application: Make, monkeypatch: pytest.MonkeyPatch) -> Application:
        """Return one that promises what arrives at once, and answers it 202 after ten seconds."""
        monkeypatch.setattr(webhook, "PROMISE_SECONDS", 10.0)
        app = cls.started(application, seconds="40")
        app.writer.waited = 30.0
        return app

    @staticmethod
    def promised() -> list[str]:
        """The marks of the promised events that the context holds."""
        items = json.loads(demisto.integrationContext.get("promised", "[]"))
        return [f"{item['request']}/{item['index']}" for item in items]

    def test_the_promise_is_written_before_it_is_given(
        self, application: Make, quick: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: an instance that answers early, and a connection that answers
        When: a request with two events waits for XSOAR
        Then: the context holds both before the sender gets its 202, which names the delivery;
            once they are created, the sender gets nothing more, and the context holds none of them
        """
        app = self.promised_at_once(application, monkeypatch)
        received_at_writes: list[bytes] = []
        write = demisto.setIntegrationContextVersioned

        def note(context: dict[str, str], *args: Any) -> None:
            if "promised" in context:
                received_at_writes.append(sender.received)
            write(context, *args)

        monkeypatch.setattr(demisto, "setIntegrationContextVersioned", note)
        sender = app.begin(posted(b'[{"n":1},{"n":2}]'))
        await_that(lambda: statuses_of(sender.received) == [202])
        delivery = app.writer.taken[0].delivery
        assert received_at_writes == [b""]
        assert self.promised() == [f"{delivery.id}/0", f"{delivery.id}/1"]
        received = sender.answers()
        assert content_of(received) == {"accepted": 2, "request": delivery.id}
        app.writer.settle()
        assert app.counters.total("incidents created") == 2
        assert app.counters.total("requests answered before XSOAR has") == 1
        assert not app.keeper.promised
        await_that(lambda: self.promised() == [])
        assert app.client.problems == {}
        assert app.writer.backlog.incidents == 0
        app.writer.waits = False
        assert app.statuses(posted()) == [200]  # in time

    @pytest.mark.parametrize("hangs", [False, True])
    def test_without_an_answer_to_the_promise_it_is_given_in_time(
        self, application: Make, hangs: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: an instance that answers after 0.2 s, and a context that cannot be written, or a call
            that does not return
        When: a request waits for XSOAR
        Then: it is answered 202, not before its time, and the promise is kept in memory
        """
        app = self.started(application)
        hanging = gevent.event.Event()
        if hangs:
            monkeypatch.setattr(app.client, "call", lambda *_: hanging.wait())
        else:
            app.client.failures = [webhook.UnreadableAnswer("?")] * 1000
        started = time.monotonic()
        sender = app.begin(posted())
        await_that(lambda: statuses_of(sender.received) == [202])
        assert time.monotonic() - started >= 0.19
        assert self.promised() == []
        assert list(app.keeper.promised) == [app.writer.taken[0].mark]
        app.keeper.leave_promises()
        [(command, args)] = app.client.unanswered
        assert command == "setIntegrationContext"
        [item] = json.loads(args["value"]["promised"])
        assert item["request"] == app.writer.taken[0].delivery.id
        hanging.set()

    def test_a_request_that_is_settled_in_time_is_promised_nothing_more(
        self, application: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = self.promised_at_once(application, monkeypatch)
        sender = app.begin(posted())
        await_that(self.promised)
        app.writer.settle()
        assert statuses_of(sender.answers()) == [200]
        assert not app.keeper.promised
        await_that(lambda: self.promised() == [])
        assert app.counters.total("requests answered before XSOAR has") == 0

    def test_requests_that_were_answered_in_time_are_not_kept(self, application: Make) -> None:
        app = application(answer_seconds="60")
        assert app.statuses(posted() * 20) == [200] * 20
        assert len(app.webhook._deliveries) == 1
        assert app.webhook._deliveries[0].request is None
        assert app.webhook._deliveries[0].events == []

    def test_what_a_stop_leaves_for_the_next_start_is_not_reported_as_lost(
        self, application: Make
    ) -> None:
        app = self.started(application, seconds="0.01")
        sender = app.begin(posted())
        await_that(lambda: statuses_of(sender.received) == [202])
        app.connections.stopping = True
        app.writer.settle(webhook.STOPPED_IN_FLIGHT)
        assert len(app.keeper.promised) == 1
        assert app.client.logged == []
        assert app.client.problems == {}

    def test_an_early_answer_in_vain_is_in_the_health_for_an_hour(self, application: Make) -> None:
        app = self.started(application, seconds="0.01")
        sender = app.begin(posted())
        await_that(lambda: statuses_of(sender.received) == [202])
        app.writer.settle(webhook.REJECTED)
        delivery = content_of(sender.answers())["request"]
        sentence = (
            f"Request {delivery} was answered 202, and not all of its incidents exist: "
            "XSOAR refuses it."
        )
        assert set(app.client.logged) == {sentence}
        assert app.client.problems == {"Answered 202": sentence}
        assert not app.keeper.promised
        app.webhook.report_lost_incidents(time.monotonic() + 3590)
        assert app.client.problems
        app.webhook.report_lost_incidents(time.monotonic() + 3601)
        assert app.client.problems == {}

    def test_what_was_promised_and_finds_no_room_is_tried_again(
        self, application: Make, quick: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a request that was answered 202 and meets an outage, and a full queue
        When: there is room again
        Then: its event is tried again under its mark, and stays promised until it is created
        """
        app = self.started(application, seconds="0.01")
        sender = app.begin(posted())
        await_that(lambda: statuses_of(sender.received) == [202])
        held = delivery_of("held", sender="")
        app.writer.backlog.add(held)
        monkeypatch.setattr(webhook, "MAX_QUEUED_INCIDENTS", 0)
        app.writer.settle(webhook.OUTAGE)
        await_that(lambda: 1 in quick)  # it asks for room once a second
        assert len(app.writer.taken) == 1
        monkeypatch.undo()
        await_that(lambda: app.writer.later)
        first, again = app.writer.taken
        assert (again.mark, again.fields) == (first.mark, first.fields)
        assert list(app.keeper.promised.values()) == [again]
        app.writer.settle()
        assert not app.keeper.promised
        assert app.counters.total("incidents created") == 1

    @pytest.mark.parametrize(
        ("outcome", "is_left"),
        [
            (webhook.STOPPING, True),
            (webhook.OUTAGE, True),
            (webhook.STOPPED_IN_FLIGHT, True),
            (webhook.MAYBE_CREATED, True),
            (webhook.REJECTED, False),
            (webhook.Outcome(200, {"id": "7"}), False),
        ],
    )
    def test_what_is_open_at_a_stop_is_left_for_the_next_start(
        self, application: Make, outcome: webhook.Outcome, is_left: bool
    ) -> None:
        app = self.started(application, seconds="0.01")
        sender = app.begin(posted())
        await_that(lambda: statuses_of(sender.received) == [202])
        app.connections.stopping = True
        app.writer.settle(outcome)
        gevent.sleep(0.01)
        assert (len(app.writer.taken), len(app.keeper.promised)) == (1, is_left)

    def test_what_is_not_answered_yet_at_a_stop_is_not_left(
        self, application: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a request whose promise is written, and that is not answered yet
        When: the webhook stops
        Then: the sender gets 503 and sends it again, so that nothing of it is left
        """
        app = self.promised_at_once(application, monkeypatch)
        sender = app.begin(posted())
        await_that(self.promised)
        app.connections.stopping = True
        app.writer.settle(webhook.STOPPING)
        assert statuses_of(sender.answers()) == [503]
        assert not app.keeper.promised

    def test_what_an_earlier_start_promised_is_created_once_the_context_could_be_read(
        self, application: Make
    ) -> None:
        """
        Given: a context that cannot be read at first, with two events that an earlier start
            answered 202
        When: it could be read
        Then: both are created under their marks, and the context holds them no more
        """
        old = delivery_of("a", "b", keys=("id:a", None))
        items = [
            {"fields": event.fields, "key": event.key, "request": old.id, "index": event.index}
            for event in old.events
        ]
        demisto.integrationContext["promised"] = json.dumps(items)
        app = application()
        app.writer.waits = True
        app.run(app.webhook.resume_promised)
        gevent.sleep(0.01)
        assert app.writer.taken == []
        app.run(app.keeper.run)
        await_that(lambda: len(app.writer.taken) == 2)
        assert [event.mark for event in app.writer.taken] == [f"{old.id}/0", f"{old.id}/1"]
        assert app.writer.backlog.incidents == 2
        app.writer.settle()
        app.writer.settle()
        assert app.writer.backlog.incidents == 0
        assert app.counters.total("incidents created") == 2
        await_that(lambda: self.promised() == [])

    def test_a_restored_event_that_was_created_meanwhile_is_a_duplicate(
        self, application: Make
    ) -> None:
        old = delivery_of("a", keys=("id:a",))
        old.answered_early = True
        app = application(duplication_key="id")
        app.events.remember("id:a", webhook.Seen({"id": "7"}, time.time()))
        app.keeper.restored = old.events
        app.keeper.promised[old.events[0].mark] = old.events[0]
        app.keeper.read.set()
        app.webhook.resume_promised()
        assert app.writer.taken == []
        assert not app.keeper.promised


# ---- the worker thread


class TestWorkerThread:
    def test_a_large_body_that_waits_too_long_is_503(
        self, application: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a body that keeps the worker thread
        When: the time of another large one is up while it waits, and a third one comes later
        Then: the second is refused and makes no event, and its turn goes to the third
        """
        app, held = application(), threading.Event()
        holding = gevent.spawn(app.webhook._worker.run, held.wait, 10)
        gevent.sleep(0)
        with monkeypatch.context() as patched:
            patched.setattr(webhook, "PARSER_SECONDS", 0.01)
            refused = app.answers(posted(LARGE_BODY))
        assert statuses_of(refused) == [503]
        assert b"Large bodies keep the webhook busy" in refused
        assert app.writer.taken == []
        late = app.begin(posted(LARGE_BODY))
        await_that(lambda: app.webhook._worker._waiting)
        held.set()
        holding.get(timeout=10)
        assert statuses_of(late.answers()) == [200]

    def test_a_large_body_waits_for_its_sender_s_turn(self, application: Make) -> None:
        """
        Given: an address whose large body keeps the worker thread
        When: other addresses send large bodies behind a trusted proxy
        Then: each waits in its own line
        """
        app, held = application(trusted_proxies="127.0.0.1"), threading.Event()
        worker = app.webhook._worker
        holding = gevent.spawn(worker.run, held.wait, 10)
        gevent.sleep(0.01)
        forwarded = b"X-Forwarded-For: 192.0.2."
        senders = [app.begin(posted(LARGE_BODY, forwarded + number)) for number in (b"1", b"2")]
        await_that(lambda: len(worker._waiting) == 2)
        assert set(worker._waiting) == {"192.0.2.1", "192.0.2.2"}
        held.set()
        holding.get(timeout=10)
        assert [statuses_of(sender.answers()) for sender in senders] == [[200], [200]]
