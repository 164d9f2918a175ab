"""The pages written by hand name what is there: files, interactions, parameters, numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fhir_server.conformance.snapshot.tree import MAX_DEPTH as BASES
from fhir_server.conformance.snapshot.tree import MAX_ELEMENTS
from fhir_server.foundation import outcome
from fhir_server.foundation.folding import WORD_LENGTH
from fhir_server.foundation.outcome import FhirError
from fhir_server.interaction import totals
from fhir_server.interaction.capabilities import SYSTEM_INTERACTIONS, TYPE_INTERACTIONS
from fhir_server.operation import expand
from fhir_server.search import (
    criteria,
    criterion,
    include,
    index,
    query,
    result,
    site,
    sort,
    texts_asked,
)
from fhir_server.search import (
    scope as links,
)
from fhir_server.search.filter import compare
from fhir_server.search.filter.parse import MAX_DEPTH as PARENTHESES
from fhir_server.search.filter.parse import MAX_TESTS
from fhir_server.search.kinds import KINDS, string, token, uri
from fhir_server.search.prefix import PREFIXES
from fhir_server.settings import TABLE
from fhir_server.store.condition import MAX_CONDITIONS, MAX_DEPTH
from fhir_server.store.condition.taking import MAX_KEYS
from fhir_server.store.contract.order import COLLECTED
from fhir_server.store.tables import tables
from fhir_server.sync.operations import OPERATIONS
from fhir_server.terminology import terms
from fhir_server.validation import place
from fhir_server.validation.invariant import asked as invariant
from fhir_server.validation.profile import scope
from fhir_server.validation.structure import diagnosis
from tests.docs.console import examples, start
from tests.docs.test_docs import BLOCK, DOCS, PAGES, ROOT, shown
from tests.spec import test_examples_validate, test_fhirpath_suite, test_validator_cases

FILE = re.compile(r"`((?:fhir_server|tests|docs|docker|tools|terminology|bench)/[\w./-]*)`")
INTERACTIONS = DOCS / "interactions"
STATUSES = {304} | {each.status for each in FhirError.__subclasses__()}
SEARCHES = [DOCS / "search.md", *sorted((DOCS / "search").glob("*.md"))]
SEARCH = "\n".join(page.read_text("utf-8") for page in SEARCHES)
CONFORMANCE = (DOCS / "conformance.md").read_text("utf-8")


def text(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


@pytest.mark.parametrize("page", [p for p in PAGES if DOCS in p.parents], ids=shown)
def test_every_file_a_page_names_is_there(page: Path) -> None:
    for name in FILE.findall(page.read_text("utf-8")):
        assert (ROOT / name).exists(), name


def test_the_tour_visits_every_stage() -> None:
    visited = {name.split("/")[1] for name in FILE.findall(text("tour.md")) if "fhir_" in name}
    assert visited >= {
        "cli", "rest", "interaction", "validation", "search", "store", "conformance", "foundation",
    }  # fmt: skip


# --- interactions --------------------------------------------------------------------------------


def test_every_interaction_the_server_has_is_listed_and_has_a_page() -> None:
    listed = dict(
        re.findall(r"^\| ([a-z-]+) \| .*\]\((\S+\.md)\) \|$", text("interactions/README.md"), re.M)
    )
    assert set(listed) == {*TYPE_INTERACTIONS, *SYSTEM_INTERACTIONS, "capabilities"}
    for name, page in listed.items():
        head = re.sub(r"-(instance|type|system)$", "", name)
        assert head in (INTERACTIONS / page).read_text("utf-8").splitlines()[0], name
    pages = {*listed.values(), *operations().values(), "README.md"}
    assert pages == {page.name for page in INTERACTIONS.glob("*.md")}


def operations() -> dict[str, str]:
    """The operations that are listed, each with its page."""
    table = re.compile(r"^\| `\$([a-z-]+)` \| .*\]\((\S+\.md)\) \|$", re.M)
    return dict(table.findall(text("interactions/README.md")))


def test_every_operation_the_server_has_is_listed_and_has_a_page() -> None:
    listed = operations()
    assert set(listed) == {operation.name for operation in OPERATIONS}
    for name, page in listed.items():
        assert f"${name}" in (INTERACTIONS / page).read_text("utf-8"), name


@pytest.mark.parametrize("page", sorted(INTERACTIONS.glob("[a-z]*.md")), ids=shown)
def test_every_interaction_has_an_example_and_its_refusals(page: Path) -> None:
    told = page.read_text("utf-8")
    assert re.search(r"https://hl7\.org/fhir/R4/(http\.html#|operations\.html)", told)
    assert "<!-- runs -->" in told
    refusals = told.partition("## Refusals\n")[2]
    assert "| status | when | what to do |" in refusals
    rows = re.findall(r"^\| ([\d, ]+) \| (.+) \| (.+) \|$", BLOCK.sub("", refusals), re.MULTILINE)
    assert rows
    for statuses, when, mending in rows:
        assert {int(status) for status in statuses.split(",")} <= STATUSES, statuses
        assert when
        assert mending


def test_every_status_a_refusal_has_is_explained_to_clients() -> None:
    told = " ".join(page.read_text("utf-8") for page in INTERACTIONS.glob("*.md"))
    explained = {
        int(status)
        for row in re.findall(r"^\| ([\d, ]+) \|", told, re.M)
        for status in row.split(",")
    }
    assert {each.status for each in FhirError.__subclasses__()} - {
        outcome.Forbidden.status
    } <= explained


# --- search --------------------------------------------------------------------------------------


def section(head: str, of: str = SEARCH) -> str:
    """What stands below a heading of the pages of search."""
    assert f"\n## {head}\n" in of, head
    return of.partition(f"\n## {head}\n")[2].partition("\n## ")[0]


def test_the_index_of_search_leads_to_each_of_its_pages() -> None:
    leading = (DOCS / "search.md").read_text("utf-8")
    for page in SEARCHES[1:]:
        assert f"](search/{page.name})" in leading, page.name


@pytest.mark.parametrize("page", SEARCHES, ids=shown)
def test_what_can_be_searched_is_shown_on_the_records_of_the_demo(page: Path) -> None:
    assert start(page).demo == ("demo", "--patients", "200")
    assert examples(page)


@pytest.mark.parametrize("kind", [*sorted(set(KINDS)), "composite"])
def test_every_kind_of_parameter_is_explained(kind: str) -> None:
    assert "<!-- runs -->" in section(kind)
    assert re.search(rf"^\| [^|]*\b{kind}\b[^|]* \| (done|partly) \|", CONFORMANCE, re.MULTILINE)


@pytest.mark.parametrize("modifier", sorted(criterion.R4_MODIFIERS - {"type"}))
def test_every_modifier_is_explained_where_it_works_and_shown(modifier: str) -> None:
    kinds = [kind for kind, module in KINDS.items() if modifier in module.MODIFIERS]
    assert kinds or modifier == "missing", modifier
    for kind in kinds or sorted(set(KINDS)):
        assert f":{modifier}" in section(kind), kind
    asked = [each.command for page in SEARCHES for each in examples(page)]
    assert any(f":{modifier}=" in command for command in asked)


@pytest.mark.parametrize("name", sorted(criteria.NOT_YET))
def test_every_parameter_that_is_not_there_is_said_to_be_refused(name: str) -> None:
    assert f"`{name}`" in section("What is refused")
    assert re.search(rf"^\| .*`{name}`.* \| not \|", CONFORMANCE, re.MULTILINE)


@pytest.mark.parametrize(
    "name", sorted({*result.RESULT, *criteria.SPECIAL} - {"_cursor", "_explain"})
)
def test_every_parameter_that_is_no_searchparameter_is_explained_and_shown(name: str) -> None:
    assert f"`{name}" in SEARCH
    if name not in ("_format", "_pretty", "_containedType"):
        asked = [each.command for page in SEARCHES for each in examples(page)]
        assert any(name in command for command in asked)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_prefix_is_explained(prefix: str) -> None:
    assert f"`{prefix}`" in section("date")


@pytest.mark.parametrize("kind", sorted(compare.OPERATORS))
def test_every_operator_of_a_filter_is_explained(kind: str) -> None:
    page = text("search/filter.md")
    (told,) = re.findall(rf"^\| [^|]*\b{kind}\b[^|]* \| (.*) \|$", page, re.MULTILINE)
    assert set(re.findall(r"`([a-z]{2})`", told)) == set(compare.OPERATORS[kind])


LIMITS = {
    "parameters of one search": query.MAX_PARAMETERS,
    "values of one parameter, parted by commas": criterion.MAX_VALUES,
    "characters of one value": query.MAX_LENGTH,
    "words of one string": string.WORDS_ASKED,
    "letters of `:contains`": string.CONTAINED,
    "conditions altogether": MAX_CONDITIONS,
    "conditions within one another": MAX_DEPTH,
    "codes altogether": MAX_KEYS,
    "codes of one value set, or of one hierarchy": token.MAX_CODES,
    "values of one `:in`, `:not-in`, `:above` or `:below`": criterion.MAX_SETS,
    "such values of one search": site.MAX_LOOKS,
    "steps of a URL that is asked `:above` of": uri.MAX_STEPS,
    "links of one criterion, in chains and `_has`": links.MAX_LINKS,
    "`_include` and `_revinclude` of one search": include.MAX_INCLUDES,
    "parameters of `_sort`": sort.MAX_KEYS,
    "matches that are put in order by reading them all": COLLECTED,
    "comparisons of one `_filter`": MAX_TESTS,
    "parentheses and brackets of one `_filter` within one another": PARENTHESES,
    "words of one `_text` or `_content`": texts_asked.MAX_WORDS,
    "seconds of counting": f"{totals.PATIENCE:g}",
    "words kept of one string parameter of one resource": (
        f"{index.MAX_WORDS}, each of {WORD_LENGTH} characters"
    ),
}


def test_the_limits_are_those_that_are_said() -> None:
    told = dict(re.findall(r"^\| (.+) \| (\d.*) \|$", section("Limits"), re.MULTILINE))
    assert told == {what: str(bound) for what, bound in LIMITS.items()}


def test_the_limits_that_are_settings_are_settings() -> None:
    named = re.findall(r"^\| .+ \| `(\w+)`", section("Limits"), re.MULTILINE)
    assert set(named) <= {line.name for line in TABLE}
    assert {"max_page_size", "included", "include_levels", "max_url", "request_timeout"} == {*named}


# --- inside --------------------------------------------------------------------------------------


def test_every_table_and_every_column_of_a_version_is_explained() -> None:
    page = text("inside/store.md")
    for dialect in ("sqlite", "postgresql"):
        for table in tables(dialect).tables.values():
            assert f"`{table.name}`" in page, table.name
            if table.name.startswith(("version", "index_")):
                for column in table.columns:
                    assert re.search(rf"\b{column.name}\b", page), f"{table.name}.{column.name}"


def test_the_bounds_of_the_index_are_those_that_are_said() -> None:
    told = text("inside/index.md").replace(",", "").replace("\n", " ")
    assert f"{index.MAX_ROWS} rows of one resource" in told
    assert (
        f"{index.MAX_WORDS} words of one string parameter each of {WORD_LENGTH} characters" in told
    )
    assert f"{MAX_CONDITIONS} conditions nested {MAX_DEPTH} deep" in told


def test_the_bounds_of_validation_are_those_that_are_said() -> None:
    told = text("inside/validation.md").replace(",", "").replace("\n", " ")
    bounds = told.partition("## Bounds")[2]
    for bound in (
        f"{place.MAX_ISSUES} issues of one resource",
        f"{MAX_ELEMENTS} elements of a snapshot {BASES} bases",
        f"{invariant.MAX_STEPS} steps of one invariant {invariant.MAX_STEPS_TOGETHER} of all",
        f"Resources {diagnosis.MAX_DEPTH} levels deep profiles {scope.MAX_DEPTH} within",
        f"{terms.MAX_EXPANSION} codes of an expansion {expand.MAX_PAGE} of one answer",
    ):
        assert bound in bounds, bound


# --- threats -------------------------------------------------------------------------------------

TESTS = re.compile(r"^(?:async )?def (test_\w+)\(", re.MULTILINE)
NAMES_TESTS = [DOCS / "inside" / "threats.md", DOCS / "security.md"]


@pytest.mark.parametrize("page", NAMES_TESTS, ids=shown)
def test_every_test_a_page_names_is_there(page: Path) -> None:
    there = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in TESTS.findall(file.read_text("utf-8"))
    }
    named = set(re.findall(r"`(test_\w+)`", page.read_text("utf-8")))
    assert named <= there, named - there


def test_every_threat_is_of_a_known_kind_and_names_what_shows_that_it_is_met() -> None:
    page = text("inside/threats.md").partition("## Boundaries")[2]
    rows = re.findall(r"^\| ([A-Z ]+) \| (.+) \| (.+) \| (.+) \|$", page, re.MULTILINE)
    assert rows
    for kinds, *_, shown_by in rows:
        assert set(kinds.split()) <= set("STRIDE"), kinds
        assert "`test_" in shown_by, shown_by
    assert {kind for kinds, *_ in rows for kind in kinds.split()} == set("STRIDE")


# --- numbers -------------------------------------------------------------------------------------


def test_what_is_known_to_fail_is_counted_as_the_lists_say() -> None:
    flowing = CONFORMANCE.replace("\n", " ")
    section = CONFORMANCE.partition("**FHIRPath.**")[2].partition("## ")[0]
    assert test_fhirpath_suite.known_failures() == set(re.findall(r"`(\w+\d+)`", section))
    assert f"The other {len(test_validator_cases.DIFFERENCES)}, each listed" in flowing
    spelled = {6: "six"}[len(test_examples_validate.VIOLATIONS)]
    assert f"{spelled} break a rule of R4's own" in flowing


@pytest.mark.skipif(
    not test_fhirpath_suite.CASES, reason="HL7's suites are not beside this repository"
)
def test_what_holds_is_counted_as_the_suites_say() -> None:
    flowing = CONFORMANCE.replace("\n", " ")
    cases, failing = test_fhirpath_suite.CASES, len(test_fhirpath_suite.known_failures())
    assert f"{len(cases) - failing} of the {len(cases)} cases" in flowing
    for kind in test_validator_cases.KINDS:
        of_kind = test_validator_cases.of_kind(kind)
        differing = {test_validator_cases.identity(case) for case in of_kind}
        same = len(of_kind) - len(differing & set(test_validator_cases.DIFFERENCES))
        row = f"| {kind} | {len(of_kind)} | {same} | {100 * same / len(of_kind):.1f} % |"
        assert row in CONFORMANCE
    examples, wrong = len(test_examples_validate.EXAMPLES), len(test_examples_validate.VIOLATIONS)
    assert f"{examples - wrong} of {examples} are valid" in flowing
