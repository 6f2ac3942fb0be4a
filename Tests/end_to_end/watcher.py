"""Requests a container's health every 20 ms until stdin ends; prints the longest wait in seconds.

It is a separate process: the sandbox's end of the connection is in the tests' process, where
    reading a line of 100 MB would look like a stall that no sender met.
On a busy machine a part of each wait is for a processor, which the container does not cause. What
it causes is the processor time that it takes meanwhile, or the time for which nothing of it could
have run: the longer of both counts.
"""

import contextlib
import os
import socket
import sys
import threading
import time
from pathlib import Path

EVERY_SECONDS = 0.02
GET = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


def queued_seconds(*pids: int) -> float:
    """Return for how long the threads of processes have waited for a processor so far."""
    nanoseconds = 0
    for pid in pids:
        for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):  # the thread has ended meanwhile
                nanoseconds += int(file.read_text().split()[1])
    return nanoseconds / 1e9


class Moment:
    """A point in time, and what a process and this one have had and missed until then."""

    def __init__(self, pid: int) -> None:
        self.worked = time.clock_gettime((~pid << 3) | 2)  # as Linux numbers a process's clock
        self.queued = queued_seconds(pid, os.getpid())
        self.now = time.monotonic()


def caused(before: Moment, after: Moment) -> float:
    """Return how much of the time between two moments the process has caused."""
    passed = after.now - before.now
    busy, queued = after.worked - before.worked, after.queued - before.queued
    return max(min(busy, passed), passed - queued)


def watch(port: int, pid: int, over: threading.Event) -> float:
    """Return the longest wait in seconds on one kept-alive connection, until `over` is set."""
    longest = 0.0
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print("ready", flush=True)
        while True:  # at least once
            before = Moment(pid)
            connection.sendall(GET)
            answer = b""
            while not answer.endswith(b'{"status":"ok"}'):
                answer += connection.recv(4096) or sys.exit("the connection ended")
            longest = max(longest, caused(before, Moment(pid)))
            if over.wait(EVERY_SECONDS):
                return longest


def main() -> None:
    """Watch the port and the process given as arguments."""
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    print(watch(int(sys.argv[1]), int(sys.argv[2]), over), flush=True)


if __name__ == "__main__":
    main()
