"""Where an event's name, type, time and severity stand in a payload, and what identifies it.

What it is for: paths into JSON, name templates, the words and numbers of severities, dates in the forms
that programs write, arrays of events, and duplication keys; and the texts in which a person writes all
of these. It knows nothing of requests, of Cortex XSOAR, or of an instance's parameters.

| section | what it does |
| --- | --- |
| Paths | a dot path into JSON, compiled once |
| Parameters | a text that a person typed becomes paths, a name template, severities, duplication keys |
| Names and texts | what a path leads to becomes a text |
| Severities | words and numbers |
| Dates | RFC 3339 from ISO 8601, RFC 1123 or 2822, epochs and what programs write |
| Events | the array of events in a payload, CloudEvents, and what identifies an event |
"""

import email.utils
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

compact_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

# -------------------------------------------------------------------------------------------------
# Paths: a dot path into JSON, compiled once
# -------------------------------------------------------------------------------------------------

# What is added to each event of a request: paths find it where the payload has no such field, and always behind request_.
REQUEST_FIELDS = ("headers", "query", "path", "source_address", "parent")
MAX_PATH_STEPS = 50
PATH_SHAPE = re.compile(r"(?:[^.\[\]]+|\[[^\[\]]+\])(?:\.[^.\[\]]+|\[[^\[\]]+\])*")
PATH_STEP = re.compile(r"\.?([^.\[\]]+)|\[([^\[\]]+)\]")
PATH_HELP = "write names and numbers with one dot between them, such as data.alert.id, alerts.0.status or alerts[0].status."


def path_steps(text: str) -> list[tuple[str, int, int]]:
    """Return the steps of a path, each with the places where it begins and ends; ValueError says what to write instead."""
    if not PATH_SHAPE.fullmatch(text):
        raise ValueError(f"{text[:100]!r} is no path; {PATH_HELP}")
    steps = []
    for match in PATH_STEP.finditer(text):
        name = (match[1] or match[2]).strip().strip("'\"")
        if name in ("", "*"):
            raise ValueError(f"{text[:100]!r} is no path; {PATH_HELP}")
        steps.append((name, match.start(1) if match[1] else match.start(), match.end()))
    if len(steps) > MAX_PATH_STEPS:
        raise ValueError(f"{text[:100]!r} has more than {MAX_PATH_STEPS} steps; {PATH_HELP}")
    return steps


