"""Where an event's name, type, time and severity stand in a payload, and what identifies it.

It is for paths into JSON, name templates, the words and numbers of severities, dates in the forms
that programs write, arrays of events, and duplication keys; for the texts in which a person writes
all of these; and for what is found without them, by a table of known senders or by the usual names
of fields. It knows nothing of HTTP, of Cortex XSOAR, or of an instance's parameters.
"""

import collections
import contextlib
import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

JSON_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
compact_json = JSON_ENCODER.encode
JsonObject = dict[str, Any]

# ---- Paths: a dot path into JSON, compiled once

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
    """Return a path's steps, each with its indexes in the text; ValueError says how to fix it."""
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

    __slots__ = (
        "_dotted_keys",
        "_in_request",
        "_indexes",
        "_keys",
        "_names",
        "_only_key",
        "_request_first",
        "_steps",
        "first_keys",
        "text",
    )

    def __init__(self, text: str) -> None:
        """Compile a path; raises ValueError that says what to write instead."""
        self.text = text
        steps = path_steps(text)
        self._steps = len(steps)
        # for each step: the keys that may stand there, the longest first, and the step after each
        self._keys = tuple(
            tuple(
                (name if last == index else text[start : steps[last][2]], last + 1)
                for last in reversed(range(index, len(steps)))
            )
            for index, (name, start, _) in enumerate(steps)
        )
        self._names = tuple(keys[-1][0] for keys in self._keys)
        self._dotted_keys = tuple(keys[:-1] for keys in self._keys)
        # of a path of one step, which is looked up in an object without a call
        self._only_key = text if len(steps) == 1 and self._keys[0][0][0] == text else ""
        self.first_keys = frozenset(key for key, _ in self._keys[0])
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
        steps = self._steps
        if steps > FEW_PATH_STEPS:
            found_values = (found for found, _ in self._search(value) if found is not None)
            return next(found_values, None)
        while step < steps and value is not None:
            if isinstance(value, dict):
                for key, after in self._dotted_keys[step]:
                    if key in value:
                        found = self.find(value[key], after)
                        if found is not None:
                            return found
                value = value.get(self._names[step])
            else:
                index = self._indexes[step] if isinstance(value, list) else None
                if index is None or index >= len(value):
                    return None
                value = value[index]
            step += 1
        return value

    def find_array(self, value: Any) -> tuple[Any, ...] | None:
        """Return the keys and indexes that lead to an array of anything, None without one."""
        found = (keys for found, keys in self._search(value) if found and isinstance(found, list))
        return next(found, None)

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

    def find_in(self, payload: JsonObject, shared: JsonObject) -> Any:
        """Return the value in an event's payload, else in what the events of its request share."""
        if self._in_request is None:
            return payload.get(self._only_key) if self._only_key else self.find(payload)
        return self.find_with_side(payload, shared)[0]

    def find_with_side(self, payload: JsonObject, shared: JsonObject) -> tuple[Any, bool]:
        """Return what find_in does, and whether the value stands in the payload."""
        found = self._find_shared(shared) if self._request_first else None
        if found is not None:
            return found, False
        found = self.find(payload)
        return (found, True) if found is not None else (self._find_shared(shared), False)

    def _find_shared(self, shared: JsonObject) -> Any:
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


def find_usable(
    payload: JsonObject, shared: JsonObject, paths: tuple[DotPath, ...], read: Callable[[Any], Any]
) -> tuple[Any, DotPath] | None:
    """Return the first value of the paths that ``read`` can use, and its path."""
    for path in paths:
        value = path.find_in(payload, shared)
        if value is not None:
            usable = read(value)
            if usable is not None:
                return usable, path
    return None


def first_usable(
    payload: JsonObject, shared: JsonObject, paths: tuple[DotPath, ...], read: Callable[[Any], Any]
) -> Any:
    """Return the first value of the paths that ``read`` can use, None where there is none."""
    found = find_usable(payload, shared, paths, read)
    if found is None:
        return None
    if PATH_HOOK.report is not None:
        PATH_HOOK.report(paths, found[1])
    return found[0]


# ---- Parameters: a text that a person typed

ReportProblem = Callable[[str], None]  # takes a sentence that says how to fix the text


def split_list(value: Any, separator: str = ",") -> tuple[str, ...]:
    """Return the entries of a parameter, which the platform may give as a list."""
    parts = value if isinstance(value, list) else str(value or "").split(separator)
    return tuple(text for part in parts if (text := str(part).strip()))


def read_each(value: Any, make: Callable[[str], Any], report_problem: ReportProblem) -> Any:
    """Return what ``make`` returns for each entry, without those that it raises ValueError for."""
    made = []
    for text in split_list(value):
        try:
            made.append(make(text))
        except ValueError as error:
            report_problem(str(error))
    return tuple(made)


def read_paths(value: Any, report_problem: ReportProblem) -> "tuple[DotPath, ...]":
    """Return the paths of a comma-separated parameter."""
    paths: tuple[DotPath, ...] = read_each(value, DotPath, report_problem)
    return paths


class DuplicationKey(NamedTuple):
    """What identifies an event: the parameter's text, and the paths, which all need a value."""

    text: str
    paths: tuple[DotPath, ...]

    @classmethod
    def parse(cls, text: str) -> "DuplicationKey":
        """Read paths with ``+`` between them; raises ValueError that says what to write instead."""
        return cls(text, tuple(DotPath(path.strip()) for path in text.split("+")))

    @property
    def prefix(self) -> str:
        """Return the text with two commas, which no path has, for each colon: it ends at one."""
        return self.text.replace(":", ",,")


