"""One instance for many tools: each sender is a real one, or signs with its vendor's library."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
import requests
import slack_sdk.signature
import standardwebhooks
import stripe
from cryptography.hazmat.primitives import hashes, hmac

from Tests.end_to_end.hostile import in_parallel
from Tests.end_to_end.sender import Answer, Sender, await_that, running, send

SOON = {"KEEPER_SECONDS": 0.5, "FLUSH_SECONDS": 0.1}
STANDARD, SVIX = (base64.b64encode(text).decode() for text in (b"standard-secret", b"svix-secret"))
LINES = f"""# eight tools
_hmac:X-Hub-Signature-256 It's a Secret to Everybody
_slack 8f742231b10e8888abcd99yyyzzz85a5
_stripe:Stripe-Signature whsec_stripe-secret
_standard-webhooks whsec_{STANDARD}
_standard-webhooks v1,whsec_{SVIX}
alertmanager pass word of Alertmanager
/okta _header:Authorization SSWS 00a1b2c3
_query:token query-t0ken-0123
"""

Headers = dict[str, str]


def github(body: bytes, secret: str) -> Headers:
    """Sign with OpenSSL's HMAC, as octokit's libraries do with Node's, which is OpenSSL's."""
    signature = hmac.HMAC(secret.encode(), hashes.SHA256())
    signature.update(body)
    return {
        "X-Hub-Signature-256": f"sha256={signature.finalize().hex()}",
        "X-GitHub-Event": "code_scanning_alert",
    }


def slack(body: bytes, secret: str) -> Headers:
    verifier = slack_sdk.signature.SignatureVerifier(secret)
    stamp = str(int(time.time()))
    signature = verifier.generate_signature(timestamp=stamp, body=body)
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": str(signature)}


def stripe_signature(body: bytes, secret: str) -> Headers:
    signature = stripe.WebhookSignature.generate_signature_header(body.decode(), secret)
    return {"Stripe-Signature": signature}


def standard(body: bytes, secret: str, sender: str = "webhook") -> Headers:
    now, identifier = datetime.now(UTC), f"msg_{time.monotonic_ns()}"
    return {
        f"{sender}-id": identifier,
        f"{sender}-timestamp": str(int(now.timestamp())),
        f"{sender}-signature": standardwebhooks.Webhook(secret).sign(
            identifier, now, body.decode()
        ),
    }


def svix(body: bytes, secret: str) -> Headers:
    """Sign as Svix does: Standard Webhooks is its scheme, under other names of headers."""
    return standard(body, secret, "svix")


class Tool(NamedTuple):
    """A tool of the eight: what it sends with, and what it is told with a wrong secret."""

    label: str  # of its line
    secret: str
    prove: Callable[[bytes, str], Headers]
    refusal: str
    path: str = ""

    def post(self, url: str, body: bytes, secret: str | None = None) -> Answer:
        headers = self.prove(body, self.secret if secret is None else secret)
        return send(url + self.path, body, {"Content-Type": "application/json", **headers})


class Alertmanager(Tool):
    """Basic authentication, by an HTTP client's own."""

    __slots__ = ()

    def post(self, url: str, body: bytes, secret: str | None = None) -> Answer:
        answer = requests.post(
            url, body, auth=("alertmanager", self.secret if secret is None else secret), timeout=20
        )
        return Answer(
            answer.status_code,
            {name.lower(): value for name, value in answer.headers.items()},
            answer.content,
        )


class UrlTool(Tool):
    """A tool that can only be given a URL."""

    __slots__ = ()

    def post(self, url: str, body: bytes, secret: str | None = None) -> Answer:
        answer = requests.post(
            url, body, params={"token": self.secret if secret is None else secret}, timeout=20
        )
        return Answer(answer.status_code, {"content-type": "application/json"}, answer.content)


def no_headers(body: bytes, secret: str) -> Headers:
    return {}


