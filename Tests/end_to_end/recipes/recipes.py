"""The recipes of docs/senders.md: how to set up a vendor, and what its first event becomes.

``python -m Tests.end_to_end.recipes.recipes`` prints their sections; with ``--write``, it replaces
those of the document. recipes.yaml holds of each:

vendor
    The heading.
delivery
    The file in `deliveries` with what the vendor posts. Its name, severity and time with nothing
    configured, and its parameter *Duplication key*, are those of the recipe: one source for both.
row, key
    Instead of a delivery: the id of a row of KnownSendersApiModule, and the *Duplication key*.
username, password
    What to enter in the instance; without a username, it is Basic authentication.
answer, waits
    Seconds for *Answer at the latest after*, and how long the vendor waits.
steps, snippet, language, snippets
    What to do at the vendor. The snippet belongs to the last step, or `snippets` has them by the
    step's number from 0.
trigger
    How to cause the first event.
cloud
    What to do where Cortex XSOAR 8 Cloud or Cortex XSIAM itself asks for Basic authentication: that
    it `works without changes`, that `this needs an engine`, or what to enter instead at the vendor,
    once the first step has a username and a password.
notes
    Sentences.
"""

import json
import re
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from Tests.end_to_end.known_senders.cases import load_cases
from Tests.sandbox.descriptor import ROOT

COMMAND = "python -m Tests.end_to_end.recipes.recipes --write"
DOCUMENT = ROOT / "docs/senders.md"
DELIVERIES = ROOT / "Tests/end_to_end/deliveries"
AFTER = "## Asana"  # the first section behind the recipes
BY_HAND = ("Asana", "A tool that can only set a URL")  # listed with the vendors
VENDORS = re.compile(r"^Vendors:\n\n(?:- .*\n)+", re.MULTILINE)
SEVERITIES = {0.5: "Informational", 1: "Low", 2: "Medium", 3: "High", 4: "Critical"}
PASSWORDS = {
    "_query": "a random secret without `&`, `#` or `%`",
    "_header": "a random secret",
    "_hmac": "a random secret",
}
SENTENCE = re.compile(r"(?<=\.) (?=[A-Z*`])")
BASIC = "*Username* and *Password* to a username and a password of your own"


def load_recipes() -> list[dict[str, Any]]:
    """Return all recipes, in the order of the document."""
    text = Path(__file__).with_name("recipes.yaml").read_text(encoding="utf-8")
    recipes: list[dict[str, Any]] = yaml.safe_load(text)
    return recipes


