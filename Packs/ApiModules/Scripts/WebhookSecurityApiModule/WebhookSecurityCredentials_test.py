"""Unit tests of WebhookSecurityApiModule.py: several credentials in one instance."""

import base64
import functools
import hmac
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import WebhookSecurityApiModule as security

from Tests.costs import cpu_milliseconds
from Tests.proving import SCHEMES

BODY = b'{"alert":"disk full"}'


def read_lines(text: str) -> tuple[list[security.Credential], list[str]]:
    """Return the credentials of More credentials, and what is wrong with it."""
    problems: list[str] = []
    return security.read_more_credentials(text, SCHEMES, problems.append), problems


def credentials_of(text: str, username: str = "", password: str = "") -> security.Credentials:
    rows, problems = read_lines(text)
    assert problems == []
    own = security.read_credentials(username, password, SCHEMES)
    return security.Credentials([*own, *rows], SCHEMES)


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def hmac_of(secret: str, body: bytes = BODY) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()


def slack(secret: str, body: bytes = BODY) -> dict[str, str]:
    now = str(int(time.time()))
    digest = hmac.new(secret.encode(), f"v0:{now}:".encode() + body, "sha256").hexdigest()
    return {"x-slack-signature": f"v0={digest}", "x-slack-request-timestamp": now}


def proved(
    credentials: security.Credentials,
    headers: dict[str, str],
    path: str = "/",
    query: str = "",
    body: bytes = BODY,
) -> str:
    """Return the label of the credential that proves a request; raises ProofError."""
    proof = credentials.verify_head(path, headers, query)
    if proof.refusal is not None:
        raise proof.refusal
    if proof.pending:
        return credentials.verify_body(proof, body).label
    assert proof.credential is not None
    return proof.credential.label


def refused(credentials: security.Credentials, headers: dict[str, str], **named: Any) -> str:
    with pytest.raises(security.ProofError) as refusal:
        proved(credentials, headers, **named)
    return refusal.value.sentence


LINES = """
# who may send
alice pass word
_header:X-Api-Key Bearer 12 34
/okta _header:Authorization SSWS t0ken
_query:token q-t0ken
_hmac:X-Hub-Signature-256 open the door
/slack/ _slack 8f742231b10e8888abcd99yyyzzz85a5
\t_slack other-slack-secret\r
_sns
"""


