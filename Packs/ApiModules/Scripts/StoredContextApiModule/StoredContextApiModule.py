"""What an instance's integration context holds: samples, seen events, early answers, a status.

What it is for: the names of its values, and reading them whatever state they are in, for what is
damaged is reported and replaced. It knows nothing of how the context is fetched and written, of
events in progress, or of an instance's parameters.
"""

import json
from typing import Any, NamedTuple

SAMPLES_KEY = "sample_events"
FOUND_KEY = "found_ids"  # {event's key: incident's ID}, newest last
# {event's key: when it was created, epoch seconds}, where events are forgotten after a time.
TIMES_KEY = "found_times"
PROMISED_KEY = "promised"  # events answered 202 that XSOAR has not created yet
RESET_KEY = "reset"  # what a command wants forgotten: samples, events or all
STATUS_KEY = "status"  # the running container's counters
MAX_SAMPLES = 20
MAX_FOUND_IDS = 5000


class Stored(NamedTuple):
    """What the integration context holds."""

    samples: list[dict[str, Any]]
    found: dict[str, Any]
    times: dict[str, float]
    promised: list[dict[str, Any]]  # fields, key, request and, but for old ones, index
    reset: str
    damage: str


def texts_of(context: dict[str, Any]) -> dict[str, str]:
    """Return a context as the platform takes it: texts only."""
    return {
        str(key): value if isinstance(value, str) else json.dumps(value)
        for key, value in context.items()
    }


def read_context(value: Any) -> tuple[dict[str, Any], Stored]:
    """Return an integration context as a dict, and what it holds.

    What is wrong with it is in ``Stored.damage``.
    """
    damages: list[str] = [] if isinstance(value, dict) or not value else ["it is not an object"]
    context = dict(value) if isinstance(value, dict) else {}
    times = read_value(TIMES_KEY, context.get(TIMES_KEY), damages) or {}
    stored = Stored(
        read_samples(context.get(SAMPLES_KEY), damages),
        read_found(context.get(FOUND_KEY), damages),
        {key: moment for key, moment in times.items() if isinstance(moment, (int, float))}
        if isinstance(times, dict)
        else {},
        read_promised(context.get(PROMISED_KEY), damages),
        str(context.get(RESET_KEY) or ""),
        "; ".join(damages),
    )
    return context, stored


def read_promised(text: Any, damages: list[str]) -> list[dict[str, Any]]:
    """Return the promised events in a context's text.

    What is wrong with it is appended to ``damages``.
    """
    items = read_value(PROMISED_KEY, text, damages) or []
    if not isinstance(items, list):
        damages.append(f"{PROMISED_KEY} is not a list of incidents")
        return []
    promised = [item for item in items if is_promised_event(item)]
    if len(promised) < len(items):
        count = len(items) - len(promised)
        damages.append(f"{PROMISED_KEY} is damaged: {count} of {len(items)} are not incidents")
    return promised


def is_promised_event(item: Any) -> bool:
    """Return whether a value is an event that was answered 202, as the context holds it."""
    return (
        isinstance(item, dict)
        and isinstance(item.get("fields"), dict)
        and isinstance(item["fields"].get("rawJSON"), str)
        and isinstance(item.get("key"), (str, type(None)))
        and isinstance(item.get("request"), str)
        and isinstance(item.get("index", 0), int)
    )


def read_samples(text: Any, damages: list[str]) -> list[dict[str, Any]]:
    """Return the sample events in a context's text, oldest first.

    What is wrong with it is appended to ``damages``.
    """
    samples = read_value(SAMPLES_KEY, text, damages) or []
    if not isinstance(samples, list) or not all(isinstance(sample, dict) for sample in samples):
        damages.append(f"{SAMPLES_KEY} is not a list of incidents")
        return []
    return samples[-MAX_SAMPLES:]


def read_found(text: Any, damages: list[str]) -> dict[str, Any]:
    """Return ``{key: incident id or None}`` from a context's text.

    The text is such an object, or the older list of ``path:value``. What is wrong with it is
    appended to ``damages``.
    """
    found = read_value(FOUND_KEY, text, damages) or {}
    if isinstance(found, list) and all(isinstance(key, str) for key in found):
        return dict.fromkeys(found[-MAX_FOUND_IDS:])
    if not isinstance(found, dict) or not all(
        value is None or isinstance(value, (str, int)) for value in found.values()
    ):
        damages.append(f"{FOUND_KEY} maps no events to incident IDs")
        return {}
    return found


def read_value(key: str, text: Any, damages: list[str]) -> Any:
    if text in (None, ""):
        return None
    try:
        return json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        damages.append(f"{key} is not JSON")
        return None
