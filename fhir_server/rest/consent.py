"""consent — the page on which a person gives an application leave, or does not.

https://hl7.org/fhir/R4/security.html#authentication

It needs no script, stands in no frame, and keeps nothing in the browser: who gives leave shows who
they are in the same form, by a code that is good once.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from fhir_server.interaction.context import Gate, NotAdmitted
from fhir_server.rest import reply
from fhir_server.rest.reply import RawHeaders, Reply
from fhir_server.rest.request import Request
from fhir_server.security.caller import Caller
from fhir_server.security.purpose import BREAK_GLASS
from fhir_server.security.tokens.launching import Launch, Returned, Stray
from fhir_server.security.tokens.leave import Leave
from fhir_server.security.tokens.oauth import OAuthError

if TYPE_CHECKING:
    from fhir_server.security.tokens.authority import Authority

SAID = ("login", "purpose", "patient", "basis", "reason")
OWN = ("answer", *SAID)  # fields of the page; the others are the application's
PAGE = """<!doctype html><html lang="vi"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>FHIR</title>
<style>body{{font:1rem sans-serif;max-width:36rem;margin:2rem auto;padding:0 1rem}}
input,select,button{{font:inherit;padding:.5rem;margin:.25rem 0;max-width:100%}}</style>
<h1>{name}</h1>{said}
<p>Ứng dụng này xin quyền / This application asks for:</p><ul>{scopes}</ul>
<form method="post" action="authorize">{fields}
{who}{why}
<button name="answer" value="yes">Cho phép / Allow</button>
<button name="answer" value="no">Từ chối / Deny</button></form></html>"""
CODE = """<p><label>Mã của bạn / Your code<br><input name="login" size="34" autocomplete="off"
autocapitalize="characters"></label></p>"""
KNOWN = """<p>Bạn là / You are: <strong>{user}</strong><br>
Bệnh nhân / Patient: <strong>{patient}</strong></p>"""
PURPOSE = """<p><label>Mục đích / Purpose<br><select name="purpose">{options}</select></label></p>
<p><label>Căn cứ, nếu mục đích cần / Basis, where the purpose needs one<br>
<input name="basis" size="34" maxlength="100" value="{basis}"></label></p>"""
GLASS = """<p><label>Lý do mở khẩn cấp / Why the glass is broken<br>
<input name="reason" size="34" maxlength="500" value="{reason}"></label></p>"""
WHOSE = """<p><label>Mã bệnh nhân cần mở khẩn cấp / Id of the patient it is broken for<br>
<input name="patient" size="34" maxlength="64" value="{patient}"></label></p>"""
# What people know the purposes by; the others are told by their codes.
PURPOSES = {
    "TREAT": "Khám chữa bệnh / Treatment",
    "BTG": "Cấp cứu, mở hồ sơ khẩn cấp / Emergency, break the glass",
    "PATADMIN": "Tiếp nhận / Registration",
    "HPAYMT": "Thanh toán / Payment",
    "PATRQT": "Xem hồ sơ của mình / One's own record",
    "PUBHLTH": "Y tế công cộng / Public health",
    "HRESCH": "Nghiên cứu / Research",
}
SORRY = """<!doctype html><html lang="vi"><meta charset="utf-8"><title>FHIR</title>
<p>{said}</p></html>"""


async def answered(
    gate: Gate, authority: Authority, request: Request, pairs: list[tuple[str, str]]
) -> Reply:
    """The page, or where the person's browser goes next."""
    own = dict(pair for pair in pairs if pair[0] in OWN)
    theirs = [pair for pair in pairs if pair[0] not in OWN]
    try:
        launch = await authority.launch(theirs, request.base)
        if request.method != "POST" or "answer" not in own:
            return _page(request, launch, theirs, Leave())
        if own["answer"] != "yes":
            return _away(request, launch.back(error="access_denied"))
        said = Leave(**{name: told for name, told in own.items() if name in SAID})
        refusal = await _given(gate, authority, request, launch, said)
        return _page(request, launch, theirs, said, refusal)
    except Returned as returned:
        return _away(request, returned.url)
    except Stray as stray:
        return _html(request, 400, SORRY.format(said=escape(str(stray))), "")


class _Refusal(NamedTuple):
    status: int
    sentence: str


async def _given(
    gate: Gate, authority: Authority, request: Request, launch: Launch, said: Leave
) -> _Refusal:
    """Why leave was not given. Raises Returned, to where the browser goes with leave."""

    async def admits(caller: Caller) -> None:
        await gate.admitted_again(caller)

    try:
        raise Returned(await authority.allow(launch, said, admits))
    except OAuthError as error:
        return _Refusal(error.status, error.sentence)
    except NotAdmitted as error:
        request.caller = error.caller  # the audit names who tried
        told = f"{error.issues[0].vietnamese or ''} {error}".strip()
        return _Refusal(403, told)


def _away(request: Request, url: str) -> Reply:
    told = [(b"location", url.encode()), (b"referrer-policy", b"no-referrer")]
    return Reply(302, [*reply.basic(request), *told, (b"content-length", b"0")])


def _page(
    request: Request,
    launch: Launch,
    pairs: list[tuple[str, str]],
    said: Leave,
    refusal: _Refusal | None = None,
) -> Reply:
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in pairs
    )
    page = PAGE.format(
        name=escape(launch.whose.name or launch.whose.id),
        said=f"<p><strong>{escape(refusal.sentence)}</strong></p>" if refusal else "",
        scopes="".join(f"<li>{escape(word)}</li>" for word in launch.scope.split(" ")),
        fields=fields,
        who=KNOWN.format(**{name: escape(str(told)) for name, told in launch.opened.items()})
        if launch.opened
        else CODE,
        why=_why(launch, said, asked_again=refusal is not None),
    )
    parts = urlsplit(launch.redirect)
    back = f" {parts.scheme}://{parts.netloc}"
    return _html(request, refusal.status if refusal else 200, page, back)


def _why(launch: Launch, said: Leave, *, asked_again: bool) -> str:
    """For what the application is opened, where that is not plain: it serves several purposes, or
    was just refused, which may have been for want of a basis."""
    codes = launch.whose.purposes
    if not codes or (len(codes) == 1 and not asked_again):
        return ""
    chosen = said.purpose if said.purpose in codes else codes[0]
    options = "".join(
        f'<option value="{code}"{" selected" if code == chosen else ""}>'
        f"{PURPOSES.get(code, code)}</option>"
        for code in codes
    )
    parts = [PURPOSE.format(options=options, basis=escape(said.basis))]
    if BREAK_GLASS in codes:
        parts.append(GLASS.format(reason=escape(said.reason)))
        if "patient" not in launch.opened:
            parts.append(WHOSE.format(patient=escape(said.patient)))
    return "".join(parts)


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
