"""Bad input: never a 5xx, never unbounded memory, always an OperationOutcome.

https://hl7.org/fhir/R4/http.html#Status-Codes
"""

from __future__ import annotations

import gzip

import pytest

from tests.rest.client import on_one_database

FHIR = {"Content-Type": "application/fhir+json"}
XML = {"Content-Type": "application/fhir+xml"}
NS = 'xmlns="http://hl7.org/fhir"'
DEEP = 100_000
MI = 1024 * 1024


def patient(inside: bytes) -> bytes:
    return b'{"resourceType":"Patient",' + inside + b"}"


def xml(inside: str, before: str = "") -> bytes:
    return f"{before}<Patient {NS}>{inside}</Patient>".encode()


EXTENSION = b'{"url":"http://a","extension":['
BILLION = (
    '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)
EXTERNAL = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>'

#  what                        body                                                    headers
BODIES = [
    ("not json", b"hello", FHIR),
    ("cut off", b'{"resourceType":"Patient","name":[', FHIR),
    ("an array", b"[]", FHIR),
    ("a number", b"1", FHIR),
    ("null", b"null", FHIR),
    ("no type", b"{}", FHIR),
    ("type null", b'{"resourceType":null}', FHIR),
    ("type an object", b'{"resourceType":{}}', FHIR),
    ("type abstract", b'{"resourceType":"DomainResource"}', FHIR),
    ("type of another", b'{"resourceType":"Group"}', FHIR),
    ("type unknown", b'{"resourceType":"Shoe"}', FHIR),
    ("two roots", b'{"resourceType":"Patient"}{"resourceType":"Patient"}', FHIR),
    ("name twice", patient(b'"active":true,"active":false'), FHIR),
    ("type twice", b'{"resourceType":"Patient","resourceType":"Group"}', FHIR),
    ("NaN", patient(b'"multipleBirthInteger":NaN'), FHIR),
    ("infinity", patient(b'"multipleBirthInteger":-Infinity'), FHIR),
    ("huge exponent", patient(b'"multipleBirthInteger":1e999999999'), FHIR),
    ("huge integer", patient(b'"multipleBirthInteger":' + b"9" * 5000), FHIR),
    ("leading zero", patient(b'"multipleBirthInteger":01'), FHIR),
    ("comment", patient(b'/* no */"active":true'), FHIR),
    ("trailing comma", patient(b'"active":true,'), FHIR),
    ("lone surrogate", patient(rb'"name":[{"family":"\ud800"}]'), FHIR),
    ("lone surrogate as a name", patient(rb'"\udc00":1'), FHIR),
    ("surrogate in utf-8", patient(b'"name":[{"family":"\xed\xa0\x80"}]'), FHIR),
    ("NUL escaped", patient(rb'"name":[{"family":"\u0000"}]'), FHIR),
    ("NUL", patient(b'"name":[{"family":"\0"}]'), FHIR),
    ("latin-1", patient('"name":[{"family":"é"}]'.encode("latin-1")), FHIR),
    ("utf-16", '{"resourceType":"Patient"}'.encode("utf-16"), FHIR),
    ("BOM alone", b"\xef\xbb\xbf", FHIR),
    ("two BOMs", b"\xef\xbb\xbf" * 2 + patient(b'"active":true'), FHIR),
    ("deep arrays", b"[" * DEEP, FHIR),
    ("deep objects", b'{"a":' * DEEP + b"1" + b"}" * DEEP, FHIR),
    ("deep extensions", patient(b'"extension":[' + EXTENSION * 300 + b"]}" * 300 + b"]"), FHIR),
    ("deep in a string's guise", patient(b'"a":"' + b"[" * DEEP), FHIR),
    ("null", patient(b'"active":null'), FHIR),
    ("null in an array", patient(b'"name":[null]'), FHIR),
    ("empty array", patient(b'"name":[]'), FHIR),
    ("empty object", patient(b'"maritalStatus":{}'), FHIR),
    ("empty string", patient(b'"gender":""'), FHIR),
    ("array for one", patient(b'"active":[true]'), FHIR),
    ("one for array", patient(b'"name":{"family":"A"}'), FHIR),
    ("string for object", patient(b'"name":["A"]'), FHIR),
    ("unknown element", patient(b'"shoe":1'), FHIR),
    ("two choices", patient(b'"deceasedBoolean":true,"deceasedDateTime":"2020"'), FHIR),
    ("no such date", patient(b'"birthDate":"2023-02-30"'), FHIR),
    ("a script", patient(b'"text":{"status":"generated","div":"<div><script/></div>"}'), FHIR),
    ("meta a string", patient(b'"meta":"x"'), FHIR),
    ("id an object", patient(b'"id":{}'), FHIR),
    ("many errors", patient(b",".join(b'"e%d":1' % n for n in range(5000))), FHIR),
    ("proto", patient(b'"__proto__":{},"constructor":1'), FHIR),
    ("xml: not", b"hello", XML),
    ("xml: cut off", xml("")[:-5], XML),
    ("xml: other namespace", b'<Patient xmlns="urn:x"/>', XML),
    ("xml: no namespace", b"<Patient/>", XML),
    ("xml: unknown element", xml('<shoe value="1"/>'), XML),
    ("xml: entities", xml('<gender value="&c;"/>', BILLION), XML),
    ("xml: external entity", xml('<gender value="&a;"/>', EXTERNAL), XML),
    ("xml: DTD", xml("", '<!DOCTYPE a SYSTEM "http://a.example/a.dtd">'), XML),
    ("xml: deep", b"<a>" * DEEP, XML),
    ("xml: deep extensions", xml('<extension url="a">' * 500 + "</extension>" * 500), XML),
    (
        "xml: many attributes",
        xml("<active " + " ".join(f'a{n}="1"' for n in range(999)) + "/>"),
        XML,
    ),
    ("xml: other encoding", b'<?xml version="1.0" encoding="utf-7"?><Patient/>', XML),
    ("xml: NUL", xml("\0"), XML),
    ("json said to be xml", patient(b'"active":true'), XML),
    ("xml said to be json", xml('<active value="true"/>'), FHIR),
    ("gzip that is none", patient(b'"active":true'), FHIR | {"Content-Encoding": "gzip"}),
    (
        "gzip cut off",
        gzip.compress(patient(b'"active":true'))[:-6],
        FHIR | {"Content-Encoding": "gzip"},
    ),
    ("no content type", patient(b'"active":true'), {}),
    ("wrong content type", patient(b'"active":true'), {"Content-Type": "text/plain"}),
    ("multipart", b"--x--", {"Content-Type": "multipart/form-data; boundary=x"}),
    ("content type nonsense", patient(b'"active":true'), {"Content-Type": ";;;=,"}),
    ("charset", patient(b'"active":true'), {"Content-Type": "application/json; charset=utf-16"}),
]


@on_one_database
@pytest.mark.parametrize(("what", "body", "headers"), BODIES, ids=[what for what, *_ in BODIES])
async def test_a_bad_body_is_refused_wherever_a_body_is_taken(client, what, body, headers):
    asked = [("POST", "/fhir/Patient"), ("PUT", "/fhir/Patient/a"), ("PUT", "/fhir/Patient?_id=a")]
    asked += [("POST", "/fhir"), ("PATCH", "/fhir/Patient/a"), ("POST", "/fhir/Patient/_search")]
    for method, url in asked:
        told = await client.request(method, url, body, headers=headers)
        assert 400 <= told.status < 500, (method, url, told.status, told.body[:500])
        assert told.issue["diagnostics"]
    assert (await client.get("/fhir/Patient/a")).status == 404


@on_one_database
async def test_a_byte_order_mark_is_forgiven_as_json_allows(client):
    made = await client.post(
        "/fhir/Patient", b"\xef\xbb\xbf" + patient(b'"active":true'), headers=FHIR
    )
    assert made.status == 201


IDS = [
    "a" * 65,
    "..%2F..%2Fetc%2Fpasswd",
    "a%2Fb",
    "%00",
    "a%0Ab",
    "a_b",
    "é",
    "a b",
    "'",
    "%27--",
    "a;b",
]
IDS += ["..", ".%2e", "%F0%9F%92%A9", "%ED%A0%80", "%", "a%"]


@on_one_database
@pytest.mark.parametrize("id", IDS)
async def test_what_is_no_id_names_nothing_and_makes_nothing(client, id):
    told_id = id.replace("%27", "'")
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE"):
        body = {"resourceType": "Patient", "id": told_id} if method == "PUT" else None
        told = await client.request(method, f"/fhir/Patient/{id}", body)
        if id in ("..", ".%2e"):  # two dots are an id by R4's grammar
            assert told.status < 500
            continue
        assert 400 <= told.status < 500, told.body
    for path in ("{}/_history", "a/_history/{}", "{}/Observation"):
        told = await client.get(f"/fhir/Patient/{path.format(id)}")
        assert told.status < 500, told.body


SQL = [
    "' OR 1=1 --",
    "1; DROP TABLE version",
    '"',
    "%' OR '1'='1",
    "\\",
    "' UNION SELECT 1--",
    "$$",
    "?",
]
SQL += [
    "%s",
    ":a",
    "x' AND pg_sleep(9) --",
    "{}",
    "[]",
    "a" * 5000,
    ",",
    "|",
    "|,|",
    "$",
    "\u202e",
    "💩",
]
VALUES = [
    *SQL,
    "",
    "-1",
    "1e999",
    "9" * 400,
    "null",
    "NaN",
    "2020-99-99",
    "0001-01-01",
    "ap",
    "gt",
    "../..",
]
PARAMETERS = ["name", "family:exact", "identifier", "birthdate", "general-practitioner", "active"]
PARAMETERS += [
    "_id",
    "_lastUpdated",
    "_count",
    "_total",
    "_cursor",
    "_summary",
    "_elements",
    "_format",
]
PARAMETERS += [
    "_profile",
    "_tag",
    "_sort",
    "_include",
    "_has:Observation:patient:code",
    "name:shoe",
]
PARAMETERS += [
    "_pretty",
    "organization.name",
    "_text",
    "_filter",
    "_type",
    "shoe",
    "__proto__",
    "' OR 1",
]


def quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


@pytest.mark.parametrize("name", PARAMETERS)
async def test_no_value_of_any_parameter_does_harm(client, name):
    await client.put("/fhir/Patient/a", {"resourceType": "Patient", "id": "a", "active": True})
    for value in VALUES:
        query = f"{quoted(name)}={quoted(value)}"
        for url in (
            f"/fhir/Patient?{query}",
            f"/fhir?{query}",
            f"/fhir/Patient/a/_history?{query}",
        ):
            told = await client.get(url)
            assert told.status < 500, (url, told.body)
        for method in ("PUT", "DELETE"):
            body = {"resourceType": "Patient", "active": False} if method == "PUT" else None
            told = await client.request(method, f"/fhir/Patient?{query}&_id=none", body)
            assert told.status < 500, (method, query, told.body)
        told = await client.form("/fhir/Patient/_search", query.encode())
        assert told.status < 500, (query, told.body)
    assert (await client.get("/fhir/Patient/a")).status == 200


@pytest.mark.parametrize(
    "name", ["_since", "_at", "_count", "_sort", "_cursor", "_summary", "_elements"]
)
async def test_no_value_of_any_parameter_of_history_does_harm(client, name):
    for value in VALUES:
        for path in ("Patient", "Patient/a", ""):
            told = await client.get(
                f"/fhir/{path}/_history?{name}={quoted(value)}".replace("//", "/")
            )
            assert told.status < 500, (path, value, told.body)


HEADERS = ["If-Match", "If-None-Match", "If-Modified-Since", "If-None-Exist", "Prefer", "Accept"]
HEADERS += [
    "Accept-Encoding",
    "Accept-Charset",
    "Accept-Language",
    "Content-Encoding",
    "Idempotency-Key",
]
HEADERS += ["X-Request-Id", "X-Correlation-Id", "X-Forwarded-Host", "Forwarded", "Host", "Origin"]
HEADERS += [
    "X-Security-Context",
    "Content-Length",
    "Content-Type",
    "Range",
    "Expect",
    "Transfer-Encoding",
]


@on_one_database
@pytest.mark.parametrize("name", HEADERS)
async def test_no_value_of_any_header_does_harm(client, name):
    for value in [v for v in VALUES if "\0" not in v]:
        for method, url in (
            ("GET", "/fhir/Patient/a"),
            ("POST", "/fhir/Patient"),
            ("PUT", "/fhir/Patient/a"),
        ):
            body = b'{"resourceType":"Patient","id":"a"}' if method != "GET" else None
            sent = FHIR | {name: value} if body else {name: value}
            told = await client.request(method, url, body, headers=sent)
            assert told.status < 500, (method, value, told.body)
            for _, said in told.raw_headers:
                assert b"\n" not in said
                assert b"\r" not in said


async def test_a_cursor_of_ones_own_making_is_refused(client):
    for number in range(3):
        await client.put(f"/fhir/Patient/{number}", {"resourceType": "Patient", "id": str(number)})
    links = (await client.get("/fhir/Patient?_count=1")).json["link"]
    good = next(link["url"] for link in links if link["relation"] == "next").partition("_cursor=")[
        2
    ]
    wrong = [good[:-1], good + "A", good[::-1], "A" * 40, "", "é", good.swapcase(), "A" * 4000]
    for cursor in wrong:
        told = await client.get(f"/fhir/Patient?_count=1&_cursor={quoted(cursor)}")
        assert (told.status, told.issue["code"]) == (400, "invalid"), (cursor, told.body)
    elsewhere = await client.get(f"/fhir/Patient?_count=1&active=true&_cursor={good}")
    assert elsewhere.status == 400
