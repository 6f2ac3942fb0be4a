"""Verifies the image: bottle and gevent are there and serve a request over a real socket."""

import importlib.metadata
import os
import sys

import bottle
import gevent
from gevent import pywsgi, socket

QUERY = b"POST /verify?n=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"


def serve() -> pywsgi.WSGIServer:
    """Starts a server on a free port that answers what it got."""
    app = bottle.Bottle()
    app.post("/verify", callback=lambda: {"n": bottle.request.query.n, "body": bottle.request.body.read().decode()})
    server = pywsgi.WSGIServer(("127.0.0.1", 0), app, log=None)
    server.start()
    return server


def ask(port: int) -> bytes:
    """Sends the query and returns the whole answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(QUERY)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def main() -> None:
    """Serves one request, and ends with an error if the answer is not the expected one."""
    with gevent.Timeout(30):
        server = serve()
        answer = ask(server.server_port)
        server.stop()
    if not (answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b'{"n": "1", "body": "hello"}')):
        sys.exit(f"The answer was {answer!r}")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("bottle", "gevent", "greenlet"))
    print(f"Python {sys.version.split()[0]}, {versions}: a request was served by user {os.getuid()}. All is good.")


if __name__ == "__main__":
    main()
