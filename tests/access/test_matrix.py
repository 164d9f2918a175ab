"""The leak matrix: every path, asked by every kind of caller of one facility, over two worlds.

https://hl7.org/fhir/R4/security.html

For each cell: no byte of the other's is in the answer, and the answer is the same, byte for byte,
whether the other has nothing, something, or more and other things.
"""

from __future__ import annotations

import json
import re
from contextlib import ExitStack

import pytest

from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from fhir_server.store.migrate import migrate
from tests import postgresql
from tests.access.worlds import (
    CALLERS,
    IDS,
    MARKS,
    MINE,
    NAME,
    NOBODY,
    NUMBER,
    ORGANIZATIONS,
    WHOLE_PROVINCE,
    WORD,
    WORLDS,
    Doors,
    measured,
    person,
)
from tests.conftest import DATABASES, Database
from tests.interaction.conftest import server_on
from tests.rest.client import Client
from tests.rest.conftest import Lines

KINDS = (*CALLERS, NOBODY)
NEVER = "1-aaaaaaaaaaaaaaaaaaaaaaaaaa"  # nobody's version
AT = [("Patient", "p"), ("Encounter", "e"), ("Observation", "o"), ("List", "l")]
BOTH = ("hue", "hanoi")

SEARCHES = [
    "Patient?", "Encounter?", "Observation?", "List?", "?_type=Patient,Observation",
    "?_lastUpdated=gt2020", "Patient?_id=hanoi.p", "Patient?_id=hanoi.p,hue.p",
    f"Patient?name={NAME}", f"Patient?name:contains={NAME[1:5]}", f"Patient?identifier={NUMBER}",
    f"Patient?identifier=urn:x|{NUMBER}", "Patient?birthdate=1990-02-03", "Patient?gender=male",
    "Patient?gender:not=female", "Patient?organization=Organization/hanoi",
    "Patient?organization:missing=true", "Patient?_tag=http://marks.example/tags|watched",
    "Patient?_tag:not=watched", "Patient?_list=hanoi.l", "Patient?_list=hue.l",
    "Observation?_list=hanoi.l,hue.l", "Observation?value-quantity=gt1",
    "Observation?code-value-quantity=1-1$gt1", f"Observation?code:text={WORD}",
    # totals
    "Patient?_summary=count", "Observation?_summary=count", "Patient?_total=accurate&_count=1",
    "Patient?_total=estimate&_count=1", "Observation?_count=0", "?_type=Patient&_summary=count",
    # chains
    f"Encounter?subject:Patient.name={NAME}", "Encounter?part-of.status=finished",
    f"Encounter?part-of.subject:Patient.name={NAME}", "Encounter?part-of=Encounter/hanoi.e",
    "Encounter?part-of:missing=true", "Encounter?part-of:below=hue.e",
    "Observation?encounter.status=finished", "Observation?has-member:Observation.code=1-1",
    f"Observation?performer:Patient.name={NAME}", f"Patient?link:Patient.name={NAME}",
    "Encounter?service-provider.name=hanoi", f"Patient?_filter=name co {NAME}",
    # chains the other way
    "Patient?_has:Observation:performer:code=1-1", "Patient?_has:Observation:patient:code=1-1",
    "Patient?_has:Observation:performer:value-quantity=9", "Patient?_has:List:item:status=current",
    "Encounter?_has:Encounter:part-of:status=finished",
    "Encounter?_has:Observation:encounter:code=1-1",
    "Observation?_has:Observation:has-member:_id=hanoi.o",
    # what comes with it
    "Encounter?_include=Encounter:*", "Encounter?_include=Encounter:part-of",
    "Encounter?_include:iterate=Encounter:*", "Patient?_include=Patient:link",
    "Patient?_revinclude=Encounter:subject&_revinclude=Observation:*",
    "Patient?_revinclude=Observation:performer", "Observation?_include=Observation:has-member",
    "Observation?_include=Observation:encounter&_include:iterate=Encounter:part-of",
    "Encounter?_revinclude:iterate=Encounter:part-of&_revinclude:iterate=Observation:encounter",
    "List?_include=List:item", "Observation?_revinclude=List:item",
    # orders
    "Patient?_sort=family", "Patient?_sort=-family&_count=1", "Patient?_sort=birthdate,gender",
    "Observation?_sort=value-quantity", "Observation?_sort=-date&_count=1",
    "Encounter?_sort=part-of", "Encounter?_sort=-_lastUpdated", "Patient?_sort=_id",
    # compartments
    *(f"Patient/{where}.p/{type}" for where in BOTH for type in ("*", "Encounter", "Observation")),
    "Encounter/hanoi.e/Observation", "Encounter/hue.e/Observation",
    "Patient/hanoi.p/Observation?_summary=count",
    # histories
    "_history", "_history?_count=2", "Patient/_history", "Observation/_history?_count=1",
    "Patient/_history?_summary=count", "Encounter/_history",
    # operations and what the server is asked
    "Patient/hanoi.p/$validate", "Patient/hue.p/$validate", f"Patient/$explain?name={NAME}",
    "Observation/$explain?value-quantity=gt1", "$reindex-status", "Patient/hanoi.p/$who-viewed",
    "Patient/hue.p/$who-viewed", "metadata", "Patient?_cursor=AAAA", "nowhere", "AuditEvent?",
]  # fmt: skip


