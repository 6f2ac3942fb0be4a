"""What well-known senders post, by their public documentation, and the incidents it must become.

`deliveries/<name>.http` is a request: request line, headers, an empty line and the body, without
the file's last newline. Host, Content-Length and the reroute's own headers are added.
`<name>.expected.json` holds the sender's name, the parameters that somebody would choose for it,
and its incidents: name, type, severity, occurred (if it is missing, the incident has the time of
arrival) and the duplication key (null for none). `raw` is what the body holds, if the body is not
JSON. `recognized` holds the incidents' names, severities and times with nothing configured, where
they are others: they are what the sender's row says, or the usual names of fields, and a person
who reads them has to find them right. `new` names the fields that the sender makes anew for each
event by its documentation, such as the event's ID.

The integration's functions make incidents of all of them, with their parameters and without a
server. Some are also posted with their parameters, and all are posted without any.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from Tests.end_to_end.sender import PACK, Answer, Sender, await_that, leaves, running, send
from Tests.sandbox.page.examples import read_delivery

DELIVERIES = sorted(Path(__file__).with_name("deliveries").glob("*.http"))


def read_expected(file: Path) -> dict[str, Any]:
    return json.loads(file.with_suffix(".expected.json").read_text(encoding="utf-8"))


def deliver(sender: Sender, file: Path) -> Answer:
    method, path, headers, body = read_delivery(file)
    return send(
        sender.sandbox.url.removesuffix("/instance/execute/webhook") + path,
        body,
        dict(headers),
        method,
    )


def fields_of(incident: dict[str, Any], since: datetime) -> dict[str, Any]:
    """Return the fields of a created incident that the files have."""
    fields: dict[str, Any] = {
        name: incident[name]
        for name in ("name", "type", "severity", "occurred")
        if name in incident
    }
    if since <= datetime.fromisoformat(fields["occurred"]) <= datetime.now(UTC):
        del fields["occurred"]
    return fields


def without_ours(raw: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return an incident's rawJSON without what is added to each."""
    ours = {"headers", "path", "source_address", "decoded", "webhook"} | (
        {"query"} if "?" in read_delivery(file)[1] else set()
    )
    return {name: value for name, value in raw.items() if name not in ours}


def put_back(parent: Any, path: str, elements: list[Any]) -> Any:
    """Return a payload with its array of events put back at a path of plain names."""
    name, _, rest = path.partition(".")
    return {**parent, name: put_back(parent[name], rest, elements) if rest else elements}


def payloads_of(raws: list[dict[str, Any]], params: dict[str, Any], file: Path) -> Any:
    """Return what was posted, from the rawJSON of all its incidents."""
    raws = [without_ours(raw, file) for raw in raws]
    if "events_path" not in params:
        return raws if len(raws) != 1 else raws[0]
    parents = [raw.pop("parent") for raw in raws]
    assert all(parent == parents[0] for parent in parents)
    return put_back(parents[0], params["events_path"], raws)


def posted(file: Path, expected: dict[str, Any]) -> Any:
    """Return what a delivery's body holds."""
    return expected["raw"] if "raw" in expected else json.loads(read_delivery(file)[3])


def is_native_format(file: Path) -> bool:
    """Return whether a delivery is in the native format, whose details are the sender's choice."""
    return file.stem.startswith("own-format")


def test_there_are_at_least_60_deliveries_of_40_senders() -> None:
    assert len(DELIVERIES) >= 60
    assert len({read_expected(file)["sender"] for file in DELIVERIES}) >= 40


def made_of(file: Path, params: dict[str, Any], request: Any = None) -> list[Any]:
    """Return the incidents that the integration makes of a delivery, without a server and XSOAR."""
    # The import needs the platform's modules.
    from Packs.GenericWebhook.Integrations.GenericWebhook import GenericWebhook as webhook

    _, path, headers, body = request or read_delivery(file)
    settings = webhook.Settings.from_params({"longRunningPort": "8000", **params})
    assert not settings.mistakes
    named = {name.lower(): str(value) for name, value in headers}
    place, _, query = path.removeprefix("/instance/execute/webhook").partition("?")
    context = webhook.describe_request(
        named,
        query,
        settings.hidden,
        path=place,
        source_address="192.0.2.1",
        recognizer=settings.recognizer,
    )
    items = webhook.read_payload(
        body,
        named.get("content-type", ""),
        named.get("content-encoding", ""),
        context.query,
        settings.keep_unreadable,
        webhook.TextReader,
    )
    return list(
        webhook.EventMaker(context, settings, datetime.now(UTC).isoformat(), "0a" * 6).make(items)
    )