def read_duplication_key(value: Any, report_problem: ReportProblem) -> "tuple[DuplicationKey, ...]":
    """Return the keys of a comma-separated parameter; ``+`` joins several paths to one key."""
    keys: tuple[DuplicationKey, ...] = read_each(value, DuplicationKey.parse, report_problem)
    return keys


BRACED = re.compile(r"\{([^{}]*)\}")
NAME_ENTRY = re.compile(r"(?:[^,{}]|\{[^{}]*\})+")  # what stands between two commas outside braces
BRACES_HELP = (
    "write braces in pairs with a path between them, such as {rule.name} on {host.0.name}."
)
# A template's texts, and between them paths, of which the first value counts.
TemplateParts = tuple[str | tuple[DotPath, ...], ...]


def template_parts(text: str) -> TemplateParts:
    """Return the parts of a text with paths in braces, or of a path; ValueError says the fix."""
    if "{" not in text and "}" not in text:
        return ((DotPath(text),),)
    parts: list[str | tuple[DotPath, ...]] = []
    position = 0
    for match in BRACED.finditer(text):
        paths = tuple(DotPath(path) for path in split_list(match[1]) or [""])
        parts += [text[position : match.start()], paths]
        position = match.end()
    parts.append(text[position:])
    if any(brace in part for part in parts if isinstance(part, str) for brace in "{}"):
        raise ValueError(BRACES_HELP)
    return tuple(part for part in parts if part)


class NameSource(NamedTuple):
    """Where a name comes from: alternatives, of which the first counts that gives one.

    A template among several alternatives gives a name only where each of its braces has a value.
    With ``partial``, which a parameter's only template has, one of them is enough.
    """

    text: str
    alternatives: tuple[TemplateParts, ...]
    partial: bool = False

    @property
    def groups(self) -> tuple[tuple[DotPath, ...], ...]:
        """Return the paths of each brace, and of each alternative without braces."""
        return tuple(
            part for parts in self.alternatives for part in parts if not isinstance(part, str)
        )

    @property
    def paths(self) -> tuple[DotPath, ...]:
        """Return all paths."""
        return tuple(path for group in self.groups for path in group)


NAME_FROM: NameSource = NameSource("name", (((DotPath("name"),),),))
OCCURRED_FROM: tuple[DotPath, ...] = (DotPath("occurred"),)


def read_name_source(value: Any, report_problem: ReportProblem) -> "NameSource":
    """Return where the name comes from: comma-separated paths and templates; empty is the default.

    A comma between braces separates paths of which the first value counts.
    """
    text = ", ".join(split_list(value))
    if text in ("", NAME_FROM.text):
        return NAME_FROM
    if "{" not in text and "}" not in text:
        paths = read_paths(text, report_problem)
        return NameSource(text, ((paths,),)) if paths else NAME_FROM
    entries = [entry for part in NAME_ENTRY.findall(text) if (entry := part.strip())]
    if NAME_ENTRY.sub("", text).strip(","):  # a brace without its other one
        entries = [text]
    alternatives = read_each(entries, template_parts, report_problem)
    return NameSource(text, alternatives, len(entries) == 1) if alternatives else NAME_FROM


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


# ---- Names and texts

MAX_LISTED = 40  # elements or fields of one container that a text is made of
MAX_TEXT_CHARACTERS = 10_000  # of one value: far more than any field that a text becomes keeps
MAX_NUMBER_BITS = 4_000  # of an integer: Python refuses to write one of more than 4,300 digits


def name_of(payload: JsonObject, shared: JsonObject, source: NameSource) -> str | None:
    """Return an event's name, None where no alternative gives one."""
    for parts in source.alternatives:
        if len(parts) == 1 and not isinstance(parts[0], str):
            name = first_usable(payload, shared, parts[0], text_of)
        else:
            name = fill_template(payload, shared, parts, source.partial)
        if name:
            return name
    return None


def fill_template(
    payload: JsonObject, shared: JsonObject, parts: TemplateParts, partial: bool
) -> str | None:
    """Return a template's text, None where a brace has no value; with ``partial``, where all do."""
    texts, used = [], []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        found = find_usable(payload, shared, part, text_of)
        if found is not None:
            texts.append(found[0])
            used.append((part, found[1]))
        elif not partial:
            return None
    if used and PATH_HOOK.report is not None:
        for part, path in used:
            PATH_HOOK.report(part, path)
    return "".join(texts).strip() if used else None


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


# ---- Severities

SEVERITIES: dict[str, int | float] = {  # the table in docs/mapping.md has the same rows
    "unknown": 0,
    **dict.fromkeys(("info", "informational", "information", "debug", "ok", "none"), 0.5),
    **dict.fromkeys(("very low", "lowest", "p5", "s5", "sev5"), 0.5),
    **dict.fromkeys(("low", "notice", "p4", "s4", "sev4"), 1),
    **dict.fromkeys(("medium", "moderate", "warning", "warn", "minor", "average"), 2),
    **dict.fromkeys(("p3", "s3", "sev3"), 2),
    **dict.fromkeys(("high", "error", "err", "major", "severe", "p2", "s2", "sev2"), 3),
    **dict.fromkeys(("critical", "crit", "fatal", "emergency", "emerg", "disaster"), 4),
    **dict.fromkeys(("very high", "highest", "urgent", "blocker"), 4),
    **dict.fromkeys(("p0", "p1", "s0", "s1", "sev0", "sev1"), 4),
}
# A level's code (P1, Sev 1, SEV-1), and a word with its level before or after it: P1 - Critical,
# 1 - Critical, Critical (5). The word counts, and the code only where nobody knows the word.
SEVERITY_CODE = re.compile(r"(p|s|sev)[ -]?([0-9])")
SEVERITY_LABEL = re.compile(
    r"(?:((?:p|s|sev)?[ -]?[0-9]) ?[-\u2013:] ?)?"
    r"([a-z]{2,20}(?:[ _-][a-z]{2,20})?)(?: ?\([0-9.]{1,5}\))?"
)
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
    """Numbers that mean a severity, in units of the last decimal, so that 8.95 is in 7.0-8.9."""

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
    return word_severity(word)


