"""Unit tests of WebhookSecurityApiModule.py: the handshakes of vendors."""

import functools
import hmac
import json
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

import gevent
import pytest
import requests
import SnsSignatureApiModule as sns
import WebhookSecurityApiModule as security

from Tests.proving import read_credentials

PASSWORD = "s3cret-value"


def authenticator_of(username: str = "user", password: str = PASSWORD) -> security.Credentials:
    return read_credentials(username, password)


ANYBODY = security.Credentials()


def call(
    method: str = "POST", body: Any = b"", query: str = "", **headers: str
) -> security.HandshakeRequest:
    """Return a request; a keyword `x_name` is the header x-name."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return security.HandshakeRequest(method, named, query, content, "/", confirm_sns)


def confirm_sns(url: str) -> None:
    sns.confirm_subscription(url, use_proxy=False)


EVENT_GRID = [
    {
        "id": "2d1781af-3a4c-4d7c-bd0c-e34b19da4e66",
        "topic": "/subscriptions/00000000-0000-0000-0000-000000000000",
        "subject": "",
        "data": {
            "validationCode": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6",
            "validationUrl": "https://rp.example.net/v?id=1",
        },
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "eventTime": "2024-05-01T12:00:00.0000000Z",
        "metadataVersion": "1",
        "dataVersion": "1",
    }
]
SLACK = {
    "token": "Jhj5dZrVaK7ZwHHjRyZWjbDl",
    "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
    "type": "url_verification",
}
ZOOM = {
    "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"},
    "event_ts": 1654503849680,
    "event": "endpoint.url_validation",
}
GRAPH_TOKEN = (
    "Validation: Testing client application reachability for subscription Request-Id: 9f8d"
)
SNS_URL = (
    "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription"
    "&TopicArn=arn:aws:sns:eu-central-1:0:t&Token=2336412f"
)
SNS = {
    "Type": "SubscriptionConfirmation",
    "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
    "Token": "2336412f",
    "TopicArn": "arn:aws:sns:eu-central-1:000000000000:alerts",
    "Message": "You have chosen to subscribe to the topic.",
    "SubscribeURL": SNS_URL,
    "Timestamp": "2024-05-01T12:00:00.000Z",
    "SignatureVersion": "1",
    "Signature": "EXAMPLE=",
    "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
}
# vendor: request, whether it is answered before authentication, content type and content
HANDSHAKES: dict[str, tuple[security.HandshakeRequest, bool, str, Any]] = {
    "Slack": (call(body=SLACK), False, "application/json", {"challenge": SLACK["challenge"]}),
    "monday.com": (
        call(body={"challenge": "3eZbrw1a"}),
        True,
        "application/json",
        {"challenge": "3eZbrw1a"},
    ),
    "Okta": (
        call("GET", x_okta_verification_challenge="8d4c"),
        True,
        "application/json",
        {"verification": "8d4c"},
    ),
    "Microsoft Graph": (
        call(
            query="validationToken=" + urllib.parse.quote_plus(GRAPH_TOKEN),
            content_type="text/plain; charset=utf-8",
        ),
        True,
        "text/plain",
        GRAPH_TOKEN,
    ),
    "Azure Event Grid": (
        call(body=EVENT_GRID),
        True,
        "application/json",
        {"validationResponse": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"},
    ),
    "CloudEvents": (
        call("OPTIONS", webhook_request_origin="events.example.com"),
        True,
        "application/json",
        {"status": "ok"},
    ),
    "Meta": (
        call(
            "GET", query="hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=s3cret-value"
        ),
        True,
        "text/plain",
        "1158201444",
    ),
    "Zoom": (
        call(body=ZOOM, authorization="Basic dXNlcjpzZWNyZXRWYWx1ZVRlc3Q="),  # secretValueTest
        False,
        "application/json",
        {
            "plainToken": "qgg8vlvZRS6UYooatFL8Aw",
            # for the secret secretValueTest, known from an independent receiver's tests
            "encryptedToken": "70c1f2e2e6ca2d39297490d1f9142c7d701415ea8e6151f6562a08fa657a40ff",
        },
    ),
    "Dropbox": (call("GET", query="challenge=abc%20123"), True, "text/plain", "abc 123"),
    "Asana": (
        call(x_hook_secret="b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81"),
        True,
        "application/json",
        {"status": "ok"},
    ),
    "Amazon SNS": (
        call(body=SNS, content_type="text/plain; charset=UTF-8"),
        False,
        "application/json",
        {"status": "confirmed"},
    ),
    "GitHub": (
        call(
            body={
                "zen": "Non-blocking is better than blocking.",
                "hook_id": 30,
                "hook": {"type": "Repository", "id": 30, "active": True, "events": ["*"]},
                "repository": {"id": 35129377, "full_name": "example/alerts"},
                "sender": {"login": "example", "id": 6752317},
            },
            x_github_event="ping",
            x_github_delivery="0b989ba4-242f-11e5-81e1-c7b6966d2516",
        ),
        False,
        "application/json",
        {"status": "ok"},
    ),
    "Bitbucket Server": (
        call(body={"test": True}, x_event_key="diagnostics:ping"),
        True,
        "application/json",
        {"status": "ok"},
    ),
    "WooCommerce": (
        call(body=b"webhook_id=12", content_type="application/x-www-form-urlencoded"),
        True,
        "application/json",
        {"status": "ok"},
    ),
    "Slack's SSL check": (
        call(
            body=b"token=gIkuvaNzQIHg97ATvDxqgjtO&ssl_check=1",
            content_type="application/x-www-form-urlencoded",
        ),
        True,
        "application/json",
        {"status": "ok"},
    ),
    "URL check": (call("GET"), True, "application/json", {"status": "ok"}),
}
PASSWORDS = {"Zoom": "secretValueTest"}
PINGS = ("GitHub", "Bitbucket Server", "WooCommerce", "Slack's SSL check")


@pytest.mark.parametrize("vendor", HANDSHAKES)
class TestHandshakes:
    def instance(self, vendor: str) -> security.Credentials:
        return authenticator_of(password=PASSWORDS.get(vendor, PASSWORD))

    @pytest.fixture(autouse=True)
    def confirmed(self, requests_mock: Any) -> Any:
        requests_mock.get(SNS_URL, text="<ConfirmSubscriptionResponse/>")
        return requests_mock

    def test_it_is_answered_as_the_vendor_wants(self, vendor: str) -> None:
        request, _, content_type, content = HANDSHAKES[vendor]
        done = security.answer_handshake(request, self.instance(vendor), True)
        assert done is not None
        assert done.vendor == vendor
        assert done.content_type == content_type
        text = done.content.decode()
        assert (json.loads(text) if content_type == "application/json" else text) == content

    def test_only_what_reveals_nothing_is_answered_before_authentication(self, vendor: str) -> None:
        request, unsigned, *_ = HANDSHAKES[vendor]
        instance = ANYBODY if vendor == "Asana" else self.instance(vendor)
        done = security.answer_handshake(request, instance, False)
        assert (done is not None) == unsigned

    def test_a_payload_that_only_looks_like_it_is_an_incident(
        self, vendor: str, confirmed: Any
    ) -> None:
        """
        Given: a handshake's request with something more in it, or without its challenge
        When: it is looked at, with authentication passed
        Then: it is no handshake, and nothing is fetched
        """
        request, *_ = HANDSHAKES[vendor]
        altered = []
        if request.body and vendor not in PINGS:
            parsed = json.loads(request.body)
            if isinstance(parsed, list):
                altered += [[*parsed, {"alert": "disk full"}], parsed * 2, parsed[0], [[parsed]]]
            elif vendor != "Amazon SNS":
                altered += [{**parsed, "alert": "disk full"}, [parsed]]
            for odd in (None, 5, "", "é", "a\nb", "x" * 1025, {"a": 1}, ["x"]):
                altered.append(
                    json.loads(
                        json.dumps(parsed),
                        object_hook=lambda o, odd=odd: (
                            {  # type: ignore[misc]
                                key: odd
                                if key
                                in ("challenge", "validationCode", "plainToken", "SubscribeURL")
                                and not (isinstance(odd, str) and key == "SubscribeURL")
                                else value
                                for key, value in o.items()
                            }
                            if vendor != "Amazon SNS" or not isinstance(odd, str)
                            else {}
                        ),
                    )
                )
        for body in altered:
            changed = security.HandshakeRequest(
                request.method, request.headers, request.query, json.dumps(body).encode()
            )
            assert security.answer_handshake(changed, self.instance(vendor), True) is None, body
        large = security.HandshakeRequest(
            request.method, request.headers, request.query, request.body + b" " * 32768
        )
        assert security.answer_handshake(large, self.instance(vendor), True) is None
        assert not confirmed.called

    def test_it_is_not_one_by_another_method(self, vendor: str) -> None:
        request, *_ = HANDSHAKES[vendor]
        for method in {"GET", "POST", "PUT", "OPTIONS", "DELETE"} - {request.method}:
            if (vendor, method) not in (("Amazon SNS", "GET"),) and (
                request.query or request.headers or method != "GET"
            ):
                changed = security.HandshakeRequest(
                    method, request.headers, request.query, request.body
                )
                done = security.answer_handshake(changed, self.instance(vendor), True)
                assert done is None or done.vendor == "URL check"


class TestFirstPings:
    """What else the body holds makes it an event."""

    GITHUB = json.loads(HANDSHAKES["GitHub"][0].body)

    def test_github_s_ping_may_be_a_form_and_long(self) -> None:
        hook = {**self.GITHUB, "repository": {"description": "x" * 20_000}, "organization": {}}
        form = b"payload=" + urllib.parse.quote_plus(json.dumps(hook)).encode()
        for body, content_type in (
            (json.dumps(hook).encode(), "application/json"),
            (form, "application/x-www-form-urlencoded"),
        ):
            request = call(body=body, x_github_event="ping", content_type=content_type)
            assert security.asks_by_head(request.headers, "")
            done = security.answer_handshake(request, ANYBODY, True)
            assert done is not None and done.vendor == "GitHub"

    @pytest.mark.parametrize(
        "body",
        [
            {**GITHUB, "alert": "disk full"},
            {"hook_id": 5},
            {"zen": "x"},
            {},
            [GITHUB],
            "zen",
            None,
            b"",
            b"payload=%7B%7D&more=1",
        ],
    )
    @pytest.mark.parametrize("content_type", ["application/json", security.FORM_TYPE])
    def test_what_github_does_not_send_is_an_event(self, body: Any, content_type: str) -> None:
        request = call(body=body, x_github_event="ping", content_type=content_type)
        assert security.answer_handshake(request, ANYBODY, True) is None

    def test_another_event_of_github_is_one(self) -> None:
        for event in ("push", "pinged", ""):
            request = call(body=self.GITHUB, x_github_event=event)
            assert security.answer_handshake(request, ANYBODY, True) is None

    @pytest.mark.parametrize(
        "body, event",
        [
            ({"test": True}, "repo:refs_changed"),
            ({"test": True}, None),
            ({"test": False}, "diagnostics:ping"),
            ({"test": True, "alert": "disk full"}, "diagnostics:ping"),
            ([{"test": True}], "diagnostics:ping"),
            ({}, "diagnostics:ping"),
        ],
    )
    def test_what_bitbucket_does_not_send_is_an_event(self, body: Any, event: str | None) -> None:
        request = call(body=body, **({"x_event_key": event} if event is not None else {}))
        for authenticated in (True, False):
            assert security.answer_handshake(request, ANYBODY, authenticated) is None

    @pytest.mark.parametrize(
        "body",
        [
            b"webhook_id=",
            b"webhook_id=12&alert=disk",
            b"webhook_id=x",
            b"xwebhook_id=12",
            b"webhook_id=" + b"1" * 21,
            b"ssl_check=0&token=x",
            b"ssl_check=1&token=x&alert=disk",
            b"ssl_check=1&token=x&text=1&user=2",
            b"token=x",
            b"ssl_check",
            b"ssl_check=1\xff",
            b"",
        ],
    )
    def test_other_forms_are_events(self, body: bytes) -> None:
        request = call(body=body, content_type=f"{security.FORM_TYPE}; charset=utf-8")
        for authenticated in (True, False):
            assert security.answer_handshake(request, ANYBODY, authenticated) is None

    def test_slack_may_check_by_get(self) -> None:
        done = security.answer_handshake(call("GET", query="ssl_check=1&token=x"), ANYBODY, False)
        assert done is not None and done.vendor == "Slack's SSL check"
        other = call("GET", query="ssl_check=1&token=x&text=1")
        assert security.answer_handshake(other, ANYBODY, False) is None


class TestHandshakeDetails:
    @pytest.mark.parametrize("value", ["", "é", "a\tb", "x" * 1025, "a\r\nSet-Cookie: b", "<é>"])
    @pytest.mark.parametrize(
        "make",
        [
            lambda v: call("GET", x_okta_verification_challenge=v),
            lambda v: call("OPTIONS", webhook_request_origin=v),
            lambda v: call(x_hook_secret=v),
            lambda v: call("GET", query="challenge=" + urllib.parse.quote(v)),
            lambda v: call(
                "GET",
                query="hub.mode=subscribe&hub.verify_token=s3&hub.challenge="
                + urllib.parse.quote(v),
            ),
            lambda v: call(query="validationToken=" + urllib.parse.quote(v)),
        ],
    )
    def test_only_short_printable_ascii_is_echoed(
        self, value: str, make: Callable[[str], security.HandshakeRequest]
    ) -> None:
        done = security.answer_handshake(
            make(value), authenticator_of("_header:X-Token", "s3"), True
        )
        assert done is None or done.vendor == "URL check"

    @pytest.mark.parametrize(
        "query",
        [
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=wrong",
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=",
            "hub.mode=subscribe&hub.challenge=1",
            "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=s3cret-value",
            "hub.mode=subscribe&hub.challenge=1"
            "&hub.verify_token=s3cret-value&hub.verify_token=s3cret-value",
            "hub.mode=subscribe&hub.challenge=1&hub.challenge=2&hub.verify_token=s3cret-value",
        ],
    )
    def test_meta_has_to_know_the_password(self, query: str) -> None:
        for instance in (authenticator_of(), ANYBODY):
            if instance.secrets or "s3cret" not in query:
                assert security.answer_handshake(call("GET", query=query), instance, False) is None

    def test_without_a_password_nobody_s_token_is_right(self) -> None:
        query = "hub.mode=subscribe&hub.challenge=1&hub.verify_token="
        assert security.answer_handshake(call("GET", query=query), ANYBODY, True) is None

    def test_cloudevents_learns_who_may_post_and_how_often(self) -> None:
        plain = security.answer_handshake(
            call("OPTIONS", webhook_request_origin="events.example.com"), ANYBODY, False
        )
        rated = security.answer_handshake(
            call("OPTIONS", webhook_request_origin="*", webhook_request_rate="120"), ANYBODY, False
        )
        assert plain is not None and rated is not None
        assert plain.headers == (
            ("WebHook-Allowed-Origin", "events.example.com"),
            ("Allow", "POST"),
        )
        assert dict(rated.headers) == {
            "WebHook-Allowed-Origin": "*",
            "WebHook-Allowed-Rate": "*",
            "Allow": "POST",
        }

    @pytest.mark.parametrize(
        "body, done",
        [(b"", True), (b" {} ", True), (b'{"events":[]}', True), (b'{"events":[{}]}', False)],
    )
    def test_asana_s_secret_is_echoed_and_reported(self, body: bytes, done: bool) -> None:
        answered = security.answer_handshake(
            call(body=body, x_hook_secret="b537207f"), ANYBODY, False
        )
        assert (answered is not None) == done
        if answered:
            assert answered.headers == (("X-Hook-Secret", "b537207f"),)
            assert "b537207f" in answered.notice and "ignore it" in answered.notice

    @pytest.mark.parametrize(
        "username, password, authenticated, done, noticed",
        [
            ("", "", True, True, True),
            ("", "", False, True, True),
            ("user", PASSWORD, False, False, False),
            ("_query:token", PASSWORD, False, False, False),
            ("_query:token", PASSWORD, True, True, False),
            ("_hmac:X-Hub-Signature-256", PASSWORD, False, False, False),
            ("_hmac:X-Hook-Signature", PASSWORD, False, True, False),
        ],
    )
    def test_asana_s_secret_is_reported_only_where_it_is_expected(
        self, username: str, password: str, authenticated: bool, done: bool, noticed: bool
    ) -> None:
        """
        Given: an instance without credentials, with others' credentials, or with Asana's
        When: a request says that it is the handshake of a new webhook of Asana
        Then: it is answered where that can be, and the health shows the secret only where there are
            no credentials yet
        """
        secret = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81"
        instance = authenticator_of(username, password)
        reply = security.answer_handshake(call(x_hook_secret=secret), instance, authenticated)
        assert (reply is not None) == done
        if reply is not None:
            assert (f" as Password {secret}. " in reply.notice) == noticed == bool(reply.notice)
        denied = security.answer_handshake(
            call(x_hook_secret=secret), security.Credentials(denied=True), False
        )
        assert denied is None

    @pytest.mark.parametrize(
        "secret",
        [
            "x. Install the fix from http://192.0.2.7/fix.sh",
            "Call +1 555 0100 now",
            "b537207f. https://example.com",
            "short",
            "x" * 129,
            "\u202eb537207f20cbfa02357cf448134da559",
        ],
    )
    def test_a_message_of_a_stranger_is_no_secret_of_asana(self, secret: str) -> None:
        assert security.answer_handshake(call(x_hook_secret=secret), ANYBODY, True) is None

    def test_a_text_that_may_be_words_is_quoted_and_cut(self) -> None:
        """
        Given: a stranger's text of letters and dashes
        When: it stands where Asana's secret would
        Then: the notice shows 40 characters of it, in quotation marks
        """
        text = "-".join(["install-the-fix-from-example"] * 4)
        reply = security.answer_handshake(call(x_hook_secret=text), ANYBODY, True)
        assert reply is not None
        assert f' as Password "{text[:40]}". ' in reply.notice
        assert text[:41] not in reply.notice

    @pytest.mark.parametrize(
        "secret, used", [("zoom-one\nzoom-two", "zoom-two"), ("zoom-two", "zoom-two")]
    )
    def test_zoom_s_token_is_signed_with_the_secret_zoom_used(self, secret: str, used: str) -> None:
        """
        Given: an instance with Zoom's old and new secret
        When: Zoom validates the URL with the new one
        Then: the answer is signed with the new one
        """
        body = json.dumps(ZOOM).encode()
        stamp = str(int(time.time()))
        signature = hmac.new(used.encode(), f"v0:{stamp}:".encode() + body, "sha256").hexdigest()
        request = security.HandshakeRequest(
            "POST", {"x-zm-signature": f"v0={signature}", "x-zm-request-timestamp": stamp}, "", body
        )
        done = security.answer_handshake(request, authenticator_of("_zoom", secret), True)
        assert done is not None
        expected = hmac.new(used.encode(), b"qgg8vlvZRS6UYooatFL8Aw", "sha256").hexdigest()
        assert json.loads(done.content)["encryptedToken"] == expected

    @pytest.mark.parametrize("instance", [ANYBODY, authenticator_of("_zoom")])
    def test_nothing_is_signed_without_a_secret_or_for_a_wrong_signature(
        self, instance: security.Credentials
    ) -> None:
        assert security.answer_handshake(call(body=ZOOM), instance, True) is None

    @pytest.mark.parametrize(
        "query, proven, done",
        [
            ("", False, True),
            ("token=s3cret-value", True, True),
            ("token=wrong", False, False),
            ("token=s3cret-value&x=1", True, False),
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_a_url_with_its_token_may_be_checked(
        self, method: str, query: str, proven: bool, done: bool
    ) -> None:
        instance = authenticator_of("_query:token")
        assert (
            security.answer_handshake(call(method, query=query), instance, proven) is not None
        ) == done

    @pytest.mark.parametrize(
        "method, headers, length, may",
        [
            ("POST", {}, 1, True),
            ("POST", {}, 8192, True),
            ("POST", {}, 8193, False),
            ("POST", {}, 0, True),
            ("POST", {"content-encoding": "gzip"}, 20, False),
            ("GET", {}, 9999, True),
            ("HEAD", {}, 0, True),
            ("OPTIONS", {}, 0, True),
            ("PUT", {}, 20, False),
        ],
    )
    def test_a_stranger_makes_us_read_8_kib_at_most(
        self, method: str, headers: dict[str, str], length: int, may: bool
    ) -> None:
        assert security.may_be_handshake(method, headers, length) == may

    @pytest.mark.parametrize(
        "body",
        [
            b"[" * 8000,
            b'{"challenge":' * 600,
            b'"challenge"',
            b'\xff"challenge"',
            b'{"challenge":"\\ud800"}',
        ],
    )
    def test_odd_bodies_are_no_handshakes(self, body: bytes) -> None:
        for proven in (True, False):
            assert security.answer_handshake(call(body=body), ANYBODY, proven) is None


class TestMayBeHandshake:
    @pytest.mark.parametrize("vendor", HANDSHAKES)
    def test_each_post_is_noticed_by_its_head_or_its_body(self, vendor: str) -> None:
        """
        Given: a vendor's handshake
        When: only its head, or only its body, is looked at
        Then: a POST may be one, and an ordinary event or a large body may not
        """
        request, *_ = HANDSHAKES[vendor]
        if request.method == "POST":
            by_head = security.asks_by_head(request.headers, request.query)
            value = json.loads(request.body) if request.body[:1] in (b"{", b"[") else {}
            values = value if isinstance(value, list) else [value]
            assert by_head != security.asks_by_body(values, request.body)
            assert not security.asks_by_body(values, request.body + b" " * 8192)
            assert not security.asks_by_body([*values, {}], request.body)
        assert not security.asks_by_head({"x-event": "1"}, "a=1")
        for event in ({"alert": "disk full"}, {"event": "disk full"}, {"a": {"challenge": "x"}}, 1):
            assert not security.asks_by_body([event], json.dumps(event).encode())

    def test_a_compressed_body_is_never_one(self) -> None:
        request = call(body={"challenge": "3eZbrw1a"}, content_encoding="gzip")
        assert security.answer_handshake(request, ANYBODY, True) is None

    def test_too_many_query_fields_are_none(self) -> None:
        request = call("GET", query="challenge=x&" + "a=1&" * 1000)
        assert security.answer_handshake(request, ANYBODY, True) is None


class TestSns:
    @pytest.mark.parametrize(
        "url",
        [
            SNS_URL,
            "https://sns.us-gov-west-1.amazonaws.com/confirm",
            "https://sns.us-east-1.amazonaws.com/confirm",
            "https://sns.ap-southeast-2.amazonaws.com/confirm",
            "https://sns.us-iso-east-1.amazonaws.com/confirm",
            "https://sns.mx-central-1.amazonaws.com/confirm",
            "https://sns.cn-northwest-1.amazonaws.com.cn/confirm",
            "https://sns.cn-north-1.amazonaws.com.cn/?Action=ConfirmSubscription",
            "https://sns.eu-central-1.amazonaws.com:443/x",
        ],
    )
    def test_a_subscription_is_confirmed(self, url: str, requests_mock: Any) -> None:
        requests_mock.get(url, text="ok")
        done = security.answer_handshake(call(body={**SNS, "SubscribeURL": url}), ANYBODY, True)
        assert done is not None and done.vendor == "Amazon SNS"
        assert [request.url for request in requests_mock.request_history] == [url]

    @pytest.mark.parametrize(
        "url",
        [
            "http://sns.eu-central-1.amazonaws.com/",
            "https://sns.eu-central-1.amazonaws.com",
            "https://sns.eu-central-1.amazonaws.com.example.net/",
            "https://sns.eu-central-1.amazonaws.com@example.net/",
            "https://sns.eu-central-1.amazonaws.com\\@example.net/",
            "https://example.net/?https://sns.eu-central-1.amazonaws.com/",
            "https://sns.eu-central-1.amazonaws.com:8443/",
            "https://user@sns.eu-central-1.amazonaws.com/",
            "https://sqs.eu-central-1.amazonaws.com/",
            "https://sns.a.b.amazonaws.com/",
            "https://sns.s3.amazonaws.com/",
            "https://sns.-.amazonaws.com/",
            "https://sns.amazonaws.com/",
            "https://sns.s3-us-east-1.amazonaws.com/",
            "https://sns.us-east-1.s3.amazonaws.com/",
            "https://sns.eu-central.amazonaws.com/",
            "https://sns.eu-central-1-.amazonaws.com/",
            "https://sns.eu--1.amazonaws.com/",
            "https://sns.eu-central-1.amazonaws.com.cn/",
            "https://sns.cn-north-1.amazonaws.com/",
            "https://sns.cn-north-1.amazonaws.com.cn.example.net/",
            "https://sns.us-east-100.amazonaws.com/",
            "https://SNS.us-east-1.amazonaws.com/",
            "https://sns.us-east-1.amazonaws.com:/",
            "https://sns.us-east-1.amazonaws.com?/",
            "https://sns.us-east-1.amazonaws.com#/",
            "https://sns..amazonaws.com/",
            "https://sns.eu-central-1.amazonaws.com/ x",
            "https://sns.eu-central-1.amazonaws.com/\n",
            "HTTPS://127.0.0.1/",
            "",
        ],
    )
    def test_no_other_address_is_fetched(self, url: str, requests_mock: Any) -> None:
        request = call(body={**SNS, "SubscribeURL": url})
        sentence = "SubscribeURL is not an address of Amazon SNS"
        with pytest.raises(sns.SnsError, match=sentence) as failure:
            security.answer_handshake(request, ANYBODY, True)
        assert failure.value.is_senders_fault
        assert not requests_mock.called

    @pytest.mark.parametrize(
        "answer",
        [
            {"status_code": 301, "headers": {"Location": "https://example.net/"}},
            {"status_code": 403},
            {"status_code": 500},
            {"exc": requests.exceptions.ConnectTimeout},
            {"exc": requests.exceptions.SSLError},
            {"exc": requests.exceptions.ProxyError},
        ],
    )
    def test_without_success_sns_has_to_repeat_it(
        self, answer: dict[str, Any], requests_mock: Any
    ) -> None:
        requests_mock.get(SNS_URL, **answer)
        with pytest.raises(sns.SnsError, match="could not be confirmed") as failure:
            security.answer_handshake(call(body=SNS), ANYBODY, True)
        assert not failure.value.is_senders_fault
        assert "2336412f" not in failure.value.sentence
        assert requests_mock.call_count == 1

    def test_the_event_loop_goes_on_meanwhile(
        self, requests_mock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: an SNS that does not answer
        When: a subscription is confirmed
        Then: other greenlets run on, and after the time limit it fails
        """
        monkeypatch.setattr(sns, "CONFIRM_SECONDS", 0.2)
        release = threading.Event()
        requests_mock.get(SNS_URL, text=lambda *_: str(release.wait(5)))
        other = gevent.spawn(gevent.sleep, 0.01)
        try:
            with pytest.raises(sns.SnsError, match="no answer within"):
                security.answer_handshake(call(body=SNS), ANYBODY, True)
            assert other.ready()
        finally:
            release.set()
            sns._confirmation_pool().join()

    def test_four_are_confirmed_at_a_time(
        self, requests_mock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: an SNS that does not answer, and more confirmations than are tried at a time
        When: they arrive
        Then: those beyond the fourth are told to come again, also after the first ones have been
            answered, while their threads still hang; names are resolved all the time
        """
        monkeypatch.setattr(sns, "CONFIRM_SECONDS", 0.2)
        release = threading.Event()
        requests_mock.get(SNS_URL, text=lambda *_: str(release.wait(30)))

        def confirm() -> sns.SnsError:
            with pytest.raises(sns.SnsError) as failure:
                security.answer_handshake(call(body=SNS), ANYBODY, True)
            return failure.value

        try:
            waiting = [gevent.spawn(confirm) for _ in range(9)]
            gevent.joinall(waiting, timeout=30)
            errors = [greenlet.value for greenlet in waiting]
            assert [error.retry_seconds for error in errors] == [0] * 4 + [30] * 5
            assert not any(error.is_senders_fault for error in errors)
            assert "no answer within" in errors[0].sentence
            assert "let SNS send this again" in errors[4].sentence
            assert confirm().retry_seconds == 30
            assert len(sns._confirmation_pool()) == 4
            with gevent.Timeout(30):
                assert gevent.get_hub().resolver.getaddrinfo("localhost", 80)
                assert gevent.get_hub().threadpool.apply(int, ("7",)) == 7
        finally:
            release.set()
            sns._confirmation_pool().join()
        requests_mock.get(SNS_URL, text="ok")
        assert security.answer_handshake(call(body=SNS), ANYBODY, True) is not None

    @pytest.mark.parametrize("use_proxy", [True, False])
    def test_the_proxy_is_used_where_the_instance_says_so(
        self, use_proxy: bool, requests_mock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
        requests_mock.get(SNS_URL, text="ok")
        body, confirm = json.dumps(SNS).encode(), sns.confirm_subscription
        request = security.HandshakeRequest(
            "POST", {}, "", body, "/", functools.partial(confirm, use_proxy=use_proxy)
        )
        security.answer_handshake(request, ANYBODY, True)
        [sent] = requests_mock.request_history
        assert dict(sent.proxies).get("https") == (
            "http://proxy.example.com:3128" if use_proxy else None
        )
        assert sent.timeout == 10
