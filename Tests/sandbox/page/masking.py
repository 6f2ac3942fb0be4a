"""Keeps the instance's secrets off the page, wherever they appear."""

import base64
import json
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

from ..descriptor import CREDENTIALS, Parameter
from .signing import Headers, Scheme, basic_token, read_lines

HIDDEN = "\u2022\u2022\u2022\u2022"
SECRET_TYPES = (4, 14)  # an encrypted text, of one line and of several
MORE_CREDENTIALS = "more_credentials"  # lines of a path, a scheme or user, and a secret
MIN_CHARACTERS = 4  # a shorter secret is part of too many words
# Others whose JSON may be embedded in a page escape these as well.
ESCAPED_BY_GO = {ord(char): f"\\u{ord(char):04x}" for char in "<>&"}
MIN_WORD_CHARACTERS = 12  # of a secret of letters alone, which may be an everyday word


class Secrets:
    """All secrets that an instance has had since the sandbox started.

    What is hidden stays hidden after a change.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._texts = re.compile("(?!)")  # matches nothing
        self._headers = {"authorization", "proxy-authorization"}
        self._proofs: frozenset[str] = frozenset()

    def learn(self, parameters: Iterable[Parameter], params: Mapping[str, Any]) -> None:
        """Remember the secrets of an instance's parameters."""
        for parameter in parameters:
            value = params.get(parameter.name)
            if parameter.type == CREDENTIALS and isinstance(value, Mapping):
                self._learn_credentials(
                    str(value.get("identifier") or ""), str(value.get("password") or "")
                )
            elif parameter.name == MORE_CREDENTIALS and value:
                for line in read_lines(str(value)):
                    self._learn_credentials(line.username, line.secret)
            elif parameter.type in SECRET_TYPES and value:
                self._add(
                    [str(value), *(line for line in str(value).splitlines() if "-----" not in line)]
                )

    def _learn_credentials(self, username: str, password: str) -> None:
        if password:
            self._headers |= {Scheme.of(username).header}
            lines = (line.strip() for line in password.splitlines())
            parts = (password, *lines, *password.split())
            self._proofs |= {*parts, basic_token(username, password)}
            self._add([*parts, basic_token(username, password)])

    def _add(self, secrets: Iterable[str]) -> None:
        with self._lock:
            self._known |= {
                form for secret in secrets if is_distinctive(secret) for form in spellings(secret)
            }
            if self._known:
                longest_first = sorted(self._known, key=len, reverse=True)
                self._texts = re.compile("|".join(map(re.escape, longest_first)))

    def hide(self, value: Any) -> Any:
        """Return a JSON value without the secrets in its texts."""
        if isinstance(value, str):
            return self._texts.sub(HIDDEN, value)
        if isinstance(value, Mapping):
            return {self.hide(name): self.hide(child) for name, child in value.items()}
        return [self.hide(child) for child in value] if isinstance(value, (list, tuple)) else value

    def hide_bytes(self, body: bytes) -> bytes:
        """Return a body without the secrets in it, whatever else it holds."""
        return self._texts.sub(HIDDEN, body.decode("utf-8", "surrogateescape")).encode(
            "utf-8", "surrogateescape"
        )

    def hide_proof(self, path: str, headers: Headers) -> tuple[str, Headers]:
        """Return a request's path and headers without its credentials, however short they are."""
        hidden = [
            (name, self._without_proof(value) if name.lower() in self._headers else value)
            for name, value in headers
        ]
        plain, question, query = path.partition("?")
        fields = [
            f"{field.partition('=')[0]}={HIDDEN}"
            if unquote_plus(field.partition("=")[2]) in self._proofs
            else field
            for field in query.split("&")
        ]
        return self.hide(plain + question + "&".join(fields)), [
            (name, self.hide(value)) for name, value in hidden
        ]

    def _without_proof(self, value: str) -> str:
        if value in self._proofs:
            return HIDDEN
        word, blank, rest = value.partition(" ")
        return f"{word} {HIDDEN}" if blank and rest.strip() in self._proofs else value


def is_distinctive(secret: str) -> bool:
    """Return whether a secret is not an everyday word, so that any text can be searched for it."""
    return len(secret) >= MIN_WORD_CHARACTERS or (
        len(secret) >= MIN_CHARACTERS and not secret.isalpha()
    )


def spellings(secret: str) -> set[str]:
    """Return a secret as it may stand in a URL, a JSON text, or a header."""
    as_json = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    as_json |= {text.translate(ESCAPED_BY_GO) for text in as_json} | {
        text.replace("/", "\\/") for text in as_json
    }
    as_base64 = base64.b64encode(secret.encode()).decode().rstrip("=")
    in_url = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    return {secret, secret.encode().decode("latin-1"), as_base64, *in_url, *as_json}