class TestLines:
    def test_a_line_is_a_path_a_scheme_and_a_secret_with_its_blanks(self) -> None:
        rows, problems = read_lines(LINES)
        assert problems == []
        assert [tuple(row) for row in rows] == [
            ("", "alice", "pass word", "", "alice"),
            ("_header", "X-Api-Key", "Bearer 12 34", "", "_header:X-Api-Key"),
            ("_header", "Authorization", "SSWS t0ken", "/okta", "/okta"),
            ("_query", "token", "q-t0ken", "", "_query:token"),
            ("_hmac", "X-Hub-Signature-256", "open the door", "", "_hmac:X-Hub-Signature-256"),
            ("_slack", "", "8f742231b10e8888abcd99yyyzzz85a5", "/slack", "/slack"),
            ("_slack", "", "other-slack-secret", "", "_slack"),
            ("_sns", "", "", "", "_sns"),
        ]

    @pytest.mark.parametrize("text", ["", "\n\n", "  # nothing\n#\n", "\r\n \t\r"])
    def test_comments_and_empty_lines_are_nothing(self, text: str) -> None:
        assert read_lines(text) == ([], [])

    @pytest.mark.parametrize(
        "line, words",
        [
            ("_slak s3cretvalue", "there is no scheme _slak; write _slack <secret>."),
            ("_github s3cretvalue", "there is no scheme _github; write one of _header:"),
            ("_hmac s3cretvalue", "write _hmac:<HEADER-NAME> <secret>, such as"),
            ("_hmac:X-Slack-Signature s3cretvalue", "signs more than the body; write _slack."),
            (
                "header:X-Token s3cretvalue",
                "a scheme begins with _; write _header:<HEADER-NAME> <secret>",
            ),
            ("alice", "the secret is missing; write [/path] <scheme or user> <secret>."),
            ("/path", "write [/path] <scheme or user> <secret>."),
            ("/path alice", "the secret is missing;"),
            ("/a?b alice s3cretvalue", "write the path as in the URL, such as /okta."),
            ("/a#b alice s3cretvalue", "write the path as in the URL"),
            ("_slack xoxb-s3cretvalue", "it is a token; copy the Signing Secret"),
            ("_standard-webhooks whsec_s3cretvalue%", "whsec_ followed by base64"),
            ("_header:X-Token s3cret\x01value", "no header can carry it"),
            ("_sns s3cretvalue", "enter the ARNs of the topics"),
            ("alice s3cretvalue\ud800", "half of a surrogate"),
        ],
    )
    def test_a_wrong_line_is_named_by_its_number_and_never_by_its_secret(
        self, line: str, words: str
    ) -> None:
        """
        Given: a line that cannot be used, between two that can
        When: the parameter is read
        Then: the problem has its number and the fix, nothing of the secret, and the others count
        """
        rows, [problem] = read_lines(f"alice one\n{line}\nbob two")
        assert problem.startswith("Line 2: ") and words in problem
        assert "s3cret" not in problem and "value" not in problem
        assert [row.label for row in rows] == ["alice", "bob"]

    def test_there_are_a_hundred_at_most(self) -> None:
        rows, problems = read_lines("\n".join(f"user{n} pass" for n in range(101)))
        assert len(rows) == 100
        assert problems == ["it has more than 100 credentials; the rest do not count."]


