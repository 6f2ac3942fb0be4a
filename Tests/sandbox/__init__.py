"""A local XSOAR: runs the integration over the platform's protocol, keeps incidents, reroutes HTTP.

`python -m Tests.sandbox` is its command line; tests and benchmarks use it like this:

    with Sandbox(params={"store_samples": True}) as sandbox:
        requests.post(sandbox.url, json={"name": "hello"})
        assert sandbox.incidents()[0]["name"] == "hello"
"""

import errno
import json
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .container import CommandError, Container, ContainerError, environment
from .descriptor import Descriptor, DescriptorError, load
from .injection import InjectionError
from .mirroring import Mirroring
from .page.web import Page
from .ports import accepts, container_port, free_port
from .reroute import Reroute
from .saved import SavedParams
from .screen import Screen
from .server import Faults, Server, Session
from .store import MEMORY, Store, open_store

__all__ = [
    "CommandError",
    "ContainerError",
    "DescriptorError",
    "Faults",
    "InjectionError",
    "Sandbox",
    "accepts",
    "free_port",
]

LONG_RUNNING = "long-running-execution"
STOP_SECONDS = 10.0  # as on the platform: SIGKILL follows SIGTERM after this
ERROR_ENTRY = 4
# Python 3.11's ast.parse fails now and then if two threads use it at once ("AST constructor
# recursion depth mismatch"), and tests start sandboxes in parallel.
PARSING = threading.Lock()


