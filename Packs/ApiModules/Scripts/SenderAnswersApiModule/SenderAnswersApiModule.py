"""What some senders have to read as the answer to a request whose incidents exist.

What it is for: senders that repeat a request, or show its answer to a person, unless it is the one
that they expect. It knows nothing of requests, of how a sender is recognized, or of Cortex XSOAR.
"""

import json
import re
from typing import Any

# Content and its type, by what a sender's row names.
SENDER_ANSWERS = {
    # https://docs.slack.dev/interactivity/handling-user-interaction: a content would be shown
    "empty": (b"", "text/plain"),
    # https://www.twilio.com/docs/messaging/twiml: any other content is the text of a reply
    "twiml": (b'<?xml version="1.0" encoding="UTF-8"?><Response></Response>', "text/xml"),
    # Salesforce's WSDL of outbound messages, the element notificationsResponse
    "salesforce": (
        b'<?xml version="1.0" encoding="UTF-8"?>'
        b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">'
        b'<soapenv:Body><notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound">'
        b"<Ack>true</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>",
        "text/xml",
    ),
}
# https://help.splunk.com: where agents post events to Splunk's HTTP Event Collector
COLLECTOR_PATH = re.compile(r"/services/collector(?:/|$)")
COLLECTOR_ANSWER = b'{"text":"Success","code":0}'


def answer_for_sender(kind: str, path: str, payload: dict[str, Any]) -> tuple[bytes, str] | None:
    """Return the content that a sender has to read, and its type; None where any content will do.

    kind: what its row names. path: behind the instance's URL. payload: an event of the request.
    """
    if kind:
        return SENDER_ANSWERS[kind]
    if COLLECTOR_PATH.match(path):
        return COLLECTOR_ANSWER, "application/json"
    delivery = payload.get("firehose")
    if isinstance(delivery, dict) and delivery.keys() == {"requestId", "timestamp"}:
        # https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html
        return json.dumps(delivery, separators=(",", ":")).encode(), "application/json"
    return None
