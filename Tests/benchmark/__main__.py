"""Run the benchmark: `python -m Tests.benchmark --help`."""

import argparse
import gc
import json
import os
import resource
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tqdm import tqdm

from Tests.sandbox import ContainerError

from . import plots, report
from .bench import Bench, Measure, Result
from .gathering import GATHERING
from .load import NO_WRK, LoadError, generator
from .machine import Moment, machine
from .singles import SINGLES
from .throughput import THROUGHPUT

FILE = Path(__file__).with_name("results") / "benchmark.json"
MEASURES = THROUGHPUT + SINGLES + GATHERING
NAMES = [measure.name for measure in MEASURES]


def main() -> int:
    """Measure, print the tables and keep the figures; return 1 if any of that failed."""
    arguments = parsed()
    if arguments.last:
        run = json.loads(FILE.read_text())
    else:
        run = measured(arguments)
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(json.dumps(run, indent=2) + "\n")
    print(report.screen(run))
    for failure in run["failures"]:
        print(failure, file=sys.stderr)
    if arguments.document:
        return written(run)
    if report.cells_of(run):
        plots.draw_model(report.newest(run), FILE.parent)
    print(f"{run['seconds']:.0f} s; figures in {FILE.parent}")
    return 1 if run["failures"] else 0


def parsed() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m Tests.benchmark", description="Measures the integration against its bars."
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round of short windows: that everything runs, not how fast",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=NAMES,
        metavar="NAME",
        help=f"one of: {', '.join(NAMES)}; repeatable",
    )
    parser.add_argument(
        "--compare",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="versions of the integration for `cpu` and `gathering`",
    )
    parser.add_argument(
        "--document",
        action="store_true",
        help="write the figures of a whole run into docs/performance.md",
    )
    parser.add_argument("--last", action="store_true", help="measure nothing, take the last run")
    return parser.parse_args()


def written(run: report.Run) -> int:
    """Write a run into the document; return 1 if it is not a complete run."""
    if run["quick"] or run["failures"] or run["measures"] != NAMES:
        print(
            "The document takes a whole run only: all rows, none of them quick or failed.",
            file=sys.stderr,
        )
        return 1
    plots.draw_model(report.newest(run), report.PICTURES)
    report.document(run)
    print(f"{run['seconds']:.0f} s; written into {report.DOCUMENT}")
    return 0


def prepare_process() -> None:
    """Raise the limit of open files, and keep Python's collector out of the sandbox's answers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (min(hard, 65_536) if hard > 0 else 65_536, hard)
        )
    # The server in this process keeps 100,000 incidents: a collection of them would show as
    # latency.
    gc.freeze()
    gc.disable()


def measured(arguments: argparse.Namespace) -> report.Run:
    """Measure what was chosen and return the run."""
    if generator() != "wrk":
        print(NO_WRK, file=sys.stderr)
    prepare_process()
    chosen = [
        measure for measure in MEASURES if not arguments.only or measure.name in arguments.only
    ]
    before, started = os.getloadavg(), Moment.now(())
    results, failures = measure_all(chosen, arguments.quick, arguments.compare)
    ended = Moment.now(())  # the servers have ended, so their time counts as ours
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": time.monotonic() - started.at,
        "quick": arguments.quick,
        "measures": [measure.name for measure in chosen],
        "failures": failures,
        "machine": machine(),
        "load": {
            "before": before,
            "after": os.getloadavg(),
            "others_overall": ended.others_since(started),
            "others": {name: result.others for name, result in results.items()},
        },
        "table": [
            {**asdict(row), "met": row.met} for result in results.values() for row in result.rows
        ],
        "figures": {name: result.figures for name, result in results.items() if result.figures},
    }


def measure_all(
    measures: list[Measure], quick: bool, compare: list[Path]
) -> tuple[dict[str, Result], list[str]]:
    """Run one measure after the other with a progress bar; a failed one does not end the others."""
    results: dict[str, Result] = {}
    failures: list[str] = []
    layout = "{desc:<12} |{bar:30}| {percentage:3.0f}%  {elapsed}  {unit}"
    total = sum(measure.seconds for measure in measures)
    with (
        tqdm(total=total, bar_format=layout, file=sys.stderr, leave=False, unit="") as bar,
        Bench(quick, bar, compare) as bench,
    ):
        for measure in measures:
            before = bench.moment()
            try:
                with bench.progress(measure):
                    results[measure.name] = measure.run(bench)
            except (LoadError, ContainerError, OSError) as error:
                failures.append(f"{measure.name} could not be measured: {error}")
            else:
                results[measure.name].others = bench.moment().others_since(before)
            gc.collect()
    return results, failures


if __name__ == "__main__":
    sys.exit(main())
