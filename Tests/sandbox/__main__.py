"""The sandbox's command line.

Run `python -m Tests.sandbox` in the repository's root; `--help` lists the commands.
"""

import argparse
import json
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import CommandError, ContainerError, DescriptorError, Faults, Sandbox, accepts
from .descriptor import ROOT, load
from .page.attempt import Attempt, secret_assignment
from .page.attempt import curl_line as page_line
from .page.form import label
from .saved import SavedParams
from .screen import Screen, plain
from .store import MEMORY

CALLS = (
    "createIncidents",
    "addEntry",
    "getIntegrationContext",
    "setIntegrationContext",
    "updateModuleHealth",
    "info",
    "debug",
    "error",
    "demistoVersion",
    "demistoUrls",
)
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}  # in seconds
STORE = ROOT / ".sandbox" / "xsoar.sqlite3"
EXAMPLE = {"name": "incident created via generic webhook", "raw_json": {"some_field": "some_value"}}
READY_SECONDS = 10.0
ERROR_ENTRY = 4
INTEGRATION_COMMANDS = {"reset": "generic-webhook-reset", "status": "generic-webhook-status"}


def main() -> int:
    """Run the command line; return 1 if the integration failed, 2 if the command line is wrong."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal without UTF-8 must not end the process.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    options = parse_options(sys.argv[1:])
    try:
        sandbox = build(options)
        report_saved(sandbox, options.command)
        if options.command in INTEGRATION_COMMANDS:
            return command(
                sandbox,
                INTEGRATION_COMMANDS[options.command],
                {"what": options.what} if options.what else {},
            )
        if options.command == "incidents":
            return incidents(sandbox, options.last, options.pretty)
        return {"serve": serve, "test": test, "samples": samples}[options.command](sandbox)
    except (ContainerError, DescriptorError) as error:
        Screen(out=sys.stderr).show(str(error), "red")
        return 2


# ---- options


def parse_options(words: list[str]) -> argparse.Namespace:
    """Return the parsed command line; end the process with a sentence if it is wrong."""
    parser = argparse.ArgumentParser(
        "python -m Tests.sandbox",
        description="A local XSOAR for the Generic Webhook integration.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=parameters() if {"-h", "--help"} & set(words) else "",
    )
    add = parser.add_argument
    add(
        "command",
        nargs="?",
        choices=("serve", "test", "samples", "incidents", *INTEGRATION_COMMANDS),
        default="serve",
        help="serve (default): run the instance, and a page that shows it; test: the Test button; "
        "samples: what the mapping wizard fetches; incidents: all that are stored; reset, status: "
        "the integration's commands, which also work while an instance runs on the same store",
    )
    add("--last", type=count, metavar="5", help="print only this many of the newest incidents")
    add(
        "--pretty",
        action="store_true",
        help="print incidents indented, with their raw JSON parsed",
    )
    add("--what", choices=("samples", "events", "all"), help="what reset forgets (default: all)")
    add(
        "--param",
        action="append",
        default=[],
        type=pair,
        metavar="NAME=VALUE",
        help="a parameter of the instance; NAME=@FILE reads a file; "
        "credentials=USER:PASSWORD, or a scheme and its secret: "
        "credentials=_hmac:X-Hub-Signature-256:SECRET",
    )
    add(
        "--instance",
        default="webhook",
        help="the instance's name (default: %(default)s); each has parameters, requests and "
        "incidents of its own",
    )
    add("--port", type=int, default=8080, help="where the sandbox listens (default: %(default)s)")
    add(
        "--latency",
        action="append",
        default=[],
        type=latency,
        metavar="CALL=20ms",
        help="how long XSOAR takes for a call",
    )
    add(
        "--fail",
        action="append",
        default=[],
        type=failures,
        metavar="CALL=2",
        help="how many of the next calls XSOAR refuses",
    )
    add(
        "--mirror-every",
        type=duration,
        default=60.0,
        metavar="2s",
        help="how often XSOAR asks which incidents an alert's end closes (default: 60s; 0s: never)",
    )
    add("--pack", type=Path, help="run a built pack (zip) instead of the source tree")
    add(
        "--reset",
        action="store_true",
        help="first forget the instance's incidents, integration context and saved parameters",
    )
    add(
        "--store",
        default=str(STORE),
        help=f"the SQLite file, or {MEMORY} (default: .sandbox/ in the repository)",
    )
    add(
        "--native",
        action="store_true",
        help="run the loop as on an engine without containers: it ends with the script",
    )
    return parser.parse_args(words)


def parameters() -> str:
    """Return a line for each parameter: its name, its label, and its default."""
    lines = ["parameters of --param, with their labels and defaults:"]
    for known in load().parameters.values():
        label = known.row.get("display") or ""
        default = "" if known.default in (None, "") else f" (default: {known.default})"
        lines.append(f"  {known.name:<22}{label}{default}")
    return "\n".join(lines)


def count(text: str) -> int:
    """Return a number above 0."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def pair(text: str) -> tuple[str, str]:
    """Split NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def latency(text: str) -> tuple[str, float]:
    """Return a call and its latency in seconds."""
    name, value = call(text)
    return name, duration(value)


def duration(text: str) -> float:
    """Return a duration in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration; write 500us, 20ms or 1.5s")
    return float(found[1]) * UNITS[found[2]]


