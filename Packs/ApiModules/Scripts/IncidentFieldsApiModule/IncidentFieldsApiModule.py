"""What XSOAR accepts: JSON without its error marker, and the fields of an incident.

What it is for: encoding values as JSON that the platform can read, cutting texts to size, writing
the details of an incident for a person, and reading the fields of the native format strictly. It
knows nothing of requests and senders, of paths into payloads, or of an instance's parameters.

| section | what it does |
| --- | --- |
| JSON | compact JSON without the platform's error marker; large values in pieces |
| Sizes | the size of a text, and of an event; values cut to size |
| rawJSON | an event's own fields, what the events of a request share, and the `webhook` object |
| Details | a summary of a payload for a person |
| Native format | its fields, each with its type |
"""

import contextlib
import itertools
import json
import sys
import threading
import unicodedata
from collections.abc import Callable
from typing import Any, NamedTuple

# -------------------------------------------------------------------------------------------------
# JSON: compact, and without the platform's error marker
# -------------------------------------------------------------------------------------------------

MAX_NAME_CHARACTERS = 600  # XSOAR's database refuses longer titles
PIECE_ELEMENTS = 500  # elements of a large value that are encoded at a time
# The platform raises an exception if this text is anywhere in an answer.
ERROR_MARKER = "[ERROR-fd5a7750-7182-4b38-90ba-091824478903]"
MARKER_START = ERROR_MARKER[:7]  # a search for it takes a quarter of the time
EVENT_LOOP_THREAD = threading.get_ident()  # the thread that imports this file serves connections


def make_encoder() -> Callable[[Any], str]:
    """Return an encoder of compact JSON in C; JSONEncoder would make a new one for each value."""
    encoder = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))
    make_c_encoder = getattr(json.encoder, "c_make_encoder", None)
    if make_c_encoder is None:  # Python was built without it
        return encoder.encode
    text = json.encoder.encode_basestring
    encode = make_c_encoder(None, encoder.default, text, None, ":", ",", False, False, True)
    return lambda value: "".join(encode(value, 0))


encode_json = make_encoder()


def to_json(value: Any) -> str:
    """Return a value as compact JSON for the platform, without its error marker.

    The encoder keeps all other threads waiting. On a native thread, which handles large values, it
    therefore gets them in pieces, and the event loop has its turn in between.
    """
    on_loop = threading.get_ident() == EVENT_LOOP_THREAD
    return without_marker(encode_json(value) if on_loop else _encode_in_pieces(value))


def without_marker(text: str) -> str:
    """Return a JSON text whose error markers begin with an escape: only a parser sees them."""
    if MARKER_START not in text:
        return text
    return text.replace(ERROR_MARKER, "\\u005b" + ERROR_MARKER[1:])


def _encode_in_pieces(value: Any, levels: int = 4) -> str:
    """Return what encode_json does; other threads have their turn between two pieces."""
    if not levels or not isinstance(value, (dict, list)) or not value:
        return encode_json(value)
    if len(value) > PIECE_ELEMENTS:
        kind: type = dict if isinstance(value, dict) else list
        elements = iter(value.items() if isinstance(value, dict) else value)
        groups = iter(lambda: kind(itertools.islice(elements, PIECE_ELEMENTS)), kind())
        pieces = [encode_json(group)[1:-1] for group in groups]
    elif isinstance(value, dict):
        pieces = [
            f"{encode_json(key)}:{_encode_in_pieces(child, levels - 1)}"
            for key, child in value.items()
        ]
    else:
        pieces = [_encode_in_pieces(child, levels - 1) for child in value]
    return ("{%s}" if isinstance(value, dict) else "[%s]") % ",".join(pieces)


