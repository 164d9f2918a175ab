"""hostile — definitions, resources and questions made to stop a server, as tables."""

from __future__ import annotations

import json
from typing import Any

OWN = "http://evil.example/fhir/"
R4 = "http://hl7.org/fhir/StructureDefinition/"
COMMUNES = "https://cantho.fhir-server.example/CodeSystem/commune"
DEEP = "%resource.descendants().all(%resource.descendants().all(true))"

Resource = dict[str, Any]


# --- profiles ------------------------------------------------------------------------------------


def profile(id: str, *elements: Any, type: str = "Person", **more: Any) -> Resource:
    return {
        "resourceType": "StructureDefinition", "id": id,
        "url": f"{OWN}StructureDefinition/{id}", "name": f"X{id.replace('-', '')}",
        "status": "active", "kind": "resource", "abstract": False, "type": type,
        "baseDefinition": R4 + type, "derivation": "constraint",
        "differential": {"element": [{"id": type, "path": type}, *elements]}, **more,
    }  # fmt: skip


def url(id: str, type: str = "StructureDefinition") -> str:
    return f"{OWN}{type}/{id}"


def on_base(id: str, base: str) -> Resource:
    return profile(id, baseDefinition=url(base))


def asking(id: str, *expressions: str, path: str = "Person") -> Resource:
    """A profile with these invariants."""
    told = [
        {"key": f"x-{number}", "severity": "error", "human": "x", "expression": text}
        for number, text in enumerate(expressions)
    ]
    element = {"id": path, "path": path, "constraint": told}
    if path == "Person":
        return {**profile(id), "differential": {"element": [element]}}
    return profile(id, element)


def sliced(id: str, kind: str, count: int, of_slice: Any) -> Resource:
    """A profile with many slices of the identifiers."""
    by = "system" if kind == "value" else "type"
    found: list[Any] = [
        {"id": "Person.identifier", "path": "Person.identifier",
         "slicing": {"discriminator": [{"type": kind, "path": by}], "rules": "closed"}}
    ]  # fmt: skip
    for number in range(count):
        name = f"s{number}"
        found.append(
            {"id": f"Person.identifier:{name}", "path": "Person.identifier", "sliceName": name}
        )
        told = {"id": f"Person.identifier:{name}.{by}", "path": f"Person.identifier.{by}"}
        found.append(told | of_slice(number))
    return profile(id, *found)


def by_system(number: int) -> Resource:
    return {"fixedUri": f"urn:s{number}"}


def by_pattern(number: int) -> Resource:
    return {"patternCodeableConcept": {"coding": [{"code": f"s{number}"}]}}


def person(*profiles: str, **more: Any) -> Resource:
    claims = {"meta": {"profile": [url(each) for each in profiles]}} if profiles else {}
    return {"resourceType": "Person", **claims, "name": [{"family": "a" * 60 + "!"}], **more}


def identifiers(count: int) -> list[Resource]:
    coding = {"coding": [{"code": "q"}] * 5}
    return [{"system": f"urn:q{n}", "value": "a" * 40, "type": coding} for n in range(count)]


def chained(context: str) -> Resource:
    """An extension whose context and whose rule of use look at everything, again and again."""
    return profile(
        "context", {"id": "Extension.url", "path": "Extension.url", "fixedUri": url("context")},
        type="Extension", kind="complex-type", contextInvariant=[DEEP],
        context=[{"type": "fhirpath", "expression": context}],
    )  # fmt: skip


