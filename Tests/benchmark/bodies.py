"""Measure the worst bodies, each in a process of its own: `python -m Tests.benchmark.bodies`.

For each, it prints what becomes of it, the longest that reading it keeps another thread from its
turn, how long the reading takes, and the highest memory use of the process. Time is CPU time of the
thread that reads, so that other work on the machine does not count.
"""

import base64
import gc
import gzip
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [
    str(Path(__file__).parents[2] / "Packs/ApiModules/Scripts" / name)
    for name in ("WebhookFormatsApiModule", "WebhookPayloadApiModule")
]

import WebhookFormatsApiModule as formats  # noqa: E402
import WebhookPayloadApiModule as payload  # noqa: E402

MIB = 1024 * 1024
SIZE = 25 * MIB
GC_THRESHOLD = 20_000  # as the integration has it
JSON, TEXT = "application/json", "text/plain"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"


class Worst(NamedTuple):
    """A body that costs much: its Content-Type, and a function that makes its bytes."""

    content_type: str
    make: Callable[[], bytes]
    encoding: str = ""


def filled(pattern: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """Return as many of a pattern as fit a body, between a beginning and an end."""
    return before + pattern * ((SIZE - len(before) - len(after)) // len(pattern)) + after


def part(headers: bytes, data: bytes = b"1") -> bytes:
    return b"--b\r\n" + headers + b"\r\n\r\n" + data + b"\r\n"


def form_of(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b--\r\n"


def field(name: bytes, headers: bytes = b"") -> bytes:
    return b'Content-Disposition: form-data; name="%b"%b' % (name, headers)


def records(data: bytes, count: int) -> bytes:
    """Return a Firehose delivery of records."""
    record = b'{"data":"%b"}' % base64.b64encode(data)
    return b'{"requestId":"r","records":[%b]}' % b",".join([record] * count)


def templates(pattern: bytes, before: bytes = b'{"a":"', after: bytes = b'"') -> bytes:
    """Return JSON with mistakes, as long as it may be; without its end, so that all is read."""
    return before + pattern * ((256 * 1024 - len(before) - len(after)) // len(pattern)) + after


def json_parts(data: bytes, count: int) -> bytes:
    """Return a form whose parts are JSON by their own type."""
    one = part(field(b"f", b"\r\nContent-Type: application/json"), data)
    return form_of(one * count)


BODIES: dict[str, Worst] = {
    # compressed, as most of them would be sent: the decompressed body is in memory as well
    "windows-1252 without a character, compressed": Worst(
        "text/plain; charset=windows-1252", lambda: gzip.compress(filled(b"\x81"), 6), "gzip"
    ),
    "a form with an emoji, compressed": Worst(
        FORM, lambda: gzip.compress(filled(b"a", b"a=%41" + "😀".encode()), 6), "gzip"
    ),
    # JSON
    "blanks, then a word": Worst(JSON, lambda: filled(b" ", b"", b"x")),
    "an array of floats": Worst(JSON, lambda: filled(b"1.5,", b"[", b"1]")),
    "2,000,000 floats": Worst(JSON, lambda: b'{"a":[' + b"1.5," * 1_999_990 + b"1]}"),
    "an array of empty strings": Worst(JSON, lambda: filled(b'"",', b"[", b"1]")),
    "strings that end in a backslash": Worst(JSON, lambda: filled(rb'"\\",', b"[", b"1]")),
    "1,990,000 strings": Worst(JSON, lambda: b'{"a":[' + b'"abcde",' * 1_990_000 + b"1]}"),
    "an array of true": Worst(JSON, lambda: filled(b"true,", b'{"a":[', b"1]}")),
    "999,000 empty arrays": Worst(JSON, lambda: b'{"a":[' + b"[]," * 999_000 + b"1]}"),
    "900,000 empty objects": Worst(JSON, lambda: b'{"a":[' + b"{}," * 900_000 + b"1]}"),
    "an object of 450,000 keys": Worst(
        JSON, lambda: b"{" + b",".join(b'"%d":1' % n for n in range(450_000)) + b"}"
    ),
    "an object of 2,000,000 keys": Worst(
        JSON, lambda: b"{" + b",".join(b'"%d":1' % n for n in range(2_000_000)) + b"}"
    ),
    "keys that end in a backslash": Worst(
        JSON, lambda: b"{" + b",".join(b'"%d\\\\":1' % n for n in range(1_500_000)) + b"}"
    ),
    "one string of escaped quotes": Worst(JSON, lambda: filled(rb"\"", b'{"a":"', b'"}')),
    "one string of escaped characters": Worst(JSON, lambda: filled(rb"\u00e9", b'{"a":"', b'"}')),
    "one string of half surrogate pairs": Worst(JSON, lambda: filled(rb"\ud83d", b'{"a":"', b'"}')),
    "1,900,000 strings of half pairs": Worst(
        JSON, lambda: b'{"a":[' + rb'"\ud83d",' * 1_900_000 + b"1]}"
    ),
    "a float of 25 MB": Worst(JSON, lambda: filled(b"1", b"[1.", b"]")),
    "line breaks, then a mistake": Worst(JSON, lambda: filled(b"\n", b"[", b"x]")),
    "10,000 lines of numbers": Worst(
        "application/x-ndjson", lambda: (b"[" + b"1.5," * 640 + b"1]\n") * 10_000
    ),
    "an emoji, then 25 MB of ASCII": Worst(JSON, lambda: filled(b"a", '{"a":"😀'.encode(), b'"}')),
    "UTF-16 that is no JSON": Worst(JSON, lambda: filled("[é".encode("utf-16-le"))),
    "10,000 SNS messages of numbers": Worst(
        JSON,
        lambda: (
            b"[%b]" % b",".join([b'{"TopicArn":"a","Message":"[%b1]"}' % (b"1.5," * 630)] * 10_000)
        ),
    ),
    "Pub/Sub's data with blanks between": Worst(
        JSON, lambda: filled(b"A ", b'{"subscription":"s","message":{"data":"', b'"}}')
    ),
    "JSON parts of empty arrays": Worst(
        MULTIPART, lambda: json_parts(b"[" + b"[]," * 330_000 + b"1]", 25)
    ),
    "JSON parts of many keys": Worst(
        MULTIPART,
        lambda: json_parts(b"{%b}" % b",".join(b'"%d":1' % n for n in range(90_000)), 25),
    ),
    # text and bytes
    "windows-1252 without a character": Worst(
        "text/plain; charset=windows-1252", lambda: filled(b"\x81")
    ),
    "windows-1252, every twelfth replaced": Worst(
        "text/plain; charset=windows-1252", lambda: filled(b"\x81abcdefghijk")
    ),
    "XML's own charset": Worst(
        "application/xml", lambda: filled(b"\x81", b'<?xml version="1.0" encoding="cp1252"?>')
    ),
    "GB 18030": Worst("text/plain; charset=gb18030", lambda: filled("中".encode("gb18030"))),
    "broken Shift JIS": Worst("text/plain; charset=shift_jis", lambda: filled(b"\x81\xff")),
    "broken UTF-16": Worst(TEXT, lambda: filled(b"\x00\xd8", b"\xff\xfe")),
    "broken UTF-8": Worst(TEXT, lambda: filled(b"\xff")),
    "broken UTF-8, every twelfth byte": Worst(TEXT, lambda: filled(b"\xffabcdefghijk")),
    "bytes of no type": Worst("", lambda: filled(b"\xff\x00")),
    "ISO 2022": Worst("text/plain; charset=iso-2022-jp", lambda: filled(b"\x1b$B\x1b(B")),
    "text": Worst(TEXT, lambda: filled(b"a")),
    "quotes": Worst(TEXT, lambda: filled(b'"')),
    # forms
    "a form of words": Worst(FORM, lambda: filled(b" a", b"a=", b"")),
    "a form of escapes": Worst(FORM, lambda: filled(b"%41", b"a=")),
    "a form of escapes and letters": Worst(FORM, lambda: filled(b"a%41", b"a=")),
    "a form of percent signs": Worst(FORM, lambda: filled(b"%", b"a=")),
    "a form of broken escapes": Worst(FORM, lambda: filled(b"%4x", b"a=")),
    "a form of plus signs": Worst(FORM, lambda: filled(b"+", b"a=")),
    "a form of equals signs": Worst(FORM, lambda: filled(b"=", b"a=%41")),
    "a form with an emoji": Worst(FORM, lambda: filled(b"a", b"a=%41" + "😀".encode())),
    "a form's name of 25 MB": Worst(FORM, lambda: filled(b"a", b"", b"=1")),
    "a form's payload of floats": Worst(FORM, lambda: filled(b"1.5,", b"payload=[", b"1]")),
    # formats of texts
    "10,000 lines of CEF": Worst(
        TEXT,
        lambda: b"\n".join(
            [b"CEF:0|a|b|c|d|e|5|" + b" ".join(b"k%d=" % n for n in range(390))] * 10_000
        ),
    ),
    "one line of CEF": Worst(TEXT, lambda: filled(b" a", b"CEF:0|a|b|c|d|e|5|")),
    "CEF without an end of its header": Worst(TEXT, lambda: filled(b"\\|", b"CEF:0|a|b")),
    "LEEF": Worst(TEXT, lambda: filled(b"a=b\t", b"LEEF:1.0|a|b|c|d|")),
    "lines of syslog, but for the last": Worst(
        TEXT, lambda: (b"<13>" + b"a" * 2600 + b"\n") * 9_999 + b"a"
    ),
    "line breaks of syslog": Worst(TEXT, lambda: filled(b"\n", b"<13>")),
    "XML of elements": Worst("text/xml", lambda: b"<a>" + b'<b c=""/>' * 116_000 + b"</a>"),
    "XML of attributes": Worst(
        "text/xml", lambda: b"<a %b/>" % b" ".join(b'a%d=""' % n for n in range(90_000))
    ),
    "XML of one text": Worst("text/xml", lambda: b"<a>" + b"&lt;" * 200_000 + b"</a>"),
    "XML of levels": Worst("text/xml", lambda: b"<a>" * 300_000),
    "XML of 25 MB": Worst("text/xml", lambda: filled(b"<b/>", b"<a>", b"</a>")),
    "a template of quotes": Worst(JSON, lambda: templates(b'"')),
    "a template of quotes and blanks": Worst(JSON, lambda: templates(b'"' + b" " * 199)),
    "a template of quotes and commas": Worst(JSON, lambda: templates(b'", "')),
    "a template of folders": Worst(JSON, lambda: templates(b'\\"}}}}}}}}}}')),
    "a template of escapes": Worst(JSON, lambda: templates(rb"\ud83d", b'{"a":"', b'",}')),
    "a template of members": Worst(JSON, lambda: templates(b"a:,", b"{")),
    "a template of elements": Worst(JSON, lambda: templates(b'"",', b"[", b"")),
    "a template of macros": Worst(JSON, lambda: templates(b"{x", b"[")),
    "a template of levels": Worst(JSON, lambda: templates(b'{"a":', b"")),
    "a template of comments": Worst(JSON, lambda: templates(b"/**/#\n", b"[", b"x")),
    "a template of broken comments": Worst(JSON, lambda: templates(b"/*,", b"[", b"x")),
    "a template in windows-1252": Worst(JSON, lambda: b'{"a":"' + b"\x81" * (MIB - 99) + b'"}'),
    "records of templates": Worst(JSON, lambda: records(b'{"a":' + b'"",' * 600, 9_900)),
    "records of XML": Worst(JSON, lambda: records(b"<a>" + b'<b c=""/>' * 200, 9_900)),
    "records of JSON": Worst(JSON, lambda: records(b"[" + b'{"":1},' * 200 + b"1]", 9_900)),
    "records of gzip": Worst(
        JSON, lambda: records(gzip.compress(b"[" + b"1.5," * 2_000_000 + b"1]"), 9)
    ),
    "records of gzip in 32 KiB": Worst(
        JSON, lambda: records(gzip.compress(b'{"a":"' + b"a" * 20 * MIB + b'"}'), 1)
    ),
    # multipart forms
    "999 parts of semicolons": Worst(
        MULTIPART, lambda: form_of(part(field(b"f", b";" * 950), b"1") * 999)
    ),
    "999 parts of parameters": Worst(
        MULTIPART,
        lambda: form_of(part(b"\r\n".join([field(b"f", b";a*0*=''%41" * 80)] * 8), b"1") * 999),
    ),
    "999 parts of encoded words": Worst(
        MULTIPART, lambda: form_of(part(field(b"=?a?q?" * 150), b"1") * 999)
    ),
    "a base64 part with blanks between": Worst(
        MULTIPART,
        lambda: form_of(
            part(field(b"f", b"\r\nContent-Transfer-Encoding: base64"), filled(b"A ")[: SIZE - 200])
        ),
    ),
    "a base64 part": Worst(
        MULTIPART,
        lambda: form_of(
            part(field(b"f", b"\r\nContent-Transfer-Encoding: base64"), b"QUFB" * (SIZE // 4 - 99))
        ),
    ),
    "a quoted-printable part": Worst(
        MULTIPART,
        lambda: form_of(
            part(
                field(b"f", b"\r\nContent-Transfer-Encoding: quoted-printable"),
                b"=41" * (SIZE // 3 - 99),
            )
        ),
    ),
    "lines that begin like the delimiter": Worst(
        MULTIPART, lambda: filled(b"\r\n--bx", part(field(b"f"))[:-2], b"\r\n--b--\r\n")
    ),
    "a boundary of 70 letters": Worst(
        f"multipart/form-data; boundary={'a' * 69}b", lambda: filled(b"a")
    ),
    "a delimiter, then blanks": Worst(MULTIPART, lambda: filled(b" ", b"--b", b"x")),
    "999 fields in a charset without their characters": Worst(
        MULTIPART,
        lambda: form_of(
            part(
                field(b"f", b"\r\nContent-Type: text/plain; charset=windows-1252"),
                b"\x81" * (SIZE // 999 - 120),
            )
            * 999
        ),
    ),
}


class Figures(NamedTuple):
    """What reading a body took: seconds of CPU, MiB of memory, and what became of it."""

    answer: str
    gap: float
    total: float
    memory: float


def longest_gap(function: Callable[[], None]) -> tuple[float, float]:
    """Run a function; return its CPU seconds between two turns of another thread, and in all."""
    clock = time.pthread_getcpuclockid(threading.get_ident())
    longest, done = 0.0, threading.Event()
    turning = threading.Event()

    def take_turns() -> None:
        nonlocal longest
        last = time.clock_gettime(clock)
        while not done.is_set():
            turning.set()
            time.sleep(0.0005)
            now = time.clock_gettime(clock)
            longest, last = max(longest, now - last), now

    other = threading.Thread(target=take_turns)
    other.start()
    turning.wait()
    started = time.clock_gettime(clock)
    function()
    total = time.clock_gettime(clock) - started
    done.set()
    other.join()
    return longest, total


def measure(name: str) -> Figures:
    """Return the figures of a body; call it in a process of its own."""
    worst = BODIES[name]
    body = worst.make()
    assert len(body) <= SIZE
    answer = ""

    def read() -> None:
        nonlocal answer
        try:
            items = payload.read_payload(
                body, worst.content_type, worst.encoding, formats=formats.TextReader
            )
            answer = f"{len(items.values)} events"
        except payload.PayloadError as error:
            answer = error.sentence

    sys.setswitchinterval(0.0001)  # as the integration does
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    gap, total = longest_gap(read)
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return Figures(answer, gap, total, peak)


def main(names: list[str]) -> None:
    """Print the figures of the bodies named, or of all."""
    print("| Body | Answer | Others wait | In all | Memory |\n| --- | --- | --- | --- | --- |")
    for name in names or BODIES:
        command = [sys.executable, "-m", "Tests.benchmark.bodies", "--json", name]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        figures = Figures(*json.loads(run.stdout))
        print(
            f"| {name} | {figures.answer[:100]} | {figures.gap:.2f} s | {figures.total:.2f} s "
            f"| {figures.memory:.0f} MiB |",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--json"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        main(sys.argv[1:])
