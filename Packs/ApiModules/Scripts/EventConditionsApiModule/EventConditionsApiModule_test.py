"""Unit tests of EventConditionsApiModule.py."""

import json
from collections.abc import Callable
from typing import Any

import EventConditionsApiModule as conditions
import pytest

from Tests.costs import assert_patterns_are_linear


class Path:
    """A path of keys; what is not in the payload is looked for in what a request shares."""

    def __init__(self, text: str) -> None:
        if " " in text or text.startswith("$"):
            raise ValueError(f"{text!r} is not a path; write names with dots.")
        self.keys = text.split(".")

    def find_in(self, payload: dict[str, Any], shared: dict[str, Any]) -> Any:
        for value in (payload, shared):
            found: Any = value
            for key in self.keys:
                found = found.get(key) if isinstance(found, dict) else None
            if found is not None:
                return found
        return None


def read(text: Any) -> conditions.EventConditions:
    """Return the rules of a text without a mistake."""
    problems: list[str] = []
    rules = conditions.read_conditions(text, Path, problems.append)
    assert problems == []
    return rules


def problems_of(text: Any) -> list[str]:
    problems: list[str] = []
    conditions.read_conditions(text, Path, problems.append)
    return problems


class TestConditions:
    @pytest.mark.parametrize(
        "text, payload, holds",
        [
            ("status=resolved", {"status": "resolved"}, True),
            ("status=resolved", {"status": "firing"}, False),
            ("status = Resolved", {"status": " RESOLVED "}, True),
            ("status=resolved|ok", {"status": "ok"}, True),
            ("status=resolved | ok", {"status": "resolved or ok"}, False),
            ("a.b=1", {"a": {"b": 1}}, True),
            ("a.b=1", {"a": {"b": 1.0}}, True),
            ("a.b=1.5", {"a": {"b": 1.5}}, True),
            ("ok=true", {"ok": True}, True),
            ("ok=true", {"ok": False}, False),
            ("name=Straße", {"name": "STRASSE"}, True),
            ("url=http://a/?b=c", {"url": "http://a/?b=c"}, True),
            ("status=resolved, level=low", {"status": "resolved", "level": "low"}, True),
            ("status=resolved, level=low", {"status": "resolved", "level": "high"}, False),
            ("status=resolved,", {"status": "resolved"}, True),
            ("status=resolved\nlevel=low", {"status": "firing", "level": "low"}, True),
            ("status=resolved\r\n\r\nlevel=low", {"status": "resolved"}, True),
            ("status=resolved\nlevel=low", {"status": "firing", "level": "high"}, False),
            (["status=resolved", "level=low"], {"level": "low"}, True),
        ],
    )
    def test_a_rule_holds_where_all_of_its_conditions_do(
        self, text: Any, payload: dict[str, Any], holds: bool
    ) -> None:
        assert read(text).hold(payload, {}) is holds

    @pytest.mark.parametrize(
        "text, host, holds",
        [
            ("host=web-*", "WEB-01", True),
            ("host=web-*", "web", False),
            ("host=web-*|db", "db", True),
            ("host=*", "x", True),
            ("host=*", 0, True),
            ("host=*", False, True),
            ("host=*", {"name": "x"}, True),
            ("host=*", [[]], True),
            ("host=*", "  ", False),
            ("host=*", None, False),
            ("host=*", [], False),
            ("host=*", 10**2000, True),
            ("host!=*", 10**2000, False),
            ("host!=*", None, True),
        ],
    )
    def test_a_star_at_the_end_stands_for_any_text(self, text: str, host: Any, holds: bool) -> None:
        assert read(text).hold({"host": host}, {}) is holds

    @pytest.mark.parametrize(
        "payload, holds",
        [
            ({"level": "error"}, False),
            ({"level": "info"}, True),
            ({"level": ["info", "error"]}, False),
            ({"level": ["info"]}, True),
            ({"level": None}, True),
            ({}, True),
        ],
    )
    def test_unequal_is_the_opposite_of_equal_also_where_there_is_nothing(
        self, payload: dict[str, Any], holds: bool
    ) -> None:
        """
        Given: conditions with = and != on the same path
        When: the path leads to a value, to a list, or nowhere
        Then: exactly one of them holds
        """
        assert read("level!=error").hold(payload, {}) is holds
        assert read("level=error").hold(payload, {}) is not holds

    @pytest.mark.parametrize("tags", [["a", "Test"], ["test"], "test", [["x"], "test", None]])
    def test_any_element_of_a_list_counts(self, tags: Any) -> None:
        assert read("tags=test").hold({"tags": tags}, {})
        assert not read("tags=other").hold({"tags": tags}, {})

    def test_of_a_long_list_the_first_elements_count(self) -> None:
        tags = ["x"] * (conditions.MAX_ELEMENTS - 1)
        assert read("tags=test").hold({"tags": [*tags, "test"]}, {})
        assert not read("tags=test").hold({"tags": [*tags, "x", "test"]}, {})

    def test_a_value_may_stand_in_what_a_request_shares(self) -> None:
        rules = read("headers.x-event=ping")
        assert rules.hold({"n": 1}, {"headers": {"x-event": "ping"}})
        assert not rules.hold({"n": 1}, {"headers": {}})

    def test_the_rule_that_holds_is_named_as_it_was_written(self) -> None:
        rules = read("a=1, b=2\n  c=3 \na=1")
        assert rules.find_rule({"a": 1}, {}) == "a=1"
        assert rules.find_rule({"a": 1, "b": 2}, {}) == "a=1, b=2"
        assert rules.find_rule({"c": "3"}, {}) == "c=3"
        assert rules.find_rule({"d": 1}, {}) is None
        assert [path.keys for path in rules.paths] == [["a"], ["b"], ["c"], ["a"]]

    @pytest.mark.parametrize("text", ["", None, "  \n ", []])
    def test_without_a_rule_nothing_holds(self, text: Any) -> None:
        rules = read(text)
        assert not rules
        assert not rules.hold({"a": 1}, {})

    def test_only_the_beginning_of_a_long_value_counts(self) -> None:
        long = "a" * conditions.MAX_VALUE_CHARACTERS
        assert read(f"text={long}").hold({"text": long}, {})
        assert read("text=aaa*").hold({"text": long * 1000}, {})


