"""What a request says: its body becomes the items its sender means.

What it is for: JSON in all the ways that senders write it, forms, files, text and bytes.
It knows nothing of HTTP, of who sent the body, of Cortex XSOAR, or of incidents.

A body is read in this order, which docs/bodies.md describes as well:

1. its content encoding is undone;
2. JSON is recognised under any Content-Type: one value, or several in a row;
3. the declared type decides: under a JSON type, a body that is not JSON is refused; forms are read;
4. what is left is text, or bytes that are kept in base64.

A stranger may post any 25 MiB. What would take quadratic time, or hold the interpreter for long, is
bounded before it begins; the limits stand at the head of this file.

| section | what it does |
| --- | --- |
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
import email.errors
import email.header
import email.message
import email.utils
import encodings
import encodings.aliases
import functools
import itertools
import json
import math
import quopri
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

MAX_ITEMS = 10_000  # events of one request
MAX_UNPACKED_BYTES = 25 * 1024**2  # of a compressed body: what an uncompressed one may have
UNPACK_SLICE_BYTES = 64 * 1024  # decompressed at a time
SMALL_TEXT_CHARACTERS = 32 * 1024  # a longer text is parsed so that other threads get their turn
MAX_NESTING = 200  # levels; every supported Python parses it, and no alert comes near
MAX_NUMBER_DIGITS = 308  # a longer number does not fit a double, and XSOAR reads doubles
MAX_JSON_CONTAINERS = (
    1_000_000  # of one text: an empty object takes forty times its bytes in memory
)
MAX_JSON_FIELDS = 500_000  # of one text: Python builds so many keys in 0.2 s, without a pause
COUNTED_JSON_CHARACTERS = 1 * 1024**2  # a shorter text cannot have so many fields that it matters
MAX_FORM_FIELDS = 1000
MAX_PART_HEADER_BYTES = 8 * 1024  # of one part of a multipart form
MAX_PART_HEADERS = 32  # lines
MAX_GZIP_MEMBERS = 1000
MAX_CONTENT_TYPE_CHARACTERS = 1000  # the standard library's parser is quadratic in them
# Of a large text, at most every fourth character may need an escape: as JSON within JSON, which
# XSOAR is sent, each becomes four bytes. At most every tenth may be a replacement character: as
# JSON, each becomes six.
ESCAPED_PARTS = 4
REPLACED_PARTS = 10
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
FIRST_MARK_BYTES = {mark[:1] for mark, _ in BYTE_ORDER_MARKS}
# Text has none of these; \x1b is allowed because it begins a colour in many logs.
CONTROL_CHARACTERS = re.compile("[\x00-\x06\x0e-\x1a\x1c-\x1f]")
XML_ENCODING = re.compile(
    rb"""\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']"""
)
# An encoded form has none of these characters in a name; CEF and XML have.
FORM_FIELD_NAME = re.compile(r'[^\s<>{}|"=&]+')
FORM_FLAG = re.compile(r"[A-Za-z0-9_.%\[\]-]+")  # a field without a value
# As in `date=2024-05-10 time=11:37:47`: a line of a log, and not a form.
LOG_FIELD = re.compile(r'\s[A-Za-z_][\w.-]*=|="')
# Possessive: the states to which it could go back would take a gigabyte. Bounded: a single match
# keeps all other threads waiting.
PERCENT_RUN = re.compile(rb"(?:%[0-9A-Fa-f]{2}){1,50000}+")
# The native format's raw JSON; as a value, no colon follows it.
RAW_NAME = re.compile(r'"(raw_json|rawJson|rawJSON)"[ ]*(?::[ ]*)?')
JSON_KEY = re.compile(r'[^\\]"\s*:')
JSON_BLANKS = " \t\r\n"
# Around JSON: some senders end it with a NUL; RFC 7464 puts a record separator before each value.
PADDING = " \t\r\n\0\x1e"
# Content encodings that say that nothing is compressed.
NO_ENCODINGS = {"", "identity", "none", "utf-8", "utf8", "7bit", "8bit", "binary"}
GZIP_MAGIC = b"\x1f\x8b\x08"
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
    ``verbatim_json``: the text of what becomes the only item's rawJSON (in the native format, that
    of ``raw_json``) if it may stay as it came, else empty.
    """

    values: list[Any]
    is_array: bool = False
    verbatim_json: str = ""


class ContentType(NamedTuple):
    """A parsed Content-Type: ``type/subtype`` in lower case, its charset, the header as it came."""

    name: str
    charset: str
    header: str

    @property
    def bounded_header(self) -> str:
        """The header, or without its parameters where they are too long to be parsed."""
        return self.header if len(self.header) <= MAX_CONTENT_TYPE_CHARACTERS else self.name

    def parameter(self, name: str) -> str:
        """Return one of the header's parameters, or an empty string."""
        message = email.message.Message()
        message["Content-Type"] = self.bounded_header
        try:
            value = message.get_param(name)
        except (TypeError, ValueError):  # broken continuations (RFC 2231) make it raise
            return ""
        return value if isinstance(value, str) else ""


