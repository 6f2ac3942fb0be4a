"""Each row of the known senders takes the payloads of its sender, and no other row does."""

from typing import Any

import pytest
from KnownSendersApiModule import KNOWN_SENDERS, Sender

from Tests.end_to_end.known_senders.cases import Case, load_cases
from Tests.end_to_end.known_senders.reader import Posted, identity_of, is_closed, recognize

CASES = load_cases()
ROWS = {sender.id: sender for sender in KNOWN_SENDERS}
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.row)
every_end = pytest.mark.parametrize(
    "case", [case for case in CASES if case.end], ids=lambda case: case.row
)


def described(case: Case, payload: dict[str, Any]) -> Posted:
    """Return what the case's own row describes: the payload, or the object within it."""
    posted = Posted(payload, case.headers)
    return Posted(posted.find(ROWS[case.outer].inside), case.headers) if case.outer else posted


def event_of(case: Case, payload: dict[str, Any]) -> tuple[Sender, Posted]:
    """Return the case's row and the one event of a payload, which knows what stands around it."""
    sender = ROWS[case.row]
    posted = described(case, payload)
    for path in filter(None, sender.events.split(",")):
        event = posted.find(path.strip())[0]
        posted = Posted({**event, "parent": posted.payload}, case.headers)
    return sender, posted


def test_every_row_has_a_payload() -> None:
    assert {case.row for case in CASES} == set(ROWS)


@every_case
def test_a_payload_is_its_senders(case: Case) -> None:
    assert recognize(Posted(case.payload, case.headers))[0] == (case.outer or case.row)
    assert recognize(described(case, case.payload))[0] == case.row


@every_case
def test_an_event_has_its_identity_and_is_open(case: Case) -> None:
    sender, event = event_of(case, case.payload)

    assert identity_of(sender, event) == case.expect.get("identity")
    assert case.expect["status"] == "open"
    assert not is_closed(sender, event)


@every_end
def test_an_end_is_its_senders_and_ends_what_began(case: Case) -> None:
    sender, event = event_of(case, case.ended)

    assert recognize(described(case, case.ended))[0] == case.row
    assert identity_of(sender, event) == case.expect["identity"]
    assert is_closed(sender, event)


def test_a_row_that_knows_an_end_has_a_payload_that_is_one() -> None:
    """An end that no payload shows may be misspelt; rows of a family may share one."""
    ending = {case.row for case in CASES if case.end}
    same_words = {(ROWS[row].family, ROWS[row].closed) for row in ending if ROWS[row].family}

    assert [
        sender.id
        for sender in KNOWN_SENDERS
        if sender.closed
        and sender.id not in ending
        and (sender.family, sender.closed) not in same_words
    ] == []


@pytest.mark.parametrize("field", ["severity", "occurred", "identity", "link"])
def test_what_is_expected_is_what_the_row_knows(field: str) -> None:
    """Nearly every field of a row has a payload that shows it; the rest are second choices."""
    knowing = {sender.id for sender in KNOWN_SENDERS if getattr(sender, field)}
    shown = {case.row for case in CASES if field in case.expect}

    assert shown <= knowing
    assert len(shown) >= 0.75 * len(knowing)
