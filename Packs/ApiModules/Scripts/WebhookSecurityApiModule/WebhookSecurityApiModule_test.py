"""Unit tests of WebhookSecurityApiModule.py."""

import base64
import hmac
import json
import random
import re
import time
import urllib.parse
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
import standardwebhooks
import WebhookSecurityApiModule as security

PASSWORD = "s3cret-value"


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def refused(prove: Callable[..., None], *args: Any, **named: Any) -> security.ProofError:
    with pytest.raises(security.ProofError) as refusal:
        prove(*args, **named)
    return refusal.value


# ---- authentication


HALF = "it is empty while the other of the two is not; fill in both, or neither."
BAD_HEADER = "Username: write _header:<HEADER-NAME>, such as _header:Authorization, without spaces."
BAD_TOKEN = "Password: no header can carry it: remove its control characters."


class TestAuthentication:
    def test_without_credentials_everybody_may_send(self) -> None:
        """
        Given: neither username nor password
        When: a request arrives without any header
        Then: it is authenticated
        """
        authenticator = security.choose_authenticator("", "")
        authenticator.verify_headers({})
        authenticator.verify_body({}, b"")
        assert authenticator.event_id({}) is None
        assert authenticator.signing_key({}, b"") == b""

    @pytest.mark.parametrize(
        "username, password",
        [("user", "pass"), ("üser", "pä:ss:wörd€"), ("u", "😀"), ("u", " s p "), ("a b", ":")],
    )
    def test_basic_authenticates_exactly_its_credentials(
        self, username: str, password: str
    ) -> None:
        """
        Given: a username and a password, UTF-8 and with colons
        When: a request brings them by Basic authentication, the scheme in any case
        Then: it is authenticated
        """
        authenticator = security.choose_authenticator(username, password)
        authenticator.verify_headers(basic(f"{username}:{password}"))
        value = basic(f"{username}:{password}")["authorization"].replace("Basic", "bASIC")
        authenticator.verify_headers({"authorization": value})

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
    def test_basic_refuses_everything_else(self, headers: dict[str, str]) -> None:
        """
        Given: the credentials user:pass
        When: a request brings none, wrong, malformed or undecodable ones
        Then: the refusal says how to authenticate, and whether there was an attempt to
        """
        authenticator = security.choose_authenticator("user", "pass")
        refusal = refused(lambda: authenticator.verify_headers(headers))
        assert refusal.challenge == 'Basic realm="Generic Webhook", charset="UTF-8"'
        assert refusal.sentence == (
            "Send the username and password of this webhook by Basic authentication "
            "(curl -u user:password)."
        )
        assert isinstance(refusal, security.MissingCredentials) == (headers == {})

    @pytest.mark.parametrize(
        "username, password, secret, header",
        [
            ("", "", [], ""),
            ("user", "päss", ["päss"], "authorization"),
            ("_header:X-Token", "päss", ["päss"], "x-token"),
            (
                "_hmac:X-Sum",
                "old secret\n new-secret ",
                ["old secret", "new-secret"],
                "x-sum",
            ),
        ],
    )
    def test_what_must_never_be_shown_is_known(
        self, username: str, password: str, secret: list[str], header: str
    ) -> None:
        """
        Given: each kind of credentials
        When: the parameters are read
        Then: the secret to keep out of log lines and the header to keep out of incidents are known
        """
        authenticator = security.choose_authenticator(username, password)
        assert [text.decode() for text in authenticator.secrets] == secret
        assert authenticator.hidden_header == header

    def test_credentials_that_cannot_be_used_authenticate_nobody(self) -> None:
        """
        Given: a webhook whose credentials are half filled in
        When: a request arrives, with credentials or without
        Then: the refusal says where to look, and is never mistaken for missing credentials
        """
        for headers in ({}, basic("user:pass"), basic("user:")):
            refusal = refused(security.DenyAll().verify_headers, headers)
            assert not isinstance(refusal, security.MissingCredentials)
            assert refusal.sentence == (
                "This webhook refuses every request until its parameters are corrected in XSOAR; "
                "Test names them."
            )

    @pytest.mark.parametrize("value", ["Bearer XXX", "t:o:k:e:n", "tökén €", "a\tb"])
    def test_a_header_has_to_hold_the_value(self, value: str) -> None:
        """
        Given: a username _header:X-Token and a password
        When: requests bring the value, none, another, or more than it in that header
        Then: only the first is authenticated, and the others are refused without a challenge
        """
        authenticator = security.choose_authenticator("_header:X-Token", value)
        on_the_wire = value.encode().decode("latin-1")
        authenticator.verify_headers({"x-token": on_the_wire})
        for headers in (
            {},
            {"x-token": ""},
            {"x-token": on_the_wire + "x"},
            {"x-token": on_the_wire.swapcase()},
            {"x-other": value},
        ):
            refusal = refused(authenticator.verify_headers, headers)
            assert refusal.challenge == ""
            assert refusal.sentence == (
                "Send the verification token of this webhook in the agreed request header."
            )

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
            ("_header:X-Token", "x\x00y", BAD_TOKEN),
            ("_header:X-Token", "old\nx\x1fy", BAD_TOKEN),
        ],
    )
    def test_unusable_credentials_name_the_parameter_and_the_fix(
        self, username: str, password: str, mistake: str
    ) -> None:
        """
        Given: half a credential, or one no request could ever match
        When: the parameters are read
        Then: the mistake says which parameter it is and how to fix it
        """
        with pytest.raises(security.CredentialError) as error:
            security.choose_authenticator(username, password)
        assert str(error.value) == mistake == f"{error.value.field}: {error.value.fix}"


