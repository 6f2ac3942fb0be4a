"""The curl lines of the README, run as they stand but for the address."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from Tests.end_to_end.sender import Sender, running

README = Path(__file__).resolve().parents[2] / "README.md"
ADDRESS = "http://127.0.0.1:8080/instance/execute/webhook"
CELL_CODE = re.compile(r"(?<!`)`(curl [^`]+)`(?!`)")
WANTED_STATUS = re.compile(r"\s#\s*([1-5][0-9]{2})\b.*$")


def curl_lines(text: str) -> list[str]:
    """Return every shell line that begins with `curl `: lines of fenced blocks, and code in a table's cells."""
    lines: list[str] = []
    fenced = False
    continued = ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("```"):
            fenced, continued = not fenced, ""
        elif fenced:
            whole = f"{continued}{stripped}"
            if whole.startswith("curl ") and whole.endswith("\\"):
                continued = whole.removesuffix("\\")
                continue
            continued = ""
            if whole.startswith("curl "):
                lines.append(whole)
        elif stripped.startswith("|"):
            lines += [code.replace("\\|", "|") for code in CELL_CODE.findall(stripped)]
    return [line for line in lines if ADDRESS in line]


def test_the_lines_are_found_as_a_reader_sees_them() -> None:
    text = f"""
curl {ADDRESS} -d prose
```sh
curl {ADDRESS} -d block
  curl {ADDRESS} \\
    -d continued # 400
echo curl {ADDRESS}
```
| row | `curl {ADDRESS} -d 'a\\|b'` | `{{"a":1}}` | `curl {ADDRESS} -d second` |
| row | `curl https://my.demisto.live/instance/execute/webhook -d elsewhere` |
"""
    assert curl_lines(text) == [
        f"curl {ADDRESS} -d block",
        f"curl {ADDRESS} -d continued # 400",
        f"curl {ADDRESS} -d 'a|b'",
        f"curl {ADDRESS} -d second",
    ]


LINES = curl_lines(README.read_text(encoding="utf-8")) if README.exists() else []


def test_the_readme_shows_at_least_a_line_per_row() -> None:
    assert len(LINES) >= 12


@pytest.fixture(scope="module")
def webhook() -> Iterator[Sender]:
    with running() as sender:
        yield sender


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_readme_does_what_it_shows(webhook: Sender, line: str) -> None:
    wanted = WANTED_STATUS.search(line)
    status = int(wanted[1]) if wanted else 200
    command = WANTED_STATUS.sub("", line).replace(ADDRESS, webhook.sandbox.url)
    before = len(webhook.sandbox.incidents())
    # The first curl of the line gets the options that tell the status; they change nothing of what is sent.
    script = command.replace("curl ", "curl -sS -w '\\n%{http_code}' ", 1)
    bash = shutil.which("bash") or "bash"
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, timeout=20, cwd=README.parent)
    body, _, code = done.stdout.rpartition("\n")
    assert code == str(status), done
    incidents = webhook.sandbox.incidents()[before:]
    if status == 200:
        ids = [created["id"] for created in json.loads(body)]
        assert ids
        assert [incident["id"] for incident in incidents] == ids
    else:
        assert json.loads(body)["error"]
        assert incidents == []
