"""Unit tests of GenericWebhook.py: where the parameters find name, type, time, severity and key."""

import contextlib
import json
import re
from typing import Any

import GenericWebhook as webhook
import pytest
from test_data.helpers import DELIVERY, NO_REQUEST, NOW, settings


def context_of(**fields: Any) -> webhook.RequestContext:
    return webhook.RequestContext(**{"headers": {}, "query": {}, **fields})


def made_of(
    *items: Any, sent: webhook.RequestContext | None = None, **params: Any
) -> list[webhook.Event]:
    """Return the events of a request's items."""
    maker = webhook.EventMaker(sent or context_of(), settings(**params), NOW, DELIVERY)
    return maker.make(webhook.Items(list(items)))


def fields_of(
    payload: Any, sent: webhook.RequestContext | None = None, **params: Any
) -> dict[str, Any]:
    """Return the fields of the only event of a payload."""
    [event] = made_of(payload, sent=sent, **params)
    return event.fields


def raws(events: list[webhook.Event]) -> list[dict[str, Any]]:
    """Return the events' rawJSON, parsed and without their marks."""
    parsed = [json.loads(event.fields["rawJSON"]) for event in events]
    for index, raw in enumerate(parsed):
        assert raw.pop("webhook") == {"delivery": f"{DELIVERY}/{index}"}
    return parsed


def raw_text_of(body: str) -> str:
    """Return the rawJSON of the only event of a JSON body, without its mark."""
    items = webhook.read_payload(body.encode(), "application/json", "")
    [event] = webhook.EventMaker(NO_REQUEST, settings(), NOW, DELIVERY).make(items)
    raw = str(event.fields["rawJSON"])
    mark = f',"webhook":{{"delivery":"{DELIVERY}/0"}}}}'
    assert raw.endswith(mark)
    return raw.removesuffix(mark) + "}"


def mistakes_of(**params: Any) -> list[str]:
    return [str(mistake) for mistake in settings(**params).mistakes]


@pytest.mark.parametrize(
    "path",
    [
        "a..b",
        ".a",
        "a.",
        ".",
        "[",
        "]",
        "a[",
        "a[0",
        "a]",
        "a[]",
        "a[0]b",
        "a.[0]",
        "[[a]]",
        "a.*.b",
        "a[*].b",
        "a. .b",
    ],
)
@pytest.mark.parametrize(
    "name, display",
    [
        ("name_from", "Incident name"),
        ("type_from", "Incident type from"),
        ("occurred_from", "Occurred from"),
        ("severity_from", "Severity from"),
        ("events_path", "Events in"),
        ("duplication_key", "Duplication key"),
    ],
)
def test_what_cannot_be_a_path_is_reported_with_its_parameter_and_the_others_still_count(
    path: str, name: str, display: str
) -> None:
    read = settings(**{name: f"good.path, {path}"})
    [mistake] = [str(mistake) for mistake in read.mistakes]
    assert mistake.startswith(f"{display}: ")
    assert "data.alert.id" in mistake
    assert repr(read).count("good.path") or "good.path" in str(
        [key.text for key in read.duplication_paths]
        + [path.text for path in (*(read.type_from or ()), *read.events_paths)]
        + [path.text for path in (*read.occurred_from, *read.severity_from)]
    )


def test_the_test_button_reports_a_bad_path() -> None:
    with pytest.raises(ValueError, match=r"Events in: 'a\.\.b' is no"):
        webhook.test_module(settings(events_path="a..b"))
    assert (
        webhook.test_module(
            settings(name_from="{a.b} on {c[0]}", type_from="none", severity_map="1-2=low")
        )
        == "ok"
    )


def test_path_and_source_address_are_kept_and_never_overwrite() -> None:
    sent = context_of(path="/firewall/a", source_address="2001:db8::7")
    [raw] = raws(made_of({"a": 1}, sent=sent))
    assert raw == {"a": 1, "headers": {}, "path": "/firewall/a", "source_address": "2001:db8::7"}
    [raw] = raws(made_of({"path": "/own", "request_path": 5, "headers": None}, sent=sent))
    assert raw == {
        "path": "/own",
        "request_path": 5,
        "headers": None,
        "request_request_path": "/firewall/a",
        "request_headers": {},
        "source_address": "2001:db8::7",
    }
    assert raws(made_of({})) == [{"headers": {}}]


