"""Unit tests of GenericWebhook.py: settings, commands, and the service."""

import contextlib
import functools
import gc
import importlib.util
import io
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import demistomock as demisto
import GenericWebhook as webhook
import gevent
import gevent.event
import HTTPServerApiModule
import pytest
import trustme
from test_data.helpers import (
    Sender,
    await_that,
    basic,
    content_of,
    credentials,
    posted,
    settings,
    statuses_of,
)

from Tests.xsoar_end import XsoarEnd

# ---- settings: every mistake names the parameter and how to fix it


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
        read = webhook.Settings.from_params({"longRunningPort": text})
        assert (read.port, read.mistakes) == (port, ())

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
        Given: a Listen Port that is not a port
        When: the parameters are read
        Then: the mistake names it and says what to enter
        """
        [mistake] = webhook.Settings.from_params({"longRunningPort": text}).mistakes
        assert str(mistake).startswith("Listen Port: enter a number from 1 to 65535")


class TestSettings:
    def test_nothing_but_a_port_is_enough(self) -> None:
        """
        Given: an instance with the required parameter alone, as a number, and empty ones next to it
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
        assert read.credentials.is_open
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
        Then: both are named, and nobody is authenticated
        """
        read = webhook.Settings.from_params(
            {"longRunningPort": "x", "credentials": credentials("user", "")}
        )
        assert [str(mistake).partition(":")[0] for mistake in read.mistakes] == [
            "Listen Port",
            "Password",
        ]
        refusal = read.credentials.verify_head("/", basic("user:")).refusal
        assert refusal is not None
        assert webhook.as_http_error(refusal).status == 401

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
        assert (read.accept_get, read.proxy) == (False, False)

    def test_they_are_read(self) -> None:
        read = settings(
            allowed_sources=["192.0.2.1"],
            trusted_proxies="::1",
            client_ca=" c ",
            accept_get="true",
            proxy="true",
        )
        assert [str(network) for network in read.allowed_sources | read.trusted_proxies] in (
            ["192.0.2.1/32", "::1/128"],
            ["::1/128", "192.0.2.1/32"],
        )
        assert (read.client_ca, read.accept_get, read.proxy) == ("c", True, True)

    @pytest.mark.parametrize(
        "name, display",
        [("accept_get", "Accept GET"), ("proxy", "Use system proxy settings")],
    )
    def test_what_is_not_a_tick_is_named(self, name: str, display: str) -> None:
        [mistake] = settings(**{name: "perhaps"}).mistakes
        assert str(mistake) == f"{display}: tick it or leave it empty."


class TestWhoMaySend:
    """A mistake in what decides about senders authenticates nobody until it is corrected."""

    @staticmethod
    def admits_nobody(read: webhook.Settings) -> bool:
        return not read.credentials.verify_head("/", basic("user:pass"), "token=x").by_head

    @pytest.mark.parametrize(
        "name, display",
        [("allowed_sources", "Allowed sources"), ("trusted_proxies", "Trusted proxies")],
    )
    @pytest.mark.parametrize(
        "value",
        ["192.0.2.0/33", "example.com", "192.0.2", "192.0.2.1-192.0.2.9", "192.0.2.*", "::/129"],
    )
    def test_a_mistyped_network_is_named_and_admits_nobody(
        self, name: str, display: str, value: str
    ) -> None:
        read = settings(**{name: f"192.0.2.1, {value}"})
        with pytest.raises(ValueError, match=f"^{display}: {re.escape(value)} is no"):
            webhook.test_module(read)
        assert self.admits_nobody(read)
        assert not self.admits_nobody(settings(**{name: "192.0.2.1"}))

    @pytest.mark.parametrize(
        "username, password, words",
        [
            ("_standard-webhooks", "whsec_", "whsec_ followed by base64"),
            ("_standard-webhooks", "whsec_%%%", "whsec_ followed by base64"),
            (
                "_standard-webhooks",
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw nö",
                "whsec_ followed by base64",
            ),
            ("_standard-webhooks", "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "asymmetric"),
            ("_slack", "xoxb-1-2", "Signing Secret"),
            ("_stripe:Stripe-Signature", "sk_live_1", "signing secret, whsec_"),
            ("_hmac:X-Sum", "  ", "white space"),
            ("_query:token", "\t", "white space"),
        ],
    )
    def test_a_malformed_secret_is_explained_and_admits_nobody(
        self, username: str, password: str, words: str
    ) -> None:
        """
        Given: a secret that nothing can be signed with, or the wrong one of a vendor's secrets
        When: the user clicks Test
        Then: the error names the parameter and what to do, and shows nothing of the secret
        """
        read = settings(credentials=credentials(username, password))
        with pytest.raises(ValueError, match=r"^Password: ") as mistake:
            webhook.test_module(read)
        assert words in str(mistake.value)
        secret = password.strip()[8:]
        assert secret == "" or secret not in str(mistake.value)
        assert self.admits_nobody(read)

    def test_a_mistake_in_anything_else_admits_as_before(self) -> None:
        read = settings(credentials=credentials("user", "pass"), name_from="a..b", port="x")
        assert read.mistakes
        assert not self.admits_nobody(read)


class TestMetricsParameter:
    @pytest.mark.parametrize(
        "params, serves",
        [
            ({}, False),
            ({"credentials": credentials("user", "pass")}, True),
            ({"credentials": credentials("_query:token", "s3cret-token")}, True),
            ({"credentials": credentials("_hmac:X-Sum", "key")}, False),
            ({"allowed_sources": "192.0.2.0/24"}, True),
            (
                {
                    "credentials": credentials("_hmac:X-Sum", "key"),
                    "allowed_sources": "192.0.2.0/24",
                },
                True,
            ),
        ],
    )
    def test_metrics_need_an_address_or_a_credential(
        self, params: dict[str, Any], serves: bool
    ) -> None:
        """
        Given: an instance that is to serve metrics
        When: neither an address nor a credential that needs no body guards them
        Then: they are off, and the mistake says what to set
        """
        read = settings(metrics="true", **params)
        assert read.metrics == serves
        sentences = [str(mistake) for mistake in read.mistakes]
        assert sentences == (
            [] if serves else [f"Serve metrics for Prometheus: {webhook.METRICS_FIX}"]
        )
        assert not settings(**params).metrics


def test_each_parameter_has_a_field_and_a_name_of_its_own() -> None:
    """
    Given: the table of parameters
    When: it is compared with the settings' fields
    Then: no name is there twice, and each field is one of the settings'
    """
    rows = webhook.PARAMETERS
    for names in ([row.name for row in rows], [row.display for row in rows]):
        assert len(set(names)) == len(rows)
    fields = {row.field for row in rows}
    others = {"credentials", "instance", "mirroring", "hidden", "mistakes"}
    assert fields | others == set(webhook.Settings.__dataclass_fields__)


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

    def test_the_test_button_reports_all_that_is_wrong(
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
        lines = results[0]["Contents"].splitlines()
        assert [line.partition(":")[0] for line in lines] == [
            "Listen Port",
            "Username",
            "Private Key",
        ]

    @pytest.mark.parametrize("days, says", [(300, ""), (3, "it expires in")])
    def test_the_test_button_looks_at_the_certificate(
        self, monkeypatch: pytest.MonkeyPatch, results: list[Any], days: int, says: str
    ) -> None:
        """
        Given: a certificate that is valid for long, or not for long
        When: the user clicks Test
        Then: ok, or an error that says when it expires
        """
        leaf = trustme.CA().issue_cert(
            "webhook.example.com", not_after=datetime.now(UTC) + timedelta(days=days, hours=1)
        )
        with pytest.raises(SystemExit) if says else contextlib.nullcontext():
            run_main(
                monkeypatch,
                "test-module",
                longRunningPort="8000",
                certificate="".join(blob.bytes().decode() for blob in leaf.cert_chain_pems),
                key=leaf.private_key_pem.bytes().decode(),
            )
        assert says in results[0]["Contents"] if says else results == ["ok"]

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
        assert json.loads(demisto.integrationContext["others"]) == {
            "a": 1
        }  # a text, as it has to be
        [entry] = results
        samples, events = forgotten
        assert entry["EntryContext"] == {
            "GenericWebhook.Reset": {"What": what, "Samples": samples, "Events": events}
        }

    def test_two_resets_before_the_container_finds_them_both_count(
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
        assert results[0]["Contents"] == "what: choose from samples, events, all."

    @pytest.mark.parametrize("stale, works", [(4, True), (5, False)])
    def test_a_reset_tries_five_times_while_others_write(
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

    def test_an_answer_that_cannot_be_read_ends_a_reset(
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
            "counters": {"incidents created": 5, "duplicates": 2, "alerts ended": 4},
            "senders": {"github-alert": 4, "unknown": 1},
            "open_alerts": 6,
            "waiting_notes": 1,
            "ignored": {"status=resolved": 2},
            "refusals": [{"Time": "then", "Status": 401, "Sentence": "Send it."}],
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
            "OpenAlerts": 6,
            "EndedAlerts": 4,
            "WaitingNotes": 1,
            "FailedAuthentications": 0,
            "Answers": status["answers"],
            "Senders": status["senders"],
            "Ignored": status["ignored"],
            "Refusals": status["refusals"],
            "Counters": status["counters"],
        }
        assert "Answers 401" in entry["HumanReadable"]
        assert "Events of github-alert" in entry["HumanReadable"]
        assert "Ignored by status=resolved" in entry["HumanReadable"]
        assert "Last refusals" in entry["HumanReadable"] and "Send it." in entry["HumanReadable"]

    @pytest.mark.parametrize("context", [{}, {"status": "{"}, {"status": "5"}])
    def test_without_a_status_the_command_says_so(
        self, monkeypatch: pytest.MonkeyPatch, results: list[Any], context: dict[str, str]
    ) -> None:
        monkeypatch.setattr(demisto, "integrationContext", context)
        run_main(monkeypatch, "generic-webhook-status", longRunningPort="8000")
        assert "There are no figures yet" in results[0]["HumanReadable"]

    def test_the_long_running_command_goes_on_though_it_fails_at_first(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a service that cannot be put together at first
        When: the instance is started
        Then: the health shows the failure's kind and nothing else of it; at last the service runs
        """
        events: list[str] = []
        made: list[webhook.Settings] = []

        class Failing:
            def __init__(self, params: webhook.Settings) -> None:
                made.append(params)
                if len(made) == 1:
                    raise KeyError("s3cret-value")

            def run(self) -> None:
                events.append("it runs")

        kept = sys.getswitchinterval(), threading.stack_size(), gc.get_threshold()
        monkeypatch.setattr(webhook, "Service", Failing)
        monkeypatch.setattr(webhook.time, "sleep", lambda seconds: events.append(f"{seconds} s"))
        monkeypatch.setattr(demisto, "updateModuleHealth", events.append)
        try:
            run_main(monkeypatch, "long-running-execution", longRunningPort="8000")
            assert threading.stack_size() == webhook.THREAD_STACK_BYTES
        finally:
            sys.setswitchinterval(kept[0])
            threading.stack_size(kept[1])
            gc.set_threshold(*kept[2])
            gc.unfreeze()
        assert events == ["Generic Webhook failed and is started again: KeyError", "5 s", "it runs"]
        assert [params.port for params in made] == [8000, 8000]

    @pytest.mark.parametrize("module", ["bottle", "gevent", "gevent.lock"])
    def test_a_missing_module_is_explained(
        self, monkeypatch: pytest.MonkeyPatch, results: list[Any], module: str
    ) -> None:
        """
        Given: an image without a module
        When: the script is loaded for the Test button, and for the service
        Then: an error says what to do; the service says it in the instance's health, and ends once
            XSOAR closes the connection
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


class LocalServer(webhook.Server):
    """The server, on a free port of 127.0.0.1 whatever the instance's is."""

    started: ClassVar[list["LocalServer"]] = []
    failures: ClassVar[list[Exception]] = []  # of the next attempts to listen

    def __init__(self, _: Any, *args: Any) -> None:
        super().__init__(("127.0.0.1", 0), *args)

    def start(self) -> None:
        if self.failures:
            raise self.failures.pop(0)
        super().start()
        self.started.append(self)


