"""A gevent HTTP/1.1 server: bytes become requests, answers become bytes (RFC 9110, RFC 9112).

What it is for: sockets, TLS, who is connected and for how long, the memory that request bodies
may take, strict parsing of requests, and sending answers. It knows nothing of Cortex XSOAR, of
incidents, or of who may send: the application gives it one function that answers a Request.

| section | what it does |
| --- | --- |
| Answers | Answer, and HTTPError for every answer other than 200 |
| TLS | a TLS context from PEM texts, and what is wrong with them |
| Connections | which connections exist and how long they may stay; memory; counters |
| Heads | a request line and headers become a Head, once for the same bytes |
| Requests | the bytes of a connection, a request and its body |
| Server | connections are accepted, requests are answered |
"""

import base64
import calendar
import contextlib
import email.utils
import functools
import http
import itertools
import json
import math
import re
import resource
import select
import socket
import ssl
import tempfile
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import gevent
import gevent.event
import gevent.socket
from gevent import ssl as gevent_ssl
from gevent.server import StreamServer

MAX_BODY_BYTES = 25 * 1024**2  # GitHub's largest delivery
# Up to here a body does not count against MAX_BODIES_BYTES, and the event loop parses it.
SMALL_BODY_BYTES = 32 * 1024
TLS_RECORD_BYTES = 16 * 1024
READ_BYTES = 64 * 1024  # of a body, read or decompressed at a time
RETRY_AFTER_SECONDS = 5
CERTIFICATE_WARNING_DAYS = 14

# -------------------------------------------------------------------------------------------------
# Answers: Answer, and HTTPError for every answer other than 200
# -------------------------------------------------------------------------------------------------

JSON_TYPE = "application/json"


class Answer(NamedTuple):
    """What a sender gets: status, content, its type, and further headers."""

    status: int = 200
    content: bytes = b""
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()


class HTTPError(Exception):
    """An answer other than 200: an HTTP status, a sentence that says how to fix it, and headers."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(self) -> Answer:
        """Return what the sender gets: a JSON object whose ``error`` is the sentence."""
        content = json.dumps({"error": self.sentence}, ensure_ascii=False, separators=(",", ":"))
        headers = tuple(self.headers.items())
        return Answer(self.status, content.encode("utf-8", "replace"), headers=headers)


class ServiceUnavailable(HTTPError):
    """503 with Retry-After: nothing was created, and the same request may succeed later."""

    def __init__(self, sentence: str) -> None:
        super().__init__(503, sentence, Retry_After=str(RETRY_AFTER_SECONDS))


class BadRequest(HTTPError):
    """400: the request has to be changed before it can succeed."""

    def __init__(self, sentence: str) -> None:
        super().__init__(400, sentence)


FAILED = Answer(500, b'{"error":"The webhook failed; its log says why."}')


# -------------------------------------------------------------------------------------------------
# TLS: a context from PEM texts, and what is wrong with them
# -------------------------------------------------------------------------------------------------

BEGIN_CERTIFICATE, END_CERTIFICATE = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
WHOLE_PEM = "paste the whole PEM text"
WHOLE_CERTIFICATE = f"from {BEGIN_CERTIFICATE} to {END_CERTIFICATE}."
REFUSED_CERTIFICATE = "paste a valid one: senders that verify it refuse to connect."
PEM_CERTIFICATE = re.compile(rf"{BEGIN_CERTIFICATE}[\sA-Za-z0-9+/=]+{END_CERTIFICATE}")
# The Validity of a certificate in DER (RFC 5280, 4.1.2.5): a SEQUENCE of two times, each of them
# a UTCTime (tag 23) or a GeneralizedTime (tag 24).
VALIDITY = re.compile(
    rb"\x30[\x1e\x20\x22](?:\x17\x0d([0-9]{12})Z|\x18\x0f([0-9]{14})Z)"
    rb"(?:\x17\x0d([0-9]{12})Z|\x18\x0f([0-9]{14})Z)"
)


class CertificateError(ValueError):
    """A text that TLS cannot use: ``field`` names its parameter, ``fix`` says what to do."""

    def __init__(self, field: str, fix: str) -> None:
        super().__init__(f"{field}: {fix}")
        self.field = field
        self.fix = fix


def load_tls(certificate: str, key: str, client_ca: str = "") -> "gevent_ssl.SSLContext | None":
    """Return the server's TLS context from PEM texts, None when certificate and key are empty.

    The certificate may be followed by intermediate ones. With ``client_ca``, a bundle of CAs, each
    client has to present a certificate that one of them signed. Raises CertificateError.
    """
    if not certificate and not key:
        if client_ca:
            fix = "clients present certificates over HTTPS; paste Certificate and Private Key, too."
            raise CertificateError("Client CA", fix)
        return None
    if not certificate or not key:
        names = ("Certificate", "Private Key")
        present, absent = names if certificate else names[::-1]
        fix = f"HTTPS needs both; paste the {absent.lower()} too, or empty {present}."
        raise CertificateError(absent, fix)
    context = gevent_ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    # When we end reading ourselves, OpenSSL 3 takes that for an attack and would not let us answer.
    context.options |= getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    load_pair(context, certificate, key)
    if client_ca:
        require_client_certificates(context, client_ca)
    return context


def load_pair(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Load a certificate and its private key, which the ssl module reads from files only."""
    try:
        # Only this user can read the folder, and it is gone once the files are loaded.
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder, name) for name in ("certificate.pem", "key.pem")]
            for file, text in zip(files, (certificate, key)):
                file.write_text(text + "\n", "utf-8", "replace")
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(files[0], files[1], password=lambda: "")
    except ssl.SSLError as error:
        raise CertificateError(*explain_tls_error(error, certificate, key)) from None
    except OSError as error:
        problem = f"no temporary file for loading it ({error.strerror})"
        fix = f"{problem}; free disk space in the container's /tmp."
        raise CertificateError("Certificate", fix) from None


