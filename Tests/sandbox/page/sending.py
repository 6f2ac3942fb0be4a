"""Requests that the page sends: composed there, sent again, or sent as the end of an alert."""

import re
from collections.abc import Mapping
from dataclasses import replace
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from .attempt import Attempt, connected, curl_line, send
from .calls import Refusal
from .examples import examples
from .masking import HIDDEN, MORE_CREDENTIALS, Secrets
from .opened import Opened
from .preview import Preview, PreviewError
from .recorder import Recorder
from .signing import Line, credentials_for, read_lines
from .traffic import Recorded, now

if TYPE_CHECKING:
    from .. import Sandbox

NONE_FIT = "no credentials: the instance has none for this path that the page can make"


class Sending:
    """What the view Try it calls, and *Send again* in Requests.

    path: what the paths of the instance's requests begin with.
    """

    def __init__(
        self,
        sandbox: "Sandbox",
        path: str,
        secrets: Secrets,
        preview: Preview,
        recorder: Recorder,
        opened: Opened,
    ) -> None:
        self._sandbox = sandbox
        self._path = path
        self._secrets = secrets
        self._preview = preview
        self._recorder = recorder
        self._opened = opened

    def examples(self) -> list[dict[str, Any]]:
        """Return requests to try."""
        return examples(self._path)

    def categories(self) -> dict[str, str]:
        """Return for each example the category of the sender that it is recognized as."""
        found, senders = self.examples(), self.senders()["senders"]
        defaults = self._sandbox.descriptor.params({}, files=False)
        try:
            made = self._preview.incidents(defaults, [as_recorded(one) for one in found])
        except PreviewError:  # another script than the integration's
            return {}
        of_sender = {row["id"]: row["category"] for row in senders}
        return {
            example["id"]: of_sender.get(request["incidents"][0]["sender"], "")
            for example, request in zip(found, made)
            if request["incidents"]
        }

    def senders(self) -> dict[str, Any]:
        """Return the rows of the known senders."""
        try:
            return {"senders": self._preview.senders()}
        except PreviewError:
            return {"senders": []}

    def send(self, attempt: Attempt, came: Attempt | None = None) -> dict[str, Any]:
        """Send a request through the front, and return its answer.

        came: the request as it was sent before, which shows how its sender proves itself.
        """
        origin = self._origin()
        username, password, sent_with = self._credentials(attempt, came or attempt)
        proven = self._addressed(attempt, origin).proven(username, password)
        try:
            with (
                connected(origin) as connection,
                self._recorder.expecting(connection.sock.getsockname()[1]) as number,
            ):
                answer = send(connection, proven)
                identifier = number() if origin == self._front_origin() else None
        except (
            OSError,
            HTTPException,
            ValueError,
        ) as error:
            # The text of some errors holds what was sent, in another spelling.
            why = (
                error.strerror
                if isinstance(error, OSError) and error.strerror
                else type(error).__name__
            )
            raise Refusal(502, f"{origin} does not answer this request: {why}.") from error
        return {**self._secrets.hide(answer), "requestId": identifier, "sentWith": sent_with}

    def attempt(self, given: Any) -> Attempt:
        """Read a request that the page wants to be sent; raises AttemptError."""
        return Attempt.read(given, self._path)

    def curl(self, given: Any) -> dict[str, str]:
        """Return a curl line that sends what the page would."""
        origin = self._origin()
        attempt = self.attempt(given)
        username, _, sent_with = self._credentials(attempt, attempt)
        line = curl_line(self._addressed(attempt, origin), origin, username)
        return {"curl": self._secrets.hide(line), "sentWith": sent_with}

    def _addressed(self, attempt: Attempt, origin: str) -> Attempt:
        """Return a request as an origin expects it: the container knows no instance's path."""
        if origin == self._front_origin():
            return attempt
        rest = attempt.path.removeprefix(self._path)
        return replace(attempt, path=rest if rest.startswith("/") else f"/{rest}")

    def end(self, number: int) -> dict[str, Any]:
        """Send a request again as its sender reports the end of its alerts."""
        old = self._opened.recorded(number)
        try:
            body = self._preview.ended(old.settings, old)
        except PreviewError as error:
            raise Refusal(502, str(error)) from error
        if not body:
            raise Refusal(400, "It is not known how this sender reports the end of an alert.")
        headers = [one for one in old.headers if one[0].lower() != "content-encoding"]
        sent = replace(old, headers=headers, body=body.encode(), body_bytes=len(body.encode()))
        return self._send_again(sent)

    def again(self, number: int) -> dict[str, Any]:
        """Send a request again, with the instance's present credentials."""
        return self._send_again(self._opened.recorded(number))

    def _send_again(self, old: Recorded) -> dict[str, Any]:
        if old.body_bytes > len(old.body):
            raise Refusal(
                400,
                "This request's body is longer than what is kept of it; "
                "let its sender send it again.",
            )
        skipped = {"x-forwarded-for", "content-length", "transfer-encoding", "host", "connection"}
        headers = [
            (name, value)
            for name, value in old.headers
            if name.lower() not in skipped and HIDDEN not in value
        ]
        path = re.sub(rf"(?<=[?&])[^&]*{HIDDEN}(?:&|$)", "", old.row["path"]).rstrip("?&")
        attempt = Attempt(old.row["method"], path, headers, old.body, sign=True)
        return self.send(attempt, replace(attempt, path=old.row["path"], headers=old.headers))

    def _credentials(self, attempt: Attempt, came: Attempt) -> tuple[str, str, str]:
        """Return the user name and the password for a request, and which ones these are."""
        params = self._sandbox.params
        given = params.get("credentials")
        values = given if isinstance(given, Mapping) else {}
        own = Line("", str(values.get("identifier") or ""), str(values.get("password") or ""))
        lines = read_lines(str(params.get(MORE_CREDENTIALS) or ""))
        lines = [own, *lines] if any(own) else lines
        if not attempt.sign or not lines:
            return "", "", ""
        found = credentials_for(lines, came.path.removeprefix(self._path), came.headers)
        return (found.username, found.secret, found.words()) if found else ("", "", NONE_FIT)

    def _front_origin(self) -> str:
        return self._sandbox.page_url.rstrip("/")

    def _origin(self) -> str:
        """Return where requests are sent to: the front, unless the instance has a certificate."""
        sandbox = self._sandbox
        return (
            sandbox.container_url
            if sandbox.sender_url == sandbox.container_url
            else self._front_origin()
        )


def as_recorded(example: Mapping[str, Any]) -> Recorded:
    """Return an example as a request that has arrived."""
    row = {"method": example["method"], "path": example["path"], "sender": "", "time": now()}
    body = str(example["body"]).encode()
    return Recorded({**row, "status": 0}, example["headers"], body, len(body), [], b"")
