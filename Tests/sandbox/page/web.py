"""The sandbox's page: its parts, what they share, its API and its server-sent events.

It listens on its own port, to which the reroute forwards everything that is not for an instance.
"""

import contextlib
import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import bottle

from ..descriptor import CREDENTIALS
from ..reroute import PREFIX, Exchange, Reroute
from ..store import beside
from .calls import as_json, call_body, call_object, listed
from .health import Health, faults_of
from .instance import InstanceForm
from .mapping import MappingPreview
from .masking import SECRET_TYPES, Secrets
from .monitor import Monitor
from .opened import Opened
from .preview import Preview
from .recorder import OBSERVED_BYTES, Listeners, Recorder
from .sending import Sending
from .serving import Application, Guard, Handler, ThreadedServer, file_answer
from .traffic import Traffic

if TYPE_CHECKING:
    from .. import Sandbox

COMMENT_SECONDS = 10.0
START_SECONDS = 5.0  # for a container to listen again
CERTIFICATES = ("certificate", "client_ca")


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

        # what it shows
        self._secrets = secrets = Secrets()
        self._learn(sandbox.params)
        self._listeners = Listeners()
        self.traffic = Traffic(kept, sandbox.store)
        self._preview = Preview(
            sandbox.descriptor.script(), sandbox.interpreter, sandbox.environment, folder
        )
        self._recorder = Recorder(
            self.traffic, sandbox.store, secrets, self._listeners, self._preview
        )
        self._monitor = Monitor(self._listeners, secrets, self._in_flight, self._state)

        # what its views call
        path = PREFIX + quote(sandbox.instance)
        self.instance = InstanceForm(sandbox, secrets, self._learn, self._restart)
        self.opened = Opened(sandbox, secrets, self.traffic, self._preview)
        self.sending = Sending(sandbox, path, secrets, self._preview, self._recorder, self.opened)
        self.mapping = MappingPreview(sandbox, secrets, self.traffic, self._preview, self.opened)
        self.health = Health(sandbox, secrets, self._monitor)

        # what serves it
        self._front: Reroute | None = None
        self._server: ThreadedServer | None = None

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
        self.health.stop()
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
            faults_of(sandbox.faults),
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

    def _restart(self, params: dict[str, Any]) -> None:
        self._learn(params)
        self._monitor.report_state()
        self._sandbox.restart(params)
        self._keep_settings()
        self._sandbox.await_listening(START_SECONDS)
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
        ("GET", "/api/instance", page.instance.instance),
        ("POST", "/api/instance", lambda: page.instance.save(call_object())),
        ("POST", "/api/instance/reset", page.instance.set_defaults),
        ("GET", "/api/instance/export", page.instance.export),
        ("POST", "/api/instance/import", lambda: page.instance.import_(call_object())),
        ("POST", "/api/instance/test", lambda: page.instance.test(call_object())),
        ("GET", "/api/examples", page.sending.examples),
        ("GET", "/api/examples/categories", page.sending.categories),
        ("GET", "/api/senders", page.sending.senders),
        ("POST", "/api/send", lambda: page.sending.send(page.sending.attempt(call_body()))),
        ("POST", "/api/curl", lambda: page.sending.curl(call_body())),
        ("GET", "/api/requests", lambda: page.opened.requests(*listed())),
        ("GET", "/api/requests/<number:int>", page.opened.request),
        ("POST", "/api/requests/<number:int>/send", page.sending.again),
        ("POST", "/api/requests/<number:int>/end", page.sending.end),
        ("GET", "/api/requests/<number:int>/sample", page.mapping.sample),
        ("GET", "/api/incidents", lambda: page.opened.incidents(*listed()[:3])),
        ("GET", "/api/incidents/<number:int>", page.opened.incident),
        ("POST", "/api/samples", page.mapping.samples),
        ("POST", "/api/preview", lambda: page.mapping.preview(call_object())),
        ("GET", "/api/health", page.health.health),
        ("POST", "/api/faults", lambda: page.health.set_faults(call_object())),
        ("POST", "/api/reset", page.reset),
    ]
    for method, path, call in calls:
        app.route(path, method, as_json(call, page.hide))
    return app
