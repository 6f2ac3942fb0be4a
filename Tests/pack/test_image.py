"""The zip on the image its descriptor names, without Bottle and with one.

Here the image is Python 3.12 with exactly that image's packages. Where no Python 3.12 is found, or
PyPI cannot be reached, these tests say so and are skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from Tests.pack import build
from Tests.pack.zips import Zip

IMAGE = "demisto/syslog:1.0.0.12689358"
# What `pip freeze` shows in that image, except pip itself.
PACKAGES = Path(__file__).with_name("image-packages.txt")
END_TO_END = build.ROOT / "Tests/end_to_end"
# On the image as it is, and as if it had a Bottle of its own: files, and how many tests at least.
ZIP_TESTS = {
    "image": (("test_given_documentation.py", "test_payloads.py", "test_deliveries.py"), 60),
    "image_with_bottle": (("test_methods.py",), 10),  # about the routes, which are Bottle's part
}
# Of processor time, which a busy machine does not stretch as it stretches the clock's.
MAX_START_SECONDS = 0.3
NO_NETWORK = re.compile(
    "Failed to establish a new connection|Temporary failure in name resolution"
    "|Max retries exceeded|ConnectTimeout"
)


def pip(python: Path, *arguments: str | Path) -> str:
    """Runs pip and returns its output.

    Without a network the test is skipped; any other failure of pip fails it, with pip's own words.
    """
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = [python, "-m", "pip", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode and NO_NETWORK.search(done.stderr):
        pytest.skip("PyPI cannot be reached from here")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python_3_12() -> str | None:
    """Returns an interpreter of Python 3.12 (this one, the PATH's or pyenv's), or None."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [
        sys.executable,
        shutil.which("python3.12"),
        *map(str, sorted(root.glob("versions/3.12*/bin/python3.12"))),
    ]
    # pyenv's shims exist without the version, too.
    check = "import sys, venv; sys.exit(sys.version_info[:2] != (3, 12))"
    runs = (
        python
        for python in found
        if python and not subprocess.run([python, "-c", check], capture_output=True).returncode
    )
    return next(runs, None)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the image's packages and no other."""
    python = python_3_12()
    if python is None:
        pytest.skip(
            "There is no Python 3.12 here, which the image has: "
            "put one on the PATH, or install it with pyenv."
        )
    folder = tmp_path_factory.mktemp("image") / "venv"
    subprocess.run([python, "-m", "venv", folder], check=True)
    pip(folder / "bin/python", "install", "--no-deps", "-r", PACKAGES)
    return folder / "bin/python"


