"""Where an event's name, type, time and severity stand in a payload, and what identifies it.

It is for paths into JSON, name templates, the words and numbers of severities, dates in the forms
that programs write, arrays of events, and duplication keys; and for the texts in which a person
writes all of these. It knows nothing of HTTP, of Cortex XSOAR, or of an instance's parameters.

| section | what it does |
| --- | --- |
| Paths | a dot path into JSON, compiled once |
| Parameters | a text that a person typed becomes paths, a name template, duplication keys |
| Names and texts | the value at a path becomes a text |
| Severities | words and numbers |
| Dates | RFC 3339 from ISO 8601, RFC 1123 or 2822, epochs and what programs write |
| Events | the array of events in a payload, CloudEvents, and what identifies an event |
"""

import email.utils
import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

JSON_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
compact_json = JSON_ENCODER.encode

# -------------------------------------------------------------------------------------------------
# Paths: a dot path into JSON, compiled once
# -------------------------------------------------------------------------------------------------

# Fields that the integration adds to each event of a request. A path finds them where the payload
# does not have such a field, and with the prefix request_ even where it does.
REQUEST_FIELDS = ("headers", "query", "path", "source_address", "parent")
MAX_PATH_STEPS = 50
# A path of n steps may be written with dotted keys in 2 ** (n - 1) ways, and a hostile payload may
# hold all of them. A search of a longer path than FEW_PATH_STEPS ends after MAX_PATH_VISITS values.
FEW_PATH_STEPS = 7
MAX_PATH_VISITS = 200
PATH_SHAPE = re.compile(r"(?:[^.\[\]]+|\[[^\[\]]+\])(?:\.[^.\[\]]+|\[[^\[\]]+\])*")
PATH_STEP = re.compile(r"\.?([^.\[\]]+)|\[([^\[\]]+)\]")
PATH_HELP = (
    "write names and numbers with one dot between them, such as data.alert.id, alerts.0.status or "
    "alerts[0].status."
)


def path_steps(text: str) -> list[tuple[str, int, int]]:
    """Return the steps of a path, each with the indexes where it begins and ends in the text.

    Raises ValueError that says what to write instead.
    """
    if text.startswith("$."):
        raise ValueError(f"{text[:100]!r} begins with $., which is not needed; leave $. out.")
    if not PATH_SHAPE.fullmatch(text):
        raise ValueError(f"{text[:100]!r} is not a path; {PATH_HELP}")
    steps = []
    for match in PATH_STEP.finditer(text):
        name = (match[1] or match[2]).strip().strip("'\"")
        if name in ("", "*"):
            raise ValueError(f"{text[:100]!r} is not a path; {PATH_HELP}")
        steps.append((name, match.start(1) if match[1] else match.start(), match.end()))
    if len(steps) > MAX_PATH_STEPS:
        raise ValueError(f"{text[:100]!r} has more than {MAX_PATH_STEPS} steps; {PATH_HELP}")
    return steps


