"""An alert from its start to its end: one incident, whatever happens in between.

What Alertmanager posts stands for all known senders; the last test has it and Prometheus post
themselves.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from Tests.end_to_end.proxies import process, program
from Tests.end_to_end.sender import Answer, Sender, await_that, running
from Tests.sandbox import Sandbox, free_port

NOTE, CLOSE = "Note in the incident", "Close the incident"
START = "2024-05-01T12:00:00Z"
CLOSED, ACTIVE = 2, 1


def alert(name: str, status: str = "firing", start: str = START, **labels: str) -> dict[str, Any]:
    """Return an alert as Alertmanager posts it; its words have its name and its start."""
    return {
        "status": status,
        "labels": {"alertname": "DiskFull", "instance": name, "severity": "warning", **labels},
        "annotations": {"summary": f"<{name} since {start}>"},
        "startsAt": start,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://prometheus.example.com/graph",
        "fingerprint": name,
    }


def post(sender: Sender, *alerts: dict[str, Any], **headers: str) -> Answer:
    body = {"version": "4", "receiver": "xsoar", "groupLabels": {}, "alerts": list(alerts)}
    return sender.post(json.dumps(body), "application/json", **headers)


def entries(sender: Sender, incident: str) -> list[str]:
    """Return the first lines of an incident's War Room entries."""
    [found] = [one for one in sender.sandbox.incidents() if one["id"] == incident]
    return [entry["text"].split("\n")[0] for entry in found.get("entries", ())]


def named(sender: Sender, name: str) -> list[dict[str, Any]]:
    """Return the incidents of an alert's identity."""
    return [one for one in sender.sandbox.incidents() if f"<{name} since" in one["name"]]


@pytest.fixture(scope="module")
def noting() -> Iterator[Sender]:
    with running() as sender:
        yield sender


@pytest.fixture
def closing() -> Iterator[Sender]:
    with running(params={"alert_updates": CLOSE}) as sender:
        yield sender


def test_a_repeated_alert_is_no_second_incident_and_its_end_is_noted(noting: Sender) -> None:
    """Given: a new instance with nothing configured."""
    first = post(noting, alert("web1"), alert("web2")).json
    again = post(noting, alert("web1")).json
    assert again == [
        {name: first[0][name] for name in ("id", "name", "occurred")} | {"duplicate": True}
    ]
    ended = post(noting, alert("web1", "resolved")).json
    assert [one["id"] for one in ended] == [first[0]["id"]]
    assert ended[0]["ended"]
    await_that(lambda: entries(noting, first[0]["id"]))
    assert entries(noting, first[0]["id"]) == [
        f"The alert has ended: DiskFull: <web1 since {START}>"
    ]
    [incident] = named(noting, "web1")
    assert "https://prometheus.example.com/graph" in incident["entries"][0]["text"]
    assert "status: resolved" in incident["entries"][0]["text"]
    assert entries(noting, first[1]["id"]) == []
    later = post(noting, alert("web1", start="2024-05-01T13:00:00Z")).json
    assert "duplicate" not in later[0]
    assert len(named(noting, "web1")) == 2


def test_an_end_alone_is_informational_and_swallows_no_start(noting: Sender) -> None:
    post(noting, alert("lone", "resolved"))
    [incident] = named(noting, "lone")
    assert incident["name"].startswith("Ended: ")
    assert incident["severity"] == 0.5
    post(noting, alert("lone"))
    assert len(named(noting, "lone")) == 2


def test_a_higher_severity_is_noted(noting: Sender) -> None:
    [first] = post(noting, alert("worse")).json
    post(noting, alert("worse", severity="critical"))
    await_that(lambda: entries(noting, first["id"]))
    assert entries(noting, first["id"]) == [
        f"The severity has risen to 4: DiskFull: <worse since {START}>"
    ]


def test_an_alert_posted_by_two_at_once_is_one_incident(noting: Sender) -> None:
    noting.sandbox.faults.latency["createIncidents"] = 0.3
    try:
        answers: list[Answer] = []
        threads = [
            threading.Thread(target=lambda: answers.append(post(noting, alert("pair"))))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        noting.sandbox.faults.latency.clear()
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json[0]["id"] for answer in answers}) == len(named(noting, "pair")) == 1


def test_a_refused_start_swallows_nothing(noting: Sender) -> None:
    noting.sandbox.faults.outage = True
    try:
        assert post(noting, alert("refused")).status == 503
    finally:
        noting.sandbox.faults.outage = False
    assert post(noting, alert("refused")).status == 200
    assert len(named(noting, "refused")) == 1


