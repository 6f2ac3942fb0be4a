"""Requests that are proved step by step, for the unit tests of schemes and credentials."""

import importlib

import WebhookSecurityApiModule as security

# the integration's own table; mypy knows its file by another name
SCHEMES: security.Schemes = importlib.import_module("GenericWebhook").make_schemes(use_proxy=False)


def read_credentials(username: str, password: str) -> security.Credentials:
    """Return the credentials of the parameters Username and Password; raises CredentialError."""
    return security.Credentials(security.read_credentials(username, password, SCHEMES), SCHEMES)


class Prover:
    """An instance's credentials, asked as the integration asks them."""

    def __init__(self, username: str, password: str) -> None:
        self.credentials = read_credentials(username, password)

    def verify_headers(
        self, headers: dict[str, str], query: str = "", repeated: frozenset[str] = frozenset()
    ) -> security.Proof:
        """Return what a head proves; raises ProofError where that is nothing."""
        proof = self.credentials.verify_head("/", headers, query, repeated)
        if proof.refusal is not None:
            raise proof.refusal
        return proof

    def verify_body(self, headers: dict[str, str], body: bytes, query: str = "") -> None:
        """Raise ProofError unless head and body together prove the sender."""
        proof = self.verify_headers(headers, query)
        if proof.pending:
            self.credentials.verify_body(proof, body)

    def event_id(self, headers: dict[str, str]) -> str | None:
        """Return the scheme's ID of a delivery."""
        [row, *_] = self.credentials.rows or [None]
        return self.credentials.event_id(row, headers) if row is not None else None
