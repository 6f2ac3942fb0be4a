"""Unit tests of WebhookMappingApiModule.py."""

import functools
import hashlib
import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import WebhookMappingApiModule as mapping

MAY = "2024-05-01T12:00:00Z"


def paths_of(text: str) -> tuple[mapping.DotPath, ...]:
    """Return the paths of a parameter that has no mistakes."""
    return mapping.read_paths(text, pytest.fail)


def name_in(payload: Any, name_from: str, **shared: Any) -> str | None:
    """Return the name of an event by the text of a parameter that has no mistakes."""
    source = mapping.read_name_source(name_from, pytest.fail)
    return mapping.name_of(payload, {"headers": {}, **shared}, source)


def problems_with(read: Any, text: str) -> list[str]:
    """Return the sentences about what is wrong with a parameter's text."""
    problems: list[str] = []
    read(text, problems.append)
    return problems


# ---- paths

NESTED = {
    "title": "Disk full",
    "rule": {"name": "disk usage", "id": 177, "tags": ["infra", "disk"]},
    "alerts": [
        {"status": "firing", "kibana.alert.uuid": "u-1", "labels": {"pod.name": "p"}},
        {"status": "resolved"},
    ],
    "kibana.alert": {"rule.name": "dotted"},
    "data[id]": "bracketed",
    "a": {"b.c": {"d": "deep"}, "b": {"c": {"d": "steps"}}},
    "x.y": None,
    "x": {"y": "after null"},
    "5": "a key of digits",
    "Alert Name": "with a blank",
    "empty": "",
    "$": {"x": "a dollar sign"},
}


@pytest.mark.parametrize(
    "path, found",
    [
        ("title", "Disk full"),
        ("rule.name", "disk usage"),
        ("rule.tags.1", "disk"),
        ("rule.tags[1]", "disk"),
        ("rule[tags][0]", "infra"),
        ("alerts.1.status", "resolved"),
        ("alerts[1].status", "resolved"),
        ("alerts.0.kibana.alert.uuid", "u-1"),
        ("alerts[0].kibana.alert.uuid", "u-1"),
        ("alerts[0].labels.pod.name", "p"),
        ("kibana.alert.rule.name", "dotted"),
        ("data[id]", "bracketed"),
        ("a.b.c.d", "deep"),
        ("x.y", "after null"),
        ("5", "a key of digits"),
        ("Alert Name", "with a blank"),
        (" rule . name ", "disk usage"),
        ("['rule']['name']", "disk usage"),
        ("[$].x", "a dollar sign"),
        ("alerts.2.status", None),
        ("alerts.status", None),
        ("alerts.99999999999999999999", None),
        ("title.0", None),
        ("missing.path", None),
    ],
)
def test_a_path_finds_its_value(path: str, found: Any) -> None:
    assert mapping.DotPath(path.strip()).find(NESTED) == found


READERS = [
    mapping.read_paths,
    mapping.read_name_source,
    mapping.read_type_paths,
    mapping.read_occurred_paths,
    mapping.read_duplication_key,
]
NOT_PATHS = [
    *("a..b", ".a", "a.", ".", "[", "]", "a[", "a[0", "a]", "a[]", "a[0]b", "a.[0]", "[[a]]"),
    *("a.*.b", "a[*].b", "a. .b", "$.a.b"),
]


@pytest.mark.parametrize("path", [*NOT_PATHS, ".".join("a" * 51)])
@pytest.mark.parametrize("read", READERS)
def test_what_is_not_a_path_is_reported_and_the_others_still_count(read: Any, path: str) -> None:
    problems: list[str] = []
    found = read(f"good.path, {path}", problems.append)
    assert len(problems) == 1
    assert repr(path[:100]) in problems[0]
    assert "data.alert.id" in problems[0] or "leave $. out" in problems[0]
    texts = [found.text] if isinstance(found, mapping.NameSource) else [one.text for one in found]
    assert any("good.path" in text for text in texts)


def test_a_path_with_a_dollar_sign_is_told_how_to_be_written() -> None:
    with pytest.raises(ValueError, match=r"'\$\.rule\.name' begins with \$\..*leave \$\. out"):
        mapping.DotPath("$.rule.name")


# ---- paths into the request


