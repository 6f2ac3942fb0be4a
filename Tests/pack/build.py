#!/usr/bin/env python3
"""Builds dist/GenericWebhook.zip, the file to upload in Marketplace > Upload, with demisto-sdk.

    python Tests/pack/build.py [--docker-image NAME]

The SDK stamps its zip with the time; here times, order and modes are set, so the same sources give the same bytes. Each run
builds twice, from two folders, and compares.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a script, from any folder

from Tests.pack.validate import PACK, ROOT, copy_pack, sdk_environment

DESCRIPTOR = PACK / "Integrations/GenericWebhook/GenericWebhook.yml"
OUTPUT = ROOT / "dist/GenericWebhook.zip"
OLDEST_TIME = (1980, 1, 1, 0, 0, 0)  # of the zip format
# What Docker takes for an image: an optional registry with its port, names in lower case, an optional tag and digest.
IMAGE_NAME = re.compile(r"([\w.-]+(:\d+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?", re.ASCII)


def named_image(descriptor: Path) -> str:
    """Returns the image a descriptor names."""
    return re.findall(r"(?m)^  dockerimage: (.*)$", descriptor.read_text())[0]


def set_docker_image(descriptor: Path, image: str) -> None:
    """Puts another image into a descriptor; raises ValueError unless it has exactly one."""
    text, count = re.subn(r"(?m)^(  dockerimage: ).*$", lambda match: match[1] + image, descriptor.read_text())
    if count != 1:
        raise ValueError(f"{descriptor.name} has {count} lines 'dockerimage:', one is expected")
    descriptor.write_text(text)


def sdk_zip(folder: Path, image: str | None) -> Path:
    """Lets the SDK unify and zip a copy of the pack in the empty folder, and returns the zip it made.

    Raises RuntimeError with the SDK's own words if it fails.
    """
    root = folder / "content"
    copy_pack(root)
    if image:
        set_docker_image(root / DESCRIPTOR, image)
    command = [sys.executable, "-m", "demisto_sdk", "zip-packs", "-i", str(PACK), "-o", str(folder)]
    done = subprocess.run(command, cwd=root, env=sdk_environment(root), capture_output=True, text=True, check=False)
    made = folder / "uploadable_packs" / f"{PACK.name}.zip"
    if done.returncode or not made.exists():
        raise RuntimeError(f"demisto-sdk zip-packs failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return made


def without_the_time(name: str, content: bytes) -> bytes:
    """Returns a file of the zip; metadata.json, where the SDK writes when it ran, then says when the pack was created."""
    if name != "metadata.json":
        return content
    metadata = json.loads(content)
    return json.dumps({**metadata, "updated": metadata["created"]}, indent=4).encode()


def build(image: str | None = None) -> bytes:
    """Returns the zip's bytes: the SDK's files, in the order of their names, with one time and mode."""
    with tempfile.TemporaryDirectory(prefix="pack-") as name:
        folder = Path(name)
        target = folder / "same.zip"
        with zipfile.ZipFile(sdk_zip(folder, image)) as made, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
            for entry in sorted(made.namelist()):
                info = zipfile.ZipInfo(entry, OLDEST_TIME)
                info.create_system, info.external_attr = 3, (0o40755 if entry.endswith("/") else 0o100644) << 16
                out.writestr(info, without_the_time(entry, made.read(entry)), zipfile.ZIP_DEFLATED)
        return target.read_bytes()


def docker_image(text: str) -> str:
    """Returns the name of an image as it is; raises ArgumentTypeError if Docker would not take it."""
    if not IMAGE_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of an image, which looks like demisto/generic-webhook:1.0.0.1")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds the zip twice and writes it; returns the exit code."""
    parser = argparse.ArgumentParser(description="Builds the zip to upload in Marketplace > Upload.")
    parser.add_argument(
        "--docker-image", type=docker_image, metavar="NAME", help="the image to run in, instead of the descriptor's"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FILE", help=f"default: {OUTPUT.relative_to(ROOT)}")
    options = parser.parse_args(arguments)
    try:
        print("1/2 demisto-sdk zips the pack", flush=True)
        content = build(options.docker_image)
        print("2/2 once more, to compare", flush=True)
        if build(options.docker_image) != content:
            raise RuntimeError("Two builds gave different bytes: something of this machine or its clock is in the zip.")
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_bytes(content)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"No zip was made. {error}", file=sys.stderr)
        return 1
    image = options.docker_image or f"{named_image(ROOT / DESCRIPTOR)} (the descriptor's; --docker-image names another)"
    print(f"{options.output.resolve()}\n{len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}\nimage: {image}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
