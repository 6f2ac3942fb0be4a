"""Formats of texts that are neither JSON nor a form: CEF, LEEF, XML, and JSON that a template made.

What it is for: a text becomes the events it holds, each with its text and the parts that paths can
reach; and JSON with the mistakes of templates is read as what its sender means. It knows nothing of
bytes, of requests, of Cortex XSOAR, or of incidents.

Every reader takes linear time, and its limit stands at the head of this file: what is longer stays
text.

| section | what it does |
| --- | --- |
| Events of a body | one event, or one for each line, document or record |
| CEF and LEEF | the header's fields and the extension's |
| XML | elements as objects |
| JSON of templates | unknown escapes, quotes within strings, trailing commas, macros |
"""

import base64
import json
import math
import re
import zlib
from collections.abc import Callable
from typing import Any

try:
    from defusedxml.ElementTree import DefusedXMLParser  # type: ignore[import-untyped]
except ImportError:  # an image without it: XML stays text
    DefusedXMLParser = None

MAX_EVENT_LINES = 10_000  # as many as a request may have events; a longer log stays one text
MAX_START_CHARACTERS = 300  # in which CEF begins behind a syslog header
MAX_CEF_HEADER_CHARACTERS = 4 * 1024
MAX_EXTENSION_CHARACTERS = 256 * 1024  # of one event
MAX_EXTENSION_FIELDS = 1000  # of one event
MAX_XML_NESTING = 100  # levels; rawJSON may have 200
XML_PIECE_CHARACTERS = 64 * 1024  # that one call of C reads
MAX_TEMPLATE_NESTING = 100
MAX_PAIRS = 100  # of JSON that cannot be read
# Of all the texts of one body together.
MAX_FORMAT_FIELDS = 500_000  # of CEF and LEEF
MAX_XML_CHARACTERS = 1024**2  # read in 0.6 s
MAX_TEMPLATE_CHARACTERS = 256 * 1024  # a template makes one alert, not thousands
MAX_RECORDS = 10_000
MAX_ORIGIN_CHARACTERS = 200  # of a delivery's ID and time
RECORD_SLICE_BYTES = 64 * 1024  # decompressed at a time
# The lines of Elasticsearch's _bulk that say what is to be done with the next one.
BULK_ACTIONS = {"index", "create", "update", "delete"}
BULK_OPTIONS = {"routing", "pipeline", "version", "version_type", "retry_on_conflict"} | {
    *("if_seq_no", "if_primary_term", "require_alias", "list_executed_pipelines"),
    *("dynamic_templates", "require_data_stream", "parent"),
}
CEF_FIELDS = (
    *("version", "device_vendor", "device_product", "device_version"),
    *("signature_id", "name", "severity"),
)
LEEF_FIELDS = CEF_FIELDS[:5]
CEF_START = re.compile(r"(CEF|LEEF): ?\d{1,2}(?:\.\d{1,2})?\|")
# A syslog line begins with its priority or its time; seconds since 1970 are taken as a time, too.
SYSLOG_START = re.compile(
    r"<\d{1,3}>|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d|\d{10}(?:\.\d{1,9})? "
    r"|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d (?:\d{4} )?\d\d:\d\d:\d\d"
)
HEADER_SIGN = re.compile(r"\\.|\|", re.DOTALL)
HEADER_ESCAPE = re.compile(r"\\([\\|])")
EXTENSION_KEY = re.compile(r"(?:\A|(?<=\s))([\w.\[\]-]{1,100})=")
EXTENSION_ESCAPE = re.compile(r"\\([\\=|nr])")
ESCAPED_BREAKS = {"n": "\n", "r": "\r"}
XML_START = re.compile(r"\s{0,100}<(?:\?xml\s|(?!(?i:html)[\s>])[A-Za-z_][\w.:-]{0,100}[\s/>])")


# -------------------------------------------------------------------------------------------------
# Events of a body
# -------------------------------------------------------------------------------------------------