@functools.lru_cache(maxsize=256)
def parse_content_type(header: str) -> ContentType:
    """Return a parsed Content-Type; its charset is empty where it names none that is usable."""
    content_type = ContentType(header.partition(";")[0].strip().lower(), "", header)
    charset = content_type.parameter("charset")
    return content_type._replace(charset=usable_charset(charset)) if charset else content_type


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


def read_payload(
    body: bytes,
    content_type_header: str,
    content_encoding: str,
    query: dict[str, Any] | None = None,
    keep_unreadable: bool = False,
) -> Items:
    """Return the items of a request's body, one for each incident it asks for; raises PayloadError.

    Without a body, the fields of the query string are the item. With ``keep_unreadable``, JSON
    that cannot be read becomes an item with ``body`` and ``problem``.
    """
    if content_encoding or body[:3] == GZIP_MAGIC:
        body = unpack(body, supported_encoding(content_encoding))
    if not body or body.isspace():
        if query:
            return Items([dict(query)])
        raise PayloadError(f"The body is empty. {EXPECTED}")
    content_type = parse_content_type(content_type_header)
    try:
        items = _read_items(body, content_type)
    except UnreadableJson as error:
        sentence = f"The body is not the JSON its Content-Type says: {error}."
        if not keep_unreadable:
            raise PayloadError(sentence) from None
        items = Items([{**text_or_base64(body, content_type), "problem": sentence}])
    if not items.values:
        raise PayloadError(f"The body holds no event. {EXPECTED}")
    if len(items.values) > MAX_ITEMS:
        raise PayloadTooLarge(
            f"The body holds more than {MAX_ITEMS} events; send them in several requests."
        )
    if not items.verbatim_json or carries_another(items.values[0]):
        return Items([add_decoded(value) for value in items.values], items.is_array)
    return items


def _read_items(body: bytes, content_type: ContentType) -> Items:
    """Return a body's items; raises UnreadableJson if it is not the JSON that its type declares."""
    declared = is_json_type(content_type.name) or content_type.name in LINES_TYPES
    try:
        items = read_json(decode_json_text(body, content_type), content_type.name, declared)
        if items is not None:
            return items
    except UnicodeDecodeError as error:
        if declared:
            raise UnreadableJson(
                f"it is not valid {error.encoding} at byte {error.start}; send it as UTF-8"
            ) from None
    except UnreadableJson:
        if declared:
            raise
    read_fields = FORM_READERS.get(content_type.name)
    items = read_fields(body, content_type) if read_fields else None
    return Items([text_or_base64(body, content_type)]) if items is None else items


def is_json_type(name: str) -> bool:
    """Return whether a type promises JSON."""
    return name in JSON_TYPES or name.endswith("+json")


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