@pytest.fixture(scope="session")
def image_with_bottle(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same image as if it had a Bottle of its own."""
    folder = tmp_path_factory.mktemp("with-bottle") / "venv"
    subprocess.run([image, "-m", "venv", folder], check=True)
    pip(folder / "bin/python", "install", f"bottle=={build.BOTTLE_VERSION}")
    [own], [packages] = (
        sorted((python.parent.parent / "lib").glob("python3.*/site-packages"))
        for python in (folder / "x/y", image)
    )
    (own / "image.pth").write_text(f"{packages}\n")
    return folder / "bin/python"


@pytest.fixture(scope="session")
def pack(built: Zip) -> Path:
    """The zip as a user builds it."""
    return built()


def ask(python: Path, code: str, *arguments: str | Path) -> str:
    """Runs code in an environment and returns what it prints."""
    done = subprocess.run(
        [python, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def carrier(pack: Path, folder: Path) -> Path:
    """Returns a file with the part of the zip's script that carries Bottle."""
    with zipfile.ZipFile(pack) as archive:
        script = build.unified_script(archive, build.OWN)
    start, end = script.index("# Bottle"), script.index("# End of Bottle")
    (file := folder / "carrier.py").write_text(script[start:end])
    return file


def test_the_descriptor_names_the_image() -> None:
    """The image whose packages are here is the descriptor's.

    The integration names the same one where a module is missing.
    """
    descriptor = build.ROOT / build.DESCRIPTOR
    assert yaml.safe_load(descriptor.read_text())["script"]["dockerimage"] == IMAGE
    assert f'Choose {IMAGE}, or "' in descriptor.with_suffix(".py").read_text()


def test_the_environment_is_the_image(image: Path) -> None:
    """Exactly the listed packages are installed; they need no other, and none is Bottle."""
    assert "No broken requirements found." in pip(image, "check")
    installed = {
        f"{package['name'].lower().replace('_', '-').replace('.', '-')}=={package['version']}"
        for package in json.loads(pip(image, "list", "--format=json"))
        if package["name"] != "pip"
    }
    assert installed == {
        line.lower().replace("zope.", "zope-") for line in PACKAGES.read_text().split()
    }
    assert ask(image, "import importlib.util; print(importlib.util.find_spec('bottle'))") == "None"


@pytest.mark.parametrize("environment_name", ZIP_TESTS)
def test_the_end_to_end_tests_pass_on_the_zip(
    environment_name: str, pack: Path, request: pytest.FixtureRequest
) -> None:
    """What the documentation promises holds on the image, and so do the tests of deliveries.

    TLS is among the promises, multipart among the bodies.
    """
    python = request.getfixturevalue(environment_name)
    settings = Path(__file__).with_name("pytest.ini")
    files, least = ZIP_TESTS[environment_name]
    tests = [str(END_TO_END / name) for name in files]
    workers = ["-n", "4", "--dist", "worksteal"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        str(settings),
        *workers,
        "--reruns",
        "2",
        *tests,
    ]
    environment = {
        **os.environ,
        "GENERIC_WEBHOOK_PACK": str(pack),
        "GENERIC_WEBHOOK_PYTHON": str(python),
    }
    done = subprocess.run(
        command, cwd=build.ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, done.stdout
    assert int(passed[1]) > least


def test_an_image_s_own_bottle_comes_first(
    image: Path, image_with_bottle: Path, pack: Path, tmp_path: Path
) -> None:
    """The carried Bottle is imported where there is no other, and only there.

    Running the script again adds nothing.
    """
    code = (
        "import sys; text = open(sys.argv[1]).read(); names = {'__name__': 'builtins'}\n"
        "exec(text, names); exec(text, {})\n"
        "import bottle; print(bottle.__name__, bottle.__version__, bottle.__file__, "
        "sum(type(finder).__name__ == 'BottleCarrier' for finder in sys.meta_path))"
    )
    file = carrier(pack, tmp_path)
    assert ask(image, code, file) == f"bottle {build.BOTTLE_VERSION} /GenericWebhook/bottle.py 1"
    *_, place, finders = ask(image_with_bottle, code, file).split()
    assert place.endswith("site-packages/bottle.py")
    assert finders == "0"


def test_a_traceback_shows_the_lines_of_the_carried_bottle(
    image: Path, pack: Path, tmp_path: Path
) -> None:
    """A failure inside Bottle is as readable as one in a file."""
    code = (
        "import sys, traceback; exec(open(sys.argv[1]).read()); import bottle\n"
        "try: bottle.run(app=5)\nexcept ValueError: print(traceback.format_exc())"
    )
    lines = ask(image, code, carrier(pack, tmp_path)).splitlines()
    [number] = [index for index, line in enumerate(lines) if '"/GenericWebhook/bottle.py"' in line]
    assert lines[number + 1].strip().startswith("raise ValueError(")


def test_starting_takes_little_longer(image: Path, pack: Path, tmp_path: Path) -> None:
    """Importing Bottle from the script takes less than 0.3 s of processor time.

    That includes reading the script's first part, and it is the best of three.
    """
    code = (
        "import sys, time; text = open(sys.argv[1]).read(); before = time.process_time()\n"
        "exec(text); import bottle; print(time.process_time() - before)"
    )
    file = carrier(pack, tmp_path)
    assert min(float(ask(image, code, file)) for _ in range(3)) < MAX_START_SECONDS
