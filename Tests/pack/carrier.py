"""Bottle for an image that has none.

The build puts this file, with bottle.py in it, at the beginning of the zip's script. An `import
bottle` asks this finder last of all, so an image's own Bottle is used where there is one. The text
below is the published bottle.py, unchanged, and its tracebacks show its lines.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

BOTTLE = ""


class BottleCarrier(importlib.abc.MetaPathFinder, importlib.abc.ExecutionLoader):
    """Finds and loads the module `bottle` from BOTTLE."""

    # Absolute, or Python would put the folder it runs in before it; nothing has to be there.
    FILE = "/GenericWebhook/bottle.py"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return how to load `bottle`, and None for every other module."""
        return (
            importlib.util.spec_from_file_location(fullname, self.FILE, loader=self)
            if fullname == "bottle"
            else None
        )

    def get_filename(self, fullname: str) -> str:
        """Return the name that the module's tracebacks show."""
        return self.FILE

    def get_source(self, fullname: str) -> str:
        """Return the module's text, for Python to run and for tracebacks to show."""
        return BOTTLE

    def is_package(self, fullname: str) -> bool:
        """Return that `bottle` is a single module."""
        return False


# The process may run this script again for another command: Bottle is then found already, here or
# in sys.modules.
if importlib.util.find_spec("bottle") is None:
    sys.meta_path.append(BottleCarrier())
