"""Unit tests of WebhookSecurityApiModule.py: what a stranger's request may cost."""

import functools
import hmac
import time
from collections.abc import Callable

import pytest
import WebhookSecurityApiModule as security

from Tests.costs import assert_patterns_are_linear, cpu_milliseconds
from Tests.proving import Prover, read_credentials

WORST_CASES: dict[str, Callable[[int], str]] = {
    "TYPED_HEADER_NAME": lambda n: "a" * n + " ",
    "PLACEHOLDER": lambda n: "<" + "a" * n,
    "TYPED_FIELD_NAME": lambda n: "a" * n + " ",
    "NOT_IN_HEADERS": lambda n: "a" * n,
    "ECHOED": lambda n: "a" * n,
    "HOOK_SECRET": lambda n: "a" * n,
    "HEX_SECRET": lambda n: "a" * n,
    "TYPED_PATH": lambda n: "/" + "a" * n + " ",
    "WHITE_SPACE": lambda n: " " * n,
}


class TestCosts:
    def test_each_regular_expression_is_linear_in_its_worst_case(self) -> None:
        assert_patterns_are_linear(security, WORST_CASES)


HEAD_BYTES = 32 * 1024
NASTY = [
    *(
        "a",
        "a,",
        "a ",
        "=",
        ",",
        " ",
        "v0=a,",
        "v1=aa,",
        "v1,a ",
        "t=1,",
        "sha256=a,",
        "\xff",
        "%41",
    ),
    *("+", "%", "&", "a=1&", "token=1&", "%74oken=1&", "a%41&", "\xff&", "0" * 64 + ",", "a=\xff&"),
    *(
        "v1=" + "0" * 64 + ",",
        "v1," + "A" * 43 + "= ",
        "Basic ",
        "{",
        "[",
        '"challenge":',
        "hub.mode=1&",
    ),
]
SCHEMES = {
    "user": {"authorization": "{}"},
    "_header:X-Token": {"x-token": "{}"},
    "_query:token": {},
    "_hmac:X-Sum": {"x-sum": "{}"},
    "_hmac-sha1:X-Sum": {"x-sum": "{}"},
    "_hmac-sha512:X-Sum": {"x-sum": "{}"},
    "_slack": {"x-slack-signature": "{}", "x-slack-request-timestamp": "{now}"},
    "_zoom": {"x-zm-signature": "{}", "x-zm-request-timestamp": "{now}"},
    "_stripe:X-Sum": {"x-sum": "t={now},{}"},
    "_standard-webhooks": {
        "webhook-signature": "{}",
        "webhook-timestamp": "{now}",
        "webhook-id": "msg_1",
    },
}


class TestStrangers:
    @pytest.mark.parametrize("username", SCHEMES)
    @pytest.mark.parametrize("prefix", ["", "Basic ", "sha256=", "v1="])
    def test_a_refusal_is_cheap_whatever_the_head_holds(self, username: str, prefix: str) -> None:
        """
        Given: heads of 32 KiB full of what is expensive to read, and small bodies
        When: they are refused, by their headers or by their signature, and looked at as handshakes
        Then: each takes at most 3 ms of processor time
        """
        password = "s3cret-value\nan0ther-value" if username != "user" else "s3cret-value"
        if username == "_standard-webhooks":
            password = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        credentials = read_credentials(username, password)
        for piece in NASTY:
            text = prefix + piece * ((HEAD_BYTES - 100) // len(piece))
            now = str(int(time.time()))
            headers = {
                name: value.replace("{now}", now).replace("{}", text)
                for name, value in SCHEMES[username].items()
            }
            for given, query in ((headers, ""), ({}, text), (headers, text[:1000])):
                for method in ("POST", "GET"):
                    request = functools.partial(refuse, credentials, method, given, query)
                    assert cpu_milliseconds(request, 3) < 3, (method, piece, query[:20])

    def test_a_signature_after_many_others_is_not_looked_at(self) -> None:
        """
        Given: a header with a right signature behind fifteen others, and behind sixteen
        When: it is verified
        Then: the first passes, and the second is refused without being compared
        """
        right = hmac.new(b"s3cret-value", b"{}", "sha256").hexdigest()
        authenticator = Prover("_hmac:S", "s3cret-value")
        authenticator.verify_body({"s": f"{'0' * 64}," * 15 + right}, b"{}")
        with pytest.raises(security.ProofError):
            authenticator.verify_body({"s": f"{'0' * 64}," * 16 + right}, b"{}")


def refuse(
    credentials: security.Credentials, method: str, headers: dict[str, str], query: str
) -> None:
    """Do what the server does with a stranger's request: refuse it, and look for a handshake."""
    body = b'{"challenge":' * 600 if method == "POST" else b""
    proof = credentials.verify_head("/", headers, query)
    assert not proof.by_head
    if proof.pending:
        with pytest.raises(security.ProofError):
            credentials.verify_body(proof, body)
    request = security.HandshakeRequest(method, headers, query, body)
    assert security.answer_handshake(request, credentials, False) is None or not query
    assert "hub.verify_token" not in request.fields
