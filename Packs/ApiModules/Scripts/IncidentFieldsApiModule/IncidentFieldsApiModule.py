"""What XSOAR takes: JSON without its error marker, and the fields of an incident.

What it is for: a value becomes JSON that cannot upset the platform, texts are cut to size, a payload
becomes the details that a person reads, and the fields of the native format are read strictly. It knows
nothing of requests and senders, of paths into payloads, or of an instance's parameters.

| section | what it does |
| --- | --- |
| JSON | compact JSON without the platform's error marker, in pieces where it is large |
| Sizes | how many bytes a text takes; values cut to size |
| rawJSON | an event's own fields, what the events of a request share, and our own object |
| Details | a payload's text for a person |
| Native format | its fields, each of its own type |
"""

import contextlib
import itertools
import json
import threading
import unicodedata
from collections.abc import Callable
from typing import Any, NamedTuple

# -------------------------------------------------------------------------------------------------
# JSON: compact, and without the platform's error marker
# -------------------------------------------------------------------------------------------------

MAX_NAME_CHARACTERS = 600  # longer titles are refused by XSOAR's database
PIECE_ELEMENTS = 500  # of a large payload, encoded at a time
ERROR_MARKER = "[ERROR-fd5a7750-7182-4b38-90ba-091824478903]"  # anywhere in an answer, it makes the platform raise
MARKER_START = ERROR_MARKER[:7]  # looked for first: its absence is found four times as fast
EVENT_LOOP_THREAD = threading.get_ident()  # which imports this file and serves the connections
encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def to_json(value: Any) -> str:
    """Return a value as compact JSON for the platform, without_marker.

    On a native thread, where large values are handled, it is encoded in pieces, so that the event loop
    gets its turn.
    """
    on_loop = threading.get_ident() == EVENT_LOOP_THREAD
    return without_marker(encode_json(value) if on_loop else _encode_in_pieces(value))


def without_marker(text: str) -> str:
    """Return a JSON text in which the platform's error marker cannot be found, yet is whole once parsed."""
    return (
        text.replace(ERROR_MARKER, "\\u005b" + ERROR_MARKER[1:]) if MARKER_START in text else text
    )


def _encode_in_pieces(value: Any, levels: int = 4) -> str:
    """Return what encode_json does; other threads get their turn between two pieces."""
    if not levels or not isinstance(value, (dict, list)) or not value:
        return encode_json(value)
    if len(value) > PIECE_ELEMENTS:
        kind, elements = (
            (dict, iter(value.items())) if isinstance(value, dict) else (list, iter(value))
        )
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
    """Return a text for a field of the incident: without the error marker, cut at a whole character."""
    if MARKER_START in value:
        value = value.replace(ERROR_MARKER, "[ERROR " + ERROR_MARKER[7:])
    if most is None or len(value) <= most:
        return value
    while most and (
        unicodedata.category(value[most]) in ("Mn", "Mc", "Me", "Cf") or value[most - 1] == "\u200d"
    ):
        most -= 1  # the next character belongs to the one before it
    return value[: most or MAX_NAME_CHARACTERS]


# -------------------------------------------------------------------------------------------------
# Sizes: how many bytes a text takes; values cut to size
# -------------------------------------------------------------------------------------------------

SMALL_TEXT_BYTES = 32 * 1024  # up to here an estimate is good enough
SHORTENINGS = (  # characters a text, elements a list: the first that is short enough counts
    (1_000_000, 1_000_000),
    (8192, 1_000_000),
    (1024, 1000),
    (1024, 100),
    (128, 20),
    (32, 5),
    (8, 2),
)


def wire_length(text: str) -> int:
    """Return about how many bytes a text takes as a string in the platform's JSON, which escapes all but ASCII.

    Of a small one it is the length in UTF-8.
    """
    if len(text) <= SMALL_TEXT_BYTES:
        return byte_length(text)
    others = 0 if text.isascii() else len(text) - len(text.encode("ascii", "ignore"))
    return len(text) + 5 * others + text.count('"') + text.count("\\")


