"""The HTTP side of the sandbox's page: its files, its API, and its server-sent events.

It listens on its own port, to which the reroute forwards everything that is not for an instance.
Only a browser on this machine gets an answer: other Host headers are refused, and so is every write
that does not originate from the page itself.
"""

import contextlib
import json
import queue
import re
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import bottle

from ..container import CommandError, ContainerError
from ..descriptor import CREDENTIALS, DescriptorError, Parameter
from ..reroute import PREFIX, Exchange, Reroute
from ..store import Incident, beside
from .attempt import Attempt, AttemptError, connected, curl_line, send
from .examples import examples
from .form import fields, is_open, label, merged, product_urls
from .masking import HIDDEN, MORE_CREDENTIALS, SECRET_TYPES, Secrets
from .preview import Preview, PreviewError
from .recorder import OBSERVED_BYTES, Listeners, Monitor, Recorder, counted
from .signing import Line, credentials_for, read_lines
from .traffic import KINDS, MAX_OPENED, Recorded, Traffic, as_content, is_number, now
from .transfer import exported, imported

if TYPE_CHECKING:
    from .. import Sandbox
    from ..saved import SavedParams

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
MAX_CALL_BYTES = 64 * 1024 * 1024
DRAINED_BYTES = 1024 * 1024
MAX_ALERTS = 50  # that the page shows
OPEN_STATE = 1  # of an alert in the integration context
# how the integration writes what has become of an alert
LONE_END, HAS_ENDED, ACTIVE_AGAIN = "Ended: ", "The alert has ended", "The alert is active again"
MAX_LIMIT = 200
MAX_NUMBER = 2**62
PREVIEWED = 10
COMMENT_SECONDS = 10.0
START_SECONDS = 5.0  # for a container to listen again
MAX_LATENCY_MS, MAX_REFUSALS, MAX_STOP_SECONDS = 60_000, 10_000, 60.0
CALL = "createIncidents"
CERTIFICATES = ("certificate", "client_ca")
NOT_KEPT = "The instance runs with these parameters, but they cannot be kept for the next start"
NONE_FIT = "no credentials: the instance has none for this path that the page can make"
# what gave a field, where no parameter did
GIVEN_BY = {
    "": "The payload's own field",
    "usual": "Usual field name",
    "end": "An end whose beginning never came",
}
StartResponse = Callable[..., Any]