def word_severity(word: str) -> int | float | None:
    """Return XSOAR's number for a word in lower case, for a code or for both; None for a number."""
    severity = SEVERITIES.get(word)
    if severity is not None:
        return severity
    code = SEVERITY_CODE.fullmatch(word)
    if code:
        return SEVERITIES.get(f"{code[1]}{code[2]}")
    label = SEVERITY_LABEL.fullmatch(word)
    if label is None:
        return None
    severity = SEVERITIES.get(label[2].replace("-", " ").replace("_", " "))
    return word_severity(label[1]) if severity is None and label[1] else severity


# ---- Dates

RFC_3339_UTC = re.compile(
    r"(?:19(?!00)|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T"
    r"[0-9]{2}:[0-9]{2}:[0-5][0-9](?:\.(?!000000)[0-9]{6})?Z"
)
LEAP_SECOND = re.compile("([0-9]{2}:[0-9]{2}:)60")
# A clock and what may follow it, in upper case: an offset or a zone, and then the zone's name.
TIME_OF_DAY = (
    r"(?P<clock>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?)(?: ?(?P<half>[AP])M)?"
    r"(?: *(?:\((?P<zone>[A-Z]{1,5})\)|(?P<offset>(?:UTC|GMT)?[+-][0-9]{2}:?[0-9]{2}|[A-Z]{1,5}))"
    r"(?: [A-Z]{2,5}| *\([^()]*\))?)?"
)
# nginx, Go and databases: 2024/05/01 12:00:00 (UTC), 2024-05-01 12:00:00.5 +0000 UTC
YEAR_FIRST = re.compile(
    r"(?P<year>[0-9]{4})[-/.](?P<month>[0-9]{1,2})[-/.](?P<day>[0-9]{1,2})[T ]+" + TIME_OF_DAY
)
# RFC 2822 (section 3.3), RFC 1123, and web servers' logs: 01/May/2024:12:00:00 +0000
DAY_FIRST = re.compile(
    r"(?:[A-Z]{3,9}[,.]? +)?(?P<day>[0-9]{1,2})(?P<separator>[ /-])(?P<month>[A-Z]{3,9})"
    r"(?P=separator)(?P<year>[0-9]{4}|[0-9]{2})(?:,? +|:)" + TIME_OF_DAY
)
# C's asctime(), date(1), JavaScript's Date.toString(), and syslog, which leaves the year out
MONTH_FIRST = re.compile(
    r"(?:[A-Z]{3,9}[,.]? +)?(?P<month>[A-Z]{3,9})\.? +(?P<day>[0-9]{1,2})"
    r"(?:,? +(?P<year>[0-9]{4}))?,? +" + TIME_OF_DAY + r"(?: +(?P<last_year>[0-9]{4}))?"
)
# the USA's and Europe's
NUMBERS_ONLY = re.compile(
    r"(?P<first>[0-9]{1,2})(?P<separator>[/.-])(?P<second>[0-9]{1,2})(?P=separator)"
    r"(?P<year>[0-9]{4})(?:,?[T ]+" + TIME_OF_DAY + ")?"
)
DATE_FORMS = (YEAR_FIRST, DAY_FIRST, MONTH_FIRST, NUMBERS_ONLY)
DOTNET_DATE = re.compile(r"/DATE\((-?[0-9]{1,15})(?:[+-][0-9]{4})?\)/")  # in milliseconds
MONTHS = "JANUARY FEBRUARY MARCH APRIL MAY JUNE JULY AUGUST SEPTEMBER OCTOBER NOVEMBER DECEMBER"
MONTH_NUMBERS = {
    name[:length]: number
    for number, name in enumerate(MONTHS.split(), 1)
    for length in (3, 4, len("SEPTEMBER"))
}
# Names that mean one offset only. AST, BST, CST, GST and IST do not: CST is the time of China, of
# Cuba and of the USA, which RFC 2822 (section 4.3) means.
ZONE_OFFSETS = {
    **dict.fromkeys(("Z", "UTC", "GMT", "UT", "WET"), "+00:00"),
    **dict.fromkeys(("CET", "MEZ", "WEST"), "+01:00"),
    **dict.fromkeys(("CEST", "MESZ", "EET", "SAST"), "+02:00"),
    **dict.fromkeys(("EEST", "MSK"), "+03:00"),
    **dict.fromkeys(("HKT", "SGT", "AWST"), "+08:00"),
    **dict.fromkeys(("JST", "KST"), "+09:00"),
    **{"ACST": "+09:30", "AEST": "+10:00", "ACDT": "+10:30", "AEDT": "+11:00"},
    **{"PKT": "+05:00", "WIB": "+07:00", "NZST": "+12:00", "NZDT": "+13:00", "BRT": "-03:00"},
    **{"EDT": "-04:00", "EST": "-05:00", "CDT": "-05:00", "MDT": "-06:00", "MST": "-07:00"},
    **{"PDT": "-07:00", "PST": "-08:00", "AKDT": "-08:00", "AKST": "-09:00", "HST": "-10:00"},
}
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
    """Return RFC 3339 for a date as text: ISO 8601, RFC 2822, an epoch, or what programs print.

    An epoch is in seconds, milli-, micro- or nanoseconds since 1970. A date without an offset is
    UTC, one without a year is the latest such day, and a leap second becomes the second before it.
    Raises ValueError, also for a zone that may mean several offsets and an implausible year.
    """
    if RFC_3339_UTC.fullmatch(text):
        datetime.fromisoformat(text)
        return text
    try:
        short = text[:MAX_DATE_CHARACTERS].strip().upper()
        if ":60" in short:
            short = LEAP_SECOND.sub(r"\g<1>59", short, count=1)
        moment = parse_moment(short)
    except OverflowError as error:
        raise ValueError("the year is implausible") from error
    if moment.year not in PLAUSIBLE_YEARS:
        raise ValueError("the year is implausible")
    offset = moment.utcoffset()
    if offset and offset.total_seconds() % 60:  # RFC 3339 has offsets of whole minutes
        moment, offset = moment.astimezone(UTC), None
    return moment.isoformat() if offset else f"{moment.replace(tzinfo=None).isoformat()}Z"


