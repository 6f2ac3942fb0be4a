"""Unit tests of WebhookSecurityApiModule.py."""

import base64
import codecs
import contextlib
import functools
import gc
import gzip
import hashlib
import hmac
import importlib.util
import io
import json
import os
import random
import re
import resource
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import demistomock as demisto
import GenericWebhook as webhook
import gevent
import gevent.event
import gevent.socket
import gevent.threadpool
import pytest
import requests
import standardwebhooks
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# ---- authentication


HALF = "it is empty while the other of the two is not; fill in both, or neither."
BAD_HEADER = "Username: write _header:<HEADER-NAME>, such as _header:Authorization, without spaces."
BAD_TOKEN = "Password: no header can carry it: remove spaces at its ends, line breaks and control characters."


class TestAuthentication:
    def test_without_credentials_everybody_may_send(self) -> None:
        """
        Given: neither username nor password
        When: a request comes without any header
        Then: it is let in
        """
        webhook.choose_authenticator("", "").check({})

    @pytest.mark.parametrize(
        "username, password", [("user", "pass"), ("üser", "pä:ss:wörd€"), ("u", "😀"), ("u", " s p "), ("a b", ":")]
    )
    def test_basic_lets_in_exactly_its_credentials(self, username: str, password: str) -> None:
        """
        Given: a username and a password, UTF-8 and with colons
        When: a request brings them by Basic authentication, the scheme in any case
        Then: it is let in
        """
        authenticator = webhook.choose_authenticator(username, password)
        authenticator.verify_headers(basic(f"{username}:{password}"))
        authenticator.verify_headers({"authorization": basic(f"{username}:{password}")["authorization"].replace("Basic", "bASIC")})

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"authorization": ""},
            {"authorization": "Basic"},
            {"authorization": "Basic "},
            {"authorization": "Basic !!!"},
            {"authorization": "Basic dXNl!cjpw!YXNz"},
            {"authorization": "Basic dXNlcjpwYXN"},
            {"authorization": "Basic \xff\xfe"},
            {"authorization": "Bearer dXNlcjpwYXNz"},
            {"authorization": "dXNlcjpwYXNz"},
            {"authorization": "user:pass"},
            basic("user:wrong"),
            basic("User:pass"),
            basic("user:pass "),
            basic("user"),
            basic("userpass"),
            {"authorization": "Basic " + base64.b64encode(b"user:\xff\xfe").decode()},
        ],
    )
    def test_basic_refuses_everything_else_with_401(self, headers: dict[str, str]) -> None:
        """
        Given: the credentials user:pass
        When: a request brings none, wrong, malformed or undecodable ones
        Then: 401 that says how to authenticate
        """
        with pytest.raises(webhook.HTTPError) as refusal:
            webhook.choose_authenticator("user", "pass").check(headers)
        assert refusal.value.status == 401
        assert refusal.value.headers == {"WWW-Authenticate": 'Basic realm="Generic Webhook", charset="UTF-8"'}
        assert refusal.value.sentence == (
            "Send the username and password of this webhook by Basic authentication (curl -u user:password)."
        )

    @pytest.mark.parametrize(
        "username, password, secret, header",
        [
            ("", "", [], ""),
            ("user", "päss", ["päss"], "authorization"),
            ("_header:X-Token", "päss", ["päss"], "x-token"),
            ("_hmac:X-Sum", "old-secret new-secret", ["old-secret new-secret", "old-secret", "new-secret"], "x-sum"),
        ],
    )
    def test_what_must_never_be_shown_is_known(self, username: str, password: str, secret: list[str], header: str) -> None:
        """
        Given: each kind of credentials
        When: the parameters are read
        Then: the secret to keep out of log lines and the header to keep out of incidents are known
        """
        authenticator = webhook.choose_authenticator(username, password)
        assert [text.decode() for text in authenticator.secrets] == secret
        assert authenticator.hidden_header == header

    def test_credentials_that_cannot_be_used_let_nobody_in(self) -> None:
        """
        Given: a webhook whose credentials are half filled in
        When: a request comes, with credentials or without
        Then: 401 that says where to look
        """
        for headers in ({}, basic("user:pass"), basic("user:")):
            with pytest.raises(webhook.HTTPError) as refusal:
                webhook.DenyAll().check(headers)
            assert refusal.value.status == 401
            assert (
                refusal.value.sentence
                == "This webhook lets nobody in until its parameters are corrected in XSOAR; Test names them."
            )

    @pytest.mark.parametrize("value", ["Bearer XXX", "t:o:k:e:n", "tökén €", "a\tb"])
    def test_a_header_has_to_hold_the_value(self, value: str) -> None:
        """
        Given: a username _header:X-Token and a password
        When: requests bring the value, none, another, or more than it in that header
        Then: the first is let in, the others get 401 without WWW-Authenticate
        """
        authenticator = webhook.choose_authenticator("_header:X-Token", value)
        on_the_wire = value.encode().decode("latin-1")
        authenticator.verify_headers({"x-token": on_the_wire})
        for headers in (
            {},
            {"x-token": ""},
            {"x-token": on_the_wire + "x"},
            {"x-token": on_the_wire.swapcase()},
            {"x-other": value},
        ):
            with pytest.raises(webhook.HTTPError) as refusal:
                authenticator.verify_headers(headers)
            assert refusal.value.status == 401
            assert refusal.value.headers == {}
            assert refusal.value.sentence == "Send the verification token of this webhook in the request header agreed upon."

    @pytest.mark.parametrize(
        "username, password, mistake",
        [
            ("user", "", f"Password: {HALF}"),
            ("", "pass", f"Username: {HALF}"),
            ("_header", "x", BAD_HEADER),
            ("_header:", "x", BAD_HEADER),
            ("_headers:X-Token", "x", BAD_HEADER),
            ("_header:X Token", "x", BAD_HEADER),
            ("_header:X-Tökén", "x", BAD_HEADER),
            ("_header:A:B", "x", BAD_HEADER),
            ("_header:X-Token\n", "x", BAD_HEADER),
            ("_header:X-Token", " x", BAD_TOKEN),
            ("_header:X-Token", "x\t", BAD_TOKEN),
            ("_header:X-Token", "x\ny", BAD_TOKEN),
            ("_header:X-Token", "x\x00y", BAD_TOKEN),
        ],
    )
    def test_unusable_credentials_name_the_parameter_and_the_mend(self, username: str, password: str, mistake: str) -> None:
        """
        Given: half a credential, or one no request could ever match
        When: the parameters are read
        Then: the mistake says which parameter it is and how to mend it
        """
        with pytest.raises(webhook.SettingError) as error:
            webhook.choose_authenticator(username, password)
        assert str(error.value) == mistake


