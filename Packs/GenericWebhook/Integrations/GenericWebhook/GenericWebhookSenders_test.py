"""Unit tests of GenericWebhook.py: what it recognizes senders by, and what their events become."""

import json
from collections.abc import Callable
from typing import Any

import GenericWebhook as webhook
import pytest
from test_data.helpers import (
    DELIVERY,
    NOW,
    Application,
    content_of,
    credentials,
    event_named,
    posted,
    settings,
)

Make = Callable[..., Application]
GUESS, KNOWN, OFF = "known senders and usual field names", "known senders", "off"

ALERT = {
    "status": "firing",
    "labels": {"alertname": "DiskFull", "instance": "web1", "severity": "page"},
    "annotations": {"summary": "web1 has no space left"},
    "startsAt": "2024-05-01T11:00:00Z",
    "fingerprint": "c0ffee",
    "generatorURL": "https://prometheus.example.com/graph?g0.tab=1",
}
ENDED = {**ALERT, "status": "resolved", "fingerprint": "decade"}
ALERTMANAGER = {
    "receiver": "xsoar",
    "groupLabels": {"alertname": "DiskFull"},
    "alerts": [ALERT, ENDED],
}
GUARDDUTY = {
    "schemaVersion": "2.0",
    "partition": "aws",
    "id": "16afba5c",
    "type": "Trojan:EC2/DNSDataExfiltration",
    "title": "Data leaves by DNS",
    "severity": 8,
    "service": {"serviceName": "guardduty", "eventLastSeen": "2024-05-01T11:00:00Z"},
}
FINDING = {
    "ProductArn": "arn:aws:securityhub:eu-central-1::product/aws/securityhub",
    "SchemaVersion": "2018-10-08",
    "GeneratorId": "port-22",
    "Id": "f1",
    "Title": "Port 22 is open",
    "Severity": {"Label": "HIGH"},
    "UpdatedAt": "2024-05-01T11:00:00Z",
}
UNKNOWN = {"title": "Disk is full", "severity": "high", "eventTime": "2024-05-01T11:00:00Z"}


def events_of(
    payload: Any, headers: dict[str, str] | None = None, recognize: str = GUESS, **params: Any
) -> list[webhook.Event]:
    """Return the events of a body with a payload."""
    read = settings(recognize=recognize, **params)
    assert read.mistakes == ()
    context = webhook.describe_request(headers or {}, "", read.hidden, recognizer=read.recognizer)
    items = webhook.read_payload(json.dumps(payload).encode(), "application/json", "")
    return webhook.EventMaker(context, read, NOW, DELIVERY).make(items)


def fields_of(payload: Any, headers: dict[str, str] | None = None, **params: Any) -> dict[str, Any]:
    """Return the fields of the only event."""
    [event] = events_of(payload, headers, **params)
    return event.fields


def raw_of(event: webhook.Event) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(event.fields["rawJSON"])
    return raw


def facts_of(event: webhook.Event) -> dict[str, Any]:
    """Return what rawJSON's ``webhook`` says, without the delivery, which is always there."""
    facts: dict[str, Any] = raw_of(event)["webhook"]
    assert facts.pop("delivery") == event_mark(event)
    return facts


def event_mark(event: webhook.Event) -> str:
    return f"{DELIVERY}/{event.index}"


class TestParameter:
    @pytest.mark.parametrize(
        "value, means",
        [
            (GUESS, "guess"),
            (KNOWN, "known"),
            (OFF, "off"),
            (" Known Senders ", "known"),
            ("", "off"),
            (None, "off"),
        ],
    )
    def test_its_options_are_read(self, value: Any, means: str) -> None:
        read = settings(recognize=value)
        assert (read.recognize, read.mistakes) == (means, ())
        assert (read.recognizer is None) == (means == "off")

    def test_where_it_is_missing_nobody_is_recognized(self) -> None:
        """
        Given: an instance that was saved before the parameter existed
        When: a known sender posts
        Then: its payload is one event, as before
        """
        read = settings()
        assert (read.recognize, read.recognizer, read.mistakes) == ("off", None, ())
        maker = webhook.EventMaker(webhook.RequestContext({}, {}), read, NOW, DELIVERY)
        [event] = maker.make(webhook.Items([ALERTMANAGER]))
        assert event.fields["name"] == webhook.DEFAULT_NAME
        assert (event.sender, event.keys, facts_of(event)) == (None, (), {})

    @pytest.mark.parametrize("value", ["on", "true", "all senders", "known"])
    def test_anything_else_is_reported_with_the_options(self, value: str) -> None:
        read = settings(recognize=value)
        [mistake] = read.mistakes
        assert str(mistake) == (
            "Recognize senders: choose one of: known senders and usual field names, "
            "known senders, off."
        )
        assert read.recognize == "off"

    def test_a_header_that_a_row_reads_is_not_hidden(self) -> None:
        headers = {"x-event-key": "repo:push", "x-other-key": "s3cret"}
        for recognize, kept in ((KNOWN, {"x-event-key": "repo:push"}), (OFF, {})):
            [event] = events_of({"push": {"changes": []}}, headers, recognize=recognize)
            assert raw_of(event)["headers"] == kept