@pytest.mark.skipif(
    PACK is not None,
    reason="It calls the functions of the source tree, which the zip does not have.",
)
@pytest.mark.parametrize("file", DELIVERIES, ids=[file.stem for file in DELIVERIES])
def test_a_delivery_becomes_its_incidents(file: Path) -> None:
    expected = read_expected(file)
    since = datetime.now(UTC)
    made = made_of(file, expected["params"])
    assert [incident.key for incident in made] == [
        incident.pop("key") for incident in expected["incidents"]
    ]
    incidents = [incident.fields for incident in made]
    assert [fields_of(incident, since) for incident in incidents] == expected["incidents"]
    raws = [json.loads(incident["rawJSON"]) for incident in incidents]
    assert payloads_of(raws, expected["params"], file) == posted(file, expected)
    assert is_native_format(file) or all(
        0 < len(incident["details"].encode()) <= 2048 for incident in incidents
    )


def usual_fields(incident: dict[str, Any]) -> dict[str, Any]:
    return {name: incident[name] for name in ("name", "severity", "occurred") if name in incident}


DATE = re.compile(rb"(20\d\d[-/.]\d\d[-/.]\d\d(?:[T +]|%20))(\d\d)(?=:|%3A)")
US_DATE = re.compile(rb"(\d\d/\d\d/20\d\d )(\d\d)(?=:)")
EPOCH = re.compile(rb"\b(17\d{8})(?=(?:\d{3}|\d{6}|\d{9}|\.\d+)?\b)")


def an_hour_later(body: bytes) -> bytes:
    """Return a body whose times are an hour later, and all else is the same."""
    for pattern in (DATE, US_DATE):
        body = pattern.sub(lambda found: found[1] + b"%02d" % ((int(found[2]) + 1) % 24), body)
    return EPOCH.sub(lambda found: b"%d" % (int(found[1]) + 3600), body)


def value_at(raw: Any, path: str) -> str:
    """Return the text at a path of plain names."""
    for name in path.split("."):
        key = next(key for key in (path, name) if key in raw)
        raw = raw[key]
        if key == path:
            break
    return raw if isinstance(raw, str) else json.dumps(raw)


@pytest.mark.skipif(
    PACK is not None,
    reason="It calls the functions of the source tree, which the zip does not have.",
)
@pytest.mark.parametrize("file", DELIVERIES, ids=[file.stem for file in DELIVERIES])
def test_a_recommended_key_loses_no_later_event(file: Path) -> None:
    """
    Given: a delivery and the duplication key that is recommended for its sender
    When: it comes again, and then as another event: an hour later, with new IDs where the sender
        makes these anew for each event
    Then: the keys are the same again, and each event of the later one has another key
    """
    expected = read_expected(file)
    if "duplication_key" not in expected["params"]:
        return
    method, path, headers, body = read_delivery(file)
    made = made_of(file, expected["params"])
    assert [event.key for event in made_of(file, expected["params"])] == [e.key for e in made]
    later = an_hour_later(body)
    headers = list(headers)
    for event in made:
        raw = json.loads(event.fields["rawJSON"])
        for field in expected.get("new", ()):
            value = value_at(raw, field)
            headers = [(name, text.replace(value, f"{value}9")) for name, text in headers]
            later = later.replace(an_hour_later(value.encode()), f"{value}9".encode())
    if later == body:  # it has no time: its content is what changes
        later = body.replace(b"5", b"6")
    others = made_of(file, expected["params"], (method, path, headers, later))
    assert len(others) == len(made)
    assert not {event.key for event in made} & {event.key for event in others}


