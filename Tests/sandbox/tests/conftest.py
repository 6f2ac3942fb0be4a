"""Fixtures of the sandbox's own tests, which fail if the protocol was broken."""

import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from selenium.webdriver import Chrome

from Tests.sandbox import Sandbox
from Tests.sandbox.tests.browser import Page, chromium
from Tests.sandbox.tests.page_api import Api, credentials, paged
from Tests.sandbox.tests.probe import PROBE

HERE = Path(__file__).parent
Open = Callable[..., tuple[Page, Sandbox]]


@pytest.fixture
def make_sandbox() -> Iterator[Callable[..., Sandbox]]:
    """Return a function that starts a sandbox with Sandbox's arguments; it stops with the test."""
    started: list[Sandbox] = []

    def make(*args: Any, **kwargs: Any) -> Sandbox:
        sandbox = Sandbox(*args, **kwargs)
        started.append(sandbox)
        return sandbox.start()

    yield make
    for sandbox in started:
        sandbox.stop()
    broken = [line for sandbox in started for line in sandbox.protocol_errors]
    assert not broken, f"the container wrote to stdout something that is not a message: {broken}"


# ---- the probe


@pytest.fixture
def probe(tmp_path: Path) -> Path:
    path = tmp_path / "probe.py"
    path.write_text(PROBE)
    return path


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Return a pack whose unified integration is the probe."""
    path = tmp_path / "Probe.zip"
    descriptor = {
        "script": {"script": PROBE},
        "configuration": [
            {"name": "longRunningPort", "type": 0},
            {"name": "credentials", "type": 9},
            {"name": "hiddenOne", "type": 8, "hidden": True, "defaultvalue": "true"},
        ],
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("Integrations/integration-Probe.yml", yaml.safe_dump(descriptor))
    return path


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Return one sandbox for tests that leave nothing behind but incidents."""
    script = tmp_path_factory.mktemp("shared") / "probe.py"
    script.write_text(PROBE)
    with Sandbox(script=script) as sandbox:
        yield sandbox
    assert sandbox.protocol_errors == []


# ---- the page


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with paged(credentials()) as found:
        yield found


@pytest.fixture
def fresh(api: Api) -> Api:
    """The same page, with nothing in its lists."""
    api.post("/api/faults", {"clear": True})
    api.post("/api/reset")
    return api


# ---- the page in a browser


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with chromium() as started:
        yield started


@pytest.fixture
def open_page(
    driver: Chrome, make_sandbox: Callable[..., Sandbox]
) -> Iterator[Callable[..., tuple[Page, Sandbox]]]:
    """Return a function that opens a sandbox's page; the browser's console must stay empty."""
    opened: list[Page] = []

    def start(params: dict[str, Any] | None = None, **arguments: Any) -> tuple[Page, Sandbox]:
        sandbox = make_sandbox(params, page=True, **arguments)
        page = Page(driver, sandbox.page_url)
        page.resize(1280, 860)
        page.console()
        opened.append(page)
        return page, sandbox

    yield start
    for page in opened:
        assert page.console() == [], (
            "the browser complains, of a breach of the content security policy or an error"
        )
        driver.get("about:blank")


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return axe-core's source, as npm installs it by the lock file next to this test."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(
            "npm is not installed (Debian: apt-get install npm), "
            "so axe-core did not check the page's accessibility."
        )
    folder = tmp_path_factory.mktemp("axe")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        pytest.skip(
            "npm could not install axe-core, so the page's accessibility was not checked: "
            f"{done.stderr.strip()[-300:]}"
        )
    return (folder / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")
