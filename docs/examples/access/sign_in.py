"""Sign a person in, and print their access token.

    python3 sign_in.py BASE CLIENT SCOPE [CODE [NAME=VALUE ...]]

It opens the browser, where the person types the code that the operator gave them and presses
"Cho phép". Where there is no browser, the code is given here, and sent as the browser would,
with what else stands on the page: purpose=BTG patient=bn-017 reason="Hôn mê, ...".
The application is registered with `--redirect http://127.0.0.1:8910/`.
"""

import base64
import hashlib
import json
import secrets
import sys
import urllib.error
import urllib.request
import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

base, client, scope, *code = sys.argv[1:]
said = dict(each.split("=", 1) for each in code[1:])
REDIRECT = "http://127.0.0.1:8910/"
verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
digest = hashlib.sha256(verifier.encode()).digest()
asked = {
    "response_type": "code",
    "client_id": client,
    "redirect_uri": REDIRECT,
    "scope": scope,
    "state": state,
    "aud": base,
    "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
    "code_challenge_method": "S256",
}


class Led(BaseHTTPRequestHandler):
    """Where the person is led back to."""

    def do_GET(self):
        self.server.led = self.path
        self.send_response(200)
        self.end_headers()
        self.wfile.write("Xong. Đóng trang này được rồi. / Done.".encode())

    def log_message(self, *told):
        """Says nothing."""


def by_browser():
    with HTTPServer(("127.0.0.1", urlsplit(REDIRECT).port), Led) as server:
        webbrowser.open(f"{base}/oauth/authorize?{urlencode(asked)}")
        server.handle_request()
        return server.led


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *told):
        """Says where it leads, and does not go there."""


def by_code():
    form = urlencode(asked | said | {"login": code[0], "answer": "yes"}).encode()
    try:
        urllib.request.build_opener(Stay).open(f"{base}/oauth/authorize", form)
    except urllib.error.HTTPError as led:
        return led.headers["location"] or sys.exit(f"{led.code}: the code is not accepted.")


led = by_code() if code else by_browser()
back = {name: value[0] for name, value in parse_qs(urlsplit(led).query).items()}
if back.get("state") != state or "code" not in back:
    sys.exit(f"No leave was given: {back.get('error')}")
form = {
    "grant_type": "authorization_code",
    "code": back["code"],
    "redirect_uri": REDIRECT,
    "client_id": client,
    "code_verifier": verifier,
}
answer = urllib.request.urlopen(f"{base}/oauth/token", urlencode(form).encode())
print(json.load(answer)["access_token"])
