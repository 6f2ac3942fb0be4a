"""Print what each step of a request takes: `python -m Tests.benchmark.steps`.

Each step runs alone, in a loop on one core; its figure is the best of several rounds, in
microseconds of processor time, so that other work on the machine hardly counts. Body, headers and
parameters are those of the benchmark.
"""

import argparse
import io
import itertools
import json
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from Tests.sandbox.descriptor import INTEGRATION, ROOT, load

from .load import HEADERS, PASSWORD, USER, alert

ROUNDS, TURNS = 15, 640
BATCH = 32  # incidents in a call
NOW = "2026-01-01T00:00:00.000000Z"
PARAMS = {"credentials": f"{USER}:{PASSWORD}", "store_samples": True}
STAND_INS = [str(ROOT / "Tests" / name) for name in ("demistomock", "CommonServerPython")]
MODULE_NUMBERS = itertools.count()

# ---- payloads

NATIVE_BODY = alert()
VENDOR_PAYLOAD = {  # of a sender that is not known
    "alert": json.loads(NATIVE_BODY)["raw_json"],
    "severity": "high",
    "title": "Disk full",
    "time": NOW,
}
KNOWN_PAYLOAD = {  # of Prometheus Alertmanager
    "receiver": "soc",
    "status": "firing",
    "groupLabels": {},
    "alerts": [{"status": "firing", "labels": {"alertname": "DiskFull"}, "startsAt": NOW}],
    "version": "4",
}

Run = Callable[[], Any]


class Version:
    """A version of the integration, with what its steps need.

    Each thing is made when a step first needs it, so that an older version runs the steps for which
    it has the functions.
    """

    def __init__(self, file: Path) -> None:
        self.file = file.resolve()
        described = self.file if self.file.with_suffix(".yml").exists() else INTEGRATION
        params = load(described).params(PARAMS)
        self._params = params
        self.module: Any = module_of(load(self.file).code)
        self.settings = self.module.Settings.from_params(params)

    def read(self, body: bytes) -> Any:
        """Return a body's items."""
        return self.module.read_payload(body, "application/json", "", {}, False)

    # ---- the request's head

    @cached_property
    def head_bytes(self) -> bytes:
        """The head of the benchmark's requests."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        length = f"Content-Length: {len(NATIVE_BODY)}\r\n\r\n"
        return f"POST / HTTP/1.1\r\nHost: xsoar.example\r\n{lines}{length}".encode()

    def parse_head(self) -> Any:
        """Return the head, parsed."""
        self.module.check_head_limits(self.head_bytes)
        return self.module.parse_head(self.head_bytes[:-2].decode("latin-1"))

    @cached_property
    def settings_of_many(self) -> Any:
        """The settings of an instance with a hundred more credentials."""
        lines = "\n".join(
            f"_hmac:X-Signature-{n} secret-number-{n}" if n % 2 else f"user{n} password-number-{n}"
            for n in range(100)
        )
        settings = self.module.Settings.from_params({**self._params, "more_credentials": lines})
        assert len(settings.more_credentials) == 100
        return settings

    def understand_head(self, settings: Any = None) -> Any:
        """Return what is kept of the head, whose sender is authenticated."""
        module, settings, head = self.module, settings or self.settings, self.parse_head()
        module.asks_by_head(head.headers, head.query)
        settings.credentials.verify_head(head.path, head.headers, head.query, head.repeated)
        context = module.describe_request(
            head.headers,
            head.query,
            settings.hidden,
            source_address="127.0.0.1",
            recognizer=settings.recognizer,
        )
        fields = module.shared_fields(context, settings)
        text = module.to_json(fields)[1:-1]
        context.shared = module.Shared(fields, text, text)
        return context

    @cached_property
    def context(self) -> Any:
        """What is kept of the head."""
        return self.understand_head()

    # ---- incidents

    @cached_property
    def native_items(self) -> Any:
        """The items of a body in the native format."""
        return self.read(NATIVE_BODY)

    @cached_property
    def vendor_items(self) -> Any:
        """The items of a vendor's body."""
        return self.read(json.dumps(VENDOR_PAYLOAD).encode())

    def make_events(self, items: Any) -> Any:
        """Return the events of items."""
        return self.module.EventMaker(self.context, self.settings, NOW, "0" * 12).make(items)

    @cached_property
    def batch(self) -> list[Any]:
        """The events of a call to XSOAR, each of a request of its own."""
        module = self.module
        deliveries = []
        for _ in range(BATCH):
            name = module.new_delivery_id()
            maker = module.EventMaker(self.context, self.settings, NOW, name)
            events = maker.make(self.native_items)
            deliveries.append(module.Delivery(name, None, events))
        return [delivery.events[0] for delivery in deliveries]

    @cached_property
    def created(self) -> list[dict[str, Any]]:
        """What XSOAR answers to that call."""
        return [
            json.loads(json.dumps({**event.fields, "id": str(number), "created": NOW}))
            for number, event in enumerate(self.batch)
        ]

    # ---- senders

    @cached_property
    def recognizer(self) -> Any:
        """The table of known senders."""
        return self.module.known_senders()

    def recognize(self, payload: dict[str, Any]) -> Any:
        """Return the rows of the table that describe a payload."""
        return self.recognizer.resolve(payload, self.context.headers, self.context.rows)