def plain_field(value: str, most: int | None = None) -> str:
    """Return a text for a field of the incident, without the platform's error marker.

    It is cut to at most ``most`` characters, but not between a character and its combining marks.
    """
    if MARKER_START in value:
        value = value.replace(ERROR_MARKER, "[ERROR " + ERROR_MARKER[7:])
    if most is None or len(value) <= most:
        return value
    while most and (
        unicodedata.category(value[most]) in ("Mn", "Mc", "Me", "Cf") or value[most - 1] == "\u200d"
    ):
        most -= 1  # the next character is displayed together with the one before it
    return value[: most or MAX_NAME_CHARACTERS]


# -------------------------------------------------------------------------------------------------
# Sizes: the size of a text, and of an event; values cut to size
# -------------------------------------------------------------------------------------------------

EMPTY_TEXT_BYTES = sys.getsizeof("")  # and a byte for each character of ASCII
SMALL_TEXT_BYTES = 32 * 1024  # for texts up to this size, a rougher estimate is good enough
# Most characters of a text, and most elements of a list. The first row that suffices is used.
SHORTENINGS = (
    (1_000_000, 1_000_000),
    (8192, 1_000_000),
    (1024, 1000),
    (1024, 100),
    (128, 20),
    (32, 5),
    (8, 2),
)


def escaped_length(text: str) -> int:
    """Return about how many bytes a text takes in the platform's JSON, which escapes all but ASCII.

    For a small text, this is its length in UTF-8.
    """
    if len(text) <= SMALL_TEXT_BYTES:
        return byte_length(text)
    plain = len(text) if text.isascii() else len(text.encode("ascii", "ignore"))
    # \uXXXX, and two of them for what is outside the Basic Multilingual Plane.
    escapes = 0 if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2 - plain
    return plain + 6 * escapes + text.count('"') + text.count("\\")


def byte_length(text: str) -> int:
    """Return how many bytes a text takes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def event_size(fields: dict[str, Any]) -> int:
    """Return an event's bytes, on the connection to XSOAR or in memory, whichever is more."""
    size = MAX_NAME_CHARACTERS
    for value in fields.values():
        if isinstance(value, str):
            if len(value) <= SMALL_TEXT_BYTES and value.isascii():
                size += EMPTY_TEXT_BYTES + len(value)  # more than the connection needs
            else:
                size += max(escaped_length(value), sys.getsizeof(value))
        elif isinstance(value, (dict, list)):  # labels or custom fields
            size += len(encode_json(value).encode())
    return size


def shorten_json(value: Any, most: int) -> str:
    """Return a value's JSON in at most ``most`` bytes; what is cut is marked.

    Long texts are cut first, then long lists and objects. If nothing suffices, it is `"[cut]"`.
    """
    for characters, elements in SHORTENINGS:
        text = to_json(shorten(value, characters, elements))
        if byte_length(text) <= most:
            return text
    return '"[cut]"'


def shorten(value: Any, characters: int, elements: int) -> Any:
    """Return a value whose longer texts, lists and objects are cut, and say how long they were."""
    if isinstance(value, str):
        if len(value) <= characters:
            return value
        return f"{value[:characters]}... [cut, {len(value)} characters]"
    if isinstance(value, list):
        kept = [shorten(child, characters, elements) for child in value[:elements]]
        return kept if len(value) <= elements else [*kept, f"[cut, {len(value)} elements]"]
    if isinstance(value, dict):
        fields = {
            shorten_name(name): shorten(child, characters, elements)
            for name, child in itertools.islice(value.items(), elements)
        }
        return fields if len(value) <= elements else {**fields, "[cut]": f"{len(value)} fields"}
    return value


def shorten_name(name: str) -> str:
    """Return the name of a field, cut if it is longer than 256 characters."""
    return name if len(name) <= 256 else f"{name[:256]}... [cut]"


MAX_SAMPLE_BYTES = 64 * 1024
# Other threads have their turn when the hook runs, which is in Python; the decoder is not.
GIVING_WAY = json.JSONDecoder(object_pairs_hook=lambda pairs: dict(pairs))


