"""What locust sends where there is no wrk; the environment holds METHOD, TARGET (a path), AUTHORIZATION and BODY (a file, or
empty)."""

import os
from pathlib import Path

from locust import FastHttpUser, task

METHOD, TARGET = os.environ["METHOD"], os.environ["TARGET"]
HEADERS = {"Authorization": os.environ["AUTHORIZATION"], "Content-Type": "application/json"}
BODY = Path(os.environ["BODY"]).read_bytes() if os.environ.get("BODY") else None


class Sender(FastHttpUser):
    """One connection that sends again as soon as it is answered."""

    @task
    def send(self) -> None:
        """Send one request."""
        self.client.request(METHOD, TARGET, data=BODY, headers=HEADERS)
