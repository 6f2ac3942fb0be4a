"""How vendors sign what they send: one row for each scheme.

What it is for: a scheme, a secret, and a request's headers, query string and body go in; whether
the signature is that of the secret comes out. A row says what is signed, how the key and the
signature are written, and where the timestamp stands and how old it may be: a new vendor is a new
row. The module knows nothing of other ways to prove a sender, of HTTP answers, of Cortex XSOAR, or
of incidents.

| section | what it does |
| --- | --- |
| Verifying | the digests and timestamps of a head, and the hash of a body |
| Keys, Forms | how secrets, signatures and timestamps are written |
| Schemes | the rows |
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import itertools
import re
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple
from urllib.parse import parse_qsl

# -------------------------------------------------------------------------------------------------
# Verifying: a head is looked at first, and its body is hashed only where the head may be right
#
# The body is hashed as the bytes that arrived: a compressed body stays compressed, because the
# sender signed what it sent. Digests are compared as bytes and in constant time.
# -------------------------------------------------------------------------------------------------

# Between a signature's timestamp and our clock: Slack, Stripe and Standard Webhooks agree on it.
TOLERANCE_SECONDS = 300
# What is looked at of a signature's header; a sender that rotates its secret sends two signatures.
MAX_SIGNATURE_CHARACTERS = 4 * 1024
MAX_SIGNATURES = 16
MAX_TIMESTAMPS = 2  # of one header that are tried: each costs a hash of the whole body
MAX_SECONDS_TIMESTAMP = 100_000_000_000  # in the year 5138; larger ones are milliseconds (WorkOS)
MAX_SIGNED_FORM_BYTES = 64 * 1024  # of a body whose fields are signed: a stranger's is parsed, too
MAX_SIGNED_FIELDS = 200
NO_SIGNATURE = (
    "The signature in {header} is missing or unreadable; "
    "let the sender sign its deliveries with this webhook's secret."
)
STALE_TIMESTAMP = (
    "The timestamp that was signed is missing or more than {minutes} minutes from now; "
    "check the clocks of both ends."
)
WRONG_SIGNATURE = (
    "The signature in {header} does not match; "
    "use the same secret on both ends, and sign the body's bytes as they are sent."
)
BAD_IDENTIFIER = (
    "The delivery's ID holds a full stop, which Standard Webhooks does not allow: "
    "it separates the ID from the timestamp in what is signed."
)

SignedHeaders = dict[str, str]  # names in lower case, values in Latin-1


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

    # of each sender, by spaces, as the vendor spells them; the first present counts; none: Username
    headers: tuple[str, ...]
    signed: str
    written: re.Pattern[str]  # each signature in the header's value, hex or base64
    algorithm: str = "sha256"
    timestamp_written: re.Pattern[str] | None = None  # the timestamp in the signature's header
    timestamp_form: re.Pattern[str] | None = None  # UNIX_TIME where it is not given
    tolerance: int = TOLERANCE_SECONDS  # seconds
    read_key: Callable[[str], bytes] = str.encode  # from a secret in the parameter Password
    key: str = ""  # what stands before the secret in the key
    example: str = ""  # of what follows the colon in Username; empty: nothing does
    name_form: re.Pattern[str] | None = None  # of that; SIGNATURE_HEADER_NAME where it is not given
    wrong_secrets: tuple[tuple[str, ...], str] = ((), "")  # how those begin, and what to do
    is_header_shared: bool = False  # others use that header, too, or sign the body alone
    # What is signed instead of the body, from the name, the query string and the body; None: it
    # cannot be a signed one.
    read_body: Callable[[str, str, bytes], bytes | None] | None = None


class SignatureVerifier:
    """Verifies the deliveries of one scheme; ``secrets`` are as they stand in Password.

    ``headers`` are those that may hold the signature, and ``header`` is how people know it.
    ``identifies`` says that the scheme has an ID for each delivery, which is signed.
    """

    hides_secrets = True

    def __init__(self, scheme: SignatureScheme, name: str, secrets: Iterable[str]) -> None:
        self._scheme, self._name = scheme, name
        self._size = hashlib.new(scheme.algorithm).digest_size
        self._before, self._after = (
            part.replace("{name}", name) for part in scheme.signed.split("{body}")
        )
        spelled = [text.format(name=name) for text in scheme.headers or ("{name}",)]
        self._names = tuple(SignatureHeaders(*text.lower().split()) for text in spelled)
        self.header = spelled[0].split()[0]
        self.headers = tuple(names.signature for names in self._names)
        self.identifies = bool(self._names[0].identifier)
        self._keys = {secret: scheme.read_key(secret) for secret in secrets}

    def head_problem(self, headers: SignedHeaders) -> str:
        """Return why a head cannot be that of a delivery with a right signature; empty: it may."""
        names = self._names_in(headers)
        if names is None or not self._digests(headers[names.signature]):
            return NO_SIGNATURE.format(header=self.header)
        if names.identifier and not headers.get(names.identifier):
            return NO_SIGNATURE.format(header=f"{self.header}, or {names.identifier},")
        if names.identifier and "." in headers[names.identifier]:
            return BAD_IDENTIFIER
        if not self._timestamps(headers, names):
            return STALE_TIMESTAMP.format(minutes=self._scheme.tolerance // 60)
        return ""

    def find(
        self, headers: SignedHeaders, query: str, body: bytes, secrets: Iterable[str]
    ) -> tuple[list[str], str]:
        """Return which of some secrets the body is signed with, and what is wrong if none is.

        Each secret costs the same, whether it fits or not. The body's head has no problem.
        """
        names = self._names_in(headers)
        if self._scheme.read_body is not None:
            read = self._scheme.read_body(self._name, query, body)
            body, names = (b"", None) if read is None else (read, names)
        if names is None:
            return [], WRONG_SIGNATURE.format(header=self.header)
        digests = self._digests(headers[names.signature])
        identifier = headers.get(names.identifier, "")
        found = []
        for timestamp, secret in itertools.product(self._timestamps(headers, names), secrets):
            # The timestamp comes first, for only the ID may hold braces.
            own, before, after = (
                part.replace("{timestamp}", timestamp).replace("{id}", identifier).encode("latin-1")
                if part
                else b""
                for part in (self._scheme.key, self._before, self._after)
            )
            expected = hmac.new(own + self._keys[secret], before, self._scheme.algorithm)
            expected.update(body)
            expected.update(after)
            if _is_one_digest(expected.digest(), digests):
                found.append(secret)
        return found, "" if found else WRONG_SIGNATURE.format(header=self.header)

    def event_id(self, headers: SignedHeaders) -> str | None:
        """Return the scheme's ID of a delivery, the same each time it is sent; None without one."""
        names = self._names_in(headers)
        return headers.get(names.identifier) if names and names.identifier else None

    def _names_in(self, headers: SignedHeaders) -> SignatureHeaders | None:
        return next((names for names in self._names if names.signature in headers), None)

    def _digests(self, value: str) -> tuple[bytes, ...]:
        """Return the signatures in a header's value that have the scheme's length."""
        written = self._scheme.written.finditer(value[:MAX_SIGNATURE_CHARACTERS])
        read = (read_digest(match[1]) for match in itertools.islice(written, MAX_SIGNATURES))
        return tuple(digest for digest in read if len(digest) == self._size)

    def _timestamps(self, headers: SignedHeaders, names: SignatureHeaders) -> list[str]:
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
        form = scheme.timestamp_form or UNIX_TIME
        return [text for text in timestamps if is_recent(text, form, scheme.tolerance)]


