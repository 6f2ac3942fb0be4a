"""Unit tests of WebhookMappingApiModule.py."""

import hashlib
import json
import random
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import hypothesis
import pytest
import WebhookMappingApiModule as mapping
from EventConditionsApiModule import read_conditions
from hypothesis import strategies as st

from Tests.costs import assert_linear, compiled_patterns, cpu_milliseconds

MAY = "2024-05-01T12:00:00Z"


def paths_of(text: str) -> tuple[mapping.DotPath, ...]:
    """Return the paths of a parameter that has no mistakes."""
    return mapping.read_paths(text, pytest.fail)


def name_in(payload: Any, name_from: str, **shared: Any) -> str | None:
    """Return the name of an event by the text of a parameter that has no mistakes."""
    source = mapping.read_name_source(name_from, pytest.fail)
    return mapping.name_of(payload, {"headers": {}, **shared}, source)


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

DISK = {"rule": {"name": "Disk"}}


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
        ("{rule.name} on {host.0.name}", DISK | {"host": [{"name": "db1"}]}, "Disk on db1"),
        ("{rule.name} on {host.0.name}", DISK, "Disk on"),
        ("{rule.name} on {host.0.name}", {"other": 1}, None),
        ("[{status}] {title, rule.name}", DISK | {"status": "firing"}, "[firing] Disk"),
        ("Alert {id}", {"id": 5, "x": True}, "Alert 5"),
        ("Alert: {up}, {down}", {"up": True, "down": None}, "Alert: true"),
        ("body", {"body": "CEF:0|x"}, "CEF:0|x"),
    ],
)
def test_the_name_is_the_first_usable_value_or_a_text(
    name_from: str, payload: Any, name: str | None
) -> None:
    assert name_in(payload, name_from) == name


@pytest.mark.parametrize(
    "payload, name",
    [
        ({"alert": {"rule": "R", "repo": "o/app"}}, "R in o/app"),
        ({"alert": {"rule": "R"}, "action": "created", "by": "jane"}, "created by jane"),
        ({"alert": {"rule": "R"}, "action": "created", "user": "joe"}, "created by joe"),
        ({"alert": {"rule": "R"}, "action": "created"}, "R"),
        ({"action": "created", "by": "jane", "alert": {"repo": "o"}}, "created by jane"),
        ({"alert": {"repo": "o/app"}}, None),
    ],
)
def test_of_several_templates_the_first_counts_whose_every_brace_has_a_value(
    payload: Any, name: str | None
) -> None:
    text = "{alert.rule} in {alert.repo}, {action} by {by, user}, alert.rule"
    assert name_in(payload, text) == name


def test_a_wrong_entry_among_templates_is_reported_and_the_others_still_count() -> None:
    problems: list[str] = []
    source = mapping.read_name_source("{a} on {b}, {c..d}, e[", problems.append)
    assert len(problems) == 2
    assert mapping.name_of({"a": "x", "b": "y"}, {}, source) == "x on y"
    assert mapping.name_of({"a": "x"}, {}, source) is None
    assert [path.text for path in source.paths] == ["a", "b"]


def test_the_hook_reports_only_the_template_that_gave_the_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports: list[Any] = []
    monkeypatch.setattr(mapping.PATH_HOOK, "report", lambda *report: reports.append(report))
    source = mapping.read_name_source("{a} on {b}, {a}: {c, d}", pytest.fail)
    assert mapping.name_of({"a": "x", "d": "z"}, {}, source) == "x: z"
    assert reports == [(source.groups[2], source.paths[2]), (source.groups[3], source.paths[4])]


@pytest.mark.parametrize("text", ["{a", "a}", "{}", "{a..b}", "{{a}}", "{a} {b", "}{", "{a}, {b"])
def test_a_template_that_cannot_be_used_is_reported(text: str) -> None:
    problems: list[str] = []
    source = mapping.read_name_source(text, problems.append)
    assert len(problems) == 1
    assert mapping.name_of({"name": "n", "x": 1}, {}, source) == "n"


