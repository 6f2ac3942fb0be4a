"""What *Save & restart* saved: an instance's parameters, kept next to the store for later runs."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .descriptor import Descriptor, DescriptorError
from .page.form import form_value
from .store import beside


class SavedParams:
    """A file of an instance's parameters, which only its owner can read: some are secrets."""

    def __init__(self, store: Path, instance: str) -> None:
        self.path = beside(store, instance, "params.json")
        self._values: dict[str, Any] = {}
        self.problem = ""  # a sentence, if the file could not be used

    def read(self, descriptor: Descriptor) -> dict[str, Any]:
        """Return the saved parameters that the integration has.

        A file that cannot be used is set aside and counts as empty.
        """
        try:
            found = json.loads(self.path.read_bytes())
            if not isinstance(found, dict):
                raise ValueError("it holds no JSON object")
            known = {
                name: form_value(descriptor.parameters[name], value, None)
                for name, value in found.items()
                if name in descriptor.parameters
            }
            params = descriptor.given(known, files=False)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError, DescriptorError) as error:
            why = str(error).rstrip(".")
            self.problem = f"{self.path} cannot be used: {why}. {self._set_aside()}"
            return {}
        self._values = found
        return params

    def _set_aside(self) -> str:
        """Keep an unusable file under another name, and return a sentence about it."""
        kept = next(path for path in other_names(self.path) if not path.exists())
        try:
            self.path.rename(kept)
        except OSError as error:
            return f"It stays where it is ({error}); the defaults apply."
        return f"It is kept as {kept.name}; the defaults apply."

    def update(
        self, before: Mapping[str, Any], after: Mapping[str, Any], defaults: Mapping[str, Any]
    ) -> None:
        """Keep what a save has changed, unless it is the default; raises OSError."""
        changed = {name: value for name, value in after.items() if value != before.get(name)}
        values = {
            name: value
            for name, value in {**self._values, **changed}.items()
            if name not in defaults or value != defaults[name]
        }
        if values != self._values:
            self._write(values)
            self._values = values

    def forget(self) -> None:
        """Delete the file; raises OSError."""
        self.path.unlink(missing_ok=True)
        self._values = {}

    def _write(self, values: Mapping[str, Any]) -> None:
        """Replace the file at once, so that a crash leaves the old one or the new one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp's files are readable by their owner only.
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f"{self.path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(values, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        finally:
            Path(name).unlink(missing_ok=True)


def other_names(path: Path) -> Iterator[Path]:
    """Yield names for a file that is set aside, without end."""
    yield path.with_name(f"{path.name}.broken")
    number = 2
    while True:
        yield path.with_name(f"{path.name}.broken-{number}")
        number += 1
