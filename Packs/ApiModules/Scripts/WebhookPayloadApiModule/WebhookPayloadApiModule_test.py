"""Unit tests of WebhookPayloadApiModule.py."""

import codecs
import contextlib
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import WebhookFormatsApiModule as formats
import WebhookPayloadApiModule as payload
from hypothesis import given, settings
from hypothesis import strategies as some

from Tests.benchmark.bodies import BODIES, Figures
from Tests.costs import assert_linear, compiled_patterns


def read(body: bytes, content_type: str = "", content_encoding: str = "") -> list[Any]:
    """Return the values of a body's items."""
    return payload.read_payload(body, content_type, content_encoding).values


EXPECTED = (
    'POST a JSON object such as {"name": "...", "raw_json": {...}}, an array of them, JSON lines, '
    "a form or any text."
)
# What the integration answers for each kind of refusal.
ERRORS = {
    400: payload.PayloadError,
    413: payload.PayloadTooLarge,
    415: payload.UnsupportedEncoding,
}
NOT_JSON = "The body is not the JSON that its Content-Type promises"
CODECS_THAT_ARE_NO_CHARSET = (
    *(
        "utf-7",
        "unicode-1-1-utf-7",
        "idna",
        "punycode",
        "undefined",
        "unicode_escape",
        "raw-unicode-escape",
    ),
    *("zlib", "hex", "rot13", "\0", "x" * 999),
)
TOO_MANY_CONTAINERS = (
    f"{NOT_JSON}: it holds more than 1000000 objects and arrays; send it in several requests."
)
TOO_MANY_FIELDS = f"{NOT_JSON}: it holds more than 500000 fields; send it in several requests."
BAD_PART = "A part of the form has headers over 8 KiB or 32 lines, or folded ones."
NO_MULTIPART = (
    "The body is not a multipart form with the boundary that its Content-Type names; send it whole."
)


