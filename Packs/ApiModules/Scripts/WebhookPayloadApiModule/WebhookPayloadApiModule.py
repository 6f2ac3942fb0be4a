"""What a request says: its body becomes the items its sender means.

What it is for: JSON in all the ways that senders write it, forms, files, text and bytes.
It knows nothing of HTTP, of who sent the body, of Cortex XSOAR, or of incidents.

A body is read in this order, which docs/bodies.md describes as well:
1. its content encoding is undone;
2. JSON is recognised under any Content-Type: one value, or several in a row;
3. the declared type decides: under a JSON type, a body that is not JSON is refused; forms are read;
4. what is left is text, or bytes that are kept in base64.

A body of more than 32 KiB is read on a worker thread, where a long call of C would keep all other
threads waiting: such calls get pieces of the text. The limits below are for all parts of a body.

| section | what it does |
| --- | --- |
| Content types | a header's parameters, charsets, encoded words |
| JSON | one value, several in a row; numbers and texts that JSON does not have |
| Text and bytes | charsets, text or base64 |
| Content encodings | gzip and deflate |
| Forms, Multipart forms | fields and files |
| Values within values | what Amazon SNS, Pub/Sub and CloudEvents carry as text or base64 |
"""

import base64
import binascii
import codecs
import contextlib
import encodings
import encodings.aliases
import functools
import itertools
import json
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

MAX_ITEMS = 10_000  # events of one request
MAX_UNPACKED_BYTES = 25 * 1024**2  # of a compressed body: what an uncompressed one may have
SMALL_TEXT_CHARACTERS = 32 * 1024  # a longer text is parsed so that other threads get their turn
MAX_NESTING = 200  # levels; every supported Python parses it, and no alert comes near
MAX_NUMBER_DIGITS = 308  # a longer number does not fit a double, and XSOAR reads doubles
# Of all the JSON of one body together.
MAX_JSON_CONTAINERS = 1_000_000  # an empty object takes forty times its bytes in memory
MAX_JSON_FIELDS = 500_000  # Python builds an object of so many keys in 0.2 s, without a pause
MAX_JSON_STRINGS = 2_000_000  # Python builds a list of so many in 0.15 s, without a pause
MAX_JSON_NUMBERS = 2_000_000  # 1 s; 6.5 million took 3 s, and other senders' bodies wait their turn
COUNTED_JSON_CHARACTERS = 1 * 1024**2  # a shorter text cannot have so many fields that it matters
PIECE_SIZE = 64 * 1024  # bytes or characters that one call gets of a large text
REPLACING_SIZE = 4 * 1024  # where each byte may cost 0.4 µs, and the reading may end early
MAX_TEMPLATE_BYTES = 1 * 1024**2  # of JSON that is read in spite of its mistakes
MAX_FORM_FIELDS = 1000
MAX_FIELD_NAME_CHARACTERS = 1000
MAX_BROKEN_ESCAPES = 10_000  # of one field; an encoded form has none
LOG_CHARACTERS = 1000  # of a field, in which it is looked for what only a line of a log has
MAX_FALSE_DELIMITERS = 100_000  # lines of a multipart form that only begin like its delimiter
MAX_PART_HEADER_BYTES = 8 * 1024  # of one part of a multipart form
MAX_PART_HEADERS = 32  # lines
MAX_PARAMETERS = 32  # of one header
MAX_PARAMETERS_CHARACTERS = 1000  # of a header with more, none is read
MAX_GZIP_MEMBERS = 1000
# Of a large text, every fourth character may need an escape, which is four bytes as JSON within
# JSON, and every tenth may be a replacement character, which is six.
ESCAPED_PARTS = 4
REPLACED_PARTS = 10
LARGE_PART_BYTES = 1024  # of a large body: a larger part of it counts as large as well
EXPECTED = (
    'POST a JSON object such as {"name": "...", "raw_json": {...}}, an array of them, JSON lines, '
    "a form or any text."
)
# Every name Python has for a charset. Its codecs for escapes and host names have no alias.
CHARSETS = {*encodings.aliases.aliases, *encodings.aliases.aliases.values(), "utf_8_sig"}
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
WIDE_MARKS = tuple(mark for mark, charset in BYTE_ORDER_MARKS if charset != "utf-8-sig")
FIRST_MARK_BYTES = {mark[:1] for mark, _ in BYTE_ORDER_MARKS}
# Text has none of these; \x1b is allowed because it begins a colour in many logs.
BINARY_CHARACTERS = re.compile("[\x00-\x06\x0e-\x1a\x1c-\x1f]")
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")  # each takes six bytes as JSON, too
XML_ENCODING = re.compile(
    rb"""\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']"""
)
# An encoded form has none of these characters in a name; CEF and XML have.
FORM_FIELD_NAME = re.compile(r'[^\s<>{}|"=&]+')
FORM_FLAG = re.compile(r"[A-Za-z0-9_.%\[\]-]+")  # a field without a value
# As in `date=2024-05-10 time=11:37:47`: a line of a log, and not a form.
LOG_FIELD = re.compile(r'\s[A-Za-z_][\w.-]*=|="')
# The native format's raw JSON; as a value, no colon follows it.
RAW_NAME = re.compile(r'"(raw_json|rawJson|rawJSON)"[ ]*(?::[ ]*)?')
# Quotes that are not escaped. Behind two backslashes a quote counts; behind one or three it does
# not, for it is a quote of JSON within a string.
JSON_QUOTE = re.compile(r'"(?<!(?<!\\)\\")(?<!(?<!\\)\\\\\\")')
JSON_KEY = re.compile(JSON_QUOTE.pattern + r"\s{0,1000}:")
SURROGATES = re.compile("[\ud800-\udfff]")
BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
PARAMETER = re.compile(
    r'([^\s;="]+)[ \t]*(?:=[ \t]*(?:"((?:[^"\\]|\\.)*)"?|([^;"]*)))?[^;]*', re.DOTALL
)
ESCAPED_CHARACTER = re.compile(r"\\([\\\"])")
# An encoded word of RFC 2047, and what stands between two of them.
ENCODED_WORD = re.compile(r"=\?([\w.:-]{1,40})(?:\*[\w-]{0,40})?\?([bBqQ])\?([^?\s]{0,800})\?=")
ENCODED_GAP = re.compile(r"\?=\s{1,100}=\?")
PART_HEAD_END = re.compile(rb"\r?\n\r?\n")
FOLDED_LINE = re.compile(rb"\n[ \t]")
FORM_BLANKS = " \t\r\n\f\v\x1c\x1d\x1e\x1f"
JSON_BLANKS = " \t\r\n"
# Around JSON: some senders end it with a NUL; RFC 7464 puts a record separator before each value.
PADDING = " \t\r\n\0\x1e"
# Content encodings that say that nothing is compressed.
NO_ENCODINGS = {"", "identity", "none", "utf-8", "utf8", "7bit", "8bit", "binary"}
GZIP_NAMES = ("gzip", "x-gzip")
GZIP_MAGIC = b"\x1f\x8b\x08"
RECORD_GZIP_MAGIC = b'"H4sI'  # the same in base64, which records may be
CARRIERS = frozenset({"TopicArn", "data_base64", "subscription"})  # see add_decoded
RECORDS_BYTES = 256  # in which a delivery of records begins with them
TEXT_TYPE_ENDS = ("xml", "csv", "urlencoded", "javascript")  # in addition to text/*
JSON_TYPES = {"application/json", "text/json", "application/csp-report", "application/json-seq"}
LINES_TYPES = {"application/x-ndjson", "application/jsonl", "application/ndjson"}
SEQUENCE_TYPES = {*LINES_TYPES, "application/json-seq", "application/stream+json"}


