"""consent — the page on which a person gives an application leave, or does not.

https://hl7.org/fhir/R4/security.html#authentication

It needs no script, stands in no frame, and keeps nothing in the browser: who gives leave shows who
they are in the same form, by a code that is good once.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fhir_server.rest import reply
from fhir_server.rest.reply import RawHeaders, Reply
from fhir_server.rest.request import Request
from fhir_server.security.tokens.launching import Launch, Returned, Stray
from fhir_server.security.tokens.oauth import OAuthError

if TYPE_CHECKING:
    from fhir_server.security.tokens.authority import Authority

OWN = ("login", "answer")  # fields of the page; the others are the application's
PAGE = """<!doctype html><html lang="vi"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>FHIR</title>
<style>body{{font:1rem sans-serif;max-width:36rem;margin:2rem auto;padding:0 1rem}}
input,button{{font:inherit;padding:.5rem;margin:.25rem 0}}</style>
<h1>{name}</h1>{said}
<p>Ứng dụng này xin quyền / This application asks for:</p><ul>{scopes}</ul>
<form method="post" action="authorize">{fields}
{who}
<button name="answer" value="yes">Cho phép / Allow</button>
<button name="answer" value="no">Từ chối / Deny</button></form></html>"""
CODE = """<p><label>Mã của bạn / Your code<br><input name="login" size="34" autocomplete="off"
autocapitalize="characters"></label></p>"""
KNOWN = """<p>Bạn là / You are: <strong>{user}</strong><br>
Bệnh nhân / Patient: <strong>{patient}</strong></p>"""
SORRY = """<!doctype html><html lang="vi"><meta charset="utf-8"><title>FHIR</title>
<p>{said}</p></html>"""


async def answered(authority: Authority, request: Request, pairs: list[tuple[str, str]]) -> Reply:
    """The page, or where the person's browser goes next."""
    own = dict(pair for pair in pairs if pair[0] in OWN)
    theirs = [pair for pair in pairs if pair[0] not in OWN]
    try:
        launch = await authority.launch(theirs, request.base)
        if request.method != "POST" or "answer" not in own:
            return _page(request, launch, theirs)
        if own["answer"] != "yes":
            return _away(request, launch.back(error="access_denied"))
        try:
            return _away(request, await authority.allow(launch, own.get("login", "")))
        except OAuthError as error:
            return _page(request, launch, theirs, error)
    except Returned as returned:
        return _away(request, returned.url)
    except Stray as stray:
        return _html(request, 400, SORRY.format(said=escape(str(stray))), "")


def _away(request: Request, url: str) -> Reply:
    told = [(b"location", url.encode()), (b"referrer-policy", b"no-referrer")]
    return Reply(302, [*reply.basic(request), *told, (b"content-length", b"0")])


def _page(
    request: Request,
    launch: Launch,
    pairs: list[tuple[str, str]],
    error: OAuthError | None = None,
) -> Reply:
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in pairs
    )
    page = PAGE.format(
        name=escape(launch.whose.name or launch.whose.id),
        said=f"<p><strong>{escape(error.sentence)}</strong></p>" if error else "",
        scopes="".join(f"<li>{escape(word)}</li>" for word in launch.scope.split(" ")),
        fields=fields,
        who=KNOWN.format(**{name: escape(str(told)) for name, told in launch.opened.items()})
        if launch.opened
        else CODE,
    )
    parts = urlsplit(launch.redirect)
    return _html(request, error.status if error else 200, page, f" {parts.scheme}://{parts.netloc}")


def _html(request: Request, status: int, page: str, back: str) -> Reply:
    body = page.encode()
    # What a form leads on to counts as its action: the application's address is one, too.
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none';"
        f" form-action 'self'{back}"
    )
    told: RawHeaders = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode()),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-length", b"%d" % len(body)),
    ]
    return Reply(status, [*reply.basic(request), *told], body)
