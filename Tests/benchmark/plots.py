"""The model as a picture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot

from .report import Cell, model_of

mpl.use("Agg")  # files only, no window
COLOURS = ("#5b6770", "#1f6fb2", "#0b6e4f", "#c1440e", "#7b3fa0")
LINEAR_MS = 1.0  # below this the logarithmic axis is linear: it begins at zero
FINE = (0, *(10 ** (exponent / 20) for exponent in range(-20, 61)))  # ms, for the bands


def draw_model(cells: list[Cell], folder: Path) -> Path:
    """Write model.png: requests per second with the model as bands, and incidents in a call.

    Both are drawn against createIncidents' latency.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 5), layout="constrained")
    model = model_of(cells)
    for colour, connections in zip(COLOURS, sorted({cell["connections"] for cell in cells})):
        mine = [cell for cell in cells if cell["connections"] == connections]
        points = {"color": colour, "marker": "o", "linestyle": "none"}
        left.plot(*curve(mine, lambda cell: cell["rate"]), **points, label=f"{connections:,}")
        low, high = (
            [bound(ms / 1000, connections) for ms in FINE]
            for bound in (model.lowest, model.highest)
        )
        left.fill_between(FINE, low, high, color=colour, alpha=0.25, linewidth=1)
        right.plot(*curve(mine, lambda cell: cell["batch"]), **{**points, "linestyle": ":"})
    left.axhline(model.cpu, color="#999999", linestyle="--", linewidth=1, label="CPU")
    dress(left, "requests per second")
    dress(right, "incidents in a call (median)")
    left.legend(frameon=False, loc="lower left", title="connections")
    file = folder / "model.png"
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
    return file


def curve(cells: list[Cell], of: Callable[[Cell], float]) -> tuple[list[float], list[float]]:
    """Return latencies in ms and a quantity."""
    return [cell["latency"] * 1000 for cell in cells], [of(cell) for cell in cells]


def dress(axes: Any, label: str) -> None:
    """Give a panel its axes."""
    axes.set_xscale("symlog", linthresh=LINEAR_MS)
    axes.set_xlim(-0.1, 1300)
    axes.set_yscale("log")
    ticks = [0, 1, 5, 20, 50, 200, 1000]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.set_xlabel("createIncidents takes, ms")
    axes.set_ylabel(label)
    axes.grid(True, color="#dddddd", linewidth=0.6)
