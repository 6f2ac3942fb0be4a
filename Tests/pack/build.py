#!/usr/bin/env python3
"""Builds dist/GenericWebhook.zip, the file to upload in Marketplace > Upload, with demisto-sdk.

    python Tests/pack/build.py [--beside] [--docker-image NAME] [--product PRODUCT] [--output FILE]

What goes into the zip differs from the checkout's pack in three things, each a function below: the
script carries Bottle, which the platform's image does not have, the test playbook is left out, and
the help's parts for the products are chosen. One option gets its quotes back. The SDK stamps its
zip with the time; here times, order and modes are set, so the same sources give the same bytes.
Each run builds twice, from two folders, and compares.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a script, from any folder

from Tests.pack.validate import PACK, ROOT, copy_pack, sdk_environment

DESCRIPTOR = PACK / "Integrations/GenericWebhook/GenericWebhook.yml"
OLDEST_TIME = (1980, 1, 1, 0, 0, 0)  # of the zip format
# What Docker takes for an image: an optional registry with its port, names in lower case, and an
# optional tag and digest.
IMAGE_NAME = re.compile(
    r"([\w.-]+(:\d+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
BOTTLE_VERSION = "0.13.4"
# The digest of bottle.py in that version's wheel.
BOTTLE_SHA256 = "e7e27201eda83d31324484235b1f17b77b26c1d1c015023101fdd84f5fd70176"
CARRIER = ROOT / "Tests/pack/carrier.py"
# What the SDK removes from a script wherever it finds it, inside a string too. literal() splits a
# string behind the last space, so that the SDK no longer finds it.
UNIFIER_REMOVES = re.compile(
    r"(from __future__ import |import demistomock |from CommonServer(?:User)?Python import )"
)
PRODUCT_TAG = re.compile(r"</?~[A-Z_,]+>\n?")
PRODUCTS = {  # as the SDK calls the marketplaces for which it chooses the parts of a text
    "xsoar": "xsoar",  # XSOAR 6 and 8 On-prem
    "xsoar-cloud": "xsoar_saas",
    "xsiam": "marketplacev2",
}


@dataclass(frozen=True)
class Edition:
    """What a pack is called.

    folder: the pack's folder, which is also its ID.
    name: the pack's display name, which is also the integration's ID.
    """

    folder: str
    name: str

    @property
    def pack(self) -> Path:
        """The pack's folder, as the SDK wants it: relative to the content's root."""
        return PACK.with_name(self.folder)

    def file(self, ending: str) -> Path:
        """A file of the integration, such as GenericWebhook.yml for the ending `.yml`."""
        return self.pack / "Integrations" / self.folder / f"{self.folder}{ending}"


OWN = Edition("GenericWebhook", "Generic Webhook")
BESIDE = Edition("GenericWebhookPlus", "Generic Webhook Plus")


@dataclass(frozen=True)
class Options:
    """What a user may choose: the edition, another image, and the one product to show help for."""

    edition: Edition = OWN
    image: str | None = None
    product: str | None = None


def named_image(descriptor: Path) -> str:
    """Returns the image a descriptor names."""
    return re.findall(r"(?m)^  dockerimage: (.*)$", descriptor.read_text())[0]


def replace_once(file: Path, pattern: str, value: str) -> None:
    """Puts a value behind what a pattern finds in a file.

    Raises ValueError unless the pattern finds exactly one line.
    """
    text, count = re.subn(f"(?m)^({pattern}).*$", lambda match: match[1] + value, file.read_text())
    if count != 1:
        raise ValueError(f"{file.name} has {count} lines '{pattern}', one is expected")
    file.write_text(text)


def rename_pack(root: Path, edition: Edition) -> None:
    """Gives the pack under the root, and its integration, another ID and display name."""
    folder = root / PACK / "Integrations" / OWN.folder
    for file in list(folder.glob(f"{OWN.folder}*")):
        file.rename(folder / file.name.replace(OWN.folder, edition.folder, 1))
    folder.rename(folder.with_name(edition.folder))
    (root / PACK).rename(root / edition.pack)
    for line in ("  id: ", "display: ", "name: "):
        replace_once(root / edition.file(".yml"), line, edition.name)
    replace_once(
        root / edition.file(".yml"), "defaultmapperin: ", f"{edition.name} - Incoming Mapper"
    )
    pack = root / edition.pack
    for file in [*pack.glob("*/*.json"), *pack.glob("ReleaseNotes/*.md")]:
        rename_content(file, edition)
    replace_once(pack / "pack_metadata.json", '    "name": ', json.dumps(edition.name) + ",")


def rename_content(file: Path, edition: Edition) -> None:
    """Gives a type, a field, a layout, a mapper or release notes the edition's names, everywhere.

    A field's short name is its name in lower case, without spaces; a file's name has underscores.
    """
    text = file.read_text().replace(OWN.name, edition.name)
    file.write_text(text.replace(OWN.folder.lower(), edition.folder.lower()))
    name = file.name.replace(OWN.name.replace(" ", "_"), edition.name.replace(" ", "_"))
    file.rename(file.with_name(name.replace(OWN.folder, edition.folder)))


def published_bottle() -> str:
    """Returns the text of the installed bottle.py.

    Raises RuntimeError if it is not the published one of the pinned version.
    """
    wheel = importlib.metadata.distribution("bottle")
    content = Path(str(wheel.locate_file("bottle.py"))).read_bytes()
    if wheel.version != BOTTLE_VERSION or hashlib.sha256(content).hexdigest() != BOTTLE_SHA256:
        raise RuntimeError(
            f"The installed Bottle (version {wheel.version}) is not the published {BOTTLE_VERSION}:"
            " make the environment anew with `tox run -r -e pack`."
        )
    return content.decode()


def bottle_license() -> str:
    """Returns the text of Bottle's licence."""
    text = importlib.metadata.distribution("bottle").read_text("licenses/LICENSE")
    if not text:
        raise RuntimeError(
            "The installed Bottle has no licence: "
            "make the environment anew with `tox run -r -e pack`."
        )
    return text.strip()