def failures(text: str) -> tuple[str, int]:
    """Return a call and how often it is to fail."""
    name, value = call(text)
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise argparse.ArgumentTypeError(f"{value!r} is not a count")
    return name, int(value)


def call(text: str) -> tuple[str, str]:
    """Split CALL=VALUE, where CALL is one that the integration can make."""
    name, value = pair(text)
    if name not in CALLS:
        raise argparse.ArgumentTypeError(
            f"there is no call {name!r}; the calls are {', '.join(CALLS)}"
        )
    return name, value


def build(options: argparse.Namespace) -> Sandbox:
    """Return the sandbox that the options describe, not started."""
    if options.store == str(STORE):
        STORE.parent.mkdir(exist_ok=True)
        (STORE.parent / ".gitignore").write_text("*\n")
    saved = None
    if options.store != MEMORY:
        saved = SavedParams(Path(options.store), options.instance)
        if options.reset:
            saved.forget()
    sandbox = Sandbox(
        dict(options.param),
        instance=options.instance,
        port=options.port,
        store=options.store,
        saved=saved,
        faults=Faults(latency=dict(options.latency), fail=dict(options.fail)),
        pack=options.pack,
        native=options.native,
        quiet=options.command != "serve",
        wait=0,  # somebody watches: problems are shown as they are reported
        page=options.command == "serve",
        mirror_every=options.mirror_every,
    )
    if options.reset:
        sandbox.reset()
    return sandbox


def report_saved(sandbox: Sandbox, command: str) -> None:
    """Print which parameters come from the last run, and how to get the defaults back."""
    screen = sandbox.screen if command == "serve" else Screen(out=sys.stderr)
    if sandbox.saved and sandbox.saved.problem:
        screen.show(plain(sandbox.saved.problem), "red")
    if sandbox.from_last_run and command != "incidents":
        parameters = sandbox.descriptor.parameters
        names = ", ".join(label(parameters[name]) for name in sandbox.from_last_run)
        screen.show(
            f"From the last run: {names}. --param NAME=VALUE overrides a parameter, "
            "and Reset in the page's view Instance sets all defaults.",
            "dim",
        )


# ---- commands


