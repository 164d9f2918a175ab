"""asking — requests the server is made for, of every route it has, and the same made worse.

https://hl7.org/fhir/R4/http.html#summary
https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from fhir_server.conformance import definitions
from fhir_server.conformance.xml import to_xml
from fhir_server.foundation import wire
from fhir_server.operation.table import methods
from fhir_server.rest.routes import ROWS
from fhir_server.search.parameters import Parameter, Parameters
from fhir_server.sync.operations import OPERATIONS
from tests.access.worlds import MINE, ORGANIZATIONS
from tests.fuzz import mutation
from tests.security.signing import part
from tests.spec.test_examples_validate import EXAMPLES

Draw = random.Random
Pairs = list[tuple[str, str]]
LARGEST = 30_000  # bytes of an example that is asked with: large ones tell nothing more
FHIR, XML = "application/fhir+json", "application/fhir+xml"
FORM, JSON_PATCH = "application/x-www-form-urlencoded", "application/json-patch+json"


@dataclass(frozen=True)
class Asked:
    """One request as it goes over the wire. `says` has the seed and the number in its run."""

    method: str
    url: bytes
    body: bytes | None
    headers: tuple[tuple[str, str], ...]
    bad: bool  # whether anything in it was made worse

    def __str__(self) -> str:
        return f"{self.method} {self.url!r}\nheaders: {self.headers!r}\nbody: {self.body!r}"


@dataclass
class Good:
    """A request the server is made for."""

    method: str
    path: str
    pairs: Pairs = field(default_factory=list)
    document: Any = None
    form: bool = False
    media: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@cache
def examples() -> list[dict[str, Any]]:
    """HL7's examples; where they are not beside this repository, a few of our own."""
    told = [json.loads(file.read_bytes()) for file in EXAMPLES if file.stat().st_size < LARGEST]
    return [*MINE, *ORGANIZATIONS, *told]


@cache
def by_type() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for one in examples():
        found.setdefault(one["resourceType"], []).append(one)
    return found


@cache
def parameters() -> Parameters:
    return Parameters(definitions.load())


class World:
    """What the server has told so far, to ask it about: cursors, versions, ids."""

    def __init__(self) -> None:
        self.urls: deque[str] = deque(maxlen=300)
        self.tags: deque[str] = deque(maxlen=300)
        self.keys: deque[str] = deque(maxlen=300)

    def hears(self, answer: Any) -> None:
        """Take from an answer what may be asked next."""
        for name, kept in (("etag", self.tags), ("location", self.urls)):
            if name in answer.headers:
                kept.append(answer.headers[name])
        if b"_cursor=" in answer.body and answer.headers.get("content-type", "").startswith(FHIR):
            told = answer.json
            self.urls += [link["url"] for link in told.get("link", ())]


def tells(draw: Draw, world: World) -> str:
    return draw.choice(world.tags) if world.tags else 'W/"1"'


# --- searches ------------------------------------------------------------------------------------

