"""Who sent a request: credentials, signatures, and the handshakes of vendors.

What it is for: a request's headers, query string and body go in, and a ProofError that says what is
missing comes out unless they prove the sender. A vendor's handshake goes in, and its answer comes
out. The module knows nothing of HTTP answers and their statuses, of Cortex XSOAR, or of incidents.

| section | what it does |
| --- | --- |
| Authentication | schemes: Basic, a token in a header or a query field, signatures of the body |
| Amazon SNS | signatures by RSA, and requests to SNS |
| Handshakes | what vendors ask before they send events |
"""

import base64
import binascii
import contextlib
import difflib
import functools
import hashlib
import hmac
import itertools
import json
import math
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote_to_bytes

import gevent
from gevent.threadpool import ThreadPool

# -------------------------------------------------------------------------------------------------
# Authentication: who sent it?
#
# Username names a scheme, and Password is its secret. A scheme sees the headers and the query
# string first. Only a scheme that signs the body sees the body too, as the bytes that arrived: a
# compressed body stays compressed, because the sender signed what it sent. All comparisons are made
# on bytes and in constant time, so that no answer shows how much of a guess was right.
# -------------------------------------------------------------------------------------------------

TYPED_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
TYPED_FIELD_NAME = re.compile(r"[^\s&=#?%+]+")  # as a person types it, decoded
TYPED_URL = re.compile(r"https://[!-z~]+")
# Between a signature's timestamp and our clock: Slack, Stripe and Standard Webhooks agree on it.
TOLERANCE_SECONDS = 300
# What is looked at of a signature's header; a sender that rotates its secret sends two signatures.
MAX_SIGNATURE_CHARACTERS = 4 * 1024
MAX_SIGNATURES = 16
MAX_TIMESTAMPS = 2  # of one header that are tried: each costs a hash of the whole body
MAX_SECONDS_TIMESTAMP = 100_000_000_000  # in the year 5138; larger ones are milliseconds (WorkOS)
MAX_SECRETS = 20  # each costs a hash of the whole body
UNIX_TIME = re.compile(r"[0-9]{1,16}")
UNIX_SECONDS = re.compile(r"[0-9]{10}(?:\.[0-9]{1,9})?")
UNIX_MILLISECONDS = re.compile(r"[0-9]{13}")
RFC3339_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)
NOT_IN_HEADERS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # that no header can carry
NO_SIGNATURE = (
    "The signature header is missing or unreadable; "
    "let the sender sign its deliveries with this webhook's secret."
)
STALE_TIMESTAMP = (
    "The timestamp that was signed is missing or more than 5 minutes from now; "
    "check the clocks of both ends."
)
WRONG_SIGNATURE = (
    "The signature does not match; "
    "use the same secret on both ends, and sign the body's bytes as they are sent."
)
BAD_IDENTIFIER = (
    "The delivery's ID holds a full stop, which Standard Webhooks does not allow: "
    "it separates the ID from the timestamp in what is signed."
)
WRONG_BASIC = (
    "Send the username and password of this webhook by Basic authentication "
    "(curl -u user:password)."
)
WRONG_HEADER = "Send the verification token of this webhook in the agreed request header."
WRONG_FIELD = (
    "Send the verification token of this webhook once, "
    "in the agreed field of the URL's query string."
)
MAX_TOKEN_FIELDS = 1000  # of a query string in which a token is looked for
MIN_TOKEN_CHARACTERS = 8
MANY_FIELDS = f"The query string has more than {MAX_TOKEN_FIELDS} fields; send them in the body."
NOBODY = (
    "This webhook refuses every request until its parameters are corrected in XSOAR; "
    "Test names them."
)


Headers = dict[str, str]  # names in lower case, values in Latin-1
Names = frozenset[str]
NO_NAMES: Names = frozenset()


class ProofError(Exception):
    """A request does not prove its sender; ``sentence`` says what to do.

    ``challenge`` is the value of WWW-Authenticate (RFC 9110, 11.6.1), empty without one.
    """

    def __init__(self, sentence: str, challenge: str = "") -> None:
        super().__init__(sentence)
        self.sentence, self.challenge = sentence, challenge


class MissingCredentials(ProofError):
    """The request does not even try to prove its sender, as vendors' handshakes do not."""


class CredentialError(ValueError):
    """A Username or Password that cannot be used.

    ``field`` names which of the two, ``fix`` says what to enter.
    """

    def __init__(self, field: str, fix: str) -> None:
        super().__init__(f"{field}: {fix}")
        self.field, self.fix = field, fix


class Authenticator:
    """Authenticates everybody: the instance has no credentials."""

    secrets: tuple[bytes, ...] = ()  # must never appear in a log line
    hidden_header = ""  # in lower case; its value must never appear in an incident
    hidden_query = ""  # a field of the query string; its value must never appear in an incident
    signs_body = False  # verify_body has to be called too
    identifies = False  # event_id may distinguish deliveries
    result_is_cacheable = True  # verify_headers depends on the headers alone, not on the time

    def verify_headers(self, headers: Headers, query: str = "", repeated: Names = NO_NAMES) -> None:
        """Raise ProofError unless headers and query string prove the sender, as far as they can.

        The values of a repeated header are joined by ", ", and ``repeated`` names it. ``query`` is
        the raw query string. Raises MissingCredentials where there is nothing to check.
        """

    def verify_body(self, headers: Headers, body: bytes) -> None:
        """Raise ProofError unless the sender signed the body as it arrived; the headers passed."""

    def event_id(self, headers: Headers) -> str | None:
        """Return the scheme's ID of a delivery, the same each time it is sent; None without one."""
        return None

    def texts_to_hide(self) -> set[str]:
        """Return the secrets as they may stand in what a request brings along."""
        texts = {secret.decode() for secret in self.secrets}
        texts |= {text.removeprefix("v1,").removeprefix("whsec_") for text in texts}
        # The token in `Bearer <token>` is a secret without its scheme, too.
        last_words = {text.rpartition(" ")[2] for text in texts}
        return texts | {word for word in last_words if len(word) >= MIN_TOKEN_CHARACTERS}

    def signing_key(self, headers: Headers, body: bytes) -> bytes:
        """Return the secret that proved this request, to sign an answer with; empty if none."""
        return self.secrets[0] if self.secrets else b""


class BasicAuthenticator(Authenticator):
    """Basic authentication, RFC 7617, with UTF-8 credentials."""

    hidden_header = "authorization"

    def __init__(self, username: str, password: str) -> None:
        self.secrets = (password.encode(),)
        self.expected = f"{username}:{password}".encode()

    def verify_headers(self, headers: Headers, query: str = "", repeated: Names = NO_NAMES) -> None:
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        try:
            text = encoded.strip().encode("latin-1") if scheme.lower() == "basic" else b""
            given = base64.b64decode(text, validate=True)
        except binascii.Error:
            given = b""
        if not hmac.compare_digest(given, self.expected):
            kind = ProofError if "authorization" in headers else MissingCredentials
            raise kind(WRONG_BASIC, 'Basic realm="Generic Webhook", charset="UTF-8"')

    def texts_to_hide(self) -> set[str]:
        return super().texts_to_hide() | {self.expected.decode()}


