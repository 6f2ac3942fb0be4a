"""Senders that depend on what they are answered read it once their incident exists."""

import base64
import json
import urllib.parse
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import pytest

from Tests.end_to_end.sender import Answer, Sender, await_that, running, send

RECOGNIZED = {"recognize": "known senders and usual field names"}
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
SLACK = {
    "type": "block_actions",
    "user": {"id": "U1", "username": "jane.doe"},
    "api_app_id": "A02",
    "trigger_id": "12.34.ab",
    "actions": [{"action_id": "acknowledge"}],
}
XERO = {"events": [], "firstEventSequence": 0, "lastEventSequence": 0, "entropy": "QWERTY"}
FIREHOSE = {
    "requestId": "ed4acda5-034f-9f42-bba1-f29aea6d7d8f",
    "timestamp": 1714564800000,
    "records": [{"data": base64.b64encode(b'{"alert": "a"}\n{"alert": "b"}').decode()}],
}
TWILIO = {"MessageSid": "SM1", "AccountSid": "AC1", "From": "+15550100", "Body": "db1 is down"}
SALESFORCE = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>
<notifications xmlns="http://soap.sforce.com/2005/09/outbound"><OrganizationId>00D1</OrganizationId>
<ActionId>04k1</ActionId><SessionId xsi:nil="true"/><Notification><Id>04l1</Id>
<sObject xsi:type="sf:Case" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">
<sf:Id>5001</sf:Id><sf:Subject>Login from a new country</sf:Subject></sObject></Notification>
</notifications></soapenv:Body></soapenv:Envelope>"""

SENDERS: dict[str, tuple[str, str, str, int, bytes | None, str]] = {
    "Slack's interaction": (
        "",
        FORM,
        urllib.parse.urlencode({"payload": json.dumps(SLACK)}),
        1,
        b"",
        "text/plain",
    ),
    "Xero": ("", JSON, json.dumps(XERO), 1, b"", "text/plain"),
    "Firehose": (
        "",
        JSON,
        json.dumps(FIREHOSE),
        2,
        b'{"requestId":"ed4acda5-034f-9f42-bba1-f29aea6d7d8f","timestamp":1714564800000}',
        JSON,
    ),
    "an agent of Splunk": (
        "/services/collector/event",
        JSON,
        '{"event": {"title": "a"}}{"event": {"title": "b"}}',
        2,
        b'{"text":"Success","code":0}',
        JSON,
    ),
    "Twilio": ("", FORM, urllib.parse.urlencode(TWILIO), 1, None, "text/xml"),
    "Salesforce": ("", "text/xml; charset=utf-8", SALESFORCE, 1, None, "text/xml"),
}


@pytest.fixture(scope="module")
def recognizing() -> Iterator[Sender]:
    with running(params=RECOGNIZED) as sender:
        yield sender


def posted(sender: Sender, name: str) -> Answer:
    path, content_type, body, *_ = SENDERS[name]
    url = sender.sandbox.sender_url.rstrip("/") + path
    return send(url, body.encode(), {"Content-Type": content_type}, "POST")


@pytest.mark.parametrize("name", SENDERS)
def test_a_sender_reads_what_it_expects(recognizing: Sender, name: str) -> None:
    *_, count, content, content_type = SENDERS[name]
    before = len(recognizing.sandbox.incidents())
    answer = posted(recognizing, name)
    assert answer.status == 200
    assert answer.headers["content-type"].partition(";")[0] == content_type
    incidents = recognizing.sandbox.incidents()
    assert len(incidents) == before + count
    marks = {json.loads(one["rawJSON"])["webhook"]["delivery"] for one in incidents[before:]}
    assert marks == {f"{answer.headers['x-request-id']}/{index}" for index in range(count)}
    if content is not None:
        assert answer.body == content
    else:
        root = ElementTree.fromstring(answer.body)
        acks = [element.text for element in root.iter() if element.tag.endswith("}Ack")]
        assert (root.tag, acks) in (("Response", []), (root.tag, ["true"]))


def test_what_could_not_be_created_is_an_error_for_them_as_well(recognizing: Sender) -> None:
    recognizing.sandbox.faults.reject = "db1 is down"
    assert posted(recognizing, "Twilio").status in (502, 503)
    recognizing.sandbox.faults.reject = None


def test_an_early_answer_is_what_they_expect_as_well() -> None:
    with running(params={**RECOGNIZED, "answer_seconds": "0.5"}) as sender:
        sender.sandbox.faults.latency = {"createIncidents": 3.0}
        answer = posted(sender, "Slack's interaction")
        assert (answer.status, answer.body) == (200, b"")
        assert not sender.sandbox.incidents()
        await_that(sender.sandbox.incidents)


@pytest.mark.parametrize("params", [{"recognize": "off"}, {"recognize": ""}])
def test_where_nobody_is_recognized_the_answer_is_that_of_all_others(
    params: dict[str, Any],
) -> None:
    with running(params=params) as sender:
        for name in SENDERS:
            assert [created["id"] for created in posted(sender, name).json]


# ---- GET as an event


def got(sender: Sender, rest: str) -> int:
    return send(sender.sandbox.sender_url.rstrip("/") + rest, method="GET").status


def test_an_accepted_get_with_a_path_or_a_proven_token_is_an_event() -> None:
    token = {"credentials": {"identifier": "_query:key", "password": "tok-12345"}}
    with running(params={"accept_get": True, **token}) as sender:
        for rest, status, count in (
            ("/", 200, 0),  # a form that checks the URL
            ("/disk/full", 401, 0),
            ("/?name=x", 401, 0),
            ("/?key=tok-12345", 200, 1),
            ("/disk/full?key=tok-12345", 200, 1),
        ):
            before = len(sender.sandbox.incidents())
            assert (got(sender, rest), len(sender.sandbox.incidents()) - before) == (status, count)
        newest = json.loads(sender.sandbox.incidents()[-1]["rawJSON"])
        assert newest["path"] == "/disk/full"
        assert "tok-12345" not in json.dumps(newest)
    with running(params={"accept_get": True}) as sender:
        assert (got(sender, "/"), len(sender.sandbox.incidents())) == (200, 0)
        assert (got(sender, "/disk/full"), len(sender.sandbox.incidents())) == (200, 1)
    with running() as sender:
        assert got(sender, "/disk/full") == 200  # not accepted: a URL check, as before
        assert not sender.sandbox.incidents()
