"""The sandbox's page in a real browser: what people do there, and what strangers cannot do."""

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

HERE = Path(__file__).parent
Open = Callable[..., tuple[Page, Sandbox]]
VIEWS = (
    "instance",
    "try/grafana-alert",
    "requests",
    "requests/1",
    "requests/incident-1",
    "mapping",
    "health",
)
ALERT = {
    "title": "Disk full",
    "level": "P1",
    "rule": {"name": "Disk usage"},
    "host": [{"name": "db1"}],
    "link": None,
}
ALERTS = {
    "receiver": "soc",
    "alerts": [{"labels": {"alertname": "A", "severity": "high"}}, {"labels": {"alertname": "B"}}],
}
FIRING = {
    "status": "firing",
    "labels": {"alertname": "A"},
    "startsAt": "2024-05-01T12:00:00Z",
    "fingerprint": "c0ffee",
}


def post_json(sandbox: Sandbox, value: Any, **arguments: Any) -> requests.Response:
    return requests.post(sandbox.url, json=value, timeout=30, **arguments)


def row(page: Page, number: int) -> str:
    """Return the selector of a request in the list, once it is there."""
    selector = f'#rows a[data-id="{number}"]'
    page.find(selector)
    return selector


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
    page.shows("First set WEBHOOK_SECRET to the password or secret of Username and Password, _hmac:")
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
    page.click(row(page, 5))
    page.shows("1 event ignored by the rule level=P5 of Ignore events where.", "#detail")
    page.click(row(page, 6))
    page.shows("monday.com's handshake, answered. No incident was created.", "#detail")
    page.click(row(page, 2))
    page.click("#detail a", "duplicate of #1")
    page.shows("Incident 1", "#detail-title")
    page.click("#detail a", "Open request 1")
    page.shows("Request 1", "#detail-title")


# ---- Instance


def test_the_form_has_every_parameter_and_saves_what_is_typed(open_page: Open) -> None:
    page, sandbox = open_page()
    page.open("instance")
    page.shows("Advanced 15 parameters")
    assert "changed" not in page.text()
    page.unfold()
    rows = [parameter.row for parameter in sandbox.descriptor.parameters.values()]
    for shown in (row for row in rows if not row.get("hidden")):
        assert shown["display"] in page.text()
        assert shown["additionalinfo"].split("\n")[0] in page.text()
    assert "Every request posted to this instance becomes an incident." in page.text()
    assert "On Cortex XSIAM" not in page.text(), "the sandbox plays another platform"
    page.fill("#p-severity_map", "no words")
    page.click("#test")
    page.shows("Severity words", "#instance-message")
    page.fill("#p-severity_map", "loud=critical")
    page.fill("#p-severity_from", "volume")
    page.fill("#p-incidentType", "Noise")
    page.fill("#p-credentials", "_header:X-Key")
    page.fill("#p-credentials-password", "never shown")
    page.click("#test")
    page.shows("Success", "#instance-message")
    page.click("#save")
    page.shows("Restarted with 4 changed parameters.", "#instance-message")
    page.shows("Advanced 15 parameters, 2 changed")
    assert "never shown" not in page.driver.page_source
    assert post_json(sandbox, {"volume": "loud"}).status_code == 401
    assert (
        post_json(sandbox, {"volume": "loud"}, headers={"X-Key": "never shown"}).status_code == 200
    )
    incident = sandbox.incidents()[0]
    assert (incident["type"], incident["severity"]) == ("Noise", 4)
    page.unfold()
    page.fill("#p-incidentType", "Silence")
    page.click("#save")
    page.shows("Restarted with 1 changed parameter.", "#instance-message")
    assert sandbox.params["credentials"]["password"] == "never shown"


# ---- Mapping


def test_a_click_on_a_value_maps_it_and_the_last_requests_show_it_at_once(open_page: Open) -> None:
    page, sandbox = open_page({"store_samples": False})
    page.open("mapping")
    page.shows("No accepted requests yet")
    post_json(sandbox, ALERT)
    page.click('.pick[data-path="rule.name"]')
    page.shows("Disk usage", "#preview")
    page.click("#goal-severity_from")
    page.click('.pick[data-path="level"]')
    page.shows("Critical", "#preview")
    assert page.script("return document.activeElement.dataset.path") == "level", (
        "the focus stays where it was"
    )
    wanted = ["Severity from", "Incident name"]
    page.until(
        lambda: [one.text for one in page.all("#samples .uses > *")] == wanted,
        "a mark at each value that a parameter uses",
    )
    page.click("#goal-duplication_key")
    page.click('.pick[data-path="title"]')
    page.click("label", "Add to the existing paths")
    page.click('.pick[data-path="host.0.name"]')
    assert page.find("#map-duplication_key").get_attribute("value") == "title+host.0.name"
    page.shows("title+host.0.name", "#preview")
    page.shows("1 of 1 request would change.")
    assert len(sandbox.incidents()) == 1, "a preview creates nothing"
    page.click("#map-save")
    page.shows("The instance runs with this mapping.")
    assert post_json(sandbox, ALERT).status_code == post_json(sandbox, ALERT).status_code == 200
    first, second = sandbox.incidents()
    assert first["name"] != second["name"] == "Disk usage"
    assert second["severity"] == 4