@pytest.mark.parametrize(
    "name_from, payload, name",
    [
        ("", {"name": "n", "x": 1}, "n"),
        ("name", {"name": " n ", "x": 1}, "n"),
        ("name", {"name": "", "x": 1}, webhook.DEFAULT_NAME),
        ("title, rule.name", {"rule": {"name": "r"}}, "r"),
        ("title, rule.name", {"title": " ", "rule": {"name": "r"}}, "r"),
        ("title, rule.name", {"title": {"text": "t"}, "rule": {"name": "r"}}, "r"),
        ("number", {"number": 4711}, "4711"),
        ("number", {"number": 0.5}, "0.5"),
        ("tags", {"tags": ["a", "b", 3]}, "a, b, 3"),
        (
            "{rule.name} on {host.0.name}",
            {"rule": {"name": "Disk"}, "host": [{"name": "db1"}]},
            "Disk on db1",
        ),
        ("{rule.name} on {host.0.name}", {"rule": {"name": "Disk"}}, "Disk on"),
        ("{rule.name} on {host.0.name}", {"other": 1}, webhook.DEFAULT_NAME),
        (
            "[{status}] {title, rule.name}",
            {"status": "firing", "rule": {"name": "r"}},
            "[firing] r",
        ),
        ("Alert {id}", {"id": 5, "x": True}, "Alert 5"),
        ("Alert: {up}, {down}", {"up": True, "down": None}, "Alert: true"),
        ("{title}", {"title": "x" * 700}, "x" * 600),
        ("body", "CEF:0|x", "CEF:0|x"),
    ],
)
def test_the_name_is_the_first_usable_value_or_a_text(
    name_from: str, payload: Any, name: str
) -> None:
    assert fields_of(payload, name_from=name_from)["name"] == name


@pytest.mark.parametrize(
    "type_from, incident_type, payload, expected",
    [
        ("", "Instance", {"type": "vendor.word", "x": 1}, "Instance"),
        ("", "", {"type": "vendor.word", "x": 1}, "vendor.word"),
        ("", "", {"type": 7, "x": 1}, None),
        ("", "", {"x": 1}, None),
        ("category", "Instance", {"category": "Phishing", "type": "vendor.word"}, "Phishing"),
        ("kind, category", "Instance", {"kind": "", "category": "Phishing"}, "Phishing"),
        ("category", "Instance", {"type": "vendor.word", "x": 1}, "Instance"),
        ("category", "", {"type": "vendor.word", "x": 1}, None),
        ("none", "Instance", {"type": "vendor.word", "x": 1}, "Instance"),
        ("None", "", {"type": "vendor.word", "x": 1}, None),
        # The native format, whatever the parameters say.
        ("", "Instance", {"type": "Own", "name": "n"}, "Own"),
        ("none", "Instance", {"type": "Own", "raw_json": {"a": 1}}, "Own"),
        ("category", "Instance", {"raw_json": {"category": "Phishing"}}, "Instance"),
        ("", "", {"raw_json": {"type": "vendor.word"}}, None),
    ],
)
def test_the_type_follows_its_table(
    type_from: str, incident_type: str, payload: Any, expected: str | None
) -> None:
    assert (
        fields_of(payload, type_from=type_from, incidentType=incident_type).get("type") == expected
    )


@pytest.mark.parametrize("spelling", ["raw_json", "rawJson", "rawJSON"])
def test_the_native_format_counts_whatever_the_parameters_say(spelling: str) -> None:
    params: dict[str, Any] = {
        "name_from": "title",
        "occurred_from": "at",
        "severity_from": "level",
        "events_path": "customFields.list, list",
    }
    envelope = {
        "name": "n",
        "occurred": "2024-01-01T00:00:00Z",
        "severity": "warning",
        "title": "t",
        "list": [1, 2],
    }
    fields = fields_of(
        {**envelope, spelling: {"title": "other", "at": "2020-01-01", "level": 4}}, **params
    )
    assert (fields["name"], fields["occurred"], fields["severity"]) == (
        "n",
        "2024-01-01T00:00:00Z",
        2,
    )
    documented = {
        "name": "n",
        "occurred": 1704067200,
        "severity": "P1",
        "details": "d",
        "owner": "o",
        "customFields": {"f": 1},
    }
    fields = fields_of(documented, **params)
    assert {name: fields[name] for name in documented} == {
        **documented,
        "occurred": "2024-01-01T00:00:00Z",
        "severity": 4,
    }
    assert raws(made_of(documented, **params)) == [{**documented, "headers": {}}]


