"""How senders prove who they are: Basic authentication, a token, or a signature of the body.

The scheme is named as in the instance's parameter Username; the secret is its Password.
"""

import base64
import hmac
import re
import time
import uuid
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

Headers = list[tuple[str, str]]
TOKEN_SCHEMES = ("_header", "_query")
UNKNOWN = "unknown"  # a scheme with which the page cannot sign
PREFIX = re.compile(r"[A-Za-z][\w-]*=")  # in front of a signature: sha256=, v1=


class Signature(NamedTuple):
    """How a scheme signs: its hash, the text before the body, and the format of the result.

    header: of the signature; empty if Username names it. identifier, timestamp: the headers of what
        else is signed.
    """

    algorithm: str = "sha256"
    signed_prefix: str = ""
    written: str = "{prefix}{hex}"
    header: str = ""
    timestamp: str = ""
    identifier: str = ""


SIGNATURES = {
    "_hmac": Signature(),
    "_hmac-sha1": Signature("sha1"),
    "_hmac-sha512": Signature("sha512"),
    "_slack": Signature(
        "sha256", "v0:{timestamp}:", "v0={hex}", "X-Slack-Signature", "X-Slack-Request-Timestamp"
    ),
    "_zoom": Signature(
        "sha256", "v0:{timestamp}:", "v0={hex}", "X-Zm-Signature", "X-Zm-Request-Timestamp"
    ),
    "_stripe": Signature("sha256", "{timestamp}.", "t={timestamp},v1={hex}"),
    "_rootly": Signature("sha256", "{timestamp}", "t={timestamp},v1={hex}", "X-Rootly-Signature"),
    "_paddle": Signature("sha256", "{timestamp}:", "ts={timestamp};h1={hex}", "Paddle-Signature"),
    "_standard-webhooks": Signature(
        "sha256",
        "{id}.{timestamp}.",
        "v1,{base64}",
        "webhook-signature",
        "webhook-timestamp",
        "webhook-id",
    ),
}


# Senders whose example here is not signed: a header of theirs, how it begins, and where they sign.
SIGNING_SENDERS = (
    ("x-github-event", "", "x-hub-signature-256"),
    ("user-agent", "Slackbot", "x-slack-signature"),
)


class Scheme(NamedTuple):
    """A scheme as Username names it.

    `kind` is "" without credentials, "basic", the word before the colon, or UNKNOWN.
    """

    kind: str
    # of the header or the query string's field; of the user for Basic authentication
    name: str = ""

    @classmethod
    def of(cls, username: str) -> "Scheme":
        """Read the parameter Username."""
        word, _, name = username.partition(":")
        kind = word.strip().lower()
        if kind in SIGNATURES or kind in TOKEN_SCHEMES:
            return cls(kind, name.strip())
        if kind.startswith("_"):  # the integration has more schemes than the page
            return cls(UNKNOWN, username)
        return cls("basic" if username else "", username)

    @property
    def signature(self) -> Signature | None:
        """How the scheme signs, with the header's name; None for a scheme that does not sign."""
        found = SIGNATURES.get(self.kind)
        return found._replace(header=found.header or self.name) if found else None

    @property
    def header(self) -> str:
        """The header that holds the credentials, lower case; empty for a query string's field."""
        signature = self.signature
        names = {"basic": "authorization", "_header": self.name}
        return (signature.header if signature else names.get(self.kind, "")).lower()

    def is_used(self, headers: Headers, fields: set[str]) -> bool:
        """Return whether a sender with these headers and query fields uses the scheme."""
        if self.kind == "_query":
            return self.name in fields
        if self.header == "authorization":
            is_basic = value_of(headers, self.header).lower().startswith("basic ")
            return bool(value_of(headers, self.header)) and is_basic == (self.kind == "basic")
        known = {name.lower() for name, _ in headers} | {
            header
            for name, beginning, header in SIGNING_SENDERS
            if (value := value_of(headers, name)) and value.startswith(beginning)
        }
        return self.header in known


class Line(NamedTuple):
    """Credentials that an instance accepts: its own, or those of a line of *More credentials*."""

    path: str
    username: str  # or the scheme
    secret: str
    number: int = 0  # of the line; 0 for Username and Password

    def words(self) -> str:
        """Return what the page calls them."""
        where = f"line {self.number}" if self.number else "Username and Password"
        return f"{where}, {self.path or self.username}"


def read_lines(text: str) -> list[Line]:
    """Return the credentials in the lines of *More credentials*."""
    lines = []
    for number, line in enumerate(re.split("\r\n|\r|\n", text), 1):
        if line.lstrip().startswith("#"):
            continue
        words = line.split(maxsplit=2 if line.lstrip().startswith("/") else 1)
        if len(words) > 1:
            path, username, secret = ("", *words)[-3:]
            lines.append(Line(path.rstrip("/"), username, secret.strip(), number))
    return lines