def test_stored_samples_can_be_chosen_too(open_page: Open) -> None:
    page, sandbox = open_page({"store_samples": False})
    post_json(sandbox, {"title": "before"})
    page.open("mapping")
    page.find('.pick[data-path="title"]')
    page.click("#fetch")
    page.click("button", "Turn samples on & restart")
    page.shows("Samples are kept from now on.")
    post_json(sandbox, ALERT)
    page.click("#fetch")
    page.click('.pick[data-path="rule.name"]')
    chosen = page.find("#sample").get_attribute("value")
    assert chosen == "sample-0"
    page.click("#sample option[value='request-1']")
    page.shows('"before"', "#samples")
    page.click("#sample option[value='sample-0']")
    page.shows('"Disk usage"', "#samples")


def test_paths_are_seen_from_one_event_once_its_array_is_chosen(open_page: Open) -> None:
    # Recognition would find the array by itself.
    page, sandbox = open_page({"store_samples": True, "recognize": "off"})
    post_json(sandbox, ALERTS)
    page.open("mapping")
    page.click("#goal-events_path")
    page.click('.pick[data-path="alerts"]')
    page.shows("2 events", "#preview")
    page.click("#goal-name_from")
    page.click('.pick[data-path="labels.alertname"]')
    page.until(
        lambda: [one.text for one in page.all("#preview strong")] == ["A", "B"],
        "the names of two incidents",
    )
    page.click('.pick[data-path="parent.receiver"]')
    page.until(
        lambda: [one.text for one in page.all("#preview strong")] == ["soc", "soc"],
        "what is next to the events",
    )


def test_the_page_shows_who_was_recognized_and_which_path_gave_the_name(open_page: Open) -> None:
    page, sandbox = open_page()
    post_json(sandbox, {**ALERTS, "groupLabels": {}})
    post_json(sandbox, {"title": "Disk full"})
    page.open("mapping")
    page.shows(
        "Recognized as Prometheus Alertmanager, Grafana Alerting; name from labels.alertname",
        "#preview",
    )
    page.shows("Not recognized; name from the usual field title", "#preview")
    assert [one.text for one in page.all("#samples .uses > *")] == ["Name"], "of the last request"
    page.click("#sample option[value='request-1']")
    page.shows("Read from", "#samples")
    page.shows("status=resolved", "#samples")
    page.click('button[aria-label^="Override the name"]')
    page.click('.pick[data-path="labels.severity"]')
    page.shows("Overridden by Incident name: labels.severity", "#samples")
    page.until(lambda: "high" in [one.text for one in page.all("#preview strong")], "the label")
    page.open("requests/1")
    page.shows("Recognized as Prometheus Alertmanager, Grafana Alerting", "#detail")


# ---- Health


def test_a_fault_changes_health_and_health_comes_back(open_page: Open) -> None:
    page, sandbox = open_page()
    page.open("health")
    page.shows("Running", "#status")
    page.fill("#fault-refuse", "30")
    page.click("#set-refuse")
    page.shows("the next 30 calls are refused")
    page.fill("#fault-refuse", "1")
    page.click("#set-refuse")
    page.shows("Active: the next call is refused.")
    page.fill("#fault-refuse", "30")
    page.click("#set-refuse")
    page.shows("the next 30 calls are refused")
    page.click("#burst")
    page.shows("XSOAR refuses to create incidents", ".state")
    page.shows("Not healthy", "#status")
    page.shows("No fault is active.")
    page.shows("Answered: 60 times 200.")
    page.shows("Running", "#status")
    page.shows("Healthy", ".state")
    assert len(sandbox.incidents()) == 60
    page.until(lambda: page.all("#view-health .bar"), "a chart of batches")
    page.fill("#fault-latency", "1500")
    page.click("#set-latency")
    page.shows("createIncidents takes 1500 ms")
    assert post_json(sandbox, ALERT).elapsed.total_seconds() > 1.4
    page.click("button", "Clear all")
    page.shows("No fault is active.")