def serve(sandbox: Sandbox) -> int:
    """Run the instance until ctrl-C or SIGTERM; return 1 if the container ended by itself."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with sandbox:
        ready(sandbox, stopping)
        while not stopping.wait(0.1) and not sandbox.exited:
            pass
        if not stopping.is_set():
            sandbox.screen.show(
                f"The container ended by itself (exit code {sandbox.wait_exit(1.0)}).", "red"
            )
            return 1
        sandbox.screen.show("Stopping the container ...")
    sandbox.screen.show("Stopped.")
    return 0


def ready(sandbox: Sandbox, stopping: threading.Event) -> None:
    """Print the address and a line to paste once the container listens, or after READY_SECONDS."""
    until = time.monotonic() + READY_SECONDS
    port = sandbox.container_port
    while (
        port
        and not accepts(port)
        and time.monotonic() < until
        and not sandbox.exited
        and not stopping.wait(0.05)
    ):
        pass
    if not sandbox.exited and not stopping.is_set():
        place = f"{sandbox.sender_url} (ctrl-C stops it)"
        line = curl_line(sandbox)
        missing = "WEBHOOK_SECRET" in line and "WEBHOOK_SECRET=" not in line
        first = ", with the instance's password in WEBHOOK_SECRET" if missing else ""
        sandbox.screen.show(
            f"The instance {plain(sandbox.instance)} listens at {place}. "
            f"See it at {sandbox.page_url} or try{first}:"
        )
        sandbox.screen.show(line)


def curl_line(sandbox: Sandbox) -> str:
    """Return a curl line that creates an incident, ready to paste.

    A secret that was saved on the page is not printed: the line then takes $WEBHOOK_SECRET.
    """
    parts = urlsplit(sandbox.sender_url)
    body = json.dumps(EXAMPLE, separators=(",", ":")).encode()
    headers = [("Content-Type", "application/json")]
    attempt = Attempt("POST", parts.path or "/", headers, body, True)
    credentials: Any = sandbox.params.get("credentials") or {}
    identifier, password = credentials.get("identifier") or "", credentials.get("password") or ""
    line = page_line(attempt, f"{parts.scheme}://{parts.netloc}", identifier)
    if not identifier or "credentials" in sandbox.from_last_run:
        return line
    return f"{secret_assignment(identifier, password)}; {line}"


def test(sandbox: Sandbox) -> int:
    """Press the Test button and print the answer; return 1 unless it is ok."""
    try:
        entries = sandbox.run("test-module")
    except CommandError as error:
        entries = [{"Type": ERROR_ENTRY, "Contents": str(error)}]
    finally:
        sandbox.stop()
    failed = not entries or bool(sandbox.protocol_errors)
    for entry in entries or [
        {"Contents": "The integration answered nothing.", "Type": ERROR_ENTRY}
    ]:
        bad = entry.get("Type") == ERROR_ENTRY or entry.get("Contents") != "ok"
        failed = failed or bad
        for line in str(entry.get("Contents")).splitlines():
            sandbox.screen.show(plain(line), "red" if bad else "green")
    return int(failed)


def samples(sandbox: Sandbox) -> int:
    """Fetch samples as the mapping wizard does and print them as JSON."""
    try:
        fetched = sandbox.run("fetch-incidents")
    except CommandError as error:
        for line in str(error).splitlines():
            Screen(out=sys.stderr).show(plain(line), "red")
        return 1
    finally:
        sandbox.stop()
    print(json.dumps(fetched, indent=2))
    if not fetched and str(sandbox.params.get("store_samples") or "false").lower() == "false":
        Screen(out=sys.stderr).show(
            "The instance keeps no sample events: start it with --param store_samples=true.", "dim"
        )
    return int(bool(sandbox.protocol_errors))


def command(sandbox: Sandbox, name: str, args: dict[str, str]) -> int:
    """Run a command of the integration and print its output; return 1 if it failed."""
    try:
        entries = sandbox.run(name, args)
    except CommandError as error:
        entries = [{"Type": ERROR_ENTRY, "Contents": str(error)}]
    finally:
        sandbox.stop()
    for entry in entries:
        for line in str(entry.get("HumanReadable") or entry.get("Contents")).splitlines():
            sandbox.screen.show(plain(line), "red" if entry.get("Type") == ERROR_ENTRY else "")
    return int(any(entry.get("Type") == ERROR_ENTRY for entry in entries))


def incidents(sandbox: Sandbox, last: int | None = None, pretty: bool = False) -> int:
    """Print the stored incidents as JSON, one per line, or indented with their raw JSON parsed."""
    for incident in sandbox.incidents()[-last if last else None :]:
        if pretty:
            incident = {**incident, "rawJSON": json.loads(incident.get("rawJSON") or "null")}
        print(json.dumps(incident, ensure_ascii=False, indent=2 if pretty else None))
    sandbox.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