MAY = "2024-05-01T12:00:00Z"


@pytest.mark.parametrize(
    "given, expected",
    [
        (1714564800, MAY),
        (1714564800.0, MAY),
        (1714564800000, MAY),
        (1714564800000000, MAY),
        (1714564800000000000, MAY),
        ("1714564800", MAY),
        ("1714564800000", MAY),
        ("1714564800000000", MAY),
        ("1714564800000000000", MAY),
        (" 1714564800 ", MAY),
        (1714564800.5, "2024-05-01T12:00:00.500000Z"),
        ("1714564800.000100", "2024-05-01T12:00:00.000100Z"),
        (1714564800123, "2024-05-01T12:00:00.123000Z"),
        (1714564800123456789, "2024-05-01T12:00:00.123456Z"),
        (1.7145648e12, MAY),
        (946684800, "2000-01-01T00:00:00Z"),
        ("Wed, 01 May 2024 12:00:00 GMT", MAY),
        ("Wed, 1 May 2024 14:00:00 +0200", "2024-05-01T14:00:00+02:00"),
        ("01 May 2024 12:00 UT", MAY),
        ("Wed, 01 May 2024 12:00:00 +0000 (UTC)", MAY),
        ("Wed, 01 May 2024 07:00:00 EST", "2024-05-01T07:00:00-05:00"),
        ("wed, 01 may 2024 12:00:00 gmt", MAY),
        ("Wednesday, 01-May-24 12:00:00 GMT", MAY),
        ("Wed May  1 12:00:00 2024", MAY),
        ("Wed May  1 12:00:00 UTC 2024", MAY),
        ("2024-05-01T12:00:00Z", MAY),
        ("2024-05-01T12:00:00.123456Z", "2024-05-01T12:00:00.123456Z"),
        ("2024-05-01T14:00:00+0200", "2024-05-01T14:00:00+02:00"),
        ("2024-05-01 12:00:00 +0000 UTC", MAY),
        ("2024-05-01 12:00:00.5 +0200 CEST", "2024-05-01T12:00:00.500000+02:00"),
        ("2024-05-01 12:00:00 UTC", MAY),
        ("2024/05/01 12:00:00", MAY),
        ("2024-05-01T12:00:00,5Z", "2024-05-01T12:00:00.500000Z"),
        ("20240501120000", MAY),
        (20240501120000, MAY),
        ("20240501", "2024-05-01T00:00:00Z"),
        (20240501, "2024-05-01T00:00:00Z"),
    ],
)
def test_a_time_of_any_common_form_is_rfc_3339(given: Any, expected: str) -> None:
    assert webhook.occurred_of(given) == expected
    assert fields_of({"at": given}, occurred_from="at")["occurred"] == expected
    assert fields_of({"occurred": given, "raw_json": {}})["occurred"] == expected


@pytest.mark.parametrize(
    "given",
    [
        0,
        -1,
        17,
        86400,
        10**10 * 5,
        10**15 * 9,
        133590852000000000,  # a Windows file time
        10**19,
        10**40,
        5e300,
        -1714564800.5,
        True,
        None,
        [],
        [1714564800],
        {"seconds": 1714564800},
        "",
        " ",
        "now",
        "yesterday",
        "1",
        "99999999999",
        "0001-01-01T00:00:00Z",
        "1601-01-01T00:00:00Z",
        "1899-12-30T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2999-01-01T00:00:00Z",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "Wed, 99 May 2024 12:00:00 GMT",
        "20241301120000",
        "5 apples",
        "x" * 10_000,
        "1" * 10_000,
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59:59",
    ],
)
def test_what_is_not_a_time_never_becomes_a_nonsense_year(given: Any) -> None:
    assert webhook.occurred_of(given) is None
    assert fields_of({"at": given}, occurred_from="at")["occurred"] == NOW


