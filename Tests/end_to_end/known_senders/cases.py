"""Short payloads in the shape that known senders document, with what is expected of each.

They are written by us, with invented people, hosts and addresses. A case of the YAML files holds

row
    The id of the row of KnownSendersApiModule that describes the payload.
outer
    The id of the row that recognizes the payload first, where `row` describes what is within it.
headers, payload
    What is posted. Where the row names an array of events, it holds one event.
expect
    What becomes of the event: name, severity (XSOAR's number), occurred, identity, status and link;
    what is missing here, the payload does not say.
end
    The fields, by path, in which the end of the same alert differs from the payload.
"""

import copy
from pathlib import Path
from typing import Any, NamedTuple

import yaml

FOLDER = Path(__file__).parent


class Case(NamedTuple):
    """A payload, what is expected of it, and how the end of its alert differs."""

    row: str
    payload: dict[str, Any]
    expect: dict[str, Any]
    outer: str = ""
    headers: dict[str, str] = {}  # noqa: RUF012 (nobody writes to it)
    end: dict[str, Any] = {}  # noqa: RUF012

    @property
    def ended(self) -> dict[str, Any]:
        """Return the payload that ends the alert."""
        payload = copy.deepcopy(self.payload)
        for path, value in self.end.items():
            change(payload, path.split("."), value)
        return payload


def change(container: Any, steps: list[str], value: Any) -> None:
    """Replace what a path leads to; a key may have dots itself, and the longest one is it."""
    for count in range(len(steps), 0, -1):
        key: Any = ".".join(steps[:count])
        if isinstance(container, list):
            key = int(steps[0])
            count = 1
        elif key not in container:
            continue
        if count == len(steps):
            container[key] = value
        else:
            change(container[key], steps[count:], value)
        return
    raise KeyError(".".join(steps))


def load_cases() -> list[Case]:
    """Return all cases, in the order of the files' names."""
    return [
        Case(**case)
        for file in sorted(FOLDER.glob("*.yaml"))
        for case in yaml.safe_load(file.read_text(encoding="utf-8"))
    ]
