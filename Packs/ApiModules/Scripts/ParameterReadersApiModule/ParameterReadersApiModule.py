"""Single values of an instance's parameters: a text, a choice, a port, a duration, methods.

What it is for: what a person has entered goes in, and the value that it means comes out. A reader
never raises: what it cannot use it reports, with how to fix it, and returns its default. The module
knows nothing of which parameters there are, of HTTP, of Cortex XSOAR, or of incidents.
"""

import re
from collections.abc import Callable
from typing import Any

PORT_NUMBER = re.compile(r"[0-9]{1,5}")
DURATION_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
SayProblem = Callable[[str], None]  # how to fix a value
OTHER_METHODS = {"GET", "PUT", "PATCH"}  # of Also accept, which Accept GET has replaced


def read_port(value: Any, report_problem: SayProblem) -> int | None:
    """Return the port to listen on from ``8000`` or ``<host port>:<container port>``.

    None where XSOAR has yet to assign one.
    """
    text = str(value or "").strip()
    ports = text.split(":")
    if not text:
        return None
    if len(ports) > 2 or not all(
        PORT_NUMBER.fullmatch(port) and 1 <= int(port) <= 65535 for port in ports
    ):
        report_problem(
            "enter a number from 1 to 65535, or <host port>:<container port>, such as 8000."
        )
        return None
    return int(ports[-1])


def read_text(value: Any, report_problem: SayProblem) -> str:
    """Return a text without white space around it."""
    return str(value or "").strip()


def read_choice(
    value: Any, report_problem: SayProblem, choices: dict[str, str], missing: str
) -> str:
    """Return what the chosen text, in any case, stands for; ``missing`` is the choice without one.

    So it is where another text is there.
    """
    text = str(value or missing).strip().lower()
    if text not in choices:
        report_problem(f"choose one of: {', '.join(choices)}.")
    return choices.get(text, choices[missing])


def read_methods(value: Any, report_problem: SayProblem) -> frozenset[str]:
    """Return the HTTP methods that are handled as POST."""
    texts = value if isinstance(value, list) else str(value or "").split(",")
    methods = {str(text).strip().upper() for text in texts} - {"NONE", ""}
    if methods - OTHER_METHODS:
        report_problem(f"choose from {', '.join(sorted(OTHER_METHODS))}, or leave it empty.")
    return frozenset(methods & OTHER_METHODS)


def read_duration(
    value: Any, report_problem: SayProblem, unit: str, seconds: float
) -> float | None:
    """Return seconds from a positive number of units, None where there is none."""
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    if not DURATION_NUMBER.fullmatch(text) or not float(text):
        report_problem(f"enter a number of {unit} above 0, such as 3 or 0.5, or leave it empty.")
        return None
    return float(text) * seconds