def byte_length(text: str) -> int:
    """Return how many bytes a text takes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def shorten_json(value: Any, most: int) -> str:
    """Return a value's JSON in at most ``most`` bytes: long texts cut and marked, then long lists and objects."""
    for characters, elements in SHORTENINGS:
        text = to_json(shorten(value, characters, elements))
        if byte_length(text) <= most:
            return text
    return '"[cut]"'


def shorten(value: Any, characters: int, elements: int) -> Any:
    """Return a value whose texts, lists and objects are cut where they are longer than that, and say so."""
    if isinstance(value, str):
        return (
            value
            if len(value) <= characters
            else f"{value[:characters]}... [cut, {len(value)} characters]"
        )
    if isinstance(value, list):
        kept = [shorten(child, characters, elements) for child in value[:elements]]
        return kept if len(value) <= elements else [*kept, f"[cut, {len(value)} elements]"]
    if isinstance(value, dict):
        fields = {
            name if len(name) <= 256 else f"{name[:256]}... [cut]": shorten(
                child, characters, elements
            )
            for name, child in list(value.items())[:elements]
        }
        return fields if len(value) <= elements else {**fields, "[cut]": f"{len(value)} fields"}
    return value


MAX_SAMPLE_BYTES = 64 * 1024
# A hook in Python, at which a thread gives way: the decoder in C would keep all others waiting.
GIVING_WAY = json.JSONDecoder(object_pairs_hook=lambda pairs: dict(pairs))  # noqa: C416


def small_sample(incident: dict[str, Any]) -> dict[str, Any]:
    """Return an incident of at most MAX_SAMPLE_BYTES as JSON: its long strings cut and marked, then its long lists."""
    try:
        raw = GIVING_WAY.decode(incident.get("rawJSON") or "{}")
    except (ValueError, RecursionError):
        raw = {"body": incident.get("rawJSON")}
    fields = {name: value for name, value in incident.items() if name != "rawJSON"}
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
# rawJSON: an event's own fields, what the events of a request share, and our own object
# -------------------------------------------------------------------------------------------------

# What XSOAR takes for mirroring, wherever it comes from: a sender's own is kept under payload_<name>.
MIRRORING_FIELDS = frozenset(
    {
        *("mirror_direction", "mirror_instance", "mirror_id", "mirror_tags"),
        *(
            "dbotMirrorId",
            "dbotMirrorDirection",
            "dbotMirrorInstance",
            "dbotMirrorTags",
            "dbotMirrorLastSync",
        ),
    }
)
# Of headers, query and parent in a request's events: 10,000 of them get 1.6 KB each.
MAX_SHARED_BYTES = 16 * 1024**2


class Shared(NamedTuple):
    """What is added to the events of a request: the fields, for paths, and their JSON without braces.

    ``others`` is for all events but the first, and shorter where so many would multiply it too far.
    """

    fields: dict[str, Any]
    first: str
    others: str


def share(fields: dict[str, Any], events: int) -> Shared:
    """Encode once what the events of a request share.

    Each event has it whole, unless all of them together would have more than MAX_SHARED_BYTES of it. Then
    the first has it whole and the others a shortened form, which says so.
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
    return Shared(fields, first, join_json(others))


def share_parent(parent: Any, shared: Shared, events: int, leads: bool) -> Shared:
    """Return what an array's elements share: what all events of the request do, and the rest of the item."""
    around = share({"parent": parent}, events)
    first = shared.first if leads else shared.others
    return Shared(
        {**shared.fields, **around.fields},
        f"{first},{around.first}",
        f"{shared.others},{around.others}",
    )


def join_json(fields: dict[str, str]) -> str:
    """Return the fields of a JSON object, whose values are JSON already, without the braces around them."""
    return ",".join([f'"{name}":{value}' for name, value in fields.items()])


