"""What the terminal shows of requests and health."""

import io
import json
from typing import Any

import pytest

from Tests.sandbox.reroute import Exchange
from Tests.sandbox.screen import Screen


def exchange(value: Any, **fields: Any) -> Exchange:
    values = {
        "sender": "192.0.2.1",
        "method": "POST",
        "path": "/p",
        "content_type": "",
        "begins": b"",
        "status": 200,
    }
    values["seconds"] = 0.0123
    return Exchange(**{**values, "answer": json.dumps(value).encode(), **fields})


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        (
            exchange([{"id": "1", "type": "T", "name": "n"}]),
            "POST /p  200  JSON  #1 T n  from 192.0.2.1  12.3 ms",
        ),
        (
            exchange([{"id": "2", "name": "n", "duplicate": True}]),
            "POST /p  200  text  duplicate of #2 - n  from",
        ),
        (
            exchange([{"id": "2", "type": "T", "name": "n", "ended": True}]),
            "POST /p  200  text  ends #2 T n  from",
        ),
        (
            exchange([{"id": "3", "ended": True}]),
            "POST /p  200  JSON  ends #3 - Disk full  from",
        ),
        (
            exchange([{"id": "2", "name": "n"}], begins=b'{"body": "x"}'),
            "POST /p  200  JSON  #2 - n  from",
        ),
        (
            exchange([{"id": "2", "name": "n"}], begins=b'{"body": "x', size=70_000),
            "POST /p  200  JSON  #2 - n  from",
        ),
        (
            exchange([{"id": "2", "name": "n"}], begins=b"[not JSON]", size=10),
            "POST /p  200  text  #2 - n  from",
        ),
        (
            exchange([{"id": "1", "name": "n"}], content_type="multipart/form-data"),
            "200  form  #1 - n  from",
        ),
        (
            exchange([{"id": "1"}], content_type="x-www-form-urlencoded", begins=b' {"n":1'),
            "200  JSON  #1 - -  from",
        ),
        (
            exchange([{"id": str(number), "name": "n"} for number in range(5)]),
            "#0 - n, #1 - n, #2 - n and 2 more  from",
        ),
        (exchange([]), "200  no incident: a rule dropped it  from"),
        (
            exchange({"error": "Send the password.\x1b[2J"}, status=401),
            "401  Send the password.\ufffd[2J  from",
        ),
        (exchange({"accepted": 1, "request": "abc"}, status=202), "202  abc  from"),
        (exchange(None, answer=b"[{", status=502), "POST /p  502  from"),
        (exchange(None, answer=b"", status=0), "POST /p  no answer  from"),
    ],
)
def test_a_request_is_one_line(seen: Exchange, shown: str) -> None:
    out = io.StringIO()
    known = {
        "0": {},
        "1": {"rawJSON": '{"n":1}'},
        "2": {"rawJSON": '{"body":"x"}'},
        "3": {"name": "Disk full", "rawJSON": '{"n":3}'},
    }
    Screen(out=out).request(seen, known)
    assert shown in out.getvalue()
    assert out.getvalue().count("\n") == 1


class Terminal(io.StringIO):
    """A stand-in for a terminal."""

    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_only() -> None:
    terminal, file = Terminal(), io.StringIO()
    for out in (terminal, file):
        Screen(out=out).health("ill")
    assert terminal.getvalue() == "\x1b[33mhealth: ill\x1b[0m\n"
    assert file.getvalue() == "health: ill\n"
