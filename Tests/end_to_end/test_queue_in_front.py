"""A queue on disk in front, for senders that never repeat.

It is syslog-ng with the configuration of docs/scaling.
"""

import contextlib
import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from Tests.end_to_end import proxies
from Tests.end_to_end.hostile import Pair, certificate, sandboxed
from Tests.end_to_end.proxies import CREDENTIALS, configuration
from Tests.end_to_end.sender import await_that
from Tests.sandbox import Sandbox

EVENTS = 400
PAUSE_SECONDS = 0.02  # between two events
DOWN_SECONDS = 3.0
BATCH = 100  # the configuration's batch-lines


class Queue:
    """A syslog-ng with its own port and folder; after a kill it continues with what is on disk."""

    def __init__(self, folder: Path, webhook: Sandbox, authority: Path) -> None:
        [self.port] = proxies.free_ports(1)
        (folder / "webhook").mkdir()
        changes = {
            'ip("0.0.0.0") port(6514)': f'ip("127.0.0.1") port({self.port})',
            "https://webhook.example.com/": webhook.sender_url + "/",
            "/etc/ssl/certs/ca-certificates.crt": str(authority),
            "/var/lib/syslog-ng/webhook": str(folder / "webhook"),
        }
        (folder / "syslog-ng.conf").write_text(configuration("syslog-ng.conf", changes))
        self._log = folder / "syslog-ng.log"
        files = {"-f": "syslog-ng.conf", "-R": "persist", "-p": "pid", "-c": "control"}
        options = [part for option, name in files.items() for part in (option, str(folder / name))]
        self._command = [
            proxies.program("syslog-ng"),
            "--foreground",
            "--no-caps",
            "--stderr",
            *options,
        ]

    def running(self) -> contextlib.AbstractContextManager[int]:
        return proxies.process(self._command, [self.port], self._log)


@pytest.fixture
def trusted() -> Pair:
    return certificate()


@pytest.fixture
def webhook(trusted: Pair) -> Iterator[Sandbox]:
    with sandboxed(
        params={**CREDENTIALS, **trusted.params, "duplication_key": "event_id"}
    ) as sandbox:
        yield sandbox


def send_lines(port: int, first: int, count: int) -> None:
    """Send numbered events, one per line, only once; return when the queue has read the last."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for number in range(first, first + count):
            connection.sendall(b'{"n":%d,"alert":"disk full"}\n' % number)
            time.sleep(PAUSE_SECONDS)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""


def numbers(webhook: Sandbox) -> list[int]:
    """Return the events' numbers in the order in which XSOAR created their incidents."""
    incidents = sorted(webhook.incidents(), key=lambda incident: int(incident["id"]))
    return [json.loads(json.loads(incident["rawJSON"])["message"])["n"] for incident in incidents]


def numbers_without_key(webhook: Sandbox) -> set[int]:
    """Return the numbers of events whose keys are not in the integration context."""
    context = json.dumps(webhook.context())
    events = [json.loads(incident["rawJSON"]) for incident in webhook.incidents()]
    return {
        json.loads(event["message"])["n"] for event in events if event["event_id"] not in context
    }


def test_nothing_is_lost_while_webhook_xsoar_and_queue_fail_in_turn(
    tmp_path: Path, webhook: Sandbox, trusted: Pair
) -> None:
    authority = tmp_path / "authority.pem"
    authority.write_text(
        "".join(map(ssl.DER_cert_to_PEM_cert, trusted.trusting.get_ca_certs(binary_form=True)))
    )
    queue = Queue(tmp_path, webhook, authority)
    with queue.running() as process_id:
        sender = threading.Thread(target=send_lines, args=(queue.port, 0, EVENTS // 2), daemon=True)
        sender.start()
        await_that(lambda: webhook.incidents(), 30)
        webhook.kill()
        webhook.wait_exit()
        # They were created just before the end: their keys were lost with the process.
        forgotten = numbers_without_key(webhook)
        time.sleep(DOWN_SECONDS)
        webhook.restart()
        await_that(lambda: len(webhook.incidents()) > EVENTS // 4, 30)
        webhook.faults.outage = True
        sender.join(30)
        # However long the restart took, these meet the outage.
        send_lines(queue.port, EVENTS // 2, EVENTS // 2)
        assert len(webhook.incidents()) < EVENTS
        os.kill(process_id, signal.SIGKILL)
    with queue.running():
        time.sleep(DOWN_SECONDS)
        webhook.faults.outage = False
        await_that(lambda: len(set(numbers(webhook))) >= EVENTS, 60)
        time.sleep(1)
    created = numbers(webhook)
    order = list(dict.fromkeys(created))
    assert sorted(order) == list(range(EVENTS))
    assert {number for number in order if created.count(number) > 1} <= forgotten
    # The order is that of arrival, except for events of one POST of which XSOAR refused some at
    # first.
    assert max(abs(place - number) for place, number in enumerate(order)) < BATCH
