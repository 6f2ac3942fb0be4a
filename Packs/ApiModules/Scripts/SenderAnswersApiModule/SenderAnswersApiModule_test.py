"""Unit tests of SenderAnswersApiModule.py."""

from collections.abc import Callable

import pytest
import SenderAnswersApiModule as answers
from defusedxml import ElementTree
from SenderAnswersApiModule import SENDER_ANSWERS, answer_for_sender

from Tests.costs import assert_patterns_are_linear


@pytest.mark.parametrize("kind", SENDER_ANSWERS)
def test_what_a_row_names_is_the_answer_wherever_it_is_posted(kind: str) -> None:
    content, content_type = answer_for_sender(kind, "/services/collector", {}) or (b"?", "")
    assert (content, content_type) == SENDER_ANSWERS[kind]
    assert (content_type == "text/xml") == content.startswith(b"<?xml")


def test_salesforce_reads_an_ack_in_its_own_namespace() -> None:
    envelope = ElementTree.fromstring(SENDER_ANSWERS["salesforce"][0])
    [ack] = envelope.iter("{http://soap.sforce.com/2005/09/outbound}Ack")
    assert ack.text == "true"


@pytest.mark.parametrize("path", ["/services/collector", "/services/collector/event/1.0"])
def test_agents_of_splunk_read_its_success(path: str) -> None:
    answer = answer_for_sender("", path, {"event": "x"})
    assert answer == (b'{"text":"Success","code":0}', "application/json")


def test_firehose_reads_its_own_request_id() -> None:
    delivery = {"requestId": "ed4acda5", "timestamp": 1714564800000}
    answer = answer_for_sender("", "", {"firehose": delivery, "x": 1})
    assert answer == (b'{"requestId":"ed4acda5","timestamp":1714564800000}', "application/json")


@pytest.mark.parametrize("payload", [{}, {"firehose": 1}, {"firehose": {"requestId": "x"}}])
def test_for_all_others_any_content_will_do(payload: dict[str, object]) -> None:
    assert answer_for_sender("", "/services", payload) is None
    assert answer_for_sender("", "/services/collectors", payload) is None


WORST_CASES: dict[str, Callable[[int], str]] = {"COLLECTOR_PATH": lambda n: "/services/" * n}


def test_each_regular_expression_is_linear_in_its_worst_case() -> None:
    assert_patterns_are_linear(answers, WORST_CASES)