def _entries(type, where):
    told = [
        ("GET", f"Patient/{where}.p", None),
        ("GET", f"Patient?name={NAME}", None),
        ("GET", "Observation?_summary=count", None),
        ("DELETE", f"Observation/{where}.o", None),
        ("PUT", f"Patient/{where}.p", person(where, "p", "Ours", "1")),
        ("POST", "Observation", measured(where, "x", "p", "liver")),
    ]
    told = told if type == "batch" else told[:1]
    return {
        "resourceType": "Bundle", "type": type,
        "entry": [
            {"request": {"method": method, "url": url}, **({"resource": body} if body else {})}
            for method, url, body in told
        ],
    }  # fmt: skip


def questions():
    """name, method, path, body, headers."""
    for path in SEARCHES:
        yield "GET", path, None, {}
    for where in BOTH:
        for type, id in AT:
            one = f"{type}/{where}.{id}"
            yield "GET", one, None, {}
            yield "HEAD", one, None, {}
            yield "GET", f"{one}/_history", None, {}
            yield "GET", f"{one}/_history/{NEVER}", None, {}
            yield "GET", one, None, {"If-None-Match": "*"}
        yield "GET", f"Patient/{where}.p?_elements=name", None, {}
    for form in (b"name=" + NAME.encode(), b"_id=hanoi.p", b"_summary=count"):
        yield "POST", "Patient/_search", form, {"Content-Type": "application/x-www-form-urlencoded"}
    yield from _writes()


def _writes():
    there = person("hanoi", "p", "Ours", "1")
    new = {name: told for name, told in there.items() if name != "id"}
    match = f'W/"{NEVER}"'
    steps = [{"op": "test", "path": "/gender", "value": "male"},
             {"op": "replace", "path": "/gender", "value": "female"}]  # fmt: skip
    patching = {"Content-Type": "application/json-patch+json"}
    for type, id in AT[:3]:
        one = f"{type}/hanoi.{id}"
        body = there if type == "Patient" else {"resourceType": type, "id": f"hanoi.{id}"}
        yield "PUT", one, body, {}
        yield "PUT", one, body, {"If-Match": match}
        yield "PUT", one, body, {"If-None-Match": "*"}
        yield "PATCH", one, steps, patching
        yield "PATCH", one, steps, patching | {"If-Match": match}
        yield "DELETE", one, None, {}
        yield "DELETE", one, None, {"If-Match": match}
    mine = person("hue", "q", "Ours", "2")
    yield "POST", "Patient", new, {"If-None-Exist": f"identifier={NUMBER}"}
    yield "POST", "Patient", new, {"If-None-Exist": "_id=hanoi.p"}
    yield "PUT", f"Patient?identifier={NUMBER}1", new, {}
    yield "PUT", "Patient?_id=hanoi.p", new, {}
    yield "PATCH", f"Patient?identifier={NUMBER}", steps, patching
    yield "DELETE", f"Patient?identifier={NUMBER}", None, {}
    yield "DELETE", "Observation?performer=Patient/hue.p&_id=hanoi.o", None, {}
    yield "PUT", "Patient/hue.q", mine, {}
    yield "PUT", "Patient/hue.q", mine, {"If-Match": match}
    yield "POST", "Observation", measured("hanoi", "x", "p", "liver"), {"Idempotency-Key": "one"}
    yield "POST", "Patient/$validate", mine, {}
    yield "POST", "$reindex", None, {}
    for type in ("batch", "transaction"):
        for where in BOTH:
            yield "POST", "", _entries(type, where), {"Idempotency-Key": f"{type}-{where}"}