def credentials_for(lines: list[Line], path: str, headers: Headers) -> Line | None:
    """Return the credentials that count for a request, None if none does.

    The longest path counts. Of several credentials, those count whose scheme the sender uses, then
    Basic authentication, and then the first ones.
    """
    path, _, query = path.partition("?")
    fields = {unquote_plus(field.partition("=")[0]) for field in query.split("&")}

    def rank(line: Line) -> tuple[int, bool, bool]:
        scheme = Scheme.of(line.username)
        return len(line.path), scheme.is_used(headers, fields), scheme.kind == "basic"

    here = [
        line
        for line in lines
        if Scheme.of(line.username).kind != UNKNOWN
        and (not line.path or path == line.path or path.startswith(f"{line.path}/"))
    ]
    return max(here, key=rank, default=None)


def proven(
    username: str, password: str, path: str, headers: Headers, body: bytes
) -> tuple[str, Headers]:
    """Return a request's path and headers with the credentials that an instance asks for.

    Of several secrets, one a line, the first one is used. Existing credentials are replaced. The ID
    of a delivery (webhook-id) and the prefix of a signature (sha256=) are kept.
    """
    scheme = Scheme.of(username)
    if scheme.kind == "basic":
        return path, with_header(
            headers, "Authorization", f"Basic {basic_token(username, password)}"
        )
    password = next((line.strip() for line in password.splitlines() if line.strip()), "")
    if scheme.kind == "_header":
        return path, with_header(headers, scheme.name, password.encode().decode("latin-1"))
    if scheme.kind == "_query":
        return with_field(path, scheme.name, password), headers
    signature = scheme.signature
    return (path, signed(signature, password, headers, body)) if signature else (path, headers)


def signed(signature: Signature, secret: str, headers: Headers, body: bytes) -> Headers:
    """Return the headers with a signature of the body and of what else it covers."""
    marks = {
        "timestamp": str(int(time.time())),
        "id": value_of(headers, signature.identifier) or f"msg_{uuid.uuid4().hex}",
    }
    for name, value in (
        (signature.timestamp, marks["timestamp"]),
        (signature.identifier, marks["id"]),
    ):
        if name:
            headers = with_header(headers, name, value)
    digest = hmac.digest(
        key_of(signature, secret),
        signature.signed_prefix.format(**marks).encode() + body,
        signature.algorithm,
    )
    prefix = PREFIX.match(value_of(headers, signature.header))
    written = signature.written.format(
        hex=digest.hex(),
        base64=base64.b64encode(digest).decode(),
        prefix=prefix[0] if prefix else "",
        **marks,
    )
    return with_header(headers, signature.header, written)


def key_of(signature: Signature, secret: str) -> bytes:
    """Return the key in a secret: as base64 for Standard Webhooks, otherwise the text itself."""
    if signature.header != SIGNATURES["_standard-webhooks"].header:
        return secret.encode()
    text = secret.removeprefix("v1,").removeprefix("whsec_")
    return base64.b64decode(text + "=" * (-len(text) % 4))


def basic_token(username: str, password: str) -> str:
    """Return what follows the word Basic."""
    return base64.b64encode(f"{username}:{password}".encode()).decode()


def value_of(headers: Headers, name: str) -> str:
    """Return the first value of a header, empty if there is none."""
    return next((value for known, value in headers if known.lower() == name.lower()), "")


def with_header(headers: Headers, name: str, value: str) -> Headers:
    """Return the headers with one set, at its old position."""
    place = next(
        (index for index, (known, _) in enumerate(headers) if known.lower() == name.lower()),
        len(headers),
    )
    kept = [(known, given) for known, given in headers if known.lower() != name.lower()]
    return [*kept[:place], (name, value), *kept[place:]]


def with_field(path: str, name: str, value: str) -> str:
    """Return a path with a field of its query string set."""
    plain, _, query = path.partition("?")
    kept = [
        field
        for field in query.split("&")
        if field and unquote_plus(field.partition("=")[0]) != name
    ]
    return f"{plain}?" + "&".join([*kept, quote(name, safe="") + "=" + quote(value, safe="")])


def usual_scheme(headers: Headers) -> str:
    """Return the parameter Username for these headers; empty if they hold no credentials."""
    for name, _ in headers:
        lower = name.lower()
        for kind, signature in SIGNATURES.items():
            if signature.header.lower() == lower:
                return kind
        if lower == "stripe-signature":
            return f"_stripe:{name}"
        if lower.endswith("-token") and "idempotency" not in lower:
            return f"_header:{name}"
    found = [name for name, _ in headers if re.fullmatch(r".*-signature(-256)?", name.lower())]
    return f"_hmac:{found[-1]}" if found else ""  # GitHub's stronger one is the last
