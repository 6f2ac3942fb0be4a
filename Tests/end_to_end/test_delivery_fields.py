"""What the deliveries of well-known senders become with the parameters a person would choose for them, see test_deliveries.py.

The integration's functions are called as a request calls them, without a server: each delivery has parameters of its own.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from Packs.GenericWebhook.Integrations.GenericWebhook import GenericWebhook as webhook
from Tests.end_to_end.test_deliveries import (
    DELIVERIES,
    fields_of,
    own_format,
    payloads_of,
    posted,
    read_expected,
)
from Tests.sandbox.page.examples import read_delivery


def made_of(file: Path, params: dict[str, Any]) -> list[webhook.Incident]:
    """Return the incidents that the integration makes of a delivery, without a server and without XSOAR."""
    _, path, headers, body = read_delivery(file)
    settings = webhook.Settings.from_params({"longRunningPort": "8000", **params})
    assert not settings.mistakes
    named = {name.lower(): str(value) for name, value in headers}
    place, _, query = path.removeprefix("/instance/execute/webhook").partition("?")
    context = webhook.describe_request(named, query, settings.hidden, path=place, source_address="192.0.2.1")
    items = webhook.read_payload(
        body, named.get("content-type", ""), named.get("content-encoding", ""), context.query, settings.keep_unreadable
    )
    return webhook.make_incidents(items, context, settings, datetime.now(UTC).isoformat())


@pytest.mark.parametrize("file", DELIVERIES, ids=[file.stem for file in DELIVERIES])
def test_a_delivery_becomes_its_incidents(file: Path) -> None:
    expected = read_expected(file)
    since = datetime.now(UTC)
    made = made_of(file, expected["params"])
    assert [incident.key for incident in made] == [incident.pop("key") for incident in expected["incidents"]]
    incidents = [incident.fields for incident in made]
    assert [fields_of(incident, since) for incident in incidents] == expected["incidents"]
    raws = [json.loads(incident["rawJSON"]) for incident in incidents]
    assert payloads_of(raws, expected["params"], file) == posted(file, expected)
    assert own_format(file) or all(0 < len(incident["details"].encode()) <= 2048 for incident in incidents)