def read_json(text: str, type_name: str, declared: bool) -> Items | None:
    """Return the items of a JSON text, None if it does not look like JSON; raises UnreadableJson.

    Under a type that promises JSON any value is accepted, otherwise only objects and arrays: a
    number or a word is text.
    """
    text = text.strip(PADDING)
    first = text[:1]
    if not declared and first not in ("{", "[") and not text.startswith(('"{', '"[', '"\\"')):
        return None
    alterations = DECODED.alteration
    try:
        value, raw = (
            parse_small(text) if len(text) <= SMALL_TEXT_CHARACTERS else (parse_json(text), "")
        )
    except UnreadableJson as error:
        if not error.more:
            raise
        return Items(read_json_sequence(text, type_name, declared))
    if isinstance(value, dict):
        as_it_came = DECODED.alteration is alterations and not (
            "\n" in raw or "\r" in raw or "\t" in raw
        )
        return Items([value], False, raw if as_it_came else "")
    if isinstance(value, str) and value[:1] in ("{", "["):  # JSON within JSON's quotes
        with contextlib.suppress(UnreadableJson):
            value = parse_json(value)
    return as_items(value) if declared or not isinstance(value, str) else None


def read_json_sequence(text: str, type_name: str, declared: bool) -> list[Any]:
    """Return JSON values that follow one another, each on a line or not; raises UnreadableJson.

    Unless a type promises JSON, they have to be objects. A type of JSON lines, or a sequence
    (RFC 7464), may hold any values.
    """
    any_values = type_name in SEQUENCE_TYPES
    decoder = DECODER if len(text) <= SMALL_TEXT_CHARACTERS else LARGE_DECODER
    values: list[Any] = []
    place = 0
    while place < len(text) and len(values) <= MAX_ITEMS:  # more are refused by our caller
        value, place = _parse_at(decoder, text, place)
        if not isinstance(value, (dict, list) if declared else dict) and not any_values:
            raise UnreadableJson(
                f"there is something behind the value that ends at character {place}"
            )
        values.append(value)
        place += len(text[place : place + 100]) - len(text[place : place + 100].lstrip(PADDING))
        while text[place : place + 1] and text[place] in PADDING:
            place += 1
    return values


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


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(pairs)


# NaN and Infinity are not JSON, yet many programs write them: they are kept as the strings "NaN",
# "Infinity" and "-Infinity". Line breaks and tabs within a string are accepted (strict=False).
DECODER = json.JSONDecoder(
    parse_float=_number, parse_int=_whole_number, parse_constant=DECODED.altered, strict=False
)
# The same without line breaks in strings: what it accepts is JSON as it stands.
STRICT_DECODER = json.JSONDecoder(
    parse_float=_number, parse_int=_whole_number, parse_constant=DECODED.altered
)
# The same with a hook in Python, where other threads get their turn: without it, the parser in C
# would keep them waiting to its end.
LARGE_DECODER = json.JSONDecoder(
    parse_float=_number,
    parse_int=_whole_number,
    parse_constant=DECODED.altered,
    strict=False,
    object_pairs_hook=_object,
)


def parse_small(text: str) -> tuple[Any, str]:
    """Return a JSON text's value, and the text that becomes its rawJSON or an empty string.

    In the native format, the object ``raw_json`` is parsed by itself, and the text around it with
    null in its place: so its end is known. The text is not returned for JSON with \\u, which may
    spell a name differently, or with a control character in a string. Raises UnreadableJson.
    """
    if "\\" not in text or "\\u" not in text:
        place = text.find('"raw')
        found = RAW_NAME.search(text, place) if place >= 0 else None
        start = found.end() if found else 0
        with contextlib.suppress(ValueError, RecursionError):  # parse_json finds what is wrong
            if not found:
                value, end = STRICT_DECODER.raw_decode(text)
                if end == len(text):
                    return _checked(value, "", count_containers(text)), text
            elif text[start : start + 1] == "{" and (
                text.rfind('"raw') == place or not RAW_NAME.search(text, start)
            ):
                raw, end = STRICT_DECODER.raw_decode(text, start)
                around = f"{text[:start]}null{text[end:]}"
                value, behind = STRICT_DECODER.raw_decode(around)
                if behind == len(around) and isinstance(value, dict) and found[1] in value:
                    value[found[1]] = raw
                    return _checked(value, "", count_containers(text)), text[start:end]
    return parse_json(text), ""


