"""What somebody sees of a running sandbox in the terminal."""

import json
import sys
import time
from collections.abc import Mapping
from typing import TextIO

from .reroute import Exchange
from .store import Incident

COLOURS = {"red": "\x1b[31m", "green": "\x1b[32m", "yellow": "\x1b[33m", "dim": "\x1b[2m"}
MAX_SHOWN = 3  # incidents in a request's line


class Screen:
    """What somebody sees of a running sandbox; colour only on a terminal."""

    def __init__(self, quiet: bool = False, out: TextIO | None = None) -> None:
        self.quiet = quiet
        self._out = out

    def show(self, text: str, colour: str = "") -> None:
        """Print one line; text from outside goes through `plain` first."""
        out = self._out or sys.stdout
        if colour and out.isatty():
            text = f"{COLOURS[colour]}{text}\x1b[0m"
        print(text, file=out, flush=True)

    def request(self, exchange: Exchange, known: Mapping[str, Incident]) -> None:
        """Print one line for a request.

        It says when, what, how it was answered, its incidents, who sent it and how long it took.
        """
        made, read = summarise_answer(exchange, known)
        words = [
            time.strftime("%H:%M:%S"),
            f"{exchange.method} {exchange.path}",
            str(exchange.status or "no answer"),
            *([read] if read else []),
            made,
            f"from {exchange.sender}",
            f"{exchange.seconds * 1000:.1f} ms",
        ]
        colour = (
            "green"
            if exchange.status in (200, 202)
            else "yellow"
            if 400 <= exchange.status < 500
            else "red"
        )
        self.show("  ".join(plain(word) for word in words if word), colour)

    def health(self, text: str) -> None:
        """Print the instance's new health."""
        self.show(f"health: {plain(text)}" if text else "health: ok", "yellow" if text else "green")


def summarise_answer(exchange: Exchange, known: Mapping[str, Incident]) -> tuple[str, str]:
    """Return what an answer says about incidents or a refusal, and the body's kind."""
    try:
        answer = json.loads(exchange.answer or b"null")
    except ValueError:
        return "", ""
    if isinstance(answer, dict):
        return str(answer.get("error") or answer.get("request") or answer.get("status") or ""), ""
    if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
        return "", ""
    items = [
        ("duplicate of " if item.get("duplicate") else "ends " if item.get("ended") else "")
        + f"#{item.get('id')} {item.get('type') or '-'} {item.get('name') or '-'}"
        for item in answer
    ]
    more = f" and {len(items) - MAX_SHOWN} more" if len(items) > MAX_SHOWN else ""
    first = known.get(str(answer[0].get("id"))) if answer else None
    return (", ".join(items[:MAX_SHOWN]) + more) or "no incident: a rule dropped it", body_kind(
        first, exchange
    )


def body_kind(incident: Incident | None, exchange: Exchange) -> str:
    """Return what kind of body was read, judging by the incident that it became."""
    raw = json.loads((incident or {}).get("rawJSON") or "{}")
    if not raw:
        return ""
    if "body_base64" in raw:
        return "bytes"
    is_json = exchange.begins.lstrip().startswith((b"{", b"[", b'"'))
    if isinstance(raw.get("body"), str) and not (is_json and may_be_json(exchange)):
        return "text"
    return "form" if "form" in exchange.content_type and not is_json else "JSON"


def may_be_json(exchange: Exchange) -> bool:
    """Return whether a body is JSON, as far as it was kept."""
    if exchange.size > len(exchange.begins):
        return True
    try:
        json.loads(exchange.begins)
    except ValueError:
        return False
    return True


def plain(text: object) -> str:
    """Return text that cannot control a terminal: U+FFFD replaces what is not printable."""
    return "".join(char if char.isprintable() else "\ufffd" for char in str(text))