class Platform:
    """XSOAR at the other end of the connection: it answers each call, and keeps what arrived."""

    def __init__(self, end: XsoarEnd, monkeypatch: pytest.MonkeyPatch) -> None:
        self.end = end
        self.context: dict[str, str] = {}
        self.health: list[str] = []
        self.logs: list[str] = []
        self.created: list[dict[str, Any]] = []
        self.unanswered: list[dict[str, Any]] = []
        self.running: gevent.Greenlet
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
        """Call XSOAR as the platform's demisto object does."""
        sys.stdout.write(json.dumps([command, *args]) + "\n")
        sys.stdout.flush()
        return json.loads(sys.stdin.readline())

    def answer(self) -> None:
        """Answer until the connection is closed."""
        while line := self.end.read_line():
            call = json.loads(line)
            if isinstance(call, dict):
                self.unanswered.append(call)
                continue
            command, *args = call
            result = getattr(self, command, lambda *_: None)(*args)
            self.end.write(json.dumps(result).encode() + b"\n")

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
    """A running service on a port of its own; ``stop`` is what SIGTERM does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, platform: Platform, **params: Any) -> None:
        self.platform = platform
        platform.end.open()
        self.codes: list[int] = []
        self.stop: Callable[[], None] = lambda: None
        monkeypatch.setattr(webhook, "Server", LocalServer)
        monkeypatch.setattr(LocalServer, "started", [])
        monkeypatch.setattr(LocalServer, "failures", [])
        monkeypatch.setattr(os, "_exit", self.end)
        monkeypatch.setattr(gevent, "signal_handler", self.take_signal)
        monkeypatch.setattr(gevent, "spawn", self.spawn)
        self.tasks: list[gevent.Greenlet] = []
        self.senders: list[Sender] = []
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
        self.platform.running = self.spawn(self.platform.answer)
        self.spawn(self.service.run)
        return self

    def close(self) -> None:
        for sender in self.senders:
            sender.close()
        for server in LocalServer.started:
            server.stop(timeout=0.1)
        gevent.killall(self.tasks)

    def listening(self) -> LocalServer:
        """Return the server that listens, once there is one."""
        await_that(lambda: LocalServer.started)
        return LocalServer.started[-1]

    def begin(self, data: bytes) -> Sender:
        """Send requests; the sender holds what it is answered."""
        self.senders.append(Sender(self.listening().address, data))
        return self.senders[-1]

    def post(self, data: bytes) -> bytes:
        """Return what a sender is answered."""
        return self.begin(data).answers()

    def ended(self) -> int:
        """Return how the process ended, once it has."""
        await_that(lambda: self.codes)
        return self.codes[0]


@pytest.fixture
def instance(
    monkeypatch: pytest.MonkeyPatch, xsoar_end: XsoarEnd, quick: list[float]
) -> Iterator[Callable[..., Instance]]:
    """Return a function that makes a service with some parameters, whose seconds are hundredths."""
    made: list[Instance] = []

    def make(**params: Any) -> Instance:
        made.append(Instance(monkeypatch, Platform(xsoar_end, monkeypatch), **params))
        return made[-1]

    yield make
    for one in made:
        one.close()


class TestService:
    def test_it_serves_until_it_is_stopped(
        self, instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: an instance with samples and a duplication key
        When: it is started, gets requests, and SIGTERM
        Then: it answers, and what it knows is in the context before the process ends
        """
        monkeypatch.setattr(webhook, "LAST_FLUSH_SECONDS", 10)
        one = instance(store_samples=True, duplication_key="n", name_from="a..b").run()
        assert b"200 OK" in one.post(posted())
        assert content_of(one.post(posted())) == [
            {
                "id": "1",
                "name": "Generic webhook triggered incident",
                "occurred": one.platform.created[0]["occurred"],
                "duplicate": True,
            }
        ]
        await_that(lambda: "Generic Webhook listens on port 8000 (HTTP)." in one.platform.logs)
        await_that(
            lambda: any("Incident name: 'a..b' is no" in text for text in one.platform.health)
        )
        one.stop()
        assert one.ended() == 0
        assert len(one.platform.created) == 1
        assert json.loads(one.platform.context["found_ids"]) == {"n,json:1": "1"}
        assert len(json.loads(one.platform.context["sample_events"])) == 1
        status = json.loads(one.platform.context["status"])
        assert (status["answers"], status["queued_incidents"]) == ({"200": 2}, 0)
        last = ["Generic Webhook: 1 duplicate, 1 incident created", "Generic Webhook stops."]
        await_that(lambda: one.platform.logs[-2:] == last)
        assert b"503 Service Unavailable" in one.post(posted())

    def test_a_port_that_is_taken_is_reported_until_it_is_free(
        self, instance: Callable[..., Instance], quick: list[float]
    ) -> None:
        one = instance()
        LocalServer.failures = [OSError(98, "Address already in use")] * 7
        one.run().listening()
        await_that(lambda: "Server: recovered" in one.platform.logs)
        assert any(
            "Listen Port: 8000 cannot be listened on (Address already in use)" in text
            for text in one.platform.health
        )
        await_that(lambda: one.platform.health[-1] == "")
        assert [pause for pause in quick if pause in (2, 4, 8, 16, 30)] == [
            2,
            4,
            8,
            16,
            30,
            30,
        ]  # after the first second

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
    def test_without_a_port_or_a_usable_certificate_it_waits_for_a_correction(
        self, instance: Callable[..., Instance], params: dict[str, str], sentence: str
    ) -> None:
        one = instance(**params).run()
        await_that(lambda: any(sentence in text for text in one.platform.health))
        assert LocalServer.started == []
        one.stop()
        assert one.ended() == 0

    def test_a_certificate_s_dates_are_looked_at_each_hour(
        self, instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook, "CERTIFICATE_CHECK_SECONDS", 0.05)
        leaf = trustme.CA().issue_cert(
            "webhook.example.com", not_after=datetime.now(UTC) + timedelta(days=30)
        )
        one = instance(
            certificate="".join(blob.bytes().decode() for blob in leaf.cert_chain_pems),
            key=leaf.private_key_pem.bytes().decode(),
        ).run()
        assert one.listening().tls is not None
        await_that(lambda: "Generic Webhook listens on port 8000 (HTTPS)." in one.platform.logs)
        assert "".join(one.platform.health) == ""
        monkeypatch.setattr(HTTPServerApiModule, "CERTIFICATE_WARNING_DAYS", 31)
        await_that(lambda: any("certificate" in text.lower() for text in one.platform.health))

    def test_a_server_that_ended_is_started_again(self, instance: Callable[..., Instance]) -> None:
        one = instance().run()
        one.listening().close()
        await_that(lambda: len(LocalServer.started) == 2)
        assert b"200 OK" in one.post(posted())
        await_that(
            lambda: "The server ended unexpectedly and is started again." in one.platform.logs
        )

    def test_a_part_that_failed_is_started_again(
        self, instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failures: list[Exception] = [KeyError("s3cret-value")]
        send_early_answers = webhook.Webhook.send_early_answers

        @functools.wraps(send_early_answers)
        def fails(self: webhook.Webhook) -> None:
            if failures:
                raise failures.pop()
            send_early_answers(self)

        monkeypatch.setattr(webhook.Webhook, "send_early_answers", fails)
        one = instance().run()
        await_that(
            lambda: (
                "Webhook.send_early_answers failed and is started again: KeyError"
                in one.platform.logs
            )
        )
        assert not failures

    def test_a_failure_of_ours_is_reported_by_its_place_alone(
        self, instance: Callable[..., Instance]
    ) -> None:
        one = instance().run()
        try:
            json.loads('{"password": s3cret-value}')
        except ValueError as error:
            one.listening().report_failure(error)
        one.listening().report_failure(ZeroDivisionError("s3cret-value"))
        await_that(
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
        one.post(posted() + posted(b"{}", method=b"PURGE"))
        await_that(
            lambda: "Generic Webhook: 1 answered 405, 1 incident created" in one.platform.logs
        )

    def test_the_hour_s_unknown_senders_are_logged(
        self, instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook, "UNKNOWN_REPORT_SECONDS", 0)
        one = instance(recognize="known senders").run()
        one.post(posted(b'{"heat": "s3cret-value"}'))
        await_that(
            lambda: "Events of unknown senders: 1 with the keys 'heat'." in one.platform.logs
        )

    def test_the_status_tells_the_events_of_each_sender(
        self, instance: Callable[..., Instance]
    ) -> None:
        """
        Given: an instance that has counted events of a known sender and of unknown ones
        When: it writes its status
        Then: both are there, the one with the most events first
        """
        one = instance(recognize="known senders", store_samples="true").run()
        finding = {"findingArn": "a", "awsAccountId": "1", "firstObservedAt": "2024-05-01"}
        one.post(posted(json.dumps(finding).encode()) + posted(b'[{"heat": 1}, {"heat": 2}]'))
        one.stop()
        assert one.ended() == 0
        status = json.loads(one.platform.context["status"])
        assert list(status["senders"].items()) == [("unknown", 2), ("aws-inspector2", 1)]

    def test_the_process_ends_when_xsoar_closes_the_connection(
        self,
        instance: Callable[..., Instance],
        xsoar_end: XsoarEnd,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        one = instance().run()
        one.listening()
        await_that(lambda: bool(one.platform.logs))
        one.platform.running.kill()
        xsoar_end.close()
        assert one.ended() == 1
        assert "XSOAR closed the connection to this container; ending." in capsys.readouterr().err
        assert b"503 Service Unavailable" in one.post(posted())

    def test_the_process_ends_when_the_connection_is_out_of_step(
        self, instance: Callable[..., Instance], xsoar_end: XsoarEnd
    ) -> None:
        one = instance().run()
        await_that(lambda: any("listens on" in line for line in one.platform.logs))
        one.platform.running.kill()
        xsoar_end.write(b"nobody asked for this\n")
        sender = one.begin(posted())
        assert one.ended() == 1
        received = sender.answers()
        assert statuses_of(received) == [503]
        # What never left is settled at the end, not by the end of the retries.
        assert b"the webhook is stopping" in received
        line = xsoar_end.read_line()
        while b"executeCommand" not in line:
            line = xsoar_end.read_line()
        assert "out of step" in json.loads(line)["args"]["err"]

    def test_a_body_that_keeps_the_worker_thread_ends_the_process_at_last(
        self, instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = threading.Event()
        monkeypatch.setattr(webhook, "PARSER_SECONDS", 0.02)
        monkeypatch.setattr(webhook, "PARSER_STUCK_SECONDS", 0.3)
        make = webhook.EventMaker.make
        monkeypatch.setattr(webhook.EventMaker, "make", lambda *args: held.wait(10) and make(*args))
        one = instance().run()
        try:
            assert b"503 Service Unavailable" in one.post(
                posted(b'{"a": "' + b"x" * 40_000 + b'"}')
            )
            await_that(
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

    def test_a_stop_waits_for_what_is_in_progress(
        self, instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = instance().run()
        one.listening()
        create, held = one.platform.createIncidents, gevent.event.Event()
        monkeypatch.setattr(
            one.platform, "createIncidents", lambda incidents: held.wait(10) and create(incidents)
        )
        sender = one.begin(posted())
        await_that(lambda: one.service._writer.is_calling)
        one.stop()
        gevent.sleep(0.05)
        assert one.codes == []
        held.set()
        assert one.ended() == 0
        assert statuses_of(sender.answers()) == [200]

    def test_what_was_accepted_early_survives_a_stop_while_xsoar_hangs(
        self, instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a request that was answered 202, and a createIncidents that does not return
        When: the instance is stopped
        Then: the context with the event is sent without an answer being awaited, before the process
            ends
        """
        monkeypatch.setattr(webhook, "DRAIN_SECONDS", 0.2)
        monkeypatch.setattr(webhook, "LAST_FLUSH_SECONDS", 0.2)
        one = instance(answer_seconds="0.2", store_samples=True).run()
        held = gevent.event.Event()
        monkeypatch.setattr(one.platform, "createIncidents", lambda incidents: held.wait(10))
        sender = one.begin(posted())
        await_that(lambda: statuses_of(sender.received) == [202])
        delivery = content_of(sender.answers())["request"]
        one.platform.running.kill()  # XSOAR reads nothing while it works
        one.stop()
        assert one.ended() == 0
        lines = []
        while not one.platform.end.is_silent():
            lines.append(json.loads(one.platform.end.read_line()))
        [left] = [line for line in lines if isinstance(line, dict)]
        assert (left["type"], left["command"]) == ("executeCommand", "setIntegrationContext")
        [item] = json.loads(left["args"]["value"]["promised"])
        assert (item["request"], item["index"]) == (delivery, 0)
        assert delivery in item["fields"]["rawJSON"]

    @pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "out of step"])
    def test_what_was_accepted_early_survives_the_end_of_the_connection(
        self,
        instance: Callable[..., Instance],
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
        is_closed: bool,
    ) -> None:
        """
        Given: a request that was answered 202, and that XSOAR refuses at the moment
        When: XSOAR closes its writing end of the connection, or sends a line nobody asked for
        Then: the context with the event is sent before the process ends
        """
        one = instance(answer_seconds="0.1").run()

        def refuse(incidents: Any) -> Any:
            raise ValueError("not now")

        monkeypatch.setattr(demisto, "createIncidents", refuse)
        sender = one.begin(posted())
        await_that(lambda: statuses_of(sender.received) == [202])
        delivery = content_of(sender.answers())["request"]
        await_that(lambda: "promised" in one.platform.context)
        if is_closed:
            one.platform.end.close_writing()
        else:
            one.platform.end.write(b"nobody asked for this\n")
        assert one.ended() == 1
        await_that(lambda: one.platform.unanswered[-1:])
        await_that(lambda: one.platform.unanswered[-1]["command"] == "setIntegrationContext")
        [item] = json.loads(one.platform.unanswered[-1]["args"]["value"]["promised"])
        assert item["request"] == delivery

    def test_what_an_earlier_start_accepted_is_created(
        self, instance: Callable[..., Instance]
    ) -> None:
        one = instance()
        fields = {
            "name": "left over",
            "occurred": "2024-05-01T12:00:00Z",
            "rawJSON": '{"n":1,"headers":{},"webhook":{"delivery":"0123456789ab/3"}}',
        }
        item = {"fields": fields, "key": None, "request": "0123456789ab", "index": 3}
        one.platform.context = {"promised": json.dumps([item])}
        one.run()
        await_that(lambda: one.platform.created == [fields])
        await_that(lambda: "promised" not in one.platform.context)
