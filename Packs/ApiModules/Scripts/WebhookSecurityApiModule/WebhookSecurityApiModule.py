"""Who sent a request: credentials, and the handshakes of vendors.

What it is for: a request's path, headers, query string and body go in, and a ProofError that says
what is missing comes out unless they prove the sender. A vendor's handshake goes in, and its answer
comes out. How vendors sign is handed in, as a table of schemes. The module knows nothing of HTTP
answers and their statuses, of Cortex XSOAR, or of incidents.

| section | what it does |
| --- | --- |
| Schemes | Basic, a token in a header or a query field, and what verifies a signed body |
| Credentials | the instance's own and those of More credentials, any of which proves a sender |
| Parameters | Username, Password and More credentials become credentials |
| Handshakes | what vendors ask before they send events |
"""

import base64
import binascii
import difflib
import functools
import hashlib
import hmac
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs, parse_qsl, unquote_to_bytes

# -------------------------------------------------------------------------------------------------
# Schemes: where credentials are
#
# A scheme sees the headers and the query string first. Only a scheme that signs the body sees the
# body too, as the bytes that arrived. All comparisons are made on bytes, and no answer's time shows
# how much of a guess was right.
# -------------------------------------------------------------------------------------------------

TYPED_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
TYPED_FIELD_NAME = re.compile(r"[^\s&=#?%+]+")  # as a person types it, decoded
NOT_IN_HEADERS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # that no header can carry
WRONG_BASIC = (
    "The username or password is missing or wrong; send those of this webhook by Basic "
    "authentication (curl -u user:password)."
)
BASIC_CHALLENGE = 'Basic realm="Generic Webhook", charset="UTF-8"'
WRONG_HEADER = "The token in the header {} is missing or wrong; send that of this webhook."
WRONG_FIELD = (
    "The token in the field {} of the URL's query string is missing or wrong; send it once."
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


class BodyVerifier(Protocol):
    """What verifies the signed bodies of a scheme; secrets are as they stand in Password."""

    header: str  # that holds the signature, as people know it
    headers: tuple[str, ...]  # in lower case: any that may hold it
    identifies: bool  # event_id distinguishes deliveries, and is signed
    hides_secrets: bool  # they must never be shown

    def head_problem(self, headers: Headers) -> str:
        """Return why a head cannot be that of a right delivery, empty where it may."""
        ...

    def find(
        self, headers: Headers, query: str, body: bytes, secrets: Iterable[str]
    ) -> tuple[list[str], str]:
        """Return which of some secrets sign a body, and what is wrong where none does."""
        ...

    def event_id(self, headers: Headers) -> str | None:
        """Return the scheme's ID of a delivery, None without one."""
        ...


class Scheme(NamedTuple):
    """A scheme of signatures, as Username names it."""

    make: Callable[[str, tuple[str, ...]], BodyVerifier]  # name, secrets; ValueError: a bad secret
    example: str = ""  # of what follows the colon in Username; empty: nothing does
    name_form: re.Pattern[str] | None = None  # of that; TYPED_HEADER_NAME where it is not given
    name_problem: Callable[[str], str] = lambda name: ""
    needs_secret: bool = True


Schemes = Mapping[str, Scheme]


class Authenticator:
    """A scheme with its secrets, any of which proves a sender."""

    secrets: tuple[str, ...] = ()  # as they are typed
    hidden_headers: tuple[str, ...] = ()  # in lower case: where credentials are
    hidden_field = ""  # of the query string: where credentials are
    expected = ""  # where credentials are, for people
    signs_body = False
    identifies = False  # event_id distinguishes deliveries
    hides_secrets = True

    def event_id(self, headers: Headers) -> str | None:
        """Return the scheme's ID of a delivery, the same each time it is sent; None without one."""
        return None

    def texts_to_hide(self) -> set[str]:
        """Return the secrets as they may stand in what a request brings along."""
        if not self.hides_secrets:
            return set()
        texts = {text.removeprefix("v1,").removeprefix("whsec_") for text in self.secrets}
        texts.update(self.secrets)
        # The token in `Bearer <token>` is a secret without its scheme, too.
        last_words = {text.rpartition(" ")[2] for text in texts}
        return texts | {word for word in last_words if len(word) >= MIN_TOKEN_CHARACTERS}


class TokenAuthenticator(Authenticator):
    """A value in the head that has to be one of those agreed."""

    def __init__(self) -> None:
        # the credentials by what their tokens are hashed to, see Credentials
        self.known: dict[bytes, list[Credential]] = {}

    def read(self, values: list[str]) -> tuple[bytes, ...]:
        """Return the value a head brings, in each way to read it; none where it cannot be right.

        Several values are those of a header or a field that was sent more than once.
        """
        raise NotImplementedError

    def refusal(self) -> ProofError:
        """Return what a sender of a wrong value has to do."""
        raise NotImplementedError


class BasicAuthenticator(TokenAuthenticator):
    """Basic authentication, RFC 7617, with UTF-8 credentials."""

    hidden_headers = ("authorization",)
    expected = "Basic authentication"

    def __init__(self, users: Iterable[tuple[str, str]]) -> None:
        super().__init__()
        self._users = tuple(users)
        self.secrets = tuple(password for _, password in self._users)

    def read(self, values: list[str]) -> tuple[bytes, ...]:
        scheme, _, encoded = values[0].partition(" ")
        if scheme.lower() != "basic":
            return ()
        try:
            return (base64.b64decode(encoded.strip().encode("latin-1"), validate=True),)
        except binascii.Error:
            return ()

    def refusal(self) -> ProofError:
        return ProofError(WRONG_BASIC, BASIC_CHALLENGE)

    def texts_to_hide(self) -> set[str]:
        pairs = {f"{user}:{password}" for user, password in self._users}
        return super().texts_to_hide() | pairs


class HeaderAuthenticator(TokenAuthenticator):
    """A header that has to hold exactly the agreed value, or one of several during a rotation."""

    def __init__(self, name: str, secrets: Iterable[str]) -> None:
        super().__init__()
        self.hidden_headers = (name.lower(),)
        self.expected = name
        self.secrets = tuple(secrets)

    def read(self, values: list[str]) -> tuple[bytes, ...]:
        # Two headers `a` and `b` are joined to `a, b` by our server: no sender wrote that value.
        return (values[0].encode("latin-1"),) if len(values) == 1 else ()

    def refusal(self) -> ProofError:
        return ProofError(WRONG_HEADER.format(self.expected))


class QueryAuthenticator(TokenAuthenticator):
    """A query field that has to hold the agreed value, for tools that can only be given a URL."""

    def __init__(self, name: str, secrets: Iterable[str]) -> None:
        super().__init__()
        self.hidden_field = name
        self.expected = f"the query field {name}"
        self.secrets = tuple(secrets)
        # Percent-encoding triples each byte, so a longer text cannot be a secret.
        self._longest = 3 * max(len(secret.encode()) for secret in self.secrets)

    def read(self, values: list[str]) -> tuple[bytes, ...]:
        if len(values) > 1 or len(values[0]) > self._longest:
            return ()
        # In a form a plus sign means a space, in a URL it means itself, and tools disagree on which
        # of the two a query string is.
        text = values[0].encode("latin-1")
        return tuple({unquote_to_bytes(text), unquote_to_bytes(text.replace(b"+", b" "))})

    def refusal(self) -> ProofError:
        return ProofError(WRONG_FIELD.format(self.hidden_field))


def token_fields(query: str, names: Mapping[bytes, str]) -> dict[str, list[str]]:
    """Return the values, percent-encoded, of a query string's fields of some names."""
    # Percent-encoding triples each byte, so a longer text cannot be one of the names.
    longest = 3 * max(map(len, names))
    found: dict[str, list[str]] = {}
    for field in query.split("&"):
        name, _, value = field.partition("=")
        if len(name) > longest:
            continue
        text = name.encode("latin-1")
        if "%" in name or "+" in name:
            text = unquote_to_bytes(text.replace(b"+", b" "))
        if text in names:
            found.setdefault(names[text], []).append(value)
    return found


class SignatureAuthenticator(Authenticator):
    """A signature of the body, by a scheme."""

    signs_body = True

    def __init__(self, verifier: BodyVerifier, secrets: Iterable[str]) -> None:
        self.verifier = verifier
        self.secrets = tuple(secrets)
        self.hidden_headers = verifier.headers
        self.expected = verifier.header
        self.identifies = verifier.identifies
        self.hides_secrets = verifier.hides_secrets

    def event_id(self, headers: Headers) -> str | None:
        return self.verifier.event_id(headers)


# -------------------------------------------------------------------------------------------------
# Credentials: the instance's own and those of More credentials, any of which proves a sender
#
# Credentials of one scheme and place form a group, whose place in the head is read once. A token is
# looked up by its keyed hash, so that the time shows neither how near a guess is nor to which
# credential. Each distinct secret of a group of signatures costs one hash of the body, whichever
# fits. What is cheap comes first, and a body is only hashed where nothing in the head has proved
# the sender.
# -------------------------------------------------------------------------------------------------

MAX_EXPECTED = 5  # places of credentials that a refusal names
NOTHING_CAME = "The request has no credentials; this webhook expects {}."


class Credential(NamedTuple):
    """One way to prove a sender: the instance's own, or a line of More credentials."""

    scheme: str  # empty for Basic
    name: str  # what follows the scheme in Username; the user's name for Basic
    secret: str
    path: str = ""  # for which and below which it counts; empty for all
    label: str = ""  # what rawJSON calls it; empty for the instance's own where there are no others

    @property
    def in_headers(self) -> bool:
        """Whether headers alone prove it, whatever the time."""
        return self.scheme in ("", "_header")

    def counts_for(self, path: str) -> bool:
        """Return whether it counts for a path."""
        if not self.path or path == self.path:
            return True
        return path.startswith(f"{self.path}/") and "/../" not in f"{path}/"


class Proof:
    """What a head proves, and what its body may prove."""

    __slots__ = ("credential", "headers", "pending", "query", "refusal")

    def __init__(
        self,
        headers: Headers,
        query: str = "",
        credential: Credential | None = None,
        pending: "tuple[tuple[SignatureAuthenticator, list[Credential]], ...]" = (),
        refusal: ProofError | None = None,
    ) -> None:
        self.headers, self.query = headers, query
        self.credential = credential  # that proves the sender; None where nothing has to
        self.pending = pending  # signatures that the body has to prove
        self.refusal = refusal  # why it can prove nothing

    @property
    def by_head(self) -> bool:
        """Whether the head proves the sender."""
        return self.refusal is None and not self.pending


class Origin:
    """What has proved a request, as far as its events show it or depend on it."""

    __slots__ = ("_digest", "_signed", "label")

    def __init__(self, label: str = "", signed: bytes | None = None) -> None:
        self.label = label and f',"credential":{json.dumps(label)}'  # in the object `webhook`
        self._signed = signed  # the body; None where a credential has not signed it
        self._digest = ""

    @property
    def is_signed(self) -> bool:
        """Whether nothing but the body is signed: not headers, query string and path."""
        return self._signed is not None

    def bind(self, key: str, key_in_body: str | None) -> str:
        """Return an event's key, which counts with the body's hash if it is not from the body.

        Otherwise a captured delivery, repeated under the ID of one that is still to come, would
        make that one a duplicate.
        """
        if key == key_in_body or self._signed is None:
            return key
        self._digest = self._digest or hashlib.sha256(self._signed).hexdigest()
        prefix, _, value = key.partition(":")
        return f"{prefix},signed:{self._digest} {value}"


NO_ORIGIN = Origin()


class Asked(NamedTuple):
    """What may prove a sender at a path."""

    groups: tuple[Authenticator, ...]
    expected: str  # where credentials may be, for people
    challenge: str  # the value of WWW-Authenticate, empty without one


def _expected_of(groups: tuple[Authenticator, ...]) -> str:
    places = list(dict.fromkeys(group.expected for group in groups))
    more = len(places) - MAX_EXPECTED
    if more > 0:
        return f"{', '.join(places[:MAX_EXPECTED])} or one of {more} others"
    *others, last = places or ["credentials of another path"]
    return f"{', '.join(others)} or {last}" if others else last


class Credentials:
    """All that may prove an instance's senders; without any, everybody may send."""

    def __init__(
        self, rows: Iterable[Credential] = (), schemes: Schemes | None = None, denied: bool = False
    ) -> None:
        self.rows = () if denied else tuple(rows)
        self.denied = denied  # nobody may send
        self.is_open = not self.rows and not denied
        # A copy of it hashes a token; nobody else knows the key.
        self._hash = hashlib.blake2b(key=os.urandom(32), digest_size=32)
        self._by_header: dict[str, list[TokenAuthenticator]] = {}
        self._signed_by: dict[str, list[SignatureAuthenticator]] = {}
        self._by_field: dict[str, QueryAuthenticator] = {}
        self._members: dict[Authenticator, list[Credential]] = {}
        for group, members in self._groups(schemes or {}):
            self._members[group] = members
            for header in group.hidden_headers:
                if isinstance(group, TokenAuthenticator):
                    self._by_header.setdefault(header, []).append(group)
                elif isinstance(group, SignatureAuthenticator):
                    self._signed_by.setdefault(header, []).append(group)
            if isinstance(group, QueryAuthenticator):
                self._by_field[group.hidden_field] = group
            if isinstance(group, TokenAuthenticator):
                for row in members:
                    token = f"{row.name}:{row.secret}" if not row.scheme else row.secret
                    group.known.setdefault(self._blind(token.encode()), []).append(row)
        self._field_names = {name.encode(): name for name in self._by_field}
        self._everywhere: list[Authenticator] = []
        self._of_paths: list[tuple[Credential, Authenticator]] = []
        for group, members in self._members.items():
            if all(row.path for row in members):
                self._of_paths += [(row, group) for row in members]
            else:
                self._everywhere.append(group)
        self._asked: dict[tuple[Authenticator, ...], Asked] = {}  # by the schemes of a path alone
        # what others ask
        self.groups = tuple(self._members)
        hidden = [group for group in self.groups if group.hides_secrets]
        self.secrets = tuple(
            dict.fromkeys(text.encode() for group in hidden for text in group.secrets)
        )
        self.hidden_headers = frozenset({*self._by_header, *self._signed_by})
        self.hidden_fields = frozenset(self._by_field)
        self.identifies = any(group.identifies for group in self.groups)
        self.only_sign = bool(self.groups) and all(group.signs_body for group in self.groups)

    def _groups(self, schemes: Schemes) -> Iterable[tuple[Authenticator, list[Credential]]]:
        grouped: dict[tuple[str, str], list[Credential]] = {}
        for row in self.rows:
            place = row.name.lower() if row.scheme != "_query" else row.name
            grouped.setdefault((row.scheme, place if row.scheme else ""), []).append(row)
        for (scheme, _), members in grouped.items():
            name, secrets = members[0].name, dict.fromkeys(row.secret for row in members)
            if not scheme:
                yield BasicAuthenticator((row.name, row.secret) for row in members), members
            elif scheme == "_header":
                yield HeaderAuthenticator(name, secrets), members
            elif scheme == "_query":
                yield QueryAuthenticator(name, secrets), members
            else:
                verifier = schemes[scheme].make(name, tuple(secrets))
                yield SignatureAuthenticator(verifier, secrets), members

    def _blind(self, token: bytes) -> bytes:
        blinded = self._hash.copy()
        blinded.update(token)
        return blinded.digest()

    # ---- who sent it

    def verify_head(
        self, path: str, headers: Headers, query: str = "", repeated: Names = NO_NAMES
    ) -> Proof:
        """Return what a head proves; the values of headers in ``repeated`` are joined by ", "."""
        if self.is_open:
            return Proof(headers, query)
        if self.denied:
            return Proof(headers, query, refusal=ProofError(NOBODY))
        proven: list[Credential] = []
        pending: dict[SignatureAuthenticator, list[Credential]] = {}
        refusals: list[ProofError] = []
        for name in self.hidden_headers & headers.keys():
            values = [headers[name]] * (2 if name in repeated else 1)
            for tokens in self._by_header.get(name, ()):
                self._look_up(tokens, values, path, proven, refusals)
            for group in self._signed_by.get(name, ()):
                members = [row for row in self._members[group] if row.counts_for(path)]
                problem = group.verifier.head_problem(headers) if members else ""
                if problem:
                    refusals.append(ProofError(problem))
                elif members:
                    pending[group] = members
        if query and self._by_field:
            self._look_up_fields(query, path, proven, refusals)
        if proven:
            return Proof(headers, query, most_specific(proven))
        if pending:
            return Proof(headers, query, pending=tuple(pending.items()))
        return Proof(headers, query, refusal=self._refuse(path, refusals))

    def _look_up(
        self,
        group: TokenAuthenticator,
        values: list[str],
        path: str,
        proven: list[Credential],
        refusals: list[ProofError],
    ) -> None:
        """Add the credentials that a value proves; without any, a refusal if some count here."""
        before = len(proven)
        for token in group.read(values):
            rows = group.known.get(self._blind(token), ())
            proven += [row for row in rows if row.counts_for(path)]
        if len(proven) == before and any(row.counts_for(path) for row in self._members[group]):
            refusals.append(group.refusal())

    def _look_up_fields(
        self, query: str, path: str, proven: list[Credential], refusals: list[ProofError]
    ) -> None:
        if query.count("&") >= MAX_TOKEN_FIELDS:
            refusals.append(ProofError(MANY_FIELDS))
            return
        for name, values in token_fields(query, self._field_names).items():
            self._look_up(self._by_field[name], values, path, proven, refusals)

    def _refuse(self, path: str, refusals: list[ProofError]) -> ProofError:
        """Return the refusal of a head: what is wrong with what came, or what should have come."""
        groups, expected, challenge = self._asked_at(path)
        if refusals:
            sentences = dict.fromkeys(refusal.sentence for refusal in refusals[:MAX_EXPECTED])
            return ProofError(" ".join(sentences), challenge)
        if len(groups) == 1:
            [group] = groups
            if isinstance(group, SignatureAuthenticator):
                return MissingCredentials(group.verifier.head_problem({}))
            if isinstance(group, TokenAuthenticator):
                return MissingCredentials(group.refusal().sentence, challenge)
        return MissingCredentials(NOTHING_CAME.format(expected), challenge)

    def expected_at(self, path: str) -> str:
        """Return where credentials may be at a path, for people."""
        return self._asked_at(path).expected

    def _asked_at(self, path: str) -> Asked:
        """Return what is asked of a sender; made once for each path that a line names."""
        here = tuple(dict.fromkeys(group for row, group in self._of_paths if row.counts_for(path)))
        if here not in self._asked:
            groups = (*self._everywhere, *here)
            has_basic = any(type(group) is BasicAuthenticator for group in groups)
            challenge = BASIC_CHALLENGE if has_basic else ""
            self._asked[here] = Asked(groups, _expected_of(groups), challenge)
        return self._asked[here]

    def verify_body(
        self,
        proof: Proof,
        body: bytes,
        run: Callable[..., Any] | None = None,
    ) -> Credential:
        """Return what proves the sender by its body; raises ProofError.

        run: calls a function with arguments, once for each hash of the body; without it, those of a
        scheme are made in one go.
        """
        proven: list[Credential] = []
        problems: list[str] = []
        for group, members in proof.pending:
            secrets = list(dict.fromkeys(row.secret for row in members))
            find, headers, query = group.verifier.find, proof.headers, proof.query
            found: list[str] = []
            for part in [[secret] for secret in secrets] if run is not None else [secrets]:
                some, problem = (run or _call)(find, headers, query, body, part)
                found += some
                problems.append(problem)
            proven += [row for row in members if row.secret in found]
        if not proven:
            raise ProofError(" ".join(dict.fromkeys(filter(None, problems))))
        return most_specific(proven)

    # ---- what else is asked of them

    def event_id(self, credential: Credential, headers: Headers) -> str | None:
        """Return the ID of a delivery that a credential has proved, None where it has none."""
        for group, members in self._members.items():
            if credential in members:
                return group.event_id(headers)
        return None

    def texts_to_hide(self) -> set[str]:
        """Return the secrets as they may stand in what a request brings along."""
        return {text for group in self.groups for text in group.texts_to_hide()}

    def knows(self, path: str, secret: bytes) -> bool:
        """Return whether a text is one of the secrets that count for a path."""
        hidden = [members for group, members in self._members.items() if group.hides_secrets]
        known = [row.secret.encode() for rows in hidden for row in rows if row.counts_for(path)]
        return sum(hmac.compare_digest(secret, text) for text in known) > 0

    def signing_key(self, path: str, headers: Headers, query: str, body: bytes) -> bytes:
        """Return the secret that proves a request, to sign an answer with; empty if none does."""
        proof = self.verify_head(path, headers, query)
        try:
            found = self.verify_body(proof, body) if proof.pending else proof.credential
        except ProofError:
            return b""
        return found.secret.encode() if found is not None else b""


def _call(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


def most_specific(rows: list[Credential]) -> Credential:
    """Return the credential of the longest path, of several the first."""
    return max(rows, key=lambda row: len(row.path)) if len(rows) > 1 else rows[0]


# -------------------------------------------------------------------------------------------------
# Parameters: Username, Password and More credentials become credentials
# -------------------------------------------------------------------------------------------------

MAX_SECRETS = 20  # of Password: each costs a hash of the whole body
MAX_LINES = 100  # of More credentials
TOKEN_SCHEMES = {
    "_header": "<HEADER-NAME>, such as _header:Authorization",
    "_query": "<FIELD-NAME>, such as _query:token",
}
FORMER_SCHEMES = {"_hmac-sha256": "_hmac"}  # a scheme that went, and the one that does the same
WHITE_SPACE = re.compile(r"\s+")
PLACEHOLDER = re.compile(r"<[^<>]*>")
TYPED_PATH = re.compile(r"/[^\s?#]*+")


def read_credentials(username: str, password: str, schemes: Schemes) -> list[Credential]:
    """Return what Username and Password say, none where both are empty; raises CredentialError."""
    if not username and not password:
        return []
    refuse_half_characters(username, password)
    scheme, name = read_scheme(username, schemes)
    needs_secret = scheme not in schemes or schemes[scheme].needs_secret
    if not username or (not password and needs_secret):
        raise CredentialError(
            "Password" if username else "Username",
            "it is empty while the other of the two is not; fill in both, or neither.",
        )
    if not scheme:
        return [Credential("", username, password)]
    secrets = read_secrets(password) or (() if needs_secret else ("",))
    refuse_unusable_secrets(scheme, name, secrets, schemes)
    return [Credential(scheme, name, secret) for secret in secrets]


def read_more_credentials(
    text: str, schemes: Schemes, report_problem: Callable[[str], None]
) -> list[Credential]:
    """Return the credentials of the lines ``[/path] <scheme or user> <secret>`` that can be used.

    Of any other line, its number and how to fix it are reported, and nothing of its secret.
    """
    rows: list[Credential] = []
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if len(rows) == MAX_LINES:
            report_problem(f"it has more than {MAX_LINES} credentials; the rest do not count.")
            break
        try:
            rows.append(read_line(line, schemes))
        except CredentialError as error:
            report_problem(f"Line {number}: {error.fix}")
    return rows


def join_rows(own: Iterable[Credential], lines: Iterable[Credential]) -> list[Credential]:
    """Return all credentials of an instance; its own have a label where there are others."""
    lines = list(lines)
    if not lines:
        return list(own)
    labels = ((row, ":".join(filter(None, (row.scheme, row.name)))) for row in own)
    return [*(row._replace(label=label) for row, label in labels), *lines]


def read_line(line: str, schemes: Schemes) -> Credential:
    """Return the credential of a line; raises CredentialError."""
    path, rest = "", line
    if line.startswith("/"):
        path, rest = first_word(line)
        if not TYPED_PATH.fullmatch(path):
            raise CredentialError("Username", "write the path as in the URL, such as /okta.")
        path = path.rstrip("/")
    username, secret = first_word(rest)
    if not username:
        raise CredentialError("Username", "write [/path] <scheme or user> <secret>.")
    refuse_half_characters(username, secret)
    scheme, name = read_scheme(username, schemes, " <secret>")
    if not secret and (scheme not in schemes or schemes[scheme].needs_secret):
        raise CredentialError(
            "Password", "the secret is missing; write [/path] <scheme or user> <secret>."
        )
    refuse_slips(username if not scheme else "", secret, schemes)
    if scheme:
        refuse_unusable_secrets(scheme, name, (secret,), schemes)
    return Credential(scheme, name if scheme else username, secret, path, path or username)


def refuse_slips(user: str, secret: str, schemes: Schemes) -> None:
    """Raise CredentialError for a line that no request could meet, or that nobody means.

    ``user`` is empty where a scheme is named.
    """
    if PLACEHOLDER.fullmatch(secret):
        raise CredentialError("Password", "write the secret itself in place of <...>.")
    if ":" in user:  # RFC 7617, 2
        name = user.partition(":")[0]
        fix = f"no user of Basic has a colon in its name; write {name or '<user>'} <secret>."
        raise CredentialError("Username", fix)
    scheme = first_word(secret)[0].partition(":")[0].lower()
    if user and (scheme in TOKEN_SCHEMES or scheme in schemes):
        fix = f"{scheme} stands where the secret is expected; a path before it begins with a slash"
        raise CredentialError("Username", f"{fix}, such as /{user} {scheme}.")


def first_word(text: str) -> tuple[str, str]:
    """Return a text's first word, and what follows the white space after it."""
    word, *rest = WHITE_SPACE.split(text, maxsplit=1)
    return word, rest[0] if rest else ""


def refuse_half_characters(username: str, password: str) -> None:
    """Raise CredentialError for a text that cannot be encoded."""
    for field, text in (("Username", username), ("Password", password)):
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            raise CredentialError(field, "it holds half of a surrogate pair; type it again.")


def read_scheme(username: str, schemes: Schemes, after: str = "") -> tuple[str, str]:
    """Return the scheme that Username names, and what follows it; no scheme for Basic.

    after: what else has to be written behind it. Raises CredentialError.
    """
    scheme, colon, name = username.partition(":")
    scheme, name = scheme.strip().lower(), name.strip(" ")
    if scheme not in TOKEN_SCHEMES and scheme not in schemes:
        refuse_mistyped_scheme(scheme, name, bool(colon), schemes, after)
        return "", ""
    refuse_malformed_name(scheme, name, schemes, after)
    return scheme, name


def read_secrets(password: str) -> tuple[str, ...]:
    """Return the secrets in the parameter Password: one a line, several only during a rotation.

    A line is one secret with all its spaces, except those at its ends: a part of a secret must not
    prove anybody, and GitHub's own example is "It's a Secret to Everybody".
    """
    lines = (line.strip() for line in password.replace("\r", "\n").split("\n"))
    return tuple(dict.fromkeys(line for line in lines if line))


def refuse_unusable_secrets(
    scheme: str, name: str, secrets: tuple[str, ...], schemes: Schemes
) -> None:
    """Raise CredentialError for secrets with which a scheme could authenticate nobody."""
    fix = ""
    if not secrets:
        fix = "it is nothing but white space; enter the sender's secret."
    elif len(secrets) > MAX_SECRETS:
        fix = f"it holds more than {MAX_SECRETS} lines, one a secret."
    elif scheme == "_header" and any(map(NOT_IN_HEADERS.search, secrets)):
        fix = "no header can carry it: remove its control characters."
    elif scheme in schemes:
        try:
            schemes[scheme].make(name, secrets)
        except ValueError as error:
            fix = str(error)
    if fix:
        raise CredentialError("Password", fix)


def scheme_usage(scheme: str, schemes: Schemes, after: str = "") -> str:
    """Return how a scheme is written, with what has to follow it."""
    usage = TOKEN_SCHEMES.get(scheme) or schemes[scheme].example
    form, _, example = usage.partition(", such as ")
    if not example:
        return f"{scheme}{after}"
    return f"{scheme}:{form}{after}, such as {example}{after}"


def refuse_malformed_name(scheme: str, name: str, schemes: Schemes, after: str) -> None:
    """Raise CredentialError unless what follows the scheme in Username has its form."""
    row = schemes.get(scheme)
    pattern = TYPED_FIELD_NAME if scheme == "_query" else TYPED_HEADER_NAME
    takes_name = True
    if row is not None:
        pattern, takes_name = row.name_form or TYPED_HEADER_NAME, bool(row.example)
    problem = ""
    if not takes_name and name:
        problem = f"{scheme} takes no header name"
    elif takes_name and not pattern.fullmatch(name):
        problem = f"what follows {scheme} is missing or has another form"
    if problem:
        usage = scheme_usage(scheme, schemes, after)
        raise CredentialError("Username", f"{problem}; write {usage}.")
    problem = row.name_problem(name) if row is not None else ""
    if problem:
        raise CredentialError("Username", problem)


def refuse_mistyped_scheme(
    scheme: str, name: str, has_colon: bool, schemes: Schemes, after: str
) -> None:
    """Raise CredentialError for a username that tries to name a scheme; others are for Basic."""
    known = (*TOKEN_SCHEMES, *schemes)
    if has_colon and f"_{scheme}" in known:
        usage = scheme_usage(f"_{scheme}", schemes, after)
        raise CredentialError("Username", f"a scheme begins with _; write {usage}.")
    if not scheme.startswith("_"):
        return
    if scheme in FORMER_SCHEMES:
        successor = FORMER_SCHEMES[scheme]
        raise CredentialError(
            "Username",
            f"{scheme} is now called {successor}; write {successor}:{name or '<HEADER-NAME>'}"
            f"{after}, which checks the same.",
        )
    close = difflib.get_close_matches(scheme, (*FORMER_SCHEMES, *known), n=1, cutoff=0.85)
    if close:
        usage = scheme_usage(FORMER_SCHEMES.get(close[0], close[0]), schemes, after)
        raise CredentialError("Username", f"there is no scheme {scheme}; write {usage}.")
    usages = ", ".join(scheme_usage(each, schemes).partition(",")[0] for each in known)
    raise CredentialError(
        "Username",
        f"there is no scheme {scheme}; write one of {usages}, or for Basic a name that begins "
        "otherwise.",
    )


# -------------------------------------------------------------------------------------------------
# Handshakes: what vendors ask before they send events, answered without an incident
#
# One row for each vendor: a recognizer, which returns what is to be echoed or None, and an answer.
# Rows that reveal nothing may be answered before authentication, because the vendor sends them
# unsigned; the others only to an authenticated sender. Only short printable ASCII is echoed, as
# JSON or as plain text that no browser takes for a page (nosniff).
# -------------------------------------------------------------------------------------------------

MAX_HANDSHAKE_BYTES = 8 * 1024  # of a body: a confirmation of SNS has 2 KiB, the others have less
MAX_PING_BYTES = 32 * 1024  # GitHub's describes the webhook, the repository and the organization
MAX_HANDSHAKE_QUERY_CHARACTERS = 4 * 1024  # what may be echoed, percent-encoded, and some more
MAX_HANDSHAKE_FIELDS = 20  # of a query string: Meta sends three
MAX_FORM_PAIRS = 3  # in a body: a Slack check has two
ECHOED = re.compile(r"[ -~]{1,1024}")  # printable ASCII, with which nothing can be injected
NO_EVENTS = (b"", b"{}", b"[]", b"null")
HOOK_SECRET = re.compile(r"[0-9A-Za-z_-]{8,128}")  # Asana's has 64 hexadecimal digits
HEX_SECRET = re.compile(r"[0-9a-f]{32,128}")
NOTICE_CHARACTERS = 40  # of a stranger's text, which may be a message to whoever reads the health
ALIVE = b'{"status":"ok"}'


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
    path: str = "/"
    # Fetches the URL that confirms a subscription to Amazon SNS; without it, none is confirmed.
    confirm_sns: Callable[[str], None] | None = None

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
        return _json_of(self.body)

    @functools.cached_property
    def form(self) -> dict[str, str]:
        """The fields of a small form in the body, of each name the last; empty otherwise."""
        try:
            text = self.body.decode()
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FORM_PAIRS))
        except ValueError:
            return {}


