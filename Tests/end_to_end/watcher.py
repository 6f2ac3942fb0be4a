"""Requests a container's health every 20 ms until stdin ends; prints the longest wait in seconds.

It is a separate process: the sandbox's end of the connection is in the tests' process, where
    reading a line of 100 MB would look like a stall that no sender met.
"""

import socket
import sys
import threading
import time

EVERY_SECONDS = 0.02
GET = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


def watch(port: int, over: threading.Event) -> float:
    """Return the longest wait in seconds on one kept-alive connection, until `over` is set."""
    longest = 0.0
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print("ready", flush=True)
        while not over.wait(EVERY_SECONDS):
            started = time.monotonic()
            connection.sendall(GET)
            answer = b""
            while not answer.endswith(b'{"status":"ok"}'):
                answer += connection.recv(4096) or sys.exit("the connection ended")
            longest = max(longest, time.monotonic() - started)
    return longest


def main() -> None:
    """Watch the port given as the only argument."""
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    print(watch(int(sys.argv[1]), over), flush=True)


if __name__ == "__main__":
    main()