class Refusal(Exception):
    """An answer that is not 200: its status and a sentence that says how to fix it."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


# ---- serving


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


class Page:
    """The page of one sandbox: its state, and the server that shows it."""

    def __init__(self, sandbox: "Sandbox", store_file: Path | None) -> None:
        self._sandbox = sandbox
        folder = Path(sandbox.folder)
        kept = (
            file_of_requests(store_file, sandbox.instance)
            if store_file
            else folder / "page.sqlite3"
        )
        self._path = PREFIX + quote(sandbox.instance)

        # what it shows
        self._secrets = Secrets()
        self._learn(sandbox.params)
        self._listeners = Listeners()
        self.traffic = Traffic(kept, sandbox.store)
        self._preview = Preview(
            sandbox.descriptor.script(), sandbox.interpreter, sandbox.environment, folder
        )
        self._recorder = Recorder(
            self.traffic, sandbox.store, self._secrets, self._listeners, self._preview
        )
        self._monitor = Monitor(self._listeners, self._secrets, self._in_flight, self._state)

        # what serves it
        self._front: Reroute | None = None
        self._server: ThreadedServer | None = None

        # what it changes
        self._restarts = threading.Lock()
        self._timer: threading.Timer | None = None

    def start(self, front: Reroute) -> None:
        """Listen on a port that the front forwards to, and watch the front and the server."""
        self._front = front
        app = Guard(routes(self), front.server_address[1])
        self._server = ThreadedServer(("127.0.0.1", 0), Handler)
        self._server.set_app(app)
        threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True, name="page"
        ).start()
        front.page_port = self._server.server_port
        self._sandbox.server.observe = self._monitor.see
        shown = front.observe
        self._keep_settings()
        front.set_observer(lambda exchange: self._observe(exchange, shown), OBSERVED_BYTES)
        self._recorder.start()
        self._monitor.start()

    def stop(self) -> None:
        """Stop everything that was started."""
        if self._timer:
            self._timer.cancel()
        self._listeners.close()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
        self._monitor.stop()
        self._recorder.stop()
        self._preview.stop()
        self.traffic.close()

    # ---- what is watched

    def _observe(self, exchange: Exchange, shown: Callable[[Exchange], None] | None) -> None:
        if shown:
            shown(exchange)
        self._monitor.count(exchange)
        self._recorder.take(exchange)

    def _in_flight(self) -> int:
        return self._front.in_flight if self._front else 0

    def _state(self) -> tuple[str, bool, dict[str, Any], bool]:
        """Return container state, whether the server is stopped, faults, and early answers."""
        sandbox = self._sandbox
        container = "restarting" if sandbox.restarting else "up" if sandbox.alive else "ended"
        return (
            container,
            sandbox.faults.stopped.is_set(),
            self.faults(),
            bool(sandbox.params.get("answer_seconds")),
        )

    def hide(self, value: Any) -> Any:
        """Return a JSON value without the instance's secrets."""
        return self._secrets.hide(value)

    def _learn(self, params: Mapping[str, Any]) -> None:
        self._secrets.learn(self._sandbox.descriptor.parameters.values(), params)

    def _keep_settings(self) -> None:
        """Store each request with the parameters that map it."""
        self._recorder.settings = self._mapping(self._sandbox.params)

    def _mapping(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters except secrets and certificates."""
        declared = self._sandbox.descriptor.parameters
        plain = {
            name
            for name, known in declared.items()
            if known.type not in (*SECRET_TYPES, CREDENTIALS) and name not in CERTIFICATES
        }
        return {name: value for name, value in params.items() if name in plain}

    # ---- the instance

    def instance(self) -> dict[str, Any]:
        """Return the form of the instance's settings."""
        sandbox, descriptor = self._sandbox, self._sandbox.descriptor
        return {
            "name": sandbox.instance,
            "integration": descriptor.display,
            "url": sandbox.sender_url,
            "productUrls": product_urls(sandbox.instance),
            "sections": list(descriptor.sections),
            "parameters": fields(descriptor, sandbox.params),
            "description": descriptor.help,
            "canRestart": True,
            "isOpen": is_open(sandbox.params),
        }

    def test(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Press the Test button with a form's values."""
        sandbox = self._sandbox
        params = merged(sandbox.descriptor, sandbox.params, given.get("params"))
        self._learn(params)
        entries = self._run("test-module", params)
        texts = [str(entry.get("Contents")) for entry in entries] or [
            "The integration answered nothing."
        ]
        return {"ok": texts == ["ok"], "text": self._secrets.hide("\n".join(texts))}

    def _run(self, command: str, params: Mapping[str, Any] | None = None) -> list[Any]:
        try:
            return self._sandbox.run(command, params=params)
        except CommandError as error:
            text = str(error)
            if command == "test-module":
                return [{"Contents": text}]
            raise Refusal(502, self._secrets.hide(text)) from error

    def save(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Restart the container with a form's values; return once it listens or has failed."""
        sandbox = self._sandbox
        with self._restarts:
            params = merged(sandbox.descriptor, sandbox.params, given.get("params"))
            before = sandbox.params
            self._restart(params)
            self._keep(lambda saved: saved.update(before, params, sandbox.defaults))
        return {"ok": True}

    def set_defaults(self) -> dict[str, Any]:
        """Restart the container with the descriptor's defaults, and forget what was saved."""
        with self._restarts:
            self._restart(dict(self._sandbox.defaults))
            self._keep(lambda saved: saved.forget())
        return {"ok": True}

    def export(self) -> dict[str, str]:
        """Return the parameters that differ from their defaults, as texts to copy."""
        sandbox = self._sandbox
        return exported(sandbox.descriptor, sandbox.params, sandbox.defaults)

    def import_(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Restart the container with the parameters of a text, or change nothing."""
        sandbox = self._sandbox
        params = imported(sandbox.descriptor, sandbox.params, given.get("text"))
        self.save({"params": params})
        return {"ok": True, "parameters": len(params)}

    def _keep(self, keep: Callable[["SavedParams"], None]) -> None:
        """Change what is saved for the next start, if anything is kept between runs."""
        try:
            if self._sandbox.saved:
                keep(self._sandbox.saved)
        except OSError as error:
            raise Refusal(500, f"{NOT_KEPT}: {error}.") from error

    def _restart(self, params: dict[str, Any]) -> None:
        self._learn(params)
        self._monitor.report_state()
        self._sandbox.restart(params)
        self._keep_settings()
        self._sandbox.await_listening(START_SECONDS)
        self._monitor.report_state()

    # ---- sending

    def examples(self) -> list[dict[str, Any]]:
        """Return requests to try."""
        return examples(self._path)

    def categories(self) -> dict[str, str]:
        """Return for each example the category of the sender that it is recognized as."""
        found, senders = self.examples(), self.senders()["senders"]
        defaults = self._sandbox.descriptor.params({}, files=False)
        try:
            made = self._preview.incidents(defaults, [as_recorded(one) for one in found])
        except PreviewError:  # another script than the integration's
            return {}
        of_sender = {row["id"]: row["category"] for row in senders}
        return {
            example["id"]: of_sender.get(request["incidents"][0]["sender"], "")
            for example, request in zip(found, made)
            if request["incidents"]
        }

    def senders(self) -> dict[str, Any]:
        """Return the rows of the known senders."""
        try:
            return {"senders": self._preview.senders()}
        except PreviewError:
            return {"senders": []}

    def send(self, attempt: Attempt, came: Attempt | None = None) -> dict[str, Any]:
        """Send a request through the front, and return its answer.

        came: the request as it was sent before, which shows how its sender proves itself.
        """
        origin = self._origin()
        username, password, sent_with = self._credentials(attempt, came or attempt)
        proven = self._addressed(attempt, origin).proven(username, password)
        try:
            with (
                connected(origin) as connection,
                self._recorder.expecting(connection.sock.getsockname()[1]) as number,
            ):
                answer = send(connection, proven)
                identifier = number() if origin == self._front_origin() else None
        except (
            OSError,
            HTTPException,
            ValueError,
        ) as error:
            # The text of some errors holds what was sent, in another spelling.
            why = (
                error.strerror
                if isinstance(error, OSError) and error.strerror
                else type(error).__name__
            )
            raise Refusal(502, f"{origin} does not answer this request: {why}.") from error
        return {**self._secrets.hide(answer), "requestId": identifier, "sentWith": sent_with}

    def attempt(self, given: Any) -> Attempt:
        """Read a request that the page wants to be sent; raises AttemptError."""
        return Attempt.read(given, self._path)

    def curl(self, given: Any) -> dict[str, str]:
        """Return a curl line that sends what the page would."""
        origin = self._origin()
        attempt = self.attempt(given)
        username, _, sent_with = self._credentials(attempt, attempt)
        line = curl_line(self._addressed(attempt, origin), origin, username)
        return {"curl": self._secrets.hide(line), "sentWith": sent_with}

    def _addressed(self, attempt: Attempt, origin: str) -> Attempt:
        """Return a request as an origin expects it: the container knows no instance's path."""
        if origin == self._front_origin():
            return attempt
        rest = attempt.path.removeprefix(self._path)
        return replace(attempt, path=rest if rest.startswith("/") else f"/{rest}")

    def end(self, number: int) -> dict[str, Any]:
        """Send a request again as its sender reports the end of its alerts."""
        old = self._opened(number)
        try:
            body = self._preview.ended(old.settings, old)
        except PreviewError as error:
            raise Refusal(502, str(error)) from error
        if not body:
            raise Refusal(400, "It is not known how this sender reports the end of an alert.")
        headers = [one for one in old.headers if one[0].lower() != "content-encoding"]
        sent = replace(old, headers=headers, body=body.encode(), body_bytes=len(body.encode()))
        return self._send_again(sent)

    def again(self, number: int) -> dict[str, Any]:
        """Send a request again, with the instance's present credentials."""
        return self._send_again(self._opened(number))

    def _send_again(self, old: Recorded) -> dict[str, Any]:
        if old.body_bytes > len(old.body):
            raise Refusal(
                400,
                "This request's body is longer than what is kept of it; "
                "let its sender send it again.",
            )
        skipped = {"x-forwarded-for", "content-length", "transfer-encoding", "host", "connection"}
        headers = [
            (name, value)
            for name, value in old.headers
            if name.lower() not in skipped and HIDDEN not in value
        ]
        path = re.sub(rf"(?<=[?&])[^&]*{HIDDEN}(?:&|$)", "", old.row["path"]).rstrip("?&")
        attempt = Attempt(old.row["method"], path, headers, old.body, sign=True)
        return self.send(attempt, replace(attempt, path=old.row["path"], headers=old.headers))

    def _credentials(self, attempt: Attempt, came: Attempt) -> tuple[str, str, str]:
        """Return the user name and the password for a request, and which ones these are."""
        params = self._sandbox.params
        given = params.get("credentials")
        values = given if isinstance(given, Mapping) else {}
        own = Line("", str(values.get("identifier") or ""), str(values.get("password") or ""))
        lines = read_lines(str(params.get(MORE_CREDENTIALS) or ""))
        lines = [own, *lines] if any(own) else lines
        if not attempt.sign or not lines:
            return "", "", ""
        found = credentials_for(lines, came.path.removeprefix(self._path), came.headers)
        return (found.username, found.secret, found.words()) if found else ("", "", NONE_FIT)

    def _front_origin(self) -> str:
        return self._sandbox.page_url.rstrip("/")

    def _origin(self) -> str:
        """Return where requests are sent to: the front, unless the instance has a certificate."""
        sandbox = self._sandbox
        return (
            sandbox.container_url
            if sandbox.sender_url == sandbox.container_url
            else self._front_origin()
        )

    # ---- requests and incidents

    def requests(self, before: int, limit: int, words: str, kind: str) -> dict[str, Any]:
        """Return a page of the requests, newest first."""
        found = self.traffic.requests(before, limit, words, kind)
        rows = [{**row, "path": self._secrets.hide_proof(row["path"], [])[0]} for row in found.rows]
        return {"requests": self.hide(rows), "more": found.more, "total": found.total}

    def request(self, number: int) -> dict[str, Any]:
        """Return a request as it arrived, and what became of it."""
        old = self._opened(number)
        cut = old.body_bytes > len(old.body)
        path, headers = self._secrets.hide_proof(old.row["path"], old.headers)
        opened = {
            "id": number,
            **old.row,
            "path": path,
            "headers": headers,
            "body": as_content(self._secrets.hide_bytes(old.body), cut),
            "bodyBytes": old.body_bytes,
            "bodyCut": cut,
            "answer": {
                "status": old.row["status"],
                "headers": old.answer_headers,
                "body": old.answer.decode("utf-8", "replace"),
            },
            "incidents": self._incidents_of(old),
        }
        return dict(self._secrets.hide(opened))

    def _opened(self, number: int) -> Recorded:
        found = self.traffic.request(min(number, MAX_NUMBER))
        if found is None:
            raise Refusal(404, f"There is no request {number} any more; load the list again.")
        return found

    def _incidents_of(self, old: Recorded) -> list[dict[str, Any]]:
        shown = [
            (int(number), is_to)
            for number, is_to in old.incidents[:MAX_OPENED]
            if is_number(number)
        ]
        stored = {
            int(incident["id"]): incident
            for incident in self._sandbox.store.find(number for number, _ in shown)
        }
        made = self._made(old)
        same_order = len(made) == len(old.incidents)
        return [
            {
                **self._shown(stored[number], made[place] if same_order else {}),
                "isTo": is_to,
            }
            for place, (number, is_to) in enumerate(shown)
            if number in stored
        ]

    def _made(self, old: Recorded) -> list[dict[str, Any]]:
        """Return what the integration makes of a request with the parameters in force then.

        The list is empty if that cannot be determined.
        """
        if old.body_bytes > len(old.body) or not old.incidents:
            return []
        with contextlib.suppress(PreviewError):
            [found] = self._preview.incidents(old.settings, [old])
            return list(found["incidents"])
        return []

    def _shown(self, incident: Incident, made: Mapping[str, Any]) -> dict[str, Any]:
        """Return an incident with the sources of the fields that are stored as they were made."""
        stored = {name: value for name, value in incident.items() if name != "rawJSON"}
        raw = None
        with contextlib.suppress(ValueError):
            raw = json.loads(incident.get("rawJSON") or "null")
        sources = {
            name: self._source(where)
            for name, where in (made.get("sources") or {}).items()
            if name not in stored or stored[name] == made.get(name)
        }
        shown = {
            name: incident.get(name)
            for name in ("id", "name", "type", "severity", "occurred", "details", "created")
        }
        return {
            **shown,
            "isTo": "",
            "ended": is_ended(incident),
            "fields": stored,
            "raw": raw,
            "recognizedAs": made.get("recognizedAs"),
            "sources": sources,
        }

    def _source(self, where: Mapping[str, str]) -> dict[str, str]:
        parameter: Parameter | None = self._sandbox.descriptor.parameters.get(where["parameter"])
        name = where["parameter"]
        return {**where, "display": label(parameter) if parameter else GIVEN_BY.get(name, name)}

    def incidents(self, before: int, limit: int, words: str) -> dict[str, Any]:
        """Return a page of the incidents, newest first."""
        rows, more, total = self.traffic.incidents(before, limit, words)
        names = ("id", "created", "name", "type", "severity", "status")
        shown = [
            {**{name: row.get(name) for name in names}, "ended": is_ended(row)} for row in rows
        ]
        return {"incidents": self._secrets.hide(shown), "more": more, "total": total}

    def incident(self, number: int) -> dict[str, Any]:
        """Return an incident, and where its fields come from."""
        found = self._sandbox.store.find([min(number, MAX_NUMBER)])
        if not found:
            raise Refusal(404, f"There is no incident {number} any more; load the list again.")
        origin = self.traffic.origin(number)
        old = self.traffic.request(origin) if origin else None
        if old:
            for incident in self._incidents_of(old):
                if incident["id"] == str(number):
                    return dict(self._secrets.hide({**incident, "requestId": origin}))
        return dict(self._secrets.hide({**self._shown(found[0], {}), "requestId": None}))

    # ---- mapping

    def samples(self) -> dict[str, Any]:
        """Fetch samples as the mapping wizard does, newest first."""
        fetched = self._run("fetch-incidents")
        samples = [
            {
                "name": str(sample.get("name") or ""),
                "raw": json.loads(sample.get("rawJSON") or "{}"),
            }
            for sample in fetched
        ]
        hint = ""
        if not samples and not self._sandbox.params.get("store_samples"):
            parameter = self._sandbox.descriptor.parameters.get("store_samples")
            name = label(parameter) if parameter else "Store sample events for mapping"
            hint = f"The instance keeps no samples: tick {name}, save, and send something."
        elif not samples:
            hint = "There are no samples yet: send something, and fetch them a few seconds later."
        return {"samples": self._secrets.hide(samples[::-1]), "hint": hint}

    def preview(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the last accepted requests would have become with other parameters."""
        sandbox = self._sandbox
        params = merged(sandbox.descriptor, sandbox.params, given.get("params") or {})
        found = self.traffic.requests(MAX_NUMBER, PREVIEWED, "", "2xx")
        numbers = [row["id"] for row in found.rows]
        kept = [(number, old) for number in numbers if (old := self.traffic.request(number))]
        try:
            made = self._preview.incidents(params, [old for _, old in kept])
        except PreviewError as error:
            raise Refusal(502, str(error)) from error
        return {
            "requests": [
                self._previewed(number, old, found) for (number, old), found in zip(kept, made)
            ]
        }

    def _previewed(self, number: int, old: Recorded, found: Mapping[str, Any]) -> dict[str, Any]:
        error = found["error"]
        incidents: list[Any] = found["incidents"][:MAX_OPENED]
        if old.is_handshake:
            asked = old.row.get("handshake") or "A handshake or a probe"
            incidents, error = [], f"{asked}, which does not become an incident."
        elif old.body_bytes > len(old.body):
            incidents, error = [], "The body is longer than what is kept of it."
        shown = [
            {
                **made,
                "sources": {key: self._source(at) for key, at in made["sources"].items()},
            }
            for made in incidents
        ]
        shown_request = {"id": number, "time": old.row["time"], "incidents": shown, "error": error}
        return dict(self._secrets.hide({**shown_request, "ignored": counted(found["ignored"])}))

    def sample(self, number: int) -> dict[str, Any]:
        """Return a request as the paths of parameters see it."""
        old = self._opened(number)
        try:
            found = self._preview.sample({**self._sandbox.params, "events_path": ""}, old)
        except PreviewError as error:
            raise Refusal(502, str(error)) from error
        return dict(self._secrets.hide(found))

    # ---- health

    def health(self) -> dict[str, Any]:
        """Return the instance's health, with its figures of the last two minutes."""
        context = self._sandbox.context()
        alerts = open_alerts(context)
        numbers = [int(alert["incident"]) for alert in alerts if is_number(alert["incident"])]
        names = {one["id"]: one.get("name") for one in self._sandbox.store.find(numbers)}
        found = {
            "alerts": [{**alert, "name": names.get(alert["incident"], "")} for alert in alerts],
            "ignored": ignored_events(context),
            "refusals": status_of(context).get("refusals") or [],
        }
        return {**self._monitor.everything(), **self._secrets.hide(found)}

    def faults(self) -> dict[str, Any]:
        """Return the faults that are set."""
        faults = self._sandbox.faults
        return {
            "latencyMs": {CALL: round(faults.latency.get(CALL, 0.0) * 1000)},
            "fail": {CALL: faults.fail.get(CALL, 0)},
            "outage": faults.outage,
        }

    def set_faults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Set faults, or clear all of them."""
        latency = amount(given, "latencyMs", MAX_LATENCY_MS)
        refusals = amount(given, "refuseNext", MAX_REFUSALS)
        seconds = amount(given, "stopSeconds", MAX_STOP_SECONDS)
        faults = self._sandbox.faults
        if given.get("clear") is True:
            self._end_stop()
            faults.latency.pop(CALL, None)
            faults.fail.pop(CALL, None)
            faults.outage = False
        if latency is not None:
            faults.latency[CALL] = latency / 1000
        if refusals is not None:
            faults.fail[CALL] = int(refusals)
        if seconds:
            self._end_stop()
            faults.stopped.set()
            self._timer = threading.Timer(seconds, self._end_stop)
            self._timer.daemon = True
            self._timer.start()
        self._monitor.report_state()
        return self.faults()

    def _end_stop(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._sandbox.faults.stopped.clear()
        self._monitor.report_state()

    def reset(self) -> dict[str, Any]:
        """Forget requests, incidents and the integration context."""
        self._sandbox.reset()
        return {"ok": True}

    def events(self) -> Iterator[bytes]:
        """Yield server-sent events as they happen, and a comment now and then."""
        with self._listeners.listening() as listener:
            yield b": connected\n\n"
            while True:
                try:
                    event = listener.get(timeout=COMMENT_SECONDS)
                except queue.Empty:
                    yield b": still here\n\n"
                    continue
                if event is None:
                    return
                data = json.dumps(self.hide(event.value))
                yield f"event: {event.name}\ndata: {data}\n\n".encode()


def file_of_requests(store: Path, instance: str) -> Path:
    """Return the file of an instance's requests.

    The first instance takes over the file of an older sandbox, which had one for all instances.
    """
    path, old = (
        beside(store, instance, "page.sqlite3"),
        store.with_name(f"{store.stem}-page.sqlite3"),
    )
    if not path.exists():
        for ending in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{old}{ending}").rename(f"{path}{ending}")
    return path


# ---- API calls


def as_recorded(example: Mapping[str, Any]) -> Recorded:
    """Return an example as a request that has arrived."""
    row = {"method": example["method"], "path": example["path"], "sender": "", "time": now()}
    body = str(example["body"]).encode()
    return Recorded({**row, "status": 0}, example["headers"], body, len(body), [], b"")


def is_ended(incident: Incident) -> bool:
    """Return whether an incident's alert has ended, as its name and its War Room say."""
    ended = False
    if str(incident.get("name") or "").startswith(LONE_END):  # or somebody's own name begins so
        with contextlib.suppress(ValueError, AttributeError):
            raw = json.loads(incident.get("rawJSON") or "{}")
            ended = raw.get("request_webhook", raw.get("webhook")).get("status") == "closed"
    for entry in incident.get("entries", ()):
        if entry["text"].startswith((HAS_ENDED, ACTIVE_AGAIN)):
            ended = entry["text"].startswith(HAS_ENDED)
    return ended


def open_alerts(context: Any) -> list[dict[str, str]]:
    """Return the newest alerts that have not ended, as the integration context has them."""
    rows: Any = []
    with contextlib.suppress(ValueError, TypeError):
        rows = json.loads(context.get("open_alerts") or "[]")
    found = [
        {"identity": row[0], "start": row[1], "incident": row[3]}
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, list) and len(row) > 6 and row[6] == OPEN_STATE
    ]
    return found[: -MAX_ALERTS - 1 : -1]


def status_of(context: Any) -> dict[str, Any]:
    """Return what generic-webhook-status reads of the integration context."""
    status: Any = {}
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        status = json.loads(context.get("status") or "{}")
    return status if isinstance(status, dict) else {}


def ignored_events(context: Any) -> list[dict[str, Any]]:
    """Return how many events each rule of *Ignore events where* has taken since the start."""
    counts = status_of(context).get("ignored") or {}
    return [{"rule": rule, "count": count} for rule, count in counts.items() if count]


def amount(given: Mapping[str, Any], name: str, most: float) -> float | None:
    """Return a number of a call, None if it is not given; raises Refusal."""
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise Refusal(400, f"{name} must be a number from 0 to {most:g}.")
    return float(value)


def number_of(text: str | None, name: str, default: int, most: int) -> int:
    """Return a number of the query string; raises Refusal."""
    if text is None or text == "":
        return default
    if not re.fullmatch("[0-9]{1,18}", text):
        raise Refusal(400, f"{name} must be a whole number.")
    return min(int(text), most)


def call_body() -> Any:
    """Return the body of a call; raises Refusal."""
    size = bottle.request.content_length
    if size < 0 and bottle.request.chunked:
        raise Refusal(411, "Send the call with a Content-Length.")
    if size > MAX_CALL_BYTES:
        raise Refusal(413, f"This is more than {MAX_CALL_BYTES} bytes.")
    try:
        return json.loads(bottle.request.environ["wsgi.input"].read(max(size, 0)) or b"{}")
    except (ValueError, RecursionError):
        raise Refusal(400, "The call's body is not JSON.") from None


def call_object() -> Mapping[str, Any]:
    """Return the object that a call sends; raises Refusal."""
    given = call_body()
    if not isinstance(given, dict):
        raise Refusal(400, "The call's body must be a JSON object.")
    return given


def listed() -> tuple[int, int, str, str]:
    """Return the requested part of a list: before, limit, words and kind."""
    query = bottle.request.query
    kind = query.get("status") or "all"
    if kind not in (*KINDS, "all"):
        raise Refusal(400, f"status must be one of all, {', '.join(KINDS)}.")
    before = number_of(query.get("before"), "before", MAX_NUMBER, MAX_NUMBER)
    limit = number_of(query.get("limit"), "limit", 50, MAX_LIMIT)
    return (
        before,
        max(limit, 1),
        query.getunicode("q", "").strip()[:200],
        "" if kind == "all" else kind,
    )


def as_json(call: Callable[..., Any], hide: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a call that answers in JSON without secrets, refusals too."""

    def answer(**values: Any) -> Any:
        bottle.response.content_type = "application/json"
        try:
            return json.dumps(call(**values))
        except (Refusal, DescriptorError, AttemptError, ContainerError) as error:
            status = (
                error.status
                if isinstance(error, Refusal)
                else 502
                if isinstance(error, ContainerError)
                else 400
            )
            bottle.response.status = status
            return json.dumps({"error": hide(str(error))})

    return answer


def file_answer(name: str) -> Any:
    """Return a file of the page, of a kind that a browser knows."""
    kind = TYPES.get(Path(name).suffix)
    if kind is None:
        raise bottle.HTTPError(404)
    answer = bottle.static_file(name, root=str(FOLDER), mimetype=kind)
    answer.headers.pop("Last-Modified", None)  # nothing is cached, so nothing is revalidated
    return answer


def events_answer(page: Page) -> Iterator[bytes]:
    """Return the stream of events."""
    bottle.response.content_type = "text/event-stream"
    return page.events()


def routes(page: Page) -> Application:
    """Return the application: each call with its method."""
    app = Application()
    app.route("/", "GET", lambda: file_answer("index.html"))
    app.route("/page/<name:path>", "GET", file_answer)
    app.route("/api/events", "GET", lambda: events_answer(page))
    calls: list[tuple[str, str, Callable[..., Any]]] = [
        ("GET", "/api/instance", page.instance),
        ("POST", "/api/instance", lambda: page.save(call_object())),
        ("POST", "/api/instance/reset", page.set_defaults),
        ("GET", "/api/instance/export", page.export),
        ("POST", "/api/instance/import", lambda: page.import_(call_object())),
        ("POST", "/api/instance/test", lambda: page.test(call_object())),
        ("GET", "/api/examples", page.examples),
        ("GET", "/api/examples/categories", page.categories),
        ("GET", "/api/senders", page.senders),
        ("POST", "/api/send", lambda: page.send(page.attempt(call_body()))),
        ("POST", "/api/curl", lambda: page.curl(call_body())),
        ("GET", "/api/requests", lambda: page.requests(*listed())),
        ("GET", "/api/requests/<number:int>", page.request),
        ("POST", "/api/requests/<number:int>/send", page.again),
        ("POST", "/api/requests/<number:int>/end", page.end),
        ("GET", "/api/requests/<number:int>/sample", page.sample),
        ("GET", "/api/incidents", lambda: page.incidents(*listed()[:3])),
        ("GET", "/api/incidents/<number:int>", page.incident),
        ("POST", "/api/samples", page.samples),
        ("POST", "/api/preview", lambda: page.preview(call_object())),
        ("GET", "/api/health", page.health),
        ("POST", "/api/faults", lambda: page.set_faults(call_object())),
        ("POST", "/api/reset", page.reset),
    ]
    for method, path, call in calls:
        app.route(path, method, as_json(call, page.hide))
    return app
