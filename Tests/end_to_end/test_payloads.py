"""What a sender posts, over real HTTP: bodies, fields, duplicates and mirroring.

Unit tests have the complete tables.
"""

import base64
import gzip
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from Tests.end_to_end.sender import Sender, await_that, raw_of, running
from Tests.sandbox import Faults, Sandbox

MIB = 1024 * 1024
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
TEXT = "The quick brown fox: grüße, 日本, 😀"


@pytest.fixture(scope="module")
def webhook() -> Iterator[Sender]:
    with running() as sender:
        yield sender


# ---- bodies: JSON


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        JSON,
        "text/plain",
        "text/html",
        FORM,
        "application/octet-stream",
        "image/png",
        "nonsense",
        ";",
    ],
)
def test_a_json_object_is_one_item_under_any_content_type_or_none(
    webhook: Sender, content_type: str
) -> None:
    assert webhook.raws(b'{"alert": "disk full", "n": [1, {"x": null}]}', content_type) == [
        {"alert": "disk full", "n": [1, {"x": None}]}
    ]


def test_an_array_is_one_incident_per_element_in_order_and_in_one_call(webhook: Sender) -> None:
    calls = len(webhook.sandbox.batches)
    incidents = webhook.create(json.dumps([{"name": f"n{number}"} for number in range(25)]))
    assert [incident["name"] for incident in incidents] == [f"n{number}" for number in range(25)]
    assert webhook.sandbox.batches[calls:] == [25]


def test_ten_thousand_items_are_taken_in_calls_of_a_thousand_and_one_more_is_413(
    webhook: Sender,
) -> None:
    calls = len(webhook.sandbox.batches)
    incidents = webhook.create(json.dumps([{"n": number} for number in range(10_000)]), JSON)
    assert [raw_of(incident)["n"] for incident in incidents] == list(range(10_000))
    assert webhook.sandbox.batches[calls:] == [1000] * 10
    status, error = webhook.refused(json.dumps([{}] * 10_001), JSON)
    assert (status, "10000" in error) == (413, True)


def test_a_large_array_is_cut_into_calls_and_answered_in_order(webhook: Sender) -> None:
    calls = len(webhook.sandbox.batches)
    items = [{"name": f"n{number}", "pad": "x" * MIB} for number in range(6)]
    incidents = webhook.create(json.dumps(items), JSON)
    assert [incident["name"] for incident in incidents] == [f"n{number}" for number in range(6)]
    assert len(webhook.sandbox.batches[calls:]) > 1
    assert sum(webhook.sandbox.batches[calls:]) == 6


# ---- bodies: JSON lines


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-ndjson",
        "application/jsonl",
        "application/x-ndjson; charset=utf-8",
        "text/plain",
        "",
        FORM,
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_json_lines_are_one_incident_per_line(
    webhook: Sender, content_type: str, newline: str
) -> None:
    body = newline.join(['{"n":1}', "", '{"n":2,"text":"a\\nb"}', '{"n":3}', ""])
    assert webhook.raws(body, content_type) == [{"n": 1}, {"n": 2, "text": "a\nb"}, {"n": 3}]


# ---- bodies: forms


def test_form_fields_are_an_object_and_repeated_ones_lists(webhook: Sender) -> None:
    body = b"user=amy&role=admin&role=auditor&empty=&text=a+b%26%C3%A9%0A&role=x"
    assert webhook.raws(body, FORM) == [
        {"user": "amy", "role": ["admin", "auditor", "x"], "empty": "", "text": "a b&é\n"}
    ]


def part(name: str, value: bytes, more: str = "") -> bytes:
    return (
        f'--xyz\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode()
        + value
        + b"\r\n"
    )


MULTIPART = 'multipart/form-data; boundary="xyz"'


