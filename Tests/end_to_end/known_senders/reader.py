"""A plain reading of the table's conditions: slow, and independent of the integration's own.

It does what the docstring of KnownSendersApiModule says of `when`, `identity` and `closed`, so that
the table and its payloads can be checked by themselves.
"""

import json
from typing import Any, NamedTuple

from KnownSendersApiModule import KNOWN_SENDERS, Sender


class Posted(NamedTuple):
    """What was posted, or an object within it, and the headers of the request."""

    payload: dict[str, Any]
    headers: dict[str, str]

    def find(self, path: str) -> Any:
        """Return what a path leads to, None where that is nothing."""
        for prefix in ("header:", "headers."):
            if path.startswith(prefix):
                return self.headers.get(path.removeprefix(prefix))
        return look_up(self.payload, path.split("."))


def look_up(value: Any, steps: list[str]) -> Any:
    """Return what steps lead to; a key may have dots itself, and the longest one counts."""
    if not steps:
        return value
    if isinstance(value, list):
        known = steps[0].isdigit() and int(steps[0]) < len(value)
        return look_up(value[int(steps[0])], steps[1:]) if known else None
    if isinstance(value, dict):
        for count in range(len(steps), 0, -1):
            child = value.get(".".join(steps[:count]))
            found = None if child is None else look_up(child, steps[count:])
            if found is not None:
                return found
    return None


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def is_value(text: str, pattern: str) -> bool:
    """Return whether a text is a value, or begins with one that ends in an asterisk."""
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def holds(condition: str, posted: Posted) -> bool:
    path, equals, value = condition.removeprefix("!").partition("=")
    found = posted.find(path)
    if condition.startswith("!") or found is None:
        return condition.startswith("!") and found is None
    return not equals or is_value(as_text(found), value)


def specificity(sender: Sender) -> tuple[bool, int, int]:
    """Return what makes a row more specific than another, the weightiest first."""
    weight = exact = 0
    for condition in sender.when.split():
        path, equals, value = condition.partition("=")
        weight += (10 if path.startswith("header:") else 1) * (2 if equals else 1)
        exact += bool(equals) and not value.endswith("*")
    return not sender.weak, weight, exact


# The most specific first; among equals the table's order stays.
BY_SPECIFICITY = sorted(KNOWN_SENDERS, key=specificity, reverse=True)


def recognize(posted: Posted) -> list[str]:
    """Return the ids of all rows that fit, that which counts first."""
    return [
        sender.id
        for sender in BY_SPECIFICITY
        if all(holds(condition, posted) for condition in sender.when.split())
    ]


def identity_of(sender: Sender, event: Posted) -> str | None:
    """Return what identifies an event, with the row's family."""
    for key in filter(None, sender.identity.split(",")):
        found = [event.find(path.strip()) for path in key.split("+")]
        if None not in found:
            return f"{sender.family or sender.id}:{'+'.join(map(as_text, found))}"
    return None


def is_closed(sender: Sender, event: Posted) -> bool:
    """Return whether an event ends what its identity names."""
    for condition in filter(None, sender.closed.split(";")):
        path, _, values = condition.strip().partition("=")
        found = event.find(path)
        text = "" if found is None else as_text(found).lower()
        if any(is_value(text, value.lower()) for value in values.split("|")):
            return True
    return False
