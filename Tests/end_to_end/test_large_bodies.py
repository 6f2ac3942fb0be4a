"""The largest and worst bodies within the limits: none stops others, and none fills the memory.

Each has its own webhook. The container's peak memory (VmHWM) is the system's figure; a separate
process requests the health every 20 ms and so measures how long others wait. docs/performance.md
has the figures.
"""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from Tests.end_to_end.hostile import ask, in_parallel, post, sandboxed, watching
from Tests.sandbox import Sandbox

MIB = 1024 * 1024
GZIP = b"Content-Encoding: gzip"
JSON = b"Content-Type: application/json"
FORM = b"Content-Type: application/x-www-form-urlencoded"
MULTIPART = b"Content-Type: multipart/form-data; boundary=zzz; boundary=B"


def folded_header() -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="f"\r\nx: a' + b"\r\n b" * 600_000
    return packed(
        head + b"\r\n\r\n1\r\n--b--\r\n", b"Content-Type: multipart/form-data; boundary=b"
    )


def packed(body: bytes, kind: bytes) -> bytes:
    return post(gzip.compress(body, 6, mtime=0), kind, GZIP)


# name: request, status, longest wait of others in seconds (0.5 on an idle machine; these have other
# work), peak in MiB
BODIES: dict[str, tuple[Callable[[], bytes], int, float, int]] = {
    "a part whose header is folded 600,000 times": (folded_header, 400, 1.5, 400),
    "400,000 parts behind two boundaries": (
        lambda: packed(b"--B\r\n\r\n\r\n" * 400_000 + b"--B--\r\n", MULTIPART),
        400,
        1.5,
        400,
    ),
    "a form of 8.7 million escapes": (
        lambda: packed(b"a=" + b"%41" * 8_700_000, FORM),
        200,
        1.5,
        400,
    ),
    "an object of two million keys": (
        lambda: post(
            b"{" + b",".join(b'"%d":1' % number for number in range(2_000_000)) + b"}", JSON
        ),
        200,
        1.5,
        500,
    ),
    "an object of 450,000 keys": (
        lambda: post(
            b"{" + b",".join(b'"%d":1' % number for number in range(450_000)) + b"}", JSON
        ),
        200,
        1.5,
        500,
    ),
    "a date of 25 MB": (
        lambda: post(b'{"raw_json":{},"occurred":"' + b"2" * (25 * MIB - 100) + b'"}', JSON),
        400,
        1.5,
        500,
    ),
    "900,000 empty objects": (
        lambda: post(b'{"a":[' + b"{}," * 900_000 + b"1]}", JSON),
        200,
        1.5,
        500,
    ),
    "25 million quotes": (
        lambda: post(b'"' * (25 * MIB - 100), b"Content-Type: text/plain"),
        200,
        1.5,
        500,
    ),
    "25 million bytes that are no text": (lambda: post(b"\xff" * (25 * MIB - 100)), 200, 1.5, 500),
    "999 parts whose headers are full of semicolons": (
        lambda: packed(
            b'--b\r\nContent-Disposition: form-data; name="f"%b\r\n\r\n1\r\n' % (b";" * 950) * 999
            + b"--b--\r\n",
            b"Content-Type: multipart/form-data; boundary=b",
        ),
        200,
        1.5,
        400,
    ),
    "25 MB of windows-1252 without a character": (
        lambda: packed(
            b"\x81" * (25 * MIB - 100), b"Content-Type: text/plain; charset=windows-1252"
        ),
        200,
        1.5,
        400,
    ),
    "25 MB of words as a form": (lambda: packed(b"a=" + b" a" * 13_000_000, FORM), 200, 1.5, 400),
    "a base64 part with blanks between": (
        lambda: post(
            b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + b"A " * 13_000_000
            + b"\r\n--b--\r\n",
            b"Content-Type: multipart/form-data; boundary=b",
        ),
        200,
        1.5,
        500,
    ),
    "4 million half surrogate pairs": (
        lambda: post(b'{"a":"' + rb"\ud83d" * 4_000_000 + b'"}', JSON),
        200,
        1.5,
        500,
    ),
    "6.5 million floats": (lambda: post(b"[" + b"1.5," * 6_500_000 + b"1]", JSON), 200, 1.5, 500),
    "25 million quotes within JSON": (
        lambda: post(b'{"a":"' + b'\\"' * 13_000_000 + b'"}', JSON),
        200,
        1.5,
        500,
    ),
}


def peak_mib(sandbox: Sandbox) -> int:
    """Return the container's peak resident memory so far."""
    status = Path(f"/proc/{sandbox.pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


@pytest.mark.parametrize("name", BODIES)
def test_no_body_stops_the_others(name: str) -> None:
    make, status, seconds, mib = BODIES[name]
    request = make()
    with sandboxed() as sandbox:
        with watching(sandbox) as longest:
            answer = ask(sandbox, request, 60)
        print(f"{name}: {answer.status}, {longest[0]:.2f} s, {peak_mib(sandbox)} MiB")
        assert answer.status == status, answer.body[:300]
        assert longest[0] < seconds
        assert peak_mib(sandbox) < mib


def test_many_large_bodies_at_once_stay_within_the_container() -> None:
    strings = json.dumps(
        {"a": ["short one"] * 1_990_000}, separators=(",", ":")
    )  # nearly as many as a body may have
    request = post(strings.encode(), JSON)
    with sandboxed() as sandbox:
        with watching(sandbox) as longest:
            statuses = in_parallel([lambda: ask(sandbox, request, 120).status for _ in range(9)])
        print(
            f"nine bodies of short strings: {statuses}, {longest[0]:.2f} s, {peak_mib(sandbox)} MiB"
        )
        assert set(statuses) <= {200, 503}
        assert 200 in statuses
        assert peak_mib(sandbox) < 600
