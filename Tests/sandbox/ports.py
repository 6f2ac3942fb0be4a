"""Ports of this machine: free ones for containers, and whether one is listened on."""

import atexit
import random
import socket
import sys
from collections import deque
from typing import Any

CLAIMED_PORTS: deque[socket.socket] = deque()
MAX_CLAIMED_PORTS = 64


@atexit.register
def give_up_ports() -> None:
    """Close the sockets that keep this process's ports from others."""
    for claim in CLAIMED_PORTS:
        claim.close()


def free_port() -> int:
    """Return a port that nobody listens on, outside the range from which clients get theirs.

    No process of this user gets the same one while this process lives, or until it has asked for
    MAX_CLAIMED_PORTS more: a container listens only a second later, and of two with one port, the
    second would have its requests answered by the first.
    """
    while True:
        port = random.randint(20000, 32000)  # not for cryptography: any port will do
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                claim_port(port)
                probe.bind(("0.0.0.0", port))  # as the container will
            except OSError:
                continue
        return port


def claim_port(port: int) -> None:
    """Keep a port from other processes' free_port, by a name in Linux's abstract namespace.

    Raises OSError where another one has it.
    """
    if sys.platform != "linux":
        return
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0generic-webhook-port-{port}")
    except OSError:
        claim.close()
        raise
    CLAIMED_PORTS.append(claim)
    if len(CLAIMED_PORTS) > MAX_CLAIMED_PORTS:
        CLAIMED_PORTS.popleft().close()


def accepts(port: int) -> bool:
    """Return whether something accepts connections on a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def container_port(text: Any) -> int | None:
    """Return the container's port of `8000` or `host:container`; None if there is none."""
    number = str(text or "").rpartition(":")[2].strip()
    return (
        int(number) if number.isascii() and number.isdecimal() and 0 < int(number) < 65536 else None
    )
