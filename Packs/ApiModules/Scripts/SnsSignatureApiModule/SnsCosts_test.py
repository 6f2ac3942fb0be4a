"""Unit tests of SnsSignatureApiModule.py: what a stranger's request may cost."""

from collections.abc import Callable

import SnsSignatureApiModule as sns

from Tests.costs import assert_patterns_are_linear

WORST_CASES: dict[str, Callable[[int], str]] = {
    "SNS_URL": lambda n: "https://sns.us-east-1.amazonaws.com/" + "a" * n + " ",
    "SNS_CERTIFICATE_URL": lambda n: "https://sns.us-east-1.amazonaws.com/" + "a" * n,
    "TOPIC_ARN": lambda n: "arn:aws:sns:" + "a" * n + " ",
    "SNS_PEM": lambda n: "-----BEGIN CERTIFICATE-----" * (n // 32) + "a" * n,
    "SNS_TIME": lambda n: "2024-05-01T12:00:00." + "1" * n,
}


class TestCosts:
    def test_each_regular_expression_is_linear_in_its_worst_case(self) -> None:
        assert_patterns_are_linear(sns, WORST_CASES)