@pytest.mark.parametrize(
    "path, payload, found",
    [
        ("headers.x-kind", {"a": 1}, "from-header"),
        ("headers.X-Kind", {"a": 1}, "from-header"),
        ("headers.x-kind", {"headers": {"x-kind": "own"}}, "own"),
        ("headers.x-kind", {"headers": "mine"}, "from-header"),
        ("request_headers.x-kind", {"headers": {"x-kind": "own"}}, "from-header"),
        ("request_headers.x-kind", {"a": 1}, "from-header"),
        ("query.kind", {"a": 1}, "from-query"),
        ("query.kind", {"query": {"kind": "own"}}, "own"),
        ("request_query.kind", {"query": {"kind": "own"}}, "from-query"),
        ("query.Kind", {"a": 1}, None),
        ("path", {"a": 1}, "/firewall"),
        ("path", {"path": "/own"}, "/own"),
        ("request_path", {"path": "/own"}, "/firewall"),
        ("source_address", {"a": 1}, "192.0.2.7"),
        ("request_source_address", {"source_address": "own"}, "192.0.2.7"),
        ("parent.receiver", {"a": 1}, "soc"),
        ("parent.receiver", {"parent": {"receiver": "own"}}, "own"),
        ("request_parent.receiver", {"parent": {"receiver": "own"}}, "soc"),
    ],
)
def test_paths_reach_the_request_where_the_payload_has_no_such_field(
    path: str, payload: Any, found: str | None
) -> None:
    shared = {
        "headers": {"x-kind": "from-header"},
        "query": {"kind": "from-query"},
        "path": "/firewall",
        "source_address": "192.0.2.7",
        "parent": {"receiver": "soc"},
    }
    assert mapping.DotPath(path).find_in(payload, shared) == found
    in_payload = found is not None and "own" in found
    assert mapping.DotPath(path).find_with_side(payload, shared) == (found, in_payload)


def test_the_hook_reports_which_path_gave_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[tuple[Any, Any]] = []
    paths = paths_of("missing, level, title")
    monkeypatch.setattr(mapping.PATH_HOOK, "report", lambda *report: reports.append(report))
    payload = {"level": {"no": "text"}, "title": "Disk full"}
    assert mapping.first_usable(payload, {}, paths, mapping.text_of) == "Disk full"
    assert mapping.first_usable({}, {}, paths, mapping.text_of) is None
    assert reports == [(paths, paths[2])]
    assert reports[0][0] is paths


# ---- parameters


@pytest.mark.parametrize("empty", ["", None, " , ", []])
def test_an_empty_parameter_is_the_default(empty: Any) -> None:
    assert mapping.read_paths(empty, pytest.fail) == ()
    assert mapping.read_type_paths(empty, pytest.fail) == ()
    assert mapping.read_duplication_key(empty, pytest.fail) == ()
    assert mapping.read_name_source(empty, pytest.fail) is mapping.NAME_FROM
    assert mapping.read_occurred_paths(empty, pytest.fail) is mapping.OCCURRED_FROM
    assert mapping.read_severity_map(empty, pytest.fail) == mapping.NO_SEVERITY_MAP


def test_a_default_that_is_written_out_is_the_default() -> None:
    assert mapping.read_name_source("name", pytest.fail) is mapping.NAME_FROM
    assert mapping.read_occurred_paths(" occurred ", pytest.fail) is mapping.OCCURRED_FROM


def test_a_parameter_may_be_a_list() -> None:
    assert mapping.split_list(["a", " b ", "", 5]) == ("a", "b", "5")
    assert [path.text for path in mapping.read_paths(["a.b", "c"], pytest.fail)] == ["a.b", "c"]


@pytest.mark.parametrize("word", ["none", " None ", "NONE"])
def test_none_as_the_type_is_no_path(word: str) -> None:
    assert mapping.read_type_paths(word, pytest.fail) is None


# ---- names


@pytest.mark.parametrize(
    "name_from, payload, name",
    [
        ("", {"name": "n", "x": 1}, "n"),
        ("name", {"name": " n ", "x": 1}, "n"),
        ("name", {"name": "", "x": 1}, None),
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
        ("{rule.name} on {host.0.name}", {"other": 1}, None),
        (
            "[{status}] {title, rule.name}",
            {"status": "firing", "rule": {"name": "r"}},
            "[firing] r",
        ),
        ("Alert {id}", {"id": 5, "x": True}, "Alert 5"),
        ("Alert: {up}, {down}", {"up": True, "down": None}, "Alert: true,"),
        ("body", {"body": "CEF:0|x"}, "CEF:0|x"),
    ],
)
def test_the_name_is_the_first_usable_value_or_a_text(
    name_from: str, payload: Any, name: str | None
) -> None:
    assert name_in(payload, name_from) == name


