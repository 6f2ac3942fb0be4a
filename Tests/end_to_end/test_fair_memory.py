"""Unfinished uploads of strangers take no memory from those who can prove who they are."""

import contextlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from Tests.end_to_end.hostile import (
    KIB,
    MIB,
    ask,
    chunked,
    in_parallel,
    memory_mib,
    port_of,
    post,
    read_answer,
    sandboxed,
    unread_bytes,
)
from Tests.end_to_end.sender import await_that
from Tests.sandbox import Sandbox

KEY = "k3y-of-the-signatures"
SIGNED = {"credentials": {"identifier": "_hmac:X-Sum", "password": KEY}}
WRONG = b"X-Sum: sha256=" + b"0" * 64
LOCAL = "127.0.0.1"


def signed(size: int, *headers: bytes) -> bytes:
    """Return a POST of a text of so many bytes, signed with the instance's key."""
    body = json.dumps({"name": "signed", "text": "x" * size}).encode()
    proof = b"X-Sum: sha256=" + hmac.digest(KEY.encode(), body, "sha256").hex().encode()
    return post(body, proof, b"Content-Type: application/json", *headers)


def connect_from(sandbox: Sandbox, address: str) -> socket.socket:
    """Return a new connection to the container from an address of the loopback interface."""
    return socket.create_connection(
        (LOCAL, port_of(sandbox)), timeout=10, source_address=(address, 0)
    )


def upload(connection: socket.socket, size: int, *headers: bytes) -> None:
    """Send so many bytes of a body of 25 MB; one that is given up is not reset meanwhile."""
    connection.sendall(post(b"", *headers, length=25 * MIB))
    for _ in range(size // (64 * KIB)):
        connection.sendall(bytes(64 * KIB))


@contextlib.contextmanager
def uploads(
    sandbox: Sandbox, senders: list[tuple[str, bytes]], size: int, proof: bytes = WRONG
) -> Iterator[list[socket.socket]]:
    """Keep an upload open for each sender, an address and a header, and send a part of it."""
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(connect_from(sandbox, address)) for address, _ in senders
        ]
        headers = [(proof, header) if header else (proof,) for _, header in senders]
        in_parallel([lambda c=c, h=h: upload(c, size, *h) for c, h in zip(connections, headers)])
        await_that(lambda: unread_bytes(sandbox) == 0)  # else they are as fast as anybody
        yield connections


@contextlib.contextmanager
def trickling(connections: list[socket.socket]) -> Iterator[None]:
    """Send a byte on each connection ten times a second."""
    over = threading.Event()

    def trickle() -> None:
        while not over.wait(0.1):
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.sendall(b"x")

    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def given_up(connections: list[socket.socket]) -> list[int]:
    """Return the statuses of those connections that have been answered."""
    statuses = []
    for connection in connections:
        connection.settimeout(0.05)
        with contextlib.suppress(OSError):
            answer = read_answer(connection)
            if answer is not None:
                statuses.append(answer.status)
                assert int(answer.headers["retry-after"]) > 0
                assert "large bodies" in answer.error
    return statuses


ADDRESSES = [f"127.0.0.{number}" for number in range(2, 22)]
FORWARDED = [f"X-Forwarded-For: 198.51.100.{number}".encode() for number in range(1, 21)]
CROWDS: dict[str, tuple[list[tuple[str, bytes]], int]] = {
    "ten of one address": ([(LOCAL, b"")] * 10, 25 * MIB - 64 * KIB),
    "ten of ten addresses": ([(address, b"") for address in ADDRESSES[:10]], 25 * MIB - 64 * KIB),
    "a hundred of one address": ([(LOCAL, b"")] * 100, 2 * MIB),
    "a hundred of twenty addresses": ([(address, b"") for address in ADDRESSES] * 5, 2 * MIB),
    "a hundred of twenty addresses behind a proxy": (
        [(LOCAL, header) for header in FORWARDED] * 5,
        2 * MIB,
    ),
}


@pytest.mark.parametrize("crowd", CROWDS)
def test_a_signed_instance_answers_while_strangers_upload(crowd: str) -> None:
    senders, size = CROWDS[crowd]
    proxied = b"X-Forwarded-For: 192.0.2.7" if "proxy" in crowd else b"X-Y: z"
    with sandboxed(
        params={**SIGNED, "trusted_proxies": LOCAL if "proxy" in crowd else ""}
    ) as sandbox:
        with uploads(sandbox, senders, size) as connections, trickling(connections):
            for _ in range(10):
                assert ask(sandbox, signed(MIB, proxied)).status == 200
            assert (
                in_parallel([lambda: ask(sandbox, signed(MIB, proxied)).status for _ in range(8)])
                == [200] * 8
            )
            slow = signed(MIB, proxied)
            with connect_from(sandbox, LOCAL) as connection:  # a slow sender is not the slowest
                for start in range(0, len(slow), 64 * KIB):
                    connection.sendall(slow[start : start + 64 * KIB])
                    time.sleep(0.05)
                answer = read_answer(connection)
                assert answer is not None and answer.status == 200
        assert memory_mib(sandbox, peak=True) < 350
        assert len(sandbox.incidents()) == 19


def test_who_is_given_up_is_503_and_closed() -> None:
    with sandboxed(params=SIGNED, constants={"MAX_BODIES_BYTES": 16 * MIB}) as sandbox:
        with uploads(sandbox, [(LOCAL, b"")] * 4, 3 * MIB) as connections:
            # 7 MiB are one stranger's share.
            assert ask(sandbox, signed(MIB)).status == 200
            statuses = given_up(connections)
            assert set(statuses) == {503}
            assert 2 <= len(statuses) < 4
        assert ask(sandbox, signed(MIB)).status == 200


def test_one_address_leaves_room_for_another_on_an_open_instance() -> None:
    text = b"Content-Type: text/plain"
    with sandboxed(constants={"MAX_BODIES_BYTES": 16 * MIB}) as sandbox:
        with uploads(sandbox, [("127.0.0.2", b"")] * 8, 3 * MIB) as connections:
            # 14 MiB are one sender's share.
            assert len(given_up(connections)) >= 3
            sizes = (1, 4, 8)  # the last two displace what holds more
            assert [ask(sandbox, post(b"x" * (size * MIB), text)).status for size in sizes] == [
                200
            ] * 3
            assert ask(sandbox, post(b"x" * (15 * MIB), text)).status == 503


def test_a_body_that_stands_still_makes_room_for_its_own_sender_too() -> None:
    constants = {"MAX_BODIES_BYTES": 8 * MIB, "STALLED_SECONDS": 0.5}
    large = post(b"x" * (3 * MIB), b"Content-Type: text/plain")
    with sandboxed(constants=constants) as sandbox, uploads(sandbox, [(LOCAL, b"")] * 2, 3 * MIB):
        await_that(lambda: ask(sandbox, large).status == 200)


def test_a_flood_of_tiny_chunks_is_400_until_the_sender_is_known() -> None:
    body = json.dumps({"name": "grains", "text": "x" * 2000}).encode()
    grains = chunked(*(body[place : place + 1] for place in range(len(body))))
    with sandboxed(params=SIGNED) as sandbox:
        assert ask(sandbox, grains.replace(b"Host: a", b"Host: a\r\n" + WRONG)).status == 400
    with sandboxed() as sandbox:
        assert ask(sandbox, grains).status == 200
