"""Every row of the table is written in the syntax that the module's docstring explains."""

import ast
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import KnownSendersApiModule
import pytest
import SenderAnswersApiModule
from KnownSendersApiModule import KNOWN_SENDERS, Sender

# The syntax of the integration's paths; those of the table have no blanks at their ends.
PATH = re.compile(r"(?:[^.\[\]]+|\[[^\[\]]+\])(?:\.[^.\[\]]+|\[[^\[\]]+\])*")
HEADER = re.compile(r"[a-z0-9-]+")
BRACES = re.compile(r"\{([^{}]*)\}")
NUMBERS = re.compile(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?")
SEVERITIES = {"unknown", "info", "low", "medium", "high", "critical"}
# Keys that any sender may have: together they still name nobody.
GENERAL = frozenset(
    re.findall(
        r"\S+",
        """
        0 action actor alert alerts app body category code command context created created_at data
        date description detail details email error event event_type eventtype events host id
        incident info issue item key kind label level link message metadata method model msg name
        object operation page payload priority project properties reason repository resource
        resource_type result rule sender service severity source state status subject tags text
        time timestamp title ts type url user username uuid value version
        """,
    )
)


def condition_parts(condition: str) -> tuple[bool, str, str | None]:
    """Return of a condition of `when` whether it is an absence, its path, and its value if any."""
    absent = condition.startswith("!")
    path, equals, value = condition.removeprefix("!").partition("=")
    return absent, path, value if equals else None


def listed(text: str) -> list[str]:
    """Return the parts of a comma-separated text."""
    return [part.strip() for part in text.split(",")] if text else []


def alternatives(sender: Sender) -> list[str]:
    return [part.strip() for part in sender.name.split(";")]


def closed_conditions(sender: Sender) -> list[tuple[str, list[str]]]:
    """Return the path and the values of each condition of `closed`."""
    parts = [part.strip().partition("=") for part in sender.closed.split(";") if sender.closed]
    return [(path, values.split("|")) for path, _, values in parts]


def is_path(text: str) -> bool:
    return PATH.fullmatch(text) is not None and text == text.strip()


def names_its_sender(sender: Sender) -> bool:
    """Return whether a condition holds a word that few others use: a header, a value, or a key."""
    parts = [condition_parts(condition) for condition in sender.when.split()]
    return any(
        path.startswith("header:")
        or value is not None
        or set(re.split(r"[.\[\]]+", path.lower())) - GENERAL
        for absent, path, value in parts
        if not absent
    )


every_row = pytest.mark.parametrize("sender", KNOWN_SENDERS, ids=lambda sender: sender.id)


def test_there_are_many_rows_and_each_has_an_id_of_its_own() -> None:
    ids = Counter(sender.id for sender in KNOWN_SENDERS)

    assert len(KNOWN_SENDERS) >= 230
    assert [name for name, count in ids.items() if count > 1] == []
    assert [name for name in ids if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)] == []


def test_no_two_rows_have_the_same_conditions() -> None:
    conditions = Counter(frozenset(sender.when.split()) for sender in KNOWN_SENDERS)

    assert [set(when) for when, count in conditions.items() if count > 1] == []


def test_a_family_has_several_rows() -> None:
    families = Counter(sender.family for sender in KNOWN_SENDERS if sender.family)

    assert [family for family, count in families.items() if count == 1] == []


@every_row
def test_the_conditions_are_paths_headers_and_values(sender: Sender) -> None:
    parts = [condition_parts(condition) for condition in sender.when.split()]

    assert any(not absent for absent, _, _ in parts)
    for absent, path, value in parts:
        name = path.removeprefix("header:")
        assert HEADER.fullmatch(name) if name != path else is_path(path)
        assert value is None or (value not in ("", "*") and "*" not in value[:-1] and not absent)


@every_row
def test_the_conditions_name_the_sender(sender: Sender) -> None:
    assert sender.weak or names_its_sender(sender)


@every_row
def test_the_name_is_paths_and_texts_with_paths_in_braces(sender: Sender) -> None:
    for alternative in alternatives(sender):
        if "{" not in alternative:
            assert is_path(alternative)
            continue
        assert all(
            is_path(path) for braces in BRACES.findall(alternative) for path in listed(braces)
        )
        assert not re.search(r"[{}]", BRACES.sub("", alternative))


@every_row
def test_what_leads_to_a_value_is_paths(sender: Sender) -> None:
    lists = [sender.severity, sender.occurred, sender.link, sender.events, sender.inside]

    assert [path for text in lists for path in listed(text) if not is_path(path)] == []


@every_row
def test_a_severity_is_said_in_words_that_are_given_once(sender: Sender) -> None:
    entries = [entry.rpartition("=") for entry in listed(sender.words)]

    assert not entries or sender.severity
    assert [
        given for given, count in Counter(given for given, _, _ in entries).items() if count > 1
    ] == []
    for given, equals, meaning in entries:
        numbers = NUMBERS.fullmatch(given)
        assert given and equals and meaning in SEVERITIES
        assert given == given.lower()
        assert not numbers or not numbers[2] or float(numbers[1]) < float(numbers[2])


@every_row
def test_a_number_means_one_severity(sender: Sender) -> None:
    """Ranges are compared in order, so that one which another hides would say nothing."""
    ranges = [
        match
        for entry in listed(sender.words)
        if (match := NUMBERS.fullmatch(entry.rpartition("=")[0]))
    ]
    bounds = sorted((float(match[1]), float(match[2] or match[1])) for match in ranges)

    assert all(first[1] < second[0] for first, second in pairwise(bounds))


@every_row
def test_what_identifies_is_neither_a_time_nor_a_status(sender: Sender) -> None:
    paths = {path.strip() for key in listed(sender.identity) for path in key.split("+")}

    assert all(is_path(path) for path in paths)
    assert paths.isdisjoint(listed(sender.occurred))
    assert paths.isdisjoint(path for path, _ in closed_conditions(sender))


@every_row
def test_what_ends_an_alert_is_a_path_and_values(sender: Sender) -> None:
    for path, values in closed_conditions(sender):
        assert is_path(path)
        assert all(value and value == value.strip() and "*" not in value[:-1] for value in values)


def test_the_module_is_data_that_imports_nothing_of_ours() -> None:
    tree = ast.parse(Path(KnownSendersApiModule.__file__).read_text())
    imports = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert imports == {"typing"}
    assert not any(isinstance(node, ast.Import | ast.FunctionDef) for node in ast.walk(tree))


def test_above_the_rows_of_each_category_stands_a_source() -> None:
    text = Path(KnownSendersApiModule.__file__).read_text()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = [after for line, after in pairwise(lines) if line.startswith("# ----")]

    assert len(first) > 10
    assert [line for line in first if not line.startswith("# ")] == []
    assert [line for line in text.splitlines() if len(line) > 100] == []


def test_every_answer_of_a_row_exists() -> None:
    named = {row.answer for row in KnownSendersApiModule.KNOWN_SENDERS} - {""}
    assert named >= {"empty", "salesforce", "twiml"}
    assert named <= set(SenderAnswersApiModule.SENDER_ANSWERS)
