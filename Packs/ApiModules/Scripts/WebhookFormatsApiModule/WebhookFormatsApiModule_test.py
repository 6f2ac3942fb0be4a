"""Unit tests of WebhookFormatsApiModule.py, also as the formats of WebhookPayloadApiModule."""

import base64
import gzip
import itertools
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import WebhookFormatsApiModule as formats
import WebhookPayloadApiModule as payload
from hypothesis import example, given, settings
from hypothesis import strategies as some

from Tests.costs import assert_linear, compiled_patterns

JSON = "application/json"
MULTIPART = "multipart/form-data; boundary=b"


def items_of(body: bytes | str, content_type: str = "", keep: bool = False) -> payload.Items:
    """Return the items of a body, read with the formats."""
    data = body.encode() if isinstance(body, str) else body
    return payload.read_payload(data, content_type, "", None, keep, formats.TextReader)


def read(body: bytes | str, content_type: str = "") -> list[Any]:
    return items_of(body, content_type).values


def cef(name: str, **extension: str) -> dict[str, Any]:
    """Return what is read of `CEF:0|V|P|1|id|<name>|5|` with an extension."""
    header = {"version": "0", "device_vendor": "V", "device_product": "P", "device_version": "1"}
    return {**header, "signature_id": "id", "name": name, "severity": "5", "extension": extension}


def leef(version: str = "1.0", **extension: str) -> dict[str, Any]:
    header = {"version": version, "device_vendor": "V", "device_product": "P"}
    return {**header, "device_version": "1", "signature_id": "id", "extension": extension}