class DotPath:
    """A dot path into JSON, compiled once: ``alerts.0.labels.severity`` or ``alerts[0].labels``.

    Numbers index arrays. At every level a key that has dots itself is found as well, the longest
    first: ``alerts.0.kibana.alert.uuid`` finds ``{"alerts": [{"kibana.alert.uuid": 1}]}``.
    """

    __slots__ = ("_in_request", "_indexes", "_keys", "_request_first", "_steps", "text")

    def __init__(self, text: str) -> None:
        """Compile a path; raises ValueError that says what to write instead."""
        self.text = text
        steps = path_steps(text)
        self._steps = len(steps)
        # for each step: the keys that may stand there, and the step after each
        self._keys = tuple(
            (
                *(
                    (text[start : steps[last][2]], last + 1)
                    for last in range(len(steps) - 1, index, -1)
                ),
                (name, index + 1),
            )
            for index, (name, start, _) in enumerate(steps)
        )
        self._indexes = tuple(
            int(name) if re.fullmatch("[0-9]{1,9}", name) else None for name, _, _ in steps
        )
        # where the path leads in the fields that the integration adds
        name, _, end = steps[0]
        root = name.removeprefix("request_")
        rest = text[end:].removeprefix(".")
        self._request_first = name != root and root in REQUEST_FIELDS
        self._in_request: tuple[str, DotPath | None] | None = None
        if root in REQUEST_FIELDS:  # names of headers are kept in lower case
            rest = rest.lower() if root == "headers" else rest
            self._in_request = root, DotPath(rest) if rest else None

    def find(self, value: Any, step: int = 0) -> Any:
        """Return the value at the path, None where there is none or null."""
        if self._steps > FEW_PATH_STEPS:
            found_values = (found for found, _ in self._search(value) if found is not None)
            return next(found_values, None)
        if isinstance(value, dict):
            for key, after in self._keys[step]:
                child = value.get(key)
                if child is not None:
                    found = child if after == self._steps else self.find(child, after)
                    if found is not None:
                        return found
        elif isinstance(value, list):
            index = self._indexes[step]
            if index is not None and index < len(value):
                child, after = value[index], step + 1
                return child if after == self._steps else self.find(child, after)
        return None

    def find_array(self, value: Any) -> tuple[Any, ...] | None:
        """Return the keys and indexes that lead to an array, None where there is none."""
        return next((keys for found, keys in self._search(value) if isinstance(found, list)), None)

    def _search(self, value: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        """Yield each value at the path with the keys that lead to it, the longest keys first."""
        waiting: list[tuple[Any, int, tuple[Any, ...]]] = [(value, 0, ())]
        for _ in range(MAX_PATH_VISITS):
            if not waiting:
                return
            value, step, keys = waiting.pop()
            if step == self._steps:
                yield value, keys
            elif isinstance(value, dict):
                for key, after in reversed(self._keys[step]):
                    if key in value:
                        waiting.append((value[key], after, (*keys, key)))
            elif isinstance(value, list):
                index = self._indexes[step]
                if index is not None and index < len(value):
                    waiting.append((value[index], step + 1, (*keys, index)))

    def find_in(self, payload: dict[str, Any], shared: dict[str, Any]) -> Any:
        """Return the value in an event's payload, else in what the events of its request share."""
        if self._in_request is None:
            return self.find(payload)
        return self.find_with_side(payload, shared)[0]

    def find_with_side(self, payload: dict[str, Any], shared: dict[str, Any]) -> tuple[Any, bool]:
        """Return what find_in does, and whether the value stands in the payload."""
        found = self._find_shared(shared) if self._request_first else None
        if found is not None:
            return found, False
        found = self.find(payload)
        return (found, True) if found is not None else (self._find_shared(shared), False)

    def _find_shared(self, shared: dict[str, Any]) -> Any:
        if self._in_request is None:
            return None
        root, rest = self._in_request
        value = shared.get(root)
        return value if rest is None else rest.find(value)


class PathHook:
    """Reports which path gave which field, to whoever wants to show it: the sandbox's page does.

    ``report`` is called with a parameter's paths and the one of them that had a usable value;
    ``next_event`` is called when the next event's fields are about to be read.
    """

    report: Callable[[tuple[DotPath, ...], DotPath], None] | None = None
    next_event: Callable[[], None] | None = None


PATH_HOOK = PathHook()


def first_usable(
    payload: dict[str, Any],
    shared: dict[str, Any],
    paths: tuple[DotPath, ...],
    read: Callable[[Any], Any],
) -> Any:
    """Return the first value of the paths that ``read`` can use, None where there is none."""
    for path in paths:
        value = path.find_in(payload, shared)
        if value is not None:
            usable = read(value)
            if usable is not None:
                if PATH_HOOK.report is not None:
                    PATH_HOOK.report(paths, path)
                return usable
    return None


# -------------------------------------------------------------------------------------------------
# Parameters: a text that a person typed
# -------------------------------------------------------------------------------------------------

ReportProblem = Callable[[str], None]  # takes a sentence that says how to fix the text


def split_list(value: Any) -> tuple[str, ...]:
    """Return the entries of a comma-separated parameter, which the platform may give as a list."""
    parts = value if isinstance(value, list) else str(value or "").split(",")
    return tuple(text for part in parts if (text := str(part).strip()))


def read_paths(value: Any, report_problem: ReportProblem) -> "tuple[DotPath, ...]":
    """Return the paths of a comma-separated parameter."""
    paths = []
    for text in split_list(value):
        try:
            paths.append(DotPath(text))
        except ValueError as error:
            report_problem(str(error))
    return tuple(paths)


class DuplicationKey(NamedTuple):
    """What identifies an event: the parameter's text, and the paths, which all need a value."""

    text: str
    paths: tuple[DotPath, ...]

    @property
    def prefix(self) -> str:
        """Return what stands before the colon of an event's key: the text, which has no colon then.

        A colon becomes two commas. No path has a comma, so that no two keys have one prefix.
        """
        return self.text.replace(":", ",,")


def read_duplication_key(value: Any, report_problem: ReportProblem) -> "tuple[DuplicationKey, ...]":
    """Return the keys of a comma-separated parameter; ``+`` joins several paths to one key."""
    keys = []
    for text in split_list(value):
        try:
            paths = tuple(DotPath(path.strip()) for path in text.split("+"))
            keys.append(DuplicationKey(text, paths))
        except ValueError as error:
            report_problem(str(error))
    return tuple(keys)


BRACED = re.compile(r"\{([^{}]*)\}")


class NameSource(NamedTuple):
    """Where a name comes from: texts, and between them paths, of which the first value counts."""

    text: str
    parts: tuple[str | tuple[DotPath, ...], ...]

    @classmethod
    def parse(cls, text: str) -> "NameSource":
        """Read a text with paths in braces; raises ValueError that says what to write instead."""
        parts: list[str | tuple[DotPath, ...]] = []
        position = 0
        for match in BRACED.finditer(text):
            paths = tuple(DotPath(path) for path in split_list(match[1]) or [""])
            parts += [text[position : match.start()], paths]
            position = match.end()
        parts.append(text[position:])
        if any(brace in part for part in parts if isinstance(part, str) for brace in "{}"):
            raise ValueError(
                "write braces in pairs with a path between them, such as {rule.name} on "
                "{host.0.name}."
            )
        return cls(text, tuple(part for part in parts if part))


NAME_FROM: NameSource = NameSource("name", ((DotPath("name"),),))
OCCURRED_FROM: tuple[DotPath, ...] = (DotPath("occurred"),)


def read_name_source(value: Any, report_problem: ReportProblem) -> "NameSource":
    """Return where the name comes from: comma-separated paths, or a text with paths in braces.

    An empty text is the default.
    """
    text = ", ".join(split_list(value))
    if text in ("", NAME_FROM.text):
        return NAME_FROM
    if "{" not in text and "}" not in text:
        paths = read_paths(text, report_problem)
        return NameSource(text, (paths,)) if paths else NAME_FROM
    try:
        return NameSource.parse(text)
    except ValueError as error:
        report_problem(str(error))
        return NAME_FROM


def read_type_paths(value: Any, report_problem: ReportProblem) -> "tuple[DotPath, ...] | None":
    """Return the paths to the type, None for the word ``none``."""
    if value is not None and str(value).strip().lower() == "none":
        return None
    return read_paths(value, report_problem)


def read_occurred_paths(value: Any, report_problem: ReportProblem) -> "tuple[DotPath, ...]":
    """Return the paths to the time; empty is the default."""
    paths = read_paths(value, report_problem)
    default = [path.text for path in OCCURRED_FROM]
    return paths if paths and [path.text for path in paths] != default else OCCURRED_FROM


# -------------------------------------------------------------------------------------------------
# Names and texts
# -------------------------------------------------------------------------------------------------

MAX_LISTED = 40  # elements or fields of one container that a text is made of
MAX_TEXT_CHARACTERS = 10_000  # of one value: far more than any field that a text becomes keeps
MAX_NUMBER_BITS = 4_000  # of an integer: Python refuses to write one of more than 4,300 digits


def name_of(payload: dict[str, Any], shared: dict[str, Any], source: NameSource) -> str | None:
    """Return an event's name, None where none of its paths has a usable value."""
    parts = source.parts
    if len(parts) == 1 and not isinstance(parts[0], str):
        return first_usable(payload, shared, parts[0], text_of)
    texts = [
        part if isinstance(part, str) else first_usable(payload, shared, part, text_of)
        for part in parts
    ]
    if not any(text for text, part in zip(texts, parts) if not isinstance(part, str)):
        return None
    return "".join(text or "" for text in texts).strip()


def text_of(value: Any) -> str | None:
    """Return the text of a string, number or boolean, or of a list of these; None for the rest."""
    if isinstance(value, str):
        return value[:MAX_TEXT_CHARACTERS].strip() or None
    if isinstance(value, int) and value.bit_length() > MAX_NUMBER_BITS:
        return None
    if isinstance(value, (bool, int, float)):
        return compact_json(value)
    if isinstance(value, list):
        children = value[:MAX_LISTED]
        if not any(isinstance(child, (dict, list)) for child in children):
            return ", ".join(filter(None, map(text_of, children))) or None
    return None


# -------------------------------------------------------------------------------------------------
# Severities
# -------------------------------------------------------------------------------------------------

SEVERITIES: dict[str, int | float] = {  # the README's table has the same rows
    "unknown": 0,
    **dict.fromkeys(
        ("info", "informational", "information", "debug", "ok", "none", "p5", "sev5"), 0.5
    ),
    **dict.fromkeys(("low", "notice", "p4", "sev4"), 1),
    **dict.fromkeys(("medium", "moderate", "warning", "warn", "minor", "average", "p3", "sev3"), 2),
    **dict.fromkeys(("high", "error", "err", "major", "severe", "p2", "sev2"), 3),
    **dict.fromkeys(
        ("critical", "crit", "fatal", "emergency", "emerg", "disaster", "p1", "sev1"), 4
    ),
}
SEVERITY_NUMBERS = (0, 0.5, 1, 2, 3, 4)  # as XSOAR means them
PLAIN_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,30})?")
SEVERITY_RANGE = re.compile(
    r"(?P<low>-?[0-9]{1,12}(?:\.[0-9]{1,3})?)"
    r"(?:\s*[-\u2013]\s*(?P<high>-?[0-9]{1,12}(?:\.[0-9]{1,3})?))?"
)
MAX_SEVERITY_CHARACTERS = 200
NOT_A_SEVERITY_WORD = re.compile(r"[-\u2013+<>=%.\s0-9]+")
SEVERITY_MAP_HELP = (
    "write 90-100=critical, 7.0-8.9=high, sev3=medium: a range, a number or a word, "
    "and what it means."
)


