"""What XSOAR does with each call of the container, and the faults that can be set for it."""

import copy
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .screen import Screen, plain
from .store import Incident, StaleVersionError, Store, now

ERROR_MARKER = "[ERROR-fd5a7750-7182-4b38-90ba-091824478903]"
MAX_RECENT = 1000
LOG_LEVELS = ("info", "debug", "error")
Match = Callable[[Incident], bool] | str


class MarkedError(Exception):
    """The call is refused: its answer is the error marker and this text."""


class StrayLineError(Exception):
    """The container wrote a line that is not a message of the protocol."""


class RawLine(str):
    """An answer that is sent to the container unchanged."""


# ---- faults


@dataclass
class Faults:
    """What goes wrong; any thread may change it at any time.

    latency: seconds by call name.
    fail: how many of the next calls of that name are refused.
    outage: every createIncidents call is refused.
    reject: a call with such an incident is refused whole.
    drop: a pre-processing rule drops such incidents. Like reject, it takes a function of the
        incident, or a text to be found in its rawJSON or name (not of a to f alone, as random IDs
        are written).
    answer: rewrites createIncidents' answer; a str is sent as the line itself.
    wire: rewrites the bytes of createIncidents' answer and its line end, also into more lines than
        one.
    random_failure: (probability, seed) of refusing a createIncidents call.
    hang: while set, createIncidents does not answer.
    stopped: while set, nothing is answered: the server is down.
    stale: how many of the next setIntegrationContext calls meet a version clash.
    """

    latency: dict[str, float] = field(default_factory=dict)
    fail: dict[str, int] = field(default_factory=dict)
    outage: bool = False
    reject: Match | None = None
    drop: Match | None = None
    answer: Callable[[list[Incident]], Any] | None = None
    wire: Callable[[bytes], bytes] | None = None
    random_failure: tuple[float, int] | None = None
    hang: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)
    stale: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._random: random.Random | None = None
        self._seeded_with: tuple[float, int] | None = None

    def apply(self, name: str, exited: threading.Event) -> None:
        """Delay a call and raise MarkedError if it is to be refused.

        The delay ends when the container does.
        """
        delay = self.latency.get(name)
        if delay:
            exited.wait(delay)
        while self.stopped.is_set() and not exited.wait(0.01):
            pass
        if name == "createIncidents":
            while self.hang.is_set() and not exited.wait(0.01):
                pass
            if self.outage:
                raise MarkedError("createIncidents: the database does not answer (50)")
            if self.random_failure and self._roll(self.random_failure):
                raise MarkedError("createIncidents: failed at random (51)")
        if self.fail and self._count_down(name):
            raise MarkedError(f"{name}: failed on demand (52)")

    def clashes(self) -> bool:
        """Return whether this setIntegrationContext call is to meet a version clash."""
        with self._lock:
            self.stale, clash = max(self.stale - 1, 0), self.stale > 0
        return clash

    def _count_down(self, name: str) -> bool:
        with self._lock:
            left = self.fail.get(name, 0)
            if left > 0:
                self.fail[name] = left - 1
            return left > 0

    def _roll(self, chance: tuple[float, int]) -> bool:
        with self._lock:
            if self._random is None or self._seeded_with != chance:
                # The seed makes it repeatable.
                self._random, self._seeded_with = (
                    random.Random(chance[1]),
                    chance,
                )
            return self._random.random() < chance[0]


def matches(match: Match, incident: Incident) -> bool:
    """Return whether a fault is meant for an incident."""
    if callable(match):
        return bool(match(incident))
    return match in (incident.get("rawJSON") or "") or match in (incident.get("name") or "")


# ---- strictness: the server is written in Go and decodes into typed structures

FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "type": (str,),
    "occurred": (str,),
    "rawJSON": (str,),
    "details": (str,),
    "owner": (str,),
    "severity": (int, float),
    "labels": (list,),
    "customFields": (dict,),
}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def check_incident(incident: Any) -> None:
    """Raise MarkedError for an incident that Go would not decode.

    null is the zero value of any type, as in Go.
    """
    if not isinstance(incident, dict):
        raise MarkedError(
            f"json: cannot unmarshal {type(incident).__name__} into Go value of type incident (53)"
        )
    for name, types in FIELD_TYPES.items():
        value = incident.get(name)
        if value is not None and (not isinstance(value, types) or isinstance(value, bool)):
            raise MarkedError(
                f"json: cannot unmarshal {type(value).__name__} "
                f"into Go struct field incident.{name} (53)"
            )
    if incident.get("occurred") is not None and not is_rfc3339(incident["occurred"]):
        raise MarkedError("json: incident.occurred: cannot parse it as RFC 3339 (54)")
    for label in incident.get("labels") or ():
        if not isinstance(label, dict) or not all(
            isinstance(label.get(key, ""), str) for key in ("type", "value")
        ):
            raise MarkedError(
                "json: cannot unmarshal into Go struct field incident.labels: "
                "type and value are strings (53)"
            )


def is_rfc3339(text: str) -> bool:
    """Return whether Go's time.Time accepts the text."""
    if not RFC3339.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


