"""response — whether a QuestionnaireResponse answers what its Questionnaire asks.

https://hl7.org/fhir/R4/questionnaireresponse.html#link

Where the questionnaire stands decides how strict: its structure and the types of its answers hold
always; what must be there, and what an answer may be, only once the response is completed or
amended, and until then such things are warnings or nothing.
"""

from __future__ import annotations

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.content.question import Question
from fhir_server.validation.content.questionnaire import Form
from fhir_server.validation.content.response.asked import Asked
from fhir_server.validation.content.response.items import Filling
from fhir_server.validation.messages import issue


def response(resource: Resource, path: str, question: Question) -> list[Issue]:
    """The issues of a QuestionnaireResponse, as far as its Questionnaire is known."""
    url = resource.get("questionnaire")
    if not isinstance(url, str):
        return []  # R4: a response may stand alone
    place = f"{path}.questionnaire"
    own = _by_id(question.container or resource)
    if url.startswith("#"):
        found = own.get(url[1:])
        if found is None or found.get("resourceType") != "Questionnaire":
            return [issue("response-questionnaire.contained", place, url=url)]
    else:
        known = question.canonicals
        found = known.get(url, "Questionnaire") if known else None
        if found is None:
            missing = issue("response-questionnaire.unknown", place, url=url)
            return [missing] if question.thorough and known else []
    asked = Asked(resource, found, Form(found), url, _by_id(found) | own, question)
    return list(Filling(asked).all(path))


def _by_id(resource: Resource) -> dict[str, Resource]:
    contained = resource.get("contained") or ()
    return {one["id"]: one for one in contained if isinstance(one.get("id"), str)}