class TestPayload:
    @pytest.mark.parametrize(
        "body, content_type, items",
        [
            (b'{"a":1}', "", [{"a": 1}]),
            (b' \r\n{"a":1}\n', "text/plain", [{"a": 1}]),
            (b'[{"a":1},2]', "application/x-www-form-urlencoded", [{"a": 1}, 2]),
            (b'{"a":1}', "application/json; charset=no-such-charset", [{"a": 1}]),
            ('{"a":"é"}'.encode("latin-1"), 'application/json; charset="ISO-8859-1"', [{"a": "é"}]),
            (b"7", "application/vnd.example+json", [7]),
            (b'"x"', "application/csp-report", ["x"]),
            (b"7", "", [{"body": "7"}]),
            (b'{"a":1}\r\n\r\n{"a":2}', "text/plain", [{"a": 1}, {"a": 2}]),
            (b'{"a":1}\n[2]', "text/plain", [{"body": '{"a":1}\n[2]'}]),
            (b'{"a":1}\noops', "", [{"body": '{"a":1}\noops'}]),
            (b'1\n{"a":2}\n\n"x"\n', "application/jsonl", [1, {"a": 2}, "x"]),
            (b"1\n2", "application/x-ndjson", [1, 2]),
            (b"1\n2", "application/ndjson", [1, 2]),
            (b"\x1e1\n\x1e2\n", "application/json-seq", [1, 2]),
            (
                b"a=1&b=2&b=3&b=4&c=",
                "application/x-www-form-urlencoded",
                [{"a": "1", "b": ["2", "3", "4"], "c": ""}],
            ),
            (b"a=%C3%A9+x", "application/x-www-form-urlencoded", [{"a": "é x"}]),
            (b"a=%E9", "application/x-www-form-urlencoded; charset=latin-1", [{"a": "é"}]),
            (b"a=%E9", "application/x-www-form-urlencoded", [{"body": "a=%E9"}]),
            (b"plain words", "application/x-www-form-urlencoded", [{"body": "plain words"}]),
            (b"<a b='c'/>", "application/x-www-form-urlencoded", [{"body": "<a b='c'/>"}]),
            (b"&&", "application/x-www-form-urlencoded", [{"body": "&&"}]),
            ("ä=1".encode(), "application/x-www-form-urlencoded", [{"ä": "1"}]),
            (b"payload=%7B%22a%22%3A1%7D", "application/x-www-form-urlencoded", [{"a": 1}]),
            (b"payload=%5B1%2C2%5D", "application/x-www-form-urlencoded", [1, 2]),
            (b"payload=text", "application/x-www-form-urlencoded", [{"payload": "text"}]),
            (
                b"payload=1&payload=2",
                "application/x-www-form-urlencoded",
                [{"payload": ["1", "2"]}],
            ),
            (
                b"payload=%7B%7D&a=1",
                "application/x-www-form-urlencoded",
                [{"payload": "{}", "a": "1"}],
            ),
            ("grüße".encode("latin-1"), "text/plain; charset=latin-1", [{"body": "grüße"}]),
            ("grüße".encode(), "text/plain", [{"body": "grüße"}]),
            ("grüße".encode("utf-16"), "text/plain", [{"body": "grüße"}]),
            ("grüße".encode("utf-8-sig"), "text/plain", [{"body": "grüße"}]),
            (codecs.BOM_UTF16_BE + "grüße".encode("utf-16-be"), "text/plain", [{"body": "grüße"}]),
            (codecs.BOM_UTF32_LE + "grüße".encode("utf-32-le"), "text/plain", [{"body": "grüße"}]),
            (codecs.BOM_UTF32_BE + "grüße".encode("utf-32-be"), "text/plain", [{"body": "grüße"}]),
            ("grüße".encode("utf-8-sig"), "text/plain; charset=utf-8-sig", [{"body": "grüße"}]),
            ("[7]".encode("utf-16-le"), "", [7]),
            ("[7]".encode("utf-16-be"), "text/plain", [7]),
            ("[7]".encode("utf-32-le"), "application/json", [7]),
            ("[7]".encode("utf-32-be"), "application/json", [7]),
            (b"a\x00b", "text/x-log", [{"body": "a\x00b"}]),
            (b"a\x00b", "application/atom+xml", [{"body": "a\x00b"}]),
            (b"a\x00b", "application/csv", [{"body": "a\x00b"}]),
            (b"a\x00b", "application/javascript", [{"body": "a\x00b"}]),
            (b"a\x00b", "application/x-www-form-urlencoded", [{"body": "a\x00b"}]),
            (b"\x00\x01", "", [{"body_base64": "AAE="}]),
            (b"\xff\xd8\xff", "image/jpeg", [{"body_base64": "/9j/"}]),
            (b"gr\xfc", "text/plain", [{"body": "gr\ufffd", "body_base64": "Z3L8"}]),
            (b"{broken", "", [{"body": "{broken"}]),
            (b"ab\x00cd", "application/octet-stream", [{"body_base64": "YWIAY2Q="}]),
            (
                b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n\xff\r\n--b--\r\n',
                "multipart/form-data; boundary=b",
                [{"f": {"body": "\ufffd", "body_base64": "/w=="}}],
            ),
            (b"\x1b[31mred\x1b[0m", "", [{"body": "\x1b[31mred\x1b[0m"}]),
        ],
    )
    def test_a_body_becomes_its_items(
        self, body: bytes, content_type: str, items: list[Any]
    ) -> None:
        """
        Given: a body as some sender posts it
        When: it is read
        Then: it becomes the items the sender meant
        """
        assert read(body, content_type) == items

    @pytest.mark.parametrize(
        "body, content_type, status, sentence",
        [
            (b"", "", 400, f"The body is empty. {EXPECTED}"),
            (b" \r\n\t", "text/plain", 400, f"The body is empty. {EXPECTED}"),
            (b"[]", "application/json", 400, f"The body holds no event. {EXPECTED}"),
            (b"\n\n", "application/x-ndjson", 400, f"The body is empty. {EXPECTED}"),
            (
                b'{"a":',
                "application/json",
                400,
                f"{NOT_JSON}: Expecting value at line 1, column 6.",
            ),
            (
                b'{"a":1,\n\n}',
                "text/json",
                400,
                f"{NOT_JSON}: Expecting property name enclosed in double quotes at line 3, "
                "column 1.",
            ),
            (
                b'{"a":1} 5',
                "application/json",
                400,
                f"{NOT_JSON}: there is more text after the value that ends at character 9.",
            ),
            (
                b'{"a":1} {"b":',
                "application/json",
                400,
                f"{NOT_JSON}: Expecting value at line 1, column 14.",
            ),
            (
                b'{"a":"\xff"}',
                "application/json",
                400,
                f"{NOT_JSON}: it is not valid utf-8 at byte 6; send it as UTF-8.",
            ),
            (
                rb'["\q"]',
                "application/json",
                400,
                f"{NOT_JSON}: Invalid \\escape at line 1, column 3.",
            ),
            (
                b'["a',
                "application/json",
                400,
                f"{NOT_JSON}: Unterminated string starting at line 1, column 2.",
            ),
            (
                b'{"a":1}\n{"a":',
                "application/x-ndjson",
                400,
                f"{NOT_JSON}: Expecting value at line 2, column 6.",
            ),
            (
                b'{"a":"\xff"}',
                "application/x-ndjson",
                400,
                f"{NOT_JSON}: it is not valid utf-8 at byte 6; send it as UTF-8.",
            ),
            (
                b"[" * 201 + b"]" * 201,
                "application/json",
                400,
                f"{NOT_JSON}: it is nested deeper than 200 levels.",
            ),
            (
                b"[" * 100_000 + b"]" * 100_000,
                "application/json",
                400,
                f"{NOT_JSON}: it is nested deeper than 200 levels.",
            ),
            (
                b"[" + b"1," * 10_000 + b"1]",
                "application/json",
                413,
                "The body holds more than 10000 events; send them in several requests.",
            ),
            (
                b"1\n" * 15_000,
                "application/jsonl",
                413,
                "The body holds more than 10000 events; send them in several requests.",
            ),
            (
                b"&".join(b"a=%d" % number for number in range(1001)),
                "application/x-www-form-urlencoded",
                413,
                "The form has more than 1000 fields; send fewer, or JSON.",
            ),
            (
                b"--b\r\n\r\n" * 1001 + b"--b--\r\n",
                "multipart/form-data; boundary=b",
                413,
                "The form has more than 1000 parts; send fewer, or JSON.",
            ),
            (
                b'{"a":[' + b"[]," * 1_000_000 + b"1]}",
                "application/json",
                400,
                TOO_MANY_CONTAINERS,
            ),
            (
                b"[]" * 20 + b"\n" + b'{"a":[' + b"[]," * 999_999 + b"1]}\n[]",
                "application/x-ndjson",
                400,
                TOO_MANY_CONTAINERS,
            ),
            (
                b"{" + b",".join(b'"%d":1' % number for number in range(600_000)) + b"}",
                "application/json",
                400,
                TOO_MANY_FIELDS,
            ),
            (
                b'--b\r\nContent-Disposition: form-data;\r\n name="f"\r\n\r\n1\r\n--b--\r\n',
                "multipart/form-data; boundary=b",
                400,
                BAD_PART,
            ),
            (
                b"--b\r\n" + b"a: b\r\n" * 40 + b"\r\n1\r\n--b--\r\n",
                "multipart/form-data; boundary=b",
                400,
                BAD_PART,
            ),
            (
                b"--b\r\nx: " + b"a" * 9000 + b"\r\n\r\n1\r\n--b--\r\n",
                "multipart/form-data; boundary=b",
                400,
                BAD_PART,
            ),
            (b"no boundary", "multipart/form-data", 400, NO_MULTIPART),
            (b"--" * 2000, "multipart/form-data", 400, NO_MULTIPART),
            (b"--x\r\nbroken", "multipart/form-data; boundary=b", 400, NO_MULTIPART),
        ],
    )
    def test_what_cannot_be_read_is_refused_with_the_reason(
        self, body: bytes, content_type: str, status: int, sentence: str
    ) -> None:
        """
        Given: a body that is broken by its own content type, or that holds too much or nothing
        When: it is read
        Then: it is refused, and the sender is told why and where
        """
        with pytest.raises(payload.PayloadError) as refusal:
            read(body, content_type)
        assert type(refusal.value) is ERRORS[status]
        assert refusal.value.sentence == sentence

    def test_nesting_at_the_limit_is_read(self) -> None:
        """
        Given: 200 levels, and wide JSON with more brackets than that
        When: it is read
        Then: it is taken
        """
        assert len(read(b"[" * 199 + b"7" + b"]" * 199, "application/json")) == 1
        assert len(read(b"[" + b'{"a":[]},' * 300 + b"{}]", "application/json")) == 301

    @pytest.mark.parametrize("text", ['{"a":[7,DEEP]}', '[7,{"a":DEEP}]', "[7,[7,DEEP]]"])
    def test_nesting_is_counted_behind_plain_values(self, text: str) -> None:
        """
        Given: more levels than allowed, behind a number
        When: it is read
        Then: it is refused
        """
        with pytest.raises(payload.UnreadableJson, match="deeper than 200 levels"):
            payload.parse_json(text.replace("DEEP", "[" * 199 + "]" * 199))

    def test_what_is_exactly_at_a_limit_is_read(self) -> None:
        """
        Given: as many events, fields, parts, objects and characters as are allowed
        When: they are read
        Then: all are there
        """
        part = b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n1\r\n'
        long_boundary = "multipart/form-data; boundary=b"
        long_boundary += "; x=" + "x" * (1000 - len(long_boundary) - 4)
        assert len(read(b"[" + b"1," * 999 + b"1]", "application/json")) == 1000
        assert len(read(b"1\n" * 1000, "application/jsonl")) == 1000
        [fields] = read(b"&".join([b"a=1"] * 1000), "application/x-www-form-urlencoded", "")
        assert fields == {"a": ["1"] * 1000}
        for content_type in ("multipart/form-data; boundary=b", long_boundary):
            [parts] = read(part * 1000 + b"--b--\r\n", content_type)
            assert parts == {"f": ["1"] * 1000}
        # Parameters longer than that are not read.
        with pytest.raises(payload.PayloadError, match="not a multipart form"):
            read(part + b"--b--\r\n", long_boundary + "x")
        assert len(payload.parse_json("[" + "[]," * 999_998 + "[]]")) == 999_999

    @pytest.mark.parametrize(
        "text, value",
        [
            ("[NaN]", "NaN"),
            ("[Infinity]", "Infinity"),
            ("[-Infinity]", "-Infinity"),
            ("[1e999]", "1e999"),
            ("[-1e999]", "-1e999"),
            ("[1e308]", 1e308),
            ("[1e-400]", 0.0),
            ("[" + "9" * 308 + "]", int("9" * 308)),
            ("[" + "9" * 309 + "]", "9" * 309),
            ("[" + "9" * 5000 + "]", "9" * 5000),
            ("[-0]", 0),
            ("[12345678901234567890]", 12345678901234567890),
        ],
    )
    def test_numbers_no_double_holds_are_kept_as_their_text(self, text: str, value: Any) -> None:
        """
        Given: a number JSON does not have, or one no double can hold
        When: it is read
        Then: it is kept as text, so that XSOAR gets valid JSON
        """
        assert payload.parse_json(text) == [value]
        assert type(payload.parse_json(text)[0]) is type(value)

    @pytest.mark.parametrize("digits, kind", [(308, int), (309, str), (4300, str), (5000, str)])
    def test_a_long_number_is_found_wherever_it_stands(self, digits: int, kind: type) -> None:
        """
        Given: a small object with a number after any few characters
        When: it is read
        Then: a number that no double can hold is text, and then the JSON does not stay as it came
        """
        for before in range(payload.SAMPLED_EVERY + 1):
            name = "k" * before
            text = f'{{"{name}":{"7" * digits}}}'
            value, verbatim = payload.parse_small(text)
            assert type(value[name]) is kind
            assert verbatim == (text if kind is int else "")

    def test_of_duplicate_keys_the_last_wins_in_small_and_large_bodies(self) -> None:
        """
        Given: an object with a key twice
        When: it is read by the parser for small and for large bodies
        Then: the last value stays
        """
        assert payload.parse_json('{"a":1,"a":2}') == {"a": 2}
        assert payload.parse_json('{"a":1,"a":2}' + " " * 70_000) == {"a": 2}

    def test_a_true_surrogate_pair_is_a_character(self) -> None:
        """
        Given: an escaped pair
        When: it is read
        Then: it is the character it stands for
        """
        assert payload.parse_json(r'"\ud83d\ude00"') == "😀"

    @pytest.mark.parametrize("charset", CODECS_THAT_ARE_NO_CHARSET)
    def test_a_codec_that_is_no_charset_is_ignored(self, charset: str) -> None:
        """
        Given: a charset that names a codec no sender means
        When: the body is read
        Then: it is UTF-8
        """
        text = r"+AOk- é \u00e9 xn--bcher-kva"
        assert read(text.encode(), f"text/plain; charset={charset}") == [{"body": text}]

    def test_a_file_of_a_form_is_described(self) -> None:
        """
        Given: a multipart form with a field twice, a text file and a binary one
        When: it is read
        Then: fields are values, files are name, type, size and content
        """
        body = (
            b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n1\r\n'
            b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n2\r\n'
            b'--b\r\nContent-Disposition: form-data; name="t"; filename="a.txt"\r\n'
            b"Content-Type: text/plain\r\n\r\nhi\r\n"
            b'--b\r\nContent-Disposition: form-data; name="x"; filename="a.bin"\r\n'
            b"\r\n\x00\x01\r\n--b--\r\n"
        )
        [item] = read(body, "multipart/form-data; boundary=b")
        assert item["f"] == ["1", "2"]
        assert item["t"] == {"name": "a.txt", "type": "text/plain", "size": 2, "body": "hi"}
        assert item["x"] == {"name": "a.bin", "type": "", "size": 2, "body_base64": "AAE="}

    def test_a_part_without_a_name_and_a_file_s_charset_are_kept(self) -> None:
        """
        Given: a multipart form with a part that has no name, and a file in Latin-1 that says so
        When: it is read
        Then: the part has an empty name, the file its text
        """
        body = (
            b"--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n"
            b'--b\r\nContent-Disposition: form-data; name="t"; filename="a.txt"\r\n'
            b"Content-Type: text/plain; charset=latin-1\r\n\r\n\xfc\r\n--b--\r\n"
        )
        [item] = read(body, "multipart/form-data; boundary=b")
        assert item == {
            "": "1",
            "t": {"name": "a.txt", "type": "text/plain; charset=latin-1", "size": 1, "body": "ü"},
        }

    def test_a_lone_payload_part_is_its_json(self) -> None:
        """
        Given: a multipart form with nothing but a payload field
        When: it is read
        Then: the JSON in it is the item
        """
        body = b'--b\r\nContent-Disposition: form-data; name="payload"\r\n\r\n{"a":1}\r\n--b--\r\n'
        assert read(body, "multipart/form-data; boundary=b") == [{"a": 1}]


