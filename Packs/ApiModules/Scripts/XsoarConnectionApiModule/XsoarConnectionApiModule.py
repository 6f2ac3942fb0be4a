"""The connection to Cortex XSOAR: one line of JSON for each call, one line as its answer.

What it is for: greenlets call the platform one after the other, and the event loop never blocks on
it; a connection that is out of step is noticed before anything is believed; the log and the health
go over it as well; of createIncidents' answer it is found out which incident is whose. It knows
nothing of requests, of what incidents hold, or of an instance's parameters.

The platform's demisto object writes a line to sys.stdout and reads one from sys.stdin. Both are
replaced by files of ours, so that the greenlet that makes a call waits in the event loop and all
others go on; Turns keeps the calls in order. Where the platform turns out to read in another
way, calls are made on a native thread instead.

Each line we send has one line as its answer, so whatever is waiting before a call is sent answers
nothing of ours: from then on every answer would be taken for that of the next call. The connection
is then out of step: nothing more is sent or believed, and the process ends, so that the platform
starts it again.
"""

import contextlib
import fcntl
import itertools
import json
import os
import re
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import gevent
import gevent.event
from gevent.lock import Semaphore

MIN_MASKED_CHARACTERS = 4  # a shorter secret is part of too many words
PIPE_BYTES = 1024 * 1024  # asked for, so that a batch or its answer fits
READ_LINE_BYTES = 120 * 1024  # at first: for more, malloc takes fresh memory of the system
HEARTBEAT_SECONDS = 30
HEARTBEAT_LOCK_SECONDS = 60  # a call longer than this kills the platform's heartbeat thread
REST_SECONDS = 0.1  # for what follows an answer that is not JSON: it left XSOAR in the same piece
MAX_LINES_OF_A_KIND = 30  # of the log, between two calls: strangers leave room for the rest


class XsoarRefused(Exception):
    """XSOAR answered a call with an error: it did nothing of it."""


class UnreadableAnswer(Exception):
    """XSOAR's answer could not be read: what the call asked for may or may not have happened."""


class ForeignAnswer(UnreadableAnswer):
    """XSOAR's answer belongs to another call: the connection is out of step."""


