"""Generic Webhook for Cortex XSOAR: whatever is posted to it becomes an incident.

Start with the section Application: Webhook.receive is the way of a request, and each of its lines leads to a section.

| section | what it does |
| --- | --- |
| Constants, Refusals | limits that sections share or users are told; answers other than 200; JSON |
| Settings | the instance's parameters, TLS |
| ConnectionRegistry | who is connected and how long; memory for large bodies; failed logins; counters |
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

import bisect
import contextlib
import fcntl
import functools
import gc
import itertools
import json
import math
import os
import re
import select
import signal
import sys
import threading
import time
import unicodedata
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

try:
    from datetime import datetime, UTC
    from typing import Any, NamedTuple
    import bottle
    import gevent
    import gevent.socket
    from gevent.event import Event
    from gevent.lock import Semaphore
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

from HTTPServerApiModule import *  # noqa: E402
from WebhookFormatsApiModule import *  # noqa: E402
from WebhookMappingApiModule import *  # noqa: E402
from WebhookPayloadApiModule import *  # noqa: E402
from WebhookSecurityApiModule import *  # noqa: E402

# ---------------------------------------------------------------------------------------------------------------------
# Constants: each carries its unit and its reason
# ---------------------------------------------------------------------------------------------------------------------

KIB = 1024
MIB = 1024 * KIB

DEFAULT_NAME = "Generic webhook triggered incident"
MAX_NAME_CHARACTERS = 600  # longer titles are refused by XSOAR's database

MANY_ITEMS = 20  # of a small body, each of which takes all headers along: more are made on the second thread
PIECE_ELEMENTS = 500  # of a large payload encoded at a time


DRAIN_SECONDS = 8.0  # after SIGTERM; SIGKILL follows 10 s after it
READING_SECONDS = 1.0  # after SIGTERM, for bodies on their way
MAX_RESTART_PAUSE_SECONDS = 30
REPORT_SECONDS = 60  # counters and refused senders: one log line a minute
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
HUB_THREAD = threading.get_ident()  # that imports this file and serves the connections


def _encode_in_pieces(value: Any, levels: int = 4) -> str:
    """As compact_json, which keeps all other threads waiting to its end; here they get their turn between two pieces."""
    if not levels or not isinstance(value, (dict, list)) or not value:
        return compact_json(value)
    if len(value) > PIECE_ELEMENTS:
        kind, elements = (dict, iter(value.items())) if isinstance(value, dict) else (list, iter(value))
        groups = iter(lambda: kind(itertools.islice(elements, PIECE_ELEMENTS)), kind())
        pieces = [compact_json(group)[1:-1] for group in groups]
    elif isinstance(value, dict):
        pieces = [f"{compact_json(key)}:{_encode_in_pieces(child, levels - 1)}" for key, child in value.items()]
    else:
        pieces = [_encode_in_pieces(child, levels - 1) for child in value]
    return ("{%s}" if isinstance(value, dict) else "[%s]") % ",".join(pieces)


def to_json(value: Any) -> str:
    """Return a value as compact JSON for the platform, without_marker.

    On a native thread, where large values are handled, it is encoded in pieces, so that the hub gets its turn.
    """
    return without_marker(compact_json(value) if threading.get_ident() == HUB_THREAD else _encode_in_pieces(value))


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
    """A parameter that cannot be used: its display name, and how to fix it."""

    def __init__(self, parameter: str, fix: str) -> None:
        super().__init__(f"{parameter}: {fix}")


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


def read_access(params: dict[str, Any], mistakes: list[SettingError]) -> dict[str, Any]:
    """Return the settings that decide who gets in; a mistake in one of them lets nobody in until it is corrected."""
    credentials = params.get("credentials") or {}
    access: dict[str, Any] = {}
    known = len(mistakes)
    try:
        access["authenticator"] = choose_authenticator(
            credentials.get("identifier") or "", credentials.get("password") or ""
        )
    except CredentialError as error:
        mistakes.append(SettingError(error.field, error.fix))
    for name, display in (("allowed_sources", "Allowed sources"), ("trusted_proxies", "Trusted proxies")):
        try:
            access[name] = parse_networks(split_list(params.get(name)))
        except ValueError as error:
            mistakes.append(SettingError(display, str(error)))
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
        setting: read(params.get(name), lambda fix, display=display: mistakes.append(SettingError(display, fix)))  # type: ignore[misc]
        for name, display, setting, read in EVENT_PARAMETERS
    }


def named_paths(events: dict[str, Any]) -> "list[DotPath]":
    """Return all paths that the settings of read_event_parameters hold."""
    keys = [path for key in events["duplication_paths"] for path in key.paths]
    names = [path for part in events["name_from"].parts if not isinstance(part, str) for path in part]
    others = [path for setting in ("type_from", "occurred_from", "severity_from") for path in events[setting] or ()]
    return [*keys, *names, *others]


def read_methods(value: Any, report_problem: ReportProblem) -> frozenset[str]:
    """Return the HTTP methods that are handled as POST."""
    methods = {method.upper() for method in split_list(value)} - {"NONE"}
    if methods - OTHER_METHODS:
        report_problem(f"choose of {', '.join(sorted(OTHER_METHODS))}, or leave it empty.")
    return frozenset(methods & OTHER_METHODS)


def read_flag(value: Any, report_problem: ReportProblem) -> bool:
    """Return whether a checkbox is ticked."""
    try:
        return bool(argToBoolean(value or False))
    except ValueError:
        report_problem("tick it or leave it empty.")
        return False


def read_amount(value: Any, report_problem: ReportProblem, unit: str, seconds: float) -> float | None:
    """Return so many seconds from a positive number of units, None where there is none."""
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not float(text):
        report_problem(f"enter a number of {unit} above 0, such as 3 or 0.5, or leave it empty.")
        return None
    return float(text) * seconds


OTHER_METHODS = {"GET", "PUT", "PATCH"}
EVENT_PARAMETERS: tuple[tuple[str, str, str, Callable[[Any, ReportProblem], Any]], ...] = (
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


# ---------------------------------------------------------------------------------------------------------------------
# Incident: what XSOAR is to create
# ---------------------------------------------------------------------------------------------------------------------

RAW_SPELLINGS = ("raw_json", "rawJson", "rawJSON")
BASIC_FIELDS = {"name", "type", "occurred", "severity", "details", "rawJSON"}  # what is beyond them is rare and can be large
SECRET_WORDS = re.compile(
    # a word of a name as a whole
    "auth|authentication|token|key|credentials?|session|jwt|assertion|oidc|bearer|csrf|xsrf|sig|pwd|passwd"
    # what is unmistakable within a word, too: `x-apikey2`, `usersecret`
    "|.*(?:authorization|password|passphrase|passcode|secret|cookie|credential|signature|hmac|apikey).*"
    # and at its end: `x-authtoken`, `sessionid`
    "|.*(?:token|authkey|accesskey|privatekey|sessionid)[0-9]*"
)
# How a body was transferred says nothing of its event (RFC 9112, 6; RFC 9110, 7.6.1 and 10.1.1).
FRAMING_HEADERS = frozenset(
    {"content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "expect"}
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
        if name not in FRAMING_HEADERS and name != hidden.header and (not _tells_secrets(name) or name in hidden.named_headers)
    }
    for name in URL_HEADERS:
        if name in kept:
            kept[name] = URL_SECRETS.sub("", kept[name])
    if not query_string:
        return RequestContext(kept, {}, path, source_address)
    try:
        pairs = parse_qsl(ascii_query(query_string), keep_blank_values=True, errors="replace", max_num_fields=MAX_QUERY_FIELDS)
    except ValueError:
        raise BadRequest(f"The query string has more than {MAX_QUERY_FIELDS} fields; send them in the body.") from None
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


def make_incidents(items: Items, request: RequestContext, settings: Settings, trigger_time: str) -> list[Incident]:
    """Return the incidents for a request's items; raises HTTPError (400, 413), and then none is to be created.

    ``trigger_time`` (RFC 3339) is used where an event names no other. In an array a wrong field is named by its place.
    The list is empty where the arrays that *Events in* names are.
    """
    if settings.events_paths:
        parts = split_items(items, request, settings)
    else:
        shared = request.shared if len(items.values) == 1 else None
        shared = shared or share(shared_fields(request, settings), len(items.values))
        parts = [
            Part(item, shared, index == 0, place_of(items, index), items.verbatim_json)
            for index, item in enumerate(items.values)
        ]
    return [make_incident(part, index, settings, trigger_time) for index, part in enumerate(parts)]


def place_of(items: Items, index: int) -> str:
    """Return what stands before a wrong field's name: nothing for a request's only item, unless it came in an array."""
    return f"[{index}]." if len(items.values) > 1 or items.is_array else ""


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
        size += len(compact_json({name: fields[name] for name in fields.keys() - BASIC_FIELDS}).encode())
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


def split_items(items: Items, request: RequestContext, settings: Settings) -> list[Part]:
    """Return a part for each element of the arrays that *Events in* names; an item without such an array is one part."""
    arrays = [find_events(item, settings.events_paths) for item in items.values]
    total = sum(len(array.elements) if array else 1 for array in arrays)
    if total > MAX_ITEMS:
        raise HTTPError(413, f"The body holds more than {MAX_ITEMS} events; send them in several requests.")
    shared = share(shared_fields(request, settings), total)
    parts: list[Part] = []
    for number, (item, array) in enumerate(zip(items.values, arrays)):
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
        lines.append(f"{prefix}{name}: {value[:most] if kind is str else compact_json(value)}")
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
    texts = [value if isinstance(value, str) else compact_json(value) for value in values]
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
        connections: ConnectionRegistry,
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
        self._failed_logins = FailedLogins()
        self._app = build_app(self, settings)
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
            head.handler = find_handler(self._app, head)
            head.notes = HeadNotes(self._settings.handshakes and asks_by_head(head.headers, head.query))
        try:
            return head.handler(request)
        except (ProofError, PayloadError, HandshakeError) as error:
            raise as_http_error(error) from None

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
        headers, notes = request.headers, request.head.notes
        if not notes.authenticated:
            refusal = self._refusal(request)
            if refusal is not None:
                return self._answer_unsigned(request, refusal)
        if "content-encoding" in headers:
            supported_encoding(headers["content-encoding"])
        if self._connections.stopping:
            raise ServiceUnavailable("The webhook is stopping; send this again in a moment.")
        body = request.read_body()
        request.hold_shutdown()
        if self._authenticator.signs_body:
            self._check_body(request, body)
        if notes.may_be_handshake or (self._settings.handshakes and asks_by_body(body)):
            done = self._answer_handshake(request, body, True)
            if done:
                return done
        incidents = self._make(request, body)
        if self._authenticator.identifies:
            incidents = self._identify(request, incidents)
        if not notes.authenticated and self._authenticator.result_is_cacheable:
            notes.authenticated = True
            request.cache_head()
        del body  # its incidents are all that is needed while XSOAR takes them
        return self._create(request, incidents)

    def answer_probe(self, request: Request) -> Answer | None:
        """GET, HEAD, OPTIONS: answer a vendor's handshake, or receive an event where the instance accepts the method.

        Anything else is 405, a wrong proof 401.
        """
        head = request.head
        refusal = self._refusal(request)
        done = self._answer_handshake(request, b"", refusal is None and not self._authenticator.signs_body)
        if done:
            return done
        if head.method in self._settings.other_methods:
            return self.receive(request)
        # Whoever tries a token learns whether it is right, so that this is counted and slowed down as any other try.
        tries_token = "hub.verify_token" in HandshakeRequest(head.method, request.headers, head.query).fields
        if refusal is not None and (not isinstance(refusal, MissingCredentials) or tries_token):
            raise self._failed(refusal, request)
        raise not_allowed(("POST", *sorted(self._settings.other_methods)))

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

    def _refusal(self, request: Request) -> ProofError | None:
        """Return what headers and query string are refused with, None where they prove the sender."""
        try:
            self._authenticator.verify_headers(request.headers, request.head.query, request.head.repeated)
        except ProofError as refusal:
            return refusal.with_traceback(None)  # whose frames would keep the request in memory
        return None

    def _answer_unsigned(self, request: Request, refusal: ProofError) -> Answer:
        """Answer a POST that proves nothing where it is a vendor's handshake; raises the refusal of any other."""
        head = request.head
        # A sender that asks before it sends its body, or compresses it, sends no handshake.
        if (
            self._settings.handshakes
            and isinstance(refusal, MissingCredentials)
            and not head.chunked
            and not head.expects_continue
            and may_be_handshake(head.method, request.headers, request.length)
        ):
            done = self._answer_handshake(request, request.read_body(), False)
            if done:
                return done
        raise self._failed(refusal, request)

    def _answer_handshake(self, request: Request, body: bytes, authenticated: bool) -> Answer | None:
        """Return the answer to a vendor's handshake, None for any other request.

        It is counted, and what it has to report is shown in the health.
        """
        if not self._settings.handshakes:
            return None
        head = request.head
        call = HandshakeRequest(head.method, request.headers, head.query, body, self._settings.proxy)
        done = answer_handshake(call, self._authenticator, authenticated)
        if done is None:
            return None
        self._counters.add("handshakes answered")
        if done.notice:
            self._client.report(f"{done.vendor}'s handshake", f"{done.vendor} (from {request.address}): {done.notice}")
        return Answer(200, done.content, done.content_type, done.headers)

    def _check_body(self, request: Request, body: bytes) -> None:
        try:
            if len(body) > SMALL_BODY_BYTES:  # hashing 25 MB takes longer than the others should wait
                self._parse(self._authenticator.verify_body, request.headers, body)
            else:
                self._authenticator.verify_body(request.headers, body)
        except ProofError as refusal:
            raise self._failed(refusal, request) from None

    def _failed(self, refusal: ProofError, request: Request) -> ProofError:
        """Count a failed authentication and return its refusal, after a delay where the address fails again and again."""
        self._counters.add("failed authentications")
        delay = self._failed_logins.add(request.address)
        if delay:
            gevent.sleep(delay)
        return refusal

    def _identify(self, request: Request, incidents: list[Incident]) -> list[Incident]:
        """Return a request's incidents with the delivery's id as their key where nothing else is one."""
        event_id = self._authenticator.event_id(request.headers)
        if event_id is None:
            return incidents
        keys = [f"webhook-id:{event_id}" + (f"[{place}]" if len(incidents) > 1 else "") for place in range(len(incidents))]
        return [incident if incident.key else incident._replace(key=shorten_key(key)) for incident, key in zip(incidents, keys)]

    def _make(self, request: Request, body: bytes) -> list[Incident]:
        """Return the incidents a body holds; a large one, and many incidents, are made on the second thread."""
        settings, headers, now = self._settings, request.headers, datetime.now(UTC).isoformat().replace("+00:00", "Z")
        context = self._context(request)
        encoding = headers.get("content-encoding", "")
        read = (body, headers.get("content-type", ""), encoding, context.query, settings.keep_unreadable, TextReader)
        incidents: list[Incident]
        if len(body) > SMALL_BODY_BYTES or is_compressed(body, encoding):
            # In one turn: between two of them, the parsed payloads of all others would be in memory as well.
            incidents = self._parse(lambda: make_incidents(read_payload(*read), context, settings, now))
        elif len((items := read_payload(*read)).values) > MANY_ITEMS:
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
        """Return what is kept of a request in addition to its body; what follows from its head is found once."""
        head = request.head
        known = head.notes.context
        if known is None or known.source_address != request.address:
            path = head.path if head.path != "/" else ""
            context = describe_request(
                head.headers, head.query, self._settings.hidden, path=path, source_address=request.address
            )
            fields = shared_fields(context, self._settings)
            text = to_json(fields)[1:-1]
            known = head.notes.context = context._replace(shared=Shared(fields, text, text))
        return known

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
            if delivery.request is not None and delivery.request.in_progress:
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


