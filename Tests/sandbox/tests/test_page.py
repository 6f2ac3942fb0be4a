"""The sandbox's page in a real browser: what people do in Try it and Requests."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from selenium.webdriver.common.keys import Keys

from Tests.sandbox import Sandbox
from Tests.sandbox.tests.browser import Page
from Tests.sandbox.tests.posted import ALERT, FIRING, post_json, row

Open = Callable[..., tuple[Page, Sandbox]]


# ---- Try it


def test_a_visitor_sends_the_example_and_sees_its_incident(open_page: Open) -> None:
    page, sandbox = open_page()
    page.open()
    page.until(
        lambda: "some_field" in str(page.find("#try-body").get_attribute("value")), "the example"
    )
    page.click("button", "Send")
    card = page.find("article.incident")
    assert "incident created via generic webhook" in card.text
    assert '"some_value"' in card.text
    page.shows("200", ".answer-line")
    assert [incident["name"] for incident in sandbox.incidents()] == [
        "incident created via generic webhook"
    ]
    page.until(lambda: page.all("#view-try .rows a"), "the request among the newest ones")
    page.click("#view-try a", "Open request 1")
    page.shows("As received")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_line_sends_the_same_and_its_incident_arrives_by_itself(open_page: Open) -> None:
    page, sandbox = open_page()
    page.open("try")
    page.fill("#try-headers", 'Content-Type: application/json\nX-Note: it\'s "quoted"')
    page.fill("#try-body", '{"name": "by curl, it\'s $HOME `here`", "raw_json": {}}')
    line = page.until(
        lambda: next((one for one in [page.find("#view-try pre").text] if "by curl" in one), ""),
        "the line",
    )
    page.script("window.mark = 'not loaded again'")
    subprocess.run(["sh", "-c", line], capture_output=True, timeout=30, check=True)
    page.shows("by curl, it's $HOME `here`", "#view-try .rows")
    assert page.script("return window.mark") == "not loaded again"
    raw = json.loads(sandbox.incidents()[0]["rawJSON"])
    assert raw["headers"]["x-note"] == 'it\'s "quoted"'


def test_an_example_of_a_sender_is_sent_signed_with_the_parameters_that_fit_it(
    open_page: Open,
) -> None:
    page, sandbox = open_page(
        {"credentials": {"identifier": "_hmac:X-Hub-Signature-256", "password": "our secret"}}
    )
    page.open("try/github-push")
    page.shows("Parameters that fit GitHub")
    page.shows("First set WEBHOOK_SECRET to the password or secret of Username and Password")
    page.click("button", "Use them")
    page.shows("The instance has the parameters that fit GitHub.")
    page.click("button", "Send")
    page.shows("push to example-org/hello-world", "article.incident")
    page.click("label", "Add the instance's credentials")
    page.click("button", "Send")
    page.shows("401", ".answer-line")
    assert len(sandbox.incidents()) == 1
    assert "our secret" not in page.driver.page_source
    page.click("#try-example option[value='documentation']")
    page.shows("Press Send: the answer and the incident appear here.")


def test_examples_are_found_by_words_and_used_without_what_another_sender_needed(
    open_page: Open,
) -> None:
    page, sandbox = open_page(
        {
            "credentials": {"identifier": "_header:X-Key", "password": "our secret"},
            "events_path": "alerts",
            "ignore_when": "kind=test",
        }
    )
    page.open("try")
    page.until(lambda: page.find("#try-body").get_attribute("value"), "the example")
    page.find("#try-example")
    page.until(lambda: len(page.all("#try-example optgroup")) > 1, "the categories")
    groups = [str(one.get_attribute("label")) for one in page.all("#try-example optgroup")]
    assert groups == [*sorted(groups[:-1]), "Other"] and "Identity" in groups
    page.fill("#try-search", "dependabot github")
    page.until(lambda: len(page.all("#try-example option")) == 1, "one example")
    assert page.find("#try-example option").text == "GitHub: Dependabot alert"
    page.press(Keys.ENTER)
    page.shows("Parameters that fit GitHub")
    page.shows("Set to their defaults: Events in alerts.", ".suggestion")
    page.shows("Left in place: Username _header:X-Key, Ignore events where kind=test.")
    assert len(page.all("#try-example option")) > 70, "the list is whole again"
    page.click("button", "Use them")
    page.shows("The instance has the parameters that fit GitHub.")
    assert (sandbox.params["events_path"], sandbox.params["ignore_when"]) == ("", "kind=test")
    assert sandbox.params["credentials"]["password"] == "our secret"


def test_the_known_senders_are_listed_and_found_by_words(open_page: Open) -> None:
    page, _ = open_page()
    page.open("try")
    page.shows("EDR, XDR", ".senders")
    page.fill("#senders-search", "harfang")
    page.shows("1 format")
    page.click(".senders summary")
    page.shows("status=closed|false_positive", ".senders dl")
    page.shows("{rule_name} on {agent.hostname}; rule_name", ".senders dl")
    page.fill("#senders-search", "nobody has this")
    page.shows("No known sender has these words.")


# ---- Requests


def test_a_request_arrives_is_opened_and_sent_again_with_the_keyboard(open_page: Open) -> None:
    page, sandbox = open_page(
        {"name_from": "{rule.name} on {host.0.name}", "severity_from": "level"}
    )
    page.open("requests")
    page.script("window.mark = 'not loaded again'")
    post_json(sandbox, {"title": "first"})
    post_json(sandbox, ALERT, headers={"X-Tool": "probe"})
    row(page, 2)
    assert [one.text for one in page.all("#rows .path")] == ["/", "/"], "behind the URL"
    assert [one.get_attribute("data-id") for one in page.all("#rows a")] == ["2", "1"]
    page.fill("#search", "")
    page.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.ENTER)
    page.shows("Request 2", "#detail-title")
    detail = page.find("#detail").text
    assert "X-Tool" in detail and "probe" in detail
    fields = page.find("table.fields").text
    assert (
        "Disk usage on db1" in fields
        and "Critical" in fields
        and "Incident name: " in fields
        and "level" in fields
    )
    page.click("label", "Raw")
    page.shows(json.dumps(ALERT), ".body pre")
    page.click("button", "Send again")
    row(page, 3)
    page.click("#detail a", "Open request 3")
    page.shows("Request 3", "#detail-title")
    page.driver.back()
    page.shows("Request 2", "#detail-title")
    assert [incident["name"] for incident in sandbox.incidents()][1:] == ["Disk usage on db1"] * 2
    assert page.script("return window.mark") == "not loaded again"


def test_requests_are_searched_filtered_and_loaded_page_by_page(open_page: Open) -> None:
    page, sandbox = open_page()
    for number in range(60):
        post_json(sandbox, {"name": "needle" if number == 17 else "hay", "raw_json": {}})
    requests.post(sandbox.url, data="", timeout=30)  # refused: it holds nothing
    page.open("requests")
    page.shows("61 requests")
    assert len(page.all("#rows a")) == 50
    page.click("button", "Load older")
    page.until(lambda: len(page.all("#rows a")) == 61, "the older requests")
    page.fill("#search", "needle")
    page.until(lambda: len(page.all("#rows a")) == 1, "one request")
    page.shows("needle", "#rows")
    page.fill("#search", "")
    page.click("#filter option[value='4xx']")
    page.until(lambda: len(page.all("#rows a")) == 1, "the refused request")
    page.shows("400", "#rows")
    page.click("button", "Forget all")
    page.click("dialog button", "Forget all")
    page.click("#filter option[value='all']")
    page.shows("No requests yet")
    assert sandbox.incidents() == []


def test_incidents_are_listed_opened_and_lead_to_their_request(
    open_page: Open, tmp_path: Path
) -> None:
    with Sandbox(store=tmp_path / "store.sqlite3", start=False) as earlier:
        earlier.store.create(
            [{"name": f"earlier {number}", "rawJSON": '{"kept": true}'} for number in range(3000)]
        )
    page, sandbox = open_page(store=tmp_path / "store.sqlite3")
    page.open("requests")
    page.click("label", "Incidents")
    page.shows("3,000 incidents")
    page.script("window.mark = 'not loaded again'")
    post_json(sandbox, ALERT)
    page.click('#rows a[data-id="incident-3001"]')
    page.click("#detail a", "Open request 1")
    page.shows("As received")
    page.fill("#search", "earlier 7")
    page.shows("earlier 7", "#rows")
    page.click("#rows a")
    page.shows("its request is not kept", "#detail")
    page.shows("true", "#detail .tree")
    assert page.script("return window.mark") == "not loaded again"


def test_a_request_says_what_became_of_it_and_leads_to_the_first_incident(open_page: Open) -> None:
    page, sandbox = open_page({"duplication_key": "title", "ignore_when": "level=P5"})
    page.open("requests")
    ended = {"groupLabels": {}, "alerts": [{**FIRING, "status": "resolved"}]}
    bodies: list[Any] = [
        *(ALERT, ALERT, {"groupLabels": {}, "alerts": [FIRING]}, ended),
        *({"level": "P5"}, {"challenge": "3eZbrw1a"}),
    ]
    for status in ("firing", "resolved"):  # of two more alerts, in a request each
        two = [{**FIRING, "status": status, "fingerprint": name} for name in ("b", "c")]
        bodies.append({"groupLabels": {}, "alerts": two})
    for body in bodies:
        post_json(sandbox, body)
    for number, text in (
        *((2, "duplicate of #1"), (4, "ends #2"), (5, "ignored: level=P5")),
        *((6, "monday.com's handshake"), (7, "2 incidents"), (8, "ends #3 · ends #4")),
    ):
        page.shows(text, row(page, number))
    assert "incidents" not in page.find(row(page, 8)).text, "an end creates none"
    page.shows("A", f"{row(page, 4)} .became")
    page.click(row(page, 5))
    page.shows("1 event ignored by the rule level=P5 of Ignore events where.", "#detail")
    page.click(row(page, 6))
    page.shows("monday.com's handshake, answered. No incident was created.", "#detail")
    page.click(row(page, 2))
    page.click("#detail a", "duplicate of #1")
    page.shows("Incident 1", "#detail-title")
    page.click("#detail a", "Open request 1")
    page.shows("Request 1", "#detail-title")