SYSTEM_SLICING = {"discriminator": [{"type": "value", "path": "system"}], "rules": "open"}
EXPRESSIONS = [
    "repeat($this | $this)", "(0).repeat($this + 1)", "'a'.repeat($this + $this)", DEEP,
    "name.family.matches('(a+)+$')", "name.family.matches('(a|a)*$')",
    "name.family.replaceMatches('(a+)+$', 'b')", "(" * 5000 + "1" + ")" * 5000, "1 / 0 = 1",
    "'" + "a" * 900_000 + "' = 'a'", "name.where(" * 500 + "true" + ")" * 500,
    "conformsTo('http://evil.example/fhir/StructureDefinition/self-conforming')",
    "10.power(100000000) > 1", "@9999-12-31 + 1000000 years > today()", "%unknown", "(((", "😀",
]  # fmt: skip
DEFINITIONS: list[tuple[str, Resource]] = [
    ("a profile of itself", on_base("self", "self")),
    ("a circle of two", on_base("two-a", "two-b")),
    ("a circle of two, closed", on_base("two-b", "two-a")),
    ("a circle of three", on_base("three-a", "three-b")),
    ("a circle of three, longer", on_base("three-b", "three-c")),
    ("a circle of three, closed", on_base("three-c", "three-a")),
    (
        "a circle by the profile of an extension",
        profile(
            "circle", {"id": "Extension.extension", "path": "Extension.extension",
                       "type": [{"code": "Extension", "profile": [url("circle")]}]},
            type="Extension", kind="complex-type",
            context=[{"type": "element", "expression": "Element"}],
        ),
    ),
    (
        "a circle by the profile of a type",
        profile("own-link", {"id": "Person.contained", "path": "Person.contained",
                             "type": [{"code": "Person", "profile": [url("own-link")]}]}),
    ),
    (
        "slices without a discriminator",
        profile(
            "no-discriminator",
            {"id": "Person.identifier", "path": "Person.identifier",
             "slicing": {"rules": "closed", "description": "x"}},
            {"id": "Person.identifier:a", "path": "Person.identifier", "sliceName": "a", "min": 1},
        ),
    ),
    ("5,000 slices", sliced("slices", "value", 5000, by_system)),
    ("2,000 slices told by a pattern", sliced("patterns", "pattern", 2000, by_pattern)),
    (
        "20,000 elements",
        profile("wide", *({"id": f"Person.x{n}", "path": f"Person.x{n}"} for n in range(20_000))),
    ),
    ("an expression for each of 20,000 rules",
     asking("rules", *(f"name.exists() or '{n}' = '1'" for n in range(20_000)))),
    ("1,000 rules that look at everything",
     asking("thousand", *(f"%resource.identifier.where(value = '{n}').empty()"
                          for n in range(1000)))),
    ("a rule of each that looks at all", asking(
        "all-of-all", "%resource.identifier.all(value.exists())", path="Person.identifier")),
    ("a profile that asks for itself", asking(
        "self-conforming", f"conformsTo('{url('self-conforming')}')")),
    ("one that asks for itself twice", asking(
        "self-twice", f"conformsTo('{url('self-twice')}') or conformsTo('{url('self-twice')}')")),
    ("an extension with contexts that never end", chained("repeat($this | $this)")),
    (
        "a regex extension that backtracks",
        profile("regex", {
            "id": "Person.identifier.value", "path": "Person.identifier.value",
            "type": [{"code": "string", "extension": [
                {"url": R4 + "regex", "valueString": "(a+)+$"}]}]}),
    ),
    *((f"the rule {text[:40]}", asking(f"rule-{n}", text)) for n, text in enumerate(EXPRESSIONS)),
]  # fmt: skip
ODD: list[Any] = [
    {"path": 5}, {"path": None}, {"path": ["Person"]}, {"path": "Person.name", "min": "a"},
    {"path": "Person.name", "type": 5}, {"path": "Person.name", "type": [[]]},
    {"path": "Person.name", "constraint": "x"}, {"path": "Person.name", "slicing": []},
    {"path": "Person.name", "max": "9" * 30}, {"path": "Person." + "a." * 5000},
    {"path": "Person..name"}, {"path": "."}, {"path": "Person.name", "fixedString": {}},
    5, None, [[]], "x",
]  # fmt: skip
DEFINITIONS += [
    (f"an element that is {str(each)[:30]}", profile(f"odd-{number}", each))
    for number, each in enumerate(ODD)
]

# --- what claims them ----------------------------------------------------------------------------

CLAIMS: list[tuple[str, Resource]] = [
    *((name, person(each["id"])) for name, each in DEFINITIONS),
    ("10,000 identifiers of no slice", person("patterns", identifier=identifiers(10_000))),
    ("rules by identifiers", person("thousand", "all-of-all", identifier=identifiers(5_000))),
    ("each by all", person("all-of-all", identifier=identifiers(20_000))),
    ("extensions without end", person("context", extension=[
        {"url": url("context"), "valueString": "x"}] * 3000)),
    ("100,000 extensions", person(extension=[
        {"url": f"http://x.example/{n}", "valueString": "x"} for n in range(100_000)])),
    ("a name of a megabyte", person("thousand", name=[{"family": "a" * 1_000_000}])),
    ("1,000 claims", person(*(f"unknown-{n}" for n in range(1000)))),
    ("5,000 contained, in a ring", person("own-link", contained=[
        {"resourceType": "Person", "id": f"c{n}",
         "link": [{"target": {"reference": f"#c{(n + 1) % 5000}"}}]} for n in range(5000)],
        link=[{"target": {"reference": f"#c{n}"}} for n in range(5000)])),
]  # fmt: skip


def form(*items: Resource) -> Resource:
    return {"resourceType": "Questionnaire", "id": "q", "status": "active", "item": list(items)}


def filled(questionnaire: Resource, *items: Resource) -> Resource:
    return {
        "resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": "#q",
        "contained": [questionnaire], "item": list(items),
    }  # fmt: skip


