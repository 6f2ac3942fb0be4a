"""The examples of docs/mapping.md: each row of a table, posted with the payload above it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from Packs.GenericWebhook.Integrations.GenericWebhook import GenericWebhook as webhook
from Tests.end_to_end.sender import running

TEXT = (Path(__file__).resolve().parents[2] / "docs/mapping.md").read_text(encoding="utf-8")
ROW = re.compile(r"\| `(\w+)` \| (`.+`) \| `(\w+)` \| (`.+`) \|")
NO_REQUEST = webhook.RequestContext({}, {})
NOW = "2024-05-01T12:00:00Z"
BLOCK_OR_ROW = re.compile(r"```json\n(?P<payload>.*?)```|^(?P<row>\| `\w+` \| `[^\n]*\|)$", re.DOTALL | re.MULTILINE)


def examples() -> list[tuple[str, dict[str, str], str, list[str]]]:
    """Return payload, parameters, field and what it becomes in each incident, of every row."""
    payload, found = "", []
    for match in BLOCK_OR_ROW.finditer(TEXT):
        if match["payload"]:
            payload = match["payload"]
            continue
        row = ROW.fullmatch(match["row"])
        assert row, match["row"]
        text, *more = re.findall(r"`([^`]+)`", row[2])
        params = {row[1]: text, **dict(zip(more[::2], more[1::2]))}
        found.append((payload, params, row[3], re.findall(r"`([^`]+)`", row[4])))
    return found


EXAMPLES = examples()


def test_the_examples_are_found() -> None:
    assert len(EXAMPLES) >= 20


def fields_of(payload: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the fields of each incident that the integration makes of a payload."""
    settings = webhook.Settings.from_params({"longRunningPort": "8000", **params})
    assert not settings.mistakes
    items = webhook.read_payload(payload.encode(), "application/json", "", {}, False)
    return [incident.fields for incident in webhook.make_incidents(items, NO_REQUEST, settings, NOW)]


@pytest.mark.parametrize(("payload", "params", "field", "expected"), EXAMPLES, ids=[str(row[1]) for row in EXAMPLES])
def test_a_row_is_true(payload: str, params: dict[str, Any], field: str, expected: list[str]) -> None:
    assert [str(fields[field]) for fields in fields_of(payload, params)] == expected
    json.loads(payload)


def test_the_first_row_is_true_over_http() -> None:
    payload, params, field, expected = EXAMPLES[0]
    with running(params=params) as sender:
        incidents = sender.create(payload, "application/json")
        assert [str(incident[field]) for incident in incidents] == expected
        assert sender.sandbox.health == ""


def test_the_severity_table_is_the_integration_s() -> None:
    rows = re.findall(r"^\| ([0-9.]+), \w+ \| ([a-z0-9, ]+) \|$", TEXT, re.MULTILINE)
    assert len(rows) == 6
    words = [(word, float(number)) for number, words in rows for word in words.split(", ")]
    incidents = fields_of(json.dumps([{"level": word, "x": 1} for word, _ in words]), {"severity_from": "level"})
    assert [incident["severity"] for incident in incidents] == [number for _, number in words]
    assert dict(words) == webhook.SEVERITIES
