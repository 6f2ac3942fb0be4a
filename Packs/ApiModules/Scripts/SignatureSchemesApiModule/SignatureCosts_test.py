"""Unit tests of SignatureSchemesApiModule.py: what a stranger's request may cost."""

import re
from collections.abc import Callable

import pytest
import SignatureSchemesApiModule as schemes

from Tests.costs import assert_linear, compiled_patterns

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
    def test_each_regular_expression_has_its_worst_case(self) -> None:
        """
        Given: the module
        When: its compiled patterns are counted, and its text is searched for others
        Then: the table of worst cases has all of them
        """
        assert compiled_patterns(schemes) == WORST_CASES.keys()
        with open(schemes.__file__) as file:  # noqa: PTH123 - nothing else of the path is needed
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
        assert_linear(getattr(schemes, name), way, WORST_CASES[name])
