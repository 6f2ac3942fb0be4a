"""What of a request is never kept: secrets in its headers, in its query string, and in URLs.

What it is for: the headers and the query string of a request go in, and what may be kept of them
comes out. It knows nothing of how a sender is authenticated, of HTTP, of Cortex XSOAR, or of
incidents.

1. A header or a field of the query string is left out where its name speaks of a secret, and where
   it proves the sender. Names that a parameter's path reads are an exception to the former.
2. URLs, and other lists of ``name=value``, in what is kept lose userinfo and the values of fields
   whose names speak of a secret.
3. The instance's own secrets are replaced wherever they stand in what is kept, in the encodings in
   which tools and proxies write them.
"""

import base64
import functools
import json
import re
import struct
from collections.abc import Iterable
from typing import Protocol
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus

MAX_QUERY_FIELDS = 1000
HIDDEN = "***"
MIN_SECRET_CHARACTERS = 4  # a shorter text is part of too many words to be looked for
BEGINNING = struct.Struct("=I")  # the first bytes of a spelling, as a number: 4, as above
MANY_SPELLINGS = 40  # 500 (of 100 secrets) would take 80 µs a head, and their beginnings take 14
MIN_INNER_CHARACTERS = 8  # of a secret's base64 that is looked for within other base64
MAX_URL_FIELDS = 200  # of one text that are looked at; no URL has more, and the rest is replaced
MAX_PERCENT_SIGNS = 1000  # of one text that is decoded; a text with more is replaced
MAX_CACHED_NAME = 100  # characters: a stranger's longer names do not fill a cache
MAX_CACHED_HEADS = 128  # by their names, of which a head has 32 KiB at most
NAME_WORDS = re.compile(r"[a-z0-9]++")
CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
SECRET_WORD = re.compile(
    # a word of a name as a whole
    r"(?:authentication|creds?|session|jwt|assertion|oidc|bearer|csrf|xsrf|sig|sign|pwd|passwd"
    # what is unmistakable within a word, too: `usersecret`
    r"|.*(?:authorization|password|passphrase|passcode|secret|cookie|credential|signature|hmac"
    r"|apikey).*"
    # and what is so at its end: `authtoken`, `sharedkey2`, `userpw`
    r"|.*(?:token|key|auth|otp|psk|pw|pass|sess(?:ion)?id))[0-9]*"
)
HARMLESS_WORDS = frozenset(  # that end as a secret's name does
    (
        *("monkey", "donkey", "turkey", "hockey", "jockey", "whiskey", "lackey", "hotkey"),
        *("turnkey", "compass", "encompass", "trespass", "surpass", "overpass", "underpass"),
    )
)
SECRET_HEADERS = frozenset({"x-forwarded-client-cert"})
NEVER_KEPT_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})
# Azure Functions' key, OAuth's proof; among headers it is a number.
SECRET_FIELDS = frozenset({"code"})
WORDS_OF_MOMENTS = frozenset({"timestamp", "ts", "time", "date"})
WORDS_OF_DELIVERIES = frozenset(
    {"delivery", "request", "webhook", "event", "message", "correlation", "trace"}
)
# Proxies repeat the URL of the request here, whose query string may hold credentials.
HEADERS_WITH_OUR_URL = frozenset(
    (
        *("referer", "referrer", "x-original-url", "x-original-uri", "x-original-path"),
        *("x-rewrite-url", "x-forwarded-uri", "x-forwarded-url", "x-forwarded-path"),
        *("x-request-uri", "x-request-url", "x-envoy-original-path", "x-waws-unencoded-url"),
    )
)
USERINFO_OR_QUERY = re.compile(r"(?<=//)[^/?#]*@|[?#].*", re.DOTALL)
URL_USERINFO = re.compile(r"(?<=//)[^/?#\s<>\"]+@")
URL_FIELD = re.compile(r"(?:^|[?&;#])\s?([^\s=?&;#<>\"]++)=")
URL_VALUE = re.compile(r"\"[^\"]*+\"?|[^&#\s<>\"]*+")
PERCENT_ENCODED = {byte: f"%{byte:02X}" for byte in range(0x80, 0x100)}


class SecretSource(Protocol):
    """What proves an instance's senders, as far as it has to be hidden."""

    hidden_headers: frozenset[str]  # in lower case
    hidden_fields: frozenset[str]  # of the query string

    def texts_to_hide(self) -> set[str]:
        """Return the secrets as they may stand in what a request brings along."""
        ...