def parse_json(text: str) -> Any:
    """Return the value of a JSON text; raises UnreadableJson, if possible with line and column.

    Numbers that no double can hold become strings of their digits; of duplicate keys the last one
    wins; half of a surrogate pair becomes U+FFFD.
    """
    text = text.strip(JSON_BLANKS)
    containers = count_containers(text)
    value, end = _decode(DECODER if len(text) <= SMALL_TEXT_CHARACTERS else LARGE_DECODER, text, 0)
    if end < len(text):
        behind = len(text) - len(text[end:].lstrip(JSON_BLANKS))
        raise _unreadable(json.JSONDecodeError("Extra data", text, behind), more=True)
    return _checked(value, text, containers)


def _parse_at(decoder: json.JSONDecoder, text: str, place: int) -> tuple[Any, int]:
    """Return the JSON value that begins at an index, and its end; raises UnreadableJson."""
    value, end = _decode(decoder, text, place)
    part = text[place:end]
    return _checked(value, part, part.count("{") + part.count("[")), end


def _decode(decoder: json.JSONDecoder, text: str, place: int) -> tuple[Any, int]:
    try:
        return decoder.raw_decode(text, place)
    except json.JSONDecodeError as error:
        raise _unreadable(error) from None
    except RecursionError:
        raise UnreadableJson(f"it is nested deeper than {MAX_NESTING} levels") from None


def _unreadable(error: json.JSONDecodeError, more: bool = False) -> UnreadableJson:
    reason = error.msg.rstrip(": ").removesuffix(" at")
    return UnreadableJson(f"{reason} at line {error.lineno}, column {error.colno}", more)


def _checked(value: Any, text: str, containers: int) -> Any:
    """Return a parsed value that can be encoded again; raises UnreadableJson if nested too deep."""
    if containers > MAX_NESTING and _deeper_than(value, MAX_NESTING):
        raise UnreadableJson(f"it is nested deeper than {MAX_NESTING} levels")
    return (
        replace_surrogates(value) if "\\u" in text and ("\\ud" in text or "\\uD" in text) else value
    )


def count_containers(text: str) -> int:
    """Return how many objects and arrays a JSON text may hold.

    Raises UnreadableJson if these, or its fields, are too many.
    """
    containers = text.count("{") + text.count("[")
    if containers > MAX_JSON_CONTAINERS:
        raise UnreadableJson(f"it holds more than {MAX_JSON_CONTAINERS} objects and arrays")
    if len(text) > COUNTED_JSON_CHARACTERS:
        fields = itertools.islice(JSON_KEY.finditer(text), MAX_JSON_FIELDS, None)
        if next(fields, None) is not None:
            raise UnreadableJson(
                f"it holds more than {MAX_JSON_FIELDS} fields; send it in several requests"
            )
    return containers


def _deeper_than(value: Any, levels: int) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(levels):
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
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {
            replace_surrogates(name): replace_surrogates(child) for name, child in value.items()
        }
    return [replace_surrogates(child) for child in value] if isinstance(value, list) else value


# -------------------------------------------------------------------------------------------------
# Text and bytes
# -------------------------------------------------------------------------------------------------


def decode_text(body: bytes, content_type: ContentType) -> str:
    """Return a body's text by its byte order mark, its charset, or as UTF-8.

    Raises UnicodeDecodeError.
    """
    for mark, charset in BYTE_ORDER_MARKS if body[:1] in FIRST_MARK_BYTES else ():
        if body.startswith(mark):
            return body.decode(charset)
    return body.decode(content_type.charset or "utf-8")