GOOD_VALUES = {
    "token": ["male", "final", "http://loinc.org|1-1", "|a", "http://loinc.org|", "AMB", "true",
    "urn:x|1"],
    "string": ["Ours", "nguyen", "Chalmers", "ou", "a,b"],
    "date": ["2026-01-05", "gt2020", "le2026-01-05T10:00:00Z", "sa2019", "ap2012-05",
    "ne1990-02-03"],
    "number": ["5", "gt1", "ap0.8", "1e2", "le100"],
    "quantity": ["gt1", "5|http://unitsofmeasure.org|kg", "7||kg", "ap6"],
    "reference": ["Patient/hue.p", "hue.p", "Organization/hue", "http://a.example/Patient/1",
    "Encounter/hue.e"],
    "uri": ["http://hl7.org/fhir/ValueSet/example", "urn:oid:1.2.3"],
    "composite": ["1-1$gt1", "http://loinc.org|1-1$5"],
    "special": ["name co ours", "52|105|10|km", "liver", "hue.l"],
}  # fmt: skip
MODIFIERS = {
    "token": ["", "", ":not", ":in", ":not-in", ":below", ":above", ":text", ":of-type"],
    "string": ["", ":exact", ":contains"], "reference": ["", ":identifier", ":Patient", ":below",
    ":above"],
    "uri": ["", ":below", ":above"],
}  # fmt: skip
ODD = [":missing", ":missing", ":shoe", ":iterate", ":exact", ":text", ":Patient"]
RESULTS: list[tuple[str, list[str]]] = [
    ("_count", ["1", "2", "0", "1000"]), ("_total", ["accurate", "estimate", "none"]),
    ("_summary", ["true", "text", "data", "count", "false"]), ("_elements", ["id,name", "status",
    "Patient.name"]),
    ("_sort", ["_id", "-_lastUpdated", "date,-_id", "family"]), ("_format", ["json", "xml", "html",
    FHIR]),
    ("_pretty", ["true"]), ("_include", ["*", "Observation:*", "Encounter:subject",
    "List:item:Patient"]),
    ("_revinclude", ["Observation:subject", "*", "Encounter:*", "Provenance:target"]),
    ("_include:iterate", ["Encounter:part-of", "*"]), ("_lastUpdated", ["gt2020", "2026"]), ("_id",
    ["hue.p", "a,b"]),
    ("_tag", ["watched"]), ("_profile", ["http://hl7.org/fhir/StructureDefinition/Patient"]),
    ("_security", ["R"]),
    ("_text", ["ours AND liver"]), ("_content", ["ours"]), ("_list", ["hue.l",
    "$current-problems"]),
    ("_filter", ["name eq ours", "code eq 1-1 and (value gt 1 or date gt 2020)", "not (_id eq a)"]),
    ("_has:Observation:patient:code", ["1-1"]), ("_has:List:item:_has:Observation:patient:code",
    ["1-1"]),
]  # fmt: skip
STRANGE: list[tuple[str, list[str]]] = [
    ("_type", ["Patient,Observation", "Patient"]), ("_contained", ["both"]), ("_source",
    ["http://a.example"]),
    ("_query", ["shoe"]), ("_score", ["1"]), ("_cursor", ["AAAA"]), ("_since", ["2020"]), ("",
    ["a"]),
]  # fmt: skip
HISTORY: list[tuple[str, list[str]]] = [
    ("_count", ["1", "2", "50"]), ("_since", ["2020-01-01T00:00:00Z", "2027-01-15"]), ("_at",
    ["2026-01-05", "2027"]),
    ("_summary", ["count", "true"]), ("_elements", ["status"]), ("_sort", ["-_lastUpdated"]),
    ("_format", ["xml"]),
]  # fmt: skip


def criterion(draw: Draw, type: str, depth: int = 0) -> tuple[str, str]:
    """A search parameter of this type, perhaps through others, and a value for it."""
    one: Parameter = draw.choice(list(parameters().of(type).values()))
    if one.type == "reference" and one.targets and depth < 4 and draw.random() < 0.3:
        target = draw.choice(one.targets)
        name, value = criterion(draw, target, depth + 1)
        return f"{one.code}:{target}.{name}", value
    modifier = draw.choice(ODD if draw.random() < 0.1 else MODIFIERS.get(one.type, [""]))
    told = ["true", "false"] if modifier == ":missing" else GOOD_VALUES.get(one.type, ["a"])
    return one.code + modifier, draw.choice(told)


def searched(draw: Draw, type: str | None) -> Pairs:
    kinds = draw.sample(SOME, 2) if type is None else [type]
    told = [criterion(draw, draw.choice(kinds)) for _ in range(draw.choice((0, 1, 1, 2)))]
    if type is None:
        told = [pair for pair in told if pair[0][0] == "_"] + [("_type", ",".join(kinds))]
    told += some_of(draw, RESULTS)
    return told + some_of(draw, STRANGE) if draw.random() < 0.15 else told


def some_of(draw: Draw, offered: list[tuple[str, list[str]]]) -> Pairs:
    return [
        (name, draw.choice(values)) for name, values in draw.sample(offered, draw.choice((0, 1, 2)))
    ]


