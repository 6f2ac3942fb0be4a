"""What tests of the page post, and where they find it there."""

from typing import Any

import requests

from Tests.sandbox import Sandbox
from Tests.sandbox.tests.browser import Page

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
