"""The buttons of the view Instance that change or copy all parameters at once, in a browser."""

from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from selenium.webdriver.common.keys import Keys

from Tests.sandbox import Sandbox
from Tests.sandbox.saved import SavedParams
from Tests.sandbox.tests.browser import Page

Open = Callable[..., tuple[Page, Sandbox]]
IS_TOO_WIDE = "const e = document.querySelector('dialog'); return e.scrollWidth > e.clientWidth"
FOCUSED = "return document.activeElement.textContent"


def copied(page: Page) -> str:
    """Return what is in the browser's clipboard."""
    allowed = {"permissions": ["clipboardReadWrite"], "origin": page.url.rstrip("/")}
    page.driver.execute_cdp_cmd("Browser.grantPermissions", allowed)
    return str(
        page.driver.execute_async_script(
            "const done = arguments[0]; navigator.clipboard.readText().then(done, done)"
        )
    )


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


def test_parameters_are_copied_reset_and_imported(open_page: Open) -> None:
    """Given: an instance with credentials and an Incident name in braces
    When: Copy for XSOAR is opened, its YAML is imported with a mistake, then without it
    Then: the mistake is a sentence in the dialog and changes nothing; the rest is applied at once
    """
    secret = "never shown 5d1c"
    page, sandbox = open_page(
        {"credentials": f"_header:X-Key:{secret}", "name_from": "{rule.name} on {host}"}
    )
    page.open("instance")
    page.unfold()
    page.fill("#p-incidentType", "Noise")
    page.click("#copy-parameters")
    page.find("dialog")
    text, document = (one.text for one in page.all("dialog pre"))
    assert text.startswith("Username: _header:X-Key\n# Password is set, but left")
    assert "Incident name: {rule.name} on {host}" in text
    assert "Unsaved changes are not included." in page.find("dialog").text
    assert secret not in page.driver.page_source
    page.click("dialog button", "Copy")
    page.shows("Copied", "dialog")
    assert copied(page).rstrip() == text.rstrip()
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.all("dialog"), "the end of the dialog")
    page.click("#reset")
    page.click("dialog button", "Reset & restart")
    page.shows("Restarted with the defaults.", "#instance-message")
    first = sandbox.pid
    page.unfold()
    page.fill("#p-incidentType", "Noise")
    page.click("#import")
    page.shows("Unsaved changes are lost.", "dialog")
    page.press(f"{document}\nrecognize: sometimes")
    page.click("dialog button", "Import & restart")
    page.shows("Recognize senders: choose one of", "dialog .message")
    assert (sandbox.pid, sandbox.params) == (first, sandbox.defaults)
    [logged] = page.console()
    assert "/api/instance/import" in logged and "400" in logged
    page.fill("#import-text", document)
    page.click("dialog button", "Import & restart")
    page.shows("Restarted with 2 imported parameters.", "#instance-message")
    assert sandbox.params["name_from"] == "{rule.name} on {host}"
    assert sandbox.params["credentials"]["identifier"] == "_header:X-Key"


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", 360)])
def test_axe_finds_nothing_in_the_dialogs(
    open_page: Open, axe: str, theme: str, width: int
) -> None:
    long = "x" * 300
    page, _ = open_page({"severity_map": f"{long}=critical", "store_samples": False})
    page.resize(width, 860, theme)
    page.open("instance")
    for opener in ("#product-urls", "#copy-parameters", "#import", "#reset"):
        page.click(opener)
        page.find("dialog")
        assert page.violations(axe) == [], opener
        wide = page.script(
            "const e = arguments[0]; return e.scrollWidth - e.clientWidth", page.find("dialog")
        )
        assert wide <= 0, opener
        page.press(Keys.ESCAPE)
        page.until(lambda: not page.all("dialog"), "the end of the dialog")


def test_the_url_in_each_product_is_copied_from_the_url_box(open_page: Open) -> None:
    page, sandbox = open_page(instance="alerts")
    page.open("try")
    page.click("#product-urls")
    shown = [one.text for one in page.all("dialog dd code")]
    assert shown[0] == sandbox.url
    assert [one for one in shown if "/instance/execute/alerts" in one] == shown[:5]
    page.click("dialog [aria-label='Copy the URL: XSOAR 6']")
    page.shows("Copied", "dialog")
    assert copied(page) == "https://<server>/instance/execute/alerts"
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.all("dialog"), "the end of the dialog")
    assert page.script("return document.activeElement.id") == "product-urls"
