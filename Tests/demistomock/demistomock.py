"""A stand-in for the platform's `demisto` object in unit tests.

It has the platform's names and signatures, and sends nothing anywhere.
"""

import json
import logging
import uuid
from typing import Any

integrationContext: dict[str, Any] = {}
integrationContextVersion = 0
callingContext: dict[str, Any] = {
    "context": {"IntegrationInstance": "webhook"},
    "params": {},
    "args": {},
    "command": "",
}
is_debug = False


def params() -> dict[str, Any]:
    """Return the instance's parameters."""
    return callingContext["params"]


def args() -> dict[str, Any]:
    """Return the command's arguments."""
    return callingContext["args"]


def command() -> str:
    """Return the command's name."""
    return callingContext["command"]


def integrationInstance() -> str:
    """Return the instance's name."""
    return callingContext["context"]["IntegrationInstance"]


def get(obj: Any, field: str, defaultParam: Any = None) -> Any:
    """Follow a dotted path into nested objects."""
    for part in field.split("."):
        if not isinstance(obj, dict) or part not in obj:
            return defaultParam
        obj = obj[part]
    return obj


def uniqueFile() -> str:
    """Return a name that no other file has."""
    return str(uuid.uuid4())


def getIntegrationContext() -> dict[str, Any]:
    """Return the integration context of this process."""
    return integrationContext


def getIntegrationContextVersioned(refresh: bool = False) -> dict[str, Any]:
    """Return the integration context and its version."""
    return {"context": integrationContext, "version": integrationContextVersion}


def setIntegrationContext(context: dict[str, Any]) -> None:
    """Replace the integration context."""
    global integrationContext, integrationContextVersion
    integrationContext, integrationContextVersion = context, integrationContextVersion + 1


def setIntegrationContextVersioned(
    context: dict[str, Any], version: Any, sync: bool = False
) -> None:
    """Replace the integration context if it still has the version; ValueError otherwise."""
    if version not in (None, -1, integrationContextVersion):
        raise ValueError("stale version")
    setIntegrationContext(context)


def createIncidents(
    incidents: list[dict[str, Any]], lastRun: Any = None, userID: Any = None
) -> list[dict[str, Any]]:
    """Return the incidents as if they had been created."""
    return [{**incident, "id": str(number)} for number, incident in enumerate(incidents, 1)]


def incidents(incidents: list[dict[str, Any]] | None = None) -> Any:
    """Hand over the incidents of fetch-incidents."""
    return results({"Type": 1, "Contents": json.dumps(incidents), "ContentsFormat": "json"})


def results(results: Any) -> None:
    """Hand over result entries: print them."""
    print("demisto results:", json.dumps(results, indent=1, default=str))


def updateModuleHealth(data: Any, is_error: bool = False) -> None:
    """Show a status in the instance's settings: log it."""
    logging.getLogger("demisto").info("health: %s", data)


def info(*args: Any) -> None:
    """Write a line to the log."""
    logging.getLogger("demisto").info(" ".join(map(str, args)))


def debug(*args: Any) -> None:
    """Write a line to the log at debug level."""
    logging.getLogger("demisto").debug(" ".join(map(str, args)))


def error(*args: Any, **kwargs: Any) -> None:
    """Write a line to the log as an error."""
    logging.getLogger("demisto").error(" ".join(map(str, args)))


def log(msg: Any) -> None:
    """Write a line to the war room's log."""
    logging.getLogger("demisto").info(msg)


def heartbeat(msg: Any = "") -> None:
    """Report to the server that the container lives: there is no server here."""


def enable_multithreading() -> None:
    """Allow more than one thread to call the server: there is no server here."""


def demistoVersion() -> dict[str, str]:
    """Return the server's version and build number."""
    return {"version": "6.14.0", "buildNumber": "1000000", "platform": "xsoar"}


def demistoUrls() -> dict[str, str]:
    """Return the server's addresses."""
    return {
        "server": "https://127.0.0.1",
        "evidenceBoard": "",
        "investigation": "",
        "relatedIncidents": "",
    }


def addEntry(
    id: str,
    entry: str,
    username: str | None = None,
    email: str | None = None,
    footer: str | None = None,
) -> None:
    """Add an entry to an incident's War Room: log it."""
    logging.getLogger("demisto").info("entry of %s: %s", id, entry)