class HeaderAuthenticator(Authenticator):
    """A header that has to hold exactly the agreed value, or one of several during a rotation."""

    def __init__(self, name: str, password: str) -> None:
        self.hidden_header = name.lower()
        self.secrets = tuple(value.encode() for value in read_secrets(password))

    def verify_headers(self, headers: Headers, query: str = "", repeated: Names = NO_NAMES) -> None:
        given = headers.get(self.hidden_header, "").encode("latin-1")
        # Two headers `a` and `b` are joined to `a, b` by our server: no sender wrote that value.
        if not _is_one_of(given, self.secrets) or self.hidden_header in repeated:
            kind = ProofError if self.hidden_header in headers else MissingCredentials
            raise kind(WRONG_HEADER)


class QueryAuthenticator(Authenticator):
    """A query field that has to hold the agreed value, for tools that can only be given a URL."""

    result_is_cacheable = False

    def __init__(self, name: str, password: str) -> None:
        self.hidden_query = name
        self.secrets = tuple(value.encode() for value in read_secrets(password))
        self._name = name.encode()
        # Percent-encoding triples each byte, so longer texts cannot be the name or a secret.
        self._longest_name = 3 * len(self._name)
        self._longest_value = 3 * max(map(len, self.secrets))

    def verify_headers(self, headers: Headers, query: str = "", repeated: Names = NO_NAMES) -> None:
        if query.count("&") >= MAX_TOKEN_FIELDS:
            raise ProofError(MANY_FIELDS)
        fields = [field.partition(b"=") for field in query.encode("latin-1").split(b"&")]
        given = [value for name, _, value in fields if self._is_name(name)]
        if not given:
            raise MissingCredentials(WRONG_FIELD)
        if len(given) > 1 or len(given[0]) > self._longest_value:
            raise ProofError(WRONG_FIELD)
        # In a form a plus sign means a space, in a URL it means itself, and tools disagree on which
        # of the two a query string is.
        readings = [unquote_to_bytes(text) for text in (given[0], given[0].replace(b"+", b" "))]
        if sum(_is_one_of(text, self.secrets) for text in readings) == 0:
            raise ProofError(WRONG_FIELD)

    def _is_name(self, text: bytes) -> bool:
        if text == self._name:
            return True
        if len(text) > self._longest_name or (b"%" not in text and b"+" not in text):
            return False
        return unquote_to_bytes(text.replace(b"+", b" ")) == self._name


class DenyAll(Authenticator):
    """Authenticates nobody: a parameter that decides about the senders is missing or malformed."""

    def verify_headers(self, headers: Headers, query: str = "", repeated: Names = NO_NAMES) -> None:
        raise ProofError(NOBODY)


class SignatureHeaders(NamedTuple):
    """The headers of a signed delivery, in lower case; an empty name means there is none."""

    signature: str
    timestamp: str = ""
    identifier: str = ""


class SignatureScheme(NamedTuple):
    """A way of signing bodies by HMAC: where the signature stands, what is signed, its spelling.

    ``{timestamp}``, ``{id}`` and ``{body}`` in what is signed are those of the delivery, ``{name}``
    is what follows the scheme in Username. Where no separator stands between two of them, their
    form is what keeps a stranger from moving characters from one to the other.
    """

    headers: tuple[str, ...]  # of each sender, by blanks; the first present counts; none: Username
    signed: str
    written: re.Pattern[str]  # each signature in the header's value, hex or base64
    algorithm: str = "sha256"
    timestamp_written: re.Pattern[str] | None = None  # the timestamp in the signature's header
    timestamp_form: re.Pattern[str] = UNIX_TIME
    tolerance: int = TOLERANCE_SECONDS
    read_key: Callable[[str], bytes] = str.encode  # from a secret in the parameter Password
    key: str = ""  # what stands before the secret in the key


class SignatureAuthenticator(Authenticator):
    """A signature of the body in a header, by a scheme."""

    signs_body = True
    result_is_cacheable = False

    def __init__(self, scheme: SignatureScheme, name: str, secrets: Iterable[str]) -> None:
        self._scheme = scheme
        self._size = hashlib.new(scheme.algorithm).digest_size
        self._before, self._after = (
            part.replace("{name}", name) for part in scheme.signed.split("{body}")
        )
        self._names = tuple(
            SignatureHeaders(*text.format(name=name.lower()).split())
            for text in scheme.headers or ("{name}",)
        )
        self.hidden_header = self._names[0].signature
        self.identifies = bool(self._names[0].identifier)
        texts = tuple(secrets)
        self.secrets = tuple(text.encode() for text in texts)
        self._keys = tuple(scheme.read_key(text) for text in texts)

    def verify_headers(self, headers: Headers, query: str = "", repeated: Names = NO_NAMES) -> None:
        names = self._names_in(headers)
        if names is None:
            raise MissingCredentials(NO_SIGNATURE)
        if not self._digests(headers[names.signature]):
            raise ProofError(NO_SIGNATURE)
        if names.identifier and not headers.get(names.identifier):
            raise ProofError(NO_SIGNATURE)
        if "." in headers.get(names.identifier, ""):
            raise ProofError(BAD_IDENTIFIER)
        if not self._timestamps(headers, names):
            raise ProofError(STALE_TIMESTAMP)

    def verify_body(self, headers: Headers, body: bytes) -> None:
        if not self.signing_key(headers, body):
            raise ProofError(WRONG_SIGNATURE)

    def event_id(self, headers: Headers) -> str | None:
        names = self._names_in(headers)
        return headers.get(names.identifier) if names and names.identifier else None

    def signing_key(self, headers: Headers, body: bytes) -> bytes:
        """Return the key the body was signed with, empty where none of ours matches."""
        names = self._names_in(headers)
        if names is None:
            return b""
        digests = self._digests(headers[names.signature])
        matching = b""
        identifier = headers.get(names.identifier, "")
        for timestamp, key in itertools.product(self._timestamps(headers, names), self._keys):
            # The timestamp comes first, for only the ID may hold braces.
            own, before, after = (
                part.replace("{timestamp}", timestamp).replace("{id}", identifier).encode("latin-1")
                if part
                else b""
                for part in (self._scheme.key, self._before, self._after)
            )
            expected = hmac.new(own + key, before, self._scheme.algorithm)
            expected.update(body)
            expected.update(after)
            if _is_one_of(expected.digest(), digests):
                matching = key
        return matching

    def _names_in(self, headers: Headers) -> SignatureHeaders | None:
        return next((names for names in self._names if names.signature in headers), None)

    def _digests(self, value: str) -> tuple[bytes, ...]:
        """Return the signatures in a header's value that have the scheme's length."""
        written = self._scheme.written.finditer(value[:MAX_SIGNATURE_CHARACTERS])
        read = (read_digest(match[1]) for match in itertools.islice(written, MAX_SIGNATURES))
        return tuple(digest for digest in read if len(digest) == self._size)

    def _timestamps(self, headers: Headers, names: SignatureHeaders) -> list[str]:
        """Return the recent timestamps that may have been signed; an empty one where none is."""
        scheme = self._scheme
        # `a.1` and `2` are signed as `a` and `1.2` are
        if "." in headers.get(names.identifier, ""):
            return []
        if scheme.timestamp_written:
            value = headers[names.signature][:MAX_SIGNATURE_CHARACTERS]
            written = scheme.timestamp_written.finditer(value)
            timestamps = [match[1] for match in itertools.islice(written, MAX_TIMESTAMPS)]
        elif names.timestamp:
            timestamps = [headers.get(names.timestamp, "")]
        else:
            return [""]
        return [
            text for text in timestamps if is_recent(text, scheme.timestamp_form, scheme.tolerance)
        ]


