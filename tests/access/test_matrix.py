"""The leak matrix: every path, asked by every kind of caller of one facility, over several worlds.

https://hl7.org/fhir/R4/security.html

For each cell: no byte of the other's is in the answer, and the answer is the same, byte for byte,
whether the other has nothing, something, or more and other things.
"""

from __future__ import annotations

import pytest

from fhir_server.rest.dispatch import compartments
from fhir_server.rest.routes import ROWS, Grammar
from fhir_server.sync.operations import OPERATIONS
from tests.access.asking import (
    CLINICAL,
    by_hand,
    by_parameter,
    operations_asked,
    rows_asked,
)
from tests.access.filling import ALL, resolved, servers, stolen
from tests.access.telling import differing, leaked, still
from tests.access.worlds import CALLERS, NOBODY, WHOLE_PROVINCE, WORLDS
from tests.attack import LONG, times
from tests.conftest import DATABASES
from tests.interaction.conftest import indexer, parts

KINDS = (*CALLERS, NOBODY)
BY_HAND = list(by_hand())
BY_PARAMETER = [question for _, question in by_parameter(indexer().parameters)]
EACH = times(len(KINDS), 1)  # of so many questions by parameter a kind of caller asks one
SOME = times(4, 1)  # and of so many others, but for those of MOST
MOST = ("doctor", "citizen", "granular", "analyst", NOBODY)
ASKED = WORLDS if LONG else {name: WORLDS[name] for name in ("nothing", "more")}
# Cells that are no part of the matrix, each with its reason.
LEFT_OUT = {
    ("operator", "/metrics"): "How much was asked of the server is for who runs it.",
    ("operator", "/"): "So is how much is in it.",
    ("node", "$sync-pull"): "Places in the log tell how much is written; see test_nodes.",
}


def cells(product):
    """kind, question. In the short form every second one on the second database."""
    step = times(1 if product == "sqlite" else 2, 1)
    return list(_cells())[::step]


def _cells():
    for place, kind in enumerate(KINDS):
        for question in BY_HAND if kind in MOST else BY_HAND[place % SOME :: SOME]:
            if (kind, question.path) not in LEFT_OUT:
                yield kind, question
        for question in BY_PARAMETER[place % EACH :: EACH]:
            yield kind, question


def test_every_route_operation_and_search_parameter_is_in_the_matrix():
    definitions = parts()["definitions"]
    grammar = Grammar(definitions.resource_types, compartments(definitions))
    assert {(row.method, row.shape) for row in ROWS} <= rows_asked(grammar, BY_HAND)
    wanted = {(one.name, level) for one in OPERATIONS for level in one.levels}
    assert wanted <= operations_asked(BY_HAND)
    parameters = indexer().parameters
    every = {(of, code) for of in CLINICAL for code in parameters.of(of)}
    assert every == {(each.of, each.code) for each, _ in by_parameter(parameters)}
    asked = {str(question) for _, question in cells("sqlite")}
    assert asked >= {str(question) for question in BY_PARAMETER}, "each is asked by somebody"


@pytest.fixture(params=DATABASES)
def several(request, run, clock, tmp_path):
    with servers(request, run, clock, tmp_path, request.param, ASKED) as found:
        yield found


# Asked by who sees everything: if the matrix were blind, it would see nothing here either.
SEEN = (
    "Patient/hanoi.p",
    "Patient?name=zorrino,zebulon",
    "Encounter?_include=Encounter:part-of",
    "Patient?_has:Observation:performer:code=1-1&_revinclude=Observation:performer",
    "Patient/hanoi.p/Observation",
    "_history",
    "Patient?_content=zorrino or zebulon",
)


async def test_the_matrix_finds_a_leak_and_an_influence_where_there_are_some(several):
    for path in SEEN:
        told = []
        for client in several.values():
            url = f"/fhir/{path}".replace(" ", "%20")
            told.append(still(await client.get(url, headers=ALL)))
        assert len(set(told)) > 1, path
        assert leaked("all", told[-1], ""), path


async def test_nothing_of_another_is_told_and_nothing_of_it_changes_an_answer(
    request, several, tell
):
    count, errors, leaks, changed = 0, [], [], []
    theirs = await stolen(several["more"])
    for kind, question in cells(request.node.callspec.params["several"]):
        count += 1
        method, path, body, headers = (resolved(part, theirs) for part in question)
        asked = f"{path} {body} {headers}"
        url = (path if path[:1] == "/" else f"/fhir/{path}").replace(" ", "%20")
        who = {} if kind == NOBODY else {"Authorization": f"Bearer {kind}"}
        told = []
        for name, client in several.items():
            answer = await client.request(method, url, body, headers=who | headers)
            if answer.status >= 500:
                errors.append((kind, name, str(question), answer.body[:300]))
            told.append(still(answer))
            if found := leaked(kind, told[-1], asked):
                leaks.append((kind, name, str(question), found, told[-1][:1200]))
        if kind not in WHOLE_PROVINCE and len(set(told)) > 1:
            changed.append((kind, str(question), differing(told)))
    tell("leak matrix: cells", count)
    tell("leak matrix: requests", count * len(several))
    assert not errors, (len(errors), errors[:6])
    assert not leaks, (len(leaks), leaks[:6])
    assert not changed, (len(changed), changed[:6])
