"""`fhir-server access`: the policy printed, and one of your own checked as the server would."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_server.cli import access
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
