"""A plugin of tox: finds pyenv's interpreters, announces environments, and lets two share a folder.

pyenv puts only the activated versions behind its `python3.12` and the like, so tox would skip an
environment whose Python is installed but not activated. Without pyenv nothing changes, and what
the command line names with `--discover` is tried first.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tox.plugin import impl
from tox.tox_env.info import Info
from tox.tox_env.python.virtual_env.runner import VirtualEnvRunner

if TYPE_CHECKING:
    from tox.config.sets import ConfigSet, EnvConfigSet
    from tox.session.state import State
    from tox.tox_env.api import ToxEnv
    from tox.tox_env.register import ToxEnvRegister

if sys.version_info < (3, 11):  # noqa: UP036  # tox itself runs on older ones, too
    sys.exit(
        "Generic Webhook needs Python 3.11 or newer, "
        f"and this is {sys.version.split()[0]}: make .venv with a newer python3."
    )

# Older versions cannot run the pack, so tox need not look at them.
OUR_VERSIONS = re.compile(r"3\.1[1-9](?:\.\d+)?")


# ---- interpreters


def pyenv_interpreters() -> list[str]:
    """Return the paths of pyenv's interpreters of the versions that the pack supports."""
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    folders = (path for path in sorted(versions.glob("*")) if OUR_VERSIONS.fullmatch(path.name))
    found = [folder / "bin" / "python" for folder in folders]
    return [str(interpreter) for interpreter in found if os.access(interpreter, os.X_OK)]


@impl
def tox_add_core_config(core_conf: "ConfigSet", state: "State") -> None:
    """Add pyenv's interpreters to those that tox tries first, and prepare the announcements."""
    options = state.conf.options
    options.discover = [*options.discover, *pyenv_interpreters()]
    options.selected = lambda: list(state.envs.iter())
    options.announced = set()


# ---- what runs next, and for how long


@impl
def tox_add_env_config(env_conf: "EnvConfigSet", state: "State") -> None:
    """Add the setting `announce`: what an environment does, and how long that takes."""
    env_conf.add_config("announce", of_type=str, default="", desc="printed before it runs")


@impl
def tox_on_install(tox_env: "ToxEnv", arguments: Any, section: str, of_type: str) -> None:
    """Announce an environment that has to be set up first."""
    announce(tox_env)


@impl
def tox_before_run_commands(tox_env: "ToxEnv") -> None:
    """Announce an environment that is ready."""
    announce(tox_env)


def announce(tox_env: "ToxEnv") -> None:
    """Print once what an environment does, such as `3 of 5: unit tests, about 3 minutes`."""
    name, text = tox_env.conf.name, tox_env.conf["announce"]
    if not text or name in tox_env.options.announced:
        return
    tox_env.options.announced.add(name)
    names = tox_env.options.selected()
    place = f"{names.index(name) + 1} of {len(names)}: " if len(names) > 1 else ""
    print(f"{place}{text}", flush=True)


# ---- environments that share a folder


class SharedInfo(Info):
    """What tox knows of a folder, under the folder's name instead of the environment's."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._name = path.name

    @contextmanager
    def compare(
        self, value: Any, section: str, sub_section: str | None = None
    ) -> Iterator[tuple[bool, Any]]:
        """Compare and update a section; tox would rebuild the folder for another name."""
        if section == "ToxEnv":
            value = {**value, "name": self._name}
        with super().compare(value, section, sub_section) as result:
            yield result


class SharedRunner(VirtualEnvRunner):
    """Runs commands in a virtual environment that environments with the same `env_dir` share."""

    @staticmethod
    def id() -> str:
        """Return the name of the runner in tox.ini."""
        return "shared"

    @property
    def cache(self) -> Info:
        """What tox knows of the folder."""
        return SharedInfo(self.env_dir)


@impl
def tox_register_tox_env(register: "ToxEnvRegister") -> None:
    """Make the runner known to tox."""
    register.add_run_env(SharedRunner)
