"""Every code of validate.py's lists is shown to fail: a copy of the pack is broken in one way, and that code says so.

Runs in the SDK's environment (`tox run -e package`). A row is a code, a way to break the pack, and the codes that
rightly complain too; the test is exact, so a break that upsets more than it says fails as well.
"""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from Tests.pack import build, validate

INTEGRATION = "Integrations/GenericWebhook"
YML, README, DESCRIPTION = (
    f"{INTEGRATION}/{name}" for name in ("GenericWebhook.yml", "README.md", "GenericWebhook_description.md")
)
IMAGE, CODE, UNIT_TEST = (f"{INTEGRATION}/GenericWebhook{ending}" for ending in ("_image.png", ".py", "_test.py"))
PLAYBOOK = "TestPlaybooks/playbook-GenericWebhook-Test.yml"
NOTES = "ReleaseNotes/2_0_0.md"
META = "pack_metadata.json"


class Pack:
    """A copy of the pack, with a short word for each way to change it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def yml(self, **changes: Any) -> None:
        """Sets keys of the descriptor; None removes one, a dict is merged, script__x is script.x."""
        self._edit_yaml(YML, changes)

    def param(self, name: str, **changes: Any) -> None:
        """Sets keys of a parameter, which is added if it is not there."""
        data = self._read_yaml(YML)
        params = data["configuration"]
        param = next((param for param in params if param["name"] == name), None)
        if param is None:
            params.append(
                param := {"name": name, "display": name.capitalize(), "type": 0, "required": False, "section": "Connect"}
            )
        param.update(changes)
        self._write_yaml(YML, data)

    def rename_param(self, old: str, new: str) -> None:
        """Gives a parameter another name."""
        self.replace(YML, f"name: {old}\n", f"name: {new}\n")

    def command(self, name: str = "webhook-try", **changes: Any) -> None:
        """Adds a command that is right in all but the changes."""
        data = self._read_yaml(YML)
        data["script"]["commands"].append({"name": name, "description": "Tries it.", "arguments": [], "outputs": [], **changes})
        self._write_yaml(YML, data)
        self.append(README, f"\n### {name}\n\nTries it.\n")

    def meta(self, **changes: Any) -> None:
        """Sets keys of pack_metadata.json; None removes one."""
        data = json.loads((self.folder / META).read_text())
        self.write(META, json.dumps({key: value for key, value in {**data, **changes}.items() if value is not None}))

    def write(self, name: str, content: str | bytes) -> None:
        """Writes a file."""
        (self.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def append(self, name: str, text: str) -> None:
        """Adds text to the end of a file."""
        self.write(name, (self.folder / name).read_text() + text)

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


def png(width: int, height: int, padding: int = 0) -> bytes:
    """Returns a grey PNG of that many pixels, with that many bytes of padding in a comment."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(b"".join(b"\0" + b"\x80" * width for _ in range(height)))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"tEXt", b"Comment\0" + b" " * padding), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def default_image() -> bytes:
    """Returns the SDK's own example image, which nobody should ship."""
    import base64
    import importlib

    constants = importlib.import_module("demisto_sdk.commands.common.constants")
    return base64.b64decode(constants.DEFAULT_IMAGE_BASE64)


def every(*steps: Callable[[Pack], Any]) -> Callable[[Pack], None]:
    """Returns the steps as one."""

    def run(pack: Pack) -> None:
        for step in steps:
            step(pack)

    return run


def arg(name: str, **more: Any) -> dict[str, Any]:
    """Returns an argument of a command."""
    return {"name": name, "description": "An argument.", **more}


def output(path: str | None, description: str = "An output.") -> dict[str, Any]:
    """Returns an output of a command."""
    return {"description": description, "type": "String"} | ({"contextPath": path} if path is not None else {})


def ip_command(**changes: Any) -> Callable[[Pack], None]:
    """Adds the command `ip`, with all that the SDK asks of a reputation command but the changes."""
    scores = {
        "DBotScore.Indicator": "The indicator that was tested.",
        "DBotScore.Type": "The indicator type.",
        "DBotScore.Vendor": "The vendor used to calculate the score.",
        "DBotScore.Score": "The actual score.",
    }
    right: dict[str, Any] = {
        "arguments": [arg("ip", default=True, isArray=True)],
        "outputs": [*(output(*score) for score in scores.items()), output("IP.Address")],
    }
    return every(lambda p: p.param("integrationReliability"), lambda p: p.command("ip", **{**right, **changes}))


