#!/usr/bin/env python3
"""Validates the pack with demisto-sdk: its default run, then all codes that need no network.

    python Tests/pack/validate.py

The SDK's default run looks at 15 codes. The lists below add the rest, code by code, and
test_validate.py makes one of each list fail. A code of the SDK is in a list, is left out with a
reason, or is about kinds of content that this pack does not have: an SDK that brings a code nobody
has looked at, or drops one of ours, fails the run.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACK = Path("Packs/GenericWebhook")
MODULES = Path("Packs/ApiModules")  # what the SDK pastes into the pack's script


def codes_of(**families: str) -> list[str]:
    """Returns the codes of each family: codes_of(BA="100 101") is ["BA100", "BA101"]."""
    return [
        f"{family}{number}" for family, numbers in families.items() for number in numbers.split()
    ]


CODES = codes_of(
    BA="100 101 103 104 105 106 110 111 113 116 118 119 124 125 128 130 131 132 133",
    CO="190",
    DO="100 101 102",
    DS="100 101 104 105 108",
    IF="100 101 102 103 104 105 106 109 116 118 119",
    IM="100 101 106 108 109 111",
    IN=(
        "100 101 102 106 107 108 109 110 112 113 114 115 117 118 121 122 123 125 126 130 131 134 "
        "135 141 142 144 145 146 149 151 152 153 154 156 158 159 160 161 162 163 168 169 170 171"
    ),
    IT="102 103",
    LO="100 107",
    MC="101",
    PA="100 101 104 105 107 108 109 111 113 115 117 118 123 125 127 128 130 134 135 137",
    PB="109",
    RM="100 101 102 104 105 107 108 109 113 114 115 117",
    RN="103 112",
    ST="110 111 114 115",
    VC="100 101",
)
CODES_OF_ADDED_FILES = codes_of(
    BA="108 109 127", IF="113 115", IT="100 101", RM="110", ST="112 113"
)
CODES_OF_MODIFIED_FILES = codes_of(IN="124", PA="102", RN="107 111 113 114 115 116")

_NETWORK = "asks a registry or the platform's content repository over the network"
_LISTS = "compares with a list that only the platform's content repository has"
_GRAPH = "needs the content graph, which is a Neo4j database"
_DEPRECATED = "is about deprecated content, which the SDK takes from it before it can look"
_OLD = "compares with the version before, and this is the first one"
LEFT_OUT = {
    "BA112": _NETWORK,
    "BA114": _OLD,
    "BA126": _DEPRECATED,
    "BA129": _NETWORK,
    "BA134": _LISTS,
    "CO192": "is about connectors, and its run collects them from another repository",
    "DO103": _NETWORK,
    "DO104": "is in the default run; where it fails, it asks a registry for the newest image",
    "DO105": _NETWORK,
    "DO106": _NETWORK,
    "IF111": _OLD,
    "IF117": _GRAPH,
    "IN104": _LISTS,
    "IN127": _DEPRECATED,
    "IN139": _NETWORK,
    "IN164": _OLD,
    "MC102": "is about packs that the platform's owner manages",
    "PA103": _LISTS,
    "PA114": _OLD,
    "PA119": _LISTS,
    "PA120": _LISTS,
    "PA121": _OLD,
    "PA124": _GRAPH,
    "PA133": _GRAPH,
    "PA136": "compares packs with each other, and here is one",
    "RN105": _OLD,
    "RN106": "asks whether git calls the notes added, which it is told here for RN107 and RN111",
    "RN108": "forbids release notes in a pack that is new to the platform's repository, as ours is",
    **dict.fromkeys(codes_of(BC="100 102 104 105 106 107 108 110 112 113 114 115 117"), _OLD),
    **dict.fromkeys(codes_of(GR="100 101 102 103 104 105 106 107 108 109 110 114 118"), _GRAPH),
}


@dataclass(frozen=True, order=True)
class Finding:
    """One thing the SDK has against the pack."""

    code: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.code} {self.message}"


def copy_pack(root: Path, source: Path = ROOT) -> None:
    """Copies the packs into the empty content root and commits them.

    The SDK looks for a git repository with a commit, and takes untracked files for content; what
    tools left in the packs is therefore not copied.
    """
    left_by_tools = shutil.ignore_patterns("__pycache__", ".*_cache", "*.pyc")
    for pack in (PACK, MODULES):
        shutil.copytree(source / pack, root / pack, ignore=left_by_tools)
    git = [
        "git",
        "-c",
        "user.name=pack",
        "-c",
        "user.email=pack@localhost",
        "-c",
        "commit.gpgsign=false",
    ]
    for command in (
        ["init", "--quiet"],
        ["add", "--all", "--force"],
        ["commit", "--quiet", "--message", "The pack"],
    ):
        subprocess.run([*git, *command], cwd=root, check=True)


def sdk_environment(root: Path) -> dict[str, str]:
    """Returns the environment in which the SDK takes a folder for the content repository."""
    quiet = {"DEMISTO_SDK_IGNORE_CONTENT_WARNING": "1", "DEMISTO_SDK_LOG_NO_COLORS": "true"}
    paths = {
        "DEMISTO_SDK_CONTENT_PATH": str(root),
        "DEMISTO_SDK_LOG_FILE_PATH": str(root.with_name("logs")),
    }
    return {**os.environ, **quiet, **paths}


def default_run(root: Path, pack: Path = PACK) -> int:
    """Runs `demisto-sdk validate -i <pack>` and returns its exit code.

    If that is not 0, the SDK's output is shown.
    """
    command = [sys.executable, "-m", "demisto_sdk", "validate", "-i", str(pack)]
    done = subprocess.run(
        command, cwd=root, env=sdk_environment(root), capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(done.stdout + done.stderr, flush=True)
    return done.returncode


@contextlib.contextmanager
def no_network() -> Iterator[list[str]]:
    """Refuses every connection inside the block, and yields the list of what was asked for."""
    asked: list[str] = []

    def refuse(*where: Any, **_: Any) -> Any:
        asked.append(str(where[:2]))
        raise OSError("validate.py runs without a network")

    kept = socket.getaddrinfo
    socket.getaddrinfo = refuse
    try:
        yield asked
    finally:
        socket.getaddrinfo = kept


class Sdk:
    """The SDK inside this process: many runs for one import of it, which takes seconds.

    The SDK fixes the content root when it is imported, so a process has one; the pack in it may
    change between runs.
    """

    def __init__(self, root: Path, pack: Path = PACK) -> None:
        self.pack = pack
        os.environ.update(sdk_environment(root))
        os.chdir(root)
        importlib.import_module("loguru").logger.disable("demisto_sdk")
        # These are the command's own imports, in its order.
        importlib.import_module("demisto_sdk.commands.validate.validate_setup")
        validate = "demisto_sdk.commands.validate"
        self._initializer = importlib.import_module(f"{validate}.initializer").Initializer
        self._manager = importlib.import_module(f"{validate}.validate_manager").ValidateManager
        self._config = importlib.import_module(f"{validate}.config_reader").ConfigReader
        self._results = importlib.import_module(f"{validate}.validation_results").ResultWriter
        self._validators = importlib.import_module(
            f"{validate}.validators.base_validator"
        ).get_all_validators
        self._notes_checker = importlib.import_module(
            "demisto_sdk.commands.doc_reviewer.rn_checker"
        ).ReleaseNotesChecker
        constants = importlib.import_module("demisto_sdk.commands.common.constants")
        self._status, self._mode = constants.GitStatuses, constants.ExecutionMode.SPECIFIC_FILES
        # The SDK would ask git, and for that a remote. The notes are new, as in any update.
        related_files = importlib.import_module(
            "demisto_sdk.commands.content_graph.parsers.related_files"
        )
        related_files.RNRelatedFile.git_status = self._status.ADDED

    def manager(self, codes: Iterable[str], status: str | None = None) -> Any:
        """Returns the SDK's manager for a run of the codes over the pack.

        status: what git seems to call the pack's files, such as "ADDED".
        """
        initializer = self._initializer(file_path=str(self.pack), execution_mode=self._mode)
        items, invalid = initializer.gather_objects_to_run_on()
        for item in items:
            item.git_status = self._status[status] if status else None
        initializer.gather_objects_to_run_on = lambda: (items, invalid)
        config = self._config(explicitly_selected=list(codes))
        return self._manager(
            validation_results=self._results(), config_reader=config, initializer=initializer
        )

    def run(self, codes: Iterable[str], status: str | None = None) -> list[Finding]:
        """Runs the codes and returns what they found.

        Raises RuntimeError if one asks for the network or fails itself.
        """
        codes = list(codes)
        with no_network() as asked:
            manager = self.manager(codes, status)
            manager.run_validations()
        if asked:
            raise RuntimeError(f"One of {codes} asked for the network: {asked}")
        return sorted(self._findings(manager.validation_results))

    def blind_codes(self, codes: Iterable[str], status: str | None = None) -> list[str]:
        """Returns the codes whose runs would say nothing.

        The SDK does not have them, or they look at nothing of the pack.
        """
        manager = self.manager(codes, status)
        looked = {
            validator.error_code
            for validator in manager.validators
            if self._looks(manager, validator)
        }
        return sorted(set(codes) - looked)

    def unknown_codes(self) -> set[str]:
        """Returns the SDK's codes that look at some of the pack and are in no list of this file."""
        ours = {*CODES, *CODES_OF_ADDED_FILES, *CODES_OF_MODIFIED_FILES, *LEFT_OUT}
        kinds = tuple({type(item) for item in self.manager(["BA100"]).objects_to_run})
        return {v.error_code for v in self._validators() if issubclass_of(v, kinds)} - ours

    def wording(self) -> list[str]:
        """Returns what the SDK's review of documents has against the release notes, line by line.

        It wants a line to begin with one of its phrases, such as "Added the", and to end with a
        period.
        """
        found = []
        for notes in sorted((Path(self.pack) / "ReleaseNotes").glob("*.md")):
            checker = self._notes_checker(str(notes), notes.read_text().splitlines())
            checker.check_rn()
            found += [
                f"{notes}: {objection}"
                for objections in checker.notes.values()
                for objection in objections
            ]
        return found

    def _looks(self, manager: Any, validator: Any) -> bool:
        return any(
            validator.should_run(item, [], {}, self._mode) for item in manager.objects_to_run
        )

    @staticmethod
    def _findings(results: Any) -> Iterator[Finding]:
        if results.validation_caught_exception_results:
            raise RuntimeError(str(results.validation_caught_exception_results))
        for result in results.validation_results:
            yield Finding(result.validator.error_code, str(result.rel_path), result.message)
        for result in results.invalid_content_item_results:
            yield Finding(result.error_code, str(result.path), result.message)


