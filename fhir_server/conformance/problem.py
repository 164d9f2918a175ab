"""problem — what is wrong with a definition or a package, for an upper layer to tell.

https://hl7.org/fhir/R4/conformance-module.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    key: of the message in validation/catalogue/package.toml, which has the sentence and the
    severity. said: what the sentence names, beside `{file}`. file: where it is, for people: a
    file's name, a package's `name#version`, a definition's URL.
    """

    key: str
    file: str
    said: Mapping[str, Any] = field(default_factory=dict)
