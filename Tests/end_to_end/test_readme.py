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
CELL_CODE = re.compile(r"(?<!`)`((?:echo [^`]*\| )?curl [^`]+)`(?!`)")
ROW_STATUS = re.compile(r"^\|[^|]*\|\s*([1-5][0-9]{2})\b")  # the second column says what a refused line is answered


def curl_lines(text: str) -> list[tuple[str, int]]:
    """Return every shell line that posts, of fenced blocks and of a table's cells, and the status it shows."""
    lines: list[tuple[str, int]] = []
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
                lines.append((whole, 200))
        elif stripped.startswith("|"):
            status = ROW_STATUS.search(stripped)
            lines += [(code.replace("\\|", "|"), int(status[1]) if status else 200) for code in CELL_CODE.findall(stripped)]
    return [(line, status) for line, status in lines if ADDRESS in line]


def test_the_lines_are_found_as_a_reader_sees_them() -> None:
    text = f"""
curl {ADDRESS} -d prose
```sh
curl {ADDRESS} -d block
  curl {ADDRESS} \\
    -d continued
echo curl {ADDRESS}
```
| row | what | `curl {ADDRESS} -d 'a\\|b'` | `{{"a":1}}` | `curl {ADDRESS} -d second` |
| row | 400 with a sentence | `echo {{}} \\| curl {ADDRESS} -d @-` |
| row | `curl https://my.demisto.live/instance/execute/webhook -d elsewhere` |
"""
    assert curl_lines(text) == [
        (f"curl {ADDRESS} -d block", 200),
        (f"curl {ADDRESS} -d continued", 200),
        (f"curl {ADDRESS} -d 'a|b'", 200),
        (f"curl {ADDRESS} -d second", 200),
        (f"echo {{}} | curl {ADDRESS} -d @-", 400),
    ]


LINES = curl_lines(README.read_text(encoding="utf-8")) if README.exists() else []


def test_the_readme_shows_at_least_a_line_per_row() -> None:
    assert len(LINES) >= 14


@pytest.fixture(scope="module")
def webhook() -> Iterator[Sender]:
    with running() as sender:
        yield sender


@pytest.mark.parametrize(("line", "status"), LINES)
def test_a_line_of_the_readme_does_what_it_shows(webhook: Sender, line: str, status: int) -> None:
    command = line.replace(ADDRESS, webhook.sandbox.url)
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