def _is_one_digest(given: bytes, expected: Iterable[bytes]) -> bool:
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


# -------------------------------------------------------------------------------------------------
# Keys and what is signed: read from a secret, from a body, from a header
# -------------------------------------------------------------------------------------------------


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


def read_standard_secret(text: str) -> bytes:
    """Return the key of a secret of Standard Webhooks; raises ValueError that says the fix."""
    if text.startswith(("whsk_", "whpk_")):
        raise ValueError(
            f"{text[:5]}... is an asymmetric key; ask the sender for a secret, whsec_..."
        )
    text = text.removeprefix("v1,").removeprefix("whsec_")  # v1,whsec_... is Supabase's spelling
    return _read_base64_key(
        text,
        "copy the secret as the sender shows it: whsec_ followed by base64; of several secrets, "
        "each stands on its own line.",
    )


def read_teams_secret(text: str) -> bytes:
    """Return the key that a security token of Teams stands for; raises ValueError."""
    return _read_base64_key(text, "copy the security token as Teams shows it, in base64.")


def _read_base64_key(text: str, fix: str) -> bytes:
    with contextlib.suppress(binascii.Error, ValueError):
        if key := read_base64(text):
            return key
    raise ValueError(fix)


def read_twilio_fields(url: str, query: str, body: bytes) -> bytes | None:
    """Return what Twilio signs after the URL: the fields of a form, sorted, without separators.

    For any other body, Twilio adds its SHA-256 to the URL, and signs nothing but that.
    """
    hashed = [field for field in query.split("&") if field.startswith("bodySHA256=")]
    if hashed:
        digest = read_digest(hashed[0].partition("=")[2])
        if len(hashed) > 1 or not hmac.compare_digest(digest, hashlib.sha256(body).digest()):
            return None
        return (("&" if "?" in url else "?") + hashed[0]).encode("latin-1")
    if len(body) > MAX_SIGNED_FORM_BYTES or body.count(b"&") >= MAX_SIGNED_FIELDS:
        return None
    fields = set(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
    return "".join(name + value for name, value in sorted(fields)).encode("utf-8", "replace")


# -------------------------------------------------------------------------------------------------
# Forms: how signatures, timestamps and what follows a scheme in Username are written
# -------------------------------------------------------------------------------------------------

SIGNATURE_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
URL_NAME = re.compile(r"https://[!-z~]+")
UNIX_TIME = re.compile(r"[0-9]{1,16}")
UNIX_SECONDS = re.compile(r"[0-9]{10}(?:\.[0-9]{1,9})?")
UNIX_MILLISECONDS = re.compile(r"[0-9]{13}")
RFC3339_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)
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

