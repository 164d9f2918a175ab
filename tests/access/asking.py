"""asking — what the callers of one facility ask: all that the server's own tables say can be asked.

https://hl7.org/fhir/R4/http.html#summary

A word in angle brackets is something the other facility was really given: `<version Patient/x>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from fhir_server.rest.routes import Grammar
from fhir_server.search.parameters import Parameter, Parameters
from fhir_server.sync.operations import OPERATIONS
from tests.access.worlds import BORN, DONE, NAME, NUMBER, PHONE, STREET, WORD, measured, person

NEVER = "1-aaaaaaaaaaaaaaaaaaaaaaaaaa"  # nobody's version
AT = {"Patient": "p", "Encounter": "e", "Observation": "o", "List": "l", "Condition": "c",
      "Consent": "cp", "Binary": "b"}  # fmt: skip
CLINICAL = tuple(type for type in AT if type != "Binary")
BOTH = ("hue", "hanoi")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PATCHING = {"Content-Type": "application/json-patch+json"}


class Question(NamedTuple):
    """path: below the base; with a slash before it: beside the FHIR API."""

    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = {}  # noqa: RUF012 - nobody changes it

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.headers or ''}"


SEARCHES = [
    "Patient?", "Encounter?", "Observation?", "List?", "Condition?", "Consent?", "Binary?",
    "?_type=Patient,Observation", "?_lastUpdated=gt2020", "?_type=Patient&_total=accurate",
    "Patient?_id=hanoi.p", "Patient?_id=hanoi.p,hue.p", "Observation?_id=hanoi.gone",
    f"Patient?name={NAME}", f"Patient?name:contains={NAME[1:5]}", f"Patient?identifier={NUMBER}",
    f"Patient?identifier=urn:x|{NUMBER}", f"Patient?birthdate={BORN}", "Patient?gender=male",
    f"Patient?address={STREET}", f"Patient?telecom={PHONE}", f"Observation?date={DONE}",
    "Patient?gender:not=female", "Patient?organization=Organization/hanoi",
    "Patient?organization:missing=true", "Patient?_tag=http://marks.example/tags|watched",
    "Patient?_tag:not=watched", "Patient?_list=hanoi.l", "Patient?_list=hue.l",
    "Observation?_list=hanoi.l,hue.l", "Observation?value-quantity=gt1",
    "Observation?code-value-quantity=1-1$gt1", f"Observation?code:text={WORD}",
    # words
    f"Patient?_text={NAME}", f"Patient?_content={NAME}", f"Observation?_content={WORD}",
    f"Patient?_content={NUMBER}", "Patient?_text=Ours", f"Patient?_text=Ours or {NAME}",
    "Patient?_content=Shared", f"List?_content={WORD}&_summary=count", f"?_content={WORD}",
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
    "Observation?_filter=encounter.status eq finished", f"Patient?_filter=not (name co {NAME})",
    # chains the other way
    "Patient?_has:Observation:performer:code=1-1", "Patient?_has:Observation:patient:code=1-1",
    "Patient?_has:Observation:performer:value-quantity=9", "Patient?_has:List:item:status=current",
    "Encounter?_has:Encounter:part-of:status=finished",
    "Encounter?_has:Observation:encounter:code=1-1", "Patient?_has:AuditEvent:patient:action=R",
    "Observation?_has:Observation:has-member:_id=hanoi.o",
    "Patient?_has:Observation:performer:_has:List:item:status=current",
    # what comes with it
    "Encounter?_include=Encounter:*", "Encounter?_include=Encounter:part-of",
    "Encounter?_include:iterate=Encounter:*", "Patient?_include=Patient:link", "List?_include=*",
    "Patient?_revinclude=Encounter:subject&_revinclude=Observation:*",
    "Patient?_revinclude=Observation:performer", "Observation?_include=Observation:has-member",
    "Observation?_include=Observation:encounter&_include:iterate=Encounter:part-of",
    "Encounter?_revinclude:iterate=Encounter:part-of&_revinclude:iterate=Observation:encounter",
    "List?_include=List:item", "Observation?_revinclude=List:item", "Patient?_revinclude=*",
    "List?_include=List:item&_include:iterate=Patient:link", "Patient?_revinclude=AuditEvent:*",
    # orders
    "Patient?_sort=family", "Patient?_sort=-family&_count=1", "Patient?_sort=birthdate,gender",
    "Observation?_sort=value-quantity", "Observation?_sort=-date&_count=1",
    "Encounter?_sort=part-of", "Encounter?_sort=-_lastUpdated", "Patient?_sort=_id",
    # compartments
    *(f"Patient/{where}.p/{type}" for where in BOTH for type in ("*", "Encounter", "Observation")),
    "Encounter/hanoi.e/Observation", "Encounter/hue.e/Observation", "Encounter/hanoi.e/*",
    "Patient/hanoi.p/Observation?_summary=count", "Patient/hanoi.s/*",
    # histories
    "_history", "_history?_count=2", "Patient/_history", "Observation/_history?_count=1",
    "Patient/_history?_summary=count", "Encounter/_history", "_history?_since=2020-01-01",
    "Patient/_history?_since=2020-01-01&_count=1", "Patient/_history?_at=2027-01-15",
    "Patient/hanoi.p/_history?_since=2020-01-01", "Patient/hanoi.p/_history?_at=2027-01-15",
    "Observation/hanoi.gone/_history", "Patient/hanoi.s/_history",
    # links that the other was given, and none
    "Patient?_cursor=AAAA", "Patient?_count=1&_cursor=<cursor Patient?_count=1>",
    "Patient?_cursor=<cursor Patient?_count=1>", "_history?_count=1&_cursor=<cursor _history>",
    "Patient/_history?_count=1&_cursor=<cursor Patient/_history>",
    # feeds
    "_history?_cursor=", "_history?_cursor=&_count=1", "_history?_cursor=&_type=Patient,List",
    "Patient/_history?_cursor=", "Encounter/_history?_cursor=&_count=2", "List/_history?_cursor=",
    "Consent/_history?_cursor=", "_history?_cursor=<cursor feed>", "Patient/_history?_cursor=AAAA",
    "Patient/_history?_cursor=<cursor Patient/feed>", "Patient/hanoi.p/_history?_cursor=",
    # what the server is asked beside
    "metadata", "metadata?mode=terminology", "nowhere", "AuditEvent?", "AuditEvent?entity=hanoi.p",
    "AuditEvent?patient=Patient/hanoi.p", "AuditEvent?patient=Patient/hue.p&_summary=count",
    "Provenance?", "Provenance?target=Patient/hanoi.p", "Organization?", "Organization/hanoi",
    "/", "/metrics", "/openapi.json", "/livez", "/readyz", "/docs",
]  # fmt: skip

# By the kind of a parameter: ways to ask by it. `{c}` is its code.
EVERY = ("{c}:missing=false", "{c}:missing=true&_summary=count", "_sort={c}", "_sort=-{c}&_count=1")
BY_KIND = {
    "token": ("{c}=zanzibar", "{c}:not=zanzibar", "{c}:text=z"),
    "string": ("{c}=z", "{c}:contains=an", "{c}:exact=zorrino"),
    "date": ("{c}=gt2000", f"{{c}}={DONE}", "{c}=lt2027&_summary=count"),
    "number": ("{c}=gt0",),
    "quantity": ("{c}=gt0", "{c}=lt100||kg"),
    "uri": ("{c}=urn:x", "{c}:below=urn:"),
    "reference": ("{c}:identifier=urn:x|zz4711",),
    "composite": ("{c}=1-1$gt0",),
    "special": ("{c}=z",),
}
# By what a reference may lead to: the parameter followed, and followed the other way.
LEADING = (
    "{of}?{c}={type}/hanoi.{id}",
    "{of}?{c}:{type}._id=hanoi.{id}",
    "{of}?{c}:{type}._tag:not=nothing",
    "{type}?_has:{of}:{c}:_id:missing=false",
    "{type}?_revinclude={of}:{c}&_total=accurate",
    "{of}?_include={of}:{c}:{type}",
)


def by_parameter(parameters: Parameters) -> Iterator[tuple[Parameter, Question]]:
    """Every search parameter of the types there are in the worlds, in every way."""
    for of in CLINICAL:
        for c, parameter in sorted(parameters.of(of).items()):
            for text in (*EVERY, *BY_KIND.get(parameter.type, ())):
                yield parameter, Question("GET", f"{of}?{text.format(c=c)}")
            for type in sorted({*parameter.targets} & {*CLINICAL}):
                for text in LEADING:
                    asked = text.format(c=c, of=of, type=type, id=AT[type])
                    yield parameter, Question("GET", asked)


def by_operation() -> Iterator[Question]:
    """Every operation, at every level it has, by GET and POST."""
    for one in OPERATIONS:
        for level in sorted(one.levels):
            types = sorted(one.types or ("Patient", "Observation"))
            for type in types if level != "system" else [""]:
                ids = [f"{where}.{AT.get(type, 'x')}" for where in BOTH]
                for id in ids if level == "instance" else [""]:
                    place = "/".join(part for part in (type, id, f"${one.name}") if part)
                    query = f"?name={NAME}" if one.name == "explain" and type == "Patient" else ""
                    if one.get:
                        yield Question("GET", f"{place}{query}")
                    yield Question("POST", place, {"resourceType": "Parameters"})
                    if one.delete:
                        yield Question("DELETE", place)


def by_id() -> Iterator[Question]:
    for where in BOTH:
        for type, id in AT.items():
            one = f"{type}/{where}.{id}"
            yield Question("GET", one)
            yield Question("HEAD", one)
            yield Question("GET", f"{one}/_history")
            yield Question("GET", f"{one}/_history/{NEVER}")
            yield Question("GET", one, None, {"If-None-Match": "*"})
        yield Question("GET", f"Patient/{where}.p?_elements=name")
        yield Question("GET", f"Patient/{where}.p?_summary=true")
        yield Question("GET", f"Binary/{where}.b", None, {"Accept": "text/plain"})
        yield Question("OPTIONS", f"Patient/{where}.p")
    for type in ("Patient", "Observation", "Binary"):
        one = f"{type}/hanoi.{AT[type]}"
        version = f"<version {one}>"
        yield Question("GET", f"{one}/_history/{version}")
        yield Question("GET", one, None, {"If-None-Match": f'W/"{version}"'})
        yield Question("GET", one, None, {"If-Modified-Since": "Fri, 15 Jan 2027 08:00:00 GMT"})
        yield Question("GET", one, None, {"Accept-Encoding": "gzip"})
        yield Question("GET", f"{type}/hanoi.gone")
        yield Question("GET", f"{type}/hanoi.free")
    for path in ("Patient?", "Patient?_text=Ours", "_history", "metadata"):
        yield Question("GET", path, None, {"Accept-Encoding": "gzip"})
        yield Question("HEAD", path)
        yield Question("GET", path, None, {"Accept": "application/fhir+xml"})


def by_form() -> Iterator[Question]:
    for form in (f"name={NAME}", "_id=hanoi.p", "_summary=count", f"_content={NAME}"):
        yield Question("POST", "Patient/_search", form.encode(), FORM)
    yield Question("POST", "_search", b"_type=Patient,List", FORM)
    for where in BOTH:
        yield Question("POST", f"Patient/{where}.p/_search", b"", FORM)
        yield Question("POST", f"Patient/{where}.p/Observation/_search", b"_summary=count", FORM)


def by_write() -> Iterator[Question]:
    """Of what is the other's, by its id."""
    there = person("hanoi", "p", "Ours", "1")
    for type, id in AT.items():
        one = f"{type}/hanoi.{id}"
        body = there if type == "Patient" else {"resourceType": type, "id": f"hanoi.{id}"}
        for headers in ({}, {"If-Match": f'W/"{NEVER}"'}, {"If-Match": f'W/"<version {one}>"'}):
            yield Question("PUT", one, body, headers)
            yield Question("PATCH", one, tested("male"), PATCHING | headers)
            yield Question("DELETE", one, None, headers)
        yield Question("PUT", one, body, {"If-None-Match": "*"})
    for gender in ("male", "female"):
        yield Question("PATCH", "Patient/hanoi.p", tested(gender, name=NAME), PATCHING)
        yield Question("PATCH", f"Patient?identifier={NUMBER}", tested(gender), PATCHING)
    for value in ("Patient.gender", f"Patient.name.where(family = '{NAME}').family"):
        yield Question("PATCH", "Patient/hanoi.p", fhirpath("replace", value))
        yield Question("PATCH", f"Patient?identifier={NUMBER}", fhirpath("delete", value))


