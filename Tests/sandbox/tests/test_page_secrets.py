"""What the page must never show: passwords, tokens and private keys."""

import base64
import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from Tests.end_to_end.hostile import certificate
from Tests.sandbox.tests.page_api import (
    INSTANCE,
    JSON,
    SIGNED,
    Api,
    ask,
    credentials,
    events,
    everything_reported,
    is_request,
    paged,
)


@pytest.mark.parametrize("username", ["someone", "_header:Authorization", "_query:token", SIGNED])
def test_no_secret_reaches_the_page(username: str) -> None:
    """Given: an instance with each kind of credentials, and senders that use them in every way
    When: every call of the page is made, and its events are read
    Then: no answer holds the secret or an older one, also not as base64 or percent-encoded
    """
    secrets = ["old/S3cret+of=today", "new:s3cret \u00fc&more"]
    telling = [
        form
        for secret in secrets
        for form in (secret, base64.b64encode(f"{username}:{secret}".encode()).decode())
    ]
    telling += ["s3cret%20", "S3cret%2B", "new%3As3cret", "s3cret+%C3%BC"]
    with (
        paged({**credentials(username, secrets[0]), "store_samples": True}) as api,
        events(api) as stream,
    ):
        reported = ""
        for secret in secrets:
            api.save(**credentials(username, secret))
            assert api.send({"name": "proven"})["status"] == 200
            latin = secret.encode().decode("latin-1")
            basic = "Basic " + base64.b64encode(f"{username}:{secret}".encode()).decode()
            for headers in (
                {"Authorization": basic},
                {"Authorization": latin},
                {"X-Token": latin},
                {"X-Other": latin},
            ):
                ask(
                    api.port,
                    "POST",
                    INSTANCE,
                    json.dumps({"text": f"it is {secret}."}).encode(),
                    {**JSON, **headers},
                )
            ask(api.port, "POST", f"{INSTANCE}?token={quote(secret)}")
            ask(api.port, "POST", f"{INSTANCE}?token={quote_plus(secret)}")
        reported += everything_reported(api)
        api.send({"name": "the last"})
        reported += json.dumps(stream.until(is_request("the last")), ensure_ascii=False)
    found = [form for form in telling if form in reported or json.dumps(form)[1:-1] in reported]
    assert not found
    assert "proven" in reported


def test_events_and_errors_reveal_no_secret_either(tmp_path: Path) -> None:
    """Given: a listener to the page, and two secrets, one a line
    When: the secret is posted in a name, as a method and in other spellings, and used as
        credentials
    Then: neither events, errors nor opened requests hold it; files that do are for the owner alone
    """
    secret = "half-S3cret\nof <us> & you/me"
    by_go = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
    spelled = [
        part
        for line in secret.splitlines()
        for part in (line, line.translate(by_go), line.replace("/", "\\/"))
    ]
    store = tmp_path / "xsoar.sqlite3"
    with (
        paged({**credentials("_header:X-Token", secret)}, store=store) as api,
        events(api) as stream,
    ):
        sent = {"path": INSTANCE, "headers": [], "body": "{}", "sign": True}
        answer = json.dumps(api.post("/api/send", sent))
        ask(api.port, "half-S3cret", INSTANCE)
        body = "".join(f'{{"name": "it is {part}", "by": "' for part in spelled).encode() + b"\xff"
        ask(api.port, "POST", INSTANCE, body, {**JSON, "X-Token": "wrong"})
        reported = json.dumps(
            stream.until(lambda seen: sum(name == "request" for name, _ in seen) == 3),
            ensure_ascii=False,
        )
        opened = api.row(3)
    shown = base64.b64decode(opened["body"]["base64"]).decode("utf-8", "replace")
    for part in ("S3cret", "<us>", "u003cus", "\\/me"):
        assert part not in answer + reported + shown + json.dumps(opened, ensure_ascii=False)
    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("xsoar*")} == {0}


def test_no_other_page_may_read(api: Api) -> None:
    for site in ("cross-site", "same-site"):
        headers = {"Sec-Fetch-Site": site}
        assert ask(api.port, "GET", "/api/requests?q=a", b"", headers)[0] == 403
        assert ask(api.port, "GET", "/api/events", b"", headers)[0] == 403
        assert ask(api.port, "GET", "/", b"", headers)[0] == 200  # a link to the page
    assert ask(api.port, "GET", "/api/requests", b"", {"Sec-Fetch-Site": "same-origin"})[0] == 200


def test_the_curl_line_goes_where_the_page_does(api: Api) -> None:
    line = api.post(
        "/api/curl",
        {"path": f"{INSTANCE}/../../../api/reset", "headers": [["X-E", "\u00e9"]], "body": "{}"},
    )["curl"]
    assert "--path-as-is" in line
    assert "'X-E: \u00e9'" in line
    assert "without spaces and #" in api.refused(
        "/api/curl", {"path": f"{INSTANCE}/#there", "headers": [], "body": "{}"}
    )


def test_a_private_key_is_never_revealed() -> None:
    pair = certificate()
    with paged() as api:
        assert api.post("/api/instance/test", {"params": pair.params})["ok"] is True
        api.save(**pair.params)
        assert {field["name"]: field["isSet"] for field in api.get("/api/instance")["parameters"]}[
            "key"
        ] is True
        reported = everything_reported(api)
    lines = [line for line in pair.params["key"].splitlines() if "-----" not in line]
    assert not [line for line in lines if line in reported]


def test_the_secrets_of_more_credentials_are_hidden_too() -> None:
    """Given: an instance with a line of each kind, one of them for a path
    When: senders use them
    Then: neither the requests on the page nor the form hold one
    """
    secrets = ["S3cret of alice", "Api-Key t0ken-42", "in-the-path-77"]
    lines = (
        f"# comment\nalice {secrets[0]}\n_header:X-Key {secrets[1]}\n"
        f"/okta _header:Authorization {secrets[2]}\nalone"
    )
    with paged({"more_credentials": lines}) as api:
        basic = base64.b64encode(f"alice:{secrets[0]}".encode()).decode()
        for path, headers in (
            ("", {"Authorization": f"Basic {basic}"}),
            ("", {"X-Key": secrets[1]}),
            ("/okta", {"Authorization": secrets[2]}),
        ):
            body = json.dumps({"name": "proven", "text": secrets[0]}).encode()
            ask(api.port, "POST", INSTANCE + path, body, {**JSON, **headers})
        reported = everything_reported(api)
    assert "proven" in reported
    assert not [text for text in (*secrets, basic) if text in reported]


def test_a_headers_name_in_a_wrong_line_stays_readable() -> None:
    """Given: a line in which the header's name stands where the secret is expected
    When: it is tested, and then the right line is used with a wrong signature
    Then: the secret is hidden, and the refusal still says which header is meant
    """
    with paged() as api:
        wrong = {"more_credentials": "_hmac: X-Hub-Signature-256 hidden-secret-77"}
        assert api.post("/api/instance/test", {"params": wrong})["ok"] is False
        api.save(more_credentials="_hmac:X-Hub-Signature-256 hidden-secret-77")
        ask(
            api.port, "POST", INSTANCE, b"{}", {**JSON, "X-Hub-Signature-256": "sha256=" + "0" * 64}
        )
        reported = everything_reported(api)
    assert "The signature in X-Hub-Signature-256" in reported
    assert "hidden-secret-77" not in reported