def _json_of(text: bytes | str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


class Handshake(NamedTuple):
    """One vendor's handshake.

    ``recognize`` returns what ``answer`` needs, None for any other request.
    """

    vendor: str
    unsigned: bool  # the vendor cannot prove itself here, and the answer reveals nothing
    recognize: Callable[[HandshakeRequest, Credentials], Any]
    answer: Callable[[Any, HandshakeRequest, Credentials], HandshakeReply]
    mark: bytes = b""  # what the body has to hold before it is parsed at all
    head_mark: str = ""  # a POST without a mark: a header, or what the query string has to hold
    head_value: str = ""  # with which that header has to begin
    max_bytes: int = MAX_HANDSHAKE_BYTES  # of the body


def answer_handshake(
    call: HandshakeRequest, credentials: Credentials, authenticated: bool, url_checks: bool = True
) -> HandshakeReply | None:
    """Return the answer to a handshake that may be answered now, None for any other request.

    The body of a POST has to be there whole. ``authenticated`` says whether authentication has
    passed, ``url_checks`` whether a request that asks nothing is one. Raises what confirm_sns
    raises.
    """
    body = call.body
    if "content-encoding" in call.headers:
        return None
    for row in HANDSHAKES.get(call.method, ()):
        if (authenticated or row.unsigned) and len(body) <= row.max_bytes and row.mark in body:
            recognized = row.recognize(call, credentials)
            if recognized is not None and (url_checks or row not in URL_CHECKS):
                return row.answer(recognized, call, credentials)._replace(vendor=row.vendor)
    return None


def asks_by_head(headers: Headers, query: str) -> bool:
    """Return whether the head of a POST may be a handshake's."""
    found = HEAD_MARKS.keys() & headers
    return any(headers[mark].startswith(HEAD_MARKS[mark]) for mark in found) or (
        query != "" and any(mark in query for mark, values in HEAD_MARKS.items() if "" in values)
    )


def asks_by_body(values: list[Any], body: bytes) -> bool:
    """Return whether a POST's body, read as these values, may be a handshake's; nearly none is."""
    return (
        len(values) == 1
        and isinstance(values[0], dict)
        and not values[0].keys().isdisjoint(BODY_KEYS)
        and len(body) <= MAX_HANDSHAKE_BYTES
        and any(mark in body for mark in BODY_MARKS)
    )


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


def _slack_challenge(call: HandshakeRequest, _: Credentials) -> str | None:
    asked = call.json
    if not isinstance(asked, dict) or asked.get("type") != "url_verification":
        return None
    return None if asked.keys() - {"type", "challenge", "token"} else echoed(asked.get("challenge"))


def _lone_challenge(call: HandshakeRequest, _: Credentials) -> str | None:
    asked = call.json
    is_lone = isinstance(asked, dict) and list(asked) == ["challenge"]
    return echoed(asked["challenge"]) if is_lone else None


def _twitch_challenge(call: HandshakeRequest, _: Credentials) -> str | None:
    kind = call.headers.get("twitch-eventsub-message-type")
    is_one = kind == "webhook_callback_verification" and isinstance(call.json, dict)
    return echoed(call.json.get("challenge")) if is_one else None


def _graph_token(call: HandshakeRequest, _: Credentials) -> str | None:
    if "validationToken" not in call.query or call.body.strip() not in NO_EVENTS:
        return None
    return echoed(call.field("validationToken"))


def _event_grid_code(call: HandshakeRequest, _: Credentials) -> str | None:
    events = call.json
    if not isinstance(events, list) or len(events) != 1 or not isinstance(events[0], dict):
        return None
    if events[0].get("eventType") != "Microsoft.EventGrid.SubscriptionValidationEvent":
        return None
    data = events[0].get("data")
    return echoed(data.get("validationCode")) if isinstance(data, dict) else None


def _code_answer(code: str, *_: Any) -> HandshakeReply:
    return _answer_json({"validationResponse": code})


def _meta_challenge(call: HandshakeRequest, credentials: Credentials) -> str | None:
    if call.field("hub.mode") != "subscribe":
        return None
    # A wrong password goes on to authentication, where failures are counted.
    known = credentials.knows(call.path, call.field("hub.verify_token").encode())
    return echoed(call.field("hub.challenge")) if known else None


def _dropbox_challenge(call: HandshakeRequest, credentials: Credentials) -> str | None:
    if call.fields.keys() - credentials.hidden_fields - {"challenge"}:
        return None
    return echoed(call.field("challenge"))


def _okta_challenge(call: HandshakeRequest, _: Credentials) -> str | None:
    return echoed(call.headers.get("x-okta-verification-challenge"))


def _okta_answer(text: str, *_: Any) -> HandshakeReply:
    return _answer_json({"verification": text})


def _cloud_events_origin(call: HandshakeRequest, _: Credentials) -> str | None:
    return echoed(call.headers.get("webhook-request-origin"))


def _cloud_events_answer(origin: str, call: HandshakeRequest, _: Credentials) -> HandshakeReply:
    rate = (("WebHook-Allowed-Rate", "*"),) if "webhook-request-rate" in call.headers else ()
    headers = (("WebHook-Allowed-Origin", origin), *rate, ("Allow", "POST"))
    return HandshakeReply(ALIVE, headers=headers)


def _zoom_token(call: HandshakeRequest, credentials: Credentials) -> tuple[str, bytes] | None:
    asked = call.json
    if not isinstance(asked, dict) or asked.get("event") != "endpoint.url_validation":
        return None
    payload = None if asked.keys() - {"event", "event_ts", "payload"} else asked.get("payload")
    if not isinstance(payload, dict) or list(payload) != ["plainToken"]:
        return None
    token = echoed(payload["plainToken"])
    key = credentials.signing_key(call.path, call.headers, call.query, call.body)
    return (token, key) if token and key else None


def _zoom_answer(token_and_key: tuple[str, bytes], *_: Any) -> HandshakeReply:
    token, key = token_and_key
    encrypted = hmac.new(key, token.encode(), "sha256").hexdigest()
    return _answer_json({"plainToken": token, "encryptedToken": encrypted})


def _asana_secret(call: HandshakeRequest, credentials: Credentials) -> str | None:
    secret = call.headers.get("x-hook-secret", "")
    if not HOOK_SECRET.fullmatch(secret):
        return None
    has_events = call.body.strip() not in NO_EVENTS and call.json != {"events": []}
    return None if has_events else secret


def _expected_asana_secret(call: HandshakeRequest, credentials: Credentials) -> str | None:
    # Asana names the secret in the first request of a new webhook, which nothing can prove.
    is_asanas = "x-hook-signature" in credentials.hidden_headers
    expected = is_asanas or credentials.is_open
    return _asana_secret(call, credentials) if expected else None


def _asana_answer(secret: str, _: HandshakeRequest, credentials: Credentials) -> HandshakeReply:
    notice = ""
    if credentials.is_open:
        shown = secret if HEX_SECRET.fullmatch(secret) else f'"{secret[:NOTICE_CHARACTERS]}"'
        notice = (
            "If you have just registered this webhook at Asana, enter as Username "
            f"_hmac:X-Hook-Signature and as Password {shown}. "
            "If you have not, somebody else sent this: ignore it."
        )
    return HandshakeReply(ALIVE, headers=(("X-Hook-Secret", secret),), notice=notice)


def _sns_url(call: HandshakeRequest, _: Credentials) -> str | None:
    asked = call.json
    if not isinstance(asked, dict) or asked.get("Type") != "SubscriptionConfirmation":
        return None
    url = asked.get("SubscribeURL") if call.confirm_sns is not None else None
    return url if isinstance(url, str) else None


def _confirm_sns(url: str, call: HandshakeRequest, _: Credentials) -> HandshakeReply:
    """Fetch the URL that confirms a subscription; raises what the request's function raises."""
    if call.confirm_sns is not None:
        call.confirm_sns(url)
    return HandshakeReply(b'{"status":"confirmed"}')


# ---- first pings: what code hosts and shops send to see whether the URL answers

GITHUB_PING = frozenset(
    {
        *("zen", "hook_id", "hook", "repository", "organization", "enterprise", "sender"),
        "installation",
    }
)
MAX_ID_DIGITS = 20
FORM_TYPE = "application/x-www-form-urlencoded"


def _github_ping(call: HandshakeRequest, _: Credentials) -> bool | None:
    if call.headers.get("x-github-event") != "ping":
        return None
    body: Any = call.json
    if call.headers.get("content-type", "").startswith(FORM_TYPE):
        body = _json_of(call.form.get("payload", "") if len(call.form) == 1 else "")
    is_ping = isinstance(body, dict) and body.keys() >= {"zen", "hook_id"}
    return True if is_ping and body.keys() <= GITHUB_PING else None


def _bitbucket_ping(call: HandshakeRequest, _: Credentials) -> bool | None:
    is_ping = call.headers.get("x-event-key") == "diagnostics:ping"
    return True if is_ping and call.json == {"test": True} else None


def _woocommerce_ping(call: HandshakeRequest, _: Credentials) -> bool | None:
    number = call.form.get("webhook_id", "") if len(call.form) == 1 else ""
    return True if number.isdecimal() and len(number) <= MAX_ID_DIGITS else None


def _slack_ssl_check(call: HandshakeRequest, _: Credentials) -> bool | None:
    fields = call.form if call.method == "POST" else {n: v[0] for n, v in call.fields.items()}
    is_check = fields.get("ssl_check") == "1" and fields.keys() <= {"ssl_check", "token"}
    return True if is_check else None


def _url_check(call: HandshakeRequest, credentials: Credentials) -> bool | None:
    return None if call.query else True


def _proven_url_check(call: HandshakeRequest, credentials: Credentials) -> bool | None:
    return True if call.fields and call.fields.keys() <= credentials.hidden_fields else None


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
        Handshake("Slack's SSL check", True, _slack_ssl_check, _answer_alive),
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
        # https://docs.github.com/webhooks/webhook-events-and-payloads#ping (also Gitea's form)
        Handshake(
            *("GitHub", False, _github_ping, _answer_alive, b"", "x-github-event", "ping"),
            max_bytes=MAX_PING_BYTES,
        ),
        # https://confluence.atlassian.com/bitbucketserver/event-payload-938025882.html
        Handshake(
            *("Bitbucket Server", True, _bitbucket_ping, _answer_alive),
            *(b"", "x-event-key", "diagnostics:ping"),
        ),
        # https://developer.woocommerce.com/docs/best-practices/urls-and-routing/webhooks/
        Handshake(
            "WooCommerce", True, _woocommerce_ping, _answer_alive, b"", "content-type", FORM_TYPE
        ),
        # https://docs.slack.dev/interactivity/implementing-slash-commands
        Handshake(
            *("Slack's SSL check", True, _slack_ssl_check, _answer_alive),
            *(b"", "content-type", FORM_TYPE),
        ),
    ),
}
BODY_MARKS = tuple({row.mark for row in HANDSHAKES["POST"] if row.mark})
BODY_KEYS = frozenset({"challenge", "eventType", "event", "SubscribeURL"})  # one beside each mark
HEAD_MARKS = {  # each with what its values begin with
    mark: tuple({row.head_value for row in HANDSHAKES["POST"] if row.head_mark == mark})
    for mark in {row.head_mark for row in HANDSHAKES["POST"] if not row.mark}
}
