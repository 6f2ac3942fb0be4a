"""Who sent a request: credentials, signatures, source addresses, and the handshakes of vendors.

What it is for: a request's headers, query string and body go in, and a ProofError that says what is
missing comes out unless they prove the sender. A vendor's handshake goes in, and its answer comes
out. The module knows nothing of HTTP answers and their statuses, of Cortex XSOAR, or of incidents.

| section | what it does |
| --- | --- |
| Sources | which addresses may connect, and which address counts behind a proxy |
| Failed logins | guessing becomes slow |
| Authentication | schemes: Basic, a token in a header or a query field, signatures of the body |
| Handshakes | what vendors ask before they send events |
"""

import base64
import binascii
import contextlib
import difflib
import functools
import hashlib
import hmac
import ipaddress
import itertools
import json
import os
import re
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
# Sources: which addresses may connect, and which address counts behind a proxy
# -------------------------------------------------------------------------------------------------

# A frozenset keeps its hash, which the caches below ask for on every request.
Networks = frozenset[ipaddress.IPv4Network | ipaddress.IPv6Network]
UNKNOWN_ADDRESS = "unknown"
MAX_ADDRESS_CHARACTERS = 64  # an address with port, brackets and zone; longer texts are not one
MAX_HOPS = 10  # of X-Forwarded-For that are looked at: no request passes more trusted proxies


def parse_networks(parts: Iterable[str]) -> Networks:
    """Return the networks of addresses and CIDR blocks; white space separates several in one text.

    Raises ValueError that says what to write instead.
    """
    networks = set()
    for part in " ".join(parts).split():
        try:
            networks.add(ipaddress.ip_network(part, strict=False))
        except ValueError:
            raise ValueError(
                f"{part} is not an address or a CIDR block; write for example 192.0.2.7, "
                "198.51.100.0/24 or 2001:db8::/32."
            ) from None
    return frozenset(networks)


@functools.lru_cache(maxsize=4096)
def is_within(address: str, networks: Networks) -> bool:
    """Return whether an address is in one of the networks; any other text is in none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def is_allowed(address: str, networks: Networks) -> bool:
    """Return whether an address may connect; without networks every address may."""
    return not networks or is_within(address, networks)


@functools.lru_cache(maxsize=4096)
def plain_address(text: str) -> str:
    """Return the address of a socket or of X-Forwarded-For without port, brackets and zone.

    An IPv4 address that an IPv6 socket shows (``::ffff:192.0.2.7``) becomes IPv4, and a text that
    is not an address becomes ``unknown``.
    """
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return UNKNOWN_ADDRESS
    return str(getattr(address, "ipv4_mapped", None) or address)


def source_address(peer: str, forwarded_for: str, trusted: Networks) -> str:
    """Return the sender's address: the peer's or, behind trusted proxies, the one they forward for.

    Each proxy appends the address its own request came from. The right-most one that is not a
    trusted proxy's counts, because the sender may have invented everything to the left of it. It is
    ``unknown``, which is in no network, where it would lie beyond MAX_HOPS.
    """
    address = plain_address(peer)
    if not trusted or not forwarded_for or not is_within(address, trusted):
        return address
    hops = forwarded_for.rsplit(",", MAX_HOPS)
    for hop in reversed(hops[-MAX_HOPS:]):
        address = plain_address(hop[:MAX_ADDRESS_CHARACTERS])
        if not is_within(address, trusted):
            return address
    return UNKNOWN_ADDRESS if len(hops) > MAX_HOPS else address


# -------------------------------------------------------------------------------------------------
# Failed logins: guessing becomes slow
# -------------------------------------------------------------------------------------------------

MAX_FAILING_ADDRESSES = 1024
FREE_FAILURES = 3  # a typo or two is answered at once
FAILURE_MEMORY_SECONDS = 60
FIRST_DELAY_SECONDS = 0.1  # doubled with each further failure
MAX_DELAY_SECONDS = 1.0  # a delayed answer occupies a connection


class FailedLogins:
    """How often each address failed to authenticate lately, so that guessing becomes slow."""

    def __init__(self) -> None:
        # address: number of failures in a row, time of the last one; the oldest stands first
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def add(self, address: str) -> float:
        """Count a failed authentication and return the seconds by which to delay its answer."""
        now = time.monotonic()
        count, last = self._failures.pop(address, (0, now))
        count = 1 if now - last > FAILURE_MEMORY_SECONDS else count + 1
        self._failures[address] = (count, now)
        if len(self._failures) > MAX_FAILING_ADDRESSES:
            self._failures.popitem(last=False)
        if count <= FREE_FAILURES:
            return 0.0
        doublings = min(count - FREE_FAILURES - 1, 10)
        return min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2**doublings)


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
TYPED_URL = re.compile(r"https://[!-~]+")
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
RFC3339_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z"
)
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
MANY_TOKEN_FIELDS = (
    f"The query string has more than {MAX_TOKEN_FIELDS} fields; send them in the body."
)
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
        self.sentence = sentence
        self.challenge = challenge


class MissingCredentials(ProofError):
    """The request does not even try to prove its sender, as vendors' handshakes do not."""


