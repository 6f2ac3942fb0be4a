"""Unit tests of SignatureSchemesApiModule.py: the schemes of single vendors, one row each."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import SignatureSchemesApiModule as schemes
import WebhookSecurityApiModule as security

from Tests.proving import SCHEMES, Prover

NOW = 1_700_000_000
ISO_NOW = "2023-11-14T22:13:20Z"
HUBSPOT_URL = "https://xsoar.example.com/instance/execute/hubspot"


class Signed(NamedTuple):
    """A delivery, and the parameters it proves itself to at NOW."""

    username: str
    password: str
    headers: dict[str, str]  # the signature first, then what else is signed
    body: bytes
    tolerance: int = 300
    query: str = ""

    def prove(self, **changes: Any) -> None:
        """Raise ProofError unless the delivery, with changes, passes."""
        changed = self._replace(**changes)
        authenticator = Prover(changed.username, changed.password)
        authenticator.verify_headers(changed.headers, changed.query)
        authenticator.verify_body(changed.headers, changed.body, changed.query)


DELIVERIES = {  # in the form of the vendors' documents, signed by openssl's command line
    "Zendesk": Signed(
        "_zendesk",
        "zendesk-secret",
        {
            "x-zendesk-webhook-signature": "alGwuLh/LBcbzLG62TCDtTILhhYhbcZQyiMh+jDwrBs=",
            "x-zendesk-webhook-signature-timestamp": ISO_NOW,
        },
        b'{"ticket":1}',
    ),
    "Microsoft Teams": Signed(
        "_teams",
        "YSBrZXkgb2YgdGVhbXMgaW4gYmFzZTY0",
        {"authorization": "HMAC 0Kz2GwuJQ/nYhlLKbX9M8JR/jFzbEARFwBP2GnYOtls="},
        b'{"text":"hi"}',
    ),
    "HubSpot": Signed(
        f"_hubspot:{HUBSPOT_URL}",
        "hubspot-client-secret",
        {
            "x-hubspot-signature-v3": "wacW5XffbgWnD2Q+ftlK0iMLf40JQVlbQzOs29fdPZE=",
            "x-hubspot-request-timestamp": f"{NOW}123",
        },
        b'{"a":1}',
    ),
    "GitGuardian": Signed(
        "_gitguardian",
        "gitguardian-token",
        {
            "gitguardian-signature": "sha256="
            "d154de839b3816b3af777a780f8cc359490a764f2061767ccf05322f065a734c",
            "timestamp": f"{NOW}",
        },
        b'{"incident":1}',
    ),
    "GitGuardian, fractions of a second": Signed(
        "_gitguardian",
        "gitguardian-token",
        {
            "gitguardian-signature": "sha256="
            "0acdde83550ffe26db8e056dd3dcbef5d8ae247d1317d31621cbab4fd151f22b",
            "timestamp": f"{NOW}.25",
        },
        b'{"incident":1}',
    ),
    "Rootly": Signed(
        "_rootly",
        "rootly-secret",
        {
            "x-rootly-signature": f"t={NOW}, "
            "v1=5e0b889bdb00927ed719322cae91616bcabe71862d42a9b9c76a53042f10953a"
        },
        b'{"event":{}}',
    ),
    "Verkada": Signed(
        "_verkada",
        "verkada-secret",
        {
            "verkada-signature": f"{NOW}|"
            "1056e8f9576b273edf4943b86a2e7480f6dc7181e296ab908820a6be2d1263fa"
        },
        b'{"data":{}}',
    ),
    "Paddle": Signed(
        "_paddle",
        "pdl_ntfset_secret",
        {
            "paddle-signature": f"ts={NOW};"
            "h1=05baa29ac78ebc4421d9a808c0ec0ca1ef283a0eeb96996c9055776551f67907"
        },
        b'{"event_id":"evt_1"}',
    ),
    "Twitch": Signed(
        "_twitch",
        "twitch-secret",
        {
            "twitch-eventsub-message-signature": "sha256="
            "9675c763b406eb9a2aef27ffc488ba1c823cd32edf95454d49405e17c45b1eaf",
            "twitch-eventsub-message-timestamp": "2023-11-14T22:13:20.634234626Z",
            "twitch-eventsub-message-id": "e76c6bd4-55c9-4987-8304-da1588d8988b",
        },
        b'{"event":{}}',
        tolerance=600,
    ),
    "Grafana": Signed(
        "_grafana:X-Grafana-Alerting-Timestamp",
        "grafana-secret",
        {
            "x-grafana-alerting-signature": (
                "5c7a4e78fa7be1fb646b9eb88b816ed67b1f0831f56985e84d548069fe345da3"
            ),
            "x-grafana-alerting-timestamp": f"{NOW}",
        },
        b'{"alerts":[]}',
    ),
    # the example of https://www.twilio.com/docs/usage/security
    "Twilio": Signed(
        "_twilio:https://mycompany.com/myapp.php?foo=1&bar=2",
        "12345",
        {"x-twilio-signature": "0/KCTR6DLpKmkAf8muzZqo1nDgQ="},
        b"CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234"
        b"&From=%2B12349013030&To=%2B18005551212",
        query="foo=1&bar=2",
    ),
    "Twilio, JSON": Signed(
        "_twilio:https://xsoar.example.com/instance/execute/twilio",
        "twilio-auth-token",
        {"x-twilio-signature": "tBYCHhTcNgMrO4TawoZcnoA6NCA="},
        b'{"Level":"ERROR"}',
        query="bodySHA256=a3f62020b0813d34b62bfa6b5702275c53b9f72edb59258202cd36bbb135c02e",
    ),
    "CrowdStrike": Signed(
        "_crowdstrike",
        "crowdstrike-secret-of-32-characters",
        {
            "x-cs-primary-signature": "wces7byWnlpFYDZscKfzU8xDxRVxEip/Rqd7KMNHMRw=",
            "x-cs-delivery-timestamp": ISO_NOW,
        },
        b'{"foo":"bar"}',
    ),
}
UNTIMED = ("Microsoft Teams", "Twilio", "Twilio, JSON")
TIMED = [name for name in DELIVERIES if name not in UNTIMED]


def spelled(delivery: Signed) -> str:
    """Return the signature's header as the row spells it."""
    row = schemes.SIGNATURE_SCHEMES[delivery.username.partition(":")[0]]
    return row.headers[0].split()[0]


