"""Lets tox find the interpreters that pyenv has installed.

pyenv puts only the activated versions behind its `python3.12` and the like, so that tox would skip an environment whose Python is
installed, yet not activated. Without pyenv nothing changes, and what the command line names with `--discover` comes first.
"""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tox.plugin import impl

if TYPE_CHECKING:
    from tox.config.sets import ConfigSet
    from tox.session.state import State

if sys.version_info < (3, 11):  # noqa: UP036  # tox itself runs on older ones, too
    sys.exit(
        f"Generic Webhook needs Python 3.11 or newer, and this is {sys.version.split()[0]}: make .venv with a newer python3."
    )

OUR_VERSIONS = re.compile(r"3\.1[1-9](?:\.\d+)?")  # older ones cannot run the pack, so tox need not look at them


def pyenv_interpreters() -> list[str]:
    """Return the paths of pyenv's interpreters of the versions that the pack supports."""
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    found = (folder / "bin" / "python" for folder in sorted(versions.glob("*")) if OUR_VERSIONS.fullmatch(folder.name))
    return [str(interpreter) for interpreter in found if os.access(interpreter, os.X_OK)]


@impl
def tox_add_core_config(core_conf: "ConfigSet", state: "State") -> None:
    """Add pyenv's interpreters to those that tox looks at first."""
    state.conf.options.discover = [*state.conf.options.discover, *pyenv_interpreters()]
