"""Any input is 200 with all of it in rawJSON, or a 4xx of ours, and the process lives.

Hypothesis makes the input, which is sent over real HTTP.
"""

import base64
import json
import math
from collections.abc import Iterator
from encodings.aliases import aliases
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from Tests.end_to_end.sender import Answer, Sender, raw_of, running, send

CONTENT_TYPES = [
    "",
    "application/json",
    "application/json; charset=utf-8",
    "application/json; charset=utf-16",
    "application/cloudevents+json",
    "application/x-ndjson",
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=latin-1",
    "multipart/form-data; boundary=b",
    "multipart/form-data",
    "text/plain",
    "text/plain; charset=shift_jis",
    "text/plain; charset=utf-32",
    "text/plain; charset=cp037",
    "application/xml",
    "application/octet-stream",
    "image/png; charset=",
    "; charset=utf-8;;",
    "\xff",
]
OURS = {400, 413, 415}
RELAXED = settings(
    max_examples=150,
    deadline=None,
    database=None,
    derandomize=True,  # the same inputs on every machine: a failure is a failure for everybody
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NUMBERS = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXT
# Hypothesis takes words from the code that it finds. The native format has its own rules and is not
# the subject of these tests, so it is kept out.
FIELD_NAMES = TEXT.filter(
    lambda name: name not in ("raw_json", "rawJson", "rawJSON")
) | st.sampled_from(
    [
        "name",
        "type",
        "occurred",
        "headers",
        "query",
        "payload",
        "body",
        "envelope",
        "severity",
        "request_headers",
        "id",
    ]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(FIELD_NAMES, inner, max_size=5),
    max_leaves=25,
)


@pytest.fixture(scope="module")
def webhook() -> Iterator[Sender]:
    """Return a sandbox with everything switched on that reads a payload."""
    params = {"duplication_key": "never.there", "store_samples": True, "incidentType": "Fuzz"}
    with running(params=params) as sender:
        pid = sender.sandbox.pid
        yield sender
        assert sender.sandbox.pid == pid
        assert not sender.sandbox.exited
        errors = [text for level, text in sender.sandbox.logs if level in ("error", "exception")]
        refused = "Deliveries from 127.0.0.1 are refused: "  # after five in a row
        assert not [text for text in errors if not text.startswith(refused)]


def post_checked(webhook: Sender, body: bytes, content_type: str, path: str = "") -> Answer:
    """Post, and check what holds for every answer."""
    headers = {"Content-Type": content_type.encode("latin-1")} if content_type else {}
    answer = send(webhook.sandbox.url + path, body, headers)
    assert answer.status == 200 or answer.status in OURS, (body, content_type, answer)
    if answer.status != 200:
        assert answer.error
    return answer


def stored(webhook: Sender, answer: Answer) -> list[dict[str, Any]]:
    """Return the incidents that an answer names, in its order."""
    by_id = {incident["id"]: incident for incident in webhook.sandbox.incidents()}
    return [by_id[created["id"]] for created in answer.json]


def same(value: Any) -> Any:
    """Return a value in which 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return {name: same(child) for name, child in value.items()}
    if isinstance(value, list):
        return [same(child) for child in value]
    return (type(value).__name__, value, math.copysign(1, value) if isinstance(value, float) else 0)


def whole(item: Any, incident: dict[str, Any]) -> bool:
    """Return whether an item that is not in the native format is whole in an incident's rawJSON."""
    raw = json.loads(incident["rawJSON"])
    payload = item if isinstance(item, dict) else {"body": item}
    return same({name: raw.get(name, KeyError) for name in payload}) == same(payload)


@RELAXED
@given(
    value=VALUES,
    content_type=st.sampled_from(
        ["application/json", "application/x+json", "text/json;charset=utf-8"]
    ),
)
def test_any_json_value_is_whole_in_raw_json(
    webhook: Sender, value: Any, content_type: str
) -> None:
    answer = post_checked(webhook, json.dumps(value).encode(), content_type)
    if value == []:
        assert answer.status == 400
        return
    assert answer.status == 200, answer
    items = value if isinstance(value, list) else [value]
    incidents = stored(webhook, answer)
    assert len(incidents) == len(items)
    for item, incident in zip(items, incidents):
        assert whole(item, incident), (item, incident)


@RELAXED
@given(
    value=st.dictionaries(FIELD_NAMES, VALUES, max_size=5),
    content_type=st.sampled_from(CONTENT_TYPES),
    ascii_only=st.booleans(),
)
def test_any_json_object_is_whole_under_any_content_type(
    webhook: Sender, value: dict[str, Any], content_type: str, ascii_only: bool
) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    answer = post_checked(webhook, body, content_type)
    if any(
        charset in content_type for charset in ("utf-16", "utf-32", "cp037", "shift_jis", "latin-1")
    ):
        return  # the charset is wrong: nothing but an answer of ours can be expected
    assert answer.status == 200
    [incident] = stored(webhook, answer)
    assert whole(value, incident), (value, incident)


@RELAXED
@given(raw_json=VALUES, name=TEXT, extra=st.dictionaries(TEXT, VALUES, max_size=3))
def test_any_raw_json_is_whole(
    webhook: Sender, raw_json: Any, name: str, extra: dict[str, Any]
) -> None:
    known = {"name", "type", "occurred", "details", "severity", "owner", "labels", "customFields"}
    extra = {
        key: value
        for key, value in extra.items()
        if key not in known | {"raw_json", "rawJson", "rawJSON"}
    }
    answer = post_checked(
        webhook,
        json.dumps({"name": name, "raw_json": raw_json, **extra}).encode(),
        "application/json",
    )
    assert answer.status == 200, answer
    [incident] = stored(webhook, answer)
    if raw_json is None:
        assert whole({"raw_json": None, "name": name, **extra}, incident)
        return
    if isinstance(raw_json, str):
        try:
            parsed = json.loads(raw_json)
        except ValueError:
            parsed = None
        raw_json = parsed if isinstance(parsed, dict | list) else raw_json
    assert whole(raw_json, incident), (raw_json, incident)
    # A name of nothing but white space counts as absent.
    assert incident["name"] == (name if name.strip() else "Generic webhook triggered incident")
    if extra and "envelope" not in (raw_json if isinstance(raw_json, dict) else {}):
        assert same(json.loads(incident["rawJSON"])["envelope"]) == same(extra)


@RELAXED
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    content_type=st.sampled_from(["text/plain", "text/xml", "text/csv; charset=utf-8"]),
)
def test_any_text_is_whole_in_raw_json(webhook: Sender, text: str, content_type: str) -> None:
    answer = post_checked(webhook, text.encode(), content_type)
    if not text.encode().strip():
        assert answer.status == 400
        return
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, dict | list):
        return  # JSON by chance
    assert answer.status == 200, answer
    [incident] = stored(webhook, answer)
    raw = raw_of(incident)
    kept = (
        raw["body"].encode() if "body_base64" not in raw else base64.b64decode(raw["body_base64"])
    )
    marks = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
    assert kept == text.encode() or text.encode().startswith(marks), raw