class CredentialError(ValueError):
    """A Username or Password that cannot be used.

    ``field`` names which of the two, ``fix`` says what to enter.
    """

    def __init__(self, field: str, fix: str) -> None:
        super().__init__(f"{field}: {fix}")
        self.field = field
        self.fix = fix


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
        """Raise ProofError unless the sender signed the body as it arrived.

        It is called after ``verify_headers`` has passed.
        """

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
        """Return the secret that proved this request, with which some answers have to be signed.

        It is empty without one.
        """
        return self.secrets[0] if self.secrets else b""


class BasicAuthenticator(Authenticator):
    """Basic authentication, RFC 7617, with UTF-8 credentials."""

    hidden_header = "authorization"

    def __init__(self, username: str, password: str) -> None:
        self.secrets = (password.encode(),)
        self.expected = f"{username}:{password}".encode()

    def verify_headers(self, headers: Headers, query: str = "", repeated: Names = NO_NAMES) -> None:
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        given = b""
        if scheme.lower() == "basic":
            with contextlib.suppress(binascii.Error):
                given = base64.b64decode(encoded.strip().encode("latin-1"), validate=True)
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
            raise ProofError(MANY_TOKEN_FIELDS)
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
        if len(text) > self._longest_name:
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

    headers: tuple[SignatureHeaders, ...]  # the first one present counts; none: Username names it
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
        self._name = name
        headers = scheme.headers or (SignatureHeaders(name.lower()),)
        self._names = tuple(
            each._replace(timestamp=each.timestamp.format(name=name.lower())) for each in headers
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
        for timestamp, key in itertools.product(self._timestamps(headers, names), self._keys):
            parts = {"timestamp": timestamp, "id": headers.get(names.identifier, "")}
            before, after = (
                part.format(name=self._name, **parts).encode("latin-1")
                for part in self._scheme.signed.split("{body}")
            )
            full_key = self._scheme.key.format(**parts).encode() + key
            expected = hmac.new(full_key, before, self._scheme.algorithm)
            expected.update(body)
            expected.update(after)
            if _is_one_of(expected.digest(), digests):
                matching = key
        return matching

    def _names_in(self, headers: Headers) -> SignatureHeaders | None:
        return next((names for names in self._names if names.signature in headers), None)

    def _digests(self, value: str) -> tuple[bytes, ...]:
        """Return the signatures in a header's value that have the scheme's length."""
        size = hashlib.new(self._scheme.algorithm).digest_size
        written = self._scheme.written.finditer(value[:MAX_SIGNATURE_CHARACTERS])
        read = (read_digest(match[1]) for match in itertools.islice(written, MAX_SIGNATURES))
        return tuple(digest for digest in read if len(digest) == size)

    def _timestamps(self, headers: Headers, names: SignatureHeaders) -> list[str]:
        """Return the recent timestamps that may have been signed; an empty one where none is."""
        scheme = self._scheme
        if "." in headers.get(
            names.identifier, ""
        ):  # `a.1` and `2` are signed as `a` and `1.2` are
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
    with contextlib.suppress(ValueError):
        return bytes.fromhex(text)
    with contextlib.suppress(ValueError):
        return read_base64(text)
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
    try:
        key = read_base64(text.removeprefix("v1,").removeprefix("whsec_"))  # v1,: Supabase
    except ValueError:
        key = b""
    if not key:
        raise CredentialError(
            "Password",
            "copy the secret as the sender shows it: whsec_ followed by base64; "
            "of several secrets, each stands on its own line.",
        )
    return key


def read_teams_secret(text: str) -> bytes:
    """Return the key that a security token of Teams stands for; raises CredentialError."""
    try:
        key = read_base64(text)
    except ValueError:
        key = b""
    if not key:
        raise CredentialError("Password", "copy the security token as Teams shows it, in base64.")
    return key


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
    # GitHub, Shopify, Jira, Linear, Sentry, PagerDuty and most others
    "_hmac": SignatureScheme((), "{body}", ANY_SIGNATURE),
    "_hmac-sha1": SignatureScheme((), "{body}", ANY_SIGNATURE, "sha1"),
    "_hmac-sha512": SignatureScheme((), "{body}", ANY_SIGNATURE, "sha512"),
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    "_standard-webhooks": SignatureScheme(
        tuple(
            SignatureHeaders(f"{sender}-signature", f"{sender}-timestamp", f"{sender}-id")
            for sender in ("webhook", "svix")
        ),
        "{id}.{timestamp}.{body}",
        STANDARD_SIGNATURE,
        read_key=read_standard_secret,
    ),
    # https://docs.slack.dev/authentication/verifying-requests-from-slack
    "_slack": SignatureScheme(
        (SignatureHeaders("x-slack-signature", "x-slack-request-timestamp"),),
        "v0:{timestamp}:{body}",
        V0_SIGNATURE,
    ),
    # https://developers.zoom.us/docs/api/webhooks/
    "_zoom": SignatureScheme(
        (SignatureHeaders("x-zm-signature", "x-zm-request-timestamp"),),
        "v0:{timestamp}:{body}",
        V0_SIGNATURE,
    ),
    # https://docs.stripe.com/webhooks
    "_stripe": SignatureScheme(
        (), "{timestamp}.{body}", V1_SIGNATURE, timestamp_written=STRIPE_TIMESTAMP
    ),
    # https://developer.zendesk.com/documentation/webhooks/verifying/
    "_zendesk": SignatureScheme(
        (SignatureHeaders("x-zendesk-webhook-signature", "x-zendesk-webhook-signature-timestamp"),),
        "{timestamp}{body}",
        ANY_SIGNATURE,
        timestamp_form=RFC3339_TIME,
    ),
    # https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-outgoing-webhook
    "_teams": SignatureScheme(
        (SignatureHeaders("authorization"),), "{body}", TEAMS_SIGNATURE, read_key=read_teams_secret
    ),
    # https://developers.hubspot.com/docs/guides/apps/authentication/validating-requests
    "_hubspot": SignatureScheme(
        (SignatureHeaders("x-hubspot-signature-v3", "x-hubspot-request-timestamp"),),
        "POST{name}{body}{timestamp}",
        ANY_SIGNATURE,
        timestamp_form=UNIX_MILLISECONDS,
    ),
    # https://docs.gitguardian.com/platform/configure-alerting/notifiers-integrations/custom-webhook
    "_gitguardian": SignatureScheme(
        (SignatureHeaders("gitguardian-signature", "timestamp"),),
        "{body}",
        ANY_SIGNATURE,
        timestamp_form=UNIX_SECONDS,
        key="{timestamp}",
    ),
    # https://docs.rootly.com/configuration/webhooks
    "_rootly": SignatureScheme(
        (SignatureHeaders("x-rootly-signature"),),
        "{timestamp}{body}",
        V1_SIGNATURE,
        timestamp_written=STRIPE_TIMESTAMP,
        timestamp_form=UNIX_SECONDS,
    ),
    # https://apidocs.verkada.com/reference/securing-webhooks
    "_verkada": SignatureScheme(
        (SignatureHeaders("verkada-signature"),),
        "{body}|{timestamp}",
        VERKADA_SIGNATURE,
        timestamp_written=VERKADA_TIMESTAMP,
    ),
    # https://developer.paddle.com/webhooks/signature-verification
    "_paddle": SignatureScheme(
        (SignatureHeaders("paddle-signature"),),
        "{timestamp}:{body}",
        PADDLE_SIGNATURE,
        timestamp_written=PADDLE_TIMESTAMP,
    ),
    # https://dev.twitch.tv/docs/eventsub/handling-webhook-events/
    "_twitch": SignatureScheme(
        (
            SignatureHeaders(
                "twitch-eventsub-message-signature",
                "twitch-eventsub-message-timestamp",
                "twitch-eventsub-message-id",
            ),
        ),
        "{id}{timestamp}{body}",
        ANY_SIGNATURE,
        timestamp_form=RFC3339_TIME,
        tolerance=600,
    ),
    # https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/
    "_grafana": SignatureScheme(
        (SignatureHeaders("x-grafana-alerting-signature", "{name}"),),
        "{timestamp}:{body}",
        ANY_SIGNATURE,
    ),
    # https://marketplace.crowdstrike.com/listings/webhook
    "_crowdstrike": SignatureScheme(
        (SignatureHeaders("x-cs-primary-signature", "x-cs-delivery-timestamp"),),
        "{body}{timestamp}",
        ANY_SIGNATURE,
        timestamp_form=RFC3339_TIME,
    ),
}
SCHEME_EXAMPLES = {  # of what follows the colon in the parameter Username; empty: nothing does
    "_header": "<HEADER-NAME>, such as _header:Authorization",
    "_hmac": "<HEADER-NAME>, such as _hmac:X-Hub-Signature-256",
    "_hmac-sha1": "<HEADER-NAME>, such as _hmac-sha1:X-Hub-Signature",
    "_hmac-sha512": "<HEADER-NAME>, such as _hmac-sha512:X-TFE-Notification-Signature",
    "_standard-webhooks": "",
    "_slack": "",
    "_zoom": "",
    "_stripe": "<HEADER-NAME>, such as _stripe:Stripe-Signature",
    "_query": "<FIELD-NAME>, such as _query:token",
    "_zendesk": "",
    "_teams": "",
    "_hubspot": "<URL>, such as _hubspot:https://xsoar.example.com/instance/execute/hubspot",
    "_gitguardian": "",
    "_rootly": "",
    "_verkada": "",
    "_paddle": "",
    "_twitch": "",
    "_grafana": "<HEADER-NAME>, such as _grafana:X-Grafana-Alerting-Timestamp",
    "_crowdstrike": "",
}
TYPED_NAMES = {"_query": TYPED_FIELD_NAME, "_hubspot": TYPED_URL}
FORMER_SCHEMES = {"_hmac-sha256": "_hmac"}  # a scheme that went, and the one that does the same
# Headers that hold a signature of more than the body, and the Username that verifies it.
OWN_SCHEMES = {
    names.signature: f"{name}:<URL>" if name == "_hubspot" else name
    for name, scheme in SIGNATURE_SCHEMES.items()
    for names in scheme.headers
    if name not in ("_teams", "_grafana")  # others use that header, too, or sign the body alone
} | {"stripe-signature": "_stripe:Stripe-Signature"}
SLACK_TOKEN = "it is a token; copy the Signing Secret from the app's Basic Information."  # noqa: S105
STRIPE_KEY = "it is an API key; copy the endpoint's signing secret, whsec_..."
WRONG_SECRETS = (  # how those of a vendor's secrets begin that do not sign
    ("_slack", ("xox", "xapp-"), SLACK_TOKEN),
    ("_stripe", ("sk_", "pk_", "rk_"), STRIPE_KEY),
)