def decode_json_text(body: bytes, content_type: ContentType) -> str:
    """Return the body's text, decoded as JSON; raises UnicodeDecodeError.

    It is UTF-8 if the bytes are valid, whatever a charset says (RFC 8259, 8.1). Zero bytes give
    UTF-16 and UTF-32 away.
    """
    if b"\0" in body[:4]:
        detected = json.detect_encoding(body)
        if detected != "utf-8":
            return body.decode(detected)
    try:
        return (
            body.decode() if body[:1] not in FIRST_MARK_BYTES else decode_text(body, content_type)
        )
    except UnicodeDecodeError:
        if not content_type.charset:
            raise
        return decode_text(body, content_type)


def text_or_base64(body: bytes, content_type: ContentType) -> dict[str, str]:
    """Return ``{"body": text}``, or ``{"body_base64": ...}`` for bytes that are not text.

    Text with bytes that its charset does not have is kept both ways: readable, with replacement
    characters, and whole.
    """
    declared = content_type.name.startswith("text/") or content_type.name.endswith(
        ("xml", "csv", "urlencoded", "javascript")
    )
    whole: dict[str, str] = {}
    try:
        text = decode_text(body, content_type)
    except UnicodeDecodeError:
        own = XML_ENCODING.match(body[:300])
        charset = usable_charset(own[1].decode()) if own else ""
        text = body.decode(charset or content_type.charset or "utf-8", "replace")
        most = (
            len(text) / REPLACED_PARTS
            if len(text) > COUNTED_JSON_CHARACTERS
            else len(text) / (1 if declared else 3)
        )
        if text.count("\ufffd") > most:
            return {"body_base64": base64.b64encode(body).decode()}
        if "\ufffd" in text:
            whole = {"body_base64": base64.b64encode(body).decode()}
    only_a_mark = body and not text
    if only_a_mark or (CONTROL_CHARACTERS.search(text) and not declared):
        return {"body_base64": base64.b64encode(body).decode()}
    if len(text) > COUNTED_JSON_CHARACTERS and (
        text.count('"') + text.count("\\")
    ) * ESCAPED_PARTS > len(text):
        return {"body_base64": base64.b64encode(body).decode()}
    return {"body": text, **whole}


# -------------------------------------------------------------------------------------------------
# Content encodings
# -------------------------------------------------------------------------------------------------


def supported_encoding(header: str) -> str:
    """Return a body's only content encoding, empty without one; raises UnsupportedEncoding."""
    encodings = [
        name for part in header.split(",") if (name := part.strip().lower()) not in NO_ENCODINGS
    ]
    if len(encodings) > 1 or (encodings and encodings[0] not in UNPACKERS):
        raise UnsupportedEncoding(
            f"Send the body with Content-Encoding {' or '.join(ACCEPTED_ENCODINGS)}, "
            "or without any.",
            ACCEPTED_ENCODINGS,
        )
    return encodings[0] if encodings else ""


def unpack(body: bytes, encoding: str) -> bytes:
    """Return the decompressed body of at most MAX_UNPACKED_BYTES; raises PayloadError.

    Some senders compress a body and do not say so, others say so and do not: the bytes decide.
    """
    if body[:3] == GZIP_MAGIC:
        try:
            return _unpack_zlib(body, 31, "gzip")
        except PayloadError:
            if encoding in ("gzip", "x-gzip"):
                raise
            return body  # something else that begins like it
    if not encoding or encoding in ("gzip", "x-gzip"):
        return body
    try:
        return UNPACKERS[encoding](body)
    except PayloadError:
        if _is_text(body):
            return body
        raise


