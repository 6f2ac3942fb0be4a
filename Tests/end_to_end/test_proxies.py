"""A refusal reaches its sender while it is still sending, directly and through common proxies."""

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from Tests.end_to_end import proxies
from Tests.end_to_end.hostile import (
    MIB,
    ask,
    certificate,
    connect,
    in_parallel,
    memory_mib,
    port_of,
    post,
    read_answer,
    sandboxed,
)
from Tests.end_to_end.proxies import CREDENTIALS, GOOD, PASSWORD, USER, WRONG
from Tests.end_to_end.sender import send
from Tests.sandbox import Sandbox

TRIES = 30
AT_ONCE = 6  # concurrent attempts


class Refusal(NamedTuple):
    """A request that is refused while its body is arriving: its size in bytes, and the reason."""

    status: int
    size: int
    method: str = "POST"
    path: str = "/"
    headers: dict[str, str] = {"Authorization": GOOD}  # noqa: RUF012
    tries: int = TRIES


REFUSALS = {
    "a body over the limit": Refusal(413, 30_000_000, tries=12),
    "a wrong password": Refusal(401, 2_000_000, headers={"Authorization": WRONG}),
    "the health": Refusal(405, 2_000_000, path="/health"),
    "another method": Refusal(405, 2_000_000, method="DELETE"),
    "too many large bodies": Refusal(503, 2_000_000),
    "another coding": Refusal(
        415, 2_000_000, headers={"Authorization": GOOD, "Content-Encoding": "br"}
    ),
}

NGINX_SERVER = """
server {{
    listen 127.0.0.1:{port}{listen};
    client_max_body_size 0;
    location / {{
        proxy_pass http://127.0.0.1:{upstream};
        proxy_http_version {version};
        proxy_request_buffering {buffering};
    }}
}}
"""
HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend plain
    bind 127.0.0.1:{plain}
    default_backend webhook
frontend secure
    bind 127.0.0.1:{secure} ssl crt {pem} alpn h2,http/1.1
    default_backend webhook
backend webhook
    server one 127.0.0.1:{upstream}
