"""test_narrative — a narrative shows text, and does nothing else.

https://hl7.org/fhir/R4/narrative.html
"""

from __future__ import annotations

import pytest
from structure_cases import DIV, patient

from fhir_server.conformance.definitions import load
from fhir_server.validation.structure import Validator

VALIDATOR = Validator(load())

# within the div                                              and why it is refused
NARRATIVES = [
    ("", "txt-2", "shows nothing"),
    (" \n<p> </p>", "txt-2", "shows nothing"),
    ("<script>alert(1)</script>", "txt-1", "`<script>`"),
    ("x<SCRIPT/>", "txt-1", "`<SCRIPT>`"),
    ("<p onclick='x()'>x</p>", "txt-1", "`onclick`"),
    ("<iframe src='https://x'/>x", "txt-1", "`<iframe>`"),
    ("<form>x</form>", "txt-1", "`<form>`"),
    ("<style>p{}</style>x", "txt-1", "`<style>`"),
    ("<a href='javascript:alert(1)'>x</a>", "txt-1", "`href`"),
    ("<a href=' java&#10;script:alert(1)'>x</a>", "txt-1", "`javascript:alert(1)`"),
    ("<a href='JavaScript&#58;x'>x</a>", "txt-1", "`href`"),
    ("<a href='data:text/html,x'>x</a>", "txt-1", "`href`"),
    ("<img src='data:text/html;base64,AAAA'/>", "txt-1", "`src`"),
    ("<img src='file:///etc/passwd'/>", "txt-1", "`src`"),
    ("<p style='background:url(https://x)'>x</p>", "txt-1", "style"),
    ("<p style='width:expression(x)'>x</p>", "txt-1", "style"),
    ("<p>x", "txt-1", "mismatched tag"),
    ("<p>x<br></p>", "txt-1", "mismatched tag"),
    ("x &nbsp; y", "txt-1", "`&#160;`"),
    ("a < b", "txt-1", "well-formed"),
    ("<?php x?>x", "txt-1", "processing instruction"),
    ("<svg xmlns='http://www.w3.org/2000/svg'/>x", "txt-1", "not in XHTML"),
]


@pytest.mark.parametrize(("inner", "rule", "word"), NARRATIVES)
def test_a_narrative_only_shows(inner, rule, word):
    text = {"status": "generated", "div": DIV % inner}
    issue = VALIDATOR.check(patient(text=text))[0]
    assert (issue.rule, issue.expression) == (rule, "Patient.text.div")
    assert word in issue.diagnostics


# the whole div
DIVISIONS = [
    ("<p xmlns='http://www.w3.org/1999/xhtml'>x</p>", "one `<div>`"),
    ("<div>x</div>", "xmlns"),
    ("<div xmlns='urn:x'>x</div>", "not in XHTML"),
    ("x", "not XHTML"),
    ((DIV % "x") * 2, "not XHTML"),
    ("<!DOCTYPE div>" + DIV % "x", "DOCTYPE"),
    ("<!DOCTYPE div [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>" + DIV % "&e;", "DOCTYPE"),
    ("<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]>" + DIV % "&b;", "DOCTYPE"),
    ("<?xml version='1.0'?>" + DIV % "x", "declaration"),
]


@pytest.mark.parametrize(("div", "word"), DIVISIONS)
def test_a_narrative_is_one_xhtml_div(div, word):
    issues = VALIDATOR.check(patient(text={"status": "generated", "div": div}))
    assert word in " ".join(issue.diagnostics for issue in issues)


SHOWN = [
    "x",
    "a &amp; b &lt; c &#160; &#x1F600;",
    "<table border='1'><tr><td style='color:red' colspan='2'>x</td></tr></table>",
    "<a href='https://x.vn'>x</a><a href='#y'>y</a><a href='Patient/1'>z</a><a name='y'>w</a>",
    "<img src='data:image/png;base64,AAAA' alt=''/>",
    "<p xml:lang='vi' lang='vi'>x</p><!-- a remark -->",
    "<![CDATA[x]]>",
]


@pytest.mark.parametrize("inner", SHOWN)
def test_a_narrative_may_use_plain_html(inner):
    assert VALIDATOR.check(patient(text={"status": "generated", "div": DIV % inner})) == []