class Sandbox:
    """One instance of the integration in a local XSOAR.

    params: as on the command line, text as typed in the form; longRunningPort is a free port unless
        given.
    store: None or ":memory:", or a SQLite file.
    saved: parameters of earlier runs, over which `params` take precedence; what the page saves is
        added to them.
    context: the integration context to start with, which may be a damaged one.
    wait: seconds until the container's port must accept (ContainerError after that), 0 not to wait.
    heartbeat_interval: seconds, 0 for none.
    lock_timeout: seconds after which a thread that waits for the connection to the server ends.
    constants: values that replace the integration's own, such as {"MAX_ITEMS": 5}.
    replacements: expressions that replace functions and methods, such as {"make_incidents": "lambda
        *_: 1 / 0"}; `original` is the function itself.
    env: added to the container's environment; None removes a name.
    start: False opens no port and starts nothing but the containers of `run`.
    page: also serve the page for a browser, see page/web.py.
    mirror_every: seconds between two rounds of incoming mirroring, 0 for those of `mirror` alone.
    """

    def __init__(
        self,
        params: Mapping[str, Any] | None = None,
        *,
        instance: str = "webhook",
        port: int = 0,
        store: str | Path | None = None,
        saved: SavedParams | None = None,
        faults: Faults | None = None,
        pack: str | Path | None = None,
        script: str | Path | None = None,
        constants: Mapping[str, Any] | None = None,
        replacements: Mapping[str, str] | None = None,
        heartbeat_interval: float = 30,
        lock_timeout: float = 60,
        python: str = sys.executable,
        env: Mapping[str, str | None] | None = None,
        native: bool = False,
        quiet: bool = True,
        wait: float = 10.0,
        context: Any = None,
        start: bool = True,
        page: bool = False,
        mirror_every: float = 0,
    ) -> None:
        self.instance = instance
        self.faults = faults or Faults()
        self.screen = Screen(quiet)
        found = load(Path(script) if script else None, Path(pack) if pack else None)
        with PARSING:
            self.descriptor: Descriptor = found.injected(constants or {}, replacements or {})

        # the instance
        given = self.descriptor.given(params or {})
        self.defaults = {**self.descriptor.params({}), "longRunningPort": str(free_port())}
        self.saved = saved
        kept = saved.read(self.descriptor) if saved else {}
        self.from_last_run = [name for name in kept if name not in given]
        self.params = {**self.defaults, **kept, **given}
        self.container_port = container_port(self.params.get("longRunningPort"))

        # the server
        self._store = open_store(
            store if store is None or str(store) == MEMORY else Path(store), instance
        )
        self._server = Server(self._store, self.faults, self.screen)
        self._mirroring = Mirroring(self._server, instance, self.run)
        self._mirror_every = mirror_every if self.descriptor.mirrors_in else 0

        # how containers are started
        self._python = python
        self._native = native
        self._wait = wait
        self._heartbeat_interval = heartbeat_interval
        self._env = environment({"SANDBOX_LOCK_SECONDS": str(lock_timeout), **(env or {})})
        self._folder = tempfile.TemporaryDirectory(prefix="sandbox-")

        # what runs
        self._start = start
        self._port = port
        self._front: Reroute | None = None
        self._container: Container | None = None
        self._restarting = False
        self._stopped = False
        # The page restarts the container in its own thread, and may be stopped meanwhile.
        self._life = threading.RLock()
        self._ended: list[Container] = []
        self._page = (
            Page(self, Path(store) if store and str(store) != MEMORY else None) if page else None
        )
        if context is not None:
            self.set_context(context)

    # ---- life

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Open the HTTP front and start the long-running container."""
        if not self._start:
            return self
        self._stopped = False
        try:
            self._front = self._open_front()
            if not self.screen.quiet:
                self._front.set_observer(
                    lambda exchange: self.screen.request(exchange, self._server.recent)
                )
            if self._page:
                self._page.start(self._front)
            self._front.start()
            self._start_container()
            if self._mirror_every:
                self._mirroring.start(self._mirror_every)
        except BaseException:
            self.stop(grace=1.0)
            raise
        return self

    def stop(self, grace: float = STOP_SECONDS) -> None:
        """Stop the container as the platform does, then the front.

        What was created can still be read from a memory store.
        """
        self.faults.stopped.clear()
        self._mirroring.stop()
        with self._life:
            self._stopped = True
            if self._container:
                self._container.stop(grace)
            if self._front:
                self._front.stop()
                self._front = None
        if self._page:
            self._page.stop()
        self._store.close()
        self._folder.cleanup()

    def restart(self, params: Mapping[str, Any] | None = None) -> None:
        """Replace the container by a new one on the same store, with other parameters if given.

        params: all of them, as `demisto.params()` is to return them. A changed port moves the
            reroute; the front stays.
        """
        with self._life:
            if self._stopped:
                raise ContainerError("The sandbox has been stopped.")
            self._restarting = True
            try:
                if self._container:
                    self._container.stop(STOP_SECONDS)
                    self._ended.append(self._container)
                if params is not None:
                    self._configure(params)
                self._start_container()
            finally:
                self._restarting = False

    def _configure(self, params: Mapping[str, Any]) -> None:
        self.params = dict(params)
        self.container_port = container_port(self.params.get("longRunningPort"))
        self._server.set_health("")
        if self._front:
            self._front.port, self._front.tls = self.container_port, self._tls

    def terminate(self) -> None:
        """Send SIGTERM to the container."""
        self._living.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the container."""
        self._living.send_signal(signal.SIGKILL)

    def wait_exit(self, timeout: float = STOP_SECONDS) -> int | None:
        """Return the container's exit code, negative for a signal; None after `timeout` seconds."""
        return self._living.wait_exit(timeout)

    def break_pipe(self) -> None:
        """Close the server's end of the container's stdin."""
        self._living.break_pipe()

    # ---- commands, each in its own container

    def run(
        self,
        command: str,
        args: Mapping[str, Any] | None = None,
        timeout: float = 60.0,
        params: Mapping[str, Any] | None = None,
    ) -> list[Any]:
        """Run a command as the Test button or the mapping wizard would.

        params: used instead of the instance's if given. Returns the incidents of fetch-incidents,
            the result entries (dicts with Type and Contents) of any other command. Raises
            CommandError with the exception's text; fetch-incidents raises it for an error entry
            too.
        """
        session = Session(command, has_context=command != "test-module")
        container = self._new_container(session)
        try:
            container.run(
                {
                    **self._command(command, args or {}, heartbeat=False),
                    "params": dict(params or self.params),
                }
            )
            until = time.monotonic() + timeout
            while (
                not session.completed.wait(0.01)
                and not session.exited.is_set()
                and time.monotonic() < until
            ):
                pass
        finally:
            container.break_pipe()  # end of file: the loop waits for no further command
            if container.wait_exit(1.0) is None:
                container.stop(1.0)
            self._ended.append(container)
        if session.exception:
            raise CommandError(session.exception)
        if not session.completed.is_set():
            raise CommandError(f"{command} did not complete.\n" + "\n".join(container.stderr))
        return fetched(session.results) if command == "fetch-incidents" else session.results

    def mirror(self) -> list[str]:
        """Run a round of incoming mirroring, and return the mirroring IDs that were asked for."""
        return self._mirroring.run_once()

    # ---- what a test or the page can look at

    @property
    def url(self) -> str:
        """The address that senders post to."""
        if self._front is None:
            raise ContainerError("The sandbox does not run, so it has no address.")
        return f"http://127.0.0.1:{self._front.server_address[1]}/instance/execute/{self.instance}"

    @property
    def container_url(self) -> str:
        """The container's own address, without the server's reroute."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.container_port}"

    @property
    def sender_url(self) -> str:
        """The address for senders: the container's own if a certificate rules out the reroute."""
        return self.container_url if self._tls else self.url

    @property
    def page_url(self) -> str:
        """The address of the page."""
        if self._front is None or self._page is None:
            raise ContainerError("The sandbox serves no page.")
        return f"http://127.0.0.1:{self._front.server_address[1]}/"

    @property
    def store(self) -> Store:
        """What XSOAR stores."""
        return self._store

    @property
    def server(self) -> Server:
        """What answers the container's calls."""
        return self._server

    @property
    def interpreter(self) -> str:
        """The Python that runs the containers."""
        return self._python

    @property
    def environment(self) -> Mapping[str, str]:
        """The containers' environment."""
        return self._env

    @property
    def exited(self) -> bool:
        """Whether the container's process has ended and no other is about to replace it."""
        return not self._restarting and self._living.session.exited.is_set()

    @property
    def alive(self) -> bool:
        """Whether there is a container and its process runs."""
        return self._container is not None and not self._container.session.exited.is_set()

    @property
    def folder(self) -> str:
        """The containers' working directory, which is removed with the sandbox."""
        return self._folder.name

    @property
    def restarting(self) -> bool:
        """Whether the container is being replaced."""
        return self._restarting

    @property
    def pid(self) -> int:
        """The container's process ID."""
        return self._living.pid

    @property
    def health(self) -> str:
        """The instance's health as last reported; empty means fine."""
        return self._server.health

    @property
    def health_history(self) -> list[tuple[float, str]]:
        """Each report of health, with its time in seconds since the epoch."""
        return self._server.health_history

    @property
    def logs(self) -> list[tuple[str, str]]:
        """Log lines as (level, text); `print` and `exception` are levels too."""
        return self._server.logs

    @property
    def calls(self) -> Counter[str]:
        """How often each call was made, by name."""
        return self._server.calls

    @property
    def batches(self) -> list[int]:
        """The number of incidents of each createIncidents call."""
        return self._server.batches

    @property
    def stderr(self) -> list[str]:
        """Lines the containers wrote to stderr."""
        return [line for container in self._containers() for line in container.stderr]

    @property
    def protocol_errors(self) -> list[str]:
        """Lines the containers wrote to stdout that are not messages of the protocol."""
        return [line for container in self._containers() for line in container.protocol_errors]

    @property
    def completed(self) -> bool:
        """Whether the long-running script has reached its end."""
        return self._living.session.completed.is_set()

    def incidents(self) -> list[dict[str, Any]]:
        """Return the stored incidents by ID."""
        return self._store.incidents()

    def context(self) -> Any:
        """Return the integration context."""
        return self._store.context()[0]

    def set_context(self, value: Any) -> None:
        """Replace the integration context by any JSON value."""
        self._store.set_context(value)

    def reset(self) -> None:
        """Forget all incidents, the integration context, and the requests that the page shows."""
        self._store.reset()
        if self._page:
            self._page.traffic.reset()

    # ---- internals

    @property
    def _living(self) -> Container:
        if self._container is None:
            raise ContainerError("The sandbox has no container.")
        return self._container

    @property
    def _tls(self) -> bool:
        return bool(self.params.get("certificate"))

    def _open_front(self) -> Reroute:
        try:
            return Reroute(self._port, self.instance, self.container_port, self._tls)
        except OSError as error:
            why = (
                "is in use"
                if error.errno == errno.EADDRINUSE
                else f"cannot be used ({error.strerror})"
            )
            raise ContainerError(
                f"Port {self._port} {why}: choose another one with --port."
            ) from error

    def _containers(self) -> list[Container]:
        return self._ended + ([self._container] if self._container else [])

    def _new_container(self, session: Session) -> Container:
        return Container(self._server, session, self._python, self._env, Path(self._folder.name))

    def _start_container(self) -> None:
        self._container = self._new_container(Session(LONG_RUNNING))
        self._container.run(self._command(LONG_RUNNING, {}, heartbeat=self._heartbeat_interval > 0))
        if self._wait and self.container_port is not None:
            self._await_port(self.container_port)

    def await_listening(self, seconds: float) -> bool:
        """Return whether the container accepts on its port within `seconds`, before it ends."""
        port, session = self.container_port, self._living.session
        until = time.monotonic() + seconds
        while (
            time.monotonic() < until
            and port
            and not session.exited.is_set()
            and not session.completed.is_set()
        ):
            if accepts(port):
                return True
            time.sleep(0.02)
        return False

    def _await_port(self, port: int) -> None:
        """Wait until the container accepts on its port; else raise ContainerError with logs."""
        if self.await_listening(self._wait):
            return
        self._living.wait_exit(0.0)
        known = [
            *(f"{level}: {text}" for level, text in self.logs),
            f"health: {self.health}",
            *self.stderr,
        ]
        raise ContainerError(f"The container does not listen on port {port}.\n" + "\n".join(known))

    def _command(self, command: str, args: Mapping[str, Any], heartbeat: bool) -> dict[str, Any]:
        return {
            "script": self.descriptor.script(),
            "integration": True,
            "native": self._native,
            "command": command,
            "params": self.params,
            "args": dict(args),
            "context": {
                "IsDebug": False,
                "IntegrationInstance": self.instance,
                "IntegrationBrand": "Generic Webhook",
            },
            "is_running_heartbeat": heartbeat,
            "heartbeat_interval": self._heartbeat_interval,
            "code_version": "",
            "reset_code_cache": False,
        }


def fetched(results: list[Any]) -> list[Any]:
    """Return the incidents that fetch-incidents handed over."""
    for entry in results:
        if entry.get("Type") == ERROR_ENTRY:
            raise CommandError(str(entry.get("Contents")))
    incidents = json.loads(results[-1].get("Contents") or "null") if results else []
    return incidents or []
