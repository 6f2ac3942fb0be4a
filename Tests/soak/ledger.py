"""What senders were answered, and whether it agrees with what exists."""

import json
import re
import threading
from collections import Counter

from Tests.end_to_end.sender import Answer
from Tests.sandbox import Sandbox

CREATED = re.compile(r"Created: ([0-9, ]+)\.")
DOUBT = "may have been created"


class Ledger:
    """Numbers the events, and records every answer; any thread may write."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()  # 0: a good request that got no answer
        self.mistakes: list[str] = []  # what must not happen, the first hundred
        self.slowest = 0.0  # seconds until a good request was answered
        self._lock = threading.Lock()
        self._events = 0
        # By incident ID: the events of the request that was answered with it.
        self._acknowledged: dict[str, list[int]] = {}
        self._doubtful: set[int] = set()  # events of which nobody can say whether they exist

    def number(self, count: int) -> list[int]:
        """Return the numbers of `count` new events."""
        with self._lock:
            self._events += count
            return list(range(self._events - count + 1, self._events + 1))

    def mistake(self, text: str) -> None:
        """Record what must not happen."""
        with self._lock:
            if len(self.mistakes) < 100:
                self.mistakes.append(text)

    def unanswered(self, events: list[int]) -> None:
        """Record events whose sender did not wait for the answer."""
        with self._lock:
            self._doubtful.update(events)

    def answered(self, events: list[int], answer: Answer | None, seconds: float) -> None:
        """Record a good request's answer; a missing answer is a mistake."""
        with self._lock:
            self.statuses[answer.status if answer else 0] += 1
            self.slowest = max(self.slowest, seconds)
            if answer is None:
                self._doubtful.update(events)
            elif answer.status == 200:
                for created in answer.json:
                    self._acknowledge(created["id"], events)
            elif named := CREATED.search(answer.error):
                for number in named[1].split(", "):
                    self._acknowledge(number, events)
            if answer and answer.status != 200 and DOUBT in answer.error:
                self._doubtful.update(events)
        if answer is None:
            self.mistake("a good request got no answer")
        elif answer.status not in (200, 502, 503):
            self.mistake(f"a good request got {answer.status}: {answer.body[:200]!r}")

    def _acknowledge(self, number: str, events: list[int]) -> None:
        if self._acknowledged.setdefault(number, events) is not events and len(self.mistakes) < 100:
            self.mistakes.append(f"incident {number} was reported to two senders")

    @property
    def acknowledged(self) -> int:
        """How many incidents senders know of."""
        return len(self._acknowledged)

    @property
    def doubtful(self) -> int:
        """How many events there were whose sender cannot know whether they exist."""
        return len(self._doubtful)

    def balance(self, sandbox: Sandbox) -> list[str]:
        """Return the differences between the answers and the incidents that exist."""
        exists = {incident["id"]: event_of(incident["rawJSON"]) for incident in sandbox.incidents()}
        numbered = {number: event for number, event in exists.items() if event}
        twice = [event for event, count in Counter(numbered.values()).items() if count > 1]
        lost = self._acknowledged.keys() - exists.keys()
        strangers = [
            number
            for number, events in self._acknowledged.items()
            if number in numbered and numbered[number] not in events
        ]
        unknown = [
            event
            for number, event in numbered.items()
            if number not in self._acknowledged and event not in self._doubtful
        ]
        return [
            f"{what}: {len(which)}, such as {sorted(which)[:5]}"
            for what, which in (
                ("created twice", twice),
                ("acknowledged but missing", lost),
                ("created but denied", unknown),
                ("reported to another sender", strangers),
            )
            if which
        ]


def event_of(raw_json: str) -> int:
    """Return the number of an event, 0 for an incident that has none."""
    raw = json.loads(raw_json)
    number = raw.get("n") if isinstance(raw, dict) else None
    return (
        int(number)
        if isinstance(number, int)
        or (isinstance(number, str) and number.isascii() and number.isdigit())
        else 0
    )