class SeverityRange(NamedTuple):
    """A range of numbers that means a severity.

    Its bounds are kept in units of their last decimal, so that 8.95 is in 7.0-8.9.
    """

    low: int
    high: int
    units: int
    severity: int | float
    exact: bool

    @classmethod
    def parse(cls, low: str, high: str, severity: int | float) -> "SeverityRange":
        """Return the range between two numbers' texts; without ``high`` it is one number."""
        decimals = max(len(text.partition(".")[2]) for text in (low, high))
        units = 10**decimals
        least, most = (round(float(text) * units) for text in (low, high or low))
        return cls(least, most, units, severity, not high)

    def __contains__(self, number: object) -> bool:
        scaled = float(number) * self.units  # type: ignore[arg-type]
        rounded = scaled if self.exact else math.floor(scaled + 1e-6)
        return self.low <= rounded <= self.high


class SeverityMap(NamedTuple):
    """The instance's own severities: words in lower case, and ranges, of which the first counts."""

    words: dict[str, int | float]
    ranges: tuple[SeverityRange, ...]

    def severity_of(self, word: str) -> int | float | None:
        """Return what a word or a number's text means, None where the instance does not say."""
        if word in self.words or not self.ranges or not PLAIN_NUMBER.fullmatch(word):
            return self.words.get(word)
        number = float(word)
        return next((known.severity for known in self.ranges if number in known), None)


