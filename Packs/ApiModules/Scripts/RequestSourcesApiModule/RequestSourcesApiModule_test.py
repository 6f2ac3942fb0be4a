"""Unit tests of RequestSourcesApiModule.py."""

import re

import pytest
import RequestSourcesApiModule as sources

from Tests.costs import cpu_milliseconds

HEAD_BYTES = 32 * 1024


class TestSources:
    @pytest.mark.parametrize(
        "peer, forwarded, trusted, address",
        [
            ("192.0.2.1", "", "", "192.0.2.1"),
            ("192.0.2.1", "203.0.113.9", "", "192.0.2.1"),
            ("192.0.2.1", "203.0.113.9", "198.51.100.0/24", "192.0.2.1"),
            ("198.51.100.1", "", "198.51.100.0/24", "198.51.100.1"),
            ("198.51.100.1", "203.0.113.9", "198.51.100.0/24", "203.0.113.9"),
            ("198.51.100.1", "192.0.2.66, 203.0.113.9", "198.51.100.0/24", "203.0.113.9"),
            (
                "198.51.100.1",
                "192.0.2.66,203.0.113.9 , 198.51.100.2",
                "198.51.100.0/24",
                "203.0.113.9",
            ),
            ("198.51.100.1", "198.51.100.3, 198.51.100.2", "198.51.100.0/24", "198.51.100.3"),
            ("198.51.100.1", "203.0.113.9:4711", "198.51.100.0/24", "203.0.113.9"),
            ("198.51.100.1", "[2001:db8::9]:4711", "198.51.100.0/24", "2001:db8::9"),
            ("198.51.100.1", "2001:DB8:0::9", "198.51.100.0/24", "2001:db8::9"),
            ("198.51.100.1", "203.0.113.9, unknown", "198.51.100.0/24", "unknown"),
            ("198.51.100.1", "203.0.113.9, ", "198.51.100.0/24", "unknown"),
            ("198.51.100.1", "203.0.113.9, " + "x" * 9000, "198.51.100.0/24", "unknown"),
            ("::ffff:198.51.100.1", "::ffff:203.0.113.9", "198.51.100.0/24", "203.0.113.9"),
            ("fe80::1%eth0", "203.0.113.9", "fe80::/10", "203.0.113.9"),
            ("2001:db8::1", "203.0.113.9", "2001:db8::/64 198.51.100.0/24", "203.0.113.9"),
        ],
    )
    def test_the_right_most_untrusted_address_counts(
        self, peer: str, forwarded: str, trusted: str, address: str
    ) -> None:
        assert sources.source_address(peer, forwarded, sources.parse_networks([trusted])) == address

    @pytest.mark.parametrize(
        "allowed, inside, outside",
        [
            (
                "192.0.2.7",
                ["192.0.2.7"],
                ["192.0.2.8", "unknown", "", "2001:db8::1", "::ffff:192.0.2.7"],
            ),
            (
                "198.51.100.0/24, 2001:db8::/32",
                ["198.51.100.255", "2001:db8:1::2"],
                ["198.51.101.0", "2001:db9::1"],
            ),
            ("198.51.100.9/24\n2001:db8::/32", ["198.51.100.1"], ["198.51.101.1"]),
            ("0.0.0.0/0", ["203.0.113.1"], ["2001:db8::1"]),
            ("", ["203.0.113.1", "2001:db8::1", "unknown"], []),
        ],
    )
    def test_only_named_networks_may_connect(
        self, allowed: str, inside: list[str], outside: list[str]
    ) -> None:
        networks = sources.parse_networks(allowed.split(","))
        assert all(sources.is_allowed(address, networks) for address in inside)
        assert not any(sources.is_allowed(address, networks) for address in outside)

    @pytest.mark.parametrize(
        "value",
        ["192.0.2.0/33", "example.com", "192.0.2", "192.0.2.1-192.0.2.9", "192.0.2.*", "::/129"],
    )
    def test_a_mistyped_network_is_named(self, value: str) -> None:
        with pytest.raises(ValueError, match=f"^{re.escape(value)} is not an address or a CIDR"):
            sources.parse_networks(["192.0.2.1", f" {value}"])

    def test_looking_an_address_up_is_cheap(self) -> None:
        """
        Given: two hundred networks and an address that was seen before
        When: it is looked up again and again
        Then: that costs microseconds, for it is done for each request
        """
        networks = sources.parse_networks([f"10.{n}.0.0/16" for n in range(200)])
        sources.is_allowed("192.0.2.1", networks)

        def look_up() -> None:
            for _ in range(1_000):
                sources.is_allowed("192.0.2.1", networks)

        assert cpu_milliseconds(look_up, 5) < 5


