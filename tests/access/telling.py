"""telling — what an answer tells, without what no two answers share; and what of it is another's.

https://hl7.org/fhir/R4/security.html
"""

from __future__ import annotations

import gzip
import json
import re

from tests.access.worlds import CALLERS, IDS, MARKS, MINE, SHARED

PASSING = ("date", "x-request-id")
# The server's own random or passing words: of versions, cursors, moments, requests.
RANDOM = [
    (re.compile(r"_cursor=[\w%.~-]+"), "_cursor="),
    (re.compile(r"(\d+)-[a-z2-7]{26}"), r"\1-v"),
    (re.compile(r"20(?!27-01-15T08)\d\d-\d\d-\d\dT[\d:.]+Z"), "now"),
    (re.compile(r'"milliseconds","valueDecimal":[\d.e-]+'), '"milliseconds"'),
    (re.compile(r"\bn\d+\b"), "new"),  # ids the server gives: random, but for the tests' own
    (re.compile(r"\b[0-9a-f]{32}\b"), "entry"),  # the ids of AuditEvents
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "uuid"),
]
OURS = {True: json.dumps([*MINE, *SHARED]), False: json.dumps(MINE)}


def still(answer) -> str:
    """The whole answer, without what no two answers share."""
    passing, body = PASSING, answer.body
    if answer.headers.get("content-encoding") == "gzip":  # random words, packed
        passing, body = (*PASSING, "content-length"), gzip.decompress(body)
    if b'"milliseconds"' in body:
        passing = (*PASSING, "content-length")
    heads = sorted((name, value) for name, value in answer.headers.items() if name not in passing)
    text = json.dumps([answer.status, heads, body.decode()], ensure_ascii=False)
    text = text.replace('\\"', '"')
    for pattern, instead in RANDOM:
        text = pattern.sub(instead, text)
    return text


def differing(told):
    """Where two answers part."""
    one, other = next(each for each in ((told[0], other) for other in told) if each[0] != each[1])
    at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    return one[max(0, at - 80) : at + 160], other[max(0, at - 80) : at + 160]


def leaked(kind, text, asked):
    """Marks in the answer that neither the question nor what is the caller's names itself."""
    ours = OURS[kind in CALLERS and CALLERS[kind].facility == "hue"]
    words = (*MARKS, *set(re.findall(re.escape(IDS) + r"\w+", text)))
    return [word for word in words if word in text.lower() and word not in asked + ours]
