"""Get an access token: python3 get_token.py BASE CLIENT NAME SCOPE [user=Practitioner/1 ...]

NAME.pem and NAME.jwks.json are what `fhir-server client key NAME` made. It needs joserfc.
"""

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

from joserfc import jwk, jwt

base, client, name, scope, *context = sys.argv[1:]
kid = json.loads(Path(f"{name}.jwks.json").read_text())["keys"][0]["kid"]
key = jwk.import_key(Path(f"{name}.pem").read_bytes(), "EC")

claims = {"iss": client, "sub": client, "aud": f"{base}/oauth/token"}
claims |= {"jti": str(uuid.uuid4()), "exp": int(time.time()) + 240}  # once, five minutes at most
if context:
    claims["fhir_context"] = dict(each.split("=", 1) for each in context)
head = {"alg": "ES384", "kid": kid, "typ": "JWT"}
form = {
    "grant_type": "client_credentials",
    "scope": scope,
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "client_assertion": jwt.encode(head, claims, key, algorithms=["ES384"]),
}
try:
    answer = urllib.request.urlopen(claims["aud"], urllib.parse.urlencode(form).encode())
except urllib.error.HTTPError as refusal:
    sys.exit(refusal.read().decode())
print(json.load(answer)["access_token"])
