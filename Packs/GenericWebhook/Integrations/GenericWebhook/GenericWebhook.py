"""Generic Webhook for Cortex XSOAR: whatever is posted to it becomes an incident.

Start with the section Application: Webhook.receive is the way of a request, and each of its lines leads to a section.

| section | what it does |
| --- | --- |
| Constants, Refusals | limits that sections share or users are told; answers other than 200; JSON |
| Settings | the instance's parameters, TLS |
| Connections | who is connected and how long; memory for large bodies; failed logins; counters |
| HTTP | bytes become requests, answers become bytes |
| Authentication, Handshakes | who sent it; what vendors ask before they send |
| Payload | bytes become items: JSON, forms, files, text |
| Incident | items become incidents; what may become of those |
| Seen events | each event once; samples; the integration context and what commands leave there |
| Writer | many requests' incidents in one call |
| Matching | whose is each object that XSOAR returns |
| XSOAR client, Native threads | through which demisto.* is called, in turn; what must not keep the others waiting |
| Application | the way of a request, the routes |
| Metrics, Commands | Prometheus; Test, samples, status, reset, and the service that runs for ever |
"""

import demistomock as demisto
from CommonServerPython import *

import base64
import binascii
import bisect
import codecs
import contextlib
import difflib
import email.errors
import email.header
import email.message
import email.utils
import encodings
import encodings.aliases
import fcntl
import functools
import gc
import hashlib
import hmac
import http
import io
import ipaddress
import itertools
import json
import math
import os
import quopri
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
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, unquote_plus, unquote_to_bytes

try:
    from datetime import datetime, timedelta, UTC
    from typing import Any, NamedTuple
    import bottle
    import gevent
    import gevent.socket
    from gevent import ssl as gevent_ssl
    from gevent.event import Event
    from gevent.lock import Semaphore
    from gevent.server import StreamServer
    from gevent.threadpool import ThreadPool
except ImportError as missing:
    sentence = (
        f"Generic Webhook cannot run in this instance's Docker image: {missing}. Choose demisto/syslog:1.0.0.12689358, or "
        "another image with Python 3.11 or newer and gevent, and enable the instance again. Bottle comes with the pack's zip: "
        "where it is what is missing, upload the zip that tox run -e pack makes."
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
SMALL_BODY_BYTES = 32 * KIB  # up to here a body does not count against MAX_BODIES_BYTES, and the hub parses it
MANY_ITEMS = 20  # of a small body, each of which takes all headers along: more are made on the second thread
PIECE_ELEMENTS = 500  # of a large payload encoded at a time
MAX_ITEMS = 10_000  # incidents from one request
READ_BYTES = 64 * KIB  # of a body, read or unpacked at a time


RETRY_AFTER_SECONDS = 5


DRAIN_SECONDS = 8.0  # after SIGTERM; SIGKILL follows 10 s after it
READING_SECONDS = 1.0  # after SIGTERM, for bodies on their way
MAX_RESTART_PAUSE_SECONDS = 30
REPORT_SECONDS = 60  # counters and refused senders: one log line a minute
CERTIFICATE_WARNING_DAYS = 14
CERTIFICATE_CHECK_SECONDS = 3600

THREAD_STACK_BYTES = 16 * MIB  # Alpine's default overflows where the JSON parser goes as deep as Python lets it
COLLECT_OBJECTS = (
    20_000  # young ones: Python's 700 are what 64 requests hold; json leaves a cycle of some KB behind each call of XSOAR
)
# Until a busy thread gives way. Each time the hub sends or receives, it gives the interpreter away, and where a large body is
# being read meanwhile it waits for this long to have it back: with Python's 5 ms, sixteen answers would take 80 ms.
SWITCH_SECONDS = 0.0001

ERROR_MARKER = "[ERROR-fd5a7750-7182-4b38-90ba-091824478903]"  # anywhere in an answer, it makes the platform raise
MARKER_START = ERROR_MARKER[:7]  # looked for first: a short text is found missing four times as fast


# ---------------------------------------------------------------------------------------------------------------------
# Refusals: what a sender is told when it is not 200
# ---------------------------------------------------------------------------------------------------------------------


JSON_TYPE = "application/json"


class Answer(NamedTuple):
    """What a sender gets: status, content, its type, and further headers."""

    status: int = 200
    content: bytes = b""
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()


class HTTPError(Exception):
    """An answer other than 200: an HTTP status, a sentence that says how to mend it, and headers."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(self) -> Answer:
        """Return what the sender gets: a JSON object whose ``error`` is the sentence."""
        return Answer(
            self.status, to_json({"error": self.sentence}).encode("utf-8", "replace"), headers=tuple(self.headers.items())
        )


class ServiceUnavailable(HTTPError):
    """503 with Retry-After: nothing was created, and the same request may succeed later."""

    def __init__(self, sentence: str) -> None:
        super().__init__(503, sentence, Retry_After=str(RETRY_AFTER_SECONDS))


class BadRequest(HTTPError):
    """400: the request has to be changed before it can succeed."""

    def __init__(self, sentence: str) -> None:
        super().__init__(400, sentence)


PLAIN_ANSWER = (JSON_TYPE, ())  # the type and the further headers of most answers
FAILED = Answer(500, b'{"error":"The webhook failed; its log says why."}')


_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
HUB_THREAD = threading.get_ident()  # that imports this file and serves the connections


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


def to_json(value: Any) -> str:
    """Return a value as compact JSON for the platform, without_marker.

    On a native thread, where large values are handled, it is encoded in pieces, so that the hub gets its turn.
    """
    return without_marker(_encode_json(value) if threading.get_ident() == HUB_THREAD else _encode_in_pieces(value))


def without_marker(text: str) -> str:
    """Return a JSON text in which the platform's error marker cannot be found, yet is whole once parsed."""
    return text.replace(ERROR_MARKER, "\\u005b" + ERROR_MARKER[1:]) if MARKER_START in text else text


# ---------------------------------------------------------------------------------------------------------------------
# Settings: the instance's parameters
# ---------------------------------------------------------------------------------------------------------------------

MIRROR_DIRECTIONS = {"Incoming": "In", "Outgoing": "Out", "Incoming And Outgoing": "Both"}


class HiddenNames(NamedTuple):
    """The exceptions from what headers and query fields are hidden: the one of each that proves the sender is never kept.

    Those that a parameter's path reads are kept, unless they are in NEVER_KEPT.
    """

    header: str = ""
    query: str = ""
    named_headers: frozenset[str] = frozenset()
    named_fields: frozenset[str] = frozenset()

    @classmethod
    def of(cls, authenticator: "Authenticator", paths: "Iterable[DotPath]") -> "HiddenNames":
        """Return the names for an instance; a path such as ``headers.x-event-key`` names a header."""
        parts = [path.text.removeprefix("request_") for path in paths]
        headers, fields = (
            frozenset(part.removeprefix(place) for part in parts if part.startswith(place)) for place in ("headers.", "query.")
        )
        named_headers = frozenset(name.lower() for name in headers) - NEVER_KEPT
        return cls(authenticator.hidden_header, authenticator.hidden_query, named_headers, fields)


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
    duplication_paths: "tuple[DuplicationKey, ...]" = ()
    duplicate_seconds: float | None = None  # None: for ever
    name_from: "NameSource" = field(default_factory=lambda: NAME_FROM)
    type_from: "tuple[DotPath, ...] | None" = ()  # None: never from the payload
    occurred_from: "tuple[DotPath, ...]" = field(default_factory=lambda: OCCURRED_FROM)
    severity_from: "tuple[DotPath, ...]" = ()
    severity_map: "SeverityMap" = field(default_factory=lambda: NO_SEVERITY_MAP)
    events_paths: "tuple[DotPath, ...]" = ()
    other_methods: frozenset[str] = frozenset()
    keep_unreadable: bool = False
    answer_seconds: float | None = None  # None: not before XSOAR has answered
    mirroring: tuple[tuple[str, Any], ...] = ()
    allowed_sources: "Networks" = frozenset()  # empty: everybody may connect
    trusted_proxies: "Networks" = frozenset()
    client_ca: str = ""
    handshakes: bool = True
    proxy: bool = False
    hidden: "HiddenNames" = field(default_factory=lambda: HiddenNames())
    metrics: bool = False
    mistakes: tuple[SettingError, ...] = ()

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> "Settings":
        """Read ``demisto.params()``; never raises, each mistake is kept with the parameter's name and the mend."""
        mistakes: list[SettingError] = []
        port: int | None = None
        try:
            port = parse_port(str(params.get("longRunningPort") or ""))
        except SettingError as mistake:
            mistakes.append(mistake)
        access = read_access(params, mistakes)
        events = read_event_parameters(params, mistakes)
        try:
            store_samples = argToBoolean(params.get("store_samples") or False)
        except ValueError:
            store_samples = False
            mistakes.append(SettingError("Store sample events for mapping", "tick it or leave it empty."))
        metrics = False
        try:
            metrics = read_metrics(params, access)
        except SettingError as mistake:
            mistakes.append(mistake)
        return cls(
            port=port,
            **access,
            certificate=(params.get("certificate") or "").strip(),
            key=(params.get("key") or "").strip(),
            incident_type=(params.get("incidentType") or "").strip(),
            store_samples=store_samples,
            mirroring=read_mirroring(params),
            hidden=HiddenNames.of(access["authenticator"], named_paths(events)),
            **events,
            metrics=metrics,
            mistakes=tuple(mistakes),
        )


def split_list(value: Any) -> tuple[str, ...]:
    """Return the parts of a comma-separated parameter, which XSOAR may hand over as a list, without blanks."""
    parts = value if isinstance(value, list) else str(value or "").split(",")
    return tuple(text for part in parts if (text := str(part).strip()))


def read_access(params: dict[str, Any], mistakes: list[SettingError]) -> dict[str, Any]:
    """Return the settings that decide who gets in; a mistake in one of them lets nobody in until it is corrected."""
    credentials = params.get("credentials") or {}
    access: dict[str, Any] = {}
    known = len(mistakes)
    readers: dict[str, Callable[[], Any]] = {
        "authenticator": lambda: choose_authenticator(credentials.get("identifier") or "", credentials.get("password") or ""),
        "allowed_sources": lambda: parse_networks("Allowed sources", params.get("allowed_sources")),
        "trusted_proxies": lambda: parse_networks("Trusted proxies", params.get("trusted_proxies")),
    }
    for name, read in readers.items():
        try:
            access[name] = read()
        except SettingError as mistake:
            mistakes.append(mistake)
    if len(mistakes) > known:
        access["authenticator"] = DenyAll()
    for name, display, default in (
        ("handshakes", "Answer handshakes", True),
        ("proxy", "Use system proxy settings", False),
    ):
        try:
            access[name] = argToBoolean(default if params.get(name) in (None, "") else params[name])
        except ValueError:
            mistakes.append(SettingError(display, "tick it or leave it empty."))
    return {**access, "client_ca": (params.get("client_ca") or "").strip()}


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


def read_metrics(params: dict[str, Any], access: dict[str, Any]) -> bool:
    """Return whether GET /metrics is served; raises SettingError where anyone could read them."""
    try:
        wanted = argToBoolean(params.get("metrics") or False)
    except ValueError:
        raise SettingError("Serve metrics for Prometheus", "tick it or leave it empty.") from None
    authenticator = access["authenticator"]  # a GET has no body to sign
    if wanted and not access.get("allowed_sources") and (not authenticator.secrets or authenticator.signs_body):
        raise SettingError(
            "Serve metrics for Prometheus",
            "set Allowed sources, or a Username and Password that no signature needs; else anyone could read them.",
        )
    return wanted


def read_event_parameters(params: dict[str, Any], mistakes: list[SettingError]) -> dict[str, Any]:
    """Return the settings that say what an event becomes; each part that cannot be used is left out, and told in ``mistakes``."""
    return {
        setting: read(params.get(name), lambda mend, display=display: mistakes.append(SettingError(display, mend)))  # type: ignore[misc]
        for name, display, setting, read in EVENT_PARAMETERS
    }


def named_paths(events: dict[str, Any]) -> "list[DotPath]":
    """Return all paths that the settings of read_event_parameters hold."""
    keys = [path for key in events["duplication_paths"] for path in key.paths]
    names = [path for part in events["name_from"].parts if not isinstance(part, str) for path in part]
    others = [path for setting in ("type_from", "occurred_from", "severity_from") for path in events[setting] or ()]
    return [*keys, *names, *others]


Complain = Callable[[str], None]  # takes how to mend a parameter that cannot be used


def read_paths(value: Any, complain: Complain) -> "tuple[DotPath, ...]":
    """Return the paths of a comma-separated parameter."""
    paths = []
    for text in split_list(value):
        try:
            paths.append(DotPath(text))
        except ValueError as error:
            complain(str(error))
    return tuple(paths)


def read_duplication_key(value: Any, complain: Complain) -> "tuple[DuplicationKey, ...]":
    """Return the keys of a comma-separated parameter, each of one path or of several joined by ``+``."""
    keys = []
    for text in split_list(value):
        try:
            keys.append(DuplicationKey(text, tuple(DotPath(path.strip()) for path in text.split("+"))))
        except ValueError as error:
            complain(str(error))
    return tuple(keys)


def read_name_source(value: Any, complain: Complain) -> "NameSource":
    """Return where the name comes from: comma-separated paths, or a text with paths in braces; empty is the default."""
    text = ", ".join(split_list(value))
    if text in ("", NAME_FROM.text):
        return NAME_FROM
    if "{" not in text and "}" not in text:
        paths = read_paths(text, complain)
        return NameSource(text, (paths,)) if paths else NAME_FROM
    try:
        return NameSource.parse(text)
    except ValueError as error:
        complain(str(error))
        return NAME_FROM


def read_type_paths(value: Any, complain: Complain) -> "tuple[DotPath, ...] | None":
    """Return the paths to the type, None for the word ``none``."""
    return None if str(value).strip().lower() == "none" and value is not None else read_paths(value, complain)


def read_occurred_paths(value: Any, complain: Complain) -> "tuple[DotPath, ...]":
    """Return the paths to the time; empty is the default."""
    paths = read_paths(value, complain)
    return paths if paths and [path.text for path in paths] != [OCCURRED_FROM[0].text] else OCCURRED_FROM


def read_severity_map(value: Any, complain: Complain) -> "SeverityMap":
    """Return the instance's own severities from ``90-100=critical, 70-89=high, sev3=medium``."""
    words: dict[str, int | float] = {}
    ranges = []
    for text in split_list(value):
        given, equals, meaning = (part.strip().lower() for part in text.rpartition("="))
        severity = builtin_severity(meaning)
        bounds = SEVERITY_RANGE.fullmatch(given)
        if not equals or not given or severity is None:
            complain(f"{text[:100]!r} is no entry; {SEVERITY_MAP_HELP}")
        elif bounds is None and SEVERITY_NO_WORD.fullmatch(given):
            complain(f"{given[:100]!r} is no number and no range; {SEVERITY_MAP_HELP}")
        elif bounds is None:
            words.setdefault(given, severity)
        elif bounds["high"] and float(bounds["low"]) > float(bounds["high"]):
            complain(f"{given[:100]!r} begins above its end; {SEVERITY_MAP_HELP}")
        else:
            ranges.append(SeverityRange.parse(bounds["low"], bounds["high"] or "", severity))
    return SeverityMap(words, tuple(ranges))


def read_methods(value: Any, complain: Complain) -> frozenset[str]:
    """Return the HTTP methods that are handled as POST."""
    methods = {method.upper() for method in split_list(value)} - {"NONE"}
    if methods - OTHER_METHODS:
        complain(f"choose of {', '.join(sorted(OTHER_METHODS))}, or leave it empty.")
    return frozenset(methods & OTHER_METHODS)


def read_flag(value: Any, complain: Complain) -> bool:
    """Return whether a checkbox is ticked."""
    try:
        return bool(argToBoolean(value or False))
    except ValueError:
        complain("tick it or leave it empty.")
        return False


def read_amount(value: Any, complain: Complain, unit: str, seconds: float) -> float | None:
    """Return so many seconds from a positive number of units, None where there is none."""
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not float(text):
        complain(f"enter a number of {unit} above 0, such as 3 or 0.5, or leave it empty.")
        return None
    return float(text) * seconds


def path_steps(text: str) -> list[tuple[str, int, int]]:
    """Return the steps of a path, each with the places where it begins and ends; ValueError says what to write instead."""
    if not PATH_SHAPE.fullmatch(text):
        raise ValueError(f"{text[:100]!r} is no path; {PATH_HELP}")
    steps = []
    for match in PATH_STEP.finditer(text):
        name = (match[1] or match[2]).strip().strip("'\"")
        if name in ("", "*"):
            raise ValueError(f"{text[:100]!r} is no path; {PATH_HELP}")
        steps.append((name, match.start(1) if match[1] else match.start(), match.end()))
    if len(steps) > MAX_PATH_STEPS:
        raise ValueError(f"{text[:100]!r} has more than {MAX_PATH_STEPS} steps; {PATH_HELP}")
    return steps


class DotPath:
    """A dot path into JSON, compiled once: ``alerts.0.labels.severity`` or ``alerts[0].labels.severity``.

    Numbers index arrays. At every level a key is also found as it is written, with its dots; the longest such key comes first:
    ``alerts.0.kibana.alert.uuid`` finds ``{"alerts": [{"kibana.alert.uuid": 1}]}``.
    """

    __slots__ = ("_indexes", "_keys", "_ours", "_ours_first", "_steps", "text")

    def __init__(self, text: str) -> None:
        """Compile a path; raises ValueError that says what to write instead."""
        self.text = text.removeprefix("$.")  # JSONPath's root, where we are anyway
        steps = path_steps(self.text)
        self._steps = len(steps)
        self._keys = tuple(  # for each step: the keys that may stand there, and the step behind each
            (*((self.text[start : steps[last][2]], last + 1) for last in range(len(steps) - 1, place, -1)), (name, place + 1))
            for place, (name, start, _) in enumerate(steps)
        )
        self._indexes = tuple(int(name) if re.fullmatch("[0-9]{1,9}", name) else None for name, _, _ in steps)
        name, _, end = steps[0]
        root = name.removeprefix("request_")
        rest = self.text[end:].removeprefix(".")
        self._ours_first = name != root and root in REQUEST_FIELDS
        self._ours: tuple[str, DotPath | None] | None = None
        if root in REQUEST_FIELDS:  # names of headers are kept in lower case
            self._ours = root, DotPath(rest.lower() if root == "headers" else rest) if rest else None

    def find(self, value: Any, step: int = 0) -> Any:
        """Return what the path leads to, None where that is nothing or null."""
        if isinstance(value, dict):
            for key, after in self._keys[step]:
                child = value.get(key)
                if child is not None:
                    found = child if after == self._steps else self.find(child, after)
                    if found is not None:
                        return found
        elif isinstance(value, list):
            index = self._indexes[step]
            if index is not None and index < len(value):
                return value[index] if step + 1 == self._steps else self.find(value[index], step + 1)
        return None

    def find_in(self, payload: dict[str, Any], shared: dict[str, Any]) -> Any:
        """Return what the path leads to in an event's payload, else in what the events of its request share."""
        return self.find(payload) if self._ours is None else self.find_with_side(payload, shared)[0]

    def find_with_side(self, payload: dict[str, Any], shared: dict[str, Any]) -> tuple[Any, bool]:
        """Return what find_in does, and whether that lies in the payload."""
        ours = self._find_shared(shared) if self._ours_first else None
        if ours is not None:
            return ours, False
        found = self.find(payload)
        return (found, True) if found is not None else (self._find_shared(shared), False)

    def _find_shared(self, shared: dict[str, Any]) -> Any:
        if self._ours is None:
            return None
        root, rest = self._ours
        value = shared.get(root)
        return value if rest is None else rest.find(value)

    def find_array(self, value: Any, step: int = 0) -> tuple[Any, ...] | None:
        """Return the keys and indexes that lead to an array, None where there is none."""
        if step == self._steps:
            return () if isinstance(value, list) else None
        ways: Iterable[tuple[Any, int]] = ()
        if isinstance(value, dict):
            ways = [(key, after) for key, after in self._keys[step] if key in value]
        elif isinstance(value, list) and (index := self._indexes[step]) is not None and index < len(value):
            ways = [(index, step + 1)]
        for key, after in ways:
            behind = self.find_array(value[key], after)
            if behind is not None:
                return key, *behind
        return None


class DuplicationKey(NamedTuple):
    """What identifies an event: its text in the parameter, and the paths that all must have a value."""

    text: str
    paths: tuple[DotPath, ...]


class NameSource(NamedTuple):
    """Where an incident's name comes from: texts, and between them paths of which the first with a value counts."""

    text: str
    parts: tuple[str | tuple[DotPath, ...], ...]

    @classmethod
    def parse(cls, text: str) -> "NameSource":
        """Read a text with paths in braces; raises ValueError that says what to write instead."""
        parts: list[str | tuple[DotPath, ...]] = []
        position = 0
        for match in re.finditer(r"\{([^{}]*)\}", text):
            parts += [text[position : match.start()], tuple(DotPath(path) for path in split_list(match[1]) or [""])]
            position = match.end()
        parts.append(text[position:])
        if any(brace in part for part in parts if isinstance(part, str) for brace in "{}"):
            raise ValueError("braces come in pairs, with a path between them, such as {rule.name} on {host.0.name}.")
        return cls(text, tuple(part for part in parts if part))


class SeverityRange(NamedTuple):
    """Numbers that mean a severity. Both bounds are kept in units of their last decimal, so that 8.95 is in 7.0-8.9."""

    low: int
    high: int
    units: int
    severity: int | float
    exact: bool

    @classmethod
    def parse(cls, low: str, high: str, severity: int | float) -> "SeverityRange":
        decimals = max(len(text.partition(".")[2]) for text in (low, high))
        units = 10**decimals
        return cls(round(float(low) * units), round(float(high or low) * units), units, severity, not high)

    def __contains__(self, number: object) -> bool:
        scaled = float(number) * self.units  # type: ignore[arg-type]
        return self.low <= (scaled if self.exact else math.floor(scaled + 1e-6)) <= self.high


class SeverityMap(NamedTuple):
    """The instance's own severities: words in lower case, and ranges of which the first that fits counts."""

    words: dict[str, int | float]
    ranges: tuple[SeverityRange, ...]

    def severity_of(self, word: str) -> int | float | None:
        """Return what a word or the text of a number means, None where the instance does not say."""
        if word in self.words or not self.ranges or not PLAIN_NUMBER.fullmatch(word):
            return self.words.get(word)
        return next((known.severity for known in self.ranges if float(word) in known), None)


# What is added to each event of a request: paths find it where the payload has no such field, and always behind request_.
REQUEST_FIELDS = ("headers", "query", "path", "source_address", "parent")
OTHER_METHODS = {"GET", "PUT", "PATCH"}
MAX_PATH_STEPS = 50
PATH_SHAPE = re.compile(r"(?:[^.\[\]]+|\[[^\[\]]+\])(?:\.[^.\[\]]+|\[[^\[\]]+\])*")
PATH_STEP = re.compile(r"\.?([^.\[\]]+)|\[([^\[\]]+)\]")
PATH_HELP = "write names and numbers with one dot between them, such as data.alert.id, alerts.0.status or alerts[0].status."
PLAIN_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,30})?")
SEVERITY_RANGE = re.compile(
    r"(?P<low>-?[0-9]{1,12}(?:\.[0-9]{1,3})?)(?:\s*[-\u2013]\s*(?P<high>-?[0-9]{1,12}(?:\.[0-9]{1,3})?))?"
)
SEVERITY_NO_WORD = re.compile(r"[-\u2013+<>=%.\s0-9]+")
SEVERITY_MAP_HELP = "write 90-100=critical, 7.0-8.9=high, sev3=medium: a range, a number or a word, and what it means."
NAME_FROM: NameSource = NameSource("name", ((DotPath("name"),),))
OCCURRED_FROM: tuple[DotPath, ...] = (DotPath("occurred"),)
NO_SEVERITY_MAP: SeverityMap = SeverityMap({}, ())
EVENT_PARAMETERS: tuple[tuple[str, str, str, Callable[[Any, Complain], Any]], ...] = (
    # name and display name in the descriptor, field of Settings, reader
    ("name_from", "Incident name", "name_from", read_name_source),
    ("type_from", "Incident type from", "type_from", read_type_paths),
    ("occurred_from", "Occurred from", "occurred_from", read_occurred_paths),
    ("severity_from", "Severity from", "severity_from", read_paths),
    ("severity_map", "Severity words", "severity_map", read_severity_map),
    ("events_path", "Events in", "events_paths", read_paths),
    ("duplication_key", "Duplication key", "duplication_paths", read_duplication_key),
    (
        "duplicate_hours",
        "Forget duplicates after",
        "duplicate_seconds",
        functools.partial(read_amount, unit="hours", seconds=3600),
    ),
    ("other_methods", "Also accept", "other_methods", read_methods),
    ("keep_unreadable", "Keep what cannot be read", "keep_unreadable", read_flag),
    (
        "answer_seconds",
        "Answer at the latest after",
        "answer_seconds",
        functools.partial(read_amount, unit="seconds", seconds=1),
    ),
)


Networks = frozenset[ipaddress.IPv4Network | ipaddress.IPv6Network]  # a frozenset keeps its hash, which caches ask for
UNKNOWN_ADDRESS = "unknown"


def parse_networks(parameter: str, value: Any) -> Networks:
    """Return the networks of a list of addresses and CIDR blocks, separated by commas or white space; raises SettingError."""
    parts = " ".join(split_list(value)).split()
    networks = set()
    for part in parts:
        try:
            networks.add(ipaddress.ip_network(part, strict=False))
        except ValueError:
            raise SettingError(
                parameter, f"{part} is no address and no CIDR block; write such as 192.0.2.7, 198.51.100.0/24 or 2001:db8::/32."
            ) from None
    return frozenset(networks)


@functools.lru_cache(maxsize=4096)
def is_within(address: str, networks: Networks) -> bool:
    """Return whether an address is in one of the networks; what is no address is in none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def is_allowed(address: str, networks: Networks) -> bool:
    """Return whether an address may connect: anybody where no networks are named."""
    return not networks or is_within(address, networks)


@functools.lru_cache(maxsize=4096)
def plain_address(text: str) -> str:
    """Return an address of a socket or of X-Forwarded-For without port, brackets and zone, `unknown` for anything else.

    IPv4 that came over an IPv6 socket (`::ffff:192.0.2.7`) is IPv4.
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
    """Return the address that counts: the peer's, or behind trusted proxies the right-most they name that is none of them.

    Each proxy appends the address it was asked from, so that all to the left of the first untrusted one may be invented.
    """
    address = plain_address(peer)
    if not trusted or not forwarded_for or not is_within(address, trusted):
        return address
    for hop in reversed(forwarded_for.split(",")):
        address = plain_address(hop[:64])  # an address has 45 characters at most; of longer texts nothing is remembered
        if not is_within(address, trusted):
            break
    return address


def load_tls(certificate: str, key: str, client_ca: str = "") -> "gevent_ssl.SSLContext | None":
    """Return the server's TLS context from PEM texts, None when certificate and key are empty.

    The certificate's text may hold intermediate certificates, which are served too. With ``client_ca``, a bundle, a
    client has to bring a certificate that one of them signed. Raises SettingError.
    """
    if not certificate and not key:
        if client_ca:
            raise SettingError("Client CA", "clients bring certificates over HTTPS only; paste Certificate and Private Key, too.")
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
    if client_ca:
        require_client_certificates(context, client_ca)
    return context


def require_client_certificates(context: ssl.SSLContext, client_ca: str) -> None:
    """Let a TLS context end every handshake in which the client has no certificate of these CAs; raises SettingError."""
    whole = "paste the whole PEM text of each, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----."
    if "PRIVATE KEY" in client_ca:
        raise SettingError("Client CA", f"it holds a private key, which belongs to the CA alone; {whole}")
    # Bundles name their certificates in comments, in any language, which the ssl module refuses to read.
    certificates = re.findall("-----BEGIN CERTIFICATE-----[\\sA-Za-z0-9+/=]+-----END CERTIFICATE-----", client_ca)
    try:
        context.load_verify_locations(cadata="\n".join(certificates))
    except (ssl.SSLError, ValueError):  # ValueError: there is none
        raise SettingError("Client CA", f"OpenSSL cannot read its certificates; {whole}") from None
    if len(certificates) < client_ca.count("BEGIN CERTIFICATE"):
        raise SettingError("Client CA", f"one of its certificates is incomplete; {whole}")
    authorities = context.get_ca_certs()
    if len(authorities) < len(set(certificates)):
        raise SettingError("Client CA", "one of its certificates is not that of a CA; paste those that signed the clients' own.")
    if any(ssl.cert_time_to_seconds(str(authority["notAfter"])) < time.time() for authority in authorities):
        raise SettingError("Client CA", "one of its certificates has expired, and all that it signed with it; paste a newer one.")
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the bundle may name an intermediate CA without its root


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
# Connections: who is connected and how long, memory for large bodies, failed logins, counters
#
# A connection is in one of five groups, each ordered by how long it has been there. Once a second all deadlines are looked at.
# Only the groups in which a connection waits for its sender are ever thinned out: what is being worked on is never cut off.
# ---------------------------------------------------------------------------------------------------------------------

