"""The instance's form: what is in it, in which words, and whether its help alone is enough."""

import re
from typing import Any

import pytest
import yaml

from Tests.end_to_end.sender import Sender, running, send
from Tests.sandbox.descriptor import INTEGRATION
from Tests.sandbox.page.examples import DELIVERIES, INSTANCE, read_delivery
from Tests.sandbox.page.signing import proven

FORM: list[dict[str, Any]] = [
    row
    for row in yaml.safe_load(INTEGRATION.with_suffix(".yml").read_text())["configuration"]
    if row.get("hidden") is not True and "xsoar" not in (row.get("hidden") or [])
]
HELP = INTEGRATION.with_name("GenericWebhook_description.md").read_text()
SECRET = "a-long-random-secret"
MAX_WORDS = 40


def labels(section: str, advanced: bool) -> list[str]:
    """Return the labels of a part of the form, in its order."""
    return [
        row["display"]
        for row in FORM
        if row["section"] == section and row.get("advanced", False) is advanced
    ]


def test_each_part_of_the_form_holds_what_belongs_there() -> None:
    assert labels("Connect", False) == ["Listen Port", "Username", "More credentials"]
    assert labels("Connect", True) == [
        *("Certificate", "Private Key", "Client CA", "Allowed sources", "Trusted proxies"),
        *("Use system proxy settings", "Serve metrics for Prometheus"),
    ]
    assert labels("Collect", False) == [
        *("Incident type", "Recognize senders", "Alerts that repeat or end"),
        *("Ignore events where", "Store sample events for mapping"),
    ]
    assert labels("Collect", True) == [
        *("Incident name", "Severity from", "Severity words", "Occurred from"),
        *("Incident type from", "Events in", "Duplication key", "Forget duplicates after"),
        *("Ended when", "Keep what cannot be read", "Accept GET", "Answer at the latest after"),
        *("Mirroring direction", "Mirroring instance", "Mirroring tags"),
    ]
    assert len({row["display"] for row in FORM}) == len(FORM) == 30


@pytest.mark.parametrize("row", FORM, ids=[row["name"] for row in FORM])
def test_a_parameter_s_help_is_short(row: dict[str, Any]) -> None:
    assert 10 <= len(row["additionalinfo"].split()) <= MAX_WORDS


def test_the_readme_lists_the_parameters_by_the_form_s_names_and_in_its_order() -> None:
    table = INTEGRATION.with_name("README.md").read_text().partition("| **Parameter** |")[2]
    listed = re.findall(r"^\| ([^|]+) \| (\w+) \|", table.partition("\n\n")[0], re.MULTILINE)
    form = [(row["display"], row["name"]) for row in FORM]
    form.insert(2, ("Password", "credentials"))
    assert listed == form


def test_mistakes_are_reported_under_the_form_s_names() -> None:
    """
    Given: the names under which the code reports what is wrong with a parameter
    When: they are compared with the form's
    Then: each is there
    """
    modules = INTEGRATION.parents[3].glob("ApiModules/Scripts/*/*Module.py")
    texts = [file.read_text() for file in (INTEGRATION, *modules)]
    error = r'(?:Setting|Credential|Certificate)Error\(\s*"([^"]+)"'
    read = r'^    Parameter\(\s*"\w+",\s*"([^"]+)"'
    found = {
        name for text in texts for way in (error, read) for name in re.findall(way, text, re.M)
    }
    assert len(found) > 20
    assert found <= {row["display"] for row in FORM} | {"Password", "Also accept"}


def setup_of(sender: str) -> dict[str, Any]:
    """Return the parameters that the help tells to set for a sender."""
    section = HELP.partition(f"**{sender}**\n")[2].partition("\n\n**")[0]
    [username] = re.findall(r"\*\*Username\*\* to `([^`]+)`", section)
    seconds = re.findall(r"\*\*Answer at the latest after\*\* to `(\d+)`", section)
    return {
        "credentials": {"identifier": username, "password": SECRET},
        **({"answer_seconds": seconds[0]} if seconds else {}),
    }


SETUPS = [
    ("Prometheus Alertmanager", "prometheus-alertmanager"),
    ("GitHub, signed", "github-secret-scanning"),
    ("Okta", "okta-event-hook"),
    ("A tool with nothing but a URL", "uptime-kuma"),
]


def post(
    webhook: Sender, delivery: str, credential: tuple[str, str] | None, below: str = ""
) -> int:
    """Post what a vendor documents, with a proof or without; return the status."""
    method, path, headers, body = read_delivery(DELIVERIES / f"{delivery}.http")
    if credential is not None:
        path, headers = proven(*credential, path, headers, body)
    url = webhook.sandbox.sender_url + below + path.removeprefix(INSTANCE)
    return send(url, body, dict(headers), method).status


@pytest.mark.parametrize(("sender", "delivery"), SETUPS, ids=[sender for sender, _ in SETUPS])
def test_what_the_help_says_is_enough_for_a_sender(sender: str, delivery: str) -> None:
    """
    Given: an instance with what the help names for a sender, and the form's defaults
    When: the sender posts what its vendor documents, with its proof and without
    Then: the incident exists, and a stranger is refused
    """
    params = setup_of(sender)
    with running(params=params) as webhook:
        assert post(webhook, delivery, None) == 401
        assert webhook.sandbox.incidents() == []
        assert post(webhook, delivery, tuple(params["credentials"].values())) == 200
        assert webhook.sandbox.incidents() != []


def test_the_help_s_lines_let_several_senders_share_an_instance() -> None:
    """
    Given: an instance with the lines that the help shows for More credentials
    When: each of the four senders posts with its own proof
    Then: each has an incident, and a stranger is refused
    """
    shown = HELP.partition("in **More credentials**:\n\n```\n")[2].partition("\n```")[0]
    lines = [re.sub(r"<\w+>$", SECRET, line) for line in shown.splitlines()]
    with running(params={"more_credentials": "\n".join(lines)}) as webhook:
        for (_, delivery), line in zip(SETUPS, lines, strict=True):
            *below, username, secret = line.split()
            before = len(webhook.sandbox.incidents())
            assert post(webhook, delivery, None, *below) == 401
            assert post(webhook, delivery, (username, secret), *below) == 200
            assert len(webhook.sandbox.incidents()) > before