class TestFailedLogins:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [1000.0]
        monkeypatch.setattr(sources.time, "monotonic", lambda: now[0])
        return now

    def test_guessing_becomes_slow_and_is_forgotten(self, clock: list[float]) -> None:
        """
        Given: an address that fails again and again
        When: it goes on, and after a minute's silence tries again
        Then: three failures are answered at once, then the delay doubles up to a second, and the
            count starts again; another address is not delayed
        """
        failed = sources.FailedLogins()
        delays = [failed.add("192.0.2.1") for _ in range(9)]
        assert delays == [0, 0, 0, 0.1, 0.2, 0.4, 0.8, 1, 1]
        assert failed.add("192.0.2.2") == 0
        assert [failed.add("192.0.2.1") for _ in range(2000)] == [1.0] * 2000
        clock[0] += 60.5
        assert failed.add("192.0.2.1") == 0

    def test_a_crowd_of_addresses_takes_bounded_memory(self, clock: list[float]) -> None:
        """
        Given: an address that failed often, then 1,023 others, then one more
        When: the first fails again each time
        Then: it is remembered while 1,024 are, and forgotten as the oldest
        """
        failed = sources.FailedLogins()
        for _ in range(4):
            failed.add("oldest")
        for number in range(1023):
            failed.add(f"other {number}")
        assert failed.add("oldest") > 0
        for number in range(1024):
            failed.add(f"another {number}")
        assert failed.add("oldest") == 0


class TestHops:
    @pytest.mark.parametrize(
        "hop", ["10.0.0.1,", "10.{}.{}.1, ", "x{}{},", ",", " ,", "[::1]:{}{},"]
    )
    @pytest.mark.parametrize("networks", [1, 200])
    def test_many_hops_are_cheap(self, hop: str, networks: int) -> None:
        """
        Given: an X-Forwarded-For of 32 KiB, and up to two hundred networks of trusted proxies
        When: the sender's address is looked for
        Then: it takes at most 3 ms
        """
        trusted = sources.parse_networks(
            ["10.0.0.0/8", "::1", *(f"172.16.{number}.0/24" for number in range(networks))]
        )
        hops = "".join(hop.format(n // 250, n % 250) for n in range(HEAD_BYTES // len(hop)))

        def find() -> None:
            sources.is_within.cache_clear()
            sources.plain_address.cache_clear()
            sources.source_address("10.0.0.1", hops[:HEAD_BYTES], trusted)

        assert cpu_milliseconds(find, 3) < 3

    @pytest.mark.parametrize(
        "hops, address",
        [
            (8, "203.0.113.9"),
            (9, "203.0.113.9"),
            (10, "unknown"),
            (11, "unknown"),
            (500, "unknown"),
        ],
    )
    def test_beyond_ten_trusted_proxies_nobody_is_known(self, hops: int, address: str) -> None:
        """
        Given: a sender behind a number of trusted proxies
        When: its address is looked for
        Then: it is found behind nine, and unknown, so in no network, beyond that
        """
        trusted = sources.parse_networks(["10.0.0.0/8"])
        forwarded = ", ".join(["203.0.113.9", *["10.0.0.7"] * hops])
        assert sources.source_address("10.0.0.1", forwarded, trusted) == address
        everywhere = sources.parse_networks(["0.0.0.0/0", "::/0"])
        assert sources.is_allowed(address, everywhere) == (address != "unknown")