class TextReader:
    """Reads the texts of one body: what these may hold together is bounded."""

    def __init__(self) -> None:
        self._fields = MAX_FORMAT_FIELDS
        self._xml_characters = MAX_XML_CHARACTERS
        self._template_characters = MAX_TEMPLATE_CHARACTERS
        self._record_bytes = 0

    def read_events(self, text: str, type_name: str) -> list[dict[str, Any]]:
        """Return the events of a text, each with the text as ``body`` and what can be read of it.

        CEF is added as ``cef``, LEEF as ``leef``, XML as ``xml``. Lines are several events where
        each of them begins as CEF, LEEF or syslog does; any other text is one event.
        """
        lines = _event_lines(text)
        if lines:
            return [{"body": line, **self._read_cef(line)} for line in lines]
        is_xml = type_name != "text/html" and XML_START.match(text)
        return [{"body": text, **(self._read_xml(text) if is_xml else self._read_cef(text))}]

    def read_template(self, text: str, is_declared: bool) -> list[Any]:
        """Return the objects and arrays of JSON that a template made; raises UnreadableTemplate.

        Accepted are unknown escapes, quotes within strings, strings in triple or single quotes,
        comments, trailing and missing commas, brackets too many at the end, names and values
        without quotes. What ends too early is not: it was cut, and its sender has to send it again.
        Unless a type promises JSON, only objects with quoted names, and arrays of these, are taken
        for it.
        """
        self._template_characters -= len(text)
        if self._template_characters < 0:
            raise UnreadableTemplate("too long")
        if not is_declared and not QUOTED_START.match(text):
            raise UnreadableTemplate("no object")
        values = TemplateReader(text).read_all()
        for value in values:
            events = value if isinstance(value, list) else [value]
            if not is_declared and not all(isinstance(event, dict) for event in events):
                raise UnreadableTemplate("no object")
        return values

    def read_pairs(self, text: str) -> dict[str, Any]:
        """Return the names and short values at the top level of JSON that cannot be read.

        ``raw_json`` is left out: with it, an event would be in the native format.
        """
        pairs: dict[str, Any] = {}
        depth = 0
        for found in PAIR.finditer(text, 0, MAX_TEMPLATE_CHARACTERS):
            name, word, number = found.groups()
            if found[0] in "{[":
                depth += 1
            elif found[0] in "}]":
                depth -= 1
            elif name and depth == 1 and name.lower().replace("_", "") != "rawjson":
                pairs.setdefault(name, json.loads(number) if word is None else word)
            if len(pairs) >= MAX_PAIRS:
                break
        return pairs

    def choose_events(self, values: list[Any]) -> list[Any]:
        """Return the documents among the lines of Elasticsearch's _bulk, else all values."""
        documents: list[Any] = []
        index = 0
        while index < len(values):
            action = values[index]
            if not _is_bulk_action(action):
                return values
            if "delete" not in action:
                index += 1  # its document follows
                if index == len(values):
                    return values
                documents.append(values[index])
            index += 1
        return documents or values

    def read_records(
        self, event: Any, read: Callable[[bytes], list[Any]], most: int
    ) -> list[Any] | None:
        """Return the events of an Amazon Data Firehose delivery, None for any other event.

        A record's data is base64 of whatever a body may be, also of gzip; ``read`` returns its
        values. Each event gets the delivery's ``requestId`` and ``timestamp`` as ``firehose``.
        ``most``: bytes of all records of the body together, decompressed.
        """
        records = event["records"]
        if "requestId" not in event or not isinstance(records, list) or not records:
            return None
        origin = {name: event[name] for name in ("requestId", "timestamp") if name in event}
        if any(len(str(value)) > MAX_ORIGIN_CHARACTERS for value in origin.values()):
            return None  # each event would hold it
        events: list[Any] = []
        try:
            for record in records[: MAX_RECORDS + 1]:
                for value in read(self._record_data(record["data"], most)):
                    fields = value if isinstance(value, dict) else {"body": value}
                    name = "firehose" if "firehose" not in fields else "request_firehose"
                    events.append({**fields, name: origin})
                if len(events) > MAX_RECORDS:
                    break  # the body is refused for them
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
        return events

    def _record_data(self, data: str, most: int) -> bytes:
        """Return a record's bytes; raises ValueError where it is not base64, or too long."""
        record = base64.b64decode(data.encode("ascii"), validate=True)
        if record[:3] == b"\x1f\x8b\x08":
            record = _decompress(record, most - self._record_bytes)
        self._record_bytes += len(record)
        if self._record_bytes > most:
            raise ValueError("too long")
        return record

    def _read_xml(self, text: str) -> dict[str, Any]:
        self._xml_characters -= len(text)
        value = read_xml(text) if self._xml_characters >= 0 else None
        return {} if value is None else {"xml": value}

    def _read_cef(self, text: str) -> dict[str, Any]:
        read = read_cef(text) if self._fields >= 0 else {}
        for event in read.values():
            self._fields -= len(event["extension"])
        return read