def answered(link_id: str, *values: str) -> Resource:
    return {"linkId": link_id, "answer": [{"valueString": value} for value in values]}


BOMB = {
    "url": "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-enableWhenExpression",
    "valueExpression": {"language": "text/fhirpath", "expression": DEEP},
}
OPTIONS = [{"valueString": f"c{n}"} for n in range(5000)]
FILLED: list[tuple[str, Resource]] = [
    ("conditions on 3,000 answers", filled(
        form({"linkId": "a", "type": "string", "repeats": True}, *(
            {"linkId": f"c{n}", "type": "string", "enableWhen": [
                {"question": "a", "operator": "=", "answerString": "no"}]} for n in range(3000))),
        answered("a", *["x"] * 3000), *(answered(f"c{n}", "x") for n in range(3000)))),
    ("5,000 answers of none of 5,000 options", filled(
        form({"linkId": "a", "type": "choice", "repeats": True, "answerOption": OPTIONS}),
        answered("a", *(f"d{n}" for n in range(5000))))),
    ("conditions that look at everything", filled(
        form(*({"linkId": f"i{n}", "type": "string", "extension": [BOMB]} for n in range(500))),
        *(answered(f"i{n}", "x") for n in range(500)))),
]  # fmt: skip


def bundle(count: int, *profiles: str) -> Resource:
    return {
        "resourceType": "Bundle", "type": "collection",
        "entry": [
            {"fullUrl": f"urn:uuid:00000000-0000-4000-8000-{n:012d}", "resource": person(*profiles)}
            for n in range(count)
        ],
    }  # fmt: skip


# --- terminology ---------------------------------------------------------------------------------


def value_set(id: str, *include: Any, **compose: Any) -> Resource:
    return {
        "resourceType": "ValueSet", "id": id, "url": url(id, "ValueSet"), "status": "active",
        "compose": {"include": list(include), **compose},
    }  # fmt: skip


def imports(*ids: str) -> Resource:
    return {"valueSet": [url(id, "ValueSet") for id in ids]}


def with_filter(op: str, value: str, property: str = "code", system: str = COMMUNES) -> Resource:
    return {"system": system, "filter": [{"property": property, "op": op, "value": value}]}


def code_system(id: str, *concepts: Resource) -> Resource:
    return {
        "resourceType": "CodeSystem", "id": id, "url": url(id, "CodeSystem"), "status": "active",
        "content": "complete", "hierarchyMeaning": "is-a", "concept": list(concepts),
        "property": [{"code": "parent", "type": "code",
                      "uri": "http://hl7.org/fhir/concept-properties#parent"}],
    }  # fmt: skip


def beneath(code: int, *parents: int) -> Resource:
    return {
        "code": f"n{code}",
        "property": [{"code": "parent", "valueCode": f"n{each}"} for each in parents],
    }


def concept_map(id: str, then: str) -> Resource:
    group = {"source": "http://x.example", "target": "http://y.example",
             "element": [{"code": "a", "target": [{"code": "b", "equivalence": "equal"}]}],
             "unmapped": {"mode": "other-map", "url": url(then, "ConceptMap")}}  # fmt: skip
    return {
        "resourceType": "ConceptMap", "id": id, "url": url(id, "ConceptMap"), "status": "active",
        "group": [group],
    }  # fmt: skip


