"""The process behind preview.py: reads the integration's script once, then requests, and reports
what they would become.

All that it knows of the integration's code is in the class Integration. Lines of JSON arrive on
stdin: first the script, then questions. Each question has one answer, a line on stdout.
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
# Attribute of Settings that holds a parameter's paths: the parameter, and the incident's field.
READERS = {
    "name_from": ("name_from", "name"),
    "type_from": ("type_from", "type"),
    "occurred_from": ("occurred_from", "occurred"),
    "severity_from": ("severity_from", "severity"),
}
SHOWN = ("name", "type", "severity", "occurred")
OWN_PATHS = ("/health", "/metrics")  # what is answered there is no handshake
RECOGNIZE = "recognize"  # the parameter with which a known sender's row gives fields
USUAL = "usual"  # instead of a parameter: a usual field name gave the value
LONE_END = "end"  # instead of a parameter: the end of an alert whose start nobody knows
EXPLAINED = 5  # incidents of a request: the page shows no more
SENDER_LINE = re.compile(r'^    (?:# ---- (.+)|Sender\("([^"]+)")', re.MULTILINE)
ROW_SHOWN = (
    *("id", "title", "when", "events", "name", "severity", "words", "occurred", "identity"),
    *("closed", "link"),
)
ROW_READS = ("name", "severity", "occurred", "identity", "closed")
OURS = ("headers", "query", "path", "source_address", "webhook")  # what an incident has in addition


class Demisto:
    """The `demisto` object of a script that only defines: no call reaches a server."""

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        return lambda *args, **kwargs: {}


class Integration:
    """The integration's module, and the functions of it that make incidents."""

    def __init__(self, script: str) -> None:
        self.module = types.ModuleType(MODULE)
        sys.modules[MODULE] = self.module  # dataclasses look their module up
        self.names = self.module.__dict__
        self.names["demisto"] = Demisto()
        self._categories = dict(categories(script))
        for name, text in units(script):
            exec(compile(text, name, "exec"), self.names)
        # of each event: the paths of a parameter, and the one of them that had a usable value
        self._reports: list[list[tuple[Any, Any]]] = []
        # by the identity of a row's paths: the incident's field for which they are read
        self._row_fields: dict[int, str] = {}
        hook = self.names["PATH_HOOK"]
        hook.next_event = lambda: self._reports.append([])
        hook.report = lambda paths, path: self._reports[-1].append((paths, path))

    def senders(self) -> list[dict[str, str]]:
        """Return the rows of the known senders, in the order of their table."""
        rows = self.names["KNOWN_SENDERS"]
        return [
            {
                "category": self._categories.get(row.id, ""),
                **{f: getattr(row, f) for f in ROW_SHOWN},
            }
            for row in rows
        ]

    def settings(self, params: dict[str, Any]) -> Any:
        """Return the integration's settings for an instance's parameters."""
        return self.names["Settings"].from_params(params)

    def _context(self, request: dict[str, Any], settings: Any) -> Any:
        """Return what the integration keeps of a request beside its body."""
        path, query = target_of(request)
        return self.names["describe_request"](
            joined(request["headers"]),
            query,
            settings.hidden,
            path=path if path != "/" else "",
            source_address=request["sender"],
            recognizer=settings.recognizer,
        )

    def ended(self, request: dict[str, Any], settings: Any) -> str:
        """Return a request's body as its sender would report the end; empty if nobody knows how."""
        payload = json.loads(base64.b64decode(request["body"]))
        context = self._context(request, settings)
        known, array = self.names["EventMaker"](context, settings, "", "")._find_elements(payload)
        if known is None or not known.row.closed:
            return ""
        rule = known.row.closed.rules[0]
        for event in array.elements if array is not None else [known.payload]:
            for condition in rule.conditions:
                put(event, condition.path.text, min([*condition.values, *condition.beginnings]))
        return json.dumps(payload)

    def handshake(self, request: dict[str, Any]) -> str:
        """Return the vendor whose handshake an answered request was, empty if it was none.

        It was answered, so that its credentials fitted, whatever they were.
        """
        path, query = target_of(request)
        body, headers = base64.b64decode(request["body"]), joined(request["headers"])
        call = self.names["HandshakeRequest"](request["method"], headers, query, body, path, print)
        credentials = types.SimpleNamespace(
            is_open=True,
            hidden_headers=(),
            hidden_fields=frozenset(call.fields),
            knows=lambda *_: True,
            signing_key=lambda *_: b"key",
        )
        rows = self.names["HANDSHAKES"].get(call.method, ()) if path not in OWN_PATHS else ()
        for row in rows:
            if row.mark in body and row.recognize(call, credentials) is not None:
                return str(row.vendor)
        return ""

    def incidents(self, request: dict[str, Any], settings: Any) -> dict[str, Any]:
        """Return what a request becomes, and the rules that ignored events of it.

        Raises what the integration does, with a `sentence`.
        """
        context = self._context(request, settings)
        items = self._items(request, context, settings)
        self._reports = []
        ignored = Ignored(self._reports)
        maker = self.names["EventMaker"](
            context, settings, request["time"], "preview", ignored=ignored
        )
        made = maker.make(items)
        lone_ends = self._describe_lone_ends(made, request["isTo"])
        values = items.values
        lone = values[0] if len(values) == len(made) == 1 else None
        events = self._events_source(values, context, settings)
        incidents = [
            self._summary(incident, reports, settings, lone, events)
            for incident, reports in zip(made, self._reports)
        ]
        for incident, summary in zip(made[:EXPLAINED], incidents):
            self._explain(incident, summary, settings)
        for index in lone_ends:
            incidents[index]["sources"]["severity"] = source(LONE_END, "")
        return {"incidents": incidents, "ignored": list(ignored)}

    def _describe_lone_ends(self, made: list[Any], is_to: list[str]) -> list[int]:
        """Describe ends as the integration does if they end nothing, and return which these are.

        is_to: what each event was to an incident when the request arrived, see traffic.py.
        """
        known = zip(made, is_to if len(is_to) == len(made) else [])
        found = [
            index
            for index, (event, was) in enumerate(known)
            if event.alert is not None and event.alert.ended and not was
        ]
        for index in found:
            self.names["describe_lone_end"](made[index].fields)
        return found

    def sample(self, request: dict[str, Any], settings: Any) -> dict[str, Any]:
        """Return a request's first item with what is kept of its request, and its events' path."""
        context = self._context(request, settings)
        values = self._items(request, context, settings).values
        payload = values[0] if isinstance(values[0], dict) else {"body": values[0]}
        around = self.names["shared_fields"](context, settings)
        events = self._events_source([payload], context, settings)
        return {
            "raw": {**payload, **self.names["rename_taken"](around, payload)},
            "events": events["path"] if events else "",
            "items": len(values),
        }

    def _items(self, request: dict[str, Any], context: Any, settings: Any) -> Any:
        headers, body = joined(request["headers"]), base64.b64decode(request["body"])
        if not body and not context.query and request["method"] == "GET":
            body = b"{}"  # its path, or that it arrived, is all it says
        kind, encoding = headers.get("content-type", ""), headers.get("content-encoding", "")
        return self.names["read_payload"](
            body, kind, encoding, context.query, settings.keep_unreadable, self.names["TextReader"]
        )

    def _explain(self, incident: Any, summary: dict[str, Any], settings: Any) -> None:
        """Add what the row of a known sender reads, or the usual field names that gave values."""
        if incident.sender is None:
            return
        raw = json.loads(incident.fields["rawJSON"])
        if incident.sender:
            row = settings.recognizer.by_id[incident.sender].row
            facts = raw.get("request_webhook", raw.get("webhook"))
            summary["row"] = {name: getattr(row, name) for name in ROW_READS}
            summary |= {name: facts.get(name, "") for name in ("identity", "status")}
        elif settings.recognize == "guess":
            payload = {name: value for name, value in raw.items() if name not in OURS}
            for field, path in self._usual_paths(payload, summary).items():
                summary["sources"].setdefault(field, source(USUAL, path))

    def _usual_paths(self, payload: dict[str, Any], made: dict[str, Any]) -> dict[str, str]:
        """Return for each field the first path by usual names that leads to the incident's value.

        The integration's own order of names decides which path is the first.
        """
        readers: dict[str, Callable[[Any], Any]] = {
            "name": self.names["text_of"],
            "severity": self.names["guessed_severity"],
            "occurred": self.names["guessed_time"],
        }
        found: dict[str, str] = {}
        for field, path, value in self._usual_fields(payload):
            if field not in found and made[field] and readers[field](value) == made[field]:
                found[field] = path
        return found

    def _usual_fields(self, payload: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
        """Yield field, path and value of what usual names lead to, the best names first."""
        objects: list[tuple[str, dict[str, Any]]] = [("", payload)]
        root = payload.get("xml")
        if isinstance(root, dict) and len(root) == 1:  # the element around all others
            [(key, element)] = root.items()
            objects = [(f"xml.{key}.", element)] if isinstance(element, dict) else objects
        names = []
        for prefix, value in objects:  # which grows meanwhile
            usual = self.names["USUAL_KEYS"].look_up(value)
            names += [(tier, f"{prefix}{key}", value[key]) for tier, key in usual.names]
            yield from (("severity", f"{prefix}{key}", value[key]) for key in usual.severities)
            yield from (("occurred", f"{prefix}{key}", value[key]) for key in usual.times)
            inner = ((f"{prefix}{key}.", value[key]) for key, _ in usual.objects)
            if prefix.count(".") < self.names["MAX_GUESS_LEVELS"]:
                objects += [(path, child) for path, child in inner if isinstance(child, dict)]
        names.sort(key=lambda one: one[0])
        yield from (("name", path, value) for _, path, value in names)

    def _events_source(
        self, values: list[Any], context: Any, settings: Any
    ) -> dict[str, str] | None:
        """Return what named the first array of events: *Events in*, a row, or a usual name."""
        maker = self.names["EventMaker"](context, settings, "", "")
        arrays = (maker._find_elements(value)[1] for value in values)
        array = next((array for array in arrays if array is not None), None)
        if array is None:
            return None
        return source("events_path" if settings.events_paths else RECOGNIZE, array.path)

    def _summary(
        self,
        incident: Any,
        reports: list[tuple[Any, Any]],
        settings: Any,
        item: Any,
        events: dict[str, str] | None,
    ) -> dict[str, Any]:
        """Return an incident's fields and their sources; `item` is a request's only event.

        `recognizedAs` is the title of the sender's row, empty for an unknown sender, and None where
        nobody was to be recognized.
        """
        made, sender = incident.fields, incident.sender
        sources = self._sources(incident, reports, settings)
        if events and '"parent":' in made.get("rawJSON", ""):
            sources["events"] = events
        if made.get("type") and "type" not in sources and made["type"] == settings.incident_type:
            sources["type"] = source("incidentType", "")
        # Recognition may have read another field than the one of that name, but not for the type.
        for name in SHOWN if sender is None else ("type",):
            if isinstance(item, dict) and item.get(name) and made.get(name) and name not in sources:
                sources[name] = source("", name)
        fields = {name: made.get(name) for name in SHOWN}
        return {
            **fields,
            "duplicationKey": incident.key,
            "isAlert": incident.alert is not None,
            "isEnd": incident.alert is not None and incident.alert.ended,
            "sender": sender,
            "recognizedAs": sender and settings.recognizer.by_id[sender].title,
            "sources": sources,
        }

    def _sources(
        self, incident: Any, reports: list[tuple[Any, Any]], settings: Any
    ) -> dict[str, dict[str, str]]:
        sources: dict[str, dict[str, str]] = {}
        for attribute, (parameter, field) in READERS.items():
            wanted = getattr(settings, attribute)
            groups = getattr(wanted, "groups", (wanted,))  # a name may have several
            used = [path.text for paths, path in reports if any(paths is group for group in groups)]
            if used and incident.fields.get(field) is not None:
                sources[field] = source(parameter, ", ".join(dict.fromkeys(used)))
        for field, path in self._row_paths(reports, settings).items():
            if incident.fields.get(field) is not None:
                sources.setdefault(field, source(RECOGNIZE, path))
        for key in settings.duplication_paths:
            text = incident.key or ""
            if text.startswith(key.prefix) and re.match("[,:]", text.removeprefix(key.prefix)):
                sources.setdefault("duplicationKey", source("duplication_key", key.text))
        return sources

    def _row_paths(self, reports: list[tuple[Any, Any]], settings: Any) -> dict[str, str]:
        """Return for each field the paths of a known sender's row that had its value."""
        if settings.recognizer is None:
            return {}
        fields = self._row_fields
        if not fields:  # the rows stay, so the identities of their paths do, too
            for row in settings.recognizer.by_id.values():
                fields.update(
                    (id(group), "name") for group in (row.name.groups if row.name else ())
                )
                fields[id(row.occurred)], fields[id(row.severity)] = "occurred", "severity"
        used: dict[str, list[str]] = {}
        for paths, path in reports:
            if id(paths) in fields:
                used.setdefault(fields[id(paths)], []).append(path.text)
        return {field: ", ".join(dict.fromkeys(texts)) for field, texts in used.items()}


class Ignored(list[str]):
    """The rules that ignored events, of which no paths are reported."""

    def __init__(self, reports: list[Any]) -> None:
        super().__init__()
        self._reports = reports

    def append(self, rule: str) -> None:
        """Add the rule that ignored the newest event."""
        self._reports.pop()
        super().append(rule)


def target_of(request: dict[str, Any]) -> tuple[str, str]:
    """Return a request's path behind the instance's URL, and its query string."""
    path, _, query = INSTANCE.sub("/", request["target"], count=1).partition("?")
    return path, query


def put(value: Any, path: str, text: str) -> None:
    """Put a text at a path into an object; keys with dots that are there count as one."""
    steps = path.split(".")
    if path in value or len(steps) == 1:
        value[path] = text
        return
    for last in range(len(steps) - 1, 0, -1):
        child = value.get(".".join(steps[:last]))
        if isinstance(child, dict):
            put(child, ".".join(steps[last:]), text)
            return
    value[steps[0]] = {}
    put(value[steps[0]], ".".join(steps[1:]), text)


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


def categories(script: str) -> Iterator[tuple[str, str]]:
    """Yield the ID and the category of each known sender: the heading above its row."""
    category = ""
    for heading, identifier in SENDER_LINE.findall(script.partition("KNOWN_SENDERS")[2]):
        category = heading or category
        if identifier:
            yield identifier, category


def answer(integration: Integration, question: dict[str, Any]) -> dict[str, Any]:
    """Return what each request of a question would become, or how one of them would end."""
    settings = integration.settings(question["params"])
    if "senders" in question:
        return {"senders": integration.senders()}
    if "sample" in question:
        try:
            return integration.sample(question["sample"], settings)
        except Exception as error:  # the integration refuses its body
            return {"error": getattr(error, "sentence", "") or f"{type(error).__name__}: {error}"}
    if "ending" in question:
        try:
            return {"body": integration.ended(question["ending"], settings)}
        except Exception:  # it is not JSON, or not as its sender posts it
            return {"body": ""}
    mistakes = " ".join(str(mistake) for mistake in settings.mistakes)
    answers: list[dict[str, Any]] = []
    for request in question["requests"]:
        try:
            if request["isHandshake"]:
                vendor = integration.handshake(request)
                found = {"incidents": [], "ignored": [], "handshake": vendor}
            else:
                found = integration.incidents(request, settings)
            answers.append({**found, "error": mistakes})
        except Exception as error:  # the integration refused it, or its code has a fault
            sentence = getattr(error, "sentence", "") or f"{type(error).__name__}: {error}"
            answers.append({"incidents": [], "ignored": [], "error": str(sentence)})
    return {"requests": answers}


def main() -> None:
    """Read the script, then answer questions until the pipe closes."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the integration prints is not an answer
    script = json.loads(sys.stdin.readline())
    try:
        integration: Integration | None = Integration(script)
    except BaseException as error:  # SystemExit too: the script exits where something is missing
        reason = f"{type(error).__name__}: {error}"
        integration, failure = None, f"The integration's code cannot be read: {reason}"
    for line in sys.stdin:
        reply = answer(integration, json.loads(line)) if integration else {"error": failure}
        out.write(json.dumps(reply) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
