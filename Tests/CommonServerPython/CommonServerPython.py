"""A small stand-in for the platform's CommonServerPython: the names that this pack may use.

The server prepends the real one to every script, in the same namespace. Like the real one, this
module imports `ssl`, `threading` and, if installed, `requests` before the integration's first line,
which decides how late a monkey patch is.
"""

import contextlib
import inspect
import json
import re
import ssl  # noqa: F401 - see above
import sys
import threading  # noqa: F401 - see above
import time
import traceback  # noqa: F401 - scripts use it without importing it
from typing import Any as _Any  # underscored, so that a script which forgot to import Any fails

import demistomock as demisto

with contextlib.suppress(ImportError):
    import requests  # noqa: F401 - see above

_MODULES: dict[str, dict[str, int]] = {}


def __line__() -> int:
    """Return the line from which this is called."""
    frame = inspect.currentframe()
    return frame.f_back.f_lineno if frame and frame.f_back else 0


def register_module_line(module_name: str, start_end: str, line: int, wrapper: int = 0) -> None:
    """Record where a module starts or ends in the joined text."""
    _MODULES.setdefault(module_name, {})[start_end] = line - wrapper


register_module_line("CommonServerPython", "start", __line__())


class EntryType:
    """Kinds of result entries."""

    NOTE = 1
    ERROR = 4


class EntryFormat:
    """Formats of an entry's contents."""

    JSON = "json"
    TEXT = "text"


class DemistoException(Exception):
    """An error of an integration, with what caused it."""

    def __init__(
        self, message: _Any, exception: _Any = None, res: _Any = None, *args: _Any
    ) -> None:
        self.message = message
        self.exception = exception
        self.res = res
        super().__init__(message, exception, *args)

    def __str__(self) -> str:
        return str(self.message)


class CommandResults:
    """A command's result as an entry."""

    def __init__(
        self,
        outputs_prefix: str | None = None,
        outputs_key_field: _Any = None,
        outputs: _Any = None,
        readable_output: str | None = None,
        raw_response: _Any = None,
        **_: _Any,
    ) -> None:
        self.outputs_prefix = outputs_prefix
        self.outputs_key_field = outputs_key_field
        self.outputs = outputs
        self.readable_output = readable_output
        self.raw_response = raw_response

    def to_context(self) -> dict[str, _Any]:
        """Return the entry that the server expects."""
        contents = self.raw_response if self.raw_response is not None else self.outputs
        entry: dict[str, _Any] = {
            "Type": EntryType.NOTE,
            "ContentsFormat": "json",
            "Contents": contents,
            "HumanReadable": self.readable_output,
        }
        if self.outputs_prefix:
            entry["EntryContext"] = {self.outputs_prefix: self.outputs}
        return entry


class SchemeTypeMapping:
    """The fields of one type of incident, for Select schema."""

    def __init__(self, type_name: str = "", fields: dict[str, str] | None = None) -> None:
        self.type_name = type_name
        self.fields = fields or {}


class GetMappingFieldsResponse:
    """What get-mapping-fields answers."""

    def __init__(self, scheme_types_mapping: list[SchemeTypeMapping] | None = None) -> None:
        self.scheme_types_mappings = scheme_types_mapping or []

    def extract_mapping(self) -> dict[str, dict[str, str]]:
        """Return the fields of each type."""
        return {one.type_name: one.fields for one in self.scheme_types_mappings}


class GetModifiedRemoteDataResponse:
    """What get-modified-remote-data answers."""

    def __init__(self, modified_incident_ids: list[str]) -> None:
        self.modified_incident_ids = modified_incident_ids

    def to_entry(self) -> dict[str, _Any]:
        """Return the entry that the server expects."""
        contents = self.modified_incident_ids
        return {"Contents": contents, "ContentsFormat": "json", "Type": EntryType.NOTE}


class GetRemoteDataResponse:
    """What get-remote-data answers; without an object, nothing at all."""

    def __init__(self, mirrored_object: dict[str, _Any], entries: list[_Any]) -> None:
        self.mirrored_object = mirrored_object
        self.entries = entries

    def extract_for_local(self) -> list[_Any] | None:
        """Return the object and its entries, None for an empty object."""
        return [self.mirrored_object, *self.entries] if self.mirrored_object else None


def tableToMarkdown(name: str, t: _Any, headers: list[str] | None = None, **_: _Any) -> str:
    """Return rows as a table in Markdown; a dict is one row."""
    rows = [t] if isinstance(t, dict) else list(t or [])
    columns = headers or list(rows[0] if rows else [])
    lines = ["|".join(columns), "|".join(["---"] * len(columns))]
    lines += [" | ".join(str(row.get(column, "")) for column in columns) for row in rows]
    return "\n".join([f"### {name}", *(f"|{line}|" for line in lines), ""])


def return_results(results: _Any) -> None:
    """Hand over one result or a list of them."""
    if isinstance(results, GetMappingFieldsResponse):
        demisto.results(results.extract_mapping())
    elif isinstance(results, GetModifiedRemoteDataResponse):
        demisto.results(results.to_entry())
    elif isinstance(results, GetRemoteDataResponse):
        demisto.results(results.extract_for_local())
    else:
        for result in results if isinstance(results, list) else [results]:
            demisto.results(result.to_context() if hasattr(result, "to_context") else result)