TOOLS = {
    "GitHub": Tool(
        "_hmac:X-Hub-Signature-256",
        "It's a Secret to Everybody",
        github,
        "The signature in X-Hub-Signature-256 does not match",
    ),
    "Slack": Tool(
        "_slack",
        "8f742231b10e8888abcd99yyyzzz85a5",
        slack,
        "The signature in X-Slack-Signature does not match",
    ),
    "Stripe": Tool(
        "_stripe:Stripe-Signature",
        "whsec_stripe-secret",
        stripe_signature,
        "The signature in Stripe-Signature does not match",
    ),
    "Standard Webhooks": Tool(
        "_standard-webhooks",
        STANDARD,
        standard,
        "The signature in webhook-signature does not match",
    ),
    "Svix": Tool(
        "_standard-webhooks", SVIX, svix, "The signature in webhook-signature does not match"
    ),
    "Alertmanager": Alertmanager(
        "alertmanager", "pass word of Alertmanager", no_headers, "by Basic authentication"
    ),
    "Okta": Tool(
        "/okta",
        "SSWS 00a1b2c3",
        lambda body, secret: {"Authorization": secret},
        "The token in the header Authorization",
        "/okta",
    ),
    "a URL with a token": UrlTool(
        "_query:token", "query-t0ken-0123", no_headers, "in the field token of the URL's query"
    ),
}
WRONG = {"Standard Webhooks": SVIX[:-8] + "AAAAAAA=", "Svix": STANDARD[:-8] + "AAAAAAA="}


@pytest.fixture(scope="module")
def shared() -> Iterator[Sender]:
    # The delays of a sender that guesses are tested elsewhere.
    constants = {"FIRST_DELAY_SECONDS": 0.0}
    with running(params={"more_credentials": LINES}, constants=constants) as sender:
        yield sender


def body_of(name: str) -> bytes:
    return json.dumps({"tool": name, "alert": "disk full"}).encode()


def test_eight_tools_share_an_instance_at_once(shared: Sender) -> None:
    """
    Given: one instance with a line for each of eight tools, and nothing else
    When: all of them send at the same time, several times
    Then: each delivery is an incident that names the line, and holds no secret
    """
    url = shared.sandbox.sender_url
    rounds = [tool.post for tool in TOOLS.values()] * 3
    names = list(TOOLS) * 3
    answers = in_parallel(
        [lambda post=post, name=name: post(url, body_of(name)) for post, name in zip(rounds, names)]
    )
    assert [answer.status for answer in answers] == [200] * 24
    stored = {incident["id"]: incident["rawJSON"] for incident in shared.sandbox.incidents()}
    for name, answer in zip(names, answers):
        text = stored[answer.json[0]["id"]]
        raw = json.loads(text)
        assert raw["tool"] == name
        assert raw["webhook"]["credential"] == TOOLS[name].label
        assert not any(tool.secret in text for tool in TOOLS.values())


@pytest.mark.parametrize("name", TOOLS)
def test_a_wrong_secret_is_refused_with_what_was_expected(shared: Sender, name: str) -> None:
    """
    Given: one of the eight tools
    When: it uses no secret of the instance, a part of its own, or another tool's
    Then: it is refused by a sentence that names its header or field; its own secret is accepted
    """
    tool, url = TOOLS[name], shared.sandbox.sender_url
    before = len(shared.sandbox.incidents())
    others = [other.secret for key, other in TOOLS.items() if key != name]
    if "Webhooks" in name or name == "Svix":
        others = []  # their secrets have to be base64, and prove both
    for secret in (WRONG.get(name, "wrong-secret"), *others):
        answer = tool.post(url, body_of(name), secret)
        assert answer.status == 401
        assert tool.refusal in answer.error
    assert len(shared.sandbox.incidents()) == before
    assert tool.post(url, body_of(name)).status == 200


