"""How the page is served: its files, and who may call it.

Only a browser on this machine gets an answer: other Host headers are refused, and so is every write
that does not originate from the page itself.
"""

import json
import socketserver
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import bottle

from .calls import Refusal

FOLDER = Path(__file__).with_name("static")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
DRAINED_BYTES = 1024 * 1024
StartResponse = Callable[..., Any]


class Handler(WSGIRequestHandler):
    """One connection of the reroute."""

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the terminal is for the instance's requests."""

    def address_string(self) -> str:
        """Return the address without looking up its name."""
        return str(self.client_address[0])


class ThreadedServer(socketserver.ThreadingMixIn, WSGIServer):
    """A thread for each request, so that events can stream next to the others."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def server_bind(self) -> None:
        """Bind without looking up this machine's name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]
        self.setup_environ()


class Guard:
    """Accepts requests to the front's address, and adds the headers that all answers have."""

    def __init__(self, app: bottle.Bottle, port: int) -> None:
        self._app = app
        names = ("127.0.0.1", "localhost", "[::1]")
        self._hosts = {f"{name}:{port}" for name in names} | (set(names) if port == 80 else set())

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            ours = {name for name, _ in HEADERS}
            return start_response(
                status, [*(pair for pair in headers if pair[0] not in ours), *HEADERS], *rest
            )

        try:
            self._check(environ)
        except Refusal as refusal:
            drain(environ)
            start(
                f"{refusal.status} {HTTPStatus(refusal.status).phrase}",
                [("Content-Type", "application/json")],
            )
            return [json.dumps({"error": str(refusal)}).encode()]
        answer: Iterable[bytes] = self._app(environ, start)
        return answer

    def _check(self, environ: Mapping[str, Any]) -> None:
        host = str(environ.get("HTTP_HOST", "")).lower()
        if host not in self._hosts:
            raise Refusal(
                403, f"This page is for this machine only: open it at http://{min(self._hosts)}/."
            )
        method, is_ours = (
            environ["REQUEST_METHOD"],
            environ.get("HTTP_SEC_FETCH_SITE", "none") in ("same-origin", "none"),
        )
        if method in ("GET", "HEAD"):
            # Even its duration would reveal something.
            if not is_ours and environ.get("PATH_INFO", "").startswith("/api/"):
                raise Refusal(403, "Only the page itself may request this; open it and look there.")
            return
        if method != "POST":
            raise Refusal(405, "The page's calls are GET or POST.")
        origin = environ.get("HTTP_ORIGIN")
        if (origin is not None and origin.lower() != f"http://{host}") or not is_ours:
            raise Refusal(
                403, "Only the page itself may change something; open it and do it there."
            )
        if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/json":
            raise Refusal(415, "Send JSON, with Content-Type: application/json.")


def drain(environ: Mapping[str, Any]) -> None:
    """Read and discard what a refused call sends.

    A connection that is closed with unread bytes may lose its answer.
    """
    length = str(environ.get("CONTENT_LENGTH") or "0")
    if length.isdecimal():
        environ["wsgi.input"].read(min(int(length), DRAINED_BYTES))


class Application(bottle.Bottle):
    """Bottle, where every answer is JSON, whatever goes wrong."""

    def default_error_handler(self, error: bottle.HTTPError) -> str:
        """Answer in JSON what Bottle itself refuses."""
        bottle.response.content_type = "application/json"
        sentence = {
            404: "There is nothing here; the page is at /.",
            405: "This call needs another method.",
        }
        return json.dumps(
            {"error": sentence.get(error.status_code, "The page failed; the terminal says why.")}
        )


def file_answer(name: str) -> Any:
    """Return a file of the page, of a kind that a browser knows."""
    kind = TYPES.get(Path(name).suffix)
    if kind is None:
        raise bottle.HTTPError(404)
    answer = bottle.static_file(name, root=str(FOLDER), mimetype=kind)
    answer.headers.pop("Last-Modified", None)  # nothing is cached, so nothing is revalidated
    return answer
