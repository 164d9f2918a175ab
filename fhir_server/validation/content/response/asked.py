"""asked — one response beside its questionnaire, and what all checks of it share.

https://hl7.org/fhir/R4/questionnaireresponse.html
https://hl7.org/fhir/R4/extension-questionnaire-minoccurs.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation import messages
from fhir_server.validation.content.question import Question
from fhir_server.validation.content.questionnaire import Form
from fhir_server.validation.content.questionnaire.kinds import value_of

CORE = "http://hl7.org/fhir/StructureDefinition/"
SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
STEPS_OF_ISSUE = 20
COMPLETE = frozenset({"completed", "amended"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A QuestionnaireResponse and the Questionnaire it answers.

    url: by which the response names the questionnaire. contained: what either of them contains,
    by id. complete: whether all that is asked must be answered by now.
    """

    response: Resource
    questionnaire: Resource
    form: Form
    url: str
    contained: dict[str, Resource]
    question: Question

    def spend(self, steps: int) -> None:
        """Raises Exhausted where the whole check takes more than it may."""
        self.question.meter.spend(steps)

    @property
    def status(self) -> str:
        return str(self.response.get("status"))

    @property
    def complete(self) -> bool:
        return self.status in COMPLETE

    def issue(self, key: str, place: str, *, soft: bool = False, **said: Any) -> Issue:
        """An issue the questionnaire asks for. soft: only a warning until all is answered."""
        self.spend(STEPS_OF_ISSUE)
        severity = "warning" if soft and not self.complete else None
        return messages.issue(key, place, severity=severity, profile=self.url, **said)


def extensions(element: Resource, url: str) -> list[Any]:
    """The values of an element's extensions of one URL."""
    found: list[Any] = []
    for extension in element.get("extension") or ():
        if isinstance(extension, dict) and extension.get("url") == url:
            value = value_of(extension)
            if value is not None:
                found.append(value[1])
    return found


def extension(element: Resource, url: str) -> Any:
    """The value of the first extension of one URL, or None."""
    found = extensions(element, url)
    return found[0] if found else None


def whole(element: Resource, url: str) -> int | None:
    """The first extension of one URL, where it is an integer."""
    value = extension(element, url)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