class TestProof:
    @pytest.fixture
    def credentials(self) -> security.Credentials:
        return credentials_of(LINES, "own", "own-pass")

    @pytest.mark.parametrize(
        "headers, query, path, label",
        [
            (basic("own", "own-pass"), "", "/", ""),
            (basic("alice", "pass word"), "", "/any/path", "alice"),
            ({"x-api-key": "Bearer 12 34"}, "", "/", "_header:X-Api-Key"),
            ({"authorization": "SSWS t0ken"}, "", "/okta", "/okta"),
            ({"authorization": "SSWS t0ken"}, "", "/okta/events", "/okta"),
            ({}, "a=1&token=q-t0ken", "/", "_query:token"),
            (
                {"x-hub-signature-256": hmac_of("open the door")},
                "",
                "/",
                "_hmac:X-Hub-Signature-256",
            ),
            ("other-slack-secret", "", "/slack", "_slack"),
            ("8f742231b10e8888abcd99yyyzzz85a5", "", "/slack", "/slack"),
        ],
    )
    def test_any_of_them_proves_the_sender(
        self,
        credentials: security.Credentials,
        headers: dict[str, str] | str,
        query: str,
        path: str,
        label: str,
    ) -> None:
        headers = slack(headers) if isinstance(headers, str) else headers  # with the time of now
        assert proved(credentials, headers, path, query) == label
        # What proves nothing does not hurt what does.
        noise = {"x-api-key": "wrong", "x-hub-signature-256": hmac_of("wrong")}
        assert proved(credentials, {**noise, **headers}, path, query) == label

    @pytest.mark.parametrize(
        "headers, query, path",
        [
            (basic("alice", "pass"), "", "/"),
            (basic("own", "pass word"), "", "/"),
            (basic("alice", "own-pass"), "", "/"),
            ({"x-api-key": "Bearer"}, "", "/"),
            ({"x-api-key": "12"}, "", "/"),
            ({"x-api-key": "SSWS t0ken"}, "", "/"),
            ({"authorization": "SSWS t0ken"}, "", "/"),
            ({"authorization": "SSWS t0ken"}, "", "/oktagon"),
            ({"authorization": "SSWS t0ken"}, "", "/okta/../slack"),
            ({"authorization": "SSWS t0ken"}, "", "/okta/.."),
            ({}, "token=q-t0ken&token=q-t0ken", "/"),
            ({}, "Token=q-t0ken", "/"),
            ({"x-hub-signature-256": hmac_of("open")}, "", "/"),
            ({"x-hub-signature-256": hmac_of("pass word")}, "", "/"),
            ("8f742231b10e8888abcd99yyyzzz85a5", "", "/"),
        ],
    )
    def test_nothing_else_does(
        self,
        credentials: security.Credentials,
        headers: dict[str, str] | str,
        query: str,
        path: str,
    ) -> None:
        headers = slack(headers) if isinstance(headers, str) else headers
        refused(credentials, headers, path=path, query=query)

    def test_the_longest_path_names_the_credential(self) -> None:
        credentials = credentials_of("bob same\n/a bob same\n/a/b bob same")
        for path, label in (("/", "bob"), ("/a", "/a"), ("/a/b/c", "/a/b"), ("/a/bc", "/a")):
            assert proved(credentials, basic("bob", "same"), path) == label

    def test_a_head_is_enough_where_it_proves_the_sender(
        self, credentials: security.Credentials
    ) -> None:
        """
        Given: a request with a right token and a signature
        When: its head is looked at
        Then: its body does not have to be hashed
        """
        headers = {**basic("alice", "pass word"), "x-hub-signature-256": hmac_of("wrong")}
        proof = credentials.verify_head("/", headers)
        assert proof.by_head and proof.pending == ()
        assert not credentials.only_sign and credentials_of("_slack abcdef").only_sign

    def test_what_must_never_be_shown_is_known(self, credentials: security.Credentials) -> None:
        texts = credentials.texts_to_hide()
        assert {"own-pass", "pass word", "q-t0ken", "open the door", "alice:pass word"} <= texts
        assert credentials.hidden_fields == {"token"}
        assert {"authorization", "x-api-key", "x-slack-signature"} <= credentials.hidden_headers
        assert b"own-pass" in credentials.secrets and b"SSWS t0ken" in credentials.secrets

    def test_a_delivery_is_known_by_the_id_of_the_scheme_that_proved_it(self) -> None:
        credentials = credentials_of("alice pass\n_standard-webhooks bmV3IHNlY3JldA==")
        alice, standard = credentials.rows
        headers = {"webhook-id": "msg_1", "webhook-signature": "v1,x"}
        assert credentials.identifies
        assert credentials.event_id(standard, headers) == "msg_1"
        assert credentials.event_id(alice, headers) is None
        unknown = alice._replace(name="bob")
        assert credentials.event_id(unknown, headers) is None

    def test_meta_s_token_is_one_that_counts_for_the_path(self) -> None:
        credentials = credentials_of("/meta _hmac:X-Hub-Signature-256 meta-secret\nalice pass")
        assert credentials.knows("/meta", b"meta-secret")
        assert not credentials.knows("/", b"meta-secret")
        assert not credentials.knows("/meta", b"")

    def test_the_topics_of_amazon_sns_are_no_secrets(self) -> None:
        """
        Given: lines for any topic of Amazon SNS, and for one
        When: a stranger knows a topic, or sends nothing, as the token of Meta
        Then: that is no secret of the instance, and nothing of it is hidden
        """
        credentials = credentials_of("_sns\n_sns arn:aws:sns:eu-west-1:123456789012:alerts")
        for text in (b"", b"arn:aws:sns:eu-west-1:123456789012:alerts"):
            assert not credentials.knows("/", text)
        assert credentials.texts_to_hide() == set() and credentials.secrets == ()