class SecretFilter:
    """What an instance never keeps of a request."""

    def __init__(
        self,
        headers: frozenset[str] = frozenset(),
        fields: frozenset[str] = frozenset(),
        named_headers: frozenset[str] = frozenset(),
        named_fields: frozenset[str] = frozenset(),
        secrets: Iterable[str] = (),
    ) -> None:
        # what proves the sender
        self._headers = headers
        self._fields = fields
        # exceptions: what a parameter's path reads
        self._named_headers = named_headers - NEVER_KEPT_HEADERS
        self._named_fields = named_fields
        # in URLs and in texts; of two spellings, one may be part of the other
        self._secret_fields = SECRET_FIELDS | {field.lower() for field in fields}
        spellings = {text for secret in secrets for text in secret_spellings(secret)}
        self._spellings = tuple(sorted(spellings, key=len, reverse=True))
        # A text without any of these is without all others, too.
        self._shortest = tuple(
            text
            for text in self._spellings
            if len(spellings) > MANY_SPELLINGS
            or not any(other in text and other != text for other in spellings)
        )
        self._beginnings = frozenset(
            BEGINNING.unpack_from(spelling.encode("utf-8", "surrogatepass"))[0]
            for spelling in spellings
        )
        # of the names of headers that come together again and again
        self._kept_of = functools.lru_cache(maxsize=MAX_CACHED_HEADS)(self._find_kept)

    @classmethod
    def of(cls, source: SecretSource, paths: Iterable[str]) -> "SecretFilter":
        """Return the filter of an instance; ``headers.x-event-key`` is a path."""
        parts = [path.removeprefix("request_") for path in paths]
        named_headers, named_fields = (
            frozenset(part.removeprefix(place) for part in parts if part.startswith(place))
            for place in ("headers.", "query.")
        )
        return cls(
            source.hidden_headers,
            source.hidden_fields,
            frozenset(name.lower() for name in named_headers),
            named_fields,
            source.texts_to_hide(),
        )

    def visible_headers(
        self, headers: dict[str, str], left_out: frozenset[str] = frozenset()
    ) -> dict[str, str]:
        """Return the headers to keep, as readable text; names are in lower case."""
        names, with_our_url = self._kept_of(tuple(headers), left_out)
        kept = {name: headers[name] for name in names}
        for name in with_our_url:
            kept[name] = USERINFO_OR_QUERY.sub("", kept[name])
        together = "\n".join(kept.values())
        if not together.isascii():
            kept = {name: _readable(value) for name, value in kept.items()}
            together = "\n".join(kept.values())
        if self._holds_secret(together):
            return {name: self.hide(value) for name, value in kept.items()}
        if _has_url_sign(together):
            for name, value in kept.items():
                if _has_url_sign(value):
                    kept[name] = self.hide(value)
        return kept

    def _find_kept(
        self, names: tuple[str, ...], left_out: frozenset[str]
    ) -> tuple[tuple[str, ...], frozenset[str]]:
        """Return which headers of these are kept, and which of them repeat the request's URL."""
        kept = tuple(
            name
            for name in names
            if name not in self._headers
            and name not in left_out
            and (name in self._named_headers or not names_a_secret(name))
        )
        return kept, HEADERS_WITH_OUR_URL.intersection(kept)

    def visible_query(self, query_string: str) -> list[tuple[str, str]]:
        """Return the fields of a query string to keep, decoded.

        Raises ValueError that says what to do instead where there are too many.
        """
        if query_string.count("&") >= MAX_QUERY_FIELDS:
            raise ValueError(
                f"The query string has more than {MAX_QUERY_FIELDS} fields; send them in the body."
            )
        pairs = parse_qsl(ascii_query(query_string), keep_blank_values=True, errors="replace")
        return [
            (self.hide(name), self.hide(value))
            for name, value in pairs
            if name not in self._fields
            and (name in self._named_fields or not self._names_a_secret_field(name))
        ]

    def hide(self, text: str) -> str:
        """Return a text without secrets in its URLs, and without the instance's own ones."""
        hidden = self._hide_as_written(text)
        if "%" not in hidden:
            return hidden
        if hidden.count("%") > MAX_PERCENT_SIGNS:
            return HIDDEN
        # Any character may be percent-encoded, and what a proxy passes on is so twice.
        once = unquote(hidden)
        for decoded in {once, unquote(once), unquote_plus(hidden) if "+" in hidden else once}:
            without = self._hide_as_written(decoded)
            if without != decoded:
                return without
        return hidden

    def _hide_as_written(self, text: str) -> str:
        # First the secrets, which may hold what separates the fields of a URL.
        if self._holds_secret(text):
            for spelling in self._spellings:
                text = text.replace(spelling, HIDDEN)
        if "=" in text or "@" in text:
            text = hide_secrets_in_urls(text, self._secret_fields)
        return text

    def _holds_secret(self, text: str) -> bool:
        if len(self._shortest) > MANY_SPELLINGS and not self._may_hold_secret(text):
            return False
        return any(map(text.__contains__, self._shortest))

    def _may_hold_secret(self, text: str) -> bool:
        """Return whether any four bytes of a text begin a secret: one look for all secrets."""
        data = memoryview(text.encode("utf-8", "surrogatepass"))
        for start in range(BEGINNING.size):
            end = start + (len(data) - start) // BEGINNING.size * BEGINNING.size
            if end > start and not self._beginnings.isdisjoint(data[start:end].cast("I")):
                return True
        return False

    def _names_a_secret_field(self, name: str) -> bool:
        return name.lower() in SECRET_FIELDS or names_a_secret(name)