def test_without_a_path_a_payload_s_severity_is_not_taken() -> None:
    assert "severity" not in fields_of({"severity": "high", "x": 1})


SEVERITY_MAP = (
    "90-100=critical, 70-89=high, 9.0-10.0=Critical, 7.0-8.9 = 3, 42=low, sev3=medium, "
    "very-high=critical, high=low, true=1"
)


def test_the_map_counts_in_the_native_format_where_no_word_of_its_own_does() -> None:
    assert (
        fields_of({"severity": "high", "raw_json": {}}, severity_map=SEVERITY_MAP)["severity"] == 3
    )
    assert (
        fields_of({"severity": "very-high", "raw_json": {}}, severity_map=SEVERITY_MAP)["severity"]
        == 4
    )


def test_each_element_is_an_incident_and_keeps_the_rest_as_parent() -> None:
    payload = {
        "receiver": "soc",
        "data": {"alerts": [{"id": 1}, "text", {"id": 3, "parent": "own"}], "more": True},
    }
    made = made_of(
        payload, events_path="missing, receiver, data.alerts", name_from="{parent.receiver} {id}"
    )
    rest = {"receiver": "soc", "data": {"more": True}}
    assert raws(made) == [
        {"id": 1, "parent": rest, "headers": {}},
        {"body": "text", "parent": rest, "headers": {}},
        {"id": 3, "parent": "own", "request_parent": rest, "headers": {}},
    ]
    assert [event.fields["name"] for event in made] == ["soc 1", "soc", "soc 3"]
    assert payload["data"] == {
        "alerts": [{"id": 1}, "text", {"id": 3, "parent": "own"}],
        "more": True,
    }


@pytest.mark.parametrize(
    "path, payload, count, parent",
    [
        ("events", {"events": [{"a": 1}, {"a": 2}]}, 2, {}),
        ("events", {"events": [], "x": 1}, 1, None),
        ("events", {"events": {"a": 1}, "x": 1}, 1, None),
        ("a.b", {"a.b": [{"n": 1}], "x": 1}, 1, {"x": 1}),
        (
            "list.0.events",
            {"list": [{"events": [{"n": 1}, {"n": 2}], "y": 1}, 5]},
            2,
            {"list": [{"y": 1}, 5]},
        ),
        (
            "list[1]",
            {"list": [[{"n": 1}], [{"n": 1}, {"n": 2}, {"n": 3}]]},
            3,
            {"list": [[{"n": 1}]]},
        ),
        ("first, second", {"first": "no array", "second": [{"n": 1}]}, 1, {"first": "no array"}),
        ("first, second", {"first": [], "second": [{"n": 1}]}, 1, {"first": []}),
    ],
)
def test_the_first_path_that_holds_an_array_counts(
    path: str, payload: Any, count: int, parent: Any
) -> None:
    made = made_of(payload, events_path=path)
    assert len(made) == count
    assert all(raw.get("parent") == parent for raw in raws(made))


def test_arrays_in_several_items_become_one_list() -> None:
    made = made_of(
        {"events": [{"n": 1}, {"n": 2}]},
        {"other": 3},
        {"events": []},
        {"events": [{"n": 4}]},
        events_path="events",
    )
    found = [raw.get("n", raw.get("other", raw.get("events"))) for raw in raws(made)]
    assert found == [1, 2, 3, [], 4]


def test_an_element_with_raw_json_is_the_native_format_and_a_wrong_field_has_its_index() -> None:
    made = made_of(
        {"events": [{"name": "n", "raw_json": {"a": 1}}]}, events_path="events", name_from="title"
    )
    assert made[0].fields["name"] == "n"
    with pytest.raises(webhook.BadRequest, match=re.escape("events[1].severity: ")):
        made_of({"events": [{"a": 1}, {"severity": "bad", "raw_json": {}}]}, events_path="events")


def test_too_many_elements_are_413() -> None:
    with pytest.raises(webhook.HTTPError) as refusal:
        made_of({"events": [{}] * (webhook.MAX_ITEMS + 1)}, events_path="events")
    assert refusal.value.status == 413


