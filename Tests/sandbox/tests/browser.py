"""A real headless Chromium with the sandbox's page, driven by Debian's chromedriver."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

T = TypeVar("T")
SECONDS = 60.0  # until a condition has to be true; a busy machine needs long to restart a container
EVERY_SECONDS = 0.05
FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Text of a hidden element is not visible to anybody, so it does not count.
BY_TEXT = """
const [selector, text] = arguments;
const matches = (one) => one.checkVisibility() && one.textContent.trim() === text;
return [...document.querySelectorAll(selector)].find(matches) ?? null;
"""
SHOWN_TEXT = "return document.querySelector('main > section:not([hidden])')?.innerText ?? ''"

AXE = """
const done = arguments[0];
axe.run(document, {resultTypes: ['violations']}).then((result) => done(
  result.violations.map((one) =>
    [one.id, one.nodes.map((node) => [String(node.target), node.failureSummary])])));
"""


def program(*names: str) -> str:
    """Return the path of the first program that is installed; skip the test if none is."""
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        pytest.skip(
            f"{names[0]} is not installed (Debian: apt-get install chromium chromium-driver), "
            "so no browser opened the page."
        )
    return found


@contextlib.contextmanager
def chromium() -> Iterator[Chrome]:
    """Run a browser with its own profile until the block ends."""
    browser, driver = (
        program("chromium", "chromium-browser", "google-chrome"),
        program("chromedriver"),
    )
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location = browser
        for flag in (
            *FLAGS,
            f"--user-data-dir={profile}",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
        ):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        # An alert is a failure, so the driver must not close it.
        options.set_capability("unhandledPromptBehavior", "ignore")
        chrome = Chrome(options=options, service=Service(driver))
        try:
            yield chrome
        finally:
            chrome.quit()


class Page:
    """The sandbox's page in a browser, as a person uses it."""

    def __init__(self, driver: Chrome, url: str) -> None:
        self.driver = driver
        self.url = url

    def open(self, view: str = "") -> None:
        """Load the page anew at a view such as `requests/3`; without one, at its plain address."""
        self.driver.get("about:blank")
        self.driver.get(self.url + (f"#/{view}" if view else ""))
        self.until(
            lambda: self.script(
                "return document.querySelector('main > section:not([hidden])') !== null"
            ),
            "a view",
        )

    def go(self, title: str) -> None:
        """Click a view's link."""
        self.click("nav a", title)

    def script(self, code: str, *values: Any) -> Any:
        """Return what JavaScript returns."""
        return self.driver.execute_script(code, *values)

    def until(self, condition: Callable[[], T | None], what: str, seconds: float = SECONDS) -> T:
        """Return a condition's value once it is true; else fail with what the page shows."""
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(StaleElementReferenceException):
                value = condition()
                if value:
                    return value
            assert time.monotonic() < end, f"{what} did not appear; the page shows:\n{self.text()}"
            time.sleep(EVERY_SECONDS)

    def text(self) -> str:
        """Return the text of the visible view."""
        return str(self.script(SHOWN_TEXT))

    def shows(self, text: str, within: str = "") -> None:
        """Wait until the view, or an element, shows a text."""
        read = (lambda: self.find(within).text) if within else self.text
        self.until(lambda: text in read(), repr(text))

    def find(self, selector: str) -> WebElement:
        """Return the first visible element of a CSS selector, once there is one."""
        return self.until(
            lambda: next(
                (
                    one
                    for one in self.driver.find_elements(By.CSS_SELECTOR, selector)
                    if one.is_displayed()
                ),
                None,
            ),
            selector,
        )

    def all(self, selector: str) -> list[WebElement]:
        """Return all elements of a CSS selector, hidden ones too."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def named(self, selector: str, text: str) -> WebElement:
        """Return the visible element of a CSS selector with this text, once there is one."""
        found: WebElement = self.until(
            lambda: self.script(BY_TEXT, selector, text), f"{selector} {text!r}"
        )
        return found

    def click(self, selector: str, text: str = "") -> None:
        """Click an element as a person does: it has to be in sight and not covered."""

        def clicked() -> bool:
            element = self.named(selector, text) if text else self.find(selector)
            self.script("arguments[0].scrollIntoView({block: 'center'})", element)
            element.click()
            return True

        # It is repeated if a list was redrawn in between.
        self.until(clicked, f"a click on {selector} {text}")

    def fill(self, selector: str, text: str) -> None:
        """Replace the text of a field by typing."""
        field = self.find(selector)
        self.script("arguments[0].scrollIntoView({block: 'center'})", field)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text or Keys.DELETE)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def unfold(self) -> None:
        """Open everything that is folded in the view."""
        self.script(
            "const folded = document.querySelectorAll('main > section:not([hidden]) details');"
            "for (const one of folded) one.open = true"
        )

    def resize(self, width: int, height: int, theme: str = "") -> None:
        """Set the window's size in CSS pixels, and the system's theme if one is named."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": features if theme else []}
        )

    def violations(self, axe: str) -> list[Any]:
        """Return what axe-core finds; `axe` is its source."""
        self.script(axe)
        return list(self.driver.execute_async_script(AXE))

    def console(self) -> list[str]:
        """Return what the browser has written to its console since the last call."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]


def picture(page: Page, path: Path) -> None:
    """Write what the window shows as a PNG."""
    path.write_bytes(page.driver.get_screenshot_as_png())