def test_an_unknown_sender_s_alert_ends_by_the_parameters() -> None:
    params = {"duplication_key": "check", "ended_when": "state=up|ok"}
    with running(params=params) as sender:
        bodies = [{"check": "c1", "state": state} for state in ("down", "UP", "down")]
        first, ended, again = (sender.post(json.dumps(body)).json[0] for body in bodies)
        assert ended["id"] == first["id"] != again["id"]
        assert len(sender.sandbox.incidents()) == 2


def test_an_instance_from_before_makes_an_incident_of_each_event() -> None:
    with running(params={"alert_updates": ""}) as sender:
        for status in ("firing", "firing", "resolved"):
            post(sender, alert("old", status))
        assert [one["severity"] for one in named(sender, "old")] == [2, 2, 2]
        assert not set(sender.sandbox.context()) & {"open_alerts", "alert_notes"}
        assert sender.sandbox.calls["addEntry"] == 0


# ---- closing


def test_an_end_closes_the_incident_and_the_same_start_opens_it_again(closing: Sender) -> None:
    sandbox = closing.sandbox
    [first, _] = post(closing, alert("web1"), alert("web2")).json
    assert sandbox.mirror() == []
    post(closing, alert("web1", "resolved"))
    [mark] = sandbox.mirror()
    [incident] = named(closing, "web1")
    assert (incident["dbotMirrorId"], incident["status"]) == (mark, CLOSED)
    assert incident["closeReason"] == "Resolved"
    assert "status: resolved" in incident["closeNotes"]
    assert sandbox.mirror() == []
    post(closing, alert("web1"))
    assert sandbox.mirror() == [mark]
    [incident] = named(closing, "web1")
    assert (incident["id"], incident["status"]) == (first["id"], ACTIVE)
    [other] = named(closing, "web2")
    assert "status" not in other


def test_the_server_s_own_fields_are_not_needed_where_the_mapper_maps(closing: Sender) -> None:
    """Given: a server whose createIncidents does not take the mirroring fields."""
    store = closing.sandbox.store
    post(closing, alert("mapped"))
    store.change(1, lambda one: {k: v for k, v in one.items() if not k.startswith("dbotMirror")})
    post(closing, alert("mapped", "resolved"))
    assert len(closing.sandbox.mirror()) == 1
    assert named(closing, "mapped")[0]["status"] == CLOSED


def test_the_server_asks_again_and_again(tmp_path: Path) -> None:
    arguments = {"params": {"alert_updates": CLOSE}, "mirror_every": 0.3}
    with running(**arguments, store=tmp_path / "xsoar.sqlite3") as sender:
        post(sender, alert("minute"))
        post(sender, alert("minute", "resolved"))
        await_that(lambda: named(sender, "minute")[0].get("status") == CLOSED, 20)
        assert len(entries(sender, "1")) == 2


def test_a_clash_of_versions_hands_nothing_over_twice(closing: Sender) -> None:
    post(closing, alert("clash"))
    post(closing, alert("clash", "resolved"))
    closing.sandbox.faults.stale = 100
    assert len(closing.sandbox.mirror()) == 1
    assert "status" not in named(closing, "clash")[0]
    closing.sandbox.faults.stale = 0
    assert len(closing.sandbox.mirror()) == 1
    assert closing.sandbox.mirror() == []
    assert named(closing, "clash")[0]["status"] == CLOSED
    assert [text for _, text in closing.sandbox.logs if "mirroring" in text] == []


# ---- over a stop


def test_a_note_that_waits_survives_a_stop(closing: Sender) -> None:
    """
    Given: XSOAR does not take entries, and an alert ends
    When: the instance is stopped and started again, and entries are taken
    Then: the end is noted, once, and closes the incident
    """
    sandbox = closing.sandbox
    sandbox.faults.fail["addEntry"] = 1000
    [first] = post(closing, alert("stop")).json
    assert post(closing, alert("stop", "resolved")).status == 200
    sandbox.restart()
    assert entries(closing, first["id"]) == []
    sandbox.faults.fail.clear()
    await_that(lambda: entries(closing, first["id"]))
    assert post(closing, alert("stop", "resolved")).json == [{"id": first["id"], "duplicate": True}]
    assert len(sandbox.mirror()) == 1
    assert len(entries(closing, first["id"])) == 2


def test_an_end_that_was_answered_survives_a_kill(noting: Sender) -> None:
    sandbox = noting.sandbox
    [first] = post(noting, alert("kill")).json
    sandbox.faults.latency["addEntry"] = 2.0
    try:
        assert post(noting, alert("kill", "resolved")).status == 200
        sandbox.kill()
    finally:
        sandbox.faults.latency.clear()
    sandbox.restart()
    await_that(lambda: entries(noting, first["id"]))