def _is_one_of(given: bytes, expected: Iterable[bytes]) -> bool:
    """Return whether bytes equal one of several, in a time that does not show which."""
    return sum(hmac.compare_digest(given, value) for value in expected) > 0


def is_recent(timestamp: str, form: re.Pattern[str], tolerance: int) -> bool:
    """Return whether a time in a form (Unix seconds or milliseconds, RFC 3339) is close to now."""
    if not form.fullmatch(timestamp):
        return False
    if "T" in timestamp:
        try:
            seconds = datetime.fromisoformat(timestamp[:19] + "+00:00").timestamp()
        except ValueError:
            return False
    else:
        seconds = float(timestamp)
    if seconds > MAX_SECONDS_TIMESTAMP:
        seconds /= 1000
    return abs(time.time() - seconds) <= tolerance


def read_digest(text: str) -> bytes:
    """Return the bytes of a digest in hex or base64, empty for any other text."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        pass
    try:
        return read_base64(text)
    except ValueError:
        return b""


def read_base64(text: str) -> bytes:
    """Return the bytes of base64, in either alphabet, padded or not; raises ValueError."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def read_secrets(password: str) -> tuple[str, ...]:
    """Return the secrets in the parameter Password: one a line, several only during a rotation.

    A line is one secret with all its spaces, except those at its ends: a part of a secret must not
    prove anybody, and GitHub's own example is "It's a Secret to Everybody".
    """
    lines = (line.strip() for line in password.replace("\r", "\n").split("\n"))
    return tuple(dict.fromkeys(line for line in lines if line))


def read_standard_secret(text: str) -> bytes:
    """Return the key that a secret of Standard Webhooks stands for; raises CredentialError."""
    if text.startswith(("whsk_", "whpk_")):
        raise CredentialError(
            "Password",
            f"{text[:5]}... is an asymmetric key; ask the sender for a secret, whsec_...",
        )
    text = text.removeprefix("v1,").removeprefix("whsec_")  # v1,whsec_... is Supabase's spelling
    return _read_base64_key(
        text,
        "copy the secret as the sender shows it: whsec_ followed by base64; of several secrets, "
        "each stands on its own line.",
    )


def read_teams_secret(text: str) -> bytes:
    """Return the key that a security token of Teams stands for; raises CredentialError."""
    return _read_base64_key(text, "copy the security token as Teams shows it, in base64.")


def _read_base64_key(text: str, fix: str) -> bytes:
    with contextlib.suppress(ValueError):
        if key := read_base64(text):
            return key
    raise CredentialError("Password", fix)