def _decompress(data: bytes, most: int) -> bytes:
    """Return what is in gzip, at most one byte more than allowed; other bytes as they are."""
    unpacker = zlib.decompressobj(31)
    unpacked = bytearray()
    try:
        for start in range(0, len(data), RECORD_SLICE_BYTES):
            piece = data[start : start + RECORD_SLICE_BYTES]
            unpacked += unpacker.decompress(piece, most + 1 - len(unpacked))
            if len(unpacked) > most:
                return bytes(unpacked)
    except zlib.error:
        return data
    return bytes(unpacked) if unpacker.eof else data


def _is_bulk_action(value: Any) -> bool:
    if not isinstance(value, dict) or len(value) != 1:
        return False
    [(name, target)] = value.items()
    is_action = name in BULK_ACTIONS and isinstance(target, dict)
    return is_action and all(key[:1] == "_" or key in BULK_OPTIONS for key in target)


def _event_lines(text: str) -> list[str]:
    """Return the lines of a text if each begins as an event does, and there are at least two."""
    if not _begins_as_event(text) or text.count("\n") > MAX_EVENT_LINES:
        return []
    lines = [line.removesuffix("\r") for line in text.split("\n") if line and not line.isspace()]
    return lines if len(lines) > 1 and all(map(_begins_as_event, lines)) else []


def _begins_as_event(line: str) -> bool:
    return bool(SYSLOG_START.match(line) or CEF_START.match(line))


# -------------------------------------------------------------------------------------------------
# CEF (ArcSight's Common Event Format) and LEEF (QRadar's Log Event Extended Format)
# -------------------------------------------------------------------------------------------------


def read_cef(line: str) -> dict[str, Any]:
    """Return ``{"cef": {...}}`` or ``{"leef": {...}}`` for a line of it, also with syslog's header.

    An empty object for any other text.
    """
    found = CEF_START.search(line, 0, MAX_START_CHARACTERS)
    if not found or (found.start() and not SYSLOG_START.match(line)):
        return {}
    names = CEF_FIELDS if found[1] == "CEF" else LEEF_FIELDS
    start = found.start() + len(found[1]) + 1
    values: list[str] = []
    for sign in HEADER_SIGN.finditer(line, start, start + MAX_CEF_HEADER_CHARACTERS):
        if sign[0] == "|":
            values.append(HEADER_ESCAPE.sub(r"\1", line[start : sign.start()]).strip())
            start = sign.end()
            if len(values) == len(names):
                break
    else:
        # Some senders write neither an extension nor the sign in front of it.
        if len(values) != len(names) - 1 or found[1] != "CEF":
            return {}
        values.append(HEADER_ESCAPE.sub(r"\1", line[start:]).strip())
        start = len(line)
    read: dict[str, Any] = dict(zip(names, values))
    extension = line[start : start + MAX_EXTENSION_CHARACTERS].strip("\r\n ")
    if found[1] == "CEF":
        return {"cef": {**read, "extension": _read_extension(extension)}}
    return {"leef": {**read, "extension": _read_attributes(extension, read["version"])}}


def _read_extension(text: str) -> dict[str, str]:
    """Return the fields of a CEF extension: a value ends where the next ``name=`` begins."""
    fields: dict[str, str] = {}
    name, start = "", 0
    for found in EXTENSION_KEY.finditer(text):
        if name:
            fields.setdefault(name, _unescape_extension(text[start : found.start()]))
        name, start = found[1], found.end()
        if len(fields) >= MAX_EXTENSION_FIELDS:
            return fields
    if name:
        fields.setdefault(name, _unescape_extension(text[start:]))
    return fields


def _unescape_extension(value: str) -> str:
    value = value.strip(" ")
    if "\\" not in value:
        return value
    return EXTENSION_ESCAPE.sub(lambda found: ESCAPED_BREAKS.get(found[1], found[1]), value)