@pytest.mark.parametrize("text", ["{a", "a}", "{}", "{a..b}", "{{a}}", "{a} {b", "}{"])
def test_a_template_that_cannot_be_used_is_reported(text: str) -> None:
    problems: list[str] = []
    source = mapping.read_name_source(text, problems.append)
    assert len(problems) == 1
    assert mapping.name_of({"name": "n", "x": 1}, {}, source) == "n"


@pytest.mark.parametrize(
    "value, text",
    [
        ("a", "a"),
        (" ", None),
        (None, None),
        (True, "true"),
        (0, "0"),
        ([], None),
        ([""], None),
        (["a", None, "b"], "a, b"),
        ([["a"]], None),
        ([{"a": 1}], None),
        ({"a": 1}, None),
        ([str(number) for number in range(41)], ", ".join(map(str, range(40)))),
    ],
)
def test_a_text_is_made_of_plain_values_only(value: Any, text: str | None) -> None:
    assert mapping.text_of(value) == text


# ---- times


@pytest.mark.parametrize(
    "text, rfc3339",
    [
        ("2024-05-01T12:00:00Z", "2024-05-01T12:00:00Z"),
        ("2024-05-01t12:00:00z", "2024-05-01T12:00:00Z"),
        ("2024-05-01 12:00:00+00:00", "2024-05-01T12:00:00Z"),
        ("2024-05-01T12:00:00-00:00", "2024-05-01T12:00:00Z"),
        ("2024-05-01T12:00:00+05:30", "2024-05-01T12:00:00+05:30"),
        ("2024-05-01T12:00:00.5-08:00", "2024-05-01T12:00:00.500000-08:00"),
        ("2024-05-01T12:00:00.123456789Z", "2024-05-01T12:00:00.123456Z"),
        ("2024-05-01T12:00:00", "2024-05-01T12:00:00Z"),
        ("2024-05-01", "2024-05-01T00:00:00Z"),
        ("20240501T120000Z", "2024-05-01T12:00:00Z"),
        ("2024-W18-3", "2024-05-01T00:00:00Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("2016-12-31T23:59:60.5Z", "2016-12-31T23:59:59.500000Z"),
        ("1937-01-01T12:00:27+00:19:32", "1937-01-01T11:40:55Z"),
        (" 2024-05-01T12:00:00Z\n", "2024-05-01T12:00:00Z"),
    ],
)
def test_a_date_becomes_rfc_3339(text: str, rfc3339: str) -> None:
    """
    Given: a date as senders write it
    When: it is read
    Then: it is RFC 3339, in UTC where it has no offset
    """
    assert mapping.parse_date(text) == rfc3339


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "05/01/2024",
        "2024-02-30",
        "2024-05-01T25:00:00Z",
        "0001-01-01T00:00:00+00:00:30",
    ],
)
def test_anything_else_is_not_a_date(text: str) -> None:
    """
    Given: text that is not a date, or one out of range
    When: it is read
    Then: ValueError, and nothing else
    """
    with pytest.raises(ValueError):
        mapping.parse_date(text)


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
    assert mapping.occurred_of(given) == expected


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
        "1900-01-01T00:00:00Z",
        "1900-12-31T23:59:59.123456Z",
        "2100-01-01T00:00:00Z",
        "1899-12-30T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2999-01-01T00:00:00Z",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "Wed, 99 May 2024 12:00:00 GMT",
        "2024-05-01 12:00:00 EST",
        "20241301120000",
        "5 apples",
        "x" * 10_000,
        "1" * 10_000,
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59:59",
    ],
)
def test_what_is_not_a_time_never_becomes_a_nonsense_year(given: Any) -> None:
    assert mapping.occurred_of(given) is None


def test_the_first_path_with_a_time_counts() -> None:
    payload = {"endsAt": "0001-01-01T00:00:00Z", "startsAt": MAY}
    paths = mapping.read_occurred_paths("missing, endsAt, startsAt", pytest.fail)
    assert mapping.first_usable(payload, {}, paths, mapping.occurred_of) == MAY


# ---- severities