class TestRefusals:
    @pytest.mark.parametrize(
        "lines, headers, path, sentence",
        [
            (
                "alice pass\n_slack secret1\n_hmac:X-Hub-Signature-256 secret2\n_query:token t0ken",
                {},
                "/",
                "The request has no credentials; this webhook expects Basic authentication, "
                "X-Slack-Signature, X-Hub-Signature-256 or the query field token.",
            ),
            (
                "\n".join(f"_header:X-Token-{n} t0ken" for n in range(8)),
                {},
                "/",
                "The request has no credentials; this webhook expects X-Token-0, X-Token-1, "
                "X-Token-2, X-Token-3, X-Token-4 or one of 3 others.",
            ),
            (
                "/a alice pass\n/b bob pass",
                {},
                "/",
                "The request has no credentials; this webhook expects credentials of another path.",
            ),
            (
                "/a alice pass\n/b _hmac:X-Sum secret",
                {"x-sum": hmac_of("wrong")},
                "/b",
                "The signature in X-Sum does not match; "
                "use the same secret on both ends, and sign the body's bytes as they are sent.",
            ),
            (
                "_header:X-Token t0ken\n_hmac:X-Sum secret",
                {"x-token": "wrong", "x-sum": "none"},
                "/",
                "The token in the header X-Token is missing or wrong; send that of this webhook. "
                "The signature in X-Sum is missing or unreadable; "
                "let the sender sign its deliveries with this webhook's secret.",
            ),
            (
                "_hmac:X-Sum secret\n_hmac:X-Other secret",
                {"x-sum": hmac_of("wrong"), "x-other": hmac_of("wrong")},
                "/",
                "The signature in X-Sum does not match; "
                "use the same secret on both ends, and sign the body's bytes as they are sent. "
                "The signature in X-Other does not match; "
                "use the same secret on both ends, and sign the body's bytes as they are sent.",
            ),
        ],
    )
    def test_a_refusal_names_what_came_or_was_expected(
        self, lines: str, headers: dict[str, str], path: str, sentence: str
    ) -> None:
        assert sorted(refused(credentials_of(lines), headers, path=path)) == sorted(sentence)

    def test_a_browser_is_asked_for_a_password_where_basic_counts(self) -> None:
        credentials = credentials_of("/a alice pass\n_slack secret")
        for path, asked in (("/a", security.BASIC_CHALLENGE), ("/", "")):
            refusal = credentials.verify_head(path, {}).refusal
            assert refusal is not None and refusal.challenge == asked

    def test_only_who_brings_nothing_may_send_a_handshake(self) -> None:
        credentials = credentials_of("alice pass\n_slack secret\n_query:token t0ken")
        for headers, query, is_missing in (
            ({}, "", True),
            ({"x-other": "1"}, "a=1", True),
            (basic("alice", "wrong"), "", False),
            ({"x-slack-signature": "x"}, "", False),
            ({}, "token=x", False),
            ({}, "a&" * 1000, False),
        ):
            refusal = credentials.verify_head("/", headers, query).refusal
            assert isinstance(refusal, security.MissingCredentials) == is_missing


