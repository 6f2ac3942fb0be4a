"""Unit tests of GenericWebhook.py, without a server and without XSOAR; what needs either is in Tests/end_to_end."""

import base64
import codecs
import contextlib
import functools
import gc
import gzip
import hashlib
import hmac
import importlib.util
import io
import json
import os
import random
import re
import resource
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import demistomock as demisto
import GenericWebhook as webhook
import gevent
import gevent.event
import gevent.socket
import gevent.threadpool
import pytest
import requests
import standardwebhooks
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

MARKER = "[ERROR-fd5a7750-7182-4b38-90ba-091824478903]"
NOW = "2024-05-01T12:00:00.250000Z"
NO_REQUEST = webhook.RequestContext({}, {})


def settings(**params: Any) -> webhook.Settings:
    """Return the settings for an instance's parameters."""
    return webhook.Settings.from_params({"longRunningPort": "8000", **params})


def credentials(username: str, password: str) -> dict[str, str]:
    return {"identifier": username, "password": password}


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def incident_of(
    payload: Any, request: webhook.RequestContext = NO_REQUEST, **params: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields of the incident a payload becomes, and its rawJSON parsed and without headers."""
    [incident] = webhook.make_incidents([payload], request, settings(**params), NOW)
    fields = dict(incident.fields)
    raw = json.loads(fields.pop("rawJSON"))
    if raw.get("headers") == {}:
        del raw["headers"]
    return fields, raw


def raw_text_of(body: str) -> str:
    """Return the rawJSON of the only incident of a JSON body."""
    items = webhook.read_payload(body.encode(), "application/json", "")
    [incident] = webhook.make_incidents(items, NO_REQUEST, settings(), NOW)
    return str(incident.fields["rawJSON"])


# ---- refusals


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        "text",
        {
            "events": [{"id": number, "text": "ü\u2028"} for number in range(1200)],
            "empty": [[], {}],
            "none": None,
        },
        {str(number): number for number in range(1501)},
        [[[[[[1]]]]], *range(500)],
        ["[ERROR-1a2b3c4d-ERROR]", {"[ERROR-1a2b3c4d-ERROR]": [""] * 1000}],
    ],
)
def test_a_native_thread_writes_the_same_json_in_pieces(value: object) -> None:
    with ThreadPoolExecutor(1) as native_thread:
        assert native_thread.submit(webhook.to_json, value).result() == webhook.to_json(value)


# ---- settings: every mistake names the parameter and the mend


class TestPort:
    @pytest.mark.parametrize(
        "text, port",
        [
            ("8000", 8000),
            (" 8000 ", 8000),
            ("443:8443", 8443),
            ("1", 1),
            ("65535", 65535),
            ("", None),
            ("  ", None),
        ],
    )
    def test_a_port_is_a_number_or_a_mapping(self, text: str, port: int | None) -> None:
        """
        Given: a Listen Port as the form takes it, a mapping, or nothing (XSOAR 8 assigns it later)
        When: the parameters are read
        Then: the container's port is the one to listen on
        """
        assert webhook.parse_port(text) == port

    @pytest.mark.parametrize(
        "text",
        [
            "0",
            "65536",
            "x",
            "8000:",
            ":8000",
            "1:2:3",
            "-1",
            "8e3",
            "80 00",
            "٨٠٠٠",
            "0:8000",
            "000080",
        ],
    )
    def test_anything_else_is_refused_with_the_parameter_s_name(self, text: str) -> None:
        """
        Given: a Listen Port that is none
        When: the parameters are read
        Then: the mistake names it and says what to enter
        """
        with pytest.raises(
            webhook.SettingError, match=r"^Listen Port: enter a number from 1 to 65535"
        ):
            webhook.parse_port(text)


class TestSettings:
    def test_nothing_but_a_port_is_enough(self) -> None:
        """
        Given: an instance with the required parameter alone, as a number, and empty ones beside it
        When: the parameters are read
        Then: there is no mistake, everybody may send, and nothing is stored
        """
        read = webhook.Settings.from_params(
            {
                "longRunningPort": 8000,
                "credentials": None,
                "certificate": None,
                "key": "",
                "store_samples": None,
            }
        )
        assert read.mistakes == ()
        assert read.port == 8000
        assert type(read.authenticator) is webhook.Authenticator
        assert (read.certificate, read.key, read.incident_type, read.store_samples) == (
            "",
            "",
            "",
            False,
        )
        assert (read.duplication_paths, read.mirroring) == ((), ())

    def test_every_parameter_is_read(self) -> None:
        """
        Given: an instance with all parameters
        When: they are read
        Then: each is in the settings, trimmed
        """
        read = settings(
            certificate=" c ",
            key=" k ",
            incidentType=" Phishing ",
            store_samples="true",
            duplication_key=" incidentId, data.alert.id ,",
            mirror_direction="Incoming And Outgoing",
            mirror_instance=" twin ",
            mirror_tags="comments, work notes",
        )
        assert (read.certificate, read.key, read.incident_type, read.store_samples) == (
            "c",
            "k",
            "Phishing",
            True,
        )
        assert [key.text for key in read.duplication_paths] == ["incidentId", "data.alert.id"]
        assert read.mirroring == (
            ("mirror_direction", "Both"),
            ("mirror_instance", "twin"),
            ("mirror_tags", ["comments", "work notes"]),
        )

    @pytest.mark.parametrize(
        "direction, sent",
        [("Incoming", "In"), ("Outgoing", "Out"), ("None", None), ("", None), (None, None)],
    )
    def test_a_mirror_direction_is_what_mirroring_packs_expect(
        self, direction: str | None, sent: str | None
    ) -> None:
        """
        Given: a choice of the form's list
        When: the parameters are read
        Then: it is the platform's word for it, or there are no mirroring fields at all
        """
        mirroring = dict(settings(mirror_direction=direction, mirror_instance="twin").mirroring)
        assert mirroring.get("mirror_direction") == sent
        assert bool(mirroring) == bool(sent)

    def test_all_mistakes_are_kept_at_once(self) -> None:
        """
        Given: a wrong port and half a credential
        When: the parameters are read
        Then: both are named, and nobody gets in
        """
        read = webhook.Settings.from_params(
            {"longRunningPort": "x", "credentials": credentials("user", "")}
        )
        assert [str(mistake).partition(":")[0] for mistake in read.mistakes] == [
            "Listen Port",
            "Password",
        ]
        with pytest.raises(webhook.HTTPError) as refusal:
            read.authenticator.verify_headers(basic("user:"))
        assert refusal.value.status == 401

    @pytest.mark.parametrize(
        "params",
        [
            {"duplication_key": "[incidentId]"},
            {"duplication_key": "[1]"},
            {"mirror_direction": "Incoming", "mirror_tags": "[soc],[urgent]"},
            {"store_samples": "perhaps"},
        ],
    )
    def test_odd_text_in_a_parameter_never_raises(self, params: dict[str, Any]) -> None:
        """
        Given: text nobody foresaw in a parameter
        When: the parameters are read
        Then: the settings come back, for an exception here would end the long-running script
        """
        settings(**params)

    def test_a_key_is_not_shown_by_repr(self) -> None:
        """
        Given: settings with a private key and a password
        When: they are shown, in a traceback for instance
        Then: neither is in the text
        """
        shown = repr(settings(key="PRIVATE-TEXT", credentials=credentials("user", "pass-word")))
        assert "PRIVATE-TEXT" not in shown
        assert "pass-word" not in shown


class TestAccessParameters:
    def test_they_may_be_missing(self) -> None:
        read = settings()
        assert (read.allowed_sources, read.trusted_proxies, read.client_ca) == (
            frozenset(),
            frozenset(),
            "",
        )
        assert (read.handshakes, read.proxy) == (True, False)

    def test_they_are_read(self) -> None:
        read = settings(
            allowed_sources=["192.0.2.1"],
            trusted_proxies="::1",
            client_ca=" c ",
            handshakes="false",
            proxy="true",
        )
        assert [str(network) for network in read.allowed_sources | read.trusted_proxies] in (
            ["192.0.2.1/32", "::1/128"],
            ["::1/128", "192.0.2.1/32"],
        )
        assert (read.client_ca, read.handshakes, read.proxy) == ("c", False, True)

    @pytest.mark.parametrize(
        "name, display",
        [("handshakes", "Answer handshakes"), ("proxy", "Use system proxy settings")],
    )
    def test_what_is_no_tick_is_named(self, name: str, display: str) -> None:
        [mistake] = settings(**{name: "perhaps"}).mistakes
        assert str(mistake) == f"{display}: tick it or leave it empty."


# ---- incident


class TestBarePayload:
    def test_everything_is_kept_and_what_fits_is_used(self) -> None:
        """
        Given: nothing but documented fields, or the same with another one, which makes it somebody else's JSON
        When: it becomes an incident
        Then: name and occurred are its fields, the type only counts in our own format, and all of it is in rawJSON
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
        Given: somebody else's JSON whose name, type and occurred are something else
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


class TestEnvelope:
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
        Given: an envelope
        When: it becomes an incident
        Then: rawJSON is what raw_json holds
        """
        assert incident_of({spelling: details})[1] == raw

    def test_every_field_is_used(self) -> None:
        """
        Given: an envelope with all fields
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
        Then: the former is a 400, the latter an envelope
        """
        with pytest.raises(webhook.BadRequest, match="rawJSON: raw_json is there as well"):
            incident_of({"raw_json": {}, "rawJSON": {}})
        assert incident_of({"raw_json": None, "rawJSON": {"a": 1}})[1] == {"a": 1}

    def test_keys_nobody_knows_are_kept(self) -> None:
        """
        Given: an envelope with other keys, and a raw_json that has an "envelope" of its own
        When: it becomes an incident
        Then: they are under envelope, and the sender's own is not overwritten
        """
        assert incident_of({"raw_json": {"a": 1}, "x": 2})[1] == {"a": 1, "envelope": {"x": 2}}
        assert incident_of({"raw_json": {"envelope": 1}, "x": 2})[1] == {
            "envelope": 1,
            "request_envelope": {"x": 2},
        }

    @pytest.mark.parametrize("name", sorted(webhook.ENVELOPE_FIELDS))
    def test_null_and_empty_fields_count_as_absent(self, name: str) -> None:
        """
        Given: an envelope with a field that is null or empty text
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
            ("occurred", 5.5, "no date we can read"),
            ("occurred", 10**30, "no date we can read"),
            ("occurred", "0001-01-01T00:00:00Z", "no date we can read"),
            ("occurred", "yesterday", "no date we can read"),
            ("occurred", "2024-13-01", "no date we can read"),
            ("severity", "tremendous", "send 0, 0.5, 1"),
            ("severity", "5", "send 0, 0.5, 1"),
            ("severity", 2.5, "send 0, 0.5, 1"),
            ("severity", True, "send 0, 0.5, 1"),
            ("severity", [1], "send 0, 0.5, 1"),
            ("customFields", [], "an object, not an array"),
        ],
    )
    def test_a_wrong_field_is_refused_by_its_name(self, name: str, value: Any, words: str) -> None:
        """
        Given: an envelope with a field of the wrong type, alone and as the second of an array
        When: it becomes an incident
        Then: a 400 names the field, in the array by its place
        """
        bad = {"raw_json": {}, name: value}
        with pytest.raises(webhook.BadRequest, match=f"^{name}: ") as refusal:
            incident_of(bad)
        assert words in refusal.value.sentence
        with pytest.raises(webhook.BadRequest, match=f"^{name}: "):
            webhook.make_incidents([bad], NO_REQUEST, settings(), NOW)
        with pytest.raises(webhook.BadRequest, match=rf"^\[0\]\.{name}: "):
            webhook.make_incidents(webhook.Array([bad]), NO_REQUEST, settings(), NOW)
        with pytest.raises(webhook.BadRequest, match=rf"^\[1\]\.{name}: "):
            webhook.make_incidents([{}, bad], NO_REQUEST, settings(), NOW)

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
        When: the envelope becomes an incident
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
    def test_details_owner_and_labels_of_another_shape_are_kept_beside(
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
        Given: the marker of the platform's protocol in every place of an envelope
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
        [built] = webhook.make_incidents([envelope], NO_REQUEST, settings(), NOW)
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
            headers, "a=1&b=2&b=3&c=&b=4&d=%C3%A9", webhook.HiddenNames("x-agreed")
        )
        assert described.headers == {"x-note": "grüße", "x-old": "grü", "user-agent": "curl"}
        assert described.query == {"a": "1", "b": ["2", "3", "4"], "c": "", "d": "é"}

    def test_without_a_query_string_there_are_no_query_fields(self) -> None:
        """
        Given: a request without a query string
        When: its items become incidents
        Then: each has the headers and no query
        """
        request = webhook.describe_request({"user-agent": "curl"}, "", webhook.HiddenNames())
        made = webhook.make_incidents([{"a": 1}, {"a": 2}], request, settings(), NOW)
        assert [json.loads(incident.fields["rawJSON"]) for incident in made] == [
            {"a": 1, "headers": {"user-agent": "curl"}},
            {"a": 2, "headers": {"user-agent": "curl"}},
        ]

    def test_a_flood_of_query_fields_is_refused(self) -> None:
        """
        Given: more than 1,000 fields in the query string
        When: the request is described
        Then: 400
        """
        with pytest.raises(webhook.BadRequest, match="more than 1000 fields"):
            webhook.describe_request({}, "&".join("a" * 1001), webhook.HiddenNames())

    def test_ours_never_overwrites_the_sender_s(self) -> None:
        """
        Given: a payload with fields called as ours
        When: it becomes an incident
        Then: both are there
        """
        request = webhook.RequestContext({"h": "1"}, {"q": "2"})
        payload = {
            "headers": "mine",
            "query": "mine",
            "request_query": "mine",
            "mirror_tags": "mine",
        }
        raw = incident_of(
            payload, request, mirror_direction="Incoming", mirror_instance="i", mirror_tags="a,b"
        )[1]
        assert raw == {
            **payload,
            "request_headers": {"h": "1"},
            "request_request_query": {"q": "2"},
            "mirror_direction": "In",
            "mirror_instance": "i",
            "request_mirror_tags": ["a", "b"],
        }


HIDDEN_EVERYWHERE = """
    authorization proxy-authorization x-forwarded-authorization cookie set-cookie x-auth x-auth-user authentication
    x-gitlab-token x-auth-token x-authtoken x-csrf-token csrf x-xsrf-token x-api-key api-key apikey x-apikey2 x-key
    client-secret x-user-secret x-password x-passphrase x-passcode x-credential x-credentials x-amz-credential x-session
    x-session-id session jwt x-jwt-assertion x-assertion x-amzn-oidc-data bearer x-bearer x-sig sig x-signature signature
    x-hub-signature-256 x-signature-ed25519 x-hmac-sha1 hmac x-shopify-hmac-sha256 cf-webhook-auth x-amz-security-token
    x-forwarded-client-cert ocp-apim-subscription-key x-functions-key x-vault-token x-secret-id x_auth_token
""".split()  # noqa: SIM905 - one literal for each would fill the screen
KEPT_EVERYWHERE = """
    user-agent content-type host x-author x-authority monkey x-keyboard x-signal design x-tokenizer accept assert-id x-codec
    idempotency-key x-idempotency-key idempotency-token x-idempotency-token sec-websocket-key x-signature-timestamp
    x-slack-request-timestamp webhook-timestamp webhook-id svix-id x-github-delivery x-request-id x-auth-request-id
    x-amzn-trace-id x-session-request-id x-webhook-delivery-id x-hook-delivery status-code x-correlation-id
    x-ratelimit-remaining-tokens
""".split()  # noqa: SIM905


class TestWhatIsKept:
    @pytest.mark.parametrize("name", HIDDEN_EVERYWHERE)
    def test_what_proves_the_sender_is_hidden_in_headers_and_query(self, name: str) -> None:
        described = webhook.describe_request(
            {name: "x"}, f"{name}=x&{name.upper()}=x", webhook.HiddenNames()
        )
        assert (described.headers, described.query) == ({}, {})

    @pytest.mark.parametrize("name", KEPT_EVERYWHERE)
    def test_the_rest_is_kept_in_headers_and_query(self, name: str) -> None:
        described = webhook.describe_request({name: "x"}, f"{name}=x", webhook.HiddenNames())
        assert (described.headers, described.query) == ({name: "x"}, {name: "x"})

    @pytest.mark.parametrize(
        "name, hidden",
        [
            ("code", True), ("sig", True), ("accessToken", True), ("access_token", True), ("apiKey", True), ("APIKey", True),
            ("authToken", True), ("hub.verify_token", True), ("auth[token]", True), ("sessionid", True), ("clientSecret", True),
            ("monkeyBusiness", False), ("authorName", False), ("keyword", False), ("requestId", False), ("codename", False),
        ],
    )  # fmt: skip
    def test_fields_of_the_query_string_are_written_in_more_ways(
        self, name: str, hidden: bool
    ) -> None:
        described = webhook.describe_request(
            {"code": "7"}, f"{urllib.parse.quote(name)}=x", webhook.HiddenNames()
        )
        assert described.query == ({} if hidden else {name: "x"})
        assert described.headers == {"code": "7"}

    def test_what_a_duplication_key_names_is_kept(self) -> None:
        """
        Given: a duplication key that names headers and fields whose names speak of keys
        When: a request is described
        Then: they are kept, but never what lets a sender in
        """
        paths = "headers.X-Event-Key+query.issue_key, request_headers.x-session, headers.authorization, headers.x-agreed, query.key"
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

    @pytest.mark.parametrize(
        "name", ["referer", "x-original-url", "x-forwarded-uri", "x-original-uri"]
    )
    @pytest.mark.parametrize(
        "url, kept",
        [
            ("https://user:pass@app.example.com/a/b?token=1#c", "https://app.example.com/a/b"),
            ("https://app.example.com/a@b", "https://app.example.com/a@b"),
            ("/execute/webhook?token=1", "/execute/webhook"),
            ("https://app.example.com", "https://app.example.com"),
            ("//u@h/?q", "//h/"),
            ("?token=1\n", ""),
        ],
    )
    def test_userinfo_and_query_of_a_url_are_cut(self, name: str, url: str, kept: str) -> None:
        assert webhook.describe_request({name: url}, "", webhook.HiddenNames()).headers == {
            name: kept
        }


