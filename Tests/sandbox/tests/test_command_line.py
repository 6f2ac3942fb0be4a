"""The sandbox's command line, `python -m Tests.sandbox`."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from Tests.end_to_end.sender import PYTHON
from Tests.sandbox import Sandbox, free_port
from Tests.sandbox.descriptor import ROOT, load
from Tests.sandbox.store import open_store
from Tests.sandbox.tests.page_api import INSTANCE, JSON, shell
from Tests.sandbox.tests.page_api import ask as call
from Tests.sandbox.tests.probe import create

START_OF_LINE = ("curl ", "b()", "WEBHOOK_SECRET=")  # of what the sandbox prints to paste


def command_line(*words: object) -> list[str]:
    return [sys.executable, "-m", "Tests.sandbox", *map(str, words)]


@contextlib.contextmanager
def serving(*words: object) -> "Iterator[subprocess.Popen[str]]":
    """Run the command line next to the test, and never longer than it."""
    with subprocess.Popen(
        command_line(*words), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(12)
            except subprocess.TimeoutExpired:
                process.kill()


def run(*words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command_line(*words), cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )


def test_serve_shows_what_happens_and_stops_on_sigterm(pack: Path, tmp_path: Path) -> None:
    port, store = free_port(), tmp_path / "store.sqlite3"
    options = ("--param", "credentials=_header:X-Key:it's", "--latency", "createIncidents=5ms")
    with serving("--pack", pack, "--port", port, "--store", store, *options) as process:
        assert process.stdout
        assert f"http://127.0.0.1:{port}/instance/execute/webhook" in process.stdout.readline()
        pasted = process.stdout.readline()
        assert f" http://127.0.0.1:{port}/instance/execute/webhook " in pasted
        assert "-X" not in pasted, "--data-raw already makes it a POST"
        url = f"http://127.0.0.1:{port}/instance/execute/webhook"
        requests.post(url, data=create(name="evil \x1b[2J\x07name"), timeout=5)
        line = process.stdout.readline()
        shown = re.fullmatch(
            r"\d\d:\d\d:\d\d  POST /instance/execute/webhook  200  "
            r".*from 127\.0\.0\.1  (\d+\.\d) ms\n",
            line,
        )
        assert shown, line
        assert float(shown[1]) >= 5
        requests.post(
            url,
            data="(demisto.updateModuleHealth('ill'), demisto.updateModuleHealth('ill'))",
            timeout=5,
        )
        assert process.stdout.readline() == "health: ill\n"
        process.stdout.readline()
        requests.post(url, data="demisto.updateModuleHealth('')", timeout=5)
        assert process.stdout.readline() == "health: ok\n"
        process.stdout.readline()
        requests.post(url + "/\x1b[2J", data="1", timeout=5)
        assert "\x1b" not in process.stdout.readline()
        child = requests.post(url, data="os.getpid()", timeout=5).json()["value"]
        process.terminate()
        assert process.wait(12) == 0
        assert "Stopped" in process.stdout.read()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    "credentials",
    [
        "",
        "alice:it's ${HOME} `x`",
        "_header:X-Key:Bearer it's",
        "_query:token:a b&c=d",
        *(f"{scheme}:X-Proof:s3cret 5d1c" for scheme in ("_hmac", "_hmac-sha1", "_stripe")),
        "_hmac:X-Hub-Signature-256:secret",
        *(f"{scheme}:s3cret" for scheme in ("_slack", "_zoom", "_rootly", "_paddle")),
        "_standard-webhooks:whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0",
    ],
)
def test_the_printed_line_works_as_it_is_and_proves_itself(
    credentials: str, tmp_path: Path
) -> None:
    """Given: --param credentials=, with any scheme, its name and its secret
    When: the line that the sandbox prints is pasted into sh
    Then: it creates an incident, and none with another secret
    """
    words = ("--port", free_port(), "--store", tmp_path / "store.sqlite3")
    with serving(*words, "--param", f"credentials={credentials}") as process:
        assert process.stdout
        line = next(
            one for one in iter(process.stdout.readline, "") if one.startswith(START_OF_LINE)
        )
        assert " -X " not in line
        assert json.loads(shell(line, "not the secret"))[0]["id"] == "1"
        if credentials:
            wrong = re.sub(r"^WEBHOOK_SECRET=.*?; (?=b\(\)|curl)", "", line)
            assert json.loads(shell(wrong, "another")).keys() == {"error"}


def test_help_lists_the_parameters_with_their_labels_and_defaults() -> None:
    done = run("--help")
    assert done.returncode == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for parameter in load().parameters.values():
        label = parameter.row.get("display") or ""
        default = f" (default: {parameter.default})" if parameter.default else ""
        assert f"{parameter.name} {label}".strip() + default in lines


def test_the_newest_incidents_can_be_read_by_a_person(tmp_path: Path) -> None:
    with Sandbox(store=tmp_path / "store", start=False) as sandbox:
        for number in range(3):
            sandbox._store.create([{"name": f"n{number}", "rawJSON": '{"a":[1]}'}])
    done = run("incidents", "--store", tmp_path / "store", "--last", 2, "--pretty")
    assert (done.returncode, done.stderr) == (0, "")
    assert [name for name in ("n0", "n1", "n2") if name in done.stdout] == ["n1", "n2"]
    assert '"rawJSON": {\n    "a": [' in done.stdout
    assert run("incidents", "--last", 0).returncode == 2


def test_samples_says_when_they_are_off(tmp_path: Path) -> None:
    done = run(
        *("samples", "--store", tmp_path / "store", "--port", free_port()),
        *("--param", "store_samples=false"),
    )
    assert (done.returncode, done.stdout) == (0, "[]\n")
    assert "store_samples=true" in done.stderr


def test_reset_forgets_what_an_earlier_run_kept(pack: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite3"
    kept = Sandbox(
        pack=pack, start=False, store=store, context={"sample_events": '[{"name": "kept"}]'}
    )
    kept.stop()
    words = ("samples", "--pack", pack, "--store", store)
    assert json.loads(run(*words).stdout) == [{"name": "kept"}]
    assert json.loads(run(*words, "--reset").stdout) == []
    assert json.loads(run(*words).stdout) == []


def test_the_incidents_subcommand_prints_what_is_stored(pack: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite3"
    kept = open_store(store, "webhook")
    kept.create([{"name": "kept", "rawJSON": '{"note":"grüße"}'}, {"name": "too"}])
    kept.close()
    done = run("incidents", "--pack", pack, "--store", store)
    assert done.returncode == 0
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == ["kept", "too"]


def tox_line(folder: Path, *words: object) -> list[str]:
    """Return the README's command line, of the installed tox; else the module's.

    Nothing is installed: the environment borrows this one's packages.
    """
    tox = shutil.which("tox", path=f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}")
    if not tox:
        return command_line(*words)
    packages = sysconfig.get_path("purelib")
    changes = ("deps=", f"base_python={sys.executable}", f"set_env=PYTHONPATH={packages}")
    overrides = [word for change in changes for word in ("-x", f"testenv:serve.{change}")]
    options = ["--workdir", str(folder), *overrides, "-e", "serve", "--"]
    return [tox, "run", "-qq", *options, *map(str, words)]


def test_tox_prints_incidents_as_json_and_nothing_else(tmp_path: Path) -> None:
    """Given: stored incidents, and a file of parameters that is reported as unusable
    When: `tox run -qq -e serve -- incidents` runs, the first time and again
    Then: stdout is JSON alone
    """
    store = tmp_path / "store.sqlite3"
    kept = open_store(store, "webhook")
    kept.create([{"name": "one", "rawJSON": "{}"}, {"name": "two", "rawJSON": "{}"}])
    kept.close()
    (tmp_path / "store-webhook-params.json").write_text("{")
    for words in ((), ("--last", 1, "--pretty")):
        line = tox_line(tmp_path / "tox", "incidents", "--store", store, *words)
        done = subprocess.run(
            line, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done
        if words:
            assert json.loads(done.stdout)["name"] == "two"
        else:
            assert [json.loads(one)["name"] for one in done.stdout.splitlines()] == ["one", "two"]
            assert "cannot be used" in done.stderr


def test_the_test_subcommand_is_the_test_button(pack: Path) -> None:
    good, bad, broken = (
        run("test", "--pack", pack, "--store", ":memory:", "--param", f"credentials={user}:")
        for user in ("", "bad", "context")
    )
    assert (good.returncode, good.stdout) == (0, "ok\n")
    assert (bad.returncode, bad.stdout) == (1, "bad user\n")
    assert broken.returncode == 1
    assert "no integration context" in broken.stdout


def test_a_taken_port_is_one_sentence(pack: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("--pack", pack, "--port", port, "--store", ":memory:")
    assert (done.returncode, done.stderr) == (
        2,
        f"Port {port} is in use: choose another one with --port.\n",
    )


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--param", "nosuch=1"), "no parameter 'nosuch'"),
        (("--param", "nosuch"), "'nosuch' is not NAME=VALUE"),
        (("--latency", "createIncidents=20"), "write 500us, 20ms or 1.5s"),
        (
            ("--latency", "createIncident=20ms"),
            "no call 'createIncident'; the calls are createIncidents",
        ),
        (("--fail", "createIncidents=-1"), "is not a count"),
        (("--pack", "nosuch.zip"), "nosuch.zip cannot be read"),
    ],
    ids=str,
)
def test_a_wrong_command_line_says_so(words: tuple[str, ...], error: str) -> None:
    done = run(*words, "--store", ":memory:")
    assert done.returncode == 2
    assert error in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_ends_when_the_container_does(pack: Path) -> None:
    port = free_port()
    with serving("--pack", pack, "--port", port, "--store", ":memory:") as process:
        assert process.stdout
        process.stdout.readline()
        with contextlib.suppress(requests.RequestException):
            requests.post(
                f"http://127.0.0.1:{port}/instance/execute/webhook", data="os._exit(7)", timeout=5
            )
        assert process.wait(10) == 1
        assert "exit code 7" in process.stdout.read()


def test_serve_shows_the_page_s_address(tmp_path: Path) -> None:
    port = free_port()
    command = [
        PYTHON,
        "-m",
        "Tests.sandbox",
        "--port",
        str(port),
        "--store",
        str(tmp_path / "store.sqlite3"),
    ]
    command += ["--param", f"longRunningPort={free_port()}"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        try:
            lines = iter(process.stdout.readline, "")
            line = next(line for line in lines if "listens at" in line)
            assert f"See it at http://127.0.0.1:{port}/" in line
            assert call(port, "GET", "/")[0] == 200
            status, _, content = call(
                port, "POST", "/api/instance", b'{"params": {"store_samples": true}}', JSON
            )
            assert (status, json.loads(content)) == (200, {"ok": True})
            assert call(port, "POST", INSTANCE, b'{"name": "shown"}')[0] == 200
            assert any("#1 - shown" in line for line in lines)
        finally:
            process.terminate()
            assert process.wait(15) == 0