@pytest.mark.skipif(
    PACK is not None,
    reason="It calls the functions of the source tree, which the zip does not have.",
)
def test_with_nothing_configured_a_delivery_becomes_useful_incidents() -> None:
    """
    Given: the deliveries, and an instance that recognizes senders and has no other parameter
    When: incidents are made of them
    Then: their number, names, severities and times are right, most of them as by hand
    """
    wrong, as_by_hand, right = [], 0, 0
    for file in DELIVERIES:
        expected = read_expected(file)
        by_hand = [usual_fields(incident) for incident in expected["incidents"]]
        since = datetime.now(UTC)
        made = made_of(file, {"recognize": "known senders and usual field names"})
        found = [usual_fields(fields_of(incident.fields, since)) for incident in made]
        as_by_hand += found == by_hand
        wanted = expected.get("recognized", by_hand)
        right += found == wanted
        wrong += [
            f"{file.stem} {field}: {is_} instead of {should}"
            for field in ("count", "name", "severity", "occurred")
            if (is_ := column(found, field)) != (should := column(wanted, field))
        ]
    table = "\n".join(wrong)
    assert " severity: " not in table, table
    assert right == len(DELIVERIES), table
    assert as_by_hand >= 62


def column(incidents: list[dict[str, Any]], field: str) -> list[Any]:
    """Return what each incident has in a field, or how many there are."""
    return [len(incidents)] if field == "count" else [found.get(field) for found in incidents]


@pytest.mark.parametrize("file", DELIVERIES[::8], ids=[file.stem for file in DELIVERIES[::8]])
def test_a_delivery_over_http_becomes_its_incidents_and_its_retry_none(file: Path) -> None:
    expected = read_expected(file)
    since = datetime.now(UTC)
    # Of an alert its identity would count, not the key; test_alerts.py is about that.
    params = {"alert_updates": "Incident for each event", **expected["params"]}
    with running(params=params) as sender:
        answer = deliver(sender, file)
        assert answer.status == 200, answer
        incidents = sender.sandbox.incidents()
        again = deliver(sender, file).json
        assert sender.sandbox.health == ""
        sender.sandbox.stop()  # flushes the seen events
        context = sender.sandbox.context()
    keys = [incident.pop("key") for incident in expected["incidents"]]
    assert [fields_of(incident, since) for incident in incidents] == expected["incidents"]
    assert [created["id"] for created in answer.json] == [incident["id"] for incident in incidents]
    raws = [json.loads(incident["rawJSON"]) for incident in incidents]
    assert payloads_of(raws, expected["params"], file) == posted(file, expected)
    assert [created.get("duplicate", False) for created in again] == [
        key is not None for key in keys
    ]
    assert list(json.loads((context or {}).get("found_ids", "{}"))) == [key for key in keys if key]


def test_the_mapping_wizard_gets_what_was_created() -> None:
    with running(params={"store_samples": True}) as sender:
        files = DELIVERIES[::7]
        for file in files:
            deliver(sender, file)
        created = [
            {name: value for name, value in incident.items() if name not in ("id", "created")}
            for incident in sender.sandbox.incidents()
        ]
        wanted = min(len(created), 20)
        await_that(
            lambda: (
                len(json.loads((sender.sandbox.context() or {}).get("sample_events", "[]")))
                == wanted
            ),
            30.0,
        )
        assert sender.sandbox.run("fetch-incidents") == created[-20:]


@pytest.fixture(scope="module", params=["known senders and usual field names", "off"])
def untouched(request: pytest.FixtureRequest) -> Iterator[Sender]:
    with running(params={"recognize": request.param}) as sender:
        yield sender


@pytest.mark.parametrize("file", DELIVERIES, ids=[file.stem for file in DELIVERIES])
def test_nothing_of_a_delivery_is_lost_without_parameters(untouched: Sender, file: Path) -> None:
    expected = read_expected(file)
    before = len(untouched.sandbox.incidents())
    answer = deliver(untouched, file)
    assert answer.status == 200, answer
    raws = [json.loads(incident["rawJSON"]) for incident in untouched.sandbox.incidents()[before:]]
    if any("parent" in raw for raw in raws):
        assert set(leaves(posted(file, expected))) <= set(leaves(raws))
    else:
        assert payloads_of(raws, {}, file) == posted(file, expected)