def _is_text(body: bytes) -> bool:
    """Return whether bytes that are not a compressed stream are text."""
    try:
        return not CONTROL_CHARACTERS.search(body.decode())
    except UnicodeDecodeError:
        return False


def _unpack_deflate(body: bytes) -> bytes:
    # Senders disagree whether deflate has zlib's header (RFC 9110, 8.4.1.2): 15 window bits mean
    # that it has, -15 that it has not.
    has_header = (
        len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    )
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
            part = body[
                position : position + UNPACK_SLICE_BYTES
            ]  # in slices: what an unpacker leaves is copied each time
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


UNPACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": functools.partial(_unpack_zlib, window=31, encoding="gzip"),
    "x-gzip": functools.partial(_unpack_zlib, window=31, encoding="gzip"),
    "deflate": _unpack_deflate,
}
ACCEPTED_ENCODINGS = ("gzip", "deflate")


def is_compressed(body: bytes, content_encoding: str) -> bool:
    """Return whether a body may become far larger when it is decompressed."""
    return bool(content_encoding) or body[:3] == GZIP_MAGIC


# -------------------------------------------------------------------------------------------------
# Forms
# -------------------------------------------------------------------------------------------------


def read_form(body: bytes, content_type: ContentType) -> Items | None:
    """Return a form's fields as one object, None if the text is not a form.

    ``curl -d`` sends any text under a form's type.
    """
    charset = content_type.charset or "utf-8"
    try:
        text = body.decode(charset).strip()
    except UnicodeDecodeError:
        return None  # kept whole as text
    pairs = [pair.partition("=") for pair in text.split("&", MAX_FORM_FIELDS + 1) if pair]
    is_form = all(
        FORM_FIELD_NAME.fullmatch(name) if equals else FORM_FLAG.fullmatch(name)
        for name, equals, _ in pairs
    )
    if (
        not is_form
        or not any(equals for _, equals, _ in pairs)
        or any(LOG_FIELD.search(value) for *_, value in pairs)
    ):
        return None
    if len(pairs) > MAX_FORM_FIELDS:
        raise PayloadTooLarge(
            f"The form has more than {MAX_FORM_FIELDS} fields; send fewer, or JSON."
        )
    try:
        fields = [
            (unquote_field(name, charset), unquote_field(value, charset))
            for name, _, value in pairs
        ]
    except UnicodeDecodeError:
        return None
    return _form_items(fields, {})


def unquote_field(text: str, charset: str) -> str:
    """Return a form's name or value without its percent-encoding; raises UnicodeDecodeError.

    A run of escapes is undone at once: one by one, millions of them would each be an object.
    """
    text = text.replace("+", " ")
    if "%" not in text:
        return text
    data = PERCENT_RUN.sub(
        lambda run: binascii.unhexlify(run[0].replace(b"%", b"")), text.encode(charset)
    )
    return data.decode(charset)


def _form_items(fields: Iterable[tuple[str, Any]], others: dict[str, Any]) -> Items:
    """Return the items of a form: the JSON in its only field or in ``payload``, else its fields.

    ``others`` are its files; if there are any, only ``payload`` is read as JSON, and all the rest
    is kept as ``form``.
    """
    item = collect_fields(fields)
    name = "payload" if others else next(iter(item), "") if len(item) == 1 else ""
    if isinstance(item.get(name), str):
        text = item[name].strip(PADDING)
        if text[:1] in ("{", "["):
            with contextlib.suppress(UnreadableJson):
                items = as_items(parse_json(text))
                return _beside(
                    items, {key: value for key, value in {**item, **others}.items() if key != name}
                )
    return Items([{**item, **others}])


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
    """One part of a multipart form: its headers and its bytes, without their transfer encoding."""

    headers: email.message.Message
    data: bytes

    @property
    def name(self) -> str:
        """The field's name."""
        return self._disposition("name")

    @property
    def filename(self) -> str | None:
        """The file's name, None where the part is a field."""
        filename = self.headers.get_filename()
        return None if filename is None else decode_words(filename)

    @property
    def type(self) -> ContentType:
        """The part's own type."""
        return parse_content_type(str(self.headers.get("content-type", "")))

    def _disposition(self, name: str) -> str:
        value = self.headers.get_param(name, header="content-disposition")
        if isinstance(value, tuple):  # RFC 2231: charset, language, value
            value = email.utils.collapse_rfc2231_value(value)
        return decode_words(value) if isinstance(value, str) else ""


