"""A request that somebody composes on the page: sent by the sandbox, or written as a curl line."""

import contextlib
import http.client
import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlsplit

from .signing import Headers, Scheme, Signature, proven, value_of, with_field, with_header

TIMEOUT_SECONDS = 70.0  # the integration withdraws after 55 s what XSOAR has not received
OURS = {
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "expect",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
}
MAX_BODY_CHARACTERS = 32 * 1024 * 1024
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,200}")
TARGET = re.compile(r"/[\x21\x22\x24-\x7e]{0,8000}")
SECRET = "$WEBHOOK_SECRET"


class AttemptError(Exception):
    """A request that cannot be sent; the text says what to change."""


@dataclass(frozen=True)
class Attempt:
    """A request to the instance; with `sign` it gets the credentials that the instance asks for."""

    method: str
    path: str
    headers: Headers
    body: bytes
    sign: bool = False

    @classmethod
    def read(cls, given: Any, prefix: str) -> "Attempt":
        """Read what the page sends; raises AttemptError. prefix: how the path has to begin."""
        if not isinstance(given, dict):
            raise AttemptError("Send an object with method, path, headers, body and sign.")
        method, path, body = (
            given.get(name, default)
            for name, default in (("method", "POST"), ("path", ""), ("body", ""))
        )
        if (
            not isinstance(method, str)
            or not TOKEN.fullmatch(method)
            or method.upper() == "CONNECT"
        ):
            raise AttemptError("The method must be a word such as POST.")
        if not isinstance(path, str) or not TARGET.fullmatch(path) or not path.startswith(prefix):
            raise AttemptError(
                f"The path has to begin with {prefix}, without spaces and #: write %20 and %23."
            )
        if not isinstance(body, str) or len(body) > MAX_BODY_CHARACTERS:
            raise AttemptError("The body must be a text.")
        return cls(
            method,
            path,
            read_headers(given.get("headers") or []),
            body.encode("utf-8", "replace"),
            given.get("sign") is True,
        )

    @property
    def has_body(self) -> bool:
        """Whether the request has a body, which may be empty."""
        return bool(self.body) or self.method not in ("GET", "HEAD", "OPTIONS")

    def proven(self, username: str, password: str) -> "Attempt":
        """Return the request with its credentials, if it is to have any."""
        if not self.sign:
            return self
        path, headers = proven(username, password, self.path, self.headers, self.body)
        return replace(self, path=path, headers=headers, sign=False)


def read_headers(given: Any) -> Headers:
    """Return the headers that a sender sets itself; raises AttemptError."""
    if not isinstance(given, list) or len(given) > 100:
        raise AttemptError("The headers must be a list of at most 100 pairs of name and value.")
    headers: Headers = []
    for pair in given:
        if (
            not isinstance(pair, (list, tuple))
            or len(pair) != 2
            or not all(isinstance(part, str) for part in pair)
        ):
            raise AttemptError("Each header must be a pair of name and value.")
        name, value = pair[0].strip(), pair[1].strip()
        if not TOKEN.fullmatch(name):
            raise AttemptError(
                f"{name[:100]!r} is not a header name: use letters, digits and hyphens."
            )
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", value):
            raise AttemptError(
                f"The header {name} holds a line break or another control character."
            )
        if name.lower() not in OURS:
            headers.append((name, value if value.isascii() else value.encode().decode("latin-1")))
    return headers


@contextlib.contextmanager
def connected(origin: str) -> Iterator[http.client.HTTPConnection]:
    """Connect to the front or, as that does not speak TLS, to the container itself."""
    parts = urlsplit(origin)
    host, port = parts.hostname or "", parts.port or 0
    # The certificate is the instance's own.
    context = ssl._create_unverified_context() if parts.scheme == "https" else None
    connection = (
        http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
        if context
        else http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    )
    try:
        connection.connect()
        yield connection
    finally:
        connection.close()


def send(connection: http.client.HTTPConnection, attempt: Attempt) -> dict[str, Any]:
    """Send a request and return its answer for the page; raises OSError and HTTPException.

    The request already has its credentials.
    """
    started = time.perf_counter()
    connection.putrequest(attempt.method, attempt.path, skip_accept_encoding=True)
    for name, value in attempt.headers:
        connection.putheader(name, value)
    if attempt.has_body:
        connection.putheader("Content-Length", str(len(attempt.body)))
    connection.endheaders(attempt.body or None)
    response = connection.getresponse()
    body = response.read()
    return {
        "status": response.status,
        "reason": response.reason,
        "headers": response.getheaders(),
        "body": body.decode("utf-8", "replace"),
        "milliseconds": round((time.perf_counter() - started) * 1000, 2),
    }


# ---- the same as a curl line


