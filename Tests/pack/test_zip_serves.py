"""The zips a user uploads work in the sandbox, so what was tested is what is installed.

One replaces the published pack, the other is installed next to it.
"""

import time
from collections.abc import Iterator

import pytest
import requests

from Tests.pack.zips import Zip
from Tests.sandbox import Sandbox

PARAMS = {
    "store_samples": True,
    "credentials": "user:pass:word",
    "duplication_key": "id",
    "incidentType": "Alert",
}


@pytest.fixture(scope="module", params=[(), ("--beside",)], ids=["own", "beside"])
def webhook(request: pytest.FixtureRequest, built: Zip) -> Iterator[Sandbox]:
    pack = built(*request.param)
    with Sandbox(pack=pack, params=PARAMS) as sandbox:
        yield sandbox
        assert not sandbox.protocol_errors


def post(webhook: Sandbox, body: str, password: str = "pass:word") -> requests.Response:
    return requests.post(webhook.url, data=body, auth=("user", password), timeout=10)


def test_a_post_becomes_an_incident(webhook: Sandbox) -> None:
    answer = post(
        webhook,
        '{"name":"incident created via generic webhook","raw_json":{"some_field":"some_value"}}',
    )
    [created] = answer.json()
    [incident] = [incident for incident in webhook.incidents() if incident["id"] == created["id"]]
    assert (answer.status_code, incident["name"]) == (200, "incident created via generic webhook")
    assert incident["type"] == "Alert"
    assert '"some_field":"some_value"' in incident["rawJSON"]


def test_an_array_is_answered_in_order(webhook: Sandbox) -> None:
    assert [
        item["name"] for item in post(webhook, '[{"name":"first"},{"name":"second"}]').json()
    ] == ["first", "second"]


def test_wrong_credentials_create_nothing(webhook: Sandbox) -> None:
    before = len(webhook.incidents())
    answer = post(webhook, "{}", password="word")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert len(webhook.incidents()) == before


def test_a_duplicate_makes_no_second_incident(webhook: Sandbox) -> None:
    first, second = post(webhook, '{"id":"e-1"}').json(), post(webhook, '{"id":"e-1"}').json()
    assert second[0]["id"] == first[0]["id"]
    assert second[0]["duplicate"] is True


def test_samples_reach_the_mapping_wizard(webhook: Sandbox) -> None:
    post(webhook, '{"name":"newest"}')
    deadline = time.monotonic() + 5
    while "newest" not in webhook.context().get("sample_events", ""):
        assert time.monotonic() < deadline, (
            "the sample is not in the integration context within 5 s"
        )
        time.sleep(0.1)
    assert webhook.run("fetch-incidents")[-1]["name"] == "newest"


def test_the_test_button_says_ok(webhook: Sandbox) -> None:
    assert "ok" in str(webhook.run("test-module"))
