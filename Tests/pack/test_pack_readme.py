"""The pack's README, which is all that who installs a zip has, and whether it tells the truth.

docs/install.md has the products, docs/senders.md has the senders, and both are checked elsewhere;
here the README is compared with them.
"""

from __future__ import annotations

import re

import pytest
import yaml

from Tests.pack.validate import PACK, ROOT

README = (ROOT / PACK / "README.md").read_text()
SENDERS = (ROOT / "docs/senders.md").read_text()
INSTALL = (ROOT / "docs/install.md").read_text()
MAX_WORDS = 500
VENDORS = re.findall(r"(?m)^- \*\*([^*]+)\*\*: (.+\n  .+)$", README)
ANSWER = "Answer at the latest after"


def section(text: str, heading: str) -> str:
    """Returns what stands below a heading."""
    found = re.search(rf"(?ms)^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", text)
    assert found, heading
    return found[1]


def rows(text: str) -> list[list[str]]:
    """Returns the cells of a text's table rows."""
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("| ") and "---" not in line
    ]


def test_it_is_short_and_has_a_sentence_a_line() -> None:
    """The Marketplace shows it whole; at most 500 words, and no line with two sentences."""
    assert len(re.findall(r"\S*\w\S*", README)) <= MAX_WORDS
    prose = [line for line in README.splitlines() if line and not line.startswith("|")]
    assert [line for line in prose if re.search(r"[a-z`)]\. [A-Z]", line)] == []


def products() -> dict[str, tuple[str, str]]:
    """Returns each product's URL, and how senders authenticate, by docs/install.md.

    Its table has a column for each product.
    """
    names, *lines = rows(section(INSTALL, "3. Add an instance"))
    by_line = {line[0]: dict(zip(names, line)) for line in lines}
    urls, schemes = by_line["URL for senders"], by_line["How senders authenticate"]
    return {name: (urls[name], schemes[name]) for name in names if name}


def test_the_urls_are_those_of_the_install_document() -> None:
    """Each product has the URL that docs/install.md gives it, and what works there."""
    theirs, listed = products(), set()
    assert len(theirs) == 5
    for names, url, schemes in rows(section(README, "URL and authentication")):
        if "https://" not in url:
            continue
        for name in re.sub("Cortex |an ", "", names).split(" and "):
            listed.add(name)
            assert re.findall("`(https[^`]+)`", url)[0] in theirs[name][0] or (
                "the same, with `crtx` instead of `xdr`" in theirs[name][0]
            )
            assert ("any scheme" in schemes) == theirs[name][1].startswith("any")
            assert ("Basic only" in schemes) == (theirs[name][1] == "Basic only")
    assert listed == set(theirs)


def test_the_schemes_are_those_of_the_senders_document() -> None:
    """A scheme of the README is in the table of schemes, with the same header or field."""
    schemes = set(re.findall(r"`(_[^`]+)`", section(README, "URL and authentication")))
    table = {
        name
        for cells in rows(section(SENDERS, "How a sender authenticates"))
        for name in re.findall(r"`(_[^`]+)`", cells[0])
    }

    assert {"_header:<HEADER-NAME>", "_hmac:<HEADER-NAME>", "_query:<FIELD-NAME>"} <= schemes
    assert schemes <= table


@pytest.mark.parametrize(("vendor", "text"), VENDORS, ids=[name for name, _ in VENDORS])
def test_a_sender_is_set_up_as_in_the_senders_document(vendor: str, text: str) -> None:
    """Usernames, seconds and menus of the README are in the sender's section, too."""
    theirs = section(SENDERS, vendor)

    for username in re.findall(r"`(_[^`]+)`", text):
        assert f"`{username}`" in theirs
    assert re.findall(rf"`(\d)` as \*\*{ANSWER}", text) == re.findall(
        rf"\*{ANSWER}\* to `(\d)`", theirs
    )
    for menu in re.findall(r"(?<!\*)\*([^*]+ > [^*]+)\*(?!\*)", text):
        assert f"*{menu}*" in theirs
    for word in re.findall(r"`(alertmanager\.yml|webhook_configs|basic_auth|<URL>[^`]+)`", text):
        assert word in theirs


def test_there_are_five_senders_and_what_they_need_without_an_engine() -> None:
    """The README names the senders that docs/senders.md says need a change, and no other."""
    assert len(VENDORS) == 5
    [line] = [line for line in README.splitlines() if "need Basic instead" in line]
    for vendor, _ in VENDORS[:4]:
        text = re.findall(r"(?m)^On XSOAR 8 Cloud and XSIAM: (.*)$", section(SENDERS, vendor))[0]
        assert ("without changes" in text) == (vendor not in line)
        assert text.startswith("this needs an engine") == (vendor == "Slack")


def test_parameters_and_commands_exist() -> None:
    """What the README calls a parameter or a command is one of the integration's."""
    descriptor = yaml.safe_load(
        (ROOT / PACK / "Integrations/GenericWebhook/GenericWebhook.yml").read_text()
    )
    names = {row["display"] for row in descriptor["configuration"]}
    commands = {command["name"] for command in descriptor["script"]["commands"]}

    assert {ANSWER, "More credentials"} <= names
    assert set(re.findall(r"`!([\w-]+)`", README)) == {"generic-webhook-status"} <= commands