def small_sample(incident: dict[str, Any]) -> dict[str, Any]:
    """Return an incident that takes at most MAX_SAMPLE_BYTES as JSON; what is cut is marked.

    Long texts are cut first, then long lists and objects. If nothing suffices, a note replaces it.
    """
    try:
        raw = GIVING_WAY.decode(incident.get("rawJSON") or "{}")
    except (ValueError, RecursionError):
        raw = {"body": incident.get("rawJSON")}
    fields = {name: value for name, value in incident.items() if name != "rawJSON"}
    with contextlib.suppress(RecursionError):  # what can be parsed may be too deep to be cut
        for characters, elements in SHORTENINGS:
            small = shorten(fields, characters, elements) | {
                "rawJSON": to_json(shorten(raw, characters, elements))
            }
            if len(to_json(small).encode()) <= MAX_SAMPLE_BYTES:
                return small
    return {
        "name": plain_field(str(incident.get("name"))[:100]),
        "rawJSON": to_json({"cut": "the sample was too large to keep"}),
    }


# -------------------------------------------------------------------------------------------------
# rawJSON: an event's own fields, what the events of a request share, and the `webhook` object
# -------------------------------------------------------------------------------------------------

# XSOAR mirrors an incident whose rawJSON has these, whoever wrote them. A sender's own are kept
# under payload_<name>.
MIRRORING_FIELDS = frozenset(
    {
        "mirror_direction",
        "mirror_instance",
        "mirror_id",
        "mirror_tags",
        "dbotMirrorId",
        "dbotMirrorDirection",
        "dbotMirrorInstance",
        "dbotMirrorTags",
        "dbotMirrorLastSync",
    }
)
# All copies of headers, query string and parent in a request's events; 10,000 get 1.6 KB each.
MAX_SHARED_BYTES = 16 * 1024**2


class Shared(NamedTuple):
    """What is added to each event of a request: the fields, and their JSON without the braces.

    ``first`` is for the first event, ``others`` for all others: shorter if there are many of them.
    """

    fields: dict[str, Any]
    first: str
    others: str
    notes: frozenset[str] = frozenset()  # names in ``others`` that say what is shortened


def share(fields: dict[str, Any], events: int) -> Shared:
    """Return what the events of a request share, encoded once.

    Each event has it whole unless the copies would exceed MAX_SHARED_BYTES together. In that case
    the first event has it whole, and the others have a shortened form that says so.
    """
    first = to_json(fields)[1:-1]
    most = MAX_SHARED_BYTES // max(events, 1)
    if events < 2 or byte_length(first) <= most:
        return Shared(fields, first, first)
    whole = {name: to_json(value) for name, value in fields.items()}
    others = dict(whole)
    for name in sorted(whole, key=lambda name: byte_length(whole[name]), reverse=True):
        over = byte_length(join_json(others)) - most
        if over > 0:
            others[name] = shorten_json(fields[name], byte_length(whole[name]) - over)
            others[f"{name}_shortened"] = '"it is whole in an earlier incident of the same request"'
    return Shared(fields, first, join_json(others), frozenset(others) - frozenset(fields))


def share_parent(parent: Any, shared: Shared, events: int, leads: bool) -> Shared:
    """Return what the elements of an array share: the fields of the request, and the parent.

    ``parent`` is the item around the array; ``leads`` is true if the request's first event is
    among the elements.
    """
    around = share({"parent": parent}, events)
    first = shared.first if leads else shared.others
    return Shared(
        {**shared.fields, **around.fields},
        f"{first},{around.first}",
        f"{shared.others},{around.others}",
        shared.notes | around.notes,
    )


def join_json(fields: dict[str, str]) -> str:
    """Return a JSON object without its braces; the values are JSON already."""
    return ",".join([f'"{name}":{value}' for name, value in fields.items()])


