"""requests — HTTP requests drawn at random: from nearly right to nonsense.

What is nearly right goes deepest, so most parts are taken from what the server knows, and then
one is spoilt.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

ODD = [
    "'", '"', "';drop table version;--", "' or 1=1 --", "1); select pg_sleep(9)--", "%", "_", "\\",
    "\\,", ",", ",,", "|", "||", "a|b|c", "$", "a$b", "*", "?", "&", "#", "..", "../..", "%2e%2e",
    "\x00", "\x01", "\x7f", "\u0000", "\u202e", "\ufeff", "\ufffe", "\uffff", "\U0010ffff",
    "\u0130", "ı", "ß", "Ǆ", "Ａ", "①", "Đặng Thị Hoà", "Đa\u0323\u0306ng", "\u0301",
    "👩‍👩‍👧", "٣", "१",
    "NaN", "Infinity", "-0", "1e400", "-1e-400", "9" * 400, "0x10", "1_000", "+1", "1.50", "00",
    "ge", "geNaN", "ap0", "sa9999", "eb0001-01-01", "2024-02-30", "2024-13", "24:00", "9999-12-31",
    "0000", "2024-01-01T24:00:00Z", "2024-01-01T10:00:60Z", "2024-01-01T10:00:00+14:01", "lt",
    "Patient/1", "Patient/1/_history/2", "urn:uuid:x", "urn:oid:1.2", "http://a/Patient/1", "#a",
    "Patient?identifier=1", "true", "null", "[]", "{}", "-1", "0", "1", "2147483648",
    "9223372036854775808", "a" * 65, "a" * 5000, " ", "\t", "\r\n", "a\nb", "text", "count",
]  # fmt: skip
TYPES = ["Patient", "Observation", "Encounter", "Binary", "Bundle", "Questionnaire", "ValueSet",
         "Parameters", "OperationOutcome", "DomainResource", "Shoe", "patient"]  # fmt: skip
NAMES = [
    "_id", "_lastUpdated", "_count", "_total", "_summary", "_elements", "_format", "_pretty",
    "_cursor", "_since", "_at", "_sort", "_include", "_revinclude", "_has", "_type", "_text",
    "_content", "_filter", "_list", "_query", "_tag", "_profile", "_security", "_source", "mode",
    "family", "name", "given", "identifier", "birthdate", "gender", "active",
    "general-practitioner", "subject", "patient", "code", "value-quantity", "value-date",
    "date", "status", "url",
    "context", "address", "phone", "deceased", "link", "subject.name",
    "subject:Patient", "_has:Encounter:a:b",
]  # fmt: skip
MODIFIERS = ["", "", "", ":exact", ":contains", ":missing", ":not", ":text", ":in", ":above",
             ":below", ":identifier", ":of-type", ":Patient", ":x", ":", ".name"]  # fmt: skip
MEDIA = ["application/fhir+json", "application/fhir+json", "application/fhir+xml",
         "application/json-patch+json", "application/x-www-form-urlencoded", "text/plain",
         "application/json; charset=latin1", "*/*", ";", "application/octet-stream"]  # fmt: skip
HEADERS = {
    "If-Match": ['W/"1"', "*", "1", 'W/"1-' + "a" * 26 + '"', '"', "", 'W/"a", W/"b"'],
    "If-None-Match": ['W/"1"', "*", "", "x"],
    "If-None-Exist": [
        "identifier=a|b",
        "",
        "?",
        "a=b=c",
        "%",
        "family=x&birthdate=1",
        "Patient?_id=1",
    ],
    "If-Modified-Since": [
        "x",
        "Sat, 29 Oct 1994 19:43:31 GMT",
        "Sat, 99 Oct 1994 19:43:31 GMT",
        "",
    ],
    "Prefer": [
        "return=minimal",
        "return=OperationOutcome",
        "handling=lenient",
        "handling=x",
        ";;=",
    ],
    "Accept": [*MEDIA, "application/fhir+json; fhirVersion=4.0", "a/b;q=x", "text/html"],
    "Accept-Encoding": ["gzip", "zstd", "br", "gzip;q=0", "*", "\u00ff"],
    "Content-Encoding": ["gzip", "zstd", "identity", "br", "gzip, gzip", ""],
    "Content-Length": ["0", "5", "99999999999999999999", "-1", "x"],
    "Accept-Charset": ["utf-8", "latin-1", "*;q=0"],
    "Accept-Language": ["vi", "x" * 100],
    "Idempotency-Key": ["a", "a", "b c", "", "\u00e9", "k" * 256],
    "X-Request-Id": ["1", "\u00e9", "x" * 300],
    "X-Forwarded-Proto": ["https", "javascript"],
    "X-Forwarded-Host": ["a.example", "a b", "a/b"],
    "Forwarded": ["host=a;proto=b", "=;"],
    "Host": ["", "a b", "a:99999", "[::1]", "x" * 300],
    "Origin": ["http://a.example", "null"],
    "Access-Control-Request-Method": ["PUT"],
}

texts = st.one_of(st.sampled_from(ODD), st.text(max_size=20))
ids = st.sampled_from(["1", "a", "x-1", "a" * 64, "1.2", "_x"])
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), texts, st.just([]), st.just({})
)
ELEMENTS = ["id", "meta", "text", "extension", "contained", "name", "identifier", "active",
            "subject", "valueQuantity", "birthDate", "_birthDate", "code", "status", "entry",
            "parameter",
            "resourceType", "modifierExtension", "deceasedBoolean", "deceasedDateTime", "div",
            "url", "value", "valueString", "system", "reference", "type", "request", "resource",
            "method", "fullUrl", "ifNoneExist", "ifMatch", "op", "path", "from", "data",
            "contentType", "item", "linkId", "fhir_comments", ""]  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(ELEMENTS), texts), inner, max_size=4),
    ),
    max_leaves=12,
)
SOUND: list[dict[str, Any]] = [
    {"resourceType": "Patient", "identifier": [{"system": "a", "value": "b"}], "birthDate": "1990",
     "name": [{"family": "Đặng", "given": ["Hoà"]}], "extension": [{"url": "u", "valueCode": "c"}]},
    {"resourceType": "Observation", "status": "final", "code": {"coding": [{"code": "x"}]},
     "subject": {"reference": "Patient/1"},
     "valueQuantity": {"value": 1.5, "code": "kg", "system": "http://unitsofmeasure.org"}},
    {"resourceType": "Binary", "contentType": "text/plain", "data": "YQ=="},
    {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [
        {"name": "type", "valueCode": "replace"}, {"name": "path", "valueString": "Patient.name"},
        {"name": "value", "valueString": "x"}]}]},
    {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient", "id": "1"},
         "request": {"method": "PUT", "url": "Patient/1", "ifMatch": "W/\"1\""}},
        {"request": {"method": "GET", "url": "Patient?name=x"}},
        {"request": {"method": "DELETE", "url": "Patient/2"}}]},
    {"resourceType": "Bundle", "type": "batch", "entry": [
        {"resource": {"resourceType": "Observation", "status": "final", "code": {"text": "x"},
                      "subject": {"reference": "Patient?identifier=a|b"}},
         "request": {"method": "POST", "url": "Observation", "ifNoneExist": "code=x"}},
        {"resource": {"resourceType": "Binary", "contentType": "a/b", "data": "YQ=="},
         "request": {"method": "PATCH", "url": "Patient/1"}}]},
]  # fmt: skip
OPERATIONS = ["add", "remove", "replace", "move", "copy", "test", "x"]
POINTERS = ["", "/", "/name/0/family", "/name/-", "/name/99", "/id", "/~2", "name", "/identifier"]


@st.composite
def spoilt(draw: st.DrawFn) -> Any:
    """A sound resource, with one of its places changed."""
    whole = json.loads(json.dumps(draw(st.sampled_from(SOUND))))
    place: Any = whole
    for _ in range(draw(st.integers(0, 6))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        inner = [key for key in keys if isinstance(place[key], dict | list)]
        if not inner:
            break
        place = place[draw(st.sampled_from(inner))]
    if isinstance(place, dict):
        name = draw(st.one_of(st.sampled_from([*place, *ELEMENTS]), texts))
        if draw(st.booleans()) and name in place:
            del place[name]
        else:
            place[name] = draw(anything)
    elif draw(st.booleans()):
        place.append(draw(anything))
    else:
        place.clear()
    return whole


patches = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(OPERATIONS), "path": st.one_of(st.sampled_from(POINTERS), texts)},
        optional={"value": anything, "from": st.one_of(st.sampled_from(POINTERS), texts)},
    ),
    max_size=4,
)
XML = ['<Patient xmlns="http://hl7.org/fhir">', "<active value='true'/>", "</Patient>", "<name>",
       "</name>", '<family value="A"/>', "<text><status value='generated'/>", "</text>",
       '<div xmlns="http://www.w3.org/1999/xhtml">a<b>c</b></div>', "<!-- -->", "<![CDATA[a]]>",
       "<?xml version='1.0'?>", "<!DOCTYPE a [<!ENTITY a 'b'>]>", "&a;", "&#0;", "&#xD800;",
       "<extension url='a'>", "</extension>", "<contained>", "</contained>", "\x00"]  # fmt: skip


def written(value: Any) -> bytes:
    return json.dumps(value).encode()


bodies = st.one_of(
    spoilt().map(written),
    spoilt().map(written),
    spoilt().map(written),
    patches.map(written),
    anything.map(written),
    st.lists(st.sampled_from(XML), max_size=12).map(lambda parts: "".join(parts).encode()),
    st.binary(max_size=60),
    st.just(b""),
)
segments = st.one_of(
    st.sampled_from([*TYPES, "_history", "_search", "metadata", "$validate", "*"]), ids,
    texts.map(lambda text: quote(text, safe="")),
    st.binary(max_size=6).map(lambda raw: raw.decode("latin-1")),
)  # fmt: skip
PLACES = ["", "{type}", "{type}/{id}", "{type}/{id}", "{type}/{id}/_history", "{type}/_history",
          "_history", "{type}/_search", "_search", "{type}/{id}/_history/{id}", "metadata",
          "{type}/{id}/{type}", "{type}/{id}/{type}/_search"]  # fmt: skip


@st.composite
def paths(draw: st.DrawFn) -> str:
    if draw(st.integers(0, 3)):
        template = draw(st.sampled_from(PLACES))
        return template.format(type=draw(st.sampled_from(TYPES[:6])), id=draw(ids))
    return "/".join(draw(st.lists(segments, max_size=5)))


@st.composite
def queries(draw: st.DrawFn) -> str:
    pairs = []
    for _ in range(draw(st.integers(0, 4))):
        name = draw(st.one_of(st.sampled_from(NAMES), texts)) + draw(st.sampled_from(MODIFIERS))
        value = "".join(
            draw(st.lists(st.one_of(st.sampled_from(ODD), texts), min_size=1, max_size=2))
        )
        raw = draw(st.integers(0, 5)) == 0
        pairs.append(f"{name}={value}" if raw else f"{quote(name)}={quote(value)}")
    return "&".join(pairs)


@st.composite
def headers(draw: st.DrawFn) -> list[tuple[str, str]]:
    names = draw(st.lists(st.sampled_from(sorted(HEADERS)), max_size=3))
    told = [(name, draw(st.sampled_from(HEADERS[name]))) for name in names]
    return [("Content-Type", draw(st.sampled_from(MEDIA))), *told]


METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "get", "PROPFIND"]
wild = st.tuples(st.sampled_from(METHODS), paths(), queries(), headers(), bodies)

# --- nearly right --------------------------------------------------------------------------------

KNOWN = {
    "Patient": ["family", "name", "identifier", "birthdate", "gender", "active", "address", "phone",
                "general-practitioner", "link", "deceased", "death-date", "organization"],
    "Observation": ["code", "subject", "patient", "date", "status", "value-quantity", "category",
                    "value-date", "value-string", "combo-code", "encounter", "value-concept"],
    "Encounter": ["date", "subject", "status", "class", "length", "type", "participant"],
    "ValueSet": ["url", "version", "context", "context-quantity", "date", "reference"],
    "RiskAssessment": ["probability", "risk", "date"],
}  # fmt: skip
COMMON = ["_id", "_lastUpdated", "_tag", "_profile", "_security", "_source"]
PRESENTED = ["_count", "_total", "_summary", "_elements", "_cursor", "_format"]
PREFIXES = ["", "", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]
# fmt: off
PIECES = ["a", "b", "1", "-1.50", "1e3", "2024", "2024-02-29", "1990-01-01T10:00", "Patient/1",
          "http://loinc.org", "true", "final", "AMB", "Hoà", "kg", "male", "|", "||", "\\|", "\\,",
          ",", "$", ":", "T", "Z", "+07:00", ".", "%", "_", "'", "0001", "9999", "E+308"]
GOOD = ["2024-02-29", "ge1990", "lt2024-01-01T10:00:00Z", "1.50", "gt1e3", "ap100", "5.4|u|kg",
        "5.4||kg", "a|b", "|b", "a|", "b", "Patient/1", "1", "http://a/Patient/1", "true", "male",
        "a,b", "a|b,c|d", "ng", "http://a", "urn:oid:1.2", "1,2,3", "final"]
# fmt: on
odd_values = st.tuples(
    st.sampled_from(PREFIXES), st.lists(st.sampled_from(PIECES), max_size=4), st.just("") | texts
).map(lambda parts: parts[0] + "".join(parts[1]) + parts[2])
values = st.one_of(st.sampled_from(GOOD), st.sampled_from(GOOD), texts, odd_values)
FIT = "application/fhir+json"
FIT_PATCH = "application/json-patch+json"


@st.composite
def searches(draw: st.DrawFn) -> Any:
    type = draw(st.sampled_from(sorted(KNOWN)))
    pairs = []
    for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
        name = draw(st.sampled_from([*KNOWN[type], *KNOWN[type], *COMMON, *PRESENTED]))
        name += draw(st.sampled_from(MODIFIERS)) if draw(st.integers(0, 2)) == 0 else ""
        pairs.append(f"{quote(name)}={quote(draw(values), safe='')}")
    lenient = [("Prefer", "handling=lenient")] if draw(st.booleans()) else []
    return "GET", type, "&".join(pairs), lenient, b""


@st.composite
def histories(draw: st.DrawFn) -> Any:
    place = draw(st.sampled_from(["_history", "Patient/_history", "Patient/1/_history"]))
    name = draw(st.sampled_from(["_since", "_at", "_count", "_sort", "_cursor", "_total", "_list"]))
    return "GET", place, f"{name}={quote(draw(values), safe='')}", [], b""


@st.composite
def writes(draw: st.DrawFn) -> Any:
    """A resource to where it belongs, with one place spoilt, perhaps on a condition."""
    resource = draw(spoilt())
    type = resource.get("resourceType")
    type = type if isinstance(type, str) and type.isalpha() else "Patient"
    if type == "Bundle" and draw(st.booleans()):
        return "POST", "", "", [("Content-Type", FIT)], written(resource)
    criteria = f"identifier={quote(draw(values), safe='')}"
    told = [("Content-Type", FIT)]
    match draw(st.integers(0, 4)):
        case 0:
            return "POST", type, "", told, written(resource)
        case 1:
            return "POST", type, "", [*told, ("If-None-Exist", criteria)], written(resource)
        case 2:
            return "PUT", type, criteria, told, written(resource)
    if draw(st.integers(0, 9)):
        resource["id"] = "1"
    return "PUT", f"{type}/1", "", told, written(resource)


STEPS = ["Patient", ".name", ".identifier", "[0]", ".given", ".where(", "use='x'", ")", ".first()",
         ".extension('u')", " | ", "1", "'a'", "%context", "$this", "@2024", " + ", ".value", "(",
         ".birthDate", ".ofType(Patient)", ".repeat(", "children()", ".toString()", "{}",
         " div 0"]  # fmt: skip
expressions = st.lists(st.sampled_from(STEPS), max_size=6).map("".join)


@st.composite
def changes(draw: st.DrawFn) -> Any:
    """A patch of what is there, by JSON Patch or by FHIRPath Patch."""
    where = draw(st.sampled_from(["Patient/1", "Patient/1", "Observation/1", "Patient/none"]))
    if draw(st.booleans()):
        return "PATCH", where, "", [("Content-Type", FIT_PATCH)], written(draw(patches))
    part = [
        {"name": "type", "valueCode": draw(st.sampled_from([*OPERATIONS, "insert", "delete"]))},
        {"name": "path", "valueString": draw(expressions)},
        {"name": "name", "valueString": draw(st.sampled_from(ELEMENTS))},
        {"name": "value", draw(st.sampled_from(["valueString", "valueHumanName", "part"])):
            draw(anything)},
        {"name": "index", "valueInteger": draw(st.integers(-1, 3))},
    ]  # fmt: skip
    kept = [each for each in part if draw(st.integers(0, 5))]
    body = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": kept}]}
    return "PATCH", where, "", [("Content-Type", FIT)], written(body)


@st.composite
def nearly(draw: st.DrawFn) -> Any:
    """What is nearly right, now and then with headers of any kind."""
    asked = draw(st.one_of(searches(), searches(), histories(), writes(), writes(), changes()))
    method, path, query, told, body = asked
    if draw(st.integers(0, 3)) == 0:
        told = [*told, *draw(headers())[1:]]
    return method, path, query, told, body


requests = st.one_of(nearly(), nearly(), nearly(), wild)
