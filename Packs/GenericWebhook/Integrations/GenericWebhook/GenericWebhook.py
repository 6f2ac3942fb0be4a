"""Generic Webhook for Cortex XSOAR: whatever is posted to it becomes an incident.

The file reads in the order a request lives:
bytes -> who sent it? -> what does it say? -> incidents -> seen before? -> the writer -> XSOAR -> the sender's answer
"""

import demistomock as demisto
from CommonServerPython import *

import base64
import binascii
import bisect
import codecs
import contextlib
import email.message
import email.utils
import encodings
import encodings.aliases
import functools
import gc
import hashlib
import hmac
import http
import io
import itertools
import json
import math
import os
import re
import resource
import select
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
import unicodedata
import uuid
import zlib
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote_to_bytes

try:
    from datetime import datetime, timedelta, UTC
    from typing import Any, NamedTuple, Self
    import bottle
    import gevent
    import gevent.socket
    from gevent import pywsgi
    from gevent import ssl as gevent_ssl
    from gevent.event import AsyncResult, Event
    from gevent.lock import Semaphore
    from gevent.threadpool import ThreadPool
except ImportError as missing:
    sentence = (
        f"Generic Webhook cannot run in this instance's Docker image: {missing}. Choose an image with Python 3.11 or newer, "
        "bottle and gevent (in the War Room of XSOAR 6: /docker_image_create name=generic-webhook "
        "base=demisto/python3:3.12.8.3296088 dependencies=bottle,gevent), and enable the instance again."
    )
    demisto.error(sentence)
    if demisto.command() != "long-running-execution":
        return_error(sentence)
    demisto.updateModuleHealth(sentence)
    sys.stdin.read()  # the sentence stays in the instance's health until the platform ends the container
    os._exit(1)

# ---------------------------------------------------------------------------------------------------------------------
# Constants: each carries its unit and its reason
# ---------------------------------------------------------------------------------------------------------------------

KIB = 1024
MIB = 1024 * KIB

DEFAULT_NAME = "Generic webhook triggered incident"
MAX_NAME_CHARACTERS = 600  # longer titles are refused by XSOAR's database

MAX_BODY_BYTES = 25 * MIB  # GitHub's largest submission
MAX_BODIES_BYTES = 256 * MIB  # of all large bodies being worked on at once, so that many of them cannot fill the memory
SMALL_BODY_BYTES = 32 * KIB  # up to here a body is free of that budget and is parsed on the hub, see the README's figures
MANY_ITEMS = 20  # of a small body, each of which takes all headers along: more are made on the second thread
PIECE_ELEMENTS = 500  # of a large payload encoded at a time
MAX_ITEMS = 1000  # incidents from one request
MAX_NESTING = 200  # levels; every supported Python parses it, and no alert comes near
MAX_NUMBER_DIGITS = 308  # beyond it a number fits no double, which is what XSOAR would read it as
MAX_FORM_FIELDS = 1000
MAX_JSON_CONTAINERS = 1_000_000  # objects and arrays of one body: empty ones take forty times their bytes in memory
MAX_GZIP_MEMBERS = 1000
MAX_CONTENT_TYPE_CHARACTERS = 1000  # the standard library's parser is quadratic in them
READ_BYTES = 64 * KIB  # of a body, read or unpacked at a time
RECEIVE_BYTES = 16 * KIB  # of a request's head and, mostly, its whole body
MAX_REQUEST_LINE_BYTES = 8 * KIB  # what common proxies allow
MAX_HEADERS_BYTES = 32 * KIB
MAX_HEADERS = 100
MAX_CHUNK_LINE_BYTES = 1 * KIB

REQUEST_SECONDS = 30  # for the TLS handshake, the headers and the body together
IDLE_SECONDS = 60  # a kept-alive connection without a request
MAX_CONNECTIONS = 4096
EVICTION_CANDIDATES = 64  # looked at when full, so that a crowd does not make each newcomer expensive
SPARE_DESCRIPTORS = 100  # of the process's limit, for everything that is no connection
REQUESTS_IN_A_ROW = 8  # from one connection before the others get their turn: a pipeline never makes us wait for its bytes
DISCARD_BYTES = 64 * MIB  # thrown away after a refusal, so that a sender or proxy that is still sending sees it and no reset
DISCARD_SECONDS = 10.0
MAX_DISCARDING = 256  # connections at once; past it the next two lines
LINGER_BYTES = 64 * KIB
LINGER_SECONDS = 1.0

MAX_QUEUED_INCIDENTS = 20_000
MAX_QUEUED_BYTES = 128 * MIB
MAX_CALL_INCIDENTS = 1000  # one request's array goes in one call
MAX_CALL_BYTES = 4 * MIB  # one line the server has to read and answer in a piece
WITHDRAW_SECONDS = 55  # reverse proxies give up after 60
LONE_RETRY_SECONDS = 5  # a lone refused incident may be bad or meet an outage: past this its sender decides
MAX_GATHER_SECONDS = 0.25  # after a call, for the senders just answered; 512 of them come back within 0.1 s
CALLS_IN_A_ROW = 8  # of splitting and retrying before new arrivals get theirs
RETRY_PAUSE_SECONDS = 0.1  # doubles up to the next line
MAX_RETRY_PAUSE_SECONDS = 2.0
RETRY_AFTER_SECONDS = 5

MAX_SAMPLES = 20
MAX_SAMPLE_BYTES = 64 * KIB
MAX_LARGE_SAMPLES_BYTES = 25 * MIB  # kept whole until the next flush; of more the newest
MAX_FOUND_IDS = 5000
MAX_KEY_CHARACTERS = 200
FLUSH_SECONDS = 3.0  # from an incident to the integration context

DRAIN_SECONDS = 8.0  # after SIGTERM; SIGKILL follows 10 s after it
READING_SECONDS = 1.0  # after SIGTERM, for bodies on their way
MAX_RESTART_PAUSE_SECONDS = 30
REPORT_SECONDS = 60  # counters and refused senders: one log line a minute
HEARTBEAT_SECONDS = 30
HEARTBEAT_LOCK_SECONDS = 60  # a call longer than this kills the platform's heartbeat thread
CERTIFICATE_WARNING_DAYS = 14
CERTIFICATE_CHECK_SECONDS = 3600

THREAD_STACK_BYTES = 16 * MIB  # Alpine's default overflows where the JSON parser goes as deep as Python lets it
COLLECT_OBJECTS = 10_000  # young ones: Python's 700 are what 64 requests hold, and walking them again and again takes 4 %
SWITCH_SECONDS = 0.0005  # until a busy thread gives way: Python's 5 ms, a few times a call of createIncidents, exceed the call

ERROR_MARKER = "[ERROR-fd5a7750-7182-4b38-90ba-091824478903]"  # anywhere in an answer, it makes the platform raise

# ---------------------------------------------------------------------------------------------------------------------
# Refusals: what a sender is told when it is not 200
# ---------------------------------------------------------------------------------------------------------------------


class HTTPError(Exception):
    """An answer other than 200: an HTTP status, a sentence that says how to mend it, and headers."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def body(self) -> bytes:
        """Return the JSON object a sender gets, as bytes."""
        return to_json({"error": self.sentence}).encode()


class ServiceUnavailable(HTTPError):
    """503 with Retry-After: nothing was created, and the same request may succeed later."""

    def __init__(self, sentence: str) -> None:
        super().__init__(503, sentence, Retry_After=str(RETRY_AFTER_SECONDS))


class BadRequest(HTTPError):
    """400: the request has to be changed before it can succeed."""

    def __init__(self, sentence: str) -> None:
        super().__init__(400, sentence)


def _make_encode_json() -> Callable[[Any], str]:
    """Return what encodes a value as compact JSON.

    JSONEncoder.encode prepares its part in C for each value anew, which is a twentieth of a small request's work.
    """
    encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
    try:
        make = json.encoder.c_make_encoder  # type: ignore[attr-defined]
        encode = make(None, encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, True)
    except (AttributeError, TypeError):  # it is no documented part of Python
        return encoder.encode
    return lambda value: "".join(encode(value, 0))


_encode_json = _make_encode_json()


def _encode_in_pieces(value: Any, levels: int = 4) -> str:
    """As _encode_json, which keeps all other threads waiting to its end; here they get their turn between two pieces."""
    if not levels or not isinstance(value, (dict, list)) or not value:
        return _encode_json(value)
    if len(value) > PIECE_ELEMENTS:
        kind, elements = (dict, iter(value.items())) if isinstance(value, dict) else (list, iter(value))
        groups = iter(lambda: kind(itertools.islice(elements, PIECE_ELEMENTS)), kind())
        pieces = [_encode_json(group)[1:-1] for group in groups]
    elif isinstance(value, dict):
        pieces = [f"{_encode_json(key)}:{_encode_in_pieces(child, levels - 1)}" for key, child in value.items()]
    else:
        pieces = [_encode_in_pieces(child, levels - 1) for child in value]
    return ("{%s}" if isinstance(value, dict) else "[%s]") % ",".join(pieces)


def to_json(value: Any, large: bool = False) -> str:
    """Return a value as compact JSON in which the platform's error marker cannot be found, yet is whole once parsed."""
    text = _encode_in_pieces(value) if large else _encode_json(value)
    return text.replace(ERROR_MARKER, "\\u005b" + ERROR_MARKER[1:]) if ERROR_MARKER in text else text


# ---------------------------------------------------------------------------------------------------------------------
# Settings: the instance's parameters
# ---------------------------------------------------------------------------------------------------------------------

MIRROR_DIRECTIONS = {"Incoming": "In", "Outgoing": "Out", "Incoming And Outgoing": "Both"}


class SettingError(ValueError):
    """A parameter that cannot be used: its display name, and how to mend it."""

    def __init__(self, parameter: str, mend: str) -> None:
        super().__init__(f"{parameter}: {mend}")


@dataclass(frozen=True)
class Settings:
    """The instance's parameters, checked; what cannot be used is in ``mistakes`` (source: the pack's descriptor)."""

    port: int | None
    authenticator: "Authenticator"
    certificate: str = ""
    key: str = field(default="", repr=False)
    incident_type: str = ""
    store_samples: bool = False
    duplication_paths: tuple[str, ...] = ()
    mirroring: tuple[tuple[str, Any], ...] = ()
    metrics: bool = False
    mistakes: tuple[SettingError, ...] = ()

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> "Settings":
        """Read ``demisto.params()``; never raises, each mistake is kept with the parameter's name and the mend."""
        mistakes: list[SettingError] = []
        port: int | None = None
        authenticator: Authenticator
        credentials = params.get("credentials") or {}
        try:
            port = parse_port(str(params.get("longRunningPort") or ""))
        except SettingError as mistake:
            mistakes.append(mistake)
        try:
            authenticator = choose_authenticator(credentials.get("identifier") or "", credentials.get("password") or "")
        except SettingError as mistake:
            mistakes.append(mistake)
            authenticator = DenyAll()
        try:
            store_samples = argToBoolean(params.get("store_samples") or False)
        except ValueError:
            store_samples = False
            mistakes.append(SettingError("Store sample events for mapping", "tick it or leave it empty."))
        metrics = False
        try:
            metrics = read_metrics(params, authenticator)
        except SettingError as mistake:
            mistakes.append(mistake)
        return cls(
            port=port,
            authenticator=authenticator,
            certificate=(params.get("certificate") or "").strip(),
            key=(params.get("key") or "").strip(),
            incident_type=(params.get("incidentType") or "").strip(),
            store_samples=store_samples,
            duplication_paths=split_list(params.get("duplication_key")),
            mirroring=read_mirroring(params),
            metrics=metrics,
            mistakes=tuple(mistakes),
        )


def split_list(value: Any) -> tuple[str, ...]:
    """Return the parts of a comma-separated parameter, which XSOAR may hand over as a list, without blanks."""
    parts = value if isinstance(value, list) else str(value or "").split(",")
    return tuple(text for part in parts if (text := str(part).strip()))


def parse_port(text: str) -> int | None:
    """Return the port to listen on from ``8000`` or ``<host port>:<container port>``; None when XSOAR has yet to assign one."""
    if not text.strip():
        return None
    ports = text.strip().split(":")
    if len(ports) > 2 or not all(re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65535 for port in ports):
        raise SettingError("Listen Port", "enter a number from 1 to 65535, or <host port>:<container port>, such as 8000.")
    return int(ports[-1])