def test_a_multipart_form_holds_fields_and_files(webhook: Sender) -> None:
    body = (
        part("user", "grüße".encode())
        + part("role", b"a")
        + part("role", b"b")
        + part("log", "eine Zeile ü\n".encode(), '; filename="log.txt"\r\nContent-Type: text/plain')
        + part(
            "old",
            b"gr\xfc\xdfe",
            '; filename="old.txt"\r\nContent-Type: text/plain; charset=latin-1',
        )
        + part("image", b"\x89PNG\r\n\x00\x01", '; filename="a b.png"\r\nContent-Type: image/png')
        + b"--xyz--\r\n"
    )
    [raw] = webhook.raws(body, MULTIPART)
    assert raw == {
        "user": "grüße",
        "role": ["a", "b"],
        "log": {"name": "log.txt", "type": "text/plain", "size": 14, "body": "eine Zeile ü\n"},
        "old": {"name": "old.txt", "type": "text/plain", "size": 5, "body": "grüße"}
        | {"type": raw["old"]["type"]},
        "image": {
            "name": "a b.png",
            "type": "image/png",
            "size": 8,
            "body_base64": base64.b64encode(b"\x89PNG\r\n\x00\x01").decode(),
        },
    }


# ---- bodies: text and bytes

TEXTS = [
    ("text/plain", "disk full"),
    (FORM, "Port scan from 192.0.2.1; a=b & c"),
    ("", "null"),
    ("text/plain", "\x1b[31mred\x1b[0m\ttab\f"),
    ("text/plain", "  kept white space \r\n\r\n"),
]


@pytest.mark.parametrize("content_type, text", TEXTS)
def test_any_other_text_is_kept_whole_as_body(
    webhook: Sender, content_type: str, text: str
) -> None:
    assert webhook.raws(text, content_type) == [{"body": text}]


def test_the_parts_of_cef_stand_beside_its_text(webhook: Sender) -> None:
    text = "CEF:0|Vendor|Product|1.0|100|Port scan|5|src=192.0.2.1 dst=192.0.2.2"
    for content_type in (FORM, "text/plain"):
        [raw] = webhook.raws(text, content_type)
        assert raw["body"] == text
        assert (raw["cef"]["name"], raw["cef"]["severity"]) == ("Port scan", "5")
        assert raw["cef"]["extension"] == {"src": "192.0.2.1", "dst": "192.0.2.2"}


def test_lines_of_cef_are_incidents_of_their_own(webhook: Sender) -> None:
    lines = [f"<134>May  1 12:00:00 fw CEF:0|V|P|1|{number}|scan|5|" for number in range(3)]
    raws = webhook.raws("\n".join(lines), "text/plain")
    assert [raw["body"] for raw in raws] == lines


def test_a_template_s_mistake_costs_no_alert(webhook: Sender) -> None:
    body = b'{"host":"db1","path":"C:\\Windows","state":$STATE$,"note":"the "big" disk",}'
    assert webhook.raws(body, JSON) == [
        {"host": "db1", "path": r"C:\Windows", "state": "$STATE$", "note": 'the "big" disk'}
    ]


@pytest.mark.parametrize("content_type", ["", "image/jpeg"])
def test_bytes_that_are_not_text_are_base64(webhook: Sender, content_type: str) -> None:
    body = bytes(range(256))
    assert webhook.raws(body, content_type) == [{"body_base64": base64.b64encode(body).decode()}]


# ---- bodies: content encoding


def compressed(data: bytes) -> bytes:
    """Return a gzip stream that is always the same: it is part of a test's name.

    All workers have to agree on that name.
    """
    return gzip.compress(data, mtime=0)


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    "pack, encoding",
    [
        (compressed, "gzip"),
        (compressed, "x-gzip"),
        (zlib.compress, "deflate"),
        (raw_deflate, "deflate"),
        (bytes, "identity"),
    ],
)
def test_a_compressed_body_is_unpacked_first(
    webhook: Sender, pack: Callable[[bytes], bytes], encoding: str
) -> None:
    assert webhook.raws(pack(b'{"packed":true}'), JSON, content_encoding=encoding) == [
        {"packed": True}
    ]
    assert webhook.raws(pack(b"a=1"), FORM, content_encoding=encoding) == [{"a": "1"}]


