"""The image, as far as it can be shown without a Docker engine: its lock, its wheels, and verify.py on the lock's packages.

What needs PyPI or Python 3.12 is skipped, with the reason, where they are missing.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from Tests.pack.build import DESCRIPTOR, ROOT

IMAGE = ROOT / "docker/generic-webhook"
PIPFILE = tomllib.loads((IMAGE / "Pipfile").read_text())
LOCK: dict[str, Any] = json.loads((IMAGE / "Pipfile.lock").read_text())
# The only package of the lock without wheels for musl. Its C part is optional: pip builds it without a compiler.
FROM_SOURCE = {"zope.interface"}
NO_NETWORK = re.compile(
    r"Failed to establish a new connection|Temporary failure in name resolution|Max retries exceeded|ConnectTimeout"
)


def requirements(folder: Path, names: Iterable[str]) -> Path:
    """Writes packages of the lock, with their versions and hashes, as pip takes them; returns the file."""
    packages = {name: LOCK["default"][name] for name in names}
    lines = [f"{name}{package['version']} --hash=" + " --hash=".join(package["hashes"]) for name, package in packages.items()]
    (target := folder / "requirements.txt").write_text("\n".join(lines) + "\n")
    return target


def pip(python: str | Path, *arguments: str | Path) -> str:
    """Runs pip; skips the test if there is no network, and fails it with pip's own words if pip fails otherwise."""
    # A compiler that always fails stands for the image's, which has none.
    environment = {**os.environ, "CC": "false", "CXX": "false", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = [python, "-m", "pip", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode and NO_NETWORK.search(done.stderr):
        pytest.skip("PyPI cannot be reached from here")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def locked_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python 3.12 in a virtual environment that holds exactly the lock's packages, built as the image builds them."""
    pyenv = sorted(Path.home().glob(".pyenv/versions/3.12*/bin/python3.12"))
    found = [sys.executable] if sys.version_info[:2] == (3, 12) else [*map(str, pyenv), shutil.which("python3.12")]
    runs = [python for python in found if python and subprocess.run([python, "-c", ""], check=False).returncode == 0]
    if not runs:
        pytest.skip("there is no Python 3.12 here")
    folder = tmp_path_factory.mktemp("image")
    subprocess.run([runs[0], "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv/bin/python"
    wanted = requirements(folder, LOCK["default"])
    pip(python, "install", "--no-deps", "--require-hashes", "--no-binary", ",".join(FROM_SOURCE), "-r", wanted)
    return python


def test_the_lock_belongs_to_the_pipfile() -> None:
    """The lock was made from this Pipfile, as pipenv itself tells, and has the versions the Pipfile pins."""
    content = {
        "_meta": {"sources": PIPFILE["source"], "requires": PIPFILE["requires"]},
        "default": PIPFILE["packages"],
        "develop": PIPFILE.get("dev-packages", {}),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))

    assert LOCK["_meta"]["hash"]["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert {name: LOCK["default"][name]["version"] for name in PIPFILE["packages"]} == PIPFILE["packages"]
    assert all(version.startswith("==") for version in PIPFILE["packages"].values())


def test_the_lock_names_pypi_and_nothing_of_the_machine_it_was_made_on() -> None:
    """No other index, file or path is in the lock, and each package has hashes."""
    assert [source["url"] for source in LOCK["_meta"]["sources"]] == ["https://pypi.org/simple"]
    assert set(re.findall(r"\w+://[^\"]+", json.dumps(LOCK))) == {"https://pypi.org/simple"}
    for package in LOCK["default"].values():
        assert set(package) <= {"hashes", "index", "markers", "version"}
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", value) for value in package["hashes"])


def test_versions_agree() -> None:
    """The descriptor's image is this one, the base is Python 3.12, and the tests run with the image's versions."""
    build = configparser.ConfigParser()
    build.read_string("[build]\n" + (IMAGE / "build.conf").read_text())
    descriptor = yaml.safe_load((ROOT / DESCRIPTOR).read_text())
    lines = [line for file in (ROOT / "Tests").rglob("requirements*.txt") for line in file.read_text().splitlines()]
    pins = {line for line in lines if line.split("==")[0] in PIPFILE["packages"]}

    assert re.fullmatch(rf"demisto/{IMAGE.name}:{re.escape(build['build']['version'])}\.\d+", descriptor["script"]["dockerimage"])
    assert re.search(r"(?m)^FROM demisto/python3:3\.12\.\d+\.\d+$", (IMAGE / "Dockerfile").read_text())
    assert PIPFILE["requires"]["python_version"] == "3.12"
    assert pins == {f"{name}{version}" for name, version in PIPFILE["packages"].items()}


def test_the_image_does_not_run_as_root() -> None:
    """The last USER of the Dockerfile is a number other than 0."""
    users = re.findall(r"(?m)^USER (\d+):(\d+)$", (IMAGE / "Dockerfile").read_text())

    assert users
    assert int(users[-1][0]) > 0
    assert int(users[-1][1]) > 0


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_wheels_exist_for_musl(machine: str, tmp_path: Path) -> None:
    """All packages but one have a wheel for CPython 3.12 on musl, with a hash of the lock."""
    wanted = requirements(tmp_path, LOCK["default"].keys() - FROM_SOURCE)
    platforms = [f"--platform=musllinux_1_{minor}_{machine}" for minor in (1, 2)]
    target = ["--only-binary=:all:", *platforms, "--python-version=3.12", "--implementation=cp", "--abi=cp312"]

    pip(sys.executable, "download", "--no-deps", "--require-hashes", *target, "-r", wanted, "-d", tmp_path / "wheels")

    wheels = [wheel.name for wheel in (tmp_path / "wheels").iterdir()]
    assert len(wheels) == len(LOCK["default"]) - len(FROM_SOURCE)
    assert all(wheel.endswith((f"-cp312-cp312-musllinux_1_2_{machine}.whl", "-none-any.whl")) for wheel in wheels), wheels


def test_the_lock_is_all_that_is_needed(locked_python: Path) -> None:
    """The lock's packages need no other, and what was built without a compiler has no C part."""
    assert "No broken requirements found." in pip(locked_python, "check")
    installed = json.loads(pip(locked_python, "list", "--format=json"))
    versions = {package["name"].replace("_", "."): package["version"] for package in installed if package["name"] != "pip"}
    assert versions == {name: package["version"].removeprefix("==") for name, package in LOCK["default"].items()}
    assert list(locked_python.parent.parent.glob("lib/python3.12/site-packages/zope/interface/*.so")) == []


def test_verify_passes_on_the_lock(locked_python: Path) -> None:
    """verify.py, piped in as the image repository's build does, serves a request and says so."""
    script = (IMAGE / "verify.py").read_text()
    done = subprocess.run([locked_python, "-"], input=script, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"Python 3\.12\.\d+, bottle \S+, gevent \S+, greenlet \S+: a request was served .* All is good\.\n", done.stdout
    )


def test_verify_fails_where_it_should(locked_python: Path) -> None:
    """Another answer than the expected one, or a missing module, ends verify.py with an error."""
    script = (IMAGE / "verify.py").read_text()
    for broken in (
        script.replace("POST /verify?", "POST /other?"),
        script.replace("import bottle\n", "import bottle_is_missing\n"),
    ):
        assert broken != script
        assert subprocess.run([locked_python, "-"], input=broken, capture_output=True, text=True, check=False).returncode == 1