class DotPath:
    """A dot path into JSON, compiled once: ``alerts.0.labels.severity`` or ``alerts[0].labels.severity``.

    Numbers index arrays. At every level a key is also found as it is written, with its dots; the longest such key comes first:
    ``alerts.0.kibana.alert.uuid`` finds ``{"alerts": [{"kibana.alert.uuid": 1}]}``.
    """

    __slots__ = ("_indexes", "_keys", "_ours", "_ours_first", "_steps", "text")

    def __init__(self, text: str) -> None:
        """Compile a path; raises ValueError that says what to write instead."""
        self.text = text
        steps = path_steps(self.text)
        self._steps = len(steps)
        self._keys = tuple(  # for each step: the keys that may stand there, and the step behind each
            (*((self.text[start : steps[last][2]], last + 1) for last in range(len(steps) - 1, place, -1)), (name, place + 1))
            for place, (name, start, _) in enumerate(steps)
        )
        self._indexes = tuple(int(name) if re.fullmatch("[0-9]{1,9}", name) else None for name, _, _ in steps)
        name, _, end = steps[0]
        root = name.removeprefix("request_")
        rest = self.text[end:].removeprefix(".")
        self._ours_first = name != root and root in REQUEST_FIELDS
        self._ours: tuple[str, DotPath | None] | None = None
        if root in REQUEST_FIELDS:  # names of headers are kept in lower case
            self._ours = root, DotPath(rest.lower() if root == "headers" else rest) if rest else None

    def find(self, value: Any, step: int = 0) -> Any:
        """Return what the path leads to, None where that is nothing or null."""
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
                return value[index] if step + 1 == self._steps else self.find(value[index], step + 1)
        return None

    def find_in(self, payload: dict[str, Any], shared: dict[str, Any]) -> Any:
        """Return what the path leads to in an event's payload, else in what the events of its request share."""
        return self.find(payload) if self._ours is None else self.find_with_side(payload, shared)[0]

    def find_with_side(self, payload: dict[str, Any], shared: dict[str, Any]) -> tuple[Any, bool]:
        """Return what find_in does, and whether that lies in the payload."""
        ours = self._find_shared(shared) if self._ours_first else None
        if ours is not None:
            return ours, False
        found = self.find(payload)
        return (found, True) if found is not None else (self._find_shared(shared), False)

    def _find_shared(self, shared: dict[str, Any]) -> Any:
        if self._ours is None:
            return None
        root, rest = self._ours
        value = shared.get(root)
        return value if rest is None else rest.find(value)

    def find_array(self, value: Any, step: int = 0) -> tuple[Any, ...] | None:
        """Return the keys and indexes that lead to an array, None where there is none."""
        if step == self._steps:
            return () if isinstance(value, list) else None
        ways: Iterable[tuple[Any, int]] = ()
        if isinstance(value, dict):
            ways = [(key, after) for key, after in self._keys[step] if key in value]
        elif isinstance(value, list) and (index := self._indexes[step]) is not None and index < len(value):
            ways = [(index, step + 1)]
        for key, after in ways:
            behind = self.find_array(value[key], after)
            if behind is not None:
                return key, *behind
        return None


class PathHook:
    """Where somebody may listen to which path gave which field: the sandbox's page does, which shows it."""

    report: Callable[[tuple[DotPath, ...], DotPath], None] | None = None  # the paths of a parameter, and the one of them


PATH_HOOK = PathHook()


def first_usable(payload: dict[str, Any], shared: dict[str, Any], paths: tuple[DotPath, ...], read: Callable[[Any], Any]) -> Any:
    """Return the first value of the paths that can be read as what is wanted, None where there is none."""
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

ReportProblem = Callable[[str], None]  # takes how to fix a text that cannot be used


def split_list(value: Any) -> tuple[str, ...]:
    """Return the parts of a comma-separated parameter, which XSOAR may hand over as a list, without blanks."""
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
    """What identifies an event: its text in the parameter, and the paths that all must have a value."""

    text: str
    paths: tuple[DotPath, ...]


def read_duplication_key(value: Any, report_problem: ReportProblem) -> "tuple[DuplicationKey, ...]":
    """Return the keys of a comma-separated parameter, each of one path or of several joined by ``+``."""
    keys = []
    for text in split_list(value):
        try:
            keys.append(DuplicationKey(text, tuple(DotPath(path.strip()) for path in text.split("+"))))
        except ValueError as error:
            report_problem(str(error))
    return tuple(keys)


class NameSource(NamedTuple):
    """Where an incident's name comes from: texts, and between them paths of which the first with a value counts."""

    text: str
    parts: tuple[str | tuple[DotPath, ...], ...]

    @classmethod
    def parse(cls, text: str) -> "NameSource":
        """Read a text with paths in braces; raises ValueError that says what to write instead."""
        parts: list[str | tuple[DotPath, ...]] = []
        position = 0
        for match in re.finditer(r"\{([^{}]*)\}", text):
            parts += [text[position : match.start()], tuple(DotPath(path) for path in split_list(match[1]) or [""])]
            position = match.end()
        parts.append(text[position:])
        if any(brace in part for part in parts if isinstance(part, str) for brace in "{}"):
            raise ValueError("braces come in pairs, with a path between them, such as {rule.name} on {host.0.name}.")
        return cls(text, tuple(part for part in parts if part))


NAME_FROM: NameSource = NameSource("name", ((DotPath("name"),),))
OCCURRED_FROM: tuple[DotPath, ...] = (DotPath("occurred"),)


