"""Unit tests of SnsSignatureApiModule.py: what a stranger's request may cost."""

import re
from collections.abc import Callable

import pytest
import SnsSignatureApiModule as sns

from Tests.costs import assert_linear, compiled_patterns

WORST_CASES: dict[str, Callable[[int], str]] = {
    "SNS_URL": lambda n: "https://sns.us-east-1.amazonaws.com/" + "a" * n + " ",
    "SNS_CERTIFICATE_URL": lambda n: "https://sns.us-east-1.amazonaws.com/" + "a" * n,
    "TOPIC_ARN": lambda n: "arn:aws:sns:" + "a" * n + " ",
    "SNS_PEM": lambda n: "-----BEGIN CERTIFICATE-----" * (n // 32) + "a" * n,
    "SNS_TIME": lambda n: "2024-05-01T12:00:00." + "1" * n,
}


class TestCosts:
    def test_each_regular_expression_has_its_worst_case(self) -> None:
        """
        Given: the module
        When: its compiled patterns are counted, and its text is searched for others
        Then: the table of worst cases has all of them
        """
        assert compiled_patterns(sns) == WORST_CASES.keys()
        with open(sns.__file__) as file:  # noqa: PTH123 - nothing else of the path is needed
            text = file.read()
        assert not re.findall(r"re\.(?:match|search|fullmatch|sub|findall|split|finditer)\(", text)

    @pytest.mark.parametrize("name", WORST_CASES)
    @pytest.mark.parametrize("way", ["search", "fullmatch", "sub"])
    def test_each_regular_expression_is_linear(self, name: str, way: str) -> None:
        """
        Given: a pattern and its worst case, and the same sixteen times as long
        When: both are searched, matched and replaced
        Then: the longer one takes about sixteen times as long, not the square of it
        """
        assert_linear(getattr(sns, name), way, WORST_CASES[name])
