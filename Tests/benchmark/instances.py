"""The throughput of 1, 2 and 3 instances behind HAProxy.

Run it as `python -m Tests.benchmark.instances`; it takes about two minutes. HAProxy runs with
docs/scaling/haproxy.cfg. If XSOAR is the limit, an instance creates what one call carries, divided
by the call's duration, and instances add up; if the machine's cores are the limit, they share them.
"""

import contextlib
import gc
import statistics
import tempfile
from pathlib import Path
from typing import NamedTuple

from Tests.end_to_end import proxies
from Tests.end_to_end.hostile import certificate
from Tests.sandbox import Sandbox

from .load import PASSWORD, USER, Traffic, alert, send

PLACEHOLDERS = ("192.0.2.11:8000", "192.0.2.12:8000", "192.0.2.13:8000")
SECONDS = 8


class Situation(NamedTuple):
    """What is sent: name, createIncidents' seconds, events in a POST, number of connections."""

    name: str
    latency: float
    events: int
    connections: int


SITUATIONS = (
    Situation("createIncidents takes 1 s, POSTs of 20 events, 240 connections", 1.0, 20, 240),
    Situation("createIncidents takes 0.2 s, POSTs of one event, 240 connections", 0.2, 1, 240),
    Situation("createIncidents is instant, POSTs of one event, 64 connections", 0.0, 1, 64),
)


def haproxy_configuration(folder: Path, port: int, instances: list[Sandbox]) -> str:
    """Return docs/scaling/haproxy.cfg for these instances, without the lines of the others."""
    changes = {
        ":443 ssl": f"127.0.0.1:{port} ssl",
        "/etc/haproxy/webhook.pem": str(proxies.pem_file(folder, certificate().params)),
        "/run/haproxy/admin.sock": str(folder / "admin.sock"),
    }
    changes |= {
        placeholder: f"127.0.0.1:{one.container_port}"
        for placeholder, one in zip(PLACEHOLDERS, instances)
    }
    lines = proxies.configuration("haproxy.cfg", changes).splitlines()
    return (
        "\n".join(
            line for line in lines if not any(placeholder in line for placeholder in PLACEHOLDERS)
        )
        + "\n"
    )


def measure(count: int, situation: Situation) -> tuple[float, float, float]:
    """Return incidents per second, the median per call, and the requests' p99 in seconds."""
    body = alert(300)
    if situation.events > 1:
        body = b"[" + b",".join([body] * situation.events) + b"]"
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="instances-")))
        params = {"credentials": f"{USER}:{PASSWORD}"}
        instances = [
            stack.enter_context(Sandbox(params, store=":memory:", wait=20)) for _ in range(count)
        ]
        for instance in instances:
            instance.faults.latency = {"createIncidents": situation.latency}
        [port] = proxies.free_ports(1)
        stack.enter_context(
            proxies.haproxy(folder, haproxy_configuration(folder, port, instances), [port])
        )
        load = send(f"https://127.0.0.1:{port}/", Traffic(situation.connections, body), SECONDS)
        batches = [size for instance in instances for size in instance.batches[2:]]
        return load.rate * situation.events, statistics.median(batches), load.p99


def main() -> None:
    """Measure every situation with 1, 2 and 3 instances and print a table."""
    gc.disable()
    print(
        "| situation | instances | incidents per second | incidents in a call | p99 |\n"
        "| --- | --- | --- | --- | --- |"
    )
    for situation in SITUATIONS:
        for count in (1, 2, 3):
            rate, batch, p99 = measure(count, situation)
            print(
                f"| {situation.name} | {count} | {rate:,.0f} | {batch:,.0f} | {p99:.2f} s |",
                flush=True,
            )
            gc.collect()


if __name__ == "__main__":
    main()
