"""Unit tests of RefusalsApiModule.py."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import RefusalsApiModule as refusals

from Tests.costs import assert_patterns_are_linear, cpu_milliseconds

ADDRESS = "192.0.2.7"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def missing(address: str = ADDRESS, number: int = 0) -> Callable[[], refusals.Refusal]:
    return lambda: refusals.describe_refusal(
        401,
        address,
        ("POST", f"/github/{number}"),
        "Send it.",
        ["x-hub-signature"],
        "X-Hub-Signature-256",
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(clock: Clock) -> refusals.Refusals:
    return refusals.Refusals(clock)


class TestRows:
    def test_a_refusal_says_who_sent_what_and_what_was_expected(
        self, kept: refusals.Refusals
    ) -> None:
        before = datetime.now(UTC).replace(microsecond=0)
        kept.add(ADDRESS, missing())
        [row] = kept.rows()
        assert before <= datetime.fromisoformat(str(row.pop("Time"))) <= datetime.now(UTC)
        assert row == {
            "Status": 401,
            "Address": ADDRESS,
            "Request": "POST /github/0",
            "Sentence": "Send it.",
            "Came": "X-Hub-Signature",
            "Expected": "X-Hub-Signature-256",
        }

    def test_the_last_twenty_are_kept_the_newest_first(self, kept: refusals.Refusals) -> None:
        for number in range(30):
            kept.add(f"192.0.2.{number}", missing(f"192.0.2.{number}", number))
        assert [row["Request"] for row in kept.rows()] == [
            f"POST /github/{number}" for number in range(29, 9, -1)
        ]

    def test_an_address_has_ten_a_minute(self, kept: refusals.Refusals, clock: Clock) -> None:
        """
        Given: an address that is refused all the time, and another one
        When: a minute passes
        Then: ten of each are described, and the count goes on
        """
        described: list[int] = []
        for number in range(50):
            kept.add(ADDRESS, lambda n=number: described.append(n) or missing(number=n)())
        assert described == list(range(10))
        kept.add("192.0.2.8", missing("192.0.2.8"))
        assert kept.rows()[0]["Address"] == "192.0.2.8"
        clock.now += 60
        kept.add(ADDRESS, lambda: described.append(50) or missing(number=50)())
        assert described[-1] == 50
        assert kept.refused[ADDRESS].count == 51


class TestProblem:
    def test_five_in_a_row_are_said(self, kept: refusals.Refusals) -> None:
        for count in range(1, 8):
            kept.add(ADDRESS, missing())
            assert bool(kept.problem()) == (count >= 5)
        assert kept.problem() == (
            "Deliveries from 192.0.2.7 are refused: "
            "X-Hub-Signature-256 is missing, X-Hub-Signature came."
        )

    def test_a_success_ends_it(self, kept: refusals.Refusals, clock: Clock) -> None:
        for _ in range(4):
            kept.add(ADDRESS, missing())
        kept.succeeded(ADDRESS)
        kept.add(ADDRESS, missing())
        assert kept.problem() == ""
        for _ in range(4):
            kept.add(ADDRESS, missing())
        assert kept.problem()
        kept.succeeded("192.0.2.8")
        assert kept.problem()
        kept.succeeded(ADDRESS)
        assert kept.problem() == ""

    def test_it_does_not_flicker(self, kept: refusals.Refusals, clock: Clock) -> None:
        """
        Given: an address behind which one sender is refused and another one is accepted
        When: five refusals and a success alternate, each second, for an hour
        Then: the sentence appears six times, every ten minutes
        """
        said = []
        for _ in range(3600):
            for _ in range(5):
                kept.add(ADDRESS, missing())
            said.append(kept.problem())
            kept.succeeded(ADDRESS)
            assert kept.problem() == ""
            clock.now += 1
        assert sum(map(bool, said)) == 6

    def test_another_address_waits_for_a_minute(
        self, kept: refusals.Refusals, clock: Clock
    ) -> None:
        for _ in range(5):
            kept.add(ADDRESS, missing())
            kept.add("192.0.2.8", missing("192.0.2.8"))
        assert "192.0.2.7" in kept.problem()
        kept.succeeded(ADDRESS)
        assert kept.problem() == ""
        clock.now += 59
        assert kept.problem() == ""
        clock.now += 1
        assert "192.0.2.8" in kept.problem()

    def test_what_is_said_does_not_change_with_each_refusal(self, kept: refusals.Refusals) -> None:
        for _ in range(5):
            kept.add(ADDRESS, missing())
        said = kept.problem()
        other = refusals.describe_refusal(400, ADDRESS, ("POST", "/"), "It is not JSON.")
        kept.add(ADDRESS, lambda: other)
        assert kept.problem() == said

    def test_thousands_that_were_said_are_not_kept(
        self, kept: refusals.Refusals, clock: Clock
    ) -> None:
        for number in range(refusals.MAX_REFUSED_ADDRESSES + 10):
            address = f"198.51.{number // 250}.{number % 250}"
            for _ in range(5):
                kept.add(address, missing())
            assert address in kept.problem()
            kept.succeeded(address)
            clock.now += 60
        assert len(kept._accepted) == refusals.MAX_REFUSED_ADDRESSES

    def test_an_hour_ends_it(self, kept: refusals.Refusals, clock: Clock) -> None:
        for _ in range(5):
            kept.add(ADDRESS, missing())
        clock.now += 3600
        assert kept.problem()
        clock.now += 1
        assert kept.problem() == ""
        kept.add(ADDRESS, missing())
        assert kept.problem() == ""

    def test_who_is_refused_first_stays(self, kept: refusals.Refusals) -> None:
        """
        Given: an address whose deliveries are said to be refused
        When: thousands of others are refused, too
        Then: the sentence stays, and the memory does not grow
        """
        for _ in range(5):
            kept.add(ADDRESS, missing())
        said = kept.problem()
        for number in range(6000):
            kept.add(f"198.51.{number // 250}.{number % 250}", missing())
            assert kept.problem() == said
        assert len(kept.refused) == refusals.MAX_REFUSED_ADDRESSES
        for number in range(3000):
            for _ in range(5):
                kept.add(f"203.0.{number // 250}.{number % 250}", missing())
        assert kept.problem() == said
        assert len(kept.refused) == refusals.MAX_REFUSED_ADDRESSES

    def test_any_other_refusal_is_said_by_its_own_sentence(self, kept: refusals.Refusals) -> None:
        wrong = refusals.describe_refusal(401, ADDRESS, ("POST", "/"), "It does not match.")
        for _ in range(5):
            kept.add(ADDRESS, lambda: wrong)
        assert kept.problem() == "Deliveries from 192.0.2.7 are refused: It does not match."

    def test_who_only_looks_around_is_kept_but_not_said(self, kept: refusals.Refusals) -> None:
        looked = refusals.describe_refusal(405, ADDRESS, ("GET", "/"), "Send POST.")
        for _ in range(9):
            kept.add(ADDRESS, lambda: looked, is_delivery=False)
        assert len(kept.rows()) == 9 and kept.problem() == ""
        for _ in range(5):
            kept.add(ADDRESS, missing())
        kept.add(ADDRESS, lambda: looked, is_delivery=False)
        assert "X-Hub-Signature-256 is missing" in kept.problem()

    def test_who_brings_nothing_is_told_so(self) -> None:
        found = refusals.describe_refusal(401, ADDRESS, ("POST", "/"), "Send it.", (), "X-Token")
        assert found.reason == "X-Token is missing, nothing that could be credentials came."


class TestShown:
    @pytest.mark.parametrize(
        "path, shown",
        [
            ("/", "/"),
            ("/github/alerts", "/github/alerts"),
            ("/services/T0/B0/0123456789abcdef01", "/services/T0/B0/***"),
            ("/hook/0123456789abcdef/more", "/hook/***/more"),
            ("/a-long-name-without-digits", "/a-long-name-without-digits"),
            ("/x" * 200, "/x" * 50 + "..."),
        ],
    )
    def test_a_path_shows_no_token(self, path: str, shown: str) -> None:
        assert refusals.shown_path(path) == shown

    @pytest.mark.parametrize(
        "names, shown",
        [
            ([], ""),
            (["x-hub-signature-256"], "X-Hub-Signature-256"),
            ([f"x-{n}" for n in range(7)], "X-0, X-1, X-2, X-3, X-4 and 2 others"),
            (["x" * 200], "X" + "x" * 59),
        ],
    )
    def test_headers_are_shown_by_their_names(self, names: list[str], shown: str) -> None:
        assert refusals.shown_headers(names) == shown


WORST_CASES: dict[str, Callable[[int], str]] = {
    "PATH_TOKEN": lambda n: "/aaaaaaaaaaaaaaaa" * (n // 17)
}


class TestCosts:
    def test_each_regular_expression_is_linear_in_its_worst_case(self) -> None:
        assert_patterns_are_linear(refusals, WORST_CASES)

    def test_a_flood_of_refusals_costs_a_microsecond_each(self) -> None:
        """
        Given: an address that has had its ten refusals of the minute
        When: a thousand more are added
        Then: each takes less than 3 µs of processor time
        """
        kept = refusals.Refusals()
        for _ in range(10):
            kept.add(ADDRESS, missing())
        describe = missing()
        flood = cpu_milliseconds(lambda: [kept.add(ADDRESS, describe) for _ in range(1000)], 3)
        assert flood < 3