def require_client_certificates(context: ssl.SSLContext, client_ca: str) -> None:
    """Make a TLS context accept only clients with a certificate of these CAs; CertificateError."""
    whole = f"{WHOLE_PEM} of each, {WHOLE_CERTIFICATE}"
    if "PRIVATE KEY" in client_ca:
        fix = f"it holds a private key, which belongs to the CA alone; {whole}"
        raise CertificateError("Client CA", fix)
    # Bundles name their certificates in comments, in any language, which the ssl module refuses.
    certificates = PEM_CERTIFICATE.findall(client_ca)
    try:
        context.load_verify_locations(cadata="\n".join(certificates))
    except (ssl.SSLError, ValueError):  # ValueError: there is none
        fix = f"OpenSSL cannot read its certificates; {whole}"
        raise CertificateError("Client CA", fix) from None
    if len(certificates) < client_ca.count("BEGIN CERTIFICATE"):
        raise CertificateError("Client CA", f"one of its certificates is incomplete; {whole}")
    authorities = context.get_ca_certs()
    if len(authorities) < len(set(certificates)):
        fix = "one of its certificates is not a CA's; paste only those of your senders' CAs."
        raise CertificateError("Client CA", fix)
    ends = [ssl.cert_time_to_seconds(str(authority["notAfter"])) for authority in authorities]
    if min(ends) < time.time():
        fix = "one of its certificates has expired; paste a newer one."
        raise CertificateError("Client CA", fix)
    context.verify_mode = ssl.CERT_REQUIRED
    # The bundle may name an intermediate CA without its root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def explain_tls_error(error: ssl.SSLError, certificate: str, key: str) -> tuple[str, str]:
    """Return the field at fault and how to fix it for an error of OpenSSL."""
    if "BEGIN CERTIFICATE" not in certificate:
        return "Certificate", f"{WHOLE_PEM}, {WHOLE_CERTIFICATE}"
    if "PRIVATE KEY" not in key or "-----END" not in key:
        lines = "its lines -----BEGIN ... PRIVATE KEY----- and -----END ...-----."
        return "Private Key", f"{WHOLE_PEM}, with {lines}"
    if "ENCRYPTED" in key:
        fix = "it is protected by a passphrase; paste it without one (openssl pkey -in key.pem)."
        return "Private Key", fix
    if error.reason == "KEY_VALUES_MISMATCH":
        fix = "it does not belong to the certificate; paste the key the certificate was made with."
        return "Private Key", fix
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificate)
    except ssl.SSLError:
        return "Certificate", f"OpenSSL cannot read it; {WHOLE_PEM} again."
    return "Private Key", f"OpenSSL cannot read it; {WHOLE_PEM} again."


def certificate_problem(certificate: str) -> str:
    """Return what is wrong with the dates of a PEM certificate, an empty string if nothing is.

    The first certificate of the text counts, which is the server's own.
    """
    pem = certificate.partition(BEGIN_CERTIFICATE)[2].partition(END_CERTIFICATE)[0]
    try:
        dates = VALIDITY.search(base64.b64decode(pem))
        if dates is None:
            return ""
        begins, ends = read_asn1_time(dates[1] or dates[2]), read_asn1_time(dates[3] or dates[4])
    except ValueError:  # it is not Base64, or has a thirteenth month: OpenSSL judges that, not we
        return ""
    if begins > time.time():
        return f"Certificate: it is not valid yet; {REFUSED_CERTIFICATE}"
    days = (ends - time.time()) / 86_400
    if days < 0:
        return f"Certificate: it has expired; {REFUSED_CERTIFICATE}"
    if days <= CERTIFICATE_WARNING_DAYS:
        return f"Certificate: it expires in {math.floor(days)} days; paste a renewed one in time."
    return ""


def read_asn1_time(digits: bytes) -> float:
    """Return the epoch seconds of a UTCTime (12 digits) or GeneralizedTime (14) without its Z."""
    text = digits.decode()
    if len(text) == 12:  # RFC 5280, 4.1.2.5.1: the years 1950 to 2049
        text = ("19" if text >= "50" else "20") + text
    return calendar.timegm(time.strptime(text, "%Y%m%d%H%M%S"))


# -------------------------------------------------------------------------------------------------
# Connections: which exist and how long they may stay; memory for large bodies; counters
#
# A connection is in one of five groups, each ordered by how long it has been there. All deadlines
# are checked once a second. When there are too many connections, only the groups in which a
# connection waits for its sender lose one: a request in progress is never cut off.
# -------------------------------------------------------------------------------------------------

REQUEST_SECONDS = 30  # for the TLS handshake, the headers and the body together
IDLE_SECONDS = 620  # without a request: longer than load balancers, which may do so for 600 s
MAX_CONNECTIONS = 4096
SPARE_DESCRIPTORS = 100  # of the process's limit, for everything that is not a connection
CANDIDATES = 64  # of a group, looked at when full: a crowd does not make a newcomer dear
# Thrown away after a refusal, so that who is still sending sees the answer and not a reset.
DISCARD_BYTES = 64 * 1024**2
DISCARD_SECONDS = 10.0
MAX_DISCARDING = 256  # connections at once; any further one gets LINGER_BYTES and LINGER_SECONDS
LINGER_BYTES = 64 * 1024
LINGER_SECONDS = 1.0
MAX_BODIES_BYTES = 256 * 1024**2  # of all large bodies in progress, so that they fit the container
STRANGERS_SHARE = 1 / 2  # of that, for all who have not proved (yet) who they are
SENDER_SHARE = 7 / 8  # of what its kind may hold, for one sender: another one's body has room
STALLED_SECONDS = 5.0  # without READ_BYTES of an authenticated sender's body


class ServerCounters(Protocol):
    """Where the server counts what happens."""

    def add(self, name: str, count: int = 1) -> None:
        """Count something under a name that is fit for the log."""

    def answered(self, status: int) -> None:
        """Count an answer."""


class BodyMemory:
    """The memory that all large bodies in progress share, in bytes, and who gets it.

    A body over SMALL_BODY_BYTES counts by what has arrived of it, then by what is made of it. Its
    sender is an address, or the name given to Request.mark_authenticated: before that, a stranger.

    1. All bodies hold at most MAX_BODIES_BYTES, those of all strangers at most STRANGERS_SHARE of
       that, those of one sender at most SENDER_SHARE of what its kind may hold.
    2. If the next bytes of a body do not fit, another one that is still arriving is given up: 503,
       and its connection ends. A stranger can only displace strangers; an authenticated sender
       displaces strangers first, then whoever holds more than itself, and bodies that have stalled.
    3. Of several such bodies the one goes that arrives slowest and takes most: the bytes that its
       sender holds, times the seconds since the last READ_BYTES of it arrived.
    4. If there is none, the request itself is 503. A complete body is never given up.
    """

    def __init__(self) -> None:
        # of authenticated senders and of strangers: the owner of each body, longest silent first
        self._owners: dict[bool, dict[Request, tuple[bool, str]]] = {True: {}, False: {}}
        self._totals = {True: 0, False: 0}  # bytes
        self._held: Counter[tuple[bool, str]] = Counter()  # bytes of each owner

    def reserve(self, request: "Request", size: int) -> None:
        """Account for ``size`` more bytes that a request holds; raises ServiceUnavailable."""
        owner = (request.authenticated, request.sender or request.address)
        while (group := self._full_group(owner, size)) is not None:
            victim = self._slowest(request, owner, size, group)
            if victim is None:
                raise ServiceUnavailable(NO_MEMORY)
            self.release(victim)
            victim.give_up()
        self.add(request, owner, size)

    def add(self, request: "Request", owner: tuple[bool, str], size: int) -> None:
        """Account for bytes that are in memory anyway."""
        self._owners[owner[0]].pop(request, None)
        self._owners[owner[0]][request] = owner
        self._held[owner] += size
        self._totals[owner[0]] += size
        request.reserved += size

    def release(self, request: "Request") -> None:
        """Account for the end of all that a request holds."""
        owner = self._owners[request.authenticated].pop(request)
        self._totals[owner[0]] -= request.reserved
        self._held[owner] -= request.reserved
        request.reserved = 0
        if not self._held[owner]:
            del self._held[owner]

    def _full_group(self, owner: tuple[bool, str], size: int) -> str | None:
        """Return whose limit ``size`` more bytes of an owner would exceed, None if they fit."""
        limit = MAX_BODIES_BYTES if owner[0] else MAX_BODIES_BYTES * STRANGERS_SHARE
        if self._held[owner] + size > limit * SENDER_SHARE:
            return "sender"
        if not owner[0] and self._totals[False] + size > limit:
            return "strangers"
        return "all" if sum(self._totals.values()) + size > MAX_BODIES_BYTES else None

    def _slowest(
        self, request: "Request", owner: tuple[bool, str], size: int, group: str
    ) -> "Request | None":
        """Return the body to give up for ``size`` bytes of a request, None if none may be."""
        now, held = time.monotonic(), self._held

        def may_be_given_up(body: Request, other: tuple[bool, str]) -> bool:
            if body.complete or body is request or (group == "sender" and other != owner):
                return False
            stalled = now - body.arrived > STALLED_SECONDS
            return not other[0] or stalled or held[other] > held[owner] + size

        for kind in (False, True) if owner[0] else (False,):
            owners = self._owners[kind]
            bodies = (body for body, other in owners.items() if may_be_given_up(body, other))
            candidates = list(itertools.islice(bodies, CANDIDATES))
            if candidates:
                return max(candidates, key=lambda body: held[owners[body]] * (now - body.arrived))
        return None


