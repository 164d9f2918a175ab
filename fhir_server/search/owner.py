"""owner — the patient in whose compartment a resource is, and which parameters tell that patient.

https://hl7.org/fhir/R4/compartmentdefinition-patient.html
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.foundation.resource import Resource
from fhir_server.search.parameters import Parameter, Parameters
from fhir_server.search.path import Path, Refers

PATIENT = Refers("Patient")
# R4 has no Task in a patient's compartment. One that shows what a record says is of that record.
TASKS = "https://fhir-server.example/CodeSystem/task"
CONFLICT = "sync-conflict"


def ways(parameters: Parameters, type: str) -> list[Path]:
    """Where a resource of the type may name its patient; the first that does is the owner."""
    codes = parameters.definitions.compartments["Patient"].get(type, ())
    known = parameters.of(type)
    return [
        path
        for code in codes
        if code in known
        for path in known[code].paths
        if path.type == "Reference"
    ]


def may_be_owned(parameters: Parameters, type: str) -> bool:
    """Whether there may be resources of the type in a patient's record."""
    return type in ("Patient", "Task") or bool(ways(parameters, type))


def owned(parameters: Parameters, parameter: Parameter) -> bool:
    """Whenever the parameter refers to a Patient, that is the resource's owner.

    So it is where its only value is the first the owner is looked for in."""
    if parameter.of == "Patient" or parameter.type != "reference":
        return False
    first = ways(parameters, parameter.of)[:1]
    mine = {_bare(path) for path in parameter.paths}
    return mine == {_bare(path) for path in first} and not parameter.many


def _bare(path: Path) -> Path:
    """The way to the reference, whatever it has to refer to."""
    return replace(path, steps=path.steps[:-1]) if path.steps[-1:] == (PATIENT,) else path


def tells_records(task: Resource) -> bool:
    """Whether a Task shows what stands in the record of whom it is for."""
    codings = task.get("code", {}).get("coding", ())
    return any((one.get("system"), one.get("code")) == (TASKS, CONFLICT) for one in codings)