class TestCosts:
    def test_a_stranger_costs_one_hash_for_each_distinct_secret_whose_header_is_there(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: lines with four secrets for one header, one of them twice, and others for others
        When: a wrong signature comes in that header
        Then: the body is hashed four times, also where each hash is a turn of its own
        """
        credentials = credentials_of(
            "_hmac:X-Sum one\n_hmac:x-sum two\n/a _hmac:X-Sum one\n/b _hmac:X-Sum three\n"
            "_hmac:X-Other other\n_slack secret\n_hmac:X-SUM four\nalice pass"
        )
        made: list[bytes] = []
        new = hmac.new

        def count(key: bytes, *rest: Any) -> Any:
            made.append(key)
            return new(key, *rest)

        monkeypatch.setattr(hmac, "new", count)
        turns: list[Any] = []

        def run(function: Callable[..., Any], *args: Any) -> Any:
            turns.append(function)
            return function(*args)

        headers = {"x-sum": "0" * 64}
        for path, keys in (
            ("/", [b"one", b"two", b"four"]),
            ("/b", [b"one", b"two", b"three", b"four"]),
        ):
            for way in (None, run):
                made.clear()
                proof = credentials.verify_head(path, headers)
                with pytest.raises(security.ProofError):
                    credentials.verify_body(proof, BODY, way)
                assert made == keys
        assert len(turns) == 7

    @staticmethod
    def hundred(kind: int) -> str:
        """Return a hundred lines: Basic, one header, a hundred headers, or of all kinds."""
        return "\n".join(
            (
                f"user{n} pass-{n}-0123456789",
                f"_header:X-Token t0ken-{n}-0123456789",
                f"_header:X-Token-{n} t0ken-{n}-0123456789",
                (
                    f"user{n} pass-{n}-0123456789",
                    f"_header:X-Token-{n} t0ken-{n}",
                    f"_hmac:X-Sum-{n} secret-{n}",
                    f"_query:token{n} t0ken-{n}",
                    f"/path{n} _slack secret-{n}",
                )[n % 5],
            )[kind]
            for n in range(100)
        )

    @pytest.mark.parametrize("kind", range(4))
    def test_a_head_is_cheap_however_many_lines_there_are(self, kind: int) -> None:
        """
        Given: a hundred lines, and a head of ten headers
        When: it is verified, with a right proof and with a wrong one
        Then: it takes at most 30 µs of processor time more than with one line
        """
        headers = {f"x-header-{n}": "value" for n in range(10)}
        headers |= basic("user50", "pass-50-0123456789") | {"x-token": "t0ken-50-0123456789"}

        def microseconds(lines: str) -> float:
            verify = functools.partial(credentials_of(lines).verify_head, "/", headers, "a=1&b=2")
            verify()
            return cpu_milliseconds(lambda: [verify() for _ in range(200)]) * 1000 / 200

        assert microseconds(self.hundred(kind)) - microseconds("user50 pass-50-0123456789") < 30

    @pytest.mark.parametrize("kind", ["Basic", "header", "query"])
    def test_the_time_does_not_show_which_line_is_nearly_right(self, kind: str) -> None:
        """
        Given: a hundred lines, and wrong values: each that of a line but for its last character, or
            wrong from the first
        When: each is refused many times, in random order
        Then: the median processor times of the first, the middle and the last line, and of the
            value that is like none, differ by less than they scatter
        """
        secrets = [f"{n:02d}{'s' * 60}{n:02d}" for n in range(100)]
        make = {"Basic": "user {}", "header": "_header:X-Token {}", "query": "_query:token {}"}[
            kind
        ]
        credentials = credentials_of("\n".join(map(make.format, secrets)))
        guesses = {n: secrets[n][:-1] + "x" for n in (0, 50, 99)} | {-1: "x" * 64}

        def attempt(value: str) -> Callable[[], object]:
            headers = {"Basic": basic("user", value), "header": {"x-token": value}, "query": {}}
            query = f"token={value}" if kind == "query" else ""
            verify = functools.partial(credentials.verify_head, "/", headers[kind], query)
            assert verify().refusal is not None
            return verify

        attempts = {n: attempt(value) for n, value in guesses.items()}
        times: dict[int, list[float]] = {n: [] for n in guesses}
        order = [n for n in guesses for _ in range(1500)]
        random.Random(34).shuffle(order)
        for n in order:
            before = time.thread_time_ns()
            attempts[n]()
            times[n].append(time.thread_time_ns() - before)
        medians = [statistics.median(measured) for measured in times.values()]
        scatter = max(
            statistics.quantiles(measured, n=4)[2] - statistics.quantiles(measured, n=4)[0]
            for measured in times.values()
        )
        assert max(medians) - min(medians) <= max(scatter, 500)