def read_name_source(value: Any, report_problem: ReportProblem) -> "NameSource":
    """Return where the name comes from: comma-separated paths, or a text with paths in braces; empty is the default."""
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
    return None if str(value).strip().lower() == "none" and value is not None else read_paths(value, report_problem)


def read_occurred_paths(value: Any, report_problem: ReportProblem) -> "tuple[DotPath, ...]":
    """Return the paths to the time; empty is the default."""
    paths = read_paths(value, report_problem)
    return paths if paths and [path.text for path in paths] != [OCCURRED_FROM[0].text] else OCCURRED_FROM

# -------------------------------------------------------------------------------------------------
# Names and texts
# -------------------------------------------------------------------------------------------------

MAX_LISTED = 40  # elements or fields of one container that are looked at for a text


def name_of(payload: dict[str, Any], shared: dict[str, Any], source: NameSource) -> str | None:
    """Return the name an event gets, None where nothing it is made of has a value."""
    parts = source.parts
    if len(parts) == 1 and not isinstance(parts[0], str):
        return first_usable(payload, shared, parts[0], text_of)
    texts = [part if isinstance(part, str) else first_usable(payload, shared, part, text_of) for part in parts]
    if not any(text for text, part in zip(texts, parts) if not isinstance(part, str)):
        return None
    return "".join(text or "" for text in texts).strip()


def text_of(value: Any) -> str | None:
    """Return the text of a value that is one, or a list of such: of a string, a number or a boolean, None of anything else."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, (bool, int, float)):
        return compact_json(value)
    if isinstance(value, list) and value and not any(isinstance(child, (dict, list)) for child in value[:MAX_LISTED]):
        return ", ".join(filter(None, map(text_of, value[:MAX_LISTED]))) or None
    return None

# -------------------------------------------------------------------------------------------------
# Severities
# -------------------------------------------------------------------------------------------------

SEVERITIES: dict[str, int | float] = {  # the README's table has the same rows
    "unknown": 0,
    **dict.fromkeys(("info", "informational", "information", "debug", "ok", "none", "p5", "sev5"), 0.5),
    **dict.fromkeys(("low", "notice", "p4", "sev4"), 1),
    **dict.fromkeys(("medium", "moderate", "warning", "warn", "minor", "average", "p3", "sev3"), 2),
    **dict.fromkeys(("high", "error", "err", "major", "severe", "p2", "sev2"), 3),
    **dict.fromkeys(("critical", "crit", "fatal", "emergency", "emerg", "disaster", "p1", "sev1"), 4),
}
SEVERITY_NUMBERS = (0, 0.5, 1, 2, 3, 4)  # as XSOAR means them
PLAIN_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,30})?")
SEVERITY_RANGE = re.compile(
    r"(?P<low>-?[0-9]{1,12}(?:\.[0-9]{1,3})?)(?:\s*[-\u2013]\s*(?P<high>-?[0-9]{1,12}(?:\.[0-9]{1,3})?))?"
)
SEVERITY_NO_WORD = re.compile(r"[-\u2013+<>=%.\s0-9]+")
SEVERITY_MAP_HELP = "write 90-100=critical, 7.0-8.9=high, sev3=medium: a range, a number or a word, and what it means."


class SeverityRange(NamedTuple):
    """Numbers that mean a severity. Both bounds are kept in units of their last decimal, so that 8.95 is in 7.0-8.9."""

    low: int
    high: int
    units: int
    severity: int | float
    exact: bool

    @classmethod
    def parse(cls, low: str, high: str, severity: int | float) -> "SeverityRange":
        decimals = max(len(text.partition(".")[2]) for text in (low, high))
        units = 10**decimals
        return cls(round(float(low) * units), round(float(high or low) * units), units, severity, not high)

    def __contains__(self, number: object) -> bool:
        scaled = float(number) * self.units  # type: ignore[arg-type]
        return self.low <= (scaled if self.exact else math.floor(scaled + 1e-6)) <= self.high


class SeverityMap(NamedTuple):
    """The instance's own severities: words in lower case, and ranges of which the first that fits counts."""

    words: dict[str, int | float]
    ranges: tuple[SeverityRange, ...]

    def severity_of(self, word: str) -> int | float | None:
        """Return what a word or the text of a number means, None where the instance does not say."""
        if word in self.words or not self.ranges or not PLAIN_NUMBER.fullmatch(word):
            return self.words.get(word)
        return next((known.severity for known in self.ranges if float(word) in known), None)


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
            report_problem(f"{text[:100]!r} is no entry; {SEVERITY_MAP_HELP}")
        elif bounds is None and SEVERITY_NO_WORD.fullmatch(given):
            report_problem(f"{given[:100]!r} is no number and no range; {SEVERITY_MAP_HELP}")
        elif bounds is None:
            words.setdefault(given, severity)
        elif bounds["high"] and float(bounds["low"]) > float(bounds["high"]):
            report_problem(f"{given[:100]!r} begins above its end; {SEVERITY_MAP_HELP}")
        else:
            ranges.append(SeverityRange.parse(bounds["low"], bounds["high"] or "", severity))
    return SeverityMap(words, tuple(ranges))