def test_a_body_that_unpacks_past_the_limit_is_413(webhook: Sender) -> None:
    bomb = zlib.compress(bytes(64 * MIB), 9)
    assert webhook.refused(bomb, JSON, content_encoding="deflate")[0] == 413


# ---- bodies: broken


def test_an_error_holds_nothing_of_what_was_posted() -> None:
    with running(params={"keep_unreadable": False}) as webhook:
        _, error = webhook.refused(b'{"very-secret-key": "very-secret-value"', JSON)
        assert "very-secret" not in error


# ---- numbers: kept or refused on purpose


@pytest.mark.parametrize(
    "number, kept",
    [
        ("NaN", "NaN"),
        ("-1e999", "-1e999"),
        ("9" * 5000, "9" * 5000),
        ("9" * 300, int("9" * 300)),
        ("-0.0", -0.0),
    ],
)
def test_every_number_is_kept_as_json_xsoar_can_read(
    webhook: Sender, number: str, kept: Any
) -> None:
    """NaN, Infinity and what no double can hold stay text: XSOAR's server refuses such numbers."""
    for body in (f'{{"n":{number}}}', f'[{{"n":{number}}}]'):
        [raw] = webhook.raws(body, JSON)
        assert raw["n"] == kept
        assert type(raw["n"]) is type(kept)


# ---- fields: the native format


def test_every_field_of_the_envelope_reaches_xsoar(webhook: Sender) -> None:
    envelope = {
        "name": "n",
        "type": "Phishing",
        "occurred": "2024-05-01T12:00:00+02:00",
        "details": "d",
        "severity": "high",
        "owner": "analyst",
        "labels": [{"type": "source", "value": "test"}],
        "customFields": {"sourceip": "192.0.2.1", "n": [1]},
    }
    fields = webhook.fields(json.dumps({**envelope, "raw_json": {"a": 1}}))
    assert raw_of(fields) == {"a": 1}
    del fields["rawJSON"]
    assert fields == {**envelope, "severity": 3}


@pytest.mark.parametrize(
    "name, value", [("name", 5), ("occurred", "yesterday"), ("severity", "tremendous")]
)
def test_a_wrong_field_is_400_by_its_name_and_place_and_nothing_is_created(
    webhook: Sender, name: str, value: Any
) -> None:
    bad = {"raw_json": {}, name: value}
    status, error = webhook.refused(json.dumps(bad))
    assert status == 400
    assert error.startswith(f"{name}: ")
    status, error = webhook.refused(json.dumps([{"raw_json": {}}, bad, {"a": 1}]))
    assert status == 400
    assert error.startswith(f"[1].{name}: ")


@pytest.mark.parametrize(
    "name, value", [("details", {"text": "x"}), ("labels", [{"type": "a", "value": 1}])]
)
def test_details_owner_and_labels_of_another_shape_are_kept_in_raw_json(
    webhook: Sender, name: str, value: Any
) -> None:
    fields = webhook.fields(json.dumps({"raw_json": {"a": 1}, name: value}))
    assert name not in fields
    assert raw_of(fields) == {"a": 1, "envelope": {name: value}}


# ---- fields: headers and the query string


def test_headers_are_kept_in_lower_case_without_secrets(webhook: Sender) -> None:
    hidden = {
        "Authorization": "Bearer XXX",
        "Cookie": "a=b",
        "X-Hub-Signature-256": "sha256=00",
        "X-HMAC-Value": "00",
    }
    hidden |= {
        "Proxy-Authorization": "Basic x",
        "Signature-Input": "sig1=x",
        "X-Slack-Signature": "v0=00",
    }
    [incident] = webhook.create(
        b"{}",
        "application/json",
        **{"X-GitHub-Event": "push", "X-Note": "grüße".encode(), **hidden},
    )
    headers = json.loads(incident["rawJSON"])["headers"]
    assert headers["x-github-event"] == "push"
    assert headers["x-note"] == "grüße"
    assert headers["content-type"] == "application/json"
    assert all(name == name.lower() for name in headers)
    assert not set(headers) & {name.lower() for name in hidden}


