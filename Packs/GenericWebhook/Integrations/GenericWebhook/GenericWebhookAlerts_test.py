"""Unit tests of GenericWebhook.py: alerts, from the parameters to mirroring."""

import json
from collections.abc import Callable
from typing import Any

import demistomock as demisto
import GenericWebhook as webhook
import pytest
from test_data.helpers import (
    DELIVERY,
    NOW,
    Application,
    await_that,
    content_of,
    credentials,
    event_named,
    posted,
    settings,
)

Make = Callable[..., Application]
NOTE, CLOSE, EACH = "Note in the incident", "Close the incident", "Incident for each event"
START = "2024-05-01T11:00:00Z"


def alert(status: str = "firing", fingerprint: str = "c0ffee", **fields: Any) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": "DiskFull", "instance": "web1", "severity": "warning"},
        "annotations": {"summary": "web1 has no space left"},
        "startsAt": START,
        "fingerprint": fingerprint,
        "generatorURL": "https://prometheus.example.com/graph",
        **fields,
    }


def notification(*alerts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return what Alertmanager posts."""
    return {"receiver": "xsoar", "groupLabels": {}, "alerts": list(alerts), **fields}


def events_of(payload: Any, **params: Any) -> list[webhook.Event]:
    """Return the events of a body, for an instance with some parameters."""
    params = {"recognize": "known senders", "alert_updates": NOTE, **params}
    known = settings(**params)
    context = webhook.RequestContext({}, {})
    return webhook.EventMaker(context, known, NOW, DELIVERY).make(webhook.Items([payload]))


def event_of(payload: Any, **params: Any) -> webhook.Event:
    [event] = events_of(payload, **params)
    webhook.Delivery(DELIVERY, None, [event])
    return event


def mistakes_of(**params: Any) -> list[str]:
    return [str(mistake) for mistake in settings(**params).mistakes]


class TestSettings:
    @pytest.mark.parametrize(
        "given, read",
        [(None, "each"), ("", "each"), (NOTE, "note"), (CLOSE, "close"), (EACH, "each")],
    )
    def test_what_becomes_of_alerts(self, given: str | None, read: str) -> None:
        found = settings(alert_updates=given)
        assert (found.alert_updates, found.mistakes) == (read, ())
        assert found.follows_alerts is (read != "each")

    def test_another_word_is_explained(self) -> None:
        assert mistakes_of(alert_updates="yes") == [
            "Alerts that repeat or end: choose one of: note in the incident, close the incident, "
            "incident for each event."
        ]

    def test_ended_when_needs_a_duplication_key(self) -> None:
        assert mistakes_of(ended_when="status=ok") == [
            "Ended when: enter a Duplication key as well; it says which alert has ended."
        ]
        assert mistakes_of(ended_when="status=ok", duplication_key="id") == []
        [mistake] = mistakes_of(ended_when="a=1\nstatus", duplication_key="id")
        assert mistake.startswith("Ended when: Line 2: 'status' is not a condition")

    def test_closing_and_the_mirroring_of_another_pack_exclude_each_other(self) -> None:
        """
        Given: an instance that closes incidents, with a mirroring direction for another pack
        When: its parameters are read
        Then: Test explains it, ends are noted, and the other pack's fields stay as they are
        """
        params = {"alert_updates": CLOSE, "mirror_direction": "Incoming", "mirror_instance": "x"}
        [mistake] = mistakes_of(**params)
        assert "choose None as Mirroring direction" in mistake
        event = event_of(notification(alert()), **params)
        raw = json.loads(event.fields["rawJSON"])
        assert (raw["mirror_direction"], raw["mirror_instance"]) == ("In", "x")
        assert "mirror_id" not in raw
        assert "dbotMirrorId" not in event.fields

    @pytest.mark.parametrize("platform", ["x2", "unified_platform"])
    def test_only_xsoar_can_close(self, platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
        closing, noting = settings(alert_updates=CLOSE), settings(alert_updates=NOTE)
        assert webhook.without_closing(closing) is closing
        for known in ({"platform": "xsoar_hosted"}, {"version": "6.5.0"}, None):
            monkeypatch.setattr(demisto, "demistoVersion", lambda known=known: known)
            assert webhook.without_closing(closing) is closing
        monkeypatch.setattr(demisto, "demistoVersion", lambda: {"platform": platform})
        assert webhook.without_closing(noting) is noting
        found = webhook.without_closing(closing)
        assert found.alert_updates == "note"
        [mistake] = found.mistakes
        assert "only Cortex XSOAR can close incidents" in str(mistake)


class TestEvents:
    def test_a_known_sender_s_alert_is_its_row_s(self) -> None:
        first, last = events_of(notification(alert(), alert("resolved")))
        assert first.alert == webhook.Alert(
            "alertmanager:c0ffee", START, False, True, "https://prometheus.example.com/graph"
        )
        assert last.alert == first.alert._replace(ended=True)

    def test_an_instance_that_has_not_chosen_follows_none(self) -> None:
        for given in (None, EACH):
            event = event_of(notification(alert("resolved")), alert_updates=given)
            assert event.alert is None
            assert event.fields["severity"] == 2
            assert event.fields["name"] == "DiskFull: web1 has no space left"

    def test_an_alert_is_told_from_others_by_nothing_else(self) -> None:
        """
        Given: an instance with a duplication key that start and end have in common
        When: both arrive
        Then: the end is no duplicate of the start
        """
        [event] = events_of(notification(alert()), duplication_key="fingerprint")
        assert (event.key, event.alert is None) == (None, False)
        [event] = events_of({"fingerprint": "c0ffee"}, duplication_key="fingerprint")
        assert (event.key, event.alert) == ("fingerprint:c0ffee", None)

    def test_a_row_without_an_end_or_an_event_without_an_identity_is_no_alert(self) -> None:
        anonymous = alert(fingerprint=None, labels={})
        assert event_of(notification(anonymous)).alert is None
        guardduty = {"event": "x", "schemaVersion": "2.0"}
        assert event_of(guardduty).alert is None

    def test_of_an_unknown_sender_the_parameters_name_alert_and_end(self) -> None:
        params = {
            **{"duplication_key": "check.id", "ended_when": "state=ok|up", "occurred_from": "at"},
            "recognize": "off",
        }
        body = {"check": {"id": "5"}, "state": "down", "at": START}
        assert event_of(body, **params).alert == webhook.Alert("check.id:5", START)
        ended = event_of({**body, "state": "UP"}, **params).alert
        assert ended == webhook.Alert("check.id:5", START, True)
        assert event_of({"state": "down"}, **params).alert is None
        assert event_of(body, **{**params, "ended_when": ""}).alert is None

    def test_what_xsoar_is_to_close_has_the_mirroring_fields_twice(self) -> None:
        """
        Given: an instance that closes incidents, and a payload with mirroring fields of its own
        When: its event is made
        Then: the incident and its raw JSON have ours, and the sender's are kept under other names
        """
        payload = notification({**alert(), "mirror_id": "theirs"})
        event = event_of(payload, alert_updates=CLOSE)
        ours = {
            "dbotMirrorId": f"{DELIVERY}/0",
            "dbotMirrorDirection": "In",
            "dbotMirrorInstance": "webhook",
        }
        assert {name: event.fields[name] for name in ours} == ours
        raw = json.loads(event.fields["rawJSON"])
        assert raw["mirror_id"] == event.mark == raw["webhook"]["delivery"]
        assert (raw["mirror_direction"], raw["mirror_instance"]) == ("In", "webhook")
        assert raw["payload_mirror_id"] == "theirs"
        other = event_of({"n": 1}, alert_updates=CLOSE)
        assert "dbotMirrorId" not in other.fields
        assert "mirror_id" not in json.loads(other.fields["rawJSON"])

    def test_a_header_that_ended_when_names_is_kept(self) -> None:
        known = settings(ended_when="headers.x-token-state=ok", duplication_key="id")
        assert known.hidden.visible_headers({"x-token-state": "ok"}, frozenset()) == {
            "x-token-state": "ok"
        }


class TestRequests:
    def make(self, application: Make, **params: Any) -> Application:
        app = application(recognize="known senders", **{"alert_updates": NOTE, **params})
        app.keeper.read.set()
        return app

    def send(self, app: Application, *alerts: dict[str, Any]) -> Any:
        return content_of(app.answers(posted(json.dumps(notification(*alerts)).encode())))

    def test_an_alert_has_one_incident_from_its_start_to_its_end(self, application: Make) -> None:
        app = self.make(application)
        app.run(app.alerts.write_notes)
        assert self.send(app, alert()) == [{"id": "1", "name": "n"}]
        assert self.send(app, alert()) == [{"id": "1", "name": "n", "duplicate": True}]
        assert self.send(app, alert("resolved")) == [{"id": "1", "name": "n", "ended": True}]
        assert app.writer.created == 1
        assert app.counters.totals()["incidents created"] == 1
        assert app.counters.totals()["alerts ended"] == 1

    def test_a_note_that_xsoar_refuses_is_in_the_log(
        self, application: Make, monkeypatch: pytest.MonkeyPatch, quick: list[float]
    ) -> None:
        def refuse(incident: str, text: str) -> None:
            raise ValueError("there is no addEntry here")

        monkeypatch.setattr(demisto, "addEntry", refuse)
        app = self.make(application)
        self.send(app, alert())
        app.begin(posted(json.dumps(notification(alert("resolved"))).encode()))
        await_that(lambda: len(app.alerts.notes))
        note = app.alerts.notes.next(0)
        note.failures = 2
        app.run(app.alerts.write_notes)
        await_that(lambda: app.client.logged)
        assert "there is no addEntry here" in app.client.logged[0]

    def test_a_request_waits_until_open_alerts_are_known(self, application: Make) -> None:
        app = self.make(application)
        app.keeper.loaded.clear()
        sender = app.begin(posted(json.dumps(notification(alert())).encode()))
        await_that(lambda: app.connections.in_progress)
        assert app.writer.taken == []
        app.keeper.loaded.set()
        assert content_of(sender.answers()) == [{"id": "1", "name": "n"}]

    def test_the_id_of_a_delivery_is_no_key_of_an_alert(self, application: Make) -> None:
        app = self.make(
            application,
            credentials=credentials("_query:token", "s3cret"),
            duplication_key="id",
        )
        event, other = event_of(notification(alert())), event_named("other")
        request = type("Request", (), {"headers": {"webhook-id": "w"}})()
        app.webhook._credentials = type(
            "Identifying", (), {"event_id": staticmethod(lambda credential, headers: "w")}
        )()
        app.webhook._identify(request, [event, other], app.settings.credentials.rows[0])
        assert (event.key, other.key) == (None, "webhook-id:w[1]")

    def test_an_end_without_a_start_is_informational(self, application: Make) -> None:
        app = self.make(application)
        self.send(app, alert("resolved"))
        [event] = app.writer.taken
        assert event.fields["severity"] == 0.5
        assert event.fields["name"] == "Ended: DiskFull: web1 has no space left"


class TestContext:
    def test_alerts_notes_and_changes_survive_a_start(
        self, application: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: an alert, and its end, in an instance that closes incidents
        When: the context is written, and another start reads it
        Then: it knows the alert, the note that waits, and the incident to close
        """
        monkeypatch.setattr(demisto, "integrationContext", {})
        monkeypatch.setattr(demisto, "integrationContextVersion", 0)
        make = TestRequests()
        app = make.make(application, alert_updates=CLOSE)
        make.send(app, alert(), alert(fingerprint="decade"))
        sender = app.begin(posted(json.dumps(notification(alert("resolved"))).encode()))
        await_that(lambda: len(app.alerts.notes))
        assert app.keeper.flush()
        assert content_of(sender.answers()) == [{"id": "1", "name": "n", "ended": True}]
        again = make.make(application, alert_updates=CLOSE)
        again.keeper.read.clear()
        assert again.keeper._synchronize(write=False)
        assert len(again.alerts.known) == 1
        assert len(again.alerts.notes) == 1
        assert len(again.alerts.changes) == 1

    def test_what_is_damaged_is_in_the_log(
        self, application: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(demisto, "integrationContext", {"open_alerts": "{"})
        app = TestRequests().make(application)
        app.keeper.read.clear()
        assert app.keeper._synchronize(write=False)
        assert "open_alerts is not a list" in app.client.logged[0]

    def test_a_reset_forgets_open_alerts(
        self, application: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(demisto, "integrationContext", {"reset": "events"})
        app = TestRequests().make(application)
        TestRequests().send(app, alert())
        assert app.keeper.flush()
        assert len(app.alerts.known) == 0
        assert "open_alerts" not in demisto.integrationContext
        assert "open_alerts" in webhook.RESETS["events"]

    def test_what_was_answered_202_keeps_its_alert(self) -> None:
        event = event_of(notification(alert("resolved")))
        item = {"fields": event.fields, "key": None, "request": "0a", "index": 0}
        item["alert"] = json.loads(webhook.to_json(event.alert))
        assert webhook.promised_event(item).alert == event.alert
        assert webhook.promised_event({**item, "alert": [1] * 9}).alert is None
        assert webhook.promised_event({**item, "alert": None}).alert is None


# ---- the commands


class Mirror:
    """The commands of mirroring, on an integration context."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **changes: bool) -> None:
        self.monkeypatch = monkeypatch
        self.results: list[Any] = []
        kept, self.context = webhook.MirrorChanges(), {"status": "{}"}
        for mark, closes in changes.items():
            kept.put(mark, closes, f"text of {mark}", 1000.0)
        kept.write(self.context, 1000.0)
        monkeypatch.setattr(demisto, "integrationContext", self.context)
        monkeypatch.setattr(demisto, "integrationContextVersion", 0)
        monkeypatch.setattr(demisto, "results", self.results.append)
        monkeypatch.setattr(demisto, "params", lambda: {"longRunningPort": "8000"})

    def run(self, command: str, **args: str) -> Any:
        self.results.clear()
        self.monkeypatch.setattr(demisto, "command", lambda: command)
        self.monkeypatch.setattr(demisto, "args", lambda: args)
        webhook.main()
        [result] = self.results
        return result


class TestMirroring:
    def test_each_incident_is_named_until_it_was_handed_over(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mirror = Mirror(monkeypatch, a=True, b=False)
        assert mirror.run("get-modified-remote-data")["Contents"] == ["a", "b"]
        first, entry = mirror.run("get-remote-data", id="a", lastUpdate="2024-05-01")
        assert first == {"id": "a"}
        assert entry == {
            "Type": 1,
            "ContentsFormat": "json",
            "Contents": {
                "dbotIncidentClose": True,
                "closeReason": "Resolved",
                "closeNotes": "text of a",
            },
        }
        assert mirror.run("get-remote-data", id="a") == [{"id": "a"}]
        assert mirror.run("get-modified-remote-data")["Contents"] == ["b"]
        _, entry = mirror.run("get-remote-data", id="b")
        assert entry["Contents"] == {"dbotIncidentReopen": True}
        assert mirror.run("get-modified-remote-data")["Contents"] == []
        assert demisto.integrationContext["status"] == "{}"

    def test_an_incident_nobody_changed_is_left_as_it_is(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert Mirror(monkeypatch).run("get-remote-data", id="x") == [{"id": "x"}]

    def test_a_context_that_changes_all_the_time_is_asked_for_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a container that writes between each reading and writing of the command
        When: XSOAR asks for an incident's changes
        Then: the command says skip update, and a later one hands them over
        """
        mirror = Mirror(monkeypatch, a=True)
        write, pauses = demisto.setIntegrationContextVersioned, []

        def refuse(*_: Any) -> None:
            raise ValueError("stale version")

        monkeypatch.setattr(demisto, "setIntegrationContextVersioned", refuse)
        monkeypatch.setattr(webhook.time, "sleep", pauses.append)
        with pytest.raises(SystemExit):
            mirror.run("get-remote-data", id="a")
        [error] = mirror.results
        assert error["Contents"].startswith("skip update: ")
        assert len(pauses) == webhook.RESET_TRIES - 1
        monkeypatch.setattr(demisto, "setIntegrationContextVersioned", write)
        assert len(mirror.run("get-remote-data", id="a")) == 2

    @pytest.mark.parametrize("command", ["get-modified-remote-data", "get-remote-data"])
    def test_a_context_that_cannot_be_read_is_asked_for_again(
        self, monkeypatch: pytest.MonkeyPatch, command: str
    ) -> None:
        def refuse(*_: Any) -> None:
            raise ValueError("the database is away")

        mirror = Mirror(monkeypatch, a=True)
        monkeypatch.setattr(demisto, "getIntegrationContextVersioned", refuse)
        with pytest.raises(SystemExit):
            mirror.run(command, id="a")
        [error] = mirror.results
        assert error["Contents"].startswith("skip update: the integration context cannot be read")

    def test_nothing_is_mirrored_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert Mirror(monkeypatch).run("get-mapping-fields") == {"Generic Webhook": {}}