class PayloadError(Exception):
    """A body that cannot be read; the sentence says what is wrong and how to fix it."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class PayloadTooLarge(PayloadError):
    """A body with more bytes, fields or events than one request may have."""


class UnsupportedEncoding(PayloadError):
    """A Content-Encoding that is not known; ``accepted`` are those that are."""

    def __init__(self, sentence: str, accepted: tuple[str, ...]) -> None:
        super().__init__(sentence)
        self.accepted = accepted


class Items(NamedTuple):
    """The events of a body, one value each.

    ``is_array``: they came as a JSON array, so a wrong field is named by its element's index.
    ``problem``: why a body that is not valid JSON was read as JSON all the same, else empty.
    ``verbatim_json``: the text of what becomes the only item's rawJSON (in the native format, that
    of ``raw_json``) if it may stay as it came, else empty.
    """

    values: list[Any]
    is_array: bool = False
    verbatim_json: str = ""
    problem: str = ""


class TextFormats(Protocol):
    """Reads the formats that this module does not know, for one body: TextReader describes them."""

    def read_events(self, text: str, type_name: str) -> list[dict[str, Any]]: ...
    def read_template(self, text: str, is_declared: bool) -> list[Any]: ...
    def read_pairs(self, text: str) -> dict[str, Any]: ...
    def choose_events(self, values: list[Any]) -> list[Any]: ...
    def read_records(self, event: Any, read: Callable[[bytes], list[Any]], most: int) -> Any: ...


def read_payload(
    body: bytes,
    content_type_header: str,
    content_encoding: str,
    query: dict[str, Any] | None = None,
    keep_unreadable: bool = False,
    formats: Callable[[], TextFormats] | None = None,
) -> Items:
    """Return the items of a request's body, one for each incident it asks for; raises PayloadError.

    Without a body, the fields of the query string are the item. With ``keep_unreadable``, JSON
    that cannot be read becomes an item with ``body``, ``problem``, and the fields that are found.
    ``formats`` makes a reader of further formats; without it, these stay text.
    """
    if content_encoding or body[:3] == GZIP_MAGIC:
        body = unpack(body, supported_encoding(content_encoding))
    if not body or body.isspace():
        if query:
            return Items([dict(query)])
        raise PayloadError(f"The body is empty. {EXPECTED}")
    reader = BodyReader(JsonBudget() if len(body) > SMALL_TEXT_CHARACTERS else None, formats)
    items = reader.read(body, parse_content_type(content_type_header), keep_unreadable)
    if not items.values:
        raise PayloadError(f"The body holds no event. {EXPECTED}")
    values = items.values
    if carries_another(values[0]) or any(map(carries_another, values[1 : MAX_ITEMS + 1])):
        is_large = is_compressed(body, "")
        expanded = (reader.expand(value, is_large) for value in values[: MAX_ITEMS + 1])
        values = list(itertools.chain.from_iterable(expanded))
        items = items._replace(values=values, verbatim_json="")
    if len(items.values) > MAX_ITEMS:
        most = f"more than {MAX_ITEMS} events"
        raise PayloadTooLarge(f"The body holds {most}; send them in several requests.")
    return items


class BodyReader:
    """Reads one body; what it carries within it is read by the same rules and the same budget.

    Without a budget, the body is a small one, which the event loop may read.
    """

    def __init__(
        self, budget: "JsonBudget | None", formats: Callable[[], TextFormats] | None
    ) -> None:
        self._budget = budget
        self._make_formats = formats

    def read(self, body: bytes, content_type: "ContentType", keep_unreadable: bool) -> Items:
        """Return a body's items; raises PayloadError."""
        declared = content_type.is_json
        try:
            text = decode_json_text(body, content_type)
            items = read_json(text, content_type.name, declared, self._budget)
            if items is not None:
                return items if items.verbatim_json else self._choose_events(items)
            del text  # what follows decodes the body once more
        except UnreadableJson as error:
            reason = str(error)
            items = self._read_template(body, content_type, declared, reason)
            if items is not None:
                return items
            if declared:
                return self._unreadable(body, content_type, reason, keep_unreadable)
        read_fields = FORM_READERS.get(content_type.name)
        items = read_fields(body, content_type, self._budget) if read_fields else None
        return self._read_text(body, content_type) if items is None else items

    @functools.cached_property
    def _formats(self) -> TextFormats | None:
        return self._make_formats and self._make_formats()

    def _choose_events(self, items: Items) -> Items:
        if items.is_array or len(items.values) < 2:
            return items
        values = self._formats.choose_events(items.values) if self._formats else items.values
        return items._replace(values=_flattened(values))

    def _read_text(self, body: bytes, content_type: "ContentType") -> Items:
        """Return a text's events, or the one that keeps bytes that are not text."""
        kept: dict[str, Any] = text_or_base64(body, content_type)
        if not self._formats or "body" not in kept:
            return Items([kept])
        events = self._formats.read_events(kept["body"], content_type.name)
        if len(events) > 1 and len(kept) == 1:
            return Items(events)
        return Items([{**events[0], **kept} if len(events) == 1 else kept])

    def _read_template(
        self, body: bytes, content_type: "ContentType", declared: bool, reason: str
    ) -> Items | None:
        """Return the items of a body that would be JSON but for some mistakes, else None.

        Without a charset, bytes that are not UTF-8 are taken for windows-1252.
        """
        starts = (b"{", b"[", b"/", b"#") if declared else (b"{", b"[")
        looks_like_json = body[:100].lstrip().startswith(starts)
        if not looks_like_json or len(body) > MAX_TEMPLATE_BYTES or not self._formats:
            return None
        try:
            text = decode_json_text(body, content_type)
        except UnreadableJson:
            text = decode_replacing(body, "cp1252", 1) or ""
        problem = f"The body is not valid JSON: {reason}. It was read as what it seems to mean."
        with contextlib.suppress(UnreadableJson):
            items = read_json(text, content_type.name, declared, self._budget)
            return items and items._replace(verbatim_json="", problem=problem)
        with contextlib.suppress(ValueError):
            values = self._formats.read_template(text, declared)
            items = as_items(values[0]) if len(values) == 1 else Items(_flattened(values))
            return items._replace(problem=problem)
        return None

    def _unreadable(
        self, body: bytes, content_type: "ContentType", reason: str, keep: bool
    ) -> Items:
        """Return what is kept of JSON that cannot be read; raises PayloadError if nothing is."""
        sentence = f"The body is not the JSON that its Content-Type promises: {reason}."
        if not keep:
            raise PayloadError(sentence)
        kept: dict[str, Any] = text_or_base64(body, content_type)
        pairs = self._formats.read_pairs(kept.get("body", "")) if self._formats else {}
        return Items([{**pairs, **kept, "problem": sentence}], problem=sentence)

    def expand(self, value: Any, is_large: bool) -> list[Any]:
        """Return the records that an event carries, or the event with what it carries decoded.

        ``is_large``: its records may be far larger when they are decompressed.
        """
        if isinstance(value, dict) and "records" in value and self._formats:
            self._budget = self._budget or (JsonBudget() if is_large else None)
            most = MAX_UNPACKED_BYTES if self._budget else SMALL_TEXT_CHARACTERS
            records = self._formats.read_records(value, self._read_record, most)
            if records is not None:
                return records
        return [add_decoded(value, self._budget)]

    def _read_record(self, data: bytes) -> list[Any]:
        return self.read(data, parse_content_type(""), True).values