def by_criteria() -> Iterator[Question]:
    """Written by what the other has, and beside it."""
    new = {name: told for name, told in person("hanoi", "p", "Ours", "1").items() if name != "id"}
    own = person("hue", "q", "Ours", "2")
    for criteria in (f"identifier={NUMBER}", "_id=hanoi.p", f"birthdate={BORN}"):
        yield Question("POST", "Patient", new, {"If-None-Exist": criteria})
        yield Question("PUT", f"Patient?{criteria}", new)
        yield Question("DELETE", f"Patient?{criteria}")
    yield Question("PUT", f"Patient?identifier={NUMBER}1", new)
    yield Question("DELETE", "Observation?performer=Patient/hue.p&_id=hanoi.o")
    yield Question("PUT", "Patient/hue.q", own)
    yield Question("PUT", "Patient/hue.q", own, {"If-Match": f'W/"{NEVER}"'})
    yield Question("PUT", "Patient/hanoi.gone", {**own, "id": "hanoi.gone"})
    yield Question("PUT", "Patient/hanoi.free", {**own, "id": "hanoi.free"})


def by_body() -> Iterator[Question]:
    """Bodies that name what the other has; Bundles."""
    there, own = person("hanoi", "p", "Ours", "1"), person("hue", "q", "Ours", "2")
    strange = {
        **measured("hue", "z", "p", "liver"),
        "subject": {"reference": f"Patient?name={NAME}"},
    }
    for body in (measured("hanoi", "x", "p", "liver"), strange):
        yield Question("POST", "Observation", body, {"Idempotency-Key": "one"})
        yield Question("POST", "Observation/$validate", body)
    yield Question("POST", "Patient/$validate", own)
    yield Question("POST", "Patient/hanoi.p/$validate", there)
    yield Question("POST", "Patient", REGISTERED, {"Idempotency-Key": "theirs"})
    yield Question("POST", "$reindex")
    for type in ("batch", "transaction"):
        for where in BOTH:
            headers = {"Idempotency-Key": f"{type}-{where}"}
            yield Question("POST", "", bundle(type, *_entries(type, where)), headers)
    for entries in TRANSACTIONS:
        yield Question("POST", "", bundle("transaction", *entries))
        yield Question("POST", "", bundle("batch", *entries), {"Prefer": "return=representation"})


