"""The form of the instance's settings: shown, tested, saved, copied and imported."""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..container import CommandError
from .calls import Refusal
from .form import fields, is_open, merged, product_urls
from .masking import Secrets
from .transfer import exported, imported

if TYPE_CHECKING:
    from .. import Sandbox
    from ..saved import SavedParams

NOT_KEPT = "The instance runs with these parameters, but they cannot be kept for the next start"


class InstanceForm:
    """What the view Instance calls.

    learn: called with parameters whose secrets are to be hidden.
    restart: called with the parameters of a new container.
    """

    def __init__(
        self,
        sandbox: "Sandbox",
        secrets: Secrets,
        learn: Callable[[Mapping[str, Any]], None],
        restart: Callable[[dict[str, Any]], None],
    ) -> None:
        self._sandbox = sandbox
        self._secrets = secrets
        self._learn = learn
        self._restart = restart
        self._restarts = threading.Lock()

    def instance(self) -> dict[str, Any]:
        """Return the form of the instance's settings."""
        sandbox, descriptor = self._sandbox, self._sandbox.descriptor
        return {
            "name": sandbox.instance,
            "integration": descriptor.display,
            "url": sandbox.sender_url,
            "productUrls": product_urls(sandbox.instance),
            "sections": list(descriptor.sections),
            "parameters": fields(descriptor, sandbox.params),
            "description": descriptor.help,
            "canRestart": True,
            "isOpen": is_open(sandbox.params),
        }

    def test(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Press the Test button with a form's values."""
        sandbox = self._sandbox
        params = merged(sandbox.descriptor, sandbox.params, given.get("params"))
        self._learn(params)
        entries = run_command(self._sandbox, self._secrets, "test-module", params)
        texts = [str(entry.get("Contents")) for entry in entries] or [
            "The integration answered nothing."
        ]
        return {"ok": texts == ["ok"], "text": self._secrets.hide("\n".join(texts))}

    def save(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Restart the container with a form's values; return once it listens or has failed."""
        sandbox = self._sandbox
        with self._restarts:
            params = merged(sandbox.descriptor, sandbox.params, given.get("params"))
            before = sandbox.params
            self._restart(params)
            self._keep(lambda saved: saved.update(before, params, sandbox.defaults))
        return {"ok": True}

    def set_defaults(self) -> dict[str, Any]:
        """Restart the container with the descriptor's defaults, and forget what was saved."""
        with self._restarts:
            self._restart(dict(self._sandbox.defaults))
            self._keep(lambda saved: saved.forget())
        return {"ok": True}

    def export(self) -> dict[str, str]:
        """Return the parameters that differ from their defaults, as texts to copy."""
        sandbox = self._sandbox
        return exported(sandbox.descriptor, sandbox.params, sandbox.defaults)

    def import_(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Restart the container with the parameters of a text, or change nothing."""
        sandbox = self._sandbox
        params = imported(sandbox.descriptor, sandbox.params, given.get("text"))
        self.save({"params": params})
        return {"ok": True, "parameters": len(params)}

    def _keep(self, keep: Callable[["SavedParams"], None]) -> None:
        """Change what is saved for the next start, if anything is kept between runs."""
        try:
            if self._sandbox.saved:
                keep(self._sandbox.saved)
        except OSError as error:
            raise Refusal(500, f"{NOT_KEPT}: {error}.") from error


def run_command(
    sandbox: "Sandbox", secrets: Secrets, command: str, params: Mapping[str, Any] | None = None
) -> list[Any]:
    """Run a command of the integration; raises Refusal with its error, without secrets."""
    try:
        return sandbox.run(command, params=params)
    except CommandError as error:
        text = str(error)
        if command == "test-module":
            return [{"Contents": text}]
        raise Refusal(502, secrets.hide(text)) from error