class TestContext:
    @pytest.mark.parametrize(
        "text, found",
        [
            (None, {}),
            ("", {}),
            ('["a:1","a:2"]', {"a:1": None, "a:2": None}),
            ('{"a:1":"17","a:2":null,"a:3":18}', {"a:1": "17", "a:2": None, "a:3": 18}),
            ({"a:1": "17"}, {"a:1": "17"}),
        ],
    )
    def test_found_ids_are_read_in_both_forms(self, text: Any, found: dict[str, Any]) -> None:
        """
        Given: found_ids as an older integration wrote them, or ours
        When: they are read
        Then: each event is known, with its incident's ID where there is one
        """
        damages: list[str] = []
        assert webhook.read_found(text, damages) == found
        assert damages == []

    def test_a_long_key_of_the_older_form_is_found_again(self) -> None:
        """
        Given: a long key in the older list
        When: it is read
        Then: it is shortened as an event's key is
        """
        value = "x" * 500
        assert list(webhook.read_found(json.dumps([f"a:{value}"]), [])) == [
            key_of({"a": value}, "a")
        ]

    def test_only_the_newest_5000_of_the_older_form_are_kept(self) -> None:
        """
        Given: more than 5,000 keys
        When: they are read
        Then: the newest are kept
        """
        found = webhook.read_found(json.dumps([f"a:{number}" for number in range(5001)]), [])
        assert len(found) == 5000
        assert "a:0" not in found

    @pytest.mark.parametrize("text", ["{", "5", '"x"', "[1]", '{"a":[]}', "[" * 100_000, 5])
    def test_damaged_found_ids_are_reported_and_empty(self, text: Any) -> None:
        """
        Given: found_ids nobody can read
        When: they are read
        Then: the damage is named, and nothing is known
        """
        damages: list[str] = []
        assert webhook.read_found(text, damages) == {}
        assert len(damages) == 1
        assert damages[0].startswith("found_ids ")

    @pytest.mark.parametrize("text", ["{", "5", '{"a":1}', "[1]", "[" * 100_000])
    def test_damaged_samples_are_reported_and_empty(self, text: str) -> None:
        """
        Given: sample_events nobody can read
        When: they are read
        Then: the damage is named, and there are none
        """
        damages: list[str] = []
        assert webhook.read_samples(text, damages) == []
        assert len(damages) == 1
        assert damages[0].startswith("sample_events ")

    def test_the_last_20_samples_are_read_oldest_first(self) -> None:
        """
        Given: more samples than we keep
        When: they are read
        Then: the last 20, in order
        """
        text = json.dumps([{"name": str(number)} for number in range(25)])
        assert [sample["name"] for sample in webhook.read_samples(text, [])] == [
            str(number) for number in range(5, 25)
        ]


class TestSmallSample:
    def size(self, sample: dict[str, Any]) -> int:
        return len(json.dumps(sample, ensure_ascii=False).encode())

    def test_a_small_one_stays_as_it_is(self) -> None:
        """
        Given: an incident under 64 KB
        When: it becomes a sample
        Then: nothing of it is cut
        """
        incident = {"name": "n", "rawJSON": '{"a":"' + "x" * 60_000 + '"}'}
        assert webhook.small_sample(incident) == incident

    @pytest.mark.parametrize(
        "raw, mark",
        [
            ({"a": "x" * 100_000, "b": "short"}, "... [cut, 100000 characters]"),
            ({"a": ["€" * 2000] * 40, "b": "short"}, "... [cut, 2000 characters]"),
            ({"a": list(range(50_000)), "b": "short"}, "[cut, 50000 elements]"),
            ({"b": "short", **{f"k{number}": "v" for number in range(20_000)}}, "[cut]"),
            ({"b": "short", "k" * 100_000: 1}, "k... [cut]"),
        ],
    )
    def test_a_large_one_is_cut_and_marked(self, raw: dict[str, Any], mark: str) -> None:
        """
        Given: an incident over 64 KB, for its strings, lists, fields or keys
        When: it becomes a sample
        Then: it is at most 64 KB of valid JSON, the cut is marked, and short fields are whole
        """
        sample = webhook.small_sample({"name": "n", "rawJSON": json.dumps(raw, ensure_ascii=False)})
        assert self.size(sample) <= 64 * 1024
        assert sample["name"] == "n"
        assert json.loads(sample["rawJSON"])["b"] == "short"
        assert mark in sample["rawJSON"]

    def test_fields_beside_raw_json_are_cut_too(self) -> None:
        """
        Given: an incident whose details are large
        When: it becomes a sample
        Then: they are cut and marked
        """
        sample = webhook.small_sample({"name": "n", "details": "x" * 100_000, "rawJSON": '{"a":1}'})
        assert self.size(sample) <= 64 * 1024
        assert sample["details"].endswith("... [cut, 100000 characters]")
        assert sample["rawJSON"] == '{"a":1}'

    def test_raw_json_that_is_no_json_is_kept_as_text(self) -> None:
        """
        Given: an incident of another version whose rawJSON cannot be parsed
        When: it becomes a sample
        Then: it is text, cut
        """
        sample = webhook.small_sample({"name": "n", "rawJSON": "{" + "x" * 100_000})
        assert json.loads(sample["rawJSON"])["body"].startswith("{xxx")
        assert self.size(sample) <= 64 * 1024

    def test_what_cannot_be_cut_down_leaves_a_note(self) -> None:
        """
        Given: an incident of nothing but structure
        When: it becomes a sample
        Then: a note stands in its place
        """
        wide: Any = 1
        for _ in range(15):
            wide = [wide, wide]
        sample = webhook.small_sample({"name": "n" * 200, "rawJSON": json.dumps(wide)})
        assert sample == {
            "name": "n" * 100,
            "rawJSON": '{"cut":"the sample was too large to keep"}',
        }


# ---- whose incident is it?


def sent_incident(
    raw: str, name: str = "n", occurred: str = "2024-05-01T12:00:00Z", **more: Any
) -> dict[str, Any]:
    return {"rawJSON": raw, "name": name, "occurred": occurred, **more}


DOUBT = "may have been created"


def places_of(sent: list[dict[str, Any]], answer: Any) -> list[Any]:
    """Return for each incident its object, None where it was dropped, DOUBT where nobody knows."""
    outcomes = webhook.match_created(sent, answer)
    return [DOUBT if outcome == webhook.MAYBE_CREATED else outcome.created for outcome in outcomes]


class TestMatchCreated:
    @pytest.mark.parametrize(
        "drop, keys",
        [
            ((), ("name", "occurred", "rawJSON")),
            ((1,), ("name", "occurred", "rawJSON")),
            ((0, 2), ("rawJSON",)),
            ((1,), ("name", "occurred")),
            ((2,), ("occurred",)),
            ((0,), ("labels",)),
            ((1,), ("details",)),
            ((1,), ("name",)),
        ],
    )
    def test_each_gets_its_own_whatever_comes_back(
        self, drop: tuple[int, ...], keys: tuple[str, ...]
    ) -> None:
        """
        Given: three incidents, of which XSOAR drops some, reorders the rest and tells little of them
        When: its answer is matched
        Then: each incident has its own object, or None where it was dropped
        """
        sent = [
            sent_incident(
                f'{{"n":{number}}}',
                f"n{number}",
                f"2024-05-01T12:00:0{number}Z",
                labels=[{"type": "n", "value": str(number)}],
                details=f"d{number}",
            )
            for number in range(3)
        ]
        answer = [
            {"id": str(number), **{key: sent[number][key] for key in keys}}
            for number in (2, 0, 1)
            if number not in drop
        ]
        places = places_of(sent, answer)
        assert [place and place["id"] for place in places] == [
            None if number in drop else str(number) for number in range(3)
        ]

    def test_the_whole_answer_in_order_is_each_one_s(self) -> None:
        """
        Given: the answer XSOAR usually gives
        When: it is matched
        Then: each incident has its object
        """
        sent = [sent_incident("1"), sent_incident("2")]
        answer = [{**one, "id": str(number)} for number, one in enumerate(sent)]
        assert places_of(sent, answer) == answer

    def test_equal_incidents_are_anybody_s(self) -> None:
        """
        Given: two incidents that are equal, one of which comes back
        When: the answer is matched
        Then: one of them has it
        """
        sent = [sent_incident("{}"), sent_incident("{}")]
        assert places_of(sent, [{**sent[0], "id": "1"}]) == [{**sent[0], "id": "1"}, None]

    @pytest.mark.parametrize("answer", [None, []])
    def test_nothing_created_is_none_for_each(self, answer: Any) -> None:
        """
        Given: a rule that dropped everything
        When: XSOAR answers null or an empty list
        Then: there is nothing for anybody
        """
        assert places_of([sent_incident("{}")], answer) == [None]

    def test_a_lone_object_is_a_list_of_one(self) -> None:
        """
        Given: an answer that is the object itself
        When: it is matched
        Then: it is the incident's
        """
        assert places_of([sent_incident("{}")], {"id": "1"}) == [{"id": "1"}]

    def test_objects_with_nothing_but_an_id_are_in_order_when_all_are_there(self) -> None:
        """
        Given: an answer of IDs, as many as were sent
        When: it is matched
        Then: they are in order
        """
        assert places_of([sent_incident("1"), sent_incident("2")], [{"id": "1"}, {"id": "2"}]) == [
            {"id": "1"},
            {"id": "2"},
        ]

    def test_objects_with_nothing_but_an_id_are_ambiguous_when_one_is_missing(self) -> None:
        """
        Given: an answer of IDs, fewer than were sent
        When: it is matched
        Then: nobody is told that it is his
        """
        places = places_of([sent_incident("1"), sent_incident("2")], [{"id": "1"}])
        assert all(place == DOUBT for place in places)

    def test_alike_by_name_and_time_is_ambiguous_when_one_is_missing(self) -> None:
        """
        Given: two different incidents of one name and time, of which one comes back without rawJSON
        When: the answer is matched
        Then: both are in doubt
        """
        sent = [sent_incident("1"), sent_incident("2")]
        places = places_of(sent, [{"id": "1", "name": "n", "occurred": sent[0]["occurred"]}])
        assert all(place == DOUBT for place in places)

    @pytest.mark.parametrize("same", ["name", "rawJSON"])
    def test_what_is_alike_in_one_thing_is_told_apart_by_the_other(self, same: str) -> None:
        """
        Given: two incidents of one name, or of one rawJSON, that come back the other way round
        When: the answer is matched
        Then: each has its own
        """
        sent = [sent_incident("1", "a"), sent_incident("2", "b")]
        sent[1][same] = sent[0][same]
        answer = [{**sent[1], "id": "2"}, {**sent[0], "id": "1"}]
        if (
            same == "rawJSON"
        ):  # which is the strongest evidence, so without names it would be anybody's
            assert [place and place["name"] for place in places_of(sent, answer)] == ["a", "b"]
        else:
            assert [place and place["id"] for place in places_of(sent, answer)] == ["1", "2"]

    def test_a_lone_incident_is_its_own_whatever_a_rule_made_of_it(self) -> None:
        """
        Given: one incident, of which a rule changed everything
        When: the answer is matched
        Then: it is the incident's
        """
        assert places_of([sent_incident("1")], [{"id": "1", "name": "renamed"}]) == [
            {"id": "1", "name": "renamed"}
        ]

    def test_what_a_rule_changed_beyond_recognition_is_ambiguous(self) -> None:
        """
        Given: three incidents, of which one comes back as it was, and one or two changed in everything
        When: the answer is matched
        Then: those may have been created: nobody is told that a rule dropped his
        """
        sent = [
            sent_incident(str(number), f"n{number}", f"2024-05-01T12:00:0{number}Z")
            for number in range(3)
        ]
        changed = [{"id": "8", "name": "renamed"}, {"id": "9", "name": "renamed"}]
        for left in (changed[:1], changed):
            places = places_of(sent, [*left, {**sent[0], "id": "1"}])
            assert places[0] == {**sent[0], "id": "1"}
            assert places[1] == places[2] == DOUBT

    def test_what_is_left_over_is_that_of_the_only_one_missing(self) -> None:
        """
        Given: two incidents, of which one comes back as it was and one changed in everything
        When: the answer is matched
        Then: the changed one is that of the other
        """
        sent = [
            sent_incident("1", "a", "2024-05-01T12:00:01Z"),
            sent_incident("2", "b", "2024-05-01T12:00:02Z"),
        ]
        answer = [{"id": "9", "name": "renamed"}, {**sent[0], "id": "1"}]
        assert places_of(sent, answer) == [{**sent[0], "id": "1"}, {"id": "9", "name": "renamed"}]

    def test_a_time_is_recognized_as_go_writes_it(self) -> None:
        """
        Given: an answer that tells only the times, without zeros at a fraction's end
        When: it is matched
        Then: each incident has its own
        """
        sent = [
            sent_incident("1", "n", "2024-05-01T12:00:00.250000Z"),
            sent_incident("2", "n", "2024-05-01T12:00:01.000000Z"),
            sent_incident("3", "n", "2024-05-01T12:00:10Z"),
        ]
        times = ["2024-05-01T12:00:10Z", "2024-05-01T12:00:00.25Z", "2024-05-01T12:00:01Z"]
        places = places_of(
            sent, [{"id": str(number), "occurred": time} for number, time in enumerate(times)]
        )
        assert [place and place["id"] for place in places] == ["1", "2", "0"]

    @pytest.mark.parametrize("answer", [[None], ["5"], [{}], "created", 7, {"error": "x"}])
    def test_an_answer_that_is_no_list_of_incidents_proves_nothing(self, answer: Any) -> None:
        """
        Given: an answer in which something is no incident with an id
        When: it is matched
        Then: it is unintelligible, for neither "created" nor "dropped by a rule" would be true for certain
        """
        with pytest.raises(webhook.UnreadableAnswer):
            places_of([sent_incident("1")], answer)


# ---- the writer


class Xsoar:
    """createIncidents as a test wants it; each call notes the names it was given."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.created: list[str] = []
        self.refused: Callable[[list[str]], bool] = lambda names: False
        self.dropped: set[str] = set()
        self.entered = threading.Event()
        self.hold = threading.Event()
        self.hold.set()

    def create(
        self, incidents: list[dict[str, Any]], lastRun: Any = None, userID: Any = None
    ) -> Any:
        names = [incident["name"] for incident in incidents]
        self.calls.append(names)
        self.entered.set()
        assert self.hold.wait(10)
        if self.refused(names):
            raise ValueError("no, thank you")
        kept = [incident for incident in incidents if incident["name"] not in self.dropped]
        self.created += [incident["name"] for incident in kept]
        return [{**incident, "id": f"id of {incident['name']}"} for incident in kept]


class Desk:
    """A writer at work before an XSOAR, and senders that wait for its answers."""

    def __init__(self, xsoar: Xsoar) -> None:
        self.xsoar = xsoar
        self.client = webhook.XsoarClient()
        self.writer = webhook.Writer(self.client)
        self.at_work = gevent.spawn(self.writer.run)

    def send(self, *names: str, size: int = 100) -> gevent.Greenlet:
        """Submit incidents of these names as one request."""
        greenlet = gevent.spawn(self.submit, [incident_named(name, size) for name in names])
        gevent.sleep(0)
        return greenlet

    def submit(self, incidents: list[webhook.Incident]) -> list[webhook.Outcome]:
        """Submit incidents and wait for their outcomes; what the writer does not take is 503 for each."""
        result = gevent.event.AsyncResult()
        try:
            self.writer.submit(incidents, result.set)
        except webhook.ServiceUnavailable as error:
            return [webhook.Outcome(error.status, reason=error.sentence)] * len(incidents)
        outcomes: list[webhook.Outcome] = result.get()
        return outcomes

    def send_behind_a_call(self, *requests: str, size: int = 100) -> list[gevent.Greenlet]:
        """Submit requests, their names separated by spaces, while a call is in flight, and let it go; the call's own is first."""
        self.xsoar.hold.clear()
        first = self.send("first")
        await_in_hub(self.xsoar.entered.is_set)
        behind = [self.send(*names.split(), size=size) for names in requests]
        self.xsoar.hold.set()
        return [first, *behind]

    def slow_down(self) -> None:
        """Let calls take half a second, and only a gap of 0.2 s end a wait for senders, however busy this machine is."""
        wait = self.writer._gathered.wait

        def slow(incidents: list[dict[str, Any]], *_: Any) -> Any:
            self.xsoar.entered.set()
            time.sleep(0.5)  # on the native thread
            return self.xsoar.create(incidents)

        demisto.createIncidents = slow
        self.writer._gathered.wait = lambda seconds: wait(0.2)  # type: ignore[method-assign]

    def send_one_by_one(self, names: str) -> list[gevent.Greenlet]:
        """Send a request for each name, 4 ms after the one before."""
        senders = []
        for name in names:
            senders.append(self.send(name))
            gevent.sleep(0.004)
        return senders

    def troubles(self) -> str:
        """The instance's health as it would be shown."""
        return " ".join(self.client._troubles.values())


def incident_named(name: str, size: int = 100) -> webhook.Incident:
    return webhook.Incident(
        {"name": name, "occurred": "2024-05-01T12:00:00Z", "rawJSON": json.dumps({"n": name})},
        None,
        size,
    )