# -------------------------------------------------------------------------------------------------
# Content types: what a header says (RFC 2045, 2231), in linear time and within bounds
# -------------------------------------------------------------------------------------------------


class ContentType(NamedTuple):
    """A parsed Content-Type, in lower case; its charset is empty where none is usable."""

    name: str
    is_json: bool
    charset: str
    parameters: dict[str, str]


@functools.lru_cache(maxsize=256)
def parse_content_type(header: str) -> ContentType:
    """Return a parsed Content-Type."""
    name = header.partition(";")[0].strip().lower()
    is_json = name in JSON_TYPES or name in LINES_TYPES or name.endswith("+json")
    parameters = read_parameters(header)
    return ContentType(name, is_json, usable_charset(parameters.get("charset", "")), parameters)


def usable_charset(name: str) -> str:
    """Return Python's name of a charset, or an empty string if it is unknown or not a charset."""
    normalized = encodings.normalize_encoding(name.strip().strip("'\"").lower()[:40])
    if normalized not in CHARSETS:  # Python would keep the name of any other in memory for ever
        return ""
    try:
        codec = codecs.lookup(normalized)
        bytes(4).decode(codec.name)  # refuses codecs that are not text encodings, such as zlib
    except (LookupError, ValueError):
        return ""
    # No sender means UTF-7, and it hides what a text says.
    return "" if codec.name == "utf-7" else codec.name


def read_parameters(header: str) -> dict[str, str]:
    """Return a header's parameters by their names in lower case; of equal names the first counts.

    A parameter in sections (``name*0``) or with a charset (``name*``) is read as RFC 2231 says.
    """
    if len(header) > MAX_PARAMETERS_CHARACTERS:
        return {}
    plain: dict[str, str] = {}
    extended: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    for found in itertools.islice(PARAMETER.finditer(header), MAX_PARAMETERS):
        name, quoted, word = found[1].lower(), found[2], found[3]
        value = (word or "").strip() if quoted is None else ESCAPED_CHARACTER.sub(r"\1", quoted)
        name, star, section = name.partition("*")
        number = section.removesuffix("*")
        if not star:
            plain.setdefault(name, value)
        elif not section:
            extended.setdefault(name, _decode_extended([(value, True)]))
        elif number.isascii() and number.isdigit() and len(number) < 3:
            sections.setdefault(name, {}).setdefault(int(number), (value, section != number))
    for name, parts in sections.items():
        extended.setdefault(name, _decode_extended([parts[number] for number in sorted(parts)]))
    return plain | extended


def _decode_extended(sections: list[tuple[str, bool]]) -> str:
    """Return the value of a parameter's sections, each with whether it is percent-encoded.

    The first one that is begins with a charset and a language: ``utf-8'en'``. What the charset
    cannot read becomes U+FFFD.
    """
    value, encoded = sections[0]
    charset = "utf-8"
    if encoded and value.count("'") >= 2:
        name, _, value = value.split("'", 2)
        charset = usable_charset(name) or charset
    data = b""
    for text, is_encoded in [(value, encoded), *sections[1:]]:
        section = text.encode("utf-8", "replace")
        data += unquote_bytes(section) if is_encoded else section
    return data.decode(charset, "replace")


def decode_words(text: str) -> str:
    """Return a name without RFC 2047's encoded words, which some senders use against RFC 7578.

    A word that cannot be read stays as it is.
    """
    if "=?" not in text:
        return text
    return ENCODED_WORD.sub(_decode_word, ENCODED_GAP.sub("?==?", text))


def _decode_word(found: re.Match[str]) -> str:
    data = found[3].encode("utf-8", "replace")
    charset = usable_charset(found[1])
    with contextlib.suppress(ValueError):
        is_quoted = found[2] in "qQ"
        data = binascii.a2b_qp(data, header=True) if is_quoted else decode_base64(data)
        return data.decode(charset) if charset else found[0]
    return found[0]


# -------------------------------------------------------------------------------------------------
# JSON: one strict attempt for small texts, and a reader that lets other threads have their turn
# -------------------------------------------------------------------------------------------------


class UnreadableJson(ValueError):
    """Text that is not JSON we accept; the message says why and where.

    ``more``: there is a value, with something behind it.
    """

    def __init__(self, message: str, more: bool = False) -> None:
        super().__init__(message)
        self.more = more


def as_items(value: Any) -> Items:
    """Return the items of a JSON value: an array's elements, or the value itself."""
    return Items(value, True) if isinstance(value, list) else Items([value])


def read_json(
    text: str, type_name: str, declared: bool, budget: "JsonBudget | None"
) -> Items | None:
    """Return the items of a JSON text, None if it does not look like JSON; raises UnreadableJson.

    Under a type that promises JSON any value is accepted, otherwise only objects and arrays: a
    number or a word is text.
    """
    text = strip_text(text, PADDING)
    first = text[:1]
    if not declared and first not in ("{", "[") and not text.startswith(('"{', '"[', '"\\"')):
        return None
    try:
        value, raw = parse_small(text) if budget is None else (parse_json(text, budget), "")
    except UnreadableJson as error:
        if not error.more:
            raise
        budget = budget and JsonBudget()  # the first value, parsed once more, is not counted twice
        return Items(read_json_sequence(text, type_name, declared, budget))
    if isinstance(value, dict):
        return Items([value], False, raw)
    if isinstance(value, str) and value[:1] in ("{", "["):  # JSON within JSON's quotes
        with contextlib.suppress(UnreadableJson):
            value = parse_json(value, budget)
    return as_items(value) if declared or not isinstance(value, str) else None


