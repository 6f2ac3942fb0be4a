"""Print what each step of a request takes, alone in a loop on one core: `python -m Tests.benchmark.steps`.

In microseconds, the best of several rounds. The body, the headers and the parameters are those of the benchmark.
"""

import importlib.util
import io
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from Tests.sandbox.descriptor import API_MODULES, INTEGRATION, ROOT

from .load import HEADERS, PASSWORD, USER, alert

ROUNDS, TURNS = 15, 640
BATCH = 32  # incidents in a call
NOW = "2026-01-01T00:00:00.000000Z"


def integration() -> Any:
    """Return the integration as a module, on the stand-ins of what the platform brings."""
    sys.path[:0] = [str(ROOT / "Tests" / name) for name in ("demistomock", "CommonServerPython")]
    spec = importlib.util.spec_from_file_location("GenericWebhook", INTEGRATION)
    assert spec and spec.loader
    module = sys.modules["GenericWebhook"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def steps() -> dict[str, Callable[[], Any]]:
    """Return the rows of docs/performance.md's table of steps, in its order."""
    m, body = integration(), alert()
    settings = m.Settings.from_params(
        {"credentials": {"identifier": USER, "password": PASSWORD}, "store_samples": True}
    )
    lines = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    data = f"POST / HTTP/1.1\r\nHost: xsoar.example\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode()
    heads, key = m.KnownHeads(), m.KnownHeads.key(data)[0]

    def understand() -> Any:
        m.check_head_limits(data)
        head = m.parse_head(data[:-2].decode("latin-1"))
        m.asks_by_head(head.headers, head.query)
        settings.authenticator.check(head.headers, head.query, head.repeated)
        context = m.describe_request(
            head.headers, head.query, settings.hidden, source_address="127.0.0.1"
        )
        return head, m.KnownContext.of(context, settings)

    head, known = understand()
    heads.add(key, head)
    request = known.with_length(head.headers)
    vendors = json.dumps(
        {"alert": json.loads(body)["raw_json"], "severity": "high", "title": "Disk full"}
    ).encode()
    items, others = (
        m.read_payload(text, "application/json", "", {}, False) for text in (body, vendors)
    )
    [incident] = m.make_incidents(items, request, settings, NOW)
    created = [{**incident.fields, "id": str(number), "created": NOW} for number in range(BATCH)]
    line = json.dumps(created[:1])
    return {
        "understanding a head that is not known yet": understand,
        "finding a known one": lambda: (
            heads.get(m.KnownHeads.key(data)[0]),
            known.with_length(head.headers),
        ),
        "looking for a handshake": lambda: m.asks_by_body(body),
        "parsing the body": lambda: m.read_payload(body, "application/json", "", {}, False),
        "making the incident in our own format": lambda: m.make_incidents(
            items, request, settings, NOW
        ),
        "making the incident of a vendor's payload": lambda: m.make_incidents(
            others, request, settings, NOW
        ),
        "the platform's JSON of an incident": lambda: json.dump(incident.fields, io.StringIO()),
        "the platform's JSON of the answer": lambda: json.loads(line),
        f"matching the answer to a call of {BATCH}": lambda: m.match_created(
            [incident.fields] * BATCH, created
        ),
        "the sender's answer": lambda: m.encode_answer(created[:1]),
    }


def sender_steps() -> dict[str, Callable[[], Any]]:
    """Return the steps that find out what a vendor's event is called, with the table of known senders."""
    sys.path[:0] = [str(API_MODULES / name) for name in ("WebhookMappingApiModule", "KnownSendersApiModule")]
    m, table = (importlib.import_module(name) for name in ("WebhookMappingApiModule", "KnownSendersApiModule"))
    recognizer = m.compile_senders(table.KNOWN_SENDERS)
    headers = {name.lower(): value for name, value in HEADERS.items()}
    rows = recognizer.rows_of(headers)
    unknown = {"alert": json.loads(alert())["raw_json"], "severity": "high", "title": "Disk full", "time": NOW}
    alerts = [{"status": "firing", "labels": {"alertname": "DiskFull"}, "startsAt": NOW}]
    known = {"receiver": "soc", "status": "firing", "groupLabels": {}, "alerts": alerts, "version": "4"}
    assert recognizer.recognize(known, headers, rows) is not None
    return {
        "recognizing a known sender": lambda: recognizer.recognize(known, headers, rows),
        "finding that nobody knows a sender": lambda: recognizer.recognize(unknown, headers, rows),
        "name, severity and time by usual field names": lambda: m.guess_fields(unknown),
        "events by usual field names": lambda: m.guess_events(known),
    }


def microseconds(step: Callable[[], Any]) -> float:
    """Return what a step takes, the best of ROUNDS rounds of TURNS turns."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(TURNS):
            step()
        best = min(best, time.perf_counter() - started)
    return best / TURNS * 1e6


if __name__ == "__main__":
    for name, step in {**steps(), **sender_steps()}.items():
        print(f"{microseconds(step):7.1f} µs  {name}")
