"""Unit tests of SignatureSchemesApiModule.py: what a stranger's request may cost."""

from collections.abc import Callable

import SignatureSchemesApiModule as schemes

from Tests.costs import assert_patterns_are_linear

WORST_CASES: dict[str, Callable[[int], str]] = {
    "SIGNATURE_HEADER_NAME": lambda n: "a" * n + " ",
    "URL_NAME": lambda n: "https://" + "a" * n + " ",
    "UNIX_TIME": lambda n: "1" * n,
    "UNIX_SECONDS": lambda n: "1234567890." + "1" * n,
    "UNIX_MILLISECONDS": lambda n: "1" * n,
    "RFC3339_TIME": lambda n: "2024-05-01T12:00:00." + "1" * n,
    "TEAMS_SIGNATURE": lambda n: "HMAC " + "a" * n + "=!",
    "VERKADA_SIGNATURE": lambda n: "1|" + "a" * n + "!",
    "VERKADA_TIMESTAMP": lambda n: "1" * n,
    "PADDLE_SIGNATURE": lambda n: "h1=a!;" * n,
    "PADDLE_TIMESTAMP": lambda n: ";ts=1!" * n,
    "ANY_SIGNATURE": lambda n: "a=" * n + "!",
    "V0_SIGNATURE": lambda n: "v0=" + "a" * n + "!",
    "V1_SIGNATURE": lambda n: " v1=a!" * n,
    "STANDARD_SIGNATURE": lambda n: "v1," + "a" * n + "=!",
    "STRIPE_TIMESTAMP": lambda n: ",t=" * n,
}


class TestCosts:
    def test_each_regular_expression_is_linear_in_its_worst_case(self) -> None:
        assert_patterns_are_linear(schemes, WORST_CASES)