def raw_json(raw: dict[str, Any], shared: Shared, first: bool, webhook: str, text: str = "") -> str:
    """Return an event's rawJSON: its own fields, what the request's events share, and ``webhook``.

    ``webhook`` is JSON. ``text`` is the event's own JSON if it may stay as the sender wrote it:
    numbers then keep every digit, and nothing is encoded again. A field that is added never
    replaces one of the sender's; it is then called request_<name>.
    """
    added = f'{shared.first if first else shared.others},"webhook":{webhook}'
    names = raw.keys()
    if "webhook" in raw or not (names.isdisjoint(shared.fields) and names.isdisjoint(shared.notes)):
        added = to_json(rename_taken(json.loads(f"{{{added}}}"), raw))[1:-1]
    text = without_marker(text) if text else to_json(raw)
    return f"{text[:-1]},{added}}}" if raw else f"{{{added}}}"


def without_mirroring(payload: dict[str, Any]) -> dict[str, Any]:
    """Return a payload whose own mirroring fields are called payload_<name>.

    If the payload has a field of that name, there is another ``payload_`` before it.
    """
    renamed: dict[str, Any] = {}
    for name, value in payload.items():
        if name in MIRRORING_FIELDS:
            name = f"payload_{name}"
            while name in payload:
                name = f"payload_{name}"
        renamed[name] = value
    return renamed


# -------------------------------------------------------------------------------------------------
# Details: a summary of a payload for a person
# -------------------------------------------------------------------------------------------------

MAX_DETAILS_BYTES = 2 * 1024  # of the summary
MAX_OWN_DETAILS_CHARACTERS = 32 * 1024  # of a payload's own details, which rawJSON has whole
MAX_DETAIL_LINES = 8
FEW_DETAIL_LINES = 6  # with fewer lines, the next level of the payload is looked at
DETAIL_CHARACTERS = 200  # of one field, unless it is the only one
MAX_DETAIL_NAME = 100  # characters; a longer name of a field says nothing to a person
MAX_DETAIL_FIELDS = 40  # of an object, and objects of a level, that are looked at


Hides = Callable[[str], bool]  # whether a field of this name may hold a secret


def vendor_event_details(
    payload: dict[str, Any],
    shared: dict[str, Any],
    fields: dict[str, Any],
    hides: Hides,
    hide_secrets: Callable[[str], str],
    sender_and_link: tuple[str, str] = ("", ""),
) -> str:
    """Return an incident's details: the payload's own, or its name, source, time and first fields.

    If the sender is known, its title, the time and its link come first.
    ``hides`` returns whether a field's name speaks of a secret; ``hide_secrets`` returns a text
    without the secrets in its URLs.
    """
    own = payload.get("details")
    if isinstance(own, str) and own.strip():
        return plain_field(own, MAX_OWN_DETAILS_CHARACTERS)
    sender, link = sender_and_link
    name, time = fields.get("name"), f"Time: {fields['occurred']}"
    lines = [f"Sender: {sender}", time, *([f"Link: {link}"] if link else [])] if sender else []
    if name:
        lines.append(name[:DETAIL_CHARACTERS])
    if "source_address" in shared:
        lines.append(f"Source: {shared['source_address']}")
    if not sender and "user-agent" in shared["headers"]:
        lines.append(f"Sender: {shared['headers']['user-agent'][:DETAIL_CHARACTERS]}")
    if not sender:
        lines.append(time)
    add_scalars(lines, payload, "", hides)
    level: list[tuple[str, Any]] = [("", payload)]
    while len(lines) < FEW_DETAIL_LINES and (level := next_level(level, hides)):
        for prefix, container in level:
            add_scalars(lines, container, prefix, hides)
    return finish_details("\n".join(lines), hide_secrets)