def curl_line(attempt: Attempt, origin: str, username: str) -> str:
    """Return one line for a POSIX shell that sends the request; a secret in it is $WEBHOOK_SECRET.

    openssl makes a signature when the line runs.
    """
    if attempt.method == "HEAD":
        attempt = replace(attempt, body=b"")  # curl has no HEAD with a body
    scheme = Scheme.of(username if attempt.sign else "")
    signature = scheme.signature
    path, headers, words, note = attempt.path, attempt.headers, ["curl"], ""
    if attempt.method != ("POST" if attempt.has_body else "GET"):  # which curl chooses by itself
        words += ["--head"] if attempt.method == "HEAD" else ["-X", quoted(attempt.method)]
    if origin.startswith("https:"):
        words.append("--insecure")
    if re.search(r"[\[\]{}]", path):
        words.append("--globoff")
    if re.search(r"/(?:\.|%2e)", path, re.IGNORECASE):
        words.append("--path-as-is")
    if scheme.kind == "basic":
        headers = [pair for pair in headers if pair[0].lower() != "authorization"]
        words += ["-u", quoted(f"{scheme.name}:") + f'"{SECRET}"']
    if scheme.kind == "_header":
        headers = with_header(headers, scheme.name, "")
    url = quoted(origin + path)
    if scheme.kind == "_query":
        url = quoted(origin + with_field(path, scheme.name, "")) + f'"{SECRET}"'
        note = "  # WEBHOOK_SECRET percent-encoded"
    before, made = signing_words(signature, headers) if signature else ("", {})
    if scheme.kind == "_header":
        made = {scheme.name.lower(): (scheme.name, SECRET)}
    plain = [(name, value) for name, value in headers if name.lower() not in made]
    if not value_of(plain, "content-type") and attempt.body:
        plain.append(("Content-Type", ""))  # or curl would call it a form
    for name, value in plain:
        value = value.encode("latin-1").decode("utf-8", "replace")  # as somebody would type it
        words += ["-H", quoted(f"{name}: {value}" if value else f"{name}:")]
    for name, value in made.values():
        words += ["-H", quoted(f"{name}: ") + f'"{value}"']
    words.append(url)
    return with_body(attempt, words, before, bool(signature)) + note


def secret_assignment(username: str, password: str) -> str:
    """Return the shell's assignment of the secret that a curl line takes."""
    secret = next((line.strip() for line in password.splitlines() if line.strip()), "")
    if Scheme.of(username).kind == "_query":
        secret = quote(secret, safe="")
    return f"{SECRET.removeprefix('$')}={quoted(secret)}"


def signing_words(signature: Signature, headers: Headers) -> tuple[str, dict[str, tuple[str, str]]]:
    """Return the shell's assignments, and the signature's headers by their names in lower case.

    `b` is a shell function that prints the body.
    """
    made: dict[str, tuple[str, str]] = {}
    before = ""
    if "{timestamp}" in signature.signed_prefix:
        before += "t=$(date +%s); "
    if signature.identifier:
        known = value_of(headers, signature.identifier)
        before += f"i={quoted(known)}; " if known else 'i="msg_$(openssl rand -hex 12)"; '
        made[signature.identifier.lower()] = (signature.identifier, "$i")
    if signature.timestamp:
        made[signature.timestamp.lower()] = (signature.timestamp, "$t")
    key = f'-hmac "{SECRET}"'
    if signature.identifier:
        before += 'k=$(printf %s "${WEBHOOK_SECRET#whsec_}" | openssl base64 -d -A '
        before += '| od -An -v -tx1 | tr -d " \\n"); '
        key = '-mac HMAC -macopt "hexkey:$k"'
    prefix = signature.signed_prefix.format(timestamp="$t", id="$i")
    text = f'{{ printf %s "{prefix}"; b; }}' if prefix else "b"
    digest = f"openssl dgst -{signature.algorithm} {key}"
    as_hex = f'$({text} | {digest} | sed "s/.* //")'
    as_base64 = f"$({text} | {digest} -binary | openssl base64 -A)"
    kept = re.match(r"[A-Za-z][\w-]*=", value_of(headers, signature.header))
    before += f's="{as_base64 if "{base64}" in signature.written else as_hex}"; '
    written = signature.written.format(
        prefix=kept[0] if kept else "", hex="$s", base64="$s", timestamp="$t", id="$i"
    )
    made[signature.header.lower()] = (signature.header, written)
    return before, made


def with_body(attempt: Attempt, words: list[str], before: str, is_signed: bool) -> str:
    """Return the line with the body.

    A shell function prints a body that is signed or has several lines.
    """
    text = attempt.body.decode("utf-8", "replace")
    if not is_signed and text.isprintable():
        return " ".join([*words, *(["--data-raw", quoted(text)] if attempt.has_body else [])])
    function = f"b() {{ printf {quoted(printf_format(text))}; }}; {before}"
    if not attempt.has_body:
        return function + " ".join(words)
    return function + "b | " + " ".join([*words, "--data-binary", "@-"])


def printf_format(text: str) -> str:
    """Return a format from which the shell's printf prints this text, on one line."""
    escapes = {"\\": "\\\\", "%": "%%", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    if text.startswith("-"):  # printf would take it for an option
        return "\\055" + printf_format(text[1:])
    return "".join(
        escapes.get(char) or (char if char.isprintable() else octal(char)) for char in text
    )


def octal(char: str) -> str:
    """Return a character's bytes as escapes of printf."""
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "replace"))


def quoted(text: str) -> str:
    """Return a text as one word of a shell, on one line."""
    return (
        "'" + text.replace("'", "'\\''") + "'"
        if not re.fullmatch(r"[\w@%+=:,./-]+", text, re.ASCII)
        else text
    )