def parse_moment(text: str) -> datetime:
    """Return the moment that a text in upper case means, naive where it has no offset."""
    number = EPOCH_NUMBER.fullmatch(text)
    if number:
        whole, fraction = number.groups(default="")
        if len(whole) == len("20240501120000") and not fraction:  # as an epoch it is after 2286
            return datetime.strptime(text, "%Y%m%d%H%M%S")
        return parse_epoch(whole, fraction)
    if text[:4].isdecimal():
        with contextlib.suppress(ValueError):
            return datetime.fromisoformat(text)
    for form in DATE_FORMS:
        match = form.fullmatch(text)
        if match:
            return moment_of(match.groupdict())
    dotnet = DOTNET_DATE.fullmatch(text)
    if dotnet is None:
        raise ValueError("it is not a date")
    return EPOCH + timedelta(milliseconds=int(dotnet[1]))


def moment_of(parts: dict[str, str | None]) -> datetime:
    """Return the moment of a date's parts, which have the names of the groups in DATE_FORMS."""
    first, second = (int(parts.get(name) or 0) for name in ("first", "second"))
    month, day = first, second
    if "month" in parts:
        name, day = parts["month"] or "", int(parts["day"] or 0)
        month = int(name) if name.isdecimal() else MONTH_NUMBERS.get(name, 0)
    elif first != second and (first > 12) == (second > 12):
        raise ValueError("day and month cannot be told apart")
    elif first > 12:
        month, day = second, first
    digits = parts["year"] or parts.get("last_year")
    year = int(digits) if digits else latest_year(month, day)
    if digits and len(digits) == 2:  # as POSIX reads it
        year += 1900 if year > 68 else 2000
    hours, colon, rest = (parts["clock"] or "00:00").partition(":")
    hour = int(hours)
    if parts["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("the hour is not one of twelve")
        hour = hour % 12 + (12 if parts["half"] == "P" else 0)
    offset = offset_of(parts["offset"] or parts["zone"], parts.get("separator") == " ")
    return datetime.fromisoformat(f"{year:04}-{month:02}-{day:02}T{hour:02}{colon}{rest}{offset}")


def latest_year(month: int, day: int) -> int:
    """Return the latest year in which a day is past; clocks may be a day ahead of ours."""
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    return tomorrow.year if (month, day) <= (tomorrow.month, tomorrow.day) else tomorrow.year - 1


def offset_of(zone: str | None, in_mail: bool) -> str:
    """Return the offset of a zone's name or of an offset, empty without both."""
    if zone is None:
        return ""
    if zone[-1].isdigit():
        return zone.removeprefix("UTC").removeprefix("GMT")
    offset = "-06:00" if zone == "CST" and in_mail else ZONE_OFFSETS.get(zone)
    if offset is None:
        raise ValueError("the time zone is not known")
    return offset


def parse_epoch(whole: str, fraction: str) -> datetime:
    """Return the moment of an epoch's digits around the decimal point; they show its unit."""
    number = int(whole)
    for start, end, units in EPOCH_UNITS:
        if start <= number < end:
            billionths = int(whole + fraction[:9].ljust(9, "0"))
            return EPOCH + timedelta(microseconds=billionths // (units * 1000))
    raise ValueError("the number is not a time since 1970")


# ---- Events: arrays of them, CloudEvents, and what identifies one

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


def cloud_event(payload: JsonObject, shared: JsonObject) -> JsonObject | None:
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
    payload: JsonObject,
    shared: JsonObject,
    keys: tuple[DuplicationKey, ...],
    index: int,
    digests: dict[int, Any],
) -> str | None:
    """Return the text that identifies the ``index``-th event of a request.

    Of a long value that the request's events share, the digest counts: it is made once, and kept
    in ``digests`` for the next event.

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
        texts = [each if inside else short_value(each, digests) for each, inside in found]
        value = texts[0] if len(texts) == 1 else texts
        suffix = f",{index}" if index and not any(inside for _, inside in found) else ""
        prefix = f"{key.prefix}{kind}{suffix}"
        if isinstance(value, (dict, list)) and not all(isinstance(each, str) for each in texts):
            return container_key(prefix, value)
        return shorten_key(f"{prefix}:{value if isinstance(value, str) else compact_json(value)}")
    return None


def short_value(value: Any, digests: dict[int, Any]) -> Any:
    """Return a value that events share, or the digest that stands for a long one in a key."""
    if not isinstance(value, (str, dict, list)):
        return value
    if id(value) not in digests:
        is_text = isinstance(value, str)
        short = shorten_key(f":{value}") if is_text else container_key("", value)
        digests[id(value)] = short[1:] if short.startswith(":sha256=") else value
    return digests[id(value)]


def container_key(prefix: str, value: Any) -> str:
    """Return what shorten_key makes of a prefix and a container's JSON, which may be long.

    It is encoded in pieces: compact_json would keep all other threads waiting for 25 MB of it.
    """
    pieces = JSON_ENCODER.iterencode(value)
    text = "".join(itertools.islice(pieces, MAX_KEY_CHARACTERS))  # a piece is never empty
    if len(f"{prefix}:{text}") <= MAX_KEY_CHARACTERS:
        return f"{prefix}:{text}"
    digest = hashlib.sha256(text.encode(errors="surrogatepass"))
    while text := "".join(itertools.islice(pieces, 1000)):
        digest.update(text.encode(errors="surrogatepass"))
    return f"{prefix}:sha256={digest.hexdigest()}"


def shorten_key(key: str) -> str:
    """Return an event's key, with a long value replaced by its SHA-256: 5,000 keys are kept."""
    if len(key) <= MAX_KEY_CHARACTERS:
        return key
    path, _, value = key.partition(":")
    digest = hashlib.sha256(value.encode(errors="surrogatepass"))  # JSON may hold half a pair
    return f"{path}:sha256={digest.hexdigest()}"


# ---- Known senders: which row of a table describes a payload

MAX_KNOWN_SHAPES = 4_096  # tuples of keys that are remembered
MAX_KNOWN_CHARACTERS = 4_000_000  # of all their keys together
MAX_SHAPE_KEYS = 200  # an object with more keys is not remembered
MAX_INSIDE = 3  # envelopes within envelopes: SNS, EventBridge, and what a service sends by it
MAX_LINK_CHARACTERS = 2_000
MAX_SHARED_IDENTITY_CHARACTERS = 2_000
FIELDS_WITH_PATHS = ("when", "name", "severity", "occurred", "identity", "closed", "link")
NAMED_HEADER = re.compile(r"header(?:s\.|:)([a-z0-9-]+)")
WEB_ADDRESS = re.compile(r"https?://[^\s<>\"']+")
ReadConditions = Callable[[Iterable[str], type[DotPath], ReportProblem], Any]


class ShapeCache:
    """Remembers what follows from an object's keys, which most of a sender's events share.

    When it is full, it is emptied: then hostile keys cost time for each event, but no more memory.
    """

    def __init__(self, work_out: Callable[[JsonObject], Any]) -> None:
        self._work_out = work_out
        self._known: dict[tuple[str, ...], Any] = {}
        self._characters = 0

    def look_up(self, value: JsonObject) -> Any:
        """Return what ``work_out`` returns for an object; it may depend on the keys only."""
        if len(value) > MAX_SHAPE_KEYS:
            return self._work_out(value)
        keys = tuple(value)
        found = self._known.get(keys)
        if found is None:
            found = self._work_out(value)
            self._remember(keys, found)
        return found

    def _remember(self, keys: tuple[str, ...], found: Any) -> None:
        characters = sum(map(len, keys)) + 50 * len(keys)  # what Python adds to a short text
        if len(self._known) >= MAX_KNOWN_SHAPES or self._characters > MAX_KNOWN_CHARACTERS:
            self._known, self._characters = {}, 0
        if characters < MAX_KNOWN_CHARACTERS // 10:
            self._known[keys] = found
            self._characters += characters


class SenderTest(NamedTuple):
    """One condition of a row's ``when``: a path or a header, and what it has to be."""

    name: str  # of the header, or of a key at the top; empty for a longer path
    path: DotPath | None  # None for a header
    value: str | None  # None: any
    is_prefix: bool
    absent: bool

    @classmethod
    def parse(cls, text: str) -> "SenderTest":
        """Read ``path``, ``path=value``, ``path=prefix*``, ``header:name=value`` or ``!path``."""
        absent = text.startswith("!")
        where, equals, value = text.removeprefix("!").partition("=")
        is_prefix = value.endswith("*")
        wanted = value.removesuffix("*") if equals else None
        if where.startswith("header:"):
            name = where.removeprefix("header:").lower()
            return cls(name, None, wanted, is_prefix, absent)
        path = DotPath(where)
        return cls(where if path.first_keys == {where} else "", path, wanted, is_prefix, absent)


def tests_hold(tests: Iterable[SenderTest], payload: JsonObject, headers: JsonObject) -> bool:
    """Return whether all tests hold for a payload and the headers of its request.

    It is one loop without calls for the usual tests, because it runs for each event.
    """
    for name, path, value, is_prefix, absent in tests:
        if path is None:
            found = headers.get(name)
        else:
            found = payload.get(name) if name else path.find(payload)
        if found is None or value is None:
            if (found is None) != absent:
                return False
            continue
        plain = found if not isinstance(found, (list, dict)) else ""
        text = plain if type(plain) is str else text_of(plain) or ""
        if (text.startswith(value) if is_prefix else text == value) == absent:
            return False
    return True


class KnownSender:
    """A row of the table of known senders, compiled: how to recognize it, and what it finds."""

    def __init__(self, row: Any, index: int, read_conditions: ReadConditions) -> None:
        """Compile a row; raises ValueError that says what is wrong with it."""
        self.id, self.title, self.row = row.id, row.title, row
        self.family = row.family or row.id
        # recognition
        self.tests = sorted(
            map(SenderTest.parse, row.when.split()), key=lambda test: test.value is None
        )
        self.of_headers = [test for test in self.tests if test.path is None]
        self.of_payload = [test for test in self.tests if test.path is not None]
        # for each path that it wants: the keys at the top that may begin it
        self.needed = [test.path.first_keys for test in self.tests if test.path and not test.absent]
        present = [test for test in self.tests if not test.absent]
        valued = [test for test in present if test.value is not None]
        weight = len(self.tests) + len(valued)
        weight += 9 * sum(test.path is None for test in [*present, *valued])
        exact = sum(not test.is_prefix for test in valued)
        self.rank = (row.weak, -weight, -exact, index)
        # fields
        alternatives = tuple(template_parts(text) for text in split_list(row.name, ";"))
        self.name = NameSource(row.name, alternatives) if alternatives else None
        self.severity = read_paths(row.severity, refuse)
        self.words = read_severity_map(row.words, refuse)
        self.occurred = read_paths(row.occurred, refuse)
        self.link = read_paths(row.link, refuse)
        # events
        self.events = read_paths(row.events, refuse)
        self.inside = DotPath(row.inside) if row.inside else None
        # identity and status
        self.identity = read_duplication_key(row.identity, refuse)
        self.closed = read_conditions(split_list(row.closed, ";"), DotPath, refuse)
        # occurred is the alert's start, also at its end, and many alerts have the same identity
        self.fixed_start: bool = row.fixed_start

    def severity_of(
        self, payload: JsonObject, shared: JsonObject, own: SeverityMap = NO_SEVERITY_MAP
    ) -> int | float | None:
        """Return XSOAR's number for an event's severity, by the instance's own words first.

        A number counts only where the instance's words or the row's say what it means.
        """

        def read(value: Any) -> int | float | None:
            word = (text_of(value) or "")[:MAX_SEVERITY_CHARACTERS].lower()
            for known in (own, self.words):
                severity = known.severity_of(word)
                if severity is not None:
                    return severity
            return word_severity(word)

        found: int | float | None = first_usable(payload, shared, self.severity, read)
        return found

    def identity_of(self, payload: JsonObject, shared: JsonObject) -> str | None:
        """Return ``<family>:<value>``, which an alert's events have in common; None without it."""
        for key in self.identity:
            found = (path.find_with_side(payload, shared) for path in key.paths)
            texts = [identity_text(value, inside) for value, inside in found]
            if all(texts):
                return shorten_key(f"{self.family}:{'+'.join(filter(None, texts))}")
        return None

    def status_of(self, payload: JsonObject, shared: JsonObject) -> str | None:
        """Return ``open`` or ``closed``, None where the row does not know an alert's end."""
        if not self.closed:
            return None
        return "closed" if self.closed.hold(payload, shared) else "open"

    def link_of(self, payload: JsonObject, shared: JsonObject) -> str | None:
        """Return the address at which the sender shows the event, None without it."""
        link: str | None = first_usable(payload, shared, self.link, web_address)
        return link


def refuse(problem: str) -> None:
    """Raise what is wrong with a row of the table."""
    raise ValueError(problem)


def identity_text(value: Any, inside: bool) -> str | None:
    """Return the whole text of a value that may identify an event, None for any other.

    A long one that stands outside the event is none: all of the request's would be hashed with it.
    """
    if isinstance(value, str):
        is_short = inside or len(value) <= MAX_SHARED_IDENTITY_CHARACTERS
        return value.strip() or None if is_short else None
    return text_of(value)


def web_address(value: Any) -> str | None:
    """Return a value that is an address with http or https, None for any other."""
    text = value[: MAX_LINK_CHARACTERS + 1].strip() if isinstance(value, str) else ""
    return text if len(text) <= MAX_LINK_CHARACTERS and WEB_ADDRESS.fullmatch(text) else None


class Recognizer:
    """Finds the row that describes a payload: of those that hold, the one with the lowest rank."""

    def __init__(self, senders: Iterable[KnownSender]) -> None:
        rows = sorted(senders, key=lambda sender: sender.rank)
        self.by_id = {row.id: row for row in rows}
        # the names of all headers that a row reads, in lower case
        texts = (getattr(row.row, field) for row in rows for field in FIELDS_WITH_PATHS)
        self.header_names = frozenset(NAMED_HEADER.findall(" ".join(texts).lower()))
        # rows that want a header, and the others by the keys that may begin their rarest path
        shared_by = collections.Counter(key for row in rows for keys in row.needed for key in keys)
        self._of_headers = [row for row in rows if any(not test.absent for test in row.of_headers)]
        self._headers = {test.name for row in self._of_headers for test in row.of_headers}
        self._of_keys: dict[str, list[KnownSender]] = {}
        for row in rows:
            if row not in self._of_headers:
                for key in min(row.needed, key=lambda keys: sum(shared_by[key] for key in keys)):
                    self._of_keys.setdefault(key, []).append(row)
        self._candidates = ShapeCache(self._find_candidates)

    def rows_of(self, headers: JsonObject) -> tuple[KnownSender, ...]:
        """Return the rows that want a header and fit a request's; keep them with a known head."""
        if self._headers.isdisjoint(headers):
            return ()
        return tuple(row for row in self._of_headers if tests_hold(row.of_headers, {}, headers))

    def recognize(
        self, payload: JsonObject, headers: JsonObject, rows: tuple[KnownSender, ...] | None = None
    ) -> KnownSender | None:
        """Return the row that describes a payload, None where none does.

        Names of headers are in lower case; ``rows`` is what rows_of returns for them.
        """
        best = None
        for row in self._candidates.look_up(payload):
            if tests_hold(row.tests, payload, headers):
                best = row
                break
        for row in self.rows_of(headers) if rows is None else rows:
            if best is not None and best.rank < row.rank:
                break
            if tests_hold(row.of_payload, payload, headers):
                return row
        return best

    def resolve(
        self, payload: JsonObject, headers: JsonObject, rows: tuple[KnownSender, ...] | None = None
    ) -> list[tuple[KnownSender, JsonObject]]:
        """Return the rows that describe a payload and what it carries, the innermost first.

        Each comes with the object that it describes. What the first does not find, an envelope's
        row may: the time of a message whose content has none.
        """
        found: list[tuple[KnownSender, JsonObject]] = []
        for _ in range(MAX_INSIDE):
            row = self.recognize(payload, headers, rows)
            if row is not None:
                found.insert(0, (row, payload))
            inner = row.inside.find(payload) if row is not None and row.inside else None
            if row is None and "specversion" in payload:  # a CloudEvent
                inner = payload.get("data")
            if not isinstance(inner, dict):
                break
            payload, headers, rows = inner, {}, ()
        return found

    def _find_candidates(self, payload: JsonObject) -> tuple[KnownSender, ...]:
        """Return the rows whose keys at the top a payload has, the lowest rank first."""
        known = self._of_keys
        keys = [key for key in known if key in payload]
        rows = {row.rank: row for key in keys for row in known[key]}
        return tuple(
            rows[rank]
            for rank in sorted(rows)
            if all(any(key in payload for key in keys) for keys in rows[rank].needed)
        )


def compile_senders(rows: Iterable[Any], read_conditions: ReadConditions) -> Recognizer:
    """Return the recognizer of a table's rows; raises ValueError that names a wrong one.

    A row has the attributes id, title, when, events, inside, weak, family, name, severity, words,
    occurred, identity, closed, fixed_start and link, all texts but ``weak`` and ``fixed_start``.
    ``read_conditions`` returns what ``hold``s for an event that ends an alert, from texts, what
    makes a path of a text, and what raises the mistake in one.
    """
    senders = []
    for index, row in enumerate(rows):
        try:
            senders.append(KnownSender(row, index, read_conditions))
            if all(test.absent for test in senders[-1].tests):
                raise ValueError("it needs a path or a header.")
        except ValueError as error:
            raise ValueError(f"{row.id}: {error}") from error
    return Recognizer(senders)


# ---- Usual field names, for senders that no row describes


# Keys are compared in lower case and without punctuation, and count in this order. Measured with
# public payloads: numbers read as XSOAR's severities are right in 17 %, so that only words count;
# `id` or `uuid` as an identity drops 1,035 of 2,143 different payloads, so that none is guessed.
def ranked(*tiers: str) -> dict[str, tuple[int, int]]:
    """Return each word with the number of its text and its index in it."""
    return {
        key: (tier, rank)
        for tier, keys in enumerate(tiers)
        for rank, key in enumerate(keys.split())
    }


NAME_KEYS = ranked(
    "title alertname alerttitle alertdisplayname alertsummary eventtitle eventname eventsummary "
    "incidentname incidenttitle issuetitle rulename ruletitle monitorname policyname detectionname "
    "findingtitle problemtitle problemname checkname signature threatname headline subject summary "
    "shortdescription displaymessage displayname alarmname alarmtitle emailsubject titel titulo",
    "name message msg text description alertmessage alertdescription alertdesc eventmessage "
    "eventdescription reason details rule policy logdesc output body",
    "eventtype alerttype eventaction notificationtype notificationevent action event type category "
    "kind",
)
SEVERITY_KEYS = ranked(
    "severity severitylevel severityname severitylabel severitytext alertseverity eventseverity "
    "incidentseverity threatseverity sev priority prioritylevel alertpriority criticality urgency "
    "risklevel riskrating risk threatlevel alertlevel triggerlevel level loglevel impact"
)
TIME_KEYS = ranked(
    "occurred occurredat occurredon eventtime eventtimestamp eventdate eventcreatedat alerttime "
    "alerttimestamp alertdate detectedat detectiontime detectiontimestamp triggeredat triggertime "
    "triggeredtime firedat startsat startedat starttime startdatetime startdate start begin "
    "incidenttime timestamp time datetime timestampms timestamputc eventtimeutc ts date when "
    "createdat createtime createdtime createddate createddatetime creationtime creationdate "
    "creationtimestamp created datecreated dateadded generatedat generatedtime timegenerated "
    "raisedat reportedat publishedat published publishtime receivedat receivedtime firstseen "
    "firstseenat firstoccurrence firstdetected lastseen lastoccurrence updatedat updatetime "
    "updated lastupdated sentat createdon createdtimeutc alertcreationtime openedat detectedtime "
    "occurreddate eventcreated reporttime incidentstarttime alarmtime alertdatetime eventdatetime "
    "realtimetimestamp createdtimestamp downat fecha zeitstempel horodatage"
)
# Objects that mean the event, and first those that have a name of their own; the name of a user, a
# host or a repository is not an event's.
OBJECT_KEYS = ranked(
    "alert alarm incident issue finding detection event check monitor policy problem rule threat "
    "trigger vulnerability violation ticket case",
    "data detail details payload body attributes result properties essentials metadata context "
    "labels annotations message record notification info rawlog",
)
ARRAY_KEYS = ranked(
    "alerts alarms events records findings detections incidents issues notifications problems "
    "threats vulnerabilities violations"
)
MAX_GUESS_OBJECTS, MAX_GUESS_LEVELS, MAX_GUESS_KEYS, MAX_NAME_LOOK = 12, 3, 100, 200
NOT_IN_A_KEY = re.compile("[^a-z0-9]+")
ONE_WORD = re.compile("[a-z0-9_.:/-]+")
# No letters, JSON or XML, an address, an ARN, a date, an ID, a long token with digits
NOT_A_NAME = re.compile(
    r"[\W\d_]*|<(?!\d{1,3}>).*|[\[{]\s*[\[{\]}\"].*|"
    r"[A-Za-z][A-Za-z0-9+.-]*://.*|arn:.*|[^\s@]+@[^\s@]+|[0-9a-fA-F.:-]+|"
    r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}.*|[A-Z]{1,6}-?[0-9]{3,}|(?=\D*\d)\S{20,}",
    re.DOTALL,
)