class ConnectionRegistry:
    """Keeps every connection within its time and all of them within their number."""

    def __init__(self, counters: ServerCounters) -> None:
        limit = raise_descriptor_limit(MAX_CONNECTIONS + SPARE_DESCRIPTORS)
        self._counters = counters
        self._max_connections = max(16, min(MAX_CONNECTIONS, limit - SPARE_DESCRIPTORS))
        # the five groups, each with its oldest connection first
        self._arriving: OrderedDict[Connection, None] = OrderedDict()  # without complete headers
        self._reading: OrderedDict[Connection, None] = OrderedDict()  # headers complete, body not
        self._working: OrderedDict[Connection, None] = OrderedDict()  # request complete
        self._idle: OrderedDict[Connection, None] = OrderedDict()  # kept alive between requests
        self._discarding: OrderedDict[Connection, None] = OrderedDict()  # refused, still sending
        self._groups = (self._arriving, self._idle, self._discarding, self._reading, self._working)
        # for an orderly stop
        self.in_progress = 0  # requests whose body is complete and that are not answered yet
        self.stopping = False

    def open(self, connection: "Connection") -> bool:
        """Admit a new connection and return True, or return False if it is one too many.

        When full, the first of these that exists is closed: the oldest connection without complete
        headers, the longest idle one, the oldest refused one, the oldest without a complete body.
        One whose bytes have arrived and only wait for their turn comes last.
        """
        if sum(map(len, self._groups)) >= self._max_connections:
            silent, resting = (
                itertools.filterfalse(Connection.has_bytes, itertools.islice(group, CANDIDATES))
                for group in (self._arriving, self._idle)
            )
            late = (self._reading, self._arriving, self._idle)
            victim = next(itertools.chain(silent, resting, self._discarding, *late), None)
            if victim is None:
                self._counters.add("connections refused")
                return False
            self._counters.add("connections evicted")
            self.close(victim)
            victim.shut(socket.SHUT_RDWR)
        connection.group = self._arriving
        self._arriving[connection] = None
        return True

    def close(self, connection: "Connection") -> None:
        """Forget a connection."""
        connection.group.pop(connection, None)

    def idle(self, connection: "Connection") -> None:
        """Note that a request is answered: the connection may be silent for IDLE_SECONDS."""
        self._move(connection, self._idle, time.monotonic() + IDLE_SECONDS)

    def begin(self, connection: "Connection") -> None:
        """Start a request's REQUEST_SECONDS; a new connection's have run since it was opened."""
        if connection.group is self._idle:
            self._move(connection, self._arriving, time.monotonic() + REQUEST_SECONDS)

    def read(self, connection: "Connection") -> None:
        """Note that the headers are complete; the body has to arrive within the same time."""
        self.begin(connection)
        self._move(connection, self._reading, connection.deadline)

    def work(self, connection: "Connection") -> None:
        """Note that the body is complete: now the application decides how long it takes."""
        self._move(connection, self._working, math.inf)

    def discard(self, connection: "Connection") -> tuple[int, float]:
        """Note a refusal; returns how many bytes may be thrown away, in how many seconds."""
        if len(self._discarding) >= MAX_DISCARDING or connection.expired:
            return LINGER_BYTES, LINGER_SECONDS
        self._move(connection, self._discarding, time.monotonic() + DISCARD_SECONDS)
        return DISCARD_BYTES, DISCARD_SECONDS

    @staticmethod
    def _move(
        connection: "Connection", group: "OrderedDict[Connection, None]", deadline: float
    ) -> None:
        if connection in connection.group:  # otherwise it is closed
            del connection.group[connection]
            group[connection] = None
            connection.group = group
            connection.deadline = deadline

    def reading(self) -> bool:
        """Return whether a body is arriving."""
        return bool(self._reading)

    def end_reading(self) -> None:
        """End reading on every connection whose request is incomplete; its own greenlet answers."""
        for connection in [*self._arriving, *self._reading]:
            connection.reader.end()

    def sweep(self, now: float) -> None:
        """End reading where the time is up (``now`` is monotonic); its own greenlet answers."""
        for group in self._groups:
            for connection in list(group):
                # What arrived while the event loop was busy is read in a moment.
                if connection.deadline >= now or connection.has_new_request():
                    continue
                # A second sweep means that not even the answer could be written.
                connection.shut(socket.SHUT_RDWR) if connection.expired else connection.reader.end()
                connection.expired = True
                connection.deadline = now + LINGER_SECONDS

    def counts(self) -> dict[str, int]:
        """Return how many connections there are of each kind."""
        names = ("arriving", "idle", "discarding", "reading", "working")
        return {name: len(group) for name, group in zip(names, self._groups)}


