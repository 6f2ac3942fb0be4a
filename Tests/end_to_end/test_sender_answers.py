"""Senders that look at more of an answer than its status get the one that they depend on."""

import base64
import gzip
import json
import re
import runpy
import time
from typing import Any
from urllib.parse import urlencode

import pytest

from Tests.end_to_end.sender import Sender, await_that, running, send
from Tests.sandbox.descriptor import ROOT

BASIC = "Basic " + base64.b64encode(b"monitor:s3cret").decode()
CREDENTIALS = {"credentials": {"identifier": "monitor", "password": "s3cret"}}
INTERACTION = {
    "type": "view_submission",
    "team": {"id": "T1"},
    "user": {"id": "U1", "username": "jane.doe"},
    "api_app_id": "A1",
    "trigger_id": "12.34.ab",
    "view": {"title": {"type": "plain_text", "text": "Report"}},
}
OUTBOUND = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>
<notifications xmlns="http://soap.sforce.com/2005/09/outbound">
<OrganizationId>00D1</OrganizationId><ActionId>04k1</ActionId>
{}</notifications></soapenv:Body></soapenv:Envelope>"""
NOTIFICATION = """<Notification><Id>04l{0}</Id><sObject xsi:type="sf:Case"
 xmlns:sf="urn:sobject.enterprise.soap.sforce.com"><sf:Id>500{0}</sf:Id>
