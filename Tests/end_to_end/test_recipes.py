"""The recipes of docs/senders.md do what they say: each is run against what its vendor posts.

That a recommended *Duplication key* loses no later event is tested with the deliveries.
"""

import base64
import contextlib
import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from Tests.end_to_end.known_senders.cases import load_cases
from Tests.end_to_end.recipes import recipes
from Tests.end_to_end.sender import PACK
from Tests.sandbox.page.examples import DELIVERIES, example, read_delivery

RECIPES = recipes.load_recipes()
every_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe["vendor"])
pytestmark = pytest.mark.skipif(
    PACK is not None,
    reason="They call the functions of the source tree, which the zip does not have.",
)


def test_there_are_at_least_40_recipes_and_each_vendor_has_one() -> None:
    vendors = [recipe["vendor"] for recipe in RECIPES]
    assert len(vendors) >= 40
    assert len(set(vendors)) == len(vendors)


def test_the_document_has_the_recipes() -> None:
    document = recipes.DOCUMENT.read_text(encoding="utf-8")
    assert document == recipes.written(document), f"to write it again: {recipes.COMMAND}"


@every_recipe
def test_a_recipe_ends_in_verify_and_says_what_is_seen(recipe: dict[str, Any]) -> None:
    section = recipes.section_of(recipe)
    numbered = re.findall(r"^(\d+)\. (.*)$", section, re.MULTILINE)
    assert [int(number) for number, _ in numbered] == list(range(1, len(numbered) + 1))
    assert len(numbered) >= 3
    assert numbered[0][1].startswith("In the instance, set *Username*")
    assert numbered[-1][1].startswith("*Verify*: ")
    assert section.count("```") % 2 == 0


@every_recipe
def test_with_what_a_recipe_configures_its_vendor_s_event_is_useful(recipe: dict[str, Any]) -> None:
    """
    Given: an instance with the parameters of a recipe, and no others
    When: the vendor's event is posted
    Then: the incident has the name, severity and time that the recipe promises
    """
    from Packs.GenericWebhook.Integrations.GenericWebhook import GenericWebhook as webhook
    from Tests.end_to_end.test_deliveries import made_of, usual_fields

    params: dict[str, Any] = {"recognize": "known senders and usual field names"}
    key = recipes.key_of(recipe)
    params |= {"duplication_key": key} if key else {}
    params |= {"answer_seconds": str(recipe["answer"])} if "answer" in recipe else {}
    secret = "whsec_" + base64.b64encode(b"0123456789abcdef").decode()
    if recipe.get("username") == "_sns":
        secret = "arn:aws:sns:eu-west-1:123456789012:topic"
    params["credentials"] = {"identifier": recipe.get("username", "user"), "password": secret}
    settings = webhook.Settings.from_params({"longRunningPort": "8000", **params})
    assert not settings.mistakes
    expected = recipes.expected_of(recipe)
    since = datetime.now(UTC)
    if "row" in recipe:
        from Tests.end_to_end.test_known_senders import incidents_of

        case = next(case for case in load_cases() if case.row == recipe["row"])
        [(fields, _)] = incidents_of(case.payload, case.headers)
    else:
        made = made_of(DELIVERIES / f"{recipe['delivery']}.http", params)
        assert not key or all(event.key for event in made)
        fields = made[0].fields
    found = usual_fields(fields)
    with contextlib.suppress(KeyError):
        if datetime.fromisoformat(found["occurred"]) >= since:
            del found["occurred"]
    wanted = {name: expected[name] for name in found.keys() | usual_fields(expected)}
    assert found == wanted


@every_recipe
def test_the_sandbox_recommends_the_same_key(recipe: dict[str, Any]) -> None:
    if "delivery" in recipe:
        shown = example(DELIVERIES / f"{recipe['delivery']}.http", "/")["params"]
        assert shown.get("duplication_key", "") == recipes.key_of(recipe)


PASTED = [
    (recipe, snippet["text"])
    for recipe in RECIPES
    for step, snippet in recipes.snippets_of(recipe).items()
    if "this payload" in recipe["steps"][step] or "both payloads" in recipe["steps"][step]
]


@pytest.mark.parametrize("recipe, text", PASTED, ids=[recipe["vendor"] for recipe, _ in PASTED])
def test_what_is_pasted_at_the_vendor_is_all_that_is_needed(
    recipe: dict[str, Any], text: str
) -> None:
    """
    Given: a recipe with a payload to paste
    When: the delivery's fields that it has are posted, and no others
    Then: the incident is what the recipe promises
    """
    from Tests.end_to_end.test_deliveries import made_of, usual_fields

    file = DELIVERIES / f"{recipe['delivery']}.http"
    method, path, headers, body = read_delivery(file)
    if text.startswith("{"):
        pasted = set(re.findall(r'"(\w+)": ["{]', text))
        posted = json.loads(body)
        only = {name: value for name, value in posted.items() if name in pasted}
        body = json.dumps(only).encode()
    else:
        pasted = {name for name, _ in parse_qsl(text)}
        posted = dict(parse_qsl(body.decode()))
        only = {name: value for name, value in posted.items() if name in pasted}
        body = urlencode(only).encode()
    assert pasted - {"id", "name"} <= set(posted)
    assert only
    params = {"recognize": "known senders and usual field names"}
    [event] = made_of(file, params, (method, path, headers, body))
    wanted = usual_fields(recipes.expected_of(recipe))
    assert {name: event.fields.get(name) for name in wanted} == wanted
