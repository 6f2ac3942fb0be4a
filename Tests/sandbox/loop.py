"""The platform's script loop and its `demisto` object, as they run inside the container.

Started as `python -P loop.py` by container.py. It stands in for the platform's own, so it imports
nothing of the sandbox, and it keeps the platform's costs too: `json.dump` to the text stream, one
flush and one blocking `readline` per call.

In two things it differs. Behind a line `# file: <name>` the script is compiled as that file's, in
the same namespace, so that tracebacks name the integration's own lines, and coverage can measure
them. Compiled scripts are kept in the folder that SANDBOX_CODE_FOLDER names: compiling is a third
of a start, and the tests start hundreds of containers.
"""

import builtins
import contextlib
import hashlib
import json
import marshal
import os
import re
import sys
import threading
import traceback
import uuid
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any

ERROR_MARKER = "[ERROR-fd5a7750-7182-4b38-90ba-091824478903]"
FILE_LINE = re.compile(r"^# file: (.+)\n", re.MULTILINE)
# The platform's timeout; tests of a dead heartbeat shorten it.
LOCK_SECONDS = float(os.environ.get("SANDBOX_LOCK_SECONDS") or 60)


class Demisto:
    """The `demisto` object of one command.

    What is local is answered at once, everything else is a line to the server.
    """

    def __init__(self, command: dict[str, Any]) -> None:
        self._command = command
        self._lock: Any = None
        context = command.get("context") or {}
        self.callingContext: dict[str, Any] = {
            "context": context,
            "command": command.get("command", ""),
            "params": command.get("params") or {},
            "args": command.get("args") or {},
            "integration": bool(command.get("integration")),
            "IntegrationInstance": context.get("IntegrationInstance", ""),
        }
        self.is_debug = bool(context.get("IsDebug"))

    # ---- the wire

    def enable_multithreading(self) -> None:
        """Let several threads call the server, one at a time; a second call changes nothing."""
        if self._lock is None:
            self._lock = threading.Lock()

    def _call(self, message: dict[str, Any], answered: bool = True) -> Any:
        """Send a line and, where the server answers this kind, block until it did."""
        lock = self._lock
        if lock is None:
            return self._exchange(message, answered)
        if not lock.acquire(timeout=LOCK_SECONDS):
            raise RuntimeError(
                f"another thread kept the line to the server for more than {LOCK_SECONDS:g} seconds"
            )
        try:
            return self._exchange(message, answered)
        finally:
            lock.release()

    @staticmethod
    def _exchange(message: dict[str, Any], answered: bool) -> Any:
        json.dump(message, sys.stdout)
        sys.stdout.write("\n")
        sys.stdout.flush()
        if not answered:
            return None
        line = sys.stdin.readline()
        place = line.find(ERROR_MARKER)
        if place >= 0:
            raise ValueError(line[place + len(ERROR_MARKER) :].strip())
        return json.loads(line)

    def _execute(self, command: str, args: dict[str, Any], answered: bool = True) -> Any:
        return self._call({"type": "executeCommand", "command": command, "args": args}, answered)

    # ---- local, no traffic

    def params(self) -> Any:
        """Return the instance's parameters."""
        return self.callingContext["params"]

    def args(self) -> Any:
        """Return the command's arguments."""
        return self.callingContext["args"]

    def command(self) -> str:
        """Return the command's name."""
        return str(self.callingContext["command"])

    def integrationInstance(self) -> str:
        """Return the instance's name."""
        return str(self.callingContext["IntegrationInstance"])

    @staticmethod
    def uniqueFile() -> str:
        """Return a name no other file has."""
        return str(uuid.uuid4())

    @staticmethod
    def get(obj: Any, field: str, defaultParam: Any = None) -> Any:
        """Follow a dotted path into nested objects."""
        for part in field.split("."):
            if not isinstance(obj, dict) or part not in obj:
                return defaultParam
            obj = obj[part]
        return obj

    # ---- a round trip each

    def createIncidents(
        self, incidents: list[dict[str, Any]], lastRun: Any = None, userID: Any = None
    ) -> Any:
        """Create incidents and return what the server made of them."""
        return self._execute(
            "createIncidents", {"incidents": incidents, "lastRun": lastRun, "userID": userID}
        )

    def addEntry(
        self,
        id: str,
        entry: str,
        username: str | None = None,
        email: str | None = None,
        footer: str | None = None,
    ) -> Any:
        """Add an entry to an incident's War Room."""
        args = {"id": id, "entry": entry, "username": username, "email": email, "footer": footer}
        return self._execute("addEntry", args)

    def getIntegrationContext(self) -> Any:
        """Return the instance's integration context."""
        return self.getIntegrationContextVersioned()["context"]

    def getIntegrationContextVersioned(self, refresh: bool = False) -> Any:
        """Return the integration context and its version."""
        return self._execute("getIntegrationContext", {"refresh": refresh})

    def setIntegrationContext(self, value: dict[str, str]) -> Any:
        """Replace the integration context, whatever its version."""
        return self.setIntegrationContextVersioned(value, -1)

    def setIntegrationContextVersioned(
        self, value: dict[str, str], version: Any, sync: bool = False
    ) -> Any:
        """Replace the integration context if it still has the version; ValueError if not."""
        return self._execute(
            "setIntegrationContext", {"value": value, "version": version, "sync": sync}
        )

    def updateModuleHealth(self, data: Any, is_error: bool = False) -> Any:
        """Show a status in the instance's settings; an empty string clears it."""
        return self._execute("updateModuleHealth", {"err": data})

    def info(self, *args: Any) -> Any:
        """Write a line to the server's log."""
        return self._call({"type": "log", "command": "info", "args": {"args": args}})

    def debug(self, *args: Any) -> Any:
        """Write a line to the server's log, shown at debug level."""
        return self._call({"type": "log", "command": "debug", "args": {"args": args}})

    def error(self, *args: Any, **_: Any) -> Any:
        """Write a line to the server's log as an error."""
        return self._call({"type": "log", "command": "error", "args": {"args": args}})

    def demistoVersion(self) -> Any:
        """Return the server's version and build number."""
        return self._call({"type": "demistoVersion"})

    def demistoUrls(self) -> Any:
        """Return the server's addresses."""
        return self._call({"type": "demistoUrls"})

    # ---- no answer

    def results(self, results: Any) -> None:
        """Hand over result entries; what is no entry yet becomes one."""
        entries = results if isinstance(results, list) else [results]
        self._call(
            {"type": "result", "results": [as_entry(entry) for entry in entries]}, answered=False
        )

    def incidents(self, incidents: list[dict[str, Any]]) -> None:
        """Hand over the incidents of fetch-incidents."""
        self.results({"Type": 1, "Contents": json.dumps(incidents), "ContentsFormat": "json"})

    def log(self, msg: Any) -> None:
        """Write a line to the war room's log."""
        self._call({"type": "entryLog", "args": {"message": str(msg)}}, answered=False)

    def heartbeat(self, msg: Any = "") -> None:
        """Tell the server that the container lives."""
        self._execute("heartbeat", {"message": msg}, answered=False)