def choose_authenticator(username: str, password: str) -> Authenticator:
    """Return the authenticator for the parameters Username and Password; raises CredentialError."""
    if not username and not password:
        return Authenticator()
    for field, text in (("Username", username), ("Password", password)):
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            raise CredentialError(field, "it holds half a character; type it once more.")
    if not username or not password:
        raise CredentialError(
            "Password" if username else "Username",
            "it is empty while the other of the two is not; fill in both, or neither.",
        )
    scheme, colon, name = username.partition(":")
    scheme, name = scheme.strip().lower(), name.strip(" ")
    if scheme not in SCHEME_EXAMPLES:
        refuse_mistyped_scheme(scheme, name, bool(colon))
        return BasicAuthenticator(username, password)
    refuse_malformed_name(scheme, name)
    if not password.strip():
        raise CredentialError(
            "Password", "it is nothing but white space; enter the secret that the sender has, too."
        )
    if len(read_secrets(password)) > MAX_SECRETS:
        raise CredentialError("Password", f"it holds more than {MAX_SECRETS} lines, one a secret.")
    if scheme == "_header":
        if any(map(NOT_IN_HEADERS.search, read_secrets(password))):
            raise CredentialError(
                "Password", "no header can carry it: remove its control characters."
            )
        return HeaderAuthenticator(name, password)
    if scheme == "_query":
        return QueryAuthenticator(name, password)
    return choose_signature(scheme, name, password)