SEVERITY_WORDS = {
    4: "critical crit fatal emergency emerg disaster p1 sev1",
    3: "high error err major severe p2 sev2",
    2: "medium moderate warning warn minor average p3 sev3",
    1: "low notice p4 sev4",
    0.5: "info informational information debug ok none p5 sev5",
    0: "unknown",
}


@pytest.mark.parametrize(
    "word, severity",
    [(word, severity) for severity, words in SEVERITY_WORDS.items() for word in words.split()],
)
def test_a_severity_s_word_counts_in_any_case(word: str, severity: float) -> None:
    for given in (word, word.upper(), f" {word.title()} "):
        assert mapping.severity_of(given) == severity


NO_SEVERITIES: list[Any] = [
    *(5, -1, 2.5, "5", 100, "p9", "urgent", "", None, True, {}, [], 1e300, "1" * 400, "nan"),
]


@pytest.mark.parametrize(
    "given, severity",
    [
        *((number, number) for number in (0, 0.5, 1, 2, 3, 4)),
        *((text, float(text)) for text in ("0", "0.5", "3", "3.0")),
        *((other, None) for other in NO_SEVERITIES),
    ],
)
def test_a_severity_s_number_is_xsoar_s(given: Any, severity: float | None) -> None:
    assert mapping.severity_of(given) == severity


OWN_SEVERITIES = mapping.read_severity_map(
    "90-100=critical, 70-89=high, 9.0-10.0=Critical, 7.0-8.9 = 3, 42=low, sev3=medium, "
    "very-high=critical, high=low, true=1",
    pytest.fail,
)


@pytest.mark.parametrize(
    "given, severity",
    [
        (90, 4),
        (100, 4),
        (95.5, 4),
        ("95", 4),
        (89.5, 3),
        (70, 3),
        (69.9, None),
        (101, None),
        (9, 4),
        (9.0, 4),
        ("9.8", 4),
        (8.95, 3),
        (7.0, 3),
        (6.99, None),
        (42, 1),
        ("42", 1),
        (42.5, None),
        ("sev3", 2),
        ("SEV3", 2),
        ("Very-High", 4),
        ("high", 1),  # the instance's own words come first
        (True, 1),
        ("critical", 4),
        (3, 3),
        (10**400, None),
    ],
)
def test_the_instance_s_own_severities_come_first(given: Any, severity: float | None) -> None:
    assert mapping.severity_of(given, OWN_SEVERITIES) == severity


@pytest.mark.parametrize(
    "text",
    [
        *("high", "=high", "5=", "5=urgent", "100-90=high", "90+=critical", ">=90=critical"),
        *("90-=critical", "7,0-8,9=high"),
    ],
)
def test_a_bad_map_is_explained(text: str) -> None:
    problems: list[str] = []
    own = mapping.read_severity_map(f"{text}, sev9=low", problems.append)
    assert problems
    assert all("90-100=critical" in problem for problem in problems)
    assert mapping.severity_of("sev9", own) == 1


# ---- arrays of events


@pytest.mark.parametrize(
    "path, payload, keys, rest",
    [
        ("events", {"events": [{"a": 1}], "x": 1}, ("events",), {"x": 1}),
        ("events", {"events": {"a": 1}, "x": 1}, None, None),
        ("events", {}, None, None),
        ("a.b", {"a.b": [{"n": 1}], "x": 1}, ("a.b",), {"x": 1}),
        ("a.b", {"a": {"b": [1], "c": 2}}, ("a", "b"), {"a": {"c": 2}}),
        (
            "list.0.events",
            {"list": [{"events": [{"n": 1}, {"n": 2}], "y": 1}, 5]},
            ("list", 0, "events"),
            {"list": [{"y": 1}, 5]},
        ),
        ("list[1]", {"list": [[{"n": 1}], [{"n": 2}]]}, ("list", 1), {"list": [[{"n": 1}]]}),
        ("list.2", {"list": [[], []]}, None, None),
        ("list.x", {"list": [[], []]}, None, None),
    ],
)
def test_a_path_finds_an_array_and_the_rest_is_kept(
    path: str, payload: Any, keys: tuple[Any, ...] | None, rest: Any
) -> None:
    before = repr(payload)
    assert mapping.DotPath(path).find_array(payload) == keys
    if keys:
        assert mapping.without(payload, keys) == rest
    assert repr(payload) == before


# ---- duplication keys