NO_SEVERITY_MAP: SeverityMap = SeverityMap({}, ())


def read_severity_map(value: Any, report_problem: ReportProblem) -> "SeverityMap":
    """Return the instance's own severities from ``90-100=critical, 70-89=high, sev3=medium``."""
    words: dict[str, int | float] = {}
    ranges = []
    for text in split_list(value):
        given, equals, meaning = (part.strip().lower() for part in text.rpartition("="))
        severity = builtin_severity(meaning)
        bounds = SEVERITY_RANGE.fullmatch(given)
        if not equals or not given or severity is None:
            report_problem(f"{text[:100]!r} is not an entry; {SEVERITY_MAP_HELP}")
        elif bounds is None and NOT_A_SEVERITY_WORD.fullmatch(given):
            report_problem(f"{given[:100]!r} is neither a number nor a range; {SEVERITY_MAP_HELP}")
        elif bounds is None:
            words.setdefault(given, severity)
        elif bounds["high"] and float(bounds["low"]) > float(bounds["high"]):
            report_problem(f"{given[:100]!r} begins above its end; {SEVERITY_MAP_HELP}")
        else:
            ranges.append(SeverityRange.parse(bounds["low"], bounds["high"] or "", severity))
    return SeverityMap(words, tuple(ranges))


def severity_of(value: Any, own: SeverityMap = NO_SEVERITY_MAP) -> int | float | None:
    """Return XSOAR's number for a severity, by the instance's own words first; None if unknown."""
    word = (text_of(value) or "")[:MAX_SEVERITY_CHARACTERS].lower()
    severity = own.severity_of(word)
    return builtin_severity(word) if severity is None else severity


