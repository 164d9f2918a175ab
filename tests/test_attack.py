"""The table of the attacks adds up what each test told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests import attack


@dataclass
class Report:
    when: str
    user_properties: list[Any] = field(default_factory=list)


def test_figures_of_one_name_are_added_up_and_told_once() -> None:
    told = [(attack.FIGURE, ["cells", 2]), ("other", "x"), (attack.FIGURE, ["edits", 1])]
    reports = [
        Report("setup", told),
        Report("call", told),
        Report("call", [(attack.FIGURE, ["cells", 1500])]),
        Report("teardown", told),
        object(),
    ]
    assert attack.figures(reports) == {"cells": 1502, "edits": 1}
    assert attack.table(attack.figures(reports)) == ["cells         1,502", "edits             1"]


def test_what_is_told_stands_with_its_test(
    tell: attack.Tell, request: pytest.FixtureRequest
) -> None:
    properties = request.node.user_properties
    tell("requests", 3)
    assert properties.pop() == (attack.FIGURE, ["requests", 3])
