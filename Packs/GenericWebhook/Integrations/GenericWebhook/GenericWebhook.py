"""Generic Webhook for Cortex XSOAR: whatever is posted to it becomes an incident.

Start with the section Application: Webhook.receive is the life of a request, and each of its lines
leads to a section, or to one of the libraries in Packs/ApiModules/Scripts, which know nothing of
each other.

| section | what it does |
| --- | --- |
| Constants | limits that sections share |
| Settings | the instance's parameters |
| Deliveries | a request's events, and what becomes of each |
| Incidents | items become events: the native format, and everybody else's |
| Connection to XSOAR | what became of events, by what XSOAR answered |
| Writer | the events of many requests in one call |
| Seen events | each event once |
| Alerts | one incident from an alert's start to its end |
| Integration context | samples, seen events, and what commands leave there |
| Application | the life of a request, the routes |
| Metrics, Commands, Service | Prometheus; Test, samples, reset, status; what runs for ever |
"""

import demistomock as demisto
from CommonServerPython import *

import contextlib
import dataclasses
import functools
import gc
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

try:
    from datetime import datetime, UTC
    from typing import Any, NamedTuple
    import bottle
    import gevent
    from gevent.event import Event as Signal
    from gevent.lock import Semaphore
except ImportError as missing:
    sentence = (
        f"Generic Webhook cannot run in this instance's Docker image: {missing}. "
        "Choose demisto/syslog:1.0.0.12689358, or "
        "another image with Python 3.11 or newer and gevent, and enable the instance again. "
        "Bottle comes with the pack's zip: where it is what is missing, "
        "upload the zip that tox run -e pack makes."
    )
    demisto.error(sentence)
    if demisto.command() != "long-running-execution":
        return_error(sentence)
    demisto.updateModuleHealth(sentence)
    sys.stdin.read()  # the sentence stays in the health until the platform ends the container
    os._exit(1)

from AlertLifeApiModule import *  # noqa: E402
from EventConditionsApiModule import *  # noqa: E402
from FairTurnsApiModule import *  # noqa: E402
from HTTPServerApiModule import *  # noqa: E402
from IncidentFieldsApiModule import *  # noqa: E402
from KnownSendersApiModule import *  # noqa: E402
from MetricsApiModule import *  # noqa: E402
from OpenAlertsApiModule import *  # noqa: E402
from ParameterReadersApiModule import *  # noqa: E402
from RefusalsApiModule import *  # noqa: E402
from RequestSecretsApiModule import *  # noqa: E402
from RequestSourcesApiModule import *  # noqa: E402
from SenderAnswersApiModule import *  # noqa: E402
from SignatureSchemesApiModule import *  # noqa: E402
from SnsSignatureApiModule import *  # noqa: E402
from StoredContextApiModule import *  # noqa: E402
from WebhookFormatsApiModule import *  # noqa: E402
from WebhookMappingApiModule import *  # noqa: E402
from WebhookPayloadApiModule import *  # noqa: E402
from WebhookSecurityApiModule import *  # noqa: E402
from XsoarConnectionApiModule import *  # noqa: E402

# -------------------------------------------------------------------------------------------------
# Constants: each carries its unit and its reason
# -------------------------------------------------------------------------------------------------

KIB = 1024
MIB = 1024 * KIB

DEFAULT_NAME = "Generic webhook triggered incident"

MAX_EVENTS_ON_LOOP = 20  # of a small body: each holds all headers; more go to the worker thread

DRAIN_SECONDS = 8.0  # after SIGTERM; SIGKILL follows 10 s after it
READING_SECONDS = 1.0  # after SIGTERM, for bodies that are still arriving
LAST_FLUSH_SECONDS = 1.0  # after SIGTERM, for the integration context, once answers have left
MAX_RESTART_PAUSE_SECONDS = 30
REPORT_SECONDS = 60  # counters and refused senders: one log line a minute
CERTIFICATE_CHECK_SECONDS = 3600

# Alpine's default overflows where the JSON parser recurses as deep as it may.
THREAD_STACK_BYTES = 16 * MIB
# New objects before Python's collector runs: its own 700 are what 64 requests hold, and json leaves
# a cycle of some KB behind each call of XSOAR.
GC_THRESHOLD = 20_000
# After which a busy thread gives way. Each time the event loop sends or receives, it releases the
# interpreter, and while a large body is being read it waits this long to get it back: with Python's
# 5 ms, sixteen answers would take 80 ms.
SWITCH_INTERVAL_SECONDS = 0.0001


# -------------------------------------------------------------------------------------------------
# Errors: what XSOAR answers instead of a result
# -------------------------------------------------------------------------------------------------


class SettingError(ValueError):
    """A parameter that cannot be used: its display name, and how to fix it."""

    def __init__(self, parameter: str, fix: str) -> None:
        super().__init__(f"{parameter}: {fix}")


# -------------------------------------------------------------------------------------------------
# Settings: the instance's parameters
#
# One table says which parameter becomes which field, by which reader. A reader never raises: what
# it cannot use it reports, with how to fix it, and returns its default. A mistake in what decides
# about senders authenticates nobody until it is corrected.
# -------------------------------------------------------------------------------------------------

MIRROR_DIRECTIONS = {"Incoming": "In", "Outgoing": "Out", "Incoming And Outgoing": "Both"}
NO_CONDITIONS = EventConditions()


@dataclass(frozen=True)
class Settings:
    """The instance's parameters, checked; what cannot be used is in ``mistakes``."""

    # the server
    port: int | None = None
    certificate: str = ""
    key: str = field(default="", repr=False)
    client_ca: str = ""
    # the senders
    own_credentials: tuple[Credential, ...] = field(default=(), repr=False)
    more_credentials: tuple[Credential, ...] = field(default=(), repr=False)
    credentials: Credentials = field(default_factory=Credentials)  # of both
    allowed_sources: Networks = frozenset()  # empty: everybody may connect
    trusted_proxies: Networks = frozenset()
    proxy: bool = False
    accept_get: bool = False
    other_methods: frozenset[str] = frozenset()
    # the incidents
    incident_type: str = ""
    recognize: str = "off"  # known, or guess: usual field names of unknown senders, too
    name_from: NameSource = NAME_FROM
    type_from: tuple[DotPath, ...] | None = ()  # None: never from the payload
    occurred_from: tuple[DotPath, ...] = OCCURRED_FROM
    severity_from: tuple[DotPath, ...] = ()
    severity_map: SeverityMap = NO_SEVERITY_MAP
    events_paths: tuple[DotPath, ...] = ()
    duplication_paths: tuple[DuplicationKey, ...] = ()
    duplicate_seconds: float | None = None  # None: for ever
    ignore_when: EventConditions = NO_CONDITIONS
    keep_unreadable: bool = False
    alert_updates: str = "each"  # an incident for each event; or note, or close
    ended_when: EventConditions = NO_CONDITIONS
    instance: str = ""  # its name
    mirroring: tuple[tuple[str, Any], ...] = ()
    hidden: SecretFilter = field(default_factory=SecretFilter)
    # the rest
    answer_seconds: float | None = None  # None: not before XSOAR has answered
    store_samples: bool = False
    metrics: bool = False
    mistakes: tuple[SettingError, ...] = ()

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> "Settings":
        """Read ``demisto.params()``; never raises: mistakes are kept with their display names."""
        mistakes: list[SettingError] = []
        fields: dict[str, Any] = {}
        denied = False
        schemes = make_schemes(read_flag(params.get("proxy"), lambda fix: None))
        for parameter in PARAMETERS:
            known = len(mistakes)
            try:
                value = params.get(parameter.name)
                if parameter.field in ("own_credentials", "more_credentials"):
                    value = value or "", schemes
                fields[parameter.field] = parameter.read(
                    value,
                    lambda fix, display=parameter.display: mistakes.append(
                        SettingError(display, fix)
                    ),  # type: ignore[misc]
                )
            except CredentialError as error:
                mistakes.append(SettingError(error.field, error.fix))
            if parameter.admits and len(mistakes) > known:
                # A wrong line of More credentials proves nobody, and the others go on counting.
                others = parameter.field == "more_credentials" and (
                    fields.get("own_credentials") or fields["more_credentials"]
                )
                denied = denied or not others
        rows = fields.get("own_credentials", ()), fields["more_credentials"]
        fields["credentials"] = Credentials(join_rows(*rows), schemes, denied)
        fields["accept_get"] |= "GET" in fields["other_methods"]
        settings = cls(**fields, mirroring=read_mirroring(params))
        mistakes += alert_mistakes(settings)
        if settings.alert_updates == "close":
            fields["instance"] = demisto.integrationInstance()
            if settings.mirroring:
                fields["alert_updates"] = "note"
        paths = [path.text for path in named_paths(settings)]
        if settings.recognizer is not None:  # a row may read a header whose name speaks of a key
            paths += [f"headers.{name}" for name in settings.recognizer.header_names]
        hidden = SecretFilter.of(settings.credentials, paths)
        if settings.metrics and everybody_could_read_metrics(settings):
            mistakes.append(SettingError("Serve metrics for Prometheus", METRICS_FIX))
            fields["metrics"] = False
        return cls(**fields, mirroring=settings.mirroring, hidden=hidden, mistakes=tuple(mistakes))

    def notes(self) -> list[str]:
        """Return what is not a mistake, but whoever configures the instance should know."""
        credentials, lines = self.credentials, len(self.more_credentials)
        is_open = credentials.is_open and not self.allowed_sources and not self.client_ca
        notes = [OPEN_TO_EVERYONE] if is_open else []
        if lines:
            notes.append(f"More credentials: {lines} understood.")
        return notes

    @functools.cached_property
    def recognizer(self) -> Recognizer | None:
        """The table of known senders, None where senders are not recognized."""
        return known_senders() if self.recognize != "off" else None

    @functools.cached_property
    def follows_alerts(self) -> bool:
        """Return whether an alert has one incident, from its start to its end."""
        return self.alert_updates != "each"


@functools.lru_cache(maxsize=1)
def known_senders() -> Recognizer:
    """Return the table of known senders, compiled at its first use."""
    return compile_senders(KNOWN_SENDERS, read_conditions)


def named_paths(settings: Settings) -> list[DotPath]:
    """Return all paths that an instance's parameters name."""
    keys = [path for key in settings.duplication_paths for path in key.paths]
    others: tuple[Iterable[DotPath], ...] = (
        settings.type_from or (),
        settings.occurred_from,
        settings.severity_from,
        settings.ignore_when.paths,
        settings.ended_when.paths,
    )
    return [*keys, *settings.name_from.paths, *itertools.chain.from_iterable(others)]


# ---- readers of values


def make_schemes(use_proxy: bool) -> dict[str, Scheme]:
    """Return the schemes of signatures; use_proxy: the system's, to fetch what Amazon SNS needs."""
    schemes = {
        name: Scheme(
            functools.partial(make_verifier, name),
            row.example,
            row.name_form,
            functools.partial(name_problem, name),
        )
        for name, row in SIGNATURE_SCHEMES.items()
    }
    sns = Scheme(lambda _, topics: SnsVerifier(topics, use_proxy), needs_secret=False)
    return {**schemes, "_sns": sns}


def read_own_credentials(value: Any, report_problem: ReportProblem) -> tuple[Credential, ...]:
    """Return who may send, by Username and Password; raises CredentialError, which names one."""
    pair, schemes = value
    pair = pair or {}
    return tuple(
        read_credentials(pair.get("identifier") or "", pair.get("password") or "", schemes)
    )


def read_credential_lines(value: Any, report_problem: ReportProblem) -> tuple[Credential, ...]:
    """Return who else may send, by the lines of More credentials."""
    text, schemes = value
    return tuple(read_more_credentials(str(text), schemes, report_problem))


RECOGNIZE = {
    "known senders and usual field names": "guess",
    "known senders": "known",
    "off": "off",
}


ALERT_UPDATES = {
    "note in the incident": "note",
    "close the incident": "close",
    "incident for each event": "each",
}


def read_rules(value: Any, report_problem: ReportProblem) -> EventConditions:
    """Return the rules that an event may meet."""
    return read_conditions(value, DotPath, report_problem)


def alert_mistakes(settings: Settings) -> list[SettingError]:
    """Return what does not fit together in the parameters about alerts."""
    mistakes = []
    if settings.ended_when and not settings.duplication_paths:
        mistakes.append(
            SettingError(
                "Ended when", "enter a Duplication key as well; it says which alert has ended."
            )
        )
    if settings.alert_updates == "close" and settings.mirroring:
        mistakes.append(SettingError("Alerts that repeat or end", CLOSING_IS_MIRRORING))
    return mistakes


CLOSING_IS_MIRRORING = (
    "incidents are closed by mirroring; choose None as Mirroring direction, which is for other "
    "packs, or choose Note in the incident."
)
NO_CLOSING = (
    "only Cortex XSOAR can close incidents by mirroring; choose Note in the incident. "
    "Until then ends are noted."
)


def without_closing(settings: Settings) -> Settings:
    """Return settings that note an alert's end where the product cannot mirror incidents in."""
    if settings.alert_updates != "close":
        return settings
    # xsoar, and xsoar_hosted for Cortex XSOAR 8 Cloud; old versions name none
    if "xsoar" in (demisto.demistoVersion() or {}).get("platform", "xsoar"):
        return settings
    mistake = SettingError("Alerts that repeat or end", NO_CLOSING)
    return dataclasses.replace(
        settings, alert_updates="note", mistakes=(*settings.mistakes, mistake)
    )


def read_networks(value: Any, report_problem: ReportProblem) -> Networks:
    """Return the networks of a list of addresses and CIDR blocks."""
    try:
        return parse_networks(split_list(value))
    except ValueError as error:
        report_problem(str(error))
        return frozenset()


def read_flag(value: Any, report_problem: ReportProblem, default: bool = False) -> bool:
    """Return whether a checkbox is ticked."""
    try:
        return bool(argToBoolean(default if value in (None, "") else value))
    except ValueError:
        report_problem("tick it or leave it empty.")
        return default


