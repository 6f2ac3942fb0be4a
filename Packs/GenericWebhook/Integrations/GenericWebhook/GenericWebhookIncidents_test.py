"""Unit tests of GenericWebhook.py: what a request's items become."""

import json
import re
import sys
from typing import Any

import GenericWebhook as webhook
import IncidentFieldsApiModule
import pytest
from test_data.helpers import DELIVERY, NO_REQUEST, NOW, credentials, settings

MARKER = "[ERROR-fd5a7750-7182-4b38-90ba-091824478903]"


def events_of(
    *items: Any,
    request: webhook.RequestContext = NO_REQUEST,
    is_array: bool = False,
    **params: Any,
) -> list[webhook.Event]:
    """Return the events of a request's items."""
    maker = webhook.EventMaker(request, settings(**params), NOW, DELIVERY)
    return maker.make(webhook.Items(list(items), is_array))


def incident_of(
    payload: Any, request: webhook.RequestContext = NO_REQUEST, **params: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an event's fields, and its rawJSON parsed, without its mark and empty headers."""
    [event] = events_of(payload, request=request, **params)
    fields = dict(event.fields)
    raw = json.loads(fields.pop("rawJSON"))
    assert raw.pop("webhook") == {"delivery": f"{DELIVERY}/0"}
    if raw.get("headers") == {}:
        del raw["headers"]
    return fields, raw


def raws_of(events: list[webhook.Event]) -> list[dict[str, Any]]:
    return [json.loads(event.fields["rawJSON"]) for event in events]


class TestVendorPayload:
    def test_everything_is_kept_and_what_fits_is_used(self) -> None:
        """
        Given: nothing but documented fields, or the same with another one, which makes it a
            vendor's JSON
        When: it becomes an incident
        Then: name and occurred are its fields, the type only counts in the native format, and all
            of it is in rawJSON
        """
        payload: dict[str, Any] = {
            "name": "n",
            "type": "t",
            "occurred": "2024-01-01 10:00",
            "severity": 9,
        }
        fields, raw = incident_of(payload, incidentType="Other")
        assert fields == {"name": "n", "type": "t", "occurred": "2024-01-01T10:00:00Z"}
        assert raw == payload
        fields, raw = incident_of(payload | {"more": 1}, incidentType="Other")
        assert fields.pop("details")
        assert fields == {"name": "n", "type": "Other", "occurred": "2024-01-01T10:00:00Z"}
        assert raw == payload | {"more": 1}

    @pytest.mark.parametrize(
        "payload",
        [
            {"name": 5, "type": ["x"], "occurred": 17},
            {"name": None, "type": None, "occurred": None},
            {"name": " ", "type": "", "occurred": "yesterday"},
            {"name": {"a": 1}, "raw_json": None},
            {"name": " ", "type": "", "occurred": "yesterday", "more": 1},
            {},
        ],
    )
    def test_what_does_not_fit_is_just_kept(self, payload: dict[str, Any]) -> None:
        """
        Given: a vendor's JSON whose name, type and occurred are something else
        When: it becomes an incident
        Then: the defaults are used, and rawJSON holds it as it came
        """
        fields, raw = incident_of(payload, incidentType="Other")
        fields.pop("details", None)
        assert fields == {
            "name": webhook.DEFAULT_NAME,
            "type": "Other",
            "occurred": "2024-05-01T12:00:00.250000Z",
        }
        assert raw == payload

    @pytest.mark.parametrize("item", [5, "text", None, [1], True])
    def test_an_item_that_is_no_object_goes_under_body(self, item: Any) -> None:
        """
        Given: a value that is no object
        When: it becomes an incident
        Then: rawJSON is {"body": value}, and there is no type where no parameter gives one
        """
        fields, raw = incident_of(item)
        assert raw == {"body": item}
        assert "type" not in fields


class TestNativeFormat:
    @pytest.mark.parametrize("spelling", ["raw_json", "rawJson", "rawJSON"])
    @pytest.mark.parametrize(
        "details, raw",
        [
            ({"a": 1}, {"a": 1}),
            ({}, {}),
            ('{"a":1}', {"a": 1}),
            ("[1]", {"body": [1]}),
            ("7", {"body": "7"}),
            ("{broken", {"body": "{broken"}),
            ([1, 2], {"body": [1, 2]}),
            (5, {"body": 5}),
            (False, {"body": False}),
        ],
    )
    def test_raw_json_in_any_spelling_and_form_is_the_details(
        self, spelling: str, details: Any, raw: dict[str, Any]
    ) -> None:
        """
        Given: an object of the native format
        When: it becomes an incident
        Then: rawJSON is what raw_json holds
        """
        assert incident_of({spelling: details})[1] == raw

    def test_every_field_is_used(self) -> None:
        """
        Given: the native format with all fields
        When: it becomes an incident
        Then: XSOAR gets each in its type, and rawJSON is raw_json alone
        """
        labels = [{"type": "a", "value": "b"}]
        fields, raw = incident_of(
            {
                "name": "n",
                "type": "t",
                "occurred": "2024-01-01T00:00:00+02:00",
                "details": "d",
                "severity": "High",
                "owner": "o",
                "labels": labels,
                "customFields": {"f": 1},
                "raw_json": {"a": 1},
            }
        )
        assert fields == {
            "name": "n",
            "type": "t",
            "occurred": "2024-01-01T00:00:00+02:00",
            "details": "d",
            "severity": 3,
            "owner": "o",
            "labels": labels,
            "customFields": {"f": 1},
        }
        assert raw == {"a": 1}

    def test_two_spellings_at_once_are_refused_and_null_counts_as_absent(self) -> None:
        """
        Given: raw_json and rawJSON together
        When: both hold something, or one is null
        Then: the former is a 400, the latter the native format
        """
        with pytest.raises(webhook.BadRequest, match="rawJSON: raw_json is there as well"):
            incident_of({"raw_json": {}, "rawJSON": {}})
        assert incident_of({"raw_json": None, "rawJSON": {"a": 1}})[1] == {"a": 1}

    def test_unknown_keys_are_kept(self) -> None:
        """
        Given: the native format with other keys, and a raw_json that has an "envelope" of its own
        When: it becomes an incident
        Then: they are under envelope, and the sender's own is not overwritten
        """
        assert incident_of({"raw_json": {"a": 1}, "x": 2})[1] == {"a": 1, "envelope": {"x": 2}}
        assert incident_of({"raw_json": {"envelope": 1}, "x": 2})[1] == {
            "envelope": 1,
            "request_envelope": {"x": 2},
        }

    @pytest.mark.parametrize("name", sorted(webhook.DOCUMENTED_FIELDS - set(webhook.RAW_SPELLINGS)))
    def test_null_and_empty_fields_count_as_absent(self, name: str) -> None:
        """
        Given: the native format with a field that is null or empty text
        When: it becomes an incident
        Then: it is as if the field were not there
        """
        assert (
            incident_of({"raw_json": {}, name: None})
            == incident_of({"raw_json": {}, name: ""})
            == incident_of({"raw_json": {}})
        )

    @pytest.mark.parametrize(
        "name, value, words",
        [
            ("name", 5, "a string, not a number"),
            ("name", ["x"], "a string, not an array"),
            ("type", True, "a string, not a boolean"),
            ("occurred", 5.5, "not a date that can be read"),
            ("occurred", 10**30, "not a date that can be read"),
            ("occurred", "0001-01-01T00:00:00Z", "not a date that can be read"),
            ("occurred", "yesterday", "not a date that can be read"),
            ("occurred", "2024-13-01", "not a date that can be read"),
            ("severity", "soon", "send 0, 0.5, 1"),
            ("severity", "5", "send 0, 0.5, 1"),
            ("severity", 2.5, "send 0, 0.5, 1"),
            ("severity", True, "send 0, 0.5, 1"),
            ("severity", [1], "send 0, 0.5, 1"),
            ("customFields", [], "an object, not an array"),
        ],
    )
    def test_a_wrong_field_is_refused_by_its_name(self, name: str, value: Any, words: str) -> None:
        """
        Given: the native format with a field of the wrong type, alone and as the second of an array
        When: it becomes an incident
        Then: a 400 names the field, in the array by its index
        """
        bad = {"raw_json": {}, name: value}
        with pytest.raises(webhook.BadRequest, match=f"^{name}: ") as refusal:
            incident_of(bad)
        assert words in refusal.value.sentence
        with pytest.raises(webhook.BadRequest, match=f"^{name}: "):
            events_of(bad)
        with pytest.raises(webhook.BadRequest, match=rf"^\[0\]\.{name}: "):
            events_of(bad, is_array=True)
        with pytest.raises(webhook.BadRequest, match=rf"^\[1\]\.{name}: "):
            events_of({}, bad)

    @pytest.mark.parametrize(
        "given, severity",
        [
            (0, 0),
            (0.5, 0.5),
            (4, 4),
            ("unknown", 0),
            ("Informational", 0.5),
            ("info", 0.5),
            (" LOW ", 1),
            ("medium", 2),
            ("critical", 4),
            ("3", 3),
            ("0.5", 0.5),
        ],
    )
    def test_severity_is_a_number_or_its_word(self, given: Any, severity: float) -> None:
        """
        Given: a severity as a number, its text or a word in any case
        When: the object becomes an incident
        Then: XSOAR gets the number
        """
        assert incident_of({"raw_json": {}, "severity": given})[0]["severity"] == severity

    @pytest.mark.parametrize(
        "name, value",
        [
            ("details", ["x"]),
            ("details", {"text": "x"}),
            ("owner", 1),
            ("labels", {"type": "a", "value": "b"}),
            ("labels", [{"type": "a", "value": 1}]),
            ("labels", ["a"]),
        ],
    )
    def test_details_owner_and_labels_of_another_shape_are_kept_in_raw_json(
        self, name: str, value: Any
    ) -> None:
        fields, raw = incident_of({"raw_json": {"a": 1}, name: value})
        assert name not in fields
        assert raw == {"a": 1, "envelope": {name: value}}

    def test_a_long_name_is_cut_at_a_whole_character(self) -> None:
        """
        Given: a name of more than 600 characters, with a combined character at the cut
        When: it becomes an incident
        Then: the field is cut before that character, and the whole text is in rawJSON
        """
        name = "x" * 599 + "e\u0301" + "y" * 100
        fields, raw = incident_of({"name": name, "raw_json": {}})
        assert fields["name"] == "x" * 599
        assert raw == {"envelope": {"name": name}}
        family = "x" * 598 + "👩\u200d👧" + "y"
        assert incident_of({"name": family})[0]["name"] == "x" * 598
        assert incident_of({"name": "\u0301" * 700})[0]["name"] == "\u0301" * 600
        assert incident_of({"name": "é" * 600})[0]["name"] == "é" * 600

    def test_the_platform_s_error_marker_is_broken_up_in_fields_and_whole_in_raw_json(self) -> None:
        """
        Given: the marker of the platform's protocol in every place of the native format
        When: it becomes an incident
        Then: the incident's JSON does not hold it, and parsed rawJSON does
        """
        envelope = {
            "name": MARKER,
            "details": f"a{MARKER}b",
            "labels": [{"type": MARKER, "value": "v"}],
            "customFields": {MARKER: [MARKER, 1]},
            "raw_json": {MARKER: MARKER},
            "other": MARKER,
        }
        [built] = events_of(envelope)
        assert MARKER not in json.dumps(built.fields)
        raw = json.loads(built.fields["rawJSON"])
        assert raw[MARKER] == MARKER
        assert raw["envelope"]["other"] == MARKER
        assert raw["envelope"]["customFields"] == envelope["customFields"]


class TestRequest:
    def test_headers_and_query_are_kept_without_what_proves_the_sender(self) -> None:
        """
        Given: a request with proofs of all kinds among its headers, UTF-8, and a query string
        When: it is described
        Then: the rest is there, in readable text
        """
        headers = {
            "authorization": "a",
            "proxy-authorization": "b",
            "cookie": "c",
            "x-agreed": "d",
            "x-gitlab-token": "d",
            "x-api-key": "d",
            "set-cookie": "d",
            "x-forwarded-authorization": "d",
            "client-secret": "d",
            "x-hub-signature-256": "e",
            "x-hmac-sha1": "f",
            "x-note": "grüße".encode().decode("latin-1"),
            "x-old": "gr\xfc",
            "user-agent": "curl",
        }
        described = webhook.describe_request(
            headers, "a=1&b=2&b=3&c=&b=4&d=%C3%A9", webhook.SecretFilter(frozenset({"x-agreed"}))
        )
        assert described.headers == {"x-note": "grüße", "x-old": "grü", "user-agent": "curl"}
        assert described.query == {"a": "1", "b": ["2", "3", "4"], "c": "", "d": "é"}

    def test_without_a_query_string_there_are_no_query_fields(self) -> None:
        """
        Given: a request without a query string
        When: its items become incidents
        Then: each has the headers and no query
        """
        request = webhook.describe_request({"user-agent": "curl"}, "", webhook.SecretFilter())
        made = events_of({"a": 1}, {"a": 2}, request=request)
        assert raws_of(made) == [
            {
                "a": number,
                "headers": {"user-agent": "curl"},
                "webhook": {"delivery": f"{DELIVERY}/{number - 1}"},
            }
            for number in (1, 2)
        ]

    def test_a_flood_of_query_fields_is_refused(self) -> None:
        """
        Given: more than 1,000 fields in the query string
        When: the request is described
        Then: 400
        """
        with pytest.raises(webhook.BadRequest, match="more than 1000 fields"):
            webhook.describe_request({}, "&".join("a" * 1001), webhook.SecretFilter())

    def test_ours_never_overwrites_the_sender_s(self) -> None:
        """
        Given: a payload with fields called as ours
        When: it becomes an incident
        Then: both are there
        """
        request = webhook.RequestContext({"h": "1"}, {"q": "2"})
        payload = {"headers": "mine", "query": "mine", "request_query": "mine"}
        raw = incident_of(
            payload, request, mirror_direction="Incoming", mirror_instance="i", mirror_tags="a,b"
        )[1]
        assert raw == {
            **payload,
            "request_headers": {"h": "1"},
            "request_request_query": {"q": "2"},
            "mirror_direction": "In",
            "mirror_instance": "i",
            "mirror_tags": ["a", "b"],
        }

    @pytest.mark.parametrize("name", ["headers", "query", "path", "parent"])
    def test_what_says_that_ours_is_shortened_never_overwrites_the_sender_s(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: headers, a query string, a path or a parent that are long for many events, and
            payloads with a field that is called as the note that says so
        When: they become incidents
        Then: the field is the sender's, the note has another name, and no name is there twice
        """
        monkeypatch.setattr(IncidentFieldsApiModule, "MAX_SHARED_BYTES", 2000)
        long = {"x-long": "y" * 3000}
        request = webhook.RequestContext(
            long if name == "headers" else {},
            long if name == "query" else {},
            "/" + "y" * 3000 if name == "path" else "",
        )
        payload = {"events": [{f"{name}_shortened": "mine"}] * 2}
        if name == "parent":
            payload |= {"rest": [long]}
        _, second = events_of(payload, request=request, events_path="events")
        pairs = json.loads(second.fields["rawJSON"], object_pairs_hook=list)
        names = [key for key, _ in pairs]
        assert len(set(names)) == len(names)
        raw = dict(pairs)
        assert raw[f"{name}_shortened"] == "mine"
        assert "whole in an earlier incident" in raw[f"request_{name}_shortened"]


class TestWhatIsKept:
    def test_what_a_duplication_key_names_is_kept(self) -> None:
        """
        Given: a duplication key that names headers and fields whose names speak of keys
        When: a request is described
        Then: they are kept, but never what authenticates a sender
        """
        paths = (
            "headers.X-Event-Key+query.issue_key, request_headers.x-session, "
            "headers.authorization, headers.x-agreed, query.key"
        )
        read = settings(duplication_key=paths, credentials=credentials("_header:X-Agreed", "t0ken"))
        headers = {
            "x-event-key": "1",
            "x-other-key": "2",
            "x-session": "3",
            "authorization": "4",
            "x-agreed": "t0ken",
        }
        described = webhook.describe_request(headers, "issue_key=5&key=6&other_key=7", read.hidden)
        assert described.headers == {"x-event-key": "1", "x-session": "3"}
        assert described.query == {"issue_key": "5", "key": "6"}


class TestShortening:
    def test_what_cannot_be_shortened_enough_is_cut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Given: so many events that hardly any byte is left for what they share
        When: they become incidents
        Then: the first has all of it, and the others say that it was cut
        """
        monkeypatch.setattr(IncidentFieldsApiModule, "MAX_SHARED_BYTES", 20)
        headers = {f"x-{number}": "y" * 100 for number in range(50)}
        first, second = raws_of(
            events_of({"n": 1}, {"n": 2}, request=webhook.RequestContext(headers, {}))
        )
        assert first["headers"] == headers
        assert second["headers"] == "[cut]"
        assert "whole in an earlier incident" in second["headers_shortened"]


# ---- what identifies an incident as ours
# ---- what identifies an incident as ours


class TestMark:
    def test_each_event_s_raw_json_has_its_delivery_and_index(self) -> None:
        """
        Given: events of the native format, of a vendor, and in an array that Events in names
        When: they become incidents
        Then: each rawJSON bears "<delivery>/<index>", and the event knows it as its mark
        """
        made = events_of({"raw_json": {"a": 1}}, {"name": "n"}, {"b": 2, "c": 3}, 5)
        marks = [f"{DELIVERY}/{index}" for index in range(4)]
        assert [raw["webhook"] for raw in raws_of(made)] == [{"delivery": mark} for mark in marks]
        webhook.Delivery(DELIVERY, None, made)
        assert [event.mark for event in made] == marks
        made = events_of({"list": [{}, {}]}, {"other": 1}, {"list": [{}]}, events_path="list")
        assert [raw["webhook"] for raw in raws_of(made)] == [{"delivery": mark} for mark in marks]

    @pytest.mark.parametrize(
        "own", [{"delivery": f"{DELIVERY}/0"}, {"delivery": "ffffffffffff/7"}, "text", 5, None]
    )
    def test_a_payload_s_own_webhook_stays(self, own: Any) -> None:
        """
        Given: a payload with a field ``webhook``, which may look like ours
        When: it becomes an incident, from its text, from raw_json, and with a ``request_webhook``
        Then: it is the sender's, and ours is under the next free name
        """
        ours = {"delivery": f"{DELIVERY}/0"}
        for payload in ({"webhook": own, "x": 1}, {"raw_json": {"webhook": own, "x": 1}}):
            [event] = events_of(payload)
            raw = json.loads(event.fields["rawJSON"])
            assert raw == {"webhook": own, "x": 1, "headers": {}, "request_webhook": ours}
        [event] = events_of({"webhook": own, "request_webhook": 1})
        raw = json.loads(event.fields["rawJSON"])
        assert (raw["webhook"], raw["request_webhook"]) == (own, 1)
        assert raw["request_request_webhook"] == ours
        text = json.dumps({"webhook": own, "price": 1.10})
        items = webhook.read_payload(text.encode(), "application/json", "")
        [event] = webhook.EventMaker(NO_REQUEST, settings(), NOW, DELIVERY).make(items)
        assert event.fields["rawJSON"].startswith(text[:-1] + ",")
        assert json.loads(event.fields["rawJSON"])["request_webhook"] == ours

    def test_no_two_deliveries_are_called_the_same(self) -> None:
        names = {webhook.new_delivery_id() for _ in range(1000)}
        assert len(names) == 1000
        assert all(re.fullmatch("[0-9a-f]{12}", name) for name in names)


class TestMirroringFields:
    @pytest.mark.parametrize("name", sorted(webhook.MIRRORING_FIELDS))
    @pytest.mark.parametrize("native", [True, False])
    def test_a_sender_cannot_make_its_incident_a_mirrored_one(
        self, name: str, native: bool
    ) -> None:
        """
        Given: a field that XSOAR takes for mirroring, in a vendor's payload and in raw_json
        When: it becomes an incident, without and with mirroring of the instance's own
        Then: it is called payload_<name>, and only the instance's own has the name
        """
        own = {name: "sender's", "x": 1}
        payload = {"raw_json": own} if native else own
        assert incident_of(payload)[1] == {f"payload_{name}": "sender's", "x": 1}
        raw = incident_of(payload, mirror_direction="Outgoing", mirror_instance="i")[1]
        assert raw[f"payload_{name}"] == "sender's"
        assert raw.get(name) == {
            "mirror_direction": "Out",
            "mirror_instance": "i",
            "mirror_tags": [],
        }.get(name)

    def test_it_is_renamed_in_a_text_that_could_stay_as_it_came(self) -> None:
        body = b'{"mirror_id": "7", "price": 1.5}'
        items = webhook.read_payload(body, "application/json", "")
        assert items.verbatim_json
        [event] = webhook.EventMaker(NO_REQUEST, settings(), NOW, DELIVERY).make(items)
        raw = json.loads(event.fields["rawJSON"])
        assert (raw["payload_mirror_id"], raw["price"]) == ("7", 1.5)
        assert "mirror_id" not in raw

    @pytest.mark.parametrize("order", [1, -1])
    def test_no_other_field_is_lost_by_that(self, order: int) -> None:
        """
        Given: a payload with a mirroring field and one that is called as it would be called then
        When: it becomes an incident
        Then: both values are kept
        """
        names = ["mirror_id", "payload_mirror_id", "payload_payload_mirror_id"][::order]
        raw = incident_of({name: name for name in names})[1]
        assert sorted(raw.values()) == sorted(names)
        assert raw["payload_mirror_id"] == "payload_mirror_id"
        assert "mirror_id" not in raw

    def test_a_duplication_key_finds_it_by_the_sender_s_name(self) -> None:
        [event] = events_of({"mirror_id": "7", "x": 1}, duplication_key="mirror_id")
        assert event.key == "mirror_id:7"


class TestSize:
    def test_a_long_type_is_cut_like_a_name(self) -> None:
        """
        Given: a type of more than 600 characters, in each place where one may come from
        When: it becomes an incident
        Then: the field has 600 characters, and the whole text is in rawJSON
        """
        long = "t" * 5000
        fields, raw = incident_of({"type": long, "x": 1})
        assert (fields["type"], raw["type"]) == ("t" * 600, long)
        fields, raw = incident_of({"kind": long}, type_from="kind")
        assert (fields["type"], raw["kind"]) == ("t" * 600, long)
        fields, raw = incident_of({"raw_json": {"a": 1}, "type": long})
        assert (fields["type"], raw["envelope"]) == ("t" * 600, {"type": long})

    @pytest.mark.parametrize("size", [1000, 100_000])
    @pytest.mark.parametrize("character", ["x", "ü", "€", "😀"])
    @pytest.mark.parametrize("others", ["", "y"])
    def test_it_is_at_least_what_memory_holds_and_what_utf_8_takes(
        self, character: str, others: str, size: int
    ) -> None:
        """
        Given: a text of any characters, or one such character behind many letters, for which Python
            keeps all of them in one, two or four bytes each
        When: it becomes an incident
        Then: its size counts at least the memory and the bytes it takes
        """
        text = others * size + character if others else character * size
        [event] = events_of({"text": text})
        raw = event.fields["rawJSON"]
        assert event.size >= sys.getsizeof(raw)
        assert event.size >= len(raw.encode())
        if size > webhook.SMALL_BODY_BYTES and character == "€":
            assert event.size >= len(json.dumps(raw))  # as the platform writes it

    def test_every_field_counts(self) -> None:
        [event] = events_of({"raw_json": {"a": 1}})
        for name, value in {
            "details": "d" * 5000,
            "labels": [{"type": "l" * 2500, "value": "v" * 2500}],
            "customFields": {"f": "ü" * 2500},
        }.items():
            [larger] = events_of({"raw_json": {"a": 1}, name: value})
            assert event.size + 5000 <= larger.size < event.size + 5300
        assert (
            webhook.event_size({"type": "t" * 10**6}) > 10**6
        )  # as an earlier version promised it
