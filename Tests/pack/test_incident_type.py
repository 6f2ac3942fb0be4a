"""The incident type Generic Webhook Alert: its fields, its layout, and what the mapper fills."""

from __future__ import annotations

import functools
import importlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import yaml

from Tests.pack.validate import PACK, ROOT
from Tests.sandbox import Sandbox

NAME = "Generic Webhook Alert"
COMMON = "dbot_classification_incident_type_all"
SHOWN = {"sender", "status", "link"}  # of the object webhook
ALERT = {
    "receiver": "soc",
    "groupLabels": {},
    "externalURL": "https://alerts.example.com",
    "alerts": [
        {
            "status": "firing",
            "fingerprint": "9a1b2c3d4e5f6071",
            "startsAt": "2024-05-01T12:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "https://prometheus.example.com/graph?g0.expr=up",
            "labels": {"alertname": "Instance down", "severity": "critical"},
            "annotations": {"summary": "db1 does not answer"},
        }
    ],
}


def read(pattern: str) -> list[dict[str, Any]]:
    """Returns the pack's JSON files that match a pattern."""
    return [json.loads(file.read_text()) for file in sorted((ROOT / PACK).glob(pattern))]


FIELDS = read("IncidentFields/*.json")
[TYPE], [LAYOUT], [MAPPER] = (
    read(f"{folder}/*.json") for folder in ("IncidentTypes", "Layouts", "Classifiers")
)


@pytest.fixture(scope="module")
def webhook() -> Iterator[Sandbox]:
    """An instance for which somebody has chosen the type."""
    params = {"incidentType": NAME, "recognize": "known senders"}
    with Sandbox(params=params) as sandbox:
        yield sandbox


def incident_of(webhook: Sandbox, payload: Any) -> dict[str, Any]:
    """Returns the incident that the integration makes of a payload."""
    answer = requests.post(webhook.url, json=payload, timeout=10)
    [created] = answer.json()
    return next(one for one in webhook.incidents() if one["id"] == created["id"])


def mapped(raw: str, incident_type: str) -> dict[str, Any]:
    """Returns the fields that the mapper fills: by its common rows, then by those of the type."""
    data, found = json.loads(raw), {}
    for name in (COMMON, incident_type):
        for field, row in (
            MAPPER["mapping"].get(name, {"internalMapping": {}})["internalMapping"].items()
        ):
            assert row["complex"] is None
            value = functools.reduce(
                lambda node, key: node.get(key) if isinstance(node, dict) else None,
                row["simple"].split("."),
                data,
            )
            if value is not None:
                found[field] = value
    return found


def shown_fields() -> set[str]:
    """Returns what the layout shows, as it names fields."""
    return {
        item["fieldId"]
        for tab in LAYOUT["detailsV2"]["tabs"]
        for section in tab.get("sections", ())
        for item in section.get("items", ())
    }


def test_what_the_layout_shows_exists() -> None:
    """A field is one of this pack or one of the platform's own, which the SDK lists."""
    known = importlib.import_module("demisto_sdk.commands.common.update_id_set").BUILT_IN_FIELDS
    own = {field["cliName"] for field in FIELDS}

    assert own <= shown_fields() <= own | {field.lower() for field in known}
    assert {"details", "labels"} <= shown_fields()


def test_the_parts_fit_each_other() -> None:
    """Type, layout, fields and mapper name each other as they are called."""
    assert TYPE["name"] == LAYOUT["name"] == TYPE["layout"] == NAME
    assert all(field["associatedTypes"] == [NAME] for field in FIELDS)
    assert set(MAPPER["mapping"]) == {COMMON, NAME}
    assert set(MAPPER["mapping"][NAME]["internalMapping"]) == {field["name"] for field in FIELDS}


def test_the_mapper_fills_the_fields(webhook: Sandbox) -> None:
    """
    Given: an instance with this incident type.
    When: a sender that the integration knows reports an alert.
    Then: its incident has the type, and the mapper finds sender, status and link in its raw JSON.
    """
    incident = incident_of(webhook, ALERT)

    assert incident["type"] == NAME
    assert incident["details"]
    assert mapped(incident["rawJSON"], NAME) == {
        "Generic Webhook Sender": "alertmanager",
        "Generic Webhook Status": "open",
        "Generic Webhook Link": "https://prometheus.example.com/graph?g0.expr=up",
    }
    assert set(json.loads(incident["rawJSON"])["webhook"]) >= SHOWN


def test_of_another_sender_the_fields_stay_empty(webhook: Sandbox) -> None:
    """The integration knows nothing of who posted this."""
    incident = incident_of(webhook, {"note": "hello"})

    assert incident["type"] == NAME
    assert mapped(incident["rawJSON"], NAME) == {}


def test_incidents_of_other_types_get_what_they_got(webhook: Sandbox) -> None:
    """The mapper's rows for all types are those for mirroring, and nothing chooses the type."""
    raw = incident_of(webhook, ALERT)["rawJSON"]

    assert mapped(raw, "Alert") == {}
    rows = MAPPER["mapping"][COMMON]["internalMapping"]
    assert {row["simple"] for row in rows.values()} == {
        "mirror_direction",
        "mirror_id",
        "mirror_instance",
        "mirror_tags",
    }
    assert not MAPPER.get("defaultIncidentType")
    assert not TYPE["default"]
    assert not any(field["associatedToAll"] or field["required"] for field in FIELDS)
    text = (ROOT / PACK / "Integrations/GenericWebhook/GenericWebhook.yml").read_text()
    descriptor = yaml.safe_load(text)
    [parameter] = [row for row in descriptor["configuration"] if row["name"] == "incidentType"]
    assert not parameter.get("defaultvalue")
    assert "defaultclassifier" not in descriptor


def test_the_document_has_the_mapper_s_rows(webhook: Sandbox) -> None:
    """docs/mapping.md lists the fields, their paths, and what an alert of Alertmanager gives."""
    document = (ROOT / "docs/mapping.md").read_text()
    rows = re.findall(r"(?m)^\| (Generic Webhook \w+) \| `([\w.]+)` \| `([^`]+)` \|$", document)
    mapping = MAPPER["mapping"][NAME]["internalMapping"]

    assert {field: path for field, path, _ in rows} == {
        field: row["simple"] for field, row in mapping.items()
    }
    raw = incident_of(webhook, ALERT)["rawJSON"]
    assert {field: value for field, _, value in rows} == mapped(raw, NAME)