# ---- authentication: schemes that sign the body, and the query string


SLACK_BODY = (  # the worked example of Slack's documentation, "Verifying requests from Slack"
    "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    "&channel_name=foobar"
    "&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3"
    "A%2F%2Fhooks.slack.com"
    "%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.474"
    "45629121."
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

    def authenticator(self) -> security.Authenticator:
        return security.choose_authenticator(self.username, self.password)

    def prove(self, **changes: Any) -> None:
        """Raise ProofError unless the delivery, with changes, passes."""
        changed = self._replace(**changes)
        authenticator = changed.authenticator()
        authenticator.verify_headers(changed.headers, "")
        authenticator.verify_body(changed.headers, changed.body.encode())


DELIVERIES = {  # the vendors' own examples; those called openssl are signed by its command line
    "GitHub": Delivery(
        "_hmac:X-Hub-Signature-256",
        PHRASE,
        {"x-hub-signature-256": f"sha256={HELLO}"},
        "Hello, World!",
    ),
    "Jira and Bitbucket": Delivery(
        "_hmac:X-Hub-Signature",
        PHRASE,
        {
            "x-hub-signature": (
                "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
            )
        },
        "Hello World!",
    ),
    "Datasaur": Delivery(
        "_hmac:X-Datasaur-Signature",
        "secret",
        {
            "x-datasaur-signature": (
                "0278b1a603de4c561ac0feb960354d0d00e8846b74813d81bddb43ad45bff767"
            )
        },
        '{"body":"sample"}',
    ),
    "RFC 4231, test case 2": Delivery(
        "_hmac-sha512:X-Sum",
        "Jefe",
        {
            "x-sum": (
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6"
                "d034f65f8f0e6fd"
                "caeab1a34d4a6b4b636e070a38bce737"
            )
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
            "x-slack-signature": (
                "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
            ),
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
            "stripe-signature": (
                "t=1700000000,v1=15747208800df0a13e7163da96be3060689eaf0ac281a6db805d84a8758b8dfe,"
                "v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39"
            )
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
            "x-tfe-notification-signature": (
                "aa2e4d85d30890c0e5453f8005465cfcd21de45a18e03a60d98fc0a0c309bf460d5f9c43f704f804"
                "3222f1c835af123bb549cd874a407eb9befc17b399de340c"
            )
        },
        '{"order":"A-1"}',
    ),
    "PagerDuty in a rotation, openssl": Delivery(
        "_hmac:X-PagerDuty-Signature",
        "pd-secret-two",
        {
            "x-pagerduty-signature": (
                "v1=f48cf20e70304b808219f5b5e60a5ad5222b5869c217f5e78aabf8577b245957,"
                "v1=2765961ae17b5827a2cd363baf2d661257b9865831ebf951d2d502d75c1dec26"
            )
        },
        '{"event":"incident.triggered"}',
    ),
}
SIGNATURE_HEADERS = {
    name: next(
        header for header in d.headers if "sig" in header or "sum" in header or "hmac" in header
    )
    for name, d in DELIVERIES.items()
}


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that sets the clock the integration looks at, in Unix seconds."""
    return lambda now: monkeypatch.setattr(security.time, "time", lambda: now)


@pytest.mark.parametrize("name", DELIVERIES)
class TestSignatures:
    def test_a_published_example_is_authenticated(
        self, name: str, at: Callable[[float], None]
    ) -> None:
        at(DELIVERIES[name].now)
        DELIVERIES[name].prove()

    def test_its_secret_may_be_one_of_several(self, name: str, at: Callable[[float], None]) -> None:
        """
        Given: a secret among others in Password, as during a rotation
        When: a delivery arrives that is signed with it
        Then: it is authenticated
        """
        delivery = DELIVERIES[name]
        at(delivery.now)
        other = (
            "whsec_bmV3IHNlY3JldCBvZiAyNCBieXRlcw=="
            if delivery.username == "_standard-webhooks"
            else "an-0lder-secret"
        )
        delivery.prove(password=f"{other}\n{delivery.password}")
        delivery.prove(password=f"\r\n {delivery.password}\t\r\n{other}\r\n")
        refused(delivery.prove, password=other)

    def test_a_changed_body_secret_or_signature_is_refused(
        self, name: str, at: Callable[[float], None]
    ) -> None:
        delivery = DELIVERIES[name]
        at(delivery.now)
        header = SIGNATURE_HEADERS[name]
        value = delivery.headers[header]
        changed = re.sub(
            r"[0-9A-Za-z+/]{38,}",
            lambda match: match[0].translate(str.maketrans("13579bdfABC", "2468ac1eBCD")),
            value,
        )
        assert changed != value
        for changes in (
            {"body": delivery.body + " "},
            {"body": ""},
            {"headers": {**delivery.headers, header: changed}},
        ):
            assert (
                refused(lambda changes=changes: delivery.prove(**changes)).sentence
                == security.WRONG_SIGNATURE
            )

    @pytest.mark.parametrize(
        "value",
        [
            None,
            "",
            "sha256=",
            "v0=",
            "v1,",
            "t=1700000000",
            "é",
            "deadbeef",
            "v0=zz",
            ", ,",
            "=" * 99,
        ],
    )
    def test_without_a_signature_nothing_is_read(
        self, name: str, value: str | None, at: Callable[[float], None]
    ) -> None:
        """
        Given: a signature header that is missing or holds no signature
        When: the headers alone are looked at
        Then: they are refused, so that the body is never read; without any signature header, the
            request may be a vendor's handshake
        """
        delivery = DELIVERIES[name]
        at(delivery.now)
        headers = {
            header: text
            for header, text in delivery.headers.items()
            if header != SIGNATURE_HEADERS[name]
        }
        if value is not None:
            headers[SIGNATURE_HEADERS[name]] = value
        refusal = refused(lambda: delivery.authenticator().verify_headers(headers, ""))
        assert refusal.sentence == security.NO_SIGNATURE
        assert isinstance(refusal, security.MissingCredentials) == (value is None)

    def test_a_signature_is_found_in_any_case_and_among_others(
        self, name: str, at: Callable[[float], None]
    ) -> None:
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
                assert refused(delivery.prove).sentence == security.STALE_TIMESTAMP
            else:
                delivery.prove()

    def test_a_secret_is_not_shown(self, name: str, at: Callable[[float], None]) -> None:
        delivery = DELIVERIES[name]
        authenticator = delivery.authenticator()
        assert delivery.password.encode() in authenticator.secrets
        assert authenticator.signs_body and not authenticator.result_is_cacheable
        assert authenticator.hidden_header in (SIGNATURE_HEADERS[name], "webhook-signature")


class TestSignatureDetails:
    @pytest.mark.parametrize(
        "header", ["x-slack-request-timestamp", "webhook-timestamp", "webhook-id"]
    )
    @pytest.mark.parametrize(
        "value", [None, "", "soon", "-1", "1e9", "1700000000.5", "1700000000, 1700000000", "9" * 17]
    )
    def test_what_is_signed_with_the_body_has_to_be_there(
        self, header: str, value: str | None, at: Callable[[float], None]
    ) -> None:
        delivery = next(d for d in DELIVERIES.values() if header in d.headers)
        at(delivery.now)
        headers = {name: text for name, text in delivery.headers.items() if name != header}
        if value is not None:
            headers[header] = value
        assert refused(lambda: delivery.prove(headers=headers)).sentence in (
            security.STALE_TIMESTAMP,
            security.NO_SIGNATURE,
            security.WRONG_SIGNATURE,
            security.BAD_IDENTIFIER,
        )

    @pytest.mark.parametrize("seed", range(20))
    def test_what_the_library_of_standard_webhooks_signs_is_authenticated(self, seed: int) -> None:
        """
        Given: random secrets, ids and bodies, and the independent library
        When: it signs a delivery, and another of ours is verified by it
        Then: each side takes what the other made
        """
        draw = random.Random(seed)
        key = draw.randbytes(draw.randint(24, 64))
        secret = "whsec_" + base64.b64encode(key).decode()
        identifier, body = (
            f"msg_{draw.randbytes(8).hex()}",
            json.dumps({"é" * draw.randint(0, 9): draw.random()}),
        )
        library, now = standardwebhooks.Webhook(secret), datetime.now(UTC)
        headers = {
            "webhook-id": identifier,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": library.sign(identifier, now, body),
        }
        library.verify(body, headers)
        authenticator = security.choose_authenticator(
            "_standard-webhooks", secret.rstrip("=") if seed % 2 else secret
        )
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
        Then: they are authenticated
        """
        body, identifier = b"\xff\x00\xfe", "msg_é"
        signed = hmac.new(
            b"key", identifier.encode() + b".%d." % time.time() + body, "sha256"
        ).digest()
        headers = {
            "webhook-id": identifier.encode().decode("latin-1"),
            "webhook-timestamp": str(int(time.time())),
            "webhook-signature": "v1," + base64.b64encode(signed).decode(),
        }
        security.choose_authenticator(
            "_standard-webhooks", base64.b64encode(b"key").decode()
        ).verify_body(headers, body)
        digest = hmac.new("gehöim".encode(), body, "sha256").hexdigest()
        security.choose_authenticator("_hmac:X-Sum", "gehöim").verify_body({"x-sum": digest}, body)

    @pytest.mark.parametrize("sender", ["webhook", "svix"])
    def test_an_id_with_a_full_stop_shifts_nothing(
        self, sender: str, at: Callable[[float], None]
    ) -> None:
        """
        Given: a captured delivery, `id.timestamp.body`, whose body begins like a timestamp
        When: its ID, timestamp and body are cut at another full stop, so that the signed bytes stay
        Then: it is refused by its headers alone, and also where only its body is verified
        """
        at(1_700_000_000)
        key, body = b"a key of Standard Webhooks", b'1700000001.{"forged":true}'
        signed = hmac.new(key, b"msg_1.1700000000." + body, "sha256").digest()
        authenticator = security.choose_authenticator(
            "_standard-webhooks", base64.b64encode(key).decode()
        )
        headers = {
            f"{sender}-id": "msg_1",
            f"{sender}-timestamp": "1700000000",
            f"{sender}-signature": "v1," + base64.b64encode(signed).decode(),
        }
        authenticator.verify_headers(headers)
        authenticator.verify_body(headers, body)
        shifted = {
            **headers,
            f"{sender}-id": "msg_1.1700000000",
            f"{sender}-timestamp": "1700000001",
        }
        refusal = refused(authenticator.verify_headers, shifted)
        assert refusal.sentence == security.BAD_IDENTIFIER
        refused(authenticator.verify_body, shifted, b'{"forged":true}')

    @pytest.mark.parametrize(
        "stamp", ["1700000000:", "1700000000.1", "1700000000:v0", " 1700000000"]
    )
    def test_a_timestamp_is_nothing_but_digits(
        self, stamp: str, at: Callable[[float], None]
    ) -> None:
        """
        Given: a body that is signed together with a timestamp and a part of another's body
        When: that part is moved into the timestamp
        Then: it is refused
        """
        at(1_700_000_000)
        for username, prefix, headers in (
            ("_slack", f"v0:{stamp}:", {"x-slack-request-timestamp": stamp}),
            ("_zoom", f"v0:{stamp}:", {"x-zm-request-timestamp": stamp}),
            ("_stripe:S", f"{stamp}.", {}),
        ):
            digest = hmac.new(b"s3cret", prefix.encode() + b"{}", "sha256").hexdigest()
            name = {"_slack": "x-slack-signature", "_zoom": "x-zm-signature"}.get(username, "s")
            value = f"t={stamp},v1={digest}" if name == "s" else f"v0={digest}"
            refused(Delivery(username, "s3cret", {**headers, name: value}, "{}").prove)

    def test_a_timestamp_in_milliseconds_is_one(self, at: Callable[[float], None]) -> None:
        """
        Given: a vendor that copied Stripe's scheme and counts milliseconds (WorkOS)
        When: it signs within the tolerance and beyond it
        Then: only the first is authenticated
        """
        digest = hmac.new(b"s3cret", b'1700000000123.{"a":1}', "sha256").hexdigest()
        delivery = Delivery(
            "_stripe:WorkOS-Signature",
            "s3cret",
            {"workos-signature": f"t=1700000000123, v1={digest}"},
            '{"a":1}',
        )
        at(1_700_000_299)
        delivery.prove()
        at(1_700_000_301)
        assert refused(delivery.prove).sentence == security.STALE_TIMESTAMP

    def test_an_old_signature_is_not_freshened_by_a_second_timestamp(
        self, at: Callable[[float], None]
    ) -> None:
        """
        Given: a recorded delivery of Stripe's scheme
        When: somebody adds today's timestamp to its header
        Then: it is refused, for the signature is over the old one
        """
        delivery = DELIVERIES["Stripe, openssl"]
        at(delivery.now + 3600)
        value = f"t={delivery.now + 3600}, {delivery.headers['stripe-signature']}"
        assert (
            refused(lambda: delivery.prove(headers={"stripe-signature": value})).sentence
            == security.WRONG_SIGNATURE
        )

    def test_many_timestamps_cost_no_more_than_two(
        self, at: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a header with a thousand timestamps within the tolerance
        When: the body is checked
        Then: it is hashed twice at most, for a stranger could stop the service with it
        """
        at(1_700_000_000)
        made: list[bytes] = []
        real = hmac.new
        monkeypatch.setattr(
            security.hmac, "new", lambda key, *rest: made.append(key) or real(key, *rest)
        )
        stamps = ",".join(f"t={1_700_000_000 + n % 300}" for n in range(1000))
        value = f"v1={'0' * 64},{stamps}"
        refused(lambda: Delivery("_stripe:S", "s", {"s": value}, "{}").prove())
        assert len(made) == 2

    @pytest.mark.parametrize("version", ["v2", "v0", "v1a", "V1"])
    def test_a_signature_of_another_kind_does_not_count(
        self, version: str, at: Callable[[float], None]
    ) -> None:
        """
        Given: a right digest under the name of another kind of signature
        When: it is checked
        Then: it is refused
        """
        for name in ("Stripe, openssl", "Standard Webhooks"):
            delivery = DELIVERIES[name]
            at(delivery.now)
            header = SIGNATURE_HEADERS[name]
            value = delivery.headers[header].partition(",v0")[0].replace("v1", version)
            refused(delivery.prove, headers={**delivery.headers, header: value})

    @pytest.mark.parametrize(
        "key", ["a", "to", "It's", "Secret", "It's a", PHRASE.lower(), PHRASE + "x", ""]
    )
    def test_the_words_of_a_phrase_are_no_secrets(self, key: str) -> None:
        """
        Given: GitHub's example of a secret, which has blanks
        When: a delivery is signed with one of its words
        Then: it is refused
        """
        digest = hmac.new(key.encode(), b"{}", "sha256").hexdigest()
        refused(lambda: Delivery("_hmac:S", PHRASE, {"s": digest}, "{}").prove())

    def test_a_delivery_is_identified_where_its_scheme_says_so(self) -> None:
        names = {name: d.authenticator().event_id(d.headers) for name, d in DELIVERIES.items()}
        assert {name: identifier for name, identifier in names.items() if identifier} == {
            "Standard Webhooks": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "svix": "msg_loFOjxBNrRLzqYUf",
        }


def prove_with(authenticator: security.Authenticator, username: str, secret: str) -> None:
    """Prove an empty object with a secret, by the scheme; raises ProofError where it is refused."""
    now = str(int(time.time()))
    signed = {"_slack": f"v0:{now}:", "_stripe:S": f"{now}."}.get(username, "")
    algorithm = "sha1" if "sha1" in username else "sha256"
    digest = hmac.new(secret.encode(), signed.encode() + b"{}", algorithm).hexdigest()
    headers = {
        "_slack": {"x-slack-signature": f"v0={digest}", "x-slack-request-timestamp": now},
        "_stripe:S": {"s": f"t={now},v1={digest}"},
        "_query:token": {},
        "_header:S": {"s": secret},
    }.get(username, {"s": digest})
    authenticator.verify_headers(headers, "token=" + urllib.parse.quote(secret))
    authenticator.verify_body(headers, b"{}")


class TestSecrets:
    @pytest.mark.parametrize(
        "password, secrets",
        [
            ("one", ["one"]),
            ("old new", ["old new"]),
            (" old\tnew\nnext ", ["old\tnew", "next"]),
            (PHRASE, [PHRASE]),
            (f"{PHRASE}\r\n\r\nnew", [PHRASE, "new"]),
            ("same\nsame\n", ["same"]),
            ("long-part-one long-part-two", ["long-part-one long-part-two"]),
            ("in\x0bone\x85line\u2028", ["in\x0bone\x85line"]),
        ],
    )
    def test_a_line_is_a_secret(self, password: str, secrets: list[str]) -> None:
        assert list(security.read_secrets(password)) == secrets

    @pytest.mark.parametrize(
        "password, accepted, others",
        [
            ("Bearer XXX", ["Bearer XXX"], ["Bearer", "XXX", "Bearer  XXX", "", "bearer XXX"]),
            ("Api-Key s3cr3t-9f8e7d", ["Api-Key s3cr3t-9f8e7d"], ["Api-Key", "s3cr3t-9f8e7d"]),
            ("Bearer: x", ["Bearer: x"], ["Bearer:", "Bearer", "x"]),
            ("12345 67890", ["12345 67890"], ["12345", "67890", "1234567890"]),
            ("Bearer a1\nBearer b2", ["Bearer a1", "Bearer b2"], ["Bearer", "a1", "a1 Bearer"]),
            ("Bearer a1 Bearer b2", ["Bearer a1 Bearer b2"], ["Bearer a1", "Bearer b2", "a1"]),
            ("t0ken-old\r\n t0ken-new ", ["t0ken-old", "t0ken-new"], ["t0ken-old ", "t0ken"]),
            (
                "SharedAccessSignature sr=1",
                ["SharedAccessSignature sr=1"],
                ["SharedAccessSignature", "sr=1"],
            ),
            (
                "correct horse battery staple",
                ["correct horse battery staple"],
                ["correct", "staple", "correct horse"],
            ),
        ],
    )
    def test_a_header_s_value_is_one_secret(
        self, password: str, accepted: list[str], others: list[str]
    ) -> None:
        """
        Given: values with spaces in them, one a line
        When: the header has one of them, or a part of one
        Then: only the whole value authenticates
        """
        authenticator = security.choose_authenticator("_header:X-Token", password)
        for value in accepted:
            authenticator.verify_headers({"x-token": value}, "")
        for value in others:
            refused(authenticator.verify_headers, {"x-token": value}, "")

    @pytest.mark.parametrize(
        "password",
        [
            "Api-Key s3cr3t-9f8e7d",
            "Bearer: x",
            "open the door",
            "12345 67890",
            "long-part-one long-part-two long-part-three",
            "whsec_bmV3IHNlY3JldA== whsec_b2xkIHNlY3JldA==",
        ],
    )
    @pytest.mark.parametrize(
        "username", ["_hmac:S", "_hmac-sha1:S", "_stripe:S", "_slack", "_query:token", "_header:S"]
    )
    def test_no_part_of_a_secret_proves_anybody(self, username: str, password: str) -> None:
        """
        Given: a secret with spaces, under each scheme
        When: a delivery is proved with a part of it: each word, and each run of words
        Then: it is refused, and with the whole it is not
        """
        authenticator = security.choose_authenticator(username, password)
        words = password.split()
        runs = {" ".join(words[i:j]) for j in range(len(words) + 1) for i in range(j)} - {password}
        for part in (*runs, *password.split(" ", 1), password[:-1], password.replace(" ", "")):
            refused(prove_with, authenticator, username, part)
        prove_with(authenticator, username, password)

    @pytest.mark.parametrize("shown", ["v1,whsec_{}", "whsec_{}", "{}", " v1,whsec_{} "])
    def test_a_standard_secret_is_read_as_its_sender_shows_it(self, shown: str) -> None:
        """
        Given: a secret as Supabase (v1,whsec_...) and others show it
        When: the independent library signs with the same secret
        Then: it is authenticated
        """
        secret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        now = datetime.now(UTC)
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": standardwebhooks.Webhook(secret).sign("msg_1", now, "{}"),
        }
        authenticator = security.choose_authenticator("_standard-webhooks", shown.format(secret))
        authenticator.verify_headers(headers)
        authenticator.verify_body(headers, b"{}")

    def test_two_headers_are_not_the_value_they_are_joined_to(self) -> None:
        authenticator = security.choose_authenticator("_header:X-Token", "a, b")
        authenticator.verify_headers({"x-token": "a, b"}, "")
        authenticator.verify_headers(
            {"x-token": "a, b", "x-other": "c, d"}, "", frozenset({"x-other"})
        )
        refused(
            lambda: authenticator.verify_headers({"x-token": "a, b"}, "", frozenset({"x-token"}))
        )

    def test_basic_takes_its_password_whole(self) -> None:
        authenticator = security.choose_authenticator("user", "old-secret new-secret")
        authenticator.verify_headers(basic("user:old-secret new-secret"), "")
        refused(lambda: authenticator.verify_headers(basic("user:old-secret"), ""))


class TestQuery:
    @pytest.mark.parametrize(
        "password, query",
        [
            ("t0ken-1", "token=t0ken-1"),
            ("t0ken-1", "a=1&token=t0ken-1&b=2"),
            ("t0ken-1", "%74oken=%740ken-1"),
            ("t0ken-1\nt0ken-2", "token=t0ken-2"),
            ("t0ken-1 t0ken-2", "token=t0ken-1+t0ken-2"),
            ("t0ken-1 t0ken-2", "token=t0ken-1%20t0ken-2"),
            ("a+b/c==", "token=a+b/c=="),
            ("a+b/c==", "token=a%2Bb%2Fc%3D%3D"),
            ("two word phrase of mine", "token=two+word+phrase+of+mine"),
            ("gehöim", "token=geh%C3%B6im"),
            ("gehöim", "token=" + "gehöim".encode().decode("latin-1")),
        ],
    )
    def test_the_field_s_value_authenticates(self, password: str, query: str) -> None:
        authenticator = security.choose_authenticator("_query:token", password)
        authenticator.verify_headers({}, query)
        assert authenticator.hidden_query == "token"
        assert not authenticator.signs_body

    @pytest.mark.parametrize("name", ["k", "my.field", "größe", "a[b]", "alert"])
    def test_a_field_of_any_name_is_hidden(self, name: str) -> None:
        authenticator = security.choose_authenticator(f"_query: {name}", "t0ken-1")
        for written in (urllib.parse.quote(name), name.encode().decode("latin-1")):
            query = f"{written}=t0ken-1&host=db1"
            authenticator.verify_headers({}, query)
            assert authenticator.hidden_query == name

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
            ("token=t0ken-1&" + "a&" * 1000, False),
            ("token=t0ken-1" + "%20" * 9, False),
            ("token=t0ken-1%00", False),
            ("token=\xff", False),
        ],
    )
    def test_anything_else_is_refused(self, query: str, missing: bool) -> None:
        authenticator = security.choose_authenticator("_query:token", "t0ken-1")
        refusal = refused(lambda: authenticator.verify_headers({}, query))
        assert isinstance(refusal, security.MissingCredentials) == missing
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
            "_Hmac:\u0020X-SUM",
        ],
    )
    def test_blanks_and_capitals_do_not_matter(self, username: str) -> None:
        assert security.choose_authenticator(username, "s").hidden_header == "x-sum"

    @pytest.mark.parametrize(
        "username, words",
        [
            ("_hmac", "write _hmac:<HEADER-NAME>, such as _hmac:X-Hub-Signature-256"),
            ("_hmac:", "write _hmac:<HEADER-NAME>"),
            ("_hmac:X Sum", "write _hmac:<HEADER-NAME>"),
            ("_hmac_sha1:X-Sum", "write _hmac-sha1:<HEADER-NAME>"),
            (
                "_hmac-sha256:X-Sum",
                "_hmac-sha256 is now called _hmac; write _hmac:X-Sum, which checks the same.",
            ),
            ("_hmac-sha256", "write _hmac:<HEADER-NAME>, which checks the same."),
            ("_hmac_sha256:X-Sum", "write _hmac:<HEADER-NAME>, such as"),
            ("_hmacsha256:X-Sum", "write _hmac:<HEADER-NAME>, such as"),
            ("_hmac-sha512", "write _hmac-sha512:<HEADER-NAME>"),
            ("_hmacs:X-Sum", "write _hmac:<HEADER-NAME>"),
            ("_stripe", "write _stripe:<HEADER-NAME>, such as _stripe:Stripe-Signature"),
            ("_query", "write _query:<FIELD-NAME>, such as _query:token"),
            ("_query:a b", "write _query:<FIELD-NAME>"),
            ("_query:a=b", "write _query:<FIELD-NAME>"),
            ("_slack:X-Slack-Signature", "write _slack, with nothing after it"),
            ("_standard-webhook", "write _standard-webhooks, with nothing after it"),
            (
                "_github:X-Hub-Signature-256",
                "there is no scheme _github; write one of _header:<HEADER-NAME>, _query:<FIELD",
            ),
            (
                "_hmac:X-Slack-Signature",
                "X-Slack-Signature signs more than the body; write _slack.",
            ),
            ("_hmac:x-zm-signature", "write _zoom."),
            ("_hmac:Stripe-Signature", "write _stripe:Stripe-Signature."),
            ("_hmac:svix-signature", "write _standard-webhooks."),
        ],
    )
    def test_test_explains_a_malformed_scheme(self, username: str, words: str) -> None:
        with pytest.raises(security.CredentialError, match=r"^Username: ") as mistake:
            security.choose_authenticator(username, PASSWORD)
        assert words in str(mistake.value)

    @pytest.mark.parametrize(
        "username", ["svc_webhook", "admin_", "user:name", "slack", "teams", "headers:X"]
    )
    def test_a_user_s_name_may_look_like_a_scheme(self, username: str) -> None:
        authenticator = security.choose_authenticator(username, "pass")
        authenticator.verify_headers(basic(f"{username}:pass"), "")

    @pytest.mark.parametrize(
        "username, password, words",
        [
            ("_standard-webhooks", "whsec_", "whsec_ followed by base64"),
            ("_standard-webhooks", "whsec_%%%", "whsec_ followed by base64"),
            (
                "_standard-webhooks",
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw nö",
                "whsec_ followed by base64",
            ),
            ("_standard-webhooks", "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "asymmetric"),
            ("_standard-webhooks", "whsec_MfKQ9r8GKYqrTwj whsec_MfKQ9r8GKYqrTwjU", "its own line"),
            ("_slack", "xoxb-1-2", "Signing Secret"),
            ("_slack", "8f742231b10e8888abcd99yyyzzz85a5\nxoxb-1-2", "Signing Secret"),
            ("_stripe:Stripe-Signature", "sk_live_1", "signing secret, whsec_"),
            ("_hmac:X-Sum", "  ", "white space"),
            ("_hmac:X-Sum", "\n".join(f"secret{n}" for n in range(21)), "more than 20 lines"),
            ("_hmac:X-Sum", "half \ud800", "half a character"),
            ("user", "\udfff", "half a character"),
            ("_query:token", "\t", "white space"),
        ],
    )
    def test_test_explains_a_malformed_secret(
        self, username: str, password: str, words: str
    ) -> None:
        """
        Given: a secret that nothing can be signed with, or the wrong one of a vendor's secrets
        When: the Test button is pressed
        Then: the mistake names the parameter and the fix, and shows nothing of the secret
        """
        with pytest.raises(security.CredentialError, match=r"^Password: ") as mistake:
            security.choose_authenticator(username, password)
        assert words in str(mistake.value)
        assert password.strip()[8:] == "" or password.strip()[8:] not in str(mistake.value)