class UsualKeys(NamedTuple):
    """The keys of an object that may hold what is looked for, the best first."""

    names: tuple[tuple[int, str], ...]  # with their tier
    severities: tuple[str, ...]
    times: tuple[str, ...]
    objects: tuple[tuple[str, bool], ...]  # with whether a name in it is the event's
    arrays: tuple[str, ...]

    @classmethod
    def of(cls, value: JsonObject) -> "UsualKeys":
        """Sort an object's keys by what they mean."""
        keys = [
            (NOT_IN_A_KEY.sub("", key[:40].lower()), key)
            for key in itertools.islice(value, MAX_GUESS_KEYS)
        ]

        def best(ranks: dict[str, tuple[int, int]]) -> list[tuple[int, str]]:
            found = sorted((*ranks[plain], key) for plain, key in keys if plain in ranks)
            return [(tier, key) for tier, _, key in found]

        return cls(
            tuple(best(NAME_KEYS)),
            tuple(key for _, key in best(SEVERITY_KEYS)),
            tuple(key for _, key in best(TIME_KEYS)),
            tuple((key, tier == 0) for tier, key in best(OBJECT_KEYS)),
            tuple(key for _, key in best(ARRAY_KEYS)),
        )


USUAL_KEYS = ShapeCache(UsualKeys.of)