class TestMistakes:
    @pytest.mark.parametrize(
        "text, problem",
        [
            ("status", "'status' is not a condition; write path=value or path!=value"),
            ("status: resolved", "is not a condition"),
            ("=resolved", "is not a condition"),
            ("status==resolved", "is not a condition"),
            ("status!==resolved", "is not a condition"),
            ("a|b=1", "is not a condition"),
            ("status=", "is not a condition"),
            ("title=a, b", "'b' is not a condition"),
            ("status=a||b", "has an empty value"),
            ("status= |b", "For an event without any value write status!=*."),
            ("host=*-web", "has a * that is not at a value's end"),
            ("host=a**", "has a * that is not at a value's end"),
            (f"host={'a' * 1001}", "has a value of more than 1000 characters"),
            ("$.a=1", "'$.a' is not a path; write names with dots."),
        ],
    )
    def test_a_mistake_says_how_to_fix_it(self, text: str, problem: str) -> None:
        [found] = problems_of(text)
        assert problem in found
        assert not found.startswith("Line")
        assert len(found) < 400

    def test_the_line_of_a_mistake_is_named_and_left_out_as_a_whole(self) -> None:
        """
        Given: a rule with a mistake in one of its conditions, between two others
        When: the rules are read
        Then: its line is named, and what is left of it does not hold for more events
        """
        problems: list[str] = []
        text = "a=1\n\nb=2, c\nd=4"
        rules = conditions.read_conditions(text, Path, problems.append)
        assert len(problems) == 1
        assert problems[0].startswith("Line 3: 'c' is not a condition")
        assert not rules.hold({"b": 2}, {})
        assert rules.hold({"d": 4}, {})

    def test_there_are_not_more_than_100_rules(self) -> None:
        assert problems_of("\n".join(["a=1"] * 100)) == []
        assert problems_of("\n".join(["a=1"] * 101)) == [
            "there are more than 100 lines; join values with |."
        ]


WORST_CASES: dict[str, Callable[[int], str]] = {"CONDITION": lambda n: "a" * n + "!" * n}


def test_each_regular_expression_is_linear_in_its_worst_case() -> None:
    assert_patterns_are_linear(conditions, WORST_CASES, ("fullmatch",))


def test_a_value_that_no_condition_can_name_is_no_text() -> None:
    values = [json.loads("1e999"), float("nan"), {}, None, True]
    assert list(conditions.compared_texts(values)) == ["infinity", "nan", "", "true"]
