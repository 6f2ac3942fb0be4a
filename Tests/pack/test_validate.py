"""What demisto-sdk says of the pack: nothing of it as it is, and something where it is broken.

Runs in the SDK's environment (`tox run -e package`). A row is a code, a way to break the pack, and
the codes that rightly complain too; the test is exact, so a break that upsets more than it says
fails as well.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from Tests.pack import build, validate

INTEGRATION = "Integrations/GenericWebhook"
YML, DESCRIPTION = (
    f"{INTEGRATION}/{name}" for name in ("GenericWebhook.yml", "GenericWebhook_description.md")
)
PLAYBOOK = "TestPlaybooks/playbook-GenericWebhook-Test.yml"
NOTES = "ReleaseNotes/3_0_0.md"
LAYOUT = "Layouts/layoutscontainer-Generic_Webhook_Alert.json"


class Pack:
    """A copy of the pack, with a short word for each way to change it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def yml(self, **changes: Any) -> None:
        """Sets keys of the descriptor; None removes one, and script__x is script.x."""
        self._edit_yaml(YML, changes)

    def param(self, name: str, **changes: Any) -> None:
        """Sets keys of a parameter."""
        data = self._read_yaml(YML)
        param = next(param for param in data["configuration"] if param["name"] == name)
        param.update(changes)
        self._write_yaml(YML, data)

    def write(self, name: str, content: str | bytes) -> None:
        """Writes a file."""
        (self.folder / name).write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )

    def replace(self, name: str, old: str, new: str) -> None:
        """Replaces text of a file that must be there."""
        text = (self.folder / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new, 1))

    def remove(self, name: str) -> None:
        """Removes a file."""
        (self.folder / name).unlink()

    def rename(self, old: str, new: str) -> None:
        """Renames a file or a folder."""
        (self.folder / old).rename(self.folder / new)

    def _edit_yaml(self, name: str, changes: dict[str, Any]) -> None:
        data = self._read_yaml(name)
        for path, value in changes.items():
            *parents, key = path.split("__")
            target = data
            for parent in parents:
                target = target[parent]
            if value is None:
                del target[key]
            else:
                target[key] = value
        self._write_yaml(name, data)

    def _read_yaml(self, name: str) -> Any:
        return yaml.safe_load((self.folder / name).read_text())

    def _write_yaml(self, name: str, data: Any) -> None:
        self.write(name, yaml.safe_dump(data, sort_keys=False))


class Row(NamedTuple):
    """A code, a way to break the pack, and the codes that complain with it."""

    code: str
    broken: Callable[[Pack], Any]
    also: str = ""


ROWS = [  # one of each list of validate.py: that its codes are really run
    Row("BA101", lambda p: p.yml(commonfields__id="Another Webhook")),
    Row("BA130", lambda p: p.yml(marketplaces=["xsoar", "marketplacev2"]), "PA134"),
    Row("DS104", lambda p: p.remove(DESCRIPTION)),
    Row("LO107", lambda p: p.replace(LAYOUT, '"type": "warRoom"', '"type": "evidenceBoard"')),
    Row("IN124", lambda p: p.param("certificate", hidden=True)),
    Row(
        "RN107", lambda p: p.replace(NOTES, "\n#### Mappers\n\n##### New: Generic Webhook - ", "- ")
    ),
    Row("RN111", lambda p: p.replace(NOTES, "demisto/syslog:1.0.0", "demisto/syslog:1.0.1")),
    Row("RN112", lambda p: p.remove(NOTES.replace(".md", ".json"))),
    Row(
        "RN114",
        lambda p: p.replace(NOTES, "##### Generic Webhook", "##### Another Webhook"),
        "RN107 RN111",
    ),
    Row(
        "ST110", lambda p: p.replace(NOTES.replace(".md", ".json"), "breakingChangesNotes", "notes")
    ),
]


@pytest.fixture(scope="session")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[validate.Sdk]:
    """The SDK, in this process, over a copy of the pack.

    The process gets its folder and environment back.
    """
    root, cwd, environment = (
        tmp_path_factory.mktemp("sdk") / "content",
        Path.cwd(),
        dict(os.environ),
    )
    validate.copy_pack(root)
    yield validate.Sdk(root)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)


def run(sdk: validate.Sdk, codes: list[str], status: str | None = None) -> list[validate.Finding]:
    """Runs codes in a fork of this process.

    The SDK remembers each file it has read for as long as its process lives.
    """
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(sdk.run, (codes, status))