def read_mirroring(params: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return the fields that mirroring packs look for in rawJSON, none where no direction is chosen."""
    direction = MIRROR_DIRECTIONS.get(params.get("mirror_direction") or "")
    if direction is None:
        return ()
    return (
        ("mirror_direction", direction),
        ("mirror_instance", (params.get("mirror_instance") or "").strip()),
        ("mirror_tags", list(split_list(params.get("mirror_tags")))),
    )


def read_metrics(params: dict[str, Any], authenticator: "Authenticator") -> bool:
    """Return whether GET /metrics is served; raises SettingError where anyone could read them."""
    try:
        wanted = argToBoolean(params.get("metrics") or False)
    except ValueError:
        raise SettingError("Serve metrics for Prometheus", "tick it or leave it empty.") from None
    if wanted and not authenticator.secret:
        raise SettingError(
            "Serve metrics for Prometheus", "set Username and Password, or Allowed sources; else anyone could read them."
        )
    return wanted


def load_tls(certificate: str, key: str) -> "gevent_ssl.SSLContext | None":
    """Return the server's TLS context from two PEM texts, None when both are empty.

    The certificate's text may hold intermediate certificates, which are served too. Raises SettingError.
    """
    if not certificate and not key:
        return None
    if not certificate or not key:
        present, absent = ("Certificate", "Private Key") if certificate else ("Private Key", "Certificate")
        raise SettingError(absent, f"HTTPS needs both; paste the {absent.lower()} too, or empty {present}.")
    context = gevent_ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
    # Our own end of reading is an unexpected one, after which OpenSSL 3 would not let us answer.
    context.options |= getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    try:
        with tempfile.TemporaryDirectory() as folder:  # readable by this user only, gone once loaded
            files = [Path(folder, name) for name in ("certificate.pem", "key.pem")]
            for file, text in zip(files, (certificate, key)):
                file.write_text(text + "\n")
            # without a password OpenSSL would ask on the terminal
            context.load_cert_chain(files[0], files[1], password=lambda: "")
    except ssl.SSLError as error:
        raise SettingError(*explain_tls_error(error, certificate, key)) from None
    except OSError as error:
        raise SettingError(
            "Certificate", f"no temporary file for loading it ({error.strerror}); free disk space in the container's /tmp."
        ) from None
    return context


def explain_tls_error(error: ssl.SSLError, certificate: str, key: str) -> tuple[str, str]:
    """Return the parameter at fault and the mend for an error of OpenSSL."""
    if "BEGIN CERTIFICATE" not in certificate:
        return "Certificate", "paste the whole PEM text, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----."
    if "PRIVATE KEY" not in key or "-----END" not in key:
        return "Private Key", "paste the whole PEM text, with its lines -----BEGIN ... PRIVATE KEY----- and -----END ...-----."
    if "ENCRYPTED" in key:
        return "Private Key", "it is protected by a passphrase; paste it without one (openssl pkey -in key.pem)."
    if error.reason == "KEY_VALUES_MISMATCH":
        return "Private Key", "it does not belong to the certificate; paste the key the certificate was made with."
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificate)
    except ssl.SSLError:
        return "Certificate", "OpenSSL cannot read it; paste the whole PEM text again."
    return "Private Key", "OpenSSL cannot read it; paste the whole PEM text again."


def certificate_trouble(context: ssl.SSLContext, certificate: str) -> str:
    """Return a sentence when the server's certificate is expired, not yet valid or soon to expire, else an empty string.

    The standard library tells a certificate's dates only after a verified handshake, so one is made in memory.
    """
    leaf = certificate[: certificate.find("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    trusting.load_verify_locations(cadata=leaf[leaf.find("-----BEGIN CERTIFICATE-----") :])
    pipes = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(pipes[0], pipes[1])
    server = ssl.SSLContext.wrap_bio(context, pipes[1], pipes[0], server_side=True)
    try:
        for side in (client, server, client):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        reason = {9: "is not valid yet", 10: "has expired"}.get(error.verify_code)
        return f"Certificate: it {reason}; paste a valid one, senders that verify it refuse to connect." if reason else ""
    except ssl.SSLError:
        return "Certificate: no common client can shake hands with it; use an RSA key or one on the curve P-256."
    days = (ssl.cert_time_to_seconds(client.getpeercert()["notAfter"]) - time.time()) / 86_400  # type: ignore[index,arg-type]
    if days > CERTIFICATE_WARNING_DAYS:
        return ""
    return f"Certificate: it expires in {math.floor(days)} days; paste a renewed one in time."


# ---------------------------------------------------------------------------------------------------------------------
# Authentication: who sent it?
# ---------------------------------------------------------------------------------------------------------------------

HEADER_PREFIX = "_header:"
HEADER_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # a header's name, RFC 9110


class Authenticator:
    """Lets everybody in: the instance has no credentials."""

    secret = b""  # never to be seen in a log line
    hidden_header = ""  # lower case; never to be seen in an incident

    def check(self, headers: dict[str, str]) -> None:
        """Raise HTTPError (401) unless the headers (lower-case names, Latin-1 values) prove the sender."""


class BasicAuthenticator(Authenticator):
    """Basic authentication, RFC 7617, with UTF-8 credentials."""

    def __init__(self, username: str, password: str) -> None:
        self.secret = password.encode()
        self.expected = f"{username}:{password}".encode()

    def check(self, headers: dict[str, str]) -> None:
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(encoded.strip().encode("latin-1"), validate=True) if scheme.lower() == "basic" else b""
        except binascii.Error:
            given = b""
        if not hmac.compare_digest(given, self.expected):
            raise HTTPError(
                401,
                "Send the username and password of this webhook by Basic authentication (curl -u user:password).",
                WWW_Authenticate='Basic realm="Generic Webhook", charset="UTF-8"',
            )


class HeaderAuthenticator(Authenticator):
    """A header that has to hold exactly the agreed value."""

    def __init__(self, name: str, value: str) -> None:
        self.hidden_header = name.lower()
        self.secret = value.encode()

    def check(self, headers: dict[str, str]) -> None:
        given = headers.get(self.hidden_header, "").encode("latin-1")
        if not hmac.compare_digest(given, self.secret):
            raise HTTPError(401, "Send the verification token of this webhook in the request header agreed upon.")


class DenyAll(Authenticator):
    """Lets nobody in: the instance's credentials are half filled in or malformed."""

    def check(self, headers: dict[str, str]) -> None:
        raise HTTPError(401, "This webhook lets nobody in until its Username and Password are corrected in XSOAR.")


def choose_authenticator(username: str, password: str) -> Authenticator:
    """Return the authenticator for the parameters Username and Password; raises SettingError."""
    if not username and not password:
        return Authenticator()
    if not username or not password:
        absent = "Password" if username else "Username"
        raise SettingError(absent, "it is empty while the other of the two is not; fill in both, or neither.")
    if not username.startswith("_header"):
        return BasicAuthenticator(username, password)
    name = username.removeprefix(HEADER_PREFIX)
    if not username.startswith(HEADER_PREFIX) or not re.fullmatch(HEADER_NAME, name):
        raise SettingError("Username", "write _header:<HEADER-NAME>, such as _header:Authorization, without spaces.")
    if password != password.strip(" \t") or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", password):
        raise SettingError("Password", "no header can carry it: remove spaces at its ends, line breaks and control characters.")
    return HeaderAuthenticator(name, password)


# ---------------------------------------------------------------------------------------------------------------------
# Payload: what does it say?
# ---------------------------------------------------------------------------------------------------------------------

EXPECTED = 'POST a JSON object such as {"name": "...", "raw_json": {...}}, an array of them, JSON lines, a form or any text.'
# What Python calls a charset by another name, too; its codecs for escapes and host names have none.
CHARSETS = {*encodings.aliases.aliases, *encodings.aliases.aliases.values(), "utf_8_sig"}
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
FIRST_MARK_BYTES = {mark[:1] for mark, _ in BYTE_ORDER_MARKS}
CONTROL_CHARACTERS = re.compile("[\x00-\x06\x0e-\x1a\x1c-\x1f]")  # never in text; \x1b begins a colour in many logs
FORM_FIELD_NAME = re.compile(r'[^\s<>{}|"]+')  # a urlencoder leaves none of these in a name, CEF and XML do


class ContentType(NamedTuple):
    """A parsed Content-Type: ``type/subtype`` in lower case, its charset and the header as it came."""

    name: str
    charset: str
    header: str

    @classmethod
    def parse(cls, header: str) -> "ContentType":
        if header in CONTENT_TYPES:
            return CONTENT_TYPES[header]
        content_type = cls(header.partition(";")[0].strip().lower(), "", header)
        charset = content_type.parameter("charset")
        return content_type._replace(charset=usable_charset(charset)) if charset else content_type

    @property
    def bounded_header(self) -> str:
        """The header, or without its parameters where they are too long to be parsed."""
        return self.header if len(self.header) <= MAX_CONTENT_TYPE_CHARACTERS else self.name

    def parameter(self, name: str) -> str:
        """Return one of the header's parameters by the standard library's parser, or an empty string."""
        message = email.message.Message()
        message["Content-Type"] = self.bounded_header
        try:
            value = message.get_param(name)
        except (TypeError, ValueError):  # it does not foresee every broken continuation (RFC 2231)
            return ""
        return value if isinstance(value, str) else ""


CONTENT_TYPES = {  # what nearly every request says, parsed beforehand
    header: ContentType(header.partition(";")[0], "", header)
    for header in ("", "application/json", "application/json; charset=utf-8", "application/x-www-form-urlencoded", "text/plain")
}


def usable_charset(name: str) -> str:
    """Return Python's name of a charset, or an empty string when it is unknown or no charset at all."""
    normalized = encodings.normalize_encoding(name.strip().strip("'\"").lower()[:40])
    if normalized not in CHARSETS:  # asked for any other, Python would remember the name for ever
        return ""
    try:
        codec = codecs.lookup(normalized)
        bytes(4).decode(codec.name)  # refuses codecs that are no text encoding, such as zlib
    except (LookupError, ValueError):
        return ""
    return "" if codec.name == "utf-7" else codec.name  # no sender means it, and it hides what a text says


class UnreadableJson(ValueError):
    """Bytes that are no JSON we take; the message says why and where."""


def _number(text: str) -> int | float | str:
    # Python would read 1e999 as infinity, which is no JSON, and its int() has limits that differ between versions.
    value = float(text)
    return text if math.isinf(value) else value


def _whole_number(text: str) -> int | str:
    return int(text) if len(text) <= MAX_NUMBER_DIGITS else text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(pairs)


# NaN and Infinity are no JSON, yet many programs write them: kept as the strings "NaN", "Infinity" and "-Infinity".
_parse_json = json.JSONDecoder(parse_float=_number, parse_int=_whole_number, parse_constant=str).decode
# The same with a hook in Python, at which a thread gives way: the parser in C would keep all others waiting to its end.
_parse_large_json = json.JSONDecoder(
    parse_float=_number, parse_int=_whole_number, parse_constant=str, object_pairs_hook=_object
).decode


def parse_json(text: str) -> Any:
    """Return the value of a JSON text; raises UnreadableJson, with line and column where there are any.

    Numbers no double can hold become strings of their digits; of duplicate keys the last one wins.
    """
    containers = count_containers(text)
    try:
        value = (_parse_json if len(text) <= SMALL_BODY_BYTES else _parse_large_json)(text)
    except json.JSONDecodeError as error:
        raise UnreadableJson(
            f"{error.msg.rstrip(': ').removesuffix(' at')} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise UnreadableJson(f"it is nested deeper than {MAX_NESTING} levels") from None
    if containers > MAX_NESTING and _deeper_than(value, MAX_NESTING):
        raise UnreadableJson(f"it is nested deeper than {MAX_NESTING} levels")
    if "\\ud" in text or "\\uD" in text:
        _refuse_lone_surrogates(value)
    return value


def count_containers(text: str) -> int:
    """Return how many objects and arrays a JSON text may hold; raises UnreadableJson where that is too many."""
    containers = text.count("{") + text.count("[")
    if containers > MAX_JSON_CONTAINERS:
        raise UnreadableJson(f"it holds more than {MAX_JSON_CONTAINERS} objects and arrays")
    return containers


def _deeper_than(value: Any, levels: int) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(levels):
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, (dict, list))
        ]
    return bool(level)


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        _encode_in_pieces(value).encode()
    except UnicodeEncodeError:
        raise UnreadableJson("a \\u escape names half of a surrogate pair, which is no character") from None


def decode_text(body: bytes, content_type: ContentType) -> str:
    """Return the body's text by its byte order mark, else its charset, else UTF-8; raises UnicodeDecodeError."""
    for mark, charset in BYTE_ORDER_MARKS if body[:1] in FIRST_MARK_BYTES else ():
        if body.startswith(mark):
            return body.decode(charset)
    return body.decode(content_type.charset or "utf-8")


def decode_json_text(body: bytes, content_type: ContentType) -> str:
    """Return the body's text as decode_text does, or in UTF-16/32 without a mark as JSON's zero bytes give it away."""
    if b"\0" in body[:4]:
        detected = json.detect_encoding(body)
        if detected != "utf-8":
            return body.decode(detected)
    return decode_text(body, content_type)