class TestPrecedence:
    """Native format, set parameter, row, CloudEvents' attributes, usual field names, default."""

    def test_the_native_format_comes_first(self) -> None:
        """
        Given: an event of the native format around a known sender's payload
        When: it becomes an incident
        Then: it says itself what its incident is, and nobody looked for its sender
        """
        [event] = events_of({"raw_json": GUARDDUTY, "name": "mine", "type": "Cloud"})
        assert event.fields["name"] == "mine"
        assert event.fields["type"] == "Cloud"
        assert event.fields["occurred"] == NOW
        assert "severity" not in event.fields
        assert (event.sender, event.keys, facts_of(event)) == (None, (), {})

    def test_nothing_but_documented_fields_is_the_native_format(self) -> None:
        [event] = events_of({"name": "mine", "severity": "low", "details": "because"})
        assert event.fields["name"] == "mine"
        assert event.fields["severity"] == 1
        assert event.fields["details"] == "because"
        assert (event.sender, event.keys) == (None, ())

    @pytest.mark.parametrize(
        "params, field, set_value, row_value",
        [
            ({"name_from": "type"}, "name", GUARDDUTY["type"], "Data leaves by DNS"),
            (
                {"occurred_from": "at"},
                "occurred",
                "2024-05-01T09:00:00Z",
                "2024-05-01T11:00:00Z",
            ),
            ({"severity_from": "level"}, "severity", 1, 3),
        ],
    )
    def test_a_set_parameter_comes_before_the_row(
        self, params: dict[str, str], field: str, set_value: Any, row_value: Any
    ) -> None:
        """
        Given: a known sender's payload, and a parameter that names a path of it
        When: the path finds something, or nothing
        Then: that counts for this field, else the row does, and for all other fields
        """
        payload = {**GUARDDUTY, "at": "2024-05-01T09:00:00Z", "level": "low"}
        by_row = fields_of(payload)
        with_parameter = fields_of(payload, **params)
        assert (by_row[field], with_parameter[field]) == (row_value, set_value)
        others = {"name", "occurred", "severity"} - {field}
        assert {name: with_parameter[name] for name in others} == {
            name: by_row[name] for name in others
        }
        without = {**payload, "type": None, "at": "soon", "level": "?"}
        assert fields_of(without, **params)[field] == row_value

    def test_severity_words_apply_to_what_the_row_finds(self) -> None:
        [event, _] = events_of(ALERTMANAGER)
        assert event.fields["severity"] == 4
        [event, _] = events_of(ALERTMANAGER, severity_map="page=medium")
        assert event.fields["severity"] == 2
        assert fields_of(GUARDDUTY, severity_map="8=low")["severity"] == 1

    def test_the_row_comes_before_cloud_events_attributes(self) -> None:
        """
        Given: a CloudEvent around a known sender's payload
        When: the row finds name and time, or neither
        Then: they are the row's, else the CloudEvent's subject and time
        """
        cloud = {
            "specversion": "1.0",
            "id": "1",
            "source": "/aws",
            "type": "com.example.finding",
            "subject": "account 111122223333",
            "time": "2024-05-01T10:00:00Z",
            "data": GUARDDUTY,
        }
        fields = fields_of(cloud)
        assert fields["name"] == "Data leaves by DNS"
        assert fields["occurred"] == "2024-05-01T11:00:00Z"
        bare = {**GUARDDUTY, "title": "", "type": "", "service": {"serviceName": "guardduty"}}
        fields = fields_of({**cloud, "data": bare})
        assert fields["name"] == "account 111122223333"
        assert fields["occurred"] == "2024-05-01T10:00:00Z"

    def test_cloud_events_attributes_come_before_usual_field_names(self) -> None:
        """
        Given: an unknown sender's CloudEvent, whose data has a title, a severity and a time
        When: it has a subject and a time itself, or not
        Then: these count, else the usual field names; the severity is always a usual one's
        """
        cloud = {"specversion": "1.0", "id": "1", "source": "/x", "data": UNKNOWN}
        fields = fields_of(cloud)
        assert fields["name"] == "Disk is full"
        assert fields["occurred"] == "2024-05-01T11:00:00Z"
        cloud |= {"subject": "web1", "time": "2024-05-01T10:00:00Z"}
        fields = fields_of(cloud)
        assert (fields["name"], fields["severity"]) == ("web1", 3)
        assert fields["occurred"] == "2024-05-01T10:00:00Z"
        assert fields_of({**cloud, "subject": "", "type": "com.example.disk"})["name"] == (
            "com.example.disk"
        )

    def test_usual_field_names_are_for_unknown_senders_where_the_parameter_says_so(self) -> None:
        fields = fields_of(UNKNOWN)
        assert (fields["name"], fields["severity"]) == ("Disk is full", 3)
        assert fields["occurred"] == "2024-05-01T11:00:00Z"
        for recognize in (KNOWN, OFF):
            fields = fields_of(UNKNOWN, recognize=recognize)
            assert fields["name"] == webhook.DEFAULT_NAME
            assert "severity" not in fields
            assert fields["occurred"] == NOW
        for recognize, sizes in ((GUESS, 2), (KNOWN, 1), (OFF, 1)):
            records = {"records": [{**UNKNOWN, "n": 1}, {**UNKNOWN, "n": 2}]}
            assert len(events_of(records, recognize=recognize)) == sizes

    def test_a_known_sender_gets_nothing_by_a_guess(self) -> None:
        """
        Given: a known sender's payload without what its row reads, but with usual field names
        When: it becomes an incident
        Then: severity and time are not guessed
        """
        payload = {**GUARDDUTY, "severity": "", "service": {"serviceName": "guardduty"}}
        payload |= {"priority": "high", "eventTime": "2024-05-01T11:00:00Z"}
        fields = fields_of(payload)
        assert "severity" not in fields
        assert fields["occurred"] == NOW

    @pytest.mark.parametrize("recognize", [GUESS, KNOWN, OFF])
    def test_the_default_is_what_it_was(self, recognize: str) -> None:
        payload = {"name": "one of many", "occurred": "2024-05-01T08:00:00Z", "n": 1}
        fields = fields_of(payload, recognize=recognize)
        assert fields["name"] == "one of many"
        assert fields["occurred"] == "2024-05-01T08:00:00Z"

    @pytest.mark.parametrize("recognize", [GUESS, KNOWN])
    def test_a_recognized_sender_s_own_type_is_never_taken(self, recognize: str) -> None:
        """
        Given: payloads with a type of their own
        When: the sender is recognized, or not
        Then: only that of an unknown one is taken; paths to the type, and a set type, always count
        """
        assert "type" not in fields_of(GUARDDUTY, recognize=recognize)
        unknown = {**UNKNOWN, "type": "disk"}
        assert fields_of(unknown, recognize=recognize)["type"] == "disk"
        for payload in (GUARDDUTY, unknown):
            given = fields_of(payload, recognize=recognize, type_from="type")
            assert given["type"] == payload["type"]
            given = fields_of(payload, recognize=recognize, incidentType="Cloud")
            assert given["type"] == "Cloud"


