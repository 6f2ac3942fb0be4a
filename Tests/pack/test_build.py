"""The zip a user uploads: it holds the pack, is always the same, and runs the integration."""

from __future__ import annotations

import ast
import base64
import importlib.metadata
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from Tests.pack import build
from Tests.pack.zips import Zip, run_build
from Tests.sandbox import descriptor

SOURCE = build.ROOT / build.PACK
INTEGRATION = SOURCE / "Integrations/GenericWebhook"
UNIFIED = "Integrations/integration-GenericWebhook.yml"
PLATFORM_IMPORTS = ("import demistomock as demisto", "from CommonServerPython import *")


@pytest.fixture(scope="module")
def made(built: Zip) -> zipfile.ZipFile:
    """The zip, as it is built without options."""
    return zipfile.ZipFile(built())


def unified(made: zipfile.ZipFile) -> dict[str, Any]:
    """Returns the unified descriptor of a zip."""
    return yaml.safe_load(made.read(UNIFIED))


def test_the_zip_holds_the_pack_and_nothing_else(made: zipfile.ZipFile) -> None:
    """The integration, the pack's README, notes and metadata are in the zip.

    Tests, their playbook and this machine's paths are not.
    """
    files = {name for name in made.namelist() if not name.endswith("/")}

    assert files == {
        UNIFIED,
        "Classifiers/classifier-mapper-incoming-GenericWebhook.json",
        "IncidentFields/incidentfield-Generic_Webhook_Link.json",
        "IncidentFields/incidentfield-Generic_Webhook_Sender.json",
        "IncidentFields/incidentfield-Generic_Webhook_Status.json",
        "IncidentTypes/incidenttype-Generic_Webhook_Alert.json",
        "Layouts/layoutscontainer-Generic_Webhook_Alert.json",
        "README.md",
        "ReleaseNotes/3_0_0.json",
        "ReleaseNotes/3_0_0.md",
        "metadata.json",
        "pack_metadata.json",
    }
    everything = b"".join(made.read(name) for name in files).decode()
    assert str(Path.home()) not in everything
    assert str(build.ROOT) not in everything
    assert json.loads(made.read("metadata.json"))["currentVersion"] == "3.0.0"


def test_the_zip_is_the_descriptor_with_the_script_in_it(made: zipfile.ZipFile) -> None:
    """All of the descriptor is kept; image and help are those in the integration's folder."""
    descriptor = yaml.safe_load((INTEGRATION / "GenericWebhook.yml").read_text())
    inside = unified(made)

    for row in descriptor["configuration"]:
        if isinstance(row.get("hidden"), list):  # the zip is made for Cortex XSOAR
            row["hidden"] = "xsoar" in row["hidden"]
    for key in (
        "configuration",
        "sectionorder",
        "fromversion",
        "marketplaces",
        "triggers",
        "provider",
        "category",
        "description",
        "defaultmapperin",
    ):
        assert inside[key] == descriptor[key]
    # The SDK adds this to the name because of `support: community`.
    assert inside["display"] == "Generic Webhook (Community Contribution)"
    script = {
        key: value
        for key, value in inside["script"].items()
        if key in descriptor["script"] and key != "script"
    }
    assert script == {key: value for key, value in descriptor["script"].items() if key != "script"}
    image = inside["image"].removeprefix("data:image/png;base64,")
    assert base64.b64decode(image) == (INTEGRATION / "GenericWebhook_image.png").read_bytes()
    shown = build.PRODUCT_TAG.sub("", (INTEGRATION / "GenericWebhook_description.md").read_text())
    assert shown.strip() in inside["detaileddescription"]


def test_the_script_in_the_zip_is_what_the_sandbox_runs_and_compiles(made: zipfile.ZipFile) -> None:
    """The SDK pastes the API modules as the sandbox does.

    Only its own lines and the platform's imports differ.
    """
    script = unified(made)["script"]["script"]
    source = INTEGRATION / "GenericWebhook.py"
    pasted = descriptor.paste_modules(source.read_text(), source)

    theirs = script.partition("# End of Bottle\n")[2]
    assert own_lines(theirs)[1:] == own_lines(pasted)  # the first is the rule below Bottle
    compile(script, "<the integration in the zip>", "exec")
    # The platform puts CommonServerPython in front, in the same text: a __future__ import would no
    # longer come first.
    compile("demisto = None\n" + script, "<with the platform's text in front>", "exec")


def own_lines(script: str) -> list[str]:
    """Returns a script's lines that are neither empty nor added by SDK, sandbox or platform."""
    added = (
        *PLATFORM_IMPORTS,
        "# file: ",
        "### GENERATED CODE ###",
        "### END GENERATED CODE ###",
        "# This code was inserted in place of an API module.",
        "register_module_line(",
    )
    return [
        line.rstrip() for line in script.splitlines() if line.strip() and not line.startswith(added)
    ]