def key_of(payload: Any, duplication_key: str, index: int = 0, **shared: Any) -> str | None:
    """Return the key of a request's event by the text of a parameter that has no mistakes."""
    keys = mapping.read_duplication_key(duplication_key, pytest.fail)
    return mapping.event_key(payload, {"headers": {}, **shared}, keys, index)


@pytest.mark.parametrize(
    ("paths", "key"),
    [
        ("a", "a,json:1"),
        ("missing,b.c", "b.c:x"),
        ("b.list.1.id", "b.list.1.id,json:7"),
        ("b.list.2,b.list.9.id,b.list.x,a.b,nothing", None),
        ("empty,none,zero", "zero,json:0"),
        ("false", "false,json:false"),
        ("b.list.0", 'b.list.0,json:{"id":6}'),
        ("dot.ted", "dot.ted:d"),
        ("", None),
    ],
)
def test_the_first_path_with_a_value_identifies_the_event(paths: str, key: str | None) -> None:
    """
    Given: dot paths into an event
    When: it is identified
    Then: the first that has a value counts, also through lists and keys with dots; an empty text,
          array or object does not count
    """
    raw = {
        "a": 1,
        "b": {"c": "x", "list": [{"id": 6}, {"id": 7}]},
        "empty": "",
        "none": None,
        "zero": 0,
        "false": False,
        "dot.ted": "d",
        "nothing": {},
    }
    assert key_of(raw, paths) == key


def test_numbers_and_their_texts_are_different_keys_and_texts_keep_their_spelling() -> None:
    values = ["5", 5, 5.0, "true", True, "[1]", [1], "json=5", ",json:5"]
    keys = [key_of({"id": value, "x": 1}, "id") for value in values]
    assert len(set(keys)) == len(values)
    assert keys[0] == "id:5"  # as earlier versions and the published pack stored it
    assert keys[3] == "id:true"


def test_several_values_are_joined_and_all_have_to_be_there() -> None:
    key = "status+alerts.0.fingerprint, id"
    firing = {"status": "firing", "alerts": [{"fingerprint": "f"}], "id": "i"}
    assert key_of(firing, key) != key_of(firing | {"status": "resolved"}, key)
    assert key_of(firing, key) == key_of(firing | {"more": 1}, key)
    assert key_of({"status": "firing", "id": "i"}, key) == key_of({"id": "i"}, key) == "id:i"
    pairs = (("x", "y+z"), ("x+y", "z"), ('x","y', "z"))
    assert len({key_of({"a": a, "b": b}, "a+b") for a, b in pairs}) == 3


REQUEST_KEYS = ["headers.x-delivery", "request_headers.x-delivery", "query.id", "path", "parent.id"]


@pytest.mark.parametrize("path", [*REQUEST_KEYS, "source_address"])
def test_a_key_from_outside_the_events_counts_with_their_indexes(path: str) -> None:
    shared = {
        "headers": {"x-delivery": "d"},
        "query": {"id": "d"},
        "path": "d",
        "source_address": "d",
        "parent": {"id": "d"},
    }
    keys = [key_of({"n": index}, path, index, **shared) for index in range(3)]
    assert keys == [f"{path}:d", f"{path},1:d", f"{path},2:d"]


def test_a_key_from_the_event_counts_without_its_index() -> None:
    events, shared = [{"id": "a"}, {"id": "b"}, {"id": "a"}], {"parent": {"id": "d"}}
    keys = [key_of(event, "id", index, **shared) for index, event in enumerate(events)]
    assert keys == ["id:a", "id:b", "id:a"]
    both = [key_of(event, "parent.id+id", index, **shared) for index, event in enumerate(events)]
    assert both[0] == both[2] != both[1]


def test_a_long_value_becomes_its_digest() -> None:
    """
    Given: a value so long that 5,000 of them would not be kept
    When: its event is identified
    Then: the key is short, and another long value has another key
    """
    keys = {key_of({"a": "x" * 500 + end}, "a") for end in "12"}
    assert len(keys) == 2
    assert all(key and len(key) < 100 and key.startswith("a:sha256=") for key in keys)
    assert mapping.shorten_key("a:" + "x" * 198) == "a:" + "x" * 198
    assert mapping.shorten_key("a:" + "x" * 199).startswith("a:sha256=")