class TestFacts:
    def test_raw_json_says_whose_it_is(self) -> None:
        """
        Given: a group of alerts, of which one has ended
        When: they become incidents
        Then: each one's webhook has sender, identity, status and link, and the rest is the parent
        """
        events = events_of(ALERTMANAGER)
        assert [event.sender for event in events] == ["alertmanager"] * 2
        link = ALERT["generatorURL"]
        assert [facts_of(event) for event in events] == [
            {
                "sender": "alertmanager",
                "identity": "alertmanager:c0ffee",
                "status": "open",
                "link": link,
            },
            {
                "sender": "alertmanager",
                "identity": "alertmanager:decade",
                "status": "closed",
                "link": link,
            },
        ]
        parent = {"receiver": "xsoar", "groupLabels": {"alertname": "DiskFull"}}
        for event, alert in zip(events, (ALERT, ENDED)):
            raw = raw_of(event)
            assert raw["parent"] == parent
            assert {name: raw[name] for name in alert} == alert
            assert event.fields["name"] == "DiskFull: web1 has no space left"

    def test_what_a_row_does_not_know_is_not_there(self) -> None:
        """
        Given: a payload of a row without a link, whose identity is missing
        When: it becomes an incident
        Then: the facts are those that there are
        """
        [event] = events_of({**GUARDDUTY, "id": None})
        assert facts_of(event) == {"sender": "aws-guardduty", "status": "open"}
        [event] = events_of(UNKNOWN)
        assert (event.sender, facts_of(event)) == ("", {})

    def test_a_payload_s_own_webhook_stays(self) -> None:
        [event] = events_of({**GUARDDUTY, "webhook": "mine"})
        raw = raw_of(event)
        assert raw["webhook"] == "mine"
        assert raw["request_webhook"]["sender"] == "aws-guardduty"
        assert raw["request_webhook"]["delivery"] == event_mark(event)

    def test_details_begin_with_sender_time_and_link(self) -> None:
        lines = events_of(ALERTMANAGER)[0].fields["details"].splitlines()
        assert lines[:3] == [
            "Sender: Prometheus Alertmanager, Grafana Alerting",
            "Time: 2024-05-01T11:00:00Z",
            f"Link: {ALERT['generatorURL']}",
        ]
        lines = fields_of(GUARDDUTY)["details"].splitlines()
        assert lines[:2] == ["Sender: AWS GuardDuty", "Time: 2024-05-01T11:00:00Z"]
        assert not any(line.startswith("Link:") for line in lines)
        assert fields_of(UNKNOWN)["details"].startswith("Disk is full\n")

    def test_the_link_in_the_details_is_without_secrets(self) -> None:
        link = "https://prometheus.example.com/graph?token=s3cret-value"
        alert = {**ALERT, "generatorURL": link}
        [event] = events_of({**ALERTMANAGER, "alerts": [alert]})
        assert "s3cret-value" not in event.fields["details"]

    def test_an_element_that_is_no_object_is_an_event_of_an_unknown_sender(self) -> None:
        first, second = events_of({**ALERTMANAGER, "alerts": [ALERT, "text"]})
        assert (first.sender, second.sender) == ("alertmanager", "")
        assert raw_of(second)["body"] == "text"

    def test_the_duplication_key_is_the_parameter_s_alone(self) -> None:
        assert [event.key for event in events_of(ALERTMANAGER)] == [None, None]
        events = events_of(ALERTMANAGER, duplication_key="fingerprint")
        assert [event.key for event in events] == ["fingerprint:c0ffee", "fingerprint:decade"]


