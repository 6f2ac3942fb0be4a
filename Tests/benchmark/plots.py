"""The growth as pictures: PNG, one file for each thing varied."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.ticker import LogLocator

from .bench import Point

mpl.use("Agg")  # files only, no window
AXES = {
    "connections": "connections, createIncidents instant",
    "body": "body size in bytes, 8 connections, createIncidents instant",
    "latency": "createIncidents latency in ms, 256 connections",
}
WINDOWS = {"latency": ", windows of 4 s"}  # past it the peer pattern answers nobody, which no percentile shows
STYLES = {
    "ours": {"color": "#0b6e4f", "marker": "o"},
    "peer pattern": {"color": "#c1440e", "marker": "s"},
    "bare pywsgi": {"color": "#5b6770", "marker": "^", "linestyle": "--"},
}


def draw(growth: dict[str, list[Point]], big: dict[str, dict[str, float]] | None, folder: Path) -> list[Path]:
    """Write a picture for each curve there is and return the files."""
    files = [draw_growth(name, points, folder) for name, points in growth.items()]
    return [*files, draw_big(big, folder)] if big else files


def draw_growth(name: str, points: list[Point], folder: Path) -> Path:
    """Draw throughput and p99 side by side."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 5), layout="constrained")
    draw_panel(left, name, points, "throughput in requests per second", lambda point: point.rate)
    draw_panel(right, name, points, f"p99 latency in ms{WINDOWS.get(name, '')}", lambda point: point.p99 * 1000)
    if name == "latency":
        limit = sorted({point.x for point in points if point.x > 0})
        left.plot(limit, [256_000 / x for x in limit], color="#999999", linestyle=":", label="limit: connections / latency")
    left.legend(frameon=False)
    figure.suptitle(f"Growth with {AXES[name].partition(',')[0]}")
    return saved(figure, folder / f"growth_{name}.png")


def draw_panel(axes: Any, name: str, points: list[Point], label: str, of: Callable[[Point], float]) -> None:
    """Draw one quantity for every server, on logarithmic axes."""
    for server, style in STYLES.items():
        mine = [point for point in points if point.server == server]
        if mine:
            axes.plot([point.x for point in mine], [of(point) for point in mine], label=server, **style)
    if name == "latency":
        axes.set_xscale("symlog", linthresh=5)  # it begins at zero
    else:
        axes.set_xscale("log", base=2 if name == "connections" else 10)
    axes.set_yscale("log")
    ticks = sorted({point.x for point in points})
    axes.set_xticks(ticks, [short(tick) for tick in ticks], minor=False)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=20))
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: short(value))
    axes.set_xlabel(AXES[name])
    axes.set_ylabel(label)
    axes.grid(True, color="#dddddd", linewidth=0.6)


def draw_big(big: dict[str, dict[str, float]], folder: Path) -> Path:
    """Draw what a stream of big bodies does to small requests."""
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    kinds = (("small_p99_ms", "POST of 300 bytes", "#0b6e4f", -0.2), ("health_p99_ms", "GET /health", "#5b6770", 0.2))
    for key, label, colour, shift in kinds:
        bars = axes.bar([place + shift for place in range(len(big))], [row[key] for row in big.values()], 0.38, label=label)
        for patch in bars:
            patch.set_color(colour)
        axes.bar_label(bars, fmt="%.1f", padding=2)
    axes.set_xticks(range(len(big)), list(big))
    axes.set_ylabel("p99 latency in ms")
    axes.set_title("Small requests beside a stream of big bodies")
    axes.legend(frameon=False, loc="upper left")
    axes.margins(y=0.15)
    return saved(figure, folder / "big_bodies.png")


def saved(figure: Any, file: Path) -> Path:
    """Write a figure and forget it."""
    figure.savefig(file, dpi=120)
    pyplot.close(figure)
    return file


def short(value: float) -> str:
    """Return a number as an axis shows it."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