@pytest.mark.parametrize(
    "body", ["x" * 3_000_000, ["x" * 100] * 30_000, {str(n): n for n in range(200_000)}]
)
def test_a_large_parent_is_whole_once_and_bounded_in_the_others(body: Any) -> None:
    count = 500
    made = made_of(
        {"events": [{"n": n} for n in range(count)], "body": body, "small": "kept"},
        events_path="events",
    )
    first, *others = raws(made)
    assert first["parent"] == {"body": body, "small": "kept"}
    assert "parent_shortened" not in first
    assert sum(event.size for event in made[1:]) < webhook.MAX_SHARED_BYTES + count * 1000
    assert all("whole in an earlier incident" in other["parent_shortened"] for other in others)
    assert [other["n"] for other in others] == list(range(1, count))


def test_large_headers_are_whole_once_and_bounded_in_the_others() -> None:
    sent = context_of(headers={"x-long": "y" * 30_000, "x-short": "z"})
    first, *others = raws(made_of(*({"n": n} for n in range(1000)), sent=sent))
    assert first["headers"] == sent.headers
    assert all(
        other["headers"]["x-short"] == "z" and other["headers_shortened"] for other in others
    )
    assert sum(len(json.dumps(other)) for other in others) < webhook.MAX_SHARED_BYTES


def keys_of(
    *items: Any, sent: webhook.RequestContext | None = None, **params: Any
) -> list[str | None]:
    return [event.key for event in made_of(*items, sent=sent, **params)]


@pytest.mark.parametrize(
    "path",
    ["headers.x-delivery", "request_headers.x-delivery", "query.id", "path", "source_address"],
)
def test_a_key_from_outside_the_elements_counts_with_their_indexes(path: str) -> None:
    sent = context_of(
        headers={"x-delivery": "d"}, query={"id": "d"}, path="/d", source_address="192.0.2.1"
    )
    items = [{"n": 1}, {"n": 2}, {"n": 3}]
    keys = keys_of(*items, sent=sent, duplication_key=path)
    assert len(set(keys)) == 3
    assert keys == keys_of(*items, sent=sent, duplication_key=path)
    assert (
        keys[0] == keys_of(items[0], sent=sent, duplication_key=path)[0]
    )  # as earlier versions stored it
    split = keys_of({"events": items}, sent=sent, duplication_key=path, events_path="events")
    assert split == keys


def test_a_key_from_the_parent_counts_with_the_index_and_one_from_the_element_does_not() -> None:
    payload = {"id": "d", "events": [{"id": "a"}, {"id": "b"}, {"id": "a"}]}
    assert len(set(keys_of(payload, duplication_key="parent.id", events_path="events"))) == 3
    assert keys_of(payload, duplication_key="id", events_path="events") == ["id:a", "id:b", "id:a"]
    both = keys_of(payload, duplication_key="parent.id+id", events_path="events")
    assert both[0] == both[2] != both[1]


CLOUD_EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "A-1",
    "source": "/s",
    "type": "com.example.created",
    "time": MAY,
    "data": {"a": 1},
}


def test_a_cloud_event_gives_name_and_time_where_the_parameters_are_at_their_defaults() -> None:
    fields = fields_of(CLOUD_EVENT)
    assert (fields["name"], fields["occurred"]) == ("com.example.created", MAY)
    assert fields_of(CLOUD_EVENT | {"subject": "blob.txt"})["name"] == "blob.txt"
    assert fields_of(CLOUD_EVENT | {"name": "own"})["name"] == "own"
    fields = fields_of(CLOUD_EVENT, name_from="data.a", occurred_from="data.at")
    assert (fields["name"], fields["occurred"]) == ("1", NOW)


def test_a_cloud_event_in_binary_mode_gives_them_by_its_headers() -> None:
    headers = {
        "ce-specversion": "1.0",
        "ce-type": "com.example.created",
        "ce-time": MAY,
        "ce-id": "A-1",
        "ce-source": "/s",
    }
    fields = fields_of({"a": 1}, context_of(headers=headers))
    assert (fields["name"], fields["occurred"]) == ("com.example.created", MAY)
    fields = fields_of({"a": 1}, context_of(headers=headers | {"ce-subject": "gr%C3%BC%C3%9Fe"}))
    assert fields["name"] == "grüße"