LISTED = {"system": "http://x.example", "concept": [{"code": f"c{n}"} for n in range(2000)]}
LEVELS, DOUBLED = 200, 25
TERMINOLOGY: list[Resource] = [
    value_set("circle-a", imports("circle-b")),
    value_set("circle-b", imports("circle-a")),
    *(value_set(f"level-{n}", imports(f"level-{n + 1}")) for n in range(LEVELS)),
    value_set(f"level-{LEVELS}", LISTED),
    *(value_set(f"twice-{n}", imports(f"twice-{n + 1}"), imports(f"twice-{n + 1}"))
      for n in range(DOUBLED)),
    value_set(f"twice-{DOUBLED}", LISTED),
    *(value_set(f"both-{n}", imports(f"both-{n + 1}", f"both-{n + 1}"), imports(f"both-{n + 1}"))
      for n in range(12)),
    value_set("both-12", LISTED),
    value_set("fifty", *[{"system": COMMUNES}] * 50),
    value_set("nothing", {"system": COMMUNES}, exclude=[{"system": COMMUNES}]),
    value_set("pattern", with_filter("regex", "(a+)+$", "display")),
    value_set("patterns", {"system": COMMUNES,
                           "filter": with_filter("regex", ".*[0-9]*")["filter"] * 2000}),
    value_set("exclusions", {"system": COMMUNES}, exclude=[
        with_filter("regex", f"x{n}") for n in range(3000)]),
    value_set("large", {"system": "http://x.example",
                          "concept": [{"code": f"c{n}"} for n in range(200_000)]}),
    code_system("ring", *(beneath(n, (n + 1) % 3000, (n + 7) % 3000) for n in range(3000))),
    code_system("chain", *(beneath(n, n + 1) for n in range(20_000)), {"code": "n20000"}),
    value_set("ring-below", *(with_filter("descendent-of", f"n{n}", "concept",
                                          url("ring", "CodeSystem")) for n in range(2000))),
    value_set("chain-below", with_filter("is-a", "n20000", "concept",
                                         url("chain", "CodeSystem"))),
    concept_map("map-a", "map-b"),
    concept_map("map-b", "map-a"),
    *(concept_map(f"map-{n}", f"map-{n + 1}") for n in range(100)),
]  # fmt: skip
EXPANDED = [
    "circle-a", "level-0", "level-180", "twice-0", "both-0", "fifty", "nothing", "pattern",
    "patterns", "exclusions", "ring-below", "chain-below", "none",
]  # fmt: skip
QUESTIONS: list[str] = [
    *(f"ValueSet/{id}/$expand?count=5" for id in EXPANDED),
    *(f"ValueSet/{id}/$validate-code?system={COMMUNES}&code=00004" for id in EXPANDED),
    *(f"ValueSet/fifty/$expand?{query}" for query in (
        "count=-1", "count=5&offset=1000000000000", "count=99999999999999999999", "offset=abc",
        "filter=" + "a" * 10_000, "filter=%F0%9F%98%80", "filter=%00", "date=0001-01-01",
        "date=never", "count=1&count=2", "activeOnly=maybe", "shoe=1")),
    *(f"CodeSystem/$lookup?system={url('ring', 'CodeSystem')}&code={code}" for code in (
        "", "%00", "%F0%9F%98%80", "x" * 9000, "a%0Ab", "..", "n1&code=n2")),
    f"CodeSystem/$subsumes?system={url('ring', 'CodeSystem')}&codeA=n0&codeB=n2999",
    f"CodeSystem/$subsumes?system={url('chain', 'CodeSystem')}&codeA=n20000&codeB=n0",
    f"CodeSystem/$subsumes?system={url('ring', 'CodeSystem')}&codeB=n1&codeA=" + "x" * 8000,
    *(f"ConceptMap/{id}/$translate?system=http://x.example&code=zz{more}"
      for id in ("map-a", "map-0", "none") for more in ("", "&reverse=true")),
    "ConceptMap/$translate?system=http://x.example&code=zz",
]  # fmt: skip


def parameters(*given: Resource) -> Resource:
    return {"resourceType": "Parameters", "parameter": list(given)}


XML = "application/fhir+xml"
POSTED: list[tuple[str, Any, str | None]] = [
    ("ValueSet/fifty/$expand", parameters({"name": "filter", "valueString": "a b " * 200_000}),
     None),
    ("ValueSet/$expand", value_set("inline", *[imports("inline")] * 10_000), None),
    ("ValueSet/$expand", value_set("other", *[imports("fifty")] * 10_000), None),
    ("ValueSet/$validate-code", parameters(
        {"name": "valueSet", "resource": value_set("other", *[imports("fifty")] * 10_000)},
        {"name": "code", "valueCode": "zz"}, {"name": "system", "valueUri": COMMUNES}), None),
    ("ValueSet/$expand", parameters(*[{"name": "filter", "valueString": "x"}] * 50_000), None),
    ("ValueSet/$expand", b'{"resourceType":"Parameters","parameter":['
     + b'{"name":"a","part":[' * 1000 + b'{"name":"a","valueString":"x"}' + b"]}" * 1000 + b"]}",
     None),
    ("ValueSet/$expand", b'<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><Parameters'
     b' xmlns="http://hl7.org/fhir"><parameter><name value="&b;"/></parameter></Parameters>', XML),
    *(("Patient/$validate", body, None) for body in (
        b"no JSON", b"{", b"[]", b"null", b"\xff\xfe", b'{"resourceType":"Shoe"}', b"[" * 1_000_000,
        b"<a/>")),
    *((f"Patient/$validate?{query}", {"resourceType": "Patient"}, None) for query in (
        "mode=nonsense", "mode=update", "profile=http://none.example",
        f"profile={url('fifty', 'ValueSet')}", f"profile={url('two-a')}", "profile=%00",
        "profile=" + "a" * 8000)),
    ("Patient/none/$validate?mode=delete", None, None),
    ("Bundle/$validate", bundle(10_000, *(f"rule-{n}" for n in range(4))), None),
]  # fmt: skip


def written(resource: Resource) -> bytes:
    return json.dumps(resource).encode()
