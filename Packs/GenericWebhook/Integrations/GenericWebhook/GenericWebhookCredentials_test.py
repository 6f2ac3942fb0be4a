"""Unit tests of GenericWebhook.py: several credentials, signed keys, ignored events, refusals."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import demistomock as demisto
import GenericWebhook as webhook
import pytest
from test_data.helpers import (
    Application,
    basic,
    content_of,
    credentials,
    posted,
    settings,
    statuses_of,
)

Make = Callable[..., Application]
LINES = """
_hmac:X-Hub-Signature-256 open the door
/okta _header:Authorization SSWS t0ken-value
alice pass word
"""


def raws_of(app: Application) -> list[dict[str, Any]]:
    return [json.loads(event.fields["rawJSON"]) for event in app.writer.taken]


def header(name: str, value: str) -> bytes:
    return f"{name}: {value}".encode()


def signed(body: bytes, *lines: bytes, secret: bytes = b"open the door", **named: Any) -> bytes:
    """Return a request with a signature of its body."""
    digest = hmac.digest(secret, body, "sha256").hex()
    return posted(body, header("X-Hub-Signature-256", f"sha256={digest}"), *lines, **named)


ALICE = header("Authorization", basic("alice:pass word")["authorization"])
OKTA = header("Authorization", "SSWS t0ken-value")


class TestSettings:
    def test_lines_and_the_instance_s_own_credentials_count_together(self) -> None:
        read = settings(credentials=credentials("own", "own-pass"), more_credentials=LINES)
        assert read.mistakes == ()
        assert [row.label for row in read.credentials.rows] == [
            "own",
            "_hmac:X-Hub-Signature-256",
            "/okta",
            "alice",
        ]
        assert read.notes() == ["More credentials: 3 understood."]
        for text in ("own-pass", "open the door", "t0ken-value", "pass word"):
            assert text not in repr(read)
            assert read.hidden.hide(f"x {text} y") == "x *** y"

    def test_alone_the_instance_s_own_credentials_need_no_label(self) -> None:
        read = settings(credentials=credentials("_hmac:X-Sum", "one\ntwo"), more_credentials="")
        assert [row.label for row in read.credentials.rows] == ["", ""]
        read = settings(credentials=credentials("_hmac:X-Sum", "one"), more_credentials="bob x")
        assert [row.label for row in read.credentials.rows] == ["_hmac:X-Sum", "bob"]

    @pytest.mark.parametrize(
        "params, rows, denied",
        [
            ({"more_credentials": "alice pass\n_slak s3cret"}, 1, False),
            ({"credentials": credentials("own", "pass"), "more_credentials": "_slak x"}, 1, False),
            ({"more_credentials": "_slak s3cret"}, 0, True),
            ({"credentials": credentials("_slak", "x"), "more_credentials": "alice p"}, 0, True),
            ({"allowed_sources": "here", "more_credentials": "alice pass"}, 0, True),
        ],
    )
    def test_a_wrong_line_proves_nobody_and_opens_nothing(
        self, params: dict[str, Any], rows: int, denied: bool
    ) -> None:
        """
        Given: a line that cannot be used, with others, alone, or beside another mistake
        When: the parameters are read
        Then: the mistake is named; the others go on counting; without any other, nobody is let in
        """
        read = settings(**params)
        [mistake] = read.mistakes
        assert "s3cret" not in str(mistake)
        assert (len(read.credentials.rows), read.credentials.denied) == (rows, denied)
        assert not read.credentials.is_open

    @pytest.mark.parametrize(
        "params, is_open",
        [
            ({}, True),
            ({"credentials": credentials("own", "pass")}, False),
            ({"more_credentials": "alice pass"}, False),
            ({"allowed_sources": "192.0.2.0/24"}, False),
            ({"client_ca": "PEM"}, False),
            ({"trusted_proxies": "192.0.2.1", "metrics": True}, True),
        ],
    )
    def test_an_instance_that_is_open_to_everyone_is_said_to_be(
        self, params: dict[str, Any], is_open: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = settings(**params)
        assert (webhook.OPEN_TO_EVERYONE in read.notes()) == is_open
        logged: list[str] = []
        monkeypatch.setattr(demisto, "info", logged.append)
        if not read.mistakes and not read.client_ca:
            assert webhook.test_module(read) == "ok"
            assert (webhook.OPEN_TO_EVERYONE in logged) == is_open

    def test_test_says_how_many_lines_it_understood_and_which_is_wrong(self) -> None:
        with pytest.raises(ValueError) as error:
            webhook.test_module(settings(more_credentials="alice pass\nbob pass\n_slak s3cret"))
        first, *_, last = str(error.value).splitlines()
        wanted = "More credentials: Line 3: there is no scheme _slak; write _slack <secret>."
        assert first == wanted
        assert last == "More credentials: 2 understood."


class TestProofs:
    def test_each_sender_is_let_in_by_its_own_line_which_rawjson_names(
        self, application: Make
    ) -> None:
        app = application(more_credentials=LINES)
        for request in (
            signed(b'{"n":1}'),
            posted(b'{"n":2}', OKTA, target=b"/okta/events"),
            posted(b'{"n":3}', ALICE),
            posted(b'{"n":4}', ALICE),  # of a known head
        ):
            assert app.statuses(request) == [200]
        assert [raw["webhook"]["credential"] for raw in raws_of(app)] == [
            "_hmac:X-Hub-Signature-256",
            "/okta",
            "alice",
            "alice",
        ]
        for raw in raws_of(app):
            assert not {"authorization", "x-hub-signature-256"} & raw["headers"].keys()
            assert "open the door" not in json.dumps(raw)

    def test_what_belongs_to_another_path_is_refused(self, application: Make) -> None:
        app = application(more_credentials=LINES)
        received = app.answers(posted(b"{}", OKTA))
        assert statuses_of(received) == [401]
        assert b"WWW-Authenticate: Basic" in received

    def test_without_more_credentials_rawjson_is_as_before(self, application: Make) -> None:
        app = application(credentials=credentials("alice", "pass word"))
        app.statuses(posted(b"{}", ALICE))
        assert raws_of(app)[0]["webhook"].keys() == {"delivery"}

    @pytest.mark.parametrize("size", [1, 40_000])
    def test_a_body_is_hashed_only_where_the_head_proves_nothing(
        self, application: Make, size: int
    ) -> None:
        """
        Given: a request with Basic authentication and a wrong signature, small and large
        When: it arrives
        Then: it is accepted, and one with the wrong signature alone is refused
        """
        app = application(more_credentials=LINES)
        body = json.dumps({"text": "x" * size}).encode()
        assert app.statuses(signed(body, ALICE, secret=b"wrong")) == [200]
        received = app.answers(signed(body, secret=b"wrong"))
        assert statuses_of(received) == [401]
        assert b"The signature in X-Hub-Signature-256 does not match" in received
        assert app.statuses(signed(body)) == [200]

    def test_metrics_are_for_those_whose_head_proves_them(self, application: Make) -> None:
        app = application(more_credentials=LINES, metrics=True)
        asked = posted(b"", ALICE, target=b"/metrics", method=b"GET")
        assert app.statuses(asked) == [200]
        for line in (b"X-A: b", header("X-Hub-Signature-256", "sha256=" + "0" * 64)):
            received = app.answers(posted(b"", line, target=b"/metrics", method=b"GET"))
            assert statuses_of(received) == [401]

    def test_a_sender_whose_scheme_names_deliveries_is_recognized_among_others(
        self, application: Make
    ) -> None:
        """
        Given: Standard Webhooks beside a user, whose requests have a header of that name, too
        When: each sends twice with the same ID
        Then: only the signed ID makes a duplicate
        """
        app = application(more_credentials="alice pass word\n_standard-webhooks bmV3IHNlY3JldA==")
        lines = ALICE, b"webhook-id: msg_1"
        assert app.statuses(posted(b"{}", *lines) * 2) == [200, 200]
        assert [event.key for event in app.writer.taken] == [None, None]


class TestSignedKeys:
    KEY = "headers.x-delivery"

    def test_an_unsigned_key_counts_together_with_the_body(self, application: Make) -> None:
        """
        Given: a key in a header, which the signature does not cover
        When: a captured delivery is repeated under the key of another one, which comes afterwards
        Then: the other one is no duplicate, and its repetition is
        """
        app = application(
            credentials=credentials("_hmac:X-Hub-Signature-256", "open the door"),
            duplication_key=self.KEY,
        )
        captured, real = b'{"captured":1}', b'{"real":1}'
        for body, number in ((captured, 1), (captured, 2), (real, 2), (real, 2), (captured, 1)):
            assert app.statuses(signed(body, header("X-Delivery", str(number)))) == [200]
        assert len(app.writer.taken) == 3
        assert app.counters.total("duplicates") == 2

    @pytest.mark.parametrize(
        "duplication_key, body, bound",
        [
            ("headers.x-delivery", b'{"id":"a"}', True),
            ("query.id", b'{"id":"a"}', True),
            ("path", b'{"id":"a"}', True),
            ("id+headers.x-delivery", b'{"id":"a"}', True),
            ("id", b'{"id":"a"}', False),
            ("id, headers.x-delivery", b'{"id":"a"}', False),
            ("headers.x-delivery, id", b'{"id":"a"}', True),
            ("none, headers.x-delivery", b'{"id":"a"}', True),
            ("parent.id", b'{"id":"a","alerts":[{"n":1},{"n":2}]}', False),
            ("parent.id+n", b'{"id":"a","alerts":[{"n":1},{"n":2}]}', False),
            ("headers.x-delivery", b'{"alerts":[{"n":1},{"n":2}]}', True),
            ("missing", b'{"id":"a"}', None),
        ],
    )
    def test_only_a_key_from_outside_the_body_does(
        self, application: Make, duplication_key: str, body: bytes, bound: bool | None
    ) -> None:
        params = {"duplication_key": duplication_key, "events_path": "alerts"}
        app = application(
            credentials=credentials("_hmac:X-Hub-Signature-256", "open the door"), **params
        )
        plain = application(**params)
        target = b"/place?id=b"
        app.statuses(signed(body, b"X-Delivery: 1", target=target))
        plain.statuses(posted(body, b"X-Delivery: 1", target=target))
        keys = [event.key for event in app.writer.taken]
        if bound is None:
            assert keys == [None]
            return
        digest = hashlib.sha256(body).hexdigest()
        assert all((digest in str(key)) == bound for key in keys)
        assert len(set(keys)) == len(keys)
        if not bound:
            assert keys == [event.key for event in plain.writer.taken]

    def test_where_nothing_is_signed_it_is_as_before(self, application: Make) -> None:
        app = application(credentials=credentials("alice", "pass word"), duplication_key=self.KEY)
        app.statuses(posted(b"{}", ALICE, b"X-Delivery: 7"))
        assert [event.key for event in app.writer.taken] == ["headers.x-delivery:7"]

    def test_a_query_alone_is_no_signed_event(self, application: Make) -> None:
        app = application(more_credentials=LINES)
        assert app.statuses(signed(b"", target=b"/?id=1")) == [400]
        assert app.statuses(posted(b"", ALICE, target=b"/?id=1")) == [200]


class TestIgnoredEvents:
    def test_they_create_nothing_and_are_counted_by_rule(self, application: Make) -> None:
        app = application(ignore_when="status=resolved, level!=error\nquery.test=*")
        received = app.answers(posted(b'{"status":"Resolved"}'))
        assert (statuses_of(received), content_of(received)) == ([200], [])
        assert app.statuses(posted(b'{"status":"resolved","level":"error"}')) == [200]
        assert app.statuses(posted(b'{"status":"firing"}', target=b"/?test=1")) == [200]
        body = b'[{"status":"resolved"},{"n":1},{"status":"resolved"},{"n":2}]'
        assert len(content_of(app.answers(posted(body)))) == 2
        assert len(app.writer.taken) == 3
        assert app.counters.total("events ignored") == 4
        assert dict(app.webhook.ignored.counts) == {
            "status=resolved, level!=error": 3,
            "query.test=*": 1,
        }

    @pytest.mark.parametrize("native", [True, False])
    def test_any_format_is_looked_at(self, application: Make, native: bool) -> None:
        app = application(ignore_when="raw.kind=ping")
        payload: dict[str, Any] = {"raw": {"kind": "ping"}}
        body = json.dumps({"raw_json": payload} if native else payload).encode()
        assert content_of(app.answers(posted(body))) == []
        assert app.writer.taken == []

    def test_what_the_first_event_has_whole_the_next_one_has_instead(
        self, application: Make
    ) -> None:
        """
        Given: many events under a large parent, which only the first one has whole
        When: the first two are ignored
        Then: the third has the parent whole, and the others have it shortened, as ever
        """
        app = application(ignore_when="n=0|1", events_path="alerts")
        alerts = [{"n": n} for n in range(400)]
        body = json.dumps({"alerts": alerts, "text": "x" * 400_000}).encode()
        assert app.statuses(posted(body)) == [200]
        raws = raws_of(app)
        assert len(raws) == 398
        assert raws[0]["parent"]["text"] == "x" * 400_000
        assert raws[0]["n"] == 2
        assert all("parent_shortened" in raw for raw in raws[1:])

    def test_a_rule_that_nothing_meets_is_told_once(self, application: Make) -> None:
        app = application(ignore_when="status=resolved\nstate=closed")
        events = json.dumps([{"status": "resolved"}, *({"n": n} for n in range(249))]).encode()
        for _ in range(3):
            app.statuses(posted(events))
        assert not any("has matched none" in line for line in app.client.logged)
        for _ in range(3):
            app.statuses(posted(events))
        told = [line for line in app.client.logged if "has matched none" in line]
        assert told == [
            "Ignore events where: the rule state=closed has matched none of 1000 events; "
            "compare it with an incident's raw JSON."
        ]

    def test_a_mistake_ignores_nothing_and_is_named(self) -> None:
        read = settings(ignore_when="status")
        [mistake] = read.mistakes
        assert str(mistake).startswith("Ignore events where: 'status' is not a condition;")
        assert not read.ignore_when and read.credentials.is_open


class TestRefusals:
    def test_they_name_what_came_and_what_was_expected(self, application: Make) -> None:
        """
        Given: a sender that uses another header than the instance expects, with secrets around
        When: it is refused five times
        Then: the refusals and the sentence name the headers, and hold no secret
        """
        app = application(credentials=credentials("_hmac:X-Hub-Signature-256", "s3cret-of-ours"))
        wrong = posted(
            b"{}",
            b"X-Hub-Signature: sha1=0011223344",
            b"X-Api-Key: s3cret-of-theirs",
            target=b"/hook/T0/0123456789abcdef?token=s3cret-in-query",
        )
        assert app.statuses(wrong * 5) == [401] * 5
        rows = app.webhook.refusals.rows()
        assert len(rows) == 5
        assert rows[0] | {"Time": ""} == {
            "Time": "",
            "Status": 401,
            "Address": "127.0.0.1",
            "Request": "POST /hook/T0/***",
            "Sentence": "The signature in X-Hub-Signature-256 is missing or unreadable; "
            "let the sender sign its deliveries with this webhook's secret.",
            "Came": "X-Hub-Signature, X-Api-Key",
            "Expected": "X-Hub-Signature-256",
        }
        assert "s3cret" not in json.dumps(rows) and "0011223344" not in json.dumps(rows)
        assert app.webhook.refusals.problem() == (
            "Deliveries from 127.0.0.1 are refused: "
            "X-Hub-Signature-256 is missing, X-Hub-Signature, X-Api-Key came."
        )
        body = b"{}"
        assert app.statuses(signed(body, secret=b"s3cret-of-ours")) == [200]
        assert app.webhook.refusals.problem() == ""

    @pytest.mark.parametrize(
        "request_bytes, status",
        [
            (posted(b"[]"), 400),
            (posted(b"", method=b"DELETE"), 405),
            (posted(b"", target=b"/?a=1", method=b"GET"), 405),
            (posted(b"", target=b"/metrics", method=b"GET"), 404),
            (posted(b"{}", b"Content-Encoding: br"), 415),
        ],
    )
    def test_other_refusals_are_kept_too(
        self, application: Make, request_bytes: bytes, status: int
    ) -> None:
        app = application()
        assert app.statuses(request_bytes) == [status]
        [row] = app.webhook.refusals.rows()
        assert (row["Status"], row["Came"], row["Expected"]) == (status, "", "")

    def test_a_forbidden_address_is_kept(self, application: Make) -> None:
        app = application(allowed_sources="192.0.2.0/24")
        assert app.statuses(posted()) == [403]
        [row] = app.webhook.refusals.rows()
        assert (row["Status"], row["Address"]) == (403, "127.0.0.1")

    def test_what_is_not_the_sender_s_fault_is_not(self, application: Make) -> None:
        app = application()
        app.writer.close()
        assert app.statuses(posted()) == [503]
        assert app.webhook.refusals.rows() == []

    def test_who_only_looks_around_turns_nothing_red(self, application: Make) -> None:
        app = application(credentials=credentials("alice", "pass"))
        assert app.statuses(posted(b"", target=b"/?a=1", method=b"GET") * 6) == [405] * 6
        assert app.webhook.refusals.problem() == ""