@RELAXED
@given(
    body=st.binary(min_size=1, max_size=300),
    content_type=st.sampled_from(["", "application/octet-stream", "image/png"]),
)
def test_any_bytes_are_whole_in_raw_json(webhook: Sender, body: bytes, content_type: str) -> None:
    answer = post_checked(webhook, body, content_type)
    if not body.strip():
        assert answer.status == 400
        return
    if (
        body.lstrip()[:1] in b"{["
        or b"\0" in body[:4]
        or body[:2] in (b"\xff\xfe", b"\xfe\xff")
        or body[:3] == b"\xef\xbb\xbf"
    ):
        return  # may be JSON, or text in UTF-16/32 by its byte order mark
    assert answer.status == 200, answer
    raw = raw_of(stored(webhook, answer)[0])
    assert (
        base64.b64decode(raw["body_base64"]) if "body_base64" in raw else raw["body"].encode()
    ) == body


JSON_PARTS = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b":",
    b",",
    b"\\",
    b"\\ud800",
    b"\\u0041",
    b"1",
    b"1e999",
    b"NaN",
    b"raw_json",
    b"name",
]
FORM_PARTS = [
    b"--b",
    b"--b--",
    b"Content-Disposition: form-data; name=",
    b"filename=",
    b"\r\n\r\n",
    b"payload=",
    b"%7B",
    b"%",
    b"&",
]
OTHER_PARTS = [
    b"raw_json",
    b"name",
    b"&",
    b"=",
    b"+",
    b" ",
    b"\n",
    b"\r\n",
    b"\xff",
    b"\x00",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x1f\x8b\x08",
]
ODD_BYTES = st.lists(
    st.sampled_from(JSON_PARTS + FORM_PARTS + OTHER_PARTS)
    | st.sampled_from(JSON_PARTS)
    | st.binary(max_size=4),
    max_size=40,
).map(b"".join)


@settings(RELAXED, max_examples=600)
@given(
    body=ODD_BYTES,
    content_type=st.sampled_from(CONTENT_TYPES),
    query=st.text("ab=&%+;[]0", max_size=12),
    encoding=st.sampled_from(["", "", "", "", "gzip", "deflate", "br"]),
)
def test_no_bytes_under_any_type_get_anything_but_200_or_a_4xx_of_ours(
    webhook: Sender, body: bytes, content_type: str, query: str, encoding: str
) -> None:
    headers: dict[str, str | bytes] = {"Content-Encoding": encoding} if encoding else {}
    if content_type:
        headers["Content-Type"] = content_type.encode("latin-1")
    answer = send(f"{webhook.sandbox.url}?{query}", body, headers)
    assert answer.status in OURS | {200}, (body, content_type, query, encoding, answer)
    if answer.status != 200:
        assert answer.error


@RELAXED
@given(
    content_type=st.binary(max_size=40).filter(lambda value: not set(value) & set(b"\r\n\0")),
    charset=st.text("abcdefimnopstuxz0123456789_-", max_size=14),
)
def test_no_content_type_is_a_trap(webhook: Sender, content_type: bytes, charset: str) -> None:
    clean = bytes(byte for byte in content_type if byte >= 0x20 and byte != 0x7F)
    for value in (
        clean,
        f"text/plain; charset={charset}".encode(),
        f"application/json; charset={charset}".encode(),
    ):
        answer = send(webhook.sandbox.url, b'{"a":"\xc3\xa9"}', {"Content-Type": value})
        assert answer.status in OURS | {200}, (value, answer)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/json", "application/x-www-form-urlencoded"]
)
def test_no_codec_of_python_is_a_trap(webhook: Sender, content_type: str) -> None:
    """Python's codecs include more than charsets: zlib, hex and others are not for senders."""
    statuses = {}
    for charset in sorted(
        {*aliases.values(), "idna", "punycode", "undefined", "unicode_escape", "unicode-escape"}
    ):
        headers = {"Content-Type": f"{content_type}; charset={charset}"}
        statuses[charset] = {
            send(webhook.sandbox.url, body, headers).status
            for body in (b'{"a":1}', b"\\ud800=%ff&b")
        }
    assert {charset: found for charset, found in statuses.items() if found - OURS - {200}} == {}