# A signature alone or behind a name (`sha256=`, `v1=`); commas, semicolons or white space separate
# several.
ANY_SIGNATURE = re.compile(
    r"(?:^|[\s,;])(?:[A-Za-z][\w\-]*=)?([0-9A-Za-z+/_\-]+={0,2})(?=$|[\s,;])"
)
V0_SIGNATURE = re.compile(r"(?:^|[\s,])v0=([0-9A-Fa-f]+)(?=$|[\s,])")
V1_SIGNATURE = re.compile(r"(?:^|[\s,])v1=([0-9A-Fa-f]+)(?=$|[\s,])")
STANDARD_SIGNATURE = re.compile(r"(?:^|[\s,])v1,([0-9A-Za-z+/_\-]+={0,2})(?=$|[\s,])")
STRIPE_TIMESTAMP = re.compile(r"(?:^|[\s,])t=([0-9]+)(?=$|[\s,])")
TEAMS_SIGNATURE = re.compile(r"^HMAC ([0-9A-Za-z+/]+={0,2})$", re.IGNORECASE)
VERKADA_SIGNATURE = re.compile(r"^[0-9]{1,16}\|([0-9A-Fa-f]+)$")
VERKADA_TIMESTAMP = re.compile(r"^([0-9]+)\|")
PADDLE_SIGNATURE = re.compile(r"(?:^|[\s,;])h1=([0-9A-Fa-f]+)(?=$|[\s,;])")
PADDLE_TIMESTAMP = re.compile(r"(?:^|[\s,;])ts=([0-9]+)(?=$|[\s,;])")
SIGNATURE_SCHEMES = {
    # GitHub, Shopify, Jira, Linear, Sentry, PagerDuty, Semgrep and most others
    "_hmac": SignatureScheme((), "{body}", ANY_SIGNATURE),
    "_hmac-sha1": SignatureScheme((), "{body}", ANY_SIGNATURE, "sha1"),
    "_hmac-sha512": SignatureScheme((), "{body}", ANY_SIGNATURE, "sha512"),
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    "_standard-webhooks": SignatureScheme(
        (
            "webhook-signature webhook-timestamp webhook-id",
            "svix-signature svix-timestamp svix-id",
        ),
        "{id}.{timestamp}.{body}",
        STANDARD_SIGNATURE,
        read_key=read_standard_secret,
    ),
    # https://docs.slack.dev/authentication/verifying-requests-from-slack
    "_slack": SignatureScheme(
        ("x-slack-signature x-slack-request-timestamp",), "v0:{timestamp}:{body}", V0_SIGNATURE
    ),
    # https://developers.zoom.us/docs/api/webhooks/
    "_zoom": SignatureScheme(
        ("x-zm-signature x-zm-request-timestamp",), "v0:{timestamp}:{body}", V0_SIGNATURE
    ),
    # https://docs.stripe.com/webhooks
    "_stripe": SignatureScheme(
        (), "{timestamp}.{body}", V1_SIGNATURE, timestamp_written=STRIPE_TIMESTAMP
    ),
    # https://developer.zendesk.com/documentation/webhooks/verifying/
    "_zendesk": SignatureScheme(
        ("x-zendesk-webhook-signature x-zendesk-webhook-signature-timestamp",),
        "{timestamp}{body}",
        ANY_SIGNATURE,
        timestamp_form=RFC3339_TIME,
    ),
    # https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-outgoing-webhook
    "_teams": SignatureScheme(
        ("authorization",), "{body}", TEAMS_SIGNATURE, read_key=read_teams_secret
    ),
    # https://developers.hubspot.com/docs/guides/apps/authentication/validating-requests
    "_hubspot": SignatureScheme(
        ("x-hubspot-signature-v3 x-hubspot-request-timestamp",),
        "POST{name}{body}{timestamp}",
        ANY_SIGNATURE,
        timestamp_form=UNIX_MILLISECONDS,
    ),
    # https://docs.gitguardian.com/platform/configure-alerting/notifiers-integrations/custom-webhook
    "_gitguardian": SignatureScheme(
        ("gitguardian-signature timestamp",),
        "{body}",
        ANY_SIGNATURE,
        timestamp_form=UNIX_SECONDS,
        key="{timestamp}",
    ),
    # https://docs.rootly.com/configuration/webhooks
    "_rootly": SignatureScheme(
        ("x-rootly-signature",),
        "{timestamp}{body}",
        V1_SIGNATURE,
        timestamp_written=STRIPE_TIMESTAMP,
        timestamp_form=UNIX_SECONDS,
    ),
    # https://apidocs.verkada.com/reference/securing-webhooks
    "_verkada": SignatureScheme(
        ("verkada-signature",),
        "{body}|{timestamp}",
        VERKADA_SIGNATURE,
        timestamp_written=VERKADA_TIMESTAMP,
    ),
    # https://developer.paddle.com/webhooks/signature-verification
    "_paddle": SignatureScheme(
        ("paddle-signature",),
        "{timestamp}:{body}",
        PADDLE_SIGNATURE,
        timestamp_written=PADDLE_TIMESTAMP,
    ),
    # https://dev.twitch.tv/docs/eventsub/handling-webhook-events/
    "_twitch": SignatureScheme(
        (
            "twitch-eventsub-message-signature twitch-eventsub-message-timestamp "
            "twitch-eventsub-message-id",
        ),
        "{id}{timestamp}{body}",
        ANY_SIGNATURE,
        timestamp_form=RFC3339_TIME,
        tolerance=600,
    ),
    # https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/
    "_grafana": SignatureScheme(
        ("x-grafana-alerting-signature {name}",), "{timestamp}:{body}", ANY_SIGNATURE
    ),
    # https://marketplace.crowdstrike.com/listings/webhook
    "_crowdstrike": SignatureScheme(
        ("x-cs-primary-signature x-cs-delivery-timestamp",),
        "{body}{timestamp}",
        ANY_SIGNATURE,
        timestamp_form=RFC3339_TIME,
    ),
}
SCHEME_EXAMPLES = {  # of what follows the colon in the parameter Username; empty: nothing does
    "_header": "<HEADER-NAME>, such as _header:Authorization",
    "_query": "<FIELD-NAME>, such as _query:token",
    **dict.fromkeys(SIGNATURE_SCHEMES, ""),
    "_sns": "",
    "_hmac": "<HEADER-NAME>, such as _hmac:X-Hub-Signature-256",
    "_hmac-sha1": "<HEADER-NAME>, such as _hmac-sha1:X-Hub-Signature",
    "_hmac-sha512": "<HEADER-NAME>, such as _hmac-sha512:X-TFE-Notification-Signature",
    "_stripe": "<HEADER-NAME>, such as _stripe:Stripe-Signature",
    "_hubspot": "<URL>, such as _hubspot:https://xsoar.example.com/instance/execute/hubspot",
    "_grafana": "<HEADER-NAME>, such as _grafana:X-Grafana-Alerting-Timestamp",
}
TYPED_NAMES = {"_query": TYPED_FIELD_NAME, "_hubspot": TYPED_URL}
FORMER_SCHEMES = {"_hmac-sha256": "_hmac"}  # a scheme that went, and the one that does the same
# Headers that hold a signature of more than the body, and the Username that verifies it.
OWN_SCHEMES = {
    text.split()[0]: f"{name}:<URL>" if name == "_hubspot" else name
    for name, scheme in SIGNATURE_SCHEMES.items()
    for text in scheme.headers
    if name not in ("_teams", "_grafana")  # others use that header, too, or sign the body alone
} | {"stripe-signature": "_stripe:Stripe-Signature"}
SLACK_TOKEN = "it is a token; copy the Signing Secret from the app's Basic Information."  # noqa: S105
STRIPE_KEY = "it is an API key; copy the endpoint's signing secret, whsec_..."
WRONG_SECRETS = (  # how those of a vendor's secrets begin that do not sign
    ("_slack", ("xox", "xapp-"), SLACK_TOKEN),
    ("_stripe", ("sk_", "pk_", "rk_"), STRIPE_KEY),
)


def choose_authenticator(username: str, password: str, use_proxy: bool = False) -> Authenticator:
    """Return the authenticator for the parameters Username and Password; raises CredentialError.

    ``use_proxy`` is for schemes that make requests of their own.
    """
    if not username and not password:
        return Authenticator()
    for field, text in (("Username", username), ("Password", password)):
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            raise CredentialError(field, "it holds half a character; type it once more.")
    scheme, colon, name = username.partition(":")
    scheme, name = scheme.strip().lower(), name.strip(" ")
    if scheme == "_sns":
        refuse_malformed_name(scheme, name)
        return SnsAuthenticator(read_topics(password), use_proxy)
    if not username or not password:
        raise CredentialError(
            "Password" if username else "Username",
            "it is empty while the other of the two is not; fill in both, or neither.",
        )
    if scheme not in SCHEME_EXAMPLES:
        refuse_mistyped_scheme(scheme, name, bool(colon))
        return BasicAuthenticator(username, password)
    refuse_malformed_name(scheme, name)
    refuse_unusable_password(scheme, password)
    if scheme == "_header":
        return HeaderAuthenticator(name, password)
    if scheme == "_query":
        return QueryAuthenticator(name, password)
    return choose_signature(scheme, name, password)


def refuse_unusable_password(scheme: str, password: str) -> None:
    """Raise CredentialError for a password with which a scheme could authenticate nobody."""
    secrets, fix = read_secrets(password), ""
    if not secrets:
        fix = "it is nothing but white space; enter the secret that the sender has, too."
    elif len(secrets) > MAX_SECRETS:
        fix = f"it holds more than {MAX_SECRETS} lines, one a secret."
    elif scheme == "_header" and any(map(NOT_IN_HEADERS.search, secrets)):
        fix = "no header can carry it: remove its control characters."
    if fix:
        raise CredentialError("Password", fix)


def scheme_usage(scheme: str) -> str:
    """Return how a scheme is written in the parameter Username."""
    example = SCHEME_EXAMPLES[scheme]
    return f"{scheme}:{example}, without spaces" if example else f"{scheme}, with nothing after it"


def refuse_malformed_name(scheme: str, name: str) -> None:
    """Raise CredentialError unless what follows the scheme in Username has its form."""
    pattern = TYPED_NAMES.get(scheme, TYPED_HEADER_NAME)
    if not pattern.fullmatch(name) if SCHEME_EXAMPLES[scheme] else name:
        raise CredentialError("Username", f"write {scheme_usage(scheme)}.")