def test_a_batch_of_cloud_events_is_an_incident_each() -> None:
    made = made_of(CLOUD_EVENT, CLOUD_EVENT | {"subject": "second"})
    assert [event.fields["name"] for event in made] == ["com.example.created", "second"]


def test_a_vendor_payload_has_short_details() -> None:
    sent = context_of(headers={"user-agent": "Grafana/11"}, source_address="192.0.2.7")
    payload = {
        "title": "Disk full",
        "count": 3,
        "up": False,
        "none": None,
        "deep": {"x": 1},
        "last": "line",
    }
    details = fields_of(payload, sent, name_from="title")["details"].split("\n")
    assert details[0] == "Disk full"
    assert "Source: 192.0.2.7" in details
    assert "Sender: Grafana/11" in details
    assert f"Time: {NOW}" in details
    assert {"count: 3", "up: false", "last: line"} <= set(details)
    assert not any("none" in line or line.startswith("deep") for line in details)


def test_details_look_deeper_where_a_payload_s_first_level_says_little() -> None:
    details = fields_of({"data": {"issue": {"title": "boom"}}, "list": [{"id": 7}, {"id": 8}]})[
        "details"
    ]
    assert "data.issue.title: boom" in details
    assert "list.0.id: 7" in details


def test_details_hold_no_secret() -> None:
    secrets = ["s3cret-1", "s3cret-2", "s3cret-3", "s3cret-4", "s3cret-5", "s3cret-6"]
    payload = {
        "Token": secrets[0],
        "api_key": secrets[1],
        "clientSecret": secrets[2],
        "auth": {"password": secrets[3]},
        "link": f"https://user:{secrets[4]}@example.com/x?access_token={secrets[5]}&page=2",
    }
    details = fields_of(payload)["details"]
    assert not [secret for secret in secrets if secret in details]
    assert "page=2" in details
    assert "example.com" in details


@pytest.mark.parametrize(
    "payload",
    [
        {str(n): "x" * 10_000 for n in range(100)},
        {str(n): "\U0001f600" * 10_000 for n in range(100)},
        {"k" * 100_000: "v", "a": "b"},
        {"a": "ü" * 100_000},
        {"body": "x" * 100_000},
        {"a" * 99: {"b" * 99: {"c" * 99: {"d" * 99: "e"}}}},
        {"n": 10**300, "m": [[[]]], "o": [{}], "p": {}},
    ],
)
def test_details_are_at_most_2_kb(payload: Any) -> None:
    assert (
        len(fields_of(payload, context_of(headers={"user-agent": "u" * 9000}))["details"].encode())
        <= 2048
    )


def test_a_payload_s_own_details_stay() -> None:
    assert fields_of({"details": "mine", "x": 1})["details"] == "mine"
    assert "details" not in fields_of({"name": "n"})
    assert "x: 1" in fields_of({"details": {"a": 1}, "x": 1})["details"]
    assert len(fields_of({"details": "d" * 10**6, "x": 1})["details"]) <= 32 * 1024


def test_details_cannot_hold_the_platform_s_error_marker() -> None:
    marker = "[ERROR-fd5a7750-7182-4b38-90ba-091824478903]"
    assert marker not in json.dumps(
        fields_of({"a": marker, "b": 1, "title": marker}, name_from="title")
    )


def test_the_other_parameters_are_read() -> None:
    read = settings(
        other_methods=["GET", "PATCH"],
        duplicate_hours="1.5",
        answer_seconds=3,
        keep_unreadable="true",
    )
    assert read.mistakes == ()
    assert read.other_methods == {"GET", "PATCH"}
    assert (read.duplicate_seconds, read.answer_seconds, read.keep_unreadable) == (
        5400.0,
        3.0,
        True,
    )
    read = settings(
        other_methods="put, get", duplicate_hours="", answer_seconds=None, keep_unreadable=None
    )
    assert read.other_methods == {"GET", "PUT"}
    assert (read.duplicate_seconds, read.answer_seconds, read.keep_unreadable) == (
        None,
        None,
        False,
    )
    assert settings().other_methods == frozenset()


