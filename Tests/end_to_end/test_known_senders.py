"""Each row of the known senders takes the payloads of its sender, and no other row does.

The functions of the integration make incidents of the payloads with nothing configured, without a
server.
"""

import json
import random
import re
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as some

from Tests.end_to_end.known_senders.cases import Case, load_cases
from Tests.end_to_end.sender import PACK, Sender, await_that, leaves, running, send

pytestmark = pytest.mark.skipif(
    PACK is not None,
    reason="They call the functions of the source tree, which the zip does not have.",
)
if PACK is None:
    from Packs.GenericWebhook.Integrations.GenericWebhook import GenericWebhook as webhook

    ROWS = {sender.id: sender for sender in webhook.KNOWN_SENDERS}

else:
    ROWS = {}

CASES = load_cases()
NOW = "2026-01-01T00:00:00Z"
DELIVERY = "0a" * 6
RANDOM_OBJECTS = 30_000  # a million by hand, which takes a minute
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.row)
every_end = pytest.mark.parametrize(
    "case", [case for case in CASES if case.end], ids=lambda case: case.row
)


def incidents_of(
    payload: Any, headers: dict[str, str], **params: str
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the fields of each incident that a payload becomes, and its rawJSON parsed."""
    settings = webhook.Settings.from_params(
        {"longRunningPort": "8000", "recognize": "known senders and usual field names", **params}
    )
    assert not settings.mistakes
    names = {name.lower(): value for name, value in headers.items()}
    context = webhook.describe_request(names, "", settings.hidden, recognizer=settings.recognizer)
    items = webhook.read_payload(json.dumps(payload).encode(), "application/json", "")
    events = webhook.EventMaker(context, settings, NOW, DELIVERY).make(items)
    return [(event.fields, json.loads(event.fields["rawJSON"])) for event in events]


def found_in(payload: dict[str, Any], case: Case) -> dict[str, Any]:
    """Return what the integration finds in the case's payload or its end, as a case expects it."""
    [(fields, raw)] = incidents_of(payload, case.headers)
    ours = raw["webhook"] if "webhook" not in payload else raw["request_webhook"]
    assert ours.pop("delivery") == f"{DELIVERY}/0"
    names = ("name", "severity", "occurred")
    return {name: fields[name] for name in names if fields.get(name) not in (None, NOW)} | ours


def test_every_row_has_a_payload() -> None:
    assert {case.row for case in CASES} == set(ROWS)


@every_case
def test_a_payload_is_its_senders_and_becomes_what_it_should(case: Case) -> None:
    expected = {**case.expect, "sender": case.row}
    if not ROWS[case.row].closed:  # a status is known where an end is
        assert expected.pop("status") == "open"
    assert found_in(case.payload, case) == expected


@every_end
def test_an_end_is_its_senders_and_ends_what_began(case: Case) -> None:
    found = found_in(case.ended, case)
    assert (found["sender"], found["status"]) == (case.row, "closed")
    assert found["identity"] == case.expect["identity"]


def test_of_all_rows_that_fit_a_payload_its_own_is_the_most_specific() -> None:
    """The confusion matrix: which other rows fit, and why their own comes before them."""
    recognizer = webhook.known_senders()
    confused = {}
    for case in CASES:
        headers = {name.lower(): value for name, value in case.headers.items()}
        fitting = [
            row
            for row in recognizer.by_id.values()
            if webhook.tests_hold(row.tests, case.payload, headers)
        ]
        own = recognizer.by_id[case.outer or case.row]
        if min(fitting, key=lambda row: row.rank) is not own:
            confused[case.row] = [row.id for row in fitting]
    assert confused == {}


COMMON_TEXT = """
id type event data message status name url user time timestamp title description level severity
priority source host alert alerts action service details state created_at updated_at date text body
content subject project repository version category tags labels value count key email ip address
account link object items results query rule device target metadata attributes payload summary code
reason environment owner client request response
"""
COMMON_VALUES: list[Any] = [
    1,
    True,
    None,
    "text",
    "2024-05-01T12:00:00Z",
    "high",
    "a.b",
    [],
    {"id": 1},
]
COMMON_VALUES += [{"id": 1, "name": "x", "title": "t"}, [{"id": 1, "name": "n"}], "https://x.test"]


def test_random_objects_are_recognized_as_nobody() -> None:
    recognizer, chance = webhook.known_senders(), random.Random(1)
    words_of_all = COMMON_TEXT.split()
    for _ in range(RANDOM_OBJECTS):
        words = chance.sample(words_of_all, chance.randint(1, 12))
        payload = {word: chance.choice(COMMON_VALUES) for word in words}
        found = recognizer.resolve(payload, {"content-type": "application/json"}, ())
        assert not found, (payload, found[0][0].id)


# What rows look for, and values that some of them want.
ROW_TEXT = " ".join(f"{row.when} {row.events} {row.inside}" for row in ROWS.values())
ROW_KEYS = sorted(set(re.findall(r"[\w-]{2,}", ROW_TEXT)))
ROW_VALUES = sorted(set(re.findall(r"=([^\s*]+)", ROW_TEXT)))


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(
    some.recursive(
        some.none() | some.integers() | some.text() | some.sampled_from(ROW_VALUES),
        lambda inner: (
            some.lists(inner, max_size=3)
            | some.dictionaries(some.sampled_from(ROW_KEYS) | some.text(), inner, max_size=6)
        ),
        max_leaves=20,
    )
)
def test_any_json_of_the_rows_own_words_becomes_incidents_with_all_of_it(value: Any) -> None:
    assume(value != [])
    raws = [raw for _, raw in incidents_of(value, {})]
    assert raws
    assert set(leaves(value)) <= set(leaves(raws))


def test_the_sender_is_unknown_where_recognizing_is_off_or_the_format_is_native() -> None:
    case = next(case for case in CASES if case.row == "alertmanager")
    for params in ({"recognize": "off"}, {"recognize": ""}):
        [(fields, raw)] = incidents_of(case.payload, case.headers, **params)
        assert raw["webhook"] == {"delivery": f"{DELIVERY}/0"}
        assert fields["name"] == "Generic webhook triggered incident"
        assert "severity" not in fields
    [(fields, raw)] = incidents_of({"name": "native", "raw_json": case.payload}, case.headers)
    assert (fields["name"], "sender" in raw["webhook"]) == ("native", False)


def test_a_parameter_that_is_set_wins_and_the_row_fills_in_the_rest() -> None:
    case = next(case for case in CASES if case.row == "alertmanager")
    labels = case.payload["alerts"][0]["labels"]
    own_words = f"{labels['severity']}=low"
    [(fields, raw)] = incidents_of(
        case.payload, case.headers, name_from="labels.alertname", severity_map=own_words
    )
    assert fields["name"] == labels["alertname"]
    assert fields["severity"] == 1
    assert fields["occurred"] == case.expect["occurred"]
    # Another array is no event array of the row, which then describes nothing.
    [(fields, raw)] = incidents_of(case.payload, case.headers, events_path="nowhere")
    assert "sender" not in raw["webhook"]


def test_the_details_begin_with_sender_time_and_link() -> None:
    case = next(case for case in CASES if case.row == "crowdstrike-alert")
    [(fields, _)] = incidents_of(case.payload, case.headers)
    assert fields["details"].splitlines()[:3] == [
        "Sender: CrowdStrike Falcon alert",
        f"Time: {case.expect['occurred']}",
        f"Link: {case.expect['link']}",
    ]


def test_with_usual_field_names_an_unknown_sender_becomes_useful() -> None:
    payload = {
        "uuid": "5",
        "alert": {
            "title": "Disk full on db1",
            "severity": "High",
            "raised_at": "2024-05-01T12:00:00Z",
        },
        "priority": 1,
    }
    [(fields, raw)] = incidents_of(payload, {})
    assert (fields["name"], fields["severity"]) == ("Disk full on db1", 3)
    assert fields["occurred"] == "2024-05-01T12:00:00Z"
    assert "sender" not in raw["webhook"]
    [(fields, _)] = incidents_of(payload, {}, recognize="known senders")
    assert fields["name"] == "Generic webhook triggered incident"


def test_what_is_posted_is_counted_by_sender_and_unknown_keys_are_named() -> None:
    case = next(case for case in CASES if case.row == "crowdstrike-alert")
    params = {"metrics": True, "allowed_sources": "127.0.0.1"}
    with running(params=params, constants={"UNKNOWN_REPORT_SECONDS": 1.0}) as sender:
        [known] = sender.create(json.dumps(case.payload), "application/json")
        assert known["name"] == case.expect["name"]
        sender.create(json.dumps({"odd\nkey": "a secret", "n": 1}), "application/json")
        metrics = send(f"{sender.sandbox.container_url}/metrics", method="GET").body.decode()
        assert 'generic_webhook_events_total{sender="crowdstrike-alert"} 1' in metrics
        assert 'generic_webhook_events_total{sender="unknown"} 1' in metrics
        line = "Events of unknown senders: 1 with the keys 'odd\\nkey', 'n'."
        await_that(lambda: any(line in text for _, text in sender.sandbox.logs))
        assert "a secret" not in str(sender.sandbox.logs)
        await_that(lambda: "Events of crowdstrike-alert" in status_of(sender))


def status_of(sender: Sender) -> str:
    """Return what generic-webhook-status shows."""
    [entry] = sender.sandbox.run("generic-webhook-status")
    return str(entry["HumanReadable"])


@pytest.mark.parametrize(
    "line, name, severity",
    [
        ("CEF:0|Example|Sensor|1|9|Worm stopped|Very-High|rt=1714564800000", "Worm stopped", 4),
        ("CEF:0|Example|Sensor|1|9|Worm stopped|3|rt=1714564800000", "Worm stopped", 1),
        ("LEEF:1.0|Example|Firewall|1|deny|devTime=1714564800000\tsev=7", "Firewall: deny", 3),
    ],
)
def test_a_line_of_a_security_log_has_name_severity_and_time(
    line: str, name: str, severity: int
) -> None:
    with running() as sender:
        sender.create(line.encode(), "text/plain")
        [incident] = sender.sandbox.incidents()
        assert (incident["name"], incident["severity"]) == (name, severity)
        assert incident["occurred"] == "2024-05-01T12:00:00Z"


def test_an_empty_array_of_events_loses_no_alert() -> None:
    with running(params={"events_path": "alerts"}) as sender:
        sender.create(b'{"alerts": [], "summary": "A disk is full"}', "application/json")
        [incident] = sender.sandbox.incidents()
        assert json.loads(incident["rawJSON"])["summary"] == "A disk is full"