def test_a_server_that_stops_for_a_while_loses_nothing(open_page: Open) -> None:
    page, sandbox = open_page()
    page.open("health")
    page.click("#stop-server")
    page.shows("Server stopped", "#status")
    assert post_json(sandbox, ALERT).status_code == 200
    page.shows("Running", "#status")
    assert len(sandbox.incidents()) == 1


def test_a_page_that_loses_the_sandbox_says_so(open_page: Open) -> None:
    page, sandbox = open_page()
    page.open("requests")
    page.shows("Running", "#status")
    sandbox.stop()
    page.shows("No connection", "#status")
    page.driver.get("about:blank")
    page.console()  # the browser has logged there that it could not connect


# ---- all views


def test_the_page_is_used_with_the_keyboard_alone(open_page: Open) -> None:
    page, sandbox = open_page()
    page.open("try")
    page.until(lambda: page.find("#try-body").get_attribute("value"), "the example")

    def tab_to(condition: str) -> None:
        for _ in range(80):
            page.press(Keys.TAB)
            if page.script(f"const at = document.activeElement; return {condition}"):
                outline = page.script(
                    "const s = getComputedStyle(document.activeElement);"
                    "return s.outlineStyle + s.outlineWidth"
                )
                assert outline == "solid2px", "the focus cannot be seen"
                return
        raise AssertionError(f"the tab key never leads to {condition}")

    tab_to("at.textContent === 'Skip to the content'")
    tab_to("at.id === 'try-body'")
    page.press("", Keys.END)
    tab_to("at.textContent === 'Send'")
    page.press(Keys.SPACE)
    page.find("article.incident")
    tab_to("at.textContent === 'Open request 1'")
    page.press(Keys.ENTER)
    page.shows("Request 1", "#detail-title")
    tab_to("at.textContent === 'Send again'")
    page.press(Keys.ENTER)
    page.shows("Answered 200")
    assert len(sandbox.incidents()) == 2


def furnished(open_page: Open) -> tuple[Page, Sandbox]:
    """Return a page that has something to show in each view, long words included."""
    page, sandbox = open_page({"store_samples": True, "metrics": True, "severity_from": "level"})
    post_json(sandbox, {**ALERT, "long": "x" * 300, "k" * 120: ALERTS})
    post_json(sandbox, {"name": "n" * 250, "raw_json": {}})
    requests.post(
        sandbox.url + "/" + "p" * 200,
        data="{",
        headers={"Content-Type": "application/json"},
        timeout=30,
    )
    return page, sandbox


def test_no_view_is_wider_than_a_phone(open_page: Open) -> None:
    page, _ = furnished(open_page)
    page.resize(360, 740)
    for view in VIEWS:
        page.open(view)
        settle(page, view)
        page.unfold()
        wide = page.script(
            "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]"
        )
        assert wide[0] <= wide[1] <= 360, f"{view} is {wide[0]} px wide"


def test_on_a_phone_the_header_leaves_room_for_the_view(open_page: Open) -> None:
    page, _ = open_page()
    page.resize(390, 844)
    page.open()
    page.shows("Running", "#status")
    edges = (
        "const box = (one) => document.querySelector(one).getBoundingClientRect();"
        "return [box('header').top, box('nav').bottom, box('#theme').right, box('nav').right]"
    )
    for status in ("Running", "Not healthy", "The container has ended"):
        page.script("document.getElementById('status-text').textContent = arguments[0]", status)
        top, bottom, last, width = page.script(edges)
        assert bottom - top <= 80, f"{status}: {bottom - top} px"
        assert last <= width
    page.click("#copy-address")
    page.shows("Copied", "#copy-address")


def settle(page: Page, view: str) -> None:
    """Wait for what a view shows last."""
    last = {
        "instance": "#instance-help + .prose",
        "try/grafana-alert": ".suggestion dd",
        "requests": "#rows a",
        "requests/1": ".detail .incident",
        "requests/incident-1": ".detail .incident",
        "mapping": "#preview .become, #samples .pick",
        "health": ".log tbody tr",
    }
    page.find(".prose p" if view == "instance" else last[view])
    if view == "mapping":
        page.find(".pick")
        page.find("#preview .become")


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", 360)])
def test_axe_finds_nothing_in_any_view(open_page: Open, axe: str, theme: str, width: int) -> None:
    page, _ = furnished(open_page)
    page.resize(width, 860, theme)
    for view in VIEWS:
        page.open(view)
        settle(page, view)
        page.unfold()
        assert page.violations(axe) == [], f"{view}, {theme}, {width} px"


