"""A real headless Chromium on the sandbox's page, driven by Debian's chromedriver."""

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
SECONDS = 60.0  # until a condition has to be true; a busy machine takes long to restart a container
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
# The text of an element that is hidden is no text that a person sees.
BY_TEXT = """
const [selector, text] = arguments;
return [...document.querySelectorAll(selector)].find((one) => one.checkVisibility() && one.textContent.trim() === text) ?? null;
"""
SHOWN_TEXT = "return [...document.querySelectorAll('main > section')].find((one) => !one.hidden)?.innerText ?? ''"


def program(*names: str) -> str:
    """Return the path of the first program that is there; the test is skipped where none is."""
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        pytest.skip(
            f"{names[0]} is not installed (Debian: apt-get install chromium chromium-driver), so no browser opened the page."
        )
    return found


@contextlib.contextmanager
def chromium() -> Iterator[Chrome]:
    """Run a browser with a profile of its own until the block ends."""
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
        options.set_capability(
            "unhandledPromptBehavior", "ignore"
        )  # an alert is a failure, not something to wave away
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
        """Load the page anew at a view such as `requests/3`; without one, as somebody opens its address."""
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
        """Return a condition's value once it is true; AssertionError with what the page shows if it never is."""
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(StaleElementReferenceException):
                value = condition()
                if value:
                    return value
            assert time.monotonic() < end, f"{what} did not come; the page shows:\n{self.text()}"
            time.sleep(EVERY_SECONDS)

    def text(self) -> str:
        """Return the text of the view that is shown."""
        return str(self.script(SHOWN_TEXT))

    def shows(self, text: str, within: str = "") -> None:
        """Wait until the view, or an element, shows a text."""
        read = (lambda: self.find(within).text) if within else self.text
        self.until(lambda: text in read(), repr(text))

    def find(self, selector: str) -> WebElement:
        """Return the first element of a CSS selector that is shown, once there is one."""
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
        """Return all elements of a CSS selector, also those not shown."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def named(self, selector: str, text: str) -> WebElement:
        """Return the element of a CSS selector with exactly this text, once it is shown."""
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

        self.until(
            clicked, f"a click on {selector} {text}"
        )  # again where a list was drawn anew in between

    def fill(self, selector: str, text: str) -> None:
        """Type a text in the place of what a field holds."""
        field = self.find(selector)
        self.script("arguments[0].scrollIntoView({block: 'center'})", field)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text or Keys.DELETE)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def unfold(self) -> None:
        """Open all that is folded in the view."""
        self.script(
            "for (const one of document.querySelectorAll('main > section:not([hidden]) details')) one.open = true"
        )

    def resize(self, width: int, height: int, theme: str = "") -> None:
        """Show the page in a window of so many CSS pixels, in a theme of the system if one is named."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": features if theme else []}
        )

    def console(self) -> list[str]:
        """Return what the browser has written to its console since it was asked last."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]


def picture(page: Page, path: Path) -> None:
    """Write what the window shows as a PNG."""
    path.write_bytes(page.driver.get_screenshot_as_png())