def read_multipart(body: bytes, content_type: ContentType) -> Items:
    """Return a multipart form's fields and files; raises PayloadError if the parts have no end.

    Each part is read by its own charset, type and transfer encoding. A part that cannot be read
    does not affect the others.
    """
    parts = [read_part(part) for part in split_parts(body, content_type.parameter("boundary"))]
    fields = [part for part in parts if part.filename is None]
    charsets = field_charsets(fields)
    files = collect_fields(
        (part.name, describe_file(part)) for part in parts if part.filename is not None
    )
    texts = [(part.name, field_value(part, charsets.get(part.name, ""))) for part in fields]
    names = {name for name, _ in texts}
    if names & files.keys():  # a field and a file of the same name
        return Items([collect_fields([*texts, *files.items()])])
    return _form_items(texts, files)


def split_parts(body: bytes, boundary: str) -> Iterator[bytes]:
    """Yield a multipart body's parts with their headers (RFC 2046, 5.1.1; LF alone is accepted)."""
    delimiter = b"--" + boundary.encode("latin-1", "replace")
    line = re.compile(re.escape(delimiter) + rb"(--)?[ \t]*(?:\r?\n|\Z)")
    found = line.match(body) if boundary else None
    start, count, place = 0, 0, 0
    while boundary and not (found and found[1]):
        if found:
            start = found.end()
            count += 1
        if count > MAX_FORM_FIELDS:
            raise PayloadTooLarge(
                f"The form has more than {MAX_FORM_FIELDS} parts; send fewer, or JSON."
            )
        place = body.find(b"\n" + delimiter, max(place, start - 1)) + 1
        if not place:
            break
        found = line.match(body, place)
        if found and count:
            yield body[start : place - 1].removesuffix(b"\r") if place > start else b""
    if not found or not found[1]:
        raise PayloadError(
            "The body is not a multipart form with the boundary that its Content-Type names; "
            "send it whole."
        )


def read_part(part: bytes) -> FormPart:
    """Return a part's headers and data; raises PayloadError for headers out of bounds."""
    if part.startswith((b"\r\n", b"\n")):
        head, data = b"", part.removeprefix(b"\r").removeprefix(b"\n")
    else:
        end = re.search(rb"\r?\n\r?\n", part[: MAX_PART_HEADER_BYTES + 4])
        head, data = (part[: end.start()], part[end.end() :]) if end else (part, b"")
    if (
        len(head) > MAX_PART_HEADER_BYTES
        or head.count(b"\n") >= MAX_PART_HEADERS
        or re.search(rb"\n[ \t]", head)
    ):
        raise PayloadError(
            f"A part of the form has headers over {MAX_PART_HEADER_BYTES // 1024} KiB or "
            f"{MAX_PART_HEADERS} lines, or folded ones."
        )
    try:
        text = head.decode()
    except UnicodeDecodeError:
        text = head.decode("latin-1")
    headers = email.message.Message()
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and len(value) <= MAX_CONTENT_TYPE_CHARACTERS:
            headers[name.strip()] = value.strip()
    return FormPart(
        headers, undo_transfer_encoding(data, str(headers.get("content-transfer-encoding", "")))
    )


def undo_transfer_encoding(data: bytes, encoding: str) -> bytes:
    """Return a part's bytes; they stay as they are if they are not in that encoding."""
    try:
        if encoding.strip().lower() == "base64":
            return base64.b64decode(b"".join(data.split()), validate=True)
        if encoding.strip().lower() == "quoted-printable":
            return quopri.decodestring(data)
    except ValueError:
        pass
    return data