def issubclass_of(validator: Any, kinds: tuple[type, ...]) -> bool:
    """Tells whether a validator is for content of one of the kinds."""
    wanted = validator.get_content_types()
    return any(issubclass(kind, wanted) for kind in kinds)


RUNS = ((CODES, None), (CODES_OF_ADDED_FILES, "ADDED"), (CODES_OF_MODIFIED_FILES, "MODIFIED"))


def explicit_run(sdk: Sdk) -> list[str]:
    """Runs every code of the three lists and returns the problems.

    These are findings, wording of the release notes, codes that look at nothing, and codes that are
    in no list.
    """
    problems = [str(finding) for codes, status in RUNS for finding in sdk.run(codes, status)]
    problems += sdk.wording()
    blind = [code for codes, status in RUNS for code in sdk.blind_codes(codes, status)]
    problems += [
        f"{code} is not in the SDK any more, or looks at nothing of the pack" for code in blind
    ]
    return problems + [
        f"{code} is new in the SDK: put it into a list of {Path(__file__).name}"
        for code in sdk.unknown_codes()
    ]


def main() -> int:
    """Validates the pack of this checkout; returns the exit code."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pack-") as name:
        copy_pack(root := Path(name) / "content")
        print(f"1/3 demisto-sdk validate -i {PACK}, and -i {MODULES}", flush=True)
        problems = [
            f"demisto-sdk validate -i {pack} failed, see above"
            for pack in (PACK, MODULES)
            if default_run(root, pack)
        ]
        print("2/3 nothing is ignored", flush=True)
        problems += [
            f"{name} is not empty"
            for name in (".pack-ignore", ".secrets-ignore")
            if (root / PACK / name).read_text()
        ]
        count = sum(len(codes) for codes, _ in RUNS)
        print(
            f"3/3 {count} more codes; "
            f"{len(LEFT_OUT)} left out, each with a reason in {Path(__file__).name}",
            flush=True,
        )
        problems += explicit_run(Sdk(root))
        os.chdir(ROOT)
    print("\n".join(problems) or f"The pack is valid ({time.monotonic() - started:.0f} s).")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