class Thread(Protocol):
    """A native thread that runs functions, one after the other."""

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return what a function returns."""


# -------------------------------------------------------------------------------------------------
# Which incident is whose
# -------------------------------------------------------------------------------------------------

MARK = re.compile(r'"([0-9a-f]{12}/[0-9]{1,5})"')
OUR_OBJECT = re.compile(r"(?:request_)*webhook")
MAX_MARKED_CHARACTERS = 32 * 1024  # of a rawJSON that is parsed to see which mark is ours


def mark_of(raw: Any, known: dict[str, int]) -> str | None:
    """Return the mark that an incident's rawJSON bears, None without one.

    No sender can have guessed a known mark. Any other one counts only where ours stand, at the top
    level of a small text: a sender may have posted an object ``webhook`` of its own.
    """
    marks = MARK.findall(raw) if isinstance(raw, str) else ()
    mark = next((mark for mark in marks if mark in known), None)
    if mark is not None or not marks or len(raw) > MAX_MARKED_CHARACTERS:
        return mark
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    ours = fields.items() if isinstance(fields, dict) else ()
    objects = (
        value for name, value in ours if OUR_OBJECT.fullmatch(name) and isinstance(value, dict)
    )
    return next((mark for value in objects if (mark := str(value.get("delivery"))) in marks), None)


class MarkedIncident(Protocol):
    """An incident to be created: its fields, and the mark in its rawJSON that no other one has."""

    fields: dict[str, Any]

    @property
    def mark(self) -> str: ...


class Created(NamedTuple):
    """What createIncidents answered."""

    found: dict[int, dict[str, Any]]  # XSOAR's objects, by the places of what was sent
    in_doubt: bool  # any of those that are missing may have been created; else rules dropped them


def match_incidents(incidents: Sequence[MarkedIncident], answer: Any) -> Created:
    """Return what became of incidents, by createIncidents' answer.

    A pre-processing rule may drop one of a batch, so that a place in the answer proves nothing: the
    marks count. Only where no object bears one, as many objects as incidents are in order. Where
    that leaves a doubt, nobody gets somebody else's incident. Raises UnreadableAnswer for an answer
    of no known shape, ForeignAnswer for one with the mark of an incident that was not sent.
    """
    objects = created_objects(answer)
    found: dict[int, dict[str, Any]] = {}
    places: dict[str, int] = {}
    for place, created in enumerate(objects):
        raw = created.get("rawJSON")
        if place < len(incidents) and raw == incidents[place].fields["rawJSON"]:  # it has its mark
            found.setdefault(place, created)
            continue
        places = places or {incident.mark: at for at, incident in enumerate(incidents)}
        mark = mark_of(raw, places)
        if mark is not None and mark not in places:
            raise ForeignAnswer("an answer belonged to another call")
        if mark is not None:
            found.setdefault(places[mark], created)
    if not found and len(objects) == len(incidents):
        found = in_order(incidents, objects)
    # Any of those that are missing may be among the rest.
    return Created(found, len(found) < len(objects))


def created_objects(answer: Any) -> list[dict[str, Any]]:
    """Return the objects of an answer; raises UnreadableAnswer for one of no known shape."""
    if isinstance(answer, dict) and "id" in answer:
        answer = [answer]
    if answer is None:  # how Go writes an empty list
        answer = []
    if not isinstance(answer, list):
        raise UnreadableAnswer(
            "createIncidents answered with something that is not a list of incidents"
        )
    if not all(isinstance(created, dict) and created for created in answer):
        raise UnreadableAnswer("createIncidents answered with something that is not an incident")
    return answer


def in_order(
    incidents: Sequence[MarkedIncident], objects: list[dict[str, Any]]
) -> dict[int, dict[str, Any]]:
    """Return objects without marks by the places of what was sent; nothing where in doubt.

    A lone object is the lone incident's, unless both its name and its rawJSON are others: raises
    ForeignAnswer. Of several the names count where all of them are there once, else their order,
    unless an ID is there twice or a name is that of another incident.
    """
    if len(incidents) == 1:
        own, created = incidents[0].fields, objects[0]
        if created.get("rawJSON") and created.get("name") != own["name"]:
            raise ForeignAnswer("an answer belonged to another call")
        return {0: created}
    if len({str(created.get("id")) for created in objects}) < len(objects):
        return {}
    names = {incident.fields["name"]: place for place, incident in enumerate(incidents)}
    given = [str(created.get("name")) for created in objects]
    if len(names) == len(incidents) and set(given) == names.keys():
        return {names[created["name"]]: created for created in objects}
    if any(
        name in names and name != incident.fields["name"]
        for name, incident in zip(given, incidents)
    ):
        return {}
    return {} if any(created.get("rawJSON") for created in objects) else dict(enumerate(objects))


# -------------------------------------------------------------------------------------------------
# The two ends, and the connection
# -------------------------------------------------------------------------------------------------


class PipeInput:
    """The incoming end as sys.stdin: who reads a line waits in the event loop."""

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
            part = os.read(0, READ_LINE_BYTES if len(parts) == 1 else PIPE_BYTES)
            if not part:
                break
            parts.append(part)
        line, newline, self._buffer = b"".join(parts).partition(b"\n")
        self.lines += 1
        # as Python reads stdin in a container's locale
        return (line + newline).decode(errors="surrogateescape")

    def take_waiting(self) -> bytes:
        """Return what has arrived without being asked for, and forget it."""
        poll = select.poll()
        poll.register(0, select.POLLIN)
        waiting, self._buffer = self._buffer, b""
        while any(event & select.POLLIN for _, event in poll.poll(0)) and (
            part := os.read(0, READ_LINE_BYTES)
        ):
            waiting += part
        return waiting

    def wait(self, seconds: float) -> bool:
        """Return whether anything arrives within that time."""
        with gevent.Timeout(seconds, False):
            if not self._buffer:
                self._hub.wait(self._readable)
            return True
        return False


class PipeOutput:
    """The outgoing end as sys.stdout: one write for each line, awaited in the event loop.

    The platform's heartbeat writes from a native thread, under the lock that all calls take.
    """

    def __init__(self) -> None:
        self._hub = gevent.get_hub()
        self._event_loop_thread = threading.get_ident()
        self._writable = self._hub.loop.io(1, 2)
        self._parts: list[str] = []
        self.write = self._parts.append  # json.dump makes some twenty small ones of an incident
        self.is_sending = False  # a line has left in part

    def fileno(self) -> int:
        """Return the descriptor."""
        return 1

    def flush(self) -> None:
        """Send what was written."""
        data = memoryview("".join(self._parts).encode())
        self._parts.clear()
        self.is_sending = True
        while data:
            try:
                data = data[os.write(1, data) :]
            except BlockingIOError:
                if threading.get_ident() == self._event_loop_thread:
                    self._hub.wait(self._writable)
                else:
                    poll = select.poll()
                    poll.register(1, select.POLLOUT)
                    poll.poll()
        self.is_sending = False


class Turns:
    """A lock that greenlets get in the order in which they asked for it.

    Those of gevent do not wait for a greenlet that was woken up: who frees and takes one without a
    switch in between, as the writer does under load, would keep all others waiting.
    """

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: deque[gevent.event.Event] = deque()

    def __enter__(self) -> None:
        if not self._is_taken:
            self._is_taken = True
            return
        turn = gevent.event.Event()
        self._waiting.append(turn)
        try:
            turn.wait()
        except BaseException:  # this greenlet is to do something else
            self.__exit__() if turn.is_set() else self._waiting.remove(turn)
            raise

    def __exit__(self, *_: Any) -> None:
        if self._waiting:  # the lock stays taken: it goes to the next one
            self._waiting.popleft().set()
        else:
            self._is_taken = False


class XsoarConnection:
    """The connection to XSOAR: greenlets await its answers, and the event loop never blocks on it.

    It also carries what is reported in addition to incidents: log lines (joined, one call a second)
    and the instance's health.

    platform: the platform's demisto object. make_thread: makes what runs functions on a native
    thread. clean: makes a text one that the platform accepts. secrets: are in no log line.
    """

    def __init__(
        self,
        platform: Any,
        make_thread: Callable[[], Thread],
        clean: Callable[[str], str],
        secrets: tuple[bytes, ...] = (),
    ) -> None:
        self._platform = platform
        self._make_thread = make_thread
        self._clean = clean
        # the connection
        self._turn = Turns()
        # Makes the calls until the event loop does.
        self._thread: Thread | None = make_thread()
        self._input: PipeInput | None = None
        self._replaced: Any = None  # sys.stdin and sys.stdout, until the first call is answered
        self.out_of_step = ""  # why nothing that arrives can be believed any more
        self._last_heartbeat: float | None = None  # None while the platform's own thread lives
        # the log and the health
        # The longest first: one secret may be part of another.
        texts = sorted((secret.decode() for secret in secrets), key=len, reverse=True)
        self._secrets = [text for text in texts if len(text) >= MIN_MASKED_CHARACTERS]
        # by kind, of a flood the newest
        self._lines: dict[str, deque[tuple[Callable[[str], Any], str]]] = {}
        self._problems: dict[str, str] = {}
        self._reported_health: str | None = None
        self._flushing = Semaphore()  # the last flush waits for one that is in progress

    def take_over(self) -> None:
        """Let the event loop make calls; the first one shows whether they go through our files."""
        for descriptor in (0, 1):
            with contextlib.suppress(OSError):  # what is no pipe has another size, or none
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._replaced = (sys.stdin, sys.stdout)
        self._input, self._thread = PipeInput(), None
        os.set_blocking(1, False)
        sys.stdin, sys.stdout = self._input, PipeOutput()

    def _verify_takeover(self, pipe: PipeInput) -> None:
        """Step back where the first call's answer did not come through our file."""
        replaced, self._replaced = self._replaced, None
        if pipe.lines or replaced is None:
            return
        sys.stdin, sys.stdout = replaced
        os.set_blocking(1, True)
        self._input, self._thread = None, self._make_thread()
        self.report(
            "Connection",
            "This platform reads XSOAR's answers in an unknown way: "
            "the instance works, with less throughput.",
        )

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function that talks to XSOAR in its turn and return what it returns.

        Raises XsoarRefused for an error, UnreadableAnswer for an answer that is none.
        """
        with self._turn:
            return self._exchange(function, args)

    def _exchange(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        self._look_before_call()
        started = time.monotonic()
        try:
            return self._run(function, args)
        # These are kinds of ValueError and RuntimeError.
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as failure:
            unreadable = f"{type(failure).__name__}: {failure}"
        # RuntimeError: the platform's lock was taken, nothing was sent.
        except (ValueError, RuntimeError) as failure:
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
                self._verify_takeover(self._input)

    def _look_before_call(self) -> None:
        """Raise XsoarRefused where a line is waiting already: then nothing is sent."""
        if self._input is not None and not self.out_of_step:
            self._answer_pings(self._input, "a line arrived that answers no call")
        if self.out_of_step:
            raise XsoarRefused(f"the connection to XSOAR is out of step: {self.out_of_step}")
        if self._input is not None and self.is_broken():
            raise XsoarRefused("XSOAR closed the connection")

    def _await_surplus(self, seconds: float) -> bool:
        """Return whether a line arrives that nobody asked for: the one before was not ours."""
        pipe, until = self._input, time.monotonic() + seconds
        while pipe is not None and not self.out_of_step and pipe.wait(until - time.monotonic()):
            if not self._answer_pings(pipe, "a call was answered by more than one line"):
                break  # XSOAR's end is closed
        return bool(self.out_of_step)

    def _answer_pings(self, pipe: PipeInput, why: str) -> bool:
        """Answer pings that are waiting; any other line shows that the connection is out of step.

        Return whether anything was waiting.
        """
        waiting = pipe.take_waiting()
        for line in waiting.splitlines():
            if line.strip() != b"ping":
                self._mark_desynchronized(why)
                break
            sys.stdout.write('{"type": "pong"}\n')
            sys.stdout.flush()
        return bool(waiting)

    def _mark_desynchronized(self, why: str) -> None:
        self.out_of_step = why
        self.report(
            "Connection",
            f"The connection to XSOAR is out of step, and the instance starts again: {why}.",
        )

    def create(self, incidents: Sequence[MarkedIncident]) -> Created:
        """Create incidents; raises XsoarRefused or UnreadableAnswer."""
        with self._turn:
            started = time.monotonic()
            fields = [incident.fields for incident in incidents]
            answer = self._exchange(self._platform.createIncidents, (fields,))
            try:
                return match_incidents(incidents, answer)
            except ForeignAnswer as foreign:
                # A rule may have changed a lone incident, or linked it to an older one.
                # If this answers another call instead, the answer to ours is about to arrive.
                seconds = max(REST_SECONDS, time.monotonic() - started)
                objects = created_objects(answer)
                if len(incidents) > 1 or len(objects) > 1 or self._await_surplus(seconds):
                    self._mark_desynchronized(str(foreign))
                    raise
                return Created({0: objects[0]}, True)

    # ---- log and health

    def info(self, text: str, kind: str = "") -> None:
        """Log a line without waiting for it; those of one kind leave the others their room."""
        self._lines.setdefault(kind, deque(maxlen=MAX_LINES_OF_A_KIND)).append(
            (self._platform.info, text)
        )

    def error(self, text: str, kind: str = "") -> None:
        """Log an error without waiting for it."""
        self._lines.setdefault(kind, deque(maxlen=MAX_LINES_OF_A_KIND)).append(
            (self._platform.error, text)
        )

    def report(self, subject: str, problem: str) -> None:
        """Show a problem in the health until its subject is reported with an empty text."""
        if problem:
            if self._problems.get(subject) != problem:
                self.error(problem, subject)
            self._problems[subject] = problem
        elif self._problems.pop(subject, None):
            self.info(f"{subject}: recovered", subject)

    def flush(self) -> None:
        """Send the waiting log lines, one call a level, and the health where it changed."""
        with self._flushing:
            kinds, self._lines = self._lines, {}
            lines = list(itertools.chain.from_iterable(kinds.values()))
            for log in dict.fromkeys(log for log, _ in lines):
                joined = "\n".join(text for level, text in lines if level == log)
                with contextlib.suppress(XsoarRefused, UnreadableAnswer):
                    self.call(log, self._safe(joined))
            health = self._safe(" ".join(self._problems.values()))
            if health != self._reported_health:
                with contextlib.suppress(XsoarRefused, UnreadableAnswer):
                    self.call(self._platform.updateModuleHealth, health)
                    self._reported_health = health

    def report_desynchronized(self) -> None:
        """Send the health once more, without waiting: its answer could not be told from others."""
        health = self._safe(" ".join(self._problems.values()))
        self.send_unanswered("updateModuleHealth", {"err": health})

    def send_unanswered(self, command: str, args: dict[str, Any]) -> None:
        """Send a command whose answer nobody awaits: at the end, when calls do not return."""
        # In the middle of another line it would only garble both.
        if getattr(sys.stdout, "is_sending", False):
            return
        with contextlib.suppress(Exception), gevent.Timeout(1, False):
            sys.stdout.write(
                json.dumps({"type": "executeCommand", "command": command, "args": args}) + "\n"
            )
            sys.stdout.flush()

    def beat(self, now: float) -> None:
        """Send the heartbeat where a long call ended the platform's; ``now`` is monotonic."""
        if self._last_heartbeat is not None and now - self._last_heartbeat >= HEARTBEAT_SECONDS:
            self._last_heartbeat = now
            with contextlib.suppress(XsoarRefused, UnreadableAnswer):
                self.call(self._platform.heartbeat, "the webhook is alive")

    def is_broken(self) -> bool:
        """Return whether XSOAR's end is closed: nothing else would notice while it is idle."""
        poll = select.poll()
        with contextlib.suppress(OSError, ValueError, AttributeError):
            for end in (sys.stdin, sys.stdout):
                poll.register(end.fileno(), 0)  # errors and hang-ups are always reported
            return bool(poll.poll(0))
        return False

    def _safe(self, text: str) -> str:
        text = self._clean(text)
        for secret in self._secrets:
            text = text.replace(secret, "<secret>")
        return text