@pytest.mark.parametrize(
    "value",
    [{"a": ["ü" * 150, 1.5, None]}, [[1, 2], {"b": "\ud800"}], list(range(5000)), ["x"] * 9],
)
def test_a_long_container_s_key_is_the_digest_of_its_json(value: Any) -> None:
    key = key_of({"a": value}, "a")
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text) > 190:
        text = f"sha256={hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"
    assert key == f"a,json:{text}"


@pytest.mark.parametrize("value", ["\ud800", "\ud800" * 500])
def test_half_a_surrogate_pair_is_a_value(value: str) -> None:
    assert key_of({"a": value}, "a") == key_of({"a": value}, "a")
    assert key_of({"a": value}, "a") != key_of({"a": value + "x"}, "a")


SIMILAR_PATHS = [
    *("urn", "urn:id", "urn::id", "urn:", ":urn", "urn:json", "urn:1", "urn:id:json", "urn:id:1"),
    *("urn+x", "urn:id+x", "urn+id:x"),
]
SIMILAR_VALUES = ["x", "id:x", ":id:x", "id,json:1", "json:1", "1", 1, "1:x", "id:1:x", "", ":x"]


@pytest.mark.parametrize("long", ["", "y" * 250])
def test_two_keys_are_equal_only_where_paths_and_values_are(long: str) -> None:
    """
    Given: paths and values that would be one text if they were put together with a colon
    When: events are identified by them
    Then: no two of them have one key, short or long, wherever they stand in the request
    """
    found = []
    for path in SIMILAR_PATHS:
        for value in SIMILAR_VALUES:
            text = f"{value}{long}" if isinstance(value, str) and value else value
            payload = dict.fromkeys(path.split("+"), text)
            shared = {"parent": payload}
            outside = "+".join(f"request_parent.{name}" for name in path.split("+"))
            found += [key_of(payload, path)]
            found += [key_of({}, outside, index, **shared) for index in range(2)]
    keys = [key for key in found if key]
    assert len(set(keys)) == len(keys) >= 300


@pytest.mark.parametrize("path", ["id", "data.id", "headers.x-id", "a+b", "[b]", "a b"])
def test_a_key_s_path_without_a_colon_keeps_its_spelling(path: str) -> None:
    shared = {"headers": {"x-id": "5"}}
    values = {"id": "5", "data": {"id": "5"}, "a": "5", "b": "5", "[b]": "5", "a b": "5"}
    key = key_of(values, path, **shared)
    assert key == (f"{path}:5" if "+" not in path else f'{path},json:["5","5"]')


# ---- CloudEvents


def test_a_cloud_event_has_its_attributes_in_its_json_or_in_the_headers() -> None:
    event = {"specversion": "1.0", "type": "com.example.created", "data": {"a": 1}}
    assert mapping.cloud_event(event, {"headers": {}}) is event
    assert mapping.cloud_event({"a": 1}, {"headers": {"ce-type": "com.example.created"}}) is None
    headers = {
        "ce-specversion": "1.0",
        "ce-type": "com.example.created",
        "ce-time": MAY,
        "ce-subject": "gr%C3%BC%C3%9Fe",
    }
    attributes = {"type": "com.example.created", "time": MAY, "subject": "grüße"}
    assert mapping.cloud_event({"a": 1}, {"headers": headers}) == attributes


# ---- hostile texts


def seconds(work: Callable[[], Any]) -> float:
    """Return the processor time that some work takes."""
    before = time.process_time()
    work()
    return time.process_time() - before


def nested(levels: int, step: str = "a") -> dict[str, Any]:
    """Return an object with all keys that a path of equal steps may be read as, at each level."""
    if levels == 0:
        return {}
    return {
        ".".join([step] * count): nested(levels - count, step) for count in range(1, levels + 1)
    }


@pytest.mark.parametrize("steps", [2, 7, 8, 17, 50])
def test_a_long_path_over_hostile_nesting_is_cheap(steps: int) -> None:
    """
    Given: a payload of 65,536 objects, in which a path may be read in as many ways
    When: a path of up to 50 steps is looked up in it
    Then: only a few of its objects are looked at
    """
    looked_up = 0

    class Counted(dict[str, Any]):
        def __contains__(self, key: object) -> bool:
            nonlocal looked_up
            looked_up += 1
            return super().__contains__(key)

        def get(self, key: str, default: Any = None) -> Any:
            nonlocal looked_up
            looked_up += 1
            return super().get(key, default)

    def counted(value: dict[str, Any]) -> Counted:
        return Counted({key: counted(child) for key, child in value.items()})

    hostile, path = counted(nested(16)), mapping.DotPath(".".join(["a"] * (steps - 1) + ["b"]))
    assert path.find(hostile) is None
    assert path.find_array(hostile) is None
    assert 0 < looked_up <= 2 * mapping.MAX_PATH_VISITS * steps