def severity_of(value: Any, own: SeverityMap = NO_SEVERITY_MAP) -> int | float | None:
    """Return XSOAR's number for a severity's word or number, the instance's own first; None for what nobody knows."""
    word = (text_of(value) or "").lower()
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

RFC_3339_UTC = re.compile(r"(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](?:\.(?!000000)[0-9]{6})?Z")
LEAP_SECOND = re.compile(r"(\d{2}:\d{2}:)60")
# As nginx, Go and databases write it: 2024/05/01 12:00:00 (UTC), 2024-05-01 12:00:00.5 +0000 UTC, 2024-05-01T12:00:00,5 GMT.
LOOSE_ISO = re.compile(
    r"([0-9]{4})[-/]([0-9]{2})[-/]([0-9]{2})[T ]+([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?)"
    r"(?: ?(?:\(?(Z|UTC|GMT)\)?|([+-][0-9]{2}:?[0-9]{2})(?: [A-Z]{2,5})?))?"
)
# RFC 2822 (section 3.3), RFC 1123 and what C's asctime() and date(1) write, in upper case.
WRITTEN_DATE = re.compile(
    r"(?:[A-Z]{3,9}[,.]? +)?(?:[0-9]{1,2}[ -][A-Z]{3}[ -](?:[0-9]{2}|[1-9][0-9]{3}),? +[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?"
    r"(?: *(?:[+-][0-9]{4}|[A-Z]{1,5}))?"
    r"|[A-Z]{3} +[0-9]{1,2} +[0-9]{2}:[0-9]{2}:[0-9]{2}(?: [A-Z]{1,5})? +[1-9][0-9]{3})(?: *\([^()]*\))?"
)
EPOCH_NUMBER = re.compile(r"([0-9]{9,19})(?:\.([0-9]+))?")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_UNITS = (  # the row's numbers begin here, end before, and are so many a second: each spans 1973 to 2100 and more
    (10**8, 10**11, 1),
    (10**11, 10**14, 10**3),
    (10**14, 10**17, 10**6),
    (2 * 10**17, 10**19, 10**9),  # below it are Windows' file times, which would become 1974
)
PLAUSIBLE_YEARS = range(1901, 2100)  # 1, 1601 and 1900 are what programs write for "never"
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
    """Return RFC 3339 for a date in ISO 8601, RFC 1123 or 2822, or as seconds, milli-, micro- or nanoseconds since 1970.

    Without an offset it is UTC; a leap second becomes the second before it. Raises ValueError, also for an implausible year.
    """
    if RFC_3339_UTC.fullmatch(text):
        datetime.fromisoformat(text)
        return text
    try:
        moment = parse_moment(LEAP_SECOND.sub(r"\g<1>59", text[:MAX_DATE_CHARACTERS].strip().upper(), count=1))
    except (TypeError, IndexError, OverflowError) as error:  # the standard library's reader of RFC 2822 is not careful
        raise ValueError("it is no date") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment.year not in PLAUSIBLE_YEARS:
        raise ValueError("the year is implausible")
    offset = moment.utcoffset() or timedelta()
    if offset.total_seconds() % 60:  # RFC 3339 has offsets of whole minutes
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat()}".removesuffix("+00:00") + ("Z" if moment.utcoffset() == timedelta() else "")