def test_two_builds_are_the_same_bytes(
    made: zipfile.ZipFile, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    """--docker-image changes the image and nothing else; the checkout's descriptor is unchanged."""
    before = (INTEGRATION / "GenericWebhook.yml").read_bytes()

    done = run_build(
        tmp_path,
        "--docker-image",
        "registry.example.com:5000/soc/webhook:2.1",
        "--output",
        "other.zip",
    )

    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "other.zip") as other:
        script = unified(other)["script"]
    assert script.pop("dockerimage") == "registry.example.com:5000/soc/webhook:2.1"
    first = unified(made)["script"]
    assert first.pop("dockerimage") == "demisto/syslog:1.0.0.12689358"
    assert script == first
    assert (INTEGRATION / "GenericWebhook.yml").read_bytes() == before
    assert str(tmp_path / "other.zip") in done.stdout
    assert "SHA-256" in done.stdout


def test_the_zip_carries_the_published_bottle(made: zipfile.ZipFile) -> None:
    """bottle.py is in the script as the wheel has it, in plain text behind its licence.

    The pack's description and README name both.
    """
    script = unified(made)["script"]["script"]
    recorded = {str(file): file.hash for file in importlib.metadata.files("bottle") or ()}[
        "bottle.py"
    ]

    assert recorded is not None
    assert recorded.mode == "sha256"
    assert (
        base64.urlsafe_b64decode(recorded.value + "=").hex()
        == build.BOTTLE_SHA256
        == build.carried_bottle(script)
    )
    assert script.index("Permission is hereby granted, free of charge") < script.index("BOTTLE = r")
    source = (
        Path(str(importlib.metadata.distribution("bottle").locate_file("bottle.py")))
        .read_text()
        .splitlines()
    )
    # Only the lines at which the text is split are not in the script as they are.
    assert len(set(source) - set(script.splitlines())) < 15
    for name in ("README.md", "metadata.json", "pack_metadata.json"):
        assert re.search(
            rf"Bottle(\]\(https://bottlepy.org\))? {build.BOTTLE_VERSION}.*MIT license",
            made.read(name).decode(),
        ), name


def test_the_pinned_bottle_is_the_one_of_the_tests() -> None:
    """The version that the zip carries is the one that the tests of the source run with."""
    assert (
        f"bottle=={build.BOTTLE_VERSION}"
        in (build.ROOT / "Tests/sandbox/requirements.txt").read_text().splitlines()
    )


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("plain 'text' with \"quotes\" and a \\n", True),
        ("r'''raw''' and '''more\n'''", True),
        ("from __future__ import print_function  # x\nimport demistomock as demisto\n", True),
        ('"""\\\n"""', True),
        ("a backslash at the end \\", False),
        ("a quote at the end '", False),
        ("x\\'''y", False),
    ],
)
def test_a_text_is_written_as_itself_or_not_at_all(text: str, fits: bool) -> None:
    """What is written means that very text and holds nothing that the SDK removes.

    What cannot be written is an error.
    """
    if not fits:
        with pytest.raises((RuntimeError, SyntaxError)):
            build.literal(text)
        return
    written = build.literal(text)
    assert ast.literal_eval(written) == text
    assert not re.search("import print_function|import demistomock as", written)