class BadNumberError(ValueError):
    """A number that JSON does not have, or that does not fit a float64."""


def refuse_constant(text: str) -> Any:
    """Refuse NaN and the infinities, which Python writes and nobody else reads."""
    raise BadNumberError(f"json: invalid character in the command: {text} (55)")


def finite(text: str) -> float:
    """Return a float64, refusing what does not fit one."""
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise BadNumberError("json: a number does not fit a float64 (55)")
    return number


def whole(text: str) -> int:
    """Return an integer, refusing one too large for a float64."""
    if len(text) > 309:
        raise BadNumberError("json: a number does not fit a float64 (55)")
    return int(text)


STRICT = json.JSONDecoder(parse_constant=refuse_constant, parse_float=finite, parse_int=whole)
LENIENT = json.JSONDecoder(parse_int=float)
ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def decode(line: bytes) -> tuple[Any, str]:
    """Return a line's value and the reason why Go would refuse it, if it would.

    Raises StrayLineError if the line is not JSON at all.
    """
    try:
        text = line.decode("utf-8")
        try:
            value, reason = STRICT.decode(text), ""
        except BadNumberError as error:
            value, reason = LENIENT.decode(text), str(error)
    except (ValueError, RecursionError) as error:
        raise StrayLineError(str(error)) from error
    if b"\\ud" in line or b"\\uD" in line:
        value = without_surrogates(value)
    return value, reason


def without_surrogates(value: Any) -> Any:
    """Return the value with U+FFFD for each lone surrogate, as Go reads them."""
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


# ---- the calls


@dataclass
class Session:
    """One container as the server sees it."""

    command: str
    has_context: bool = True  # test-module has none
    results: list[Any] = field(default_factory=list)
    exception: str = ""
    asked: float = 0.0  # when the current call arrived, by the performance counter
    pong: threading.Event = field(default_factory=threading.Event)
    completed: threading.Event = field(default_factory=threading.Event)
    exited: threading.Event = field(default_factory=threading.Event)


