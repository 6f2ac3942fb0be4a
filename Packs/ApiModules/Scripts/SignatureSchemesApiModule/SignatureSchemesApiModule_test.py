"""Unit tests of SignatureSchemesApiModule.py: what vendors and independent libraries sign."""

import base64
import hmac
import json
import random
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
import SignatureSchemesApiModule as schemes
import standardwebhooks
import WebhookSecurityApiModule as security

from Tests.proving import Prover


def refused(prove: Callable[..., Any], *args: Any, **named: Any) -> security.ProofError:
    with pytest.raises(security.ProofError) as refusal:
        prove(*args, **named)
    return refusal.value


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
STALE = schemes.STALE_TIMESTAMP.format(minutes=5)


class Delivery(NamedTuple):
    """A signed delivery and the parameters it proves itself to, at a time in Unix seconds."""

    username: str
    password: str
    headers: dict[str, str]
    body: str
    now: int = 1_700_000_000

    @property
    def shown(self) -> str:
        """The signature's header, as a refusal names it."""
        [group] = self.authenticator().credentials.groups
        return group.expected

    def authenticator(self) -> Prover:
        return Prover(self.username, self.password)

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
    return lambda now: monkeypatch.setattr(schemes.time, "time", lambda: now)


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
            assert refused(
                lambda changes=changes: delivery.prove(**changes)
            ).sentence == schemes.WRONG_SIGNATURE.format(header=delivery.shown)

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
        assert refusal.sentence == schemes.NO_SIGNATURE.format(header=delivery.shown)
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
                assert refused(delivery.prove).sentence == STALE
            else:
                delivery.prove()

    def test_a_secret_is_not_shown(self, name: str, at: Callable[[float], None]) -> None:
        delivery = DELIVERIES[name]
        credentials = delivery.authenticator().credentials
        assert delivery.password.encode() in credentials.secrets
        assert delivery.password in credentials.texts_to_hide()
        assert credentials.only_sign
        assert SIGNATURE_HEADERS[name] in credentials.hidden_headers


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
            STALE,
            schemes.NO_SIGNATURE.format(header="webhook-signature, or webhook-id,"),
            schemes.WRONG_SIGNATURE.format(header=delivery.shown),
            schemes.BAD_IDENTIFIER,
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
        authenticator = Prover("_standard-webhooks", secret.rstrip("=") if seed % 2 else secret)
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
        Prover("_standard-webhooks", base64.b64encode(b"key").decode()).verify_body(headers, body)
        digest = hmac.new("gehöim".encode(), body, "sha256").hexdigest()
        Prover("_hmac:X-Sum", "gehöim").verify_body({"x-sum": digest}, body)

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
        authenticator = Prover("_standard-webhooks", base64.b64encode(key).decode())
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
        assert refusal.sentence == schemes.BAD_IDENTIFIER
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
        assert refused(delivery.prove).sentence == STALE

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
        assert refused(
            lambda: delivery.prove(headers={"stripe-signature": value})
        ).sentence == schemes.WRONG_SIGNATURE.format(header="Stripe-Signature")

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
            schemes.hmac, "new", lambda key, *rest: made.append(key) or real(key, *rest)
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