def read_mirroring(params: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return what mirroring packs look for in rawJSON, nothing where no direction is chosen."""
    direction = MIRROR_DIRECTIONS.get(params.get("mirror_direction") or "")
    if direction is None:
        return ()
    return (
        ("mirror_direction", direction),
        ("mirror_instance", (params.get("mirror_instance") or "").strip()),
        ("mirror_tags", list(split_list(params.get("mirror_tags")))),
    )


def everybody_could_read_metrics(settings: Settings) -> bool:
    """Return whether no address and no credential guards GET /metrics: it has no body to sign."""
    credentials = settings.credentials
    return not settings.allowed_sources and (credentials.is_open or credentials.only_sign)


UNSIGNED_METRICS = "A request for metrics has no body to sign; use other credentials."
OPEN_TO_EVERYONE = (
    "Anyone who can reach this webhook's URL can create incidents: set Username and Password, "
    "More credentials, Allowed sources or Client CA."
)
METRICS_FIX = (
    "set Allowed sources, or a Username and Password that no signature needs; "
    "else anyone could read them."
)


class Parameter(NamedTuple):
    """One parameter of the descriptor: name, display name, field of Settings, and reader."""

    name: str
    display: str
    field: str
    read: Callable[[Any, ReportProblem], Any]
    admits: bool = False  # it decides about senders


PARAMETERS = (
    Parameter("longRunningPort", "Listen Port", "port", read_port),
    Parameter("credentials", "Username", "own_credentials", read_own_credentials, True),
    Parameter(
        "more_credentials", "More credentials", "more_credentials", read_credential_lines, True
    ),
    Parameter("certificate", "Certificate", "certificate", read_text),
    Parameter("key", "Private Key", "key", read_text),
    Parameter("client_ca", "Client CA", "client_ca", read_text),
    Parameter("allowed_sources", "Allowed sources", "allowed_sources", read_networks, True),
    Parameter("trusted_proxies", "Trusted proxies", "trusted_proxies", read_networks, True),
    Parameter("proxy", "Use system proxy settings", "proxy", read_flag),
    Parameter("accept_get", "Accept GET", "accept_get", read_flag),
    Parameter("other_methods", "Also accept", "other_methods", read_methods),
    Parameter("incidentType", "Incident type", "incident_type", read_text),
    Parameter(
        "recognize",
        "Recognize senders",
        "recognize",
        functools.partial(read_choice, choices=RECOGNIZE, missing="off"),
    ),
    Parameter("name_from", "Incident name", "name_from", read_name_source),
    Parameter("type_from", "Incident type from", "type_from", read_type_paths),
    Parameter("occurred_from", "Occurred from", "occurred_from", read_occurred_paths),
    Parameter("severity_from", "Severity from", "severity_from", read_paths),
    Parameter("severity_map", "Severity words", "severity_map", read_severity_map),
    Parameter("events_path", "Events in", "events_paths", read_paths),
    Parameter("duplication_key", "Duplication key", "duplication_paths", read_duplication_key),
    Parameter("ignore_when", "Ignore events where", "ignore_when", read_rules),
    Parameter(
        "duplicate_hours",
        "Forget duplicates after",
        "duplicate_seconds",
        functools.partial(read_duration, unit="hours", seconds=3600),
    ),
    Parameter(
        "alert_updates",
        "Alerts that repeat or end",
        "alert_updates",
        functools.partial(read_choice, choices=ALERT_UPDATES, missing="incident for each event"),
    ),
    Parameter("ended_when", "Ended when", "ended_when", read_rules),
    Parameter("keep_unreadable", "Keep what cannot be read", "keep_unreadable", read_flag),
    Parameter(
        "answer_seconds",
        "Answer at the latest after",
        "answer_seconds",
        functools.partial(read_duration, unit="seconds", seconds=1),
    ),
    Parameter("store_samples", "Store sample events for mapping", "store_samples", read_flag),
    Parameter("metrics", "Serve metrics for Prometheus", "metrics", read_flag),
)


# -------------------------------------------------------------------------------------------------
# Deliveries: a request's events, and what becomes of each
#
# From Webhook.receive to the answer, the events of a request travel as one Delivery. Each event has
# a mark, "<delivery's id>/<its index>", in the object `webhook` of its rawJSON: the same ID that a
# 202, a 502, the log and the health name, and by which XSOAR's answer is matched.
# -------------------------------------------------------------------------------------------------

WITHDRAW_SECONDS = 55  # that an event waits for XSOAR: reverse proxies give up after 60


class Outcome(NamedTuple):
    """What became of an event: an HTTP status, XSOAR's object (None for no incident), and why."""

    status: int
    created: dict[str, Any] | None = None
    reason: str = ""


DROPPED = Outcome(200)  # by a pre-processing rule
REJECTED = Outcome(502, reason="XSOAR refuses it")
MAYBE_CREATED = Outcome(
    502, reason="XSOAR's answer does not show what became of it; it may have been created"
)
STOPPED_IN_FLIGHT = Outcome(
    502, reason="the webhook is stopping, and XSOAR has not answered: it may have been created"
)
OUTAGE = Outcome(503, reason="XSOAR refuses every incident at the moment")
NOT_SENT = Outcome(503, reason="the webhook failed; its log says why")
WITHDRAWN = Outcome(503, reason="XSOAR did not get to it in time")
STOPPING = Outcome(503, reason="the webhook is stopping")


class Event:
    """One event of a request: what XSOAR is to create of it, and in the end what became of it."""

    __slots__ = (
        "alert",
        "answer",
        "delivery",
        "fields",
        "first_refused",
        "in_flight",
        "index",
        "is_duplicate",
        "key",
        "keys",
        "outcome",
        "queued_at",
        "refused_alone",
        "sender",
        "size",
    )

    delivery: "Delivery"

    def __init__(
        self, fields: dict[str, Any], key: str | None, index: int, sender: str | None = None
    ) -> None:
        # what it is
        self.fields = fields  # as createIncidents takes them
        self.key = key  # what identifies it, None without one
        self.index = index  # in its request
        self.sender = sender  # its id; empty for an unknown one, None where nobody looked
        self.size = event_size(fields)  # in bytes
        self.keys: tuple[str, ...] = ()  # at the top of an unknown sender's payload
        self.alert: Alert | None = None  # of which it tells, where alerts are followed
        self.answer: tuple[bytes, str] | None = None  # that its sender has to read, and its type
        # where it is; times are of time.monotonic()
        self.queued_at = 0.0
        self.in_flight = False
        self.first_refused = 0.0  # in any company
        self.refused_alone = 0.0
        # what became of it
        self.outcome: Outcome | None = None
        self.is_duplicate = False

    @property
    def mark(self) -> str:
        """What its rawJSON bears, and the integration context calls it by."""
        return f"{self.delivery.id}/{self.index}"


class Delivery:
    """The events of one request until all are settled, and the request until it is answered."""

    __slots__ = (
        "accepted_at",
        "answered_early",
        "events",
        "id",
        "open",
        "request",
        "sender",
    )

    def __init__(self, delivery_id: str, request: Request | None, events: list[Event]) -> None:
        self.id = delivery_id
        self.request = request  # None once it is answered
        self.sender = request.address if request is not None else ""  # with whom turns are shared
        self.accepted_at = time.monotonic()
        self.answered_early = False  # with 202: its events are created however long that takes
        self.events = events
        self.open = len(events)
        for event in events:
            event.delivery = self


def outcomes_of(events: Iterable[Event]) -> list[Outcome]:
    """Return what became of events, in their order."""
    return [event.outcome or MAYBE_CREATED for event in events]


NEXT_DELIVERY_IDS: list[str] = []  # a call of the system for each takes longer


def new_delivery_id() -> str:
    """Return what no other delivery is called by, and nobody can guess."""
    if not NEXT_DELIVERY_IDS:
        digits = os.urandom(6 * 256).hex()
        NEXT_DELIVERY_IDS.extend(digits[at : at + 12] for at in range(0, len(digits), 12))
    return NEXT_DELIVERY_IDS.pop()


@functools.lru_cache(maxsize=1)
def second_text(second: int) -> str:
    """Return a second of Unix time as RFC 3339 in UTC, without a zone."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def time_text() -> str:
    """Return the time of day as RFC 3339 in UTC, with microseconds."""
    now = time.time()
    second = int(now)
    return f"{second_text(second)}.{int((now - second) * 1e6):06d}Z"


# -------------------------------------------------------------------------------------------------
# Incidents: items become events
#
# An item of the native format (it has raw_json, or nothing but the documented fields) says itself
# what its incident is. Of any other payload the instance's parameters say where name, type, time
# and severity stand. rawJSON holds the payload whole; beside it stand the request's headers, query
# and path, and `webhook`.
# -------------------------------------------------------------------------------------------------


UNKNOWN_KEYS_REPORTED = 12  # of a payload that was not recognized
# How a body was transferred says nothing of its event (RFC 9112, 6; RFC 9110, 7.6.1 and 10.1.1).
FRAMING_HEADERS = frozenset(
    {"content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "expect"}
)


@dataclass
class RequestContext:
    """What is kept of a request in addition to its body."""

    headers: dict[str, str]  # names in lower case, without those that are hidden
    query: dict[str, Any]
    path: str = ""  # behind the instance's URL
    source_address: str = ""
    rows: tuple[KnownSender, ...] = ()  # known senders that the headers fit
    shared: "Shared | None" = None  # what a single event gets of all this, if it is known already


def describe_request(
    headers: dict[str, str],
    query_string: str,
    hidden: SecretFilter,
    path: str = "",
    source_address: str = "",
    recognizer: Recognizer | None = None,
) -> RequestContext:
    """Return what is kept of a request in rawJSON, without anything that proves who sent it."""
    kept = hidden.visible_headers(headers, FRAMING_HEADERS)
    try:
        query = collect_fields(hidden.visible_query(query_string)) if query_string else {}
    except ValueError as error:
        raise BadRequest(str(error)) from None
    rows = recognizer.rows_of(kept) if recognizer is not None else ()
    return RequestContext(kept, query, hidden.hide(path) if path else "", source_address, rows)


class EventMaker:
    """Makes the events of one request.

    ``trigger_time`` (RFC 3339) is used where an event names no other. Before several events are
    made, ``check_room`` may refuse their number.
    """

    def __init__(
        self,
        context: RequestContext,
        settings: Settings,
        trigger_time: str,
        delivery_id: str,
        check_room: Callable[[str, int], None] = lambda sender, count: None,
        origin: Origin = NO_ORIGIN,
        ignored: list[str] | None = None,
    ) -> None:
        self._context = context
        self._settings = settings
        self._trigger_time = trigger_time
        self._delivery_id = delivery_id
        self._check_room = check_room
        self._origin = origin
        self._ignored = ignored  # the rules that its other events have met
        self._digests: dict[int, Any] = {}  # of long values that the events share
        self._leads = False  # the event that would have led was ignored
        self.events: list[Event] = []

    def make(self, items: Items) -> list[Event]:
        """Return the events of all of the request's items; raises HTTPError (400, 413).

        In an array a wrong field is named by its index.
        """
        context, settings, values = self._context, self._settings, items.values
        is_lone = len(values) == 1
        if not is_lone:
            self._check_room(context.source_address, len(values))  # each makes one event or more
        if (settings.recognize != "off" or settings.events_paths) and not (
            is_lone and values[0] and is_native(values[0])
        ):
            self.add_elements(items)
            return self.events
        shared = context.shared if is_lone else None
        shared = shared or share(shared_fields(context, settings), len(values))
        for index, item in enumerate(values):
            self.add(item, shared, index == 0, index_of(items, index), items.verbatim_json)
        return self.events

    def add(
        self,
        item: Any,
        shared: Shared,
        leads: bool,
        index: str = "",
        text: str = "",
        known: "Known | None" = None,
        is_known: bool = False,
    ) -> None:
        """Add the event of an item; raises HTTPError (400), which names a field behind ``index``.

        leads: it is the first of those that share this. text: the item's JSON, where it may stay as
        it came.
        known: whose it is, and the object that the sender's row describes, where ``is_known`` says
        so.
        """
        if PATH_HOOK.next_event is not None:
            PATH_HOOK.next_event()
        settings, number = self._settings, len(self.events)
        facts: dict[str, str] = {}
        sender: str | None = None
        answer = None
        payload = item if isinstance(item, dict) else {"body": item}
        spelling = raw_spelling(payload)
        if spelling:
            try:
                fields, payload, is_whole = NATIVE_FORMAT.read(
                    payload, spelling, settings.severity_map
                )
            except FieldError as error:
                raise BadRequest(f"{index}{error}") from None
            text = text if is_whole else ""
        elif payload.keys() <= DOCUMENTED_FIELDS and payload and "parent" not in shared.fields:
            fields = NATIVE_FORMAT.read_documented(payload, settings.severity_map)
        else:
            known = known if is_known else self._recognize(payload)
            fields, facts = self._read_vendor_event(payload, shared.fields, known)
            if settings.recognizer is not None:
                sender = facts.get("sender", "")
                if not number:  # the first one answers for all
                    kind = known.row.row.answer if known is not None else ""
                    answer = answer_for_sender(kind, self._context.path, payload)
        if self._ignored is not None:
            leads, self._leads = leads or self._leads, False
            rule = settings.ignore_when.find_rule(payload, shared.fields)
            if rule is not None:
                self._leads = leads
                self._ignored.append(rule)
                return
        fields.setdefault("name", DEFAULT_NAME)
        fields.setdefault("occurred", self._trigger_time)
        if settings.incident_type:
            fields.setdefault("type", settings.incident_type)
        key = self._key_of(payload, shared.fields) if settings.duplication_paths else None
        alert = None
        if settings.follows_alerts and (facts or settings.ended_when):
            alert = self._alert_of(payload, shared, fields, facts, key, known)
        if not payload.keys().isdisjoint(MIRRORING_FIELDS):
            payload, text = without_mirroring(payload), ""
        if alert is not None:
            key = None  # its alert tells it from others
            if settings.alert_updates == "close":
                payload, text = self._mirrored(payload, fields, number), ""
        ours = f'"delivery":"{self._delivery_id}/{number}"{self._origin.label}'
        if facts:
            ours = f"{to_json(facts)[1:-1]},{ours}"
        fields["rawJSON"] = raw_json(payload, shared, leads, f"{{{ours}}}", text)
        event = Event(fields, key, number, sender)
        event.alert, event.answer = alert, answer
        if sender == "":
            event.keys = tuple(itertools.islice(payload, UNKNOWN_KEYS_REPORTED))
        self.events.append(event)

    def _read_vendor_event(
        self, payload: dict[str, Any], shared: dict[str, Any], known: "Known | None"
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the incident's fields of a third-party payload, and its sender's facts."""
        fields = map_vendor_event(payload, shared, self._settings, known)
        fields.setdefault("occurred", self._trigger_time)
        facts = known.facts(shared) if known is not None else {}
        if payload:
            title = known.row.title if known is not None else ""
            sender = title, facts.get("link", "")
            fields["details"] = vendor_event_details(
                payload, shared, fields, names_a_secret, hide_secrets_in_urls, sender
            )
        return fields, facts

    def _key_of(self, payload: dict[str, Any], shared: dict[str, Any]) -> str | None:
        """Return what identifies an event; of a signed request, what was signed is a part of it."""
        paths, number, digests = self._settings.duplication_paths, len(self.events), self._digests
        key = event_key(payload, shared, paths, number, digests)
        if key is None or not self._origin.is_signed:
            return key
        body = {name: shared[name] for name in ("parent",) if name in shared}
        return shorten_key(self._origin.bind(key, event_key(payload, body, paths, number, digests)))

    def _alert_of(
        self,
        payload: dict[str, Any],
        shared: Shared,
        fields: dict[str, Any],
        facts: dict[str, str],
        key: str | None,
        known: "Known | None",
    ) -> Alert | None:
        """Return the alert that an event tells of: the row's, or by the instance's parameters."""
        link = facts.get("link", "")
        if known is not None and "identity" in facts and "status" in facts:
            ended, fixed = facts["status"] == "closed", known.row.fixed_start
            return Alert(facts["identity"], fields["occurred"], ended, fixed, link)
        ended_when = self._settings.ended_when
        if key is None or not ended_when:
            return None
        return Alert(key, fields["occurred"], ended_when.hold(payload, shared.fields), link=link)

    def _mirrored(
        self, payload: dict[str, Any], fields: dict[str, Any], number: int
    ) -> dict[str, Any]:
        """Let XSOAR ask for changes of an incident; return the payload with the fields for that.

        Whether createIncidents takes the fields itself is not documented, so that rawJSON has them
        for the mapper, too.
        """
        mark, instance = f"{self._delivery_id}/{number}", self._settings.instance
        fields["dbotMirrorId"] = mark
        fields["dbotMirrorDirection"] = "In"
        fields["dbotMirrorInstance"] = instance
        ours = {"mirror_direction": "In", "mirror_instance": instance, "mirror_id": mark}
        return {**payload, **ours}

    def add_elements(self, items: Items) -> None:
        """Add an event for each element of an item's array, and for each item without one."""
        found = [self._find_elements(item) for item in items.values]
        total = sum(len(array.elements) if array else 1 for _, array in found)
        if total > MAX_ITEMS:
            raise HTTPError(
                413, f"The body holds more than {MAX_ITEMS} events; send them in several requests."
            )
        if total > len(found):
            self._check_room(self._context.source_address, total)
        shared = self._context.shared if total == len(found) == 1 else None
        shared = shared or share(shared_fields(self._context, self._settings), total)
        for number, (item, (known, array)) in enumerate(zip(items.values, found)):
            index = index_of(items, number)
            if array is None:
                self.add(item, shared, not self.events, index, items.verbatim_json, known, True)
                continue
            around = share_parent(without(item, array.keys), shared, total, leads=not self.events)
            for place, element in enumerate(array.elements):
                is_object = known is not None and isinstance(element, dict)
                part = known.of_element(element) if known is not None and is_object else None
                prefix = f"{index}{array.path}[{place}]."
                self.add(element, around, place == 0, prefix, known=part, is_known=part is not None)

    def _find_elements(self, item: Any) -> tuple["Known | None", EventArray | None]:
        """Return whose an item is, and its events: the parameter's, the sender's, or a usual one.

        Where a set *Events in* names another array than the sender's row, the row does not describe
        the item.
        """
        if not isinstance(item, dict) or is_native(item):
            return None, None
        known = self._recognize(item)
        theirs = known.find_events(item) if known is not None else None
        if self._settings.events_paths:
            array = find_events(item, self._settings.events_paths)
            if known is not None and known.row.events and (theirs or array):
                is_same = theirs is not None and array is not None and theirs.keys == array.keys
                return (known if is_same else None), array
            return known, array
        if known is not None or self._settings.recognize != "guess":
            return known, theirs
        return None, guess_events(item)

    def _recognize(self, payload: dict[str, Any]) -> "Known | None":
        context, recognizer = self._context, self._settings.recognizer
        if recognizer is None:
            return None
        found = recognizer.resolve(payload, context.headers, context.rows)
        return Known(found) if found else None


class Known:
    """Which sender's an event is: rows of known senders, each with the object that it describes.

    The innermost comes first; what its row does not find, that of the envelope around it may.
    """

    def __init__(self, found: list[tuple[KnownSender, dict[str, Any]]]) -> None:
        self._found = found
        self.row, self.payload = found[0]

    def of_element(self, element: dict[str, Any]) -> "Known":
        """Return whose an element of the innermost object's array of events is."""
        return Known([(self.row, element), *self._found[1:]])

    def first(self, read: Callable[[KnownSender, dict[str, Any]], Any]) -> Any:
        """Return what the first row finds, None where none finds anything."""
        for row, payload in self._found:
            value = read(row, payload)
            if value is not None:
                return value
        return None

    def find_events(self, item: dict[str, Any]) -> EventArray | None:
        """Return the array of events in an item, or in an envelope around it."""
        array = find_events(self.payload, self.row.events)
        around = keys_to(self.payload, item) if array is not None else None
        if array is None or around is None:
            return None
        keys = (*around, *array.keys)
        return EventArray(".".join(map(str, keys)), keys, array.elements)

    def facts(self, shared: dict[str, Any]) -> dict[str, str]:
        """Return what rawJSON's object ``webhook`` holds of the sender."""
        facts = {
            "sender": self.row.id,
            "identity": self.first(lambda row, payload: row.identity_of(payload, shared)),
            "status": self.first(lambda row, payload: row.status_of(payload, shared)),
            "link": self.first(lambda row, payload: row.link_of(payload, shared)),
        }
        return {name: value for name, value in facts.items() if value}


def keys_to(
    wanted: dict[str, Any], value: dict[str, Any], levels: int = 6
) -> tuple[str, ...] | None:
    """Return the keys that lead to an object within another one, None where it is not there."""
    if value is wanted:
        return ()
    for key, child in itertools.islice(value.items(), MAX_LISTED if levels else 0):
        below = keys_to(wanted, child, levels - 1) if type(child) is dict else None
        if below is not None:
            return key, *below
    return None


def index_of(items: Items, index: int) -> str:
    """Return what stands before a wrong field's name: nothing for an item that came alone."""
    return f"[{index}]." if len(items.values) > 1 or items.is_array else ""


def find_events(item: dict[str, Any], paths: tuple[DotPath, ...]) -> EventArray | None:
    """Return the array of the first path that leads to one that is not empty."""
    for path in paths:
        keys = path.find_array(item)
        if keys:
            elements: Any = item
            for key in keys:
                elements = elements[key]
            return EventArray(path.text, keys, elements)
    return None


# ---- what the events of a request share


def shared_fields(context: RequestContext, settings: Settings) -> dict[str, Any]:
    """Return the fields of ours that are added to each event of a request."""
    fields: dict[str, Any] = {"headers": context.headers}
    if context.query:
        fields["query"] = context.query
    if context.path:
        fields["path"] = context.path
    if context.source_address:
        fields["source_address"] = context.source_address
    fields.update(settings.mirroring)
    return fields


# ---- the native format: what its fields mean is read as in third-party payloads


def _date_field(value: Any, own: SeverityMap) -> str:
    occurred = occurred_of(value)
    if occurred is None:
        raise ValueError(
            "it is not a date that can be read; send ISO 8601, such as 2024-05-01T12:00:00Z."
        )
    return occurred


def _severity_field(value: Any, own: SeverityMap) -> int | float:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        severity = severity_of(value)
        severity = severity_of(value, own) if severity is None else severity
        if severity is not None:
            return severity
    raise ValueError(
        "send 0, 0.5, 1, 2, 3 or 4, or unknown, informational, low, medium, high or critical."
    )


def _parsed_json(text: str) -> Any:
    """Return the object or array in a text that is JSON, else the text."""
    with contextlib.suppress(UnreadableJson):
        parsed = parse_json(text)
        return parsed if isinstance(parsed, (dict, list)) else text
    return text


NATIVE_FORMAT = NativeFormat(_date_field, _severity_field, _parsed_json)


# ---- third-party payloads: the instance's parameters say what stands where


def map_vendor_event(
    payload: dict[str, Any], shared: dict[str, Any], settings: Settings, known: Known | None
) -> dict[str, Any]:
    """Return the incident's fields of a payload, each by the first of these that finds it:

    a parameter that is set, the known sender's row, CloudEvents' attributes, usual field names, and
    what a parameter means where it is not set.
    """
    cloud = cloud_event(payload, shared) or {}
    guessed: tuple[Any, Any, Any] = (None, None, None)
    if known is None and settings.recognize == "guess":
        guessed = guess_fields(payload)
    found = known.first if known is not None else lambda read: None
    is_default = settings.name_from is NAME_FROM
    recognizes = settings.recognize != "off"
    name = (
        (None if is_default and recognizes else name_of(payload, shared, settings.name_from))
        or found(lambda row, theirs: name_of(theirs, shared, row.name) if row.name else None)
        or (is_default and (text_of(cloud.get("subject")) or text_of(cloud.get("type"))))
        or guessed[0]
        or (name_of(payload, shared, NAME_FROM) if recognizes else None)
    )
    occurred = (
        first_usable(payload, shared, settings.occurred_from, occurred_of)
        or found(lambda row, theirs: first_usable(theirs, shared, row.occurred, occurred_of))
        or (settings.occurred_from is OCCURRED_FROM and occurred_of(cloud.get("time")))
        or guessed[2]
    )
    severity = None
    if settings.severity_from:
        read = functools.partial(severity_of, own=settings.severity_map)
        severity = first_usable(payload, shared, settings.severity_from, read)
    if severity is None:
        severity = found(lambda row, theirs: row.severity_of(theirs, shared, settings.severity_map))
    if severity is None:
        severity = guessed[1]
    fields: dict[str, Any] = {}
    if name:
        fields["name"] = plain_field(name, MAX_NAME_CHARACTERS)
    incident_type = vendor_event_type(payload, shared, settings, known is not None)
    if incident_type:
        fields["type"] = plain_field(incident_type, MAX_NAME_CHARACTERS)
    if occurred:
        fields["occurred"] = occurred
    if severity is not None:
        fields["severity"] = severity
    return fields


def vendor_event_type(
    payload: dict[str, Any], shared: dict[str, Any], settings: Settings, is_known: bool
) -> str:
    """Return the incident type: by its paths, else the instance's, else an unknown sender's own."""
    if settings.type_from:
        found: str | None = first_usable(payload, shared, settings.type_from, text_of)
        return found or settings.incident_type
    if settings.type_from is not None and not settings.incident_type and not is_known:
        own = payload.get("type")
        return own.strip() if isinstance(own, str) else ""
    return settings.incident_type


# -------------------------------------------------------------------------------------------------
# Connection to XSOAR: what becomes of events, by createIncidents' answer
# -------------------------------------------------------------------------------------------------


class XsoarClient(XsoarConnection):
    """The connection to XSOAR: once the server runs, every call of demisto.* goes over it."""

    def __init__(self, secrets: tuple[bytes, ...] = ()) -> None:
        super().__init__(demisto, WorkerThread, plain_field, secrets)

    def create_incidents(self, events: list[Event]) -> list[Outcome]:
        """Return what became of each event; raises XsoarRefused or UnreadableAnswer."""
        return created_outcomes(events, self.create(events))


def created_outcomes(events: list[Event], created: Created) -> list[Outcome]:
    """Return what became of each event: where a doubt is left, the outcome is MAYBE_CREATED."""
    found, otherwise = created.found, MAYBE_CREATED if created.in_doubt else DROPPED
    return [_outcome_of(found.get(place), otherwise) for place in range(len(events))]


def _outcome_of(created: dict[str, Any] | None, otherwise: Outcome) -> Outcome:
    if created is None:
        return otherwise
    # What has no ID does not exist for certain.
    return Outcome(200, created) if created.get("id") else MAYBE_CREATED


# -------------------------------------------------------------------------------------------------
# Writer: the events of many requests in one call
#
# 1. While one createIncidents is in flight, arriving events queue up, and the next call takes them
#    all. Where they do not fit into it, senders take turns.
# 2. What XSOAR accepts is settled by its answer; after an unreadable answer all of the call may
#    exist.
# 3. What XSOAR refuses is either bad or meets an outage; which of the two, only calls show:
#
#      refused, several: halved; the halves are called in turn
#      refused, alone: though XSOAR accepted another one since: settled 502, it is bad
#                      else set aside, and the next call takes from the other end of what is refused
#      two alone, or nothing left, and nothing accepted in between: an outage; all wait, joined into
#      new calls
#
# 4. After a call the writer gathers: it waits for the senders it answered, so that the next call
#    takes more.
# 5. An event that has waited for WITHDRAW_SECONDS, or that is open when the webhook stops, is
#    settled 503, unless its sender was answered 202 or it is in a call.
#
# Invariants:
# - Arrivals go first and on their own: were a refused one among them, they would pay for it.
# - The events of a request that fit into one call go in one call, until XSOAR refuses it.
# - What is withdrawn is never sent, and what was sent and has an unreadable answer is never sent
#   again.
# - Each event is settled once; `settled` is called for it in the greenlet that settles it, and must
#   not wait.
# -------------------------------------------------------------------------------------------------

MAX_QUEUED_INCIDENTS = 20_000
MAX_QUEUED_BYTES = 128 * MIB
SPARE_QUEUE_PART = 8  # parts are for all, one more for senders that have nothing queued
MAX_CALL_INCIDENTS = 1000
MAX_CALL_BYTES = 4 * MIB  # one line the server has to read and answer in a piece
# A lone refused event is bad, or meets an outage: after this its sender gets 503 and may repeat it.
LONE_RETRY_SECONDS = 5
MAX_GATHER_SECONDS = 0.25  # between two calls, for senders; 512 of them come back within 0.1 s
GATHER_WORK = 1.5  # of our own work for those just answered; reading them again is half of that
REQUEST_WORK_SECONDS = 0.0002  # of processor time for a request, until it is measured
WORK_MEMORY = 8  # attempts over which that is averaged
CALLS_IN_A_ROW = 8  # of halving and retrying before new arrivals get theirs
RETRY_PAUSE_SECONDS = 0.1  # doubles with each attempt, up to MAX_RETRY_PAUSE_SECONDS
MAX_RETRY_PAUSE_SECONDS = 2.0
CALL_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
CALL_INCIDENTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class Backlog:
    """All events that are accepted and not settled, wherever they wait, and their bound."""

    def __init__(self) -> None:
        self.incidents = 0
        self.bytes = 0
        self._senders: Counter[str] = Counter()  # events of each

    def check_room(self, sender: str, incidents: int = 1, size: int = 0) -> None:
        """Raise ServiceUnavailable where there is no room; an empty queue has room for any request.

        A sender with nothing queued finds room in a spare part: nobody can fill it for others.
        """
        incidents, size = incidents + self.incidents, size + self.bytes
        if not self.incidents or (incidents <= MAX_QUEUED_INCIDENTS and size <= MAX_QUEUED_BYTES):
            return
        parts = SPARE_QUEUE_PART + 1
        if (
            self._senders[sender]
            or incidents * SPARE_QUEUE_PART > MAX_QUEUED_INCIDENTS * parts
            or size * SPARE_QUEUE_PART > MAX_QUEUED_BYTES * parts
        ):
            raise ServiceUnavailable(
                "Events arrive faster than XSOAR creates incidents, and the queue is full. "
                "Send this again later."
            )

    def add(self, delivery: Delivery) -> None:
        """Take in a request's events; raises ServiceUnavailable where there is no room for all."""
        events, count = delivery.events, len(delivery.events)
        size = events[0].size if count == 1 else sum([event.size for event in events])
        self.check_room(delivery.sender, count, size)
        self.incidents += count
        self.bytes += size
        self._senders[delivery.sender] += count

    def remove(self, event: Event) -> None:
        """An event is settled."""
        sender = event.delivery.sender
        self.incidents -= 1
        self.bytes -= event.size
        left = self._senders[sender] - 1
        if left:
            self._senders[sender] = left
        else:
            del self._senders[sender]


def cut(events: list[Event]) -> list[list[Event]]:
    """Return events in pieces within the bounds of a call."""
    if len(events) < 2:
        return [events] if events else []
    pieces: list[list[Event]] = []
    size = 0
    for event in events:
        if (
            not pieces
            or len(pieces[-1]) >= MAX_CALL_INCIDENTS
            or size + event.size > MAX_CALL_BYTES
        ):
            pieces.append([])
            size = 0
        pieces[-1].append(event)
        size += event.size
    return pieces


def unsettled(piece: Iterable[Event]) -> list[Event]:
    """Return those events whose outcome is open."""
    return [event for event in piece if event.outcome is None]


class Writer:
    """Calls createIncidents; the rules are at the head of this section."""

    def __init__(self, client: XsoarClient) -> None:
        self._client = client
        # called with each event that is settled
        self.settled: Callable[[Event], None] = lambda event: None
        # what waits
        self.backlog = Backlog()
        self._queue = FairQueue()
        self._refused: deque[list[Event]] = deque()  # in pieces, each for a call
        self._open: dict[Event, None] = {}  # by age, for withdrawing
        self._work = Signal()
        self._closed = False
        # gathering
        self._gathered = PriorityWakeup()
        self._target = 0
        self._called_seconds = 0.0  # of the calls of this attempt
        self._arrived = 0  # requests during this attempt
        self._request_seconds = REQUEST_WORK_SECONDS
        # outages
        self._pause = RETRY_PAUSE_SECONDS
        self._retry_at = 0.0
        self._accepted_at = 0.0
        self._reason = ""
        # what is measured
        self.is_calling = False  # createIncidents is in progress
        self.calls = dict.fromkeys(("accepted", "refused", "unreadable"), 0)
        self.call_seconds = Histogram(CALL_SECONDS)
        self.call_incidents = Histogram(CALL_INCIDENTS)

    @property
    def is_busy(self) -> bool:
        """Whether an incident waits for XSOAR, or is in a call."""
        return self.is_calling or bool(self._queue)

    def check_open(self) -> None:
        """Raise ServiceUnavailable where nothing is taken any more."""
        if self._closed:
            raise ServiceUnavailable(STOPPING_SENTENCE)

    def put(self, events: list[Event]) -> None:
        """Take events of one request, all of which are in the backlog."""
        now = time.monotonic()
        for event in events:
            event.queued_at = now
            self._open[event] = None
        if self._closed:
            for event in events:
                self._settle(event, STOPPING)
            return
        for group in cut(events):
            self._queue.put(group[0].delivery.sender, group)
        self._arrived += 1
        self._work.set()
        if self._target and len(self._queue) >= self._target:
            self._gathered.notify()

    def run(self) -> None:
        """Write for ever; a failure of ours settles all it met, and is reported."""
        while True:
            try:
                self._write_next()
            except Exception as error:
                self._client.error(f"The incident writer failed: {type(error).__name__}")
                self._refused.clear()
                self._queue = FairQueue()
                for event in list(self._open):
                    self._settle(event, MAYBE_CREATED if event.in_flight else NOT_SENT)
                gevent.sleep(RETRY_PAUSE_SECONDS)

    def _write_next(self) -> None:
        self._wait_for_work()
        started, used = time.monotonic(), time.process_time()
        self._called_seconds = 0.0
        self._arrived = 0
        due = started >= self._retry_at
        fresh = self._queue.take(MAX_CALL_INCIDENTS, MAX_CALL_BYTES)
        requests = len({event.delivery for event in fresh})
        accepted = False
        piece = unsettled(fresh)
        if piece:
            accepted = self._call(piece)
            if not accepted:  # behind those that were refused before
                self._refused.extend(self._halve(piece) if due else [piece])
        if self._refused and (due or accepted):
            accepted = self._retry(started) or accepted
            due = True
        self._plan(accepted, due)
        if not self._refused:
            self._gather(requests)
        # More may have been read than settled, as during the first call of many senders.
        if requests:
            seconds = (time.process_time() - used) / max(requests, self._arrived)
            self._request_seconds += (seconds - self._request_seconds) / WORK_MEMORY

    def _wait_for_work(self) -> None:
        """Return when there is something to write: a queue, or refused events after their pause."""
        while not self._queue:
            self._work.clear()
            if not self._refused:
                self._work.wait()
                continue
            left = self._retry_at - time.monotonic()
            if left <= 0 or not self._work.wait(left):
                return
        if self._refused and time.monotonic() < self._retry_at:
            # In an outage arrivals share an attempt, else each would make its own.
            gevent.sleep(RETRY_PAUSE_SECONDS / 2)

    def _retry(self, started: float) -> bool:
        """Call what is refused in pieces, until all is settled, an outage, or others have waited.

        Return whether XSOAR accepted anything. ``started``: the attempt's beginning (monotonic s).
        """
        accepted = False
        aside: list[list[Event]] = []  # refused alone, since the last acceptance
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
                extend = self._refused.extendleft if first else self._refused.extend
                extend(reversed(halves))
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
            self._refused = deque(
                cut([event for piece in self._refused for event in unsettled(piece)])
            )
        return accepted

    @staticmethod
    def _halve(piece: list[Event]) -> list[list[Event]]:
        """Return what is unsettled in two parts, cut between requests: one may be all bad."""
        piece = unsettled(piece)
        if len(piece) < 2:
            return [piece] if piece else []
        middle = len(piece) // 2
        borders = [
            place
            for place in range(1, len(piece))
            if piece[place].delivery is not piece[place - 1].delivery
        ]
        border = min(borders, key=lambda place: abs(place - middle), default=middle)
        return [piece[:border], piece[border:]]

    def _call(self, piece: list[Event]) -> bool:
        """Call createIncidents for unsettled events, settle them; return whether XSOAR took it."""
        for event in piece:
            event.in_flight = True
        started = time.monotonic()
        result = "unreadable"
        self.is_calling = True
        try:
            outcomes = self._client.create_incidents(piece)
            result = "accepted"
            self._accepted_at = time.monotonic()
        except XsoarRefused as refusal:
            result = "refused"
            now = time.monotonic()
            for event in piece:
                event.in_flight = False
                event.first_refused = event.first_refused or now
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
        for event, outcome in zip(piece, outcomes):
            self._settle(event, outcome)
        return result == "accepted"

    def _settle(self, event: Event, outcome: Outcome) -> None:
        if event.outcome is not None:
            return
        event.outcome = outcome
        event.in_flight = False
        del self._open[event]
        try:
            self.settled(event)
        except Exception as error:
            self._client.error(f"An outcome could not be reported: {type(error).__name__}")

    def _plan(self, accepted: bool, tried: bool) -> None:
        """Plan the next attempt for what is refused, and show an outage in the health."""
        now = time.monotonic()
        lone = (
            self._refused[0][0] if len(self._refused) == 1 and len(self._refused[0]) == 1 else None
        )
        if (
            lone
            and not self._queue
            and now - lone.first_refused >= LONE_RETRY_SECONDS
            and not lone.delivery.answered_early
        ):
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
        if lone and not lone.delivery.answered_early:
            self._retry_at = min(self._retry_at, lone.first_refused + LONE_RETRY_SECONDS)
        self._client.report(
            "XSOAR", f"XSOAR refuses to create incidents; they are retried: {self._reason[:300]}"
        )

    def _gather(self, answered: int) -> None:
        """After a call, wait for the senders it answered: the next call takes their next events.

        A request that arrives after the next call has begun waits for two calls. So with long calls
        it takes all who send: those who were answered, and those who arrived meanwhile. A call
        shorter than our own work for all of them begins once half are there: the others are read
        while XSOAR works.

        Not everybody comes back. The wait ends once nobody arrives for a 25th of the call's time:
        then a lone request, which meets at most two such gaps, waits less than a tenth longer than
        its call. Where others arrive all the time, it ends after what reading those who were
        answered takes.
        """
        if answered < 2:  # the only sender that may come back ends the wait for work as well
            return
        seconds, senders = self._called_seconds, answered + len(self._queue)
        if seconds < senders * self._request_seconds:
            senders //= 2
        gap = min(max(seconds / 25, 0.001), 0.02)
        until = time.monotonic() + min(
            gap + GATHER_WORK * answered * self._request_seconds, MAX_GATHER_SECONDS
        )
        self._target = senders
        while (
            (waiting := len(self._queue)) < senders
            and not self._closed
            and time.monotonic() < until
        ):
            if self._gathered.wait(gap) or len(self._queue) <= waiting:
                break
        self._target = 0

    def withdraw(self, now: float) -> None:
        """Settle 503 what XSOAR did not get within WITHDRAW_SECONDS; ``now`` is monotonic."""
        for event in list(self._open):
            if now - event.queued_at < WITHDRAW_SECONDS:
                break
            if not event.in_flight and not event.delivery.answered_early:
                self._settle(event, OUTAGE if event.first_refused else WITHDRAWN)
        self._queue.drop(lambda group: not unsettled(group))

    def close(self, in_flight: Outcome = STOPPED_IN_FLIGHT) -> None:
        """Settle everything that is unfinished as stopping, and take nothing any more."""
        self._closed = True
        for event in list(self._open):
            self._settle(event, in_flight if event.in_flight else STOPPING)


# -------------------------------------------------------------------------------------------------
# Seen events: each event once
#
# Where a duplication key, or a scheme that names its deliveries, distinguishes events, the first
# request with an event creates it; all others with the same key wait for its outcome, without a
# greenlet of their own. What was created is remembered, what nobody knows (MAYBE_CREATED) is not,
# and what XSOAR did not take is free for the next one that waits.
# -------------------------------------------------------------------------------------------------

SEEN_METADATA = ("id", "name", "type", "occurred")


class Seen(NamedTuple):
    """A created event: what its sender was answered, and when it was created, in epoch seconds."""

    metadata: dict[str, Any]
    created: float


class Claim:
    """An event in progress, and the later ones with the same key."""

    __slots__ = ("outages", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Event] = deque()
        self.outages = 0  # how many of them met one


class SeenEvents:
    """Hands new events on to the writer, and each event once."""

    def __init__(self, writer: Writer, counters: Counters, forget_seconds: float | None) -> None:
        self._writer = writer
        self._counters = counters
        self._forget_seconds = forget_seconds
        self._in_progress: dict[str, Claim] = {}
        self.seen: OrderedDict[str, Seen] = OrderedDict()
        # called with each event that is settled
        self.settled: Callable[[Event], None] = lambda event: None
        self.changed: Callable[[], None] = lambda: None  # called when something new has been seen
        writer.settled = self._writer_settled

    def submit(self, events: list[Event]) -> None:
        """Create the events of a request that are new; each is settled once, perhaps at once."""
        fresh: list[Event] = []
        known: list[tuple[Event, Seen]] = []
        for event in events:
            key = event.key
            if key is None:
                fresh.append(event)
            elif seen := self._find(key):
                known.append((event, seen))
            elif key in self._in_progress:
                self._in_progress[key].waiting.append(event)
            else:
                self._in_progress[key] = Claim()
                fresh.append(event)
        if fresh:
            self._writer.put(fresh)
        for event, seen in known:
            self._settle_duplicate(event, seen.metadata)

    def remember(self, key: str, seen: Seen) -> None:
        """Note an event as seen, the oldest of too many is forgotten."""
        self.seen[key] = seen
        while len(self.seen) > MAX_FOUND_IDS:
            self.seen.popitem(last=False)

    def _find(self, key: str) -> Seen | None:
        seen = self.seen.get(key)
        if seen is None or self._forget_seconds is None:
            return seen
        now = time.time()
        if seen.created > now:  # by a clock that was ahead: it counts from now
            seen = self.seen[key] = seen._replace(created=now)
        if now - seen.created < self._forget_seconds:
            return seen
        del self.seen[key]
        return None

    def _writer_settled(self, event: Event) -> None:
        """Settle an event, and what waits for it."""
        key, outcome = event.key, event.outcome
        if key is None:
            self.settled(event)
            return
        claim = self._in_progress.pop(key, None)
        if outcome is not None and claim is not None:
            if outcome.created is not None:
                metadata = {
                    name: value for name, value in outcome.created.items() if name in SEEN_METADATA
                }
                self.remember(key, Seen(metadata, time.time()))
                self.changed()
                for other in claim.waiting:
                    self._settle_duplicate(other, metadata)
            elif outcome in (REJECTED, DROPPED) or (outcome == OUTAGE and not claim.outages):
                claim.outages += outcome == OUTAGE
                self._pass_on(key, event, claim, outcome)
            else:  # what is true of the first one is true of all that wait for it
                for other in claim.waiting:
                    self._settle(other, outcome)
        self.settled(event)

    def _settle(self, event: Event, outcome: Outcome) -> None:
        event.outcome = outcome
        self.settled(event)

    def _settle_duplicate(self, event: Event, metadata: dict[str, Any]) -> None:
        self._counters.add("duplicates")
        event.is_duplicate = True
        self._settle(event, Outcome(200, {**metadata, "duplicate": True}))

    def _pass_on(self, key: str, first: Event, claim: Claim, outcome: Outcome) -> None:
        """XSOAR did not take an event: its own request shares the outcome, the next one tries."""
        for event in claim.waiting:
            if event.delivery is first.delivery:
                self._settle(event, outcome)
        claim.waiting = deque(
            event for event in claim.waiting if event.delivery is not first.delivery
        )
        while claim.waiting:
            event = claim.waiting.popleft()
            if time.monotonic() < event.delivery.accepted_at + WITHDRAW_SECONDS:
                self._in_progress[key] = claim
                self._writer.put([event])
                return
            self._settle(event, WITHDRAWN)


# -------------------------------------------------------------------------------------------------
# Alerts: one incident from an alert's start to its end; AlertLifeApiModule has the rules
# -------------------------------------------------------------------------------------------------


def follow_alerts(
    settings: Settings,
    client: XsoarClient,
    writer: Writer,
    events: SeenEvents,
    counters: Counters,
) -> AlertLife | None:
    """Return what gives each alert one incident, None where each event makes one."""
    if not settings.follows_alerts:
        return None
    hooks = AlertHooks(
        create=events.submit,
        make_outcome=Outcome,
        leaves_alert_free=lambda outcome: outcome in (DROPPED, REJECTED),
        may_exist=lambda outcome: outcome == MAYBE_CREATED,
        stopping=STOPPING,
        add_entry=lambda incident, text: client.call(demisto.addEntry, incident, plain_field(text)),
        is_busy=lambda: writer.is_busy,
        add_count=counters.add,
        report=client.error,
    )
    changes = MirrorChanges(to_json) if settings.alert_updates == "close" else None
    alerts = AlertLife(hooks, OpenAlerts(to_json), AlertNotes(to_json), changes)
    events.settled = alerts.event_settled
    return alerts


# -------------------------------------------------------------------------------------------------
# Integration context: samples, seen events, and what commands leave there
#
# ContextKeeper copies samples, seen events, what was answered 202 and the status into the
# integration context, and obeys what commands leave there. A command runs in a container of its
# own: it changes the context under its version, as the keeper does, so that neither overwrites the
# other, and leaves a mark that makes the keeper forget what it holds in memory.
# -------------------------------------------------------------------------------------------------

MAX_LARGE_SAMPLES_BYTES = 25 * MIB  # kept whole until the next flush; of more the newest
MAX_PROMISED_BYTES = 5 * MIB
FLUSH_SECONDS = 3.0  # from an incident to the integration context
KEEPER_SECONDS = 10.0  # from a command to its effect, and between two writes of the status


class Samples:
    """The newest created incidents, for the mapping wizard."""

    def __init__(self, worker: WorkerThread) -> None:
        self._worker = worker
        self._large: deque[tuple[int, dict[str, Any]]] = deque(maxlen=MAX_SAMPLES)
        self._is_cutting = False
        self.items: deque[dict[str, Any]] = deque(maxlen=MAX_SAMPLES)
        self.changed: Callable[[], None] = lambda: None  # called with each new item

    def add(self, event: Event) -> None:
        """Keep a created event's fields; large ones are cut off the request's path."""
        # As a string within a string it may grow to twice its size.
        if event.size > MAX_SAMPLE_BYTES // 2:
            self._large.append((event.size, event.fields))
            while (
                len(self._large) > 1
                and sum(size for size, _ in self._large) > MAX_LARGE_SAMPLES_BYTES
            ):
                self._large.popleft()
            if not self._is_cutting:
                self._is_cutting = True
                gevent.spawn(self._cut_large)
        else:
            self.items.append(event.fields)
            self.changed()

    def _cut_large(self) -> None:
        """Cut the large ones down to MAX_SAMPLE_BYTES; the worker thread may be busy for long."""
        try:
            while self._large:
                self.items.append(self._worker.run(small_sample, self._large.popleft()[1]))
                self.changed()
        except WorkerBusy:  # the webhook stops
            self._large.clear()
        finally:
            self._is_cutting = False

    def forget(self) -> None:
        """Forget all samples."""
        self._large.clear()
        self.items.clear()


class ContextKeeper:
    """Keeps the context abreast of samples, seen events, early answers and the status."""

    def __init__(
        self,
        client: XsoarClient,
        settings: Settings,
        samples: Samples,
        events: SeenEvents,
        status: Callable[[], dict[str, Any]],
        alerts: AlertLife | None = None,
    ) -> None:
        self._client = client
        # what is kept
        self._alerts = alerts
        self._samples = samples
        self.add_sample = samples.add  # takes a created event
        self._events = events
        self._status = status
        self._store_samples = settings.store_samples
        self._remember_events = remembers_events(settings)
        self._forget_seconds = settings.duplicate_seconds
        # answered 202, or about to be, and not settled: by mark
        self.promised: dict[str, Event] = {}
        # what the context holds
        self._written_status: dict[str, Any] = {}
        self._context: dict[str, str] | None = None  # as it was written or read last
        self._damage_reported = False
        self.read = Signal()  # what it holds is known
        self.loaded = Signal()  # that, or it cannot be had at the moment
        self.restored: list[Event] = []  # answered 202 by an earlier start
        # when it is written
        self._changed = Signal()
        self._urgent = Signal()
        self._flushing = Semaphore()  # the last flush waits for one that is in progress
        self._closing = False
        self._promises = 0  # how often something was promised
        self._promises_written = 0
        self._written = Signal()
        events.changed = samples.changed = self._changed.set
        if alerts is not None:
            alerts.changed, alerts.urgent = self._changed.set, self._flush_soon

    def promise(self, events: Iterable[Event], seconds: float) -> bool:
        """Note that events are to be created; return whether the context has them in time."""
        self.promised.update((event.mark, event) for event in events if event.outcome is None)
        self._promises += 1
        wanted, until = self._promises, time.monotonic() + seconds
        self._flush_soon()
        while self._promises_written < wanted and (left := until - time.monotonic()) > 0:
            self._written.clear()
            self._written.wait(left)
        return self._promises_written >= wanted

    def early_answer_settled(self, event: Event) -> None:
        """A promised event is settled."""
        if self.promised.pop(event.mark, None) is not None:
            self._flush_soon()

    def _flush_soon(self) -> None:
        self._urgent.set()
        self._changed.set()

    def run(self) -> None:
        """Load what is there, then write changes for ever, one write for all of FLUSH_SECONDS."""
        while not self._synchronize(write=False):
            gevent.sleep(FLUSH_SECONDS)
        while True:
            if self._changed.wait(KEEPER_SECONDS):
                self._urgent.wait(FLUSH_SECONDS)
                if not self.flush():
                    gevent.sleep(RETRY_PAUSE_SECONDS)
                    if not self.flush():
                        gevent.sleep(FLUSH_SECONDS)
            else:
                with self._flushing:
                    self._synchronize(write=self._status() != self._written_status)

    def flush(self) -> bool:
        """Write what changed to the integration context and return whether that worked."""
        with self._flushing:
            if not self._changed.is_set():
                return True
            self._changed.clear()
            self._urgent.clear()
            if self._synchronize(write=True):
                return True
            self._changed.set()
            return False

    def close(self, seconds: float) -> None:
        """Write for the last time; what was answered 202 is left even where nothing answers."""
        self._closing = True
        if self.promised:
            self._changed.set()
        last = gevent.spawn(self._flush_at_last)
        last.join(seconds)
        if not last.successful():  # nor has it ended
            self.leave_promises()

    def _flush_at_last(self) -> None:
        """Write until that works: another container may write at the same time."""
        while not self.flush():
            gevent.sleep(RETRY_PAUSE_SECONDS)

    def leave_promises(self) -> None:
        """Send the context with what was answered 202, without awaiting an answer."""
        if self._context is not None and self.promised:
            self._closing = True
            context, stored = read_context(self._context)
            self._merge(context, stored, self._status())
            args = {"value": texts_of(context), "version": -1, "sync": True}
            self._client.send_unanswered("setIntegrationContext", args)

    def _synchronize(self, write: bool) -> bool:
        promises = self._promises
        try:
            try:
                stored = self._client.call(self._exchange, write)
            # A command may have written in between, so that our version is an old one.
            except XsoarRefused:
                stored = self._client.call(self._exchange, write)
        except (XsoarRefused, UnreadableAnswer) as error:
            self._client.report(
                "Integration context",
                f"The integration context cannot be reached; it is retried: {error}"[:300],
            )
            self.loaded.set()
            return False
        self._client.report("Integration context", "")
        if stored.damage and not self._damage_reported:
            self._damage_reported = True
            self._client.error(
                f"The integration context held damaged data, which is replaced: {stored.damage}"
            )
        if not self.read.is_set():
            self._load(stored)
            self.read.set()
            self.loaded.set()
        elif write:
            self._promises_written = promises
            self._written.set()
            if self._alerts is not None:
                self._alerts.written()
        return True

    def _load(self, stored: Stored) -> None:
        """Put what the context held before what has arrived since the start."""
        held = [*stored.samples, *self._samples.items][-MAX_SAMPLES:]
        self._samples.items.clear()
        self._samples.items.extend(held)
        now = time.time()
        seen = self._events.seen
        for key, incident_id in reversed(found_events(stored).items()):
            if key not in seen:
                metadata = {} if incident_id is None else {"id": incident_id}
                seen[key] = Seen(metadata, stored.times.get(key, now))
                seen.move_to_end(key, last=False)
        while len(seen) > MAX_FOUND_IDS:
            seen.popitem(last=False)
        if self._alerts is not None:
            for damage in self._alerts.load(self._context or {}):
                self._client.error(
                    f"The integration context held damaged data, which is replaced: {damage}"
                )
        self.restored = [promised_event(item) for item in stored.promised]
        self.promised.update((event.mark, event) for event in self.restored)

    def _exchange(self, write: bool) -> Stored:
        """Read the context and, to write, put ours in: at most two round trips, in one turn."""
        versioned = demisto.getIntegrationContextVersioned(True)
        versioned = versioned if isinstance(versioned, dict) else {}
        context, stored = read_context(versioned.get("context"))
        if stored.reset:
            stored = self._apply_reset(stored)
            context.pop(RESET_KEY, None)
        if write or stored.reset:
            status = self._status()
            self._merge(context, stored, status)
            demisto.setIntegrationContextVersioned(
                texts_of(context), versioned.get("version", -1), True
            )
            self._written_status = status
        self._context = texts_of(context)
        return stored

    def _apply_reset(self, stored: Stored) -> Stored:
        """Forget what a command wants forgotten, in memory; return what is left of the context."""
        if stored.reset in ("samples", "all"):
            self._samples.forget()
            stored = stored._replace(samples=[])
        if stored.reset in ("events", "all"):
            self._events.seen.clear()
            if self._alerts is not None:
                self._alerts.known.forget()
            stored = stored._replace(found={}, times={})
        self._client.info(f"generic-webhook-reset: {stored.reset} forgotten.")
        return stored

    def _merge(self, context: dict[str, Any], stored: Stored, status: dict[str, Any]) -> None:
        """Put ours into the context."""
        if self._store_samples:
            ours = list(self._samples.items)
            context[SAMPLES_KEY] = to_json(
                [*(one for one in stored.samples if one not in ours), *ours][-MAX_SAMPLES:]
            )
        if self._remember_events:
            seen = self._events.seen
            found = {key: value for key, value in found_events(stored).items() if key not in seen}
            if self._forget_seconds is not None:
                now = time.time()
                times = {key: stored.times.get(key, now) for key in found}
                times = {key: at for key, at in times.items() if now - at < self._forget_seconds}
                found = {key: found[key] for key in times}
                times |= {key: event.created for key, event in seen.items()}
                context[TIMES_KEY] = to_json({key: int(at) for key, at in times.items()})
            found |= {key: event.metadata.get("id") for key, event in seen.items()}
            context[FOUND_KEY] = to_json(dict(list(found.items())[-MAX_FOUND_IDS:]))
        if self._alerts is not None:
            self._alerts.write(context, self.read.is_set())
        if self.read.is_set():
            context.pop(PROMISED_KEY, None)
            if self.promised:
                context[PROMISED_KEY] = self._promised_text()
        context[STATUS_KEY] = to_json(
            {**status, "updated": datetime.now(UTC).isoformat(timespec="seconds")}
        )

    def _promised_text(self) -> str:
        """Return the promised events as JSON of at most MAX_PROMISED_BYTES.

        What has no room in it when the webhook stops is reported in the log.
        """
        texts: list[str] = []
        left = MAX_PROMISED_BYTES
        lost = []
        for event in list(self.promised.values()):
            item: dict[str, Any] = {
                "fields": event.fields,
                "key": event.key,
                "request": event.delivery.id,
                "index": event.index,
            }
            if event.alert is not None:
                item["alert"] = event.alert
            text = to_json(item)
            size = byte_length(text)
            if size > left:
                lost.append(event.delivery.id)
            else:
                left -= size
                texts.append(text)
        if lost and self._closing:
            names = ", ".join(dict.fromkeys(lost))
            sentence = (
                f"More than {MAX_PROMISED_BYTES // MIB} MiB were answered 202 and wait for XSOAR; "
                f"these requests are lost: {names}"
            )
            self._client.error(sentence[:4000])
        return f"[{','.join(texts)}]"


def found_events(stored: Stored) -> dict[str, Any]:
    """Return the incident ID of each event seen, by its key; old versions wrote long keys, too."""
    return {shorten_key(key): value for key, value in stored.found.items()}


def remembers_events(settings: Settings) -> bool:
    """Return whether an instance distinguishes seen events from new ones."""
    return bool(settings.duplication_paths) or settings.credentials.identifies


def promised_event(item: dict[str, Any]) -> Event:
    """Return a promised event; one that an earlier version left gets its mark here."""
    fields, delivery_id = dict(item["fields"]), str(item["request"])
    index = int(item.get("index", 0))
    if "index" not in item:
        delivery_id = new_delivery_id()
        mark = f'"webhook":{{"delivery":"{delivery_id}/{index}"}}'
        fields["rawJSON"] = f"{fields['rawJSON'][:-1]},{mark}}}"
    event = Event(fields, item["key"], index)
    with contextlib.suppress(TypeError):  # of an earlier version, or damaged
        event.alert = Alert(*item["alert"]) if item.get("alert") else None
    Delivery(delivery_id, None, [event]).answered_early = True
    return event


# -------------------------------------------------------------------------------------------------
# Application: the life of a request, and the routes
#
# head -> allowed source? -> route -> who sent it? -> body -> signed? -> a handshake? -> events ->
# seen before? -> the writer. Whichever greenlet settles the last event of a request sends its
# answer, in Webhook.event_settled; most often the writer's.
# -------------------------------------------------------------------------------------------------

PARSER_SECONDS = 20.0  # that a request waits for the worker thread; its sender then repeats it
PARSER_STUCK_SECONDS = 30.0  # for one body: nothing within our limits takes a tenth of it
LOST_REPORT_SECONDS = 3600.0  # an incident answered 202 that does not exist is in the health
MAX_SENDERS_COUNTED = 64  # of each of whom a metric has a line
MAX_UNKNOWN_SHAPES = 50  # of payloads that were not recognized, between two reports
UNKNOWN_SHAPES_REPORTED = 5  # the most frequent of them
UNKNOWN_REPORT_SECONDS = 3600.0
MISSES_REPORTED = 100  # events in a row without a value for a parameter that names paths
PROMISE_SECONDS = 0.25  # before an early answer: the integration context gets its events


class Webhook:
    """Answers requests, and never waits for XSOAR itself."""

    def __init__(
        self,
        settings: Settings,
        client: XsoarClient,
        writer: Writer,
        events: SeenEvents,
        keeper: ContextKeeper,
        connections: ConnectionRegistry,
        counters: Counters,
        worker: WorkerThread,
        alerts: AlertLife | None = None,
    ) -> None:
        # its parts
        self._settings = settings
        self._client = client
        self._writer = writer
        self._intake = events if alerts is None else alerts
        self._keeper = keeper
        self._connections = connections
        self._counters = counters
        self._worker = worker
        self._app = build_app(self, settings)
        # who sends
        self._credentials = settings.credentials
        self._knows_sources = bool(settings.trusted_proxies or settings.allowed_sources)
        self._failed_logins = FailedLogins()
        self.refusals = Refusals()
        # what events become
        self._remembers = remembers_events(settings)
        self._ignores = bool(settings.ignore_when)
        self._needs_context = self._remembers or alerts is not None
        self._misses: Counter[str] = Counter()  # in a row, by parameter
        self._watched = [
            name
            for name, default in MISSABLE.items()
            if getattr(settings, name) not in (default, None)
        ]
        self.senders = BoundedCounter(MAX_SENDERS_COUNTED)
        self.ignored = RuleCounter(rule.text for rule in settings.ignore_when.rules)
        self._unknown: Counter[tuple[str, ...]] = Counter()  # events by the keys of their payloads
        # early answers
        self._deliveries: deque[Delivery] = deque()  # that may have to be answered 202, by time
        self._delivered = Signal()
        self._lost: deque[tuple[float, str]] = deque(maxlen=20)  # when and which delivery
        self._intake.settled = self.event_settled

    def answer(self, request: Request) -> Answer | None:
        """Return a request's answer, None where Request.reply comes later; raises HTTPError."""
        if self._knows_sources:
            self._admit(request)
        head = request.head
        try:
            if head.handler is None:
                head.handler = find_handler(self._app, head)
                head.notes = HeadNotes(asks_by_head(head.headers, head.query))
            return head.handler(request)
        # An error that a variable of this frame named would keep the request in memory.
        except (ProofError, PayloadError, SnsError) as error:
            is_missing = isinstance(error, MissingCredentials)
            raise self._noted(request, as_http_error(error), is_missing) from None
        except HTTPError as error:
            raise self._noted(request, error) from None

    def _noted(self, request: Request, error: HTTPError, is_missing: bool = False) -> HTTPError:
        """Keep a refusal that is the sender's to correct, with names but no values; return it."""
        head, status = request.head, error.status
        if not 400 <= status < 500:
            return error

        def describe() -> Refusal:
            came = [name for name in head.headers if names_a_secret(name)] if status == 401 else ()
            path = self._settings.hidden.hide(head.path)
            expected = self._credentials.expected_at(head.path) if is_missing else ""
            asked = head.method, path
            return describe_refusal(status, request.address, asked, error.sentence, came, expected)

        # A body that ends too early is nobody's to correct.
        is_whole = status != 400 or request.complete
        self.refusals.add(request.address, describe, is_whole and head.method in EVENT_METHODS)
        return error

    def _admit(self, request: Request) -> None:
        """Find out where a request comes from; raises HTTPError (403) for a forbidden place."""
        settings = self._settings
        forwarded_for = request.headers.get("x-forwarded-for", "")
        request.address = source_address(request.address, forwarded_for, settings.trusted_proxies)
        if not is_allowed(request.address, settings.allowed_sources):
            self._counters.add("requests from other addresses")
            refusal = (
                "This address may not send to this webhook; add it to Allowed sources in XSOAR."
            )
            raise self._noted(request, HTTPError(403, refusal))

    def receive(self, request: Request) -> Answer | None:
        """POST, and methods that the instance accepts in addition: make incidents of the body.

        The answer, their metadata, leaves once XSOAR has created them.
        """
        headers, notes = request.headers, request.head.notes
        proof = None if notes.authenticated else self._verify_head(request)
        if proof is not None and proof.refusal is not None:
            return self._answer_unsigned(request, proof.refusal)
        if "content-encoding" in headers:
            supported_encoding(headers["content-encoding"])
        if self._connections.stopping:
            raise ServiceUnavailable(STOPPING_SENTENCE)
        self._writer.backlog.check_room(request.address)
        is_signed = proof is not None and not proof.by_head
        if not is_signed:
            request.mark_authenticated()
        body = request.read_body()
        request.hold_shutdown()
        credential = proof.credential if proof is not None else notes.credential
        if proof is not None and is_signed:
            credential = self._verify_body(request, proof, body)
            request.mark_authenticated()
        if notes.may_be_handshake and (done := self._answer_handshake(request, body, True)):
            return done
        delivery = self._make_delivery(request, body, credential, is_signed)
        if isinstance(delivery, Answer):
            return delivery
        if self.refusals.refused:
            self.refusals.succeeded(request.address)
        if proof is not None and not is_signed and (credential is None or credential.in_headers):
            notes.authenticated, notes.credential = True, credential
            request.cache_head()
        del body  # its events are all that is needed while XSOAR takes them
        return self._create(delivery)

    def answer_probe(self, request: Request) -> Answer | None:
        """GET, HEAD, OPTIONS: answer a vendor's handshake, or receive an event if that is accepted.

        Anything else is 405, a wrong proof 401.
        """
        head = request.head
        proof = self._verify_head(request)
        refusal = proof.refusal
        accepts = head.method == "GET" and self._settings.accept_get
        # What has a path, or proves its sender, says something.
        is_event = accepts and (
            head.path != "/" or (proof.credential is not None and proof.by_head)
        )
        done = self._answer_handshake(request, b"", proof.by_head, url_checks=not is_event)
        if done:
            return done
        if accepts and refusal is None:
            return self.receive(request)
        # A sender that tries a token learns whether it is right, so it is counted and slowed down
        # as any other.
        tries_token = (
            "hub.verify_token" in HandshakeRequest(head.method, request.headers, head.query).fields
        )
        is_missing = isinstance(refusal, MissingCredentials)
        if refusal is not None and (accepts or tries_token or not is_missing):
            raise self._failed(refusal, request)
        raise not_allowed((*EVENT_METHODS, *(["GET"] if self._settings.accept_get else [])))

    def report_metrics(self, request: Request) -> Answer:
        """GET /metrics: the counters in Prometheus' text format, for those with credentials."""
        proof = None if self._credentials.only_sign else self._verify_head(request)
        if proof is not None and not proof.by_head:
            raise self._failed(proof.refusal or ProofError(UNSIGNED_METRICS), request)
        text = metrics_text(self._counters, self._connections, self._writer, self.senders)
        return Answer(200, text.encode(), METRICS_TYPE)

    def report_health(self, request: Request) -> Answer:
        """GET /health: that the server goes on, nothing about the instance; 503 at a stop."""
        if self._connections.stopping:
            raise ServiceUnavailable("The webhook is stopping.")
        return Answer(200, ALIVE)

    # ---- who sent it

    def _verify_head(self, request: Request) -> Proof:
        head = request.head
        return self._credentials.verify_head(head.path, head.headers, head.query, head.repeated)

    def _answer_unsigned(self, request: Request, refusal: ProofError) -> Answer:
        """Answer an unproven POST that is a vendor's handshake; raises the refusal of any other."""
        head = request.head
        # A sender that asks before it sends its body, or compresses it, sends no handshake.
        if (
            isinstance(refusal, MissingCredentials)
            and not head.chunked
            and not head.expects_continue
            and may_be_handshake(head.method, request.headers, request.length)
        ):
            done = self._answer_handshake(request, request.read_body(), False)
            if done:
                return done
        raise self._failed(refusal, request)

    def _answer_handshake(
        self, request: Request, body: bytes, authenticated: bool, url_checks: bool = False
    ) -> Answer | None:
        """Return the answer to a vendor's handshake, None for any other request.

        It is counted, and what it has to report is shown in the health.
        """
        head = request.head
        confirm = functools.partial(confirm_subscription, use_proxy=self._settings.proxy)
        call = HandshakeRequest(head.method, request.headers, head.query, body, head.path, confirm)
        done = answer_handshake(call, self._credentials, authenticated, url_checks)
        if done is None:
            return None
        self._counters.add("handshakes answered")
        if done.notice:
            notice = f"{done.vendor} (from {request.address}): {done.notice}"
            self._client.report(f"{done.vendor}'s handshake", notice)
        return Answer(200, done.content, done.content_type, done.headers)

    def _verify_body(self, request: Request, proof: Proof, body: bytes) -> Credential:
        try:
            # Hashing 25 MB takes longer than the others should wait, and is done once a secret.
            run = functools.partial(self._work, request) if len(body) > SMALL_BODY_BYTES else None
            return self._credentials.verify_body(proof, body, run)
        except ProofError as refusal:
            raise self._failed(refusal, request) from None

    def _failed(self, refusal: ProofError, request: Request) -> ProofError:
        """Count a failed authentication, return its refusal; delays who fails repeatedly."""
        self._counters.add("failed authentications")
        delay = self._failed_logins.add(request.address)
        if delay:
            gevent.sleep(delay)
        return refusal

    # ---- what it says

    def _make_delivery(
        self, request: Request, body: bytes, credential: Credential | None, is_signed: bool
    ) -> Delivery | Answer:
        """Return a body's delivery, or a handshake's answer; what is large goes to the thread."""
        settings, headers, context = self._settings, request.headers, self._context(request)
        now, delivery_id = time_text(), new_delivery_id()
        encoding = headers.get("content-encoding", "")
        # What a signature does not cover makes no event.
        query = None if is_signed else context.query
        if not body and not query and request.head.method == "GET" and not is_signed:
            body = b"{}"  # its path, or that it came, is all it says
        kind, keep = headers.get("content-type", ""), settings.keep_unreadable
        reading = (body, kind, encoding, query, keep, TextReader)
        ignored: list[str] | None = [] if self._ignores else None
        origin = NO_ORIGIN
        if credential is not None and (is_signed or credential.label):
            origin = Origin(credential.label, body if is_signed else None)

        check_room = self._writer.backlog.check_room
        maker = EventMaker(context, settings, now, delivery_id, check_room, origin, ignored)
        events: list[Event]
        if len(body) > SMALL_BODY_BYTES or is_compressed(body, encoding):
            # In one turn: between two of them, the parsed payloads of all others would be in memory
            # as well.
            events = self._work(request, lambda: maker.make(read_payload(*reading)))
        elif asks_by_body((items := read_payload(*reading)).values, body) and (
            done := self._answer_handshake(request, body, True)
        ):
            return done
        elif len(items.values) > MAX_EVENTS_ON_LOOP:
            events = self._work(request, maker.make, items)
        else:
            events = maker.make(items)
        if len(body) > SMALL_BODY_BYTES or len(events) > MAX_EVENTS_ON_LOOP:
            request.reserve(max(0, sum(event.size for event in events) - len(body)))
        if ignored is not None:
            self._count_ignored(ignored, len(events))
        if credential is not None and self._credentials.identifies:
            self._identify(request, events, credential)
        if self._watched:
            self._count_misses(events, now)
        if settings.recognize != "off":
            self._count_senders(events)
        return Delivery(delivery_id, request, events)

    def _work(self, request: Request, function: Callable[..., Any], *args: Any) -> Any:
        """Run what takes long on the worker thread; raises its error, or ServiceUnavailable."""
        try:
            return self._worker.run(function, *args, seconds=PARSER_SECONDS, sender=request.address)
        except WorkerBusy:
            busy = "Large bodies keep the webhook busy; send this one again later."
            raise ServiceUnavailable(
                STOPPING_SENTENCE if self._connections.stopping else busy
            ) from None

    def _context(self, request: Request) -> RequestContext:
        """Return what is kept of a request beside its body."""
        head = request.head
        known = head.notes.context
        if known is None or known.source_address != request.address:
            path = head.path if head.path != "/" else ""
            known = head.notes.context = describe_request(
                head.headers,
                head.query,
                self._settings.hidden,
                path=path,
                source_address=request.address,
                recognizer=self._settings.recognizer,
            )
            fields = shared_fields(known, self._settings)
            text = to_json(fields)[1:-1]
            known.shared = Shared(fields, text, text)
        return known

    def _identify(self, request: Request, events: list[Event], credential: Credential) -> None:
        """Give the events the delivery's id as their key where nothing else is one."""
        event_id = self._credentials.event_id(credential, request.headers)
        for place, event in enumerate(events) if event_id is not None else ():
            index = f"[{place}]" if len(events) > 1 else ""
            if event.alert is None:
                event.key = event.key or shorten_key(f"webhook-id:{event_id}{index}")

    def _count_misses(self, events: list[Event], trigger_time: str) -> None:
        """Log once a parameter whose paths have found nothing in many events in a row."""
        for event in events:
            for name in self._watched:
                if not MISSED[name](event, self._settings, trigger_time):
                    self._misses[name] = 0
                    continue
                self._misses[name] += 1
                if self._misses[name] == MISSES_REPORTED:
                    display = next(row.display for row in PARAMETERS if row.field == name)
                    self._client.info(
                        f"{display}: the last {MISSES_REPORTED} events had no value at its paths; "
                        "compare them with an incident's raw JSON."
                    )

    def _count_ignored(self, rules: list[str], others: int) -> None:
        """Count ignored events by rule, and log once the rules that have met none in many."""
        if rules:
            self._counters.add("events ignored", len(rules))
        for rule in self.ignored.add(rules, len(rules) + others):
            self._client.info(
                f"Ignore events where: the rule {rule} has matched none of {RULE_EVENTS} events; "
                "compare it with an incident's raw JSON."
            )

    def _count_senders(self, events: list[Event]) -> None:
        for event in events:
            if event.sender is not None:
                self.senders.add(event.sender or "unknown")
            if event.keys and (
                event.keys in self._unknown or len(self._unknown) < MAX_UNKNOWN_SHAPES
            ):
                self._unknown[event.keys] += 1

    def report_unknown_senders(self) -> None:
        """Name in the log the keys, never the values, of payloads that were not recognized."""
        shapes = [
            f"{count} with the keys {', '.join(repr(key[:40]) for key in keys)}"
            for keys, count in self._unknown.most_common(UNKNOWN_SHAPES_REPORTED)
        ]
        self._unknown.clear()
        if shapes:
            self._client.info(f"Events of unknown senders: {'; '.join(shapes)}.")

    # ---- what becomes of it

    def _create(self, delivery: Delivery) -> Answer | None:
        """Hand the events on; the request is answered when all of them are settled."""
        events = delivery.events
        if not events:
            return Answer(content=encode_answer([]))  # all were ignored
        try:
            self._writer.check_open()
            if self._needs_context and not self._keeper.loaded.wait(
                self._settings.answer_seconds or WITHDRAW_SECONDS
            ):
                raise ServiceUnavailable(
                    "XSOAR did not return the list of seen events; send this one again later."
                )
            self._writer.backlog.add(delivery)
        except ServiceUnavailable:
            delivery.events = []  # the two know each other, as in _answer_settled
            raise
        if self._settings.answer_seconds is not None:
            while self._deliveries and self._deliveries[0].request is None:
                self._deliveries.popleft()
            self._deliveries.append(delivery)
            self._delivered.set()
        if self._remembers and (without_key := sum(map(has_no_key, events))):
            self._counters.add("events without a key", without_key)
        is_new = len(events) == 1 and has_no_key(events[0])
        (self._writer.put if is_new else self._intake.submit)(events)
        return None

    def event_settled(self, event: Event) -> None:
        """Note that an event is settled; the last one of its request answers it."""
        delivery, outcome = event.delivery, event.outcome
        self._writer.backlog.remove(event)
        if outcome is not None and outcome.created is not None and not event.is_duplicate:
            self._counters.add("incidents created")
            if self._settings.store_samples:
                self._keeper.add_sample(event)
        if delivery.answered_early:
            self._early_answer_settled(event)
        elif self._keeper.promised:
            self._keeper.early_answer_settled(event)
        delivery.open -= 1
        if not delivery.open:
            self._answer_settled(delivery)

    def _answer_settled(self, delivery: Delivery) -> None:
        """Answer a request whose events are settled: what was created, or why not."""
        events, request = delivery.events, delivery.request
        # The two know each other: a large request would stay until Python's collector runs.
        delivery.request, delivery.events = None, []
        if delivery.answered_early:
            self._report_lost(delivery, events)
        elif request is not None:
            created = [
                event.outcome.created
                for event in events
                if event.outcome is not None and event.outcome.created is not None
            ]
            if len(created) < len(events) and any(
                outcome.status != 200 for outcome in outcomes_of(events)
            ):
                request.reply(self._failure_answer(delivery, events).answer())
            elif events and events[0].answer:
                request.reply(Answer(200, *events[0].answer, (("X-Request-ID", delivery.id),)))
            else:
                request.reply(Answer(content=encode_answer(created)))

    def _failure_answer(self, delivery: Delivery, events: list[Event]) -> HTTPError:
        """Return the refusal (502, 503): events XSOAR did not create, and the IDs of the others."""
        outcomes = outcomes_of(events)
        failed = [
            (place, outcome) for place, outcome in enumerate(outcomes) if outcome.status != 200
        ]
        places = ", ".join(f"[{place}]" for place, _ in failed) + ": " if len(events) > 1 else ""
        reasons = "; ".join(dict.fromkeys(outcome.reason for _, outcome in failed))
        is_new = any(
            outcome.created is not None and not event.is_duplicate
            for event, outcome in zip(events, outcomes)
        )
        if not is_new and all(outcome.status == 503 for _, outcome in failed):
            return ServiceUnavailable(f"{places}{reasons}. Send this again later.")
        ids = [
            str(outcome.created.get("id")) for outcome in outcomes if outcome.created is not None
        ]
        sentence = f"{places}{reasons}." + (f" Created: {', '.join(ids)}." if ids else "")
        self._client.info(f"Request {delivery.id} was answered 502. {sentence}", "502")
        return HTTPError(502, f"{sentence} Request {delivery.id}.")

    # ---- senders that cannot wait

    def resume_promised(self) -> None:
        """Create what an earlier start answered with 202, as soon as the context could be read."""
        self._keeper.read.wait()
        while self._keeper.restored:  # also where a failure has started this again
            self._resume(self._keeper.restored.pop(0))

    def send_early_answers(self) -> None:
        """Answer 202 to each request that has waited for answer_seconds.

        Shortly before, its events are written to the integration context, so that they survive a
        stop.
        """
        seconds = self._settings.answer_seconds
        while seconds is not None:
            if not self._deliveries:
                self._delivered.clear()
                self._delivered.wait()
                continue
            margin = min(PROMISE_SECONDS, seconds / 4)
            gevent.sleep(
                max(0.0, self._deliveries[0].accepted_at + seconds - margin - time.monotonic())
            )
            due = []
            while (
                self._deliveries
                and self._deliveries[0].accepted_at + seconds - margin <= time.monotonic()
            ):
                due.append(self._deliveries.popleft())
            due = [delivery for delivery in due if delivery.request is not None]
            if due:
                self._keeper.promise(
                    [event for delivery in due for event in delivery.events], margin
                )
            for delivery in due:
                gevent.sleep(max(0.0, delivery.accepted_at + seconds - time.monotonic()))
                request = delivery.request
                if request is not None and request.in_progress:
                    self._answer_early(delivery, request)

    def _answer_early(self, delivery: Delivery, request: Request) -> None:
        delivery.answered_early, delivery.request = True, None
        self._counters.add("requests answered before XSOAR has")
        content = to_json({"accepted": len(delivery.events), "request": delivery.id})
        own = next((event.answer for event in delivery.events), None)
        answer = Answer(202, content.encode())
        request.reply(Answer(200, *own, (("X-Request-ID", delivery.id),)) if own else answer)

    def _resume(self, event: Event) -> None:
        """Create an event whose sender was answered 202, as soon as there is room for it."""
        delivery = event.delivery
        delivery.open, delivery.events = 1, [event]
        while True:
            try:
                self._writer.check_open()
                self._writer.backlog.add(delivery)
                return self._intake.submit([event])
            except ServiceUnavailable:
                gevent.sleep(1)

    def _early_answer_settled(self, event: Event) -> None:
        """Forget the promise of a settled event; open ones are left for the next start."""
        outcome = event.outcome or MAYBE_CREATED
        if self._is_left(outcome):
            return
        if outcome.status != 503:
            self._keeper.early_answer_settled(event)
            return
        again = Event(event.fields, event.key, event.index)
        again.alert = event.alert
        Delivery(event.delivery.id, None, [again]).answered_early = True
        self._keeper.promised[again.mark] = again
        gevent.spawn(self._resume, again)

    def _is_left(self, outcome: Outcome) -> bool:
        """Return whether a promise with this outcome is left for the next start."""
        return self._connections.stopping and (
            outcome.status == 503 or outcome in (STOPPED_IN_FLIGHT, MAYBE_CREATED)
        )

    def _report_lost(self, delivery: Delivery, events: list[Event]) -> None:
        """Report a request that was answered 202 and of which not all incidents exist."""
        lost = [outcome for outcome in outcomes_of(events) if outcome.status == 502]
        failed = [outcome.reason for outcome in lost if not self._is_left(outcome)]
        if failed:
            reasons = "; ".join(dict.fromkeys(failed))
            sentence = (
                f"Request {delivery.id} was answered 202, "
                f"and not all of its incidents exist: {reasons}."
            )
            self._client.error(sentence, "202")
            self._lost.append((time.monotonic(), sentence))
            self.report_lost_incidents(time.monotonic())

    def report_lost_incidents(self, now: float) -> None:
        """Show which requests were answered 202 in vain, for LOST_REPORT_SECONDS."""
        while self._lost and now - self._lost[0][0] > LOST_REPORT_SECONDS:
            self._lost.popleft()
        self._client.report("Answered 202", self._lost[-1][1] if self._lost else "")


# Fields of Settings that name paths, their defaults, and whether an event shows that they found
# nothing.
MISSABLE: dict[str, Any] = {
    "name_from": NAME_FROM,
    "type_from": (),
    "occurred_from": OCCURRED_FROM,
    "severity_from": (),
    "duplication_paths": (),
}
MISSED: dict[str, Callable[[Event, Settings, str], bool]] = {
    "name_from": lambda event, settings, now: event.fields["name"] == DEFAULT_NAME,
    "type_from": lambda event, settings, now: (
        event.fields.get("type", "") == settings.incident_type
    ),
    "occurred_from": lambda event, settings, now: event.fields["occurred"] == now,
    "severity_from": lambda event, settings, now: "severity" not in event.fields,
    "duplication_paths": lambda event, settings, now: has_no_key(event),
}


def has_no_key(event: Event) -> bool:
    """Return whether nothing tells an event from others."""
    return event.key is None and event.alert is None


def encode_answer(created: list[dict[str, Any]]) -> bytes:
    """Return the JSON array a sender gets: XSOAR's incidents, without the sender's payload."""
    metadata = [incident.copy() for incident in created]
    for incident in metadata:
        incident.pop("rawJSON", None)
    return to_json(metadata).encode("utf-8", "replace")


class HeadNotes:
    """What the application has found out from a head, for all requests with the same head."""

    __slots__ = ("authenticated", "context", "credential", "may_be_handshake")

    def __init__(self, may_be_handshake: bool) -> None:
        self.may_be_handshake = may_be_handshake
        self.authenticated = False  # which depends on nothing but this head
        self.credential: Credential | None = None  # by which it is so
        self.context: RequestContext | None = None  # what its incidents keep of it


EVENT_METHODS = ["POST", "PUT", "PATCH"]
PROBE_METHODS = ["GET", "HEAD", "OPTIONS"]  # with which vendors ask before they send
# Any path is an event's but these two. (?s:) because a path may hold a line feed.
ANY_PATH = r"/<path:re:(?!(?:health|metrics)\Z)(?s:.*)>"


def build_app(webhook: Webhook, settings: Settings) -> bottle.Bottle:
    """Return the Bottle application: what answers which path and method."""
    app = bottle.Bottle()
    app.route("/health", ["GET", "HEAD"], webhook.report_health)
    app.route(
        "/metrics", ["GET", "HEAD"], webhook.report_metrics if settings.metrics else refuse_metrics
    )
    app.route(ANY_PATH, EVENT_METHODS, webhook.receive)
    app.route(ANY_PATH, PROBE_METHODS, webhook.answer_probe)
    return app


def find_handler(app: bottle.Bottle, head: Head) -> Callable[[Request], Answer | None]:
    """Return the function that answers requests with a head; raises HTTPError (404, 405).

    A request's whole way through Bottle would cost 17 µs, its match alone costs 2 µs a head.
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
    sentence = "Incidents are created by POST; this URL does not accept this method."
    return HTTPError(405, sentence, Allow=", ".join(methods))


def refuse_metrics(request: Request) -> Answer:
    """Refuse to show metrics where the instance does not serve them."""
    raise HTTPError(
        404, "The metrics are off; tick Serve metrics for Prometheus in the instance's settings."
    )


def as_http_error(error: ProofError | PayloadError | SnsError) -> HTTPError:
    """Return the answer to what a library of ours refuses."""
    if isinstance(error, ProofError):
        challenge = {"WWW_Authenticate": error.challenge} if error.challenge else {}
        return HTTPError(401, error.sentence, **challenge)
    if isinstance(error, SnsError):
        if error.retry_seconds:
            return HTTPError(503, error.sentence, Retry_After=str(error.retry_seconds))
        return HTTPError(400 if error.is_senders_fault else 502, error.sentence)
    if isinstance(error, UnsupportedEncoding):
        return HTTPError(415, error.sentence, Accept_Encoding=", ".join(error.accepted))
    if isinstance(error, PayloadTooLarge):
        return HTTPError(413, error.sentence)
    return BadRequest(error.sentence)


# -------------------------------------------------------------------------------------------------
# Metrics: what Prometheus reads
# -------------------------------------------------------------------------------------------------


METRICS = {  # kind and help
    "requests_total": ("counter", "Requests answered, by HTTP status."),
    "incidents_created_total": ("counter", "Incidents that XSOAR created."),
    "duplicates_total": ("counter", "Events that had been seen before."),
    "failed_logins_total": ("counter", "Requests with wrong credentials."),
    "events_total": ("counter", "Events, by the known sender that posted them."),
    "connections": ("gauge", "Open connections, by what they do."),
    "queue_incidents": ("gauge", "Incidents that wait for XSOAR."),
    "queue_bytes": ("gauge", "Bytes of the incidents that wait for XSOAR."),
    "create_incidents_calls_total": ("counter", "Calls of createIncidents, by result."),
    "create_incidents_seconds": ("histogram", "How long XSOAR took for a call."),
    "create_incidents_batch": ("histogram", "How many incidents a call carried."),
}


def metrics_text(
    counters: Counters, connections: ConnectionRegistry, writer: Writer, senders: BoundedCounter
) -> str:
    """Return all metrics in Prometheus' text format; no label holds anything a sender posted."""
    total = counters.total
    samples: dict[str, MetricSamples] = {
        "requests_total": labelled("status", counters.statuses),
        "incidents_created_total": [("", total("incidents created"))],
        "duplicates_total": [("", total("duplicates"))],
        "failed_logins_total": [("", total("failed authentications"))],
        "events_total": labelled("sender", senders.counts),
        "connections": labelled("state", connections.counts()),
        "queue_incidents": [("", writer.backlog.incidents)],
        "queue_bytes": [("", writer.backlog.bytes)],
        "create_incidents_calls_total": labelled("result", writer.calls),
        "create_incidents_seconds": writer.call_seconds.samples(),
        "create_incidents_batch": writer.call_incidents.samples(),
    }
    return "".join(
        metric_family(f"generic_webhook_{name}", *METRICS[name], samples[name]) for name in METRICS
    )


# -------------------------------------------------------------------------------------------------
# Commands: Test, samples, reset, status; and the service that runs for ever
#
# Each command but the last runs in a container of its own, for the same instance and with the same
# integration context.
# -------------------------------------------------------------------------------------------------


def test_module(settings: Settings) -> str:
    """The Test button: return ``ok``; raises ValueError with a line for each mistake."""
    mistakes = [str(mistake) for mistake in settings.mistakes]
    try:
        if load_tls(settings.certificate, settings.key, settings.client_ca) is not None:
            mistakes += filter(None, [certificate_problem(settings.certificate)])
    except CertificateError as mistake:
        mistakes.append(str(mistake))
    notes = settings.notes()
    if mistakes:
        raise ValueError("\n".join([*mistakes, *notes]))
    for note in notes:
        demisto.info(note)
    return "ok"


def fetch_samples() -> list[dict[str, Any]]:
    """The mapping wizard: return the stored sample events, oldest first."""
    return read_samples((demisto.getIntegrationContext() or {}).get(SAMPLES_KEY), [])


RESET_TRIES = 5  # each against what the running container, or another command, writes meanwhile


def reset_command(args: dict[str, Any]) -> CommandResults:
    """generic-webhook-reset: forget samples, seen events or both, in context and container.

    The running container finds the mark within KEEPER_SECONDS; without one, the next start does.
    Raises ValueError.
    """
    what = str(args.get("what") or "all").strip().lower()
    if what not in RESETS:
        raise ValueError(f"what: choose from {', '.join(RESETS)}.")
    for attempt in range(RESET_TRIES):
        versioned = demisto.getIntegrationContextVersioned(True) or {}
        context, stored = read_context(versioned.get("context"))
        for key in RESETS[what]:
            context.pop(key, None)
        context[RESET_KEY] = what if stored.reset in ("", what) else "all"
        try:
            demisto.setIntegrationContextVersioned(
                texts_of(context), versioned.get("version", -1), True
            )
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
    return CommandResults(
        outputs_prefix="GenericWebhook.Reset", outputs=outputs, readable_output=readable
    )


RESETS = {
    "samples": (SAMPLES_KEY,),
    "events": (FOUND_KEY, TIMES_KEY, OPEN_KEY),
    "all": (SAMPLES_KEY, FOUND_KEY, TIMES_KEY, OPEN_KEY),
}


def status_command() -> CommandResults:
    """generic-webhook-status: what the running container counted, KEEPER_SECONDS old at most."""
    status = read_value(STATUS_KEY, (demisto.getIntegrationContext() or {}).get(STATUS_KEY), [])
    if not isinstance(status, dict):
        return CommandResults(
            readable_output="There are no figures yet: the instance has to run for 10 seconds."
        )
    counters = status.get("counters") or {}
    outputs = {
        "Since": status.get("since"),
        "Updated": status.get("updated"),
        "QueuedIncidents": status.get("queued_incidents"),
        "QueuedBytes": status.get("queued_bytes"),
        "IncidentsCreated": counters.get("incidents created", 0),
        "Duplicates": counters.get("duplicates", 0),
        "OpenAlerts": status.get("open_alerts", 0),
        "EndedAlerts": counters.get("alerts ended", 0),
        "WaitingNotes": status.get("waiting_notes", 0),
        "FailedAuthentications": counters.get("failed authentications", 0),
        "Answers": status.get("answers") or {},
        "Senders": status.get("senders") or {},
        "Ignored": status.get("ignored") or {},
        "Refusals": status.get("refusals") or [],
        "Counters": counters,
    }
    table = {
        name: value
        for name, value in outputs.items()
        if name not in ("Answers", "Counters", "Senders", "Ignored", "Refusals")
    }
    table |= {f"Answers {code}": count for code, count in outputs["Answers"].items()}
    table |= {f"Events of {sender}": count for sender, count in outputs["Senders"].items()}
    table |= {f"Ignored by {rule}": count for rule, count in outputs["Ignored"].items()}
    readable = tableToMarkdown("Generic Webhook", table, headers=list(table))
    if outputs["Refusals"]:
        readable += "\n" + tableToMarkdown("Last refusals, the newest first", outputs["Refusals"])
    return CommandResults(
        outputs_prefix="GenericWebhook.Status", outputs=outputs, readable_output=readable
    )


# ---- mirroring: XSOAR asks each minute, and each of these runs in a container of its own

NOT_NOW = "skip update: "  # how the platform is told that nothing is wrong with the incident


def stored_version() -> tuple[dict[str, Any], Any]:
    """Return the integration context and its version; raises ValueError, which is no harm."""
    try:
        versioned = demisto.getIntegrationContextVersioned(True) or {}
    except ValueError as error:
        raise ValueError(f"{NOT_NOW}the integration context cannot be read: {error}") from None
    return read_context(versioned.get("context"))[0], versioned.get("version", -1)


def modified_command() -> GetModifiedRemoteDataResponse:
    """get-modified-remote-data: the incidents that an alert's end closes, or opens again."""
    return GetModifiedRemoteDataResponse(list(pending_changes(stored_version()[0])))


def remote_data_command(args: dict[str, Any]) -> GetRemoteDataResponse:
    """get-remote-data: what becomes of an incident; it is handed over once.

    Raises ValueError, after which XSOAR asks again.
    """
    mark = str(args.get("id") or "")
    for attempt in range(RESET_TRIES):
        context, version = stored_version()
        change = hand_over(context, mark)
        if change is None:
            return GetRemoteDataResponse({"id": mark}, [])
        try:
            demisto.setIntegrationContextVersioned(texts_of(context), version, True)
            break
        except ValueError as error:
            if attempt + 1 == RESET_TRIES:
                raise ValueError(f"{NOT_NOW}the integration context has changed: {error}") from None
            time.sleep(RETRY_PAUSE_SECONDS)
    contents: dict[str, Any] = {"dbotIncidentReopen": True}
    if change is not None and change.closes:
        contents = {
            "dbotIncidentClose": True,
            "closeReason": "Resolved",
            "closeNotes": plain_field(change.text),
        }
    entry = {"Type": EntryType.NOTE, "ContentsFormat": EntryFormat.JSON, "Contents": contents}
    return GetRemoteDataResponse({"id": mark}, [entry])


def mapping_fields_command() -> GetMappingFieldsResponse:
    """get-mapping-fields: what Select schema shows; nothing is mirrored out."""
    return GetMappingFieldsResponse([SchemeTypeMapping("Generic Webhook", {})])


class Service:
    """The long-running command: the parts put together, kept going, and ended in order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = XsoarClient(settings.credentials.secrets)
        self._counters = Counters()
        self._connections = ConnectionRegistry(self._counters)
        self._writer = Writer(self._client)
        # Large bodies, so that parsing them does not stall the small ones.
        self._worker = WorkerThread()
        self._started = datetime.now(UTC)
        events = SeenEvents(self._writer, self._counters, settings.duplicate_seconds)
        self._alerts = follow_alerts(settings, self._client, self._writer, events, self._counters)
        self._keeper = ContextKeeper(
            self._client, settings, Samples(self._worker), events, self._status, self._alerts
        )
        self._webhook = Webhook(
            settings,
            self._client,
            self._writer,
            events,
            self._keeper,
            self._connections,
            self._counters,
            self._worker,
            self._alerts,
        )
        self._stop = Signal()

    def run(self) -> None:
        """Serve until SIGTERM, or until the worker thread is stuck; then end in order.

        A lost connection ends the process, too, in _exit_after_connection_loss.
        """
        gevent.signal_handler(signal.SIGTERM, self._stop.set)
        self._client.take_over()
        for task in (
            self._writer.run,
            self._keeper.run,
            self._webhook.resume_promised,
            self._webhook.send_early_answers,
            self._tick,
            self._send_log_and_heartbeat,
            self._serve,
            *([self._alerts.write_notes] if self._alerts is not None else ()),
        ):
            gevent.spawn(self._keep_running, task)
        for note in self._settings.notes():
            self._client.info(note)
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
                self._client.error(
                    f"{task.__qualname__} failed and is started again: {type(error).__name__}"
                )
                gevent.sleep(1)

    def _serve(self) -> None:
        """Listen, again after every trouble, with pauses up to MAX_RESTART_PAUSE_SECONDS."""
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
            raise SettingError(
                "Listen Port", "it is empty; enter a free port such as 8000 and save the instance."
            )
        tls = load_tls(self._settings.certificate, self._settings.key, self._settings.client_ca)
        self._check_certificate(tls)
        address = ("0.0.0.0", self._settings.port)  # noqa: S104  # nosec B104
        server = Server(
            address,
            self._webhook.answer,
            self._connections,
            self._counters,
            self._report_failure,
            tls,
        )
        server.start()
        self._client.info(
            f"Generic Webhook listens on port {self._settings.port} ({'HTTPS' if tls else 'HTTP'})."
        )
        return server

    def _check_certificate(self, tls: Any) -> None:
        self._client.report(
            "Certificate's dates", certificate_problem(self._settings.certificate) if tls else ""
        )

    def _explain(self, error: Exception) -> str:
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            return (
                f"Listen Port: {self._settings.port} cannot be listened on ({reason}); "
                "enter one that no other instance uses."
            )
        return str(error)

    def _tick(self) -> None:
        """Once a second: close and withdraw what is out of time, watch connection and worker.

        Once a minute, log the counters.
        """
        reported = named_unknown = time.monotonic()
        while True:
            gevent.sleep(1)
            now = time.monotonic()
            self._connections.sweep(now)
            self._writer.withdraw(now)
            if self._alerts is not None:
                self._alerts.withdraw(now)
            if self._client.is_broken() or self._client.out_of_step:
                self._exit_after_connection_loss()
            self._watch_worker(now)
            self._webhook.report_lost_incidents(now)
            self._client.report("Refused deliveries", self._webhook.refusals.problem())
            if now - reported >= REPORT_SECONDS:
                reported = now
                self._log_counters()
            if now - named_unknown >= UNKNOWN_REPORT_SECONDS:
                named_unknown = now
                self._webhook.report_unknown_senders()

    def _status(self) -> dict[str, Any]:
        """Return what generic-webhook-status tells."""
        backlog = self._writer.backlog
        return {
            "since": self._started.isoformat(timespec="seconds"),
            "queued_incidents": backlog.incidents,
            "queued_bytes": backlog.bytes,
            "answers": {
                str(status): count for status, count in sorted(self._counters.statuses.items())
            },
            "counters": self._counters.totals(),
            "senders": dict(self._webhook.senders.counts.most_common()),
            "open_alerts": len(self._alerts.known) if self._alerts is not None else 0,
            "waiting_notes": len(self._alerts.notes) if self._alerts is not None else 0,
            "ignored": dict(self._webhook.ignored.counts),
            "refusals": self._webhook.refusals.rows(),
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
        place = (
            f"{trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace else "unknown place"
        )
        self._client.error(f"A request failed in {place}: {type(error).__name__}")

    def _send_log_and_heartbeat(self) -> None:
        while True:
            self._client.flush()
            self._client.beat(time.monotonic())
            gevent.sleep(1)

    def _watch_worker(self, now: float) -> None:
        """Report a body that keeps the worker thread too long; end the process if it is stuck."""
        busy = self._worker.busy_seconds(now)
        problem = (
            "One body keeps the webhook busy, and all other large bodies wait."
            if busy > PARSER_SECONDS
            else ""
        )
        self._client.report("Large bodies", problem)
        if busy > PARSER_STUCK_SECONDS and not self._stop.is_set():
            self._client.error(
                "A body kept the webhook busy for too long; the instance starts again."
            )
            self._stop.set()

    def _exit_after_connection_loss(self) -> None:
        """The connection is lost: answer who waits and end; the platform starts us again."""
        try:
            if self._client.out_of_step:
                self._client.report_desynchronized()
            else:
                # Not print: the platform rebinds it to a call over the lost connection.
                with contextlib.suppress(OSError):
                    sys.stderr.write(
                        "Generic Webhook: XSOAR closed the connection to this container; ending.\n"
                    )
                    sys.stderr.flush()
            self._connections.stopping = True
            self._writer.close(MAYBE_CREATED)
            self._keeper.leave_promises()
            gevent.sleep(0.5)
        finally:
            os._exit(1)

    def _shut_down(self) -> None:
        """Finish what was accepted, refuse what comes later, flush; within DRAIN_SECONDS."""
        self._connections.stopping = True
        stopped = time.monotonic()
        if self._alerts is not None:
            self._alerts.hurry()
        while (passed := time.monotonic() - stopped) < DRAIN_SECONDS:
            promised_in_flight = self._keeper.promised and self._writer.is_calling
            reading = self._connections.reading() and passed < READING_SECONDS
            if not self._connections.in_progress and not promised_in_flight and not reading:
                break
            gevent.sleep(0.02)
        self._writer.close()
        self._worker.close()
        if self._alerts is not None:
            self._alerts.close()
        self._connections.end_reading()
        gevent.sleep(0.2)  # the answers leave
        self._log_counters()
        self._client.info("Generic Webhook stops.")
        self._keeper.close(LAST_FLUSH_SECONDS)
        left = stopped + DRAIN_SECONDS + 1.5 - time.monotonic()
        gevent.spawn(self._client.flush).join(max(0.2, min(left, LAST_FLUSH_SECONDS)))


def long_running_execution(settings: Settings) -> None:
    """Run the server for ever."""
    demisto.enable_multithreading()  # the platform's heartbeat thread writes to the same connection
    threading.stack_size(THREAD_STACK_BYTES)
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    gc.collect()
    gc.freeze()  # modules and tables live as long as the process
    gc.set_threshold(GC_THRESHOLD)
    # With PYTHONUNBUFFERED every fragment of JSON would be a write of its own; the connection
    # flushes each line.
    with contextlib.suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(write_through=False)  # type: ignore[union-attr]
    while True:
        try:
            service = Service(settings)
            break
        except Exception as error:  # the command must not end
            demisto.updateModuleHealth(
                f"Generic Webhook failed and is started again: {type(error).__name__}"
            )
            time.sleep(5)
    service.run()


def main() -> None:
    """Run the command that XSOAR asks for."""
    command = demisto.command()
    settings = Settings.from_params(demisto.params())
    try:
        if command == "test-module":
            return_results(test_module(without_closing(settings)))
        elif command == "fetch-incidents":
            demisto.incidents(fetch_samples())
        elif command == "generic-webhook-reset":
            return_results(reset_command(demisto.args()))
        elif command == "generic-webhook-status":
            return_results(status_command())
        elif command == "get-modified-remote-data":
            return_results(modified_command())
        elif command == "get-remote-data":
            return_results(remote_data_command(demisto.args()))
        elif command == "get-mapping-fields":
            return_results(mapping_fields_command())
        elif command == "long-running-execution":
            long_running_execution(without_closing(settings))
        else:
            raise NotImplementedError(f"Generic Webhook has no command {command}.")
    except Exception as error:
        return_error(str(error))


if __name__ in ("__main__", "__builtin__", "builtins"):
    main()