class TestEnvelopes:
    def test_an_alarm_in_an_sns_notification_is_the_alarm_s(self) -> None:
        """
        Given: a CloudWatch alarm in the message of an SNS notification
        When: it becomes an incident
        Then: it is the alarm's, and what the alarm's row does not find is the envelope's
        """
        arn = "arn:aws:cloudwatch:eu-central-1:111122223333:alarm:cpu"
        alarm = {"AlarmName": "cpu", "NewStateValue": "ALARM", "AlarmArn": arn}
        notification = {
            "Type": "Notification",
            "MessageId": "22b80b92",
            "TopicArn": "arn:aws:sns:eu-central-1:111122223333:Alerts",
            "Subject": "ALARM: cpu",
            "Message": json.dumps(alarm),
            "Timestamp": "2024-05-01T10:00:00.000Z",
        }
        [event] = events_of(notification)
        assert event.fields["name"] == "cpu is ALARM"
        assert event.fields["occurred"] == "2024-05-01T10:00:00Z"
        assert facts_of(event) == {
            "sender": "aws-cloudwatch-alarm",
            "identity": f"aws-cloudwatch:{arn}",
            "status": "open",
        }
        [event] = events_of({**notification, "Message": "no alarm"})
        assert (event.sender, event.fields["name"]) == ("aws-sns", "ALARM: cpu")

    def test_findings_in_an_eventbridge_event_are_an_event_each(self) -> None:
        """
        Given: two findings of Security Hub in an event of EventBridge
        When: they become incidents
        Then: each finding is one, and its parent is the envelope without them
        """
        envelope = {
            "version": "0",
            "id": "8e5d6b7a",
            "detail-type": "Security Hub Findings - Imported",
            "source": "aws.securityhub",
            "account": "111122223333",
            "time": "2024-05-01T12:00:00Z",
        }
        other = {**FINDING, "Id": "f2", "Title": "A bucket is public", "RecordState": "ARCHIVED"}
        events = events_of({**envelope, "detail": {"findings": [FINDING, other]}})
        assert [event.fields["name"] for event in events] == [
            "Port 22 is open",
            "A bucket is public",
        ]
        assert [facts_of(event) for event in events] == [
            {"sender": "aws-securityhub", "identity": "aws-securityhub:f1", "status": "open"},
            {"sender": "aws-securityhub", "identity": "aws-securityhub:f2", "status": "closed"},
        ]
        for event in events:
            assert raw_of(event)["parent"] == {**envelope, "detail": {}}

    def test_what_lies_too_deep_in_an_envelope_is_not_split(self) -> None:
        deep: dict[str, Any] = {"alerts": []}
        around: dict[str, Any] = {"deep": deep}
        for _ in range(10):
            around = {"deep": around}
        assert webhook.keys_to(deep, {"a": {"b": deep}}) == ("a", "b")
        assert webhook.keys_to(deep, around) is None


