"""What the pack says of its version: the notes for who updates, and the warning before it."""

from __future__ import annotations

import json
import re

from Tests.pack.validate import PACK, ROOT

VERSION = json.loads((ROOT / PACK / "pack_metadata.json").read_text())["currentVersion"]
FILE = ROOT / PACK / "ReleaseNotes" / VERSION.replace(".", "_")
NOTES = FILE.with_suffix(".md").read_text()


def what_can_break() -> list[str]:
    """Returns what the notes say that an existing instance has to be checked for."""
    announced, *notes = re.findall(r"(?m)^- Note: (.*)$", NOTES)
    assert "breaking changes" in announced
    return notes


def test_the_warning_before_the_update_is_what_the_notes_say() -> None:
    """The Marketplace shows breakingChangesNotes before it installs, instead of all the notes."""
    config = json.loads(FILE.with_suffix(".json").read_text())

    assert config["breakingChanges"] is True
    assert config["breakingChangesNotes"].splitlines() == [f"- {note}" for note in what_can_break()]


def test_the_newest_notes_are_those_of_the_version() -> None:
    """There are notes of no other version that the Marketplace would show."""
    assert sorted(FILE.parent.iterdir()) == [FILE.with_suffix(".json"), FILE.with_suffix(".md")]