def literal(text: str) -> str:
    """Returns Python that means the text and looks like it.

    It is one raw string, split only where a raw string cannot hold the text or the SDK would change
    it.
    """
    raw = "r'''" + text.replace("'''", "''' \"'''\" r'''") + "'''"
    written = UNIFIER_REMOVES.sub("\\1''' r'''", raw)
    if ast.literal_eval(written) != text:
        raise RuntimeError(
            "bottle.py cannot be written into the script as it is: "
            "see literal() in Tests/pack/build.py."
        )
    return written


def carry_bottle(script: Path) -> None:
    """Puts Bottle at the beginning of the script.

    Its licence stands before it, and with it what makes it a module where the image has none.
    """
    licence = "\n".join(f"# {line}".rstrip() for line in bottle_license().splitlines())
    carrier = CARRIER.read_text().replace(
        'BOTTLE = ""', f"BOTTLE = {literal(published_bottle())}", 1
    )
    rule = "# " + "-" * 117
    title = f"# Bottle {BOTTLE_VERSION}, by Marcel Hellkamp, under the MIT licence:"
    head = f"{rule}\n{title}\n#\n{licence}\n{rule}\n"
    script.write_text(f"{head}{carrier}\n\n# End of Bottle\n{rule}\n\n{script.read_text()}")


def name_bottle(pack: Path) -> None:
    """Says in the pack's description and README that Bottle is inside, and under which licence."""
    metadata = json.loads((pack / "pack_metadata.json").read_text())
    metadata["description"] += f" Includes Bottle {BOTTLE_VERSION} (MIT license)."
    (pack / "pack_metadata.json").write_text(json.dumps(metadata, indent=4) + "\n")
    with (pack / "README.md").open("a") as readme:
        readme.write(
            "\n#### Third-party software\n\n"
            f"The integration's script includes [Bottle](https://bottlepy.org) {BOTTLE_VERSION} "
            "by Marcel Hellkamp, unchanged, under the MIT license, whose text stands before it in "
            "the script. It is used where the Docker image has no Bottle of its own.\n"
        )


def carried_bottle(script: str) -> str:
    """Returns the SHA-256 of the Bottle in a unified script; raises ValueError if there is none."""
    for statement in ast.parse(script).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "BOTTLE":
            return hashlib.sha256(ast.literal_eval(statement.value).encode()).hexdigest()
    raise ValueError("there is no Bottle in the script")


def prepare_pack(root: Path, options: Options) -> None:
    """Makes, under the empty root, the pack that goes into the zip."""
    copy_pack(root)
    shutil.rmtree(root / PACK / "TestPlaybooks")
    if options.edition != OWN:
        rename_pack(root, options.edition)
    if options.image:
        replace_once(root / options.edition.file(".yml"), "  dockerimage: ", options.image)
    if options.product is None:
        description = root / options.edition.file("_description.md")
        description.write_text(PRODUCT_TAG.sub("", description.read_text()))
    carry_bottle(root / options.edition.file(".py"))
    name_bottle(root / options.edition.pack)