def test_the_header_that_proves_the_sender_is_not_kept() -> None:
    with running(params={"credentials": "_header:X-Api-Token:s3cret-value"}) as sender:
        [incident] = sender.create(b'{"a":1}', x_api_token="s3cret-value")
        assert "x-api-token" not in json.loads(incident["rawJSON"])["headers"]
        assert "s3cret-value" not in incident["rawJSON"]


def test_the_query_string_s_fields_are_kept(webhook: Sender) -> None:
    assert webhook.raws(b'{"a":1}', path="?source=x&tag=1&tag=2&tag=3&empty=&text=a+b%C3%A9") == [
        {"a": 1, "query": {"source": "x", "tag": ["1", "2", "3"], "empty": "", "text": "a bé"}}
    ]
    assert "query" not in webhook.raws(b'{"a":1}', path="?")[0]


# ---- fields: names and keys


def test_an_error_marker_of_the_platform_is_only_text(webhook: Sender) -> None:
    marker = "[ERROR-fd5a7750-7182-4b38-90ba-091824478903]"
    payload = {"name": f"{marker} name", marker: [marker], "text": f"x {marker} y"}
    assert webhook.raws(json.dumps(payload)) == [payload]


# ---- duplicates


@pytest.fixture(scope="module")
def keyed() -> Iterator[Sender]:
    with running(
        params={"duplication_key": "incidentId, data.alert.id, headers.x-github-delivery"}
    ) as sender:
        yield sender


@pytest.mark.parametrize(
    "first, second",
    [
        ({"incidentId": "i-1"}, {"incidentId": "i-1", "more": True}),
        ({"incidentId": 17}, {"incidentId": 17}),
        ({"data": {"alert": {"id": "a-1"}}}, {"data": {"alert": {"id": "a-1"}}, "x": 1}),
        (
            {"incidentId": None, "data": {"alert": {"id": "a-2"}}},
            {"incidentId": "", "data": {"alert": {"id": "a-2"}}},
        ),
        ({"raw_json": {"incidentId": "i-2"}}, {"incidentId": "i-2"}),
    ],
)
def test_an_event_seen_before_makes_no_new_incident(keyed: Sender, first: Any, second: Any) -> None:
    [created] = keyed.post(json.dumps(first)).json
    before = len(keyed.sandbox.incidents())
    answer = keyed.post(json.dumps(second))
    assert answer.status == 200
    [metadata] = answer.json
    assert metadata["id"] == created["id"]
    assert metadata["name"] == created["name"]
    assert metadata["duplicate"] is True
    assert len(keyed.sandbox.incidents()) == before
    assert "duplicate" not in created


def test_an_event_is_identified_by_a_header_too(keyed: Sender) -> None:
    answers = [keyed.post(b'{"a":1}', x_github_delivery="d-1").json[0] for _ in range(2)]
    assert answers[0]["id"] == answers[1]["id"]
    assert keyed.post(b'{"a":1}', x_github_delivery="d-2").json[0]["id"] != answers[0]["id"]


def test_duplicates_inside_one_array_are_one_incident(keyed: Sender) -> None:
    before = len(keyed.sandbox.incidents())
    body = [
        {"incidentId": "arr-1"},
        {"incidentId": "arr-2"},
        {"incidentId": "arr-1"},
        {"x": 1},
        {"incidentId": "arr-1"},
    ]
    answer = keyed.post(json.dumps(body)).json
    assert len(keyed.sandbox.incidents()) == before + 3
    assert len(answer) == 5
    assert answer[0]["id"] == answer[2]["id"] == answer[4]["id"]
    assert [item.get("duplicate", False) for item in answer] == [False, False, True, False, True]