def guess_fields(payload: JsonObject) -> tuple[str | None, int | float | None, str | None]:
    """Return an event's name, severity and time by the usual names of fields, None for the rest."""
    root = payload.get("xml")
    if type(root) is dict and len(root) == 1:  # the element around all others means nothing
        element = next(iter(root.values()))
        payload = element if type(element) is dict else payload
    objects: list[tuple[JsonObject, UsualKeys, bool]] = [
        (payload, USUAL_KEYS.look_up(payload), True)
    ]
    start = 0
    for _ in range(MAX_GUESS_LEVELS):
        start, level = len(objects), objects[start:]
        for value, usual, _ in level:
            for key, named in usual.objects:
                child = value[key]
                if type(child) is dict and len(objects) < MAX_GUESS_OBJECTS:
                    objects.append((child, USUAL_KEYS.look_up(child), named))
    severity = first_of(objects, 1, guessed_severity)
    return guess_name(objects), severity, first_of(objects, 2, guessed_time)


def first_of(objects: list[Any], index: int, read: Callable[[Any], Any]) -> Any:
    """Return the first value that ``read`` can use under the keys of a field of UsualKeys."""
    found = (read(value[key]) for value, usual, _ in objects for key in usual[index])
    return next((value for value in found if value is not None), None)


def guess_name(objects: list[Any], tiers: int = 3) -> str | None:
    """Return the best text for a name; one word in lower case is the last choice."""
    word = None
    for tier in range(tiers):
        for value, usual, named in objects:
            for key_tier, key in usual.names:
                text = value[key]
                if key_tier != tier or type(text) is not str:
                    continue
                text = text[:MAX_TEXT_CHARACTERS].strip().partition("\n")[0].rstrip()
                if len(text) < 2 or (not named and key.lower() == "name"):
                    continue
                if not NOT_A_NAME.fullmatch(text[:MAX_NAME_LOOK]):
                    if not ONE_WORD.fullmatch(text):
                        return text
                    word = word or text
    return word


