"""The process behind preview.py: reads the integration's script once, then requests, and tells what they would become.

All that it knows of the integration's code is in the class Integration. Lines of JSON come in on stdin: first
the script, then questions. Each question has one answer, a line on stdout.
"""

import base64
import json
import os
import re
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

MODULE = "integration"
FILE_LINE = re.compile(r"^# file: (.+)\n", re.MULTILINE)
INSTANCE = re.compile(r"/instance/execute/[^/?]*/?")
READERS = {  # attribute of Settings that holds the paths of a parameter: the parameter, and the incident's field
    "name_from": ("name_from", "name"),
    "type_from": ("type_from", "type"),
    "occurred_from": ("occurred_from", "occurred"),
    "severity_from": ("severity_from", "severity"),
}
SHOWN = ("name", "type", "severity", "occurred")


class Demisto:
    """The `demisto` object of a script that only defines: nobody is asked for anything."""

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        return lambda *args, **kwargs: {}


class Integration:
    """The integration's module, and the functions of it that make incidents."""

    def __init__(self, script: str) -> None:
        self.module = types.ModuleType(MODULE)
        sys.modules[MODULE] = self.module  # dataclasses look their module up
        self.names = self.module.__dict__
        self.names["demisto"] = Demisto()
        for name, text in units(script):
            exec(compile(text, name, "exec"), self.names)
        self._trace: list[list[tuple[Any, Any]]] = []  # of each incident: the paths of a parameter, and the one that had a value
        self._watch()

    def _watch(self) -> None:
        """Note which of a parameter's paths is used, where the integration looks them up."""
        find, make = self.names["first_usable"], self.names["make_incident"]

        def first_usable(payload: Any, shared: Any, paths: Any, read: Callable[[Any], Any]) -> Any:
            for path in paths:
                value = find(payload, shared, (path,), read)
                if value is not None:
                    self._trace[-1].append((paths, path))
                    return value
            return None

        def make_incident(*args: Any, **kwargs: Any) -> Any:
            self._trace.append([])
            return make(*args, **kwargs)

        self.names["first_usable"], self.names["make_incident"] = first_usable, make_incident

    def settings(self, params: dict[str, Any]) -> Any:
        """Return the integration's settings for an instance's parameters."""
        return self.names["Settings"].from_params(params)

    def incidents(self, request: dict[str, Any], settings: Any) -> list[dict[str, Any]]:
        """Return what a request becomes; raises the integration's HTTPError, which has a `sentence`."""
        headers = joined(request["headers"])
        path, _, query = INSTANCE.sub("/", request["target"], count=1).partition("?")
        body = base64.b64decode(request["body"])
        context = self.names["describe_request"](
            headers, query, settings.hidden, path=path if path != "/" else "", source_address=request["sender"]
        )
        kind, encoding = headers.get("content-type", ""), headers.get("content-encoding", "")
        items = self.names["read_payload"](
            body, kind, encoding, context.query, settings.keep_unreadable, self.names["TextReader"]
        )
        self._trace = []
        made = self.names["make_incidents"](items, context, settings, request["time"])
        events_path = self._events_path(items, settings)
        return [
            self._told(incident, trace, settings, items[0] if len(items) == len(made) == 1 else None, events_path)
            for incident, trace in zip(made, self._trace)
        ]

    @staticmethod
    def _events_path(items: list[Any], settings: Any) -> str:
        found = (path.text for item in items for path in settings.events_paths if path.find_array(item))
        return next(found, "")

    def _told(self, incident: Any, trace: list[tuple[Any, Any]], settings: Any, item: Any, events_path: str) -> dict[str, Any]:
        fields = {name: incident.fields.get(name) for name in SHOWN}
        sources = self._sources(incident, trace, settings)
        if events_path and '"parent":' in incident.fields.get("rawJSON", ""):
            sources["events"] = source("events_path", events_path)
        if incident.fields.get("type") and "type" not in sources and incident.fields["type"] == settings.incident_type:
            sources["type"] = source("incidentType", "")
        for name in SHOWN:
            if isinstance(item, dict) and item.get(name) and incident.fields.get(name) and name not in sources:
                sources[name] = source("", name)
        return {**fields, "duplicationKey": incident.key, "sources": sources}

    @staticmethod
    def _sources(incident: Any, trace: list[tuple[Any, Any]], settings: Any) -> dict[str, dict[str, str]]:
        sources: dict[str, dict[str, str]] = {}
        for attribute, (parameter, field) in READERS.items():
            wanted = getattr(settings, attribute)
            groups = getattr(wanted, "parts", (wanted,))  # a name may be a text with several groups of paths in it
            used = [path.text for paths, path in trace if any(paths is group for group in groups)]
            if used and incident.fields.get(field) is not None:
                sources[field] = source(parameter, ", ".join(dict.fromkeys(used)))
        for key in settings.duplication_paths:
            if incident.key and re.match(r"[,:]", incident.key.removeprefix(key.text)) and incident.key.startswith(key.text):
                sources.setdefault("duplicationKey", source("duplication_key", key.text))
        return sources


def source(parameter: str, path: str) -> dict[str, str]:
    """Return where a field comes from; without a parameter it is the payload's own."""
    return {"parameter": parameter, "path": path}


def joined(pairs: list[list[str]]) -> dict[str, str]:
    """Return headers by their names in lower case, as the integration's own reader does."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        lower = name.lower()
        headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    return headers


def units(script: str) -> Iterator[tuple[str, str]]:
    """Yield file name and text of each part of a script, as loop.py does."""
    text, *files = FILE_LINE.split(script)
    yield "<string>", text
    yield from zip(files[::2], files[1::2])


def answer(integration: Integration, question: dict[str, Any]) -> dict[str, Any]:
    """Return what each request of a question would become."""
    settings = integration.settings(question["params"])
    mistakes = " ".join(str(mistake) for mistake in settings.mistakes)
    told: list[dict[str, Any]] = []
    for request in question["requests"]:
        try:
            told.append({"incidents": integration.incidents(request, settings), "error": mistakes})
        except Exception as error:  # the integration's refusal, or a fault of its code: both are what a person wants to see
            told.append({"incidents": [], "error": str(getattr(error, "sentence", "") or f"{type(error).__name__}: {error}")})
    return {"requests": told}


def main() -> None:
    """Read the script, then answer questions until the pipe closes."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the integration prints is no answer
    script = json.loads(sys.stdin.readline())
    try:
        integration: Integration | None = Integration(script)
    except BaseException as error:  # SystemExit too: the script's way to say that something is missing
        integration, failure = None, f"The integration's code cannot be read: {type(error).__name__}: {error}"
    for line in sys.stdin:
        told = answer(integration, json.loads(line)) if integration else {"error": failure}
        out.write(json.dumps(told) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