def as_entry(result: Any) -> dict[str, Any]:
    """Return a result as the entry the server takes."""
    if isinstance(result, dict):
        return result
    if isinstance(result, str):
        return {"Type": 1, "Contents": result, "ContentsFormat": "text"}
    return {"Type": 1, "Contents": json.dumps(result), "ContentsFormat": "json"}


def beat(demisto: Demisto, interval: float, stopped: threading.Event) -> None:
    """Send heartbeats until the script has ended.

    A line that is busy for too long ends this thread with a RuntimeError, as on the platform.
    """
    while not stopped.is_set():
        sleep(interval)
        if not stopped.is_set():
            demisto.heartbeat("sandbox")


def units(script: str) -> Iterator[tuple[str, str]]:
    """Yield file name and text of each part of a script."""
    text, *files = FILE_LINE.split(script)
    yield "<string>", text
    yield from zip(files[::2], files[1::2])


def compiled(text: str, name: str) -> Any:
    """Return the code of a part of a script, from the folder of compiled ones if there is one."""
    folder = os.environ.get("SANDBOX_CODE_FOLDER")
    if not folder:
        return compile(text, name, "exec")
    file = Path(folder, hashlib.sha256("\0".join((sys.version, name, text)).encode()).hexdigest())
    try:
        return marshal.loads(file.read_bytes())
    except OSError:  # it is not there yet
        code = compile(text, name, "exec")
    with contextlib.suppress(OSError):  # no room for it
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = file.with_suffix(f".{os.getpid()}")
        whole.write_bytes(marshal.dumps(code))
        whole.replace(file)
    return code


def run_script(command: dict[str, Any]) -> None:
    """Run one command's script in its own namespace; report its exception, if any, then its end."""
    demisto = Demisto(command)
    stopped = threading.Event()
    interval = float(command.get("heartbeat_interval") or 30)
    if command.get("is_running_heartbeat"):
        demisto.enable_multithreading()
        threading.Thread(
            target=beat, args=(demisto, interval, stopped), daemon=True, name="heartbeat"
        ).start()

    def print_to_log(*args: Any, **_: Any) -> None:
        demisto.log(" ".join(map(str, args)))

    # No __name__ of its own: it is found in the builtins, hence the entry guard's 'builtins'.
    namespace = {"__builtins__": builtins, "demisto": demisto, "print": print_to_log}
    try:
        for name, text in units(command["script"]):
            exec(compiled(text, name), namespace)
    except SystemExit:
        pass
    except BaseException:  # whatever a script raises is reported, not suffered
        demisto._call(
            {"type": "exception", "args": {"exception": traceback.format_exc().splitlines()}},
            answered=False,
        )
    finally:
        stopped.set()
    demisto._call({"type": "completed"}, answered=False)


def main() -> None:
    """Answer pings and run commands until the server closes the line.

    A native command is the only one of its process.
    """
    while line := sys.stdin.readline():
        if line.strip() == "ping":
            Demisto._exchange({"type": "pong"}, answered=False)
            continue
        command = json.loads(line)
        run_script(command)
        if command.get("native"):
            return


if __name__ == "__main__":
    main()
