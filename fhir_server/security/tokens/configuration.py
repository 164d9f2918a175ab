"""configuration — what a client finds at `.well-known/smart-configuration`.

https://hl7.org/fhir/R4/security.html#authentication

SMART 2.2, conformance; OpenID Connect Discovery 1.0, section 3. code_challenge_methods_supported
is required of every server, also of one that knows Backend Services alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.security.tokens.identity import ALGORITHM
from fhir_server.security.tokens.keys import ASSERTION

AUTHORIZE, TOKEN, INTROSPECT, REVOKE, KEYS = "authorize", "token", "introspect", "revoke", "keys"
GRANTS = ("client_credentials", "authorization_code", "refresh_token")
PERMISSIONS = (
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)
CAPABILITIES = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "permission-offline",
    "permission-online",
    *PERMISSIONS,
)
BESIDE = (
    "openid",
    "fhirUser",
    "launch",
    "launch/patient",
    "launch/encounter",
    "offline_access",
    "online_access",
)
SCOPES = tuple(
    f"{context}/*.{letters}"
    for context in ("system", "user", "patient")
    for letters in ("rs", "cruds", "read", "write", "*")
)
# What an outside provider's ways to prove a client are called as capabilities.
CLIENTS = {
    "none": "client-public",
    "client_secret_basic": "client-confidential-symmetric",
    "client_secret_post": "client-confidential-symmetric",
    "private_key_jwt": "client-confidential-asymmetric",
}


def configuration(base: str) -> Mapping[str, Any]:
    """The document of a server whose base URL this is."""
    return {
        "issuer": base,
        "jwks_uri": f"{base}/oauth/{KEYS}",
        "authorization_endpoint": f"{base}/oauth/{AUTHORIZE}",
        "token_endpoint": f"{base}/oauth/{TOKEN}",
        "introspection_endpoint": f"{base}/oauth/{INTROSPECT}",
        "revocation_endpoint": f"{base}/oauth/{REVOKE}",
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(ASSERTION),
        "grant_types_supported": list(GRANTS),
        "response_types_supported": ["code"],
        "scopes_supported": [*BESIDE, *SCOPES],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,  # RFC 9207
        "capabilities": list(CAPABILITIES),
    }


def openid(base: str) -> Mapping[str, Any]:
    """What OpenID Connect asks for of the same."""
    told = {name: value for name, value in configuration(base).items() if name != "capabilities"}
    methods = ["private_key_jwt", "none"]
    return told | {
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "response_modes_supported": ["query"],
        "token_endpoint_auth_methods_supported": methods,
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "fhirUser"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


def outside_of(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document where an outside provider gives the tokens. told: its own configuration."""
    methods = told.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    capabilities = ["launch-standalone", "sso-openid-connect", *PERMISSIONS]
    capabilities += [CLIENTS[each] for each in methods if each in CLIENTS]
    if "refresh_token" in told.get("grant_types_supported", []):
        capabilities.append("permission-offline")
    challenges = told.get("code_challenge_methods_supported", [])
    return {
        "grant_types_supported": ["authorization_code"],
        **told,
        # SMART 2.2: S256 is there, `plain` is not.
        "code_challenge_methods_supported": [each for each in challenges if each == "S256"],
        "capabilities": list(dict.fromkeys(capabilities)),
    }