def _read_attributes(text: str, version: str) -> dict[str, str]:
    """Return the attributes of LEEF; version 2 may name their delimiter in front of them."""
    delimiter = "\t"
    if version.startswith("2"):
        named, sign, _ = text[:20].partition("|")
        if sign and "=" not in named:
            text = text[len(named) + 1 :]
            delimiter = _delimiter(named) or delimiter
    pairs = [pair.partition("=") for pair in text.split(delimiter, MAX_EXTENSION_FIELDS)]
    return {name.strip(): value.strip() for name, sign, value in pairs if sign and name.strip()}


def _delimiter(named: str) -> str:
    """Return a delimiter that LEEF names by itself or as ``0x09`` or ``x09``; empty for no such."""
    if len(named) <= 1:
        return named
    try:
        return chr(int(named.lower().removeprefix("0").removeprefix("x"), 16))
    except (ValueError, OverflowError):
        return ""


# -------------------------------------------------------------------------------------------------
# XML
# -------------------------------------------------------------------------------------------------


class XmlObject:
    """What an XML parser reports, as objects.

    An element is its text, or an object: its attributes as ``@name``, its children by their names
    (a list where one is repeated), its text as ``#text``. Namespaces are left out of names.
    """

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self._open: list[tuple[str, dict[str, Any], list[str]]] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins; raises ValueError for too many levels."""
        if len(self._open) >= MAX_XML_NESTING:
            raise ValueError("too many levels")
        node = {f"@{_local_name(name)}": value for name, value in attributes.items()}
        self._open.append((_local_name(tag), node, []))

    def data(self, text: str) -> None:
        """A piece of the innermost element's text."""
        self._open[-1][2].append(text)

    def end(self, _tag: str) -> None:
        """The innermost element ends."""
        name, node, pieces = self._open.pop()
        text = "".join(pieces).strip()
        if text and node:
            node["#text"] = text
        value = node or text
        parent = self._open[-1][1] if self._open else self.root
        if name not in parent:
            parent[name] = value
        elif isinstance(parent[name], list):
            parent[name].append(value)
        else:
            parent[name] = [parent[name], value]

    def close(self) -> dict[str, Any]:
        """Return the root element by its name."""
        return self.root


def _local_name(name: str) -> str:
    return name.rpartition("}")[2]


def read_xml(text: str) -> dict[str, Any] | None:
    """Return the root element of an XML text by its name, None where it cannot be read.

    A document type is not accepted: entities are how a short text becomes a very long one.
    """
    if DefusedXMLParser is None:
        return None
    parser = DefusedXMLParser(target=XmlObject(), forbid_dtd=True)
    text = text.strip()
    try:
        for start in range(0, len(text), XML_PIECE_CHARACTERS):
            parser.feed(text[start : start + XML_PIECE_CHARACTERS])
        return parser.close()
    except (SyntaxError, ValueError):  # the parser's own error is a SyntaxError
        return None


# -------------------------------------------------------------------------------------------------
# JSON of templates: read only where strict JSON is not what a text is
# -------------------------------------------------------------------------------------------------