def gzipped(data: bytes, level: int = 9) -> bytes:
    """Return a gzip stream that is the same each time, for it is part of a test's name."""
    return gzip.compress(data, level, mtime=0)


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


NO_STREAM = "The body is not a {} stream; compress it, or send it without Content-Encoding."
CUT_STREAM = "The body ends before its {} stream does; send it whole."
ENCODINGS = "Send the body with Content-Encoding gzip or deflate, or without any."
TOO_LARGE = "The decompressed body is larger than 25 MiB; send fewer events at a time."


FORM = "application/x-www-form-urlencoded"
LOG_LINE = 'date=2024-05-10 time=11:37:47 tz="+0200" msg="50%20off a+b=c&d=e"'


def part_of(*lines: str, name: str = '; name="f"', content: bytes = b"1") -> bytes:
    """Return a multipart body of one part, with boundary b and these further header lines."""
    lines = (f"Content-Disposition: form-data{name}", *lines)
    return (
        b"--b\r\n"
        + "".join(f"{line}\r\n" for line in lines).encode()
        + b"\r\n"
        + content
        + b"\r\n--b--\r\n"
    )


class TestWhatIsRead:
    """Rows of bodies that well-known senders post and that used to be refused or mangled."""

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "application/stream+json",
            "application/json-seq",
            "",
            FORM,
            "text/plain",
        ],
    )
    @pytest.mark.parametrize(
        "body",
        [
            b'{"n":1}\n{"n":2}',
            b'{"n":1}{"n":2}',
            b'{\n  "n": 1\n}\n{\n  "n": 2\n}\n',
            b'\x1e{"n":1}\n\x1e{"n":2}\n',
            b' {"n":1} \r\n\r\n {"n":2}\0',
        ],
    )
    def test_objects_one_after_the_other(self, body: bytes, content_type: str) -> None:
        assert read(body, content_type) == [{"n": 1}, {"n": 2}]

    @pytest.mark.parametrize("body", [b'{"n":1}\n{"n":', b'{"n":1}\n{"n":2}x', b'{"n":1} and more'])
    def test_one_broken_element_is_400_under_a_json_type_and_text_under_others(
        self, body: bytes
    ) -> None:
        with pytest.raises(payload.PayloadError):
            read(body, "application/json")
        assert read(body, "text/plain") == [{"body": body.decode()}]

    @pytest.mark.parametrize(
        "body, content_type, items",
        [
            (b'{"a":"1\n2\t3"}', "application/json", [{"a": "1\n2\t3"}]),
            (
                b'{"a":"\\ud83d x \\ud83d\\ude00"}',
                "application/json",
                [{"a": "\ufffd x \U0001f600"}],
            ),
            (b'{"\\uDC00":1}', "application/json", [{"\ufffd": 1}]),
            (b'{"a":1}\0', "application/json", [{"a": 1}]),
            (rb'"{\"a\":1}"', "application/json", [{"a": 1}]),
            (rb'"[{\"a\":1},{\"a\":2}]"', "", [{"a": 1}, {"a": 2}]),
            (rb'"{no json"', "application/json", ["{no json"]),
            ('{"a":"ö"}'.encode(), "application/json; charset=ISO-8859-1", [{"a": "ö"}]),
            ('{"a":"ö"}'.encode("latin-1"), "application/json; charset=ISO-8859-1", [{"a": "ö"}]),
            ("grün".encode("latin-1"), "", [{"body": "gr\ufffdn", "body_base64": "Z3L8bg=="}]),
            (
                '<?xml version="1.0" encoding="ISO-8859-1"?><a>ö</a>'.encode("latin-1"),
                "",
                [{"body": '<?xml version="1.0" encoding="ISO-8859-1"?><a>ö</a>'}],
            ),
            (LOG_LINE.encode(), FORM, [{"body": LOG_LINE}]),
            ("host=db1&msg=größer als".encode(), FORM, [{"host": "db1", "msg": "größer als"}]),
            (b"a=1&flag&b=2", FORM, [{"a": "1", "flag": "", "b": "2"}]),
            (b"a=%C3%B6+%41&b=%zz", FORM, [{"a": "ö A", "b": "%zz"}]),
            (b"alert=%7B%22n%22%3A1%7D", FORM, [{"n": 1}]),
            (
                b"mandrill_events=%5B%7B%22n%22%3A1%7D%2C%7B%22n%22%3A2%7D%5D",
                FORM,
                [{"n": 1}, {"n": 2}],
            ),
        ],
    )
    def test_a_row(self, body: bytes, content_type: str, items: list[Any]) -> None:
        assert read(body, content_type) == items

    @pytest.mark.parametrize("encoding", ["UTF-8", "none", "8bit", "identity, utf-8", ""])
    def test_an_encoding_that_is_none(self, encoding: str) -> None:
        assert read(b'{"a":1}', "application/json", encoding) == [{"a": 1}]

    def test_packed_or_not_the_bytes_decide(self) -> None:
        assert read(b'{"a":1}', "application/json", "gzip") == [{"a": 1}]
        assert read(b'{"a":1}', "application/json", "deflate") == [{"a": 1}]
        assert read(gzipped(b'{"a":1}'), "application/json") == [{"a": 1}]
        assert read(b"\x1f\x8b\x08 not really", "") == [{"body_base64": "H4sIIG5vdCByZWFsbHk="}]

    @pytest.mark.parametrize(
        "body, item",
        [
            (part_of("Content-Type: application/json", content=b'{"n":1}'), {"f": {"n": 1}}),
            (
                part_of("Content-Transfer-Encoding: base64", content=b"Z3L8bg=="),
                {"f": {"body": "gr\ufffdn", "body_base64": "Z3L8bg=="}},
            ),
            (
                part_of("Content-Type: text/plain; charset=latin-1", content=b"gr\xfcn"),
                {"f": "grün"},
            ),
            (
                part_of(name="; name=f; filename*=UTF-8''gr%C3%BCn.txt", content=b"x"),
                {"f": {"name": "grün.txt", "type": "", "size": 1, "body": "x"}},
            ),
            (part_of(name='; name="=?utf-8?q?gr=C3=BCn?="'), {"grün": "1"}),
            (b'--b\nContent-Disposition: form-data; name="f"\n\n1\n--b--\n', {"f": "1"}),
            (
                b"preamble\r\n--b\r\n"
                b'Content-Disposition: form-data; name="f"\r\n\r\n--bold\r\n--b--',
                {"f": "--bold"},
            ),
            (part_of("Content-Type: text/plain", content=b""), {"f": ""}),
        ],
        ids=range(8),
    )
    def test_a_part_of_a_form(self, body: bytes, item: dict[str, Any]) -> None:
        assert read(body, "multipart/form-data; boundary=b") == [item]

    def test_a_bad_part_costs_that_part_alone(self) -> None:
        body = (
            b'--b\r\nContent-Disposition: form-data; name="charsets"\r\n\r\n'
            b'{"subject":"iso-8859-1"}\r\n'
            b'--b\r\nContent-Disposition: form-data; name="subject"\r\n\r\ngr\xfcn\r\n'
            b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\nbad \xff byte\r\n'
            b'--b\r\nContent-Disposition: form-data; name="to"\r\n\r\nsoc@example.com\r\n--b--\r\n'
        )
        [item] = read(body, "multipart/form-data; boundary=b")
        assert item.pop("text") == {"body": "bad \ufffd byte", "body_base64": "YmFkIP8gYnl0ZQ=="}
        assert item == {
            "charsets": '{"subject":"iso-8859-1"}',
            "subject": "grün",
            "to": "soc@example.com",
        }

    @pytest.mark.parametrize(
        "content, items", [(b'{"n":1}', [{"n": 1}]), (b'[{"n":1},{"n":2}]', [{"n": 1}, {"n": 2}])]
    )
    def test_payload_next_to_a_file_is_the_event(
        self, content: bytes, items: list[dict[str, Any]]
    ) -> None:
        body = (
            b'--b\r\nContent-Disposition: form-data; name="payload"\r\n\r\n'
            + content
            + b'\r\n--b\r\nContent-Disposition: form-data; name="thumb"; filename="t.jpg"\r\n'
            + b"Content-Type: image/jpeg\r\n\r\n\xff\xd8\xff\0\r\n--b--\r\n"
        )
        values = read(body, "multipart/form-data; boundary=b")
        thumb = {"name": "t.jpg", "type": "image/jpeg", "size": 4, "body_base64": "/9j/AA=="}
        assert values[0].pop("form") == {"thumb": thumb}
        assert values == items

    def test_the_boundary_that_counts_is_the_one_that_parts(self) -> None:
        body = b"--B\r\n\r\n" * 5000 + b"--B--\r\n"
        for header in (
            "multipart/form-data; boundary=zzz; boundary=B",
            "multipart/form-data; boundary=B; boundary=zzz",
        ):
            with pytest.raises(payload.PayloadError):
                read(body, header)

    @pytest.mark.parametrize(
        "item, decoded",
        [
            ({"Type": "Notification", "TopicArn": "arn:x", "Message": '{"n":1}'}, {"n": 1}),
            ({"Type": "Notification", "TopicArn": "arn:x", "Message": "plain"}, None),
            ({"subscription": "s", "message": {"data": "eyJuIjoxfQ=="}}, {"n": 1}),
            ({"subscription": "s", "message": {"data": "aGVsbG8="}}, "hello"),
            ({"subscription": "s", "message": {"data": 5}}, None),
            ({"specversion": "1.0", "data_base64": "eyJuIjoxfQ=="}, {"n": 1}),
            ({"specversion": "1.0", "data_base64": "/w=="}, None),
            ({"message": {"data": "eyJuIjoxfQ=="}}, None),
        ],
    )
    def test_what_an_event_carries_is_decoded_beside_it(
        self, item: dict[str, Any], decoded: Any
    ) -> None:
        assert payload.add_decoded(item) == (
            {**item, "decoded": decoded} if decoded is not None else item
        )

    def test_without_a_body_the_query_is_the_event(self) -> None:
        assert payload.read_payload(b"", "", "", {"id": "down", "value": "true"}).values == [
            {"id": "down", "value": "true"}
        ]
        with pytest.raises(payload.PayloadError):
            payload.read_payload(b"", "", "", {})

    def test_what_cannot_be_read_is_kept_where_the_instance_says_so(self) -> None:
        [item] = payload.read_payload(b'{"a":', "application/json", "", keep_unreadable=True).values
        assert item["body"] == '{"a":'
        assert "Expecting value at line 1, column 6" in item["problem"]

    def test_ten_thousand_events_are_one_request(self) -> None:
        assert len(read(b'{"n":1}\n' * 10_000, "application/x-ndjson")) == 10_000


