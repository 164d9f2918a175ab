"""Scope — what a token lets its client ask for, in SMART's words.

https://hl7.org/fhir/R4/security.html#authorization%2Faccess-control
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """`patient/Observation.rs?category=laboratory`: one permission that was delegated."""

    context: str  # patient | user | system
    type: str  # a type of R4, or `*`: all there are
    letters: frozenset[str]  # of `cruds`: create, read, update, delete, search
    parameters: tuple[tuple[str, str], ...] = ()  # all of them hold for what is reached