class TestEventsIn:
    """A set *Events in* beside a row that has events of its own."""

    def test_where_it_names_the_row_s_array_the_row_counts(self) -> None:
        events = events_of(ALERTMANAGER, events_path="alerts")
        assert [event.sender for event in events] == ["alertmanager"] * 2
        assert [facts_of(event)["identity"] for event in events] == [
            "alertmanager:c0ffee",
            "alertmanager:decade",
        ]

    @pytest.mark.parametrize("path, count", [("items", 3), ("missing", 1)])
    def test_where_it_names_another_one_the_row_is_off(self, path: str, count: int) -> None:
        """
        Given: a known sender's payload with an array beside the one that its row names
        When: Events in names that array, or one that is not there
        Then: its elements, or the payload, are events of a sender that is not recognized
        """
        payload = {**ALERTMANAGER, "items": [{"n": number} for number in range(3)]}
        events = events_of(payload, events_path=path)
        assert [event.sender for event in events] == [""] * count
        assert {event.fields["name"] for event in events} == {webhook.DEFAULT_NAME}

    def test_it_splits_what_the_row_of_a_single_event_describes(self) -> None:
        payload = {**GUARDDUTY, "items": [{"n": 1}, {"n": 2}]}
        first, second = events_of(payload, events_path="items")
        assert (raw_of(first)["n"], raw_of(second)["n"]) == (1, 2)
        assert [event.sender for event in (first, second)] == ["aws-guardduty"] * 2

    def test_usual_arrays_are_not_looked_for_where_it_is_set(self) -> None:
        records = {"records": [{**UNKNOWN, "n": 1}, {**UNKNOWN, "n": 2}]}
        assert len(events_of(records, events_path="missing")) == 1


# ---- what is told of senders


class TestCounts:
    def test_events_are_counted_by_sender(self, application: Make) -> None:
        app = application(recognize=GUESS)
        native = {"raw_json": {"a": 1}}
        for payload in (ALERTMANAGER, UNKNOWN, native, {"name": "native, too"}):
            app.statuses(posted(json.dumps(payload).encode()))
        assert app.webhook.senders.counts == {"alertmanager": 2, "unknown": 1}

    def test_where_nobody_is_recognized_nothing_is_counted(self, application: Make) -> None:
        app = application()
        app.statuses(posted(json.dumps(ALERTMANAGER).encode()))
        app.webhook.report_unknown_senders()
        assert (dict(app.webhook.senders.counts), app.client.logged) == ({}, [])

    def test_metrics_have_a_line_for_each_sender(self, application: Make) -> None:
        app = application(recognize=KNOWN, metrics=True, allowed_sources="127.0.0.1")
        for payload in (ALERTMANAGER, UNKNOWN):
            app.statuses(posted(json.dumps(payload).encode()))
        received = app.answers(posted(b"", target=b"/metrics", method=b"GET")).decode()
        lines = received.splitlines()
        assert "# TYPE generic_webhook_events_total counter" in lines
        assert 'generic_webhook_events_total{sender="alertmanager"} 2' in lines
        assert 'generic_webhook_events_total{sender="unknown"} 1' in lines

    def test_no_number_of_senders_makes_more_lines_than_the_bound(self, application: Make) -> None:
        app = application(recognize=KNOWN)
        for number in range(webhook.MAX_SENDERS_COUNTED + 5):
            event = event_named("n")
            event.sender = f"sender-{number}"
            app.webhook._count_senders([event])
        assert len(app.webhook.senders.counts) == webhook.MAX_SENDERS_COUNTED + 1
        assert app.webhook.senders.counts["other"] == 5