REQUEST_SECONDS = 30  # for the TLS handshake, the headers and the body together
IDLE_SECONDS = 60  # a kept-alive connection without a request
MAX_CONNECTIONS = 4096
SPARE_DESCRIPTORS = 100  # of the process's limit, for everything that is no connection
EVICTION_CANDIDATES = 64  # looked at when full, so that a crowd does not make each newcomer expensive
DISCARD_BYTES = 64 * MIB  # thrown away after a refusal, so that a sender or proxy that is still sending sees it and no reset
DISCARD_SECONDS = 10.0
MAX_DISCARDING = 256  # connections at once; any further one gets LINGER_BYTES and LINGER_SECONDS
LINGER_BYTES = 64 * KIB
LINGER_SECONDS = 1.0
MAX_BODIES_BYTES = 256 * MIB  # of all large bodies being worked on at once, so that many of them cannot fill the memory
MAX_FAILING_ADDRESSES = 1024
FREE_FAILURES = 3  # a typo or two is answered at once
FAILURE_MEMORY_SECONDS = 60


class Counters:
    """What happened: counted since the start, and since the last line in the log."""

    def __init__(self) -> None:
        self._new: Counter[str] = Counter()
        self._logged: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()  # of all answers

    def add(self, name: str, count: int = 1) -> None:
        """Count something under a name that is fit for the log."""
        self._new[name] += count

    def answered(self, status: int) -> None:
        """Count an answer."""
        self.statuses[status] += 1
        if status != 200:
            self._new[f"answered {status}"] += 1

    def total(self, name: str) -> int:
        """Return a counter's value since the start."""
        return self._logged[name] + self._new[name]

    def totals(self) -> dict[str, int]:
        """Return all counters' values since the start."""
        return dict(self._logged + self._new)

    def take_line(self) -> str:
        """Return what was counted since the last call as one line, empty where nothing was."""
        line = ", ".join(f"{count} {name}" for name, count in sorted(self._new.items()))
        self._logged.update(self._new)
        self._new.clear()
        return line


class FailedLogins:
    """How often an address failed to authenticate lately, so that guessing becomes slow."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def add(self, address: str) -> float:
        """Count a failed authentication and return for how many seconds to delay its answer, at most 1."""
        now = time.monotonic()
        count, last = self._failures.pop(address, (0, now))
        count = 1 if now - last > FAILURE_MEMORY_SECONDS else count + 1
        self._failures[address] = (count, now)
        if len(self._failures) > MAX_FAILING_ADDRESSES:
            self._failures.popitem(last=False)
        return min(1.0, 0.05 * 2 ** min(count - FREE_FAILURES, 10)) if count > FREE_FAILURES else 0.0


class BodyMemory:
    """The memory that all large bodies being worked on may take together, in bytes."""

    def __init__(self) -> None:
        self._taken = 0

    def take(self, size: int) -> None:
        """Account for bytes of a large body; raises ServiceUnavailable where there are too many of them at once."""
        if self._taken + size > MAX_BODIES_BYTES:
            raise ServiceUnavailable("Too many large bodies are being worked on; send this one again later.")
        self._taken += size

    def give_back(self, size: int) -> None:
        """Bytes of a large body are done with."""
        self._taken -= size


class Connections:
    """Keeps every connection within its time and all of them within their number."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._most = max(
            16, min(MAX_CONNECTIONS, raise_descriptor_limit(MAX_CONNECTIONS + SPARE_DESCRIPTORS) - SPARE_DESCRIPTORS)
        )
        self._arriving: OrderedDict[Connection, None] = OrderedDict()  # without complete headers, oldest first
        self._reading: OrderedDict[Connection, None] = OrderedDict()  # headers complete, the body not
        self._working: OrderedDict[Connection, None] = OrderedDict()  # the whole request is here: never evicted
        self._idle: OrderedDict[Connection, None] = OrderedDict()  # kept alive between requests, longest idle first
        self._discarding: OrderedDict[Connection, None] = OrderedDict()  # refused, and still sending
        self._groups = (self._arriving, self._idle, self._discarding, self._reading, self._working)
        self.under_way = 0  # requests whose body is complete and that are not yet answered
        self.stopping = False

    def open(self, connection: "Connection") -> bool:
        """Take in a new connection and return True; False where it is one too many.

        When full, the oldest connection without complete headers makes room, else the longest idle, else the oldest
        that is refused, else the oldest without a complete body. One whose bytes are here and only wait for their turn
        comes after all of these.
        """
        if sum(map(len, self._groups)) >= self._most:
            silent = itertools.filterfalse(Connection.has_bytes, itertools.islice(self._arriving, EVICTION_CANDIDATES))
            victim = next(itertools.chain(silent, self._idle, self._discarding, self._reading, self._arriving), None)
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
        """A request is answered: the connection may stay silent for IDLE_SECONDS."""
        self._move(connection, self._idle, time.monotonic() + IDLE_SECONDS)

    def begin(self, connection: "Connection") -> None:
        """A part of a request has come: REQUEST_SECONDS for the rest, on a new connection from its opening."""
        if connection.group is self._idle:
            self._move(connection, self._arriving, time.monotonic() + REQUEST_SECONDS)

    def read(self, connection: "Connection") -> None:
        """The headers are complete, and the body is waited for within the same time."""
        self.begin(connection)
        self._move(connection, self._reading, connection.deadline)

    def work(self, connection: "Connection") -> None:
        """The body is complete: from here on XSOAR decides how long it takes."""
        self._move(connection, self._working, math.inf)

    def discard(self, connection: "Connection") -> tuple[int, float]:
        """The request is refused: return how many bytes may be thrown away of what is under way, and for how many seconds."""
        if len(self._discarding) >= MAX_DISCARDING:
            return LINGER_BYTES, LINGER_SECONDS
        self._move(connection, self._discarding, time.monotonic() + DISCARD_SECONDS)
        return DISCARD_BYTES, DISCARD_SECONDS

    @staticmethod
    def _move(connection: "Connection", group: "OrderedDict[Connection, None]", deadline: float) -> None:
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
            connection.shut(socket.SHUT_RD)

    def sweep(self, now: float) -> None:
        """End reading on every connection whose time is up, which its own greenlet then answers; ``now`` is monotonic."""
        for group in self._groups:
            for connection in list(group):
                if connection.deadline >= now:
                    continue
                # A second sweep means that not even the answer could be written.
                connection.shut(socket.SHUT_RDWR if connection.expired else socket.SHUT_RD)
                connection.expired = True
                connection.deadline = now + LINGER_SECONDS

    def counts(self) -> dict[str, int]:
        """Return how many connections there are of each kind."""
        names = ("arriving", "idle", "discarding", "reading", "working")
        return {name: len(group) for name, group in zip(names, self._groups)}


def raise_descriptor_limit(wanted: int) -> int:
    """Raise the process's soft limit of descriptors to so many, as far as the hard one allows, and return what it is."""
    soft, hard = (math.inf if limit == resource.RLIM_INFINITY else limit for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    if soft < wanted:
        raised = min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(raised), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            soft = raised
    return int(min(soft, wanted))


# ---------------------------------------------------------------------------------------------------------------------
# HTTP: bytes become requests, answers become bytes (RFC 9110, 9112)
#
# A Connection reads with its Reader up to the end of a Head, and passes a Request on to the routes. Whoever answers it calls
# Request.reply once, at once or later and from any greenlet: the answer leaves at once, without a switch to the
# connection's own greenlet, which meanwhile waits for the next request's bytes.
#
# The reader is strict: where a lenient one takes two Content-Lengths, folded headers or a bare line feed, a proxy in front
# may see other requests than we do. All of that is 400 and the end of the connection.
#
# Senders and proxies repeat their heads byte for byte, but for the body's length. What follows from a head's bytes is found
# once.
# ---------------------------------------------------------------------------------------------------------------------

RECEIVE_BYTES = 16 * KIB  # of a request's head and, mostly, its whole body
MAX_REQUEST_LINE_BYTES = 8 * KIB  # what common proxies allow
MAX_HEADERS_BYTES = 32 * KIB
MAX_HEADERS = 100
MAX_CHUNK_LINE_BYTES = 1 * KIB
REQUESTS_IN_A_ROW = 8  # from one connection before the others get their turn: a pipeline never makes us wait for its bytes
MAX_KNOWN_HEADS = 256
MAX_KNOWN_HEAD_BYTES = 2 * KIB

HEADER_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # a header's name, RFC 9110
REQUEST_LINE = re.compile(rf"({HEADER_NAME}) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([0-9])")
HEADER_LINES = re.compile(rf"(?:{HEADER_NAME}:[\t\x20-\x7e\x80-\xff]*\r\n)*+")
# RFC 9112, 7.1.1: an extension has a name; a blank is allowed around its semicolon only, and ours is a bit stricter.
CHUNK_LINE = re.compile(rb"([0-9a-fA-F]{1,8})(?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z][\t\x20-\x7e\x80-\xff]*)?\r\n")
LENGTH_LINE = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ?([0-9]{1,8})\r\n")
SINGLE_HEADERS = {"content-length", "transfer-encoding", "host", "content-encoding", "expect"}  # twice is ambiguous
COMMON_HEADERS = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
BAD_REQUEST_LINE = "The request line is not valid HTTP/1.1."
BLANK_LINE = b"\r\n\r\n"  # with the line break before it
STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in http.HTTPStatus}


class Head:
    """A request without its body: names of headers in lower case, values in Latin-1 as they came.

    What others find out of it once, they keep in ``handler``, ``asks``, ``proven`` and ``context``; all else is never changed.
    """

    __slots__ = (
        "asks",
        "chunked",
        "context",
        "expects_continue",
        "handler",
        "headers",
        "keep_alive",
        "length",
        "method",
        "minor",
        "path",
        "proven",
        "query",
        "repeated",
    )

    def __init__(self, method: str, target: str, minor: str, headers: dict[str, str], repeated: frozenset[str]) -> None:
        """Understand a request line and headers; raises BadRequest wherever a proxy might see another request than we do."""
        self.method = method.upper()
        self.path, self.query = split_target(target)
        self.minor = minor  # of HTTP/1
        self.headers = headers
        self.repeated = repeated  # names that came more than once
        self.length, self.chunked = body_framing(headers, minor)
        self.expects_continue = minor != "0" and headers.get("expect", "").lower() == "100-continue"
        connection = headers.get("connection")  # RFC 9112, 9.3: HTTP/1.1 stays open unless told otherwise
        options = [option.strip() for option in connection.lower().split(",")] if connection else []
        self.keep_alive = "close" not in options and (minor != "0" or "keep-alive" in options)
        self.handler: Callable[[Request], Answer | None] | None = None  # the route's
        self.asks = False  # it may be a handshake's
        self.proven = False  # authentication passed, which depends on nothing but this head
        self.context: KnownContext | None = None  # what is kept of it in incidents


def parse_head(text: str) -> Head:
    """Return a request's head from its lines, each with its line break; raises BadRequest."""
    line, _, lines = text.partition("\r\n")
    words = REQUEST_LINE.fullmatch(line)
    if not words:
        raise BadRequest(BAD_REQUEST_LINE)
    method, target, minor = words.groups()
    headers, repeated = parse_headers(lines)
    if minor != "0" and "host" not in headers:  # RFC 9112, 3.2
        raise BadRequest("The header Host is missing; HTTP/1.1 has it in every request.")
    return Head(method, target, minor, headers, repeated)


def parse_headers(lines: str) -> tuple[dict[str, str], frozenset[str]]:
    """Return values by lower-case name, repeated ones joined by commas, and the names that were repeated; raises BadRequest.

    RFC 9112, 5: no blank before the colon and no folded lines; RFC 9110, 5.3: which headers may be joined.
    """
    if not HEADER_LINES.fullmatch(lines):
        raise BadRequest("A header is malformed: each is one line 'Name: value', without control characters.")
    headers: dict[str, str] = {}
    repeated = []
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
            repeated.append(name)
    return headers, frozenset(repeated)


def split_target(target: str) -> tuple[str, str]:
    """Return a target's path, its percent-encodings resolved, and its raw query string; raises BadRequest (RFC 9112, 3.2)."""
    path, _, query = target.partition("?")
    if path.lower().startswith(("http://", "https://")):  # the absolute form, http://host/path
        path = "/" + path.partition("://")[2].partition("/")[2]
    if not path.startswith("/"):
        raise BadRequest("The request's target is no path and no URL.")
    return unquote_to_bytes(path.encode("latin-1")).decode("utf-8", "replace"), query


def body_framing(headers: dict[str, str], minor: str) -> tuple[int, bool]:
    """Return a body's length in bytes and whether it comes in chunks; raises BadRequest where that is in doubt.

    RFC 9112, 6.1: both headers together, or chunks in HTTP/1.0, are how requests are smuggled. RFC 9112, 6.3: without either
    there is no body.
    """
    length, encoding = headers.get("content-length"), headers.get("transfer-encoding")
    if encoding is not None and (length is not None or encoding.lower() != "chunked" or minor == "0"):
        raise BadRequest("Send either Content-Length or, in HTTP/1.1, Transfer-Encoding: chunked.")
    if length is not None and not (length.isascii() and length.isdigit() and len(length) <= 15):
        raise BadRequest("Content-Length is no number of bytes.")
    return int(length or 0), encoding is not None


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


def too_large() -> HTTPError:
    """Return the refusal of a body over MAX_BODY_BYTES."""
    return HTTPError(413, f"The body is larger than {MAX_BODY_BYTES // MIB} MiB; send fewer events at a time.")


class KnownHeads:
    """Heads by their bytes, but for the digits of Content-Length: the last used of those whose sender was let in."""

    def __init__(self) -> None:
        self._heads: OrderedDict[tuple[bytes, bytes], Head] = OrderedDict()

    @staticmethod
    def key(head: bytes) -> tuple[tuple[bytes, bytes], bytes]:
        """Return what a head is known by, and the digits of its Content-Length, empty without one.

        Of a head with two such lines the second is part of the key; it is refused and so never known.
        """
        line = LENGTH_LINE.search(head)
        if not line:
            return (head, b""), b""
        start, end = line.span(1)
        return (head[:start], head[end:]), head[start:end]

    def get(self, key: tuple[bytes, bytes]) -> Head | None:
        """Return a known head."""
        head = self._heads.get(key)
        if head is not None:
            self._heads.move_to_end(key)
        return head

    def add(self, key: tuple[bytes, bytes], head: Head) -> None:
        """Remember a head, in place of the least recently used where there are too many."""
        if len(key[0]) + len(key[1]) <= MAX_KNOWN_HEAD_BYTES:
            self._heads[key] = head
            if len(self._heads) > MAX_KNOWN_HEADS:
                self._heads.popitem(last=False)


class Reader:
    """The bytes of a connection, received as they are asked for.

    Empty bytes mean that no more will come: the sender ended, or we ended reading because its time is up.
    """

    __slots__ = ("_await_bytes", "_buffer", "_receive")

    def __init__(self, sock: Any) -> None:
        self._receive = sock.recv
        self._buffer = b""
        # Behind an answer the next request is not here yet: to wait before trying saves the try. Under TLS bytes may be.
        secure = isinstance(sock, gevent_ssl.SSLSocket)
        self._await_bytes: Callable[[], None] = no_wait if secure else functools.partial(sock._wait, sock._read_event)

    def wait(self) -> bool:
        """Wait for the next request's first byte and return whether there is one; an empty line before it is left out.

        RFC 9112, 2.2: some senders put one behind a body.
        """
        if not self._buffer:
            self._await_bytes()
            if not self._fill():
                return False
        if self._buffer[:1] == b"\r":
            while self._buffer in (b"\r", b"\r\n"):
                if not self._fill():
                    return False
            self._buffer = self._buffer.removeprefix(b"\r\n")
        return True

    def at_once(self, size: int) -> bytes | None:
        """Return so many bytes where they have come already, else None."""
        buffer = self._buffer
        if len(buffer) < size:
            return None
        self._buffer = buffer[size:]
        return buffer[:size]

    def until(self, mark: bytes, check: Callable[[bytes], None]) -> bytes:
        """Return the bytes up to and with the mark; where they are not whole, ``check`` sees what has come and may refuse it."""
        while (end := self._buffer.find(mark)) < 0:
            check(self._buffer)
            if not self._fill():
                return b""
        end += len(mark)
        found, self._buffer = self._buffer[:end], self._buffer[end:]
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


def no_wait() -> None:
    """Leave it to the socket to wait."""


class Request:
    """A request that is being answered: its head, its body once read_body() is called, and the memory it takes.

    ``address`` is where it comes from, ``headers`` are the head's with this request's Content-Length.
    """

    __slots__ = ("_connection", "_key", "_seen", "_taken", "address", "complete", "head", "headers", "length", "under_way")

    def __init__(self, head: Head, headers: dict[str, str], length: int, key: tuple[bytes, bytes], connection: "Connection"):
        self.head = head
        self.headers = headers
        self.length = length  # bytes of the body, 0 where it comes in chunks
        self.address = connection.address
        self.complete = not head.chunked and not length  # the body is read
        self.under_way = False  # and what it holds is worth waiting for
        self._connection = connection
        self._key = key
        self._seen = 0
        self._taken = 0

    def reply(self, answer: Answer) -> None:
        """Answer the request: once, from any greenlet, without waiting."""
        self.end()
        self._connection.send(answer)

    def end(self) -> None:
        """Give back what the request holds."""
        server = self._connection.server
        if self._taken:
            server.memory.give_back(self._taken)
            self._taken = 0
        if self.under_way:
            self.under_way = False
            server.connections.under_way -= 1

    def remember_head(self) -> None:
        """Keep what follows from the head for the next request whose head is the same; for senders that were let in."""
        self._connection.server.known_heads.add(self._key, self.head)

    def reserve(self, size: int) -> None:
        """Account for ``size`` more bytes that the request holds in memory; raises ServiceUnavailable. Small ones are free."""
        self._seen += size
        if self._seen > SMALL_BODY_BYTES:
            self._connection.server.memory.take(self._seen - self._taken)
            self._taken = self._seen

    def read_body(self) -> bytes:
        """Return the whole body, at most MAX_BODY_BYTES; raises HTTPError (400, 408, 413, 503)."""
        connection = self._connection
        if self.length > MAX_BODY_BYTES:
            raise too_large()
        if self.head.expects_continue and not self.complete:  # RFC 9110, 10.1.1
            connection.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = connection.reader.at_once(self.length) if not self.head.chunked else None
        if body is None:
            connection.server.connections.read(connection)
            body = self._read_chunks() if self.head.chunked else self._read(self.length)
        else:
            self.reserve(self.length)
        self.complete = True
        connection.server.connections.work(connection)
        return body

    def begin_work(self) -> None:
        """From here on the request is worth waiting for when the webhook stops."""
        self.under_way = True
        self._connection.server.connections.under_way += 1

    def _read(self, size: int) -> bytes:
        if size <= READ_BYTES:  # in one piece
            return self._read_part(size)
        parts = bytearray()
        while len(parts) < size:
            parts += self._read_part(min(READ_BYTES, size - len(parts)))
            if len(parts) % MIB < READ_BYTES:
                gevent.sleep(0)  # a fast sender must not keep the hub
        return bytes(parts)

    def _read_part(self, size: int) -> bytes:
        self.reserve(size)
        part = self._connection.reader.exactly(size)
        if len(part) < size:
            raise self._connection.cut_short("The body ends before its Content-Length; send it whole.")
        return part

    def _read_chunks(self) -> bytes:
        """Return the body from its chunks (RFC 9112, 7.1)."""
        connection = self._connection
        parts = bytearray()
        for number, size in enumerate(self._chunk_sizes(), 1):
            if len(parts) + size > MAX_BODY_BYTES:
                raise too_large()
            parts += self._read(size)
            if connection.reader.exactly(2) != b"\r\n":
                raise connection.cut_short("A chunk of the body is not as long as it says; send it again.")
            if number % 64 == 0:
                gevent.sleep(0)  # a flood of tiny chunks must not keep the hub
        return bytes(parts)

    def _chunk_sizes(self) -> Iterator[int]:
        connection = self._connection
        while True:
            line = connection.reader.until(b"\n", check_chunk_line)
            check_chunk_line(line)
            size = CHUNK_LINE.fullmatch(line)
            if not size:
                raise connection.cut_short("A chunk of the body has no valid size; send it again.")
            if not int(size[1], 16):
                break
            yield int(size[1], 16)
        # RFC 9112, 7.1.2: trailers, which nobody needs here, end in a blank line, and so they do now where there are none.
        connection.reader.unread(b"\r\n")
        trailers = connection.read_head()
        check_head_limits(trailers)
        parse_headers(trailers.decode("latin-1")[2:-2])