def builtin_severity(word: str) -> int | float | None:
    """Return XSOAR's number for a word in lower case, or for the text of that number."""
    if PLAIN_NUMBER.fullmatch(word):
        return next((number for number in SEVERITY_NUMBERS if number == float(word)), None)
    return SEVERITIES.get(word)


# -------------------------------------------------------------------------------------------------
# Dates
# -------------------------------------------------------------------------------------------------

RFC_3339_UTC = re.compile(
    r"(?:19(?!00)|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T"
    r"[0-9]{2}:[0-9]{2}:[0-5][0-9](?:\.(?!000000)[0-9]{6})?Z"
)
LEAP_SECOND = re.compile(r"(\d{2}:\d{2}:)60")
# As nginx, Go and databases write it: 2024/05/01 12:00:00 (UTC), 2024-05-01 12:00:00.5 +0000 UTC,
# 2024-05-01T12:00:00,5 GMT.
LOOSE_ISO = re.compile(
    r"([0-9]{4})[-/]([0-9]{2})[-/]([0-9]{2})[T ]+"
    r"([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?)"
    r"(?: ?(?:\(?(Z|UTC|GMT)\)?|([+-][0-9]{2}:?[0-9]{2})(?: [A-Z]{2,5})?))?"
)
# RFC 2822 (section 3.3), RFC 1123 and what C's asctime() and date(1) write, in upper case.
WRITTEN_DATE = re.compile(
    r"(?:[A-Z]{3,9}[,.]? +)?"
    r"(?:[0-9]{1,2}[ -][A-Z]{3}[ -](?:[0-9]{2}|[1-9][0-9]{3}),? +"
    r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?: *(?:[+-][0-9]{4}|[A-Z]{1,5}))?"
    r"|[A-Z]{3} +[0-9]{1,2} +[0-9]{2}:[0-9]{2}:[0-9]{2}(?: [A-Z]{1,5})? +[1-9][0-9]{3})"
    r"(?: *\([^()]*\))?"
)
EPOCH_NUMBER = re.compile(r"([0-9]{9,19})(?:\.([0-9]+))?")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Each row: the first number of a unit, the first one beyond it, and how many make a second. Each
# spans at least 1973 to 2100.
EPOCH_UNITS = (
    (10**8, 10**11, 1),
    (10**11, 10**14, 10**3),
    (10**14, 10**17, 10**6),
    (2 * 10**17, 10**19, 10**9),  # below it are Windows' file times, which would become 1974
)
PLAUSIBLE_YEARS = range(1901, 2100)  # programs write the years 1, 1601 and 1900 for "never"
MAX_DATE_CHARACTERS = 100


