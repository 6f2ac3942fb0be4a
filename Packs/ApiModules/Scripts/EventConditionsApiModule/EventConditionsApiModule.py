"""Conditions on an event, as a person writes them, and whether they hold.

It is for texts such as ``status=resolved|ok, level!=error``, each line of which is a rule:

- ``path=value`` holds where the path leads to that value, in upper or lower case; where it leads to
  a list, to any of its first 200 elements.
- ``path!=value`` is the opposite, so that it also holds where the path leads to nothing.
- ``|`` stands between values, of which any counts.
- ``*`` at a value's end stands for any text: ``host=web-*``. Alone, as in ``host=*``, it stands for
  any value; ``host!=*`` holds where there is none.
- Commas join the conditions of a rule, and all of them must hold. Of several rules, any counts.

It knows nothing of how a path finds its value, of what follows where a rule holds, or of Cortex
XSOAR.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

MAX_VALUE_CHARACTERS = 1000  # that are compared
MAX_ELEMENTS = 200  # of a list that are compared: a request's events may share a long one
MAX_RULES = 100
MAX_COMPARED_BITS = 4000  # of an integer: Python refuses to write one of more than 4,300 digits
CONDITION = re.compile(r"([^=!|]+)(!?=)([^=].*)")
CONDITION_HELP = "write path=value or path!=value, such as status=resolved|ok."


class FindsValue(Protocol):
    """A path into an event."""

    def find_in(self, payload: dict[str, Any], shared: dict[str, Any]) -> Any:
        """Return the value in a payload, else in what the events of its request share."""


class Condition(NamedTuple):
    """What a path's value has to be, or must not be."""

    path: FindsValue
    values: frozenset[str]
    beginnings: tuple[str, ...]
    wanted: bool  # False for !=

    def holds(self, payload: dict[str, Any], shared: dict[str, Any]) -> bool:
        """Return whether an event meets the condition."""
        for text in compared_texts(self.path.find_in(payload, shared)):
            if text in self.values or text.startswith(self.beginnings):
                return self.wanted
        return not self.wanted


class EventRule(NamedTuple):
    """Conditions that must all hold, and the line in which they were written."""

    text: str
    conditions: tuple[Condition, ...]


class EventConditions(NamedTuple):
    """Rules, of which any counts."""

    rules: tuple[EventRule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rules)

    @property
    def paths(self) -> "tuple[Any, ...]":
        """Return all paths."""
        return tuple(one.path for rule in self.rules for one in rule.conditions)

    def find_rule(self, payload: dict[str, Any], shared: dict[str, Any]) -> str | None:
        """Return the text of the first rule that holds for an event, None where none does."""
        for rule in self.rules:
            for condition in rule.conditions:
                if not condition.holds(payload, shared):
                    break
            else:
                return rule.text
        return None

    def hold(self, payload: dict[str, Any], shared: dict[str, Any]) -> bool:
        """Return whether any rule holds for an event."""
        return self.find_rule(payload, shared) is not None


def compared_texts(value: Any) -> Iterator[str]:
    """Yield the texts of a value, or of a list's elements, that conditions are compared with.

    An object, and a list in a list, have none of their own: they are there, and that is all.
    """
    for element in value[:MAX_ELEMENTS] if isinstance(value, list) else (value,):
        if isinstance(element, str):
            text = element[:MAX_VALUE_CHARACTERS].strip().casefold()
            if text:
                yield text
        elif isinstance(element, float) and element.is_integer():
            yield str(int(element))
        elif isinstance(element, int) and element.bit_length() > MAX_COMPARED_BITS:
            yield ""
        elif isinstance(element, (bool, int, float)):
            yield json.dumps(element).casefold()
        elif element is not None:
            yield ""


def read_conditions(
    value: Any, make_path: Callable[[str], FindsValue], report_problem: Callable[[str], None]
) -> EventConditions:
    """Return the rules that a person wrote, a line each.

    ``make_path`` raises ValueError for a text that is not a path. A rule with a mistake is reported
    and left out as a whole: with fewer conditions it would hold for more events.
    """
    listed = isinstance(value, (list, tuple))
    lines = [str(line) for line in value] if listed else str(value or "").split("\n")
    rules = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rules.append(parse_rule(line.strip(), make_path))
        except ValueError as error:
            report_problem(f"Line {number}: {error}" if len(lines) > 1 else str(error))
    if len(rules) > MAX_RULES:
        report_problem(f"there are more than {MAX_RULES} lines; join values with |.")
    return EventConditions(tuple(rules[:MAX_RULES]))


def parse_rule(text: str, make_path: Callable[[str], FindsValue]) -> EventRule:
    """Return a rule; raises ValueError that says how to fix it."""
    parts = [part.strip() for part in text.split(",")]
    return EventRule(text, tuple(parse_condition(part, make_path) for part in parts if part))


def parse_condition(text: str, make_path: Callable[[str], FindsValue]) -> Condition:
    """Return a condition; raises ValueError that says how to fix it."""
    match = CONDITION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:100]!r} is not a condition; {CONDITION_HELP}")
    path = make_path(match[1].strip())
    values, beginnings = set(), []
    for given in match[3].split("|"):
        value = given.strip().casefold()
        if not value:
            raise ValueError(
                f"{text[:100]!r} has an empty value; {CONDITION_HELP} "
                f"For an event without any value write {match[1].strip()[:100]}!=*."
            )
        if len(value) > MAX_VALUE_CHARACTERS:
            raise ValueError(
                f"{text[:100]!r} has a value of more than {MAX_VALUE_CHARACTERS} characters; "
                "write its beginning and *."
            )
        if "*" in value[:-1]:
            raise ValueError(
                f"{text[:100]!r} has a * that is not at a value's end; only there it stands for "
                "any text."
            )
        if value.endswith("*"):
            beginnings.append(value[:-1])
        else:
            values.add(value)
    return Condition(path, frozenset(values), tuple(beginnings), match[2] == "=")
