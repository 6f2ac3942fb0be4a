"""The upper limit: a stock pywsgi that reads the body and answers `[]`.

Run as `python bare.py PORT [FILE]`; with a file, which holds a certificate and its key, it speaks
TLS.
"""

import socket
import ssl
import sys
from collections.abc import Callable
from typing import Any

import gevent
import gevent.socket
import gevent.ssl
from gevent.pywsgi import WSGIServer

HEADERS = [("Content-Type", "application/json"), ("Content-Length", "2")]


def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Read the body and answer an empty array."""
    environ["wsgi.input"].read()
    start_response("200 OK", HEADERS)
    return [b"[]"]


def context(file: str) -> gevent.ssl.SSLContext:
    """Return the TLS context of a certificate.

    One serves all connections, or they could not resume each other's sessions.
    """
    made = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(file)
    return made


def main() -> None:
    """Serve until the process is ended."""
    gevent.get_hub().exception_stream = (
        None  # the load generator disconnects when its window ends, in the middle of anything
    )
    listener = gevent.socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    listener.listen(1024)
    tls = {"ssl_context": context(sys.argv[2])} if len(sys.argv) > 2 else {}
    WSGIServer(listener, answer, log=None, error_log=None, **tls).serve_forever()


if __name__ == "__main__":
    main()