def test_duplicates_at_the_same_moment_are_one_incident() -> None:
    faults = Faults(latency={"createIncidents": 0.3})
    with running(params={"duplication_key": "id"}, faults=faults) as sender:
        start = threading.Barrier(12)

        def deliver(_: int) -> dict[str, Any]:
            start.wait()
            answer = sender.post(b'{"id":"same"}')
            assert answer.status == 200
            return answer.json[0]

        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(deliver, range(12)))
        assert len(sender.sandbox.incidents()) == 1
        assert {answer["id"] for answer in answers} == {"1"}
        assert sum(answer.get("duplicate", False) for answer in answers) == 11


def test_events_are_remembered_within_5_seconds_and_across_restarts() -> None:
    with running(params={"duplication_key": "id"}) as sender:
        [created] = sender.post(b'{"id":"e-1"}').json
        await_that(lambda: "found_ids" in sender.sandbox.context(), 30.0)
        assert json.loads(sender.sandbox.context()["found_ids"]) == {"id:e-1": created["id"]}
        sender.sandbox.kill()
        sender.sandbox.wait_exit()
        sender.sandbox.restart()
        [again] = sender.post(b'{"id":"e-1"}').json
        assert (again["id"], again["duplicate"]) == (created["id"], True)
        sender.post(b'{"id":"e-2"}')
        sender.sandbox.restart()  # SIGTERM flushes without waiting
        assert sender.post(b'{"id":"e-2"}').json[0]["duplicate"] is True
        assert len(sender.sandbox.incidents()) == 2


@pytest.mark.parametrize(
    "found_ids, answer",
    [
        (["id:old-1", "id:old-2"], [{"duplicate": True}]),
        ({"id:old-1": "17", "id:old-2": None}, [{"id": "17", "duplicate": True}]),
    ],
)
def test_found_ids_are_read_in_both_forms(found_ids: Any, answer: list[dict[str, Any]]) -> None:
    context = {"found_ids": json.dumps(found_ids), "somebody": "else's"}
    with running(params={"duplication_key": "id"}, context=context) as sender:
        assert sender.post(b'{"id":"old-1"}').json == answer
        assert sender.sandbox.incidents() == []
        assert sender.post(b'{"id":"new"}').json[0]["id"] == "1"
        sender.sandbox.restart()  # SIGTERM flushes without waiting
        stored = json.loads(sender.sandbox.context()["found_ids"])
        assert stored["id:new"] == "1"
        assert set(found_ids) < set(stored)
        assert sender.sandbox.context()["somebody"] == "else's"


def test_a_retry_after_an_error_is_no_duplicate() -> None:
    faults = Faults(reject="refused")
    with running(params={"duplication_key": "id"}, faults=faults) as sender:
        body = json.dumps([{"id": "good"}, {"id": "refused"}])
        answer = sender.post(body)
        assert answer.status == 502
        assert "[1]" in answer.error
        assert len(sender.sandbox.incidents()) == 1
        faults.reject = None
        good, refused = sender.post(body).json
        assert (good["id"], good["duplicate"]) == ("1", True)
        assert "duplicate" not in refused
        assert len(sender.sandbox.incidents()) == 2


# ---- mirroring


def test_mirroring_fields_are_added_when_a_direction_is_set() -> None:
    params = {
        "mirror_direction": "Incoming And Outgoing",
        "mirror_instance": "tickets",
        "mirror_tags": "comments, work notes",
    }
    with running(params=params) as sender:
        for body in (b'{"a":1}', b'{"raw_json":{"a":1}}'):
            assert sender.raws(body) == [
                {
                    "a": 1,
                    "mirror_direction": "Both",
                    "mirror_instance": "tickets",
                    "mirror_tags": ["comments", "work notes"],
                }
            ]


def test_brackets_in_a_list_parameter_do_not_end_the_service() -> None:
    sandbox = Sandbox(
        params={
            "duplication_key": "[incidentId]",
            "mirror_direction": "Incoming",
            "mirror_tags": "[soc],[urgent]",
        }
    )
    try:
        sandbox.start()
        assert len(Sender(sandbox).create(b'{"a":1}')) == 1
    finally:
        sandbox.stop()
