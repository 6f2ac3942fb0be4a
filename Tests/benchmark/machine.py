"""The machine on which a run was made, and what else it did meanwhile."""

import os
import platform
import resource
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from .load import generator
from .servers import cpu_seconds

MIN_SECONDS = 0.05  # of a measure, below which the clock ticks of /proc say nothing about shares


@dataclass(frozen=True)
class Moment:
    """What all processes and our own had used at a time, in seconds (over all cores)."""

    at: float
    machine: float
    own: float

    @classmethod
    def now(cls, servers: Iterable[int]) -> Self:
        """Return the present moment; `servers` are the process IDs of the running ones."""
        # The children are load generators, and servers that were stopped.
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        myself = resource.getrusage(resource.RUSAGE_SELF)
        own = sum(usage.ru_utime + usage.ru_stime for usage in (ended, myself)) + sum(
            map(cpu_seconds, servers)
        )
        return cls(time.monotonic(), machine_seconds(), own)

    def others_since(self, before: "Moment") -> float:
        """Return the share of all cores, from 0 to 1, that was neither ours nor idle."""
        seconds = (self.at - before.at) * (os.cpu_count() or 1)
        others = (self.machine - before.machine) - (self.own - before.own)
        return max(0.0, others / seconds) if seconds > MIN_SECONDS else 0.0


def machine_seconds() -> float:
    """Return the processor time of all processes and what the hypervisor gave to other machines."""
    user, nice, system, *_rest = fields = list(
        map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    )
    steal = fields[7] if len(fields) > 7 else 0  # proc(5)
    return (user + nice + system + steal) / os.sysconf("SC_CLK_TCK")


def machine() -> dict[str, Any]:
    """Return processor, cores, kernel, Python, relevant packages and load generator."""
    packages = {name: version(name) for name in ("bottle", "gevent", "fastapi", "uvicorn")}
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": packages,
        "load_generator": generator(),
    }


def cpu_model() -> str:
    """Return the processor's name as the kernel has it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
