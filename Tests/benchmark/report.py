"""What a run shows and keeps: tables on the screen, and the marked parts of docs/performance.md.

A run is a dict as in results/benchmark.json, so that it can be shown again without measuring.
"""

import re
from typing import Any, NamedTuple

from Tests.sandbox.descriptor import ROOT

from .bench import ATTEMPTS, STEADY
from .load import BODY_BYTES, HEADERS, NO_WRK

DOCUMENT = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "performance"
BLOCK = "<!-- measured: {} -->\n", "<!-- end of measured -->"
CLOSE = 0.1  # a point outside the model's band by at most this share agrees with it
METHOD = (
    "Unless a row says otherwise, bodies have {body} bytes and requests {headers} headers, "
    "as through a proxy, with Basic authentication and samples on.\n"
    "All servers take turns in one run.\n"
    "A ratio is the median of the ratios inside a round; "
    "the two figures behind it are medians, the integration's first.\n"
    "Rounds that differ by more than {steady} of their median are repeated, "
    "up to {attempts} attempts in total, and the steadiest attempt counts."
)
Run = dict[str, Any]
Cell = dict[str, Any]


def number(value: float, unit: str) -> str:
    """Return a figure in three significant digits with its unit."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}{unit if unit in ('x', '/s', '') else ' ' + unit}"


def percent(share: float) -> str:
    """Return a share in whole percents."""
    return f"{share * 100:.0f} %"


def markdown(lines: list[list[str]]) -> str:
    """Return a table whose first line is its heading."""
    rows = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


# ---- the screen


def screen(run: Run) -> str:
    """Return everything of a run that a developer wants to see."""
    parts = [rows_table(run["table"]), *gathering_tables(run), machine_line(run), load_line(run)]
    return "\n\n".join(filter(None, parts))


def rows_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows with bar, aim and which of them is met, in columns."""
    lines = [("measure", "bar", "aim", "measured", "met", "rounds differ", "behind it")]
    for row in rows:
        limits = [limit(row, key) for key in ("bar", "aim")]
        lines.append(
            (
                row["measure"],
                *limits,
                number(row["figure"], row["unit"]),
                row["met"],
                steadiness(row),
                row["detail"],
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    texts = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in lines
    ]
    return "\n".join([texts[0], "-" * max(map(len, texts)), *texts[1:]]) if rows else ""


def limit(row: dict[str, Any], key: str) -> str:
    """Return a row's bar or aim, with the direction in which it is reached."""
    if row[key] is None:
        return ""
    return f"{'at least' if row['at_least'] else 'at most'} {number(row[key], row['unit'])}"


def steadiness(row: dict[str, Any]) -> str:
    """Return by how much a row's rounds differ, and how often they were made if more than once."""
    again = f", steadiest of {row['attempts']} attempts" if row["attempts"] > 1 else ""
    return f"{percent(row['spread'])}{again}" if row["spread"] else ""


def gathering_tables(run: Run) -> list[str]:
    """Return each version's requests per second; later ones with the ratio to the first."""
    cells = cells_of(run)
    versions = list(dict.fromkeys(cell["version"] for cell in cells))
    return [f"{version}\n{gathering_table(cells, version, versions[0])}" for version in versions]


def cells_of(run: Run) -> list[Cell]:
    """Return the measured points of latency and connections."""
    cells: list[Cell] = run["figures"].get("gathering", {}).get("cells", [])
    return cells


def gathering_table(cells: list[Cell], version: str, first: str) -> str:
    """Return requests per second and incidents in a call, by latency and connections."""
    rates = {(cell["version"], cell["latency"], cell["connections"]): cell for cell in cells}
    latencies, connections = (
        sorted({cell[key] for cell in cells}) for key in ("latency", "connections")
    )
    lines = [
        [
            "createIncidents takes",
            *(
                f"{number_of:,} connection{'s' if number_of > 1 else ''}"
                for number_of in connections
            ),
        ]
    ]
    for latency in latencies:
        line = [f"{latency * 1000:g} ms"]
        for number_of in connections:
            mine, theirs = (rates[name, latency, number_of] for name in (version, first))
            ratio = (
                f" {mine['rate'] / theirs['rate']:.2f}x"
                if version != first and theirs["rate"]
                else ""
            )
            line.append(f"{number(mine['rate'], '')} ({mine['batch']:,.0f}){ratio}")
        lines.append(line)
    return markdown(lines)


def machine_line(run: Run) -> str:
    """Return the machine on which a run was made."""
    machine = run["machine"]
    packages = ", ".join(f"{name} {number_of}" for name, number_of in machine["packages"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}, {packages}, load by {machine['load_generator']}"
    )


def load_line(run: Run) -> str:
    """Return what else the machine did meanwhile."""
    load = run["load"]
    before, after = (" ".join(f"{value:.2f}" for value in load[key]) for key in ("before", "after"))
    busiest = max(load["others"].items(), key=lambda pair: pair[1], default=("", 0.0))
    return (
        f"The load average was {before} before the run and {after} after it; other processes took "
        f"{percent(load['others_overall'])} of the cores during the run, "
        f"and up to {percent(busiest[1])} during a single row ({busiest[0]})."
    )


# ---- the model


class Model(NamedTuple):
    """requests/s = min(CPU, connections / (latency + turnaround)).

    Both constants are measured with instant calls.

    cpu: the highest rate. alone: one connection's turnaround in seconds. With more connections the
        turnaround is between `alone`, if all other work is done while a call is in progress, and
        `alone` and 1 / cpu for each further connection, if none is.
    """

    cpu: float
    alone: float

    def lowest(self, latency: float, connections: int) -> float:
        """Return requests per second if nothing is done during a call; at most cpu."""
        return connections / (latency + self.alone + (connections - 1) / self.cpu)

    def highest(self, latency: float, connections: int) -> float:
        """Return requests per second if all work is done while calls are in progress."""
        return min(self.cpu, connections / (latency + self.alone))

    def deviation(self, cell: Cell) -> float:
        """Return by what share a point is above or (negative) below the model; 0 inside."""
        low, high = (
            bound(cell["latency"], cell["connections"]) for bound in (self.lowest, self.highest)
        )
        return max(cell["rate"] / high - 1, 0.0) + min(cell["rate"] / low - 1, 0.0)


def model_of(cells: list[Cell]) -> Model:
    """Return the model that follows from the cells without a latency."""
    instant = {cell["connections"]: cell["rate"] for cell in cells if not cell["latency"]}
    return Model(max(instant.values()), 1 / instant[1])


def newest(run: Run) -> list[Cell]:
    """Return the cells of the version named last."""
    cells = cells_of(run)
    return [cell for cell in cells if cell["version"] == cells[-1]["version"]]


def agreement(cells: list[Cell]) -> str:
    """Return one sentence on how close the measured points are to the model."""
    model = model_of(cells)
    deviations = [model.deviation(cell) for cell in cells]
    near = sum(abs(deviation) <= CLOSE for deviation in deviations)
    below, above = percent(abs(min(deviations))), percent(max(deviations))
    return (
        f"{near} of {len(cells)} points lie inside their band or within {percent(CLOSE)} of it; "
        f"the lowest is {below} below its band, the highest {above} above it."
    )


# ---- the document


def document(run: Run) -> None:
    """Write a run's blocks into docs/performance.md."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, block in (("model", model_block(run)), ("rows", rows_block(run))):
        text = with_block(text, name, block)
    DOCUMENT.write_text(text, encoding="utf-8")


def with_block(text: str, name: str, block: str) -> str:
    """Return a document with a block between its markers."""
    start, end = BLOCK[0].format(name), BLOCK[1]
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"{DOCUMENT.name} must have the markers of the block {name!r} once.")
    return pattern.sub(lambda _: f"{start}\n{block}\n\n{end}", text)


def model_block(run: Run) -> str:
    """Return the model's picture, the measured points and how close they are to it."""
    cells = newest(run)
    model = model_of(cells)
    picture = (
        "![requests per second and incidents in a call, by the time createIncidents takes]"
        "(performance/model.png)"
    )
    reported = (
        "Points are measured, bands are the model.\n"
        "Its two constants are measured with instant calls only: "
        f"*CPU* is {model.cpu:,.0f} requests/s, "
        f"and one connection's turnaround is {model.alone * 1000:.2f} ms.\n{agreement(cells)}\n"
        "Requests per second, with the incidents in a call in brackets:"
    )
    return "\n\n".join(
        [picture, reported, gathering_table(cells, cells[0]["version"], cells[0]["version"])]
    )


def rows_block(run: Run) -> str:
    """Return the table of rows and how it was measured."""
    heading = ["Measure", "Measured", "Behind it", "Rounds differ by"]
    lines = [
        [row["measure"], number(row["figure"], row["unit"]), row["detail"], steadiness(row)]
        for row in run["table"]
    ]
    return "\n\n".join(
        [markdown([heading, *lines]), method(run), f"{machine_line(run)}. {load_line(run)}"]
    )


def method(run: Run) -> str:
    """Return how the rows were measured."""
    missing = "" if run["machine"]["load_generator"] == "wrk" else f" {NO_WRK}"
    return (
        METHOD.format(
            body=BODY_BYTES, headers=len(HEADERS) + 2, steady=percent(STEADY), attempts=ATTEMPTS
        )
        + missing
    )
