"""Unit tests of WebhookSecurityApiModule.py."""

import base64
import hmac
import time
import urllib.parse
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks
import WebhookSecurityApiModule as security

from Tests.proving import Prover

PASSWORD = "s3cret-value"
PHRASE = "It's a Secret to Everybody"  # GitHub's example


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def refused(prove: Callable[..., Any], *args: Any, **named: Any) -> security.ProofError:
    with pytest.raises(security.ProofError) as refusal:
        prove(*args, **named)
    return refusal.value


# ---- authentication


HALF = "it is empty while the other of the two is not; fill in both, or neither."
MALFORMED = "what follows _header is missing or has another form"
BAD_HEADER = f"Username: {MALFORMED}; write _header:<HEADER-NAME>, such as _header:Authorization."
BAD_TOKEN = "Password: no header can carry it: remove its control characters."


class TestAuthentication:
    def test_without_credentials_everybody_may_send(self) -> None:
        """
        Given: neither username nor password
        When: a request arrives without any header
        Then: it is authenticated
        """
        authenticator = Prover("", "")
        authenticator.verify_headers({})
        authenticator.verify_body({}, b"")
        assert authenticator.event_id({}) is None
        assert authenticator.credentials.signing_key("/", {}, "", b"") == b""

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
        authenticator = Prover(username, password)
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
        authenticator = Prover("user", "pass")
        refusal = refused(lambda: authenticator.verify_headers(headers))
        assert refusal.challenge == 'Basic realm="Generic Webhook", charset="UTF-8"'
        assert refusal.sentence == (
            "The username or password is missing or wrong; send those of this webhook by Basic "
            "authentication (curl -u user:password)."
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
        authenticator = Prover(username, password)
        assert [text.decode() for text in authenticator.credentials.secrets] == secret
        assert authenticator.credentials.hidden_headers == ({header} if header else set())

    def test_credentials_that_cannot_be_used_authenticate_nobody(self) -> None:
        """
        Given: a webhook whose credentials are half filled in
        When: a request arrives, with credentials or without
        Then: the refusal says where to look, and is never mistaken for missing credentials
        """
        for headers in ({}, basic("user:pass"), basic("user:")):
            refusal = security.Credentials(denied=True).verify_head("/", headers).refusal
            assert refusal is not None
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
        authenticator = Prover("_header:X-Token", value)
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
                "The token in the header X-Token is missing or wrong; send that of this webhook."
            )

    @pytest.mark.parametrize(
        "username, password, mistake",
        [
            ("user", "", f"Password: {HALF}"),
            ("", "pass", f"Username: {HALF}"),
            ("_header", "x", BAD_HEADER),
            ("_header:", "x", BAD_HEADER),
            (
                "_headers:X-Token",
                "x",
                BAD_HEADER.replace(MALFORMED, "there is no scheme _headers"),
            ),
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
            Prover(username, password)
        assert str(error.value) == mistake == f"{error.value.field}: {error.value.fix}"


def prove_with(authenticator: Prover, username: str, secret: str) -> None:
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
    authenticator.verify_body(headers, b"{}", "token=" + urllib.parse.quote(secret))


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
        authenticator = Prover("_header:X-Token", password)
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
        authenticator = Prover(username, password)
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
        authenticator = Prover("_standard-webhooks", shown.format(secret))
        authenticator.verify_headers(headers)
        authenticator.verify_body(headers, b"{}")

    def test_two_headers_are_not_the_value_they_are_joined_to(self) -> None:
        authenticator = Prover("_header:X-Token", "a, b")
        authenticator.verify_headers({"x-token": "a, b"}, "")
        authenticator.verify_headers(
            {"x-token": "a, b", "x-other": "c, d"}, "", frozenset({"x-other"})
        )
        refused(
            lambda: authenticator.verify_headers({"x-token": "a, b"}, "", frozenset({"x-token"}))
        )

    def test_basic_takes_its_password_whole(self) -> None:
        authenticator = Prover("user", "old-secret new-secret")
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
        authenticator = Prover("_query:token", password)
        authenticator.verify_headers({}, query)
        assert authenticator.credentials.hidden_fields == {"token"}
        assert not authenticator.credentials.only_sign

    @pytest.mark.parametrize("name", ["k", "my.field", "größe", "a[b]", "alert"])
    def test_a_field_of_any_name_is_hidden(self, name: str) -> None:
        authenticator = Prover(f"_query: {name}", "t0ken-1")
        for written in (urllib.parse.quote(name), name.encode().decode("latin-1")):
            query = f"{written}=t0ken-1&host=db1"
            authenticator.verify_headers({}, query)
            assert authenticator.credentials.hidden_fields == {name}

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
        authenticator = Prover("_query:token", "t0ken-1")
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
        assert Prover(username, "s").credentials.hidden_headers == {"x-sum"}

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
            ("_slack:X-Slack-Signature", "_slack takes no header name; write _slack."),
            ("_standard-webhook", "write _standard-webhooks."),
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
            Prover(username, PASSWORD)
        assert words in str(mistake.value)

    @pytest.mark.parametrize(
        "username", ["svc_webhook", "admin_", "user:name", "slack", "teams", "headers:X"]
    )
    def test_a_user_s_name_may_look_like_a_scheme(self, username: str) -> None:
        authenticator = Prover(username, "pass")
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
            ("_hmac:X-Sum", "half \ud800", "half of a surrogate"),
            ("user", "\udfff", "half of a surrogate"),
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
            Prover(username, password)
        assert words in str(mistake.value)
        assert password.strip()[8:] == "" or password.strip()[8:] not in str(mistake.value)