@pytest.fixture(autouse=True)
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock to NOW, and return a function that sets it to another time."""

    def set_clock(now: float) -> None:
        monkeypatch.setattr(schemes.time, "time", lambda: now)

    set_clock(NOW)
    return set_clock


def refused(prove: Callable[..., Any], *args: Any, **named: Any) -> security.ProofError:
    with pytest.raises(security.ProofError) as refusal:
        prove(*args, **named)
    return refusal.value


@pytest.mark.parametrize("name", DELIVERIES)
class TestVendors:
    def test_what_the_vendor_signs_is_authenticated(self, name: str) -> None:
        DELIVERIES[name].prove()

    def test_a_changed_body_secret_or_header_is_refused(self, name: str) -> None:
        delivery = DELIVERIES[name]
        for body in (b"", delivery.body + b" ", b" " + delivery.body, delivery.body[1:]):
            sentence = refused(delivery.prove, body=body).sentence
            assert sentence == schemes.WRONG_SIGNATURE.format(header=spelled(delivery))
        refused(delivery.prove, password=delivery.password[:-4] + "AAAA")
        for header, value in delivery.headers.items():
            for changed in (value[:-2], value + "0", "0" + value, re.sub("[3-9]", "2", value), ""):
                refused(delivery.prove, headers={**delivery.headers, header: changed})
            without = {key: text for key, text in delivery.headers.items() if key != header}
            refused(delivery.prove, headers=without)

    def test_without_its_signature_it_may_be_a_handshake(self, name: str) -> None:
        delivery = DELIVERIES[name]
        signature = next(iter(delivery.headers))
        headers = {key: text for key, text in delivery.headers.items() if key != signature}
        refusal = refused(delivery.prove, headers=headers)
        assert isinstance(refusal, security.MissingCredentials)
        assert refusal.sentence == schemes.NO_SIGNATURE.format(header=spelled(delivery))
        credentials = Prover(delivery.username, delivery.password).credentials
        assert credentials.hidden_headers == {signature}

    def test_one_of_two_secrets_is_enough_and_no_part_of_one_is(self, name: str) -> None:
        delivery = DELIVERIES[name]
        other = "YW5vdGhlciBrZXk="
        delivery.prove(password=f"{other}\n{delivery.password}")
        refused(delivery.prove, password=other)

    def test_characters_moved_between_what_is_signed_are_refused(
        self, name: str, at: Callable[[float], None]
    ) -> None:
        """
        Given: a captured delivery, in which the timestamp, the ID and the body stand side by side
        When: up to twenty characters are moved from each to each other, whatever the clock says
        Then: it is refused
        """
        delivery = DELIVERIES[name]
        parts = {key: text for key, text in delivery.headers.items() if "signature" not in key}
        parts.pop("authorization", None)
        texts = {**parts, "body": delivery.body.decode()}
        for source in texts:
            for target in texts.keys() - {source}:
                for count in range(1, 21):
                    for moved in (texts[source][:count], texts[source][-count:]):
                        for changed in (texts[target] + moved, moved + texts[target]):
                            shifted = {**texts, target: changed}
                            shifted[source] = (
                                texts[source][count:]
                                if moved == texts[source][:count]
                                else texts[source][:-count]
                            )
                            body = shifted.pop("body").encode()
                            refused(
                                delivery.prove, headers={**delivery.headers, **shifted}, body=body
                            )


@pytest.mark.parametrize("name", TIMED)
class TestTimestamps:
    def test_it_holds_for_minutes(self, name: str, at: Callable[[float], None]) -> None:
        delivery = DELIVERIES[name]
        for seconds in (1 - delivery.tolerance, delivery.tolerance - 1):
            at(NOW + seconds)
            delivery.prove()
        for seconds in (-delivery.tolerance - 1, delivery.tolerance + 1, 10**9):
            at(NOW + seconds)
            minutes = delivery.tolerance // 60
            assert refused(delivery.prove).sentence == (
                schemes.STALE_TIMESTAMP.format(minutes=minutes)
            )

    @pytest.mark.parametrize(
        "stamp", ["", "soon", "2023-13-99T99:99:99Z", "2023-11-14", "1e9", "é"]
    )
    def test_a_text_that_is_not_a_time_is_refused(self, name: str, stamp: str) -> None:
        delivery = DELIVERIES[name]
        headers = {
            key: re.sub(r"\d{10,}|2023\S+Z", stamp, text, count=1)
            for key, text in delivery.headers.items()
        }
        refused(delivery.prove, headers=headers)


class TestRows:
    def test_twitch_names_its_deliveries(self) -> None:
        delivery = DELIVERIES["Twitch"]
        authenticator = Prover(delivery.username, delivery.password)
        assert authenticator.credentials.identifies
        assert (
            authenticator.event_id(delivery.headers)
            == delivery.headers["twitch-eventsub-message-id"]
        )

    @pytest.mark.parametrize("identifier", ["{timestamp}", "msg_{timestamp}", "{id}", "{body}"])
    def test_braces_in_an_id_stand_for_nothing(self, identifier: str) -> None:
        """
        Given: a delivery whose ID is what a placeholder stands for
        When: the placeholder itself is sent as its ID
        Then: it is refused, and one that was signed with the placeholder is not
        """
        key = b"a key of Standard Webhooks"
        password = base64.b64encode(key).decode()
        for signed, good in (
            (identifier, True),
            (identifier.replace("{timestamp}", str(NOW)), False),
        ):
            digest = hmac.digest(key, f"{signed}.{NOW}.{{}}".encode(), "sha256")
            headers = {
                "webhook-signature": "v1," + base64.b64encode(digest).decode(),
                "webhook-timestamp": str(NOW),
                "webhook-id": identifier,
            }
            delivery = Signed("_standard-webhooks", password, headers, b"{}")
            if good or signed == identifier:
                delivery.prove()
            else:
                refused(delivery.prove)

    @pytest.mark.parametrize(
        "name", [n for n in DELIVERIES if n not in ("Microsoft Teams", "Grafana")]
    )
    def test_hmac_refuses_a_header_that_signs_more(self, name: str) -> None:
        header, scheme = next(iter(DELIVERIES[name].headers)), DELIVERIES[name].username
        with pytest.raises(
            security.CredentialError, match="signs more than the body; write _"
        ) as error:
            Prover(f"_hmac:{header}", "s3cret")
        assert f"write {scheme.partition(':')[0]}" in str(error.value)

    @pytest.mark.parametrize(
        "header", ["Authorization", "X-Grafana-Alerting-Signature", "X-Semgrep-Signature-256"]
    )
    def test_hmac_takes_headers_that_may_sign_the_body_alone(self, header: str) -> None:
        digest = hmac.new(b"s3cret", b"{}", "sha256").hexdigest()
        authenticator = Prover(f"_hmac:{header}", "s3cret")
        authenticator.verify_body({header.lower(): f"sha256={digest}"}, b"{}")

    @pytest.mark.parametrize(
        "username, words",
        [
            ("_zendesk:X", "_zendesk takes no header name; write _zendesk."),
            ("_hubspot", "write _hubspot:<URL>, such as _hubspot:https://"),
            ("_hubspot:xsoar.example.com", "write _hubspot:<URL>"),
            ("_hubspot:https://h/ x", "write _hubspot:<URL>"),
            ("_grafana", "write _grafana:<HEADER-NAME>"),
            ("_github", "there is no scheme _github; write one of _header:<HEADER-NAME>"),
            ("_github:X", "there is no scheme _github"),
            ("_admin", "or for Basic a name that begins otherwise."),
            ("_", "there is no scheme _;"),
            ("_slak", "there is no scheme _slak; write _slack."),
            ("header:X-Token", "write _header:<HEADER-NAME>"),
            ("Hmac:X", "write _hmac:<HEADER-NAME>"),
            ("query:token", "write _query:<FIELD-NAME>"),
            ("slack:", "a scheme begins with _; write _slack."),
        ],
    )
    def test_a_username_that_tries_to_name_a_scheme_fails(self, username: str, words: str) -> None:
        with pytest.raises(security.CredentialError, match=r"^Username: ") as error:
            Prover(username, "s3cret-value")
        assert words in str(error.value)

    @pytest.mark.parametrize("scheme", [*security.TOKEN_SCHEMES, *SCHEMES])
    @pytest.mark.parametrize(
        "name", ["", ":", ": ", ":X-Token", ":token", ":https://h/x", ":é", "::"]
    )
    def test_whatever_is_entered_is_used_or_refused_with_a_sentence(
        self, scheme: str, name: str
    ) -> None:
        """
        Given: a scheme, with or without a name, and passwords that may not fit
        When: the parameters are read, and a request proves nothing
        Then: the mistake is named, or the request is refused
        """
        for password in ("", " ", "x", "\n", "whsec_", "arn:aws:sns:a:1:b", "YQ=="):
            try:
                authenticator = Prover(f"{scheme}{name}", password)
            except security.CredentialError as error:
                assert error.field in ("Username", "Password") and error.fix.endswith(".")
            else:
                refused(authenticator.verify_headers, {})

    @pytest.mark.parametrize(
        "query, body",
        [
            ("", b"a=" + b"x" * 70_000),
            ("", b"&".join(b"a=1" for _ in range(300))),
            ("bodySHA256=00", b"{}"),
            ("bodySHA256=" + hashlib.sha256(b"{}").hexdigest() + "&bodySHA256=00", b"{}"),
        ],
    )
    def test_what_twilio_never_sends_is_not_hashed(self, query: str, body: bytes) -> None:
        delivery = DELIVERIES["Twilio"]._replace(query=query, body=body)
        assert "does not match" in refused(delivery.prove).sentence

    def test_a_query_of_twilio_s_url_is_a_part_of_it(self) -> None:
        """
        Given: a URL with a query string, and a body that is not a form
        When: Twilio adds the body's hash to the URL and signs that
        Then: it is authenticated, whatever else a stranger puts into the query string
        """
        digest = hashlib.sha256(b"{}").hexdigest()
        url = "https://xsoar.example.com/hook?a=1"
        signed = hmac.digest(b"s3cret", f"{url}&bodySHA256={digest}".encode(), "sha1")
        Signed(
            f"_twilio:{url}",
            "s3cret",
            {"x-twilio-signature": base64.b64encode(signed).decode()},
            b"{}",
            query=f"a=1&bodySHA256={digest}",
        ).prove()

    def test_an_id_that_shifts_the_timestamp_is_refused_by_the_hash_too(self) -> None:
        verifier = schemes.make_verifier("_standard-webhooks", "", ["bmV3IHNlY3JldA=="])
        headers = {
            "webhook-id": "a.1",
            "webhook-timestamp": str(NOW),
            "webhook-signature": "v1," + "A" * 43 + "=",
        }
        assert verifier.find(headers, "", b"{}", ["bmV3IHNlY3JldA=="])[0] == []
        assert verifier.find({}, "", b"{}", ["bmV3IHNlY3JldA=="])[0] == []

    def test_a_token_of_teams_is_base64(self) -> None:
        with pytest.raises(security.CredentialError, match=r"^Password: copy the security token"):
            Prover("_teams", "no base64!")