def raw_json(raw: dict[str, Any], shared: Shared, first: bool, webhook: str, text: str = "") -> str:
    """Return an event's rawJSON: its own fields, what the request's events share, and ``webhook``, which is JSON.

    ``text`` is the event's own JSON where it may stay as it came: numbers then keep every digit, and nothing
    is encoded again. Fields of ours never replace the sender's: they are called request_<name> then.
    """
    added = f'{shared.first if first else shared.others},"webhook":{webhook}'
    if not raw.keys().isdisjoint(shared.fields) or not raw.keys().isdisjoint(NAMES_OF_OURS):
        added = to_json(rename_taken(json.loads(f"{{{added}}}"), raw))[1:-1]
    text = without_marker(text) if text else to_json(raw)
    return f"{text[:-1]},{added}}}" if raw else f"{{{added}}}"


NAMES_OF_OURS = frozenset({"webhook", "headers_shortened", "parent_shortened"})


def without_mirroring(payload: dict[str, Any]) -> dict[str, Any]:
    """Return a payload whose own mirroring fields are called payload_<name>."""
    return {
        (f"payload_{name}" if name in MIRRORING_FIELDS else name): value
        for name, value in payload.items()
    }


# -------------------------------------------------------------------------------------------------
# Details: a payload's text for a person
# -------------------------------------------------------------------------------------------------

MAX_DETAILS_BYTES = 2 * 1024  # of the text we write ourselves
# Of a third-party payload's own text, which is whole in rawJSON.
MAX_OWN_DETAILS_CHARACTERS = 32 * 1024
MAX_DETAIL_LINES = 8
FEW_DETAIL_LINES = 6  # with fewer, the next level of a payload is looked at
DETAIL_CHARACTERS = 200  # of one field, unless it is the only one
MAX_DETAIL_NAME = 100  # characters of a field's name: a longer one says nothing to a person
MAX_DETAIL_FIELDS = 40  # of one container that are looked at


Hides = Callable[[str], bool]  # whether a field of this name is left out


def vendor_event_details(
    payload: dict[str, Any],
    shared: dict[str, Any],
    fields: dict[str, Any],
    hides: Hides,
    hide_secrets: Callable[[str], str],
    sender_and_link: tuple[str, str] = ("", ""),
) -> str:
    """Return the incident's details: the payload's own text, else name, source, time and first fields.

    Where the sender is known, its title, the time and its link come first. ``hides`` and ``hide_secrets``
    keep secrets out, in fields of their own and within URLs.
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
    """Append lines ``name: value`` for an object's first texts, numbers and booleans, except for secrets."""
    most = DETAIL_CHARACTERS if len(container) > 1 else MAX_DETAILS_BYTES
    room = MAX_DETAIL_LINES - len(lines)
    for name, value in itertools.islice(container.items(), MAX_DETAIL_FIELDS):
        kind = type(value)
        if kind is dict or kind is list or value is None or value == "" or is_left_out(name, hides):
            continue
        if room == 0:
            return
        lines.append(f"{prefix}{name}: {value[:most] if kind is str else encode_json(value)}")
        room -= 1


def next_level(containers: list[tuple[str, Any]], hides: Hides) -> list[tuple[str, Any]]:
    """Return the objects one level below, of an array its first element, each with its fields' prefix."""
    level = []
    for prefix, container in containers[:MAX_DETAIL_FIELDS]:
        for name, value in itertools.islice(container.items(), MAX_DETAIL_FIELDS):
            child, place = (
                (value[0] if value else None, ".0") if isinstance(value, list) else (value, "")
            )
            if (
                isinstance(child, dict)
                and not is_left_out(name, hides)
                and len(prefix) < DETAIL_CHARACTERS
            ):
                level.append((f"{prefix}{name}{place}.", child))
    return level


def is_left_out(name: str, hides: Hides) -> bool:
    """Return whether a field of this name is left out of the details."""
    return len(name) >= MAX_DETAIL_NAME or hides(name)


def finish_details(text: str, hide_secrets: Callable[[str], str]) -> str:
    """Return details without secrets in URLs and within MAX_DETAILS_BYTES."""
    if ("?" in text or "@" in text) and "://" in text:
        text = hide_secrets(text)
    if len(text) > MAX_DETAILS_BYTES // 4:  # a character takes at most four bytes
        text = text.encode("utf-8", "replace")[:MAX_DETAILS_BYTES].decode("utf-8", "ignore")
    return plain_field(text)