class TestTemplates:
    """JSON with the mistakes that templates make."""

    @pytest.mark.parametrize(
        "text, value",
        [
            # backslashes
            (r'{"path":"C:\Windows\temp\new","a":1}', {"path": r"C:\Windows\temp\new", "a": 1}),
            (r'{"share":"\\server\share"}', {"share": r"\\server\share"}),
            (r'{"dir":"C:\temp\","next":"x"}', {"dir": "C:\\temp\\", "next": "x"}),
            (r'{"dir":"C:\temp\"}', {"dir": "C:\\temp\\"}),
            (r'{"a":"\u00zz"}', {"a": r"\u00zz"}),
            (r'{"a":"say \"\d\"","b":1}', {"a": r'say "\d"', "b": 1}),
            (r'{"a":"1\n2\u00e9\ud83d\ude00\ud83d",}', {"a": "1\n2é😀\ufffd"}),
            (r'{"a":"{\"b\":\"c\"}",}', {"a": '{"b":"c"}'}),
            # quotes
            ('{"msg":"Disk "C:" is full","h":"db1"}', {"msg": 'Disk "C:" is full', "h": "db1"}),
            ('{"msg":"said "a", "b" and left"}', {"msg": 'said "a", "b" and left'}),
            ('["say "hi" now", "x"]', ['say "hi" now', "x"]),
            ('{"a":"""many "quotes"\nhere""","b":1}', {"a": 'many "quotes"\nhere', "b": 1}),
            ('{"a":"" ,"b":""",}', {"a": "", "b": '"'}),
            (
                "{'a': 'b', 'c': None, 'd': True, 'e': 'it's'}",
                {"a": "b"} | {"c": None, "d": True, "e": "it's"},
            ),
            # commas and comments
            ('{"a":1,}', {"a": 1}),
            ('{"a":[1,2,],"b":[{},],}', {"a": [1, 2], "b": [{}]}),
            ('{,"a":1,,"b":[,1,,2]}', {"a": 1, "b": [1, 2]}),
            ('{"a":"x"\n"b":"y"}', {"a": "x", "b": "y"}),
            ('{"a": 1 "b": 2}', {"a": 1, "b": 2}),
            (
                '/* by */{"a":1, // one\n# two\n"b":"http://x/#y"/* end */}',
                {"a": 1, "b": "http://x/#y"},
            ),
            ('{"a": 5 // five\n}', {"a": 5}),
            # what a template did not fill in, and what it did not quote
            (
                '{"s": $STATE$, "h": {HOST.NAME}, "n": {{ v }}}',
                {"s": "$STATE$", "h": "{HOST.NAME}", "n": "{{ v }}"},
            ),
            ('{"a": , "b":}', {"a": None, "b": None}),
            ('{"a": #{x}, "b": ${y} and %{z}}', {"a": "#{x}", "b": "${y} and %{z}"}),
            ('{"o": Disk full, 5% left, "h": db1}', {"o": "Disk full, 5% left", "h": "db1"}),
            ('{"o": 5" pipe, "h": {a "b"}', None),
            ('{a: 1, b-c: "x", $d: y}', {"a": 1, "b-c": "x", "$d": "y"}),
            ('{"a"=>"b", "c"=>nil}', {"a": "b", "c": None}),
            # numbers
            (
                '{"a":007,"b":1e999,"c":-0.5e3,"d":1.,"e":12}',
                {"a": "007", "b": "1e999", "c": -500.0, "d": "1.", "e": 12},
            ),
            ('{"a":' + "9" * 400 + ",}", {"a": "9" * 400}),
            # several values
            ('{"a":1},{"b":2,}', [{"a": 1}, {"b": 2}]),
            ('[{"a":1,}]\n[{"b":2}]', [{"a": 1}, {"b": 2}]),
            # brackets too many
            ('{"a":1}}', {"a": 1}),
            ('[{"a":[1]}]]}', [{"a": [1]}]),
            ("[;]]", [";"]),
            # what is not whole is not read
            ('{"a":', None),
            ('{"a"', None),
            ('{"a" "b"}', None),
            ('{"a":"b"', None),
            ('{"a":[1', None),
            ('{"a":[1}', None),
            ('{"a":"b', None),
            ('{"a":{', None),
            ("{", None),
            ("[1,", None),
            ("[ERROR] disk full", None),
            ('{"a":1} and more', None),
            ("{hello}", None),
            ("{;:1}", None),
            ("/* no end", None),
            ("// nothing", None),
            ('{"a":' * 150 + "1" + "}" * 149 + ",}", None),
            ('{"a":1,' + '"b":"c",' * 40_000 + "}", None),
        ],
        ids=itertools.count(),
    )
    def test_a_mistake(self, text: str, value: Any) -> None:
        """
        Given: JSON with a mistake, under a JSON type
        When: it is read
        Then: it is what its sender means, with a sentence; what ends too early is refused as before
        """
        if value is None:
            with pytest.raises(payload.PayloadError, match="not the JSON that its"):
                read(text, JSON)
            return
        items = items_of(text, JSON)
        assert items.values == (value if isinstance(value, list) else [value])
        assert items.problem.startswith("The body is not valid JSON: ")
        assert not items.verbatim_json
        json.dumps(items.values, allow_nan=False)

    @pytest.mark.parametrize(
        "body, value",
        [
            (b'{"a":"gr\xfcn \x80 \x81"}', {"a": "grün € \ufffd"}),
            (b'{"a":"gr\xfcn","b":"C:\\W"}', {"a": "grün", "b": r"C:\W"}),
        ],
    )
    @pytest.mark.parametrize("content_type", [JSON, ""])
    def test_bytes_that_are_not_utf_8(
        self, body: bytes, value: dict[str, Any], content_type: str
    ) -> None:
        """
        Given: JSON in windows-1252 whose type names no charset
        When: it is read
        Then: its letters are there, and the sentence says which byte was not UTF-8
        """
        items = items_of(body, content_type)
        assert items.values == [value]
        assert "not valid utf-8 at byte 8" in items.problem

    @pytest.mark.parametrize(
        "text, value",
        [
            ('{"n":1,}', {"n": 1}),
            ('{"n":{"m":1}}}', {"n": {"m": 1}}),
            ('{"n":[1]}]}\n', {"n": [1]}),
            ('}{"n":1}', None),
            ('{"n":{"m":1}},"o":2}', None),
            ('[{"n":"C:\\W"}]', {"n": r"C:\W"}),
            ("{hello: world}", None),
            ("{broken", None),
            ("[ERROR]", None),
            ("[1,2,]", None),
            ("// a comment", None),
            ('{"a":1}\noops', None),
            ('[{"a":1},2,]', None),
        ],
    )
    def test_without_a_json_type(self, text: str, value: Any) -> None:
        """
        Given: a text that begins like JSON, under no JSON type
        When: it is read
        Then: objects with quoted names are read in spite of mistakes, and all else stays text
        """
        assert read(text, "text/plain") == [value or {"body": text}]

    @settings(max_examples=300, deadline=None)
    @given(
        some.recursive(
            some.none()
            | some.booleans()
            | some.integers()
            | some.floats(allow_nan=False)
            | some.text(),
            lambda inner: (
                some.lists(inner, max_size=4)
                | some.dictionaries(some.text(max_size=9), inner, max_size=4)
            ),
            max_leaves=12,
        ).map(lambda value: {"a": value}),
        some.booleans(),
    )
    @example({"a": ["", math.inf, "", math.nan, "", -math.inf]}, False)
    def test_strict_json_never_takes_this_way(self, value: dict[str, Any], spaced: bool) -> None:
        """
        Given: any JSON
        When: it is read
        Then: there is no problem, and the reader of templates would read the same
        """
        text = json.dumps(value, indent=1 if spaced else None)
        items = items_of(text, JSON)
        assert not items.problem
        [read_as_template] = formats.TextReader().read_template(text, True)
        assert json.dumps(read_as_template) == json.dumps(items.values[0])

    @settings(max_examples=500, deadline=None)
    @given(
        some.lists(
            some.sampled_from(
                [
                    *"{}[]\":,\\/#*'$ \n",
                    '"""',
                    '"a":',
                    '"b"',
                    "\\ud83d",
                    "\\u",
                    "{x}",
                    "true",
                    "1.5",
                    "//",
                ]
            ),
            max_size=20,
        ).map("".join)
    )
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        """
        Given: any text of what JSON is made of
        When: it is read
        Then: there are values that can be encoded, or the reader's own refusal
        """
        try:
            values = formats.TextReader().read_template(text, True)
        except formats.UnreadableTemplate:
            return
        json.dumps(values, allow_nan=False).encode()
        assert all(isinstance(value, (dict, list)) for value in values)

    def test_all_templates_of_a_body_have_one_limit(self) -> None:
        """
        Given: many records, each with a mistake, together longer than a template's JSON may be
        When: they are read
        Then: the first ones are objects, and the rest stays text
        """
        text = '{"a":"' + "x" * 30_000 + '",}'
        values = read(json.dumps({"requestId": "r", "records": [record(text)] * 12}), JSON)
        assert ["a" in value for value in values] == [True] * 8 + [False] * 4
        assert values[-1]["body"] == text

    @pytest.mark.parametrize(
        "text, found",
        [
            (
                '{"name":"Disk full","severity":"high","n":5,"f":-1.5,"deep":{"x":"y"},"last":"cut',
                {"name": "Disk full", "severity": "high", "n": 5, "f": -1.5},
            ),
            ('{"raw_json":"x","rawJSON":"y","a":"b","a":"c","t":true, "', {"a": "b"}),
            ('[{"a":"b"}, "', {}),
            ('{"a{":"}b","c":"d" "', {"a{": "}b", "c": "d"}),
            ("{" + ",".join(f'"{n}":{n}' for n in range(150)), {str(n): n for n in range(100)}),
        ],
        ids=itertools.count(),
    )
    def test_what_can_be_told_of_unreadable_json(self, text: str, found: dict[str, Any]) -> None:
        """
        Given: JSON that was cut, on an instance that keeps what cannot be read
        When: it is read
        Then: the text is kept with the problem and with the top-level fields that are whole
        """
        items = items_of(text, JSON, keep=True)
        [kept] = items.values
        assert kept.pop("body") == text
        assert kept.pop("problem") == items.problem != ""
        assert kept == found

    def test_the_text_and_the_problem_keep_their_names(self) -> None:
        """
        Given: unreadable JSON with fields that have the names of ours
        When: it is kept
        Then: body is the text, and problem says what is wrong
        """
        text = '{"body":"mine","problem":"theirs","a":"b"'
        [kept] = items_of(text, JSON, keep=True).values
        assert kept["body"] == text
        assert kept["problem"].startswith("The body is not the JSON")
        assert kept["a"] == "b"


