"""What is measured: counters and histograms, and their text for Prometheus.

What it is for: counting events for the log and for metrics, and writing the metrics in Prometheus'
text format 0.0.4. It knows nothing of what is counted, of HTTP, or of Cortex XSOAR.
"""

import bisect
import itertools
from collections import Counter
from collections.abc import Iterable
from typing import Any

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus' text format
# Of each sample what follows the metric's name (a suffix, labels) and the value.
MetricSamples = Iterable[tuple[str, float]]


def counted_text(count: int, name: str) -> str:
    """Return a count with its name, whose first plural becomes a singular for a count of 1."""
    plural = next((word for word in name.split(" ") if word.endswith("s")), "")
    return f"{count} {name.replace(plural, plural[:-1], 1) if count == 1 else name}"


class Counters:
    """Counts since the start, and since the last line in the log."""

    def __init__(self) -> None:
        self._new: Counter[str] = Counter()
        self._logged: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()  # HTTP statuses of all answers

    def add(self, name: str, count: int = 1) -> None:
        """Add to a counter, whose name is written to the log as it is."""
        self._new[name] += count

    def answered(self, status: int) -> None:
        """Count an answer by its HTTP status."""
        self.statuses[status] += 1
        if status != 200:
            self._new[f"answered {status}"] += 1

    def total(self, name: str) -> int:
        """Return a counter's value since the start."""
        return self._logged[name] + self._new[name]

    def totals(self) -> dict[str, int]:
        """Return all counters' values since the start."""
        return dict(self._logged + self._new)

    def take_line(self) -> str:
        """Return what was counted since the last call as one line, empty if nothing was."""
        line = ", ".join(counted_text(count, name) for name, count in sorted(self._new.items()))
        self._logged.update(self._new)
        self._new.clear()
        return line


class BoundedCounter:
    """Counts labels; past a number of them, all further ones count as ``other``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.counts: Counter[str] = Counter()

    def add(self, label: str) -> None:
        """Count a label."""
        known = label in self.counts or len(self.counts) < self._limit
        self.counts[label if known else "other"] += 1


RULE_EVENTS = 1000  # after which a rule that has matched none of them is reported


class RuleCounter:
    """Counts how often rules were met, and finds those that never are."""

    def __init__(self, rules: Iterable[str]) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(rules, 0))
        self._events = 0

    def add(self, met: Iterable[str], events: int) -> list[str]:
        """Count the rules that some of so many events have met.

        Returns the rules that have met none, once RULE_EVENTS events have come.
        """
        self.counts.update(met)
        before, self._events = self._events, self._events + events
        if not before < RULE_EVENTS <= self._events:
            return []
        return [rule for rule, count in self.counts.items() if not count]


class Histogram:
    """How many values were within each of some upper bounds, and the sum of all values."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sum += value

    def samples(self) -> MetricSamples:
        """Yield the samples that Prometheus reads: a bucket includes all smaller buckets."""
        counts = list(itertools.accumulate(self._counts))
        for bound, count in zip((*self._bounds, "+Inf"), counts):
            yield f'_bucket{{le="{bound}"}}', count
        yield "_sum", self._sum
        yield "_count", counts[-1]


def labelled(label: str, values: dict[Any, int]) -> MetricSamples:
    """Yield a sample for each value of a label; values are not escaped."""
    return ((f'{{{label}="{value}"}}', count) for value, count in sorted(values.items()))


def metric_family(name: str, kind: str, text: str, samples: MetricSamples) -> str:
    """Return a metric's lines: its help, its kind (counter, gauge, histogram) and its samples."""
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    return "\n".join([*lines, *(f"{name}{labels} {value}" for labels, value in samples), ""])