def module_of(code: str) -> ModuleType:
    """Run a script with API modules in it as a module of its own, on the platform's stand-ins."""
    sys.path[:0] = [folder for folder in STAND_INS if folder not in sys.path]
    module = ModuleType(f"integration_{next(MODULE_NUMBERS)}")
    sys.modules[module.__name__] = module  # where its dataclasses look for themselves
    exec(compile(code, module.__name__, "exec"), module.__dict__)
    return module


# ---- the steps: each is prepared for a version, and what is returned is measured


def understanding_a_head_among_many(version: Version) -> Run:
    settings = version.settings_of_many
    return lambda: version.understand_head(settings)


def finding_a_known_head(version: Version) -> Run:
    heads, data = version.module.KnownHeads(), version.head_bytes
    heads.add(heads.find(data)[1], version.parse_head())
    assert heads.find(data)[0] is not None
    return lambda: heads.find(data)


def looking_for_a_handshake(version: Version) -> Run:
    asks_by_body, values = version.module.asks_by_body, version.native_items.values
    assert not asks_by_body(values, NATIVE_BODY)
    return lambda: asks_by_body(values, NATIVE_BODY)


def making_a_native_incident(version: Version) -> Run:
    items = version.native_items
    return lambda: version.make_events(items)


def making_a_vendors_incident(version: Version) -> Run:
    items = version.vendor_items
    return lambda: version.make_events(items)


def encoding_for_xsoar(version: Version) -> Run:
    fields = version.batch[0].fields
    return lambda: json.dump(fields, io.StringIO())


def decoding_xsoars_answer(version: Version) -> Run:
    line = json.dumps(version.created[:1])
    return lambda: json.loads(line)


def matching_the_answer(version: Version) -> Run:
    match_incidents, batch = version.module.match_incidents, version.batch
    found = match_incidents(batch, version.created).found
    assert [found[place] for place in range(len(batch))] == version.created
    return lambda: match_incidents(batch, version.created)


def encoding_the_senders_answer(version: Version) -> Run:
    encode_answer, created = version.module.encode_answer, version.created[:1]
    return lambda: encode_answer(created)


def recognizing_a_known_sender(version: Version) -> Run:
    assert version.recognize(KNOWN_PAYLOAD)
    return lambda: version.recognize(KNOWN_PAYLOAD)


def recognizing_no_sender(version: Version) -> Run:
    assert not version.recognize(VENDOR_PAYLOAD)
    return lambda: version.recognize(VENDOR_PAYLOAD)


def guessing_fields(version: Version) -> Run:
    guess_fields, payload = version.module.guess_fields, VENDOR_PAYLOAD
    assert all(guess_fields(payload))
    return lambda: guess_fields(payload)


