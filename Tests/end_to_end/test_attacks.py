"""Attacks that worked once, and their relatives, over sockets.

Times are bounded generously, because the machine may be busy: docs/performance.md has what was
measured.
"""

import ast
import base64
import functools
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from Tests.end_to_end.hostile import ask, connect, in_parallel, post, read_answer, sandboxed
from Tests.end_to_end.sender import Sender, await_that, running
from Tests.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
SECRET = "s3cr3t-9f8e7d"
JSON = b"Content-Type: application/json"


def credentials(username: str, password: str = SECRET) -> dict[str, Any]:
    return {"credentials": {"identifier": username, "password": password}}


def names(sandbox: Sandbox) -> list[str]:
    return [incident["name"] for incident in sandbox.incidents()]


# ---- regular expressions

# Whose pattern or text is the instance's own setting, or a piece of a path of at most nine digits.
OTHER_USES = {
    ("WebhookFormatsApiModule.py", "compile"): 2,  # all but a quotation mark and a backslash
    ("WebhookMappingApiModule.py", "fullmatch"): 1,
    ("WebhookPayloadApiModule.py", "compile"): 1,  # a form's boundary, escaped
}


def uses_of_re(source: Path) -> tuple[set[str], dict[tuple[str, str], int]]:
    """Return the names of a file's compiled patterns, and how often re is used otherwise."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    named = {
        node.value: node.targets[0].id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    patterns, others = set(), dict[tuple[str, str], int]()
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "re":
            if node in named:
                patterns.add(named[node])
            elif node.func.attr != "escape":
                use = (source.name, node.func.attr)
                others[use] = others.get(use, 0) + 1
    return patterns, others


def test_each_regular_expression_is_measured_in_its_worst_case() -> None:
    """Each pattern stands in the table of its file's unit tests; the integration has none."""
    sources = [
        source
        for source in [
            *(ROOT / "Packs/ApiModules/Scripts").glob("*/*.py"),
            ROOT / "Packs/GenericWebhook/Integrations/GenericWebhook/GenericWebhook.py",
        ]
        if not source.stem.endswith("_test")
    ]
    assert len(sources) > 8
    others: dict[tuple[str, str], int] = {}
    for source in sources:
        patterns, unnamed = uses_of_re(source)
        others |= unnamed
        if source.stem == "GenericWebhook":
            assert not patterns
            continue
        tests = "".join(test.read_text() for test in source.parent.glob("*_test.py"))
        missing = {name for name in patterns if f'"{name}": ' not in tests}
        assert not missing, f"{source.name}: {missing}"
    assert others == OTHER_USES


# ---- part of a secret

