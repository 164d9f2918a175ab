"""who-viewed — who saw or changed a patient's record: the AuditEvents that tell of it.

https://hl7.org/fhir/R4/auditevent.html
https://hl7.org/fhir/R4/operationdefinition.html

It is for the patient, and for those who may read the audit, who need not reach the record itself.
What else an access told, of other patients, is not told here; nor how it was asked, which may name
them.
"""

from __future__ import annotations

from fhir_server.foundation.outcome import Forbidden, NotFound
from fhir_server.foundation.resource import Key
from fhir_server.interaction import auditing
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.operation.call import Call, Operation
from fhir_server.security.audit import said

NAME = "who-viewed"
PARAMETERS = frozenset({"date", "_count", "_cursor"})


async def who_viewed(server: Server, call: Call, circumstances: Circumstances) -> Answer:
    """Raises NotFound, Forbidden, Invalid."""
    assert call.id is not None, "it is of an instance"
    key = Key("Patient", call.id)
    reach, may_read_all = circumstances.reach("read"), auditing.may_read(circumstances, "search")
    if reach.is_free or not may_read_all:  # an auditor may reach no record, and all that is told
        found = await server.store.newest((key,), reach)
        if key not in found:
            raise NotFound(f"`{key}` is not here.")
    if not may_read_all and not is_own(circumstances, call.id):
        raise Forbidden(
            "Who viewed a record is told to its patient, and to who may read the audit."
        )
    pairs = [(given.name, call.text_of(given.name) or "") for given in call.given]
    sought = auditing.understood(server, [("patient", call.id), *pairs])
    path = f"{key}/${NAME}"
    only = said.of_patient(call.id)
    return await auditing.page(server, sought, pairs, circumstances, path, only=only)


def is_own(circumstances: Circumstances, id: str) -> bool:
    """Whether the patient asks, or who acts for them. Who acts for a facility has a patient in
    context too, and so has who has broken a glass, and says why."""
    caller = circumstances.caller
    acts_for_itself = not caller.facility and not caller.reason
    return caller.patient == id and acts_for_itself and circumstances.access.sees_whole


OPERATIONS = (
    Operation(
        name=NAME,
        definition="https://fhir-server.example/OperationDefinition/who-viewed",
        levels=frozenset(["instance"]),
        types=frozenset(["Patient"]),
        parameters=PARAMETERS,
        perform=who_viewed,
    ),
)