@pytest.mark.parametrize(
    "params, words",
    [
        ({"other_methods": "DELETE"}, "Also accept: choose from GET, PATCH, PUT"),
        ({"duplicate_hours": "soon"}, "Forget duplicates after: enter a number of hours"),
        ({"duplicate_hours": "0"}, "Forget duplicates after: "),
        ({"duplicate_hours": "-1"}, "Forget duplicates after: "),
        ({"duplicate_hours": "inf"}, "Forget duplicates after: "),
        ({"answer_seconds": "0.0"}, "Answer at the latest after: enter a number of seconds"),
        ({"answer_seconds": "3s"}, "Answer at the latest after: "),
        ({"keep_unreadable": "perhaps"}, "Keep what cannot be read: "),
    ],
)
def test_a_parameter_that_cannot_be_used_is_reported(params: dict[str, Any], words: str) -> None:
    [mistake] = mistakes_of(**params)
    assert mistake.startswith(words)


class TestRawText:
    def test_an_event_knows_its_key_and_its_size(self) -> None:
        """
        Given: a duplication key, and events in ASCII, in UTF-8 and with long details
        When: they become incidents
        Then: each has its key, and a size that counts its bytes
        """
        made = [
            made_of(
                {"raw_json": {"id": 7, "text": text}, "details": details},
                duplication_key="missing, id",
            )[0]
            for text, details in (("x" * 5000, None), ("ü" * 5000, None), ("x" * 5000, "d" * 5000))
        ]
        assert [event.key for event in made] == ["id,json:7"] * 3
        plain, wide, detailed = (event.size for event in made)
        assert 5000 < plain < 6000
        assert plain + 4900 < wide <= plain + 5000  # Python adds some bytes of its own to a text
        assert plain + 5000 <= detailed < plain + 5200

    @pytest.mark.parametrize(
        "body",
        [
            '{"price": 1.10, "long": 12345678901234567890.12345678901234567890, "small": 1E-7}',
            '{ "a" : [ 1 , 2 ] }',
            '{"a": "ü"}',
            '{"a": "\u2028 \xa0 \x7f"}',
            '{"twice": 1, "twice": 2}',
        ],
    )
    def test_an_object_stays_as_it_came(self, body: str) -> None:
        assert raw_text_of(body) == body[:-1] + ',"headers":{}}'

    @pytest.mark.parametrize(
        ("body", "kept"),
        [
            ('{"a": NaN, "b": -Infinity}', '{"a":"NaN","b":"-Infinity"}'),
            ('{"a": 1e999}', '{"a":"1e999"}'),
            ('{"a": ' + "9" * 400 + "}", '{"a":"' + "9" * 400 + '"}'),
            ('{"a": "line\nbreak"}', '{"a":"line\\nbreak"}'),
            ('{"a": "ta\tb"}', '{"a":"ta\\tb"}'),
            ('{"a": "nu\0l"}', '{"a":"nu\\u0000l"}'),
            ('{"a":\t1}', '{"a":1}'),
            ('{"a": "\\ud800"}', '{"a":"\ufffd"}'),
            ('{\n  "a": 1\n}', '{"a":1}'),
            (
                '{"a": "' + webhook.ERROR_MARKER + '"}',
                '{"a": "\\u005b' + webhook.ERROR_MARKER[1:] + '"}',
            ),
            ('{"headers": 1}', '{"headers": 1,"request_headers":{}}'),
            ("{}", "{}"),
        ],
    )
    def test_what_xsoar_could_not_read_is_written_anew(self, body: str, kept: str) -> None:
        raw = raw_text_of(body)
        assert raw.replace(',"headers":{}', "").replace('"headers":{}', "") == kept
        assert webhook.ERROR_MARKER not in raw
        json.loads(raw, parse_constant=pytest.fail)

    @pytest.mark.parametrize(
        ("body", "kept"),
        [
            (
                '{"name": "n", "raw_json": {"a": 1.10, "b": {"c": [1, 2]}}}',
                '{"a": 1.10, "b": {"c": [1, 2]}',
            ),
            ('{"rawJSON" : {"a":1e2} , "name": "n"}', '{"a":1e2'),
            (
                '{"name": "n", "raw_json": {"text": "\\"raw_json\\": {"}}',
                '{"text": "\\"raw_json\\": {"',
            ),
            ('{"name": "n", "more": 1, "raw_json": {"a": 1.10}}', '{"a":1.1,"envelope":{"more":1}'),
            ('{"name": "n", "raw_json": {"a": NaN}}', '{"a":"NaN"'),
            ('{"name": "n", "raw_json": {"a": "ta\tb", "b": 1.10}}', '{"a":"ta\\tb","b":1.1'),
            ('{"name": "n", "raw_json": {"a": 1.10,\n"b": 2}}', '{"a":1.1,"b":2'),
            ('{"name": "n", "raw_json": {"raw_json": {"a": 1.10}}}', '{"raw_json": {"a": 1.10}'),
            (
                '{"raw_json": null, "a": {"raw_json": {"b": 1.10}}}',
                '{"raw_json":null,"a":{"raw_json":{"b":1.1}}',
            ),
            ('{"a": {"raw_json": {"b": 1.10}}}', '{"a":{"raw_json":{"b":1.1}}'),
            ('{"a": "raw_json", "b": 1.10}', '{"a":"raw_json","b":1.1'),
            ('{"name": "n", "raw_json": [1.10]}', '{"body":[1.1]'),
            ('{"name": "n", "raw_json": "{\\"a\\": 1.10}"}', '{"a":1.1'),
            ('{"raw_message": "m", "b": 1.10}', '{"raw_message": "m", "b": 1.10'),
            ('{"name": "n", "raw_json": {"a": 1.10}, "name": "m"}', '{"a": 1.10'),
            (
                '{"x": {"raw_json": {"a": 1}}, "raw\\u005fjson": {"b": 2}}',
                '{"b":2,"envelope":{"x":{"raw_json":{"a":1}}}',
            ),
            ('{"raw_json": {"a": 1}, "raw\\u005fjson": {"b": 2}}', '{"b":2'),
            (
                '{"x\\"raw_json": {"a": 1}, "rawJSON": {"b": 2}}',
                '{"b":2,"envelope":{"x\\"raw_json":{"a":1}}',
            ),
        ],
    )
    def test_raw_json_of_the_native_format_stays_as_it_came(self, body: str, kept: str) -> None:
        assert raw_text_of(body) == kept + ',"headers":{}}'

    @pytest.mark.parametrize(
        "body",
        ['{"raw_json": {"a": 1} x}', '{"name": n, "raw_json": {"a": 1}}', '{"raw_json": {"a": }}'],
    )
    def test_a_fault_next_to_raw_json_is_named_by_its_own_place(self, body: str) -> None:
        with pytest.raises(json.JSONDecodeError) as fault:
            json.loads(body)
        with pytest.raises(webhook.PayloadError, match=f"column {fault.value.colno}"):
            raw_text_of(body)

    @pytest.mark.parametrize("levels", [webhook.MAX_NESTING, webhook.MAX_NESTING + 1])
    def test_raw_json_counts_among_the_levels(self, levels: int) -> None:
        body = '{"raw_json":' + '{"a":' * (levels - 1) + "1" + "}" * levels
        with (
            contextlib.nullcontext()
            if levels <= webhook.MAX_NESTING
            else pytest.raises(webhook.PayloadError, match="200 levels")
        ):
            raw_text_of(body)

    def test_a_large_object_is_written_anew(self) -> None:
        body = '{"a": 1.10, "text": "' + "x" * webhook.SMALL_BODY_BYTES + '"}'
        assert raw_text_of(body).startswith('{"a":1.1,"text":"x')

    def test_an_odd_value_of_one_body_does_not_hide_behind_the_next(self) -> None:
        assert [raw_text_of(body) for body in ('{"a": 1e999}', '{"a": 1e2}', '{"a": 1e999}')] == [
            '{"a":"1e999","headers":{}}',
            '{"a": 1e2,"headers":{}}',
            '{"a":"1e999","headers":{}}',
        ]