def return_error(message: _Any, error: _Any = "", outputs: _Any = None) -> None:
    """Hand over an error entry and end the script."""
    if error:
        demisto.error(f"{message}: {error}")
    demisto.results(
        {
            "Type": EntryType.ERROR,
            "ContentsFormat": "text",
            "Contents": str(message),
            "EntryContext": outputs,
        }
    )
    sys.exit(0)


def argToBoolean(value: _Any) -> bool:
    """Return the bool that a bool or a yes/no text means; ValueError for anything else."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else None
    if word in ("y", "yes", "t", "true", "on", "1"):
        return True
    if word in ("n", "no", "f", "false", "off", "0"):
        return False
    raise ValueError(f"{value!r} means neither yes nor no")


def argToList(arg: _Any, separator: str = ",", transform: _Any = None) -> list[_Any]:
    """Return a list from a list, a JSON list or a separated text."""
    if not arg and arg != 0:
        return []
    if isinstance(arg, str):
        is_json = arg.strip().startswith("[") and arg.strip().endswith("]")
        items = json.loads(arg) if is_json else [part.strip() for part in arg.split(separator)]
    else:
        items = arg if isinstance(arg, list) else [arg]
    return [transform(item) for item in items] if transform else items


def arg_to_number(arg: _Any, arg_name: str | None = None, required: bool = False) -> int | None:
    """Return an int from a number or its text, None for nothing; ValueError for other texts."""
    if arg is None or arg == "":
        if required:
            raise ValueError(f"{arg_name or 'a number'} is required")
        return None
    try:
        return int(float(arg)) if not str(arg).strip().lstrip("-").isdecimal() else int(arg)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{arg!r} is no number" + (f" ({arg_name})" if arg_name else "")) from None


def get_demisto_version() -> dict[str, str]:
    """Return the server's version and build number."""
    return demisto.demistoVersion()


def is_demisto_version_ge(version: str, build_number: str = "") -> bool:
    """Return whether the server has at least a version."""

    def numbers(text: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", text)]

    ours = get_demisto_version()
    if numbers(ours["version"]) != numbers(version):
        return numbers(ours["version"]) > numbers(version)
    return not build_number or int(ours.get("buildNumber") or 0) >= int(build_number)


def support_multithreading() -> None:
    """Allow more than one thread to call the server."""
    demisto.enable_multithreading()


def get_integration_context(sync: bool = True, with_version: bool = False) -> _Any:
    """Return the integration context, with its version if wanted."""
    versioned = demisto.getIntegrationContextVersioned(refresh=sync)
    return (versioned["context"], versioned["version"]) if with_version else versioned["context"]


def set_integration_context(
    context: dict[str, _Any], sync: bool = True, version: _Any = -1
) -> _Any:
    """Replace the integration context; ValueError if `version` is stale."""
    return demisto.setIntegrationContextVersioned(context, version, sync)


def set_to_integration_context_with_retries(
    context: dict[str, _Any], object_keys: _Any = None, sync: bool = True, max_retry_times: int = 5
) -> None:
    """Merge JSON-encoded values into the integration context; repeat after a version clash."""
    for attempt in range(1, max_retry_times + 1):
        current, version = get_integration_context(sync, with_version=True)
        merged = {
            **current,
            **{
                key: value if isinstance(value, str) else json.dumps(value)
                for key, value in context.items()
            },
        }
        try:
            set_integration_context(merged, sync, version)
            return
        except ValueError as error:
            demisto.debug(f"integration context: attempt {attempt} failed: {error}")
            time.sleep(0.05 * attempt)
    raise DemistoException(
        f"The integration context could not be saved in {max_retry_times} attempts."
    )


class IntegrationLogger:
    """A log that masks secrets; `buffering` False sends each line to the server's log."""

    def __init__(self, debug_logging: bool = False) -> None:
        self.messages: list[str] = []
        self.buffering = True
        self.debug_logging = debug_logging
        self.replace_strs: list[str] = []

    def add_replace_strs(self, *secrets: _Any) -> None:
        """Mask these values from now on."""
        self.replace_strs += sorted(
            (str(secret) for secret in secrets if secret), key=len, reverse=True
        )

    def encode(self, message: _Any) -> str:
        """Return the message without secrets."""
        text = str(message)
        for secret in self.replace_strs:
            text = text.replace(secret, "<XX_REPLACED>")
        return text

    def __call__(self, message: _Any) -> str:
        text = self.encode(message)
        if self.buffering:
            self.messages.append(text)
        else:
            demisto.info(text)
        return text

    def write(self, msg: str) -> None:
        """Accept a line as a file would."""
        if msg.strip():
            self(msg.rstrip("\n"))

    def print_log(self, verbose: bool = False) -> None:
        """Send what was buffered to the server's log."""
        if self.messages:
            demisto.info("\n".join(self.messages))
            self.messages = []


LOG = IntegrationLogger()

register_module_line("CommonServerPython", "end", __line__())