def read_json_sequence(
    text: str, type_name: str, declared: bool, budget: "JsonBudget | None"
) -> list[Any]:
    """Return JSON values that follow one another, each on a line or not; raises UnreadableJson.

    Unless a type promises JSON, they have to be objects. A type of JSON lines, or a sequence
    (RFC 7464), may hold any values.
    """
    any_values = type_name in SEQUENCE_TYPES
    containers = count_containers(text)
    values: list[Any] = []
    index = 0
    # More events than are allowed are refused by our caller; of some formats' lines, half are none.
    while index < len(text) and len(values) <= 2 * MAX_ITEMS:
        value, end = _decode(budget.decoder if budget else DECODER, text, index)
        is_event = isinstance(value, (dict, list) if declared else dict) or _holds_objects(value)
        if not is_event and not any_values:
            reason = f"there is more text after the value that ends at character {end}"
            raise UnreadableJson(reason)
        values.append(_checked(value, text, containers, index, end))
        index = skip_characters(text, end, PADDING)
    return values


def _holds_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(element, dict) for element in value)


def _flattened(values: list[Any]) -> list[Any]:
    """Return values that follow one another, with the objects of each array by themselves."""
    return [event for value in values for event in (value if _holds_objects(value) else [value])]


class Decoded:
    """What the decoders' hooks leave behind.

    ``alteration`` is replaced by a new object each time a value differs from its text.
    """

    def __init__(self) -> None:
        self.alteration = object()

    def altered(self, text: str) -> str:
        """Keep as a string a number that XSOAR could not read."""
        self.alteration = object()
        return text


DECODED = Decoded()


def _number(text: str) -> int | float | str:
    # Python would read 1e999 as infinity, which is not JSON.
    value = float(text)
    return DECODED.altered(text) if math.isinf(value) else value


def _whole_number(text: str) -> int | str:
    return int(text) if len(text) <= MAX_NUMBER_DIGITS else DECODED.altered(text)


# NaN and Infinity are not JSON, yet many programs write them: they are kept as the strings "NaN",
# "Infinity" and "-Infinity". Line breaks and tabs within a string are accepted (strict=False).
HOOKS: dict[str, Any] = {"parse_float": _number, "parse_constant": DECODED.altered}
DECODER = json.JSONDecoder(strict=False, parse_int=_whole_number, **HOOKS)
# The same without line breaks in strings: what it accepts is JSON as it stands.
STRICT_DECODER = json.JSONDecoder(parse_int=_whole_number, **HOOKS)
# The same for a text without long numbers: whole numbers are made in C. Where a number is too long
# for a double, every 77th character of the text hits four of its digits in a row.
SHORT_NUMBERS_DECODER = json.JSONDecoder(**HOOKS)
SAMPLED_EVERY = MAX_NUMBER_DIGITS // 4
SAMPLED_DIGITS = re.compile("[0-9]{4}")


class JsonBudget:
    """What all the JSON of one large body may still hold, and a decoder that takes from it.

    The decoder's hooks are in Python, where other threads get their turn: without them, the parser
    in C would keep them waiting to its end.
    """

    def __init__(self) -> None:
        self._left = {
            "objects and arrays": MAX_JSON_CONTAINERS,
            "fields": MAX_JSON_FIELDS,
            "strings": MAX_JSON_STRINGS,
            "numbers": MAX_JSON_NUMBERS,
        }
        self._limits = dict(self._left)
        self.decoder = json.JSONDecoder(
            parse_float=self._counted("numbers", _number),
            parse_int=self._counted("numbers", _whole_number),
            parse_constant=DECODED.altered,
            strict=False,
            object_pairs_hook=self._read_object,
        )

    def check(self, text: str) -> int:
        """Return how many objects and arrays a text holds at most, and take them from the budget.

        What one call of C would build is counted before. Raises UnreadableJson if it is too much.
        """
        containers = count_containers(text)
        self._take("objects and arrays", containers)
        strings = count_characters(text, '"') // 2
        if strings > self._left["strings"]:
            strings = count_matches(JSON_QUOTE, text, 2 * self._left["strings"] + 1) // 2
        self._take("strings", strings)
        fields = 0
        if len(text) > COUNTED_JSON_CHARACTERS:
            fields = count_matches(JSON_KEY, text, self._left["fields"])
        self._take("fields", fields)
        self._left["fields"] += fields  # taken by the decoder, object by object
        self._take("numbers", 0)
        return containers

    def _take(self, what: str, count: int) -> None:
        self._left[what] -= count
        if self._left[what] < 0:
            most = f"{self._limits[what]} {what}"
            raise UnreadableJson(f"it holds more than {most}; send it in several requests")

    def _counted(self, what: str, read: Callable[[str], Any]) -> Callable[[str], Any]:
        def counted(text: str) -> Any:
            self._take(what, 1)
            return read(text)

        return counted

    def _read_object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self._take("fields", len(pairs))
        return dict(pairs)


def parse_small(text: str) -> tuple[Any, str]:
    """Return a JSON text's value, and the text that becomes its rawJSON or an empty string.

    In the native format, the object ``raw_json`` is parsed by itself, and the text around it with
    null in its place: so its end is known. The text is not returned for JSON with \\u, which may
    spell a name differently, or with a control character in a string. Raises UnreadableJson.
    """
    verbatim = ""
    if "\\" not in text or "\\u" not in text:
        is_long = SAMPLED_DIGITS.search(text[::SAMPLED_EVERY])
        parse = (STRICT_DECODER if is_long else SHORT_NUMBERS_DECODER).raw_decode
        alterations = DECODED.alteration
        place = text.find('"raw')
        found = RAW_NAME.search(text, place) if place >= 0 else None
        start = found.end() if found else 0
        try:
            if not found:
                value, end = parse(text)
                verbatim = text if end == len(text) else ""
            elif text[start : start + 1] == "{":
                raw, end = parse(text, start)
                around, name = f"{text[:start]}null{text[end:]}", found[1]
                value, behind = parse(around)
                is_only = text.find('"raw', end) < 0 or not RAW_NAME.search(text, end)
                if is_only and behind == len(around) and isinstance(value, dict) and name in value:
                    value[name] = raw
                    verbatim = text[start:end]
        except (ValueError, RecursionError):
            pass  # parse_json finds what is wrong
        if verbatim:
            is_altered = DECODED.alteration is not alterations
            is_altered = is_altered or "\n" in verbatim or "\r" in verbatim or "\t" in verbatim
            check_nesting(value, text.count("{") + text.count("["))
            return value, "" if is_altered else verbatim
    return parse_json(text), ""