def secret_spellings(secret: str) -> set[str]:
    """Return how headers and URLs may spell a secret; nothing for one too short to look for."""
    if len(secret) < MIN_SECRET_CHARACTERS:
        return set()
    data = secret.encode()
    spellings = {secret, data.decode("latin-1"), json.dumps(secret)[1:-1]}
    spellings |= {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    inner = {_inner_base64(data, before) for before in range(3)}
    coded = {text for text in inner if len(text) >= MIN_INNER_CHARACTERS}
    coded.add(base64.b64encode(data).decode().rstrip("="))
    return spellings | coded | {text.translate({43: "-", 47: "_"}) for text in coded}


def _inner_base64(data: bytes, before: int) -> str:
    """Return the part of base64 that is the same whatever stands around data.

    ``before`` is the number of bytes before it, modulo 3.
    """
    text = base64.b64encode(bytes(before) + data).decode()
    return text[(0, 2, 3)[before] : (before + len(data)) * 8 // 6]


def names_a_secret(name: str) -> bool:
    """Return whether a header, or a field of a query string, of this name may hold a secret.

    The name is split into words: ``X-Api-Key``, ``access_token``, ``apiKey``. Names that identify
    or date a delivery do not count, although they may speak of a key or a signature.
    """
    if len(name) > MAX_CACHED_NAME:
        return _find_secret_word.__wrapped__(name)
    return _find_secret_word(name)


@functools.lru_cache(maxsize=1024)
def _find_secret_word(name: str) -> bool:
    if name.lower() in SECRET_HEADERS:
        return True
    words = NAME_WORDS.findall(CAMEL_CASE.sub("-", name).lower())
    if not words or "idempotency" in words or name == "sec-websocket-key":
        return False
    last = words[-1]
    if last in WORDS_OF_MOMENTS or last == "delivery":
        return False
    if last in ("id", "uuid", "guid") and not WORDS_OF_DELIVERIES.isdisjoint(words):
        return False
    return any(SECRET_WORD.fullmatch(word) and word not in HARMLESS_WORDS for word in words)


def hide_secrets_in_urls(text: str, secret_fields: frozenset[str] = frozenset()) -> str:
    """Return a text whose URLs are without userinfo and without the values of secret fields.

    ``secret_fields`` are names in lower case that count, too.
    """
    if "@" in text:
        text = URL_USERINFO.sub(f"{HIDDEN}@", text)
    pieces: list[str] = []
    done = 0
    for number, field in enumerate(URL_FIELD.finditer(text)):
        if number == MAX_URL_FIELDS:
            pieces += text[done : field.start()], HIDDEN
            done = len(text)
            break
        name = unquote_plus(field[1])
        if field.start() >= done and (name.lower() in secret_fields or names_a_secret(name)):
            value = URL_VALUE.match(text, field.end())
            pieces += text[done : field.end()], HIDDEN
            done = value.end() if value else field.end()
    return "".join((*pieces, text[done:]))


def ascii_query(query: str) -> str:
    """Return a query string (Latin-1) with its raw bytes beyond ASCII percent-encoded."""
    return query if query.isascii() else query.translate(PERCENT_ENCODED)


def _has_url_sign(text: str) -> bool:
    """Return whether a text may hold a field or a userinfo."""
    return "=" in text or "@" in text or "%" in text


def _readable(value: str) -> str:
    """Return a header's value, which is Latin-1, as UTF-8 where it is that."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value
