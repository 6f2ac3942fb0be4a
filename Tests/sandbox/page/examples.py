"""Requests to try: the documentation's example, and what well-known senders post."""

import json
from pathlib import Path
from typing import Any

from ..descriptor import ROOT
from .signing import Headers, usual_scheme

DELIVERIES = ROOT / "Tests/end_to_end/deliveries"
DOCUMENTED = {
    "name": "incident created via generic webhook",
    "raw_json": {"some_field": "some_value"},
}
ABBREVIATIONS = ("json", "eve")
INSTANCE = "/instance/execute/webhook"  # the address in the files of the deliveries


def read_delivery(file: Path) -> tuple[str, str, Headers, bytes]:
    """Return method, path, headers and body of the request in a file, without its last newline."""
    head, _, body = file.read_bytes().removesuffix(b"\n").partition(b"\n\n")
    request, *lines = head.decode().split("\n")
    method, path, version = request.split(" ")
    if version != "HTTP/1.1":
        raise ValueError(f"{file.name} does not begin with a request line.")
    return (
        method,
        path,
        [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)],
        body,
    )


def examples(instance_path: str) -> list[dict[str, Any]]:
    """Return the requests, the documentation's first, as posted to an instance's path."""
    first = {
        "id": "documentation",
        "title": "",
        "sender": "The documentation's example",
        "method": "POST",
        "path": instance_path,
        "headers": [("Content-Type", "application/json")],
        "body": json.dumps(DOCUMENTED, separators=(",", ":")),
        "params": {},
        "signature": "",
    }
    files = sorted(DELIVERIES.glob("*.http"), key=lambda file: file.stem)
    return [first, *(example(file, instance_path) for file in files)]


def example(file: Path, instance_path: str) -> dict[str, Any]:
    """Return what a sender posts, and the parameters that somebody would choose for it."""
    method, path, headers, body = read_delivery(file)
    expected = json.loads(file.with_suffix(".expected.json").read_text(encoding="utf-8"))
    return {
        "id": file.stem,
        "title": title_of(file.stem, expected["sender"]),
        "sender": expected["sender"],
        "method": method,
        "path": instance_path + path.removeprefix(INSTANCE),
        "headers": headers,
        "body": body.decode(),
        "params": expected["params"],
        "signature": usual_scheme(headers),
    }


def title_of(stem: str, sender: str) -> str:
    """Return what a file's name says of a request in addition to its sender."""
    vendor = "".join(filter(str.isalnum, sender)).lower()
    words = stem.split("-")
    while words and words[0] in vendor:
        words = words[1:]
    shown = [word.upper() if word in ABBREVIATIONS else word for word in words]
    title = " ".join(shown)
    return title[:1].upper() + title[1:]
