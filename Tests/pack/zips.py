"""Builds zips for the tests, each once in a run, whichever worker needs it first."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from Tests.pack import build

Zip = Callable[..., Path]  # options of build.py to the zip


def run_build(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs build.py in a folder."""
    return subprocess.run(
        [sys.executable, build.__file__, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def zip_of(shared: Path, *options: str) -> Path:
    """Returns the zip of build.py's options, from a folder that all workers share.

    The command runs as a user types it, in a folder that is not the checkout.
    """
    folder = shared / f"elsewhere{''.join(options)}"
    folder.mkdir(exist_ok=True)
    made = folder / "new/pack.zip"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            done = run_build(folder, *options, "--output", "new/pack.zip")
            assert done.returncode == 0, done.stderr
    return made
