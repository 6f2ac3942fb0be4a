"""Run the benchmark: `python -m Tests.benchmark [--quick] [--only NAME ...]`."""

import argparse
import gc
import json
import os
import platform
import resource
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from Tests.sandbox import ContainerError

from . import plots
from .bench import Bench, Measure, Result, Row
from .growth import GROWTH
from .load import NO_WRK, LoadError, generator
from .measures import BARS

RESULTS = Path(__file__).with_name("results")
MEASURES = BARS + GROWTH


def main() -> int:
    """Measure, print the table, write the plots and the figures; 1 where something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m Tests.benchmark", description="Measures ours against the bar of its table.")
    parser.add_argument("--quick", action="store_true", help="one round of short windows: that everything runs, not how fast")
    names = [measure.name for measure in MEASURES]
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=f"one of: {', '.join(names)}; repeatable")
    arguments = parser.parse_args()
    chosen = [measure for measure in MEASURES if not arguments.only or measure.name in arguments.only]
    if generator() != "wrk":
        print(NO_WRK, file=sys.stderr)
    prepare_process()
    started = time.monotonic()
    results, failures = measure_all(chosen, arguments.quick)
    rows = [row for result in results.values() for row in result.rows]
    print(table(rows))
    for file in write(results, rows, arguments.quick):
        print(f"written: {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")
    print(f"{time.monotonic() - started:.0f} s with {generator()}, {os.cpu_count()} cores")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def prepare_process() -> None:
    """Allow for the idle connections, and keep Python's collector out of the sandbox's answers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536) if hard > 0 else 65_536, hard))
    # The server this process plays keeps 100,000 incidents: walking them would show as a latency of what is measured.
    gc.freeze()
    gc.disable()


def measure_all(measures: list[Measure], quick: bool) -> tuple[dict[str, Result], list[str]]:
    """Run one measure after the other under a progress bar; one that fails does not end the others."""
    results: dict[str, Result] = {}
    failures: list[str] = []
    layout = "{desc:<12} |{bar:30}| {percentage:3.0f}%  {elapsed}  {unit}"
    total = sum(measure.seconds for measure in measures)
    with tqdm(total=total, bar_format=layout, file=sys.stderr, leave=False, unit="") as bar, Bench(quick, bar) as bench:
        for measure in measures:
            try:
                with bench.progress(measure):
                    results[measure.name] = measure.run(bench)
            except (LoadError, ContainerError, OSError) as error:
                failures.append(f"{measure.name} could not be measured: {error}")
            gc.collect()
    return results, failures


# ---- what is shown and kept


def number(value: float, unit: str) -> str:
    """Return a figure in three significant digits with its unit."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}{unit if unit in ('x', '%', '/s', '') else ' ' + unit}"


def table(rows: list[Row]) -> str:
    """Return the bar's table with the measured figures."""
    cells = [("measure", "bar", "measured", "", "behind it")]
    for row in rows:
        bar = f"{'at least' if row.at_least else 'at most'} {row.bar:g}{number(0, row.unit)[5:]}"
        cells.append((row.measure, bar, number(row.figure, row.unit), "pass" if row.passes else "SHORT", row.detail))
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in cells]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def write(results: dict[str, Result], rows: list[Row], quick: bool) -> list[Path]:
    """Write the figures as JSON and the growth as plots; return the files."""
    RESULTS.mkdir(exist_ok=True)
    growth = {name: points for result in results.values() for name, points in result.growth.items()}
    big = next((result.figures["big_bodies"] for result in results.values() if "big_bodies" in result.figures), None)
    whole: dict[str, Any] = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()},
        "load_generator": generator(),
        "versions": {name: version(name) for name in ("bottle", "gevent", "fastapi", "uvicorn")},
        "table": [{**asdict(row), "pass": row.passes} for row in rows],
        "growth": {name: [asdict(point) for point in points] for name, points in growth.items()},
        "figures": {name: result.figures for name, result in results.items() if result.figures},
    }
    file = RESULTS / "benchmark.json"
    file.write_text(json.dumps(whole, indent=2) + "\n")
    return [file, *plots.draw(growth, big, RESULTS)]


if __name__ == "__main__":
    sys.exit(main())