QUESTIONS = list(questions())
OURS = json.dumps(MINE)
# Cells that are no part of the matrix, each with its reason.
LEFT_OUT = {
    ("citizen", "Patient/hue.p/$who-viewed"): "An AuditEvent's id tells its number in the chain, "
    "so how much the server was asked in all; nothing of what was asked.",
}
CELLS = 1061  # asked on each database; docs/security.md tells the number


@pytest.fixture(params=DATABASES)
def three(request, run, clock, tmp_path):
    """For each world of the other, a client of a server on a database of its own."""
    with ExitStack() as stack:
        found = {}
        for name, world in WORLDS.items():
            if request.param == "sqlite":
                url = f"sqlite:///{tmp_path}/{name}.db"
                migrate(url)
            else:
                request.getfixturevalue("postgresql_url")
                url = stack.enter_context(postgresql.database())
            store = Database(request.param, url).store(clock=clock)
            run(store.open())
            stack.callback(lambda store=store: run(store.close()))
            server = server_on(store, gate=Doors(clock), audit=True)
            found[name] = Client(create_app(server, Options(), write_log=Lines()))
            run(filled(found[name], world))
        yield found


async def filled(client, world):
    for who, resources in (("all", ORGANIZATIONS), ("hue", MINE), ("hanoi", world)):
        for one in resources:
            headers = {"Authorization": f"Bearer {who}"}
            url = f"/fhir/{one['resourceType']}/{one['id']}"
            answer = await client.put(url, one, headers=headers)
            assert answer.status in (200, 201), (url, answer.body)


PASSING = ("date", "x-request-id")
# The server's own random or passing words: of versions, cursors, moments, requests.
RANDOM = [
    (re.compile(r"_cursor=[\w%.~-]+"), "_cursor="),
    (re.compile(r"(\d+)-[a-z2-7]{26}"), r"\1-v"),
    (re.compile(r"20(?!27-01-15T08)\d\d-\d\d-\d\dT[\d:.]+Z"), "now"),
    (re.compile(r'"milliseconds","valueDecimal":[\d.e-]+'), '"milliseconds"'),
    (re.compile(r"\bn\d+\b"), "new"),  # ids the server gives: random, but for the tests' own
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "uuid"),
]


def still(answer):
    """The whole answer, without what no two answers share."""
    passing = (*PASSING, "content-length") if b'"milliseconds"' in answer.body else PASSING
    heads = sorted((name, value) for name, value in answer.headers.items() if name not in passing)
    text = json.dumps([answer.status, heads, answer.body.decode()], ensure_ascii=False)
    text = text.replace('\\"', '"')
    for pattern, instead in RANDOM:
        text = pattern.sub(instead, text)
    return text


def differing(told):
    """Where two answers part."""
    one, other = next(each for each in ((told[0], other) for other in told) if each[0] != each[1])
    at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    return one[max(0, at - 80) : at + 80], other[max(0, at - 80) : at + 80]


def leaked(text, asked):
    """Marks in the answer that neither the question nor what is ours names itself."""
    words = (*MARKS, *set(re.findall(re.escape(IDS) + r"\w+", text)))
    return [word for word in words if word in text.lower() and word not in asked + OURS]


def deidentified(found):
    """An analyst sees records of everybody: ids of records, never whose they are."""
    return [word for word in found if not word.startswith(IDS)]


async def test_nothing_of_another_is_told_and_nothing_of_it_changes_an_answer(three):
    cells, leaks, changed = 0, [], []
    for kind in KINDS:
        who = {} if kind == NOBODY else {"Authorization": f"Bearer {kind}"}
        for method, path, body, headers in QUESTIONS:
            if (kind, path) in LEFT_OUT:
                continue
            cells += 1
            asked = f"{path} {body} {headers}"
            told = []
            for name, client in three.items():
                url = f"/fhir/{path}".replace(" ", "%20")
                answer = await client.request(method, url, body, headers=who | headers)
                assert answer.status < 500, (kind, method, path, answer.body)
                text = still(answer)
                told.append(text)
                found = leaked(text, asked)
                found = deidentified(found) if kind == WHOLE_PROVINCE else found
                if found:
                    leaks.append((kind, name, method, path, headers, found, text[:1200]))
            if kind != WHOLE_PROVINCE and len(set(told)) > 1:
                changed.append((kind, method, path, headers, told))
    assert not leaks, (len(leaks), leaks[:6])
    assert not changed, [(*cell[:3], differing(cell[4])) for cell in changed]
    assert cells == CELLS, f"The matrix has {cells} cells."