def parse_json(text: str, budget: JsonBudget | None = None) -> Any:
    """Return the value of a JSON text; raises UnreadableJson, if possible with line and column.

    Numbers that no double can hold become strings of their digits; of duplicate keys the last one
    wins; half of a surrogate pair becomes U+FFFD. A text of a large body shares the body's budget.
    """
    text = strip_text(text, JSON_BLANKS)
    budget = budget or (JsonBudget() if len(text) > SMALL_TEXT_CHARACTERS else None)
    containers = budget.check(text) if budget else count_containers(text)
    value, end = _decode(budget.decoder if budget else DECODER, text, 0)
    if end < len(text):
        behind = skip_characters(text, end, JSON_BLANKS)
        raise _unreadable(json.JSONDecodeError("Extra data", text, behind), more=True)
    return _checked(value, text, containers, 0, end)


def _decode(decoder: json.JSONDecoder, text: str, index: int) -> tuple[Any, int]:
    """Return the JSON value that begins at an index, and its end; raises UnreadableJson."""
    try:
        return decoder.raw_decode(text, index)
    except json.JSONDecodeError as error:
        raise _unreadable(error) from None
    except RecursionError:
        raise UnreadableJson(f"it is nested deeper than {MAX_NESTING} levels") from None


def _unreadable(error: json.JSONDecodeError, more: bool = False) -> UnreadableJson:
    reason = error.msg.rstrip(": ").removesuffix(" at")
    return UnreadableJson(f"{reason} at line {error.lineno}, column {error.colno}", more)


def _checked(value: Any, text: str, containers: int, start: int, end: int) -> Any:
    """Return a value, parsed from ``text[start:end]``, that can be encoded again.

    Raises UnreadableJson if it is nested too deep; ``containers`` is how many there may be.
    """
    check_nesting(value, containers)
    if text.find("\\ud", start, end) >= 0 or text.find("\\uD", start, end) >= 0:
        return replace_surrogates(value)
    return value


def check_nesting(value: Any, containers: int) -> None:
    """Raise UnreadableJson for a value, of so many containers at most, that is nested too deep."""
    if containers > MAX_NESTING and _deeper_than(value, MAX_NESTING):
        raise UnreadableJson(f"it is nested deeper than {MAX_NESTING} levels")


def count_containers(text: str) -> int:
    """Return how many objects and arrays a JSON text holds at most."""
    return count_characters(text, "{") + count_characters(text, "[")


def _deeper_than(value: Any, levels: int) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    while level and levels:
        levels -= 1
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, (dict, list))
        ]
    return bool(level)


def replace_surrogates(value: Any) -> Any:
    """Return a parsed value with U+FFFD for each escape that is half of a surrogate pair."""
    if isinstance(value, str):
        if value.isascii() or len(value) <= PIECE_SIZE:
            return value if value.isascii() else SURROGATES.sub("\ufffd", value)
        pieces = range(0, len(value), PIECE_SIZE)
        return "".join(SURROGATES.sub("\ufffd", value[at : at + PIECE_SIZE]) for at in pieces)
    if isinstance(value, list):
        for index, child in enumerate(value):
            value[index] = replace_surrogates(child)
    elif isinstance(value, dict):
        if any(map(SURROGATES.search, value)):
            value = {replace_surrogates(name): child for name, child in value.items()}
        for name, child in value.items():
            value[name] = replace_surrogates(child)
    return value


# -------------------------------------------------------------------------------------------------
# Large texts: no call of C gets more than a piece of one
# -------------------------------------------------------------------------------------------------


def skip_characters(text: str, index: int, characters: str) -> int:
    """Return the index of the first character at or behind an index that is not one of these."""
    while index < len(text) and text[index] in characters:
        piece = text[index : index + PIECE_SIZE]
        index += len(piece) - len(piece.lstrip(characters))
    return index


def strip_text(text: str, characters: str) -> str:
    """Return a text without these characters at both ends."""
    if len(text) <= PIECE_SIZE:
        return text.strip(characters)
    start, end = skip_characters(text, 0, characters), len(text)
    while end > start and text[end - 1] in characters:
        piece = text[max(start, end - PIECE_SIZE) : end]
        end -= len(piece) - len(piece.rstrip(characters))
    return text[start:end]


def count_characters(text: str, character: str) -> int:
    """Return how often a text has a character."""
    if len(text) <= PIECE_SIZE:
        return text.count(character)
    pieces = range(0, len(text), PIECE_SIZE)
    return sum(text.count(character, start, start + PIECE_SIZE) for start in pieces)


def count_matches(pattern: re.Pattern[str], text: str, most: int) -> int:
    """Return how often a text has a pattern within its pieces; above ``most``, not every time."""
    count = start = 0
    while start < len(text) and count <= most:
        count += len(pattern.findall(text, start, start + PIECE_SIZE))
        start += PIECE_SIZE
    return count


def has_binary_characters(text: str) -> bool:
    """Return whether a text has characters that no text has."""
    pieces = range(0, len(text), PIECE_SIZE)
    return any(BINARY_CHARACTERS.search(text, start, start + PIECE_SIZE) for start in pieces)


def decode(data: bytes, charset: str) -> str:
    """Return the text of bytes; raises UnicodeDecodeError."""
    if len(data) <= PIECE_SIZE:
        return data.decode(charset)
    return "".join(_decoded_pieces(data, charset, "strict", PIECE_SIZE))


def decode_replacing(data: bytes, charset: str, share: int) -> str | None:
    """Return the text of bytes with U+FFFD for what the charset does not have.

    None if these are more than one in ``share`` characters; the reading ends where that is known.
    """
    pieces = []
    replaced = length = 0
    for piece in _decoded_pieces(data, charset, "replace", REPLACING_SIZE):
        replaced += piece.count("\ufffd")
        length += len(piece)
        if replaced * share > len(data):  # no text has more characters than bytes
            return None
        pieces.append(piece)
    return "".join(pieces) if replaced * share <= length else None


def _decoded_pieces(data: bytes, charset: str, errors: str, size: int) -> Iterator[str]:
    if charset in ("utf-16", "utf-32") and not data.startswith(WIDE_MARKS):
        charset += "-le"  # as bytes.decode() reads them; an incremental decoder raises UnicodeError
    decoder = codecs.getincrementaldecoder(charset)(errors)
    for start in range(0, len(data), size):
        waiting = len(decoder.getstate()[0])
        try:
            yield decoder.decode(data[start : start + size], start + size >= len(data))
        except UnicodeDecodeError as error:
            first = start - waiting + error.start
            raise UnicodeDecodeError(error.encoding, data, first, first + 1, error.reason) from None