def await_in_hub(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Let the greenlets work until something is true."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come true"
        gevent.sleep(0.002)


def outcomes_of(sender: gevent.Greenlet) -> list[webhook.Outcome]:
    outcomes: list[webhook.Outcome] = sender.get(timeout=10)
    return outcomes


def ids_of(sender: gevent.Greenlet) -> list[str]:
    """Return the ids a sender is answered, all of them with 200."""
    outcomes = outcomes_of(sender)
    assert [outcome.status for outcome in outcomes] == [200] * len(outcomes)
    return [outcome.created["id"] for outcome in outcomes if outcome.created]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    xsoar = Xsoar()
    monkeypatch.setattr(demisto, "createIncidents", xsoar.create)
    monkeypatch.setattr(webhook, "RETRY_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(webhook, "LONE_RETRY_SECONDS", 0.3)
    desk = Desk(xsoar)
    yield desk
    xsoar.hold.set()
    desk.at_work.kill()


class TestWriter:
    def test_a_lone_request_is_a_call_of_its_own(self, desk: Desk) -> None:
        """
        Given: an idle writer
        When: requests come one after the other
        Then: each is one call with its own incidents, and gets these back in its order
        """
        assert ids_of(desk.send("a", "b")) == ["id of a", "id of b"]
        assert ids_of(desk.send("c")) == ["id of c"]
        assert desk.xsoar.calls == [["a", "b"], ["c"]]

    def test_what_arrives_during_a_call_goes_in_the_next_one(self, desk: Desk) -> None:
        """
        Given: a call in flight
        When: four requests come, two of them with several incidents
        Then: the next call takes them all in order, and each sender gets exactly its own
        """
        senders = desk.send_behind_a_call("a", "b c", "d", "e f")
        assert [ids_of(sender) for sender in senders[1:]] == [
            ["id of a"],
            ["id of b", "id of c"],
            ["id of d"],
            ["id of e", "id of f"],
        ]
        assert desk.xsoar.calls == [["first"], ["a", "b", "c", "d", "e", "f"]]

    def test_a_call_is_bounded_by_count_and_a_request_stays_in_one_call(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: calls of at most three incidents
        When: requests of one to five incidents wait
        Then: a call takes whole requests up to exactly three; only one that is larger than a call is cut
        """
        monkeypatch.setattr(webhook, "MAX_CALL_INCIDENTS", 3)
        for sender in desk.send_behind_a_call("a b", "c", "d e", "f g", "h i j k l"):
            ids_of(sender)
        assert desk.xsoar.calls == [
            ["first"],
            ["a", "b", "c"],
            ["d", "e"],
            ["f", "g"],
            ["h", "i", "j"],
            ["k", "l"],
        ]

    def test_a_call_is_bounded_by_bytes(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Given: calls of at most 1,000 bytes
        When: requests of incidents of 500 bytes wait, and one of incidents of 1,001
        Then: a call takes exactly 1,000 bytes, and what is larger goes alone
        """
        monkeypatch.setattr(webhook, "MAX_CALL_BYTES", 1000)
        for sender in desk.send_behind_a_call("a", "b", "c", "d e f", size=500):
            ids_of(sender)
        assert desk.xsoar.calls == [["first"], ["a", "b"], ["c"], ["d", "e"], ["f"]]
        assert ids_of(desk.send("g", "h", size=1001)) == ["id of g", "id of h"]
        assert desk.xsoar.calls[5:] == [["g"], ["h"]]

    @pytest.mark.parametrize("bad", [{"c"}, {"a"}, {"h"}, {"b", "g"}, {"c", "d"}])
    def test_a_refused_batch_is_split_until_the_bad_ones_stand_alone(
        self, desk: Desk, bad: set[str]
    ) -> None:
        """
        Given: eight requests in one batch, one or two of which XSOAR refuses
        When: they are written
        Then: the bad ones are 502, all others 200, and nothing is created twice
        """
        desk.xsoar.refused = lambda names: bool(bad & set(names))
        senders = desk.send_behind_a_call(*"abcdefgh")
        statuses = {name: outcomes_of(sender)[0] for name, sender in zip("abcdefgh", senders[1:])}
        assert {name for name, outcome in statuses.items() if outcome == webhook.REJECTED} == bad
        assert {name for name, outcome in statuses.items() if outcome.status == 200} == set(
            "abcdefgh"
        ) - bad
        assert sorted(desk.xsoar.created) == sorted({"first", *"abcdefgh"} - bad)
        assert desk.troubles() == ""

    def test_an_array_refused_in_part_tells_its_parts_apart(self, desk: Desk) -> None:
        """
        Given: one request with four incidents, the third of which XSOAR refuses
        When: it is written
        Then: three are created, one is bad, in the request's order
        """
        desk.xsoar.refused = lambda names: "c" in names
        outcomes = outcomes_of(desk.send("a", "b", "c", "d"))
        assert [outcome.status for outcome in outcomes] == [200, 200, 502, 200]
        assert outcomes[2] == webhook.REJECTED

    def test_a_bad_incident_is_found_in_few_calls(self, desk: Desk) -> None:
        """
        Given: 128 incidents in one batch, one of them bad
        When: they are written
        Then: it takes two calls for each halving, not one for each incident
        """
        names = [f"n{number}" for number in range(128)]
        desk.xsoar.refused = lambda called: "n77" in called
        outcomes = outcomes_of(desk.send(*names))
        assert [place for place, outcome in enumerate(outcomes) if outcome.status != 200] == [77]
        assert len(desk.xsoar.calls) <= 1 + 2 * 7
        senders = desk.send_behind_a_call(*names)[1:]
        assert [
            place
            for place, sender in enumerate(senders)
            if outcomes_of(sender) == [webhook.REJECTED]
        ] == [77]
        assert len(desk.xsoar.calls) <= 2 * (1 + 2 * 7) + 1

    def test_a_lone_refused_incident_is_retried_for_a_while_and_then_503(self, desk: Desk) -> None:
        """
        Given: a lone incident that XSOAR refuses, which may be bad or meet an outage
        When: nothing else comes
        Then: it is retried with growing pauses, shown in the health, and answered 503 after LONE_RETRY_SECONDS
        """
        desk.xsoar.refused = lambda names: True
        started = time.monotonic()
        sender = desk.send("a")
        await_in_hub(lambda: desk.troubles() != "")
        assert (
            desk.troubles() == "XSOAR refuses to create incidents, they are retried: no, thank you"
        )
        assert outcomes_of(sender) == [webhook.OUTAGE]
        assert time.monotonic() - started >= 0.3
        assert 3 <= len(desk.xsoar.calls) <= 7  # 0.02 + 0.04 + 0.08 + 0.16 s, and the last one
        gevent.sleep(0.1)
        assert len(desk.xsoar.calls) <= 7  # nobody waits for it any more

    def test_in_an_outage_nobody_is_bad_and_all_are_created_once_it_is_over(
        self, desk: Desk
    ) -> None:
        """
        Given: an XSOAR that refuses everything
        When: six incidents wait for longer than a lone one would, and then it recovers
        Then: all are created, once, and the health shows the outage and clears
        """
        desk.xsoar.refused = lambda names: True
        senders = [desk.send(name) for name in "abcdef"]
        gevent.sleep(0.5)
        assert not any(sender.ready() for sender in senders)
        assert desk.troubles().startswith("XSOAR refuses to create incidents")
        assert len(desk.xsoar.calls) < 40  # six or seven an attempt, and the pauses grow
        desk.xsoar.refused = lambda names: False
        assert [ids_of(sender) for sender in senders] == [[f"id of {name}"] for name in "abcdef"]
        assert sorted(desk.xsoar.created) == list("abcdef")
        assert desk.troubles() == ""
        assert desk.writer._pause == webhook.RETRY_PAUSE_SECONDS

    def test_the_first_success_makes_those_still_refused_bad(self, desk: Desk) -> None:
        """
        Given: two bad incidents that XSOAR refuses, which for itself looks like an outage
        When: a good one comes
        Then: it is created at once, and the two are 502
        """
        desk.xsoar.refused = lambda names: bool({"x", "y"} & set(names))
        bad = desk.send("x"), desk.send("y")
        await_in_hub(lambda: desk.troubles() != "")
        assert ids_of(desk.send("good")) == ["id of good"]
        assert [outcomes_of(sender) for sender in bad] == [[webhook.REJECTED], [webhook.REJECTED]]
        assert desk.troubles() == ""

    def test_an_answer_that_is_none_settles_all_as_unknown(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: an answer that is no JSON, or no list of incidents
        When: two incidents were in the call
        Then: both may exist: 502, nothing is sent again, the next request is served
        """
        for answer in (json.JSONDecodeError("no JSON", "", 0), 7):
            calls: list[int] = []

            def create(
                incidents: list[dict[str, Any]], answer: Any = answer, calls: list[int] = calls
            ) -> Any:
                calls.append(len(incidents))
                if isinstance(answer, Exception):
                    raise answer
                return answer

            monkeypatch.setattr(demisto, "createIncidents", create)
            assert outcomes_of(desk.send("a", "b")) == [
                webhook.MAYBE_CREATED,
                webhook.MAYBE_CREATED,
            ]
            gevent.sleep(0.01)
            assert calls == [2]
            assert desk.troubles() == ""  # that is no outage
        assert any("createIncidents of 2 incidents" in text for _, text in desk.client._lines)
        monkeypatch.setattr(demisto, "createIncidents", desk.xsoar.create)
        assert ids_of(desk.send("c")) == ["id of c"]

    def test_what_a_rule_drops_is_created_for_nobody(self, desk: Desk) -> None:
        """
        Given: a pre-processing rule that drops one incident of three
        When: they are written
        Then: its sender gets 200 and no incident, the others theirs
        """
        desk.xsoar.dropped = {"b"}
        assert outcomes_of(desk.send("a", "b", "c"))[1] == webhook.Outcome(200, None)
        assert desk.xsoar.created == ["a", "c"]

    def test_a_full_queue_refuses_at_once(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a queue bounded to four incidents, or to 400 bytes, and a call in flight
        When: more come than fit
        Then: exactly what fits is taken, the rest is told to come again, and afterwards there is room again
        """
        for bounds in ({"MAX_QUEUED_INCIDENTS": 4}, {"MAX_QUEUED_BYTES": 400}):
            with monkeypatch.context() as patched:
                for name, value in bounds.items():
                    patched.setattr(webhook, name, value)
                desk.xsoar.entered.clear()
                desk.xsoar.hold.clear()
                taken = [desk.send("first")]
                await_in_hub(desk.xsoar.entered.is_set)
                taken += [desk.send("a", "b")]
                assert [
                    "queue is full" in outcome.reason
                    for outcome in outcomes_of(desk.send("c", "d"))
                ] == [True, True]
                taken += [desk.send("e")]
                assert "queue is full" in outcomes_of(desk.send("f"))[0].reason
                desk.xsoar.hold.set()
                assert [len(ids_of(sender)) for sender in taken] == [1, 2, 1]
                assert (
                    len(ids_of(desk.send(*"ghijklmn"))) == 8
                )  # an idle writer takes a request of any size
        assert (desk.writer._incidents, desk.writer._bytes, len(desk.writer._live)) == (0, 0, 0)

    def test_what_waits_too_long_is_withdrawn_and_what_is_sent_is_awaited(self, desk: Desk) -> None:
        """
        Given: an incident in flight and two requests that wait, one of which came later
        When: the time is up for all but the last, and then for all
        Then: those that wait are answered 503, each in its time, and never sent
        """
        desk.xsoar.hold.clear()
        in_flight = desk.send("a")
        await_in_hub(desk.xsoar.entered.is_set)
        waiting = desk.send("b", "c")
        gevent.sleep(0.05)
        late = desk.send("d")
        first_arrival = min(submission.accepted for submission in desk.writer._live)
        desk.writer.withdraw(first_arrival + webhook.WITHDRAW_SECONDS - 0.001)
        assert not waiting.ready()
        assert len(desk.writer._queue) == 2
        desk.writer.withdraw(first_arrival + webhook.WITHDRAW_SECONDS + 0.04)
        assert outcomes_of(waiting) == [webhook.WITHDRAWN, webhook.WITHDRAWN]
        assert not in_flight.ready()
        desk.writer.withdraw(first_arrival + webhook.WITHDRAW_SECONDS + 1)
        assert outcomes_of(late) == [webhook.WITHDRAWN]
        assert not desk.writer._queue
        desk.xsoar.hold.set()
        assert ids_of(in_flight) == ["id of a"]
        assert ids_of(desk.send("e")) == ["id of e"]
        assert desk.xsoar.calls == [["a"], ["e"]]

    def test_what_an_outage_kept_too_long_is_withdrawn_as_that(self, desk: Desk) -> None:
        """
        Given: two incidents that XSOAR refuses
        When: their time is up
        Then: 503 that names the outage, and they are not sent any more
        """
        desk.xsoar.refused = lambda names: True
        senders = desk.send("a"), desk.send("b")
        await_in_hub(lambda: sum(map(len, desk.writer._refused)) == 2)
        desk.writer.withdraw(time.monotonic() + webhook.WITHDRAW_SECONDS)
        assert [outcomes_of(sender) for sender in senders] == [[webhook.OUTAGE], [webhook.OUTAGE]]
        desk.xsoar.refused = lambda names: False
        assert ids_of(desk.send("c")) == ["id of c"]
        assert desk.xsoar.created == ["c"]

    def test_closing_settles_everything(self, desk: Desk) -> None:
        """
        Given: an incident in flight and one that waits
        When: the writer closes
        Then: the first may have been created, the second was not, and so is whatever comes later
        """
        desk.xsoar.hold.clear()
        in_flight = desk.send("a")
        await_in_hub(desk.xsoar.entered.is_set)
        waiting = desk.send("b")
        desk.writer.close()
        assert outcomes_of(in_flight) == [webhook.STOPPED_IN_FLIGHT]
        assert outcomes_of(waiting) == [webhook.STOPPING]
        assert [
            (outcome.status, "stopping" in outcome.reason)
            for outcome in outcomes_of(desk.send("c"))
        ] == [(503, True)]
        desk.xsoar.hold.set()
        gevent.sleep(0.05)
        assert desk.xsoar.calls == [["a"]]

    def test_a_failure_of_ours_settles_what_it_met_and_the_writer_goes_on(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a failure nobody foresaw, while XSOAR's answer is read
        When: the writer meets it, with another request in the queue
        Then: what was on the wire may have been created, the failure is logged, the queue is served
        """

        def fail(sent: Any, answer: Any) -> Any:
            monkeypatch.undo()
            raise KeyError("unforeseen")

        monkeypatch.setattr(webhook, "match_created", fail)
        monkeypatch.setattr(demisto, "createIncidents", desk.xsoar.create)
        senders = desk.send_behind_a_call("a")
        assert outcomes_of(senders[0]) == [webhook.MAYBE_CREATED]
        monkeypatch.setattr(demisto, "createIncidents", desk.xsoar.create)
        assert ids_of(senders[1]) == ["id of a"]
        assert any("The incident writer failed: KeyError" in text for _, text in desk.client._lines)

    @pytest.mark.parametrize(
        "outcome, status",
        [
            *(("REJECTED", 502), ("MAYBE_CREATED", 502), ("STOPPED_IN_FLIGHT", 502)),
            *(("OUTAGE", 503), ("WITHDRAWN", 503), ("STOPPING", 503)),
        ],
    )
    def test_an_outcome_has_the_status_a_retry_understands(self, outcome: str, status: int) -> None:
        """
        Given: the ways an incident can fail
        When: its sender is answered
        Then: 502 where the same again would fail or double it, 503 where it may succeed later
        """
        assert getattr(webhook, outcome).status == status

    def test_the_end_of_an_outage_makes_nobody_bad(self, desk: Desk) -> None:
        """
        Given: an outage that ends between the call with the new arrivals and the one with those that wait
        When: those that wait are created
        Then: the arrivals are tried again, and are created too
        """
        desk.xsoar.refused = lambda names: (
            "old" not in desk.xsoar.created and ("old" not in names or len(desk.xsoar.calls) < 4)
        )
        old = desk.send("old")
        await_in_hub(lambda: desk.troubles() != "")
        arrivals = [desk.send(name) for name in "abcdef"]
        assert ids_of(old) == ["id of old"]
        assert [ids_of(sender) for sender in arrivals] == [[f"id of {name}"] for name in "abcdef"]

    def test_an_array_of_bad_ones_makes_room_for_arrivals(self, desk: Desk) -> None:
        """
        Given: an array of 60 bad incidents, which takes 120 calls to find out
        When: a good one arrives after each call
        Then: it never waits for more calls than CALLS_IN_A_ROW
        """
        desk.xsoar.refused = lambda names: any(name.startswith("bad") for name in names)
        assert ids_of(desk.send("first"))
        array = desk.send(*(f"bad{number}" for number in range(60)), "good one of the array")
        waited: list[int] = []
        while not array.ready():
            before = len(desk.xsoar.calls)
            assert ids_of(desk.send(f"good{before}"))
            waited.append(len(desk.xsoar.calls) - before)
        assert [outcome.status for outcome in outcomes_of(array)] == [502] * 60 + [200]
        assert (
            max(waited[1:]) <= webhook.CALLS_IN_A_ROW + 2
        )  # and that of its own, and one that was under way

    def test_under_a_steady_load_with_bad_ones_nobody_waits_long(self, desk: Desk) -> None:
        """
        Given: 64 senders that post again as soon as they are answered, every twentieth incident bad
        When: each posts 40 times
        Then: all are answered rightly, and none waits for the writer to have gone round and round without him
        """
        desk.xsoar.refused = lambda names: any(name.startswith("bad") for name in names)
        longest = 0

        def post_again(sender: int) -> None:
            nonlocal longest
            for turn in range(40):
                number = turn * 64 + sender
                name = f"{'bad' if number % 20 == 7 else 'good'} {number}"
                before = len(desk.xsoar.calls)
                [outcome] = desk.submit([incident_named(name)])
                longest = max(longest, len(desk.xsoar.calls) - before)
                assert outcome.status == (502 if name.startswith("bad") else 200)

        gevent.joinall(
            [gevent.spawn(post_again, sender) for sender in range(64)], timeout=60, raise_error=True
        )
        assert len(desk.xsoar.created) == len(set(desk.xsoar.created)) == 64 * 40 * 19 / 20
        assert longest < 150  # a batch of 64 takes up to 40

    def test_an_array_of_bad_ones_is_parted_from_others_first(self, desk: Desk) -> None:
        """
        Given: a batch of an array of 60 bad incidents and of one good one
        When: nothing else comes
        Then: the good one is created in the first attempt
        """
        desk.xsoar.refused = lambda names: any(name.startswith("bad") for name in names)
        _, array, good = desk.send_behind_a_call(
            " ".join(f"bad{number}" for number in range(60)), "good"
        )
        assert ids_of(good) == ["id of good"]
        place = next(place for place, names in enumerate(desk.xsoar.calls) if names == ["good"])
        assert place <= 14
        assert {outcome.status for outcome in outcomes_of(array)} == {502}

    def test_a_lone_refused_incident_is_answered_in_time_though_the_pause_is_longer(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a pause between attempts that is longer than LONE_RETRY_SECONDS
        When: XSOAR refuses a lone incident
        Then: it is answered after LONE_RETRY_SECONDS, not after the pause
        """
        desk.writer._pause = 5.0
        desk.xsoar.refused = lambda names: True
        started = time.monotonic()
        assert outcomes_of(desk.send("a")) == [webhook.OUTAGE]
        assert time.monotonic() - started < 2
        assert len(desk.xsoar.calls) == 2

    def test_arrivals_of_an_outage_are_not_split_before_their_time(self, desk: Desk) -> None:
        """
        Given: incidents that wait for the end of an outage, their next attempt far away
        When: four more arrive together and are refused
        Then: that costs one call, and the others are not tried either
        """
        desk.writer._pause = 5.0
        desk.xsoar.refused = lambda names: True
        desk.send("x"), desk.send("y")
        await_in_hub(lambda: sum(map(len, desk.writer._refused)) == 2)
        calls, retry_at = len(desk.xsoar.calls), desk.writer._retry_at
        desk.send("a", "b", "c", "d")
        await_in_hub(lambda: sum(map(len, desk.writer._refused)) == 6)
        assert desk.xsoar.calls[calls:] == [["a", "b", "c", "d"]]
        assert desk.writer._retry_at == retry_at

    def test_senders_that_come_back_one_by_one_are_not_waited_for_long(self, desk: Desk) -> None:
        """
        Given: a burst that was answered
        When: others arrive in a trickle that never leaves a quiet gap
        Then: the next call leaves within MAX_GATHER_SECONDS all the same
        """
        senders = desk.send_behind_a_call(*(f"n{number}" for number in range(300)))
        for sender in senders:
            outcomes_of(sender)
        started = time.monotonic()
        calls = len(desk.xsoar.calls)
        number = 0
        while len(desk.xsoar.calls) == calls:
            desk.send(f"trickle{number}")
            number += 1
            gevent.sleep(0)
        assert time.monotonic() - started < 1

    def test_senders_that_come_back_at_once_share_the_next_call(self, desk: Desk) -> None:
        """
        Given: eight senders, each of which posts again as soon as it is answered
        When: each posts five times
        Then: after the first call they travel together, not one ahead of seven
        """

        def post_again(name: str) -> None:
            for turn in range(5):
                assert len(desk.submit([incident_named(f"{name}{turn}")])) == 1
                gevent.sleep(0)

        senders = [gevent.spawn(post_again, name) for name in "abcdefgh"]
        gevent.joinall(senders, timeout=10, raise_error=True)
        assert len(desk.xsoar.created) == 40
        assert len(desk.xsoar.calls) <= 7

    @pytest.mark.parametrize(
        ("work_seconds", "taken"), [(0.03, 10), (10.0, 5)], ids=["a long call", "a short one"]
    )
    def test_a_long_call_is_followed_by_one_for_all_and_a_short_one_by_one_for_half(
        self, desk: Desk, work_seconds: float, taken: int
    ) -> None:
        """
        Given: ten senders, answered by one call, which is shorter or longer than our own work for them
        When: each posts again, some milliseconds after the one before
        Then: the next call takes them all, or half of them
        """
        senders = desk.send_behind_a_call(*"abcdefghij")[1:]
        desk.slow_down()
        for sender in senders:
            outcomes_of(sender)
        gevent.joinall([desk.send(name) for name in "klmnopqrst"], timeout=10)
        desk.writer._request_seconds = work_seconds
        again = len(desk.xsoar.calls)
        gevent.joinall([desk.send(name) for name in "KLMNOPQRST"], timeout=10)
        more = desk.send_one_by_one("0123456789")
        for sender in more:
            outcomes_of(sender)
        assert len(desk.xsoar.calls[again + 1]) == taken

    def test_who_came_during_a_long_call_travels_with_those_it_answered(self, desk: Desk) -> None:
        """
        Given: a long call for five senders, and five others who have come meanwhile
        When: the first five post again, some milliseconds after one another
        Then: one call takes all ten, where two groups in turn would each wait for the other's call
        """
        desk.slow_down()
        first = desk.send("first")
        await_in_hub(desk.xsoar.entered.is_set)
        five = [desk.send(name) for name in "abcde"]
        outcomes_of(first)
        await_in_hub(lambda: desk.writer.is_calling)
        others = [desk.send(name) for name in "fghij"]
        desk.writer._request_seconds = 0.03
        for sender in five:
            outcomes_of(sender)
        for sender in [*desk.send_one_by_one("01234"), *others]:
            outcomes_of(sender)
        assert [len(call) for call in desk.xsoar.calls] == [1, 5, 10]

    def test_work_for_those_who_come_during_a_call_is_not_held_against_it(self, desk: Desk) -> None:
        """
        Given: the call of a lone sender, during which two hundred others are read
        When: the writer measures what a request takes it
        Then: it is the work for one of all those, not for all of them
        """
        desk.xsoar.hold.clear()
        first = desk.send("first")
        await_in_hub(desk.xsoar.entered.is_set)
        others = [desk.send(f"n{number}") for number in range(200)]
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass
        desk.xsoar.hold.set()
        assert ids_of(first) == ["id of first"]
        await_in_hub(lambda: all(other.ready() for other in others))
        assert desk.writer._request_seconds < 0.3 / webhook.WORK_MEMORY / 10

    def test_an_alarm_comes_before_what_else_is_ready(self) -> None:
        """
        Given: an alarm that is waited for, and sockets that can all be read
        When: the greenlet that reads the first of them rings
        Then: who waits goes on before the second one is read
        """
        pairs = [gevent.socket.socketpair() for _ in range(5)]
        alarm, order = webhook.Alarm(), []

        def read(number: int) -> None:
            pairs[number][0].recv(1)
            order.append(str(number))
            alarm.ring()

        def wait() -> None:
            order.append("rung" if alarm.wait(10) else "not rung")

        greenlets = [gevent.spawn(wait), *(gevent.spawn(read, number) for number in range(5))]
        gevent.sleep(0)
        for _, far in pairs:
            far._sock.send(b"x")  # without a turn for anybody else
        gevent.joinall(greenlets, timeout=10, raise_error=True)
        for near, far in pairs:
            near.close()
            far.close()
        assert order.index("rung") == 1
        assert not alarm.wait(0.001)

    def test_a_call_of_one_sender_is_followed_at_once(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a writer whose call had one sender
        When: that sender posts again and again
        Then: it never waits for others to come back
        """
        waits: list[float] = []
        monkeypatch.setattr(desk.writer._gathered, "wait", waits.append)
        for turn in range(5):
            assert len(ids_of(desk.send(f"a{turn}"))) == 1
        assert waits == []

    def test_a_good_incident_between_bad_ones_is_created(self, desk: Desk) -> None:
        """
        Given: a batch in which good incidents are among bad ones, so that each half of it is refused
        When: nothing else comes that could tell bad ones from an outage
        Then: each gets its turn alone, the good ones are created and the bad ones 502
        """
        desk.xsoar.refused = lambda names: any(name.startswith("bad") for name in names)
        names = ["bad1", "bad2", "good1", "bad3", "bad4", "good2", "bad5"]
        senders = desk.send_behind_a_call(*names)[1:]
        statuses = [outcomes_of(sender)[0].status for sender in senders]
        assert statuses == [502, 502, 200, 502, 502, 200, 502]
        assert sorted(desk.xsoar.created) == ["first", "good1", "good2"]


# ---- the client


class TestXsoarClient:
    def test_a_platform_that_reads_in_its_own_way_is_told_and_works(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a script loop that does not read its answers from sys.stdin
        When: the first call is answered
        Then: the files are given back, the instance's health says so, and calls go on, on a native thread
        """
        threads: list[int] = []
        monkeypatch.setattr(demisto, "info", lambda text: threads.append(threading.get_ident()))
        client = webhook.XsoarClient()
        before = sys.stdin, sys.stdout
        client.take_over_wire()
        assert sys.stdin is not before[0]
        client.call(demisto.info, "first")
        assert (sys.stdin, sys.stdout) == before
        client.call(demisto.info, "second")
        assert threads[0] == threading.get_ident() != threads[1]
        assert "reads XSOAR's answers in an unknown way" in " ".join(client._troubles.values())

    def test_a_secret_is_in_no_log_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        said: list[str] = []
        monkeypatch.setattr(demisto, "error", said.append)
        client = webhook.XsoarClient((b"pass", b"password-1", b"abc"))
        client.error("the password-1 is no pass, and abc is too short to be one")
        client.flush()
        assert said == ["the <secret> is no <secret>, and abc is too short to be one"]


class Wire:
    """The server's end of the wire: once it is open, descriptors 0 and 1 are pipes to it.

    A test opens it itself: pytest puts descriptors of its own there between a fixture and its test.
    """

    def __init__(self) -> None:
        self._kept = os.dup(0), os.dup(1)
        self._in = self._out = -1
        self._read = b""
        self._at_work: list[gevent.Greenlet] = []

    def open(self) -> None:
        theirs, self._out = os.pipe()
        self._in, ours = os.pipe()
        os.dup2(theirs, 0)
        os.dup2(ours, 1)
        os.close(theirs)
        os.close(ours)

    def answer(self, *answers: bytes) -> gevent.Greenlet:
        """Answer the next lines; the greenlet returns them."""

        def answer() -> list[bytes]:
            lines = []
            for data in answers:
                lines.append(self.read_line())
                self.write(data)
            return lines

        self._at_work.append(gevent.spawn(answer))
        return self._at_work[-1]

    def client(self) -> webhook.XsoarClient:
        """Open the wire and return a client whose wire it is."""
        self.open()
        client = webhook.XsoarClient((b"s3cret-value",))
        client.take_over_wire()
        server = self.answer(b'"one"\n')
        assert client.call(ask, "first") == "one"
        assert server.get(timeout=10) == [b"first\n"]
        return client

    def read_line(self) -> bytes:
        """Return the next line the integration has written, empty once there will be none."""
        while b"\n" not in self._read:
            gevent.socket.wait_read(self._in, timeout=10, timeout_exc=TimeoutError())
            part = os.read(self._in, 100_000)
            if not part:
                return b""
            self._read += part
        line, newline, self._read = self._read.partition(b"\n")
        return line + newline

    def write(self, data: bytes) -> None:
        os.write(self._out, data)

    def close(self) -> None:
        """Close the server's end."""
        gevent.killall(self._at_work)
        for end in (self._in, self._out):
            with contextlib.suppress(OSError):  # it is closed, or was never open
                os.close(end)

    def restore(self) -> None:
        for descriptor, kept in enumerate(self._kept):
            os.dup2(kept, descriptor)
            os.close(kept)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    monkeypatch.setattr(sys, "stdin", sys.stdin)  # given back at the end, whatever became of them
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    wire = Wire()
    yield wire
    wire.close()
    wire.restore()


def ask(text: str = "?") -> Any:
    """Call the server as the platform's demisto object does."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    return json.loads(sys.stdin.readline())


class TestWire:
    def test_calls_are_made_in_turn_and_each_gets_its_answer(self, wire: Wire) -> None:
        """
        Given: two calls at the same moment
        When: the server answers the first one late
        Then: the second is sent after that, and the others go on meanwhile
        """
        client = wire.client()
        calls = [gevent.spawn(client.call, ask, text) for text in ("a", "b")]
        assert wire.read_line() == b"a\n"
        gevent.sleep(0.02)
        with pytest.raises(TimeoutError):
            gevent.socket.wait_read(wire._in, timeout=0.02, timeout_exc=TimeoutError())
        server = wire.answer(b'"B"\n')
        wire.write(b'"A')
        gevent.sleep(0.01)
        wire.write(b'"\n')
        assert [call.get(timeout=10) for call in calls] == ["A", "B"]
        assert server.get(timeout=10) == [b"b\n"]
        assert client._troubles == {}

    def test_a_large_line_is_read_while_it_is_written(self, wire: Wire) -> None:
        client = wire.client()
        server = wire.answer(b"5\n", b"6\n")
        assert client.call(ask, "x" * 3_000_000) == 5

        def beat() -> None:
            sys.stdout.write("y" * 3_000_000 + "\n")
            sys.stdout.flush()

        gevent.threadpool.ThreadPool(1).spawn(
            beat
        ).get()  # the heartbeat's line is written on a native thread
        first, second = server.get(timeout=10)
        assert (len(first), len(second), second[:1]) == (3_000_001, 3_000_001, b"y")

    @pytest.mark.parametrize(
        "failure, wanted",
        [
            (ValueError("no; s3cret-value"), webhook.XsoarRefused),
            (RuntimeError("no lock; s3cret-value"), webhook.XsoarRefused),
            (KeyError("s3cret-value"), webhook.UnreadableAnswer),
            (RecursionError("s3cret-value"), webhook.UnreadableAnswer),
        ],
    )
    def test_a_failed_call_is_refused_or_nobody_knows(
        self, wire: Wire, failure: Exception, wanted: type[Exception]
    ) -> None:
        client = wire.client()

        def fail() -> None:
            raise failure

        with pytest.raises(wanted, match="<secret>"):
            client.call(fail)
        assert client.out_of_step == ""

    def test_an_answer_that_is_no_json_is_unreadable(self, wire: Wire) -> None:
        client = wire.client()
        server = wire.answer(b"<html>\n", b'"still there"\n')
        with pytest.raises(webhook.UnreadableAnswer, match="JSONDecodeError"):
            client.call(ask)
        assert client.call(ask) == "still there"
        server.get(timeout=10)

    def test_an_answer_of_two_lines_leaves_the_wire_out_of_step(self, wire: Wire) -> None:
        client = wire.client()
        wire.answer(b"<html>\n</html>\n")
        with pytest.raises(webhook.UnreadableAnswer):
            client.call(ask)
        assert client.out_of_step == "a call was answered by more than one line"
        with pytest.raises(webhook.XsoarRefused, match="out of step"):
            client.call(ask, "never sent")
        assert "starts again" in client._troubles["Wire"]
        client.tell_out_of_step()
        told = json.loads(wire.read_line())
        assert told["command"] == "updateModuleHealth"
        assert "out of step" in told["args"]["err"]

    def test_a_ping_between_two_calls_is_answered(self, wire: Wire) -> None:
        client = wire.client()
        wire.write(b"ping\n")
        server = wire.answer(b"", b"7\n")
        assert client.call(ask, "next") == 7
        assert server.get(timeout=10) == [b'{"type": "pong"}\n', b"next\n"]

    def test_what_nobody_asked_for_leaves_the_wire_out_of_step(self, wire: Wire) -> None:
        client = wire.client()
        wire.write(b'"an answer to nothing"\n')
        with pytest.raises(
            webhook.XsoarRefused, match="something came that is no answer to any call"
        ):
            client.call(ask)

    def test_the_end_of_the_wire_is_noticed(self, wire: Wire) -> None:
        client = wire.client()
        assert not client.is_broken()
        assert (sys.stdin.fileno(), sys.stdout.fileno()) == (0, 1)
        wire.close()
        assert client.is_broken()
        with pytest.raises(webhook.UnreadableAnswer):
            client.call(lambda: json.loads(sys.stdin.readline()))

    def test_incidents_with_an_older_one_s_id_are_doubted(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: an answer with an incident's ID that another one has
        When: a second line follows it, or none
        Then: nobody knows what was created, or it is believed, and each time faster
        """
        client = wire.client()
        monkeypatch.setattr(demisto, "createIncidents", lambda incidents: ask("create"))
        sent = [dict(incident_named("n").fields)]
        line = json.dumps([{**sent[0], "id": "7"}]).encode() + b"\n"
        client._surplus_seconds = 0.02
        wire.answer(*[line] * 6)
        for _ in range(6):
            assert [outcome.status for outcome in client.create_incidents(sent)] == [200]
        assert client._surplus_seconds == webhook.MIN_SURPLUS_SECONDS
        client._surplus_seconds = 5.0
        wire.answer(line * 2)
        with pytest.raises(
            webhook.UnreadableAnswer, match="the answer was that to an earlier call"
        ):
            client.create_incidents(sent)
        assert client.out_of_step

    def test_of_the_ids_that_are_known_the_newest_are_kept(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = wire.client()
        monkeypatch.setattr(webhook, "RECENT_IDS", 2)
        monkeypatch.setattr(demisto, "createIncidents", lambda incidents: ask("create"))
        client._surplus_seconds = 0.02
        for number in (1, 2, 3, 1):  # 1 is forgotten when it comes again
            sent = [dict(incident_named(f"n{number}").fields)]
            wire.answer(json.dumps([{**sent[0], "id": str(number)}]).encode() + b"\n")
            client.create_incidents(sent)
        assert client._surplus_seconds == 0.02

    def test_a_long_call_is_followed_by_heartbeats_of_ours(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = wire.client()
        beats: list[str] = []
        monkeypatch.setattr(demisto, "heartbeat", beats.append)
        client.call(int)
        client.beat(1000.0)
        assert beats == []  # the platform's own thread lives
        clock = iter((0.0, 56.0))
        monkeypatch.setattr(webhook.time, "monotonic", lambda: next(clock, 100.0))
        client.call(int)
        for now in (1000.0, 1029.0, 1030.0):
            client.beat(now)
        assert beats == ["the webhook is alive"] * 2

    def test_troubles_are_in_the_health_until_they_are_over(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = wire.client()
        health: list[str] = []
        lines: list[str] = []
        failures: list[Exception] = [ValueError("not now")]

        def tell(text: str) -> None:
            if failures:
                raise failures.pop()
            health.append(text)

        monkeypatch.setattr(demisto, "updateModuleHealth", tell)
        monkeypatch.setattr(demisto, "error", lines.append)
        monkeypatch.setattr(
            demisto, "info", lambda text: lines.append(text)
        )  # another function than error
        for _ in range(3):
            client.report("Server", "It does not listen.")
            client.flush()
        client.report("Other", "And s3cret-value.")
        client.report("Server", "")
        client.flush()
        assert health == ["It does not listen.", "And <secret>."]
        assert lines == ["It does not listen.", "And <secret>.", "Server: recovered"]


# ---- the way of a request, without a socket


class FakePlainSocket:
    """What a connection uses of the plain socket below gevent's."""

    def __init__(self, whole: "FakeSender") -> None:
        self._whole = whole
        self.shut: list[int] = []

    def send(self, data: bytes) -> int:
        if self._whole.takes == 0:
            raise BlockingIOError
        part = data[: self._whole.takes]
        self._whole.sent += part
        return len(part)

    def shutdown(self, how: int) -> None:
        self.shut.append(how)

    def recv_into(self, _: Any) -> int:
        return 0

    def recv(self, _: int) -> bytes:
        return b""


class FakeSender(FakeSocket):
    """A sender whose bytes come in pieces and who takes so many of ours at once."""

    def __init__(self, data: bytes, piece: int = 1000, takes: int = 10_000_000) -> None:
        super().__init__(data, piece)
        self.takes = takes
        self._sock = FakePlainSocket(self)

    def setsockopt(self, *_: Any) -> None:
        """Take any option."""

    def fileno(self) -> int:
        return -1


class FakeTlsClient(FakeSender):
    """A client that speaks no TLS, and the context that finds that out."""

    def __init__(self) -> None:
        super().__init__(b"GET / HTTP/1.1")
        self.wrapped = self.closed = 0

    def wrap_socket(self, *_: Any, **__: Any) -> None:
        self.wrapped += 1
        raise ssl.SSLError("http request")

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let each pause last a hundredth of its seconds; returns those asked for."""
    asked: list[float] = []
    sleep = gevent.sleep

    def nap(seconds: float = 0) -> None:
        asked.append(seconds)
        sleep(seconds / 100)

    monkeypatch.setattr(gevent, "sleep", nap)
    return asked


class FakeClient:
    """A client that calls at once, or raises what a test has laid out, and keeps what it is told."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []  # of the next calls
        self.calls = 0
        self.said: list[str] = []
        self.troubles: dict[str, str] = {}
        self.info = self.error = self.said.append

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return function(*args)

    def report(self, subject: str, trouble: str) -> None:
        self.troubles.pop(subject, None)
        if trouble:
            self.troubles[subject] = trouble


class FakeWriter:
    """A writer that settles at once, later where it ``waits``, or takes nothing where it has no ``room``."""

    waiting = (0, 0)

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.outcome: Callable[[int], webhook.Outcome] = lambda number: webhook.Outcome(
            200, {"id": str(number), "name": "n", "rawJSON": "{}"}
        )
        self.created = 0
        self.taken: list[webhook.Incident] = []
        self.later: list[Callable[[], None]] = []
        self.waits = False
        self.room = True
        self.is_calling = False
        self.call_seconds = self.call_incidents = webhook.Histogram((1.0,))

    def submit(
        self, incidents: list[webhook.Incident], settled: Callable[[Any], None], promise: Any = None
    ) -> None:
        if not self.room:
            raise webhook.ServiceUnavailable("The queue is full. Send this again later.")
        self.taken += incidents
        first, self.created = self.created, self.created + len(incidents)

        def settle() -> None:
            settled([self.outcome(first + place + 1) for place in range(len(incidents))])

        if self.waits:
            self.later.append(settle)
        else:
            settle()


class Way:
    """A webhook without a socket and without XSOAR."""

    def __init__(self, **params: Any) -> None:
        self.settings = settings(**params)
        self.writer, self.counters, self.failures = FakeWriter(), webhook.Counters(), []
        self.client = FakeClient()
        self.connections = webhook.ConnectionRegistry(self.counters)
        events = webhook.SeenEvents(self.writer, self.counters, None)  # type: ignore[arg-type]
        parser = webhook.NativeThread()
        self.keeper = webhook.ContextKeeper(
            self.client, self.settings, webhook.Samples(parser), events, dict
        )  # type: ignore[arg-type]
        self.keeper.loaded.set()
        self.webhook = webhook.Webhook(
            self.settings,
            self.client,  # type: ignore[arg-type]
            self.writer,  # type: ignore[arg-type]
            events if webhook.remembers_events(self.settings) else None,
            self.keeper,
            self.connections,
            self.counters,
            parser,
        )
        self.failures: list[BaseException] = []
        self.server = webhook.Server(
            ("127.0.0.1", 0),
            self.webhook.answer,
            self.connections,
            self.counters,
            self.failures.append,
        )

    def begin(self, data: bytes, **sender: Any) -> tuple[FakeSender, gevent.Greenlet]:
        """Begin to serve a connection; the sender holds what it is sent, and the greenlet ends with the connection."""
        sock = FakeSender(data, **sender)
        connection = webhook.Connection(sock, "192.0.2.1", self.server)
        assert self.connections.open(connection)
        greenlet = gevent.spawn(connection.serve)
        greenlet.link(lambda _: self.connections.close(connection))
        gevent.sleep(0)
        return sock, greenlet

    def serve(self, data: bytes, **sender: Any) -> bytes:
        """Serve a connection to its end and return what was sent."""
        sock, greenlet = self.begin(data, **sender)
        self.settle()
        greenlet.get(timeout=10)
        assert self.connections.in_progress == 0
        return sock.sent

    def settle(self) -> None:
        """Let the writer settle what it has taken."""
        later, self.writer.later = self.writer.later, []
        for settle in later:
            settle()

    def statuses(self, data: bytes, **sender: Any) -> list[int]:
        """Serve a connection and return the statuses of its answers."""
        return [
            int(status)
            for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", self.serve(data, **sender))
        ]


def posted(
    body: bytes = b'{"n": 1}',
    *lines: bytes,
    target: bytes = b"/",
    method: bytes = b"POST",
    version: bytes = b"1.1",
) -> bytes:
    head = [
        method + b" " + target + b" HTTP/" + version,
        b"Host: a",
        b"Content-Length: %d" % len(body),
        *lines,
        b"",
        b"",
    ]
    return b"\r\n".join(head) + body


class TestWayOfARequest:
    def test_requests_of_one_connection_are_answered_in_order(self) -> None:
        way = Way(store_samples=True)
        sent = way.serve(posted() * 20)
        assert [json.loads(part)[0]["id"] for part in re.findall(rb"\[.*?\]", sent)] == [
            str(number) for number in range(1, 21)
        ]
        assert b"rawJSON" not in sent
        assert way.counters.total("incidents created") == 20
        assert len(way.keeper._samples.items) == 20
        assert not way.failures

    def test_many_requests_in_a_row_let_others_have_their_turn(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook, "REQUESTS_IN_A_ROW", 2)
        way = Way()
        greenlets = [way.begin(posted(b'{"name": "%b"}' % name) * 6)[1] for name in (b"a", b"b")]
        gevent.joinall(greenlets, timeout=10)
        turns = "".join(incident.fields["name"] for incident in way.writer.taken)
        assert turns.index("b") < turns.rindex("a")

    def test_a_later_answer_comes_before_the_next_request_is_looked_at(self) -> None:
        way = Way()
        way.writer.waits = True
        assert way.statuses(posted() + b"broken") == [200, 400]

    @pytest.mark.parametrize("takes", [0, 1, 7, 100])
    def test_a_slow_reader_gets_all_of_its_answer(self, takes: int) -> None:
        assert Way().serve(posted(), takes=takes).endswith(b'[{"id":"1","name":"n"}]')

    @pytest.mark.parametrize(
        ("data", "statuses"),
        [
            (posted(b"[]") + posted(), [400, 200]),
            (posted(b"{}", b"Connection: close") + posted(), [200]),
            (posted(b"{}", version=b"1.0") + posted(), [200]),
            (posted(b"{}", b"Connection: keep-alive", version=b"1.0") + posted(), [200, 200]),
            (posted(b"{}", method=b"PATCH") + posted(), [405]),
            (posted(b"", method=b"DELETE") + posted(), [405, 200]),
            (
                posted(b"", target=b"/health", method=b"GET")
                + posted(b"", target=b"/health", method=b"HEAD"),
                [200, 200],
            ),
            (posted(b"", target=b"/healthy", method=b"GET"), [404]),
            (posted(b"", target=b"/metrics", method=b"GET"), [404]),
            (posted(b"", method=b"GET"), [200]),
            (posted(b"", target=b"/?x=1", method=b"GET"), [405]),
            (posted(b"", target=b"/deep/path?x=1"), [200]),
            (posted(b"{}", b"Content-Encoding: br"), [415]),
            (posted(b"{}", b"Expect: 100-continue"), [100, 200]),
            (posted(b'{"a": "' + b"x" * 40_000 + b'"}'), [200]),
            (posted(json.dumps([{"n": number} for number in range(50)]).encode()), [200]),
            (posted(b"{}") + b"GET", [200, 400]),
        ],
    )
    def test_a_request_is_answered(self, data: bytes, statuses: list[int]) -> None:
        way = Way()
        assert way.statuses(data) == statuses
        assert not way.failures

    def test_what_became_of_an_array_is_told(self) -> None:
        way = Way()
        outcomes = {1: webhook.Outcome(200, {"id": "7"}), 2: webhook.REJECTED, 3: webhook.DROPPED}
        way.writer.outcome = outcomes.__getitem__
        sent = way.serve(posted(b'[{"n":1},{"n":2},{"n":3}]'))
        assert b"502 Bad Gateway" in sent
        assert b"[1]: XSOAR refuses it. Created: 7. Request " in sent
        way.writer.outcome = lambda _: webhook.WITHDRAWN
        assert b"503 Service" in (sent := way.serve(posted()))
        assert b"Retry-After: 5" in sent
        way.writer.outcome = lambda _: webhook.DROPPED
        assert way.serve(posted()).endswith(b"\r\n\r\n[]")

    def test_who_is_not_proven_is_refused_before_the_body(self) -> None:
        way = Way(credentials=credentials("user", "pass"))
        assert way.statuses(posted(b"{}", b"Authorization: Basic dXNlcjp3cm9uZw==")[:-2]) == [401]
        assert way.statuses(posted(b"{}", b"Authorization: Basic dXNlcjpwYXNz") * 3) == [200] * 3
        assert way.counters.total("failed authentications") == 1
        assert len(way.writer.taken) == 3

    def test_who_may_not_connect_is_refused_before_all_else(self) -> None:
        way = Way(allowed_sources="198.51.100.0/24", trusted_proxies="192.0.2.1")
        assert way.statuses(posted(b"{}")) == [403]
        assert way.statuses(posted(b"{}", b"X-Forwarded-For: 198.51.100.7")) == [200]
        assert json.loads(way.writer.taken[0].fields["rawJSON"])["source_address"] == "198.51.100.7"

    def test_a_known_head_makes_the_same_incident(self) -> None:
        way = Way(mirror_direction="Incoming", mirror_instance="i")
        for number in (1, 22, 333, 1):
            assert way.statuses(
                posted(b'{"n": %d}' % number, b"X-Key-Word: a", target=b"/p?q=1")
            ) == [200]
        raws = [json.loads(incident.fields["rawJSON"]) for incident in way.writer.taken]
        assert [raw["headers"].pop("content-length") for raw in raws] == ["8", "9", "10", "8"]
        numbers = [raw.pop("n") for raw in raws]
        assert (numbers, raws) == ([1, 22, 333, 1], [raws[0]] * 4)
        assert raws[0]["path"] == "/p"
        assert raws[0]["mirror_direction"] == "In"

    def test_a_duplicate_is_told_the_first_ones_incident(self) -> None:
        way = Way(duplication_key="n", store_samples=True)
        sent = way.serve(posted(b'{"n": "1"}') * 2)
        assert len(way.keeper._samples.items) == 1
        assert sent.count(b'"id":"1"') == 2
        assert sent.count(b'"duplicate":true') == 1
        assert way.counters.total("duplicates") == 1

    def test_a_failure_of_ours_is_500_and_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        way = Way()
        monkeypatch.setattr(webhook, "make_incidents", lambda *_: 1 / 0)
        assert way.statuses(posted() * 2) == [500, 500]
        assert [type(error) for error in way.failures] == [ZeroDivisionError] * 2

    def test_metrics_are_for_who_is_proven(self) -> None:
        way = Way(credentials=credentials("user", "pass"), metrics=True)
        ask = functools.partial(posted, b"", target=b"/metrics", method=b"GET")
        assert way.statuses(ask()) == [401]
        assert b"generic_webhook_connections{" in way.serve(
            ask(b"Authorization: Basic dXNlcjpwYXNz")
        )

    def test_while_stopping_nothing_is_taken(self) -> None:
        way = Way()
        way.connections.stopping = True
        assert way.statuses(posted(b"{}")) == [503]
        assert way.statuses(posted(b"", target=b"/health", method=b"GET")) == [503]

    def test_an_answer_too_late_is_202_and_the_incident_still_comes(
        self, quick: list[float]
    ) -> None:
        way = Way(answer_seconds="0.01")
        way.writer.waits = True
        promising = gevent.spawn(way.webhook.keep_promises)
        sock, greenlet = way.begin(posted(b'[{"n":1},{"n":2}]'))
        await_in_hub(lambda: b"202 Accepted" in sock.sent)
        [accepted] = re.findall(rb'{"accepted":2,"request":"([0-9a-f]{12})"}', sock.sent)
        request = accepted.decode()
        assert [(name, promised.request) for name, promised in way.keeper.promised.items()] == [
            (f"{request}[0]", request),
            (f"{request}[1]", request),
        ]
        sent = sock.sent
        way.settle()
        assert sock.sent == sent  # the sender is answered once
        assert not way.keeper.promised
        assert way.counters.total("incidents created") == 2
        assert way.client.troubles == {}
        assert way.statuses(posted()) == [200]  # in time
        greenlet.get(timeout=10)
        promising.kill()

    def test_a_sender_that_was_answered_202_in_vain_is_named_for_an_hour(
        self, quick: list[float]
    ) -> None:
        way = Way(answer_seconds="0.01")
        way.writer.waits, way.writer.outcome = True, lambda _: webhook.REJECTED
        promising = gevent.spawn(way.webhook.keep_promises)
        way.begin(posted())
        await_in_hub(lambda: bool(way.keeper.promised))
        way.settle()
        [trouble] = way.client.said
        assert trouble.endswith(
            "was answered 202, and not all of its incidents exist: XSOAR refuses it."
        )
        assert way.client.troubles == {"Answered 202": trouble}
        assert not way.keeper.promised
        way.webhook.tell_broken_promises(time.monotonic() + 3590)
        assert way.client.troubles
        way.webhook.tell_broken_promises(time.monotonic() + 3601)
        assert way.client.troubles == {}
        promising.kill()

    def test_what_was_promised_and_found_no_room_is_tried_again(self, quick: list[float]) -> None:
        way = Way(answer_seconds="0.01")
        way.writer.waits, way.writer.outcome = (
            True,
            lambda number: webhook.OUTAGE if number == 1 else webhook.Outcome(200, {}),
        )
        promising = gevent.spawn(way.webhook.keep_promises)
        way.begin(posted())
        await_in_hub(lambda: bool(way.keeper.promised))
        way.writer.room = False
        way.settle()
        gevent.sleep(0.01)
        assert len(way.writer.taken) == 1
        assert 1 in quick  # it asks for room once a second
        way.writer.room = True
        await_in_hub(lambda: bool(way.writer.later))
        assert way.writer.taken[1] is way.writer.taken[0]
        assert way.keeper.promised
        way.settle()
        assert not way.keeper.promised
        promising.kill()

    def test_what_is_promised_while_stopping_is_left_for_the_next_start(self) -> None:
        way = Way(answer_seconds="0.01")
        way.writer.waits, way.writer.outcome = True, lambda _: webhook.STOPPING
        promising = gevent.spawn(way.webhook.keep_promises)
        way.begin(posted())
        await_in_hub(lambda: bool(way.keeper.promised))
        way.connections.stopping = True
        way.settle()
        gevent.sleep(0.01)
        assert (len(way.writer.taken), len(way.keeper.promised)) == (1, 1)
        promising.kill()

    def test_what_an_earlier_start_promised_is_created_first(self) -> None:
        way = Way()
        way.keeper.restored = {"0": webhook.Promised(incident_named("left over"), "r-1")}
        way.webhook.keep_promises()  # ends, for this instance promises nothing itself
        assert [incident.fields["name"] for incident in way.writer.taken] == ["left over"]
        assert way.keeper.restored == {}

    def test_a_method_that_a_parameter_allows_makes_incidents(self) -> None:
        way = Way(other_methods="GET, PUT")
        assert way.statuses(
            posted(b"", target=b"/?n=1", method=b"GET") + posted(b"{}", method=b"PUT")
        ) == [200, 200]
        assert [
            json.loads(incident.fields["rawJSON"]).get("query") for incident in way.writer.taken
        ] == [{"n": "1"}, None]
        assert b"Allow: POST, GET, PUT\r\n" in way.serve(posted(b"{}", method=b"PATCH"))

    def test_a_handshake_is_answered_without_an_incident(self) -> None:
        way = Way(credentials=credentials("user", "pass"))
        unsigned = way.serve(posted(json.dumps(EVENT_GRID).encode()))
        assert unsigned.endswith(b'{"validationResponse":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}')
        signed = way.serve(posted(json.dumps(SLACK).encode(), b"Authorization: Basic dXNlcjpwYXNz"))
        assert SLACK["challenge"].encode() in signed
        assert way.statuses(posted(b'{"challenge": 5}')) == [
            401
        ]  # a body that is none proves nothing
        notice = posted(b"", b"X-Hook-Secret: b537207f20cbfa02357cf448134da559", target=b"/asana")
        assert b"X-Hook-Secret: b537207f20cbfa02357cf448134da559\r\n" in way.serve(notice)
        assert way.writer.taken == []
        assert way.counters.total("handshakes answered") == 3
        assert list(way.client.troubles) == ["Asana's handshake"]
        assert "192.0.2.1" in way.client.troubles["Asana's handshake"]

    def test_a_wrong_token_in_a_question_is_counted_and_slowed_down(
        self, quick: list[float]
    ) -> None:
        way = Way(credentials=credentials("user", "pass"))
        question = posted(
            b"",
            target=b"/?hub.mode=subscribe&hub.challenge=1&hub.verify_token=guess",
            method=b"GET",
        )
        assert way.statuses(question * 6) == [401] * 6
        assert way.counters.total("failed authentications") == 6
        assert [pause for pause in quick if pause] == [0.1, 0.2, 0.4]
        assert way.statuses(posted(b"", target=b"/?x=1", method=b"GET")) == [
            405
        ]  # who proves nothing guesses nothing
        assert way.counters.total("failed authentications") == 6

    @pytest.mark.parametrize("size", [10, 40_000])
    def test_a_signed_body_is_let_in_and_a_changed_one_is_not(self, size: int) -> None:
        way = Way(credentials=credentials("_hmac:X-Sum", "key"), store_samples=True)
        body = json.dumps({"text": "x" * size}).encode()
        proof = b"X-Sum: sha256=" + hmac.digest(b"key", body, "sha256").hex().encode()
        assert way.statuses(posted(body, proof)) == [200]
        assert way.statuses(posted(body.replace(b"x", b"y", 1), proof)) == [401]
        assert way.counters.total("failed authentications") == 1
        assert len(way.writer.taken) == 1

    def test_a_scheme_s_delivery_id_is_the_key_where_nothing_else_is(
        self, at: Callable[[float], None]
    ) -> None:
        delivery = DELIVERIES["Standard Webhooks"]
        at(delivery.now)
        way = Way(credentials=credentials(delivery.username, delivery.password))
        lines = [f"{name}: {value}".encode() for name, value in delivery.headers.items()]
        sent = way.serve(posted(delivery.body.encode(), *lines) * 2)
        assert [incident.key for incident in way.writer.taken] == [
            "webhook-id:msg_p5jXN8AQM9LWM0D4loKWxJek"
        ]
        assert sent.count(b'"duplicate":true') == 1

    def test_an_empty_array_of_events_makes_none(self) -> None:
        way = Way(events_path="alerts")
        assert way.serve(posted(b'{"alerts":[],"x":1}')).endswith(b"\r\n\r\n[]")
        assert way.writer.taken == []

    def test_a_parameter_whose_paths_find_nothing_is_told_once(self) -> None:
        way = Way(name_from="title")
        way.statuses(
            posted(json.dumps([{"n": number} for number in range(99)]).encode())
            + posted(b'{"title": "t"}')
        )
        assert way.client.said == []  # one that found it begins the row anew
        way.statuses(posted(json.dumps([{"n": number} for number in range(250)]).encode()))
        [told] = way.client.said
        assert told.startswith("Incident name: the last 100 events had no value at its paths")

    def test_while_nobody_knows_what_came_before_a_request_is_503(self) -> None:
        way = Way(duplication_key="n", answer_seconds="0.01")
        way.keeper.loaded.clear()
        assert b"XSOAR did not tell which events came before" in way.serve(posted())
        assert way.statuses(posted()) == [503]
        way.keeper.loaded.set()
        assert way.statuses(posted()) == [200]

    def test_the_health_s_paths_are_the_webhook_s_own(self) -> None:
        assert b"405 Method Not Allowed" in (sent := Way().serve(posted(b"{}", target=b"/health")))
        assert b"Allow: GET\r\n" in sent
        assert Way().statuses(posted(b"{}", target=b"/health/deep")) == [404]

    def test_who_has_the_credentials_of_a_signed_instance_gets_metrics_without_a_signature(
        self,
    ) -> None:
        way = Way(
            credentials=credentials("_hmac:X-Sum", "key"),
            metrics=True,
            allowed_sources="192.0.2.0/24",
        )
        assert b"generic_webhook_requests_total" in way.serve(
            posted(b"", target=b"/metrics", method=b"GET")
        )

    # ---- what bounds a connection

    def test_a_large_body_is_read_in_pieces_and_its_memory_is_given_back(self) -> None:
        way = Way()
        body = b'{"a": "' + b"x" * 3_000_000 + b'"}'
        assert way.statuses(posted(body), piece=50_000) == [200]
        chunks = b"".join(
            b"%x\r\n%b\r\n" % (len(body[place : place + 999]), body[place : place + 999])
            for place in range(0, len(body), 999)
        )
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert way.statuses(head + chunks + b"0\r\n\r\n", piece=50_000) == [200]
        assert way.writer.taken[0].size > 3_000_000
        assert (
            way.writer.taken[0].fields["rawJSON"][:100]
            == way.writer.taken[1].fields["rawJSON"][:100]
        )
        way.server.memory.take(webhook.MAX_BODIES_BYTES)  # all of it is free again
        assert way.statuses(posted(body), piece=50_000) == [503]

    @pytest.mark.parametrize(
        "state, status",
        [
            ({}, 400),
            ({"expired": True}, 408),
            ({"stopping": True}, 503),
            ({"stopping": True, "expired": True}, 503),
        ],
    )
    def test_why_a_request_was_cut_short_is_told(self, state: dict[str, bool], status: int) -> None:
        connections = SimpleNamespace(stopping=state.get("stopping", False))
        connection = webhook.Connection(
            FakeSender(b""), "192.0.2.1", SimpleNamespace(connections=connections)
        )  # type: ignore[arg-type]
        connection.expired = state.get("expired", False)
        assert connection.incomplete_request_error("It ends too early.").status == status

    def test_a_sender_that_has_gone_leaves_nothing_behind(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        way = Way()

        def gone(*_: Any) -> int:
            raise ConnectionResetError

        monkeypatch.setattr(FakePlainSocket, "send", gone)
        assert way.serve(posted() * 3) == b""
        assert len(way.writer.taken) == 3
        monkeypatch.setattr(FakeSender, "sendall", gone)
        assert (
            way.statuses(posted(b"{}", b"Expect: 100-continue")) == []
        )  # it was asked for the body, and did not hear it
        assert len(way.writer.taken) == 3
        assert not way.failures

    def test_blank_lines_without_a_request_are_no_request(self) -> None:
        assert Way().serve(b"\r\n") == b""
        assert Way().statuses(posted() + b"\r\n" + posted()) == [200, 200]

    def test_one_connection_too_many_is_503(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webhook, "MAX_CONNECTIONS", 16)
        way = Way()
        others = [webhook.Connection(FakeSender(b""), "192.0.2.2", way.server) for _ in range(16)]
        for other in others:
            way.connections.open(other)
            way.connections.work(other)
        late = FakeSender(posted())
        way.server.handle(late, ("192.0.2.1", 50_000))
        assert re.findall(rb"HTTP/1\.1 ([0-9]{3}) .*Connection: (\w+)", late.sent, re.DOTALL) == [
            (b"503", b"close")
        ]
        shut = FakeTlsClient()
        way.server.tls = shut
        way.server.wrap_socket_and_handle(shut, ("192.0.2.1", 50_000))
        assert shut.wrapped == 0
        way.connections.close(others[0])
        in_time = FakeSender(posted())
        way.server.handle(in_time, ("192.0.2.1", 50_000))
        assert in_time.sent.startswith(b"HTTP/1.1 200 OK\r\n")
        assert way.connections.counts()["working"] == 15  # and its place is free again

    def test_what_is_no_tls_is_counted_and_closed(self) -> None:
        way = Way()
        client = FakeTlsClient()
        way.server.tls = client
        way.server.wrap_socket_and_handle(client, ("192.0.2.1", 50_000))
        assert (client.wrapped, client.closed) == (1, 1)
        assert way.counters.take_line() == "1 failed TLS handshakes"
        assert sum(way.connections.counts().values()) == 0

    def test_past_so_many_refused_ones_little_is_thrown_away(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook, "MAX_DISCARDING", 1)
        way = Way()
        connections = [
            webhook.Connection(FakeSender(b""), "192.0.2.1", way.server) for _ in range(2)
        ]
        for connection in connections:
            way.connections.open(connection)
        assert way.connections.discard(connections[0]) == (64 * webhook.MIB, 10.0)
        assert way.connections.discard(connections[1]) == (64 * webhook.KIB, 1.0)
        assert way.connections.counts()["discarding"] == 1

    def test_the_end_ends_reading_of_what_is_not_whole(self) -> None:
        way = Way()
        connections = [
            webhook.Connection(FakeSender(b""), "192.0.2.1", way.server) for _ in range(3)
        ]
        for connection in connections:
            way.connections.open(connection)
        way.connections.read(connections[1])
        way.connections.work(connections[2])
        way.connections.end_reading()
        assert [connection.sock._sock.shut for connection in connections] == [
            [socket.SHUT_RD],
            [socket.SHUT_RD],
            [],
        ]

    def test_the_soft_limit_of_descriptors_is_raised(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        try:
            assert webhook.raise_descriptor_limit(300) == 300
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 300
            assert webhook.raise_descriptor_limit(200) == 200
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestConnections:
    def test_an_evicted_connection_gets_no_more_time(self) -> None:
        connections = webhook.ConnectionRegistry(webhook.Counters())
        with socket.socket() as sock:
            connection = webhook.Connection(sock, "192.0.2.1", SimpleNamespace())  # type: ignore[arg-type]
            assert connections.open(connection)
            deadline = connection.deadline
            connections.close(connection)
            connections.work(connection)
        assert connection.deadline == deadline
        assert not connections.reading()

    def test_who_is_silent_makes_room_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webhook, "MAX_CONNECTIONS", 16)
        counters = webhook.Counters()
        connections = webhook.ConnectionRegistry(counters)
        pairs = [socket.socketpair() for _ in range(17)]
        ours = [
            webhook.Connection(
                SimpleNamespace(_sock=a, fileno=a.fileno), "192.0.2.1", SimpleNamespace()
            )
            for a, _ in pairs
        ]  # type: ignore[arg-type]
        for connection in ours[:16]:
            assert connections.open(connection)
        connections.work(ours[0])
        connections.idle(ours[1])
        pairs[2][1].sendall(b"GET")
        assert connections.open(ours[16])
        assert connections.counts() == {
            "arriving": 14,
            "idle": 1,
            "discarding": 0,
            "reading": 0,
            "working": 1,
        }
        assert ours[3].group.get(ours[3], 0) == 0  # the oldest that has sent nothing
        for connection in ours[4:]:
            connections.work(connection)
        connections.work(ours[1])
        connections.work(ours[2])
        assert not connections.open(ours[3])  # all are at work
        assert counters.take_line() == "1 connections evicted, 1 connections refused"
        for a, b in pairs:
            a.close()
            b.close()

    def test_time_is_up_in_two_steps(self) -> None:
        connections = webhook.ConnectionRegistry(webhook.Counters())
        a, b = socket.socketpair()
        connection = webhook.Connection(
            SimpleNamespace(_sock=a, fileno=a.fileno), "192.0.2.1", SimpleNamespace()
        )  # type: ignore[arg-type]
        connections.open(connection)
        connections.sweep(connection.deadline - 1)
        assert not connection.expired
        now = connection.deadline + 1
        connections.sweep(now)
        assert connection.expired
        a.sendall(b"the answer")  # its greenlet may still answer
        connections.sweep(now + 2)
        with pytest.raises(OSError):
            a.sendall(b"too late")
        a.close()
        b.close()

    def test_failed_logins_slow_an_address_down_and_are_forgotten(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        logins, clock = webhook.FailedLogins(), [0.0]
        monkeypatch.setattr(time, "monotonic", lambda: clock[0])
        delays = [logins.add("192.0.2.1") for _ in range(10)]
        assert delays[:3] == [0.0] * 3
        assert delays[3:] == sorted(delays[3:])
        assert delays[-1] == 1.0
        assert logins.add("192.0.2.2") == 0.0
        clock[0] = 61.0
        assert logins.add("192.0.2.1") == 0.0

    def test_memory_for_bodies_is_bounded_and_given_back(self) -> None:
        memory = webhook.BodyMemory()
        memory.take(200 * webhook.MIB)
        with pytest.raises(webhook.ServiceUnavailable):
            memory.take(57 * webhook.MIB)
        memory.give_back(200 * webhook.MIB)
        memory.take(256 * webhook.MIB)

    def test_counters_are_told_once_and_never_lost(self) -> None:
        counters = webhook.Counters()
        counters.add("incidents created", 2)
        counters.answered(200)
        counters.answered(503)
        assert counters.take_line() == "1 answered 503, 2 incidents created"
        assert counters.take_line() == ""
        counters.add("incidents created")
        assert (
            counters.total("incidents created"),
            counters.totals()["answered 503"],
            counters.statuses[200],
        ) == (3, 1, 1)


# ---- seen events


class Waiting:
    """Seen events before a writer that settles when a test says so."""

    def __init__(self, forget_seconds: float | None = None) -> None:
        self.writer, self.counters = FakeWriter(), webhook.Counters()
        self.writer.waits = True
        self.events = webhook.SeenEvents(self.writer, self.counters, forget_seconds)  # type: ignore[arg-type]

    def send(self, *keys: str | None) -> list[tuple[list[webhook.Outcome], set[int]]]:
        """Submit a request with events of these keys; the list gets its outcomes and duplicates once it is settled."""
        told: list[tuple[list[webhook.Outcome], set[int]]] = []
        incidents = [webhook.Incident({"name": str(key)}, key, 10) for key in keys]
        self.events.submit(
            incidents, lambda outcomes, duplicates: told.append((list(outcomes), set(duplicates)))
        )
        return told

    def settle(self, outcome: webhook.Outcome | None = None) -> None:
        """Settle the writer's oldest submission, created where nothing else is said."""
        if outcome is not None:
            self.writer.outcome = lambda _: outcome
        self.writer.later.pop(0)()

    @property
    def asked(self) -> list[str]:
        """The names of all incidents the writer was given."""
        return [incident.fields["name"] for incident in self.writer.taken]


def created_as(number: str) -> webhook.Outcome:
    return webhook.Outcome(200, {"id": number, "name": "n", "rawJSON": "{}", "severity": 3})


DUPLICATE_OF_7 = webhook.Outcome(200, {"id": "7", "name": "n", "duplicate": True})


class TestSeenEvents:
    def test_all_who_come_while_the_first_is_under_way_get_its_incident(self) -> None:
        waiting = Waiting()
        first, second, third = waiting.send("a"), waiting.send("a"), waiting.send("b", "a", "a")
        assert (first, second, third) == ([], [], [])
        waiting.settle(created_as("7"))
        assert first == [([created_as("7")], set())]
        assert second == [([DUPLICATE_OF_7], {0})]
        assert third == []  # b is open
        waiting.settle(created_as("8"))
        assert third == [([created_as("8"), DUPLICATE_OF_7, DUPLICATE_OF_7], {1, 2})]
        assert waiting.send("a") == [([DUPLICATE_OF_7], {0})]  # at once
        assert waiting.asked == ["a", "b"]
        assert waiting.counters.total("duplicates") == 4

    def test_an_event_without_a_key_is_always_new(self) -> None:
        waiting = Waiting()
        told = [waiting.send(None), waiting.send(None, None)]
        waiting.settle(created_as("1"))
        waiting.settle(created_as("2"))
        assert told == [[([created_as("1")], set())], [([created_as("2")] * 2, set())]]
        assert waiting.counters.total("events without a key") == 3
        assert not waiting.events.seen

    @pytest.mark.parametrize("outcome", [webhook.REJECTED, webhook.DROPPED])
    def test_what_xsoar_did_not_take_is_the_next_one_s_to_try(
        self, outcome: webhook.Outcome
    ) -> None:
        """
        Given: a request with an event twice, and two others that wait for the same event
        When: XSOAR does not take the first one's
        Then: both its places say so; the second request tries, and the third has its incident
        """
        waiting = Waiting()
        first, second, third = waiting.send("a", "a"), waiting.send("a"), waiting.send("a")
        waiting.settle(outcome)
        assert (first, second, third) == ([([outcome, outcome], set())], [], [])
        assert waiting.asked == ["a", "a"]
        waiting.settle(created_as("7"))
        assert (second, third) == ([([created_as("7")], set())], [([DUPLICATE_OF_7], {0})])
        assert waiting.send("a") == [([DUPLICATE_OF_7], {0})]

    @pytest.mark.parametrize(
        "outcome", [webhook.MAYBE_CREATED, webhook.OUTAGE, webhook.WITHDRAWN, webhook.STOPPING]
    )
    def test_what_is_true_of_the_first_is_true_of_all_who_wait(
        self, outcome: webhook.Outcome
    ) -> None:
        waiting = Waiting()
        told = [waiting.send("a"), waiting.send("a"), waiting.send("a")]
        waiting.settle(outcome)
        assert told == [[([outcome], set())]] * 3
        waiting.send("a")
        assert waiting.asked == ["a", "a"]  # nothing is remembered, so the next one is new

    def test_who_has_waited_too_long_is_not_the_next_one_to_try(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waiting = Waiting()
        waiting.send("a")
        with monkeypatch.context() as patch:
            patch.setattr(webhook, "WITHDRAW_SECONDS", -1)
            late = waiting.send("a")
        in_time = waiting.send("a")
        waiting.settle(webhook.REJECTED)
        assert (late, in_time) == ([([webhook.WITHDRAWN], set())], [])
        waiting.settle(created_as("7"))
        assert in_time == [([created_as("7")], set())]

    def test_a_request_the_writer_has_no_room_for_leaves_no_trace(self) -> None:
        waiting = Waiting()
        first = waiting.send("a")
        waiting.writer.room = False
        with pytest.raises(webhook.ServiceUnavailable):
            waiting.send("a", "b", None)
        waiting.writer.room = True
        waiting.settle(created_as("7"))
        assert first == [([created_as("7")], set())]
        assert waiting.counters.total("duplicates") == 0  # nobody waited for it
        waiting.send("b")
        assert waiting.asked == ["a", "b"]  # nor is b under way

    def test_who_finds_no_room_when_its_turn_comes_is_503(self) -> None:
        waiting = Waiting()
        waiting.send("a")
        others = [waiting.send("a"), waiting.send("a")]
        waiting.writer.room = False
        waiting.settle(webhook.REJECTED)
        assert others == [[([webhook.Outcome(503, reason="The queue is full")], set())]] * 2
        waiting.writer.room = True
        waiting.send("a")
        assert waiting.asked == ["a", "a"]

    def test_an_event_is_forgotten_after_its_time(self, at: Callable[[float], None]) -> None:
        waiting = Waiting(forget_seconds=60)
        at(1000.0)
        waiting.send("a")
        waiting.settle(created_as("7"))
        at(1059.0)
        assert waiting.send("a") == [([DUPLICATE_OF_7], {0})]
        at(1060.0)
        assert waiting.send("a") == []
        assert waiting.asked == ["a", "a"]

    def test_the_oldest_of_too_many_is_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webhook, "MAX_FOUND_IDS", 2)
        waiting = Waiting()
        for key in "abc":
            waiting.send(key)
            waiting.settle(created_as(key))
        assert list(waiting.events.seen) == ["b", "c"]


# ---- samples and the integration context


class Keeping:
    """A keeper before the integration context of the stand-in, with what it keeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, context: Any, **params: Any) -> None:
        monkeypatch.setattr(demisto, "integrationContext", context)
        monkeypatch.setattr(demisto, "integrationContextVersion", 5)
        self.client = FakeClient()
        self.samples = webhook.Samples(webhook.NativeThread())
        self.events = webhook.SeenEvents(FakeWriter(), webhook.Counters(), None)  # type: ignore[arg-type]
        self.status = {"since": "then"}
        kept = settings(**{"store_samples": True, "duplication_key": "id", **params})
        self.keeper = webhook.ContextKeeper(
            self.client, kept, self.samples, self.events, lambda: dict(self.status)
        )  # type: ignore[arg-type]

    def load(self) -> "Keeping":
        """Let the keeper find what the context holds, and nothing more."""
        running = gevent.spawn(self.keeper.run)
        assert self.keeper.loaded.wait(10)
        running.kill()
        return self

    def see(self, key: str, incident: str, created: float = 1000.0) -> None:
        self.events.remember(key, webhook.Seen({"id": incident}, created))
        self.events.changed()

    def stored(self, key: str) -> Any:
        """What the context holds under a key; all of it has to be text."""
        assert all(isinstance(value, str) for value in demisto.integrationContext.values())
        return json.loads(demisto.integrationContext[key])


def sample_named(name: str) -> dict[str, Any]:
    return dict(incident_named(name).fields)


class TestContextKeeper:
    def test_what_the_context_held_stands_before_what_is_new(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a context with samples, seen events, and somebody else's key; an incident and an event since the start
        When: it is loaded, and written
        Then: the older ones are known and stand first, and what is not ours stays
        """
        context = {
            "sample_events": json.dumps([sample_named(str(number)) for number in range(20)]),
            "found_ids": '{"id:1": "1", "id:2": null, "id:new": "old"}',
            "others": {"a": 1},
        }
        keeping = Keeping(monkeypatch, context)
        keeping.keeper.add_sample(incident_named("new"))
        keeping.see("id:new", "3")
        keeping.load()
        assert list(keeping.events.seen) == ["id:1", "id:2", "id:new"]
        assert [seen.metadata for seen in keeping.events.seen.values()] == [
            {"id": "1"},
            {},
            {"id": "3"},
        ]
        assert keeping.keeper.flush()
        assert [sample["name"] for sample in keeping.stored("sample_events")] == [
            *map(str, range(1, 20)),
            "new",
        ]
        assert keeping.stored("found_ids") == {"id:1": "1", "id:2": None, "id:new": "3"}
        assert keeping.stored("others") == {"a": 1}
        assert keeping.stored("status")["since"] == "then"
        assert demisto.integrationContextVersion == 6

    def test_of_too_many_events_the_newest_are_loaded(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook, "MAX_FOUND_IDS", 2)
        keeping = Keeping(
            monkeypatch, {"found_ids": '{"id:1": "1", "id:2": "2", "id:3": "3"}'}
        ).load()
        assert list(keeping.events.seen) == ["id:2", "id:3"]

    def test_nothing_is_written_where_nothing_changed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keeping = Keeping(monkeypatch, {}).load()
        calls = keeping.client.calls
        assert keeping.keeper.flush()
        assert keeping.client.calls == calls
        assert demisto.integrationContextVersion == 5

    def test_only_what_the_parameters_ask_for_is_written(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keeping = Keeping(monkeypatch, {}, store_samples=False, duplication_key="").load()
        keeping.keeper.add_sample(incident_named("n"))
        assert keeping.keeper.flush()
        assert set(demisto.integrationContext) == {"status"}

    def test_when_events_were_created_is_kept_where_they_are_forgotten(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        context = {
            "found_ids": '{"id:1": "1", "id:2": "2"}',
            "found_times": '{"id:1": 500, "id:2": "damaged"}',
        }
        keeping = Keeping(monkeypatch, context, duplicate_hours="1")
        started = time.time()
        keeping.load()
        first, second = keeping.events.seen.values()
        assert first.created == 500
        assert second.created >= started  # without a time it is as new as can be
        keeping.see("id:3", "3", created=1234.5)
        assert keeping.keeper.flush()
        assert keeping.stored("found_times") == {
            "id:1": 500,
            "id:2": int(second.created),
            "id:3": 1234,
        }

    @pytest.mark.parametrize("failures", [[webhook.XsoarRefused("stale")], []])
    def test_a_version_that_is_an_old_one_is_read_again(
        self, monkeypatch: pytest.MonkeyPatch, failures: list[Exception]
    ) -> None:
        keeping = Keeping(monkeypatch, {}).load()
        keeping.see("id:1", "1")
        keeping.client.failures = failures
        assert keeping.keeper.flush()
        assert keeping.stored("found_ids") == {"id:1": "1"}
        assert keeping.client.troubles == {}

    @pytest.mark.parametrize(
        "failures", [[webhook.XsoarRefused("no")] * 2, [webhook.UnreadableAnswer("what?")]]
    )
    def test_a_context_that_cannot_be_reached_is_told_and_tried_again(
        self, monkeypatch: pytest.MonkeyPatch, failures: list[Exception]
    ) -> None:
        keeping = Keeping(monkeypatch, {}).load()
        keeping.see("id:1", "1")
        keeping.client.failures = list(failures)
        assert not keeping.keeper.flush()
        assert keeping.client.troubles["Integration context"].startswith(
            "The integration context cannot be reached"
        )
        assert "found_ids" not in demisto.integrationContext
        assert keeping.keeper.flush()  # what changed is not forgotten
        assert keeping.stored("found_ids") == {"id:1": "1"}
        assert keeping.client.troubles == {}

    @pytest.mark.parametrize(
        "context",
        ["no object", [1], {"found_ids": "{", "sample_events": "5", "promised": '[{"fields": 1}]'}],
    )
    def test_damaged_data_is_told_once_and_replaced(
        self, monkeypatch: pytest.MonkeyPatch, context: Any
    ) -> None:
        keeping = Keeping(monkeypatch, context).load()
        assert not keeping.events.seen
        keeping.see("id:1", "1")
        keeping.client.failures = [webhook.XsoarRefused("no")] * 2
        assert not keeping.keeper.flush()
        assert keeping.keeper.flush()
        assert keeping.stored("found_ids") == {"id:1": "1"}
        [told] = [line for line in keeping.client.said if "damaged data" in line]
        for damage in ("it is no object",) if not isinstance(context, dict) else context:
            assert damage in told

    @pytest.mark.parametrize(
        "what, samples, events",
        [("samples", False, True), ("events", True, False), ("all", False, False)],
    )
    def test_what_a_command_wants_forgotten_is_forgotten_in_memory_too(
        self, monkeypatch: pytest.MonkeyPatch, what: str, samples: bool, events: bool
    ) -> None:
        keeping = Keeping(monkeypatch, {}).load()
        keeping.keeper.add_sample(incident_named("small"))
        keeping.keeper.add_sample(incident_named("large", 50_000))
        keeping.see("id:1", "1")
        assert keeping.keeper.flush()
        demisto.integrationContext["reset"] = what
        keeping.keeper.add_sample(incident_named("late", 50_000))
        keeping.samples.add(incident_named("too late"))
        assert keeping.keeper.flush()
        assert "reset" not in demisto.integrationContext
        assert bool(keeping.stored("sample_events")) == bool(keeping.samples.items) == samples
        assert bool(keeping.stored("found_ids")) == bool(keeping.events.seen) == events
        assert keeping.client.said == [f"generic-webhook-reset: {what} forgotten."]

    def test_it_goes_on_by_itself(
        self, monkeypatch: pytest.MonkeyPatch, quick: list[float]
    ) -> None:
        """
        Given: a context that cannot be reached at first, and fails once more at the first write
        When: the keeper runs
        Then: it loads, writes what changed, and the status each time that has changed
        """
        monkeypatch.setattr(webhook, "KEEPER_SECONDS", 0.01)
        keeping = Keeping(monkeypatch, {"found_ids": '{"id:0": "0"}'})
        keeping.client.failures = [webhook.UnreadableAnswer("what?")] * 2
        running = gevent.spawn(keeping.keeper.run)
        await_in_hub(lambda: "id:0" in keeping.events.seen)
        keeping.client.failures = [webhook.UnreadableAnswer("what?")]
        keeping.see("id:1", "1")
        await_in_hub(lambda: "id:1" in demisto.integrationContext.get("found_ids", ""))
        keeping.status["since"] = "now"
        await_in_hub(lambda: "now" in demisto.integrationContext["status"])
        version = demisto.integrationContextVersion
        gevent.sleep(0.05)
        assert (
            demisto.integrationContextVersion == version
        )  # an unchanged status is not written again
        assert 3.0 in quick  # one write for all changes of three seconds
        running.kill()

    def test_what_was_promised_is_left_for_the_next_start(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keeping = Keeping(monkeypatch, {}).load()
        keeping.keeper.promised = {
            f"r[{number}]": webhook.Promised(incident_named(str(number)), "r")
            for number in range(3)
        }
        keeping.see("id:1", "1")
        assert keeping.keeper.flush()
        assert "promised" not in demisto.integrationContext  # it is under way still
        keeping.keeper.fulfil("r[1]")
        keeping.keeper.close()
        assert keeping.keeper.flush()
        next_start = Keeping(monkeypatch, demisto.integrationContext).load()
        assert [
            promised.incident.fields["name"] for promised in next_start.keeper.restored.values()
        ] == ["0", "2"]
        assert [promised.request for promised in next_start.keeper.restored.values()] == ["r", "r"]
        next_start.keeper.fulfil("0")
        assert next_start.keeper.flush()
        assert [promised["fields"]["name"] for promised in next_start.stored("promised")] == ["2"]
        next_start.keeper.fulfil("1")
        assert next_start.keeper.flush()
        assert "promised" not in demisto.integrationContext

    def test_promises_that_have_no_room_in_the_context_are_told(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook, "MAX_PROMISED_BYTES", 1000)
        keeping = Keeping(monkeypatch, {}).load()
        sizes = {"a": 100, "b": 2000, "c": 100}
        for name, size in sizes.items():
            keeping.keeper.promised[name] = webhook.Promised(
                webhook.Incident({"name": "x" * size}, None, size), name
            )
        keeping.keeper.close()
        assert keeping.keeper.flush()
        assert [promised["request"] for promised in keeping.stored("promised")] == ["a", "c"]
        [told] = keeping.client.said
        assert told.endswith("lost are the requests b")

    def test_large_samples_are_cut_at_the_next_write_and_the_newest_are_kept(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook, "MAX_LARGE_SAMPLES_BYTES", 500_000)
        keeping = Keeping(monkeypatch, {}).load()
        for number in range(3):
            raw = json.dumps({"n": number, "text": "x" * 200_000})
            keeping.keeper.add_sample(
                webhook.Incident({"name": str(number), "rawJSON": raw}, None, len(raw))
            )
        assert not keeping.samples.items
        assert keeping.keeper.flush()
        kept = keeping.stored("sample_events")
        assert [sample["name"] for sample in kept] == ["1", "2"]
        assert all(len(json.dumps(sample)) <= webhook.MAX_SAMPLE_BYTES for sample in kept)


# ---- the commands


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Return what the script hands over by demisto.results and demisto.incidents."""
    handed: list[Any] = []
    monkeypatch.setattr(demisto, "results", handed.append)
    monkeypatch.setattr(demisto, "incidents", handed.append)
    yield handed


def run_main(monkeypatch: pytest.MonkeyPatch, command: str, **params: Any) -> None:
    monkeypatch.setattr(demisto, "command", lambda: command)
    monkeypatch.setattr(demisto, "params", lambda: params)
    webhook.main()


class TestCommands:
    @pytest.mark.parametrize("port", ["8000", "443:8000", ""])
    def test_the_test_button_says_ok(
        self, monkeypatch: pytest.MonkeyPatch, results: list[Any], port: str
    ) -> None:
        """
        Given: parameters that can be used
        When: the user clicks Test
        Then: ok
        """
        run_main(
            monkeypatch,
            "test-module",
            longRunningPort=port,
            credentials=credentials("user", "pass"),
        )
        assert results == ["ok"]

    def test_the_test_button_tells_all_that_is_wrong(
        self, monkeypatch: pytest.MonkeyPatch, results: list[Any]
    ) -> None:
        """
        Given: a wrong port, a wrong username and half a certificate
        When: the user clicks Test
        Then: one error names all three
        """
        with pytest.raises(SystemExit):
            run_main(
                monkeypatch,
                "test-module",
                longRunningPort="99999",
                credentials=credentials("_header", "x"),
                certificate="-----BEGIN CERTIFICATE-----",
            )
        assert results[0]["Type"] == 4
        said = results[0]["Contents"].splitlines()
        assert [line.partition(":")[0] for line in said] == [
            "Listen Port",
            "Username",
            "Private Key",
        ]

    def test_the_mapping_wizard_gets_the_samples(
        self, monkeypatch: pytest.MonkeyPatch, results: list[Any]
    ) -> None:
        """
        Given: samples in the integration context
        When: the wizard fetches
        Then: they are handed over, oldest first
        """
        samples = [{"name": "1", "rawJSON": "{}"}, {"name": "2", "rawJSON": "{}"}]
        monkeypatch.setattr(
            demisto, "getIntegrationContext", lambda: {"sample_events": json.dumps(samples)}
        )
        run_main(monkeypatch, "fetch-incidents", longRunningPort="8000")
        assert results == [samples]

    @pytest.mark.parametrize("context", [None, {}, {"sample_events": "{"}, {"sample_events": "5"}])
    def test_without_readable_samples_the_wizard_gets_none(
        self, monkeypatch: pytest.MonkeyPatch, results: list[Any], context: Any
    ) -> None:
        """
        Given: an integration context that is empty or damaged
        When: the wizard fetches
        Then: an empty list
        """
        monkeypatch.setattr(demisto, "getIntegrationContext", lambda: context)
        run_main(monkeypatch, "fetch-incidents", longRunningPort="8000")
        assert results == [[]]

    def test_the_long_running_command_gets_the_settings(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: an instance's parameters
        When: XSOAR starts it
        Then: it runs with them
        """
        started: list[webhook.Settings] = []
        monkeypatch.setattr(webhook, "long_running_execution", started.append)
        run_main(
            monkeypatch,
            "long-running-execution",
            longRunningPort="8000:8001",
            incidentType="Phishing",
        )
        assert [(one.port, one.incident_type) for one in started] == [(8001, "Phishing")]

    def test_an_unknown_command_is_an_error(
        self, monkeypatch: pytest.MonkeyPatch, results: list[Any]
    ) -> None:
        """
        Given: a command this integration does not have
        When: it is run
        Then: an error names it
        """
        with pytest.raises(SystemExit):
            run_main(monkeypatch, "no-such-command", longRunningPort="8000")
        assert "no-such-command" in results[0]["Contents"]

    @pytest.mark.parametrize(
        "args, left, what, forgotten",
        [
            ({}, {"others", "reset", "status"}, "all", (2, 1)),
            ({"what": " ALL "}, {"others", "reset", "status"}, "all", (2, 1)),
            (
                {"what": "samples"},
                {"found_ids", "found_times", "others", "reset", "status"},
                "samples",
                (2, 0),
            ),
            ({"what": "events"}, {"sample_events", "others", "reset", "status"}, "events", (0, 1)),
        ],
    )
    def test_a_reset_forgets_what_it_is_told_and_leaves_a_mark(
        self,
        monkeypatch: pytest.MonkeyPatch,
        results: list[Any],
        args: Any,
        left: set[str],
        what: str,
        forgotten: tuple[int, int],
    ) -> None:
        context = {
            "sample_events": '[{"name": "1"}, {"name": "2"}]',
            "found_ids": '{"id:1": "1"}',
            "found_times": '{"id:1": 1}',
            "status": "{}",
            "others": {"a": 1},
        }
        monkeypatch.setattr(demisto, "integrationContext", context)
        monkeypatch.setattr(demisto, "args", lambda: args)
        run_main(monkeypatch, "generic-webhook-reset", longRunningPort="8000")
        assert set(demisto.integrationContext) == left
        assert demisto.integrationContext["reset"] == what
        assert demisto.integrationContext["others"] == '{"a":1}'
        [entry] = results
        samples, events = forgotten
        assert entry["EntryContext"] == {
            "GenericWebhook.Reset": {"What": what, "Samples": samples, "Events": events}
        }

    def test_two_resets_before_the_container_obeys_are_both_obeyed(
        self, monkeypatch: pytest.MonkeyPatch, results: list[Any]
    ) -> None:
        monkeypatch.setattr(demisto, "integrationContext", {})
        for what, mark in (("samples", "samples"), ("samples", "samples"), ("events", "all")):
            monkeypatch.setattr(demisto, "args", lambda what=what: {"what": what})
            run_main(monkeypatch, "generic-webhook-reset", longRunningPort="8000")
            assert demisto.integrationContext["reset"] == mark

    def test_a_reset_of_something_else_is_explained(
        self, monkeypatch: pytest.MonkeyPatch, results: list[Any]
    ) -> None:
        monkeypatch.setattr(demisto, "args", lambda: {"what": "everything"})
        with pytest.raises(SystemExit):
            run_main(monkeypatch, "generic-webhook-reset", longRunningPort="8000")
        assert results[0]["Contents"] == "what: choose of samples, events, all."

    @pytest.mark.parametrize("stale, works", [(4, True), (5, False)])
    def test_a_reset_tries_five_times_against_who_writes_meanwhile(
        self, monkeypatch: pytest.MonkeyPatch, results: list[Any], stale: int, works: bool
    ) -> None:
        failures: list[Exception] = [ValueError("stale version")] * stale
        written: list[dict[str, str]] = []

        def write(context: dict[str, str], version: Any, sync: bool) -> None:
            if failures:
                raise failures.pop()
            written.append(context)

        monkeypatch.setattr(webhook, "RETRY_PAUSE_SECONDS", 0)
        monkeypatch.setattr(demisto, "setIntegrationContextVersioned", write)
        monkeypatch.setattr(demisto, "args", dict)
        with contextlib.nullcontext() if works else pytest.raises(SystemExit):
            run_main(monkeypatch, "generic-webhook-reset", longRunningPort="8000")
        assert [context["reset"] for context in written] == (["all"] if works else [])

    def test_an_answer_nobody_can_read_ends_a_reset(
        self, monkeypatch: pytest.MonkeyPatch, results: list[Any]
    ) -> None:
        calls: list[Any] = []

        def write(*args: Any) -> None:
            calls.append(args)
            json.loads("{")

        monkeypatch.setattr(demisto, "setIntegrationContextVersioned", write)
        monkeypatch.setattr(demisto, "args", dict)
        with pytest.raises(SystemExit):
            run_main(monkeypatch, "generic-webhook-reset", longRunningPort="8000")
        assert len(calls) == 1  # it may have been written

    def test_the_status_is_what_the_container_has_left(
        self, monkeypatch: pytest.MonkeyPatch, results: list[Any]
    ) -> None:
        status = {
            "since": "then",
            "updated": "now",
            "queued_incidents": 3,
            "queued_bytes": 300,
            "answers": {"200": 5, "401": 1},
            "counters": {"incidents created": 5, "duplicates": 2},
        }
        monkeypatch.setattr(demisto, "integrationContext", {"status": json.dumps(status)})
        run_main(monkeypatch, "generic-webhook-status", longRunningPort="8000")
        [entry] = results
        assert entry["EntryContext"]["GenericWebhook.Status"] == {
            "Since": "then",
            "Updated": "now",
            "QueuedIncidents": 3,
            "QueuedBytes": 300,
            "IncidentsCreated": 5,
            "Duplicates": 2,
            "FailedAuthentications": 0,
            "Answers": status["answers"],
            "Counters": status["counters"],
        }
        assert "Answers 401" in entry["HumanReadable"]

    @pytest.mark.parametrize("context", [{}, {"status": "{"}, {"status": "5"}])
    def test_without_a_status_the_command_says_so(
        self, monkeypatch: pytest.MonkeyPatch, results: list[Any], context: dict[str, str]
    ) -> None:
        monkeypatch.setattr(demisto, "integrationContext", context)
        run_main(monkeypatch, "generic-webhook-status", longRunningPort="8000")
        assert "has not been running yet" in results[0]["HumanReadable"]

    def test_the_long_running_command_goes_on_though_it_fails_at_first(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a service that cannot be put together at first
        When: the instance is started
        Then: the health tells the failure's kind and nothing else of it, and the service runs at last
        """
        told: list[str] = []
        made: list[webhook.Settings] = []

        class Failing:
            def __init__(self, params: webhook.Settings) -> None:
                made.append(params)
                if len(made) == 1:
                    raise KeyError("s3cret-value")

            def run(self) -> None:
                told.append("it runs")

        kept = sys.getswitchinterval(), threading.stack_size(), gc.get_threshold()
        monkeypatch.setattr(webhook, "Service", Failing)
        monkeypatch.setattr(webhook.time, "sleep", lambda seconds: told.append(f"{seconds} s"))
        monkeypatch.setattr(demisto, "updateModuleHealth", told.append)
        try:
            run_main(monkeypatch, "long-running-execution", longRunningPort="8000")
            assert threading.stack_size() == webhook.THREAD_STACK_BYTES
        finally:
            sys.setswitchinterval(kept[0])
            threading.stack_size(kept[1])
            gc.set_threshold(*kept[2])
            gc.unfreeze()
        assert told == ["Generic Webhook failed and is started again: KeyError", "5 s", "it runs"]
        assert [params.port for params in made] == [8000, 8000]

    @pytest.mark.parametrize("module", ["bottle", "gevent.threadpool"])
    def test_a_missing_module_is_explained(
        self, monkeypatch: pytest.MonkeyPatch, results: list[Any], module: str
    ) -> None:
        """
        Given: an image without a module
        When: the script is loaded for the Test button, and for the service
        Then: an error says what to do; the service says it in the instance's health and ends once XSOAR closes the wire
        """
        health: list[str] = []
        ended: list[int] = []

        def load() -> None:
            spec = importlib.util.spec_from_file_location("WithoutIt", str(webhook.__file__))
            assert spec is not None
            assert spec.loader is not None
            spec.loader.exec_module(importlib.util.module_from_spec(spec))

        def end(code: int) -> None:
            ended.append(code)
            raise SystemExit

        monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.setattr(demisto, "updateModuleHealth", health.append)
        monkeypatch.setattr(os, "_exit", end)
        monkeypatch.setattr(sys, "stdin", io.StringIO("ping\n"))
        monkeypatch.setattr(demisto, "command", lambda: "test-module")
        with pytest.raises(SystemExit):
            load()
        assert "Choose demisto/syslog:1.0.0.12689358" in results[0]["Contents"]
        assert (health, ended) == ([], [])
        monkeypatch.setattr(demisto, "command", lambda: "long-running-execution")
        with pytest.raises(SystemExit):
            load()
        assert health == [results[0]["Contents"]]
        assert ended == [1]
        assert sys.stdin.read() == ""


# ---- the service


class ServerWithoutSocket(webhook.Server):
    """The server, but for its socket."""

    closed = False
    started: ClassVar[list["ServerWithoutSocket"]] = []
    failures: ClassVar[list[Exception]] = []

    def start(self) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.started.append(self)


class Platform:
    """XSOAR at the other end of a wire: it answers each line, and keeps what it was told."""

    def __init__(self, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wire = wire
        self.context: dict[str, str] = {}
        self.health: list[str] = []
        self.logs: list[str] = []
        self.created: list[dict[str, Any]] = []
        self.at_work: gevent.Greenlet
        for command in (
            "createIncidents",
            "getIntegrationContextVersioned",
            "setIntegrationContextVersioned",
            "updateModuleHealth",
            "info",
            "error",
            "heartbeat",
        ):
            monkeypatch.setattr(demisto, command, functools.partial(self.ask, command))

    @staticmethod
    def ask(command: str, *args: Any) -> Any:
        """Call the server as the platform's demisto object does."""
        sys.stdout.write(json.dumps([command, *args]) + "\n")
        sys.stdout.flush()
        return json.loads(sys.stdin.readline())

    def answer(self) -> None:
        """Answer until the wire is closed."""
        while line := self.wire.read_line():
            command, *args = json.loads(line)
            self.wire.write(
                json.dumps(getattr(self, command, lambda *_: None)(*args)).encode() + b"\n"
            )

    def createIncidents(self, incidents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.created += incidents
        return [
            {**incident, "id": str(number)}
            for number, incident in enumerate(incidents, len(self.created))
        ]

    def getIntegrationContextVersioned(self, _: bool) -> dict[str, Any]:
        return {"context": self.context, "version": 1}

    def setIntegrationContextVersioned(self, context: dict[str, str], *_: Any) -> None:
        self.context = context

    def updateModuleHealth(self, text: str) -> None:
        self.health.append(text)

    def info(self, text: str) -> None:
        self.logs += text.split("\n")

    error = info


class Instance:
    """A service at work, without a socket; ``stop`` is what SIGTERM does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, platform: Platform, **params: Any) -> None:
        self.platform = platform
        platform.wire.open()
        self.codes: list[int] = []
        self.stop: Callable[[], None] = lambda: None
        monkeypatch.setattr(webhook, "Server", ServerWithoutSocket)
        monkeypatch.setattr(ServerWithoutSocket, "started", [])
        monkeypatch.setattr(ServerWithoutSocket, "failures", [])
        monkeypatch.setattr(os, "_exit", self.end)
        monkeypatch.setattr(gevent, "signal_handler", self.take_signal)
        monkeypatch.setattr(gevent, "spawn", self.spawn)
        self.tasks: list[gevent.Greenlet] = []
        self.service = webhook.Service(settings(**params))

    def take_signal(self, _: int, stop: Callable[[], None]) -> None:
        self.stop = stop

    def spawn(self, *args: Any) -> gevent.Greenlet:
        self.tasks.append(gevent.Greenlet.spawn(*args))
        return self.tasks[-1]

    def end(self, code: int) -> None:
        self.codes.append(code)
        raise gevent.GreenletExit

    def run(self) -> "Instance":
        """Start the service in a greenlet."""
        self.platform.at_work = self.spawn(self.platform.answer)
        self.spawn(self.service.run)
        return self

    def listening(self) -> ServerWithoutSocket:
        """Return the server that listens, once there is one."""
        await_in_hub(lambda: bool(ServerWithoutSocket.started))
        return ServerWithoutSocket.started[-1]

    def post(self, data: bytes) -> bytes:
        """Return what a sender is answered."""
        sock = FakeSender(data)
        self.listening().handle(sock, ("192.0.2.1", 50_000))
        return sock.sent

    def ended(self) -> int:
        """Return how the process ended, once it has."""
        await_in_hub(lambda: bool(self.codes))
        return self.codes[0]


@pytest.fixture
def instance(
    monkeypatch: pytest.MonkeyPatch, wire: Wire, quick: list[float]
) -> Iterator[Callable[..., Instance]]:
    """Return a function that makes a service with some parameters, whose seconds are hundredths."""
    made: list[Instance] = []

    def make(**params: Any) -> Instance:
        made.append(Instance(monkeypatch, Platform(wire, monkeypatch), **params))
        return made[-1]

    yield make
    for one in made:
        gevent.killall(one.tasks)


class TestService:
    def test_it_serves_until_it_is_told_to_stop(self, instance: Callable[..., Instance]) -> None:
        """
        Given: an instance with samples and a duplication key
        When: it is started, gets requests, and SIGTERM
        Then: it answers, and what it knows is in the context before the process ends
        """
        one = instance(store_samples=True, duplication_key="n", name_from="a..b").run()
        assert b"200 OK" in one.post(posted())
        assert json.loads(one.post(posted()).rpartition(b"\r\n\r\n")[2]) == [
            {
                "id": "1",
                "name": "Generic webhook triggered incident",
                "occurred": one.platform.created[0]["occurred"],
                "duplicate": True,
            }
        ]
        await_in_hub(lambda: "Generic Webhook listens on port 8000 (HTTP)." in one.platform.logs)
        await_in_hub(
            lambda: any("Incident name: 'a..b' is no path" in text for text in one.platform.health)
        )
        one.stop()
        assert one.ended() == 0
        assert len(one.platform.created) == 1
        assert json.loads(one.platform.context["found_ids"]) == {"n,json:1": "1"}
        assert len(json.loads(one.platform.context["sample_events"])) == 1
        status = json.loads(one.platform.context["status"])
        assert (status["answers"], status["queued_incidents"]) == ({"200": 2}, 0)
        assert one.platform.logs[-2:] == [
            "Generic Webhook: 1 duplicates, 1 incidents created",
            "Generic Webhook stops.",
        ]
        assert b"503 Service Unavailable" in one.post(posted())

    def test_a_port_that_is_taken_is_told_until_it_is_free(
        self, instance: Callable[..., Instance], quick: list[float]
    ) -> None:
        one = instance()
        ServerWithoutSocket.failures = [OSError(98, "Address already in use")] * 7
        one.run().listening()
        await_in_hub(lambda: "Server: recovered" in one.platform.logs)
        assert any(
            "Listen Port: 8000 cannot be listened on (Address already in use)" in text
            for text in one.platform.health
        )
        await_in_hub(lambda: one.platform.health[-1] == "")
        assert [pause for pause in quick if pause in (2, 4, 8, 16, 30)] == [
            2,
            4,
            8,
            16,
            30,
            30,
        ]  # behind the first second

    @pytest.mark.parametrize(
        "params, sentence",
        [
            (
                {"longRunningPort": ""},
                "Listen Port: it is empty; enter a free port such as 8000 and save the instance.",
            ),
            ({"certificate": "no certificate", "key": "no key"}, "Certificate: "),
        ],
    )
    def test_without_a_port_or_a_certificate_it_waits_for_its_mend(
        self, instance: Callable[..., Instance], params: dict[str, str], sentence: str
    ) -> None:
        one = instance(**params).run()
        await_in_hub(lambda: any(sentence in text for text in one.platform.health))
        assert ServerWithoutSocket.started == []
        one.stop()
        assert one.ended() == 0

    def test_a_certificate_s_dates_are_looked_at_each_hour(
        self, instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook, "CERTIFICATE_CHECK_SECONDS", 0.05)
        leaf = trustme.CA().issue_cert(
            "webhook.example.com", not_after=datetime.now(UTC) + timedelta(days=30)
        )
        one = instance(certificate=pem(leaf.cert_chain_pems), key=private_key(leaf)).run()
        assert one.listening().tls is not None
        await_in_hub(lambda: "Generic Webhook listens on port 8000 (HTTPS)." in one.platform.logs)
        assert "".join(one.platform.health) == ""
        monkeypatch.setattr(webhook, "CERTIFICATE_WARNING_DAYS", 31)
        await_in_hub(lambda: any("certificate" in text.lower() for text in one.platform.health))

    def test_a_server_that_ended_is_started_again(self, instance: Callable[..., Instance]) -> None:
        one = instance().run()
        one.listening().closed = True
        await_in_hub(lambda: len(ServerWithoutSocket.started) == 2)
        assert b"200 OK" in one.post(posted())
        await_in_hub(
            lambda: "The server ended unexpectedly and is started again." in one.platform.logs
        )

    def test_a_part_that_failed_is_started_again(
        self, instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failures: list[Exception] = [KeyError("s3cret-value")]
        keep_promises = webhook.Webhook.keep_promises

        @functools.wraps(keep_promises)
        def fails(self: webhook.Webhook) -> None:
            if failures:
                raise failures.pop()
            keep_promises(self)

        monkeypatch.setattr(webhook.Webhook, "keep_promises", fails)
        one = instance().run()
        await_in_hub(
            lambda: (
                "Webhook.keep_promises failed and is started again: KeyError" in one.platform.logs
            )
        )
        assert not failures

    def test_a_failure_of_ours_is_told_by_its_place_alone(
        self, instance: Callable[..., Instance]
    ) -> None:
        one = instance().run()
        try:
            json.loads('{"password": s3cret-value}')
        except ValueError as error:
            one.listening().report_failure(error)
        one.listening().report_failure(ZeroDivisionError("s3cret-value"))
        await_in_hub(
            lambda: (
                len([line for line in one.platform.logs if line.startswith("A request failed in ")])
                == 2
            )
        )
        first, second = (
            line for line in one.platform.logs if line.startswith("A request failed in ")
        )
        assert re.fullmatch(r"A request failed in raw_decode, line [0-9]+: JSONDecodeError", first)
        assert second == "A request failed in unknown place: ZeroDivisionError"

    def test_the_minute_s_counters_are_logged(
        self, instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook, "REPORT_SECONDS", 0)
        one = instance().run()
        one.post(posted() + posted(b"{}", method=b"PATCH"))
        await_in_hub(
            lambda: "Generic Webhook: 1 answered 405, 1 incidents created" in one.platform.logs
        )

    def test_the_process_ends_when_xsoar_closes_the_wire(
        self, instance: Callable[..., Instance], wire: Wire, capsys: pytest.CaptureFixture[str]
    ) -> None:
        one = instance().run()
        one.listening()
        await_in_hub(lambda: bool(one.platform.logs))
        one.platform.at_work.kill()
        wire.close()
        assert one.ended() == 1
        assert "XSOAR closed the connection to this container; ending." in capsys.readouterr().err
        assert b"503 Service Unavailable" in one.post(posted())

    def test_the_process_ends_when_the_wire_is_out_of_step(
        self, instance: Callable[..., Instance], wire: Wire
    ) -> None:
        one = instance().run()
        await_in_hub(lambda: bool(one.platform.logs))
        one.platform.at_work.kill()
        wire.write(b"nobody asked for this\n")
        sock = FakeSender(posted())
        sender = gevent.spawn(one.listening().handle, sock, ("192.0.2.1", 50_000))
        assert one.ended() == 1
        sender.join(10)
        assert b"503 Service Unavailable" in sock.sent
        assert (
            b"the webhook is stopping" in sock.sent
        )  # what never left is settled at the end, not by the retries' end
        said = wire.read_line()
        while b"executeCommand" not in said:
            said = wire.read_line()
        assert "out of step" in json.loads(said)["args"]["err"]

    def test_a_body_that_keeps_the_second_thread_ends_the_process_at_last(
        self, instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = threading.Event()
        monkeypatch.setattr(webhook, "PARSER_SECONDS", 0.02)
        monkeypatch.setattr(webhook, "PARSER_STUCK_SECONDS", 0.3)
        make = webhook.make_incidents
        monkeypatch.setattr(webhook, "make_incidents", lambda *args: held.wait(10) and make(*args))
        one = instance().run()
        try:
            assert b"503 Service Unavailable" in one.post(
                posted(b'{"a": "' + b"x" * 40_000 + b'"}')
            )
            await_in_hub(
                lambda: any(
                    "One body keeps the webhook busy" in text for text in one.platform.health
                )
            )
            assert one.ended() == 0
            assert (
                "A body kept the webhook busy for too long; the instance starts again."
                in one.platform.logs
            )
        finally:
            held.set()

    def test_at_the_end_it_waits_for_what_is_under_way(
        self, instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = instance().run()
        one.listening()
        create, held = one.platform.createIncidents, gevent.event.Event()
        monkeypatch.setattr(
            one.platform, "createIncidents", lambda incidents: held.wait(10) and create(incidents)
        )
        sock = FakeSender(posted())
        sender = gevent.spawn(one.listening().handle, sock, ("192.0.2.1", 50_000))
        await_in_hub(lambda: one.service._writer.is_calling)
        one.stop()
        gevent.sleep(0.05)
        assert one.codes == []
        held.set()
        assert one.ended() == 0
        sender.join(10)
        assert b"200 OK" in sock.sent