def scheme_usage(scheme: str) -> str:
    """Return how a scheme is written in the parameter Username."""
    example = SCHEME_EXAMPLES[scheme]
    return f"{scheme}:{example}, without spaces" if example else f"{scheme}, with nothing after it"


def refuse_malformed_name(scheme: str, name: str) -> None:
    """Raise CredentialError unless what follows the scheme in Username is what it asks for."""
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
CONFIRM_SECONDS = 10
MAX_CONFIRMATIONS = 4  # at a time; where egress is dropped, each keeps a thread until it gives up
CONFIRM_AGAIN_SECONDS = 30
# The whole URL is matched, because two parsers of one URL may disagree on where its host ends. The
# region has its form, such as us-gov-west-1, because sns.s3.amazonaws.com is anybody's bucket.
SNS_URL = re.compile(
    r"https://sns\.(?:cn-[a-z]{2,12}-[0-9]{1,2}\.amazonaws\.com\.cn"
    r"|(?!cn-)[a-z]{2}(?:-[a-z]{2,12}){1,2}-[0-9]{1,2}\.amazonaws\.com)(?::443)?/[!-\[\]-~]*+"
)
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


def _event_grid_answer(code: str, *_: Any) -> HandshakeReply:
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
    """Fetch the URL that confirms a subscription, while other requests go on.

    Raises HandshakeError.
    """
    pool = _confirmation_pool()
    if len(pool) >= MAX_CONFIRMATIONS:
        raise HandshakeError(
            f"{MAX_CONFIRMATIONS} subscriptions are being confirmed at Amazon SNS; "
            "let SNS request it again.",
            False,
            CONFIRM_AGAIN_SECONDS,
        )
    attempt = pool.spawn(confirm_subscription, url, call.use_proxy)
    try:
        failure = attempt.get(timeout=CONFIRM_SECONDS)
    except gevent.Timeout:
        failure = f"no answer within {CONFIRM_SECONDS} s"
    if failure:
        raise HandshakeError(
            f"The subscription could not be confirmed at Amazon SNS: {failure}. "
            "Let SNS request it again.",
            False,
        )
    return HandshakeReply(b'{"status":"confirmed"}')