def add_scalars(lines: list[str], container: dict[str, Any], prefix: str, hides: Hides) -> None:
    """Append a line ``name: value`` for each of an object's first texts, numbers and booleans."""
    most = DETAIL_CHARACTERS if len(container) > 1 else MAX_DETAILS_BYTES
    room = MAX_DETAIL_LINES - len(lines)
    for name, value in itertools.islice(container.items(), MAX_DETAIL_FIELDS):
        if room == 0:
            return
        kind = type(value)
        if kind is dict or kind is list or value is None or value == "" or is_left_out(name, hides):
            continue
        lines.append(f"{prefix}{name}: {value[:most] if kind is str else encode_json(value)}")
        room -= 1


def next_level(containers: list[tuple[str, Any]], hides: Hides) -> list[tuple[str, Any]]:
    """Return the objects one level below, each with the prefix for the names of its fields.

    Of an array, only the first element counts.
    """
    level = []
    for prefix, container in containers[:MAX_DETAIL_FIELDS]:
        if len(prefix) >= DETAIL_CHARACTERS:
            continue
        for name, value in itertools.islice(container.items(), MAX_DETAIL_FIELDS):
            child, index = value, ""
            if isinstance(value, list) and value:
                child, index = value[0], ".0"
            if isinstance(child, dict) and not is_left_out(name, hides):
                level.append((f"{prefix}{name}{index}.", child))
    return level


def is_left_out(name: str, hides: Hides) -> bool:
    """Return whether a field of this name is left out of the details."""
    return len(name) >= MAX_DETAIL_NAME or hides(name)


def finish_details(text: str, hide_secrets: Callable[[str], str]) -> str:
    """Return details without the secrets in their URLs, cut to MAX_DETAILS_BYTES."""
    if ("?" in text or "@" in text) and "://" in text:
        text = hide_secrets(text)
    if len(text) > MAX_DETAILS_BYTES // 4:  # a character takes at most four bytes
        text = text.encode("utf-8", "replace")[:MAX_DETAILS_BYTES].decode("utf-8", "ignore")
    return plain_field(text)


# -------------------------------------------------------------------------------------------------
# Native format: its fields, each with its type
# -------------------------------------------------------------------------------------------------

RAW_SPELLINGS = ("raw_json", "rawJson", "rawJSON")


def is_blank(value: Any) -> bool:
    """Return whether a value counts as absent: null, or a text of nothing but white space."""
    return value is None or (isinstance(value, str) and not value.strip())


def rename_taken(added: dict[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    """Return fields to add under names that the sender does not use: headers, request_headers..."""
    renamed: dict[str, Any] = {}
    for name, value in added.items():
        while name in raw or name in renamed:
            name = f"request_{name}"
        renamed[name] = value
    return renamed


def json_type(value: Any) -> str:
    """Return the name of a value's JSON type, with its article."""
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), "null")


def _plain(value: Any) -> Any:
    """Return a value whose texts and names are without the platform's error marker."""
    if isinstance(value, str):
        return plain_field(value)
    if isinstance(value, dict):
        return {plain_field(name): _plain(child) for name, child in value.items()}
    return [_plain(child) for child in value] if isinstance(value, list) else value


def text_field(value: Any, own: Any = None, most: int | None = None) -> str:
    """Return a text for a field; raises ValueError for any other value. ``own`` is not used."""
    if not isinstance(value, str):
        raise ValueError(f"it has to be a string, not {json_type(value)}.")
    return plain_field(value, most)


def title_field(value: Any, own: Any = None) -> str:
    """Return a text for a field that is a line; raises ValueError for any other value."""
    return text_field(value, own, MAX_NAME_CHARACTERS)


def labels_field(value: Any, own: Any = None) -> list[dict[str, str]]:
    """Return labels in the shape that XSOAR accepts; raises ValueError for any other value."""
    if not isinstance(value, list) or not all(
        isinstance(label, dict)
        and set(label) == {"type", "value"}
        and all(isinstance(text, str) for text in label.values())
        for label in value
    ):
        raise ValueError('it has to be a list of {"type": "...", "value": "..."} with strings.')
    return _plain(value)