<sf:Subject>Case {0}</sf:Subject></sObject></Notification>"""


def names(sender: Sender) -> list[str]:
    return [incident["name"] for incident in sender.sandbox.incidents()]


@pytest.mark.parametrize(
    "body, kind, content, content_type, named",
    [
        (
            {"payload": json.dumps(INTERACTION)},
            "application/x-www-form-urlencoded",
            b"",
            "text/plain",
            ["view_submission: Report by jane.doe"],
        ),
        (
            {"events": [], "firstEventSequence": 0, "lastEventSequence": 0, "entropy": "S0"},
            "application/json",
            b"",
            "text/plain",
            ["Intent to receive, up to event 0"],
        ),
        (
            {"MessageSid": "SM1", "AccountSid": "AC1", "From": "+15550100", "Body": "Door open"},
            "application/x-www-form-urlencoded",
            b"<Response/>",
            "text/xml",
            ["SMS from +15550100: Door open"],
        ),
    ],
    ids=["Slack interaction", "Xero", "Twilio"],
)
def test_a_sender_gets_the_answer_of_its_row(
    body: dict[str, Any], kind: str, content: bytes, content_type: str, named: list[str]
) -> None:
    text = json.dumps(body) if kind == "application/json" else urlencode(body)
    with running() as sender:
        answer = sender.post(text, kind)
        assert (answer.status, answer.body, answer.headers["content-type"]) == (
            200,
            content,
            content_type,
        )
        assert names(sender) == named


@pytest.mark.parametrize("count", [1, 2])
def test_salesforce_is_acknowledged_once_all_its_notifications_are_incidents(count: int) -> None:
    text = OUTBOUND.format("".join(NOTIFICATION.format(number) for number in range(count)))
    with running() as sender:
        answer = sender.post(text, "text/xml; charset=utf-8")
        assert (answer.status, answer.headers["content-type"]) == (200, "text/xml")
        assert b"<Ack>true</Ack>" in answer.body
        assert names(sender) == [f"sf:Case: Case {number}" for number in range(count)]


def test_firehose_gets_its_id_and_the_time_and_its_events_name_the_delivery() -> None:
    """
    Given: a delivery of Amazon Data Firehose with two records, gzip in the second
    When: it is posted
    Then: two incidents name the delivery, and the answer has its ID and the time in milliseconds
    """
    records = [b'{"title": "One"}', gzip.compress(b'{"title": "Two"}')]
    body = {
        "requestId": "r-1",
        "timestamp": 1714564800000,
        "records": [{"data": base64.b64encode(data).decode()} for data in records],
    }
    with running() as sender:
        answer = sender.post(json.dumps(body), "application/json", x_amz_firehose_request_id="r-1")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert answer.json["requestId"] == "r-1"
        assert abs(answer.json["timestamp"] / 1000 - time.time()) < 60
        assert names(sender) == ["One", "Two"]
        for incident in sender.sandbox.incidents():
            raw = json.loads(incident["rawJSON"])
            assert raw["firehose"] == {"requestId": "r-1", "timestamp": 1714564800000}


@pytest.mark.parametrize("path", ["/services/collector", "/services/collector/event/1.0"])
def test_clients_of_splunk_s_collector_are_told_success(path: str) -> None:
    with running() as sender:
        answer = send(
            sender.sandbox.container_url + path,
            b'{"event": {"title": "One"}}{"event": {"title": "Two"}}',
        )
        assert (answer.status, answer.json) == (200, {"text": "Success", "code": 0})
        assert names(sender) == ["One", "Two"]


def test_who_is_answered_before_xsoar_has_the_event_gets_its_own_answer_too() -> None:
    body = {"payload": json.dumps(INTERACTION)}
    with running(params={"answer_seconds": "0.3"}) as sender:
        sender.sandbox.faults.hang.set()
        answer = sender.post(urlencode(body), "application/x-www-form-urlencoded")
        assert (answer.status, answer.body) == (200, b"")
        sender.sandbox.faults.hang.clear()
        await_that(lambda: names(sender) == ["view_submission: Report by jane.doe"])


def test_without_recognizing_and_for_anybody_else_the_answer_is_the_incidents() -> None:
    body = b'{"title": "One"}'
    with running() as sender:
        assert sender.post(body).json[0]["name"] == "One"
    with running(params={"recognize": "off"}) as sender:
        answer = send(f"{sender.sandbox.container_url}/services/collector", body)
        assert [created["id"] for created in answer.json] == ["1"]


def test_the_document_has_all_answers() -> None:
    section = (ROOT / "docs/senders.md").read_text(encoding="utf-8")
    rows = section.partition("## Answers that senders depend on")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE))
    folder = ROOT / "Packs/ApiModules/Scripts/SenderAnswersApiModule"
    names: dict[str, Any] = runpy.run_path(str(folder / "SenderAnswersApiModule.py"))
    assert documented == set(names["ANSWERS"])


# ---- GET


def test_an_accepted_get_is_an_event_by_its_path_or_its_proven_token() -> None:
    """
    Given: an instance that accepts GET, without credentials and then with them
    When: URLs are requested with a path, with credentials, and with neither
    Then: the first two are incidents, the last is the check of a form
    """
    with running(params={"accept_get": True}) as sender:
        url = sender.sandbox.container_url
        assert send(f"{url}/door/open", method="GET").json[0]["id"] == "1"
        assert send(f"{url}/", method="GET").json == {"status": "ok"}
        [incident] = sender.sandbox.incidents()
        assert json.loads(incident["rawJSON"])["path"] == "/door/open"
    with running(params={"accept_get": True, **CREDENTIALS}) as sender:
        url = sender.sandbox.container_url
        proof = {"Authorization": BASIC}
        assert send(f"{url}/", method="GET", headers=proof).json[0]["id"] == "1"
        assert send(f"{url}/", method="GET").json == {"status": "ok"}
        assert send(f"{url}/door", method="GET").status == 401
        okta = send(url, method="GET", headers={"X-Okta-Verification-Challenge": "8d4c", **proof})
        assert okta.json == {"verification": "8d4c"}
        assert len(sender.sandbox.incidents()) == 1


def test_an_accepted_get_with_a_token_in_the_url_is_an_event() -> None:
    token = {"credentials": {"identifier": "_query:token", "password": "s3cret"}}
    with running(params={"accept_get": True, **token}) as sender:
        url = sender.sandbox.container_url
        assert send(f"{url}/?token=s3cret", method="GET").json[0]["id"] == "1"
        assert send(f"{url}/?token=guess", method="GET").status == 401
        assert send(f"{url}/?token=s3cret", method="HEAD").body == b""
        assert len(sender.sandbox.incidents()) == 1