def test_a_reset_forgets_open_alerts(noting: Sender) -> None:
    post(noting, alert("reset"))
    await_that(lambda: "alertmanager:reset" in noting.sandbox.context().get("open_alerts", ""), 15)
    noting.sandbox.run("generic-webhook-reset", {"what": "events"})
    await_that(lambda: "reset" not in noting.sandbox.context(), 15)
    assert "alertmanager:reset" not in noting.sandbox.context().get("open_alerts", "")
    post(noting, alert("reset"))
    assert len(named(noting, "reset")) == 2


# ---- any history


@dataclass
class History:
    """A random history of 50 identities, and what has to be true at its end."""

    seed: int
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)  # starts
    ended: set[tuple[str, str]] = field(default_factory=set)
    current: dict[str, str] = field(default_factory=dict)  # the start of each identity's alert
    firing: set[str] = field(default_factory=set)
    fresh: set[tuple[str, str]] = field(default_factory=set)  # not in the context for certain
    may_repeat: set[tuple[str, str]] = field(default_factory=set)  # fresh at a kill
    late: list[tuple[str, str]] = field(default_factory=list)  # ends that have not been sent
    number: int = 0  # of starts

    def run(self, sender: Sender, steps: int) -> None:
        chance = random.Random(self.seed)
        for _ in range(steps):
            dice = chance.random()
            if dice < 0.02:
                sender.sandbox.restart()
            elif dice < 0.04:
                sender.sandbox.kill()
                self.may_repeat |= self.fresh
                sender.sandbox.restart()
            elif dice < 0.10:
                sender.sandbox.faults.stale = chance.randint(1, 3)
            elif dice < 0.14:
                sender.sandbox.faults.fail["createIncidents"] = chance.randint(1, 3)
            elif dice < 0.18:
                sender.sandbox.faults.fail["addEntry"] = chance.randint(1, 4)
            else:
                names = {f"h{chance.randrange(50)}" for _ in range(chance.randint(1, 5))}
                alerts = [self.next(name, chance) for name in sorted(names)]
                self.deliver(sender, [one for one in alerts if one])

    def next(self, name: str, chance: random.Random) -> dict[str, Any] | None:
        """Return what the alert of an identity posts next; None for an end that is lost."""
        if name not in self.firing:
            if chance.random() < 0.15 and name in self.current:  # the end again
                return alert(name, "resolved", self.current[name])
            self.number += 1
            self.current[name] = f"2024-05-01T{self.number // 60:02}:{self.number % 60:02}:00Z"
            if chance.random() < 0.15:  # a start that is never sent
                return alert(name, "resolved", self.current[name])
            self.firing.add(name)
            self.sent[name, self.current[name]] += 1
            return alert(name, "firing", self.current[name])
        if chance.random() < 0.4:
            return alert(name, "firing", self.current[name])
        mine = [start for other, start in self.late if other == name]
        if mine and chance.random() < 0.3:  # an end that comes after the next start
            self.late.remove((name, mine[0]))
            self.ended.add((name, mine[0]))
            return alert(name, "resolved", mine[0])
        self.firing.discard(name)
        if chance.random() < 0.3:
            self.late.append((name, self.current.pop(name)))
            return None
        self.ended.add((name, self.current[name]))
        return alert(name, "resolved", self.current[name])

    def deliver(self, sender: Sender, alerts: list[dict[str, Any]]) -> None:
        """Post until it is accepted, as Alertmanager does."""
        for _ in range(30):
            with contextlib.suppress(OSError):
                if not alerts or post(sender, *alerts).status == 200:
                    break
            time.sleep(0.05)
        else:
            raise AssertionError("it was never accepted")
        self.fresh = self.fresh | {(one["fingerprint"], one["startsAt"]) for one in alerts}

    def check(self, sender: Sender) -> None:
        found: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for incident in sender.sandbox.incidents():
            words = incident["name"].partition("<")[2].rstrip(">")
            name, _, start = words.partition(" since ")
            for entry in incident.get("entries", ()):
                assert f"<{words}>" in entry["text"], "a note about another alert"
            if not incident["name"].startswith("Ended: "):
                found.setdefault((name, start), []).append(incident)
        assert set(found) == set(self.sent), "a start was swallowed"
        several = {key for key, incidents in found.items() if len(incidents) > 1}
        assert several <= self.may_repeat
        unnoted = {
            key
            for key in self.ended - self.may_repeat
            if not any("has ended" in entry for entry in texts(found[key]))
        }
        assert unnoted == set()