class Connection:
    """A sender's connection: one request after the other is read and answered.

    Connections knows in which group it is, and until when it may stay there (``deadline``, in time.monotonic() seconds).
    """

    __slots__ = ("_busy", "_closing", "_request", "_sent", "address", "deadline", "expired", "group", "reader", "server", "sock")

    def __init__(self, sock: Any, address: str, server: "Server") -> None:
        self.sock = sock
        self.address = address
        self.server = server
        self.group: OrderedDict[Connection, None] = OrderedDict()  # until the registry takes it in
        self.deadline = time.monotonic() + REQUEST_SECONDS
        self.expired = False
        self._closing = False  # no request follows the one that is being answered
        self._busy = False  # a request is being answered, or its answer is leaving
        self._request: Request | None = None  # that one
        self._sent: Event | None = None  # set once the answer has left, where somebody waits for that

    def serve(self) -> None:
        """Answer requests until the sender or we have enough."""
        self.reader = Reader(self.sock)
        served = 0
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # Nagle and delayed ACK: 44 ms a request
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
            self._sent = Event()
            self._sent.wait()
            self._sent = None

    def _answer_one(self) -> Request | None:
        """Read a request's head, have the request answered and return it; None where it has no valid head."""
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
        key, digits = KnownHeads.key(data)
        head = self.server.known_heads.get(key)
        if head is None:
            check_head_limits(data)
            head = parse_head(data[:-2].decode("latin-1"))
            return Request(head, head.headers, head.length, key, self)
        headers = head.headers
        if digits:
            length = digits.decode()
            if headers["content-length"] != length:
                headers = {**headers, "content-length": length}
        return Request(head, headers, int(digits) if digits else head.length, key, self)

    def read_head(self) -> bytes:
        """Return the bytes up to a blank line and with it; raises HTTPError (400, 408, 414, 431)."""
        head = self.reader.until(BLANK_LINE, self._check_part)
        if not head:
            raise self.cut_short("The request ends before its headers do; send it whole.")
        return head

    def _check_part(self, head: bytes) -> None:
        """Begin the request's time with its first bytes; raises HTTPError (400, 414, 431) for what becomes no head."""
        self.server.connections.begin(self)
        check_head_limits(head)

    def cut_short(self, sentence: str) -> HTTPError:
        """Return the refusal of a request that cannot be read on: 408 where its time is up, else 400."""
        if self.server.connections.stopping:
            return ServiceUnavailable("The webhook is stopping; send this again in a moment.")
        if self.expired:
            return HTTPError(408, f"The request was not complete within {REQUEST_SECONDS} s; send it again.")
        return BadRequest(sentence)

    def send(self, answer: Answer) -> None:
        """Send what the socket takes of an answer at once, from any greenlet; another greenlet sends the rest."""
        self.server.counters.answered(answer.status)
        data = self._encode(answer)
        self.deadline = time.monotonic() + REQUEST_SECONDS
        try:
            sent = self._send_now(data)
        except OSError:  # the sender has gone
            sent = len(data)
        if sent == len(data):
            self._answered()
        else:
            gevent.spawn(self._send_rest, data[sent:])

    def _encode(self, answer: Answer) -> bytes:
        """Return the bytes of an answer: status line, headers, a blank line and the content."""
        request, content = self._request, answer.content
        method, minor = (request.head.method, request.head.minor) if request is not None else ("", "")
        if answer.status == 200 and method == "POST" and minor != "0" and not self._closing and answer[2:] == PLAIN_ANSWER:
            return b"%b%d\r\n\r\n%b" % (self.server.head_200(), len(content), content)
        extra = "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
        connection = "close" if self._closing else "keep-alive"  # HTTP/1.0 has to be told
        head = (
            f"HTTP/1.1 {STATUS_LINES[answer.status]}\r\n{self.server.date_header()}{COMMON_HEADERS}"
            f"Content-Type: {answer.content_type}\r\n{extra}Connection: {connection}\r\nContent-Length: {len(content)}\r\n\r\n"
        ).encode("latin-1")
        return head if method == "HEAD" else head + content

    def _send_now(self, data: bytes) -> int:
        """Send what the socket takes without waiting, and return how many bytes that were."""
        try:
            if isinstance(self.sock, gevent_ssl.SSLSocket):
                if self.sock._sslobj is None:
                    raise OSError("the connection is closed")
                return self.sock._sslobj.write(data)
            return self.sock._sock.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0

    def _send_rest(self, data: bytes) -> None:
        try:
            with contextlib.suppress(OSError):  # the sender has gone
                self.sock.sendall(data)
        finally:
            self._answered()

    def _answered(self) -> None:
        """The answer has left, and the next request may be answered."""
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
        with contextlib.suppress(OSError):  # what is unread would reset the connection; there is no time to linger
            self.sock._sock.recv(LINGER_BYTES)

    def _linger(self, request: Request | None) -> None:
        """Before closing, say that no more is answered, and throw away what the sender has under way.

        A connection closed over unread bytes resets and the answer is lost: a sender that reads only once it has sent
        everything sees a broken pipe, and a proxy answers 502 in its place (RFC 9112, 9.6).
        """
        secure = isinstance(self.sock, gevent_ssl.SSLSocket)
        if secure and request is not None and request.complete:
            return
        left, seconds = self.server.connections.discard(self)
        with contextlib.suppress(OSError, ValueError), gevent.Timeout(seconds, False):
            if secure:
                with contextlib.suppress(OSError):  # of what follows close_notify; the sender's own is not waited for
                    self.sock._sslobj.shutdown()
            self.shut(socket.SHUT_WR)
            waste = self.server.waste
            while left > 0 and (count := gevent.socket.socket.recv_into(self.sock, waste)):  # under TLS not decrypted either
                left -= count
                if left % MIB < count:
                    gevent.sleep(0)  # a fast sender must not keep the hub

    def has_bytes(self) -> bool:
        """Return whether bytes have come that nobody has read."""
        poll = select.poll()
        poll.register(self.sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def shut(self, how: int) -> None:
        """Shut one or both directions: of the plain socket, because a TLS socket's would wait for the peer."""
        with contextlib.suppress(OSError):
            self.sock._sock.shutdown(how)


class Server(StreamServer):
    """gevent's server, with a bounded number of connections and a time limit for TLS handshakes."""

    def __init__(
        self,
        listener: Any,
        answer: Callable[[Request], Answer | None],
        connections: Connections,
        counters: Counters,
        report_failure: Callable[[BaseException], None],
        tls: "gevent_ssl.SSLContext | None" = None,
    ) -> None:
        """Serve on an address or a listening socket.

        answer: takes a request and returns its answer, or None where Request.reply will be called later; may raise HTTPError.
        report_failure: is told of an exception of ours, which the sender sees as 500.
        """
        super().__init__(listener, **({"ssl_context": tls} if tls else {}))
        self.answer = answer
        self.connections = connections
        self.counters = counters
        self.report_failure = report_failure
        self.memory = BodyMemory()
        self.known_heads = KnownHeads()
        self.tls: Any = tls
        self.waste = bytearray(READ_BYTES)  # what is thrown away goes here, of all connections
        self._date = ""
        self._date_until = 0.0
        self._head_200 = b""

    def handle(self, sock: Any, address: Any) -> None:
        """Serve a new connection (gevent calls this in a greenlet of its own)."""
        connection = Connection(sock, address[0], self)
        if not self.connections.open(connection):
            connection.refuse(ServiceUnavailable("Too many connections are at work; try again later."))
            return
        try:
            connection.serve()
        finally:
            self.connections.close(connection)

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> None:
        """Serve a new connection over TLS, whose handshake counts as part of the first request."""
        connection = Connection(client_socket, address[0], self)
        if not self.connections.open(connection):
            return
        try:  # a connection that is reset by now cannot even be wrapped
            secure = self.tls.wrap_socket(client_socket, server_side=True, do_handshake_on_connect=False)
            connection.sock = secure  # wrapping took the plain socket's descriptor over
            secure.do_handshake()
            connection.serve()
        except (OSError, EOFError, ValueError):  # a port scan or an impatient client
            self.counters.add("failed TLS handshakes")
        finally:
            self.connections.close(connection)
            connection.sock.close()

    def date_header(self) -> str:
        """Return the Date header's line, made once a second, whatever the wall clock does meanwhile."""
        now = time.monotonic()
        if now >= self._date_until:
            wall = time.time()
            self._date_until = now + 1 - wall % 1
            self._date = f"Date: {email.utils.formatdate(wall, usegmt=True)}\r\n"
            self._head_200 = (
                f"HTTP/1.1 {STATUS_LINES[200]}\r\n{self._date}{COMMON_HEADERS}Content-Type: {JSON_TYPE}\r\nContent-Length: "
            ).encode()
        return self._date

    def head_200(self) -> bytes:
        """Return the head of the common answer up to the length of its content."""
        self.date_header()
        return self._head_200


# ---------------------------------------------------------------------------------------------------------------------
# Authentication: who sent it?
#
# Username names a scheme, Password is its secret. A scheme sees the headers and the query string first; only one that
# signs the body sees that too, as the raw bytes that came (packed ones stay packed: the sender signed what it sent).
# Whatever is compared is compared as bytes and in constant time, so that no answer tells how much of a guess was right.
# ---------------------------------------------------------------------------------------------------------------------

QUERY_NAME = r"[^\s&=#?%+]+"  # a field's name as a person types it, decoded
TOLERANCE_SECONDS = 300  # between a signature's timestamp and our clock: Slack, Stripe and Standard Webhooks agree on it
MAX_TIMESTAMPS = 2  # tried of one header: each costs a hash of the whole body
MAX_SECONDS_TIMESTAMP = 100_000_000_000  # in the year 5138; what is beyond it counts milliseconds (WorkOS)
MIN_PART_CHARACTERS = 3  # of a secret among several: shorter ones are words of a phrase that is one secret
MAX_SHORT_PARTS = 3  # of a rotation; more parts than this are a phrase unless all are long
MIN_LONG_PART_CHARACTERS = 8

NO_SIGNATURE = "The signature header is missing or unreadable; let the sender sign its deliveries with this webhook's secret."
STALE_TIMESTAMP = "The timestamp that was signed is missing or more than 5 minutes from now; check the clocks of both ends."
WRONG_SIGNATURE = "The signature does not match; use the same secret on both ends, and sign the body's bytes as they are sent."


class MissingProof(HTTPError):
    """401 for a request that does not even try to prove who sent it, as vendors' handshakes do not."""

    def __init__(self, sentence: str, **headers: str) -> None:
        super().__init__(401, sentence, **headers)


class Authenticator:
    """Lets everybody in: the instance has no credentials."""

    secrets: tuple[bytes, ...] = ()  # never to be seen in a log line
    hidden_header = ""  # lower case; never to be seen in an incident
    hidden_query = ""  # a field of the query string; never to be seen in an incident
    signs_body = False  # check_body has to be asked too
    identifies = False  # event_id may tell one delivery from another
    by_headers_alone = True  # the verdict of check follows from the headers and is the same each time

    def check(self, headers: dict[str, str], query: str = "", repeated: frozenset[str] = frozenset()) -> None:
        """Raise HTTPError (401) unless headers and query string prove the sender, as far as they can.

        Headers have lower-case names and Latin-1 values, those that came more than once joined by ", " and named in
        ``repeated``. ``query`` is the raw query string. MissingProof where there is nothing to check.
        """

    def check_body(self, headers: dict[str, str], body: bytes) -> None:
        """Raise HTTPError (401) unless the body, as it came, is signed by the sender; asked after ``check`` has passed."""

    def event_id(self, headers: dict[str, str]) -> str | None:
        """Return what the scheme says identifies the delivery, the same each time it is sent, None where it says nothing."""
        return None

    def signing_key(self, headers: dict[str, str], body: bytes) -> bytes:
        """Return the secret this request was proved with, which an answer may have to be signed with; empty without one."""
        return self.secrets[0] if self.secrets else b""


class BasicAuthenticator(Authenticator):
    """Basic authentication, RFC 7617, with UTF-8 credentials."""

    hidden_header = "authorization"

    def __init__(self, username: str, password: str) -> None:
        self.secrets = (password.encode(),)
        self.expected = f"{username}:{password}".encode()

    def check(self, headers: dict[str, str], query: str = "", repeated: frozenset[str] = frozenset()) -> None:
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(encoded.strip().encode("latin-1"), validate=True) if scheme.lower() == "basic" else b""
        except binascii.Error:
            given = b""
        if not hmac.compare_digest(given, self.expected):
            sentence = "Send the username and password of this webhook by Basic authentication (curl -u user:password)."
            challenge = {"WWW_Authenticate": 'Basic realm="Generic Webhook", charset="UTF-8"'}
            raise HTTPError(401, sentence, **challenge) if "authorization" in headers else MissingProof(sentence, **challenge)


class HeaderAuthenticator(Authenticator):
    """A header that has to hold exactly the agreed value, or one of several during a rotation."""

    def __init__(self, name: str, password: str) -> None:
        self.hidden_header = name.lower()
        self.secrets = tuple(value.encode() for value in read_header_values(password))

    def check(self, headers: dict[str, str], query: str = "", repeated: frozenset[str] = frozenset()) -> None:
        given = headers.get(self.hidden_header, "").encode("latin-1")
        # Two headers `a` and `b` are joined to `a, b` by us: no sender wrote that value.
        if not _is_one_of(given, self.secrets) or self.hidden_header in repeated:
            sentence = "Send the verification token of this webhook in the request header agreed upon."
            raise HTTPError(401, sentence) if self.hidden_header in headers else MissingProof(sentence)


class QueryAuthenticator(Authenticator):
    """A field of the query string that has to hold the agreed value, for tools that can only set a URL."""

    by_headers_alone = False

    def __init__(self, name: str, password: str) -> None:
        self.hidden_query = name
        self.secrets = tuple(value.encode() for value in read_secrets(password))

    def check(self, headers: dict[str, str], query: str = "", repeated: frozenset[str] = frozenset()) -> None:
        fields = [field.partition("=") for field in ascii_query(query).split("&")]
        given = [value for name, _, value in fields if unquote_plus(name) == self.hidden_query]
        sentence = "Send the verification token of this webhook once, in the field of the URL's query string agreed upon."
        if not given:
            raise MissingProof(sentence)
        # A plus is a blank in a form and itself in a URL, and tools disagree on which of the two a query string is.
        readings = [unquote_to_bytes(text) for text in (given[0], given[0].replace("+", " "))]
        if sum(_is_one_of(reading, self.secrets) for reading in readings) == 0 or len(given) > 1:
            raise HTTPError(401, sentence)


def ascii_query(query: str) -> str:
    """Return a query string (Latin-1) with its raw bytes beyond ASCII percent-encoded, as they should have come."""
    return query if query.isascii() else re.sub(r"[\x80-\xff]", lambda byte: f"%{ord(byte[0]):02X}", query)


class DenyAll(Authenticator):
    """Lets nobody in: what decides about the senders is half filled in or malformed."""

    def check(self, headers: dict[str, str], query: str = "", repeated: frozenset[str] = frozenset()) -> None:
        raise HTTPError(401, "This webhook lets nobody in until its parameters are corrected in XSOAR; Test names them.")


class SignatureHeaders(NamedTuple):
    """The headers of a signed delivery, in lower case: signature, timestamp, and what identifies it (empty: none)."""

    signature: str
    timestamp: str = ""
    identifier: str = ""


class SignatureScheme(NamedTuple):
    """A way of signing bodies by HMAC: where the signature stands, what is signed, how it is written."""

    headers: tuple[SignatureHeaders, ...]  # the first whose signature is there; none: Username names the header
    signed_prefix: str  # what is signed before the body
    written: re.Pattern[str]  # each signature in the header's value, hex or base64
    algorithm: str = "sha256"
    timestamp_written: re.Pattern[str] | None = None  # where the timestamp stands in the signature's header
    read_key: Callable[[str], bytes] = str.encode  # the key that a secret of the parameter Password stands for


class SignatureAuthenticator(Authenticator):
    """A signature of the body in a header, by a scheme."""

    signs_body = True
    by_headers_alone = False

    def __init__(self, scheme: SignatureScheme, header: str, secrets: Iterable[str]) -> None:
        self._scheme = scheme
        self._names = scheme.headers or (SignatureHeaders(header.lower()),)
        self.hidden_header = self._names[0].signature
        self.identifies = bool(self._names[0].identifier)
        texts = tuple(secrets)
        self.secrets = tuple(text.encode() for text in texts)
        self._keys = tuple(scheme.read_key(text) for text in texts)

    def check(self, headers: dict[str, str], query: str = "", repeated: frozenset[str] = frozenset()) -> None:
        names = self._names_in(headers)
        if names is None:
            raise MissingProof(NO_SIGNATURE)
        if not self._digests(headers[names.signature]) or (names.identifier and not headers.get(names.identifier)):
            raise HTTPError(401, NO_SIGNATURE)
        if not self._prefixes(headers, names):
            raise HTTPError(401, STALE_TIMESTAMP)

    def check_body(self, headers: dict[str, str], body: bytes) -> None:
        if not self.signing_key(headers, body):
            raise HTTPError(401, WRONG_SIGNATURE)

    def event_id(self, headers: dict[str, str]) -> str | None:
        names = self._names_in(headers)
        return headers.get(names.identifier) if names and names.identifier else None

    def signing_key(self, headers: dict[str, str], body: bytes) -> bytes:
        """Return the key the body was signed with, empty where none of ours matches."""
        names = self._names_in(headers)
        if names is None:
            return b""
        digests = self._digests(headers[names.signature])
        matching = b""
        for prefix, key in itertools.product(self._prefixes(headers, names), self._keys):
            expected = hmac.new(key, prefix, self._scheme.algorithm)
            expected.update(body)
            if _is_one_of(expected.digest(), digests):
                matching = key
        return matching

    def _names_in(self, headers: dict[str, str]) -> SignatureHeaders | None:
        return next((names for names in self._names if names.signature in headers), None)

    def _digests(self, value: str) -> tuple[bytes, ...]:
        """Return the signatures in a header's value that have the length of one."""
        size = hashlib.new(self._scheme.algorithm).digest_size
        read = (read_digest(text) for text in self._scheme.written.findall(value))
        return tuple(digest for digest in read if len(digest) == size)

    def _prefixes(self, headers: dict[str, str], names: SignatureHeaders) -> list[bytes]:
        """Return what may have been signed before the body: one for each timestamp within the tolerance."""
        if self._scheme.timestamp_written:
            written = self._scheme.timestamp_written.findall(headers[names.signature])
            timestamps = list(dict.fromkeys(written))[:MAX_TIMESTAMPS]
        elif names.timestamp:
            timestamps = [headers.get(names.timestamp, "")]
        else:
            return [self._scheme.signed_prefix.encode()]
        return [
            self._scheme.signed_prefix.format(timestamp=timestamp, id=headers.get(names.identifier, "")).encode("latin-1")
            for timestamp in timestamps
            if is_recent(timestamp)
        ]


def _is_one_of(given: bytes, expected: Iterable[bytes]) -> bool:
    """Return whether bytes equal one of several, in a time that does not tell which."""
    return sum(hmac.compare_digest(given, value) for value in expected) > 0


def is_recent(timestamp: str) -> bool:
    """Return whether a Unix time in seconds or milliseconds is within TOLERANCE_SECONDS of now."""
    if not re.fullmatch("[0-9]{1,16}", timestamp):
        return False
    seconds = int(timestamp)
    if seconds > MAX_SECONDS_TIMESTAMP:
        seconds //= 1000
    return abs(time.time() - seconds) <= TOLERANCE_SECONDS


def read_digest(text: str) -> bytes:
    """Return the bytes of a digest in hex or base64 (either alphabet, with or without padding), empty for anything else."""
    with contextlib.suppress(ValueError):
        return bytes.fromhex(text)
    with contextlib.suppress(ValueError):
        return read_base64(text)
    return b""


def read_base64(text: str) -> bytes:
    """Return the bytes of base64 in either alphabet, with or without padding; raises ValueError."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def read_secrets(password: str) -> tuple[str, ...]:
    """Return the secrets in the parameter Password: the whole, and where white space separates several, each of them.

    A phrase is one secret, or GitHub's own example, "It's a Secret to Everybody", would let in who signs with "a".
    """
    parts = password.split()
    least = MIN_PART_CHARACTERS if len(parts) <= MAX_SHORT_PARTS else MIN_LONG_PART_CHARACTERS
    if len(parts) < 2 or min(map(len, parts)) < least:
        return (password.strip(),)
    return (password.strip(), *parts)


def read_header_values(password: str) -> tuple[str, ...]:
    """Return the values a header may have: the whole password, and during a rotation each of several values.

    `Bearer XXX` is one value: its first word proves nothing. `Bearer XXX Bearer YYY` is two.
    """
    parts = password.split()
    if len(parts) > 2 and len(parts) % 2 == 0 and len(set(parts[::2])) == 1:
        return (password, *(f"{scheme} {value}" for scheme, value in zip(parts[::2], parts[1::2])))
    if any(part.isalpha() for part in parts):
        return (password,)
    return (password, *read_secrets(password)[1:])


def read_standard_secret(text: str) -> bytes:
    """Return the key that a secret of Standard Webhooks stands for; raises SettingError."""
    if text.startswith(("whsk_", "whpk_")):
        raise SettingError("Password", f"{text[:5]}... is a key of the asymmetric kind; ask the sender for a secret, whsec_...")
    try:
        key = read_base64(text.removeprefix("whsec_"))
    except ValueError:
        key = b""
    if not key:
        raise SettingError("Password", "copy the secret as the sender shows it: whsec_ followed by base64.")
    return key


# A signature alone or behind a name (`sha256=`, `v1=`), several of them separated by commas, semicolons or blanks.
ANY_SIGNATURE = re.compile(r"(?:^|[\s,;])(?:[A-Za-z][\w\-]*=)?([0-9A-Za-z+/_\-]+={0,2})(?=$|[\s,;])")
V0_SIGNATURE = re.compile(r"(?:^|[\s,])v0=([0-9A-Fa-f]+)(?=$|[\s,])")
V1_SIGNATURE = re.compile(r"(?:^|[\s,])v1=([0-9A-Fa-f]+)(?=$|[\s,])")
STANDARD_SIGNATURE = re.compile(r"(?:^|[\s,])v1,([0-9A-Za-z+/_\-]+={0,2})(?=$|[\s,])")
STRIPE_TIMESTAMP = re.compile(r"(?:^|[\s,])t=([0-9]+)(?=$|[\s,])")

SIGNATURE_SCHEMES = {
    # GitHub, Shopify, Jira, Linear, Sentry, PagerDuty and most others
    "_hmac": SignatureScheme((), "", ANY_SIGNATURE),
    "_hmac-sha256": SignatureScheme((), "", ANY_SIGNATURE),
    "_hmac-sha1": SignatureScheme((), "", ANY_SIGNATURE, "sha1"),
    "_hmac-sha512": SignatureScheme((), "", ANY_SIGNATURE, "sha512"),
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    "_standard-webhooks": SignatureScheme(
        tuple(SignatureHeaders(f"{sender}-signature", f"{sender}-timestamp", f"{sender}-id") for sender in ("webhook", "svix")),
        "{id}.{timestamp}.",
        STANDARD_SIGNATURE,
        read_key=read_standard_secret,
    ),
    # https://docs.slack.dev/authentication/verifying-requests-from-slack
    "_slack": SignatureScheme(
        (SignatureHeaders("x-slack-signature", "x-slack-request-timestamp"),), "v0:{timestamp}:", V0_SIGNATURE
    ),
    # https://developers.zoom.us/docs/api/webhooks/
    "_zoom": SignatureScheme((SignatureHeaders("x-zm-signature", "x-zm-request-timestamp"),), "v0:{timestamp}:", V0_SIGNATURE),
    # https://docs.stripe.com/webhooks
    "_stripe": SignatureScheme((), "{timestamp}.", V1_SIGNATURE, timestamp_written=STRIPE_TIMESTAMP),
}
SCHEME_USAGES = {  # how each is written in the parameter Username; what stands behind the colon is for the instance to say
    "_header": "_header:<HEADER-NAME>, such as _header:Authorization, without spaces",
    "_hmac": "_hmac:<HEADER-NAME>, such as _hmac:X-Hub-Signature-256, without spaces",
    "_hmac-sha256": "_hmac-sha256:<HEADER-NAME>, such as _hmac-sha256:X-Hub-Signature-256, without spaces",
    "_hmac-sha1": "_hmac-sha1:<HEADER-NAME>, such as _hmac-sha1:X-Hub-Signature, without spaces",
    "_hmac-sha512": "_hmac-sha512:<HEADER-NAME>, such as _hmac-sha512:X-TFE-Notification-Signature, without spaces",
    "_standard-webhooks": "_standard-webhooks, with nothing behind it",
    "_slack": "_slack, with nothing behind it",
    "_zoom": "_zoom, with nothing behind it",
    "_stripe": "_stripe:<HEADER-NAME>, such as _stripe:Stripe-Signature, without spaces",
    "_query": "_query:<FIELD-NAME>, such as _query:token, without spaces",
}
OWN_SCHEMES = {  # headers whose signature is not that of the body alone, and what checks it
    **{names.signature: name for name, scheme in SIGNATURE_SCHEMES.items() for names in scheme.headers},
    "stripe-signature": "_stripe:Stripe-Signature",
}
WRONG_SECRETS = (  # how a vendor's other secrets begin, which are easily taken for the one that signs
    ("_slack", ("xox", "xapp-"), "it is a token; copy the Signing Secret from the app's Basic Information."),
    ("_stripe", ("sk_", "pk_", "rk_"), "it is an API key; copy the endpoint's signing secret, whsec_..."),
)


def choose_authenticator(username: str, password: str) -> Authenticator:
    """Return the authenticator for the parameters Username and Password; raises SettingError."""
    if not username and not password:
        return Authenticator()
    if not username or not password:
        absent = "Password" if username else "Username"
        raise SettingError(absent, "it is empty while the other of the two is not; fill in both, or neither.")
    scheme, colon, name = username.partition(":")
    scheme = scheme.strip().lower()
    if scheme not in SCHEME_USAGES:
        refuse_mistyped_scheme(scheme, bool(colon))
        return BasicAuthenticator(username, password)
    name = name.strip(" ")
    takes_name = "<" in SCHEME_USAGES[scheme]
    if not re.fullmatch((QUERY_NAME if scheme == "_query" else HEADER_NAME) if takes_name else "", name):
        raise SettingError("Username", f"write {SCHEME_USAGES[scheme]}.")
    if not password.strip():
        raise SettingError("Password", "it is nothing but white space; enter the secret that the sender has, too.")
    if scheme == "_header":
        if password != password.strip(" \t") or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", password):
            raise SettingError(
                "Password", "no header can carry it: remove spaces at its ends, line breaks and control characters."
            )
        return HeaderAuthenticator(name, password)
    if scheme == "_query":
        return QueryAuthenticator(name, password)
    return choose_signature(scheme, name, password)


def refuse_mistyped_scheme(scheme: str, has_colon: bool) -> None:
    """Raise SettingError for a username that is meant to name a scheme but does not; others are Basic's."""
    close = difflib.get_close_matches(scheme, SCHEME_USAGES, n=1, cutoff=0.85) if scheme.startswith("_") else []
    if close:
        raise SettingError("Username", f"write {SCHEME_USAGES[close[0]]}.")
    if scheme.startswith("_") and has_colon:
        known = ", ".join(usage.partition(",")[0] for usage in SCHEME_USAGES.values())
        raise SettingError("Username", f"there is no scheme {scheme}; write one of {known}, or for Basic a name without a colon.")


def choose_signature(scheme: str, header: str, password: str) -> Authenticator:
    """Return the authenticator for a scheme of SIGNATURE_SCHEMES; raises SettingError for what could match nothing."""
    own = OWN_SCHEMES.get(header.lower())
    if scheme.startswith("_hmac") and own:
        raise SettingError("Username", f"{header} signs more than the body; write {own}.")
    for name, beginnings, mend in WRONG_SECRETS:
        if scheme == name and password.strip().startswith(beginnings):
            raise SettingError("Password", mend)
    row = SIGNATURE_SCHEMES[scheme]
    # A secret of base64 holds no blank, so there every part is a secret.
    secrets = tuple(password.split()) if row.read_key is read_standard_secret else read_secrets(password)
    return SignatureAuthenticator(row, header, secrets)


# ---------------------------------------------------------------------------------------------------------------------
# Handshakes: what vendors ask before they send events, answered without an incident
#
# One row a vendor: a recognizer, which returns what is to be echoed or None, and an answer. Rows that reveal nothing may
# answer before authentication, because the vendor sends them unsigned; the others only to a sender that has proved itself.
# What is echoed is short printable ASCII, as JSON or plain text that no browser takes for a page (nosniff).
# ---------------------------------------------------------------------------------------------------------------------

MAX_HANDSHAKE_BYTES = 8 * KIB  # of a body: a confirmation of SNS has 2 KiB, the others less
ECHOED = re.compile(r"[ -~]{1,1024}")  # printable ASCII: what a page or another header needs is not in it, or not alone
NO_EVENTS = (b"", b"{}", b"[]", b"null")
CONFIRM_SECONDS = 10
# The whole URL is matched, because two parsers of one URL may disagree on where its host ends.
SNS_URL = re.compile(r"https://sns\.[a-z0-9-]{1,40}\.amazonaws\.com(?:\.cn)?(?::443)?/[!-\[\]-~]*")
ALIVE = b'{"status":"ok"}'


class HandshakeCall:
    """A request as far as handshakes look at it; the body is empty where it is not read yet."""

    def __init__(self, method: str, headers: dict[str, str], query: str = "", body: bytes = b"") -> None:
        self.method = method
        self.headers = headers
        self.query = query
        self.body = body

    @functools.cached_property
    def fields(self) -> dict[str, list[str]]:
        """The fields of the query string, each with its values."""
        try:
            return parse_qs(self.query, keep_blank_values=True, errors="replace", max_num_fields=MAX_FORM_FIELDS)
        except ValueError:
            return {}

    def field(self, name: str) -> str:
        """Return the value of a field that came once, else an empty string."""
        values = self.fields.get(name, ())
        return values[0] if len(values) == 1 else ""

    @functools.cached_property
    def json(self) -> Any:
        """The parsed body, None where it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Handshake(NamedTuple):
    """One vendor's handshake: ``recognize`` returns what ``answer`` needs, None for any other request."""

    vendor: str
    methods: tuple[str, ...]
    unsigned: bool  # the vendor cannot prove itself here, and the answer reveals nothing
    recognize: Callable[[HandshakeCall, Settings], Any]
    answer: Callable[[Any, HandshakeCall, Settings], Answer]
    mark: bytes = b""  # what the body has to hold before it is parsed at all
    head_mark: str = ""  # the header, or what the query string has to hold, where a POST's body has no mark
    notice: str = ""  # what the instance's health has to tell, with {recognized} in it


class Handshaken(NamedTuple):
    """An answered handshake: the answer, whose it was, and what the instance's health has to tell of it, if anything."""

    answer: Answer
    vendor: str
    notice: str = ""


def answer_handshake(call: HandshakeCall, settings: Settings, proven: bool) -> Handshaken | None:
    """Return the answer where the request is a handshake that may be answered now, None for any other.

    The body of a POST has to be there whole. ``proven`` tells whether authentication has passed. Raises HTTPError
    (400, 502) where a handshake fails.
    """
    body = call.body
    if not settings.handshakes or len(body) > MAX_HANDSHAKE_BYTES or "content-encoding" in call.headers:
        return None
    for row in HANDSHAKES.get(call.method, ()):
        if row.mark in body and (proven or row.unsigned):
            recognized = row.recognize(call, settings)
            if recognized is not None:
                notice = row.notice.format(recognized=recognized)
                return Handshaken(row.answer(recognized, call, settings), row.vendor, notice)
    return None


def asks_by_head(headers: dict[str, str], query: str) -> bool:
    """Return whether the head of a POST may be a handshake's."""
    return any(mark in headers or mark in query for mark in HEAD_MARKS)


def asks_by_body(body: bytes) -> bool:
    """Return whether a body may be a handshake's. Nearly none is, which is found out without parsing it."""
    return len(body) <= MAX_HANDSHAKE_BYTES and any(map(body.__contains__, BODY_MARKS))


def may_be_handshake(method: str, headers: dict[str, str], settings: Settings) -> bool:
    """Return whether a request that proves nothing may be a handshake, for which the small body of a POST is read first."""
    if not settings.handshakes or method not in HANDSHAKES:
        return False
    if method != "POST":
        return True
    # Who asks before it sends its body, or packs it, sends no handshake, and is refused without reading on.
    if headers.keys() & {"transfer-encoding", "content-encoding", "expect"}:
        return False
    return int(headers.get("content-length", 0)) <= MAX_HANDSHAKE_BYTES


def echoed(value: Any) -> str | None:
    """Return a text that may be echoed, None for any other value."""
    return value if isinstance(value, str) and ECHOED.fullmatch(value) else None


def _answer_json(value: Any) -> Answer:
    return Answer(content=to_json(value).encode())


def _answer_text(text: str, *_: Any) -> Answer:
    return Answer(content=text.encode(), content_type="text/plain")


def _slack_challenge(call: HandshakeCall, _: Settings) -> str | None:
    asked = call.json
    if not isinstance(asked, dict) or asked.get("type") != "url_verification" or asked.keys() - {"type", "challenge", "token"}:
        return None
    return echoed(asked.get("challenge"))


def _lone_challenge(call: HandshakeCall, _: Settings) -> str | None:
    asked = call.json
    return echoed(asked["challenge"]) if isinstance(asked, dict) and list(asked) == ["challenge"] else None


def _graph_token(call: HandshakeCall, _: Settings) -> str | None:
    if "validationToken" not in call.query or call.body.strip() not in NO_EVENTS:
        return None
    return echoed(call.field("validationToken"))


def _event_grid_code(call: HandshakeCall, _: Settings) -> str | None:
    events = call.json
    if not isinstance(events, list) or len(events) != 1 or not isinstance(events[0], dict):
        return None
    data = events[0].get("data")
    if events[0].get("eventType") != "Microsoft.EventGrid.SubscriptionValidationEvent" or not isinstance(data, dict):
        return None
    return echoed(data.get("validationCode"))


def _meta_challenge(call: HandshakeCall, settings: Settings) -> str | None:
    if call.field("hub.mode") != "subscribe":
        return None
    # Whoever knows the password has proved itself; a wrong one goes on to authentication, where failures are counted.
    known = _is_one_of(call.field("hub.verify_token").encode(), settings.authenticator.secrets)
    return echoed(call.field("hub.challenge")) if known else None


def _dropbox_challenge(call: HandshakeCall, settings: Settings) -> str | None:
    if call.fields.keys() - {"challenge", settings.authenticator.hidden_query}:
        return None
    return echoed(call.field("challenge"))


def _cloud_events_answer(origin: str, call: HandshakeCall, _: Settings) -> Answer:
    rate = (("WebHook-Allowed-Rate", "*"),) if "webhook-request-rate" in call.headers else ()
    return Answer(content=ALIVE, headers=(("WebHook-Allowed-Origin", origin), *rate, ("Allow", "POST")))


def _zoom_token(call: HandshakeCall, settings: Settings) -> tuple[str, bytes] | None:
    asked = call.json
    if not isinstance(asked, dict) or asked.get("event") != "endpoint.url_validation":
        return None
    payload = asked.get("payload") if not asked.keys() - {"event", "event_ts", "payload"} else None
    token = echoed(payload["plainToken"]) if isinstance(payload, dict) and list(payload) == ["plainToken"] else None
    key = settings.authenticator.signing_key(call.headers, call.body)
    return (token, key) if token and key else None


def _zoom_answer(token_and_key: tuple[str, bytes], *_: Any) -> Answer:
    token, key = token_and_key
    return _answer_json({"plainToken": token, "encryptedToken": hmac.new(key, token.encode(), "sha256").hexdigest()})


def _asana_secret(call: HandshakeCall, _: Settings) -> str | None:
    if "x-hook-secret" not in call.headers:
        return None
    has_events = call.body.strip() not in NO_EVENTS and call.json != {"events": []}
    return None if has_events else echoed(call.headers["x-hook-secret"])


def _sns_url(call: HandshakeCall, _: Settings) -> str | None:
    asked = call.json
    if not isinstance(asked, dict) or asked.get("Type") != "SubscriptionConfirmation":
        return None
    if not isinstance(asked.get("SubscribeURL"), str):
        return None
    if not SNS_URL.fullmatch(asked["SubscribeURL"]):
        raise BadRequest("SubscribeURL is no address of Amazon SNS, https://sns.<region>.amazonaws.com/..., and was not fetched.")
    return asked["SubscribeURL"]


def _confirm_sns(url: str, _: HandshakeCall, settings: Settings) -> Answer:
    """Fetch the URL that confirms a subscription, without holding up anybody else; raises HTTPError (502)."""
    attempt = gevent.get_hub().threadpool.spawn(confirm_subscription, url, settings.proxy)
    try:
        failure = attempt.get(timeout=CONFIRM_SECONDS)
    except gevent.Timeout:
        failure = f"no answer within {CONFIRM_SECONDS} s"
    if failure:
        raise HTTPError(502, f"The subscription could not be confirmed at Amazon SNS: {failure}. Let SNS request it again.")
    return Answer(content=b'{"status":"confirmed"}')


def confirm_subscription(url: str, use_proxy: bool) -> str:
    """Fetch a URL of SNS with the system's proxy or without; return why that failed, empty after a success.

    It blocks for up to CONFIRM_SECONDS a step, so it belongs on a native thread.
    """
    import requests  # CommonServerPython's own HTTP client; only this handshake needs it

    with requests.Session() as session:
        session.trust_env = False  # the environment's proxy counts where the instance says so
        proxies = requests.utils.get_environ_proxies(url) if use_proxy else {}
        trusted = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or True  # XSOAR's custom certificates
        try:
            with session.get(
                url, timeout=CONFIRM_SECONDS, allow_redirects=False, proxies=proxies, verify=trusted, stream=True
            ) as response:
                return "" if response.status_code == 200 else f"it answered {response.status_code}"
        except (requests.RequestException, OSError) as error:
            return type(error).__name__


def _url_check(call: HandshakeCall, settings: Settings) -> bool | None:
    return None if call.query else True


def _proven_url_check(call: HandshakeCall, settings: Settings) -> bool | None:
    return True if list(call.fields) == [settings.authenticator.hidden_query] else None


HANDSHAKE_ROWS = (
    # https://docs.slack.dev/reference/events/url_verification (signed as all of Slack's requests)
    Handshake("Slack", ("POST",), False, _slack_challenge, lambda text, *_: _answer_json({"challenge": text}), b'"challenge"'),
    # https://developer.monday.com/api-reference/reference/webhooks
    Handshake("monday.com", ("POST",), True, _lone_challenge, lambda text, *_: _answer_json({"challenge": text}), b'"challenge"'),
    # https://developer.okta.com/docs/concepts/event-hooks/
    Handshake(
        "Okta",
        ("GET",),
        True,
        lambda call, _: echoed(call.headers.get("x-okta-verification-challenge")),
        lambda text, *_: _answer_json({"verification": text}),
    ),
    # https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
    Handshake("Microsoft Graph", ("POST",), True, _graph_token, _answer_text, head_mark="validationToken"),
    # https://learn.microsoft.com/azure/event-grid/webhook-event-delivery
    Handshake(
        "Azure Event Grid",
        ("POST",),
        True,
        _event_grid_code,
        lambda text, *_: _answer_json({"validationResponse": text}),
        b"Microsoft.EventGrid.SubscriptionValidationEvent",
    ),
    # https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md
    Handshake(
        "CloudEvents",
        ("OPTIONS",),
        True,
        lambda call, _: echoed(call.headers.get("webhook-request-origin")),
        _cloud_events_answer,
    ),
    # https://developers.facebook.com/docs/graph-api/webhooks/getting-started
    Handshake("Meta", ("GET",), True, _meta_challenge, _answer_text),
    # https://developers.zoom.us/docs/api/webhooks/ (the answer is signed, which no stranger may have done)
    Handshake("Zoom", ("POST",), False, _zoom_token, _zoom_answer, b"endpoint.url_validation"),
    # https://www.dropbox.com/developers/reference/webhooks
    Handshake("Dropbox", ("GET",), True, _dropbox_challenge, _answer_text),
    # https://developers.asana.com/docs/webhooks-guide
    Handshake(
        "Asana",
        ("POST",),
        True,
        _asana_secret,
        lambda secret, *_: Answer(content=ALIVE, headers=(("X-Hook-Secret", secret),)),
        head_mark="x-hook-secret",
        notice="If you have just registered this webhook at Asana, enter as Username _hmac:X-Hook-Signature and as Password "
        "{recognized}. If you have not, somebody else sent this: ignore it.",
    ),
    # https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-and-unsubscription-confirmation-json-formats.html
    Handshake("Amazon SNS", ("POST",), False, _sns_url, _confirm_sns, b"SubscriptionConfirmation"),
    # Forms that look at a URL before they take it
    Handshake("URL check", ("GET", "HEAD"), True, _url_check, lambda *_: Answer(content=ALIVE)),
    Handshake("URL check", ("GET", "HEAD"), False, _proven_url_check, lambda *_: Answer(content=ALIVE)),
)
HANDSHAKES = {
    method: tuple(row for row in HANDSHAKE_ROWS if method in row.methods) for method in ("GET", "HEAD", "OPTIONS", "POST")
}
BODY_MARKS = tuple({row.mark for row in HANDSHAKES["POST"] if row.mark})
HEAD_MARKS = tuple({row.head_mark for row in HANDSHAKES["POST"] if not row.mark})


# ---------------------------------------------------------------------------------------------------------------------
# Payload: what does it say?
#
# A body is read in this order: content encoding, JSON under any type (one value, or several one after the other), the declared
# type (a JSON type is refused where it is none; forms), text, base64. docs/bodies.md has the same order.
#
# Whatever a stranger posts may be 25 MiB of the worst there is. What is quadratic, or holds the interpreter for long, is bounded
# before it begins; the limits are at the head of this section.
# ---------------------------------------------------------------------------------------------------------------------

MAX_NESTING = 200  # levels; every supported Python parses it, and no alert comes near
MAX_NUMBER_DIGITS = 308  # beyond it a number fits no double, which is what XSOAR would read it as
MAX_JSON_CONTAINERS = 1_000_000  # objects and arrays of one body: empty ones take forty times their bytes in memory
MAX_JSON_FIELDS = 500_000  # of one body: half a million keys are built in 0.2 s, while everybody else waits
COUNTED_JSON_CHARACTERS = 1 * MIB  # a shorter text cannot have so many fields that it matters
MAX_FORM_FIELDS = 1000
MAX_PART_HEADER_BYTES = 8 * KIB  # of one part of a multipart form
MAX_PART_HEADERS = 32  # lines
MAX_GZIP_MEMBERS = 1000
MAX_CONTENT_TYPE_CHARACTERS = 1000  # the standard library's parser is quadratic in them
ESCAPED_PARTS = 4  # of a large text at most every fourth character may need an escape: on the wire each becomes four bytes
REPLACED_PARTS = 10  # and at most every tenth may be a replacement of a byte that is no text: on the wire it has six bytes
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
XML_ENCODING = re.compile(rb"""\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
FORM_FIELD_NAME = re.compile(r'[^\s<>{}|"=&]+')  # a urlencoder leaves none of these in a name, CEF and XML do
FORM_FLAG = re.compile(r"[A-Za-z0-9_.%\[\]-]+")  # a field without a value
LOG_FIELD = re.compile(r'\s[A-Za-z_][\w.-]*=|="')  # as in `date=2024-05-10 time=11:37:47`: a line of a log, and no form
# Possessive, because what it might give back would take a gigabyte, and bounded, because one match keeps all threads waiting.
PERCENT_RUN = re.compile(rb"(?:%[0-9A-Fa-f]{2}){1,50000}+")
RAW_NAME = re.compile(r'"(raw_json|rawJson|rawJSON)"[ ]*(?::[ ]*)?')  # in our own format; as a value nothing follows it
JSON_KEY = re.compile(r'[^\\]"\s*:')
JSON_BLANKS = " \t\r\n"
PADDING = " \t\r\n\0\x1e"  # around JSON: some senders end it with a NUL; RFC 7464 puts a record separator before each value
NO_ENCODINGS = {"", "identity", "none", "utf-8", "utf8", "7bit", "8bit", "binary"}  # what says that nothing is packed
GZIP_MAGIC = b"\x1f\x8b\x08"
LINES_TYPES = {"application/x-ndjson", "application/jsonl", "application/ndjson"}


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


def read_payload(
    body: bytes,
    content_type_header: str,
    content_encoding: str,
    query: dict[str, Any] | None = None,
    keep_unreadable: bool = False,
) -> list[Any]:
    """Return the items of a request's body, one for each incident it asks for; raises HTTPError (400, 413, 415).

    Without a body, the fields of the query string are the item. With ``keep_unreadable``, JSON that cannot be read is one with
    ``body`` and ``problem``.
    """
    if content_encoding or body[:3] == GZIP_MAGIC:
        body = unpack(body, supported_encoding(content_encoding))
    if not body or body.isspace():
        if query:
            return [dict(query)]
        raise BadRequest(f"The body is empty. {EXPECTED}")
    content_type = ContentType.parse(content_type_header)
    try:
        items = _read_items(body, content_type)
    except UnreadableJson as error:
        sentence = f"The body is not the JSON its Content-Type says: {error}."
        if not keep_unreadable:
            raise BadRequest(sentence) from None
        items = [{**text_or_base64(body, content_type), "problem": sentence}]
    if not items:
        raise BadRequest(f"The body holds no event. {EXPECTED}")
    if len(items) > MAX_ITEMS:
        raise HTTPError(413, f"The body holds more than {MAX_ITEMS} events; send them in several requests.")
    return items


def _read_items(body: bytes, content_type: ContentType) -> list[Any]:
    """Return a body's items; raises UnreadableJson where a JSON type is declared and the body is none."""
    declared = is_json_type(content_type.name) or content_type.name in LINES_TYPES
    try:
        items = read_json(decode_json_text(body, content_type), content_type.name, declared)
        if items is not None:
            return items
    except UnicodeDecodeError as error:
        if declared:
            raise UnreadableJson(f"it is not valid {error.encoding} at byte {error.start}; send it as UTF-8") from None
    except UnreadableJson:
        if declared:
            raise
    items = None
    if content_type.name == "application/x-www-form-urlencoded":
        items = read_form(body, content_type)
    elif content_type.name == "multipart/form-data":
        items = read_multipart(body, content_type)
    return [text_or_base64(body, content_type)] if items is None else items


def is_json_type(name: str) -> bool:
    """Return whether a type promises JSON."""
    return name in ("application/json", "text/json", "application/csp-report", "application/json-seq") or name.endswith("+json")


# ---- JSON


class UnreadableJson(ValueError):
    """Bytes that are no JSON we take; the message says why and where. ``more``: a value is there, and something behind it."""

    def __init__(self, message: str, more: bool = False) -> None:
        super().__init__(message)
        self.more = more


class Array(list[Any]):
    """The items of a JSON array, whose wrong fields are named by their place."""


class Whole(list[Any]):
    """The only item of a small body that is one JSON object, and the text of what becomes its rawJSON.

    The text is empty where it cannot stay as it came. In our own format it is that of ``raw_json``.
    """

    def __init__(self, item: dict[str, Any], text: str) -> None:
        super().__init__((item,))
        self.text = text


def as_items(value: Any) -> list[Any]:
    """Return the items of a JSON value: an array's elements, or the value itself."""
    return Array(value) if isinstance(value, list) else [value]


def read_json(text: str, type_name: str, declared: bool) -> list[Any] | None:
    """Return the items of a text that is JSON, None where it does not look like it; raises UnreadableJson.

    Under a type that promises JSON any value is taken, else objects and arrays only: a number or a word is text.
    """
    text = text.strip(PADDING)
    first = text[:1]
    if not declared and first not in ("{", "[") and not text.startswith(('"{', '"[', '"\\"')):
        return None
    alterations = DECODED.alteration
    try:
        value, raw = parse_small(text) if len(text) <= SMALL_BODY_BYTES else (parse_json(text), "")
    except UnreadableJson as error:
        if not error.more:
            raise
        return read_json_sequence(text, type_name, declared)
    if isinstance(value, dict):
        as_it_came = DECODED.alteration is alterations and not ("\n" in raw or "\r" in raw or "\t" in raw)
        return Whole(value, raw if as_it_came else "")
    if isinstance(value, str) and value[:1] in ("{", "["):  # JSON within JSON's quotes
        with contextlib.suppress(UnreadableJson):
            value = parse_json(value)
    return as_items(value) if declared or not isinstance(value, str) else None


def read_json_sequence(text: str, type_name: str, declared: bool) -> list[Any] | None:
    """Return JSON values that stand one after the other, each on a line or not; raises UnreadableJson.

    Unless a type promises JSON, they have to be objects. A type of JSON lines, or a sequence (RFC 7464), may hold any values.
    """
    any_values = type_name in LINES_TYPES or type_name in ("application/json-seq", "application/stream+json")
    if type_name in LINES_TYPES:
        with contextlib.suppress(UnreadableJson):
            return read_json_lines(text)
    decoder = DECODER if len(text) <= SMALL_BODY_BYTES else LARGE_DECODER
    values: list[Any] = []
    place = 0
    while place < len(text) and len(values) <= MAX_ITEMS:  # more are refused by our caller
        value, place = _parse_at(decoder, text, place)
        if not isinstance(value, (dict, list) if declared else dict) and not any_values:
            raise UnreadableJson(f"there is something behind the value that ends at character {place}")
        values.append(value)
        place += len(text[place : place + 100]) - len(text[place : place + 100].lstrip(PADDING))
        while text[place : place + 1] and text[place] in PADDING:
            place += 1
    return values


def read_json_lines(text: str) -> list[Any]:
    """Return the value of each line that is not blank; raises UnreadableJson that names a broken line."""
    values = []
    for number, line in enumerate(io.StringIO(text, newline="\n"), 1):  # line by line: a million lines cost nothing
        line = line.strip(PADDING)
        if not line:
            continue
        try:
            values.append(parse_json(line))
        except UnreadableJson as error:
            raise UnreadableJson(f"line {number}: {error}") from None
        if len(values) > MAX_ITEMS:
            break  # refused by our caller, who need not read on
    return values


class Decoded:
    """What the decoders' hooks leave: ``alteration`` is another object after each value that became another than its text."""

    def __init__(self) -> None:
        self.alteration = object()

    def altered(self, text: str) -> str:
        """Keep as a string a number that XSOAR could not read."""
        self.alteration = object()
        return text


DECODED = Decoded()


def _number(text: str) -> int | float | str:
    # Python would read 1e999 as infinity, which is no JSON, and its int() has limits that differ between versions.
    value = float(text)
    return DECODED.altered(text) if math.isinf(value) else value


def _whole_number(text: str) -> int | str:
    return int(text) if len(text) <= MAX_NUMBER_DIGITS else DECODED.altered(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(pairs)


# NaN and Infinity are no JSON, yet many programs write them: kept as the strings "NaN", "Infinity" and "-Infinity". So are line
# breaks and tabs within a string (strict=False).
DECODER = json.JSONDecoder(parse_float=_number, parse_int=_whole_number, parse_constant=DECODED.altered, strict=False)
# The same without those: what it takes is JSON as it stands.
STRICT_DECODER = json.JSONDecoder(parse_float=_number, parse_int=_whole_number, parse_constant=DECODED.altered)
# The same with a hook in Python, at which a thread gives way: the parser in C would keep all others waiting to its end.
LARGE_DECODER = json.JSONDecoder(
    parse_float=_number, parse_int=_whole_number, parse_constant=DECODED.altered, strict=False, object_pairs_hook=_object
)


def parse_small(text: str) -> tuple[Any, str]:
    """Return the value of a JSON text and the text of what becomes its rawJSON, empty where that is not known.

    In our own format the object ``raw_json`` is parsed by itself, and all around it with null in its place: so its end is known.
    A text with \\u is left alone, for it may spell names another way, and so is one with a control character in a string.
    Raises UnreadableJson.
    """
    if "\\" not in text or "\\u" not in text:
        place = text.find('"raw')
        found = RAW_NAME.search(text, place) if place >= 0 else None
        start = found.end() if found else 0
        with contextlib.suppress(ValueError, RecursionError):  # parse_json tells better what is wrong, and where
            if not found:
                value, end = STRICT_DECODER.raw_decode(text)
                if end == len(text):
                    return _checked(value, "", count_containers(text)), text
            elif text[start : start + 1] == "{" and (text.rfind('"raw') == place or not RAW_NAME.search(text, start)):
                raw, end = STRICT_DECODER.raw_decode(text, start)
                around = f"{text[:start]}null{text[end:]}"
                value, behind = STRICT_DECODER.raw_decode(around)
                if behind == len(around) and isinstance(value, dict) and found[1] in value:
                    value[found[1]] = raw
                    return _checked(value, "", count_containers(text)), text[start:end]
    return parse_json(text), ""


def parse_json(text: str) -> Any:
    """Return the value of a JSON text; raises UnreadableJson, with line and column where there are any.

    Numbers no double can hold become strings of their digits; of duplicate keys the last one wins; half of a surrogate pair
    becomes U+FFFD.
    """
    text = text.strip(JSON_BLANKS)
    containers = count_containers(text)
    value, end = _decode(DECODER if len(text) <= SMALL_BODY_BYTES else LARGE_DECODER, text, 0)
    if end < len(text):
        behind = len(text) - len(text[end:].lstrip(JSON_BLANKS))
        raise _unreadable(json.JSONDecodeError("Extra data", text, behind), more=True)
    return _checked(value, text, containers)


def _parse_at(decoder: json.JSONDecoder, text: str, place: int) -> tuple[Any, int]:
    """Return the JSON value that begins at a place, and the place behind it; raises UnreadableJson."""
    value, end = _decode(decoder, text, place)
    part = text[place:end]
    return _checked(value, part, part.count("{") + part.count("[")), end


def _decode(decoder: json.JSONDecoder, text: str, place: int) -> tuple[Any, int]:
    try:
        return decoder.raw_decode(text, place)
    except json.JSONDecodeError as error:
        raise _unreadable(error) from None
    except RecursionError:
        raise UnreadableJson(f"it is nested deeper than {MAX_NESTING} levels") from None


def _unreadable(error: json.JSONDecodeError, more: bool = False) -> UnreadableJson:
    return UnreadableJson(f"{error.msg.rstrip(': ').removesuffix(' at')} at line {error.lineno}, column {error.colno}", more)


def _checked(value: Any, text: str, containers: int) -> Any:
    """Return a parsed value that can be encoded again; raises UnreadableJson where it is nested too deep."""
    if containers > MAX_NESTING and _deeper_than(value, MAX_NESTING):
        raise UnreadableJson(f"it is nested deeper than {MAX_NESTING} levels")
    return replace_surrogates(value) if "\\u" in text and ("\\ud" in text or "\\uD" in text) else value


def count_containers(text: str) -> int:
    """Return how many objects and arrays a JSON text may hold; raises UnreadableJson where they or its fields are too many."""
    containers = text.count("{") + text.count("[")
    if containers > MAX_JSON_CONTAINERS:
        raise UnreadableJson(f"it holds more than {MAX_JSON_CONTAINERS} objects and arrays")
    if len(text) > COUNTED_JSON_CHARACTERS:
        fields = itertools.islice(JSON_KEY.finditer(text), MAX_JSON_FIELDS, None)
        if next(fields, None) is not None:
            raise UnreadableJson(f"it holds more than {MAX_JSON_FIELDS} fields; send it in several requests")
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


def replace_surrogates(value: Any) -> Any:
    """Return a parsed value with U+FFFD where a \\u escape names half of a surrogate pair, which is no character."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {replace_surrogates(name): replace_surrogates(child) for name, child in value.items()}
    return [replace_surrogates(child) for child in value] if isinstance(value, list) else value


# ---- text and bytes


def decode_text(body: bytes, content_type: ContentType) -> str:
    """Return the body's text by its byte order mark, else its charset, else UTF-8; raises UnicodeDecodeError."""
    for mark, charset in BYTE_ORDER_MARKS if body[:1] in FIRST_MARK_BYTES else ():
        if body.startswith(mark):
            return body.decode(charset)
    return body.decode(content_type.charset or "utf-8")


def decode_json_text(body: bytes, content_type: ContentType) -> str:
    """Return the body's text as JSON is encoded; raises UnicodeDecodeError.

    RFC 8259, 8.1: UTF-8, whatever a charset says, where the bytes are valid; UTF-16 and 32 give themselves away by zero bytes.
    """
    if b"\0" in body[:4]:
        detected = json.detect_encoding(body)
        if detected != "utf-8":
            return body.decode(detected)
    try:
        return body.decode() if body[:1] not in FIRST_MARK_BYTES else decode_text(body, content_type)
    except UnicodeDecodeError:
        if not content_type.charset:
            raise
        return decode_text(body, content_type)


def text_or_base64(body: bytes, content_type: ContentType) -> dict[str, str]:
    """Return ``{"body": text}``, or ``{"body_base64": ...}`` for bytes that are no text.

    Text with bytes that its charset does not know is kept both ways: readable with replacement characters, and whole.
    """
    declared = content_type.name.startswith("text/") or content_type.name.endswith(("xml", "csv", "urlencoded", "javascript"))
    whole: dict[str, str] = {}
    try:
        text = decode_text(body, content_type)
    except UnicodeDecodeError:
        own = XML_ENCODING.match(body[:300])
        charset = usable_charset(own[1].decode()) if own else ""
        text = body.decode(charset or content_type.charset or "utf-8", "replace")
        most = len(text) / REPLACED_PARTS if len(text) > COUNTED_JSON_CHARACTERS else len(text) / (1 if declared else 3)
        if text.count("\ufffd") > most:
            return {"body_base64": base64.b64encode(body).decode()}
        if "\ufffd" in text:
            whole = {"body_base64": base64.b64encode(body).decode()}
    if (CONTROL_CHARACTERS.search(text) and not declared) or (body and not text):  # nothing but a byte order mark
        return {"body_base64": base64.b64encode(body).decode()}
    if len(text) > COUNTED_JSON_CHARACTERS and (text.count('"') + text.count("\\")) * ESCAPED_PARTS > len(text):
        return {"body_base64": base64.b64encode(body).decode()}
    return {"body": text, **whole}


# ---- content encodings


def supported_encoding(header: str) -> str:
    """Return the one content encoding of a body, empty without any; raises HTTPError (415)."""
    encodings = [name for part in header.split(",") if (name := part.strip().lower()) not in NO_ENCODINGS]
    if len(encodings) > 1 or (encodings and encodings[0] not in UNPACKERS):
        raise HTTPError(
            415,
            f"Send the body with Content-Encoding {' or '.join(ACCEPTED_ENCODINGS)}, or without any.",
            Accept_Encoding=", ".join(ACCEPTED_ENCODINGS),
        )
    return encodings[0] if encodings else ""


def unpack(body: bytes, encoding: str) -> bytes:
    """Return the body without its content encoding, at most MAX_BODY_BYTES of it; raises HTTPError (400, 413).

    Some senders pack a body and do not say so, others say so and do not: the bytes themselves decide.
    """
    if body[:3] == GZIP_MAGIC:
        try:
            return _unpack_zlib(body, 31, "gzip")
        except BadRequest:
            if encoding in ("gzip", "x-gzip"):
                raise
            return body  # something else that begins like it
    if not encoding or encoding in ("gzip", "x-gzip"):
        return body
    try:
        return UNPACKERS[encoding](body)
    except BadRequest:
        if _looks_unpacked(body):
            return body
        raise


def _looks_unpacked(body: bytes) -> bool:
    """Return whether bytes that are no packed stream are a text."""
    try:
        return not CONTROL_CHARACTERS.search(body.decode())
    except UnicodeDecodeError:
        return False


def _unpack_deflate(body: bytes) -> bytes:
    # Senders disagree whether deflate has zlib's header (RFC 9110, 8.4.1.2): window bits 15 are with it, -15 without.
    has_header = len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return _unpack_zlib(body, 15 if has_header else -15, "deflate")


def _unpack_zlib(body: bytes, window: int, encoding: str) -> bytes:
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
                raise unpacked_too_large()
            position += len(part) - len(unpacker.unused_data) - len(unpacker.unconsumed_tail)
            unpacker = None if unpacker.eof else unpacker
    except zlib.error:
        raise BadRequest(f"The body is no {encoding} stream; send it packed, or without Content-Encoding.") from None
    if unpacker is not None:
        raise BadRequest(f"The body ends before its {encoding} stream does; send it whole.")
    return bytes(unpacked)


def unpacked_too_large() -> HTTPError:
    """Return the refusal of a packed body that holds more than MAX_BODY_BYTES."""
    return HTTPError(413, f"The unpacked body is larger than {MAX_BODY_BYTES // MIB} MiB; send fewer events at a time.")


UNPACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": functools.partial(_unpack_zlib, window=31, encoding="gzip"),
    "x-gzip": functools.partial(_unpack_zlib, window=31, encoding="gzip"),
    "deflate": _unpack_deflate,
}
try:
    from compression import zstd  # type: ignore[import-not-found]  # Python 3.14 and newer

    def _unpack_zstd(body: bytes) -> bytes:
        unpacker = zstd.ZstdDecompressor()
        try:
            unpacked = unpacker.decompress(body, MAX_BODY_BYTES + 1)
        except zstd.ZstdError:
            raise BadRequest("The body is no zstd stream; send it packed, or without Content-Encoding.") from None
        if len(unpacked) > MAX_BODY_BYTES:
            raise unpacked_too_large()
        if not unpacker.eof:
            raise BadRequest("The body ends before its zstd stream does; send it whole.")
        return bytes(unpacked)

    UNPACKERS["zstd"] = _unpack_zstd
except ImportError:
    pass
ACCEPTED_ENCODINGS = [name for name in UNPACKERS if name != "x-gzip"]


def is_packed(body: bytes, content_encoding: str) -> bool:
    """Return whether a body may become far larger than it is."""
    return bool(content_encoding) or body[:3] == GZIP_MAGIC


# ---- forms


def read_form(body: bytes, content_type: ContentType) -> list[Any] | None:
    """Form fields as one object; None when the text is no form (curl -d sends any text under a form's type)."""
    charset = content_type.charset or "utf-8"
    try:
        text = body.decode(charset).strip()
    except UnicodeDecodeError:
        return None  # kept whole as text
    pairs = [pair.partition("=") for pair in text.split("&", MAX_FORM_FIELDS + 1) if pair]
    is_form = all(FORM_FIELD_NAME.fullmatch(name) if equals else FORM_FLAG.fullmatch(name) for name, equals, _ in pairs)
    if not is_form or not any(equals for _, equals, _ in pairs) or any(LOG_FIELD.search(value) for *_, value in pairs):
        return None
    if len(pairs) > MAX_FORM_FIELDS:
        raise HTTPError(413, f"The form has more than {MAX_FORM_FIELDS} fields; send fewer, or JSON.")
    try:
        fields = [(unquote_field(name, charset), unquote_field(value, charset)) for name, _, value in pairs]
    except UnicodeDecodeError:
        return None
    return _form_items(fields, {})


def unquote_field(text: str, charset: str) -> str:
    """Return a form's name or value without its percent-encoding; raises UnicodeDecodeError.

    A run of escapes is undone at once: one by one, millions of them would each be an object of their own.
    """
    text = text.replace("+", " ")
    if "%" not in text:
        return text
    data = PERCENT_RUN.sub(lambda run: binascii.unhexlify(run[0].replace(b"%", b"")), text.encode(charset))
    return data.decode(charset)


def _form_items(fields: Iterable[tuple[str, Any]], others: dict[str, Any]) -> list[Any]:
    """Return the items of a form's fields: the JSON in its only field, or in ``payload``, else one object of all.

    ``others`` are its files, beside which only ``payload`` is taken for JSON; then all that is not JSON is kept as ``form``.
    """
    item = collect_fields(fields)
    name = "payload" if others else next(iter(item), "") if len(item) == 1 else ""
    if isinstance(item.get(name), str):
        text = item[name].strip(PADDING)
        if text[:1] in ("{", "["):
            with contextlib.suppress(UnreadableJson):
                items = as_items(parse_json(text))
                return _beside(items, {key: value for key, value in {**item, **others}.items() if key != name})
    return [{**item, **others}]


def _beside(items: list[Any], rest: dict[str, Any]) -> list[Any]:
    """Return the items of a form's JSON, with what else the form holds in the first of them as ``form``."""
    if rest and items:
        first = items[0] if isinstance(items[0], dict) else {"body": items[0]}
        items[0] = {**first, "form" if "form" not in first else "request_form": rest}
    return items or ([rest] if rest else [])


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


# ---- multipart forms (RFC 7578)


class FormPart(NamedTuple):
    """One part of a multipart form: its headers and its bytes, without their transfer encoding."""

    headers: email.message.Message
    data: bytes

    @property
    def name(self) -> str:
        """The field's name."""
        return self._disposition("name")

    @property
    def filename(self) -> str | None:
        """The file's name, None where the part is a field."""
        filename = self.headers.get_filename()
        return None if filename is None else decode_words(filename)

    @property
    def type(self) -> ContentType:
        """The part's own type."""
        return ContentType.parse(str(self.headers.get("content-type", "")))

    def _disposition(self, name: str) -> str:
        value = self.headers.get_param(name, header="content-disposition")
        if isinstance(value, tuple):  # RFC 2231: charset, language, value
            value = email.utils.collapse_rfc2231_value(value)
        return decode_words(value) if isinstance(value, str) else ""


def read_multipart(body: bytes, content_type: ContentType) -> list[Any] | None:
    """The fields and files of a multipart form as one object; raises HTTPError (400, 413) where its parts cannot be told apart.

    Each part is read by its own charset, type and transfer encoding; one that cannot be read costs that part alone.
    """
    parts = [read_part(part) for part in split_parts(body, content_type.parameter("boundary"))]
    fields = [part for part in parts if part.filename is None]
    charsets = field_charsets(fields)
    files = collect_fields((part.name, describe_file(part)) for part in parts if part.filename is not None)
    texts = [(part.name, field_value(part, charsets.get(part.name, ""))) for part in fields]
    names = {name for name, _ in texts}
    if names & files.keys():  # a field and a file of the same name
        return [collect_fields([*texts, *((name, value) for name, value in files.items())])]
    return _form_items(texts, files)


def split_parts(body: bytes, boundary: str) -> Iterator[bytes]:
    """Yield the parts of a multipart body, headers and all (RFC 2046, 5.1.1; line feeds alone are taken, too)."""
    delimiter = b"--" + boundary.encode("latin-1", "replace")
    line = re.compile(re.escape(delimiter) + rb"(--)?[ \t]*(?:\r?\n|\Z)")
    found = line.match(body) if boundary else None
    start, count, place = 0, 0, 0
    while boundary and not (found and found[1]):
        if found:
            start = found.end()
            count += 1
        if count > MAX_FORM_FIELDS:
            raise HTTPError(413, f"The form has more than {MAX_FORM_FIELDS} parts; send fewer, or JSON.")
        place = body.find(b"\n" + delimiter, max(place, start - 1)) + 1
        if not place:
            break
        found = line.match(body, place)
        if found and count:
            yield body[start : place - 1].removesuffix(b"\r") if place > start else b""
    if not found or not found[1]:
        raise BadRequest("The body is no multipart form with the boundary its Content-Type names; send it whole.")


def read_part(part: bytes) -> FormPart:
    """Return a part's headers and data; raises BadRequest for headers that are no form's."""
    if part.startswith((b"\r\n", b"\n")):
        head, data = b"", part.removeprefix(b"\r").removeprefix(b"\n")
    else:
        end = re.search(rb"\r?\n\r?\n", part[: MAX_PART_HEADER_BYTES + 4])
        head, data = (part[: end.start()], part[end.end() :]) if end else (part, b"")
    if len(head) > MAX_PART_HEADER_BYTES or head.count(b"\n") >= MAX_PART_HEADERS or re.search(rb"\n[ \t]", head):
        raise BadRequest(
            f"A part of the form has headers over {MAX_PART_HEADER_BYTES // KIB} KiB or {MAX_PART_HEADERS} lines, or folded ones."
        )
    try:
        text = head.decode()
    except UnicodeDecodeError:
        text = head.decode("latin-1")
    headers = email.message.Message()
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and len(value) <= MAX_CONTENT_TYPE_CHARACTERS:
            headers[name.strip()] = value.strip()
    return FormPart(headers, undo_transfer_encoding(data, str(headers.get("content-transfer-encoding", ""))))


def undo_transfer_encoding(data: bytes, encoding: str) -> bytes:
    """Return a part's bytes; where they are not encoded as they say, as they are."""
    try:
        if encoding.strip().lower() == "base64":
            return base64.b64decode(b"".join(data.split()), validate=True)
        if encoding.strip().lower() == "quoted-printable":
            return quopri.decodestring(data)
    except ValueError:
        pass
    return data


def field_charsets(fields: list[FormPart]) -> dict[str, str]:
    """Return charsets by field: what SendGrid names in ``charsets``, or what a form says of all of them in ``_charset_``."""
    known: dict[str, str] = {}
    for part in fields:
        if part.name == "charsets" and len(part.data) <= SMALL_BODY_BYTES:
            with contextlib.suppress(ValueError, RecursionError):
                named = json.loads(part.data)
                known |= (
                    {str(name): usable_charset(str(charset)) for name, charset in named.items()}
                    if isinstance(named, dict)
                    else {}
                )
        elif part.name == "_charset_" and len(part.data) < 40:
            charset = usable_charset(part.data.decode("latin-1"))
            known = dict.fromkeys((other.name for other in fields), charset) | known
    return known


def field_value(part: FormPart, charset: str) -> Any:
    """Return a field's text, its value where it is declared as JSON, or what can be read of it and all of it in base64."""
    content_type = part.type
    if is_json_type(content_type.name):
        with contextlib.suppress(UnicodeDecodeError, UnreadableJson):
            return parse_json(decode_json_text(part.data, content_type).strip(PADDING))
    content_type = content_type._replace(charset=content_type.charset or charset, name=content_type.name or "text/plain")
    read = text_or_base64(part.data, content_type)
    return read["body"] if read.keys() == {"body"} else read


def describe_file(part: FormPart) -> dict[str, Any]:
    """Return what is kept of a file: name, type, size in bytes, and its text or its bytes in base64."""
    described = {"name": part.filename, "type": str(part.headers.get("content-type", "")), "size": len(part.data)}
    return {**described, **text_or_base64(part.data, part.type)}


def decode_words(text: str) -> str:
    """Return a name without the encoded words of RFC 2047, which some senders write where RFC 7578 has none."""
    if "=?" not in text:
        return text
    try:
        return str(email.header.make_header(email.header.decode_header(text)))
    except (ValueError, LookupError, email.errors.HeaderParseError):
        return text


# ---- values within values


def carries_another(item: Any) -> bool:
    """Return whether an event's sender is known for what it carries within it as text or base64."""
    return isinstance(item, dict) and ("TopicArn" in item or "data_base64" in item or "subscription" in item)


def add_decoded(item: Any) -> Any:
    """Return an event with what it carries as text or base64 beside it as ``decoded``, where its sender is known for that.

    Amazon SNS (``Message``), Google Pub/Sub (``message.data``), CloudEvents (``data_base64``).
    """
    if not carries_another(item) or "decoded" in item:
        return item
    if "TopicArn" in item and isinstance(item.get("Message"), str):
        carried: str | bytes = item["Message"]
    elif "data_base64" in item and "specversion" in item:
        carried = decode_base64(item["data_base64"])
    elif "subscription" in item and isinstance(item.get("message"), dict):
        carried = decode_base64(item["message"].get("data"))
    else:
        return item
    with contextlib.suppress(UnreadableJson, UnicodeDecodeError):
        text = carried if isinstance(carried, str) else carried.decode()
        if text.strip(PADDING)[:1] in ("{", "["):
            return {**item, "decoded": parse_json(text.strip(PADDING))}
        if text and not isinstance(carried, str) and not CONTROL_CHARACTERS.search(text):
            return {**item, "decoded": text}
    return item


def decode_base64(value: Any) -> bytes:
    """Return the bytes of a base64 text, none where it is no such text."""
    if not isinstance(value, str):
        return b""
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except ValueError:
        return b""


# ---------------------------------------------------------------------------------------------------------------------
# Incident: what XSOAR is to create
# ---------------------------------------------------------------------------------------------------------------------

RAW_SPELLINGS = ("raw_json", "rawJson", "rawJSON")
SEVERITIES: dict[str, int | float] = {  # the README's table has the same rows
    "unknown": 0,
    **dict.fromkeys(("info", "informational", "information", "debug", "ok", "none", "p5", "sev5"), 0.5),
    **dict.fromkeys(("low", "notice", "p4", "sev4"), 1),
    **dict.fromkeys(("medium", "moderate", "warning", "warn", "minor", "average", "p3", "sev3"), 2),
    **dict.fromkeys(("high", "error", "err", "major", "severe", "p2", "sev2"), 3),
    **dict.fromkeys(("critical", "crit", "fatal", "emergency", "emerg", "disaster", "p1", "sev1"), 4),
}
SEVERITY_NUMBERS = (0, 0.5, 1, 2, 3, 4)  # as XSOAR means them
BASIC_FIELDS = {"name", "type", "occurred", "severity", "details", "rawJSON"}  # what is beyond them is rare and can be large
SECRET_WORDS = re.compile(
    # a word of a name as a whole
    "auth|authentication|token|key|credentials?|session|jwt|assertion|oidc|bearer|csrf|xsrf|sig|pwd|passwd"
    # what is unmistakable within a word, too: `x-apikey2`, `usersecret`
    "|.*(?:authorization|password|passphrase|passcode|secret|cookie|credential|signature|hmac|apikey).*"
    # and at its end: `x-authtoken`, `sessionid`
    "|.*(?:token|authkey|accesskey|privatekey|sessionid)[0-9]*"
)
HIDDEN_HEADERS = frozenset({"x-forwarded-client-cert"})
HIDDEN_QUERY_FIELDS = frozenset({"code"})  # Azure Functions' key, OAuth's proof; among headers it is a number
NEVER_KEPT = frozenset({"authorization", "proxy-authorization", "cookie"})  # whatever a parameter names
MOMENTS = frozenset({"timestamp", "ts", "time", "date"})
DELIVERIES = frozenset({"delivery", "request", "webhook", "event", "message", "correlation", "trace"})
URL_HEADERS = ("referer", "x-original-url", "x-original-uri", "x-rewrite-url", "x-forwarded-uri", "x-envoy-original-path")
URL_SECRETS = re.compile(r"(?<=//)[^/?#]*@|[?#].*", re.DOTALL)  # userinfo, query and fragment
MAX_SHARED_BYTES = 16 * MIB  # of headers, query and parent in the events of one request: 10,000 of them get 1.6 KB each
SHARED_CUTS = ((8192, 1000), (1024, 100), (128, 20), (32, 5), (8, 2))  # characters a text, elements a list
MAX_DETAILS_BYTES = 2 * KIB  # of the text we write ourselves
MAX_OWN_DETAILS_CHARACTERS = 32 * KIB  # of a bare payload's own text, which is whole in rawJSON
SECRET_FIELDS_IN_URLS = re.compile(
    r"([?&;][^=&\s]*(?:token|key|secret|password|passwd|sig|auth|credential)[^=&\s]*=)[^&\s]+|(//)[^/@\s]+(@)", re.IGNORECASE
)
MAX_LISTED = 40  # elements or fields of one container that are looked at for a text
MAX_DETAIL_LINES = 8
FEW_DETAIL_LINES = 6  # with fewer, the next level of a payload is looked at
DETAIL_CHARACTERS = 200  # of one field, unless it is the only one
MAX_HIDDEN_NAME = 100  # characters of a field's name: a longer one says nothing to a person


class Incident(NamedTuple):
    """An incident as createIncidents takes it, the key that identifies its event (None without one), and its size in bytes.

    ``missed`` names the instance's parameters whose paths found nothing usable in the event.
    """

    fields: dict[str, Any]
    key: str | None
    size: int
    missed: tuple[str, ...] = ()


class RequestContext(NamedTuple):
    """What is known of a request beside its body: headers (lower-case names, hidden ones left out) and query fields."""

    headers: dict[str, str]
    query: dict[str, Any]
    path: str = ""  # behind the instance's URL
    source_address: str = ""
    shared: "Shared | None" = None  # what a single event gets of all this, where it is known already


class Shared(NamedTuple):
    """What is added to the events of a request: the fields, for paths, and their JSON without braces, encoded once for all.

    ``others`` is for all events but the first, and shorter where so many events would multiply it too far.
    """

    fields: dict[str, Any]
    first: str
    others: str


class KnownContext(NamedTuple):
    """What is kept of requests with the same head from the same address, but for the length of their body.

    ``fields`` are what its events share; ``before`` and ``after`` are their JSON around that length, ``after`` is None where no
    length is kept.
    """

    context: RequestContext
    fields: dict[str, Any]
    before: str
    after: str | None

    @classmethod
    def of(cls, context: RequestContext, settings: Settings) -> "KnownContext":
        """Encode what is kept of a request, with a place for the length of the body."""
        fields = shared_fields(context, settings)
        if "content-length" not in context.headers:
            text = to_json(fields)[1:-1]
            return cls(context._replace(shared=Shared(fields, text, text)), fields, text, None)
        marked = {**fields, "headers": {**context.headers, "content-length": "\0"}}  # which no other header holds
        before, _, after = to_json(marked)[1:-1].partition('"\\u0000"')
        return cls(context, fields, before, after)

    def with_length(self, headers: dict[str, str]) -> RequestContext:
        """Return what is kept of a request with these headers."""
        context, fields, before, after = self
        if after is None:
            return context
        length = headers["content-length"]
        kept = context.headers
        if kept["content-length"] != length:
            kept = {**kept, "content-length": length}
            fields = {**fields, "headers": kept}
        text = f'{before}"{length}"{after}'
        return RequestContext(kept, context.query, context.path, context.source_address, Shared(fields, text, text))


class Part(NamedTuple):
    """What becomes one incident: an item of a request, or an element of an item's array of events."""

    item: Any
    shared: Shared
    first: bool = True  # of those that share this
    place: str = ""  # tells the sender of a wrong field which of several it is
    text: str = ""  # the item's JSON, where it can be kept as it came


def describe_request(
    headers: dict[str, str], query_string: str, hidden: HiddenNames, path: str = "", source_address: str = ""
) -> RequestContext:
    """Return the parts of a request that are kept in rawJSON, without anything that proves who sent it."""
    kept = {
        name: value if value.isascii() else _header_text(value)
        for name, value in headers.items()
        if name != hidden.header and (not _tells_secrets(name) or name in hidden.named_headers)
    }
    for name in URL_HEADERS:
        if name in kept:
            kept[name] = URL_SECRETS.sub("", kept[name])
    if not query_string:
        return RequestContext(kept, {}, path, source_address)
    try:
        pairs = parse_qsl(ascii_query(query_string), keep_blank_values=True, errors="replace", max_num_fields=MAX_FORM_FIELDS)
    except ValueError:
        raise BadRequest(f"The query string has more than {MAX_FORM_FIELDS} fields; send them in the body.") from None
    fields = (pair for pair in pairs if not _is_hidden_field(pair[0], hidden))
    return RequestContext(kept, collect_fields(fields), path, source_address)


def _is_hidden_field(name: str, hidden: HiddenNames) -> bool:
    if name == hidden.query:
        return True
    return name not in hidden.named_fields and (name.lower() in HIDDEN_QUERY_FIELDS or _tells_secrets(name))


@functools.lru_cache(maxsize=1024)
def _tells_secrets(name: str) -> bool:
    """Return whether a header or a field of the query string of this name proves who sent the request.

    The name is split into words: `X-Api-Key`, `access_token`, `apiKey`. What tells apart or dates a delivery is kept,
    although its name may speak of a key or a signature.
    """
    if name.lower() in HIDDEN_HEADERS:
        return True
    words = re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower())
    if not words or "idempotency" in words or words[-1] in MOMENTS or name == "sec-websocket-key":
        return False
    if words[-1] == "delivery" or (words[-1] in ("id", "uuid", "guid") and not DELIVERIES.isdisjoint(words)):
        return False
    return any(SECRET_WORDS.fullmatch(word) for word in words)


def _header_text(value: str) -> str:
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value


def make_incidents(items: list[Any], request: RequestContext, settings: Settings, trigger_time: str) -> list[Incident]:
    """Return the incidents for a request's items; raises HTTPError (400, 413), and then none is to be created.

    ``trigger_time`` (RFC 3339) is used where an event names no other. In an array a wrong field is named by its place.
    The list is empty where the arrays that *Events in* names are.
    """
    text = items.text if isinstance(items, Whole) and not carries_another(items[0]) else ""
    if not text:
        items = [add_decoded(item) for item in items] if not isinstance(items, Array) else Array(map(add_decoded, items))
    if settings.events_paths:
        parts = split_items(items, request, settings)
    else:
        shared = request.shared if len(items) == 1 else None
        shared = shared or share(shared_fields(request, settings), len(items))
        parts = [Part(item, shared, index == 0, place_of(items, index), text) for index, item in enumerate(items)]
    return [make_incident(part, index, settings, trigger_time) for index, part in enumerate(parts)]


def place_of(items: list[Any], index: int) -> str:
    """Return what stands before a wrong field's name: nothing for a request's only item, unless it came in an array."""
    return f"[{index}]." if len(items) > 1 or isinstance(items, Array) else ""


def make_incident(part: Part, index: int, settings: Settings, trigger_time: str) -> Incident:
    """Return the incident for one event of a request, the ``index``-th: of our own format, or else of somebody else's."""
    item, shared, first, place, text = part
    payload = item if isinstance(item, dict) else {"body": item}
    missed: list[str] = []
    spelling = raw_spelling(payload, place)
    if spelling:
        fields, payload, is_whole = read_envelope(payload, spelling, place, settings.severity_map)
        text = text if is_whole else ""
    elif payload.keys() <= DOCUMENTED_FIELDS and payload and "parent" not in shared.fields:
        fields = read_documented(payload, settings.severity_map)
    else:
        fields = read_bare(payload, shared.fields, settings, missed)
        if payload:
            fields["details"] = bare_details(payload, shared.fields, fields, trigger_time)
    fields.setdefault("name", DEFAULT_NAME)
    fields.setdefault("occurred", trigger_time)
    if settings.incident_type:
        fields.setdefault("type", settings.incident_type)
    fields["rawJSON"] = raw_json(payload, shared, first, text)
    key = None
    if settings.duplication_paths:
        key = event_key(payload, shared.fields, settings.duplication_paths, index)
        if key is None:
            missed.append("duplication_key")
    return Incident(fields, key, incident_size(fields), tuple(missed))


def raw_spelling(payload: dict[str, Any], place: str = "") -> str:
    """Return under which name a payload holds raw_json, an empty string where it does not; raises HTTPError (400) for two."""
    if "raw_json" not in payload and "rawJson" not in payload and "rawJSON" not in payload:
        return ""
    spellings = [name for name in RAW_SPELLINGS if payload.get(name) is not None]
    if len(spellings) > 1:
        raise BadRequest(f"{place}{spellings[1]}: {spellings[0]} is there as well; send one of the two.")
    return spellings[0] if spellings else ""


def incident_size(fields: dict[str, Any]) -> int:
    """Return about how many bytes an incident takes on the wire."""
    size = wire_length(fields["rawJSON"]) + MAX_NAME_CHARACTERS
    if "details" in fields:
        size += byte_length(fields["details"])
    if not fields.keys() <= BASIC_FIELDS:
        size += len(_encode_json({name: fields[name] for name in fields.keys() - BASIC_FIELDS}).encode())
    return size


def wire_length(text: str) -> int:
    """Return about how many bytes a JSON text takes as a string in the platform's JSON, which escapes all but ASCII.

    Of a small one it is the length in UTF-8.
    """
    if len(text) <= SMALL_BODY_BYTES:
        return byte_length(text)
    others = 0 if text.isascii() else len(text) - len(text.encode("ascii", "ignore"))
    return len(text) + 5 * others + text.count('"') + text.count("\\")


def byte_length(text: str) -> int:
    """Return how many bytes a text takes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


# ---- what the events of a request share


def shared_fields(request: RequestContext, settings: Settings) -> dict[str, Any]:
    """Return the fields of ours that are added to each event of a request."""
    fields: dict[str, Any] = {"headers": request.headers}
    if request.query:
        fields["query"] = request.query
    if request.path:
        fields["path"] = request.path
    if request.source_address:
        fields["source_address"] = request.source_address
    if settings.mirroring:
        fields.update(settings.mirroring)
    return fields


def share(fields: dict[str, Any], events: int) -> Shared:
    """Encode once what so many events of a request share.

    Each event has it whole, unless all of them together would have more than MAX_SHARED_BYTES of it. Then the first has it whole
    and the others a shortened form, which says so.
    """
    first = to_json(fields)[1:-1]
    most = MAX_SHARED_BYTES // max(events, 1)
    if events < 2 or byte_length(first) <= most:
        return Shared(fields, first, first)
    whole = {name: to_json(value) for name, value in fields.items()}
    others = dict(whole)
    for name in sorted(whole, key=lambda name: byte_length(whole[name]), reverse=True):
        over = byte_length(join_json(others)) - most
        if over > 0:
            others[name] = shorten_json(fields[name], byte_length(whole[name]) - over)
            others[f"{name}_shortened"] = '"it is whole in an earlier incident of the same request"'
    return Shared(fields, first, join_json(others))


def join_json(fields: dict[str, str]) -> str:
    """Return the fields of a JSON object, whose values are JSON already, without the braces around them."""
    return ",".join([f'"{name}":{value}' for name, value in fields.items()])


def shorten_json(value: Any, most: int) -> str:
    """Return a value's JSON in so many bytes, its long texts cut and marked, then its long lists and objects."""
    for characters, elements in SHARED_CUTS:
        text = to_json(_shorten(value, characters, elements))
        if byte_length(text) <= most:
            return text
    return '"[cut]"'


def split_items(items: list[Any], request: RequestContext, settings: Settings) -> list[Part]:
    """Return a part for each element of the arrays that *Events in* names; an item without such an array is one part."""
    arrays = [find_events(item, settings.events_paths) for item in items]
    total = sum(len(array.elements) if array else 1 for array in arrays)
    if total > MAX_ITEMS:
        raise HTTPError(413, f"The body holds more than {MAX_ITEMS} events; send them in several requests.")
    shared = share(shared_fields(request, settings), total)
    parts: list[Part] = []
    for number, (item, array) in enumerate(zip(items, arrays)):
        place = place_of(items, number)
        if array is None:
            parts.append(Part(item, shared, not parts, place))
            continue
        around = share_parent(without(item, array.keys), shared, total, leads=not parts)
        for index, element in enumerate(array.elements):
            parts.append(Part(element, around, index == 0, f"{place}{array.path}[{index}]."))
    return parts


def share_parent(parent: Any, shared: Shared, events: int, leads: bool) -> Shared:
    """Return what the elements of an item's array share: what all events of the request do, and the rest of the item."""
    around = share({"parent": parent}, events)
    fields = {**shared.fields, **around.fields}
    first = shared.first if leads else shared.others
    return Shared(fields, f"{first},{around.first}", f"{shared.others},{around.others}")


class EventArray(NamedTuple):
    """An array of events in an item: the path that found it, the keys that lead to it, and its elements."""

    path: str
    keys: tuple[Any, ...]
    elements: list[Any]


def find_events(item: Any, paths: tuple[DotPath, ...]) -> EventArray | None:
    """Return the array of the first path that leads to one in an item that is not of our own format."""
    if not isinstance(item, dict) or item.keys() <= DOCUMENTED_FIELDS or raw_spelling(item):
        return None
    for path in paths:
        keys = path.find_array(item)
        if keys:
            elements: Any = item
            for key in keys:
                elements = elements[key]
            return EventArray(path.text, keys, elements)
    return None


def without(value: Any, keys: tuple[Any, ...]) -> Any:
    """Return an object or array without what the keys lead to; the rest of it is not copied."""
    copy = value.copy()
    if len(keys) > 1:
        copy[keys[0]] = without(copy[keys[0]], keys[1:])
    else:
        del copy[keys[0]]
    return copy


def raw_json(raw: dict[str, Any], shared: Shared, first: bool, text: str = "") -> str:
    """Return an event's rawJSON: its own fields, and beside them what it shares with the others of the request.

    ``text`` is the event's own JSON where it may stay as it came: numbers then keep every digit, and nothing is encoded anew.
    """
    added = shared.first if first else shared.others
    if not raw.keys().isdisjoint(shared.fields) or "headers_shortened" in raw or "parent_shortened" in raw:
        added = to_json(rename_taken(json.loads(f"{{{added}}}"), raw))[1:-1]
    text = without_marker(text) if text else to_json(raw)
    return f"{text[:-1]},{added}}}" if raw else f"{{{added}}}"


def rename_taken(added: dict[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    """Return fields of ours under names that leave the sender's own fields as they are: ``headers``, ``request_headers``..."""
    renamed: dict[str, Any] = {}
    for name, value in added.items():
        while name in raw or name in renamed:
            name = f"request_{name}"
        renamed[name] = value
    return renamed


# ---- somebody else's format: the instance's parameters say what stands where


def read_bare(payload: dict[str, Any], shared: dict[str, Any], settings: Settings, missed: list[str]) -> dict[str, Any]:
    """Return the incident's fields that the parameters find; those that find nothing usable are appended to ``missed``."""
    fields: dict[str, Any] = {}
    cloud = cloud_event(payload, shared)
    name = name_of(payload, shared, settings.name_from)
    if not name and settings.name_from is not NAME_FROM:
        missed.append("name_from")
    elif not name and cloud:
        name = text_of(cloud.get("subject")) or text_of(cloud.get("type"))
    if name:
        fields["name"] = plain_field(name, MAX_NAME_CHARACTERS)
    incident_type = bare_type(payload, shared, settings, missed)
    if incident_type:
        fields["type"] = plain_field(incident_type, MAX_NAME_CHARACTERS)
    occurred = first_usable(payload, shared, settings.occurred_from, occurred_of)
    if not occurred and settings.occurred_from is not OCCURRED_FROM:
        missed.append("occurred_from")
    elif not occurred and cloud:
        occurred = occurred_of(cloud.get("time"))
    if occurred:
        fields["occurred"] = occurred
    if settings.severity_from:
        read = functools.partial(severity_of, own=settings.severity_map)
        severity = first_usable(payload, shared, settings.severity_from, read)
        if severity is None:
            missed.append("severity_from")
        else:
            fields["severity"] = severity
    return fields


def name_of(payload: dict[str, Any], shared: dict[str, Any], source: NameSource) -> str | None:
    """Return the name an event gets, None where nothing it is made of has a value."""
    parts = source.parts
    if len(parts) == 1 and not isinstance(parts[0], str):
        return first_usable(payload, shared, parts[0], text_of)
    texts = [part if isinstance(part, str) else first_usable(payload, shared, part, text_of) for part in parts]
    if not any(text for text, part in zip(texts, parts) if not isinstance(part, str)):
        return None
    return "".join(text or "" for text in texts).strip()


def bare_type(payload: dict[str, Any], shared: dict[str, Any], settings: Settings, missed: list[str]) -> str:
    """Return the incident type: by the paths to it, else the instance's, and only without both the payload's own."""
    if settings.type_from:
        found: str | None = first_usable(payload, shared, settings.type_from, text_of)
        if found:
            return found
        missed.append("type_from")
    elif settings.type_from is not None and not settings.incident_type:
        own = payload.get("type")
        return own.strip() if isinstance(own, str) else ""
    return settings.incident_type


def first_usable(payload: dict[str, Any], shared: dict[str, Any], paths: tuple[DotPath, ...], read: Callable[[Any], Any]) -> Any:
    """Return the first value of the paths that can be read as what is wanted, None where there is none."""
    for path in paths:
        value = path.find_in(payload, shared)
        if value is not None:
            usable = read(value)
            if usable is not None:
                return usable
    return None


def text_of(value: Any) -> str | None:
    """Return the text of a value that is one, or a list of such: of a string, a number or a boolean, None of anything else."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, (bool, int, float)):
        return _encode_json(value)
    if isinstance(value, list) and value and not any(isinstance(child, (dict, list)) for child in value[:MAX_LISTED]):
        return ", ".join(filter(None, map(text_of, value[:MAX_LISTED]))) or None
    return None


def cloud_event(payload: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any] | None:
    """Return the attributes of a CloudEvent, from its JSON or from its headers; None where an event is none.

    Source: CloudEvents 1.0, JSON event format and HTTP protocol binding (section 3.1, binary content mode).
    """
    if "specversion" in payload:
        return payload
    headers = shared["headers"]
    if "ce-specversion" not in headers:
        return None
    names = ("subject", "type", "time")
    return {name: unquote_to_bytes(headers.get(f"ce-{name}", "")).decode(errors="replace") for name in names}


def severity_of(value: Any, own: SeverityMap = NO_SEVERITY_MAP) -> int | float | None:
    """Return XSOAR's number for a severity's word or number, the instance's own first; None for what nobody knows."""
    word = (text_of(value) or "").lower()
    severity = own.severity_of(word)
    return builtin_severity(word) if severity is None else severity


def builtin_severity(word: str) -> int | float | None:
    """Return XSOAR's number for a word in lower case, or for the text of that number."""
    if PLAIN_NUMBER.fullmatch(word):
        return next((number for number in SEVERITY_NUMBERS if number == float(word)), None)
    return SEVERITIES.get(word)


def bare_details(payload: dict[str, Any], shared: dict[str, Any], fields: dict[str, Any], trigger_time: str) -> str:
    """Return the incident's details: the payload's own text, else a short one of name, source, time and the first fields."""
    own = payload.get("details")
    if isinstance(own, str) and own.strip():
        return plain_field(own, MAX_OWN_DETAILS_CHARACTERS)
    name = fields.get("name")
    lines = [name[:DETAIL_CHARACTERS]] if name else []
    if "source_address" in shared:
        lines.append(f"Source: {shared['source_address']}")
    if "user-agent" in shared["headers"]:
        lines.append(f"Sender: {shared['headers']['user-agent'][:DETAIL_CHARACTERS]}")
    lines.append(f"Time: {fields.get('occurred', trigger_time)}")
    add_scalars(lines, payload, "")
    level: list[tuple[str, Any]] = [("", payload)]
    while len(lines) < FEW_DETAIL_LINES and (level := next_level(level)):
        for prefix, container in level:
            add_scalars(lines, container, prefix)
    return finish_details("\n".join(lines))


def add_scalars(lines: list[str], container: dict[str, Any], prefix: str) -> None:
    """Append lines ``name: value`` for an object's first texts, numbers and booleans, without those whose name tells a secret."""
    most = DETAIL_CHARACTERS if len(container) > 1 else MAX_DETAILS_BYTES
    room = MAX_DETAIL_LINES - len(lines)
    for name, value in itertools.islice(container.items(), MAX_LISTED):
        kind = type(value)
        if kind is dict or kind is list or value is None or value == "" or _hides_value(name[:MAX_HIDDEN_NAME]):
            continue
        if room == 0:
            return
        lines.append(f"{prefix}{name}: {value[:most] if kind is str else _encode_json(value)}")
        room -= 1


def next_level(containers: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return the objects one level below, of an array its first element, each with what stands before its fields' names."""
    level = []
    for prefix, container in containers[:MAX_LISTED]:
        for name, value in itertools.islice(container.items(), MAX_LISTED):
            child, place = (value[0] if value else None, ".0") if isinstance(value, list) else (value, "")
            if isinstance(child, dict) and not _hides_value(name[:MAX_HIDDEN_NAME]) and len(prefix) < DETAIL_CHARACTERS:
                level.append((f"{prefix}{name}{place}.", child))
    return level


def finish_details(text: str) -> str:
    """Return details without secrets in URLs and within MAX_DETAILS_BYTES."""
    if ("?" in text or "@" in text) and "://" in text:
        text = SECRET_FIELDS_IN_URLS.sub(r"\1\2***\3", text)
    if len(text) > MAX_DETAILS_BYTES // 4:  # a character takes at most four bytes
        text = text.encode("utf-8", "replace")[:MAX_DETAILS_BYTES].decode("utf-8", "ignore")
    return plain_field(text)


@functools.lru_cache(maxsize=1024)
def _hides_value(name: str) -> bool:
    return len(name) == MAX_HIDDEN_NAME or _tells_secrets(name)


# ---- our own format


def read_envelope(
    payload: dict[str, Any], spelling: str, place: str, own: SeverityMap
) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Return incident fields and rawJSON of an object with raw_json, and whether that is the whole rawJSON.

    Raises HTTPError (400) that names a wrong field.
    """
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
        elif not is_blank(value):
            try:
                fields[name] = ENVELOPE_FIELDS[name](value, own)
            except ValueError as error:
                if name not in FREE_FIELDS:
                    raise BadRequest(f"{place}{name}: {error}") from None
            if name in ALTERED_FIELDS and fields.get(name) != value:
                kept[name] = value
    if kept:
        raw.update(rename_taken({"envelope": kept}, raw))
    return fields, raw, not kept


def read_documented(payload: dict[str, Any], own: SeverityMap) -> dict[str, Any]:
    """Return the incident's fields of an object that holds nothing but them; what does not fit is only kept in rawJSON."""
    fields = {}
    for name, value in payload.items():
        if name in ENVELOPE_FIELDS and not is_blank(value):
            with contextlib.suppress(ValueError):
                fields[name] = ENVELOPE_FIELDS[name](value, own)
    return fields


def is_blank(value: Any) -> bool:
    """Tell whether a field counts as absent: null, or a text of nothing but white space."""
    return value is None or (isinstance(value, str) and not value.strip())


def plain_field(value: str, most: int | None = None) -> str:
    """Return a text for a field of the incident: without the platform's error marker, and cut at a whole character."""
    if MARKER_START in value:
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


def _text_field(value: Any, own: SeverityMap = NO_SEVERITY_MAP, most: int | None = None) -> str:
    if not isinstance(value, str):
        raise ValueError(f"it has to be a string, not {json_type(value)}.")
    return plain_field(value, most)


def _name_field(value: Any, own: SeverityMap) -> str:
    return _text_field(value, own, MAX_NAME_CHARACTERS)


def _date_field(value: Any, own: SeverityMap) -> str:
    occurred = occurred_of(value)
    if occurred is None:
        raise ValueError("it is no date we can read; send ISO 8601, such as 2024-05-01T12:00:00Z.")
    return occurred


def _severity_field(value: Any, own: SeverityMap) -> int | float:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        severity = severity_of(value)
        severity = severity_of(value, own) if severity is None else severity
        if severity is not None:
            return severity
    raise ValueError("send 0, 0.5, 1, 2, 3 or 4, or unknown, informational, low, medium, high or critical.")


def _labels_field(value: Any, own: SeverityMap) -> list[dict[str, str]]:
    if not isinstance(value, list) or not all(
        isinstance(label, dict) and set(label) == {"type", "value"} and all(isinstance(text, str) for text in label.values())
        for label in value
    ):
        raise ValueError('it has to be a list of {"type": "...", "value": "..."} with strings.')
    return _plain(value)


def _object_field(value: Any, own: SeverityMap) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"it has to be an object, not {json_type(value)}.")
    return _plain(value)


ENVELOPE_FIELDS: dict[str, Callable[[Any, SeverityMap], Any]] = {  # the README's table has the same rows
    "name": _name_field,
    "type": _text_field,
    "occurred": _date_field,
    "details": _text_field,
    "severity": _severity_field,
    "owner": _text_field,
    "labels": _labels_field,
    "customFields": _object_field,
}
DOCUMENTED_FIELDS = {*ENVELOPE_FIELDS, *RAW_SPELLINGS}
FREE_FIELDS = {"details", "owner", "labels"}  # of another shape they are kept, and no reason to refuse an event
ALTERED_FIELDS = set(ENVELOPE_FIELDS) - {"occurred", "severity"}  # may be cut or have the error marker broken up


def json_type(value: Any) -> str:
    """Return the name of a value's JSON type, with its article."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array", dict: "an object"}
    return names.get(type(value), "null")


# ---- dates

RFC_3339_UTC = re.compile(r"(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](?:\.(?!000000)[0-9]{6})?Z")
LEAP_SECOND = re.compile(r"(\d{2}:\d{2}:)60")
# As nginx, Go and databases write it: 2024/05/01 12:00:00 (UTC), 2024-05-01 12:00:00.5 +0000 UTC, 2024-05-01T12:00:00,5 GMT.
LOOSE_ISO = re.compile(
    r"([0-9]{4})[-/]([0-9]{2})[-/]([0-9]{2})[T ]+([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?)"
    r"(?: ?(?:\(?(Z|UTC|GMT)\)?|([+-][0-9]{2}:?[0-9]{2})(?: [A-Z]{2,5})?))?"
)
# RFC 2822 (section 3.3), RFC 1123 and what C's asctime() and date(1) write, in upper case.
WRITTEN_DATE = re.compile(
    r"(?:[A-Z]{3,9}[,.]? +)?(?:[0-9]{1,2}[ -][A-Z]{3}[ -](?:[0-9]{2}|[1-9][0-9]{3}),? +[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?"
    r"(?: *(?:[+-][0-9]{4}|[A-Z]{1,5}))?"
    r"|[A-Z]{3} +[0-9]{1,2} +[0-9]{2}:[0-9]{2}:[0-9]{2}(?: [A-Z]{1,5})? +[1-9][0-9]{3})(?: *\([^()]*\))?"
)
EPOCH_NUMBER = re.compile(r"([0-9]{9,19})(?:\.([0-9]+))?")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_UNITS = (  # the row's numbers begin here, end before, and are so many a second: each spans 1973 to 2100 and more
    (10**8, 10**11, 1),
    (10**11, 10**14, 10**3),
    (10**14, 10**17, 10**6),
    (2 * 10**17, 10**19, 10**9),  # below it are Windows' file times, which would become 1974
)
PLAUSIBLE_YEARS = range(1901, 2100)  # 1, 1601 and 1900 are what programs write for "never"
MAX_DATE_CHARACTERS = 100


def occurred_of(value: Any) -> str | None:
    """Return RFC 3339 for a date as text or as an epoch's number, None for anything else."""
    if isinstance(value, float):
        value = f"{value:.6f}"
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**19 else ""
    if not isinstance(value, str):
        return None
    try:
        return parse_date(value)
    except ValueError:
        return None


def parse_date(text: str) -> str:
    """Return RFC 3339 for a date in ISO 8601, RFC 1123 or 2822, or as seconds, milli-, micro- or nanoseconds since 1970.

    Without an offset it is UTC; a leap second becomes the second before it. Raises ValueError, also for an implausible year.
    """
    if RFC_3339_UTC.fullmatch(text):
        datetime.fromisoformat(text)
        return text
    try:
        moment = parse_moment(LEAP_SECOND.sub(r"\g<1>59", text[:MAX_DATE_CHARACTERS].strip().upper(), count=1))
    except (TypeError, IndexError, OverflowError) as error:  # the standard library's reader of RFC 2822 is not careful
        raise ValueError("it is no date") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment.year not in PLAUSIBLE_YEARS:
        raise ValueError("the year is implausible")
    offset = moment.utcoffset() or timedelta()
    if offset.total_seconds() % 60:  # RFC 3339 has offsets of whole minutes
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat()}".removesuffix("+00:00") + ("Z" if moment.utcoffset() == timedelta() else "")


def parse_moment(text: str) -> datetime:
    """Return the moment a text in upper case means, naive where it names no offset; raises what the library does."""
    number = EPOCH_NUMBER.fullmatch(text)
    if number:
        if len(number[1]) == len("20240501120000") and not number[2]:  # as an epoch it would be after 2286
            return datetime.strptime(text, "%Y%m%d%H%M%S")
        return parse_epoch(number[1], number[2] or "")
    if WRITTEN_DATE.fullmatch(text):
        return email.utils.parsedate_to_datetime(text)
    loose = LOOSE_ISO.fullmatch(text)
    if loose:
        year, month, day, clock, utc, offset = loose.groups()
        text = f"{year}-{month}-{day}T{clock}{'Z' if utc else offset or ''}"
    return datetime.fromisoformat(text)


def parse_epoch(whole: str, fraction: str) -> datetime:
    """Return the moment of an epoch's digits before and behind the decimal point; the unit is told by their number."""
    number = int(whole)
    for start, end, units in EPOCH_UNITS:
        if start <= number < end:
            billionths = int(whole + fraction[:9].ljust(9, "0"))
            return EPOCH + timedelta(microseconds=billionths // (units * 1000))
    raise ValueError("the number is no time since 1970")


# ---- what identifies an event


def event_key(payload: dict[str, Any], shared: dict[str, Any], keys: tuple[DuplicationKey, ...], index: int) -> str | None:
    """Return the text that identifies the ``index``-th event of a request, by the first key whose paths all have a value.

    It is ``path:value`` for a text, as earlier versions wrote it. Other values, and a value that the events of a request share
    because it lies outside them, are told apart behind a comma, which no path holds: ``id,json:5``, ``headers.x-id,2:value``.
    """
    for key in keys:
        found = [path.find_with_side(payload, shared) for path in key.paths]
        if any(value in (None, "", [], {}) for value, _ in found):
            continue
        value: Any = found[0][0] if len(found) == 1 else [value for value, _ in found]
        kind = "" if isinstance(value, str) else ",json"
        place = f",{index}" if index and not any(inside for _, inside in found) else ""
        return shorten_key(f"{key.text}{kind}{place}:{value if isinstance(value, str) else _encode_json(value)}")
    return None


def shorten_key(key: str) -> str:
    """Return an event's key with a long value replaced by its SHA-256, so that 5,000 of them stay small."""
    if len(key) <= MAX_KEY_CHARACTERS:
        return key
    path, _, value = key.partition(":")
    return f"{path}:sha256={hashlib.sha256(value.encode()).hexdigest()}"


# ---- what became of it


class Outcome(NamedTuple):
    """What became of an incident: an HTTP status, XSOAR's object (None where it created none), and why."""

    status: int
    created: dict[str, Any] | None = None
    reason: str = ""


DROPPED = Outcome(200)  # by a pre-processing rule
REJECTED = Outcome(502, reason="XSOAR refuses it")
MAYBE_CREATED = Outcome(502, reason="XSOAR's answer does not tell what became of it, it may have been created")
STOPPED_IN_FLIGHT = Outcome(502, reason="the webhook is stopping, and XSOAR has not answered: it may have been created")
OUTAGE = Outcome(503, reason="XSOAR refuses every incident at the moment")
NOT_SENT = Outcome(503, reason="the webhook failed, its log says why")
WITHDRAWN = Outcome(503, reason="XSOAR did not get to it in time")
STOPPING = Outcome(503, reason="the webhook is stopping")


# ---------------------------------------------------------------------------------------------------------------------
# Seen events, samples, and the integration context behind them
#
# SeenEvents stands before the writer where a duplication key, or a scheme that names its deliveries, tells events apart. The
# first request with an event claims it; all others wait for its outcome, without a greenlet of their own. What was created is
# remembered, what nobody knows (MAYBE_CREATED) is not, and what XSOAR did not take is free for the next one who waits.
#
# ContextKeeper copies samples, seen events and the status into the integration context, and obeys what commands leave there.
# A command runs in a container of its own: it changes the context under its version, as the keeper does, so that neither
# writes over the other, and leaves a mark that tells the keeper to forget what it holds in memory.
# ---------------------------------------------------------------------------------------------------------------------

SAMPLES_KEY = "sample_events"
FOUND_KEY = "found_ids"  # {event's key: incident's ID}, newest last
TIMES_KEY = "found_times"  # {event's key: when it was created, epoch seconds}, where events are forgotten after a time
PROMISED_KEY = "promised"  # incidents answered 202 that XSOAR has not created yet
RESET_KEY = "reset"  # what a command wants forgotten: samples, events or all
STATUS_KEY = "status"  # the running container's counters
MAX_SAMPLES = 20
MAX_SAMPLE_BYTES = 64 * KIB
MAX_LARGE_SAMPLES_BYTES = 25 * MIB  # kept whole until the next flush; of more the newest
MAX_FOUND_IDS = 5000
MAX_KEY_CHARACTERS = 200
MAX_PROMISED_BYTES = 5 * MIB
FLUSH_SECONDS = 3.0  # from an incident to the integration context
KEEPER_SECONDS = 10.0  # from a command to its effect, and between two writes of the status
SEEN_METADATA = ("id", "name", "type", "occurred")

Settled = Callable[[list[Outcome], set[int]], None]


class Seen(NamedTuple):
    """A created event: what its sender was told, and when it was created, in epoch seconds."""

    metadata: dict[str, Any]
    created: float


class Batch:
    """A request's events until the last one's outcome is known."""

    __slots__ = ("duplicates", "incidents", "open", "outcomes", "promise", "settled", "until")

    def __init__(self, incidents: list[Incident], settled: Settled, promise: "Promise | None") -> None:
        self.incidents = incidents
        self.settled = settled
        self.promise = promise
        self.outcomes: list[Outcome] = [WITHDRAWN] * len(incidents)
        self.duplicates: set[int] = set()
        self.open = len(incidents)
        self.until = time.monotonic() + WITHDRAW_SECONDS

    def settle(self, place: int, outcome: Outcome) -> None:
        """Note an event's outcome; the last one is told to the application."""
        self.outcomes[place] = outcome
        self.open -= 1
        if not self.open:
            self.settled(self.outcomes, self.duplicates)

    def settle_duplicate(self, place: int, metadata: dict[str, Any]) -> None:
        """Note an event that has an incident already."""
        self.duplicates.add(place)
        self.settle(place, Outcome(200, {**metadata, "duplicate": True}))


class SeenEvents:
    """Hands new events on to the writer, and each event once."""

    def __init__(self, writer: "Writer", counters: Counters, forget_seconds: float | None) -> None:
        self._writer = writer
        self._counters = counters
        self._forget_seconds = forget_seconds
        self._claims: dict[str, list[tuple[Batch, int]]] = {}  # who waits for the outcome of an event under way
        self.seen: OrderedDict[str, Seen] = OrderedDict()
        self.changed: Callable[[], None] = lambda: None  # called when something new has been seen

    def submit(self, incidents: list[Incident], settled: Settled, promise: "Promise | None" = None) -> None:
        """Create the incidents whose event is new; ``settled`` gets all outcomes, and the places of duplicates.

        It is called once, perhaps at once, and must not wait. Raises ServiceUnavailable where the writer has no room.
        """
        batch = Batch(incidents, settled, promise)
        first: list[int] = []
        known: list[tuple[int, Seen]] = []
        for place, incident in enumerate(incidents):
            key = incident.key
            if key is None:
                self._counters.add("events without a key")
                first.append(place)
            elif seen := self._find(key):
                known.append((place, seen))
            elif key in self._claims:
                self._claims[key].append((batch, place))
            else:
                self._claims[key] = []
                first.append(place)
        try:
            self._hand_on(batch, first)
        except ServiceUnavailable:
            self._take_back(batch, first)
            raise
        if known:
            self._counters.add("duplicates", len(known))
        for place, seen in known:
            batch.settle_duplicate(place, seen.metadata)

    def remember(self, key: str, seen: Seen) -> None:
        """Note an event as seen, the oldest of too many is forgotten."""
        self.seen[key] = seen
        while len(self.seen) > MAX_FOUND_IDS:
            self.seen.popitem(last=False)

    def _find(self, key: str) -> Seen | None:
        seen = self.seen.get(key)
        if seen is None or self._forget_seconds is None or time.time() - seen.created < self._forget_seconds:
            return seen
        del self.seen[key]
        return None

    def _hand_on(self, batch: Batch, places: list[int]) -> None:
        if places:
            incidents = [batch.incidents[place] for place in places]
            self._writer.submit(incidents, functools.partial(self._settled, batch, places), batch.promise)

    def _take_back(self, batch: Batch, places: list[int]) -> None:
        """Leave no trace of a request that the writer had no room for; nobody else can wait for its events yet."""
        for place in places:
            self._claims.pop(batch.incidents[place].key or "", None)
        for key, waiting in self._claims.items():
            self._claims[key] = [entry for entry in waiting if entry[0] is not batch]

    def _settled(self, batch: Batch, places: list[int], outcomes: list[Outcome]) -> None:
        for place, outcome in zip(places, outcomes):
            key = batch.incidents[place].key
            waiting = self._claims.pop(key, []) if key is not None else []
            if outcome.created is not None and key is not None:
                metadata = {name: value for name, value in outcome.created.items() if name in SEEN_METADATA}
                self.remember(key, Seen(metadata, time.time()))
                self.changed()
                if waiting:
                    self._counters.add("duplicates", len(waiting))
                for other, other_place in waiting:
                    other.settle_duplicate(other_place, metadata)
            elif outcome in (REJECTED, DROPPED) and key is not None:
                self._pass_on(key, batch, waiting, outcome)
            else:  # what is true of the first one is true of all that wait for it, and not one after the other
                for other, other_place in waiting:
                    other.settle(other_place, outcome)
            batch.settle(place, outcome)

    def _pass_on(self, key: str, first: Batch, waiting: list[tuple[Batch, int]], outcome: Outcome) -> None:
        """XSOAR did not take an event: of the same request all its places share that, of others the next one tries."""
        for batch, place in waiting:
            if batch is first:
                batch.settle(place, outcome)
        others = [entry for entry in waiting if entry[0] is not first]
        while others:
            batch, place = others.pop(0)
            if time.monotonic() >= batch.until:
                batch.settle(place, WITHDRAWN)
                continue
            self._claims[key] = others
            try:
                self._hand_on(batch, [place])
            except ServiceUnavailable as error:
                del self._claims[key]
                batch.settle(place, Outcome(503, reason=error.sentence.removesuffix(" Send this again later.").rstrip(".")))
            else:
                return


class Samples:
    """The newest created incidents, for the mapping wizard."""

    def __init__(self, parser: "NativeThread") -> None:
        self._parser = parser
        self._large: deque[Incident] = deque(maxlen=MAX_SAMPLES)
        self.items: deque[dict[str, Any]] = deque(maxlen=MAX_SAMPLES)

    def add(self, incident: Incident) -> None:
        """Keep a created incident; a large one is cut down at the next flush, off the request's path."""
        if incident.size > MAX_SAMPLE_BYTES // 2:  # as a string within a string it may grow to twice its size
            self._large.append(incident)
            while len(self._large) > 1 and sum(waiting.size for waiting in self._large) > MAX_LARGE_SAMPLES_BYTES:
                self._large.popleft()
        else:
            self.items.append(incident.fields)

    def cut_large(self) -> None:
        """Cut the large ones down to MAX_SAMPLE_BYTES."""
        while self._large:
            self.items.append(self._parser.run(small_sample, self._large.popleft().fields))

    def forget(self) -> None:
        """Forget all samples."""
        self._large.clear()
        self.items.clear()


class Promised(NamedTuple):
    """An incident whose sender was answered 202: it, and the request's ID."""

    incident: Incident
    request: str


class Stored(NamedTuple):
    """What the integration context holds."""

    samples: list[dict[str, Any]]
    found: dict[str, Any]
    times: dict[str, float]
    promised: list[Promised]
    reset: str
    damage: str


class ContextKeeper:
    """Keeps the integration context abreast of samples, seen events and the status, and obeys commands."""

    def __init__(
        self,
        client: "XsoarClient",
        settings: Settings,
        samples: Samples,
        events: SeenEvents,
        status: Callable[[], dict[str, Any]],
    ) -> None:
        self._client = client
        self._samples = samples
        self._events = events
        self._status = status
        self._store_samples = settings.store_samples
        self._remember_events = remembers_events(settings)
        self._store_times = settings.duplicate_seconds is not None
        self._written_status: dict[str, Any] = {}
        self._changed = Event()
        self._flushing = Semaphore()  # the last flush waits for one that is under way
        self._damage_reported = False
        self.closing = False  # what is promised now is left for the next start
        self.promised: dict[str, Promised] = {}  # answered 202 and not created yet, by request and place
        self.restored: dict[str, Promised] = {}  # what an earlier start has left
        self._has_loaded = False
        self.loaded = Event()  # what the context holds is known, or cannot be had
        events.changed = self._changed.set

    def add_sample(self, incident: Incident) -> None:
        """Keep a created incident as a sample."""
        self._samples.add(incident)
        self._changed.set()

    def fulfil(self, name: str) -> None:
        """A promised incident is settled."""
        self.promised.pop(name, None)
        if self.restored.pop(name, None):
            self._changed.set()

    def close(self) -> None:
        """Have the last flush write what is promised for the next start."""
        self.closing = True
        if self.promised:
            self._changed.set()

    def run(self) -> None:
        """Load what is there, then write changes for ever, one write for all of FLUSH_SECONDS."""
        while not self._synchronize(write=False):
            gevent.sleep(FLUSH_SECONDS)
        while True:
            if self._changed.wait(KEEPER_SECONDS):
                gevent.sleep(FLUSH_SECONDS)
                if not self.flush():
                    gevent.sleep(RETRY_PAUSE_SECONDS)
                    self.flush()
            else:
                with self._flushing:
                    self._synchronize(write=self._status() != self._written_status)

    def flush(self) -> bool:
        """Write what changed to the integration context and return whether that worked."""
        with self._flushing:
            if not self._changed.is_set():
                return True
            self._changed.clear()
            self._samples.cut_large()
            if self._synchronize(write=True):
                return True
            self._changed.set()
            return False

    def _synchronize(self, write: bool) -> bool:
        try:
            try:
                stored = self._client.call(self._exchange, write)
            except XsoarRefused:  # a command may have written in between, so that our version is an old one
                stored = self._client.call(self._exchange, write)
        except (XsoarRefused, UnreadableAnswer) as error:
            self._client.report("Integration context", f"The integration context cannot be reached, it is retried: {error}"[:300])
            self.loaded.set()
            return False
        self._client.report("Integration context", "")
        if stored.damage and not self._damage_reported:
            self._damage_reported = True
            self._client.error(f"The integration context held damaged data, which is replaced: {stored.damage}")
        if not self._has_loaded:
            self._load(stored)
            self._has_loaded = True
            self.loaded.set()
        return True

    def _load(self, stored: Stored) -> None:
        """Put what the context held before what has come since the start."""
        held = [*stored.samples, *self._samples.items][-MAX_SAMPLES:]
        self._samples.items.clear()
        self._samples.items.extend(held)
        now = time.time()
        seen = self._events.seen
        for key, incident_id in reversed(stored.found.items()):
            if key not in seen:
                seen[key] = Seen({} if incident_id is None else {"id": incident_id}, stored.times.get(key, now))
                seen.move_to_end(key, last=False)
        while len(seen) > MAX_FOUND_IDS:
            seen.popitem(last=False)
        self.restored = {str(number): promised for number, promised in enumerate(stored.promised)}

    def _exchange(self, write: bool) -> Stored:
        """Read the context and, to write, put ours into it: two round trips at the most, both in one turn of the client."""
        versioned = demisto.getIntegrationContextVersioned(True)
        versioned = versioned if isinstance(versioned, dict) else {}
        context, stored = read_context(versioned.get("context"))
        if stored.reset:
            stored = self._obey(stored)
            context.pop(RESET_KEY, None)
        if write or stored.reset:
            status = self._status()
            self._merge(context, stored, status)
            texts = {str(key): value if isinstance(value, str) else to_json(value) for key, value in context.items()}
            demisto.setIntegrationContextVersioned(texts, versioned.get("version", -1), True)
            self._written_status = status
        return stored

    def _obey(self, stored: Stored) -> Stored:
        """Forget what a command wants forgotten, in memory; return what is left of the context."""
        if stored.reset in ("samples", "all"):
            self._samples.forget()
            stored = stored._replace(samples=[])
        if stored.reset in ("events", "all"):
            self._events.seen.clear()
            stored = stored._replace(found={}, times={})
        self._client.info(f"generic-webhook-reset: {stored.reset} forgotten.")
        return stored

    def _merge(self, context: dict[str, Any], stored: Stored, status: dict[str, Any]) -> None:
        """Put ours into the context."""
        if self._store_samples:
            ours = list(self._samples.items)
            context[SAMPLES_KEY] = to_json([*(one for one in stored.samples if one not in ours), *ours][-MAX_SAMPLES:])
        if self._remember_events:
            seen = self._events.seen
            found = {key: value for key, value in stored.found.items() if key not in seen}
            found |= {key: event.metadata.get("id") for key, event in seen.items()}
            context[FOUND_KEY] = to_json(dict(list(found.items())[-MAX_FOUND_IDS:]))
            if self._store_times:
                context[TIMES_KEY] = to_json({key: int(event.created) for key, event in seen.items()})
        if self._has_loaded:
            waiting = [*self.restored.values(), *(self.promised.values() if self.closing else ())]
            context.pop(PROMISED_KEY, None)
            if waiting:
                context[PROMISED_KEY] = self._promised_text(waiting)
        context[STATUS_KEY] = to_json({**status, "updated": datetime.now(UTC).isoformat(timespec="seconds")})

    def _promised_text(self, waiting: list[Promised]) -> str:
        """Return the promised incidents as JSON of at most MAX_PROMISED_BYTES; what has no room in it is told in the log."""
        texts: list[str] = []
        left = MAX_PROMISED_BYTES
        lost = []
        for incident, request in waiting:
            text = to_json({"fields": incident.fields, "key": incident.key, "request": request})
            left -= byte_length(text)
            if left < 0:
                lost.append(request)
                left += byte_length(text)
            else:
                texts.append(text)
        if lost:
            names = ", ".join(dict.fromkeys(lost))
            sentence = (
                f"More than {MAX_PROMISED_BYTES // MIB} MB were answered 202 and wait for XSOAR; lost are the requests {names}"
            )
            self._client.error(sentence[:4000])
        return f"[{','.join(texts)}]"


def remembers_events(settings: Settings) -> bool:
    """Return whether an instance tells seen events from new ones."""
    return bool(settings.duplication_paths) or settings.authenticator.identifies


def read_context(value: Any) -> tuple[dict[str, Any], Stored]:
    """Return an integration context as a dict, and what it holds; what is wrong with it is told in ``Stored.damage``."""
    damages: list[str] = [] if isinstance(value, dict) or not value else ["it is no object"]
    context = dict(value) if isinstance(value, dict) else {}
    times = _read_context(TIMES_KEY, context.get(TIMES_KEY), damages) or {}
    stored = Stored(
        read_samples(context.get(SAMPLES_KEY), damages),
        read_found(context.get(FOUND_KEY), damages),
        {key: moment for key, moment in times.items() if isinstance(moment, (int, float))} if isinstance(times, dict) else {},
        read_promised(context.get(PROMISED_KEY), damages),
        str(context.get(RESET_KEY) or ""),
        "; ".join(damages),
    )
    return context, stored


def read_promised(text: Any, damages: list[str]) -> list[Promised]:
    """Return the promised incidents in a context's text; what is wrong with it is appended to ``damages``."""
    items = _read_context(PROMISED_KEY, text, damages) or []
    try:
        incidents = [Incident(dict(item["fields"]), item["key"], incident_size(item["fields"])) for item in items]
        return [Promised(incident, str(item["request"])) for incident, item in zip(incidents, items)]
    except (TypeError, KeyError, ValueError, AttributeError):
        damages.append(f"{PROMISED_KEY} is no list of incidents")
        return []


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
        raw = LARGE_DECODER.decode(incident.get("rawJSON") or "{}")
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
# Writer: group commit
#
# While one createIncidents is in flight, arriving incidents queue up, and the next call takes them all. What XSOAR refuses is
# either bad or meets an outage; which of the two, only calls tell:
#
#   queued --call--> accepted: settled 200
#                    unreadable: settled 502, never sent again
#                    refused, several: halved; the halves are called in turn
#                    refused, alone: though XSOAR accepted another one since it first refused this one: settled 502, it is bad
#                                    else set aside, and the next call takes from the other end of what is refused
#                    two alone, or nothing left, and nothing accepted in between: an outage; all wait, joined into new calls
#   dropped by a pre-processing rule: settled 200; whose object it is cannot be told: settled 502
#   waiting for WITHDRAW_SECONDS, or when the webhook stops: settled 503, unless it is promised (answered 202) or in a call
#
# Invariants:
# - Arrivals go first and on their own: were a refused one among them, they would pay for it.
# - A submission that fits into one call goes in one call, until XSOAR refuses it.
# - What is withdrawn is never sent, and what was sent and has an unreadable answer is never sent again.
# - Each incident is settled once; the last one of a submission calls its ``settled``, which must not wait.
# ---------------------------------------------------------------------------------------------------------------------

MAX_QUEUED_INCIDENTS = 20_000
MAX_QUEUED_BYTES = 128 * MIB
MAX_CALL_INCIDENTS = 1000
MAX_CALL_BYTES = 4 * MIB  # one line the server has to read and answer in a piece
WITHDRAW_SECONDS = 55  # reverse proxies give up after 60
LONE_RETRY_SECONDS = 5  # a lone refused incident may be bad or meet an outage: after this its sender gets 503 and may repeat it
MAX_GATHER_SECONDS = 0.25  # between two calls, for senders; 512 of them come back within 0.1 s
GATHER_WORK = 1.5  # of our own work for those just answered; reading them again is half of that
REQUEST_WORK_SECONDS = 0.0002  # of processor time for a request, until it is measured
WORK_MEMORY = 8  # attempts over which that is averaged
CALLS_IN_A_ROW = 8  # of halving and retrying before new arrivals get theirs
TIMER_EVENT = 0x100  # libev's EV_TIMER
RETRY_PAUSE_SECONDS = 0.1  # doubles with each attempt, up to MAX_RETRY_PAUSE_SECONDS
MAX_RETRY_PAUSE_SECONDS = 2.0


class Promise:
    """Whether a request was answered 202: then its incidents are created however long that takes."""

    __slots__ = ("made",)

    def __init__(self) -> None:
        self.made = False


class Alarm:
    """Wakes the greenlet that waits for it before all that is ready in the hub; an Event's turn comes only after that."""

    def __init__(self) -> None:
        self._hub = gevent.get_hub()
        self._bell = self._hub.loop.timer(0, priority=self._hub.loop.MAXPRI)  # never started: ring makes its event
        self._waiter: Any = None

    def wait(self, seconds: float) -> bool:
        """Return whether it rings within so many seconds."""
        self._waiter = waiter = gevent.hub.Waiter(self._hub)
        with gevent.Timeout(seconds, False):
            return bool(waiter.get())
        self._waiter = None
        return False

    def ring(self) -> None:
        """Wake the greenlet that waits, if one does."""
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            return
        try:
            self._bell.feed(TIMER_EVENT, waiter.switch, True)
        except Exception:  # gevent on libuv, which the image does not have, cannot: behind the others, then
            self._hub.loop.run_callback(waiter.switch, True)


class PendingIncident:
    """An incident on its way, and at last its outcome."""

    __slots__ = ("fields", "first_refused", "in_flight", "outcome", "refused_alone", "size", "submission")

    def __init__(self, submission: "Submission", incident: Incident) -> None:
        self.submission = submission
        self.fields = incident.fields
        self.size = incident.size
        self.outcome: Outcome | None = None
        self.in_flight = False
        self.first_refused = 0.0  # in any company; time.monotonic() seconds
        self.refused_alone = 0.0


class Submission:
    """What one request asks of the writer: its incidents in order, and whom to tell when the last one is settled."""

    __slots__ = ("accepted", "open", "parts", "promise", "settled", "size")

    def __init__(
        self, incidents: list[Incident], size: int, settled: Callable[[list[Outcome]], None], promise: Promise | None
    ) -> None:
        self.accepted = time.monotonic()
        self.parts = [PendingIncident(self, incident) for incident in incidents]
        self.size = size
        self.open = len(incidents)
        self.settled = settled
        self.promise = promise


class Writer:
    """The one who calls createIncidents; the rules are at the head of this section."""

    def __init__(self, client: "XsoarClient") -> None:
        self._client = client
        self._queue: deque[Submission] = deque()
        self._refused: deque[list[PendingIncident]] = deque()  # in pieces, each for a call
        self._live: OrderedDict[Submission, None] = OrderedDict()  # by age, for withdrawing
        self._bytes = 0
        self._incidents = 0
        self._work = Event()
        self._gathered = Alarm()
        self._target = 0
        self._called_seconds = 0.0  # of the calls of this attempt
        self._arrived = 0  # submissions during this attempt
        self._request_seconds = REQUEST_WORK_SECONDS
        self._pause = RETRY_PAUSE_SECONDS
        self._retry_at = 0.0
        self._accepted_at = 0.0
        self._reason = ""
        self._closed = False
        self.is_calling = False  # createIncidents is under way
        self.calls = dict.fromkeys(("accepted", "refused", "unreadable"), 0)
        self.call_seconds = Histogram(CALL_SECONDS)
        self.call_incidents = Histogram(CALL_INCIDENTS)

    def submit(self, incidents: list[Incident], settled: Callable[[list[Outcome]], None], promise: Promise | None = None) -> None:
        """Take incidents, and call ``settled`` with their outcomes in order once the last one is known.

        It is called in the greenlet that settles the last one, and must not wait. Raises ServiceUnavailable without room.
        """
        if self._closed:
            raise ServiceUnavailable("The webhook is stopping; send this again in a moment.")
        size = sum([incident.size for incident in incidents])
        if self._incidents and (
            self._incidents + len(incidents) > MAX_QUEUED_INCIDENTS or self._bytes + size > MAX_QUEUED_BYTES
        ):  # before a Submission exists: it and its parts know each other, and would stay until they are collected
            raise ServiceUnavailable("XSOAR is slower than the events come in, and the queue is full. Send this again later.")
        submission = Submission(incidents, size, settled, promise)
        self._live[submission] = None
        self._incidents += submission.open
        self._bytes += submission.size
        self._queue.append(submission)
        self._arrived += 1
        if len(self._queue) == 1:
            self._work.set()
        if self._target and len(self._queue) >= self._target:
            self._gathered.ring()

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
                        self._settle(pending, MAYBE_CREATED if pending.in_flight else NOT_SENT)
                self._refused.clear()
                gevent.sleep(RETRY_PAUSE_SECONDS)

    def _write_next(self) -> None:
        self._wait_for_work()
        started, used = time.monotonic(), time.process_time()
        self._called_seconds = 0.0
        self._arrived = 0
        due = started >= self._retry_at
        fresh = self._next_batch()
        requests = len({pending.submission for pending in fresh})
        accepted = False
        for piece in self._cut(fresh):
            if self._call(piece):
                accepted = True
            else:  # behind those that were refused before
                self._refused.extend(self._halve(piece) if due else [piece])
        if self._refused and (due or accepted):
            accepted = self._retry(started) or accepted
            due = True
        self._plan(accepted, due)
        if not self._refused:
            self._gather(requests)
        if requests:  # more may have been read than settled, as during the first call of many senders
            seconds = (time.process_time() - used) / max(requests, self._arrived)
            self._request_seconds += (seconds - self._request_seconds) / WORK_MEMORY

    def _wait_for_work(self) -> None:
        """Return when there is something to write: a queue, or refused incidents whose pause is over."""
        while not self._queue:
            self._work.clear()
            if not self._refused:
                self._work.wait()
                continue
            left = self._retry_at - time.monotonic()
            if left <= 0 or not self._work.wait(left):
                return
        if self._refused and time.monotonic() < self._retry_at:
            gevent.sleep(RETRY_PAUSE_SECONDS / 2)  # in an outage arrivals share an attempt, else each would make its own

    def _next_batch(self) -> list[PendingIncident]:
        """Take submissions off the queue up to the bounds of a call; a submission stays whole, _cut makes calls of it."""
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

    def _retry(self, started: float) -> bool:
        """Call what is refused, piece by piece, until all is settled, it is an outage, or arrivals have waited for long enough.

        Return whether XSOAR accepted anything. ``started`` is when this attempt began, in time.monotonic() seconds.
        """
        accepted = False
        aside: list[list[PendingIncident]] = []  # refused alone, since the last acceptance
        first = True  # the end of the row that is next
        calls = 0
        while self._refused and not (self._queue and calls >= CALLS_IN_A_ROW):
            piece = unsettled(self._refused.popleft() if first else self._refused.pop())
            if not piece:
                continue
            if len(piece) > 1 or piece[0].refused_alone < max(started, self._accepted_at):
                calls += 1
                if self._call(piece):
                    accepted = True
                    self._refused.extend(aside)
                    aside = []
                    continue
            if len(piece) > 1:
                halves = self._halve(piece)
                self._refused.extendleft(reversed(halves)) if first else self._refused.extend(reversed(halves))
            elif unsettled(piece) and piece[0].first_refused < self._accepted_at:
                self._settle(piece[0], REJECTED)
            elif unsettled(piece):
                aside.append(piece)
                first = not first
                if len(aside) > 1:
                    break
        outage = len(aside) > 1 or not self._refused
        self._refused.extend(aside)  # last: a good one behind bad ones is to have its turn
        if not accepted and outage:
            self._refused = deque(self._cut([pending for piece in self._refused for pending in unsettled(piece)]))
        return accepted

    @staticmethod
    def _halve(piece: list[PendingIncident]) -> list[list[PendingIncident]]:
        """Return what is unsettled in two parts: cut between requests where there are several, for one may be all bad."""
        piece = unsettled(piece)
        if len(piece) < 2:
            return [piece] if piece else []
        middle = len(piece) // 2
        borders = [place for place in range(1, len(piece)) if piece[place].submission is not piece[place - 1].submission]
        border = min(borders, key=lambda place: abs(place - middle), default=middle)
        return [piece[:border], piece[border:]]

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
        """Call createIncidents with what is unsettled; return whether XSOAR accepted it, having settled all it decides."""
        piece = unsettled(piece)
        if not piece:
            return False
        for pending in piece:
            pending.in_flight = True
        started = time.monotonic()
        result = "unreadable"
        self.is_calling = True
        try:
            outcomes = self._client.create_incidents([pending.fields for pending in piece])
            result = "accepted"
            self._accepted_at = time.monotonic()
        except XsoarRefused as refusal:
            result = "refused"
            now = time.monotonic()
            for pending in piece:
                pending.in_flight = False
                pending.first_refused = pending.first_refused or now
            if len(piece) == 1:
                piece[0].refused_alone = now
            self._reason = str(refusal)
            return False
        except UnreadableAnswer as failure:
            self._client.error(f"createIncidents of {len(piece)} incidents: {failure}")
            outcomes = [MAYBE_CREATED] * len(piece)
        finally:
            self.is_calling = False
            self.calls[result] += 1
            seconds = time.monotonic() - started
            self._called_seconds += seconds
            self.call_seconds.observe(seconds)
            self.call_incidents.observe(len(piece))
        for pending, outcome in zip(piece, outcomes):
            self._settle(pending, outcome)
        return result == "accepted"

    def _settle(self, pending: PendingIncident, outcome: Outcome) -> None:
        if pending.outcome is not None:
            return
        pending.outcome = outcome
        pending.in_flight = False
        self._incidents -= 1
        self._bytes -= pending.size
        submission = pending.submission
        submission.open -= 1
        if submission.open:
            return
        self._live.pop(submission, None)
        outcomes = [part.outcome or MAYBE_CREATED for part in submission.parts]
        submission.parts = []  # which know it as it knows them: a large answer would stay until the two are collected
        try:
            submission.settled(outcomes)
        except Exception as error:
            self._client.error(f"An outcome could not be told: {type(error).__name__}")

    def _plan(self, accepted: bool, tried: bool) -> None:
        """Plan the next attempt for what is refused, and show an outage in the instance's health."""
        now = time.monotonic()
        lone = self._refused[0][0] if len(self._refused) == 1 and len(self._refused[0]) == 1 else None
        if lone and not self._queue and now - lone.first_refused >= LONE_RETRY_SECONDS and not is_promised(lone.submission):
            self._settle(lone, OUTAGE)
            self._refused.clear()
        if accepted:
            self._client.report("XSOAR", "")
        if accepted or not self._refused:
            self._pause = RETRY_PAUSE_SECONDS
            self._retry_at = now  # what is left made room for new arrivals
            return
        if tried:
            self._retry_at = now + self._pause
            self._pause = min(self._pause * 2, MAX_RETRY_PAUSE_SECONDS)
        if lone:
            self._retry_at = min(self._retry_at, lone.first_refused + LONE_RETRY_SECONDS)
        self._client.report("XSOAR", f"XSOAR refuses to create incidents, they are retried: {self._reason[:300]}")

    def _gather(self, answered: int) -> None:
        """After a call, wait for the senders it answered, so that the next call takes their next incidents.

        A request that comes after the next call has begun waits for two calls. So with long calls it takes all who send: those
        who were answered, and those who came meanwhile. A call shorter than our own work for all of them begins once half are
        there: the others are read while XSOAR works.

        Not everybody comes back. The wait ends once nobody comes for a 25th of the call's time: then a lone request, which meets
        at most two such gaps, waits less than a tenth longer than its call. Where others come all the time, it ends after what
        reading those who were answered takes.
        """
        if answered < 2:  # the only sender that may come back ends the wait for work as well
            return
        seconds, senders = self._called_seconds, answered + len(self._queue)
        if seconds < senders * self._request_seconds:
            senders //= 2
        gap = min(max(seconds / 25, 0.001), 0.02)
        until = time.monotonic() + min(gap + GATHER_WORK * answered * self._request_seconds, MAX_GATHER_SECONDS)
        self._target = senders
        while (waiting := len(self._queue)) < senders and not self._closed and time.monotonic() < until:
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
            for pending in () if is_promised(submission) else submission.parts:
                if not pending.in_flight:
                    self._settle(pending, OUTAGE if pending.first_refused else WITHDRAWN)
        while self._queue and not self._queue[0].open:
            self._queue.popleft()

    def close(self, in_flight: Outcome = STOPPED_IN_FLIGHT) -> None:
        """Settle everything that is unfinished as stopping, and take nothing any more."""
        self._closed = True
        for submission in list(self._live):
            for pending in submission.parts:
                self._settle(pending, in_flight if pending.in_flight else STOPPING)


def unsettled(piece: list[PendingIncident]) -> list[PendingIncident]:
    """Return those of a piece whose outcome is open."""
    return [pending for pending in piece if pending.outcome is None]


def is_promised(submission: Submission) -> bool:
    """Return whether the sender was told that the incidents will be created."""
    return submission.promise is not None and submission.promise.made


# ---------------------------------------------------------------------------------------------------------------------
# Matching: whose incident is it? What createIncidents answered, against what was sent
#
# A pre-processing rule may drop one of a batch, so a place in the answer proves nothing. The evidence, from the strongest
# down, is in EVIDENCE. The server may write rawJSON anew, so that it is the same where its value is; an object whose rawJSON
# is that of an incident of the call is nobody else's. Where evidence ends, order and number decide, as the platform documents
# them. Where even they leave a doubt, the outcome is MAYBE_CREATED: nobody is told somebody else's incident.
# ---------------------------------------------------------------------------------------------------------------------

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


class Returned(NamedTuple):
    """An object of createIncidents' answer: its place there, the object, and what of it is compared with what was sent."""

    number: int
    created: dict[str, Any]
    fields: dict[str, Any]
    is_claimed: bool  # its rawJSON is that of an incident of the call


def match_created(sent: list[dict[str, Any]], answer: Any) -> list[Outcome]:
    """Return what became of each incident sent, by createIncidents' answer.

    Raises UnreadableAnswer for an answer of no known shape.
    """
    if isinstance(answer, dict) and "id" in answer:
        answer = [answer]
    if answer is None:  # how Go writes an empty list
        answer = []
    if not isinstance(answer, list):
        raise UnreadableAnswer("createIncidents answered with no list of incidents")
    if not all(isinstance(item, dict) and item for item in answer):
        raise UnreadableAnswer("createIncidents answered with something that is no incident")
    as_sent = len(answer) == len(sent) and all(
        theirs.get("rawJSON") == ours["rawJSON"] and theirs.get("name") == ours["name"] for theirs, ours in zip(answer, sent)
    )
    if as_sent and (len(sent) == 1 or len(without_repeated_ids(answer)) == len(sent)):
        return [Outcome(200, theirs) for theirs in answer]
    return _match_by_evidence(sent, answer)


def contradicts(sent: dict[str, Any], outcome: Outcome) -> bool:
    """Return whether an object was given to an incident though both its rawJSON and its name say otherwise."""
    created = outcome.created
    return (
        created is not None
        and created.get("rawJSON", sent["rawJSON"]) != sent["rawJSON"]
        and created.get("name") != sent.get("name")
    )


def without_repeated_ids(answer: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the objects of an answer, of those with the same ID the first."""
    seen: set[str] = set()
    kept = []
    for item in answer:
        number = str(item.get("id") or "")
        if number not in seen:
            kept.append(item)
        if number:
            seen.add(number)
    return kept


def _match_by_evidence(sent: list[dict[str, Any]], answer: list[dict[str, Any]]) -> list[Outcome]:
    """Return what became of each incident where the objects are not plainly those of what was sent, in order."""
    left = _comparable(without_repeated_ids(answer), sent)
    repeated = len(left) < len(answer)
    found: dict[int, Returned] = {}  # by the place of what was sent
    free = dict.fromkeys(range(len(sent)))
    doubtful: set[int] = set()
    alike: list[int] = []  # places of objects that nothing but their order tells apart
    for fields in EVIDENCE:
        places = _places_by_evidence(sent, free, fields)
        crowds = {values for values, those in places.items() if len(those) > 1 and "rawJSON" not in fields}
        some_absent = len(left) < len(free)
        unmatched = []
        for item in left:
            values = _evidence(item.fields, fields)
            mine = None if item.is_claimed and "rawJSON" not in fields else places.get(values)
            if not mine:
                unmatched.append(item)
                continue
            if values in crowds:
                if some_absent:
                    doubtful.update(mine)  # alike by this evidence, yet different, and not all of them were created
                alike.append(mine[0])
            place = mine.popleft()
            found[place] = item
            del free[place]
        left = unmatched
    numbers = [found[place].number for place in sorted(found)]
    in_order = numbers == sorted(numbers)
    if not in_order:  # then order says nothing of those that are alike, either
        doubtful.update(alike)
    if _follows_order(left, len(free)) and in_order and not repeated:
        found.update(zip(free, left))
    elif left or repeated:  # what is left over may be any of those that are missing
        doubtful.update(free)
    return [_outcome(found.get(place), place in doubtful) for place in range(len(sent))]


def _outcome(found: Returned | None, doubtful: bool) -> Outcome:
    if doubtful:
        return MAYBE_CREATED
    return DROPPED if found is None else Outcome(200, found.created)


def _follows_order(left: list[Returned], missing: int) -> bool:
    """Return whether order says whose the objects left over are: the only one, or those that tell nothing but an ID."""
    if len(left) != missing or any(item.is_claimed for item in left):
        return False
    return missing == 1 or not any(name in item.created for item in left for fields in EVIDENCE for name in fields)


def _places_by_evidence(
    sent: list[dict[str, Any]], free: Iterable[int], fields: tuple[str, ...]
) -> dict[tuple[str, ...], deque[int]]:
    """Return the places that nothing is found for yet, by what they hold in some fields."""
    places: dict[tuple[str, ...], deque[int]] = {}
    for place in free:
        values = _evidence(sent[place], fields)
        if values:
            places.setdefault(values, deque()).append(place)
    return places


def _comparable(answer: list[dict[str, Any]], sent: list[dict[str, Any]]) -> list[Returned]:
    """Return the objects with their rawJSON spelled as it was sent where it is the same value.

    Values are compared only where texts differ: parsing all of a batch takes as long as its call.
    """
    texts = {incident["rawJSON"] for incident in sent}
    rewritten = [item for item in answer if isinstance(item.get("rawJSON"), str) and item["rawJSON"] not in texts]
    values = {_json_value(text): text for text in texts} if rewritten else {}
    returned = []
    for number, item in enumerate(answer):
        raw = item.get("rawJSON")
        text = values.get(_json_value(raw), raw) if values and isinstance(raw, str) else raw
        returned.append(Returned(number, item, item if text is raw else {**item, "rawJSON": text}, text in texts))
    return returned


def _json_value(text: str) -> str:
    """Return a JSON text in a spelling that all texts of the same value share, the text itself where it is no JSON."""
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except (ValueError, RecursionError):
        return text


def _evidence(incident: dict[str, Any], fields: tuple[str, ...]) -> tuple[str, ...]:
    values = [incident.get(name) for name in fields]
    if not all(values):
        return ()
    texts = [value if isinstance(value, str) else _encode_json(value) for value in values]
    return tuple(_as_go_writes(text) if name == "occurred" else text for name, text in zip(fields, texts))


def _as_go_writes(moment: str) -> str:
    return FRACTION.sub(lambda fraction: fraction[0].rstrip("0").rstrip("."), moment)  # without zeros at the fraction's end


# ---------------------------------------------------------------------------------------------------------------------
# XSOAR client: once the server runs, every call of demisto.* is made within XsoarClient.call or create_incidents, in turn
#
# The platform's demisto object writes a line to sys.stdout and reads one from sys.stdin. Both are replaced by files of ours, so
# that the greenlet that makes a call waits in the hub and all others go on; a Semaphore keeps the calls in turn. Where the
# platform turns out to read otherwise, calls are made on a native thread instead.
#
# Each line we send has one line as its answer, so whatever waits before a call is sent is no answer to anything of ours. From
# then on every answer would be taken for that of the next call. The wire is then out of step: nothing more is sent or believed,
# and the process ends, so that the platform starts it again with a new wire.
# ---------------------------------------------------------------------------------------------------------------------

MIN_MASKED_CHARACTERS = 4  # a shorter secret is part of too many words
PIPE_BYTES = 1 * MIB  # asked for, so that a batch or its answer is one write and one read
READ_LINE_BYTES = 1 * MIB
HEARTBEAT_SECONDS = 30
HEARTBEAT_LOCK_SECONDS = 60  # a call longer than this kills the platform's heartbeat thread
REST_SECONDS = 0.1  # for what follows an answer that is no JSON: it left XSOAR in the same piece
SURPLUS_SECONDS = 1.0  # that a doubtful answer is held back at first, for a second line that would tell whose it is
MIN_SURPLUS_SECONDS = 0.001  # each time without such a line halves it, and here it ends
MAX_SURPLUS_SECONDS = 5.0
RECENT_IDS = 10_000  # of the incidents created last; no further one may have the ID of one of them


class XsoarRefused(Exception):
    """XSOAR answered a call with an error: it did nothing of it."""


class UnreadableAnswer(Exception):
    """XSOAR's answer could not be read: whatever the call asked for may or may not have happened."""


class WireInput:
    """The wire's incoming end as sys.stdin: whoever reads a line waits in the hub."""

    def __init__(self) -> None:
        self._hub = gevent.get_hub()
        self._readable = self._hub.loop.io(0, 1)
        self._buffer = b""
        self.lines = 0  # read so far

    def fileno(self) -> int:
        """Return the descriptor."""
        return 0

    def readline(self, *_: Any) -> str:
        """Return the next line, an empty text at the end."""
        parts = [self._buffer]
        while b"\n" not in parts[-1]:
            self._hub.wait(self._readable)
            part = os.read(0, READ_LINE_BYTES)
            if not part:
                break
            parts.append(part)
        line, newline, self._buffer = b"".join(parts).partition(b"\n")
        self.lines += 1
        return (line + newline).decode(errors="surrogateescape")  # as Python reads stdin in a container's locale

    def take_waiting(self) -> bytes:
        """Return what has come without being asked for, and forget it."""
        poll = select.poll()
        poll.register(0, select.POLLIN)
        waiting, self._buffer = self._buffer, b""
        while any(event & select.POLLIN for _, event in poll.poll(0)) and (part := os.read(0, READ_LINE_BYTES)):
            waiting += part
        return waiting

    def wait(self, seconds: float) -> bool:
        """Return whether anything comes within so many seconds."""
        with gevent.Timeout(seconds, False):
            if not self._buffer:
                self._hub.wait(self._readable)
            return True
        return False


class WireOutput:
    """The wire's outgoing end as sys.stdout: one write for each line, and whoever writes waits in the hub.

    The platform's heartbeat writes from a native thread of its own, under the lock that all calls take.
    """

    def __init__(self) -> None:
        self._hub = gevent.get_hub()
        self._hub_thread = threading.get_ident()
        self._writable = self._hub.loop.io(1, 2)
        self._parts: list[str] = []
        self.write = self._parts.append  # json.dump makes some twenty small ones of an incident

    def fileno(self) -> int:
        """Return the descriptor."""
        return 1

    def flush(self) -> None:
        """Send what was written."""
        data = memoryview("".join(self._parts).encode())
        self._parts.clear()
        while data:
            try:
                data = data[os.write(1, data) :]
            except BlockingIOError:
                if threading.get_ident() == self._hub_thread:
                    self._hub.wait(self._writable)
                else:
                    poll = select.poll()
                    poll.register(1, select.POLLOUT)
                    poll.poll()


class XsoarClient:
    """The wire to XSOAR: greenlets await its answers, and the hub never blocks on it.

    It also carries what is told beside the incidents: log lines (joined, one call a second) and the instance's health.
    """

    def __init__(self, secrets: tuple[bytes, ...] = ()) -> None:
        self._turn = Semaphore()
        self._thread: NativeThread | None = NativeThread()  # makes the calls until the wire is the hub's
        self._input: WireInput | None = None
        self._replaced: Any = None  # sys.stdin and sys.stdout as they were, until the first call is answered
        self._recent_ids: OrderedDict[str, None] = OrderedDict()
        self._surplus_seconds = SURPLUS_SECONDS
        self.out_of_step = ""  # why nothing on the wire can be believed any more
        # The longest first: one secret may be part of another.
        texts = sorted((secret.decode() for secret in secrets), key=len, reverse=True)
        self._secrets = [text for text in texts if len(text) >= MIN_MASKED_CHARACTERS]
        self._lines: deque[tuple[Callable[[str], Any], str]] = deque(maxlen=100)  # a flood keeps the newest
        self._troubles: dict[str, str] = {}
        self._reported_health: str | None = None
        self._last_heartbeat: float | None = None  # None while the platform's own thread lives

    def take_over_wire(self) -> None:
        """Make the wire the hub's; the first call shows whether the platform's calls come through our files."""
        for descriptor in (0, 1):
            with contextlib.suppress(OSError):  # what is no pipe has another size, or none
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._replaced = (sys.stdin, sys.stdout)
        self._input, self._thread = WireInput(), None
        os.set_blocking(1, False)
        sys.stdin, sys.stdout = self._input, WireOutput()

    def _prove(self, wire: WireInput) -> None:
        """After the first call, see whether its answer came through our file, and give up the wire where it did not."""
        replaced, self._replaced = self._replaced, None
        if wire.lines or replaced is None:
            return
        sys.stdin, sys.stdout = replaced
        os.set_blocking(1, True)
        self._input, self._thread = None, NativeThread()
        self.report("Wire", "This platform reads XSOAR's answers in an unknown way: the instance works, with less throughput.")

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function that talks to XSOAR in its turn and return what it returns.

        Raises XsoarRefused for an error XSOAR answered, UnreadableAnswer for an answer that is none.
        """
        with self._turn:
            return self._exchange(function, args)

    def _exchange(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        self._look_before_call()
        started = time.monotonic()
        try:
            return self._run(function, args)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as failure:  # kinds of the next two, so they come first
            unreadable = f"{type(failure).__name__}: {failure}"
        except (ValueError, RuntimeError) as failure:  # RuntimeError: the platform's lock was not to be had, nothing was sent
            raise XsoarRefused(self._safe(str(failure))) from None
        except Exception as failure:
            unreadable = f"{type(failure).__name__}: {failure}"
        finally:
            seconds = time.monotonic() - started
            if seconds > HEARTBEAT_LOCK_SECONDS - 5 and self._last_heartbeat is None:
                self._last_heartbeat = 0.0
        self._await_surplus(REST_SECONDS)  # the rest of an answer with a line break in it
        raise UnreadableAnswer(self._safe(unreadable))

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        if self._thread is not None:
            return self._thread.run(function, *args)
        try:
            return function(*args)
        finally:
            if self._replaced is not None and self._input is not None:
                self._prove(self._input)

    def _look_before_call(self) -> None:
        """See to it that nothing waits on the wire; raises XsoarRefused where something does, for then nothing is sent."""
        if self._input is not None and not self.out_of_step:
            waiting = self._input.take_waiting()
            if waiting.strip() == b"ping":
                sys.stdout.write('{"type": "pong"}\n')
                sys.stdout.flush()
            elif waiting:
                self._lose_step("something came that is no answer to any call")
        if self.out_of_step:
            raise XsoarRefused(f"the connection to XSOAR is out of step: {self.out_of_step}")

    def _await_surplus(self, seconds: float) -> bool:
        """Return whether a line comes that nobody asked for within so many seconds: the answer before it was not ours."""
        if self._input is None:
            return False
        if not self.out_of_step and self._input.wait(seconds):
            waiting = self._input.take_waiting()
            if waiting and waiting.strip() != b"ping":
                self._lose_step("a call was answered by more than one line")
        return bool(self.out_of_step)

    def _lose_step(self, why: str) -> None:
        self.out_of_step = why
        self.report("Wire", f"The connection to XSOAR is out of step, and the instance starts again: {why}.")

    def create_incidents(self, incidents: list[dict[str, Any]]) -> list["Outcome"]:
        """Return what became of each incident; raises XsoarRefused, or UnreadableAnswer where nothing is known of any."""
        with self._turn:
            started = time.monotonic()
            answer = self._exchange(demisto.createIncidents, (incidents,))
            outcomes = match_created(incidents, answer)
            seconds = time.monotonic() - started
            ids = [str(outcome.created["id"]) for outcome in outcomes if outcome.created is not None and "id" in outcome.created]
            if not self._recent_ids.keys().isdisjoint(ids) or any(map(contradicts, incidents, outcomes)):
                # A rule may have changed an incident, or linked it to an older one. Or this answers another call than ours.
                # Who has linked incidents ten times without such a line is believed; the look before each call stays.
                patience = min(max(self._surplus_seconds, 2 * seconds), MAX_SURPLUS_SECONDS)
                if self._surplus_seconds > MIN_SURPLUS_SECONDS and self._await_surplus(patience):
                    raise UnreadableAnswer("the answer was that to an earlier call")
                self._surplus_seconds = max(self._surplus_seconds / 2, MIN_SURPLUS_SECONDS)
            self._recent_ids.update(dict.fromkeys(ids))
            while len(self._recent_ids) > RECENT_IDS:
                self._recent_ids.popitem(last=False)
            return outcomes

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

    def tell_out_of_step(self) -> None:
        """Send the health once more, without waiting for an answer, which could not be told from others."""
        with contextlib.suppress(Exception), gevent.Timeout(1, False):
            health = self._safe(" ".join(self._troubles.values()))
            line = {"type": "executeCommand", "command": "updateModuleHealth", "args": {"err": health}}
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()

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
        for secret in self._secrets:
            text = text.replace(secret, "<secret>")
        return text


# ---------------------------------------------------------------------------------------------------------------------
# Native threads: what would block the hub
# ---------------------------------------------------------------------------------------------------------------------

PARSER_SECONDS = 20.0  # that a request waits for the second thread; its sender then repeats it
PARSER_STUCK_SECONDS = 30.0  # for one body: nothing within our limits takes a tenth of it


class NativeThread:
    """One native thread that runs functions in turn, while the greenlets that asked for them wait."""

    def __init__(self) -> None:
        self._pool = ThreadPool(1)
        self._since = math.inf  # when the function under way was begun, in time.monotonic() seconds

    def run(self, function: Callable[..., Any], *args: Any, seconds: float | None = None) -> Any:
        """Return what the function returns, or raise what it raises.

        Raises ServiceUnavailable where it takes longer than ``seconds``, the wait for its turn included.
        """
        with gevent.Timeout(seconds, ServiceUnavailable("Large bodies keep the webhook busy; send this one again later.")):
            value, error = self._pool.spawn(self._attempt, function, args).get()
        try:
            if error is not None:
                raise error
            return value
        finally:
            del error  # else it keeps its traceback, which keeps this frame: a large body would stay until it is collected

    def busy_seconds(self, now: float) -> float:
        """Return for how long the function under way has been running, at most 0 without one; ``now`` is time.monotonic()."""
        return now - self._since

    def _attempt(self, function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Exception | None]:
        self._since = time.monotonic()
        try:
            return function(*args), None
        except Exception as error:  # left to the pool, gevent would print it to stderr
            return None, error
        finally:
            self._since = math.inf


# ---------------------------------------------------------------------------------------------------------------------
# Application: the way of a request itself, and the routes
#
# head -> allowed source? -> route -> who sent it? -> body -> signed? -> a handshake? -> incidents -> seen before? -> the writer
# Whichever greenlet settles the last incident of a request sends its answer, in Webhook._settled; most often the writer's.
# ---------------------------------------------------------------------------------------------------------------------

MISSABLE = {"name_from", "type_from", "occurred_from", "severity_from", "duplication_key"}  # what Incident.missed may name
BROKEN_PROMISE_SECONDS = 3600.0  # that the health tells of an incident that was answered 202 and does not exist
MISSES_TOLD = 100  # events in a row without a value for a parameter that names paths


class Webhook:
    """Answers requests, and never waits for XSOAR itself."""

    def __init__(
        self,
        settings: Settings,
        client: XsoarClient,
        writer: Writer,
        events: SeenEvents | None,
        keeper: ContextKeeper,
        connections: Connections,
        counters: Counters,
        parser: NativeThread,
    ) -> None:
        self._settings = settings
        self._client = client
        self._writer = writer
        self._events = events  # None where nothing tells seen events from new ones
        self._keeper = keeper
        self._connections = connections
        self._counters = counters
        self._parser = parser
        self._authenticator = settings.authenticator
        self._knows_sources = bool(settings.trusted_proxies or settings.allowed_sources)
        self._clock = Clock()
        self._failed_logins = FailedLogins()
        self._routes = Routes(self, settings)
        self._misses: Counter[str] = Counter()  # in a row, by parameter
        defaults = (NAME_FROM, OCCURRED_FROM, (), None)
        self._watched = [
            name for name, _, setting, _ in EVENT_PARAMETERS if name in MISSABLE and getattr(settings, setting) not in defaults
        ]
        self._deliveries: deque[Delivery] = deque()  # that may have to be answered 202, by time
        self._delivered = Event()
        self._broken_promises: deque[tuple[float, str]] = deque(maxlen=20)  # when and which request

    def answer(self, request: Request) -> Answer | None:
        """Return a request's answer, or None where Request.reply is called later; raises HTTPError."""
        if self._knows_sources:
            self._admit(request)
        head = request.head
        if head.handler is None:
            head.handler = self._routes.find(head.method, head.path)
            head.asks = self._settings.handshakes and asks_by_head(head.headers, head.query)
        return head.handler(request)

    def _admit(self, request: Request) -> None:
        """Find out where a request comes from; raises HTTPError (403) where nobody from there may connect."""
        settings = self._settings
        address = source_address(request.address, request.headers.get("x-forwarded-for", ""), settings.trusted_proxies)
        request.address = address
        if not is_allowed(address, settings.allowed_sources):
            self._counters.add("requests from other addresses")
            raise HTTPError(403, "This address may not send to this webhook; add it to Allowed sources in XSOAR.")

    def receive(self, request: Request) -> Answer | None:
        """POST, and methods that the instance accepts besides: make incidents of the body, and answer with their metadata.

        The answer leaves once XSOAR has created them.
        """
        head, headers = request.head, request.headers
        if not head.proven:
            refusal = self._refusal(request)
            if refusal is not None:
                return self._answer_unsigned(request, refusal)
        if "content-encoding" in headers:
            supported_encoding(headers["content-encoding"])
        if self._connections.stopping:
            raise ServiceUnavailable("The webhook is stopping; send this again in a moment.")
        body = request.read_body()
        request.begin_work()
        if self._authenticator.signs_body:
            self._check_body(request, body)
        if head.asks or asks_by_body(body):
            done = answer_handshake(HandshakeCall(head.method, headers, head.query, body), self._settings, True)
            if done:
                return self._note(done, request)
        incidents = self._make(request, body)
        if self._authenticator.identifies:
            incidents = self._identify(request, incidents)
        if not head.proven and self._authenticator.by_headers_alone:
            head.proven = True
            request.remember_head()
        del body  # its incidents are all that is needed while XSOAR takes them
        return self._create(request, incidents)

    def ask(self, request: Request) -> Answer | None:
        """GET, HEAD, OPTIONS: answer a vendor's handshake, or receive an event where the instance accepts the method.

        Anything else is 405, a wrong proof 401.
        """
        head = request.head
        call = HandshakeCall(head.method, request.headers, head.query)
        refusal = self._refusal(request)
        done = answer_handshake(call, self._settings, refusal is None and not self._authenticator.signs_body)
        if done:
            return self._note(done, request)
        if head.method in self._settings.other_methods:
            return self.receive(request)
        # Whoever tries a token learns whether it is right, so that this is counted and slowed down as any other try.
        if refusal is not None and (not isinstance(refusal, MissingProof) or "hub.verify_token" in call.fields):
            raise self._failed(refusal, request)
        raise not_allowed(self._routes.methods)

    def report_metrics(self, request: Request) -> Answer:
        """GET /metrics: the counters in Prometheus' text format, for those who know the instance's credentials."""
        refusal = None if self._authenticator.signs_body else self._refusal(request)
        if refusal is not None:
            raise self._failed(refusal, request)
        return Answer(200, metrics_text(self._counters, self._connections, self._writer).encode(), METRICS_TYPE)

    def report_health(self, request: Request) -> Answer:
        """GET /health: that the server answers and goes on, and nothing about the instance; 503 once it is stopping."""
        if self._connections.stopping:
            raise ServiceUnavailable("The webhook is stopping.")
        return Answer(200, ALIVE)

    def _refusal(self, request: Request) -> HTTPError | None:
        """Return what headers and query string are refused with, None where they prove the sender."""
        try:
            self._authenticator.check(request.headers, request.head.query, request.head.repeated)
        except HTTPError as refusal:
            return refusal.with_traceback(None)  # whose frames would keep the request in memory
        return None

    def _answer_unsigned(self, request: Request, refusal: HTTPError) -> Answer:
        """Answer a POST that proves nothing where it is a vendor's handshake; raises the refusal of any other."""
        head, headers = request.head, request.headers
        if isinstance(refusal, MissingProof) and may_be_handshake(head.method, headers, self._settings):
            body = request.read_body()
            done = answer_handshake(HandshakeCall(head.method, headers, head.query, body), self._settings, False)
            if done:
                return self._note(done, request)
        raise self._failed(refusal, request)

    def _check_body(self, request: Request, body: bytes) -> None:
        try:
            if len(body) > SMALL_BODY_BYTES:  # hashing 25 MB takes longer than the others should wait
                self._parse(self._authenticator.check_body, request.headers, body)
            else:
                self._authenticator.check_body(request.headers, body)
        except HTTPError as refusal:
            raise self._failed(refusal, request) from None

    def _failed(self, refusal: HTTPError, request: Request) -> HTTPError:
        """Count a failed authentication and return its refusal, after a delay where the address fails again and again."""
        self._counters.add("failed authentications")
        delay = self._failed_logins.add(request.address)
        if delay:
            gevent.sleep(delay)
        return refusal

    def _note(self, done: "Handshaken", request: Request) -> Answer:
        """Count a handshake, show in the health what it has to tell, and return its answer."""
        self._counters.add("handshakes answered")
        if done.notice:
            self._client.report(f"{done.vendor}'s handshake", f"{done.vendor} (from {request.address}): {done.notice}")
        return done.answer

    def _identify(self, request: Request, incidents: list[Incident]) -> list[Incident]:
        """Return a request's incidents with the delivery's id as their key where nothing else is one."""
        event_id = self._authenticator.event_id(request.headers)
        if event_id is None:
            return incidents
        keys = [f"webhook-id:{event_id}" + (f"[{place}]" if len(incidents) > 1 else "") for place in range(len(incidents))]
        return [incident if incident.key else incident._replace(key=shorten_key(key)) for incident, key in zip(incidents, keys)]

    def _make(self, request: Request, body: bytes) -> list[Incident]:
        """Return the incidents a body holds; a large one, and many incidents, are made on the second thread."""
        settings, headers, now = self._settings, request.headers, self._clock.now()
        context = self._context(request)
        encoding = headers.get("content-encoding", "")
        read = (body, headers.get("content-type", ""), encoding, context.query, settings.keep_unreadable)
        incidents: list[Incident]
        if len(body) > SMALL_BODY_BYTES or is_packed(body, encoding):
            # In one turn: between two of them, the parsed payloads of all others would be in memory as well.
            incidents = self._parse(lambda: make_incidents(read_payload(*read), context, settings, now))
        elif len(items := read_payload(*read)) > MANY_ITEMS:
            incidents = self._parse(make_incidents, items, context, settings, now)
        else:
            incidents = make_incidents(items, context, settings, now)
            if len(incidents) <= MANY_ITEMS:
                return incidents
        request.reserve(max(0, sum(incident.size for incident in incidents) - len(body)))
        return incidents

    def _parse(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run what takes long on the second thread; raises what it raises, and ServiceUnavailable where it takes too long."""
        return self._parser.run(function, *args, seconds=PARSER_SECONDS)

    def _context(self, request: Request) -> RequestContext:
        """Return what is kept of a request beside its body; what follows from its head is found once."""
        head = request.head
        known = head.context
        if known is None or known.context.source_address != request.address:
            path = head.path if head.path != "/" else ""
            context = describe_request(head.headers, head.query, self._settings.hidden, path=path, source_address=request.address)
            known = head.context = KnownContext.of(context, self._settings)
        return known.with_length(request.headers)

    def _create(self, request: Request, incidents: list[Incident]) -> Answer | None:
        """Hand the incidents on; the request is answered when all of them are settled."""
        if not incidents:  # the array of events was empty
            return Answer(content=b"[]")
        if self._watched:
            self._count_misses(incidents)
        delivery = Delivery(request, incidents)
        if self._settings.answer_seconds is not None:
            delivery.promise = Promise()
            self._deliveries.append(delivery)
            self._delivered.set()
        self._submit(delivery)
        return None

    def _submit(self, delivery: "Delivery") -> None:
        """Hand a delivery's incidents on; raises ServiceUnavailable where there is no room for them."""
        if self._events is None:
            self._writer.submit(delivery.incidents, functools.partial(self._settled, delivery), delivery.promise)
            return
        if not self._keeper.loaded.is_set() and not self._keeper.loaded.wait(self._settings.answer_seconds or WITHDRAW_SECONDS):
            raise ServiceUnavailable("XSOAR did not tell which events came before; send this one again later.")
        self._events.submit(delivery.incidents, functools.partial(self._settled, delivery), delivery.promise)

    def _settled(self, delivery: "Delivery", outcomes: list[Outcome], duplicates: AbstractSet[int] = frozenset()) -> None:
        """Answer a request whose incidents are settled: with the metadata of what was created, or what became of the rest."""
        created, failed, new = [], [], 0
        for place, outcome in enumerate(outcomes):
            if outcome.status != 200:
                failed.append((place, outcome))
            elif outcome.created is not None:
                created.append(outcome.created)
                if place not in duplicates:
                    new += 1
                    if self._settings.store_samples:
                        self._keeper.add_sample(delivery.incidents[place])
        if new:
            self._counters.add("incidents created", new)
        request, delivery.request = delivery.request, None
        if delivery.name:
            self._settle_promised(delivery, outcomes)
        elif request is not None and failed:
            request.reply(self._failure_answer(outcomes, failed, partly=bool(new)).answer())
        elif request is not None:
            request.reply(Answer(content=encode_answer(created)))

    # ---- senders that cannot wait

    def keep_promises(self) -> None:
        """Create what an earlier start promised; then answer 202 to each request that has waited for answer_seconds."""
        self._keeper.loaded.wait()
        for name, promised in list(self._keeper.restored.items()):
            self._resume(name, promised)
        while self._settings.answer_seconds is not None:
            if not self._deliveries:
                self._delivered.clear()
                self._delivered.wait()
            delivery = self._deliveries.popleft()
            left = delivery.accepted + self._settings.answer_seconds - time.monotonic()
            if left > 0 and delivery.request is not None:
                gevent.sleep(left)
            if delivery.request is not None and delivery.request.under_way:
                self._promise(delivery, delivery.request)

    def _promise(self, delivery: "Delivery", request: Request) -> None:
        delivery.name = uuid.uuid4().hex[:12]
        if delivery.promise is not None:
            delivery.promise.made = True
        for place, incident in enumerate(delivery.incidents):
            self._keeper.promised[f"{delivery.name}[{place}]"] = Promised(incident, delivery.name)
        self._counters.add("requests answered before XSOAR has")
        content = to_json({"accepted": len(delivery.incidents), "request": delivery.name}).encode()
        request.reply(Answer(202, content))

    def _resume(self, name: str, promised: Promised) -> None:
        """Create an incident that was promised before the webhook started."""
        delivery = Delivery(None, [promised.incident])
        delivery.promise = Promise()
        delivery.promise.made = True
        delivery.name, delivery.stored_as = promised.request, name
        while True:
            try:
                return self._submit(delivery)
            except ServiceUnavailable:
                gevent.sleep(1)

    def _settle_promised(self, delivery: "Delivery", outcomes: list[Outcome]) -> None:
        """Forget the promises that are settled, submit again what the writer had no room for, and tell what XSOAR did not create.

        While the webhook stops, what is left over stays promised for the keeper's last flush.
        """
        failed = [outcome.reason for outcome in outcomes if outcome.status == 502]
        for place, outcome in enumerate(outcomes):
            name = delivery.stored_as or f"{delivery.name}[{place}]"
            if outcome.status != 503:
                self._keeper.fulfil(name)
            elif not self._connections.stopping:  # there was no room for it
                gevent.spawn(self._resume, name, Promised(delivery.incidents[place], delivery.name))
        if failed:
            reasons = "; ".join(dict.fromkeys(failed))
            sentence = f"Request {delivery.name} was answered 202, and not all of its incidents exist: {reasons}."
            self._client.error(sentence)
            self._broken_promises.append((time.monotonic(), sentence))
            self.tell_broken_promises(time.monotonic())

    def tell_broken_promises(self, now: float) -> None:
        """Show in the health which requests were answered 202 in vain within BROKEN_PROMISE_SECONDS; ``now`` is monotonic."""
        while self._broken_promises and now - self._broken_promises[0][0] > BROKEN_PROMISE_SECONDS:
            self._broken_promises.popleft()
        self._client.report("Answered 202", self._broken_promises[-1][1] if self._broken_promises else "")

    # ---- what an operator is told

    def _count_misses(self, incidents: list[Incident]) -> None:
        """Tell in the log, once, of a parameter whose paths have found nothing in many events in a row."""
        for incident in incidents:
            for name in self._watched:
                if name not in incident.missed:
                    self._misses[name] = 0
                    continue
                self._misses[name] += 1
                if self._misses[name] == MISSES_TOLD:
                    display = next(display for known, display, *_ in EVENT_PARAMETERS if known == name)
                    told = f"the last {MISSES_TOLD} events had no value at its paths; compare them with an incident's raw JSON."
                    self._client.info(f"{display}: {told}")

    def _failure_answer(self, outcomes: list[Outcome], failed: list[tuple[int, Outcome]], partly: bool) -> HTTPError:
        """Return the refusal (502, 503) that names the places XSOAR did not create, and the IDs of the others."""
        places = ", ".join(f"[{place}]" for place, _ in failed) + ": " if len(outcomes) > 1 else ""
        reasons = "; ".join(dict.fromkeys(outcome.reason for _, outcome in failed))
        if not partly and all(outcome.status == 503 for _, outcome in failed):
            return ServiceUnavailable(f"{places}{reasons}. Send this again later.")
        ids = [str(outcome.created.get("id")) for outcome in outcomes if outcome.created is not None]
        sentence = f"{places}{reasons}." + (f" Created: {', '.join(ids)}." if ids else "")
        request_id = uuid.uuid4().hex[:12]
        self._client.info(f"Request {request_id} was answered 502. {sentence}")
        return HTTPError(502, f"{sentence} Request {request_id}.")


class Clock:
    """The time of day as RFC 3339 in UTC with microseconds; all but those is written once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def now(self) -> str:
        """Return the time."""
        second, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._text}.{microseconds:06d}Z"


class Delivery:
    """A request's incidents until they are settled, and the request until it is answered."""

    __slots__ = ("accepted", "incidents", "name", "promise", "request", "stored_as")

    def __init__(self, request: Request | None, incidents: list[Incident]) -> None:
        self.accepted = time.monotonic()
        self.request = request
        self.incidents = incidents
        self.promise: Promise | None = None  # of creating them even where the sender is answered earlier
        self.name = ""  # the request's ID in the answer 202, once there is one
        self.stored_as = ""  # in the integration context, by an earlier start


def encode_answer(created: list[dict[str, Any]]) -> bytes:
    """Return the JSON array a sender gets: what XSOAR returned of each incident, without the sender's own payload."""
    metadata = [incident.copy() for incident in created]
    for incident in metadata:
        incident.pop("rawJSON", None)
    return to_json(metadata).encode("utf-8", "replace")


class Routes:
    """Which function answers which method and path: Bottle's router, asked without Bottle's request and response.

    Those are thread-locals that cost a tenth of a request, and would have to be patched to be each greenlet's own.
    """

    def __init__(self, webhook: Webhook, settings: Settings) -> None:
        self.methods = ("POST", *sorted(settings.other_methods))  # which make incidents
        table: list[tuple[str, Iterable[str], Callable[[Request], Answer | None]]] = [
            ("/health", ("GET", "HEAD"), webhook.report_health),
            ("/health<rest:re:.*>", {*self.methods} | ASKING_METHODS, no_health),
            ("/metrics", ("GET", "HEAD"), webhook.report_metrics if settings.metrics else no_metrics),
        ]
        for path in ("/", "/<path:path>"):  # one instance can tell many senders apart by what stands behind its URL
            table.append((path, {*self.methods} - ASKING_METHODS, webhook.receive))
            table.append((path, ASKING_METHODS, webhook.ask))
        self._router = bottle.Router()
        for rule, methods, handler in table:
            for method in methods:
                self._router.add(rule, method, handler)

    def find(self, method: str, path: str) -> Callable[[Request], Answer | None]:
        """Return the function that answers; raises HTTPError (405)."""
        try:
            handler: Callable[[Request], Answer | None] = self._router.match({"REQUEST_METHOD": method, "PATH_INFO": path})[0]
        except bottle.HTTPError:  # any path is somebody's
            raise not_allowed(self.methods) from None
        return handler


ASKING_METHODS = {"GET", "HEAD", "OPTIONS"}  # with which vendors ask before they send


def not_allowed(methods: Iterable[str]) -> HTTPError:
    """Return the refusal of a method; it names those that are for this URL."""
    sentence = "Incidents are created by POST; this method is not for this URL."
    return HTTPError(405, sentence, Allow=", ".join(methods))


def no_metrics(request: Request) -> Answer:
    """Refuse to tell metrics where the instance does not serve them."""
    raise HTTPError(404, "The metrics are off; tick Serve metrics for Prometheus in the instance's settings.")


def no_health(request: Request) -> Answer:
    """Refuse what begins with /health and is not the health itself: it may become ours."""
    if request.head.path == "/health":
        raise HTTPError(405, "The health is read by GET.", Allow="GET")
    raise HTTPError(404, "Paths that begin with /health are the webhook's own; choose another one behind its URL.")


# ---------------------------------------------------------------------------------------------------------------------
# Metrics: what Prometheus is told
# ---------------------------------------------------------------------------------------------------------------------

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus' text format
CALL_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
CALL_INCIDENTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
MetricSamples = Iterable[tuple[str, float]]  # what is behind the metric's name, labels among it, and the value


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

    def samples(self) -> MetricSamples:
        """Yield what Prometheus reads: each bucket holds the ones below it, too."""
        counts = list(itertools.accumulate(self._counts))
        for bound, count in zip((*self._bounds, "+Inf"), counts):
            yield f'_bucket{{le="{bound}"}}', count
        yield "_sum", self._sum
        yield "_count", counts[-1]


def labelled(label: str, values: dict[Any, int]) -> MetricSamples:
    """Yield a sample for each of a label's values, all of which are words of ours."""
    return ((f'{{{label}="{value}"}}', count) for value, count in sorted(values.items()))


def metrics_text(counters: Counters, connections: Connections, writer: Writer) -> str:
    """Return all metrics in Prometheus' text format 0.0.4; no label holds anything a sender posted."""
    incidents, size = writer.waiting
    families: tuple[tuple[str, str, str, MetricSamples], ...] = (
        ("requests_total", "counter", "Requests answered, by HTTP status.", labelled("status", counters.statuses)),
        ("incidents_created_total", "counter", "Incidents that XSOAR created.", [("", counters.total("incidents created"))]),
        ("duplicates_total", "counter", "Events that had been seen before.", [("", counters.total("duplicates"))]),
        ("failed_logins_total", "counter", "Requests with wrong credentials.", [("", counters.total("failed authentications"))]),
        ("connections", "gauge", "Open connections, by what they do.", labelled("state", connections.counts())),
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
# Commands: Test, samples, reset, status; and the service that runs for ever
#
# Each command but the last runs in a container of its own, for the same instance and with the same integration context.
# ---------------------------------------------------------------------------------------------------------------------


def test_module(settings: Settings) -> str:
    """The Test button: check every parameter and return ``ok``; raises ValueError with a line for each mistake."""
    mistakes = [str(mistake) for mistake in settings.mistakes]
    try:
        context = load_tls(settings.certificate, settings.key, settings.client_ca)
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


RESET_TRIES = 5  # each against what the running container, or another command, writes meanwhile


def reset_command(args: dict[str, Any]) -> CommandResults:
    """generic-webhook-reset: forget samples, seen events or both, in the integration context and in the running container.

    The running container finds the mark within KEEPER_SECONDS; without one, the next start does. Raises ValueError.
    """
    what = str(args.get("what") or "all").strip().lower()
    if what not in RESETS:
        raise ValueError(f"what: choose of {', '.join(RESETS)}.")
    for attempt in range(RESET_TRIES):
        versioned = demisto.getIntegrationContextVersioned(True) or {}
        context, stored = read_context(versioned.get("context"))
        for key in RESETS[what]:
            context.pop(key, None)
        context[RESET_KEY] = what if stored.reset in ("", what) else "all"
        texts = {str(key): value if isinstance(value, str) else to_json(value) for key, value in context.items()}
        try:
            demisto.setIntegrationContextVersioned(texts, versioned.get("version", -1), True)
            break
        except json.JSONDecodeError:
            raise
        except ValueError:  # somebody else has written in between
            if attempt + 1 == RESET_TRIES:
                raise
            time.sleep(RETRY_PAUSE_SECONDS)
    outputs = {
        "What": what,
        "Samples": len(stored.samples) if SAMPLES_KEY in RESETS[what] else 0,
        "Events": len(stored.found) if FOUND_KEY in RESETS[what] else 0,
    }
    readable = tableToMarkdown("Forgotten", outputs, headers=["What", "Samples", "Events"])
    return CommandResults(outputs_prefix="GenericWebhook.Reset", outputs=outputs, readable_output=readable)


RESETS = {
    "samples": (SAMPLES_KEY,),
    "events": (FOUND_KEY, TIMES_KEY),
    "all": (SAMPLES_KEY, FOUND_KEY, TIMES_KEY),
}


def status_command() -> CommandResults:
    """generic-webhook-status: what the running container has counted since its start, at most KEEPER_SECONDS ago."""
    status = _read_context(STATUS_KEY, (demisto.getIntegrationContext() or {}).get(STATUS_KEY), [])
    if not isinstance(status, dict):
        return CommandResults(readable_output="The instance has not been running yet, or not for long enough to tell.")
    counters = status.get("counters") or {}
    outputs = {
        "Since": status.get("since"),
        "Updated": status.get("updated"),
        "QueuedIncidents": status.get("queued_incidents"),
        "QueuedBytes": status.get("queued_bytes"),
        "IncidentsCreated": counters.get("incidents created", 0),
        "Duplicates": counters.get("duplicates", 0),
        "FailedAuthentications": counters.get("failed authentications", 0),
        "Answers": status.get("answers") or {},
        "Counters": counters,
    }
    table = {name: value for name, value in outputs.items() if name not in ("Answers", "Counters")}
    table |= {f"Answers {code}": count for code, count in outputs["Answers"].items()}
    readable = tableToMarkdown("Generic Webhook", table, headers=list(table))
    return CommandResults(outputs_prefix="GenericWebhook.Status", outputs=outputs, readable_output=readable)


class Service:
    """The long-running command: the parts put together, kept going, and brought to an orderly end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = XsoarClient(settings.authenticator.secrets)
        self._counters = Counters()
        self._connections = Connections(self._counters)
        self._writer = Writer(self._client)
        self._parser = NativeThread()  # large bodies, so that parsing them does not stall the small ones
        self._started = datetime.now(UTC)
        events = SeenEvents(self._writer, self._counters, settings.duplicate_seconds)
        self._keeper = ContextKeeper(self._client, settings, Samples(self._parser), events, self._status)
        self._webhook = Webhook(
            settings,
            self._client,
            self._writer,
            events if remembers_events(settings) else None,
            self._keeper,
            self._connections,
            self._counters,
            self._parser,
        )
        self._stop = Event()

    def run(self) -> None:
        """Serve until SIGTERM, or until the second thread is stuck; then end the process in order, whatever else fails.

        A lost wire ends the process, too, in _end_broken.
        """
        gevent.signal_handler(signal.SIGTERM, self._stop.set)
        self._client.take_over_wire()
        for task in (
            self._writer.run,
            self._keeper.run,
            self._webhook.keep_promises,
            self._tick,
            self._send_log_and_heartbeat,
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
        tls = load_tls(self._settings.certificate, self._settings.key, self._settings.client_ca)
        self._check_certificate(tls)
        address = ("0.0.0.0", self._settings.port)  # noqa: S104  # nosec B104
        server = Server(address, self._webhook.answer, self._connections, self._counters, self._report_failure, tls)
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
        """Once a second, close what is out of time, withdraw old incidents, and watch the wire and the second thread.

        Once a minute, log the counters.
        """
        reported = time.monotonic()
        while True:
            gevent.sleep(1)
            now = time.monotonic()
            self._connections.sweep(now)
            self._writer.withdraw(now)
            if self._client.is_broken() or self._client.out_of_step:
                self._end_broken()
            self._watch_parser(now)
            self._webhook.tell_broken_promises(now)
            if now - reported >= REPORT_SECONDS:
                reported = now
                self._log_counters()

    def _status(self) -> dict[str, Any]:
        """Return what generic-webhook-status tells."""
        incidents, size = self._writer.waiting
        return {
            "since": self._started.isoformat(timespec="seconds"),
            "queued_incidents": incidents,
            "queued_bytes": size,
            "answers": {str(status): count for status, count in sorted(self._counters.statuses.items())},
            "counters": self._counters.totals(),
        }

    def _log_counters(self) -> None:
        line = self._counters.take_line()
        if line:  # nothing is logged where nothing happened
            self._client.info(f"Generic Webhook: {line}")

    def _report_failure(self, error: BaseException) -> None:
        """Log a failure of ours, with its place but nothing of what was posted."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace else "unknown place"
        self._client.error(f"A request failed in {place}: {type(error).__name__}")

    def _send_log_and_heartbeat(self) -> None:
        while True:
            self._client.flush()
            self._client.beat(time.monotonic())
            gevent.sleep(1)

    def _watch_parser(self, now: float) -> None:
        """Tell of a body that keeps the second thread for too long, and end the process where it will not let it go."""
        busy = self._parser.busy_seconds(now)
        trouble = "One body keeps the webhook busy, and all large ones wait for it." if busy > PARSER_SECONDS else ""
        self._client.report("Large bodies", trouble)
        if busy > PARSER_STUCK_SECONDS and not self._stop.is_set():
            self._client.error("A body kept the webhook busy for too long; the instance starts again.")
            self._stop.set()

    def _end_broken(self) -> None:
        """XSOAR closed the wire, or it is out of step: answer who waits and end the process, which the platform starts again."""
        try:
            if self._client.out_of_step:
                self._client.tell_out_of_step()
            else:
                with contextlib.suppress(OSError):  # not print: the platform rebinds it to a call over the wire that is gone
                    sys.stderr.write("Generic Webhook: XSOAR closed the connection to this container; ending.\n")
                    sys.stderr.flush()
            self._connections.stopping = True
            self._writer.close(MAYBE_CREATED)
            gevent.sleep(0.5)
        finally:
            os._exit(1)

    def _shut_down(self) -> None:
        """Finish what was accepted, refuse what comes later, flush; within the 10 s that the platform leaves after SIGTERM."""
        self._connections.stopping = True
        stopped = time.monotonic()
        while (passed := time.monotonic() - stopped) < DRAIN_SECONDS:
            promised_in_flight = self._keeper.promised and self._writer.is_calling
            reading = self._connections.reading() and passed < READING_SECONDS
            if not self._connections.under_way and not promised_in_flight and not reading:
                break
            gevent.sleep(0.02)
        self._writer.close()
        self._keeper.close()
        self._connections.end_reading()
        gevent.sleep(0.2)  # the answers leave
        with gevent.Timeout(1, False):
            self._log_counters()
            self._keeper.flush()
            self._client.info("Generic Webhook stops.")  # goes behind a flush of the memory that is under way
            self._client.flush()


def long_running_execution(settings: Settings) -> None:
    """Run the server for ever."""
    demisto.enable_multithreading()  # the platform's heartbeat thread writes to the same wire
    threading.stack_size(THREAD_STACK_BYTES)
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # modules and tables live as long as the process
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
        elif command == "generic-webhook-reset":
            return_results(reset_command(demisto.args()))
        elif command == "generic-webhook-status":
            return_results(status_command())
        elif command == "long-running-execution":
            long_running_execution(settings)
        else:
            raise NotImplementedError(f"Generic Webhook has no command {command}.")
    except Exception as error:
        return_error(str(error))


if __name__ in ("__main__", "__builtin__", "builtins"):
    main()