def refuse_mistyped_scheme(scheme: str, name: str, has_colon: bool) -> None:
    """Raise CredentialError for a username that tries to name a scheme; others are for Basic."""
    if has_colon and f"_{scheme}" in SCHEME_EXAMPLES:
        raise CredentialError("Username", f"write {scheme_usage('_' + scheme)}.")
    if not scheme.startswith("_"):
        return
    if scheme in FORMER_SCHEMES:
        successor = FORMER_SCHEMES[scheme]
        raise CredentialError(
            "Username",
            f"{scheme} is now called {successor}; write {successor}:{name or '<HEADER-NAME>'}, "
            "which checks the same.",
        )
    names = (*FORMER_SCHEMES, *SCHEME_EXAMPLES)
    close = difflib.get_close_matches(scheme, names, n=1, cutoff=0.85)
    if close:
        successor = FORMER_SCHEMES.get(close[0], close[0])
        raise CredentialError("Username", f"write {scheme_usage(successor)}.")
    known = ", ".join(scheme_usage(each).partition(",")[0] for each in SCHEME_EXAMPLES)
    raise CredentialError(
        "Username",
        f"there is no scheme {scheme}; write one of {known}, or for Basic a name that begins "
        "otherwise.",
    )


def choose_signature(scheme: str, header: str, password: str) -> Authenticator:
    """Return the authenticator for a scheme of SIGNATURE_SCHEMES.

    Raises CredentialError for a header or a secret with which no signature could ever match.
    """
    own = OWN_SCHEMES.get(header.lower())
    if scheme.startswith("_hmac") and own:
        raise CredentialError("Username", f"{header} signs more than the body; write {own}.")
    secrets = read_secrets(password)
    for name, beginnings, fix in WRONG_SECRETS:
        if scheme == name and any(secret.startswith(beginnings) for secret in secrets):
            raise CredentialError("Password", fix)
    return SignatureAuthenticator(SIGNATURE_SCHEMES[scheme], header, secrets)


# -------------------------------------------------------------------------------------------------
# Amazon SNS: messages are signed by RSA, with a certificate that SNS itself serves
#
# https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
# The certificate counts because it comes by HTTPS from a host of SNS. Requests to SNS are made on
# native threads of their own, because one that hangs keeps its thread.
# -------------------------------------------------------------------------------------------------

