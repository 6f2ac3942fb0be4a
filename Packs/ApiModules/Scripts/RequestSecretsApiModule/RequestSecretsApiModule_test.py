"""Unit tests of RequestSecretsApiModule.py."""

import base64
import functools
import json
import urllib.parse
from collections.abc import Callable

import pytest
import RequestSecretsApiModule as secrets

from Tests.costs import assert_patterns_are_linear, cpu_milliseconds
from Tests.proving import read_credentials

NOTHING_SECRET = secrets.SecretFilter()


def kept(
    headers: dict[str, str], query: str = "", hidden: secrets.SecretFilter = NOTHING_SECRET
) -> tuple[dict[str, str], dict[str, str]]:
    return hidden.visible_headers(headers), dict(hidden.visible_query(query))


def filter_of(username: str, password: str, *paths: str) -> secrets.SecretFilter:
    return secrets.SecretFilter.of(read_credentials(username, password), paths)


# ---- names


HIDDEN_EVERYWHERE = """
    authorization proxy-authorization x-forwarded-authorization cookie set-cookie x-auth x-auth-user
    authentication x-gitlab-token x-auth-token x-authtoken x-csrf-token csrf x-xsrf-token x-api-key
    api-key apikey x-apikey2 x-key client-secret x-user-secret x-password x-passphrase x-passcode
    x-credential x-credentials x-amz-credential x-session x-session-id session jwt x-jwt-assertion
    x-assertion x-amzn-oidc-data bearer x-bearer x-sig sig x-signature signature x-hub-signature-256
    x-signature-ed25519 x-hmac-sha1 hmac x-shopify-hmac-sha256 cf-webhook-auth x-amz-security-token
    x-forwarded-client-cert ocp-apim-subscription-key x-functions-key x-vault-token x-secret-id
    x_auth_token x-key1 x-api-key2 x-key-1 x-sharedkey x-sharedkey2 shared_key x-otp x-otp2 totp
    x-userotp x-psk psk x-wpapsk pw x-pw userpw pass x-pass x-pass2 userpass x-oauth x-sign sign
    x-token1 secretkey phpsessid jsessionid x-creds x-hook-secret x-original-authorization
""".split()  # noqa: SIM905 - one literal for each would fill the screen
KEPT_EVERYWHERE = """
    user-agent content-type host x-author x-authority monkey x-keyboard x-signal design x-tokenizer
    accept assert-id x-codec idempotency-key x-idempotency-key idempotency-token
    x-idempotency-token sec-websocket-key x-signature-timestamp x-slack-request-timestamp
    webhook-timestamp webhook-id svix-id x-github-delivery x-request-id x-auth-request-id
    x-amzn-trace-id x-session-request-id x-webhook-delivery-id x-hook-delivery status-code
    x-correlation-id x-ratelimit-remaining-tokens passenger x-passenger keyboard x-turkey donkey
    x-hockey compass assign x-resign signal1 keystone x-authored passage x-key-date
""".split()  # noqa: SIM905


