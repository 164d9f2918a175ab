"""`fhir-server access`: the policy printed, and one of your own checked as the server would."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from fhir_server.cli import access
from fhir_server.cli.app import app
from fhir_server.cli.exits import Exit, Refused
from fhir_server.security.policy_file import BUILT_IN


def test_the_printed_policy_is_the_one_that_holds(capsys: pytest.CaptureFixture[str]) -> None:
    access.policy()
    assert capsys.readouterr().out == BUILT_IN.read_text("utf-8")


def test_a_policy_is_told_by_roles(capsys: pytest.CaptureFixture[str]) -> None:
    access.check(BUILT_IN)
    told = capsys.readouterr().out
    assert "pharmacist: Dược sĩ; for TREAT" in told
    assert "audit: rs of AuditEvent, reach all" in told
    assert "de-identified: ids, names" in told


def test_a_policy_that_is_wrong_ends_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "access.toml"
    file.write_text('[[role]]\nname = "doctor"\npurposes = ["CURE"]\n', "utf-8")
    with pytest.raises(Refused, match="line 3: `CURE`") as refused:
        access.check(file)
    assert refused.value.status == Exit.MISUSED


def run(database: str, *words: str) -> Result:
    return CliRunner(env={"FHIR_DATABASE_URL": database}).invoke(app, words)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One with three clients."""
    made = f"sqlite:///{tmp_path_factory.mktemp('clients')}/fhir.db"
    for words in (
        ("his", "--role", "system", "--facility", "nk", "--scope", "system/Encounter.rs"),
        ("ana", "--role", "analyst", "--purpose", "PUBHLTH", "--scope", "system/*.rs"),
        ("odd", "--role", "operator", "--scope", "user/*.rs"),
    ):
        added = run(made, "client", "add", *words, "--provider")
        assert added.exit_code == Exit.DONE, added.output
    return made


# what is asked, how it ends, what is told
EXPLAINED = [
    (("his",), Exit.DONE, "    care: rs of Encounter, reach care"),
    (("his", "Encounter"), Exit.DONE, "his: system; for TREAT; Luật 91"),
    (("his", "Patient"), Exit.FOUND, "It may nothing of Patient."),
    (("ana",), Exit.FOUND, "ana may nothing: The purpose `PUBHLTH` needs a basis"),
    (("ana", "--basis", "12"), Exit.DONE, "    de-identified: ids, names"),
    (("odd",), Exit.FOUND, "Its scopes meet none of its rules."),
]


@pytest.mark.parametrize(("words", "status", "told"), EXPLAINED, ids=lambda each: str(each)[:40])
def test_what_a_client_may_is_told_as_the_server_decides_it(
    database: str, words: tuple[str, ...], status: Exit, told: str
) -> None:
    ran = run(database, "access", "explain", *words)
    assert (ran.exit_code, told in ran.output) == (status, True), ran.output


MISUSED = [
    (("nobody",), "No client `nobody`"),
    (("his", "Shoe"), "`Shoe` is no type"),
    (("his", "--purpose", "BTG"), "not registered for the purpose `BTG`"),
]


@pytest.mark.parametrize(("words", "told"), MISUSED, ids=lambda each: str(each)[:40])
def test_what_cannot_be_explained_is_refused_in_words(
    database: str, words: tuple[str, ...], told: str
) -> None:
    refused = run(database, "access", "explain", *words).exception
    assert isinstance(refused, Refused)
    assert (refused.status, told in str(refused)) == (Exit.MISUSED, True), str(refused)
