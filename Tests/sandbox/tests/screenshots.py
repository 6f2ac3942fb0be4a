"""Takes the pictures of the page for the documents.

Run it as `python -m Tests.sandbox.tests.screenshots docs/images`.
"""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import requests

from Tests.sandbox import Sandbox, accepts
from Tests.sandbox.tests.browser import Page, chromium, picture

SIZES = {"wide": (1280, 860), "narrow": (390, 844)}
THEMES = ("light", "dark")
PARAMS = {"credentials": {"identifier": "_header:X-Key", "password": "example"}}
SENT = (
    "own-format",
    "datadog-monitor",
    "grafana-alert",
    "grafana-alert",
    "jira-issue-created",
    "prometheus-alertmanager",
    "wazuh-alert",
)
# These are requests per second, second by second.
RATES = (
    6,
    9,
    14,
    20,
    27,
    33,
    36,
    34,
    28,
    21,
    15,
    11,
    9,
    8,
    10,
    14,
) * 4
SLOWER_FROM = 40  # seconds


def main(folder: Path) -> None:
    """Write a picture of each view, in both themes and both sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        Sandbox(PARAMS, port=0 if accepts(8080) else 8080, page=True) as sandbox,
        chromium() as driver,
    ):
        page = Page(driver, sandbox.page_url)
        page.resize(*SIZES["wide"])
        furnish(sandbox)
        for view, prepare in VIEWS.items():
            take(page, sandbox, folder, view, prepare)


def furnish(sandbox: Sandbox) -> None:
    """Send what senders send, and something that is refused."""
    examples = {
        one["id"]: one for one in requests.get(f"{sandbox.page_url}api/examples", timeout=30).json()
    }
    requests.post(
        sandbox.url, json={"title": "Nobody knows this key"}, headers={"X-Key": "other"}, timeout=30
    )
    unreadable = {"X-Key": "example", "Content-Type": "application/json"}
    requests.post(sandbox.url, data='{"title": "cut', headers=unreadable, timeout=30)
    for name in SENT:
        call(sandbox, "api/send", {**examples[name], "sign": True})


def call(sandbox: Sandbox, path: str, value: object) -> None:
    requests.post(f"{sandbox.page_url}{path}", json=value, timeout=30).raise_for_status()


def take(
    page: Page, sandbox: Sandbox, folder: Path, view: str, prepare: Callable[[Page, Sandbox], None]
) -> None:
    """Show a view once, then take its picture in every size and theme."""
    page.resize(*SIZES["wide"])
    prepare(page, sandbox)
    for size, (width, height) in SIZES.items():
        for theme in THEMES:
            page.resize(width, height, theme)
            page.script("window.scrollTo(0, 0); document.activeElement?.blur()")
            page.until(
                lambda: page.script("return document.getAnimations().length === 0"),
                "the end of what moves",
            )
            picture(page, folder / f"page-{view}-{size}-{theme}.png")


def instance(page: Page, sandbox: Sandbox) -> None:
    page.open("instance")
    page.click("#test")
    page.shows("Success", "#instance-message")


def try_it(page: Page, sandbox: Sandbox) -> None:
    page.open("try")
    page.until(lambda: page.find("#try-body").get_attribute("value"), "the example")
    page.click("button", "Send")
    page.find("article.incident")


def one_request(page: Page, sandbox: Sandbox) -> None:
    page.open("requests")
    page.click("#rows li:nth-child(2) a")  # Alertmanager's: the newest is the first
    page.find(".detail article.incident")


def mapping(page: Page, sandbox: Sandbox) -> None:
    page.open("mapping")
    page.find(".pick")
    page.click("#goal-name_from")
    page.click('.pick[data-path="agent.name"]')
    page.find("#preview .changed")


def health(page: Page, sandbox: Sandbox) -> None:
    page.open("health")
    for second, rate in enumerate(RATES):
        if second == SLOWER_FROM:
            call(sandbox, "api/faults", {"latencyMs": 120})
        send_for_a_second(sandbox, rate)
    call(sandbox, "api/faults", {"refuseNext": 40})
    send_for_a_second(sandbox, 12)
    page.shows("Not healthy", "#status")


def send_for_a_second(sandbox: Sandbox, number: int) -> None:
    """Post `number` requests, spread over a second, without waiting for their answers."""

    def send(index: int) -> None:
        alert = {"title": f"Port scan from 192.0.2.{index}"}
        requests.post(sandbox.url, json=alert, headers={"X-Key": "example"}, timeout=60)

    for index in range(number):
        threading.Thread(target=send, args=(index,), daemon=True).start()
        time.sleep(1 / number)


VIEWS: dict[str, Callable[[Page, Sandbox], None]] = {
    "requests": one_request,
    "mapping": mapping,
    "instance": instance,
    "try": try_it,
    "health": health,
}

if __name__ == "__main__":
    main(Path(sys.argv[1]))
