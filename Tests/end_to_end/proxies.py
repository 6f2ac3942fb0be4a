"""Debian's nginx and HAProxy as processes in front of sandboxes, and senders through them."""

import base64
import contextlib
import functools
import os
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from Tests.sandbox import accepts as accepts_port
from Tests.sandbox import free_port

CONFIGURATIONS = Path(__file__).resolve().parents[2] / "docs" / "scaling"
START_SECONDS = 10.0
END_SECONDS = 5.0

USER, PASSWORD = "sender", "correct horse"
GOOD = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
WRONG = "Basic " + base64.b64encode(f"{USER}:wrong".encode()).decode()
CREDENTIALS = {"credentials": {"identifier": USER, "password": PASSWORD}}


def configuration(name: str, changes: Mapping[str, str]) -> str:
    """Return a configuration of docs/scaling with other values; each old one must occur in it."""
    text = (CONFIGURATIONS / name).read_text(encoding="utf-8")
    for placeholder, value in changes.items():
        assert placeholder in text, f"{name} has no {placeholder}"
        text = text.replace(placeholder, value)
    return text


def program(name: str) -> str:
    """Return a program's path; skip the test if it is not installed."""
    # Debian installs servers there.
    path = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin"
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(
            f"{name} is not installed (Debian: apt-get install {name}), "
            "so nothing was sent through it."
        )
    return found


@contextlib.contextmanager
def process(
    command: Sequence[str], ports: Sequence[int], log: Path, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a server until the block ends; yield its process ID once its ports accept."""
    with log.open("ab") as output:
        running = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(env or {})},
        )
    try:
        until = time.monotonic() + START_SECONDS
        while not all(accepts_port(port) for port in ports):
            assert running.poll() is None and time.monotonic() < until, (
                f"{command[0]}: {log.read_text(errors='replace')}"
            )
            time.sleep(0.05)
        yield running.pid
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def nginx(folder: Path, http: str, ports: Sequence[int]) -> contextlib.AbstractContextManager[int]:
    """Run nginx with this text in its block `http { }`; nginx.log is its error log."""
    path = program("nginx")
    folder.mkdir(parents=True, exist_ok=True)
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # Other users' workers could not read root's temporary folder.
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\n"
        f"error_log {folder}/nginx.log notice;\n"
        f"events {{ worker_connections 1024; }}\nhttp {{\naccess_log off;\n{paths}{http}\n}}\n"
    )
    log = folder / "nginx.log"
    return process(
        [path, "-e", str(log), "-p", str(folder), "-c", str(folder / "nginx.conf")], ports, log
    )


def haproxy(
    folder: Path, configuration: str, ports: Sequence[int], env: Mapping[str, str] | None = None
) -> contextlib.AbstractContextManager[int]:
    """Run HAProxy with a configuration; its output is in haproxy.log in the folder."""
    path = program("haproxy")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "haproxy.cfg").write_text(configuration)
    return process(
        [path, "-db", "-f", str(folder / "haproxy.cfg")], ports, folder / "haproxy.log", env
    )


def free_ports(count: int) -> list[int]:
    """Return `count` ports that nobody listens on."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


def pem_file(folder: Path, params: Mapping[str, str]) -> Path:
    """Write an instance's certificate and key into one file, as HAProxy and nginx read them."""
    file = folder / "edge.pem"
    file.write_text(params["certificate"].rstrip() + "\n" + params["key"].rstrip() + "\n")
    return file


def http_status(text: bytes) -> int:
    """Return the status that curl printed; 0 if it got no answer."""
    return int(text.strip()[-3:] or 0)


def curl(url: str, *options: str, timeout: float = 60.0) -> int:
    """Send a request by curl, which can read an answer while it sends; return the status or 0."""
    command = [
        program("curl"),
        "-sS",
        "-k",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-H",
        "Expect:",
        *options,
        url,
    ]
    return http_status(
        subprocess.run(command, capture_output=True, timeout=timeout, check=False).stdout
    )


@functools.cache
def unverified() -> ssl.SSLContext:
    """Return a client's TLS context that accepts any certificate: only the transport is tested."""
    # It has no authorities: loading those takes longer than a request.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def reload_nginx(process_id: int) -> None:
    """Make a running nginx reread its configuration; old workers finish their requests."""
    os.kill(process_id, signal.SIGHUP)