def guessed_severity(value: Any) -> int | float | None:
    """Return XSOAR's number for a word that is a severity everywhere, None for any other value."""
    if isinstance(value, dict):
        keys = ("severity", "name", "label", "text", "level")
        inner = (guessed_severity(value[key]) for key in keys if type(value.get(key)) is str)
        return next((severity for severity in inner if severity is not None), None)
    word = value[:MAX_SEVERITY_CHARACTERS].strip().lower() if isinstance(value, str) else ""
    is_code = word.startswith("s") and word[-1].isdigit()  # some vendors' SevN counts from 0
    if not word or is_code or word in ("ok", "none", "unknown"):
        return None
    return word_severity(word)


def guessed_time(value: Any) -> str | None:
    """Return RFC 3339 for a time of this century that has a clock, None for any other value."""
    if isinstance(value, str):
        text = value[:MAX_DATE_CHARACTERS].strip()
        has_clock = ":" in text or (len(text) > 8 and text.replace(".", "", 1).isdecimal())
    else:
        has_clock = isinstance(value, (int, float)) and value > 10**8
    occurred = occurred_of(value) if has_clock else None
    return occurred if occurred and "2000" <= occurred[:4] <= "2037" else None


def guess_events(payload: JsonObject) -> EventArray | None:
    """Return the one array of events in a payload, None where something else names the whole."""
    usual: UsualKeys = USUAL_KEYS.look_up(payload)
    found: list[tuple[str, ...]] = [(key,) for key in usual.arrays if is_event_array(payload[key])]
    objects = [(payload, usual, True)]
    for key, named in usual.objects:
        child = payload[key]
        if type(child) is dict:
            inner: UsualKeys = USUAL_KEYS.look_up(child)
            found += [(key, name) for name in inner.arrays if is_event_array(child[name])]
            objects.append((child, inner, named))
    name = guess_name(objects, tiers=2)
    if len(found) != 1 or (name and not ONE_WORD.fullmatch(name)):
        return None
    keys = found[0]
    elements: Any = payload
    for key in keys:
        elements = elements[key]
    return EventArray(".".join(keys), keys, elements)


def is_event_array(value: Any) -> bool:
    """Return whether a value is an array of objects."""
    return type(value) is list and bool(value) and all(type(child) is dict for child in value)