def decode_base64(data: bytes) -> bytes:
    """Return the bytes of base64 with or without blanks; raises ValueError."""
    data = data.translate(None, b" \t\r\n\f\v")
    if 0 <= data.find(b"=") < len(data) - 2:
        raise ValueError("padding before the end")
    pieces = range(0, len(data), PIECE_SIZE)  # of a multiple of 4 characters
    return b"".join(
        binascii.a2b_base64(data[start : start + PIECE_SIZE], strict_mode=True) for start in pieces
    )


def unquote_bytes(data: bytes, broken: int = MAX_BROKEN_ESCAPES) -> bytes:
    """Return bytes without percent-encoding; a percent sign that is no escape stays.

    Raises ValueError where more than ``broken`` stay. Python has only quoted-printable in C, whose
    escapes begin with another sign: one object for each of millions of escapes would take a
    gigabyte.
    """
    if b"%" not in data:
        return data
    data, stay = BROKEN_ESCAPE.subn(b"=25", data.replace(b"=", b"=3D"), broken + 1)
    if stay > broken:
        raise ValueError("too many percent signs that are no escapes")
    return binascii.a2b_qp(data.replace(b"%", b"="))


# -------------------------------------------------------------------------------------------------
# Text and bytes
# -------------------------------------------------------------------------------------------------


def decode_text(body: bytes, content_type: ContentType) -> str:
    """Return a text by its byte order mark, its charset, or UTF-8; raises UnicodeDecodeError."""
    for mark, charset in BYTE_ORDER_MARKS if body[:1] in FIRST_MARK_BYTES else ():
        if body.startswith(mark):
            return decode(body, charset)
    return decode(body, content_type.charset or "utf-8")


def decode_json_text(body: bytes, content_type: ContentType) -> str:
    """Return the body's text, decoded as JSON; raises UnreadableJson.

    It is UTF-8 if the bytes are valid, whatever a charset says (RFC 8259, 8.1). Zero bytes give
    UTF-16 and UTF-32 away.
    """
    try:
        if body.find(b"\0", 0, 4) >= 0 and (detected := json.detect_encoding(body)) != "utf-8":
            return decode(body, detected)
        if body[:1] in FIRST_MARK_BYTES:
            return decode_text(body, content_type)
        try:
            return decode(body, "utf-8")
        except UnicodeDecodeError:
            if not content_type.charset:
                raise
            return decode_text(body, content_type)
    except UnicodeDecodeError as error:
        reason = f"it is not valid {error.encoding} at byte {error.start}; send it as UTF-8"
        raise UnreadableJson(reason) from None


def text_or_base64(
    body: bytes, content_type: ContentType, is_large: bool = False
) -> dict[str, str]:
    """Return ``{"body": text}``, or ``{"body_base64": ...}`` for bytes that are not text.

    Text with bytes that its charset does not have is kept both ways: readable, with replacement
    characters, and whole. ``is_large``: these bytes are a part of a large body.
    """
    is_large = len(body) > (LARGE_PART_BYTES if is_large else COUNTED_JSON_CHARACTERS)
    declared = content_type.name.startswith("text/") or content_type.name.endswith(TEXT_TYPE_ENDS)
    try:
        text: str | None = decode_text(body, content_type)
        is_whole = True
    except UnicodeDecodeError:
        own = XML_ENCODING.match(body[:300])
        charset = usable_charset(own[1].decode()) if own else ""
        share = REPLACED_PARTS if is_large else (1 if declared else 3)
        text = decode_replacing(body, charset or content_type.charset or "utf-8", share)
        is_whole = "\ufffd" not in (text or "")
    if not body:
        return {"body": ""}
    if text and is_large:
        escapes = count_characters(text, '"') + count_characters(text, "\\")
        most = len(text) // REPLACED_PARTS
        if escapes * ESCAPED_PARTS > len(text) or count_matches(CONTROLS, text, most) > most:
            text = None
    if not text or (not declared and has_binary_characters(text)):
        return {"body_base64": base64.b64encode(body).decode()}
    if is_whole:
        return {"body": text}
    return {"body": text, "body_base64": base64.b64encode(body).decode()}


# -------------------------------------------------------------------------------------------------
# Content encodings
# -------------------------------------------------------------------------------------------------


def supported_encoding(header: str) -> str:
    """Return a body's only content encoding, empty without one; raises UnsupportedEncoding."""
    names = [part.strip().lower() for part in header.split(",")]
    encodings = [name for name in names if name not in NO_ENCODINGS]
    if len(encodings) > 1 or (encodings and encodings[0] not in (*GZIP_NAMES, "deflate")):
        sentence = "Send the body with Content-Encoding gzip or deflate, or without any."
        raise UnsupportedEncoding(sentence, ("gzip", "deflate"))
    return encodings[0] if encodings else ""


def unpack(body: bytes, encoding: str) -> bytes:
    """Return the decompressed body of at most MAX_UNPACKED_BYTES; raises PayloadError.

    Some senders compress a body and do not say so, others say so and do not: the bytes decide.
    """
    if body[:3] == GZIP_MAGIC:
        try:
            return _unpack_zlib(body, 31, "gzip")
        except PayloadError:
            if encoding in GZIP_NAMES:
                raise
            return body  # something else that begins like it
    if not encoding or encoding in GZIP_NAMES:
        return body
    try:
        return _unpack_deflate(body)
    except PayloadError:
        with contextlib.suppress(UnicodeDecodeError):
            if not has_binary_characters(decode(body, "utf-8")):
                return body
        raise


def _unpack_deflate(body: bytes) -> bytes:
    # Senders disagree whether deflate has zlib's header (RFC 9110, 8.4.1.2): 15 window bits mean
    # that it has, -15 that it has not.
    is_method_8 = len(body) > 1 and body[0] & 0x0F == 8
    has_header = is_method_8 and int.from_bytes(body[:2], "big") % 31 == 0
    return _unpack_zlib(body, 15 if has_header else -15, "deflate")


def _unpack_zlib(body: bytes, window: int, encoding: str) -> bytes:
    unpacked = bytearray()
    unpacker = None
    position = members = 0
    try:
        while position < len(body):
            if unpacker is None:  # a gzip file may have several members
                unpacker = zlib.decompressobj(window)
                members += 1
            # In slices: what an unpacker leaves is copied each time.
            part = body[position : position + PIECE_SIZE]
            unpacked += unpacker.decompress(part, MAX_UNPACKED_BYTES + 1 - len(unpacked))
            if members > MAX_GZIP_MEMBERS:
                raise PayloadError(
                    f"The body has more than {MAX_GZIP_MEMBERS} gzip members; compress it as one."
                )
            if len(unpacked) > MAX_UNPACKED_BYTES:
                raise PayloadTooLarge(
                    f"The decompressed body is larger than {MAX_UNPACKED_BYTES // 1024**2} MiB; "
                    "send fewer events at a time."
                )
            position += len(part) - len(unpacker.unused_data) - len(unpacker.unconsumed_tail)
            unpacker = None if unpacker.eof else unpacker
    except zlib.error:
        raise PayloadError(
            f"The body is not a {encoding} stream; "
            "compress it, or send it without Content-Encoding."
        ) from None
    if unpacker is not None:
        raise PayloadError(f"The body ends before its {encoding} stream does; send it whole.")
    return bytes(unpacked)


