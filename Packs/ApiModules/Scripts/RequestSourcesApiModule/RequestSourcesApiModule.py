"""Where a request comes from: which addresses may connect, and who guesses.

What it is for: addresses, networks and X-Forwarded-For go in; the sender's address, whether it may
connect, and how long to delay its next refusal come out. It knows nothing of requests, of
credentials, of Cortex XSOAR, or of incidents.
"""

import functools
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Iterable

# -------------------------------------------------------------------------------------------------
# Sources: which addresses may connect, and which address counts behind a proxy
# -------------------------------------------------------------------------------------------------

# A frozenset keeps its hash, which the caches below ask for on every request.
Networks = frozenset[ipaddress.IPv4Network | ipaddress.IPv6Network]
UNKNOWN_ADDRESS = "unknown"
MAX_ADDRESS_CHARACTERS = 64  # an address with port, brackets and zone; longer texts are not one
MAX_HOPS = 10  # of X-Forwarded-For that are looked at: no request passes more trusted proxies


def parse_networks(parts: Iterable[str]) -> Networks:
    """Return the networks of addresses and CIDR blocks; white space separates several in one text.

    Raises ValueError that says what to write instead.
    """
    networks = set()
    for part in " ".join(parts).split():
        try:
            networks.add(ipaddress.ip_network(part, strict=False))
        except ValueError:
            raise ValueError(
                f"{part} is not an address or a CIDR block; write for example 192.0.2.7, "
                "198.51.100.0/24 or 2001:db8::/32."
            ) from None
    return frozenset(networks)


@functools.lru_cache(maxsize=4096)
def is_within(address: str, networks: Networks) -> bool:
    """Return whether an address is in one of the networks; any other text is in none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def is_allowed(address: str, networks: Networks) -> bool:
    """Return whether an address may connect; without networks every address may."""
    return not networks or is_within(address, networks)


@functools.lru_cache(maxsize=4096)
def plain_address(text: str) -> str:
    """Return the address of a socket or of X-Forwarded-For without port, brackets and zone.

    An IPv4 address that an IPv6 socket shows (``::ffff:192.0.2.7``) becomes IPv4, and a text that
    is not an address becomes ``unknown``.
    """
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return UNKNOWN_ADDRESS
    return str(getattr(address, "ipv4_mapped", None) or address)


def source_address(peer: str, forwarded_for: str, trusted: Networks) -> str:
    """Return the sender's address: the peer's or, behind trusted proxies, the one they forward for.

    Each proxy appends the address its own request came from. The right-most one that is not a
    trusted proxy's counts, because the sender may have invented everything to the left of it. It is
    ``unknown``, which is in no network, where it would lie beyond MAX_HOPS.
    """
    address = plain_address(peer)
    if not trusted or not forwarded_for or not is_within(address, trusted):
        return address
    hops = forwarded_for.rsplit(",", MAX_HOPS)
    for hop in reversed(hops[-MAX_HOPS:]):
        address = plain_address(hop[:MAX_ADDRESS_CHARACTERS])
        if not is_within(address, trusted):
            return address
    return UNKNOWN_ADDRESS if len(hops) > MAX_HOPS else address


# -------------------------------------------------------------------------------------------------
# Failed logins: guessing becomes slow
# -------------------------------------------------------------------------------------------------

MAX_FAILING_ADDRESSES = 1024
FREE_FAILURES = 3  # a typo or two is answered at once
FAILURE_MEMORY_SECONDS = 60
FIRST_DELAY_SECONDS = 0.1  # doubled with each further failure
MAX_DELAY_SECONDS = 1.0  # a delayed answer occupies a connection


class FailedLogins:
    """How often each address failed to authenticate lately, so that guessing becomes slow."""

    def __init__(self) -> None:
        # address: number of failures in a row, time of the last one; the oldest stands first
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def add(self, address: str) -> float:
        """Count a failed authentication and return the seconds by which to delay its answer."""
        now = time.monotonic()
        count, last = self._failures.pop(address, (0, now))
        count = 1 if now - last > FAILURE_MEMORY_SECONDS else count + 1
        self._failures[address] = (count, now)
        if len(self._failures) > MAX_FAILING_ADDRESSES:
            self._failures.popitem(last=False)
        if count <= FREE_FAILURES:
            return 0.0
        doublings = min(count - FREE_FAILURES - 1, 10)
        return min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2**doublings)