def supported_encoding(header: str) -> str:
    """Return the one content encoding of a body, empty without any; raises HTTPError (415)."""
    encodings = [name for part in header.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    if len(encodings) > 1 or (encodings and encodings[0] not in ("gzip", "x-gzip", "deflate")):
        raise HTTPError(
            415, "Send the body with Content-Encoding gzip or deflate, or without any.", Accept_Encoding="gzip, deflate"
        )
    return encodings[0] if encodings else ""


def unpack(body: bytes, encoding: str) -> bytes:
    """Return the body without its content encoding, at most MAX_BODY_BYTES of it; raises HTTPError (400, 413)."""
    # 47: gzip or zlib by the stream's own header; senders disagree whether deflate has a zlib header, -15 is without.
    window = -15 if encoding == "deflate" and not _has_zlib_header(body) else 47
    unpacked = bytearray()
    unpacker = None
    position = members = 0
    try:
        while position < len(body):
            if unpacker is None:  # a gzip file may have several members
                unpacker = zlib.decompressobj(window)
                members += 1
            part = body[position : position + READ_BYTES]  # in slices: what an unpacker leaves is copied each time
            unpacked += unpacker.decompress(part, MAX_BODY_BYTES + 1 - len(unpacked))
            if members > MAX_GZIP_MEMBERS:
                raise BadRequest(f"The body has more than {MAX_GZIP_MEMBERS} gzip members; pack it in one.")
            if len(unpacked) > MAX_BODY_BYTES:
                raise HTTPError(
                    413, f"The unpacked body is larger than {MAX_BODY_BYTES // MIB} MiB; send fewer events at a time."
                )
            position += len(part) - len(unpacker.unused_data) - len(unpacker.unconsumed_tail)
            unpacker = None if unpacker.eof else unpacker
    except zlib.error:
        raise BadRequest(f"The body is no {encoding} stream; send it packed, or without Content-Encoding.") from None
    if unpacker is not None:
        raise BadRequest(f"The body ends before its {encoding} stream does; send it whole.")
    return bytes(unpacked)


def _has_zlib_header(body: bytes) -> bool:
    return len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0


class Array(list[Any]):
    """The items of a JSON array, whose wrong fields are named by their place."""


def as_items(value: Any) -> list[Any]:
    """Return the items of a JSON value: an array's elements, or the value itself."""
    return Array(value) if isinstance(value, list) else [value]


def is_json_type(name: str) -> bool:
    return name in ("application/json", "text/json", "application/csp-report") or name.endswith("+json")


def read_declared_json(body: bytes, content_type: ContentType) -> list[Any]:
    """A JSON type: the value, and 400 with the place when it is broken."""
    try:
        value = parse_json(decode_json_text(body, content_type))
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not valid {error.encoding} at byte {error.start}; send the JSON as UTF-8.") from None
    except UnreadableJson as error:
        raise BadRequest(f"The body is not the JSON its Content-Type says: {error}.") from None
    return as_items(value)


def read_json_lines(body: bytes, content_type: ContentType) -> list[Any]:
    """JSON lines: a value per line that is not blank, and 400 that names the line when one is broken."""
    try:
        text = decode_json_text(body, content_type)
        count_containers(text)
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not valid {error.encoding} at byte {error.start}; send JSON lines as UTF-8.") from None
    except UnreadableJson as error:
        raise BadRequest(f"The body is not the JSON lines its Content-Type says: {error}.") from None
    lines = io.StringIO(text, newline="\n")  # line by line: a million lines cost nothing
    values = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values.append(parse_json(line.strip()))
        except UnreadableJson as error:
            raise BadRequest(f"Line {number} of the JSON lines is broken: {error}.") from None
        if len(values) > MAX_ITEMS:
            break  # refused by our caller, who need not read on
    return values


def read_form(body: bytes, content_type: ContentType) -> list[Any] | None:
    """Form fields as one object; None when the text is no form (curl -d sends any text under a form's type)."""
    try:
        text = body.decode("ascii").strip()
        names = [pair.partition("=") for pair in text.split("&", MAX_FORM_FIELDS)[:MAX_FORM_FIELDS] if pair]
        if not names or not all(equals and FORM_FIELD_NAME.fullmatch(name) for name, equals, _ in names):
            return None
        charset = content_type.charset or "utf-8"
        fields = parse_qsl(text, keep_blank_values=True, encoding=charset, errors="strict", max_num_fields=MAX_FORM_FIELDS)
    except UnicodeDecodeError:
        return None  # kept whole as text
    except ValueError:
        raise HTTPError(413, f"The form has more than {MAX_FORM_FIELDS} fields; send fewer, or JSON.") from None
    return _form_items(fields)


class MultipartRequest(bottle.BaseRequest):
    """Bottle's reader of multipart forms, told to keep all of a body that is in memory anyway off the disk."""

    MEMFILE_MAX = MAX_BODY_BYTES


def read_multipart(body: bytes, content_type: ContentType) -> list[Any] | None:
    """The fields and files of a multipart form as one object; raises HTTPError when it is broken."""
    boundary = content_type.parameter("boundary")
    if boundary and body.count(b"--" + boundary.encode("latin-1", "replace")) > MAX_FORM_FIELDS + 1:
        raise HTTPError(413, f"The form has more than {MAX_FORM_FIELDS} parts; send fewer, or JSON.")
    environ = {
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": content_type.bounded_header,
    }
    try:
        form = MultipartRequest(environ).POST
    except UnicodeDecodeError:
        return None  # kept whole as text
    except (bottle.HTTPError, ValueError):
        raise BadRequest("The body is no multipart form with the boundary its Content-Type names; send it whole.") from None
    return _form_items(
        (name or "", value if isinstance(value, str) else _uploaded_file(value)) for name, value in form.allitems()
    )


def _uploaded_file(upload: "bottle.FileUpload") -> dict[str, Any]:
    data = upload.file.read()
    described = {"name": upload.raw_filename, "type": upload.content_type, "size": len(data)}
    return {**described, **text_or_base64(data, ContentType.parse(upload.content_type or ""))}


def collect_fields(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of named values, in which a repeated name has a list."""
    collected: dict[str, Any] = {}
    repeated = set()
    for name, value in fields:
        if name not in collected:
            collected[name] = value
        elif name in repeated:
            collected[name].append(value)
        else:
            repeated.add(name)
            collected[name] = [collected[name], value]
    return collected


def _form_items(fields: Iterable[tuple[str, Any]]) -> list[Any]:
    item = collect_fields(fields)
    if list(item) == ["payload"] and isinstance(item["payload"], str):  # GitHub and Slack wrap their JSON in this field
        with contextlib.suppress(UnreadableJson):
            value = parse_json(item["payload"])
            return as_items(value)
    return [item]


def text_or_base64(body: bytes, content_type: ContentType) -> dict[str, str]:
    """Return ``{"body": text}``, or ``{"body_base64": ...}`` for bytes that are no text.

    Text that its charset cannot decode is kept both ways: readable with replacement characters, and whole.
    """
    declared = content_type.name.startswith("text/") or content_type.name.endswith(("xml", "csv", "urlencoded", "javascript"))
    try:
        text = decode_text(body, content_type)
    except UnicodeDecodeError:
        whole = {"body_base64": base64.b64encode(body).decode()}
        return {"body": body.decode("utf-8", "replace"), **whole} if declared or content_type.charset else whole
    if CONTROL_CHARACTERS.search(text) and not declared:
        return {"body_base64": base64.b64encode(body).decode()}
    return {"body": text}


class BodyKind(NamedTuple):
    """A row of the table of bodies: which declared types it reads, and how; a reader may answer None for 'not mine'."""

    matches: Callable[[str], bool]
    read: Callable[[bytes, ContentType], list[Any] | None]


BODY_KINDS = (  # the README's table has the same rows
    BodyKind(is_json_type, read_declared_json),
    BodyKind({"application/x-ndjson", "application/jsonl", "application/ndjson"}.__contains__, read_json_lines),
    BodyKind("application/x-www-form-urlencoded".__eq__, read_form),
    BodyKind("multipart/form-data".__eq__, read_multipart),
)


def read_payload(body: bytes, content_type_header: str, content_encoding: str) -> list[Any]:
    """Return the items of a request's body, one for each incident it asks for; raises HTTPError (400, 413, 415).

    In this order: content encoding, charset, JSON under any type, the declared type, JSON lines, text, base64.
    """
    encoding = supported_encoding(content_encoding) if content_encoding else ""
    body = unpack(body, encoding) if encoding else body
    if not body.strip():
        raise BadRequest(f"The body is empty. {EXPECTED}")
    content_type = ContentType.parse(content_type_header)
    items = _read_items(body, content_type)
    if not items:
        raise BadRequest(f"The body holds no event. {EXPECTED}")
    if len(items) > MAX_ITEMS:
        raise HTTPError(413, f"The body holds more than {MAX_ITEMS} events; send them in several requests.")
    return items


def _read_items(body: bytes, content_type: ContentType) -> list[Any]:
    items = _read_any_json(body, content_type)
    if items is not None:
        return items
    for kind in BODY_KINDS:
        if kind.matches(content_type.name):
            items = kind.read(body, content_type)
            if items is not None:
                return items
    items = _read_undeclared_json_lines(body, content_type)
    return items if items is not None else [text_or_base64(body, content_type)]


def _read_any_json(body: bytes, content_type: ContentType) -> list[Any] | None:
    """The whole body as a JSON object or array, whatever its type; None when it is none."""
    try:
        text = decode_json_text(body, content_type)
        if not text.lstrip().startswith(("{", "[")):
            return None
        value = parse_json(text)
    except (UnicodeDecodeError, UnreadableJson):
        return None  # the declared type decides whether that is an error
    return as_items(value)


def _read_undeclared_json_lines(body: bytes, content_type: ContentType) -> list[Any] | None:
    if body.lstrip()[:1] != b"{" or b"\n" not in body:
        return None
    try:
        items = read_json_lines(body, content_type)
    except HTTPError:
        return None
    return items if all(isinstance(item, dict) for item in items) else None


# ---------------------------------------------------------------------------------------------------------------------
# Incident: what XSOAR is to create
# ---------------------------------------------------------------------------------------------------------------------

RAW_SPELLINGS = ("raw_json", "rawJson", "rawJSON")
SEVERITIES = {"unknown": 0, "informational": 0.5, "info": 0.5, "low": 1, "medium": 2, "high": 3, "critical": 4}
BASIC_FIELDS = {"name", "type", "occurred", "rawJSON"}  # what is beyond them is rare and can be large
HIDDEN_HEADER_PARTS = ("authorization", "cookie", "signature", "hmac", "token", "api-key", "apikey", "secret", "password")


class Incident(NamedTuple):
    """An incident as createIncidents takes it, the key that identifies its event (None without one), and its size in bytes."""

    fields: dict[str, Any]
    key: str | None
    size: int


class Request(NamedTuple):
    """What is known of a request beside its body: headers (lower-case names, hidden ones left out) and query fields."""

    headers: dict[str, str]
    query: dict[str, Any]
    large: bool = False  # its body, which is therefore handled on a second thread


def describe_request(headers: dict[str, str], query_string: str, hidden_header: str, large: bool = False) -> Request:
    """Return the parts of a request that are kept in rawJSON, without anything that proves who sent it."""
    kept = {
        name: value if value.isascii() else _header_text(value)
        for name, value in headers.items()
        if name != hidden_header and not _tells_secrets(name)
    }
    if not query_string:
        return Request(kept, {}, large)
    try:
        pairs = parse_qsl(query_string, keep_blank_values=True, errors="replace", max_num_fields=MAX_FORM_FIELDS)
    except ValueError:
        raise BadRequest(f"The query string has more than {MAX_FORM_FIELDS} fields; send them in the body.") from None
    return Request(kept, collect_fields(pairs), large)


@functools.lru_cache(maxsize=1024)
def _tells_secrets(name: str) -> bool:
    return any(part in name for part in HIDDEN_HEADER_PARTS)


def _header_text(value: str) -> str:
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value


def make_incidents(items: list[Any], request: Request, settings: Settings, now: datetime) -> list[Incident]:
    """Return the incidents for a request's items; raises HTTPError (400) that names a wrong field, then none is to be created.

    ``now`` (UTC) is the trigger time, used where an item names no other. In an array a wrong field is named by its place.
    """
    incidents = []
    for index, item in enumerate(items):
        place = f"[{index}]." if len(items) > 1 or isinstance(items, Array) else ""
        incidents.append(make_incident(item, request, settings, now, place))
    return incidents


def make_incident(item: Any, request: Request, settings: Settings, now: datetime, place: str = "") -> Incident:
    """Return the incident for one item: an envelope when it holds raw_json in any spelling, else a bare payload."""
    payload = item if isinstance(item, dict) else {"body": item}
    spellings = [name for name in RAW_SPELLINGS if payload.get(name) is not None]
    if len(spellings) > 1:
        raise BadRequest(f"{place}{spellings[1]}: {spellings[0]} is there as well; send one of the two.")
    if spellings:
        fields, raw = read_envelope(payload, spellings[0], place)
    else:
        fields, raw = read_bare(payload)
    fields.setdefault("name", DEFAULT_NAME)
    fields.setdefault("occurred", f"{now.isoformat().removesuffix('+00:00')}Z")
    if settings.incident_type:
        fields.setdefault("type", settings.incident_type)
    _add(raw, "headers", request.headers)
    if request.query:
        _add(raw, "query", request.query)
    for name, value in settings.mirroring:
        _add(raw, name, value)
    fields["rawJSON"] = to_json(raw, request.large)
    key = event_key(raw, settings.duplication_paths) if settings.duplication_paths else None
    return Incident(fields, key, incident_size(fields))


def incident_size(fields: dict[str, Any]) -> int:
    """Return about how many bytes an incident takes on the wire."""
    text = fields["rawJSON"]
    size = len(text) if text.isascii() else len(text.encode())
    if fields.keys() - BASIC_FIELDS:
        size += len(_encode_json({name: value for name, value in fields.items() if name != "rawJSON"}).encode())
    return size + MAX_NAME_CHARACTERS


def _add(raw: dict[str, Any], name: str, value: Any) -> None:
    """Add a field of ours without overwriting the sender's field of that name."""
    while name in raw:
        name = f"request_{name}"
    raw[name] = value


def read_bare(payload: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return incident fields and rawJSON of somebody else's format: all is kept, and what fits is used."""
    fields: dict[str, Any] = {}
    for name in ("name", "type"):
        value = payload.get(name)
        if isinstance(value, str) and value.strip():
            fields[name] = plain_field(value, MAX_NAME_CHARACTERS)
    if isinstance(payload.get("occurred"), str):
        with contextlib.suppress(ValueError):
            fields["occurred"] = parse_date(payload["occurred"])
    return fields, payload.copy()


def read_envelope(payload: dict[str, Any], spelling: str, place: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return incident fields and rawJSON of our own format; raises HTTPError (400) that names a wrong field."""
    raw = payload[spelling]
    if isinstance(raw, str):
        with contextlib.suppress(UnreadableJson):
            parsed = parse_json(raw)
            raw = parsed if isinstance(parsed, (dict, list)) else raw
    raw = dict(raw) if isinstance(raw, dict) else {"body": raw}
    fields: dict[str, Any] = {}
    kept: dict[str, Any] = {}  # what the incident's fields do not hold whole
    for name, value in payload.items():
        if name in RAW_SPELLINGS:
            continue
        if name not in ENVELOPE_FIELDS:
            kept[name] = value
        elif value is not None and value != "":
            try:
                fields[name] = ENVELOPE_FIELDS[name](value)
            except ValueError as error:
                raise BadRequest(f"{place}{name}: {error}") from None
            if name in ALTERED_FIELDS and fields[name] != value:
                kept[name] = value
    if kept:
        _add(raw, "envelope", kept)
    return fields, raw


def plain_field(value: str, most: int | None = None) -> str:
    """Return a text for a field of the incident: without the platform's error marker, and cut at a whole character."""
    if ERROR_MARKER in value:
        value = value.replace(ERROR_MARKER, "[ERROR " + ERROR_MARKER[7:])
    if most is None or len(value) <= most:
        return value
    while most and (unicodedata.category(value[most]) in ("Mn", "Mc", "Me", "Cf") or value[most - 1] == "\u200d"):
        most -= 1  # the next character belongs to the one before it
    return value[: most or MAX_NAME_CHARACTERS]


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return plain_field(value)
    if isinstance(value, dict):
        return {plain_field(name): _plain(child) for name, child in value.items()}
    return [_plain(child) for child in value] if isinstance(value, list) else value


def _text_field(value: Any, most: int | None = None) -> str:
    if not isinstance(value, str):
        raise ValueError(f"it has to be a string, not {json_type(value)}.")
    return plain_field(value, most)


def _date_field(value: Any) -> str:
    try:
        return parse_date(_text_field(value))
    except ValueError as error:
        if not isinstance(value, str):
            raise
        raise ValueError("it is no date we can read; send ISO 8601, such as 2024-05-01T12:00:00Z.") from error


def _severity_field(value: Any) -> int | float:
    if isinstance(value, str):
        word = value.strip().lower()
        severity = SEVERITIES.get(word)
        if severity is None and word in ("0", "0.5", "1", "2", "3", "4"):
            severity = float(word) if "." in word else int(word)
        if severity is not None:
            return severity
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and value in SEVERITIES.values():
        return value
    raise ValueError("send 0, 0.5, 1, 2, 3 or 4, or unknown, informational, low, medium, high or critical.")


def _labels_field(value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list) or not all(
        isinstance(label, dict) and set(label) == {"type", "value"} and all(isinstance(text, str) for text in label.values())
        for label in value
    ):
        raise ValueError('it has to be a list of {"type": "...", "value": "..."} with strings.')
    return _plain(value)


def _object_field(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"it has to be an object, not {json_type(value)}.")
    return _plain(value)


ENVELOPE_FIELDS: dict[str, Callable[[Any], Any]] = {  # the README's table has the same rows
    "name": lambda value: _text_field(value, MAX_NAME_CHARACTERS),
    "type": _text_field,
    "occurred": _date_field,
    "details": _text_field,
    "severity": _severity_field,
    "owner": _text_field,
    "labels": _labels_field,
    "customFields": _object_field,
}


ALTERED_FIELDS = set(ENVELOPE_FIELDS) - {"occurred", "severity"}  # may be cut or have the error marker broken up


def json_type(value: Any) -> str:
    """Return the name of a value's JSON type, with its article."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array", dict: "an object"}
    return names.get(type(value), "null")


LEAP_SECOND = re.compile(r"(\d{2}:\d{2}:)60")


def parse_date(text: str) -> str:
    """Return RFC 3339 for a date in RFC 3339 or in what datetime.fromisoformat takes; without an offset it is UTC.

    A leap second becomes the second before it. Raises ValueError.
    """
    moment = datetime.fromisoformat(LEAP_SECOND.sub(r"\g<1>59", text.strip().upper(), count=1))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    offset = moment.utcoffset() or timedelta()
    if offset.total_seconds() % 60:  # RFC 3339 has offsets of whole minutes
        try:
            moment = moment.astimezone(UTC)
        except OverflowError as error:
            raise ValueError("the date is out of range") from error
    return f"{moment.isoformat()}".removesuffix("+00:00") + ("Z" if moment.utcoffset() == timedelta() else "")


def event_key(raw: dict[str, Any], paths: tuple[str, ...]) -> str | None:
    """Return ``path:value`` for the first of the dot paths that has a value in rawJSON, None where none has."""
    for path in paths:
        value = _value_at(raw, path)
        if value not in (None, "", [], {}):
            return shorten_key(f"{path}:{value if isinstance(value, str) else _encode_json(value)}")
    return None


def _value_at(value: Any, path: str) -> Any:
    if isinstance(value, dict) and path in value:
        return value[path]
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def shorten_key(key: str) -> str:
    """Return an event's key with a long value replaced by its SHA-256, so that 5,000 of them stay small."""
    if len(key) <= MAX_KEY_CHARACTERS:
        return key
    path, _, value = key.partition(":")
    return f"{path}:sha256={hashlib.sha256(value.encode()).hexdigest()}"


# ---------------------------------------------------------------------------------------------------------------------
# Native threads: what would block the hub
# ---------------------------------------------------------------------------------------------------------------------


class NativeThread:
    """One native thread that runs functions in turn, while the greenlets that asked for them wait."""

    def __init__(self) -> None:
        self._pool = ThreadPool(1)

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return what the function returns, or raise what it raises."""
        value, error = self._pool.apply(self._attempt, (function, args))
        try:
            if error is not None:
                raise error
            return value
        finally:
            del error  # else it keeps its traceback, which keeps this frame: a large body would stay until it is collected

    @staticmethod
    def _attempt(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Exception | None]:
        try:
            return function(*args), None
        except Exception as error:  # left to the pool, gevent would print it to stderr
            return None, error


# ---------------------------------------------------------------------------------------------------------------------
# XSOAR line: the only place that calls demisto.* once the server runs
# ---------------------------------------------------------------------------------------------------------------------


class XsoarRefused(Exception):
    """XSOAR answered a call with an error: it did nothing of it."""


class UnreadableAnswer(Exception):
    """XSOAR's answer could not be read: whatever the call asked for may or may not have happened."""


MIN_MASKED_CHARACTERS = 4  # a shorter secret is part of too many words


class XsoarClient:
    """The wire to XSOAR: one native thread owns it, greenlets await it, and the hub never blocks on stdin.

    It also carries what is told beside the incidents: log lines (joined, one call a second) and the instance's health.
    """

    def __init__(self, secret: bytes = b"") -> None:
        self._thread = NativeThread()
        self._secret = secret.decode()
        self._lines: deque[tuple[Callable[[str], Any], str]] = deque(maxlen=100)  # a flood keeps the newest
        self._troubles: dict[str, str] = {}
        self._reported_health: str | None = None
        self._last_heartbeat: float | None = None  # None while the platform's own thread lives

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function that talks to XSOAR on the native thread and return what it returns.

        Raises XsoarRefused for an error XSOAR answered, UnreadableAnswer for an answer that is none.
        """
        seconds = 0.0

        def timed() -> Any:
            nonlocal seconds
            started = time.monotonic()
            try:
                return function(*args)
            finally:
                seconds = time.monotonic() - started

        try:
            return self._thread.run(timed)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as failure:  # kinds of the next two, so they come first
            raise UnreadableAnswer(self._safe(f"{type(failure).__name__}: {failure}")) from None
        except (ValueError, RuntimeError) as failure:  # RuntimeError: the platform's lock was not to be had, nothing was sent
            raise XsoarRefused(self._safe(str(failure))) from None
        except Exception as failure:
            raise UnreadableAnswer(self._safe(f"{type(failure).__name__}: {failure}")) from None
        finally:
            if seconds > HEARTBEAT_LOCK_SECONDS - 5 and self._last_heartbeat is None:
                self._last_heartbeat = 0.0

    def create_incidents(self, incidents: list[dict[str, Any]]) -> Any:
        """Return XSOAR's answer to createIncidents; raises XsoarRefused or UnreadableAnswer."""
        return self.call(demisto.createIncidents, incidents)

    def info(self, text: str) -> None:
        """Log a line without waiting for it."""
        self._lines.append((demisto.info, text))

    def error(self, text: str) -> None:
        """Log an error without waiting for it."""
        self._lines.append((demisto.error, text))

    def report(self, subject: str, trouble: str) -> None:
        """Show a trouble in the instance's health until the same subject is reported with an empty string."""
        if trouble:
            if self._troubles.get(subject) != trouble:
                self.error(trouble)
            self._troubles[subject] = trouble
        elif self._troubles.pop(subject, None):
            self.info(f"{subject}: recovered")

    def flush(self) -> None:
        """Send the waiting log lines, one call a level, and the health where it changed."""
        lines, self._lines = list(self._lines), deque(maxlen=self._lines.maxlen)
        for log in dict.fromkeys(log for log, _ in lines):
            with contextlib.suppress(XsoarRefused, UnreadableAnswer):
                self.call(log, self._safe("\n".join(text for level, text in lines if level == log)))
        health = self._safe(" ".join(self._troubles.values()))
        if health != self._reported_health:
            with contextlib.suppress(XsoarRefused, UnreadableAnswer):
                self.call(demisto.updateModuleHealth, health)
                self._reported_health = health

    def beat(self, now: float) -> None:
        """Send the heartbeat where a long call has ended the platform's own; ``now`` is time.monotonic()."""
        if self._last_heartbeat is not None and now - self._last_heartbeat >= HEARTBEAT_SECONDS:
            self._last_heartbeat = now
            with contextlib.suppress(XsoarRefused, UnreadableAnswer):
                self.call(demisto.heartbeat, "the webhook is alive")

    def is_broken(self) -> bool:
        """Return whether XSOAR's end of the wire is closed, which nothing else would notice while it is idle."""
        poll = select.poll()
        with contextlib.suppress(OSError, ValueError, AttributeError):
            for end in (sys.stdin, sys.stdout):
                poll.register(end.fileno(), 0)  # errors and hang-ups are always told
            return bool(poll.poll(0))
        return False

    def _safe(self, text: str) -> str:
        text = plain_field(text)
        return text.replace(self._secret, "<secret>") if len(self._secret) >= MIN_MASKED_CHARACTERS else text


# ---------------------------------------------------------------------------------------------------------------------
# Whose incident is it? Matching createIncidents' answer with what was sent
# ---------------------------------------------------------------------------------------------------------------------

# A pre-processing rule may drop one of a batch, so a place in the answer proves nothing. From the strongest evidence down:
EVIDENCE = (
    ("rawJSON", "name", "occurred"),
    ("rawJSON",),
    ("name", "occurred"),
    ("occurred",),
    ("labels",),
    ("details",),
    ("name",),
)
FRACTION = re.compile(r"\.[0-9]+")
AMBIGUOUS: dict[str, Any] = {"ambiguous": True}  # XSOAR created something, and nothing tells whether it is this one


def match_created(sent: list[dict[str, Any]], answer: Any) -> list[dict[str, Any] | None]:
    """Return for each incident sent the object XSOAR created for it, None where it created none.

    AMBIGUOUS stands where objects came back that nothing tells apart. Raises UnreadableAnswer for an answer of no known shape.
    """
    if isinstance(answer, dict) and "id" in answer:
        answer = [answer]
    if answer is None:  # how Go writes an empty list
        answer = []
    if not isinstance(answer, list):
        raise UnreadableAnswer("createIncidents answered with no list of incidents")
    if not all(isinstance(item, dict) and item for item in answer):
        raise UnreadableAnswer("createIncidents answered with something that is no incident")
    created: list[dict[str, Any]] = answer
    if len(created) == len(sent) and all(
        theirs.get("rawJSON") == ours["rawJSON"] and theirs.get("name") == ours["name"] for theirs, ours in zip(created, sent)
    ):
        return list(created)
    return _match_by_evidence(sent, created)


def _match_by_evidence(sent: list[dict[str, Any]], created: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
    places: list[dict[str, Any] | None] = [None] * len(sent)
    free = dict.fromkeys(range(len(sent)))
    doubtful: list[int] = []
    for fields in EVIDENCE:
        index: dict[tuple[str, ...], deque[int]] = {}
        for place in free:
            values = _evidence(sent[place], fields)
            if values:
                index.setdefault(values, deque()).append(place)
        some_absent = len(created) < len(free)
        unmatched = []
        for item in created:
            candidates = index.get(_evidence(item, fields))
            if not candidates:
                unmatched.append(item)
                continue
            if len(candidates) > 1 and some_absent and "rawJSON" not in fields:
                doubtful += candidates  # alike by this evidence, yet different, and not all of them were created
            place = candidates.popleft()
            places[place] = item
            del free[place]
        created = unmatched
    # What is left over as the only one is that of the only one that is missing, and objects that tell nothing but an ID
    # are in order, as the platform says. Otherwise what is left over may be any of those that are missing.
    bare = not any(name in item for item in created for fields in EVIDENCE for name in fields)
    if len(created) == len(free) and (bare or len(free) == 1):
        left = iter(created)
        places = [next(left) if place in free else item for place, item in enumerate(places)]
    elif created:
        doubtful += free
    for place in doubtful:
        places[place] = AMBIGUOUS
    return places


def _evidence(incident: dict[str, Any], fields: tuple[str, ...]) -> tuple[str, ...]:
    values = [incident.get(name) for name in fields]
    if not all(values):
        return ()
    texts = [value if isinstance(value, str) else _encode_json(value) for value in values]
    return tuple(_as_go_writes(text) if name == "occurred" else text for name, text in zip(fields, texts))


def _as_go_writes(moment: str) -> str:
    return FRACTION.sub(lambda fraction: fraction[0].rstrip("0").rstrip("."), moment)  # without zeros at the fraction's end


# ---------------------------------------------------------------------------------------------------------------------
# Incident writer: group commit
# ---------------------------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What became of an incident: an HTTP status, XSOAR's object (None where it created none), and why."""

    status: int
    created: dict[str, Any] | None = None
    reason: str = ""


REJECTED = Outcome(502, reason="XSOAR refuses it")
MAYBE_CREATED = Outcome(502, reason="XSOAR's answer could not be read, it may have been created")
FULL = Outcome(503, reason="XSOAR is slower than the events come in, and the queue is full")
OUTAGE = Outcome(503, reason="XSOAR refuses every incident at the moment")
WITHDRAWN = Outcome(503, reason="XSOAR did not get to it in time")
STOPPING = Outcome(503, reason="the webhook is stopping")
STOPPED_IN_FLIGHT = Outcome(503, reason="the webhook is stopping, and XSOAR has not answered: it may have been created")


class PendingIncident:
    """An incident on its way, and at last its outcome."""

    __slots__ = ("fields", "first_refused", "in_flight", "outcome", "size", "submission")

    def __init__(self, submission: "Submission", incident: Incident) -> None:
        self.submission = submission
        self.fields = incident.fields
        self.size = incident.size
        self.outcome: Outcome | None = None
        self.in_flight = False
        self.first_refused = 0.0


class Submission:
    """What one request asks of the writer: its incidents in order, and an event for when the last one is settled."""

    __slots__ = ("accepted", "open", "parts", "settled", "size")

    def __init__(self, incidents: list[Incident], now: float) -> None:
        self.accepted = now
        self.parts = [PendingIncident(self, incident) for incident in incidents]
        self.size = sum(incident.size for incident in incidents)
        self.open = len(incidents)
        self.settled = Event()


class Writer:
    """Group commit: while one createIncidents is in flight arriving incidents queue up, and the next call takes them all."""

    def __init__(self, client: XsoarClient) -> None:
        self._client = client
        self._queue: deque[Submission] = deque()
        self._rejected: list[list[PendingIncident]] = []  # in pieces, each for a call: bad ones or an outage
        self._live: OrderedDict[Submission, None] = OrderedDict()  # by age, for withdrawing
        self._bytes = 0
        self._incidents = 0
        self._work = Event()
        self._gathered = Event()
        self._target = 0
        self._pause = RETRY_PAUSE_SECONDS
        self._retry_at = 0.0
        self._accepted_at = 0.0
        self._reason = ""
        self._closed = False
        self._passed_over = False
        self.calls = dict.fromkeys(("accepted", "refused", "unreadable"), 0)
        self.call_seconds = Histogram(CALL_SECONDS)
        self.call_incidents = Histogram(CALL_INCIDENTS)

    def submit(self, incidents: list[Incident]) -> list[Outcome]:
        """Wait until every incident is settled and return their outcomes in order."""
        if self._closed:
            return [STOPPING] * len(incidents)
        submission = Submission(incidents, time.monotonic())
        if self._incidents and (
            self._incidents + submission.open > MAX_QUEUED_INCIDENTS or self._bytes + submission.size > MAX_QUEUED_BYTES
        ):
            return [FULL] * len(incidents)
        self._live[submission] = None
        self._incidents += submission.open
        self._bytes += submission.size
        self._queue.append(submission)
        self._work.set()
        if len(self._queue) >= self._target:
            self._gathered.set()
        submission.settled.wait()
        outcomes = [pending.outcome or MAYBE_CREATED for pending in submission.parts]
        submission.parts = []  # which know it as it knows them: a large answer would stay until the two are collected
        return outcomes

    def run(self) -> None:
        """Write for ever; a failure of ours settles all that it met, what was on the wire as unknown, and is reported."""
        while True:
            try:
                self._write_next()
            except Exception as error:
                self._client.error(f"The incident writer failed: {type(error).__name__}")
                queued = set(self._queue)
                for submission in list(self._live):
                    for pending in submission.parts if submission not in queued else ():
                        self._settle(pending, MAYBE_CREATED if pending.in_flight else OUTAGE)
                self._rejected = []
                gevent.sleep(RETRY_PAUSE_SECONDS)

    def _write_next(self) -> None:
        self._wait_for_work()
        fresh = [] if self._passed_over else self._next_batch()
        waiting, self._rejected = self._rejected, []
        started = time.monotonic()
        due = started >= self._retry_at
        # New arrivals go first and on their own: were a refused one among them, they would pay for it.
        pieces = self._cut(fresh) + (waiting if due else [])
        accepted, self._rejected = self._write(pieces, [] if due else waiting, probing=due or not waiting)
        # What arrivals left no call for has the next ones, else a steady load would never let it have its turn.
        self._passed_over = bool(fresh and waiting) and any(piece is waiting[0] for piece in self._rejected)
        self._after(accepted, due or not waiting)
        if not self._rejected:
            self._gather(len({pending.submission for pending in fresh}), time.monotonic() - started)

    def _wait_for_work(self) -> None:
        """Return when there is something to write: a queue, or refused incidents whose pause is over."""
        while not self._queue:
            self._work.clear()
            if not self._rejected:
                self._work.wait()
                continue
            left = self._retry_at - time.monotonic()
            if left <= 0 or not self._work.wait(left):
                return
        if self._rejected and time.monotonic() < self._retry_at:
            gevent.sleep(RETRY_PAUSE_SECONDS / 2)  # in an outage arrivals share an attempt, else each would make its own

    def _next_batch(self) -> list[PendingIncident]:
        """Take submissions off the queue up to the bounds of a call; a submission stays in one piece."""
        batch: list[PendingIncident] = []
        size = 0
        while self._queue:
            submission = self._queue[0]
            if batch and (len(batch) + len(submission.parts) > MAX_CALL_INCIDENTS or size + submission.size > MAX_CALL_BYTES):
                break
            self._queue.popleft()
            batch += submission.parts
            size += submission.size
        return batch

    def _write(
        self, pieces: list[list[PendingIncident]], aside: list[list[PendingIncident]], probing: bool
    ) -> tuple[bool, list[list[PendingIncident]]]:
        """Write pieces, each in a call, and split what is refused; return whether any was accepted, and what is to be retried.

        A pending is bad when XSOAR refuses it alone though it has accepted others since it first refused it. Until then it
        may as well be an outage: only the way down to one pending is split (``probing``), for 2n more refusals would not
        tell more, and the rest is put aside until something is accepted.
        """
        pieces, aside = pieces[::-1], list(aside)
        alone: list[list[PendingIncident]] = []
        calls = 0
        accepted = False
        while pieces and not (self._queue and calls >= CALLS_IN_A_ROW and (accepted or alone)):
            piece = [pending for pending in pieces.pop() if pending.outcome is None]
            if not piece:
                continue
            calls += 1
            if self._call(piece):
                accepted = True
                pieces = [*alone, *reversed(aside), *pieces]
                aside, alone = [], []
            elif piece[0].outcome is None:  # refused, and not settled because nobody knows what was created
                known = all(pending.first_refused < self._accepted_at for pending in piece)
                if len(piece) > 1 and (known or (probing and not alone)):
                    pieces += self._halve(piece)
                elif known:
                    self._settle(piece[0], REJECTED)
                else:
                    (aside if len(piece) > 1 else alone).append(piece)
        # What stood alone goes to the end: the next attempt is for another one, else a good one behind bad ones had no turn.
        left = [*reversed(pieces), *aside, *alone]
        if accepted:
            return True, sorted(left, key=lambda piece: piece[0].submission.accepted)
        return False, self._cut([pending for piece in left for pending in piece if pending.outcome is None])

    @staticmethod
    def _halve(piece: list[PendingIncident]) -> list[list[PendingIncident]]:
        """Return two parts, the first one last: cut between requests where there are several, for one may be all bad."""
        middle = len(piece) // 2
        borders = [place for place in range(1, len(piece)) if piece[place].submission is not piece[place - 1].submission]
        border = min(borders, key=lambda place: abs(place - middle), default=middle)
        return [piece[border:], piece[:border]]

    @staticmethod
    def _cut(parts: list[PendingIncident]) -> list[list[PendingIncident]]:
        """Return parts in pieces within the bounds of a call."""
        pieces: list[list[PendingIncident]] = []
        size = 0
        for pending in parts:
            if not pieces or len(pieces[-1]) >= MAX_CALL_INCIDENTS or size + pending.size > MAX_CALL_BYTES:
                pieces.append([])
                size = 0
            pieces[-1].append(pending)
            size += pending.size
        return pieces

    def _call(self, piece: list[PendingIncident]) -> bool:
        """Make one createIncidents call; return whether XSOAR accepted it, having settled all it decides."""
        for pending in piece:
            pending.in_flight = True
        sent = [pending.fields for pending in piece]
        started = time.monotonic()
        result = "unreadable"
        try:
            places = match_created(sent, self._client.create_incidents(sent))
            result = "accepted"
        except XsoarRefused as refusal:
            result = "refused"
            for pending in piece:
                pending.in_flight = False
                pending.first_refused = pending.first_refused or time.monotonic()
            self._reason = str(refusal)
            return False
        except UnreadableAnswer as failure:
            self._client.error(f"createIncidents of {len(piece)} incidents: {failure}")
            for pending in piece:
                self._settle(pending, MAYBE_CREATED)
            return False
        finally:
            self.calls[result] += 1
            self.call_seconds.observe(time.monotonic() - started)
            self.call_incidents.observe(len(piece))
        for pending, created in zip(piece, places):
            self._settle(pending, MAYBE_CREATED if created is AMBIGUOUS else Outcome(200, created))
        self._accepted_at = time.monotonic()
        return True

    def _settle(self, pending: PendingIncident, outcome: Outcome) -> None:
        if pending.outcome is not None:
            return
        pending.outcome = outcome
        pending.in_flight = False
        self._incidents -= 1
        self._bytes -= pending.size
        submission = pending.submission
        submission.open -= 1
        if not submission.open:
            self._live.pop(submission, None)
            submission.settled.set()

    def _after(self, accepted: bool, was_due: bool) -> None:
        """Plan the next attempt for what is refused, and show an outage in the instance's health."""
        now = time.monotonic()
        lone = self._rejected[0][0] if sum(map(len, self._rejected)) == 1 else None
        if lone and lone.first_refused and not self._queue and now - lone.first_refused >= LONE_RETRY_SECONDS:
            self._settle(lone, OUTAGE)
            self._rejected = []
        if accepted:
            self._client.report("XSOAR", "")
        if accepted or not self._rejected:
            self._pause = RETRY_PAUSE_SECONDS
            self._retry_at = now  # what is left made room for new arrivals
            return
        if was_due:
            self._retry_at = now + self._pause
            self._pause = min(self._pause * 2, MAX_RETRY_PAUSE_SECONDS)
        if lone and lone.first_refused:
            self._retry_at = min(self._retry_at, lone.first_refused + LONE_RETRY_SECONDS)
        self._client.report("XSOAR", f"XSOAR refuses to create incidents, they are retried: {self._reason[:300]}")

    def _gather(self, answered: int, seconds: float) -> None:
        """After a call, let the senders just answered come back, so that the next call takes all of them.

        Ends when as many submissions wait as were answered, when a gap of a 25th of the call stays quiet (a lone request
        that meets two of them waits less than a tenth longer than its call), or after MAX_GATHER_SECONDS.
        """
        if answered < 2:  # the only sender that may come back ends the wait for work as well
            return
        until = time.monotonic() + MAX_GATHER_SECONDS
        gap = min(max(seconds / 25, 0.001), 0.02)
        self._target = answered
        while (waiting := len(self._queue)) < answered and not self._closed and time.monotonic() < until:
            self._gathered.clear()
            if self._gathered.wait(gap) or len(self._queue) <= waiting:
                break
        self._target = 0

    @property
    def waiting(self) -> tuple[int, int]:
        """How many incidents wait for XSOAR, those of the call under way among them, and their bytes."""
        return self._incidents, self._bytes

    def withdraw(self, now: float) -> None:
        """Answer 503 for incidents that XSOAR did not get within WITHDRAW_SECONDS; ``now`` is time.monotonic()."""
        for submission in list(self._live):
            if now - submission.accepted < WITHDRAW_SECONDS:
                break
            for pending in submission.parts:
                if not pending.in_flight:
                    self._settle(pending, OUTAGE if pending.first_refused else WITHDRAWN)
        while self._queue and not self._queue[0].open:
            self._queue.popleft()

    def close(self, in_flight: Outcome = STOPPED_IN_FLIGHT) -> None:
        """Settle everything that is unfinished, and whatever comes later, as stopping."""
        self._closed = True
        for submission in list(self._live):
            for pending in submission.parts:
                self._settle(pending, in_flight if pending.in_flight else STOPPING)


# ---------------------------------------------------------------------------------------------------------------------
# Memory: sample events and seen events, in the process and, behind it, in the integration context
# ---------------------------------------------------------------------------------------------------------------------

SAMPLES_KEY = "sample_events"
FOUND_KEY = "found_ids"


class Memory:
    """Samples for the mapping wizard and the events already seen; a background flush keeps the integration context abreast."""

    def __init__(self, client: XsoarClient, parser: NativeThread, store_samples: bool, remember_events: bool) -> None:
        self._client = client
        self._parser = parser
        self._store_samples = store_samples
        self._remember_events = remember_events
        self._samples: deque[dict[str, Any]] = deque(maxlen=MAX_SAMPLES)
        self._large: deque[Incident] = deque(maxlen=MAX_SAMPLES)
        self._seen: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._claims: dict[str, AsyncResult] = {}
        self._changed = Event()
        self._flushing = Semaphore()  # the last flush waits for one that is under way
        self._damage_reported = False
        self.loaded = Event()

    def add_sample(self, incident: Incident) -> None:
        """Keep a created incident as a sample; a large one is cut down at the next flush, off the request's path."""
        if incident.size > MAX_SAMPLE_BYTES // 2:  # as a string within a string it may grow to twice its size
            self._large.append(incident)
            while len(self._large) > 1 and sum(waiting.size for waiting in self._large) > MAX_LARGE_SAMPLES_BYTES:
                self._large.popleft()
        else:
            self._samples.append(incident.fields)
        self._changed.set()

    def claim(self, key: str) -> "AsyncResult | None":
        """Return None when the caller is the first to bring this event, who then settles it; else its outcome, to be awaited."""
        known = self._seen.get(key)
        if known is not None:
            claim = AsyncResult()
            claim.set(Outcome(200, known))
            return claim
        claim = self._claims.get(key)
        if claim is None:
            self._claims[key] = AsyncResult()
        return claim

    def settle(self, key: str, outcome: Outcome) -> None:
        """Tell a claimed event's outcome to all who wait for it; without an incident the event is free to come again."""
        if outcome.created is not None:
            metadata = {name: value for name, value in outcome.created.items() if name in ("id", "name", "type", "occurred")}
            self._seen[key] = metadata
            while len(self._seen) > MAX_FOUND_IDS:
                self._seen.popitem(last=False)
            self._changed.set()
            outcome = Outcome(200, metadata)
        self._claims.pop(key).set(outcome)

    def run(self) -> None:
        """Load what is there, then flush changes for ever, one flush for all of FLUSH_SECONDS."""
        while (self._store_samples or self._remember_events) and not self._synchronize(write=False):
            gevent.sleep(FLUSH_SECONDS)
        self.loaded.set()
        while True:
            self._changed.wait()
            gevent.sleep(FLUSH_SECONDS)
            if not self.flush():
                gevent.sleep(RETRY_PAUSE_SECONDS)
                self.flush()

    def flush(self) -> bool:
        """Write what changed to the integration context and return whether that worked."""
        with self._flushing:
            if not self._changed.is_set():
                return True
            self._changed.clear()
            while self._large:
                self._samples.append(self._parser.run(small_sample, self._large.popleft().fields))
            if self._synchronize(write=True):
                return True
            self._changed.set()
            return False

    def _synchronize(self, write: bool) -> bool:
        samples = list(self._samples)
        found = {key: metadata.get("id") for key, metadata in self._seen.items()}
        try:
            stored_samples, stored_found, damage = self._client.call(self._exchange, samples, found, write)
        except (XsoarRefused, UnreadableAnswer) as error:
            self._client.report("Integration context", f"The integration context cannot be reached, it is retried: {error}"[:300])
            self.loaded.set()
            return False
        self._client.report("Integration context", "")
        if damage and not self._damage_reported:
            self._damage_reported = True
            self._client.error(f"The integration context held damaged data, which is replaced: {damage}")
        if not write:
            self._samples = deque([*stored_samples, *self._samples][-MAX_SAMPLES:], maxlen=MAX_SAMPLES)
        for key, incident_id in reversed(stored_found.items()):
            if key not in self._seen:
                self._seen[key] = {} if incident_id is None else {"id": incident_id}
                self._seen.move_to_end(key, last=False)
        while len(self._seen) > MAX_FOUND_IDS:
            self._seen.popitem(last=False)
        self.loaded.set()
        return True

    def _exchange(
        self, samples: list[dict[str, Any]], found: dict[str, Any], write: bool
    ) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
        """Read the context and, to write, put ours into it; on the native thread, two round trips at the most."""
        versioned = demisto.getIntegrationContextVersioned(True)
        versioned = versioned if isinstance(versioned, dict) else {}
        context = versioned.get("context")
        damages: list[str] = [] if isinstance(context, dict) or not context else ["it is no object"]
        context = dict(context) if isinstance(context, dict) else {}
        stored_samples = read_samples(context.get(SAMPLES_KEY), damages)
        stored_found = read_found(context.get(FOUND_KEY), damages)
        if write:
            if self._store_samples:
                merged = [sample for sample in stored_samples if sample not in samples] + samples
                context[SAMPLES_KEY] = to_json(merged[-MAX_SAMPLES:])
            if self._remember_events:
                merged_found = {key: value for key, value in stored_found.items() if key not in found} | found
                context[FOUND_KEY] = to_json(dict(list(merged_found.items())[-MAX_FOUND_IDS:]))
            texts = {str(key): value if isinstance(value, str) else to_json(value) for key, value in context.items()}
            demisto.setIntegrationContextVersioned(texts, versioned.get("version", -1), True)
        return stored_samples, stored_found, "; ".join(damages)


def read_samples(text: Any, damages: list[str]) -> list[dict[str, Any]]:
    """Return the sample events in a context's text, oldest first; what is wrong with it is appended to ``damages``."""
    samples = _read_context(SAMPLES_KEY, text, damages) or []
    if not isinstance(samples, list) or not all(isinstance(sample, dict) for sample in samples):
        damages.append(f"{SAMPLES_KEY} is no list of incidents")
        return []
    return samples[-MAX_SAMPLES:]


def read_found(text: Any, damages: list[str]) -> dict[str, Any]:
    """Return ``{key: incident id or None}`` from a context's text: ours, or the older list of ``path:value``."""
    found = _read_context(FOUND_KEY, text, damages) or {}
    if isinstance(found, list) and all(isinstance(key, str) for key in found):
        return {shorten_key(key): None for key in found[-MAX_FOUND_IDS:]}
    if not isinstance(found, dict) or not all(value is None or isinstance(value, (str, int)) for value in found.values()):
        damages.append(f"{FOUND_KEY} maps no events to incident IDs")
        return {}
    return found


def _read_context(key: str, text: Any, damages: list[str]) -> Any:
    if text in (None, ""):
        return None
    try:
        return json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        damages.append(f"{key} is not JSON")
        return None


def small_sample(incident: dict[str, Any]) -> dict[str, Any]:
    """Return an incident of at most MAX_SAMPLE_BYTES as JSON: its long strings cut and marked, then its long lists."""
    try:
        raw = _parse_large_json(incident.get("rawJSON") or "{}")
    except (ValueError, RecursionError):
        raw = {"body": incident.get("rawJSON")}
    small: dict[str, Any] = {}
    for characters, elements in (
        (1_000_000, 1_000_000),
        (8192, 1_000_000),
        (1024, 1_000_000),
        (1024, 100),
        (128, 20),
        (32, 5),
        (8, 2),
    ):
        fields = {name: value for name, value in incident.items() if name != "rawJSON"}
        small = _shorten(fields, characters, elements) | {"rawJSON": to_json(_shorten(raw, characters, elements))}
        if len(to_json(small).encode()) <= MAX_SAMPLE_BYTES:
            return small
    return {"name": plain_field(str(incident.get("name"))[:100]), "rawJSON": to_json({"cut": "the sample was too large to keep"})}


def _shorten(value: Any, characters: int, elements: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= characters else f"{value[:characters]}... [cut, {len(value)} characters]"
    if isinstance(value, list):
        kept = [_shorten(child, characters, elements) for child in value[:elements]]
        return kept if len(value) <= elements else [*kept, f"[cut, {len(value)} elements]"]
    if isinstance(value, dict):
        kept_fields = {
            name if len(name) <= 256 else f"{name[:256]}... [cut]": _shorten(child, characters, elements)
            for name, child in list(value.items())[:elements]
        }
        return kept_fields if len(value) <= elements else {**kept_fields, "[cut]": f"{len(value)} fields"}
    return value


# ---------------------------------------------------------------------------------------------------------------------
# Guard: connections, failures, counters
# ---------------------------------------------------------------------------------------------------------------------

MAX_FAILING_ADDRESSES = 1024
FREE_FAILURES = 3  # a typo or two is answered at once


class Connection:
    """An open connection: its socket, the guard's group it is in and, in time.monotonic() seconds, how long it may stay there."""

    __slots__ = ("deadline", "expired", "group", "sock")

    def __init__(self, sock: Any, now: float) -> None:
        self.sock = sock
        self.group: OrderedDict[Connection, None] = OrderedDict()  # until the guard takes it in
        self.deadline = now + REQUEST_SECONDS
        self.expired = False


class Guard:
    """Keeps every connection within its time, all of them within their number, and counts what came of the requests."""

    def __init__(self, client: XsoarClient) -> None:
        self._client = client
        soft_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = max(16, min(MAX_CONNECTIONS, soft_limit - SPARE_DESCRIPTORS))
        self._arriving: OrderedDict[Connection, None] = OrderedDict()  # without complete headers, oldest first
        self._reading: OrderedDict[Connection, None] = OrderedDict()  # headers complete, the body not, or being refused
        self._working: OrderedDict[Connection, None] = OrderedDict()  # the whole request is here: never evicted
        self._idle: OrderedDict[Connection, None] = OrderedDict()  # kept alive between requests, longest idle first
        self._discarding: OrderedDict[Connection, None] = OrderedDict()  # refused, and still sending
        self._groups = (self._arriving, self._idle, self._discarding, self._reading, self._working)
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._bodies_bytes = 0
        self.counts: Counter[str] = Counter()  # since the last report
        self._reported: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()  # of all answers
        self.accepted = 0  # requests whose body is complete and that are not yet answered
        self.stopping = False

    def open(self, sock: Any) -> Connection | None:
        """Register a new connection and return it; None when it is one too many.

        When full, the oldest connection without complete headers makes room, else the longest idle, else the oldest
        that is refused, else the oldest without a complete body. One whose bytes are here and only wait for their turn
        comes after all of these.
        """
        if sum(map(len, self._groups)) >= self._most:
            silent = itertools.filterfalse(self._has_bytes, itertools.islice(self._arriving, EVICTION_CANDIDATES))
            victim = next(itertools.chain(silent, self._idle, self._discarding, self._reading, self._arriving), None)
            if victim is None:
                self.counts["connections refused"] += 1
                return None
            self.counts["connections evicted"] += 1
            self.close(victim)
            self._shut(victim, socket.SHUT_RDWR)
        connection = Connection(sock, time.monotonic())
        connection.group = self._arriving
        self._arriving[connection] = None
        return connection

    @staticmethod
    def _has_bytes(connection: Connection) -> bool:
        poll = select.poll()
        poll.register(connection.sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def close(self, connection: Connection) -> None:
        """Forget a connection."""
        connection.group.pop(connection, None)

    def idle(self, connection: Connection) -> None:
        """A request is answered: the connection may stay silent for IDLE_SECONDS."""
        self._move(connection, self._idle, time.monotonic() + IDLE_SECONDS)

    def begin(self, connection: Connection) -> None:
        """The first byte of a request has come: REQUEST_SECONDS for the rest, on a new connection from its opening."""
        if connection.group is self._idle:
            self._move(connection, self._arriving, time.monotonic() + REQUEST_SECONDS)

    def read(self, connection: Connection) -> None:
        """The headers are complete."""
        self._move(connection, self._reading, connection.deadline)

    def work(self, connection: Connection) -> None:
        """The body is complete: from here on the writer decides how long it takes."""
        self._move(connection, self._working, math.inf)

    def discard(self, connection: Connection) -> tuple[int, float]:
        """The request is refused: return how many bytes may be thrown away of what is under way, and for how many seconds."""
        if len(self._discarding) >= MAX_DISCARDING:
            return LINGER_BYTES, LINGER_SECONDS
        self._move(connection, self._discarding, time.monotonic() + DISCARD_SECONDS)
        return DISCARD_BYTES, DISCARD_SECONDS

    @staticmethod
    def _move(connection: Connection, group: OrderedDict[Connection, None], deadline: float) -> None:
        if connection in connection.group:  # else it is closed
            del connection.group[connection]
            group[connection] = None
            connection.group = group
            connection.deadline = deadline

    def reading(self) -> bool:
        """Return whether a body is on its way."""
        return bool(self._reading)

    def end_reading(self) -> None:
        """End reading on every connection whose request is incomplete; its greenlet answers that we are stopping."""
        for connection in [*self._arriving, *self._reading]:
            self._shut(connection, socket.SHUT_RD)

    def sweep(self, now: float) -> None:
        """End reading on every connection whose time is up, which its own greenlet then answers; ``now`` is monotonic."""
        for group in self._groups:
            for connection in list(group):
                if connection.deadline >= now:
                    continue
                # A second sweep means that not even the answer could be written.
                self._shut(connection, socket.SHUT_RDWR if connection.expired else socket.SHUT_RD)
                connection.expired = True
                connection.deadline = now + LINGER_SECONDS

    @staticmethod
    def _shut(connection: Connection, how: int) -> None:
        with contextlib.suppress(OSError):
            connection.sock._sock.shutdown(how)  # the plain socket's: of a TLS socket it would wait for the peer

    def take(self, size: int) -> None:
        """Account for bytes of a large body; raises ServiceUnavailable when there are too many of them at once."""
        if self._bodies_bytes + size > MAX_BODIES_BYTES:
            raise ServiceUnavailable("Too many large bodies are being worked on; send this one again later.")
        self._bodies_bytes += size

    def give_back(self, size: int) -> None:
        """A large body is done with."""
        self._bodies_bytes -= size

    def fail(self, address: str) -> float:
        """Count a failed authentication and return for how many seconds to delay its answer, at most 1."""
        now = time.monotonic()
        count, last = self._failures.pop(address, (0, now))
        count = 1 if now - last > REPORT_SECONDS else count + 1
        self._failures[address] = (count, now)
        if len(self._failures) > MAX_FAILING_ADDRESSES:
            self._failures.popitem(last=False)
        self.counts["failed authentications"] += 1
        return min(1.0, 0.05 * 2 ** min(count - FREE_FAILURES, 10)) if count > FREE_FAILURES else 0.0

    def report(self) -> None:
        """Log the counters as one line and begin anew; nothing is logged where nothing happened."""
        if self.counts:
            self._client.info("Generic Webhook: " + ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items())))
            self._reported.update(self.counts)
            self.counts.clear()

    def total(self, name: str) -> int:
        """Return a counter's value since the start, whatever has been reported."""
        return self._reported[name] + self.counts[name]

    def connections(self) -> dict[str, int]:
        """Return how many connections there are of each kind."""
        names = ("arriving", "idle", "discarding", "reading", "working")
        return {name: len(group) for name, group in zip(names, self._groups)}


class BodyBudget:
    """What one request has taken of the memory for large bodies, given back at its end; small ones are free."""

    __slots__ = ("_guard", "_seen", "_taken")

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._seen = 0
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._guard.give_back(self._taken)

    def grow(self, size: int) -> None:
        """Account for ``size`` more bytes; raises ServiceUnavailable."""
        self._seen += size
        if self._seen > SMALL_BODY_BYTES:
            self._guard.take(self._seen - self._taken)
            self._taken = self._seen


# ---------------------------------------------------------------------------------------------------------------------
# HTTP: pywsgi, strict where it is too trusting
# ---------------------------------------------------------------------------------------------------------------------

REQUEST_LINE = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([0-9])")
HEADER_LINES = re.compile(rf"(?:{HEADER_NAME}:[\t\x20-\x7e\x80-\xff]*\r\n)*+")
CHUNK_LINE = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
SINGLE_HEADERS = {"content-length", "transfer-encoding", "host", "content-encoding", "expect"}  # twice is ambiguous
JSON_TYPE = "Content-Type: application/json\r\n"
COMMON_HEADERS = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
BAD_REQUEST_LINE = "The request line is not valid HTTP/1.1."
BLANK_LINE = b"\r\n\r\n"  # with the line break before it
STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in http.HTTPStatus}


class Reader:
    """The bytes of a connection, received as they are asked for; an empty answer is the sender's end."""

    __slots__ = ("_buffer", "_receive")

    def __init__(self, sock: Any) -> None:
        self._receive = sock.recv
        self._buffer = b""

    def wait(self) -> bool:
        """Wait for the next request's first byte and return whether there is one; an empty line before it is left out.

        RFC 9112, 2.2: some senders put one behind a body.
        """
        if not self._buffer and not self._fill():
            return False
        if self._buffer[:1] == b"\r":
            while self._buffer in (b"\r", b"\r\n"):
                if not self._fill():
                    return False
            self._buffer = self._buffer.removeprefix(b"\r\n")
        return True

    def until(self, mark: bytes, check: Callable[[bytes], None]) -> bytes:
        """Return the bytes up to and with the mark; ``check`` may refuse them, in part or once they are whole."""
        while (end := self._buffer.find(mark)) < 0:
            check(self._buffer)
            if not self._fill():
                return b""
        end += len(mark)
        found, self._buffer = self._buffer[:end], self._buffer[end:]
        check(found)
        return found

    def unread(self, data: bytes) -> None:
        """Put bytes back before all others."""
        self._buffer = data + self._buffer

    def some(self, most: int) -> bytes:
        """Return at least one byte and at most so many."""
        if not self._buffer:
            return self._receive(most)
        found, self._buffer = self._buffer[:most], self._buffer[most:]
        return found

    def exactly(self, size: int) -> bytes:
        """Return so many bytes, fewer only where the sender ends before them."""
        found = self.some(size) if size else b""
        if len(found) < size:
            parts = bytearray(found)
            while len(parts) < size and (part := self.some(size - len(parts))):
                parts += part
            return bytes(parts)
        return found

    def _fill(self) -> bool:
        part = self._receive(RECEIVE_BYTES)
        self._buffer += part
        return bool(part)


class Body:
    """A request's body on its way in; nothing is read before read() is called."""

    def __init__(self, handler: "Handler", length: int, chunked: bool, expects_continue: bool) -> None:
        self._handler = handler
        self._left = length
        self._chunked = chunked
        self._expects_continue = expects_continue
        self.complete = not chunked and not length

    def read(self, budget: BodyBudget) -> bytes:
        """Return the whole body, at most MAX_BODY_BYTES; raises HTTPError (400, 408, 413, 503)."""
        if self._left > MAX_BODY_BYTES:
            raise too_large()
        if self._expects_continue:
            self._handler.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._expects_continue = False
        if not self._chunked:
            body = self._read_exactly(self._left, budget)
        else:
            parts = bytearray()
            for number, size in enumerate(self._chunk_sizes(), 1):
                if len(parts) + size > MAX_BODY_BYTES:
                    raise too_large()
                parts += self._read_exactly(size, budget)
                if self._handler.reader.exactly(2) != b"\r\n":
                    raise self._handler.cut_short("A chunk of the body is not as long as it says; send it again.")
                if number % 64 == 0:
                    gevent.sleep(0)  # a flood of tiny chunks must not keep the hub
            body = bytes(parts)
        self.complete = True
        self._handler.guard.work(self._handler.connection)
        return body

    def _read_exactly(self, size: int, budget: BodyBudget) -> bytes:
        if size <= READ_BYTES:  # in one piece
            return self._read_part(size, budget)
        parts = bytearray()
        while len(parts) < size:
            parts += self._read_part(min(READ_BYTES, size - len(parts)), budget)
            if len(parts) % MIB < READ_BYTES:
                gevent.sleep(0)  # a fast sender must not keep the hub
        return bytes(parts)

    def _read_part(self, size: int, budget: BodyBudget) -> bytes:
        budget.grow(size)
        part = self._handler.reader.exactly(size)
        if len(part) < size:
            raise self._handler.cut_short("The body ends before its Content-Length; send it whole.")
        return part

    def _chunk_sizes(self) -> Iterator[int]:
        reader = self._handler.reader
        while True:
            line = CHUNK_LINE.fullmatch(reader.until(b"\n", check_chunk_line))
            if not line:
                raise self._handler.cut_short("A chunk of the body has no valid size; send it again.")
            size = int(line[1], 16)
            if not size:
                break
            yield size
        reader.unread(b"\r\n")  # so that trailers, which nobody needs, end in a blank line even where there are none
        parse_headers(self._handler.read_head().removeprefix("\r\n"))


def check_head_limits(head: bytes) -> None:
    """Raise HTTPError (400, 414, 431) for a head, or what has come of it, that is too long or no head of HTTP/1."""
    lines = head.rstrip(b"\r\n")  # what is, or may become, the blank line does not count
    breaks = lines.count(b"\r\n")
    first = lines.find(b"\r\n") if breaks else len(lines)
    if first > MAX_REQUEST_LINE_BYTES:
        raise HTTPError(414, f"The request line is longer than {MAX_REQUEST_LINE_BYTES // KIB} KiB; shorten the URL.")
    if len(lines) - first > MAX_HEADERS_BYTES or breaks > MAX_HEADERS:
        raise HTTPError(431, f"The headers exceed {MAX_HEADERS_BYTES // KIB} KiB or {MAX_HEADERS} lines; send fewer.")
    if head.count(b"\n") != head.count(b"\r\n"):
        raise BadRequest("A line of the request's head ends in a bare line feed; end each with CR LF.")
    if first and b"\n" in head and head.find(b" HTTP/1.", 0, first) < 0:  # TLS or a port scan: no end would ever come
        raise BadRequest(BAD_REQUEST_LINE)


def check_chunk_line(line: bytes) -> None:
    """Raise BadRequest for a chunk's first line, or what has come of it, that is too long."""
    if len(line) > MAX_CHUNK_LINE_BYTES:
        raise BadRequest(f"A chunk of the body has a first line over {MAX_CHUNK_LINE_BYTES} bytes; send no extensions.")


def parse_headers(lines: str) -> dict[str, str]:
    """Return values by lower-case name from header lines, repeated ones joined by commas; raises BadRequest."""
    if not HEADER_LINES.fullmatch(lines):
        raise BadRequest("A header is malformed: each is one line 'Name: value', without control characters.")
    headers: dict[str, str] = {}
    for line in lines.split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        name = name.lower()
        value = value.strip(" \t")
        if name not in headers:
            headers[name] = value
        elif name in SINGLE_HEADERS:
            raise BadRequest(f"The header {name} is there twice; send it once.")
        else:
            headers[name] += ", " + value
    return headers


def too_large() -> HTTPError:
    """Return the refusal of a body over MAX_BODY_BYTES."""
    return HTTPError(413, f"The body is larger than {MAX_BODY_BYTES // MIB} MiB; send fewer events at a time.")


class Handler(pywsgi.WSGIHandler):
    """pywsgi's handler with a strict reader of requests and one send for each answer.

    Where pywsgi takes two Content-Lengths, folded headers or a bare line feed, a proxy in front may see other requests
    than we do; here all of that is 400 and the end of the connection.
    """

    connection: Connection
    body: Body | None = None
    command = ""
    keep_alive_header = ""
    close_connection = False
    served = 0

    def __init__(self, sock: Any, address: Any, server: Any) -> None:
        self.reader = Reader(sock)
        super().__init__(sock, address, server, rfile=self.reader)

    def handle(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # Nagle and delayed ACK: 44 ms a request
        self.guard = self.server.guard
        known = self.server.connections.pop(self.socket, None) or self.guard.open(self.socket)
        self.connection = known or Connection(self.socket, time.monotonic())
        if known is None:
            self.close_connection = True
            self.reply(ServiceUnavailable("Too many connections are at work; try again later."))
            with contextlib.suppress(OSError):  # what is unread would reset the connection; there is no time to linger
                self.socket._sock.recv(LINGER_BYTES)
            self.socket.close()
            return
        try:
            super().handle()
        finally:
            self.guard.close(self.connection)

    def handle_one_request(self) -> bool | None:
        """Answer one request and return True where another may follow on the connection."""
        self.close_connection = False
        self.body = None
        try:
            if not self.reader.wait():
                return None
            self.guard.begin(self.connection)
            self.environ = self.read_request_head()
            self.guard.read(self.connection)
            self.answer(self.server.application)
        except HTTPError as refusal:
            self.close_connection = True
            self.reply(refusal)
        except OSError:  # the sender has gone
            return None
        if self.close_connection or (self.body is not None and not self.body.complete):
            self.linger()
            return None
        self.guard.idle(self.connection)
        self.served += 1
        if self.served % REQUESTS_IN_A_ROW == 0:
            gevent.sleep(0)
        return True

    def read_request_head(self) -> dict[str, Any]:
        """Read request line and headers and return the WSGI environment; raises HTTPError (400, 408, 414, 431)."""
        self.command = ""
        line, _, lines = self.read_head().partition("\r\n")
        words = REQUEST_LINE.fullmatch(line)
        if not words:
            raise BadRequest(BAD_REQUEST_LINE)
        self.command, target, minor = words.groups()
        headers = parse_headers(lines)
        self.frame(headers, minor)
        path, _, query = target.partition("?")
        if path.lower().startswith(("http://", "https://")):  # the absolute form, http://host/path
            path = "/" + path.partition("://")[2].partition("/")[2]
        if not path.startswith("/"):
            raise BadRequest("The request's target is no path and no URL.")
        environ = self.server.get_environ()
        environ["REQUEST_METHOD"] = self.command
        environ["PATH_INFO"] = path if "%" not in path else unquote_to_bytes(path).decode("latin-1")
        environ["QUERY_STRING"] = query
        environ["webhook.headers"] = headers
        environ["webhook.body"] = self.body
        environ["webhook.address"] = self.client_address[0]
        return environ

    def read_head(self) -> str:
        """Return the lines up to a blank one, each with its line break; raises HTTPError (400, 408, 414, 431)."""
        head = self.reader.until(BLANK_LINE, check_head_limits)
        if not head:
            raise self.cut_short("The request ends before its headers do; send it whole.")
        return head[:-2].decode("latin-1")

    def frame(self, headers: dict[str, str], minor: str) -> None:
        """Find out where the body ends and whether the connection stays open; raises BadRequest where that is in doubt."""
        length, encoding = headers.get("content-length"), headers.get("transfer-encoding")
        if encoding is not None and (length is not None or encoding.lower() != "chunked" or minor == "0"):
            raise BadRequest("Send either Content-Length or, in HTTP/1.1, Transfer-Encoding: chunked.")
        if length is not None and not (length.isascii() and length.isdigit() and len(length) <= 15):
            raise BadRequest("Content-Length is no number of bytes.")
        expects_continue = minor != "0" and headers.get("expect", "").lower() == "100-continue"
        self.body = Body(self, int(length or 0), encoding is not None, expects_continue)
        connection = headers.get("connection")
        wishes = [wish.strip() for wish in connection.lower().split(",")] if connection else []
        self.close_connection = "close" in wishes or (minor == "0" and "keep-alive" not in wishes)
        self.keep_alive_header = "Connection: keep-alive\r\n" if minor == "0" and not self.close_connection else ""

    def cut_short(self, sentence: str) -> HTTPError:
        """Return the refusal of a request that cannot be read on: 408 where its time is up, else 400."""
        if self.guard.stopping:
            return ServiceUnavailable("The webhook is stopping; send this again in a moment.")
        if self.connection.expired:
            return HTTPError(408, f"The request was not complete within {REQUEST_SECONDS} s; send it again.")
        return BadRequest(sentence)

    def answer(self, application: Callable[..., Any]) -> None:
        """Run the application and send what it returns."""
        try:
            parts = application(self.environ, self.start_response)
            content = b"".join(parts)
        except OSError:  # the sender has gone; nothing else here waits for a device
            raise
        except Exception as error:
            self.server.report_failure(error)
            self.start_response(STATUS_LINES[500], [])
            content = b'{"error":"The webhook failed; its log says why."}'
        self.send(content)

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        self.status = status
        self.response_headers = headers
        self.guard.statuses[status[:3]] += 1
        if not status.startswith("200"):
            self.guard.counts[f"answered {status[:3]}"] += 1
        return self.send

    def reply(self, refusal: HTTPError) -> None:
        """Answer a request that does not reach the application."""
        self.start_response(STATUS_LINES[refusal.status], list(refusal.headers.items()))
        with contextlib.suppress(OSError):
            self.send(refusal.body())

    def send(self, content: bytes) -> None:
        """Send status, headers and content in one piece."""
        body = self.body
        if body is not None and not body.complete:
            self.close_connection = True
        extra = "".join(f"{name}: {value}\r\n" for name, value in self.response_headers)
        content_type = "" if extra.startswith("Content-Type:") else JSON_TYPE
        connection = "Connection: close\r\n" if self.close_connection else self.keep_alive_header
        head = (
            f"HTTP/1.1 {self.status}\r\n{self.server.date_header()}{COMMON_HEADERS}{content_type}{extra}{connection}"
            f"Content-Length: {len(content)}\r\n\r\n"
        ).encode("latin-1")
        data = head + content if self.command.upper() != "HEAD" else head
        self.connection.deadline = time.monotonic() + REQUEST_SECONDS
        sent = self.socket.send(data)  # sendall asks the socket for its buffer's size first
        if sent < len(data):
            self.socket.sendall(memoryview(data)[sent:])

    def linger(self) -> None:
        """After a refusal, say that no more is answered, and throw away what the sender has under way.

        A connection closed over unread bytes resets and the answer is lost: a sender that reads only once it has sent
        everything sees a broken pipe, and a proxy answers 502 in its place (RFC 9112, 9.6).
        """
        secure = isinstance(self.socket, gevent_ssl.SSLSocket)
        if secure and self.body is not None and self.body.complete:
            return
        left, seconds = self.guard.discard(self.connection)
        with contextlib.suppress(OSError, ValueError), gevent.Timeout(seconds, False):
            if secure:
                with contextlib.suppress(OSError):  # of what follows close_notify; the sender's own is not waited for
                    self.socket._sslobj.shutdown()
            self.socket._sock.shutdown(socket.SHUT_WR)
            waste = self.server.waste
            while left > 0 and (count := gevent.socket.socket.recv_into(self.socket, waste)):  # under TLS not decrypted either
                left -= count
                if left % MIB < count:
                    gevent.sleep(0)  # a fast sender must not keep the hub


class Server(pywsgi.WSGIServer):
    """pywsgi's server, which knows the guard and times out TLS handshakes."""

    handler_class = Handler

    def __init__(
        self, listener: Any, application: Any, guard: Guard, client: XsoarClient, tls: "gevent_ssl.SSLContext | None"
    ) -> None:
        options = {"ssl_context": tls} if tls else {}
        super().__init__(
            listener,
            application,
            log=None,
            error_log=None,
            environ={"SERVER_NAME": "webhook", "SERVER_PORT": "", "wsgi.input": io.BytesIO()},
            **options,
        )
        self.guard = guard
        self.connections: dict[Any, Connection] = {}  # those whose handshake is done and whose handler is to begin
        self._client = client
        self.tls: Any = tls
        self.waste = bytearray(READ_BYTES)  # what is thrown away goes here, of all connections
        self._date = ""
        self._date_second = 0.0

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> None:
        connection = self.guard.open(client_socket)
        if connection is None:
            return
        tls_socket = client_socket
        try:  # a connection that is reset by now cannot even be wrapped
            tls_socket = self.tls.wrap_socket(client_socket, server_side=True, do_handshake_on_connect=False)
            connection.sock = tls_socket  # wrapping took the plain socket's descriptor over
            tls_socket.do_handshake()
            self.connections[tls_socket] = connection
            self.handle(tls_socket, address)
        except (OSError, EOFError, ValueError):  # a port scan or an impatient client; pywsgi would print 20 lines
            self.guard.counts["failed TLS handshakes"] += 1
        finally:
            self.guard.close(connection)
            tls_socket.close()

    def date_header(self) -> str:
        """Return the Date header's line, made once a second."""
        now = time.time()
        if now - self._date_second >= 1:
            self._date_second = math.floor(now)
            self._date = f"Date: {email.utils.formatdate(now, usegmt=True)}\r\n"
        return self._date

    def report_failure(self, error: BaseException) -> None:
        """Log a failure of ours, with its place but nothing of what was posted."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace else "unknown place"
        self._client.error(f"A request failed in {place}: {type(error).__name__}")


# ---------------------------------------------------------------------------------------------------------------------
# Metrics: what Prometheus is told
# ---------------------------------------------------------------------------------------------------------------------

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus' text format
CALL_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
CALL_INCIDENTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
Samples = Iterable[tuple[str, float]]  # what is behind the metric's name, labels among it, and the value


class Histogram:
    """How often a value was within each of some upper bounds, and the values' sum."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sum += value

    def samples(self) -> Samples:
        """Yield what Prometheus reads: each bucket holds the ones below it, too."""
        counts = list(itertools.accumulate(self._counts))
        for bound, count in zip((*self._bounds, "+Inf"), counts):
            yield f'_bucket{{le="{bound}"}}', count
        yield "_sum", self._sum
        yield "_count", counts[-1]


def labelled(label: str, values: dict[str, int]) -> Samples:
    """Yield a sample for each of a label's values, all of which are words of ours."""
    return ((f'{{{label}="{value}"}}', count) for value, count in sorted(values.items()))


def metrics_text(guard: Guard, writer: Writer) -> str:
    """Return all metrics in Prometheus' text format 0.0.4; no label holds anything a sender posted."""
    incidents, size = writer.waiting
    families: tuple[tuple[str, str, str, Samples], ...] = (
        ("requests_total", "counter", "Requests answered, by HTTP status.", labelled("status", guard.statuses)),
        ("incidents_created_total", "counter", "Incidents that XSOAR created.", [("", guard.total("incidents created"))]),
        ("duplicates_total", "counter", "Events that had been seen before.", [("", guard.total("duplicates"))]),
        ("failed_logins_total", "counter", "Requests with wrong credentials.", [("", guard.total("failed authentications"))]),
        ("connections", "gauge", "Open connections, by what they do.", labelled("state", guard.connections())),
        ("queue_incidents", "gauge", "Incidents that wait for XSOAR.", [("", incidents)]),
        ("queue_bytes", "gauge", "Bytes of the incidents that wait for XSOAR.", [("", size)]),
        ("create_incidents_calls_total", "counter", "Calls of createIncidents, by result.", labelled("result", writer.calls)),
        ("create_incidents_seconds", "histogram", "How long XSOAR took for a call.", writer.call_seconds.samples()),
        ("create_incidents_batch", "histogram", "How many incidents a call carried.", writer.call_incidents.samples()),
    )
    lines: list[str] = []
    for name, kind, text, samples in families:
        name = f"generic_webhook_{name}"
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{labels} {value}" for labels, value in samples]
    return "\n".join([*lines, ""])


# ---------------------------------------------------------------------------------------------------------------------
# The application: the corridor itself
# ---------------------------------------------------------------------------------------------------------------------


class Webhook:
    """What happens to a request, from its headers to its answer; it calls XSOAR zero times by itself."""

    def __init__(
        self, settings: Settings, client: XsoarClient, writer: Writer, memory: Memory, guard: Guard, parser: NativeThread
    ) -> None:
        self._settings = settings
        self._client = client
        self._writer = writer
        self._memory = memory
        self._guard = guard
        self._parser = parser
        self.serves_metrics = settings.metrics

    def receive(self, environ: dict[str, Any]) -> bytes:
        """POST /: make incidents of the body and answer with their metadata once XSOAR has created them."""
        headers: dict[str, str] = environ["webhook.headers"]
        guard = self._guard
        self._authenticate(headers, environ["webhook.address"])
        if "content-encoding" in headers:
            supported_encoding(headers["content-encoding"])
        if guard.stopping:
            raise ServiceUnavailable("The webhook is stopping; send this again in a moment.")
        with BodyBudget(guard) as budget:
            body = environ["webhook.body"].read(budget)
            guard.accepted += 1
            try:
                large = len(body) > SMALL_BODY_BYTES or "content-encoding" in headers
                incidents = self._understand(body, headers, environ["QUERY_STRING"], large)
                many = large or len(incidents) > MANY_ITEMS
                if many:
                    budget.grow(max(0, sum(incident.size for incident in incidents) - len(body)))
                del body  # its incidents are all that is needed while XSOAR takes them
                created = self._create(incidents)
                return self._parser.run(encode_answer, created, True) if many else encode_answer(created)
            finally:
                guard.accepted -= 1

    def report_metrics(self, environ: dict[str, Any]) -> bytes:
        """GET /metrics: the counters in Prometheus' text format, for those who know the instance's credentials."""
        self._authenticate(environ["webhook.headers"], environ["webhook.address"])
        environ["webhook.answer_headers"] = [("Content-Type", METRICS_TYPE)]
        return metrics_text(self._guard, self._writer).encode()

    def report_health(self, environ: dict[str, Any]) -> bytes:
        """GET /health: that the server answers and goes on, and nothing about the instance; 503 once it is stopping."""
        if self._guard.stopping:
            raise ServiceUnavailable("The webhook is stopping.")
        return b'{"status":"ok"}'

    def _authenticate(self, headers: dict[str, str], address: str) -> None:
        try:
            self._settings.authenticator.check(headers)
        except HTTPError:
            delay = self._guard.fail(address)
            if delay:
                gevent.sleep(delay)
            raise

    def _understand(self, body: bytes, headers: dict[str, str], query_string: str, large: bool) -> list[Incident]:
        """Return the incidents a request asks for; a large body, and many incidents, are made on the second thread."""
        settings, now = self._settings, datetime.now(UTC)
        request = describe_request(headers, query_string, settings.authenticator.hidden_header, large)
        content = headers.get("content-type", ""), headers.get("content-encoding", "")
        incidents: list[Incident]
        if large:  # in one turn: between two of them, the parsed payloads of all others would be in memory as well
            incidents = self._parser.run(lambda: make_incidents(read_payload(body, *content), request, settings, now))
            return incidents
        items = read_payload(body, *content)
        if len(items) > MANY_ITEMS:
            incidents = self._parser.run(make_incidents, items, request, settings, now)
            return incidents
        return make_incidents(items, request, settings, now)

    def _create(self, incidents: list[Incident]) -> list[dict[str, Any]]:
        """Return what XSOAR created of the incidents, and has created of duplicates; raises HTTPError (502, 503)."""
        if self._settings.duplication_paths:
            outcomes, duplicates = self._submit_new(incidents)
        else:
            outcomes, duplicates = self._writer.submit(incidents), set()
        new = [place for place, outcome in enumerate(outcomes) if outcome.created is not None and place not in duplicates]
        if new:
            self._guard.counts["incidents created"] += len(new)
        if self._settings.store_samples:
            for place in new:
                self._memory.add_sample(incidents[place])
        failed = [(place, outcome) for place, outcome in enumerate(outcomes) if outcome.status != 200]
        if failed:
            raise self._failure_answer(outcomes, failed, partly=bool(new))
        return [outcome.created for outcome in outcomes if outcome.created is not None]

    def _submit_new(self, incidents: list[Incident]) -> tuple[list[Outcome], set[int]]:
        """Submit the incidents whose event is new and return all outcomes, and the places of those that are duplicates."""
        if not self._memory.loaded.wait(WITHDRAW_SECONDS):
            raise ServiceUnavailable("XSOAR did not tell which events came before; send this one again later.")
        outcomes: dict[int, Outcome] = {}
        duplicates: set[int] = set()
        open_places = list(range(len(incidents)))
        until = time.monotonic() + WITHDRAW_SECONDS
        while open_places:
            claims = {place: self._memory.claim(key) if (key := incidents[place].key) else None for place in open_places}
            first = [place for place, claim in claims.items() if claim is None]
            outcomes.update(zip(first, self._submit_claimed([incidents[place] for place in first])))
            open_places = []
            for place, claim in claims.items():
                if claim is None:
                    continue
                outcome = claim.get()
                if outcome.created is not None:
                    outcomes[place] = Outcome(200, {**outcome.created, "duplicate": True})
                    duplicates.add(place)
                    self._guard.counts["duplicates"] += 1
                elif (outcome == REJECTED or outcome.status == 200) and time.monotonic() < until:  # now this one is the first
                    open_places.append(place)
                else:  # what is true of the first one is true of all that wait for it, and not one after the other
                    outcomes[place] = outcome if outcome.status != 200 else WITHDRAWN
        return [outcomes[place] for place in range(len(incidents))], duplicates

    def _submit_claimed(self, incidents: list[Incident]) -> list[Outcome]:
        outcomes = [MAYBE_CREATED] * len(incidents)
        try:
            outcomes = self._writer.submit(incidents) if incidents else []
            return outcomes
        finally:
            for incident, outcome in zip(incidents, outcomes):
                if incident.key:
                    self._memory.settle(incident.key, outcome)

    def _failure_answer(self, outcomes: list[Outcome], failed: list[tuple[int, Outcome]], partly: bool) -> HTTPError:
        """Return the refusal (502, 503) that names the places XSOAR did not create, and the ids it did."""
        places = ", ".join(f"[{place}]" for place, _ in failed) + ": " if len(outcomes) > 1 else ""
        reasons = "; ".join(dict.fromkeys(outcome.reason for _, outcome in failed))
        if not partly and all(outcome.status == 503 for _, outcome in failed):
            return ServiceUnavailable(f"{places}{reasons}. Send this again later.")
        ids = [str(outcome.created.get("id")) for outcome in outcomes if outcome.created is not None]
        sentence = f"{places}{reasons}." + (f" Created: {', '.join(ids)}." if ids else "")
        request_id = uuid.uuid4().hex[:12]
        self._client.info(f"Request {request_id} was answered 502. {sentence}")
        return HTTPError(502, f"{sentence} Request {request_id}.")


def encode_answer(created: list[dict[str, Any]], large: bool = False) -> bytes:
    """Return the JSON array a sender gets, as bytes."""
    return (_encode_in_pieces(created) if large else _encode_json(created)).encode("utf-8", "replace")


class Routes(bottle.Bottle):
    """Bottle's route table on bare WSGI, with JSON for everything.

    Bottle's request and response objects are thread-locals: they cost a tenth of a request, and would have to be
    patched before two greenlets could each have their own.
    """

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        try:
            route, _ = self.router.match(environ)
            content = route.callback(environ)
            start_response(STATUS_LINES[200], environ.get("webhook.answer_headers", []))
        except bottle.HTTPError as error:
            content = to_json({"error": ROUTE_ERRORS[error.status_code]}).encode()
            start_response(error.status_line, [("Allow", error.get_header("Allow"))] if error.status_code == 405 else [])
        except HTTPError as refusal:
            content = refusal.body()
            start_response(STATUS_LINES[refusal.status], list(refusal.headers.items()))
        return [content]


ROUTE_ERRORS = {
    404: "Incidents are created by POST to the webhook's own URL, without a path behind it.",
    405: "Incidents are created by POST; this method is not for this URL.",
}


def build_app(application: Webhook) -> Routes:
    """Return the Bottle app with its route table. What it needs to know is in the application."""
    app = Routes()
    app.route("/", "POST", application.receive)
    app.route("/health", "GET", application.report_health)
    if application.serves_metrics:
        app.route("/metrics", "GET", application.report_metrics)
    return app


# ---------------------------------------------------------------------------------------------------------------------
# Commands
# ---------------------------------------------------------------------------------------------------------------------


def test_module(settings: Settings) -> str:
    """The Test button: check every parameter and return ``ok``, or raise SettingError with all that is wrong."""
    mistakes = [str(mistake) for mistake in settings.mistakes]
    try:
        context = load_tls(settings.certificate, settings.key)
        if context is not None:
            mistakes += filter(None, [certificate_trouble(context, settings.certificate)])
    except SettingError as mistake:
        mistakes.append(str(mistake))
    if mistakes:
        raise ValueError("\n".join(mistakes))
    return "ok"


def fetch_samples() -> list[dict[str, Any]]:
    """The mapping wizard: return the stored sample events, oldest first."""
    return read_samples((demisto.getIntegrationContext() or {}).get(SAMPLES_KEY), [])


class Service:
    """The long-running command: the parts put together, kept going, and brought to an orderly end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = XsoarClient(settings.authenticator.secret)
        self._guard = Guard(self._client)
        self._writer = Writer(self._client)
        parser = NativeThread()  # large bodies, so that parsing them does not stall the small ones
        self._memory = Memory(self._client, parser, settings.store_samples, bool(settings.duplication_paths))
        self._app = build_app(Webhook(settings, self._client, self._writer, self._memory, self._guard, parser))
        self._stop = Event()

    def run(self) -> None:
        """Serve until SIGTERM or until XSOAR's end of the wire closes, then end the process, whatever else fails."""
        gevent.signal_handler(signal.SIGTERM, self._stop.set)
        for task in (
            self._writer.run,
            self._memory.run,
            self._tick,
            self._flush_line,
            self._serve,
        ):
            gevent.spawn(self._keep_running, task)
        for mistake in self._settings.mistakes:
            self._client.report(str(mistake).partition(":")[0], str(mistake))
        try:
            self._stop.wait()
            self._shut_down()
        finally:
            os._exit(0)  # the script's end would only send the container's loop back to waiting

    def _keep_running(self, task: Callable[[], None]) -> None:
        while True:
            try:
                return task()
            except Exception as error:
                self._client.error(f"{task.__qualname__} failed and is started again: {type(error).__name__}")
                gevent.sleep(1)

    def _serve(self) -> None:
        """Listen, and again after every trouble, with pauses that grow up to MAX_RESTART_PAUSE_SECONDS."""
        pause = 1.0
        while True:
            try:
                server = self._start_server()
            except (SettingError, OSError) as error:
                self._client.report("Server", self._explain(error))
                gevent.sleep(pause)
                pause = min(pause * 2, MAX_RESTART_PAUSE_SECONDS)
                continue
            self._client.report("Server", "")
            pause = 1.0
            checked = time.monotonic()
            while not server.closed:
                gevent.sleep(0.5)
                if time.monotonic() - checked >= CERTIFICATE_CHECK_SECONDS:
                    checked = time.monotonic()
                    self._check_certificate(server.tls)
            self._client.report("Server", "The server ended unexpectedly and is started again.")
            gevent.sleep(pause)

    def _start_server(self) -> Server:
        if self._settings.port is None:
            raise SettingError("Listen Port", "it is empty; enter a free port such as 8000 and save the instance.")
        tls = load_tls(self._settings.certificate, self._settings.key)
        self._check_certificate(tls)
        server = Server(("0.0.0.0", self._settings.port), self._app, self._guard, self._client, tls)  # noqa: S104  # nosec B104
        server.start()
        self._client.info(f"Generic Webhook listens on port {self._settings.port} ({'HTTPS' if tls else 'HTTP'}).")
        return server

    def _check_certificate(self, tls: Any) -> None:
        self._client.report("Certificate's dates", certificate_trouble(tls, self._settings.certificate) if tls else "")

    def _explain(self, error: Exception) -> str:
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            return f"Listen Port: {self._settings.port} cannot be listened on ({reason}); enter one that no other instance uses."
        return str(error)

    def _tick(self) -> None:
        """Once a second: time limits, heartbeat, the wire's state; once a minute: the counters."""
        reported = time.monotonic()
        while True:
            gevent.sleep(1)
            now = time.monotonic()
            self._guard.sweep(now)
            self._writer.withdraw(now)
            if self._client.is_broken():
                self._end_broken()
            if now - reported >= REPORT_SECONDS:
                reported = now
                self._guard.report()

    def _flush_line(self) -> None:
        while True:
            self._client.flush()
            self._client.beat(time.monotonic())
            gevent.sleep(1)

    def _end_broken(self) -> None:
        """XSOAR closed the wire: answer who waits and end the process, which the platform starts again."""
        try:
            with contextlib.suppress(OSError):  # not print: the platform rebinds it to a call over the wire that is gone
                sys.stderr.write("Generic Webhook: XSOAR closed the connection to this container; ending.\n")
                sys.stderr.flush()
            self._guard.stopping = True
            self._writer.close(MAYBE_CREATED)
            gevent.sleep(0.5)
        finally:
            os._exit(1)

    def _shut_down(self) -> None:
        """After SIGTERM: finish what was accepted, refuse what comes later, flush."""
        self._guard.stopping = True
        stopped = time.monotonic()
        while (passed := time.monotonic() - stopped) < DRAIN_SECONDS:
            if not self._guard.accepted and not (self._guard.reading() and passed < READING_SECONDS):
                break
            gevent.sleep(0.02)
        self._writer.close()
        self._guard.end_reading()
        gevent.sleep(0.2)  # the answers leave
        with gevent.Timeout(1, False):
            self._guard.report()
            self._memory.flush()
            self._client.info("Generic Webhook stops.")  # goes behind a flush of the memory that is under way
            self._client.flush()


def long_running_execution(settings: Settings) -> None:
    """Run the server for ever."""
    demisto.enable_multithreading()  # the platform's heartbeat thread writes to the same wire
    threading.stack_size(THREAD_STACK_BYTES)
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(COLLECT_OBJECTS)
    # With PYTHONUNBUFFERED every fragment of the wire's JSON would be a write of its own; the wire flushes each line.
    with contextlib.suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(write_through=False)  # type: ignore[union-attr]
    while True:
        try:
            service = Service(settings)
            break
        except Exception as error:  # the command must not end
            demisto.updateModuleHealth(f"Generic Webhook failed and is started again: {type(error).__name__}")
            time.sleep(5)
    service.run()


def main() -> None:
    """Run the command that XSOAR asks for."""
    command = demisto.command()
    settings = Settings.from_params(demisto.params())
    try:
        if command == "test-module":
            return_results(test_module(settings))
        elif command == "fetch-incidents":
            demisto.incidents(fetch_samples())
        elif command == "long-running-execution":
            long_running_execution(settings)
        else:
            raise NotImplementedError(f"Generic Webhook has no command {command}.")
    except Exception as error:
        return_error(str(error))


if __name__ in ("__main__", "__builtin__", "builtins"):
    main()
