"""What the pack says of its version: the notes for who updates, and the warning before it."""

from __future__ import annotations

import json
import re

import yaml

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


# ---- docs/CHANGELOG.md says the same

CHANGELOG = (ROOT / "docs/CHANGELOG.md").read_text()
SECTION = CHANGELOG.partition(f"\n## {VERSION}\n")[2].partition("\n## ")[0]
DESCRIPTOR = yaml.safe_load(
    (ROOT / PACK / "Integrations/GenericWebhook/GenericWebhook.yml").read_text()
)
# Parameters of the published pack, and the one that is shown nowhere.
KNOWN = {
    "Listen Port",
    "Username",
    "Certificate",
    "Private Key",
    "Incident type",
    "Store sample events for mapping",
    "Duplication key",
    "Mirroring direction",
    "Mirroring instance",
    "Mirroring tags",
    "Long running instance",
}
REMOVED = {"Answer handshakes", "Also accept", "_hmac-sha256"}


def named(text: str) -> set[str]:
    """Returns the parameters and removed things that a text names, and the commands.

    Parameters stand between asterisks, commands between three of them or as a user types them.
    """
    italic = set(re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", text))
    commands = set(re.findall(r"\*\*\*([^*]+)\*\*\*|`!([\w-]+)`", text))
    code = set(re.findall(r"`(_[\w-]+)`", text))
    names = {row["display"].partition(" (")[0] for row in DESCRIPTOR["configuration"]}
    return ((italic | code) & (names | REMOVED)) | {one or other for one, other in commands}


def test_both_name_the_same() -> None:
    """Release notes and What changed name the same parameters, commands and removed things."""
    assert named(NOTES) == named(SECTION)


def test_everything_new_is_named() -> None:
    """Each parameter that the published pack has not, each command and each removed thing."""
    parameters = {row["display"].partition(" (")[0] for row in DESCRIPTOR["configuration"]}
    commands = {command["name"] for command in DESCRIPTOR["script"]["commands"]}

    assert named(NOTES) >= (parameters - KNOWN) | commands | REMOVED


def test_both_say_the_same_of_what_can_break() -> None:
    """What changed has a sentence a line; joined, they are the notes."""
    text = SECTION.partition("\n### What to check before the update\n")[2]
    bullets = re.findall(r"(?m)^- (.*(?:\n  .*)*)", text)

    assert [re.sub(r"\n +", " ", bullet) for bullet in bullets] == what_can_break()


def test_both_name_the_image() -> None:
    """The image is that of the descriptor."""
    image = DESCRIPTOR["script"]["dockerimage"]

    assert f"- Updated the Docker image to: *{image}*." in NOTES
    assert f"`{image}`" in SECTION