def test_a_bottle_that_is_not_the_published_one_makes_no_zip(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A bottle.py that somebody has changed is refused before anything is zipped."""
    monkeypatch.setattr(build, "BOTTLE_SHA256", "0" * 64)

    assert build.main(["--output", str(tmp_path / "x.zip")]) == 1
    assert "is not the published 0.13.4" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_bottle_that_the_sdk_changes_makes_no_zip(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """If the SDK removes a line of the text, the zip is refused.

    Here it is a line that literal() usually protects.
    """
    monkeypatch.setattr(build, "UNIFIER_REMOVES", re.compile("(?!)(x)"))

    assert build.main(["--output", str(tmp_path / "x.zip")]) == 1
    assert "demisto-sdk changed bottle.py" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


CONTENT = ("Classifiers/", "IncidentFields/", "IncidentTypes/", "Layouts/")


def content_names(archive: zipfile.ZipFile) -> dict[str, set[str]]:
    """Returns the IDs, names and short names of a zip's content, by folder.

    With them are the fields that a layout shows and a mapper fills, as far as they are ours.
    """
    found: dict[str, set[str]] = {folder: set() for folder in CONTENT}
    for name in archive.namelist():
        if name.endswith(".json") and name.startswith(CONTENT):
            folder = name.partition("/")[0] + "/"
            text = archive.read(name).decode()
            found[folder] |= {Path(name).name}
            found[folder] |= set(re.findall(r'"(?:id|name|layout|cliName)": "([^"]+)"', text))
            found[folder] |= set(re.findall(r'"((?:Generic Webhook|genericwebhook)[^"]*)"', text))
    return {
        folder: {name for name in names if re.search("generic.?webhook", name, re.IGNORECASE)}
        for folder, names in found.items()
    }


def plain(name: str) -> str:
    """Returns a name without what tells the editions apart."""
    return re.sub("[ _]|plus", "", name, flags=re.IGNORECASE)


def test_beside_has_names_of_its_own(made: zipfile.ZipFile, built: Zip) -> None:
    """--beside makes the same pack under another pack ID, integration ID and display name.

    The zip has that name, too, and no content in it has a name that the other zip's has.
    """
    with zipfile.ZipFile(built("--beside")) as plus:
        inside = yaml.safe_load(plus.read("Integrations/integration-GenericWebhookPlus.yml"))
        metadata = json.loads(plus.read("metadata.json"))
        assert "##### Generic Webhook Plus\n" in plus.read("ReleaseNotes/3_0_0.md").decode()
        own, other = content_names(made), content_names(plus)
    for folder in CONTENT:
        assert own[folder]
        assert not own[folder] & other[folder]
        assert {plain(name) for name in other[folder]} == {plain(name) for name in own[folder]}
    names = (inside["commonfields"]["id"], inside["name"], inside["display"])
    assert names == (
        "Generic Webhook Plus",
        "Generic Webhook Plus",
        "Generic Webhook Plus (Community Contribution)",
    )
    assert (metadata["id"], metadata["name"]) == ("GenericWebhookPlus", "Generic Webhook Plus")
    assert build.parse(["--beside"])[1] == build.ROOT / "dist/GenericWebhookPlus.zip"
    assert build.parse([])[1] == build.ROOT / "dist/GenericWebhook.zip"


@pytest.mark.parametrize(
    ("product", "shown"),
    [
        (None, {"On Cortex XSOAR 6 and 8 On-prem", "On Cortex XSOAR 8 Cloud", "On Cortex XSIAM"}),
        ("xsoar", {"On Cortex XSOAR 6 and 8 On-prem"}),
        ("xsoar-cloud", {"On Cortex XSOAR 8 Cloud"}),
        ("xsiam", {"On Cortex XSIAM"}),
    ],
)
def test_the_help_shows_the_steps_of_the_product(
    product: str | None, shown: set[str], built: Zip, tmp_path: Path
) -> None:
    """--product leaves only that product's steps in the instance's help.

    Without it all are there, each under its heading.
    """
    file = build.sdk_zip(tmp_path, build.Options(product=product)) if product else built()
    with zipfile.ZipFile(file) as archive:
        text = unified(archive)["detaileddescription"]

    assert set(re.findall("(?m)^### (On Cortex .*)$", text)) == shown
    assert "~>" not in text
    assert not re.search("</?~", text)


@pytest.mark.parametrize(
    "image", ["", "Upper/Case:1", "a b", "demisto/x:1 y", "demisto/x:", "-x", "x\ny"]
)
def test_a_wrong_image_name_is_an_error(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What Docker would refuse is refused, and the message shows what is expected."""
    with pytest.raises(SystemExit) as ended:
        build.main([f"--docker-image={image}"])

    assert ended.value.code == 2
    assert "looks like demisto/syslog:1.0.0.1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "image",
    [
        "webhook",
        "webhook:latest",
        "demisto/genericwebhook:1.0",
        "localhost:5000/a/b-c:1.0@sha256:" + "0" * 64,
    ],
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
    monkeypatch.setattr(build, "build", lambda options: next(answers))

    assert build.main(["--output", str(tmp_path / "x.zip")]) == 1
    assert "different bytes" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_descriptor_without_an_image_is_an_error(tmp_path: Path) -> None:
    """A descriptor without the line to replace is an error, not a zip with the old image."""
    (descriptor := tmp_path / "x.yml").write_text("script:\n  type: python\n")

    with pytest.raises(ValueError, match="0 lines"):
        build.replace_once(descriptor, "  dockerimage: ", "a/b:1")


def test_the_zip_is_an_ordinary_one(made: zipfile.ZipFile) -> None:
    """Names are in order, times are fixed, and the archive is intact."""
    names = [entry.filename for entry in made.infolist()]

    assert names == sorted(names)
    assert {entry.date_time for entry in made.infolist()} == {build.OLDEST_TIME}
    assert made.testzip() is None