BETA = every(lambda p: p.yml(beta=True, display="Generic Webhook Beta"))
PARTNER = every(
    lambda p: p.meta(support="partner", email="team@example.com"), lambda p: p.write("Author_image.png", png(120, 50))
)
# The marketplace "platform" asks more of what fetches, see BA133.
ONLY_XSOAR = every(lambda p: p.meta(marketplaces=["xsoar"]), lambda p: p.yml(marketplaces=["xsoar"]))
FETCH = every(
    ONLY_XSOAR,
    lambda p: p.yml(script__isfetch=True),
    lambda p: p.param("isFetch", display="Fetch incidents", type=8),
    lambda p: p.param("max_fetch", display="Maximum", defaultvalue="50"),
    lambda p: p.param("first_fetch", display="First fetch"),
)
FEED = every(
    ONLY_XSOAR,
    lambda p: p.yml(script__feed=True),
    lambda p: p.param("integrationReliability"),
    lambda p: p.param("feedExpirationPolicy", display="", type=17, options=["never", "interval", "indicatorType", "suddenDeath"]),
)


class Row(NamedTuple):
    """A code, a way to break the pack, and the codes that complain with it."""

    code: str
    broken: Callable[[Pack], Any]
    also: str = ""


ROWS = [
    Row("BA100", lambda p: p.yml(commonfields__version=1)),
    Row("BA101", lambda p: p.yml(commonfields__id="Another Webhook")),
    Row("BA103", lambda p: p.yml(tests=[])),
    Row("BA104", lambda p: p.append(DESCRIPTION, "<~XSOAR>never closed")),
    Row("BA105", lambda p: p.yml(commonfields__id="Generic/Webhook", name="Generic/Webhook")),
    Row("BA106", lambda p: p.yml(fromversion="4.1.0")),
    Row("BA110", lambda p: p.yml(display="Generic Webhook Integration")),
    Row("BA111", lambda p: p.yml(display="Generic Webhook (Community)")),
    Row("BA113", lambda p: p.yml(commonfields__id="Generic Webhook ", name="Generic Webhook ")),
    Row("BA118", lambda p: p.yml(fromversion="9.0.0", toversion="8.0.0")),
    Row("BA119", lambda p: p.append(CODE, "\n# Copyright of nobody\n")),
    Row("BA124", every(PARTNER, lambda p: p.remove(UNIT_TEST))),
    Row("BA125", lambda p: p.append(README, "\nThe command is called long-running-execution.\n")),
    Row("BA128", lambda p: p.command("1st-webhook-try")),
    Row("BA131", lambda p: p.yml(supportedModules=["none"]), "BA130 PA134 ST110 ST114"),
    Row("BA130", lambda p: p.yml(marketplaces=["xsoar", "marketplacev2"]), "PA134"),
    Row("BA132", every(ONLY_XSOAR, lambda p: p.yml(supportedModules=["xsiam"]))),
    Row(
        "BA133",
        every(FETCH, lambda p: p.yml(marketplaces=["xsoar", "platform"]), lambda p: p.meta(marketplaces=["xsoar", "platform"])),
    ),
    Row("CO190", lambda p: p.param("engine")),
    Row("DO100", lambda p: p.yml(script__dockerimage="demisto/generic-webhook:latest")),
    Row("DO101", lambda p: p.yml(script__dockerimage="stranger/generic-webhook:1.0.0.1")),
    Row("DO102", lambda p: p.yml(script__dockerimage="demisto/py3-native:8.2.0.1")),
    Row("DS100", every(BETA, lambda p: p.remove(DESCRIPTION)), "DS101 DS104"),
    Row("DS101", BETA),
    Row("DS104", lambda p: p.remove(DESCRIPTION)),
    Row("DS105", lambda p: p.append(DESCRIPTION, "\n### Partner Contributed Integration\n")),
    Row("DS108", lambda p: p.yml(description="Creates incidents")),
    Row("IM100", lambda p: p.remove(IMAGE)),
    Row("IM101", lambda p: p.write(IMAGE, png(120, 50, padding=11 * 1024))),
    Row("IM106", lambda p: p.write(IMAGE, default_image()), "IM111"),
    Row("IM108", lambda p: p.write("Author_image.png", b"")),
    Row("IM109", every(PARTNER, lambda p: p.remove("Author_image.png"))),
    Row("IM111", lambda p: p.write(IMAGE, png(100, 100))),
    Row("IN100", lambda p: p.param("proxy", display="Proxy", type=8)),
    Row("IN101", ip_command(outputs=[output("IP.Address")])),
    Row("IN102", lambda p: p.param("store_samples", required=True)),
    Row("IN106", ip_command(arguments=[arg("other")])),
    Row("IN107", lambda p: p.command("endpoint", arguments=[arg("ip", default=True, isArray=True)])),
    Row("IN108", lambda p: p.yml(script__subtype="python9")),
    Row("IN109", every(BETA, lambda p: p.yml(commonfields__id="Webhook Beta")), "BA101 DS101"),
    Row("IN110", every(BETA, lambda p: p.yml(name="Webhook Beta")), "BA101 DS101"),
    Row("IN112", lambda p: p.yml(beta=True), "DS101"),
    Row("IN113", lambda p: p.command(arguments=[arg("twice"), arg("twice")])),
    Row("IN114", lambda p: p.yml(configuration=[param for param in p._read_yaml(YML)["configuration"] for _ in (1, 2)])),
    Row("IN115", lambda p: p.command(outputs=[output(None)])),
    Row("IN117", lambda p: p.param("feedExpirationPolicy", display="Expiration", type=17)),
    Row("IN118", lambda p: p.param("certificate", display="")),
    Row("IN121", every(FETCH, lambda p: p.param("isFetch", display="Fetch"))),
    Row("IN122", every(FEED, lambda p: p.param("feedReputation", display="Wrong", type=0, additionalinfo="Wrong."))),
    Row("IN123", lambda p: p.yml(display="Generic Webhook V2")),
    Row("IN125", every(FETCH, lambda p: p.param("max_fetch", defaultvalue=""))),
    Row("IN126", every(FETCH, lambda p: p.rename_param("first_fetch", "another_fetch"))),
    Row("IN130", lambda p: p.yml(script__longRunning=False)),
    Row("IN131", lambda p: p.yml(script__ismappable=True)),
    Row("IN134", lambda p: p.command(arguments=[arg("one", default=True), arg("two", default=True)])),
    Row("IN135", lambda p: p.param("certificate", display="certificate")),
    Row("IN141", lambda p: p.command("endpoint", outputs=[output("Endpoint.ID")])),
    Row("IN142", lambda p: p.param("API key", additionalinfo="Something else.")),
    Row("IN144", ip_command(arguments=[arg("ip", default=True)])),
    Row("IN145", every(lambda p: p.meta(support="xsoar"), lambda p: p.param("token", type=4))),
    Row("IN146", lambda p: p.param("certificate", fromlicense="encrypted")),
    Row("IN149", lambda p: p.command(outputs=[output("IP.Address", "")])),
    Row(
        "IN151",
        lambda p: p.replace(YML, "commands: []", "commands:\n  - {name: webhook-try, description: Tries it., arguments: }"),
        "ST110",
    ),
    Row("IN152", lambda p: p.param("store_samples", defaultvalue="yes")),
    Row("IN153", lambda p: p.param("url", defaultvalue="http://example.com")),
    Row("IN154", every(ip_command(), lambda p: p.rename_param("integrationReliability", "another"))),
    Row("IN156", lambda p: p.param("certificate", hidden="sometimes")),
    Row("IN158", lambda p: p.yml(description="Deprecated. Use Another Webhook instead.")),
    Row("IN159", every(ip_command(), lambda p: p.replace(YML, "IP.Address", "ip.Address")), "IN107"),
    Row("IN160", lambda p: p.yml(display="Generic Webhook (Deprecated)")),
    Row("IN161", every(ONLY_XSOAR, lambda p: p.yml(script__isfetchevents=True))),
    Row("IN162", every(PARTNER, lambda p: p.yml(script__isfetchevents=True)), "BA133"),
    Row("IN163", every(FEED, lambda p: p.param("feedExpirationPolicy", type=1))),
    Row("IN168", lambda p: p.yml(script__mcp=True)),
    Row("IN169", lambda p: p.yml(provider="")),
    Row("IN170", lambda p: p.param("certificate", supportedModules=["none"]), "ST110"),
    Row("IN171", lambda p: p.param("certificate", supportedModules=[])),
    Row("MC101", lambda p: p.meta(managed=True, source="somewhere")),
    Row("PA100", lambda p: p.meta(tags=["nowhere:Webhook"])),
    Row("PA101", lambda p: p.meta(currentVersion="2.0.1")),
    Row("PA104", lambda p: p.meta(modules=["none"])),
    Row("PA105", lambda p: p.meta(modules=["compliance"], marketplaces=["xsoar"])),
    Row("PA107", lambda p: p.meta(author=None), "ST110"),
    Row("PA108", lambda p: p.meta(name="fill mandatory field"), "PA125"),
    Row("PA109", lambda p: p.meta(description="")),
    Row("PA111", lambda p: p.meta(keywords=[""])),
    Row("PA113", every(PARTNER, lambda p: p.meta(email=""))),
    Row("PA115", lambda p: p.meta(created="yesterday")),
    Row("PA117", lambda p: p.meta(support="nobody"), "ST110"),
    Row("PA118", lambda p: p.meta(certification="doubtful")),
    Row("PA123", lambda p: p.meta(tags=["Use Case"])),
    Row("PA125", lambda p: p.meta(name="Generic Webhook Pack")),
    Row("PA127", every(PARTNER, lambda p: p.meta(url="https://github.com/example/example"))),
    Row("PA128", lambda p: p.remove(".secrets-ignore")),
    Row("PA130", lambda p: p.meta(currentVersion="2.0.0.0")),
    Row(
        "PA134",
        every(lambda p: p.meta(supportedModules=["xsiam", "edr"]), lambda p: p.yml(supportedModules=["xsiam"])),
    ),
    Row("PA135", lambda p: p.write(".pack-ignore", "[pack]\nignore=BA108\n")),
    Row("PA137", every(lambda p: p.meta(managed=True), lambda p: p.write("deployment.json", "{}")), "ST110"),
    Row("PB109", lambda p: p.replace(PLAYBOOK, "    taskid: ", "    taskid: 0")),
    Row("RM100", lambda p: p.append(README, "\n## Known Limitations\n\n## More\n")),
    Row("RM101", lambda p: p.append(README, "\n![image](https://github.com/demisto/content/blob/master/a.png)\n"), "RM108"),
    Row(
        "RM102",
        every(
            lambda p: p.command(outputs=[output("Webhook.ID")]),
            lambda p: p.append(
                README,
                "\n#### Base Command\n\n`webhook-try`\n\n#### Context Output\n\n| **Path** | **Type** | **Description** |\n"
                "| --- | --- | --- |\n| Webhook.Name | String | The name. |\n",
            ),
        ),
    ),
    Row("RM104", every(PARTNER, lambda p: p.write("README.md", ""))),
    Row("RM105", lambda p: p.meta(description=(p.folder / "README.md").read_text())),
    Row("RM107", lambda p: p.append(README, "\n%%FILL HERE%%\n")),
    Row("RM108", lambda p: p.append(README, "\n![image](../../pictures/a.png)\n")),
    Row("RM109", lambda p: p.remove(README)),
    Row("RM113", lambda p: p.append("README.md", "\nCopyright of nobody\n")),
    Row("RM114", lambda p: p.append(README, "\n![image](../../doc_files/missing.png)\n")),
    Row("RM115", lambda p: p.append(README, "\nFILL IN REQUIRED PERMISSIONS HERE\n")),
    Row("RM117", lambda p: p.write("README.md", "Too short.")),
    Row("RN103", lambda p: p.append(NOTES, "\n- %%UPDATE_RN%%\n")),
    Row("RN112", lambda p: p.append(NOTES, "\n- A breaking change.\n")),
    Row("ST110", lambda p: p.yml(nobody_knows_this=True)),
    Row("ST111", lambda p: p.yml(sectionorder=None)),
    Row("ST114", lambda p: p.yml(supportedModules=["none"]), "BA130 BA131 PA134 ST110"),
    Row("ST115", every(lambda p: p.meta(supportedFeatures=["one"]), lambda p: p.yml(supportedFeatures=["two"]))),
    Row("VC100", lambda p: p.write("version_config.json", '{"8.9.0": {"until": "1.0.0"}}'), "VC101"),
    Row("VC101", lambda p: p.write("version_config.json", '{"8.9.0": {"to": "1.0.0"}, "9.5.0": {"from": "1.0.1"}}')),
    Row("BA108", lambda p: p.rename(INTEGRATION, "Integrations/Generic_Webhook")),
    Row("BA109", lambda p: p.write(f"{INTEGRATION}/Generic_Webhook.md", "")),
    Row("BA127", every(lambda p: p.meta(support="xsoar"), lambda p: p.command(outputs=[output("One.Two.Three.Four.Five.Six")]))),
    Row("RM110", every(lambda p: p.command(), lambda p: p.replace(README, "webhook-try", "webhook"))),
    Row("ST112", lambda p: p.command(quickaction=True)),
    Row("ST113", lambda p: p.yml(supportedModules=[])),
    Row("IN124", lambda p: p.param("certificate", hidden=True)),
    Row("PA102", lambda p: p.yml(deprecated=True)),
    Row("RN113", lambda p: p.replace(NOTES, "#### Integrations", "#### Webhooks"), "RN114"),
    Row("RN114", lambda p: p.replace(NOTES, "##### Generic Webhook", "##### Another Webhook")),
    Row("RN115", lambda p: p.replace(NOTES, "##### Generic Webhook", "")),
    Row("RN116", lambda p: p.write(NOTES, "- News.\n")),
]


