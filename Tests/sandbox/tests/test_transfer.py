"""Parameters as text: what Copy for XSOAR gives, and what Import takes."""

from typing import Any

import pytest
import yaml

from Tests.sandbox.descriptor import load
from Tests.sandbox.page.form import is_hidden
from Tests.sandbox.page.transfer import exported, imported
from Tests.sandbox.tests.page_api import SECRET, SIGNED, Api, credentials, paged

PARAMS: dict[str, Any] = {
    "credentials": {"identifier": SIGNED, "password": SECRET, "passwordChanged": False},
    "more_credentials": f"/okta _header:Authorization {SECRET}\nalice {SECRET}",
    "recognize": "off",
    "name_from": "{rule.name} on {host.0.name}, title # not a comment",
    "type_from": "none",
    "occurred_from": "",
    "severity_map": "90-100=critical, 'sev3': \"medium\"",
    "events_path": "yes",
    "ignore_when": "status=resolved\naction=labeled|unlabeled\n\nzone: [a, b]",
    "duplicate_hours": "012",
    "store_samples": False,
    "keep_unreadable": False,
    "allowed_sources": "192.0.2.0/24, 2001:db8::/32",
}
SECRETS = ("credentials", "more_credentials")


def form(api: Api) -> dict[str, Any]:
    return {field["name"]: field["value"] for field in api.get("/api/instance")["parameters"]}


@pytest.mark.parametrize("kind", ["list", "yaml"])
def test_what_is_copied_can_be_imported_again(kind: str) -> None:
    """Given: an instance with texts that look like YAML, several lines, emptied and ticked fields
    When: its list or its YAML is copied, the parameters are reset, and the text is imported
    Then: all of them are as before except the passwords, and the instance runs with them
    """
    with paged(PARAMS) as api:
        before = form(api)
        text = api.get("/api/instance/export")[kind]
        assert SECRET not in text
        api.post("/api/instance/reset")
        first = api.sandbox.pid
        assert api.get("/api/instance/export") == {"list": "", "yaml": ""}
        answer = api.post("/api/instance/import", {"text": text})
        assert answer == {"ok": True, "parameters": len(PARAMS) - 1}
        assert form(api) == before
        assert api.sandbox.pid != first
        assert api.sandbox.params["credentials"]["password"] == ""
        # The passwords of this instance stay as they are.
        api.save(**credentials())
        api.post("/api/instance/import", {"text": text})
        assert api.sandbox.params["credentials"]["password"] == SECRET


def test_the_list_is_in_the_form_s_order_and_says_what_is_left_out() -> None:
    with paged(PARAMS) as api:
        text = api.get("/api/instance/export")
    assert text["list"].splitlines() == [
        f"Username: {SIGNED}",
        "# Password is set, but left out here: enter it by hand",
        "# More credentials is set, but left out here: enter it by hand",
        "Allowed sources: 192.0.2.0/24, 2001:db8::/32",
        "Recognize senders: off",
        "Ignore events where:",
        "  status=resolved",
        "  action=labeled|unlabeled",
        "  ",
        "  zone: [a, b]",
        "Store sample events for mapping: no",
        "Incident name: {rule.name} on {host.0.name}, title # not a comment",
        "Severity words: 90-100=critical, 'sev3': \"medium\"",
        "Occurred from:",
        "Incident type from: none",
        "Events in: yes",
        "Forget duplicates after: 012",
        "Keep what cannot be read: no",
    ]
    assert text["yaml"].count("left out here: enter it by hand") == 2
    whole = yaml.safe_load(text["yaml"])
    assert whole == {
        **{name: value for name, value in PARAMS.items() if name not in SECRETS},
        "credentials": {"identifier": SIGNED},
    }


def test_a_list_may_have_passwords_and_names_like_the_command_line(api: Api) -> None:
    with paged() as other:
        text = "Username: alice\nPassword: it's: a = b\n\nseverity_from=level"
        assert other.post("/api/instance/import", {"text": text})["parameters"] == 2
        given = other.sandbox.params
        assert given["credentials"]["identifier"] == "alice"
        assert given["credentials"]["password"] == "it's: a = b"
        assert given["severity_from"] == "level"
        other.post("/api/instance/import", {"text": f"credentials={SIGNED}:s3cret"})
        assert other.sandbox.params["credentials"] == {
            **{"identifier": SIGNED, "password": "s3cret", "passwordChanged": False}
        }


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (
            "nosuch: 1\nseverity_from: level\nrecognize: sometimes\naccept_get: perhaps",
            [
                "There is no parameter 'nosuch'.",
                "Recognize senders: choose one of",
                "The parameter 'accept_get' is a checkbox: give true or false, not 'perhaps'.",
            ],
        ),
        (
            "Severity from: {a}\nNo such label: 1\nRecognize senders: sometimes",
            ["There is no parameter 'No such label'.", "Recognize senders: choose one of"],
        ),
        ("longRunningPort:", ["Listen Port: it is required"]),
        ("severity_from: [a, b]", ["Severity from: give a text."]),
        ("credentials: [a]", ["Username: give an identifier"]),
        ("severity_from: a\n  b: c", ["The text is not YAML: mapping values are not allowed here"]),
        ("severity_from: &a {x: *a}", ["The text is not YAML: found unconstructable"]),
        ("[" * 50_000, ["The text is not YAML: "]),
        ("severity_from=level\nsomething", ["'something' is not a name, a colon and a value."]),
        ("", ["Give a line for each parameter"]),
        ("{}", ["The text names no parameter."]),
        (None, ["Give a text of at most"]),
    ],
    ids=str,
)
def test_a_text_with_a_mistake_changes_nothing(api: Api, text: Any, sentences: list[str]) -> None:
    pid, before = api.sandbox.pid, dict(api.sandbox.params)
    found = api.refused("/api/instance/import", {"text": text}).split("\n")
    assert [line[: len(start)] for line, start in zip(found, sentences, strict=True)] == sentences
    assert (api.sandbox.pid, api.sandbox.params) == (pid, before)


def test_every_parameter_of_the_form_makes_the_round_trip() -> None:
    """Each field of the form is given another value: none is lost by its label or its type."""
    descriptor = load()
    defaults = descriptor.params({})
    for parameter in descriptor.parameters.values():
        if is_hidden(parameter) or parameter.type in (4, 14):
            continue
        default = defaults[parameter.name]
        other: Any = "line\n\n  second: {line}\n# third"
        if parameter.type == 0:
            other = " - {a}: b=c, #d"
        elif parameter.type == 8:
            other = not default
        elif parameter.type == 15:
            other = next(one for one in parameter.row["options"] if one != default)
        elif parameter.type == 9:
            other = {"identifier": "a: b", "password": "", "passwordChanged": False}
        text = exported(descriptor, {**defaults, parameter.name: other}, defaults)
        for kind in ("yaml", "list"):
            found = imported(descriptor, defaults, text[kind])[parameter.name]
            if kind == "list" and isinstance(other, str):  # the form has no such spaces
                trimmed = [line.strip() for line in other.splitlines()]
                assert found == "\n".join(trimmed).strip(), parameter.name
            else:
                assert found == other, parameter.name
