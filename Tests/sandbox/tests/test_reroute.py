"""The server's HTTP front: what is forwarded, streamed and refused."""

import contextlib
import re
import socket
from pathlib import Path

import pytest
import requests

from Tests.sandbox import Sandbox, free_port
from Tests.sandbox.tests.probe import Make, ask


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "BREW"])
def test_any_method_path_and_query_arrive(shared: Sandbox, method: str) -> None:
    seen = requests.request(
        method, f"{shared.url}/a/b%20c?d=e&f=%3F", data=b"12345", timeout=5
    ).json()
    assert (seen["method"], seen["path"], seen["length"]) == (method, "/a/b%20c?d=e&f=%3F", 5)
    assert requests.request(method, shared.url, timeout=5).json()["path"] == "/"


def test_hop_by_hop_headers_stay_on_their_hop(shared: Sandbox) -> None:
    given = {
        "Connection": "keep-alive, X-Mine",
        "X-Mine": "1",
        "TE": "trailers",
        "Keep-Alive": "5",
        "Upgrade": "h2c",
    }
    kept: dict[str, str | bytes] = {
        "X-Kept": "caf\u00e9".encode(),
        "Authorization": "token",
        "Host": "some.where",
        "X-Forwarded-For": "10.0.0.1",
    }
    answer = requests.get(shared.url, headers={**given, **kept}, timeout=5)
    seen = answer.json()["headers"]
    assert {"x-mine", "te", "keep-alive", "upgrade", "proxy-authorization"} & set(seen) == set()
    assert seen["connection"] == "close"
    assert seen["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"
    assert (seen["host"], seen["authorization"], "x-kept" in seen) == ("some.where", "token", True)
    assert answer.headers["X-Public"] == "for all"
    assert "X-Private" not in answer.headers
    assert "Connection" not in answer.headers


def test_other_instances_are_404(shared: Sandbox) -> None:
    root = shared.url.rpartition("/")[0]
    for path in (
        f"{root}/other",
        f"{root}/webhooks",
        shared.url.replace("/instance/", "/"),
        f"{root}/",
    ):
        answer = requests.get(path, timeout=5)
        assert answer.status_code == 404
        assert "error" in answer.json()


def talk(url: str) -> tuple[socket.socket, str]:
    """Return a connection to the front and the path to ask for."""
    port, path = re.fullmatch(r"http://127.0.0.1:(\d+)(/.*)", url).groups()  # type: ignore[union-attr]
    return socket.create_connection(("127.0.0.1", int(port)), timeout=5), path


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Read up to and including some bytes, or to the end of the stream."""
    seen = b""
    while end not in seen and (piece := connection.recv(65536)):
        seen += piece
    return seen


def test_an_answer_streams_through(shared: Sandbox) -> None:
    connection, path = talk(shared.url)
    with connection:
        connection.sendall(f"STREAM {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b"\r\none" in read_until(connection, b"one")
        ask(shared, "GO.set()")  # the container waits for it: the first half arrived before
        assert read_until(connection, b"0\r\n\r\n").endswith(b"two\r\n0\r\n\r\n")


def test_a_request_streams_through(shared: Sandbox) -> None:
    connection, path = talk(shared.url)
    with connection:
        connection.sendall(
            f"TASTE {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfirst".encode()
        )
        # It is answered while the rest of the body is still to arrive.
        assert b'"first"' in read_until(connection, b'"first"')
        connection.sendall(b"later")


def test_chunked_requests_stay_chunked_and_connections_stay_open(shared: Sandbox) -> None:
    connection, path = talk(shared.url)
    with connection:
        for _ in range(3):
            head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.sendall(
                head.encode() + b"3;ext=1\r\nabc\r\n4\r\ndefg\r\n0\r\nTrailer: x\r\n\r\n"
            )
            answer = read_until(connection, b'"length": 7}')
            assert b'"transfer-encoding": "chunked"' in answer
            assert b"content-length" not in answer.partition(b"\r\n\r\n")[2]


def test_an_answer_before_the_body_was_read_arrives(shared: Sandbox) -> None:
    connection, path = talk(shared.url)
    with connection:
        connection.sendall(
            f"EARLY {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 300000000\r\n\r\n".encode()
        )
        with contextlib.suppress(OSError):
            for _ in range(100):
                connection.sendall(bytes(65536))
        answer = read_until(connection, b'"too large"')
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in answer


def test_an_interim_answer_passes_the_front(shared: Sandbox) -> None:
    connection, path = talk(shared.url)
    with connection:
        head = (
            f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        connection.sendall(head.encode())
        # It is the container's own, for nothing of the body was sent yet.
        assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"abc")
        assert b'"length": 3}' in read_until(connection, b'"length": 3}')


def test_head_and_http_1_0_get_answers_they_can_read(shared: Sandbox) -> None:
    assert requests.head(shared.url, timeout=5).headers["Content-Length"] == "4711"
    ask(shared, "GO.set()")
    connection, path = talk(shared.url)
    with connection:
        connection.sendall(f"STREAM {path} HTTP/1.0\r\n\r\n".encode())
        answer = read_until(connection, b"no end but the connection's")
    assert answer.endswith(b"\r\n\r\nonetwo")
    assert b"Transfer-Encoding" not in answer


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Content-Length: -1",
        b"Content-Length: 1\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Broken : 1",
        b"nothing",
    ],
)
def test_ambiguous_framing_is_400_at_the_front(shared: Sandbox, framing: bytes) -> None:
    connection, path = talk(shared.url)
    with connection:
        connection.sendall(f"PUT {path} HTTP/1.1\r\nHost: x\r\n".encode() + framing + b"\r\n\r\n")
        assert read_until(connection, b"nothing else").startswith(b"HTTP/1.1 400 ")


def test_a_container_that_does_not_answer_is_502(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(script=probe)
    assert requests.request("HANGUP", sandbox.url, timeout=5).status_code == 502
    sandbox.kill()
    sandbox.wait_exit(5)
    answer = requests.post(sandbox.url, data=b"x" * 100_000, timeout=5)
    assert answer.status_code == 502
    assert str(sandbox.container_port) in answer.json()["error"]


def test_the_reroute_is_plain_http_only(make_sandbox: Make, probe: Path) -> None:
    sandbox = make_sandbox(
        {"certificate": "PEM", "key": "PEM", "longRunningPort": f"7:{free_port()}"}, script=probe
    )
    assert sandbox.container_url == f"https://127.0.0.1:{sandbox.container_port}"
    answer = requests.get(sandbox.url, timeout=5)
    assert answer.status_code == 502
    assert "plain HTTP only" in answer.json()["error"]