class HeadNotes:
    """What the application has found out from a head, for all requests with the same head."""

    __slots__ = ("authenticated", "context", "may_be_handshake")

    def __init__(self, may_be_handshake: bool) -> None:
        self.may_be_handshake = may_be_handshake
        self.authenticated = False  # which depends on nothing but this head
        self.context: RequestContext | None = None  # what its incidents keep of it


PROBE_METHODS = ["GET", "HEAD", "OPTIONS"]  # with which vendors ask before they send
# Any path is an event's but these two. (?s:) because a path may hold a line feed.
ANY_PATH = "/<path:re:(?!(?:health|metrics)$)(?s:.*)>"


def build_app(webhook: Webhook, settings: Settings) -> bottle.Bottle:
    """Return the Bottle application: which function of the webhook answers which path and method."""
    app = bottle.Bottle()
    app.route("/health", ["GET", "HEAD"], webhook.report_health)
    app.route("/metrics", ["GET", "HEAD"], webhook.report_metrics if settings.metrics else refuse_metrics)
    event_methods = {"POST", *settings.other_methods}.difference(PROBE_METHODS)
    app.route(ANY_PATH, sorted(event_methods), webhook.receive)
    app.route(ANY_PATH, PROBE_METHODS, webhook.answer_probe)
    return app


