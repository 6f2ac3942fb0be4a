"""The common serving pattern, for the benchmark: FastAPI, XSOAR called on the event loop.

Each request makes ten blocking round trips to XSOAR, seventeen with samples on: two reads of the
integration context and seven log lines around createIncidents, then one more read and the six of a
versioned write with the platform's helper.
"""

import json
import secrets
from collections import deque
from datetime import UTC, datetime
from typing import Annotated, Any

import demistomock as demisto
import uvicorn
from CommonServerPython import *  # noqa: F403
from fastapi import Depends, FastAPI, Request, Response, status
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from pydantic import BaseModel

SAMPLES = 20
app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
basic_auth = HTTPBasic(auto_error=False)


class Incident(BaseModel):
    """What a sender posts."""

    name: str | None = None
    type: str | None = None
    occurred: datetime | None = None
    raw_json: dict[str, Any] | None = None


def authenticated(given: HTTPBasicCredentials | None) -> bool:
    """Compare the sender's credentials with the instance's."""
    expected = demisto.params().get("credentials") or {}
    return given is not None and all(
        secrets.compare_digest(ours.encode(), theirs.encode())
        for ours, theirs in (
            (expected["identifier"], given.username),
            (expected["password"], given.password),
        )
    )


def save_sample(incident: dict[str, Any]) -> None:
    """Add the incident to the integration context's samples in seven round trips.

    The platform's retrying helper makes as many.
    """
    samples = deque(
        json.loads(demisto.getIntegrationContext().get("sample_events") or "[]"), maxlen=SAMPLES
    )
    samples.append(incident)
    demisto.debug(f"storing {len(samples)} sample events")
    versioned = demisto.getIntegrationContextVersioned(True)
    demisto.debug(f"updating the integration context with version {versioned['version']}")
    demisto.debug("setting the integration context")
    demisto.setIntegrationContextVersioned(
        {**versioned["context"], "sample_events": json.dumps(list(samples))},
        versioned["version"],
        True,
    )
    demisto.debug("the integration context is updated")


@app.get("/health")
async def report_alive() -> dict[str, str]:
    """Answer that the server runs."""
    return {"status": "ok"}


@app.post("/")
async def receive(
    incident: Incident,
    request: Request,
    credentials: Annotated[HTTPBasicCredentials | None, Depends(basic_auth)],
) -> Any:
    """Create one incident for one request, blocking the event loop meanwhile."""
    demisto.debug("received a request")
    if not authenticated(credentials):
        demisto.debug("the credentials are wrong")
        return Response(status_code=status.HTTP_401_UNAUTHORIZED, content="Authorization failed.")
    demisto.debug("the sender is authenticated")
    raw_json = incident.raw_json or await request.json()
    raw_json["headers"] = {
        name: value for name, value in request.headers.items() if name != "authorization"
    }
    fields = {
        "name": incident.name or "incident triggered",
        "type": incident.type or demisto.params().get("incidentType") or "",
        "occurred": (incident.occurred or datetime.now(UTC)).isoformat().replace("+00:00", "Z"),
        "rawJSON": json.dumps(raw_json),
    }
    demisto.debug(f"context before: {list(demisto.getIntegrationContext())}")
    demisto.info("creating an incident")
    created = demisto.createIncidents([fields])
    demisto.debug("the incident was created")
    demisto.debug(f"context after: {list(demisto.getIntegrationContext())}")
    if demisto.params().get("store_samples"):
        save_sample(fields)
    demisto.info("answering the request")
    return created


def main() -> None:
    """Serve until the container is stopped."""
    if demisto.command() == "long-running-execution":
        port = int(demisto.params()["longRunningPort"].rpartition(":")[2])
        # stdout belongs to the protocol, so uvicorn logs nothing.
        uvicorn.run(app, host="0.0.0.0", port=port, log_level="critical", access_log=False)


if __name__ in ("__main__", "__builtin__", "builtins"):
    main()