@functools.cache
def _confirmation_pool() -> ThreadPool:
    """Return the native threads for confirmations, made when the first one is asked for.

    They are not those of gevent's event loop, which resolve names for everybody: a confirmation
    that hangs keeps its thread.
    """
    return ThreadPool(MAX_CONFIRMATIONS)


def confirm_subscription(url: str, use_proxy: bool) -> str:
    """Fetch a URL of SNS, with or without the system's proxy.

    Returns why that failed, empty after a success. It blocks for up to CONFIRM_SECONDS a step, so
    it belongs on a native thread.
    """
    import requests  # CommonServerPython's own HTTP client; only this handshake needs it

    # XSOAR puts a user's own CA certificates there.
    trusted = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or True
    with requests.Session() as session:
        session.trust_env = False  # the environment's proxy counts where the instance says so
        proxies = requests.utils.get_environ_proxies(url) if use_proxy else {}
        try:
            with session.get(
                url,
                timeout=CONFIRM_SECONDS,
                allow_redirects=False,
                proxies=proxies,
                verify=trusted,
                stream=True,
            ) as response:
                answered = response.status_code
        except (requests.RequestException, OSError) as error:
            return type(error).__name__
    return "" if answered == 200 else f"it answered {answered}"


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
        Handshake("Azure Event Grid", True, _event_grid_code, _event_grid_answer, EVENT_GRID_MARK),
        # https://developers.zoom.us/docs/api/webhooks/
        # Not unsigned, because a stranger could have any text signed.
        Handshake("Zoom", False, _zoom_token, _zoom_answer, b"endpoint.url_validation"),
        # https://developers.asana.com/docs/webhooks-guide
        Handshake("Asana", True, _expected_asana_secret, _asana_answer, b"", "x-hook-secret"),
        Handshake("Asana", False, _asana_secret, _asana_answer, b"", "x-hook-secret"),
        # https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.prepare.html
        Handshake("Amazon SNS", False, _sns_url, _confirm_sns, b"SubscriptionConfirmation"),
    ),
}
BODY_MARKS = tuple({row.mark for row in HANDSHAKES["POST"] if row.mark})
HEAD_MARKS = tuple({row.head_mark for row in HANDSHAKES["POST"] if not row.mark})
