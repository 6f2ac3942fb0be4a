"""The zip a user uploads: what is in it, that it is the same each time, and that its script is the integration."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from Tests.pack import build

SOURCE = build.ROOT / build.PACK
INTEGRATION = SOURCE / "Integrations/GenericWebhook"
UNIFIED = "Integrations/integration-GenericWebhook.yml"
PLATFORM_IMPORTS = ("import demistomock as demisto", "from CommonServerPython import *")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The zip, built by the command as a user types it, in a folder that is not the checkout."""
    folder = tmp_path_factory.mktemp("elsewhere")
    done = run_build(folder, "--output", "new/pack.zip")
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(folder / "new/pack.zip")


def run_build(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs build.py in a folder."""
    return subprocess.run([sys.executable, build.__file__, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def unified(made: zipfile.ZipFile) -> dict[str, Any]:
    """Returns the unified descriptor of a zip."""
    return yaml.safe_load(made.read(UNIFIED))


def test_the_zip_holds_the_pack_and_nothing_else(made: zipfile.ZipFile) -> None:
    """The integration, its READMEs' pack page, notes, playbook and metadata are in; tests, caches and paths of here are not."""
    files = {name for name in made.namelist() if not name.endswith("/")}

    assert files == {
        UNIFIED,
        "README.md",
        "ReleaseNotes/1_0_1.md",
        "TestPlaybooks/playbook-GenericWebhook-Test.yml",
        "metadata.json",
        "pack_metadata.json",
    }
    everything = b"".join(made.read(name) for name in files).decode()
    assert str(Path.home()) not in everything
    assert str(build.ROOT) not in everything
    assert json.loads(made.read("metadata.json"))["currentVersion"] == "1.0.1"


def test_the_zip_is_the_descriptor_with_the_script_in_it(made: zipfile.ZipFile) -> None:
    """All of the descriptor is kept; image, help and README of the integration are what is in its folder."""
    descriptor, inside = yaml.safe_load((INTEGRATION / "GenericWebhook.yml").read_text()), unified(made)

    for key in ("configuration", "sectionorder", "fromversion", "marketplaces", "category", "description"):
        assert inside[key] == descriptor[key]
    assert inside["display"] == "Generic Webhook (Community Contribution)"  # what the SDK makes of support: community
    script = {key: value for key, value in inside["script"].items() if key in descriptor["script"] and key != "script"}
    assert script == {key: value for key, value in descriptor["script"].items() if key != "script"}
    image = inside["image"].removeprefix("data:image/png;base64,")
    assert base64.b64decode(image) == (INTEGRATION / "GenericWebhook_image.png").read_bytes()
    assert (INTEGRATION / "GenericWebhook_description.md").read_text().strip() in inside["detaileddescription"]


def test_the_script_in_the_zip_is_the_integration_and_compiles(made: zipfile.ZipFile) -> None:
    """Every line of GenericWebhook.py but the platform's two imports is in the zip, in order, and Python takes the whole."""
    source = (INTEGRATION / "GenericWebhook.py").read_text()
    script = unified(made)["script"]["script"]
    wanted = [line.rstrip() for line in source.splitlines() if line.strip() and not line.startswith(PLATFORM_IMPORTS)]

    lines = iter([line.rstrip() for line in script.splitlines()])
    missing = [line for line in wanted if line not in lines]

    assert missing == []
    compile(script, "<the integration in the zip>", "exec")
    # The platform puts CommonServerPython in front, in the same text: a __future__ import would no longer come first.
    compile("demisto = None\n" + script, "<with the platform's text in front>", "exec")


def test_two_builds_are_the_same_bytes(made: zipfile.ZipFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another build, with another time zone, umask and hash seed, gives the very same file."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    before = os.umask(0o077)
    try:
        again = build.build()
    finally:
        os.umask(before)

    assert made.filename is not None
    assert again == Path(made.filename).read_bytes()


def test_another_docker_image_is_in_the_zip(made: zipfile.ZipFile, tmp_path: Path) -> None:
    """--docker-image changes the image and nothing else, and the checkout's descriptor stays as it is."""
    before = (INTEGRATION / "GenericWebhook.yml").read_bytes()

    done = run_build(tmp_path, "--docker-image", "registry.example.com:5000/soc/webhook:2.1", "--output", "other.zip")

    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "other.zip") as other:
        script = unified(other)["script"]
    assert script.pop("dockerimage") == "registry.example.com:5000/soc/webhook:2.1"
    first = unified(made)["script"]
    assert first.pop("dockerimage") == "demisto/generic-webhook:1.0.0.1"
    assert script == first
    assert (INTEGRATION / "GenericWebhook.yml").read_bytes() == before
    assert str(tmp_path / "other.zip") in done.stdout
    assert "SHA-256" in done.stdout


@pytest.mark.parametrize("image", ["", "Upper/Case:1", "a b", "demisto/x:1 y", "demisto/x:", "-x", "x\ny"])
def test_a_wrong_image_name_is_an_error(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What Docker would refuse is refused, and the message shows what is expected."""
    with pytest.raises(SystemExit) as ended:
        build.main([f"--docker-image={image}"])

    assert ended.value.code == 2
    assert "looks like demisto/generic-webhook:1.0.0.1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "image", ["webhook", "webhook:latest", "demisto/genericwebhook:1.0", "localhost:5000/a/b-c:1.0@sha256:" + "0" * 64]
)
def test_a_right_image_name_is_taken(image: str) -> None:
    """The names /docker_image_create prints, and those of registries, pass."""
    assert build.docker_image(image) == image


def test_an_sdk_that_fails_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """If the SDK makes no zip, the command fails with the SDK's words and writes nothing."""
    monkeypatch.setattr(build.sys, "executable", "/bin/false")

    assert build.main(["--output", str(tmp_path / "x.zip")]) == 1
    assert "zip-packs failed" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_builds_that_differ_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """If two builds give different bytes, no zip is written."""
    answers = iter([b"one", b"two"])
    monkeypatch.setattr(build, "build", lambda image: next(answers))

    assert build.main(["--output", str(tmp_path / "x.zip")]) == 1
    assert "different bytes" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_descriptor_without_an_image_is_an_error(tmp_path: Path) -> None:
    """A descriptor in which the line to replace is missing, or there twice, is an error and not a zip with the old image."""
    (descriptor := tmp_path / "x.yml").write_text("script:\n  type: python\n")

    with pytest.raises(ValueError, match="0 lines"):
        build.set_docker_image(descriptor, "a/b:1")


def test_the_zip_is_an_ordinary_one(made: zipfile.ZipFile) -> None:
    """Names are in order, times are fixed, and the archive is intact."""
    names = [entry.filename for entry in made.infolist()]

    assert names == sorted(names)
    assert {entry.date_time for entry in made.infolist()} == {build.OLDEST_TIME}
    assert made.testzip() is None
