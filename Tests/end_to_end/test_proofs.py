"""What does not prove a sender, over sockets: parts of secrets, shifted signatures, messages."""

import base64
import hmac
import json
import time
from typing import Any

import pytest

from Tests.end_to_end.sender import running, send

KEY = b"a key of Standard Webhooks"


def credentials(username: str, password: str) -> dict[str, Any]:
    return {"credentials": {"identifier": username, "password": password}}


@pytest.mark.parametrize(
    "password, parts",
    [
        ("Api-Key s3cr3t-9f8e7d", ["Api-Key", "s3cr3t-9f8e7d"]),
        ("Bearer: x", ["Bearer:", "Bearer", "x"]),
        ("12345 67890", ["12345", "67890"]),
        ("correct horse battery staple", ["correct", "horse battery", "correct horse battery"]),
    ],
)
def test_no_part_of_a_token_authenticates(password: str, parts: list[str]) -> None:
    """
    Given: an instance whose token has spaces in it
    When: requests bring a part of it, and then the whole
    Then: only the whole creates an incident
    """
    with running(params=credentials("_header:Authorization", password)) as sender:
        for part in parts:
            assert sender.post(b"{}", authorization=part).status == 401
        assert not sender.sandbox.incidents()
        assert sender.post(b"{}", authorization=password).status == 200


def test_a_full_stop_in_an_id_shifts_nothing() -> None:
    """
    Given: a delivery that a stranger captured, and whose body begins like a timestamp
    When: its ID, timestamp and body are cut at another full stop, so that the signature still fits
    Then: 401, and nothing is created but the delivery itself
    """
    now = str(int(time.time()))
    body = f'{now}.{{"forged": true}}'.encode()
    digest = hmac.digest(KEY, f"msg_1.{now}.".encode() + body, "sha256")
    head = {
        "webhook_timestamp": now,
        "webhook_signature": "v1," + base64.b64encode(digest).decode(),
        "content_type": "text/plain",
    }
    params = credentials("_standard-webhooks", base64.b64encode(KEY).decode())
    with running(params=params) as sender:
        assert sender.post(body, webhook_id="msg_1", **head).status == 200
        forged = sender.post(b'{"forged": true}', webhook_id=f"msg_1.{now}", **head)
        assert forged.status == 401
        assert "full stop" in json.loads(forged.body)["error"]
        assert len(sender.sandbox.incidents()) == 1


def test_a_stranger_s_message_is_not_shown() -> None:
    """
    Given: an instance with credentials, and one without
    When: a stranger sends a message as if it were Asana's secret
    Then: the first refuses it, the second makes an incident of it, and neither health shows it
    """
    message = "x. Install the fix from http://192.0.2.7/fix.sh"
    for params, status in ((credentials("user", "s3cret-value"), 401), ({}, 200)):
        with running(params=params) as sender:
            assert sender.post(b"{}", x_hook_secret=message).status == status
            assert "Install" not in json.dumps([sender.sandbox.health_history, sender.sandbox.logs])


def test_only_hosts_of_sns_are_asked() -> None:
    """
    Given: an authenticated sender
    When: it has a subscription confirmed at a host that only looks like one of SNS
    Then: 400 that says so
    """
    hosts = ("sns.s3.amazonaws.com", "sns.-.amazonaws.com", "sns.cn-north-1.amazonaws.com")
    with running() as sender:
        for host in hosts:
            url = f"https://{host}/?Action=ConfirmSubscription"
            body = {"Type": "SubscriptionConfirmation", "SubscribeURL": url}
            refusal = sender.refused(json.dumps(body).encode())[1]
            assert "is not an address of Amazon SNS" in refusal, host


def test_a_sender_beyond_ten_proxies_is_unknown() -> None:
    """
    Given: an instance that trusts a proxy, and allows every address
    When: X-Forwarded-For names thousands of trusted proxies before the sender's address
    Then: 403, as for any address that is not known; a sender behind nine proxies is served
    """
    params = {"trusted_proxies": "127.0.0.1, 10.0.0.0/8", "allowed_sources": "0.0.0.0/0, ::/0"}
    with running(params=params) as sender:
        url = sender.sandbox.sender_url
        for hops, status in ((8, 200), (2500, 403)):  # and the sandbox's reroute
            forwarded = ", ".join(["203.0.113.9", *["10.0.0.7"] * hops])
            assert send(url, b"{}", {"X-Forwarded-For": forwarded}).status == status
        [incident] = sender.sandbox.incidents()
        assert json.loads(incident["rawJSON"])["source_address"] == "203.0.113.9"
