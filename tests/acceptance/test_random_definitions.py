"""Definitions, and what is checked by them, drawn at random: nearly right, one place spoilt.

https://hl7.org/fhir/R4/profiling.html
FHIR_TEST_EXAMPLES makes it long, and other each time.
"""

from __future__ import annotations

import json
import os
from copy import deepcopy
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from fhir_server.server import knowledge_of
from fhir_server.settings import Settings
from tests.acceptance import hostile
from tests.acceptance.requests import FIT, anything, texts, written
from tests.acceptance.serving import ROOT
from tests.interaction.conftest import parts, server_on
from tests.rest.client import Client, on_one_database

LONG = "FHIR_TEST_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("FHIR_TEST_EXAMPLES", "600"))
SMALL = 20_000  # characters: what is larger is not spoilt often enough in one place


def read(*patterns: str) -> list[hostile.Resource]:
    files = [Path(each) for pattern in patterns for each in sorted(ROOT.glob(pattern))]
    found = [json.loads(each.read_text("utf-8")) for each in files if each.stat().st_size < SMALL]
    return [each for each in found if "resourceType" in each]


DEFINITIONS = [
    *read("profiles/StructureDefinition-*.json", "terminology/*.json"),
    *(each for _, each in hostile.DEFINITIONS if len(json.dumps(each)) < SMALL),
    *(each for each in hostile.TERMINOLOGY if len(json.dumps(each)) < SMALL),
]
CLAIMING = read("profiles/examples/*/pass/*.json", "profiles/examples/*/fail/*.json")
NAMED = sorted({each["url"] for each in DEFINITIONS if isinstance(each.get("url"), str)})
ELEMENTS = [
    "url", "path", "id", "min", "max", "type", "code", "profile", "targetProfile", "slicing",
    "sliceName", "discriminator", "rules", "constraint", "expression", "binding", "valueSet",
    "strength", "fixedUri", "patternCoding", "contentReference", "base", "element", "system",
    "concept", "filter", "op", "value", "property", "include", "exclude", "version", "context",
    "extension", "meta", "identifier", "coding", "period", "contained", "group", "unmapped",
]  # fmt: skip
OTHER = [*NAMED, "Extension", "Patient", "$this", "resolve()", "value", "1", "0", "*", "closed"]


SOUND = {
    "defined": DEFINITIONS,
    "claiming": CLAIMING,
    "any": [*CLAIMING, *DEFINITIONS],
}  # named, for Hypothesis writes down what a strategy is made of


@st.composite
def spoilt(draw: st.DrawFn, among: str) -> hostile.Resource:
    """A sound one, in some places of which other things stand."""
    sound = SOUND[among]
    whole = deepcopy(sound[draw(st.integers(0, len(sound) - 1))])
    for _ in range(draw(st.integers(0, 3))):
        place = whole
        for _ in range(draw(st.integers(0, 8))):
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            inner = [key for key in keys if isinstance(place[key], dict | list)]
            if not inner:
                break
            place = place[draw(st.sampled_from(inner))]
        change(draw, place)
    return whole


def change(draw: st.DrawFn, place: dict | list) -> None:
    if isinstance(place, list):
        if place and draw(st.booleans()):
            place.append(deepcopy(place[draw(st.integers(0, len(place) - 1))]))
        else:
            place.append(deepcopy(draw(anything)))
        return
    name = draw(st.one_of(st.sampled_from([*place, *ELEMENTS]), texts))
    if name in place and draw(st.integers(0, 2)) == 0:
        del place[name]
    else:
        other = draw(st.one_of(st.sampled_from(OTHER), st.integers(-1, 3), anything))
        place[name] = deepcopy(other)  # the next change must not be one of the strategy


def of_type(resource: hostile.Resource) -> str:
    type = resource.get("resourceType")
    return type if isinstance(type, str) and type.isalpha() else "Patient"


PARAMETERS = ["url", "system", "code", "display", "version", "filter", "count", "offset", "date",
              "codeA", "codeB", "target", "source", "reverse", "targetsystem", "profile", "mode",
              "property", "activeOnly", "includeDesignations", "abstract", "valueSetVersion",
              "displayLanguage", "conceptMapVersion"]  # fmt: skip
OPERATIONS = ["CodeSystem/$lookup", "CodeSystem/$validate-code", "CodeSystem/$subsumes",
              "ValueSet/$expand", "ValueSet/$validate-code", "ConceptMap/$translate",
              "ValueSet/1/$expand", "CodeSystem/1/$validate-code", "ConceptMap/1/$translate",
              "ValueSet/1/$validate-code", "Patient/$validate",
              "StructureDefinition/1/$validate"]  # fmt: skip


@st.composite
def requests(draw: st.DrawFn):
    """A method, a path, a query, and a body or none."""
    match draw(st.integers(0, 5)):
        case 0 | 1:
            told = draw(spoilt("defined")) | {"id": "1"}
            return "PUT", f"{of_type(told)}/1", "", told
        case 2 | 3:
            told = draw(spoilt("claiming"))
            return "POST", of_type(told), "", told
        case 4:
            told = draw(spoilt("any"))
            named = draw(st.sampled_from(["", *NAMED]))
            query = f"profile={quote(named, safe='')}" if named else ""
            return "POST", f"{of_type(told)}/$validate", query, told
    values = st.one_of(st.sampled_from(OTHER), texts, st.sampled_from(["00004", "2", "true"]))
    pairs = draw(st.lists(st.tuples(st.sampled_from(PARAMETERS), values), max_size=5))
    path = draw(st.sampled_from(OPERATIONS))
    if draw(st.booleans()):
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
        return "GET", path, query, None
    kind = st.sampled_from(["valueUri", "valueCode", "valueString", "valueInteger", "resource"])
    given = [{"name": name, draw(kind): value} for name, value in pairs]
    given += [{"name": "valueSet", "resource": draw(spoilt("defined"))}] * draw(st.booleans())
    return "POST", path, "", hostile.parameters(*given)


@pytest.fixture
def troubles():
    return []


@pytest.fixture
def client(store, troubles):
    knowledge = knowledge_of(Settings(), parts()["definitions"])
    options = Options(max_body=1_000_000, body_timeout=5)
    server = server_on(store, knowledge=knowledge)
    return Client(create_app(server, options, write_log=troubles.append))


@on_one_database
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(request=requests())
def test_any_definition_is_taken_or_refused_and_none_brings_the_server_down(
    run, client, troubles, request
):
    method, path, query, told = request
    url = f"/fhir/{path}" + (f"?{query}" if query else "")
    body = None if told is None else written(told)
    headers = [("Content-Type", FIT), ("Prefer", "handling=lenient")]
    answer = run(client.request(method, url.encode(), body, headers=headers))
    client.app.log.flush()
    errors = [line for line in troubles if b'"level":"error"' in line]
    troubles.clear()
    event(f"{answer.status} {method} {path.partition('/')[2] or 'type'}")
    assert not errors, (request, errors)
    assert 200 <= answer.status < 500, answer
    if answer.status >= 400:
        assert all(issue["diagnostics"] for issue in json.loads(answer.body)["issue"])