def find_handler(app: bottle.Bottle, head: Head) -> Callable[[Request], Answer | None]:
    """Return the function that answers requests with a head; raises HTTPError (404, 405).

    The full WSGI round through Bottle would cost 17 µs a request, its match alone costs 2 µs a head.
    """
    try:
        route, _ = app.match({"REQUEST_METHOD": head.method, "PATH_INFO": head.path})
    except bottle.HTTPError as error:
        if error.status_code == 405:
            raise not_allowed(error.get_header("Allow").split(",")) from None
        raise HTTPError(error.status_code, "There is nothing at this path.") from None
    handler: Callable[[Request], Answer | None] = route.callback
    return handler


def not_allowed(methods: Iterable[str]) -> HTTPError:
    """Return the refusal of a method; it names those that are for this URL."""
    sentence = "Incidents are created by POST; this method is not for this URL."
    return HTTPError(405, sentence, Allow=", ".join(methods))


def refuse_metrics(request: Request) -> Answer:
    """Refuse to show metrics where the instance does not serve them."""
    raise HTTPError(404, "The metrics are off; tick Serve metrics for Prometheus in the instance's settings.")


def as_http_error(error: ProofError | PayloadError | HandshakeError) -> HTTPError:
    """Return the answer to what a library of ours refuses."""
    if isinstance(error, ProofError):
        return HTTPError(401, error.sentence, **({"WWW_Authenticate": error.challenge} if error.challenge else {}))
    if isinstance(error, HandshakeError):
        return HTTPError(400 if error.is_senders_fault else 502, error.sentence)
    if isinstance(error, UnsupportedEncoding):
        return HTTPError(415, error.sentence, Accept_Encoding=", ".join(error.accepted))
    return HTTPError(413, error.sentence) if isinstance(error, PayloadTooLarge) else BadRequest(error.sentence)


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


def metrics_text(counters: Counters, connections: ConnectionRegistry, writer: Writer) -> str:
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
        if load_tls(settings.certificate, settings.key, settings.client_ca) is not None:
            mistakes += filter(None, [certificate_problem(settings.certificate)])
    except CertificateError as mistake:
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
        self._connections = ConnectionRegistry(self._counters)
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
            except (SettingError, CertificateError, OSError) as error:
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
        self._client.report("Certificate's dates", certificate_problem(self._settings.certificate) if tls else "")

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
            if not self._connections.in_progress and not promised_in_flight and not reading:
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
