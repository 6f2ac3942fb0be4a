"""Unit tests of SenderAnswersApiModule.py."""

import json
import time

import pytest
import SenderAnswersApiModule as answers
from defusedxml import ElementTree


@pytest.mark.parametrize(
    "path, headers, name",
    [
        ("/", {}, ""),
        ("/", {"x-amz-firehose-request-id": "r1"}, "firehose"),
        ("/services/collector", {}, "collector"),
        ("/services/collector/event/1.0", {}, "collector"),
        ("/services/collectors", {}, ""),
    ],
)
def test_a_head_asks_for_its_senders_answer(path: str, headers: dict[str, str], name: str) -> None:
    assert answers.answer_by_head(path, headers) == name


def test_firehose_gets_its_own_id_and_the_time_in_milliseconds() -> None:
    before = time.time() * 1000
    content = answers.ANSWERS["firehose"].content({"x-amz-firehose-request-id": "r1"})
    answer = json.loads(content)
    assert answer["requestId"] == "r1"
    assert before - 1 <= answer["timestamp"] <= time.time() * 1000 + 1
    assert type(answer["timestamp"]) is int


def test_each_answer_is_what_its_type_says() -> None:
    read = {"application/json": json.loads, "text/xml": ElementTree.fromstring, "text/plain": str}
    texts = {name: answer.content({}) for name, answer in answers.ANSWERS.items()}
    for name, answer in answers.ANSWERS.items():
        read[answer.content_type](texts[name])
        if name != "firehose":  # whose time goes on
            given = answers.own_answer(name, {})
            assert given == (200, texts[name].encode(), answer.content_type)
    assert texts["empty"] == ""
    assert json.loads(texts["collector"]) == {"text": "Success", "code": 0}
    [ack] = ElementTree.fromstring(texts["soap"]).iter(
        "{http://soap.sforce.com/2005/09/outbound}Ack"
    )
    assert ack.text == "true"
