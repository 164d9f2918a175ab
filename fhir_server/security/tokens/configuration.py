"""configuration — what a client finds at `.well-known/smart-configuration`.

https://hl7.org/fhir/R4/security.html#authentication

SMART 2.2, conformance. code_challenge_methods_supported is required of every server, also of one
that knows Backend Services alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.security.tokens.keys import ASSERTION

AUTHORIZE, TOKEN, INTROSPECT, REVOKE = "authorize", "token", "introspect", "revoke"
CAPABILITIES = (
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-asymmetric",
    "context-standalone-patient",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)
SCOPES = tuple(
    f"{context}/*.{letters}"
    for context in ("system", "user", "patient")
    for letters in ("rs", "cruds", "read", "write", "*")
)


def configuration(base: str) -> Mapping[str, Any]:
    """The document of a server whose base URL this is."""
    return {
        "authorization_endpoint": f"{base}/oauth/{AUTHORIZE}",
        "token_endpoint": f"{base}/oauth/{TOKEN}",
        "introspection_endpoint": f"{base}/oauth/{INTROSPECT}",
        "revocation_endpoint": f"{base}/oauth/{REVOKE}",
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(ASSERTION),
        "grant_types_supported": ["client_credentials", "authorization_code"],
        "response_types_supported": ["code"],
        "scopes_supported": list(SCOPES),
        "code_challenge_methods_supported": ["S256"],
        "capabilities": list(CAPABILITIES),
    }
