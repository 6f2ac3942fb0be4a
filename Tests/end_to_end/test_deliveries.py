"""What well-known senders post, by their public documentation: each file in deliveries/ and the incident it must become.

`<name>.http` is a request: request line, headers, an empty line and the body, without the file's last newline. Host,
Content-Length and the reroute's own headers are added. `<name>.incident.json` is the incident, a list where it becomes several;
rawJSON is written as an object, and without `occurred` it is the trigger time.
"""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from Tests.end_to_end.sender import Sender, running, send

DELIVERIES = sorted(Path(__file__).with_name("deliveries").glob("*.http"))
SENDERS = [
    "aws-sns",
    "azure-event-grid",
    "cef-line",
    "crowdstrike-like-detection",
    "github-issues-form",
    "github-push",
    "grafana-alert",
    "pagerduty-v3",
    "prometheus-alertmanager",
    "slack-event",
    "slack-slash-command",
    "splunk-alert",
]
OF_THE_CONNECTION = ("host", "content-length", "connection", "x-forwarded-for")


@pytest.fixture(scope="module")
def webhook() -> Iterator[Sender]:
    with running() as sender:
        yield sender


def read_delivery(file: Path) -> tuple[str, str, dict[str, str | bytes], bytes]:
    """Return method, path, headers and body."""
    head, _, body = file.read_bytes().removesuffix(b"\n").partition(b"\n\n")
    request, *lines = head.decode().split("\n")
    method, path, version = request.split(" ")
    assert version == "HTTP/1.1"
    headers: dict[str, str | bytes] = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return method, path, headers, body


def plain(incident: dict[str, Any], since: datetime) -> dict[str, Any]:
    """Return a created incident as the file writes it."""
    fields = {name: value for name, value in incident.items() if name not in ("id", "created")}
    raw = json.loads(fields["rawJSON"])
    for name in OF_THE_CONNECTION:
        raw["headers"].pop(name, None)
    assert raw.pop("source_address") == "127.0.0.1"
    fields["rawJSON"] = raw
    if since <= datetime.fromisoformat(fields["occurred"]) <= datetime.now(UTC):
        del fields["occurred"]
    return fields


def test_there_are_the_twelve_deliveries() -> None:
    assert [file.stem for file in DELIVERIES] == SENDERS


@pytest.mark.parametrize("file", DELIVERIES, ids=[file.stem for file in DELIVERIES])
def test_a_delivery_becomes_its_incident(webhook: Sender, file: Path) -> None:
    since = datetime.now(UTC)
    method, path, headers, body = read_delivery(file)
    url = webhook.sandbox.url.removesuffix("/instance/execute/webhook") + path
    answer = send(url, body, headers, method)
    assert answer.status == 200, answer
    stored = {incident["id"]: incident for incident in webhook.sandbox.incidents()}
    became = [plain(stored[created["id"]], since) for created in answer.json]
    expected = json.loads(file.with_suffix(".incident.json").read_text(encoding="utf-8"))
    assert became == (expected if isinstance(expected, list) else [expected])


def test_all_of_them_are_told_apart_from_their_retries() -> None:
    """The same deliveries twice, with the fields their senders call unique: no incident is created a second time."""
    paths = (
        "headers.x-github-delivery, event_id, trigger_id, event.id, alerts.0.fingerprint, MessageId, id, sid, composite_id, body"
    )
    with running(params={"duplication_key": paths}) as sender:
        for again in (False, True):
            for file in DELIVERIES:
                method, _, headers, body = read_delivery(file)
                answers = send(sender.sandbox.url, body, headers, method).json
                assert [answer.get("duplicate", False) for answer in answers] == [again] * len(answers), file.stem
        assert len(sender.sandbox.incidents()) == len(DELIVERIES) + 1  # Azure's array holds two


def test_the_mapping_wizard_gets_what_was_created() -> None:
    with running(params={"store_samples": True}) as sender:
        for file in DELIVERIES:
            method, _, headers, body = read_delivery(file)
            send(sender.sandbox.url, body, headers, method)
        created = [
            {name: value for name, value in incident.items() if name not in ("id", "created")}
            for incident in sender.sandbox.incidents()
        ]
        until = time.monotonic() + 5
        while len(samples := sender.sandbox.run("fetch-incidents")) < len(created):
            assert time.monotonic() < until
        assert samples == created
