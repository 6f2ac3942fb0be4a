"""Unit tests of IncidentFieldsApiModule.py."""

import itertools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import IncidentFieldsApiModule as incident_fields
import pytest

from Tests.costs import cpu_milliseconds

MARKER = "[ERROR-fd5a7750-7182-4b38-90ba-091824478903]"
NOW = "2024-05-01T12:00:00.250000Z"
WEBHOOK = '{"delivery":"0a0a0a0a0a0a/0"}'
SIZE = 25 * 1024**2  # the largest body


def nested(levels: int, kind: str) -> Any:
    """Return objects or arrays within one another."""
    value: Any = "deep"
    for _ in range(levels):
        value = {"a": value} if kind == "object" else [value]
    return value


def no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; a name that it has twice is an error."""
    assert len({name for name, _ in pairs}) == len(pairs), pairs
    return dict(pairs)


def parsed(text: str) -> Any:
    return json.loads(text, object_pairs_hook=no_repeats)


# ---- JSON


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        "text",
        {
            "events": [{"id": number, "text": "ü\u2028"} for number in range(1200)],
            "empty": [[], {}],
            "none": None,
        },
        {str(number): number for number in range(1501)},
        [[[[[[1]]]]], *range(500)],
        ["[ERROR-1a2b3c4d-ERROR]", {"[ERROR-1a2b3c4d-ERROR]": [""] * 1000}],
        {'"': {"\\": [MARKER, {MARKER: 1}]}},
        nested(200, "object"),
        nested(200, "array"),
    ],
)
def test_a_native_thread_writes_the_same_json_in_pieces(value: object) -> None:
    compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    with ThreadPoolExecutor(1) as native_thread:
        in_pieces = native_thread.submit(incident_fields.to_json, value).result()
    assert in_pieces == incident_fields.to_json(value)
    assert in_pieces == compact.replace(MARKER, "\\u005b" + MARKER[1:])


def test_without_the_encoder_in_c_the_json_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"a": [1, 1.5, True, None, 'ü\u2028"', {}, []], "b": {"c": MARKER}}
    in_c = incident_fields.make_encoder()
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    assert (
        incident_fields.make_encoder()(value) == in_c(value) == incident_fields.encode_json(value)
    )


class TestMarker:
    def test_json_does_not_hold_it_and_the_parsed_value_does(self) -> None:
        text = incident_fields.to_json({MARKER: [MARKER * 2, f"a{MARKER}b"]})
        assert MARKER not in text
        assert json.loads(text) == {MARKER: [MARKER * 2, f"a{MARKER}b"]}

    @pytest.mark.parametrize("text", ['{"a": "[ERROR-1"}', '{"a": 1.10}', "[ERROR-", ""])
    def test_any_other_text_stays(self, text: str) -> None:
        assert incident_fields.without_marker(text) == text

    def test_a_field_has_it_broken_up(self) -> None:
        field = incident_fields.plain_field(f"a{MARKER}b[ERROR-c]")
        assert field == "a[ERROR fd5a7750-7182-4b38-90ba-091824478903]b[ERROR-c]"


class TestPlainField:
    @pytest.mark.parametrize(
        "text, kept",
        [
            ("x" * 600, "x" * 600),
            ("é" * 600, "é" * 600),
            ("x" * 601, "x" * 600),
            ("x" * 599 + "e\u0301" + "y" * 100, "x" * 599),
            ("x" * 598 + "👩\u200d👧" + "y", "x" * 598),
            ("\u0301" * 700, "\u0301" * 600),
        ],
    )
    def test_a_long_text_is_cut_at_a_whole_character(self, text: str, kept: str) -> None:
        assert incident_fields.plain_field(text, 600) == kept

    def test_without_a_limit_nothing_is_cut(self) -> None:
        assert incident_fields.plain_field("x" * 10_000) == "x" * 10_000


# ---- sizes


class TestLengths:
    @pytest.mark.parametrize("text", ["", "abc", "ü€😀", 'a"b\\'])
    def test_a_small_text_counts_in_utf_8(self, text: str) -> None:
        assert incident_fields.byte_length(text) == len(text.encode())
        assert incident_fields.escaped_length(text) == len(text.encode())

    @pytest.mark.parametrize("text", ["x", 'a"', "\\", "ü", "€a"])
    def test_a_large_text_counts_as_the_platform_escapes_it(self, text: str) -> None:
        large = text * 40_000
        assert incident_fields.escaped_length(large) == len(json.dumps(large)) - 2


class TestShorten:
    def test_what_is_short_enough_stays(self) -> None:
        value = {"a": "x" * 8, "b": [1, None], "c": {"d": 1.5, "e": True}}
        assert incident_fields.shorten(value, 8, 3) == value

    def test_texts_lists_objects_and_names_are_cut_and_say_so(self) -> None:
        value = {"a": "x" * 9, "b": [1, 2, 3], "n" * 300: 1, "left out": 2}
        assert incident_fields.shorten(value, 8, 2) == {
            "a": "xxxxxxxx... [cut, 9 characters]",
            "b": [1, 2, "[cut, 3 elements]"],
            "[cut]": "4 fields",
        }
        assert incident_fields.shorten({"n" * 257: [["long"]]}, 2, 2) == {
            "n" * 256 + "... [cut]": [["lo... [cut, 4 characters]"]]
        }

    @pytest.mark.parametrize("most", [100, 1000, 30_000, 1_000_000])
    @pytest.mark.parametrize(
        "value",
        [
            "x" * 100_000,
            ["é" * 5000] * 50,
            {str(number): number for number in range(50_000)},
            nested(200, "object"),
            [["a"] * 100] * 100,
        ],
    )
    def test_json_is_at_most_so_long(self, value: Any, most: int) -> None:
        text = incident_fields.shorten_json(value, most)
        assert len(text.encode()) <= most
        json.loads(text)

    @pytest.mark.parametrize("most", [0, -5])
    def test_without_room_it_says_that_it_was_cut(self, most: int) -> None:
        assert incident_fields.shorten_json(["a"], most) == '"[cut]"'


class TestSmallSample:
    def size(self, sample: dict[str, Any]) -> int:
        return len(json.dumps(sample, ensure_ascii=False).encode())

    def test_a_small_one_stays_as_it_is(self) -> None:
        """
        Given: an incident under 64 KB
        When: it becomes a sample
        Then: nothing of it is cut
        """
        incident = {"name": "n", "rawJSON": '{"a":"' + "x" * 60_000 + '"}'}
        assert incident_fields.small_sample(incident) == incident
        assert incident_fields.small_sample({"name": "n"}) == {"name": "n", "rawJSON": "{}"}

    @pytest.mark.parametrize(
        "raw, mark",
        [
            ({"a": "x" * 100_000, "b": "short"}, "... [cut, 100000 characters]"),
            ({"a": ["€" * 2000] * 40, "b": "short"}, "... [cut, 2000 characters]"),
            ({"a": list(range(50_000)), "b": "short"}, "[cut, 50000 elements]"),
            ({"b": "short", **{f"k{number}": "v" for number in range(20_000)}}, "[cut]"),
            ({"b": "short", "k" * 100_000: 1}, "k... [cut]"),
        ],
    )
    def test_a_large_one_is_cut_and_marked(self, raw: dict[str, Any], mark: str) -> None:
        """
        Given: an incident over 64 KB, for its strings, lists, fields or names
        When: it becomes a sample
        Then: it is at most 64 KB of valid JSON, the cut is marked, and short fields are whole
        """
        incident = {"name": "n", "rawJSON": json.dumps(raw, ensure_ascii=False)}
        sample = incident_fields.small_sample(incident)
        assert self.size(sample) <= 64 * 1024
        assert sample["name"] == "n"
        assert json.loads(sample["rawJSON"])["b"] == "short"
        assert mark in sample["rawJSON"]

    def test_other_fields_are_cut_too(self) -> None:
        """
        Given: an incident whose details are large
        When: it becomes a sample
        Then: they are cut and marked
        """
        incident = {"name": "n", "details": "x" * 100_000, "rawJSON": '{"a":1}'}
        sample = incident_fields.small_sample(incident)
        assert self.size(sample) <= 64 * 1024
        assert sample["details"].endswith("... [cut, 100000 characters]")
        assert sample["rawJSON"] == '{"a":1}'

    @pytest.mark.parametrize("raw", ["{" + "x" * 100_000, "[" * 100_000])
    def test_raw_json_that_cannot_be_parsed_is_kept_as_text(self, raw: str) -> None:
        """
        Given: an incident of another version whose rawJSON cannot be parsed
        When: it becomes a sample
        Then: it is text, cut
        """
        sample = incident_fields.small_sample({"name": "n", "rawJSON": raw})
        assert json.loads(sample["rawJSON"])["body"].startswith(raw[:4])
        assert self.size(sample) <= 64 * 1024

    @pytest.mark.parametrize("levels", [400, 700, 900, 5000])
    def test_one_nested_too_deep_is_a_sample_still(self, levels: int) -> None:
        """
        Given: an incident of another version, whose rawJSON is nested deeper than Python recurses
        When: it becomes a sample
        Then: it is at most 64 KB, and has its name
        """
        raw = '{"a":' * levels + "1" + "}" * levels
        sample = incident_fields.small_sample({"name": "n", "rawJSON": raw})
        assert sample["name"] == "n"
        assert self.size(sample) <= 64 * 1024

    def test_what_cannot_be_cut_down_leaves_a_note(self) -> None:
        """
        Given: an incident of nothing but structure
        When: it becomes a sample
        Then: a note stands in its place
        """
        wide: Any = 1
        for _ in range(15):
            wide = [wide, wide]
        incident = {"name": "n" * 200, "rawJSON": json.dumps(wide)}
        assert incident_fields.small_sample(incident) == {
            "name": "n" * 100,
            "rawJSON": '{"cut":"the sample was too large to keep"}',
        }


# ---- rawJSON


class TestShare:
    def test_one_event_or_few_have_it_whole(self) -> None:
        fields = {"headers": {"a": "x" * 9000}, "path": "/p"}
        for events in (0, 1, 2, 1000):
            shared = incident_fields.share(fields, events)
            assert shared.fields == fields
            assert shared.first == shared.others
            assert parsed(f"{{{shared.first}}}") == fields

    def test_large_headers_are_whole_once_and_bounded_in_the_others(self) -> None:
        """
        Given: a request of 1,000 events with large headers
        When: what they share is encoded
        Then: the first has it whole, and the others have what fits 16 MB in total, marked
        """
        fields = {"headers": {"x-long": "y" * 30_000, "x-short": "z"}, "path": "/p"}
        shared = incident_fields.share(fields, 1000)
        others = parsed(f"{{{shared.others}}}")
        assert parsed(f"{{{shared.first}}}") == fields
        assert others["headers"]["x-short"] == "z"
        assert others["headers"]["x-long"].endswith("... [cut, 30000 characters]")
        assert others["path"] == "/p"
        assert "whole in an earlier incident" in others["headers_shortened"]
        assert len(shared.others) * 1000 < incident_fields.MAX_SHARED_BYTES

    @pytest.mark.parametrize(
        "body",
        ["x" * 3_000_000, ["x" * 100] * 30_000, {str(number): number for number in range(200_000)}],
        ids=["text", "array", "object"],
    )
    def test_a_large_parent_is_whole_once_and_bounded_in_the_others(self, body: Any) -> None:
        count = 500
        request = incident_fields.share({"headers": {"a": "b"}}, count)
        parent = {"body": body, "small": "kept"}
        shared = incident_fields.share_parent(parent, request, count, leads=True)
        first, others = (parsed(f"{{{text}}}") for text in (shared.first, shared.others))
        assert first == shared.fields == {"headers": {"a": "b"}, "parent": parent}
        assert "whole in an earlier incident" in others["parent_shortened"]
        assert others["headers"] == {"a": "b"}
        assert len(shared.others) * count < incident_fields.MAX_SHARED_BYTES + count * 1000

    def test_a_second_parent_comes_with_the_shortened_headers(self) -> None:
        request = incident_fields.share({"headers": {"a": "x" * 30_000}}, 1000)
        leads, follows = (
            parsed(f"{{{incident_fields.share_parent({'p': 1}, request, 1000, is_first).first}}}")
            for is_first in (True, False)
        )
        assert leads == {"headers": {"a": "x" * 30_000}, "parent": {"p": 1}}
        assert "headers_shortened" in follows
        assert follows["parent"] == {"p": 1}


CLASHES = (
    *("webhook", "request_webhook", "headers", "request_headers", "request_request_headers"),
    *("headers_shortened", "request_headers_shortened", "parent", "parent_shortened"),
    *("path", "mirror_tags", "a"),
)


class TestRawJson:
    @pytest.mark.parametrize("count", range(4))
    @pytest.mark.parametrize("first", [True, False], ids=["first", "another"])
    def test_a_field_of_ours_never_replaces_the_sender_s(self, count: int, first: bool) -> None:
        """
        Given: payloads with each selection of the names that are added to an event
        When: they become rawJSON
        Then: each name is there once, the sender's fields are as sent, and ours all follow,
            with request_ before a name as often as it takes
        """
        ours = {"headers": {"h": "x" * 30_000}, "path": "/p", "mirror_tags": ["t"]}
        request = incident_fields.share(ours, 1000)
        shared = incident_fields.share_parent({"p": "x" * 30_000}, request, 1000, leads=True)
        added = parsed(f"{{{shared.first if first else shared.others}}}")
        added["webhook"] = json.loads(WEBHOOK)
        for names in itertools.combinations(CLASHES, count):
            raw: dict[str, Any] = dict.fromkeys(names, "the sender's")
            made = parsed(incident_fields.raw_json(raw, shared, first, WEBHOOK))
            assert {name: made.pop(name) for name in names} == raw
            assert len(made) == len(added)
            for name, value in added.items():
                while name in raw:
                    name = f"request_{name}"
                assert made[name] == value

    @pytest.mark.parametrize("name", ["headers", "query", "path"])
    def test_a_note_never_replaces_a_field_of_the_sender_s(self, name: str) -> None:
        """
        Given: 10,000 events of a request with a long path, query string and header, all of which
            are shortened, and an event with a field that is called like a note about that
        When: that event becomes rawJSON
        Then: its own field is as sent, and the note has another name
        """
        ours = {"headers": {"h": "x" * 9000}, "query": {"q": "x" * 9000}, "path": "x" * 9000}
        shared = incident_fields.share(ours, 10_000)
        raw = {f"{name}_shortened": "the sender's"}
        made = parsed(incident_fields.raw_json(raw, shared, False, WEBHOOK))
        assert made[f"{name}_shortened"] == "the sender's"
        assert "whole in an earlier incident" in made[f"request_{name}_shortened"]

    def test_a_name_taken_twice_gets_another_prefix(self) -> None:
        shared = incident_fields.share({"path": "/firewall/a", "headers": {}}, 1)
        raw = {"path": "/own", "request_path": 5, "headers": None}
        assert parsed(incident_fields.raw_json(raw, shared, True, WEBHOOK)) == {
            "path": "/own",
            "request_path": 5,
            "headers": None,
            "request_request_path": "/firewall/a",
            "request_headers": {},
            "webhook": json.loads(WEBHOOK),
        }

    @pytest.mark.parametrize(
        "text",
        [
            '{"price": 1.10, "long": 12345678901234567890.12345678901234567890, "small": 1E-7}',
            '{ "a" : [ 1 , 2 ] }',
            '{"headers": 1.10}',
            '{"webhook": 1.10}',
            '{"headers_shortened": 1.10}',
        ],
    )
    def test_verbatim_text_stays_whatever_its_names(self, text: str) -> None:
        shared = incident_fields.share({"headers": {}}, 1)
        made = incident_fields.raw_json(json.loads(text), shared, True, WEBHOOK, text)
        assert made.startswith(text[:-1] + ",")
        assert parsed(made).items() >= json.loads(text).items()

    def test_the_error_marker_in_verbatim_text_is_escaped(self) -> None:
        shared = incident_fields.share({"headers": {"x": MARKER}}, 1)
        raw = {"a": MARKER}
        made = incident_fields.raw_json(raw, shared, True, WEBHOOK, json.dumps(raw))
        assert MARKER not in made
        assert parsed(made)["a"] == parsed(made)["headers"]["x"] == MARKER

    @pytest.mark.parametrize("text", ["", "{}", "{ }"])
    def test_an_empty_event_has_what_is_added(self, text: str) -> None:
        shared = incident_fields.share({"headers": {"a": "b"}}, 1)
        made = incident_fields.raw_json({}, shared, True, WEBHOOK, text)
        assert made == f'{{"headers":{{"a":"b"}},"webhook":{WEBHOOK}}}'

    def test_mirroring_fields_are_renamed(self) -> None:
        payload = {
            **{name: name for name in incident_fields.MIRRORING_FIELDS},
            "a": {"mirror_id": 1},
        }
        assert incident_fields.without_mirroring(payload) == {
            **{f"payload_{name}": name for name in incident_fields.MIRRORING_FIELDS},
            "a": {"mirror_id": 1},
        }

    def test_a_renamed_mirroring_field_replaces_none_of_the_sender_s(self) -> None:
        payload = {
            "mirror_id": 1,
            "payload_mirror_id": 2,
            "payload_mirror_tags": 3,
            "mirror_tags": 4,
            "payload_payload_mirror_tags": 5,
        }
        renamed = incident_fields.without_mirroring(payload)
        assert sorted(renamed.values()) == [1, 2, 3, 4, 5]
        assert renamed["payload_mirror_id"] == 2
        assert renamed["payload_payload_mirror_id"] == 1
        assert renamed["payload_payload_payload_mirror_tags"] == 4


# ---- details


def hides(name: str) -> bool:
    return name in ("token", "password")


def hide_secrets(text: str) -> str:
    return text.replace("s3cret", "***")


def details_of(payload: dict[str, Any], shared: dict[str, Any] | None = None, **fields: Any) -> str:
    """Return the details of a payload, with the fields that its incident has already."""
    return incident_fields.vendor_event_details(
        payload, {"headers": {}, **(shared or {})}, {"occurred": NOW, **fields}, hides, hide_secrets
    )


class TestDetails:
    def test_a_vendor_s_payload_has_short_details(self) -> None:
        shared = {"headers": {"user-agent": "Grafana/11"}, "source_address": "192.0.2.7"}
        payload = {"count": 3, "up": False, "none": None, "": "", "deep": {"x": 1}, "last": "line"}
        assert details_of(payload, shared, name="Disk full").split("\n") == [
            "Disk full",
            "Source: 192.0.2.7",
            "Sender: Grafana/11",
            f"Time: {NOW}",
            "count: 3",
            "up: false",
            "last: line",
        ]

    def test_details_look_deeper_where_the_first_level_says_little(self) -> None:
        payload = {"data": {"issue": {"title": "boom"}}, "list": [{"id": 7}, {"id": 8}], "no": []}
        assert details_of(payload).split("\n") == [
            f"Time: {NOW}",
            "list.0.id: 7",
            "data.issue.title: boom",
        ]

    def test_details_have_eight_lines_at_most(self) -> None:
        lines = details_of({str(number): number for number in range(30)}, name="n").split("\n")
        assert lines == ["n", f"Time: {NOW}", *(f"{number}: {number}" for number in range(6))]

    def test_details_hold_no_secret(self) -> None:
        payload = {
            "token": "s3cret",
            "auth": {"password": "s3cret"},
            "password": {"value": "s3cret"},
            "list": [{"token": "s3cret", "a": 1}],
            "link": "https://user:s3cret@example.com/x?page=2",
        }
        details = details_of(payload)
        assert "s3cret" not in details
        assert "link: https://user:***@example.com/x?page=2" in details
        assert "list.0.a: 1" in details

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
            {"a": "\ud800" * 3000},
            nested(200, "object"),
        ],
    )
    def test_details_are_at_most_2_kb(self, payload: Any) -> None:
        details = details_of(payload, {"headers": {"user-agent": "u" * 9000}}, name="n" * 9000)
        assert len(details.encode("utf-8", "surrogatepass")) <= 2048
        assert "n" * 200 + "\n" in details

    def test_a_payload_s_own_details_stay(self) -> None:
        assert details_of({"details": "mine", "x": 1}) == "mine"
        assert "x: 1" in details_of({"details": {"a": 1}, "x": 1})
        assert "x: 1" in details_of({"details": " \n", "x": 1})
        assert details_of({"details": "d" * 10**6, "x": 1}) == "d" * 32 * 1024

    def test_details_cannot_hold_the_platform_s_error_marker(self) -> None:
        assert MARKER not in details_of({"a": MARKER, "b": 1}, name=MARKER)
        assert MARKER not in details_of({"details": MARKER})


def wide_levels() -> dict[str, Any]:
    """Return a payload of many objects on many levels, none of which has anything to show."""
    level: dict[str, Any] = {}
    for _ in range(8):
        level = {str(number): level for number in range(40)}
    return level


class TestHostilePayloads:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: {"a": "x" * SIZE},
            lambda: {"a": "[ERROR-" * (SIZE // 7), "b": "?@://" * (SIZE // 5)},
            lambda: {"details": "\u0301" * (SIZE // 2)},
            lambda: {"details": " " * SIZE, "b": 1},
            lambda: {str(number): None for number in range(500_000)},
            lambda: {"a": [[0] * 1000] * 1000, "b": [{}] * 1_000_000},
            wide_levels,
            lambda: nested(200, "object"),
        ],
        ids=["text", "marks", "combining", "blank", "wide", "arrays", "levels", "deep"],
    )
    def test_details_cost_little(self, make: Callable[[], dict[str, Any]]) -> None:
        """
        Given: a payload of up to 25 MB, whose details are expensive to write
        When: its details are written
        Then: that takes less than a second, and they are short
        """
        payload = make()
        assert len(details_of(payload).encode()) <= 2 * 32 * 1024
        assert cpu_milliseconds(lambda: details_of(payload), 500) < 1000

    def test_details_ask_about_a_field_at_most_twice(self) -> None:
        """
        Given: a payload of 40 times 40 objects, with 40 fields each that say nothing
        When: its details are written
        Then: each field's name is looked at once for a line, and once for the next level
        """
        asked: list[str] = []

        def hides_nothing(name: str) -> bool:
            asked.append(name)
            return False

        leaf: dict[str, Any] = {str(number): {} for number in range(100)}
        payload = {str(one): {str(two): leaf for two in range(100)} for one in range(100)}
        incident_fields.vendor_event_details(
            payload,
            {"headers": {}},
            {"occurred": NOW},
            hides_nothing,
            hide_secrets,
        )
        assert len(asked) <= 2 * (40 + 40 * 40 + 40 * 40 * 40)

    @pytest.mark.parametrize(
        "value",
        [
            "x" * SIZE,
            "\\" * (SIZE // 2),
            ["ab"] * 100_000,
            {str(number): number for number in range(50_000)},
            [[["a"] * 100] * 100] * 10,
            [nested(200, "array")] * 100,
        ],
        ids=["text", "escapes", "array", "object", "numbers", "deep"],
    )
    def test_values_are_shortened_within_bounds(self, value: Any) -> None:
        """
        Given: a text of 25 MB, or 100,000 values: a tenth of a large body
        When: it is cut to 64 KB
        Then: it is, within two seconds
        """
        text = incident_fields.shorten_json(value, 64 * 1024)
        assert len(text.encode()) <= 64 * 1024
        assert cpu_milliseconds(lambda: incident_fields.shorten_json(value, 64 * 1024), 500) < 2000


# ---- native format


class TestNativeFields:
    @pytest.mark.parametrize(
        "value, blank", [(None, True), ("", True), (" \n", True), ("a", False), (0, False), ([], 0)]
    )
    def test_null_and_blank_texts_count_as_absent(self, value: Any, blank: bool) -> None:
        assert incident_fields.is_blank(value) == blank

    @pytest.mark.parametrize(
        "value, words",
        [
            (True, "a boolean"),
            (1, "a number"),
            (1.5, "a number"),
            ("a", "a string"),
            ([], "an array"),
            ({}, "an object"),
            (None, "null"),
        ],
    )
    def test_a_type_is_called_what_json_calls_it(self, value: Any, words: str) -> None:
        assert incident_fields.json_type(value) == words

    @pytest.mark.parametrize(
        "read, value, words",
        [
            (incident_fields.text_field, 5, "a string, not a number"),
            (incident_fields.title_field, ["x"], "a string, not an array"),
            (incident_fields.title_field, True, "a string, not a boolean"),
            (incident_fields.object_field, "x", "an object, not a string"),
            (incident_fields.object_field, [1], "an object, not an array"),
            (incident_fields.labels_field, {"type": "a", "value": "b"}, "a list of"),
            (incident_fields.labels_field, [{"type": "a", "value": 1}], "a list of"),
            (incident_fields.labels_field, [{"type": "a"}], "a list of"),
            (incident_fields.labels_field, [{"type": "a", "value": "b", "c": "d"}], "a list of"),
            (incident_fields.labels_field, ["a"], "a list of"),
        ],
    )
    def test_another_type_is_refused(
        self, read: Callable[[Any], Any], value: Any, words: str
    ) -> None:
        with pytest.raises(ValueError, match=f"^it has to be {words}"):
            read(value)

    def test_texts_are_kept_and_titles_cut(self) -> None:
        assert incident_fields.text_field("x" * 5000) == "x" * 5000
        assert incident_fields.title_field("x" * 5000) == "x" * 600

    def test_no_field_holds_the_error_marker(self) -> None:
        labels = incident_fields.labels_field([{"type": MARKER, "value": "v"}])
        fields = incident_fields.object_field({MARKER: [MARKER, 1, {"a": [MARKER]}]})
        title = incident_fields.title_field(MARKER)
        assert MARKER not in json.dumps([labels, fields, title])
        assert labels[0]["value"] == "v"
        [[first, number, _]] = fields.values()
        assert (first, number) == (title, 1)

    def test_values_of_any_type_stay_in_an_object(self) -> None:
        value = {"text": "a", "number": 1.5, "list": [None, True, {"b": []}]}
        assert incident_fields.object_field(value) == value


@pytest.mark.parametrize("character", ["a", '"', "\\", "ü", "\u2028", "\U0001f600"])
def test_the_escaped_length_of_a_long_text_is_that_of_its_json(character: str) -> None:
    text = character * 40_000
    assert incident_fields.escaped_length(text) == len(json.dumps(text)) - 2