# What follows the quote at the end of a string; any other quote belongs to the text.
QUOTED_NAME = r"""(?:"(?:[^"\\\n]|\\.){0,200}"|'(?:[^'\\\n]|\\.){0,200}')"""
MEMBER_NAME = rf"(?:{QUOTED_NAME}|[\w$.@-]{{1,100}})\s{{0,20}}(?::|=>)"
END_OF_KEY = re.compile(r"\s{0,200}(?::|=>)")
END_OF_MEMBER = re.compile(
    rf"\s{{0,200}}(?:[}}\]]|\Z|//|/\*|,\s{{0,200}}(?:{MEMBER_NAME}|[}}\]#,]|/[/*]|\Z))"
    rf"|[^\S\n]{{0,200}}\n\s{{0,200}}{MEMBER_NAME}"
)
END_OF_ELEMENT = re.compile(
    r"\s{0,200}(?:\]|\Z|//|/\*|,\s{0,200}"
    r"(?:[\"'{\[\]#,\d-]|/[/*]|true|false|null|NaN|Infinity|\Z))"
    r"|[^\S\n]{0,200}\n\s{0,200}[\"'{\[]"
)
# Behind a backslash and a quote: the string was a Windows folder, and the quote is its end.
END_OF_FOLDER = re.compile(rf"\s{{0,200}}(?:,\s{{0,200}}{MEMBER_NAME}|[\s}}\]]{{0,200}}\Z)")
# As in {HOST.NAME}, {{ status }}, ${value} and %{host}: what a template did not fill in.
MACRO_NAME = r"""\s{0,20}[^\s{}"':,][^{}"':,\n]{0,200}"""
MACRO = re.compile(rf"\{{{MACRO_NAME}\}}|\{{\{{{MACRO_NAME}\}}\}}|\{{\{{\{{{MACRO_NAME}\}}\}}\}}")
NEXT_MEMBER = re.compile(rf",\s{{0,200}}(?:{MEMBER_NAME}|[}}\]#,]|/[/*]|\Z)")
PLAIN_WORD = re.compile(r"[^,{}\]\n\"]+")
QUOTED_KEY = re.compile(rf"{QUOTED_NAME}\s{{0,20}}:")
# How an object with a quoted name begins, or an array of such.
QUOTED_START = re.compile(r"""[\s\[]{0,100}\{\s{0,100}["']""")
COMMENT_BEHIND = re.compile(r"\s(?://|/\*|#)")
TEMPLATE_KEY = re.compile(r"[\w$.@-]{1,200}")
TEMPLATE_BLANKS = re.compile(r"[\s\0\x1e]*")
JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,307})(?:\.\d{1,300})?(?:[eE][+-]?\d{1,3})?")
STRING_PARTS = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
UNICODE_ESCAPE = re.compile(r"u[0-9a-fA-F]{4}")
STRING_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
JSON_ESCAPES = {'"': '"', "'": "'", "\\": "\\", "/": "/", "b": "\b", "f": "\f"} | {
    "n": "\n",
    "r": "\r",
    "t": "\t",
}
JSON_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False} | {
    "None": None,
    "nil": None,
    "undefined": None,
    "": None,
}
# A pair of a name and a short value, any other string, or what begins or ends a level.
PAIR = re.compile(
    r'"([^"\\\n]{1,100})"\s{0,20}:\s{0,20}(?:"([^"\\\n]{0,1000})"|(-?\d{1,15}(?:\.\d{1,15})?)\b)'
    r'|"[^"\n]{0,1000}"|[{\[]|[}\]]'
)


class UnreadableTemplate(ValueError):
    """A text that is not JSON, whatever its template may have done to it."""