def test_whoever_brings_nothing_is_told_what_is_expected(shared: Sender) -> None:
    assert shared.refused(b"{}") == (
        401,
        "The request has no credentials; this webhook expects X-Hub-Signature-256, "
        "X-Slack-Signature, Stripe-Signature, webhook-signature, Basic authentication or one of "
        "1 others.",
    )


def test_a_path_s_credential_opens_no_other_path(shared: Sender) -> None:
    headers = {"Authorization": "SSWS 00a1b2c3"}
    url = shared.sandbox.sender_url
    for path, status in (("/okta", 200), ("/okta/events", 200), ("", 401), ("/oktagon", 401)):
        assert send(url + path, b'{"n":1}', headers).status == status


def test_test_says_how_many_lines_it_understood() -> None:
    with running(params={"more_credentials": LINES}) as sender:
        assert sender.sandbox.run("test-module")[0]["Contents"] == "ok"
        assert any("More credentials: 8 understood." in text for _, text in sender.sandbox.logs)


def status_of(sender: Sender) -> dict[str, Any]:
    [entry] = sender.sandbox.run("generic-webhook-status")
    [(_, values)] = entry["EntryContext"].items()
    return dict(values)


def test_refusals_are_found_inside_xsoar() -> None:
    """
    Given: a GitHub webhook without the new header, as an old proxy leaves it
    When: its deliveries are refused five times, and then the header is right
    Then: the command lists them, and the health says what is missing until one succeeds
    """
    tool = TOOLS["GitHub"]
    own = {"credentials": {"identifier": "_hmac:X-Hub-Signature-256", "password": tool.secret}}
    with running(params=own, constants=SOON) as sender:
        for number in range(5):
            assert sender.refused(b"{}", path=f"/hook{number}", x_hub_signature="sha1=00")[0] == 401
        said = (
            "Deliveries from 127.0.0.1 are refused: "
            "X-Hub-Signature-256 is missing, X-Hub-Signature came."
        )
        await_that(lambda: said in str(sender.sandbox.health))
        await_that(lambda: len(status_of(sender)["Refusals"]) == 5)
        [newest, *_] = status_of(sender)["Refusals"]
        assert newest.pop("Time").endswith("Z")
        assert newest == {
            "Status": 401,
            "Address": "127.0.0.1",
            "Request": "POST /hook4",
            "Sentence": "The signature in X-Hub-Signature-256 is missing or unreadable; "
            "let the sender sign its deliveries with this webhook's secret.",
            "Came": "X-Hub-Signature",
            "Expected": "X-Hub-Signature-256",
        }
        [entry] = sender.sandbox.run("generic-webhook-status")
        assert "Last refusals" in entry["HumanReadable"] and "/hook4" in entry["HumanReadable"]
        assert tool.post(sender.sandbox.sender_url, b'{"n":1}').status == 200
        await_that(lambda: "are refused" not in str(sender.sandbox.health))


def test_ignored_events_are_answered_and_counted() -> None:
    params = {"ignore_when": "status=resolved, source!=prod\naction=ping"}
    with running(params=params, constants=SOON) as sender:
        for body in ({"status": "resolved"}, {"action": "Ping", "status": "firing"}):
            answer = sender.post(json.dumps(body))
            assert (answer.status, answer.json) == (200, [])
        assert len(sender.raws(b'{"status":"resolved","source":"prod"}')) == 1
        await_that(lambda: sum(status_of(sender)["Ignored"].values()) == 2)
        assert status_of(sender)["Ignored"] == {
            "status=resolved, source!=prod": 1,
            "action=ping": 1,
        }
        assert status_of(sender)["Counters"]["events ignored"] == 2


def test_an_open_instance_says_so_and_stays_green() -> None:
    with running(constants=SOON) as sender:
        said = "Anyone who can reach this webhook's URL can create incidents"
        await_that(lambda: any(said in text for _, text in sender.sandbox.logs))
        assert sender.raws(b'{"n":1}') == [{"n": 1}]
        assert not sender.sandbox.health
        assert sender.sandbox.run("test-module")[0]["Contents"] == "ok"