def test_the_theme_follows_the_system_until_it_is_switched_and_is_kept(open_page: Open) -> None:
    page, _ = open_page()
    page.resize(1280, 860, "dark")
    page.open()
    ground = "return getComputedStyle(document.body).backgroundColor"
    dark = page.script(ground)
    page.click("#theme")
    page.shows("light", "#theme")
    light = page.script(ground)
    assert light != dark
    page.open()
    assert page.script(ground) == light
    page.click("#theme")
    assert page.script(ground) == dark
    page.click("#theme")
    page.shows("auto", "#theme")


# ---- what strangers post

VECTORS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    '"><iframe srcdoc="<script>parent.alert(1)</script>">',
    "</textarea></pre></title><script>alert(1)</script>",
    "javascript:alert(1)",
    "[click](javascript:alert(1))",
    "{{constructor.constructor('alert(1)')()}}",
    "<a href=javascript:alert(1) autofocus onfocus=alert(1)>",
    "<style>*{display:none}</style><base href=//example.com/>",
)
FOREIGN = """
return [...document.querySelectorAll(
  'main :is(script, img, iframe, style, base, object, embed, link), '
  + '[onload], [onerror], [onfocus], a[href^="javascript:" i]')]
  .map((one) => one.outerHTML.slice(0, 200));
"""


def test_what_strangers_post_is_text(open_page: Open) -> None:
    page, sandbox = open_page({"store_samples": True})
    page.open("requests")
    page.script("window.alert = () => { window.alerted = true }")
    every = " ".join(VECTORS)
    post_json(sandbox, {"title": every, **{vector: {vector: [vector]} for vector in VECTORS}})
    post_json(
        sandbox,
        {"name": every, "type": VECTORS[0], "details": every, "raw_json": {"html": list(VECTORS)}},
    )
    plain = {"Content-Type": "text/plain", "X-Note": every}
    requests.post(
        f"{sandbox.url}/%3Cimg%20src=x%20onerror=alert(1)%3E?{VECTORS[1]}",
        data=every,
        headers=plain,
        timeout=30,
    )
    requests.post(sandbox.url, data={vector: vector for vector in VECTORS}, timeout=30)
    requests.post(
        sandbox.url, data="{" + every, headers={"Content-Type": "application/json"}, timeout=30
    )
    row(page, 5)
    for number in range(1, 6):
        page.click(row(page, number))
        page.shows(f"Request {number}", "#detail-title")
        page.unfold()
        assert page.script(FOREIGN) == []
    assert VECTORS[1] in page.find("#detail").text
    page.go("Mapping")
    page.find(".pick")
    page.find("#preview .become")
    page.unfold()
    assert VECTORS[1] in page.text()
    page.go("Try it")
    page.find("#view-try .rows a")
    page.go("Health")
    page.find(".log tbody tr")
    assert page.script(FOREIGN) == []
    assert page.script("return [window.alerted ?? false, document.title.includes('<')]") == [
        False,
        False,
    ]


MARKDOWN = """
const done = arguments[1];
import('/page/markdown.js').then(({ markdown }) => {
  const place = document.createElement('div');
  place.append(...markdown(arguments[0], { platform: 'A' }));
  done([place.textContent, [...place.querySelectorAll('*')].map((one) => one.tagName.toLowerCase()),
    [...place.querySelectorAll('a')].map((one) => one.getAttribute('href'))]);
});
"""
DESCRIPTION = """## Title

<~A>
1. first, with `code <b>` and **bold**
2. [good](https://example.com/a) and [bad](javascript:alert(1)) and [plain](http://example.com/)
</~A>
<~B>
not for this platform
</~B>

| Field | Meaning |
| --- | --- |
| `a` | <img src=x onerror=alert(1)> |
"""


def test_a_description_becomes_elements_and_its_html_stays_text(open_page: Open) -> None:
    page, _ = open_page()
    page.open()
    text, tags, links = page.driver.execute_async_script(MARKDOWN, DESCRIPTION)
    assert links == ["https://example.com/a"]
    assert {"h3", "ol", "li", "code", "strong", "table", "th", "td"} <= set(tags)
    assert "img" not in tags and "b" not in tags
    assert (
        "<img src=x onerror=alert(1)>" in text
        and "code <b>" in text
        and "[bad](javascript:alert(1))" in text
    )
    assert "not for this platform" not in text
