"""What the page's calls send, read and checked, and how they are answered: in JSON."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import bottle

from ..container import ContainerError
from ..descriptor import DescriptorError
from .attempt import AttemptError
from .traffic import KINDS

MAX_CALL_BYTES = 64 * 1024 * 1024
MAX_LIMIT = 200
MAX_NUMBER = 2**62


class Refusal(Exception):
    """An answer that is not 200: its status and a sentence that says how to fix it."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def amount(given: Mapping[str, Any], name: str, most: float) -> float | None:
    """Return a number of a call, None if it is not given; raises Refusal."""
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise Refusal(400, f"{name} must be a number from 0 to {most:g}.")
    return float(value)


def number_of(text: str | None, name: str, default: int, most: int) -> int:
    """Return a number of the query string; raises Refusal."""
    if text is None or text == "":
        return default
    if not re.fullmatch("[0-9]{1,18}", text):
        raise Refusal(400, f"{name} must be a whole number.")
    return min(int(text), most)


def call_body() -> Any:
    """Return the body of a call; raises Refusal."""
    size = bottle.request.content_length
    if size < 0 and bottle.request.chunked:
        raise Refusal(411, "Send the call with a Content-Length.")
    if size > MAX_CALL_BYTES:
        raise Refusal(413, f"This is more than {MAX_CALL_BYTES} bytes.")
    try:
        return json.loads(bottle.request.environ["wsgi.input"].read(max(size, 0)) or b"{}")
    except (ValueError, RecursionError):
        raise Refusal(400, "The call's body is not JSON.") from None


def call_object() -> Mapping[str, Any]:
    """Return the object that a call sends; raises Refusal."""
    given = call_body()
    if not isinstance(given, dict):
        raise Refusal(400, "The call's body must be a JSON object.")
    return given


def listed() -> tuple[int, int, str, str]:
    """Return the requested part of a list: before, limit, words and kind."""
    query = bottle.request.query
    kind = query.get("status") or "all"
    if kind not in (*KINDS, "all"):
        raise Refusal(400, f"status must be one of all, {', '.join(KINDS)}.")
    before = number_of(query.get("before"), "before", MAX_NUMBER, MAX_NUMBER)
    limit = number_of(query.get("limit"), "limit", 50, MAX_LIMIT)
    return (
        before,
        max(limit, 1),
        query.getunicode("q", "").strip()[:200],
        "" if kind == "all" else kind,
    )


def as_json(call: Callable[..., Any], hide: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a call that answers in JSON without secrets, refusals too."""

    def answer(**values: Any) -> Any:
        bottle.response.content_type = "application/json"
        try:
            return json.dumps(call(**values))
        except (Refusal, DescriptorError, AttemptError, ContainerError) as error:
            status = (
                error.status
                if isinstance(error, Refusal)
                else 502
                if isinstance(error, ContainerError)
                else 400
            )
            bottle.response.status = status
            return json.dumps({"error": hide(str(error))})

    return answer
