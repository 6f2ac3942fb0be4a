"""What *Save & restart* saved is there again at the next start."""

import json
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from Tests.sandbox import free_port
from Tests.sandbox.saved import SavedParams
from Tests.sandbox.tests.page_api import JSON, shell
from Tests.sandbox.tests.page_api import ask as call
from Tests.sandbox.tests.test_command_line import START_OF_LINE, run, serving

SECRET = "s3cret-5d1c"


class Run:
    """A sandbox from the command line, until ctrl-C."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        assert process.stdout
        self._process = process
        self.port = port
        self.said: list[str] = []
        for line in iter(process.stdout.readline, ""):
            self.said.append(line)
            if line.startswith(START_OF_LINE):
                break

    def save(self, **params: Any) -> None:
        status, _, answer = call(
            self.port, "POST", "/api/instance", json.dumps({"params": params}).encode(), JSON
        )
        assert status == 200, answer

    def params(self) -> dict[str, Any]:
        _, _, answer = call(self.port, "GET", "/api/instance")
        return {one["name"]: one["value"] for one in json.loads(answer)["parameters"]}

    def end(self) -> None:
        self._process.send_signal(signal.SIGINT)
        assert self._process.wait(15) == 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/instance/execute/webhook"


def saved_file(store: Path) -> Path:
    return store.with_name("store-webhook-params.json")


def test_what_was_saved_is_there_again_after_ctrl_c(tmp_path: Path) -> None:
    """Given: credentials, a mapping and a text that begins with @, saved on the page
    When: the sandbox is stopped with ctrl-C and started again, then with --param, then --reset
    Then: they apply again, a line names them, --param comes before them, --reset forgets them
    """
    store, port = tmp_path / "store.sqlite3", free_port()
    words = ("--store", store, "--port", port)
    with serving(*words, "--param", "type_from=kind") as process:
        first = Run(process, port)
        assert not [line for line in first.said if "last run" in line]
        first.save()
        assert not saved_file(store).exists(), "nothing was changed"
        credentials = {"identifier": "_header:X-Key", "password": SECRET}
        first.save(credentials=credentials, severity_from="loudness", events_path="@file")
        first.end()
    assert stat.S_IMODE(saved_file(store).stat().st_mode) == 0o600
    assert json.loads(saved_file(store).read_text()).keys() == {
        *("credentials", "severity_from", "events_path")
    }, "not what only the command line said"
    with serving(*words, "--param", "severity_from=other") as process:
        second = Run(process, port)
        [line] = [line for line in second.said if "last run" in line]
        assert line.startswith("From the last run: Username, Events in. --param")
        assert SECRET not in "".join(second.said)
        [made] = json.loads(shell(second.said[-1], SECRET))
        assert made["id"] == "1"
        params = second.params()
        assert (params["severity_from"], params["events_path"]) == ("other", "@file")
        assert requests.post(second.url, json={"name": "a"}, timeout=10).status_code == 401
        proof = {"X-Key": SECRET}
        found = requests.post(second.url, json={"name": "a"}, headers=proof, timeout=10)
        assert found.status_code == 200
        second.save(events_path="")
        second.end()
    assert json.loads(saved_file(store).read_text()).keys() == {"credentials", "severity_from"}
    done = run("incidents", *words)
    assert done.stderr == "", "the parameters are nothing to incidents"
    assert (done.returncode, [json.loads(one)["name"] for one in done.stdout.splitlines()]) == (
        0,
        ["incident created via generic webhook", "a"],
    )
    with serving(*words, "--reset") as process:
        third = Run(process, port)
        assert not [line for line in third.said if "last run" in line]
        assert third.params()["credentials"] == {"identifier": ""}
        third.end()
    assert not saved_file(store).exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Expecting property name"),
        ("[1]", "it holds no JSON object"),
        ("\udcff", "can't decode byte"),
        ('{"accept_get": "perhaps"}', "is a checkbox"),
        ('{"credentials": 5}', "give an identifier"),
        ('{"recognize": "no such option"}', "choose one of"),
        ("[" * 100_000, "recursion"),
    ],
    ids=["cut", "array", "bytes", "checkbox", "credentials", "option", "deep"],
)
def test_a_file_that_cannot_be_used_is_reported_and_kept(
    tmp_path: Path, text: str, why: str
) -> None:
    store = tmp_path / "store.sqlite3"
    path = saved_file(store)
    kept = [path.with_name(f"{path.name}.{name}") for name in ("broken", "broken-2")]
    for number in (0, 1):
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        done = run("test", "--store", store)
        assert (done.returncode, done.stdout) == (0, "ok\n"), done
        assert f"{path} cannot be used: " in done.stderr
        assert why in done.stderr
        assert f"It is kept as {kept[number].name}; the defaults apply.\n" in done.stderr
        assert kept[number].read_bytes() == text.encode("utf-8", "surrogateescape")
        assert not path.exists()


def test_the_test_button_of_the_command_line_uses_what_was_saved(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite3"
    saved_file(store).write_text('{"severity_map": "no words", "of_another_pack": 1}')
    done = run("test", "--store", store)
    assert done.returncode == 1
    assert "Severity words" in done.stdout
    assert done.stderr.startswith("From the last run: Severity words. ")
    assert run("test", "--store", store, "--instance", "another").stdout == "ok\n"
    assert run("test", "--store", store, "--param", "severity_map=").stdout == "ok\n"


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    saved = SavedParams(tmp_path / "store.sqlite3", "webhook")
    saved.update({}, {"a": 1}, {})
    with pytest.raises(TypeError):
        saved.update({}, {"a": object()}, {})
    assert json.loads(saved.path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [saved.path]


def test_parameters_that_cannot_be_kept_are_a_sentence(tmp_path: Path) -> None:
    """Given: a folder in which the file cannot be replaced
    When: parameters are saved
    Then: the instance runs with them, and the page says that the next one will not
    """
    store, port = tmp_path / "store.sqlite3", free_port()
    with serving("--store", store, "--port", port) as process:
        found = Run(process, port)
        saved_file(store).mkdir()
        body = b'{"params": {"severity_from": "loudness"}}'
        status, _, answer = call(port, "POST", "/api/instance", body, JSON)
        assert status == 500
        assert json.loads(answer)["error"].startswith("The instance runs with these parameters")
        assert found.params()["severity_from"] == "loudness"
        found.end()