def field_charsets(fields: list[FormPart]) -> dict[str, str]:
    """Return charsets by field, as named by ``charsets`` (SendGrid) or, for all, ``_charset_``."""
    known: dict[str, str] = {}
    for part in fields:
        if part.name == "charsets" and len(part.data) <= SMALL_TEXT_CHARACTERS:
            with contextlib.suppress(ValueError, RecursionError):
                named = json.loads(part.data)
                known |= (
                    {str(name): usable_charset(str(charset)) for name, charset in named.items()}
                    if isinstance(named, dict)
                    else {}
                )
        elif part.name == "_charset_" and len(part.data) < 40:
            charset = usable_charset(part.data.decode("latin-1"))
            known = dict.fromkeys((other.name for other in fields), charset) | known
    return known


def field_value(part: FormPart, charset: str) -> Any:
    """Return a field's JSON value if declared as JSON, else its text, or its bytes in base64."""
    content_type = part.type
    if is_json_type(content_type.name):
        with contextlib.suppress(UnicodeDecodeError, UnreadableJson):
            return parse_json(decode_json_text(part.data, content_type).strip(PADDING))
    content_type = content_type._replace(
        charset=content_type.charset or charset, name=content_type.name or "text/plain"
    )
    read = text_or_base64(part.data, content_type)
    return read["body"] if read.keys() == {"body"} else read


def describe_file(part: FormPart) -> dict[str, Any]:
    """Return a file's name, type, size in bytes, and its text or its bytes in base64."""
    described = {
        "name": part.filename,
        "type": str(part.headers.get("content-type", "")),
        "size": len(part.data),
    }
    return {**described, **text_or_base64(part.data, part.type)}


def decode_words(text: str) -> str:
    """Return a name without RFC 2047's encoded words, which some senders use against RFC 7578."""
    if "=?" not in text:
        return text
    try:
        return str(email.header.make_header(email.header.decode_header(text)))
    except (ValueError, LookupError, email.errors.HeaderParseError):
        return text


# -------------------------------------------------------------------------------------------------
# Values within values
# -------------------------------------------------------------------------------------------------

FORM_READERS: dict[str, Callable[[bytes, ContentType], Items | None]] = {
    "application/x-www-form-urlencoded": read_form,
    "multipart/form-data": read_multipart,
}


def carries_another(item: Any) -> bool:
    """Return whether an event looks like one that carries another as text or base64."""
    return isinstance(item, dict) and (
        "TopicArn" in item or "data_base64" in item or "subscription" in item
    )


def add_decoded(item: Any) -> Any:
    """Return an event with what it carries as text or base64 added as ``decoded``.

    Amazon SNS (``Message``), Google Pub/Sub (``message.data``), CloudEvents (``data_base64``).
    """
    if not carries_another(item) or "decoded" in item:
        return item
    if "TopicArn" in item and isinstance(item.get("Message"), str):
        carried: str | bytes = item["Message"]
    elif "data_base64" in item and "specversion" in item:
        carried = decode_base64(item["data_base64"])
    elif "subscription" in item and isinstance(item.get("message"), dict):
        carried = decode_base64(item["message"].get("data"))
    else:
        return item
    with contextlib.suppress(UnreadableJson, UnicodeDecodeError):
        text = carried if isinstance(carried, str) else carried.decode()
        if text.strip(PADDING)[:1] in ("{", "["):
            return {**item, "decoded": parse_json(text.strip(PADDING))}
        if text and not isinstance(carried, str) and not CONTROL_CHARACTERS.search(text):
            return {**item, "decoded": text}
    return item


def decode_base64(value: Any) -> bytes:
    """Return the bytes of a base64 text, empty if the value is not one."""
    if not isinstance(value, str):
        return b""
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except ValueError:
        return b""