class Server:
    """Answers the container's calls, one line each."""

    def __init__(self, store: Store, faults: Faults, screen: Screen) -> None:
        self.store = store
        self.faults = faults
        self.screen = screen

        # what was called and reported
        self.calls: Counter[str] = Counter()
        self.batches: list[int] = []
        self.logs: list[tuple[str, str]] = []
        self.health_history: list[tuple[float, str]] = []
        self.recent: dict[str, Incident] = {}  # the newest incidents, for the screen
        # Its kinds are log, health, call, created, changed and context.
        self.observe: Callable[[str, Any], None] = lambda kind, value: None

        # how calls are answered
        self._lock = threading.Lock()
        self._commands: dict[str, Callable[[dict[str, Any], Session], Any]] = {
            "addEntry": self._add_entry,
            "createIncidents": self._create_incidents,
            "getIntegrationContext": self._get_context,
            "setIntegrationContext": self._set_context,
            "updateModuleHealth": self._update_health,
        }
        self._questions: dict[str, Any] = {
            "demistoVersion": {"version": "6.14.0", "buildNumber": "1000000", "platform": "xsoar"},
            "demistoUrls": {
                "server": "https://127.0.0.1",
                "evidenceBoard": "",
                "investigation": "",
                "relatedIncidents": "",
            },
        }

    @property
    def health(self) -> str:
        """The instance's health as last reported; empty means fine."""
        return self.health_history[-1][1] if self.health_history else ""

    def set_health(self, text: str) -> None:
        """Note the instance's health; empty means fine."""
        self.health_history.append((time.time(), text))
        self.observe("health", text)

    def handle(self, line: bytes, session: Session) -> bytes | None:
        """Execute a line of the container and return the line that answers it, if it needs one."""
        session.asked = time.perf_counter()
        message, refusal = decode(line)
        if not isinstance(message, dict):
            raise StrayLineError("not a JSON object")
        kind, args = message.get("type"), message.get("args")
        args = args if isinstance(args, dict) else {}
        name = message.get("command") if kind in ("executeCommand", "log") else kind
        if not isinstance(name, str):
            raise StrayLineError("a message without a type")
        answered = self._note(kind, name, message, args, session)
        with self._lock:
            self.calls[name] += 1
        return self._answer(kind, name, args, session, refusal) if answered else None

    def _note(
        self, kind: Any, name: str, message: dict[str, Any], args: dict[str, Any], session: Session
    ) -> bool:
        """Handle the messages that need no answer, and return whether this one does."""
        if kind in ("executeCommand", "log") or kind in self._questions:
            return name != "heartbeat"
        if kind == "pong":
            session.pong.set()
        elif kind == "completed":
            session.completed.set()
        elif kind == "result":
            session.results += message.get("results") or []
        elif kind == "entryLog":
            self._log("print", [args.get("message", "")])
        elif kind == "exception":
            session.exception = "\n".join(
                map(str, args.get("exception") or ["an exception without a text"])
            )
            self._log("exception", [session.exception])
        else:
            raise StrayLineError(f"a message of the unknown type {name!r}")
        return False

    def _answer(
        self, kind: Any, name: str, args: dict[str, Any], session: Session, refusal: str
    ) -> bytes:
        calling = name == "createIncidents"
        if calling:
            self.observe("call", len(args.get("incidents") or ()))
        try:
            if refusal:
                raise MarkedError(refusal)
            self.faults.apply(name, session.exited)
            answer = self._do(kind, name, args, session)
        except MarkedError as error:
            return f"{ERROR_MARKER} {error}\n".encode("utf-8", "replace")
        finally:
            if calling:
                self.observe("call", 0)
        text = answer if isinstance(answer, RawLine) else ENCODE(answer)
        line = text.encode("utf-8", "replace") + b"\n"
        rewrite = self.faults.wire if name == "createIncidents" else None
        return rewrite(line) if rewrite else line

    def _do(self, kind: Any, name: str, args: dict[str, Any], session: Session) -> Any:
        if kind == "log":
            if name not in LOG_LEVELS:
                raise MarkedError(f"there is no log level {name} (56)")
            self._log(name, args.get("args") or [])
            return {}
        if kind in self._questions:
            return self._questions[name]
        command = self._commands.get(name)
        if command is None:
            raise MarkedError(f"Unsupported command {name} (57)")
        return command(args, session)

    def _log(self, level: str, words: list[Any]) -> None:
        text = " ".join(map(str, words))
        self.logs.append((level, text))
        self.observe("log", (level, text))
        if not self.screen.quiet and level != "debug":
            for line in text.splitlines():
                self.screen.show(
                    f"{level}: {plain(line)}", "dim" if level in ("print", "info") else "red"
                )

    def _add_entry(self, args: dict[str, Any], session: Session) -> Any:
        number, text = args.get("id"), args.get("entry")
        if not isinstance(number, str) or not isinstance(text, str):
            raise MarkedError("json: cannot unmarshal into Go struct field entry: a string (53)")
        self.write_entry(number, text)
        return {}

    def write_entry(self, number: str, text: str, **changes: Any) -> None:
        """Add an entry to an incident's War Room; ``changes`` are other fields of the incident.

        Raises MarkedError where there is no such incident.
        """
        entry = {"time": now(), "text": text}
        is_there = number.isdecimal() and self.store.change(
            int(number),
            lambda one: {**one, **changes, "entries": [*one.get("entries", ()), entry]},
        )
        if not is_there:
            raise MarkedError(f"addEntry: there is no incident {number[:100]} (59)")
        self.observe("changed", number)

    def _create_incidents(self, args: dict[str, Any], session: Session) -> Any:
        incidents = args.get("incidents") or []
        if not isinstance(incidents, list):
            raise MarkedError("json: cannot unmarshal into Go value of type []incident (53)")
        self.batches.append(len(incidents))
        for incident in incidents:
            check_incident(incident)
        reject, drop, rewrite = self.faults.reject, self.faults.drop, self.faults.answer
        if reject is not None and any(matches(reject, incident) for incident in incidents):
            raise MarkedError("createIncidents: an incident is not accepted (58)")
        if drop is not None:
            incidents = [incident for incident in incidents if not matches(drop, incident)]
        created = self.store.create(incidents)
        self.observe("created", len(created))
        if not self.screen.quiet:
            with self._lock:
                self.recent.update((incident["id"], incident) for incident in created)
                while len(self.recent) > MAX_RECENT:
                    self.recent.pop(next(iter(self.recent)))
        if rewrite is None:
            return created
        answer = rewrite(copy.deepcopy(created))
        return RawLine(answer.replace("\n", " ")) if isinstance(answer, str) else answer

    def _get_context(self, args: dict[str, Any], session: Session) -> Any:
        self._require_context(session)
        context, version = self.store.context()
        return {
            "context": context,
            "version": {"version": version, "sequenceNumber": version, "primaryTerm": 1},
        }

    def _set_context(self, args: dict[str, Any], session: Session) -> Any:
        self._require_context(session)
        value, version = args.get("value"), args.get("version")
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise MarkedError("json: cannot unmarshal into Go value of type map[string]string (53)")
        number = version.get("version") if isinstance(version, dict) else version
        if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
            raise MarkedError("json: cannot unmarshal into Go struct field version (53)")
        try:
            if self.faults.clashes():
                raise StaleVersionError
            self.store.set_context(value, None if number in (None, -1) else number)
            self.observe("context", value)
        except StaleVersionError:
            raise MarkedError(
                "integration context: the version is stale, "
                "somebody else saved in the meantime (59)"
            ) from None
        return {}

    @staticmethod
    def _require_context(session: Session) -> None:
        if not session.has_context:
            raise MarkedError(f"there is no integration context in {session.command} (60)")

    def _update_health(self, args: dict[str, Any], session: Session) -> Any:
        err = args.get("err")
        text = err if isinstance(err, str) else "" if err is None else json.dumps(err)
        changed = text != self.health
        self.set_health(text)
        if changed and not self.screen.quiet:
            self.screen.health(text)
        return {}
