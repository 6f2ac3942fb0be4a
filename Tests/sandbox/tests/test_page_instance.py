"""The page's form of an instance's settings: showing, testing and saving it."""

from pathlib import Path
from typing import Any

import pytest

from Tests.end_to_end.sender import PACK, await_that
from Tests.sandbox import free_port
from Tests.sandbox.descriptor import INTEGRATION, ROOT, parse_yaml
from Tests.sandbox.tests.page_api import SECONDS, SECRET, SIGNED, Api, credentials, events, paged


def test_the_form_is_the_descriptor_s(api: Api) -> None:
    parsed = parse_yaml(INTEGRATION.with_suffix(".yml").read_bytes())
    shown = (False, ["marketplacev2", "platform"])  # the second hides it in other products
    rows = [row for row in parsed["configuration"] if row.get("hidden", False) in shown]
    form = api.get("/api/instance")
    assert (form["name"], form["canRestart"]) == ("webhook", True)
    assert form["integration"].startswith(parsed["display"])  # a built pack adds something
    assert form["url"] == api.sandbox.url
    assert form["sections"] == parsed["sectionorder"]
    for field, row in zip(form["parameters"], rows, strict=True):
        answer = [
            field[name]
            for name in (
                "name",
                "display",
                "type",
                "section",
                "help",
                "required",
                "advanced",
                "options",
            )
        ]
        declared = [row[name] for name in ("name", "display", "type", "section")]
        assert answer == [
            *declared,
            row.get("additionalinfo", ""),
            row.get("required", False),
            row.get("advanced", False),
            [str(option) for option in row.get("options", [])],
        ]
    kinds = {field["name"]: field["kind"] for field in form["parameters"]}
    assert set(kinds.values()) == {
        "text",
        "checkbox",
        "credentials",
        "textarea",
        "secret",
        "incidentType",
        "select",
    }
    by_name = {field["name"]: field for field in form["parameters"]}
    assert by_name["longRunningPort"]["value"] == str(api.sandbox.container_port)
    assert (by_name["accept_get"]["value"], "other_methods" in by_name) == (False, False)
    assert by_name["credentials"]["value"] == {"identifier": SIGNED}
    assert (by_name["credentials"]["isSet"], by_name["credentials"]["displayPassword"]) == (
        True,
        "Password",
    )
    assert (by_name["key"]["kind"], by_name["key"]["value"], by_name["key"]["isSet"]) == (
        "secret",
        None,
        False,
    )
    if not PACK:
        assert form["description"] == INTEGRATION.with_name(
            "GenericWebhook_description.md"
        ).read_text(encoding="utf-8")


def test_the_test_button_shows_what_the_integration_says(api: Api) -> None:
    assert api.post("/api/instance/test", {"params": {}}) == {"ok": True, "text": "ok"}
    answer = api.post("/api/instance/test", {"params": {"longRunningPort": "eighty"}})
    assert answer["ok"] is False
    assert answer["text"].startswith("Listen Port: enter a number")
    answer = api.post("/api/instance/test", {"params": credentials(SIGNED, "")})
    assert answer["text"].startswith("Password: it is empty")
    assert api.sandbox.params["longRunningPort"] == str(api.sandbox.container_port)


@pytest.mark.parametrize("path", ["/api/instance/test", "/api/instance"])
@pytest.mark.parametrize(
    "params, sentence",
    [
        ({"nosuch": "1"}, "There is no parameter 'nosuch'."),
        ({"accept_get": "perhaps"}, "The parameter 'accept_get' is a checkbox"),
        ({"accept_get": 3}, "Accept GET: it is a checkbox"),
        ({"longRunningPort": ""}, "Listen Port: it is required"),
        ({"name_from": ["a"]}, "Incident name: give a text"),
        ({"mirror_direction": "Sideways"}, "Mirroring direction: choose one of None, Incoming"),
        ({"other_methods": ["DELETE"]}, "Also accept: choose one of GET, PUT, PATCH"),
        ({"credentials": "user:password"}, "Username: give an identifier"),
        ([], 'Send {"params": {...}}'),
    ],
    ids=str,
)
def test_a_wrong_form_is_one_sentence(api: Api, path: str, params: Any, sentence: str) -> None:
    pid = api.sandbox.pid
    assert api.refused(path, {"params": params}).startswith(sentence)
    assert api.sandbox.pid == pid