class TestUnknownSenders:
    """The line in the log with the keys of payloads that were not recognized."""

    @staticmethod
    def reported(app: Application) -> str:
        app.webhook.report_unknown_senders()
        [line] = app.client.logged
        return line

    def test_it_names_keys_and_never_values(self, application: Make) -> None:
        """
        Given: payloads of unknown senders, one of which has keys with quotes and line breaks
        When: the hour is over
        Then: the line has their keys in quotes, each cut, and how many events had them
        """
        app = application(recognize=GUESS)
        odd = {"it's\nmine": "s3cret-value", "k" * 100: "s3cret-value"}
        for payload in (odd, UNKNOWN, UNKNOWN, GUARDDUTY):
            app.statuses(posted(json.dumps(payload).encode()))
        line = self.reported(app)
        assert line == (
            "Events of unknown senders: 2 with the keys 'title', 'severity', 'eventTime'; "
            f"1 with the keys \"it's\\nmine\", '{'k' * 40}'."
        )

    def test_it_begins_anew_each_time(self, application: Make) -> None:
        app = application(recognize=GUESS)
        app.statuses(posted(json.dumps(UNKNOWN).encode()))
        first = self.reported(app)
        app.webhook.report_unknown_senders()
        assert app.client.logged == [first]

    def test_it_has_the_five_most_frequent_shapes_and_twelve_keys_of_each(
        self, application: Make
    ) -> None:
        app = application(recognize=GUESS)
        for number in range(8):
            payload = {f"key{number}-{place}": place for place in range(20)}
            body = json.dumps([payload] * (number + 1)).encode()
            app.statuses(posted(body))
        shapes = self.reported(app).split("; ")
        assert [shape.removeprefix("Events of unknown senders: ")[:1] for shape in shapes] == [
            *"87654"
        ]
        for shape, number in zip(shapes, (7, 6, 5, 4, 3)):
            keys = shape.rstrip(".").partition(" with the keys ")[2].split(", ")
            assert keys == [f"'key{number}-{place}'" for place in range(12)]

    def test_a_flood_of_shapes_is_bounded(self, application: Make) -> None:
        """
        Given: more shapes than are remembered
        When: one of the first comes again
        Then: it is still counted, and no further shape is
        """
        app = application(recognize=GUESS)
        many = webhook.MAX_UNKNOWN_SHAPES + 10
        body = json.dumps([{f"key{number}": 1} for number in range(many)]).encode()
        app.statuses(posted(body))
        app.statuses(posted(b'[{"key0": 1}, {"late": 1}]'))
        assert len(app.webhook._unknown) == webhook.MAX_UNKNOWN_SHAPES
        assert "2 with the keys 'key0'" in self.reported(app)


# ---- what is kept of a request


class TestPath:
    def test_the_path_is_kept_without_the_instance_s_secret(self, application: Make) -> None:
        """
        Given: a sender that writes the instance's token into the path as well
        When: its event becomes an incident
        Then: the path is there, and the token is in no part of it
        """
        app = application(credentials=credentials("_query:token", "s3cret-value"))
        for path, kept in (
            (b"/disk/web1", "/disk/web1"),
            (b"/disk/s3cret-value", "/disk/***"),
            (b"/disk/s3cret%2Dvalue/x", "/disk/***/x"),
        ):
            received = app.answers(posted(b'{"n": 1}', target=path + b"?token=s3cret-value"))
            assert content_of(received)
            raw = raw_of(app.writer.taken[-1])
            assert raw["path"] == kept
            assert "s3cret" not in app.writer.taken[-1].fields["rawJSON"]

    def test_the_root_is_no_path(self, application: Make) -> None:
        app = application()
        app.statuses(posted())
        assert "path" not in raw_of(app.writer.taken[0])


class TestProxy:
    @pytest.mark.parametrize(
        "value, uses", [("true", True), ("false", False), (True, True), (None, False), ("", False)]
    )
    def test_requests_of_an_authenticator_s_own_use_the_system_s_where_that_is_set(
        self, value: Any, uses: bool
    ) -> None:
        topic = "arn:aws:sns:eu-central-1:111122223333:Alerts"
        read = settings(credentials=credentials("_sns", topic), proxy=value)
        assert read.mistakes == ()
        [group] = read.credentials.groups
        assert isinstance(group, webhook.SignatureAuthenticator)
        assert isinstance(group.verifier, webhook.SnsVerifier)
        assert (group.verifier._use_proxy, read.proxy) == (uses, uses)

    def test_a_proxy_setting_alone_is_no_credential(self) -> None:
        assert settings(proxy="true").credentials.is_open