class TestNames:
    @pytest.mark.parametrize("name", HIDDEN_EVERYWHERE)
    def test_what_may_prove_the_sender_is_hidden_in_headers_and_query(self, name: str) -> None:
        assert kept({name: "x"}, f"{name}=x&{name.upper()}=x") == ({}, {})

    @pytest.mark.parametrize("name", KEPT_EVERYWHERE)
    def test_the_rest_is_kept_in_headers_and_query(self, name: str) -> None:
        assert kept({name: "x"}, f"{name}=x") == ({name: "x"}, {name: "x"})

    @pytest.mark.parametrize(
        "name, hidden",
        [
            ("code", True),
            ("CODE", True),
            ("sig", True),
            ("accessToken", True),
            ("access_token", True),
            ("apiKey", True),
            ("APIKey", True),
            ("authToken", True),
            ("hub.verify_token", True),
            ("auth[token]", True),
            ("sessionid", True),
            ("clientSecret", True),
            ("sharedKey1", True),
            ("userPass", True),
            ("a" * 200 + "_token", True),
            ("a" * 200 + "_name", False),
            ("monkeyBusiness", False),
            ("authorName", False),
            ("keyword", False),
            ("requestId", False),
            ("codename", False),
        ],
    )
    def test_fields_of_the_query_string_are_written_in_more_ways(
        self, name: str, hidden: bool
    ) -> None:
        headers, query = kept({"code": "7"}, f"{urllib.parse.quote(name)}=x")
        assert query == ({} if hidden else {name: "x"})
        assert headers == {"code": "7"}

    def test_names_of_strangers_do_not_fill_the_memory(self) -> None:
        """
        Given: thousands of different long names
        When: they are looked at
        Then: none of them is remembered
        """
        secrets.names_a_secret("x")
        before = secrets._find_secret_word.cache_info().currsize
        for number in range(50):
            secrets.names_a_secret(f"{number}-" + "x" * 1000)
        assert secrets._find_secret_word.cache_info().currsize == before

    def test_what_a_path_names_is_kept_but_never_a_proof(self) -> None:
        """
        Given: paths that name headers and fields whose names speak of keys
        When: a request is looked at
        Then: they are kept, but never what authenticates a sender
        """
        hidden = filter_of(
            "_header:X-Agreed",
            "t0ken",
            *("headers.X-Event-Key", "query.issue_key", "request_headers.x-session"),
            *("headers.authorization", "headers.x-agreed", "query.key", "alert.id"),
        )
        headers = {
            "x-event-key": "1",
            "x-other-key": "2",
            "x-session": "3",
            "authorization": "4",
            "x-agreed": "t0ken",
        }
        assert kept(headers, "issue_key=5&key=6&other_key=7", hidden) == (
            {"x-event-key": "1", "x-session": "3"},
            {"issue_key": "5", "key": "6"},
        )

    @pytest.mark.parametrize("name", ["k", "my.field", "größe", "a[b]", "alert"])
    def test_the_field_that_proves_the_sender_is_hidden(self, name: str) -> None:
        hidden = filter_of(f"_query: {name}", "t0ken-1", f"query.{name}")
        for written in (urllib.parse.quote(name), name.encode().decode("latin-1")):
            assert kept({}, f"{written}=t0ken-1&host=db1", hidden)[1] == {"host": "db1"}

    def test_the_server_may_leave_out_more_headers(self) -> None:
        headers = {"host": "a", "te": "trailers", "x-note": "grüße".encode().decode("latin-1")}
        visible = NOTHING_SECRET.visible_headers(headers, frozenset({"te"}))
        assert visible == {"host": "a", "x-note": "grüße"}
        assert NOTHING_SECRET.visible_headers({"x-old": "gr\xfc"}) == {"x-old": "grü"}

    def test_a_query_string_is_decoded_and_bounded(self) -> None:
        assert NOTHING_SECRET.visible_query("a=1&b=2&b=3&c=&d=%C3%A9&e=\xc3\xa9&f=%ff") == [
            *(("a", "1"), ("b", "2"), ("b", "3"), ("c", ""), ("d", "é"), ("e", "é"), ("f", "�")),
        ]
        assert len(NOTHING_SECRET.visible_query("&".join(["a=1"] * 1000))) == 1000
        with pytest.raises(ValueError, match="more than 1000 fields; send them in the body"):
            NOTHING_SECRET.visible_query("&".join(["a=1"] * 1001))


# ---- values


SECRETS = [
    "key=abcd&x=efgh",
    "https://u:pass@h/?a",
    "t0ken-1",
    "s3cr3t/+==",
    "gehöim-€",
    "pass phrase & more",
    'quo"te\\d',
    "<tag>%41",
]