class TestContentEncoding:
    @pytest.mark.parametrize(
        "packed, encoding",
        [
            (gzipped(b"[1]"), "gzip"),
            (gzipped(b"[1]"), "GZIP"),
            (gzipped(b"[1]"), "x-gzip"),
            (gzipped(b"[1]"), "identity, gzip"),
            (gzipped(b"[1]"), " ,gzip,"),
            (gzipped(b"[1") + gzipped(b"") * 998 + gzipped(b"]"), "gzip"),
            (gzipped(b"[") + gzipped(b"1]"), "gzip"),
            (zlib.compress(b"[1]"), "deflate"),
            (raw_deflate(b"[1]"), "deflate"),
            (b"\x00\x03\x00\xfc\xff[1]" + raw_deflate(b""), "deflate"),
            (b"\x08\x03\x00\xfc\xff[1]" + raw_deflate(b""), "deflate"),
            (b"\x00\x1f\x00\xe0\xff" + b" " * 28 + b"[1]" + raw_deflate(b""), "deflate"),
            (b"[1]", "identity"),
            (b"[1]", ""),
        ],
    )
    def test_a_packed_body_is_unpacked(self, packed: bytes, encoding: str) -> None:
        """
        Given: a body packed as senders do, of several members and with or without a zlib header
        When: it is read
        Then: it is what was packed
        """
        assert read(packed, "application/json", encoding) == [1]

    @pytest.mark.parametrize(
        "packed, encoding, status, sentence",
        [
            (b"\x1f\x8b\x08 no gzip", "gzip", 400, NO_STREAM.format("gzip")),
            (gzipped(b"[1]")[:-9], "gzip", 400, CUT_STREAM.format("gzip")),
            (gzipped(b"[1]") + b"rest", "gzip", 400, NO_STREAM.format("gzip")),
            (b"\xff\xff", "deflate", 400, NO_STREAM.format("deflate")),
            (b"\x80", "deflate", 400, CUT_STREAM.format("deflate")),
            (zlib.compress(b"")[:2], "deflate", 400, CUT_STREAM.format("deflate")),
            (b"[1]", "br", 415, ENCODINGS),
            (b"[1]", "gzip, deflate", 415, ENCODINGS),
            (gzipped(bytes(25 * 1024 * 1024 + 1), 1), "gzip", 413, TOO_LARGE),
            (gzipped(b" ") + gzipped(bytes(25 * 1024 * 1024), 1), "gzip", 413, TOO_LARGE),
            (gzipped(b""), "gzip", 400, f"The body is empty. {EXPECTED}"),
            (
                gzipped(b" ") * 1001,
                "gzip",
                400,
                "The body has more than 1000 gzip members; compress it as one.",
            ),
        ],
    )
    def test_what_cannot_be_unpacked_is_refused(
        self, packed: bytes, encoding: str, status: int, sentence: str
    ) -> None:
        """
        Given: a broken stream, one too large, or an encoding we do not know
        When: it is read
        Then: 400, 413 or 415
        """
        with pytest.raises(payload.PayloadError) as refusal:
            read(packed, "application/json", encoding)
        assert type(refusal.value) is ERRORS[status]
        assert refusal.value.sentence == sentence
        if isinstance(refusal.value, payload.UnsupportedEncoding):
            assert refusal.value.accepted == ("gzip", "deflate")

    def test_a_raw_stream_may_look_back_as_far_as_deflate_can(self) -> None:
        """
        Given: a deflate body without a zlib header that repeats what came 20,000 bytes before
        When: it is read
        Then: it is what was packed
        """
        text = "".join(
            chr(32 + hash_byte % 90) for hash_byte in hashlib.sha512(b"seed").digest() * 4
        )
        far = text + " " * 20_000 + text
        assert read(raw_deflate(far.encode()), "text/plain", "deflate") == [{"body": far}]

    def test_a_body_unpacked_to_exactly_the_limit_is_read(self) -> None:
        """
        Given: a gzip body of two members that holds exactly 25 MiB
        When: it is read
        Then: it is taken whole
        """
        members = gzipped(b"[") + gzipped(b" " * (25 * 1024 * 1024 - 4) + b"17]", 1)
        assert read(members, "application/json", "gzip") == [17]