@pytest.fixture(scope="session")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[validate.Sdk]:
    """The SDK, in this process, over a copy of the pack; the process gets its folder and environment back."""
    root, cwd, environment = tmp_path_factory.mktemp("sdk") / "content", Path.cwd(), dict(os.environ)
    validate.copy_pack(root)
    yield validate.Sdk(root)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)


def run(sdk: validate.Sdk, codes: list[str], status: str | None = None) -> list[validate.Finding]:
    """Runs codes in a fork of this process: the SDK remembers each file it has read for as long as its process lives."""
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

    assert {finding.code for finding in findings} == {row.code, *row.also.split()}, "\n".join(map(str, findings))


def test_every_code_has_a_row() -> None:
    """Every code of the lists is shown to fail, and none twice."""
    codes = [code for codes, _ in validate.RUNS for code in codes]

    assert sorted(row.code for row in ROWS) == sorted(codes)
    assert not set(codes) & set(validate.LEFT_OUT)


def test_the_pack_as_it_is_passes(sdk: validate.Sdk) -> None:
    """The pack of this checkout is valid, every code looks at something of it, and no code of the SDK is new."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(validate.explicit_run, (sdk,)) == []


@pytest.mark.parametrize("edition", [build.OWN, build.BESIDE], ids=["own", "beside"])
def test_what_goes_into_the_zips_is_valid(sdk: validate.Sdk, pack: Pack, tmp_path: Path, edition: build.Edition) -> None:
    """
    Given: the pack as it goes into a zip, with Bottle in its script.
    When: every code is run over it.
    Then: the SDK has nothing against it but that script and README speak of a licence, which is Bottle's.
    """
    build.prepare_pack(tmp_path / "content", build.Options(edition))
    shutil.move(pack.folder, tmp_path / "original")
    shutil.move(tmp_path / "content" / edition.pack, target := Path.cwd() / edition.pack)
    other = copy.copy(sdk)
    other.pack = edition.pack

    findings = [finding for codes, status in validate.RUNS for finding in run(other, codes, status)]

    shutil.rmtree(target)
    shutil.move(tmp_path / "original", pack.folder)
    assert {(finding.code, Path(finding.path).suffix) for finding in findings} == {("BA119", ".py"), ("RM113", ".md")}, findings


def test_the_test_playbook_follows_the_rules_for_playbooks(sdk: validate.Sdk, pack: Pack) -> None:
    """The SDK asks little of a test playbook; ours passes what it asks of a playbook, too."""
    codes = "PB100 PB101 PB103 PB105 PB106 PB108 PB109 PB114 PB115 PB116 PB118 PB119 PB121 PB122 PB123 PB124 PB125 PB126 PB127"
    (pack.folder / "Playbooks").mkdir()
    pack.rename(PLAYBOOK, "Playbooks/playbook-Webhook_Try.yml")

    assert run(sdk, [*codes.split(), "BA100", "BA101", "BA106", "ST110"]) == []


def test_a_code_that_does_not_exist_fails_loudly(sdk: validate.Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A code the SDK has dropped, one that looks at nothing here, and one that nobody has looked at are problems, not a pass."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(sdk.blind_codes, (["IN100", "IN999", "IF100"],)) == ["IF100", "IN999"]
    monkeypatch.setattr(validate, "CODES", [code for code in validate.CODES if code != "IN100"])
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(sdk.unknown_codes) == {"IN100"}


def test_the_default_run_fails_on_a_broken_descriptor(tmp_path: Path) -> None:
    """The SDK's own run, as a user types it, passes on the pack and fails on a broken descriptor."""
    validate.copy_pack(tmp_path / "content")
    assert validate.default_run(tmp_path / "content") == 0

    Pack(tmp_path / "content" / validate.PACK).yml(commonfields__id="Another Webhook")
    assert validate.default_run(tmp_path / "content") == 1


def test_validate_works_from_anywhere(tmp_path: Path) -> None:
    """The script is run from another folder, leaves nothing there, and passes."""
    done = subprocess.run([sys.executable, validate.__file__], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "The pack is valid" in done.stdout
    assert list(tmp_path.iterdir()) == []