class TemplateReader:
    """A reader of one text, from its beginning to its end; what it has read is never read again."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.index = 0

    def read_all(self) -> list[Any]:
        """Return all values of the text; raises UnreadableTemplate.

        Brackets too many behind a value hold nothing, so that they end it.
        """
        values: list[Any] = []
        while self._next(",}]" if values else ",") is not None:
            value = self._read_value(0, in_object=False)
            if not isinstance(value, (dict, list)):
                raise UnreadableTemplate("text outside of objects")
            values.append(value)
        if not values:
            raise UnreadableTemplate("no value")
        return values

    def _next(self, skipped: str = "") -> str | None:
        """Return the next character that is no blank, comment or ``skipped``; None at the end."""
        text = self.text
        while True:
            blanks = TEMPLATE_BLANKS.match(text, self.index)
            self.index = blanks.end() if blanks else self.index
            character = text[self.index : self.index + 1]
            if not character:
                return None
            if text.startswith(("//", "#"), self.index) and not text.startswith("#{", self.index):
                end = text.find("\n", self.index)
                self.index = len(text) if end < 0 else end
            elif text.startswith("/*", self.index):
                end = text.find("*/", self.index + 2)
                if end < 0:
                    raise UnreadableTemplate("a comment without an end")
                self.index = end + 2
            elif character in skipped:
                self.index += 1
            else:
                return character

    def _read_value(self, depth: int, in_object: bool) -> Any:
        character = self.text[self.index]
        if depth > MAX_TEMPLATE_NESTING:
            raise UnreadableTemplate("too deep")
        if character == "{" and not MACRO.match(self.text, self.index):
            return self._read_object(depth)
        if character == "[":
            return self._read_array(depth)
        if character in STRING_PARTS:
            return self._read_string(END_OF_MEMBER if in_object else END_OF_ELEMENT)
        return self._read_word(in_object)

    def _read_object(self, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        self.index += 1
        while (character := self._next(",")) != "}":
            if character is None:
                raise UnreadableTemplate("an object without an end")
            name = self._read_key(character)
            self._next()
            sign = END_OF_KEY.match(self.text, self.index)
            if not sign:
                raise UnreadableTemplate("a name without a value")
            self.index = sign.end()
            character = self._next()
            if character is None:
                raise UnreadableTemplate("a name without a value")
            is_empty = character in ",}"
            members[name] = None if is_empty else self._read_value(depth + 1, in_object=True)
        self.index += 1
        return members

    def _read_array(self, depth: int) -> list[Any]:
        elements: list[Any] = []
        self.index += 1
        while (character := self._next(",")) != "]":
            if character is None or character == "}":
                raise UnreadableTemplate("an array without an end")
            elements.append(self._read_value(depth + 1, in_object=False))
        self.index += 1
        return elements

    def _read_key(self, character: str) -> str:
        if character in STRING_PARTS:
            return self._read_string(END_OF_KEY)
        word = TEMPLATE_KEY.match(self.text, self.index)
        if not word:
            raise UnreadableTemplate("a value without a name")
        self.index = word.end()
        return word[0]

    def _read_string(self, end: re.Pattern[str]) -> str:
        """Return a string; its end is the first quote behind which there may be one."""
        text, quote, start = self.text, self.text[self.index], self.index + 1
        if text.startswith('"""', self.index):
            place = text.find('"""', self.index + 3)
            if place >= 0:
                self.index = place + 3
                return text[start + 2 : place]
        place = start
        is_escaped = True  # until an escape is found that JSON does not have
        while True:
            part = STRING_PARTS[quote].match(text, place)
            place = part.end() if part else place
            if place + 1 >= len(text):
                raise UnreadableTemplate("a string without an end")
            if text[place] == quote:
                if end.match(text, place + 1):
                    break
                place += 1
                continue
            escaped = text[place + 1]
            if escaped == quote and END_OF_FOLDER.match(text, place + 2):
                place += 1
                is_escaped = False
                break
            is_known = UNICODE_ESCAPE.match(text, place + 1) or escaped in JSON_ESCAPES
            is_escaped = is_escaped and bool(is_known)
            place += 2
        self.index = place + 1
        raw = text[start:place]
        # A sender that does not know of escapes writes every backslash as it is: C:\temp\new.
        return _unescape_string(raw) if is_escaped else raw.replace(f"\\{quote}", quote)

    def _read_word(self, in_object: bool) -> Any:
        """Return a value without quotes: a number, a constant, or a text up to the next member."""
        text, start = self.text, self.index
        while self.index < len(text):
            word = MACRO.match(text, self.index) or PLAIN_WORD.match(text, self.index)
            if word:
                self.index = word.end()
            elif self._is_in_word(text[self.index], in_object):
                self.index += 1
            else:
                break
        value = text[start : self.index]
        comment = COMMENT_BEHIND.search(value)
        value = value[: comment.start()].strip() if comment else value.strip()
        if not value:
            raise UnreadableTemplate("no value")
        return _read_constant(value)

    def _is_in_word(self, character: str, in_object: bool) -> bool:
        """Return whether a sign belongs to a value without quotes, and does not end it."""
        if character == '"':
            return not QUOTED_KEY.match(self.text, self.index)
        if character == ",":
            return in_object and not NEXT_MEMBER.match(self.text, self.index)
        return character == "{"


def _read_constant(word: str) -> Any:
    """Return what a word without quotes stands for: itself, unless it is one of JSON's."""
    if word in JSON_WORDS:
        return JSON_WORDS[word]
    if not JSON_NUMBER.fullmatch(word):
        return word
    number = json.loads(word)
    return word if math.isinf(number) else number


def _unescape_string(raw: str) -> str:
    """Return a string without JSON's escapes; half of a surrogate pair becomes U+FFFD."""
    if "\\" not in raw:
        return raw
    value = STRING_ESCAPE.sub(_unescape_one, raw)
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _unescape_one(found: re.Match[str]) -> str:
    escape = found[1]
    return chr(int(escape[1:], 16)) if len(escape) > 1 else JSON_ESCAPES.get(escape, found[0])