def occurred_of(value: Any) -> str | None:
    """Return RFC 3339 for a date as text or as an epoch's number, None for anything else."""
    if isinstance(value, float):
        value = f"{value:.6f}"
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**19 else ""
    if not isinstance(value, str):
        return None
    try:
        return parse_date(value)
    except ValueError:
        return None


def parse_date(text: str) -> str:
    """Return RFC 3339 for a date in ISO 8601, RFC 1123 or 2822, or for an epoch's digits.

    Those are seconds, milli-, micro- or nanoseconds since 1970. A date without an offset is UTC; a
    leap second becomes the second before it. Raises ValueError, also for an implausible year.
    """
    if RFC_3339_UTC.fullmatch(text):
        datetime.fromisoformat(text)
        return text
    try:
        short = text[:MAX_DATE_CHARACTERS].strip().upper()
        moment = parse_moment(LEAP_SECOND.sub(r"\g<1>59", short, count=1))
    except (TypeError, IndexError, OverflowError) as error:  # from the reader of RFC 2822 dates
        raise ValueError("it is not a date") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment.year not in PLAUSIBLE_YEARS:
        raise ValueError("the year is implausible")
    offset = moment.utcoffset() or timedelta()
    if offset.total_seconds() % 60:  # RFC 3339 has offsets of whole minutes
        moment = moment.astimezone(UTC)
    iso = moment.isoformat()
    return f"{iso.removesuffix('+00:00')}Z" if moment.utcoffset() == timedelta() else iso


def parse_moment(text: str) -> datetime:
    """Return the moment that a text in upper case means, naive where it has no offset.

    Raises what the standard library's readers raise.
    """
    number = EPOCH_NUMBER.fullmatch(text)
    if number:
        if (
            len(number[1]) == len("20240501120000") and not number[2]
        ):  # as an epoch it would be after 2286
            return datetime.strptime(text, "%Y%m%d%H%M%S")
        return parse_epoch(number[1], number[2] or "")
    if WRITTEN_DATE.fullmatch(text):
        return email.utils.parsedate_to_datetime(text)
    loose = LOOSE_ISO.fullmatch(text)
    if loose:
        year, month, day, clock, utc, offset = loose.groups()
        text = f"{year}-{month}-{day}T{clock}{'Z' if utc else offset or ''}"
    return datetime.fromisoformat(text)


