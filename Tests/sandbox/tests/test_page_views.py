"""The sandbox's page in a real browser: what people do in Instance, Mapping and Health."""

from collections.abc import Callable

from Tests.sandbox import Sandbox
from Tests.sandbox.tests.browser import Page
from Tests.sandbox.tests.posted import ALERT, ALERTS, post_json

Open = Callable[..., tuple[Page, Sandbox]]


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