def test_a_value_is_not_a_file_name(api: Api, tmp_path: Path) -> None:
    """Given: the command line, where @file stands for a file's text
    When: the page sends such a value
    Then: it is the text itself, and no file is read
    """
    file = tmp_path / "secret.txt"
    file.write_text("severity")
    answer = api.post("/api/instance/test", {"params": {"severity_map": f"@{file}"}})
    assert "is not an entry" in answer["text"]
    assert str(file)[:20] in answer["text"]


def test_saving_restarts_the_container_on_another_port_and_keeps_the_secret() -> None:
    with paged(credentials()) as api:
        first, port = api.sandbox.pid, free_port()
        api.save(
            longRunningPort=str(port),
            credentials={"identifier": SIGNED},
            key=None,
            store_samples=True,
        )
        assert api.sandbox.pid != first
        assert api.sandbox.container_port == port
        assert api.sandbox.params["credentials"]["password"] == SECRET
        assert api.send({"a": 1})["status"] == 200
        shown = {field["name"]: field["value"] for field in api.get("/api/instance")["parameters"]}
        assert (shown["longRunningPort"], shown["store_samples"]) == (str(port), True)
        assert api.get("/api/health")["container"] == "up"


def test_a_parameter_the_integration_cannot_use_is_shown_in_the_health_and_fixed() -> None:
    with paged() as api, events(api) as stream:
        port = api.sandbox.container_port
        api.save(longRunningPort="eighty")
        await_that(
            lambda: api.get("/api/health")["health"].startswith("Listen Port: enter a number"),
            SECONDS,
        )
        assert api.send({})["status"] == 502
        api.save(longRunningPort=str(port))
        assert api.get("/api/health")["health"] == ""
        assert api.send({"a": 1})["status"] == 200
        states = [
            event
            for name, event in stream.until(
                lambda seen: seen[-1][0] == "request" and seen[-1][1]["status"] == 200
            )
        ]
        assert any("Listen Port" in str(state.get("health")) for state in states)
        assert any(state.get("container") == "restarting" for state in states)
        texts = [text for _, text in api.get("/api/health")["history"]]
        assert texts[-1] == ""
        assert any("Listen Port" in text for text in texts)


def test_an_instance_that_is_open_to_everyone_is_said_to_be() -> None:
    """Given: an instance without anything that decides who may send
    When: credentials, a line of More credentials, or Allowed sources are set
    Then: the page no longer says that it is open to everyone
    """
    with paged({}) as api:
        assert api.get("/api/instance")["isOpen"]
        for params in (
            {"credentials": {"identifier": "user", "password": "s3cret"}},
            {"credentials": {}, "more_credentials": "alice s3cret"},
            {"more_credentials": "", "allowed_sources": "127.0.0.1"},
        ):
            api.save(**params)
            assert not api.get("/api/instance")["isOpen"]


def test_the_urls_of_the_products_are_the_documents() -> None:
    """Given: the table of docs/install.md, where a product may refer to the one before it
    When: the page of an instance with a blank in its name is read
    Then: each product has the table's URL, with the instance's name
    """
    lines = (ROOT / "docs/install.md").read_text(encoding="utf-8").splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("| URL for"))
    products, cells = (
        [cell.strip() for cell in line.split("|")[2:-1]]
        for line in (lines[place - 2], lines[place])
    )
    for number, cell in enumerate(cells):
        if cell.startswith("the same, "):
            assert "`crtx` instead of `xdr`" in cell
            cells[number] = cells[number - 1]
    with paged(instance="our webhook") as api:
        found = api.get("/api/instance")["productUrls"]
    expected = [cell.strip("`").replace("<instance>", "our%20webhook") for cell in cells]
    assert [(one["product"], one["url"]) for one in found] == list(zip(products, expected))
    assert len(found) == 5
    assert "crtx" in found[2]["note"]
