"""What the page shows in a real browser of sent requests: it follows what becomes of them."""

from collections.abc import Callable

import requests

from Tests.sandbox import Sandbox
from Tests.sandbox.tests.browser import Page

Open = Callable[..., tuple[Page, Sandbox]]
LINES = "_header:X-Alarm-Key one-5ecret\n_slack two-5ecret\nsoc three-5ecret"


def send_example(page: Page, example: str) -> None:
    page.open(f"try/{example}")
    page.until(lambda: page.find("#try-body").get_attribute("value"), "the example")
    page.click("button", "Send")


def states(page: Page, selector: str) -> list[str]:
    """Return the marks of ended alerts and closed incidents."""
    return [one.text for one in page.all(f"{selector} .tag.state")]


def test_the_answer_names_the_credentials_that_a_request_was_sent_with(open_page: Open) -> None:
    page, _ = open_page({"more_credentials": LINES})
    send_example(page, "slack-event")
    page.shows("Answered 200, sent with line 2, _slack.", "#view-try .bar")
    page.shows("First set WEBHOOK_SECRET to the password or secret of line 2, _slack.")
    send_example(page, "documentation")
    page.shows("Answered 200, sent with line 3, soc.", "#view-try .bar")
    page.click("#view-try .bar a", "Open request 2")
    page.click("button", "Send again")
    page.shows("Answered 200, sent with line 3, soc. Open request 3", ".detail-head")


def test_an_alert_is_ended_once_and_its_incident_says_so_wherever_it_is_shown(
    open_page: Open,
) -> None:
    """
    Given: an alert, sent from Try it
    When: it is sent again as resolved, and the server mirrors
    Then: its incident is marked as ended, and then as closed, without loading the page again; the
        button is gone, there and for the request that ended it
    """
    page, sandbox = open_page({"alert_updates": "Close the incident"})
    send_example(page, "prometheus-alertmanager")
    page.shows("The instance also reads this request without them: Recognize senders is on.")
    page.shows("2 incidents created.")
    assert states(page, "article") == []
    page.click("button", "Send it again as resolved")
    page.until(lambda: states(page, "article") == ["ended"] * 2, "the marks")
    assert "Send it again as resolved" not in page.text()
    page.shows("Answered 200. Open request 2", "#view-try")
    page.click("#view-try a", "Open request 1")
    page.until(lambda: states(page, ".detail") == ["ended"] * 2, "the marks beside the request")
    page.click("label", "Raw")
    page.until(sandbox.mirror, "something to mirror")
    page.until(lambda: states(page, ".detail") == ["ended", "closed"] * 2, "what was closed")
    page.shows('"status":"firing"', ".body pre")  # what was posted stays as it was shown
    page.click("label", "Incidents")
    page.until(lambda: states(page, "#rows") == ["ended", "closed"] * 2, "the marks in the list")
    send_example(page, "prometheus-alertmanager-resolved")
    page.shows("repeats the end of #1")
    assert "Send it again as resolved" not in page.text()


def test_an_end_without_a_beginning_offers_no_end_and_is_marked_in_the_list(
    open_page: Open,
) -> None:
    page, _ = open_page()
    send_example(page, "prometheus-alertmanager-resolved")
    page.shows("2 incidents created.")
    assert states(page, "article") == ["ended"] * 2
    assert "Send it again as resolved" not in page.text()
    page.open("requests")
    page.shows("Open a request to see what arrived and what became of it.", "#detail")
    page.click("label", "Incidents")
    page.shows("Open an incident to see its fields and where each came from.", "#detail")
    page.until(lambda: states(page, "#rows") == ["ended"] * 2, "the marks in the list")
    page.open("mapping")
    page.shows("Ended: InstanceDown: Instance db1.example.com:9100 down", "#preview")


def test_refused_requests_are_listed_with_what_came_and_what_was_expected(open_page: Open) -> None:
    page, sandbox = open_page({"credentials": {"identifier": "_header:X-Key", "password": "key"}})
    page.open("health")
    page.shows("No request was refused.", ".refusals")
    wrong = {"X-Hook-Token": "something else"}
    requests.post(sandbox.url + "/okta", json={"a": 1}, headers=wrong, timeout=30)
    page.shows("Expected X-Key; came X-Hook-Token", ".refusals")
    page.shows("POST /okta", ".refusals")
    assert "something else" not in page.driver.page_source


def test_a_dialog_closes_when_another_view_opens(open_page: Open) -> None:
    page, _ = open_page()
    page.open("requests")
    page.go("Health")
    page.click("#product-urls")
    page.shows("URL for senders", "dialog h2")
    page.driver.back()
    page.until(lambda: not page.all("dialog"), "the end of the dialog")
    page.shows("No requests yet")


def test_only_the_row_that_is_open_has_another_colour(open_page: Open) -> None:
    page, sandbox = open_page()
    page.open("requests")
    page.shows("No requests yet")
    for number in range(2):
        requests.post(sandbox.url, json={"title": f"alert {number}"}, timeout=30)
    page.until(lambda: len(page.all("#rows a")) == 2, "both requests")
    assert page.script("return document.getAnimations().length") == 0
    colours = "return [...document.querySelectorAll('#rows a')].map((row) => [row.dataset.id, "
    colours += "getComputedStyle(row).backgroundColor])"
    assert {colour for _, colour in page.script(colours)} == {"rgba(0, 0, 0, 0)"}
    page.open("requests/1")
    page.shows("As received")
    marked = {number for number, colour in page.script(colours) if colour != "rgba(0, 0, 0, 0)"}
    assert marked == {"1"}