def texts(incidents: list[dict[str, Any]]) -> list[str]:
    return [entry["text"] for one in incidents for entry in one.get("entries", ())]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_any_history_every_start_has_its_incident_and_every_end_is_its_own(seed: int) -> None:
    with running() as sender:
        history = History(seed)
        history.run(sender, 120)
        sender.sandbox.faults.fail.clear()
        sender.sandbox.faults.stale = 0
        waiting = sender.sandbox.context
        await_that(lambda: "alert_notes" not in waiting(), 90)
        history.check(sender)
        assert len(history.sent) > 50


# ---- Prometheus and Alertmanager themselves


PROMETHEUS = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{folder}/rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager}']}}]}}]}}
scrape_configs:
  - job_name: disks
    static_configs: [{{targets: ['127.0.0.1:{exporter}']}}]
"""
RULES = """
groups:
  - name: disks
    rules:
      - alert: DiskFull
        expr: disk_full == 1
        labels: {severity: critical}
        annotations: {summary: "{{ $labels.disk }} is full"}
"""
ALERTMANAGER = """
route: {{receiver: xsoar, group_by: [alertname], group_wait: 1s, group_interval: 1s,
         repeat_interval: 2s}}
receivers: [{{name: xsoar, webhook_configs: [{{url: '{url}', send_resolved: true}}]}}]
"""


class Disks:
    """What Prometheus scrapes: three disks, each full or not."""

    def __init__(self) -> None:
        self.full = dict.fromkeys(("sda", "sdb", "sdc"), False)
        disks = self.full

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                lines = [
                    f'disk_full{{disk="{name}"}} {int(full)}\n' for name, full in disks.items()
                ]
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write("".join(lines).encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def set(self, full: bool) -> None:
        self.full.update(dict.fromkeys(self.full, full))


@contextlib.contextmanager
def prometheus(folder: Path, sandbox: Sandbox) -> Iterator[Disks]:
    """Run Debian's Prometheus and Alertmanager; the latter posts to a sandbox."""
    programs = program("prometheus"), program("prometheus-alertmanager")
    disks, ports = Disks(), (free_port(), free_port())
    values: Mapping[str, Any] = {"folder": folder, "alertmanager": ports[1], "exporter": disks.port}
    (folder / "prometheus.yml").write_text(PROMETHEUS.format(**values))
    (folder / "rules.yml").write_text(RULES)
    (folder / "alertmanager.yml").write_text(ALERTMANAGER.format(url=sandbox.url))
    commands = (
        [
            programs[0],
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{ports[0]}",
            "--rules.alert.resend-delay=1s",
        ],
        [
            programs[1],
            f"--config.file={folder}/alertmanager.yml",
            f"--storage.path={folder}/alerts",
            f"--web.listen-address=127.0.0.1:{ports[1]}",
            "--cluster.listen-address=",
        ],
    )
    with contextlib.ExitStack() as stack:
        stack.callback(disks.server.server_close)
        stack.callback(disks.server.shutdown)
        for place in (1, 0):
            stack.enter_context(process(commands[place], [ports[place]], folder / f"{place}.log"))
        yield disks


def test_prometheus_has_as_many_incidents_as_alerts_and_each_ends_once(tmp_path: Path) -> None:
    """
    Given: Prometheus and Alertmanager, with nothing configured but the instance's URL
    When: three alerts fire, repeat, end, and fire again
    Then: there are three incidents, each noted to have ended once, and then three more
    """
    with running() as sender, prometheus(tmp_path, sender.sandbox) as disks:
        sandbox = sender.sandbox
        disks.set(True)
        await_that(lambda: len(sandbox.incidents()) >= 3, 60)
        await_that(lambda: duplicates(sandbox) >= 3, 60)
        disks.set(False)
        await_that(lambda: sandbox.calls["addEntry"] >= 3, 60)
        first = sandbox.incidents()
        disks.set(True)
        await_that(lambda: len(sandbox.incidents()) >= 6, 60)
        await_that(lambda: duplicates(sandbox) >= 6, 60)
        incidents = sandbox.incidents()
    assert [one["id"] for one in incidents] == ["1", "2", "3", "4", "5", "6"]
    assert {one["name"] for one in incidents} == {
        f"DiskFull: {name} is full" for name in disks.full
    }
    assert {one["severity"] for one in incidents} == {4}
    assert len(first) == 3
    ends = [texts([one]) for one in incidents]
    assert all(len(found) == 1 and "has ended" in found[0] for found in ends[:3])
    assert ends[3:] == [[]] * 3


def duplicates(sandbox: Sandbox) -> int:
    """Return how many events repeated an alert."""
    status = json.loads(sandbox.context().get("status", "{}"))
    return status.get("counters", {}).get("duplicates", 0)