def parse_epoch(whole: str, fraction: str) -> datetime:
    """Return the moment of an epoch's digits before and after the decimal point.

    The number shows the unit.
    """
    number = int(whole)
    for start, end, units in EPOCH_UNITS:
        if start <= number < end:
            billionths = int(whole + fraction[:9].ljust(9, "0"))
            return EPOCH + timedelta(microseconds=billionths // (units * 1000))
    raise ValueError("the number is not a time since 1970")


# -------------------------------------------------------------------------------------------------
# Events: arrays of them, CloudEvents, and what identifies one
# -------------------------------------------------------------------------------------------------

MAX_KEY_CHARACTERS = 200


class EventArray(NamedTuple):
    """An array of events in an item: the path that found it, the keys to it, and its elements."""

    path: str
    keys: tuple[Any, ...]
    elements: list[Any]


def without(value: Any, keys: tuple[Any, ...]) -> Any:
    """Return a copy of an object or array without the value at the keys; the rest is shared."""
    copy = value.copy()
    if len(keys) > 1:
        copy[keys[0]] = without(copy[keys[0]], keys[1:])
    else:
        del copy[keys[0]]
    return copy


def cloud_event(payload: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any] | None:
    """Return a CloudEvent's attributes, from its JSON or its headers; None for any other event.

    Source: CloudEvents 1.0, JSON event format and HTTP protocol binding (section 3.1, binary
    content mode).
    """
    if "specversion" in payload:
        return payload
    headers = shared["headers"]
    if "ce-specversion" not in headers:
        return None
    return {
        name: unquote_to_bytes(headers.get(f"ce-{name}", "")).decode(errors="replace")
        for name in ("subject", "type", "time")
    }


def event_key(
    payload: dict[str, Any],
    shared: dict[str, Any],
    keys: tuple[DuplicationKey, ...],
    index: int,
) -> str | None:
    """Return the text that identifies the ``index``-th event of a request.

    The first key counts whose paths all have a value. It is ``path:value`` for a text, as earlier
    versions wrote it. A comma, which no path has, marks other values, and values outside the event,
    which all events of its request share: ``id,json:5``, ``headers.x-id,2:value``. So two events
    have one key only where the same paths lead to the same values.
    """
    for key in keys:
        found = [path.find_with_side(payload, shared) for path in key.paths]
        if any(value in (None, "", [], {}) for value, _ in found):
            continue
        value: Any = found[0][0] if len(found) == 1 else [value for value, _ in found]
        kind = "" if isinstance(value, str) else ",json"
        suffix = f",{index}" if index and not any(inside for _, inside in found) else ""
        prefix = f"{key.prefix}{kind}{suffix}"
        if isinstance(value, dict) or (isinstance(value, list) and not is_small(value)):
            return container_key(prefix, value)
        return shorten_key(f"{prefix}:{value if isinstance(value, str) else compact_json(value)}")
    return None


def is_small(values: list[Any]) -> bool:
    """Return whether a list is short and holds plain values only."""
    return len(values) <= MAX_LISTED and not any(
        isinstance(value, (dict, list)) for value in values
    )


def container_key(prefix: str, value: Any) -> str:
    """Return what shorten_key makes of a prefix and a container's JSON, which may be long.

    It is encoded in pieces: compact_json would keep all other threads waiting for 25 MB of it.
    """
    pieces = JSON_ENCODER.iterencode(value)
    text = "".join(itertools.islice(pieces, MAX_KEY_CHARACTERS))  # a piece is never empty
    if len(f"{prefix}:{text}") <= MAX_KEY_CHARACTERS:
        return f"{prefix}:{text}"
    digest = hashlib.sha256(as_bytes(text))
    while text := "".join(itertools.islice(pieces, 1000)):
        digest.update(as_bytes(text))
    return f"{prefix}:sha256={digest.hexdigest()}"


def shorten_key(key: str) -> str:
    """Return an event's key, with a long value replaced by its SHA-256: 5,000 keys are kept."""
    if len(key) <= MAX_KEY_CHARACTERS:
        return key
    path, _, value = key.partition(":")
    return f"{path}:sha256={hashlib.sha256(as_bytes(value)).hexdigest()}"


def as_bytes(text: str) -> bytes:
    """Return a text in UTF-8, also one with half a surrogate pair, which JSON may hold."""
    return text.encode(errors="surrogatepass")
