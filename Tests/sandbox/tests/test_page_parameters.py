"""The buttons of the view Instance that change or copy all parameters at once, in a browser."""

from collections.abc import Callable
from pathlib import Path

import requests
from selenium.webdriver.common.keys import Keys

from Tests.sandbox import Sandbox
from Tests.sandbox.saved import SavedParams
from Tests.sandbox.tests.browser import Page

Open = Callable[..., tuple[Page, Sandbox]]
FOCUSED = "return document.activeElement.textContent"


def test_reset_asks_and_sets_the_defaults_with_the_keyboard_alone(
    open_page: Open, tmp_path: Path
) -> None:
    """Given: an instance with a parameter of the command line and one that was saved
    When: Reset is pressed and cancelled with Enter, then with Escape, then confirmed
    Then: nothing changes before that; then all defaults apply, and nothing is saved any more
    """
    store = tmp_path / "store.sqlite3"
    saved = SavedParams(store, "webhook")
    page, sandbox = open_page({"severity_from": "level"}, store=store, saved=saved)
    page.open("instance")
    page.unfold()
    page.fill("#p-incidentType", "Noise")
    page.click("#save")
    page.shows("Restarted with 1 changed parameter.", "#instance-message")
    assert saved.path.exists()
    first = sandbox.pid
    for key in (Keys.ENTER, Keys.ESCAPE):
        page.script("document.getElementById('reset').focus()")
        page.press(Keys.ENTER)
        assert "Reset all parameters?" in page.find("dialog").text
        assert page.script(FOCUSED) == "Cancel", "Enter alone loses nothing"
        page.press(key)
        page.until(lambda: not page.all("dialog"), "the end of the dialog")
        assert page.script(FOCUSED) == "Reset", "the focus is where it was"
    assert (sandbox.pid, sandbox.params["incidentType"]) == (first, "Noise")
    page.press(Keys.ENTER)
    page.find("dialog")
    page.press(Keys.SHIFT + Keys.TAB)
    assert page.script(FOCUSED) == "Reset & restart"
    page.press(Keys.SPACE)
    page.shows("Restarted with the defaults.", "#instance-message")
    page.unfold()
    assert page.find("#p-incidentType").get_attribute("value") == ""
    assert page.find("#p-severity_from").get_attribute("value") == ""
    assert sandbox.params == sandbox.defaults
    assert not saved.path.exists()
    assert requests.post(sandbox.url, json={"name": "after"}, timeout=30).status_code == 200


def test_forget_all_asks(open_page: Open) -> None:
    page, sandbox = open_page({"type_from": "kind"})
    requests.post(sandbox.url, json={"name": "kept", "kind": "k"}, timeout=30)
    page.open("requests")
    page.find("#rows a")
    page.click("button", "Forget all")
    assert "Forget all?" in page.find("dialog").text
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.all("dialog"), "the end of the dialog")
    assert len(sandbox.incidents()) == 1
    page.click("button", "Forget all")
    page.click("dialog button", "Forget all")
    page.shows("No requests yet")
    assert sandbox.incidents() == []
    assert sandbox.params["type_from"] == "kind"