@pytest.mark.parametrize(
    "value, text",
    [
        ("a", "a"),
        (True, "true"),
        (0, "0"),
        (["a", None, "b"], "a, b"),
        *((value, None) for value in (" ", None, [], [""], [["a"]], [{"a": 1}], {"a": 1})),
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


NOON = [  # of 1 May 2024, in UTC
    *(1714564800, 1714564800.0, 1714564800000, 1714564800000000, 1714564800000000000, 1.7145648e12),
    *("1714564800", "1714564800000", "1714564800000000", "1714564800000000000", " 1714564800 "),
    *("Wed, 01 May 2024 12:00:00 GMT", "wed, 01 may 2024 12:00:00 gmt", "01 May 2024 12:00 UT"),
    *("Wed, 01 May 2024 12:00:00 +0000 (UTC)", "Wednesday, 01-May-24 12:00:00 GMT"),
    *("Wed May  1 12:00:00 2024", "Wed May  1 12:00:00 UTC 2024", "2024-05-01T12:00:00Z"),
    *("2024-05-01 12:00:00 +0000 UTC", "2024-05-01 12:00:00 UTC", "2024/05/01 12:00:00"),
    *("20240501120000", 20240501120000, "2024.05.01 12:00:00", "2024-5-1 12:00"),
    *("2024/05/01 12:00:00 (UTC)", "2024-05-01T12:00:00Z (UTC)", "01/May/2024:12:00:00 +0000"),
    *("01-May-2024 12:00:00", "1 May 2024, 12:00", "May 1, 2024 12:00:00 PM"),
    *("/Date(1714564800000)/", "/Date(1714564800000+0200)/"),
]
BROWSER = "Wed May 01 2024 14:00:00 GMT+0200 (Central European Summer Time)"


@pytest.mark.parametrize(
    "given, expected",
    [
        *((given, MAY) for given in NOON),
        (1714564800.5, "2024-05-01T12:00:00.500000Z"),
        ("1714564800.000100", "2024-05-01T12:00:00.000100Z"),
        (1714564800123, "2024-05-01T12:00:00.123000Z"),
        (1714564800123456789, "2024-05-01T12:00:00.123456Z"),
        (946684800, "2000-01-01T00:00:00Z"),
        ("Wed, 1 May 2024 14:00:00 +0200", "2024-05-01T14:00:00+02:00"),
        ("Wed, 01 May 2024 07:00:00 EST", "2024-05-01T07:00:00-05:00"),
        ("2024-05-01T12:00:00.123456Z", "2024-05-01T12:00:00.123456Z"),
        ("2024-05-01T14:00:00+0200", "2024-05-01T14:00:00+02:00"),
        ("2024-05-01 12:00:00.5 +0200 CEST", "2024-05-01T12:00:00.500000+02:00"),
        ("2024-05-01T12:00:00,5Z", "2024-05-01T12:00:00.500000Z"),
        ("20240501", "2024-05-01T00:00:00Z"),
        (20240501, "2024-05-01T00:00:00Z"),
        ("2024-05-01 05:00:00 PDT", "2024-05-01T05:00:00-07:00"),
        ("2024-05-01 14:00:00 CEST", "2024-05-01T14:00:00+02:00"),
        ("Wed, 01 May 2024 06:00:00 CST", "2024-05-01T06:00:00-06:00"),
        ("Wed, 01 May 2024 14:00:00 CEST", "2024-05-01T14:00:00+02:00"),
        ("Wed May 1 12:00:00 CEST 2024", "2024-05-01T12:00:00+02:00"),
        ("Wed, 01 May 69 12:00:00 GMT", "1969-05-01T12:00:00Z"),
        (BROWSER, "2024-05-01T14:00:00+02:00"),
        ("Sept. 1, 2024, 12:00 AM UTC", "2024-09-01T00:00:00Z"),
        ("05/20/2024 09:08:10 PM", "2024-05-20T21:08:10Z"),
        ("20/05/2024 21:08", "2024-05-20T21:08:00Z"),
        ("20.05.2024 21:08:10", "2024-05-20T21:08:10Z"),
        ("05/05/2024", "2024-05-05T00:00:00Z"),
    ],
)
def test_a_time_of_any_common_form_is_rfc_3339(given: Any, expected: str) -> None:
    assert mapping.occurred_of(given) == expected


NOT_TIMES: list[Any] = [
    *(0, -1, 17, 86400, 10**10 * 5, 10**15 * 9, 10**19, 10**40, 5e300, -1714564800.5, True, None),
    133590852000000000,  # a Windows file time
    *([], [1714564800], {"seconds": 1714564800}, "", " ", "now", "yesterday", "1", "99999999999"),
    *("0001-01-01T00:00:00Z", "1601-01-01T00:00:00Z", "1900-01-01T00:00:00Z"),
    *("1900-12-31T23:59:59.123456Z", "2100-01-01T00:00:00Z", "1899-12-30T00:00:00Z"),
    *("9999-12-31T23:59:59Z", "2999-01-01T00:00:00Z", "Mon, 01 Jan 0001 00:00:00 GMT"),
    *("Wed, 99 May 2024 12:00:00 GMT", "20241301120000", "5 apples", "x" * 10_000, "1" * 10_000),
    *("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59:59", "2024-05-01 12:00:00 IST"),
    *("2024-05-01 12:00:00 CST", "2024-05-01 12:00:00 XYZ", "Wed, 01 May 2024 12:00:00 BST"),
    *("Wed May  1 12:00:00 CST 2024", "2024-05-01 12:00:00 (Pacific Daylight Time)"),
    *("05/06/2024 09:08:10", "13/13/2024", "00/20/2024", "20/May/24", "May 32 12:00:00"),
    *("Mayday 1 12:00:00", "05/20/2024 13:08:10 PM", "05/20/2024 0:08:10 AM"),
    *("/Date(-62135596800000)/", "/Date(999999999999999)/", "/Date(x)/"),
    *("05/01/2024", "2024-02-30", "2024-05-01T25:00:00Z", "0001-01-01T00:00:00+00:00:30"),
]


@pytest.mark.parametrize("given", NOT_TIMES)
def test_what_is_not_a_time_never_becomes_a_nonsense_year(given: Any) -> None:
    assert mapping.occurred_of(given) is None
    if isinstance(given, str):
        with pytest.raises(ValueError):
            mapping.parse_date(given)


@pytest.mark.parametrize("days", [0, 1, 40, 300])
def test_a_date_without_a_year_is_the_latest_such_day(days: int) -> None:
    day = datetime.now(UTC).replace(microsecond=0) - timedelta(days=days)
    if (day.month, day.day) != (2, 29):
        assert mapping.occurred_of(day.strftime("%b %e %H:%M:%S")) == f"{day:%FT%TZ}"


def test_the_first_path_with_a_time_counts() -> None:
    payload = {"endsAt": "0001-01-01T00:00:00Z", "startsAt": MAY}
    paths = mapping.read_occurred_paths("missing, endsAt, startsAt", pytest.fail)
    assert mapping.first_usable(payload, {}, paths, mapping.occurred_of) == MAY


# ---- severities

SEVERITY_WORDS = {
    4: "critical crit fatal emergency emerg disaster very-high highest urgent blocker p0 p1 s0 s1 "
    "sev0 sev1 sev-1 s-1 p1-critical critical(5)",
    3: "high error err major severe p2 s2 sev2",
    2: "medium moderate warning warn minor average p3 s3 sev3",
    1: "low notice p4 s4 sev4",
    0.5: "info informational information debug ok none very-low lowest p5 s5 sev5",
    0: "unknown",
}


@pytest.mark.parametrize(
    "word, severity",
    [(word, severity) for severity, words in SEVERITY_WORDS.items() for word in words.split()],
)
def test_a_severity_s_word_counts_in_any_case(word: str, severity: float) -> None:
    for given in (word, word.upper(), f" {word.title()} "):
        assert mapping.severity_of(given) == severity


@pytest.mark.parametrize(
    "given, severity",
    [
        *((given, 4) for given in ("Very High", "very_high", "P1 - Critical", "1 - Critical")),
        *((given, 4) for given in ("1: Critical", "Sev 1", "Critical (5)", "P1 - Whatever")),
        *((given, 3) for given in ("2 \u2013 High", "SEV-2", "High (8.9)")),
        ("P1 - High", 3),  # the word counts
        *((given, None) for given in ("5 - Planning", "Critical (high)", "not critical", "Sev 9")),
    ],
)
def test_a_level_with_its_word_is_a_severity(given: str, severity: float | None) -> None:
    assert mapping.severity_of(given) == severity


NO_SEVERITIES: list[Any] = [
    *(5, -1, 2.5, "5", 100, "p9", "someday", "", None, True, {}, [], 1e300, "1" * 400, "nan"),
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
        *((given, 4) for given in (90, 100, 95.5, "95", 9, 9.0, "9.8", "Very-High", "critical")),
        *((given, 3) for given in (89.5, 70, 8.95, 7.0, 3)),
        *((given, 2) for given in ("sev3", "SEV3")),
        *((given, 1) for given in (42, "42", True)),
        ("high", 1),  # the instance's own words come first
        *((given, None) for given in (69.9, 101, 6.99, 42.5, 10**400)),
    ],
)
def test_the_instance_s_own_severities_come_first(given: Any, severity: float | None) -> None:
    assert mapping.severity_of(given, OWN_SEVERITIES) == severity


@pytest.mark.parametrize(
    "text",
    [
        *("high", "=high", "5=", "5=someday", "100-90=high", "90+=critical", ">=90=critical"),
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
        ("a.b", {"a": {"b": [1]}, "a.b": [2]}, ("a.b",), {"a": {"b": [1]}}),
        ("a.0.b", {"a": [{"b": [{"n": 1}], "y": 1}, 5]}, ("a", 0, "b"), {"a": [{"y": 1}, 5]}),
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
    return mapping.event_key(payload, {"headers": {}, **shared}, keys, index, {})


def test_a_long_value_that_events_share_counts_by_its_digest_which_is_made_once() -> None:
    """
    Given: a long text and a long array outside the events, and short ones
    When: the keys of two events are read
    Then: the digests of the long ones are kept for the second, and a key of one alone is as ever
    """
    text, array, short = "y" * 1000, ["z"] * 1000, ["z"]
    shared = {"headers": {}, "parent": {"t": text, "a": array, "s": short}}
    digests: dict[int, Any] = {}
    keys = {
        path: [
            mapping.event_key(
                {"id": number}, shared, mapping.read_duplication_key(path, pytest.fail), 0, digests
            )
            for number in (1, 2)
        ]
        for path in ("parent.t", "parent.a", "parent.t+id", "parent.a+id", "parent.s+id")
    }
    assert digests == {id(text): ANY, id(array): ANY, id(short): short}
    assert keys["parent.t"] == [mapping.shorten_key(f"parent.t:{text}")] * 2
    assert keys["parent.a"] == [mapping.container_key("parent.a,json", array)] * 2
    assert keys["parent.s+id"][0] == 'parent.s+id,json:[["z"],1]'
    assert len({*keys["parent.t+id"], *keys["parent.a+id"]}) == 4


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
    raw = {"a": 1, "b": {"c": "x", "list": [{"id": 6}, {"id": 7}]}, "dot.ted": "d"}
    raw |= {"empty": "", "none": None, "zero": 0, "false": False, "nothing": {}}
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
    shared: dict[str, Any] = {"headers": {"x-delivery": "d"}, "query": {"id": "d"}}
    shared |= {"path": "d", "source_address": "d", "parent": {"id": "d"}}
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
            shared: Any = {"parent": payload}
            outside = "+".join(f"request_parent.{name}" for name in path.split("+"))
            found += [key_of(payload, path)]
            found += [key_of({}, outside, index, **shared) for index in range(2)]
    keys = [key for key in found if key]
    assert len(set(keys)) == len(keys) >= 300


@pytest.mark.parametrize("path", ["id", "data.id", "headers.x-id", "a+b", "[b]", "a b"])
def test_a_key_s_path_without_a_colon_keeps_its_spelling(path: str) -> None:
    shared: dict[str, Any] = {"headers": {"x-id": "5"}}
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


# ---- known senders


def compile_senders(rows: Any) -> mapping.Recognizer:
    return mapping.compile_senders(rows, read_conditions)


def row_of(id: str, title: str, when: str, **fields: Any) -> Any:
    """Return a row of a table of known senders."""
    texts = "events inside family name severity words occurred identity closed link"
    flags = {"weak": False, "fixed_start": False}
    defaults = {**flags, **dict.fromkeys(texts.split(), "")}
    return SimpleNamespace(**{**defaults, "id": id, "title": title, "when": when, **fields})


ROWS = [
    row_of(
        *("alerts", "Alert manager", "alerts groupLabels receiver"),
        **{"events": "alerts", "family": "manager"},
        name="{labels.alertname}: {annotations.summary, annotations.text}; labels.alertname",
        severity="labels.severity, labels.level",
        words="page=critical, 10-20=low, 5=high",
        occurred="startsAt, parent.at",
        identity="fingerprint, labels.alertname+labels.instance",
        closed="status=resolved|gone*; labels.state=ok",
        link="generatorURL, parent.externalURL",
    ),
    row_of("envelope", "Envelope", when="Type=Notification Message", inside="decoded"),
    row_of("bus", "Event bus", when="detail-type detail source", inside="detail", occurred="time"),
    row_of("finding", "Finding", when="finding.id product=scanner*", name="finding.title"),
    row_of("finding-old", "Finding, version 1", when="finding.id !product", name="finding.title"),
    row_of("kibana", "Rules", when="kibana.alert.uuid", name="kibana.alert.rule.name"),
    row_of("push", "Code host", when="header:x-code-event repository", name="repository.name"),
    row_of("alert", "Code host, alert", when="header:x-code-event=alert alert", name="alert.title"),
    row_of("twin", "Twin", when="header:x-code-event repository !header:x-twin-event"),
    row_of("ping-prefix", "Monitor by prefix", when="monitor=u*"),
    row_of("ping", "Monitor", when="monitor=up", name="{monitor} {missing}; monitor"),
    row_of("any-host", "Any code host", when="header:x-any-event", weak=True),
    row_of("weak", "Anybody", when="event=alert data monitor", weak=True),
    row_of("number", "Number", when="version=2 enabled=true"),
]
RECOGNIZER = compile_senders(ROWS)


def recognized(payload: dict[str, Any], **headers: str) -> str | None:
    """Return the ID of the row that describes a payload; ``_`` in a header's name is a hyphen."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    row = RECOGNIZER.recognize(payload, named)
    assert RECOGNIZER.recognize(payload, named, RECOGNIZER.rows_of(named)) is row
    return row.id if row else None


ALERTS = {"alerts": [], "groupLabels": {}, "receiver": ""}
NOBODYS: list[dict[str, Any]] = [
    *({"alerts": [], "groupLabels": {}, "receiver": None}, {"alerts": [], "groupLabels": {}}, {}),
    *({"finding": {"id": 1}, "product": "other"}, {"finding": "text"}, {"repository": {}}),
    *({"monitor": "UP"}, {"monitor": ["up"]}, {"monitor": {"up": 1}}),
    {"version": 2.0, "enabled": True},
]


@pytest.mark.parametrize(
    "payload, headers, row",
    [
        (ALERTS, {}, "alerts"),
        ({"finding": {"id": 1}, "product": "scanner 2"}, {}, "finding"),
        ({"finding": {"id": 1}, "product": None}, {}, "finding-old"),
        ({"finding": {"id": 1}}, {}, "finding-old"),
        ({"finding.id": 1}, {}, "finding-old"),
        ({"kibana.alert.uuid": "u"}, {}, "kibana"),
        ({"kibana": {"alert.uuid": "u"}}, {}, "kibana"),
        ({"kibana": {"alert": {"uuid": "u"}}}, {}, "kibana"),
        ({"monitor": "up"}, {}, "ping"),  # an exact value comes before a prefix
        ({"monitor": "upper"}, {}, "ping-prefix"),
        ({"event": "alert", "data": {}, "monitor": "up"}, {}, "ping"),
        ({"event": "alert", "data": {}, "monitor": "down"}, {}, "weak"),
        ({"version": 2, "enabled": True}, {}, "number"),
        ({"version": "2", "enabled": "true"}, {}, "number"),
        ({"repository": {}}, {"x_code_event": "push"}, "twin"),
        ({"repository": {}}, {"x_code_event": "push", "x_twin_event": "push"}, "push"),
        ({"repository": {}, "alert": {}}, {"x_code_event": "alert"}, "alert"),
        ({"monitor": "up", "repository": {}}, {"x_code_event": "push"}, "twin"),
        ({"monitor": "up"}, {"x_code_event": "push"}, "ping"),
        ({**ALERTS, "repository": {}}, {"x_code_event": "push"}, "twin"),
        ({"monitor": "up"}, {"x_any_event": "push"}, "ping"),
        ({"other": 1}, {"x_any_event": "push"}, "any-host"),
        *((payload, {}, None) for payload in NOBODYS),
    ],
)
def test_the_most_specific_row_describes_a_payload(
    payload: dict[str, Any], headers: dict[str, str], row: str | None
) -> None:
    assert recognized(payload, **headers) == row
    wide = {f"key{number}": number for number in range(mapping.MAX_SHAPE_KEYS)}
    assert recognized({**wide, **payload}, **headers) == row


def test_among_equals_the_earlier_row_counts() -> None:
    rows = [row_of("first", "First", when="a b"), row_of("second", "Second", when="b a")]
    for order in (rows, rows[::-1]):
        row = compile_senders(order).recognize({"a": 1, "b": 2}, {})
        assert row is not None
        assert row.id == order[0].id


def test_what_an_envelope_carries_is_recognized_by_itself() -> None:
    finding = {"finding": {"id": 1, "title": "Open port"}}
    bus = {"detail-type": "x", "detail": finding, "source": "s"}
    note = {"Type": "Notification", "Message": "m", "decoded": bus}
    cases: list[tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]] = [
        (finding, [("finding-old", finding)]),
        (bus, [("finding-old", finding), ("bus", bus)]),
        (note, [("finding-old", finding), ("bus", bus), ("envelope", note)]),
        ({"specversion": "1.0", "data": finding}, [("finding-old", finding)]),
        (other := {**bus, "detail": {"other": 1}}, [("bus", other)]),
        (text := {"Type": "Notification", "Message": "m"}, [("envelope", text)]),
        ({"specversion": "1.0", "data": "text"}, []),
        ({"other": 1}, []),
    ]
    for payload, expected in cases:
        found = RECOGNIZER.resolve(payload, {})
        assert [(row.id, described) for row, described in found] == expected
    deep: dict[str, Any] = finding
    for _ in range(50):
        deep = {**bus, "detail": deep}
    assert [row.id for row, _ in RECOGNIZER.resolve(deep, {})] == ["bus"] * mapping.MAX_INSIDE


FIRING = {
    "labels": {"alertname": "Disk full", "instance": "db1:9100", "severity": "page"},
    "annotations": {"text": "5 % left"},
    "status": "firing",
    "startsAt": MAY,
    "generatorURL": "https://alerts.example.com/1?a=b",
}
PARENT = {"at": "2024-01-01T00:00:00Z", "externalURL": "http://example.com"}
SHARED: dict[str, Any] = {"headers": {}, "parent": PARENT}


def test_a_row_finds_the_fields_of_an_event() -> None:
    row = RECOGNIZER.by_id["alerts"]
    assert row.title == "Alert manager"
    assert row.events[0].find_array({"alerts": [FIRING]}) == ("alerts",)
    assert row.name is not None
    assert mapping.name_of(FIRING, SHARED, row.name) == "Disk full: 5 % left"
    assert mapping.name_of(FIRING | {"annotations": {}}, SHARED, row.name) == "Disk full"
    assert mapping.first_usable(FIRING, SHARED, row.occurred, mapping.occurred_of) == MAY
    assert row.severity_of(FIRING, SHARED) == 4
    assert row.identity_of(FIRING, SHARED) == "manager:Disk full+db1:9100"
    assert row.identity_of(FIRING | {"fingerprint": 17}, SHARED) == "manager:17"
    assert row.status_of(FIRING, SHARED) == "open"
    assert row.link_of(FIRING, SHARED) == "https://alerts.example.com/1?a=b"
    assert row.link_of({"generatorURL": "javascript:alert(1)"}, SHARED) == "http://example.com"
    assert row.identity_of({"labels": {"alertname": "a"}}, SHARED) is None
    other = RECOGNIZER.by_id["push"]
    assert other.identity_of(FIRING, SHARED) is other.status_of(FIRING, SHARED) is None
    assert other.link_of(FIRING, SHARED) is other.severity_of(FIRING, SHARED) is None


@pytest.mark.parametrize(
    "end", [{"status": "RESOLVED"}, {"status": "gone away"}, {"labels": {"state": "ok"}}]
)
def test_one_of_a_row_s_ends_closes_an_alert(end: dict[str, Any]) -> None:
    assert RECOGNIZER.by_id["alerts"].status_of(FIRING | end, SHARED) == "closed"


@pytest.mark.parametrize(
    "value, own, severity",
    [
        ("page", "", 4),
        ("Critical", "", 4),
        ("sev2", "", 3),
        (15, "", 1),
        ("5", "", 3),
        (3, "", None),  # nobody says what the number means
        ("3", "3=info", 0.5),
        ("page", "page=low", 1),
        (True, "", None),
        (["x"], "", None),
    ],
)
def test_a_row_s_severity_is_a_word_or_what_the_row_says(
    value: Any, own: str, severity: float | None
) -> None:
    words = mapping.read_severity_map(own, pytest.fail)
    row = RECOGNIZER.by_id["alerts"]
    assert row.severity_of({"labels": {"severity": value}}, SHARED, words) == severity
    both = {"labels": {"severity": value, "level": "low"}}
    assert row.severity_of(both, SHARED, words) == (1 if severity is None else severity)


def test_a_long_identity_is_short_and_told_apart() -> None:
    row = RECOGNIZER.by_id["alerts"]
    keys = {row.identity_of({"fingerprint": "x" * 20_000 + end}, SHARED) for end in "12"}
    assert len(keys) == 2
    assert all(key and len(key) < 100 for key in keys)


@pytest.mark.parametrize("link", ["x" * 5000, "https://" + "x" * 5000, "ftp://x", "https://a b", 5])
def test_a_link_is_an_address_of_the_web(link: Any) -> None:
    assert RECOGNIZER.by_id["alerts"].link_of({"generatorURL": link}, {}) is None


def test_the_headers_that_rows_read_are_known() -> None:
    rows = [
        row_of(
            "a", "A", when="header:X-Kind=a !header:x-twin", name="{headers.x-t}: {headers.X-2}"
        ),
        row_of("b", "B", when="b", occurred="request_headers.x-time", identity="headers.x-id+b"),
    ]
    names = {"x-kind", "x-twin", "x-t", "x-2", "x-time", "x-id"}
    assert compile_senders(rows).header_names == names


WRONG_FIELDS = [
    *({"when": "a..b"}, {"when": ""}, {"when": "!a !header:b"}, {"name": "{a"}, {"closed": "a"}),
    *({"severity": "a..b"}, {"words": "1=tremendous"}, {"identity": "a+"}, {"inside": "a..b"}),
]


@pytest.mark.parametrize("fields", WRONG_FIELDS)
def test_a_wrong_row_is_named(fields: dict[str, str]) -> None:
    wrong = row_of("wrong", "Wrong", **{"when": "a", **fields})
    with pytest.raises(ValueError, match=r"^wrong: "):
        compile_senders([row_of("right", "Right", when="a"), wrong])


@pytest.mark.parametrize("length", [1, 2000])
def test_the_cache_of_keys_is_bounded(length: int) -> None:
    """
    Given: a sender whose events have other keys each time, short or long
    When: they are recognized
    Then: what is remembered of their keys stays within the limits, and a known sender is recognized
    """
    recognizer = compile_senders(ROWS)
    cache, most = recognizer._candidates, 0
    for number in range(3 * mapping.MAX_KNOWN_SHAPES):
        assert recognizer.recognize({f"{'x' * length}{number}": 1}, {}) is None
        most = max(most, len(cache._known))
        if number % 500 == 499:
            characters = sum(len(key) for keys in cache._known for key in keys)
            assert characters <= mapping.MAX_KNOWN_CHARACTERS
    assert 500 < most <= mapping.MAX_KNOWN_SHAPES
    recognizer.recognize({"x" * 10**6: 1}, {})
    recognizer.recognize({str(number): 1 for number in range(mapping.MAX_SHAPE_KEYS + 1)}, {})
    assert all(len(keys) == 1 and len(keys[0]) < 10_000 for keys in cache._known)
    row = recognizer.recognize({"monitor": "up"}, {})
    assert row is not None
    assert row.id == "ping"


# ---- usual field names


@pytest.mark.parametrize(
    "payload, name",
    [
        ({"Alert-Name": "Disk full", "message": "5 % left"}, "Disk full"),
        ({"message": "Disk full", "alert": {"title": "Disk is full"}}, "Disk is full"),
        ({"message": "Disk full", "user": {"title": "Head of sales"}}, "Disk full"),
        ({"title": "[P2] Memory is high", "message": "m"}, "[P2] Memory is high"),
        ({"data": {"essentials": {"alertRule": "x", "ruleName": "CPU high"}}}, "CPU high"),
        ({"name": "Disk full"}, "Disk full"),
        ({"rule": {"name": "Disk full"}}, "Disk full"),
        ({"user": {"name": "Jane Doe"}, "host": {"name": "Host 1"}}, None),
        ({"data": {"name": "Jane Doe"}}, None),
        ({"data": {"Name": "Jane Doe"}}, None),
        ({"title": "disk_full", "message": "Disk is full"}, "Disk is full"),
        ({"title": "disk_full", "id": "Not A Name"}, "disk_full"),
        ({"eventType": "user.created", "action": "Created by a person"}, "Created by a person"),
        *(
            ({"title": no_name, "description": "Disk full"}, "Disk full")
            for no_name in [
                *("8d3f7a52-1c2b-4f6e-9a70-5b1e2c3d4f5a", "507f1f77bcf86cd799439011", "4711"),
                *("INC0010001", "192.0.2.7", "2001:db8::7", "https://example.com/Alert"),
                *("jane.doe@example.com", "arn:aws:iam::1:user/Jane", "2024-05-01 12:00:00"),
                *("01/05/2024", '{"Title": "x"}', "[{}]", "<b>Title</b>", "!!!", "X", " "),
                *("dGhpcyBpcyBub3QgYSBuYW1lMQ", 5, None, ["Disk full"]),
            ]
        ),
        ({"title": "CVE-2024-1234"}, "CVE-2024-1234"),
        ({"alarm_name": "CPU is high", "message_type": "alarm"}, "CPU is high"),
        ({"rule": "Many failed logins", "type": "frequency"}, "Many failed logins"),
        ({"ticket": {"title": "Mail is down"}, "article": {"subject": "Re: it"}}, "Mail is down"),
        ({"data": {"rawlog": {"msg": "A member moved"}}}, "A member moved"),
        ({"notification_type": "person_of_interest"}, "person_of_interest"),
        ({"body": "Disk full\n5 % left"}, "Disk full"),
        ({"body": "<34>May  1 12:00:00 db1 su: failed"}, "<34>May  1 12:00:00 db1 su: failed"),
        ({}, None),
    ],
)
def test_a_name_is_guessed_only_where_it_is_one(payload: dict[str, Any], name: str | None) -> None:
    assert mapping.guess_fields(payload)[0] == name


NO_GUESSED_SEVERITIES: list[Any] = [
    *(3, 1.0, "3", "9.8", True, None, ["high"], {}, "Sev1", "sev 2", "S1", "Sev0"),
    *("ok", "none", "unknown", "down", "ALARM"),
]


@pytest.mark.parametrize(
    "payload, severity",
    [
        ({"severity": "High"}, 3),
        ({"Severity_Level": "CRITICAL"}, 4),
        ({"alert": {"priority": "P1"}}, 4),
        ({"risk-level": "1 - Critical"}, 4),
        ({"priority": {"id": "1", "name": "Urgent"}}, 4),
        ({"severity": "whatever", "level": "warning"}, 2),
        ({"triggerLevel": "CRITICAL"}, 4),
        *(({"severity": value}, None) for value in NO_GUESSED_SEVERITIES),
        ({"status": "critical", "state": "error", "type": "high"}, None),
        ({"user": {"severity": "high"}}, None),
    ],
)
def test_a_severity_is_guessed_only_from_its_words(
    payload: dict[str, Any], severity: float | None
) -> None:
    assert mapping.guess_fields(payload)[1] == severity


@pytest.mark.parametrize(
    "payload, occurred",
    [
        ({"timestamp": 1714564800}, MAY),
        ({"@timestamp": "2024-05-01T12:00:00.000Z"}, MAY),
        ({"event": {"created_at": "2024-05-01 12:00:00"}}, MAY),
        ({"__REALTIME_TIMESTAMP": "1714564800000000"}, MAY),
        ({"alert": {"reportTime": MAY}, "eventType": "alert-created"}, MAY),
        ({"updated_at": "2024-05-02T12:00:00Z", "occurred_at": MAY}, MAY),
        ({"startsAt": "0001-01-01T00:00:00Z", "createdAt": "1714564800000"}, MAY),
        *(({"date": value}, None) for value in ("2024-05-01", "20240501", 20240501, "1 May 2024")),
        *(({"time": value}, None) for value in ("1999-12-31T12:00:00Z", "2038-01-01T12:00:00Z")),
        *(({"time": value}, None) for value in (5, True, None, [MAY], "12:00:00", "now: soon")),
        ({"time": float("nan")}, None),
        ({"user": {"created_at": MAY}}, None),
    ],
)
def test_a_time_is_guessed_only_with_a_clock(payload: dict[str, Any], occurred: str | None) -> None:
    assert mapping.guess_fields(payload)[2] == occurred


@pytest.mark.parametrize("index, name", [(5, "Found"), (40, None)])
def test_a_guess_looks_at_a_few_objects_only(index: int, name: str | None) -> None:
    objects = [{"title": "Found"} if number == index else {} for number in range(60)]
    payload = {f"alert{'-' * number}": value for number, value in enumerate(objects)}
    assert mapping.guess_fields(payload)[0] == name


@pytest.mark.parametrize(
    "payload, keys",
    [
        ({"alerts": [{"a": 1}, {"a": 2}], "version": "4", "status": "firing"}, ("alerts",)),
        ({"Records": [{"a": 1}]}, ("Records",)),
        ({"data": {"events": [{"a": 1}]}}, ("data", "events")),
        ({"type": "A batch", "name": "daily", "events": [{"a": 1}]}, ("events",)),
        ({"title": "Two alerts", "alerts": [{"a": 1}]}, None),
        ({"message": "Two alerts fire", "alerts": [{"a": 1}]}, None),
        ({"alerts": [{"a": 1}], "events": [{"a": 1}]}, None),
        ({"alerts": []}, None),
        ({"alerts": ["text"]}, None),
        ({"alerts": [{"a": 1}, 5]}, None),
        ({"alerts": {"a": 1}}, None),
        ({"hosts": [{"a": 1}]}, None),
        ({}, None),
    ],
)
def test_events_are_guessed_only_where_nothing_names_the_whole(
    payload: dict[str, Any], keys: tuple[str, ...] | None
) -> None:
    found = mapping.guess_events(payload)
    assert (found.keys if found else None) == keys
    if found:
        elements: Any = payload
        for key in found.keys:
            elements = elements[key]
        assert found.elements is elements
        assert found.path == ".".join(found.keys)


# ---- any JSON

# The machine may be busy: how long an example takes is nothing to fail for.
UNTIMED: Any = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
USUAL_WORDS = [
    *mapping.NAME_KEYS,
    *mapping.SEVERITY_KEYS,
    *mapping.OBJECT_KEYS,
    "timestamp",
    "alerts",
]
KEYS = st.text() | st.sampled_from(
    [*USUAL_WORDS, "finding", "monitor", "detail", "decoded", "data"]
)
ANY_JSON = st.recursive(
    SCALARS | st.sampled_from(["up", "Notification", "high", MAY, "[", "urn:x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=30,
)


@hypothesis.given(st.dictionaries(KEYS, ANY_JSON, max_size=8))
@hypothesis.settings(max_examples=100, **UNTIMED)
def test_any_json_is_read_without_an_error(payload: dict[str, Any]) -> None:
    before = repr(payload)
    shared = {"headers": {"x-code-event": "alert"}, "parent": payload}
    RECOGNIZER.resolve(payload, shared["headers"])
    for row in RECOGNIZER.by_id.values():
        if row.name:
            mapping.name_of(payload, shared, row.name)
        mapping.first_usable(payload, shared, row.occurred, mapping.occurred_of)
        row.severity_of(payload, shared)
        row.identity_of(payload, shared)
        row.status_of(payload, shared)
        row.link_of(payload, shared)
    mapping.guess_fields(payload)
    mapping.guess_events(payload)
    keys = mapping.read_duplication_key("alert+title, data, parent", pytest.fail)
    mapping.event_key(payload, shared, keys, 1, {})
    for value in payload.values():
        mapping.text_of(value)
        mapping.severity_of(value)
        mapping.occurred_of(value)
    assert repr(payload) == before


DATE_TEXTS = [st.from_regex(form, fullmatch=True) for form in mapping.DATE_FORMS]


@hypothesis.given(st.one_of(st.text(max_size=60), *DATE_TEXTS))
@hypothesis.settings(max_examples=200, **UNTIMED)
def test_any_text_is_a_date_of_rfc_3339_or_none(text: str) -> None:
    occurred = mapping.occurred_of(text)
    if occurred is not None:
        assert datetime.fromisoformat(occurred).tzinfo is not None
        assert 1901 <= int(occurred[:4]) <= 2099
        assert mapping.occurred_of(occurred) == occurred


def test_random_objects_are_recognized_as_nobody() -> None:
    """
    Given: 20,000 objects of the words that all senders use, with random values
    When: they are looked up in a table of rows that each have a word of their vendor's
    Then: no row describes any of them
    """
    rows = [row for row in ROWS if not row.weak]
    words = ["id", "type", "event", "data", "message", "status", "name", "url", "user", "time"]
    words += [*("repository", "detail", "source", "product", "Message", "Type", "version", "alert")]
    recognizer, chance = compile_senders(rows), random.Random(1)
    for _ in range(20_000):
        payload: dict[str, Any] = {
            word: chance.choice([1, True, None, "text", {"id": 1}, [], {"uuid": "x"}])
            for word in chance.sample(words, chance.randint(1, 12))
        }
        if not {"detail", "source"} <= payload.keys() or "detail-type" not in payload:
            assert recognizer.recognize(payload, {"content-type": "application/json"}) is None


# ---- hostile texts


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
    assert max(map(cpu_milliseconds, work)) < 300


# For each compiled pattern of the module: how the texts begin that take it longest, what they
# repeat, and how they end.
WORST_TEXTS: dict[str, list[tuple[str, str, str]]] = {
    "PATH_SHAPE": [("", "a", "["), ("", "a.", ""), ("", "[a]", "[")],
    "PATH_STEP": [("", "a", ""), ("", "[", ""), ("", "[a", "")],
    "NAME_ENTRY": [("", "{", ""), ("", "a{", ""), ("", "{a}", "{")],
    "BRACED": [("", "{", ""), ("", "{a", ""), ("{", "a", "")],
    "PLAIN_NUMBER": [("", "1", ""), ("1.", "1", "")],
    "SEVERITY_CODE": [("", "sev", "")],
    "SEVERITY_LABEL": [("", "a", ""), ("1 - ", "a ", ""), ("a (", "1", "")],
    "SEVERITY_RANGE": [("1", " ", ""), ("1-", " ", "x")],
    "NOT_A_SEVERITY_WORD": [("", "-", "a")],
    "RFC_3339_UTC": [("2024-05-01T12:00:00.", "0", "")],
    "LEAP_SECOND": [("", "12:00:", ""), ("", "1", "")],
    "YEAR_FIRST": [
        *(("2024-05-01", " ", ""), ("2024-05-01 12:00:00.", "1", "")),
        *(("2024-05-01 12:00:00", " ", "("), ("2024-05-01 12:00:00 UTC", " ", "((")),
    ],
    "DAY_FIRST": [("MAY", " ", ""), ("01 MAY 2024", " ", ""), ("01 MAY 2024 12:00 UTC", " ", "((")],
    "MONTH_FIRST": [
        *(("WED", " ", ""), ("MAY", " ", "1  "), ("MAY 1", " ", "12:00 UTC  20")),
        *(("MAY 1 12:00 UTC", " ", "20"), ("MAY 1 12:00 UTC", "(", "")),
    ],
    "NUMBERS_ONLY": [("05/20/2024", " ", ""), ("05/20/2024 12:00", " ", "")],
    "DOTNET_DATE": [("/DATE(", "1", "")],
    "EPOCH_NUMBER": [("", "1", ""), ("123456789.", "1", "x")],
    "NAMED_HEADER": [("", "header", ""), ("header:", "a", "")],
    "WEB_ADDRESS": [("https://", "a", " ")],
    "NOT_IN_A_KEY": [("", "-", ""), ("", "-a", "")],
    "ONE_WORD": [("", "a", " ")],
    "NOT_A_NAME": [
        *(("", "-", "a b"), ("[", " ", ""), ("", "@", " "), ("", "a@", " "), ("", "a", ":")),
        *(("", "a", "1 b"), ("", "1.", " x")),
    ],
}
SEARCHED = ["PATH_STEP", "BRACED", "NAME_ENTRY", "LEAP_SECOND", "NAMED_HEADER", "NOT_IN_A_KEY"]


def test_every_pattern_has_its_worst_text() -> None:
    assert compiled_patterns(mapping) == WORST_TEXTS.keys()


@pytest.mark.parametrize("name", sorted(WORST_TEXTS))
def test_every_pattern_takes_a_time_in_proportion_to_the_text(name: str) -> None:
    """
    Given: a pattern, and texts that keep it busy
    When: it reads them in the ways the module does, or in a slower one
    Then: sixteen times the text takes about sixteen times as long
    """
    pattern = getattr(mapping, name)
    for start, part, end in WORST_TEXTS[name]:

        def text(size: int, start: str = start, part: str = part, end: str = end) -> str:
            return f"{start}{part * size}{end}"

        for way in ("fullmatch", "match", *(["sub"] if name in SEARCHED else [])):
            assert_linear(pattern, way, text)