def expected_of(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return what the first event of a recipe becomes with nothing configured."""
    if "row" in recipe:
        return next(case.expect for case in load_cases() if case.row == recipe["row"])
    expected = delivery_of(recipe)
    incident: dict[str, Any] = expected.get("recognized", expected["incidents"])[0]
    return incident


def delivery_of(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return what is expected of a recipe's delivery."""
    file = DELIVERIES / f"{recipe['delivery']}.expected.json"
    expected: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return expected


def key_of(recipe: dict[str, Any]) -> str:
    """Return the recommended *Duplication key*, empty for none."""
    if "row" in recipe:
        return str(recipe["key"])
    return str(delivery_of(recipe)["params"].get("duplication_key", ""))


def in_instance(recipe: dict[str, Any]) -> str:
    """Return the first step: what to enter in the instance."""
    username = recipe.get("username")
    scheme = str(username).partition(":")[0]
    credentials = BASIC
    if username:
        password = recipe.get("password") or PASSWORDS[scheme]
        credentials = f"*Username* to `{username}`, and *Password* to {password}"
    step = f"In the instance, set {credentials}."
    if "answer" in recipe:
        step += (
            f" {recipe['vendor']} waits {recipe['waits']} seconds: set *Answer at the latest "
            f"after* to `{recipe['answer']}`."
        )
    return step


def verify(recipe: dict[str, Any]) -> str:
    """Return the last step: what to click, and what to see."""
    expected = expected_of(recipe)
    severity = SEVERITIES.get(expected.get("severity", 0))
    name = expected["name"].replace("`", "'")
    seen = f"with the severity {severity}" if severity else "without a severity"
    time = "the event's time" if "occurred" in expected else "the time of its arrival"
    return (
        f"*Verify*: {recipe['trigger']} In XSOAR, there is an incident such as `{name}`, "
        f"{seen} and with {time}."
    )


def on_cloud(recipe: dict[str, Any]) -> str:
    """Return what differs where the platform itself asks for Basic authentication."""
    cloud = recipe["cloud"]
    if not re.match("works without changes|this needs an engine|in step 1", cloud):
        cloud = f"in step 1, a username and a password of your own; at {recipe['vendor']}, {cloud}"
    return f"On XSOAR 8 Cloud and XSIAM: {cloud}."


def snippets_of(recipe: dict[str, Any]) -> dict[int, dict[str, str]]:
    """Return the snippets of a recipe by the number of their step from 0."""
    snippets = dict(recipe.get("snippets", {}))
    if "snippet" in recipe:
        last = len(recipe["steps"]) - 1
        snippets[last] = {"text": recipe["snippet"], "language": recipe.get("language", "text")}
    return snippets


def section_of(recipe: dict[str, Any]) -> str:
    """Return the section of a recipe."""
    steps = [in_instance(recipe), *recipe["steps"], verify(recipe)]
    snippets = snippets_of(recipe)
    lines = [f"## {recipe['vendor']}", "", *SENTENCE.split(on_cloud(recipe)), ""]
    for number, step in enumerate(steps, 1):
        first, *others = SENTENCE.split(step)
        lines.append(f"{number}. {first}")
        lines += [f"   {sentence}" for sentence in others]
        snippet = snippets.get(number - 2)
        if snippet:
            code = snippet["text"].rstrip("\n").split("\n")
            lines += ["", f"   ```{snippet['language']}", *(f"   {line}".rstrip() for line in code)]
            lines += ["   ```", ""]
    key = key_of(recipe)
    notes = [f"*Duplication key*: `{key}`."] if key else []
    lines.append("")
    for note in (*notes, *recipe.get("notes", ())):
        first, *others = SENTENCE.split(note)
        lines += [f"- {first}", *(f"  {sentence}" for sentence in others)]
    return "\n".join(lines) + "\n"


def anchor(vendor: str) -> str:
    """Return the anchor of a heading."""
    return vendor.lower().replace(" ", "-")


def listed(recipes: list[dict[str, Any]]) -> str:
    """Return the list of all vendors, with a line for each letter."""
    vendors = sorted([*(recipe["vendor"] for recipe in recipes), *BY_HAND], key=str.lower)
    lines = [
        f"- {', '.join(f'[{vendor}](#{anchor(vendor)})' for vendor in group)}"
        for _, group in groupby(vendors, key=lambda vendor: vendor[0].upper())
    ]
    return "\n".join(["Vendors:", "", *lines]) + "\n"


def written(document: str) -> str:
    """Return the document with its recipes, and with their list, written anew."""
    recipes = load_recipes()
    document = VENDORS.sub(lambda _: listed(recipes), document, count=1)
    sections = "\n".join(section_of(recipe) for recipe in recipes)
    lines = document.split("\n")
    start = lines.index(f"## {recipes[0]['vendor']}")
    end = lines.index(AFTER)
    return "\n".join([*lines[:start], *sections.split("\n"), *lines[end:]])


def main() -> None:
    """Print the sections, or write them into the document."""
    if sys.argv[1:] == ["--write"]:
        document = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(written(document), encoding="utf-8")
    else:
        sys.stdout.write("\n".join(section_of(recipe) for recipe in load_recipes()))


if __name__ == "__main__":
    main()