def parse_moment(text: str) -> datetime:
    """Return the moment a text in upper case means, naive where it names no offset; raises what the library does."""
    number = EPOCH_NUMBER.fullmatch(text)
    if number:
        if len(number[1]) == len("20240501120000") and not number[2]:  # as an epoch it would be after 2286
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
    """Return the moment of an epoch's digits before and behind the decimal point; the unit is told by their number."""
    number = int(whole)
    for start, end, units in EPOCH_UNITS:
        if start <= number < end:
            billionths = int(whole + fraction[:9].ljust(9, "0"))
            return EPOCH + timedelta(microseconds=billionths // (units * 1000))
    raise ValueError("the number is no time since 1970")

# -------------------------------------------------------------------------------------------------
# Events: arrays of them, CloudEvents, and what identifies one
# -------------------------------------------------------------------------------------------------

MAX_KEY_CHARACTERS = 200


class EventArray(NamedTuple):
    """An array of events in an item: the path that found it, the keys that lead to it, and its elements."""

    path: str
    keys: tuple[Any, ...]
    elements: list[Any]


def without(value: Any, keys: tuple[Any, ...]) -> Any:
    """Return an object or array without what the keys lead to; the rest of it is not copied."""
    copy = value.copy()
    if len(keys) > 1:
        copy[keys[0]] = without(copy[keys[0]], keys[1:])
    else:
        del copy[keys[0]]
    return copy


def cloud_event(payload: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any] | None:
    """Return the attributes of a CloudEvent, from its JSON or from its headers; None where an event is none.

    Source: CloudEvents 1.0, JSON event format and HTTP protocol binding (section 3.1, binary content mode).
    """
    if "specversion" in payload:
        return payload
    headers = shared["headers"]
    if "ce-specversion" not in headers:
        return None
    names = ("subject", "type", "time")
    return {name: unquote_to_bytes(headers.get(f"ce-{name}", "")).decode(errors="replace") for name in names}


def event_key(payload: dict[str, Any], shared: dict[str, Any], keys: tuple[DuplicationKey, ...], index: int) -> str | None:
    """Return the text that identifies the ``index``-th event of a request, by the first key whose paths all have a value.

    It is ``path:value`` for a text, as earlier versions wrote it. Other values, and a value that the events of a request share
    because it lies outside them, are told apart behind a comma, which no path holds: ``id,json:5``, ``headers.x-id,2:value``.
    """
    for key in keys:
        found = [path.find_with_side(payload, shared) for path in key.paths]
        if any(value in (None, "", [], {}) for value, _ in found):
            continue
        value: Any = found[0][0] if len(found) == 1 else [value for value, _ in found]
        kind = "" if isinstance(value, str) else ",json"
        place = f",{index}" if index and not any(inside for _, inside in found) else ""
        return shorten_key(f"{key.text}{kind}{place}:{value if isinstance(value, str) else compact_json(value)}")
    return None


def shorten_key(key: str) -> str:
    """Return an event's key with a long value replaced by its SHA-256, so that 5,000 of them stay small."""
    if len(key) <= MAX_KEY_CHARACTERS:
        return key
    path, _, value = key.partition(":")
    return f"{path}:sha256={hashlib.sha256(value.encode()).hexdigest()}"