def spellings(secret: str) -> list[str]:
    """Return a secret as tools and proxies write it."""
    coded = base64.b64encode(secret.encode()).decode()
    return [
        secret,
        urllib.parse.quote(secret),
        urllib.parse.quote(secret, safe=""),
        urllib.parse.quote_plus(secret),
        urllib.parse.quote(urllib.parse.quote(secret, safe=""), safe=""),
        "".join(f"%{byte:02x}" for byte in secret.encode()),
        json.dumps(secret),
        coded,
        coded.rstrip("="),
        base64.urlsafe_b64encode(secret.encode()).decode(),
    ]


class TestValues:
    @pytest.mark.parametrize("secret", SECRETS)
    @pytest.mark.parametrize("username", ["user", "_header:X-Agreed", "_query:k", "_hmac:X-Sum"])
    @pytest.mark.parametrize("around", ["{}", "https://h/hook?x={}", "a{}b", "/{}/c", "k={};y"])
    def test_a_secret_is_found_in_each_of_its_spellings(
        self, secret: str, username: str, around: str
    ) -> None:
        """
        Given: an instance's secret, in any header or field, alone or in another text
        When: a request is looked at
        Then: no spelling of it is kept
        """
        hidden = filter_of(username, secret)
        for spelling in spellings(secret):
            text = around.format(spelling)
            on_the_wire = text.encode().decode("latin-1")
            headers, query = kept(
                {"x-waws-unencoded-url": on_the_wire, "x-note": on_the_wire},
                f"note={urllib.parse.quote(text)}&plain=1",
                hidden,
            )
            assert query["plain"] == "1"
            for value in (*headers.values(), *query.values()):
                assert spelling not in value
                assert secret not in urllib.parse.unquote(urllib.parse.unquote(value))

    @pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user"])
    @pytest.mark.parametrize("after", ["", "x", "xy", "xyz"])
    def test_a_secret_is_found_within_base64(self, before: str, after: str) -> None:
        """
        Given: base64 of the secret and something around it, such as Basic authentication
        When: a header keeps it
        Then: what holds the secret is replaced
        """
        for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
            coded = alphabet(f"{before}:s3cret??>>value:{after}".encode()).decode()
            visible = filter_of("_query:k", "s3cret??>>value").visible_headers({"x-note": coded})
            parts = visible["x-note"].split("***")
            assert len(parts) == 2
            for part in parts:
                plain = part.rstrip("=").replace("-", "+").replace("_", "/")
                for shift in range(4):
                    text = "A" * shift + plain
                    decoded = base64.b64decode(text[: len(text) // 4 * 4])
                    assert b"s3c" not in decoded and b"lue" not in decoded

    def test_basic_credentials_are_found_as_they_are_sent(self) -> None:
        coded = base64.b64encode(b"user:pass").decode()
        headers = {"x-note": f"Basic {coded}", "x-also": "user:pass", "x-user": "user"}
        visible = filter_of("user", "pass").visible_headers(headers)
        assert visible == {"x-note": "Basic ***", "x-also": "***", "x-user": "user"}

    @pytest.mark.parametrize(
        "username, password, value, left",
        [
            ("_header:Authorization", "Bearer t0ken-value", "a t0ken-value", "a ***"),
            ("_header:X-T", "abc", "abc abcd", "abc abcd"),
            ("_header:X-T", "abcd\nefgh", "abc abcd efgh", "abc *** ***"),
            ("_standard-webhooks", "v1,whsec_bmV3IHNlY3JldA==", "k bmV3IHNlY3JldA== k", "k *** k"),
            ("_query:k", "longer-secret\nsecret", "longer-secret", "***"),
        ],
    )
    def test_what_counts_as_a_secret(
        self, username: str, password: str, value: str, left: str
    ) -> None:
        """
        Given: a token after the name of its scheme, a text too short to look for, several secrets,
            a key in its prefix, a secret that is part of another
        When: a header holds them
        Then: what is long enough is replaced, the longest first
        """
        assert filter_of(username, password).visible_headers({"x-note": value}) == {"x-note": left}

    @pytest.mark.parametrize("query", ["t0ken-1", "t0ken-1=", "x=1&t0ken-1=5", "%740ken-1"])
    def test_a_secret_in_the_place_of_a_name_is_hidden(self, query: str) -> None:
        assert "t0ken" not in str(filter_of("_header:X-T", "t0ken-1").visible_query(query))


class TestUrls:
    @pytest.mark.parametrize("name", sorted(secrets.HEADERS_WITH_OUR_URL))
    @pytest.mark.parametrize(
        "url, left",
        [
            ("https://user:pass@app.example.com/a/b?token=1#c", "https://app.example.com/a/b"),
            ("https://app.example.com/a@b", "https://app.example.com/a@b"),
            ("/execute/webhook?token=1", "/execute/webhook"),
            ("https://app.example.com", "https://app.example.com"),
            ("//u@h/?q", "//h/"),
            ("?token=1\n", ""),
        ],
    )
    def test_userinfo_and_query_of_our_own_url_are_cut(
        self, name: str, url: str, left: str
    ) -> None:
        assert NOTHING_SECRET.visible_headers({name: url}) == {name: left}

    @pytest.mark.parametrize(
        "value, left",
        [
            ("https://h/hook?token=abc", "https://h/hook?token=***"),
            ("https://h/hook?a=1&api_key=abc&b=2", "https://h/hook?a=1&api_key=***&b=2"),
            ("https://h/?code=abc#access_token=def", "https://h/?code=***#access_token=***"),
            ("https://u:p@h/x?a=1", "https://***@h/x?a=1"),
            ("<https://h/?sig=abc>; rel=next", "<https://h/?sig=***>; rel=next"),
            ("/hook?tok%65n=abc", "/hook?tok%65n=***"),
            ("https://h/?u=https://i/?token=abc", "https://h/?u=https://i/?token=***"),
            ("https%3A%2F%2Fh%2F%3Ftoken%3Dabc%26a%3D1", "https://h/?token=***&a=1"),
            ("token=abc&a=1", "token=***&a=1"),
            ('x; token="a b"; y=1', "x; token=***; y=1"),
            ("https://h/?token=a?b&c=1", "https://h/?token=***&c=1"),
            ("https://h/?monkey=1&author=2", "https://h/?monkey=1&author=2"),
            ("application/json; charset=utf-8", "application/json; charset=utf-8"),
            ("50% of a@b.example.com = 7", "50% of a@b.example.com = 7"),
            ("https://h/?a=1&k=abc", "https://h/?a=1&k=***"),
            ("%41" * 1001, "***"),
        ],
    )
    def test_a_url_in_any_header_or_field_loses_its_secrets(self, value: str, left: str) -> None:
        hidden = filter_of("_query:k", "t0ken-1")
        headers, query = kept({"x-any": value}, f"any={urllib.parse.quote(value)}", hidden)
        assert headers == {"x-any": left}
        assert query == {"any": left}

    def test_a_text_with_very_many_fields_is_cut(self) -> None:
        text = "https://h/?" + "&".join(f"f{number}=1" for number in range(300)) + "&token=abc"
        hidden = secrets.hide_secrets_in_urls(text)
        assert hidden.startswith("https://h/?f0=1&f1=1") and hidden.endswith("&f199=1***")

    @pytest.mark.parametrize(
        "text, left",
        [
            ("a https://h/?sig=abc b", "a https://h/?sig=*** b"),
            ("https://u:p@h/", "https://***@h/"),
            ("https://h/?code=7", "https://h/?code=7"),
            ("//@h //a b@c ?=x", "//@h //a b@c ?=x"),
            ("", ""),
        ],
    )
    def test_a_text_loses_the_secrets_of_its_urls(self, text: str, left: str) -> None:
        assert secrets.hide_secrets_in_urls(text) == left


# ---- costs


WORST_CASES: dict[str, Callable[[int], str]] = {
    "NAME_WORDS": lambda n: "a-" * n,
    "CAMEL_CASE": lambda n: "aA" * n,
    "SECRET_WORD": lambda n: "secre" * n + "key1" * n + "!",
    "USERINFO_OR_QUERY": lambda n: "//a" * n,
    "URL_USERINFO": lambda n: "//" * n + "a" * n,
    "URL_FIELD": lambda n: "?sig" * n,
    "URL_VALUE": lambda n: '"a' * n,
}


class TestManySecrets:
    SECRETS = tuple(
        f"{number}-s3cret-{'xyzß'[number % 4]}-{number * 7919}" for number in range(100)
    )

    @pytest.mark.parametrize("before", ["", "a", "ab", "ß", "abcd", "\ud800"])
    def test_each_of_a_hundred_secrets_is_found_at_each_place(self, before: str) -> None:
        """
        Given: a hundred secrets, and texts with one of them behind up to four other characters
        When: they are hidden
        Then: nothing of the secret is left, also where it is in base64
        """
        hidden = secrets.SecretFilter(secrets=self.SECRETS)
        for secret in self.SECRETS:
            assert hidden.hide(f"{before}{secret} and more") == f"{before}*** and more"
            coded = base64.b64encode(f"user:{secret}".encode()).decode()
            assert "***" in hidden.hide(f"{before}{coded}")

    def test_what_holds_none_of_them_is_kept(self) -> None:
        hidden = secrets.SecretFilter(secrets=self.SECRETS)
        for text in ("", "a", "abc", "7-s3cret-", "s3cret", "application/json", "ß" * 9, "1" * 999):
            assert hidden.hide(text) == text

    def test_a_head_is_cheap_however_many_there_are(self) -> None:
        """
        Given: headers of 500 characters
        When: they are searched for one secret, and for a hundred
        Then: the hundred take at most 50 µs more
        """
        headers = {f"x-header-{number}": f"value {number} of a header" * 2 for number in range(11)}

        def microseconds(known: tuple[str, ...]) -> float:
            hidden = secrets.SecretFilter(secrets=known)
            work = functools.partial(hidden.visible_headers, headers)
            return cpu_milliseconds(lambda: [work() for _ in range(200)]) * 1000 / 200

        assert microseconds(self.SECRETS) - microseconds(self.SECRETS[:1]) < 50


class TestCosts:
    def test_each_regular_expression_is_linear_in_its_worst_case(self) -> None:
        assert_patterns_are_linear(secrets, WORST_CASES)

    @pytest.mark.parametrize(
        "text",
        ["http://?" + "?sig" * 600, "?sig=" * 3000, "//" * 8000 + "@", "?a" * 8000 + "=", "&"],
    )
    def test_looking_for_secrets_in_a_text_is_cheap(self, text: str) -> None:
        assert cpu_milliseconds(lambda: secrets.hide_secrets_in_urls(text), 10) < 10

    @pytest.mark.parametrize(
        "value",
        [
            *("?sig" * 8000, "%25" * 10000, "=@%" * 10000, "//a@" * 8000, "token=" * 5000),
            *(f"{'%41' * 10000}=", "\xff" * 32000, "a\xff=" * 10000, "s3cret-valu" * 2900),
        ],
    )
    def test_looking_for_secrets_in_32_kib_of_headers_is_cheap(self, value: str) -> None:
        """
        Given: the largest head, of an authenticated sender, full of what has to be looked at
        When: it is looked at
        Then: that takes less than 50 ms, a tenth of what may keep others waiting
        """
        hidden = filter_of("_header:X-T", "s3cret-value\nan0ther-value")
        assert cpu_milliseconds(lambda: hidden.visible_headers({"x-any": value}), 50) < 50
        many = {f"x-{n}": value[n * 320 : n * 320 + 320] for n in range(100)}
        assert cpu_milliseconds(lambda: hidden.visible_headers(many), 50) < 50