LINE = "CEF:0|V|P|1|id|{}|5|a=b"
DELIVERED = "<134>May  1 12:00:00 fw1 "


class TestTexts:
    @pytest.mark.parametrize(
        "text, read_of_it",
        [
            (
                r"CEF:0|V|P|1|id|worm \| \\ x|5|src=192.0.2.1 msg=a b\=c\nd path=C:\\x"
                " cs1Label=R cs1=",
                {
                    "cef": cef(
                        r"worm | \ x",
                        src="192.0.2.1",
                        msg="a b=c\nd",
                        path="C:\\x",
                        cs1Label="R",
                        cs1="",
                    )
                },
            ),
            (f"{DELIVERED}CEF:0|V|P|1|id|n|5|", {"cef": cef("n")}),
            ("CEF: 0|V|P|1|id|n|5", {"cef": cef("n")}),
            ("CEF:0|V|P|1|id|n|5| a=1 a=2 b[0]=3", {"cef": cef("n", a="1", **{"b[0]": "3"})}),
            ("CEF:0|V|P|1|id|n|5|no fields here", {"cef": cef("n")}),
            ("CEF:0|V|P|1|id|n|5|msg=two\nlines", {"cef": cef("n", msg="two\nlines")}),
            ("CEF:0|V|P", {}),
            ("CEF:0|" + "x" * 5_000 + "|P|1|id|n|5|a=b", {}),
            ("said CEF:0|V|P|1|id|n|5|a=b", {}),
            ("LEEF:1.0|V|P|1|id|a=b\tc=d e", {"leef": leef(a="b", c="d e")}),
            (f"{DELIVERED}LEEF:2.0|V|P|1|id|^|a=b^c=d", {"leef": leef("2.0", a="b", c="d")}),
            ("LEEF:2.0|V|P|1|id|x5E|a=b^c=d", {"leef": leef("2.0", a="b", c="d")}),
            ("LEEF:2.0|V|P|1|id|0x7c|a=b|c=d", {"leef": leef("2.0", a="b", c="d")}),
            ("LEEF:2.0|V|P|1|id||a=b\tc=d", {"leef": leef("2.0", a="b", c="d")}),
            ("LEEF:2.0|V|P|1|id|zz|a=b\t=d\te", {"leef": leef("2.0", a="b")}),
            ("LEEF:2.0|V|P|1|id|a=b\tc=d|e", {"leef": leef("2.0", a="b", c="d|e")}),
            ("LEEF:2.0|V|P|1|id|xFFFFFFFFF|a=b", {"leef": leef("2.0", a="b")}),
            ("<13>not XML", {}),
        ],
        ids=itertools.count(),
    )
    def test_cef_and_leef(self, text: str, read_of_it: dict[str, Any]) -> None:
        """
        Given: a line of CEF or LEEF, or a text that is neither
        When: it is read
        Then: the text is whole, and its parts stand beside it
        """
        assert read(text, "text/plain") == [{"body": text, **read_of_it}]
        assert read(text, "application/x-www-form-urlencoded") == [{"body": text, **read_of_it}]

    @pytest.mark.parametrize(
        "text, xml",
        [
            (
                '<a x="1"><b>t</b><b>u</b><c/><b>v</b>tail</a>',
                {"a": {"@x": "1", "b": ["t", "u", "v"], "c": "", "#text": "tail"}},
            ),
            ("<a>only text</a>\n", {"a": "only text"}),
            (
                '<s:E xmlns:s="urn:x" s:y="z"><s:B t="1">ö</s:B><B>2</B></s:E>',
                {"E": {"@y": "z", "B": [{"@t": "1", "#text": "ö"}, "2"]}},
            ),
            ("<a><![CDATA[<b>]]>&amp;</a>", {"a": "<b>&"}),
            ("<a><b></a>", None),
            ("<a>&unknown;</a>", None),
            ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', None),
            ("<?xml version='1.0'?><!DOCTYPE a SYSTEM 'http://192.0.2.1/'><a/>", None),
            ("<html><body/></html>", None),
            ("<HTML >", None),
            ("<a>" * 101 + "</a>" * 101, None),
            ("<a>" + "x" * 1024**2 + "</a>", None),
            ("< no XML", None),
        ],
        ids=itertools.count(),
    )
    def test_xml(self, text: str, xml: Any) -> None:
        """
        Given: XML, or a text that only begins like it
        When: it is read
        Then: the text is whole, and its root element stands beside it as an object
        """
        assert read(text, "application/xml") == [
            {"body": text, "xml": xml} if xml else {"body": text}
        ]

    def test_xml_s_own_charset_and_html(self) -> None:
        """
        Given: XML in the charset of its declaration, and well-formed XML under the type of HTML
        When: they are read
        Then: the first one's letters are right in both forms, and the second one stays text
        """
        declaration = '<?xml version="1.0" encoding="ISO-8859-1"?><a>ö</a>'
        assert read(declaration.encode("latin-1"), "text/xml") == [
            {"body": declaration, "xml": {"a": "ö"}}
        ]
        assert read("<a/>", "text/html") == [{"body": "<a/>"}]
        deep = "<a>" * 100 + "x" + "</a>" * 100
        assert "xml" in read(deep, "text/xml")[0]

    def test_an_image_without_defusedxml(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Given: an image that does not bring the XML parser
        When: XML is read
        Then: it stays text
        """
        monkeypatch.setattr(formats, "DefusedXMLParser", None)
        assert read("<a/>", "text/xml") == [{"body": "<a/>"}]

    @pytest.mark.parametrize(
        "text, lines",
        [
            ("<13>a\n<14>b\r\n\n<15>c\n", ["<13>a", "<14>b", "<15>c"]),
            ("May  1 12:00:00 fw1 a\nMay 10 2024 12:00:01 fw1 b", 2),
            ("2024-05-01T12:00:00Z a\n2024-05-01 12:00:01 b", 2),
            ("1714564800.123 a\n1714564801 b", 2),
            (f"{LINE.format(1)}\n{DELIVERED}{LINE.format(2)}", 2),
            ("LEEF:1.0|V|P|1|id|a=b\nLEEF:1.0|V|P|1|id|a=c", 2),
            ("<13>a\nat b", 1),
            ("Alert!\n<13>a\n<13>b", 1),
            ("<13>a\n", 1),
            ("<13>a\n" * 10_001, 1),
        ],
        ids=itertools.count(),
    )
    def test_lines(self, text: str, lines: Any) -> None:
        """
        Given: a text of several lines
        When: it is read
        Then: lines that all begin as an event does are events, and any other text is one
        """
        bodies = [value["body"] for value in read(text, "text/plain")]
        if isinstance(lines, list):
            assert bodies == lines
        assert len(bodies) == (len(lines) if isinstance(lines, list) else lines)
        assert bodies == [text] or bodies == [line for line in text.splitlines() if line]

    def test_lines_of_cef_are_read_one_by_one(self) -> None:
        """
        Given: two lines of CEF
        When: they are read
        Then: each has its own fields
        """
        first, second = LINE.format("first"), LINE.format("second")
        assert read(f"{first}\n{second}\n") == [
            {"body": first, "cef": cef("first", a="b")},
            {"body": second, "cef": cef("second", a="b")},
        ]

    def test_a_byte_of_no_charset_does_not_cost_a_line_s_fields(self) -> None:
        """
        Given: a line of CEF with a byte that is not UTF-8, and two such lines
        When: they are read
        Then: the line has its fields and all its bytes; two of them stay one, with all their bytes
        """
        line = LINE.format("gr\xfcn").encode("latin-1")
        [one] = read(line, "text/plain")
        assert one["cef"]["name"] == "gr\ufffdn"
        assert base64.b64decode(one["body_base64"]) == line
        [two] = read(line + b"\n" + line, "text/plain")
        assert base64.b64decode(two["body_base64"]) == line + b"\n" + line

    def test_fields_of_all_lines_have_one_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Given: lines with more fields than all lines of a body may have
        When: they are read
        Then: the first ones have them, and one line at most has a thousand
        """
        monkeypatch.setattr(formats, "MAX_FORMAT_FIELDS", 2_000)
        fields = " ".join(f"k{n}=" for n in range(1_500))
        values = read("\n".join([f"CEF:0|V|P|1|id|n|5|{fields}"] * 5))
        assert [len(value["cef"]["extension"]) if "cef" in value else 0 for value in values] == [
            *(1_000, 1_000, 1_000, 0, 0)
        ]


def record(data: str | bytes) -> dict[str, str]:
    raw = data.encode() if isinstance(data, str) else data
    return {"data": base64.b64encode(raw).decode()}


class TestEventsOfABody:
    def test_records_of_firehose(self) -> None:
        """
        Given: a delivery of Amazon Data Firehose with records of several kinds
        When: it is read
        Then: each event of each record is an item, with what the answer has to repeat
        """
        delivery = {
            "requestId": "ed4acda5-034f-9f42-bba1-f29aea6d7d8f",
            "timestamp": 1578090901599,
            "records": [
                record('{"a":1}'),
                record('{"a":2}\n{"a":3}\n'),
                record(LINE.format("n")),
                record(gzip.compress(b'{"logEvents":[]}')),
                record('[{"x":1},2]'),
                record('{"firehose":1}'),
                record(b"\x1f\x8b\x08 no gzip"),
                record(gzip.compress(b"cut")[:-4]),
            ],
        }
        origin = {name: delivery[name] for name in ("requestId", "timestamp")}
        assert read(json.dumps(delivery), JSON) == [
            *({"a": number, "firehose": origin} for number in (1, 2, 3)),
            {"body": LINE.format("n"), "cef": cef("n", a="b"), "firehose": origin},
            {"logEvents": [], "firehose": origin},
            {"x": 1, "firehose": origin},
            {"body": 2, "firehose": origin},
            {"firehose": 1, "request_firehose": origin},
            {"body_base64": "H4sIIG5vIGd6aXA=", "firehose": origin},
            {"body_base64": delivery["records"][7]["data"], "firehose": origin},  # type: ignore[index]
        ]

    @pytest.mark.parametrize(
        "records",
        [[], "x", [1], [{"data": 5}], [{"data": "%%"}], [{"data": "é"}], [{"other": "x"}]],
    )
    def test_records_that_are_not_firehose_s(self, records: Any) -> None:
        """
        Given: an event with a request's id and something else as records
        When: it is read
        Then: it stays as it came
        """
        event = {"requestId": "r", "records": records}
        assert read(json.dumps(event), JSON) == [event]
        long = {"requestId": "r" * 201, "records": [record("{}")]}  # each record would hold it
        assert read(json.dumps(long), JSON) == [long]
        assert read(json.dumps({"records": [record("{}")]}), JSON) == [{"records": [record("{}")]}]

    def test_records_in_gzip_are_read_by_the_worker_thread(self) -> None:
        """
        Given: a small delivery whose records are far larger when they are decompressed
        When: it is asked whether it is compressed, and read
        Then: it is, and its records are there; in a form that hides it, they stay as they came
        """
        large = json.dumps({"a": "x" * 1_000_000})
        body = json.dumps({"requestId": "r", "records": [record(gzip.compress(large.encode()))]})
        assert payload.is_compressed(body.encode(), "")
        assert len(read(body, JSON)[0]["a"]) == 1_000_000
        hidden = body.replace("H4sI", "\\u00484sI")
        assert not payload.is_compressed(hidden.encode(), "")
        assert read(hidden, JSON) == [json.loads(body)]

    def test_records_are_bounded(self) -> None:
        """
        Given: records that together are too large, and records of too many events
        When: they are read
        Then: the first delivery stays as it came, and the second one is refused
        """
        bomb = record(gzip.compress(bytes(20 * 1024**2)))
        delivery = {"requestId": "r", "records": [bomb, bomb]}
        assert read(json.dumps(delivery), JSON) == [delivery]
        many = {"requestId": "r", "records": [record('{"a":1}' * 5_000)] * 3}
        with pytest.raises(payload.PayloadTooLarge):
            read(json.dumps(many), JSON)

    @pytest.mark.parametrize(
        "lines, events",
        [
            (
                [
                    '{"index":{"_index":"x"}}',
                    '{"a":1}',
                    '{"delete":{"_id":"1"}}',
                    '{"create":{}}',
                    '{"b":2}',
                ],
                [{"a": 1}, {"b": 2}],
            ),
            (
                ['{"update":{"_id":"1","retry_on_conflict":3}}', '{"doc":{"a":1}}'],
                [{"doc": {"a": 1}}],
            ),
            (['{"index":{"_index":"x"}}', '{"a":1}', '{"index":{}}'], None),
            (['{"delete":{"_id":"1"}}', '{"delete":{"_id":"2"}}'], None),
            (['{"index":{"name":"x"}}', '{"a":1}'], None),
            (['{"index":1}', '{"a":1}'], None),
            (['{"index":{},"x":1}', '{"a":1}'], None),
            (['{"create":{}}'], None),
        ],
        ids=itertools.count(),
    )
    @pytest.mark.parametrize("content_type", ["application/x-ndjson", JSON, ""])
    def test_lines_of_elasticsearch_s_bulk(
        self, lines: list[str], events: list[Any] | None, content_type: str
    ) -> None:
        """
        Given: a body for Elasticsearch's _bulk, or one that only has such a line
        When: it is read
        Then: the documents are the events, or every line is one
        """
        expected = events or [json.loads(line) for line in lines]
        assert read("\n".join(lines) + "\n", content_type) == expected

    def test_ten_thousand_documents_of_bulk(self) -> None:
        """
        Given: as many documents as a request may have events, each behind its action
        When: they are read
        Then: all are events, and one more is refused
        """
        pair = '{"index":{}}\n{"a":1}\n'
        assert len(read(pair * 10_000, "application/x-ndjson")) == 10_000
        with pytest.raises(payload.PayloadTooLarge):
            read(pair * 10_001, "application/x-ndjson")

    @pytest.mark.parametrize(
        "text, events",
        [
            ('[{"a":1}]\n[{"a":2},{"a":3}]', [{"a": 1}, {"a": 2}, {"a": 3}]),
            ('[{"a":1}][]{"a":2}', [{"a": 1}, {"a": 2}]),
            ("[1][2]", [[1], [2]]),
        ],
    )
    def test_arrays_in_a_row(self, text: str, events: list[Any]) -> None:
        """
        Given: arrays that follow one another
        When: they are read
        Then: their objects are the events
        """
        assert read(text, JSON) == events

    @pytest.mark.parametrize("filename", ["", '; filename="blob"'])
    @pytest.mark.parametrize(
        "content, values", [('{"a":1}', [{"a": 1}]), ('[{"a":1},2]', [{"a": 1}, 2])]
    )
    def test_a_part_payload_of_a_json_type_is_the_event(
        self, filename: str, content: str, values: list[Any]
    ) -> None:
        """
        Given: a form with a part named payload whose own type is JSON, and another field
        When: it is read
        Then: the part is the event, and the field is kept as form
        """
        body = (
            f'--b\r\nContent-Disposition: form-data; name="payload"{filename}\r\n'
            f"Content-Type: application/json\r\n\r\n{content}\r\n"
        )
        end = "--b--\r\n"
        assert read(body + end, MULTIPART) == values
        other = '--b\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n'
        first, *rest = read(body + other + end, MULTIPART)
        assert first == {"a": 1, "form": {"x": "y"}}
        assert rest == values[1:]


# For each pattern of the module: how it is used, and its worst text of about n characters.
PATTERNS: dict[str, tuple[str, Callable[[int], str]]] = {
    "CEF_START": ("search", lambda n: "CEF:1." * (n // 6)),
    "SYSLOG_START": ("match", lambda n: "1" * n),
    "HEADER_SIGN": ("findall", lambda n: "\\|" * (n // 2)),
    "HEADER_ESCAPE": ("findall", lambda n: "\\" * n),
    "EXTENSION_KEY": ("findall", lambda n: (" " + "a" * 99) * (n // 100)),
    "EXTENSION_ESCAPE": ("findall", lambda n: "\\" * n),
    "XML_START": ("match", lambda n: " " * 100 + "<" + "a" * n),
    "END_OF_KEY": ("search", lambda n: " " * n),
    "END_OF_MEMBER": ("search", lambda n: (", " + "\n" * 190 + '"a') * (n // 194)),
    "END_OF_ELEMENT": ("search", lambda n: ("," + "\n" * 190) * (n // 191)),
    "END_OF_FOLDER": ("search", lambda n: "}" * n),
    "MACRO": ("findall", lambda n: "{{{x" * (n // 4)),
    "NEXT_MEMBER": ("findall", lambda n: ("," + " " * 190 + '"a') * (n // 193)),
    "PLAIN_WORD": ("findall", lambda n: "a" * n),
    "QUOTED_KEY": ("findall", lambda n: '"' * n),
    "QUOTED_START": ("match", lambda n: "[" * n),
    "COMMENT_BEHIND": ("search", lambda n: " /" * (n // 2)),
    "TEMPLATE_KEY": ("findall", lambda n: "a" * n),
    "TEMPLATE_BLANKS": ("match", lambda n: " " * n),
    "JSON_NUMBER": ("fullmatch", lambda n: "1" * n),
    "UNICODE_ESCAPE": ("findall", lambda n: "uabc" * (n // 4)),
    "STRING_ESCAPE": ("findall", lambda n: "\\" * n),
    "PAIR": ("findall", lambda n: ('"' + "a" * 99 + '":') * (n // 102)),
}


class TestPatterns:
    def test_every_pattern_has_its_worst_text(self) -> None:
        """
        Given: all compiled patterns of the module
        When: they are compared with the table above
        Then: none is missing, so that a new one is measured as well
        """
        assert compiled_patterns(formats) == PATTERNS.keys()

    @pytest.mark.parametrize("name", PATTERNS)
    def test_every_pattern_is_linear(self, name: str) -> None:
        """
        Given: a pattern's worst text, and one of sixteen times its length
        When: both are searched
        Then: the longer one takes about sixteen times as long, where a quadratic one takes 256
        """
        way, worst = PATTERNS[name]
        assert_linear(getattr(formats, name), way, worst)
