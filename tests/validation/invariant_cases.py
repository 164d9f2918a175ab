"""invariant_cases — what breaks an invariant, what keeps it, and what no invariant should be.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from __future__ import annotations

from typing import Any

# type, what is wrong with it, the rule and its place
BROKEN: list[tuple[dict[str, Any], str, str]] = [
    ({"resourceType": "Patient", "contact": [{"gender": "male"}]}, "pat-1", "Patient.contact[0]"),
    (
        {"resourceType": "Patient", "telecom": [{"value": "0909"}]},
        "cpt-2",
        "Patient.telecom[0]",
    ),
    (
        {
            "resourceType": "Organization",
            "name": "x",
            "telecom": [
                {"system": "phone", "value": "1"},
                {"system": "phone", "value": "1", "use": "home"},
            ],
        },
        "org-3",
        "Organization.telecom[1]",
    ),
    ({"resourceType": "Organization", "active": True}, "org-1", "Organization"),
    (
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "a"}]},
            "valueString": "x",
            "component": [
                {"code": {"coding": [{"system": "http://loinc.org", "code": "a"}]}},
            ],
        },
        "obs-7",
        "Observation",
    ),
    (
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "x"},
            "valueQuantity": {"value": 1, "code": "kg"},
        },
        "qty-3",
        "Observation.value",
    ),
    (
        {
            "resourceType": "Patient",
            "contained": [
                {"resourceType": "Organization", "id": "o", "address": [{"use": "home"}]}
            ],
            "managingOrganization": {"reference": "#o"},
        },
        "org-1",
        "Patient.contained[0]",
    ),
    (
        {
            "resourceType": "Bundle",
            "type": "searchset",
            "entry": [{"resource": {"resourceType": "Organization"}}],
        },
        "org-1",
        "Bundle.entry[0].resource",
    ),
    ({"resourceType": "Bundle", "type": "document"}, "bdl-11", "Bundle"),
    (
        {
            "resourceType": "StructureDefinition",
            "url": "http://x.y/z",
            "name": "Z",
            "status": "draft",
            "kind": "resource",
            "abstract": False,
            "type": "Patient",
            "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
            "derivation": "constraint",
            "differential": {
                "element": [
                    {"id": "Patient", "path": "Patient"},
                    {"id": "Group.name", "path": "Group.name"},
                ]
            },
        },
        "sdf-8a",
        "StructureDefinition.differential",
    ),
]

# what R4 leaves open is no error
KEPT: list[dict[str, Any]] = [
    {
        "resourceType": "Patient",
        "name": [{"period": {"start": "2012-02-03T10:00:00Z", "end": "2012-02-03"}}],
    },
    {"resourceType": "Patient", "contact": [{"organization": {"display": "x"}}]},
    {
        "resourceType": "Patient",
        "name": [
            {"period": {"_start": {"extension": [{"url": "u", "valueCode": "x"}]}, "end": "2012"}}
        ],
    },
    {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": {"resourceType": "Patient", "active": True}}],
    },
]

UNUSABLE = [
    "",
    "name.",
    "name.nothing()",
    "%nowhere.exists()",
    "name.given < 'x'",
    "conformsTo('http://x.y/z')",
    "gender.memberOf('http://x.y/z')",
    "'a'.repeat($this & 'a').exists()",
    "'a'.repeat($this & $this).exists()",
    "(1).repeat($this + 1).exists()",
    "descendants().all(descendants().all(descendants().exists()))",
    "descendants().isDistinct()",
    "descendants().all($this = %resource)",
    "descendants() ~ descendants()",
    "identifier.all(%resource.identifier.all(%resource.identifier.all(value.exists())))",
    "identifier.all(%resource.identifier.isDistinct())",
    "identifier.all($this in %resource.identifier)",
    "identifier.value.all(matches('(a+)+b'))",
    "identifier.value.all(matches('(a|a)*b'))",
    "identifier.value.all(matches('[a-z]*[a-z]*[a-z]*[a-z]*[0-9]'))",
    "'x'.replace('', 'aaaaaaaaaa')" + ".replace('', 'bbbbbbbbbbbbbbbbb')" * 9 + ".exists()",
    "a" + ".a" * 200,
    "(" * 60 + "true" + ")" * 60,
]

# What is written is not taken for Python, whatever it says
QUOTED = [
    "name.family = '\\'] or __import__(\\'os\\')'",
    "name.family = '{v}'",
    "name.family.matches('[\"\\'{}]')",
    "name.family = '\\u0000\\n\\\\'",
    "extension('{x}\\'').exists()",
    "name.`family'`.exists()",
    "name.where(family in ('\\'' | '\"')).exists()",
]