"""


class Route(NamedTuple):
    """A route to the webhook: its name, its scheme, and whether curl is to speak HTTP/2."""

    name: str
    scheme: str = "http"
    http2: bool = False


ROUTES = [
    Route("direct"),
    Route("direct, TLS", "https"),
    Route("nginx, buffered, HTTP/1.0"),
    Route("nginx, buffered, HTTP/1.1"),
    Route("nginx, unbuffered, HTTP/1.0"),
    Route("nginx, unbuffered, HTTP/1.1"),
    Route("nginx, TLS", "https"),
    Route("nginx, TLS, HTTP/2", "https", True),
    Route("haproxy"),
    Route("haproxy, TLS", "https"),
    Route("haproxy, TLS, HTTP/2", "https", True),
]


# One body of two megabytes is too many at once, and failed logins are not delayed.
LIMITS = {"MAX_BODIES_BYTES": MIB, "FREE_FAILURES": 1_000_000}


@pytest.fixture(scope="module")
def webhook() -> Iterator[Sandbox]:
    with sandboxed(params=CREDENTIALS, constants=LIMITS) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def secure_webhook() -> Iterator[Sandbox]:
    with sandboxed(params={**CREDENTIALS, **certificate().params}, constants=LIMITS) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def nginx_ports(
    webhook: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, int]]:
    """Run an nginx with a port for each of its routes."""
    folder = tmp_path_factory.mktemp("nginx")
    pem = proxies.pem_file(folder, certificate().params)
    names = [route.name for route in ROUTES if route.name.startswith("nginx")]
    ports = dict(zip(names, proxies.free_ports(len(names))))
    servers = [f"ssl_certificate {pem};", f"ssl_certificate_key {pem};"]
    for name, port in ports.items():
        servers.append(
            NGINX_SERVER.format(
                port=port,
                upstream=port_of(webhook),
                listen=" ssl http2" if "HTTP/2" in name else " ssl" if "TLS" in name else "",
                version="1.0" if "1.0" in name else "1.1",
                buffering="off" if "unbuffered" in name or "TLS" in name else "on",
            )
        )
    with proxies.nginx(folder, "\n".join(servers), list(ports.values())):
        yield ports


@pytest.fixture(scope="module")
def haproxy_ports(
    webhook: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, int]]:
    """Run a HAProxy with a plain port and one for TLS."""
    folder = tmp_path_factory.mktemp("haproxy")
    plain, secure = proxies.free_ports(2)
    pem = proxies.pem_file(folder, certificate().params)
    configuration = HAPROXY.format(plain=plain, secure=secure, pem=pem, upstream=port_of(webhook))
    with proxies.haproxy(folder, configuration, [plain, secure]):
        yield {"haproxy": plain, "haproxy, TLS": secure, "haproxy, TLS, HTTP/2": secure}


def port_on(route: Route, request: pytest.FixtureRequest) -> int:
    """Return the port where a route begins."""
    if route.name.startswith("direct"):
        return port_of(
            request.getfixturevalue("secure_webhook" if "TLS" in route.name else "webhook")
        )
    ports: dict[str, int] = request.getfixturevalue(route.name.split(",")[0] + "_ports")
    return ports[route.name]


@pytest.fixture(params=ROUTES, ids=lambda route: route.name)
def route_url(request: pytest.FixtureRequest) -> tuple[Route, str]:
    route: Route = request.param
    return route, f"{route.scheme}://127.0.0.1:{port_on(route, request)}"


def send_whole(url: str, refusal: Refusal, file: Path) -> int:
    """Send the whole body before reading the answer, as most programs do; 0 for no answer."""
    context = proxies.unverified() if url.startswith("https") else None
    try:
        return send(
            url + refusal.path, file.read_bytes(), refusal.headers, refusal.method, context
        ).status
    except OSError:
        return 0


def send_http2(url: str, refusal: Refusal, file: Path) -> int:
    """Send a request over HTTP/2."""
    headers = [
        part for name, value in refusal.headers.items() for part in ("-H", f"{name}: {value}")
    ]
    return proxies.curl(
        url + refusal.path, "--http2", "-X", refusal.method, *headers, "--data-binary", f"@{file}"
    )


@contextlib.contextmanager
def good_sender(url: str) -> Iterator[Counter[int]]:
    """Post small bodies with the right password, and yield the counts of their statuses."""
    statuses: Counter[int] = Counter()
    over = threading.Event()
    good = Refusal(200, 2)
    context = proxies.unverified() if url.startswith("https") else None

    def keep_posting() -> None:
        while True:
            try:
                statuses[send(url + "/", b"{}", good.headers, context=context).status] += 1
            except OSError:
                statuses[0] += 1
            if over.wait(0.02):
                return

    thread = threading.Thread(target=keep_posting, daemon=True)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join(30)


def many(once: Callable[[], int], tries: int = TRIES) -> Counter[int]:
    """Do something `tries` times, AT_ONCE at a time, and count the results."""
    shares = [len(range(start, tries, AT_ONCE)) for start in range(AT_ONCE)]
    results = in_parallel(
        [lambda share=share: [once() for _ in range(share)] for share in shares], 120
    )
    return Counter(status for statuses in results for status in statuses)


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Return a function that returns a file of `size` bytes."""
    folder = tmp_path_factory.mktemp("bodies")

    def make(size: int) -> Path:
        file = folder / str(size)
        if not file.exists():
            file.write_bytes(b'{"filler":"' + b"x" * (size - 13) + b'"}')
        return file

    return make


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_each_refusal_reaches_its_sender(
    refusal: Refusal, route_url: tuple[Route, str], bodies: Callable[[int], Path]
) -> None:
    route, url = route_url
    file = bodies(refusal.size)
    one = send_http2 if route.http2 else send_whole
    with good_sender(url) as good:
        statuses = many(lambda: one(url, refusal, file), refusal.tries)
    assert statuses == {refusal.status: refusal.tries}
    assert set(good) == {200}


@pytest.mark.parametrize(
    "route_url", [ROUTES[0], ROUTES[1]], ids=lambda route: route.name, indirect=True
)
def test_a_huge_upload_is_refused_before_it_is_sent_and_costs_no_memory(
    route_url: tuple[Route, str], request: pytest.FixtureRequest, bodies: Callable[[int], Path]
) -> None:
    route, url = route_url
    sandbox: Sandbox = request.getfixturevalue(
        "secure_webhook" if route.scheme == "https" else "webhook"
    )
    file = bodies(200_000_000)
    before = memory_mib(sandbox, peak=True)
    started = time.monotonic()
    assert proxies.curl(url, "-u", f"{USER}:{PASSWORD}", "--data-binary", f"@{file}") == 413
    assert time.monotonic() - started < 5
    assert memory_mib(sandbox, peak=True) - before < 5