def object_field(value: Any, own: Any = None) -> dict[str, Any]:
    """Return an object without the error marker; raises ValueError for any other value."""
    if not isinstance(value, dict):
        raise ValueError(f"it has to be an object, not {json_type(value)}.")
    return _plain(value)


DOCUMENTED_FIELDS = frozenset(
    {
        *RAW_SPELLINGS,
        *("name", "type", "occurred", "details", "severity", "owner", "labels", "customFields"),
    }
)
# Of another shape these are kept, and no reason to refuse an event.
FREE_FIELDS = frozenset({"details", "owner", "labels"})
# These may be cut, or lose the error marker.
ALTERED_FIELDS = frozenset({"name", "type", "details", "owner", "labels", "customFields"})


class FieldError(ValueError):
    """A field of the native format that cannot be used; the text names it and says what to send."""


def raw_spelling(payload: dict[str, Any]) -> str:
    """Return under which name a payload holds raw_json, empty where it does not."""
    for name in RAW_SPELLINGS:
        if name in payload and payload[name] is not None:
            return name
    return ""


def is_native(payload: Any) -> bool:
    """Return whether a payload is in the native format: it has raw_json, or nothing unknown."""
    return isinstance(payload, dict) and (
        raw_spelling(payload) != "" or payload.keys() <= DOCUMENTED_FIELDS
    )


class NativeFormat:
    """Reads objects of the native format; what a date and a severity are, it is told."""

    def __init__(
        self,
        read_date: Callable[[Any, Any], str],
        read_severity: Callable[[Any, Any], int | float],
        parse: Callable[[str], Any],
    ) -> None:
        """Make a reader.

        read_date, read_severity: take a value and the instance's own severities.
        parse: takes the text of a raw_json.
        """
        self._parse = parse
        self._readers: dict[str, Callable[[Any, Any], Any]] = {
            "name": title_field,
            "type": title_field,
            "occurred": read_date,
            "details": text_field,
            "severity": read_severity,
            "owner": text_field,
            "labels": labels_field,
            "customFields": object_field,
        }

    def read(
        self, payload: dict[str, Any], spelling: str, own: Any
    ) -> tuple[dict[str, Any], dict[str, Any], bool]:
        """Return incident fields and rawJSON of an object with raw_json.

        The third value is whether the raw_json is the whole rawJSON; then it is the payload's own
        object. Raises FieldError, which names a wrong field.
        """
        raw = payload[spelling]
        raw = self._parse(raw) if isinstance(raw, str) else raw
        if not isinstance(raw, dict):
            raw = {"body": raw}
        fields: dict[str, Any] = {}
        kept: dict[str, Any] = {}  # what the incident's fields do not hold whole
        for name, value in payload.items():
            reader = self._readers.get(name)
            if reader is None:
                if name not in RAW_SPELLINGS:
                    kept[name] = value
                elif name != spelling and value is not None:
                    raise FieldError(f"{name}: {spelling} is there as well; send one of the two.")
            elif not is_blank(value):
                field = None
                try:
                    field = fields[name] = reader(value, own)
                except ValueError as error:
                    if name not in FREE_FIELDS:
                        raise FieldError(f"{name}: {error}") from None
                if field is not value and name in ALTERED_FIELDS and field != value:
                    kept[name] = value
        if kept:
            raw = {**raw, **rename_taken({"envelope": kept}, raw)}
        return fields, raw, not kept

    def read_documented(self, payload: dict[str, Any], own: Any) -> dict[str, Any]:
        """Return the incident's fields of an object that holds nothing else.

        A value that does not fit its field is only in rawJSON.
        """
        fields = {}
        for name, value in payload.items():
            if name in self._readers and not is_blank(value):
                with contextlib.suppress(ValueError):
                    fields[name] = self._readers[name](value, own)
        return fields