REGISTERED = {"resourceType": "Patient", "name": [{"family": "Both"}]}


def tested(gender: str, *, name: str | None = None) -> list[dict[str, Any]]:
    """A patch that tells, by whether it is refused, what is there."""
    asked = [{"op": "test", "path": "/gender", "value": gender}]
    asked += [{"op": "test", "path": "/name/0/family", "value": name}] if name else []
    return [*asked, {"op": "replace", "path": "/gender", "value": "female"}]


def fhirpath(how: str, path: str) -> dict[str, Any]:
    parts = [{"name": "type", "valueCode": how}, {"name": "path", "valueString": path}]
    parts += [{"name": "value", "valueCode": "female"}] if how == "replace" else []
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}


def bundle(type: str, *entries: tuple[Any, ...]) -> dict[str, Any]:
    """entries: method, url, resource or None, more of the request, fullUrl."""
    told = []
    for method, url, body, more, full in ((*one, *(None,) * (5 - len(one))) for one in entries):
        entry: dict[str, Any] = {"request": {"method": method, "url": url, **(more or {})}}
        entry |= {"resource": body} if body else {}
        told.append(entry | ({"fullUrl": full} if full else {}))
    return {"resourceType": "Bundle", "type": type, "entry": told}


def _entries(type: str, where: str) -> list[tuple[Any, ...]]:
    told = [
        ("GET", f"Patient/{where}.p"),
        ("GET", f"Patient?name={NAME}"),
        ("GET", "Observation?_summary=count"),
        ("DELETE", f"Observation/{where}.o"),
        ("PUT", f"Patient/{where}.p", person(where, "p", "Ours", "1")),
        ("POST", "Observation", measured(where, "x", "p", "liver")),
    ]
    return told if type == "batch" else told[:1]