# --- every route ---------------------------------------------------------------------------------

SOME = ["Patient", "Encounter", "Observation", "List"]  # what the world has most of
HELD = [f"{one['resourceType']}/{one['id']}" for one in MINE]

HEADERS: dict[str, list[str]] = {
    "Accept": [FHIR, XML, "*/*", "application/json", "text/html;q=0.9, */*;q=0.1",
    "application/fhir+json; fhirVersion=4.0"],
    "Accept-Encoding": ["gzip", "zstd;q=1, gzip;q=0.5", "identity;q=0", "br"],
    "Accept-Language": ["vi", "en-US,en;q=0.5", "*"],
    "Accept-Charset": ["utf-8", "iso-8859-1"],
    "Prefer": ["handling=lenient"] * 4 + ["return=representation", "return=minimal",
    "return=OperationOutcome", "handling=strict", "handling=lenient",
               "respond-async"],
    "If-None-Match": ["*", 'W/"1"'],
    "If-Modified-Since": ["Sat, 29 Oct 2022 19:43:31 GMT"],
    "If-None-Exist": ["identifier=urn:x|1", "_id=hue.p", "name=ours&birthdate=1990-02-03"],
    "Idempotency-Key": ["once", '"8e03978e-40d5-43e8-bc93-6894a57f9324"'],
    "X-Request-Id": ["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    "X-Http-Method-Override": ["DELETE"],
    "X-Forwarded-For": ["10.0.0.1, 10.0.0.2"], "X-Forwarded-Host": ["evil.example"],
    "Forwarded": ['for="[::1]";host=a'],
    "Host": ["test", "evil.example", "[::1]:80"], "Origin": ["https://evil.example", "null"],
    "Cookie": ["a=b"],
    "Content-Encoding": ["gzip"], "Content-Length": ["10", "0"], "Expect": ["100-continue"],
    "Range": ["bytes=0-1"],
    "Authorization": ["Basic YTpi", "Bearer ", "Bearer a.b.c", "DPoP x",
    "Bearer doctor, Bearer all"],
    "X-Security-Context": ["Patient/hue.p"], "Sec-Fetch-Site": ["cross-site"], "Te": ["trailers"],
}  # fmt: skip


def row_asked(draw: Draw, world: World) -> Good:
    """A request by one line of the table of routes."""
    row = draw.choice(ROWS)
    if row.interaction == "operation":
        return operated(draw)
    type = draw.choice(SOME if draw.random() < 0.6 else list(by_type()))
    example = draw.choice(by_type()[type])
    if row.interaction == "search-compartment":
        type, example = "Patient", draw.choice(by_type()["Patient"])
    id = draw.choice([*[example["id"]] * 6, "a", "new"])
    path = row.shape
    if path.startswith("[type]"):
        path = path.replace("[type]", type, 1)
    path = path.replace("[id]", id).replace("[type]", draw.choice([*SOME[1:], "*"]))
    path = path.replace("[vid]", tells(draw, world).removeprefix('W/"').removesuffix('"'))
    good = Good(row.method, path.replace("[base]", ""))
    if row.interaction.startswith("history"):
        good.pairs = some_of(draw, HISTORY)
    elif row.interaction.startswith("search") or (row.shape == "[type]" and row.parameters is None):
        good.pairs = searched(draw, None if row.shape in ("[base]", "_search") else type)
        good.form = row.method == "POST"
    if row.interaction in ("create", "update"):
        good.document = {**example, "id": id} if draw.random() < 0.9 else draw.choice(examples())
    if row.interaction == "transaction":
        good.document = bundle(draw, world)
    if row.interaction == "patch":
        good.media, good.document = patched(draw)
    return good


def operated(draw: Draw) -> Good:
    """An operation at a level it has, with parameters of its own."""
    one = draw.choice(OPERATIONS)
    type = draw.choice(sorted(one.types) if one.types else SOME)
    id = draw.choice(by_type().get(type, by_type()["Patient"]))["id"]
    level = draw.choice(sorted(one.levels))
    where = {"system": "", "type": f"{type}/", "instance": f"{type}/{id}/"}[level]
    good = Good(draw.choice(methods(one)), f"{where}${one.name}")
    names = sorted(one.parameters or {"mode", "profile", "resource"})
    chosen = draw.sample(names, min(len(names), draw.randrange(5)))
    values = [value for told in GOOD_VALUES.values() for value in told] + TERMS * 3
    if good.method != "POST":
        good.pairs = [(name, draw.choice(values)) for name in chosen]
        good.pairs = searched(draw, type) if one.name == "explain" else good.pairs
    elif draw.random() < 0.2:
        good.document = draw.choice(examples())
    else:
        told = [given(draw, name, values) for name in chosen]
        good.document = {"resourceType": "Parameters", "parameter": told}
    return good


TERMS = [
    "http://loinc.org",
    "http://hl7.org/fhir/administrative-gender",
    "male",
    "http://snomed.info/sct",
    "code-a",
]
TERMS += [
    "http://hl7.org/fhir/ValueSet/administrative-gender",
    "en",
    "1",
    "true",
    "http://hl7.org/fhir/ValueSet/all-types",
]
SUFFIXES = ["Code", "Uri", "String", "Boolean", "Integer", "DateTime", "Canonical"]


def given(draw: Draw, name: str, values: list[str]) -> Any:
    match draw.randrange(6):
        case 0:
            return {"name": name, "resource": draw.choice(examples())}
        case 1:
            return {
                "name": name,
                "valueCoding": {"system": draw.choice(TERMS), "code": draw.choice(TERMS)},
            }
        case 2:
            coding = {"system": draw.choice(TERMS), "code": draw.choice(TERMS)}
            return {"name": name, "valueCodeableConcept": {"coding": [coding, coding]}}
    suffix = draw.choice(SUFFIXES)
    value: Any = draw.choice(values)
    value = {"Boolean": draw.random() < 0.5, "Integer": draw.randrange(9)}.get(suffix, value)
    return {"name": name, f"value{suffix}": value}


def patched(draw: Draw) -> tuple[str, Any]:
    paths = [
        "/gender",
        "/name/0/family",
        "/name/-",
        "/active",
        "/id",
        "",
        "/a~1b/~0",
        "/name/99",
        "/subject/reference",
    ]
    if draw.random() < 0.6:
        return JSON_PATCH, [
            {
                "op": draw.choice(["add", "remove", "replace", "move", "copy", "test"]),
                "path": draw.choice(paths),
                "from": draw.choice(paths),
                "value": draw.choice(["male", True, {"family": "A"}, [], None]),
            }
            for _ in range(draw.randrange(1, 4))
        ]
    parts = [
        {"name": "type", "valueCode": draw.choice(["add", "insert", "delete", "replace", "move"])},
        {
            "name": "path",
            "valueString": draw.choice(
                ["Patient", "Patient.name", "Patient.name[0]", "status", "%x", "a.b("]
            ),
        },
        {"name": "name", "valueString": draw.choice(["gender", "name", "birthDate"])},
        {"name": "value", "valueCode": "female"},
        {
            "name": draw.choice(["index", "source", "destination"]),
            "valueInteger": draw.randrange(3),
        },
    ]
    operation = {"name": "operation", "part": draw.sample(parts, draw.randrange(2, 6))}
    return FHIR, {"resourceType": "Parameters", "parameter": [operation] * draw.choice((1, 1, 2))}


LINKS = dict.fromkeys(SOME, "subject") | {"Patient": "managingOrganization"}


def bundle(draw: Draw, world: World) -> Any:
    """A batch or a transaction whose entries refer to one another."""
    entries = []
    for number in range(draw.randrange(1, 6)):
        example = draw.choice(by_type()[draw.choice(SOME)])
        type = example["resourceType"]
        method = draw.choice(["POST", "PUT", "GET", "DELETE", "PATCH", "HEAD"])
        url = {
            "POST": type,
            "GET": draw.choice([type + "?" + _query(searched(draw, type)), draw.choice(HELD)]),
        }.get(
            method,
            draw.choice([f"{type}/{example['id']}", f"{type}?" + _query([criterion(draw, type)])]),
        )
        request: dict[str, Any] = {"method": method, "url": url}
        if draw.random() < 0.3:
            name = draw.choice(["ifMatch", "ifNoneExist", "ifNoneMatch", "ifModifiedSince"])
            request[name] = draw.choice([tells(draw, world), "identifier=urn:x|1"])
        entry: dict[str, Any] = {
            "fullUrl": f"urn:uuid:00000000-0000-4000-8000-00000000000{number}",
            "request": request,
        }
        if method in ("POST", "PUT"):
            link = {LINKS[type]: {"reference": "urn:uuid:00000000-0000-4000-8000-000000000000"}}
            entry["resource"] = {**example, **link} if draw.random() < 0.3 else example
        elif method == "PATCH":
            media, document = patched(draw)
            data = {"resourceType": "Binary", "contentType": media, "data": "W10="}
            entry["resource"] = document if media == FHIR else data
        entries.append(entry)
    return {
        "resourceType": "Bundle",
        "type": draw.choice(["batch", "transaction"]),
        "entry": entries,
    }


def beside(draw: Draw, world: World) -> Good:
    """What is not below the base, what tokens are asked by, and what the server told itself."""
    match draw.randrange(4):
        case 0:
            return Good(
                "GET",
                draw.choice(
                    ["/", "/livez", "/readyz", "/metrics", "/openapi.json", "/fhir", "/docs"]
                ),
            )
        case 1 if world.urls:
            path, _, query = draw.choice(world.urls).partition("?")
            parts = [part.partition("=") for part in query.split("&") if part]
            pairs = [(name, unquote(value)) for name, _, value in parts]
            return Good("GET", path.partition("/fhir/")[2], pairs)
        case 2:
            return Good("GET", "oauth/authorize", list(AUTHORIZE.items()))
    where = draw.choice(["token", "token", "introspect", "revoke", "enrol", "authorize"])
    told = draw.choice(FORMS)(draw)
    return Good("POST", f"oauth/{where}", list(told.items()), form=True)


AUTHORIZE = {
    "response_type": "code", "client_id": "app-1", "redirect_uri": "https://app.example/back",
    "scope": "patient/*.rs",
    "state": "s" * 20, "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "code_challenge_method": "S256",
    "aud": "http://test/fhir",
}  # fmt: skip
# From RFC 7515 A.1: its signature is nobody's here.
TOKEN = "eyJhbGciOiJFUzM4NCIsImtpZCI6ImsxIn0.eyJpc3MiOiJoaXMtMSIsInN1YiI6Imhpcy0xIn0.AAAA"
FORMS: list[Callable[[Draw], dict[str, str]]] = [
    lambda draw: {
        "grant_type": "client_credentials", "scope": "system/*.rs",
        "client_assertion": assertion(draw),
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    },
    lambda draw: {"grant_type": "authorization_code", "code": "x",
    "redirect_uri": "https://app.example/back",
                  "client_id": "app-1", "code_verifier": "v" * 43},
    lambda draw: {"grant_type": "refresh_token", "refresh_token": "r" * 43, "client_id": "app-1"},
    lambda draw: {"token": draw.choice(["x", TOKEN, "doctor"]), "token_type_hint": "access_token"},
    lambda draw: {"code": "ABCD-EFGH", "jwks": json.dumps({"keys": [{"kty": "EC", "crv": "P-384",
    "x": "AA", "y": "AA"}]})},
    lambda draw: AUTHORIZE | {"login": "ABCD-EFGH", "answer": draw.choice(["yes", "no", ""])},
]  # fmt: skip


def assertion(draw: Draw) -> str:
    """A token of three parts whose header and claims are anything, as no library would write it."""
    header = {
        "alg": draw.choice(["ES384", "RS384", "none", "HS256", "ES999", "", 1, None]),
        "kid": "k1",
        "typ": "JWT",
    }
    claims = {
        "iss": "his-1",
        "sub": "his-1",
        "aud": "http://test/fhir/oauth/token",
        "exp": 1_800_000_200,
        "jti": "n",
    }
    worse = mutation.document(draw, [header, claims], examples()[:9])
    try:
        header, claims = json.loads(worse)
    except (ValueError, TypeError):
        return f"{part(worse)}.{part(worse)}.{part(b'x')}"
    try:
        return f"{part(header)}.{part(claims)}.{part(draw.choice([b'', b'x' * 96]))}"
    except UnicodeEncodeError:
        return TOKEN


# --- on the wire ---------------------------------------------------------------------------------


def _query(pairs: Pairs) -> str:
    return "&".join(
        f"{quote(n, ':$', errors='surrogatepass')}={quote_plus(v, errors='surrogatepass')}"
        for n, v in pairs
    )


def asked(draw: Draw, world: World, tokens: list[str]) -> Asked:
    """The next request of a run: one the server is made for, or one made worse in some part."""
    good = beside(draw, world) if draw.random() < 0.1 else row_asked(draw, world)
    worse = frozenset(part for part, share in WORSE.items() if draw.random() < share)
    if good.document is not None and draw.random() < 0.6:
        worse |= {"body"}
    for name in draw.sample(sorted(HEADERS), draw.choice((0, 0, 1, 1, 2))):
        good.headers[name] = draw.choice(HEADERS[name])
    if draw.random() < 0.1:
        good.headers["If-Match"] = tells(draw, world)
    if tokens and draw.random() < 0.95:
        good.headers["Authorization"] = f"Bearer {draw.choice(tokens)}"
    return _sent(draw, good, worse)


def _sent(draw: Draw, good: Good, worse: frozenset[str]) -> Asked:
    path = mutation.path(draw, good.path) if "path" in worse else good.path
    pairs = [_pair(draw, pair) for pair in good.pairs] if "pairs" in worse else good.pairs
    if "pairs" in worse and draw.random() < 0.3:
        pairs = [*pairs, (draw.choice(mutation.TEXTS), draw.choice(mutation.TEXTS))]
    query = _query(pairs)
    if "pairs" in worse and draw.random() < 0.2:
        query = mutation.text(draw, query)
    body: bytes | None = None
    if good.form:
        good.headers["Content-Type"] = FORM
        body, query = query.encode("utf-8", "surrogatepass"), ""
    elif good.document is not None:
        body = _written(draw, good, "body" in worse)
    if body is not None and "body" in worse and draw.random() < 0.3:
        good.headers["Content-Encoding"], body = mutation.coded(draw, body)
    if "header" in worse and good.headers:
        name = draw.choice(sorted(good.headers))
        good.headers[name] = mutation.header(draw, good.headers[name])
    method = draw.choice(METHODS) if worse and draw.random() < 0.05 else good.method
    if method == "GET" and draw.random() < 0.05:
        method = "HEAD"
    url = path if path.startswith("/") and "path" not in worse else f"/fhir/{path}"
    return Asked(
        method,
        mutation.escaped(f"{url}?{query}" if query else url),
        body,
        tuple(good.headers.items()),
        bool(worse),
    )


WORSE = {"path": 0.08, "pairs": 0.25, "body": 0.0, "header": 0.15}  # how often each part is
METHODS = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "get",
    "SHOE",
    "PROPFIND",
]


def _pair(draw: Draw, pair: tuple[str, str]) -> tuple[str, str]:
    name, value = pair
    if draw.random() < 0.3:
        name = mutation.text(draw, name)
    if draw.random() < 0.7:
        value = mutation.text(draw, value)
    return name, value


def _written(draw: Draw, good: Good, worse: bool) -> bytes:
    """The document as JSON or XML, made worse in its tree or in its bytes."""
    document = good.document
    media = good.media or (XML if draw.random() < 0.15 else FHIR)
    good.headers["Content-Type"] = media
    if media == XML:
        body: bytes = to_xml(definitions.load(), wire.parse(json.dumps(document).encode()))
    elif worse and draw.random() < 0.8:
        return mutation.document(draw, document, examples())
    else:
        body = mutation.text_of(document)
    return mutation.octets(draw, body) if worse else body