# -------------------------------------------------------------------------------------------------
# Native format: its fields, each of its own type
# -------------------------------------------------------------------------------------------------

RAW_SPELLINGS = ("raw_json", "rawJson", "rawJSON")


def is_blank(value: Any) -> bool:
    """Return whether a field counts as absent: null, or a text of nothing but white space."""
    return value is None or (isinstance(value, str) and not value.strip())


def rename_taken(added: dict[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    """Return fields of ours under names that the sender does not use: ``headers``, ``request_headers``..."""
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
    if isinstance(value, str):
        return plain_field(value)
    if isinstance(value, dict):
        return {plain_field(name): _plain(child) for name, child in value.items()}
    return [_plain(child) for child in value] if isinstance(value, list) else value


def text_field(value: Any, own: Any = None, most: int | None = None) -> str:
    """Return a text for a field; raises ValueError for any other value. ``own`` is not looked at."""
    if not isinstance(value, str):
        raise ValueError(f"it has to be a string, not {json_type(value)}.")
    return plain_field(value, most)


def title_field(value: Any, own: Any = None) -> str:
    """Return a text of at most MAX_NAME_CHARACTERS; raises ValueError for any other value."""
    return text_field(value, most=MAX_NAME_CHARACTERS)


def labels_field(value: Any, own: Any = None) -> list[dict[str, str]]:
    """Return labels as XSOAR takes them; raises ValueError for any other value."""
    if not isinstance(value, list) or not all(
        isinstance(label, dict)
        and set(label) == {"type", "value"}
        and all(isinstance(text, str) for text in label.values())
        for label in value
    ):
        raise ValueError('it has to be a list of {"type": "...", "value": "..."} with strings.')
    return _plain(value)


def object_field(value: Any, own: Any = None) -> dict[str, Any]:
    """Return an object of texts that cannot upset the platform; raises ValueError for any other value."""
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
    if "raw_json" not in payload and "rawJson" not in payload and "rawJSON" not in payload:
        return ""
    return next((name for name in RAW_SPELLINGS if payload.get(name) is not None), "")


class NativeFormat:
    """Reads objects of the native format; what a date and a severity are, it is told."""

    def __init__(
        self,
        read_date: Callable[[Any, Any], str],
        read_severity: Callable[[Any, Any], int | float],
        parse: Callable[[str], Any],
    ) -> None:
        """Make a reader. Both take a value and the instance's own severities; ``parse`` takes a text."""
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
        """Return incident fields and rawJSON of an object with raw_json, and whether that is the whole rawJSON.

        Raises FieldError that names a wrong field.
        """
        second = [
            name for name in RAW_SPELLINGS if payload.get(name) is not None and name != spelling
        ]
        if second:
            raise FieldError(f"{second[0]}: {spelling} is there as well; send one of the two.")
        raw = payload[spelling]
        raw = self._parse(raw) if isinstance(raw, str) else raw
        raw = dict(raw) if isinstance(raw, dict) else {"body": raw}
        fields: dict[str, Any] = {}
        kept: dict[str, Any] = {}  # what the incident's fields do not hold whole
        for name, value in payload.items():
            if name in RAW_SPELLINGS:
                continue
            if name not in self._readers:
                kept[name] = value
            elif not is_blank(value):
                try:
                    fields[name] = self._readers[name](value, own)
                except ValueError as error:
                    if name not in FREE_FIELDS:
                        raise FieldError(f"{name}: {error}") from None
                if name in ALTERED_FIELDS and fields.get(name) != value:
                    kept[name] = value
        if kept:
            raw.update(rename_taken({"envelope": kept}, raw))
        return fields, raw, not kept

    def read_documented(self, payload: dict[str, Any], own: Any) -> dict[str, Any]:
        """Return the incident's fields of an object that holds nothing else; what does not fit is only in rawJSON."""
        fields = {}
        for name, value in payload.items():
            if name in self._readers and not is_blank(value):
                with contextlib.suppress(ValueError):
                    fields[name] = self._readers[name](value, own)
        return fields