# ---- authentication: schemes that sign the body, and the query string


SLACK_BODY = (  # the worked example of Slack's documentation, "Verifying requests from Slack"
    "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
    "&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
    "%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121."
    "803a0bc887a14d10d2c447fce8b6703c"
)
HELLO = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
PHRASE = "It's a Secret to Everybody"


class Delivery(NamedTuple):
    """A signed delivery and the parameters it proves itself to, at a time in Unix seconds."""

    username: str
    password: str
    headers: dict[str, str]
    body: str
    now: int = 1_700_000_000

    def authenticator(self) -> webhook.Authenticator:
        return webhook.choose_authenticator(self.username, self.password)

    def prove(self, **changes: Any) -> None:
        """Raise HTTPError unless the delivery, with changes, passes."""
        changed = self._replace(**changes)
        authenticator = changed.authenticator()
        authenticator.verify_headers(changed.headers, "")
        authenticator.verify_body(changed.headers, changed.body.encode())


DELIVERIES = {  # the vendors' own examples; those called openssl are signed by its command line
    "GitHub": Delivery("_hmac:X-Hub-Signature-256", PHRASE, {"x-hub-signature-256": f"sha256={HELLO}"}, "Hello, World!"),
    "Jira and Bitbucket": Delivery(
        "_hmac:X-Hub-Signature",
        PHRASE,
        {"x-hub-signature": "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"},
        "Hello World!",
    ),
    "Datasaur": Delivery(
        "_hmac:X-Datasaur-Signature",
        "secret",
        {"x-datasaur-signature": "0278b1a603de4c561ac0feb960354d0d00e8846b74813d81bddb43ad45bff767"},
        '{"body":"sample"}',
    ),
    "RFC 4231, test case 2": Delivery(
        "_hmac-sha512:X-Sum",
        "Jefe",
        {
            "x-sum": "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd"
            "caeab1a34d4a6b4b636e070a38bce737"
        },
        "what do ya want for nothing?",
    ),
    "RFC 2202, test case 2": Delivery(
        "_hmac-sha1:X-Hub-Signature",
        "Jefe",
        {"x-hub-signature": "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
        "what do ya want for nothing?",
    ),
    "Slack": Delivery(
        "_slack",
        "8f742231b10e8888abcd99yyyzzz85a5",
        {
            "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            "x-slack-request-timestamp": "1531420618",
        },
        SLACK_BODY,
        1_531_420_618,
    ),
    "Standard Webhooks": Delivery(
        "_standard-webhooks",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        '{"test": 2432232314}',
        1_614_265_330,
    ),
    "svix": Delivery(
        "_standard-webhooks",
        "whsec_plJ3nmyCDGBKInavdOK15jsl",
        {
            "svix-id": "msg_loFOjxBNrRLzqYUf",
            "svix-timestamp": "1731705121",
            "svix-signature": "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
        },
        '{"event_type":"ping","data":{"success":true}}',
        1_731_705_121,
    ),
    "Stripe, openssl": Delivery(
        "_stripe:Stripe-Signature",
        "whsec_example_of_a_signing_secret",
        {
            "stripe-signature": "t=1700000000,v1=15747208800df0a13e7163da96be3060689eaf0ac281a6db805d84a8758b8dfe,"
            "v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39"
        },
        '{"id":"evt_1","object":"event"}',
    ),
    "Zoom, openssl": Delivery(
        "_zoom",
        "zoom-secret-token",
        {
            "x-zm-signature": "v0=c79071935bf4fc1bf06006c9850279ce805d8e92fe5458af4ca91eb06e0174f5",
            "x-zm-request-timestamp": "1700000000",
        },
        '{"event":"meeting.started","payload":{}}',
    ),
    "Shopify, openssl": Delivery(
        "_hmac: X-Shopify-Hmac-Sha256",
        "shopify-client-secret",
        {"x-shopify-hmac-sha256": "EieuDrqgoTZDw80dLd22rctf/n3oafdkOlgBZQnfogs="},
        '{"order":"A-1"}',
    ),
    "Terraform, openssl": Delivery(
        "_hmac-sha512:X-TFE-Notification-Signature",
        "tfe-token",
        {
            "x-tfe-notification-signature": "aa2e4d85d30890c0e5453f8005465cfcd21de45a18e03a60d98fc0a0c309bf460d5f9c43f704f804"
            "3222f1c835af123bb549cd874a407eb9befc17b399de340c"
        },
        '{"order":"A-1"}',
    ),
    "PagerDuty in a rotation, openssl": Delivery(
        "_hmac:X-PagerDuty-Signature",
        "pd-secret-two",
        {
            "x-pagerduty-signature": "v1=f48cf20e70304b808219f5b5e60a5ad5222b5869c217f5e78aabf8577b245957,"
            "v1=2765961ae17b5827a2cd363baf2d661257b9865831ebf951d2d502d75c1dec26"
        },
        '{"event":"incident.triggered"}',
    ),
}
SIGNATURE_HEADERS = {
    name: next(header for header in d.headers if "sig" in header or "sum" in header or "hmac" in header)
    for name, d in DELIVERIES.items()
}


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that sets the clock the integration looks at, in Unix seconds."""
    return lambda now: monkeypatch.setattr(webhook.time, "time", lambda: now)


def refused(prove: Callable[[], None]) -> webhook.HTTPError:
    with pytest.raises(webhook.HTTPError) as refusal:
        prove()
    assert refusal.value.status == 401
    return refusal.value


@pytest.mark.parametrize("name", DELIVERIES)
class TestSignatures:
    def test_a_published_example_is_let_in(self, name: str, at: Callable[[float], None]) -> None:
        at(DELIVERIES[name].now)
        DELIVERIES[name].prove()

    def test_its_secret_may_be_one_of_several(self, name: str, at: Callable[[float], None]) -> None:
        """
        Given: a secret among others in Password, as during a rotation (a phrase with blanks cannot be one of several)
        When: a delivery comes that is signed with it
        Then: it is let in
        """
        delivery = DELIVERIES[name]
        at(delivery.now)
        other = "whsec_bmV3IHNlY3JldCBvZiAyNCBieXRlcw==" if delivery.username == "_standard-webhooks" else "an-0lder-secret"
        if " " not in delivery.password:
            delivery.prove(password=f"{other}  {delivery.password}")
            delivery.prove(password=f"{delivery.password}\n{other}\t{other}")
        refused(lambda: delivery.prove(password=other))

    def test_a_changed_body_secret_or_signature_is_refused(self, name: str, at: Callable[[float], None]) -> None:
        delivery = DELIVERIES[name]
        at(delivery.now)
        header = SIGNATURE_HEADERS[name]
        value = delivery.headers[header]
        changed = re.sub(
            r"[0-9A-Za-z+/]{38,}", lambda match: match[0].translate(str.maketrans("13579bdfABC", "2468ac1eBCD")), value
        )
        assert changed != value
        for changes in ({"body": delivery.body + " "}, {"body": ""}, {"headers": {**delivery.headers, header: changed}}):
            assert refused(lambda changes=changes: delivery.prove(**changes)).sentence == webhook.WRONG_SIGNATURE  # type: ignore[misc]

    @pytest.mark.parametrize(
        "value", [None, "", "sha256=", "v0=", "v1,", "t=1700000000", "é", "deadbeef", "v0=zz", ", ,", "=" * 99]
    )
    def test_without_a_signature_nothing_is_read(self, name: str, value: str | None, at: Callable[[float], None]) -> None:
        """
        Given: a signature header that is missing or holds no signature
        When: the headers alone are looked at
        Then: 401, so that the body is never read; a request without any signature may be a vendor's handshake
        """
        delivery = DELIVERIES[name]
        at(delivery.now)
        headers = {header: text for header, text in delivery.headers.items() if header != SIGNATURE_HEADERS[name]}
        if value is not None:
            headers[SIGNATURE_HEADERS[name]] = value
        refusal = refused(lambda: delivery.authenticator().check(headers, ""))
        assert refusal.sentence == webhook.NO_SIGNATURE
        assert isinstance(refusal, webhook.MissingCredentials) == (value is None)

    def test_a_signature_is_found_in_any_case_and_among_others(self, name: str, at: Callable[[float], None]) -> None:
        delivery = DELIVERIES[name]
        at(delivery.now)
        header, value = SIGNATURE_HEADERS[name], delivery.headers[SIGNATURE_HEADERS[name]]
        if re.search("[0-9a-f]{40}", value):
            upper = re.sub("[0-9a-f]{40,}", lambda match: match[0].upper(), value)
            delivery.prove(headers={**delivery.headers, header: upper})
        other = re.sub(r"[0-9A-Za-z+/]{38,}", lambda match: match[0][::-1], value)
        separators = (" ", ", ") if delivery.username == "_standard-webhooks" else (",", ", ")
        for separator in separators:  # two headers of one name are joined by a comma and a blank
            delivery.prove(headers={**delivery.headers, header: f"{other}{separator}{value}"})
            delivery.prove(headers={**delivery.headers, header: f"{value}{separator}{other}"})

    def test_a_timestamp_holds_five_minutes(self, name: str, at: Callable[[float], None]) -> None:
        delivery = DELIVERIES[name]
        timed = delivery.username.startswith(("_slack", "_zoom", "_stripe", "_standard"))
        for seconds in (-300, -299, 299, 300):
            at(delivery.now + seconds)
            delivery.prove()
        for seconds in (-301, 301, 10**9):
            at(delivery.now + seconds)
            if timed:
                assert refused(delivery.prove).sentence == webhook.STALE_TIMESTAMP
            else:
                delivery.prove()

    def test_a_secret_is_not_shown(self, name: str, at: Callable[[float], None]) -> None:
        delivery = DELIVERIES[name]
        authenticator = delivery.authenticator()
        assert delivery.password.encode() in authenticator.secrets
        assert authenticator.signs_body and not authenticator.result_is_cacheable
        hidden = webhook.HiddenNames.of(authenticator, ())
        kept = webhook.describe_request(delivery.headers, "", hidden).headers
        assert SIGNATURE_HEADERS[name] not in kept
        assert {header for header in delivery.headers if header.endswith(("-timestamp", "-id"))} == kept.keys()


class TestSignatureDetails:
    @pytest.mark.parametrize("header", ["x-slack-request-timestamp", "webhook-timestamp", "webhook-id"])
    @pytest.mark.parametrize("value", [None, "", "soon", "-1", "1e9", "1700000000.5", "1700000000, 1700000000", "9" * 17])
    def test_what_is_signed_with_the_body_has_to_be_there(
        self, header: str, value: str | None, at: Callable[[float], None]
    ) -> None:
        delivery = next(d for d in DELIVERIES.values() if header in d.headers)
        at(delivery.now)
        headers = {name: text for name, text in delivery.headers.items() if name != header}
        if value is not None:
            headers[header] = value
        assert refused(lambda: delivery.prove(headers=headers)).sentence in (
            webhook.STALE_TIMESTAMP,
            webhook.NO_SIGNATURE,
            webhook.WRONG_SIGNATURE,
        )

    @pytest.mark.parametrize("seed", range(20))
    def test_what_the_library_of_standard_webhooks_signs_is_let_in(self, seed: int) -> None:
        """
        Given: random secrets, ids and bodies, and the independent library
        When: it signs a delivery, and another of ours is verified by it
        Then: each side takes what the other made
        """
        draw = random.Random(seed)
        key = draw.randbytes(draw.randint(24, 64))
        secret = "whsec_" + base64.b64encode(key).decode()
        identifier, body = f"msg_{draw.randbytes(8).hex()}", json.dumps({"é" * draw.randint(0, 9): draw.random()})
        library, now = standardwebhooks.Webhook(secret), datetime.now(UTC)
        headers = {
            "webhook-id": identifier,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": library.sign(identifier, now, body),
        }
        library.verify(body, headers)
        authenticator = webhook.choose_authenticator("_standard-webhooks", secret.rstrip("=") if seed % 2 else secret)
        authenticator.verify_headers(headers, "")
        authenticator.verify_body(headers, body.encode())
        assert authenticator.event_id(headers) == identifier
        stale = {**headers, "webhook-timestamp": str(int(now.timestamp()) - 400)}
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            library.verify(body, stale)
        refused(lambda: authenticator.verify_headers(stale, ""))

    def test_bytes_beyond_ascii_are_signed_as_they_came(self) -> None:
        """
        Given: a body that is no UTF-8, an id and a secret beyond ASCII
        When: they are signed as bytes
        Then: they are let in
        """
        body, identifier = b"\xff\x00\xfe", "msg_é"
        signed = hmac.new(b"key", identifier.encode() + b".%d." % time.time() + body, "sha256").digest()
        headers = {
            "webhook-id": identifier.encode().decode("latin-1"),
            "webhook-timestamp": str(int(time.time())),
            "webhook-signature": "v1," + base64.b64encode(signed).decode(),
        }
        webhook.choose_authenticator("_standard-webhooks", base64.b64encode(b"key").decode()).verify_body(headers, body)
        digest = hmac.new("gehöim".encode(), body, "sha256").hexdigest()
        webhook.choose_authenticator("_hmac:X-Sum", "gehöim").verify_body({"x-sum": digest}, body)

    def test_a_timestamp_in_milliseconds_is_one(self, at: Callable[[float], None]) -> None:
        """
        Given: a vendor that copied Stripe's scheme and counts milliseconds (WorkOS)
        When: it signs within the tolerance and beyond it
        Then: the first is let in
        """
        digest = hmac.new(b"s3cret", b'1700000000123.{"a":1}', "sha256").hexdigest()
        delivery = Delivery(
            "_stripe:WorkOS-Signature", "s3cret", {"workos-signature": f"t=1700000000123, v1={digest}"}, '{"a":1}'
        )
        at(1_700_000_299)
        delivery.prove()
        at(1_700_000_301)
        assert refused(delivery.prove).sentence == webhook.STALE_TIMESTAMP

    def test_an_old_signature_is_not_freshened_by_a_second_timestamp(self, at: Callable[[float], None]) -> None:
        """
        Given: a recorded delivery of Stripe's scheme
        When: somebody adds today's timestamp to its header
        Then: 401, for the signature is over the old one
        """
        delivery = DELIVERIES["Stripe, openssl"]
        at(delivery.now + 3600)
        value = f"t={delivery.now + 3600}, {delivery.headers['stripe-signature']}"
        assert refused(lambda: delivery.prove(headers={"stripe-signature": value})).sentence == webhook.WRONG_SIGNATURE

    def test_many_timestamps_cost_no_more_than_two(self, at: Callable[[float], None], monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Given: a header with a thousand timestamps within the tolerance
        When: the body is checked
        Then: it is hashed twice at most, for a stranger could stop the service with it
        """
        at(1_700_000_000)
        made: list[bytes] = []
        real = hmac.new
        monkeypatch.setattr(webhook.hmac, "new", lambda key, *rest: made.append(key) or real(key, *rest))
        value = ",".join(f"t={1_700_000_000 + n % 300}" for n in range(1000)) + ",v1=" + "0" * 64
        refused(lambda: Delivery("_stripe:S", "s", {"s": value}, "{}").prove())
        assert len(made) == 2

    @pytest.mark.parametrize("version", ["v2", "v0", "v1a", "V1"])
    def test_a_signature_of_another_kind_does_not_count(self, version: str, at: Callable[[float], None]) -> None:
        """
        Given: a right digest under the name of another kind of signature, which another algorithm may have made
        When: it is checked
        Then: 401
        """
        for name in ("Stripe, openssl", "Standard Webhooks"):
            delivery = DELIVERIES[name]
            at(delivery.now)
            header = SIGNATURE_HEADERS[name]
            value = delivery.headers[header].partition(",v0")[0].replace("v1", version)
            refused(
                lambda delivery=delivery, header=header, value=value: delivery.prove(  # type: ignore[misc]
                    headers={**delivery.headers, header: value}
                )
            )

    @pytest.mark.parametrize("key", ["a", "to", "It's", "Secret", "It's a", PHRASE.lower(), PHRASE + "x", ""])
    def test_the_words_of_a_phrase_are_no_secrets(self, key: str) -> None:
        """
        Given: GitHub's example of a secret, which has blanks
        When: a delivery is signed with one of its words
        Then: 401
        """
        digest = hmac.new(key.encode(), b"{}", "sha256").hexdigest()
        refused(lambda: Delivery("_hmac:S", PHRASE, {"s": digest}, "{}").prove())

    def test_a_delivery_is_identified_where_its_scheme_says_so(self) -> None:
        names = {name: d.authenticator().event_id(d.headers) for name, d in DELIVERIES.items()}
        assert {name: identifier for name, identifier in names.items() if identifier} == {
            "Standard Webhooks": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "svix": "msg_loFOjxBNrRLzqYUf",
        }


class TestSecrets:
    @pytest.mark.parametrize(
        "password, secrets",
        [
            ("one", ["one"]),
            ("old new", ["old new", "old", "new"]),
            (" old\tnew\nnext ", ["old\tnew\nnext", "old", "new", "next"]),
            (PHRASE, [PHRASE]),
            ("It's me", ["It's me"]),
            ("four-one four-two four-3 four-4", ["four-one four-two four-3 four-4", "four-one", "four-two", "four-3", "four-4"]),
        ],
    )
    def test_white_space_separates_secrets_but_not_the_words_of_a_phrase(self, password: str, secrets: list[str]) -> None:
        if "four" in password:
            password, secrets = password.replace("four", "long-part"), [s.replace("four", "long-part") for s in secrets]
        assert list(webhook.read_secrets(password)) == secrets

    @pytest.mark.parametrize(
        "password, accepted, others",
        [
            ("Bearer XXX", ["Bearer XXX"], ["Bearer", "XXX", "Bearer  XXX", ""]),
            ("Bearer a1 Bearer b2", ["Bearer a1", "Bearer b2", "Bearer a1 Bearer b2"], ["Bearer", "a1", "a1 Bearer"]),
            ("t0ken-old t0ken-new", ["t0ken-old", "t0ken-new", "t0ken-old t0ken-new"], ["t0ken-old ", "t0ken"]),
            ("SharedAccessSignature sr=1", ["SharedAccessSignature sr=1"], ["SharedAccessSignature", "sr=1"]),
            ("correct horse battery staple", ["correct horse battery staple"], ["correct", "staple"]),
        ],
    )
    def test_a_header_may_have_each_of_several_values(self, password: str, accepted: list[str], others: list[str]) -> None:
        """
        Given: one value with a blank in it, or several values for a rotation
        When: the header has one of them, or the scheme's name alone
        Then: only what is a secret is let in
        """
        authenticator = webhook.choose_authenticator("_header:X-Token", password)
        for value in accepted:
            authenticator.verify_headers({"x-token": value}, "")
        for value in others:
            refused(lambda value=value: authenticator.verify_headers({"x-token": value}, ""))  # type: ignore[misc]

    def test_two_headers_are_not_the_value_they_are_joined_to(self) -> None:
        authenticator = webhook.choose_authenticator("_header:X-Token", "a, b")
        authenticator.verify_headers({"x-token": "a, b"}, "")
        authenticator.verify_headers({"x-token": "a, b", "x-other": "c, d"}, "", frozenset({"x-other"}))
        refused(lambda: authenticator.verify_headers({"x-token": "a, b"}, "", frozenset({"x-token"})))

    def test_basic_takes_its_password_whole(self) -> None:
        authenticator = webhook.choose_authenticator("user", "old-secret new-secret")
        authenticator.verify_headers(basic("user:old-secret new-secret"), "")
        refused(lambda: authenticator.verify_headers(basic("user:old-secret"), ""))


class TestQuery:
    @pytest.mark.parametrize(
        "password, query",
        [
            ("t0ken-1", "token=t0ken-1"),
            ("t0ken-1", "a=1&token=t0ken-1&b=2"),
            ("t0ken-1", "%74oken=%740ken-1"),
            ("t0ken-1 t0ken-2", "token=t0ken-2"),
            ("a+b/c==", "token=a+b/c=="),
            ("a+b/c==", "token=a%2Bb%2Fc%3D%3D"),
            ("two word phrase of mine", "token=two+word+phrase+of+mine"),
            ("gehöim", "token=geh%C3%B6im"),
            ("gehöim", "token=" + "gehöim".encode().decode("latin-1")),
        ],
    )
    def test_the_field_s_value_lets_in_and_is_kept_nowhere(self, password: str, query: str) -> None:
        authenticator = webhook.choose_authenticator("_query:token", password)
        authenticator.verify_headers({}, query)
        described = webhook.describe_request({}, query, webhook.HiddenNames.of(authenticator, ()))
        assert described.query.keys() <= {"a", "b"}
        assert not authenticator.signs_body

    @pytest.mark.parametrize("name", ["k", "my.field", "größe", "a[b]", "alert"])
    def test_a_field_of_any_name_is_hidden(self, name: str) -> None:
        authenticator = webhook.choose_authenticator(f"_query: {name}", "t0ken-1")
        hidden = webhook.HiddenNames.of(authenticator, webhook.read_paths(f"query.{name}", print))
        for written in (urllib.parse.quote(name), name.encode().decode("latin-1")):
            query = f"{written}=t0ken-1&host=db1"
            authenticator.verify_headers({}, query)
            assert webhook.describe_request({}, query, hidden).query == {"host": "db1"}

    @pytest.mark.parametrize(
        "query, missing",
        [
            ("", True),
            ("other=t0ken-1", True),
            ("Token=t0ken-1", True),
            ("t0ken-1", True),
            ("token=", False),
            ("token", False),
            ("token=t0ken-", False),
            ("token=t0ken-1&token=t0ken-1", False),
            ("token=x&token=t0ken-1", False),
            ("token=t0ken-1%00", False),
            ("token=\xff", False),
        ],
    )
    def test_anything_else_is_refused(self, query: str, missing: bool) -> None:
        refusal = refused(lambda: webhook.choose_authenticator("_query:token", "t0ken-1").check({}, query))
        assert isinstance(refusal, webhook.MissingCredentials) == missing
        assert "t0ken" not in refusal.sentence


class TestSchemeSpelling:
    @pytest.mark.parametrize(
        "username",
        [
            "_hmac: X-Sum",
            "_hmac:X-Sum ",
            " _hmac:X-Sum",
            "_HMAC:x-sum",
            "_hmac : X-Sum",
            "_hmac-sha256:X-Sum",
            "_Hmac:\u0020X-SUM",
        ],
    )
    def test_blanks_and_capitals_do_not_matter(self, username: str) -> None:
        assert webhook.choose_authenticator(username, "s").hidden_header == "x-sum"

    @pytest.mark.parametrize(
        "username, words",
        [
            ("_hmac", "write _hmac:<HEADER-NAME>, such as _hmac:X-Hub-Signature-256"),
            ("_hmac:", "write _hmac:<HEADER-NAME>"),
            ("_hmac:X Sum", "write _hmac:<HEADER-NAME>"),
            ("_hmac_sha1:X-Sum", "write _hmac-sha1:<HEADER-NAME>"),
            ("_hmac-sha512", "write _hmac-sha512:<HEADER-NAME>"),
            ("_hmacs:X-Sum", "write _hmac:<HEADER-NAME>"),
            ("_stripe", "write _stripe:<HEADER-NAME>, such as _stripe:Stripe-Signature"),
            ("_query", "write _query:<FIELD-NAME>, such as _query:token"),
            ("_query:a b", "write _query:<FIELD-NAME>"),
            ("_query:a=b", "write _query:<FIELD-NAME>"),
            ("_slack:X-Slack-Signature", "write _slack, with nothing behind it"),
            ("_standard-webhook", "write _standard-webhooks, with nothing behind it"),
            (
                "_github:X-Hub-Signature-256",
                "there is no scheme _github; write one of _header:<HEADER-NAME>, _hmac:<HEADER-NAME>",
            ),
            ("_hmac:X-Slack-Signature", "X-Slack-Signature signs more than the body; write _slack."),
            ("_hmac:x-zm-signature", "write _zoom."),
            ("_hmac:Stripe-Signature", "write _stripe:Stripe-Signature."),
            ("_hmac:svix-signature", "write _standard-webhooks."),
        ],
    )
    def test_test_explains_a_malformed_scheme(self, username: str, words: str) -> None:
        with pytest.raises(ValueError, match=r"^Username: ") as mistake:
            webhook.test_module(settings(credentials=credentials(username, "s3cret-value")))
        assert words in str(mistake.value)

    @pytest.mark.parametrize("username", ["_svc-webhook", "_admin", "user:name", "slack", "_slackbot", "hmac:X", "_"])
    def test_a_user_s_name_may_look_like_a_scheme(self, username: str) -> None:
        authenticator = webhook.choose_authenticator(username, "pass")
        authenticator.verify_headers(basic(f"{username}:pass"), "")

    @pytest.mark.parametrize(
        "username, password, words",
        [
            ("_standard-webhooks", "whsec_", "whsec_ followed by base64"),
            ("_standard-webhooks", "whsec_%%%", "whsec_ followed by base64"),
            ("_standard-webhooks", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw nö", "whsec_ followed by base64"),
            ("_standard-webhooks", "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "asymmetric"),
            ("_slack", "xoxb-1-2", "Signing Secret"),
            ("_stripe:Stripe-Signature", "sk_live_1", "signing secret, whsec_"),
            ("_hmac:X-Sum", "  ", "white space"),
            ("_query:token", "\t", "white space"),
        ],
    )
    def test_test_explains_a_malformed_secret(self, username: str, password: str, words: str) -> None:
        """
        Given: a secret that nothing can be signed with, or the wrong one of a vendor's secrets
        When: the Test button is pressed
        Then: it names the parameter and the mend, shows nothing of the secret, and nobody gets in meanwhile
        """
        read = settings(credentials=credentials(username, password))
        with pytest.raises(ValueError, match=r"^Password: ") as mistake:
            webhook.test_module(read)
        assert words in str(mistake.value)
        assert password.strip()[8:] == "" or password.strip()[8:] not in str(mistake.value)
        refused(lambda: read.authenticator.verify_headers({}, ""))


# ---- handshakes


def call(method: str = "POST", body: Any = b"", query: str = "", **headers: str) -> webhook.HandshakeRequest:
    """Return a request; a keyword `x_name` is the header x-name."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return webhook.HandshakeRequest(method, named, query, content)


EVENT_GRID = [
    {
        "id": "2d1781af-3a4c-4d7c-bd0c-e34b19da4e66",
        "topic": "/subscriptions/00000000-0000-0000-0000-000000000000",
        "subject": "",
        "data": {"validationCode": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6", "validationUrl": "https://rp.example.net/v?id=1"},
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
ZOOM = {"payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}, "event_ts": 1654503849680, "event": "endpoint.url_validation"}
GRAPH_TOKEN = "Validation: Testing client application reachability for subscription Request-Id: 9f8d"
SNS_URL = (
    "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:eu-central-1:0:t&Token=2336412f"
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
# vendor; request; whether it is answered before authentication; content type and content of the answer
HANDSHAKES: dict[str, tuple[webhook.HandshakeRequest, bool, str, Any]] = {
    "Slack": (call(body=SLACK), False, "application/json", {"challenge": SLACK["challenge"]}),
    "monday.com": (call(body={"challenge": "3eZbrw1a"}), True, "application/json", {"challenge": "3eZbrw1a"}),
    "Okta": (call("GET", x_okta_verification_challenge="8d4c"), True, "application/json", {"verification": "8d4c"}),
    "Microsoft Graph": (
        call(query="validationToken=" + urllib.parse.quote_plus(GRAPH_TOKEN), content_type="text/plain; charset=utf-8"),
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
    "CloudEvents": (call("OPTIONS", webhook_request_origin="events.example.com"), True, "application/json", {"status": "ok"}),
    "Meta": (
        call("GET", query="hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=s3cret-value"),
        True,
        "text/plain",
        "1158201444",
    ),
    "Zoom": (
        call(body=ZOOM),
        False,
        "application/json",
        {
            "plainToken": "qgg8vlvZRS6UYooatFL8Aw",
            # of the secret secretValueTest, from the tests of an independent receiver (Elastic's http_endpoint)
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
    "Amazon SNS": (call(body=SNS, content_type="text/plain; charset=UTF-8"), False, "application/json", {"status": "confirmed"}),
    "URL check": (call("GET"), True, "application/json", {"status": "ok"}),
}
PASSWORDS = {"Zoom": "secretValueTest"}


@pytest.mark.parametrize("vendor", HANDSHAKES)
class TestHandshakes:
    def instance(self, vendor: str, **params: Any) -> webhook.Settings:
        return settings(credentials=credentials("user", PASSWORDS.get(vendor, "s3cret-value")), **params)

    @pytest.fixture(autouse=True)
    def confirmed(self, requests_mock: Any) -> Any:
        requests_mock.get(SNS_URL, text="<ConfirmSubscriptionResponse/>")
        return requests_mock

    def test_it_is_answered_as_the_vendor_wants(self, vendor: str) -> None:
        request, _, content_type, content = HANDSHAKES[vendor]
        done = webhook.answer_handshake(request, self.instance(vendor), True)
        assert done is not None
        assert done.vendor == vendor
        assert (done.answer.status, done.answer.content_type) == (200, content_type)
        text = done.answer.content.decode()
        assert (json.loads(text) if content_type == "application/json" else text) == content

    def test_only_what_reveals_nothing_is_answered_before_authentication(self, vendor: str) -> None:
        request, unsigned, *_ = HANDSHAKES[vendor]
        assert (webhook.answer_handshake(request, self.instance(vendor), False) is not None) == unsigned

    def test_a_parameter_turns_it_off(self, vendor: str) -> None:
        request, *_ = HANDSHAKES[vendor]
        for proven in (True, False):
            assert webhook.answer_handshake(request, self.instance(vendor, handshakes="false"), proven) is None
        assert not webhook.may_be_handshake(request.method, request.headers, self.instance(vendor, handshakes=False))

    def test_a_payload_that_only_looks_like_it_is_an_incident(self, vendor: str, confirmed: Any) -> None:
        """
        Given: a handshake's request with something more in it, or something else where the challenge stands
        When: it is looked at, with authentication passed
        Then: it is no handshake, and nothing is fetched
        """
        request, *_ = HANDSHAKES[vendor]
        altered = []
        if request.body:
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
                                if key in ("challenge", "validationCode", "plainToken", "SubscribeURL")
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
            changed = webhook.HandshakeRequest(request.method, request.headers, request.query, json.dumps(body).encode())
            assert webhook.answer_handshake(changed, self.instance(vendor), True) is None, body
        large = webhook.HandshakeRequest(request.method, request.headers, request.query, request.body + b" " * 8193)
        assert webhook.answer_handshake(large, self.instance(vendor), True) is None
        assert not confirmed.called

    def test_it_is_not_one_by_another_method(self, vendor: str) -> None:
        request, *_ = HANDSHAKES[vendor]
        for method in {"GET", "POST", "PUT", "OPTIONS", "DELETE"} - {request.method}:
            if (vendor, method) not in (("Amazon SNS", "GET"),) and (request.query or request.headers or method != "GET"):
                changed = webhook.HandshakeRequest(method, request.headers, request.query, request.body)
                done = webhook.answer_handshake(changed, self.instance(vendor), True)
                assert done is None or done.vendor == "URL check"


class TestHandshakeDetails:
    @pytest.mark.parametrize("value", ["", "é", "a\tb", "x" * 1025, "a\r\nSet-Cookie: b", "<é>"])
    @pytest.mark.parametrize(
        "make",
        [
            lambda v: call("GET", x_okta_verification_challenge=v),
            lambda v: call("OPTIONS", webhook_request_origin=v),
            lambda v: call(x_hook_secret=v),
            lambda v: call("GET", query="challenge=" + urllib.parse.quote(v)),
            lambda v: call("GET", query="hub.mode=subscribe&hub.verify_token=s3&hub.challenge=" + urllib.parse.quote(v)),
            lambda v: call(query="validationToken=" + urllib.parse.quote(v)),
        ],
    )
    def test_only_short_printable_ascii_is_echoed(self, value: str, make: Callable[[str], webhook.HandshakeRequest]) -> None:
        done = webhook.answer_handshake(make(value), settings(credentials=credentials("_header:X-Token", "s3")), True)
        assert done is None or done.vendor == "URL check"

    @pytest.mark.parametrize(
        "query",
        [
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=wrong",
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=",
            "hub.mode=subscribe&hub.challenge=1",
            "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=s3cret-value",
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=s3cret-value&hub.verify_token=s3cret-value",
            "hub.mode=subscribe&hub.challenge=1&hub.challenge=2&hub.verify_token=s3cret-value",
        ],
    )
    def test_meta_has_to_know_the_password(self, query: str) -> None:
        for instance in (settings(credentials=credentials("user", "s3cret-value")), settings()):
            if instance.authenticator.secrets or "s3cret" not in query:
                assert webhook.answer_handshake(call("GET", query=query), instance, False) is None

    def test_without_a_password_nobody_s_token_is_right(self) -> None:
        query = "hub.mode=subscribe&hub.challenge=1&hub.verify_token="
        assert webhook.answer_handshake(call("GET", query=query), settings(), True) is None

    def test_cloudevents_is_told_who_may_post_and_how_often(self) -> None:
        plain = webhook.answer_handshake(call("OPTIONS", webhook_request_origin="events.example.com"), settings(), False)
        rated = webhook.answer_handshake(
            call("OPTIONS", webhook_request_origin="*", webhook_request_rate="120"), settings(), False
        )
        assert plain is not None and rated is not None
        assert plain.answer.headers == (("WebHook-Allowed-Origin", "events.example.com"), ("Allow", "POST"))
        assert dict(rated.answer.headers) == {"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "*", "Allow": "POST"}

    @pytest.mark.parametrize("body, done", [(b"", True), (b" {} ", True), (b'{"events":[]}', True), (b'{"events":[{}]}', False)])
    def test_asana_s_secret_comes_back_and_is_told(self, body: bytes, done: bool) -> None:
        answered = webhook.answer_handshake(call(body=body, x_hook_secret="b537207f"), settings(), False)
        assert (answered is not None) == done
        if answered:
            assert answered.answer.headers == (("X-Hook-Secret", "b537207f"),)
            assert "b537207f" in answered.notice and "ignore it" in answered.notice

    @pytest.mark.parametrize("secret, used", [("zoom-one zoom-two", "zoom-two"), ("zoom-two", "zoom-two")])
    def test_zoom_s_token_is_signed_with_the_secret_zoom_used(self, secret: str, used: str) -> None:
        """
        Given: an instance with Zoom's old and new secret
        When: Zoom validates the URL with the new one
        Then: the answer is signed with the new one
        """
        body = json.dumps(ZOOM).encode()
        stamp = str(int(time.time()))
        signature = hmac.new(used.encode(), f"v0:{stamp}:".encode() + body, "sha256").hexdigest()
        request = webhook.HandshakeRequest("POST", {"x-zm-signature": f"v0={signature}", "x-zm-request-timestamp": stamp}, "", body)
        done = webhook.answer_handshake(request, settings(credentials=credentials("_zoom", secret)), True)
        assert done is not None
        expected = hmac.new(used.encode(), b"qgg8vlvZRS6UYooatFL8Aw", "sha256").hexdigest()
        assert json.loads(done.answer.content)["encryptedToken"] == expected

    @pytest.mark.parametrize("params", [{}, {"credentials": credentials("_zoom", "s3cret-value")}])
    def test_nothing_is_signed_without_a_secret_or_for_a_wrong_signature(self, params: dict[str, Any]) -> None:
        assert webhook.answer_handshake(call(body=ZOOM), settings(**params), True) is None

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
    def test_a_url_with_its_token_may_be_checked(self, method: str, query: str, proven: bool, done: bool) -> None:
        instance = settings(credentials=credentials("_query:token", "s3cret-value"))
        assert (webhook.answer_handshake(call(method, query=query), instance, proven) is not None) == done

    @pytest.mark.parametrize(
        "method, headers, may",
        [
            ("POST", {"content-length": "1"}, True),
            ("POST", {"content-length": "8192"}, True),
            ("POST", {"content-length": "8193"}, False),
            ("POST", {"content-length": "0"}, True),
            ("POST", {}, True),
            ("POST", {"transfer-encoding": "chunked"}, False),
            ("POST", {"content-length": "20", "content-encoding": "gzip"}, False),
            ("POST", {"content-length": "20", "expect": "100-continue"}, False),
            ("GET", {"content-length": "9999"}, True),
            ("OPTIONS", {}, True),
            ("PUT", {"content-length": "20"}, False),
        ],
    )
    def test_a_stranger_makes_us_read_8_kib_at_most(self, method: str, headers: dict[str, str], may: bool) -> None:
        assert webhook.may_be_handshake(method, headers, settings()) == may

    @pytest.mark.parametrize(
        "body", [b"[" * 8000, b'{"challenge":' * 600, b'"challenge"', b'\xff"challenge"', b'{"challenge":"\\ud800"}']
    )
    def test_odd_bodies_are_no_handshakes(self, body: bytes) -> None:
        for proven in (True, False):
            assert webhook.answer_handshake(call(body=body), settings(), proven) is None


class TestSns:
    @pytest.mark.parametrize(
        "url",
        [
            SNS_URL,
            "https://sns.us-gov-west-1.amazonaws.com/confirm",
            "https://sns.cn-north-1.amazonaws.com.cn/?Action=ConfirmSubscription",
            "https://sns.eu-central-1.amazonaws.com:443/x",
        ],
    )
    def test_a_subscription_is_confirmed(self, url: str, requests_mock: Any) -> None:
        requests_mock.get(url, text="ok")
        done = webhook.answer_handshake(call(body={**SNS, "SubscribeURL": url}), settings(), True)
        assert done is not None and done.answer.status == 200
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
            "https://sns..amazonaws.com/",
            "https://sns.eu-central-1.amazonaws.com/ x",
            "https://sns.eu-central-1.amazonaws.com/\n",
            "HTTPS://127.0.0.1/",
            "",
        ],
    )
    def test_no_other_address_is_fetched(self, url: str, requests_mock: Any) -> None:
        with pytest.raises(webhook.BadRequest, match="SubscribeURL is no address of Amazon SNS"):
            webhook.answer_handshake(call(body={**SNS, "SubscribeURL": url}), settings(), True)
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
    def test_without_success_sns_has_to_repeat_it(self, answer: dict[str, Any], requests_mock: Any) -> None:
        requests_mock.get(SNS_URL, **answer)
        with pytest.raises(webhook.HTTPError, match="could not be confirmed") as failure:
            webhook.answer_handshake(call(body=SNS), settings(), True)
        assert failure.value.status == 502
        assert "2336412f" not in failure.value.sentence
        assert requests_mock.call_count == 1

    def test_the_hub_goes_on_meanwhile(self, requests_mock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Given: an SNS that does not answer
        When: a subscription is confirmed
        Then: other greenlets run on, and after the time limit it is 502
        """
        monkeypatch.setattr(webhook, "CONFIRM_SECONDS", 0.2)
        release = threading.Event()
        requests_mock.get(SNS_URL, text=lambda *_: str(release.wait(5)))
        other = gevent.spawn(gevent.sleep, 0.01)
        try:
            with pytest.raises(webhook.HTTPError, match="no answer within"):
                webhook.answer_handshake(call(body=SNS), settings(), True)
            assert other.ready()
        finally:
            release.set()

    @pytest.mark.parametrize("use_proxy", [True, False])
    def test_the_proxy_is_used_where_the_instance_says_so(
        self, use_proxy: bool, requests_mock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
        requests_mock.get(SNS_URL, text="ok")
        webhook.answer_handshake(call(body=SNS), settings(proxy=use_proxy), True)
        [sent] = requests_mock.request_history
        assert dict(sent.proxies).get("https") == ("http://proxy.example.com:3128" if use_proxy else None)
        assert sent.timeout == 10


# ---- who may connect


class TestSources:
    @pytest.mark.parametrize(
        "peer, forwarded, trusted, address",
        [
            ("192.0.2.1", "", "", "192.0.2.1"),
            ("192.0.2.1", "203.0.113.9", "", "192.0.2.1"),
            ("192.0.2.1", "203.0.113.9", "198.51.100.0/24", "192.0.2.1"),
            ("198.51.100.1", "", "198.51.100.0/24", "198.51.100.1"),
            ("198.51.100.1", "203.0.113.9", "198.51.100.0/24", "203.0.113.9"),
            ("198.51.100.1", "192.0.2.66, 203.0.113.9", "198.51.100.0/24", "203.0.113.9"),
            ("198.51.100.1", "192.0.2.66,203.0.113.9 , 198.51.100.2", "198.51.100.0/24", "203.0.113.9"),
            ("198.51.100.1", "198.51.100.3, 198.51.100.2", "198.51.100.0/24", "198.51.100.3"),
            ("198.51.100.1", "203.0.113.9:4711", "198.51.100.0/24", "203.0.113.9"),
            ("198.51.100.1", "[2001:db8::9]:4711", "198.51.100.0/24", "2001:db8::9"),
            ("198.51.100.1", "2001:DB8:0::9", "198.51.100.0/24", "2001:db8::9"),
            ("198.51.100.1", "203.0.113.9, unknown", "198.51.100.0/24", "unknown"),
            ("198.51.100.1", "203.0.113.9, ", "198.51.100.0/24", "unknown"),
            ("198.51.100.1", "203.0.113.9, " + "x" * 9000, "198.51.100.0/24", "unknown"),
            ("::ffff:198.51.100.1", "::ffff:203.0.113.9", "198.51.100.0/24", "203.0.113.9"),
            ("fe80::1%eth0", "203.0.113.9", "fe80::/10", "203.0.113.9"),
            ("2001:db8::1", "203.0.113.9", "2001:db8::/64 198.51.100.0/24", "203.0.113.9"),
        ],
    )
    def test_the_right_most_untrusted_address_counts(self, peer: str, forwarded: str, trusted: str, address: str) -> None:
        assert webhook.source_address(peer, forwarded, webhook.parse_networks("Trusted proxies", trusted)) == address

    @pytest.mark.parametrize(
        "allowed, inside, outside",
        [
            ("192.0.2.7", ["192.0.2.7"], ["192.0.2.8", "unknown", "", "2001:db8::1", "::ffff:192.0.2.7"]),
            ("198.51.100.0/24, 2001:db8::/32", ["198.51.100.255", "2001:db8:1::2"], ["198.51.101.0", "2001:db9::1"]),
            ("198.51.100.9/24\n2001:db8::/32", ["198.51.100.1"], ["198.51.101.1"]),
            ("0.0.0.0/0", ["203.0.113.1"], ["2001:db8::1"]),
            ("", ["203.0.113.1", "2001:db8::1", "unknown"], []),
        ],
    )
    def test_only_named_networks_may_connect(self, allowed: str, inside: list[str], outside: list[str]) -> None:
        networks = settings(allowed_sources=allowed).allowed_sources
        assert all(webhook.is_allowed(address, networks) for address in inside)
        assert not any(webhook.is_allowed(address, networks) for address in outside)

    @pytest.mark.parametrize("value", ["192.0.2.0/33", "example.com", "192.0.2", "192.0.2.1-192.0.2.9", "192.0.2.*", "::/129"])
    @pytest.mark.parametrize("parameter, name", [("Allowed sources", "allowed_sources"), ("Trusted proxies", "trusted_proxies")])
    def test_a_mistyped_network_is_named_and_lets_nobody_in(self, parameter: str, name: str, value: str) -> None:
        read = settings(**{name: f"192.0.2.1, {value}"})
        with pytest.raises(ValueError, match=f"^{parameter}: {re.escape(value)} is no address and no CIDR block"):
            webhook.test_module(read)
        refused(lambda: read.authenticator.verify_headers({}, ""))

    def test_looking_an_address_up_is_cheap(self) -> None:
        """
        Given: two hundred networks and an address that was seen before
        When: it is looked up again and again
        Then: that costs microseconds, for it is done for each request
        """
        networks = webhook.parse_networks("Allowed sources", [f"10.{n}.0.0/16" for n in range(200)])
        webhook.is_allowed("192.0.2.1", networks)
        before = time.process_time()
        for _ in range(10_000):
            webhook.is_allowed("192.0.2.1", networks)
        assert time.process_time() - before < 0.5