MULTIPART = "multipart/form-data; boundary=b"
# What headers of parts are made of, so that hypothesis finds its way into RFC 2231 and 2047.
HEADER_PARTS = (
    *(
        "name",
        "filename",
        "*",
        "*0",
        "*0*",
        "*1",
        "*1*",
        "*99",
        "*\u0663",
        "=",
        ";",
        '"',
        "\\\\",
        "'",
    ),
    *("''", "utf-8''", "undefined''", "utf-7''", "utf-16''", "idna''", "é", "%", "%C3", "%zz", " "),
    *("=?", "?=", "?q?", "?B?", "utf-8", "=?utf-8?q?a=41?=", "=?é?q?a?=", "=?utf-7?b?K0FHRS0=?="),
    *("+2AA-", "\t", "x", "form-data", "charset=", "boundary=", "abc", "=?utf-8?b?!?=", ","),
)
CHARSET_NAMES = sorted({payload.usable_charset(name) for name in payload.CHARSETS} - {""})


class TestNamesOfParts:
    """Rows of names and file names, as RFC 2231, 2047 and 7578 have them and as senders write."""

    @pytest.mark.parametrize(
        "parameters, name",
        [
            ("; name=plain", "plain"),
            ('; name="with \\\\ and \\"quotes\\" ; and more"', 'with \\ and "quotes" ; and more'),
            ('; name="no end', "no end"),
            (";; ;NAME = x ; name=second", "x"),
            ("; name*=utf-8'en'%C3%A9", "é"),
            ("; name*=iso-8859-1''%E9; name=fallback", "é"),
            ("; name*0=one; name*1=two", "onetwo"),
            ("; name*1*=%A9; name*0*=utf-8''%C3", "é"),
            ("; name*0*=utf-8''%C3%A9; name*1=' %41", "é' %41"),
            ("; name*=x; name*0=y", "x"),
            ("; name*=utf-7''+2AA-", "+2AA-"),
            ("; name*=undefined''abc", "abc"),
            ("; name*=utf-8''%FF", "\ufffd"),
            ("; name*x=y", ""),
            ("; name*100=y", ""),
            ('; name="=?utf-8?q?gr=C3=BCn_1?= =?utf-8?B?w7w=?= x"', "grün 1ü x"),
            ('; name="=?é?q?a?="', "=?é?q?a?="),
            ('; name="=?utf-8?b?!?="', "=?utf-8?b?!?="),
            ('; name="=?utf-8?q?=FF?="', "=?utf-8?q?=FF?="),
            ('; name="=?no-such?q?a?="', "=?no-such?q?a?="),
            ("; " * 400 + "name=behind", "behind"),
            ("; a" * 40 + "; name=behind", ""),
            ("; name=" + "x" * 1000, ""),
        ],
    )
    def test_a_name(self, parameters: str, name: str) -> None:
        """
        Given: a part whose name is written in one of the ways there are
        When: the form is read
        Then: the name is understood, and one that cannot be read costs that name alone
        """
        other = part_of(name="; name=other", content=b"2").removesuffix(b"--b--\r\n")
        assert read(other + part_of(name=parameters), MULTIPART) == [{"other": "2", name: "1"}]

    @settings(max_examples=400, deadline=None)
    @given(some.lists(some.sampled_from(HEADER_PARTS), max_size=20).map("".join), some.booleans())
    def test_no_header_of_a_part_breaks_the_form(self, text: str, in_the_type: bool) -> None:
        """
        Given: any header made of what RFC 2231 and 2047 have
        When: the form is read
        Then: its other part is there, and so is this one's value
        """
        header = f"Content-Type: text/plain; {text}" if in_the_type else "X: y"
        parts = part_of(name="; name=sure", content=b"2").removesuffix(b"--b--\r\n")
        body = parts + part_of(header, name=f"; name={text}")
        [item] = read(body, MULTIPART)
        assert "2" in item["sure"]
        assert len(item) == 2 or len(item["sure"]) == 2

    @pytest.mark.parametrize("charset", CHARSET_NAMES)
    def test_every_charset_is_read_in_pieces_as_in_one(
        self, charset: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a text in a charset, with characters of several bytes and with bytes it does not have
        When: it is decoded a few bytes at a time
        Then: it is the text that decoding it at once gives, or refused at the same byte
        """
        monkeypatch.setattr(payload, "PIECE_SIZE", 3)
        monkeypatch.setattr(payload, "REPLACING_SIZE", 3)
        data = "Aé中😀 +~".encode(charset, "replace") * 5
        assert payload.decode(data, charset) == data.decode(charset)
        for broken in (data + b"\xff\x81\xff" + data, data[:-1], b"\x81" + data):
            expected = refused = None
            with contextlib.suppress(UnicodeError):
                expected = broken.decode(charset)
            try:
                assert payload.decode(broken, charset) == expected
            except UnicodeDecodeError as error:
                refused = error
            assert (refused is None) == (expected is not None)
            if refused and charset == "utf-8":
                with pytest.raises(UnicodeDecodeError) as whole:
                    broken.decode(charset)
                assert refused.start == whole.value.start
            assert payload.decode_replacing(broken, charset, 1) is not None


class TestPieces:
    """What is read a piece at a time is what would be read in one go."""

    PIECES = (
        *(
            b'{"a":1}',
            b"{",
            b"}",
            b"[",
            b"]",
            b'"',
            b"\\",
            b"\\ud83d",
            b",",
            b":",
            b"1.5",
            b"1e999",
        ),
        *(b" " * 9, b"\n", b"\0", b"\x1e", b"=", b"&", b"%41", b"%", b"%C3%A9", b"+", "é".encode()),
        *(b"\xff", "😀".encode(), b"a" * 9, b"\r\n--b\r\n", b"--b\r\n", b"\r\n--b--", b"QUFB"),
        b"--b\r\nContent-Type: application/json\r\n\r\n",
        b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        b'{"subscription":"s","message":{"data":"eyJuIjox fQ=="}}',
    )
    TYPES = (
        *("", "application/json", "text/plain", FORM, MULTIPART, "application/x-ndjson"),
        *("text/plain; charset=cp1252", f"{FORM}; charset=shift_jis", f"{FORM}; charset=utf-16"),
    )

    @settings(max_examples=600, deadline=None)
    @given(
        some.lists(some.sampled_from(PIECES), min_size=1, max_size=12).map(b"".join),
        some.sampled_from(TYPES),
    )
    def test_the_size_of_the_pieces_changes_nothing(self, body: bytes, content_type: str) -> None:
        """
        Given: a body
        When: it is read as a large one in pieces of 8 bytes, and as a small one
        Then: it is the same, or is refused for the same reason
        """

        def outcome() -> Any:
            try:
                return read(body, content_type)
            except payload.PayloadError as error:
                return re.sub("at byte .*", "", error.sentence)

        expected = outcome()
        with pytest.MonkeyPatch.context() as patch:
            for name in ("PIECE_SIZE", "REPLACING_SIZE"):
                patch.setattr(payload, name, 8)
            patch.setattr(payload, "SMALL_TEXT_CHARACTERS", 0)
            assert outcome() == expected

    @settings(max_examples=600, deadline=None)
    @given(
        some.binary(max_size=300) | some.lists(some.sampled_from(PIECES)).map(b"".join),
        some.text(max_size=60)
        | some.lists(some.sampled_from((*HEADER_PARTS, *TYPES))).map("".join),
        some.sampled_from(["", "gzip", "deflate", "identity"]) | some.text(max_size=9),
        some.none() | some.dictionaries(some.text(), some.text()),
        some.booleans(),
        some.sampled_from([None, formats.TextReader]),
    )
    def test_nothing_but_a_payload_error_leaves(
        self,
        body: bytes,
        kind: str,
        encoding: str,
        query: dict[str, Any] | None,
        keep: bool,
        reader: Any,
    ) -> None:
        """
        Given: any bytes under any type and encoding
        When: they are read
        Then: there are items that can be encoded as JSON, or a sentence for the sender
        """
        try:
            items = payload.read_payload(body, kind, encoding, query, keep, reader)
        except payload.PayloadError as error:
            assert error.sentence.endswith(".")
        else:
            assert items.values
            json.dumps(items.values, allow_nan=False).encode()

    @pytest.mark.parametrize("text", ["x" * 70_000, "{" * 70_000])
    def test_a_mistake_far_behind_is_named_by_its_byte(self, text: str) -> None:
        """
        Given: a large JSON body with a byte that is not UTF-8
        When: it is read
        Then: the sender is told where
        """
        body = b'{"a":"' + text.encode() + b'\xff"}'
        with pytest.raises(payload.PayloadError, match=f"not valid utf-8 at byte {len(body) - 3}"):
            read(body, "application/json")

    @pytest.mark.parametrize("charset", ["utf-8", "cp1252", "utf-16-le"])
    def test_replacing_ends_early(self, charset: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Given: a large text of nothing but bytes that its charset does not have
        When: it is decoded with replacements
        Then: it is given up before much of it is read
        """
        pieces = []
        real = payload._decoded_pieces

        def counted(*args: Any) -> Any:
            for piece in real(*args):
                pieces.append(piece)
                yield piece

        monkeypatch.setattr(payload, "_decoded_pieces", counted)
        data = {"utf-8": b"\xff", "cp1252": b"\x81", "utf-16-le": b"\x00\xdc"}[charset] * 2_000_000
        assert payload.decode_replacing(data, charset, 10) is None
        assert sum(map(len, pieces)) < len(data) / 4


LIMITS = {"NUMBERS": 2_000, "STRINGS": 2_000, "FIELDS": 500, "CONTAINERS": 1_000}


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each limit of JSON a thousandth of what it is: the tests need no large bodies."""
    for name, limit in LIMITS.items():
        monkeypatch.setattr(payload, f"MAX_JSON_{name}", limit)
    monkeypatch.setattr(payload, "SMALL_TEXT_CHARACTERS", 0)
    monkeypatch.setattr(payload, "COUNTED_JSON_CHARACTERS", 1_000)


def keys(count: int, name: bytes = b"%d") -> bytes:
    """Return an object of that many fields."""
    return b"{%b}" % b",".join(b'"' + name % number + b'":1' for number in range(count))


@pytest.mark.usefixtures("small_limits")
class TestBudget:
    """What all the JSON of one body may hold together."""

    @pytest.mark.parametrize(
        "body, content_type, reason",
        [
            (b'{"a":[' + b"1.5," * 2_001 + b"1]}", "", "2000 numbers"),
            (b'{"a":[' + b"1," * 2_001 + b"1]}", "", "2000 numbers"),
            (b"1\n[" + b"1," * 2_001 + b"1]\n", "application/x-ndjson", "2000 numbers"),
            (b'{"a":[' + b'"",' * 2_001 + b"1]}", "", "2000 strings"),
            (b'{"a":[' + rb'"\\",' * 2_001 + b"1]}", "", "2000 strings"),
            (keys(600, rb"%d\\"), "", "500 fields"),
            (b"[%b]" % b",".join([keys(60)] * 9), "", "500 fields"),
            (b"\n".join([keys(20)] * 30), "application/x-ndjson", "500 fields"),
            (b'{"a":[' + b"[]," * 1_001 + b"1]}", "", "1000 objects and arrays"),
        ],
        ids=range(9),
    )
    def test_what_holds_too_much_is_refused(
        self, body: bytes, content_type: str, reason: str
    ) -> None:
        """
        Given: a body of more numbers, strings, fields or arrays than one may have
        When: it is read
        Then: it is refused, and the sentence says what there is too much of
        """
        with pytest.raises(payload.PayloadError, match=f"more than {reason}; send it in several"):
            read(body, content_type or "application/json")

    def test_what_is_exactly_at_the_limits_is_read(self) -> None:
        """
        Given: as many numbers, strings and fields as one body may have
        When: they are read
        Then: all are there
        """
        assert len(read(b'{"a":[' + b"1," * 1_999 + b"1]}", "")[0]["a"]) == 2_000
        assert len(read(b'{"a":[' + b'"",' * 1_998 + b'""]}', "")[0]["a"]) == 1_999
        assert len(read(keys(500), "")[0]) == 500

    def test_what_is_quoted_within_strings_is_not_counted(self) -> None:
        """
        Given: JSON that carries JSON as text, and that as text once more, with many quotes
        When: it is read
        Then: it is taken, for Python builds one string of it
        """
        inner = json.dumps({"message": json.dumps({"a": 1, "b": ""})})[:-1]
        text = json.dumps({"text": inner * 400}).encode()
        assert text.count(b'"') > 4_000
        assert len(read(text, "application/json")[0]["text"]) == len(inner) * 400

    @pytest.mark.parametrize(
        "content, size",
        [(keys(90), 90), (b"[" + b"1.5," * 300 + b"1]", 301), (b"[" + b"[]," * 200 + b"1]", 201)],
        ids=range(3),
    )
    def test_a_form_has_one_budget_for_all_its_parts(self, content: bytes, size: int) -> None:
        """
        Given: a form of parts that are JSON, each within the limits, and together far over them
        When: it is read
        Then: the first ones are values, and what is over the limits stays text
        """
        part = part_of("Content-Type: application/json", content=content)
        body = part.removesuffix(b"--b--\r\n") * 10 + b"--b--\r\n"
        [item] = read(body, MULTIPART)
        values = [value for value in item["f"] if not isinstance(value, str)]
        assert 3 <= len(values) < 10
        assert all(len(value) == size for value in values)
        assert item["f"][-1] == content.decode()

    def test_what_many_messages_carry_has_one_budget(self) -> None:
        """
        Given: messages of Amazon SNS, whose numbers are more than one body may have
        When: they are read
        Then: the first ones are decoded, and the last ones stay text
        """
        message = b'{"TopicArn":"a","Message":"[%b1]"}' % (b"1," * 100)
        items = read(b"[%b]" % b",".join([message] * 30), "application/json")
        assert [("decoded" in item) for item in items] == [True] * 19 + [False] * 11

    def test_two_large_values_in_a_row_are_counted_once(self) -> None:
        """
        Given: two objects in a row that together have as many fields as one body may
        When: they are read
        Then: both are taken
        """
        assert [len(item) for item in read(keys(250) + b"\n" + keys(250), "")] == [250, 250]


class TestDetails:
    @pytest.mark.parametrize(
        "text, verbatim",
        [
            ('{"a": 1.50}', '{"a": 1.50}'),
            ('{"name":"x","raw_json":{"a": 1.50},"type":"y"}', '{"a": 1.50}'),
            ('{"raw_json":{"raw_json":1.50},"name":"x"}', '{"raw_json":1.50}'),
            ('{"raw_json":{"rawJSON":{"raw_json":1.50}}}', '{"rawJSON":{"raw_json":1.50}}'),
            ('{"raw_json":{"a":1},"raw_json":{"b":2}}', ""),
            ('{"raw_json":{"a":1},"raw_json":null}', ""),
            ('{"x":{"raw_json":{"a":1}},"raw_json":null}', ""),
            ('{"x":{"raw_json":{"a":1}},"raw_json":{"b":2}}', ""),
            ('{"x":{"raw_json":{"a":1}},"rawJSON":{"b":2}}', ""),
            ('{"x":"raw_json","raw_json":{"a":1}}', ""),
            ('{"x":{"raw_json":{"a":1}}}', ""),
            ('{"raw_json":5}', ""),
            ('{"a":\n1}', ""),
            ('{"a":1e999}', ""),
            ('{"a":"\\u00e9"}', ""),
            ('{"raw_json":{"a":1}', None),
        ],
    )
    def test_json_that_may_stay_as_it_came(self, text: str, verbatim: str | None) -> None:
        """
        Given: an object on a single line
        When: it is read
        Then: the text of its raw JSON is returned where nothing in it was altered
        """
        if verbatim is None:
            with pytest.raises(payload.PayloadError):
                read(text.encode(), "application/json")
            return
        items = payload.read_payload(text.encode(), "application/json", "")
        assert items.verbatim_json == verbatim
        assert items.values == [payload.parse_json(text)]

    def test_half_pairs_in_large_texts_and_in_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Given: halves of surrogate pairs in names, in lists and in a long string
        When: they are read, also in pieces
        Then: each is U+FFFD, and whole pairs are characters
        """
        text = rb'{"\ud83d":["\udc00",1,"a"],"b":"' + rb"\ud83d\ude00\ud83d" * 30 + b'"}'
        expected = [{"\ufffd": ["\ufffd", 1, "a"], "b": "😀\ufffd" * 30}]
        assert read(text) == expected
        monkeypatch.setattr(payload, "PIECE_SIZE", 8)
        assert read(text) == expected

    @settings(max_examples=200, deadline=None)
    @given(
        some.lists(some.sampled_from(["%C3%A9", "%41", "%", "%zz", "%4", "+", "=", "é", "a"])).map(
            "".join
        )
    )
    def test_a_form_s_value_in_pieces(self, value: str) -> None:
        """
        Given: a form's value of escapes, letters and signs
        When: it is read in one go and in pieces
        Then: it is the same
        """
        whole = read(f"a={value}".encode(), FORM)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(payload, "PIECE_SIZE", 8)
            assert read(f"a={value}".encode(), FORM) == whole

    @pytest.mark.parametrize(
        "body, content_type, item",
        [
            (b"a=" + b"%" * 10_001, FORM, {"body": "a=" + "%" * 10_001}),
            (b"a=" + b"%" * 10_000, FORM, {"a": "%" * 10_000}),
            (b"a" * 1_001 + b"=1", FORM, {"body": "a" * 1_001 + "=1"}),
            (
                part_of("Content-Transfer-Encoding: base64", content=b"QQ==QQ=="),
                MULTIPART,
                {"f": "QQ==QQ=="},
            ),
            (
                part_of("Content-Transfer-Encoding: quoted-printable", content=b"a=3D=\r\nb"),
                MULTIPART,
                {"f": "a=b"},
            ),
            (
                part_of("Content-Transfer-Encoding: BASE64", content=b"Q Q\r\n= ="),
                MULTIPART,
                {"f": "A"},
            ),
            (
                part_of(name="; name=payload", content=b"[]").removesuffix(b"--b--\r\n")
                + part_of(name="; name=t; filename=t", content=b"x"),
                MULTIPART,
                {"t": {"name": "t", "type": "", "size": 1, "body": "x"}},
            ),
            (
                part_of(content=b"1").removesuffix(b"--b--\r\n")
                + part_of(name="; name=f; filename=t", content=b"x"),
                MULTIPART,
                {"f": ["1", {"name": "t", "type": "", "size": 1, "body": "x"}]},
            ),
            (
                part_of(name="; name=_charset_", content=b"cp1252").removesuffix(b"--b--\r\n")
                + part_of(content=b"\x80"),
                MULTIPART,
                {"_charset_": "cp1252", "f": "€"},
            ),
        ],
        ids=range(9),
    )
    def test_a_row_of_forms(self, body: bytes, content_type: str, item: dict[str, Any]) -> None:
        """
        Given: a form with something unusual
        When: it is read
        Then: nothing of it is lost
        """
        assert read(body, content_type) == [item]

    @pytest.mark.parametrize("character, share", [('"', 4), ("\\", 4), ("\0", 10), ("\x1b", 10)])
    def test_a_large_text_of_what_json_escapes_is_base64(self, character: str, share: int) -> None:
        """
        Given: a large text, of which more or less than allowed becomes far longer as JSON
        When: it is read
        Then: it is kept in base64, or as text
        """
        few = (character + "a" * share) * 400_000
        many = (character + "a" * (share - 2)) * 400_000
        assert read(few.encode(), "text/plain") == [{"body": few}]
        assert read(many.encode(), "text/plain")[0].keys() == {"body_base64"}

    def test_lines_that_only_begin_like_a_delimiter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Given: a form with more of them than a form may have
        When: it is read
        Then: it is refused, and one with fewer keeps them
        """
        monkeypatch.setattr(payload, "MAX_FALSE_DELIMITERS", 10)
        few, many = (b"x" + b"\n--bold" * count for count in (9, 11))
        assert read(part_of(content=few), MULTIPART) == [{"f": few.decode()}]
        with pytest.raises(payload.PayloadError, match="not a multipart form"):
            read(part_of(content=many), MULTIPART)


# For each pattern of the module: how it is used, and its worst text of about n characters.
PATTERNS: dict[str, tuple[str, Callable[[int], str | bytes]]] = {
    "BINARY_CHARACTERS": ("search", lambda n: "a" * n),
    "CONTROLS": ("findall", lambda n: "\x1b" * n),
    "XML_ENCODING": ("match", lambda n: b" " * n + b"<?xml " + b"encoding" * 30),
    "FORM_FIELD_NAME": ("fullmatch", lambda n: "a" * n + "="),
    "FORM_FLAG": ("fullmatch", lambda n: "a" * n + "="),
    "LOG_FIELD": ("search", lambda n: " a" * (n // 2)),
    "RAW_NAME": ("search", lambda n: '"raw_json' * (n // 9) + '"raw_json"' + " " * n),
    "JSON_QUOTE": ("findall", lambda n: '\\"' * (n // 2)),
    "JSON_KEY": ("findall", lambda n: ('"' + " " * 1000) * (n // 1000)),
    "SAMPLED_DIGITS": ("search", lambda n: "123 " * (n // 4)),
    "SURROGATES": ("search", lambda n: "é" * n),
    "BROKEN_ESCAPE": ("findall", lambda n: b"%4" * (n // 2)),
    "PARAMETER": ("findall", lambda n: 'a="' + '\\"' * (n // 2)),
    "ESCAPED_CHARACTER": ("findall", lambda n: "\\" * n),
    "ENCODED_WORD": ("findall", lambda n: "=?a?q?" * (n // 6)),
    "ENCODED_GAP": ("findall", lambda n: ("?=" + " " * 100) * (n // 102)),
    "PART_HEAD_END": ("search", lambda n: b"\r\n\r" * (n // 3)),
    "FOLDED_LINE": ("search", lambda n: b"\n" * n),
}


class TestWorstBodies:
    def test_every_pattern_has_its_worst_text(self) -> None:
        """
        Given: all compiled patterns of the module
        When: they are compared with the table above
        Then: none is missing, so that a new one is measured as well
        """
        assert compiled_patterns(payload) == PATTERNS.keys()

    @pytest.mark.parametrize("name", PATTERNS)
    def test_every_pattern_is_linear(self, name: str) -> None:
        """
        Given: a pattern's worst text, and one of sixteen times its length
        When: both are searched
        Then: the longer one takes about sixteen times as long, where a quadratic one takes 256
        """
        way, worst = PATTERNS[name]
        assert_linear(getattr(payload, name), way, worst, 5_000)

    @pytest.mark.parametrize("name", BODIES)
    def test_no_body_keeps_other_threads_waiting(self, name: str) -> None:
        """
        Given: one of the worst bodies, in a process of its own
        When: it is read while another thread counts the CPU time between two of its turns
        Then: that stays far below a second, the whole takes seconds, and memory is bounded

        The bounds are generous: docs/performance.md has what was measured.
        """
        environment = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
        run = subprocess.run(
            [sys.executable, "-m", "Tests.benchmark.bodies", "--json", name],
            cwd=Path(__file__).parents[4],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
        figures = Figures(*json.loads(run.stdout))
        assert figures.gap < 0.8
        assert figures.total < 8
        assert figures.memory < 600


# ---- what few senders write


def form_of(*parts: tuple[bytes, bytes]) -> list[Any]:
    """Return the values of a form of parts, each a head behind ``form-data`` and its data."""
    head = b"--x\r\nContent-Disposition: form-data; "
    body = b"".join(head + of_part + b"\r\n\r\n" + data + b"\r\n" for of_part, data in parts)
    return read(body + b"--x--\r\n", "multipart/form-data; boundary=x")


class TestOddities:
    def test_half_of_a_surrogate_pair_is_replaced_wherever_it_is(self) -> None:
        """
        Given: JSON with escapes of half a pair in texts and names, beside a long text or not
        When: it is read
        Then: each is U+FFFD, and all else is as it was
        """
        body = b'{"a":["\\ud800x",{"\\udc00k":"\\ud83d","n":1}],"\\ud800":"y"}'
        assert read(body) == [{"a": ["\ufffdx", {"\ufffdk": "\ufffd", "n": 1}], "\ufffd": "y"}]
        long = "€" * (payload.PIECE_SIZE + 10)
        body = f'{{"a":"{long}\\ud800","b":["\\ud800"]}}'.encode()
        assert read(body) == [{"a": long + "\ufffd", "b": ["\ufffd"]}]

    @pytest.mark.parametrize(
        "encoding, data, text",
        [
            (b"base64", b"aG\r\nk=", "hi"),
            (b"base64", b"aGk=aGk=", "aGk=aGk="),
            (b"base64", b"a", "a"),
            (b"Quoted-Printable", b"a=3Db", "a=b"),
            (b"8bit", b"a=3Db", "a=3Db"),
        ],
    )
    def test_a_part_s_encoding_is_undone_where_it_is_one(
        self, encoding: bytes, data: bytes, text: str
    ) -> None:
        head = b'name="a"\r\nContent-Transfer-Encoding: ' + encoding
        assert form_of((head, data)) == [{"a": text}]

    def test_a_part_s_head_may_be_latin_1(self) -> None:
        assert form_of(('name="nö"'.encode("latin-1"), b"1")) == [{"nö": "1"}]

    def test_a_field_and_a_file_of_one_name_are_both_kept(self) -> None:
        [form] = form_of((b'name="a"', b"text"), (b'name="a"; filename="f.txt"', b"file"))
        text, file = form["a"]
        assert text == "text"
        assert (file["name"], file["body"]) == ("f.txt", "file")

    @pytest.mark.parametrize(
        "written, text",
        [
            (b"y+" * 70_000, "y " * 70_000),
            (b"y+" * 70_000 + b"%41", "y " * 70_000 + "A"),
            (b"%C3%A9" * 40_000, "é" * 40_000),
            (b"=%3D%zz", "==%zz"),
        ],
        ids=["blanks", "an escape at the end", "escapes", "broken"],
    )
    def test_a_long_form_field_is_decoded_in_pieces(self, written: bytes, text: str) -> None:
        [form] = read(b"a=" + written, "application/x-www-form-urlencoded")
        assert form["a"].strip() == text.strip()

    def test_envelopes_are_decoded(self) -> None:
        """
        Given: a message of Pub/Sub with a text, and a CloudEvent with JSON in base64
        When: they are read
        Then: what they carry stands beside it, under ``decoded``; what cannot be decoded does not
        """
        message = {"subscription": "s", "message": {"data": "aGVsbG8=", "messageId": "1"}}
        cloud = {"specversion": "1.0", "data_base64": "eyJhIjoxfQ=="}
        for item, decoded in ((message, "hello"), (cloud, {"a": 1})):
            assert read(json.dumps(item).encode()) == [{**item, "decoded": decoded}]
        for item in ({**cloud, "data_base64": "?"}, {**message, "message": {"data": 5}}):
            assert read(json.dumps(item).encode()) == [item]