def raise_descriptor_limit(wanted: int) -> int:
    """Raise the soft limit of descriptors if possible, and return how many of the wanted ones."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (math.inf if limit == resource.RLIM_INFINITY else limit for limit in limits)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(min(wanted, hard)), limits[1]))
            soft = min(wanted, hard)
    return int(min(soft, wanted))


# -------------------------------------------------------------------------------------------------
# Heads: a request line and headers become a Head, once for the same bytes
#
# The reader is strict: where a lenient one takes two Content-Lengths, folded headers or a bare line
# feed, a proxy in front may see other requests than we do. All of that is 400 and the end of the
# connection (RFC 9112, 11.2). Senders and proxies repeat their heads byte for byte, except for the
# length of the body; what follows from a head's bytes is found once.
# -------------------------------------------------------------------------------------------------

RECEIVE_BYTES = 16 * 1024  # of a request's head and, mostly, its whole body
MAX_REQUEST_LINE_BYTES = 8 * 1024  # what common proxies allow
MAX_HEADERS_BYTES = 32 * 1024
MAX_HEADERS = 100
MAX_CHUNK_LINE_BYTES = 1 * 1024
# A chunk costs the same whatever its size. Before a sender is authenticated, its body may have
# FREE_CHUNKS of any size, and one more for each CHUNK_BYTES.
FREE_CHUNKS = 500
CHUNK_BYTES = 1 * 1024
# An arrival costs a switch of greenlets, however small it is. After MAX_ARRIVALS of a head, or of a
# part of a body, ARRIVAL_SECONDS pass before each further one, over TLS each RECORDS_AT_ONCE.
MAX_ARRIVALS = 64
RECORDS_AT_ONCE = 32
ARRIVAL_SECONDS = 0.01
CHECK_BYTES = 1 * 1024  # by which an incomplete head grows until it is checked again
# From one connection before the others get their turn: a pipeline never makes us wait for bytes.
REQUESTS_IN_A_ROW = 8
MAX_KNOWN_HEADS = 256
MAX_KNOWN_HEAD_BYTES = 2 * 1024
HEADER_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110, 5.6.2: a token
REQUEST_LINE = re.compile(rf"({HEADER_NAME}) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([0-9])")
HEADER_LINES = re.compile(rf"(?:{HEADER_NAME}:[\t\x20-\x7e\x80-\xff]*\r\n)*+")
ESCAPE = re.compile(rb"%([0-9a-fA-F]{2})")
# RFC 9112, 7.1.1, a bit stricter: an extension has a name, and blanks around its semicolon only.
CHUNK_LINE = re.compile(
    rb"([0-9a-fA-F]{1,8})"
    rb"(?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z][\t\x20-\x7e\x80-\xff]*)?\r\n"
)
MAX_LENGTH_DIGITS = 8
LENGTH_LINE = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ?([0-9]{1,%d})\r\n" % MAX_LENGTH_DIGITS)
# Sent twice, each of these is ambiguous.
SINGLE_HEADERS = {"content-length", "transfer-encoding", "host", "content-encoding", "expect"}
COMMON_HEADERS = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
STOPPING_SENTENCE = "The webhook is stopping; send this again in a moment."
NO_MEMORY = "Too many large bodies are in progress; send this again later."
TOO_LARGE = f"The body exceeds {MAX_BODY_BYTES // 1024**2} MiB; send fewer events at a time."
LONG_CHUNK_LINE = f"A chunk's first line exceeds {MAX_CHUNK_LINE_BYTES} bytes; send no extensions."
SMALL_CHUNKS = f"More than {FREE_CHUNKS} small chunks; send chunks of {CHUNK_BYTES} bytes and more."
BAD_REQUEST_LINE = "The request line is not valid HTTP/1.1."
BLANK_LINE = b"\r\n\r\n"  # with the line break before it
STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in http.HTTPStatus}


class Head:
    """A request without its body: header names in lower case, values in Latin-1 as they arrived."""

    def __init__(
        self, method: str, target: str, minor: str, headers: dict[str, str], twice: frozenset[str]
    ) -> None:
        """Understand a head; raises BadRequest wherever a proxy might see another request."""
        self.method = method.upper()
        self.path, self.query = split_target(target)
        self.minor = minor  # of HTTP/1
        self.headers = headers
        self.repeated = twice  # names that were sent more than once
        self.length, self.chunked = body_framing(headers, minor)
        # RFC 9110, 10.1.1: an HTTP/1.0 client does not know what 100 means.
        self.expects_continue = minor != "0" and headers.get("expect", "").lower() == "100-continue"
        # RFC 9112, 9.3: HTTP/1.1 stays open unless one side says otherwise.
        connection = headers.get("connection", "").lower()
        options = connection.replace(" ", "").replace("\t", "").split(",") if connection else ()
        self.keep_alive = "close" not in options and (minor != "0" or "keep-alive" in options)
        self.is_common = self.method == "POST" and minor != "0"  # the answer's head depends on it
        # the application's: what follows from the head alone
        self.handler: Callable[[Request], Answer | None] | None = None  # the function that answers
        self.notes: Any = None


def parse_head(text: str) -> Head:
    """Return a request's head from its lines, each with its line break; raises BadRequest."""
    line, _, lines = text.partition("\r\n")
    words = REQUEST_LINE.fullmatch(line)  # RFC 9112, 3: single spaces, no others
    if not words:
        raise BadRequest(BAD_REQUEST_LINE)
    method, target, minor = words.groups()
    headers, repeated = parse_headers(lines)
    if minor != "0" and "host" not in headers:  # RFC 9112, 3.2
        raise BadRequest("The header Host is missing; HTTP/1.1 requires it.")
    return Head(method, target, minor, headers, repeated)


def parse_headers(lines: str) -> tuple[dict[str, str], frozenset[str]]:
    """Return values by lower-case name, and the names that were sent more than once.

    Repeated values are joined by commas (RFC 9110, 5.3). Raises BadRequest for repeated ones of
    SINGLE_HEADERS, a blank before the colon (RFC 9112, 5.1) and a folded line (RFC 9112, 5.2).
    """
    if not HEADER_LINES.fullmatch(lines):
        raise BadRequest("A header is malformed: each is one line 'Name: value' of visible text.")
    headers: dict[str, str] = {}
    repeated = []
    for line in lines.split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        # Only these two are optional whitespace (RFC 9110, 5.6.3). A plain strip() would also
        # remove characters that a proxy takes for a part of the value, such as \x85 and \xa0.
        name, value = name.lower(), value.strip(" \t")
        if name not in headers:
            headers[name] = value
        elif name in SINGLE_HEADERS:
            raise BadRequest(f"The header {name} is there twice; send it once.")
        else:
            headers[name] += ", " + value
            repeated.append(name)
    return headers, frozenset(repeated)


def split_target(target: str) -> tuple[str, str]:
    """Return a target's path, its percent-encodings decoded, and its raw query string.

    Raises BadRequest for anything but a path or a URL (RFC 9112, 3.2.1 and 3.2.2).
    """
    path, _, query = target.partition("?")
    if path.lower().startswith(("http://", "https://")):
        path = "/" + path.partition("://")[2].partition("/")[2]
    if not path.startswith("/"):
        raise BadRequest("The request's target is not a path or a URL.")
    if path.isascii() and "%" not in path:
        return path, query
    # The standard library's unquote_to_bytes takes 6 ms for 8 KiB of percent signs.
    decoded = ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), path.encode("latin-1"))
    return decoded.decode("utf-8", "replace"), query