def test_wrong_passwords_with_large_bodies_leave_two_nginx_upstreams_in_service(
    webhook: Sandbox, tmp_path: Path, bodies: Callable[[int], Path]
) -> None:
    """With the default max_fails, one broken upload takes an upstream out of service for 10 s."""
    file = bodies(2_000_000)
    [port] = proxies.free_ports(1)
    refusal = REFUSALS["a wrong password"]
    with sandboxed(params=CREDENTIALS) as second:
        upstream = (
            f"upstream webhooks {{ server 127.0.0.1:{port_of(webhook)}; "
            f"server 127.0.0.1:{port_of(second)}; }}"
        )
        server = NGINX_SERVER.format(
            port=port, upstream="0", listen="", version="1.1", buffering="on"
        )
        server = server.replace("http://127.0.0.1:0", "http://webhooks")
        url = f"http://127.0.0.1:{port}"
        with proxies.nginx(tmp_path, upstream + server, [port]), good_sender(url) as good:
            statuses = many(lambda: send_whole(url, refusal, file))
    assert statuses == {401: TRIES}
    assert set(good) == {200}
    assert "no live upstreams" not in (tmp_path / "nginx.log").read_text()


# ---- what a refused sender costs while its bytes are discarded

REFUSED_HEAD = post(b"", b"Authorization: " + WRONG.encode(), length=30_000_000)


@contextlib.contextmanager
def refused(sandbox: Sandbox, count: int = 1) -> Iterator[list[socket.socket]]:
    """Open connections whose request was refused and whose body has hardly begun."""
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(
            count
            # One by one, so that the check whether the sandbox listens is over before they are too
            # many.
        ):
            connection = stack.enter_context(connect(sandbox))
            connection.sendall(REFUSED_HEAD + b"x" * 1000)
            answer = read_answer(connection)
            assert answer is not None and answer.status == 401
            connections.append(connection)
        yield connections


def still_reads(connection: socket.socket, seconds: float) -> bool:
    """Return whether the other side takes bytes for `seconds`."""
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            connection.sendall(b"x" * 1000)
            time.sleep(0.05)
    except OSError:
        return False
    return True


def test_a_refused_sender_is_read_on_for_a_while_and_not_longer() -> None:
    with (
        sandboxed(params=CREDENTIALS, constants={"DISCARD_SECONDS": 3.0}) as sandbox,
        refused(sandbox) as [connection],
    ):
        assert still_reads(connection, 1.5)
        assert not still_reads(connection, 5)


def test_of_a_refused_body_so_much_is_read_and_not_more() -> None:
    with (
        sandboxed(params=CREDENTIALS, constants={"DISCARD_BYTES": 2 * MIB}) as sandbox,
        refused(sandbox) as [connection],
    ):
        connection.sendall(b"x" * MIB)
        assert still_reads(connection, 0.2)
        with pytest.raises(OSError):
            for _ in range(30):
                connection.sendall(b"x" * MIB)


def test_only_so_many_refused_senders_are_read_on() -> None:
    with (
        sandboxed(params=CREDENTIALS, constants={"MAX_DISCARDING": 2}) as sandbox,
        refused(sandbox, 3) as connections,
    ):
        assert sorted(
            in_parallel([lambda one=one: still_reads(one, 3) for one in connections])
        ) == [False, True, True]


def test_refused_senders_make_room_for_others() -> None:
    constants = {"MAX_CONNECTIONS": 16, "FREE_FAILURES": 16}
    with sandboxed(params=CREDENTIALS, constants=constants) as sandbox, refused(sandbox, 16):
        for _ in range(3):
            assert (
                ask(
                    sandbox, post(b"{}", b"Authorization: " + GOOD.encode(), b"Connection: close")
                ).status
                == 200
            )


def test_a_refused_sender_does_not_keep_the_webhook_from_stopping() -> None:
    with (
        sandboxed(params=CREDENTIALS, constants={"READING_SECONDS": 6.0}) as sandbox,
        refused(sandbox),
    ):
        started = time.monotonic()
        sandbox.terminate()
        assert sandbox.wait_exit() == 0
        assert time.monotonic() - started < 4


def test_a_refused_sender_over_tls_reads_its_answer_to_the_end(secure_webhook: Sandbox) -> None:
    """The answer ends in a close_notify (RFC 8446, 6.1) while the body still arrives."""
    plain = connect(secure_webhook)
    with proxies.unverified().wrap_socket(plain, suppress_ragged_eofs=False) as connection:
        connection.sendall(REFUSED_HEAD + b"x" * 500_000)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 401 ")