@pytest.fixture
def pack(sdk: validate.Sdk) -> Iterator[Pack]:
    """A copy of the pack to break; the next test gets a whole one."""
    folder = Path.cwd() / validate.PACK
    shutil.copytree(folder, whole := folder.parent.parent / "whole")
    yield Pack(folder)
    shutil.rmtree(folder)
    whole.rename(folder)


def list_of(code: str) -> tuple[list[str], str | None]:
    """Returns the list of validate.py a code is in, and the git status of its run."""
    return next((codes, status) for codes, status in validate.RUNS if code in codes)


@pytest.mark.parametrize("row", ROWS, ids=[row.code for row in ROWS])
def test_each_code_fails_once(sdk: validate.Sdk, pack: Pack, row: Row) -> None:
    """
    Given: a copy of the pack, broken in the one way that a code is about.
    When: the code's whole list is run.
    Then: that code complains, and no other but those the row names.
    """
    row.broken(pack)

    codes, status = list_of(row.code)
    findings = run(sdk, codes, status)

    assert {finding.code for finding in findings} == {row.code, *row.also.split()}, "\n".join(
        map(str, findings)
    )


def test_the_wording_of_the_notes_is_reviewed(sdk: validate.Sdk, pack: Pack) -> None:
    """A line of the notes that begins with no phrase of the SDK's is found, and no other."""
    assert sdk.wording() == []
    pack.replace(NOTES, "- Added the *Accept GET* parameter.", "- GET is accepted.")

    [objection] = sdk.wording()
    assert re.search(r"3_0_0\.md: Line #\d+ is not using one of our templates", objection)


def test_the_pack_as_it_is_passes(sdk: validate.Sdk) -> None:
    """This checkout's pack is valid, every code looks at some of it, and none is unknown."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(validate.explicit_run, (sdk,)) == []


@pytest.mark.parametrize("edition", [build.OWN, build.BESIDE], ids=["own", "beside"])
def test_what_goes_into_the_zips_is_valid(
    sdk: validate.Sdk, pack: Pack, tmp_path: Path, edition: build.Edition
) -> None:
    """
    Given: the pack as it goes into a zip, with Bottle in its script.
    When: every code is run over it.
    Then: the SDK's only objection is that script and README name a licence, which is Bottle's.
    """
    build.prepare_pack(tmp_path / "content", build.Options(edition))
    shutil.move(pack.folder, tmp_path / "original")
    shutil.move(tmp_path / "content" / edition.pack, target := Path.cwd() / edition.pack)
    other = copy.copy(sdk)
    other.pack = edition.pack

    findings = [finding for codes, status in validate.RUNS for finding in run(other, codes, status)]

    shutil.rmtree(target)
    shutil.move(tmp_path / "original", pack.folder)
    assert {(finding.code, Path(finding.path).suffix) for finding in findings} == {
        ("BA119", ".py"),
        ("RM113", ".md"),
    }, findings


def test_the_test_playbook_follows_the_rules_for_playbooks(sdk: validate.Sdk, pack: Pack) -> None:
    """The SDK asks little of a test playbook; ours passes what it asks of a playbook, too."""
    numbers = "100 101 103 105 106 108 109 114 115 116 118 119 121 122 123 124 125 126 127"
    codes = validate.codes_of(PB=numbers, BA="100 101 106", ST="110")
    (pack.folder / "Playbooks").mkdir()
    pack.rename(PLAYBOOK, "Playbooks/playbook-Webhook_Try.yml")

    assert run(sdk, codes) == []


def test_a_code_that_does_not_exist_fails_loudly(
    sdk: validate.Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that says nothing is a problem, not a pass.

    So are a code that the SDK has dropped, one that looks at nothing here, and one in no list.
    """
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(sdk.blind_codes, (["IN100", "IN999", "GF100"],)) == ["GF100", "IN999"]
    monkeypatch.setattr(validate, "CODES", [code for code in validate.CODES if code != "IN100"])
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(sdk.unknown_codes) == {"IN100"}


def test_the_default_run_fails_on_a_broken_descriptor(tmp_path: Path) -> None:
    """The SDK's run, as a user types it; that it passes on the pack is part of the next test."""
    validate.copy_pack(tmp_path / "content")
    Pack(tmp_path / "content" / validate.PACK).yml(commonfields__id="Another Webhook")
    assert validate.default_run(tmp_path / "content") == 1


def test_validate_works_from_anywhere(tmp_path: Path) -> None:
    """The script is run from another folder, leaves nothing there, and passes."""
    done = subprocess.run(
        [sys.executable, validate.__file__],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "The pack is valid" in done.stdout
    assert list(tmp_path.iterdir()) == []
