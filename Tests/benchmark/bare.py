"""The upper limit: a stock pywsgi that reads the body and answers `[]`. Run as `python bare.py PORT`."""

import contextlib
import socket
import sys
from collections.abc import Callable
from typing import Any

import gevent.socket
from gevent.pywsgi import WSGIServer

HEADERS = [("Content-Type", "application/json"), ("Content-Length", "2")]


def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Read the body and answer an empty array."""
    with contextlib.suppress(OSError):  # the load generator hangs up at its window's end
        environ["wsgi.input"].read()
    start_response("200 OK", HEADERS)
    return [b"[]"]


def main() -> None:
    """Serve until the process is ended."""
    listener = gevent.socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    listener.listen(1024)
    WSGIServer(listener, answer, log=None, error_log=None).serve_forever()


if __name__ == "__main__":
    main()