def body_framing(headers: dict[str, str], minor: str) -> tuple[int, bool]:
    """Return a body's length in bytes and whether it arrives in chunks; raises BadRequest in doubt.

    Both headers, or chunks in HTTP/1.0, are how requests are smuggled (RFC 9112, 6.1), and so is a
    Content-Length that is not made of digits (RFC 9112, 6.2). Without either there is no body
    (RFC 9112, 6.3).
    """
    length, encoding = headers.get("content-length"), headers.get("transfer-encoding")
    is_ambiguous = length is not None or minor == "0"
    if encoding is not None and (is_ambiguous or encoding.lower() != "chunked"):
        raise BadRequest("Send either Content-Length or, in HTTP/1.1, Transfer-Encoding: chunked.")
    # isascii, because isdigit alone takes digits such as a superscript two.
    if length is not None and not (length.isascii() and length.isdigit() and len(length) <= 15):
        raise BadRequest("Content-Length is not a number of bytes.")
    return int(length or 0), encoding is not None


def check_head_limits(head: bytes) -> None:
    """Raise HTTPError (400, 414, 431) for a head, or its start, that is too long or no HTTP/1."""
    lines = head.rstrip(b"\r\n")  # what is, or may become, the blank line does not count
    all_breaks = head.count(b"\r\n")
    breaks = all_breaks - head.count(b"\r\n", len(lines))
    first = lines.find(b"\r\n") if breaks else len(lines)
    if first > MAX_REQUEST_LINE_BYTES:
        most = f"{MAX_REQUEST_LINE_BYTES // 1024} KiB"
        raise HTTPError(414, f"The request line is longer than {most}; shorten the URL.")
    if len(lines) - first > MAX_HEADERS_BYTES or breaks > MAX_HEADERS:
        most = f"{MAX_HEADERS_BYTES // 1024} KiB or {MAX_HEADERS} lines"
        raise HTTPError(431, f"The headers exceed {most}; send fewer.")
    if head.count(b"\n") != all_breaks:  # RFC 9112, 2.2 would let us take it
        raise BadRequest("A line of the head ends in a bare line feed; end each with CR LF.")
    # TLS or a port scan: the end of such a head would never arrive.
    if first and b"\n" in head and head.find(b" HTTP/1.", 0, first) < 0:
        raise BadRequest(BAD_REQUEST_LINE)


def check_chunk_line(line: bytes) -> None:
    """Raise BadRequest for a chunk's first line, or what has arrived of it, that is too long."""
    if len(line) > MAX_CHUNK_LINE_BYTES:
        raise BadRequest(LONG_CHUNK_LINE)


class KnownHeads:
    """The authenticated senders' last heads by their bytes, except for Content-Length's digits."""

    def __init__(self) -> None:
        self._heads: OrderedDict[tuple[bytes, bytes], Head] = OrderedDict()
        self._last: tuple[Head | None, tuple[bytes, bytes]] = None, (b"", b"")  # that was found

    def find(self, data: bytes) -> tuple[Head | None, tuple[bytes, bytes], bytes]:
        """Return a head if it is known, its key, and the digits of its Content-Length.

        A long one has no key. A second such line is a part of the key; that head is refused.
        """
        head, (start, end) = self._last
        digits = data[len(start) : len(data) - len(end)]  # all the rest is compared
        is_length = len(digits) <= MAX_LENGTH_DIGITS and digits.isdigit()
        if is_length and data.startswith(start) and data.endswith(end):
            return head, (start, end), digits
        if len(data) > MAX_KNOWN_HEAD_BYTES:
            return None, (b"", b""), b""
        line = LENGTH_LINE.search(data)
        at, behind = line.span(1) if line else (len(data), len(data))
        key = data[:at], data[behind:]
        head = self._heads.get(key)
        if head is not None:
            self._heads.move_to_end(key)
            self._last = head, key
        return head, key, data[at:behind]

    def add(self, key: tuple[bytes, bytes], head: Head) -> None:
        """Remember a head, in place of the least recently used one if there are too many."""
        if key[0]:
            self._heads[key] = head
            if len(self._heads) > MAX_KNOWN_HEADS:
                self._heads.popitem(last=False)


# -------------------------------------------------------------------------------------------------
# Requests: the bytes of a connection, a request and its body
#
# How a request is read:
#
# 1. Reader.wait waits for the first byte; one empty line before a request is left out.
# 2. Reader.until collects the head, up to and with its blank line. Meanwhile, what arrives starts
#    the request's time and is checked: what is too long, or cannot become a head, is refused early.
# 3. The head's bytes are looked up in KnownHeads. A head that is not there is checked and parsed,
#    and body_framing decides where the request ends: after Content-Length bytes, with the last
#    chunk, or right here.
# 4. Nothing of the body is read before the application calls Request.read_body: it may refuse by
#    the head alone. A sender that expects 100 (Continue) gets it now.
# 5. A body that arrived together with its head is taken from the buffer. Any other is read in parts
#    of at most READ_BYTES, and the memory for each is reserved first.
# 6. Chunks are read one by one; the trailers after the last one are parsed and dropped.
# 7. What is left in the buffer belongs to the next request of the connection.
#
# Wherever bytes end too early, incomplete_request_error says why, and the connection ends.
# -------------------------------------------------------------------------------------------------


class ReadingEnded(OSError):
    """Raised where a greenlet waits for bytes when we end reading."""


