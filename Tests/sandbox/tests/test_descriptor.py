"""Parameters as the descriptor declares them, from the command line and from a built pack."""

import zipfile
from pathlib import Path

import pytest
import yaml

from Tests.sandbox import DescriptorError, Sandbox
from Tests.sandbox.descriptor import INTEGRATION, load
from Tests.sandbox.tests.probe import PROBE, Make, ask


def test_defaults_come_from_the_descriptor_the_hidden_ones_too() -> None:
    declared = yaml.safe_load(INTEGRATION.with_suffix(".yml").read_text())["configuration"]
    sandbox = Sandbox(start=False)
    assert set(sandbox.params) == {row["name"] for row in declared}
    assert sandbox.params["longRunning"] is True
    assert sandbox.params["store_samples"] is True
    assert sandbox.params["accept_get"] is False
    assert sandbox.params["credentials"] == {
        "identifier": "",
        "password": "",
        "passwordChanged": False,
    }
    assert 0 < int(sandbox.params["longRunningPort"]) < 65536
    sandbox.stop()


@pytest.mark.parametrize(
    ("text", "identifier", "password"),
    [
        ("user:pass:word", "user", "pass:word"),
        ("_header:Authorization:Bearer a:b", "_header:Authorization", "Bearer a:b"),
        ("_header:X", "_header:X", ""),
        ("_hmac:X-Hub-Signature-256:a:b", "_hmac:X-Hub-Signature-256", "a:b"),
        ("_hmac-sha1:X-Hub-Signature:a", "_hmac-sha1:X-Hub-Signature", "a"),
        ("_query:token:a:b", "_query:token", "a:b"),
        ("_stripe:Stripe-Signature:whsec", "_stripe:Stripe-Signature", "whsec"),
        ("_slack:a:b", "_slack", "a:b"),
        ("_standard-webhooks:whsec_a", "_standard-webhooks", "whsec_a"),
        ("user", "user", ""),
        (":word", "", "word"),
        ("@nofile:x", "@nofile", "x"),
    ],
)
def test_credentials_split_as_the_forms_fields(
    probe: Path, text: str, identifier: str, password: str
) -> None:
    credentials = load(probe).params({"credentials": text})["credentials"]
    assert (credentials["identifier"], credentials["password"]) == (identifier, password)


def test_values_follow_their_types(probe: Path, tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("PEM\n")
    params = load(probe).params(
        {
            "store_samples": "true",
            "longRunning": False,
            "certificate": f"@{tmp_path / 'cert.pem'}",
            "own": 1,
        }
    )
    assert (
        params["store_samples"],
        params["longRunning"],
        params["certificate"],
        params["own"],
    ) == (True, False, "PEM\n", 1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"stor_samples": "true"}, r"no parameter 'stor_samples'.*longRunningPort.*store_samples"),
        ({"store_samples": "maybe"}, r"'store_samples' is a checkbox"),
        ({"certificate": "@/no/such/file"}, r"'certificate' names a file"),
    ],
)
def test_a_wrong_parameter_says_which_and_why(given: dict[str, str], words: str) -> None:
    with pytest.raises(DescriptorError, match=words):
        Sandbox(given, start=False)


def test_a_built_pack_runs_with_its_own_parameters(
    make_sandbox: Make, pack: Path, tmp_path: Path
) -> None:
    sandbox = make_sandbox(pack=pack)
    assert ask(sandbox, "demisto.params()['hiddenOne']") is True
    assert set(sandbox.params) == {"longRunningPort", "credentials", "hiddenOne"}
    outer = tmp_path / "uploadable_packs.zip"
    with zipfile.ZipFile(outer, "w") as archive:
        archive.write(pack, "Probe.zip")
    assert load(pack=outer).code == PROBE
    with pytest.raises(DescriptorError, match="cannot be read"):
        load(pack=tmp_path / "none.zip")