def is_compressed(body: bytes, content_encoding: str) -> bool:
    """Return whether a body may become far larger when it is decompressed, or its records are."""
    if content_encoding or body[:3] == GZIP_MAGIC:
        return True
    return body.find(b'"records"', 0, RECORDS_BYTES) >= 0 and RECORD_GZIP_MAGIC in body


# -------------------------------------------------------------------------------------------------
# Forms
# -------------------------------------------------------------------------------------------------


def read_form(body: bytes, content_type: ContentType, budget: JsonBudget | None) -> Items | None:
    """Return a form's fields as one object, None if the text is not a form.

    ``curl -d`` sends any text under a form's type.
    """
    charset = content_type.charset or "utf-8"
    try:
        text = strip_text(decode(body, charset), FORM_BLANKS)
    except UnicodeDecodeError:
        return None  # kept whole as text
    pairs = [pair.partition("=") for pair in text.split("&", MAX_FORM_FIELDS + 1) if pair]
    del text
    if not any(equals for _, equals, _ in pairs) or not all(map(_is_form_field, pairs)):
        return None
    if len(pairs) > MAX_FORM_FIELDS:
        sentence = f"The form has more than {MAX_FORM_FIELDS} fields; send fewer, or JSON."
        raise PayloadTooLarge(sentence)
    with contextlib.suppress(ValueError):  # UnicodeDecodeError is one
        names = [unquote_field(name, charset) for name, _, _ in pairs]
        values = [unquote_field(value, charset) for _, _, value in pairs]
        return _form_items(zip(names, values), {}, budget)
    return None


def _is_form_field(pair: tuple[str, str, str]) -> bool:
    """Return whether a name, an equals sign and a value may stand in an encoded form."""
    name, equals, value = pair
    if len(name) > MAX_FIELD_NAME_CHARACTERS or LOG_FIELD.search(value, 0, LOG_CHARACTERS):
        return False
    return bool((FORM_FIELD_NAME if equals else FORM_FLAG).fullmatch(name))


def unquote_field(text: str, charset: str) -> str:
    """Return a form's name or value without its percent-encoding; raises ValueError."""
    if len(text) <= PIECE_SIZE:
        plain = text.replace("+", " ")
        return plain if "%" not in text else unquote_bytes(plain.encode(charset)).decode(charset)
    if "%" not in text:
        pieces = range(0, len(text), PIECE_SIZE)
        return "".join(text[start : start + PIECE_SIZE].replace("+", " ") for start in pieces)
    encoder = codecs.getincrementalencoder(charset)()
    data = bytearray()
    start = 0
    while start < len(text):
        end = start + PIECE_SIZE
        if end < len(text):
            escape = text.find("%", end - 2, end)  # an escape must not be cut in two
            end = end if escape < 0 else escape
        data += unquote_bytes(encoder.encode(text[start:end].replace("+", " ")))
        start = end
    return decode(bytes(data), charset)


def _form_items(
    fields: Iterable[tuple[str, Any]], others: dict[str, Any], budget: JsonBudget | None
) -> Items:
    """Return the items of a form: the JSON in its only field or in ``payload``, else its fields.

    ``others`` are its files; if there are any, only ``payload`` is read as JSON, and all the rest
    is kept as ``form``.
    """
    item = collect_fields(fields)
    name = "payload" if others else next(iter(item), "") if len(item) == 1 else ""
    if isinstance(item.get(name), str):
        text = strip_text(item[name], PADDING)
        if text[:1] in ("{", "["):
            with contextlib.suppress(UnreadableJson):
                items = as_items(parse_json(text, budget))
                return _beside(items, _all_but(name, {**item, **others}))
    return Items([{**item, **others}])