def guessing_events(version: Version) -> Run:
    guess_events, payload = version.module.guess_events, VENDOR_PAYLOAD
    return lambda: guess_events(payload)


class Step(NamedTuple):
    """A row: its name, what prepares it, and how many microseconds it may take, if limited."""

    name: str
    prepare: Callable[[Version], Run]
    budget: float | None = None


STEPS = (  # in the order of docs/performance.md
    Step("understanding a head that is not known yet", lambda version: version.understand_head),
    Step("the same with 100 lines of More credentials", understanding_a_head_among_many, 70),
    Step("finding a known one", finding_a_known_head),
    Step("looking for a handshake", looking_for_a_handshake),
    Step("parsing the body", lambda version: lambda: version.read(NATIVE_BODY)),
    Step("making the incident from the native format", making_a_native_incident),
    Step("making the incident from a vendor's payload", making_a_vendors_incident),
    Step("the platform's JSON encoding of an incident", encoding_for_xsoar),
    Step("the platform's JSON decoding of the answer", decoding_xsoars_answer),
    Step(f"matching the answer to a call of {BATCH}", matching_the_answer),
    Step("the sender's answer", encoding_the_senders_answer),
    Step("recognizing a known sender", recognizing_a_known_sender, 3),
    Step("finding that a sender is not known", recognizing_no_sender),
    Step("guessing an unknown sender's name, severity and time", guessing_fields, 15),
    Step("guessing where an unknown sender's events are", guessing_events),
)


# ---- measuring and printing


class Figure(NamedTuple):
    """The microseconds of a step, or the name that the version lacks for it."""

    microseconds: float
    missing: str = ""

    def __str__(self) -> str:
        return f"does not exist ({self.missing})" if self.missing else f"{self.microseconds:.1f} µs"


def measure(step: Step, version: Version, rounds: int = ROUNDS, turns: int = TURNS) -> Figure:
    """Return what a step takes: the best of the rounds, each of so many turns.

    An older version may lack what a step uses; in the version of this tree that is an error.
    """
    try:
        run = step.prepare(version)
        run()
    except AttributeError as error:
        if version.file == INTEGRATION:
            raise
        return Figure(0.0, str(error.name))
    return Figure(min(seconds(run, turns) for _ in range(rounds)) / turns * 1e6)


def seconds(run: Run, turns: int) -> float:
    """Return the processor time that so many turns take."""
    started = time.thread_time()
    for _ in range(turns):
        run()
    return time.thread_time() - started


def line(step: Step, figures: list[Figure]) -> str:
    """Return a step's line: its figure in each version, and the last one's against the budget."""
    texts = "  ".join(
        f"{figure!s:<32}" if len(figures) > 1 else f"{figure!s:>10}" for figure in figures
    )
    if step.budget is None or figures[-1].missing:
        return f"{texts}  {step.name}"
    met = "met" if figures[-1].microseconds <= step.budget else "exceeded"
    return f"{texts}  {step.name} (budget {step.budget:g} µs: {met})"


def main() -> None:
    """Measure the steps of each version and print them line by line."""
    parser = argparse.ArgumentParser(
        prog="python -m Tests.benchmark.steps",
        description="Prints how many microseconds each step of a request takes.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few turns: that every step runs, not how fast"
    )
    parser.add_argument(
        "--compare",
        nargs="+",
        type=Path,
        default=[INTEGRATION],
        metavar="FILE",
        help="versions of the integration, next to each other; their API modules are this tree's",
    )
    arguments = parser.parse_args()
    counts = (1, 5) if arguments.quick else (ROUNDS, TURNS)
    if len(arguments.compare) > 1:
        print("  ".join(f"{str(file)[-32:]:<32}" for file in arguments.compare))
    versions = [Version(file) for file in arguments.compare]
    for step in STEPS:
        print(line(step, [measure(step, version, *counts) for version in versions]), flush=True)


if __name__ == "__main__":
    main()
