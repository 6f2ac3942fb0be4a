"""Where an incident's fields come from, seen over HTTP; unit tests have the complete tables."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from Tests.end_to_end.sender import Sender, await_that, raw_of, running

DEFAULT_NAME = "Generic webhook triggered incident"
MAY = "2024-05-01T12:00:00Z"


@pytest.fixture(scope="module")
def mapped() -> Iterator[Sender]:
    params: dict[str, Any] = {
        "incidentType": "Instance",
        "name_from": "{title} ({parent.receiver})",
        "occurred_from": "at",
        "severity_from": "score",
        "severity_map": "90-100=critical, 0-89=low",
        "events_path": "alerts",
        "duplication_key": "fingerprint+status, headers.x-delivery",
    }
    with running(params=params) as sender:
        yield sender


def test_an_array_of_events_is_an_incident_each_with_fields_of_the_parameters(
    mapped: Sender,
) -> None:
    alerts: list[dict[str, Any]] = [
        {"title": "disk", "at": 1714564800, "score": 95},
        {"title": "cpu", "at": "Wed, 01 May 2024 12:00:00 GMT", "score": "7"},
    ]
    disk, cpu = mapped.create(
        json.dumps({"receiver": "soc", "alerts": alerts, "type": "vendor.word"})
    )
    assert (disk["name"], disk["type"], disk["occurred"], disk["severity"]) == (
        "disk (soc)",
        "Instance",
        MAY,
        4,
    )
    assert (cpu["name"], cpu["type"], cpu["occurred"], cpu["severity"]) == (
        "cpu (soc)",
        "Instance",
        MAY,
        1,
    )
    assert raw_of(disk) == {**alerts[0], "parent": {"receiver": "soc", "type": "vendor.word"}}


def test_an_empty_array_of_events_makes_the_whole_payload_one_incident(mapped: Sender) -> None:
    with running(params={"events_path": "alerts"}) as unkeyed:
        for sender in (mapped, unkeyed):
            before = len(sender.sandbox.incidents())
            for body, count in (
                (b'{"receiver":"soc","alerts":[]}', 1),
                (b'[{"alerts":[],"x":1},{"alerts":[],"x":2}]', 2),
            ):
                answer = sender.post(body)
                assert (answer.status, len(answer.json)) == (200, count)
            assert len(sender.sandbox.incidents()) == before + 3
            assert sender.refused(b"[]")[0] == 400  # nothing was sent, which is a mistake


def test_an_array_under_one_delivery_id_is_recognized_element_by_element(mapped: Sender) -> None:
    body = json.dumps([{"title": "a"}, {"title": "b"}, {"title": "c"}])
    first = mapped.post(body, x_delivery="d-1").json
    assert len({created["id"] for created in first}) == 3
    again = mapped.post(body, x_delivery="d-1").json
    assert [created["id"] for created in again] == [created["id"] for created in first]
    assert all(created["duplicate"] for created in again)
    other = mapped.post(body, x_delivery="d-2").json
    assert not {created["id"] for created in other} & {created["id"] for created in first}


def test_firing_and_resolved_are_two_incidents(mapped: Sender) -> None:
    firing = mapped.post(b'{"alerts":[{"fingerprint":"f","status":"firing"}]}').json
    resolved = mapped.post(b'{"alerts":[{"fingerprint":"f","status":"resolved"}]}').json
    assert firing[0]["id"] != resolved[0]["id"]
    assert (
        mapped.post(b'{"alerts":[{"fingerprint":"f","status":"firing"}]}').json[0]["duplicate"]
        is True
    )


def test_a_number_and_its_text_are_two_events() -> None:
    with running(params={"duplication_key": "id"}) as sender:
        [number] = sender.post(b'{"id":5,"x":1}').json
        [text] = sender.post(b'{"id":"5","x":1}').json
        assert number["id"] != text["id"]
        assert sender.post(b'{"id":5,"x":1}').json[0]["duplicate"] is True


def test_a_bad_path_is_in_the_instance_s_health_and_events_are_still_taken() -> None:
    with running(params={"name_from": "a..b"}) as sender:
        assert sender.create(b'{"a":1}')[0]["name"] == DEFAULT_NAME
        await_that(lambda: "Incident name" in sender.sandbox.health)
