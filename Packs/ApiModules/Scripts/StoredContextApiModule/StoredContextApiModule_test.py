"""Unit tests of StoredContextApiModule.py."""

import json
from typing import Any

import pytest
import StoredContextApiModule as stored_context

PROMISED = {"fields": {"name": "n", "rawJSON": "{}"}, "key": None, "request": "0a", "index": 0}


class TestReading:
    @pytest.mark.parametrize(
        "text, found",
        [
            (None, {}),
            ("", {}),
            ('["a:1","a:2"]', {"a:1": None, "a:2": None}),
            ('{"a:1":"17","a:2":null,"a:3":18}', {"a:1": "17", "a:2": None, "a:3": 18}),
            ({"a:1": "17"}, {"a:1": "17"}),
        ],
    )
    def test_found_ids_are_read_in_both_forms(self, text: Any, found: dict[str, Any]) -> None:
        """
        Given: found_ids as an older integration wrote them, or ours
        When: they are read
        Then: each event is known, with its incident's ID where there is one
        """
        damages: list[str] = []
        assert stored_context.read_found(text, damages) == found
        assert damages == []

    def test_only_the_newest_5000_of_the_older_form_are_kept(self) -> None:
        """
        Given: more than 5,000 keys
        When: they are read
        Then: the newest are kept
        """
        found = stored_context.read_found(json.dumps([f"a:{number}" for number in range(5001)]), [])
        assert len(found) == 5000
        assert "a:0" not in found

    @pytest.mark.parametrize("text", ["{", "5", '"x"', "[1]", '{"a":[]}', "[" * 100_000, 5])
    def test_damaged_found_ids_are_reported_and_empty(self, text: Any) -> None:
        """
        Given: found_ids that cannot be read
        When: they are read
        Then: the damage is named, and nothing is known
        """
        damages: list[str] = []
        assert stored_context.read_found(text, damages) == {}
        assert len(damages) == 1
        assert damages[0].startswith("found_ids ")

    @pytest.mark.parametrize("text", ["{", "5", '{"a":1}', "[1]", "[" * 100_000])
    def test_damaged_samples_are_reported_and_empty(self, text: str) -> None:
        """
        Given: sample_events that cannot be read
        When: they are read
        Then: the damage is named, and there are none
        """
        damages: list[str] = []
        assert stored_context.read_samples(text, damages) == []
        assert len(damages) == 1
        assert damages[0].startswith("sample_events ")

    def test_the_last_20_samples_are_read_oldest_first(self) -> None:
        """
        Given: more samples than we keep
        When: they are read
        Then: the last 20, in order
        """
        text = json.dumps([{"name": str(number)} for number in range(25)])
        assert [sample["name"] for sample in stored_context.read_samples(text, [])] == [
            str(number) for number in range(5, 25)
        ]

    def test_a_promised_event_is_read_as_it_was_written(self) -> None:
        """
        Given: promised events with an index, and without one, as an earlier version wrote them
        When: they are read
        Then: all of them are there
        """
        old = {name: value for name, value in PROMISED.items() if name != "index"}
        damages: list[str] = []
        text = json.dumps([PROMISED, old, {**PROMISED, "key": "id:1"}])
        assert stored_context.read_promised(text, damages) == json.loads(text)
        assert stored_context.read_promised(None, damages) == []
        assert damages == []

    @pytest.mark.parametrize(
        "changed",
        [
            {"fields": None},
            {"fields": {"name": "n"}},
            {"fields": {"rawJSON": 5}},
            {"key": 5},
            {"request": None},
            {"index": "0"},
        ],
    )
    def test_a_damaged_promise_is_reported_and_the_others_are_kept(
        self, changed: dict[str, Any]
    ) -> None:
        damages: list[str] = []
        text = json.dumps([PROMISED, {**PROMISED, **changed}])
        assert stored_context.read_promised(text, damages) == [PROMISED]
        assert damages == ["promised is damaged: 1 of 2 are not incidents"]

    @pytest.mark.parametrize("text", ["{}1", '{"a": 1}', "5", "[5]"])
    def test_damaged_promises_are_reported_and_none(self, text: str) -> None:
        damages: list[str] = []
        assert stored_context.read_promised(text, damages) == []
        assert damages
        assert all(damage.startswith("promised is ") for damage in damages)


class TestContext:
    @pytest.mark.parametrize("value", [None, {}, ""])
    def test_an_empty_one_holds_nothing_and_is_not_damaged(self, value: Any) -> None:
        context, stored = stored_context.read_context(value)
        assert (context, stored) == ({}, stored_context.Stored([], {}, {}, [], "", ""))

    def test_a_whole_one_is_read(self) -> None:
        """
        Given: a context with all of our values, and one of somebody else's
        When: it is read
        Then: each value is there, and the other one is left in the context
        """
        written = {
            stored_context.SAMPLES_KEY: '[{"name": "1"}]',
            stored_context.FOUND_KEY: '{"id:1": "17"}',
            stored_context.TIMES_KEY: '{"id:1": 5, "id:2": 0.5, "id:3": "soon"}',
            stored_context.PROMISED_KEY: json.dumps([PROMISED]),
            stored_context.RESET_KEY: "events",
            "others": "kept",
        }
        context, stored = stored_context.read_context(written)
        assert context == written
        assert context is not written
        assert stored == stored_context.Stored(
            [{"name": "1"}], {"id:1": "17"}, {"id:1": 5, "id:2": 0.5}, [PROMISED], "events", ""
        )

    def test_all_that_is_damaged_is_named_and_the_rest_is_read(self) -> None:
        _, stored = stored_context.read_context(
            {
                stored_context.SAMPLES_KEY: "{",
                stored_context.FOUND_KEY: '{"a": []}',
                stored_context.TIMES_KEY: "[5]",
                stored_context.PROMISED_KEY: "5",
                stored_context.RESET_KEY: "all",
            }
        )
        assert stored == stored_context.Stored([], {}, {}, [], "all", stored.damage)
        assert stored.damage.split("; ") == [
            "sample_events is not JSON",
            "found_ids maps no events to incident IDs",
            "promised is not a list of incidents",
        ]

    @pytest.mark.parametrize("value", ["text", 5, ["a"]])
    def test_a_context_that_is_no_object_is_damaged(self, value: Any) -> None:
        context, stored = stored_context.read_context(value)
        assert context == {}
        assert stored.damage == "it is not an object"

    def test_the_platform_gets_texts_only(self) -> None:
        texts = stored_context.texts_of({"a": "x", "b": {"c": [1]}, 5: None})
        assert texts.keys() == {"a", "b", "5"}
        assert (texts["a"], json.loads(texts["b"]), json.loads(texts["5"])) == (
            "x",
            {"c": [1]},
            None,
        )