def sdk_zip(folder: Path, options: Options) -> Path:
    """Lets the SDK unify and zip the pack in the empty folder, and returns the zip it made.

    Raises RuntimeError with the SDK's own words if it fails.
    """
    prepare_pack(root := folder / "content", options)
    environment = {
        **sdk_environment(root),
        "DEMISTO_SDK_MARKETPLACE": PRODUCTS[options.product or "xsoar"],
    }
    command = [
        sys.executable,
        "-m",
        "demisto_sdk",
        "zip-packs",
        "-i",
        str(options.edition.pack),
        "-o",
        str(folder),
    ]
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    made = folder / "uploadable_packs" / f"{options.edition.folder}.zip"
    if done.returncode or not made.exists():
        raise RuntimeError(
            f"demisto-sdk zip-packs failed ({done.returncode}):\n{done.stdout}{done.stderr}"
        )
    return made


def unified_script(archive: zipfile.ZipFile, edition: Edition) -> str:
    """Returns the script inside a zip's unified descriptor."""
    unified = yaml.safe_load(archive.read(f"Integrations/integration-{edition.folder}.yml"))
    return str(unified["script"]["script"])


def without_the_time(name: str, content: bytes) -> bytes:
    """Returns a file of the zip without the time of the SDK's run.

    The SDK writes it into metadata.json, as `updated`; the time when the pack was created replaces
    it.
    """
    if name != "metadata.json":
        return content
    metadata = json.loads(content)
    return json.dumps({**metadata, "updated": metadata["created"]}, indent=4).encode()


def with_quoted_words(content: bytes) -> bytes:
    """Returns a unified descriptor whose options are all texts, quoted where YAML 1.1 reads more.

    The SDK writes the option `off` without quotes, and the platform's reader would make it false.
    """
    head, script, rest = content.partition(b"\nscript:\n")
    return re.sub(rb"(?m)^( *- )(on|off|yes|no)$", rb"\1'\2'", head) + script + rest


def build(options: Options = Options()) -> bytes:
    """Returns the zip's bytes: the SDK's files in the order of their names, one time and mode."""
    with tempfile.TemporaryDirectory(prefix="pack-") as name:
        folder = Path(name)
        target = folder / "same.zip"
        with (
            zipfile.ZipFile(sdk_zip(folder, options)) as made,
            zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out,
        ):
            if carried_bottle(unified_script(made, options.edition)) != BOTTLE_SHA256:
                raise RuntimeError(
                    "demisto-sdk changed bottle.py inside the script: "
                    "see literal() in Tests/pack/build.py."
                )
            for entry in sorted(made.namelist()):
                info = zipfile.ZipInfo(entry, OLDEST_TIME)
                info.create_system, info.external_attr = (
                    3,
                    (0o40755 if entry.endswith("/") else 0o100644) << 16,
                )
                content = without_the_time(entry, made.read(entry))
                if entry.startswith("Integrations/") and entry.endswith(".yml"):
                    content = with_quoted_words(content)
                out.writestr(info, content, zipfile.ZIP_DEFLATED)
        return target.read_bytes()


def docker_image(text: str) -> str:
    """Returns an image's name unchanged; raises ArgumentTypeError if Docker would refuse it."""
    if not IMAGE_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an image's name, which looks like demisto/syslog:1.0.0.1"
        )
    return text


def parse(arguments: Sequence[str] | None) -> tuple[Options, Path]:
    """Returns what the command line asks for, and where the zip goes.

    A command line that is wrong ends the process.
    """
    parser = argparse.ArgumentParser(
        description="Builds the zip to upload in Marketplace > Upload."
    )
    add = parser.add_argument
    add(
        "--beside",
        action="store_true",
        help=f"call the pack {BESIDE.name!r}, to try it beside the published one",
    )
    add(
        "--docker-image",
        type=docker_image,
        metavar="NAME",
        help="the image to run in, instead of the descriptor's",
    )
    add(
        "--product",
        choices=PRODUCTS,
        help="show in the instance's help only this product's steps (default: all)",
    )
    add(
        "--output",
        type=Path,
        metavar="FILE",
        help=f"default: dist/{OWN.folder}.zip, with --beside dist/{BESIDE.folder}.zip",
    )
    found = parser.parse_args(arguments)
    options = Options(BESIDE if found.beside else OWN, found.docker_image, found.product)
    return options, found.output or ROOT / f"dist/{options.edition.folder}.zip"


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds the zip twice and writes it; returns the exit code."""
    options, output = parse(arguments)
    try:
        print("1/2 demisto-sdk zips the pack", flush=True)
        content = build(options)
        print("2/2 once more, to compare", flush=True)
        if build(options) != content:
            raise RuntimeError(
                "Two builds gave different bytes: "
                "something of this machine or its clock is in the zip."
            )
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(content)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"No zip was made. {error}", file=sys.stderr)
        return 1
    image = (
        options.image
        or f"{named_image(ROOT / DESCRIPTOR)} (the descriptor's; --docker-image names another)"
    )
    print(
        output.resolve(),
        f"{len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}",
        f"image: {image}",
        sep="\n",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