MAX_SNS_BYTES = 1024 * 1024  # a message has 256 KiB, whose quotation marks are escaped in JSON
SNS_TOLERANCE_SECONDS = 3900  # SNS repeats a message for an hour, with the same timestamp
MAX_CERTIFICATES = 16
CERTIFICATE_SECONDS = 86_400
FAILED_CERTIFICATE_SECONDS = 30  # until one that could not be fetched is asked for again
MAX_CERTIFICATE_BYTES = 16 * 1024
CONFIRM_SECONDS = 10
MAX_CONFIRMATIONS = 4  # requests to SNS at a time; where egress is dropped, each keeps a thread
CONFIRM_AGAIN_SECONDS = 30
# The whole URL is matched, because two parsers of one URL may disagree on where its host ends. The
# region has its form, such as us-gov-west-1, because sns.s3.amazonaws.com is anybody's bucket.
SNS_HOST = (
    r"https://sns\.(?:cn-[a-z]{2,12}-[0-9]{1,2}\.amazonaws\.com\.cn"
    r"|(?!cn-)[a-z]{2}(?:-[a-z]{2,12}){1,2}-[0-9]{1,2}\.amazonaws\.com)"
)
SNS_URL = re.compile(SNS_HOST + r"(?::443)?/[!-\[\]-~]*+")
SNS_CERTIFICATE_URL = re.compile(SNS_HOST + r"/SimpleNotificationService-[0-9a-zA-Z]{1,64}\.pem")
TOPIC_ARN = re.compile(r"arn:aws[a-z-]{0,20}:sns:[!-~]*")
SNS_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([^-]{1,16000}+)-----END CERTIFICATE-----")
SNS_SIGNED = {  # fields, in the order in which they are signed
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        *("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    ),
}
SNS_SIGNED["UnsubscribeConfirmation"] = SNS_SIGNED["SubscriptionConfirmation"]
# The hash of each SignatureVersion, and what stands before it in PKCS #1 (RFC 8017, 9.2).
SNS_HASHES = {
    "1": ("sha1", bytes.fromhex("3021300906052b0e03021a05000414")),
    "2": ("sha256", bytes.fromhex("3031300d060960864801650304020105000420")),
}
RSA_ENCRYPTION = bytes.fromhex("06092a864886f70d010101")
NO_SNS = "Only Amazon SNS may send here, with raw message delivery turned off."
WRONG_SNS = "The signature of Amazon SNS does not match the message."
WRONG_TOPIC = "This topic may not send here; add its ARN to this webhook's Password in XSOAR."


class RsaKey(NamedTuple):
    """A public key of RSA."""

    modulus: int
    exponent: int


class SnsAuthenticator(Authenticator):
    """The signature of Amazon SNS, and which topics count: anybody may have one.

    ``topics`` are ARNs or their beginnings, such as ``arn:aws:sns:eu-west-1:123456789012:``;
    without them every topic of every account counts.
    """

    signs_body = True
    result_is_cacheable = False

    def __init__(self, topics: tuple[str, ...], use_proxy: bool) -> None:
        self._topics = topics
        self._use_proxy = use_proxy
        # URL: when it was fetched, and the key; None where that failed; the oldest stands first
        self._keys: OrderedDict[str, tuple[float, RsaKey | None]] = OrderedDict()
        self._pool = _confirmation_pool()  # of the event loop, where instances are made

    def verify_headers(self, headers: Headers, query: str = "", repeated: Names = NO_NAMES) -> None:
        if "x-amz-sns-message-type" not in headers:
            raise MissingCredentials(NO_SNS)

    def verify_body(self, headers: Headers, body: bytes) -> None:
        """Raise ProofError unless SNS signed the body, HandshakeError while its key is missing."""
        message = read_sns_message(body)
        if self._topics and not message["TopicArn"].startswith(self._topics):
            raise ProofError(WRONG_TOPIC)
        if not is_recent(message["Timestamp"], RFC3339_TIME, SNS_TOLERANCE_SECONDS):
            raise ProofError(STALE_TIMESTAMP)
        signed = "".join(
            f"{name}\n{message[name]}\n" for name in SNS_SIGNED[message["Type"]] if name in message
        )
        algorithm, prefix = SNS_HASHES[message["SignatureVersion"]]
        digest = prefix + hashlib.new(algorithm, signed.encode("utf-8", "replace")).digest()
        key = self._key(message["SigningCertURL"])
        if not is_signed_by(key, read_digest(message["Signature"]), digest):
            raise ProofError(WRONG_SNS)

    def _key(self, url: str) -> RsaKey:
        fetched, key = self._keys.get(url, (-math.inf, None))
        age = time.monotonic() - fetched
        if age > (CERTIFICATE_SECONDS if key else FAILED_CERTIFICATE_SECONDS):
            if threading.get_ident() == self._pool.hub.thread_ident:
                key = self._fetch_key(url)
            else:  # on the thread of large bodies, all others would wait for the certificate
                key = None
                self._keys[url] = time.monotonic(), None
                self._pool.hub.loop.run_callback_threadsafe(gevent.spawn, self._fetch_later, url)
        if key is None:
            raise HandshakeError(
                "The certificate of Amazon SNS is not there; let SNS send this again.",
                False,
                CONFIRM_AGAIN_SECONDS,
            )
        return key

    def _fetch_later(self, url: str) -> None:
        with contextlib.suppress(HandshakeError):
            self._fetch_key(url)

    def _fetch_key(self, url: str) -> RsaKey | None:
        failure, content = ask_sns(url, self._use_proxy)
        key = None
        if not failure:
            with contextlib.suppress(ValueError):
                key = read_certificate_key(content.decode("latin-1"))
        self._keys[url] = time.monotonic(), key
        if len(self._keys) > MAX_CERTIFICATES:
            self._keys.popitem(last=False)
        return key


def read_topics(password: str) -> tuple[str, ...]:
    """Return the ARNs in the parameter Password, one a line, or none; raises CredentialError."""
    topics = read_secrets(password)
    if not all(map(TOPIC_ARN.fullmatch, topics)):
        raise CredentialError(
            "Password",
            "enter the ARNs of the topics that may send, one a line, such as "
            "arn:aws:sns:eu-west-1:123456789012:alerts, or leave it empty.",
        )
    return topics


def read_sns_message(body: bytes) -> dict[str, str]:
    """Return the texts of a message of SNS that has all that its signature needs.

    Raises ProofError. No text but Message has a line break, or one field could pass for two.
    """
    try:
        message = json.loads(body) if len(body) <= MAX_SNS_BYTES else None
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise ProofError(NO_SNS)
    texts = {name: text for name, text in message.items() if isinstance(text, str)}
    names = SNS_SIGNED.get(texts.get("Type", ""), ("Type", ""))
    needed = {*names, "SignatureVersion", "Signature", "SigningCertURL"} - {"Subject"}
    if not needed <= texts.keys() or texts["SignatureVersion"] not in SNS_HASHES:
        raise ProofError(NO_SNS)
    if any("\n" in texts.get(name, "") for name in names if name != "Message"):
        raise ProofError(NO_SNS)
    if not SNS_CERTIFICATE_URL.fullmatch(texts["SigningCertURL"]):
        raise ProofError(NO_SNS)
    return texts


def is_signed_by(key: RsaKey, signature: bytes, digest: bytes) -> bool:
    """Return whether a signature is that of a digest in its prefix: PKCS #1 (RFC 8017, 8.2.2).

    The whole block is compared with the only right one. Who reads its parts instead can be given
    parts that hide a forgery.
    """
    size = (key.modulus.bit_length() + 7) // 8
    number = int.from_bytes(signature, "big")
    if len(signature) != size or number >= key.modulus or size < len(digest) + 11:
        return False
    expected = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
    block = pow(number, key.exponent, key.modulus).to_bytes(size, "big")
    return hmac.compare_digest(block, expected)


def read_certificate_key(pem: str) -> RsaKey:
    """Return the public key in an X.509 certificate (RFC 5280, 4.1); raises ValueError."""
    found = SNS_PEM.search(pem)
    if found is None:
        raise ValueError("This is not a certificate.")
    try:
        [(_, certificate)] = read_der(base64.b64decode(found[1]))
        signed = read_der(read_der(certificate)[0][1])
        # version (optional, with a tag of its own), serial number, algorithm, issuer, validity,
        # subject, public key
        key_info = [content for tag, content in signed if tag != 0xA0][5]
        (_, algorithm), (_, bits) = read_der(key_info)
        [(_, key)] = read_der(bits[1:])
        (_, modulus), (_, exponent) = read_der(key)
    except IndexError:
        raise ValueError("The certificate is cut off.") from None
    if not algorithm.startswith(RSA_ENCRYPTION):
        raise ValueError("The certificate has no key of RSA.")
    return RsaKey(int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big"))


def read_der(data: bytes) -> list[tuple[int, bytes]]:
    """Return the elements of DER, tag and content (X.690, 8.1); raises ValueError or IndexError."""
    elements = []
    position = 0
    while position < len(data):
        tag, size = data[position], data[position + 1]
        position += 2
        if size & 0x80:  # the number of bytes that the length takes
            after = position + (size & 0x7F)
            size = int.from_bytes(data[position:after], "big")
            position = after
        if position + size > len(data):
            raise ValueError("The element is cut off.")
        elements.append((tag, data[position : position + size]))
        position += size
    return elements


@functools.cache
def _confirmation_pool() -> ThreadPool:
    """Return the native threads for requests to SNS, made when the first one is asked for.

    They are not those of gevent's event loop, which resolve names for everybody.
    """
    return ThreadPool(MAX_CONFIRMATIONS)


def ask_sns(url: str, use_proxy: bool) -> tuple[str, bytes]:
    """Return why a URL of SNS could not be fetched, empty after a success, and what it holds.

    Other greenlets run meanwhile. Raises HandshakeError where too many are being fetched.
    """
    pool = _confirmation_pool()
    if len(pool) >= MAX_CONFIRMATIONS:
        raise HandshakeError(
            f"{MAX_CONFIRMATIONS} requests to Amazon SNS are in progress; let SNS send this again.",
            False,
            CONFIRM_AGAIN_SECONDS,
        )
    attempt = pool.spawn(fetch_from_sns, url, use_proxy)
    try:
        fetched: tuple[str, bytes] = attempt.get(timeout=CONFIRM_SECONDS)
    except gevent.Timeout:
        return f"no answer within {CONFIRM_SECONDS} s", b""
    return fetched


def fetch_from_sns(url: str, use_proxy: bool) -> tuple[str, bytes]:
    """Return what ask_sns does, after up to CONFIRM_SECONDS a step on a native thread."""
    import requests  # CommonServerPython's own HTTP client; only SNS needs it

    # XSOAR puts a user's own CA certificates there.
    trusted = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or True
    with requests.Session() as session:
        session.trust_env = False  # the environment's proxy counts where the instance says so
        session.proxies = requests.utils.get_environ_proxies(url) if use_proxy else {}
        session.verify = trusted
        try:
            with session.get(
                url, timeout=CONFIRM_SECONDS, allow_redirects=False, stream=True
            ) as response:
                content = next(response.iter_content(MAX_CERTIFICATE_BYTES), b"")
                status = response.status_code
        except (requests.RequestException, OSError) as error:
            return type(error).__name__, b""
    return ("", content) if status == 200 else (f"it answered {status}", b"")


# -------------------------------------------------------------------------------------------------
# Handshakes: what vendors ask before they send events, answered without an incident
#
# One row for each vendor: a recognizer, which returns what is to be echoed or None, and an answer.
# Rows that reveal nothing may be answered before authentication, because the vendor sends them
# unsigned; the others only to an authenticated sender. Only short printable ASCII is echoed, as
# JSON or as plain text that no browser takes for a page (nosniff).
# -------------------------------------------------------------------------------------------------

MAX_HANDSHAKE_BYTES = 8 * 1024  # of a body: a confirmation of SNS has 2 KiB, the others have less
MAX_HANDSHAKE_QUERY_CHARACTERS = 4 * 1024  # what may be echoed, percent-encoded, and some more
MAX_HANDSHAKE_FIELDS = 20  # of a query string: Meta sends three
ECHOED = re.compile(r"[ -~]{1,1024}")  # printable ASCII, with which nothing can be injected
NO_EVENTS = (b"", b"{}", b"[]", b"null")
HOOK_SECRET = re.compile(r"[0-9A-Za-z_-]{8,128}")  # Asana's has 64 hexadecimal digits
HEX_SECRET = re.compile(r"[0-9a-f]{32,128}")
NOTICE_CHARACTERS = 40  # of a stranger's text, which may be a message to whoever reads the health
ALIVE = b'{"status":"ok"}'


class HandshakeError(Exception):
    """A handshake that fails; ``sentence`` says why.

    ``is_senders_fault`` is false where the vendor's own service did not answer us, or where
    ``retry_seconds`` says when to send the handshake again.
    """

    def __init__(self, sentence: str, is_senders_fault: bool, retry_seconds: int = 0) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.is_senders_fault = is_senders_fault
        self.retry_seconds = retry_seconds


class HandshakeReply(NamedTuple):
    """The answer to a vendor's handshake; its status is 200.

    ``notice`` is what the instance's health has to show, if anything.
    """

    content: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    vendor: str = ""
    notice: str = ""


@dataclass
class HandshakeRequest:
    """The parts of a request that handshakes look at; a body that is not read yet is empty."""

    method: str
    headers: Headers
    query: str = ""
    body: bytes = b""
    use_proxy: bool = False  # the system's, where an answer needs a request of our own

    @functools.cached_property
    def fields(self) -> dict[str, list[str]]:
        """The fields of the query string, each with its values; empty where it is too large."""
        try:
            query = self.query if len(self.query) <= MAX_HANDSHAKE_QUERY_CHARACTERS else ""
            return parse_qs(query, keep_blank_values=True, max_num_fields=MAX_HANDSHAKE_FIELDS)
        except ValueError:
            return {}

    def field(self, name: str) -> str:
        """Return the value of a field that is there once, else an empty string."""
        values = self.fields.get(name, ())
        return values[0] if len(values) == 1 else ""

    @functools.cached_property
    def json(self) -> Any:
        """The parsed body, None where it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Handshake(NamedTuple):
    """One vendor's handshake.

    ``recognize`` returns what ``answer`` needs, None for any other request.
    """

    vendor: str
    unsigned: bool  # the vendor cannot prove itself here, and the answer reveals nothing
    recognize: Callable[[HandshakeRequest, Authenticator], Any]
    answer: Callable[[Any, HandshakeRequest, Authenticator], HandshakeReply]
    mark: bytes = b""  # what the body has to hold before it is parsed at all
    head_mark: str = ""  # a POST without a mark: a header, or what the query string has to hold


def answer_handshake(
    call: HandshakeRequest, authenticator: Authenticator, authenticated: bool
) -> HandshakeReply | None:
    """Return the answer to a handshake that may be answered now, None for any other request.

    The body of a POST has to be there whole. ``authenticated`` says whether authentication has
    passed. Raises HandshakeError.
    """
    body = call.body
    if len(body) > MAX_HANDSHAKE_BYTES or "content-encoding" in call.headers:
        return None
    for row in HANDSHAKES.get(call.method, ()):
        if row.mark in body and (authenticated or row.unsigned):
            recognized = row.recognize(call, authenticator)
            if recognized is not None:
                return row.answer(recognized, call, authenticator)._replace(vendor=row.vendor)
    return None


def asks_by_head(headers: Headers, query: str) -> bool:
    """Return whether the head of a POST may be a handshake's."""
    return any(mark in headers or mark in query for mark in HEAD_MARKS)


def asks_by_body(body: bytes) -> bool:
    """Return whether a body may be a handshake's; nearly none is, which shows without parsing."""
    return len(body) <= MAX_HANDSHAKE_BYTES and any(map(body.__contains__, BODY_MARKS))


def may_be_handshake(method: str, headers: Headers, length: int) -> bool:
    """Return whether a request that proves nothing may be a handshake.

    The small body of such a POST is read before the request is refused.
    """
    if method not in HANDSHAKES:
        return False
    if method != "POST":
        return True
    return length <= MAX_HANDSHAKE_BYTES and "content-encoding" not in headers


def echoed(value: Any) -> str | None:
    """Return a text that may be echoed, None for any other value."""
    return value if isinstance(value, str) and ECHOED.fullmatch(value) else None


def _answer_json(value: Any) -> HandshakeReply:
    return HandshakeReply(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def _answer_challenge(text: str, *_: Any) -> HandshakeReply:
    return _answer_json({"challenge": text})


def _answer_text(text: str, *_: Any) -> HandshakeReply:
    return HandshakeReply(text.encode(), "text/plain")


def _answer_alive(*_: Any) -> HandshakeReply:
    return HandshakeReply(ALIVE)


def _slack_challenge(call: HandshakeRequest, _: Authenticator) -> str | None:
    asked = call.json
    if not isinstance(asked, dict) or asked.get("type") != "url_verification":
        return None
    return None if asked.keys() - {"type", "challenge", "token"} else echoed(asked.get("challenge"))


def _lone_challenge(call: HandshakeRequest, _: Authenticator) -> str | None:
    asked = call.json
    is_lone = isinstance(asked, dict) and list(asked) == ["challenge"]
    return echoed(asked["challenge"]) if is_lone else None


def _twitch_challenge(call: HandshakeRequest, _: Authenticator) -> str | None:
    kind = call.headers.get("twitch-eventsub-message-type")
    is_one = kind == "webhook_callback_verification" and isinstance(call.json, dict)
    return echoed(call.json.get("challenge")) if is_one else None


def _graph_token(call: HandshakeRequest, _: Authenticator) -> str | None:
    if "validationToken" not in call.query or call.body.strip() not in NO_EVENTS:
        return None
    return echoed(call.field("validationToken"))


def _event_grid_code(call: HandshakeRequest, _: Authenticator) -> str | None:
    events = call.json
    if not isinstance(events, list) or len(events) != 1 or not isinstance(events[0], dict):
        return None
    if events[0].get("eventType") != "Microsoft.EventGrid.SubscriptionValidationEvent":
        return None
    data = events[0].get("data")
    return echoed(data.get("validationCode")) if isinstance(data, dict) else None


def _code_answer(code: str, *_: Any) -> HandshakeReply:
    return _answer_json({"validationResponse": code})


def _meta_challenge(call: HandshakeRequest, authenticator: Authenticator) -> str | None:
    if call.field("hub.mode") != "subscribe":
        return None
    # A wrong password goes on to authentication, where failures are counted.
    known = _is_one_of(call.field("hub.verify_token").encode(), authenticator.secrets)
    return echoed(call.field("hub.challenge")) if known else None


def _dropbox_challenge(call: HandshakeRequest, authenticator: Authenticator) -> str | None:
    if call.fields.keys() - {"challenge", authenticator.hidden_query}:
        return None
    return echoed(call.field("challenge"))


def _okta_challenge(call: HandshakeRequest, _: Authenticator) -> str | None:
    return echoed(call.headers.get("x-okta-verification-challenge"))


def _okta_answer(text: str, *_: Any) -> HandshakeReply:
    return _answer_json({"verification": text})


def _cloud_events_origin(call: HandshakeRequest, _: Authenticator) -> str | None:
    return echoed(call.headers.get("webhook-request-origin"))


def _cloud_events_answer(origin: str, call: HandshakeRequest, _: Authenticator) -> HandshakeReply:
    rate = (("WebHook-Allowed-Rate", "*"),) if "webhook-request-rate" in call.headers else ()
    headers = (("WebHook-Allowed-Origin", origin), *rate, ("Allow", "POST"))
    return HandshakeReply(ALIVE, headers=headers)


def _zoom_token(call: HandshakeRequest, authenticator: Authenticator) -> tuple[str, bytes] | None:
    asked = call.json
    if not isinstance(asked, dict) or asked.get("event") != "endpoint.url_validation":
        return None
    payload = None if asked.keys() - {"event", "event_ts", "payload"} else asked.get("payload")
    if not isinstance(payload, dict) or list(payload) != ["plainToken"]:
        return None
    token = echoed(payload["plainToken"])
    key = authenticator.signing_key(call.headers, call.body)
    return (token, key) if token and key else None


def _zoom_answer(token_and_key: tuple[str, bytes], *_: Any) -> HandshakeReply:
    token, key = token_and_key
    encrypted = hmac.new(key, token.encode(), "sha256").hexdigest()
    return _answer_json({"plainToken": token, "encryptedToken": encrypted})


def _is_without_credentials(authenticator: Authenticator) -> bool:
    return type(authenticator) is Authenticator


def _asana_secret(call: HandshakeRequest, authenticator: Authenticator) -> str | None:
    secret = call.headers.get("x-hook-secret", "")
    if not HOOK_SECRET.fullmatch(secret):
        return None
    has_events = call.body.strip() not in NO_EVENTS and call.json != {"events": []}
    return None if has_events else secret


def _expected_asana_secret(call: HandshakeRequest, authenticator: Authenticator) -> str | None:
    # Asana names the secret in the first request of a new webhook, which nothing can prove.
    is_asanas = authenticator.hidden_header == "x-hook-signature"
    expected = is_asanas or _is_without_credentials(authenticator)
    return _asana_secret(call, authenticator) if expected else None


def _asana_answer(secret: str, _: HandshakeRequest, authenticator: Authenticator) -> HandshakeReply:
    notice = ""
    if _is_without_credentials(authenticator):
        shown = secret if HEX_SECRET.fullmatch(secret) else f'"{secret[:NOTICE_CHARACTERS]}"'
        notice = (
            "If you have just registered this webhook at Asana, enter as Username "
            f"_hmac:X-Hook-Signature and as Password {shown}. "
            "If you have not, somebody else sent this: ignore it."
        )
    return HandshakeReply(ALIVE, headers=(("X-Hook-Secret", secret),), notice=notice)


def _sns_url(call: HandshakeRequest, _: Authenticator) -> str | None:
    asked = call.json
    if not isinstance(asked, dict) or asked.get("Type") != "SubscriptionConfirmation":
        return None
    if not isinstance(asked.get("SubscribeURL"), str):
        return None
    if not SNS_URL.fullmatch(asked["SubscribeURL"]):
        raise HandshakeError(
            "SubscribeURL is not an address of Amazon SNS, "
            "https://sns.<region>.amazonaws.com/..., and was not fetched.",
            True,
        )
    return asked["SubscribeURL"]


def _confirm_sns(url: str, call: HandshakeRequest, _: Authenticator) -> HandshakeReply:
    """Fetch the URL that confirms a subscription; raises HandshakeError."""
    failure, _content = ask_sns(url, call.use_proxy)
    if failure:
        raise HandshakeError(
            f"The subscription could not be confirmed at Amazon SNS: {failure}. "
            "Let SNS request it again.",
            False,
        )
    return HandshakeReply(b'{"status":"confirmed"}')


def _url_check(call: HandshakeRequest, authenticator: Authenticator) -> bool | None:
    return None if call.query else True


def _proven_url_check(call: HandshakeRequest, authenticator: Authenticator) -> bool | None:
    return True if list(call.fields) == [authenticator.hidden_query] else None


URL_CHECKS = (  # forms that request a URL before they accept it
    Handshake("URL check", True, _url_check, _answer_alive),
    Handshake("URL check", False, _proven_url_check, _answer_alive),
)
EVENT_GRID_MARK = b"Microsoft.EventGrid.SubscriptionValidationEvent"
HANDSHAKES = {
    "GET": (
        # https://developer.okta.com/docs/concepts/event-hooks/
        Handshake("Okta", True, _okta_challenge, _okta_answer),
        # https://developers.facebook.com/docs/graph-api/webhooks/getting-started
        Handshake("Meta", True, _meta_challenge, _answer_text),
        # https://www.dropbox.com/developers/reference/webhooks
        Handshake("Dropbox", True, _dropbox_challenge, _answer_text),
        *URL_CHECKS,
    ),
    "HEAD": URL_CHECKS,
    "OPTIONS": (
        # https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md
        Handshake("CloudEvents", True, _cloud_events_origin, _cloud_events_answer),
    ),
    "POST": (
        # https://docs.slack.dev/reference/events/url_verification (signed as all its requests)
        Handshake("Slack", False, _slack_challenge, _answer_challenge, b'"challenge"'),
        # https://developer.monday.com/api-reference/reference/webhooks
        Handshake("monday.com", True, _lone_challenge, _answer_challenge, b'"challenge"'),
        # https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
        Handshake("Microsoft Graph", True, _graph_token, _answer_text, b"", "validationToken"),
        # https://learn.microsoft.com/azure/event-grid/webhook-event-delivery
        Handshake("Azure Event Grid", True, _event_grid_code, _code_answer, EVENT_GRID_MARK),
        # https://developers.zoom.us/docs/api/webhooks/
        # Not unsigned, because a stranger could have any text signed.
        Handshake("Zoom", False, _zoom_token, _zoom_answer, b"endpoint.url_validation"),
        # https://dev.twitch.tv/docs/eventsub/handling-webhook-events/
        Handshake("Twitch", False, _twitch_challenge, _answer_text, b'"challenge"'),
        # https://developers.asana.com/docs/webhooks-guide
        Handshake("Asana", True, _expected_asana_secret, _asana_answer, b"", "x-hook-secret"),
        Handshake("Asana", False, _asana_secret, _asana_answer, b"", "x-hook-secret"),
        # https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.prepare.html
        Handshake("Amazon SNS", False, _sns_url, _confirm_sns, b"SubscriptionConfirmation"),
    ),
}
BODY_MARKS = tuple({row.mark for row in HANDSHAKES["POST"] if row.mark})
HEAD_MARKS = tuple({row.head_mark for row in HANDSHAKES["POST"] if not row.mark})
