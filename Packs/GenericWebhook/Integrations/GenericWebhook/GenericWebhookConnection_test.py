"""Unit tests of GenericWebhook.py: what becomes of events, by what createIncidents answered."""

from typing import Any

import demistomock as demisto
import GenericWebhook as webhook
import pytest
from test_data.helpers import delivery_of

from Tests.xsoar_end import XsoarEnd, ask

DOUBT = "may have been created"
FOREIGN = "ffffffffffff/0"


def incidents_of(delivery: webhook.Delivery) -> list[dict[str, Any]]:
    """Return what XSOAR answers where it creates all events as they were sent."""
    return [{**event.fields, "id": f"id of {event.fields['name']}"} for event in delivery.events]


def outcomes(delivery: webhook.Delivery, answer: Any) -> list[webhook.Outcome]:
    created = webhook.match_incidents(delivery.events, answer)
    return webhook.created_outcomes(delivery.events, created)


def matched(delivery: webhook.Delivery, answer: Any) -> list[Any]:
    """Return for each event its incident's ID, None where it was dropped, or DOUBT."""
    return [
        DOUBT if outcome == webhook.MAYBE_CREATED else outcome.created and outcome.created["id"]
        for outcome in outcomes(delivery, answer)
    ]


class TestOutcomes:
    def test_the_whole_answer_in_order_is_each_one_s(self) -> None:
        sent = delivery_of("a", "b")
        answer = incidents_of(sent)
        assert outcomes(sent, answer) == [webhook.Outcome(200, created) for created in answer]
        assert outcomes(sent, answer[1:]) == [webhook.DROPPED, webhook.Outcome(200, answer[1])]

    def test_an_object_without_an_id_does_not_exist_for_certain(self) -> None:
        """
        Given: objects without an ID, as XSOAR answers for what it could not create
        When: the answer is matched
        Then: their events may have been created, and the others have their incidents
        """
        assert matched(delivery_of("a"), [{"error": "Could not create it"}]) == [DOUBT]
        assert matched(delivery_of("a"), [{"id": "", "name": "a"}]) == [DOUBT]
        sent = delivery_of("a", "b")
        without_id = {**incidents_of(sent)[0]}
        del without_id["id"]
        assert matched(sent, [without_id, incidents_of(sent)[1]]) == [DOUBT, "id of b"]
        assert matched(sent, [{"error": "no"}, incidents_of(sent)[1]]) == [DOUBT, "id of b"]

    def test_a_payload_s_own_webhook_does_not_hide_our_mark(self) -> None:
        """
        Given: a payload with an object webhook that looks like ours, whose rawJSON is written anew
        When: the answer is matched
        Then: our mark is found under request_webhook
        """
        items = webhook.Items([{"webhook": {"delivery": FOREIGN}}, {"x": 1}])
        context, settings = webhook.RequestContext({}, {}), webhook.Settings()
        maker = webhook.EventMaker(context, settings, "2024-05-01T12:00:00Z", "0123456789ab")
        events = maker.make(items)
        sent = webhook.Delivery("0123456789ab", None, events)
        answer = [
            {
                "id": str(number),
                "rawJSON": event.fields["rawJSON"].replace(":", " : "),
            }
            for number, event in enumerate(events)
        ]
        assert matched(sent, answer[::-1]) == ["0", "1"]

    def test_an_older_incident_without_an_id_is_a_doubt(
        self, xsoar_end: XsoarEnd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a lone event
        When: XSOAR answers with an incident that has another event's mark, with and without an ID
        Then: a rule may have linked them, and what has no ID may not exist
        """
        monkeypatch.setattr(demisto, "createIncidents", lambda incidents: ask("create"))
        xsoar_end.open()
        client = webhook.XsoarClient()
        client.take_over()
        older = {**delivery_of("other").events[0].fields, "id": "7"}
        xsoar_end.answer(webhook.compact_json([older]).encode() + b"\n")
        event = delivery_of("a").events
        assert client.create_incidents(event) == [webhook.Outcome(200, older)]
        del older["id"]
        xsoar_end.answer(webhook.compact_json([older]).encode() + b"\n")
        assert client.create_incidents(event) == [webhook.MAYBE_CREATED]