def _about(reference: str, id: str = "y") -> dict[str, Any]:
    return {**measured("hue", id, "p", "liver"), "subject": {"reference": reference}}


_URN = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
_PERSON = {"resourceType": "Patient", "gender": "male", "name": [{"family": "Ours"}]}
TRANSACTIONS: list[list[tuple[Any, ...]]] = [
    # a reference that is resolved by criteria
    [("POST", "Observation", _about(f"Patient?identifier={NUMBER}"))],
    [("POST", "Observation", _about(f"Patient?name={NAME}"))],
    [("POST", "Observation", _about("Patient?_id=hanoi.p"))],
    [("POST", "Observation", {**_about("Patient/hue.p"),
                              "performer": [{"reference": f"Patient?identifier={NUMBER}"}]})],
    # one that is made in the transaction, if the other's is not meant
    [("POST", "Patient", _PERSON, {"ifNoneExist": f"identifier={NUMBER}"}, _URN),
     ("POST", "Observation", _about(_URN))],
    [("PUT", f"Patient?identifier={NUMBER}", _PERSON, None, _URN),
     ("POST", "Observation", _about(_URN))],
    # writes of the other's, by id, by version and by criteria
    [("PUT", "Patient/hanoi.p", person("hanoi", "p", "Ours", "1"))],
    [("PUT", "Patient/hanoi.p", person("hanoi", "p", "Ours", "1"),
      {"ifMatch": 'W/"<version Patient/hanoi.p>"'})],
    [("DELETE", "Observation/hanoi.o"), ("GET", "Patient/hue.p")],
    [("DELETE", f"Patient?identifier={NUMBER}")],
    [("DELETE", "Observation?performer=Patient/hue.p&_id=hanoi.o")],
    # what is read along, by what the other has
    [("GET", f"Patient?name={NAME}"), ("GET", "Patient?_summary=count"), ("GET", "_history")],
    [("GET", "Patient/hanoi.p", None, {"ifNoneMatch": 'W/"<version Patient/hanoi.p>"'})],
    [("GET", "Patient/hanoi.p/_history/<version Patient/hanoi.p>"), ("HEAD", "Patient/hanoi.p")],
    [("GET", "Encounter?_include=Encounter:part-of&_revinclude=Observation:encounter")],
]  # fmt: skip


def everything_at_once() -> Iterator[Question]:
    """All the searches again, each as an entry of a batch."""
    paths = [path for path in SEARCHES if path[:1] != "/"]
    yield Question("POST", "", bundle("batch", *(("GET", path) for path in paths)))


def by_hand() -> Iterator[Question]:
    for path in SEARCHES:
        yield Question("GET", path)
    ways = (by_id, by_form, by_operation, by_write, by_criteria, by_body, everything_at_once)
    for some in ways:
        yield from some()


def rows_asked(grammar: Grammar, questions: list[Question]) -> set[tuple[str, str]]:
    """Method and shape of each route that is asked, as the table of routes has them."""
    found = set()
    for question in questions:
        path = re.sub(r"<[^>]+>", NEVER, question.path).partition("?")[0]
        if path[:1] != "/" and path not in ("nowhere",):
            found.add((question.method, grammar.place(path.encode()).shape))
    return found


def operations_asked(questions: list[Question]) -> set[tuple[str, str]]:
    """Name and level."""
    found = set()
    for question in questions:
        place, sign, name = question.path.partition("?")[0].rpartition("$")
        if sign:
            found.add((name, ("system", "type", "instance")[place.count("/")]))
    return found