def _all_but(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


def _beside(items: Items, rest: dict[str, Any]) -> Items:
    """Return the items of a form's JSON; the first one keeps the rest of the form as ``form``."""
    values = items.values
    if not rest:
        return items
    if not values:
        return Items([rest])
    first = values[0] if isinstance(values[0], dict) else {"body": values[0]}
    values[0] = {**first, "form" if "form" not in first else "request_form": rest}
    return items


def collect_fields(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of named values, in which a repeated name has a list."""
    collected: dict[str, Any] = {}
    repeated = set()
    for name, value in fields:
        if name not in collected:
            collected[name] = value
        elif name in repeated:
            collected[name].append(value)
        else:
            repeated.add(name)
            collected[name] = [collected[name], value]
    return collected


# -------------------------------------------------------------------------------------------------
# Multipart forms (RFC 7578)
# -------------------------------------------------------------------------------------------------


class FormPart(NamedTuple):
    """One part of a multipart form: what its headers say, and its bytes without their encoding.

    ``filename`` is None where the part is a field.
    """

    name: str
    filename: str | None
    type_header: str
    type: ContentType
    data: bytes


def read_multipart(body: bytes, content_type: ContentType, budget: JsonBudget | None) -> Items:
    """Return a multipart form's fields and files; raises PayloadError if the parts have no end.

    Each part is read by its own charset, type and transfer encoding. A part that cannot be read
    does not affect the others.
    """
    boundary = content_type.parameters.get("boundary", "")
    parts = [read_part(body, start, end) for start, end in split_parts(body, boundary)]
    is_large = len(body) > COUNTED_JSON_CHARACTERS
    charsets = field_charsets([part for part in parts if part.filename is None])
    files = collect_fields(
        (part.name, describe_file(part, is_large)) for part in parts if part.filename is not None
    )
    texts = [
        (part.name, field_value(part, charsets.get(part.name, ""), is_large, budget))
        for part in parts
        if part.filename is None
    ]
    names = {name for name, _ in texts}
    if names & files.keys():  # a field and a file of the same name
        return Items([collect_fields([*texts, *files.items()])])
    # A payload that is JSON by its own type is the event, whatever else the form has.
    is_event = any(part.name == "payload" and part.type.is_json for part in parts)
    events = collect_fields(texts).get("payload")
    if is_event and isinstance(events, (dict, list)):
        return _beside(as_items(events), _all_but("payload", {**collect_fields(texts), **files}))
    return _form_items(texts, files, budget)


def split_parts(body: bytes, boundary: str) -> Iterator[tuple[int, int]]:
    """Yield where a multipart body's parts begin and end (RFC 2046, 5.1.1).

    A line may end with LF alone. Raises PayloadError if the last delimiter is missing.
    """
    delimiter = b"--" + boundary.encode("latin-1", "replace")
    line = re.compile(re.escape(delimiter) + rb"(--)?[ \t]{0,1000}(?:\r?\n|\Z)")
    found = line.match(body) if boundary else None
    start = count = place = missed = 0
    while boundary and not (found and found[1]):
        if found:
            start = found.end()
            count += 1
        else:
            missed += 1
        if count > MAX_FORM_FIELDS:
            sentence = f"The form has more than {MAX_FORM_FIELDS} parts; send fewer, or JSON."
            raise PayloadTooLarge(sentence)
        place = body.find(b"\n" + delimiter, max(place, start - 1)) + 1
        if not place or missed > MAX_FALSE_DELIMITERS:
            found = None
            break
        found = line.match(body, place)
        if found and count:
            end = place - 1
            yield start, max(start, end - (body[end - 1 : end] == b"\r"))
    if not found or not found[1]:
        raise PayloadError(
            "The body is not a multipart form with the boundary that its Content-Type names; "
            "send it whole."
        )


def read_part(body: bytes, start: int, end: int) -> FormPart:
    """Return the part between two indexes; raises PayloadError for headers out of bounds."""
    if body.startswith((b"\r\n", b"\n"), start):
        head, data_start = b"", start + (2 if body[start] == 13 else 1)
    else:
        found = PART_HEAD_END.search(body, start, min(end, start + MAX_PART_HEADER_BYTES + 4))
        head = body[start : found.start() if found else min(end, start + MAX_PART_HEADER_BYTES + 1)]
        data_start = found.end() if found else end
    has_too_many = len(head) > MAX_PART_HEADER_BYTES or head.count(b"\n") >= MAX_PART_HEADERS
    if has_too_many or FOLDED_LINE.search(head):
        raise PayloadError(
            f"A part of the form has headers over {MAX_PART_HEADER_BYTES // 1024} KiB or "
            f"{MAX_PART_HEADERS} lines, or folded ones."
        )
    return _part_of(head, body[data_start : max(end, data_start)])


def _part_of(head: bytes, data: bytes) -> FormPart:
    """Return a part by its head; each header that counts is parsed once."""
    try:
        text = head.decode()
    except UnicodeDecodeError:
        text = head.decode("latin-1")
    headers: dict[str, str] = {}
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    disposition = read_parameters(headers.get("content-disposition", ""))
    type_header = headers.get("content-type", "")
    content_type = parse_content_type(type_header)
    name = decode_words(disposition.get("name", ""))
    filename = disposition.get("filename", content_type.parameters.get("name"))
    is_event = name == "payload" and content_type.is_json  # a browser's Blob has a name
    return FormPart(
        name,
        decode_words(filename) if filename is not None and not is_event else None,
        type_header,
        content_type,
        undo_transfer_encoding(data, headers.get("content-transfer-encoding", "")),
    )


def undo_transfer_encoding(data: bytes, encoding: str) -> bytes:
    """Return a part's bytes; they stay as they are if they are not in that encoding."""
    with contextlib.suppress(ValueError):
        if encoding.lower() == "base64":
            return decode_base64(data)
        if encoding.lower() == "quoted-printable":
            return binascii.a2b_qp(data)
    return data


def field_charsets(fields: list[FormPart]) -> dict[str, str]:
    """Return charsets by field, as named by ``charsets`` (SendGrid) or, for all, ``_charset_``."""
    known: dict[str, str] = {}
    first = {part.name: part.data for part in reversed(fields)}
    if "_charset_" in first:
        charset = usable_charset(first["_charset_"][:40].decode("latin-1"))
        known = dict.fromkeys((part.name for part in fields), charset)
    if len(first.get("charsets", b"")) in range(1, SMALL_TEXT_CHARACTERS):
        with contextlib.suppress(ValueError, RecursionError):
            named = json.loads(first["charsets"])
            for name in first.keys() & (named if isinstance(named, dict) else {}):
                known[name] = usable_charset(str(named[name]))
    return known


def field_value(part: FormPart, charset: str, is_large: bool, budget: JsonBudget | None) -> Any:
    """Return a field's JSON value if declared as JSON, else its text, or its bytes in base64."""
    if part.type.is_json:
        with contextlib.suppress(UnreadableJson):
            return parse_json(strip_text(decode_json_text(part.data, part.type), PADDING), budget)
    content_type = part.type._replace(
        charset=part.type.charset or charset, name=part.type.name or "text/plain"
    )
    read = text_or_base64(part.data, content_type, is_large)
    return read["body"] if read.keys() == {"body"} else read


def describe_file(part: FormPart, is_large: bool) -> dict[str, Any]:
    """Return a file's name, type, size in bytes, and its text or its bytes in base64."""
    described = {"name": part.filename, "type": part.type_header, "size": len(part.data)}
    return {**described, **text_or_base64(part.data, part.type, is_large)}


# -------------------------------------------------------------------------------------------------
# Values within values
# -------------------------------------------------------------------------------------------------

FORM_READERS: dict[str, Callable[[bytes, ContentType, JsonBudget | None], Items | None]] = {
    "application/x-www-form-urlencoded": read_form,
    "multipart/form-data": read_multipart,
}


def carries_another(item: Any) -> bool:
    """Return whether an event looks like one that carries others as text or base64."""
    return isinstance(item, dict) and (
        not item.keys().isdisjoint(CARRIERS) or ("records" in item and "requestId" in item)
    )


def add_decoded(item: Any, budget: JsonBudget | None = None) -> Any:
    """Return an event with what it carries as text or base64 added as ``decoded``.

    Amazon SNS (``Message``), Google Pub/Sub (``message.data``), CloudEvents (``data_base64``).
    """
    if not carries_another(item) or "decoded" in item:
        return item
    with contextlib.suppress(UnreadableJson, ValueError):
        if "TopicArn" in item and isinstance(item.get("Message"), str):
            text = item["Message"]
        elif "data_base64" in item and "specversion" in item:
            text = decode(_bytes_of(item["data_base64"]), "utf-8")
        elif "subscription" in item and isinstance(item.get("message"), dict):
            text = decode(_bytes_of(item["message"].get("data")), "utf-8")
        else:
            return item
        json_text = strip_text(text, PADDING)
        if json_text[:1] in ("{", "["):
            return {**item, "decoded": parse_json(json_text, budget)}
        if text and "TopicArn" not in item and not has_binary_characters(text):
            return {**item, "decoded": text}
    return item


def _bytes_of(value: Any) -> bytes:
    """Return the bytes of a base64 text, empty if the value is not a text; raises ValueError."""
    return decode_base64(value.encode("ascii")) if isinstance(value, str) else b""