# -------------------------------------------------------------------------------------------------
# Schemes: one row each, by the name that stands in Username
# -------------------------------------------------------------------------------------------------

SLACK_TOKEN = "it is a token; copy the Signing Secret from the app's Basic Information."  # noqa: S105
STRIPE_KEY = "it is an API key; copy the endpoint's signing secret, whsec_..."
TYPED_HUBSPOT = "<URL>, such as _hubspot:https://xsoar.example.com/instance/execute/hubspot"
TYPED_TWILIO = "<URL>, such as _twilio:https://xsoar.example.com/instance/execute/twilio"
SIGNATURE_SCHEMES = {
    # GitHub, Shopify, Jira, Linear, Sentry, PagerDuty, Semgrep and most others
    "_hmac": SignatureScheme(
        (), "{body}", ANY_SIGNATURE, example="<HEADER-NAME>, such as _hmac:X-Hub-Signature-256"
    ),
    "_hmac-sha1": SignatureScheme(
        (),
        "{body}",
        ANY_SIGNATURE,
        "sha1",
        example="<HEADER-NAME>, such as _hmac-sha1:X-Hub-Signature",
    ),
    "_hmac-sha512": SignatureScheme(
        (),
        "{body}",
        ANY_SIGNATURE,
        "sha512",
        example="<HEADER-NAME>, such as _hmac-sha512:X-TFE-Notification-Signature",
    ),
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
        ("X-Slack-Signature X-Slack-Request-Timestamp",),
        "v0:{timestamp}:{body}",
        V0_SIGNATURE,
        wrong_secrets=(("xox", "xapp-"), SLACK_TOKEN),
    ),
    # https://developers.zoom.us/docs/api/webhooks/
    "_zoom": SignatureScheme(
        ("x-zm-signature x-zm-request-timestamp",), "v0:{timestamp}:{body}", V0_SIGNATURE
    ),
    # https://docs.stripe.com/webhooks
    "_stripe": SignatureScheme(
        (),
        "{timestamp}.{body}",
        V1_SIGNATURE,
        timestamp_written=STRIPE_TIMESTAMP,
        example="<HEADER-NAME>, such as _stripe:Stripe-Signature",
        wrong_secrets=(("sk_", "pk_", "rk_"), STRIPE_KEY),
    ),
    # https://developer.zendesk.com/documentation/webhooks/verifying/
    "_zendesk": SignatureScheme(
        ("X-Zendesk-Webhook-Signature X-Zendesk-Webhook-Signature-Timestamp",),
        "{timestamp}{body}",
        ANY_SIGNATURE,
        timestamp_form=RFC3339_TIME,
    ),
    # https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-outgoing-webhook
    "_teams": SignatureScheme(
        ("Authorization",),
        "{body}",
        TEAMS_SIGNATURE,
        read_key=read_teams_secret,
        is_header_shared=True,
    ),
    # https://developers.hubspot.com/docs/guides/apps/authentication/validating-requests
    "_hubspot": SignatureScheme(
        ("X-HubSpot-Signature-v3 X-HubSpot-Request-Timestamp",),
        "POST{name}{body}{timestamp}",
        ANY_SIGNATURE,
        timestamp_form=UNIX_MILLISECONDS,
        example=TYPED_HUBSPOT,
        name_form=URL_NAME,
    ),
    # https://www.twilio.com/docs/usage/security
    "_twilio": SignatureScheme(
        ("X-Twilio-Signature",),
        "{name}{body}",
        ANY_SIGNATURE,
        "sha1",
        example=TYPED_TWILIO,
        name_form=URL_NAME,
        read_body=read_twilio_fields,
    ),
    # https://docs.gitguardian.com/platform/configure-alerting/notifiers-integrations/custom-webhook
    "_gitguardian": SignatureScheme(
        ("Gitguardian-Signature Timestamp",),
        "{body}",
        ANY_SIGNATURE,
        timestamp_form=UNIX_SECONDS,
        key="{timestamp}",
    ),
    # https://docs.rootly.com/configuration/webhooks
    "_rootly": SignatureScheme(
        ("X-Rootly-Signature",),
        "{timestamp}{body}",
        V1_SIGNATURE,
        timestamp_written=STRIPE_TIMESTAMP,
        timestamp_form=UNIX_SECONDS,
    ),
    # https://apidocs.verkada.com/reference/securing-webhooks
    "_verkada": SignatureScheme(
        ("Verkada-Signature",),
        "{body}|{timestamp}",
        VERKADA_SIGNATURE,
        timestamp_written=VERKADA_TIMESTAMP,
    ),
    # https://developer.paddle.com/webhooks/signature-verification
    "_paddle": SignatureScheme(
        ("Paddle-Signature",),
        "{timestamp}:{body}",
        PADDLE_SIGNATURE,
        timestamp_written=PADDLE_TIMESTAMP,
    ),
    # https://dev.twitch.tv/docs/eventsub/handling-webhook-events/
    "_twitch": SignatureScheme(
        (
            "Twitch-Eventsub-Message-Signature Twitch-Eventsub-Message-Timestamp "
            "Twitch-Eventsub-Message-Id",
        ),
        "{id}{timestamp}{body}",
        ANY_SIGNATURE,
        timestamp_form=RFC3339_TIME,
        tolerance=600,
    ),
    # https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/
    "_grafana": SignatureScheme(
        ("X-Grafana-Alerting-Signature {name}",),
        "{timestamp}:{body}",
        ANY_SIGNATURE,
        example="<HEADER-NAME>, such as _grafana:X-Grafana-Alerting-Timestamp",
        is_header_shared=True,
    ),
    # https://marketplace.crowdstrike.com/listings/webhook
    "_crowdstrike": SignatureScheme(
        ("X-Cs-Primary-Signature X-Cs-Delivery-Timestamp",),
        "{body}{timestamp}",
        ANY_SIGNATURE,
        timestamp_form=RFC3339_TIME,
    ),
}
# Headers that hold a signature of more than the body, and the Username that verifies it.
OWN_SCHEMES = {
    text.split()[0].lower(): f"{name}:<URL>" if scheme.name_form is URL_NAME else name
    for name, scheme in SIGNATURE_SCHEMES.items()
    for text in scheme.headers
    if not scheme.is_header_shared
} | {"stripe-signature": "_stripe:Stripe-Signature"}


def name_problem(scheme: str, name: str) -> str:
    """Return why what follows a scheme in Username can never fit, empty where it may."""
    own = OWN_SCHEMES.get(name.lower()) if scheme.startswith("_hmac") else None
    return f"{name} signs more than the body; write {own}." if own else ""


def make_verifier(scheme: str, name: str, secrets: Iterable[str]) -> SignatureVerifier:
    """Return the verifier of a scheme; raises ValueError that says what is wrong with a secret."""
    row, secrets = SIGNATURE_SCHEMES[scheme], tuple(secrets)
    beginnings, fix = row.wrong_secrets
    if any(secret.startswith(beginnings) for secret in secrets):
        raise ValueError(fix)
    return SignatureVerifier(row, name, secrets)
