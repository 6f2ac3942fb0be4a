"""Answers without which some senders take their events for lost, or show them to a person.

Most senders look at an answer's status only. For the others, a row of the table of known senders
names one of ANSWERS, or the request itself shows who sent it: by its path or by a header. This
module knows nothing of payloads, of the table, or of XSOAR.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

FIREHOSE_HEADER = "x-amz-firehose-request-id"  # the delivery's requestId
COLLECTOR_PATH = "/services/collector"  # Splunk's, to which its clients add event, raw and 1.0
SOAP_ACK = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    '<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack>'
    "</notificationsResponse></soapenv:Body></soapenv:Envelope>"
)


class SenderAnswer(NamedTuple):
    """What a sender gets with status 200: its type, and the content for a request's headers."""

    content_type: str
    content: Callable[[Mapping[str, str]], str]


def firehose_answer(headers: Mapping[str, str]) -> str:
    """Return the delivery's ID and the time in milliseconds, as Firehose wants them."""
    now = time.time_ns() // 10**6
    return json.dumps({"requestId": headers.get(FIREHOSE_HEADER, ""), "timestamp": now})


# The table in docs/senders.md has the same rows.
ANSWERS = {
    "empty": SenderAnswer("text/plain", lambda headers: ""),
    # https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html
    "firehose": SenderAnswer("application/json", firehose_answer),
    # https://docs.splunk.com/Documentation/Splunk/latest/RESTREF/RESTinput
    "collector": SenderAnswer("application/json", lambda headers: '{"text":"Success","code":0}'),
    # https://www.twilio.com/docs/messaging/twiml
    "twiml": SenderAnswer("text/xml", lambda headers: "<Response/>"),
    # https://developer.salesforce.com/docs/ (SOAP API, outbound messaging)
    "soap": SenderAnswer("text/xml", lambda headers: SOAP_ACK),
}


def answer_by_head(path: str, headers: Mapping[str, str]) -> str:
    """Return the name of the answer that a request's path or headers ask for, else empty."""
    if FIREHOSE_HEADER in headers:
        return "firehose"
    is_collector = path == COLLECTOR_PATH or path.startswith(f"{COLLECTOR_PATH}/")
    return "collector" if is_collector else ""


def own_answer(name: str, headers: Mapping[str, str]) -> tuple[int, bytes, str]:
    """Return the status of an answer, its content for a request's headers, and its type."""
    answer = ANSWERS[name]
    return 200, answer.content(headers).encode(), answer.content_type