def test_a_long_path_finds_its_value_with_plain_and_with_dotted_keys() -> None:
    names = [f"step{number}" for number in range(50)]
    plain: Any = ["here"]
    for name in reversed(names):
        plain = {name: plain}
    path = mapping.DotPath(".".join(names))
    assert path.find(plain) == ["here"]
    assert path.find_array(plain) == tuple(names)
    assert mapping.DotPath(".".join([*names[1:], "x"])).find(plain) is None
    dotted = {".".join(names[:20]): [{".".join(names[20:49]): {"step49": "here"}}]}
    assert mapping.DotPath(".".join([*names[:20], "0", *names[20:49]])).find(dotted) == {
        "step49": "here"
    }
    assert path.find({".".join(names): None, **plain}) == ["here"]


def test_a_long_text_is_read_only_as_far_as_a_field_can_keep_it() -> None:
    huge = "\u00fc" * 20_000_000
    text = mapping.text_of(huge)
    assert text is not None
    assert 600 < len(text) <= 10_000
    assert len(mapping.text_of([huge] * 100) or "") <= 40 * 10_002
    assert mapping.text_of(1 << 20_000) is None
    event = {"a": huge, "b": [huge] * 40}
    work = [
        lambda: mapping.text_of(huge),
        lambda: mapping.severity_of(huge),
        lambda: mapping.severity_of([huge] * 40),
        lambda: mapping.occurred_of(huge),
        lambda: name_in(event, "{a} {b} {a}"),
    ]
    assert max(map(seconds, work)) < 0.1


# For each compiled pattern of the module: the texts that take it longest, by their length.
WORST_TEXTS: dict[str, list[Callable[[int], str]]] = {
    "PATH_SHAPE": [lambda n: "a" * n + "[", lambda n: "a." * n, lambda n: "[a]" * n + "["],
    "PATH_STEP": [lambda n: "a" * n, lambda n: "[" * n, lambda n: "[a" * n],
    "BRACED": [lambda n: "{" * n, lambda n: "{a" * n, lambda n: "{" + "a" * n],
    "PLAIN_NUMBER": [lambda n: "1" * n, lambda n: "1." + "1" * n],
    "SEVERITY_RANGE": [lambda n: "1" + " " * n, lambda n: "1-" + " " * n + "x"],
    "NOT_A_SEVERITY_WORD": [lambda n: "-" * n + "a"],
    "RFC_3339_UTC": [lambda n: "2024-05-01T12:00:00." + "0" * n],
    "LEAP_SECOND": [lambda n: "12:00:" * n, lambda n: "1" * n],
    "LOOSE_ISO": [lambda n: "2024-05-01" + " " * n, lambda n: "2024-05-01 12:00:00." + "1" * n],
    "WRITTEN_DATE": [
        lambda n: "MAY" + " " * n,
        lambda n: "01 MAY 2024 12:00" + " " * n,
        lambda n: "01 MAY 2024 12:00" + " " * n + "(" + "(" * n,
    ],
    "EPOCH_NUMBER": [lambda n: "1" * n, lambda n: "123456789." + "1" * n + "x"],
}


def test_every_pattern_has_its_worst_text() -> None:
    patterns = {name for name, value in vars(mapping).items() if isinstance(value, re.Pattern)}
    assert patterns == set(WORST_TEXTS)


@pytest.mark.parametrize("name", sorted(WORST_TEXTS))
def test_every_pattern_takes_a_time_in_proportion_to_the_text(name: str) -> None:
    """
    Given: a pattern, and texts of 30,000 characters and more that keep it busy
    When: it reads them in the ways the module does, or in a slower one
    Then: it takes far less than the second and more that a square of the length would take
    """
    pattern = getattr(mapping, name)
    for text in [make(30_000) for make in WORST_TEXTS[name]]:
        assert seconds(functools.partial(pattern.fullmatch, text)) < 0.2
        assert seconds(functools.partial(pattern.match, text)) < 0.2
        if name in ("PATH_STEP", "BRACED", "LEAP_SECOND"):
            assert seconds(functools.partial(pattern.sub, "", text)) < 0.2