class Reader:
    """The bytes of a connection, received as they are needed; empty ones mean that it has ended."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._buffer = b""
        self._ended = False  # by us
        secure = isinstance(sock, gevent_ssl.SSLSocket)
        self._at_once = RECORDS_AT_ONCE if secure else 1  # each arrives by itself
        # After an answer the next request is not here yet: waiting first saves a recv that fails.
        # Under TLS its bytes may be decrypted already, where no event shows them.
        wait = functools.partial(sock._wait, sock._read_event)
        self._await_bytes: Callable[[], None] = (lambda: None) if secure else wait

    def end(self) -> None:
        """Read no more; a greenlet that waits for bytes gets empty ones.

        Shutting the socket would do so, too, but a sender that is still sending would be reset, or
        wait in vain for room in a window that Linux no longer opens, and not see its answer.
        """
        self._ended = True
        if self._sock._read_event is not None:  # otherwise it is closed
            gevent.get_hub().cancel_wait(self._sock._read_event, ReadingEnded())

    def wait(self) -> bool:
        """Wait for the next request's first byte and return whether there is one.

        An empty line before it is left out (RFC 9112, 2.2): some senders add one to a body.
        """
        if not self._buffer:
            try:
                self._await_bytes()
            except ReadingEnded:
                return False
            if not self._fill():
                return False
        if self._buffer[:1] == b"\r":
            while self._buffer in (b"\r", b"\r\n"):
                if not self._fill():
                    return False
            self._buffer = self._buffer.removeprefix(b"\r\n")
        return True

    def take_buffered(self, size: int) -> bytes | None:
        """Return ``size`` bytes if they have arrived already, otherwise None."""
        buffer = self._buffer
        if len(buffer) < size:
            return None
        self._buffer = buffer[size:]
        return buffer[:size]

    def until(self, mark: bytes, check: Callable[[bytes], None]) -> bytes:
        """Return the bytes up to and with a mark, empty bytes if they end before it.

        Meanwhile ``check`` may refuse what has arrived: it gets the first bytes, and all of them
        again with each line and each CHECK_BYTES, so that single bytes stay cheap.
        """
        arrivals = size = checked = 0
        end = self._buffer.find(mark)
        while end < 0:
            arrived, size = self._buffer[size:], len(self._buffer)
            if not checked or b"\n" in arrived or size - checked >= CHECK_BYTES:
                check(self._buffer)
                checked = size
            arrivals += 1
            if arrivals > MAX_ARRIVALS and not arrivals % self._at_once:
                gevent.sleep(ARRIVAL_SECONDS)
            if not self._fill():
                return b""
            end = self._buffer.find(mark, max(0, size - len(mark)))
        end += len(mark)
        found, self._buffer = self._buffer[:end], self._buffer[end:]
        return found

    def unread(self, data: bytes) -> None:
        """Put bytes back before all others."""
        self._buffer = data + self._buffer

    def read_at_most(self, size: int) -> bytes:
        """Return at least one byte and at most ``size``."""
        if not self._buffer:
            return self._receive(size)
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def exactly(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer only if they end before that."""
        found = bytearray()
        self.append_to(found, size)
        return bytes(found)

    def append_to(self, body: bytearray, size: int) -> bool:
        """Append ``size`` bytes to a body; returns False if they end before that."""
        arrivals = 0
        while size and (part := self.read_at_most(size)):
            body += part
            size -= len(part)
            arrivals += 1
            if arrivals > MAX_ARRIVALS and not arrivals % self._at_once:
                gevent.sleep(ARRIVAL_SECONDS)
        return not size

    def _receive(self, size: int) -> bytes:
        try:
            return b"" if self._ended else self._sock.recv(size)
        except ReadingEnded:
            return b""

    def _fill(self) -> bool:
        part = self._receive(RECEIVE_BYTES)
        self._buffer += part
        return bool(part)


class Request:
    """A request that is being answered: its head, its body, and the memory that it takes."""

    def __init__(
        self, head: Head, length: int, key: tuple[bytes, bytes], connection: "Connection"
    ) -> None:
        # the head
        self.head = head
        self.headers = head.headers
        self.length = length  # bytes of the body, 0 if it arrives in chunks
        # who sends it
        self.address = connection.address  # the application may replace a proxy's by its sender's
        self.authenticated = False
        self.sender = ""  # whose memory it takes, the address if empty
        # how far it is
        self.complete = not head.chunked and not length  # the body is read
        self.in_progress = False  # complete, and worth waiting for when the webhook stops
        # BodyMemory's
        self.reserved = 0  # bytes
        self.arrived = 0.0  # when the last READ_BYTES had arrived, in time.monotonic() seconds
        self.given_up = False  # for another request
        # the connection's
        self._connection = connection
        self._key = key  # in KnownHeads
        # Bytes that it holds in memory, reserved or not. A long head takes what would be free.
        self._seen = 0 if key[0] else SMALL_BODY_BYTES

    def reply(self, answer: Answer) -> None:
        """Answer the request: once, from any greenlet, without waiting."""
        self.end()
        self._connection.send(answer)

    def end(self) -> None:
        """Release what the request holds."""
        server = self._connection.server
        if self.reserved:
            server.memory.release(self)
        if self.in_progress:
            self.in_progress = False
            server.connections.in_progress -= 1

    def cache_head(self) -> None:
        """Keep what follows from the head, for an authenticated sender's next requests."""
        self._connection.server.known_heads.add(self._key, self.head)

    def mark_authenticated(self, sender: str = "") -> None:
        """Note that the sender has proved who it is; BodyMemory prefers it to strangers.

        sender: whose share of the memory it takes, the address unless given. Where the proof
        includes the body, call this after read_body().
        """
        memory, size = self._connection.server.memory, self.reserved
        if size:
            memory.release(self)
            memory.add(self, (True, sender or self.address), size)
        self.authenticated, self.sender = True, sender

    def reserve(self, size: int) -> None:
        """Account for ``size`` more bytes that the request holds in memory, see BodyMemory.

        Up to SMALL_BODY_BYTES are free. Raises ServiceUnavailable if there is no room.
        """
        if self.given_up:
            raise ServiceUnavailable(NO_MEMORY)
        if self._seen + size <= SMALL_BODY_BYTES and not self.arrived:
            self._seen += size
            return
        if self._seen % READ_BYTES + size >= READ_BYTES or not self.arrived:
            self.arrived = time.monotonic()
        self._seen += size
        if self._seen > SMALL_BODY_BYTES:
            self._connection.server.memory.reserve(self, self._seen - self.reserved)

    def give_up(self) -> None:
        """End reading the body, whose memory another request needs; its own greenlet answers."""
        self.given_up = True
        self._connection.reader.end()

    def read_body(self) -> bytes:
        """Return the whole body, at most MAX_BODY_BYTES; raises HTTPError (400, 408, 413, 503)."""
        connection = self._connection
        if self.length > MAX_BODY_BYTES:
            raise HTTPError(413, TOO_LARGE)
        if self.head.expects_continue and not self.complete:  # RFC 9110, 10.1.1
            connection.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = connection.reader.take_buffered(self.length) if not self.head.chunked else None
        if body is None:
            connection.server.connections.read(connection)
            parts = bytearray()
            self._read_chunks(parts) if self.head.chunked else self._read_into(parts, self.length)
            if self.given_up:  # while its last bytes arrived
                raise ServiceUnavailable(NO_MEMORY)
            body = bytes(parts)
        else:
            self.reserve(self.length)
        self.complete = True
        connection.server.connections.work(connection)
        return body

    def hold_shutdown(self) -> None:
        """From here on a stopping webhook waits until the request is answered."""
        self.in_progress = True
        self._connection.server.connections.in_progress += 1

    def _read_into(self, body: bytearray, size: int) -> None:
        """Append the next ``size`` bytes to the body."""
        while size:
            part_size = min(READ_BYTES, size)
            self.reserve(part_size)
            if not self._connection.reader.append_to(body, part_size):  # RFC 9112, 8
                sentence = "The body ends before its Content-Length; send it whole."
                raise self._connection.incomplete_request_error(sentence)
            size -= part_size
            if size:
                gevent.sleep(0)  # a fast sender must not keep the event loop

    def _read_chunks(self, body: bytearray) -> None:
        """Append all chunks to the body (RFC 9112, 7.1)."""
        connection, number = self._connection, 0
        while size := self._chunk_size():
            number += 1
            if len(body) + size > MAX_BODY_BYTES:
                raise HTTPError(413, TOO_LARGE)
            if number > FREE_CHUNKS + len(body) // CHUNK_BYTES and not self.authenticated:
                raise BadRequest(SMALL_CHUNKS)
            self._read_into(body, size)
            if connection.reader.exactly(2) != b"\r\n":
                sentence = "A chunk of the body is not as long as it says; send it again."
                raise connection.incomplete_request_error(sentence)
            if number % 64 == 0:
                gevent.sleep(0)  # a flood of tiny chunks must not keep the event loop
        # RFC 9112, 7.1.2: trailers end in a blank line. With a line break, so does their absence.
        connection.reader.unread(b"\r\n")
        trailers = connection.read_head()
        check_head_limits(trailers)
        parse_headers(trailers.decode("latin-1")[2:-2])

    def _chunk_size(self) -> int:
        """Return the size of the next chunk, 0 for the last one."""
        line = self._connection.reader.until(b"\n", check_chunk_line)
        check_chunk_line(line)
        size = CHUNK_LINE.fullmatch(line)
        if not size:
            sentence = "A chunk of the body has no valid size; send it again."
            raise self._connection.incomplete_request_error(sentence)
        return int(size[1], 16)