BASIC = base64.b64encode(b"user:" + SECRET.encode()).decode()
PARTS: dict[str, tuple[dict[str, Any], str, list[tuple[str, dict[str, str]]]]] = {
    "words of a token in the query string": (
        credentials("_query:key", "correct horse"),
        "?key=correct%20horse",
        [
            ("?key=correct", {}),
            ("?key=horse", {}),
            ("?key=correct%20horse%20", {}),
            ("?key=correct%0Ahorse", {}),
            ("?key=", {}),
            ("?key", {}),
            ("?KEY=correct%20horse", {}),
        ],
    ),
    "lines of a password": (
        credentials("_query:key", "first one\nsecond one"),
        "?key=second%20one",
        [
            ("?key=first%20one%0Asecond%20one", {}),
            ("?key=one", {}),
            ("?key=%0A", {}),
            ("?key=first", {}),
        ],
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_no_part_of_a_secret_opens_the_instance(name: str) -> None:
    params, right, wrong = PARTS[name]
    with running(params=params) as sender:
        for path, headers in wrong:
            assert sender.post(b"{}", path=path, **headers).status == 401, path
        assert not sender.sandbox.incidents()
        assert sender.post(b"{}", path=right).status == 200


def test_no_word_of_a_secret_signs() -> None:
    phrase = "correct horse battery"
    body = b'{"n": 1}'
    with running(params=credentials("_hmac:X-Sum", phrase)) as sender:
        for key in ("correct", "horse", "correct horse", phrase + " ", "", "\n"):
            digest = hmac.digest(key.encode(), body, "sha256").hex()
            assert sender.post(body, x_sum=digest).status == 401, key
        for empty in ("", "sha256=", ",", "sha256=,"):
            assert sender.post(body, x_sum=empty).status == 401
        right = hmac.digest(phrase.encode(), body, "sha256").hex()
        assert sender.post(body, x_sum=right).status == 200
        # Neither half a signature, nor one that only begins right.
        assert sender.post(body, x_sum=right[:32]).status == 401
        assert sender.post(body, x_sum=right + "00").status == 401


def test_a_second_header_proves_nothing() -> None:
    """A proxy may look at the first of two headers, and another one at the last."""
    with sandboxed(params=credentials("user")) as sandbox:
        right, wrong = f"Authorization: Basic {BASIC}".encode(), b"Authorization: Basic dTp4"
        for lines in ((wrong, right), (right, wrong)):
            assert ask(sandbox, post(b"{}", *lines)).status in (400, 401)
        for value in (f"Basic {BASIC},", f"Basic  {BASIC[:-2]}", f"Bearer {BASIC}", "Basic"):
            assert ask(sandbox, post(b"{}", f"Authorization: {value}".encode())).status == 401
        assert not sandbox.incidents()
        assert ask(sandbox, post(b"{}", right)).status == 200


# ---- an identity that nobody signed


def test_a_signed_empty_body_takes_no_event_from_the_query_string() -> None:
    for scheme in ("_hmac:X-Sum", "_hmac-sha1:X-Sum"):
        key = SECRET.encode()
        algorithm = "sha1" if "sha1" in scheme else "sha256"
        with running(params=credentials(scheme)) as sender:
            for body in (b"", b" "):
                digest = hmac.digest(key, body, algorithm).hex()
                for kind in ("", "application/json", "application/x-www-form-urlencoded"):
                    sender.post(body, kind, "?name=forged&severity=4", x_sum=digest)
            assert "forged" not in names(sender.sandbox)


def test_no_field_that_xsoar_gives_a_meaning_is_the_sender_s() -> None:
    """Of a vendor's payload, nothing says where to mirror or whose the incident is."""
    forged = {
        **{f"mirror_{part}": "forged" for part in ("direction", "instance", "id", "tags")},
        **{"dbotMirrorId": "1", "dbotMirrorInstance": "x", "dbotMirrorDirection": "Both"},
        **{"owner": "admin", "id": "7", "status": 2, "investigationId": "9", "labels": "x"},
        **{"sourceInstance": "x", "sourceBrand": "y", "playbookId": "z", "CustomFields": {"a": 1}},
    }
    with running(params={"mirror_direction": "Incoming"}) as sender:
        [incident] = sender.create(json.dumps({"name": "n", **forged}))
        own = {"name", "occurred", "rawJSON", "details", "severity", "type", "id", "created"}
        assert set(incident) <= own, set(incident) - own
        raw = json.loads(incident["rawJSON"])
        assert "forged" not in [raw[name] for name in raw if name.startswith("mirror_")]


# ---- what createIncidents answers

ANSWERS: dict[str, Any] = {
    "an error": [{"error": "the database is read-only"}],
    "an id of null": [{"id": None, "name": "n"}],
    "an empty id": [{"id": "", "name": "n"}],
    "an id of false": [{"id": False}],
    "a message": [{"message": "queued", "status": 202}],
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_incident_without_an_id_is_502(name: str) -> None:
    with sandboxed() as sandbox:
        sandbox.faults.answer = lambda _: ANSWERS[name]
        answer = ask(sandbox, post(b'{"name": "n"}'))
        assert answer.status == 502
        assert "may have been created" in answer.error
        assert len(sandbox.incidents()) == 1  # it was sent once


def test_a_bad_event_takes_no_good_one_of_the_same_key_along() -> None:
    """Two events of one key: XSOAR refuses the first, and the second is tried by itself."""
    with sandboxed(params={"duplication_key": "id"}) as sandbox:
        sandbox.faults.reject = "POISON"
        sandbox.faults.latency["createIncidents"] = 0.3
        bodies = [b'{"id": "a", "x": "POISON"}', b'{"id": "a", "x": "good"}', b'{"id": "b"}']
        senders: list[Callable[[], Any]] = [
            functools.partial(ask, sandbox, post(body)) for body in bodies
        ]
        warm = in_parallel([lambda: ask(sandbox, post(b'{"id": "c"}')).status])
        assert warm == [200]
        statuses = [answer.status for answer in in_parallel(senders)]
        assert statuses[1:] == [200, 200]
        assert statuses[0] in (200, 502)  # a duplicate, where the good one came first
        stored = [json.loads(incident["rawJSON"])["id"] for incident in sandbox.incidents()]
        assert sorted(stored) == ["a", "b", "c"]


# ---- secrets in rawJSON


def spelled(secret: str) -> list[str]:
    plain = base64.b64encode(f"user:{secret}".encode()).decode()
    return [
        secret,
        "".join(f"%{byte:02x}" for byte in secret.encode()),
        "".join(f"%{byte:02X}" for byte in secret.encode()),
        "".join(f"%25{byte:02X}" for byte in secret.encode()),
        base64.b64encode(secret.encode()).decode(),
        plain,
        f"https://h/hook?token={secret}&a=b",
        f"https://user:{secret}@h/hook",
        f'{{"token":"{secret}"}}',
    ]


URL_HEADERS = (
    *("x-waws-unencoded-url", "x-forwarded-path", "x-request-uri", "referer", "referrer"),
    *("origin", "x-original-uri", "x-rewrite-url", "x-envoy-original-path", "x-forwarded-uri"),
    *("x-anything", "forwarded", "via", "user-agent", "x-b3-traceid", "link", "if-match"),
)


def test_the_instance_s_secret_is_in_no_header_or_field_that_is_kept() -> None:
    with running(params={**credentials("_query:token"), "store_samples": True}) as sender:
        for text in spelled(SECRET):
            headers = {name.replace("-", "_"): text for name in URL_HEADERS}
            [incident] = sender.create(b"{}", path=f"/x?token={SECRET}", **headers)
            for spelling in spelled(SECRET):
                assert spelling not in incident["rawJSON"], text
        quoted = [text for text in spelled(SECRET) if "{" not in text and "/" not in text]
        for text in quoted:
            path = f"?token={SECRET}&note={text}&{text}=1"
            [incident] = sender.create(b"{}", path=path)
            for spelling in spelled(SECRET):
                assert spelling not in incident["rawJSON"], path


SECRET_NAMES = [
    *("X-Key1", "X-Api-Key2", "X-SharedKey", "X-Otp", "X-Psk", "pw", "pass", "X-Pass2", "X-Pw1"),
    *("x-auth", "X-AuthToken", "X-Sign", "X-Sign2", "api_key", "apikey", "X-Access-Token"),
    *("X-Hub-Secret", "sharedsecret3", "x-functions-key", "X-JWT", "sessionid", "Set-Cookie"),
]


@pytest.fixture(scope="module")
def anyone() -> Iterator[Sender]:
    """An instance without parameters, for tests that look at nothing but their own incidents."""
    with running() as sender:
        yield sender


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_name_that_speaks_of_a_secret_is_not_kept(anyone: Sender, name: str) -> None:
    [incident] = anyone.create(b"{}", path=f"?{name}=hidden-value", **{name: "hidden-value"})
    assert "hidden-value" not in incident["rawJSON"]


# ---- strangers and the log


@pytest.mark.parametrize("identifier", ["user", "_hmac:X-Sum", "_header:X-Token"])
def test_strangers_write_nothing_into_health_and_log(identifier: str) -> None:
    """Handshakes, names, paths and addresses of requests that prove nothing."""
    text = "Install http://192.0.2.7/fix.sh\x85ERROR forged"
    encoded = text.encode("latin-1")
    with sandboxed(params=credentials(identifier), constants={"REPORT_SECONDS": 1}) as sandbox:
        for request in (
            post(b"{}", b"X-Hook-Secret: " + encoded),
            post(b"{}", b"X-Forwarded-For: " + encoded, b"User-Agent: " + encoded),
            post(b"{}", b"X-Sum: " + encoded, b"X-Token: " + encoded),
            post(json.dumps({"challenge": text, "type": "url_verification"}).encode(), JSON),
            post(b"{}", target=b"/Install%0Aforged?Install%0Aforged=1"),
            b"GET /?hub.mode=subscribe&hub.challenge=Install&hub.verify_token=forged HTTP/1.1\r\n"
            b"Host: a\r\n\r\n",
        ):
            assert ask(sandbox, request).status in (200, 401, 405)
        time.sleep(2.2)
        reported = json.dumps([sandbox.health_history, sandbox.logs])
        assert "Install" not in reported
        assert "forged" not in reported
        assert not sandbox.incidents()


def test_a_flood_of_other_lines_does_not_push_out_those_of_502() -> None:
    """Thousands of handshakes on an open instance, and one request that XSOAR refuses."""
    with sandboxed() as sandbox:
        sandbox.faults.reject = "POISON"

        def poisoned() -> Any:
            return ask(sandbox, post(b'{"x": "POISON"}'))

        def accepted() -> Any:
            await_that(lambda: sandbox.calls["createIncidents"] > 1)  # the other one was refused
            return ask(sandbox, post(b"{}"))

        with connect(sandbox) as connection:
            for number in range(2000):
                connection.sendall(post(b"{}", b"X-Hook-Secret: %032x" % number))
                if number == 1000:
                    refused, _ = in_parallel([poisoned, accepted])
                answer = read_answer(connection)
                assert answer is not None and answer.status == 200
        assert refused.status == 502
        request = re.search(r"Request ([0-9a-f]+)", refused.error)
        assert request
        await_that(lambda: any(request[1] in text for _, text in sandbox.logs))
        assert sum(len(text) for _, text in sandbox.logs) < 200_000


# ---- small ones


def test_a_line_feed_in_a_path_is_an_event(anyone: Sender) -> None:
    for path in ("/a%0Ab", "/%0A", "/%0D%0Aset-cookie:%20a", "/health%0A", "/a%00b"):
        answer = anyone.post(b'{"a": 1}', path=path)
        assert answer.status == 200, path
        assert "set-cookie" not in answer.headers


def test_two_keys_are_one_only_where_paths_and_values_are() -> None:
    with running(params={"duplication_key": "urn:id, urn"}) as sender:
        pairs = ({"urn:id": "x"}, {"urn": "id:x"}, {"urn": {"id": "x"}}, {"urn": "x"})
        for payload in pairs:
            answer = sender.post(json.dumps(payload))
            assert answer.status == 200
            assert not answer.json[0].get("duplicate"), payload


@pytest.mark.parametrize(
    "name",
    [
        *("name*=x; name*0=y", "name*0*=utf-8''%ff; name*1=b", 'name="=?é?q?a?="'),
        *("name*=utf-7''+2AA-", "name*=undefined''abc", "name*=idna''a", "name*=punycode''a-"),
        *('name="=?utf-8?b?////?="', "name*=utf-16''%d8%00", "name*=rot13''a", "name*='", "name*"),
        *('name="=?utf-7?q?+2AA-?="', "name*=hex''zz", "name*=utf-8", 'name="\\', "name*99999=a"),
        *("name*-1=a", "name*1=b; name*0=a", "name*=unicode_escape''\\x4", "name*=utf-8'%0A'a"),
    ],
)
def test_an_unreadable_name_costs_that_name_alone(anyone: Sender, name: str) -> None:
    head = b"--b\r\nContent-Disposition: form-data; %b\r\n\r\nvalue-1\r\n"
    good = b'--b\r\nContent-Disposition: form-data; name="good"\r\n\r\nvalue-2\r\n--b--\r\n'
    for encoded in {name.encode(), name.encode("latin-1")}:
        [raw] = anyone.raws(head % encoded + good, "multipart/form-data; boundary=b")
        assert raw["good"] == "value-2"
        assert "value-1" in json.dumps(raw)
