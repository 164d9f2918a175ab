"""known — the profiles and code lists that come with the program, made ready to judge by."""

from __future__ import annotations

import datetime as dt
import json
from functools import cache
from pathlib import Path
from typing import Any

from fhir_server.conformance.canonicals import Canonicals
from fhir_server.conformance.definitions import load
from fhir_server.conformance.package import folder_of_definitions, layered
from fhir_server.conformance.r4_resources import canonicals_of_r4
from fhir_server.terminology.site import OWN
from fhir_server.terminology.terms import Terms
from fhir_server.validation.policy import Policy
from fhir_server.validation.validator import Validator

ROOT = Path(__file__).parents[2]
PROFILES = ROOT / "profiles"
TODAY = dt.date(2026, 11, 22)  # the examples speak of things as they were on this day

Json = dict[str, Any]


@cache
def canonicals() -> Canonicals:
    folders = [folder_of_definitions(ROOT / name) for name in ("terminology", "profiles")]
    return layered(canonicals_of_r4(), [package for each in folders for package in each])


@cache
def validator(*, enforcing: bool = False) -> Validator:
    """enforcing: by the policy that comes with the program, beside what is asked for."""
    policy = Policy.of(PROFILES / "policy.toml") if enforcing else None
    known = canonicals()
    return Validator(load(), canonicals=known, terms=Terms(known), policy=policy)


def profiles() -> list[Json]:
    return [json.loads(path.read_text("utf-8")) for path in sorted(PROFILES.glob("*.json"))]


def url(id: str) -> str:
    return f"{OWN}/StructureDefinition/{id}"