# -------------------------------------------------------------------------------------------------
# Server: connections are accepted, requests are answered
#
# The life of a request in this file:
#
# 1. Server.handle gives a new socket to a Connection, which the registry admits; over TLS,
#    Server.wrap_socket_and_handle does, before the handshake.
# 2. Connection.serve reads the next head as described at the section Requests, once the previous
#    request is answered: a pipeline is answered in order (RFC 9112, 9.3.2).
# 3. The application's function gets the Request. It may read the body, and it returns an Answer or
#    raises HTTPError, or it returns None and calls Request.reply later, from any greenlet.
# 4. The answer leaves at once, without a switch to the connection's own greenlet, which meanwhile
#    waits for the next request's bytes. What the socket does not take, another greenlet sends.
# 5. The connection stays open, unless a side wants it closed, the request was invalid, or its body
#    was not read. Before it is closed, what the sender still has in flight is read and thrown away,
#    so that it sees the answer and not a reset connection (RFC 9112, 9.6).
# -------------------------------------------------------------------------------------------------


class Connection:
    """A sender's connection: one request after the other is read and answered."""

    def __init__(self, sock: Any, address: str, server: "Server") -> None:
        # per connection
        self.sock = sock
        self.address = address
        self.server = server
        self.reader = Reader(sock)
        self._closing = False  # no request follows the one that is being answered
        # the registry's
        self.group: OrderedDict[Connection, None] = OrderedDict()  # none until it is admitted
        self.deadline = time.monotonic() + REQUEST_SECONDS  # in its group
        self.expired = False  # its time is up
        # per request
        self._busy = False  # a request is being answered, or its answer is leaving
        self._request: Request | None = None  # that one
        # set once the answer has left, if somebody waits for that
        self._sent: gevent.event.Event | None = None

    def serve(self) -> None:
        """Answer requests until the sender or we end the connection."""
        served = 0
        try:
            # Nagle's algorithm and delayed ACKs together cost 44 ms a request.
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self.reader.wait():
                self._await_answer()
                request = self._answer_one()
                if self._closing:
                    self._await_answer()
                    return self._linger(request)
                served += 1
                if served % REQUESTS_IN_A_ROW == 0:
                    gevent.sleep(0)
            self._await_answer()  # of a sender that has ended its side, and still reads
        except OSError:  # the sender has gone
            return None

    def _await_answer(self) -> None:
        """Wait until the last request's answer has left."""
        if self._busy:
            self._sent = gevent.event.Event()
            self._sent.wait()
            self._sent = None

    def _answer_one(self) -> Request | None:
        """Read a request's head, have the request answered and return it; None if it is invalid."""
        server = self.server
        self._busy = True
        try:
            request = self._request = self._read_request()
            self._closing = not request.head.keep_alive
        except HTTPError as error:
            self._closing = True
            self.send(error.answer())
            return None
        try:
            answer = server.answer(request)
        except HTTPError as error:
            answer = error.answer()
        except OSError:  # the sender has gone; nothing else here waits for a device
            request.end()
            raise
        except Exception as error:
            server.report_failure(error)
            answer = FAILED
        if not request.complete:
            self._closing = True
        if answer is not None:
            request.reply(answer)
        return request

    def _read_request(self) -> Request:
        """Read the next request's head; raises HTTPError (400, 408, 414, 431)."""
        data = self.read_head()
        head, key, digits = self.server.known_heads.find(data)
        if head is None:
            check_head_limits(data)
            head = parse_head(data[:-2].decode("latin-1"))
            return Request(head, head.length, key, self)
        return Request(head, int(digits) if digits else head.length, key, self)

    def read_head(self) -> bytes:
        """Return the bytes up to and with a blank line; raises HTTPError (400, 408, 414, 431)."""
        head = self.reader.until(BLANK_LINE, self._check_part)
        if not head:  # RFC 9112, 8
            sentence = "The request ends before its headers do; send it whole."
            raise self.incomplete_request_error(sentence)
        return head

    def _check_part(self, head: bytes) -> None:
        """Start the request's time and check what has arrived; raises HTTPError (400, 414, 431)."""
        self.server.connections.begin(self)
        check_head_limits(head)

    def incomplete_request_error(self, sentence: str) -> HTTPError:
        """Return the refusal (400 with the sentence, 408, 503) of a request that ends early."""
        if self._request is not None and self._request.given_up:
            return ServiceUnavailable(NO_MEMORY)
        if self.server.connections.stopping:
            return ServiceUnavailable(STOPPING_SENTENCE)
        if self.expired:
            sentence = f"The request was not complete within {REQUEST_SECONDS} s; send it again."
            return HTTPError(408, sentence)
        return BadRequest(sentence)

    def send(self, answer: Answer) -> None:
        """Send what the socket takes now, from any greenlet; another greenlet sends the rest."""
        self.server.counters.answered(answer.status)
        data = self._encode(answer)
        try:
            sent = self._send_now(data)
        except OSError:  # the sender has gone
            sent = len(data)
        if self._closing or sent < len(data):
            self.deadline = time.monotonic() + REQUEST_SECONDS
        if sent == len(data):
            self._answered()
        else:
            gevent.spawn(self._send_rest, data[sent:])

    def _encode(self, answer: Answer) -> bytes:
        """Return the bytes of an answer: status line, headers, a blank line and the content."""
        head, content = self._request and self._request.head, answer.content
        is_plain = answer.status == 200 and not answer.headers and answer.content_type is JSON_TYPE
        if is_plain and head and head.is_common and not self._closing:
            return b"%b%d\r\n\r\n%b" % (self.server.dated_lines()[1], len(content), content)
        extra = "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
        # RFC 9112, 9.3: an HTTP/1.0 client has to read that the connection stays open.
        connection = "close" if self._closing else "keep-alive"
        lines = (
            f"HTTP/1.1 {STATUS_LINES[answer.status]}\r\n"
            f"{self.server.dated_lines()[0]}{COMMON_HEADERS}"
            f"Content-Type: {answer.content_type}\r\n{extra}"
            f"Connection: {connection}\r\nContent-Length: {len(content)}\r\n\r\n"
        ).encode("latin-1")
        return lines if head and head.method == "HEAD" else lines + content  # RFC 9110, 9.3.2

    def _send_now(self, data: bytes) -> int:
        """Send what the socket takes without waiting, and return how many bytes that were."""
        sent = 0
        try:  # contextlib.suppress takes half as long as sending does
            if not isinstance(self.sock, gevent_ssl.SSLSocket):
                return self.sock._sock.send(data)
            if self.sock._sslobj is None:
                raise OSError("the connection is closed")
            while sent < len(data):  # OpenSSL wants at least what it has begun with once more
                sent += self.sock._sslobj.write(data[sent : sent + TLS_RECORD_BYTES])
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        return sent

    def _send_rest(self, data: bytes) -> None:
        try:
            with contextlib.suppress(OSError):  # the sender has gone
                self.sock.sendall(data)
        finally:
            self._answered()

    def _answered(self) -> None:
        """Note that the answer has left; the next request may be answered."""
        self._busy = False
        self._request = None
        if not self._closing:
            self.server.connections.idle(self)
        if self._sent is not None:
            self._sent.set()

    def refuse(self, error: HTTPError) -> None:
        """Answer a connection that is one too many, and close it."""
        self._busy = self._closing = True
        self.send(error.answer())
        # Unread bytes would reset the connection, and there is no time to linger.
        with contextlib.suppress(OSError):
            self.sock._sock.recv(LINGER_BYTES)

    def _linger(self, request: Request | None) -> None:
        """Before closing, show that no more is answered, and throw away what is still arriving.

        A connection closed over unread bytes is reset and the answer is lost: a sender that reads
        only once it has sent everything sees a broken pipe, and a proxy answers 502 in its place
        (RFC 9112, 9.6).
        """
        secure = isinstance(self.sock, gevent_ssl.SSLSocket)
        if secure and request is not None and request.complete:
            return
        left, seconds = self.server.connections.discard(self)
        with contextlib.suppress(OSError, ValueError), gevent.Timeout(seconds, False):
            if secure:
                with contextlib.suppress(OSError):  # the sender's close_notify is not waited for
                    self.sock._sslobj.shutdown()
            self.shut(socket.SHUT_WR)
            buffer = self.server.discard_buffer
            # Read below TLS, too: there is no need to decrypt it.
            while left > 0 and (count := gevent.socket.socket.recv_into(self.sock, buffer)):
                left -= count
                if left % 1024**2 < count:
                    gevent.sleep(0)  # a fast sender must not keep the event loop

    def has_bytes(self) -> bool:
        """Return whether bytes have arrived that nobody has read."""
        poll = select.poll()
        poll.register(self.sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def has_new_request(self) -> bool:
        """Return whether a request has arrived of which nothing is read yet."""
        return not (self._busy or self._closing or self.expired) and self.has_bytes()

    def shut(self, how: int) -> None:
        """Shut one or both directions of the plain socket; a TLS socket would wait for its peer."""
        with contextlib.suppress(OSError):
            self.sock._sock.shutdown(how)


class Server(StreamServer):
    """gevent's server, with a bounded number of connections and a time limit for TLS handshakes."""

    # As far as net.core.somaxconn allows; Linux drops one too many, and its sender comes back late.
    backlog = MAX_CONNECTIONS
    max_accept = SPARE_DESCRIPTORS // 2  # in a row, before those that make room are closed

    def __init__(
        self,
        listener: Any,
        answer: Callable[[Request], Answer | None],
        connections: ConnectionRegistry,
        counters: ServerCounters,
        report_failure: Callable[[BaseException], None],
        tls: "gevent_ssl.SSLContext | None" = None,
    ) -> None:
        """Serve on an address or a listening socket.

        answer: takes a request and returns its answer, or None if Request.reply will be called
        later; may raise HTTPError.
        report_failure: gets an exception of the application's own, which the sender sees as 500.
        """
        super().__init__(listener, **({"ssl_context": tls} if tls else {}))
        # the application's
        self.answer = answer
        self.report_failure = report_failure
        # what all connections share
        self.connections = connections
        self.counters = counters
        self.memory = BodyMemory()
        self.known_heads = KnownHeads()
        self.discard_buffer = bytearray(READ_BYTES)  # what is thrown away is read into it
        self.tls: Any = tls
        # answers
        self._dated_lines = "", b""
        self._dated_until = 0.0

    def handle(self, sock: Any, address: Any) -> None:
        """Serve a new connection (gevent calls this in a greenlet of its own)."""
        connection = Connection(sock, address[0], self)
        if not self.connections.open(connection):
            connection.refuse(ServiceUnavailable("Too many connections are open; try again later."))
            return
        try:
            connection.serve()
        finally:
            self.connections.close(connection)

    def wrap_socket_and_handle(self, sock: Any, address: Any) -> None:
        """Serve a new connection over TLS; its handshake counts as part of the first request."""
        connection = Connection(sock, address[0], self)
        if not self.connections.open(connection):
            return
        try:  # a connection that is reset by now cannot even be wrapped
            secure = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            connection.sock = secure  # wrapping took the plain socket's descriptor over
            connection.reader = Reader(secure)
            secure.do_handshake()
            connection.serve()
        except (OSError, EOFError, ValueError):  # a port scan or an impatient client
            self.counters.add("failed TLS handshakes")
        finally:
            self.connections.close(connection)
            connection.sock.close()

    def dated_lines(self) -> tuple[str, bytes]:
        """Return the Date header's line, and the common answer's head up to its content's length.

        They are made once a second even if the wall clock jumps.
        """
        now = time.monotonic()
        if now >= self._dated_until:
            wall = time.time()
            self._dated_until = now + 1 - wall % 1
            date = f"Date: {email.utils.formatdate(wall, usegmt=True)}\r\n"
            head_200 = (
                f"HTTP/1.1 {STATUS_LINES[200]}\r\n{date}{COMMON_HEADERS}"
                f"Content-Type: {JSON_TYPE}\r\nContent-Length: "
            )
            self._dated_lines = date, head_200.encode()
        return self._dated_lines
